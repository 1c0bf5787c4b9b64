//! Signing in as the coding client does: device grant, tokens, refresh, end.

mod page;
mod provider;
mod directory;
mod about;
mod jobs;
mod identity;
mod hostile;
mod proxy;
mod client;
mod impostor;
mod nodes;
mod factors;
mod rotation;
mod secrecy;

use std::time::{Duration, Instant};

use gatehouse_testkit::browser::{Browser, encoded, hidden};
use gatehouse_testkit::gatehouse::{Builder, Gatehouse};
use gatehouse_testkit::http::{Connection, Reply, once};
use gatehouse_testkit::provider::{Act, FakeProvider, Seen};
use gatehouse_testkit::{sse, wait};
use serde_json::{Value, json};

use crate::world::{MODEL, ask, echo, stores};

const URL: &str = "http://localhost:8080";
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const PASSWORD: &str = "correct horse battery";
const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";

struct World {
    provider: FakeProvider,
    gatehouse: Gatehouse,
}

fn world(store: &str, config: &str, script: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static) -> World {
    let provider = FakeProvider::start(script);
    let gatehouse = Builder::new(env!("CARGO_BIN_EXE_gatehouse"), &provider.url)
        .store(store)
        .public_url(URL)
        .config(config)
        .start();
    World { provider, gatehouse }
}

/// A sign-in that has been begun.
struct Begun {
    device_code: String,
    user_code: String,
}

impl World {
    fn post(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        once(&self.gatehouse.gateway, "POST", path, &[FORM], encoded(fields).as_bytes())
    }

    fn get(&self, path: &str, token: &str, more: &[(&str, &str)]) -> Reply {
        let bearer = format!("Bearer {token}");
        let headers = [&[("authorization", bearer.as_str())], more].concat();
        once(&self.gatehouse.gateway, "GET", path, &headers, b"")
    }

    fn browser(&self) -> Browser {
        Browser::new(&self.gatehouse.gateway, URL)
    }

    fn begin(&self) -> Begun {
        let reply = self.post("/oauth/device_authorization", &[("surface", "claude_code")]);
        assert_eq!(
            (reply.status, reply.header("cache-control")),
            (200, Some("no-store")),
            "{}",
            reply.text()
        );
        let body = reply.json();
        let text = |key: &str| body[key].as_str().unwrap_or_else(|| panic!("no {key}: {body}")).to_owned();
        assert_eq!(text("verification_uri"), format!("{URL}/device"));
        assert_eq!(
            text("verification_uri_complete"),
            format!("{URL}/device?user_code={}", text("user_code"))
        );
        assert_eq!((body["expires_in"].as_i64(), body["interval"].as_i64()), (Some(600), Some(2)));
        Begun { device_code: text("device_code"), user_code: text("user_code") }
    }

    fn poll(&self, begun: &Begun) -> Reply {
        self.post("/oauth/token", &[("grant_type", DEVICE), ("device_code", &begun.device_code)])
    }

    fn refresh(&self, token: &str) -> Reply {
        self.post("/oauth/token", &[("grant_type", "refresh_token"), ("refresh_token", token)])
    }

    fn person(&self, email: &str) {
        self.gatehouse.json(&["user", "add", email]);
        let set = self.gatehouse.cli_reading(&["user", "password", email], &format!("{PASSWORD}\n"));
        assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    }

    /// Signs somebody in with a password; gives the token answer.
    fn sign_in(&self, email: &str) -> Value {
        let begun = self.begin();
        let reply = approve(&mut self.browser(), &begun.user_code, email, PASSWORD);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let tokens = self.poll(&begun);
        assert_eq!(tokens.status, 200, "{}", tokens.text());
        tokens.json()
    }
}

/// Shows the page for a code and sends its form for the local way.
fn approve(browser: &mut Browser, code: &str, email: &str, password: &str) -> Reply {
    let page = browser.get(&format!("/device?user_code={code}"), &[]).text();
    let form = hidden(&page, "form");
    let fields =
        [("user_code", code), ("form", &form), ("way", "local"), ("email", email), ("password", password)];
    browser.post("/device/continue", &fields)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key}: {value}"))
}

fn error_of(reply: &Reply) -> (u16, String) {
    (reply.status, reply.json()["error"].as_str().unwrap_or_default().to_owned())
}

fn oauth(status: u16, error: &str) -> (u16, String) {
    (status, error.to_owned())
}

#[test]
fn a_person_signs_in_works_refreshes_and_signs_out() {
    for store in stores() {
        let w = world(&store, "", echo(7, 3));
        w.person("ada@example.com");
        let found =
            once(&w.gatehouse.gateway, "GET", "/.well-known/oauth-authorization-server", &[], b"").json();
        assert_eq!(
            text(&found, "token_endpoint"),
            format!("{URL}/oauth/token"),
            "never from a request's Host"
        );
        assert_eq!(text(&found, "revocation_endpoint"), format!("{URL}/oauth/revoke"));

        let begun = w.begin();
        assert_eq!(error_of(&w.poll(&begun)), oauth(400, "authorization_pending"));
        assert_eq!(error_of(&w.poll(&begun)), oauth(400, "slow_down"));
        let mut browser = w.browser();
        let wrong = approve(&mut browser, &begun.user_code, "ada@example.com", "wrong horse battery");
        let nobody = approve(&mut browser, &begun.user_code, "eve@example.com", PASSWORD);
        assert_eq!((wrong.status, nobody.status), (403, 403));
        let done = approve(&mut browser, &begun.user_code.to_lowercase(), "ada@example.com", PASSWORD);
        assert!(done.status == 200 && done.text().contains("You are signed in"), "{}", done.text());

        let tokens = w.poll(&begun);
        assert_eq!((tokens.status, tokens.header("cache-control")), (200, Some("no-store")));
        let tokens = tokens.json();
        assert_eq!((text(&tokens, "token_type"), text(&tokens, "email")), ("Bearer", "ada@example.com"));
        assert_eq!(tokens["expires_in"].as_i64(), Some(3600));
        assert_eq!(error_of(&w.poll(&begun)), oauth(400, "expired_token"), "a code is good once");

        let access = text(&tokens, "access_token");
        assert_eq!(w.gatehouse.post(access, &ask(false)).status, 200);
        let exchanges = w.gatehouse.exchanges();
        let session = w.gatehouse.json(&["session", "list"])[0].clone();
        let made = exchanges.last().unwrap();
        assert_eq!((text(made, "user"), &made["key"]), ("ada@example.com", &Value::Null));
        assert_eq!(text(made, "session_id"), text(&session, "id"));
        assert_eq!((text(&session, "source"), text(&session, "surface")), ("local", "claude_code"));
        let usage = w.gatehouse.json(&["usage"]);
        assert!(usage.to_string().contains("ada@example.com"), "{usage}");

        let first = text(&tokens, "refresh_token");
        let second = w.refresh(first).json();
        assert_ne!(text(&second, "refresh_token"), first);
        let again = w.refresh(first).json();
        assert_eq!(text(&again, "refresh_token"), text(&second, "refresh_token"), "parallel processes agree");
        let access = text(&second, "access_token");
        assert_eq!(w.gatehouse.post(access, &ask(false)).status, 200);

        let out = [("token", text(&second, "refresh_token")), ("token_type_hint", "refresh_token")];
        assert_eq!(w.post("/oauth/revoke", &[("token", access)]).status, 200);
        assert_eq!(w.post("/oauth/revoke", &out).status, 200);
        let refused = w.gatehouse.post(access, &ask(false));
        assert_eq!((refused.status, refused.header("x-should-retry")), (401, Some("false")));
        assert!(refused.text().contains("/login"), "{}", refused.text());
        assert_eq!(error_of(&w.refresh(text(&second, "refresh_token"))), oauth(401, "invalid_grant"));
        let all = w.gatehouse.json(&["session", "list", "--all"]);
        assert_eq!(text(&all[0], "ended_why"), "signed_out");
        assert_eq!(w.gatehouse.json(&["session", "list"]), json!([]));
    }
}

#[test]
fn ending_a_session_or_disabling_its_person_cuts_open_streams() {
    for store in stores() {
        let w = world(&store, "", |_| {
            vec![sse::stream_head(), sse::chunk(&sse::start(MODEL, &sse::usage(9, 1))), Act::Hang]
        });
        w.person("ada@example.com");
        let end: [&dyn Fn(&World); 2] = [
            &|w| {
                let id = w.gatehouse.json(&["session", "list"])[0]["id"].as_str().unwrap().to_owned();
                w.gatehouse.json(&["session", "revoke", &id]);
            },
            &|w| {
                w.gatehouse.json(&["user", "disable", "ada@example.com"]);
            },
        ];
        for end in end {
            let tokens = w.sign_in("ada@example.com");
            let bearer = format!("Bearer {}", text(&tokens, "access_token"));
            let mut stream = Connection::open(&w.gatehouse.gateway);
            stream.request("POST", "/v1/messages", &[("authorization", &bearer)], &ask(true));
            stream.read_until("message_start");
            let began = Instant::now();
            end(&w);
            let reply = stream.reply();
            assert!(began.elapsed() < Duration::from_secs(5), "it went on for {:?}", began.elapsed());
            assert!(
                reply.text().contains("event: error") && reply.text().contains("revoked"),
                "{}",
                reply.text()
            );
            assert_eq!(w.gatehouse.post(text(&tokens, "access_token"), &ask(true)).status, 401);
            assert_eq!(error_of(&w.refresh(text(&tokens, "refresh_token"))), oauth(401, "invalid_grant"));
        }
        // Who is disabled cannot sign in again, and is not told why.
        let begun = w.begin();
        let refused = approve(&mut w.browser(), &begun.user_code, "ada@example.com", PASSWORD);
        assert!(refused.status == 403 && refused.text().contains("password is wrong"), "{}", refused.text());
        wait::until("the record", || w.gatehouse.exchanges().into_iter().find(|e| e["ended"] == "revoked"));
    }
}

#[test]
fn what_is_no_request_is_refused_in_the_protocols_words() {
    let w = world("sqlite", "", echo(1, 1));
    let token = |fields: &[(&str, &str)]| error_of(&w.post("/oauth/token", fields));
    assert_eq!(token(&[]), oauth(400, "invalid_request"));
    assert_eq!(token(&[("grant_type", "password")]), oauth(400, "unsupported_grant_type"));
    assert_eq!(token(&[("grant_type", DEVICE)]), oauth(400, "invalid_request"));
    let unknown = "A".repeat(43);
    for code in ["x", unknown.as_str(), "\u{0}"] {
        assert_eq!(
            token(&[("grant_type", DEVICE), ("device_code", code)]),
            oauth(400, "expired_token"),
            "{code}"
        );
    }
    for refresh in ["x", "ghr_", "ghr_AAAA", &format!("ghr_{}", "A".repeat(70))] {
        let told = token(&[("grant_type", "refresh_token"), ("refresh_token", refresh)]);
        assert_eq!(told, oauth(401, "invalid_grant"), "{refresh}");
    }
    assert_eq!(token(&[("grant_type", DEVICE), ("grant_type", DEVICE)]), oauth(400, "invalid_request"));
    let gateway = &w.gatehouse.gateway;
    let json = once(gateway, "POST", "/oauth/token", &[("content-type", "application/json")], b"{}");
    assert_eq!(error_of(&json), oauth(400, "invalid_request"));
    assert_eq!(w.post("/oauth/revoke", &[("token", "whatever")]).status, 200);
    assert_eq!(once(gateway, "GET", "/oauth/token", &[], b"").header("allow"), Some("POST"));
    let large = once(gateway, "POST", "/oauth/token", &[FORM], &vec![b'a'; 100_000]);
    assert_eq!(large.status, 413);
    for path in ["/device/../oauth/token", "/oauth/token/", "/Device", "/oauth"] {
        assert_eq!(once(gateway, "GET", path, &[], b"").status, 404, "{path}");
    }
    for forged in ["ghs_", "ghs_AAAA", &format!("ghs_{}", "A".repeat(75))] {
        let reply = w.gatehouse.post(forged, &ask(false));
        assert_eq!((reply.status, reply.header("x-should-retry")), (401, Some("false")), "{forged}");
    }
    assert!(w.gatehouse.exchanges().iter().all(|e| e["user"].is_null()));
}

#[test]
fn without_a_public_url_nobody_signs_in() {
    let provider = FakeProvider::start(echo(1, 1));
    let gatehouse = Builder::new(env!("CARGO_BIN_EXE_gatehouse"), &provider.url).start();
    for path in ["/.well-known/oauth-authorization-server", "/device", "/oauth/callback?state=a&code=b"] {
        assert_eq!(once(&gatehouse.gateway, "GET", path, &[], b"").status, 404, "{path}");
    }
    let told = once(&gatehouse.gateway, "GET", "/protocol", &[], b"").json();
    assert_eq!((told["gateway_protocol_version"].as_i64(), &told["sign_in"]), (Some(1), &Value::Null));
}
