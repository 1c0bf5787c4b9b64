//! What a browser says of a request (section 5.8.1).

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde::Deserialize;
use subtle::ConstantTimeEq as _;

use super::{BadPasskey, CHALLENGE_LEN, Challenge, MAX_CLIENT_DATA};

/// A credential was to be made.
pub(super) const CREATE: &str = "webauthn.create";
/// A signature was to be made.
pub(super) const GET: &str = "webauthn.get";

/// The members that count; browsers may add others.
#[derive(Deserialize)]
struct ClientData<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    challenge: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    origin: std::borrow::Cow<'a, str>,
    #[serde(rename = "crossOrigin", default)]
    cross_origin: Option<bool>,
    #[serde(rename = "topOrigin", default)]
    top_origin: Option<serde::de::IgnoredAny>,
}

/// Checks that it is about this request, on this site and not in a frame of another.
pub(super) fn check(json: &[u8], kind: &str, challenge: &Challenge, origin: &str) -> Result<(), BadPasskey> {
    if json.len() > MAX_CLIENT_DATA {
        return Err(BadPasskey::TooLong("the client data"));
    }
    let data: ClientData<'_> =
        serde_json::from_slice(json).map_err(|_| BadPasskey::Malformed("the client data"))?;
    if data.kind != kind {
        return Err(BadPasskey::Kind);
    }
    let mut given = [0; CHALLENGE_LEN];
    let given = Base64UrlUnpadded::decode(data.challenge.as_bytes(), &mut given);
    if !given.is_ok_and(|given| bool::from(given.ct_eq(challenge))) {
        return Err(BadPasskey::Challenge);
    }
    let framed = data.cross_origin == Some(true) || data.top_origin.is_some();
    if data.origin != origin || framed { Err(BadPasskey::Origin) } else { Ok(()) }
}
