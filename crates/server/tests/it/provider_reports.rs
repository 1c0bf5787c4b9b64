//! The provider's own reports: fetched page by page, kept whole, and compared with the ledger.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gatehouse_testkit::provider::{Act, FakeProvider, Seen};
use gatehouse_testkit::{sse, wait};
use serde_json::{Value, json};

use crate::world::{MODEL, configured, echo};

const KEY: &str = "sk-ant-admin-0123456789";

/// The first month's costs come on two pages.
fn admin_api(seen: &Seen) -> Vec<Act> {
    if seen.header("x-api-key") != Some(KEY) || seen.header("anthropic-version") != Some("2023-06-01") {
        return sse::plain(401, &json!({"error": {"type": "authentication_error"}}));
    }
    let target = seen.line.trim_start_matches("GET ");
    let day = target.split("starting_at=").nth(1).and_then(|rest| rest.get(..10)).unwrap_or_default();
    let cost = |amount: &str| {
        json!({"starting_at": format!("{day}T00:00:00Z"), "ending_at": format!("{day}T00:00:00Z"), "results": [
            {"currency": "USD", "amount": amount, "model": MODEL, "description": "input"}
        ]})
    };
    if target.starts_with("/v1/organizations/usage_report/messages?") {
        sse::plain(200, &json!({"data": [], "has_more": false, "next_page": null}))
    } else if target.contains("&page=page%2Btwo%3D") {
        sse::plain(200, &json!({"data": [cost("50.00")], "has_more": false, "next_page": null}))
    } else {
        sse::plain(200, &json!({"data": [cost("100.00")], "has_more": true, "next_page": "page+two="}))
    }
}

#[test]
fn reports_are_fetched_whole_and_compared_with_the_ledger() {
    let works = Arc::<AtomicBool>::default();
    let switch = Arc::clone(&works);
    let api = FakeProvider::start(move |seen| {
        let second = seen.line.contains("&page=");
        if second && !switch.load(Ordering::SeqCst) { sse::plain(500, &json!({})) } else { admin_api(seen) }
    });
    let config = |hours: u32| {
        format!(
            "[[provider_report]]\nname = \"anthropic\"\nbase_url = \"{}\"\nadmin_key = \"exec:echo {KEY}\"\nevery_hours = {hours}\n",
            api.url
        )
    };
    let w = configured(&config(1), "sqlite", echo(1, 1));
    // Half a report is none.
    wait::until("the first try", || w.gatehouse.log().contains("it answers 500").then_some(()));
    let folder = w.gatehouse.dir().join("data/provider-reports");
    let files = || -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("anthropic-"))
            .collect();
        names.sort();
        names
    };
    assert_eq!(files(), Vec::<String>::new());

    works.store(true, Ordering::SeqCst);
    let file = w.gatehouse.dir().join("gatehouse.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let reload = |hours: u32| {
        std::fs::write(&file, text.replace("every_hours = 1", &format!("every_hours = {hours}"))).unwrap();
        w.gatehouse.json(&["config", "reload"]);
    };
    let fetched = || w.gatehouse.log().matches("the provider's reports were fetched").count();
    reload(2);
    wait::until("the reports", || (fetched() == 1).then_some(()));
    let names = files();
    assert_eq!(names.len(), 4, "cost and usage of two months: {names:?}");
    let cost = names[0].clone();
    let month = cost.trim_start_matches("anthropic-cost-").trim_end_matches(".json").to_owned();
    let compared = || -> Value {
        let path = folder.join(&cost);
        let (path, month) = (path.to_str().unwrap(), month.as_str());
        let told = w.gatehouse.cli(&[
            "--json",
            "reconcile",
            "--source",
            "anthropic-cost",
            "--file",
            path,
            "--month",
            month,
        ]);
        serde_json::from_slice(&told.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&told.stderr)))
    };
    assert_eq!(compared()["billed_nanos"], 1_500_000_000, "both pages, in nano-dollars");
    // Again, and it is the same.
    reload(3);
    wait::until("the reports again", || (fetched() == 2).then_some(()));
    assert_eq!((files(), compared()["billed_nanos"].as_i64()), (names, Some(1_500_000_000)));
    assert!(!w.gatehouse.log().contains(KEY));
}
