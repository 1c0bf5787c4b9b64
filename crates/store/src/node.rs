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
                 seen_at = excluded.seen_at, master_keys = excluded.master_keys",
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
    pub async fn touch_node(&self, id: NodeId, master_keys: &str, now: UnixMillis) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let touched = change!(tx, |db| {
            sqlx::query("UPDATE nodes SET seen_at = $2, master_keys = $3 WHERE id = $1")
                .bind(id.to_string())
                .bind(now.0)
                .bind(master_keys)
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
        let rows: Vec<(String, String, i64, i64, String)> = read!(self, |db| {
            sqlx::query_as(
                "SELECT id, version, started_at, seen_at, master_keys FROM nodes WHERE seen_at >= $1 ORDER BY id \
                 LIMIT 1000",
            )
            .bind(seen_since.0)
            .fetch_all(db)
            .await
        })?;
        rows.into_iter()
            .map(|(id, version, started_at, seen_at, master_keys)| {
                let (started_at, seen_at) = (UnixMillis(started_at), UnixMillis(seen_at));
                Ok(Node { id: stored::parsed("node", &id)?, version, started_at, seen_at, master_keys })
            })
            .collect()
    }
}
