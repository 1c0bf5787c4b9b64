//! The page on which a person approves a code.

use gatehouse_testkit::browser::hidden;

use super::{PASSWORD, URL, approve, error_of, oauth, world};
use crate::world::echo;

#[test]
fn the_page_keeps_to_itself_and_does_nothing_unasked() {
    let w = world("sqlite", "", echo(1, 1));
    let begun = w.begin();
    let target = format!("/device?user_code={}", begun.user_code);
    let mut browser = w.browser();
    let page = browser.get(&target, &[("accept-language", "zh-TW,en;q=0.5")]);
    let policy = page.header("content-security-policy").unwrap();
    for rule in ["default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
        assert!(policy.contains(rule), "{policy}");
    }
    for (name, value) in [("cache-control", "no-store"), ("x-content-type-options", "nosniff")] {
        assert_eq!(page.header(name), Some(value));
    }
    let html = page.text();
    assert!(
        html.contains("登入閘道")
            && html.contains("lang=\"zh-Hant\"")
            && html.matches("<script").count() == 1,
        "{html}"
    );
    // The one script is a file of our own, and nothing else may run.
    assert!(html.contains("<script src=\"/account/passkey.js\" defer></script>"), "{html}");
    assert!(policy.contains(&format!(" script-src {URL}/account/passkey.js;")), "{policy}");
    let script = browser.get("/account/passkey.js", &[]);
    assert_eq!((script.status, script.header("content-type")), (200, Some("text/javascript; charset=utf-8")));
    assert!(html.contains(&begun.user_code));
    assert_eq!(error_of(&w.poll(&begun)), oauth(400, "authorization_pending"), "looking approves nothing");
    let chosen = browser.get("/device?lang=zh-Hans", &[("accept-language", "en")]).text();
    assert!(chosen.contains("登录网关") && chosen.contains("name=\"user_code\""), "{chosen}");
    let kept = browser.get("/device", &[("accept-language", "en")]).text();
    assert!(kept.contains("登录网关"), "the choice is kept");
    let odd = browser.get("/device?user_code=%3Cscript%3Ealert(1)%3C/script%3E", &[]);
    assert!(odd.status == 403 && !odd.text().contains("<script"), "{}", odd.text());

    let page = browser.get(&format!("{target}&lang=en"), &[]).text();
    let form = hidden(&page, "form");
    let denied = browser.post("/device/deny", &[("user_code", &begun.user_code), ("form", &form)]);
    assert!(denied.status == 200 && denied.text().contains("denied"), "{}", denied.text());
    assert_eq!(error_of(&w.poll(&begun)), oauth(400, "access_denied"));
    let late = approve(&mut browser, &begun.user_code, "ada@example.com", PASSWORD);
    assert!(late.status == 403 && late.text().contains("unknown, used or expired"), "{}", late.text());
}

#[test]
fn forms_from_elsewhere_are_refused() {
    let w = world("sqlite", "", echo(1, 1));
    w.person("ada@example.com");
    let begun = w.begin();
    let mut browser = w.browser();
    let page = browser.get(&format!("/device?user_code={}", begun.user_code), &[]).text();
    let form = hidden(&page, "form");
    let code = begun.user_code.as_str();
    let good = [
        ("user_code", code),
        ("form", form.as_str()),
        ("way", "local"),
        ("email", "ada@example.com"),
        ("password", PASSWORD),
    ];
    let elsewhere: [&[(&str, &str)]; 6] = [
        &[],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")],
        &[("origin", URL), ("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
    ];
    for headers in elsewhere {
        for path in ["/device/continue", "/device/deny"] {
            let reply = browser.post_from(path, &good, headers);
            assert!(reply.status == 403 && reply.text().contains("not sent from this page"), "{headers:?}");
        }
    }
    // The proof of another browser, and a browser without a cookie.
    let mut other = w.browser();
    let theirs = hidden(&other.get(&format!("/device?user_code={code}"), &[]).text(), "form");
    let mut stolen = good;
    stolen[1] = ("form", theirs.as_str());
    assert_eq!(browser.post("/device/continue", &stolen).status, 403);
    assert_eq!(w.browser().post("/device/continue", &good).status, 403);
    let mut twice = good.to_vec();
    twice.push(("way", "local"));
    assert_eq!(browser.post("/device/continue", &twice).status, 403);
    assert_eq!(error_of(&w.poll(&begun)), oauth(400, "authorization_pending"), "nothing was decided");
    assert_eq!(browser.post("/device/continue", &good).status, 200);
}

#[test]
fn codes_and_passwords_cannot_be_guessed_for_long() {
    let w = world("sqlite", "", echo(1, 1));
    w.person("ada@example.com");
    let begun = w.begin();
    let mut browser = w.browser();
    for _ in 0..10 {
        let reply = approve(&mut browser, &begun.user_code, "ada@example.com", "wrong horse battery");
        assert_eq!(reply.status, 403);
    }
    let even_right = approve(&mut browser, &begun.user_code, "ada@example.com", PASSWORD);
    assert_eq!(even_right.status, 429);

    let page = browser.get(&format!("/device?user_code={}", begun.user_code), &[]).text();
    let form = hidden(&page, "form");
    for _ in 0..30 {
        let reply = browser.post("/device/deny", &[("user_code", "BBBB-BBBB"), ("form", &form)]);
        assert_eq!(reply.status, 403);
    }
    let late = browser.post("/device/deny", &[("user_code", &begun.user_code), ("form", &form)]);
    assert_eq!(late.status, 429, "the right code does not help who has guessed");
}
