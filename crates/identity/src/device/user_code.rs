//! The user code: what a person reads on one screen and types on another.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::jwt::shown;

use super::code::USER_CODE_RANDOM;

/// Consonants only: they spell no words, and none looks like a digit (RFC 8628 section 6.1).
const ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const LEN: usize = 8;
/// Longest text that is looked at, in bytes.
const MAX_TYPED: usize = 64;

/// A user code: eight letters, shown as `XXXX-XXXX`. 34 bits, which is enough for ten minutes behind a rate limit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserCode([u8; LEN]);

/// A text that is no user code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no code (expected eight letters as shown in the terminal, such as WDJB-MJHT)")]
pub struct BadUserCode(String);

impl UserCode {
    /// Makes a code from random bytes.
    pub fn generate(random: &[u8; USER_CODE_RANDOM]) -> Self {
        // The remainder of 128 random bits: no code is likelier than another by more than 2^-93.
        let mut number = u128::from_be_bytes(*random);
        Self(std::array::from_fn(|_| {
            let digit = usize::try_from(number % 20).expect("a remainder of 20 is below 20");
            number /= 20;
            ALPHABET[digit]
        }))
    }

    /// Reads what a person typed: in any case, with spaces and dashes anywhere or nowhere.
    ///
    /// # Errors
    /// If it is no code, however it is read.
    pub fn parse(text: &str) -> Result<Self, BadUserCode> {
        let bad = || BadUserCode(shown(text));
        if text.len() > MAX_TYPED {
            return Err(bad());
        }
        let mut code = [0; LEN];
        let mut len = 0;
        for letter in text.chars().filter(|c| !is_filler(*c)) {
            let upper = u8::try_from(letter).map_err(|_| bad())?.to_ascii_uppercase();
            if !ALPHABET.contains(&upper) {
                return Err(bad());
            }
            *code.get_mut(len).ok_or_else(bad)? = upper;
            len += 1;
        }
        if len == LEN { Ok(Self(code)) } else { Err(bad()) }
    }
}

/// Spaces, and the dashes that phones and word processors make of a typed one.
fn is_filler(c: char) -> bool {
    c.is_whitespace() || matches!(c, '-' | '_' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{FF0D}')
}

impl fmt::Display for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, letter) in self.0.iter().enumerate() {
            let dash = if at == LEN / 2 { "-" } else { "" };
            write!(f, "{dash}{}", char::from(*letter))?;
        }
        Ok(())
    }
}

impl fmt::Debug for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl TryFrom<String> for UserCode {
    type Error = BadUserCode;

    fn try_from(text: String) -> Result<Self, BadUserCode> {
        Self::parse(&text)
    }
}

impl From<UserCode> for String {
    fn from(code: UserCode) -> Self {
        code.to_string()
    }
}
