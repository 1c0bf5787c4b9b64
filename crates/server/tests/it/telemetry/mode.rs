//! The deployment mode, what it means for a person, and variables that are looked at.

use serde_json::json;

use crate::world::{configured, echo};

#[test]
fn the_mode_is_planned_changed_taken_back_and_on_record() {
    let w = configured("[mode]\nproxy_url = \"http://proxy.example.com:3128\"\n", "sqlite", echo(1, 1));
    let g = &w.gatehouse;
    g.json(&["team", "add", "core"]);
    g.json(&["user", "add", "ada@example.com", "--team", "core"]);
    let modes = g.json(&["mode", "show"]);
    assert_eq!((&modes["items"][0]["mode"], &modes["items"][0]["set_by"]), (&json!("gateway"), &json!(null)));

    let plan = g.json(&["mode", "plan", "direct"]);
    assert_eq!(
        (plan["affected"].as_u64(), &plan["from"], &plan["to"]),
        (Some(3), &json!("gateway"), &json!("direct"))
    );
    assert_eq!(plan["add"], json!(["provider_key", "settings_file"]));
    assert_eq!(plan["remove"], json!(["base_url", "gateway_credential", "served_settings"]));
    let plan = g.json(&["mode", "plan", "hybrid", "--team", "core"]);
    assert_eq!((plan["affected"].as_u64(), &plan["people"]), (Some(1), &json!(["ada@example.com"])));
    assert_eq!(g.json(&["mode", "show"]), modes, "a plan changes nothing");

    g.json(&["mode", "set", "direct"]);
    g.json(&["mode", "set", "hybrid", "--team", "core"]);
    let of = |who: &str| g.json(&["onboarding", who])["mode"].clone();
    assert_eq!((of("ada@example.com"), of("dev@example.com")), (json!("hybrid"), json!("direct")));
    g.json(&["mode", "set", "inherit", "--team", "core"]);
    assert_eq!(of("ada@example.com"), "direct");
    let history = g.json(&["mode", "history"]);
    let told: Vec<_> = history.as_array().unwrap().iter().map(|change| change["mode"].clone()).collect();
    assert_eq!(told, [json!(null), json!("hybrid"), json!("direct")]);

    for refused in [
        &["mode", "set", "direct"][..],
        &["mode", "set", "inherit"],
        &["mode", "set", "proxy", "--team", "none"],
    ] {
        assert_eq!(g.cli(refused).status.code(), Some(1), "{refused:?}");
    }
    let audit = g.dir().join("audit.jsonl");
    assert!(g.cli(&["audit", "export", audit.to_str().unwrap()]).status.success());
    let entries = std::fs::read_to_string(audit).unwrap();
    assert_eq!(entries.matches("mode.set").count(), 3, "each change, and no refused one");
}

#[test]
fn a_person_is_told_what_they_need_in_their_language() {
    let w = configured("[mode]\nproxy_url = \"http://proxy.example.com:3128\"\n", "sqlite", echo(1, 1));
    let g = &w.gatehouse;
    g.json(&["mode", "set", "proxy"]);
    for (more, expected) in [
        (&["--lang", "en"][..], "export HTTPS_PROXY='http://proxy.example.com:3128'"),
        (&["--lang", "zh-CN", "--shell", "fish"], "set -gx HTTPS_PROXY 'http://proxy.example.com:3128'"),
        (&["--lang", "zh-TW", "--os", "windows"], "$env:HTTPS_PROXY = 'http://proxy.example.com:3128'"),
    ] {
        let told = g.cli(&[&["onboarding", "dev@example.com"], more].concat());
        let told = String::from_utf8(told.stdout).unwrap();
        assert!(told.contains(expected) && told.contains("gatehouse client proxy-token"), "{told}");
    }
    let told =
        |lang| String::from_utf8(g.cli(&["onboarding", "dev@example.com", "--lang", lang]).stdout).unwrap();
    assert!(
        told("en").contains("How to begin")
            && told("zh-CN").contains("网关")
            && told("zh-TW").contains("閘道")
    );
    assert_eq!(g.cli(&["onboarding", "nobody@example.com"]).status.code(), Some(1));
}

#[test]
fn a_snippet_is_judged_without_a_server() {
    let w = configured("", "sqlite", echo(1, 1));
    let snippet =
        "export ANTHROPIC_API_KEY=sk-ant-canary\nexport CLAUDE_CODE_MODEL=claude-sonnet-4-20250514\n";
    let told = w.gatehouse.cli_reading(&["--json", "import-env", "-"], snippet);
    assert_eq!(told.status.code(), Some(1));
    let text = String::from_utf8(told.stdout).unwrap();
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(!text.contains("canary"), "{text}");
    let codes: Vec<_> = told["findings"].as_array().unwrap().iter().map(|one| one["code"].clone()).collect();
    assert_eq!(codes, ["secret-in-file", "ignored-variable", "retired-model"]);
    let fine =
        w.gatehouse.cli_reading(&["import-env", "-"], "export ANTHROPIC_BASE_URL=https://gw.example.com\n");
    assert_eq!(fine.status.code(), Some(0));
    assert_eq!(w.gatehouse.cli_reading(&["import-env", "-"], "nothing here\n").status.code(), Some(2));
}
