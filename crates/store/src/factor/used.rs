//! Factors that are shown, each once, and those that are removed.

use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::{OrgId, UserId};

use super::{Left, Which, done, put_codes};
use crate::dialect::{change, within};
use crate::engine::Store;
use crate::error::StoreError;
use crate::stored;

impl Store {
    /// Marks a time step of a person's authenticator as used; false when it, or a later one, was used before. Of two nodes
    /// that are shown the same code, one goes on.
    ///
    /// # Errors
    /// The database.
    pub async fn use_totp(
        &self,
        org: OrgId,
        user: UserId,
        step: u64,
        act: &Draft,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let step = stored::signed("step", step)?;
        let changed = change!(tx, |db| {
            sqlx::query(
                "UPDATE totp_factors SET last_step = $3, used_at = $4 WHERE org_id = $1 AND user_id = $2 \
                 AND last_step < $3",
            )
            .bind(org.to_string())
            .bind(user.to_string())
            .bind(step)
            .bind(act.at.0)
            .execute(db)
            .await
        })?;
        done(tx, org, changed, act).await
    }

    /// Notes what a passkey's device has counted to; false when it has not counted on from what is stored (there are two of
    /// it, or this signature was used elsewhere), or when the passkey is gone. A device that never counts stays at 0.
    ///
    /// # Errors
    /// The database.
    pub async fn use_passkey(
        &self,
        org: OrgId,
        id: &[u8],
        counter: u32,
        act: &Draft,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let changed = change!(tx, |db| {
            sqlx::query(
                "UPDATE passkeys SET counter = $3, used_at = $4 WHERE org_id = $1 AND id = $2 \
                 AND (counter < $3 OR (counter = 0 AND $3 = 0))",
            )
            .bind(org.to_string())
            .bind(id.to_vec())
            .bind(i64::from(counter))
            .bind(act.at.0)
            .execute(db)
            .await
        })?;
        done(tx, org, changed, act).await
    }

    /// Uses a recovery code up; false when it is none (any more).
    ///
    /// # Errors
    /// The database.
    pub async fn use_recovery_code(
        &self,
        org: OrgId,
        user: UserId,
        hash: &[u8; 32],
        act: &Draft,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let changed = change!(tx, |db| {
            sqlx::query("DELETE FROM recovery_codes WHERE org_id = $1 AND user_id = $2 AND hash = $3")
                .bind(org.to_string())
                .bind(user.to_string())
                .bind(hash.to_vec())
                .execute(db)
                .await
        })?;
        done(tx, org, changed, act).await
    }

    /// Replaces all recovery codes of a person.
    ///
    /// # Errors
    /// The database.
    pub async fn set_recovery_codes(
        &self,
        org: OrgId,
        user: UserId,
        codes: &[[u8; 32]],
        act: &Draft,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        put_codes(&mut tx, org, user, Some(codes)).await?;
        tx.record(org, act).await
    }

    /// Removes a factor; false when it is not theirs, or is the last where another must be left. With the last one the
    /// recovery codes go.
    ///
    /// # Errors
    /// The database.
    pub async fn remove_factor(
        &self,
        org: OrgId,
        user: UserId,
        which: Which<'_>,
        left: Left,
        act: &Draft,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let changed = match which {
            Which::Totp => change!(tx, |db| {
                sqlx::query("DELETE FROM totp_factors WHERE org_id = $1 AND user_id = $2")
                    .bind(org.to_string())
                    .bind(user.to_string())
                    .execute(db)
                    .await
            })?,
            Which::Passkey(id) => change!(tx, |db| {
                sqlx::query("DELETE FROM passkeys WHERE org_id = $1 AND user_id = $2 AND id = $3")
                    .bind(org.to_string())
                    .bind(user.to_string())
                    .bind(id.to_vec())
                    .execute(db)
                    .await
            })?,
        };
        let (rest,): (i64,) = within!(tx, |db| {
            sqlx::query_as(
                "SELECT (SELECT COUNT(*) FROM totp_factors WHERE org_id = $1 AND user_id = $2) \
                 + (SELECT COUNT(*) FROM passkeys WHERE org_id = $1 AND user_id = $2)",
            )
            .bind(org.to_string())
            .bind(user.to_string())
            .fetch_one(db)
            .await
        })?;
        if changed == 0 || (rest == 0 && left == Left::Another) {
            tx.rollback().await?;
            return Ok(false);
        }
        if rest == 0 {
            put_codes(&mut tx, org, user, Some(&[])).await?;
        }
        tx.record(org, act).await?;
        Ok(true)
    }
}
