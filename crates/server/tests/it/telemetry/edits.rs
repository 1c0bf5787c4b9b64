//! How many edits people accept, as their clients say, beside the six figures: against what was computed by hand.

use gatehouse_testkit::http;
use serde_json::{Value, json};

use super::JSON;
use crate::world::{World, configured, echo, stores};

/// Tells of decisions on edits, each with how many there were.
fn decide(w: &World, key: &str, decisions: &[(&str, &str, u64)]) {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos().to_string();
    let point = |(tool, decision, count): &(&str, &str, u64)| {
        let of = |key: &str, text: &str| json!({"key": key, "value": {"stringValue": text}});
        json!({"attributes": [of("tool_name", tool), of("decision", decision), of("source", "user_temporary")],
               "startTimeUnixNano": now, "timeUnixNano": now, "asInt": count.to_string()})
    };
    let points: Vec<Value> = decisions.iter().map(point).collect();
    let body = json!({"resourceMetrics": [{"resource": {"attributes": []}, "scopeMetrics": [{"metrics": [
        {"name": "claude_code.code_edit_tool.decision",
         "sum": {"aggregationTemporality": 1, "isMonotonic": true, "dataPoints": points}}]}]}]});
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), JSON];
    let reply =
        http::once(&w.gatehouse.gateway, "POST", "/v1/metrics", &headers, body.to_string().as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[test]
fn the_rate_is_what_was_computed_by_hand_for_every_scope() {
    for store in stores() {
        let w = configured("", &store, echo(1, 1));
        w.gatehouse.json(&["team", "add", "core"]);
        let [ada, bob] = ["ada@example.com", "bob@example.com"].map(|who| w.gatehouse.key(who, &[]).1);
        w.gatehouse.json(&["user", "teams", "ada@example.com", "core"]);
        let rate = |scope: &str| {
            w.gatehouse.json(&["metrics", "--scope", scope, "--window", "7d"])["edit_accept_rate"].clone()
        };
        let none = json!({"value": 0.0, "n": 0, "no_data": true});
        assert_eq!(rate("org"), none);
        // Ada: 3 + 2 of 7. Bob: one of one. Who says something else decided nothing.
        decide(
            &w,
            &ada,
            &[("Edit", "accept", 3), ("Write", "accept", 2), ("Edit", "reject", 2), ("Edit", "later", 9)],
        );
        decide(&w, &bob, &[("NotebookEdit", "accept", 1)]);
        let of_ada = json!({"value": 0.714_285_714_285_714_3, "n": 7, "no_data": false});
        assert_eq!(rate("user:ada@example.com"), of_ada);
        assert_eq!(rate("team:core"), of_ada);
        assert_eq!(rate("org"), json!({"value": 0.75, "n": 8, "no_data": false}));
        assert_eq!(rate("user:dev@example.com"), none);
        let told = w.gatehouse.cli(&["metrics", "--scope", "org"]);
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        let line = told.lines().find(|line| line.contains("edit_accept_rate")).unwrap();
        assert!(line.contains("0.75") && line.contains('8'), "{line}");
    }
}
