//! `/api/v1/exchanges`.

use axum::Json;
use axum::extract::State;
use gatehouse_domain::exchange::{Attempt, Ended};
use gatehouse_domain::usage::{Geo, ServiceTier, Speed, Tokens, Usage};
use gatehouse_store::ledger::{ExchangeRow, Order};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::{ReadUsage, Scoped};
use super::error::ApiError;
use super::extract::Params;
use super::page::{Items, page};
use crate::act::Range;
use crate::app::App;
use crate::exchange::{self, Wanted};

/// A finished exchange. Never its content.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExchangeView {
    /// Identifier; identifiers sort by time.
    pub id: String,
    /// The `request-id` that the client saw.
    pub request_id: String,
    /// `messages`, `count_tokens`, `models` or `other`.
    pub kind: &'static str,
    /// E-mail address of its user; `null` when the credential was not recognized.
    pub user: Option<String>,
    /// Identifier of its user.
    pub user_id: Option<String>,
    /// Identifier of the key it was made with; `null` when it was made in a session.
    pub key: Option<String>,
    /// Identifier of the sign-in session (`ses_…`) it was made in, when it was.
    pub session_id: Option<String>,
    /// The team it was charged to.
    pub team: Option<String>,
    /// The project it was charged to.
    pub project: Option<String>,
    /// The model asked for.
    pub model: Option<String>,
    /// The model that answered.
    pub served_model: Option<String>,
    /// The provider it was sent to.
    pub provider: Option<String>,
    /// The status the client saw; 0 if it saw none.
    pub status: u16,
    /// How it ended: `completed`, `refused`, `upstream_error`, `upstream_failed`, `client_gone`, `revoked` or `interrupted`.
    pub ended: &'static str,
    /// Which refusal or fault.
    pub reason: Option<String>,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// What it consumed.
    pub usage: UsageOf,
    /// What it cost, in nano-dollars.
    pub cost_nanos: i64,
    /// The same in dollars.
    pub cost_usd: String,
    /// `table`, `contract`, `default` (an unknown model) or `none`.
    pub price_basis: &'static str,
    /// Whether usage is an estimate.
    pub estimated: bool,
    /// When it began (RFC 3339).
    pub started_at: String,
    /// From its beginning to its end, in milliseconds.
    pub duration_ms: u32,
    /// From its beginning to the first byte of the reply, in milliseconds.
    pub first_byte_ms: Option<u32>,
    /// The gateway's own work before the provider was asked, in microseconds; the time the request's body took to
    /// arrive is part of it.
    pub overhead_us: u32,
    /// Bytes of the request.
    pub bytes_in: u64,
    /// Bytes of the reply.
    pub bytes_out: u64,
    /// The client's address.
    pub peer: Option<String>,
    /// The client's own session: one run of it, as it says itself.
    pub session: Option<String>,
    /// The client's program and version.
    pub client: Option<String>,
    /// What the client asked for, where an alias or a fallback made another model of it.
    pub asked: Option<String>,
    /// Attempts that came to nothing before, in order; empty for most.
    pub attempts: Vec<AttemptOf>,
    /// Whether the client's session was with another provider before.
    pub switched: bool,
    /// Members of the body and betas that were left out, since the provider said that it does not know them; empty for most.
    pub left_out: Vec<String>,
    /// What data protection found in the request, by detector, the most frequent first; empty for most. Never what it was.
    pub data_findings: Vec<DataFindingOf>,
    /// What became of it then: `observed` (it went on as it was) or `blocked`.
    pub data_verdict: Option<&'static str>,
}

/// How often a detector found something in a request.
#[derive(Debug, Serialize, ToSchema)]
pub struct DataFindingOf {
    /// The detector's name, such as `github-token`.
    pub detector: String,
    /// How often.
    pub count: u32,
}

/// An attempt that came to nothing.
#[derive(Debug, Serialize, ToSchema)]
pub struct AttemptOf {
    /// The provider that was asked.
    pub provider: String,
    /// `connect`, `timeout`, `broken`, `garbage`, `rate_limited`, `overloaded`, `server_error`, `credential`, `not_served` or
    /// `not_sent`.
    pub fault: &'static str,
    /// From the exchange's beginning to the attempt's end, in milliseconds.
    pub ended_ms: u32,
}

/// Usage, in the words of the Messages API.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsageOf {
    /// Input tokens outside the cache.
    pub input_tokens: u64,
    /// Output tokens, thinking included.
    pub output_tokens: u64,
    /// Tokens written to the cache.
    pub cache_creation_input_tokens: u64,
    /// Tokens read from the cache.
    pub cache_read_input_tokens: u64,
    /// Cache writes by their life.
    pub cache_creation: CacheCreation,
    /// Thinking tokens, part of the output.
    pub thinking_tokens: u64,
    /// Tools that the provider ran.
    pub server_tool_use: ServerToolUse,
    /// `standard`, `priority` or `batch`.
    pub service_tier: &'static str,
    /// `standard` or `fast`.
    pub speed: &'static str,
    /// `us`, or `null` for anywhere.
    pub inference_geo: Option<&'static str>,
    /// Sub-inferences billed apart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub advisors: Vec<AdvisorOf>,
}

/// Cache writes by their life.
#[derive(Debug, Serialize, ToSchema)]
pub struct CacheCreation {
    /// For five minutes.
    pub ephemeral_5m_input_tokens: u64,
    /// For an hour.
    pub ephemeral_1h_input_tokens: u64,
}

/// Tools that the provider ran.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServerToolUse {
    /// Web searches.
    pub web_search_requests: u64,
    /// Web fetches.
    pub web_fetch_requests: u64,
    /// Code executions.
    pub code_execution_requests: u64,
}

/// A sub-inference billed apart.
#[derive(Debug, Serialize, ToSchema)]
pub struct AdvisorOf {
    /// The model that answered.
    pub model: String,
    /// Input tokens outside the cache.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// Tokens written to the cache.
    pub cache_creation_input_tokens: u64,
    /// Tokens read from the cache.
    pub cache_read_input_tokens: u64,
    /// Cache writes by their life.
    pub cache_creation: CacheCreation,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndedView {
    /// Whole.
    Completed,
    /// Refused by the gateway.
    Refused,
    /// The provider answered with an error.
    UpstreamError,
    /// The provider was not reached or broke off.
    UpstreamFailed,
    /// The client left.
    ClientGone,
    /// The key was revoked meanwhile.
    Revoked,
    /// The node stopped meanwhile.
    Interrupted,
}

/// In which order.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderView {
    /// The newest first.
    Newest,
    /// The oldest first.
    Oldest,
}

/// Which exchanges are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// From this UTC time on, or a span back from now such as `7d`.
    since: Option<String>,
    /// Before this UTC time, or a span back from now.
    until: Option<String>,
    /// Of this user, by e-mail address or id.
    user: Option<String>,
    /// Charged to this team, by name or id.
    team: Option<String>,
    /// Made with this key, by id or by the public part of its text.
    key: Option<String>,
    /// That asked for this model.
    model: Option<String>,
    /// That ended so.
    #[param(inline)]
    ended: Option<EndedView>,
    /// Whose client saw this status.
    status: Option<u16>,
    /// `newest` first (if not given) or `oldest` first.
    #[param(inline)]
    order: Option<OrderView>,
    /// Cursor: the `next` of the page before.
    after: Option<String>,
    /// Items of a page, 1 to 1000; 100 if not given.
    limit: Option<u32>,
}

fn attempt(attempt: Attempt) -> AttemptOf {
    AttemptOf { provider: attempt.provider, fault: attempt.fault.as_str(), ended_ms: attempt.ended_ms }
}

impl From<EndedView> for Ended {
    fn from(ended: EndedView) -> Self {
        match ended {
            EndedView::Completed => Self::Completed,
            EndedView::Refused => Self::Refused,
            EndedView::UpstreamError => Self::UpstreamError,
            EndedView::UpstreamFailed => Self::UpstreamFailed,
            EndedView::ClientGone => Self::ClientGone,
            EndedView::Revoked => Self::Revoked,
            EndedView::Interrupted => Self::Interrupted,
        }
    }
}

const fn writes(tokens: &Tokens) -> CacheCreation {
    CacheCreation {
        ephemeral_5m_input_tokens: tokens.cache_write_5m,
        ephemeral_1h_input_tokens: tokens.cache_write_1h,
    }
}

impl From<Usage> for UsageOf {
    fn from(usage: Usage) -> Self {
        let t = usage.tokens;
        Self {
            input_tokens: t.input,
            output_tokens: t.output,
            cache_creation_input_tokens: t.cache_write_5m.saturating_add(t.cache_write_1h),
            cache_read_input_tokens: t.cache_read,
            cache_creation: writes(&t),
            thinking_tokens: usage.thinking,
            server_tool_use: ServerToolUse {
                web_search_requests: usage.server_tools.web_search,
                web_fetch_requests: usage.server_tools.web_fetch,
                code_execution_requests: usage.server_tools.code_execution,
            },
            service_tier: match usage.tier {
                ServiceTier::Standard => "standard",
                ServiceTier::Priority => "priority",
                ServiceTier::Batch => "batch",
            },
            speed: match usage.speed {
                Speed::Standard => "standard",
                Speed::Fast => "fast",
            },
            inference_geo: match usage.geo {
                Geo::Us => Some("us"),
                Geo::Global => None,
            },
            advisors: usage
                .advisors
                .into_iter()
                .map(|advisor| AdvisorOf {
                    input_tokens: advisor.tokens.input,
                    output_tokens: advisor.tokens.output,
                    cache_creation_input_tokens: advisor
                        .tokens
                        .cache_write_5m
                        .saturating_add(advisor.tokens.cache_write_1h),
                    cache_read_input_tokens: advisor.tokens.cache_read,
                    cache_creation: writes(&advisor.tokens),
                    model: advisor.model,
                })
                .collect(),
        }
    }
}

impl From<ExchangeRow> for ExchangeView {
    fn from(row: ExchangeRow) -> Self {
        let e = row.exchange;
        let (data_verdict, found) = e.data.map(|data| (data.verdict.as_str(), data.findings)).unzip();
        Self {
            id: e.id.to_string(),
            request_id: e.request_id,
            kind: e.kind.as_str(),
            user: row.email,
            user_id: e.principal.map(|p| p.user.to_string()),
            key: e.principal.and_then(|p| p.key()).map(|id| id.to_string()),
            session_id: e.principal.and_then(|p| p.session()).map(|id| id.to_string()),
            team: row.team,
            project: row.project,
            model: e.model,
            served_model: e.served_model,
            provider: e.provider,
            status: e.status,
            ended: e.ended.as_str(),
            reason: e.reason,
            stream: e.stream,
            usage: e.usage.into(),
            cost_nanos: e.cost.nanos.0,
            cost_usd: e.cost.nanos.to_string(),
            price_basis: e.cost.basis.as_str(),
            estimated: e.estimated,
            started_at: e.started_at.to_string(),
            duration_ms: e.duration_ms,
            first_byte_ms: e.first_byte_ms,
            overhead_us: e.overhead_us,
            bytes_in: e.bytes_in,
            bytes_out: e.bytes_out,
            peer: e.peer.map(|peer| peer.to_string()),
            session: e.session,
            client: e.client,
            asked: e.asked,
            attempts: e.attempts.into_iter().map(attempt).collect(),
            switched: e.switched,
            left_out: e.left_out,
            data_findings: found
                .unwrap_or_default()
                .into_iter()
                .map(|one| DataFindingOf { detector: one.detector, count: one.count })
                .collect(),
            data_verdict,
        }
    }
}

/// Lists finished exchanges.
#[utoipa::path(
    get, path = "/api/v1/exchanges", tag = "usage", operation_id = "exchange_list", params(Query),
    security(("admin_token" = ["read_usage"])),
    responses((status = 200, body = Items<ExchangeView>))
)]
pub async fn list(
    admin: Scoped<ReadUsage>,
    State(app): State<App>,
    Params(query): Params<Query>,
) -> Result<Json<Items<ExchangeView>>, ApiError> {
    let wanted = Wanted {
        range: Range { since: query.since, until: query.until },
        user: query.user,
        team: query.team,
        key: query.key,
        model: query.model,
        ended: query.ended.map(Ended::from),
        status: query.status,
        order: match query.order {
            None | Some(OrderView::Newest) => Order::Newest,
            Some(OrderView::Oldest) => Order::Oldest,
        },
    };
    let exchanges = exchange::list(&app, admin.scope, wanted, &page(query.after, query.limit)).await?;
    Ok(Json(Items::of(exchanges, ExchangeView::from)))
}
