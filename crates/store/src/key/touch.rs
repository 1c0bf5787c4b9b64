//! Noting when keys were last used.

use std::sync::LazyLock;

use gatehouse_domain::id::{KeyId, OrgId};
use gatehouse_domain::time::UnixMillis;

use crate::dialect::change;
use crate::engine::Tx;
use crate::error::StoreError;

/// Keys per statement. Only two statements exist, one for this many keys and one for a single key, so that both stay
/// prepared.
const CHUNK: usize = 50;

static MANY: LazyLock<String> = LazyLock::new(|| sql(CHUNK));
static ONE: LazyLock<String> = LazyLock::new(|| sql(1));

fn sql(rows: usize) -> String {
    let values: Vec<String> = (0..rows).map(|n| format!("(${}, ${})", 2 * n + 2, 2 * n + 3)).collect();
    format!(
        "UPDATE keys SET last_used_at = v.column2 FROM (VALUES {}) AS v \
         WHERE keys.org_id = $1 AND keys.id = v.column1 AND (last_used_at IS NULL OR last_used_at < v.column2)",
        values.join(", ")
    )
}

/// Notes that keys were used at these times, to the minute; earlier times than the one noted change nothing. Neither an
/// act nor policy: there is no audit entry and no new policy version. For the ledger, which calls it before it appends
/// to the audit log.
///
/// # Errors
/// The database.
pub async fn touch(tx: &mut Tx, org: OrgId, used: &[(KeyId, UnixMillis)]) -> Result<(), StoreError> {
    let mut used: Vec<(KeyId, i64)> =
        used.iter().map(|(id, at)| (*id, at.0 - at.0.rem_euclid(60_000))).collect();
    // In one order everywhere, so that two nodes do not wait for each other; of several times the last.
    used.sort_unstable_by(|a, b| (a.0, b.1).cmp(&(b.0, a.1)));
    used.dedup_by_key(|(id, _)| *id);
    let (many, rest) = used.as_chunks::<CHUNK>();
    let chunks = many
        .iter()
        .map(|chunk| (MANY.as_str(), chunk.as_slice()))
        .chain(rest.chunks(1).map(|one| (ONE.as_str(), one)));
    for (sql, chunk) in chunks {
        change!(tx, |db| {
            let mut query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(org.to_string());
            for (id, at) in chunk {
                query = query.bind(id.to_string()).bind(*at);
            }
            query.execute(db).await
        })?;
    }
    Ok(())
}
