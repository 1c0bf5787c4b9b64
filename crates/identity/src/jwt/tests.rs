use hmac::{Hmac, KeyInit as _, Mac as _};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use sha2::Sha256;

use gatehouse_domain::time::UnixMillis;

use super::signer::{NOW, Signer, base64, claims, seconds};
use super::*;
use crate::jwks::KeySet;

fn policy(kind: TokenKind) -> Policy {
    let names = ClaimNames::standard(Some("groups")).unwrap();
    Policy::new(kind, "https://idp.example.com", vec!["gatehouse".to_owned()], names).unwrap()
}

fn key_set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap()
}

fn verify(token: &str, keys: &KeySet) -> Result<Claims, JwtError> {
    policy(TokenKind::Id).verify(&Token::parse(token)?, keys, NOW)
}

/// What a policy says of a well signed token with these claims.
fn judge(kind: TokenKind, changes: Value) -> Result<Claims, JwtError> {
    let signer = Signer::ed25519();
    let token = signer.token("k", &claims(changes));
    policy(kind).verify(&Token::parse(&token)?, &key_set(&[signer.jwk("k")]), NOW)
}

#[test]
fn tokens_of_another_implementation_verify() {
    let file: Value = serde_json::from_str(include_str!("../../testdata/jws.json")).unwrap();
    let keys = KeySet::parse(file["jwks"].to_string().as_bytes()).unwrap();
    let tokens = file["tokens"].as_object().unwrap();
    assert_eq!(tokens.len(), Algorithm::ALL.len());
    for (name, token) in tokens {
        let token = token.as_str().unwrap();
        let claims = verify(token, &keys).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(claims.subject, "alice-1");
        assert_eq!(claims.person.email.unwrap().as_str(), "alice@example.com");
        assert!(claims.person.email_verified);

        // Allowing only another algorithm refuses it, though the key would fit.
        let algorithm = Algorithm::parse(name).unwrap();
        let others: Vec<_> = Algorithm::ALL.into_iter().filter(|other| *other != algorithm).collect();
        let strict = policy(TokenKind::Id).with_algorithms(&others).unwrap();
        let refused = strict.verify(&Token::parse(token).unwrap(), &keys, NOW);
        assert_eq!(refused, Err(JwtError::Algorithm(name.clone())));

        // Every part is covered: flip one bit anywhere and it is refused.
        for at in 0..token.len() {
            let mut bytes = token.as_bytes().to_vec();
            bytes[at] ^= 1;
            let changed = String::from_utf8(bytes).unwrap();
            assert!(verify(&changed, &keys).is_err(), "{name}: changed at {at}");
        }
    }
}

#[test]
fn the_algorithm_never_comes_from_the_token() {
    let file: Value = serde_json::from_str(include_str!("../../testdata/jws.json")).unwrap();
    let keys = KeySet::parse(file["jwks"].to_string().as_bytes()).unwrap();
    let body = base64(claims(json!({})).to_string());
    for name in
        ["none", "None", "NONE", "nOnE", "", "HS256", "HS384", "HS512", "rs256", "ES256K", "A256GCM", "RS1"]
    {
        for signature in ["", "AAAA"] {
            let token =
                format!("{}.{body}.{signature}", base64(json!({"alg": name, "kid": "rsa"}).to_string()));
            assert_eq!(verify(&token, &keys), Err(JwtError::Algorithm(name.to_owned())));
        }
    }
    // The classic: the RSA public key, in each form somebody may have it, as the secret of an HMAC.
    let modulus = file["jwks"]["keys"][0]["n"].as_str().unwrap();
    for secret in [modulus.as_bytes(), file["jwks"]["keys"][0].to_string().as_bytes(), b""] {
        let signed = format!("{}.{body}", base64(json!({"alg": "HS256", "kid": "rsa"}).to_string()));
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
        mac.update(signed.as_bytes());
        let token = format!("{signed}.{}", base64(mac.finalize().into_bytes()));
        assert_eq!(verify(&token, &keys), Err(JwtError::Algorithm("HS256".to_owned())));
    }
    // An algorithm of another family with a key's id finds no key.
    let token = format!("{}.{body}.AAAA", base64(json!({"alg": "ES256", "kid": "rsa"}).to_string()));
    assert!(matches!(verify(&token, &keys), Err(JwtError::Key(_))));
}

#[test]
fn keys_in_the_header_are_never_used() {
    let (ours, theirs) = (Signer::p256(), Signer::p256());
    let keys = key_set(&[ours.jwk("k")]);
    for extra in [
        json!({"jwk": theirs.jwk("k")}),
        json!({"jku": "https://evil.example.com/keys"}),
        json!({"x5u": "https://evil.example.com/cert"}),
        json!({"x5c": ["MIIB"]}),
    ] {
        let mut header = json!({"alg": "ES256", "kid": "k"});
        header.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        assert_eq!(verify(&theirs.sign(&header, &claims(json!({}))), &keys), Err(JwtError::Signature));
        assert!(verify(&ours.sign(&header, &claims(json!({}))), &keys).is_ok(), "ignored, not believed");
    }
}

#[test]
fn hostile_headers_are_refused() {
    let signer = Signer::ed25519();
    let keys = key_set(&[signer.jwk("k")]);
    let base = json!({"alg": "EdDSA", "kid": "k"});
    for (extra, error) in [
        (json!({"crit": ["b64"], "b64": false}), JwtError::Critical),
        (json!({"crit": []}), JwtError::Critical),
        (json!({"crit": null}), JwtError::Critical),
        (json!({"crit": ["exp"]}), JwtError::Critical),
        (json!({"typ": "logout+jwt"}), JwtError::Type("logout+jwt".to_owned())),
        (json!({"typ": "at+jwt"}), JwtError::Type("at+jwt".to_owned())),
        (json!({"typ": "dpop+jwt"}), JwtError::Type("dpop+jwt".to_owned())),
        (json!({"typ": "application/é"}), JwtError::Type("application/é".to_owned())),
    ] {
        let mut header = base.clone();
        header.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        assert_eq!(verify(&signer.sign(&header, &claims(json!({}))), &keys), Err(error), "{header}");
    }
    // Who reads which of two is anybody's guess.
    let body = base64(claims(json!({})).to_string());
    for header in [
        r#"{"alg":"EdDSA","alg":"none","kid":"k"}"#,
        r#"{"alg":"EdDSA","\u0061lg":"none"}"#,
        r#"{"alg":["EdDSA"]}"#,
        r#"{"kid":"k"}"#,
        r#"{"alg":"EdDSA","kid":7}"#,
        "[]",
        "",
        "null",
    ] {
        let token = format!("{}.{body}.AAAA", base64(header));
        assert!(matches!(verify(&token, &keys), Err(JwtError::Malformed(_))), "{header}");
    }
    for typ in ["JWT", "jwt", "application/jwt"] {
        let header = json!({"alg": "EdDSA", "kid": "k", "typ": typ});
        assert!(verify(&signer.sign(&header, &claims(json!({}))), &keys).is_ok(), "{typ}");
    }
}

#[test]
fn what_is_no_token_is_refused() {
    let keys = key_set(&[Signer::ed25519().jwk("k")]);
    let deep = format!("{}.{}.AAAA", base64(r#"{"alg":"EdDSA","kid":"k"}"#), base64("[".repeat(5000)));
    for text in [
        "",
        ".",
        "..",
        "...",
        "a.b",
        "a.b.c",
        "a.b.c.d.e",
        "e30.e30.",
        "e30=.e30.AA",
        "é.é.é",
        "' OR 1=1 --",
        &deep,
    ] {
        assert!(verify(text, &keys).is_err(), "{text}");
    }
    let long = "a".repeat(MAX_TOKEN + 1);
    assert_eq!(verify(&long, &keys), Err(JwtError::TooLong(MAX_TOKEN + 1)));
}

#[test]
fn an_oversized_token_is_refused_even_if_well_signed() {
    let signer = Signer::ed25519();
    let token = signer.token("k", &claims(json!({"pad": "a".repeat(MAX_TOKEN)})));
    assert_eq!(verify(&token, &key_set(&[signer.jwk("k")])), Err(JwtError::TooLong(token.len())));
}

#[test]
fn two_tokens_with_a_long_common_prefix_are_two_people() {
    let signer = Signer::ed25519();
    let keys = key_set(&[signer.jwk("k")]);
    let pad = "a".repeat(4000);
    let subject = |sub: &str| {
        signer.sign(&json!({"alg": "EdDSA", "kid": "k"}), &json!({
        "iss": "https://idp.example.com", "aud": "gatehouse", "iat": seconds(-1), "exp": seconds(60), "pad": pad, "sub": sub,
    }))
    };
    let [alice, bob] = ["alice", "bob"].map(subject);
    let common = alice.bytes().zip(bob.bytes()).take_while(|(a, b)| a == b).count();
    assert!(common > 4000, "{common}");
    assert_eq!(verify(&alice, &keys).unwrap().subject, "alice");
    assert_eq!(verify(&bob, &keys).unwrap().subject, "bob");
    // One's front with the other's signature is nobody.
    let (front, _) = alice.rsplit_once('.').unwrap();
    let (_, signature) = bob.rsplit_once('.').unwrap();
    assert_eq!(verify(&format!("{front}.{signature}"), &keys), Err(JwtError::Signature));
}

#[test]
fn hostile_claims_are_refused() {
    use JwtError::{Audience, AuthorizedParty, Claim, Expired, NotYetValid};
    let issuer =
        |got: &str| JwtError::Issuer { expected: "https://idp.example.com".to_owned(), got: got.to_owned() };
    let us = || "gatehouse".to_owned();
    for (changes, error) in [
        (json!({"iss": "https://idp.example.com/"}), issuer("https://idp.example.com/")),
        (json!({"iss": "https://IDP.example.com"}), issuer("https://IDP.example.com")),
        (json!({"iss": "https://evil.example.com"}), issuer("https://evil.example.com")),
        (json!({"iss": ["https://idp.example.com"]}), Claim("iss")),
        (json!({"iss": "-"}), Claim("iss")),
        (json!({"aud": "other"}), Audience(us())),
        (json!({"aud": "Gatehouse"}), Audience(us())),
        (json!({"aud": []}), Audience(us())),
        (json!({"aud": ["gatehouse", 1]}), Claim("aud")),
        (json!({"aud": {"gatehouse": true}}), Claim("aud")),
        (json!({"aud": "-"}), Claim("aud")),
        (json!({"aud": ["gatehouse", "other"]}), AuthorizedParty(us())),
        (json!({"aud": ["gatehouse", "other"], "azp": "other"}), AuthorizedParty(us())),
        (json!({"azp": "other"}), AuthorizedParty(us())),
        (json!({"azp": null}), Claim("azp")),
        (json!({"exp": "-"}), Claim("exp")),
        (json!({"exp": null}), Claim("exp")),
        (json!({"exp": "1999999999"}), Claim("exp")),
        (json!({"exp": 1e300}), Claim("exp")),
        (json!({"exp": u64::MAX}), Claim("exp")),
        (json!({"exp": i64::MAX}), Claim("exp")),
        (json!({"exp": -1, "iat": -5}), Expired),
        (json!({"exp": seconds(-30), "iat": seconds(-60)}), Expired),
        (json!({"nbf": seconds(31)}), NotYetValid),
        (json!({"iat": seconds(31)}), NotYetValid),
        (json!({"iat": seconds(3600)}), NotYetValid),
        (json!({"exp": seconds(5), "nbf": seconds(10)}), Claim("nbf")),
        (json!({"nbf": "soon"}), Claim("nbf")),
        (json!({"iat": "-"}), Claim("iat")),
        (json!({"sub": "-"}), Claim("sub")),
        (json!({"sub": ""}), Claim("sub")),
        (json!({"sub": "  "}), Claim("sub")),
        (json!({"sub": 7}), Claim("sub")),
        (json!({"nonce": 7}), Claim("nonce")),
    ] {
        assert_eq!(judge(TokenKind::Id, changes.clone()), Err(error), "{changes}");
    }
}

#[test]
fn good_claims_pass() {
    for (kind, changes) in [
        (TokenKind::Id, json!({})),
        (TokenKind::Id, json!({"aud": ["gatehouse"]})),
        (TokenKind::Id, json!({"aud": ["gatehouse", "other"], "azp": "gatehouse"})),
        (TokenKind::Id, json!({"exp": seconds(-29), "iat": seconds(-60)})),
        (TokenKind::Id, json!({"nbf": seconds(30), "iat": seconds(30)})),
        (TokenKind::Id, json!({"exp": 1_795_003_600.75, "iat": 1_794_999_999.5})),
        (TokenKind::Bearer, json!({"iat": "-", "azp": "some-cli"})),
    ] {
        assert!(judge(kind, changes.clone()).is_ok(), "{changes}");
    }
}

#[test]
fn skew_is_at_most_a_minute() {
    assert_eq!(Skew::seconds(61), Err(BadPolicy::Skew(61)));
    let signer = Signer::ed25519();
    let keys = key_set(&[signer.jwk("k")]);
    let token = signer.token("k", &claims(json!({"exp": seconds(100)})));
    let policy = policy(TokenKind::Id).with_skew(Skew::seconds(60).unwrap());
    let at =
        |offset| policy.verify(&Token::parse(&token).unwrap(), &keys, UnixMillis(seconds(offset) * 1000));
    assert!(at(159).is_ok());
    assert_eq!(at(160), Err(JwtError::Expired));
}

#[test]
fn policies_that_accept_too_much_are_refused() {
    let names = || ClaimNames::standard(None).unwrap();
    let make = |iss: &str, aud: Vec<String>| Policy::new(TokenKind::Id, iss, aud, names()).unwrap_err();
    assert_eq!(make("", vec!["a".to_owned()]), BadPolicy::NoIssuer);
    assert_eq!(make("i", vec![]), BadPolicy::NoAudience("i".to_owned()));
    assert_eq!(make("i", vec![String::new()]), BadPolicy::NoAudience("i".to_owned()));
    assert!(policy(TokenKind::Id).with_algorithms(&[]).is_err());
}

#[test]
fn what_is_said_of_a_person_is_read() {
    let read = |document: Value, groups: &str| {
        Person::read(document.as_object().unwrap(), &ClaimNames::standard(Some(groups)).unwrap())
    };
    let groups = |document: Value, path: &str| read(document, path).map(|person| person.groups);
    let listed = |names: &[&str]| Ok(Groups::Listed(names.iter().map(ToString::to_string).collect()));

    assert_eq!(groups(json!({"groups": ["b", "a", "b"]}), "groups"), listed(&["a", "b"]));
    assert_eq!(groups(json!({"groups": []}), "groups"), listed(&[]));
    assert_eq!(groups(json!({"groups": "a"}), "groups"), listed(&["a"]));
    assert_eq!(groups(json!({"realm_access": {"roles": ["a"]}}), "realm_access.roles"), listed(&["a"]));
    assert_eq!(groups(json!({}), "groups"), Ok(Groups::Absent));
    assert_eq!(groups(json!({"groups": null}), "groups"), Ok(Groups::Absent));
    let overage = json!({"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://graph.example.com"}}});
    assert_eq!(groups(overage.clone(), "groups"), Ok(Groups::Overage));
    assert_eq!(groups(overage, "roles"), Ok(Groups::Absent));
    assert_eq!(groups(json!({"hasgroups": true}), "groups"), Ok(Groups::Overage));
    assert_eq!(groups(json!({"hasgroups": true, "roles": ["a"]}), "roles"), listed(&["a"]));
    for bad in [json!([1]), json!([["a"]]), json!([""]), json!({"a": 1}), json!(7), json!(["a".repeat(257)])]
    {
        assert!(matches!(groups(json!({"groups": bad}), "groups"), Err(BadGroups::NoList(_))));
    }
    let many: Vec<String> = (0..2001).map(|n| n.to_string()).collect();
    assert_eq!(groups(json!({"groups": many}), "groups"), Err(BadGroups::TooMany("groups".to_owned())));

    for (document, email, verified) in [
        (json!({"email": "A@Example.com", "email_verified": true}), Some("a@example.com"), true),
        (json!({"email": "a@example.com", "email_verified": "true"}), Some("a@example.com"), true),
        (json!({"email": "a@example.com", "email_verified": 1}), Some("a@example.com"), false),
        (json!({"email": "a@example.com"}), Some("a@example.com"), false),
        (json!({"email": "no address", "email_verified": true}), None, false),
        (json!({"email": ["a@example.com"], "email_verified": true}), None, false),
        (json!({"email_verified": true}), None, false),
    ] {
        let person = read(document.clone(), "groups").unwrap();
        assert_eq!(person.email.as_ref().map(gatehouse_domain::name::Email::as_str), email, "{document}");
        assert_eq!(person.email_verified, verified, "{document}");
    }
    let name = read(json!({"name": " A\u{202e}\r\nB "}), "groups").unwrap().name;
    assert_eq!(name.as_deref(), Some("AB"));
}

#[test]
fn errors_show_nothing_that_signs_in() {
    let signer = Signer::ed25519();
    let token = signer.token("k", &claims(json!({"aud": "other"})));
    let shown = verify(&token, &key_set(&[signer.jwk("k")])).unwrap_err().to_string();
    assert!(!token.split('.').any(|part| shown.contains(part)), "{shown}");
}

proptest! {
    #[test]
    fn any_text_is_taken_apart_or_refused(text in any::<String>()) {
        let _ = Token::parse(&text);
    }

    #[test]
    fn any_signed_claims_are_judged_without_panic(
        header in "[a-zA-Z0-9{}\":, ]{0,40}", numbers in any::<(f64, i64, u64)>(), text in any::<String>(),
    ) {
        let _ = Token::parse(&format!("{}.{}.", base64(header), base64(&text)));
        for value in [json!(numbers.0), json!(numbers.1), json!(numbers.2), json!(text)] {
            for claim in ["exp", "nbf", "iat", "sub", "aud", "iss", "azp", "groups", "_claim_names"] {
                let _ = judge(TokenKind::Id, json!({claim: value.clone()}));
            }
            let _ = Person::read(&Map::from_iter([("groups".to_owned(), value)]), &ClaimNames::standard(Some("groups")).unwrap());
        }
    }
}
