//! How a rollout stands, for people and in the brief's own terms.

use std::collections::BTreeMap;

use gatehouse_domain::rollout::{Passed, State};
use gatehouse_store::rollout::{Agreed, Assignment, AssignmentState, Rollout};
use serde_json::{Value, json};

use super::{Plan, approvals};
use crate::act::ActError;
use crate::app::App;

/// Most addresses that are told of people whose client has not confirmed.
const MOST_TOLD: usize = 100;

/// A rollout, and how it stands.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The rollout.
    pub rollout: Rollout,
    /// As it was given.
    pub given: Value,
    /// The overlays and their versions: `opus@2`.
    pub settings: Vec<String>,
    /// Its phases, those to come too.
    pub phases: Vec<PhaseShown>,
    /// How many people are in each state.
    pub people: Vec<(AssignmentState, u64)>,
    /// People without a way to use it.
    pub without_credential: u64,
    /// After it was taken back: some of those whose client has not said so.
    pub unconfirmed: Vec<String>,
    /// Who has agreed.
    pub approvals: Vec<Agreed>,
}

/// A phase, and how it stands.
#[derive(Debug, Clone)]
pub struct PhaseShown {
    /// Its name.
    pub id: String,
    /// What became of it so far.
    pub passed: Passed,
    /// How many people must agree.
    pub approvals: u32,
    /// When it is judged; none before it is deployed.
    pub ends_at: Option<gatehouse_domain::time::UnixMillis>,
}

/// Shows a rollout.
///
/// # Errors
/// It was changed in the database; the database.
pub async fn show(app: &App, rollout: Rollout) -> Result<Shown, ActError> {
    let plan = Plan::parse(&rollout)?;
    let definition = plan.definition()?;
    let assigned = app.store.rollout_assignments(app.org, rollout.id).await?;
    let mut people: Vec<_> = AssignmentState::ALL.map(|state| (state, 0)).to_vec();
    for one in &assigned {
        if let Some((_, count)) = people.iter_mut().find(|(state, _)| *state == one.state) {
            *count += 1;
        }
    }
    let phases = definition.phases.iter().enumerate().map(|(at, phase)| {
        let passed = rollout.progress.phases.get(at).cloned().unwrap_or_default();
        let ends_at = passed.deployed_at.map(|from| from.plus_millis(phase.soak_ms));
        PhaseShown { id: phase.id.clone(), passed, approvals: phase.approvals, ends_at }
    });
    let still = |one: &&Assignment| one.state == AssignmentState::Undone && one.confirmed_at.is_some();
    let is_without = |one: &&Assignment| one.state.has_it() && one.credential == "none";
    Ok(Shown {
        phases: phases.collect(),
        settings: plan.told(),
        given: plan.given,
        people,
        without_credential: u64::try_from(assigned.iter().filter(is_without).count()).unwrap_or(u64::MAX),
        unconfirmed: assigned.iter().filter(still).take(MOST_TOLD).map(|one| one.email.clone()).collect(),
        approvals: approvals(app, &rollout).await?,
        rollout,
    })
}

/// The brief's `DeploymentResult`, with a `PhaseResult` for each phase that has begun: `phase`, `users` or `teams`, `feedback`
/// or `metrics`, `success`. Beside these stands what the brief has no word for.
///
/// # Errors
/// It was changed in the database; the database.
pub async fn result(app: &App, rollout: &Rollout) -> Result<Value, ActError> {
    let plan = Plan::parse(rollout)?;
    let definition = plan.definition()?;
    let assigned = app.store.rollout_assignments(app.org, rollout.id).await?;
    let mut by_phase: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for one in &assigned {
        by_phase.entry(one.phase).or_default().push(&one.email);
    }
    let begun = rollout.progress.phases.iter().zip(&definition.phases).enumerate();
    let phases: Vec<Value> = begun
        .filter(|(_, (passed, _))| passed.started_at.is_some())
        .map(|(at, (passed, phase))| {
            let users = by_phase.get(&at).cloned().unwrap_or_default();
            let feedback = json!({"answers": passed.answers, "mean": passed.satisfaction});
            match phase.id.as_str() {
                "pilot" => json!({"phase": phase.id, "users": users, "feedback": feedback, "success": passed.success}),
                "limited_rollout" => json!({
                    "phase": phase.id, "teams": phase.cohort.teams, "metrics": passed.metrics, "success": passed.success,
                }),
                // In the brief the last phase always succeeds: it has no gate. Ours has, and its word stands beside.
                "full_rollout" => json!({
                    "phase": phase.id, "users": users, "metrics": passed.metrics,
                    "success": passed.deployed_at.is_some(), "guard": guard(passed),
                }),
                _ => json!({
                    "phase": phase.id, "users": users, "feedback": feedback, "metrics": passed.metrics,
                    "success": passed.success,
                }),
            }
        })
        .collect();
    let state = rollout.progress.state;
    let phase = definition.phases.get(rollout.progress.phase).map(|phase| phase.id.clone());
    let causes: Vec<&str> = rollout.progress.reason.as_deref().into_iter().collect();
    Ok(match state {
        State::Succeeded => json!({"success": true, "phases": phases, "state": state.as_str()}),
        State::RolledBack | State::RollbackIncomplete | State::RollingBack | State::Aborted => json!({
            "success": false, "phase": phase, "error": error(state), "causes": causes, "phases": phases,
            "state": state.as_str(), "unconfirmed": rollout.progress.unconfirmed,
        }),
        State::AwaitingStart
        | State::Deploying
        | State::Soaking
        | State::Evaluating
        | State::AwaitingApproval
        | State::Paused => {
            json!({"success": null, "phase": phase, "phases": phases, "state": state.as_str()})
        }
    })
}

const fn guard(passed: &Passed) -> &'static str {
    match passed.success {
        Some(true) => "pass",
        Some(false) => "fail",
        None => "watching",
    }
}

const fn error(state: State) -> &'static str {
    match state {
        State::RolledBack => "Deployment failed, rolled back",
        State::RollingBack => "Deployment failed, rolling back",
        State::RollbackIncomplete => "Deployment failed, rollback incomplete",
        State::AwaitingStart
        | State::Deploying
        | State::Soaking
        | State::Evaluating
        | State::AwaitingApproval
        | State::Paused
        | State::Succeeded
        | State::Aborted => "Deployment aborted",
    }
}
