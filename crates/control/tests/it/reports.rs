//! Reports, from the outside: every part adds up to the whole, and a closed month stays.

use axum::http::StatusCode;
use gatehouse_domain::exchange::{Cost, Exchange, PriceBasis, Principal};
use gatehouse_domain::money::Nanos;
use gatehouse_domain::role::Role;
use gatehouse_domain::time::{DAY_MS, HOUR_MS};
use gatehouse_store::journal::Position;
use gatehouse_store::ledger::bring_in;
use serde_json::{Value, json};

use crate::house::{World, world};
use crate::usage::{exchange, with_key};

/// Days from the beginning of the tests (2027-01-15) back to 2026-12-10.
const DECEMBER: i64 = 36 * DAY_MS;

fn costing(who: Option<Principal>, ago_ms: i64, n: u128, nanos: i64) -> Exchange {
    Exchange { cost: Cost { nanos: Nanos(nanos), basis: PriceBasis::Table }, ..exchange(who, ago_ms, n) }
}

async fn record(world: &World, seq: u64, exchanges: &[Exchange]) {
    let app = &world.app;
    let to = Position { segment: 1, offset: seq, seq };
    assert_eq!(bring_in(&app.store, app.org, app.node, exchanges, to).await.unwrap(), exchanges.len());
}

struct Books {
    world: World,
    ada: Principal,
    bob: Principal,
}

/// In December Ada's team Core spent 1000 and 7, Bob's team Web 500, and somebody without a team 100.
async fn books() -> Books {
    let world = world().await;
    for team in ["Core", "Web"] {
        world.post("/api/v1/teams", json!({"name": team})).await.ok();
    }
    let (_, ada) = with_key(&world, "ada@b.c", Some("Core")).await;
    let (_, bob) = with_key(&world, "bob@b.c", Some("Web")).await;
    let (_, cleo) = with_key(&world, "cleo@b.c", None).await;
    let exchanges = [
        costing(Some(ada), DECEMBER, 1, 1000),
        costing(Some(ada), DECEMBER - DAY_MS, 2, 7),
        costing(Some(bob), DECEMBER, 3, 500),
        costing(Some(cleo), DECEMBER, 4, 100),
    ];
    record(&world, 1, &exchanges).await;
    Books { world, ada, bob }
}

const CHARGEBACK: &str = "/api/v1/reports/chargeback?month=2026-12";

fn rows(report: &Value) -> Vec<(String, i64, i64, i64, i64)> {
    let n = |row: &Value, key: &str| row[key].as_i64().unwrap();
    let row = |row: &Value| {
        let name = row["name"].as_str().unwrap().to_owned();
        let used = row["usage"]["cost_nanos"].as_i64().unwrap();
        (name, used, n(row, "adjustment_nanos"), n(row, "overhead_nanos"), n(row, "total_nanos"))
    };
    report["rows"].as_array().unwrap().iter().map(row).collect()
}

fn row(name: &str, usage: i64, adjustment: i64, overhead: i64, total: i64) -> (String, i64, i64, i64, i64) {
    (name.to_owned(), usage, adjustment, overhead, total)
}

#[tokio::test]
async fn every_side_adds_up_to_the_whole() {
    let Books { world, .. } = books().await;
    world
        .put("/api/v1/reports/allocations/platform", json!({"amount_usd": "0.000000011", "method": "even"}))
        .await
        .ok();
    world.put("/api/v1/reports/allocations/rest", json!({"method": "proportional"})).await.ok();
    let by_team = world.get(CHARGEBACK).await.ok();
    // 11 split evenly is 6 and 5; 100 by 1007 to 500 is 66.8 and 33.2.
    let expected =
        [row("Core", 1007, 0, 67 + 6, 1080), row("Web", 500, 0, 33 + 5, 538), row("", 100, 0, -100, 0)];
    assert_eq!(rows(&by_team), expected);
    assert_eq!((&by_team["statement"], &by_team["total"]["total_nanos"]), (&Value::Null, &json!(1618)));
    for by in ["team", "project", "user", "key", "provider", "model"] {
        let report = world.get(&format!("{CHARGEBACK}&by={by}")).await.ok();
        assert_eq!(report["total"]["total_nanos"], 1618, "{by}");
        assert_eq!(rows(&report).iter().map(|row| row.4).sum::<i64>(), 1618, "{by}");
        assert_eq!(report["total"]["usage"]["requests"], 4, "{by}");
    }
    let by_user = rows(&world.get(&format!("{CHARGEBACK}&by=user")).await.ok());
    assert_eq!(by_user[0], row("ada@b.c", 1007, 0, 0, 1007));
    assert_eq!(by_user.last().unwrap(), &row("", 0, 0, 11, 11));
}

#[tokio::test]
async fn a_closed_month_is_locked_and_late_arrivals_go_to_the_next() {
    let Books { world, ada, bob } = books().await;
    world
        .put(
            "/api/v1/reports/allocations/platform",
            json!({"amount_usd": "0.00000001", "method": "proportional"}),
        )
        .await
        .ok();
    let close = async |month: &str| world.post("/api/v1/reports/statements", json!({"month": month})).await;
    let made = close("2026-12").await;
    assert_eq!(made.status, StatusCode::CREATED);
    let made = made.ok();
    assert_eq!((&made["total_nanos"], &made["lines"]), (&json!(1617), &json!(5)));
    let before = world.get(CHARGEBACK).await.ok();
    assert_eq!(before["statement"], made);
    // Late arrivals, new rules and new names change nothing of it.
    record(&world, 2, &[costing(Some(ada), DECEMBER, 11, 40), costing(Some(bob), HOUR_MS, 12, 3)]).await;
    world
        .put("/api/v1/reports/allocations/platform", json!({"amount_usd": "5", "method": "even"}))
        .await
        .ok();
    assert_eq!(world.get(CHARGEBACK).await.ok(), before);
    world.ask(&world.owner, "DELETE", "/api/v1/reports/allocations/platform", None).await.ok();
    let whole = world.get("/api/v1/reports/statements/2026-12").await.ok();
    assert_eq!((&whole["intact"], &whole["statement"]), (&json!(true), &made));
    let lines = whole["lines"].as_array().unwrap();
    assert_eq!(lines.iter().map(|l| l["figures"]["cost_nanos"].as_i64().unwrap()).sum::<i64>(), 1617);
    let overhead = lines.iter().filter(|l| l["kind"] == "overhead").count();
    assert_eq!((overhead, lines[0]["month"].as_str()), (2, Some("2026-12")));
    // Closing: in order, once, and only what is over.
    close("2026-12").await.refused(409, "conflict", None);
    close("2026-11").await.refused(409, "conflict", None);
    close("2027-01").await.refused(400, "invalid_field", Some("month"));
    close("January").await.refused(400, "invalid_field", Some("month"));
    world.pass(20 * DAY_MS);
    assert_eq!(close("2027-01").await.ok()["total_nanos"], 43);
    let january = world.get("/api/v1/reports/chargeback?month=2027-01").await.ok();
    assert_eq!(rows(&january), [row("Core", 0, 40, 0, 40), row("Web", 3, 0, 0, 3)]);
    let all = world.get("/api/v1/reports/statements").await.ok();
    let months: Vec<_> =
        all["items"].as_array().unwrap().iter().map(|s| s["month"].as_str().unwrap()).collect();
    assert_eq!(months, ["2027-01", "2026-12"]);
    // The digest stands in the audit log, so that it is signed.
    let audited = world.audited("?action=month.close").await;
    assert_eq!(audited[1]["detail"]["digest"], made["digest"], "{audited:?}");
    world.get("/api/v1/reports/statements/2026-11").await.refused(404, "not_found", None);
}

#[tokio::test]
async fn only_finance_and_owners_close_months() {
    let Books { world, .. } = books().await;
    let (body, path) = (json!({"month": "2026-12"}), "/api/v1/reports/statements");
    let rate = json!({"from": "2026-12-01", "per_dollar": "0.9"});
    for role in Role::ALL {
        let token = world.token(role).await;
        assert_eq!(world.ask(&token, "GET", CHARGEBACK, None).await.status, StatusCode::OK, "{role:?} reads");
        if !matches!(role, Role::Owner | Role::Finance) {
            world.ask(&token, "POST", path, Some(body.clone())).await.refused(403, "forbidden", None);
            let to = "/api/v1/reports/exchange-rates/EUR";
            world.ask(&token, "PUT", to, Some(rate.clone())).await.refused(403, "forbidden", None);
        }
    }
    let finance = json!({"name": "f2", "role": "finance"});
    let finance =
        world.post("/api/v1/admin-tokens", finance).await.ok()["token"].as_str().unwrap().to_owned();
    assert_eq!(world.ask(&finance, "POST", path, Some(body)).await.status, StatusCode::CREATED);
    let team = json!({"name": "t", "role": "finance", "team": "Core"});
    let team = world.post("/api/v1/admin-tokens", team).await.ok()["token"].as_str().unwrap().to_owned();
    world.ask(&team, "GET", CHARGEBACK, None).await.refused(403, "forbidden", None);
}

#[tokio::test]
async fn a_report_comes_as_csv_page_and_focus() {
    let Books { world, .. } = books().await;
    world.post("/api/v1/teams", json!({"name": "=cmd|'/c calc'!A1, \"x\""})).await.ok();
    let (_, eve) = with_key(&world, "eve@b.c", Some("=cmd|'/c calc'!A1, \"x\"")).await;
    record(&world, 2, &[costing(Some(eve), DECEMBER, 9, 2_000_000_000)]).await;
    world
        .put("/api/v1/reports/exchange-rates/EUR", json!({"from": "2026-12-31", "per_dollar": "0.5"}))
        .await
        .ok();
    world
        .put("/api/v1/reports/exchange-rates/EUR", json!({"from": "2027-01-01", "per_dollar": "9"}))
        .await
        .ok();
    let csv = world.get(&format!("{CHARGEBACK}&format=csv&currency=EUR")).await;
    assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8");
    let lines: Vec<_> = csv.text.lines().collect();
    assert_eq!(lines.len(), 1 + 4 + 1, "{}", csv.text);
    assert!(lines[1].contains(",\"'=cmd|'/c calc'!A1, \"\"x\"\"\",1,"), "{}", lines[1]);
    assert!(lines[1].ends_with(",2.00,0.00,0.00,2.00,2000000000,EUR,1.00"), "{}", lines[1]);
    assert!(
        lines[5].starts_with(",TOTAL,5,") && lines[5].contains(",2.000001607,2000001607,"),
        "{}",
        lines[5]
    );
    for (language, word) in [("en", "Chargeback 2026-12"), ("zh-CN", "费用分摊"), ("zh-TW", "費用分攤")]
    {
        let page = world.get(&format!("{CHARGEBACK}&format=html&language={language}")).await;
        assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
        assert!(page.text.contains(word) && page.text.contains("2.000001607"), "{language}: {}", page.text);
        assert!(!page.text.contains("<script") && page.text.contains("&quot;x&quot;"), "{}", page.text);
    }
    let focus = world.get(&format!("{CHARGEBACK}&format=focus")).await.text;
    assert_eq!(focus.lines().count(), 1 + 4, "{focus}");
    assert!(focus.starts_with("BilledCost,BillingAccountId,"), "{focus}");
    let nanos = |line: &str| line.split(',').next().unwrap().replace('.', "").parse::<i64>().unwrap();
    assert_eq!(focus.lines().skip(1).map(nanos).sum::<i64>(), 2_000_001_607);
    for (query, field) in [
        ("&by=hour", "by"),
        ("&currency=CNY", "currency"),
        ("&currency=x", "currency"),
        ("&language=de", "language"),
    ] {
        world.get(&format!("{CHARGEBACK}{query}")).await.refused(400, "invalid_field", Some(field));
    }
}

#[tokio::test]
async fn the_month_is_forecast_and_odd_days_are_found() {
    let world = world().await;
    world.post("/api/v1/teams", json!({"name": "Core"})).await.ok();
    let (_, ada) = with_key(&world, "ada@b.c", Some("Core")).await;
    let usd = 1_000_000_000;
    // Two dollars a day for 60 days; yesterday twenty; today one so far.
    let mut all: Vec<Exchange> = (2..=60_u32)
        .map(|day| costing(Some(ada), i64::from(day) * DAY_MS, u128::from(day), 2 * usd))
        .collect();
    all.push(costing(Some(ada), DAY_MS, 1000, 20 * usd));
    all.push(costing(Some(ada), HOUR_MS, 1001, usd));
    record(&world, 1, &all).await;
    let told = world.get("/api/v1/reports/forecast").await.ok();
    // January 1 to 13 by two, the 14th twenty, the 15th one; today and 16 more days by two, except that the days after
    // tomorrow's weekday of the odd day (the 21st and 28th) count it as one of eight: (7 * 2 + 20) / 8.
    assert_eq!((&told["month"], &told["so_far_nanos"]), (&json!("2027-01"), &json!(47 * usd)));
    let odd = (7 * 2 * usd + 20 * usd) / 8;
    assert_eq!(told["days_ahead"], 17);
    assert_eq!(told["expected_nanos"], 46 * usd + 15 * 2 * usd + 2 * odd);
    assert_eq!(
        (&told["low_nanos"], &told["high_nanos"]),
        (&json!(46 * usd + 34 * usd), &json!(46 * usd + 30 * usd + 40 * usd))
    );
    let test = &told["backtest"];
    assert_eq!((&test["days"], &test["within_band"]), (&json!(28), &json!(27)));
    // One error of 18 in 28 days, of 74 dollars.
    assert_eq!((&test["mean_error_nanos"], &test["error_permille"]), (&json!(18 * usd / 28), &json!(243)));
    assert_eq!(world.get("/api/v1/reports/forecast?team=Core").await.ok(), told);
    world.get("/api/v1/reports/forecast?team=Gone").await.refused(404, "not_found", None);
    for by in ["team", "user"] {
        let odd = world.get(&format!("/api/v1/reports/anomalies?by={by}")).await.ok();
        assert_eq!(odd["day"], "2027-01-14");
        let item = &odd["items"][0];
        // The deviation is nothing, so that ten cents stand for it: 0.6745 * 18 / 0.1.
        assert_eq!(
            (&item["spent_usd"], &item["median_usd"], &item["score_hundredths"]),
            (&json!("20.00"), &json!("2.00"), &json!(12141))
        );
    }
    let calm = world.get("/api/v1/reports/anomalies?day=2027-01-13").await.ok();
    assert_eq!(calm["items"], json!([]));
    world.get("/api/v1/reports/anomalies?day=2027-01-16").await.refused(400, "invalid_field", Some("day"));
}

#[tokio::test]
async fn caching_is_weighed_and_what_nobody_uses_is_listed() {
    let Books { world, .. } = books().await;
    let told = world.get("/api/v1/reports/caching?days=60&by=user").await.ok();
    let ada = told["items"].as_array().unwrap().iter().find(|item| item["name"] == "ada@b.c").unwrap();
    // Two times 20 written for five minutes, 30 for an hour and 40 read, at 4, 5, 8 and 0.2 dollars a million.
    assert_eq!(ada["saved_nanos"], 2 * (40 * 3800 - 20 * 1000 - 30 * 4000));
    assert_eq!(ada["reads_per_write_hundredths"], 80);
    let by_model = world.get("/api/v1/reports/caching?days=60&by=model").await.ok();
    assert_eq!(
        (&by_model["items"][0]["saved_nanos"], &by_model["items"][1]),
        (&json!(4 * 12_000), &Value::Null)
    );
    world.get("/api/v1/reports/caching?days=0").await.refused(400, "invalid_field", Some("days"));
    // All were made at the beginning, so that nobody was there thirty days before.
    let unused = world.get("/api/v1/reports/unused").await.ok();
    assert_eq!(unused, json!({"seats": [], "keys": []}));
    world.pass(31 * DAY_MS);
    let unused = world.get("/api/v1/reports/unused?days=30").await.ok();
    assert_eq!((unused["seats"].as_array().unwrap().len(), unused["keys"].as_array().unwrap().len()), (3, 3));
    assert_eq!(unused["keys"][0]["holder"], "ada@b.c");
}

#[tokio::test]
async fn a_bill_is_compared_by_model_and_day() {
    let Books { world, .. } = books().await;
    let compare = async |billed: Value, more: Value| {
        let mut body =
            json!({"month": "2026-12", "billed": billed, "least_usd": "0", "threshold_permille": 10});
        more.as_object().unwrap().iter().for_each(|(key, value)| body[key] = value.clone());
        world.post("/api/v1/reports/reconciliations", body).await
    };
    let amount = |day: &str, model: &str, nanos: i64| json!({"day": day, "model": model, "nanos": nanos});
    let good = json!([
        amount("2026-12-10", "us.anthropic.claude-opus-5-5-20260101-v1:0", 1600),
        amount("2026-12-11", "Claude Opus 5.5", 7)
    ]);
    let told = compare(good.clone(), json!({})).await.ok();
    assert_eq!(
        (&told["alarm"], &told["drift_nanos"], &told["ours_nanos"]),
        (&json!(false), &json!(0), &json!(1607))
    );
    assert_eq!(told["lines"][0]["client_nanos"], Value::Null);
    let more = json!([amount("2026-12-10", "claude-opus-5-5", 1500)]);
    let told = compare(more, json!({})).await.ok();
    assert_eq!(
        (&told["alarm"], &told["lines"][0]["drift_nanos"], &told["lines"][1]["alarm"]),
        (&json!(true), &json!(100), &json!(true))
    );
    let client = json!({"client": [amount("2026-12-10", "claude-opus-5-5", 900), amount("2026-12-11", "claude-opus-5-5", 7)]});
    let three = compare(good, client).await.ok();
    assert_eq!((&three["lines"][0]["alarm"], &three["lines"][1]["alarm"]), (&json!(true), &json!(false)));
    let elsewhere = compare(json!([]), json!({"provider": "other"})).await.ok();
    assert_eq!((&elsewhere["ours_nanos"], &elsewhere["alarm"]), (&json!(0), &json!(false)));
    compare(json!([amount("2026-11-30", "x", 1)]), json!({})).await.refused(
        400,
        "invalid_field",
        Some("billed"),
    );
}

#[tokio::test]
async fn terms_that_cannot_be_used_are_refused() {
    let Books { world, .. } = books().await;
    let to = "/api/v1/reports/allocations/x";
    for (body, field) in [
        (json!({"method": "magic"}), "method"),
        (json!({"method": "even", "amount_usd": "-1"}), "amount_usd"),
        (json!({"method": "fixed"}), "shares"),
        (json!({"method": "fixed", "shares": [{"team": "Core", "weight": 0}]}), "shares"),
        (
            json!({"method": "fixed", "shares": [{"team": "Core", "weight": 1}, {"team": "core", "weight": 1}]}),
            "shares",
        ),
        (json!({"method": "fixed", "shares": [{"team": "Gone", "weight": 1}]}), "shares"),
        (json!({"method": "even", "shares": [{"team": "Core", "weight": 1}]}), "shares"),
    ] {
        world.put(to, body).await.refused(400, "invalid_field", Some(field));
    }
    let fixed = json!({"method": "fixed", "amount_usd": "1", "shares": [{"team": "Core", "weight": 1}, {"team": "Web", "weight": 2}]});
    world.put(to, fixed).await.ok();
    let team = rows(&world.get(CHARGEBACK).await.ok());
    assert_eq!((team[0].3, team[1].3), (666_666_667, 333_333_333), "{team:?}");
    for body in [json!({"from": "soon", "per_dollar": "1"}), json!({"from": "2026-12-01", "per_dollar": "0"})]
    {
        assert_eq!(
            world.put("/api/v1/reports/exchange-rates/EUR", body).await.status,
            StatusCode::BAD_REQUEST
        );
    }
}
