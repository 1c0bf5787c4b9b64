//! The body meter against files of replies (adding a case is adding a file) and in random pieces.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use gatehouse_providers::anthropic::{BodyMeter, Outcome};
use proptest::prelude::*;

fn metered<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut meter = BodyMeter::default();
    for piece in pieces {
        meter.feed(piece);
    }
    meter.outcome()
}

fn files() -> Vec<(String, Vec<u8>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bodies");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    assert!(files.len() >= 16, "the recorded replies are gone");
    files
}

#[test]
fn each_body_is_read_as_written_down() {
    for (name, bytes) in files() {
        insta::assert_snapshot!(name, format!("{:#?}", metered([&bytes[..]])));
    }
}

#[test]
fn memory_is_bounded_whatever_the_body_repeats() {
    let long = format!("{{\"input_tokens\":1,\"x\":\"{}\"}}", "x".repeat(300 * 1024));
    let body = format!("{{\"type\":\"message\",\"usage\":{long}}}");
    let outcome = metered([body.as_bytes()]);
    assert_eq!((outcome.usage_seen, outcome.garbage), (false, false), "a usage object of 300 KiB is none");
    let body = format!("{{{}\"type\":\"message\"}}", "\"usage\":{\"input_tokens\":1},".repeat(1000));
    let outcome = metered([body.as_bytes()]);
    assert_eq!(
        (outcome.usage.tokens.input, outcome.garbage),
        (1, true),
        "a thousand usage objects are garbage"
    );
}

proptest! {
    #[test]
    fn pieces_do_not_matter(which in 0_usize..64, sizes in proptest::collection::vec(1_usize..60, 1..50)) {
        let files = files();
        let (name, bytes) = &files[which % files.len()];
        let mut pieces = Vec::new();
        let mut rest = &bytes[..];
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at((*size).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        prop_assert_eq!(metered(pieces), metered([&bytes[..]]), "{}", name);
    }

    #[test]
    fn damage_never_makes_it_fail(
        which in 0_usize..64,
        at in any::<usize>(),
        new in proptest::collection::vec(any::<u8>(), 0..4),
    ) {
        let files = files();
        let mut bytes = files[which % files.len()].1.clone();
        let at = at % (bytes.len() + 1);
        bytes.splice(at..(at + 2).min(bytes.len()), new);
        let outcome = metered([&bytes[..]]);
        let total = outcome.usage.total();
        let counts = [total.input, total.output, total.cache_read, total.cache_write_5m, total.cache_write_1h];
        prop_assert!(counts.iter().all(|count| *count <= 400_000_000));
    }
}
