//! `/api/v1/proxy`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use gatehouse_domain::proxy::{Form, Holder};
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::proxy::RuleRow;
use gatehouse_store::tunnel::TunnelRow;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::{Admin, ReadConfig, ReadDirectory, ReadUsage, Scoped, WriteAccess};
use super::change::Changed;
use super::error::ApiError;
use super::extract::{Body, Params, Segment};
use super::page::{Items, page};
use crate::act::ActError;
use crate::app::App;
use crate::proxy::{self, Explained, NewRule, Wanted};

/// An access rule of the forward proxy.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProxyRuleView {
    /// Its name, which refusals and records give.
    #[schema(example = "claude-core")]
    pub name: String,
    /// `allow`, `deny`, or `report` (lets through and marks the record).
    pub action: &'static str,
    /// Whom it concerns: `organization`, `team` or `user`.
    pub holder_kind: &'static str,
    /// The team's name or the user's e-mail address; null for everybody.
    pub holder: Option<String>,
    /// Host patterns.
    pub hosts: Vec<String>,
    /// Ports; empty for all that the proxy goes to.
    pub ports: Vec<u16>,
    /// Whether plain HTTP goes through too.
    pub plain: bool,
    /// Networks inside the organization that its hosts may lie in.
    pub internal: Vec<String>,
    /// Days and hours in UTC in which it counts; null for always.
    pub times: Option<String>,
    /// When it was made (RFC 3339).
    pub created_at: String,
}

/// All access rules, in their order: the first that fits decides.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProxyRules {
    /// The rules.
    pub items: Vec<ProxyRuleView>,
}

/// An access rule to add. Of `team` and `user` at most one is given; none of them is everybody.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProxyRule {
    /// Its name: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// `allow`, `deny` or `report`.
    pub action: String,
    /// A team, by name or id: its members, and who charges it.
    pub team: Option<String>,
    /// A person, by e-mail address or id.
    pub user: Option<String>,
    /// A name, `*.` and a name for everything below it, `*` for every name, a network such as `10.0.0.0/8` for addresses,
    /// or `preset:` and one of core, sign-in, updates, npm, connectors, telemetry, artifacts, docs.
    pub hosts: Vec<String>,
    /// Ports; none for all that the proxy goes to.
    #[serde(default)]
    pub ports: Vec<u16>,
    /// Whether plain HTTP goes through too.
    #[serde(default)]
    pub plain: bool,
    /// Networks inside the organization that the hosts may lie in.
    #[serde(default)]
    pub internal: Vec<String>,
    /// Days and hours in UTC.
    #[schema(example = "mon-fri 07:00-19:00")]
    pub times: Option<String>,
    /// The rule that it stands in front of; at the end if not given.
    pub before: Option<String>,
}

/// A tunnel, a forwarded request, or a refusal.
#[derive(Debug, Serialize, ToSchema)]
pub struct TunnelView {
    /// Identifier; identifiers sort by time.
    pub id: String,
    /// E-mail address of its user; null when nobody was recognized.
    pub user: Option<String>,
    /// Identifier of its user.
    pub user_id: Option<String>,
    /// How they were recognized: the identifier of a key or session, `certificate` or `network`.
    pub via: Option<String>,
    /// The client's address.
    pub client: String,
    /// `connect` or `plain`.
    pub form: String,
    /// The host asked for.
    pub host: String,
    /// The port asked for.
    pub port: u16,
    /// The address that was connected to, or was to be.
    pub pinned: Option<String>,
    /// The rule that decided.
    pub rule: String,
    /// `allow`, `report` or `deny`.
    pub verdict: String,
    /// When it began (RFC 3339).
    pub started_at: String,
    /// How long looking the name up took, in milliseconds.
    pub resolve_ms: Option<i64>,
    /// How long connecting took, in milliseconds.
    pub connect_ms: Option<i64>,
    /// When it ended (RFC 3339); null while it is open.
    pub ended_at: Option<String>,
    /// How long it was open, in milliseconds.
    pub duration_ms: Option<i64>,
    /// Bytes from the client; null while it is open, and where the node died.
    pub bytes_up: Option<u64>,
    /// Bytes to the client.
    pub bytes_down: Option<u64>,
    /// How it ended: `done`, `refused`, `unreachable`, `client_gone`, `server_gone`, `idle`, `limit`, `revoked`, `stopped`,
    /// `untrusted` (the client does not take the inspection's certificate) or `interrupted`.
    pub ended: Option<String>,
    /// How many requests were seen in it; null where it was not looked into.
    pub inspected: Option<u64>,
    /// The node it went through.
    pub node: String,
}

/// Which tunnels are wanted; all conditions apply.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TunnelQuery {
    /// Those of this person, by e-mail address or id.
    user: Option<String>,
    /// Those that began at this UTC time or later; or a span back from now such as `24h`.
    since: Option<String>,
    /// Those with this verdict: `allow`, `report` or `deny`.
    verdict: Option<String>,
    /// Those to this host.
    host: Option<String>,
    /// Cursor: the `next` of the page before.
    after: Option<String>,
    /// Items of a page, 1 to 1000; 100 if not given.
    limit: Option<u32>,
}

/// What is to be explained.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ProxyExplainQuery {
    /// Who, by e-mail address or id.
    user: String,
    /// Where to: a host, with or without a port.
    host: String,
    /// Whether by plain HTTP instead of a tunnel.
    #[serde(default)]
    plain: bool,
}

/// What would become of a connection.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProxyExplained {
    /// The destination as it was read.
    pub destination: String,
    /// `allow`, `report` or `deny`.
    pub verdict: &'static str,
    /// The rule that decides: one of the organization's, or one of the proxy's own.
    pub rule: String,
    /// Why, in words.
    pub why: String,
    /// The addresses that were looked at.
    pub addresses: Vec<String>,
    /// Whether it would be looked into; null where nothing would go through.
    pub inspected: Option<bool>,
    /// Which setting says so, in words.
    pub inspected_why: Option<String>,
}

impl From<RuleRow> for ProxyRuleView {
    fn from(row: RuleRow) -> Self {
        let rule = row.rule;
        Self {
            name: rule.name.to_string(),
            action: rule.action.as_str(),
            holder_kind: match rule.holder {
                Holder::Organization => "organization",
                Holder::Team(_) => "team",
                Holder::User(_) => "user",
            },
            holder: row.holder_name,
            hosts: rule.hosts.iter().map(ToString::to_string).collect(),
            ports: rule.ports,
            plain: rule.plain,
            internal: rule.internal.iter().map(ToString::to_string).collect(),
            times: rule.window.map(|window| window.to_string()),
            created_at: row.created_at.to_string(),
        }
    }
}

impl TunnelView {
    pub(super) fn of(row: TunnelRow) -> Result<Self, ApiError> {
        let (bytes_up, bytes_down) = row.bytes().map_err(ActError::from)?;
        Ok(Self {
            inspected: row.inspected().map_err(ActError::from)?,
            port: row.port().map_err(ActError::from)?,
            bytes_up,
            bytes_down,
            id: row.id,
            user: row.email,
            user_id: row.user_id,
            via: row.via,
            client: row.client,
            form: row.form,
            host: row.host,
            pinned: row.pinned,
            rule: row.rule,
            verdict: row.verdict,
            started_at: UnixMillis(row.started_at).to_string(),
            resolve_ms: row.resolve_ms,
            connect_ms: row.connect_ms,
            ended_at: row.ended_at.map(|at| UnixMillis(at).to_string()),
            duration_ms: row.ended_at.map(|at| at.saturating_sub(row.started_at)),
            ended: row.ended,
            node: row.node_id,
        })
    }
}

impl From<Explained> for ProxyExplained {
    fn from(explained: Explained) -> Self {
        let Explained { destination, verdict, rule, why, addresses, inspection } = explained;
        let (inspected, inspected_why) = inspection.unzip();
        Self { destination, verdict: verdict.as_str(), rule, why, addresses, inspected, inspected_why }
    }
}

/// Lists the access rules of the forward proxy in their order.
#[utoipa::path(
    get, path = "/api/v1/proxy/rules", tag = "proxy", operation_id = "proxy_rule_list",
    security(("admin_token" = ["read_config"])),
    responses((status = 200, body = ProxyRules))
)]
pub async fn list(_: Admin<ReadConfig>, State(app): State<App>) -> Result<Json<ProxyRules>, ApiError> {
    let items = proxy::rules(&app).await?.into_iter().map(ProxyRuleView::from).collect();
    Ok(Json(ProxyRules { items }))
}

/// Adds an access rule. Tunnels that it denies are ended within seconds.
#[utoipa::path(
    post, path = "/api/v1/proxy/rules", tag = "proxy", operation_id = "proxy_rule_add", request_body = NewProxyRule,
    security(("admin_token" = ["write_access"])),
    responses((status = 201, body = Changed<ProxyRuleView>))
)]
pub async fn add(
    admin: Admin<WriteAccess>,
    State(app): State<App>,
    Body(new): Body<NewProxyRule>,
) -> Result<(StatusCode, Json<Changed<ProxyRuleView>>), ApiError> {
    let NewProxyRule { name, action, team, user, hosts, ports, plain, internal, times, before } = new;
    let new = NewRule { name, action, team, user, hosts, ports, plain, internal, times, before };
    let made = proxy::add(&app, &admin.caller, &new).await?;
    Ok((StatusCode::CREATED, Json(Changed::of(made, ProxyRuleView::from))))
}

/// Removes an access rule. Tunnels that no other rule allows are ended within seconds.
#[utoipa::path(
    delete, path = "/api/v1/proxy/rules/{rule}", tag = "proxy", operation_id = "proxy_rule_remove",
    params(("rule" = String, Path, description = "Its name")),
    security(("admin_token" = ["write_access"])),
    responses((status = 200, description = "As it was", body = Changed<ProxyRuleView>))
)]
pub async fn remove(
    admin: Admin<WriteAccess>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<Json<Changed<ProxyRuleView>>, ApiError> {
    let gone = proxy::remove(&app, &admin.caller, &given).await?;
    Ok(Json(Changed::of(gone, ProxyRuleView::from)))
}

/// Lists tunnels, newest first. Who is limited to a team or a person sees theirs.
#[utoipa::path(
    get, path = "/api/v1/proxy/tunnels", tag = "proxy", operation_id = "proxy_tunnel_list", params(TunnelQuery),
    security(("admin_token" = ["read_usage"])),
    responses((status = 200, body = Items<TunnelView>))
)]
pub async fn tunnels(
    admin: Scoped<ReadUsage>,
    State(app): State<App>,
    Params(query): Params<TunnelQuery>,
) -> Result<Json<Items<TunnelView>>, ApiError> {
    let TunnelQuery { user, since, verdict, host, after, limit } = query;
    let wanted = Wanted { user, since, verdict, host };
    let listed = proxy::tunnels(&app, admin.scope, &wanted, &page(after, limit)).await?;
    let items = listed.items.into_iter().map(TunnelView::of).collect::<Result<_, _>>()?;
    Ok(Json(Items { items, next: listed.next }))
}

/// Says what would become of a connection of somebody, and which rule decides. Names are looked up by this node.
#[utoipa::path(
    get, path = "/api/v1/proxy/explanations", tag = "proxy", operation_id = "proxy_explain", params(ProxyExplainQuery),
    security(("admin_token" = ["read_directory"])),
    responses((status = 200, body = ProxyExplained))
)]
pub async fn explain(
    admin: Scoped<ReadDirectory>,
    State(app): State<App>,
    Params(query): Params<ProxyExplainQuery>,
) -> Result<Json<ProxyExplained>, ApiError> {
    let form = if query.plain { Form::Plain } else { Form::Connect };
    let explained = proxy::explain(&app, admin.scope, &query.user, &query.host, form).await?;
    Ok(Json(explained.into()))
}
