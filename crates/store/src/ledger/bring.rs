//! Bringing a batch of exchanges into the database, in one transaction.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use gatehouse_domain::audit::Batch;
use gatehouse_domain::exchange::{Exchange, Principal};
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
const COLUMNS: usize = 10;
const INSERT: &str = "INSERT INTO exchanges (org_id, id, user_id, key_id, team_id, project_id, model, status, ended, \
    record) VALUES";
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
    rows: Vec<Row<'a>>,
}

/// An exchange and its record.
#[derive(Clone)]
struct Row<'a> {
    exchange: &'a Exchange,
    record: Arc<str>,
}

impl Place {
    /// Brings exchanges in, with their sums, their entry in the audit log and the journal's place. Those that are in the database
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
            new += insert_all(&mut tx, share.org, &share.rows).await?;
        }
        if new < exchanges.len() as u64 {
            // Some were there already, as after a crash or a database put back. Which ones, is found out row by row.
            tx.rollback().await?;
            tx = store.begin().await?;
            for share in &mut shares {
                share.rows = insert_each(&mut tx, share.org, &share.rows).await?;
            }
        }
        for Share { org, rows } in &shares {
            let exchanges = || rows.iter().map(|row| row.exchange);
            rollup::add(&mut tx, *org, exchanges()).await?;
            let used: Vec<_> =
                exchanges().filter_map(|e| Some((e.principal?.key()?, e.started_at))).collect();
            key::touch(&mut tx, *org, &used).await?;
        }
        if !self.advance(&mut tx, to).await? {
            tx.rollback().await?;
            return Ok(Brought::Moved);
        }
        for share in &shares {
            let mut batch = Batch::with_capacity(share.rows.len());
            share.rows.iter().for_each(|row| batch.push(row.exchange, &row.record));
            audit::append_batch(&mut tx, share.org, batch).await?;
        }
        tx.commit().await?;
        self.advanced(to);
        Ok(Brought::New(shares.iter().map(|share| share.rows.len()).sum()))
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
    let mut place = Place::claim(store, node, &[1], u64::MAX).await?;
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
    let rows = rows_of(exchanges);
    if exchanges.iter().all(|e| e.principal.is_none_or(|whose| whose.org == org)) {
        return Ok(vec![Share { org, rows }]);
    }
    let mut found: BTreeMap<OrgId, Vec<Row<'_>>> = BTreeMap::new();
    for row in rows {
        found.entry(row.exchange.principal.map_or(org, |whose| whose.org)).or_default().push(row);
    }
    let mut shares: BTreeMap<OrgId, Vec<Row<'_>>> = BTreeMap::new();
    for (whose, mut rows) in found {
        let whose = if whose == org || org::exists(tx, whose).await? { whose } else { org };
        shares.entry(whose).or_default().append(&mut rows);
    }
    Ok(shares.into_iter().map(|(org, rows)| Share { org, rows }).collect())
}

fn rows_of(exchanges: &[Exchange]) -> Vec<Row<'_>> {
    let mut text = Vec::with_capacity(1024);
    let mut row = |exchange: &'_ Exchange| {
        text.clear();
        exchange.write_record(&mut text);
        Arc::from(std::str::from_utf8(&text).expect("JSON is UTF-8"))
    };
    exchanges.iter().map(|exchange| Row { exchange, record: row(exchange) }).collect()
}

/// Inserts exchanges, many at a time, and gives how many were new.
async fn insert_all(tx: &mut Tx, org: OrgId, rows: &[Row<'_>]) -> Result<u64, StoreError> {
    let mut new = 0;
    let mut rest = rows;
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
async fn insert_each<'a>(tx: &mut Tx, org: OrgId, rows: &[Row<'a>]) -> Result<Vec<Row<'a>>, StoreError> {
    let mut fresh = Vec::new();
    for row in rows {
        if insert(tx, ONE_SQL.text(&tx.open), org, std::slice::from_ref(row)).await? > 0 {
            fresh.push(row.clone());
        }
    }
    Ok(fresh)
}

async fn insert(tx: &mut Tx, sql: &'static str, org: OrgId, rows: &[Row<'_>]) -> Result<u64, StoreError> {
    let mut texts = Texts::default();
    Ok(change!(tx, |db| {
        let mut query = sqlx::query(sql);
        for Row { exchange: e, record } in rows {
            let whose = e.principal.as_ref();
            query = query
                .bind(texts.of(org.bits(), &org))
                .bind(e.id.to_string())
                .bind(whose.map(|p| texts.of(p.user.bits(), &p.user)))
                .bind(whose.and_then(Principal::key).map(|id| texts.of(id.bits(), &id)))
                .bind(whose.and_then(|p| p.team).map(|id| texts.of(id.bits(), &id)))
                .bind(whose.and_then(|p| p.project).map(|id| texts.of(id.bits(), &id)))
                .bind(e.model.as_deref().map(plain))
                .bind(i64::from(e.status))
                .bind(e.ended.as_str())
                .bind(Arc::clone(record));
        }
        query.execute(db).await
    })?)
}

/// Identifiers as text. Those of one batch repeat.
#[derive(Default)]
struct Texts(HashMap<u128, Arc<str>>);

impl Texts {
    fn of(&mut self, bits: u128, id: &impl ToString) -> Arc<str> {
        Arc::clone(self.0.entry(bits).or_insert_with(|| id.to_string().into()))
    }
}

/// Without zero bytes, which PostgreSQL cannot store.
pub(crate) fn plain(text: &str) -> String {
    if text.contains('\0') { text.replace('\0', "") } else { text.to_owned() }
}
