//! Reading typed settings out of the tree, collecting mistakes instead of stopping at the first.
//!
//! After a mistake a reading goes on with some value; the caller discards everything if there were mistakes.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::mistake::{Mistake, did_you_mean};
use super::tree::{Node, Origin, Value};

/// Collects mistakes while sections are read.
#[derive(Default)]
pub(crate) struct Reader {
    mistakes: RefCell<Vec<Mistake>>,
    /// Settings that were asked for and are nowhere.
    #[cfg(test)]
    absent: RefCell<Vec<String>>,
}

impl Reader {
    /// Begins with the mistakes found so far.
    pub(crate) fn new(mistakes: Vec<Mistake>) -> Self {
        let reader = Self::default();
        reader.mistakes.replace(mistakes);
        reader
    }

    /// Settings that were asked for and are nowhere.
    #[cfg(test)]
    pub(crate) fn absent(&self) -> Vec<String> {
        self.absent.borrow().clone()
    }

    /// All mistakes.
    pub(crate) fn into_mistakes(self) -> Vec<Mistake> {
        self.mistakes.into_inner()
    }

    /// Notes a mistake.
    pub(crate) fn note(&self, mistake: Mistake) {
        self.mistakes.borrow_mut().push(mistake);
    }

    /// Reads a section. Settings in it that `read` did not ask for are mistakes.
    pub(crate) fn section<'a, T>(
        &self,
        path: &str,
        node: &'a Node,
        fallback: Option<&'a BTreeMap<String, Node>>,
        read: impl FnOnce(&Section<'a, '_>) -> T,
    ) -> T {
        let section = Section {
            reader: self,
            path: path.to_owned(),
            origin: &node.origin,
            members: None,
            fallback,
            known: RefCell::default(),
        };
        let Some(members) = node.value.members() else {
            let what = format!("expected a section ([{path}]), found {}", node.value.type_name());
            self.note(Mistake::new(node.origin.clone(), path, what));
            let quiet = Self::default();
            return read(&Section { reader: &quiet, ..section });
        };
        let section = Section { members: Some(members), ..section };
        let out = read(&section);
        section.refuse_unknown(members);
        out
    }
}

/// A section that is being read.
pub(crate) struct Section<'a, 'r> {
    reader: &'r Reader,
    path: String,
    origin: &'a Origin,
    members: Option<&'a BTreeMap<String, Node>>,
    fallback: Option<&'a BTreeMap<String, Node>>,
    known: RefCell<BTreeSet<&'static str>>,
}

impl<'a, 'r> Section<'a, 'r> {
    /// The reader that collects the mistakes.
    pub(crate) const fn reader(&self) -> &'r Reader {
        self.reader
    }

    /// The full name of a setting in it.
    pub(crate) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Reads a section in it. `None` if it is not there.
    pub(crate) fn section<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Section<'a, '_>) -> T,
    ) -> Option<T> {
        let node = self.node(key)?;
        Some(self.reader.section(&self.path_of(key), node, None, read))
    }

    /// A member as it stands.
    pub(crate) fn node(&self, key: &'static str) -> Option<&'a Node> {
        self.known.borrow_mut().insert(key);
        let own = self.members.and_then(|members| members.get(key));
        let found = own.or_else(|| self.fallback.and_then(|members| members.get(key)));
        #[cfg(test)]
        if found.is_none() {
            self.reader.absent.borrow_mut().push(self.path_of(key));
        }
        found
    }

    /// Notes a mistake in a setting.
    pub(crate) fn mistake(&self, key: &'static str, what: impl Into<String>) {
        let origin = self.node(key).map_or(self.origin, |node| &node.origin);
        self.reader.note(Mistake::new(origin.clone(), self.path_of(key), what));
    }

    /// A text; the empty text counts as not set.
    pub(crate) fn text(&self, key: &'static str) -> Option<&'a str> {
        let value = &self.node(key)?.value;
        let text = value.text();
        if text.is_none() {
            self.mistake(key, format!("expected a text in quotation marks, found {}", value.type_name()));
        }
        text.filter(|text| !text.is_empty())
    }

    /// A list of texts.
    pub(crate) fn texts(&self, key: &'static str) -> Vec<&'a str> {
        let Some(node) = self.node(key) else { return Vec::new() };
        let expected = "expected a list of texts";
        // A variable holds one text, or several with commas between.
        if let Some(text) = node.value.text().filter(|_| node.origin.is_text_only()) {
            return text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
        }
        let Some(items) = node.value.items() else {
            self.mistake(key, format!("{expected}, found {}", node.value.type_name()));
            return Vec::new();
        };
        for item in items.iter().filter(|item| item.value.text().is_none()) {
            self.mistake(key, format!("{expected}, found {} in it", item.value.type_name()));
        }
        items.iter().filter_map(|item| item.value.text()).collect()
    }

    /// A text that must be there.
    pub(crate) fn required(&self, key: &'static str) -> Option<&'a str> {
        let before = self.reader.mistakes.borrow().len();
        let text = self.text(key);
        if text.is_none() && self.reader.mistakes.borrow().len() == before {
            self.mistake(key, "it is required");
        }
        text
    }

    /// A text that must be there and that `parse` understands. The error says what is wrong and what is expected.
    pub(crate) fn parsed<T, E: Display>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&'a str) -> Result<T, E>,
    ) -> Option<T> {
        parse(self.required(key)?).map_err(|error| self.mistake(key, error.to_string())).ok()
    }

    /// A whole number.
    pub(crate) fn whole(&self, key: &'static str, range: RangeInclusive<u64>) -> u64 {
        let expected = || format!("expected a whole number from {} to {}", range.start(), range.end());
        let Some(digits) = self.digits(key, &expected) else { return *range.start() };
        match digits.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                self.mistake(key, format!("{}, found `{}`", expected(), brief(digits)));
                *range.start()
            }
        }
    }

    /// Yes or no.
    pub(crate) fn boolean(&self, key: &'static str) -> bool {
        let Some(node) = self.node(key) else {
            self.mistake(key, "it is required");
            return false;
        };
        // A variable holds a text.
        let text = node.value.text().filter(|_| node.origin.is_text_only());
        match (&node.value, text.map(str::trim)) {
            (Value::Boolean(yes), _) => *yes,
            (_, Some("true")) => true,
            (_, Some("false")) => false,
            (other, _) => {
                self.mistake(key, format!("expected true or false, found {}", other.type_name()));
                false
            }
        }
    }

    /// A number of seconds.
    pub(crate) fn seconds(&self, key: &'static str, range: RangeInclusive<u64>) -> Duration {
        Duration::from_secs(self.whole(key, range))
    }

    /// A decimal number from 0, with at most `places` decimals, in units of the last decimal. `None` if not set.
    pub(crate) fn decimal(&self, key: &'static str, places: u32, max: u64) -> Option<u64> {
        self.node(key)?;
        let expected = || format!("expected a number from 0 to {max} with at most {places} decimals");
        let digits = self.digits(key, &expected)?;
        let number = scaled(digits, places).filter(|n| *n <= max.saturating_mul(10_u64.pow(places)));
        if number.is_none() {
            self.mistake(key, format!("{}, found `{}`", expected(), brief(digits)));
        }
        number
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(&self, key: &'static str, words: &[(&str, T)]) -> T {
        let fallback = words[0].1;
        let Some(given) = self.required(key) else { return fallback };
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == given) {
            return *value;
        }
        let list: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let hint = suggestion(given, words.iter().map(|(word, _)| *word));
        self.mistake(key, format!("expected {}, found `{}`{hint}", list.join(" or "), brief(given)));
        fallback
    }

    fn digits(&self, key: &'static str, expected: &dyn Fn() -> String) -> Option<&'a str> {
        let Some(node) = self.node(key) else {
            self.mistake(key, "it is required");
            return None;
        };
        if let Value::Number(digits) = &node.value {
            return Some(digits);
        }
        let text = node.value.text().filter(|_| node.origin.is_text_only());
        if text.is_none() {
            self.mistake(key, format!("{}, found {}", expected(), node.value.type_name()));
        }
        text.map(str::trim)
    }

    fn refuse_unknown(&self, members: &BTreeMap<String, Node>) {
        let known = self.known.borrow();
        for (key, node) in members.iter().filter(|(key, _)| !known.contains(key.as_str())) {
            let hint = suggestion(key, known.iter().copied());
            let noun = if self.path.is_empty() { "section" } else { "setting" };
            let path = self.path_of(key).chars().take(80).collect::<String>();
            self.reader.note(Mistake::new(node.origin.clone(), path, format!("unknown {noun}{hint}")));
        }
    }
}

fn suggestion<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    did_you_mean(given, known).map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"))
}

/// The beginning of a text, short enough for an error message.
pub(crate) fn brief(text: &str) -> String {
    let mut out: String = text.chars().take(40).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().nth(40).is_some() {
        out.push('…');
    }
    out
}

/// A decimal number in units of its last place.
fn scaled(text: &str, places: u32) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let width = usize::try_from(places).ok()?;
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > width {
        return None;
    }
    format!("{whole}{fraction:0<width$}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::scaled;

    #[test]
    fn decimals_are_exact() {
        for (text, places, units) in [
            ("5", 2, Some(500)),
            ("12.5", 2, Some(1250)),
            ("0.1250", 3, Some(125)),
            ("0.1255", 3, None),
            ("-1", 2, None),
            ("1e3", 2, None),
            (".5", 2, None),
            ("nan", 2, None),
            ("99999999999999999999", 2, None),
        ] {
            assert_eq!(scaled(text, places), units, "{text}");
        }
    }
}
