//! What is in a request of telemetry, whichever way it is written.

use gatehouse_domain::telemetry::Value;
use sha2::{Digest as _, Sha256};

/// Attributes of one item that are looked at; more are passed over.
pub(super) const MAX_ATTRIBUTES: usize = 128;
/// Longest name of an attribute, in bytes.
const MAX_KEY: usize = 128;
/// Longest text of an attribute that is kept, in bytes. A prompt may be that long.
const MAX_TEXT: usize = 16 * 1024;

/// Why a request cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Malformed(pub(super) &'static str);

/// How the points of a sum follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Temporality {
    #[default]
    Unsaid,
    Delta,
    Cumulative,
}

impl Temporality {
    pub(super) const fn of(number: u64) -> Self {
        match number {
            1 => Self::Delta,
            2 => Self::Cumulative,
            _ => Self::Unsaid,
        }
    }
}

/// Attributes, in the order in which they came.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Attributes(Vec<(String, Value)>);

impl Attributes {
    /// Adds one, unless there are enough, or it has no value of ours.
    pub(super) fn push(&mut self, key: &str, value: Option<Value>) {
        let Some(mut value) = value else { return };
        if self.0.len() >= MAX_ATTRIBUTES || key.len() > MAX_KEY || self.get(key).is_some() {
            return;
        }
        if let Value::Text(text) = &mut value {
            cut(text, MAX_TEXT);
        }
        self.0.push((key.to_owned(), value));
    }

    /// Looks one up.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Looks a text up; empty when there is none.
    pub(super) fn text(&self, key: &str) -> &str {
        match self.get(key) {
            Some(Value::Text(text)) => text,
            Some(Value::Whole(_) | Value::Real(_) | Value::Flag(_)) | None => "",
        }
    }

    /// Adds them to a digest, in the order of their names.
    fn digest(&self, into: &mut Sha256) {
        let mut sorted: Vec<_> = self.0.iter().collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        for (key, value) in sorted {
            let value = match value {
                Value::Text(text) => format!("t{text}"),
                Value::Whole(n) => format!("w{n}"),
                Value::Real(n) => format!("r{n}"),
                Value::Flag(yes) => format!("f{yes}"),
            };
            for part in [key.as_bytes(), value.as_bytes()] {
                into.update((part.len() as u64).to_le_bytes());
                into.update(part);
            }
        }
        into.update([0xff; 8]);
    }
}

/// Cuts a text to so many bytes, at the beginning of a character.
pub(super) fn cut(text: &mut String, most: usize) {
    if text.len() > most {
        let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
}

/// A point of a sum.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Number {
    pub(super) metric: String,
    pub(super) temporality: Temporality,
    pub(super) monotonic: bool,
    pub(super) start: u64,
    pub(super) time: u64,
    pub(super) value: f64,
    pub(super) attributes: Attributes,
}

impl Number {
    pub(super) fn new(metric: &str, temporality: Temporality, monotonic: bool) -> Self {
        Self { metric: metric.to_owned(), temporality, monotonic, ..Self::default() }
    }

    /// What tells its stream from all others of its holder.
    pub(super) fn stream(&self, resource: &Attributes) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update((self.metric.len() as u64).to_le_bytes());
        digest.update(self.metric.as_bytes());
        digest.update(self.start.to_le_bytes());
        resource.digest(&mut digest);
        self.attributes.digest(&mut digest);
        digest.finalize().into()
    }
}

/// A record of a log.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Record {
    pub(super) time: u64,
    pub(super) name: String,
    pub(super) body: String,
    pub(super) attributes: Attributes,
}

/// Takes what is read, item by item.
pub(super) trait Sink {
    /// Takes a point.
    fn number(&mut self, resource: &Attributes, number: Number) -> Result<(), Malformed>;

    /// Takes a record.
    fn record(&mut self, record: Record) -> Result<(), Malformed>;
}
