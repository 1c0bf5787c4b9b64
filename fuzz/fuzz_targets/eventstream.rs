//! Frames of a cloud's stream: whatever comes, in whatever pieces, is translated the same way or refused.

#![no_main]

use gatehouse_providers::cloud::Events;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let translate = |size: usize| {
        let mut events = Events::default();
        let out: Vec<u8> = bytes.chunks(size).flat_map(|piece| events.feed(piece)).collect();
        (out, events.is_garbled())
    };
    let pieces = translate(usize::from(size).max(1));
    assert_eq!(pieces, translate(bytes.len().max(1)));
});
