//! A rule: which value of which signal is bad, for how long, and what is to be said of it.

use super::{Labels, Matcher, NAME, SEVERITY, Sample, unit_of};
use crate::settings::lint::Language;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// It will come to people being kept from working, or to money being lost.
    Warning,
    /// People are kept from working, or records are at stake.
    Critical,
}

impl Severity {
    /// All of them, the mildest first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// The name used in labels, JSON and the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// How a value is compared with the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// Bad above it.
    Above,
    /// Bad below it.
    Below,
}

impl Compare {
    /// Whether this value is bad. What is no number never is.
    pub fn is_bad(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Above => value > threshold,
            Self::Below => value < threshold,
        }
    }

    /// As it is written between the two.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Above => ">",
            Self::Below => "<",
        }
    }
}

/// A sentence in the three languages. `{value}` stands for the value and `{name}` for a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts(pub [String; 3]);

impl Texts {
    /// The same sentence in all languages.
    pub fn same(text: &str) -> Self {
        Self([text.to_owned(), text.to_owned(), text.to_owned()])
    }

    /// The sentence in one of them.
    pub fn of(&self, language: Language) -> &str {
        &self.0[match language {
            Language::English => 0,
            Language::SimplifiedChinese => 1,
            Language::TraditionalChinese => 2,
        }]
    }
}

/// A rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its name, which its alerts bear as `alertname`.
    pub name: String,
    /// What is looked at.
    pub signal: String,
    /// How it is compared.
    pub compare: Compare,
    /// With what.
    pub threshold: f64,
    /// How long it must have been bad, in milliseconds.
    pub hold_ms: i64,
    /// How long it must not have been bad to be over, in milliseconds.
    pub keep_ms: i64,
    /// How bad it is.
    pub severity: Severity,
    /// Which values of the signal are looked at.
    pub only: Vec<Matcher>,
    /// What is wrong.
    pub summary: Texts,
    /// What to do.
    pub action: Texts,
}

/// Whether a text can be the name of a rule, a receiver, a route or an inhibition: 1 to 64 of `a-z`, `0-9`, `_` and `-`.
pub fn is_rule_name(text: &str) -> bool {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(good)
}

impl Rule {
    /// Whether the rule looks at this value.
    pub fn covers(&self, sample: &Sample) -> bool {
        self.signal == sample.signal && self.only.iter().all(|matcher| matcher.fits(&sample.labels))
    }

    /// The labels of its alert about something with these labels.
    pub fn labels(&self, own: &Labels) -> Labels {
        let mut labels = own.clone();
        labels.insert(NAME.to_owned(), self.name.clone());
        labels.insert(SEVERITY.to_owned(), self.severity.as_str().to_owned());
        labels
    }

    /// What is wrong, and what to do, of an alert with this value and these labels.
    pub fn told(&self, language: Language, labels: &Labels, value: f64) -> (String, String) {
        let value = unit_of(&self.signal).show(value);
        (fill(self.summary.of(language), labels, &value), fill(self.action.of(language), labels, &value))
    }
}

/// Puts values in for names in braces. A name that is no label stands as it is.
fn fill(text: &str, labels: &Labels, value: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, tail)) = after.split_once('}') else {
            out.push('{');
            rest = after;
            continue;
        };
        match labels.get(name) {
            _ if name == "value" => out.push_str(value),
            Some(known) => out.push_str(known),
            None => out.extend(["{", name, "}"]),
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}
