//! The users behind accounts, and the addresses they are found by.

use std::collections::BTreeSet;

use gatehouse_domain::directory::UserState;
use gatehouse_domain::id::{OrgId, UserId};
use gatehouse_domain::name::{Email, Name};
use gatehouse_domain::session::SessionEnd;
use gatehouse_domain::source::Source;
use gatehouse_domain::time::UnixMillis;

use super::{AccountData, MAX_EMAILS, NOUN};
use crate::dialect::{change, within};
use crate::engine::Tx;
use crate::error::StoreError;
use crate::{identity, session, stored, user};

/// Makes the user of a new account.
pub(super) async fn insert(
    tx: &mut Tx,
    org: OrgId,
    id: UserId,
    data: &AccountData,
    at: UnixMillis,
) -> Result<(), StoreError> {
    // RFC 2606 keeps `invalid` free of names, so that nobody can ever have this address.
    let email = data
        .email
        .as_ref()
        .map_or_else(|| format!("{id}@no-address.invalid").to_lowercase(), Email::to_string);
    let state = if data.active { UserState::Active } else { UserState::Disabled };
    change!(tx, |db| {
        sqlx::query(
            "INSERT INTO users (org_id, id, email, name, search, state, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(org.to_string())
        .bind(id.to_string())
        .bind(email.as_str())
        .bind(data.name.as_ref().map(Name::as_str))
        .bind(user::search_text(&email, data.name.as_ref().map(Name::as_str)))
        .bind(stored::user_state_text(state))
        .bind(at.0)
        .execute(db)
        .await
    })
    .map_err(StoreError::inserting("user", &email))?;
    Ok(())
}

/// An account that has ended or not: its version, when it ended, its source and that source's identifier.
type Former = (i64, Option<i64>, String, Option<String>);

/// Whether an account was of somebody else: its source now speaks of another identifier at the same address.
fn is_of_another(former: &Former, source: &Source, data: &AccountData) -> bool {
    let (_, _, from, external_id) = former;
    *from == source.to_string()
        && matches!((external_id, &data.external_id), (Some(before), Some(now)) if before != now)
}

/// Prepares a user that is there for an account; gives the account's version, which goes on where one that ended left
/// off. When that was somebody else's, whose address was given out again, what lets them in does not let in the one who
/// has it now: their keys are revoked, their password and where they sign in forgotten.
pub(super) async fn adopt(
    tx: &mut Tx,
    org: OrgId,
    source: &Source,
    id: UserId,
    data: &AccountData,
    at: UnixMillis,
) -> Result<i64, StoreError> {
    let state = user::lock(tx, org, id).await?;
    let former: Option<Former> = within!(tx, |db| {
        sqlx::query_as(
            "SELECT version, deleted_at, source, external_id FROM accounts WHERE org_id = $1 AND user_id = $2",
        )
            .bind(org.to_string())
            .bind(id.to_string())
            .fetch_optional(db)
            .await
    })?;
    match &former {
        Some((_, None, ..)) => {
            return Err(StoreError::Conflict { noun: NOUN, given: data.user_name.clone() });
        }
        None if state == UserState::Disabled && data.active => {
            let why = "has this address and was disabled by an administrator, who must enable it first";
            return Err(StoreError::refused("user", id, why));
        }
        Some((_, Some(_), ..)) | None => {}
    }
    if former.as_ref().is_some_and(|former| is_of_another(former, source, data)) {
        identity::forget_credentials(tx, org, id, at).await?;
    }
    let state = if data.active { UserState::Active } else { UserState::Disabled };
    set_state(tx, org, id, state, at).await?;
    describe(tx, org, id, data).await?;
    for sql in [
        "DELETE FROM account_emails WHERE org_id = $1 AND user_id = $2",
        "DELETE FROM accounts WHERE org_id = $1 AND user_id = $2",
    ] {
        change!(tx, |db| sqlx::query(sql).bind(org.to_string()).bind(id.to_string()).execute(db).await)?;
    }
    Ok(former.map_or(1, |(version, ..)| version.saturating_add(1)))
}

/// Puts the user into a state. The sessions of one who is disabled end for good.
pub(super) async fn set_state(
    tx: &mut Tx,
    org: OrgId,
    user: UserId,
    state: UserState,
    at: UnixMillis,
) -> Result<(), StoreError> {
    change!(tx, |db| {
        sqlx::query("UPDATE users SET state = $3 WHERE org_id = $1 AND id = $2")
            .bind(org.to_string())
            .bind(user.to_string())
            .bind(stored::user_state_text(state))
            .execute(db)
            .await
    })?;
    match state {
        UserState::Disabled => session::end_all(tx, org, user, SessionEnd::UserDisabled, at).await,
        UserState::Active => Ok(()),
    }
}

/// Gives the user the name and the address of its account. An address that somebody else has is not taken over: it must
/// not keep a directory from disabling the account.
pub(super) async fn describe(
    tx: &mut Tx,
    org: OrgId,
    id: UserId,
    data: &AccountData,
) -> Result<(), StoreError> {
    let now: Option<(String, Option<String>)> = within!(tx, |db| {
        sqlx::query_as("SELECT email, name FROM users WHERE org_id = $1 AND id = $2")
            .bind(org.to_string())
            .bind(id.to_string())
            .fetch_optional(db)
            .await
    })?;
    let (mut email, name) = now.ok_or_else(|| StoreError::not_found("user", id))?;
    let name = data.name.as_ref().map(|name| name.as_str().to_owned()).or(name);
    if let Some(given) = data.email.as_ref().filter(|given| given.as_str() != email) {
        let holder: Option<(String,)> = within!(tx, |db| {
            sqlx::query_as("SELECT id FROM users WHERE org_id = $1 AND email = $2")
                .bind(org.to_string())
                .bind(given.as_str())
                .fetch_optional(db)
                .await
        })?;
        if holder.is_none() {
            email = given.to_string();
        }
    }
    change!(tx, |db| {
        sqlx::query("UPDATE users SET email = $3, name = $4, search = $5 WHERE org_id = $1 AND id = $2")
            .bind(org.to_string())
            .bind(id.to_string())
            .bind(email.as_str())
            .bind(name.as_deref())
            .bind(user::search_text(&email, name.as_deref()))
            .execute(db)
            .await
    })
    .map_err(StoreError::inserting("user", &email))?;
    Ok(())
}

pub(super) async fn set_emails(
    tx: &mut Tx,
    org: OrgId,
    user: UserId,
    emails: &[String],
) -> Result<(), StoreError> {
    change!(tx, |db| {
        sqlx::query("DELETE FROM account_emails WHERE org_id = $1 AND user_id = $2")
            .bind(org.to_string())
            .bind(user.to_string())
            .execute(db)
            .await
    })?;
    for email in emails.iter().filter(|email| !email.contains('\0')).take(MAX_EMAILS).collect::<BTreeSet<_>>()
    {
        change!(tx, |db| {
            sqlx::query("INSERT INTO account_emails (org_id, user_id, email) VALUES ($1, $2, $3)")
                .bind(org.to_string())
                .bind(user.to_string())
                .bind(email.as_str())
                .execute(db)
                .await
        })?;
    }
    Ok(())
}
