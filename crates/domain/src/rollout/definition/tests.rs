use serde_json::json;

use super::*;

fn told(value: &Value) -> Vec<String> {
    Definition::read(value).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn a_short_definition_has_the_defaults() {
    let read = Definition::read(&json!({
            "name": "opus", "settings": [{"profile": "opus", "version": 2}],
            "phase": [{"id": "pilot", "cohort": {"percent": 5}}, {"id": "limited_rollout", "cohort": {"teams": ["core"]}},
                {"id": "full_rollout"}],
        }))
        .unwrap();
    let soaks: Vec<i64> = read.phases.iter().map(|phase| phase.soak_ms / DAY_MS).collect();
    assert_eq!((soaks, read.failures, read.mode), (vec![7, 7, 14], 3, "gateway"));
    assert_eq!(read.phases[0].checks.len(), 5);
    assert_eq!(read.phases[0].checks[3].min_sample, 100);
    assert!(read.phases[2].cohort.everyone);
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let all = told(&json!({
        "name": "", "setings": [], "mode": "gatway", "interval": "1x", "failures": 0,
        "settings": [{"profile": "x"}],
        "phase": [
            {"id": "full_rollout"},
            {"id": "pilot", "cohort": {"percent": 101, "user": []}, "check": [
                {"metric": "eror_rate", "at_most": 1}, {"metric": "error_rate"},
                {"metric": "adoption", "at_most": 0.5}, {"metric": "p95_ms", "at_most": -1},
            ]},
        ],
    }));
    for expected in [
        "`setings` is no known key; did you mean `settings`?",
        "`mode` is `gatway`; did you mean `gateway`?",
        "`interval` is `1x`",
        "`failures` is 0; expected a whole number from 1 to 100",
        "`settings[0].version` is missing",
        "`phase[1].id` comes too late",
        "`phase[1].cohort.percent` is 101",
        "`phase[1].cohort.user` is no known key; did you mean `users`?",
        "`phase[1].check[0].metric` is `eror_rate`; did you mean `error_rate`?",
        "`phase[1].check[1]` needs exactly one of",
        "`phase[1].check[2]` cannot hold adoption",
        "`phase[1].check[3].at_most` is -1",
    ] {
        assert!(all.iter().any(|one| one.starts_with(expected)), "{expected}: {all:#?}");
    }
    assert!(told(&json!([]))[0].contains("no table"));
}
