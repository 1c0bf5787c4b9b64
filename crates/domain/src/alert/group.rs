//! Grouping: alerts that belong together are told together, once, and again after a long while.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::state::key;
use super::{Alert, Inhibition, Labels, Matcher, Receiver, Silence, holds_back};
use crate::time::UnixMillis;

/// Most alerts that one message tells of; the number of the others is told.
const MOST_TOLD: usize = 50;

/// Most alerts that one message tells of.
pub const fn most_alerts() -> usize {
    MOST_TOLD
}

/// Which alerts go to whom, and how they are put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// Which alerts; all where there is no condition.
    pub matchers: Vec<Matcher>,
    /// To whom.
    pub receivers: Vec<String>,
    /// The labels that the alerts of a group have in common.
    pub group_by: Vec<String>,
    /// How long a new group waits for more to come, in milliseconds.
    pub wait_ms: i64,
    /// How long a group waits after a message before it tells of changes.
    pub interval_ms: i64,
    /// After how long without any change it is told again.
    pub repeat_ms: i64,
    /// Whether the routes after it are looked at as well.
    pub goes_on: bool,
}

/// An alert as a message tells of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// The rule's name.
    pub rule: String,
    /// With `alertname` and `severity`.
    pub labels: Labels,
    /// Since when it fires.
    pub fired_at: UnixMillis,
    /// When it was over.
    pub resolved_at: Option<UnixMillis>,
    /// The value when it was last bad.
    pub value: f64,
}

/// What a receiver is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// The group's key.
    pub group: String,
    /// What the alerts have in common.
    pub group_labels: Labels,
    /// Alerts that fire, at most [`most_alerts`].
    pub firing: Vec<Notice>,
    /// Alerts that are over.
    pub resolved: Vec<Notice>,
    /// How many more there are that are not told.
    pub more: usize,
    /// Whether somebody only wants to see whether the receiver works.
    pub is_test: bool,
}

/// Alerts that are told together to one receiver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// What tells it from others: receiver, route and labels.
    pub key: String,
    /// The receiver's name.
    pub receiver: String,
    /// The route's name.
    pub route: String,
    /// What the alerts have in common.
    pub labels: Labels,
    /// When it is to be looked at again.
    pub next_at: UnixMillis,
    /// When it was last told.
    pub sent_at: Option<UnixMillis>,
    /// Which alerts were told to fire, by their keys.
    pub sent: BTreeMap<String, Notice>,
}

/// What decides which groups there are, and what they are told.
#[derive(Debug, Clone, Copy)]
pub struct Routing<'a> {
    /// The routes.
    pub routes: &'a [Route],
    /// The receivers.
    pub receivers: &'a [Receiver],
    /// Silences.
    pub silences: &'a [Silence],
    /// Inhibitions.
    pub inhibitions: &'a [Inhibition],
}

/// What becomes of the groups.
#[derive(Debug, Default, PartialEq)]
pub struct Flush {
    /// Groups that are new or changed.
    pub changed: Vec<Group>,
    /// Keys of groups that are no more.
    pub gone: Vec<String>,
    /// What is to be told, to whom.
    pub tell: Vec<(String, Notification)>,
}

impl Notice {
    /// An alert that fires.
    pub fn of(alert: &Alert) -> Self {
        Self {
            rule: alert.rule.clone(),
            labels: alert.labels.clone(),
            fired_at: alert.fired_at.unwrap_or(alert.active_at),
            resolved_at: None,
            value: alert.value,
        }
    }
}

/// Puts alerts that fire into groups, and sees which of these are to be told something now. `resolved` are those that were
/// over in this very turn, with their last values.
pub fn flush(before: &[Group], firing: &[Alert], routing: Routing<'_>, now: UnixMillis) -> Flush {
    let mut out = Flush::default();
    let mut members: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    let mut groups: BTreeMap<String, Group> =
        before.iter().map(|group| (group.key.clone(), group.clone())).collect();
    for (index, alert) in firing.iter().enumerate() {
        for (route, receiver) in ways(alert, routing) {
            let own = |label: &String| Some((label.clone(), alert.labels.get(label)?.clone()));
            let labels: Labels = route.group_by.iter().filter_map(own).collect();
            let name = format!("{receiver}/{}:{{{}}}", route.name, key(&labels));
            members.entry(name.clone()).or_default().insert(index);
            groups.entry(name.clone()).or_insert_with(|| Group {
                key: name,
                receiver: receiver.to_owned(),
                route: route.name.clone(),
                labels,
                next_at: now.plus_millis(route.wait_ms),
                sent_at: None,
                sent: BTreeMap::new(),
            });
        }
    }
    for group in groups.into_values() {
        let empty = BTreeSet::new();
        let of_it: Vec<&Alert> =
            members.get(&group.key).unwrap_or(&empty).iter().filter_map(|index| firing.get(*index)).collect();
        out.one(group, &of_it, firing, routing, now);
    }
    out.changed.retain(|group| before.iter().all(|old| old != group));
    out
}

/// The routes that an alert takes, and where to.
fn ways<'a>(alert: &Alert, routing: Routing<'a>) -> Vec<(&'a Route, &'a str)> {
    let mut ways = Vec::new();
    for route in routing.routes {
        if route.matchers.iter().all(|matcher| matcher.fits(&alert.labels)) {
            ways.extend(route.receivers.iter().map(|receiver| (route, receiver.as_str())));
            if !route.goes_on {
                break;
            }
        }
    }
    ways
}

impl Flush {
    fn one(
        &mut self,
        mut group: Group,
        of_it: &[&Alert],
        firing: &[Alert],
        routing: Routing<'_>,
        now: UnixMillis,
    ) {
        let receiver = routing.receivers.iter().find(|receiver| receiver.name == group.receiver);
        let route = routing.routes.iter().find(|route| route.name == group.route);
        // What the configuration no longer has is told nothing.
        let (Some(receiver), Some(route)) = (receiver, route) else {
            return self.gone.push(group.key);
        };
        if group.next_at > now {
            return self.changed.push(group);
        }
        let held =
            |alert: &Alert| holds_back(alert, firing, routing.silences, routing.inhibitions, now).is_some();
        let told: BTreeMap<String, Notice> =
            of_it.iter().filter(|alert| !held(alert)).map(|alert| (alert.key(), Notice::of(alert))).collect();
        let fires: BTreeSet<String> = of_it.iter().map(|alert| alert.key()).collect();
        let is_silenced =
            |labels: &Labels| routing.silences.iter().any(|silence| silence.covers(labels, now));
        let over: Vec<(String, Notice)> = group
            .sent
            .iter()
            .filter(|(key, _)| !fires.contains(*key))
            .map(|(k, n)| (k.clone(), n.clone()))
            .collect();
        for (key, _) in &over {
            group.sent.remove(key);
        }
        let resolved: Vec<Notice> = over
            .into_iter()
            .filter(|(_, notice)| receiver.send_resolved && !is_silenced(&notice.labels))
            .map(|(_, notice)| Notice { resolved_at: Some(now), ..notice })
            .collect();
        let is_new = told.keys().any(|key| !group.sent.contains_key(key));
        let is_due = group.sent_at.is_none_or(|at| now.0.saturating_sub(at.0) >= route.repeat_ms);
        if is_new || !resolved.is_empty() || (is_due && !told.is_empty()) {
            self.tell.push((group.receiver.clone(), notification(&group, &told, resolved)));
            group.sent = told;
            group.sent_at = Some(now);
        }
        if of_it.is_empty() && group.sent.is_empty() {
            return self.gone.push(group.key);
        }
        group.next_at = now.plus_millis(route.interval_ms);
        self.changed.push(group);
    }
}

fn notification(group: &Group, told: &BTreeMap<String, Notice>, mut resolved: Vec<Notice>) -> Notification {
    let all = told.len() + resolved.len();
    let firing: Vec<Notice> = told.values().take(MOST_TOLD).cloned().collect();
    resolved.truncate(MOST_TOLD - firing.len());
    Notification {
        group: group.key.clone(),
        group_labels: group.labels.clone(),
        more: all - firing.len() - resolved.len(),
        firing,
        resolved,
        is_test: false,
    }
}
