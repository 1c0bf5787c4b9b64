//! Whether a phase has proved itself.

use serde::{Deserialize, Serialize};

use super::definition::{Against, Check, Limit, Measure, OnFail, Weight};
use super::statistic::{
    Rate, confidence_half_width, design_effect, is_clear, mann_whitney_z, rate_is_worse, real, wilson,
};
use crate::metrics::{Counts, quantile};

/// Fewer people than these say nothing about how times are distributed over people.
const FEWEST_PEOPLE: usize = 10;
/// With fewer people than these, figures describe and do not prove.
const DESCRIPTIVE: u64 = 15;
/// Answers by which the confidence sequence of scores is narrowest.
const TUNED: f64 = 100.0;

/// What is known of a cohort since its phase began.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evidence {
    /// What was counted.
    pub counts: Counts,
    /// Requests and failures of each person on each day.
    pub groups: Vec<(u64, u64)>,
    /// Each person's 95th percentile, in milliseconds.
    pub p95s: Vec<f64>,
    /// People who got it.
    pub cohort: u64,
    /// Of these, whose client was seen since.
    pub seen: u64,
    /// Of these, whose client said that it applied the settings.
    pub confirmed: u64,
    /// The scores.
    pub scores: Vec<u8>,
    /// The same people before.
    pub previous: Baseline,
    /// Other people at the same time.
    pub others: Baseline,
}

/// What figures are compared with.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Baseline {
    /// Each person's 95th percentile, in milliseconds.
    pub p95s: Vec<f64>,
    /// Times to the end of each request, in milliseconds, sorted.
    pub durations_ms: Vec<u32>,
    /// Nano-dollars of an active person, of so many people.
    pub cost_per_user: Option<f64>,
    /// How many days it covers, for what grows with time.
    pub days: f64,
    /// How many days the figures to compare cover.
    pub against_days: f64,
}

/// When it is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// While it is watched: only what is certain at any look is said.
    Soaking,
    /// At the end.
    End,
}

/// What a check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It holds.
    Pass,
    /// It does not hold.
    Fail,
    /// There is not enough evidence for either.
    Insufficient,
}

/// A check's outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// What was measured.
    pub metric: String,
    /// What it was held against.
    pub limit: String,
    /// What was found; none without data.
    pub value: Option<f64>,
    /// Of how many.
    pub n: u64,
    /// The bound that decides, where there is one.
    pub bound: Option<f64>,
    /// What it says.
    pub verdict: Verdict,
    /// How much it weighs.
    pub kind: String,
    /// What is done when it fails.
    pub on_fail: String,
    /// Whether so few people describe and do not prove.
    pub descriptive: bool,
}

/// What all checks of a phase say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// All hold that must.
    Pass,
    /// Evidence is wanting.
    Insufficient,
    /// Something does not hold, and this is to be done.
    Fail(OnFail),
}

/// A value, of how many, the bound that decides, the verdict.
type Found = (Option<f64>, u64, Option<f64>, Verdict);

/// Judges by one check.
pub fn judge(check: &Check, evidence: &Evidence, moment: Moment) -> Judged {
    let (value, n, bound, verdict) = match check.measure {
        Measure::ErrorRate => error_rate(check, evidence, moment),
        Measure::Satisfaction => satisfaction(check, evidence, moment),
        Measure::P95 => at_end(moment, latency(check, evidence)),
        Measure::CostPerUser => at_end(moment, cost(check, evidence)),
        Measure::Cohort => at_end(moment, least(check, Some(real(evidence.cohort)), evidence.cohort)),
        Measure::Receipts => {
            let share = (evidence.seen > 0).then(|| real(evidence.confirmed) / real(evidence.seen));
            at_end(moment, least(check, share, evidence.seen))
        }
        Measure::Adoption => {
            let adoption = evidence.counts.adoption();
            at_end(moment, least(check, (!adoption.no_data).then_some(adoption.value), adoption.n))
        }
        Measure::Frequency => {
            let frequency = evidence.counts.frequency();
            at_end(moment, least(check, (!frequency.no_data).then_some(frequency.value), frequency.n))
        }
    };
    Judged {
        metric: check.measure.as_str().to_owned(),
        limit: check.limit.to_string(),
        value,
        n,
        bound,
        verdict,
        kind: check.weight.as_str().to_owned(),
        on_fail: check.on_fail.as_str().to_owned(),
        descriptive: evidence.cohort < DESCRIPTIVE,
    }
}

/// What follows from all checks. A dry run weighs nothing; a signal that fails makes the rollout wait, and may lack data;
/// what only warns holds nothing up.
pub fn decide(judged: &[(Check, Verdict)]) -> Decision {
    let mut worst = None;
    let mut wanting = false;
    for (check, verdict) in judged {
        match (check.weight, verdict) {
            (Weight::DryRun, _) | (_, Verdict::Pass) | (Weight::Signal, Verdict::Insufficient) => {}
            (Weight::Critical, Verdict::Insufficient) => wanting = true,
            (Weight::Critical, Verdict::Fail) => worst = worst.max(Some(check.on_fail)),
            (Weight::Signal, Verdict::Fail) => worst = worst.max(Some(check.on_fail.min(OnFail::Pause))),
        }
    }
    match worst {
        Some(action) if action > OnFail::Warn => Decision::Fail(action),
        Some(_) | None if wanting => Decision::Insufficient,
        Some(_) | None => Decision::Pass,
    }
}

/// What is said only at the end.
fn at_end(moment: Moment, (value, n, bound, verdict): Found) -> Found {
    let said = if moment == Moment::End { verdict } else { Verdict::Insufficient };
    (value, n, bound, said)
}

fn least(check: &Check, value: Option<f64>, n: u64) -> Found {
    let Limit::AtLeast(limit) = check.limit else { return (value, n, None, Verdict::Insufficient) };
    let verdict = match value {
        Some(_) if n < check.min_sample => Verdict::Insufficient,
        Some(value) if value >= limit => Verdict::Pass,
        Some(_) => Verdict::Fail,
        None => Verdict::Insufficient,
    };
    (value, n, None, verdict)
}

fn error_rate(check: &Check, evidence: &Evidence, moment: Moment) -> Found {
    let counts = &evidence.counts;
    let plain = Rate { failures: real(counts.failed_requests), tries: real(counts.total_requests) };
    let n = counts.total_requests;
    let value = (n > 0).then(|| plain.value());
    let Limit::AtMost(limit) = check.limit else { return (value, n, None, Verdict::Insufficient) };
    // Requests of one person on one day fail together.
    let rate = plain.shrunk(design_effect(&evidence.groups));
    let (lower, upper) = wilson(rate);
    if moment == Moment::Soaking {
        let worse = n > 0 && rate_is_worse(rate, limit);
        return (value, n, Some(lower), if worse { Verdict::Fail } else { Verdict::Insufficient });
    }
    // Three clean tries for each unit of 1/limit: of fewer even none failing proves nothing (the rule of three).
    let enough = n >= check.min_sample && (limit <= 0.0 || rate.tries >= 3.0 / limit);
    let verdict = if n == 0 {
        Verdict::Insufficient
    } else if lower > limit || (limit <= 0.0 && rate.failures > 0.0) {
        Verdict::Fail
    } else if enough && (upper <= limit || limit <= 0.0) {
        Verdict::Pass
    } else {
        Verdict::Insufficient
    };
    (value, n, Some(if verdict == Verdict::Fail { lower } else { upper }), verdict)
}

/// Enough are as many answers as are asked for, or those of half the cohort, but never a single one.
fn satisfaction(check: &Check, evidence: &Evidence, moment: Moment) -> Found {
    let scores: Vec<f64> = evidence.scores.iter().map(|score| f64::from(*score)).collect();
    let n = u64::try_from(scores.len()).unwrap_or(u64::MAX);
    let Limit::AtLeast(limit) = check.limit else { return (None, n, None, Verdict::Insufficient) };
    if n == 0 {
        return (None, 0, None, Verdict::Insufficient);
    }
    let mean = scores.iter().sum::<f64>() / real(n);
    let half = evidence.cohort.div_ceil(2);
    let enough = n >= 2 && (n >= check.min_sample || n >= half);
    if moment == Moment::Soaking {
        let variance = scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / real(n);
        // Scores lie within 1 to 5: few equal ones do not make the variance nothing.
        let above = mean + confidence_half_width(real(n), variance.max(1.0), TUNED);
        let worse = n >= check.min_sample.max(5) && above < limit;
        return (Some(mean), n, Some(above), if worse { Verdict::Fail } else { Verdict::Insufficient });
    }
    let verdict = match (enough, mean >= limit) {
        (false, _) => Verdict::Insufficient,
        (true, true) => Verdict::Pass,
        (true, false) => Verdict::Fail,
    };
    (Some(mean), n, None, verdict)
}

/// Against what was before by the rank sum of each person's 95th percentile; with few people, or a limit of its own, by that
/// of all requests.
fn latency(check: &Check, evidence: &Evidence) -> Found {
    let all = &evidence.counts.durations_ms;
    let n = u64::try_from(all.len()).unwrap_or(u64::MAX);
    let value = quantile(all, 95).map(f64::from);
    let Some(found) = value.filter(|_| n >= check.min_sample) else {
        return (value, n, None, Verdict::Insufficient);
    };
    let within = |limit: f64| if found <= limit { Verdict::Pass } else { Verdict::Fail };
    let (factor, against) = match check.limit {
        Limit::AtMost(limit) => return (value, n, Some(limit), within(limit)),
        Limit::AtLeast(_) => return (value, n, None, Verdict::Insufficient),
        Limit::AtMostTimes(factor, against) => (factor, baseline(evidence, against)),
    };
    if evidence.p95s.len() >= FEWEST_PEOPLE && against.p95s.len() >= FEWEST_PEOPLE {
        let scaled: Vec<f64> = against.p95s.iter().map(|p95| p95 * factor).collect();
        let z = mann_whitney_z(&evidence.p95s, &scaled);
        return (value, n, Some(z), if is_clear(z) { Verdict::Fail } else { Verdict::Pass });
    }
    match quantile(&against.durations_ms, 95) {
        Some(before)
            if against.durations_ms.len() >= usize::try_from(check.min_sample).unwrap_or(usize::MAX) =>
        {
            let limit = f64::from(before) * factor;
            (value, n, Some(limit), within(limit))
        }
        Some(_) | None => (value, n, None, Verdict::Insufficient),
    }
}

/// Dollars of an active person; against what was before, by the day.
fn cost(check: &Check, evidence: &Evidence) -> Found {
    const NANOS: f64 = 1e9;
    let amount = evidence.counts.cost_per_user();
    let value = (!amount.no_data).then(|| real(u64::try_from(amount.value.0).unwrap_or(0)) / NANOS);
    let Some(found) = value.filter(|_| amount.n >= check.min_sample) else {
        return (value, amount.n, None, Verdict::Insufficient);
    };
    let limit = match check.limit {
        Limit::AtMost(limit) => Some(limit),
        Limit::AtLeast(_) => None,
        Limit::AtMostTimes(factor, against) => {
            let before = baseline(evidence, against);
            let scale = if before.days > 0.0 { before.against_days / before.days } else { 1.0 };
            before.cost_per_user.map(|nanos| nanos / NANOS * scale * factor)
        }
    };
    let verdict = match limit {
        Some(limit) if found <= limit => Verdict::Pass,
        Some(_) => Verdict::Fail,
        None => Verdict::Insufficient,
    };
    (value, amount.n, limit, verdict)
}

const fn baseline(evidence: &Evidence, against: Against) -> &Baseline {
    match against {
        Against::Previous => &evidence.previous,
        Against::Others => &evidence.others,
    }
}

#[cfg(test)]
mod tests;
