//! Who is taken for whom: by the issuer's subject, from the first sign-in on.

use gatehouse_testkit::browser::{Browser, encoded, hidden, query};
use gatehouse_testkit::http::Reply;
use gatehouse_testkit::issuer::FakeIssuer;
use serde_json::{Value, json};

use super::{World, approve, error_of, oauth, text, world};
use crate::world::{echo, stores};

/// Signs in at the source of this name, whose issuer says who came.
fn at_source(
    w: &World,
    browser: &mut Browser,
    issuer: &FakeIssuer,
    source: &str,
    claims: &Value,
) -> (Reply, Reply) {
    let begun = w.begin();
    let code = begun.user_code.as_str();
    let html = browser.get(&format!("/device?user_code={code}"), &[]).text();
    let way = format!("oidc:{source}");
    let fields = [("user_code", code), ("form", &hidden(&html, "form")), ("way", way.as_str())];
    let sent = browser.post("/device/continue", &fields);
    assert_eq!(sent.status, 303, "{}", sent.text());
    let asked = query(sent.header("location").unwrap());
    let given = format!("code-{}", asked["state"]);
    issuer.allow(&given, &asked["nonce"], claims, None);
    let back = encoded(&[("code", &given), ("state", &asked["state"])]);
    let done = browser.get(&format!("/oauth/callback?{back}"), &[]);
    (done, w.poll(&begun))
}

fn comes_in(w: &World, issuer: &FakeIssuer, source: &str, claims: &Value) -> Option<String> {
    let (page, tokens) = at_source(w, &mut w.browser(), issuer, source, claims);
    if tokens.status == 200 {
        return Some(text(&tokens.json(), "email").to_owned());
    }
    assert_eq!((page.status, error_of(&tokens)), (403, oauth(400, "access_denied")), "{}", page.text());
    assert!(!page.text().contains("u-"), "whoever is refused is not told about anybody: {}", page.text());
    None
}

#[test]
fn an_address_that_is_given_out_again_lets_nobody_in_as_its_former_holder() {
    for store in stores() {
        let issuer = FakeIssuer::start();
        let w = world(&store, &issuer.config("create = true\n"), echo(1, 1));
        let come = |claims: Value| comes_in(&w, &issuer, "corp", &claims);
        let ada = Some("ada@example.com".to_owned());
        assert_eq!(come(json!({"sub": "u-ada", "email": "ada@example.com"})), ada);
        assert_eq!(
            come(json!({"sub": "u-new", "email": "ada@example.com"})),
            None,
            "the address is recycled"
        );
        assert!(w.gatehouse.log().contains("somebody else"), "the log says why: {}", w.gatehouse.log());
        // Who marries stays who they are, and the old address does not open a second account for somebody else.
        assert_eq!(come(json!({"sub": "u-ada", "email": "lovelace@example.com"})), ada);
        assert_eq!(come(json!({"sub": "u-new", "email": "ada@example.com"})), None);
        // Subjects are compared byte by byte.
        assert_eq!(come(json!({"sub": "U-ADA", "email": "ada@example.com"})), None);
        assert_eq!(come(json!({"sub": "x".repeat(600), "email": "long@example.com"})), None);

        let known = w.gatehouse.json(&["user", "identities", "ada@example.com"]);
        assert_eq!((text(&known[0], "issuer"), text(&known[0], "subject")), (issuer.url.as_str(), "u-ada"));
        // An administrator frees the address for the new person, and both come in.
        w.gatehouse.json(&["user", "address", "ada@example.com", "lovelace@example.com"]);
        assert_eq!(come(json!({"sub": "u-new", "email": "ada@example.com"})), ada);
        let lovelace = Some("lovelace@example.com".to_owned());
        assert_eq!(come(json!({"sub": "u-ada", "email": "lovelace@example.com"})), lovelace);
        let sessions = w.gatehouse.json(&["session", "list"]);
        let of = |email: &str| sessions.as_array().unwrap().iter().filter(|s| s["email"] == email).count();
        assert_eq!((of("ada@example.com"), of("lovelace@example.com")), (1, 3));

        // Or says that it is the same person after all, who has another subject now.
        w.gatehouse.json(&["user", "identities", "--forget", "lovelace@example.com"]);
        assert_eq!(come(json!({"sub": "u-moved", "email": "lovelace@example.com"})), lovelace);
        assert_eq!(come(json!({"sub": "u-ada", "email": "lovelace@example.com"})), None);
        let ended = w.gatehouse.json(&["session", "list", "--all", "--user", "lovelace@example.com"]);
        assert_eq!(text(&ended[1], "ended_why"), "identity_forgotten");
    }
}

#[test]
fn one_person_of_two_issuers_is_one_user_only_where_it_is_said() {
    let (one, two, three) = (FakeIssuer::start(), FakeIssuer::start(), FakeIssuer::start());
    let config = format!(
        "{}{}{}",
        one.config("create = true\n"),
        two.config_as("partner", "create = true\n"),
        three.config_as("sister", "create = true\njoin = true\n")
    );
    let w = world("sqlite", &config, echo(1, 1));
    let claims = json!({"sub": "u-1", "email": "ada@example.com"});
    let ada = Some("ada@example.com".to_owned());
    assert_eq!(comes_in(&w, &one, "corp", &claims), ada);
    assert_eq!(comes_in(&w, &two, "partner", &claims), None, "another issuer does not speak for her");
    assert!(w.gatehouse.log().contains("join = true"), "the log says what to do");
    assert_eq!(comes_in(&w, &three, "sister", &claims), ada, "this one may");
    assert_eq!(comes_in(&w, &three, "sister", &json!({"sub": "u-9", "email": "ada@example.com"})), None);
    assert_eq!(w.gatehouse.json(&["user", "identities", "ada@example.com"]).as_array().unwrap().len(), 2);
    // The same subject at another issuer is somebody else.
    let bob = json!({"sub": "u-1", "email": "bob@example.com"});
    assert_eq!(comes_in(&w, &two, "partner", &bob), Some("bob@example.com".to_owned()));
    assert_eq!(comes_in(&w, &one, "corp", &bob), ada, "known by the subject, whatever the address");
}

#[test]
fn who_has_a_password_here_is_joined_once_and_a_disabled_person_never() {
    let issuer = FakeIssuer::start();
    let w = world("sqlite", &issuer.config(""), echo(1, 1));
    w.person("ada@example.com");
    w.sign_in("ada@example.com");
    let ada = Some("ada@example.com".to_owned());
    assert_eq!(comes_in(&w, &issuer, "corp", &json!({"sub": "u-1", "email": "ada@example.com"})), ada);
    assert_eq!(comes_in(&w, &issuer, "corp", &json!({"sub": "u-2", "email": "ada@example.com"})), None);
    w.sign_in("ada@example.com");
    w.gatehouse.json(&["user", "add", "gone@example.com"]);
    w.gatehouse.json(&["user", "disable", "gone@example.com"]);
    assert_eq!(comes_in(&w, &issuer, "corp", &json!({"sub": "u-3", "email": "gone@example.com"})), None);
    let none = w.gatehouse.json(&["user", "identities", "gone@example.com"]);
    assert_eq!(none, json!([]), "nothing is joined by a sign-in that is refused");
    w.gatehouse.json(&["user", "disable", "ada@example.com"]);
    assert_eq!(comes_in(&w, &issuer, "corp", &json!({"sub": "u-1", "email": "ada@example.com"})), None);
    let sessions = w.gatehouse.json(&["session", "list", "--all", "--user", "ada@example.com"]);
    for session in sessions.as_array().unwrap() {
        assert_eq!(text(session, "ended_why"), "user_disabled");
    }
    // Enabled again, they sign in anew.
    w.gatehouse.json(&["user", "enable", "ada@example.com"]);
    assert_eq!(w.gatehouse.json(&["session", "list"]), json!([]));
    let begun = w.begin();
    let done = approve(&mut w.browser(), &begun.user_code, "ada@example.com", super::PASSWORD);
    assert_eq!(done.status, 200);
}
