//! The way of a version from draft to clients: who may take which step.
//!
//! `draft -> review -> approved -> published -> retired`. Whoever wrote any of it never approves it, and each person
//! approves once. Back to the draft goes what is returned; approvals are then void.

use serde::Serialize;

use crate::time::UnixMillis;

/// Where a version is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VersionState {
    /// It is being written.
    Draft,
    /// Others look at it.
    Review,
    /// Enough people agree.
    Approved,
    /// Clients get it.
    Published,
    /// Clients do not get it, or no longer.
    Retired,
}

/// What was done with a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Its content was written, or written anew.
    Written,
    /// It was handed in for review.
    Submitted,
    /// Somebody agreed.
    Approved,
    /// It went back to its writers.
    Returned,
    /// Clients got it.
    Published,
    /// Clients do not get it any more.
    Retired,
}

/// Something that was done with a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What.
    pub kind: StepKind,
    /// By whom: the person behind the actor, who may have several tokens.
    pub by: String,
    /// Their name at the time.
    pub name: String,
    /// When.
    pub at: UnixMillis,
    /// What they said.
    pub note: Option<String>,
}

/// Something that is to be done with a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Hand it in; so many people must agree.
    Submit {
        /// How many.
        approvals: u32,
    },
    /// Agree.
    Approve,
    /// Send it back to its writers.
    Return,
    /// Give it to clients.
    Publish,
    /// Take it from clients, or give it up before they get it.
    Retire,
    /// Give an earlier version to clients again.
    RollBack,
}

/// Why a step is not possible. The texts go on from "version N".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is in another state than the step needs.
    #[error("{0}")]
    State(&'static str),
    /// A writer would approve their own.
    #[error("was written by you too: somebody else must approve it")]
    OwnWork,
    /// The same person would approve twice.
    #[error("has your approval already: it needs another person's")]
    Twice,
    /// It was never published, so there is nothing to go back to.
    #[error("was never published: submit it for review instead of rolling back to it")]
    NeverPublished,
}

impl VersionState {
    /// All states, in order.
    pub const ALL: [Self; 5] = [Self::Draft, Self::Review, Self::Approved, Self::Published, Self::Retired];

    /// The name used in the database and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Review => "review",
            Self::Approved => "approved",
            Self::Published => "published",
            Self::Retired => "retired",
        }
    }
}

impl StepKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Written, Self::Submitted, Self::Approved, Self::Returned, Self::Published, Self::Retired];

    /// The name used in the database and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Submitted => "submitted",
            Self::Approved => "approved",
            Self::Returned => "returned",
            Self::Published => "published",
            Self::Retired => "retired",
        }
    }
}

impl Move {
    /// What is noted when it was made.
    pub const fn kind(self) -> StepKind {
        match self {
            Self::Submit { .. } => StepKind::Submitted,
            Self::Approve => StepKind::Approved,
            Self::Return => StepKind::Returned,
            Self::Publish | Self::RollBack => StepKind::Published,
            Self::Retire => StepKind::Retired,
        }
    }
}

/// Where a step leads. `steps` is all that was done with the version so far, oldest first; `approvals` how many people
/// must agree; `by` the person who acts.
///
/// # Errors
/// The step is not possible.
pub fn advance(
    state: VersionState,
    steps: &[Step],
    approvals: u32,
    by: &str,
    step: Move,
) -> Result<VersionState, Refused> {
    use VersionState::{Approved, Draft, Published, Retired, Review};
    match (step, state) {
        (Move::Submit { .. }, Draft) => Ok(Review),
        (Move::Submit { .. }, Review | Approved | Published | Retired) => {
            Err(Refused::State("is no draft: only drafts are submitted"))
        }
        (Move::Approve, Review | Approved) => approve(steps, approvals, by),
        (Move::Approve, Draft) => Err(Refused::State("is a draft: submit it first")),
        (Move::Approve, Published | Retired) => Err(Refused::State("is past its review")),
        (Move::Return, Review | Approved) => Ok(Draft),
        (Move::Return, Draft | Published | Retired) => {
            Err(Refused::State("is not under review, so it cannot be returned"))
        }
        (Move::Publish, Approved) => Ok(Published),
        (Move::Publish, Draft | Review) => Err(Refused::State("is not approved")),
        (Move::Publish | Move::RollBack, Published) => Err(Refused::State("is published already")),
        (Move::Publish, Retired) => Err(Refused::State("is retired: roll back to it instead")),
        (Move::Retire, Retired) => Err(Refused::State("is retired already")),
        (Move::Retire, Draft | Review | Approved | Published) => Ok(Retired),
        (Move::RollBack, Retired) if steps.iter().any(|step| step.kind == StepKind::Published) => {
            Ok(Published)
        }
        (Move::RollBack, Draft | Review | Approved | Retired) => Err(Refused::NeverPublished),
    }
}

fn approve(steps: &[Step], approvals: u32, by: &str) -> Result<VersionState, Refused> {
    if steps.iter().any(|step| step.kind == StepKind::Written && step.by == by) {
        return Err(Refused::OwnWork);
    }
    let agreed = approvers(steps);
    if agreed.contains(&by) {
        return Err(Refused::Twice);
    }
    let enough = u32::try_from(agreed.len()).unwrap_or(u32::MAX).saturating_add(1) >= approvals;
    Ok(if enough { VersionState::Approved } else { VersionState::Review })
}

/// Who agrees with the version as it is: identifiers, each once, since it was last submitted.
pub fn approvers(steps: &[Step]) -> Vec<&str> {
    let last = steps.iter().rposition(|step| step.kind == StepKind::Submitted).unwrap_or(steps.len());
    let mut agreed: Vec<&str> = Vec::new();
    for step in steps[last..].iter().filter(|step| step.kind == StepKind::Approved) {
        if !agreed.contains(&step.by.as_str()) {
            agreed.push(&step.by);
        }
    }
    agreed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A version as it grows.
    struct Way {
        state: VersionState,
        steps: Vec<Step>,
        approvals: u32,
    }

    impl Way {
        fn written_by(names: &[&str]) -> Self {
            let mut way = Self { state: VersionState::Draft, steps: Vec::new(), approvals: 1 };
            for name in names {
                way.note(StepKind::Written, name);
            }
            way
        }

        fn note(&mut self, kind: StepKind, by: &str) {
            let (by, name) = (by.to_owned(), by.to_owned());
            self.steps.push(Step { kind, by, name, at: UnixMillis(0), note: None });
        }

        fn go(&mut self, by: &str, step: Move) -> Result<VersionState, Refused> {
            self.state = advance(self.state, &self.steps, self.approvals, by, step)?;
            if let Move::Submit { approvals } = step {
                self.approvals = approvals;
            }
            self.note(step.kind(), by);
            Ok(self.state)
        }
    }

    #[test]
    fn the_way_of_an_ordinary_version() {
        let mut way = Way::written_by(&["ada"]);
        assert!(way.go("bob", Move::Approve).is_err() && way.go("bob", Move::Publish).is_err());
        assert_eq!(way.go("ada", Move::Submit { approvals: 1 }), Ok(VersionState::Review));
        assert!(way.go("bob", Move::Publish).is_err());
        assert_eq!(way.go("bob", Move::Approve), Ok(VersionState::Approved));
        assert_eq!(way.go("ada", Move::Publish), Ok(VersionState::Published));
        assert!(way.go("ada", Move::RollBack).is_err());
        assert_eq!(way.go("ada", Move::Retire), Ok(VersionState::Retired));
        assert!(way.go("ada", Move::Publish).is_err());
        assert_eq!(way.go("ada", Move::RollBack), Ok(VersionState::Published));
    }

    #[test]
    fn no_writer_approves_and_nobody_approves_twice() {
        let mut way = Way::written_by(&["ada", "bob"]);
        way.go("eve", Move::Submit { approvals: 2 }).unwrap();
        assert_eq!(way.go("ada", Move::Approve), Err(Refused::OwnWork));
        assert_eq!(way.go("bob", Move::Approve), Err(Refused::OwnWork));
        assert_eq!(way.go("eve", Move::Approve), Ok(VersionState::Review));
        assert_eq!(way.go("eve", Move::Approve), Err(Refused::Twice));
        assert!(way.go("eve", Move::Publish).is_err(), "one of two");
        assert_eq!(way.go("joe", Move::Approve), Ok(VersionState::Approved));
    }

    #[test]
    fn approvals_are_void_once_it_was_returned() {
        let mut way = Way::written_by(&["ada"]);
        way.go("ada", Move::Submit { approvals: 2 }).unwrap();
        way.go("bob", Move::Approve).unwrap();
        way.go("joe", Move::Approve).unwrap();
        assert_eq!(way.go("joe", Move::Return), Ok(VersionState::Draft));
        way.note(StepKind::Written, "ada");
        way.go("ada", Move::Submit { approvals: 2 }).unwrap();
        assert_eq!(way.go("bob", Move::Approve), Ok(VersionState::Review));
        assert_eq!(approvers(&way.steps), ["bob"]);
        assert_eq!(way.go("joe", Move::Approve), Ok(VersionState::Approved));
    }

    #[test]
    fn what_was_never_published_is_nothing_to_go_back_to() {
        let mut way = Way::written_by(&["ada"]);
        way.go("ada", Move::Retire).unwrap();
        assert_eq!(way.go("ada", Move::RollBack), Err(Refused::NeverPublished));
        assert!(way.go("ada", Move::Submit { approvals: 0 }).is_err());
    }
}
