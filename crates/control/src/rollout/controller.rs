//! What moves rollouts: one node at a time, one step after the other.
//!
//! A step reads where a rollout is, does what is due, and writes both in one transaction, which is refused when somebody else
//! has moved the rollout or taken the lease meanwhile. So the controller may be killed at any moment, and another goes on
//! where the last whole step left off.

use gatehouse_domain::rollout::{Definition, Due, Progress, State};
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::rollout::{Happened, Lease, Rollout, Step};

use super::{Plan, deploy, look, object};
use crate::act::{ActError, Caller};
use crate::app::App;

/// The lease's name.
const LEASE: &str = "rollout";
/// After how long another node takes over from one that died. A step that takes longer is still done once: see [`Lease`].
const LEASE_MS: i64 = 5000;
/// Most steps of one turn: the others of the house want the database too.
const MOST_STEPS: usize = 50;

/// What one step needs.
pub(super) struct Turn<'a> {
    pub(super) app: &'a App,
    pub(super) rollout: &'a Rollout,
    pub(super) plan: &'a Plan,
    pub(super) definition: &'a Definition,
    pub(super) now: UnixMillis,
}

/// What a step comes to.
pub(super) struct Outcome {
    pub(super) progress: Progress,
    pub(super) step: Step,
    /// What is told of it: kind and words; nothing when nothing changed.
    pub(super) happened: Option<(&'static str, String)>,
}

/// Moves what is due, unless another node is at it. For a job that calls it every second or so.
///
/// # Errors
/// The database.
pub async fn run_due(app: &App) -> Result<(), ActError> {
    let holder = format!("{} {:032x}", app.node, app.random_bits());
    let done = turns(app, &holder, MOST_STEPS).await;
    app.store.give_lease_back(app.org, LEASE, &holder).await?;
    done.map(drop)
}

/// Does at most so many steps under a lease of this holder, and gives how many. For tests, which stop after each.
///
/// # Errors
/// The database.
#[doc(hidden)]
pub async fn turns(app: &App, holder: &str, most: usize) -> Result<usize, ActError> {
    let mut done = 0;
    while done < most {
        let now = app.now();
        let due = app.store.due_rollouts(app.org, now).await?;
        if due.is_empty() {
            return Ok(done);
        }
        if !app.store.take_lease(app.org, LEASE, holder, now, now.plus_millis(LEASE_MS)).await? {
            return Ok(done);
        }
        for rollout in due.iter().take(most - done) {
            if !step(app, holder, rollout).await? {
                return Ok(done);
            }
            done += 1;
        }
    }
    Ok(done)
}

async fn step(app: &App, holder: &str, rollout: &Rollout) -> Result<bool, ActError> {
    let plan = Plan::parse(rollout)?;
    let definition = plan.definition()?;
    let turn = Turn { app, rollout, plan: &plan, definition: &definition, now: app.now() };
    let due = rollout.progress.due(&definition, turn.now);
    let Outcome { progress, mut step, happened } = match due {
        Due::Wait(_) => Outcome { progress: rollout.progress.clone(), step: Step::default(), happened: None },
        Due::Deploy => deploy::deploy(&turn).await?,
        Due::Look { end } => look::look(&turn, end).await?,
        Due::Undo => deploy::undo(&turn).await?,
        Due::Verify => look::verify(&turn).await?,
    };
    step.overlays = plan.overlays();
    step.next_at = progress.next_at(&definition, turn.now);
    let moved = (progress.state != rollout.progress.state || progress.phase != rollout.progress.phase)
        .then(|| moved_text(&progress, &definition));
    step.happened = match (happened, moved) {
        (None, None) => None,
        (Some((kind, text)), moved) => {
            let text = [Some(text), moved].into_iter().flatten().filter(|text| !text.is_empty());
            Some((kind, text.collect::<Vec<_>>().join("; ")))
        }
        (None, Some(text)) => Some((progress.state.as_str(), text)),
    }
    .map(|(kind, text)| Happened { kind, text, node: app.node.to_string() });
    let kind = step.happened.as_ref().map_or("looked", |happened| happened.kind);
    let act = Caller::system("rollout")
        .draft(turn.now, action(due), object(rollout))
        .with("what", kind)
        .with("assigned", count(step.assign.len()))
        .with("undone", count(step.undo.len()))
        .with("left", count(step.left.len()))
        .with("state", progress.state.as_str());
    let changes =
        !step.assign.is_empty() || !step.undo.is_empty() || !step.left.is_empty() || step.share.is_some();
    let lease = Lease { name: LEASE, holder };
    let done = app.store.step_rollout(app.org, rollout, &progress, &step, Some(lease), &act).await?;
    if done && changes {
        // In force or not: each node looks by itself soon.
        let _ = (app.house.policy_changed)().await;
    }
    if let Some(happened) = step.happened.as_ref().filter(|_| done) {
        tracing::info!(
            rollout.name = rollout.name,
            what = happened.kind,
            text = happened.text,
            "a rollout moved"
        );
    }
    Ok(done)
}

fn moved_text(progress: &Progress, definition: &Definition) -> String {
    let phase = definition.phases.get(progress.phase).map_or("", |phase| phase.id.as_str());
    match (&progress.reason, progress.state) {
        (Some(why), State::Paused | State::RollingBack | State::Aborted) => {
            format!("{} in {phase}: {why}", progress.state.as_str())
        }
        _ => format!("{} in {phase}", progress.state.as_str()),
    }
}

const fn action(due: Due) -> &'static str {
    match due {
        Due::Deploy => "rollout.deploy",
        Due::Undo => "rollout.undo",
        Due::Verify => "rollout.verify",
        Due::Look { .. } | Due::Wait(_) => "rollout.look",
    }
}

pub(super) fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
