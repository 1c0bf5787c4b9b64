//! The texts of a request, and what data protection finds in them: no bytes break either, and findings lie within their text.

#![no_main]

use std::sync::LazyLock;

use gatehouse_dlp::{Scanner, Selection};
use gatehouse_providers::json::texts;
use libfuzzer_sys::fuzz_target;

static SCANNER: LazyLock<Scanner> =
    LazyLock::new(|| Scanner::new(&Selection::new(["all"], []).expect("the group is there")));

fn scan(text: &[u8]) {
    SCANNER.scan(text, |finding| assert!(finding.start < finding.end && finding.end <= text.len()));
}

fuzz_target!(|body: &[u8]| {
    scan(body);
    let mut buffer = Vec::new();
    texts(body, |text| scan(text.decoded(&mut buffer)));
});
