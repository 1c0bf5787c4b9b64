//! What went through the forward proxy to certain hosts, by person.

use gatehouse_domain::id::{OrgId, TunnelId, UserId};
use gatehouse_domain::time::UnixMillis;

use crate::dialect::read;
use crate::engine::Store;
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::stored;

/// Tunnels of one person to one host that were treated alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// Whose.
    pub user: UserId,
    /// Where to.
    pub host: String,
    /// Whether they were refused.
    pub is_refused: bool,
    /// Whether they were looked into.
    pub is_seen: bool,
    /// How many.
    pub tunnels: u64,
    /// Bytes in them, as far as they are known.
    pub bytes: u64,
}

#[derive(sqlx::FromRow)]
struct Row {
    user_id: String,
    host: String,
    refused: i64,
    seen: i64,
    tunnels: i64,
    bytes: i64,
}

const SELECT: &str = "SELECT t.user_id, t.host, CAST(CASE WHEN t.verdict = 'deny' THEN 1 ELSE 0 END AS BIGINT) AS refused, \
     CAST(CASE WHEN t.inspected IS NULL THEN 0 ELSE 1 END AS BIGINT) AS seen, COUNT(*) AS tunnels, \
     CAST(COALESCE(SUM(COALESCE(t.bytes_up, 0) + COALESCE(t.bytes_down, 0)), 0) AS BIGINT) AS bytes \
     FROM tunnels t WHERE t.org_id = $1 AND t.user_id IS NOT NULL";

impl Store {
    /// Sums the tunnels of known people to these hosts since a time.
    ///
    /// # Errors
    /// The database.
    pub async fn passages(
        &self,
        org: OrgId,
        since: UnixMillis,
        hosts: &[String],
    ) -> Result<Vec<Passage>, StoreError> {
        let Some((first, more)) = hosts.split_first() else { return Ok(Vec::new()) };
        let mut filter = Filter::new(SELECT, org);
        // Identifiers begin with their time.
        filter.text("AND t.id >= $?", Some(TunnelId::new(since, 0)));
        filter.text("AND (t.host = $?", Some(first));
        for host in more {
            filter.arg("OR t.host = $?", Arg::Text(host.clone()));
        }
        filter.sql(") GROUP BY t.user_id, t.host, refused, seen ORDER BY t.user_id, t.host");
        let (sql, args) = filter.into_parts();
        let rows = read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?;
        rows.into_iter().map(passage_of).collect()
    }
}

fn passage_of(row: Row) -> Result<Passage, StoreError> {
    Ok(Passage {
        user: stored::parsed("user", &row.user_id)?,
        host: row.host,
        is_refused: row.refused != 0,
        is_seen: row.seen != 0,
        tunnels: stored::unsigned("tunnels", row.tunnels)?,
        bytes: stored::unsigned("bytes", row.bytes)?,
    })
}
