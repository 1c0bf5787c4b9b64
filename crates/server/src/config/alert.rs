//! `[alerts]`: rules, receivers, routes and inhibitions.

mod receiver;

use std::time::Duration;

use gatehouse_domain::alert::{
    Compare, DERIVED, Inhibition, MAX_MATCHERS, Matcher, NAME, Route, Rule, Severity, Texts,
    builtin_inhibitions, builtin_rules, is_rule_name,
};

pub(crate) use receiver::{Address, Channel, Encryption, HookKind, Mail, Receiver};

use super::identity::all;
use super::mistake::did_you_mean;
use super::read::{Section, brief};
use crate::metric;

/// What the configuration says of alerts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Alerts {
    /// Whether rules are evaluated.
    pub(crate) enabled: bool,
    /// How often.
    pub(crate) every: Duration,
    /// How long what happened is kept.
    pub(crate) keep: Duration,
    /// How long a message is tried again.
    pub(crate) give_up: Duration,
    /// Most messages that wait for one receiver.
    pub(crate) queue: u32,
    /// The rules in force: those from the beginning, changed and completed.
    pub(crate) rules: Vec<Rule>,
    /// Whom alerts are told to.
    pub(crate) receivers: Vec<Receiver>,
    /// Which alerts go to whom.
    pub(crate) routes: Vec<Route>,
    /// Which alerts make others needless.
    pub(crate) inhibitions: Vec<Inhibition>,
}

const DAY: u64 = 86_400;
/// Most rules, receivers, routes and inhibitions, each.
const MOST: usize = 500;

/// A rule as it is written: what is not given stays as it was from the beginning.
struct Written {
    name: String,
    signal: Option<String>,
    compare: Option<Compare>,
    threshold: Option<f64>,
    hold_ms: Option<i64>,
    keep_ms: Option<i64>,
    severity: Option<Severity>,
    only: Vec<Matcher>,
    summary: Option<String>,
    action: Option<String>,
}

/// An inhibition with its name, which tells mistakes apart.
struct Named {
    name: String,
    inhibition: Inhibition,
}

/// Reads `[alerts]`.
pub(crate) fn alerts(s: &Section<'_, '_>) -> Alerts {
    let times = Times {
        wait: millis(s, "group_wait_seconds", 0..=3600),
        interval: millis(s, "group_interval_seconds", 1..=DAY),
        repeat: millis(s, "repeat_seconds", 60..=30 * DAY),
    };
    let receivers = all(s, "receiver", receiver::receiver, |one| &one.name);
    let mut routes = all(s, "route", |section| route(section, times), |one| &one.name);
    for route in &routes {
        for name in &route.receivers {
            if !receivers.iter().any(|receiver| &receiver.name == name) {
                let told = format!(
                    "the route `{}` names the receiver `{}`, which there is not",
                    route.name,
                    brief(name)
                );
                s.mistake("route", told);
            }
        }
    }
    if routes.is_empty() {
        routes.push(Route {
            name: "all".to_owned(),
            matchers: Vec::new(),
            receivers: receivers.iter().map(|receiver| receiver.name.clone()).collect(),
            group_by: vec![NAME.to_owned()],
            wait_ms: times.wait,
            interval_ms: times.interval,
            repeat_ms: times.repeat,
            goes_on: false,
        });
    }
    let written = all(s, "rule", rule, |one| &one.name);
    let own = all(s, "inhibition", inhibition, |one| &one.name);
    for (key, count) in [
        ("receiver", receivers.len()),
        ("route", routes.len()),
        ("rule", written.len()),
        ("inhibition", own.len()),
    ] {
        if count > MOST {
            s.mistake(key, format!("there are {count}; expected at most {MOST}"));
        }
    }
    let mut inhibitions = builtin_inhibitions();
    inhibitions.extend(own.into_iter().map(|one| one.inhibition));
    Alerts {
        enabled: s.boolean("enabled"),
        every: s.seconds("evaluate_seconds", 1..=300),
        keep: Duration::from_secs(s.whole("keep_days", 1..=3660) * DAY),
        give_up: s.seconds("give_up_seconds", 60..=7 * DAY),
        queue: u32::try_from(s.whole("queue", 10..=10_000)).unwrap_or(u32::MAX),
        rules: rules(s, written),
        receivers,
        routes,
        inhibitions,
    }
}

/// How groups are timed where a route says nothing, in milliseconds.
#[derive(Clone, Copy)]
struct Times {
    wait: i64,
    interval: i64,
    repeat: i64,
}

fn millis(s: &Section<'_, '_>, key: &'static str, range: std::ops::RangeInclusive<u64>) -> i64 {
    i64::try_from(s.whole(key, range)).unwrap_or(i64::MAX / 1000) * 1000
}

fn millis_or(
    s: &Section<'_, '_>,
    key: &'static str,
    range: std::ops::RangeInclusive<u64>,
    unset: i64,
) -> i64 {
    if s.node(key).is_none() { unset } else { millis(s, key, range) }
}

fn rules(s: &Section<'_, '_>, written: Vec<Written>) -> Vec<Rule> {
    let mut rules = builtin_rules();
    for one in written {
        match rules.iter_mut().find(|rule| rule.name == one.name) {
            Some(rule) => change(rule, one),
            None => rules.extend(whole(s, one)),
        }
    }
    for name in s.texts("off") {
        let before = rules.len();
        rules.retain(|rule| rule.name != name);
        if rules.len() == before {
            let hint = did_you_mean(name, rules.iter().map(|rule| rule.name.as_str()));
            let hint = hint.map_or_else(String::new, |meant| format!(" (did you mean `{meant}`?)"));
            s.mistake("off", format!("there is no rule `{}`{hint}", brief(name)));
        }
    }
    rules
}

fn change(rule: &mut Rule, written: Written) {
    if let Some(signal) = written.signal {
        rule.signal = signal;
    }
    rule.compare = written.compare.unwrap_or(rule.compare);
    rule.threshold = written.threshold.unwrap_or(rule.threshold);
    rule.hold_ms = written.hold_ms.unwrap_or(rule.hold_ms);
    rule.keep_ms = written.keep_ms.unwrap_or(rule.keep_ms);
    rule.severity = written.severity.unwrap_or(rule.severity);
    if !written.only.is_empty() {
        rule.only = written.only;
    }
    if let Some(text) = written.summary {
        rule.summary = Texts::same(&text);
    }
    if let Some(text) = written.action {
        rule.action = Texts::same(&text);
    }
}

/// A rule that is not there from the beginning: it must say what it looks at.
fn whole(s: &Section<'_, '_>, written: Written) -> Option<Rule> {
    let (Some(signal), Some(compare), Some(threshold)) = (written.signal, written.compare, written.threshold)
    else {
        let told = format!(
            "`{}` is not there from the beginning; a new rule needs `signal`, `compare` and `threshold`",
            written.name
        );
        s.mistake("rule", told);
        return None;
    };
    let summary = written.summary.unwrap_or_else(|| format!("{signal} is {{value}}"));
    Some(Rule {
        summary: Texts::same(&summary),
        action: Texts::same(&written.action.unwrap_or_default()),
        name: written.name,
        signal,
        compare,
        threshold,
        hold_ms: written.hold_ms.unwrap_or(0),
        keep_ms: written.keep_ms.unwrap_or(0),
        severity: written.severity.unwrap_or(Severity::Warning),
        only: written.only,
    })
}

fn name(text: &str) -> Result<String, String> {
    if is_rule_name(text) {
        return Ok(text.to_owned());
    }
    Err(format!("expected 1 to 64 of a-z, 0-9, `-` and `_`, found `{}`", brief(text)))
}

fn signal(text: &str) -> Result<String, String> {
    let known = || DERIVED.iter().map(|derived| derived.name).chain(metric::gauges());
    if known().any(|name| name == text) {
        return Ok(text.to_owned());
    }
    let hint = did_you_mean(text, known());
    let hint = hint.map_or_else(String::new, |meant| format!(" (did you mean `{meant}`?)"));
    Err(format!("`{}` is neither a signal nor a gauge of /metrics{hint}", brief(text)))
}

fn sentence(s: &Section<'_, '_>, key: &'static str) -> Option<String> {
    let text = s.text(key)?;
    if text.len() > 500 || text.chars().any(char::is_control) {
        s.mistake(key, "expected at most 500 bytes on one line");
    }
    Some(text.to_owned())
}

fn rule(s: &Section<'_, '_>) -> Option<Written> {
    let compares = [("above", Compare::Above), ("below", Compare::Below)];
    let severities = Severity::ALL.map(|severity| (severity.as_str(), severity));
    let name = s.parsed("name", name);
    let threshold = s.decimal("threshold", 6, 1_000_000_000_000);
    let times = |key| s.node(key).map(|_| millis(s, key, 0..=7 * DAY));
    let written = Written {
        name: String::new(),
        signal: s.text("signal").and_then(|_| s.parsed("signal", signal)),
        compare: s.text("compare").map(|_| s.choice("compare", &compares)),
        #[expect(clippy::cast_precision_loss, reason = "thresholds are small numbers with few digits")]
        threshold: threshold.map(|millionths| millionths as f64 / 1e6),
        hold_ms: times("for_seconds"),
        keep_ms: times("keep_firing_seconds"),
        severity: s.text("severity").map(|_| s.choice("severity", &severities)),
        only: matchers(s, "only"),
        summary: sentence(s, "summary"),
        action: sentence(s, "action"),
    };
    Some(Written { name: name?, ..written })
}

fn matchers(s: &Section<'_, '_>, key: &'static str) -> Vec<Matcher> {
    let texts = s.texts(key);
    if texts.len() > MAX_MATCHERS {
        s.mistake(key, format!("expected at most {MAX_MATCHERS} conditions"));
    }
    let read = |text: &str| text.parse::<Matcher>().map_err(|error| s.mistake(key, error.to_string())).ok();
    texts.into_iter().filter_map(read).collect()
}

fn owned(texts: Vec<&str>) -> Vec<String> {
    texts.into_iter().map(str::to_owned).collect()
}

fn route(s: &Section<'_, '_>, times: Times) -> Option<Route> {
    let name = s.parsed("name", name);
    let receivers = owned(s.texts("receivers"));
    if receivers.is_empty() {
        s.mistake("receivers", "it is required: the names of receivers");
    }
    let group_by = match s.node("group_by") {
        None => vec![NAME.to_owned()],
        Some(_) => owned(s.texts("group_by")),
    };
    let route = Route {
        name: String::new(),
        matchers: matchers(s, "matchers"),
        receivers,
        group_by,
        wait_ms: millis_or(s, "group_wait_seconds", 0..=3600, times.wait),
        interval_ms: millis_or(s, "group_interval_seconds", 1..=DAY, times.interval),
        repeat_ms: millis_or(s, "repeat_seconds", 60..=30 * DAY, times.repeat),
        goes_on: s.boolean_or("goes_on", false),
    };
    Some(Route { name: name?, ..route })
}

fn inhibition(s: &Section<'_, '_>) -> Option<Named> {
    let name = s.parsed("name", name);
    let (source, target) = (matchers(s, "source"), matchers(s, "target"));
    for (key, list) in [("source", &source), ("target", &target)] {
        if list.is_empty() {
            s.mistake(key, "it is required: at least one condition");
        }
    }
    let inhibition = Inhibition { source, target, equal: owned(s.texts("equal")) };
    Some(Named { name: name?, inhibition })
}
