use gatehouse_domain::time::UnixMillis;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::fake::FakeNet;
use crate::jwt::signer::{NOW, Signer, base64, claims};
use crate::jwt::{ClaimNames, TokenKind};

const KEYS: &str = "https://idp.example.com/keys";

fn policy() -> Policy {
    let names = ClaimNames::standard(None).unwrap();
    Policy::new(TokenKind::Id, "https://idp.example.com", vec!["gatehouse".to_owned()], names).unwrap()
}

fn after(seconds: i64) -> UnixMillis {
    NOW.plus_millis(seconds * 1000)
}

/// An issuer with these keys, and what is known of them.
struct Idp {
    net: FakeNet,
    keys: IssuerKeys,
    address: Url,
}

impl Idp {
    fn new(keys: &[Value]) -> Self {
        let idp = Self { net: FakeNet::default(), keys: IssuerKeys::new(), address: KEYS.parse().unwrap() };
        idp.publish(keys);
        idp
    }

    fn publish(&self, keys: &[Value]) {
        self.net.answer(KEYS, 200, &json!({"keys": keys}));
    }

    async fn verify(&self, token: &str, now: UnixMillis) -> Result<Claims, VerifyError> {
        self.keys.verify(&self.net, &self.address, &policy(), token, now).await
    }

    fn fetches(&self) -> usize {
        self.net.count(KEYS)
    }
}

/// A token that is good for days.
fn token(signer: &Signer, kid: &str) -> String {
    signer.token(kid, &claims(json!({"exp": NOW.0 / 1000 + 10 * 86_400})))
}

#[tokio::test]
async fn good_keys_are_fetched_once_in_ten_minutes() {
    let signer = Signer::p256();
    let idp = Idp::new(&[signer.jwk("k")]);
    for second in [0, 1, 60, 599, 600] {
        idp.verify(&token(&signer, "k"), after(second)).await.unwrap();
    }
    assert_eq!(idp.fetches(), 1);
    idp.verify(&token(&signer, "k"), after(601)).await.unwrap();
    assert_eq!(idp.fetches(), 2);
}

#[tokio::test]
async fn thirty_unknown_keys_cause_at_most_three_fetches() {
    let signer = Signer::p256();
    let idp = Idp::new(&[signer.jwk("k")]);
    idp.verify(&token(&signer, "k"), NOW).await.unwrap();
    for n in 0..30 {
        let refused = idp.verify(&token(&signer, &format!("unknown-{n}")), after(n)).await.unwrap_err();
        assert!(matches!(refused, VerifyError::Token(JwtError::Key(NoKey::Unknown { .. }))), "{refused}");
    }
    assert_eq!(idp.fetches(), 3, "at 0, 10 and 20 s");
}

#[tokio::test]
async fn a_rotation_is_picked_up_at_once_even_under_attack() {
    let (old, new) = (Signer::p256(), Signer::ed25519());
    let idp = Idp::new(&[old.jwk("1")]);
    idp.verify(&token(&old, "1"), NOW).await.unwrap();
    // Somebody spends the allowance just before.
    idp.verify(&token(&old, "x"), after(20)).await.unwrap_err();
    idp.publish(&[old.jwk("1"), new.jwk("2")]);
    idp.verify(&token(&new, "2"), after(21)).await.unwrap_err();
    idp.verify(&token(&new, "2"), after(30)).await.unwrap();
    idp.verify(&token(&old, "1"), after(30)).await.unwrap();
}

#[tokio::test]
async fn a_key_that_changes_under_its_id_is_picked_up() {
    let (old, new) = (Signer::p256(), Signer::p256());
    let idp = Idp::new(&[old.jwk("1")]);
    idp.verify(&token(&old, "1"), NOW).await.unwrap();
    idp.publish(&[new.jwk("1")]);
    idp.verify(&token(&new, "1"), after(15)).await.unwrap();
    let refused = idp.verify(&token(&old, "1"), after(30)).await.unwrap_err();
    assert_eq!(refused, VerifyError::Token(JwtError::Signature));
}

#[tokio::test]
async fn an_outage_of_a_day_is_survived() {
    let signer = Signer::p256();
    let idp = Idp::new(&[signer.jwk("k")]);
    idp.verify(&token(&signer, "k"), NOW).await.unwrap();
    for trouble in 0..4 {
        match trouble {
            0 => idp.net.fail(KEYS),
            1 => idp.net.answer(KEYS, 503, &json!({})),
            2 => idp.publish(&[]),
            _ => idp.net.answer_bytes(KEYS, 200, vec![b' '; MAX_DOCUMENT + 1]),
        }
        for minute in 0..60 {
            let now = after(3600 * (trouble + 1) + minute * 60);
            idp.verify(&token(&signer, "k"), now).await.unwrap();
        }
    }
    idp.verify(&token(&signer, "k"), after(86_400)).await.unwrap();
    let gone = idp.verify(&token(&signer, "k"), after(86_500)).await.unwrap_err();
    assert!(matches!(gone, VerifyError::Keys(_)), "{gone}");
    idp.publish(&[signer.jwk("k")]);
    idp.verify(&token(&signer, "k"), after(86_520)).await.unwrap();
}

#[tokio::test]
async fn an_outage_at_the_start_is_told_apart_from_a_wrong_token() {
    let signer = Signer::p256();
    let idp = Idp::new(&[]);
    idp.net.fail(KEYS);
    let first = idp.verify(&token(&signer, "k"), NOW).await.unwrap_err();
    assert_eq!(first, VerifyError::Keys(KeysError::Fetch(FetchError::TimedOut)));
    assert_eq!(
        idp.verify(&token(&signer, "k"), after(5)).await,
        Err(VerifyError::Keys(KeysError::JustFailed))
    );
    assert_eq!(idp.fetches(), 1);
    idp.publish(&[signer.jwk("k")]);
    idp.verify(&token(&signer, "k"), after(10)).await.unwrap();
}

#[tokio::test]
async fn requests_that_need_the_same_keys_wait_for_one_fetch() {
    let signer = Signer::p256();
    let idp = Idp::new(&[signer.jwk("k")]);
    let token = token(&signer, "k");
    let many = (0..50).map(|_| idp.verify(&token, NOW));
    let mut set: Vec<_> = many.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        set.retain_mut(|verify| match verify.as_mut().poll(context) {
            std::task::Poll::Ready(verified) => {
                verified.unwrap();
                false
            }
            std::task::Poll::Pending => true,
        });
        if set.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    assert_eq!(idp.fetches(), 1);
}

#[tokio::test]
async fn a_clock_set_back_stops_nothing() {
    let (old, new) = (Signer::p256(), Signer::p256());
    let idp = Idp::new(&[old.jwk("1")]);
    idp.verify(&token(&old, "1"), after(7200)).await.unwrap();
    idp.publish(&[new.jwk("2")]);
    idp.verify(&token(&new, "2"), after(3600)).await.unwrap();
}

#[tokio::test]
async fn the_same_key_id_at_two_issuers_is_two_keys() {
    let (ours, theirs) = (Signer::p256(), Signer::p256());
    let (one, other) = (Idp::new(&[ours.jwk("k")]), Idp::new(&[theirs.jwk("k")]));
    one.verify(&token(&ours, "k"), NOW).await.unwrap();
    other.verify(&token(&theirs, "k"), NOW).await.unwrap();
    // The other issuer signs a token that claims to be of this one.
    let refused = one.verify(&token(&theirs, "k"), after(1)).await.unwrap_err();
    assert_eq!(refused, VerifyError::Token(JwtError::Signature));
}

#[test]
fn unusable_keys_are_left_out_and_reported() {
    let good = Signer::p256().jwk("good");
    let with = |changes: Value| {
        let mut key = good.clone();
        key.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        key
    };
    let rsa = |bits: usize, e: &str| {
        let mut n = vec![0xff; bits / 8];
        n[0] = 0x80;
        json!({"kty": "RSA", "kid": "rsa", "n": base64(n), "e": e})
    };
    for (key, why) in [
        (json!({"kty": "oct", "kid": "s", "k": "c2VjcmV0"}), "symmetric"),
        (with(json!({"use": "enc"})), "not for signatures"),
        (with(json!({"key_ops": ["sign"]})), "not for verifying"),
        (with(json!({"d": "AAAA"})), "private part"),
        (with(json!({"alg": "RS256"})), "another type"),
        (with(json!({"alg": "HS256"})), "algorithm is not supported"),
        (with(json!({"crv": "secp256k1"})), "curve"),
        (with(json!({"crv": "P-521"})), "curve"),
        (with(json!({"x": "AAAA"})), "wrong length"),
        (with(json!({"x": "!!!"})), "base64url"),
        (with(json!({"y": null})), "missing"),
        (with(json!({"kty": "DSA"})), "type"),
        (rsa(1024, "AQAB"), "2048"),
        (rsa(16_384, "AQAB"), "2048"),
        (rsa(2048, "AQ"), "exponent"),
        (rsa(2048, "AAAA"), "exponent"),
        (rsa(2048, "AgAB_____w"), "exponent"),
        (json!("key"), "object"),
        (json!(null), "object"),
    ] {
        let document = json!({"keys": [key, good]}).to_string();
        let set = KeySet::parse(document.as_bytes()).unwrap();
        assert_eq!((set.len(), set.skipped().len()), (1, 1), "{key}");
        assert!(set.skipped()[0].why.contains(why), "{key}: {}", set.skipped()[0]);
        assert_eq!(
            KeySet::parse(json!({"keys": [key]}).to_string().as_bytes()),
            Err(BadKeySet::NoneUsable(1))
        );
    }
}

#[test]
fn key_sets_are_bounded() {
    let good = Signer::p256().jwk("k");
    let many = json!({"keys": vec![good; MAX_KEYS + 1]}).to_string();
    assert_eq!(KeySet::parse(many.as_bytes()), Err(BadKeySet::TooMany(MAX_KEYS + 1)));
    let long = vec![b' '; MAX_DOCUMENT + 1];
    assert_eq!(KeySet::parse(&long), Err(BadKeySet::TooLong(long.len())));
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":null}"#, "<html>", &"[".repeat(10_000)] {
        assert_eq!(KeySet::parse(text.as_bytes()), Err(BadKeySet::Malformed), "{text}");
    }
}

#[test]
fn a_key_is_chosen_only_if_there_is_one() {
    let (a, b, ed) = (Signer::p256(), Signer::p256(), Signer::ed25519());
    let set = |keys: &[Value]| KeySet::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap();
    let es = Algorithm::Es256;
    assert!(set(&[a.jwk("1"), ed.jwk("1")]).find(Some("1"), es).is_ok(), "the type tells them apart");
    assert!(set(&[a.jwk("1"), ed.jwk("2")]).find(None, es).is_ok());
    assert!(matches!(set(&[a.jwk("1"), b.jwk("1")]).find(Some("1"), es), Err(NoKey::Ambiguous { .. })));
    assert!(matches!(set(&[a.jwk("1"), b.jwk("2")]).find(None, es), Err(NoKey::Unnamed { fitting: 2, .. })));
    assert!(matches!(set(&[ed.jwk("1")]).find(None, es), Err(NoKey::Unnamed { fitting: 0, .. })));
    assert!(matches!(set(&[a.jwk("1")]).find(Some(""), es), Err(NoKey::Unknown { .. })));
}

proptest! {
    #[test]
    fn any_document_is_read_or_refused(text in any::<String>(), member in "[a-z_]{1,8}", value in "[A-Za-z0-9_-]{0,60}") {
        let _ = KeySet::parse(text.as_bytes());
        for kty in ["RSA", "EC", "OKP"] {
            let key = json!({"kty": kty, "crv": "P-256", "n": value, "e": value, "x": value, "y": value, &member: text});
            let _ = KeySet::parse(json!({"keys": [key]}).to_string().as_bytes());
        }
    }
}
