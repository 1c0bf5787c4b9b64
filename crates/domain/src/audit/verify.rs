//! Checking an export, line by line, in constant memory.

mod exchanges;
mod handover;
mod lines;
mod report;

use std::io::{self, BufRead};

use serde::Deserialize;

use super::deletion::deleted_through;
use super::export::{CLOSE, DELETED, ENTRY, EXCHANGE, FORMAT, HASH, LOST, PREV, TAIL};
use super::{Checkpoint, Export, Hash, Promised, PublicKey, Signature};
use crate::id::OrgId;
use exchanges::Expected;
use handover::Handovers;
use lines::{Line, Lines};

pub use lines::MAX_LINE;
pub use report::{Fault, Report, Wrong};

/// Most distinct signing keys that a report lists.
const MAX_KEYS: usize = 16;

/// Checks an export and reports the first thing wrong with it.
///
/// With `trusted` keys every checkpoint must be signed by one of them, or by a key that the log itself names as the one
/// before or after a trusted one, in an entry that a trusted key signed. Without, checkpoints are checked against the
/// keys they name themselves: that finds accidents and clumsy forgery, but not somebody who rewrote everything and
/// signed it with a key of their own, so the report then says whose keys they were.
///
/// # Errors
/// The input cannot be read. Whatever can be read gives a report.
pub fn verify(input: impl BufRead, trusted: &[PublicKey]) -> io::Result<Report> {
    verify_against(input, trusted, &[])
}

/// As [`verify`], and compares the export with checkpoints that were kept elsewhere, in the order of their entries. That
/// finds a log that was rewritten and signed anew by somebody who could use the right key: a checkpoint from before tells.
///
/// # Errors
/// The input cannot be read. Whatever can be read gives a report.
pub fn verify_against(input: impl BufRead, trusted: &[PublicKey], kept: &[Checkpoint]) -> io::Result<Report> {
    let mut lines = Lines::new(input);
    let mut report = Report { trusted: !trusted.is_empty(), ..Report::default() };
    let header = match lines.next()? {
        Line::Text(text) => read_header(text),
        Line::Garbage(why) => Err(why.to_owned()),
        Line::End => Err("it is empty".to_owned()),
    };
    let header = match header {
        Ok(header) => header,
        Err(why) => {
            report.fault = Some(Fault { line: 1, seq: None, wrong: Wrong::NotAnExport(why) });
            return Ok(report);
        }
    };
    report.org = Some(header.org);
    let mut walk = Walk::new(header, trusted, kept, report);
    let mut found = walk.check_header();
    while found.is_ok() {
        found = match lines.next()? {
            Line::Text(text) => walk.line(text),
            Line::Garbage(why) => Err(walk.here(Wrong::Unreadable(why.to_owned()))),
            Line::End => break,
        };
    }
    let (seq, wrong) = match found.and_then(|()| walk.end()) {
        Ok(()) => return Ok(walk.report),
        Err(fault) => fault,
    };
    let line = lines.number();
    let wrong = walk.look_ahead(&mut lines, wrong)?;
    walk.report.fault = Some(Fault { line, seq, wrong });
    Ok(walk.report)
}

fn read_header(text: &str) -> Result<Export, String> {
    let header: Export = serde_json::from_str(text).map_err(|e| e.to_string())?;
    if header.format() != FORMAT {
        return Err(format!("it has format {}, and this program reads format {FORMAT}", header.format()));
    }
    if header.line() != text {
        return Err("its first line was rewritten".to_owned());
    }
    Ok(header)
}

/// What is wrong, and with which entry.
type Found = (Option<u64>, Wrong);

/// What has been seen so far.
struct Walk<'a> {
    header: Export,
    /// The keys that are trusted, and how that goes on from one to the next.
    keys: Handovers,
    /// Checkpoints from elsewhere that have not been reached.
    kept: &'a [Checkpoint],
    /// The hash of the last entry seen.
    hash: Hash,
    /// The place the next entry should have.
    next: u64,
    /// The exchanges of the last entry.
    exchanges: Option<Expected>,
    /// The checkpoint that was the last line, if the last line was one.
    closing: Option<Checkpoint>,
    /// The last entry a checkpoint covered.
    covered: Option<u64>,
    /// The last entry of which records are gone, and the first of them.
    gone: Option<(u64, u64)>,
    /// Up to which entry they are, as the log says.
    deleted: u64,
    report: Report,
}

#[derive(Deserialize)]
struct Place {
    org: OrgId,
    seq: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    checkpoint: Checkpoint,
    signature: Signature,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Altered {
    altered: u64,
}

impl<'a> Walk<'a> {
    fn new(header: Export, trusted: &[PublicKey], kept: &'a [Checkpoint], report: Report) -> Self {
        let covered = (header.first == 1).then_some(0);
        Self {
            hash: header.prev,
            next: header.first,
            exchanges: None,
            closing: None,
            covered,
            gone: None,
            deleted: 0,
            keys: Handovers::new(trusted),
            kept,
            report,
            header,
        }
    }

    /// A fault of the entry that should stand here.
    const fn here(&self, wrong: Wrong) -> Found {
        (Some(self.next), wrong)
    }

    fn check_header(&mut self) -> Result<(), Found> {
        if self.header.first == 0 || self.header.last == u64::MAX || self.header.last + 1 < self.header.first
        {
            return Err((None, Wrong::Header("its range of entries makes no sense")));
        }
        if self.kept.iter().any(|kept| kept.org != self.header.org) {
            return Err((None, Wrong::Header("it is of another organization than a checkpoint given")));
        }
        // Those that lie before the file cannot be compared.
        let before = self.kept.partition_point(|kept| kept.seq < self.header.first - 1);
        self.kept = &self.kept[before..];
        self.compare_kept()
    }

    /// Compares the place reached with the checkpoints from elsewhere that cover it.
    fn compare_kept(&mut self) -> Result<(), Found> {
        let reached = self.next - 1;
        while let Some((kept, later)) = self.kept.split_first().filter(|(kept, _)| kept.seq == reached) {
            if kept.hash != self.hash {
                return Err((Some(reached), Wrong::NotAsKept));
            }
            self.kept = later;
            self.report.compared += 1;
        }
        Ok(())
    }

    fn line(&mut self, text: &str) -> Result<(), Found> {
        if text.starts_with(EXCHANGE) || text.starts_with(LOST) || text.starts_with(DELETED) {
            return self.exchange(text);
        }
        self.exchanges_end()?;
        if let Some(rest) = text.strip_prefix(ENTRY) {
            return self.entry(rest);
        }
        if text.starts_with(r#"{"checkpoint":"#) {
            return self.checkpoint(text);
        }
        match serde_json::from_str::<Altered>(text) {
            Ok(Altered { altered }) => Err((Some(altered), Wrong::Altered)),
            Err(e) => Err(self.here(Wrong::Unreadable(format!("neither an entry nor a checkpoint: {e}")))),
        }
    }

    /// A record of the last entry's exchanges.
    fn exchange(&mut self, text: &str) -> Result<(), Found> {
        let last = self.next - 1;
        let Some(expected) = &mut self.exchanges else { return Err((Some(last), Wrong::ExchangesInserted)) };
        if expected.line(text).map_err(|wrong| (Some(last), wrong))? {
            self.report.exchanges += 1;
        } else {
            self.report.deleted += 1;
            if self.gone.is_none_or(|(seq, _)| seq != last) {
                self.gone = Some((last, expected.seen()));
            }
        }
        Ok(())
    }

    /// All records of the last entry have been seen.
    fn exchanges_end(&mut self) -> Result<(), Found> {
        let last = self.next - 1;
        self.exchanges.take().map_or(Ok(()), Expected::end).map_err(|wrong| (Some(last), wrong))
    }

    fn entry(&mut self, rest: &str) -> Result<(), Found> {
        let Some((entry, hash, prev)) = split_entry(rest) else {
            return Err(self.here(Wrong::Unreadable("an entry's line of another form".to_owned())));
        };
        let place: Place = match serde_json::from_str(entry) {
            Ok(place) => place,
            Err(e) => return Err(self.here(Wrong::Unreadable(e.to_string()))),
        };
        if place.seq > self.next {
            return Err(self.here(Wrong::Missing { until: place.seq - 1 }));
        }
        if place.seq < self.next {
            return Err((Some(place.seq), Wrong::Inserted));
        }
        if Hash::link(&self.hash, entry) != hash || prev != self.hash {
            // An entry that agrees with a hash before it that is not there: the one before it was exchanged.
            let sound = Hash::link(&prev, entry) == hash;
            let before = self.next.checked_sub(1).filter(|before| *before >= self.header.first);
            return Err(match before {
                Some(before) if sound && prev != self.hash => (Some(before), Wrong::Altered),
                None if sound && prev != self.hash => {
                    (None, Wrong::Header("it names another hash before the first entry"))
                }
                _ => self.here(Wrong::Altered),
            });
        }
        if place.org != self.header.org {
            return Err(self.here(Wrong::Foreign(place.org)));
        }
        let promised = Promised::read(entry).map_err(|e| self.here(Wrong::Unreadable(e.to_string())))?;
        self.exchanges = promised.map(Expected::new);
        self.keys.read(place.seq, entry);
        self.deleted = self.deleted.max(deleted_through(entry).unwrap_or(0));
        self.hash = hash;
        self.next += 1;
        self.closing = None;
        self.report.entries += 1;
        self.report.first.get_or_insert(place.seq);
        self.report.last = Some(place.seq);
        self.compare_kept()
    }

    fn checkpoint(&mut self, text: &str) -> Result<(), Found> {
        let signed: Signed = match serde_json::from_str(text) {
            Ok(signed) => signed,
            Err(e) => return Err(self.here(Wrong::Unreadable(e.to_string()))),
        };
        let (point, seq) = (signed.checkpoint, self.next - 1);
        if point.line(&signed.signature) != text {
            return Err((Some(point.seq), Wrong::BadSignature("its text was rewritten")));
        }
        if point.check(&signed.signature).is_err() {
            return Err((Some(point.seq), Wrong::BadSignature("its signature does not match")));
        }
        if point.org != self.header.org {
            return Err((Some(point.seq), Wrong::Foreign(point.org)));
        }
        if point.seq > seq {
            return Err(self.here(Wrong::Missing { until: point.seq }));
        }
        if point.seq < seq {
            return Err((Some(point.seq), Wrong::Misplaced));
        }
        if point.hash != self.hash {
            let after = self.covered.unwrap_or(self.header.first - 1);
            return Err((Some(after + 1), Wrong::Rewritten { until: point.seq }));
        }
        if let Some(covered) = self.covered
            && point.count != point.seq.saturating_sub(covered)
        {
            return Err((Some(point.seq), Wrong::MissingCheckpoint));
        }
        // Only now is it known that the key signed what was read.
        self.keys.signed(&point).map_err(|key| (Some(point.seq), Wrong::UntrustedKey(key)))?;
        self.covered = Some(point.seq);
        self.report.checkpoints += 1;
        if !self.report.keys.contains(&point.key) && self.report.keys.len() < MAX_KEYS {
            self.report.keys.push(point.key);
        }
        self.closing = Some(point);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Found> {
        self.exchanges_end()?;
        let seen = self.next - 1;
        if seen < self.header.last {
            return Err(self.here(Wrong::CutOff { until: self.header.last }));
        }
        if let Some(kept) = self.kept.first() {
            return Err((Some(seen), Wrong::EndsBeforeKept { covered: kept.seq }));
        }
        if seen > self.header.last {
            return Err((Some(self.header.last + 1), Wrong::Inserted));
        }
        if let Some((seq, n)) = self.gone.filter(|(seq, _)| *seq > self.deleted) {
            return Err((Some(seq), Wrong::Exchange { n, id: None }));
        }
        if let Some((seq, key)) = self.keys.never_trusted() {
            return Err((Some(seq), Wrong::UntrustedKey(key)));
        }
        match &self.closing {
            None => Err((Some(seen), Wrong::NoClosingCheckpoint)),
            Some(point) if point.key != self.header.key => {
                Err((None, Wrong::Header("it names another key than the closing checkpoint")))
            }
            Some(_) => Ok(()),
        }
    }

    /// A missing entry that turns up further down was moved, not removed.
    fn look_ahead(&self, lines: &mut Lines<impl BufRead>, wrong: Wrong) -> io::Result<Wrong> {
        if !matches!(wrong, Wrong::Missing { .. }) {
            return Ok(wrong);
        }
        loop {
            match lines.next()? {
                Line::End => return Ok(wrong),
                Line::Garbage(_) => {}
                Line::Text(text) => {
                    let entry = text.strip_prefix(ENTRY).and_then(split_entry);
                    let place = entry.and_then(|(entry, _, _)| serde_json::from_str::<Place>(entry).ok());
                    if place.is_some_and(|place| place.seq == self.next) {
                        return Ok(Wrong::Reordered { line: lines.number() });
                    }
                }
            }
        }
    }
}

/// Splits an entry's line, whose beginning was taken off, into the entry, its hash and the hash before it.
fn split_entry(rest: &str) -> Option<(&str, Hash, Hash)> {
    let (entry, tail) = rest.split_at_checked(rest.len().checked_sub(TAIL)?)?;
    let (hash, tail) = tail.strip_prefix(HASH)?.split_at_checked(64)?;
    let (prev, tail) = tail.strip_prefix(PREV)?.split_at_checked(64)?;
    (tail == CLOSE).then_some((entry, hash.parse().ok()?, prev.parse().ok()?))
}

#[cfg(test)]
mod tests;
