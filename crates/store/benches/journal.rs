//! What recording an exchange costs: the calls of the data path, the wait for the disk, and bringing entries into the
//! database.
//!
//! Defended: less than 2 µs of the caller's time to end an exchange, group commit (64 writers reach at least eight times
//! the rate of one), and at most 12 µs of CPU for each exchange to come into SQLite: decoding, row, sums and audit entry.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the message")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gatehouse_domain::audit::{Actor, Draft, Object};
use gatehouse_domain::exchange::{Cost, Credential, Ended, Exchange, Intent, Kind, Principal};
use gatehouse_domain::id::{ExchangeId, KeyId, NodeId, OrgId, TeamId, UserId};
use gatehouse_domain::money::Nanos;
use gatehouse_domain::name::Name;
use gatehouse_domain::time::UnixMillis;
use gatehouse_domain::usage::Tokens;
use gatehouse_store::journal::{Journal, Options, Position, Ticket};
use gatehouse_store::ledger::Place;
use gatehouse_store::{Store, StoreConfig};

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
static NEXT: AtomicU64 = AtomicU64::new(0);

/// An intent as of one of 100 users with two models.
fn intent() -> Intent {
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let user = u128::from(n % 100);
    Intent {
        id: ExchangeId::new(NOW, u128::from(n)),
        kind: Kind::Messages,
        principal: Principal {
            org: OrgId::from_bits(1),
            user: UserId::new(NOW, user),
            credential: Credential::Key(KeyId::new(NOW, user)),
            team: Some(TeamId::new(NOW, user % 5)),
            project: None,
        },
        provider: "main".to_owned(),
        model: if n.is_multiple_of(2) { "claude-opus-5-5" } else { "claude-haiku-5-5" }.to_owned(),
        stream: true,
        started_at: NOW,
        bytes_in: 61_440,
        estimated_input: 15_360,
        peer: Some("192.0.2.7".parse().unwrap()),
    }
}

fn ended(intent: Intent) -> Exchange {
    let served = intent.model.clone();
    let mut e = intent.interrupted(Cost { nanos: Nanos(12_345_678), ..Cost::default() });
    e.ended = Ended::Completed;
    e.status = 200;
    e.reason = None;
    "req_011CUnFDxQ2sT8vY7ZbKq3Lm".clone_into(&mut e.request_id);
    e.served_model = Some(served);
    e.usage.tokens =
        Tokens { input: 12, cache_write_5m: 3_000, cache_write_1h: 0, cache_read: 48_000, output: 700 };
    e.first_byte_ms = Some(900);
    e.duration_ms = 9_000;
    e.session = Some("0b7f6c9e-6a53-4f2e-9f57-2d1f8a5e3c11".to_owned());
    e.client = Some("claude-cli/2.1.330".to_owned());
    e
}

/// A journal whose segments are let go as fast as they fill.
fn journal(folder: &tempfile::TempDir) -> Arc<Journal> {
    let options = Options::new(folder.path().join("journal"));
    let journal = Arc::new(Journal::start(&options, &|_| Cost::default()).unwrap().0);
    let weak = Arc::downgrade(&journal);
    journal.on_durable(Box::new(move || {
        if let Some(journal) = weak.upgrade() {
            journal.passed(Position { segment: u64::MAX, ..Position::default() });
        }
    }));
    journal
}

fn wait(journal: &Journal, ticket: Ticket, sleeper: &Sleeper) {
    while journal.durable() < ticket {
        sleeper.until_woken(journal, ticket);
    }
}

/// Waits as a worker does: until it is told that something has become durable.
#[derive(Default)]
struct Sleeper {
    lock: std::sync::Mutex<()>,
    woken: std::sync::Condvar,
}

impl Sleeper {
    fn until_woken(&self, journal: &Journal, ticket: Ticket) {
        let guard = self.lock.lock().unwrap();
        if journal.durable() < ticket {
            drop(self.woken.wait_timeout(guard, Duration::from_millis(50)).unwrap());
        }
    }

    fn wake(&self) {
        drop(self.lock.lock().unwrap());
        self.woken.notify_all();
    }
}

fn writers(c: &mut Criterion) {
    let folder = tempfile::tempdir_in(".").unwrap();
    let journal = journal(&folder);
    let sleeper = Arc::new(Sleeper::default());
    let told = Arc::clone(&sleeper);
    journal.on_durable(Box::new(move || told.wake()));
    let mut group = c.benchmark_group("journal");
    group.sample_size(10).measurement_time(Duration::from_secs(4));
    group.throughput(Throughput::Elements(1));
    for writers in [1_u64, 16, 64] {
        group.bench_function(format!("open, close and wait, {writers} writers"), |b| {
            b.iter_custom(|iterations| {
                let each = iterations.div_ceil(writers);
                let begun = Instant::now();
                std::thread::scope(|scope| {
                    for _ in 0..writers {
                        scope.spawn(|| {
                            for _ in 0..each {
                                let intent = intent();
                                journal.open(&intent).unwrap();
                                let ticket = journal.close(&ended(intent));
                                wait(&journal, ticket, &sleeper);
                            }
                        });
                    }
                });
                begun.elapsed() * u32::try_from(iterations).unwrap() / u32::try_from(each * writers).unwrap()
            });
        });
    }
    group.finish();
}

fn calls(c: &mut Criterion) {
    let folder = tempfile::tempdir_in(".").unwrap();
    let journal = journal(&folder);
    let mut group = c.benchmark_group("calls");
    group.bench_function("open", |b| {
        b.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            for _ in 0..iterations {
                let intent = intent();
                let begun = Instant::now();
                let _ = journal.open(&intent);
                spent += begun.elapsed();
                let ticket = journal.close(&ended(intent));
                if ticket.0.is_multiple_of(64) {
                    while journal.durable() < ticket {
                        std::thread::yield_now();
                    }
                }
            }
            spent
        });
    });
    group.bench_function("close", |b| {
        b.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            for _ in 0..iterations {
                let exchange = ended(intent());
                let begun = Instant::now();
                let ticket = journal.close(&exchange);
                spent += begun.elapsed();
                if ticket.0.is_multiple_of(64) {
                    while journal.durable() < ticket {
                        std::thread::yield_now();
                    }
                }
            }
            spent
        });
    });
    group.finish();
}

fn ledger(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir_in(".").unwrap();
    let org = OrgId::from_bits(1);
    let store = runtime.block_on(async {
        let store = Store::open(&StoreConfig::sqlite(folder.path())).await.unwrap();
        let act = Draft::new(NOW, Actor::system("bench"), "org.create", Object::new("org", org, "Acme"));
        store.create_org(org, &Name::parse("Acme").unwrap(), &act).await.unwrap();
        store
    });
    let mut place = runtime.block_on(Place::claim(&store, NodeId::from_bits(1), &[1], 0)).unwrap();
    let mut group = c.benchmark_group("ledger");
    group.sample_size(20).measurement_time(Duration::from_secs(5));
    for size in [1_u64, 20, 512] {
        group.throughput(Throughput::Elements(size));
        group.bench_function(format!("bring in {size}"), |b| {
            b.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                for _ in 0..iterations {
                    let batch: Vec<Exchange> = (0..size).map(|_| ended(intent())).collect();
                    let begun = Instant::now();
                    runtime.block_on(place.bring_in(&store, org, &batch, Position::default())).unwrap();
                    spent += begun.elapsed();
                }
                spent
            });
        });
    }
    group.finish();
}

criterion_group!(benches, calls, writers, ledger);
criterion_main!(benches);
