//! Keeping what the provider says of days, each in place of what it said before.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use gatehouse_domain::analytics::{Record, TOLD};
use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::OrgId;
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{ManyRows, change, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;

/// Most actors that are named who are none of our users.
pub const MAX_TOLD: usize = 100;
/// Rows per statement.
const CHUNK: usize = 32;
const COLUMNS: usize = 10 + TOLD.len();

static INSERT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "INSERT INTO client_analytics (org_id, day, provider_org, actor_kind, actor, customer, terminal, model, \
         user_id, source, {}) VALUES",
        TOLD.map(gatehouse_domain::telemetry::Measure::as_str).join(", ")
    )
});
static CHUNK_SQL: LazyLock<ManyRows> = LazyLock::new(|| ManyRows::new(&INSERT, CHUNK, COLUMNS, ""));
static ONE_SQL: LazyLock<ManyRows> = LazyLock::new(|| ManyRows::new(&INSERT, 1, COLUMNS, ""));

const FORGET_ORGANIZATION: &str =
    "DELETE FROM client_analytics WHERE org_id = $1 AND day = $2 AND provider_org = $3";
const FORGET_SOURCE: &str = "DELETE FROM client_analytics WHERE org_id = $1 AND day = $2 AND source = $3";
/// Who was nobody's address before may be somebody's now.
const MATCH: &str = "UPDATE client_analytics SET user_id = (SELECT u.id FROM users u \
     WHERE u.org_id = client_analytics.org_id AND u.email = client_analytics.actor) \
     WHERE org_id = $1 AND user_id = '' AND actor_kind = 'person' AND EXISTS (SELECT 1 FROM users u \
     WHERE u.org_id = client_analytics.org_id AND u.email = client_analytics.actor)";
const ACTORS: &str = "SELECT DISTINCT actor_kind, actor, user_id FROM client_analytics \
     WHERE org_id = $1 AND day = $2";

/// What is to be kept.
#[derive(Debug, Clone, Copy)]
pub struct Import<'a> {
    /// Days that are replaced, even by nothing.
    pub days: &'a [UnixMillis],
    /// The configured report that it came by, whose days these are; `None` for one imported by hand, which replaces the days
    /// of the organizations in it.
    pub source: Option<&'a str>,
    /// The figures, in the order of what they are of. None is of another day.
    pub figures: &'a [Record],
}

/// Whom the figures of those days are of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Taken {
    /// How many of our users.
    pub people: u64,
    /// How many who are none of our users.
    pub strangers: u64,
    /// Of those, the first [`MAX_TOLD`] by address or name of key, with their kind (`person` or `key`).
    pub named: Vec<(String, String)>,
}

impl Store {
    /// Keeps what the provider says of some days, in place of what it said of them before, and finds out whom it is of: an
    /// actor is the user who has that address.
    ///
    /// # Errors
    /// The database; nothing has changed then.
    pub async fn keep_analytics(
        &self,
        org: OrgId,
        import: &Import<'_>,
        act: Option<&Draft>,
    ) -> Result<Taken, StoreError> {
        let mut tx = self.begin().await?;
        let of: BTreeSet<(UnixMillis, &str)> =
            import.figures.iter().map(|one| (one.of.day, one.of.organization.as_str())).collect();
        for day in import.days {
            if let Some(source) = import.source {
                forget(&mut tx, org, FORGET_SOURCE, *day, source).await?;
            }
        }
        for (day, organization) in of {
            forget(&mut tx, org, FORGET_ORGANIZATION, day, organization).await?;
        }
        insert(&mut tx, org, import).await?;
        change!(tx, |db| sqlx::query(MATCH).bind(org.to_string()).execute(db).await)?;
        let taken = actors(&mut tx, org, import.days).await?;
        match act {
            Some(act) => tx.record(org, act).await?,
            None => tx.commit().await?,
        }
        Ok(taken)
    }
}

async fn forget(
    tx: &mut Tx,
    org: OrgId,
    sql: &'static str,
    day: UnixMillis,
    whose: &str,
) -> Result<(), StoreError> {
    change!(tx, |db| sqlx::query(sql).bind(org.to_string()).bind(day.0).bind(whose).execute(db).await)?;
    Ok(())
}

async fn insert(tx: &mut Tx, org: OrgId, import: &Import<'_>) -> Result<(), StoreError> {
    let mut rest = import.figures;
    while !rest.is_empty() {
        let (sql, size) = if rest.len() >= CHUNK { (&CHUNK_SQL, CHUNK) } else { (&ONE_SQL, 1) };
        let (chunk, later) = rest.split_at(size);
        rest = later;
        let sql = sql.text(&tx.open);
        change!(tx, |db| {
            let mut query = sqlx::query(sql);
            for Record { of, sums } in chunk {
                query = query
                    .bind(org.to_string())
                    .bind(of.day.0)
                    .bind(of.organization.as_str())
                    .bind(of.actor.kind())
                    .bind(of.actor.name())
                    .bind(of.customer.as_str())
                    .bind(of.terminal.as_str())
                    .bind(of.model.as_str())
                    .bind("")
                    .bind(import.source.unwrap_or_default());
                for measure in TOLD {
                    query = query.bind(sums.of(measure));
                }
            }
            query.execute(db).await
        })?;
    }
    Ok(())
}

async fn actors(tx: &mut Tx, org: OrgId, days: &[UnixMillis]) -> Result<Taken, StoreError> {
    let (mut people, mut strangers) = (BTreeSet::new(), BTreeSet::new());
    for day in days {
        let rows: Vec<(String, String, String)> = within!(tx, |db| {
            sqlx::query_as(ACTORS).bind(org.to_string()).bind(day.0).fetch_all(db).await
        })?;
        for (kind, actor, user) in rows {
            if user.is_empty() {
                strangers.insert((actor, kind));
            } else {
                people.insert(user);
            }
        }
    }
    Ok(Taken {
        people: people.len() as u64,
        strangers: strangers.len() as u64,
        named: strangers.into_iter().take(MAX_TOLD).collect(),
    })
}
