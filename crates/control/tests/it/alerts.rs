//! Alerts with a clock that the tests command: what is told, to whom, once, whatever happens in between.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gatehouse_control::alert::{Engine, Face, NotTaken};
use gatehouse_domain::alert::{
    Compare, NAME, Notification, Plan, Receiver, Route, Rule, Sample, Severity, Texts,
};
use gatehouse_domain::role::Role;
use serde_json::json;

use crate::house::{Knobs, World, world};

/// What a test says of alerts, and sees of them.
#[derive(Default)]
pub(crate) struct Desk {
    plan: Mutex<Option<Plan>>,
    readings: Mutex<Vec<Sample>>,
    answers: Mutex<VecDeque<NotTaken>>,
    told: Mutex<Vec<(String, Notification)>>,
    shown: Mutex<Vec<Sample>>,
}

/// The desk as the management plane sees it.
pub(crate) fn face(knobs: &Arc<Knobs>) -> Face {
    let [plan, readings, send, show] = std::array::from_fn(|_| Arc::clone(knobs));
    let absent = Face::absent();
    Face {
        plan: Box::new(move || {
            plan.alerts.plan.lock().unwrap().clone().map_or_else(|| (absent.plan)(), Arc::new)
        }),
        readings: Box::new(move || {
            let samples = readings.alerts.readings.lock().unwrap().clone();
            Box::pin(async move { samples })
        }),
        show: Box::new(move |samples| *show.alerts.shown.lock().unwrap() = samples.to_vec()),
        send: Box::new(move |receiver, _, notification| {
            let answer = send.alerts.answers.lock().unwrap().pop_front();
            if answer.is_none() {
                send.alerts.told.lock().unwrap().push((receiver.to_owned(), notification));
            }
            Box::pin(async move { answer.map_or(Ok(()), Err) })
        }),
    }
}

const MINUTE: i64 = 60_000;

fn rule(name: &str, hold_ms: i64) -> Rule {
    Rule {
        name: name.to_owned(),
        signal: "free_disk_bytes".to_owned(),
        compare: Compare::Below,
        threshold: 100.0,
        hold_ms,
        keep_ms: 0,
        severity: Severity::Critical,
        only: Vec::new(),
        summary: Texts::same("{node} has {value} left"),
        action: Texts::same("make room"),
    }
}

fn plan() -> Plan {
    let receiver = |name: &str, per_minute| Receiver {
        name: name.to_owned(),
        kind: "webhook",
        send_resolved: true,
        per_minute,
    };
    Plan {
        enabled: true,
        every_ms: 15_000,
        keep_ms: 90 * 24 * 60 * MINUTE,
        give_up_ms: 60 * MINUTE,
        queue: 3,
        rules: vec![rule("disk", 2 * MINUTE)],
        receivers: vec![receiver("ops", 0)],
        routes: vec![Route {
            name: "all".to_owned(),
            matchers: Vec::new(),
            receivers: vec!["ops".to_owned()],
            group_by: vec![NAME.to_owned()],
            wait_ms: 30_000,
            interval_ms: 5 * MINUTE,
            repeat_ms: 240 * MINUTE,
            goes_on: false,
        }],
        inhibitions: Vec::new(),
    }
}

impl World {
    fn plan(&self, plan: Plan) {
        *self.knobs.alerts.plan.lock().unwrap() = Some(plan);
    }

    fn disk(&self, free: &[(&str, f64)]) {
        let samples =
            free.iter().map(|(node, free)| Sample::new("free_disk_bytes", &[("node", node)], *free));
        *self.knobs.alerts.readings.lock().unwrap() = samples.collect();
    }

    fn told(&self) -> Vec<String> {
        let told = self.knobs.alerts.told.lock().unwrap();
        told.iter().map(|(to, n)| format!("{to}: {}/{}", n.firing.len(), n.resolved.len())).collect()
    }

    /// Lets time pass in turns of 15 s, each evaluated and sent.
    async fn minutes(&self, engine: &mut Engine, minutes: i64) {
        for _ in 0..minutes * 4 {
            engine.turn(&self.app).await.unwrap();
            engine.deliver(&self.app).await.unwrap();
            self.pass(15_000);
        }
    }
}

#[tokio::test]
async fn an_alert_is_told_once_and_when_it_is_over() {
    let world = world().await;
    world.plan(plan());
    let mut engine = Engine::new(&world.app);
    world.disk(&[("a", 500.0)]);
    world.minutes(&mut engine, 5).await;
    world.disk(&[("a", 50.0)]);
    world.minutes(&mut engine, 1).await;
    assert!(world.told().is_empty(), "it has not been bad for long enough");
    let pending = world.get("/api/v1/alerts").await.ok();
    assert_eq!(
        (&pending["items"][0]["state"], &pending["items"][0]["rule"]),
        (&json!("pending"), &json!("disk"))
    );
    world.minutes(&mut engine, 10).await;
    assert_eq!(world.told(), ["ops: 1/0"]);
    let firing = world.get("/api/v1/alerts?lang=en").await.ok();
    assert_eq!(firing["items"][0]["state"], "firing");
    assert_eq!(firing["items"][0]["summary"], "a has 0 MiB left");
    world.disk(&[("a", 500.0)]);
    world.minutes(&mut engine, 6).await;
    assert_eq!(world.told(), ["ops: 1/0", "ops: 0/1"]);
    let history = world.get("/api/v1/alerts/history").await.ok();
    let kinds: Vec<&str> =
        history["items"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["resolved", "fired"]);
    assert_eq!(world.get("/api/v1/alerts/history?rule=other").await.ok()["items"], json!([]));
}

#[tokio::test]
async fn what_flaps_within_its_time_is_never_told() {
    let world = world().await;
    world.plan(plan());
    let mut engine = Engine::new(&world.app);
    for _ in 0..10 {
        world.disk(&[("a", 50.0)]);
        world.minutes(&mut engine, 1).await;
        world.disk(&[("a", 500.0)]);
        world.minutes(&mut engine, 1).await;
    }
    assert!(world.told().is_empty());
    assert_eq!(world.get("/api/v1/alerts/history").await.ok()["items"], json!([]));
}

#[tokio::test]
async fn a_node_that_is_killed_at_any_moment_loses_nothing_and_repeats_nothing() {
    let world = world().await;
    world.plan(plan());
    world.disk(&[("a", 50.0)]);
    // Every turn is another process's: what one decided, the next one sends; leases of the dead run out.
    for step in 0..60 {
        let mut engine = Engine::new(&world.app);
        engine.turn(&world.app).await.unwrap();
        if step % 3 == 0 {
            engine.deliver(&world.app).await.unwrap();
        }
        world.pass(25_000);
    }
    assert_eq!(world.told(), ["ops: 1/0"]);
    world.disk(&[]);
    for _ in 0..30 {
        let mut engine = Engine::new(&world.app);
        engine.turn(&world.app).await.unwrap();
        world.pass(25_000);
        // Decided by one, sent by the next.
        let next = Engine::new(&world.app);
        assert_eq!(next.deliver(&world.app).await.unwrap(), 0, "without the lease nothing is sent");
    }
    let mut engine = Engine::new(&world.app);
    engine.turn(&world.app).await.unwrap();
    engine.deliver(&world.app).await.unwrap();
    assert_eq!(world.told(), ["ops: 1/0", "ops: 0/1"]);
}

#[tokio::test]
async fn of_two_nodes_one_evaluates_and_sends_and_the_other_takes_over() {
    let world = world().await;
    let mut plan = plan();
    plan.rules = vec![rule("disk", 0)];
    world.plan(plan);
    world.disk(&[("a", 50.0)]);
    let (mut one, mut two) = (Engine::new(&world.app), Engine::new(&world.app));
    for _ in 0..8 {
        assert!(one.turn(&world.app).await.unwrap().is_mine);
        assert!(!two.turn(&world.app).await.unwrap().is_mine);
        two.deliver(&world.app).await.unwrap();
        one.deliver(&world.app).await.unwrap();
        world.pass(15_000);
    }
    assert_eq!(world.told(), ["ops: 1/0"]);
    world.pass(30_000);
    assert!(two.turn(&world.app).await.unwrap().is_mine, "the first is gone");
    assert!(!one.turn(&world.app).await.unwrap().is_mine);
    assert_eq!(one.deliver(&world.app).await.unwrap(), 0);
    two.deliver(&world.app).await.unwrap();
    assert_eq!(world.told(), ["ops: 1/0"]);
}

fn not_taken(again: bool, after: Option<u64>) -> NotTaken {
    NotTaken { error: "it answers 503".to_owned(), again, after: after.map(Duration::from_secs) }
}

#[tokio::test]
async fn a_message_that_is_not_taken_is_tried_again_later_and_given_up_in_the_end() {
    let world = world().await;
    let mut plan = plan();
    plan.rules = vec![rule("disk", 0)];
    world.plan(plan.clone());
    world.disk(&[("a", 50.0)]);
    let mut engine = Engine::new(&world.app);
    let answers = [not_taken(true, None), not_taken(true, Some(300)), not_taken(true, None)];
    world.knobs.alerts.answers.lock().unwrap().extend(answers);
    world.minutes(&mut engine, 3).await;
    assert_eq!(world.knobs.alerts.answers.lock().unwrap().len(), 1, "the receiver said when to come again");
    world.minutes(&mut engine, 8).await;
    assert_eq!(world.told(), ["ops: 1/0"]);
    let sent = world.get("/api/v1/alerts/deliveries?state=sent").await.ok();
    assert_eq!((&sent["items"][0]["attempts"], &sent["items"][0]["error"]), (&json!(4), &json!(null)));
    // What cannot be mended is given up at once, and a rule can look at that.
    world.disk(&[]);
    world.knobs.alerts.answers.lock().unwrap().push_back(not_taken(false, None));
    plan.rules.push(Rule {
        signal: "alert_delivery_failures".to_owned(),
        compare: Compare::Above,
        threshold: 0.0,
        ..rule("undelivered", 0)
    });
    world.plan(plan);
    world.minutes(&mut engine, 7).await;
    let failed = world.get("/api/v1/alerts/deliveries?state=failed").await.ok();
    assert_eq!(failed["items"][0]["error"], "it answers 503");
    let alerts = world.get("/api/v1/alerts").await.ok();
    assert_eq!(alerts["items"][0]["rule"], "undelivered");
    assert_eq!(world.knobs.alerts.shown.lock().unwrap().last().unwrap().signal, "alert_delivery_failures");
}

#[tokio::test]
async fn a_receiver_takes_so_many_a_minute_and_so_many_wait() {
    let world = world().await;
    let mut plan = plan();
    plan.rules = vec![rule("disk", 0)];
    plan.routes[0].group_by = vec!["node".to_owned()];
    plan.routes[0].wait_ms = 0;
    plan.receivers[0].per_minute = 2;
    world.plan(plan);
    let names: Vec<String> = (0..8).map(|n| format!("n{n}")).collect();
    world.disk(&names.iter().map(|name| (name.as_str(), 1.0)).collect::<Vec<_>>());
    let mut engine = Engine::new(&world.app);
    engine.turn(&world.app).await.unwrap();
    // Of eight messages three find room; those that came first are dropped.
    let states = |state: &str| format!("/api/v1/alerts/deliveries?state={state}");
    let count = async |state: &str| world.get(&states(state)).await.ok()["items"].as_array().unwrap().len();
    assert_eq!((count("waiting").await, count("dropped").await), (3, 5));
    assert_eq!(engine.deliver(&world.app).await.unwrap(), 2);
    world.pass(15_000);
    engine.turn(&world.app).await.unwrap();
    assert_eq!(engine.deliver(&world.app).await.unwrap(), 0, "the minute is not over");
    world.minutes(&mut engine, 2).await;
    assert_eq!((world.told().len(), count("waiting").await), (3, 0));
}

#[tokio::test]
async fn silences_are_made_by_somebody_for_a_reason_and_a_while() {
    let world = world().await;
    let mut plan = plan();
    plan.rules = vec![rule("disk", 0)];
    world.plan(plan);
    let path = "/api/v1/alerts/silences";
    for (body, field) in [
        (json!({"matchers": [], "reason": "x", "ends": "2h"}), "matchers"),
        (json!({"matchers": ["alertname"], "reason": "x", "ends": "2h"}), "matchers"),
        (json!({"matchers": ["nothing="], "reason": "x", "ends": "2h"}), "matchers"),
        (json!({"matchers": ["a=b"], "reason": " ", "ends": "2h"}), "reason"),
        (json!({"matchers": ["a=b"], "reason": "a\nb", "ends": "2h"}), "reason"),
        (json!({"matchers": ["a=b"], "reason": "x", "ends": "soon"}), "ends"),
        (json!({"matchers": ["a=b"], "reason": "x", "ends": "400d"}), "ends"),
        (json!({"matchers": ["a=b"], "reason": "x", "starts": "3h", "ends": "2h"}), "ends"),
    ] {
        let answer = world.post(path, body).await;
        answer.refused(400, "invalid_field", Some(field));
    }
    let good = json!({"matchers": ["alertname=disk", "node=a*"], "reason": "being replaced", "ends": "2h"});
    let made = world.post(path, good).await.ok();
    world.disk(&[("a1", 1.0)]);
    let mut engine = Engine::new(&world.app);
    world.minutes(&mut engine, 10).await;
    assert!(world.told().is_empty());
    assert_eq!(world.get("/api/v1/alerts").await.ok()["items"][0]["held_back"], "silenced");
    let id = made["id"].as_str().unwrap();
    world.ask(&world.owner, "DELETE", &format!("{path}/{id}"), None).await.ok();
    let again = world.ask(&world.owner, "DELETE", &format!("{path}/{id}"), None).await;
    again.refused(404, "not_found", None);
    world.minutes(&mut engine, 6).await;
    assert_eq!(world.told(), ["ops: 1/0"]);
    assert_eq!(world.get(path).await.ok()["items"], json!([]));
    assert_eq!(world.get(&format!("{path}?ended=true")).await.ok()["items"][0]["reason"], "being replaced");
    let acts = world.audited("?action=alert.").await;
    let actions: Vec<&str> = acts.iter().map(|act| act["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["alert.unsilence", "alert.silence"]);
    assert_eq!(acts[1]["detail"]["reason"], "being replaced");
    let viewer = world.token(Role::Viewer).await;
    let body = json!({"matchers": ["a=b"], "reason": "x", "ends": "2h"});
    world.ask(&viewer, "POST", path, Some(body)).await.refused(403, "forbidden", None);
    world.ask(&viewer, "GET", path, None).await.ok();
}

#[tokio::test]
async fn a_test_is_audited_and_is_what_the_checklist_goes_by() {
    let world = world().await;
    let item = async || {
        let all = world.get("/api/v1/readiness").await.ok();
        let found = all["items"].as_array().unwrap().iter().find(|item| item["item"] == "alerts").cloned();
        let found = found.unwrap();
        (found["state"].as_str().unwrap().to_owned(), found["evidence"].as_str().unwrap().to_owned())
    };
    assert_eq!(item().await.0, "open", "nobody knows");
    world.plan(plan());
    let (state, evidence) = item().await;
    assert!(state == "warn" && evidence.contains("`gatehouse alerts test"), "{state}: {evidence}");
    let path = "/api/v1/alerts/receivers/ops/test";
    world.knobs.alerts.answers.lock().unwrap().push_back(not_taken(false, None));
    assert_eq!(world.post(path, json!({})).await.ok()["taken"], false);
    assert_eq!(item().await.0, "fail");
    world.pass(1000);
    let done = world.post(path, json!({})).await.ok();
    assert_eq!((&done["taken"], &done["error"]), (&json!(true), &json!(null)));
    let (state, evidence) = item().await;
    assert!(state == "pass" && evidence.contains("`ops` took a test"), "{state}: {evidence}");
    let acts = world.audited("?action=alert.test").await;
    assert_eq!((acts.len(), &acts[1]["detail"]["error"]), (2, &json!("it answers 503")));
    let receivers = world.get("/api/v1/alerts/receivers").await.ok();
    assert_eq!(receivers["items"][0]["newest"]["is_test"], true);
    world.post("/api/v1/alerts/receivers/nobody/test", json!({})).await.refused(404, "not_found", None);
    // A test never takes the place of a message that waits.
    assert_eq!(world.get("/api/v1/alerts/deliveries").await.ok()["items"].as_array().unwrap().len(), 2);
    world.pass(181 * 24 * 60 * MINUTE);
    assert_eq!(item().await.0, "warn", "it was too long ago");
}

#[tokio::test]
async fn a_reconciliation_is_looked_at_until_the_next_one() {
    let world = world().await;
    let mut plan = plan();
    plan.rules = vec![Rule {
        signal: "reconciliation_drift_ratio".to_owned(),
        compare: Compare::Above,
        threshold: 0.02,
        ..rule("drift", 0)
    }];
    world.plan(plan);
    let mut engine = Engine::new(&world.app);
    let body = |nanos: i64| {
        let billed = json!([{"day": "2027-01-02", "model": "claude-opus-4", "nanos": nanos}]);
        json!({"month": "2027-01", "billed": billed})
    };
    world.post("/api/v1/reports/reconciliations", body(5_000_000_000)).await.ok();
    engine.turn(&world.app).await.unwrap();
    let alerts = world.get("/api/v1/alerts").await.ok();
    assert_eq!(alerts["items"][0]["labels"]["month"], "2027-01");
    world.post("/api/v1/reports/reconciliations", body(0)).await.ok();
    world.pass(15_000);
    engine.turn(&world.app).await.unwrap();
    assert_eq!(world.get("/api/v1/alerts").await.ok()["items"], json!([]));
    assert_eq!(world.audited("?action=report.reconcile").await.len(), 2);
}
