//! One step of a rollout, whole or not at all.

use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::{OrgId, ProfileId, RolloutId, UserId};
use gatehouse_domain::rollout::Progress;
use gatehouse_domain::settings::{Checksum, Member};
use gatehouse_domain::time::UnixMillis;

use super::{NOUN, Rollout, progress_text};
use crate::admin_token;
use crate::dialect::{change, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::notification::{self, NewNotification};
use crate::page::{Listed, Page};
use crate::settings::audience;
use crate::stored;

/// Who may do steps, as the lease says that must still hold when the step is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease<'a> {
    /// The lease.
    pub name: &'a str,
    /// Who must have it.
    pub holder: &'a str,
}

/// Somebody who gets a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAssignment {
    /// Who.
    pub user: UserId,
    /// By what they can use it: `key`, `session`, `sign_in` or `none`.
    pub credential: &'static str,
    /// The settings that they had.
    pub from: Option<Checksum>,
}

/// What was seen of somebody who got, or gave back, a rollout. Nothing is told twice: what is known stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct News {
    /// Who.
    pub user: UserId,
    /// The settings that they have with it.
    pub to: Option<Checksum>,
    /// Whether their client said that it applied these.
    pub confirmed: bool,
    /// Whether they used it.
    pub active: bool,
    /// Whether their client said that it has others again.
    pub restored: bool,
}

/// What a share of all people an overlay goes to becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Everybody, whoever comes later too.
    Everybody,
    /// Those who are named.
    Named,
}

/// What is told of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// What: `deployed`.
    pub kind: &'static str,
    /// In words.
    pub text: String,
    /// The node that did it; empty for what somebody asked for.
    pub node: String,
}

/// A step.
#[derive(Debug, Default)]
pub struct Step {
    /// The overlays of the rollout, and which version of each.
    pub overlays: Vec<(ProfileId, u32)>,
    /// Who gets it now, in this order.
    pub assign: Vec<NewAssignment>,
    /// From whom it is taken back.
    pub undo: Vec<UserId>,
    /// Who left: it is taken back from them, and they do not count any more.
    pub left: Vec<UserId>,
    /// What was seen.
    pub news: Vec<News>,
    /// Whom it goes to besides those who are named, if that changes.
    pub share: Option<Share>,
    /// Who is to be told what.
    pub notify: Vec<NewNotification>,
    /// When it is to be looked at again.
    pub next_at: Option<UnixMillis>,
    /// What is told of it; nothing of a look that found nothing new.
    pub happened: Option<Happened>,
}

/// Somebody's agreement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval<'a> {
    /// With what, in which phase.
    pub phase: usize,
    /// Why.
    pub comment: &'a str,
    /// People who may not agree: who made the rollout, who wrote the settings.
    pub barred: &'a [String],
}

/// An agreement that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// In which phase, from 0.
    pub phase: usize,
    /// By whom.
    pub by: String,
    /// When.
    pub at: UnixMillis,
    /// Why.
    pub comment: String,
}

/// Something that happened to a rollout: its revision, when, what, by whom, on which node, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The step.
    pub revision: u64,
    /// When.
    pub at: UnixMillis,
    /// What.
    pub kind: String,
    /// By whom.
    pub actor: String,
    /// On which node; empty for what somebody asked for.
    pub node: String,
    /// In words.
    pub text: String,
}

impl Step {
    fn changes_settings(&self) -> bool {
        !self.assign.is_empty() || !self.undo.is_empty() || !self.left.is_empty() || self.share.is_some()
    }
}

impl Store {
    /// Does a step of a rollout as it was read, and gives whether it was done: not when another has done one meanwhile, or
    /// the lease is held by another.
    ///
    /// # Errors
    /// Somebody who is to get it does not exist any more; the database.
    pub async fn step_rollout(
        &self,
        org: OrgId,
        rollout: &Rollout,
        progress: &Progress,
        step: &Step,
        lease: Option<Lease<'_>>,
        act: &Draft,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        if let Some(lease) = lease
            && !holds(&mut tx, org, lease, act.at).await?
        {
            return Ok(false);
        }
        if !move_on(&mut tx, org, rollout, progress, step.next_at).await? {
            return Ok(false);
        }
        keep_overlays(&mut tx, org, rollout, progress, &step.overlays).await?;
        apply(&mut tx, org, rollout, step, act).await?;
        if let Some(happened) = &step.happened {
            note(&mut tx, org, rollout.id, rollout.revision + 1, happened, act).await?;
        }
        if step.changes_settings() {
            tx.publish(org, act).await?;
        } else if step.happened.is_some() {
            tx.record(org, act).await?;
        } else {
            tx.commit().await?;
        }
        Ok(true)
    }

    /// Writes down that somebody agrees, and what follows from so many agreements; gives whether it was done.
    ///
    /// # Errors
    /// They may not agree, or have; `becomes` refuses; the database.
    pub async fn approve_rollout(
        &self,
        org: OrgId,
        rollout: &Rollout,
        approval: &Approval<'_>,
        becomes: impl FnOnce(u32) -> Result<(Progress, Step), StoreError> + Send,
        act: &Draft,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let person = admin_token::person_of(&mut tx, org, &act.actor).await?;
        if approval.barred.contains(&person) {
            let why =
                "may not be approved by who made it or wrote its settings: somebody else must look at it";
            return Err(StoreError::refused(NOUN, &rollout.name, why));
        }
        let phase = stored::signed("phase", approval.phase as u64)?;
        let inserted = change!(tx, |db| {
            sqlx::query(
                "INSERT INTO rollout_approvals (org_id, rollout_id, phase, person, actor_name, at, comment) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (org_id, rollout_id, phase, person) DO NOTHING",
            )
            .bind(org.to_string())
            .bind(rollout.id.to_string())
            .bind(phase)
            .bind(person)
            .bind(act.actor.name.as_str())
            .bind(act.at.0)
            .bind(approval.comment)
            .execute(db)
            .await
        })?;
        if inserted == 0 {
            return Err(StoreError::refused(NOUN, &rollout.name, "was approved by this person already"));
        }
        let (count,): (i64,) = within!(tx, |db| {
            sqlx::query_as(
                "SELECT COUNT(*) FROM rollout_approvals WHERE org_id = $1 AND rollout_id = $2 AND phase = $3",
            )
            .bind(org.to_string())
            .bind(rollout.id.to_string())
            .bind(phase)
            .fetch_one(db)
            .await
        })?;
        let (progress, step) = becomes(u32::try_from(count).unwrap_or(u32::MAX))?;
        if !move_on(&mut tx, org, rollout, &progress, step.next_at).await? {
            return Ok(false);
        }
        keep_overlays(&mut tx, org, rollout, &progress, &step.overlays).await?;
        apply(&mut tx, org, rollout, &step, act).await?;
        if let Some(happened) = &step.happened {
            note(&mut tx, org, rollout.id, rollout.revision + 1, happened, act).await?;
        }
        if step.changes_settings() {
            tx.publish(org, act).await?;
        } else {
            tx.record(org, act).await?;
        }
        Ok(true)
    }

    /// Who has agreed, in the order in which they did.
    ///
    /// # Errors
    /// The database.
    pub async fn rollout_approvals(&self, org: OrgId, rollout: RolloutId) -> Result<Vec<Agreed>, StoreError> {
        let rows: Vec<(i64, String, i64, String)> = crate::dialect::read!(self, |db| {
            sqlx::query_as(
                "SELECT phase, actor_name, at, comment FROM rollout_approvals WHERE org_id = $1 AND rollout_id = $2 \
                 ORDER BY at, person",
            )
            .bind(org.to_string())
            .bind(rollout.to_string())
            .fetch_all(db)
            .await
        })?;
        let agreed = |(phase, by, at, comment): (i64, String, i64, String)| Agreed {
            phase: usize::try_from(phase).unwrap_or(0),
            by,
            at: UnixMillis(at),
            comment,
        };
        Ok(rows.into_iter().map(agreed).collect())
    }

    /// What happened to a rollout, in its order.
    ///
    /// # Errors
    /// A bad page; the database.
    pub async fn rollout_events(
        &self,
        org: OrgId,
        rollout: RolloutId,
        page: &Page,
    ) -> Result<Listed<Event>, StoreError> {
        let limit = page.rows()?;
        let after = page.cursor(|text| text.parse::<i64>().ok())?.unwrap_or(-1);
        let rows: Vec<(i64, i64, String, String, String, String)> = crate::dialect::read!(self, |db| {
            sqlx::query_as(
                "SELECT revision, at, kind, actor_name, node, text FROM rollout_events \
                 WHERE org_id = $1 AND rollout_id = $2 AND revision > $3 ORDER BY revision LIMIT $4",
            )
            .bind(org.to_string())
            .bind(rollout.to_string())
            .bind(after)
            .bind(limit)
            .fetch_all(db)
            .await
        })?;
        let listed = Listed::new(rows, page, |row| row.0.to_string());
        let event = |(revision, at, kind, actor, node, text): (i64, i64, String, String, String, String)| {
            let revision = stored::unsigned(NOUN, revision)?;
            Ok(Event { revision, at: UnixMillis(at), kind, actor, node, text })
        };
        let items = listed.items.into_iter().map(event).collect::<Result<_, StoreError>>()?;
        Ok(Listed { items, next: listed.next })
    }
}

/// Whether the lease is held, with its row locked, so that nobody takes it before the step is done.
pub(crate) async fn holds(
    tx: &mut Tx,
    org: OrgId,
    lease: Lease<'_>,
    now: UnixMillis,
) -> Result<bool, StoreError> {
    let held = change!(tx, |db| {
        sqlx::query(
            "UPDATE leases SET holder = holder WHERE org_id = $1 AND name = $2 AND holder = $3 AND until_at > $4",
        )
        .bind(org.to_string())
        .bind(lease.name)
        .bind(lease.holder)
        .bind(now.0)
        .execute(db)
        .await
    })?;
    Ok(held > 0)
}

/// Counts the revision up, if it is still the one that was read.
async fn move_on(
    tx: &mut Tx,
    org: OrgId,
    rollout: &Rollout,
    progress: &Progress,
    next_at: Option<UnixMillis>,
) -> Result<bool, StoreError> {
    let active = (!progress.state.is_over()).then_some(rollout.name.as_str());
    let revision = stored::signed("revision", rollout.revision)?;
    let moved = change!(tx, |db| {
        sqlx::query(
            "UPDATE rollouts SET state = $4, progress = $5, next_at = $6, active = $7, revision = revision + 1 \
             WHERE org_id = $1 AND id = $2 AND revision = $3",
        )
        .bind(org.to_string())
        .bind(rollout.id.to_string())
        .bind(revision)
        .bind(progress.state.as_str())
        .bind(progress_text(progress))
        .bind(next_at.map(|at| at.0))
        .bind(active)
        .execute(db)
        .await
    })
    .map_err(StoreError::inserting(NOUN, &rollout.name))?;
    Ok(moved > 0)
}

/// A rollout that is over lets its overlays go; one that is taken up again takes them again.
async fn keep_overlays(
    tx: &mut Tx,
    org: OrgId,
    rollout: &Rollout,
    progress: &Progress,
    overlays: &[(ProfileId, u32)],
) -> Result<(), StoreError> {
    match (rollout.progress.state.is_over(), progress.state.is_over()) {
        (true, false) => hold_overlays(tx, org, rollout.id, overlays).await,
        (false, true) => {
            change!(tx, |db| {
                sqlx::query("DELETE FROM rollout_overlays WHERE org_id = $1 AND rollout_id = $2")
                    .bind(org.to_string())
                    .bind(rollout.id.to_string())
                    .execute(db)
                    .await
            })?;
            Ok(())
        }
        (true, true) | (false, false) => Ok(()),
    }
}

pub(super) async fn hold_overlays(
    tx: &mut Tx,
    org: OrgId,
    rollout: RolloutId,
    overlays: &[(ProfileId, u32)],
) -> Result<(), StoreError> {
    for (profile, number) in overlays {
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO rollout_overlays (org_id, profile_id, rollout_id, number) VALUES ($1, $2, $3, $4)",
            )
            .bind(org.to_string())
            .bind(profile.to_string())
            .bind(rollout.to_string())
            .bind(i64::from(*number))
            .execute(db)
            .await
        })
        .map_err(StoreError::inserting("rollout of the overlay", profile))?;
    }
    Ok(())
}

async fn apply(
    tx: &mut Tx,
    org: OrgId,
    rollout: &Rollout,
    step: &Step,
    act: &Draft,
) -> Result<(), StoreError> {
    // Of the phase in which it was found that they are to get it: the step itself may move on.
    super::assignment::assign(tx, org, rollout.id, rollout.progress.phase, &step.assign, act.at).await?;
    super::assignment::undo(tx, org, rollout.id, &step.undo, "undone", act.at).await?;
    super::assignment::undo(tx, org, rollout.id, &step.left, "left", act.at).await?;
    super::assignment::tell(tx, org, rollout.id, &step.news, act.at).await?;
    for (profile, _) in &step.overlays {
        if !step.assign.is_empty() || step.share.is_some() {
            open(tx, org, *profile, step.share, act.at).await?;
        }
        for one in &step.assign {
            audience::remove(tx, org, *profile, Member::User(one.user)).await?;
            audience::add(tx, org, *profile, Member::User(one.user)).await?;
        }
        for user in step.undo.iter().chain(&step.left) {
            audience::remove(tx, org, *profile, Member::User(*user)).await?;
        }
    }
    for one in &step.notify {
        notification::put(tx, org, one, act.at).await?;
    }
    Ok(())
}

/// Opens an overlay's audience. That it is open already, is left as it is, but for the share that is told.
async fn open(
    tx: &mut Tx,
    org: OrgId,
    profile: ProfileId,
    share: Option<Share>,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let percent: i64 = if share == Some(Share::Everybody) { 100 } else { 0 };
    let changes: i64 = i64::from(share.is_some());
    change!(tx, |db| {
        sqlx::query(
            "INSERT INTO settings_audiences (org_id, profile_id, percent, starts_at, ends_at, changed_at) \
             VALUES ($1, $2, $3, $4, NULL, $4) ON CONFLICT (org_id, profile_id) DO UPDATE SET \
             percent = CASE WHEN $5 = 1 THEN excluded.percent ELSE settings_audiences.percent END, \
             ends_at = NULL, changed_at = excluded.changed_at",
        )
        .bind(org.to_string())
        .bind(profile.to_string())
        .bind(percent)
        .bind(now.0)
        .bind(changes)
        .execute(db)
        .await
    })?;
    Ok(())
}

pub(super) async fn note(
    tx: &mut Tx,
    org: OrgId,
    rollout: RolloutId,
    revision: u64,
    happened: &Happened,
    act: &Draft,
) -> Result<(), StoreError> {
    let revision = stored::signed("revision", revision)?;
    change!(tx, |db| {
        sqlx::query(
            "INSERT INTO rollout_events (org_id, rollout_id, revision, at, kind, actor_name, node, text) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(org.to_string())
        .bind(rollout.to_string())
        .bind(revision)
        .bind(act.at.0)
        .bind(happened.kind)
        .bind(act.actor.name.as_str())
        .bind(happened.node.as_str())
        .bind(happened.text.as_str())
        .execute(db)
        .await
    })?;
    Ok(())
}
