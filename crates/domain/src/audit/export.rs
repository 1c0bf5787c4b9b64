//! The lines of an export file.
//!
//! The first line is a header, then come the entries in order, each checkpoint right after the entry it covers; the
//! last line is the newest checkpoint. The records of a batch of exchanges stand right after its entry. Every byte of the file is covered by a hash, a signature, or a comparison with
//! what is.

use serde::{Deserialize, Serialize};

use super::{BadCheckpoint, Checkpoint, Hash, Leaf, PublicKey, Signature};
use crate::id::OrgId;

/// The version of the file format.
pub(super) const FORMAT: u32 = 1;

pub(super) const ENTRY: &str = r#"{"entry":"#;
pub(super) const HASH: &str = r#","hash":""#;
pub(super) const PREV: &str = r#"","prev":""#;
pub(super) const CLOSE: &str = r#""}"#;
/// Bytes of an entry's line after the entry.
pub(super) const TAIL: usize = HASH.len() + 64 + PREV.len() + 64 + CLOSE.len();

pub(super) const EXCHANGE: &str = r#"{"exchange":"#;
pub(super) const LEAF: &str = r#","leaf":""#;
pub(super) const NTH: &str = r#"","n":"#;
pub(super) const LOST: &str = r#"{"lost":""#;
pub(super) const DELETED: &str = r#"{"deleted":""#;

/// The first line of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// The first entry's place.
    pub first: u64,
    gatehouse_audit: u32,
    /// The key of the closing checkpoint.
    pub key: PublicKey,
    /// The last entry's place; `first - 1` when there is none.
    pub last: u64,
    /// The organization.
    pub org: OrgId,
    /// The hash before the first entry.
    pub prev: Hash,
}

impl Export {
    /// An export of the entries from `first` to `last`.
    pub const fn new(org: OrgId, first: u64, last: u64, prev: Hash, key: PublicKey) -> Self {
        Self { first, gatehouse_audit: FORMAT, key, last, org, prev }
    }

    /// The version of the format the file says it has.
    pub(super) const fn format(&self) -> u32 {
        self.gatehouse_audit
    }

    /// The header as a line, without its line end.
    pub fn line(&self) -> String {
        let Self { first, gatehouse_audit, key, last, org, prev } = self;
        format!(
            r#"{{"first":{first},"gatehouse_audit":{gatehouse_audit},"key":"{key}","last":{last},"org":"{org}","prev":"{prev}"}}"#
        )
    }
}

/// Longest line of a checkpoint, in bytes; ours have about 500.
pub const MAX_CHECKPOINT: usize = 4096;

/// Why a line is not a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// More than [`MAX_CHECKPOINT`] bytes.
    #[error("it is longer than {MAX_CHECKPOINT} bytes")]
    TooLong,
    /// It has another form.
    #[error("it has another form: {0}")]
    Form(String),
    /// It was written by something else.
    #[error("its text was rewritten")]
    Rewritten,
    /// It is not signed by the key it names.
    #[error(transparent)]
    Signature(#[from] BadCheckpoint),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignedLine {
    checkpoint: Checkpoint,
    signature: Signature,
}

impl Checkpoint {
    /// Reads a checkpoint's line, as [`Checkpoint::line`] writes it, and checks its signature by the key it names.
    ///
    /// # Errors
    /// What the line is instead.
    pub fn read_line(text: &str) -> Result<(Self, Signature), BadLine> {
        if text.len() > MAX_CHECKPOINT {
            return Err(BadLine::TooLong);
        }
        let read: SignedLine = serde_json::from_str(text).map_err(|e| BadLine::Form(e.to_string()))?;
        if read.checkpoint.line(&read.signature) != text {
            return Err(BadLine::Rewritten);
        }
        read.checkpoint.check(&read.signature)?;
        Ok((read.checkpoint, read.signature))
    }

    /// A checkpoint as a line of an export, without its line end.
    pub fn line(&self, signature: &Signature) -> String {
        format!(r#"{{"checkpoint":{},"signature":"{signature}"}}"#, self.canonical())
    }
}

/// Appends an entry as a line of an export, without its line end.
pub fn export_line(out: &mut String, canonical: &str, prev: &Hash, hash: &Hash) {
    out.reserve(ENTRY.len() + canonical.len() + TAIL + 1);
    out.push_str(ENTRY);
    out.push_str(canonical);
    out.push_str(HASH);
    out.push_str(&hash.to_string());
    out.push_str(PREV);
    out.push_str(&prev.to_string());
    out.push_str(CLOSE);
}

/// Appends, in place of an entry that the exporter itself found altered (its row contradicts it, or it is not text of
/// one line), a line that says so. [`super::verify()`] reports it.
pub fn export_fault(out: &mut String, seq: u64) {
    out.push_str(r#"{"altered":"#);
    out.push_str(&seq.to_string());
    out.push('}');
}

/// Appends the record of the `n`-th exchange of a batch (from 1) as a line of an export, without its line end.
pub fn export_exchange(out: &mut String, n: u64, record: &str, leaf: &Leaf) {
    out.push_str(EXCHANGE);
    out.push_str(record);
    out.push_str(LEAF);
    out.push_str(&leaf.hash.to_string());
    out.push_str(NTH);
    out.push_str(&n.to_string());
    out.push('}');
}

/// Appends, in place of an exchange whose record is not there or which the exporter itself found altered, a line that
/// says so. [`super::verify()`] reports it.
pub fn export_lost(out: &mut String, n: u64, leaf: &Leaf) {
    out.push_str(LOST);
    out.push_str(&leaf.id.to_string());
    out.push_str(NTH);
    out.push_str(&n.to_string());
    out.push('}');
}

/// Appends, in place of an exchange whose record was deleted because of its age, a line that says so. [`super::verify()`]
/// believes it where an entry says that such records were deleted.
pub fn export_deleted(out: &mut String, n: u64, leaf: &Leaf) {
    out.push_str(DELETED);
    out.push_str(&leaf.id.to_string());
    out.push('"');
    out.push_str(LEAF);
    out.push_str(&leaf.hash.to_string());
    out.push_str(NTH);
    out.push_str(&n.to_string());
    out.push('}');
}
