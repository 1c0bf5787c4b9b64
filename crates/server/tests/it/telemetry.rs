//! What clients say of their own use: taken, counted once, shown apart, passed on; and the deployment mode.

mod edits;
mod export;
mod grpc;
mod grpc_tls;
mod intake;
mod mode;
mod relay;

use gatehouse_testkit::http::{Reply, once};
use serde_json::{Value, json};

use crate::world::World;

/// A request of metrics in JSON that says these costs, in dollars, of now.
fn costs(world: &World, of: &[f64]) -> Vec<u8> {
    let _ = world;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let points: Vec<Value> = of
        .iter()
        .map(|cost| {
            json!({"attributes": [{"key": "model", "value": {"stringValue": "claude-opus-5-5"}},
                                  {"key": "user.email", "value": {"stringValue": "boss@example.com"}}],
                   "startTimeUnixNano": now.to_string(), "timeUnixNano": now.to_string(), "asDouble": cost})
        })
        .collect();
    json!({"resourceMetrics": [{"resource": {"attributes": []}, "scopeMetrics": [{"metrics": [
        {"name": "claude_code.cost.usage", "sum": {"aggregationTemporality": 1, "isMonotonic": true, "dataPoints": points}}
    ]}]}]})
    .to_string()
    .into_bytes()
}

fn tell(world: &World, path: &str, more: &[(&str, &str)], body: &[u8]) -> Reply {
    let bearer = format!("Bearer {}", world.key);
    let mut headers = vec![("authorization", bearer.as_str())];
    headers.extend(more);
    once(&world.gatehouse.gateway, "POST", path, &headers, body)
}

const JSON: (&str, &str) = ("content-type", "application/json");

/// What clients claim, by user.
fn claimed(world: &World) -> Vec<Value> {
    world.gatehouse.json(&["usage", "--source", "client"])["items"].as_array().unwrap().clone()
}
