//! Every key of the server is rotated while requests, streams, refreshes and management calls go on.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{
    Act, Builder, Connection, FakeProvider, Gatehouse, MODEL, URL, Value, World, ask, echo, encoded, json,
    once, sse, stores, text, wait,
};

const PURPOSES: [&str; 6] =
    ["hashes", "access-tokens", "refresh-tokens", "sign-in-forms", "audit", "bundles"];
/// A header, passed on to the provider, that asks for a long stream.
const LONG: &str = "x-stainless-long";
/// 64 hexadecimal digits, a master key each.
const ONE: &str = "00112233445566778899aabbccddeeff102132435465768798a9bacbdcedfe0f";
const TWO: &str = "f0e1d2c3b4a5968778695a4b3c2d1e0f0123456789abcdeffedcba9876543210";
const STRANGE: &str = "8f7e6d5c4b3a29181f2e3d4c5b6a798897a6b5c4d3e2f1001122334455667788";

/// What goes on all the time.
#[derive(Default)]
struct Load {
    over: AtomicBool,
    done: [AtomicUsize; 4],
    failed: Mutex<Vec<String>>,
}

impl Load {
    fn note(&self, kind: usize, what: &str, status: u16, told: impl FnOnce() -> String) {
        self.done[kind].fetch_add(1, Ordering::Relaxed);
        if status != 200 {
            self.failed.lock().unwrap().push(format!("{what}: {status} {}", told()));
        }
    }

    fn runs(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }

    /// Waits until each kind of request was made so many times more.
    fn go_on(&self, more: usize) {
        let before = self.counts();
        wait::until("requests of all kinds", || {
            let enough = self.counts().iter().zip(&before).all(|(now, before)| *now >= before + more);
            (enough || !self.failed.lock().unwrap().is_empty()).then_some(())
        });
        assert!(self.failed.lock().unwrap().is_empty(), "{:?}", self.failed.lock().unwrap());
    }

    fn counts(&self) -> Vec<usize> {
        self.done.iter().map(|done| done.load(Ordering::Relaxed)).collect()
    }

    fn messages(&self, nodes: &[&Gatehouse], key: &str) {
        let mut n = 0;
        while self.runs() {
            let reply = nodes[n % nodes.len()].post(key, &ask(false));
            self.note(0, "a message", reply.status, || reply.text());
            n += 1;
        }
    }

    fn streams(&self, nodes: &[&Gatehouse], key: &str) {
        let mut n = 0;
        while self.runs() {
            let reply = nodes[n % nodes.len()].post(key, &ask(true));
            let whole = reply.complete && reply.text().contains("message_stop");
            self.note(1, "a stream", if whole { reply.status } else { 0 }, || reply.text());
            n += 1;
        }
    }

    /// Refreshes a session at one node after the other, and uses what it gets at the next.
    fn refreshes(&self, nodes: &[&Gatehouse], mut refresh: String) {
        let mut n = 0;
        let form = [("content-type", "application/x-www-form-urlencoded")];
        while self.runs() {
            let body = encoded(&[("grant_type", "refresh_token"), ("refresh_token", &refresh)]);
            let at = nodes[n % nodes.len()];
            let reply = once(&at.gateway, "POST", "/oauth/token", &form, body.as_bytes());
            self.note(2, "a refresh", reply.status, || reply.text());
            if reply.status == 200 {
                let tokens = reply.json();
                text(&tokens, "refresh_token").clone_into(&mut refresh);
                let used = nodes[(n + 1) % nodes.len()].post(text(&tokens, "access_token"), &ask(false));
                self.note(2, "a message by access token", used.status, || used.text());
            }
            n += 1;
        }
    }

    fn administers(&self, nodes: &[&Gatehouse], token: &str) {
        let bearer = format!("Bearer {token}");
        let mut n = 0;
        while self.runs() {
            let at = &nodes[n % nodes.len()].admin;
            let reply = once(at, "GET", "/api/v1/users", &[("authorization", &bearer)], b"");
            self.note(3, "a management call", reply.status, || reply.text());
            n += 1;
        }
    }
}

fn secrets(keys: &Path, master: &str, previous: &[&str]) -> String {
    let file = |name: &&str| format!("\"file:{}\"", keys.join(name).display());
    let previous: Vec<String> = previous.iter().map(file).collect();
    format!("[secrets]\nmaster_key = {}\nprevious_master_keys = [{}]\n", file(&master), previous.join(", "))
}

/// Changes what its configuration says of master keys.
fn configure(node: &Gatehouse, secrets: &str) {
    let path = node.dir().join("gatehouse.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let before = text.split("[secrets]").next().unwrap();
    std::fs::write(&path, format!("{before}{secrets}")).unwrap();
}

fn private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path, mode).unwrap();
}

fn said(output: &std::process::Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// One of the listed keys.
fn key_of(node: &Gatehouse, purpose: &str, key: &str) -> Value {
    let all = node.json(&["secrets", "list"]);
    let found = all["items"].as_array().or(all.as_array()).expect("a list").iter();
    found.filter(|k| k["purpose"] == purpose).find(|k| k["key"] == key).cloned().unwrap_or(Value::Null)
}

#[test]
fn every_key_is_rotated_under_load_without_a_failed_request() {
    for store in stores() {
        let keys = tempfile::tempdir().unwrap();
        private(&keys.path().join("one"), ONE);
        private(&keys.path().join("two"), TWO);
        private(&keys.path().join("strange"), STRANGE);
        let provider = FakeProvider::start(|seen| {
            if seen.header(LONG).is_none() {
                return echo(7, 3)(seen);
            }
            let whole = sse::stream(MODEL, "at last", &sse::usage(7, 3));
            let (begin, rest) = whole.split_at(whole.find("event: content_block_start").unwrap());
            vec![sse::stream_head(), sse::chunk(begin), Act::Hold, sse::chunk(rest), sse::last_chunk()]
        });
        let start = || {
            Builder::new(env!("CARGO_BIN_EXE_gatehouse"), &provider.url)
                .store(&store)
                .public_url(URL)
                .config(&secrets(keys.path(), "one", &[]))
                .start()
        };
        // A second node where the database can be shared.
        let second = (store != "sqlite").then(|| {
            // The first one makes the organization.
            let first = start();
            (first, start())
        });
        let (first, second) = match second {
            None => (start(), None),
            Some((first, second)) => (first, Some(second)),
        };
        let w = World { provider, gatehouse: first };
        let nodes: Vec<&Gatehouse> = std::iter::once(&w.gatehouse).chain(second.as_ref()).collect();
        rotate_all(&w, &nodes, keys.path());

        let World { provider: _provider, mut gatehouse } = w;
        drop(second);
        starts_only_with_the_right_key(&mut gatehouse, keys.path());
    }
}

fn rotate_all(w: &World, nodes: &[&Gatehouse], keys: &Path) {
    let node = &w.gatehouse;
    w.person("ada@example.com");
    let tokens = w.sign_in("ada@example.com");
    let (_, key) = node.key("dev@example.com", &[]);
    let (idle_id, idle) = node.key("idle@example.com", &[]);
    let sealed = node.cli_reading(&["provider", "set-key", "spare"], "sk-spare-key");
    assert!(sealed.status.success(), "{}", said(&sealed));
    let made = node.json(&["admin", "token", "create", "--name", "caller", "--role", "viewer"]);
    let directory = node.json(&["scim", "token", "create", "corp"]);
    let old_key = text(&key_of(node, "audit", "1"), "public_key").to_owned();

    for at in nodes {
        wait::until("the new key to be known at every node", || {
            (at.post(&key, &ask(false)).status == 200).then_some(())
        });
    }
    let long = long_streams(nodes, &key, text(&tokens, "access_token"));
    let load = Load::default();
    std::thread::scope(|scope| {
        scope.spawn(|| load.messages(nodes, &key));
        scope.spawn(|| load.streams(nodes, &key));
        scope.spawn(|| load.refreshes(nodes, text(&tokens, "refresh_token").to_owned()));
        scope.spawn(|| load.administers(nodes, text(&made, "token")));
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            load.go_on(3);
            for purpose in PURPOSES {
                let told = node.cli(&["secrets", "rotate", purpose]);
                assert!(told.status.success(), "{purpose}: {}", said(&told));
                load.go_on(2);
            }
            for purpose in PURPOSES {
                wait::until("the new key to be in use", || {
                    (key_of(node, purpose, "2")["state"] == "active").then_some(())
                });
                load.go_on(2);
            }
            rotate_master(nodes, keys, &load);
            retire(node, &directory, &idle, &idle_id, &load);
        }));
        load.over.store(true, Ordering::Relaxed);
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
    });
    assert!(load.failed.lock().unwrap().is_empty(), "{:?}", load.failed.lock().unwrap());

    end_streams(&w.provider, long);
    // The old access token is as good as before.
    assert_eq!(node.post(text(&tokens, "access_token"), &ask(false)).status, 200);
    verify_offline(node, &old_key);
}

/// On every node, by key and by access token, a stream that begins before the first rotation.
fn long_streams(nodes: &[&Gatehouse], key: &str, access: &str) -> Vec<Connection> {
    let bearer = format!("Bearer {access}");
    let mut long = Vec::new();
    for at in nodes {
        for credential in [("x-api-key", key), ("authorization", &bearer)] {
            let mut stream = Connection::open(&at.gateway);
            stream.request("POST", "/v1/messages", &[credential, (LONG, "yes")], &ask(true));
            stream.read_until("message_start");
            long.push(stream);
        }
    }
    long
}

/// Lets them end, after the last rotation.
fn end_streams(provider: &FakeProvider, long: Vec<Connection>) {
    for _ in &long {
        provider.release();
    }
    for mut stream in long {
        let reply = stream.reply();
        assert!(reply.status == 200 && reply.text().contains("at last"), "{}", reply.text());
    }
}

fn rotate_master(nodes: &[&Gatehouse], keys: &Path, load: &Load) {
    let node = nodes[0];
    let too_early = node.cli(&["secrets", "rotate", "master"]);
    assert!(!too_early.status.success() && said(&too_early).contains("already"), "{}", said(&too_early));
    for (n, at) in nodes.iter().enumerate() {
        configure(at, &secrets(keys, "two", &["one"]));
        let reloaded = at.cli(&["config", "reload"]);
        assert!(reloaded.status.success(), "{}", said(&reloaded));
        if n + 1 < nodes.len() {
            let refused = node.cli(&["secrets", "rotate", "master"]);
            assert!(said(&refused).contains("do not know the master key"), "{}", said(&refused));
        }
        load.go_on(2);
    }
    let told = node.cli(&["secrets", "rotate", "master"]);
    assert!(told.status.success(), "{}", said(&told));
    load.go_on(2);
    // The old one cannot go while something is sealed under it; now nothing is.
    for at in nodes {
        configure(at, &secrets(keys, "two", &[]));
        let reloaded = at.cli(&["config", "reload"]);
        assert!(reloaded.status.success(), "{}", said(&reloaded));
        load.go_on(2);
    }
    // The only key that anything is sealed under.
    configure(node, &secrets(keys, "strange", &[]));
    let refused = node.cli(&["config", "reload"]);
    assert!(!refused.status.success() && said(&refused).contains("is still needed"), "{}", said(&refused));
    configure(node, &secrets(keys, "two", &[]));
}

/// An old pepper goes once nothing is hashed with it any more.
fn retire(node: &Gatehouse, directory: &Value, idle: &str, idle_id: &str, load: &Load) {
    let bearer = format!("Bearer {}", text(directory, "token"));
    let scim = once(&node.admin, "GET", "/scim/v2/Users", &[("authorization", &bearer)], b"");
    assert_eq!(scim.status, 200, "{}", scim.text());
    wait::until("what is used to be hashed anew", || {
        let under = key_of(node, "hashes", "1")["under"].as_u64().unwrap();
        // The idle key.
        (under == 1).then_some(())
    });
    let refused = node.cli(&["secrets", "retire", "hashes", "1"]);
    assert!(!refused.status.success() && said(&refused).contains("1 credentials"), "{}", said(&refused));
    assert_eq!(node.post(idle, &ask(false)).status, 200, "an old hash is good");
    node.json(&["key", "revoke", idle_id]);
    let in_use = node.cli(&["secrets", "retire", "hashes", "2"]);
    assert!(said(&in_use).contains("is in use"), "{}", said(&in_use));
    wait::until("nothing to be hashed with the old pepper", || {
        (key_of(node, "hashes", "1")["under"] == 0).then_some(())
    });
    let gone = node.cli(&["secrets", "retire", "hashes", "1"]);
    assert!(gone.status.success(), "{}", said(&gone));
    let gone = node.cli(&["secrets", "retire", "audit", "1"]);
    assert!(gone.status.success(), "{}", said(&gone));
    load.go_on(3);
    let sessions = node.cli(&["secrets", "retire", "refresh-tokens", "1"]);
    assert!(sessions.status.success() || said(&sessions).contains("open sessions"), "{}", said(&sessions));
}

/// The log is good by the old key, by the new one, and by none but those.
fn verify_offline(node: &Gatehouse, old: &str) {
    let new = text(&key_of(node, "audit", "2"), "public_key").to_owned();
    let file = node.dir().join("audit.jsonl");
    let file = file.to_str().unwrap();
    node.json(&["audit", "export", file]);
    for key in [old, &new] {
        let checked = node.cli(&["audit", "verify", file, "--key", key]);
        assert!(checked.status.success(), "{key}: {}", said(&checked));
    }
    let other = "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29";
    let checked = node.cli(&["audit", "verify", file, "--key", other]);
    assert_eq!(checked.status.code(), Some(1), "{}", said(&checked));
    let entries = node.json(&["audit", "list", "--action", "secret.rotate"]);
    let entries = entries["items"].as_array().or(entries.as_array()).unwrap().clone();
    let audit = entries.iter().find(|e| e["object"]["id"] == "audit").expect("it is in the log");
    assert_eq!((&audit["detail"]["before"], &audit["detail"]["public_key"]), (&json!(old), &json!(new)));
    assert_eq!(entries.len(), PURPOSES.len() + 1);
}

fn starts_only_with_the_right_key(gatehouse: &mut Gatehouse, keys: &Path) {
    let (_, key) = gatehouse.key("later@example.com", &[]);
    gatehouse.signal("-TERM");
    gatehouse.wait();
    let config = gatehouse.dir().join("gatehouse.toml");
    for (master, previous) in [("one", vec![]), ("strange", vec![]), ("strange", vec!["one"])] {
        configure(gatehouse, &secrets(keys, master, &previous));
        let told = gatehouse.cli(&["serve", "--config", config.to_str().unwrap()]);
        let told = (told.status.success(), said(&told));
        assert!(!told.0 && told.1.contains("the master key does not fit this database"), "{}", told.1);
    }
    configure(gatehouse, &secrets(keys, "two", &[]));
    gatehouse.restart();
    assert_eq!(gatehouse.post(&key, &ask(false)).status, 200);
    assert_eq!(key_of(gatehouse, "hashes", "2")["state"], "active");
}
