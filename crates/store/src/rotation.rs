//! What hangs on a key of the server itself: hashes made under a pepper, sessions with tokens it proved, texts sealed under
//! a master key. And taking them over to the next one.

use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::{AdminTokenId, KeyId, OrgId, ProvisioningTokenId};
use gatehouse_domain::key::{Generation, KeyHash};
use gatehouse_domain::name::Name;
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::{policy, stored};

/// Sealed texts of sessions that are read at a time.
const BATCH: i64 = 500;

const UNDER_PEPPER: &str = "SELECT \
     (SELECT COUNT(*) FROM keys WHERE org_id = $1 AND pepper = $2 AND state <> 'revoked' \
      AND (expires_at IS NULL OR expires_at > $3)) + \
     (SELECT COUNT(*) FROM admin_tokens WHERE org_id = $1 AND pepper = $2 AND revoked_at IS NULL \
      AND (expires_at IS NULL OR expires_at > $3)) + \
     (SELECT COUNT(*) FROM provisioning_tokens WHERE org_id = $1 AND pepper = $2 AND revoked_at IS NULL \
      AND (expires_at IS NULL OR expires_at > $3))";

/// Everything that is sealed and may still be opened. What lasts for minutes only is counted, and not sealed anew.
const UNDER_MASTER: &str = "SELECT \
     (SELECT COUNT(*) FROM secrets WHERE org_id = $1 AND key_id = $2) + \
     (SELECT COUNT(*) FROM sessions WHERE org_id = $1 AND ended_at IS NULL AND expires_at > $3 \
      AND source_token LIKE $4) + \
     (SELECT COUNT(*) FROM pending_logins WHERE org_id = $1 AND expires_at > $3 AND sealed LIKE $4) + \
     (SELECT COUNT(*) FROM totp_factors WHERE org_id = $1 AND secret LIKE $4) + \
     (SELECT COUNT(*) FROM local_sign_ins WHERE org_id = $1 AND expires_at > $3 AND secret LIKE $4) + \
     (SELECT COUNT(*) FROM device_grants WHERE org_id = $1 AND expires_at > $3 AND state = 'approved' \
      AND approval LIKE $5)";

const SESSIONS_SINCE: &str = "SELECT COUNT(*) FROM sessions WHERE org_id = $1 AND ended_at IS NULL AND expires_at > $3 \
     AND COALESCE(refreshed_at, created_at) <= $2";

const GRANTS_SINCE: &str = "SELECT COUNT(*) FROM device_grants WHERE org_id = $1 AND state = 'pending' AND expires_at > $3 \
     AND created_at <= $2";

/// A sealed secret that is to take the place of another.
#[derive(Clone, Copy)]
pub struct Replacing<'a> {
    /// Its name.
    pub name: &'a Name,
    /// The master key it is sealed under.
    pub key_id: &'a str,
    /// The sealed text.
    pub sealed: &'a str,
    /// The sealed text that it replaces.
    pub was: &'a str,
    /// Only if no credential that works is hashed under this pepper.
    pub unless_under: Option<Generation>,
}

/// What became of a replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// It was made.
    Done,
    /// Somebody else was faster: what is there is not what was to be replaced.
    Changed,
    /// So many credentials are hashed under the pepper.
    InUse(u64),
}

/// An identity provider's refresh token of a session, sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedToken {
    /// The session.
    pub session: String,
    /// Who signed in.
    pub user: String,
    /// The sealed text.
    pub sealed: String,
}

/// A key that is hashed anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rehashed {
    /// The key.
    pub id: KeyId,
    /// Its hash until now.
    pub old: KeyHash,
    /// Its hash from now on.
    pub new: KeyHash,
}

impl Store {
    /// Puts a sealed secret in the place of another, if that is still there.
    ///
    /// # Errors
    /// The database.
    pub async fn replace_secret(
        &self,
        org: OrgId,
        by: &Replacing<'_>,
        act: &Draft,
    ) -> Result<Replaced, StoreError> {
        let mut tx = self.begin().await?;
        let changed = change!(tx, |db| {
            sqlx::query(
                "UPDATE secrets SET key_id = $3, sealed = $4, updated_at = $5 \
                 WHERE org_id = $1 AND name = $2 AND sealed = $6",
            )
            .bind(org.to_string())
            .bind(by.name.as_str())
            .bind(by.key_id)
            .bind(by.sealed)
            .bind(act.at.0)
            .bind(by.was)
            .execute(db)
            .await
        })?;
        if changed == 0 {
            return Ok(Replaced::Changed);
        }
        if let Some(pepper) = by.unless_under {
            let (count,): (i64,) = within!(tx, |db| {
                sqlx::query_as(UNDER_PEPPER)
                    .bind(org.to_string())
                    .bind(i64::from(pepper.0))
                    .bind(act.at.0)
                    .fetch_one(db)
                    .await
            })?;
            if count != 0 {
                return Ok(Replaced::InUse(stored::unsigned("count", count)?));
            }
        }
        tx.publish(org, act).await?;
        Ok(Replaced::Done)
    }

    /// Counts the credentials that work, or may work again, and are hashed under a pepper.
    ///
    /// # Errors
    /// The database.
    pub async fn hashed_under(
        &self,
        org: OrgId,
        pepper: Generation,
        now: UnixMillis,
    ) -> Result<u64, StoreError> {
        let (count,): (i64,) = read!(self, |db| {
            sqlx::query_as(UNDER_PEPPER)
                .bind(org.to_string())
                .bind(i64::from(pepper.0))
                .bind(now.0)
                .fetch_one(db)
                .await
        })?;
        stored::unsigned("count", count)
    }

    /// Counts what is sealed under a master key and may still be opened. `key_id` is its public name.
    ///
    /// # Errors
    /// The database.
    pub async fn sealed_under(&self, org: OrgId, key_id: &str, now: UnixMillis) -> Result<u64, StoreError> {
        let (count,): (i64,) = read!(self, |db| {
            sqlx::query_as(UNDER_MASTER)
                .bind(org.to_string())
                .bind(key_id)
                .bind(now.0)
                .bind(format!("gs1.{key_id}.%"))
                .bind(format!("%gs1.{key_id}.%"))
                .fetch_one(db)
                .await
        })?;
        stored::unsigned("count", count)
    }

    /// Counts the open sessions whose client was last given tokens at this time or before.
    ///
    /// # Errors
    /// The database.
    pub async fn sessions_with_tokens_of(
        &self,
        org: OrgId,
        until: UnixMillis,
        now: UnixMillis,
    ) -> Result<u64, StoreError> {
        self.count_since(SESSIONS_SINCE, org, until, now).await
    }

    /// Counts the device codes that wait for a person and were given out at this time or before.
    ///
    /// # Errors
    /// The database.
    pub async fn grants_of(&self, org: OrgId, until: UnixMillis, now: UnixMillis) -> Result<u64, StoreError> {
        self.count_since(GRANTS_SINCE, org, until, now).await
    }

    async fn count_since(
        &self,
        sql: &'static str,
        org: OrgId,
        until: UnixMillis,
        now: UnixMillis,
    ) -> Result<u64, StoreError> {
        let (count,): (i64,) = read!(self, |db| {
            sqlx::query_as(sql).bind(org.to_string()).bind(until.0).bind(now.0).fetch_one(db).await
        })?;
        stored::unsigned("count", count)
    }

    /// Sealed tokens of open sessions that are not sealed under this master key, in batches: those after a session, by id.
    ///
    /// # Errors
    /// The database.
    pub async fn sealed_tokens(
        &self,
        org: OrgId,
        not_under: &str,
        after: &str,
    ) -> Result<Vec<SealedToken>, StoreError> {
        let rows: Vec<(String, String, String)> = read!(self, |db| {
            sqlx::query_as(
                "SELECT id, user_id, source_token FROM sessions WHERE org_id = $1 AND ended_at IS NULL AND id > $2 \
                 AND source_token IS NOT NULL AND source_token NOT LIKE $3 ORDER BY id LIMIT $4",
            )
            .bind(org.to_string())
            .bind(after)
            .bind(format!("gs1.{not_under}.%"))
            .bind(BATCH)
            .fetch_all(db)
            .await
        })?;
        Ok(rows.into_iter().map(|(session, user, sealed)| SealedToken { session, user, sealed }).collect())
    }

    /// Puts a token that was sealed anew in its place; false when another is there by now. Neither an act nor policy.
    ///
    /// # Errors
    /// The database.
    pub async fn reseal_token(
        &self,
        org: OrgId,
        token: &SealedToken,
        sealed: &str,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let changed = change!(tx, |db| {
            sqlx::query(
                "UPDATE sessions SET source_token = $3 WHERE org_id = $1 AND id = $2 AND source_token = $4",
            )
            .bind(org.to_string())
            .bind(token.session.as_str())
            .bind(sealed)
            .bind(token.sealed.as_str())
            .execute(db)
            .await
        })?;
        tx.commit().await?;
        Ok(changed != 0)
    }

    /// Keeps other hashes of keys, each if the old one is still there, and gives how many. No audit entry: what a key is
    /// and may stays as it is.
    ///
    /// # Errors
    /// The database.
    pub async fn rehash_keys(&self, org: OrgId, keys: &[Rehashed]) -> Result<u64, StoreError> {
        // In one order everywhere, so that two nodes do not wait for each other.
        let mut keys = keys.to_vec();
        keys.sort_unstable_by_key(|key| key.id);
        let (mut tx, mut done) = (self.begin().await?, 0);
        for key in &keys {
            done += rehash(&mut tx, KEYS, org, &key.id.to_string(), &key.old, &key.new).await?;
        }
        if done > 0 {
            policy::bump(&mut tx, org).await?;
        }
        tx.commit().await?;
        Ok(done)
    }

    /// As [`Store::rehash_keys`], for an administrator's token.
    ///
    /// # Errors
    /// The database.
    pub async fn rehash_admin_token(
        &self,
        org: OrgId,
        id: AdminTokenId,
        old: &KeyHash,
        new: &KeyHash,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        rehash(&mut tx, ADMIN_TOKENS, org, &id.to_string(), old, new).await?;
        tx.commit().await
    }

    /// As [`Store::rehash_keys`], for a directory's token.
    ///
    /// # Errors
    /// The database.
    pub async fn rehash_provisioning_token(
        &self,
        org: OrgId,
        id: ProvisioningTokenId,
        old: &KeyHash,
        new: &KeyHash,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        rehash(&mut tx, PROVISIONING_TOKENS, org, &id.to_string(), old, new).await?;
        tx.commit().await
    }
}

const KEYS: &str =
    "UPDATE keys SET hash = $3, pepper = $4 WHERE org_id = $1 AND id = $2 AND hash = $5 AND pepper = $6";
const ADMIN_TOKENS: &str = "UPDATE admin_tokens SET hash = $3, pepper = $4 WHERE org_id = $1 AND id = $2 AND hash = $5 AND pepper = $6";
const PROVISIONING_TOKENS: &str = "UPDATE provisioning_tokens SET hash = $3, pepper = $4 \
     WHERE org_id = $1 AND id = $2 AND hash = $5 AND pepper = $6";

async fn rehash(
    tx: &mut Tx,
    sql: &'static str,
    org: OrgId,
    id: &str,
    old: &KeyHash,
    new: &KeyHash,
) -> Result<u64, StoreError> {
    Ok(change!(tx, |db| {
        sqlx::query(sql)
            .bind(org.to_string())
            .bind(id)
            .bind(new.as_bytes().to_vec())
            .bind(i64::from(new.generation().0))
            .bind(old.as_bytes().to_vec())
            .bind(i64::from(old.generation().0))
            .execute(db)
            .await
    })?)
}
