//! A job of CI exchanges its token and uses what it gets.

use std::process::Command;

use gatehouse_testkit::issuer::FakeIssuer;
use serde_json::json;

use super::{error_of, oauth, text, world};
use crate::world::{ask, echo, stores};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

fn config(issuer: &str) -> String {
    format!(
        "[[identity.ci]]\nname = \"lab\"\nplatform = \"gitlab\"\nissuer = \"{issuer}\"\naudience = \"gatehouse\"\n\
         [[identity.ci.rules]]\nname = \"deploy\"\naccount = \"bot@example.com\"\nteam = \"Core\"\n\
         claims = {{ project_path = \"acme/*\", ref_protected = \"true\" }}\n"
    )
}

#[test]
fn a_job_exchanges_its_token_and_posts_a_message() {
    for store in stores() {
        let issuer = FakeIssuer::start();
        let w = world(&store, &config(&issuer.url), echo(7, 3));
        w.gatehouse.json(&["team", "add", "Core"]);
        w.gatehouse.json(&["user", "add", "bot@example.com"]);
        let job =
            issuer.job_token(&json!({"sub": "job", "project_path": "acme/app", "ref_protected": "true"}));
        let exchange = |token: &str| {
            let fields = [("grant_type", GRANT), ("subject_token", token), ("subject_token_type", JWT)];
            w.post("/oauth/token", &fields)
        };
        let reply = exchange(&job);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let answer = reply.json();
        let access = text(&answer, "access_token");
        assert_eq!(w.gatehouse.post(access, &ask(false)).status, 200);
        let made = w.gatehouse.exchanges().pop().unwrap();
        assert_eq!((text(&made, "user"), text(&made, "team")), ("bot@example.com", "Core"));
        let session = w.gatehouse.json(&["session", "list"])[0].clone();
        assert_eq!((text(&session, "source"), text(&session, "email")), ("ci:lab", "bot@example.com"));

        let stranger = issuer.job_token(&json!({"project_path": "acme-evil/app", "ref_protected": "true"}));
        assert_eq!(error_of(&exchange(&stranger)), oauth(400, "invalid_grant"));
        assert!(w.gatehouse.log().contains("no rule fits"), "the log says why");

        w.gatehouse.json(&["session", "revoke", text(&session, "id")]);
        assert_eq!(w.gatehouse.post(access, &ask(false)).status, 401, "at once");
        let second = exchange(&job).json();
        assert_eq!(w.gatehouse.post(text(&second, "access_token"), &ask(false)).status, 200);
        w.gatehouse.json(&["user", "disable", "bot@example.com"]);
        assert_eq!(w.gatehouse.post(text(&second, "access_token"), &ask(false)).status, 401);
        assert_eq!(error_of(&exchange(&job)), oauth(400, "invalid_grant"));
        assert!(!w.gatehouse.log().contains(&job), "no token in the log");
    }
}

#[test]
fn the_command_line_exchanges_a_token_and_prints_nothing_else() {
    let issuer = FakeIssuer::start();
    let w = world("sqlite", &config(&issuer.url), echo(7, 3));
    w.gatehouse.json(&["team", "add", "Core"]);
    w.gatehouse.json(&["user", "add", "bot@example.com"]);
    let job = issuer.job_token(&json!({"project_path": "acme/app", "ref_protected": "true"}));
    let gateway = format!("http://{}", w.gatehouse.gateway.trim_start_matches("http://"));
    let run = |server: &str, from: &str| {
        // As in a job: no data directory, no administrator's token.
        let output = Command::new(env!("CARGO_BIN_EXE_gatehouse"))
            .args(["client", "token", "--server", server, "--from", from])
            .env_clear()
            .env("ID_TOKEN", &job)
            .env("WRONG", "x.y.z")
            .output()
            .unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(!told.contains(&job), "{told}");
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), told)
    };
    let file = w.gatehouse.dir().join("token");
    std::fs::write(&file, format!("{job}\n")).unwrap();
    for from in ["env:ID_TOKEN", file.to_str().unwrap()] {
        let (code, printed, told) = run(&gateway, from);
        assert_eq!((code, told.as_str()), (Some(0), ""));
        let token = printed.strip_suffix('\n').unwrap();
        assert!(token.starts_with("ghs_") && !token.contains('\n'));
        assert_eq!(w.gatehouse.post(token, &ask(false)).status, 200);
    }
    let piped = w.gatehouse.cli_reading(&["client", "token", "--from", "-"], &job);
    assert!(piped.status.success() && piped.stdout.starts_with(b"ghs_"), "the local gateway is found");
    for (server, from, code, told) in [
        (gateway.as_str(), "env:WRONG", 1, "invalid_grant"),
        (&gateway, "env:MISSING", 2, "`MISSING`"),
        (&gateway, "/no/such/file", 2, "cannot read `/no/such/file`"),
        ("gw.example.com", "env:ID_TOKEN", 2, "http://"),
        ("http://127.0.0.1:9", "env:ID_TOKEN", 3, "cannot reach"),
    ] {
        let (exit, printed, said) = run(server, from);
        assert_eq!((exit, printed.as_str()), (Some(code), ""), "{from}: {said}");
        assert!(said.contains(told), "{from}: {said}");
    }
}

/// The example in the manual of the configuration, with its comment signs taken off and without its certificates.
fn example() -> String {
    let manual = include_str!("../../../../../config.default.toml");
    let lines = manual.lines().skip_while(|line| *line != "# [[identity.ci]]");
    let lines = lines.take_while(|line| !line.is_empty()).map(|line| line.strip_prefix("# ").unwrap_or(line));
    lines.filter(|line| !line.starts_with("ca_file")).collect::<Vec<_>>().join("\n")
}

#[test]
fn rules_that_mean_anybody_are_found_before_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let check = |config: &str| {
        let file = dir.path().join("gatehouse.toml");
        std::fs::write(&file, config).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_gatehouse"))
            .args(["config", "check", "--config"])
            .arg(&file)
            .env_clear()
            .env("HOME", dir.path())
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let listen = "[listen]\npublic_url = \"https://gw.example.com\"\n";
    let example = example();
    assert!(example.contains("repository = "), "{example}");
    let good = format!("{listen}{example}\n");
    let (code, said) = check(&good);
    assert_eq!(code, Some(0), "{said}");
    for (from, to, told) in [
        ("repository = \"acme/app\"", "event_name = \"push\"", "it would fit anybody's jobs"),
        ("acme/app", "acme*", "it would fit anybody's jobs"),
        ("acme/app", "*", "matches everything"),
        ("= \"gatehouse\"", "= \"https://github.com/acme\"", "what jobs get without asking"),
        ("https://token", "http://token", "identity.ci: the rule `github/release`: "),
        (listen, "", "it needs listen.public_url"),
    ] {
        assert!(good.contains(from), "{from}");
        let (code, said) = check(&good.replace(from, to));
        assert!(code == Some(2) && said.contains(told), "{told}: {code:?} {said}");
    }
}
