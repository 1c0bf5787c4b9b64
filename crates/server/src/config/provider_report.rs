//! `[[provider_report]]`: the provider's own reports of usage and cost.

use std::path::PathBuf;
use std::time::Duration;

use super::identity::{all, secret};
use super::provider::{SecretSource, valid_base_url, valid_name};
use super::read::Section;

const HOUR: u64 = 3600;

/// Reports that are fetched from a provider's Admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProviderReport {
    /// Its name; unique.
    pub(crate) name: String,
    /// Where the API is, without a `/` at the end.
    pub(crate) base_url: String,
    /// Where the admin key is.
    pub(crate) admin_key: SecretSource,
    /// How often they are fetched.
    pub(crate) every: Duration,
    /// Of how many days up to today client analytics are fetched; 0 for none.
    pub(crate) analytics_days: u16,
    /// Certificates to trust besides the system's.
    pub(crate) ca_file: Option<PathBuf>,
}

/// Reads all `[[provider_report]]` sections.
pub(crate) fn provider_reports(top: &Section<'_, '_>) -> Vec<ProviderReport> {
    all(top, "provider_report", one, |one| &one.name)
}

fn one(s: &Section<'_, '_>) -> Option<ProviderReport> {
    let name = s.parsed("name", valid_name);
    let base_url = match s.text("base_url") {
        None => Some("https://api.anthropic.com".to_owned()),
        Some(_) => s.parsed("base_url", valid_base_url),
    };
    let admin_key = s.required("admin_key").and_then(|text| secret(s, "admin_key", text));
    let every = match s.node("every_hours") {
        None => Duration::from_secs(6 * HOUR),
        Some(_) => Duration::from_secs(s.whole("every_hours", 1..=168) * HOUR),
    };
    let analytics_days = match s.node("analytics_days") {
        None => 0,
        Some(_) => u16::try_from(s.whole("analytics_days", 0..=90)).unwrap_or(0),
    };
    let ca_file = s.text("ca_file").map(PathBuf::from);
    Some(ProviderReport {
        name: name?,
        base_url: base_url?,
        admin_key: admin_key?,
        every,
        analytics_days,
        ca_file,
    })
}
