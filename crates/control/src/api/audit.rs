//! `/api/v1/audit`.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::IntoResponse;
use gatehouse_domain::audit::Entry;
use gatehouse_store::audit::AuditKind;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::{Admin, ReadAudit};
use super::error::ApiError;
use super::extract::Params;
use super::page::{Items, page};
use super::pipe::Piped;
use crate::act::Range;
use crate::app::App;
use crate::audit::{self, Wanted};

/// An entry of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntryView {
    /// Its place in the chain, from 1, without gaps.
    pub seq: u64,
    /// When it happened (RFC 3339).
    pub at: String,
    /// Who acted.
    pub actor: ActorView,
    /// What was done, such as `key.rotate`.
    pub action: String,
    /// What was acted upon.
    pub object: ObjectView,
    /// `done`, `refused` or `failed`.
    pub outcome: &'static str,
    /// Why, when it was refused or failed.
    pub reason: Option<String>,
    /// The address it came from.
    pub from: Option<String>,
    /// The request by which it was asked for.
    pub request_id: Option<String>,
    /// Particulars: texts, numbers, lists of texts.
    #[schema(value_type = Object)]
    pub detail: serde_json::Value,
    /// Hash of the entry before it.
    pub prev_hash: String,
    /// Its own hash.
    pub hash: String,
}

/// Who acted.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActorView {
    /// `admin`, `user`, `system` or `anonymous`.
    pub kind: &'static str,
    /// Identifier.
    pub id: String,
    /// Name at the time.
    pub name: String,
}

/// What was acted upon.
#[derive(Debug, Serialize, ToSchema)]
pub struct ObjectView {
    /// The noun, such as `key`.
    pub kind: String,
    /// Identifier.
    pub id: String,
    /// Name at the time.
    pub name: String,
}

/// The key that checkpoints are signed with. Note it elsewhere, and give it to `gatehouse audit verify --key`.
#[derive(Debug, Serialize, ToSchema)]
pub struct PublicKeyView {
    /// The signature's algorithm.
    pub algorithm: &'static str,
    /// A short name for people: the beginning of its SHA-256.
    pub id: String,
    /// The key: 64 hexadecimal digits.
    pub key: String,
}

/// Which part of the log.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KindView {
    /// Acts of management.
    Acts,
    /// Batches of exchanges: how many, what they cost, and the hash of their records.
    Exchanges,
    /// Both.
    All,
}

/// Which entries are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// `acts` (if not given), `exchanges` or `all`.
    #[param(inline)]
    kind: Option<KindView>,
    /// By the actor of this identifier.
    actor: Option<String>,
    /// Of exactly this action.
    action: Option<String>,
    /// On the object of this identifier.
    object: Option<String>,
    /// From this UTC time on, or a span back from now such as `7d`.
    since: Option<String>,
    /// Before this UTC time, or a span back from now.
    until: Option<String>,
    /// Cursor: the `next` of the page before.
    after: Option<String>,
    /// Items of a page, 1 to 1000; 100 if not given.
    limit: Option<u32>,
}

/// Which part to export.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExportQuery {
    /// The first entry, 1 if not given.
    first: Option<u64>,
}

impl From<Entry> for EntryView {
    fn from(entry: Entry) -> Self {
        let act = entry.act;
        Self {
            seq: entry.seq,
            at: act.at.to_string(),
            actor: ActorView { kind: act.actor.kind.as_str(), id: act.actor.id, name: act.actor.name },
            action: act.action.into_owned(),
            object: ObjectView {
                kind: act.object.kind.into_owned(),
                id: act.object.id,
                name: act.object.name,
            },
            outcome: act.outcome.as_str(),
            reason: act.reason,
            from: act.from.map(|address| address.to_string()),
            request_id: act.request_id,
            detail: serde_json::to_value(&act.detail).unwrap_or_default(),
            prev_hash: entry.prev_hash.to_string(),
            hash: entry.hash.to_string(),
        }
    }
}

/// Lists audit entries, newest first.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "audit", operation_id = "audit_list", params(Query),
    security(("admin_token" = ["read_audit"])),
    responses((status = 200, body = Items<EntryView>))
)]
pub async fn list(
    _: Admin<ReadAudit>,
    State(app): State<App>,
    Params(query): Params<Query>,
) -> Result<Json<Items<EntryView>>, ApiError> {
    let kind = match query.kind {
        None | Some(KindView::Acts) => AuditKind::Acts,
        Some(KindView::Exchanges) => AuditKind::Exchanges,
        Some(KindView::All) => AuditKind::All,
    };
    let range = Range { since: query.since, until: query.until };
    let wanted = Wanted { kind, actor: query.actor, action: query.action, object: query.object, range };
    let entries = audit::list(&app, wanted, &page(query.after, query.limit)).await?;
    Ok(Json(Items::of(entries, EntryView::from)))
}

/// Exports the audit log as JSON lines that `gatehouse audit verify` checks without the server.
#[utoipa::path(
    get, path = "/api/v1/audit/export", tag = "audit", operation_id = "audit_export", params(ExportQuery),
    security(("admin_token" = ["read_audit"])),
    responses((status = 200, body = String, content_type = "application/x-ndjson"))
)]
pub async fn export(
    admin: Admin<ReadAudit>,
    State(app): State<App>,
    Params(query): Params<ExportQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let first = query.first.unwrap_or(1);
    audit::begin_export(&app, &admin.caller, first).await?;
    let body = Piped::begin(async move |mut out| audit::export(&app, first, &mut out).await);
    let headers = [
        (CONTENT_TYPE, "application/x-ndjson"),
        (CONTENT_DISPOSITION, "attachment; filename=\"gatehouse-audit.jsonl\""),
    ];
    Ok((headers, Body::new(body)))
}

/// Shows the key that checkpoints are signed with.
#[utoipa::path(
    get, path = "/api/v1/audit/public-key", tag = "audit", operation_id = "audit_public_key",
    security(("admin_token" = ["read_audit"])),
    responses((status = 200, body = PublicKeyView))
)]
pub async fn public_key(_: Admin<ReadAudit>, State(app): State<App>) -> Json<PublicKeyView> {
    let key = audit::public_key(&app);
    Json(PublicKeyView { algorithm: "ed25519", id: key.id(), key: key.to_string() })
}
