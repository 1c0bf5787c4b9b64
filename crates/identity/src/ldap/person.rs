//! People as the directory describes them.

use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;
use std::sync::Arc;

use gatehouse_domain::time::UnixMillis;

use super::config::{IdFormat, People};
use super::entry::Entry;
use super::filter::{escaped, filter_value};
use super::standing::{Standing, attributes as standing_attributes};

/// What identifies a person over renames and moves: `objectGUID`, `entryUUID`, or whatever is configured.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StableId(String);

const MAX_ID: usize = 256;

/// Why a text is no stable id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the directory's id of a person is empty, longer than {MAX_ID} bytes, or has control characters")]
pub struct BadId;

impl StableId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads the attribute's value.
    pub(super) fn read(value: &[u8], format: IdFormat) -> Option<Self> {
        match format {
            IdFormat::Guid => Some(Self(guid_text(value.try_into().ok()?))),
            IdFormat::Uuid => {
                guid_bytes(std::str::from_utf8(value).ok()?).map(|bytes| Self(guid_text(bytes)))
            }
            IdFormat::Text => std::str::from_utf8(value).ok()?.parse().ok(),
        }
    }

    /// The value to search for; `None` when the id cannot be one of this format.
    pub(super) fn filter_value(&self, format: IdFormat) -> Option<String> {
        match format {
            IdFormat::Guid => {
                // Every byte is escaped: some servers take an unescaped letter here for text.
                guid_bytes(&self.0).map(|bytes| escaped(&bytes))
            }
            IdFormat::Uuid => guid_bytes(&self.0).map(|_| self.0.clone()),
            IdFormat::Text => Some(filter_value(self.0.as_bytes())),
        }
    }
}

impl FromStr for StableId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let good = !text.is_empty() && text.len() <= MAX_ID && !text.chars().any(char::is_control);
        if good { Ok(Self(text.to_owned())) } else { Err(BadId) }
    }
}

impl fmt::Display for StableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// In which order the bytes of a GUID are written: its first three fields are little endian.
const GUID_ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

/// The usual text of a GUID, as Microsoft's tools show it.
fn guid_text(bytes: [u8; 16]) -> String {
    let mut out = String::with_capacity(36);
    for (place, index) in GUID_ORDER.into_iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        write!(out, "{:02x}", bytes[index]).expect("writing to a string does not fail");
    }
    out
}

/// The bytes of a GUID's usual text.
fn guid_bytes(text: &str) -> Option<[u8; 16]> {
    let text = text.as_bytes();
    let dashes = [8, 13, 18, 23];
    if text.len() != 36 || dashes.iter().any(|at| text[*at] != b'-') {
        return None;
    }
    let mut digits = text.iter().enumerate().filter(|(at, _)| !dashes.contains(at)).map(|(_, digit)| *digit);
    let mut bytes = [0; 16];
    for index in GUID_ORDER {
        let high = char::from(digits.next()?).to_digit(16)?;
        let low = char::from(digits.next()?).to_digit(16)?;
        bytes[index] = u8::try_from(high * 16 + low).ok()?;
    }
    Some(bytes)
}

/// A group that a person is in, directly or through other groups.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group {
    /// Its distinguished name.
    pub dn: Arc<str>,
    /// The name to show.
    pub name: Arc<str>,
}

/// A person as the directory describes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Joins the entry with our account.
    pub stable_id: StableId,
    /// Where the entry is now.
    pub dn: String,
    /// The e-mail address, if there is a usable one. Not proved: whoever may edit the entry chooses it.
    pub email: Option<String>,
    /// The name to show, if there is one. Without control characters; may have any others.
    pub name: Option<String>,
    /// All groups, in order of their names in the directory.
    pub groups: Vec<Group>,
    /// Whether the account may be used.
    pub standing: Standing,
}

/// The names of what is read of a person.
pub(super) fn attributes(people: &People) -> Vec<String> {
    let mut names = vec![
        people.id.as_str().to_owned(),
        people.email.as_str().to_owned(),
        people.name.as_str().to_owned(),
    ];
    names.extend(standing_attributes().map(str::to_owned));
    names
}

impl Person {
    /// Reads a person, without groups; `None` when the entry has no usable id.
    pub(super) fn read(entry: &Entry, people: &People, now: UnixMillis) -> Option<Self> {
        Some(Self {
            stable_id: StableId::read(entry.first(people.id.as_str())?, people.id_format)?,
            dn: entry.dn.clone(),
            email: entry.text(people.email.as_str()).and_then(email),
            name: entry.text(people.name.as_str()).and_then(shown_name),
            groups: Vec::new(),
            standing: Standing::read(entry, now),
        })
    }
}

fn email(text: &str) -> Option<String> {
    let text = text.trim();
    let (local, domain) = text.rsplit_once('@')?;
    let plain = !text.chars().any(|c| c.is_control() || c.is_whitespace());
    (plain && !local.is_empty() && !local.contains('@') && !domain.is_empty() && text.len() <= 254)
        .then(|| text.to_owned())
}

/// A name to show, cut to 256 characters.
pub(super) fn shown_name(text: &str) -> Option<String> {
    let name: String = text.trim().chars().filter(|c| !c.is_control()).take(256).collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_guid_reads_as_microsoft_writes_it() {
        let bytes: [u8; 16] =
            [0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];
        let id = StableId::read(&bytes, IdFormat::Guid).unwrap();
        assert_eq!(id.as_str(), "00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(
            id.filter_value(IdFormat::Guid).unwrap(),
            "\\33\\22\\11\\00\\55\\44\\77\\66\\88\\99\\aa\\bb\\cc\\dd\\ee\\ff"
        );
        assert_eq!(StableId::read(&bytes[..15], IdFormat::Guid), None);
        assert_eq!(StableId::read(&[], IdFormat::Guid), None);
    }

    #[test]
    fn other_ids_are_text() {
        let upper = b"00112233-4455-6677-8899-AABBCCDDEEFF";
        let id = StableId::read(upper, IdFormat::Uuid).unwrap();
        assert_eq!(id.as_str(), "00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(id.filter_value(IdFormat::Uuid).unwrap(), id.as_str());
        for text in ["", "0011223344556677-8899-aabbccddeeff", "zz112233-4455-6677-8899-aabbccddeeff"] {
            assert_eq!(StableId::read(text.as_bytes(), IdFormat::Uuid), None, "{text}");
        }
        let id: StableId = "a*)(uid=*".parse().unwrap();
        assert_eq!(id.filter_value(IdFormat::Text).unwrap(), "a\\2a\\29\\28uid\\3d\\2a");
        assert_eq!(id.filter_value(IdFormat::Guid), None);
        assert_eq!(id.filter_value(IdFormat::Uuid), None);
        assert!("".parse::<StableId>().is_err() && "a\nb".parse::<StableId>().is_err());
    }

    #[test]
    fn unusable_addresses_and_names_are_left_out() {
        assert_eq!(email(" dev@example.com ").as_deref(), Some("dev@example.com"));
        for text in
            ["", "dev", "@example.com", "dev@", "a@b@example.com", "a b@example.com", "a\n@example.com"]
        {
            assert_eq!(email(text), None, "{text:?}");
        }
        assert_eq!(shown_name(" <b>Ann</b>\r\n\u{1b}[31m ").as_deref(), Some("<b>Ann</b>[31m"));
        assert_eq!(shown_name(" \n "), None);
    }

    proptest! {
        #[test]
        fn every_guid_comes_back(bytes: [u8; 16]) {
            prop_assert_eq!(guid_bytes(&guid_text(bytes)), Some(bytes));
        }
    }
}
