//! What a device says of itself: attestation objects and authenticator data (sections 6.1 and 6.5).

use ciborium::Value;

use super::key::PublicKey;
use super::{BadPasskey, MAX_DATA, MAX_ID};

/// How deep CBOR may be nested: extensions hold maps in maps.
const DEPTH: usize = 8;
const MALFORMED: BadPasskey = BadPasskey::Malformed("the authenticator data");
const BAD_ATTESTATION: BadPasskey = BadPasskey::Malformed("the attestation object");

const PRESENT: u8 = 0x01;
const VERIFIED: u8 = 0x04;
const BACKUP_ELIGIBLE: u8 = 0x08;
const BACKED_UP: u8 = 0x10;
const ATTESTED: u8 = 0x40;
const EXTENSIONS: u8 = 0x80;

/// Authenticator data that has been read whole.
pub(super) struct AuthenticatorData {
    /// The SHA-256 of the relying party's identifier.
    pub(super) party: [u8; 32],
    /// Whether the person is there and was verified.
    pub(super) is_verified: bool,
    /// How often the device has signed.
    pub(super) counter: u32,
    /// The credential that was made.
    pub(super) credential: Option<(Vec<u8>, PublicKey)>,
}

impl AuthenticatorData {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, BadPasskey> {
        if bytes.len() > MAX_DATA {
            return Err(BadPasskey::TooLong("the authenticator data"));
        }
        let (party, rest) = bytes.split_first_chunk::<32>().ok_or(MALFORMED)?;
        let ([flags], rest) = rest.split_first_chunk::<1>().ok_or(MALFORMED)?;
        let (counter, mut rest) = rest.split_first_chunk::<4>().ok_or(MALFORMED)?;
        let has = |flag: u8| flags & flag != 0;
        if has(BACKED_UP) && !has(BACKUP_ELIGIBLE) {
            return Err(MALFORMED);
        }
        let credential = has(ATTESTED).then(|| credential(&mut rest)).transpose()?;
        if has(EXTENSIONS) && value(&mut rest).ok_or(MALFORMED)?.as_map().is_none() {
            return Err(MALFORMED);
        }
        if !rest.is_empty() {
            return Err(MALFORMED);
        }
        Ok(Self {
            party: *party,
            is_verified: has(PRESENT) && has(VERIFIED),
            counter: u32::from_be_bytes(*counter),
            credential,
        })
    }
}

/// The authenticator data of an attestation object without attestation.
pub(super) fn attested(object: &[u8]) -> Result<Vec<u8>, BadPasskey> {
    if object.len() > MAX_DATA {
        return Err(BadPasskey::TooLong("the attestation object"));
    }
    let mut rest = object;
    let read = value(&mut rest).filter(|_| rest.is_empty()).ok_or(BAD_ATTESTATION)?;
    let members = read.into_map().map_err(|_| BAD_ATTESTATION)?;
    let (mut format, mut statement, mut data) = (None, None, None);
    for (name, value) in members {
        let place = match name.as_text() {
            Some("fmt") => &mut format,
            Some("attStmt") => &mut statement,
            Some("authData") => &mut data,
            _ => return Err(BAD_ATTESTATION),
        };
        if place.replace(value).is_some() {
            return Err(BAD_ATTESTATION);
        }
    }
    let format = format.and_then(|value| value.into_text().ok()).ok_or(BAD_ATTESTATION)?;
    let statement = statement.and_then(|value| value.into_map().ok()).ok_or(BAD_ATTESTATION)?;
    if format != "none" || !statement.is_empty() {
        return Err(BadPasskey::Attestation);
    }
    data.and_then(|value| value.into_bytes().ok()).ok_or(BAD_ATTESTATION)
}

/// Attested credential data (section 6.5.1).
fn credential(rest: &mut &[u8]) -> Result<(Vec<u8>, PublicKey), BadPasskey> {
    let (_model, after) = rest.split_first_chunk::<16>().ok_or(MALFORMED)?;
    let (length, after) = after.split_first_chunk::<2>().ok_or(MALFORMED)?;
    let length = usize::from(u16::from_be_bytes(*length));
    if !(1..=MAX_ID).contains(&length) {
        return Err(MALFORMED);
    }
    let (id, mut after) = after.split_at_checked(length).ok_or(MALFORMED)?;
    let key = after;
    value(&mut after).ok_or(BadPasskey::Malformed("the public key"))?;
    let key = PublicKey::parse(&key[..key.len() - after.len()])?;
    *rest = after;
    Ok((id.to_vec(), key))
}

/// One CBOR value; what follows it stays in `rest`.
pub(super) fn value(rest: &mut &[u8]) -> Option<Value> {
    ciborium::de::from_reader_with_recursion_limit(rest, DEPTH).ok()
}
