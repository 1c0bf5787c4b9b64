//! Passkeys of the specification, of a device of our own, and hostile bytes.

use gatehouse_testkit::authenticator::{Authenticator, PRESENT, VERIFIED, base64};
use proptest::prelude::*;
use serde_json::Value;

use super::*;

const CHALLENGE: Challenge = [7; CHALLENGE_LEN];
/// What is different about a device.
type Change = fn(&mut Authenticator);

const ORIGIN: &str = "https://gw.corp.example:8443";

fn party() -> Party {
    Party::at(ORIGIN).unwrap()
}

fn device() -> Authenticator {
    Authenticator::new(b"a passkey", ORIGIN, "gw.corp.example")
}

fn register(device: &Authenticator) -> Result<Credential, BadPasskey> {
    let client_data = device.client_data("webauthn.create", &base64(&CHALLENGE));
    party().register(&CHALLENGE, &client_data, &device.attestation())
}

fn sign(device: &mut Authenticator, key: &PublicKey) -> Result<u32, BadPasskey> {
    let signed = device.sign(&base64(&CHALLENGE));
    let given = Assertion {
        client_data: &signed.client_data,
        authenticator_data: &signed.authenticator_data,
        signature: &signed.signature,
    };
    party().authenticate(&CHALLENGE, key, &given)
}

fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Test vectors of the specification, section 16. In none of them the person was verified, which is looked at last: so they
/// are refused for that alone, and for something else as soon as a bit is another.
#[test]
fn the_vectors_of_the_specification_come_out() {
    let vectors: Value = serde_json::from_str(include_str!("vectors.json")).unwrap();
    let party = Party::at("https://example.org").unwrap();
    for vector in vectors.as_array().unwrap() {
        let name = &vector["name"];
        let made = AuthenticatorData::parse(&hex(&vector["made_data"])).unwrap();
        let (id, key) = made.credential.unwrap();
        assert_eq!((id, made.counter), (hex(&vector["id"]), 0), "{name}");
        assert_eq!(PublicKey::parse(key.as_bytes()), Ok(key.clone()), "{name}");

        let challenge: Challenge = hex(&vector["challenge"]).try_into().unwrap();
        let (client_data, data) = (hex(&vector["client_data"]), hex(&vector["authenticator_data"]));
        let signature = hex(&vector["signature"]);
        let check = |challenge: &Challenge, client_data: &[u8], data: &[u8], signature: &[u8]| {
            let given = Assertion { client_data, authenticator_data: data, signature };
            party.authenticate(challenge, &key, &given)
        };
        assert_eq!(
            check(&challenge, &client_data, &data, &signature),
            Err(BadPasskey::NotVerified),
            "{name}"
        );
        let mut wrong = signature.clone();
        *wrong.last_mut().unwrap() ^= 1;
        assert_eq!(check(&challenge, &client_data, &data, &wrong), Err(BadPasskey::Signature), "{name}");
        let mut counted = data.clone();
        counted[36] = 1;
        assert_eq!(check(&challenge, &client_data, &counted, &signature), Err(BadPasskey::Signature));
        assert_eq!(check(&CHALLENGE, &client_data, &data, &signature), Err(BadPasskey::Challenge));
        if vector.get("attestation").is_some() {
            let challenge: Challenge = hex(&vector["made_challenge"]).try_into().unwrap();
            let (client_data, object) = (hex(&vector["made_client_data"]), hex(&vector["attestation"]));
            let told = party.register(&challenge, &client_data, &object);
            assert_eq!(told, Err(BadPasskey::NotVerified));
        }
    }
}

#[test]
fn a_passkey_is_made_and_signs() {
    let mut device = device();
    let made = register(&device).unwrap();
    assert_eq!((made.id.as_slice(), made.counter), (b"a passkey".as_slice(), 1));
    assert_eq!(sign(&mut device, &made.key), Ok(2));
    assert!(is_copied(5, 5) && is_copied(5, 4) && is_copied(5, 0));
    assert!(!is_copied(5, 6) && !is_copied(0, 0) && !is_copied(0, 1));
}

#[test]
fn what_was_made_for_others_or_without_the_person_is_refused() {
    let key = register(&device()).unwrap().key;
    let refused: [(Change, BadPasskey); 7] = [
        (|device| device.origin = "https://gw.corp.example".into(), BadPasskey::Origin),
        (|device| device.origin = "https://gw.corp.example.evil.example:8443".into(), BadPasskey::Origin),
        (|device| device.origin = "http://gw.corp.example:8443".into(), BadPasskey::Origin),
        (
            |device| device.origin = format!(r#"{ORIGIN}","crossOrigin":true,"x":""#),
            BadPasskey::Malformed("the client data"),
        ),
        (|device| device.origin = format!(r#"{ORIGIN}","topOrigin":"https://a.example"#), BadPasskey::Origin),
        (|device| device.party = "corp.example".into(), BadPasskey::Party),
        (|device| device.flags = PRESENT, BadPasskey::NotVerified),
    ];
    for (change, why) in refused {
        let mut changed = device();
        change(&mut changed);
        assert_eq!(register(&changed), Err(why));
        let mut changed = device();
        let own = register(&changed).unwrap().key;
        change(&mut changed);
        assert_eq!(sign(&mut changed, &own), Err(why));
    }
    assert_eq!(sign(&mut device(), &key), Err(BadPasskey::Signature), "the key of another device");
    for flags in [0, 0x04, VERIFIED | 0x10, VERIFIED | 0x80] {
        let mut odd = device();
        odd.flags = flags;
        assert!(register(&odd).is_err(), "{flags:x}");
    }
}

#[test]
fn the_answer_to_another_request_is_refused() {
    let (device, object) = (device(), device().attestation());
    let challenge = base64(&CHALLENGE);
    for (kind, challenge, why) in [
        ("webauthn.get", challenge.as_str(), BadPasskey::Kind),
        ("webauthn.create", "", BadPasskey::Challenge),
        ("webauthn.create", &challenge[1..], BadPasskey::Challenge),
        ("webauthn.create", &format!("{challenge}A"), BadPasskey::Challenge),
        ("webauthn.create", &base64(&[8; 32]), BadPasskey::Challenge),
    ] {
        let told = party().register(&CHALLENGE, &device.client_data(kind, challenge), &object);
        assert_eq!(told, Err(why));
    }
    let good = device.client_data("webauthn.create", &challenge);
    assert_eq!(
        party().register(&CHALLENGE, &[good.as_slice(), &[b' '; MAX_CLIENT_DATA]].concat(), &object),
        Err(BadPasskey::TooLong("the client data"))
    );
    let framed = String::from_utf8(good).unwrap().replace("\"crossOrigin\":false", "\"crossOrigin\":true");
    assert_eq!(party().register(&CHALLENGE, framed.as_bytes(), &object), Err(BadPasskey::Origin));
}

#[test]
fn attestations_are_refused_and_objects_are_read_strictly() {
    let device = device();
    let client_data = device.client_data("webauthn.create", &base64(&CHALLENGE));
    let told = |object: &[u8]| party().register(&CHALLENGE, &client_data, object).map(|_| ()).unwrap_err();
    let good = device.attestation();
    let replaced = |from: &[u8], to: &[u8]| {
        let at = good.windows(from.len()).position(|window| window == from).unwrap();
        [&good[..at], to, &good[at + from.len()..]].concat()
    };
    assert_eq!(told(&replaced(b"\x64none", b"\x66packed")), BadPasskey::Attestation);
    assert_eq!(told(&replaced(b"attStmt\xa0", b"attStmt\xa1\x61x\x01")), BadPasskey::Attestation);
    for object in [
        &[][..],
        b"\xa0",
        &good[..good.len() - 1],
        &[good.as_slice(), b"\x00"].concat(),
        &replaced(b"\x63fmt", b"\x63abc"),
        &replaced(b"attStmt\xa0", b"attStmt\x80"),
        &[0x81; 4000],
    ] {
        assert_eq!(told(object), BadPasskey::Malformed("the attestation object"));
    }
    assert_eq!(told(&vec![0; MAX_DATA + 1]), BadPasskey::TooLong("the attestation object"));
}

#[test]
fn keys_are_read_strictly() {
    let good = device().public_key();
    let doubled = [&[0xa6, 0x01, 0x02], &good[1..]].concat();
    let compressed = [&good[..42], &[0x22, 0xf5]].concat();
    for (cose, why) in [
        (doubled, BadPasskey::Malformed("the public key")),
        (compressed, BadPasskey::Malformed("the public key")),
        (good[1..].to_vec(), BadPasskey::Malformed("the public key")),
        ([&good[..4], &[0x27], &good[5..]].concat(), BadPasskey::Algorithm),
        ([&good[..6], &[0x02], &good[7..]].concat(), BadPasskey::Algorithm),
        (vec![0xa0], BadPasskey::Algorithm),
        (vec![0; 2000], BadPasskey::TooLong("the public key")),
    ] {
        assert_eq!(PublicKey::parse(&cose), Err(why));
    }
}

#[test]
fn passkeys_are_for_names_only() {
    for (origin, id) in
        [("https://gw.corp.example:8443", "gw.corp.example"), ("http://localhost:8080", "localhost")]
    {
        assert_eq!(Party::at(origin).unwrap().id(), id);
    }
    for origin in ["http://127.0.0.1:8080", "http://[::1]:8080", "", "gw.corp.example"] {
        assert_eq!(Party::at(origin), None, "{origin}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes: Vec<u8>, more: Vec<u8>) {
        let _ = AuthenticatorData::parse(&bytes);
        let _ = authenticator::attested(&bytes);
        let _ = PublicKey::parse(&bytes);
        let _ = client::check(&bytes, client::GET, &CHALLENGE, ORIGIN);
        let mut data = device().data(true);
        data.extend_from_slice(&more);
        prop_assert_eq!(AuthenticatorData::parse(&data).is_ok(), more.is_empty());
    }

    #[test]
    fn a_changed_byte_never_signs_in(at in 0_usize..500, with in 1_u8..) {
        let mut device = device();
        let key = register(&device).unwrap().key;
        let signed = device.sign(&base64(&CHALLENGE));
        let mut parts = [signed.client_data, signed.authenticator_data, signed.signature];
        let length: usize = parts.iter().map(Vec::len).sum();
        let mut at = at % length;
        for part in &mut parts {
            if at < part.len() {
                part[at] ^= with;
                break;
            }
            at -= part.len();
        }
        let [client_data, authenticator_data, signature] = &parts;
        let given = Assertion { client_data, authenticator_data, signature };
        prop_assert!(party().authenticate(&CHALLENGE, &key, &given).is_err());
    }

    #[test]
    fn a_changed_byte_of_an_object_is_read_without_panic(at in 0_usize..500, with in 1_u8..) {
        let device = device();
        let client_data = device.client_data("webauthn.create", &base64(&CHALLENGE));
        let mut object = device.attestation();
        let place = at % object.len();
        object[place] ^= with;
        let _ = party().register(&CHALLENGE, &client_data, &object);
    }
}
