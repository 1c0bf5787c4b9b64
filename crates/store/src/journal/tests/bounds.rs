//! Bounds of disk, memory and entries, and what happens there.

use std::fs;

use gatehouse_domain::data_protection::{DataFinding, DataFindings, MAX_DETECTOR, MAX_FINDINGS, Verdict};
use gatehouse_domain::usage::{Advisor, Tokens};

use super::super::frame::{MAX_PAYLOAD, Payload, read_exchange, read_id, read_intent};
use super::super::{Refusing, Ticket};
use super::*;

/// Opens and ends exchanges until the journal refuses and goes on refusing, but not more than 2,000; gives how many
/// there were.
fn fill(journal: &Journal, from: u128) -> u128 {
    let mut n = from;
    let mut last = Ticket(0);
    while n < from + 2_000 && within_half_a_second(|| journal.open(&intent(n)).is_ok()) {
        last = journal.close(&exchange(n));
        n += 1;
        if n.is_multiple_of(50) {
            wait_durable(journal, last);
        }
    }
    wait_durable(journal, last);
    n - from
}

/// Small segments are full before the next is made, so that a refusal may be one of milliseconds.
#[expect(clippy::disallowed_methods, reason = "the journal's threads are waited for")]
fn within_half_a_second(mut done: impl FnMut() -> bool) -> bool {
    (0..100).any(|_| {
        let done = done();
        if !done {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        done
    })
}

fn segments(folder: &TempDir) -> Vec<(String, u64)> {
    let mut found: Vec<(String, u64)> = fs::read_dir(folder.path().join("journal"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len()))
        .collect();
    found.sort();
    found
}

#[test]
fn at_its_limit_it_refuses_keeps_room_for_ends_and_heals_when_the_ledger_has_passed() {
    let folder = TempDir::new().unwrap();
    let mut options = options(&folder);
    options.max_bytes = 5 * SEGMENT;
    let (journal, _) = start_with(&options);
    // Streams that run while everything else fills the journal.
    (1..=5).for_each(|n| journal.open(&intent(n)).unwrap());
    let filled = fill(&journal, 1_000);
    assert!(filled > 500, "{filled}");
    assert_eq!(journal.ready(), Err(Refusing::NoRoom));
    assert_eq!(segments(&folder).iter().map(|s| s.1).sum::<u64>(), options.max_bytes);
    let shed = journal.stats().shed;
    let unimportant = journal.close(&exchange(999_999));
    wait_durable(&journal, unimportant);
    assert!(journal.stats().shed > shed || journal.stats().room_bytes > 0);
    for n in 1..=5 {
        wait_durable(&journal, journal.close(&exchange(n)));
    }
    journal.passed(journal.stats().durable);
    wait_until(&journal, |journal| journal.ready().is_ok());
    assert!(fill(&journal, 10_000) > 100);
    drop(journal);
    let (_, recovered) = start_with(&options);
    assert_eq!((recovered.interrupted, recovered.lost), (0, 0));
}

#[test]
fn records_of_refused_requests_are_only_counted_once_room_is_short() {
    let folder = TempDir::new().unwrap();
    let mut options = options(&folder);
    options.max_bytes = 3 * SEGMENT;
    let (journal, _) = start_with(&options);
    journal.open(&intent(1)).unwrap();
    fill(&journal, 1_000);
    for n in 0..2_000 {
        wait_durable(&journal, journal.close(&exchange(100_000 + n)));
    }
    let stats = journal.stats();
    assert!(stats.shed > 1_000 && stats.room_bytes > 0, "{stats:?}");
    wait_durable(&journal, journal.close(&exchange(1)));
    let found = all(&journal, None);
    assert!(found.iter().any(|e| e.id == exchange(1).id));
}

#[test]
fn one_long_stream_does_not_hold_the_journal() {
    let folder = TempDir::new().unwrap();
    let (journal, _) = start(&folder);
    journal.open(&intent(1)).unwrap();
    for round in 1..=20 {
        for n in 0..100 {
            wait_until(&journal, |journal| journal.ready().is_ok());
            journal.open(&intent(round * 1_000 + n)).unwrap();
            wait_durable(&journal, journal.close(&exchange(round * 1_000 + n)));
        }
        journal.passed(journal.stats().durable);
    }
    // Current, spare, one to be used again, one kept, and one that may be about to go.
    wait_until(&journal, |_| segments(&folder).len() <= 5);
    assert!(segments(&folder)[0].0.as_str() > "00000003", "{:?}", segments(&folder));
    drop(journal);
    let (journal, recovered) = start(&folder);
    assert_eq!((recovered.interrupted, recovered.lost), (1, 0), "its intent was carried on");
    assert!(all(&journal, None).iter().any(|e| e.id == intent(1).id && e.ended == Ended::Interrupted));
}

#[test]
fn a_full_disk_lets_open_exchanges_end_and_heals_by_itself() {
    let folder = TempDir::new().unwrap();
    let (journal, _) = start(&folder);
    wait_until(&journal, |journal| journal.inner.files().spare.is_some());
    journal.inner.folder.faults.fail_creates(u32::MAX);
    (1..=5).for_each(|n| journal.open(&intent(n)).unwrap());
    fill(&journal, 1_000);
    assert_eq!(journal.ready(), Err(Refusing::NoRoom));
    for n in 1..=5 {
        wait_durable(&journal, journal.close(&exchange(n)));
    }
    journal.inner.folder.faults.fail_creates(0);
    wait_until(&journal, |journal| journal.ready().is_ok());
    assert!(fill(&journal, 100_000) > 100);
}

#[test]
fn a_broken_disk_refuses_keeps_ends_and_heals_by_itself() {
    let folder = TempDir::new().unwrap();
    let (journal, _) = start(&folder);
    (1..=20).for_each(|n| journal.open(&intent(n)).unwrap());
    let faults = &journal.inner.folder.faults;
    faults.fail_syncs(u32::MAX);
    faults.fail_creates(u32::MAX);
    let last = (1..=20).map(|n| journal.close(&exchange(n))).max().unwrap();
    wait_until(&journal, |journal| journal.ready() == Err(Refusing::Broken));
    assert!(journal.durable() < last, "nothing is promised that is not there");
    faults.fail_creates(0);
    faults.fail_syncs(1);
    wait_durable(&journal, last);
    wait_until(&journal, |journal| journal.ready().is_ok());
    drop(journal);
    let (journal, recovered) = start(&folder);
    assert_eq!((recovered.interrupted, recovered.lost), (0, 0));
    assert_eq!(all(&journal, None).len(), 20);
}

#[test]
fn a_rescue_that_finds_no_segment_at_first_removes_nothing_acknowledged() {
    let folder = TempDir::new().unwrap();
    let (journal, _) = start(&folder);
    for n in 0..50 {
        journal.open(&intent(n)).unwrap();
        wait_durable(&journal, journal.close(&exchange(n)));
    }
    wait_until(&journal, |journal| journal.inner.files().spare.is_some());
    let spare = journal.inner.files().spare.take().unwrap();
    journal.inner.folder.remove(spare.number).unwrap();
    // The flush fails, then no segment can be made, then one can and its flush fails.
    journal.inner.folder.faults.fail_creates(1);
    journal.inner.folder.faults.fail_syncs(2);
    wait_durable(&journal, journal.close(&exchange(50)));
    drop(journal);
    let (journal, recovered) = start(&folder);
    assert_eq!((recovered.interrupted, recovered.lost), (0, 0));
    assert_eq!(all(&journal, None).len(), 51);
}

#[test]
fn a_broken_disk_is_tried_again_every_second_and_not_without_pause() {
    let folder = TempDir::new().unwrap();
    let (journal, _) = start(&folder);
    journal.inner.folder.faults.fail_syncs(u32::MAX);
    let last = journal.close(&exchange(1));
    let began = std::time::Instant::now();
    wait_until(&journal, |_| began.elapsed() > std::time::Duration::from_millis(2_500));
    let newest = segments(&folder).pop().unwrap().0;
    assert!(newest.as_str() < "00000008", "{newest} after two seconds");
    journal.inner.folder.faults.fail_syncs(0);
    wait_durable(&journal, last);
}

#[test]
fn more_than_a_segment_is_rescued_from_a_broken_disk() {
    let folder = TempDir::new().unwrap();
    let (journal, _) = start(&folder);
    let faults = &journal.inner.folder.faults;
    faults.fail_syncs(u32::MAX);
    // These have no intent, so memory alone bounds them.
    let mut last = journal.close(&exchange(0));
    wait_until(&journal, |journal| journal.ready().is_err());
    let mut count = 1;
    while journal.stats().shed == 0 {
        last = last.max(journal.close(&exchange(count)));
        count += 1;
    }
    faults.fail_syncs(0);
    wait_durable(&journal, last);
    assert_eq!(all(&journal, None).len() as u128, count - 1);
}

#[test]
fn memory_is_bounded_while_the_disk_is_slow() {
    let folder = TempDir::new().unwrap();
    let mut options = options(&folder);
    options.segment_bytes = 4 << 20;
    options.max_unsaved_bytes = 64 * 1024;
    let (journal, _) = start_with(&options);
    // While the files are held nothing can be written, as on a disk that does not answer.
    let files = journal.inner.files();
    let mut n = 0;
    while journal.ready().is_ok() {
        journal.close(&exchange(n));
        n += 1;
    }
    assert_eq!(journal.ready(), Err(Refusing::Behind));
    for more in 0..10 {
        journal.close(&exchange(n + more));
    }
    let stats = journal.stats();
    assert!(stats.unsaved_bytes < 65 * 1024 && stats.shed >= 9, "{stats:?}");
    drop(files);
    wait_until(&journal, |journal| journal.ready().is_ok());
}

#[test]
fn overlong_texts_are_cut_and_no_entry_is_larger_than_its_bound() {
    let long = || Some("\u{e9}".repeat(5_000));
    let mut e = exchange(1);
    e.request_id = long().unwrap();
    (e.provider, e.model, e.served_model) = (long(), long(), long());
    (e.reason, e.session, e.client) = (long(), long(), long());
    let tokens =
        Tokens { input: u64::MAX, cache_write_5m: 7, cache_write_1h: 7, cache_read: 7, output: u64::MAX };
    e.left_out = vec!["x".repeat(300); 100];
    let found = DataFinding { detector: "y".repeat(300), count: u32::MAX };
    e.data = Some(DataFindings { verdict: Verdict::Blocked, findings: vec![found; 100] });
    e.usage.advisors = vec![Advisor { model: long().unwrap(), tokens }; 100];
    let payload = Payload::exchange(&e);
    assert!(payload.bytes().len() <= MAX_PAYLOAD, "{}", payload.bytes().len());
    let read = read_exchange(5, payload.bytes()).unwrap();
    assert_eq!(read.request_id, "\u{e9}".repeat(100));
    assert_eq!(read.usage.total().cache_read, 700, "no token is lost");
    let findings = read.data.unwrap().findings;
    assert_eq!((findings.len(), findings[0].detector.len()), (MAX_FINDINGS, MAX_DETECTOR));
    let mut i = intent(1);
    (i.provider, i.model) = (long().unwrap(), long().unwrap());
    assert_eq!(read_intent(5, Payload::intent(&i).bytes()).unwrap().model.len(), 200);
}

#[test]
fn the_form_on_disk_is_the_fifth_and_those_before_are_read_too() {
    let mut e = exchange(1);
    e.session = Some("s".to_owned());
    e.peer = Some("192.0.2.7".parse().unwrap());
    let hex = |bytes: &[u8]| bytes.iter().fold(String::new(), |hex, b| hex + &format!("{b:02x}"));
    let why = "entries of earlier runs could not be read: this needs a new form number";
    assert_eq!(hex(Payload::exchange(&e).bytes()), EXCHANGE_FORM, "{why}");
    assert_eq!(hex(Payload::intent(&intent(1)).bytes()), INTENT_FORM, "{why}");

    let bytes = |hex: &str| -> Vec<u8> {
        hex.as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    };
    assert_eq!(read_exchange(1, &bytes(EXCHANGE_FORM_1)).unwrap(), e);
    assert_eq!(read_intent(1, &bytes(INTENT_FORM_1)).unwrap(), intent(1));
    assert_eq!(read_id(1, &bytes(INTENT_FORM_1)).unwrap(), intent(1).id);
    assert_eq!(read_exchange(2, &bytes(EXCHANGE_FORM_2)).unwrap(), e);
    assert_eq!(read_intent(2, &bytes(INTENT_FORM)).unwrap(), intent(1));
    assert_eq!(read_exchange(3, &bytes(EXCHANGE_FORM_3)).unwrap(), e);
    assert_eq!(read_intent(3, &bytes(INTENT_FORM)).unwrap(), intent(1));
    assert_eq!(read_exchange(4, &bytes(EXCHANGE_FORM_4)).unwrap(), e);
    assert_eq!(read_intent(4, &bytes(INTENT_FORM)).unwrap(), intent(1));
    assert!(read_exchange(6, &bytes(EXCHANGE_FORM)).is_err() && read_id(0, &bytes(INTENT_FORM)).is_err());
    // One that was not recognized has no credential to be told.
    e.principal = None;
    let mut without = Payload::exchange(&e).bytes().to_vec();
    without.truncate(without.len() - 5);
    assert_eq!(read_exchange(1, &without).unwrap(), e);
    without.truncate(3);
    assert!(read_exchange(1, &without).is_err());
}

const EXCHANGE_FORM: &str = "8180808080808080808080c03e0000018180808080808080808080c03e8180808080808080808080c03e\
    008180808080808080808080c03e000001046d61696e01146d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d00010000010c6e6f64655f73746f\
    7070656464000000000000000000000000010000d00f0000009003000100c0000207010173000000000000";
const EXCHANGE_FORM_4: &str = "8180808080808080808080c03e0000018180808080808080808080c03e8180808080808080808080c03e\
    008180808080808080808080c03e000001046d61696e01146d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d00010000010c6e6f64655f73746f\
    7070656464000000000000000000000000010000d00f0000009003000100c00002070101730000000000";
const EXCHANGE_FORM_3: &str = "8180808080808080808080c03e0000018180808080808080808080c03e8180808080808080808080c03e\
    008180808080808080808080c03e000001046d61696e01146d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d00010000010c6e6f64655f73746f\
    7070656464000000000000000000000000010000d00f0000009003000100c000020701017300000000";
const EXCHANGE_FORM_2: &str = "8180808080808080808080c03e0000018180808080808080808080c03e8180808080808080808080c03e\
    008180808080808080808080c03e000001046d61696e01146d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d00010000010c6e6f64655f73746f\
    7070656464000000000000000000000000010000d00f0000009003000100c000020701017300";
const INTENT_FORM: &str = "8180808080808080808080c03e008180808080808080808080c03e8180808080808080808080c03e\
    008180808080808080808080c03e0000046d61696e146d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d01d00f90036400";

/// As the first release wrote them.
const EXCHANGE_FORM_1: &str = "8180808080808080808080c03e0000018180808080808080808080c03e8180808080808080808080c03e\
    8180808080808080808080c03e000001046d61696e01146d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d00010000010c6e6f64655f73746f\
    7070656464000000000000000000000000010000d00f0000009003000100c000020701017300";
const INTENT_FORM_1: &str = "8180808080808080808080c03e008180808080808080808080c03e8180808080808080808080c03e\
    8180808080808080808080c03e0000046d61696e146d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d01d00f90036400";
