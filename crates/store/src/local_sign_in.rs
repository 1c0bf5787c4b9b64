//! Local sign-ins under way: what was shown by now, in which browser, for which grant. Kept for some minutes, so that any node
//! answers the next step.

use gatehouse_domain::id::{OrgId, UserId};
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read, within};
use crate::engine::Store;
use crate::error::StoreError;
use crate::stored;

const NOUN: &str = "local sign-in";

/// How far a sign-in is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Nobody is known; a passkey will say who it is.
    Passkey,
    /// The password was right, and a second factor must be shown.
    Factor,
    /// The person has shown all they have, and may change it.
    Open,
}

impl Stage {
    const ALL: [Self; 3] = [Self::Passkey, Self::Factor, Self::Open];

    const fn text(self) -> &'static str {
        match self {
            Self::Passkey => "passkey",
            Self::Factor => "factor",
            Self::Open => "open",
        }
    }
}

/// A sign-in under way.
#[derive(Clone, PartialEq, Eq)]
pub struct LocalSignIn {
    /// The SHA-256 of what the form holds.
    pub ticket: [u8; 32],
    /// The SHA-256 of what the browser's cookie holds.
    pub browser: [u8; 32],
    /// How far it is.
    pub stage: Stage,
    /// Whose it is, once that is known.
    pub user: Option<UserId>,
    /// The device grant that it will approve.
    pub device: Option<[u8; 32]>,
    /// What a passkey must sign next.
    pub challenge: Option<[u8; 32]>,
    /// The secret of an authenticator that is being added, sealed.
    pub secret: Option<String>,
    /// When it ends.
    pub expires_at: UnixMillis,
}

#[derive(sqlx::FromRow)]
struct Row {
    stage: String,
    user_id: Option<String>,
    device: Option<Vec<u8>>,
    challenge: Option<Vec<u8>>,
    secret: Option<String>,
    expires_at: i64,
}

impl Store {
    /// Keeps a sign-in that has begun, unless there are `most` of its stage that have not run out: then false.
    ///
    /// # Errors
    /// The database.
    pub async fn create_local_sign_in(
        &self,
        org: OrgId,
        new: &LocalSignIn,
        most: u32,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let (open,): (i64,) = within!(tx, |db| {
            sqlx::query_as(
                "SELECT COUNT(*) FROM local_sign_ins WHERE org_id = $1 AND stage = $2 AND expires_at > $3",
            )
            .bind(org.to_string())
            .bind(new.stage.text())
            .bind(now.0)
            .fetch_one(db)
            .await
        })?;
        if open >= i64::from(most) {
            return Ok(false);
        }
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO local_sign_ins (org_id, ticket, browser, stage, user_id, device, challenge, secret, tries, \
                 expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9)",
            )
            .bind(org.to_string())
            .bind(new.ticket.to_vec())
            .bind(new.browser.to_vec())
            .bind(new.stage.text())
            .bind(new.user.map(|user| user.to_string()))
            .bind(new.device.map(|device| device.to_vec()))
            .bind(new.challenge.map(|challenge| challenge.to_vec()))
            .bind(new.secret.as_deref())
            .bind(new.expires_at.0)
            .execute(db)
            .await
        })
        .map_err(StoreError::inserting(NOUN, "of that ticket"))?;
        tx.commit().await?;
        Ok(true)
    }

    /// The sign-in of this ticket in this browser, unless it has run out.
    ///
    /// # Errors
    /// A row that cannot be read; the database.
    pub async fn local_sign_in(
        &self,
        org: OrgId,
        ticket: &[u8; 32],
        browser: &[u8; 32],
        now: UnixMillis,
    ) -> Result<Option<LocalSignIn>, StoreError> {
        let row: Option<Row> = read!(self, |db| {
            sqlx::query_as(
                "SELECT stage, user_id, device, challenge, secret, expires_at FROM local_sign_ins \
                 WHERE org_id = $1 AND ticket = $2 AND browser = $3 AND expires_at > $4",
            )
            .bind(org.to_string())
            .bind(ticket.to_vec())
            .bind(browser.to_vec())
            .bind(now.0)
            .fetch_optional(db)
            .await
        })?;
        row.map(|row| of(*ticket, *browser, &row)).transpose()
    }

    /// Counts a try before it is made; false when there were `most`, on all nodes together.
    ///
    /// # Errors
    /// The database.
    pub async fn try_local_sign_in(
        &self,
        org: OrgId,
        ticket: &[u8; 32],
        most: u32,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let changed = change!(tx, |db| {
            sqlx::query(
                "UPDATE local_sign_ins SET tries = tries + 1 WHERE org_id = $1 AND ticket = $2 AND tries < $3",
            )
            .bind(org.to_string())
            .bind(ticket.to_vec())
            .bind(i64::from(most))
            .execute(db)
            .await
        })?;
        tx.commit().await?;
        Ok(changed == 1)
    }

    /// Sets what a passkey must sign next.
    ///
    /// # Errors
    /// The database.
    pub async fn set_challenge(
        &self,
        org: OrgId,
        ticket: &[u8; 32],
        challenge: &[u8; 32],
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        change!(tx, |db| {
            sqlx::query("UPDATE local_sign_ins SET challenge = $3 WHERE org_id = $1 AND ticket = $2")
                .bind(org.to_string())
                .bind(ticket.to_vec())
                .bind(challenge.to_vec())
                .execute(db)
                .await
        })?;
        tx.commit().await
    }

    /// Uses a challenge up; false when it was used before, or is another now.
    ///
    /// # Errors
    /// The database.
    pub async fn take_challenge(
        &self,
        org: OrgId,
        ticket: &[u8; 32],
        challenge: &[u8; 32],
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let changed = change!(tx, |db| {
            sqlx::query(
                "UPDATE local_sign_ins SET challenge = NULL WHERE org_id = $1 AND ticket = $2 AND challenge = $3",
            )
            .bind(org.to_string())
            .bind(ticket.to_vec())
            .bind(challenge.to_vec())
            .execute(db)
            .await
        })?;
        tx.commit().await?;
        Ok(changed == 1)
    }

    /// Sets the sealed secret of an authenticator that is being added.
    ///
    /// # Errors
    /// The database.
    pub async fn set_new_totp(&self, org: OrgId, ticket: &[u8; 32], secret: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        change!(tx, |db| {
            sqlx::query("UPDATE local_sign_ins SET secret = $3, tries = 0 WHERE org_id = $1 AND ticket = $2")
                .bind(org.to_string())
                .bind(ticket.to_vec())
                .bind(secret)
                .execute(db)
                .await
        })?;
        tx.commit().await
    }

    /// Ends a sign-in; false when it has ended before: of two answers one counts.
    ///
    /// # Errors
    /// The database.
    pub async fn end_local_sign_in(&self, org: OrgId, ticket: &[u8; 32]) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let changed = change!(tx, |db| {
            sqlx::query("DELETE FROM local_sign_ins WHERE org_id = $1 AND ticket = $2")
                .bind(org.to_string())
                .bind(ticket.to_vec())
                .execute(db)
                .await
        })?;
        tx.commit().await?;
        Ok(changed == 1)
    }
}

fn of(ticket: [u8; 32], browser: [u8; 32], row: &Row) -> Result<LocalSignIn, StoreError> {
    let bytes = |bytes: &Option<Vec<u8>>| {
        bytes.as_deref().map(|bytes| stored::bytes(NOUN, "of that ticket", bytes)).transpose()
    };
    let stage = Stage::ALL.into_iter().find(|stage| stage.text() == row.stage);
    Ok(LocalSignIn {
        ticket,
        browser,
        stage: stage.ok_or_else(|| StoreError::corrupt(NOUN, "of that ticket", "its stage is none"))?,
        user: stored::parsed_some("user", row.user_id.as_deref())?,
        device: bytes(&row.device)?,
        challenge: bytes(&row.challenge)?,
        secret: row.secret.clone(),
        expires_at: UnixMillis(row.expires_at),
    })
}
