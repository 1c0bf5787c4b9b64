//! Looking for everything at once.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use regex::bytes::{Regex, RegexBuilder};

use crate::detector::{Detector, How, Pattern};
use crate::number::{Number, digits, ibans};
use crate::selection::Selection;

/// Something that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// By which detector: its place in [`Scanner::detectors`].
    pub detector: usize,
    /// Where it begins, in bytes.
    pub start: usize,
    /// The first byte behind it.
    pub end: usize,
}

/// Looks for everything that a selection has. Made once; making one takes some ten milliseconds and a few megabytes.
pub struct Scanner {
    detectors: Vec<&'static Detector>,
    words: Option<AhoCorasick>,
    /// Which form each keyword is of.
    of_word: Vec<usize>,
    forms: Vec<Form>,
    card: Option<usize>,
    resident: Option<usize>,
    iban: Option<usize>,
}

/// A form, ready for use.
struct Form {
    detector: usize,
    pattern: &'static Pattern,
    regex: Regex,
}

impl Scanner {
    /// A scanner with these detectors.
    ///
    /// # Panics
    /// Never: the catalogue's forms are tested.
    pub fn new(selection: &Selection) -> Self {
        let detectors = selection.detectors().to_vec();
        let mut words: Vec<&'static str> = Vec::new();
        let (mut of_word, mut forms) = (Vec::new(), Vec::new());
        let (mut card, mut resident, mut iban) = (None, None, None);
        for (detector, one) in detectors.iter().enumerate() {
            match &one.how {
                How::Number(Number::Card) => card = Some(detector),
                How::Number(Number::Resident) => resident = Some(detector),
                How::Number(Number::Iban) => iban = Some(detector),
                How::Pattern(pattern) => {
                    words.extend(pattern.keywords);
                    of_word.extend(pattern.keywords.iter().map(|_| forms.len()));
                    forms.push(Form { detector, pattern, regex: regex(pattern) });
                }
            }
        }
        let words = (!words.is_empty()).then(|| {
            AhoCorasick::builder()
                .match_kind(MatchKind::Standard)
                .kind(Some(AhoCorasickKind::DFA))
                .build(words)
                .expect("a hundred short words make a small automaton")
        });
        Self { detectors, words, of_word, forms, card, resident, iban }
    }

    /// Its detectors.
    pub fn detectors(&self) -> &[&'static Detector] {
        &self.detectors
    }

    /// Tells of everything that is in a text: of each detector in the order of the text, and never the same bytes twice. The
    /// time taken grows with the text's length only, whatever is in it.
    pub fn scan(&self, text: &[u8], mut found: impl FnMut(Finding)) {
        if let Some(words) = &self.words {
            // Where the last finding of each form ended; few texts have one.
            let mut ended: Vec<usize> = Vec::new();
            for hit in words.find_overlapping_iter(text) {
                let of = self.of_word[hit.pattern().as_usize()];
                let form = &self.forms[of];
                let from = ended.get(of).copied().unwrap_or(0);
                if hit.start() < from {
                    continue;
                }
                if let Some((start, whole_end, secret)) = form.at(text, hit.start(), from) {
                    ended.resize(self.forms.len(), 0);
                    ended[of] = whole_end;
                    debug_assert!(
                        start <= secret.0 && secret.1 <= whole_end,
                        "the secret is part of the form"
                    );
                    found(Finding { detector: form.detector, start: secret.0, end: secret.1 });
                }
            }
        }
        self.numbers(text, &mut found);
    }

    fn numbers(&self, text: &[u8], found: &mut impl FnMut(Finding)) {
        if self.card.is_some() || self.resident.is_some() {
            digits(text, (self.card.is_some(), self.resident.is_some()), |number, start, end| {
                let detector = match number {
                    Number::Card => self.card,
                    Number::Resident | Number::Iban => self.resident,
                };
                if let Some(detector) = detector {
                    found(Finding { detector, start, end });
                }
            });
        }
        if let Some(detector) = self.iban {
            ibans(text, |start, end| found(Finding { detector, start, end }));
        }
    }
}

/// Shows the detectors only.
impl std::fmt::Debug for Scanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.detectors).finish()
    }
}

fn regex(pattern: &Pattern) -> Regex {
    let form = if pattern.before == 0 { format!("^(?:{})", pattern.form) } else { pattern.form.to_owned() };
    RegexBuilder::new(&form)
        // Bytes, not characters: a class of all characters would cost a thousand times as much.
        .unicode(false)
        .size_limit(64 << 20)
        .build()
        .expect("the forms of the catalogue are tested")
}

impl Form {
    /// The form around a keyword, from a place on: its beginning, its end, and the secret in it.
    fn at(&self, text: &[u8], keyword: usize, from: usize) -> Option<(usize, usize, (usize, usize))> {
        let begin = keyword.saturating_sub(self.pattern.before).max(from);
        if self.pattern.before == 0 && !begins(text, keyword) {
            return None;
        }
        let window = text.get(begin..text.len().min(keyword + self.pattern.after))?;
        let (whole, secret) = if self.regex.captures_len() > 1 {
            let groups = self.regex.captures(window)?;
            let (whole, secret) = (groups.get(0)?, groups.get(1)?);
            (whole.range(), secret.range())
        } else {
            let whole = self.regex.find(window)?;
            (whole.range(), whole.range())
        };
        let (start, end) = (begin + whole.start, begin + whole.end);
        if !begins(text, start) || !ends(text, end) || !(self.pattern.check)(window.get(secret.clone())?) {
            return None;
        }
        Some((start, end, (begin + secret.start, begin + secret.end)))
    }
}

/// Whether something can begin here: not within a word. An escape such as `\n` before it, as in JSON within text, is no word.
pub(crate) fn begins(text: &[u8], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).and_then(|at| text.get(at)).copied();
    match before(1) {
        Some(b'n' | b'r' | b't') if before(2) == Some(b'\\') => true,
        Some(byte) => !is_word(byte) && byte != b'-',
        None => true,
    }
}

/// Whether something can end here.
fn ends(text: &[u8], at: usize) -> bool {
    text.get(at).is_none_or(|byte| !is_word(*byte))
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
