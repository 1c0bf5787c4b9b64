//! `/api/v1/settings`.

use gatehouse_domain::settings::lint::{Finding, Language};
use serde::Serialize;
use utoipa::ToSchema;

pub mod profile;
pub mod version;
pub mod schedule;
pub mod overlay;
pub mod schema;
pub mod compare;
pub mod person;
pub mod receipt;
pub mod catalogue;
pub mod export;

/// Something that was found in settings.
#[derive(Debug, Serialize, ToSchema)]
pub struct FindingView {
    /// `error` (cannot be stored), `warning` or `notice`.
    #[schema(value_type = String)]
    pub severity: gatehouse_domain::settings::lint::Severity,
    /// Stable code for programs, such as `unknown-key`.
    #[schema(value_type = String)]
    pub code: gatehouse_domain::settings::lint::Code,
    /// Where it is, such as `permissions.deny[0]`.
    pub path: String,
    /// Sentence for people.
    pub message: TextsView,
}

/// A text in three languages.
#[derive(Debug, Serialize, ToSchema)]
pub struct TextsView {
    /// English.
    pub en: String,
    /// Simplified Chinese.
    #[serde(rename = "zh-CN")]
    pub zh_cn: String,
    /// Traditional Chinese.
    #[serde(rename = "zh-TW")]
    pub zh_tw: String,
}

impl FindingView {
    fn of(finding: &Finding) -> Self {
        let message = TextsView {
            en: finding.sentence(Language::English),
            zh_cn: finding.sentence(Language::SimplifiedChinese),
            zh_tw: finding.sentence(Language::TraditionalChinese),
        };
        Self { severity: finding.severity, code: finding.code, path: finding.path.to_string(), message }
    }

    fn all(findings: &[Finding]) -> Vec<Self> {
        findings.iter().map(Self::of).collect()
    }
}

/// A value as JSON. What it is made of is never anything that JSON cannot hold.
fn json(value: &impl Serialize) -> serde_json::Value {
    serde_json::to_value(value).unwrap_or_default()
}
