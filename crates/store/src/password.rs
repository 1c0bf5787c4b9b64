//! Passwords of local accounts: their hashes. The password itself never comes here.

use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::{OrgId, UserId};
use gatehouse_domain::session::SessionEnd;

use crate::dialect::{change, read};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::{device, factor, user};

/// The source of sessions that began with a password kept here.
pub const LOCAL: &str = "local";

impl Store {
    /// Sets a user's password, or removes it, and then their second factors too, so that nothing is left to sign in with.
    /// Sessions that began with the one before end with it, and so does what the person has approved and nobody has collected.
    ///
    /// # Errors
    /// There is no such user, or no password to remove; the database.
    pub async fn set_password(
        &self,
        org: OrgId,
        user: UserId,
        hash: Option<&str>,
        act: &Draft,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        user::lock(&mut tx, org, user).await?;
        let changed = match hash {
            Some(hash) => put(&mut tx, org, user, hash, act).await?,
            None => change!(tx, |db| {
                sqlx::query("DELETE FROM local_passwords WHERE org_id = $1 AND user_id = $2")
                    .bind(org.to_string())
                    .bind(user.to_string())
                    .execute(db)
                    .await
            })?,
        };
        if changed == 0 {
            return Err(StoreError::not_found("password of", user));
        }
        if hash.is_none() {
            factor::remove_all(&mut tx, org, user).await?;
        }
        end_sessions(&mut tx, org, user, SessionEnd::PasswordChanged, act).await?;
        device::withdraw(&mut tx, org, user).await?;
        tx.publish(org, act).await
    }

    /// The hash of a user's password; `None` when they have none.
    ///
    /// # Errors
    /// The database.
    pub async fn password(&self, org: OrgId, user: UserId) -> Result<Option<String>, StoreError> {
        let row: Option<(String,)> = read!(self, |db| {
            sqlx::query_as("SELECT hash FROM local_passwords WHERE org_id = $1 AND user_id = $2")
                .bind(org.to_string())
                .bind(user.to_string())
                .fetch_optional(db)
                .await
        })?;
        Ok(row.map(|(hash,)| hash))
    }

    /// Replaces a hash by another of the same password, made with today's parameters. Nothing else changes, so nothing is
    /// recorded; a password that was set meanwhile stays.
    ///
    /// # Errors
    /// The database.
    pub async fn renew_password(
        &self,
        org: OrgId,
        user: UserId,
        old: &str,
        new: &str,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        change!(tx, |db| {
            sqlx::query(
                "UPDATE local_passwords SET hash = $4 WHERE org_id = $1 AND user_id = $2 AND hash = $3",
            )
            .bind(org.to_string())
            .bind(user.to_string())
            .bind(old)
            .bind(new)
            .execute(db)
            .await
        })?;
        tx.commit().await
    }
}

/// Ends the sessions of a person that began here.
pub(crate) async fn end_sessions(
    tx: &mut Tx,
    org: OrgId,
    user: UserId,
    why: SessionEnd,
    act: &Draft,
) -> Result<(), StoreError> {
    change!(tx, |db| {
        sqlx::query(
            "UPDATE sessions SET ended_at = $3, ended_why = $4, source_token = NULL WHERE org_id = $1 AND user_id = $2 \
             AND source = $5 AND ended_at IS NULL",
        )
        .bind(org.to_string())
        .bind(user.to_string())
        .bind(act.at.0)
        .bind(why.as_str())
        .bind(LOCAL)
        .execute(db)
        .await
    })?;
    Ok(())
}

async fn put(tx: &mut Tx, org: OrgId, user: UserId, hash: &str, act: &Draft) -> Result<u64, StoreError> {
    Ok(change!(tx, |db| {
        sqlx::query(
            "INSERT INTO local_passwords (org_id, user_id, hash, updated_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (org_id, user_id) DO UPDATE SET hash = excluded.hash, updated_at = excluded.updated_at",
        )
        .bind(org.to_string())
        .bind(user.to_string())
        .bind(hash)
        .bind(act.at.0)
        .execute(db)
        .await
    })?)
}
