//! What is done with versions: write, submit, approve, return, publish, retire.

use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::{OrgId, ProfileId};
use gatehouse_domain::settings::review::{self, Refused};
use gatehouse_domain::settings::{Checksum, Content, Move, StepKind, VersionState};
use gatehouse_domain::time::UnixMillis;

use super::version::{NOUN, Version, one};
use super::{Profile, content, lock, number_of, schedule};
use crate::admin_token;
use crate::dialect::{change, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;

/// A step that is to be taken.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Which.
    pub step: Move,
    /// The content that was looked at. If the version has another by now, the step is refused.
    pub seen: Checksum,
    /// What is said about it.
    pub note: Option<&'a str>,
    /// Why it is taken now.
    pub occasion: Occasion,
}

/// Why a step is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Occasion {
    /// Somebody takes it.
    #[default]
    Asked,
    /// It was scheduled for then. Refused if it is not, or no longer.
    Scheduled(UnixMillis),
}

impl Store {
    /// Writes a profile's draft: the open one anew, or, if there is none, that of a new version. Gives its number.
    ///
    /// # Errors
    /// There is no such profile; the open version is past being a draft; the database.
    pub async fn put_settings_draft(
        &self,
        org: OrgId,
        profile: ProfileId,
        content: &Content,
        act: &Draft,
    ) -> Result<u32, StoreError> {
        let mut tx = self.begin().await?;
        lock(&mut tx, org, profile).await?;
        let open: Vec<(i64, String)> = within!(tx, |db| {
            sqlx::query_as(
                "SELECT number, state FROM settings_versions WHERE org_id = $1 AND profile_id = $2 \
                 ORDER BY number DESC",
            )
            .bind(org.to_string())
            .bind(profile.to_string())
            .fetch_all(db)
            .await
        })?;
        let newest = open.first().map_or(0, |(number, _)| *number);
        let newest = number_of(NOUN, newest)?;
        let open = open.iter().find(|(_, state)| matches!(state.as_str(), "draft" | "review" | "approved"));
        let number = match open {
            None => {
                let next = newest.saturating_add(1);
                add_draft(&mut tx, org, profile, next, content, act).await?;
                next
            }
            Some((number, state)) if state == "draft" => {
                let number = number_of(NOUN, *number)?;
                let checksum = content::put(&mut tx, org, content, act).await?;
                set(&mut tx, org, profile, number, VersionState::Draft, &checksum, 0).await?;
                note(&mut tx, org, profile, number, StepKind::Written, None, act).await?;
                number
            }
            Some((number, _)) => {
                let why = "is under review; have it returned before it is changed";
                return Err(StoreError::refused(NOUN, number, why));
            }
        };
        tx.record(org, act).await?;
        Ok(number)
    }

    /// Takes a version a step further. Publishing one retires the one that was published before.
    ///
    /// # Errors
    /// There is no such version; the step is not possible, or not to this person; the database.
    pub async fn move_settings_version(
        &self,
        org: OrgId,
        profile: &Profile,
        number: u32,
        wanted: Wanted<'_>,
        act: &Draft,
    ) -> Result<Version, StoreError> {
        let mut tx = self.begin().await?;
        lock(&mut tx, org, profile.id).await?;
        let version = one(&mut tx, org, profile, number).await?;
        let refused = |why: &dyn std::fmt::Display| StoreError::Invalid {
            field: "version",
            why: format!("{number} of `{}` {why}", profile.name),
        };
        if version.checksum != wanted.seen {
            return Err(refused(&"was changed in between; look at it again"));
        }
        if let Occasion::Scheduled(at) = wanted.occasion
            && !schedule::is_scheduled(&mut tx, org, profile.id, number, at).await?
        {
            return Err(refused(&"is not scheduled for that time any more"));
        }
        // By person: somebody with two tokens is one.
        let by = admin_token::person_of(&mut tx, org, &act.actor).await?;
        let next = review::advance(version.state, &version.steps, version.approvals, &by, wanted.step);
        let next = next.map_err(|why: Refused| refused(&why))?;
        let approvals = match wanted.step {
            Move::Submit { approvals } => approvals,
            Move::Return => 0,
            Move::Approve | Move::Publish | Move::Retire | Move::RollBack => version.approvals,
        };
        if next != VersionState::Approved {
            schedule::forget(&mut tx, org, profile.id, number).await?;
        }
        if next == VersionState::Published {
            retire_published(&mut tx, org, profile.id, number, act).await?;
        }
        set(&mut tx, org, profile.id, number, next, &version.checksum, approvals).await?;
        note(&mut tx, org, profile.id, number, wanted.step.kind(), wanted.note, act).await?;
        let moved = one(&mut tx, org, profile, number).await?;
        if version.state == VersionState::Published || next == VersionState::Published {
            tx.publish(org, act).await?;
        } else {
            tx.record(org, act).await?;
        }
        Ok(moved)
    }
}

/// Begins a version with a draft.
pub(super) async fn add_draft(
    tx: &mut Tx,
    org: OrgId,
    profile: ProfileId,
    number: u32,
    content: &Content,
    act: &Draft,
) -> Result<(), StoreError> {
    let checksum = content::put(tx, org, content, act).await?;
    change!(tx, |db| {
        sqlx::query(
            "INSERT INTO settings_versions (org_id, profile_id, number, checksum, state, approvals, created_at) \
             VALUES ($1, $2, $3, $4, 'draft', 0, $5)",
        )
        .bind(org.to_string())
        .bind(profile.to_string())
        .bind(i64::from(number))
        .bind(checksum.to_string())
        .bind(act.at.0)
        .execute(db)
        .await
    })
    .map_err(StoreError::inserting(NOUN, number))?;
    note(tx, org, profile, number, StepKind::Written, None, act).await
}

async fn retire_published(
    tx: &mut Tx,
    org: OrgId,
    profile: ProfileId,
    by: u32,
    act: &Draft,
) -> Result<(), StoreError> {
    let found: Option<(i64,)> = within!(tx, |db| {
        sqlx::query_as(
            "SELECT number FROM settings_versions WHERE org_id = $1 AND profile_id = $2 AND state = 'published'",
        )
        .bind(org.to_string())
        .bind(profile.to_string())
        .fetch_optional(db)
        .await
    })?;
    let Some((number,)) = found else { return Ok(()) };
    change!(tx, |db| {
        sqlx::query(
            "UPDATE settings_versions SET state = 'retired' WHERE org_id = $1 AND profile_id = $2 AND number = $3",
        )
        .bind(org.to_string())
        .bind(profile.to_string())
        .bind(number)
        .execute(db)
        .await
    })?;
    let why = format!("replaced by version {by}");
    note(tx, org, profile, number_of(NOUN, number)?, StepKind::Retired, Some(&why), act).await
}

async fn set(
    tx: &mut Tx,
    org: OrgId,
    profile: ProfileId,
    number: u32,
    state: VersionState,
    checksum: &Checksum,
    approvals: u32,
) -> Result<(), StoreError> {
    change!(tx, |db| {
        sqlx::query(
            "UPDATE settings_versions SET state = $4, checksum = $5, approvals = $6 \
             WHERE org_id = $1 AND profile_id = $2 AND number = $3",
        )
        .bind(org.to_string())
        .bind(profile.to_string())
        .bind(i64::from(number))
        .bind(state.as_str())
        .bind(checksum.to_string())
        .bind(i64::from(approvals))
        .execute(db)
        .await
    })?;
    Ok(())
}

/// Writes down what was done with a version.
async fn note(
    tx: &mut Tx,
    org: OrgId,
    profile: ProfileId,
    number: u32,
    kind: StepKind,
    said: Option<&str>,
    act: &Draft,
) -> Result<(), StoreError> {
    change!(tx, |db| {
        sqlx::query(
            "INSERT INTO settings_steps (org_id, profile_id, number, step, kind, actor_id, actor_name, at, note) \
             SELECT $1, $2, $3, COALESCE(MAX(s.step), 0) + 1, $4, $5, $6, $7, $8 FROM settings_steps s \
             WHERE s.org_id = $1 AND s.profile_id = $2 AND s.number = $3",
        )
        .bind(org.to_string())
        .bind(profile.to_string())
        .bind(i64::from(number))
        .bind(kind.as_str())
        .bind(act.actor.id.as_str())
        .bind(act.actor.name.as_str())
        .bind(act.at.0)
        .bind(said)
        .execute(db)
        .await
    })?;
    Ok(())
}
