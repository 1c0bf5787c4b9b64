//! From one signing key to the next: the log names both in an entry, and a key that is trusted signs that entry.

use serde::Deserialize;

use super::super::{Checkpoint, PublicKey};

/// Most keys that are told apart.
const MOST: usize = 64;
/// How the entry that names them can be told from most others without reading it.
const ACTION: &str = r#""action":"secret.rotate""#;

/// The keys that are trusted, and those that may turn out to be.
pub(super) struct Handovers {
    trusted: Vec<PublicKey>,
    /// Named in entries that no trusted key has signed yet: at which entry, which key before, which after.
    named: Vec<(u64, PublicKey, PublicKey)>,
    /// Keys that signed and are not trusted, with the first entry they signed.
    strange: Vec<(u64, PublicKey)>,
}

#[derive(Deserialize)]
struct Rotation {
    action: String,
    object: Object,
    outcome: String,
    detail: Detail,
}

#[derive(Deserialize)]
struct Object {
    kind: String,
    id: String,
}

#[derive(Deserialize)]
struct Detail {
    before: PublicKey,
    public_key: PublicKey,
}

impl Handovers {
    /// Beginning with these trusted keys; without any, no key is strange.
    pub(super) fn new(trusted: &[PublicKey]) -> Self {
        Self { trusted: trusted.to_vec(), named: Vec::new(), strange: Vec::new() }
    }

    /// An entry was read.
    pub(super) fn read(&mut self, seq: u64, entry: &str) {
        if self.trusted.is_empty() || self.named.len() >= MOST || !entry.contains(ACTION) {
            return;
        }
        let Ok(rotation) = serde_json::from_str::<Rotation>(entry) else { return };
        let object = &rotation.object;
        if rotation.action == "secret.rotate"
            && rotation.outcome == "done"
            && (object.kind.as_str(), object.id.as_str()) == ("secret", "audit")
        {
            self.named.push((seq, rotation.detail.before, rotation.detail.public_key));
        }
    }

    /// A checkpoint was read whose signature is good, and which is of what was read.
    ///
    /// # Errors
    /// The key, when there are too many strange ones.
    pub(super) fn signed(&mut self, point: &Checkpoint) -> Result<(), PublicKey> {
        if self.trusted.is_empty() {
            return Ok(());
        }
        if !self.trusted.contains(&point.key) {
            let known = self.strange.iter().any(|(_, key)| *key == point.key);
            if !known && self.strange.len() >= MOST {
                return Err(point.key);
            }
            if !known {
                self.strange.push((point.seq, point.key));
            }
            return Ok(());
        }
        // All that is named up to here is so by the word of a trusted key.
        for (seq, before, after) in std::mem::take(&mut self.named) {
            if seq > point.seq {
                self.named.push((seq, before, after));
                continue;
            }
            for key in [before, after] {
                if !self.trusted.contains(&key) && self.trusted.len() < MOST {
                    self.trusted.push(key);
                }
            }
        }
        Ok(())
    }

    /// The first key that signed and was never found to be trusted.
    pub(super) fn never_trusted(&self) -> Option<(u64, PublicKey)> {
        self.strange.iter().find(|(_, key)| !self.trusted.contains(key)).copied()
    }
}
