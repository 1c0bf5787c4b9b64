//! The records after an entry for a batch of exchanges.

use serde::Deserialize;

use super::super::batch::LeavesHash;
use super::super::export::{DELETED, EXCHANGE, LEAF, LOST, NTH};
use super::super::{Hash, Promised};
use super::report::Wrong;
use crate::id::ExchangeId;

/// What an entry promises, and what of it has been seen.
pub(super) struct Expected {
    promised: Promised,
    seen: u64,
    sum: LeavesHash,
}

#[derive(Deserialize)]
struct Named {
    id: ExchangeId,
}

impl Expected {
    pub(super) fn new(promised: Promised) -> Self {
        Self { promised, seen: 0, sum: LeavesHash::default() }
    }

    /// Takes a line that begins like a record's. Gives whether the record is there; the others were deleted, it says.
    pub(super) fn line(&mut self, text: &str) -> Result<bool, Wrong> {
        let next = self.seen + 1;
        if next > self.promised.count {
            return Err(Wrong::ExchangesInserted);
        }
        if let Some(lost) = text.strip_prefix(LOST) {
            let id = lost.get(..ExchangeId::PREFIX.len() + 26).and_then(|id| id.parse().ok());
            return Err(Wrong::Exchange { n: next, id });
        }
        let altered = |id| Wrong::Exchange { n: next, id };
        if text.starts_with(DELETED) {
            let Some((_, leaf, n)) = split(text, DELETED) else { return Err(altered(None)) };
            if n != next {
                return Err(Wrong::ExchangesMissing { n: next, count: self.promised.count });
            }
            self.sum.add(&leaf);
            self.seen = next;
            return Ok(false);
        }
        let Some((record, leaf, n)) = split(text, EXCHANGE) else { return Err(altered(None)) };
        if n != next {
            return Err(Wrong::ExchangesMissing { n: next, count: self.promised.count });
        }
        if Hash::of(record.as_bytes()) != leaf {
            return Err(altered(serde_json::from_str::<Named>(record).ok().map(|named| named.id)));
        }
        self.sum.add(&leaf);
        self.seen = next;
        Ok(true)
    }

    /// How many lines were taken.
    pub(super) const fn seen(&self) -> u64 {
        self.seen
    }

    /// There are no more lines.
    pub(super) fn end(self) -> Result<(), Wrong> {
        if self.seen < self.promised.count {
            return Err(Wrong::ExchangesMissing { n: self.seen + 1, count: self.promised.count });
        }
        if self.sum.finish() != self.promised.leaves {
            return Err(Wrong::ExchangesRewritten);
        }
        Ok(())
    }
}

/// Splits a line that begins so into the record, its hash and its number in the batch.
fn split<'a>(text: &'a str, beginning: &str) -> Option<(&'a str, Hash, u64)> {
    let text = text.strip_prefix(beginning)?;
    let (record, tail) = text.rsplit_once(LEAF)?;
    let (leaf, tail) = tail.split_at_checked(64)?;
    let n = tail.strip_prefix(NTH)?.strip_suffix('}')?;
    // Only as we write it: every byte counts.
    let written = n.bytes().all(|digit| digit.is_ascii_digit()) && !n.starts_with('0');
    let n = n.parse().ok().filter(|_| written)?;
    Some((record, leaf.parse().ok()?, n))
}

#[cfg(test)]
mod tests {
    use super::super::super::{
        Actor, Batch, DELETION, Draft, Export, Fault, Head, Leaves, Linked, Object, Signer, export_deleted,
        export_exchange, export_line, export_lost,
    };
    use super::super::{Checkpoint, Report, verify};
    use super::*;
    use crate::exchange::{Cost, Ended, Exchange, Kind};
    use crate::id::OrgId;
    use crate::time::UnixMillis;
    use crate::usage::Usage;
    use proptest::prelude::*;

    const ORG: OrgId = OrgId::from_bits(5);

    fn exchange(n: u64) -> Exchange {
        Exchange {
            id: ExchangeId::from_bits(n.into()),
            request_id: format!("req_{n}"),
            kind: Kind::Messages,
            principal: None,
            provider: None,
            model: Some("claude-opus-5-5".to_owned()),
            served_model: None,
            stream: false,
            status: 200,
            ended: Ended::Completed,
            reason: None,
            usage: Usage::default(),
            estimated: false,
            cost: Cost::default(),
            started_at: UnixMillis(1_700_000_000_000),
            first_byte_ms: None,
            duration_ms: 1,
            overhead_us: 1,
            bytes_in: 1,
            bytes_out: 1,
            peer: None,
            session: None,
            client: None,
            asked: None,
            attempts: Vec::new(),
            switched: false,
            left_out: Vec::new(),
            data: None,
        }
    }

    fn record(n: u64) -> String {
        let mut out = Vec::new();
        exchange(n).write_record(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn batch(of: std::ops::Range<u64>) -> (Draft, Leaves) {
        let mut batch = Batch::with_capacity(4);
        of.for_each(|n| batch.push(&exchange(n), &record(n)));
        batch.finish().unwrap()
    }

    fn push_entry(lines: &mut Vec<String>, entry: &Linked) {
        let mut line = String::new();
        export_line(&mut line, &entry.canonical, &entry.prev_hash, &entry.hash);
        lines.push(line);
    }

    /// An export: an act, a batch of three exchanges (lines 3 to 6), a batch of one, an act.
    fn lines() -> Vec<String> {
        let signer = Signer::new(&[4; 32]);
        let mut head = Head::empty(ORG);
        let mut lines = vec![Export::new(ORG, 1, 4, Hash::genesis(ORG), signer.public()).line()];
        let act =
            Draft::new(UnixMillis(1), Actor::system("test"), "key.create", Object::new("key", 1, "laptop"));
        push_entry(&mut lines, &head.append(ORG, &act));
        for of in [10..13, 20..21] {
            let (draft, leaves) = batch(of.clone());
            push_entry(&mut lines, &head.append(ORG, &draft));
            for (n, leaf) in leaves.iter().enumerate() {
                let mut line = String::new();
                let n = n as u64;
                export_exchange(&mut line, n + 1, &record(of.start + n), &leaf);
                lines.push(line);
            }
        }
        push_entry(&mut lines, &head.append(ORG, &act));
        let point = Checkpoint {
            at: UnixMillis(1),
            count: 4,
            hash: head.hash,
            key: signer.public(),
            node: "nod_a".to_owned(),
            org: ORG,
            seq: 4,
        };
        lines.push(point.line(&point.sign(&signer)));
        lines
    }

    fn check(lines: &[String]) -> Report {
        verify(lines.join("\n").as_bytes(), &[]).unwrap()
    }

    fn fault(lines: &[String]) -> (Option<u64>, Wrong) {
        let Fault { seq, wrong, .. } = check(lines).fault.expect("a fault should be found");
        (seq, wrong)
    }

    #[test]
    fn what_was_exported_is_sound() {
        let report = check(&lines());
        assert_eq!((report.fault, report.entries, report.exchanges), (None, 4, 4));
    }

    /// The lines with the third and the last act replaced: exchanges 10 to 12 deleted, if an entry says so of entry 2.
    fn without_records(says: Option<u64>, deleted: usize) -> Vec<String> {
        let signer = Signer::new(&[4; 32]);
        let mut head = Head::empty(ORG);
        let mut lines = vec![Export::new(ORG, 1, 3, Hash::genesis(ORG), signer.public()).line()];
        let act =
            Draft::new(UnixMillis(1), Actor::system("test"), "key.create", Object::new("key", 1, "laptop"));
        push_entry(&mut lines, &head.append(ORG, &act));
        let (draft, leaves) = batch(10..13);
        push_entry(&mut lines, &head.append(ORG, &draft));
        for (n, leaf) in leaves.iter().enumerate() {
            let mut line = String::new();
            let nth = n as u64 + 1;
            if n < deleted {
                export_deleted(&mut line, nth, &leaf);
            } else {
                export_exchange(&mut line, nth, &record(10 + n as u64), &leaf);
            }
            lines.push(line);
        }
        let deletion = says.map_or(act, |through| {
            let object = Object::new("exchange", "", "");
            Draft::new(UnixMillis(2), Actor::system("retention"), DELETION, object).with("through", through)
        });
        push_entry(&mut lines, &head.append(ORG, &deletion));
        let point = Checkpoint {
            at: UnixMillis(1),
            count: 3,
            hash: head.hash,
            key: signer.public(),
            node: "nod_a".to_owned(),
            org: ORG,
            seq: 3,
        };
        lines.push(point.line(&point.sign(&signer)));
        lines
    }

    #[test]
    fn records_may_be_gone_where_the_log_says_so() {
        for deleted in 0..=3 {
            let report = check(&without_records(Some(2), deleted));
            assert_eq!(
                (report.fault, report.exchanges, report.deleted),
                (None, 3 - deleted as u64, deleted as u64)
            );
        }
    }

    #[test]
    fn records_that_are_gone_without_a_word_in_the_log_are_named() {
        for says in [None, Some(1)] {
            let id = None;
            assert_eq!(fault(&without_records(says, 2)), (Some(2), Wrong::Exchange { n: 1, id }));
        }
        // The hash in its place must be the one that was chained.
        let mut lines = without_records(Some(2), 3);
        let other = Hash::of(b"other").to_string();
        let at = lines[4].find(LEAF).unwrap() + LEAF.len();
        lines[4].replace_range(at..at + 64, &other);
        assert_eq!(fault(&lines), (Some(2), Wrong::ExchangesRewritten));
    }

    #[test]
    fn an_altered_exchange_is_named() {
        let mut lines = lines();
        lines[4] = lines[4].replace("\"status\":200", "\"status\":201");
        let id = Some(ExchangeId::from_bits(11));
        assert_eq!(fault(&lines), (Some(2), Wrong::Exchange { n: 2, id }));
        let said = check(&lines).fault.unwrap().to_string();
        assert!(said.contains("exchange 2 (`exc_0000000000000000000000000B`) of entry 2"), "{said}");
    }

    #[test]
    fn a_missing_or_swapped_exchange_is_named() {
        let good = lines();
        let mut removed = good.clone();
        removed.remove(4);
        assert_eq!(fault(&removed), (Some(2), Wrong::ExchangesMissing { n: 2, count: 3 }));
        let mut last = good.clone();
        last.remove(5);
        assert_eq!(fault(&last), (Some(2), Wrong::ExchangesMissing { n: 3, count: 3 }));
        let mut swapped = good.clone();
        swapped.swap(3, 4);
        assert_eq!(fault(&swapped), (Some(2), Wrong::ExchangesMissing { n: 1, count: 3 }));
        let mut all = good;
        all.drain(3..6);
        assert_eq!(fault(&all), (Some(2), Wrong::ExchangesMissing { n: 1, count: 3 }));
    }

    #[test]
    fn an_inserted_exchange_is_named() {
        let good = lines();
        let mut more = good.clone();
        more.insert(6, good[5].replace("\"n\":3", "\"n\":4"));
        assert_eq!(fault(&more), (Some(2), Wrong::ExchangesInserted));
        let mut elsewhere = good.clone();
        elsewhere.insert(2, good[3].clone());
        assert_eq!(fault(&elsewhere), (Some(1), Wrong::ExchangesInserted));
    }

    #[test]
    fn an_exchange_altered_and_hashed_again_is_noticed() {
        let mut lines = lines();
        let forged = record(11).replace("\"status\":200", "\"status\":201");
        let leaf =
            super::super::super::Leaf { id: ExchangeId::from_bits(11), hash: Hash::of(forged.as_bytes()) };
        lines[4].clear();
        export_exchange(&mut lines[4], 2, &forged, &leaf);
        assert_eq!(fault(&lines), (Some(2), Wrong::ExchangesRewritten));
    }

    #[test]
    fn what_the_exporter_found_lost_is_named() {
        let mut lines = lines();
        let leaf = batch(11..12).1.iter().next().unwrap();
        lines[4].clear();
        export_lost(&mut lines[4], 2, &leaf);
        assert_eq!(fault(&lines), (Some(2), Wrong::Exchange { n: 2, id: Some(leaf.id) }));
    }

    #[test]
    fn leaves_read_back_and_are_what_was_promised() {
        let (draft, leaves) = batch(10..13);
        let promised =
            Promised::read(&Head::empty(ORG).append(ORG, &draft).canonical).unwrap().expect("it is a batch");
        assert!(promised.is_of(&leaves));
        let bytes = leaves.clone().into_bytes();
        assert_eq!(Leaves::from_bytes(bytes.clone()), Some(leaves.clone()));
        assert_eq!(Leaves::from_bytes(bytes[1..].to_vec()), None);
        assert!(!promised.is_of(&Leaves::from_bytes(bytes[..96].to_vec()).unwrap()));
        let mut flipped = bytes;
        flipped[20] ^= 1;
        assert!(!promised.is_of(&Leaves::from_bytes(flipped).unwrap()));
        assert!(leaves.iter().next().unwrap().holds(&record(10)));
        assert!(!leaves.iter().next().unwrap().holds(&record(11)));
    }

    proptest! {
        #[test]
        fn one_changed_byte_anywhere_is_found(at in 0.0..1.0_f64, flip in 1..=255_u8) {
            let mut bytes = lines().join("\n").into_bytes();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss,
                     reason = "a fraction of a small length is a valid index")]
            let at = (at * bytes.len() as f64) as usize;
            bytes[at] ^= flip;
            prop_assert!(!verify(bytes.as_slice(), &[]).unwrap().is_sound());
        }
    }
}
