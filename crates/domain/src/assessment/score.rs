//! The score: points added up.

use serde::Serialize;

use super::answers::{Answers, CostControl, SecurityLevel};
use super::mode::Mode;

/// The points of which a score is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Score {
    /// 1 to 3.
    pub team_size: i64,
    /// 1 to 4.
    pub security_level: i64,
    /// One for each entry.
    pub compliance_requirements: i64,
    /// 1 to 3.
    pub cost_control: i64,
    /// 0 or 2.
    pub network_restrictions: i64,
}

impl Score {
    /// Their sum.
    pub const fn total(self) -> i64 {
        self.team_size
            + self.security_level
            + self.compliance_requirements
            + self.cost_control
            + self.network_restrictions
    }
}

/// The points of answers.
pub(super) fn score(answers: &Answers) -> Score {
    Score {
        team_size: of_size(i64::from(answers.team_size)),
        security_level: match answers.security_level {
            SecurityLevel::Low => 1,
            SecurityLevel::Medium => 2,
            SecurityLevel::High => 3,
            SecurityLevel::Critical => 4,
        },
        compliance_requirements: i64::try_from(answers.compliance_requirements.len()).unwrap_or(i64::MAX),
        cost_control: match answers.cost_control {
            CostControl::Low => 1,
            CostControl::Medium => 2,
            CostControl::High | CostControl::FineGrained => 3,
        },
        network_restrictions: if answers.network_restrictions { 2 } else { 0 },
    }
}

/// The points of a team size: from 11 people on 2, from 101 on 3.
pub(super) const fn of_size(people: i64) -> i64 {
    if people > 100 {
        3
    } else if people > 10 {
        2
    } else {
        1
    }
}

/// The mode that a score leads to: up to 5 direct, up to 10 proxy, up to 15 gateway, else hybrid.
pub(super) const fn mode(score: i64) -> Mode {
    if score <= 5 {
        Mode::Direct
    } else if score <= 10 {
        Mode::Proxy
    } else if score <= 15 {
        Mode::Gateway
    } else {
        Mode::Hybrid
    }
}
