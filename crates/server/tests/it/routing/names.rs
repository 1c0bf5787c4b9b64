//! Names that stand for models, models that go out of use, and names that nobody knows.

use gatehouse_testkit::http;
use serde_json::{Value, json};

use super::several;
use crate::world::MODEL;

fn ask(model: &str) -> Vec<u8> {
    // Odd spacing: every other byte is to stay as it was.
    format!("{{\"max_tokens\": 100 ,\n \"model\" : {} , \"x\":[1e2], \"messages\": []}}", json!(model))
        .into_bytes()
}

#[test]
fn a_name_stands_for_a_model_and_every_other_byte_stays() {
    let config = format!("[[alias]]\nname = \"sonnet\"\nmodel = \"{MODEL}\"\n");
    let w = several(1, &[], &config);
    let reply = w.post("s", &ask("sonnet"));
    assert_eq!((reply.status, reply.header("x-gatehouse-notice")), (200, None));
    let sent = String::from_utf8(w.providers[0].seen().body).unwrap();
    assert_eq!(
        sent,
        format!("{{\"max_tokens\": 100 ,\n \"model\":\"{MODEL}\" , \"x\":[1e2], \"messages\": []}}")
    );
    let e = w.newest();
    assert_eq!((e["asked"].as_str(), e["model"].as_str()), (Some("sonnet"), Some(MODEL)));
    // What a key may use is decided by what is meant.
    let (_, narrow) = w.gatehouse.key("dev@example.com", &["--models", "sonnet"]);
    assert_eq!(w.gatehouse.post(&narrow, &ask("sonnet")).status, 451);
}

#[test]
fn a_model_that_goes_out_of_use_is_told_of_replaced_or_refused() {
    let config = format!(
        "[[alias]]\nname = \"old-1\"\nmodel = \"{MODEL}\"\nretires = \"2020-01-01\"\n[[alias]]\nname = \"old-2\"\nretires = \"2020-01-01\"\n\
         [[alias]]\nname = \"claude-opus-5-5\"\nmodel = \"{MODEL}\"\nretires = \"2999-01-01\"\nwarn_days = 3650\n"
    );
    let w = several(1, &[], &config);
    let reply = w.post("s", &ask("old-1"));
    assert_eq!(
        (reply.status, reply.header("x-gatehouse-notice")),
        (200, Some(format!("the model old-1 retires on 2020-01-01; {MODEL} takes its place").as_str()))
    );
    let reply = w.post("s", &ask("old-2"));
    assert_eq!(reply.status, 451, "{}", reply.text());
    assert!(reply.text().contains("the model old-2 retires on 2020-01-01"), "{}", reply.text());
    assert_eq!(w.counts(), [1]);
    assert_eq!(w.post("s", &ask("claude-opus-5-5")).header("x-gatehouse-notice"), None, "that is far off");
    // It may have begun in the same millisecond as the refused one: then nothing tells which of them is the newer.
    assert!(w.gatehouse.exchanges().iter().any(|e| e["model"] == "claude-opus-5-5"));
}

#[test]
fn a_model_and_a_beta_that_nobody_knows_pass_on_the_day_they_appear() {
    let w = several(2, &[], "");
    let mut connection = http::Connection::open(&w.gatehouse.gateway);
    let headers = [("x-api-key", w.key.as_str()), ("anthropic-beta", "mind-reading-2031-01-01")];
    connection.request("POST", "/v1/messages", &headers, &ask("claude-novum-9"));
    assert_eq!(connection.reply().status, 200);
    let seen = w.providers[0].seen();
    assert_eq!(seen.header("anthropic-beta"), Some("mind-reading-2031-01-01"));
    assert_eq!(seen.body, ask("claude-novum-9"));
    let w = several(1, &[], "[routing]\nunknown_models = \"refuse\"\n");
    assert_eq!(w.post("s", &ask("claude-novum-9")).status, 404);
    assert_eq!(w.post("s", &ask(MODEL)).status, 200);
}

#[test]
fn mistakes_in_routes_are_told() {
    let w = several(1, &[], "");
    let file = w.gatehouse.dir().join("wrong.toml");
    let wrong = "[[route]]\nname = \"r\"\nstratgy = \"weighted\"\n[[route.providers]]\nname = \"nobody\"\n[[alias]]\nname = \"a\"\n\
        [[alias]]\nname = \"b\"\nmodel = \"c\"\n[[alias]]\nname = \"c\"\nmodel = \"d\"\n[routing]\nattempts = 0\n";
    std::fs::write(&file, wrong).unwrap();
    let output = w.gatehouse.cli(&["config", "check", "--config", &file.display().to_string()]);
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    for part in [
        "route[r].stratgy: unknown setting (did you mean `strategy`?)",
        "the route `r` names the provider `nobody`, which there is not",
        "alias[a].model: it is required",
        "`b` stands for another alias",
        "routing.attempts: expected a whole number from 1 to 8",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let _: Value = w.gatehouse.json(&["provider", "list"]);
}

/// What is listed is what would be let through: also where only the second provider may be asked.
#[test]
fn the_list_of_models_follows_the_routes() {
    let route = format!(
        "[[route]]\nname = \"first\"\nmodels = [\"{MODEL}\"]\n[[route.providers]]\nname = \"main\"\n"
    );
    for (config, listed, status) in [("", true, 200), (route.as_str(), false, 451)] {
        let w = several(2, &[], config);
        let file = w.gatehouse.dir().join("not-main.cedar");
        std::fs::write(&file, "forbid (principal, action, resource in Provider::\"main\");").unwrap();
        w.gatehouse.json(&["access", "set", "not-main", file.to_str().unwrap()]);
        let key = [("x-api-key", w.key.as_str())];
        let models = http::once(&w.gatehouse.gateway, "GET", "/v1/models?limit=1000", &key, b"").json();
        let names: Vec<&str> =
            models["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
        assert_eq!(names.contains(&MODEL), listed, "{config}: {names:?}");
        assert_eq!(w.post("s", &ask(MODEL)).status, status, "{config}");
        assert_eq!(w.counts()[0], 0, "{config}: who may not be asked was asked");
    }
}
