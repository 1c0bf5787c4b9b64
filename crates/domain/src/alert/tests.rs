//! Rules, silences and groups, at times that the tests choose.

use proptest::prelude::*;

use super::*;
use crate::id::SilenceId;
use crate::settings::lint::Language;
use crate::time::UnixMillis;

const MINUTE: i64 = 60_000;

fn at(minutes: i64) -> UnixMillis {
    UnixMillis(1_800_000_000_000 + minutes * MINUTE)
}

fn rule(hold_minutes: i64, keep_minutes: i64) -> Rule {
    Rule {
        name: "errors".to_owned(),
        signal: "error_ratio".to_owned(),
        compare: Compare::Above,
        threshold: 0.05,
        hold_ms: hold_minutes * MINUTE,
        keep_ms: keep_minutes * MINUTE,
        severity: Severity::Critical,
        only: Vec::new(),
        summary: Texts::same("{value} at {team} {nobody} fail"),
        action: Texts::same("look"),
    }
}

fn seen(values: &[(&str, f64)]) -> Seen {
    let samples = values.iter().map(|(team, value)| Sample::new("error_ratio", &[("team", team)], *value));
    Seen { samples: samples.collect(), unknown: std::collections::BTreeSet::new() }
}

/// Evaluates a rule each minute, and gives what fired and what was resolved, with the minutes.
fn played(rule: &Rule, values: &[Option<f64>]) -> Vec<(i64, &'static str)> {
    let (mut alerts, mut out) = (Vec::new(), Vec::new());
    for (minute, value) in (0..).zip(values) {
        let mut seen = value.map_or_else(Seen::default, |value| seen(&[("core", value)]));
        if value.is_some_and(f64::is_infinite) {
            seen = Seen { samples: Vec::new(), unknown: ["error_ratio".to_owned()].into() };
        }
        let round = evaluate(std::slice::from_ref(rule), &seen, alerts, at(minute));
        out.extend(round.fired.iter().map(|_| (minute, "fired")));
        out.extend(round.resolved.iter().map(|_| (minute, "resolved")));
        alerts = round.now;
    }
    out
}

const BAD: Option<f64> = Some(0.1);
const GOOD: Option<f64> = Some(0.01);
const GONE: Option<f64> = None;
/// The signal cannot be looked at.
const DARK: Option<f64> = Some(f64::INFINITY);
const NAN: Option<f64> = Some(f64::NAN);

#[test]
fn a_rule_fires_when_it_was_bad_for_long_enough_and_a_flapping_one_never() {
    let hold = rule(2, 0);
    assert_eq!(played(&hold, &[BAD, BAD, BAD, BAD, GOOD]), [(2, "fired"), (4, "resolved")]);
    assert_eq!(played(&hold, &[BAD, BAD, GOOD, BAD, BAD, GOOD, BAD, GONE, BAD, BAD, NAN, BAD]), []);
    assert_eq!(
        played(&rule(0, 0), &[GOOD, BAD, BAD, GONE, BAD]),
        [(1, "fired"), (3, "resolved"), (4, "fired")]
    );
}

#[test]
fn keep_firing_bridges_gaps_and_what_cannot_be_seen_changes_nothing() {
    let kept = rule(0, 3);
    assert_eq!(played(&kept, &[BAD, GOOD, GOOD, BAD, GOOD, GOOD, GOOD]), [(0, "fired"), (6, "resolved")]);
    assert_eq!(
        played(&rule(2, 0), &[BAD, DARK, BAD, DARK, DARK, BAD, GOOD]),
        [(2, "fired"), (6, "resolved")]
    );
}

#[test]
fn a_rule_that_is_no_more_resolves_and_a_changed_severity_is_another_alert() {
    let first = evaluate(&[rule(0, 0)], &seen(&[("core", 1.0)]), Vec::new(), at(0));
    let gone = evaluate(&[], &seen(&[("core", 1.0)]), first.now.clone(), at(1));
    assert_eq!((gone.now.len(), gone.resolved.len()), (0, 1));
    let milder = Rule { severity: Severity::Warning, ..rule(0, 0) };
    let both = evaluate(&[milder], &seen(&[("core", 1.0)]), first.now, at(1));
    assert_eq!((both.fired.len(), both.resolved.len()), (1, 1));
}

#[test]
fn there_are_never_more_alerts_than_there_is_room_for() {
    let samples: Vec<Sample> =
        (0..MAX_ALERTS + 5).map(|n| Sample::new("error_ratio", &[("team", &n.to_string())], 1.0)).collect();
    let seen = Seen { samples, ..Seen::default() };
    let round = evaluate(&[rule(0, 0)], &seen, Vec::new(), at(0));
    assert_eq!((round.now.len(), round.left_out), (MAX_ALERTS, 5));
    let again = evaluate(&[rule(0, 0)], &seen, round.now, at(1));
    assert_eq!((again.now.len(), again.fired.len(), again.left_out), (MAX_ALERTS, 0, 5));
}

#[test]
fn sentences_are_filled_in_and_unknown_names_stand() {
    let labels = Sample::new("", &[("team", "{value}")], 0.0).labels;
    let (summary, _) = rule(0, 0).told(Language::English, &labels, 0.125);
    assert_eq!(summary, "12.5 % at {value} {nobody} fail");
}

#[test]
fn conditions_are_read_strictly_and_back() {
    let labels = Sample::new("", &[("node", "node_01X"), ("severity", "critical")], 0.0).labels;
    for (text, fits) in [
        ("severity=critical", true),
        ("severity!=critical", false),
        ("node=node_01*", true),
        ("node!=node_02*", true),
        ("absent=", true),
        ("absent!=", false),
        ("node=node_01", false),
    ] {
        let matcher: Matcher = text.parse().unwrap();
        assert_eq!(matcher.fits(&labels), fits, "{text}");
        assert_eq!(matcher.to_string(), text);
    }
    for bad in ["", "severity", "=x", "a b=x", "1a=x", "a=\n", &format!("a={}", "x".repeat(300))] {
        assert!(bad.parse::<Matcher>().is_err(), "{bad:?}");
    }
}

/// Alerts, routes and what keeps them back, over time.
struct Desk {
    groups: Vec<Group>,
    routes: Vec<Route>,
    receivers: Vec<Receiver>,
    silences: Vec<Silence>,
    inhibitions: Vec<Inhibition>,
}

impl Desk {
    fn new() -> Self {
        let receiver = |name: &str, send_resolved| Receiver {
            name: name.to_owned(),
            kind: "webhook",
            send_resolved,
            per_minute: 0,
        };
        Self {
            groups: Vec::new(),
            routes: vec![Route {
                name: "all".to_owned(),
                matchers: Vec::new(),
                receivers: vec!["ops".to_owned()],
                group_by: vec![NAME.to_owned()],
                wait_ms: MINUTE,
                interval_ms: 5 * MINUTE,
                repeat_ms: 240 * MINUTE,
                goes_on: false,
            }],
            receivers: vec![receiver("ops", true), receiver("quiet", false)],
            silences: Vec::new(),
            inhibitions: Vec::new(),
        }
    }

    /// One turn; what is told, as `receiver: firing/resolved`.
    fn turn(&mut self, minute: i64, firing: &[Alert]) -> Vec<String> {
        let routing = Routing {
            routes: &self.routes,
            receivers: &self.receivers,
            silences: &self.silences,
            inhibitions: &self.inhibitions,
        };
        let flush = flush(&self.groups, firing, routing, at(minute));
        self.groups.retain(|old| {
            !flush.gone.contains(&old.key) && flush.changed.iter().all(|group| group.key != old.key)
        });
        self.groups.extend(flush.changed);
        let told = |(receiver, told): &(String, Notification)| {
            format!("{receiver}: {}/{}", told.firing.len(), told.resolved.len())
        };
        flush.tell.iter().map(told).collect()
    }
}

fn alert(name: &str, labels: &[(&str, &str)]) -> Alert {
    let rule = Rule { name: name.to_owned(), ..rule(0, 0) };
    let sample = Sample { signal: "error_ratio".to_owned(), ..Sample::new("error_ratio", labels, 1.0) };
    let seen = Seen { samples: vec![sample], ..Seen::default() };
    evaluate(&[rule], &seen, Vec::new(), at(0)).now.remove(0)
}

#[test]
fn a_group_waits_tells_once_and_repeats_after_hours() {
    let mut desk = Desk::new();
    let (one, two) = (alert("a", &[("team", "x")]), alert("a", &[("team", "y")]));
    assert!(desk.turn(0, std::slice::from_ref(&one)).is_empty(), "the group waits");
    let both = [one.clone(), two];
    assert_eq!(desk.turn(1, &both), ["ops: 2/0"]);
    assert!(desk.turn(2, &both).is_empty() && desk.turn(6, &both).is_empty(), "nothing is new");
    assert!(desk.turn(200, &both).is_empty());
    assert_eq!(desk.turn(300, &both), ["ops: 2/0"]);
    assert!(desk.turn(302, std::slice::from_ref(&one)).is_empty(), "changes wait for the interval");
    assert_eq!(desk.turn(305, &[one]), ["ops: 1/1"]);
    assert_eq!(desk.turn(310, &[]), ["ops: 0/1"]);
    assert!(desk.groups.is_empty() && desk.turn(320, &[]).is_empty());
}

#[test]
fn what_is_over_before_its_group_was_told_is_never_told() {
    let mut desk = Desk::new();
    desk.turn(0, &[alert("a", &[])]);
    assert!(desk.turn(1, &[]).is_empty());
    assert!(desk.groups.is_empty());
}

#[test]
fn routes_are_looked_at_in_order_and_some_receivers_hear_only_of_trouble() {
    let mut desk = Desk::new();
    let mut first = desk.routes[0].clone();
    first.name = "budgets".to_owned();
    first.matchers = vec!["alertname=budget*".parse().unwrap()];
    first.receivers = vec!["quiet".to_owned()];
    desk.routes.insert(0, first.clone());
    let alerts = [alert("budget-spent", &[]), alert("a", &[])];
    desk.turn(0, &alerts);
    assert_eq!(desk.turn(1, &alerts), ["ops: 1/0", "quiet: 1/0"]);
    assert_eq!(desk.turn(6, &[]), ["ops: 0/1"]);
    desk.routes[0].goes_on = true;
    desk.turn(10, &alerts[..1]);
    assert_eq!(desk.turn(11, &alerts[..1]), ["ops: 1/0", "quiet: 1/0"]);
    // A receiver that is no more ends its groups.
    desk.receivers.retain(|receiver| receiver.name != "quiet");
    desk.turn(20, &alerts[..1]);
    assert!(desk.groups.iter().all(|group| group.receiver == "ops"));
}

fn silence(matchers: &[&str], from: i64, until: i64) -> Silence {
    Silence {
        id: SilenceId::from_bits(1),
        matchers: parse_all(matchers).unwrap(),
        author: "ada".to_owned(),
        reason: "known".to_owned(),
        created_at: at(from),
        starts_at: at(from),
        ends_at: at(until),
    }
}

#[test]
fn a_silenced_alert_is_told_when_the_silence_ends_and_not_before() {
    let mut desk = Desk::new();
    let one = [alert("a", &[("team", "x")])];
    desk.silences.push(silence(&["team=x"], 0, 20));
    for minute in 0..20 {
        assert!(desk.turn(minute, &one).is_empty(), "{minute}");
    }
    let told: Vec<String> = (20..30).flat_map(|minute| desk.turn(minute, &one)).collect();
    assert_eq!(told, ["ops: 1/0"]);
    // One that is over while it is silenced is not told to be over.
    desk.silences.push(silence(&["team=x"], 30, 60));
    let told: Vec<String> = (30..70).flat_map(|minute| desk.turn(minute, &[])).collect();
    assert!(told.is_empty() && desk.groups.is_empty(), "{told:?}");
}

#[test]
fn an_alert_is_held_back_by_another_with_equal_labels_only() {
    let mut desk = Desk::new();
    desk.inhibitions = builtin_inhibitions();
    let near = |budget| alert("budget-near", &[("budget", budget)]);
    let spent = alert("budget-spent", &[("budget", "b1")]);
    let alerts = [near("b1"), near("b2"), spent];
    desk.turn(0, &alerts);
    assert_eq!(desk.turn(1, &alerts), ["ops: 1/0", "ops: 1/0"]);
    // Alerts that could hold each other back hold back none.
    let all = Inhibition { source: Vec::new(), target: Vec::new(), equal: Vec::new() };
    assert_eq!(holds_back(&alerts[0], &alerts, &[], &[all], at(0)), None);
    assert_eq!(holds_back(&alerts[0], &alerts, &[], &desk.inhibitions, at(0)), Some("inhibited"));
}

#[test]
fn the_rules_from_the_beginning_are_sound() {
    let rules = builtin_rules();
    for (index, rule) in rules.iter().enumerate() {
        assert!(is_rule_name(&rule.name), "{}", rule.name);
        assert!(rules[..index].iter().all(|other| other.name != rule.name), "{} is there twice", rule.name);
        let derived = DERIVED.iter().find(|derived| derived.name == rule.signal);
        assert!(derived.is_some() || rule.signal.starts_with("gatehouse_"), "{}", rule.signal);
        for text in rule.summary.0.iter().chain(&rule.action.0) {
            assert!(!text.is_empty());
            for name in text.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
                let known = derived.map_or(&["node", "provider"][..], |derived| derived.labels);
                assert!(name == "value" || known.contains(&name), "{}: {text}", rule.name);
            }
        }
    }
    for inhibition in builtin_inhibitions() {
        for matcher in inhibition.source.iter().chain(&inhibition.target) {
            let text = matcher.to_string();
            assert!(rules.iter().any(|rule| text == format!("{NAME}={}", rule.name)), "{text}");
        }
    }
}

/// `promtool check rules` reads the file where scripts/test runs. To write it anew: `gatehouse alerts export`.
#[test]
fn the_checked_in_rule_file_is_the_export_of_the_rules_from_the_beginning() {
    let kept = include_str!("../../../../deploy/prometheus/alerts.rules.yml");
    assert_eq!(kept, rule_file(&builtin_rules(), Language::English));
}

#[test]
fn the_rule_file_escapes_what_prometheus_would_read() {
    let odd = Rule {
        only: parse_all(&["team!=a\"b\\c", "node=n.1*"]).unwrap(),
        summary: Texts::same("\"{value}\" of {team} {not a name} {"),
        ..rule(5, 1)
    };
    let text = rule_file(&[odd], Language::English);
    for line in [
        r#"        expr: "gatehouse_alert_signal{signal=\"error_ratio\",team!=\"a\\\"b\\\\c\",node=~\"n\\\\.1.*\"} > 0.05""#,
        "        for: 300s",
        "        keep_firing_for: 60s",
        "        labels: {severity: critical}",
        r#"          summary: "\"{{ $value | humanizePercentage }}\" of {{ $labels.team }} {{ \"{\" }}not a name} {{ \"{\" }}""#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

proptest! {
    /// Whatever comes and goes: what is told to fire is told to be over once it is, never twice in a row, and restarts (state
    /// that was written down and read again) change nothing.
    #[test]
    fn what_is_told_to_fire_is_told_to_be_over(steps in proptest::collection::vec((any::<bool>(), any::<bool>()), 1..60)) {
        let mut desk = Desk::new();
        desk.routes[0].repeat_ms = 100_000 * MINUTE;
        let (a, b) = (alert("a", &[("team", "x")]), alert("a", &[("team", "y")]));
        let mut believed = std::collections::BTreeSet::new();
        let quiet = std::iter::repeat_n((false, false), 12);
        for (minute, (has_a, has_b)) in (0..).zip(steps.into_iter().chain(quiet)) {
            let firing: Vec<Alert> =
                [(has_a, &a), (has_b, &b)].into_iter().filter(|(has, _)| *has).map(|(_, alert)| alert.clone()).collect();
            let routing = Routing { routes: &desk.routes, receivers: &desk.receivers, silences: &[], inhibitions: &[] };
            let written = serde_json::to_string(&desk.groups).unwrap();
            let before: Vec<Group> = serde_json::from_str(&written).unwrap();
            let flush = flush(&before, &firing, routing, at(minute));
            for (_, told) in &flush.tell {
                for notice in &told.resolved {
                    prop_assert!(believed.remove(&state::key(&notice.labels)));
                }
                for notice in &told.firing {
                    believed.insert(state::key(&notice.labels));
                }
            }
            desk.groups.retain(|old| !flush.gone.contains(&old.key) && flush.changed.iter().all(|group| group.key != old.key));
            desk.groups.extend(flush.changed);
        }
        prop_assert!(believed.is_empty());
        prop_assert!(desk.groups.is_empty());
    }
}
