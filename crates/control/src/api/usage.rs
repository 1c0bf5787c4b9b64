//! `/api/v1/usage`.

use axum::Json;
use axum::extract::State;
use gatehouse_domain::money::Nanos;
use gatehouse_domain::telemetry::Measure;
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::analytics::AnalyticsBy;
use gatehouse_store::ledger::{By, UsageRow};
use gatehouse_store::telemetry::{ClientBy, ClientUsageRow};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::analytics::AnalyticsUsage;
use super::auth::{ReadUsage, Scoped};
use super::error::ApiError;
use super::extract::Params;
use super::page::Items;
use crate::act::{ActError, Range};
use crate::app::App;
use crate::{analytics, telemetry, usage};

/// A sum of usage.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsageView {
    /// Identifier of what the sum is of; empty for what belongs to none.
    pub id: String,
    /// Its name: e-mail address, team, project, model, provider, a key's public part, the beginning of a day or hour.
    pub name: String,
    /// Exchanges.
    pub requests: u64,
    /// Of these, how many failed; refusals of the gateway are not among them.
    pub errors: u64,
    /// Of these, how many the gateway refused.
    pub refusals: u64,
    /// Of these, how many have estimated usage.
    pub estimated: u64,
    /// Input tokens outside the cache.
    pub input_tokens: u64,
    /// Tokens written to the cache, for five minutes and for an hour.
    pub cache_creation_input_tokens: u64,
    /// Of these, for an hour.
    pub cache_creation_1h_input_tokens: u64,
    /// Tokens read from the cache.
    pub cache_read_input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// Web searches.
    pub web_search_requests: u64,
    /// What it cost, in nano-dollars.
    pub cost_nanos: i64,
    /// The same in dollars.
    pub cost_usd: String,
    /// Mean time of an exchange in milliseconds.
    pub mean_duration_ms: u64,
    /// Mean time to the first byte of a reply in milliseconds, of those that had one.
    pub mean_first_byte_ms: Option<u64>,
    /// Whose word it is: `gateway` (counted here), `client` (claimed by clients) or `analytics` (told by the provider).
    pub source: &'static str,
    /// What only clients tell; with `source=client`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientUsage>,
    /// What only the provider's client analytics tell; with `source=analytics`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analytics: Option<AnalyticsUsage>,
}

/// What only clients tell of their use.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClientUsage {
    /// Sessions begun.
    pub sessions: i64,
    /// Prompts.
    pub prompts: i64,
    /// Milliseconds that people were active.
    pub active_user_ms: i64,
    /// Milliseconds that clients were active.
    pub active_client_ms: i64,
    /// Lines added.
    pub lines_added: i64,
    /// Lines removed.
    pub lines_removed: i64,
    /// Commits.
    pub commits: i64,
    /// Pull requests.
    pub pull_requests: i64,
    /// Edits that people accepted.
    pub edits_accepted: i64,
    /// Edits that people rejected.
    pub edits_rejected: i64,
    /// Uses of tools.
    pub tool_calls: i64,
    /// Of these, how many failed.
    pub tool_failures: i64,
    /// Surveys shown.
    pub surveys_shown: i64,
    /// Surveys answered.
    pub surveys_answered: i64,
    /// Nano-dollars by the metric `claude_code.cost.usage`.
    pub metric_cost_nanos: i64,
    /// Nano-dollars by the events `claude_code.api_request`. They say the same of the same use; `cost_nanos` is the larger one,
    /// since a client may send but one of the two.
    pub event_cost_nanos: i64,
}

/// Whose word is wanted.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceView {
    /// What the gateway counted.
    #[default]
    Gateway,
    /// What clients claim. Never part of the gateway's sums.
    Client,
    /// What the provider's client analytics tell, by whole UTC days. Never part of the other sums.
    Analytics,
}

/// What to sum by.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ByView {
    /// Users.
    User,
    /// Teams that were charged.
    Team,
    /// Models.
    Model,
    /// Keys.
    Key,
    /// Projects that were charged.
    Project,
    /// Providers.
    Provider,
    /// UTC days.
    Day,
    /// UTC hours.
    Hour,
    /// Everything in one sum.
    Total,
    /// Terminals; of client analytics only.
    Terminal,
}

/// Which usage is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// What to sum by; `user` if not given.
    #[param(inline)]
    by: Option<ByView>,
    /// From the hour of this UTC time on, or of a span back from now such as `7d`.
    since: Option<String>,
    /// Up to this UTC time, or a span back from now.
    until: Option<String>,
    /// Whose word is wanted; `gateway` if not given.
    #[param(inline)]
    source: Option<SourceView>,
}

/// What clients' claims can be summed by.
fn client_by(by: By) -> Result<ClientBy, ActError> {
    match by {
        By::User => Ok(ClientBy::User),
        By::Team => Ok(ClientBy::Team),
        By::Model => Ok(ClientBy::Model),
        By::Day => Ok(ClientBy::Day),
        By::Hour => Ok(ClientBy::Hour),
        By::Total => Ok(ClientBy::Total),
        By::Key | By::Project | By::Provider => {
            Err(ActError::field("by", "what clients tell is summed by user, team, model, day, hour or total"))
        }
    }
}

impl ByView {
    /// What recorded exchanges can be summed by.
    fn recorded(self) -> Result<By, ActError> {
        Ok(match self {
            Self::User => By::User,
            Self::Team => By::Team,
            Self::Model => By::Model,
            Self::Key => By::Key,
            Self::Project => By::Project,
            Self::Provider => By::Provider,
            Self::Day => By::Day,
            Self::Hour => By::Hour,
            Self::Total => By::Total,
            Self::Terminal => {
                return Err(ActError::field("by", "terminals are known of `source=analytics` only"));
            }
        })
    }

    /// What client analytics can be summed by.
    fn told(self) -> Result<AnalyticsBy, ActError> {
        Ok(match self {
            Self::User => AnalyticsBy::User,
            Self::Model => AnalyticsBy::Model,
            Self::Terminal => AnalyticsBy::Terminal,
            Self::Day => AnalyticsBy::Day,
            Self::Total => AnalyticsBy::Total,
            Self::Team | Self::Key | Self::Project | Self::Provider | Self::Hour => {
                let told = "client analytics are summed by user, model, terminal, day or total";
                return Err(ActError::field("by", told));
            }
        })
    }
}

fn view(by: By, row: UsageRow) -> UsageView {
    let name = match by {
        By::Day | By::Hour => row.id.parse().map_or_else(|_| row.id.clone(), |ms| UnixMillis(ms).to_string()),
        By::Key => row.name.map_or_else(|| row.id.clone(), |public| format!("gh_{public}")),
        By::User | By::Team | By::Model | By::Project | By::Provider | By::Total => {
            row.name.unwrap_or_else(|| row.id.clone())
        }
    };
    UsageView {
        id: row.id,
        name,
        requests: row.requests,
        errors: row.errors,
        refusals: row.refusals,
        estimated: row.estimated,
        input_tokens: row.input_tokens,
        cache_creation_input_tokens: row.cache_write_5m_tokens.saturating_add(row.cache_write_1h_tokens),
        cache_creation_1h_input_tokens: row.cache_write_1h_tokens,
        cache_read_input_tokens: row.cache_read_tokens,
        output_tokens: row.output_tokens,
        web_search_requests: row.web_searches,
        cost_nanos: row.cost.0,
        cost_usd: row.cost.to_string(),
        mean_duration_ms: row.duration_ms.checked_div(row.requests).unwrap_or(0),
        mean_first_byte_ms: row.first_byte_ms.checked_div(row.first_bytes),
        source: "gateway",
        client: None,
        analytics: None,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is mapped over a list that is used up")]
fn client_view(by: By, row: ClientUsageRow) -> UsageView {
    let of = |measure| row.sums.of(measure);
    let count = |measure| of(measure).max(0).unsigned_abs();
    let cost = Nanos(of(Measure::Cost).max(of(Measure::RequestCost)));
    let known = UsageRow { id: row.id.clone(), name: row.name.clone(), ..UsageRow::default() };
    UsageView {
        requests: count(Measure::Requests),
        errors: count(Measure::Errors),
        input_tokens: count(Measure::Input),
        cache_creation_input_tokens: count(Measure::CacheWrite),
        cache_read_input_tokens: count(Measure::CacheRead),
        output_tokens: count(Measure::Output),
        cost_nanos: cost.0,
        cost_usd: cost.to_string(),
        mean_duration_ms: count(Measure::RequestTime).checked_div(count(Measure::Requests)).unwrap_or(0),
        source: "client",
        client: Some(ClientUsage {
            sessions: of(Measure::Sessions),
            prompts: of(Measure::Prompts),
            active_user_ms: of(Measure::ActiveUser),
            active_client_ms: of(Measure::ActiveClient),
            lines_added: of(Measure::LinesAdded),
            lines_removed: of(Measure::LinesRemoved),
            commits: of(Measure::Commits),
            pull_requests: of(Measure::PullRequests),
            edits_accepted: of(Measure::EditsAccepted),
            edits_rejected: of(Measure::EditsRejected),
            tool_calls: of(Measure::Tools),
            tool_failures: of(Measure::ToolFailures),
            surveys_shown: of(Measure::SurveysShown),
            surveys_answered: of(Measure::SurveysAnswered),
            metric_cost_nanos: of(Measure::Cost),
            event_cost_nanos: of(Measure::RequestCost),
        }),
        ..view(by, known)
    }
}

/// Sums usage, the largest cost first; days and hours in their order.
#[utoipa::path(
    get, path = "/api/v1/usage", tag = "usage", operation_id = "usage_get", params(Query),
    security(("admin_token" = ["read_usage"])),
    responses((status = 200, body = Items<UsageView>))
)]
pub async fn get(
    admin: Scoped<ReadUsage>,
    State(app): State<App>,
    Params(query): Params<Query>,
) -> Result<Json<Items<UsageView>>, ApiError> {
    let by = query.by.unwrap_or(ByView::User);
    let range = Range { since: query.since, until: query.until };
    if matches!(query.source, Some(SourceView::Analytics)) {
        let by = by.told()?;
        let sums = analytics::sums(&app, admin.scope, by, range).await?;
        return Ok(Json(Items::all(sums.into_iter().map(|row| super::analytics::view(by, row)).collect())));
    }
    let by = by.recorded()?;
    if matches!(query.source, Some(SourceView::Client)) {
        let sums = telemetry::sums(&app, admin.scope, client_by(by)?, range).await?;
        return Ok(Json(Items::all(sums.into_iter().map(|row| client_view(by, row)).collect())));
    }
    let sums = usage::sums(&app, admin.scope, by, range).await?;
    Ok(Json(Items::all(sums.into_iter().map(|row| view(by, row)).collect())))
}
