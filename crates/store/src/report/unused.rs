//! Seats and keys that nobody uses.

use gatehouse_domain::id::OrgId;
use gatehouse_domain::time::UnixMillis;

use crate::dialect::read;
use crate::engine::Store;
use crate::error::StoreError;
use crate::ledger::MAX_SUMS;

/// What is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnusedKind {
    /// An active person.
    Seat,
    /// An active key.
    Key,
}

/// Something that is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unused {
    /// Its identifier.
    pub id: String,
    /// The person's e-mail address, or the public part of the key.
    pub name: String,
    /// The key's holder; the person themselves for a seat.
    pub holder: String,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was last used, as far as that is known.
    pub last_used_at: Option<UnixMillis>,
}

/// Active people made before a time without an exchange since its day. Refusals count as use: somebody tried.
const SEATS: &str = "SELECT u.id, u.email, u.email, u.created_at, \
     (SELECT MAX(k.last_used_at) FROM keys k WHERE k.org_id = u.org_id AND k.user_id = u.id) \
     FROM users u WHERE u.org_id = $1 AND u.state = 'active' AND u.created_at < $2 \
     AND NOT EXISTS (SELECT 1 FROM (SELECT DISTINCT r.user_id FROM daily_rollups r WHERE r.org_id = $1 AND r.day >= $3) s \
     WHERE s.user_id = u.id) ORDER BY u.email LIMIT $4";
const KEYS: &str = "SELECT k.id, k.public_id, u.email, k.created_at, k.last_used_at \
     FROM keys k JOIN users u ON u.org_id = k.org_id AND u.id = k.user_id \
     WHERE k.org_id = $1 AND k.state = 'active' AND k.created_at < $2 \
     AND (k.last_used_at IS NULL OR k.last_used_at < $3) ORDER BY u.email, k.id LIMIT $4";

impl Store {
    /// Active seats or keys that were made before a time and not used since.
    ///
    /// # Errors
    /// There are more than [`MAX_SUMS`]; the database.
    pub async fn unused(
        &self,
        org: OrgId,
        kind: UnusedKind,
        since: UnixMillis,
    ) -> Result<Vec<Unused>, StoreError> {
        let (sql, used) = match kind {
            UnusedKind::Seat => (SEATS, since.day()),
            UnusedKind::Key => (KEYS, since),
        };
        let rows: Vec<(String, String, String, i64, Option<i64>)> = read!(self, |db| {
            sqlx::query_as(sql)
                .bind(org.to_string())
                .bind(since.0)
                .bind(used.0)
                .bind(i64::from(MAX_SUMS) + 1)
                .fetch_all(db)
                .await
        })?;
        if rows.len() > MAX_SUMS as usize {
            let why = format!("leaves more than {MAX_SUMS}; ask for a longer time");
            return Err(StoreError::Invalid { field: "days", why });
        }
        let unused = |(id, name, holder, created, used): (String, String, String, i64, Option<i64>)| Unused {
            id,
            name,
            holder,
            created_at: UnixMillis(created),
            last_used_at: used.map(UnixMillis),
        };
        Ok(rows.into_iter().map(unused).collect())
    }
}
