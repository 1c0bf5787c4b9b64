//! Rollouts: settings go to people in phases, and each phase must prove itself before the next begins.
//!
//! A [`Definition`] says what goes to whom in which phase, and what must hold. A [`Progress`] is where a rollout is; it is
//! moved by what was done and seen, and says itself what is due next. Everything here is a function of its arguments: the
//! time, the figures and the people come from outside.

mod read;
mod definition;
mod cohort;
mod statistic;
mod gate;
mod progress;

pub use cohort::{Person, stratified};
pub use definition::{
    Against, Check, Cohort, Definition, Limit, MAX_PHASES, Measure, OnFail, Overlay, PHASES, Phase, Weight,
};
pub use gate::{Baseline, Decision, Evidence, Judged, Moment, Verdict, decide, judge};
pub use progress::{Due, Look, Passed, Progress, Refused, State};
pub use read::Mistake;
pub use statistic::{Rate, confidence_half_width, design_effect, mann_whitney_z, rate_is_worse, wilson};
