//! Access tokens: what a signed-in client presents with every request.
//!
//! A token names its session and the time until which it is good, and proves both by an HMAC; so form, proof and time
//! are checked without a look-up. Whether the session still stands is another question, asked of the policy snapshot:
//! that is how a session ends at once, whatever tokens were given out for it.
//!
//! The text is `ghs_` and 75 characters of URL-safe base64: 16 bytes of session id, 8 of time (UTC milliseconds), 32 of
//! HMAC-SHA256. As a regular expression: `ghs_[0-9A-Za-z_-]{75}`.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::id::SessionId;
use crate::time::UnixMillis;

/// What the text of a token begins with.
pub const PREFIX: &str = "ghs_";

const ID_LEN: usize = 16;
const TIME_LEN: usize = 8;
const MAC_LEN: usize = 32;
const TOKEN_LEN: usize = ID_LEN + TIME_LEN + MAC_LEN;

/// The secret that proves tokens; lives outside the database, so that a stolen database makes none.
#[derive(Clone)]
pub struct AccessKey(Zeroizing<[u8; 32]>);

impl AccessKey {
    /// Takes 32 bytes derived from the roots.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    fn mac(&self, signed: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.0).expect("HMAC takes a key of any length");
        mac.update(b"gatehouse access token 1");
        mac.update(signed);
        mac
    }
}

/// All keys that tokens may have been proved with. At most a few.
#[derive(Clone)]
pub struct AccessKeys(Vec<AccessKey>);

impl AccessKeys {
    /// These, in any order.
    pub const fn new(all: Vec<AccessKey>) -> Self {
        Self(all)
    }

    /// Compares in constant time.
    fn prove(&self, signed: &[u8], mac: &[u8]) -> bool {
        self.0.iter().any(|key| key.mac(signed).verify_slice(mac).is_ok())
    }
}

impl From<AccessKey> for AccessKeys {
    fn from(only: AccessKey) -> Self {
        Self(vec![only])
    }
}

/// Shows nothing of them.
impl std::fmt::Debug for AccessKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{} keys]", self.0.len())
    }
}

/// A token that was proved genuine and is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessToken {
    /// The session that it was given out for.
    pub session: SessionId,
    /// When it stops working.
    pub expires_at: UnixMillis,
}

/// Why a text is no token that works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAccess {
    /// It does not begin as our tokens do.
    #[error("the credential does not begin with `{PREFIX}`")]
    Foreign,
    /// It begins like one of ours, but we did not make it.
    #[error("the access token is incomplete, or not ours")]
    Forged,
    /// Its time is over.
    #[error("the access token has expired")]
    Expired,
}

impl AccessToken {
    /// The text for the client.
    pub fn reveal(&self, key: &AccessKey) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(TOKEN_LEN));
        bytes.extend_from_slice(&self.session.bits().to_be_bytes());
        bytes.extend_from_slice(&self.expires_at.0.to_be_bytes());
        let mac = key.mac(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&mac);
        Zeroizing::new(format!("{PREFIX}{}", Base64UrlUnpadded::encode_string(&bytes)))
    }

    /// Reads a presented token whatever its time, for what concerns a session and not a request: signing out.
    ///
    /// # Errors
    /// It is no token of ours.
    pub fn genuine(text: &[u8], keys: &AccessKeys) -> Result<Self, BadAccess> {
        let body = text.strip_prefix(PREFIX.as_bytes()).ok_or(BadAccess::Foreign)?;
        let mut bytes = Zeroizing::new([0; TOKEN_LEN]);
        let decoded = Base64UrlUnpadded::decode(body, bytes.as_mut_slice()).map_err(|_| BadAccess::Forged)?;
        if decoded.len() != TOKEN_LEN {
            return Err(BadAccess::Forged);
        }
        let (signed, mac) = bytes.split_at(ID_LEN + TIME_LEN);
        if !keys.prove(signed, mac) {
            return Err(BadAccess::Forged);
        }
        let (id, time) = signed.split_first_chunk::<ID_LEN>().ok_or(BadAccess::Forged)?;
        let time = time.try_into().map_err(|_| BadAccess::Forged)?;
        Ok(Self {
            session: SessionId::from_bits(u128::from_be_bytes(*id)),
            expires_at: UnixMillis(i64::from_be_bytes(time)),
        })
    }

    /// Reads a presented token. Says nothing about its session.
    ///
    /// # Errors
    /// It is no token of ours, or its time is over.
    pub fn verify(text: &[u8], keys: &AccessKeys, now: UnixMillis) -> Result<Self, BadAccess> {
        let token = Self::genuine(text, keys)?;
        if token.expires_at <= now { Err(BadAccess::Expired) } else { Ok(token) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn key(n: u8) -> AccessKey {
        AccessKey::new([n; 32])
    }

    fn token() -> AccessToken {
        AccessToken { session: SessionId::new(NOW, 7), expires_at: NOW.plus_millis(1000) }
    }

    #[test]
    fn a_token_reads_back_until_its_time_is_over() {
        let text = token().reveal(&key(1));
        assert_eq!(text.len(), 79);
        assert!(!text.contains('.'), "three parts would be taken for a JWT");
        assert_eq!(AccessToken::verify(text.as_bytes(), &key(1).into(), NOW), Ok(token()));
        let late = NOW.plus_millis(1000);
        assert_eq!(AccessToken::verify(text.as_bytes(), &key(1).into(), late), Err(BadAccess::Expired));
        assert_eq!(AccessToken::genuine(text.as_bytes(), &key(1).into()), Ok(token()));
    }

    #[test]
    fn a_token_of_an_older_key_is_good_as_long_as_the_key_is_known() {
        let text = token().reveal(&key(1));
        let both = AccessKeys::new(vec![key(2), key(1)]);
        assert_eq!(AccessToken::verify(text.as_bytes(), &both, NOW), Ok(token()));
        let none = AccessKeys::new(Vec::new());
        assert_eq!(AccessToken::verify(text.as_bytes(), &none, NOW), Err(BadAccess::Forged));
        assert_eq!(format!("{both:?}"), "[2 keys]");
    }

    #[test]
    fn what_was_not_made_with_the_key_is_forged() {
        let text = token().reveal(&key(1));
        let verify = |text: &[u8]| AccessToken::verify(text, &key(1).into(), NOW);
        assert_eq!(AccessToken::verify(text.as_bytes(), &key(2).into(), NOW), Err(BadAccess::Forged));
        for at in PREFIX.len()..text.len() {
            let mut wrong = text.as_bytes().to_vec();
            wrong[at] = if wrong[at] == b'a' { b'b' } else { b'a' };
            assert_eq!(verify(&wrong), Err(BadAccess::Forged), "at {at}");
        }
        for (text, why) in [
            (&b""[..], BadAccess::Foreign),
            (b"gh_abc", BadAccess::Foreign),
            (b"GHS_abc", BadAccess::Foreign),
            (b"ghs_", BadAccess::Forged),
            (&text.as_bytes()[..text.len() - 1], BadAccess::Forged),
            (format!("{}A", *text).as_bytes(), BadAccess::Forged),
            (format!("{}=", *text).as_bytes(), BadAccess::Forged),
            (b"ghs_\xff\xff", BadAccess::Forged),
            ("ghs_".repeat(10_000).as_bytes(), BadAccess::Forged),
        ] {
            assert_eq!(verify(text), Err(why));
        }
    }
}
