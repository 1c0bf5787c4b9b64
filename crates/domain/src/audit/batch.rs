//! One entry for many exchanges: it holds a hash over the hashes of their records.
//!
//! The records lie beside the log. Beside the entry lies the list of its *leaves*: which exchange, and the SHA-256 of its
//! record. The entry's detail has the SHA-256 of all these hashes in their order, so that whoever changes, removes,
//! adds or exchanges a record has to change the list, and who changes the list has to change the entry.

use std::ops::Range;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{Actor, Draft, Hash, Object};
use crate::exchange::{Ended, Exchange};
use crate::id::ExchangeId;
use crate::time::UnixMillis;

/// The action of an entry for a batch of exchanges. All other actions are acts of management.
pub const EXCHANGES: &str = "exchange.batch";
/// How such an entry's canonical JSON begins, and no other's.
const BEGINNING: &str = r#"{"action":"exchange.batch","#;
/// Bytes of a leaf: the identifier's 16, highest first, and the hash's 32.
const LEAF: usize = 48;
const HASH: Range<usize> = 16..LEAF;

/// One exchange of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf {
    /// Which exchange.
    pub id: ExchangeId,
    /// The SHA-256 of its record.
    pub hash: Hash,
}

impl Leaf {
    /// Whether this record is the one that was hashed.
    pub fn holds(&self, record: &str) -> bool {
        Hash::of(record.as_bytes()) == self.hash
    }
}

/// The leaves of a batch, as they are stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leaves(Vec<u8>);

impl Leaves {
    /// The leaves with these bytes; `None` when they cannot be leaves.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        bytes.len().is_multiple_of(LEAF).then_some(Self(bytes))
    }

    /// Their bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len() / LEAF
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The leaves in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Leaf> {
        self.0.chunks_exact(LEAF).map(|leaf| {
            let id = leaf[..HASH.start].try_into().expect("16 bytes are 16 bytes");
            let hash = leaf[HASH].try_into().expect("32 bytes are 32 bytes");
            Leaf { id: ExchangeId::from_bits(u128::from_be_bytes(id)), hash: Hash::from_bytes(hash) }
        })
    }

    /// The hash over all their hashes.
    pub fn hash(&self) -> Hash {
        let mut sum = LeavesHash::default();
        self.iter().for_each(|leaf| sum.add(&leaf.hash));
        sum.finish()
    }

    fn push(&mut self, id: ExchangeId, hash: &Hash) {
        self.0.extend_from_slice(&id.bits().to_be_bytes());
        self.0.extend_from_slice(hash.as_bytes());
    }
}

/// [`Leaves::hash`], leaf by leaf.
#[derive(Default)]
pub(super) struct LeavesHash(Sha256);

impl LeavesHash {
    pub(super) fn add(&mut self, hash: &Hash) {
        self.0.update(hash.as_bytes());
    }

    pub(super) fn finish(self) -> Hash {
        Hash::from_bytes(self.0.finalize().into())
    }
}

/// A batch that is being put together.
#[derive(Debug, Default)]
pub struct Batch {
    leaves: Leaves,
    first: Option<ExchangeId>,
    ended_at: Option<UnixMillis>,
    refused: u64,
    failed: u64,
    cost_nanos: i64,
}

impl Batch {
    /// An empty batch with room for so many.
    pub fn with_capacity(exchanges: usize) -> Self {
        Self { leaves: Leaves(Vec::with_capacity(exchanges * LEAF)), ..Self::default() }
    }

    /// Adds an exchange by its record.
    pub fn push(&mut self, exchange: &Exchange, record: &str) {
        self.leaves.push(exchange.id, &Hash::of(record.as_bytes()));
        self.first.get_or_insert(exchange.id);
        let ended_at = exchange.started_at.plus_millis(exchange.duration_ms.into());
        self.ended_at = self.ended_at.max(Some(ended_at));
        self.cost_nanos = self.cost_nanos.saturating_add(exchange.cost.nanos.0);
        match exchange.ended {
            Ended::Completed => {}
            Ended::Refused => self.refused += 1,
            Ended::UpstreamError
            | Ended::UpstreamFailed
            | Ended::ClientGone
            | Ended::Revoked
            | Ended::Interrupted => self.failed += 1,
        }
    }

    /// The act to append, at the time at which the last of them ended, and its leaves; `None` when the batch is empty.
    pub fn finish(self) -> Option<(Draft, Leaves)> {
        let (first, at) = self.first.zip(self.ended_at)?;
        let act = Draft::new(at, Actor::system("ledger"), EXCHANGES, Object::new("exchange", first, ""))
            .with("cost_nanos", self.cost_nanos)
            .with("count", self.leaves.len() as u64)
            .with("failed", self.failed)
            .with("leaves", self.leaves.hash().to_string())
            .with("refused", self.refused);
        Some((act, self.leaves))
    }
}

/// What an entry for a batch says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Promised {
    /// How many exchanges.
    pub count: u64,
    /// The hash over their hashes.
    pub leaves: Hash,
}

#[derive(Deserialize)]
struct Detailed {
    detail: Promised,
}

impl Promised {
    /// What an entry's canonical JSON promises; `None` when the entry is not one for exchanges.
    ///
    /// # Errors
    /// It is one, and does not say what it should.
    pub fn read(canonical: &str) -> Result<Option<Self>, serde_json::Error> {
        if !canonical.starts_with(BEGINNING) {
            return Ok(None);
        }
        serde_json::from_str::<Detailed>(canonical).map(|entry| Some(entry.detail))
    }

    /// Whether these are the leaves.
    pub fn is_of(&self, leaves: &Leaves) -> bool {
        self.count == leaves.len() as u64 && self.leaves == leaves.hash()
    }
}
