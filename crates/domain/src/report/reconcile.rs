//! Our ledger beside what a provider bills, and beside what clients report.

use std::collections::{BTreeMap, BTreeSet};

use crate::money::Nanos;
use crate::time::UnixMillis;

/// Amounts by UTC day and model family ([`family`]).
pub type Amounts = BTreeMap<(UnixMillis, String), Nanos>;

/// When a difference raises an alarm: both must be exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threshold {
    /// The difference in thousandths of what the provider bills.
    pub permille: u64,
    /// The difference as an amount.
    pub least: Nanos,
}

/// One model on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The day.
    pub day: UnixMillis,
    /// The model family.
    pub model: String,
    /// By our ledger.
    pub ours: Nanos,
    /// By the provider.
    pub billed: Nanos,
    /// By the clients, where their figures are given.
    pub client: Option<Nanos>,
    /// Ours less the provider's.
    pub drift: Nanos,
    /// Whether that, or the difference from the clients' figure, is over the threshold.
    pub alarm: bool,
}

/// The whole comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconciliation {
    /// By day, then model.
    pub lines: Vec<Line>,
    /// The sum of what is ours.
    pub ours: Nanos,
    /// The sum of what is billed.
    pub billed: Nanos,
    /// Whether any line, or the sum, is over the threshold.
    pub alarm: bool,
}

/// Compares day by day and model by model. A model that only one side has counts as zero on the other.
pub fn compare(
    ours: &Amounts,
    billed: &Amounts,
    client: Option<&Amounts>,
    threshold: Threshold,
) -> Reconciliation {
    let keys: BTreeSet<_> =
        ours.keys().chain(billed.keys()).chain(client.into_iter().flat_map(BTreeMap::keys)).collect();
    let line = |key: &(UnixMillis, String)| {
        let (ours, billed) = (of(ours, key), of(billed, key));
        let client = client.map(|amounts| of(amounts, key));
        let alarm =
            over(ours, billed, threshold) || client.is_some_and(|client| over(client, ours, threshold));
        let drift = Nanos(ours.0.saturating_sub(billed.0));
        Line { day: key.0, model: key.1.clone(), ours, billed, client, drift, alarm }
    };
    let lines: Vec<Line> = keys.into_iter().map(line).collect();
    let sum = |amounts: &Amounts| Nanos(amounts.values().fold(0, |sum: i64, n| sum.saturating_add(n.0)));
    let (ours, billed) = (sum(ours), sum(billed));
    let alarm = lines.iter().any(|line| line.alarm) || over(ours, billed, threshold);
    Reconciliation { lines, ours, billed, alarm }
}

fn of(amounts: &Amounts, key: &(UnixMillis, String)) -> Nanos {
    amounts.get(key).copied().unwrap_or(Nanos::ZERO)
}

fn over(one: Nanos, other: Nanos, threshold: Threshold) -> bool {
    let drift = (i128::from(one.0) - i128::from(other.0)).abs();
    drift > i128::from(threshold.least.0)
        && drift * 1000 > i128::from(threshold.permille) * i128::from(other.0).abs()
}

/// The family of a model however a bill or a client spells it: `us.anthropic.claude-sonnet-4-5-20250929-v1:0`,
/// `Claude Sonnet 4.5 (Amazon Bedrock Edition)` and `Claude4.5Sonnet` are all `claude-sonnet-4-5`. What names no such
/// model stays as it is, in lower case.
pub fn family(text: &str) -> String {
    let text = text.trim().to_lowercase();
    let Some(at) = text.find("claude") else { return text };
    let mut words = words(&text[at + "claude".len()..]);
    words.truncate(8);
    let known = ["opus", "sonnet", "haiku", "fable", "mythos", "instant"];
    let Some(name) = words.iter().find(|word| known.contains(&word.as_str())) else { return text };
    let place = words.iter().position(|word| word == name).unwrap_or(0);
    let number = |word: &&String| word.len() <= 2 && word.bytes().all(|b| b.is_ascii_digit());
    let after: Vec<&String> = words[place + 1..].iter().take_while(number).take(2).collect();
    let version =
        if after.is_empty() { words[..place].iter().filter(number).take(2).collect() } else { after };
    std::iter::once("claude")
        .chain(std::iter::once(name.as_str()))
        .chain(version.into_iter().map(String::as_str))
        .collect::<Vec<_>>()
        .join("-")
}

/// Runs of letters and runs of digits.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut last = None;
    for c in text.chars() {
        let kind = if c.is_ascii_digit() { Some(true) } else { c.is_alphabetic().then_some(false) };
        match (kind, words.last_mut()) {
            (Some(_), Some(word)) if kind == last => word.push(c),
            (Some(_), _) => words.push(c.to_string()),
            (None, _) => {}
        }
        last = kind;
    }
    words
}
