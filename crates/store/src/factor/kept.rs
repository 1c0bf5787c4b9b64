//! Links by which a person may add a factor, and secrets that are sealed anew.

use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::{OrgId, UserId};
use gatehouse_domain::time::UnixMillis;

use super::done;
use crate::dialect::{change, read, within};
use crate::engine::Store;
use crate::error::StoreError;
use crate::{stored, user};

impl Store {
    /// Keeps a link by which a person may add a factor, in the place of the one before.
    ///
    /// # Errors
    /// There is no such user; the database.
    pub async fn put_factor_link(
        &self,
        org: OrgId,
        user: UserId,
        link: &[u8; 32],
        expires_at: UnixMillis,
        act: &Draft,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        user::must_exist(&mut tx, org, user).await?;
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO factor_links (org_id, user_id, link, expires_at) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (org_id, user_id) DO UPDATE SET link = excluded.link, expires_at = excluded.expires_at",
            )
            .bind(org.to_string())
            .bind(user.to_string())
            .bind(link.to_vec())
            .bind(expires_at.0)
            .execute(db)
            .await
        })?;
        tx.record(org, act).await
    }

    /// Uses a link up: gives whose it was, once.
    ///
    /// # Errors
    /// A row that cannot be read; the database.
    pub async fn take_factor_link(
        &self,
        org: OrgId,
        link: &[u8; 32],
        now: UnixMillis,
    ) -> Result<Option<UserId>, StoreError> {
        let mut tx = self.begin().await?;
        let row: Option<(String,)> = within!(tx, |db| {
            sqlx::query_as(
                "DELETE FROM factor_links WHERE org_id = $1 AND link = $2 AND expires_at > $3 RETURNING user_id",
            )
            .bind(org.to_string())
            .bind(link.to_vec())
            .bind(now.0)
            .fetch_optional(db)
            .await
        })?;
        tx.commit().await?;
        row.map(|(user,)| stored::parsed("user", &user)).transpose()
    }

    /// The sealed secrets of all authenticators, by person.
    ///
    /// # Errors
    /// A row that cannot be read; the database.
    pub async fn totp_secrets(&self, org: OrgId) -> Result<Vec<(UserId, String)>, StoreError> {
        let rows: Vec<(String, String)> = read!(self, |db| {
            sqlx::query_as("SELECT user_id, secret FROM totp_factors WHERE org_id = $1 ORDER BY user_id")
                .bind(org.to_string())
                .fetch_all(db)
                .await
        })?;
        rows.into_iter().map(|(user, secret)| Ok((stored::parsed("user", &user)?, secret))).collect()
    }

    /// Puts the same secret, sealed anew, in the place of this one; false when it was replaced meanwhile.
    ///
    /// # Errors
    /// The database.
    pub async fn reseal_totp(
        &self,
        org: OrgId,
        user: UserId,
        old: &str,
        new: &str,
        act: &Draft,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let changed = change!(tx, |db| {
            sqlx::query(
                "UPDATE totp_factors SET secret = $4 WHERE org_id = $1 AND user_id = $2 AND secret = $3",
            )
            .bind(org.to_string())
            .bind(user.to_string())
            .bind(old)
            .bind(new)
            .execute(db)
            .await
        })?;
        done(tx, org, changed, act).await
    }
}
