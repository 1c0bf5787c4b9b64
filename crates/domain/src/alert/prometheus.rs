//! The rules as a rule file of Prometheus (<https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/>).

use std::fmt::Write as _;

use super::{DERIVED, Rule, SIGNAL_METRIC, Unit, unit_of};
use crate::settings::lint::Language;

/// Writes the rules as a rule file. Derived signals are read from the metric that shows them.
pub fn rule_file(rules: &[Rule], language: Language) -> String {
    let mut out = String::from(
        "# Written by `gatehouse alerts export`. Signals that Gatehouse derives are on /metrics of the node that evaluates.\n\
         groups:\n  - name: gatehouse-alerts\n    rules:\n",
    );
    for rule in rules {
        one(&mut out, rule, language);
    }
    if rules.is_empty() {
        out.push_str("      []\n");
    }
    out
}

fn one(out: &mut String, rule: &Rule, language: Language) {
    let expression = format!("{} {} {}", selector(rule), rule.compare.sign(), rule.threshold);
    let mut line = |text: String| {
        // A text has no way to fail.
        let _ = writeln!(out, "{text}");
    };
    line(format!("      - alert: {}", quoted(&rule.name)));
    line(format!("        expr: {}", quoted(&expression)));
    if rule.hold_ms > 0 {
        line(format!("        for: {}s", rule.hold_ms / 1000));
    }
    if rule.keep_ms > 0 {
        line(format!("        keep_firing_for: {}s", rule.keep_ms / 1000));
    }
    line(format!("        labels: {{severity: {}}}", rule.severity.as_str()));
    line("        annotations:".to_owned());
    line(format!("          summary: {}", quoted(&template(rule, rule.summary.of(language)))));
    line(format!("          action: {}", quoted(&template(rule, rule.action.of(language)))));
}

fn is_derived(rule: &Rule) -> bool {
    DERIVED.iter().any(|derived| derived.name == rule.signal)
}

fn selector(rule: &Rule) -> String {
    let is_derived = is_derived(rule);
    let mut conditions: Vec<String> = rule.only.iter().map(super::Matcher::selector).collect();
    if is_derived {
        conditions.insert(0, format!("signal=\"{}\"", rule.signal));
    }
    let metric = if is_derived { SIGNAL_METRIC } else { rule.signal.as_str() };
    if conditions.is_empty() { metric.to_owned() } else { format!("{metric}{{{}}}", conditions.join(",")) }
}

/// A text in the quotation marks of YAML, which reads those of JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A sentence with names in braces, as a template of Prometheus. Gauges of a node are told apart by `instance` there.
fn template(rule: &Rule, text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, tail)) = after.split_once('}') else {
            out.push_str("{{ \"{\" }}");
            rest = after;
            continue;
        };
        match name {
            "value" => out.push_str(match unit_of(&rule.signal) {
                Unit::Ratio => "{{ $value | humanizePercentage }}",
                Unit::Seconds => "{{ $value | humanizeDuration }}",
                Unit::Bytes => "{{ $value | humanize1024 }}B",
                Unit::Days | Unit::Count => "{{ $value }}",
            }),
            "node" if !is_derived(rule) => out.push_str("{{ $labels.instance }}"),
            name if name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !name.is_empty() => {
                let _ = write!(out, "{{{{ $labels.{name} }}}}");
            }
            name => {
                let _ = write!(out, "{{{{ \"{{\" }}}}{}}}", name.replace('{', ""));
            }
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}
