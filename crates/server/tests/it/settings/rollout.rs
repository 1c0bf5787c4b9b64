//! Overlays, publications at a time and imported schemas from the command line, with the program that clients ask.

use gatehouse_testkit::wait;
use serde_json::{Value, json};

use crate::world::{configured, echo, stores, world};

#[test]
fn an_overlay_goes_to_whom_it_is_assigned_and_is_taken_back() {
    for store in stores() {
        let w = configured("", &store, echo(1, 1));
        let second = w.second("reviewer");
        let pilot = w.write("pilot.json", &json!({"model": "haiku"}));
        w.gatehouse.json(&["settings", "new", "pilot", "--for", "rollout", "-f", &pilot]);
        w.publish("pilot", &second);
        let model = || w.effective()["settings"]["model"].clone();
        assert_eq!(model(), Value::Null);
        let (code, told) = w.run(&["settings", "audience", "show", "pilot"]);
        assert!(code == 0 && told.contains("unassigned"), "{told}");
        let assigned =
            w.gatehouse.json(&["settings", "audience", "assign", "pilot", "--user", "dev@example.com"]);
        assert_eq!((&assigned["people"], &assigned["in_force"]), (&json!(1), &json!(true)));
        assert_eq!(model(), "haiku");
        let (code, told) = w.run(&["settings", "explain", "dev@example.com", "model"]);
        assert!(code == 0 && told.contains("rollout pilot"), "{told}");
        let wider = w.gatehouse.json(&["settings", "audience", "widen", "pilot", "--percent", "100"]);
        assert_eq!(wider["people"], 2);
        let receipts = w.gatehouse.json(&["settings", "receipts", "--profile", "pilot"]);
        assert_eq!(receipts.as_array().unwrap().len(), 2);
        let (code, told) = w.run(&["settings", "audience", "widen", "pilot", "--percent", "5"]);
        assert!(code == 1 && told.contains("100 percent"), "{told}");
        assert_eq!(w.run(&["settings", "audience", "widen", "pilot"]).0, 2);
        assert_eq!(w.gatehouse.json(&["settings", "audience", "withdraw", "pilot"])["state"], "over");
        assert_eq!(model(), Value::Null);
    }
}

#[test]
fn what_is_scheduled_is_published_by_itself_also_after_a_restart() {
    for store in stores() {
        let mut w = configured("", &store, echo(1, 1));
        let second = w.second("reviewer");
        for (name, model) in [("base", "opus"), ("other", "haiku")] {
            let file = w.write(&format!("{name}.json"), &json!({"model": model}));
            w.gatehouse.json(&["settings", "new", name, "--for", "organization", "-f", &file]);
            w.gatehouse.json(&["settings", "submit", name]);
            w.gatehouse.json(&["--token", &second, "settings", "approve", name]);
        }
        let due = w.gatehouse.json(&["settings", "publish", "other", "--at", "1h"]);
        assert_eq!(due["scheduled"]["version"], 1);
        let (code, told) = w.run(&["settings", "list"]);
        assert!(code == 0 && told.contains(due["scheduled"]["at"].as_str().unwrap()), "{told}");
        w.gatehouse.json(&["settings", "unschedule", "other"]);
        let (code, told) = w.run(&["settings", "unschedule", "other"]);
        assert!(code == 1 && told.contains("nothing of other"), "{told}");
        w.gatehouse.json(&["settings", "publish", "base", "--at", "1s"]);
        w.gatehouse.kill();
        w.gatehouse.restart();
        wait::until("the scheduled publication", || {
            (w.effective()["settings"]["model"] == "opus").then_some(())
        });
        let acts = w.gatehouse.json(&["audit", "list", "--action", "settings.publish"]);
        assert_eq!((acts.as_array().unwrap().len(), &acts[0]["actor"]["kind"]), (1, &json!("system")));
    }
}

#[test]
fn keys_of_a_schema_are_known_to_the_server_and_offline() {
    let w = world(echo(1, 1));
    let lamps = json!({"type": "object", "properties": {"lamp": {"enum": ["on", "off"]}}});
    let schema = w.write("schema.json", &lamps);
    let blue = w.write("blue.json", &json!({"lamp": "blue"}));
    assert_eq!(w.run(&["settings", "lint", &blue]).0, 0, "unknown keys are only warned of");
    let (code, told) = w.run(&["settings", "lint", &blue, "--schema", &schema]);
    assert!(code == 1 && told.contains("`off`"), "{told}");
    let (code, told) = w.run(&["settings", "schema", "import", &schema, "--dry-run"]);
    assert!(code == 0 && told.contains("lamp") && told.contains("Nothing was done"), "{told}");
    let (code, told) = w.run(&["settings", "schema", "import", &schema, "--client", "2.1.400"]);
    assert!(code == 0 && told.contains("Imported as number 1"), "{told}");
    let (code, told) = w.run(&["settings", "new", "x", "--for", "organization", "-f", &blue]);
    assert!(code == 1 && told.contains("lamp"), "{told}");
    assert_eq!(w.gatehouse.json(&["settings", "schema", "list"])[0]["client"], "2.1.400");
    let (code, told) = w.run(&["settings", "schema", "show"]);
    assert!(code == 0 && serde_json::from_str::<Value>(&told).unwrap() == lamps, "{told}");
    let circle = w.write("circle.json", &json!({"properties": {"a": {"$ref": "#/properties/a"}}}));
    let (code, told) = w.run(&["settings", "schema", "import", &circle]);
    assert!(code == 1 && told.contains("back to itself"), "{told}");
    w.gatehouse.json(&["settings", "schema", "reset"]);
    assert_eq!(w.run(&["settings", "new", "x", "--for", "organization", "-f", &blue]).0, 0);
}
