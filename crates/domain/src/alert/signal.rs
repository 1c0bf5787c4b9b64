//! What rules can look at: values that are derived from the database, and every gauge of `/metrics`.

/// The metric that derived signals are shown by on `/metrics`, with the label `signal`.
pub const SIGNAL_METRIC: &str = "gatehouse_alert_signal";

/// In what a signal is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A share of one; shown in percent.
    Ratio,
    /// Seconds.
    Seconds,
    /// Bytes; shown in MiB.
    Bytes,
    /// Days.
    Days,
    /// A count, or yes (1) and no (0).
    Count,
}

impl Unit {
    /// A value as people read it.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Ratio => format!("{} %", rounded(value * 100.0)),
            Self::Seconds => format!("{} s", rounded(value)),
            Self::Bytes => format!("{} MiB", rounded(value / 1_048_576.0)),
            Self::Days | Self::Count => rounded(value),
        }
    }
}

/// With one decimal at most.
fn rounded(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

/// A signal that is derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Derived {
    /// Its name.
    pub name: &'static str,
    /// In what it is measured.
    pub unit: Unit,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it is.
    pub what: &'static str,
}

const fn derived(
    name: &'static str,
    unit: Unit,
    labels: &'static [&'static str],
    what: &'static str,
) -> Derived {
    Derived { name, unit, labels, what }
}

/// All of them.
pub const DERIVED: &[Derived] = &[
    derived(
        "error_ratio",
        Unit::Ratio,
        &[],
        "failed requests of all that were not refused, of the newest 1000 of the last 10 minutes; none below 20",
    ),
    derived(
        "response_time_p95_seconds",
        Unit::Seconds,
        &[],
        "time to the end that 95 of 100 requests keep, of the same",
    ),
    derived(
        "first_byte_p95_seconds",
        Unit::Seconds,
        &[],
        "time to the first byte that 95 of 100 requests keep, of the same",
    ),
    derived(
        "budget_used_ratio",
        Unit::Ratio,
        &["budget", "holder", "period"],
        "what is spent of a budget in its period",
    ),
    derived(
        "spend_anomaly_ratio",
        Unit::Ratio,
        &["team", "day"],
        "what a team spent yesterday, of its usual day; only of days that stand out",
    ),
    derived(
        "reconciliation_drift_ratio",
        Unit::Ratio,
        &["month", "provider"],
        "how far the ledger is from the provider's bill, as last reconciled",
    ),
    derived(
        "unknown_price_requests",
        Unit::Count,
        &["model"],
        "requests with a model that has no price, of the newest 1000 of the last 10 minutes",
    ),
    derived(
        "certificate_days_left",
        Unit::Days,
        &["address", "node"],
        "days until the certificate at listen.public_url ends; 0 when it is not good",
    ),
    derived(
        "directory_sync_failures",
        Unit::Count,
        &["directory"],
        "readings of a directory that failed or were stopped, in a row up to the newest",
    ),
    derived("backup_overdue", Unit::Count, &["node"], "1 while the newest backup is older than it should be"),
    derived("sign_in_failures", Unit::Count, &[], "failed sign-ins within the last 10 minutes"),
    derived(
        "rollout_gate_failed",
        Unit::Count,
        &["rollout", "state"],
        "1 while a rollout is paused, or was taken back, within the last day",
    ),
    derived(
        "node_silent_seconds",
        Unit::Seconds,
        &["node"],
        "since when a node has not been heard of; none of nodes that were gone for a day",
    ),
    derived("free_disk_bytes", Unit::Bytes, &["node"], "free space for the data directory"),
    derived(
        "alert_delivery_failures",
        Unit::Count,
        &["receiver"],
        "messages of alerts that a receiver did not take, within the last hour",
    ),
];

/// In what a signal is measured; of gauges, by the end of their names.
pub fn unit_of(signal: &str) -> Unit {
    if let Some(known) = DERIVED.iter().find(|derived| derived.name == signal) {
        return known.unit;
    }
    match signal.rsplit('_').next() {
        Some("ratio") => Unit::Ratio,
        Some("seconds") => Unit::Seconds,
        Some("bytes" | "held") => Unit::Bytes,
        Some(_) | None => Unit::Count,
    }
}
