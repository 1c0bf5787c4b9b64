//! An OpenID Connect issuer that says what it is told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::provider::{Act, FakeProvider, Seen};
use crate::sse;

/// The client that it knows.
pub const CLIENT_ID: &str = "gatehouse";
/// That client's secret.
pub const CLIENT_SECRET: &str = "oidc-secret-0123456789";

/// What the token endpoint answers.
#[derive(Debug, Clone)]
enum Answer {
    Tokens(Value),
    Error(u16, &'static str),
}

struct State {
    key: Ed25519KeyPair,
    url: Mutex<String>,
    /// By authorization code, or by refresh token.
    answers: Mutex<HashMap<String, Answer>>,
    seen: Mutex<Vec<Seen>>,
    names_itself: AtomicBool,
}

/// An issuer, listening on loopback.
pub struct FakeIssuer {
    /// Its identifier.
    pub url: String,
    state: Arc<State>,
    server: FakeProvider,
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    Base64UrlUnpadded::encode_string(bytes.as_ref())
}

impl FakeIssuer {
    /// Starts one.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub fn start() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let state = Arc::new(State {
            key: Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap(),
            url: Mutex::default(),
            answers: Mutex::default(),
            seen: Mutex::default(),
            names_itself: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        let server = FakeProvider::start(move |seen| shared.serve(seen));
        let url = server.url.clone();
        url.clone_into(&mut state.url.lock().unwrap());
        Self { url, state, server }
    }

    /// Lines of configuration that name it as the source `corp`.
    pub fn config(&self, more: &str) -> String {
        self.config_as("corp", more)
    }

    /// Lines of configuration that name it as a source of this name.
    pub fn config_as(&self, name: &str, more: &str) -> String {
        format!(
            "[[identity.oidc]]\nname = \"{name}\"\nlabel = \"Corp <SSO>\"\nissuer = \"{}\"\nclient_id = \"{CLIENT_ID}\"\n\
             client_secret = \"env:OIDC_SECRET\"\ngroups_claim = \"groups\"\n{more}",
            self.url
        )
    }

    /// Lets this code be exchanged for an ID token with these claims besides the usual, and this refresh token.
    pub fn allow(&self, code: &str, nonce: &str, claims: &Value, refresh_token: Option<&str>) {
        let id_token = self.id_token(Some(nonce), claims);
        let tokens = json!({
            "access_token": "at", "token_type": "Bearer", "expires_in": 60, "id_token": id_token,
            "refresh_token": refresh_token,
        });
        self.state.answers.lock().unwrap().insert(code.to_owned(), Answer::Tokens(tokens));
    }

    /// Lets this code be exchanged for a token that the test has made.
    pub fn allow_id_token(&self, code: &str, id_token: &str) {
        let tokens =
            json!({"access_token": "at", "token_type": "Bearer", "expires_in": 60, "id_token": id_token});
        self.state.answers.lock().unwrap().insert(code.to_owned(), Answer::Tokens(tokens));
    }

    /// From now on its metadata promises that it names itself in its answers (RFC 9207).
    pub fn promise_to_name_itself(&self) {
        self.state.names_itself.store(true, Ordering::Relaxed);
    }

    /// Its public key: what a forger would use as an HMAC's secret.
    pub fn public_key(&self) -> Vec<u8> {
        self.state.key.public_key().as_ref().to_vec()
    }

    /// Lets this refresh token be exchanged for the next.
    pub fn allow_refresh(&self, token: &str, claims: &Value, next: &str) {
        let id_token = self.id_token(None, claims);
        let tokens = json!({
            "access_token": "at", "token_type": "Bearer", "expires_in": 60, "id_token": id_token,
            "refresh_token": next,
        });
        self.state.answers.lock().unwrap().insert(token.to_owned(), Answer::Tokens(tokens));
    }

    /// Answers this code or refresh token with an error.
    pub fn refuse(&self, code: &str, status: u16, error: &'static str) {
        self.state.answers.lock().unwrap().insert(code.to_owned(), Answer::Error(status, error));
    }

    /// A token that it gives to a job of CI, for the audience `gatehouse`, with these claims besides the usual.
    pub fn job_token(&self, claims: &Value) -> String {
        self.id_token(None, claims)
    }

    /// Where all requests so far came from, in their order.
    pub fn peers(&self) -> Vec<String> {
        self.server.peers()
    }

    /// Requests to the token endpoint.
    pub fn exchanges(&self) -> Vec<Seen> {
        let seen = self.state.seen.lock().unwrap();
        seen.iter().filter(|seen| seen.line.contains("/token")).cloned().collect()
    }

    fn id_token(&self, nonce: Option<&str>, more: &Value) -> String {
        self.signed(&json!({"alg": "EdDSA", "kid": "k1", "typ": "JWT"}), &self.claims(nonce, more))
    }

    /// The claims of its ID tokens: the usual, and more or others.
    pub fn claims(&self, nonce: Option<&str>, more: &Value) -> Value {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({
            "iss": self.url, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "sub": "u-1", "email_verified": true,
        });
        if let Some(nonce) = nonce {
            claims["nonce"] = json!(nonce);
        }
        for (name, value) in more.as_object().unwrap() {
            claims[name.as_str()] = value.clone();
        }
        claims
    }

    /// A token with this header, signed with its key.
    pub fn signed(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", base64(header.to_string()), base64(claims.to_string()));
        let signature = self.state.key.sign(signed.as_bytes());
        format!("{signed}.{}", base64(signature))
    }

    /// A token with this header, whose signature is an HMAC with this secret.
    pub fn forged(header: &Value, claims: &Value, secret: &[u8]) -> String {
        let signed = format!("{}.{}", base64(header.to_string()), base64(claims.to_string()));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
        format!("{signed}.{}", base64(tag))
    }
}

impl State {
    fn serve(&self, seen: &Seen) -> Vec<Act> {
        self.seen.lock().unwrap().push(seen.clone());
        let url = self.url.lock().unwrap().clone();
        let path = seen.line.split(' ').nth(1).unwrap_or_default();
        match path.split('?').next().unwrap_or_default() {
            "/.well-known/openid-configuration" => sse::plain(
                200,
                &json!({
                    "issuer": url, "jwks_uri": format!("{url}/jwks"), "token_endpoint": format!("{url}/token"),
                    "authorization_endpoint": format!("{url}/authorize"),
                    "authorization_response_iss_parameter_supported": self.names_itself.load(Ordering::Relaxed),
                }),
            ),
            "/jwks" => {
                let x = base64(self.key.public_key());
                sse::plain(200, &json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": x}]}))
            }
            "/token" => self.exchange(seen),
            _ => sse::plain(404, &json!({})),
        }
    }

    fn exchange(&self, seen: &Seen) -> Vec<Act> {
        let form: HashMap<String, String> = form_urlencoded::parse(&seen.body).into_owned().collect();
        let given = form.get("code").or_else(|| form.get("refresh_token")).cloned().unwrap_or_default();
        // Each is good once.
        match self.answers.lock().unwrap().remove(&given) {
            Some(Answer::Tokens(tokens)) => sse::plain(200, &tokens),
            Some(Answer::Error(status, error)) => sse::plain(status, &json!({"error": error})),
            None => sse::plain(400, &json!({"error": "invalid_grant"})),
        }
    }
}
