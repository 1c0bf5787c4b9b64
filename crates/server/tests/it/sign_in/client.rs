//! The helpers that run on developers' machines: `gatehouse client …` against a running server.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use gatehouse_testkit::wait;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::about::publish;
use super::{PASSWORD, World, approve, text, world};
use crate::world::{ask, echo};

const ADA: &str = "ada@example.com";

/// A developer's machine.
pub(super) struct Machine {
    home: TempDir,
    gateway: String,
}

/// How a command ended.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

impl Machine {
    pub(super) fn of(gateway: &str) -> Self {
        Self { home: TempDir::new().unwrap(), gateway: gateway.to_owned() }
    }

    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatehouse"));
        command.arg("client").args(args).env_clear().env("HOME", self.home.path()).stdin(Stdio::null());
        command
    }

    pub(super) fn run(&self, args: &[&str]) -> Run {
        ended(self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Begins a sign-in; gives what it says first, the process, and what it says further.
    pub(super) fn begin(&self, gateway: &str) -> (Value, Child, BufReader<ChildStdout>) {
        let mut command = self.command(&["login", "--json", "--gateway", gateway]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        match serde_json::from_str(&line) {
            Ok(told) => (told, child, lines),
            Err(error) => panic!("no code: {error}: {line}{:?}", ended(child)),
        }
    }

    pub(super) fn sign_in(&self, w: &World, email: &str) {
        let (begun, child, mut lines) = self.begin(&w.gatehouse.gateway);
        let page = approve(&mut w.browser(), text(&begun, "user_code"), email, PASSWORD);
        assert_eq!(page.status, 200, "{}", page.text());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let done = ended(child);
        assert_eq!(done.code, 0, "{done:?}");
        let told: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((text(&told, "gateway"), text(&told, "email")), (w.gatehouse.gateway.as_str(), email));
    }

    pub(super) fn dir(&self) -> PathBuf {
        self.home.path().join(".local/state/gatehouse-client")
    }

    /// What is kept of the only gateway there is.
    fn file(&self, kind: &str) -> PathBuf {
        self.files().into_iter().find(|path| path.extension().is_some_and(|end| end == kind)).unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.dir()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    pub(super) fn has(&self, kind: &str) -> bool {
        self.files().iter().any(|path| path.extension().is_some_and(|end| end == kind))
    }

    /// Changes what is kept, as only who has the key can.
    fn edit(&self, kind: &str, change: impl FnOnce(&mut Value)) {
        let (path, key) = (self.file(kind), std::fs::read(self.dir().join("key")).unwrap());
        let file = std::fs::read(&path).unwrap();
        let head = head_of(&file);
        let (nonce, sealed) = file[head..].split_first_chunk::<24>().unwrap();
        let cipher = XChaCha20Poly1305::new_from_slice(&key).unwrap();
        let aad = &file[..head];
        let opened = cipher.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad }).unwrap();
        let mut value: Value = serde_json::from_slice(&opened).unwrap();
        change(&mut value);
        let content = value.to_string();
        let sealed = cipher.encrypt(&XNonce::from(*nonce), Payload { msg: content.as_bytes(), aad }).unwrap();
        std::fs::write(&path, [aad, nonce, &sealed].concat()).unwrap();
    }

    /// Lets the access token run out, as far as the machine can tell.
    pub(super) fn run_out(&self) {
        self.edit("session", |session| session["expires_at"] = json!(1));
    }

    fn token(&self) -> String {
        let run = self.run(&["token"]);
        assert!(run.code == 0 && run.err.is_empty(), "{run:?}");
        run.out.trim().to_owned()
    }

    fn policy(&self) -> Value {
        let run = self.run(&["policy"]);
        assert!(run.code == 0 && run.err.is_empty(), "{run:?}");
        serde_json::from_str(&run.out).unwrap()
    }
}

/// Where the three lines end.
fn head_of(file: &[u8]) -> usize {
    let ends = file.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    ends.take(3).last().unwrap()
}

pub(super) fn ended(child: Child) -> Run {
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// One sentence that says what to do.
pub(super) fn tells(run: &Run, code: i32, words: &str) {
    assert!(run.code == code && run.err.contains(words), "{run:?}");
    assert!(run.out.is_empty() && run.err.lines().count() == 1, "{run:?}");
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = if at == usize::MAX { bytes.len() - 1 } else { at };
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

fn reviewer(w: &World) -> String {
    let create = ["admin", "token", "create", "--name", "reviewer", "--role", "security_admin"];
    let made = w.gatehouse.json(&[&create[..], &["--service", "reviewer"]].concat());
    text(&made, "token").to_owned()
}

#[test]
fn a_person_signs_in_on_a_machine_works_and_leaves() {
    let w = world("sqlite", "", echo(7, 3));
    w.person(ADA);
    let machine = Machine::of(&w.gatehouse.gateway);
    tells(&machine.run(&["token"]), 1, "client login");
    tells(&machine.run(&["policy", "--gateway", &machine.gateway]), 1, "client login");
    tells(&machine.run(&["logout", "--gateway", &machine.gateway]), 1, "client login");
    assert_eq!(machine.run(&["status"]).code, 1);
    // A gateway that is named wrongly is not taken for the server of this machine.
    let wrong = w.gatehouse.cli(&["client", "login", "--gateway", "ftp://gw"]);
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    machine.sign_in(&w, ADA);

    let token = machine.token();
    assert_eq!(w.gatehouse.post(&token, &ask(false)).status, 200);
    let session = w.gatehouse.json(&["session", "list"])[0].clone();
    assert_eq!((text(&session, "surface"), text(&session, "email")), ("gatehouse_client", ADA));
    let exchange = w.gatehouse.exchanges().pop().unwrap();
    assert_eq!(exchange["session_id"], session["id"]);
    assert_eq!(machine.token(), token, "it is good for a while");

    assert_eq!(mode(&machine.dir()), 0o700);
    for path in machine.files() {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        let bytes = std::fs::read(&path).unwrap();
        for secret in [token.as_bytes(), b"ghr_".as_slice(), ADA.as_bytes()] {
            let found = bytes.windows(secret.len()).any(|part| part == secret);
            assert!(!found, "{} has a secret in the clear", path.display());
        }
    }
    let status: Value = serde_json::from_str(&machine.run(&["status", "--json"]).out).unwrap();
    assert_eq!(
        (text(&status["sessions"][0], "email"), text(&status["sessions"][0], "state")),
        (ADA, "signed_in")
    );

    // Who signs in again has one session, not two.
    machine.sign_in(&w, ADA);
    let listed = w.gatehouse.json(&["session", "list"]);
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    assert_ne!(listed[0]["id"], session["id"]);

    let left = machine.run(&["logout"]);
    assert!(left.code == 0 && left.err.is_empty(), "{left:?}");
    assert_eq!(w.gatehouse.json(&["session", "list"]), json!([]));
    assert!(!machine.has("session") && !machine.has("policy"));
    tells(&machine.run(&["token"]), 1, "client login");
}

#[test]
fn each_gateway_has_a_session_of_its_own() {
    let worlds = [world("sqlite", "", echo(1, 1)), world("sqlite", "", echo(1, 1))];
    let machine = Machine::of("");
    for w in &worlds {
        w.person(ADA);
        machine.sign_in(w, ADA);
    }
    tells(&machine.run(&["token"]), 2, "--gateway");
    for w in &worlds {
        let run = machine.run(&["token", "--gateway", &w.gatehouse.gateway]);
        assert_eq!(w.gatehouse.post(run.out.trim(), &ask(false)).status, 200, "{run:?}");
    }
    // A session does not open in the place of another.
    let files: Vec<PathBuf> =
        machine.files().into_iter().filter(|path| path.extension().is_some_and(|e| e == "session")).collect();
    std::fs::copy(&files[0], &files[1]).unwrap();
    let refused = worlds.iter().map(|w| machine.run(&["token", "--gateway", &w.gatehouse.gateway]));
    let altered: Vec<Run> = refused.filter(|run| run.code != 0).collect();
    assert_eq!(altered.len(), 1, "{altered:?}");
    tells(&altered[0], 1, "altered");
}

#[test]
fn of_many_processes_one_refreshes() {
    let w = world("sqlite", "", echo(1, 1));
    w.person(ADA);
    let machine = Machine::of(&w.gatehouse.gateway);
    machine.sign_in(&w, ADA);
    let mut before = machine.token();
    for _ in 0..3 {
        machine.run_out();
        let start = |_| {
            let mut command = machine.command(&["token"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let all: Vec<Child> = (0..20).map(start).collect();
        let all: Vec<Run> = all.into_iter().map(ended).collect();
        assert!(all.iter().all(|run| run.code == 0 && run.err.is_empty()), "{all:?}");
        // Each refresh gives another token, so that one token is one refresh.
        assert!(all.iter().all(|run| run.out == all[0].out), "{all:?}");
        let token = all[0].out.trim().to_owned();
        assert_ne!(token, before);
        assert_eq!(w.gatehouse.post(&token, &ask(false)).status, 200);
        before = token;
    }
    let sessions = w.gatehouse.json(&["session", "list", "--all"]);
    let ended = |session: &Value| !session["ended_at"].is_null();
    assert_eq!((sessions.as_array().unwrap().len(), ended(&sessions[0])), (1, false), "{sessions}");
}

#[test]
fn of_a_session_that_was_ended_nothing_is_left() {
    let w = world("sqlite", "", echo(1, 1));
    w.person(ADA);
    let end: [&dyn Fn(); 2] = [
        &|| {
            let id = w.gatehouse.json(&["session", "list"])[0]["id"].as_str().unwrap().to_owned();
            w.gatehouse.json(&["session", "revoke", &id]);
        },
        &|| {
            w.gatehouse.json(&["user", "disable", ADA]);
        },
    ];
    for (end, first) in end.into_iter().zip(["token", "policy"]) {
        let machine = Machine::of(&w.gatehouse.gateway);
        machine.sign_in(&w, ADA);
        assert_eq!(machine.policy(), json!({}));
        assert!(machine.has("session") && machine.has("policy"));
        end();
        // The access token has not run out: the gateway's word ends it.
        tells(&machine.run(&[first, "--gateway", &machine.gateway]), 1, "is over");
        assert!(!machine.has("session") && !machine.has("policy"));
        for command in ["token", "policy"] {
            tells(&machine.run(&[command, "--gateway", &machine.gateway]), 1, "client login");
        }
    }
}

#[test]
fn the_policy_is_what_is_published_and_outlives_an_outage() {
    let mut w = world("sqlite", "", echo(1, 1));
    w.person(ADA);
    let second = reviewer(&w);
    let machine = Machine::of(&w.gatehouse.gateway);
    machine.sign_in(&w, ADA);
    assert_eq!(machine.policy(), json!({}), "nothing is published");
    let settings = r#"{"model":"opus","env":{"B":"é","A":"1"},"permissions":{"deny":["Read(./.env)"]}}"#;
    publish(&w, &second, settings);
    let wanted = json!({"managedSettings": serde_json::from_str::<Value>(settings).unwrap()});
    assert_eq!((machine.policy(), machine.policy()), (wanted.clone(), wanted.clone()));
    let confirmed = || w.gatehouse.json(&["settings", "receipts"])[0]["state"] == "confirmed";
    wait::until("the second call to confirm", || confirmed().then_some(()));
    w.gatehouse.json(&["settings", "retire", "base"]);
    assert_eq!(machine.policy(), json!({}), "nothing is published any more");
    publish(&w, &second, settings);
    assert_eq!(machine.policy(), wanted);

    w.gatehouse.kill();
    let away = |args: &[&str]| machine.run(&[&["policy"], args].concat());
    for run_out in [false, true] {
        if run_out {
            machine.run_out();
        }
        let run = away(&[]);
        assert!(
            run.code == 0 && run.err.contains("cannot be reached") && run.err.lines().count() == 1,
            "{run:?}"
        );
        assert_eq!(serde_json::from_str::<Value>(&run.out).unwrap(), wanted);
        tells(&away(&["--max-age", "0s"]), 3, "--max-age");
    }
    tells(&machine.run(&["token"]), 3, "cannot be reached");
    machine.edit("policy", |policy| {
        let week = 7 * 86_400_000;
        policy["confirmed_at"] = json!(policy["confirmed_at"].as_i64().unwrap() - week);
    });
    tells(&away(&[]), 3, "--max-age");
    assert_eq!(away(&["--max-age", "8d"]).code, 0);
    assert_eq!(away(&["--max-age", "soon"]).code, 2);

    // Whoever has the key still cannot make it print what is not of the checksum.
    machine.edit("policy", |policy| policy["settings"]["model"] = json!("haiku"));
    let run = away(&["--max-age", "8d"]);
    assert!(run.code == 3 && run.out.is_empty() && run.err.contains("altered"), "{run:?}");
}

#[test]
fn a_token_goes_on_while_the_gateway_is_away() {
    let mut w = world("sqlite", "", echo(1, 1));
    w.person(ADA);
    let machine = Machine::of(&w.gatehouse.gateway);
    machine.sign_in(&w, ADA);
    let token = machine.token();
    w.gatehouse.kill();
    assert_eq!(machine.token(), token);
    // Little of its life is left, but some.
    let soon = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    machine.edit("session", |session| session["expires_at"] = json!(u64::try_from(soon).unwrap() + 120_000));
    assert_eq!(machine.token(), token);
    let left = machine.run(&["logout"]);
    assert!(left.code == 0 && left.err.contains("could not be told") && !machine.has("session"), "{left:?}");
}

#[test]
fn what_was_tampered_with_is_not_used() {
    let mut w = world("sqlite", "", echo(1, 1));
    w.person(ADA);
    let second = reviewer(&w);
    publish(&w, &second, r#"{"model":"opus"}"#);
    let machine = Machine::of(&w.gatehouse.gateway);
    machine.sign_in(&w, ADA);
    let wanted = machine.policy();
    for at in [0, 30, 100, usize::MAX] {
        flip(&machine.file("policy"), at);
        let run = machine.run(&["policy"]);
        assert!(run.code == 0 && run.err.contains("altered"), "{at}: {run:?}");
        assert_eq!(serde_json::from_str::<Value>(&run.out).unwrap(), wanted);
        assert_eq!(machine.policy(), wanted, "it was replaced");
    }
    std::fs::copy(machine.file("session"), machine.file("policy")).unwrap();
    w.gatehouse.kill();
    let run = machine.run(&["policy"]);
    assert!(run.code == 3 && run.out.is_empty() && run.err.contains("altered"), "{run:?}");
    flip(&machine.file("session"), usize::MAX);
    tells(&machine.run(&["token"]), 1, "altered");
    let run = machine.run(&["policy"]);
    assert!(run.code == 1 && run.out.is_empty() && run.err.contains("session kept for"), "{run:?}");
    std::fs::write(machine.dir().join("key"), b"short").unwrap();
    tells(&machine.run(&["token"]), 2, "damaged");
}

#[test]
fn a_cache_that_is_open_to_others_or_somebody_elses_is_refused() {
    let w = world("sqlite", "", echo(1, 1));
    w.person(ADA);
    let machine = Machine::of(&w.gatehouse.gateway);
    machine.sign_in(&w, ADA);
    let set = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for (path, mode, right) in [
        (machine.dir(), 0o755, 0o700),
        (machine.dir(), 0o770, 0o700),
        (machine.dir().join("key"), 0o640, 0o600),
        (machine.file("session"), 0o604, 0o600),
    ] {
        set(&path, mode);
        for command in ["token", "policy", "status", "logout"] {
            let run = machine.run(&[command, "--gateway", &machine.gateway]);
            assert!(
                run.code == 2 && run.out.is_empty() && run.err.contains("chmod"),
                "{command} {mode:o}: {run:?}"
            );
        }
        set(&path, right);
    }
    machine.token();
    if rustix::process::geteuid().is_root() {
        for path in [machine.file("session"), machine.dir()] {
            std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
            tells(&machine.run(&["token", "--gateway", &machine.gateway]), 2, "another user");
        }
        tells(&machine.run(&["login", "--gateway", &machine.gateway]), 2, "another user");
    }
}

#[test]
fn machines_of_a_person_are_told_apart() {
    let w = world("sqlite", "", echo(1, 1));
    w.person(ADA);
    let second = reviewer(&w);
    publish(&w, &second, r#"{"model":"opus"}"#);
    let (laptop, desktop) = (Machine::of(&w.gatehouse.gateway), Machine::of(&w.gatehouse.gateway));
    for machine in [&laptop, &desktop] {
        machine.sign_in(&w, ADA);
        machine.policy();
    }
    let run = ended(
        laptop
            .command(&["policy"])
            .env("CLAUDE_CODE_VERSION", "2.1.330")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    assert_eq!(run.code, 0, "{run:?}");
    let number = |machine: &Machine| {
        let status: Value = serde_json::from_str(&machine.run(&["status", "--json"]).out).unwrap();
        text(&status, "machine").to_owned()
    };
    let (first, other) = (number(&laptop), number(&desktop));
    let known = wait::until("both machines", || {
        let known = w.gatehouse.json(&["settings", "receipts", "--machines"]);
        (known.as_array().unwrap().iter().filter(|one| one["state"] == "confirmed").count() == 1
            && known.as_array().unwrap().len() == 2)
            .then_some(known)
    });
    for one in known.as_array().unwrap() {
        let confirmed = one["machine"] == first.as_str();
        assert!(confirmed || one["machine"] == other.as_str(), "{known}");
        let (state, client) =
            if confirmed { ("confirmed", json!("2.1.330")) } else { ("offered", Value::Null) };
        assert_eq!(
            (text(one, "state"), &one["client"], text(one, "email")),
            (state, &client, ADA),
            "{known}"
        );
        assert_eq!(text(one, "platform"), std::env::consts::OS);
    }
    assert_eq!(w.gatehouse.json(&["settings", "receipts"])[0]["machines"].as_array().unwrap().len(), 2);
    let table = w.gatehouse.cli(&["settings", "receipts", "--machines", "--state", "confirmed"]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains(&first) && !table.contains(&other), "{table}");
}

#[test]
fn who_is_denied_is_told_so() {
    let w = world("sqlite", "", echo(1, 1));
    let machine = Machine::of(&w.gatehouse.gateway);
    let (begun, child, _lines) = machine.begin(&w.gatehouse.gateway);
    let mut browser = w.browser();
    let code = text(&begun, "user_code");
    let page = browser.get(&format!("/device?user_code={code}"), &[]).text();
    let form = gatehouse_testkit::browser::hidden(&page, "form");
    assert_eq!(browser.post("/device/deny", &[("user_code", code), ("form", &form)]).status, 200);
    let run = ended(child);
    assert!(run.code == 1 && run.err.contains("denied"), "{run:?}");
    assert!(!machine.has("session"));
}

#[test]
fn a_person_asks_for_a_higher_limit_from_their_machine() {
    let w = world("sqlite", "", echo(10, 10));
    w.person(ADA);
    let machine = Machine::of(&w.gatehouse.gateway);
    tells(&machine.run(&["raise", "--gateway", &machine.gateway]), 1, "gatehouse client login");
    machine.sign_in(&w, ADA);
    let refused = machine.run(&["raise", "5", "--reason", "a demo"]);
    tells(&refused, 1, "no budget limits what you may spend");
    w.gatehouse.json(&["budget", "add", "1", "--user", ADA]);
    assert_eq!(machine.run(&["raise", "5"]).code, 2, "a reason is needed");
    let asked = machine.run(&["raise", "5", "--reason", "a demo", "--json"]);
    assert_eq!(asked.code, 0, "{asked:?}");
    let asked: Value = serde_json::from_str(&asked.out).unwrap();
    w.gatehouse.json(&["budget", "approve", text(&asked, "id")]);
    let listed = machine.run(&["raise"]);
    assert!(listed.code == 0 && listed.out.contains("approved"), "{listed:?}");
}
