//! Replacing a key by a new one, both working for a while.

use gatehouse_domain::audit::Draft;
use gatehouse_domain::directory::KeyInfo;
use gatehouse_domain::id::{KeyId, OrgId};
use gatehouse_domain::key::{KeyHash, PublicId};
use gatehouse_domain::time::UnixMillis;

use super::{NOUN, in_tx};
use crate::dialect::change;
use crate::engine::{Store, Tx};
use crate::error::StoreError;

/// The key that is to replace another. Holder, team, project, models and name are the old key's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// Its identifier.
    pub id: KeyId,
    /// The public part of its text.
    pub public: PublicId,
    /// The keyed hash of its text.
    pub hash: KeyHash,
    /// When it stops working; `None`: when the old one would have.
    pub expires_at: Option<UnixMillis>,
}

/// Both keys after a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// The key that was replaced; it works until its `expires_at`.
    pub old: KeyInfo,
    /// The key that replaces it.
    pub new: KeyInfo,
}

impl Store {
    /// Replaces a key. The old one keeps working for `overlap_ms` after the act (or as long as it would have anyway, if
    /// that is shorter) and then expires.
    ///
    /// # Errors
    /// There is no such key; it is not active, has expired, or was rotated before (of two rotations at once, one gets this);
    /// a negative overlap; the new key's time would be over already; the database.
    pub async fn rotate_key(
        &self,
        org: OrgId,
        old: KeyId,
        by: &Replacement,
        overlap_ms: i64,
        act: &Draft,
    ) -> Result<Rotated, StoreError> {
        if overlap_ms < 0 {
            return Err(StoreError::Invalid { field: "overlap", why: "is negative".to_owned() });
        }
        if let Some(at) = by.expires_at.filter(|at| *at <= act.at) {
            return Err(StoreError::Invalid {
                field: "expires_at",
                why: format!("is {at}, which is not in the future"),
            });
        }
        let mut tx = self.begin().await?;
        copy(&mut tx, org, old, by, act.at).await?;
        retire(&mut tx, org, old, by.id, act.at, overlap_ms).await?;
        let rotated =
            Rotated { old: in_tx(&mut tx, org, old).await?, new: in_tx(&mut tx, org, by.id).await? };
        tx.publish(org, act).await?;
        Ok(rotated)
    }
}

async fn copy(
    tx: &mut Tx,
    org: OrgId,
    old: KeyId,
    by: &Replacement,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let copied = change!(tx, |db| {
        sqlx::query(
            "INSERT INTO keys (org_id, id, public_id, hash, name, user_id, team_id, project_id, models, state, \
             expires_at, created_at, pepper, purpose) \
             SELECT org_id, $3, $4, $5, name, user_id, team_id, project_id, models, 'active', \
             COALESCE($6, expires_at), $7, $8, purpose FROM keys WHERE org_id = $1 AND id = $2",
        )
        .bind(org.to_string())
        .bind(old.to_string())
        .bind(by.id.to_string())
        .bind(by.public.as_str())
        .bind(by.hash.as_bytes().to_vec())
        .bind(by.expires_at.map(|at| at.0))
        .bind(now.0)
        .bind(i64::from(by.hash.generation().0))
        .execute(db)
        .await
    })
    .map_err(StoreError::inserting(NOUN, super::hint(by.public.as_str())))?;
    if copied == 0 { Err(StoreError::not_found(NOUN, old)) } else { Ok(()) }
}

async fn retire(
    tx: &mut Tx,
    org: OrgId,
    old: KeyId,
    by: KeyId,
    now: UnixMillis,
    overlap_ms: i64,
) -> Result<(), StoreError> {
    let until = now.plus_millis(overlap_ms);
    let retired = change!(tx, |db| {
        sqlx::query(
            "UPDATE keys SET replaced_by = $3, \
             expires_at = CASE WHEN expires_at IS NULL OR expires_at > $5 THEN $5 ELSE expires_at END \
             WHERE org_id = $1 AND id = $2 AND state = 'active' AND replaced_by IS NULL \
             AND (expires_at IS NULL OR expires_at > $4)",
        )
        .bind(org.to_string())
        .bind(old.to_string())
        .bind(by.to_string())
        .bind(now.0)
        .bind(until.0)
        .execute(db)
        .await
    })?;
    if retired == 0 {
        return Err(StoreError::refused(
            NOUN,
            old,
            "cannot be rotated: it is not active, has expired, or was rotated before",
        ));
    }
    Ok(())
}
