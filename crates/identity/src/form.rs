//! Forms of a page of ours: each carries a proof that the browser that sends it was given it.
//!
//! The browser holds a random cookie; the form holds an HMAC over it. Another site can make a browser send a form, and the
//! cookie with it, but cannot know the proof.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Random bytes of a cookie.
pub const COOKIE_RANDOM: usize = 18;
/// Characters of a cookie.
const COOKIE_LEN: usize = 24;

/// What forms are proved with. Wiped when dropped; no `Debug`.
#[derive(Clone)]
pub struct FormKey(Zeroizing<[u8; 32]>);

impl FormKey {
    /// Takes 32 bytes derived from the roots.
    pub fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// The proof that a form was given to the browser with this cookie.
    pub fn proof(&self, cookie: &str) -> String {
        Base64UrlUnpadded::encode_string(&self.mac(cookie).finalize().into_bytes())
    }

    /// Whether this is the proof for this cookie; takes the same time either way.
    pub fn proves(&self, cookie: &str, proof: &str) -> bool {
        let mut bytes = [0; 32];
        let read = Base64UrlUnpadded::decode(proof, &mut bytes).is_ok_and(|bytes| bytes.len() == 32);
        read && is_cookie(cookie) && self.mac(cookie).verify_slice(&bytes).is_ok()
    }

    /// The proof that we made the link to a survey. Apart from the proofs of forms, which are given for any cookie.
    pub fn survey_proof(&self, survey: &str) -> String {
        Base64UrlUnpadded::encode_string(&self.survey_mac(survey).finalize().into_bytes())
    }

    /// Whether this is the proof for the link to this survey; takes the same time either way.
    pub fn proves_survey(&self, survey: &str, proof: &str) -> bool {
        let mut bytes = [0; 32];
        let read = Base64UrlUnpadded::decode(proof, &mut bytes).is_ok_and(|bytes| bytes.len() == 32);
        read && self.survey_mac(survey).verify_slice(&bytes).is_ok()
    }

    fn survey_mac(&self, survey: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.0).expect("HMAC takes a key of any length");
        mac.update(b"gatehouse survey 1");
        mac.update(survey.as_bytes());
        mac
    }

    fn mac(&self, cookie: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.0).expect("HMAC takes a key of any length");
        mac.update(b"gatehouse form 1");
        mac.update(cookie.as_bytes());
        mac
    }
}

/// A cookie for a browser that has none.
pub fn cookie(random: &[u8; COOKIE_RANDOM]) -> String {
    Base64UrlUnpadded::encode_string(random)
}

/// Whether a text could be a cookie of ours.
pub fn is_cookie(text: &str) -> bool {
    text.len() == COOKIE_LEN && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_browser_that_was_given_a_form_can_send_it() {
        let (key, other) = (FormKey::new([1; 32].into()), FormKey::new([2; 32].into()));
        let (mine, theirs) = (cookie(&[1; COOKIE_RANDOM]), cookie(&[2; COOKIE_RANDOM]));
        assert!(is_cookie(&mine) && !is_cookie("") && !is_cookie(&mine[1..]));
        let proof = key.proof(&mine);
        assert!(key.proves(&mine, &proof));
        for (cookie, given) in [(&theirs, &proof), (&mine, &key.proof(&theirs)), (&mine, &other.proof(&mine))]
        {
            assert!(!key.proves(cookie, given));
        }
        for given in ["", "x", &proof[1..], &format!("{proof}A")] {
            assert!(!key.proves(&mine, given), "{given}");
        }
        assert!(!key.proves("", &key.proof("")));
    }
}
