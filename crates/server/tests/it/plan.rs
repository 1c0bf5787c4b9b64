//! An assessment becomes a plan whose tasks close by evidence, and whose configuration the program accepts.

use gatehouse_testkit::pdf;
use serde_json::{Value, json};

use crate::world::{World, configured, echo, stores};

const ANSWERS: &str = r#"{"team_size": 200, "security_level": "high", "compliance_requirements": ["SOC2", "PCI", "HIPAA"],
    "cost_control": "high", "network_restrictions": true, "existing_infrastructure": ["Splunk", "Okta <b>"]}"#;

fn created(w: &World, answers: &str, more: &[&str]) -> Value {
    let file = w.gatehouse.dir().join("answers.json");
    std::fs::write(&file, answers).unwrap();
    w.gatehouse.json(&[&["plan", "create", "--answers", file.to_str().unwrap()], more].concat())
}

fn task<'a>(plan: &'a Value, name: &str) -> &'a Value {
    let tasks = plan["tasks"].as_array().unwrap();
    tasks.iter().find(|task| task["task"] == name).unwrap_or_else(|| panic!("no {name} in {plan:#}"))
}

#[test]
fn tasks_are_tracked_and_close_by_their_evidence() {
    for store in stores() {
        let w = configured("", &store, echo(1, 1));
        let plan = created(&w, ANSWERS, &[]);
        assert_eq!((&plan["mode"], &plan["because"]), (&json!("gateway"), &Value::Null));
        assert_eq!(plan["assessment"]["complexity_score"], 14);
        assert_eq!(task(&plan, "forward_logs")["because"], "Splunk");
        assert_eq!(task(&plan, "connect_directory")["checks"][0]["item"], "directory");

        let set = |more: &[&str]| w.gatehouse.json(&[&["plan", "task"], more].concat());
        let noted = set(&["compare_gateways", "--owner", "ada", "--due", "14d", "--state", "underway"]);
        assert_eq!(
            (&noted["state"], &noted["owner"], &noted["overdue"]),
            (&json!("underway"), &json!("ada"), &json!(false))
        );
        let noted =
            set(&["compare_gateways", "--state", "done", "--note", "decided on 4 March, see the minutes"]);
        assert_eq!((&noted["state"], &noted["owner"]), (&json!("done"), &json!("ada")));
        // A task with a check is not done because somebody says so, but because it is.
        let refused = w.gatehouse.cli(&["plan", "task", "monitoring", "--state", "done", "--note", "it is"]);
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && told.contains("monitoring, log-aggregation, alerts"), "{told}");
        let refused = w.gatehouse.cli(&["plan", "task", "monitoring", "--state", "dropped"]);
        assert!(!refused.status.success(), "without a reason");

        w.gatehouse.json(&["readiness", "set", "alerts", "--done", "rules are in place"]);
        w.gatehouse.json(&["readiness", "set", "log-aggregation", "--done", "a collector reads the journal"]);
        assert_eq!(task(&w.gatehouse.json(&["plan", "show"]), "monitoring")["state"], "open");
        gatehouse_testkit::http::once(&w.gatehouse.admin, "GET", "/metrics", &[], b"");
        let plan = w.gatehouse.json(&["plan", "show"]);
        assert_eq!(task(&plan, "monitoring")["state"], "done", "{plan:#}");
        assert_eq!(task(&plan, "forward_logs")["state"], "done");

        let acts = w.gatehouse.json(&["audit", "list", "--action", "plan.task"]);
        assert_eq!(acts.as_array().map(Vec::len), Some(2));
        assert_eq!(w.gatehouse.json(&["plan", "list"])[0]["id"], plan["id"]);
    }
}

#[test]
fn where_the_rules_disagree_somebody_decides_and_says_why() {
    let w = configured("", "sqlite", echo(1, 1));
    let file = w.gatehouse.dir().join("answers.json");
    std::fs::write(&file, r#"{"team_size": 500, "security_level": "critical", "cost_control": "high"}"#)
        .unwrap();
    let file = file.to_str().unwrap();
    let refused = w.gatehouse.cli(&["plan", "create", "--answers", file]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("`proxy`") && told.contains("`hybrid`"), "{told}");
    let because = "the regulator asks for it";
    let plan =
        w.gatehouse.json(&["plan", "create", "--answers", file, "--choose", "hybrid", "--because", because]);
    assert_eq!((&plan["mode"], &plan["because"]), (&json!("hybrid"), &json!(because)));
    // The score stays what it is.
    assert_eq!(
        (&plan["assessment"]["mode"], &plan["assessment"]["complexity_score"]),
        (&json!("proxy"), &json!(10))
    );
    assert_eq!(plan["assessment"]["analysis"]["choice"]["reason"], because);
    let act = &w.gatehouse.json(&["audit", "list", "--action", "plan.create"])[0];
    assert_eq!(act["detail"]["because"], because);
    assert!(!w.gatehouse.cli(&["plan", "show", "pln_00000000000000000000000000"]).status.success());
}

#[test]
fn every_mode_has_a_configuration_that_is_accepted_and_documents_in_three_languages() {
    let w = configured("", "sqlite", echo(1, 1));
    for mode in ["direct", "proxy", "gateway", "hybrid"] {
        created(&w, ANSWERS, &["--choose", mode, "--because", "to see <script> of it"]);
        for (lang, word) in [("en", "Firewall"), ("zh-CN", "防火墙"), ("zh-TW", "防火牆")] {
            let folder = w.gatehouse.dir().join(format!("{mode}-{lang}"));
            w.gatehouse.json(&["plan", "export", folder.to_str().unwrap(), "--lang", lang]);
            let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
            assert!(read("architecture.svg").contains(word));
            let page = read("deployment.html");
            assert!(page.contains("<svg") && page.contains(word) && !page.contains("<script"), "{page}");
            let printed = std::fs::read(folder.join("deployment.pdf")).unwrap();
            pdf::check(&printed);
            if let Some(text) = pdf::text(&printed) {
                let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(words.contains(word) && words.contains("to see <script> of it"), "{text}");
                assert_eq!(text.contains("[[provider]]"), matches!(mode, "gateway" | "hybrid"), "{text}");
            }
            assert!(read("deployment.md").contains("![") && read("gateways.md").contains("| Gatehouse |"));
            let config = folder.join("gatehouse.toml");
            let checked = w.gatehouse.cli(&["config", "check", "--config", config.to_str().unwrap()]);
            assert!(checked.status.success(), "{mode}: {}", String::from_utf8_lossy(&checked.stderr));
            let text = read("gatehouse.toml");
            assert_eq!(text.contains("[[provider]]"), matches!(mode, "gateway" | "hybrid"), "{text}");
            assert_eq!(text.contains("proxy_url"), matches!(mode, "proxy" | "hybrid"), "{text}");
        }
    }
}
