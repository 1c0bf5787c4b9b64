//! Settings profiles from the outside: written, reviewed, published, looked at, taken back.

use std::sync::atomic::Ordering;

use gatehouse_control::settings::{Answer, NotServed};
use gatehouse_domain::role::Role;
use gatehouse_domain::settings::{Checksum, Document, Machine};
use serde_json::{Value, json};

use crate::house::{Answer as Told, World, world};

pub(crate) const PROFILES: &str = "/api/v1/settings/profiles";

/// A management plane with an author and two others.
pub(crate) struct Bench {
    pub(crate) world: World,
    pub(crate) author: String,
    pub(crate) second: String,
    third: String,
}

pub(crate) async fn bench() -> Bench {
    let world = world().await;
    let token = async |name: &str| {
        let body = json!({"name": name, "role": "admin", "service": name});
        world.post("/api/v1/admin-tokens", body).await.ok()["token"].as_str().unwrap().to_owned()
    };
    let (author, second, third) = (token("author").await, token("second").await, token("third").await);
    Bench { world, author, second, third }
}

impl Bench {
    pub(crate) async fn make(&self, name: &str, target: Value, settings: Value) -> Value {
        let body = json!({"name": name, "target": target, "settings": settings});
        self.world.ask(&self.author, "POST", PROFILES, Some(body)).await.ok()
    }

    pub(crate) async fn draft(&self, name: &str, settings: Value) -> Value {
        let path = format!("{PROFILES}/{name}/draft");
        self.world.ask(&self.author, "PUT", &path, Some(json!({"settings": settings}))).await.ok()
    }

    pub(crate) async fn step(&self, who: &str, name: &str, number: u32, step: &str, body: Value) -> Told {
        let path = format!("{PROFILES}/{name}/versions/{number}/{step}");
        self.world.ask(who, "POST", &path, Some(body)).await
    }

    pub(crate) async fn publish(&self, name: &str, number: u32) {
        self.step(&self.author, name, number, "submit", json!({})).await.ok();
        self.step(&self.second, name, number, "approve", json!({})).await.ok();
        self.step(&self.author, name, number, "publish", json!({})).await.ok();
    }

    pub(crate) async fn effective(&self, user: &str) -> Value {
        self.world.get(&format!("/api/v1/settings/users/{user}/effective")).await.ok()
    }

    pub(crate) async fn people(&self) {
        self.world.post("/api/v1/teams", json!({"name": "core"})).await.ok();
        self.world.post("/api/v1/users", json!({"email": "ada@b.c", "teams": ["core"]})).await.ok();
        self.world.post("/api/v1/users", json!({"email": "bob@b.c"})).await.ok();
    }
}

fn hook() -> Value {
    json!({"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "/bin/true"}]}]}})
}

#[tokio::test]
async fn from_a_draft_to_the_client_and_back() {
    let b = bench().await;
    b.people().await;
    let made = b.make("base", json!("organization"), json!({"model": "opus", "typo": 1})).await;
    assert_eq!(made["version"]["state"], "draft");
    assert_eq!(made["findings"][0]["code"], "unknown-key");
    assert!(made["findings"][0]["message"]["zh-TW"].as_str().unwrap().contains("typo"));
    assert_eq!(b.effective("ada@b.c").await["settings"], Value::Null, "a draft reaches nobody");

    let before = b.world.knobs.policy_changes.load(Ordering::Relaxed);
    b.publish("base", 1).await;
    assert_eq!(b.world.knobs.policy_changes.load(Ordering::Relaxed), before + 1);
    let effective = b.effective("ada@b.c").await;
    assert_eq!(effective["settings"], json!({"model": "opus", "typo": 1}));
    assert_eq!(effective["layers"], json!([{"rank": "organization", "profile": "base"}]));

    // What the client gets is that, with the checksum that it computes itself.
    let ada = gatehouse_control::user::get(&b.world.app, "ada@b.c").await.unwrap().id;
    let (app, now) = (&b.world.app, b.world.app.now());
    assert_eq!(app.settings.fetch(ada, None, None, now), Err(NotServed::NotRead));
    app.settings.refresh(&app.store, app.org).await.unwrap();
    let Ok(Answer::Settings(served)) = app.settings.fetch(ada, None, None, now) else { panic!("settings") };
    let body: Value = serde_json::from_str(&served.body).unwrap();
    let kept = Document::from_value(body["settings"].clone()).unwrap();
    assert_eq!(body["checksum"], Checksum::of(&kept).to_string());
    assert_eq!(body["checksum"], effective["checksum"]);
    assert_eq!(body["uuid"], effective["uuid"]);

    b.draft("base", json!({"model": "haiku"})).await;
    b.publish("base", 2).await;
    assert_eq!(b.effective("ada@b.c").await["settings"], json!({"model": "haiku"}));
    b.step(&b.second, "base", 1, "rollback", json!({"note": "haiku was too small"})).await.ok();
    assert_eq!(b.effective("ada@b.c").await["checksum"], effective["checksum"]);
    b.step(&b.second, "base", 1, "retire", json!({})).await.ok();
    assert_eq!(b.effective("ada@b.c").await["settings"], Value::Null);

    let acts: Vec<Value> = b.world.audited("?limit=11").await.iter().map(|e| e["action"].clone()).collect();
    let expected = [
        "retire",
        "roll_back",
        "publish",
        "approve",
        "submit",
        "write",
        "publish",
        "approve",
        "submit",
        "create",
    ];
    let named: Vec<Value> = expected.iter().map(|act| json!(format!("settings.{act}"))).collect();
    assert_eq!(acts[..10], named);
    let entry = &b.world.audited("?action=settings.roll_back").await[0];
    assert_eq!(entry["detail"]["note"], "haiku was too small");
    assert_eq!(entry["detail"]["before"], 2);
}

#[tokio::test]
async fn wrong_documents_are_refused_with_their_path() {
    let b = bench().await;
    for (settings, path) in [
        (json!({"model": 7}), "`model`"),
        (json!({"permissions": {"deny": ["Bash("]}}), "`permissions.deny[0]`"),
        (json!({"env": {"A": 1}}), "`env.A`"),
    ] {
        let body = json!({"name": "x", "target": "organization", "settings": settings});
        let answer = b.world.ask(&b.author, "POST", PROFILES, Some(body)).await;
        answer.refused(400, "invalid_field", Some("settings"));
        assert!(answer.text.contains(path), "{}", answer.text);
    }
    for body in [
        json!({"name": "x", "target": "organization"}),
        json!({"name": "x", "target": "nobody", "settings": {}}),
        json!({"name": "x", "target": {"team": "ghosts"}, "settings": {}}),
        json!({"name": "x", "target": "organization", "settings": []}),
        json!({"name": "x", "target": "organization", "settings": {}, "priority": 1}),
        json!({"name": "x", "target": "organization", "settings": {}, "locks": ["a[0]"]}),
        json!({"name": "x", "target": "organization", "settings": {"__proto__": 1}}),
    ] {
        let answer = b.world.ask(&b.author, "POST", PROFILES, Some(body.clone())).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text);
    }
    assert_eq!(b.world.get(PROFILES).await.ok()["items"], json!([]));
}

#[tokio::test]
async fn no_author_approves_and_approvals_are_of_what_was_seen() {
    let b = bench().await;
    let made = b.make("base", json!("organization"), json!({"model": "opus"})).await;
    let old = made["version"]["checksum"].clone();
    b.step(&b.author, "base", 1, "approve", json!({})).await.refused(400, "invalid_field", Some("version"));
    b.draft("base", json!({"model": "haiku"})).await;
    let stale = b.step(&b.second, "base", 1, "submit", json!({"checksum": old})).await;
    stale.refused(400, "invalid_field", Some("checksum"));
    b.step(&b.author, "base", 1, "submit", json!({})).await.ok();
    let own = b.step(&b.author, "base", 1, "approve", json!({})).await;
    own.refused(400, "invalid_field", Some("version"));
    assert!(own.text.contains("written by you"), "{}", own.text);
    b.step(&b.author, "base", 1, "publish", json!({})).await.refused(400, "invalid_field", Some("version"));
    let body = json!({"settings": {}});
    let path = format!("{PROFILES}/base/draft");
    b.world.ask(&b.second, "PUT", &path, Some(body)).await.refused(409, "conflict", None);
    let back = b.step(&b.second, "base", 1, "return", json!({"note": "which haiku?"})).await.ok();
    assert_eq!((&back["state"], &back["steps"][3]["note"]), (&json!("draft"), &json!("which haiku?")));
}

#[tokio::test]
async fn what_runs_programs_is_off_and_needs_two_people_when_it_is_on() {
    let b = bench().await;
    let body = json!({"name": "hooks", "target": "organization", "settings": hook()});
    let refused = b.world.ask(&b.author, "POST", PROFILES, Some(body)).await;
    refused.refused(400, "invalid_field", Some("settings"));
    assert!(refused.text.contains("allow_commands"), "{}", refused.text);

    b.world.knobs.allow_commands.store(true, Ordering::Relaxed);
    b.make("hooks", json!("organization"), hook()).await;
    let submitted = b.step(&b.author, "hooks", 1, "submit", json!({})).await.ok();
    assert_eq!(submitted["approvals_needed"], 2);
    b.step(&b.second, "hooks", 1, "approve", json!({})).await.ok();
    b.step(&b.second, "hooks", 1, "approve", json!({})).await.refused(400, "invalid_field", Some("version"));
    b.step(&b.author, "hooks", 1, "publish", json!({})).await.refused(400, "invalid_field", Some("version"));
    assert_eq!(b.step(&b.third, "hooks", 1, "approve", json!({})).await.ok()["state"], "approved");

    // Turned off again in between: not even what was approved goes out, nor what went out before comes back.
    b.world.knobs.allow_commands.store(false, Ordering::Relaxed);
    b.step(&b.author, "hooks", 1, "publish", json!({})).await.refused(400, "invalid_field", Some("settings"));
    b.world.knobs.allow_commands.store(true, Ordering::Relaxed);
    b.step(&b.author, "hooks", 1, "publish", json!({})).await.ok();
    b.draft("hooks", json!({"model": "opus"})).await;
    let without = b.step(&b.author, "hooks", 2, "submit", json!({})).await.ok();
    assert_eq!(without["approvals_needed"], 2, "taking a hook away is a change of what runs");
    b.step(&b.second, "hooks", 1, "retire", json!({})).await.ok();
    b.world.knobs.allow_commands.store(false, Ordering::Relaxed);
    b.step(&b.second, "hooks", 1, "rollback", json!({})).await.refused(
        400,
        "invalid_field",
        Some("settings"),
    );
}

#[tokio::test]
async fn layers_locks_and_what_they_explain() {
    let b = bench().await;
    b.people().await;
    let base = json!({"model": "opus", "permissions": {"deny": ["WebFetch"]}, "cleanupPeriodDays": 7});
    let body = json!({"name": "base", "target": "organization", "settings": base, "locks": ["model"]});
    b.world.ask(&b.author, "POST", PROFILES, Some(body)).await.ok();
    b.publish("base", 1).await;
    let core = json!({"model": "haiku", "permissions": {"deny": ["Bash"]}, "cleanupPeriodDays": 3});
    b.make("core", json!({"team": "core"}), core).await;

    let diff = b.world.get(&format!("{PROFILES}/core/versions/1/diff")).await.ok();
    assert_eq!((&diff["affected"], &diff["against"]), (&json!(1), &Value::Null));
    assert_eq!(diff["differences"][0], json!({"path": "cleanupPeriodDays", "change": {"added": 3}}));
    let affected = b.world.get(&format!("{PROFILES}/core/versions/1/affected?limit=1")).await.ok();
    assert_eq!((&affected["items"][0]["email"], &affected["next"]), (&json!("ada@b.c"), &Value::Null));
    b.publish("core", 1).await;

    let ada = b.effective("ada@b.c").await;
    assert_eq!(
        ada["settings"],
        json!({"model": "opus", "permissions": {"deny": ["WebFetch", "Bash"]}, "cleanupPeriodDays": 3})
    );
    assert!(ada["findings"].as_array().unwrap().iter().any(|f| f["code"] == "refused-by-lock"), "{ada}");
    assert_eq!(b.effective("bob@b.c").await["settings"], base);

    let explain = async |key: &str| {
        b.world.get(&format!("/api/v1/settings/users/ada@b.c/explain?key={key}")).await.ok()
    };
    let model = explain("model").await;
    assert_eq!((&model["value"], &model["locks"][0]["by"]["profile"]), (&json!("opus"), &json!("base")));
    assert_eq!(model["leaves"][0]["decided_by"][0]["profile"], "base");
    assert_eq!(model["leaves"][0]["events"][1]["act"]["refused"]["value"], "haiku");
    let deny = explain("permissions.deny").await;
    assert_eq!(deny["leaves"][0]["decided_by"].as_array().unwrap().len(), 2);
    assert_eq!(explain("effortLevel").await["present"], false);
    let bad = b.world.get("/api/v1/settings/users/ada@b.c/explain?key=a%5B0%5D").await;
    bad.refused(400, "invalid_field", Some("key"));

    b.draft("base", json!({"model": "opus", "permissions": {"deny": ["WebFetch"]}, "cleanupPeriodDays": 9}))
        .await;
    let diff = b.world.get(&format!("{PROFILES}/base/versions/2/diff")).await.ok();
    assert_eq!(
        (&diff["affected"], &diff["against"]),
        (&json!(1), &json!(1)),
        "the team overrides it for ada"
    );
    let all = b.world.get(&format!("{PROFILES}/base/versions/2/diff?against=nothing")).await.ok();
    assert_eq!(all["affected"], 2);
    let wrong = b.world.get(&format!("{PROFILES}/base/versions/2/diff?against=x")).await;
    wrong.refused(400, "invalid_field", Some("against"));
}

#[tokio::test]
async fn receipts_tell_who_has_what() {
    let b = bench().await;
    b.people().await;
    b.make("base", json!("organization"), json!({"model": "opus"})).await;
    b.publish("base", 1).await;
    let app = &b.world.app;
    app.settings.refresh(&app.store, app.org).await.unwrap();
    let ada = gatehouse_control::user::get(app, "ada@b.c").await.unwrap().id;
    let Ok(Answer::Settings(served)) = app.settings.fetch(ada, None, Some("claude-code/2.1.330"), app.now())
    else {
        panic!("settings")
    };
    let receipts = async |query: &str| b.world.get(&format!("/api/v1/settings/receipts{query}")).await.ok();
    let listed = receipts("").await;
    assert_eq!(listed["items"][0]["state"], "offered");
    assert_eq!(
        (&listed["items"][0]["client"], &listed["items"][1]["state"]),
        (&json!("2.1.330"), &json!("unseen"))
    );
    b.world.pass(60_000);
    app.settings.fetch(ada, Some(&served.etag), None, app.now()).unwrap();
    let confirmed = receipts("?state=confirmed&limit=1").await;
    assert_eq!((&confirmed["items"][0]["email"], &confirmed["next"]), (&json!("ada@b.c"), &Value::Null));
    assert_eq!(confirmed["items"][0]["reported"], served.checksum.to_string());
    let counts = b.world.get("/api/v1/settings/receipts/count").await.ok();
    let of = |state: &str| {
        counts["items"].as_array().unwrap().iter().find(|c| c["state"] == state).unwrap()["users"].clone()
    };
    assert_eq!((of("confirmed"), of("unseen"), of("partial")), (json!(1), json!(1), json!(0)));
    b.world.get("/api/v1/settings/receipts?limit=0").await.refused(400, "invalid_field", Some("limit"));
}

#[tokio::test]
async fn each_machine_of_a_user_has_a_receipt_of_its_own() {
    let b = bench().await;
    b.people().await;
    b.make("base", json!("organization"), json!({"model": "opus"})).await;
    b.publish("base", 1).await;
    let app = &b.world.app;
    app.settings.refresh(&app.store, app.org).await.unwrap();
    let ada = gatehouse_control::user::get(app, "ada@b.c").await.unwrap().id;
    let [laptop, desktop] =
        ["0a", "0b"].map(|n| Machine::parse(&format!("{}; linux", n.repeat(16))).unwrap());
    let fetch = |machine: Machine, has: Option<&str>| {
        let answer = app.settings.fetch(ada, has, Some("claude-code/2.1.330"), app.now()).unwrap();
        app.settings.on_machine(ada, machine, &answer, has, Some("claude-code/2.1.330"), app.now());
        answer
    };
    let Answer::Settings(served) = fetch(laptop, None) else { panic!("settings") };
    fetch(desktop, None);
    b.world.pass(60_000);
    assert_eq!(fetch(laptop, Some(&served.etag)), Answer::Same(served));
    let listed = b.world.get("/api/v1/settings/receipts").await.ok();
    let (ada, other) = (&listed["items"][0], &listed["items"][1]);
    assert_eq!(
        (&ada["email"], &ada["state"], &other["machines"]),
        (&json!("ada@b.c"), &json!("confirmed"), &json!([]))
    );
    let told: Vec<(&str, &str, &str)> = ada["machines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["machine"].as_str().unwrap(),
                one["state"].as_str().unwrap(),
                one["client"].as_str().unwrap(),
            )
        })
        .collect();
    let (first, second) = (laptop.id.to_string(), desktop.id.to_string());
    assert_eq!(told, [(first.as_str(), "confirmed", "2.1.330"), (second.as_str(), "offered", "2.1.330")]);
    // Who is not seen for long is forgotten when there is other news.
    b.world.pass(91 * 86_400_000);
    fetch(desktop, None);
    let listed = b.world.get("/api/v1/settings/receipts?state=confirmed").await.ok();
    let left = listed["items"][0]["machines"].as_array().unwrap();
    assert_eq!((left.len(), &left[0]["machine"]), (1, &json!(second)));
}

#[tokio::test]
async fn every_state_of_a_receipt_is_reached() {
    let b = bench().await;
    let names = ["assigned", "offered", "confirmed", "drifted", "partial", "blocked", "unseen"];
    for name in names {
        b.world.post("/api/v1/users", json!({"email": format!("{name}@b.c")})).await.ok();
    }
    b.make("base", json!("organization"), json!({"model": "opus", "requiredMinimumVersion": "2.1.300"}))
        .await;
    b.publish("base", 1).await;
    let app = &b.world.app;
    app.settings.refresh(&app.store, app.org).await.unwrap();
    let id = async |name: &str| gatehouse_control::user::get(app, &format!("{name}@b.c")).await.unwrap().id;
    let other = Checksum::from_bytes([9; 32]).to_string();
    let new = "claude-code/2.1.330";
    for (name, has, agent) in [
        ("offered", None, new),
        ("confirmed", None, new),
        ("partial", None, new),
        ("drifted", Some(other.as_str()), new),
        ("blocked", None, "claude-code/2.1.299"),
        ("assigned", None, new),
    ] {
        app.settings.fetch(id(name).await, has, Some(agent), app.now()).unwrap();
    }
    let served = app.settings.snapshot().unwrap().served(id("assigned").await, app.now()).unwrap().unwrap();
    b.world.pass(1000);
    let (kept, half) = (served.checksum.to_string(), Checksum::from_bytes([8; 32]).to_string());
    for (name, has) in [("confirmed", &kept), ("partial", &half), ("drifted", &other), ("assigned", &kept)] {
        app.settings.hear(id(name).await, has, Some(new), app.now());
    }
    let is_in = async |name: &str| {
        let listed = b.world.get(&format!("/api/v1/settings/receipts?state={name}")).await.ok();
        let items = listed["items"].as_array().unwrap();
        assert!(items.iter().any(|one| one["email"] == format!("{name}@b.c")), "{name}: {listed}");
    };
    for name in names.iter().filter(|name| **name != "assigned") {
        is_in(name).await;
    }
    // It applied the settings before these and has not asked since.
    b.draft("base", json!({"model": "haiku", "requiredMinimumVersion": "2.1.300"})).await;
    b.publish("base", 2).await;
    is_in("assigned").await;
}

#[tokio::test]
async fn who_may_only_look_changes_nothing() {
    let b = bench().await;
    b.make("base", json!("organization"), json!({"model": "opus"})).await;
    let auditor = b.world.token(Role::Auditor).await;
    assert!(b.world.ask(&auditor, "GET", PROFILES, None).await.status.is_success());
    for step in ["submit", "approve", "publish", "retire", "rollback", "return"] {
        b.step(&auditor, "base", 1, step, json!({})).await.refused(403, "forbidden", None);
    }
    b.world.get(&format!("{PROFILES}/base/versions/9")).await.refused(404, "not_found", None);
    b.world.get(&format!("{PROFILES}/ghost")).await.refused(404, "not_found", None);
}

#[tokio::test]
async fn the_catalogue_and_the_lint_need_no_profile() {
    let world = world().await;
    let keys = world.get("/api/v1/settings/catalogue").await.ok();
    let keys = keys["items"].as_array().unwrap();
    assert!(keys.len() > 200);
    let model = keys.iter().find(|key| key["key"] == "model").unwrap();
    assert!(["en", "zh-CN", "zh-TW"].iter().all(|l| !model["help"][l].as_str().unwrap().is_empty()));
    let body = json!({"settings": {"modle": "opus", "model": 7}});
    let found = world.post("/api/v1/settings/lint", body).await.ok();
    assert_eq!(
        (&found["items"][0]["code"], &found["items"][1]["code"]),
        (&json!("wrong-type"), &json!("unknown-key"))
    );
    assert!(found["items"][1]["message"]["en"].as_str().unwrap().contains("`model`"));
}

/// Whatever the layers, what the server explains is what it serves (through the whole API: written, published, merged).
#[tokio::test]
async fn explanations_agree_with_what_is_served() {
    let b = bench().await;
    b.people().await;
    let values = [
        json!({"model": "opus", "permissions": {"allow": ["Read"], "deny": ["WebFetch"]}, "env": {"A": "1"}}),
        json!({"model": "haiku", "permissions": {"deny": ["Bash", "WebFetch"]}, "env": {"A": "2", "B": "1"}}),
        json!({"availableModels": ["opus"], "permissions": {"allow": ["Edit", "Read"]}, "cleanupPeriodDays": 3}),
        json!({"availableModels": ["haiku", "opus"], "effortLevel": "high", "newThing": {"x": {"y": [1]}}}),
    ];
    let locks = [
        json!([]),
        json!(["model"]),
        json!(["env", "newThing.x"]),
        json!(["permissions.deny", "availableModels"]),
    ];
    let targets =
        [json!("organization"), json!({"team": "core"}), json!("rollout"), json!({"user": "ada@b.c"})];
    let mut seed = 7_u64;
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    for (at, target) in targets.iter().enumerate() {
        b.make(&format!("p{at}"), target.clone(), json!({})).await;
        b.publish(&format!("p{at}"), 1).await;
    }
    let audience = format!("{PROFILES}/p2/audience");
    b.world.ask(&b.second, "PUT", &audience, Some(json!({"percent": 100}))).await.ok();
    for round in 2..8_u32 {
        for at in 0..targets.len() {
            let name = format!("p{at}");
            let body = json!({"settings": values[next(values.len())], "locks": locks[next(locks.len())]});
            b.world.ask(&b.author, "PUT", &format!("{PROFILES}/{name}/draft"), Some(body)).await.ok();
            b.publish(&name, round).await;
        }
        let served = b.effective("ada@b.c").await["settings"].clone();
        for (key, value) in served.as_object().unwrap() {
            let told = b.world.get(&format!("/api/v1/settings/users/ada@b.c/explain?key={key}")).await.ok();
            assert_eq!((&told["value"], &told["present"]), (value, &json!(true)), "{told}");
            let leaves = told["leaves"].as_array().unwrap();
            assert!(leaves.iter().any(|leaf| !leaf["decided_by"].as_array().unwrap().is_empty()), "{told}");
        }
        for key in ["model", "env", "availableModels", "effortLevel", "newThing"] {
            let told = b.world.get(&format!("/api/v1/settings/users/ada@b.c/explain?key={key}")).await.ok();
            assert_eq!(told["present"], json!(served.get(key).is_some()), "{key} {told}");
        }
    }
}

/// Somebody with two tokens approved what they had written themselves.
#[tokio::test]
async fn a_person_with_two_tokens_is_one_person() {
    let b = bench().await;
    b.people().await;
    let token = async |by: &str, body: Value| {
        let made = b.world.ask(by, "POST", "/api/v1/admin-tokens", Some(body)).await.ok();
        made["token"].as_str().unwrap().to_owned()
    };
    let owner = b.world.owner.clone();
    let of_ada = |name: &str| json!({"name": name, "role": "owner", "holder": "ada@b.c"});
    let (first, second) = (token(&owner, of_ada("laptop")).await, token(&owner, of_ada("script")).await);
    // Nobody is named: it is whose the token is that makes it.
    let third = token(&first, json!({"name": "spare", "role": "admin"})).await;
    let settings = json!({"name": "own", "target": "organization", "settings": {"model": "opus"}});
    b.world.ask(&first, "POST", PROFILES, Some(settings)).await.ok();
    b.step(&second, "own", 1, "submit", json!({})).await.ok();
    for token in [&first, &second, &third] {
        let told = b.step(token, "own", 1, "approve", json!({})).await;
        told.refused(400, "invalid_field", Some("version"));
        assert!(told.text.contains("written by you"), "{}", told.text);
    }
    // A service is not its maker; the machine's own tokens are one.
    let service = token(&first, json!({"name": "pipeline", "role": "admin", "service": "Release"})).await;
    let same = token(&owner, json!({"name": "pipeline 2", "role": "admin", "service": "release"})).await;
    b.world.knobs.allow_commands.store(true, Ordering::Relaxed);
    let hooks = json!({"name": "hooks", "target": "organization", "settings": hook()});
    b.world.ask(&first, "POST", PROFILES, Some(hooks)).await.ok();
    b.step(&first, "hooks", 1, "submit", json!({})).await.ok();
    b.step(&service, "hooks", 1, "approve", json!({})).await.ok();
    let twice = b.step(&same, "hooks", 1, "approve", json!({})).await;
    twice.refused(400, "invalid_field", Some("version"));
    assert!(twice.text.contains("your approval already"), "{}", twice.text);
    assert_eq!(b.step(&owner, "own", 1, "approve", json!({})).await.ok()["state"], "approved");

    for (body, field) in [
        (json!({"name": "x", "role": "admin", "holder": "ada@b.c", "service": "y"}), "service"),
        (json!({"name": "x", "role": "developer", "user": "ada@b.c", "service": "y"}), "service"),
        (json!({"name": "x", "role": "admin", "holder": "nobody@b.c"}), "holder"),
    ] {
        let told = b.world.ask(&owner, "POST", "/api/v1/admin-tokens", Some(body)).await;
        told.refused(400, "invalid_field", Some(field));
    }
    // With the person goes what is theirs.
    b.world.post("/api/v1/users/ada@b.c/disable", json!({})).await.ok();
    b.world.ask(&first, "GET", PROFILES, None).await.refused(403, "forbidden", None);
}
