//! What one node at a time may do.
//!
//! A lease is held until its time is over, so that a node that died does not keep the others from the work. Its holder (a
//! text that nobody else uses) must be done, or have extended it, before that.

use gatehouse_domain::id::OrgId;
use gatehouse_domain::time::UnixMillis;

use crate::dialect::change;
use crate::engine::Store;
use crate::error::StoreError;

impl Store {
    /// Takes a lease, or extends it when this holder has it; says whether this holder has it now.
    ///
    /// # Errors
    /// The database.
    pub async fn take_lease(
        &self,
        org: OrgId,
        name: &str,
        holder: &str,
        now: UnixMillis,
        until: UnixMillis,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let taken = change!(tx, |db| {
            sqlx::query(
                "INSERT INTO leases (org_id, name, holder, until_at) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (org_id, name) DO UPDATE SET holder = excluded.holder, until_at = excluded.until_at \
                 WHERE leases.holder = excluded.holder OR leases.until_at <= $5",
            )
            .bind(org.to_string())
            .bind(name)
            .bind(holder)
            .bind(until.0)
            .bind(now.0)
            .execute(db)
            .await
        })?;
        tx.commit().await?;
        Ok(taken > 0)
    }

    /// Gives a lease back before its time, if this holder has it.
    ///
    /// # Errors
    /// The database.
    pub async fn give_lease_back(&self, org: OrgId, name: &str, holder: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        change!(tx, |db| {
            sqlx::query("DELETE FROM leases WHERE org_id = $1 AND name = $2 AND holder = $3")
                .bind(org.to_string())
                .bind(name)
                .bind(holder)
                .execute(db)
                .await
        })?;
        tx.commit().await
    }
}
