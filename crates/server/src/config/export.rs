//! `[telemetry.export]`: our own traces, metrics and logs, for a collector.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use gatehouse_domain::telemetry::Signal;

use super::provider::{SecretSource, valid_base_url};
use super::read::Section;
use super::telemetry::{headers, signals};
use super::tree::Value;
use crate::export::Conventions;

/// Where our own telemetry goes, and what of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Export {
    /// The collector's address, to which `/v1/traces` and the like are appended.
    pub(crate) endpoint: String,
    /// Headers to send, by name, and where their values are.
    pub(crate) headers: BTreeMap<String, SecretSource>,
    /// Certificates to trust besides the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// What is exported.
    pub(crate) signals: Vec<Signal>,
    /// Which names spans and metrics of models have.
    pub(crate) conventions: Conventions,
    /// The share of traces that are recorded, in millionths.
    pub(crate) share: u32,
    /// Whether providers are told which trace a request belongs to.
    pub(crate) pass_on: bool,
    /// What is said of this deployment beside its name and version.
    pub(crate) resource: BTreeMap<String, String>,
    /// How often metrics are sent.
    pub(crate) interval: Duration,
    /// How long spans and log records wait for more to be sent with.
    pub(crate) delay: Duration,
    /// Most exchanges, spans' exchanges and log records that wait, of each.
    pub(crate) queue: usize,
    /// How long a request may take.
    pub(crate) timeout: Duration,
    /// How long a request is tried again.
    pub(crate) give_up: Duration,
}

/// What no resource may say: it is known better.
const OURS: [&str; 3] = ["service.name", "service.version", "service.instance.id"];

/// Reads `[telemetry.export]`; nothing where it is off.
pub(super) fn export(s: &Section<'_, '_>) -> Option<Export> {
    let endpoint = s
        .text("endpoint")
        .and_then(|text| valid_base_url(text).map_err(|error| s.mistake("endpoint", error)).ok());
    let words = [("1.36", Conventions::V1_36), ("latest", Conventions::Latest)];
    let export = Export {
        endpoint: String::new(),
        headers: headers(s),
        ca_file: s.text("ca_file").map(PathBuf::from),
        signals: signals(s),
        conventions: s.choice("semantic_conventions", &words),
        share: s.decimal("sample_ratio", 6, 1).and_then(|share| u32::try_from(share).ok()).unwrap_or(0),
        pass_on: s.boolean("pass_on_trace"),
        resource: resource(s),
        interval: s.seconds("metrics_seconds", 1..=3600),
        delay: s.seconds("delay_seconds", 1..=60),
        queue: usize::try_from(s.whole("queue", 1..=100_000)).unwrap_or(usize::MAX),
        timeout: s.seconds("timeout_seconds", 1..=10),
        give_up: s.seconds("give_up_seconds", 0..=3600),
    };
    Some(Export { endpoint: endpoint?, ..export })
}

fn resource(s: &Section<'_, '_>) -> BTreeMap<String, String> {
    let Some(node) = s.node("resource") else { return BTreeMap::new() };
    let expected = "expected texts by name, such as { \"deployment.environment.name\" = \"production\" }";
    let Value::Section(members) = &node.value else {
        s.mistake("resource", format!("{expected}, found {}", node.value.type_name()));
        return BTreeMap::new();
    };
    let mut out = BTreeMap::new();
    for (name, value) in members {
        match value.value.text() {
            Some(_) if OURS.contains(&name.as_str()) => {
                s.mistake("resource", format!("`{name}` is set by Gatehouse"));
            }
            Some(text) => drop(out.insert(name.clone(), text.to_owned())),
            None => s.mistake("resource", expected),
        }
    }
    out
}
