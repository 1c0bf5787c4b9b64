//! Who may use which model: the models of teams, access policies, and which rule decided.

use gatehouse_testkit::{http, wait};
use serde_json::json;

use crate::world::{MODEL, World, ask, configured, echo, stores};

fn set(w: &World, name: &str, text: &str) {
    let file = w.gatehouse.dir().join(format!("{name}.cedar"));
    std::fs::write(&file, text).unwrap();
    let changed = w.gatehouse.json(&["access", "set", name, file.to_str().unwrap()]);
    assert_eq!(changed["in_force"], true, "{changed}");
}

fn explained(w: &World, more: &[&str]) -> (Option<i32>, String) {
    let words: Vec<&str> = ["explain", "dev@example.com", MODEL].iter().chain(more).copied().collect();
    let output = w.gatehouse.cli(&words);
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_policy_decides_from_the_next_request_on_and_is_named() {
    for store in stores() {
        let w = configured("", &store, echo(1, 1));
        assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200);
        assert_eq!(explained(&w, &[]).0, Some(0));

        set(&w, "not-this", &format!("forbid (principal, action, resource == Model::\"{MODEL}\");"));
        let refused = w.gatehouse.post(&w.key, &ask(false));
        assert_eq!(refused.status, 451);
        assert_eq!(refused.header("x-should-retry"), Some("false"));
        assert!(refused.text().contains("the access policy `not-this`"), "{}", refused.text());
        let (code, said) = explained(&w, &["--key", &w.key_id]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("NO  rules      the access policy `not-this`"), "{said}");
        let models = http::once(&w.gatehouse.gateway, "GET", "/v1/models", &[("x-api-key", &w.key)], b"");
        assert_eq!(models.status, 200);
        assert!(!models.text().contains(MODEL), "a model that may not be used is listed: {}", models.text());
        let e =
            w.gatehouse.exchanges().into_iter().find(|e| e["status"] == 451).expect("the refusal's record");
        assert_eq!((e["ended"].as_str(), e["reason"].as_str()), (Some("refused"), Some("not_permitted")));

        w.gatehouse.json(&["access", "remove", "not-this"]);
        assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200);
        // The address decides: this test comes from 127.0.0.1.
        set(&w, "office", "forbid (principal, action, resource) when { context.network.isLoopback() };");
        assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 451);
        assert_eq!(explained(&w, &["--from", "192.0.2.1"]).0, Some(0));
        assert_eq!(explained(&w, &["--from", "127.0.0.1"]).0, Some(1));
    }
}

#[test]
fn the_models_of_a_team_follow_who_is_in_it() {
    for store in stores() {
        let w = configured("", &store, echo(1, 1));
        w.gatehouse.json(&["team", "add", "Core"]);
        w.gatehouse.json(&["team", "models", "Core", "claude-haiku-*,claude-opus-4-8"]);
        assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200, "not a member");
        w.gatehouse.json(&["user", "teams", "dev@example.com", "Core"]);
        let refused = w.gatehouse.post(&w.key, &ask(false));
        assert_eq!(refused.status, 451);
        assert!(refused.text().contains("the models of the team `Core`"), "{}", refused.text());
        w.gatehouse.json(&["team", "models", "Core"]);
        assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200);
        w.gatehouse.json(&["team", "models", "Core", "claude-haiku-*"]);
        w.gatehouse.json(&["user", "teams", "dev@example.com"]);
        assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200);
    }
}

/// Policies survive a restart, and one that is altered in the database into nonsense lets nothing through.
#[test]
fn rules_hold_after_a_restart_and_fail_closed() {
    let mut w = configured("", "sqlite", echo(1, 1));
    set(&w, "fine", "permit (principal, action, resource);");
    w.gatehouse.signal("-TERM");
    w.gatehouse.wait();
    let db = w.gatehouse.dir().join("data/gatehouse.db");
    let script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); \
                  db.execute(\"UPDATE access_policies SET text = 'permit nonsense'\"); db.commit()";
    let done = std::process::Command::new("python3").args(["-c", script]).arg(&db).status().unwrap();
    assert!(done.success());
    w.gatehouse.restart();
    wait::until("readiness", || {
        (http::once(&w.gatehouse.admin, "GET", "/readyz", &[], b"").status == 200).then_some(())
    });
    let refused = w.gatehouse.post(&w.key, &ask(false));
    assert_eq!(refused.status, 451, "{}", refused.text());
    assert!(w.gatehouse.log().contains("an access policy cannot be read"), "{}", w.gatehouse.log());
    set(&w, "fine", "permit (principal, action, resource);");
    assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200);
}

#[test]
fn a_bad_policy_is_refused_with_its_place_and_changes_nothing() {
    let w = configured("", "sqlite", echo(1, 1));
    let file = w.gatehouse.dir().join("bad.cedar");
    std::fs::write(&file, "permit (principal,\n  nobody, resource);").unwrap();
    for words in [
        ["access", "check", file.to_str().unwrap()].as_slice(),
        &["access", "set", "bad", file.to_str().unwrap()],
    ] {
        let output = w.gatehouse.cli(words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("line 2, column 3"), "{said}");
    }
    let list = w.gatehouse.json(&["access", "list"]);
    let policies =
        list.as_array().cloned().unwrap_or_else(|| list["items"].as_array().cloned().unwrap_or_default());
    assert_eq!(policies.len(), 1, "{list}");
    assert_eq!(policies[0]["built_in"], json!(true));
    let output = w.gatehouse.cli(&["access", "set", "No Such Name", file.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot be the name of an access policy"));
}

/// Asks with a key, and says a data class in these headers.
fn ask_saying(w: &World, key: &str, classes: &[&str]) -> u16 {
    let mut headers = vec![("x-api-key", key), ("content-type", "application/json")];
    headers.extend(classes.iter().map(|class| ("x-data-class", *class)));
    http::once(&w.gatehouse.gateway, "POST", "/v1/messages", &headers, &ask(false)).status
}

const HEADER: &str = "[data_class]\nheader = \"x-data-class\"\n";
/// Confidential data goes nowhere.
const CONFIDENTIAL: &str = "forbid (principal, action, resource) when { context.data_level >= 2 };";

#[test]
fn the_data_class_of_team_and_project_decides_and_a_client_only_raises_it() {
    for store in stores() {
        let w = configured(HEADER, &store, echo(1, 1));
        w.gatehouse.json(&["team", "add", "Core"]);
        w.gatehouse.json(&["project", "add", "Apollo"]);
        let (id, key) = w.gatehouse.key("dev@example.com", &["--project", "Apollo"]);
        let said = |classes: &[&str]| ask_saying(&w, &key, classes);
        assert_eq!(said(&["restricted"]), 200, "nobody asks for it");
        set(&w, "confidential", CONFIDENTIAL);
        assert_eq!(said(&[]), 200);
        let explained = |more: &[&str]| {
            let words = [&["--key", id.as_str()], more].concat();
            explained(&w, &words)
        };
        let (code, told) = explained(&[]);
        assert!(code == Some(0) && told.contains("the data is `public` (level 0)"), "{told}");

        // A client raises the class, and never lowers it.
        assert_eq!(said(&["internal"]), 200);
        for high in [&["confidential"][..], &["restricted"], &["public", "restricted"], &["  confidential "]]
        {
            assert_eq!(said(high), 451, "{high:?}");
        }
        for strange in ["secret", "Confidential", "public,confidential", "", "2", "\u{fc}", "unlisted"] {
            assert_eq!(said(&[strange]), 451, "`{strange}` is no class and counts above all");
        }
        w.gatehouse.json(&["project", "set", "Apollo", "--data-class", "confidential"]);
        for low in [&[][..], &["public"], &["internal"], &["public", "public"]] {
            assert_eq!(said(low), 451, "{low:?}");
        }
        let (code, told) = explained(&[]);
        assert!(
            code == Some(1) && told.contains("`confidential` (level 2), of the project `Apollo`"),
            "{told}"
        );
        w.gatehouse.json(&["project", "set", "Apollo", "--no-data-class"]);
        assert_eq!(said(&[]), 200);
        let (code, told) = explained(&["--data-class", "restricted"]);
        assert!(code == Some(1) && told.contains("`restricted` (level 3), as the client says"), "{told}");

        // Of a team, also when the key charges none.
        w.gatehouse.json(&["team", "set", "Core", "--data-class", "restricted"]);
        assert_eq!(said(&["public"]), 200, "not in the team");
        w.gatehouse.json(&["user", "teams", "dev@example.com", "Core"]);
        assert_eq!(said(&["public"]), 451);
        let teams = w.gatehouse.json(&["team", "list"]);
        assert_eq!(teams[0]["data_class"], "restricted");
        let models = http::once(&w.gatehouse.gateway, "GET", "/v1/models", &[("x-api-key", &key)], b"");
        assert!(models.status == 200 && !models.text().contains(MODEL), "{}", models.text());
        let log = w.gatehouse.json(&["audit", "list", "--action", "team.set_data_class"]).to_string();
        assert!(log.contains("restricted"), "{log}");
    }
}

#[test]
fn data_classes_are_the_configured_ones_and_one_that_is_gone_counts_above_all() {
    let mut w = configured(HEADER, "sqlite", echo(1, 1));
    w.gatehouse.json(&["team", "add", "Core"]);
    w.gatehouse.json(&["user", "teams", "dev@example.com", "Core"]);
    let wrong = w.gatehouse.cli(&["team", "set", "Core", "--data-class", "Public"]);
    let told = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(
        wrong.status.code() == Some(1) && told.contains("public, internal, confidential, restricted"),
        "{told}"
    );
    let viewer = w.gatehouse.json(&["admin", "token", "create", "--name", "v", "--role", "viewer"]);
    let token = viewer["token"].as_str().unwrap();
    for noun in [["team", "set", "Core"], ["project", "set", "Core"]] {
        let words = [&["--token", token][..], &noun, &["--data-class", "public"]].concat();
        assert_eq!(w.gatehouse.cli(&words).status.code(), Some(1), "a viewer sets nothing");
    }
    w.gatehouse.json(&["team", "set", "Core", "--data-class", "internal"]);
    set(&w, "above", "forbid (principal, action, resource) when { context.data_class == \"unlisted\" };");
    assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200);

    // Another order: reloaded without a restart, and good afterwards.
    let config = w.gatehouse.dir().join("gatehouse.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let order = "[data_class]\norder = [\"low\", \"high\"]\n";
    std::fs::write(&config, text.replace("[data_class]\n", order)).unwrap();
    w.gatehouse.json(&["config", "reload"]);
    let refused = w.gatehouse.post(&w.key, &ask(false));
    assert_eq!(refused.status, 451, "{}", refused.text());
    w.gatehouse.signal("-TERM");
    w.gatehouse.wait();
    w.gatehouse.restart();
    wait::until("the same after a restart", || {
        (w.gatehouse.post(&w.key, &ask(false)).status == 451).then_some(())
    });
    let bad = text
        .replace("[data_class]\n", "[data_class]\norder = [\"a\", \"a\"]\n")
        .replace("header = \"x-data-class\"", "header = \"x-api-key\"");
    std::fs::write(&config, bad).unwrap();
    let checked = w.gatehouse.cli(&["config", "check", "--config", config.to_str().unwrap()]);
    let told =
        format!("{}{}", String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
    assert!(told.contains("is there twice") && told.contains("cannot be the header"), "{told}");
}
