//! Bringing a batch of exchanges into the database, in one transaction.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use gatehouse_domain::audit::{Actor, ActorKind, Detail, Draft, EXCHANGE, Object, Outcome};
use gatehouse_domain::exchange::{Ended, Exchange};
use gatehouse_domain::id::{NodeId, OrgId};

use super::place::Place;
use super::rollup;
use crate::dialect::{ManyRows, change};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::journal::Position;
use crate::{audit, key, org};

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

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brought {
    /// It is in the database; so many of it were new.
    New(usize),
    /// The database holds another place of the journal than this process left there, so nothing of the batch is in it.
    Moved,
}

/// The exchanges of a batch that belong to one organization.
struct Share<'a> {
    org: OrgId,
    exchanges: Vec<&'a Exchange>,
}

impl Place {
    /// Brings exchanges in, with their sums, their audit entries and the journal's place. Those that are in the database
    /// already count nowhere again. What has no principal belongs to this organization, and so does what is of one that
    /// does not exist.
    ///
    /// # Errors
    /// The database; nothing of the batch is in it then.
    pub async fn bring_in(
        &mut self,
        store: &Store,
        org: OrgId,
        exchanges: &[Exchange],
        to: Position,
    ) -> Result<Brought, StoreError> {
        let mut tx = store.begin().await?;
        let mut shares = shares_of(&mut tx, org, exchanges).await?;
        let mut new = 0;
        for share in &shares {
            new += insert_all(&mut tx, share.org, &share.exchanges).await?;
        }
        if new < exchanges.len() as u64 {
            // Some were there already, as after a crash or a database put back. Which ones, is found out row by row.
            tx.rollback().await?;
            tx = store.begin().await?;
            for share in &mut shares {
                share.exchanges = insert_each(&mut tx, share.org, &share.exchanges).await?;
            }
        }
        for Share { org, exchanges } in &shares {
            rollup::add(&mut tx, *org, exchanges).await?;
            let used: Vec<_> =
                exchanges.iter().filter_map(|e| e.principal.map(|p| (p.key, e.started_at))).collect();
            key::touch(&mut tx, *org, &used).await?;
        }
        if !self.advance(&mut tx, to).await? {
            tx.rollback().await?;
            return Ok(Brought::Moved);
        }
        for share in &shares {
            let acts: Vec<Draft> = share.exchanges.iter().map(|exchange| act_of(exchange)).collect();
            audit::append(&mut tx, share.org, &acts).await?;
        }
        tx.commit().await?;
        self.advanced(to);
        Ok(Brought::New(shares.iter().map(|share| share.exchanges.len()).sum()))
    }
}

/// Brings exchanges in from no journal, for tests; gives how many were new.
#[doc(hidden)]
pub async fn bring_in(
    store: &Store,
    org: OrgId,
    node: NodeId,
    exchanges: &[Exchange],
    to: Position,
) -> Result<usize, StoreError> {
    let mut place = Place::claim(store, node, &[1]).await?;
    match place.bring_in(store, org, exchanges, to).await? {
        Brought::New(new) => Ok(new),
        Brought::Moved => Err(StoreError::refused("node", node, "is brought in by somebody else as well")),
    }
}

/// Sorts a batch by organization, in the order in which every node locks them. Nearly always there is one.
async fn shares_of<'a>(
    tx: &mut Tx,
    org: OrgId,
    exchanges: &'a [Exchange],
) -> Result<Vec<Share<'a>>, StoreError> {
    if exchanges.iter().all(|e| e.principal.is_none_or(|whose| whose.org == org)) {
        return Ok(vec![Share { org, exchanges: exchanges.iter().collect() }]);
    }
    let mut found: BTreeMap<OrgId, Vec<&Exchange>> = BTreeMap::new();
    for exchange in exchanges {
        found.entry(exchange.principal.map_or(org, |whose| whose.org)).or_default().push(exchange);
    }
    let mut shares: BTreeMap<OrgId, Vec<&Exchange>> = BTreeMap::new();
    for (whose, mut exchanges) in found {
        let whose = if whose == org || org::exists(tx, whose).await? { whose } else { org };
        shares.entry(whose).or_default().append(&mut exchanges);
    }
    Ok(shares.into_iter().map(|(org, exchanges)| Share { org, exchanges }).collect())
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
