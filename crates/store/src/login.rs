//! Sign-ins that wait for a browser to come back from an identity provider. Sealed before they come here.

use gatehouse_domain::id::OrgId;
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, within};
use crate::engine::Store;
use crate::error::StoreError;

/// A sign-in that waits.
#[derive(Clone, PartialEq, Eq)]
pub struct PendingLogin {
    /// The SHA-256 of the `state` that the browser will bring.
    pub state: [u8; 32],
    /// The device grant that it will approve.
    pub device: [u8; 32],
    /// What is needed to finish it, sealed.
    pub sealed: String,
    /// Until when the browser may return.
    pub expires_at: UnixMillis,
}

impl Store {
    /// Keeps a sign-in that waits, in place of an earlier one for the same grant (so that one grant does not take all the
    /// room), unless there are `most` that have not run out: then false. Not audited: anybody with a
    /// code may begin one.
    ///
    /// # Errors
    /// The database.
    pub async fn create_login(
        &self,
        org: OrgId,
        login: &PendingLogin,
        most: u32,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        change!(tx, |db| {
            sqlx::query("DELETE FROM pending_logins WHERE org_id = $1 AND device = $2")
                .bind(org.to_string())
                .bind(login.device.to_vec())
                .execute(db)
                .await
        })?;
        let (open,): (i64,) = within!(tx, |db| {
            sqlx::query_as("SELECT COUNT(*) FROM pending_logins WHERE org_id = $1 AND expires_at > $2")
                .bind(org.to_string())
                .bind(now.0)
                .fetch_one(db)
                .await
        })?;
        if open >= i64::from(most) {
            return Ok(false);
        }
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO pending_logins (org_id, state, device, sealed, expires_at) VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(org.to_string())
            .bind(login.state.to_vec())
            .bind(login.device.to_vec())
            .bind(login.sealed.as_str())
            .bind(login.expires_at.0)
            .execute(db)
            .await
        })
        .map_err(StoreError::inserting("sign-in", "of that state"))?;
        tx.commit().await?;
        Ok(true)
    }

    /// Takes a sign-in out: a second browser with the same `state` finds nothing.
    ///
    /// # Errors
    /// A row that cannot be read; the database.
    pub async fn take_login(&self, org: OrgId, state: &[u8; 32]) -> Result<Option<PendingLogin>, StoreError> {
        let mut tx = self.begin().await?;
        let row: Option<(Vec<u8>, String, i64)> = within!(tx, |db| {
            sqlx::query_as(
                "DELETE FROM pending_logins WHERE org_id = $1 AND state = $2 RETURNING device, sealed, expires_at",
            )
            .bind(org.to_string())
            .bind(state.to_vec())
            .fetch_optional(db)
            .await
        })?;
        tx.commit().await?;
        let Some((device, sealed, expires_at)) = row else { return Ok(None) };
        Ok(Some(PendingLogin {
            state: *state,
            device: crate::stored::bytes("sign-in", "of that state", &device)?,
            sealed,
            expires_at: UnixMillis(expires_at),
        }))
    }
}
