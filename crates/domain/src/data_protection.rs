//! Data protection: what was found in a request, and what became of it. Never what it was.

use serde::{Deserialize, Serialize};

/// Most detectors that a record names; those that found the most are kept.
pub const MAX_FINDINGS: usize = 16;
/// Longest name of a detector, in bytes.
pub const MAX_DETECTOR: usize = 32;

/// What became of a request in which something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It went on as it was.
    Observed,
    /// It was refused.
    Blocked,
}

impl Verdict {
    /// The name used in the database, JSON and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::Blocked => "blocked",
        }
    }
}

/// How often a detector found something in a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFinding {
    /// The detector's name, such as `github-token`.
    pub detector: String,
    /// How often.
    pub count: u32,
}

/// What was found in a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFindings {
    /// What became of the request.
    pub verdict: Verdict,
    /// By detector, the most frequent first; at least one, at most [`MAX_FINDINGS`].
    pub findings: Vec<DataFinding>,
}

impl DataFindings {
    /// Takes what detectors found; `None` if that is nothing.
    pub fn new<'a>(verdict: Verdict, counts: impl IntoIterator<Item = (&'a str, u32)>) -> Option<Self> {
        let of = |(detector, count): (&str, u32)| DataFinding { detector: detector.to_owned(), count };
        let mut findings: Vec<_> = counts.into_iter().map(of).collect();
        findings.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.detector.cmp(&b.detector)));
        findings.truncate(MAX_FINDINGS);
        (!findings.is_empty()).then_some(Self { verdict, findings })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_are_kept_and_nothing_is_none() {
        assert_eq!(DataFindings::new(Verdict::Observed, []), None);
        let names: Vec<String> = (0..40).map(|n| format!("d-{n:02}")).collect();
        let counts = names.iter().zip(1..).map(|(name, count)| (name.as_str(), count));
        let found = DataFindings::new(Verdict::Blocked, counts).unwrap();
        assert_eq!(found.findings.len(), MAX_FINDINGS);
        assert_eq!((found.findings[0].detector.as_str(), found.findings[0].count), ("d-39", 40));
        assert_eq!(found.findings[15].count, 25);
    }
}
