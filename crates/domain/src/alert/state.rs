//! Pending, firing, resolved.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Labels, Rule, Sample, Severity};
use crate::time::UnixMillis;

/// Most alerts at a time, of all rules together. What would be more is left out, and counted.
pub const MAX_ALERTS: usize = 2000;

/// Where an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is bad, and has not been for long enough.
    Pending,
    /// People are to know.
    Firing,
    /// It is over.
    Resolved,
}

impl State {
    /// The name used in the database and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// An alert: a rule, and what it is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// The rule's name.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about, with `alertname` and `severity`.
    pub labels: Labels,
    /// Where it is.
    pub state: State,
    /// Since when it is bad.
    pub active_at: UnixMillis,
    /// Since when it fires.
    pub fired_at: Option<UnixMillis>,
    /// When it was last seen to be bad.
    pub seen_at: UnixMillis,
    /// When it was over.
    pub resolved_at: Option<UnixMillis>,
    /// The value when it was last bad.
    pub value: f64,
}

impl Alert {
    /// What tells it from all others: its labels as text, in their order.
    pub fn key(&self) -> String {
        key(&self.labels)
    }
}

/// Labels as text, in their order.
pub(super) fn key(labels: &Labels) -> String {
    let part = |(name, value): (&String, &String)| format!("{name}={value:?}");
    labels.iter().map(part).collect::<Vec<_>>().join(",")
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Values.
    pub samples: Vec<Sample>,
    /// Signals that could not be looked at: of these, nothing changes.
    pub unknown: BTreeSet<String>,
}

/// What one evaluation came to.
#[derive(Debug, Default, PartialEq)]
pub struct Round {
    /// All alerts that are pending or fire.
    pub now: Vec<Alert>,
    /// Those among them that did not fire before, and do now.
    pub fired: Vec<Alert>,
    /// Those that fired before, and do no more.
    pub resolved: Vec<Alert>,
    /// Alerts that were left out for want of room.
    pub left_out: usize,
}

/// Evaluates all rules: what was, what is seen, and the time give what is.
pub fn evaluate(rules: &[Rule], seen: &Seen, before: Vec<Alert>, now: UnixMillis) -> Round {
    let mut old: BTreeMap<String, Alert> = before.into_iter().map(|alert| (alert.key(), alert)).collect();
    let mut round = Round::default();
    for rule in rules {
        for sample in seen.samples.iter().filter(|sample| rule.covers(sample)) {
            if rule.compare.is_bad(sample.value, rule.threshold) {
                let labels = rule.labels(&sample.labels);
                let was = old.remove(&key(&labels));
                if was.is_none() && round.now.len() + old.len() >= MAX_ALERTS {
                    round.left_out += 1;
                    continue;
                }
                round.bad(rule, labels, sample.value, was, now);
            }
        }
    }
    for alert in old.into_values() {
        let rule = rules.iter().find(|rule| rule.name == alert.rule);
        round.not_bad(rule, &seen.unknown, alert, now);
    }
    round
}

impl Round {
    fn bad(&mut self, rule: &Rule, labels: Labels, value: f64, was: Option<Alert>, now: UnixMillis) {
        let begun = Alert {
            rule: rule.name.clone(),
            severity: rule.severity,
            labels,
            state: State::Pending,
            active_at: now,
            fired_at: None,
            seen_at: now,
            resolved_at: None,
            value,
        };
        let mut alert = was.unwrap_or(begun);
        alert.seen_at = now;
        alert.value = value;
        if alert.state != State::Firing && now.0.saturating_sub(alert.active_at.0) >= rule.hold_ms {
            alert.state = State::Firing;
            alert.fired_at = Some(now);
            self.fired.push(alert.clone());
        }
        self.now.push(alert);
    }

    fn not_bad(
        &mut self,
        rule: Option<&Rule>,
        unknown: &BTreeSet<String>,
        mut alert: Alert,
        now: UnixMillis,
    ) {
        let stays = rule.is_some_and(|rule| {
            let is_unknown = unknown.contains(&rule.signal);
            let is_kept = now.0.saturating_sub(alert.seen_at.0) < rule.keep_ms;
            is_unknown || (alert.state == State::Firing && is_kept)
        });
        if stays {
            self.now.push(alert);
        } else if alert.state == State::Firing {
            alert.state = State::Resolved;
            alert.resolved_at = Some(now);
            self.resolved.push(alert);
        }
    }
}
