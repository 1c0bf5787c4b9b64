//! The second factor of local accounts: one-time passwords by time (RFC 6238) and recovery codes.
//!
//! SHA-1, six digits and 30 seconds, since that is what every authenticator program does. HMAC does not suffer from the
//! collisions of SHA-1.

use std::fmt;
use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// Bytes of a secret: the length of HMAC-SHA-1's output, as RFC 4226 section 4 recommends.
pub const SECRET_LEN: usize = 20;

const PERIOD_SECONDS: u64 = 30;
const DIGITS: usize = 6;
const MODULUS: u32 = 1_000_000;

/// The secret that an authenticator program shares with us. Wiped when dropped; no `Debug`.
#[derive(Clone)]
pub struct TotpSecret(Zeroizing<[u8; SECRET_LEN]>);

/// A 30-second span, counted from 1970. The last one used is stored, so that no code works twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeStep(pub u64);

impl TimeStep {
    /// The span that holds this second of Unix time.
    pub const fn at(unix_seconds: u64) -> Self {
        Self(unix_seconds / PERIOD_SECONDS)
    }
}

/// Why a code is not accepted. Whoever typed it in is told the same in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadCode {
    /// It is not six digits.
    #[error("the code is not six digits")]
    Malformed,
    /// It is not the code of now, of the span before or of the one after.
    #[error("the code is wrong, or the clock of the device is more than half a minute off")]
    Wrong,
    /// It was used before, or is older than one that was.
    #[error("the code was used before; wait for the next one")]
    Replayed,
}

impl TotpSecret {
    /// Takes fresh random bytes, or those that were stored.
    pub fn from_bytes(bytes: [u8; SECRET_LEN]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, to be sealed and stored.
    pub fn to_secret(&self) -> Secret {
        Secret::new(self.0.to_vec())
    }

    /// The bytes that were stored.
    pub fn from_secret(secret: &Secret) -> Option<Self> {
        secret.expose().try_into().ok().map(Self::from_bytes)
    }

    /// The text that people type into a program that cannot read the picture: base 32 without padding (RFC 4648).
    pub fn to_base32(&self) -> Zeroizing<String> {
        Zeroizing::new(base32(self.0.as_slice()))
    }

    /// What the picture for the authenticator program says.
    pub fn enrollment_uri(&self, issuer: &str, account: &str) -> Zeroizing<String> {
        let (issuer, account) = (percent(issuer), percent(account));
        Zeroizing::new(format!(
            "otpauth://totp/{issuer}:{account}?secret={}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={PERIOD_SECONDS}",
            *self.to_base32()
        ))
    }

    /// Checks a code against the span of now and its two neighbors. `last_used` is the step stored at the last success;
    /// the one returned must be stored in its place before the sign-in goes on.
    ///
    /// # Errors
    /// When the code is not accepted.
    pub fn verify(
        &self,
        code: &str,
        unix_seconds: u64,
        last_used: Option<TimeStep>,
    ) -> Result<TimeStep, BadCode> {
        let code = parse_code(code).ok_or(BadCode::Malformed)?;
        let TimeStep(now) = TimeStep::at(unix_seconds);
        let mut found = Choice::from(0);
        let mut step = 0;
        // All three are worked out, so that the time taken does not tell which one it was. The latest match counts.
        for candidate in [now.saturating_sub(1), now, now.saturating_add(1)] {
            let same = self.code(candidate).ct_eq(&code);
            step.conditional_assign(&candidate, same);
            found |= same;
        }
        let step = TimeStep(step);
        if !bool::from(found) {
            Err(BadCode::Wrong)
        } else if last_used.is_some_and(|last| step <= last) {
            Err(BadCode::Replayed)
        } else {
            Ok(step)
        }
    }

    /// The six digits of a span as a number (RFC 4226 section 5.3).
    fn code(&self, step: u64) -> u32 {
        truncate(self.0.as_slice(), step) % MODULUS
    }
}

fn truncate(key: &[u8], step: u64) -> u32 {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(&step.to_be_bytes());
    let hash: [u8; 20] = mac.finalize().into_bytes().into();
    let offset = usize::from(hash[19] & 0x0f);
    let four =
        hash[offset..].first_chunk().expect("the offset is at most 15, so that four of 20 bytes follow");
    u32::from_be_bytes(*four) & 0x7fff_ffff
}

/// Six digits; spaces are ignored, since programs show them in two groups.
fn parse_code(text: &str) -> Option<u32> {
    if text.len() > 32 {
        return None;
    }
    let digits: Zeroizing<String> = Zeroizing::new(text.chars().filter(|c| *c != ' ').collect());
    let sound = digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    sound.then(|| digits.parse().ok()).flatten()
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn base32(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(5) * 8);
    for chunk in bytes.chunks(5) {
        let mut group = [0_u8; 8];
        group[3..3 + chunk.len()].copy_from_slice(chunk);
        let bits = u64::from_be_bytes(group);
        for place in 0..(chunk.len() * 8).div_ceil(5) {
            let index = usize::try_from((bits >> (35 - 5 * place)) & 31).expect("five bits");
            out.push(char::from(BASE32[index]));
        }
    }
    out
}

/// Everything but letters, digits and `-._~` as `%XX` (RFC 3986 section 2.3).
fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02X}").expect("writing to a string does not fail"),
        }
    }
    out
}

/// How many recovery codes an account is given.
pub const RECOVERY_CODES: usize = 10;
/// Random bytes of one recovery code: 80 bits, so that a plain hash of it cannot be guessed.
pub const RECOVERY_LEN: usize = 10;

/// A code that replaces the device once. Wiped when dropped; no `Debug`.
#[derive(Clone)]
pub struct RecoveryCode(Zeroizing<[u8; RECOVERY_LEN]>);

/// The hash of a recovery code, bound to its account: what is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RecoveryHash([u8; 32]);

impl RecoveryCode {
    /// Takes fresh random bytes.
    pub fn from_bytes(bytes: [u8; RECOVERY_LEN]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The text to show once: `abcd-efgh-ijkl-mnop`.
    pub fn reveal(&self) -> Zeroizing<String> {
        let text = Zeroizing::new(base32(self.0.as_slice()).to_ascii_lowercase());
        let mut out = Zeroizing::new(String::with_capacity(20));
        for (index, character) in text.chars().enumerate() {
            if index > 0 && index % 4 == 0 {
                out.push('-');
            }
            out.push(character);
        }
        out
    }

    /// Reads a code as typed in: case, hyphens and spaces do not matter.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > 64 {
            return None;
        }
        let mut bits = Zeroizing::new(0_u128);
        let mut count = 0;
        for character in text.bytes().filter(|b| !matches!(b, b'-' | b' ')) {
            let value = BASE32.iter().position(|known| *known == character.to_ascii_uppercase())?;
            *bits = (*bits << 5) | u128::try_from(value).ok()?;
            count += 1;
            if count > RECOVERY_LEN * 8 / 5 {
                return None;
            }
        }
        let bytes = Zeroizing::new(bits.to_be_bytes());
        (count == RECOVERY_LEN * 8 / 5)
            .then(|| Self::from_bytes(*bytes.last_chunk().expect("10 of 16 bytes")))
    }

    /// The hash to store for an account.
    pub fn hash(&self, account: &str) -> RecoveryHash {
        let mut hash = Sha256::new();
        hash.update(b"gatehouse/v1/recovery-code");
        hash.update(u64::try_from(account.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(account.as_bytes());
        hash.update(self.0.as_slice());
        RecoveryHash(hash.finalize().into())
    }

    /// Which of the stored hashes is this code's; all are compared. That one must be deleted before the sign-in goes on.
    pub fn find(&self, account: &str, stored: &[RecoveryHash]) -> Option<usize> {
        let own = self.hash(account);
        let mut found = None;
        for (index, hash) in stored.iter().enumerate() {
            if bool::from(hash.0.ct_eq(&own.0)) {
                found = Some(index);
            }
        }
        found
    }
}

impl RecoveryHash {
    /// The 32 bytes as stored.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for RecoveryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: [u8; SECRET_LEN] = *b"12345678901234567890";

    fn secret() -> TotpSecret {
        TotpSecret::from_bytes(KEY)
    }

    fn code_at(unix_seconds: u64) -> String {
        format!("{:06}", secret().code(TimeStep::at(unix_seconds).0))
    }

    /// RFC 6238 appendix B, the rows of SHA-1; six digits are the last six of its eight.
    #[test]
    fn the_vectors_of_rfc_6238_come_out() {
        for (time, eight_digits) in [
            (59, 94_287_082),
            (1_111_111_109, 7_081_804),
            (1_111_111_111, 14_050_471),
            (1_234_567_890, 89_005_924),
            (2_000_000_000, 69_279_037),
            (20_000_000_000, 65_353_130),
        ] {
            let step = TimeStep::at(time).0;
            assert_eq!(truncate(&KEY, step) % 100_000_000, eight_digits, "{time}");
            assert_eq!(secret().code(step), eight_digits % MODULUS, "{time}");
        }
    }

    /// RFC 4226 appendix D.
    #[test]
    fn the_vectors_of_rfc_4226_come_out() {
        let expected =
            [755_224, 287_082, 359_152, 969_429, 338_314, 254_676, 287_922, 162_583, 399_871, 520_489];
        for (count, code) in (0_u64..).zip(expected) {
            assert_eq!(secret().code(count), code, "{count}");
        }
    }

    #[test]
    fn neighbors_in_time_are_accepted_and_no_others() {
        let now = 1_234_567_890_u64;
        for (offset, accepted) in [(-60, false), (-30, true), (0, true), (30, true), (60, false)] {
            let code = code_at(now.checked_add_signed(offset).unwrap());
            assert_eq!(secret().verify(&code, now, None).is_ok(), accepted, "{offset}");
        }
    }

    #[test]
    fn no_code_works_twice() {
        let now = 1_234_567_890;
        let used = secret().verify(&code_at(now), now, None).unwrap();
        assert_eq!(used, TimeStep::at(now));
        assert_eq!(secret().verify(&code_at(now), now + 29, Some(used)), Err(BadCode::Replayed));
        assert_eq!(secret().verify(&code_at(now - 30), now, Some(used)), Err(BadCode::Replayed));
        assert_eq!(secret().verify(&code_at(now + 30), now, Some(used)), Ok(TimeStep(used.0 + 1)));
    }

    #[test]
    fn what_is_no_code_is_refused() {
        let now = 59;
        assert!(secret().verify(" 287 082 ", now, None).is_ok());
        for code in ["", "28708", "2870820", "28708a", "+28708", "-28708", "287\u{a0}082", "２８７０８２"]
        {
            assert_eq!(secret().verify(code, now, None), Err(BadCode::Malformed), "{code:?}");
        }
        assert_eq!(secret().verify(&" ".repeat(1_000_000), now, None), Err(BadCode::Malformed));
        assert!(
            secret().verify("287082", 0, None).is_ok() && secret().verify("000000", u64::MAX, None).is_err()
        );
    }

    #[test]
    fn the_enrollment_uri_is_what_authenticators_read() {
        assert_eq!(
            *secret().enrollment_uri("Gatehouse & Co", "dev@example.com"),
            "otpauth://totp/Gatehouse%20%26%20Co:dev%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=Gatehouse%20%26%20Co&algorithm=SHA1&digits=6&period=30"
        );
        let back = TotpSecret::from_secret(&secret().to_secret()).unwrap();
        assert_eq!(*back.0, KEY);
        assert!(TotpSecret::from_secret(&Secret::new(vec![0; 19])).is_none());
    }

    /// RFC 4648 section 10, without padding.
    #[test]
    fn base32_is_that_of_the_rfc() {
        for (plain, text) in
            [("", ""), ("f", "MY"), ("foo", "MZXW6"), ("foob", "MZXW6YQ"), ("fooba", "MZXW6YTB")]
        {
            assert_eq!(base32(plain.as_bytes()), text);
        }
    }

    #[test]
    fn a_recovery_code_is_found_once_typed() {
        let codes: Vec<RecoveryCode> = (0..10).map(|n| RecoveryCode::from_bytes([n; RECOVERY_LEN])).collect();
        let stored: Vec<RecoveryHash> = codes.iter().map(|code| code.hash("user_1")).collect();
        let text = codes[3].reveal();
        assert_eq!(text.len(), 19);
        let typed = RecoveryCode::parse(&text.to_ascii_uppercase().replace('-', " ")).unwrap();
        assert_eq!(typed.find("user_1", &stored), Some(3));
        assert_eq!(typed.find("user_2", &stored), None);
        assert_eq!(RecoveryCode::from_bytes([99; RECOVERY_LEN]).find("user_1", &stored), None);
        assert_eq!(format!("{:?}", stored[0]), "[redacted]");
    }

    proptest! {
        #[test]
        fn every_recovery_code_reads_back(bytes: [u8; RECOVERY_LEN]) {
            let code = RecoveryCode::from_bytes(bytes);
            prop_assert_eq!(*RecoveryCode::parse(&code.reveal()).unwrap().0, bytes);
        }

        #[test]
        fn any_text_is_read_without_panic(text: String) {
            let _ = RecoveryCode::parse(&text);
            let _ = secret().verify(&text, 0, None);
        }
    }
}
