//! Which deployment mode fits an organization: the score, and beside it what each factor alone would demand.
//!
//! The score adds points and looks at their sum, so it recommends less than the most demanding factor in most cases (a
//! critical security level alone never leads to more than a proxy). It is therefore given as it is, and the matrix of
//! factors beside it; where the two differ, a person decides and says why. `docs/assessment.md` says it at length.

use serde::Serialize;
use serde_json::Value;

pub use answers::{Answers, ComplianceLevel, CostControl, Mistake, SecurityLevel};
pub use matrix::{Difficulty, Factor, FactorKind, Size};
pub use mode::Mode;
pub use score::Score;
pub use step::{Step, Task};
pub use words::Words;

mod answers;
mod brief;
mod framework;
mod matrix;
mod mode;
mod note;
mod score;
mod step;
mod words;
#[cfg(test)]
mod tests;

use crate::settings::catalogue::Texts;

/// The recommendation as such: the four things that every caller needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recommendation {
    /// The mode that the score leads to.
    pub mode: Mode,
    /// Why, in simplified Chinese; [`Analysis::reason`] has all languages.
    pub reason: &'static str,
    /// The score.
    pub complexity_score: i64,
    /// What to do next, in simplified Chinese; [`Analysis::tasks`] has all languages.
    pub next_steps: Vec<&'static str>,
}

/// The recommendation, and how it came about.
#[derive(Debug, Clone, Serialize)]
pub struct Assessment {
    /// The recommendation.
    #[serde(flatten)]
    pub recommendation: Recommendation,
    /// How it came about.
    pub analysis: Analysis,
}

/// How a recommendation came about.
#[derive(Debug, Clone, Serialize)]
pub struct Analysis {
    /// The reason in three languages.
    pub reason: Words,
    /// The points of which the score is made.
    pub score: Score,
    /// What each factor alone recommends.
    pub factors: Vec<Factor>,
    /// The mode that the most demanding factor asks for.
    pub matrix_mode: Mode,
    /// The factors that ask for it.
    pub driven_by: Vec<FactorKind>,
    /// Whether score and matrix lead to the same mode.
    pub agreement: bool,
    /// How they differ, if they do.
    pub disagreement: Option<Texts>,
    /// How hard the modes are to bring in, from the matrix.
    pub difficulty: Vec<Difficulty>,
    /// What to do for the mode that was chosen, or recommended as long as none was.
    pub tasks: Vec<Task>,
    /// Where the rules contradict themselves or each other for these very answers.
    pub notes: Vec<Words>,
    /// What was decided, if it was.
    pub choice: Option<Choice>,
}

/// A person's decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// The mode.
    pub mode: Mode,
    /// Why.
    pub reason: String,
}

/// Assesses answers. The same answers always give the same result; nothing is kept in between.
pub fn assess(answers: &Answers, choice: Option<Choice>) -> Assessment {
    let score = score::score(answers);
    let mode = score::mode(score.total());
    let factors = matrix::factors(answers);
    let matrix_mode = factors.iter().map(Factor::least).max().unwrap_or(Mode::Direct);
    let driven_by = factors.iter().filter(|f| f.least() == matrix_mode).map(|f| f.factor).collect();
    let agreement = matrix_mode == mode;
    let target = choice.as_ref().map_or(mode, |choice| choice.mode);
    let analysis = Analysis {
        reason: mode.reason(),
        disagreement: (!agreement).then(|| matrix::disagreement(mode, matrix_mode, &factors)),
        difficulty: Difficulty::all(),
        tasks: step::tasks(target, answers),
        notes: note::notes(answers),
        score,
        factors,
        matrix_mode,
        driven_by,
        agreement,
        choice,
    };
    Assessment { recommendation: recommend(mode, score.total()), analysis }
}

/// Assesses as the document did from which the rules come, with its leniency: unknown words count one point, a text in
/// place of a list counts its characters, entries that come twice count twice.
///
/// # Errors
/// What that could not compute with either, such as a team size that is no number.
pub fn assess_leniently(answers: &Value) -> Result<Recommendation, Mistake> {
    let total = brief::score(answers)?;
    Ok(recommend(score::mode(total), total))
}

fn recommend(mode: Mode, score: i64) -> Recommendation {
    Recommendation {
        mode,
        reason: mode.reason().zh_cn,
        complexity_score: score,
        next_steps: step::next_steps(mode).iter().map(|step| step.text.zh_cn).collect(),
    }
}
