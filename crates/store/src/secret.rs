//! Secrets, sealed before they come here: this module never sees one in the clear.

use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::OrgId;
use gatehouse_domain::name::Name;
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read};
use crate::engine::Store;
use crate::error::StoreError;

const NOUN: &str = "secret";

/// Longest sealed text, in bytes. Provider keys are below 1 KiB; service accounts' files below 4 KiB.
pub const MAX_SEALED: usize = 64 * 1024;

/// A sealed secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedSecret {
    /// Its name.
    pub name: String,
    /// Which key it is sealed with.
    pub key_id: String,
    /// The sealed text.
    pub sealed: String,
    /// When it was last written.
    pub updated_at: UnixMillis,
}

/// A secret in a list: that it exists, not what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretInfo {
    /// Its name.
    pub name: String,
    /// Which key it is sealed with.
    pub key_id: String,
    /// When it was last written.
    pub updated_at: UnixMillis,
}

impl Store {
    /// Writes a sealed secret, new or in place of the one of that name.
    ///
    /// # Errors
    /// The sealed text is longer than [`MAX_SEALED`]; the database.
    pub async fn put_secret(
        &self,
        org: OrgId,
        name: &Name,
        key_id: &str,
        sealed: &str,
        act: &Draft,
    ) -> Result<(), StoreError> {
        if sealed.len() > MAX_SEALED {
            let why = format!("is {} bytes long, expected at most {MAX_SEALED}", sealed.len());
            return Err(StoreError::Invalid { field: "sealed", why });
        }
        let mut tx = self.begin().await?;
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO secrets (org_id, name, key_id, sealed, updated_at) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (org_id, name) DO UPDATE SET key_id = excluded.key_id, sealed = excluded.sealed, \
                 updated_at = excluded.updated_at",
            )
            .bind(org.to_string())
            .bind(name.as_str())
            .bind(key_id)
            .bind(sealed)
            .bind(act.at.0)
            .execute(db)
            .await
        })
        .map_err(StoreError::inserting(NOUN, name))?;
        tx.publish(org, act).await
    }

    /// Reads a sealed secret; `None` when there is none of that name.
    ///
    /// # Errors
    /// The database.
    pub async fn secret(&self, org: OrgId, name: &Name) -> Result<Option<SealedSecret>, StoreError> {
        let row: Option<(String, String, String, i64)> = read!(self, |db| {
            sqlx::query_as(
                "SELECT name, key_id, sealed, updated_at FROM secrets WHERE org_id = $1 AND name = $2",
            )
            .bind(org.to_string())
            .bind(name.as_str())
            .fetch_optional(db)
            .await
        })?;
        Ok(row.map(|(name, key_id, sealed, at)| SealedSecret {
            name,
            key_id,
            sealed,
            updated_at: UnixMillis(at),
        }))
    }

    /// Lists the names of all secrets. There are few: one or two for each provider.
    ///
    /// # Errors
    /// The database.
    pub async fn secrets(&self, org: OrgId) -> Result<Vec<SecretInfo>, StoreError> {
        let rows: Vec<(String, String, i64)> = read!(self, |db| {
            sqlx::query_as(
                "SELECT name, key_id, updated_at FROM secrets WHERE org_id = $1 ORDER BY name LIMIT 10000",
            )
            .bind(org.to_string())
            .fetch_all(db)
            .await
        })?;
        let info = |(name, key_id, at)| SecretInfo { name, key_id, updated_at: UnixMillis(at) };
        Ok(rows.into_iter().map(info).collect())
    }

    /// Removes a secret.
    ///
    /// # Errors
    /// There is none; the database.
    pub async fn remove_secret(&self, org: OrgId, name: &Name, act: &Draft) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let gone = change!(tx, |db| {
            sqlx::query("DELETE FROM secrets WHERE org_id = $1 AND name = $2")
                .bind(org.to_string())
                .bind(name.as_str())
                .execute(db)
                .await
        })?;
        if gone == 0 {
            return Err(StoreError::not_found(NOUN, name));
        }
        tx.publish(org, act).await
    }
}
