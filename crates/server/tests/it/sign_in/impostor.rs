//! What stands where a gateway should be, and says what a gateway would not: the helpers do not believe it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gatehouse_testkit::provider::{Act, FakeProvider, Seen};
use gatehouse_testkit::sse::plain;
use serde_json::json;

use super::client::{Machine, ended, tells};

/// What an impostor answers, and what is wrong with it.
type Answer = (&'static str, fn() -> Vec<Act>);

/// Settings and their checksum (from the client's documentation of the form: the empty document).
const EMPTY: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

fn raw(head: &str, body: &str) -> Vec<Act> {
    vec![Act::Send(format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes())]
}

/// Signs everybody in at once. Where tokens are given out is said to be elsewhere.
fn welcoming(seen: &Seen) -> Vec<Act> {
    let path = seen.line.split(' ').nth(1).unwrap_or_default();
    match path {
        "/.well-known/oauth-authorization-server" => plain(
            200,
            &json!({"token_endpoint": "http://127.0.0.1:1/token", "device_authorization_endpoint": "https://x.example/d"}),
        ),
        "/oauth/device_authorization" => plain(
            200,
            &json!({"device_code": "d", "user_code": "AAAA-BBBB", "verification_uri": "https://gw.example.com/device",
                "expires_in": 60, "interval": 1}),
        ),
        "/oauth/token" => plain(
            200,
            &json!({"access_token": "a", "expires_in": 3600, "refresh_token": "r", "token_type": "Bearer"}),
        ),
        "/user/bootstrap" => plain(200, &json!({})),
        _ => plain(404, &json!({"error": "not_found"})),
    }
}

/// A machine that is signed in at an impostor.
fn caught() -> (FakeProvider, Machine) {
    let impostor = FakeProvider::start(welcoming);
    let machine = Machine::of(&impostor.url);
    let (begun, child, _lines) = machine.begin(&impostor.url);
    assert_eq!(begun["user_code"], "AAAA-BBBB");
    let done = ended(child);
    assert_eq!(done.code, 0, "endpoints elsewhere were believed: {done:?}");
    (impostor, machine)
}

#[test]
fn an_answer_that_is_no_policy_is_never_printed_as_one() {
    let (impostor, machine) = caught();
    let run = machine.run(&["policy"]);
    assert_eq!((run.code, run.out.trim()), (0, "{}"), "{run:?}");
    impostor.now(|_| plain(200, &json!({"uuid": "u", "checksum": EMPTY, "settings": {}})));
    assert_eq!(machine.run(&["policy"]).out.trim(), r#"{"managedSettings":{}}"#);
    let answers: [Answer; 9] = [
        ("other settings", || plain(200, &json!({"checksum": EMPTY, "settings": {"model": "opus"}}))),
        ("no checksum", || plain(200, &json!({"settings": {}}))),
        ("no settings", || plain(200, &json!({"checksum": EMPTY}))),
        ("no wrapper", || plain(200, &json!({"model": "opus"}))),
        ("no JSON", || raw("200 OK", "<html>sign in to the network</html>")),
        ("a page that is not there", || raw("404 Not Found", "<html>not found</html>")),
        ("a way elsewhere", || raw("302 Found\r\nlocation: https://x.example/", "")),
        ("forbidden", || plain(403, &json!({"error": "forbidden"}))),
        ("no end", || {
            vec![Act::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{".to_vec()), Act::Close]
        }),
    ];
    for (what, answer) in answers {
        impostor.now(move |_| answer());
        let kept = machine.run(&["policy"]);
        assert!(kept.code == 0 && kept.err.contains("this is its policy as of"), "{what}: {kept:?}");
        assert_eq!(kept.out.trim(), r#"{"managedSettings":{}}"#, "{what}");
        tells(&machine.run(&["policy", "--max-age", "0s"]), 3, "--max-age");
    }
    // With nothing to fall back on, a 304 that nobody asked for is no policy either.
    let (impostor, machine) = caught();
    impostor.now(|_| raw("304 Not Modified", ""));
    tells(&machine.run(&["policy"]), 3, "there is no copy");
}

#[test]
fn only_the_end_of_a_session_ends_it() {
    let (impostor, machine) = caught();
    let answers: [fn() -> Vec<Act>; 5] = [
        || plain(503, &json!({"error": "temporarily_unavailable"})),
        || plain(500, &json!({})),
        || plain(404, &json!({})),
        || plain(200, &json!({"access_token": "a"})),
        || raw("200 OK", "<html>sign in to the network</html>"),
    ];
    for answer in answers {
        machine.run_out();
        impostor.now(move |_| answer());
        let run = machine.run(&["token"]);
        assert!(run.code == 3 && run.out.is_empty(), "{run:?}");
        assert!(machine.has("session"));
    }
    impostor.now(|_| plain(401, &json!({"error": "invalid_grant"})));
    tells(&machine.run(&["token"]), 1, "is over");
    assert!(!machine.has("session"));
}

/// The answer to a refresh gets lost: it is asked for once more with the same token, within the gateway's grace.
#[test]
fn a_refresh_whose_answer_is_lost_is_asked_for_again() {
    let (impostor, machine) = caught();
    machine.run_out();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    impostor.now(move |seen| {
        if !seen.line.contains("/oauth/token") {
            return welcoming(seen);
        }
        assert!(String::from_utf8_lossy(&seen.body).contains("refresh_token=r"));
        match count.fetch_add(1, Ordering::SeqCst) {
            0 => vec![Act::Close],
            _ => plain(200, &json!({"access_token": "b", "expires_in": 3600, "refresh_token": "s"})),
        }
    });
    let run = machine.run(&["token"]);
    assert_eq!((run.code, run.out.trim(), asked.load(Ordering::SeqCst)), (0, "b", 2), "{run:?}");
}

#[test]
fn what_is_no_gateway_is_no_place_to_sign_in() {
    let nowhere = FakeProvider::start(|_| raw("404 Not Found", "not here"));
    let machine = Machine::of(&nowhere.url);
    let login = |gateway: &str| machine.run(&["login", "--gateway", gateway]);
    let run = login(&nowhere.url);
    assert!(run.code == 3 && run.err.contains("answered 404"), "{run:?}");
    for (gateway, code) in [("http://gw.example.com", 2), ("ftp://x", 2), ("http://127.0.0.1:1", 3)] {
        let run = login(gateway);
        assert!(run.code == code && run.out.is_empty(), "{gateway}: {run:?}");
    }
    nowhere.now(|seen| {
        if !seen.line.contains("device_authorization") {
            return welcoming(seen);
        }
        plain(429, &json!({"error": "slow_down", "error_description": "too many\u{1b}[31m sign-ins"}))
    });
    let run = login(&nowhere.url);
    assert!(run.code == 3 && run.err.contains("too many") && !run.err.contains('\u{1b}'), "{run:?}");
    assert_eq!(machine.run(&["status"]).code, 1);
}
