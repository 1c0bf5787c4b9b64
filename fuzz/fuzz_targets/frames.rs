//! A stream's events as a cloud's frames: whatever comes, in whatever pieces, becomes the same frames, and those are good ones.

#![no_main]

use gatehouse_providers::cloud::Frames;
use gatehouse_providers::eventstream::Decoder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let translate = |size: usize| {
        let mut frames = Frames::default();
        bytes.chunks(size).flat_map(|piece| frames.feed(piece)).collect::<Vec<u8>>()
    };
    let pieces = translate(usize::from(size).max(1));
    assert_eq!(pieces, translate(bytes.len().max(1)));
    let mut decoder = Decoder::default();
    decoder.feed(&pieces, |_| {}).expect("frames of our own");
    assert!(decoder.is_between_frames());
});
