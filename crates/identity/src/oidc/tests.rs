use std::collections::HashMap;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use gatehouse_domain::name::Email;
use gatehouse_domain::time::UnixMillis;
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::fake::FakeNet;
use crate::fetch::FetchError;
use crate::jwks::VerifyError;
use crate::jwt::signer::{NOW, Signer, claims, seconds};
use crate::jwt::{Groups, JwtError};
use crate::secret::Secret;

mod callback;
mod later;
mod source;

const ISSUER: &str = "https://idp.example.com";

fn config(id: &str, issuer: &str) -> SourceConfig {
    SourceConfig {
        id: id.to_owned(),
        label: "Example".to_owned(),
        issuer: issuer.to_owned(),
        loopback: Loopback::Refused,
        client_id: "gatehouse".to_owned(),
        client_auth: ClientAuth::Basic(Secret::new(b"s:cret +".to_vec())),
        redirect_uri: "https://gw.example.com/oauth/callback".to_owned(),
        scopes: vec![],
        prompt: None,
        algorithms: vec![],
        skew_seconds: 30,
        email_claim: "email".to_owned(),
        name_claim: "name".to_owned(),
        groups_claim: Some("groups".to_owned()),
        email_trust: EmailTrust::WhenVerified,
        userinfo: UserInfoUse::WhenThin,
        domains: vec![],
    }
}

fn client(config: SourceConfig) -> Client {
    Client::new(Source::check(config).ok().unwrap())
}

/// A fake issuer.
struct Idp {
    net: FakeNet,
    signer: Signer,
}

impl Idp {
    fn new() -> Self {
        let idp = Self { net: FakeNet::default(), signer: Signer::p256() };
        idp.publish(ISSUER, json!({}));
        idp
    }

    fn publish(&self, issuer: &str, changes: Value) {
        let mut metadata = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize?tenant=1"),
            "token_endpoint": format!("{issuer}/token"),
            "userinfo_endpoint": format!("{issuer}/userinfo"),
            "jwks_uri": format!("{issuer}/keys"),
        });
        let Value::Object(changes) = changes else { panic!("changes are an object") };
        metadata.as_object_mut().unwrap().extend(changes);
        self.net.answer(&format!("{issuer}/.well-known/openid-configuration"), 200, &metadata);
        self.net.answer(&format!("{issuer}/keys"), 200, &json!({"keys": [self.signer.jwk("k")]}));
    }

    /// The next answer of the token endpoint holds an ID token with these claims.
    fn grants(&self, id_token: &Value) {
        let answer = json!({
            "token_type": "Bearer", "access_token": "at", "refresh_token": "rt", "expires_in": 3600,
            "id_token": self.signer.token("k", id_token),
        });
        self.net.answer(&format!("{ISSUER}/token"), 200, &answer);
    }
}

/// A sign-in that has come as far as the browser's return.
struct Visit {
    pending: Pending,
    query: HashMap<String, String>,
    cookie: String,
}

async fn begin(idp: &Idp, client: &Client) -> Visit {
    let started = client.start(&idp.net, &[5; RANDOM_LEN], None, NOW).await.ok().unwrap();
    let query = started.location.query_pairs().into_owned().collect();
    Visit { pending: started.pending, query, cookie: (*started.browser).clone() }
}

impl Visit {
    fn nonce(&self) -> &str {
        &self.query["nonce"]
    }

    fn state(&self) -> &str {
        &self.query["state"]
    }

    /// The browser returns with its code and what else is given.
    async fn returns(&self, idp: &Idp, client: &Client, more: &str) -> Result<SignIn, SignInError> {
        self.returns_with(idp, client, &format!("code=c%2B1&state={}{more}", self.state()), NOW).await
    }

    async fn returns_with(
        &self,
        idp: &Idp,
        client: &Client,
        query: &str,
        now: UnixMillis,
    ) -> Result<SignIn, SignInError> {
        let callback = Callback::parse(query)?;
        client.finish(&idp.net, self.pending.clone(), callback, Some(&self.cookie), now).await
    }
}

fn person(nonce: &str, changes: Value) -> Value {
    let mut all = claims(json!({"nonce": nonce, "groups": ["dev"]}));
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    all.as_object_mut().unwrap().extend(changes);
    all.as_object_mut().unwrap().retain(|_, value| *value != json!("-"));
    all
}

#[tokio::test]
async fn a_sign_in_ends_in_who_it_is() {
    let (idp, client) = (Idp::new(), client(config("main", ISSUER)));
    let visit = begin(&idp, &client).await;
    idp.grants(&person(visit.nonce(), json!({})));
    let done = visit.returns(&idp, &client, "").await.ok().unwrap();
    assert_eq!(
        done.who,
        SignedIn {
            issuer: ISSUER.to_owned(),
            subject: "alice-1".to_owned(),
            email: Some(Email::parse("alice@example.com").unwrap()),
            email_verified: true,
            name: Some("Alice".to_owned()),
            groups: Groups::Listed(vec!["dev".to_owned()]),
        }
    );
    assert_eq!(done.refresh_token.unwrap().expose(), b"rt");
    assert_eq!(idp.net.count(&format!("{ISSUER}/userinfo")), 0, "the ID token says all");
}

#[tokio::test]
async fn the_request_has_all_that_protects_it() {
    let idp = Idp::new();
    let mut config = config("main", ISSUER);
    config.prompt = Some(Prompt::SelectAccount);
    let client = client(config);
    let hint = Email::parse("alice@example.com").unwrap();
    let random: [u8; RANDOM_LEN] = std::array::from_fn(|n| u8::try_from(n).unwrap());
    let started = client.start(&idp.net, &random, Some(&hint), NOW).await.ok().unwrap();
    let query: HashMap<_, _> = started.location.query_pairs().into_owned().collect();
    for (name, value) in [
        ("tenant", "1"),
        ("response_type", "code"),
        ("response_mode", "query"),
        ("client_id", "gatehouse"),
        ("redirect_uri", "https://gw.example.com/oauth/callback"),
        ("scope", "openid email profile"),
        ("code_challenge_method", "S256"),
        ("prompt", "select_account"),
        ("login_hint", "alice@example.com"),
    ] {
        assert_eq!(query[name], value, "{name}");
    }
    let secrets = [&query["state"], &query["nonce"], &query["code_challenge"], &*started.browser];
    for (n, secret) in secrets.iter().enumerate() {
        assert_eq!(secret.len(), 43, "256 bits");
        assert!(!secrets[..n].contains(secret), "each of its own");
    }
    assert_eq!(started.location.host_str(), Some("idp.example.com"));

    // The verifier of the challenge goes to the token endpoint, and only there.
    let callback = Callback::parse(&format!("code=c%2B1&state={}", query["state"])).unwrap();
    idp.grants(&person(&query["nonce"], json!({})));
    client.finish(&idp.net, started.pending, callback, Some(&started.browser), NOW).await.ok().unwrap();
    let (form, authorization) = idp.net.last(&format!("{ISSUER}/token"));
    let form: HashMap<_, _> = form_urlencoded::parse(form.unwrap().as_bytes()).into_owned().collect();
    assert_eq!(form["grant_type"], "authorization_code");
    assert_eq!(form["code"], "c+1");
    assert_eq!(form["redirect_uri"], "https://gw.example.com/oauth/callback");
    let challenge = Base64UrlUnpadded::encode_string(&Sha256::digest(form["code_verifier"].as_bytes()));
    assert_eq!(query["code_challenge"], challenge);
    // gatehouse:s%3Acret+%2B
    assert_eq!(authorization.unwrap(), "Basic Z2F0ZWhvdXNlOnMlM0FjcmV0KyUyQg==");
    assert!(!form.contains_key("client_secret") && !form.contains_key("client_id"));
}

#[tokio::test]
async fn the_client_proves_itself_as_configured() {
    let secret = || Secret::new(b"s&=".to_vec());
    for (auth, id, kept) in [
        (ClientAuth::None, Some("gatehouse"), None),
        (ClientAuth::Post(secret()), Some("gatehouse"), Some("s&=")),
        (ClientAuth::Basic(secret()), None, None),
    ] {
        let is_basic = matches!(auth, ClientAuth::Basic(_));
        let idp = Idp::new();
        let client = client(SourceConfig { client_auth: auth, ..config("main", ISSUER) });
        let visit = begin(&idp, &client).await;
        idp.grants(&person(visit.nonce(), json!({})));
        visit.returns(&idp, &client, "").await.ok().unwrap();
        let (form, authorization) = idp.net.last(&format!("{ISSUER}/token"));
        let form: HashMap<_, _> = form_urlencoded::parse(form.unwrap().as_bytes()).into_owned().collect();
        assert_eq!(form.get("client_id").map(String::as_str), id);
        assert_eq!(form.get("client_secret").map(String::as_str), kept);
        assert_eq!(authorization.is_some(), is_basic);
    }
}

#[tokio::test]
async fn an_id_token_for_another_sign_in_is_refused() {
    let (idp, client) = (Idp::new(), client(config("main", ISSUER)));
    let visit = begin(&idp, &client).await;
    for (nonce, error) in
        [(json!("another"), JwtError::Nonce), (json!("-"), JwtError::Nonce), (json!(""), JwtError::Nonce)]
    {
        idp.grants(&person(visit.nonce(), json!({"nonce": nonce})));
        let refused = visit.returns(&idp, &client, "").await.err().unwrap();
        assert_eq!(refused, SignInError::IdToken(VerifyError::Token(error)));
    }
    for (changes, part) in [
        (json!({"aud": "other"}), "audience"),
        (json!({"iss": "https://other.example.com"}), "from `https://other.example.com`"),
        (json!({"exp": seconds(-100), "iat": seconds(-200)}), "expired"),
        (json!({"sub": ""}), "`sub`"),
    ] {
        idp.grants(&person(visit.nonce(), changes));
        let refused = visit.returns(&idp, &client, "").await.err().unwrap().to_string();
        assert!(refused.contains(part), "{refused}");
    }
    idp.net.answer(&format!("{ISSUER}/token"), 200, &json!({"token_type": "Bearer", "access_token": "at"}));
    assert_eq!(visit.returns(&idp, &client, "").await.err(), Some(SignInError::NoIdToken));
}

#[tokio::test]
async fn a_thin_id_token_is_filled_up_from_userinfo() {
    let (idp, client) = (Idp::new(), client(config("main", ISSUER)));
    let visit = begin(&idp, &client).await;
    let thin = json!({"email": "-", "email_verified": "-", "name": "-", "groups": "-"});
    idp.grants(&person(visit.nonce(), thin));
    let userinfo = format!("{ISSUER}/userinfo");
    let full = json!({"sub": "alice-1", "email": "a@example.com", "email_verified": true, "name": "A", "groups": ["x"]});
    idp.net.answer(&userinfo, 200, &full);
    let who = visit.returns(&idp, &client, "").await.ok().unwrap().who;
    assert_eq!(who.email.unwrap().as_str(), "a@example.com");
    assert!(who.email_verified);
    assert_eq!(who.groups, Groups::Listed(vec!["x".to_owned()]));
    assert_eq!(idp.net.last(&userinfo).1.as_deref(), Some("Bearer at"));

    for (status, body, error) in [
        (200, json!({"sub": "mallory", "email": "a@example.com"}), UserInfoError::OtherSubject),
        (200, json!({"email": "a@example.com"}), UserInfoError::Malformed),
        (200, json!("jwt"), UserInfoError::Malformed),
        (401, json!({}), UserInfoError::Fetch(FetchError::Status(401))),
    ] {
        idp.net.answer(&userinfo, status, &body);
        let refused = visit.returns(&idp, &client, "").await.err().unwrap();
        assert_eq!(refused, SignInError::UserInfo(error));
    }
}

#[tokio::test]
async fn what_the_id_token_says_wins() {
    let (idp, client) = (Idp::new(), client(config("main", ISSUER)));
    let visit = begin(&idp, &client).await;
    idp.grants(&person(visit.nonce(), json!({"email_verified": false, "name": "-"})));
    let other = json!({"sub": "alice-1", "email": "ceo@example.com", "email_verified": true, "name": "A", "groups": ["root"]});
    idp.net.answer(&format!("{ISSUER}/userinfo"), 200, &other);
    let who = visit.returns(&idp, &client, "").await.ok().unwrap().who;
    assert_eq!(who.email.unwrap().as_str(), "alice@example.com");
    assert!(!who.email_verified, "the other document speaks of another address");
    assert_eq!((who.name.as_deref(), who.groups), (Some("A"), Groups::Listed(vec!["dev".to_owned()])));
}

#[tokio::test]
async fn trust_and_overage_are_told() {
    let idp = Idp::new();
    let client = client(SourceConfig { email_trust: EmailTrust::Always, ..config("main", ISSUER) });
    let visit = begin(&idp, &client).await;
    let overage = json!({"email_verified": "-", "groups": "-", "_claim_names": {"groups": "src1"}});
    idp.grants(&person(visit.nonce(), overage));
    let who = visit.returns(&idp, &client, "").await.ok().unwrap().who;
    assert!(who.email_verified);
    assert_eq!(who.groups, Groups::Overage);
}
