//! A reply that is a stream of events: whatever comes, in whatever pieces, is metered the same way, and no piece is said to
//! be complete further than it is.

#![no_main]

use gatehouse_providers::anthropic::StreamMeter;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let meter = |size: usize| {
        let mut meter = StreamMeter::default();
        let (mut ended, mut complete, mut at) = (false, 0, 0);
        for piece in bytes.chunks(size) {
            let fed = meter.feed(piece);
            assert!(fed.complete_to <= piece.len());
            assert!(fed.final_from.is_none_or(|from| from <= fed.complete_to));
            assert!(fed.ended || !ended, "an end is taken back");
            ended = fed.ended;
            if fed.complete_to > 0 {
                complete = at + fed.complete_to;
            }
            at += piece.len();
        }
        (ended, complete, format!("{:?}", meter.outcome()))
    };
    assert_eq!(meter(usize::from(size).max(1)), meter(bytes.len().max(1)));
});
