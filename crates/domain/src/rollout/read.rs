//! Reading what people wrote: every mistake with its place and a hint.

use std::fmt;

use serde_json::{Map, Value};

use crate::settings::similar::nearest;
use crate::time::{DAY_MS, HOUR_MS};

/// Something wrong with a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where: `phase[0].cohort.percent`.
    pub place: String,
    /// What is wrong, and what to do.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() {
            f.write_str(&self.what)
        } else {
            write!(f, "`{}` {}", self.place, self.what)
        }
    }
}

/// A table that is being read. Keys that nobody asked for are mistakes.
pub(super) struct Reader<'a> {
    place: String,
    table: Option<&'a Map<String, Value>>,
    known: Vec<&'static str>,
}

/// The mistakes found so far.
#[derive(Default)]
pub(super) struct Mistakes(pub(super) Vec<Mistake>);

impl Mistakes {
    pub(super) fn add(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.0.push(Mistake { place: place.into(), what: what.into() });
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(place: impl Into<String>, value: &'a Value, mistakes: &mut Mistakes) -> Self {
        let place = place.into();
        if !value.is_object() {
            mistakes.add(place.clone(), "is no table of keys and values");
        }
        Self { place, table: value.as_object(), known: Vec::new() }
    }

    pub(super) fn at(&self, key: &str) -> String {
        if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) }
    }

    pub(super) fn get(&mut self, key: &'static str) -> Option<&'a Value> {
        self.known.push(key);
        self.table?.get(key)
    }

    pub(super) fn text(&mut self, key: &'static str, mistakes: &mut Mistakes) -> Option<String> {
        let value = self.get(key)?;
        let text = value.as_str();
        if text.is_none() {
            mistakes.add(self.at(key), "is no text");
        }
        text.map(str::to_owned)
    }

    pub(super) fn word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
        mistakes: &mut Mistakes,
    ) -> Option<T> {
        let text = self.text(key, mistakes)?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            mistakes.add(self.at(key), format!("is `{}`; {}", short(&text), hint(&text, &all)));
        }
        found.map(|(_, meant)| *meant)
    }

    pub(super) fn texts(&mut self, key: &'static str, most: usize, mistakes: &mut Mistakes) -> Vec<String> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let list = value.as_array().map(|list| list.iter().map(|one| one.as_str().map(str::to_owned)));
        let Some(texts) = list.and_then(Iterator::collect::<Option<Vec<_>>>) else {
            mistakes.add(self.at(key), "is no list of texts");
            return Vec::new();
        };
        if texts.len() > most {
            mistakes.add(self.at(key), format!("has {} entries; at most {most} are taken", texts.len()));
        }
        texts
    }

    pub(super) fn tables(&mut self, key: &'static str, mistakes: &mut Mistakes) -> &'a [Value] {
        match self.get(key) {
            None => &[],
            Some(Value::Array(list)) => list,
            Some(_) => {
                mistakes.add(self.at(key), "is no list of tables");
                &[]
            }
        }
    }

    pub(super) fn flag(&mut self, key: &'static str, mistakes: &mut Mistakes) -> bool {
        match self.get(key) {
            None => false,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => {
                mistakes.add(self.at(key), "is neither true nor false");
                false
            }
        }
    }

    pub(super) fn whole(
        &mut self,
        key: &'static str,
        (least, most): (u64, u64),
        mistakes: &mut Mistakes,
    ) -> Option<u64> {
        let value = self.get(key)?;
        let number = value.as_u64().filter(|number| (least..=most).contains(number));
        if number.is_none() {
            mistakes.add(self.at(key), format!("is {value}; expected a whole number from {least} to {most}"));
        }
        number
    }

    pub(super) fn number(&mut self, key: &'static str, mistakes: &mut Mistakes) -> Option<f64> {
        let value = self.get(key)?;
        let number = value.as_f64().filter(|number| number.is_finite() && *number >= 0.0);
        if number.is_none() {
            mistakes.add(self.at(key), format!("is {value}; expected a number that is not negative"));
        }
        number
    }

    /// A span such as `7d`, in milliseconds.
    pub(super) fn span(&mut self, key: &'static str, mistakes: &mut Mistakes) -> Option<i64> {
        let text = self.text(key, mistakes)?;
        let span = span_ms(&text);
        if span.is_none() {
            mistakes.add(
                self.at(key),
                format!(
                    "is `{}`; expected a span such as 90s, 30m, 24h, 7d, 2w; at most a year",
                    short(&text)
                ),
            );
        }
        span
    }

    /// Refuses what nobody asked for.
    pub(super) fn end(self, mistakes: &mut Mistakes) {
        for key in self.table.into_iter().flat_map(Map::keys) {
            if !self.known.contains(&key.as_str()) {
                mistakes.add(self.at(&short(key)), format!("is no known key; {}", hint(key, &self.known)));
            }
        }
    }
}

fn hint(given: &str, known: &[&str]) -> String {
    match nearest(given, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("expected one of {}", known.join(", ")),
    }
}

fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

fn span_ms(text: &str) -> Option<i64> {
    let unit = match text.as_bytes().last()? {
        b's' => 1000,
        b'm' => 60_000,
        b'h' => HOUR_MS,
        b'd' => DAY_MS,
        b'w' => 7 * DAY_MS,
        _ => return None,
    };
    let digits = text.get(..text.len() - 1).filter(|digits| !digits.is_empty() && digits.len() < 10)?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse::<i64>().ok()?.checked_mul(unit).filter(|ms| *ms <= 366 * DAY_MS)
}
