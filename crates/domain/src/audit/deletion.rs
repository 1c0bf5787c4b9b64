//! Records of exchanges that were deleted because of their age.
//!
//! An entry says up to which entry the records are gone. What is left of them are the leaves, which the entries of their
//! batches cover, so that the log hangs together without them. A record that is not there and that no such entry speaks of
//! was taken away by somebody else.

use serde::Deserialize;

/// The action of an entry that says so.
pub const DELETION: &str = "exchange.delete";
/// How such an entry's canonical JSON begins, and no other's.
const BEGINNING: &str = r#"{"action":"exchange.delete","#;

#[derive(Deserialize)]
struct Deletion {
    outcome: String,
    detail: Detail,
}

#[derive(Deserialize)]
struct Detail {
    through: u64,
}

/// Up to which entry the records of exchanges are gone, as this entry's canonical JSON says; `None` when it is about
/// something else.
pub fn deleted_through(canonical: &str) -> Option<u64> {
    if !canonical.starts_with(BEGINNING) {
        return None;
    }
    let read: Deletion = serde_json::from_str(canonical).ok()?;
    (read.outcome == "done").then_some(read.detail.through)
}
