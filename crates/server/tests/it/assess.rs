//! `gatehouse assess`, which needs no server.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

fn assess(words: &[&str], answers: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_gatehouse"))
        .args(words)
        .arg("assess")
        .args(["--answers", "-"])
        .env_remove("LC_ALL")
        .env_remove("LC_MESSAGES")
        .env("LANG", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(answers.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn texts(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn programs_get_the_recommendation_and_its_analysis() {
    let answers = json!({"team_size": 5000, "security_level": "critical", "cost_control": "high"});
    let (code, printed, _) = texts(&assess(&["--json"], &answers.to_string()));
    assert_eq!(code, Some(0));
    let result: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(result["mode"], "proxy");
    assert_eq!(result["complexity_score"], 10);
    assert_eq!(result["reason"], "企业代理模式可以满足您的安全和合规需求");
    assert_eq!(
        result["next_steps"],
        json!(["配置企业代理", "获取 API 密钥", "配置代理环境变量", "测试连接"])
    );
    assert_eq!(result["analysis"]["matrix_mode"], "hybrid");
    assert_eq!(result["analysis"]["driven_by"], json!(["security_level"]));
    assert_eq!(result["analysis"]["agreement"], false);
    assert_eq!(result["analysis"]["score"]["security_level"], 4);
}

#[test]
fn people_get_a_table_in_their_language() {
    let answers = json!({"team_size": 50, "existing_infrastructure": ["squid"]}).to_string();
    let (_, english, _) = texts(&assess(&[], &answers));
    assert!(english.starts_with("Score 4: direct provider access (direct)\n"), "{english}");
    assert!(
        english.contains("organization size     medium       2  enterprise proxy or LLM gateway"),
        "{english}"
    );
    assert!(
        english.contains("The score leads to direct provider access, but organization size alone asks"),
        "{english}"
    );
    assert!(english.contains("existing proxy (there is squid)"), "{english}");
    let output = Command::new(env!("CARGO_BIN_EXE_gatehouse"))
        .args(["assess", "--lang", "zh-TW", "--answers"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/answers.json"))
        .output()
        .unwrap();
    let (code, chinese, _) = texts(&output);
    assert_eq!(code, Some(0));
    assert!(chinese.starts_with("評分 16: 混合模式 (hybrid)\n"), "{chinese}");
}

#[test]
fn wrong_answers_are_refused_all_at_once() {
    let (code, printed, told) = texts(&assess(&[], r#"{"security_level": "hihg", "size": 3}"#));
    assert_eq!((code, printed.as_str()), (Some(2), ""));
    assert!(told.contains("`size`: there is no such question"), "{told}");
    assert!(told.contains("did you mean `high`?"), "{told}");
    for broken in ["", "{", "[1]", "\"SOC2\""] {
        assert_eq!(texts(&assess(&["--json"], broken)).0, Some(2), "{broken}");
    }
    let large = format!("{{\"team_size\": {}1}}", " ".repeat(1024 * 1024));
    assert_eq!(texts(&assess(&[], &large)).0, Some(2));
}

#[test]
fn leniency_has_to_be_asked_for() {
    let run = |words: &[&str]| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), r#"{"security_level": "hihg", "compliance_requirements": "SOC2"}"#)
            .unwrap();
        let all = Command::new(env!("CARGO_BIN_EXE_gatehouse"))
            .args(["--json", "assess", "--answers"])
            .arg(file.path())
            .args(words)
            .output()
            .unwrap();
        (all.status.code(), serde_json::from_slice::<Value>(&all.stdout).unwrap_or_default())
    };
    assert_eq!(run(&[]).0, Some(2));
    let (code, result) = run(&["--compat"]);
    assert_eq!(code, Some(0));
    assert_eq!(result["complexity_score"], 7);
    assert_eq!(result["mode"], "proxy");
    assert_eq!(result.as_object().unwrap().len(), 4);
}

#[test]
fn a_choice_needs_a_reason() {
    let run = |words: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_gatehouse"))
            .args(["--json", "assess", "--answers"])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/answers.json"))
            .args(words)
            .output()
            .unwrap()
    };
    assert_eq!(run(&["--choose", "gateway"]).status.code(), Some(2));
    assert_eq!(run(&["--choose", "gateway", "--because", " "]).status.code(), Some(2));
    let chosen: Value =
        serde_json::from_slice(&run(&["--choose", "gateway", "--because", "cheaper"]).stdout).unwrap();
    assert_eq!(chosen["mode"], "hybrid");
    assert_eq!(chosen["analysis"]["choice"], json!({"mode": "gateway", "reason": "cheaper"}));
    assert_eq!(chosen["analysis"]["tasks"][0]["id"], "compare_gateways");
}
