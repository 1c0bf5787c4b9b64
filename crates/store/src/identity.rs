//! Who people are at the issuers where they sign in.
//!
//! An address may be given to somebody else one day; an issuer's subject never is (OpenID Connect Core section 2). So the
//! address joins a person and a subject at their first sign-in only, and from then on the subject decides.

use gatehouse_domain::audit::Draft;
use gatehouse_domain::directory::User;
use gatehouse_domain::id::{OrgId, UserId};
use gatehouse_domain::session::SessionEnd;
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::{session, stored, user};

const NOUN: &str = "identity";

/// Longest subject, in bytes. OpenID Connect allows 255.
pub const MAX_SUBJECT: usize = 512;

/// Somebody as an issuer names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The issuer: an OpenID Connect issuer's identifier, or `ldap:` and a directory's name.
    pub issuer: String,
    /// The issuer's name for the person; it is never given to anybody else.
    pub subject: String,
}

impl Identity {
    /// Whether it can be kept: a subject of at most [`MAX_SUBJECT`] bytes, without control characters.
    pub fn is_sound(&self) -> bool {
        let fits = (1..=MAX_SUBJECT).contains(&self.subject.len());
        fits && !self.subject.chars().any(char::is_control)
    }
}

/// An identity of a user, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownIdentity {
    /// Who it is there.
    pub identity: Identity,
    /// When they first signed in there.
    pub since: UnixMillis,
}

/// Whether somebody who is known from another issuer may be taken for the same person by their address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// They may.
    Joined,
    /// They may not.
    Refused,
}

/// What became of joining a user and an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Joined {
    /// They are joined now.
    Yes,
    /// They were before.
    Already,
    /// The issuer knows the user by another subject, or the subject is another user: they are two people.
    SomebodyElse,
    /// The user is known from this other issuer, and that does not do.
    KnownFrom(String),
}

impl Store {
    /// The user whom an issuer knows by this subject, if they have signed in there.
    ///
    /// # Errors
    /// The database.
    pub async fn user_by_identity(&self, org: OrgId, who: &Identity) -> Result<Option<User>, StoreError> {
        let row: Option<(String,)> = read!(self, |db| {
            sqlx::query_as(
                "SELECT user_id FROM identities WHERE org_id = $1 AND issuer = $2 AND subject = $3",
            )
            .bind(org.to_string())
            .bind(who.issuer.as_str())
            .bind(who.subject.as_str())
            .fetch_optional(db)
            .await
        })?;
        let Some((id,)) = row else { return Ok(None) };
        self.user(org, stored::parsed("user", &id)?).await.map(Some)
    }

    /// Where a user has signed in, by issuer.
    ///
    /// # Errors
    /// The database.
    pub async fn identities(&self, org: OrgId, user: UserId) -> Result<Vec<KnownIdentity>, StoreError> {
        let rows: Vec<(String, String, i64)> = read!(self, |db| {
            sqlx::query_as(
                "SELECT issuer, subject, created_at FROM identities WHERE org_id = $1 AND user_id = $2 ORDER BY issuer",
            )
            .bind(org.to_string())
            .bind(user.to_string())
            .fetch_all(db)
            .await
        })?;
        let known = |(issuer, subject, at)| KnownIdentity {
            identity: Identity { issuer, subject },
            since: UnixMillis(at),
        };
        Ok(rows.into_iter().map(known).collect())
    }

    /// Joins a user and an identity, for good. Recorded when it changes something.
    ///
    /// # Errors
    /// There is no such user; the identity cannot be kept; the database.
    pub async fn join_identity(
        &self,
        org: OrgId,
        id: UserId,
        who: &Identity,
        others: Others,
        act: &Draft,
    ) -> Result<Joined, StoreError> {
        if !who.is_sound() {
            let why = format!("must have 1 to {MAX_SUBJECT} bytes and no control characters");
            return Err(StoreError::Invalid { field: "subject", why });
        }
        let mut tx = self.begin().await?;
        // Two sign-ins of one person are looked at one after the other.
        user::lock(&mut tx, org, id).await?;
        let known: Vec<(String, String)> = within!(tx, |db| {
            sqlx::query_as(
                "SELECT issuer, subject FROM identities WHERE org_id = $1 AND user_id = $2 ORDER BY issuer",
            )
            .bind(org.to_string())
            .bind(id.to_string())
            .fetch_all(db)
            .await
        })?;
        if let Some((_, subject)) = known.iter().find(|(issuer, _)| *issuer == who.issuer) {
            let same = *subject == who.subject;
            return Ok(if same { Joined::Already } else { Joined::SomebodyElse });
        }
        if let (Others::Refused, Some((issuer, _))) = (others, known.first()) {
            return Ok(Joined::KnownFrom(issuer.clone()));
        }
        match insert(&mut tx, org, id, who, act.at).await {
            Ok(()) => {}
            Err(StoreError::Conflict { .. }) => return Ok(Joined::SomebodyElse),
            Err(error) => return Err(error),
        }
        tx.record(org, act).await?;
        Ok(Joined::Yes)
    }

    /// Forgets where a user signs in, and ends their sessions: who comes next with their address is taken for them. Gives
    /// how many were forgotten; without any nothing is recorded.
    ///
    /// # Errors
    /// There is no such user; the database.
    pub async fn forget_identities(&self, org: OrgId, id: UserId, act: &Draft) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        user::lock(&mut tx, org, id).await?;
        let gone = forget(&mut tx, org, id).await?;
        if gone > 0 {
            session::end_all(&mut tx, org, id, SessionEnd::IdentityForgotten, act.at).await?;
            tx.publish(org, act).await?;
        }
        Ok(gone)
    }
}

async fn insert(
    tx: &mut Tx,
    org: OrgId,
    user: UserId,
    who: &Identity,
    at: UnixMillis,
) -> Result<(), StoreError> {
    change!(tx, |db| {
        sqlx::query(
            "INSERT INTO identities (org_id, issuer, subject, user_id, created_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(org.to_string())
        .bind(who.issuer.as_str())
        .bind(who.subject.as_str())
        .bind(user.to_string())
        .bind(at.0)
        .execute(db)
        .await
    })
    .map_err(StoreError::inserting(NOUN, &who.issuer))?;
    Ok(())
}

async fn forget(tx: &mut Tx, org: OrgId, user: UserId) -> Result<u64, StoreError> {
    Ok(change!(tx, |db| {
        sqlx::query("DELETE FROM identities WHERE org_id = $1 AND user_id = $2")
            .bind(org.to_string())
            .bind(user.to_string())
            .execute(db)
            .await
    })?)
}

/// Lets nobody in any more by what a user has been given so far: revokes their keys, and forgets their password and where
/// they sign in. Their sessions are the caller's to end.
pub(crate) async fn forget_credentials(
    tx: &mut Tx,
    org: OrgId,
    user: UserId,
    at: UnixMillis,
) -> Result<(), StoreError> {
    forget(tx, org, user).await?;
    change!(tx, |db| {
        sqlx::query(
            "UPDATE admin_tokens SET revoked_at = $3 WHERE org_id = $1 AND user_id = $2 AND revoked_at IS NULL",
        )
        .bind(org.to_string())
        .bind(user.to_string())
        .bind(at.0)
        .execute(db)
        .await
    })?;
    for sql in [
        "UPDATE keys SET state = 'revoked' WHERE org_id = $1 AND user_id = $2 AND state <> 'revoked'",
        "DELETE FROM local_passwords WHERE org_id = $1 AND user_id = $2",
    ] {
        change!(tx, |db| sqlx::query(sql).bind(org.to_string()).bind(user.to_string()).execute(db).await)?;
    }
    Ok(())
}
