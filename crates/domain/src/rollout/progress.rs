//! Where a rollout is, and what is due next.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::definition::{Definition, OnFail};
use super::gate::{Decision, Judged};
use crate::feedback::Summary;
use crate::id::TeamId;
use crate::time::{DAY_MS, UnixMillis};

/// How many looks in a row may come to nothing before the rollout waits for a person: missing data is no success.
const MAX_ERRORS: u32 = 4;
/// How long after a rollback it is seen whose client still has what was taken back.
const WATCH_MS: i64 = 14 * DAY_MS;

/// Where a rollout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was made, and the controller has not begun.
    AwaitingStart,
    /// People of a phase are getting it.
    Deploying,
    /// They have it, and it is watched.
    Soaking,
    /// The time is over, and it is judged.
    Evaluating,
    /// It waits for people to agree.
    AwaitingApproval,
    /// It waits until somebody lets it go on. Who comes into a cohort meanwhile still gets it.
    Paused,
    /// All phases are done with.
    Succeeded,
    /// It is being taken back.
    RollingBack,
    /// It was taken back from everybody.
    RolledBack,
    /// It was taken back, and somebody still has it.
    RollbackIncomplete,
    /// Somebody ended it. Who has it keeps it.
    Aborted,
}

impl State {
    /// All states.
    pub const ALL: [Self; 11] = [
        Self::AwaitingStart,
        Self::Deploying,
        Self::Soaking,
        Self::Evaluating,
        Self::AwaitingApproval,
        Self::Paused,
        Self::Succeeded,
        Self::RollingBack,
        Self::RolledBack,
        Self::RollbackIncomplete,
        Self::Aborted,
    ];

    /// The name used in the database and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AwaitingStart => "awaiting_start",
            Self::Deploying => "deploying",
            Self::Soaking => "soaking",
            Self::Evaluating => "evaluating",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Paused => "paused",
            Self::Succeeded => "succeeded",
            Self::RollingBack => "rolling_back",
            Self::RolledBack => "rolled_back",
            Self::RollbackIncomplete => "rollback_incomplete",
            Self::Aborted => "aborted",
        }
    }

    /// Whether it goes forward, or could.
    pub const fn is_forward(self) -> bool {
        match self {
            Self::AwaitingStart
            | Self::Deploying
            | Self::Soaking
            | Self::Evaluating
            | Self::AwaitingApproval
            | Self::Paused => true,
            Self::Succeeded
            | Self::RollingBack
            | Self::RolledBack
            | Self::RollbackIncomplete
            | Self::Aborted => false,
        }
    }

    /// Whether another rollout may have its name and its overlays.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::RolledBack | Self::Aborted)
    }
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing before this time; nothing at all if there is none.
    Wait(Option<UnixMillis>),
    /// The next people get it.
    Deploy,
    /// It is looked at: who came and went, what was received, what the figures say; at the end of the phase or before.
    Look {
        /// Whether the time of the phase is over.
        end: bool,
    },
    /// It is taken back from the next people, the last ones first.
    Undo,
    /// It is seen whether everybody is without it.
    Verify,
}

/// What a look found.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// Every check.
    pub judged: Vec<Judged>,
    /// What follows.
    pub decision: Decision,
    /// What people said.
    pub feedback: Summary,
    /// The six figures, as JSON.
    pub metrics: Value,
    /// How many have it.
    pub users: u64,
}

/// What became of a phase.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Passed {
    /// When its first people got it.
    pub started_at: Option<UnixMillis>,
    /// When its last did.
    pub deployed_at: Option<UnixMillis>,
    /// When it was done with.
    pub ended_at: Option<UnixMillis>,
    /// Whether it proved itself; none while that is open.
    pub success: Option<bool>,
    /// How many have it.
    pub users: u64,
    /// What the checks last said.
    pub judged: Vec<Judged>,
    /// How many answers there were.
    pub answers: u64,
    /// Their mean, unless it is withheld.
    pub satisfaction: Option<f64>,
    /// The six figures as of the last look.
    pub metrics: Value,
}

/// Why something cannot be done to a rollout now. The texts are ends of sentences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is over, or on its way back.
    #[error("is {} and goes nowhere any more", .0.as_str())]
    Over(State),
    /// It is not paused.
    #[error("is {} and not paused", .0.as_str())]
    NotPaused(State),
    /// It is paused.
    #[error("is paused already")]
    Paused,
    /// It does not wait for approval.
    #[error("is {} and waits for nobody's approval", .0.as_str())]
    NotWaiting(State),
    /// It was taken back.
    #[error("was taken back already")]
    Undone,
}

/// Where a rollout is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Where.
    pub state: State,
    /// Since when.
    pub since: UnixMillis,
    /// In which phase, from 0.
    pub phase: usize,
    /// Where it goes on when it is no longer paused.
    pub paused_from: Option<State>,
    /// Looks in a row that failed.
    pub failures: u32,
    /// Looks in a row that came to nothing.
    pub errors: u32,
    /// Since when evidence is wanting.
    pub wanting_since: Option<UnixMillis>,
    /// Whether people are asked although evidence is wanting.
    pub insufficient: bool,
    /// Why it is paused, taken back or ended.
    pub reason: Option<String>,
    /// Teams from whom it was taken back, and who do not get it again.
    pub without_teams: Vec<TeamId>,
    /// People from whom it was taken back, and whose client has not said that it is without.
    pub unconfirmed: u64,
    /// Whether it was taken from everybody, and that is to be verified.
    pub undone: bool,
    /// Every phase so far.
    pub phases: Vec<Passed>,
}

impl Progress {
    /// Of a rollout that was just made.
    pub fn new(now: UnixMillis) -> Self {
        Self {
            state: State::AwaitingStart,
            since: now,
            phase: 0,
            paused_from: None,
            failures: 0,
            errors: 0,
            wanting_since: None,
            insufficient: false,
            reason: None,
            without_teams: Vec::new(),
            unconfirmed: 0,
            undone: false,
            phases: Vec::new(),
        }
    }

    /// What is due.
    pub fn due(&self, plan: &Definition, now: UnixMillis) -> Due {
        match self.state {
            State::AwaitingStart | State::Deploying => Due::Deploy,
            State::Soaking => Due::Look { end: self.soak_end(plan).is_none_or(|end| end <= now) },
            State::Evaluating | State::AwaitingApproval => Due::Look { end: true },
            State::Paused => Due::Look { end: false },
            State::RollingBack if self.undone => Due::Verify,
            State::RollingBack => Due::Undo,
            State::RolledBack if self.unconfirmed > 0 && now < self.since.plus_millis(WATCH_MS) => {
                Due::Verify
            }
            State::Succeeded | State::RolledBack | State::RollbackIncomplete | State::Aborted => {
                Due::Wait(None)
            }
        }
    }

    /// When it is to be looked at again, after something was done.
    pub fn next_at(&self, plan: &Definition, now: UnixMillis) -> Option<UnixMillis> {
        let later = now.plus_millis(plan.interval_ms);
        match self.state {
            State::AwaitingStart | State::Deploying | State::RollingBack => Some(now),
            State::Soaking => Some(self.soak_end(plan).map_or(later, |end| later.min(end.max(now)))),
            State::Evaluating | State::AwaitingApproval | State::Paused => Some(later),
            State::RolledBack if self.unconfirmed > 0 && now < self.since.plus_millis(WATCH_MS) => {
                Some(later)
            }
            State::Succeeded | State::RolledBack | State::RollbackIncomplete | State::Aborted => None,
        }
    }

    fn soak_end(&self, plan: &Definition) -> Option<UnixMillis> {
        let from = self.phases.get(self.phase)?.deployed_at?;
        Some(from.plus_millis(plan.phases.get(self.phase)?.soak_ms))
    }

    fn enter(&mut self, state: State, now: UnixMillis) {
        if self.state != state {
            (self.state, self.since) = (state, now);
        }
    }

    fn passed(&mut self) -> &mut Passed {
        while self.phases.len() <= self.phase {
            self.phases.push(Passed::default());
        }
        let at = self.phase;
        &mut self.phases[at]
    }

    /// Some people got it; so many of the phase are left.
    pub fn deployed(&mut self, users: u64, left: usize, now: UnixMillis) {
        let passed = self.passed();
        passed.started_at.get_or_insert(now);
        passed.users = users;
        if left == 0 {
            passed.deployed_at = Some(now);
            self.enter(State::Soaking, now);
        } else {
            self.enter(State::Deploying, now);
        }
    }

    /// It was looked at, or that came to nothing.
    pub fn looked(&mut self, plan: &Definition, found: Result<Look, String>, end: bool, now: UnixMillis) {
        let look = match found {
            Ok(look) => look,
            Err(why) => {
                self.errors = self.errors.saturating_add(1);
                if self.errors > MAX_ERRORS && self.state != State::Paused {
                    self.wait_for_somebody(format!("it cannot be watched: {why}"), now);
                }
                return;
            }
        };
        self.errors = 0;
        let passed = self.passed();
        (passed.judged, passed.metrics, passed.users) = (look.judged, look.metrics, look.users);
        (passed.answers, passed.satisfaction) = (look.feedback.answers, look.feedback.mean);
        if self.state == State::Paused {
            return;
        }
        if end && self.state == State::Soaking {
            self.enter(State::Evaluating, now);
        }
        match look.decision {
            Decision::Fail(action) => self.failed(plan, action, now),
            Decision::Insufficient => {
                self.failures = 0;
                if self.state == State::Evaluating {
                    let since = *self.wanting_since.get_or_insert(now);
                    if since.plus_millis(plan.max_wait_ms) <= now {
                        self.insufficient = true;
                        self.enter(State::AwaitingApproval, now);
                    }
                }
            }
            Decision::Pass => {
                self.failures = 0;
                let asked = plan.phases.get(self.phase).map_or(0, |phase| phase.approvals);
                match self.state {
                    State::Evaluating if asked > 0 => self.enter(State::AwaitingApproval, now),
                    State::Evaluating => self.promote(plan, now),
                    State::AwaitingStart
                    | State::Deploying
                    | State::Soaking
                    | State::AwaitingApproval
                    | State::Paused
                    | State::Succeeded
                    | State::RollingBack
                    | State::RolledBack
                    | State::RollbackIncomplete
                    | State::Aborted => {}
                }
            }
        }
    }

    fn failed(&mut self, plan: &Definition, action: OnFail, now: UnixMillis) {
        self.failures = self.failures.saturating_add(1);
        if self.failures < plan.failures {
            return;
        }
        let bad = |one: &&Judged| one.verdict == super::gate::Verdict::Fail && one.kind != "dry_run";
        let causes: Vec<String> = self
            .passed()
            .judged
            .iter()
            .filter(bad)
            .map(|one| format!("{} must be {}", one.metric, one.limit))
            .collect();
        let why = causes.join("; ");
        match action {
            OnFail::Rollback => self.go_back(why, now),
            OnFail::Pause | OnFail::Warn => self.wait_for_somebody(why, now),
        }
    }

    /// The phase is done with: the next begins, or it was the last.
    fn promote(&mut self, plan: &Definition, now: UnixMillis) {
        let passed = self.passed();
        (passed.success, passed.ended_at) = (Some(true), Some(now));
        (self.failures, self.wanting_since, self.insufficient, self.reason) = (0, None, false, None);
        if self.phase + 1 < plan.phases.len() {
            self.phase += 1;
            self.passed();
            self.enter(State::Deploying, now);
        } else {
            self.enter(State::Succeeded, now);
        }
    }

    fn wait_for_somebody(&mut self, why: String, now: UnixMillis) {
        self.paused_from = Some(self.state);
        self.reason = Some(why);
        self.enter(State::Paused, now);
    }

    fn go_back(&mut self, why: String, now: UnixMillis) {
        let passed = self.passed();
        (passed.success, passed.ended_at) = (Some(false), Some(now));
        self.reason = Some(why);
        self.undone = false;
        self.enter(State::RollingBack, now);
    }

    /// It was taken back from some; from so many it is left to be taken.
    pub fn undid(&mut self, left: usize) {
        self.undone = left == 0;
    }

    /// It was verified: so many still have it by what is served to them, and of so many the client has not said that it is
    /// without.
    pub fn verified(&mut self, stuck: u64, unconfirmed: u64, now: UnixMillis) {
        self.unconfirmed = unconfirmed;
        if self.state == State::RollingBack {
            self.enter(if stuck == 0 { State::RolledBack } else { State::RollbackIncomplete }, now);
        }
    }

    /// Somebody makes it wait.
    ///
    /// # Errors
    /// It is paused or over.
    pub fn pause(&mut self, why: &str, now: UnixMillis) -> Result<(), Refused> {
        if self.state == State::Paused {
            return Err(Refused::Paused);
        }
        if !self.state.is_forward() {
            return Err(Refused::Over(self.state));
        }
        self.wait_for_somebody(why.to_owned(), now);
        Ok(())
    }

    /// Somebody lets it go on. What was judged before is judged anew first.
    ///
    /// # Errors
    /// It is not paused.
    pub fn resume(&mut self, now: UnixMillis) -> Result<(), Refused> {
        if self.state != State::Paused {
            return Err(Refused::NotPaused(self.state));
        }
        (self.failures, self.errors, self.wanting_since, self.insufficient) = (0, 0, None, false);
        self.reason = None;
        let next = match self.paused_from.take() {
            Some(State::AwaitingApproval | State::Evaluating) => State::Evaluating,
            Some(from) if matches!(from, State::AwaitingStart | State::Deploying) => from,
            Some(_) | None => State::Soaking,
        };
        self.enter(next, now);
        Ok(())
    }

    /// How many people must agree now.
    ///
    /// # Errors
    /// It does not wait for approval.
    pub fn asked(&self, plan: &Definition) -> Result<u32, Refused> {
        if self.state != State::AwaitingApproval {
            return Err(Refused::NotWaiting(self.state));
        }
        Ok(plan.phases.get(self.phase).map_or(1, |phase| phase.approvals).max(1))
    }

    /// So many people have agreed.
    ///
    /// # Errors
    /// It does not wait for approval.
    pub fn approved(&mut self, plan: &Definition, by: u32, now: UnixMillis) -> Result<(), Refused> {
        if by >= self.asked(plan)? {
            self.promote(plan, now);
        }
        Ok(())
    }

    /// Somebody ends it; who has it keeps it.
    ///
    /// # Errors
    /// It is over.
    pub fn abort(&mut self, why: &str, now: UnixMillis) -> Result<(), Refused> {
        if !self.state.is_forward() {
            return Err(Refused::Over(self.state));
        }
        self.reason = Some(why.to_owned());
        self.enter(State::Aborted, now);
        Ok(())
    }

    /// Somebody takes it back from everybody; also one that has succeeded, or whose way back was incomplete.
    ///
    /// # Errors
    /// It was taken back, or is being.
    pub fn roll_back(&mut self, why: &str, now: UnixMillis) -> Result<(), Refused> {
        if matches!(self.state, State::RolledBack | State::RollingBack) {
            return Err(Refused::Undone);
        }
        self.go_back(why.to_owned(), now);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
