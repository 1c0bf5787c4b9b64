//! What an attacker would try at the sign-in, and what is to come of it: nothing.

use std::collections::BTreeMap;

use gatehouse_testkit::browser::{Browser, encoded, hidden, query};
use gatehouse_testkit::http::{Connection, Reply, once};
use gatehouse_testkit::issuer::FakeIssuer;
use serde_json::{Value, json};

use super::{Begun, PASSWORD, World, approve, error_of, oauth, text, world};
use crate::world::{ask, echo};

const MAIL: &str = "alice@example.com";

/// Makes an ID token of claims.
type Make<'m> = &'m dyn Fn(&Value) -> String;

impl World {
    /// A sign-in that ends with this ID token, made for the nonce that we sent.
    fn with_id_token(&self, issuer: &FakeIssuer, make: impl Fn(&str) -> String) -> (Reply, Reply) {
        let (begun, mut browser) = (self.begin(), self.browser());
        let asked = to_provider(&mut browser, &begun);
        issuer.allow_id_token("given", &make(&asked["nonce"]));
        (back(&mut browser, &[("code", "given"), ("state", &asked["state"])]), self.poll(&begun))
    }
}

/// Goes on to the provider `corp`; gives what the browser is sent there with.
fn to_provider(browser: &mut Browser, begun: &Begun) -> BTreeMap<String, String> {
    let code = begun.user_code.as_str();
    let html = browser.get(&format!("/device?user_code={code}"), &[]).text();
    let fields = [("user_code", code), ("form", &hidden(&html, "form")), ("way", "oidc:corp")];
    query(browser.post("/device/continue", &fields).header("location").unwrap())
}

fn back(browser: &mut Browser, fields: &[(&str, &str)]) -> Reply {
    browser.get(&format!("/oauth/callback?{}", encoded(fields)), &[])
}

#[test]
fn a_token_is_as_good_as_its_signature_and_no_header_says_otherwise() {
    let issuer = FakeIssuer::start();
    let w = world("sqlite", &issuer.config("create = true\n"), echo(1, 1));
    let stranger = FakeIssuer::start();
    let secret = issuer.public_key();
    let client_secret = gatehouse_testkit::issuer::CLIENT_SECRET.as_bytes();
    let unsigned = |header: &Value, claims: &Value| {
        let signed = issuer.signed(header, claims);
        format!("{}.", signed.rsplit_once('.').unwrap().0)
    };
    let eddsa = json!({"alg": "EdDSA", "kid": "k1"});
    let hs256 = json!({"alg": "HS256", "kid": "k1"});
    let table: [(&str, Make<'_>); 12] = [
        ("HMAC with the public key", &|claims| FakeIssuer::forged(&hs256, claims, &secret)),
        ("HMAC with the client's secret", &|claims| FakeIssuer::forged(&hs256, claims, client_secret)),
        ("HMAC that calls itself EdDSA", &|claims| FakeIssuer::forged(&eddsa, claims, &secret)),
        ("no algorithm", &|claims| unsigned(&json!({"alg": "none"}), claims)),
        ("no algorithm, in other letters", &|claims| unsigned(&json!({"alg": "nOnE", "kid": "k1"}), claims)),
        ("no signature", &|claims| unsigned(&eddsa, claims)),
        ("another algorithm than the key's", &|claims| {
            issuer.signed(&json!({"alg": "RS256", "kid": "k1"}), claims)
        }),
        ("no header says which", &|claims| issuer.signed(&json!({"kid": "k1"}), claims)),
        ("a key of its own", &|claims| {
            let header = json!({"alg": "EdDSA", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}});
            stranger.signed(&header, claims)
        }),
        ("keys from elsewhere", &|claims| {
            stranger.signed(
                &json!({"alg": "EdDSA", "jku": format!("{}/jwks", stranger.url), "kid": "k1"}),
                claims,
            )
        }),
        ("something critical that nobody knows", &|claims| {
            issuer.signed(&json!({"alg": "EdDSA", "kid": "k1", "crit": ["exp"]}), claims)
        }),
        ("another issuer's signature", &|claims| stranger.signed(&eddsa, claims)),
    ];
    for (what, make) in table {
        let (page, tokens) = w.with_id_token(&issuer, |nonce| {
            make(&issuer.claims(Some(nonce), &json!({"email": MAIL, "sub": "u-1"})))
        });
        assert_eq!((page.status, error_of(&tokens)), (403, oauth(400, "access_denied")), "{what}");
    }
    assert!(stranger.exchanges().is_empty());
}

#[test]
fn a_token_is_for_us_of_this_sign_in_and_in_time() {
    let issuer = FakeIssuer::start();
    let w = world("sqlite", &issuer.config("create = true\n"), echo(1, 1));
    let eddsa = json!({"alg": "EdDSA", "kid": "k1"});
    for (what, claims) in [
        ("another audience", json!({"aud": "another"})),
        ("another audience besides ours, and no party", json!({"aud": ["gatehouse", "another"]})),
        ("another party", json!({"aud": ["gatehouse", "another"], "azp": "another"})),
        ("another issuer", json!({"iss": "https://evil.example"})),
        ("the issuer with a slash", json!({"iss": format!("{}/", issuer.url)})),
        ("run out", json!({"exp": 1000})),
        ("never runs out", json!({"exp": null})),
        ("made tomorrow", json!({"iat": 99_999_999_999_u64})),
        ("not yet good", json!({"nbf": 99_999_999_999_u64})),
        ("of another sign-in", json!({"nonce": "another"})),
        ("of no sign-in", json!({"nonce": null})),
        ("of nobody", json!({"sub": ""})),
        ("a number for a name", json!({"sub": 7})),
    ] {
        let mut wanted = json!({"email": MAIL, "sub": "u-1"});
        wanted.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        let made = |nonce: &str| issuer.signed(&eddsa, &issuer.claims(Some(nonce), &wanted));
        let (page, tokens) = w.with_id_token(&issuer, made);
        assert_eq!((page.status, error_of(&tokens)), (403, oauth(400, "access_denied")), "{what}");
    }
    let made = |nonce: &str| issuer.signed(&eddsa, &issuer.claims(Some(nonce), &json!({"email": MAIL})));
    let (page, tokens) = w.with_id_token(&issuer, made);
    assert_eq!((page.status, tokens.status), (200, 200), "and a good one is taken: {}", page.text());
}

#[test]
fn answers_of_another_issuer_and_codes_of_another_sign_in_are_refused() {
    let issuer = FakeIssuer::start();
    let w = world("sqlite", &issuer.config("create = true\n"), echo(1, 1));
    let claims = json!({"email": MAIL});
    // RFC 9207: whoever names itself must be the one who was asked.
    let evil = "https://evil.example".to_owned();
    for iss in [evil, format!("{}/", issuer.url), String::new()] {
        let (begun, mut browser) = (w.begin(), w.browser());
        let asked = to_provider(&mut browser, &begun);
        issuer.allow("given", &asked["nonce"], &claims, None);
        let page = back(&mut browser, &[("code", "given"), ("state", &asked["state"]), ("iss", &iss)]);
        assert_eq!((page.status, error_of(&w.poll(&begun))), (403, oauth(400, "access_denied")), "{iss}");
    }
    assert!(issuer.exchanges().is_empty(), "the code is not even sent to anybody");
    let (begun, mut browser) = (w.begin(), w.browser());
    let asked = to_provider(&mut browser, &begun);
    issuer.allow("given", &asked["nonce"], &claims, None);
    let fields = [("code", "given"), ("state", asked["state"].as_str()), ("iss", issuer.url.as_str())];
    assert_eq!((back(&mut browser, &fields).status, w.poll(&begun).status), (200, 200));
    // The same return again, and the same code in another sign-in: of the same browser, and of another.
    assert_eq!(back(&mut browser, &fields).status, 403, "a return is good once");
    for mut other in [browser, w.browser()] {
        let begun = w.begin();
        let asked_again = to_provider(&mut other, &begun);
        issuer.allow("given", &asked["nonce"], &claims, None);
        let page = back(&mut other, &[("code", "given"), ("state", &asked_again["state"])]);
        assert_eq!((page.status, error_of(&w.poll(&begun))), (403, oauth(400, "access_denied")));
    }
    let verifiers: Vec<String> = issuer.exchanges().iter().map(|seen| verifier(&seen.body)).collect();
    assert!(verifiers.iter().all(|text| text.len() == 43), "each exchange proves which sign-in it is of");
    assert!(verifiers.windows(2).all(|pair| pair[0] != pair[1]), "with a proof of its own");
}

fn verifier(body: &[u8]) -> String {
    query(&format!("?{}", String::from_utf8_lossy(body)))["code_verifier"].clone()
}

#[test]
fn an_issuer_that_promises_to_name_itself_must() {
    let issuer = FakeIssuer::start();
    issuer.promise_to_name_itself();
    let w = world("sqlite", &issuer.config("create = true\n"), echo(1, 1));
    for (named, status) in [(false, 403), (true, 200)] {
        let (begun, mut browser) = (w.begin(), w.browser());
        let asked = to_provider(&mut browser, &begun);
        issuer.allow("given", &asked["nonce"], &json!({"email": MAIL}), None);
        let mut fields = vec![("code", "given"), ("state", asked["state"].as_str())];
        if named {
            fields.push(("iss", issuer.url.as_str()));
        }
        assert_eq!(back(&mut browser, &fields).status, status);
    }
}

#[test]
fn nobody_is_sent_where_a_request_says() {
    let issuer = FakeIssuer::start();
    let w = world("sqlite", &issuer.config(""), echo(1, 1));
    w.person(MAIL);
    let evil = "https://evil.example/";
    let begun = w.begin();
    let mut browser = w.browser();
    let more =
        "next=https://evil.example/&redirect_uri=https://evil.example/&return_to=//evil.example&lang=en";
    let page = browser.get(
        &format!("/device?user_code={}&{more}", begun.user_code),
        &[
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-proto", "gopher"),
            ("forwarded", "host=evil.example"),
        ],
    );
    assert!(page.status == 200 && page.header("location").is_none() && !page.text().contains("evil"));
    let form = hidden(&page.text(), "form");
    for way in ["oidc:corp", "local"] {
        let begun = w.begin();
        let fields = [
            ("user_code", begun.user_code.as_str()),
            ("form", &form),
            ("way", way),
            ("email", MAIL),
            ("password", PASSWORD),
            ("next", evil),
            ("redirect_uri", evil),
            ("return_to", "//evil.example"),
        ];
        let reply = browser.post("/device/continue", &fields);
        let to = reply.header("location").unwrap_or_default();
        assert!(to.is_empty() || to.starts_with(&format!("{}/", issuer.url)), "{way}: {to}");
        assert!(!to.contains("evil") && !reply.text().contains("evil"), "{way}");
    }
    for target in
        ["/oauth/callback?state=x&code=y&redirect_uri=https://evil.example", "//evil.example/device"]
    {
        let reply = browser.get(target, &[]);
        assert!(reply.status >= 400 && reply.header("location").is_none(), "{target}: {}", reply.status);
    }
    // A request's Host goes into nothing either.
    let mut raw = Connection::open(&w.gatehouse.gateway);
    raw.send(b"GET /.well-known/oauth-authorization-server HTTP/1.1\r\nhost: evil.example\r\n\r\n").unwrap();
    assert!(!raw.reply().text().contains("evil"));
}

#[test]
fn a_browser_keeps_no_sign_in_that_another_could_use_or_plant() {
    let issuer = FakeIssuer::start();
    let w = world("sqlite", &issuer.config("create = true\n"), echo(1, 1));
    w.person(MAIL);
    let begun = w.begin();
    let mut browser = w.browser();
    assert_eq!(approve(&mut browser, &begun.user_code, MAIL, PASSWORD).status, 200);
    // With all its cookies, the next code asks for a password again.
    let next = w.begin();
    let html = browser.get(&format!("/device?user_code={}", next.user_code), &[]).text();
    let form = hidden(&html, "form");
    let without = [("user_code", next.user_code.as_str()), ("form", form.as_str()), ("way", "local")];
    assert_eq!(browser.post("/device/continue", &without).status, 403);
    assert_eq!(error_of(&w.poll(&next)), oauth(400, "authorization_pending"));
    // An attacker's own sign-in at the provider, finished in the victim's browser, approves nothing, whatever cookie is
    // planted there besides.
    let mut attacker = w.browser();
    let theirs = w.begin();
    let asked = to_provider(&mut attacker, &theirs);
    issuer.allow("given", &asked["nonce"], &json!({"email": MAIL}), None);
    let mut victim = w.browser();
    victim.cookies.insert("gatehouse-login".into(), "A".repeat(43));
    let page = back(&mut victim, &[("code", "given"), ("state", &asked["state"])]);
    assert_eq!((page.status, error_of(&w.poll(&theirs))), (403, oauth(400, "access_denied")));
    // A device code is its client's alone: what the page shows does not collect the session.
    let begun = w.begin();
    assert_eq!(approve(&mut w.browser(), &begun.user_code, MAIL, PASSWORD).status, 200);
    let grant = "urn:ietf:params:oauth:grant-type:device_code";
    let with = w.post("/oauth/token", &[("grant_type", grant), ("device_code", &begun.user_code)]);
    assert_eq!(error_of(&with), oauth(400, "expired_token"));
    let (one, two) = (w.poll(&begun).json(), w.sign_in(MAIL));
    assert_ne!(text(&one, "access_token"), text(&two, "access_token"));
    assert_ne!(text(&one, "refresh_token"), text(&two, "refresh_token"));
}

#[test]
fn credentials_of_one_kind_open_no_other_door() {
    let w = world("sqlite", "", echo(1, 1));
    w.person(MAIL);
    let tokens = w.sign_in(MAIL);
    let (access, refresh) =
        (text(&tokens, "access_token").to_owned(), text(&tokens, "refresh_token").to_owned());
    let (_, key) = w.gatehouse.key(MAIL, &[]);
    let admin = w.gatehouse.json(&["admin", "token", "create", "--name", "x", "--role", "owner"]);
    let admin = text(&admin, "token").to_owned();
    let scim = text(&w.gatehouse.json(&["scim", "token", "create", "okta"]), "token").to_owned();
    let device = w.begin().device_code;
    let all = [
        ("access", &access),
        ("refresh", &refresh),
        ("key", &key),
        ("admin", &admin),
        ("scim", &scim),
        ("device", &device),
    ];
    for (at, (one, text)) in all.iter().enumerate() {
        for (other, longer) in &all[at + 1..] {
            let same = text.bytes().zip(longer.bytes()).take_while(|(a, b)| a == b).count();
            assert!(same <= 4, "{one} and {other} could be taken for each other: {same} bytes in common");
        }
    }
    // What each opens: messages, the management API, the directory's endpoints, a refresh.
    for (kind, secret) in all {
        let bearer = format!("Bearer {secret}");
        let header = [("authorization", bearer.as_str())];
        let message = w.gatehouse.post(secret, &ask(false)).status;
        let managed = once(&w.gatehouse.admin, "GET", "/api/v1/users", &header, b"").status;
        let directory = once(&w.gatehouse.admin, "GET", "/scim/v2/Users", &header, b"").status;
        let refreshed = w.refresh(secret).status;
        let expected = match kind {
            "access" | "key" => (200, 401, 401, 401),
            "admin" => (401, 200, 401, 401),
            "scim" => (401, 401, 200, 401),
            "refresh" => (401, 401, 401, 200),
            _ => (401, 401, 401, 401),
        };
        assert_eq!((message, managed, directory, refreshed), expected, "{kind}");
    }
    // The body of one kind behind the mark of another.
    for (mark, rest) in
        [("gh_", &admin), ("gha_", &key), ("ghscim_", &admin), ("ghs_", &refresh), ("ghr_", &access)]
    {
        let swapped = format!("{mark}{}", rest.split_once('_').unwrap().1);
        let bearer = format!("Bearer {swapped}");
        let header = [("authorization", bearer.as_str())];
        assert_eq!(w.gatehouse.post(&swapped, &ask(false)).status, 401, "{mark}");
        for path in ["/api/v1/users", "/scim/v2/Users"] {
            let status = once(&w.gatehouse.admin, "GET", path, &header, b"").status;
            assert!(matches!(status, 401 | 429), "{mark} {path}: {status}");
        }
        assert_eq!(error_of(&w.refresh(&swapped)), oauth(401, "invalid_grant"), "{mark}");
    }
}

#[test]
fn two_tokens_with_a_long_common_prefix_are_two_people() {
    let issuer = FakeIssuer::start();
    let w = world("sqlite", &issuer.config("create = true\n"), echo(1, 1));
    let same = "x".repeat(250);
    let mut access = Vec::new();
    for n in ["1", "2"] {
        // Alike for hundreds of bytes: header, issuer, and the beginning of the subject.
        let claims = json!({"email": format!("person{n}@example.com"), "sub": format!("{same}{n}")});
        let made = |nonce: &str| {
            issuer.signed(&json!({"alg": "EdDSA", "kid": "k1"}), &issuer.claims(Some(nonce), &claims))
        };
        let (page, tokens) = w.with_id_token(&issuer, made);
        assert_eq!(page.status, 200, "{}", page.text());
        assert_eq!(text(&tokens.json(), "email"), format!("person{n}@example.com"));
        access.push(text(&tokens.json(), "access_token").to_owned());
    }
    for (n, token) in (1..).zip(&access) {
        assert_eq!(w.gatehouse.post(token, &ask(false)).status, 200);
        assert_eq!(text(w.gatehouse.exchanges().last().unwrap(), "user"), format!("person{n}@example.com"));
    }
    // Every token with the end of the other, or a letter of its own changed, is none.
    for at in [10, 20, 40, access[0].len() - 1] {
        let mixed = format!("{}{}", &access[0][..at], &access[1][at..]);
        if mixed != access[0] && mixed != access[1] {
            assert_eq!(w.gatehouse.post(&mixed, &ask(false)).status, 401, "{at}");
        }
    }
    for cut in [1, 4, 20] {
        assert_eq!(w.gatehouse.post(&access[0][..access[0].len() - cut], &ask(false)).status, 401);
    }
    assert_eq!(w.gatehouse.post(&format!("{}A", access[0]), &ask(false)).status, 401);
}

#[test]
fn many_guesses_at_once_are_not_more_than_many_in_a_row() {
    let w = world("sqlite", "", echo(1, 1));
    w.person(MAIL);
    let begun = w.begin();
    let code = begun.user_code.as_str();
    let mut browser = w.browser();
    let form = hidden(&browser.get(&format!("/device?user_code={code}"), &[]).text(), "form");
    let refused = |fields: &[(&str, &str)], times: usize| {
        std::thread::scope(|scope| {
            let send = || {
                let mut mine = w.browser();
                mine.cookies.clone_from(&browser.cookies);
                mine.post("/device/continue", fields).status
            };
            let all: Vec<_> = (0..times).map(|_| scope.spawn(send)).collect();
            all.into_iter().map(|one| one.join().unwrap()).filter(|status| *status == 429).count()
        })
    };
    let password = [
        ("user_code", code),
        ("form", form.as_str()),
        ("way", "local"),
        ("email", MAIL),
        ("password", "wrong horse battery"),
    ];
    assert_eq!(refused(&password, 30), 20, "ten guesses at a password, however they come");
    let codes = [("user_code", "BBBB-BBBB"), ("form", form.as_str()), ("way", "local")];
    assert_eq!(refused(&codes, 50), 20, "thirty guesses at a code, however they come");
}

#[test]
fn a_body_that_is_too_long_is_refused_before_it_is_sent() {
    let w = world("sqlite", "", echo(1, 1));
    for path in ["/oauth/token", "/device/continue", "/oauth/device_authorization", "/oauth/revoke"] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-www-form-urlencoded\r\n\
             expect: 100-continue\r\ncontent-length: 100000000\r\n\r\n"
        );
        let mut raw = Connection::open(&w.gatehouse.gateway);
        raw.send(head.as_bytes()).unwrap();
        assert_eq!(raw.reply().status, 413, "{path}: without a go-ahead");
    }
}
