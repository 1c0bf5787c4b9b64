//! Directories that are read by LDAP: what a listing does to accounts, groups and teams. The protocol is tested against
//! real servers elsewhere.

use std::sync::Arc;
use std::time::Duration;

use gatehouse_control::act::{ActError, Caller};
use gatehouse_control::directory::{Configured, Mode, Tally, apply};
use gatehouse_domain::source::Source;
use gatehouse_identity::ldap::{DisableLimit, DisabledBy, Group, Listing, Person, Standing};
use gatehouse_store::Page;
use serde_json::{Value, json};

use crate::house::{World, world};

fn source() -> Source {
    "ldap:hq".parse().unwrap()
}

/// What the test house has configured.
pub(crate) fn configured() -> Vec<Configured> {
    vec![Configured { source: source(), interval: Duration::from_mins(15), limit: DisableLimit::default() }]
}

fn person(name: &str, groups: &[&str]) -> Person {
    let group = |name: &&str| Group {
        dn: Arc::from(format!("cn={name},ou=groups,dc=example,dc=com")),
        name: Arc::from(*name),
    };
    Person {
        stable_id: format!("id-{name}").parse().unwrap(),
        dn: format!("uid={name},ou=people,dc=example,dc=com"),
        email: Some(format!("{name}@example.com")),
        name: Some(format!("{name} Example")),
        groups: groups.iter().map(group).collect(),
        standing: Standing::Active,
    }
}

fn everyone(groups: &[&str]) -> Vec<Person> {
    (0..20).map(|n| person(&format!("p{n:02}"), if n < 3 { groups } else { &[] })).collect()
}

async fn read(w: &World, people: Vec<Person>, mode: Mode) -> Result<Tally, ActError> {
    let listing = Listing::of(people).unwrap();
    let caller = Caller::system("directory");
    apply(&w.app, &caller, &source(), &listing, DisableLimit::default(), mode).await
}

async fn user(w: &World, name: &str) -> Value {
    w.get(&format!("/api/v1/users/{name}@example.com")).await.ok()
}

#[tokio::test]
async fn people_come_in_change_and_leave() {
    let w = world().await;
    let all = everyone(&["crew"]);
    let dry = read(&w, all.clone(), Mode::DryRun).await.unwrap();
    assert_eq!(dry, Tally { added: 20, ..Tally::default() });
    assert_eq!(w.get("/api/v1/users").await.ok()["items"], json!([]), "a dry run does nothing");
    assert_eq!(read(&w, all.clone(), Mode::Guarded).await.unwrap(), dry);
    assert_eq!(read(&w, all.clone(), Mode::Guarded).await.unwrap(), Tally::default());
    assert_eq!(
        (&user(&w, "p00").await["name"], &user(&w, "p00").await["state"]),
        (&json!("p00 Example"), &json!("active"))
    );

    let groups = w.get("/api/v1/groups").await.ok();
    let group = &groups["items"][0];
    assert_eq!(
        (&group["name"], &group["members"], &group["source"]),
        (&json!("crew"), &json!(3), &json!("ldap:hq"))
    );
    w.post("/api/v1/teams", json!({"name": "core"})).await.ok();
    w.put(&format!("/api/v1/groups/{}/team", group["id"].as_str().unwrap()), json!({"team": "core"}))
        .await
        .ok();
    assert_eq!(user(&w, "p02").await["teams"], json!(["core"]));

    // One is renamed and leaves the group, one is disabled, one is gone.
    let mut now = all.clone();
    now[2] = Person { name: Some("New Name".into()), groups: vec![], ..now[2].clone() };
    now[5].standing = Standing::Disabled(DisabledBy::AccountControl);
    now.remove(6);
    let tally = read(&w, now.clone(), Mode::Guarded).await.unwrap();
    assert_eq!(tally, Tally { updated: 1, disabled: 2, ..Tally::default() });
    assert_eq!(
        (&user(&w, "p02").await["teams"], &user(&w, "p02").await["name"]),
        (&json!([]), &json!("New Name"))
    );
    for leaver in ["p05", "p06"] {
        assert_eq!(user(&w, leaver).await["state"], "disabled");
    }
    let enable = w.post("/api/v1/users/p05@example.com/enable", json!({})).await;
    assert_eq!(enable.status.as_u16(), 409, "{}", enable.text);
    let entries = w.audited("?action=user.disable").await;
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0]["detail"]["source"], "ldap:hq");

    // Both come back.
    assert_eq!(read(&w, all, Mode::Guarded).await.unwrap(), Tally { updated: 3, ..Tally::default() });
    assert_eq!(user(&w, "p06").await["state"], "active");
    assert_eq!(user(&w, "p02").await["teams"], json!(["core"]));
}

#[tokio::test]
async fn too_many_leavers_stop_the_run_until_a_person_has_looked() {
    let w = world().await;
    read(&w, everyone(&[]), Mode::Guarded).await.unwrap();
    let few = everyone(&[])[..5].to_vec();
    let stopped = read(&w, few.clone(), Mode::Guarded).await;
    assert!(matches!(stopped, Err(ActError::Stopped(_))), "{stopped:?}");
    assert_eq!(user(&w, "p19").await["state"], "active");
    assert!(w.audited("?action=user.disable").await.is_empty());
    assert_eq!(read(&w, few, Mode::Confirmed).await.unwrap().disabled, 15);
    assert_eq!(user(&w, "p19").await["state"], "disabled");
}

#[tokio::test]
async fn who_cannot_be_taken_is_left_out_and_keeps_nobody_away() {
    let w = world().await;
    for address in ["p00@example.com", "p01@example.com"] {
        w.post("/api/v1/users", json!({"email": address})).await.ok();
    }
    w.post("/api/v1/users/p01@example.com/disable", json!({})).await.ok();
    let mut all = everyone(&[]);
    all[3].email = Some("p02@example.com".into());
    all[4].email = None;
    let tally = read(&w, all, Mode::Guarded).await.unwrap();
    assert_eq!(tally, Tally { added: 18, skipped: 2, ..Tally::default() });
    assert_eq!(user(&w, "p01").await["state"], "disabled", "an administrator has the last word");
    assert_eq!(w.audited("?action=user.adopt").await.len(), 1);
}

#[tokio::test]
async fn a_directory_that_is_away_is_noted_and_disables_nobody() {
    let w = world().await;
    read(&w, everyone(&[]), Mode::Guarded).await.unwrap();
    let run = w.post("/api/v1/directories/hq/sync", json!({})).await.ok();
    assert_eq!((&run["outcome"], &run["reason"]), (&json!("failed"), &json!("the directory is away")));
    assert_eq!(user(&w, "p00").await["state"], "active");
    let entry = &w.audited("?action=directory.sync").await[0];
    assert_eq!((&entry["outcome"], &entry["reason"]), (&json!("failed"), &json!("the directory is away")));
    let listed = w.get("/api/v1/directories").await.ok();
    assert_eq!(listed["items"][0]["last_run"], run);
    assert_eq!(w.get("/api/v1/directories/hq/runs").await.ok()["items"], json!([run]));
    w.post("/api/v1/directories/hq/check", json!({})).await.refused(502, "directory_unavailable", None);
    w.post("/api/v1/directories/other/sync", json!({})).await.refused(404, "not_found", None);
    w.post("/api/v1/directories/hq/sync", json!({"dry_run": true, "confirm_disable": true})).await.refused(
        400,
        "invalid_field",
        Some("confirm_disable"),
    );
    let dry = w.post("/api/v1/directories/hq/sync", json!({"dry_run": true})).await.ok();
    assert_eq!(dry["outcome"], "failed");
    let runs = w.app.store.sync_runs(w.app.org, &source(), &Page::first(9)).await.unwrap();
    assert_eq!(runs.items.len(), 1, "a dry run leaves no trace");
}

#[tokio::test]
async fn one_node_at_a_time_reads_a_directory() {
    let w = world().await;
    let (now, until) = (w.app.now(), w.app.now().plus_millis(60_000));
    assert!(w.app.store.take_lease(w.app.org, "directory:hq", "another node", now, until).await.unwrap());
    w.post("/api/v1/directories/hq/sync", json!({})).await.refused(409, "conflict", None);
    w.pass(60_000);
    w.post("/api/v1/directories/hq/sync", json!({})).await.ok();
    w.post("/api/v1/directories/hq/sync", json!({})).await.ok();
}
