//! Alerts: what is looked at, when it is bad, who is told, and how often.
//!
//! The meaning of every word is Prometheus': a rule compares the value of a signal with a threshold; where it has been bad for
//! as long as `for` says, its alert fires, and it is resolved when it has not been bad for as long as `keep_firing_for` says.
//! Alerts are grouped on their way to people, and silences and inhibitions keep some of them back
//! (<https://prometheus.io/docs/alerting/latest/alertmanager/>). Everything here is a pure function of what was, what is seen and
//! the time; what they give is kept in the database in one transaction, so that a node may be killed at any moment.

mod rule;
mod matcher;
mod signal;
mod state;
mod silence;
mod group;
mod builtin;
mod prometheus;
#[cfg(test)]
mod tests;

pub use builtin::{builtin_inhibitions, builtin_rules};
pub use group::{Flush, Group, Notice, Notification, Route, Routing, flush, most_alerts};
pub use matcher::{BadMatcher, Matcher, parse_all};
pub use prometheus::rule_file;
pub use rule::{Compare, Rule, Severity, Texts, is_rule_name};
pub use signal::{DERIVED, Derived, SIGNAL_METRIC, Unit, unit_of};
pub use silence::{Inhibition, MAX_MATCHERS, Silence, holds_back};
pub use state::{Alert, MAX_ALERTS, Round, Seen, State, evaluate};

use std::collections::BTreeMap;

/// What tells one alert of a rule from another: names and values.
pub type Labels = BTreeMap<String, String>;

/// The label that holds the rule's name, as Prometheus calls it.
pub const NAME: &str = "alertname";
/// The label that holds the severity.
pub const SEVERITY: &str = "severity";

/// A value that was seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Of what: a signal of [`DERIVED`], or a gauge of `/metrics`.
    pub signal: String,
    /// Of which of them.
    pub labels: Labels,
    /// In the unit that the signal's name says.
    pub value: f64,
}

impl Sample {
    /// A value with these labels.
    pub fn new(signal: &str, labels: &[(&str, &str)], value: f64) -> Self {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { signal: signal.to_owned(), labels, value }
    }
}

/// Whom alerts are told to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// Its name.
    pub name: String,
    /// What it is: `email`, `webhook`, `slack`, `teams`, `feishu`, `dingtalk` or `wecom`.
    pub kind: &'static str,
    /// Whether it is told when an alert is over.
    pub send_resolved: bool,
    /// Most messages in a minute; 0 for any number.
    pub per_minute: u32,
}

/// What the configuration says of alerts.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Whether rules are evaluated.
    pub enabled: bool,
    /// How often, in milliseconds.
    pub every_ms: i64,
    /// How long what happened is kept, in milliseconds.
    pub keep_ms: i64,
    /// How long a message is tried again, in milliseconds.
    pub give_up_ms: i64,
    /// Most messages that wait for one receiver.
    pub queue: u32,
    /// The rules, unique by name.
    pub rules: Vec<Rule>,
    /// Whom alerts are told to, unique by name.
    pub receivers: Vec<Receiver>,
    /// Which alerts go to whom; the first that fits decides, unless it says that others follow.
    pub routes: Vec<Route>,
    /// Which alerts make others needless.
    pub inhibitions: Vec<Inhibition>,
}
