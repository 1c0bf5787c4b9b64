//! Rollouts from the command line to clients, on both stores: an organization of two thousand, kills at every step, figures.

mod organization;
mod killed;
mod figures;

use gatehouse_testkit::http::{self, Reply};
use gatehouse_testkit::wait;
use serde_json::{Value, json};

use crate::world::{MODEL, World};

impl World {
    /// Asks the management API.
    fn api(&self, method: &str, path: &str, body: &Value) -> Reply {
        let token = std::fs::read_to_string(self.gatehouse.dir().join("data/admin.token")).unwrap();
        let bearer = format!("Bearer {}", token.trim());
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        http::once(&self.gatehouse.admin, method, path, &headers, body.to_string().as_bytes())
    }

    /// Makes people `p0@example.com` and so on, each in one of twenty teams.
    fn people(&self, count: usize) {
        for team in 0..20 {
            assert_eq!(self.api("POST", "/api/v1/teams", &json!({"name": format!("t{team}")})).status, 201);
        }
        for n in 0..count {
            let body = json!({"email": format!("p{n}@example.com"), "teams": [format!("t{}", n % 20)]});
            let made = self.api("POST", "/api/v1/users", &body);
            assert_eq!(made.status, 201, "{}", made.text());
        }
    }

    fn overlay(&self, name: &str, settings: &Value, second: &str) {
        let file = self.write(&format!("{name}.json"), settings);
        self.gatehouse.json(&["settings", "new", name, "--for", "rollout", "-f", &file]);
        self.publish(name, second);
    }

    fn rollout(&self, definition: &Value) -> Value {
        let file = self.write("rollout.json", definition);
        self.gatehouse.json(&["rollout", "apply", "-f", &file])
    }

    fn status(&self, name: &str) -> Value {
        self.api("GET", &format!("/api/v1/rollouts/{name}"), &Value::Null).json()
    }

    /// Waits until a rollout is in a state, and in a phase.
    fn wait_for(&self, name: &str, state: &str, phase: &str) -> Value {
        let mut last = Value::Null;
        for _ in 0..4 {
            let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                wait::until(&format!("{name} to be {state} in {phase}"), || {
                    last = self.status(name);
                    (last["state"] == state && last["phase"] == phase).then(|| last.clone())
                })
            }));
            if let Ok(found) = found {
                return found;
            }
        }
        panic!("{name} is not {state} in {phase}: {last:#}\n{}", self.gatehouse.log());
    }

    fn assignments(&self, name: &str) -> Vec<Value> {
        let all = self.api("GET", &format!("/api/v1/rollouts/{name}/assignments"), &Value::Null).json();
        all["items"].as_array().unwrap().clone()
    }

    fn effective_of(&self, email: &str) -> Value {
        self.api("GET", &format!("/api/v1/settings/users/{email}/effective"), &Value::Null).json()
    }

    /// What a client does: asks for its settings, and says that it has them.
    fn client_takes_settings(&self, key: &str) {
        let bearer = format!("Bearer {key}");
        let agent = ("user-agent", "claude-code/2.1.330");
        let ask = |known: Option<&str>| {
            let mut headers = vec![("authorization", bearer.as_str()), agent];
            headers.extend(known.map(|known| ("if-none-match", known)));
            http::once(&self.gatehouse.gateway, "GET", "/managed/settings", &headers, b"")
        };
        let first = ask(None);
        if let Some(tag) = first.header("etag") {
            assert_eq!(ask(Some(tag)).status, 304);
        }
    }

    /// Sends a message that no other is like.
    fn message(&self, key: &str, n: usize) -> u16 {
        let said = "x".repeat(n + 1);
        let body = json!({"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": said}]});
        self.gatehouse.post(key, body.to_string().as_bytes()).status
    }
}
