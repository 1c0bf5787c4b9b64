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
async fn a_return_that_is_not_ours_is_refused() {
    let (idp, client) = (Idp::new(), client(config("main", ISSUER)));
    let visit = begin(&idp, &client).await;
    idp.grants(&person(visit.nonce(), json!({})));
    let state = visit.state();
    let refused = async |query: &str, now| match visit.returns_with(&idp, &client, query, now).await {
        Err(SignInError::Callback(error)) => error,
        Err(other) => panic!("{query}: {other}"),
        Ok(_) => panic!("{query}: accepted"),
    };
    assert_eq!(refused("code=c&state=other", NOW).await, CallbackError::State);
    assert_eq!(refused("code=c&state=", NOW).await, CallbackError::State);
    let query = format!("code=c&state={state}");
    assert_eq!(refused(&query, NOW.plus_millis(600_000)).await, CallbackError::Expired);
    let mixed = refused(&format!("{query}&iss=https%3A%2F%2Fevil.example.com"), NOW).await;
    assert!(matches!(mixed, CallbackError::MixedUp { .. }), "{mixed}");
    let query = format!("error=access_denied&error_description=no%0d%0aX%3A+1&state={state}");
    let denied = refused(&query, NOW).await;
    let CallbackError::Refused { error, description } = &denied else { panic!("{denied}") };
    assert_eq!((error.as_str(), description.as_str()), ("access_denied", "no\\r\\nX: 1"));

    // Another browser, which somebody talked into following the link.
    for cookie in [None, Some(""), Some("AAAA")] {
        let callback = Callback::parse(&format!("code=c&state={state}")).unwrap();
        let error =
            client.finish(&idp.net, visit.pending.clone(), callback, cookie, NOW).await.err().unwrap();
        assert_eq!(error, SignInError::Callback(CallbackError::Browser));
    }
    assert_eq!(idp.net.count(&format!("{ISSUER}/token")), 0, "no code left the house");
}

#[test]
fn queries_that_cannot_be_read_are_refused() {
    for query in [
        "",
        "code=c",
        "state=s",
        "code=c&state=s&state=t",
        "code=c&code=d&state=s",
        "code=c&error=e&state=s",
        "iss=a&iss=b&code=c&state=s",
        &format!("code={}&state=s", "c".repeat(17_000)),
    ] {
        assert!(matches!(Callback::parse(query), Err(CallbackError::Malformed(_))), "{query}");
    }
    assert!(Callback::parse("code=c&state=s&session_state=x&utm=1&utm=2").is_ok());
}

#[tokio::test]
async fn a_replayed_state_finds_nothing() {
    let (idp, client) = (Idp::new(), client(config("main", ISSUER)));
    let visit = begin(&idp, &client).await;
    let mut table = PendingTable::new(2);
    table.insert(visit.pending.clone(), "grant", NOW).unwrap();
    let callback = Callback::parse(&format!("code=c&state={}", visit.state())).unwrap();
    let other = Callback::parse("code=c&state=other").unwrap();
    assert!(table.take(&other, NOW).is_none());
    let (pending, purpose) = table.take(&callback, NOW).unwrap();
    assert_eq!((pending.source().unwrap().as_str(), purpose), ("main", "grant"));
    assert!(table.take(&callback, NOW).is_none(), "used");

    // Kept elsewhere and read again, it is the same; too old, it is gone.
    let again = Pending::from_bytes(&pending.to_bytes()).unwrap();
    table.insert(again, "grant", NOW).unwrap();
    assert!(table.take(&callback, NOW.plus_millis(600_000)).is_none());
    assert!(Pending::from_bytes(b"{}").is_none());
}

#[tokio::test]
async fn a_full_table_refuses_new_ones_and_drops_old_ones() {
    let (idp, client) = (Idp::new(), client(config("main", ISSUER)));
    let mut table = PendingTable::new(2);
    let pending =
        async |n: u8| client.start(&idp.net, &[n; RANDOM_LEN], None, NOW).await.ok().unwrap().pending;
    table.insert(pending(1).await, (), NOW).unwrap();
    table.insert(pending(2).await, (), NOW).unwrap();
    assert!(table.insert(pending(3).await, (), NOW).is_err());
    table.insert(pending(3).await, (), NOW.plus_millis(600_000)).unwrap();
}

#[tokio::test]
async fn an_answer_of_another_issuer_is_refused() {
    const OTHER: &str = "https://other.example.com";
    let idp = Idp::new();
    idp.publish(OTHER, json!({}));
    let (ours, theirs) = (client(config("main", ISSUER)), client(config("other", OTHER)));
    let visit = begin(&idp, &ours).await;
    idp.grants(&person(visit.nonce(), json!({})));
    // The return goes to the other source, which would send our code to its token endpoint.
    let callback = Callback::parse(&format!("code=c&state={}", visit.state())).unwrap();
    let error =
        theirs.finish(&idp.net, visit.pending.clone(), callback, Some(&visit.cookie), NOW).await.err();
    assert!(matches!(error, Some(SignInError::Callback(CallbackError::MixedUp { .. }))));
    assert_eq!(idp.net.count(&format!("{OTHER}/token")), 0);
    // A source whose issuer was changed meanwhile is another one, too.
    let moved = client(config("main", OTHER));
    let callback = Callback::parse(&format!("code=c&state={}", visit.state())).unwrap();
    let error = moved.finish(&idp.net, visit.pending.clone(), callback, Some(&visit.cookie), NOW).await.err();
    assert!(matches!(error, Some(SignInError::Callback(CallbackError::MixedUp { .. }))));
}

#[tokio::test]
async fn an_issuer_that_promises_to_name_itself_must() {
    let (idp, client) = (Idp::new(), client(config("main", ISSUER)));
    idp.publish(ISSUER, json!({"authorization_response_iss_parameter_supported": true}));
    let visit = begin(&idp, &client).await;
    idp.grants(&person(visit.nonce(), json!({})));
    let error = visit.returns(&idp, &client, "").await.err().unwrap();
    assert_eq!(error, SignInError::Callback(CallbackError::Unnamed(ISSUER.to_owned())));
    let error = visit.returns(&idp, &client, "&iss=https%3A%2F%2Fidp.example.com%2F").await.err().unwrap();
    assert!(matches!(error, SignInError::Callback(CallbackError::MixedUp { .. })), "{error}");
    assert!(visit.returns(&idp, &client, "&iss=https%3A%2F%2Fidp.example.com").await.is_ok());
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

#[tokio::test]
async fn refusals_and_outages_of_the_token_endpoint_are_told_apart() {
    let (idp, client) = (Idp::new(), client(config("main", ISSUER)));
    let endpoint = format!("{ISSUER}/token");
    let token = Secret::new(b"rt".to_vec());
    for (status, body, is_final) in [
        (400, json!({"error": "invalid_grant", "error_description": "revoked"}), true),
        (401, json!({"error": "invalid_grant"}), true),
        (400, json!({"error": "interaction_required"}), true),
        (401, json!({"error": "invalid_client"}), false),
        (400, json!({"error": "unauthorized_client"}), false),
        (400, json!({"error": "temporarily_unavailable"}), false),
        (400, json!("no"), false),
        (404, json!({}), false),
        (429, json!({"error": "invalid_grant"}), false),
        (500, json!({"error": "invalid_grant"}), false),
        (503, json!({}), false),
        (302, json!({"error": "invalid_grant"}), false),
        (200, json!([]), false),
        (200, json!({"token_type": "DPoP", "access_token": "at"}), false),
    ] {
        idp.net.answer(&endpoint, status, &body);
        let error = client.refresh(&idp.net, &token, "alice-1", NOW).await.err().unwrap();
        assert_eq!(error.is_final(), is_final, "{status} {body}: {error}");
    }
    idp.net.fail(&endpoint);
    assert!(!client.refresh(&idp.net, &token, "alice-1", NOW).await.err().unwrap().is_final());
}

#[tokio::test]
async fn a_refresh_tells_what_has_changed() {
    let (idp, client) = (Idp::new(), client(config("main", ISSUER)));
    let token = Secret::new(b"old".to_vec());
    idp.grants(&person("-", json!({"groups": ["dev", "ops"]})));
    let still = client.refresh(&idp.net, &token, "alice-1", NOW).await.ok().unwrap();
    assert_eq!(still.who.unwrap().groups, Groups::Listed(vec!["dev".to_owned(), "ops".to_owned()]));
    assert_eq!(still.refresh_token.unwrap().expose(), b"rt");
    let (form, _) = idp.net.last(&format!("{ISSUER}/token"));
    assert_eq!(form.unwrap(), "grant_type=refresh_token&refresh_token=old");

    let error = client.refresh(&idp.net, &token, "bob-2", NOW).await.err().unwrap();
    assert!(error.is_final() && error == SignInError::OtherSubject);

    // Without an ID token, userinfo says whether the groups are still the same.
    idp.net.answer(&format!("{ISSUER}/token"), 200, &json!({"access_token": "at", "token_type": "bearer"}));
    idp.net.answer(&format!("{ISSUER}/userinfo"), 200, &json!({"sub": "alice-1", "groups": []}));
    let still = client.refresh(&idp.net, &token, "alice-1", NOW).await.ok().unwrap();
    assert_eq!(still.who.unwrap().groups, Groups::Listed(vec![]));
    assert!(still.refresh_token.is_none(), "the old one stays");
}

#[tokio::test]
async fn metadata_that_cannot_be_trusted_is_refused() {
    for (changes, part) in [
        (json!({"issuer": "https://idp.example.com/"}), "exactly as it names itself"),
        (json!({"issuer": "https://evil.example.com"}), "exactly as it names itself"),
        (json!({"issuer": null}), "no JSON object"),
        (json!({"jwks_uri": "http://idp.example.com/keys"}), "`jwks_uri`"),
        (json!({"jwks_uri": "http://127.0.0.1/keys"}), "`jwks_uri`"),
        (json!({"token_endpoint": "http://idp.example.com/token"}), "`token_endpoint`"),
        (json!({"token_endpoint": "file:///etc/passwd"}), "`token_endpoint`"),
        (json!({"authorization_endpoint": "javascript:alert(1)"}), "`authorization_endpoint`"),
        (json!({"userinfo_endpoint": "https://u:p@idp.example.com/"}), "`userinfo_endpoint`"),
        (json!({"authorization_endpoint": null}), "has no `authorization_endpoint`"),
        (json!({"pad": "a".repeat(140_000)}), "longer than"),
    ] {
        let (idp, client) = (Idp::new(), client(config("main", ISSUER)));
        idp.publish(ISSUER, changes.clone());
        let error = client.start(&idp.net, &[1; RANDOM_LEN], None, NOW).await.err().unwrap().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn sign_in_goes_on_while_metadata_is_away() {
    let (idp, client) = (Idp::new(), client(config("main", ISSUER)));
    let address = format!("{ISSUER}/.well-known/openid-configuration");
    begin(&idp, &client).await;
    idp.net.fail(&address);
    for hours in [2_i64, 12, 23] {
        let now = NOW.plus_millis(hours * 3_600_000);
        assert!(client.start(&idp.net, &[1; RANDOM_LEN], None, now).await.is_ok());
    }
    let now = NOW.plus_millis(25 * 3_600_000);
    assert!(client.start(&idp.net, &[1; RANDOM_LEN], None, now).await.is_err());
}

#[test]
fn all_mistakes_of_a_source_are_told_at_once() {
    let bad = SourceConfig {
        id: "Main IdP".to_owned(),
        label: String::new(),
        issuer: "http://idp.example.com".to_owned(),
        redirect_uri: "/callback".to_owned(),
        scopes: vec!["email".to_owned()],
        algorithms: vec!["HS256".to_owned()],
        domains: vec!["example".to_owned()],
        ..config("main", ISSUER)
    };
    let mistakes = Source::check(bad).err().unwrap();
    assert_eq!(mistakes.len(), 7, "{mistakes:?}");
    for algorithm in ["none", "HS256", "rs256", ""] {
        let bad = SourceConfig { algorithms: vec![algorithm.to_owned()], ..config("main", ISSUER) };
        assert_eq!(Source::check(bad).err(), Some(vec![BadSource::Algorithm(algorithm.to_owned())]));
    }
    let bad = SourceConfig { skew_seconds: 61, ..config("main", ISSUER) };
    assert!(Source::check(bad).is_err());
    for scope in ["open id", "a\"b", ""] {
        let bad =
            SourceConfig { scopes: vec!["openid".to_owned(), scope.to_owned()], ..config("main", ISSUER) };
        assert!(matches!(Source::check(bad).err().as_deref(), Some([BadSource::Scope(_)])), "{scope}");
    }
}

#[test]
fn the_domain_of_an_address_chooses_the_source() {
    let source = |id: &str, domains: &[&str]| {
        let domains = domains.iter().map(ToString::to_string).collect();
        Source::check(SourceConfig { domains, ..config(id, &format!("https://{id}.example.com")) })
            .ok()
            .unwrap()
    };
    let sources = Sources::new(vec![
        source("acme", &["acme.example", "*.acme.example"]),
        source("lab", &["lab.acme.example", "*.lab.acme.example"]),
        source("open", &[]),
        source("public", &[]),
    ])
    .ok()
    .unwrap();
    let choose = |address: &str| match sources.for_email(&Email::parse(address).unwrap()) {
        Choice::One(client) => client.source().id().to_string(),
        Choice::Several(clients) => format!("{} of", clients.len()),
        Choice::None => "none".to_owned(),
    };
    for (address, chosen) in [
        ("a@acme.example", "acme"),
        ("a@ACME.example", "acme"),
        ("a@x.acme.example", "acme"),
        ("a@lab.acme.example", "lab"),
        ("a@x.lab.acme.example", "lab"),
        ("a@evilacme.example", "2 of"),
        ("a@acme.example.evil.example", "2 of"),
    ] {
        assert_eq!(choose(address), chosen, "{address}");
    }
    let only = Sources::new(vec![source("acme", &["acme.example"])]).ok().unwrap();
    assert!(matches!(only.for_email(&Email::parse("a@b.example").unwrap()), Choice::None));
    assert!(only.find(&SourceId::parse("acme").unwrap()).is_some());

    let clash = |sources| Sources::new(sources).err().unwrap().to_string();
    assert!(clash(vec![source("a", &[]), source("a", &[])]).contains("called `a`"));
    assert!(clash(vec![source("a", &["x.example"]), source("b", &["X.example"])]).contains("domain"));
    let same = |id| Source::check(config(id, ISSUER)).ok().unwrap();
    assert!(clash(vec![same("a"), same("b")]).contains("same client"));
}

proptest! {
    #[test]
    fn any_query_is_read_or_refused(query in any::<String>()) {
        let _ = Callback::parse(&query);
        let _ = Callback::parse(&format!("state=s&code={query}"));
    }

    #[test]
    fn any_metadata_is_read_or_refused(text in any::<String>()) {
        let issuer = IssuerUrl::parse(ISSUER, Loopback::Refused).unwrap();
        let _ = Metadata::read(&issuer, text.as_bytes());
        let document = json!({"issuer": ISSUER, "jwks_uri": text, "token_endpoint": text}).to_string();
        if let Ok(metadata) = Metadata::read(&issuer, document.as_bytes()) {
            prop_assert_eq!(metadata.jwks_uri.scheme(), "https");
        }
    }
}
