//! Linking entries into a chain.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use super::{Draft, Entry, canonical};
use crate::id::OrgId;

/// A SHA-256 hash. As text: 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The hash with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The SHA-256 of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// What the first entry of an organization's chain is linked to. It differs by organization, so that a chain
    /// cannot be passed off as another organization's.
    pub fn genesis(org: OrgId) -> Self {
        Self(
            Sha256::new().chain_update("gatehouse audit v1 ").chain_update(org.to_string()).finalize().into(),
        )
    }

    /// The hash of an entry, from the hash before it and the entry's canonical JSON.
    pub fn link(prev: &Self, canonical: &str) -> Self {
        Self(Sha256::new().chain_update(prev.0).chain_update(canonical).finalize().into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not of the expected number of lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {0} lower-case hexadecimal digits")]
pub struct BadHex(usize);

impl FromStr for Hash {
    type Err = BadHex;

    fn from_str(text: &str) -> Result<Self, BadHex> {
        read_hex(text).map(Self)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

pub(super) fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 128];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    let text = text.get(..bytes.len() * 2).ok_or(fmt::Error)?;
    f.write_str(std::str::from_utf8(text).map_err(|_| fmt::Error)?)
}

/// Reads exactly `N` bytes. Upper case is refused: one value has one spelling, so that a changed byte shows.
pub(super) fn read_hex<const N: usize>(text: &str) -> Result<[u8; N], BadHex> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != N * 2 {
        return Err(BadHex(N * 2));
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0]).zip(digit(pair[1])).map(|(high, low)| high * 16 + low).ok_or(BadHex(N * 2))?;
    }
    Ok(bytes)
}

/// Where a chain ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The place of the last entry; 0 when there is none.
    pub seq: u64,
    /// Its hash; [`Hash::genesis`] when there is none.
    pub hash: Hash,
}

/// A draft that got its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linked {
    /// Its place.
    pub seq: u64,
    /// Its canonical JSON.
    pub canonical: String,
    /// The hash before it.
    pub prev_hash: Hash,
    /// Its hash.
    pub hash: Hash,
}

impl Head {
    /// The empty chain of an organization.
    pub fn empty(org: OrgId) -> Self {
        Self { seq: 0, hash: Hash::genesis(org) }
    }

    /// Appends an act; the head becomes the new entry.
    pub fn append(&mut self, org: OrgId, act: &Draft) -> Linked {
        let seq = self.seq + 1;
        let mut text = String::with_capacity(512);
        canonical::write_entry(&mut text, org, seq, act);
        let prev_hash = self.hash;
        *self = Self { seq, hash: Hash::link(&prev_hash, &text) };
        Linked { seq, canonical: text, prev_hash, hash: self.hash }
    }
}

/// A stored entry that cannot be read, which means that it was altered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("audit entry {seq} cannot be read: {why}")]
pub struct BadEntry {
    seq: u64,
    why: String,
}

#[derive(Deserialize)]
struct Stored {
    org: OrgId,
    seq: u64,
    #[serde(flatten)]
    act: Draft,
}

impl Entry {
    /// Reads an entry's canonical JSON. The chain is not checked here; that is [`super::verify()`]'s task.
    ///
    /// # Errors
    /// The text is not an entry, or an entry of another place.
    pub fn read(seq: u64, canonical: &str, prev_hash: Hash, hash: Hash) -> Result<Self, BadEntry> {
        let stored: Stored =
            serde_json::from_str(canonical).map_err(|e| BadEntry { seq, why: e.to_string() })?;
        if stored.seq != seq {
            return Err(BadEntry { seq, why: format!("it says that it is entry {}", stored.seq) });
        }
        Ok(Self { seq, org: stored.org, act: stored.act, prev_hash, hash })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Actor, Object, Outcome};
    use super::*;
    use crate::time::UnixMillis;

    fn act() -> Draft {
        Draft::new(
            UnixMillis(5),
            Actor::system("test"),
            "key.rotate",
            Object::new("key", "key_1", "n\"\\\u{1}\n名"),
        )
        .with("z", "last")
        .with("a", -1_i64)
        .with("m", vec!["x".to_owned(), "y".to_owned()])
        .with("b", true)
        .ended(Outcome::Refused, "why")
    }

    #[test]
    fn the_canonical_form_is_sorted_and_tight() {
        let org = OrgId::from_bits(7);
        let linked = Head::empty(org).append(org, &act());
        assert_eq!(
            linked.canonical,
            concat!(
                r#"{"action":"key.rotate","actor":{"id":"test","kind":"system","name":"gatehouse"},"at":5,"#,
                r#""detail":{"a":-1,"b":true,"m":["x","y"],"z":"last"},"#,
                r#""object":{"id":"key_1","kind":"key","name":"n\"\\\u0001\n名"},"#,
                r#""org":"org_00000000000000000000000007","outcome":"refused","reason":"why","seq":1}"#
            )
        );
        let value: serde_json::Value = serde_json::from_str(&linked.canonical).unwrap();
        assert_eq!(serde_json::to_string(&value).unwrap(), linked.canonical);
    }

    #[test]
    fn entries_read_back() {
        let org = OrgId::from_bits(7);
        let mut head = Head::empty(org);
        head.append(org, &act());
        let mut act = act();
        act.from = Some("2001:db8::1".parse().unwrap());
        act.request_id = Some("req_1".to_owned());
        let linked = head.append(org, &act);
        let entry = Entry::read(2, &linked.canonical, linked.prev_hash, linked.hash).unwrap();
        assert_eq!((entry.seq, entry.org, &entry.act), (2, org, &act));
        assert!(Entry::read(3, &linked.canonical, linked.prev_hash, linked.hash).is_err());
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let org = OrgId::from_bits(7);
        let act = Draft::new(UnixMillis(5), Actor::anonymous(), "x", Object::new("x", "", "名".repeat(1000)));
        let linked = Head::empty(org).append(org, &act);
        let entry = Entry::read(1, &linked.canonical, linked.prev_hash, linked.hash).unwrap();
        assert_eq!(entry.act.object.name, "名".repeat(super::super::MAX_TEXT));
    }

    #[test]
    fn a_hash_depends_on_everything_before_it() {
        let (one, two) = (OrgId::from_bits(1), OrgId::from_bits(2));
        assert_ne!(Hash::genesis(one), Hash::genesis(two));
        let (mut a, mut b) = (Head::empty(one), Head::empty(one));
        a.append(one, &act());
        b.append(one, &act().with("c", 1_i64));
        assert_ne!(a.append(one, &act()).hash, b.append(one, &act()).hash);
    }
}
