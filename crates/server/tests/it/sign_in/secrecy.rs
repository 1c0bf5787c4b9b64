//! Secrets of every kind are planted, used rightly and wrongly while everything is logged, and looked for afterwards
//! wherever the product writes or answers (promise P7).
//!
//! Where a secret is meant to be, it is not looked for: `data/admin.token`, which holds the local owner's token and
//! nothing else; the files outside of the data directory that the configuration names; and the one answer that hands a new
//! credential to who asked for it.

use std::path::{Path, PathBuf};
use std::process::Command;

use gatehouse_testkit::authenticator::{Authenticator, base64};
use gatehouse_testkit::browser::hidden;
use gatehouse_testkit::issuer::{CLIENT_SECRET, FakeIssuer};
use gatehouse_testkit::leak::{Planted, search};
use gatehouse_testkit::provider::UPSTREAM_KEY;

use super::directory::{address, server};
use super::factors::step;
use super::provider::through_issuer;
use super::{
    Builder, FakeProvider, Gatehouse, PASSWORD, URL, World, approve, ask, echo, encoded, json, once, stores,
    text,
};

const MASTER: &str = "5f1e2d3c4b5a69788796a5b4c3d2e1f00112233445566778899aabbccddeeff1";
const FILE_KEY: &str = "sk-from-a-file-4f9a8b7c6d";
const EXEC_KEY: &str = "sk-from-a-command-1b2c3d4e5f";
const SEALED_KEY: &str = "sk-sealed-in-the-store-9z8y7x";
const SOURCE_TOKEN: &str = "rt-of-the-issuer-77aa66bb55";
const WRONG_PASSWORD: &str = "incorrect pony capacitor";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

fn private(folder: &Path, name: &str, secret: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, secret).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, mode).unwrap();
    path
}

fn config(keys: &Path, issuer: &FakeIssuer, provider: &str, ldap: Option<&Path>) -> String {
    let file = |name: &str, secret: &str| private(keys, name, secret).display().to_string();
    let (master, bind) = (file("master", MASTER), file("bind", "password-of-reader"));
    let (from_file, from_command) = (file("provider", FILE_KEY), file("command", EXEC_KEY));
    let provider = |name: &str, key: &str| {
        format!(
            "[[provider]]\nname = \"{name}\"\nkind = \"anthropic\"\nbase_url = \"{provider}\"\napi_key = \"{key}\"\n"
        )
    };
    let (servers, ca) = match ldap {
        Some(folder) => (address(folder), format!("ca_file = \"{}\"\n", folder.join("ca.pem").display())),
        None => ("ldap://127.0.0.1:1".to_owned(), String::new()),
    };
    [
        "[log]\nfilter = \"trace\"\n".to_owned(),
        format!("[secrets]\nmaster_key = \"file:{master}\"\n"),
        provider("file", &format!("file:{from_file}")),
        provider("command", &format!("exec:cat {from_command}")),
        provider("sealed", "sealed:sealed"),
        issuer.config("create = true\n"),
        format!(
            "[[identity.ci]]\nname = \"lab\"\nplatform = \"gitlab\"\nissuer = \"{}\"\naudience = \"gatehouse\"\n\
             [[identity.ci.rules]]\nname = \"deploy\"\naccount = \"bot@example.com\"\nclaims = {{ project_path = \"acme/*\" }}\n",
            issuer.url
        ),
        format!(
            "[[directory]]\nname = \"staff\"\nlabel = \"Staff & Co\"\nsign_in = true\nsync_seconds = 0\nservers = [\"{servers}\"]\n{ca}\
             bind_dn = \"cn=reader,dc=example,dc=com\"\nbind_password = \"file:{bind}\"\n\
             people_bases = [\"ou=people,dc=example,dc=com\"]\ngroup_bases = [\"ou=groups,dc=example,dc=com\"]\ncreate = true\n"
        ),
    ]
    .concat()
}

#[test]
fn no_secret_is_found_where_it_must_not_be() {
    let ldap = server();
    for store in stores() {
        let (keys, issuer) = (tempfile::tempdir().unwrap(), FakeIssuer::start());
        let provider = FakeProvider::start(echo(7, 3));
        let gatehouse = Builder::new(env!("CARGO_BIN_EXE_gatehouse"), &provider.url)
            .store(&store)
            .public_url(URL)
            .config(&config(keys.path(), &issuer, &provider.url, ldap.as_deref()))
            .start();
        let mut w = World { provider, gatehouse };
        let mut planted = fixed();
        let issued = used_rightly(&w, &issuer, ldap.is_some(), &mut planted);
        planted.extend(issued.iter().map(|(name, secret)| Planted::new(name, secret)));
        let owner = std::fs::read_to_string(w.gatehouse.dir().join("data/admin.token")).unwrap();
        let owner = owner.trim().to_owned();
        planted.push(Planted::new("the owner's token", &owner));

        let mut found = Vec::new();
        let mut look = |place: &str, bytes: &[u8]| {
            let told = |(name, form)| format!("{name} in {place} ({form})");
            found.extend(search(&planted, bytes).into_iter().map(told));
        };
        used_wrongly(&w, &issued, &mut look);
        answers(&w.gatehouse, &owner, &mut look);
        written(&w.gatehouse, &store, &mut look);
        w.gatehouse.signal("-TERM");
        w.gatehouse.wait();
        w.gatehouse.restart();
        files(w.gatehouse.dir(), &mut look);
        assert!(w.gatehouse.log().contains("TRACE"), "everything is logged");
        assert!(found.is_empty(), "{store}: {found:#?}");
        let known = search(&planted, owner.as_bytes());
        assert_eq!(known, [("the owner's token", "as it is")], "the search finds what is there");
    }
}

/// Those that the test chose itself.
fn fixed() -> Vec<Planted> {
    let master: Vec<u8> =
        (0..32).map(|at| u8::from_str_radix(&MASTER[2 * at..2 * at + 2], 16).unwrap()).collect();
    vec![
        Planted::new("the master key", &master),
        Planted::new("the provider's key from a variable", UPSTREAM_KEY),
        Planted::new("the provider's key from a file", FILE_KEY),
        Planted::new("the provider's key from a command", EXEC_KEY),
        Planted::new("the sealed provider's key", SEALED_KEY),
        Planted::new("the client secret", CLIENT_SECRET),
        Planted::new("the issuer's refresh token", SOURCE_TOKEN),
        Planted::new("the password of the directory's reader", "password-of-reader"),
        Planted::new("a password of the directory", "password-of-ann"),
        Planted::new("a local password", PASSWORD),
        Planted::new("a wrong password", WRONG_PASSWORD),
    ]
}

/// Gets one of each credential and uses it; gives them by name.
fn used_rightly(
    w: &World,
    issuer: &FakeIssuer,
    has_directory: bool,
    planted: &mut Vec<Planted>,
) -> Vec<(String, String)> {
    let node = &w.gatehouse;
    let mut issued = Vec::new();
    let mut keep = |name: &str, secret: &str| issued.push((name.to_owned(), secret.to_owned()));
    let (_, key) = node.key("dev@example.com", &[]);
    assert_eq!(node.post(&key, &ask(false)).status, 200);
    assert_eq!(node.post(&key, &ask(true)).status, 200);
    keep("a virtual key", &key);

    let sealed = node.cli_reading(&["provider", "set-key", "sealed"], SEALED_KEY);
    assert!(sealed.status.success());
    let token = node.json(&["admin", "token", "create", "--name", "second", "--role", "owner"]);
    keep("an administrator's token", text(&token, "token"));
    node.json(&["--token", text(&token, "token"), "user", "list"]);
    let directory = node.json(&["scim", "token", "create", "corp"]);
    keep("a directory's token", text(&directory, "token"));
    let bearer = format!("Bearer {}", text(&directory, "token"));
    let people = once(&node.admin, "GET", "/scim/v2/Users", &[("authorization", &bearer)], b"");
    assert_eq!(people.status, 200);

    w.person("ada@example.com");
    let begun = w.begin();
    keep("a device code", &begun.device_code);
    approve(&mut w.browser(), &begun.user_code, "ada@example.com", WRONG_PASSWORD);
    approve(&mut w.browser(), &begun.user_code, "ada@example.com", PASSWORD);
    let tokens = w.poll(&begun).json();
    keep("an access token", text(&tokens, "access_token"));
    keep("a refresh token", text(&tokens, "refresh_token"));
    assert_eq!(node.post(text(&tokens, "access_token"), &ask(false)).status, 200);
    let next = w.refresh(text(&tokens, "refresh_token")).json();
    keep("a second access token", text(&next, "access_token"));
    keep("a second refresh token", text(&next, "refresh_token"));

    let begun = w.begin();
    let who = json!({"email": "alice@example.com", "name": "Alice"});
    let mut browser = w.browser();
    let (done, _) = through_issuer(issuer, &mut browser, &begun.user_code, &who, Some(SOURCE_TOKEN));
    assert_eq!(done.status, 200, "{}", done.text());
    let tokens = w.poll(&begun).json();
    keep("an access token by the issuer", text(&tokens, "access_token"));

    factors(w, planted, &mut keep);

    node.json(&["user", "add", "bot@example.com"]);
    let job = issuer.job_token(&json!({"sub": "job", "project_path": "acme/app"}));
    let fields = [("grant_type", GRANT), ("subject_token", job.as_str()), ("subject_token_type", JWT)];
    let exchanged = w.post("/oauth/token", &fields);
    assert_eq!(exchanged.status, 200, "{}", exchanged.text());
    keep("the token of a CI job", &job);
    planted.push(Planted::new("the signature of a CI job's token", job.rsplit('.').next().unwrap()));
    keep("an access token of a CI job", text(&exchanged.json(), "access_token"));

    if has_directory {
        let begun = w.begin();
        for password in ["password-of-nobody-else", "password-of-ann"] {
            w.at_directory(&begun.user_code, "ann", password);
        }
        assert_eq!(w.poll(&begun).status, 200);
    }
    for purpose in ["hashes", "access-tokens", "audit"] {
        node.json(&["secrets", "rotate", purpose]);
    }
    issued
}

/// Adds every second factor, and uses it once wrongly and once rightly.
fn factors(w: &World, planted: &mut Vec<Planted>, keep: &mut impl FnMut(&str, &str)) {
    let email = "ada-of-factors@example.com";
    w.person(email);
    let link = w.gatehouse.json(&["user", "factor", "link", email]);
    let link = text(&link, "url").to_owned();
    keep("a link to the account", link.rsplit(['=', '/', '#']).next().unwrap());

    let mut browser = w.browser();
    let page = super::factors::account(&mut browser, email, PASSWORD).text();
    let (page, secret) = super::factors::add_totp(&mut browser, &page);
    let spare = super::factors::codes(&page);
    planted.push(Planted::new("an authenticator's secret, as it is shown", &secret));
    planted.push(Planted::new("an authenticator's secret", base32(&secret)));
    for code in &spare {
        planted.push(Planted::new("a recovery code", code));
        let bare: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
        planted.push(Planted::new("a recovery code, typed together", &bare));
        planted.push(Planted::new("a recovery code in small letters", bare.to_lowercase()));
    }
    keep("a recovery code", &spare[9]);
    let list = step(&mut browser, &page, "back", &[]).text();
    let mut device = Authenticator::new(b"a device of factors", URL, "localhost");
    let added = super::factors::add_passkey(&mut browser, &list, &device);
    assert_eq!(added.status, 200, "{}", added.text());

    // With a recovery code, after a wrong one.
    let begun = w.begin();
    let mut browser = w.browser();
    let page = approve(&mut browser, &begun.user_code, email, PASSWORD).text();
    planted.push(Planted::new("the ticket of a sign-in", hidden(&page, "ticket")));
    let wrong = step(&mut browser, &page, "code", &[("code", "AAAAA-AAAAA-AAAAA-AAAAA")]);
    assert_eq!(wrong.status, 403, "{}", wrong.text());
    let done = step(&mut browser, &wrong.text(), "code", &[("code", &spare[0])]);
    assert!(super::factors::is_approved(&done), "{}", done.text());
    // With a passkey: what it signed is good once, and kept nowhere.
    let begun = w.begin();
    let mut browser = w.browser();
    let page = super::factors::passkey_page(&mut browser, &begun.user_code);
    let signed = device.sign(text(&super::factors::asked(&page), "challenge"));
    planted.push(Planted::new("what a passkey signed", &signed.signature));
    planted.push(Planted::new("what a passkey was asked", &signed.client_data));
    let fields = [&device.id, &signed.client_data, &signed.authenticator_data, &signed.signature];
    let [id, client_data, data, signature] = fields.map(|bytes| base64(bytes));
    let fields = [
        ("credential", id.as_str()),
        ("client_data", &client_data),
        ("authenticator_data", &data),
        ("signature", &signature),
    ];
    let done = step(&mut browser, &page, "passkey", &fields);
    assert!(super::factors::is_approved(&done), "{}", done.text());
}

/// The bytes of an authenticator's secret (RFC 4648 section 6).
fn base32(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => u64::from(c - b'A'),
        _ => u64::from(c - b'2') + 26,
    };
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_alphanumeric).collect();
    let mut out = Vec::new();
    let (mut bits, mut have) = (0_u64, 0);
    for c in digits {
        bits = (bits << 5) | digit(c);
        have += 5;
        if have >= 8 {
            have -= 8;
            out.push(u8::try_from((bits >> have) & 0xFF).unwrap());
        }
    }
    out
}

/// Brings every credential where it does not belong, and looks at the answers.
fn used_wrongly(w: &World, issued: &[(String, String)], look: &mut impl FnMut(&str, &[u8])) {
    let node = &w.gatehouse;
    for (name, secret) in issued {
        let bearer = format!("Bearer {secret}");
        let basic = format!("Basic {secret}");
        let broken = format!("Bearer {}", secret.replacen(|c: char| c.is_ascii_digit(), "z", 1));
        let form = ("content-type", "application/x-www-form-urlencoded");
        let listeners = [
            (&node.gateway, "/v1/messages"),
            (&node.admin, "/api/v1/users"),
            (&node.admin, "/scim/v2/Users"),
        ];
        for (at, path) in listeners {
            for authorization in [&bearer, &basic, &broken] {
                for method in ["GET", "POST"] {
                    let body = if method == "POST" { ask(false) } else { Vec::new() };
                    let headers =
                        [("authorization", authorization.as_str()), ("content-type", "application/json")];
                    let reply = once(at, method, path, &headers, &body);
                    look(&format!("the answer to {name} at {path}"), &reply.body);
                }
            }
        }
        for (at, path) in [
            (&node.gateway, format!("/v1/messages?key={}", encoded(&[("k", secret)]))),
            (&node.gateway, format!("/device?user_code={}", encoded(&[("", secret)]))),
            (&node.gateway, format!("/{}", encoded(&[("", secret)]))),
            (&node.admin, format!("/api/v1/users?{}", encoded(&[("token", secret)]))),
        ] {
            // What somebody writes into an address is theirs to see; that nobody else sees it is looked at in the log.
            once(at, "GET", &path, &[("x-api-key", secret)], b"");
        }
        for fields in [
            [("grant_type", "refresh_token"), ("refresh_token", secret.as_str()), ("x", "")],
            [("grant_type", super::DEVICE), ("device_code", secret), ("x", "")],
            [("grant_type", GRANT), ("subject_token", secret), ("subject_token_type", JWT)],
        ] {
            let reply = once(&node.gateway, "POST", "/oauth/token", &[form], encoded(&fields).as_bytes());
            // A refresh token that was used moments ago is answered with its successor.
            if reply.status != 200 {
                look(&format!("the answer to {name} at the token endpoint"), &reply.body);
            }
        }
    }
}

/// All that the management API answers to who only reads.
fn answers(node: &Gatehouse, owner: &str, look: &mut impl FnMut(&str, &[u8])) {
    let bearer = format!("Bearer {owner}");
    let get = |path: &str| once(&node.admin, "GET", path, &[("authorization", &bearer)], b"");
    let document = get("/api/v1/openapi.json").json();
    let paths = document["paths"].as_object().unwrap();
    let ids = |path: &str, field: &str| -> Vec<String> {
        let items = get(path).json()["items"].as_array().cloned().unwrap_or_default();
        items.iter().filter_map(|item| item[field].as_str().map(str::to_owned)).collect()
    };
    let mut asked = 0;
    for path in paths.iter().filter(|(_, item)| !item["get"].is_null()).map(|(path, _)| path) {
        let whole = match path.as_str() {
            path if !path.contains('{') => vec![path.to_owned()],
            "/api/v1/users/{user}" => {
                ids("/api/v1/users", "id").iter().map(|id| format!("/api/v1/users/{id}")).collect()
            }
            "/api/v1/keys/{key}" => {
                ids("/api/v1/keys", "id").iter().map(|id| format!("/api/v1/keys/{id}")).collect()
            }
            _ => vec![],
        };
        for path in whole {
            let reply = get(&path);
            asked += 1;
            look(&format!("the answer of {path}"), &reply.body);
        }
    }
    assert!(asked > 20, "{asked} answers are not all");
    for path in ["/api/v1/audit?kind=all&limit=1000", "/api/v1/sessions?ended=true", "/metrics", "/readyz"] {
        let reply = get(path);
        assert_eq!(reply.status, 200, "{path}");
        look(&format!("the answer of {path}"), &reply.body);
    }
}

/// All that is written on demand.
fn written(node: &Gatehouse, store: &str, look: &mut impl FnMut(&str, &[u8])) {
    let folder = node.dir().join("written");
    std::fs::create_dir(&folder).unwrap();
    node.json(&["audit", "export", folder.join("audit.jsonl").to_str().unwrap()]);
    node.json(&["export", "--output", folder.join("code").to_str().unwrap()]);
    let shown = node.json(&["config", "show"]);
    look("the configuration shown", shown.to_string().as_bytes());
    if store != "sqlite" {
        let dump = Command::new("pg_dump").arg(store).output().expect("pg_dump runs");
        assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
        look("the dump of the database", &dump.stdout);
    }
}

/// Every file below a folder, the log among them.
fn files(folder: &Path, look: &mut impl FnMut(&str, &[u8])) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, look);
        } else if path.file_name().is_none_or(|name| name != "admin.token") {
            look(&path.display().to_string(), &std::fs::read(&path).unwrap());
        }
    }
}

#[test]
fn the_search_covers_what_it_claims() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("data/journal")).unwrap();
    std::fs::write(folder.path().join("data/journal/1.seg"), format!("\u{0}{SEALED_KEY}\u{1}")).unwrap();
    std::fs::write(folder.path().join("data/admin.token"), SEALED_KEY).unwrap();
    let mut found = Vec::new();
    let planted = fixed();
    files(folder.path(), &mut |place, bytes| {
        found.extend(search(&planted, bytes).into_iter().map(|(name, _)| (place.to_owned(), name)));
    });
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].0.ends_with("data/journal/1.seg") && found[0].1 == "the sealed provider's key");
}
