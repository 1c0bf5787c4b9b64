//! `/v1/organizations/usage_report/…` and `/v1/organizations/cost_report`, from the hourly sums.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use gatehouse_domain::time::{DAY_MS, HOUR_MS, UnixMillis};
use gatehouse_store::report::{Ask, Bucket, Side, Sums};
use serde_json::{Value, json};

use super::super::auth::{Admin, ReadUsage};
use super::super::error::ApiError;
use super::Pairs;
use crate::act::{ActError, read};
use crate::app::App;
use crate::spend_limit::cents;

/// A part of a report: buckets of one width, from the first up to the end or the limit.
struct Span {
    width: i64,
    first: UnixMillis,
    /// The moment after the last bucket of this page.
    until: UnixMillis,
    more: bool,
}

impl Span {
    fn read(pairs: &Pairs, now: UnixMillis, width: i64, usual: u32, most: u32) -> Result<Self, ActError> {
        let snapped = |at: UnixMillis| UnixMillis(at.0.div_euclid(width) * width);
        let time = |name: &'static str| -> Result<Option<UnixMillis>, ActError> {
            pairs.one(name)?.map(|text| read(name, text.parse::<UnixMillis>())).transpose()
        };
        let start = time("starting_at")?.ok_or_else(|| ActError::field("starting_at", "it is missing"))?;
        let end = time("ending_at")?.unwrap_or_else(|| now.plus_millis(width - 1));
        let page = pairs.one("page")?.map(|page| {
            let at = page.strip_prefix("page_").and_then(|text| text.parse::<i64>().ok());
            at.map(UnixMillis).ok_or_else(|| ActError::field("page", "it is no `next_page` of this report"))
        });
        let first = snapped(page.transpose()?.unwrap_or(start).max(start));
        let end = snapped(end);
        let full = first.plus_millis(i64::from(pairs.limit(usual, most)?) * width);
        Ok(Self { width, first, until: end.min(full).max(first), more: full < end })
    }

    fn next(&self) -> Option<String> {
        self.more.then(|| format!("page_{}", self.until.0))
    }

    /// The report: every bucket, those without use as well.
    fn report(&self, sums: &[Sums], view: impl Fn(&Sums) -> Value) -> Json<Value> {
        let mut results: BTreeMap<i64, Vec<Value>> = BTreeMap::new();
        for sum in sums {
            results.entry(sum.at.0).or_default().push(view(sum));
        }
        let (mut data, mut at) = (Vec::new(), self.first);
        while at < self.until {
            let end = at.plus_millis(self.width);
            let results = results.remove(&at.0).unwrap_or_default();
            data.push(json!({"starting_at": second(at), "ending_at": second(end), "results": results}));
            at = end;
        }
        Json(json!({"data": data, "has_more": self.more, "next_page": self.next()}))
    }
}

/// A time without a fraction of a second, as the provider writes it.
fn second(at: UnixMillis) -> String {
    format!("{}Z", at.to_string().get(..19).unwrap_or_default())
}

/// The sides that the provider's names stand for. A workspace is a project, an account a person.
const SIDES: [(&str, &str, Side); 4] = [
    ("api_key_id", "api_key_ids", Side::Key),
    ("workspace_id", "workspace_ids", Side::Project),
    ("account_id", "account_ids", Side::User),
    ("model", "models", Side::Model),
];

fn sides(pairs: &Pairs) -> Result<Vec<Side>, ActError> {
    let side = |name: String| {
        let found = SIDES.iter().find(|(group, ..)| *group == name);
        let told =
            "expected `api_key_id`, `workspace_id`, `account_id` or `model`: sums are kept by no other";
        found.map(|(.., side)| *side).ok_or_else(|| ActError::field("group_by", told))
    };
    pairs.all("group_by").into_iter().map(side).collect()
}

fn only(pairs: &Pairs) -> Vec<(Side, Vec<String>)> {
    SIDES.iter().map(|(_, filter, side)| (*side, pairs.all(filter))).collect()
}

/// A text, null where it was not asked for or belongs to none.
fn some(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { json!(text) }
}

/// Usage in buckets of an hour or a day.
pub async fn messages(
    _: Admin<ReadUsage>,
    State(app): State<App>,
    pairs: Pairs,
) -> Result<Json<Value>, ApiError> {
    let mut names = vec!["starting_at", "ending_at", "bucket_width", "group_by", "limit", "page"];
    names.extend(SIDES.iter().map(|(_, filter, _)| filter));
    pairs.only(&names)?;
    let (bucket, width, usual, most) = match pairs.one("bucket_width")?.as_deref() {
        None | Some("1d") => (Bucket::Day, DAY_MS, 7, 31),
        Some("1h") => (Bucket::Hour, HOUR_MS, 24, 168),
        Some(_) => {
            return Err(ActError::field(
                "bucket_width",
                "expected `1h` or `1d`: no sums are kept of minutes",
            )
            .into());
        }
    };
    let span = Span::read(&pairs, app.now(), width, usual, most)?;
    let ask = Ask { bucket, only: only(&pairs), ..Ask::span(span.first, span.until, sides(&pairs)?) };
    (app.house.flush_ledger)().await.map_err(ActError::from)?;
    let sums = app.store.report_sums(app.org, &ask).await?;
    Ok(span.report(&sums, |sum| {
        let tokens = &sum.figures.tokens;
        json!({
            "uncached_input_tokens": tokens.input,
            "cache_creation": {
                "ephemeral_1h_input_tokens": tokens.cache_write_1h,
                "ephemeral_5m_input_tokens": tokens.cache_write_5m,
            },
            "cache_read_input_tokens": tokens.cache_read,
            "output_tokens": tokens.output,
            "server_tool_use": {"web_search_requests": sum.figures.web_searches},
            "api_key_id": some(&sum.whose.key_id),
            "workspace_id": some(&sum.whose.project_id),
            "account_id": some(&sum.whose.user_id),
            "model": some(&sum.whose.model),
            "service_account_id": null,
            "service_tier": null,
            "context_window": null,
            "inference_geo": null,
            "speed": null,
        })
    }))
}

/// Cost in buckets of a day. Amounts are cents.
pub async fn cost(
    _: Admin<ReadUsage>,
    State(app): State<App>,
    pairs: Pairs,
) -> Result<Json<Value>, ApiError> {
    pairs.only(&["starting_at", "ending_at", "bucket_width", "group_by", "limit", "page"])?;
    if pairs.one("bucket_width")?.is_some_and(|width| width != "1d") {
        return Err(ActError::field("bucket_width", "expected `1d`").into());
    }
    let side = |name: String| match name.as_str() {
        "workspace_id" => Ok(Side::Project),
        "description" => Ok(Side::Model),
        _ => Err(ActError::field("group_by", "expected `workspace_id` or `description`")),
    };
    let by = pairs.all("group_by").into_iter().map(side).collect::<Result<_, _>>()?;
    let span = Span::read(&pairs, app.now(), DAY_MS, 7, 31)?;
    let ask = Ask { bucket: Bucket::Day, ..Ask::span(span.first, span.until, by) };
    (app.house.flush_ledger)().await.map_err(ActError::from)?;
    let sums = app.store.report_sums(app.org, &ask).await?;
    Ok(span.report(&sums, |sum| {
        json!({
            "currency": "USD",
            "amount": cents(sum.figures.cost),
            "workspace_id": some(&sum.whose.project_id),
            "description": some(&sum.whose.model),
            "model": some(&sum.whose.model),
            // Cost is kept by exchange, not by kind of token.
            "cost_type": null,
            "token_type": null,
            "service_tier": null,
            "context_window": null,
            "inference_geo": null,
        })
    }))
}

/// What each person used on a day, by model. What only clients know (sessions, lines, commits) is null.
pub async fn claude_code(
    _: Admin<ReadUsage>,
    State(app): State<App>,
    pairs: Pairs,
) -> Result<Json<Value>, ApiError> {
    pairs.only(&["starting_at", "limit", "page"])?;
    let start = pairs.one("starting_at")?.ok_or_else(|| ActError::field("starting_at", "it is missing"))?;
    let day = read("starting_at", start.parse::<UnixMillis>())?.day();
    let offset = pairs.one("page")?.map_or(Some(0), |page| page.strip_prefix("page_")?.parse::<usize>().ok());
    let offset = offset.ok_or_else(|| ActError::field("page", "it is no `next_page` of this report"))?;
    let count = pairs.limit(20, 1000)? as usize;
    (app.house.flush_ledger)().await.map_err(ActError::from)?;
    let ask = Ask::span(day, day.plus_millis(DAY_MS), vec![Side::User, Side::Model]);
    let sums = app.store.report_sums(app.org, &ask).await?;
    let people: Vec<&[Sums]> = sums
        .chunk_by(|a, b| a.whose.user_id == b.whose.user_id)
        .filter(|chunk| chunk.first().is_some_and(|sum| !sum.whose.user_id.is_empty()))
        .collect();
    let more = people.len() > offset.saturating_add(count);
    let data: Vec<Value> =
        people.iter().skip(offset).take(count).map(|sums| person(&app, day, sums)).collect();
    let next = more.then(|| format!("page_{}", offset + count));
    Ok(Json(json!({"data": data, "has_more": more, "next_page": next})))
}

fn person(app: &App, day: UnixMillis, sums: &[Sums]) -> Value {
    let model = |sum: &Sums| {
        let tokens = &sum.figures.tokens;
        json!({
            "model": sum.whose.model,
            "tokens": {
                "input": tokens.input,
                "output": tokens.output,
                "cache_read": tokens.cache_read,
                "cache_creation": tokens.cache_write_5m.saturating_add(tokens.cache_write_1h),
            },
            // Whole cents, as the provider gives them; the exact amount is in the cost report.
            "estimated_cost": {"currency": "USD", "amount": (sum.figures.cost.0 / 5_000_000 + 1) / 2},
        })
    };
    json!({
        "date": second(day),
        "actor": {"type": "user_actor", "email_address": sums.first().map(|sum| sum.whose.user.as_str())},
        "organization_id": app.org,
        "customer_type": "api",
        "terminal_type": null,
        "core_metrics": null,
        "tool_actions": null,
        "model_breakdown": sums.iter().map(model).collect::<Vec<_>>(),
    })
}
