//! The policy snapshot and its version.

use gatehouse_domain::id::{KeyId, OrgId};
use gatehouse_domain::key::{KeyHash, PublicId};
use gatehouse_domain::policy::{KeyGrant, Snapshot};
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::stored;

/// Keys read at a time.
const BATCH: usize = 5000;

const SELECT: &str = "SELECT k.id, k.public_id, k.hash, k.user_id, u.state AS user_state, k.team_id, k.project_id, \
     k.models, k.state, k.expires_at \
     FROM keys k JOIN users u ON u.org_id = k.org_id AND u.id = k.user_id \
     WHERE k.org_id = $1 AND k.id > $2 ORDER BY k.id LIMIT $3";

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    public_id: String,
    hash: Vec<u8>,
    user_id: String,
    user_state: String,
    team_id: Option<String>,
    project_id: Option<String>,
    models: Option<String>,
    state: String,
    expires_at: Option<i64>,
}

impl Store {
    /// The version of the policy: it counts up with every change that matters to the data path. Cheap enough to be asked
    /// for every second.
    ///
    /// # Errors
    /// There is no such organization; the database.
    pub async fn policy_version(&self, org: OrgId) -> Result<u64, StoreError> {
        let found: Option<(i64,)> = read!(self, |db| {
            sqlx::query_as("SELECT version FROM policy_versions WHERE org_id = $1")
                .bind(org.to_string())
                .fetch_optional(db)
                .await
        })?;
        let (version,) = found.ok_or_else(|| StoreError::not_found("organization", org))?;
        stored::unsigned("policy version", version)
    }

    /// Builds the policy snapshot.
    ///
    /// The version is read before the keys. A change in between is then perhaps in the snapshot already, but not in its
    /// version, so that the next look at [`Store::policy_version`] leads to another snapshot: a change is never missed.
    ///
    /// A key that cannot be read is left out, and thereby refused: what happens to the other keys must not wait for it.
    ///
    /// # Errors
    /// There is no such organization; the database.
    pub async fn load_snapshot(&self, org: OrgId) -> Result<Snapshot, StoreError> {
        let version = self.policy_version(org).await?;
        let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
        let mut grants = Vec::new();
        let mut after = String::new();
        loop {
            let rows: Vec<Row> = read!(self, |db| {
                sqlx::query_as(SELECT)
                    .bind(org.to_string())
                    .bind(after.as_str())
                    .bind(limit)
                    .fetch_all(db)
                    .await
            })?;
            let full = rows.len() == BATCH;
            grants.reserve(rows.len());
            grants.extend(rows.iter().filter_map(|row| stored::readable(grant_of(org, row))));
            match rows.into_iter().next_back() {
                Some(last) if full => after = last.id,
                _ => return Ok(Snapshot::new(version, grants)),
            }
        }
    }
}

/// Counts the version up. Part of every change that matters to the data path; comes after the change itself and before
/// the audit entry.
///
/// # Errors
/// There is no such organization; the database.
pub async fn bump(tx: &mut Tx, org: OrgId) -> Result<(), StoreError> {
    let changed = change!(tx, |db| {
        sqlx::query("UPDATE policy_versions SET version = version + 1 WHERE org_id = $1")
            .bind(org.to_string())
            .execute(db)
            .await
    })?;
    if changed == 0 { Err(StoreError::not_found("organization", org)) } else { Ok(()) }
}

fn grant_of(org: OrgId, row: &Row) -> Result<KeyGrant, StoreError> {
    let id: KeyId = stored::parsed("key", &row.id)?;
    Ok(KeyGrant {
        id,
        public: PublicId::parse(&row.public_id)
            .ok_or_else(|| StoreError::corrupt("key", id, "its public part is not eight characters"))?,
        hash: KeyHash::from_bytes(stored::bytes("key", &row.id, &row.hash)?),
        org,
        user: stored::parsed("user", &row.user_id)?,
        user_state: stored::user_state(&row.user_id, &row.user_state)?,
        team: stored::parsed_some("team", row.team_id.as_deref())?,
        project: stored::parsed_some("project", row.project_id.as_deref())?,
        models: stored::models("key", &row.id, row.models.as_deref())?,
        state: stored::key_state(&row.id, &row.state)?,
        expires_at: row.expires_at.map(UnixMillis),
    })
}
