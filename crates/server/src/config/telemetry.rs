//! `[telemetry]` and `[[telemetry.collector]]`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use gatehouse_control::telemetry::Prompts;
use gatehouse_domain::telemetry::Signal;

use super::export::{Export, export};
use super::identity::{all, secret};
use super::provider::{SecretSource, valid_base_url, valid_name};
use super::read::{Section, brief};
use super::tree::Value;

const DAY: u64 = 86_400;

/// What becomes of what clients say of their use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Telemetry {
    /// Whether the text of prompts is kept.
    pub(crate) prompts: Prompts,
    /// Requests of one person in a minute.
    pub(crate) per_minute: u32,
    /// How long single events are kept.
    pub(crate) events: Duration,
    /// Where it is passed on to.
    pub(crate) collectors: Vec<Collector>,
    /// Where our own goes to; nowhere without.
    pub(crate) export: Option<Export>,
}

/// A collector of telemetry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Collector {
    /// Its name here; unique.
    pub(crate) name: String,
    /// Its address, to which `/v1/metrics` and the like are appended.
    pub(crate) endpoint: String,
    /// Headers to send, by name, and where their values are.
    pub(crate) headers: BTreeMap<String, SecretSource>,
    /// What is passed on.
    pub(crate) signals: Vec<Signal>,
    /// Certificates to trust besides the system's.
    pub(crate) ca_file: Option<PathBuf>,
}

/// Reads `[telemetry]`.
pub(crate) fn telemetry(s: &Section<'_, '_>) -> Telemetry {
    Telemetry {
        prompts: if s.boolean("keep_prompts") { Prompts::Kept } else { Prompts::LeftOut },
        per_minute: u32::try_from(s.whole("requests_per_minute", 1..=1_000_000)).unwrap_or(u32::MAX),
        events: Duration::from_secs(s.whole("keep_events_days", 1..=3660) * DAY),
        collectors: all(s, "collector", collector, |one| &one.name),
        export: s.section("export", export).flatten(),
    }
}

fn collector(s: &Section<'_, '_>) -> Option<Collector> {
    let (name, endpoint) = (s.parsed("name", valid_name), s.parsed("endpoint", valid_base_url));
    let signals = signals(s);
    let (headers, ca_file) = (headers(s), s.text("ca_file").map(PathBuf::from));
    Some(Collector { name: name?, endpoint: endpoint?, headers, signals, ca_file })
}

/// Signals by their names; all of them where none is named.
pub(super) fn signals(s: &Section<'_, '_>) -> Vec<Signal> {
    let mut signals = Vec::new();
    for text in s.texts("signals") {
        match Signal::parse(text) {
            Some(signal) if !signals.contains(&signal) => signals.push(signal),
            Some(_) => {}
            None => {
                let what = format!("expected \"metrics\", \"logs\" or \"traces\", found `{}`", brief(text));
                s.mistake("signals", what);
            }
        }
    }
    if signals.is_empty() {
        signals = Signal::ALL.to_vec();
    }
    signals
}

/// Headers by their names, and where their values are.
pub(super) fn headers(s: &Section<'_, '_>) -> BTreeMap<String, SecretSource> {
    let Some(node) = s.node("headers") else { return BTreeMap::new() };
    let expected = "expected headers by name, such as { authorization = \"env:COLLECTOR_TOKEN\" }";
    let Value::Section(members) = &node.value else {
        s.mistake("headers", format!("{expected}, found {}", node.value.type_name()));
        return BTreeMap::new();
    };
    let mut out = BTreeMap::new();
    for (name, value) in members {
        let Ok(header) = http::HeaderName::try_from(name) else {
            s.mistake("headers", format!("`{}` is no name of a header", brief(name)));
            continue;
        };
        let ours = ["content-type", "content-length", "host", "transfer-encoding", "connection"];
        if ours.contains(&header.as_str()) {
            s.mistake("headers", format!("`{header}` is set by Gatehouse"));
            continue;
        }
        let Some(text) = value.value.text() else {
            s.mistake("headers", expected);
            continue;
        };
        if let Some(source) = secret(s, "headers", text) {
            out.insert(header.as_str().to_owned(), source);
        }
    }
    out
}
