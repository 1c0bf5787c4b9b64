//! Which deployment mode fits.

use serde_json::json;

use crate::house::world;

const PATH: &str = "/api/v1/assessments";

#[tokio::test]
async fn answers_get_the_same_result_as_on_the_command_line() {
    let world = world().await;
    let answers = json!({"team_size": 500, "security_level": "critical", "cost_control": "high"});
    let answer = world.post(PATH, answers).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json()["mode"], "proxy");
    assert_eq!(answer.json()["complexity_score"], 10);
    assert_eq!(answer.json()["analysis"]["matrix_mode"], "hybrid");
    let nothing = world.post(PATH, json!({})).await;
    assert_eq!(nothing.json()["mode"], "direct");
}

#[tokio::test]
async fn mistakes_are_refused_unless_leniency_is_asked_for() {
    let world = world().await;
    let wrong = json!({"security_level": "hihg", "compliance_requirements": "SOC2"});
    let answer = world.post(PATH, wrong.clone()).await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.json()["error"]["code"], "answers_refused");
    assert_eq!(answer.json()["error"]["field"], "security_level");
    let error = answer.json();
    let told = error["error"]["message"].as_str().unwrap();
    assert!(told.contains("did you mean `high`?") && told.contains("must be a list of names"), "{told}");
    let lenient = world.post("/api/v1/assessments?compat=brief", wrong).await;
    assert_eq!(lenient.status, 200);
    assert_eq!(lenient.json()["complexity_score"], 7);
    assert!(lenient.json().get("analysis").is_none());
    let unknown = world.post("/api/v1/assessments?compat=other", json!({})).await;
    assert_eq!(unknown.status, 400);
}
