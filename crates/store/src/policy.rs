//! The policy snapshot and its version.

use gatehouse_domain::id::{KeyId, OrgId};
use gatehouse_domain::key::PublicId;
use gatehouse_domain::model::ModelScope;
use gatehouse_domain::policy::{KeyGrant, SessionGrant, Snapshot};
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::stored;

/// Keys and sessions read at a time.
const BATCH: usize = 5000;

const SELECT: &str = "SELECT k.id, k.public_id, k.hash, k.user_id, u.state AS user_state, k.team_id, k.project_id, \
     k.models, k.state, k.expires_at, k.pepper, k.purpose \
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
    pepper: i64,
    purpose: String,
}

const SELECT_SESSIONS: &str = "SELECT s.id, s.user_id, u.state AS user_state, s.team_id, s.expires_at \
     FROM sessions s JOIN users u ON u.org_id = s.org_id AND u.id = s.user_id \
     WHERE s.org_id = $1 AND s.ended_at IS NULL AND s.id > $2 ORDER BY s.id LIMIT $3";

#[derive(sqlx::FromRow)]
struct SessionRow {
    id: String,
    user_id: String,
    user_state: String,
    team_id: Option<String>,
    expires_at: i64,
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
    /// The version is read before all else. A change in between is then perhaps in the snapshot already, but not in its
    /// version, so that the next look at [`Store::policy_version`] leads to another snapshot: a change is never missed.
    ///
    /// A key or session that cannot be read is left out, and thereby refused: what happens to the others must not wait for
    /// it.
    ///
    /// # Errors
    /// There is no such organization; the database.
    pub async fn load_snapshot(&self, org: OrgId) -> Result<Snapshot, StoreError> {
        let version = self.policy_version(org).await?;
        let keys = self.key_grants(org).await?;
        let sessions = self.session_grants(org).await?;
        Ok(Snapshot::new(version, keys).with_sessions(sessions))
    }

    async fn key_grants(&self, org: OrgId) -> Result<Vec<KeyGrant>, StoreError> {
        let (mut grants, mut after) = (Vec::new(), String::new());
        loop {
            let rows: Vec<Row> = self.batch(SELECT, org, &after).await?;
            grants.extend(rows.iter().filter_map(|row| stored::readable(grant_of(org, row))));
            match rows.into_iter().nth(BATCH - 1) {
                Some(last) => after = last.id,
                None => return Ok(grants),
            }
        }
    }

    async fn session_grants(&self, org: OrgId) -> Result<Vec<SessionGrant>, StoreError> {
        let (mut grants, mut after) = (Vec::new(), String::new());
        loop {
            let rows: Vec<SessionRow> = self.batch(SELECT_SESSIONS, org, &after).await?;
            grants.extend(rows.iter().filter_map(|row| stored::readable(session_grant_of(org, row))));
            match rows.into_iter().nth(BATCH - 1) {
                Some(last) => after = last.id,
                None => return Ok(grants),
            }
        }
    }

    async fn batch<R>(&self, sql: &'static str, org: OrgId, after: &str) -> Result<Vec<R>, StoreError>
    where
        R: for<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow>
            + for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>
            + Send
            + Unpin,
    {
        let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
        Ok(read!(self, |db| {
            sqlx::query_as(sql).bind(org.to_string()).bind(after).bind(limit).fetch_all(db).await
        })?)
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
        hash: stored::key_hash("key", &row.id, &row.hash, row.pepper)?,
        org,
        user: stored::parsed("user", &row.user_id)?,
        user_state: stored::user_state(&row.user_id, &row.user_state)?,
        team: stored::parsed_some("team", row.team_id.as_deref())?,
        project: stored::parsed_some("project", row.project_id.as_deref())?,
        models: stored::models("key", &row.id, row.models.as_deref())?,
        state: stored::key_state(&row.id, &row.state)?,
        expires_at: row.expires_at.map(UnixMillis),
        purpose: stored::purpose(&row.id, &row.purpose)?,
    })
}

fn session_grant_of(org: OrgId, row: &SessionRow) -> Result<SessionGrant, StoreError> {
    Ok(SessionGrant {
        id: stored::parsed("session", &row.id)?,
        org,
        user: stored::parsed("user", &row.user_id)?,
        user_state: stored::user_state(&row.user_id, &row.user_state)?,
        team: stored::parsed_some("team", row.team_id.as_deref())?,
        models: ModelScope::all(),
        expires_at: UnixMillis(row.expires_at),
    })
}
