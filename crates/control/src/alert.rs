//! Alerts: what fires, what happened, silences, and whether receivers work.
//!
//! Every node writes what it sees of itself into the database; one node at a time, under a lease, evaluates the rules over
//! that and over the database (`collect.rs`, `engine.rs`) and sends messages (`deliver.rs`).

mod collect;
mod engine;
mod deliver;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gatehouse_domain::alert::{
    Alert, Labels, MAX_MATCHERS, NAME, Notice, Notification, Plan, Receiver, SEVERITY, Sample, Severity,
    Silence, State, holds_back, parse_all,
};
use gatehouse_domain::audit::Object;
use gatehouse_domain::id::{DeliveryId, SilenceId};
use gatehouse_domain::readiness::Finding;
use gatehouse_domain::time::{DAY_MS, UnixMillis};
use gatehouse_store::alert::{
    AlertEvent, AlertEventFilter, Delivery, DeliveryFilter, DeliveryState, NewDelivery,
};
use gatehouse_store::{Listed, MAX_LIMIT, Page};

use crate::act::{ActError, Caller, read, shortened};
use crate::app::{App, Later};
use crate::period::ahead_of;

pub use deliver::Sender;
pub use engine::{Engine, Turned};

/// Longest silence.
const LONGEST_MS: i64 = 366 * DAY_MS;
/// Longest reason, in characters.
const LONGEST_REASON: usize = 500;
/// A test that was so long ago shows nothing any more.
const TEST_LASTS_MS: i64 = 180 * DAY_MS;

/// Why a receiver did not take a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotTaken {
    /// What was wrong, in a sentence without secrets.
    pub error: String,
    /// Whether another try may help.
    pub again: bool,
    /// After how long, if the receiver says so.
    pub after: Option<Duration>,
}

/// Shows derived signals on `/metrics`.
pub type Show = Box<dyn Fn(&[Sample]) + Send + Sync>;

/// Hands a message to a receiver of this name.
pub type Hand = Box<dyn Fn(&str, DeliveryId, Notification) -> Later<Result<(), NotTaken>> + Send + Sync>;

/// What the rest of the process does for alerts.
pub struct Face {
    /// What the configuration says of alerts.
    pub plan: Box<dyn Fn() -> Arc<Plan> + Send + Sync>,
    /// What this node sees of itself: gauges that rules look at, disk, certificate.
    pub readings: Box<dyn Fn() -> Later<Vec<Sample>> + Send + Sync>,
    /// Shows derived signals on `/metrics` of this node, in place of those shown before.
    pub show: Show,
    /// Hands a message to a receiver, by its name. Answers within some seconds.
    pub send: Hand,
}

impl Face {
    /// Of a process without alerts.
    pub fn absent() -> Self {
        let plan = Arc::new(Plan {
            enabled: false,
            every_ms: 15_000,
            keep_ms: DAY_MS,
            give_up_ms: DAY_MS,
            queue: 100,
            rules: Vec::new(),
            receivers: Vec::new(),
            routes: Vec::new(),
            inhibitions: Vec::new(),
        });
        let nobody = || NotTaken { error: "there is no receiver".to_owned(), again: false, after: None };
        Self {
            plan: Box::new(move || Arc::clone(&plan)),
            readings: Box::new(|| Box::pin(async { Vec::new() })),
            show: Box::new(|_| {}),
            send: Box::new(move |_, _, _| Box::pin(async move { Err(nobody()) })),
        }
    }
}

/// An alert as administrators see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// The alert.
    pub alert: Alert,
    /// `silenced` or `inhibited`, where it is held back.
    pub held_back: Option<&'static str>,
}

/// A silence to make, as the caller wrote it.
#[derive(Debug, Clone, Default)]
pub struct NewSilence {
    /// Conditions: `alertname=budget-near`, `node=node_01*`.
    pub matchers: Vec<String>,
    /// Why.
    pub reason: String,
    /// From when on: a time, or a span from now; now if not given.
    pub starts: Option<String>,
    /// Until when: a time, or a span from now.
    pub ends: String,
}

/// How a receiver fares.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The receiver.
    pub receiver: Receiver,
    /// How many messages wait for it.
    pub waiting: u64,
    /// The newest message that is over.
    pub newest: Option<Delivery>,
}

/// What came of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// The message's identifier.
    pub id: DeliveryId,
    /// What was wrong; `None` when the receiver took it.
    pub error: Option<String>,
}

/// The alerts that are pending or fire, the worst first.
///
/// # Errors
/// The database.
pub async fn list(app: &App) -> Result<Vec<Shown>, ActError> {
    let (now, plan) = (app.now(), (app.house.alerts.plan)());
    let alerts = app.store.alerts(app.org).await?;
    let silences = app.store.silences(app.org, now).await?;
    let firing: Vec<Alert> = alerts.iter().filter(|alert| alert.state == State::Firing).cloned().collect();
    let mut shown: Vec<Shown> = alerts
        .into_iter()
        .map(|alert| {
            let held_back = holds_back(&alert, &firing, &silences, &plan.inhibitions, now);
            Shown { alert, held_back }
        })
        .collect();
    shown.sort_by_key(|one| (std::cmp::Reverse(one.alert.severity), one.alert.key()));
    Ok(shown)
}

/// What happened, the newest first.
///
/// # Errors
/// A bad page; the database.
pub async fn history(
    app: &App,
    wanted: &AlertEventFilter,
    page: &Page,
) -> Result<Listed<AlertEvent>, ActError> {
    Ok(app.store.alert_events(app.org, wanted, page).await?)
}

/// Messages, the newest first.
///
/// # Errors
/// A bad page; the database.
pub async fn deliveries(
    app: &App,
    wanted: &DeliveryFilter,
    page: &Page,
) -> Result<Listed<Delivery>, ActError> {
    Ok(app.store.deliveries(app.org, wanted, page).await?)
}

/// Silences that end after a time, the newest first.
///
/// # Errors
/// The database.
pub async fn silences(app: &App, ending_after: UnixMillis) -> Result<Vec<Silence>, ActError> {
    Ok(app.store.silences(app.org, ending_after).await?)
}

/// Makes a silence.
///
/// # Errors
/// No condition, or one that cannot be read, or only such as fit every alert; no reason; a bad time, or too long; the database.
pub async fn silence(app: &App, caller: &Caller, new: &NewSilence) -> Result<Silence, ActError> {
    let now = app.now();
    let matchers = read("matchers", parse_all(&new.matchers))?;
    if matchers.is_empty() || matchers.len() > MAX_MATCHERS {
        let told = format!("expected 1 to {MAX_MATCHERS} conditions such as alertname=budget-near");
        return Err(ActError::field("matchers", told));
    }
    // Labels that are not there are empty: a silence that fits no labels at all fits nearly everything.
    if matchers.iter().all(|matcher| matcher.fits(&Labels::new())) {
        return Err(ActError::field("matchers", "these fit every alert; at least one must ask for a value"));
    }
    let reason = new.reason.trim();
    let is_bad = reason.chars().count() > LONGEST_REASON || reason.chars().any(char::is_control);
    if reason.is_empty() || is_bad {
        let told = format!("expected a reason of at most {LONGEST_REASON} characters on one line");
        return Err(ActError::field("reason", told));
    }
    let starts_at = new.starts.as_deref().map_or(Ok(now), |text| read("starts", ahead_of(now, text)))?;
    let ends_at = read("ends", ahead_of(now, &new.ends))?;
    if ends_at <= starts_at || ends_at.0 - starts_at.0 > LONGEST_MS {
        return Err(ActError::field("ends", "expected a time after its beginning, and at most a year later"));
    }
    let silence = Silence {
        id: SilenceId::new(now, app.random_bits()),
        matchers,
        author: caller.actor.name.clone(),
        reason: reason.to_owned(),
        created_at: now,
        starts_at,
        ends_at,
    };
    let act = caller
        .draft(now, "alert.silence", Object::new("silence", silence.id, ""))
        .with("matchers", new.matchers.join(", "))
        .with("reason", reason)
        .with("starts_at", starts_at.to_string())
        .with("ends_at", ends_at.to_string());
    app.store.create_silence(app.org, &silence, &act).await?;
    Ok(silence)
}

/// Ends a silence now.
///
/// # Errors
/// There is none that has not ended; the database.
pub async fn end_silence(app: &App, caller: &Caller, given: &str) -> Result<(), ActError> {
    let missing = || ActError::NotFound { noun: "silence", given: shortened(given) };
    let id = given.parse::<SilenceId>().map_err(|_| missing())?;
    let act = caller.draft(app.now(), "alert.unsilence", Object::new("silence", id, ""));
    Ok(app.store.end_silence(app.org, id, &act).await?)
}

/// How the receivers fare.
///
/// # Errors
/// The database.
pub async fn receivers(app: &App) -> Result<Vec<Standing>, ActError> {
    let mut out = Vec::new();
    for receiver in &(app.house.alerts.plan)().receivers {
        let of = |state| DeliveryFilter {
            receiver: Some(receiver.name.clone()),
            state,
            ..DeliveryFilter::default()
        };
        let waiting =
            app.store.deliveries(app.org, &of(Some(DeliveryState::Waiting)), &Page::first(MAX_LIMIT)).await?;
        let ended = DeliveryFilter { ended_since: Some(UnixMillis(0)), ..of(None) };
        let newest = app.store.deliveries(app.org, &ended, &Page::first(1)).await?.items.into_iter().next();
        let waiting = u64::try_from(waiting.items.len()).unwrap_or(u64::MAX);
        out.push(Standing { receiver: receiver.clone(), waiting, newest });
    }
    Ok(out)
}

/// Sends a test to a receiver, and says what came of it.
///
/// # Errors
/// There is no such receiver; the database.
pub async fn test(app: &App, caller: &Caller, name: &str) -> Result<Tested, ActError> {
    let (now, plan) = (app.now(), (app.house.alerts.plan)());
    let receiver = plan.receivers.iter().find(|receiver| receiver.name == name);
    let receiver = receiver.ok_or_else(|| ActError::NotFound { noun: "receiver", given: shortened(name) })?;
    if receiver.per_minute > 0 {
        let tried = app.store.tried_since(app.org, name, now.plus_millis(-60_000)).await?;
        if tried >= u64::from(receiver.per_minute) {
            let told =
                format!("`{name}` takes {} messages a minute; try again in a minute", receiver.per_minute);
            return Err(ActError::Busy(told));
        }
    }
    let labels: Labels = BTreeMap::from([
        (NAME.to_owned(), "test".to_owned()),
        (SEVERITY.to_owned(), Severity::Info.as_str().to_owned()),
    ]);
    let notice = Notice {
        rule: "test".to_owned(),
        labels: labels.clone(),
        fired_at: now,
        resolved_at: None,
        value: 1.0,
    };
    let notification = Notification {
        group: "test".to_owned(),
        group_labels: labels,
        firing: vec![notice],
        resolved: Vec::new(),
        more: 0,
        is_test: true,
    };
    let id = DeliveryId::new(now, app.random_bits());
    let sent = (app.house.alerts.send)(name, id, notification.clone()).await;
    let error = sent.err().map(|not| not.error);
    let new = NewDelivery { id, receiver: name.to_owned(), notification };
    let mut act = caller.draft(now, "alert.test", Object::new("receiver", name, name));
    act.detail = act.detail.with_some("error", error.clone());
    app.store.record_test(app.org, &new, error.as_deref(), &act).await?;
    Ok(Tested { id, error })
}

/// What the readiness checklist finds of alerts: whether each receiver took a test, or an alert, lately.
pub(crate) async fn finding(app: &App) -> Result<Finding, ActError> {
    let plan = (app.house.alerts.plan)();
    if !plan.enabled || plan.receivers.is_empty() {
        let told = "no receiver is configured (`[[alerts.receiver]]`); alerts may be Prometheus' to send";
        return Ok(Finding::Unknown(told.to_owned()));
    }
    let since = app.now().plus_millis(-TEST_LASTS_MS);
    let (mut good, mut untried) = (Vec::new(), Vec::new());
    for standing in receivers(app).await? {
        let name = standing.receiver.name;
        match standing.newest.filter(|newest| newest.created_at >= since) {
            None => untried.push(name),
            Some(newest) if newest.state == DeliveryState::Sent => {
                let what = if newest.is_test { "a test" } else { "an alert" };
                good.push(format!("`{name}` took {what} on {}", newest.created_at));
            }
            Some(newest) => {
                let error = newest.error.unwrap_or_default();
                return Ok(Finding::Bad(format!("`{name}` did not take its last message: {error}")));
            }
        }
    }
    if untried.is_empty() {
        return Ok(Finding::Good(format!("{} rules; {}", plan.rules.len(), good.join(", "))));
    }
    let told = "try each with `gatehouse alerts test RECEIVER`";
    Ok(Finding::Poor(format!("no alert has been fired at {} within 180 days; {told}", untried.join(", "))))
}
