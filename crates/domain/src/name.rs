//! Names and e-mail addresses that people give, checked and brought to one form in one place.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// Longest name, in characters.
pub const MAX_NAME: usize = 120;
/// Longest e-mail address, in bytes (RFC 5321, section 4.5.3.1.3, less its two angle brackets).
pub const MAX_EMAIL: usize = 254;

/// A name for people to read: of a team, a project, a key, a person.
///
/// Trimmed, in Unicode's normalization form C (so that one sight has one spelling), 1 to [`MAX_NAME`] characters, without
/// control characters and without characters that hide or reorder text (such names could be mistaken for one another in
/// a list).
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
    /// Trims, normalizes and checks a name.
    ///
    /// # Errors
    /// The name is empty, too long, or has characters that are not to be seen.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let text = text.trim();
        if text.is_empty() {
            return Err(BadName::Empty);
        }
        let too_long = || BadName::TooLong(text.chars().take(20).flat_map(char::escape_debug).collect());
        // A character that looks like one may be written as up to four; what is longer still is not worth normalizing.
        if text.chars().nth(4 * MAX_NAME).is_some() {
            return Err(too_long());
        }
        let normal: String = text.nfc().collect();
        if normal.chars().nth(MAX_NAME).is_some() {
            return Err(too_long());
        }
        match normal.chars().find(|c| is_unprintable(*c)) {
            None => Ok(Self(normal)),
            Some(c) => Err(BadName::Unprintable {
                given: text.chars().take(40).flat_map(char::escape_default).collect(),
                character: u32::from(c),
            }),
        }
    }

    /// The name as it was given, trimmed and normalized.
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

/// One spelling for all the texts that a directory may take for the same name: without case, accents, spaces and what cannot
/// be seen, and with plain characters for compatible ones (such as those of full width). Two names may get one spelling,
/// but no name two: for counting, never for finding somebody. At most 256 bytes of the text are looked at.
pub fn folded(text: &str) -> String {
    let end = (0..=256.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let plain =
        text[..end].nfkd().filter(|c| !is_combining_mark(*c) && !c.is_whitespace() && !is_unprintable(*c));
    // Case first would leave what only gets a case by being taken apart, and what is taken apart only in lower case.
    let lower: String = plain.flat_map(char::to_lowercase).collect();
    lower.nfkd().filter(|c| !is_combining_mark(*c)).collect()
}

/// Whether a character cannot be seen, or changes how its neighbors are seen: control characters, line and paragraph
/// separators, interlinear annotations, and whatever has Unicode's property `Default_Ignorable_Code_Point`, which
/// includes zero-width characters, bidirectional controls, fillers, tags and variation selectors.
pub fn is_unprintable(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{FFF9}'..='\u{FFFB}') || is_ignorable(c)
}

/// `Default_Ignorable_Code_Point`, from the Unicode Character Database's `DerivedCoreProperties.txt`, with the code points
/// that are reserved for it.
const fn is_ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{00AD}'
            | '\u{034F}'
            | '\u{061C}'
            | '\u{115F}'..='\u{1160}'
            | '\u{17B4}'..='\u{17B5}'
            | '\u{180B}'..='\u{180F}'
            | '\u{200B}'..='\u{200F}'
            | '\u{202A}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}'
            | '\u{3164}'
            | '\u{FE00}'..='\u{FE0F}'
            | '\u{FEFF}'
            | '\u{FFA0}'
            | '\u{FFF0}'..='\u{FFF8}'
            | '\u{1BCA0}'..='\u{1BCA3}'
            | '\u{1D173}'..='\u{1D17A}'
            | '\u{E0000}'..='\u{E0FFF}'
    )
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

    /// A second team "Core" once could be made by adding a character that nobody sees.
    #[test]
    fn names_with_characters_that_nobody_sees_are_refused() {
        for c in [
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{115f}',
            '\u{1160}',
            '\u{17b4}',
            '\u{180b}',
            '\u{180e}',
            '\u{180f}',
            '\u{200d}',
            '\u{2028}',
            '\u{2029}',
            '\u{2066}',
            '\u{206a}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{ffa0}',
            '\u{fff0}',
            '\u{fff9}',
            '\u{1bca0}',
            '\u{1d173}',
            '\u{e0001}',
            '\u{e0041}',
            '\u{e01ef}',
            '\u{7f}',
            '\u{85}',
        ] {
            let given = format!("Co{c}re");
            assert!(matches!(Name::parse(&given), Err(BadName::Unprintable { .. })), "{given:?}");
        }
        for good in ["Core-1", "Café", "平台", "Ω α", "한국어", "Größe ½", "🚀 Rockets"] {
            assert_eq!(Name::parse(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn two_spellings_of_one_sight_are_one_name() {
        for (one, other) in [("Cafe\u{301}", "Café"), ("\u{1112}\u{1161}\u{11ab}", "한"), ("\u{212b}", "Å")]
        {
            assert_eq!(Name::parse(one).unwrap(), Name::parse(other).unwrap());
        }
        // As many as a name may have, each in two parts.
        assert!(Name::parse(&"e\u{301}".repeat(MAX_NAME)).is_ok());
        assert!(Name::parse(&"e\u{301}".repeat(MAX_NAME + 1)).is_err());
        assert!(Name::parse(&format!("a{}", "\u{301}".repeat(1_000_000))).is_err());
    }

    proptest::proptest! {
        #[test]
        fn a_name_is_read_back_as_it_is(text in "\\PC{0,40}") {
            if let Ok(name) = Name::parse(&text) {
                proptest::prop_assert_eq!(Name::parse(name.as_str()), Ok(name));
            }
        }
    }

    #[test]
    fn one_name_has_one_spelling_however_it_is_typed() {
        for typed in [
            "alice",
            "ALICE",
            " a lice ",
            "\u{ff41}\u{ff4c}ice",
            "a\u{ad}l\u{200b}ice",
            "\u{1d4d0}lice",
            "\u{e1}lic\u{e9}",
        ] {
            assert_eq!(folded(typed), "alice", "{typed:?}");
        }
        assert_eq!(folded("\u{738b}\u{4f1f}"), "\u{738b}\u{4f1f}");
        assert_ne!(folded("alice"), folded("bob"));
        assert_eq!(folded(&"\u{e9}".repeat(10_000)).len(), 128, "bounded");
        assert_eq!(folded(""), "");
    }
}
