//! Names and e-mail addresses that people give, checked and brought to one form in one place.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest name, in characters.
pub const MAX_NAME: usize = 120;
/// Longest e-mail address, in bytes (RFC 5321, section 4.5.3.1.3, less its two angle brackets).
pub const MAX_EMAIL: usize = 254;

/// A name for people to read: of a team, a project, a key, a person.
///
/// Trimmed, 1 to [`MAX_NAME`] characters, without control characters and without characters that hide
/// or reorder text (such names could be mistaken for one another in a list).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

/// A text that cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Nothing but white space.
    #[error("the name is empty")]
    Empty,
    /// More than [`MAX_NAME`] characters.
    #[error("the name `{0}…` is longer than {MAX_NAME} characters")]
    TooLong(String),
    /// A control character, or one that hides or reorders text.
    #[error("the name `{given}` has the character U+{character:04X}, which is invisible or reorders text")]
    Unprintable {
        /// The beginning of what was given, the offending characters escaped.
        given: String,
        /// The first offending character.
        character: u32,
    },
}

impl Name {
    /// Trims and checks a name.
    ///
    /// # Errors
    /// The name is empty, too long, or has characters that are not to be seen.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let text = text.trim();
        if text.is_empty() {
            return Err(BadName::Empty);
        }
        if text.chars().nth(MAX_NAME).is_some() {
            return Err(BadName::TooLong(text.chars().take(20).flat_map(char::escape_debug).collect()));
        }
        match text.chars().find(|c| is_unprintable(*c)) {
            None => Ok(Self(text.to_owned())),
            Some(c) => Err(BadName::Unprintable {
                given: text.chars().take(40).flat_map(char::escape_default).collect(),
                character: u32::from(c),
            }),
        }
    }

    /// The name as it was given, trimmed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form by which names are compared: two names that differ only in case are the same name.
    pub fn folded(&self) -> String {
        self.0.to_lowercase()
    }
}

/// An e-mail address: lower case, at most [`MAX_EMAIL`] bytes, of the form that HTML's e-mail field accepts
/// (<https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address>): ASCII only, international domains
/// in their `xn--` form.
///
/// The part before the `@` is lowered too: no mail service in use tells cases apart, and directories do not agree
/// on the spelling.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Email(String);

/// A text that is no e-mail address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an e-mail address (expected such as ada@example.com)")]
pub struct BadEmail(String);

impl Email {
    /// Trims, lowers and checks an address.
    ///
    /// # Errors
    /// The text does not have the form of an address.
    pub fn parse(text: &str) -> Result<Self, BadEmail> {
        let text = text.trim();
        if is_email(text) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(BadEmail(text.chars().take(80).flat_map(char::escape_debug).collect()))
        }
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let local_ok = (1..=64).contains(&local.len())
        && local.bytes().all(|b| b.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&b));
    let label_ok = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= MAX_EMAIL && local_ok && domain.split('.').all(label_ok)
}

/// Whether a character cannot be seen, or changes how its neighbors are seen: control characters, zero-width
/// characters, line and paragraph separators, and bidirectional controls (Unicode Standard Annex 9).
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

macro_rules! text_newtype {
    ($name:ident, $error:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, $error> {
                Self::parse(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                Self::parse(&String::deserialize(d)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

text_newtype!(Name, BadName);
text_newtype!(Email, BadEmail);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_brought_to_one_form() {
        for (given, kept) in [
            ("Ada@Example.COM", "ada@example.com"),
            (" grace.hopper+nav@navy.mil\n", "grace.hopper+nav@navy.mil"),
            ("root@localhost", "root@localhost"),
            ("a@xn--fsqu00a.xn--0zwm56d", "a@xn--fsqu00a.xn--0zwm56d"),
        ] {
            assert_eq!(Email::parse(given).unwrap().as_str(), kept);
        }
    }

    #[test]
    fn hostile_addresses_are_refused() {
        for given in [
            "",
            "@",
            "a@",
            "@b",
            "a@b@c",
            "a b@c",
            "a@b..c",
            "a@-b",
            "a@b-",
            "a@b.",
            "\u{e9}@b.c",
            "a@\u{e9}.c",
            "a\0@b.c",
            "a@b.c\r\nbcc: x@y.z",
            "<a@b.c>",
            "\"a\"@b.c",
            "a,b@c.d",
            &format!("{}@b.c", "a".repeat(65)),
            &format!("a@{}", "b.".repeat(130)),
        ] {
            assert!(Email::parse(given).is_err(), "{given:?}");
        }
    }

    #[test]
    fn names_are_trimmed_and_limited() {
        assert_eq!(Name::parse("  Core Team ").unwrap().as_str(), "Core Team");
        assert_eq!(Name::parse("Über 平台").unwrap().folded(), "über 平台");
        assert!(Name::parse(&"名".repeat(MAX_NAME)).is_ok());
        for given in
            ["", " \t ", &"x".repeat(MAX_NAME + 1), "a\nb", "a\0b", "a\u{202e}b", "a\u{200b}b", "\u{feff}b"]
        {
            assert!(Name::parse(given).is_err(), "{given:?}");
        }
    }
}
