//! What a check found, in words.

use std::fmt;

use serde::Serialize;

use super::super::PublicKey;
use crate::id::{ExchangeId, OrgId};

/// What a check of an export found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// The organization the export is of.
    pub org: Option<OrgId>,
    /// The first entry that was found good.
    pub first: Option<u64>,
    /// The last entry that was found good.
    pub last: Option<u64>,
    /// How many entries were found good.
    pub entries: u64,
    /// How many exchanges were found good.
    pub exchanges: u64,
    /// How many exchanges have no record any more, as the log itself says.
    pub deleted: u64,
    /// How many checkpoints were found good.
    pub checkpoints: u64,
    /// The keys that signed them (at most 16 are listed).
    pub keys: Vec<PublicKey>,
    /// Whether the keys were compared with keys the caller trusts.
    pub trusted: bool,
    /// How many checkpoints that were kept elsewhere were found in it.
    pub compared: u64,
    /// The first thing wrong; `None` when all is well.
    pub fault: Option<Fault>,
}

impl Report {
    /// Whether nothing is wrong.
    pub const fn is_sound(&self) -> bool {
        self.fault.is_none()
    }
}

/// The first thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The line at which it was noticed, from 1.
    pub line: u64,
    /// The entry (or, for checkpoints, the entry they cover) it is about.
    pub seq: Option<u64>,
    /// What it is.
    #[serde(flatten)]
    pub wrong: Wrong,
}

/// What can be wrong with an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "about", rename_all = "snake_case")]
pub enum Wrong {
    /// The file is no export, or its first line was changed.
    NotAnExport(String),
    /// The first line contradicts the rest.
    Header(&'static str),
    /// A line that cannot be read where this entry should stand.
    Unreadable(String),
    /// The entry is not what it was.
    Altered,
    /// The record of this exchange is not what it was, or not there.
    Exchange {
        /// Which exchange of the entry, from 1.
        n: u64,
        /// Its identifier, if it is known.
        id: Option<ExchangeId>,
    },
    /// Records of this entry's exchanges are not there, or not in their place, from this one on.
    ExchangesMissing {
        /// The first one, from 1.
        n: u64,
        /// How many the entry has.
        count: u64,
    },
    /// There are records of exchanges that do not belong to the entry.
    ExchangesInserted,
    /// The records of the entry's exchanges agree with their hashes, but these are not the ones that were chained.
    ExchangesRewritten,
    /// This entry and those up to `until` are not there.
    Missing {
        /// The last missing one.
        until: u64,
    },
    /// The entry stands further down than its place.
    Reordered {
        /// Where it stands.
        line: u64,
    },
    /// The entry stands where it does not belong: a second time, or beyond the announced end.
    Inserted,
    /// The entry belongs to another organization's chain.
    Foreign(OrgId),
    /// The file ends before this entry; the header announces entries up to `until`.
    CutOff {
        /// The last one announced.
        until: u64,
    },
    /// The file does not end with a checkpoint of its last entry.
    NoClosingCheckpoint,
    /// A checkpoint's signature is not good.
    BadSignature(&'static str),
    /// A checkpoint is signed with a key that is not trusted.
    UntrustedKey(PublicKey),
    /// A checkpoint does not stand after the entry it covers.
    Misplaced,
    /// Checkpoints before this one were taken out: it covers fewer entries than there are since the last.
    MissingCheckpoint,
    /// The entry is not the one of a checkpoint that was kept elsewhere: what is up to it was changed, the hashes were made
    /// anew, and the result was signed.
    NotAsKept,
    /// The file ends with this entry, before the one of a checkpoint that was kept elsewhere.
    EndsBeforeKept {
        /// The entry that checkpoint covers.
        covered: u64,
    },
    /// The chain hangs together but is not what was signed: something from this entry up to `until` was changed and the
    /// hashes were made anew.
    Rewritten {
        /// The entry of the checkpoint that tells.
        until: u64,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        let seq = self.seq.unwrap_or(0);
        match &self.wrong {
            Wrong::NotAnExport(why) => write!(f, "the file is not an audit export: {why}"),
            Wrong::Header(why) => write!(f, "the first line does not agree with the rest: {why}"),
            Wrong::Unreadable(why) => write!(f, "entry {seq} should stand here and cannot be read: {why}"),
            Wrong::Altered => write!(f, "entry {seq} was altered: its hash does not match"),
            Wrong::Exchange { n, id } => {
                let id = id.map_or_else(String::new, |id| format!(" (`{id}`)"));
                write!(f, "exchange {n}{id} of entry {seq} was altered or removed")
            }
            Wrong::ExchangesMissing { n, count } => {
                write!(f, "exchange {n} of the {count} of entry {seq} is missing, or not in its place")
            }
            Wrong::ExchangesInserted => {
                write!(f, "an exchange stands after entry {seq} that does not belong to it")
            }
            Wrong::ExchangesRewritten => write!(
                f,
                "the exchanges of entry {seq} are not the ones that were recorded: some were altered and their hashes \
                 made anew"
            ),
            Wrong::Missing { until } if *until == seq => write!(f, "entry {seq} is missing"),
            Wrong::Missing { until } => write!(f, "entries {seq} to {until} are missing"),
            Wrong::Reordered { line } => {
                write!(f, "entry {seq} is not in its place; it stands in line {line}")
            }
            Wrong::Inserted => write!(f, "entry {seq} was inserted where it does not belong"),
            Wrong::Foreign(org) => write!(f, "entry {seq} belongs to another organization, `{org}`"),
            Wrong::CutOff { until } => {
                write!(f, "the file ends before entry {seq}; it was written with entries up to {until}")
            }
            Wrong::NoClosingCheckpoint => {
                write!(f, "the file does not end with a signed checkpoint of entry {seq}")
            }
            Wrong::BadSignature(why) => write!(f, "the checkpoint of entry {seq} is not good: {why}"),
            Wrong::UntrustedKey(key) => write!(
                f,
                "the checkpoint of entry {seq} is signed with key {} (`{key}`), which is not the given one",
                key.id()
            ),
            Wrong::Misplaced => write!(f, "the checkpoint of entry {seq} does not stand after that entry"),
            Wrong::MissingCheckpoint => {
                write!(f, "a checkpoint before the one of entry {seq} was taken out")
            }
            Wrong::NotAsKept => write!(
                f,
                "entry {seq} is not the one of the checkpoint given: what is up to it was altered, and signed anew"
            ),
            Wrong::EndsBeforeKept { covered } => {
                write!(f, "the log ends with entry {seq}, but the checkpoint given covers entry {covered}")
            }
            Wrong::Rewritten { until } => write!(
                f,
                "the signed checkpoint of entry {until} does not match: something from entry {seq} to {until} was \
                 altered and the hashes were made anew"
            ),
        }
    }
}
