//! Second factors of local accounts: an authenticator app, passkeys, recovery codes.

use std::time::{SystemTime, UNIX_EPOCH};

use gatehouse_testkit::authenticator::{Authenticator, base64, totp};
use gatehouse_testkit::browser::{Browser, hidden};
use gatehouse_testkit::http::Reply;
use serde_json::{Value, json};

use super::{PASSWORD, URL, World, approve, error_of, oauth, text, world};
use crate::world::{echo, stores};

const ADA: &str = "ada@example.com";
const REQUIRED: &str = "[identity]\nlocal_second_factor = \"required\"";

/// The 30-second span of now.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 30
}

/// A form in the middle of a sign-in.
pub(super) fn step(browser: &mut Browser, page: &str, act: &str, more: &[(&str, &str)]) -> Reply {
    let (form, ticket) = (hidden(page, "form"), hidden(page, "ticket"));
    let fields = [&[("form", form.as_str()), ("ticket", &ticket), ("act", act)], more].concat();
    browser.post("/account/step", &fields)
}

/// Signs in to the account's page.
pub(super) fn account(browser: &mut Browser, email: &str, password: &str) -> Reply {
    let form = hidden(&browser.get("/account", &[]).text(), "form");
    let fields = [("form", form.as_str()), ("way", "local"), ("email", email), ("password", password)];
    browser.post("/account/sign-in", &fields)
}

/// The text between two others.
fn between<'a>(page: &'a str, before: &str, after: &str) -> &'a str {
    let at = page.find(before).unwrap_or_else(|| panic!("no `{before}` in {page}")) + before.len();
    page[at..].split(after).next().unwrap()
}

/// The recovery codes of a page.
pub(super) fn codes(page: &str) -> Vec<String> {
    let list = between(page, "<ul class=\"codes\">", "</ul>");
    let codes: Vec<_> = list.split("<li>").skip(1).map(|code| code.replace("</li>", "")).collect();
    assert_eq!(codes.len(), 10, "{page}");
    codes
}

/// The audit log.
fn log(w: &World) -> String {
    let folder = gatehouse_testkit::folder();
    let file = folder.path().join("log");
    assert!(w.gatehouse.cli(&["audit", "export", file.to_str().unwrap()]).status.success());
    std::fs::read_to_string(file).unwrap()
}

/// What a page asks the browser for.
pub(super) fn asked(page: &str) -> Value {
    serde_json::from_str(&between(page, "data-asked=\"", "\"").replace("&quot;", "\"")).unwrap()
}

/// Adds an authenticator app on the account's page; gives the page after it, and the secret.
pub(super) fn add_totp(browser: &mut Browser, page: &str) -> (String, String) {
    let shown = step(browser, page, "totp", &[]).text();
    let secret = between(&shown, "<p class=\"secret\">", "</p>").to_owned();
    assert!(
        shown.contains("<svg class=\"qr\"") && shown.contains("otpauth://totp/Gatehouse%20localhost:ada"),
        "{shown}"
    );
    let wrong = step(browser, &shown, "totp-code", &[("code", "12345")]);
    assert!(wrong.status == 403 && wrong.text().contains("not accepted"), "{}", wrong.text());
    let added = step(browser, &shown, "totp-code", &[("code", &totp(&secret, now()))]);
    assert_eq!(added.status, 200, "{}", added.text());
    (added.text(), secret)
}

/// Adds this device's passkey on a page of the account.
pub(super) fn add_passkey(browser: &mut Browser, page: &str, device: &Authenticator) -> Reply {
    let client_data = device.client_data("webauthn.create", text(&asked(page), "challenge"));
    let (client_data, object) = (base64(&client_data), base64(&device.attestation()));
    step(browser, page, "add-passkey", &[("client_data", &client_data), ("attestation", &object)])
}

/// Answers a page with this device's passkey.
pub(super) fn show_passkey(browser: &mut Browser, page: &str, device: &mut Authenticator) -> Reply {
    let signed = device.sign(text(&asked(page), "challenge"));
    let fields = [&device.id, &signed.client_data, &signed.authenticator_data, &signed.signature];
    let [id, client_data, data, signature] = fields.map(|bytes| base64(bytes));
    let fields = [
        ("credential", id.as_str()),
        ("client_data", &client_data),
        ("authenticator_data", &data),
        ("signature", &signature),
    ];
    step(browser, page, "passkey", &fields)
}

pub(super) fn device() -> Authenticator {
    Authenticator::new(b"ada's device", URL, "localhost")
}

/// The page that asks for a passkey instead of a password, for a code.
pub(super) fn passkey_page(browser: &mut Browser, code: &str) -> String {
    let page = browser.get(&format!("/device?user_code={code}"), &[]).text();
    let form = hidden(&page, "form");
    let page = browser.post("/device/continue", &[("user_code", code), ("form", &form), ("way", "passkey")]);
    assert_eq!(page.status, 200, "{}", page.text());
    page.text()
}

pub(super) fn is_approved(reply: &Reply) -> bool {
    reply.status == 200 && reply.text().contains("You are signed in")
}

fn is_pending(w: &World, begun: &super::Begun) -> bool {
    let told = error_of(&w.poll(begun));
    told == oauth(400, "authorization_pending") || told == oauth(400, "slow_down")
}

#[test]
fn an_authenticator_app_is_added_asked_for_and_reset() {
    for store in stores() {
        let w = world(&store, "", echo(1, 1));
        w.person(ADA);
        let mut browser = w.browser();
        let page = account(&mut browser, ADA, PASSWORD).text();
        let (page, secret) = add_totp(&mut browser, &page);
        let spare = codes(&page);
        assert!(page.contains("data:text/plain") && page.contains(&format!("{}%0A", spare[9])), "{page}");
        let list = step(&mut browser, &page, "back", &[]).text();
        assert!(list.contains("Codes left: 10") && !list.contains(&secret) && !list.contains(&spare[0]));
        assert!(step(&mut browser, &list, "finish", &[]).text().contains("All is saved"));
        let late = step(&mut browser, &list, "back", &[]);
        assert!(late.status == 403 && late.text().contains("has ended"), "a sign-in ends once");
        let has = w.gatehouse.json(&["user", "factor", "list", ADA]);
        assert_eq!((&has["factors"][0]["kind"], &has["recovery_codes"]), (&json!("totp"), &json!(10)));

        let begun = w.begin();
        let mut browser = w.browser();
        let page = approve(&mut browser, &begun.user_code, ADA, PASSWORD);
        assert!(page.status == 200 && page.text().contains("Confirm that it is you"), "{}", page.text());
        assert!(is_pending(&w, &begun), "the password alone approves nothing");
        let wrong = step(&mut browser, &page.text(), "code", &[("code", "abc")]);
        assert_eq!(wrong.status, 403);
        let code = totp(&secret, now() + 1);
        let done = step(&mut browser, &wrong.text(), "code", &[("code", &code)]);
        assert!(is_approved(&done), "{}", done.text());
        assert_eq!(w.poll(&begun).status, 200);

        // The same code, a recovery code, the same recovery code.
        let begun = w.begin();
        let page = approve(&mut browser, &begun.user_code, ADA, PASSWORD).text();
        assert_eq!(step(&mut browser, &page, "code", &[("code", &code)]).status, 403, "replayed");
        let spare_code = spare[3].to_uppercase();
        assert!(is_approved(&step(&mut browser, &page, "code", &[("code", &spare_code)])));
        let again = step(&mut browser, &page, "code", &[("code", &spare[4])]);
        assert!(again.status == 403 && again.text().contains("has ended"), "a ticket leads to one thing");
        let begun = w.begin();
        let page = approve(&mut browser, &begun.user_code, ADA, PASSWORD).text();
        assert_eq!(step(&mut browser, &page, "code", &[("code", &spare_code)]).status, 403, "used");
        assert_eq!(w.gatehouse.json(&["user", "factor", "list", ADA])["recovery_codes"], 9);

        w.gatehouse.json(&["user", "factor", "reset", ADA]);
        let late = step(&mut browser, &page, "code", &[("code", &spare[5])]);
        assert_eq!(late.status, 403, "what was under way is over");
        let ended = w.gatehouse.json(&["session", "list", "--all"]);
        assert_eq!(text(&ended[0], "ended_why"), "factors_reset");
        assert!(is_approved(&approve(&mut browser, &begun.user_code, ADA, PASSWORD)));
        let log = log(&w);
        for action in ["factor.add", "factor.use", "user.reset_factors", "sign_in.fail"] {
            assert!(log.contains(action), "{action} is not in the log: {log}");
        }
        assert!(!log.contains(&secret.replace(' ', "")) && !log.contains(&spare[0]));
    }
}

#[test]
fn a_passkey_signs_in_with_and_without_the_password() {
    let w = world("sqlite", "", echo(1, 1));
    w.person(ADA);
    let mut device = device();
    let mut browser = w.browser();
    let page = account(&mut browser, ADA, PASSWORD).text();
    assert_eq!(text(&asked(&page), "party"), "localhost");
    for odd in [
        Authenticator::new(b"another site's", "https://evil.example", "localhost"),
        Authenticator::new(b"another party's", URL, "example.com"),
    ] {
        let page = account(&mut browser, ADA, PASSWORD).text();
        let told = add_passkey(&mut browser, &page, &odd);
        assert!(told.status == 403 && told.text().contains("It was not added"), "{}", told.text());
    }
    let added = add_passkey(&mut browser, &page, &device);
    let spare = codes(&added.text());
    assert_eq!(add_passkey(&mut browser, &page, &device).status, 403, "a challenge is good once");

    // As the second factor.
    let begun = w.begin();
    let page = approve(&mut browser, &begun.user_code, ADA, PASSWORD).text();
    assert_eq!(asked(&page)["known"], json!([base64(&device.id)]));
    assert!(is_approved(&show_passkey(&mut browser, &page, &mut device)));
    assert_eq!(w.poll(&begun).status, 200);

    // Instead of the password.
    let begun = w.begin();
    let page = passkey_page(&mut browser, &begun.user_code);
    assert_eq!(asked(&page)["known"], json!([]), "it tells nobody's passkeys");
    assert!(is_approved(&show_passkey(&mut browser, &page, &mut device)));
    let tokens = w.poll(&begun).json();
    assert_eq!(text(&tokens, "email"), ADA);

    // A copy that has counted less, an answer given twice, another site, a stranger, nobody in front of it.
    let begun = w.begin();
    let page = passkey_page(&mut browser, &begun.user_code);
    let counted = device.counter;
    device.counter = counted - 2;
    let mut page = show_passkey(&mut browser, &page, &mut device);
    assert_eq!(page.status, 403);
    assert!(log(&w).contains("factor.copied"));
    device.counter = counted;
    device.origin = "https://evil.example".to_owned();
    page = show_passkey(&mut browser, &page.text(), &mut device);
    assert_eq!(page.status, 403);
    device.origin = URL.to_owned();
    device.flags = 1;
    page = show_passkey(&mut browser, &page.text(), &mut device);
    assert_eq!(page.status, 403);
    device.flags = 5;
    let mut stranger = Authenticator::new(&device.id, URL, "localhost");
    stranger.counter = 100;
    page = show_passkey(&mut browser, &page.text(), &mut stranger);
    assert_eq!(page.status, 403);
    assert!(is_pending(&w, &begun));
    let other = step(&mut w.browser(), &page.text(), "passkey", &[]);
    assert_eq!(other.status, 403, "another browser");
    assert!(
        is_approved(&show_passkey(&mut browser, &page.text(), &mut device)),
        "the device itself still works"
    );

    // A disabled person's passkey is worth nothing.
    w.gatehouse.json(&["user", "disable", ADA]);
    let begun = w.begin();
    let page = passkey_page(&mut browser, &begun.user_code);
    assert_eq!(show_passkey(&mut browser, &page, &mut device).status, 403);
    assert!(is_pending(&w, &begun) && spare.len() == 10);
}

#[test]
fn who_must_have_a_factor_adds_one_before_anything_else() {
    for store in stores() {
        let w = world(&store, REQUIRED, echo(1, 1));
        w.person(ADA);
        let begun = w.begin();
        let mut browser = w.browser();
        let page = approve(&mut browser, &begun.user_code, ADA, PASSWORD);
        assert!(page.status == 200 && page.text().contains("Your organization asks for"), "{}", page.text());
        let page = page.text();
        let early = step(&mut browser, &page, "finish", &[]);
        assert!(!is_approved(&early) && is_pending(&w, &begun), "nothing before there is one");
        let (shown, _) = add_totp(&mut browser, &page);
        assert!(is_pending(&w, &begun));
        let done = step(&mut browser, &shown, "finish", &[]);
        assert!(is_approved(&done), "{}", done.text());
        assert_eq!(w.poll(&begun).status, 200);
        // The last one stays.
        let spare = codes(&shown);
        let page = account(&mut browser, ADA, PASSWORD).text();
        let page = step(&mut browser, &page, "code", &[("code", &spare[0])]).text();
        assert!(page.contains("Authenticator app") && !page.contains("remove-totp"), "{page}");
        step(&mut browser, &page, "remove-totp", &[]);
        assert_eq!(w.gatehouse.json(&["user", "factor", "list", ADA])["factors"][0]["kind"], "totp");
    }
}

#[test]
fn an_administrators_link_adds_a_factor_once() {
    let w = world("sqlite", REQUIRED, echo(1, 1));
    w.gatehouse.json(&["user", "add", ADA]);
    let link = || {
        let made = w.gatehouse.json(&["user", "factor", "link", ADA]);
        text(&made, "url").strip_prefix(URL).unwrap().to_owned()
    };
    let (first, second) = (link(), link());
    let open = |browser: &mut Browser, target: &str| {
        let page = browser.get(target, &[]).text();
        let fields = [("form", hidden(&page, "form")), ("link", hidden(&page, "link"))];
        let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
        browser.post("/account/enroll", &fields)
    };
    let mut browser = w.browser();
    assert_eq!(open(&mut browser, &first).status, 403, "replaced by the second");
    browser.get(&second, &[]);
    let page = open(&mut browser, &second);
    assert!(page.status == 200 && page.text().contains(ADA), "{}", page.text());
    let told = open(&mut w.browser(), &second);
    assert!(told.status == 403 && told.text().contains("was used before"), "{}", told.text());
    let mut device = device();
    codes(&add_passkey(&mut browser, &page.text(), &device).text());

    // Without a password, a passkey is all that is needed.
    let begun = w.begin();
    let page = passkey_page(&mut browser, &begun.user_code);
    assert!(is_approved(&show_passkey(&mut browser, &page, &mut device)));
    w.gatehouse.json(&["user", "disable", ADA]);
    assert_eq!(open(&mut w.browser(), &link()).status, 403, "a disabled person");
    assert!(!log(&w).contains(&second["/account/link?link=".len()..]));
}

#[test]
fn codes_cannot_be_guessed_and_tell_nothing_before_the_password() {
    let w = world("sqlite", "", echo(1, 1));
    w.person(ADA);
    w.person("bob@example.com");
    let mut browser = w.browser();
    let page = account(&mut browser, ADA, PASSWORD).text();
    add_totp(&mut browser, &page);
    let told = |browser: &mut Browser, email| {
        let told = account(browser, email, "wrong horse battery");
        (told.status, told.text().replace(email, ""))
    };
    let (with, without) = (told(&mut browser, ADA), told(&mut browser, "bob@example.com"));
    assert_eq!(with.0, 403);
    assert!(with.1.contains("password is wrong"), "{}", with.1);
    let plain = |page: &str| {
        page.split("nonce=\"")
            .map(|part| part.split_once('"').map_or(part, |(_, rest)| rest).to_owned())
            .collect::<String>()
    };
    assert_eq!(plain(&with.1), plain(&without.1), "who has a factor and who has none look the same");

    let page = account(&mut browser, ADA, PASSWORD).text();
    for _ in 0..5 {
        assert!(step(&mut browser, &page, "code", &[("code", "000000")]).text().contains("not accepted"));
    }
    let over = step(&mut browser, &page, "code", &[("code", "000000")]);
    assert!(over.status == 403 && over.text().contains("has ended"), "{}", over.text());
    let page = account(&mut browser, ADA, PASSWORD).text();
    for _ in 0..4 {
        step(&mut browser, &page, "code", &[("code", "000000")]);
    }
    let late = account(&mut browser, ADA, PASSWORD);
    assert_eq!(late.status, 429, "codes count as passwords do: one wrong password, nine wrong codes");
    assert_eq!(account(&mut browser, "bob@example.com", PASSWORD).status, 200);
}

#[test]
fn forms_from_elsewhere_and_strange_tickets_do_nothing() {
    let w = world("sqlite", "", echo(1, 1));
    w.person(ADA);
    let mut browser = w.browser();
    let page = account(&mut browser, ADA, PASSWORD).text();
    let (form, ticket) = (hidden(&page, "form"), hidden(&page, "ticket"));
    let fields = [("form", form.as_str()), ("ticket", &ticket), ("act", "totp")];
    let foreign = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")];
    for path in ["/account/step", "/account/sign-in", "/account/enroll"] {
        assert_eq!(browser.post_from(path, &fields, &foreign).status, 403, "{path}");
    }
    for ticket in ["", "x", &ticket[1..], &format!("{ticket}A"), &"A".repeat(43)] {
        let fields = [("form", form.as_str()), ("ticket", ticket), ("act", "totp")];
        assert_eq!(browser.post("/account/step", &fields).status, 403, "{ticket}");
    }
    let mut other = w.browser();
    let theirs = hidden(&other.get("/account", &[]).text(), "form");
    let fields = [("form", theirs.as_str()), ("ticket", &ticket), ("act", "totp")];
    assert_eq!(other.post("/account/step", &fields).status, 403, "a ticket taken to another browser");
    for odd in ["/account/link?link=%3Cscript%3E", "/account?lang=zh-Hans", "/account/link"] {
        let page = browser.get(odd, &[]);
        assert!(page.status == 200 && !page.text().contains("<script>"), "{odd}");
    }

    let off = world("sqlite", "[identity]\nlocal_accounts = false", echo(1, 1));
    for path in ["/account", "/account/link?link=x", "/account/passkey.js"] {
        assert_eq!(off.browser().get(path, &[]).status, 404, "{path}");
    }
}
