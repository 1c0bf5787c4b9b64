//! CI jobs exchange their tokens, with a clock that the test moves.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::{HeaderMap, HeaderValue, Method};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use gatehouse_control::portal::{Asked, JobRule, Jobs, Portal, Rules};
use gatehouse_domain::token::{AccessKeys, AccessToken, BadAccess};
use gatehouse_identity::ci::{Exchange, Platform, RuleConfig};
use gatehouse_identity::fetch::{Fetch, FetchError, HttpRequest, HttpResponse};
use gatehouse_identity::keyset::Keyset;
use gatehouse_identity::oidc::Loopback;
use gatehouse_identity::secret::Secret;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::house::{BEGIN, World, world};
use crate::sign_in::rules;

const ISSUER: &str = "https://token.actions.githubusercontent.com";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const MINUTE: i64 = 60_000;

/// The issuer, as far as the network shows it.
#[derive(Default)]
struct Net {
    away: AtomicBool,
}

fn key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    Base64UrlUnpadded::encode_string(bytes.as_ref())
}

impl Fetch for &'static Net {
    async fn fetch(&self, request: HttpRequest) -> Result<HttpResponse, FetchError> {
        if self.away.load(Ordering::Relaxed) {
            return Err(FetchError::TimedOut);
        }
        let body = match request.url.as_str().strip_prefix(ISSUER) {
            Some("/.well-known/openid-configuration") => {
                json!({"issuer": ISSUER, "jwks_uri": format!("{ISSUER}/keys")})
            }
            Some("/keys") => {
                let x = base64(key().public_key());
                json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x}]})
            }
            _ => return Err(FetchError::Status(404)),
        };
        Ok(HttpResponse { status: 200, body: Secret::new(body.to_string().into_bytes()) })
    }
}

fn signed(header: &Value, claims: &Value) -> String {
    let text = format!("{}.{}", base64(header.to_string()), base64(claims.to_string()));
    let signature = key().sign(text.as_bytes());
    format!("{text}.{}", base64(signature))
}

/// A job's token that is good for ten minutes, with these claims changed.
fn token(changes: &Value) -> String {
    let now = BEGIN.0 / 1000;
    let mut claims = json!({
        "iss": ISSUER, "aud": "gatehouse", "iat": now, "exp": now + 600, "jti": "j-1",
        "sub": "repo:acme/app:ref:refs/heads/main", "repository": "acme/app", "ref": "refs/heads/main",
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name.as_str()] = value.clone();
    }
    signed(&json!({"alg": "EdDSA", "kid": "k"}), &claims)
}

fn jobs() -> Jobs {
    let rule = |name: &str, service: &str, claims: &[(&str, &str)]| RuleConfig {
        name: format!("github/{name}"),
        platform: Platform::GitHub,
        issuer: ISSUER.to_owned(),
        loopback: Loopback::Refused,
        audience: "gatehouse".to_owned(),
        claims: claims.iter().map(|(path, text)| ((*path).to_owned(), vec![(*text).to_owned()])).collect(),
        service: service.to_owned(),
    };
    let all = vec![
        rule("release", "bot@example.com", &[("repository", "acme/app"), ("ref", "refs/heads/main")]),
        rule("tests", "tests@example.com", &[("repository", "acme/tests")]),
        rule("gone", "nobody@example.com", &[("repository", "acme/gone")]),
        rule("lost", "bot@example.com", &[("repository", "acme/lost")]),
    ];
    let more = |name: &str, team: Option<&str>| {
        let team = team.map(str::to_owned);
        (format!("github/{name}"), JobRule { source: "ci:github".into(), audience: "gatehouse".into(), team })
    };
    let rules = BTreeMap::from([
        more("release", Some("Core")),
        more("tests", None),
        more("gone", None),
        more("lost", Some("Nowhere")),
    ]);
    Jobs { exchange: Exchange::new(all).ok().unwrap(), rules }
}

struct House {
    world: World,
    portal: Portal<&'static Net>,
    net: &'static Net,
    access: AccessKeys,
}

async fn house() -> House {
    let world = world().await;
    let net: &'static Net = Box::leak(Box::default());
    let portal = Portal::new(world.app.clone(), net, Rules { jobs: Some(jobs()), ..rules() });
    world.post("/api/v1/teams", json!({"name": "Core"})).await.ok();
    for email in ["bot@example.com", "tests@example.com"] {
        world.post("/api/v1/users", json!({"email": email})).await.ok();
    }
    House { access: world.app.keys.with(Keyset::access_keys), world, portal, net }
}

impl House {
    async fn post(&self, fields: &[(&str, &str)]) -> (u16, Value) {
        let mut headers = HeaderMap::new();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert("content-type", form);
        headers.insert("user-agent", HeaderValue::from_static("curl/8.1"));
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish().into();
        let asked = Asked {
            method: Method::POST,
            path: "/oauth/token".into(),
            query: String::new(),
            headers,
            body,
            peer: "10.1.1.1".parse().unwrap(),
            principal: None,
        };
        let response = self.portal.answer(&asked).await;
        assert_eq!(response.headers()["cache-control"], "no-store");
        (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap())
    }

    async fn exchange(&self, token: &str, more: &[(&str, &str)]) -> (u16, Value) {
        let fields = [("grant_type", GRANT), ("subject_token", token), ("subject_token_type", JWT)];
        self.post(&[&fields, more].concat()).await
    }

    async fn sessions(&self, query: &str) -> Value {
        self.world.get(&format!("/api/v1/sessions{query}")).await.ok()["items"].clone()
    }
}

fn error_of((status, body): &(u16, Value)) -> (u16, &str) {
    (*status, body["error"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn a_job_becomes_a_service_account_for_fifteen_minutes() {
    let h = house().await;
    let (status, answer) = h.exchange(&token(&json!({})), &[]).await;
    assert_eq!(status, 200, "{answer}");
    let mut told: Vec<&str> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    told.sort_unstable();
    assert_eq!(told, ["access_token", "expires_in", "issued_token_type", "token_type"], "nothing to refresh");
    assert_eq!((answer["expires_in"].as_i64(), &answer["token_type"]), (Some(900), &json!("Bearer")));
    assert_eq!(answer["issued_token_type"], "urn:ietf:params:oauth:token-type:access_token");

    let text = answer["access_token"].as_str().unwrap().as_bytes();
    let access = AccessToken::verify(text, &h.access, BEGIN.plus_millis(15 * MINUTE - 1)).unwrap();
    assert_eq!(AccessToken::verify(text, &h.access, BEGIN.plus_millis(15 * MINUTE)), Err(BadAccess::Expired));
    let session = h.sessions("").await[0].clone();
    assert_eq!(session["id"], access.session.to_string());
    for (field, value) in
        [("email", "bot@example.com"), ("source", "ci:github"), ("team", "Core"), ("client", "curl/8.1")]
    {
        assert_eq!(session[field], value, "{session}");
    }
    let begun = h.world.audited("?action=session.begin").await[0].clone();
    for (field, value) in [
        ("source", "ci:github"),
        ("rule", "github/release"),
        ("issuer", ISSUER),
        ("subject", "repo:acme/app:ref:refs/heads/main"),
        ("jti", "j-1"),
    ] {
        assert_eq!(begun["detail"][field], value, "{begun}");
    }

    // The platform gave the job one token: it is good until it runs out, each time for a session of its own.
    h.world.pass(9 * MINUTE);
    assert_eq!(h.exchange(&token(&json!({})), &[]).await.0, 200);
    assert_eq!(h.sessions("").await.as_array().unwrap().len(), 2);
    h.world.pass(6 * MINUTE);
    assert_eq!(h.sessions("").await.as_array().unwrap().len(), 1, "the first is over, the second is not");
    assert_eq!(error_of(&h.exchange(&token(&json!({})), &[]).await), (400, "invalid_grant"), "expired");
    h.portal.clear().await.unwrap();
    assert_eq!(h.sessions("?ended=true").await[1]["ended_why"], "expired");
}

#[tokio::test]
async fn only_a_token_that_fits_is_exchanged_and_nobody_is_told_why_not() {
    let h = house().await;
    let now = BEGIN.0 / 1000;
    let claims = json!({"iss": ISSUER, "aud": "gatehouse", "iat": now, "exp": now + 600, "sub": "s",
        "repository": "acme/app", "ref": "refs/heads/main"});
    let (good, forged) = (token(&json!({})), token(&json!({"repository": "acme/tests"})));
    let spliced = format!("{}.{}", forged.rsplit_once('.').unwrap().0, good.rsplit_once('.').unwrap().1);
    let tokens = [
        token(&json!({"aud": "https://github.com/acme"})),
        token(&json!({"aud": []})),
        token(&json!({"iss": "https://evil.example"})),
        token(&json!({"iss": format!("{ISSUER}/")})),
        token(&json!({"exp": now - 60})),
        token(&json!({"nbf": now + 60})),
        token(&json!({"sub": ""})),
        token(&json!({"repository": "acme/app-evil"})),
        token(&json!({"ref": "refs/heads/other"})),
        token(&json!({"repository": "acme/gone"})),
        token(&json!({"repository": "acme/lost"})),
        signed(&json!({"alg": "none", "kid": "k"}), &claims),
        signed(&json!({"alg": "HS256", "kid": "k"}), &claims),
        signed(&json!({"alg": "RS256", "kid": "k"}), &claims),
        signed(&json!({"alg": "EdDSA", "kid": "k", "typ": "logout+jwt"}), &claims),
        signed(&json!({"alg": "EdDSA", "kid": "other"}), &claims),
        spliced,
        "x".to_owned(),
        "..".to_owned(),
    ];
    let mut answers: Vec<(u16, Value)> = Vec::new();
    for text in &tokens {
        answers.push(h.exchange(text, &[]).await);
    }
    assert_eq!(error_of(&answers[0]), (400, "invalid_grant"));
    assert!(answers.iter().all(|answer| *answer == answers[0]), "all are told the same: {answers:#?}");
    assert_eq!(h.sessions("?ended=true").await, json!([]));
    let failed = h.world.audited("?action=sign_in.fail").await;
    let reasons: Vec<&str> = failed.iter().filter_map(|entry| entry["reason"].as_str()).collect();
    assert!(reasons.len() == tokens.len(), "{reasons:#?}");
    for part in
        ["no rule fits", "https://evil.example", "its account does not exist", "its team `Nowhere` does not"]
    {
        assert!(reasons.iter().any(|reason| reason.contains(part)), "{part}: {reasons:#?}");
    }
    // Nothing was used up by all that.
    assert_eq!(h.exchange(&good, &[]).await.0, 200);
}

#[tokio::test]
async fn a_disabled_service_account_gets_nothing() {
    let h = house().await;
    h.world.post("/api/v1/users/bot@example.com/disable", json!({})).await.ok();
    assert_eq!(error_of(&h.exchange(&token(&json!({})), &[]).await), (400, "invalid_grant"));
    let failed = h.world.audited("?action=sign_in.fail").await[0].clone();
    assert!(failed["reason"].as_str().unwrap().contains("github/release"), "{failed}");
    assert_eq!(failed["object"]["name"], "bot@example.com", "{failed}");
    let other = h.exchange(&token(&json!({"repository": "acme/tests"})), &[]).await;
    assert_eq!(other.0, 200, "another account does: {}", other.1);
    h.world.post("/api/v1/users/bot@example.com/enable", json!({})).await.ok();
    assert_eq!(h.exchange(&token(&json!({})), &[]).await.0, 200);
}

#[tokio::test]
async fn a_request_must_be_for_what_is_given_out() {
    let h = house().await;
    let good = token(&json!({}));
    for more in [
        [("audience", "gatehouse")],
        [("audience", "https://gw.example.com/")],
        [("resource", "https://gw.example.com")],
        [("requested_token_type", "urn:ietf:params:oauth:token-type:access_token")],
        [("scope", "whatever")],
    ] {
        assert_eq!(h.exchange(&good, &more).await.0, 200, "{more:?}");
    }
    for (more, error) in [
        ([("audience", "https://other.example.com")], "invalid_target"),
        ([("resource", "gatehouse")], "invalid_target"),
        ([("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token")], "invalid_request"),
        ([("actor_token", "x")], "invalid_request"),
        ([("subject_token", "x")], "invalid_request"),
    ] {
        assert_eq!(error_of(&h.exchange(&good, &more).await), (400, error), "{more:?}");
    }
    let saml = "urn:ietf:params:oauth:token-type:saml2";
    for fields in [
        vec![("grant_type", GRANT)],
        vec![("grant_type", GRANT), ("subject_token", good.as_str())],
        vec![("grant_type", GRANT), ("subject_token_type", JWT)],
        vec![("grant_type", GRANT), ("subject_token", &good), ("subject_token_type", saml)],
    ] {
        assert_eq!(error_of(&h.post(&fields).await), (400, "invalid_request"), "{fields:?}");
    }
    assert_eq!(
        error_of(&h.post(&[("grant_type", "client_credentials")]).await),
        (400, "unsupported_grant_type")
    );
    h.portal.replace(rules());
    assert_eq!(error_of(&h.exchange(&good, &[]).await), (400, "unsupported_grant_type"), "no rules");
}

#[tokio::test]
async fn an_issuer_that_is_away_is_no_refusal_and_an_address_is_bounded() {
    let h = house().await;
    h.net.away.store(true, Ordering::Relaxed);
    assert_eq!(error_of(&h.exchange(&token(&json!({})), &[]).await), (503, "temporarily_unavailable"));
    h.net.away.store(false, Ordering::Relaxed);
    h.world.pass(MINUTE);
    h.portal.warm().await;
    assert_eq!(h.exchange(&token(&json!({})), &[]).await.0, 200);
    for _ in 2..1200 {
        h.exchange("x", &[]).await;
    }
    assert_eq!(error_of(&h.exchange(&token(&json!({})), &[]).await), (429, "slow_down"));
    h.world.pass(10 * MINUTE);
    let later = token(&json!({"exp": BEGIN.0 / 1000 + 1800}));
    assert_eq!(h.exchange(&later, &[]).await.0, 200);
}
