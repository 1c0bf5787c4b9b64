//! The provider's Admin API as its tools call it.

use axum::body::Body;
use axum::http::Request;
use gatehouse_domain::exchange::{Cost, Exchange, PriceBasis};
use gatehouse_domain::money::Nanos;
use gatehouse_domain::role::Role;
use gatehouse_domain::time::{DAY_MS, HOUR_MS};
use serde_json::{Value, json};

use crate::house::{Answer, World, world};
use crate::usage::{exchange, record, with_key};

const LIMITS: &str = "/v1/organizations/spend_limits";

/// As the provider's tools ask: the token in `x-api-key`.
async fn ask(world: &World, token: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
    let mut req = Request::builder().method(method).uri(path).header("host", "localhost");
    req = req.header("x-api-key", token).header("anthropic-version", "2023-06-01");
    let body = body.map_or_else(Body::empty, |value| Body::from(value.to_string()));
    world.send(req.header("content-type", "application/json").body(body).unwrap()).await
}

async fn owner(world: &World, method: &str, path: &str, body: Option<Value>) -> Answer {
    ask(world, &world.owner, method, path, body).await
}

#[track_caller]
fn refused(answer: &Answer, status: u16, kind: &str) {
    let body = answer.json();
    assert_eq!((answer.status.as_u16(), body["error"]["type"].as_str()), (status, Some(kind)), "{body}");
    assert_eq!(
        (&body["type"], body["request_id"].as_str()),
        (&json!("error"), answer.headers["request-id"].to_str().ok())
    );
}

/// Ada spent a dollar and a quarter an hour ago and a dollar yesterday, Bob half a cent.
async fn busy() -> World {
    let world = world().await;
    world.post("/api/v1/teams", json!({"name": "Core"})).await.ok();
    let (_, ada) = with_key(&world, "ada@b.c", Some("Core")).await;
    let (_, bob) = with_key(&world, "bob@b.c", None).await;
    let costing = |who, ago, n, nanos| Exchange {
        cost: Cost { nanos: Nanos(nanos), basis: PriceBasis::Table },
        ..exchange(Some(who), ago, n)
    };
    let exchanges = [
        costing(ada, HOUR_MS, 1, 1_250_000_000),
        costing(ada, DAY_MS, 2, 1_000_000_000),
        costing(bob, HOUR_MS, 3, 5_000_000),
    ];
    record(&world, &exchanges).await;
    world
}

#[tokio::test]
async fn a_limit_is_set_replaced_read_and_removed() {
    let world = busy().await;
    let limit = |amount: &str| json!({"scope": {"type": "user", "user_id": "ada@b.c"}, "amount": amount, "period": "monthly"});
    let made = owner(&world, "POST", LIMITS, Some(limit("50000"))).await.ok();
    assert!(made["id"].as_str().unwrap().starts_with("spl_"), "{made}");
    let shown = ["type", "amount", "currency", "period"].map(|key| made[key].as_str().unwrap());
    assert_eq!(shown, ["spend_limit", "50000", "USD", "monthly"]);
    // It is a budget, and the same one when it is replaced.
    world.pass(1000);
    let again = owner(&world, "POST", LIMITS, Some(limit("0"))).await.ok();
    assert_eq!(
        (&again["id"], &again["amount"], &again["created_at"]),
        (&made["id"], &json!("0"), &made["created_at"])
    );
    assert_ne!(again["updated_at"], made["updated_at"]);
    let budgets = world.get("/api/v1/budgets").await.ok();
    assert_eq!((&budgets["items"][0]["limit_nanos"], &budgets["items"][1]), (&json!(0), &Value::Null));
    let path = format!("{LIMITS}/{}", made["id"].as_str().unwrap());
    assert_eq!(owner(&world, "GET", &path, None).await.ok(), again);
    let gone = owner(&world, "DELETE", &path, None).await.ok();
    assert_eq!(gone, json!({"type": "spend_limit_deleted", "id": made["id"]}));
    refused(&owner(&world, "GET", &path, None).await, 404, "not_found_error");
    refused(&owner(&world, "DELETE", &path, None).await, 404, "not_found_error");
    let log = owner(&world, "GET", &format!("{LIMITS}/audit?limit=2"), None).await.ok();
    let actions: Vec<_> =
        log["data"].as_array().unwrap().iter().map(|e| e["action"].as_str().unwrap()).collect();
    assert_eq!((actions, &log["has_more"]), (vec!["budget.remove", "budget.set"], &json!(true)));
}

#[tokio::test]
async fn what_cannot_be_a_limit_is_refused_in_the_providers_words() {
    let world = busy().await;
    let user = json!({"type": "user", "user_id": "ada@b.c"});
    for body in [
        json!({"scope": {"type": "organization"}, "amount": "1", "period": "daily"}),
        json!({"scope": {"type": "rbac_group", "rbac_group_id": "core"}, "amount": "1", "period": "daily"}),
        json!({"scope": user, "amount": null, "period": "daily"}),
        json!({"scope": user, "amount": "1.5", "period": "daily"}),
        json!({"scope": user, "amount": "-1", "period": "daily"}),
        json!({"scope": user, "amount": "99999999999999999999", "period": "daily"}),
        json!({"scope": user, "amount": "1", "period": "yearly"}),
        json!({"scope": user, "amount": "1", "period": "daily", "currency": "EUR"}),
        json!({"scope": user, "amount": "1", "period": "daily", "more": 1}),
    ] {
        refused(&owner(&world, "POST", LIMITS, Some(body)).await, 400, "invalid_request_error");
    }
    for path in [
        "?limit=0",
        "?limit=1001",
        "?after_id=x",
        "?after_id=a&before_id=b",
        "?huh=1",
        "/effective?sort=spend_desc",
        "/effective?page=%21",
    ] {
        let answer = owner(&world, "GET", &format!("{LIMITS}{path}"), None).await;
        assert!(matches!(answer.status.as_u16(), 400 | 404), "{path}: {}", answer.text);
    }
    refused(&ask(&world, "gha_wrong", "GET", LIMITS, None).await, 401, "authentication_error");
    refused(&ask(&world, "", "GET", LIMITS, None).await, 401, "authentication_error");
    let auditor = world.token(Role::Auditor).await;
    assert_eq!(ask(&world, &auditor, "GET", LIMITS, None).await.status, 200);
    let body = json!({"scope": user, "amount": "1", "period": "daily"});
    refused(&ask(&world, &auditor, "POST", LIMITS, Some(body)).await, 403, "permission_error");
    refused(&owner(&world, "GET", "/v1/organizations/nothing", None).await, 404, "not_found_error");
}

#[tokio::test]
async fn limits_are_paged_both_ways() {
    let world = world().await;
    for n in 0..5 {
        world.post("/api/v1/users", json!({"email": format!("u{n}@b.c")})).await.ok();
        world.pass(1000);
        let body = json!({"scope": {"type": "user", "user_id": format!("u{n}@b.c")}, "amount": n.to_string(), "period": "weekly"});
        owner(&world, "POST", LIMITS, Some(body)).await.ok();
    }
    let page = async |query: &str| {
        let page = owner(&world, "GET", &format!("{LIMITS}?{query}"), None).await.ok();
        let amounts: Vec<String> = page["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|l| l["amount"].as_str().unwrap().to_owned())
            .collect();
        let id = |key: &str| page[key].as_str().unwrap_or_default().to_owned();
        (amounts.join(""), page["has_more"] == json!(true), id("first_id"), id("last_id"))
    };
    let (amounts, more, _, last) = page("limit=2").await;
    assert_eq!((amounts.as_str(), more), ("01", true));
    let (amounts, more, first, last) = page(&format!("limit=2&after_id={last}")).await;
    assert_eq!((amounts.as_str(), more), ("23", true));
    let (amounts, more, ..) = page(&format!("limit=2&after_id={last}")).await;
    assert_eq!((amounts.as_str(), more), ("4", false));
    let (amounts, more, ..) = page(&format!("limit=1&before_id={first}")).await;
    assert_eq!((amounts.as_str(), more), ("1", true));
}

#[tokio::test]
async fn what_holds_for_whom_is_told_with_what_they_spent() {
    let world = busy().await;
    let body = json!({"scope": {"type": "user", "user_id": "bob@b.c"}, "amount": "700", "period": "daily"});
    let made = owner(&world, "POST", LIMITS, Some(body)).await.ok();
    let effective =
        async |query: &str| owner(&world, "GET", &format!("{LIMITS}/effective?{query}"), None).await.ok();
    let shown = |page: &Value| {
        let row = |r: &Value| {
            let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
            [&r["actor"]["email_address"], &r["period"], &r["amount"], &r["period_to_date_spend"]]
                .map(text)
                .join(" ")
        };
        page["data"].as_array().unwrap().iter().map(row).collect::<Vec<_>>()
    };
    let all = effective("user_ids[]=ada@b.c&user_ids[]=bob@b.c&user_ids[]=gone@b.c").await;
    let expected = [
        "ada@b.c daily - 125",
        "ada@b.c weekly - 225",
        "ada@b.c monthly - 225",
        "bob@b.c daily 700 0.5",
        "bob@b.c weekly - 0.5",
        "bob@b.c monthly - 0.5",
    ];
    assert_eq!(shown(&all), expected);
    let bob = &all["data"][3];
    assert_eq!(
        (&bob["spend_limit_id"], &bob["source"], &all["next_page"]),
        (&made["id"], &json!({"type": "user"}), &Value::Null)
    );
    assert_eq!(all["data"][0]["groups"], json!([]));
    let first = effective("period[]=daily&sort=spend_desc&limit=1").await;
    assert_eq!(shown(&first), ["ada@b.c daily - 125"]);
    let next = effective(&format!(
        "period[]=daily&sort=spend_desc&limit=1&page={}",
        first["next_page"].as_str().unwrap()
    ))
    .await;
    assert_eq!((shown(&next), &next["next_page"]), (vec!["bob@b.c daily 700 0.5".to_owned()], &Value::Null));
    assert_eq!(shown(&effective("period[]=daily&q=BOB").await), ["bob@b.c daily 700 0.5"]);
    let mut seen = Vec::new();
    let mut page = effective("period=monthly&limit=1").await;
    loop {
        seen.extend(shown(&page));
        let Some(next) = page["next_page"].as_str().map(str::to_owned) else { break };
        page = effective(&format!("period=monthly&limit=1&page={next}")).await;
    }
    assert!(seen.len() >= 2 && seen.contains(&"ada@b.c monthly - 225".to_owned()), "{seen:?}");
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases is read as one")]
async fn usage_and_cost_come_in_the_providers_buckets() {
    let world = busy().await;
    let get = async |path: &str| owner(&world, "GET", &format!("/v1/organizations/{path}"), None).await;
    let usage = "usage_report/messages?starting_at=2027-01-14T00:00:00Z&ending_at=2027-01-16T00:00:00Z";
    let days = get(usage).await.ok();
    assert_eq!(days["data"].as_array().unwrap().len(), 2);
    let today = &days["data"][1];
    assert_eq!(
        (&today["starting_at"], &today["ending_at"]),
        (&json!("2027-01-15T00:00:00Z"), &json!("2027-01-16T00:00:00Z"))
    );
    let sum = &today["results"][0];
    // Ten of each exchange, and one of its advisor.
    assert_eq!(
        (&sum["uncached_input_tokens"], &sum["output_tokens"], &sum["cache_read_input_tokens"]),
        (&json!(22), &json!(100), &json!(80))
    );
    assert_eq!(
        sum["cache_creation"],
        json!({"ephemeral_1h_input_tokens": 60, "ephemeral_5m_input_tokens": 40})
    );
    assert_eq!(
        (&sum["model"], &sum["service_tier"], &days["has_more"]),
        (&Value::Null, &Value::Null, &json!(false))
    );
    let grouped =
        get(&format!("{usage}&group_by[]=model&group_by[]=account_id&models[]=claude-opus-5-5")).await.ok();
    assert_eq!(grouped["data"][1]["results"].as_array().unwrap().len(), 2);
    assert_eq!(grouped["data"][1]["results"][0]["model"], "claude-opus-5-5");
    assert_eq!(get(&format!("{usage}&models[]=none")).await.ok()["data"][1]["results"], json!([]));
    // Pages: together they are the whole.
    let (mut page, mut buckets, mut pages) =
        (get(&format!("{usage}&bucket_width=1h&limit=30")).await.ok(), 0, 0);
    loop {
        pages += 1;
        buckets += page["data"].as_array().unwrap().len();
        let Some(next) = page["next_page"].as_str().map(str::to_owned) else { break };
        page = get(&format!("{usage}&bucket_width=1h&limit=30&page={next}")).await.ok();
    }
    assert_eq!((buckets, pages), (48, 2));
    let cost = get("cost_report?starting_at=2027-01-14T00:00:00Z&group_by[]=description").await.ok();
    let amount = |day: usize| cost["data"][day]["results"][0]["amount"].as_str().unwrap().to_owned();
    assert_eq!((amount(0), amount(1)), ("100".to_owned(), "125.5".to_owned()));
    assert_eq!(cost["data"][1]["results"][0]["model"], "claude-opus-5-5");
    let code = get("usage_report/claude_code?starting_at=2027-01-15&limit=1").await.ok();
    assert_eq!((code["data"].as_array().unwrap().len(), &code["has_more"]), (1, &json!(true)));
    let next = code["next_page"].as_str().unwrap();
    let rest =
        get(&format!("usage_report/claude_code?starting_at=2027-01-15&limit=1&page={next}")).await.ok();
    let mut people = [&code["data"][0], &rest["data"][0]].map(|person| {
        let model = &person["model_breakdown"][0];
        (
            person["actor"]["email_address"].as_str().unwrap().to_owned(),
            model["estimated_cost"]["amount"].as_i64(),
            model["tokens"]["cache_creation"].as_i64(),
        )
    });
    people.sort();
    assert_eq!(
        people,
        [("ada@b.c".to_owned(), Some(125), Some(50)), ("bob@b.c".to_owned(), Some(1), Some(50))]
    );
    for path in [
        "usage_report/messages",
        "usage_report/messages?starting_at=x",
        "usage_report/messages?starting_at=2027-01-14T00:00:00Z&bucket_width=1m",
        "usage_report/messages?starting_at=2027-01-14T00:00:00Z&group_by[]=speed",
        "usage_report/messages?starting_at=2027-01-14T00:00:00Z&limit=32",
        "usage_report/messages?starting_at=2027-01-14T00:00:00Z&context_window[]=0-200k",
        "cost_report?starting_at=2027-01-14T00:00:00Z&group_by[]=model",
        "usage_report/claude_code",
    ] {
        refused(&get(path).await, 400, "invalid_request_error");
    }
}
