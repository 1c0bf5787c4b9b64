//! What the tables of administrators' and directories' tokens have in common.

use gatehouse_domain::id::OrgId;
use gatehouse_domain::time::UnixMillis;

use crate::dialect::change;
use crate::engine::{Store, Tx};
use crate::error::StoreError;

/// A table of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// `admin_tokens`.
    Admin,
    /// `provisioning_tokens`.
    Provisioning,
}

/// The same statement on the one table or the other.
macro_rules! on {
    ($table:expr, $before:literal, $after:literal) => {
        match $table {
            Table::Admin => concat!($before, " admin_tokens ", $after),
            Table::Provisioning => concat!($before, " provisioning_tokens ", $after),
        }
    };
}

/// Takes a token back, for good. One that was taken back before keeps its time.
pub(crate) async fn take_back(
    tx: &mut Tx,
    table: Table,
    org: OrgId,
    id: &str,
    at: UnixMillis,
) -> Result<(), StoreError> {
    let sql = on!(table, "UPDATE", "SET revoked_at = COALESCE(revoked_at, $3) WHERE org_id = $1 AND id = $2");
    change!(tx, |db| sqlx::query(sql).bind(org.to_string()).bind(id).bind(at.0).execute(db).await)?;
    Ok(())
}

/// Notes that a token was used, to the minute.
pub(crate) async fn touch(
    store: &Store,
    table: Table,
    org: OrgId,
    id: &str,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let minute = now.0 - now.0.rem_euclid(60_000);
    let sql = on!(
        table,
        "UPDATE",
        "SET last_used_at = $3 WHERE org_id = $1 AND id = $2 AND (last_used_at IS NULL OR last_used_at < $3)"
    );
    let mut tx = store.begin().await?;
    change!(tx, |db| sqlx::query(sql).bind(org.to_string()).bind(id).bind(minute).execute(db).await)?;
    tx.commit().await
}

/// Refuses a time to end that is over already.
pub(crate) fn must_be_ahead(expires_at: Option<UnixMillis>, now: UnixMillis) -> Result<(), StoreError> {
    match expires_at.filter(|at| *at <= now) {
        None => Ok(()),
        Some(at) => Err(StoreError::Invalid {
            field: "expires_at",
            why: format!("is {at}, which is not in the future"),
        }),
    }
}
