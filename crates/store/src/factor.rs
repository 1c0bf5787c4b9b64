//! Second factors of people who sign in here: an authenticator's secret (sealed before it comes here), passkeys, the hashes
//! of recovery codes, and the links by which a person may add one.

mod used;
mod kept;

use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::{OrgId, UserId};
use gatehouse_domain::session::SessionEnd;
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::{password, stored, user};

/// Passkeys that one person may have.
pub const MAX_PASSKEYS: usize = 10;

/// What a person has besides a password.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Factors {
    /// Their authenticator.
    pub totp: Option<Totp>,
    /// Their passkeys, the oldest first.
    pub passkeys: Vec<Passkey>,
    /// Recovery codes that were not used.
    pub recovery_codes: usize,
}

impl Factors {
    /// Whether there is none. Recovery codes alone are none.
    pub const fn is_empty(&self) -> bool {
        self.totp.is_none() && self.passkeys.is_empty()
    }
}

/// An authenticator.
#[derive(Clone, PartialEq, Eq)]
pub struct Totp {
    /// Its secret, sealed.
    pub secret: String,
    /// The newest time step that was used.
    pub last_step: u64,
    /// When it was added.
    pub created_at: UnixMillis,
    /// When it was last used to sign in.
    pub used_at: Option<UnixMillis>,
}

/// A passkey.
#[derive(Clone, PartialEq, Eq)]
pub struct Passkey {
    /// Its device's name for it.
    pub id: Vec<u8>,
    /// Whose it is.
    pub user: UserId,
    /// Its public key (COSE).
    pub public_key: Vec<u8>,
    /// How often its device has signed.
    pub counter: u32,
    /// When it was added.
    pub created_at: UnixMillis,
    /// When it was last used to sign in.
    pub used_at: Option<UnixMillis>,
}

/// A passkey to be kept.
#[derive(Clone, Copy)]
pub struct NewPasskey<'a> {
    /// Its device's name for it.
    pub id: &'a [u8],
    /// Its public key (COSE).
    pub public_key: &'a [u8],
    /// How often its device has signed.
    pub counter: u32,
}

/// What became of a factor that was to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "it may not have been added"]
pub enum Added {
    /// It is there.
    Done,
    /// There are as many as there may be.
    Full,
    /// Somebody has it already.
    Taken,
}

/// What must be left when a factor is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Nothing need be.
    Nothing,
    /// One other.
    Another,
}

/// Which factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which<'a> {
    /// The authenticator.
    Totp,
    /// The passkey of this identifier.
    Passkey(&'a [u8]),
}

type PasskeyRow = (Vec<u8>, String, Vec<u8>, i64, i64, Option<i64>);

impl Store {
    /// What a person has besides a password.
    ///
    /// # Errors
    /// A row that cannot be read; the database.
    pub async fn factors(&self, org: OrgId, user: UserId) -> Result<Factors, StoreError> {
        let totp: Option<(String, i64, i64, Option<i64>)> = read!(self, |db| {
            sqlx::query_as(
                "SELECT secret, last_step, created_at, used_at FROM totp_factors WHERE org_id = $1 AND user_id = $2",
            )
            .bind(org.to_string())
            .bind(user.to_string())
            .fetch_optional(db)
            .await
        })?;
        let passkeys: Vec<PasskeyRow> = read!(self, |db| {
            sqlx::query_as(
                "SELECT id, user_id, public_key, counter, created_at, used_at FROM passkeys \
                 WHERE org_id = $1 AND user_id = $2 ORDER BY created_at, id",
            )
            .bind(org.to_string())
            .bind(user.to_string())
            .fetch_all(db)
            .await
        })?;
        let (codes,): (i64,) = read!(self, |db| {
            sqlx::query_as("SELECT COUNT(*) FROM recovery_codes WHERE org_id = $1 AND user_id = $2")
                .bind(org.to_string())
                .bind(user.to_string())
                .fetch_one(db)
                .await
        })?;
        let totp = totp.map(|(secret, last_step, created_at, used_at)| {
            let last_step = stored::unsigned("authenticator", last_step)?;
            let (created_at, used_at) = (UnixMillis(created_at), used_at.map(UnixMillis));
            Ok::<_, StoreError>(Totp { secret, last_step, created_at, used_at })
        });
        Ok(Factors {
            totp: totp.transpose()?,
            passkeys: passkeys.into_iter().map(passkey_of).collect::<Result<_, _>>()?,
            recovery_codes: usize::try_from(codes).unwrap_or(0),
        })
    }

    /// The passkey of this identifier.
    ///
    /// # Errors
    /// A row that cannot be read; the database.
    pub async fn passkey(&self, org: OrgId, id: &[u8]) -> Result<Option<Passkey>, StoreError> {
        let row: Option<PasskeyRow> = read!(self, |db| {
            sqlx::query_as(
                "SELECT id, user_id, public_key, counter, created_at, used_at FROM passkeys \
                 WHERE org_id = $1 AND id = $2",
            )
            .bind(org.to_string())
            .bind(id.to_vec())
            .fetch_optional(db)
            .await
        })?;
        row.map(passkey_of).transpose()
    }

    /// Adds an authenticator whose code of `step` was shown, and new recovery codes if there are any given.
    ///
    /// # Errors
    /// There is no such user; the database.
    pub async fn add_totp(
        &self,
        org: OrgId,
        user: UserId,
        secret: &str,
        step: u64,
        codes: Option<&[[u8; 32]]>,
        act: &Draft,
    ) -> Result<Added, StoreError> {
        let mut tx = self.begin().await?;
        user::must_exist(&mut tx, org, user).await?;
        let step = stored::signed("step", step)?;
        let changed = change!(tx, |db| {
            sqlx::query(
                "INSERT INTO totp_factors (org_id, user_id, secret, last_step, created_at) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (org_id, user_id) DO NOTHING",
            )
            .bind(org.to_string())
            .bind(user.to_string())
            .bind(secret)
            .bind(step)
            .bind(act.at.0)
            .execute(db)
            .await
        })?;
        if changed == 0 {
            return Ok(Added::Full);
        }
        put_codes(&mut tx, org, user, codes).await?;
        tx.record(org, act).await?;
        Ok(Added::Done)
    }

    /// Adds a passkey, and new recovery codes if there are any given.
    ///
    /// # Errors
    /// There is no such user; the database.
    pub async fn add_passkey(
        &self,
        org: OrgId,
        user: UserId,
        new: NewPasskey<'_>,
        codes: Option<&[[u8; 32]]>,
        act: &Draft,
    ) -> Result<Added, StoreError> {
        let mut tx = self.begin().await?;
        user::must_exist(&mut tx, org, user).await?;
        let (has,): (i64,) = within!(tx, |db| {
            sqlx::query_as("SELECT COUNT(*) FROM passkeys WHERE org_id = $1 AND user_id = $2")
                .bind(org.to_string())
                .bind(user.to_string())
                .fetch_one(db)
                .await
        })?;
        if usize::try_from(has).is_ok_and(|has| has >= MAX_PASSKEYS) {
            return Ok(Added::Full);
        }
        let changed = change!(tx, |db| {
            sqlx::query(
                "INSERT INTO passkeys (org_id, id, user_id, public_key, counter, created_at) \
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (org_id, id) DO NOTHING",
            )
            .bind(org.to_string())
            .bind(new.id.to_vec())
            .bind(user.to_string())
            .bind(new.public_key.to_vec())
            .bind(i64::from(new.counter))
            .bind(act.at.0)
            .execute(db)
            .await
        })?;
        if changed == 0 {
            return Ok(Added::Taken);
        }
        put_codes(&mut tx, org, user, codes).await?;
        tx.record(org, act).await?;
        Ok(Added::Done)
    }

    /// Removes all factors, recovery codes and links of a person, and the local sign-ins that are under way. Their sessions
    /// that began here end.
    ///
    /// # Errors
    /// There is no such user; the database.
    pub async fn reset_factors(&self, org: OrgId, user: UserId, act: &Draft) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        user::must_exist(&mut tx, org, user).await?;
        remove_all(&mut tx, org, user).await?;
        password::end_sessions(&mut tx, org, user, SessionEnd::FactorsReset, act).await?;
        tx.publish(org, act).await
    }
}

/// Records what changed one row; what changed none is undone.
async fn done(tx: Tx, org: OrgId, changed: u64, act: &Draft) -> Result<bool, StoreError> {
    if changed == 0 {
        tx.rollback().await?;
        return Ok(false);
    }
    tx.record(org, act).await?;
    Ok(true)
}

async fn put_codes(
    tx: &mut Tx,
    org: OrgId,
    user: UserId,
    codes: Option<&[[u8; 32]]>,
) -> Result<(), StoreError> {
    let Some(codes) = codes else { return Ok(()) };
    change!(tx, |db| {
        sqlx::query("DELETE FROM recovery_codes WHERE org_id = $1 AND user_id = $2")
            .bind(org.to_string())
            .bind(user.to_string())
            .execute(db)
            .await
    })?;
    for hash in codes {
        change!(tx, |db| {
            sqlx::query("INSERT INTO recovery_codes (org_id, user_id, hash) VALUES ($1, $2, $3)")
                .bind(org.to_string())
                .bind(user.to_string())
                .bind(hash.to_vec())
                .execute(db)
                .await
        })?;
    }
    Ok(())
}

/// Removes all that a person could sign in with besides a password.
pub(crate) async fn remove_all(tx: &mut Tx, org: OrgId, user: UserId) -> Result<(), StoreError> {
    const STATEMENTS: [&str; 5] = [
        "DELETE FROM totp_factors WHERE org_id = $1 AND user_id = $2",
        "DELETE FROM passkeys WHERE org_id = $1 AND user_id = $2",
        "DELETE FROM recovery_codes WHERE org_id = $1 AND user_id = $2",
        "DELETE FROM factor_links WHERE org_id = $1 AND user_id = $2",
        "DELETE FROM local_sign_ins WHERE org_id = $1 AND user_id = $2",
    ];
    for sql in STATEMENTS {
        change!(tx, |db| {
            sqlx::query(sql).bind(org.to_string()).bind(user.to_string()).execute(db).await
        })?;
    }
    Ok(())
}

fn passkey_of(row: PasskeyRow) -> Result<Passkey, StoreError> {
    let (id, user, public_key, counter, created_at, used_at) = row;
    let counter = u32::try_from(counter)
        .map_err(|_| StoreError::corrupt("passkey of", &user, "its counter is none"))?;
    Ok(Passkey {
        id,
        user: stored::parsed("user", &user)?,
        public_key,
        counter,
        created_at: UnixMillis(created_at),
        used_at: used_at.map(UnixMillis),
    })
}
