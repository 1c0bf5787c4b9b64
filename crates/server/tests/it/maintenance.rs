//! The calendar knows what has its day, and says so to people and to programs.

use serde_json::Value;

use crate::world::{configured, echo, stores};

fn of<'a>(all: &'a Value, id: &str) -> Option<&'a Value> {
    all.as_array().unwrap().iter().find(|due| due["id"].as_str().unwrap().starts_with(id))
}

#[test]
fn what_has_its_day_is_in_the_calendar() {
    for store in stores() {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "[backup]\ndirectory = \"{}\"\n[[alias]]\nname = \"old-model\"\nmodel = \"claude-sonnet-5-5\"\nretires = \"2099-01-01\"\n",
            folder.path().display()
        );
        let w = configured(&config, &store, echo(1, 1));
        w.gatehouse.key("ada@example.com", &["--expires", "20d"]);
        w.gatehouse.json(&["readiness", "set", "permissions", "--owner", "ada", "--done", "reviewed"]);
        w.gatehouse.json(&["readiness", "set", "firewall", "--due", "10d"]);
        w.gatehouse.json(&["admin", "token", "create", "--name", "audit", "--expires", "30d"]);
        let shown = |within: &str| -> Value {
            let output = w.gatehouse.cli(&["--json", "maintenance", "--within", within]);
            serde_json::from_slice(&output.stdout).unwrap()
        };
        let all = shown("100d");
        assert_eq!(of(&all, "key:keys/").unwrap()["what"], "1 key ends (`gatehouse key list`)");
        assert_eq!(of(&all, "key:tok_").unwrap()["urgency"], "later");
        let review = of(&all, "review:permissions/").unwrap();
        assert_eq!((&review["owner"], &review["urgency"]), (&"ada".into(), &"later".into()));
        assert_eq!(of(&all, "task:firewall/").unwrap()["urgency"], "soon");
        assert!(of(&all, "backup:next").is_some() && of(&all, "drill:next").is_some(), "{all:#}");
        assert!(of(&all, "model:alias/old-model").is_none(), "it is far away");
        assert!(of(&shown("2099-02-01"), "model:alias/old-model").is_some());
        assert!(of(&shown("5d"), "key:keys/").is_none());
        let days: Vec<_> = all.as_array().unwrap().iter().map(|due| due["at"].as_str().unwrap()).collect();
        assert!(days.is_sorted(), "{days:?}");

        // Done is done: it is no longer in the calendar.
        w.gatehouse.json(&["readiness", "set", "firewall", "--done", "change 4711"]);
        assert!(of(&shown("100d"), "task:firewall/").is_none());
        let ical = w.gatehouse.cli(&["maintenance", "--ical"]);
        let text = String::from_utf8(ical.stdout).unwrap();
        assert!(text.starts_with("BEGIN:VCALENDAR\r\n") && text.ends_with("END:VCALENDAR\r\n"), "{text}");
        assert_eq!(text.matches("BEGIN:VEVENT").count(), shown("90d").as_array().unwrap().len());
        assert!(!w.gatehouse.cli(&["maintenance", "--within", "soon"]).status.success());
    }
}
