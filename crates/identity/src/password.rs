//! Passwords of local accounts: the few that must work when the directory does not.
//!
//! Stored as Argon2id (RFC 9106) in the PHC string form. A check takes some 30 ms of a core and 19 MiB, so it belongs on
//! a blocking thread, with few at once; keys of the gateway never go this way.

use std::fmt;
use std::str::FromStr;

use argon2::{Algorithm, Argon2, Params, Version};
use base64ct::{Base64Unpadded, Encoding as _};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// Fewest characters of a new password.
pub const MIN_CHARACTERS: usize = 12;
/// Most bytes of a password, so that nobody makes us hash megabytes.
pub const MAX_BYTES: usize = 1024;
/// Random bytes that one hash needs.
pub const SALT_LEN: usize = 16;

const OUTPUT_LEN: usize = 32;
/// What new hashes are made with: the second choice of RFC 9106 section 4 scaled to 19 MiB, as OWASP recommends it.
const CURRENT: Cost = Cost { memory_kib: 19_456, passes: 2, lanes: 1 };
/// What a stored hash may ask for at most: more would let who can write one row take the machine's memory.
const HIGHEST: Cost = Cost { memory_kib: 262_144, passes: 16, lanes: 4 };
/// Longest text of a hash.
const MAX_TEXT: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// A stored hash. Not usable to sign in, but good for guessing: `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    cost: Cost,
    salt: Vec<u8>,
    output: Vec<u8>,
}

/// Why a password cannot be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPassword {
    /// Too short to withstand guessing.
    #[error("the password has {0} characters; use at least {MIN_CHARACTERS}")]
    TooShort(usize),
    /// Too long to be hashed.
    #[error("the password has {0} bytes; use at most {MAX_BYTES}")]
    TooLong(usize),
    /// It is no text, or has control characters.
    #[error("the password has characters that cannot be typed in; use letters, digits, signs and spaces")]
    NotText,
}

/// Why a text is no stored hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHash {
    /// It is not of the form that we write.
    #[error(
        "the stored password hash cannot be read (expected `$argon2id$v=19$m=...,t=...,p=...$SALT$HASH`)"
    )]
    Malformed,
    /// It asks for more memory or time than is granted.
    #[error("the stored password hash asks for more work than is allowed")]
    TooCostly,
}

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the password.
    Right,
    /// It is the password, but the hash was made with other parameters: hash it anew and store that.
    RightButOld,
    /// It is not, or there is no such account.
    Wrong,
}

impl PasswordHash {
    /// Hashes a new password. `salt` must be fresh random bytes.
    ///
    /// # Errors
    /// When the password is not good enough.
    pub fn make(password: &Secret, salt: [u8; SALT_LEN]) -> Result<Self, BadPassword> {
        let text = password.expose_text().ok_or(BadPassword::NotText)?;
        if text.chars().any(char::is_control) {
            return Err(BadPassword::NotText);
        }
        if text.len() > MAX_BYTES {
            return Err(BadPassword::TooLong(text.len()));
        }
        let characters = text.trim().chars().count();
        if characters < MIN_CHARACTERS {
            return Err(BadPassword::TooShort(characters));
        }
        Ok(Self::with(CURRENT, password.expose(), &salt))
    }

    fn with(cost: Cost, password: &[u8], salt: &[u8]) -> Self {
        let output = derive(cost, password, salt, OUTPUT_LEN);
        Self { cost, salt: salt.to_vec(), output: output.to_vec() }
    }
}

/// Checks a password against the stored hash of an account. Without an account it works as long as with one.
pub fn verify(password: &Secret, stored: Option<&PasswordHash>) -> Verdict {
    let nobody = PasswordHash { cost: CURRENT, salt: vec![0; SALT_LEN], output: vec![0; OUTPUT_LEN] };
    let hash = stored.unwrap_or(&nobody);
    // One that is too long is nobody's; hashing something else instead takes the same time.
    let sound = password.len() <= MAX_BYTES;
    let bytes = if sound { password.expose() } else { b"too long" };
    let output = derive(hash.cost, bytes, &hash.salt, hash.output.len());
    let same: bool = output.ct_eq(hash.output.as_slice()).into();
    if !same || !sound || stored.is_none() {
        Verdict::Wrong
    } else if hash.cost == CURRENT && hash.salt.len() == SALT_LEN && hash.output.len() == OUTPUT_LEN {
        Verdict::Right
    } else {
        Verdict::RightButOld
    }
}

fn derive(cost: Cost, password: &[u8], salt: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(length))
        .expect("the bounds were checked when the hash was read");
    let mut output = Zeroizing::new(vec![0; length]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password, salt, &mut output)
        .expect("password, salt and output have lengths that Argon2 takes");
    output
}

/// The PHC string, to be stored.
impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cost { memory_kib, passes, lanes } = self.cost;
        let salt = Base64Unpadded::encode_string(&self.salt);
        let output = Base64Unpadded::encode_string(&self.output);
        write!(f, "$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${output}")
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl FromStr for PasswordHash {
    type Err = BadHash;

    fn from_str(text: &str) -> Result<Self, BadHash> {
        if text.len() > MAX_TEXT {
            return Err(BadHash::Malformed);
        }
        let rest = text.strip_prefix("$argon2id$v=19$").ok_or(BadHash::Malformed)?;
        let parts: Vec<&str> = rest.split('$').collect();
        let [cost, salt, output] = parts[..] else { return Err(BadHash::Malformed) };
        let decode = |text: &str, longest: usize| {
            Base64Unpadded::decode_vec(text)
                .ok()
                .filter(|bytes| bytes.len() <= longest)
                .ok_or(BadHash::Malformed)
        };
        let (cost, salt, output) = (cost.parse::<Cost>()?, decode(salt, 64)?, decode(output, 64)?);
        if salt.len() < 8 || output.len() < 16 {
            return Err(BadHash::Malformed);
        }
        Ok(Self { cost, salt, output })
    }
}

impl FromStr for Cost {
    type Err = BadHash;

    fn from_str(text: &str) -> Result<Self, BadHash> {
        let mut parts = text.split(',');
        let mut number = |name: &str| -> Result<u32, BadHash> {
            let digits = parts.next().and_then(|part| part.strip_prefix(name)).ok_or(BadHash::Malformed)?;
            if digits.starts_with('+') {
                return Err(BadHash::Malformed);
            }
            digits.parse().map_err(|_| BadHash::Malformed)
        };
        let cost = Self { memory_kib: number("m=")?, passes: number("t=")?, lanes: number("p=")? };
        if parts.next().is_some() || cost.passes == 0 || cost.lanes == 0 {
            return Err(BadHash::Malformed);
        }
        if cost.memory_kib > HIGHEST.memory_kib || cost.passes > HIGHEST.passes || cost.lanes > HIGHEST.lanes
        {
            return Err(BadHash::TooCostly);
        }
        // RFC 9106 section 3.1: at least eight blocks for each lane.
        if cost.memory_kib < 8 * cost.lanes { Err(BadHash::Malformed) } else { Ok(cost) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "correct horse battery";
    const CHEAP: Cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    #[test]
    fn a_password_is_known_again() {
        let text = PasswordHash::make(&secret(GOOD), [7; SALT_LEN]).unwrap().to_string();
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$BwcHBwcHBwcHBwcHBwcHBw$"), "{text}");
        let stored: PasswordHash = text.parse().unwrap();
        assert_eq!(verify(&secret(GOOD), Some(&stored)), Verdict::Right);
        for wrong in ["", "Correct horse battery", "correct horse battery ", "x"] {
            assert_eq!(verify(&secret(wrong), Some(&stored)), Verdict::Wrong, "{wrong:?}");
        }
        assert_eq!(verify(&secret(GOOD), None), Verdict::Wrong);
        assert_eq!(format!("{stored:?}"), "[redacted]");
    }

    /// From the reference program: `printf password | argon2 somesalt -id -t 2 -k 64 -p 1 -l 32 -e`.
    #[test]
    fn a_hash_of_other_parameters_is_accepted_and_to_be_renewed() {
        let text = "$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHQ$FqGkmHNGCd0BRW2kBt6fPZ2pPmyGwwChL8FGUhTOSSI";
        let old: PasswordHash = text.parse().unwrap();
        assert_eq!(verify(&secret("password"), Some(&old)), Verdict::RightButOld);
        assert_eq!(verify(&secret("wrong"), Some(&old)), Verdict::Wrong);
        assert_eq!(old.to_string(), text);
    }

    #[test]
    fn passwords_that_are_not_good_enough_are_refused() {
        for (password, why) in [
            (&b""[..], BadPassword::TooShort(0)),
            (b"hunter2", BadPassword::TooShort(7)),
            (b"a                     b"[..12].as_ref(), BadPassword::TooShort(1)),
            ("zo\u{eb}".repeat(3).as_bytes(), BadPassword::TooShort(9)),
            (&[b'a'; 1025], BadPassword::TooLong(1025)),
            (b"\xff\xfe\xfd123456789012", BadPassword::NotText),
            (b"with a\0zero byte", BadPassword::NotText),
        ] {
            let made = PasswordHash::make(&Secret::new(password.to_vec()), [0; SALT_LEN]);
            assert_eq!(made.unwrap_err(), why, "{:?}", String::from_utf8_lossy(password).get(..12));
        }
    }

    #[test]
    fn a_password_that_is_too_long_is_wrong() {
        let long = "a".repeat(MAX_BYTES + 1);
        let hash = PasswordHash::with(CHEAP, long.as_bytes(), b"saltsalt");
        assert_eq!(verify(&secret(&long), Some(&hash)), Verdict::Wrong);
        let placeholder = PasswordHash::with(CHEAP, b"too long", b"saltsalt");
        assert_eq!(verify(&secret(&long), Some(&placeholder)), Verdict::Wrong);
    }

    #[test]
    fn hostile_hashes_are_refused() {
        let with =
            |cost: &str| format!("$argon2id$v=19${cost}$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA");
        assert!(with("m=64,t=1,p=1").parse::<PasswordHash>().is_ok());
        for (text, why) in [
            (String::new(), BadHash::Malformed),
            (
                "$argon2i$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA".into(),
                BadHash::Malformed,
            ),
            ("$2b$12$abcdefghijklmnopqrstuv".into(), BadHash::Malformed),
            (with("m=4294967295,t=1,p=1"), BadHash::TooCostly),
            (with("m=64,t=4294967295,p=1"), BadHash::TooCostly),
            (with("m=262144,t=1,p=5"), BadHash::TooCostly),
            (with("m=64,t=0,p=1"), BadHash::Malformed),
            (with("m=64,t=1,p=0"), BadHash::Malformed),
            (with("m=7,t=1,p=1"), BadHash::Malformed),
            (with("m=+64,t=1,p=1"), BadHash::Malformed),
            (with("m=64,t=1"), BadHash::Malformed),
            (with("m=64,t=1,p=1,x=1"), BadHash::Malformed),
            ("$argon2id$v=19$m=64,t=1,p=1$$".into(), BadHash::Malformed),
            (format!("{}{}", with("m=64,t=1,p=1"), "A".repeat(1000)), BadHash::Malformed),
        ] {
            assert_eq!(text.parse::<PasswordHash>().unwrap_err(), why, "{text:.80}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text: String, tail: String) {
            let _ = text.parse::<PasswordHash>();
            let _ = format!("$argon2id$v=19${tail}").parse::<PasswordHash>();
        }

        #[test]
        fn every_hash_reads_back(password: Vec<u8>, salt: [u8; SALT_LEN]) {
            let hash = PasswordHash::with(CHEAP, &password, &salt);
            prop_assert_eq!(hash.to_string().parse::<PasswordHash>().unwrap(), hash);
        }
    }
}
