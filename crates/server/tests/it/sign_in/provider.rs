//! Signing in at an OpenID Connect provider.

use gatehouse_testkit::browser::{Browser, encoded, hidden, query};
use gatehouse_testkit::http::Reply;
use gatehouse_testkit::issuer::FakeIssuer;
use gatehouse_testkit::wait;
use serde_json::{Value, json};

use super::{URL, World, error_of, oauth, text, world};
use crate::world::{ask, echo, stores};

/// Goes to the issuer and lets it say who came; gives the answer at the return.
pub(super) fn through_issuer(
    issuer: &FakeIssuer,
    browser: &mut Browser,
    code: &str,
    claims: &Value,
    refresh: Option<&str>,
) -> (Reply, String) {
    let page = browser.get(&format!("/device?user_code={code}"), &[]);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains(&issuer.url), "the form leads there: {policy}");
    let html = page.text();
    assert!(html.contains("Corp &lt;SSO&gt;"), "{html}");
    let fields = [("user_code", code), ("form", &hidden(&html, "form")), ("way", "oidc:corp")];
    let sent = browser.post("/device/continue", &fields);
    assert_eq!(sent.status, 303, "{}", sent.text());
    let to = sent.header("location").unwrap().to_owned();
    let asked = query(&to);
    assert_eq!(asked["redirect_uri"], format!("{URL}/oauth/callback"));
    assert_eq!((asked["response_type"].as_str(), asked["code_challenge_method"].as_str()), ("code", "S256"));
    let given = format!("code-{}", asked["state"]);
    issuer.allow(&given, &asked["nonce"], claims, refresh);
    let back = format!("/oauth/callback?{}", encoded(&[("code", &given), ("state", &asked["state"])]));
    (browser.get(&back, &[]), back)
}

#[test]
fn a_person_signs_in_at_an_identity_provider() {
    for store in stores() {
        let issuer = FakeIssuer::start();
        let config = issuer.config("create = true\nteams = { eng = \"Core\" }\n");
        let w = world(&store, &config, echo(7, 3));
        w.gatehouse.json(&["team", "add", "Core"]);
        let begun = w.begin();
        let mut browser = w.browser();
        let who = json!({"email": "Alice@Example.com", "name": "Alice <b>", "groups": ["all", "eng"]});
        let (done, back) = through_issuer(&issuer, &mut browser, &begun.user_code, &who, Some("rt-1"));
        assert!(done.status == 200 && done.text().contains("You are signed in"), "{}", done.text());
        let replayed = browser.get(&back, &[]);
        assert_eq!(replayed.status, 403, "a state is good once");
        let tokens = w.poll(&begun).json();
        assert_eq!(text(&tokens, "email"), "alice@example.com");
        assert_eq!(w.gatehouse.post(text(&tokens, "access_token"), &ask(false)).status, 200);
        let made = w.gatehouse.exchanges().pop().unwrap();
        assert_eq!((text(&made, "user"), text(&made, "team")), ("alice@example.com", "Core"));
        let session = w.gatehouse.json(&["session", "list"])[0].clone();
        assert_eq!((text(&session, "source"), text(&session, "team")), ("oidc:corp", "Core"));

        // The issuer is asked at every refresh, and its tokens are passed on.
        issuer.allow_refresh("rt-1", &who, "rt-2");
        let second = w.refresh(text(&tokens, "refresh_token")).json();
        issuer.refuse("rt-2", 500, "server_error");
        let away = w.refresh(text(&second, "refresh_token"));
        assert_eq!(error_of(&away), oauth(503, "temporarily_unavailable"));
        issuer.allow_refresh("rt-2", &who, "rt-3");
        let third = w.refresh(text(&second, "refresh_token")).json();
        issuer.refuse("rt-3", 400, "invalid_grant");
        assert_eq!(error_of(&w.refresh(text(&third, "refresh_token"))), oauth(401, "invalid_grant"));
        assert_eq!(w.gatehouse.post(text(&third, "access_token"), &ask(false)).status, 401, "at once");
        let all = w.gatehouse.json(&["session", "list", "--all"]);
        assert_eq!(text(&all[0], "ended_why"), "source_refused");
        assert!(issuer.exchanges().iter().all(|seen| seen.header("authorization").is_some()));
    }
}

#[test]
fn an_identity_provider_lets_in_only_whom_it_may() {
    let issuer = FakeIssuer::start();
    let w = world("sqlite", &issuer.config("domains = [\"example.com\"]\n"), echo(1, 1));
    w.gatehouse.json(&["user", "add", "alice@example.com"]);
    w.gatehouse.json(&["user", "add", "ceo@other.example"]);
    w.gatehouse.json(&["user", "add", "gone@example.com"]);
    w.gatehouse.json(&["user", "disable", "gone@example.com"]);
    for claims in [
        json!({"email": "nobody@example.com"}),
        json!({"email": "alice@example.com", "email_verified": false}),
        json!({"email": "ceo@other.example"}),
        json!({"email": "gone@example.com"}),
        json!({"name": "no address"}),
        json!({"email": "alice@example.com", "aud": "another"}),
        json!({"email": "alice@example.com", "iss": "https://evil.example"}),
        json!({"email": "alice@example.com", "exp": 1000}),
        json!({"email": "alice@example.com", "nonce": "another"}),
    ] {
        let begun = w.begin();
        let (reply, _) = through_issuer(&issuer, &mut w.browser(), &begun.user_code, &claims, None);
        assert_eq!(reply.status, 403, "{claims}: {}", reply.text());
        assert_eq!(
            error_of(&w.poll(&begun)),
            oauth(400, "access_denied"),
            "{claims}: the client need not wait"
        );
    }
    // Another browser than the one that began, and an issuer that refuses.
    let begun = w.begin();
    let mut browser = w.browser();
    let html = browser.get(&format!("/device?user_code={}", begun.user_code), &[]).text();
    let fields =
        [("user_code", begun.user_code.as_str()), ("form", &hidden(&html, "form")), ("way", "oidc:corp")];
    let sent = browser.post("/device/continue", &fields);
    let asked = query(sent.header("location").unwrap());
    let stolen = format!("/oauth/callback?code=x&state={}", asked["state"]);
    assert_eq!(w.browser().get(&stolen, &[]).status, 403);
    assert_eq!(error_of(&w.poll(&begun)), oauth(400, "access_denied"));
    let begun = w.begin();
    let fields =
        [("user_code", begun.user_code.as_str()), ("form", &hidden(&html, "form")), ("way", "oidc:corp")];
    let sent = browser.post("/device/continue", &fields);
    let asked = query(sent.header("location").unwrap());
    let refused = format!("/oauth/callback?error=access_denied&state={}", asked["state"]);
    assert_eq!(browser.get(&refused, &[]).status, 403);
    assert_eq!(error_of(&w.poll(&begun)), oauth(400, "access_denied"));
    for query in
        ["", "state=x", "code=x", "state=x&code=y", "state=x&state=y&code=z", "state=x&code=y&error=z"]
    {
        assert_eq!(browser.get(&format!("/oauth/callback?{query}"), &[]).status, 403, "{query}");
    }
    let fields =
        [("user_code", begun.user_code.as_str()), ("form", &hidden(&html, "form")), ("way", "oidc:evil")];
    assert_eq!(browser.post("/device/continue", &fields).status, 403);
    assert!(!w.gatehouse.log().contains("oidc-secret"), "no secret in the log");
}

/// Publishes settings for a team, which name this model.
fn publish_for(w: &World, team: &str, model: &str) {
    let create = ["admin", "token", "create", "--name", "reviewer", "--role", "admin", "--service", "r"];
    let made = w.gatehouse.json(&create);
    let file = w.gatehouse.dir().join("settings.json");
    std::fs::write(&file, json!({"model": model}).to_string()).unwrap();
    let target = format!("team:{team}");
    w.gatehouse.json(&["settings", "new", "of-team", "--for", &target, "-f", file.to_str().unwrap()]);
    w.gatehouse.json(&["settings", "submit", "of-team"]);
    w.gatehouse.json(&["--token", text(&made, "token"), "settings", "approve", "of-team"]);
    w.gatehouse.json(&["settings", "publish", "of-team"]);
}

/// Somebody whose session goes on while their groups change.
struct Mover<'a> {
    w: &'a World,
    issuer: &'a FakeIssuer,
    tokens: Value,
    refreshed: usize,
}

impl Mover<'_> {
    /// Refreshes the session while the issuer says these groups; null for none at all.
    #[expect(clippy::needless_pass_by_value, reason = "calls read better without `&`")]
    fn refresh(&mut self, groups: Value) {
        let mut claims = json!({"email": "alice@example.com", "groups": groups});
        if claims["groups"].is_null() {
            claims.as_object_mut().unwrap().remove("groups");
        }
        let n = self.refreshed;
        self.issuer.allow_refresh(&format!("rt-{n}"), &claims, &format!("rt-{}", n + 1));
        self.refreshed += 1;
        let reply = self.w.refresh(text(&self.tokens, "refresh_token"));
        assert_eq!(reply.status, 200, "{}", reply.text());
        self.tokens = reply.json();
    }

    fn teams(&self) -> Value {
        self.w.gatehouse.json(&["user", "get", "alice@example.com"])["teams"].clone()
    }

    fn charged(&self) -> Value {
        assert_eq!(self.w.gatehouse.post(text(&self.tokens, "access_token"), &ask(false)).status, 200);
        self.w.gatehouse.exchanges().pop().unwrap()["team"].clone()
    }

    /// The model that the settings name; the status when there are none.
    fn served(&self) -> Value {
        let reply = self.w.get("/managed/settings", text(&self.tokens, "access_token"), &[]);
        if reply.status == 200 { reply.json()["settings"]["model"].clone() } else { json!(reply.status) }
    }
}

/// A change of groups at the issuer reaches teams, what is charged and settings at the next refresh.
#[test]
fn groups_are_read_again_at_every_refresh() {
    for store in stores() {
        let issuer = FakeIssuer::start();
        let config = issuer.config("create = true\nteams = { eng = \"Core\", ops = \"Ops\" }\n");
        let w = world(&store, &config, echo(7, 3));
        for team in ["Core", "Ops", "Extra"] {
            w.gatehouse.json(&["team", "add", team]);
        }
        publish_for(&w, "Ops", "haiku");
        let begun = w.begin();
        let who = json!({"email": "alice@example.com", "groups": ["eng"]});
        through_issuer(&issuer, &mut w.browser(), &begun.user_code, &who, Some("rt-0"));
        let tokens = w.poll(&begun).json();
        let mut alice = Mover { w: &w, issuer: &issuer, tokens, refreshed: 0 };
        assert_eq!((alice.teams(), alice.charged()), (json!(["Core"]), json!("Core")));
        assert_eq!(alice.served(), 404);

        alice.refresh(json!(["ops", "other"]));
        assert_eq!(alice.teams(), json!(["Ops"]), "out of the one and into the other");
        wait::until("the settings of the new team", || (alice.served() == "haiku").then_some(()));
        wait::until("the new team to be charged", || (alice.charged() == "Ops").then_some(()));

        // Who is in a team by hand stays there, whatever the issuer says.
        w.gatehouse.json(&["user", "teams", "alice@example.com", "Core", "Extra"]);
        alice.refresh(json!(["ops"]));
        assert_eq!(alice.teams(), json!(["Core", "Extra", "Ops"]));
        alice.refresh(Value::Null);
        assert_eq!(alice.teams(), json!(["Core", "Extra", "Ops"]), "an answer without groups says nothing");
        alice.refresh(json!([]));
        assert_eq!(alice.teams(), json!(["Core", "Extra"]), "one with none takes out whom it put in");
        wait::until("the settings to be gone", || (alice.served() == 404).then_some(()));
        let log = w.gatehouse.json(&["audit", "list", "--action", "user.follow_groups"]);
        let entries = log["items"].as_array().or(log.as_array()).unwrap().len();
        assert_eq!(entries, 4, "what changes nothing is not recorded: {log}");
    }
}
