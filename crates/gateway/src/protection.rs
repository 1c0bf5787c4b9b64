//! Data protection on the way of a request: which of its texts were seen before, what is in the others, and what that means.

mod seen;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use bytes::Bytes;
use gatehouse_dlp::{Detector, Scanner, Selection};
use gatehouse_providers::json::{Place, Text, texts};
use siphasher::sip128::SipHasher13;
use tokio::sync::Semaphore;

use seen::Seen;

/// Texts smaller than this are looked at each time: that costs less than remembering them.
const SMALL: usize = 512;

/// What the organization wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Whether requests in which something is found are refused.
    pub action: Action,
    /// What is looked for.
    pub selection: Selection,
    /// Detectors whose findings are only written down, whatever the action is.
    pub observe: Selection,
}

/// What becomes of a request in which something is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It goes on as it is; the finding is written down.
    Observe,
    /// It is refused, and the finding is written down.
    Block,
}

/// Rules ready for use. Changed rules begin with nothing seen.
pub struct Protection {
    rules: Rules,
    scanner: Scanner,
    /// For each detector of the scanner, whether its findings are only written down.
    only_observed: Vec<bool>,
    seen: Seen,
    keys: (u64, u64),
    /// Seats of bodies that are looked at on threads of their own.
    pub(crate) seats: Arc<Semaphore>,
}

/// How often each detector found something: its place in the scanner, and the number.
pub(crate) type Counts = Vec<(u16, u32)>;

/// What was found in a body.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Looked {
    /// All that is in it.
    pub(crate) counts: Counts,
    /// What is in texts that were not seen before.
    pub(crate) fresh: Counts,
    /// The first finding for which the request is refused.
    pub(crate) refused_for: Option<(u16, Place)>,
    /// Bytes that were looked at.
    pub(crate) scanned: u64,
    /// Bytes of texts that were seen before.
    pub(crate) known: u64,
}

impl Protection {
    /// Makes rules ready, which takes some ten milliseconds.
    pub fn new(rules: Rules) -> Self {
        let scanner = Scanner::new(&rules.selection);
        let is_only_observed = |one: &&'static Detector| {
            rules.action == Action::Observe || rules.observe.detectors().contains(one)
        };
        let only_observed = scanner.detectors().iter().map(is_only_observed).collect();
        let random = RandomState::new();
        let keys = (random.hash_one(0), random.hash_one(1));
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let seats = Arc::new(Semaphore::new(threads));
        Self { rules, scanner, only_observed, seen: Seen::default(), keys, seats }
    }

    /// The rules.
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// A detector by its place.
    pub(crate) fn detector(&self, place: u16) -> &'static Detector {
        self.scanner.detectors()[usize::from(place)]
    }

    /// Looks at a request's body. Takes time with the number of bytes that were not seen before.
    pub(crate) fn look(&self, pieces: &[Bytes]) -> Looked {
        let mut looked = Looked::default();
        let mut buffer = Vec::new();
        match pieces {
            [] => {}
            [whole] => texts(whole, |text| self.text(&text, &mut buffer, &mut looked)),
            several => texts(&several.concat(), |text| self.text(&text, &mut buffer, &mut looked)),
        }
        looked
    }

    fn text(&self, text: &Text<'_>, buffer: &mut Vec<u8>, looked: &mut Looked) {
        let bytes = text.raw.len() as u64;
        let key = (text.raw.len() >= SMALL).then(|| self.key(text.raw));
        if let Some(known) = key.and_then(|key| self.seen.find(key)) {
            looked.known += bytes;
            self.note(known.as_deref().unwrap_or_default(), text.place, looked);
            return;
        }
        looked.scanned += bytes;
        let mut found = Counts::new();
        self.scanner.scan(text.decoded(buffer), |finding| {
            add(&mut found, u16::try_from(finding.detector).unwrap_or(u16::MAX), 1);
        });
        if found.is_empty() {
            if let Some(key) = key {
                self.seen.note(key, None);
            }
            return;
        }
        // What is found is told of once, in however small a text it stands.
        let is_new = self.seen.note(key.unwrap_or_else(|| self.key(text.raw)), Some(found.as_slice().into()));
        if is_new {
            for (detector, count) in &found {
                add(&mut looked.fresh, *detector, *count);
            }
        }
        self.note(&found, text.place, looked);
    }

    fn note(&self, found: &[(u16, u32)], place: Place, looked: &mut Looked) {
        for &(detector, count) in found {
            add(&mut looked.counts, detector, count);
            if looked.refused_for.is_none() && !self.only_observed[usize::from(detector)] {
                looked.refused_for = Some((detector, place));
            }
        }
    }

    /// What a text is known by. Under keys that nobody else has, no two texts can be made that share it.
    fn key(&self, raw: &[u8]) -> u128 {
        SipHasher13::new_with_keys(self.keys.0, self.keys.1).hash(raw).into()
    }
}

fn add(counts: &mut Counts, detector: u16, count: u32) {
    match counts.iter_mut().find(|(one, _)| *one == detector) {
        Some((_, sum)) => *sum = sum.saturating_add(count),
        None => counts.push((detector, count)),
    }
}

#[cfg(test)]
mod tests;
