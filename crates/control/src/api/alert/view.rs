//! How alerts are shown.

use std::collections::BTreeMap;

use gatehouse_domain::alert::{Alert, Rule, Silence};
use gatehouse_domain::settings::lint::Language;
use gatehouse_store::alert::Delivery;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::alert::Standing;

/// An alert.
#[derive(Debug, Serialize, ToSchema)]
pub struct AlertView {
    /// The rule's name.
    pub rule: String,
    /// `critical`, `warning` or `info`.
    pub severity: &'static str,
    /// `pending`, `firing` or `resolved`.
    pub state: &'static str,
    /// What it is about.
    pub labels: BTreeMap<String, String>,
    /// The value when it was last bad.
    pub value: f64,
    /// What is wrong.
    pub summary: String,
    /// What to do.
    pub action: String,
    /// Since when it is bad (RFC 3339).
    pub active_at: String,
    /// Since when it fires (RFC 3339); `null` while it is pending.
    pub fired_at: Option<String>,
    /// When it was over (RFC 3339).
    pub resolved_at: Option<String>,
    /// `silenced` or `inhibited`, where nobody is told of it.
    pub held_back: Option<&'static str>,
}

/// Something that happened to an alert.
#[derive(Debug, Serialize, ToSchema)]
pub struct AlertEventView {
    /// Identifier.
    pub id: String,
    /// `fired` or `resolved`.
    pub kind: String,
    /// When (RFC 3339).
    pub at: String,
    /// The alert as it was then.
    pub alert: AlertView,
}

/// A rule.
#[derive(Debug, Serialize, ToSchema)]
pub struct AlertRuleView {
    /// Its name.
    pub name: String,
    /// What it looks at.
    pub signal: String,
    /// `>` or `<`.
    pub compare: &'static str,
    /// With what, in the signal's unit.
    pub threshold: f64,
    /// How long it must have been bad, in seconds.
    pub for_seconds: i64,
    /// How long it must not have been bad to be over, in seconds.
    pub keep_firing_seconds: i64,
    /// `critical`, `warning` or `info`.
    pub severity: &'static str,
    /// Which values of the signal count.
    pub only: Vec<String>,
    /// What is wrong; names in braces stand for labels.
    pub summary: String,
    /// What to do.
    pub action: String,
}

/// The rules as a file of another program.
#[derive(Debug, Serialize, ToSchema)]
pub struct AlertRuleFile {
    /// `prometheus`.
    pub format: &'static str,
    /// The file.
    pub text: String,
}

/// A silence.
#[derive(Debug, Serialize, ToSchema)]
pub struct SilenceView {
    /// Identifier.
    #[schema(example = "sil_01JD8X4R6V3Q2M9KZB7T5W0C1E")]
    pub id: String,
    /// Which alerts: those that fulfill all of these.
    pub matchers: Vec<String>,
    /// Who made it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// From when on (RFC 3339).
    pub starts_at: String,
    /// Until when (RFC 3339).
    pub ends_at: String,
}

/// A silence to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSilenceBody {
    /// Conditions such as `alertname=budget-near` or `node!=node_01*`; all must be fulfilled.
    pub matchers: Vec<String>,
    /// Why.
    pub reason: String,
    /// From when on: a UTC time, or a span from now; now if not given.
    pub starts: Option<String>,
    /// Until when: a UTC time, or a span from now such as `2h`.
    pub ends: String,
}

/// A receiver, and how it fares.
#[derive(Debug, Serialize, ToSchema)]
pub struct AlertReceiverView {
    /// Its name.
    pub name: String,
    /// `email`, `webhook`, `slack`, `teams`, `feishu`, `dingtalk` or `wecom`.
    pub kind: &'static str,
    /// Whether it is told when an alert is over.
    pub send_resolved: bool,
    /// Most messages in a minute; 0 for any number.
    pub per_minute: u32,
    /// How many messages wait for it.
    pub waiting: u64,
    /// The newest message that is over.
    pub newest: Option<DeliveryView>,
}

/// A message to a receiver.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveryView {
    /// Identifier, which the message bears too.
    pub id: String,
    /// To whom.
    pub receiver: String,
    /// Whether it is a test.
    pub is_test: bool,
    /// `waiting`, `sending`, `sent`, `failed` or `dropped`.
    pub state: &'static str,
    /// How often it was tried.
    pub attempts: u64,
    /// Alerts in it that fire.
    pub firing: usize,
    /// Alerts in it that are over.
    pub resolved: usize,
    /// When it was made (RFC 3339).
    pub created_at: String,
    /// When it was sent, or given up (RFC 3339).
    pub ended_at: Option<String>,
    /// What was last wrong.
    pub error: Option<String>,
}

/// What came of a test of a receiver.
#[derive(Debug, Serialize, ToSchema)]
pub struct AlertTestView {
    /// The message's identifier.
    pub id: String,
    /// Whether the receiver took it.
    pub taken: bool,
    /// What was wrong.
    pub error: Option<String>,
}

/// An alert in words.
pub(super) fn alert_view(
    rules: &[Rule],
    language: Language,
    alert: Alert,
    held_back: Option<&'static str>,
) -> AlertView {
    let rule = rules.iter().find(|rule| rule.name == alert.rule);
    let told = rule.map(|rule| rule.told(language, &alert.labels, alert.value));
    let (summary, action) = told.unwrap_or_else(|| (alert.rule.clone(), String::new()));
    AlertView {
        rule: alert.rule,
        severity: alert.severity.as_str(),
        state: alert.state.as_str(),
        labels: alert.labels,
        value: alert.value,
        summary,
        action,
        active_at: alert.active_at.to_string(),
        fired_at: alert.fired_at.map(|at| at.to_string()),
        resolved_at: alert.resolved_at.map(|at| at.to_string()),
        held_back,
    }
}

impl From<Silence> for SilenceView {
    fn from(silence: Silence) -> Self {
        Self {
            id: silence.id.to_string(),
            matchers: silence.matchers.iter().map(ToString::to_string).collect(),
            author: silence.author,
            reason: silence.reason,
            starts_at: silence.starts_at.to_string(),
            ends_at: silence.ends_at.to_string(),
        }
    }
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id.to_string(),
            receiver: delivery.receiver,
            is_test: delivery.is_test,
            state: delivery.state.as_str(),
            attempts: delivery.attempts,
            firing: delivery.notification.firing.len(),
            resolved: delivery.notification.resolved.len(),
            created_at: delivery.created_at.to_string(),
            ended_at: delivery.ended_at.map(|at| at.to_string()),
            error: delivery.error,
        }
    }
}

impl From<Standing> for AlertReceiverView {
    fn from(standing: Standing) -> Self {
        Self {
            name: standing.receiver.name,
            kind: standing.receiver.kind,
            send_resolved: standing.receiver.send_resolved,
            per_minute: standing.receiver.per_minute,
            waiting: standing.waiting,
            newest: standing.newest.map(DeliveryView::from),
        }
    }
}
