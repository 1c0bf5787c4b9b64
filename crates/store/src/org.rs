//! Organizations: the tenants.

use gatehouse_domain::audit::{Draft, Hash};
use gatehouse_domain::directory::Org;
use gatehouse_domain::id::OrgId;
use gatehouse_domain::name::Name;
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::stored;

const NOUN: &str = "organization";

type Row = (String, String, i64);

impl Store {
    /// Makes an organization, with an empty audit chain whose first entry is this act.
    ///
    /// # Errors
    /// There is one of that identifier; the database.
    pub async fn create_org(&self, id: OrgId, name: &Name, act: &Draft) -> Result<Org, StoreError> {
        let mut tx = self.begin().await?;
        change!(tx, |db| {
            sqlx::query("INSERT INTO orgs (id, name, created_at) VALUES ($1, $2, $3)")
                .bind(id.to_string())
                .bind(name.as_str())
                .bind(act.at.0)
                .execute(db)
                .await
        })
        .map_err(StoreError::inserting(NOUN, id))?;
        change!(tx, |db| {
            sqlx::query("INSERT INTO policy_versions (org_id, version) VALUES ($1, 0)")
                .bind(id.to_string())
                .execute(db)
                .await
        })?;
        change!(tx, |db| {
            sqlx::query("INSERT INTO audit_heads (org_id, seq, hash) VALUES ($1, 0, $2)")
                .bind(id.to_string())
                .bind(Hash::genesis(id).as_bytes().to_vec())
                .execute(db)
                .await
        })?;
        tx.publish(id, act).await?;
        Ok(Org { id, name: name.to_string(), created_at: act.at })
    }

    /// Looks an organization up.
    ///
    /// # Errors
    /// There is none; the database.
    pub async fn org(&self, id: OrgId) -> Result<Org, StoreError> {
        let row: Option<Row> = read!(self, |db| {
            sqlx::query_as("SELECT id, name, created_at FROM orgs WHERE id = $1")
                .bind(id.to_string())
                .fetch_optional(db)
                .await
        })?;
        row.map_or_else(|| Err(StoreError::not_found(NOUN, id)), |row| org_of(&row))
    }

    /// Lists all organizations, oldest first. Of all tenants: for first start and jobs.
    ///
    /// # Errors
    /// The database.
    pub async fn orgs(&self) -> Result<Vec<Org>, StoreError> {
        let rows: Vec<Row> = read!(self, |db| {
            sqlx::query_as("SELECT id, name, created_at FROM orgs ORDER BY id").fetch_all(db).await
        })?;
        rows.iter().map(org_of).collect()
    }
}

fn org_of((id, name, created_at): &Row) -> Result<Org, StoreError> {
    Ok(Org { id: stored::parsed(NOUN, id)?, name: name.clone(), created_at: UnixMillis(*created_at) })
}

/// Whether there is an organization of this identifier.
pub(crate) async fn exists(tx: &mut Tx, id: OrgId) -> Result<bool, StoreError> {
    let found: Option<(String,)> = within!(tx, |db| {
        sqlx::query_as("SELECT id FROM orgs WHERE id = $1").bind(id.to_string()).fetch_optional(db).await
    })?;
    Ok(found.is_some())
}
