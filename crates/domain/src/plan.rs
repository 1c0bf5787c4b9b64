//! A deployment plan: what follows from an assessment, as tasks that somebody sees to.
//!
//! A task with a check is done when the items of the readiness checklist say so, and not because somebody says so. One
//! without a check is done when somebody notes it.

use serde::Serialize;

use crate::readiness::{Item, State};
use crate::time::UnixMillis;

/// What was noted of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Nobody has begun.
    Open,
    /// Somebody is at it.
    Underway,
    /// It is done.
    Done,
    /// It was decided that it is not needed.
    Dropped,
}

/// A text that names no state of a task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected open, underway, done or dropped")]
pub struct BadTaskState;

impl TaskState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Open, Self::Underway, Self::Done, Self::Dropped];

    /// The name used on the command line, in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Underway => "underway",
            Self::Done => "done",
            Self::Dropped => "dropped",
        }
    }

    /// Whether there is nothing left to do.
    pub const fn is_over(self) -> bool {
        match self {
            Self::Done | Self::Dropped => true,
            Self::Open | Self::Underway => false,
        }
    }
}

impl std::str::FromStr for TaskState {
    type Err = BadTaskState;

    fn from_str(text: &str) -> Result<Self, BadTaskState> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(BadTaskState)
    }
}

/// The items of the readiness checklist that show that a step is done; none where only a person can tell.
pub fn check(step: &str) -> &'static [Item] {
    match step {
        "configure_proxy" => &[Item::Proxy],
        "deploy_gateway" => &[Item::ServerResources, Item::Certificates, Item::Backup],
        "configure_sign_in" => &[Item::SingleSignOn],
        "monitoring" => &[Item::Monitoring, Item::LogAggregation, Item::Alerts],
        "deploy_all" => &[Item::ServerResources, Item::Certificates, Item::Backup, Item::Proxy],
        "security_policy" => &[Item::Permissions, Item::DataClasses, Item::Firewall],
        "connect_directory" => &[Item::Directory],
        "forward_logs" => &[Item::LogAggregation],
        "scrape_metrics" => &[Item::Monitoring],
        _ => &[],
    }
}

/// How a task stands: what was noted of it, unless its check decides.
///
/// `found` are the states of the items of its check. All of them must stand. A task that was dropped stays so.
pub fn stands(noted: TaskState, found: &[State]) -> TaskState {
    let proven = |state: &State| matches!(state, State::Pass | State::NotNeeded);
    match noted {
        TaskState::Dropped => TaskState::Dropped,
        _ if found.is_empty() => noted,
        _ if found.iter().all(proven) => TaskState::Done,
        // It was proven once, and what proved it is gone.
        TaskState::Done => TaskState::Open,
        TaskState::Open | TaskState::Underway => noted,
    }
}

/// Whether the day of a task has passed although it is not over.
pub fn is_overdue(state: TaskState, due: Option<UnixMillis>, now: UnixMillis) -> bool {
    !state.is_over() && due.is_some_and(|due| due < now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_decides_whatever_was_noted() {
        use TaskState::{Done, Dropped, Open, Underway};
        for (noted, found, expected) in [
            (Open, &[][..], Open),
            (Done, &[], Done),
            (Open, &[State::Pass, State::NotNeeded], Done),
            (Underway, &[State::Pass, State::Open], Underway),
            (Open, &[State::Waived], Open),
            (Open, &[State::Warn], Open),
            (Done, &[State::Fail], Open),
            (Dropped, &[State::Pass], Dropped),
        ] {
            assert_eq!(stands(noted, found), expected, "{noted:?} {found:?}");
        }
    }

    #[test]
    fn what_is_over_is_never_late() {
        let (day, now) = (Some(UnixMillis(1)), UnixMillis(2));
        assert!(is_overdue(TaskState::Open, day, now) && !is_overdue(TaskState::Open, None, now));
        assert!(!is_overdue(TaskState::Done, day, now) && !is_overdue(TaskState::Open, Some(now), now));
        for state in TaskState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        assert_eq!("closed".parse::<TaskState>(), Err(BadTaskState));
    }
}
