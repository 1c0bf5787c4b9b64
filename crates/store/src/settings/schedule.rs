//! Approved versions that are to be published later.

use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::{OrgId, ProfileId};
use gatehouse_domain::settings::{Checksum, VersionState};
use gatehouse_domain::time::UnixMillis;

use super::version::one;
use super::{NOUN, Profile, lock, number_of};
use crate::dialect::{change, read, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::stored;

/// Most publications that are looked up as due at a time.
const BATCH: i64 = 100;

/// When a version is to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduled {
    /// The version's number.
    pub number: u32,
    /// When.
    pub at: UnixMillis,
    /// The name of who wants it.
    pub by: String,
    /// Why it was not done when it was due; it is not tried again then.
    pub problem: Option<String>,
}

/// A publication whose time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The profile.
    pub profile: ProfileId,
    /// The version's number.
    pub number: u32,
    /// The name of what it says.
    pub checksum: Checksum,
    /// When it was to be done.
    pub at: UnixMillis,
    /// The name of who wants it.
    pub by: String,
}

type Row = (String, i64, String, i64, String);

impl Store {
    /// Has an approved version published at a time, in place of what was scheduled for this profile before.
    ///
    /// # Errors
    /// There is no such version; it is not approved, or says something else by now; the database.
    pub async fn schedule_settings(
        &self,
        org: OrgId,
        profile: &Profile,
        number: u32,
        seen: Checksum,
        at: UnixMillis,
        act: &Draft,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        lock(&mut tx, org, profile.id).await?;
        let version = one(&mut tx, org, profile, number).await?;
        let why = match version.state {
            VersionState::Approved if version.checksum == seen => None,
            VersionState::Approved => Some("was changed in between; look at it again"),
            VersionState::Draft | VersionState::Review => {
                Some("is not approved: only what is approved can be scheduled")
            }
            VersionState::Published => Some("is published already"),
            VersionState::Retired => Some("is retired: roll back to it instead"),
        };
        if let Some(why) = why {
            let why = format!("{number} of `{}` {why}", profile.name);
            return Err(StoreError::Invalid { field: "version", why });
        }
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO settings_schedules \
                 (org_id, profile_id, number, checksum, publish_at, actor_id, actor_name, made_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (org_id, profile_id) DO UPDATE SET \
                 number = excluded.number, checksum = excluded.checksum, publish_at = excluded.publish_at, \
                 actor_id = excluded.actor_id, actor_name = excluded.actor_name, made_at = excluded.made_at, \
                 problem = NULL",
            )
            .bind(org.to_string())
            .bind(profile.id.to_string())
            .bind(i64::from(number))
            .bind(version.checksum.to_string())
            .bind(at.0)
            .bind(act.actor.id.as_str())
            .bind(act.actor.name.as_str())
            .bind(act.at.0)
            .execute(db)
            .await
        })?;
        tx.record(org, act).await
    }

    /// Takes back what was scheduled for a profile.
    ///
    /// # Errors
    /// Nothing is scheduled for it; the database.
    pub async fn unschedule_settings(
        &self,
        org: OrgId,
        profile: &Profile,
        act: &Draft,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        lock(&mut tx, org, profile.id).await?;
        let gone = change!(tx, |db| {
            sqlx::query("DELETE FROM settings_schedules WHERE org_id = $1 AND profile_id = $2")
                .bind(org.to_string())
                .bind(profile.id.to_string())
                .execute(db)
                .await
        })?;
        if gone == 0 {
            return Err(StoreError::not_found("scheduled publication of", &profile.name));
        }
        tx.record(org, act).await
    }

    /// The publications whose time has come, the oldest first; those that failed are not among them. For the job.
    ///
    /// # Errors
    /// The database.
    pub async fn due_settings(&self, org: OrgId, now: UnixMillis) -> Result<Vec<Due>, StoreError> {
        let rows: Vec<Row> = read!(self, |db| {
            sqlx::query_as(
                "SELECT profile_id, number, checksum, publish_at, actor_name FROM settings_schedules \
                 WHERE org_id = $1 AND problem IS NULL AND publish_at <= $2 ORDER BY publish_at, profile_id LIMIT $3",
            )
            .bind(org.to_string())
            .bind(now.0)
            .bind(BATCH)
            .fetch_all(db)
            .await
        })?;
        rows.into_iter().map(due_of).collect()
    }

    /// Notes why a publication was not done, so that it is not tried again. Nothing happens if it was taken back or
    /// scheduled anew in between.
    ///
    /// # Errors
    /// The database.
    pub async fn fail_scheduled_settings(
        &self,
        org: OrgId,
        due: &Due,
        why: &str,
        act: &Draft,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        lock(&mut tx, org, due.profile).await?;
        let noted = change!(tx, |db| {
            sqlx::query(
                "UPDATE settings_schedules SET problem = $5 WHERE org_id = $1 AND profile_id = $2 AND number = $3 \
                 AND publish_at = $4 AND problem IS NULL",
            )
            .bind(org.to_string())
            .bind(due.profile.to_string())
            .bind(i64::from(due.number))
            .bind(due.at.0)
            .bind(why)
            .execute(db)
            .await
        })?;
        if noted == 0 { tx.rollback().await } else { tx.record(org, act).await }
    }
}

fn due_of((profile, number, checksum, at, by): Row) -> Result<Due, StoreError> {
    Ok(Due {
        number: number_of(&profile, number)?,
        checksum: Checksum::parse(&checksum).map_err(|why| StoreError::corrupt(NOUN, &profile, why))?,
        profile: stored::parsed(NOUN, &profile)?,
        at: UnixMillis(at),
        by,
    })
}

/// Whether this is scheduled for that time, and has not failed.
pub(super) async fn is_scheduled(
    tx: &mut Tx,
    org: OrgId,
    profile: ProfileId,
    number: u32,
    at: UnixMillis,
) -> Result<bool, StoreError> {
    let (count,): (i64,) = within!(tx, |db| {
        sqlx::query_as(
            "SELECT COUNT(*) FROM settings_schedules WHERE org_id = $1 AND profile_id = $2 AND number = $3 \
             AND publish_at = $4 AND problem IS NULL",
        )
        .bind(org.to_string())
        .bind(profile.to_string())
        .bind(i64::from(number))
        .bind(at.0)
        .fetch_one(db)
        .await
    })?;
    Ok(count > 0)
}

/// Forgets what was scheduled for a version: it goes another way.
pub(super) async fn forget(
    tx: &mut Tx,
    org: OrgId,
    profile: ProfileId,
    number: u32,
) -> Result<(), StoreError> {
    change!(tx, |db| {
        sqlx::query("DELETE FROM settings_schedules WHERE org_id = $1 AND profile_id = $2 AND number = $3")
            .bind(org.to_string())
            .bind(profile.to_string())
            .bind(i64::from(number))
            .execute(db)
            .await
    })?;
    Ok(())
}
