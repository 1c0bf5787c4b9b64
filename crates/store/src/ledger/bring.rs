//! Bringing a batch of exchanges into the database, in one transaction.

use std::sync::{Arc, LazyLock};

use gatehouse_domain::audit::{Actor, ActorKind, Detail, Draft, EXCHANGE, Object, Outcome};
use gatehouse_domain::exchange::{Ended, Exchange};
use gatehouse_domain::id::{NodeId, OrgId};

use super::rollup;
use crate::dialect::{ManyRows, change, read};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::journal::Position;
use crate::{audit, key, stored};

/// Rows per statement. Few statements exist, so that all stay prepared.
const CHUNK: usize = 64;
const SMALL: usize = 8;
const COLUMNS: usize = 28;
const INSERT: &str = "INSERT INTO exchanges (org_id, id, request_id, kind, user_id, key_id, team_id, project_id, \
    provider, model, served_model, stream, status, ended, reason, usage, estimated, cost_nanos, price_basis, \
    started_at, first_byte_ms, duration_ms, overhead_us, bytes_in, bytes_out, peer, session, client) VALUES";
const UNLESS_THERE: &str = "ON CONFLICT (org_id, id) DO NOTHING";

static CHUNK_SQL: LazyLock<ManyRows> = LazyLock::new(|| ManyRows::new(INSERT, CHUNK, COLUMNS, UNLESS_THERE));
static SMALL_SQL: LazyLock<ManyRows> = LazyLock::new(|| ManyRows::new(INSERT, SMALL, COLUMNS, UNLESS_THERE));
static ONE_SQL: LazyLock<ManyRows> = LazyLock::new(|| ManyRows::new(INSERT, 1, COLUMNS, UNLESS_THERE));

/// Brings exchanges in, with their sums, their audit entries and the node's place in its journal. Those that are in the
/// database already count nowhere again. What has no principal belongs to this organization. Gives how many were new.
///
/// # Errors
/// The database; nothing of the batch is in it then.
pub async fn bring_in(
    store: &Store,
    org: OrgId,
    node: NodeId,
    exchanges: &[Exchange],
    to: Position,
) -> Result<usize, StoreError> {
    let mut tx = store.begin().await?;
    let all: Vec<&Exchange> = exchanges.iter().collect();
    let mut fresh = all.as_slice();
    let found;
    if insert_all(&mut tx, org, fresh).await? < fresh.len() as u64 {
        // Some were there already, as after a crash or a database put back. Which ones, is found out row by row.
        tx.rollback().await?;
        tx = store.begin().await?;
        found = insert_each(&mut tx, org, &all).await?;
        fresh = &found;
    }
    rollup::add(&mut tx, org, fresh).await?;
    let used: Vec<_> = fresh.iter().filter_map(|e| e.principal.map(|p| (p.key, e.started_at))).collect();
    key::touch(&mut tx, org, &used).await?;
    set_position(&mut tx, node, to).await?;
    let acts: Vec<Draft> = fresh.iter().map(|exchange| act_of(exchange)).collect();
    audit::append(&mut tx, org, &acts).await?;
    tx.commit().await?;
    Ok(fresh.len())
}

/// Inserts exchanges, many at a time, and gives how many were new.
async fn insert_all(tx: &mut Tx, org: OrgId, exchanges: &[&Exchange]) -> Result<u64, StoreError> {
    let mut new = 0;
    let mut rest = exchanges;
    while !rest.is_empty() {
        let (sql, size) = match rest.len() {
            n if n >= CHUNK => (&CHUNK_SQL, CHUNK),
            n if n >= SMALL => (&SMALL_SQL, SMALL),
            _ => (&ONE_SQL, 1),
        };
        let (chunk, later) = rest.split_at(size);
        rest = later;
        new += insert(tx, sql.text(&tx.open), org, chunk).await?;
    }
    Ok(new)
}

/// Inserts exchanges one by one and gives those that were new: the same exchange twice in one batch is one exchange.
async fn insert_each<'a>(
    tx: &mut Tx,
    org: OrgId,
    exchanges: &[&'a Exchange],
) -> Result<Vec<&'a Exchange>, StoreError> {
    let mut fresh = Vec::new();
    for exchange in exchanges {
        if insert(tx, ONE_SQL.text(&tx.open), org, &[exchange]).await? > 0 {
            fresh.push(*exchange);
        }
    }
    Ok(fresh)
}

async fn insert(tx: &mut Tx, sql: &'static str, org: OrgId, rows: &[&Exchange]) -> Result<u64, StoreError> {
    let org: Arc<str> = org.to_string().into();
    Ok(change!(tx, |db| {
        let mut query = sqlx::query(sql);
        for e in rows {
            let whose = e.principal.as_ref();
            query = query
                .bind(Arc::clone(&org))
                .bind(e.id.to_string())
                .bind(plain(&e.request_id))
                .bind(e.kind.as_str())
                .bind(whose.map(|p| p.user.to_string()))
                .bind(whose.map(|p| p.key.to_string()))
                .bind(whose.and_then(|p| p.team).map(|id| id.to_string()))
                .bind(whose.and_then(|p| p.project).map(|id| id.to_string()))
                .bind(e.provider.as_deref().map(plain))
                .bind(e.model.as_deref().map(plain))
                .bind(e.served_model.as_deref().map(plain))
                .bind(i64::from(e.stream))
                .bind(i64::from(e.status))
                .bind(e.ended.as_str())
                .bind(e.reason.as_deref().map(plain))
                .bind(usage_text(e))
                .bind(i64::from(e.estimated))
                .bind(e.cost.nanos.0)
                .bind(e.cost.basis.as_str())
                .bind(e.started_at.0)
                .bind(e.first_byte_ms.map(i64::from))
                .bind(i64::from(e.duration_ms))
                .bind(i64::from(e.overhead_us))
                .bind(i64::try_from(e.bytes_in).unwrap_or(i64::MAX))
                .bind(i64::try_from(e.bytes_out).unwrap_or(i64::MAX))
                .bind(e.peer.map(|peer| peer.to_string()))
                .bind(e.session.as_deref().map(plain))
                .bind(e.client.as_deref().map(plain));
        }
        query.execute(db).await
    })?)
}

/// Without zero bytes, which PostgreSQL cannot store.
fn plain(text: &str) -> String {
    if text.contains('\0') { text.replace('\0', "") } else { text.to_owned() }
}

/// Usage as JSON, read back by the list of exchanges.
fn usage_text(exchange: &Exchange) -> String {
    serde_json::to_string(&exchange.usage).expect("counts and names can always be written as JSON")
}

async fn set_position(tx: &mut Tx, node: NodeId, to: Position) -> Result<(), StoreError> {
    change!(tx, |db| {
        sqlx::query(
            "INSERT INTO journal_positions (node_id, segment, \"offset\", seq) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (node_id) DO UPDATE SET segment = excluded.segment, \"offset\" = excluded.\"offset\", \
             seq = excluded.seq",
        )
        .bind(node.to_string())
        .bind(stored::signed("segment", to.segment)?)
        .bind(stored::signed("offset", to.offset)?)
        .bind(stored::signed("seq", to.seq)?)
        .execute(db)
        .await
    })?;
    Ok(())
}

/// Up to where a node's journal is in the database. Of no tenant: a journal holds entries of all.
pub(super) async fn position(store: &Store, node: NodeId) -> Result<Option<Position>, StoreError> {
    let found: Option<(i64, i64, i64)> = read!(store, |db| {
        sqlx::query_as("SELECT segment, \"offset\", seq FROM journal_positions WHERE node_id = $1")
            .bind(node.to_string())
            .fetch_optional(db)
            .await
    })?;
    let Some((segment, offset, seq)) = found else { return Ok(None) };
    Ok(Some(Position {
        segment: stored::unsigned("journal position", segment)?,
        offset: stored::unsigned("journal position", offset)?,
        seq: stored::unsigned("journal position", seq)?,
    }))
}

/// An exchange's summary for the audit log: who, what, when, from where, what became of it. Never content.
fn act_of(e: &Exchange) -> Draft {
    let actor = match &e.principal {
        Some(whose) => {
            Actor { kind: ActorKind::User, id: whose.user.to_string(), name: whose.key.to_string() }
        }
        None => Actor::anonymous(),
    };
    let model = e.model.clone().unwrap_or_default();
    let mut act = Draft::new(e.started_at, actor, EXCHANGE, Object::new("exchange", e.id, model));
    act.outcome = match e.ended {
        Ended::Completed => Outcome::Done,
        Ended::Refused => Outcome::Refused,
        Ended::UpstreamError
        | Ended::UpstreamFailed
        | Ended::ClientGone
        | Ended::Revoked
        | Ended::Interrupted => Outcome::Failed,
    };
    act.reason.clone_from(&e.reason);
    act.from = e.peer;
    act.request_id = Some(e.request_id.clone());
    act.detail = Detail::none()
        .with("cost_nanos", e.cost.nanos.0)
        .with("ended", e.ended.as_str())
        .with("kind", e.kind.as_str())
        .with_some("provider", e.provider.clone())
        .with("status", u32::from(e.status));
    act
}
