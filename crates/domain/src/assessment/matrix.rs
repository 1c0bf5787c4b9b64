//! The matrix: what each factor alone would demand.

use serde::Serialize;

use super::answers::{Answers, ComplianceLevel, CostControl, SecurityLevel};
use super::framework;
use super::mode::Mode;
use super::words::Words;
use crate::settings::catalogue::Texts;

/// The factors of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FactorKind {
    /// The organization's size.
    TeamSize,
    /// The security that it asks for.
    SecurityLevel,
    /// The rules that it must follow.
    Compliance,
    /// The control of costs that it wants.
    CostControl,
}

impl FactorKind {
    /// Its name for people.
    pub const fn name(self) -> Words {
        match self {
            Self::TeamSize => Words::new("organization size", "组织规模", "組織規模"),
            Self::SecurityLevel => Words::new("security", "安全要求", "安全要求"),
            Self::Compliance => Words::new("compliance", "合规需求", "合規需求"),
            Self::CostControl => Words::new("cost control", "成本控制", "成本控制"),
        }
    }
}

/// The size of an organization. Ten people are a medium team here, although the score counts them as a small one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    /// Fewer than 10 people.
    Small,
    /// 10 to 100 people.
    Medium,
    /// More than 100 people.
    Large,
}

impl Size {
    /// The size of so many people.
    pub const fn of(people: u32) -> Self {
        match people {
            0..=9 => Self::Small,
            10..=100 => Self::Medium,
            _ => Self::Large,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
        }
    }

    const fn candidates(self) -> [Mode; 2] {
        match self {
            Self::Small => [Mode::Direct, Mode::Proxy],
            Self::Medium => [Mode::Proxy, Mode::Gateway],
            Self::Large => [Mode::Gateway, Mode::Hybrid],
        }
    }
}

/// What a factor alone recommends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Factor {
    /// The factor.
    pub factor: FactorKind,
    /// Its level, in one word.
    pub level: &'static str,
    /// The modes that it recommends, the simplest first.
    pub recommends: Vec<Mode>,
}

impl Factor {
    /// The simplest mode that satisfies it.
    pub fn least(&self) -> Mode {
        self.recommends.first().copied().unwrap_or(Mode::Direct)
    }
}

/// What each factor recommends.
pub(super) fn factors(answers: &Answers) -> Vec<Factor> {
    let size = Size::of(answers.team_size);
    let (security, security_mode) = match answers.security_level {
        SecurityLevel::Low => ("low", Mode::Direct),
        SecurityLevel::Medium => ("medium", Mode::Proxy),
        SecurityLevel::High => ("high", Mode::Gateway),
        SecurityLevel::Critical => ("critical", Mode::Hybrid),
    };
    let (compliance, compliance_mode) = match compliance(answers) {
        ComplianceLevel::None => ("none", Mode::Direct),
        ComplianceLevel::Basic => ("basic", Mode::Proxy),
        ComplianceLevel::Industry => ("industry", Mode::Gateway),
        ComplianceLevel::Strict => ("strict", Mode::Hybrid),
    };
    let (cost, cost_mode) = match answers.cost_control {
        CostControl::Low => ("low", Mode::Direct),
        CostControl::Medium => ("medium", Mode::Proxy),
        CostControl::High => ("high", Mode::Gateway),
        CostControl::FineGrained => ("fine_grained", Mode::Hybrid),
    };
    let one = |factor, level, mode| Factor { factor, level, recommends: vec![mode] };
    vec![
        Factor { factor: FactorKind::TeamSize, level: size.as_str(), recommends: size.candidates().to_vec() },
        one(FactorKind::SecurityLevel, security, security_mode),
        one(FactorKind::Compliance, compliance, compliance_mode),
        one(FactorKind::CostControl, cost, cost_mode),
    ]
}

/// How demanding the rules are: as answered, else the most demanding framework's level.
fn compliance(answers: &Answers) -> ComplianceLevel {
    answers.compliance_level.unwrap_or_else(|| {
        let levels = answers.compliance_requirements.iter().map(|name| framework::level_of(name));
        levels.max().unwrap_or_default()
    })
}

/// The sentence that says how score and matrix differ.
pub(super) fn disagreement(score: Mode, matrix: Mode, factors: &[Factor]) -> Texts {
    let names = |pick: fn(Words) -> &'static str, between: &str| {
        let names: Vec<_> =
            factors.iter().filter(|f| f.least() == matrix).map(|f| pick(f.factor.name())).collect();
        names.join(between)
    };
    let (by_score, by_matrix) = (score.name(), matrix.name());
    if matrix > score {
        return Texts {
            en: format!(
                "The score leads to {}, but {} alone asks for {}.",
                by_score.en,
                names(|w| w.en, " and "),
                by_matrix.en
            ),
            zh_cn: format!(
                "评分得出{}，但仅{}一项就要求{}。",
                by_score.zh_cn,
                names(|w| w.zh_cn, "和"),
                by_matrix.zh_cn
            ),
            zh_tw: format!(
                "評分得出{}，但僅{}一項就要求{}。",
                by_score.zh_tw,
                names(|w| w.zh_tw, "和"),
                by_matrix.zh_tw
            ),
        };
    }
    Texts {
        en: format!(
            "The score leads to {}, but no factor alone asks for more than {}.",
            by_score.en, by_matrix.en
        ),
        zh_cn: format!("评分得出{}，但没有任何单项因素的要求超过{}。", by_score.zh_cn, by_matrix.zh_cn),
        zh_tw: format!("評分得出{}，但沒有任何單項因素的要求超過{}。", by_score.zh_tw, by_matrix.zh_tw),
    }
}

/// How hard a mode is to bring in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Difficulty {
    /// The mode.
    pub mode: Mode,
    /// How hard.
    pub effort: Words,
}

impl Difficulty {
    /// Of all modes.
    pub(super) fn all() -> Vec<Self> {
        Mode::ALL.into_iter().map(|mode| Self { mode, effort: Self::of(mode) }).collect()
    }

    /// Of one mode.
    pub const fn of(mode: Mode) -> Words {
        match mode {
            Mode::Direct => Words::new("simple", "简单", "簡單"),
            Mode::Proxy => Words::new("medium", "中等", "中等"),
            Mode::Gateway => Words::new("complex", "复杂", "複雜"),
            Mode::Hybrid => Words::new("very complex", "非常复杂", "非常複雜"),
        }
    }
}
