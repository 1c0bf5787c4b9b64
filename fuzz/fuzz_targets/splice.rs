//! Cutting members out of a body: what was JSON stays JSON, without them.

#![no_main]

use bytes::Bytes;
use gatehouse_providers::json::{Edits, Root, Scanner, Wanted};
use libfuzzer_sys::fuzz_target;

const WANTED: &[Wanted<'_>] = &[Wanted { name: "model", limit: 0 }, Wanted { name: "stream", limit: 0 }];

fuzz_target!(|input: (u8, bool, &[u8])| {
    let (size, put, text) = input;
    let scan = |text: &[u8]| {
        let mut scanner = Scanner::new(WANTED);
        scanner.feed(text).ok()?;
        scanner.finish().ok()
    };
    let Some(document) = scan(text).filter(|document| document.root == Root::Object) else { return };
    let mut edits = Edits::default();
    if put {
        edits.put("v", b"1");
    }
    edits.cut = document.members.iter().map(|member| member.key_at..member.end).collect();
    let pieces = text.chunks(usize::from(size).max(1)).map(Bytes::copy_from_slice).collect();
    let out = edits.apply(pieces).expect("the places are those of members").concat();
    let document = scan(&out).expect("an object stays one");
    assert!(document.root == Root::Object && document.members.is_empty());
});
