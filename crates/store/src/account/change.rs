//! Changing accounts, and the users behind them.

use gatehouse_domain::audit::Draft;
use gatehouse_domain::directory::UserState;
use gatehouse_domain::id::{OrgId, UserId};
use gatehouse_domain::source::Source;
use gatehouse_domain::time::UnixMillis;

use super::find::in_tx;
use super::{Account, AccountData, MAX_DOCUMENT, NOUN, holder};
use crate::dialect::change;
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::{audit, group, policy, stored};

/// Where the user of a new account comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// It is made.
    New,
    /// It is there, without an account.
    Adopted,
}

/// One change of an account among several that are made together.
#[derive(Debug, Clone)]
pub enum Step {
    /// A new account.
    Add {
        /// Its user.
        user: UserId,
        /// Where the user comes from.
        entry: Entry,
        /// What the source says.
        data: AccountData,
    },
    /// The source says something else now.
    Change {
        /// The user.
        user: UserId,
        /// What the source says.
        data: AccountData,
    },
    /// It may not be used any more; the account stays.
    Disable {
        /// The user.
        user: UserId,
    },
}

impl Store {
    /// Makes an account, and its user.
    ///
    /// # Errors
    /// The source has one of that key; another user has the address; the user to be adopted is not there, has an
    /// account already, or was disabled by an administrator; the document is too long; the database.
    pub async fn create_account(
        &self,
        org: OrgId,
        source: &Source,
        user: UserId,
        entry: Entry,
        data: &AccountData,
        act: &Draft,
    ) -> Result<Account, StoreError> {
        let mut tx = self.begin().await?;
        let publishes = create(&mut tx, org, source, user, entry, data, act.at).await?;
        let account = in_tx(&mut tx, org, source, user).await?;
        finish(tx, org, publishes, act).await?;
        Ok(account)
    }

    /// Changes an account that has this version; `None` when it has another one by now. An address that another user
    /// has is not taken over.
    ///
    /// # Errors
    /// The source has no such account, or another one of that key; the document is too long; the database.
    pub async fn change_account(
        &self,
        org: OrgId,
        source: &Source,
        user: UserId,
        version: u64,
        data: &AccountData,
        act: &Draft,
    ) -> Result<Option<Account>, StoreError> {
        let mut tx = self.begin().await?;
        let before = in_tx(&mut tx, org, source, user).await?;
        if before.version != version {
            return Ok(None);
        }
        let Some(publishes) = replace(&mut tx, org, &before, data, act.at).await? else { return Ok(None) };
        let account = in_tx(&mut tx, org, source, user).await?;
        finish(tx, org, publishes, act).await?;
        Ok(Some(account))
    }

    /// Lets go of an account: its user is disabled and leaves the source's groups, and the source may make it anew.
    /// `None` when `version` is given and the account has another one by now.
    ///
    /// # Errors
    /// The source has no such account; the database.
    pub async fn remove_account(
        &self,
        org: OrgId,
        source: &Source,
        user: UserId,
        version: Option<u64>,
        act: &Draft,
    ) -> Result<Option<()>, StoreError> {
        let mut tx = self.begin().await?;
        let before = in_tx(&mut tx, org, source, user).await?;
        if version.is_some_and(|version| version != before.version) {
            return Ok(None);
        }
        let held = stored::signed("version", before.version)?;
        let gone = change!(tx, |db| {
            sqlx::query(
                "UPDATE accounts SET deleted_at = $4, updated_at = $4, active = 0, version = version + 1 \
                 WHERE org_id = $1 AND user_id = $2 AND version = $3 AND deleted_at IS NULL",
            )
            .bind(org.to_string())
            .bind(user.to_string())
            .bind(held)
            .bind(act.at.0)
            .execute(db)
            .await
        })?;
        if gone == 0 {
            return Ok(None);
        }
        holder::set_state(&mut tx, org, user, UserState::Disabled, act.at).await?;
        let teams = group::teams_above(&mut tx, org, &user.to_string()).await?;
        group::forget_member(&mut tx, org, &user.to_string()).await?;
        group::settle(&mut tx, org, &teams).await?;
        finish(tx, org, true, act).await?;
        Ok(Some(()))
    }

    /// Makes several changes of one source at once, each with its audit entry: all or none.
    ///
    /// # Errors
    /// One of them cannot be made; the database.
    pub async fn apply_accounts(
        &self,
        org: OrgId,
        source: &Source,
        steps: &[(Step, Draft)],
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let mut publishes = false;
        for (step, act) in steps {
            publishes |= match step {
                Step::Add { user, entry, data } => {
                    create(&mut tx, org, source, *user, *entry, data, act.at).await?
                }
                Step::Change { user, data } => {
                    let before = in_tx(&mut tx, org, source, *user).await?;
                    replace(&mut tx, org, &before, data, act.at).await?.ok_or_else(|| stale(*user))?
                }
                Step::Disable { user } => disable(&mut tx, org, source, *user, act.at).await?,
            };
        }
        if publishes {
            policy::bump(&mut tx, org).await?;
        }
        let acts: Vec<Draft> = steps.iter().map(|(_, act)| act.clone()).collect();
        audit::append(&mut tx, org, &acts).await?;
        tx.commit().await
    }
}

fn stale(user: UserId) -> StoreError {
    StoreError::refused(NOUN, user, "was changed at the same time; try again")
}

async fn finish(tx: Tx, org: OrgId, publishes: bool, act: &Draft) -> Result<(), StoreError> {
    if publishes { tx.publish(org, act).await } else { tx.record(org, act).await }
}

/// Makes an account; says whether the data path must learn of it.
async fn create(
    tx: &mut Tx,
    org: OrgId,
    source: &Source,
    user: UserId,
    entry: Entry,
    data: &AccountData,
    at: UnixMillis,
) -> Result<bool, StoreError> {
    let version = match entry {
        Entry::New => {
            holder::insert(tx, org, user, data, at).await?;
            1
        }
        Entry::Adopted => holder::adopt(tx, org, source, user, data, at).await?,
    };
    let document = document(data)?;
    change!(tx, |db| {
        sqlx::query(
            "INSERT INTO accounts (org_id, user_id, source, name_key, user_name, external_id, display_key, document, \
             active, version, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)",
        )
        .bind(org.to_string())
        .bind(user.to_string())
        .bind(source.to_string())
        .bind(data.name_key.as_str())
        .bind(data.user_name.as_str())
        .bind(data.external_id.as_deref())
        .bind(data.display_key.as_deref())
        .bind(document)
        .bind(i64::from(data.active))
        .bind(version)
        .bind(at.0)
        .execute(db)
        .await
    })
    .map_err(StoreError::inserting(NOUN, &data.user_name))?;
    holder::set_emails(tx, org, user, &data.emails).await?;
    Ok(entry == Entry::Adopted)
}

/// Changes an account; `None` when it was changed meanwhile, else whether the data path must learn of it.
async fn replace(
    tx: &mut Tx,
    org: OrgId,
    before: &Account,
    data: &AccountData,
    at: UnixMillis,
) -> Result<Option<bool>, StoreError> {
    let (version, document) = (stored::signed("version", before.version)?, document(data)?);
    let changed = change!(tx, |db| {
        sqlx::query(
            "UPDATE accounts SET name_key = $4, user_name = $5, external_id = $6, display_key = $7, document = $8, \
             active = $9, updated_at = $10, version = version + 1 \
             WHERE org_id = $1 AND user_id = $2 AND version = $3 AND deleted_at IS NULL",
        )
        .bind(org.to_string())
        .bind(before.user.to_string())
        .bind(version)
        .bind(data.name_key.as_str())
        .bind(data.user_name.as_str())
        .bind(data.external_id.as_deref())
        .bind(data.display_key.as_deref())
        .bind(document)
        .bind(i64::from(data.active))
        .bind(at.0)
        .execute(db)
        .await
    })
    .map_err(StoreError::inserting(NOUN, &data.user_name))?;
    if changed == 0 {
        return Ok(None);
    }
    holder::set_emails(tx, org, before.user, &data.emails).await?;
    holder::describe(tx, org, before.user, data).await?;
    if before.active == data.active {
        return Ok(Some(false));
    }
    let state = if data.active { UserState::Active } else { UserState::Disabled };
    holder::set_state(tx, org, before.user, state, at).await?;
    Ok(Some(true))
}

async fn disable(
    tx: &mut Tx,
    org: OrgId,
    source: &Source,
    user: UserId,
    at: UnixMillis,
) -> Result<bool, StoreError> {
    let changed = change!(tx, |db| {
        sqlx::query(
            "UPDATE accounts SET active = 0, updated_at = $4, version = version + 1 \
             WHERE org_id = $1 AND user_id = $2 AND source = $3 AND deleted_at IS NULL",
        )
        .bind(org.to_string())
        .bind(user.to_string())
        .bind(source.to_string())
        .bind(at.0)
        .execute(db)
        .await
    })?;
    if changed == 0 {
        return Err(StoreError::not_found(NOUN, user));
    }
    holder::set_state(tx, org, user, UserState::Disabled, at).await?;
    Ok(true)
}

fn document(data: &AccountData) -> Result<&str, StoreError> {
    if data.document.len() > MAX_DOCUMENT {
        let why = format!("has {} bytes, expected at most {MAX_DOCUMENT}", data.document.len());
        return Err(StoreError::Invalid { field: "document", why });
    }
    Ok(&data.document)
}
