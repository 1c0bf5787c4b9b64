//! Reports through the command line, on the ledger of real requests.

use serde_json::{Value, json};

use crate::world::{World, ask, configured, echo, stores};

fn run(w: &World, args: &[&str]) -> (Option<i32>, String) {
    let output = w.gatehouse.cli(args);
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code(), text)
}

/// This month, as the ledger has it.
fn month(w: &World) -> String {
    let exchange = w.gatehouse.exchanges().pop().unwrap();
    exchange["started_at"].as_str().unwrap()[..7].to_owned()
}

#[test]
fn a_month_of_real_requests_adds_up_everywhere() {
    for store in stores() {
        let w = configured("", &store, echo(10, 50));
        w.gatehouse.json(&["team", "add", "core"]);
        let (_, other) = w.gatehouse.key("ada@example.com", &["--team", "core"]);
        for key in [&w.key, &w.key, &other] {
            assert_eq!(w.gatehouse.post(key, &ask(false)).status, 200);
        }
        let ledger: i64 = w.gatehouse.exchanges().iter().map(|e| e["cost_nanos"].as_i64().unwrap()).sum();
        let one = ledger / 3;
        let month = month(&w);
        let report =
            |more: &[&str]| w.gatehouse.json(&[&["report", "chargeback", "--month", &month], more].concat());
        w.gatehouse.json(&[
            "report",
            "allocation",
            "set",
            "platform",
            "--method",
            "even",
            "--amount",
            "0.000000007",
        ]);
        w.gatehouse.json(&["report", "allocation", "set", "rest", "--method", "fixed", "--share", "core=1"]);
        w.gatehouse.json(&["report", "rate", "set", "EUR", "0.5", "--from", "2026-01-01"]);
        for by in ["team", "user", "model", "key", "provider", "project"] {
            assert_eq!(report(&["--by", by])["total"]["total_nanos"], ledger + 7, "{by}");
        }
        let teams = report(&["--currency", "EUR"]);
        let core = &teams["rows"][0];
        assert_eq!(
            (&core["name"], &core["usage"]["cost_nanos"], &core["overhead_nanos"]),
            (&json!("core"), &json!(one), &json!(2 * one + 7))
        );
        assert_eq!(
            (&teams["rows"][1]["total_nanos"], &teams["rate"]["per_dollar"]),
            (&json!(0), &json!("0.50"))
        );
        let (code, table) = run(&w, &["report", "chargeback", "--month", &month, "--by", "user"]);
        assert!(code == Some(0) && table.contains("ada@example.com") && table.contains("open"), "{table}");
        for (format, word) in [
            ("csv", "total_nanos"),
            ("html", "<!DOCTYPE html>"),
            ("focus", "BilledCost"),
            ("json", "\"rows\""),
        ] {
            let (code, text) = run(&w, &["report", "chargeback", "--month", &month, "--format", format]);
            assert!(code == Some(0) && text.contains(word), "{format}: {text}");
        }
        // The running month cannot be closed; one without use can.
        let (code, told) = run(&w, &["report", "close", &month]);
        assert!(code == Some(1) && told.contains("not over"), "{told}");
        let closed = w.gatehouse.json(&["report", "close", "2026-01"]);
        assert_eq!(closed["total_nanos"], 7, "overhead alone: {closed}");
        let (code, told) = run(&w, &["report", "statement", "2026-01"]);
        assert!(code == Some(0) && told.contains("those that were closed"), "{told}");
        assert_eq!(w.gatehouse.json(&["report", "statements"]).as_array().unwrap().len(), 1);
        assert!(run(&w, &["report", "forecast"]).1.contains("too little"));
        assert!(run(&w, &["report", "anomalies"]).1.contains("Nobody stands out"));
        assert!(run(&w, &["report", "caching"]).1.contains("ada@example.com"));
        assert_eq!(w.gatehouse.json(&["report", "unused"]), json!({"seats": [], "keys": []}));
        assert!(run(&w, &["report", "allocation", "list"]).1.contains("platform"));
        assert!(run(&w, &["report", "rate", "list"]).1.contains("EUR"));
    }
}

#[test]
fn a_bill_beside_the_ledger_raises_an_alarm_only_when_they_differ() {
    let w = configured("", "sqlite", echo(10, 50));
    assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200);
    let exchange = w.gatehouse.exchanges().pop().unwrap();
    let (day, nanos) =
        (&exchange["started_at"].as_str().unwrap()[..10], exchange["cost_nanos"].as_i64().unwrap());
    let file = |name: &str, text: String| {
        let file = w.gatehouse.dir().join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    // Ten million nano-dollars are a cent.
    let cents = |nanos: i64| format!("{}.{:07}", nanos / 10_000_000, nanos % 10_000_000);
    let bill = |nanos: i64| {
        let result =
            json!({"currency": "USD", "amount": cents(nanos), "model": "claude-sonnet-5-5-20260801"});
        json!({"data": [{"starting_at": format!("{day}T00:00:00Z"), "results": [result]}]}).to_string()
    };
    let (good, bad) = (file("good.json", bill(nanos)), file("bad.json", bill(nanos * 2)));
    let reported = file("client.csv", format!("day,model,usd\n{day},claude-sonnet-5-5,{nanos}e-9\n"));
    let month = &day[..7];
    let reconcile = |file: &str, more: &[&str]| {
        run(
            &w,
            &[
                &[
                    "reconcile",
                    "--source",
                    "anthropic-cost",
                    "--file",
                    file,
                    "--month",
                    month,
                    "--least",
                    "0",
                ],
                more,
            ]
            .concat(),
        )
    };
    let (code, told) = reconcile(&good, &[]);
    assert!(code == Some(0) && told.contains("No difference"), "{told}");
    let (code, told) = reconcile(&good, &["--client", &reported, "--provider", "main"]);
    assert!(code == Some(0) && told.contains("claude-sonnet-5-5"), "{told}");
    let (code, told) = reconcile(&bad, &[]);
    assert!(code == Some(1) && told.contains("ALARM"), "{told}");
    let (code, told) = reconcile("/nowhere", &[]);
    assert!(code == Some(2) && told.contains("cannot read"), "{told}");
    let (code, told) = run(&w, &["reconcile", "--source", "aws-cur2", "--file", &good, "--month", month]);
    assert!(code == Some(2) && told.contains("no column"), "{told}");
}

/// The provider's tools put the administrator's token into `x-api-key`.
#[test]
fn the_providers_tools_read_usage_and_set_limits_that_hold() {
    let w = configured("", "sqlite", echo(10, 50));
    assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200);
    let token = std::fs::read_to_string(w.gatehouse.dir().join("data/admin.token")).unwrap();
    let call = |method: &str, path: &str, body: &Value| {
        let headers = [("x-api-key", token.trim()), ("content-type", "application/json")];
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        gatehouse_testkit::http::once(&w.gatehouse.admin, method, path, &headers, &body)
    };
    let day = &w.gatehouse.exchanges()[0]["started_at"].as_str().unwrap()[..10].to_owned();
    let path =
        format!("/v1/organizations/usage_report/messages?starting_at={day}T00:00:00Z&group_by[]=model");
    let usage = call("GET", &path, &Value::Null).json();
    assert_eq!(usage["data"][0]["results"][0]["output_tokens"], 50, "{usage}");
    let scope = json!({"type": "user", "user_id": "dev@example.com"});
    let limit = json!({"scope": scope, "amount": "0", "period": "daily"});
    assert_eq!(call("POST", "/v1/organizations/spend_limits", &limit).status, 200);
    let refused = w.gatehouse.post(&w.key, &ask(false));
    assert_eq!((refused.status, refused.json()["error"]["type"].as_str()), (429, Some("billing_error")));
    let limit = json!({"scope": scope, "amount": "100", "period": "daily"});
    assert_eq!(call("POST", "/v1/organizations/spend_limits", &limit).status, 200);
    assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200);
}
