//! A server that is killed at every step of a rollout, forward and back, and still ends right.

use std::collections::BTreeSet;

use gatehouse_testkit::wait;
use serde_json::{Value, json};

use crate::world::{World, configured, echo, stores};

const PEOPLE: usize = 40;

fn events(w: &World, name: &str) -> Vec<Value> {
    let all = w.api("GET", &format!("/api/v1/rollouts/{name}/events?limit=1000"), &Value::Null).json();
    all["items"].as_array().unwrap().clone()
}

/// Kills the server as soon as a step was done, and starts it again, until the rollout is in this state. Gives how often.
fn kill_at_every_step(w: &mut World, name: &str, state: &str) -> usize {
    let (mut known, mut kills) = (events(w, name).len(), 0);
    loop {
        let (over, seen) = wait::until("a step or the end", || {
            let (over, seen) = (w.status(name)["state"] == state, events(w, name).len());
            (over || seen > known).then_some((over, seen))
        });
        if over {
            return kills;
        }
        w.gatehouse.kill();
        w.gatehouse.restart();
        (kills, known) = (kills + 1, seen);
        assert!(kills < 100, "{:#}", w.status(name));
    }
}

fn assert_told_once(w: &World, name: &str) {
    let steps: Vec<u64> = events(w, name).iter().map(|event| event["step"].as_u64().unwrap()).collect();
    assert!(steps.is_sorted_by(|one, next| one < next), "{steps:?}");
    let all = w.assignments(name);
    let who: BTreeSet<&str> = all.iter().map(|one| one["email"].as_str().unwrap()).collect();
    assert_eq!((all.len(), who.len()), (PEOPLE + 2, PEOPLE + 2), "everybody once");
}

#[test]
fn a_rollout_survives_a_kill_at_every_step() {
    for store in stores() {
        let mut w = configured("", &store, echo(1, 1));
        let reviewer = w.second("reviewer");
        w.people(PEOPLE);
        w.overlay("haiku", &json!({"model": "haiku"}), &reviewer);
        let phase = |id: &str, cohort: Value| json!({"id": id, "cohort": cohort, "soak": "0s", "check": []});
        w.rollout(&json!({
            "name": "stubborn", "settings": [{"profile": "haiku", "version": 1}], "interval": "1s", "batch": 8,
            "phase": [
                phase("pilot", json!({"users": ["p1@example.com"]})), phase("limited_rollout", json!({"percent": 40})),
                phase("full_rollout", json!({"everyone": true})),
            ],
        }));
        let kills = kill_at_every_step(&mut w, "stubborn", "succeeded");
        assert!(kills >= 3, "{kills} kills hit nothing");
        assert_told_once(&w, "stubborn");
        assert!(w.assignments("stubborn").iter().all(|one| one["state"] == "assigned"));
        assert_eq!(w.effective_of("p30@example.com")["settings"]["model"], "haiku");

        let (code, told) = w.run(&["rollout", "rollback", "stubborn", "--reason", "enough"]);
        assert_eq!(code, 0, "{told}");
        kill_at_every_step(&mut w, "stubborn", "rolled_back");
        assert_told_once(&w, "stubborn");
        assert!(w.assignments("stubborn").iter().all(|one| one["undone_at"].is_string()));
        for n in 0..PEOPLE {
            assert_eq!(w.effective_of(&format!("p{n}@example.com"))["settings"], Value::Null);
        }
        let undone: Vec<String> = events(&w, "stubborn")
            .iter()
            .filter(|event| event["kind"] == "undone")
            .map(|event| event["text"].as_str().unwrap().to_owned())
            .collect();
        assert!(undone[0].contains("8 people, 34 left"), "{undone:?}");
        let export = w.gatehouse.dir().join("audit.jsonl");
        let export = export.to_str().unwrap();
        assert!(w.gatehouse.cli(&["audit", "export", export]).status.success());
        assert_eq!(w.gatehouse.cli(&["audit", "verify", export]).status.code(), Some(0));
    }
}

#[test]
fn somebody_stops_it_takes_it_from_a_team_and_writes_nonsense() {
    let w = configured("", "sqlite", echo(1, 1));
    let reviewer = w.second("reviewer");
    w.people(PEOPLE);
    w.overlay("haiku", &json!({"model": "haiku"}), &reviewer);
    let toml = w.gatehouse.dir().join("rollout.toml");
    let path = toml.to_str().unwrap().to_owned();
    let text = "name = \"x\"\ninterval = \"1s\"\n[[settings]]\nprofile = \"haiku\"\nversion = 1\n[[phase]]\nid = \"pilot\"\nsoak = \"1d\"\n[phase.cohort]\neveryone = true\n";
    std::fs::write(&toml, text.replace("everyone", "everyoneX")).unwrap();
    let (code, told) = w.run(&["rollout", "apply", "-f", &path]);
    assert!(
        code == 1 && told.contains("`phase[0].cohort.everyoneX`") && told.contains("`everyone`"),
        "{told}"
    );
    std::fs::write(&toml, text.replace("version = 1", "version = 2")).unwrap();
    let (code, told) = w.run(&["rollout", "apply", "-f", &path]);
    assert!(code == 1 && told.contains("publish that first"), "{told}");
    std::fs::write(&toml, text).unwrap();
    let (code, told) = w.run(&["rollout", "apply", "-f", &path]);
    assert!(code == 0 && told.contains("Made."), "{told}");
    w.wait_for("x", "soaking", "pilot");
    std::fs::write(&toml, text.replace("name = \"x\"", "name = \"y\"")).unwrap();
    let (code, told) = w.run(&["rollout", "apply", "-f", &path]);
    assert!(code == 1 && told.contains("is with people already"), "{told}");
    let (code, told) = w.run(&["rollout", "pause", "x", "--reason", "lunch"]);
    assert!(code == 0 && told.contains("paused in pilot: lunch"), "{told}");
    let (code, told) = w.run(&["rollout", "pause", "x"]);
    assert!(code == 1 && told.contains("paused already"), "{told}");
    let (code, told) = w.run(&["rollout", "resume", "x"]);
    assert!(code == 0 && told.contains("soaking"), "{told}");
    w.gatehouse.json(&["rollout", "rollback", "x", "--team", "t3"]);
    assert_eq!(w.effective_of("p3@example.com")["settings"], Value::Null);
    assert_eq!(w.effective_of("p4@example.com")["settings"]["model"], "haiku");
    let all = w.gatehouse.json(&["rollout", "status", "x", "--people", "--state", "undone"]);
    assert_eq!(all.as_array().unwrap().len(), 2);
    w.api("POST", "/api/v1/users/p4@example.com/disable", &json!({}));
    wait::until("the leaver to be noted", || {
        let left = w.gatehouse.json(&["rollout", "status", "x", "--people", "--state", "left"]);
        (left.as_array().unwrap().len() == 1).then_some(())
    });
    w.gatehouse.json(&["rollout", "abort", "x", "--reason", "done with it"]);
    assert_eq!(w.effective_of("p5@example.com")["settings"]["model"], "haiku", "who has it keeps it");
    let (code, told) = w.run(&["rollout", "history", "x"]);
    assert!(code == 0 && told.contains("team_rolled_back") && told.contains("aborted"), "{told}");
    w.gatehouse.json(&["rollout", "rollback", "x"]);
    w.wait_for("x", "rolled_back", "pilot");
    assert_eq!(w.effective_of("p5@example.com")["settings"], Value::Null);
}
