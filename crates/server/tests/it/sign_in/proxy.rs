//! Behind a proxy: whose address counts, and what a client can make of the headers that say so.

use gatehouse_testkit::browser::{encoded, hidden};
use gatehouse_testkit::gatehouse::{Builder, Gatehouse};
use gatehouse_testkit::http::{Reply, once};
use gatehouse_testkit::provider::FakeProvider;
use serde_json::json;

use super::{FORM, URL, text};
use crate::world::{ask, echo};

fn behind(proxies: &str) -> (FakeProvider, Gatehouse) {
    let provider = FakeProvider::start(echo(1, 1));
    let builder = Builder::new(env!("CARGO_BIN_EXE_gatehouse"), &provider.url).public_url(URL);
    let gatehouse = builder.listen(&format!("trusted_proxies = [{proxies}]")).start();
    (provider, gatehouse)
}

/// Guesses a code from behind a proxy that writes this into the header.
fn guess(gatehouse: &Gatehouse, forwarded: &[(&str, &str)]) -> u16 {
    let page = once(&gatehouse.gateway, "GET", "/device?user_code=BBBB-BBBB", &[], b"");
    let cookie = page.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let fields = [("user_code", "BBBB-BBBB"), ("form", &hidden(&page.text(), "form")), ("way", "local")];
    let origin = [FORM, ("origin", URL), ("cookie", cookie.as_str())];
    let headers = [&origin, forwarded].concat();
    once(&gatehouse.gateway, "POST", "/device/continue", &headers, encoded(&fields).as_bytes()).status
}

fn begin(gatehouse: &Gatehouse, forwarded: &[(&str, &str)]) -> Reply {
    once(
        &gatehouse.gateway,
        "POST",
        "/oauth/device_authorization",
        &[&[FORM], forwarded].concat(),
        b"surface=x",
    )
}

#[test]
fn clients_behind_a_named_proxy_have_bounds_of_their_own() {
    let (_provider, gatehouse) = behind("\"127.0.0.1\", \"10.0.0.0/8\"");
    for _ in 0..30 {
        assert_eq!(guess(&gatehouse, &[("x-forwarded-for", "203.0.113.9")]), 403);
    }
    assert_eq!(guess(&gatehouse, &[("x-forwarded-for", "203.0.113.9")]), 429);
    assert_eq!(
        guess(&gatehouse, &[("x-forwarded-for", "203.0.113.10")]),
        403,
        "a neighbor is not locked out"
    );
    // What the client writes itself stands on the left of what the proxy appends, and buys no new bounds.
    for own in ["198.51.100.1", "127.0.0.1", "10.9.9.9", "unknown", "203.0.113.10", "::1", "1.2.3.4, 5.6.7.8"]
    {
        let spoofed = format!("{own}, 203.0.113.9");
        assert_eq!(guess(&gatehouse, &[("x-forwarded-for", &spoofed)]), 429, "{spoofed}");
        let two = [("x-forwarded-for", own), ("x-forwarded-for", "203.0.113.9, 10.1.2.3")];
        assert_eq!(guess(&gatehouse, &two), 429, "{own} in a line of its own");
    }
    // Other headers that say the like are not read.
    for (name, value) in [
        ("x-real-ip", "198.51.100.1"),
        ("forwarded", "for=198.51.100.1"),
        ("true-client-ip", "198.51.100.1"),
        ("x-client-ip", "198.51.100.1"),
    ] {
        assert_eq!(guess(&gatehouse, &[("x-forwarded-for", "203.0.113.9"), (name, value)]), 429, "{name}");
    }
    // Where it is reached is never taken from them.
    let hosts = [
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-for", "192.0.2.1"),
    ];
    assert_eq!(text(&begin(&gatehouse, &hosts).json(), "verification_uri"), format!("{URL}/device"));
}

#[test]
fn whoever_is_no_named_proxy_is_not_believed() {
    for proxies in ["", "\"10.0.0.0/8\", \"::1\""] {
        let (_provider, gatehouse) = behind(proxies);
        for n in 0..30 {
            assert_eq!(guess(&gatehouse, &[("x-forwarded-for", &format!("203.0.113.{n}"))]), 403);
        }
        assert_eq!(guess(&gatehouse, &[("x-forwarded-for", "203.0.113.77")]), 429, "the connection counts");
        assert_eq!(guess(&gatehouse, &[]), 429);
    }
}

#[test]
fn records_and_the_audit_log_name_the_client_and_wrong_tokens_count_against_it() {
    let (_provider, gatehouse) = behind("\"127.0.0.0/8\"");
    let (_, key) = gatehouse.key("ada@example.com", &[]);
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), ("x-forwarded-for", "6.6.6.6, 203.0.113.9")];
    assert_eq!(once(&gatehouse.gateway, "POST", "/v1/messages", &headers, &ask(false)).status, 200);
    assert_eq!(gatehouse.exchanges().last().unwrap()["peer"], json!("203.0.113.9"));
    let wrong = |from: &str| {
        let headers = [("authorization", "Bearer gha_wrong"), ("x-forwarded-for", from)];
        once(&gatehouse.admin, "GET", "/api/v1/users", &headers, b"").status
    };
    for _ in 0..10 {
        assert_eq!(wrong("203.0.113.9"), 401);
    }
    assert_eq!((wrong("203.0.113.9"), wrong("203.0.113.10")), (429, 401));
    let file = gatehouse.dir().join("audit");
    let exported = gatehouse.cli(&["audit", "export", file.to_str().unwrap()]);
    assert!(exported.status.success(), "{exported:?}");
    let log = std::fs::read_to_string(file).unwrap();
    assert!(log.contains("203.0.113.9") && !log.contains("6.6.6.6"), "{log}");
}

#[test]
fn which_proxies_are_named_is_checked_and_can_be_reloaded() {
    let (_provider, gatehouse) = behind("");
    let file = gatehouse.dir().join("gatehouse.toml");
    let before = std::fs::read_to_string(&file).unwrap();
    let with = |list: &str| std::fs::write(&file, before.replace("trusted_proxies = []", list)).unwrap();
    for bad in ["\"10.0.0.1/8\"", "\"0.0.0.0/0\"", "\"proxy.example\"", "\"10.0.0.0/33\""] {
        with(&format!("trusted_proxies = [{bad}]"));
        let told = gatehouse.cli(&["config", "check", "--config", file.to_str().unwrap()]);
        let said =
            format!("{}{}", String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
        assert!(!told.status.success() && said.contains("listen.trusted_proxies"), "{bad}: {said}");
    }
    with("trusted_proxies = [\"127.0.0.1\"]");
    let reloaded = gatehouse.json(&["config", "reload"]);
    assert_eq!(reloaded["restart_needed"], json!([]), "{reloaded}");
    let (_, key) = gatehouse.key("ada@example.com", &[]);
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), ("x-forwarded-for", "203.0.113.9")];
    assert_eq!(once(&gatehouse.gateway, "POST", "/v1/messages", &headers, &ask(false)).status, 200);
    assert_eq!(gatehouse.exchanges().last().unwrap()["peer"], json!("203.0.113.9"));
}

/// Signs in with a password from behind a proxy.
fn sign_in(gatehouse: &Gatehouse, from: &str, password: &str) -> u16 {
    let forwarded = [("x-forwarded-for", from)];
    let code = text(&begin(gatehouse, &forwarded).json(), "user_code").to_owned();
    let path = format!("/device?user_code={code}");
    let page = once(&gatehouse.gateway, "GET", &path, &forwarded, b"");
    let cookie = page.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let form = hidden(&page.text(), "form");
    let fields = [
        ("user_code", code.as_str()),
        ("form", &form),
        ("way", "local"),
        ("email", "ada@example.com"),
        ("password", password),
    ];
    let origin = [FORM, ("origin", URL), ("cookie", cookie.as_str())];
    let headers = [&origin[..], &forwarded].concat();
    once(&gatehouse.gateway, "POST", "/device/continue", &headers, encoded(&fields).as_bytes()).status
}

fn ada(gatehouse: &Gatehouse) {
    gatehouse.json(&["user", "add", "ada@example.com"]);
    let set =
        gatehouse.cli_reading(&["user", "password", "ada@example.com"], &format!("{}\n", super::PASSWORD));
    assert!(set.status.success());
}

/// Ten wrong passwords shut out the address that they came from, and nobody else.
#[test]
fn who_guesses_shuts_out_themselves_and_not_the_owner() {
    let (_provider, gatehouse) = behind("\"127.0.0.1\"");
    ada(&gatehouse);
    for _ in 0..10 {
        assert_eq!(sign_in(&gatehouse, "203.0.113.9", "wrong"), 403);
    }
    assert_eq!(sign_in(&gatehouse, "203.0.113.9", "wrong"), 429);
    assert_eq!(sign_in(&gatehouse, "203.0.113.9", super::PASSWORD), 429, "not even rightly");
    assert_eq!(sign_in(&gatehouse, "198.51.100.7", super::PASSWORD), 200, "the owner, from anywhere else");
    assert_eq!(sign_in(&gatehouse, "203.0.113.9", super::PASSWORD), 429, "which buys no guesses");
    // A network of one machine counts as one address.
    for n in 0..10 {
        assert_eq!(sign_in(&gatehouse, &format!("2001:db8::{n}"), "wrong"), 403);
    }
    assert_eq!(sign_in(&gatehouse, "2001:db8::ffff", "wrong"), 429);
}

/// A hundred wrong passwords from ever new addresses stop strangers, and not the owner where they were right before: in
/// memory, and after a restart by the sessions that began there.
#[test]
fn a_flood_from_everywhere_stops_strangers_and_not_the_owner_at_home() {
    let (_provider, mut gatehouse) = behind("\"127.0.0.1\"");
    ada(&gatehouse);
    let forwarded = [("x-forwarded-for", "198.51.100.7")];
    let begun = begin(&gatehouse, &forwarded).json();
    let path = format!("/device?user_code={}", text(&begun, "user_code"));
    let page = once(&gatehouse.gateway, "GET", &path, &forwarded, b"");
    let cookie = page.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let form = hidden(&page.text(), "form");
    let fields = [
        ("user_code", text(&begun, "user_code")),
        ("form", &form),
        ("way", "local"),
        ("email", "ada@example.com"),
        ("password", super::PASSWORD),
    ];
    let origin = [FORM, ("origin", URL), ("cookie", cookie.as_str())];
    let headers = [&origin[..], &forwarded].concat();
    let done = once(&gatehouse.gateway, "POST", "/device/continue", &headers, encoded(&fields).as_bytes());
    assert_eq!(done.status, 200, "{}", done.text());
    let fields = [("grant_type", super::DEVICE), ("device_code", text(&begun, "device_code"))];
    let headers = [&[FORM][..], &forwarded].concat();
    let tokens = once(&gatehouse.gateway, "POST", "/oauth/token", &headers, encoded(&fields).as_bytes());
    assert_eq!(tokens.status, 200, "{}", tokens.text());

    let flood = |gatehouse: &Gatehouse| {
        for n in 0..100 {
            assert_eq!(sign_in(gatehouse, &format!("203.0.113.{n}"), "wrong"), 403, "{n}");
        }
        assert_eq!(sign_in(gatehouse, "203.0.113.200", "wrong"), 429);
        assert_eq!(sign_in(gatehouse, "192.0.2.1", super::PASSWORD), 429, "a stranger, even rightly");
        assert_eq!(sign_in(gatehouse, "198.51.100.7", super::PASSWORD), 200, "the owner at home");
    };
    flood(&gatehouse);
    gatehouse.signal("-TERM");
    gatehouse.wait();
    gatehouse.restart();
    flood(&gatehouse);
    for _ in 0..10 {
        assert_eq!(sign_in(&gatehouse, "198.51.100.7", "wrong"), 403);
    }
    assert_eq!(sign_in(&gatehouse, "198.51.100.7", "wrong"), 429, "at home there are bounds too");
}
