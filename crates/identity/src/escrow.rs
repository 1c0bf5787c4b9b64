//! Master keys under a passphrase, to be kept with a backup.
//!
//! The text is `ge1.SALT.SEALED`: the format's version, base64 of the salt, and a sealed text ([`crate::seal`]) whose
//! key is Argon2id (RFC 9106) of passphrase and salt, with 64 MiB and three passes (the first line of section 4's second
//! recommendation): more than for a sign-in, since who has the file may try for as long as he likes.

use argon2::{Algorithm, Argon2, Params, Version};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use zeroize::Zeroizing;

use crate::keyring::Keyring;
use crate::master::{MASTER_KEY_LEN, MasterKey};
use crate::seal::{NONCE_LEN, Place, Sealed};
use crate::secret::Secret;

/// Fewest characters of a passphrase.
pub const MIN_CHARACTERS: usize = 16;
/// Random bytes that one sealing needs, for the salt.
pub const SALT_LEN: usize = 16;

const VERSION: &str = "ge1";
const PLACE: Place<'static> = Place { purpose: "escrow", name: "master-keys" };
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 1;
/// Longest text that is read.
const MAX_TEXT: usize = 16 * 1024;

/// Why master keys cannot be sealed under a passphrase, or opened with it. Tells nothing of either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EscrowError {
    /// It can be guessed.
    #[error("the passphrase has {0} characters; use at least {MIN_CHARACTERS}")]
    TooShort(usize),
    /// It is no text.
    #[error("the passphrase is not UTF-8 text")]
    NotText,
    /// The text is not what we write.
    #[error("the backup's master keys cannot be read (expected `{VERSION}.`, a salt and a sealed text)")]
    Malformed,
    /// The passphrase is another one, or the text was altered.
    #[error("the passphrase does not open the backup's master keys")]
    Wrong,
}

/// Seals all keys of a ring. `salt` and `nonce` must be fresh random bytes. Takes some 100 ms and 64 MiB.
///
/// # Errors
/// The passphrase is too short or no text.
pub fn seal(
    keys: &Keyring,
    passphrase: &Secret,
    salt: [u8; SALT_LEN],
    nonce: [u8; NONCE_LEN],
) -> Result<String, EscrowError> {
    let text = passphrase.expose_text().ok_or(EscrowError::NotText)?;
    let characters = text.trim().chars().count();
    if characters < MIN_CHARACTERS {
        return Err(EscrowError::TooShort(characters));
    }
    let mut lines = Vec::new();
    for key in keys.keys() {
        lines.extend_from_slice(key.reveal().as_bytes());
        lines.push(b'\n');
    }
    let sealed = Sealed::seal(&derive(text, &salt), PLACE, &Secret::new(lines), nonce)
        .map_err(|_| EscrowError::Malformed)?;
    Ok(format!("{VERSION}.{}.{sealed}", Base64UrlUnpadded::encode_string(&salt)))
}

/// Opens what [`seal`] made: the key that was configured first, then those before.
///
/// # Errors
/// The text is something else, or the passphrase another one.
pub fn open(text: &str, passphrase: &Secret) -> Result<Vec<MasterKey>, EscrowError> {
    let mut parts = text.splitn(3, '.');
    let (Some(VERSION), Some(salt), Some(sealed)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(EscrowError::Malformed);
    };
    let salt = Base64UrlUnpadded::decode_vec(salt).map_err(|_| EscrowError::Malformed)?;
    let sealed: Sealed = sealed.parse().map_err(|_| EscrowError::Malformed)?;
    if text.len() > MAX_TEXT || salt.len() != SALT_LEN {
        return Err(EscrowError::Malformed);
    }
    let passphrase = passphrase.expose_text().ok_or(EscrowError::NotText)?;
    let lines = sealed.open(&derive(passphrase, &salt), PLACE).map_err(|_| EscrowError::Wrong)?;
    let keys = lines.expose().split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    keys.map(|line| MasterKey::parse(line).map_err(|_| EscrowError::Malformed)).collect()
}

fn derive(passphrase: &str, salt: &[u8]) -> MasterKey {
    let params =
        Params::new(MEMORY_KIB, PASSES, LANES, Some(MASTER_KEY_LEN)).expect("the bounds are constant");
    let mut key = Zeroizing::new([0; MASTER_KEY_LEN]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.trim().as_bytes(), salt, &mut *key)
        .expect("salt and output have lengths that Argon2 takes");
    MasterKey::from_bytes(*key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phrase(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    fn key(seed: u8) -> MasterKey {
        MasterKey::from_bytes(std::array::from_fn(|n| u8::try_from(n).unwrap().wrapping_mul(7) ^ seed))
    }

    #[test]
    fn the_passphrase_opens_all_keys_and_no_other_does() {
        let ring = Keyring::new(key(1), vec![key(2)]);
        let text = seal(&ring, &phrase("correct horse battery"), [3; SALT_LEN], [4; NONCE_LEN]).unwrap();
        let ids = |keys: &[MasterKey]| keys.iter().map(MasterKey::id).collect::<Vec<_>>();
        let opened = open(&text, &phrase(" correct horse battery\n")).unwrap();
        assert_eq!(ids(&opened), ring.ids());
        assert!(!text.contains(&key(1).reveal()[..16]));
        assert_eq!(open(&text, &phrase("correct horse batterz")).err(), Some(EscrowError::Wrong));
        let other_salt = text.replacen("AwMD", "BAMD", 1);
        assert_ne!(other_salt, text);
        assert_eq!(open(&other_salt, &phrase("correct horse battery")).err(), Some(EscrowError::Wrong));
    }

    #[test]
    fn what_is_not_fit_is_refused() {
        let ring = Keyring::new(key(1), vec![]);
        let sealed = |text: &str| seal(&ring, &phrase(text), [3; SALT_LEN], [4; NONCE_LEN]).err();
        assert_eq!(sealed(" sixteen letters. "), None);
        assert_eq!(sealed(" short one     "), Some(EscrowError::TooShort(9)));
        for text in ["", "ge1", "ge1..", "ge2.AAAA.gs1.x.y", "ge1.AAAA.gs1.00000000.AAAA", "ge1.!.!"] {
            assert_eq!(
                open(text, &phrase("correct horse battery")).err(),
                Some(EscrowError::Malformed),
                "{text}"
            );
        }
    }
}
