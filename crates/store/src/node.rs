//! The nodes that use this database.

use gatehouse_domain::id::NodeId;
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read};
use crate::engine::Store;
use crate::error::StoreError;
use crate::stored;

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its identifier, kept in its data directory.
    pub id: NodeId,
    /// The version of the program it runs.
    pub version: String,
    /// When it last started.
    pub started_at: UnixMillis,
    /// When it last said that it is there.
    pub seen_at: UnixMillis,
    /// The public names of the master keys it knows, between spaces.
    pub master_keys: String,
    /// What it last told of itself.
    pub tells: Tells,
    /// When it stopped in good order; `None` while it runs, or if it died.
    pub stopped_at: Option<UnixMillis>,
}

/// What a node tells of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tells {
    /// Whether it serves requests.
    pub ready: bool,
    /// How it counts: `memory`, or `reached` or `away` where it counts together with others.
    pub counters: String,
    /// The version of the policy that it decides by.
    pub policy_version: u64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    version: String,
    started_at: i64,
    seen_at: i64,
    master_keys: String,
    ready: i64,
    counters: String,
    policy_version: i64,
    stopped_at: Option<i64>,
}

impl Store {
    /// Notes that a node has started. Of no tenant: nodes serve all.
    ///
    /// # Errors
    /// The database.
    pub async fn register_node(
        &self,
        id: NodeId,
        version: &str,
        master_keys: &str,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO nodes (id, version, started_at, seen_at, master_keys) VALUES ($1, $2, $3, $3, $4) \
                 ON CONFLICT (id) DO UPDATE SET version = excluded.version, started_at = excluded.started_at, \
                 seen_at = excluded.seen_at, master_keys = excluded.master_keys, stopped_at = NULL, ready = 0",
            )
            .bind(id.to_string())
            .bind(version)
            .bind(now.0)
            .bind(master_keys)
            .execute(db)
            .await
        })?;
        tx.commit().await
    }

    /// Notes that a node is still there. Of no tenant.
    ///
    /// # Errors
    /// It was never registered; the database.
    pub async fn touch_node(
        &self,
        id: NodeId,
        master_keys: &str,
        tells: &Tells,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let touched = change!(tx, |db| {
            sqlx::query(
                "UPDATE nodes SET seen_at = $2, master_keys = $3, ready = $4, counters = $5, policy_version = $6 \
                 WHERE id = $1",
            )
            .bind(id.to_string())
            .bind(now.0)
            .bind(master_keys)
            .bind(i64::from(tells.ready))
            .bind(tells.counters.clone())
            .bind(tells.policy_version.cast_signed())
            .execute(db)
            .await
        })?;
        if touched == 0 {
            return Err(StoreError::not_found("node", id));
        }
        tx.commit().await
    }

    /// Lists the nodes seen since a time, at most 1000. Of no tenant.
    ///
    /// # Errors
    /// The database.
    pub async fn nodes(&self, seen_since: UnixMillis) -> Result<Vec<Node>, StoreError> {
        let rows: Vec<Row> = read!(self, |db| {
            sqlx::query_as(
                "SELECT id, version, started_at, seen_at, master_keys, ready, counters, policy_version, stopped_at \
                 FROM nodes WHERE seen_at >= $1 ORDER BY id LIMIT 1000",
            )
            .bind(seen_since.0)
            .fetch_all(db)
            .await
        })?;
        rows.into_iter()
            .map(|row| {
                Ok(Node {
                    id: stored::parsed("node", &row.id)?,
                    version: row.version,
                    started_at: UnixMillis(row.started_at),
                    seen_at: UnixMillis(row.seen_at),
                    master_keys: row.master_keys,
                    tells: Tells {
                        ready: row.ready != 0,
                        counters: row.counters,
                        policy_version: row.policy_version.cast_unsigned(),
                    },
                    stopped_at: row.stopped_at.map(UnixMillis),
                })
            })
            .collect()
    }

    /// Notes that a node stops in good order: nobody waits for it any more. Of no tenant.
    ///
    /// # Errors
    /// The database.
    pub async fn note_stopped(&self, id: NodeId, now: UnixMillis) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        change!(tx, |db| {
            sqlx::query("UPDATE nodes SET stopped_at = $2, ready = 0, seen_at = $2 WHERE id = $1")
                .bind(id.to_string())
                .bind(now.0)
                .execute(db)
                .await
        })?;
        tx.commit().await
    }
}
