//! What is known of the settings on each machine of users.

use std::collections::BTreeSet;

use gatehouse_domain::id::{OrgId, UserId};
use gatehouse_domain::settings::machine::MAX_MACHINES;
use gatehouse_domain::settings::{Checksum, Machine, MachineId, Platform, Receipt};
use gatehouse_domain::time::UnixMillis;

use super::receipt::{Columns, MAX_BATCH, later_stands};
use crate::dialect::{change, read};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::filter::{Arg, Filter, bound};
use crate::stored;

const NOUN: &str = "machine";

const SELECT: &str = "SELECT user_id, machine, platform, first_seen_at, offered, offered_at, before_offer, reported, \
     reported_at, client, seen_at FROM settings_machines WHERE org_id = $1";

// As for receipts of users: the newer news count, and a user who does not exist (any more) is passed over.
const UPSERT: &str = concat!(
    "INSERT INTO settings_machines \
     (org_id, user_id, machine, platform, offered, offered_at, before_offer, reported, reported_at, client, \
     first_seen_at, seen_at) \
     SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11 FROM users WHERE org_id = $1 AND id = $2 \
     ON CONFLICT (org_id, user_id, machine) DO UPDATE SET \
     platform = excluded.platform, ",
    later_stands!("settings_machines")
);

// The machines of a user beyond the most that are kept; those of them that were seen last stay.
const TOO_MANY: &str = "DELETE FROM settings_machines WHERE org_id = $1 AND user_id = $2 AND machine IN \
     (SELECT machine FROM settings_machines WHERE org_id = $1 AND user_id = $2 \
     ORDER BY seen_at DESC, machine LIMIT 1000000 OFFSET $3)";

/// What was heard from a machine of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineNews {
    /// The user.
    pub user: UserId,
    /// The machine.
    pub machine: Machine,
    /// What was exchanged with it.
    pub receipt: Receipt,
}

/// A machine of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnMachine {
    /// The user.
    pub user: UserId,
    /// The machine.
    pub machine: Machine,
    /// When it was first seen.
    pub first_seen_at: UnixMillis,
    /// What was last exchanged with it.
    pub receipt: Receipt,
}

#[derive(sqlx::FromRow)]
struct Row {
    user_id: String,
    machine: String,
    platform: String,
    first_seen_at: i64,
    #[sqlx(flatten)]
    receipt: Columns,
}

impl Store {
    /// Writes down what was heard from machines, at most [`MAX_BATCH`] of them, in one transaction. A user keeps
    /// [`MAX_MACHINES`]. For the job that does so now and then; nobody acts, so that nothing is audited.
    ///
    /// # Errors
    /// Too many; the database.
    pub async fn put_settings_machines(&self, org: OrgId, news: &[MachineNews]) -> Result<(), StoreError> {
        if news.len() > MAX_BATCH {
            let why = format!("has {} entries, expected at most {MAX_BATCH}", news.len());
            return Err(StoreError::Invalid { field: "machines", why });
        }
        let mut tx = self.begin().await?;
        for one in news {
            put(&mut tx, org, one).await?;
        }
        let users: BTreeSet<UserId> = news.iter().map(|one| one.user).collect();
        for user in users {
            change!(tx, |db| {
                sqlx::query(TOO_MANY)
                    .bind(org.to_string())
                    .bind(user.to_string())
                    .bind(i64::try_from(MAX_MACHINES).unwrap_or(i64::MAX))
                    .execute(db)
                    .await
            })?;
        }
        tx.commit().await
    }

    /// The machines of these users, at most [`MAX_BATCH`], by user; of each the one seen last first.
    ///
    /// # Errors
    /// Too many; the database.
    pub async fn settings_machines(
        &self,
        org: OrgId,
        users: &[UserId],
    ) -> Result<Vec<OnMachine>, StoreError> {
        if users.len() > MAX_BATCH {
            let why = format!("has {} entries, expected at most {MAX_BATCH}", users.len());
            return Err(StoreError::Invalid { field: "users", why });
        }
        let Some((first, rest)) = users.split_first() else { return Ok(Vec::new()) };
        let mut filter = Filter::new(SELECT, org);
        filter.arg("AND user_id IN ($?", Arg::Text(first.to_string()));
        for user in rest {
            filter.arg(", $?", Arg::Text(user.to_string()));
        }
        filter.sql(") ORDER BY user_id, seen_at DESC, machine");
        let (sql, args) = filter.into_parts();
        let rows = read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?;
        rows.iter().map(on_machine).collect()
    }

    /// Forgets machines that were last seen before a time. For the job.
    ///
    /// # Errors
    /// The database.
    pub async fn forget_settings_machines(&self, org: OrgId, before: UnixMillis) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let gone = change!(tx, |db| {
            sqlx::query("DELETE FROM settings_machines WHERE org_id = $1 AND seen_at < $2")
                .bind(org.to_string())
                .bind(before.0)
                .execute(db)
                .await
        })?;
        tx.commit().await?;
        Ok(gone)
    }
}

async fn put(tx: &mut Tx, org: OrgId, one: &MachineNews) -> Result<(), StoreError> {
    let time = |of: Option<(Checksum, UnixMillis)>| of.map(|(_, at)| at.0);
    let first = |of: Option<(Checksum, UnixMillis)>| of.map(|(sum, _)| sum.to_string());
    let receipt = &one.receipt;
    change!(tx, |db| {
        sqlx::query(UPSERT)
            .bind(org.to_string())
            .bind(one.user.to_string())
            .bind(one.machine.id.to_string())
            .bind(one.machine.platform.as_str())
            .bind(first(receipt.offered))
            .bind(time(receipt.offered))
            .bind(receipt.before.map(|sum| sum.to_string()))
            .bind(first(receipt.reported))
            .bind(time(receipt.reported))
            .bind(receipt.client.map(|client| client.to_string()))
            .bind(receipt.seen_at.map_or(0, |at| at.0))
            .execute(db)
            .await
    })?;
    Ok(())
}

fn on_machine(row: &Row) -> Result<OnMachine, StoreError> {
    let id = MachineId::parse(&row.machine)
        .ok_or_else(|| StoreError::corrupt(NOUN, &row.machine, "not 32 hexadecimal digits"))?;
    Ok(OnMachine {
        user: stored::parsed("user", &row.user_id)?,
        machine: Machine { id, platform: Platform::of(&row.platform) },
        first_seen_at: UnixMillis(row.first_seen_at),
        receipt: row.receipt.receipt(&row.user_id)?,
    })
}
