//! `/v1/organizations/spend_limits`.

use axum::Json;
use axum::extract::State;
use base64ct::{Base64UrlUnpadded, Encoding as _};
use gatehouse_domain::audit::Entry;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::auth::{Admin, ReadAudit, ReadUsage, WriteBudgets};
use super::super::error::ApiError;
use super::super::extract::{Body, Segment};
use super::Pairs;
use crate::act::ActError;
use crate::app::App;
use crate::spend_limit::{self, Effective, SpendLimit, Wanted, cents, read_period};

/// A limit to set.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewLimit {
    scope: ScopeBody,
    amount: Option<String>,
    period: String,
    currency: Option<String>,
}

/// Whose limit.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScopeBody {
    #[serde(rename = "type")]
    kind: String,
    user_id: Option<String>,
    rbac_group_id: Option<String>,
}

fn view(limit: &SpendLimit) -> Value {
    json!({
        "type": "spend_limit",
        "id": limit.id,
        "created_at": limit.created_at.to_string(),
        "updated_at": limit.updated_at.to_string(),
        "scope": {"type": "user", "user_id": limit.user},
        "amount": cents(limit.amount),
        "currency": "USD",
        "period": limit.period.adjective(),
    })
}

/// Sets what a person may spend in a period, in place of the limit they have there.
pub async fn set(
    admin: Admin<WriteBudgets>,
    State(app): State<App>,
    Body(body): Body<NewLimit>,
) -> Result<Json<Value>, ApiError> {
    if body.currency.as_deref().is_some_and(|currency| currency != "USD") {
        return Err(ActError::field("currency", "expected USD").into());
    }
    let (Some(user), "user", None) =
        (&body.scope.user_id, body.scope.kind.as_str(), &body.scope.rbac_group_id)
    else {
        let told = "only `{\"type\":\"user\",\"user_id\":…}` can be set here: what a group or the organization may spend \
                    is a shared budget (`gatehouse budget add`), not a limit for each member";
        return Err(ActError::field("scope", told).into());
    };
    let none = "a person is without limit by having none: delete it instead";
    let amount = body.amount.as_deref().ok_or_else(|| ActError::field("amount", none))?;
    Ok(Json(view(&spend_limit::set(&app, &admin.caller, user, amount, &body.period).await?)))
}

/// Lists the limits that were set.
pub async fn list(
    _: Admin<ReadUsage>,
    State(app): State<App>,
    pairs: Pairs,
) -> Result<Json<Value>, ApiError> {
    pairs.only(&["limit", "after_id", "before_id"])?;
    let (after, before) = (pairs.one("after_id")?, pairs.one("before_id")?);
    if after.is_some() && before.is_some() {
        return Err(ActError::field("before_id", "it excludes `after_id`").into());
    }
    let count = pairs.limit(20, 1000)? as usize;
    let (limits, more) = spend_limit::list(&app, after.as_deref(), before.as_deref(), count).await?;
    let id = |limit: Option<&SpendLimit>| limit.map(|limit| limit.id.clone());
    Ok(Json(json!({
        "data": limits.iter().map(view).collect::<Vec<_>>(),
        "has_more": more,
        "first_id": id(limits.first()),
        "last_id": id(limits.last()),
    })))
}

/// Gives a limit.
pub async fn read(
    _: Admin<ReadUsage>,
    State(app): State<App>,
    Segment(id): Segment,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(view(&spend_limit::get(&app, &id).await?)))
}

/// Removes a limit.
pub async fn remove(
    admin: Admin<WriteBudgets>,
    State(app): State<App>,
    Segment(id): Segment,
) -> Result<Json<Value>, ApiError> {
    spend_limit::remove(&app, &admin.caller, &id).await?;
    Ok(Json(json!({"type": "spend_limit_deleted", "id": id})))
}

/// What holds for whom, and what they have spent.
pub async fn effective(
    _: Admin<ReadUsage>,
    State(app): State<App>,
    pairs: Pairs,
) -> Result<Json<Value>, ApiError> {
    pairs.only(&["user_ids", "period", "sort", "q", "limit", "page"])?;
    let mut periods = pairs.all("period");
    if periods.is_empty() {
        periods = ["daily", "weekly", "monthly"].map(str::to_owned).to_vec();
    }
    let by_spend = match pairs.one("sort")?.as_deref() {
        None => false,
        Some("spend_desc") => true,
        Some(_) => return Err(ActError::field("sort", "expected `spend_desc`").into()),
    };
    let users = pairs.all("user_ids");
    if users.len() > 1000 {
        return Err(ActError::field("user_ids", "expected at most 1000").into());
    }
    let wanted = Wanted {
        users,
        periods: periods.iter().map(|text| read_period(text)).collect::<Result<_, _>>()?,
        text: pairs.one("q")?,
        by_spend,
        page: pairs.one("page")?.map(|page| cursor(&page)).transpose()?,
        count: pairs.limit(20, 1000)?,
    };
    let (rows, next) = spend_limit::effective(&app, &wanted).await?;
    let data: Vec<Value> = rows.iter().map(summary).collect();
    let next = next.map(|next| Base64UrlUnpadded::encode_string(next.as_bytes()));
    Ok(Json(json!({"data": data, "next_page": next})))
}

fn cursor(page: &str) -> Result<String, ActError> {
    let bytes = Base64UrlUnpadded::decode_vec(page).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| ActError::field("page", "it is no cursor of this list"))
}

fn summary(row: &Effective) -> Value {
    let limit = row.limit.as_ref();
    json!({
        "type": "spend_summary",
        "scope": {"type": "user", "user_id": row.user.id},
        "actor": {
            "type": "user_actor",
            "user_id": row.user.id,
            "name": row.user.name,
            "email_address": row.user.email,
            "deleted": false,
        },
        "amount": limit.map(|limit| cents(limit.amount)),
        "currency": "USD",
        "period": row.period.adjective(),
        "source": limit.map(|_| json!({"type": "user"})),
        "spend_limit_id": limit.map(|limit| &limit.id),
        "period_to_date_spend": cents(row.spent),
        "groups": row.user.teams,
    })
}

/// What was changed of budgets, the newest first.
pub async fn audit(
    _: Admin<ReadAudit>,
    State(app): State<App>,
    pairs: Pairs,
) -> Result<Json<Value>, ApiError> {
    pairs.only(&["limit"])?;
    let (entries, more) = spend_limit::audit(&app, pairs.limit(20, 1000)?).await?;
    let entry = |entry: &Entry| {
        json!({
            "type": "spend_limit_audit",
            "id": entry.seq.to_string(),
            "created_at": entry.act.at.to_string(),
            "actor": format!("{}:{}", entry.act.actor.kind.as_str(), entry.act.actor.name),
            "action": entry.act.action,
            "object_id": entry.act.object.id,
            "detail": entry.act.detail,
        })
    };
    Ok(Json(json!({"data": entries.iter().map(entry).collect::<Vec<_>>(), "has_more": more})))
}
