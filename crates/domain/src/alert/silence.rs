//! What keeps an alert from being told: silences, and other alerts.

use serde::{Deserialize, Serialize};

use super::{Alert, Labels, Matcher};
use crate::id::SilenceId;
use crate::time::UnixMillis;

/// Most conditions of a silence or an inhibition.
pub const MAX_MATCHERS: usize = 20;

/// Alerts that nobody is told of for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Its identifier.
    pub id: SilenceId,
    /// Which alerts: those that fulfill all of these.
    pub matchers: Vec<Matcher>,
    /// Who made it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// When it was made.
    pub created_at: UnixMillis,
    /// From when on.
    pub starts_at: UnixMillis,
    /// Until when.
    pub ends_at: UnixMillis,
}

impl Silence {
    /// Whether it holds these labels back at a time.
    pub fn covers(&self, labels: &Labels, now: UnixMillis) -> bool {
        self.starts_at <= now
            && now < self.ends_at
            && self.matchers.iter().all(|matcher| matcher.fits(labels))
    }
}

/// An alert that makes others needless: while one of `source` fires, none of `target` is told that has the same values of
/// the labels `equal`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inhibition {
    /// Which alerts hold back.
    pub source: Vec<Matcher>,
    /// Which are held back.
    pub target: Vec<Matcher>,
    /// What both must have in common. A label that neither has is the same.
    pub equal: Vec<String>,
}

impl Inhibition {
    fn holds_back(&self, alert: &Alert, firing: &[Alert]) -> bool {
        let fits = |matchers: &[Matcher], labels: &Labels| matchers.iter().all(|one| one.fits(labels));
        if !fits(&self.target, &alert.labels) {
            return false;
        }
        let is_source_too = fits(&self.source, &alert.labels);
        firing.iter().any(|other| {
            // Alerts of which each could hold back the other hold back neither.
            let mutual = is_source_too && fits(&self.target, &other.labels);
            let same = self.equal.iter().all(|label| other.labels.get(label) == alert.labels.get(label));
            same && !mutual && fits(&self.source, &other.labels)
        })
    }
}

/// Whether an alert is held back now, by what.
pub fn holds_back(
    alert: &Alert,
    firing: &[Alert],
    silences: &[Silence],
    inhibitions: &[Inhibition],
    now: UnixMillis,
) -> Option<&'static str> {
    if silences.iter().any(|silence| silence.covers(&alert.labels, now)) {
        return Some("silenced");
    }
    inhibitions.iter().any(|inhibition| inhibition.holds_back(alert, firing)).then_some("inhibited")
}
