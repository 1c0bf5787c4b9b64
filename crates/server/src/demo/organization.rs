//! The demo's sample organization, made through the management API as anybody would.

use serde_json::json;

use crate::cli::{Client, Failure};

const TEAMS: [&str; 3] = ["platform", "mobile", "data"];
const PROJECTS: [&str; 2] = ["checkout", "search"];
/// Address, name, teams.
const PEOPLE: [(&str, &str, &[&str]); 4] = [
    ("ada@example.com", "Ada", &["platform"]),
    ("grace@example.com", "Grace", &["platform", "data"]),
    ("wei@example.com", "王伟", &["mobile"]),
    ("lin@example.com", "林怡君", &["data"]),
];
/// Whose keys there are: holder, name, team, project, models (none means all).
const KEYS: [(&str, &str, &str, &str, &[&str]); 3] = [
    ("grace@example.com", "nightly jobs", "data", "search", &["claude-haiku-*"]),
    ("wei@example.com", "laptop", "mobile", "checkout", &[]),
    ("lin@example.com", "laptop", "data", "search", &[]),
];

/// Makes the organization unless it is there, and a key to try it with, which is returned.
pub(super) fn furnish(client: &Client) -> Result<String, Failure> {
    if client.list("/api/v1/users", &[], Some(1))?.is_empty() {
        for team in TEAMS {
            client.post("/api/v1/teams", &json!({"name": team}))?;
        }
        for project in PROJECTS {
            client.post("/api/v1/projects", &json!({"name": project}))?;
        }
        for (email, name, teams) in PEOPLE {
            client.post("/api/v1/users", &json!({"email": email, "name": name, "teams": teams}))?;
        }
        for (user, name, team, project, models) in KEYS {
            let key = json!({"user": user, "name": name, "team": team, "project": project, "models": models});
            client.post("/api/v1/keys", &key)?;
        }
    }
    let key = json!({"user": PEOPLE[0].0, "name": "demo", "team": TEAMS[0], "expires": "7d"});
    let made = client.post("/api/v1/keys", &key)?;
    made["key"].as_str().map(str::to_owned).ok_or_else(|| Failure::Failed("the key has no text".to_owned()))
}
