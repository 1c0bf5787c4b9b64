//! The journal against crashes and failing disks.

use std::sync::Arc;

use gatehouse_domain::exchange::{Cost, Credential, Ended, Exchange, Intent, Kind, Principal};
use gatehouse_domain::id::{ExchangeId, KeyId, OrgId, UserId};
use gatehouse_domain::time::UnixMillis;
use proptest::prelude::*;
use tempfile::TempDir;

use super::{Journal, Options, Position, Recovered, Ticket};

mod bounds;
mod damage;

fn intent(n: u128) -> Intent {
    let at = UnixMillis(1_000);
    let principal = Principal {
        org: OrgId::new(at, 1),
        user: UserId::new(at, 1),
        credential: Credential::Key(KeyId::new(at, 1)),
        team: None,
        project: None,
    };
    Intent {
        id: ExchangeId::new(at, n),
        kind: Kind::Messages,
        principal,
        provider: "main".to_owned(),
        model: "m".repeat(20),
        stream: true,
        started_at: at,
        bytes_in: 400,
        estimated_input: 100,
        peer: None,
    }
}

fn exchange(n: u128) -> Exchange {
    let mut exchange = intent(n).interrupted(Cost::default());
    exchange.ended = Ended::Completed;
    exchange
}

fn options(folder: &TempDir) -> Options {
    let mut options = Options::new(folder.path().join("journal"));
    options.segment_bytes = SEGMENT;
    options
}

const SEGMENT: u64 = 64 * 1024;

fn start(folder: &TempDir) -> (Journal, Recovered) {
    start_with(&options(folder))
}

fn start_with(options: &Options) -> (Journal, Recovered) {
    Journal::start(options, &|_| Cost::default()).unwrap()
}

fn wait_durable(journal: &Journal, ticket: Ticket) {
    wait_until(journal, |journal| journal.durable() >= ticket);
}

#[expect(clippy::disallowed_methods, reason = "the journal's threads are waited for")]
fn wait_until(journal: &Journal, done: impl Fn(&Journal) -> bool) {
    for _ in 0..5_000 {
        if done(journal) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    panic!("it never came to be: {:?}", journal.stats());
}

fn all(journal: &Journal, after: Option<Position>) -> Vec<Exchange> {
    let mut found = Vec::new();
    journal.tail(after).unwrap().read(usize::MAX, &mut found).unwrap();
    found
}

#[test]
fn what_is_durable_is_read_back_once_over_many_restarts_and_segments() {
    let folder = TempDir::new().unwrap();
    let mut expected = 0;
    for run in 0..10_u128 {
        let (journal, recovered) = start(&folder);
        assert_eq!((recovered.lost, recovered.interrupted), (0, 0), "run {run}");
        let mut last = Ticket(0);
        for n in 0..150 {
            journal.open(&intent(run * 1000 + n)).unwrap();
            last = journal.close(&exchange(run * 1000 + n));
        }
        wait_durable(&journal, last);
        expected += 150;
        let found = all(&journal, None);
        let mut ids: Vec<_> = found.iter().map(|e| e.id).collect();
        ids.dedup();
        assert_eq!((found.len(), ids.len()), (expected, expected), "run {run}");
    }
}

#[test]
fn an_intent_without_an_end_is_recorded_as_interrupted() {
    let folder = TempDir::new().unwrap();
    let (journal, _) = start(&folder);
    journal.open(&intent(1)).unwrap();
    journal.open(&intent(2)).unwrap();
    let ticket = journal.close(&exchange(2));
    wait_durable(&journal, ticket);
    drop(journal);
    let (journal, recovered) = start(&folder);
    assert_eq!(recovered.interrupted, 1);
    let found = all(&journal, None);
    assert_eq!(found.len(), 2);
    assert!(found.iter().any(|e| e.id == intent(1).id && e.ended == Ended::Interrupted && e.estimated));
    drop(journal);
    assert_eq!(start(&folder).1.interrupted, 0, "it is recorded once");
}

#[test]
fn a_failed_flush_or_write_loses_nothing_that_was_promised() {
    let folder = TempDir::new().unwrap();
    let (journal, _) = start(&folder);
    let mut tickets = Vec::new();
    for n in 0..60_u128 {
        match n {
            10 => journal.inner.folder.faults.fail_syncs(1),
            25 => journal.inner.folder.faults.fail_writes(1),
            40 => {
                journal.inner.folder.faults.fail_syncs(2);
                journal.inner.folder.faults.fail_creates(1);
            }
            _ => {}
        }
        // While the disk fails new exchanges may be refused; their ends are taken all the same.
        let _ = journal.open(&intent(n));
        tickets.push(journal.close(&exchange(n)));
        wait_durable(&journal, tickets[tickets.len() - 1]);
    }
    drop(journal);
    let (journal, _) = start(&folder);
    let found = all(&journal, None);
    for n in 0..60 {
        assert_eq!(found.iter().filter(|e| e.id == exchange(n).id).count(), 1, "exchange {n}");
    }
}

#[test]
fn wake_ups_follow_flushes() {
    let folder = TempDir::new().unwrap();
    let (journal, _) = start(&folder);
    let (send, receive) = std::sync::mpsc::channel();
    let send = std::sync::Mutex::new(send);
    journal.on_durable(Box::new(move || send.lock().unwrap().send(()).unwrap_or_default()));
    let ticket = journal.close(&exchange(1));
    receive.recv_timeout(std::time::Duration::from_secs(10)).unwrap();
    assert!(journal.durable() >= ticket);
}

#[test]
fn many_threads_share_flushes() {
    let folder = TempDir::new().unwrap();
    let journal = Arc::new(start(&folder).0);
    std::thread::scope(|scope| {
        for thread in 0..8_u128 {
            let journal = Arc::clone(&journal);
            scope.spawn(move || {
                for n in 0..100 {
                    // Eight threads may fill the small segments of a test faster than the next one is made.
                    wait_until(&journal, |journal| journal.open(&intent(thread * 1000 + n)).is_ok());
                    let ticket = journal.close(&exchange(thread * 1000 + n));
                    if n % 10 == 0 {
                        wait_durable(&journal, ticket);
                    }
                }
            });
        }
    });
    wait_durable(&journal, journal.newest());
    assert_eq!(all(&journal, None).len(), 800);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Bytes behind what was durable may be torn or anything: what was durable is there, once each, and nothing fails.
    #[test]
    fn a_torn_tail_takes_nothing_with_it(count in 1_u128..40, junk in proptest::collection::vec(any::<u8>(), 1..600)) {
        use std::os::unix::fs::FileExt as _;
        let folder = TempDir::new().unwrap();
        let (journal, _) = start(&folder);
        let mut last = Ticket(0);
        for n in 0..count {
            journal.open(&intent(n)).unwrap();
            last = journal.close(&exchange(n));
        }
        wait_durable(&journal, last);
        let end = journal.stats().durable;
        drop(journal);
        let file = folder.path().join(format!("journal/{:08}.seg", end.segment));
        std::fs::File::options().write(true).open(file).unwrap().write_all_at(&junk, end.offset).unwrap();
        let (journal, _) = start(&folder);
        prop_assert_eq!(all(&journal, None).len(), usize::try_from(count).unwrap());
        let next = journal.close(&exchange(9_999));
        wait_durable(&journal, next);
        prop_assert_eq!(all(&journal, None).len(), usize::try_from(count).unwrap() + 1);
    }
}
