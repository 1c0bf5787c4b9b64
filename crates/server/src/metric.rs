//! Figures for `/metrics`, in Prometheus's text format.

use std::time::Duration;

use gatehouse_domain::alert::{Labels, Sample};
use metrics::{describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Upper ends of histogram buckets in seconds: from a tenth of a millisecond (our own overhead) to ten minutes (a long
/// stream).
const BUCKETS: [f64; 17] = [
    0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0,
];

/// How often collected samples are folded into their buckets; in between they take memory.
pub(crate) const UPKEEP: Duration = Duration::from_secs(5);

/// What each figure is, for who reads `/metrics`.
const COUNTERS: &[(&str, &str)] = &[
    ("gatehouse_exchanges_total", "Finished exchanges by kind of request and how they ended"),
    ("gatehouse_tokens_total", "Tokens that providers report, by type"),
    ("gatehouse_cost_nanodollars_total", "Cost by the price table, in billionths of a dollar"),
    ("gatehouse_estimated_exchanges_total", "Exchanges whose usage is estimated, since they broke off"),
    (
        "gatehouse_unknown_price_exchanges_total",
        "Exchanges with a model that has no price, billed at the default",
    ),
    ("gatehouse_request_bytes_total", "Bytes of request bodies"),
    ("gatehouse_reply_bytes_total", "Bytes of replies"),
    (
        "gatehouse_data_findings_total",
        "What data protection found in texts not seen before, by detector and action",
    ),
    ("gatehouse_data_scanned_bytes_total", "Bytes of texts of requests that data protection looked at"),
    ("gatehouse_data_known_bytes_total", "Bytes of texts that data protection had seen before"),
    ("gatehouse_journal_flushes_total", "Flushes of the journal to disk"),
    ("gatehouse_attempts_total", "Attempts at providers, by provider and what came of them"),
    (
        "gatehouse_cache_read_alarms_total",
        "Times that much less was read from providers' caches than usual, by route",
    ),
    (
        "gatehouse_provider_learned_total",
        "Times that a provider was found not to know something, by provider",
    ),
    ("gatehouse_provider_left_out_total", "Requests from which something was left out for that, by provider"),
    (
        "gatehouse_queue_refused_total",
        "Requests that could not have a turn of a provider's quota in time, by provider and why",
    ),
    (
        "gatehouse_retry_budget_exhausted_total",
        "Requests that were not tried at another provider, to keep from a storm",
    ),
    (
        "gatehouse_session_switches_total",
        "Sessions that went on at another provider, without what the first one had cached",
    ),
    (
        "gatehouse_listener_turned_away_total",
        "Connections that were not taken in, by listener and why: no agreement on TLS, no preamble",
    ),
    ("gatehouse_proxy_requests_total", "Requests to the forward proxy, by form and verdict"),
    (
        "gatehouse_telemetry_export_dropped_total",
        "Spans, metrics and log records of ours that the collector did not get, by signal and why",
    ),
    ("gatehouse_telemetry_export_failures_total", "Requests to our collector that failed, by signal"),
    (
        "gatehouse_telemetry_export_sent_total",
        "Spans, metrics and log records of ours that it took, by signal",
    ),
    ("gatehouse_records_deleted_total", "Records of exchanges deleted because of their age"),
    ("gatehouse_proxy_ended_total", "Ends of tunnels and forwarded requests, by why"),
    ("gatehouse_proxy_bytes_total", "Bytes through the forward proxy, by direction"),
    ("gatehouse_proxy_connections_shed_total", "Connections that the forward proxy had no room for"),
    (
        "gatehouse_proxy_records_lost_total",
        "Refusals of the forward proxy that were counted only, for want of room",
    ),
    (
        "gatehouse_proxy_strangers_unrecorded_total",
        "Strangers that the forward proxy refused beyond what it writes down",
    ),
    (
        "gatehouse_telemetry_requests_total",
        "Reports of clients by OpenTelemetry, by signal and what became of them",
    ),
    ("gatehouse_telemetry_left_out_total", "Figures and events of clients that are not kept"),
    ("gatehouse_log_forward_lines_total", "Lines of the log that a destination was given"),
    ("gatehouse_log_forward_failures_total", "Times that a destination did not take the log"),
    ("gatehouse_telemetry_relay_sent_total", "Reports passed on to collectors"),
    (
        "gatehouse_telemetry_relay_dropped_total",
        "Reports that found no room, or that a collector refused for too long",
    ),
    ("gatehouse_alert_messages_total", "Messages about alerts, by receiver and what became of them"),
    ("gatehouse_journal_shed_total", "Records of refused requests that were counted only, for want of room"),
];
const HISTOGRAMS: &[(&str, &str)] = &[
    ("gatehouse_exchange_duration_seconds", "From a request's head to its reply's last byte"),
    ("gatehouse_first_byte_seconds", "From a request's head to its reply's first byte"),
    ("gatehouse_overhead_seconds", "What Gatehouse itself takes of a request, the provider's time left out"),
    ("gatehouse_queue_wait_seconds", "How long requests waited for a provider's quota, by provider"),
];
const GAUGES: &[(&str, &str)] = &[
    ("gatehouse_requests_in_flight", "Requests under way"),
    ("gatehouse_client_connections", "Open connections of clients"),
    ("gatehouse_request_body_bytes_held", "Bytes of request bodies held in memory"),
    ("gatehouse_journal_open_exchanges", "Exchanges under way that the journal knows of"),
    ("gatehouse_journal_refusing", "1 while requests are refused because they cannot be recorded"),
    ("gatehouse_journal_room_bytes", "Bytes that the journal may still grow by"),
    ("gatehouse_journal_unsaved_bytes", "Bytes of the journal that are not on the disk yet"),
    ("gatehouse_ledger_failing", "1 while the database does not take records"),
    ("gatehouse_ledger_lag_bytes", "Bytes of the journal that are not in the database yet"),
    ("gatehouse_ledger_lag_entries", "Entries of the journal that are not in the database yet"),
    ("gatehouse_ledger_lag_seconds", "Seconds since everything durable was in the database"),
    ("gatehouse_policy_age_seconds", "Seconds since this node last knew that its policy is the newest"),
    ("gatehouse_policy_keys", "Keys in the policy"),
    ("gatehouse_policy_sessions", "Sessions in the policy"),
    ("gatehouse_policy_version", "Version of the policy that this node decides by"),
    ("gatehouse_cache_read_alarm", "1 while much less is read from providers' caches than usual, by route"),
    (
        "gatehouse_cache_read_ratio",
        "Share of input read from providers' caches in the last 10 to 15 minutes, by route",
    ),
    (
        "gatehouse_cache_read_usual_ratio",
        "Share of input read from providers' caches in the day before, by route",
    ),
    (
        "gatehouse_provider_learned",
        "What a provider has been found not to know, so that it is left out, by provider",
    ),
    (
        "gatehouse_provider_usable",
        "1 while a provider may be asked: reachable, and not left alone after failures",
    ),
    (
        "gatehouse_provider_limit",
        "A limit that a provider has told of, by provider and measure: that of the model with the least left",
    ),
    ("gatehouse_provider_remaining", "What is left of that limit, as far as is known"),
    ("gatehouse_queue_waiting", "Requests that wait for a provider's quota, by provider"),
    ("gatehouse_provider_report_failing", "1 while a provider's own reports cannot be fetched"),
    ("gatehouse_provider_report_timestamp_seconds", "When a provider's own reports were last fetched"),
    ("gatehouse_client_analytics_failing", "1 while a provider's client analytics cannot be fetched"),
    ("gatehouse_client_analytics_timestamp_seconds", "When a provider's client analytics were last fetched"),
    ("gatehouse_egress_parent_up", "1 while a parent proxy works, as far as is known"),
    (
        "gatehouse_certificate_ends_at_seconds",
        "When the certificate of a listener ends, in seconds since 1970 (UTC)",
    ),
    ("gatehouse_proxy_tunnels", "Open tunnels of the forward proxy"),
    ("gatehouse_audit_altered", "1 while the audit log is not what it was"),
    ("gatehouse_directory_alarm", "1 while a directory's last reading was not taken over, by directory"),
    ("gatehouse_directory_last_run", "1 for how the last reading of a directory ended"),
    ("gatehouse_directory_last_run_timestamp_seconds", "When a directory was last read"),
    ("gatehouse_backup_failing", "1 while a backup is due and cannot be made"),
    ("gatehouse_backup_newest_timestamp_seconds", "When this node made its newest backup"),
    (
        "gatehouse_user_adoption_ratio",
        "People with a successful request in the window, of all enabled people",
    ),
    ("gatehouse_requests_per_active_user", "Requests of an active person in the window"),
    ("gatehouse_user_error_ratio", "Failed requests of all requests in the window, as users saw them"),
    ("gatehouse_response_time_seconds", "Mean time to the end of a request in the window"),
    ("gatehouse_cost_per_active_user_usd", "Dollars of an active person in the window"),
    ("gatehouse_edit_accept_ratio", "Edits accepted of all decided on in the window, as clients say"),
    ("gatehouse_satisfaction_score", "Mean score from 1 to 5 in the window; none of fewer than five answers"),
    (
        "gatehouse_mode_user_adoption_ratio",
        "People with a successful request in the window, of those whose clients are meant to go this way, by mode",
    ),
    ("gatehouse_mode_requests_per_active_user", "Requests of an active person in the window, by mode"),
    ("gatehouse_mode_user_error_ratio", "Failed requests of all requests in the window, by mode"),
    ("gatehouse_mode_response_time_seconds", "Mean time to the end of a request in the window, by mode"),
    ("gatehouse_mode_cost_per_active_user_usd", "Dollars of an active person in the window, by mode"),
    ("gatehouse_mode_edit_accept_ratio", "Edits accepted of all decided on in the window, by mode"),
    ("gatehouse_mode_satisfaction_score", "Mean score from 1 to 5 in the window, by mode"),
    ("gatehouse_rollouts", "Rollouts by state"),
    ("gatehouse_alerts_firing", "Alerts that fire, on the node that evaluates"),
    ("gatehouse_alerts_left_out", "Alerts that found no room at the last evaluation"),
    (
        "gatehouse_alert_signal",
        "What rules for alerts look at besides gauges, by signal, on the node that evaluates",
    ),
    ("gatehouse_telemetry_export_failing", "1 while our collector does not take a signal of ours, by signal"),
    ("gatehouse_log_forward_lag_entries", "Audit entries that a destination was not given yet"),
];

/// The names of all gauges: what rules for alerts can look at.
pub(crate) fn gauges() -> impl Iterator<Item = &'static str> {
    GAUGES.iter().map(|(name, _)| *name)
}

/// Says what each figure is.
fn describe() {
    for (name, text) in COUNTERS {
        describe_counter!(*name, *text);
    }
    for (name, text) in HISTOGRAMS {
        describe_histogram!(*name, *text);
    }
    for (name, text) in GAUGES {
        describe_gauge!(*name, *text);
    }
}

/// Installs the recorder. To be called once, before anything counts.
pub(crate) fn install() -> anyhow::Result<PrometheusHandle> {
    let recorder = PrometheusBuilder::new().set_buckets(&BUCKETS)?.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder)
        .map_err(|_| anyhow::anyhow!("metrics are recorded elsewhere already"))?;
    describe();
    Ok(handle)
}

/// What is shown: figures without a value are left out, so that who reads sees no figure, not one that is no number.
pub(crate) fn with_values(rendered: &str) -> String {
    let has_value = |line: &&str| line.starts_with('#') || !line.ends_with(" NaN");
    let mut out = String::with_capacity(rendered.len());
    for line in rendered.lines().filter(has_value) {
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// A line of Prometheus' text format: a name, labels, a value. `None` for any other.
pub(crate) fn sample(line: &str) -> Option<Sample> {
    if line.starts_with('#') {
        return None;
    }
    let (series, value) = line.rsplit_once(' ')?;
    let (name, mut rest) = match series.split_once('{') {
        Some((name, rest)) => (name, rest.strip_suffix('}')?),
        None => (series, ""),
    };
    let mut labels = Labels::new();
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"")?;
        let (value, after) = quoted(after)?;
        labels.insert(label.trim_start_matches(',').to_owned(), value);
        rest = after;
    }
    Some(Sample { signal: name.to_owned(), labels, value: value.parse().ok()? })
}

/// A text up to its closing quotation mark, and what is behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (mut out, mut chars) = (String::new(), text.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => out.push('\n'),
                other => out.push(other),
            },
            other => out.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_without_a_value_is_not_shown() {
        let rendered =
            "# HELP a A NaN\n# TYPE a gauge\na{mode=\"proxy\"} NaN\na{mode=\"gateway\"} 0.5\n\nb NaN\n";
        assert_eq!(with_values(rendered), "# HELP a A NaN\n# TYPE a gauge\na{mode=\"gateway\"} 0.5\n\n");
    }
}
