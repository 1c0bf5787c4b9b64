//! The ledger: from the journal into the database, exactly once, on both engines.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::engines::{NOW, World, act, name, node, on_both, signer, unique};
use gatehouse_domain::audit::{Entry, Value, verify};
use gatehouse_domain::exchange::{Cost, Credential, Ended, Exchange, Kind, PriceBasis, Principal};
use gatehouse_domain::id::{ExchangeId, NodeId, OrgId};
use gatehouse_domain::money::Nanos;
use gatehouse_domain::role::Scope;
use gatehouse_domain::time::UnixMillis;
use gatehouse_domain::usage::{ServerTools, Tokens, Usage};
use gatehouse_store::audit::{AuditFilter, AuditKind};
use gatehouse_store::journal::{Journal, Options, Position};
use gatehouse_store::ledger::{Brought, By, ExchangeFilter, Ledger, Order, Place, UsageRow, bring_in};
use gatehouse_store::{Page, Store, StoreConfig};

on_both!(
    what_ends_is_in_the_database_after_a_flush,
    a_batch_brought_in_twice_counts_once,
    two_nodes_bring_in_the_same_and_different_entries_at_once,
    a_database_that_is_away_delays_and_loses_nothing,
    a_forgotten_place_changes_nothing,
    a_database_put_back_under_a_running_node_gets_everything_again,
    two_copies_of_a_data_directory_lose_nothing,
    of_two_that_hold_one_place_the_second_is_told,
    exchanges_come_to_the_organization_of_their_principal,
    a_journal_that_begins_anew_is_read_from_its_beginning,
    many_restarts_bring_everything_in_once,
    what_has_no_principal_belongs_to_the_organization,
);

const LIMIT: Duration = Duration::from_secs(20);

/// An exchange of nobody's, begun `at` milliseconds into the test.
pub(crate) fn exchange(at: i64) -> Exchange {
    let started_at = NOW.plus_millis(at);
    Exchange {
        id: ExchangeId::new(started_at, u128::from(unique())),
        request_id: format!("req_{}", unique()),
        kind: Kind::Messages,
        principal: None,
        provider: Some("main".to_owned()),
        model: Some("claude-opus-5-5".to_owned()),
        served_model: Some("claude-opus-5-5-20260101".to_owned()),
        stream: true,
        status: 200,
        ended: Ended::Completed,
        reason: None,
        usage: Usage {
            tokens: Tokens { input: 1, cache_write_5m: 2, cache_write_1h: 3, cache_read: 4, output: 5 },
            server_tools: ServerTools { web_search: 1, ..ServerTools::default() },
            ..Usage::default()
        },
        estimated: false,
        cost: Cost { nanos: Nanos(1_000), basis: PriceBasis::Table },
        started_at,
        first_byte_ms: Some(20),
        duration_ms: 100,
        overhead_us: 300,
        bytes_in: 2_048,
        bytes_out: 4_096,
        peer: Some("192.0.2.7".parse().unwrap()),
        session: Some("session".to_owned()),
        client: Some("claude-cli/2.1".to_owned()),
        asked: None,
        attempts: Vec::new(),
        switched: false,
        left_out: Vec::new(),
        data: None,
    }
}

fn journal(folder: &Path) -> Arc<Journal> {
    let mut options = Options::new(folder.join("journal"));
    options.segment_bytes = 256 * 1024;
    Arc::new(Journal::start(&options, &|_| Cost::default()).unwrap().0)
}

/// A folder on disk, a journal in it and a ledger behind that.
pub(crate) struct Books {
    folder: tempfile::TempDir,
    pub(crate) journal: Arc<Journal>,
    pub(crate) ledger: Ledger,
}

impl Books {
    pub(crate) fn open(w: &World) -> Self {
        Self::open_in(w, tempfile::tempdir().unwrap())
    }

    pub(crate) fn open_in(w: &World, folder: tempfile::TempDir) -> Self {
        let journal = journal(folder.path());
        let ledger = Ledger::start(w.store.clone(), Arc::clone(&journal), w.org, node());
        Self { folder, journal, ledger }
    }

    pub(crate) async fn close(self) -> tempfile::TempDir {
        self.ledger.stop(LIMIT).await;
        self.folder
    }

    pub(crate) async fn flush(&self) {
        self.ledger.flush(LIMIT).await.unwrap();
    }
}

impl World {
    /// Somebody with a key, and what their exchanges are charged to.
    pub(crate) async fn somebody(&self, address: &str) -> Principal {
        let team = self.team(&format!("Team of {address}")).await;
        let user = self.user(address, &[team.id]).await;
        let key = self.key(user.id).await.0;
        Principal {
            org: self.org,
            user: user.id,
            credential: Credential::Key(key.id),
            team: Some(team.id),
            project: None,
        }
    }

    pub(crate) async fn bring(&self, node: NodeId, exchanges: &[Exchange], seq: u64) -> usize {
        bring_in(&self.store, self.org, node, exchanges, Position { segment: 1, offset: seq, seq })
            .await
            .unwrap()
    }

    pub(crate) async fn total(&self) -> UsageRow {
        let rows = self.store.usage(self.org, Scope::Organization, By::Total, None, None).await.unwrap();
        rows.into_iter().next().unwrap_or_default()
    }

    pub(crate) async fn listed(&self, filter: &ExchangeFilter) -> Vec<ExchangeId> {
        let page = Page::first(1000);
        let found = self.store.exchanges(self.org, filter, Order::Oldest, &page).await.unwrap();
        found.items.into_iter().map(|row| row.exchange.id).collect()
    }

    /// How many exchanges the batches of the audit log have.
    pub(crate) async fn audited(&self) -> u64 {
        let filter = AuditFilter { kind: AuditKind::Exchanges, ..AuditFilter::default() };
        let batches = self.store.audit_entries(self.org, &filter, &Page::first(1000)).await.unwrap().items;
        let count = |batch: &Entry| match batch.act.detail.get("count") {
            Some(Value::Int(count)) => u64::try_from(*count).unwrap(),
            other => panic!("a batch has a count, not {other:?}"),
        };
        batches.iter().map(count).sum()
    }

    /// Exchanges, sums and audit log agree that there are so many, and the chain holds.
    pub(crate) async fn counts(&self, expected: u64) {
        let listed = self.listed(&ExchangeFilter::default()).await.len() as u64;
        let total = self.total().await;
        assert_eq!((listed, total.requests, self.audited().await), (expected, expected, expected));
        let mut file = Vec::new();
        self.store.export_audit(self.org, 1, &self.notary(), NOW, &mut file).await.unwrap();
        let report = verify(file.as_slice(), &[signer().public()]).unwrap();
        assert_eq!((report.fault, report.exchanges), (None, expected));
    }
}

async fn what_ends_is_in_the_database_after_a_flush(w: World) {
    let ada = w.somebody("ada@example.com").await;
    let books = Books::open(&w);
    for at in 0..700 {
        books.journal.close(&Exchange { principal: Some(ada), ..exchange(at) });
    }
    books.flush().await;
    w.counts(700).await;
    let key = w.store.key(w.org, ada.key().unwrap()).await.unwrap();
    assert_eq!(key.last_used_at, Some(UnixMillis(NOW.0 - NOW.0 % 60_000)));
    let lag = books.ledger.lag();
    assert_eq!((lag.entries, lag.bytes, lag.failing), (0, 0, false));
    assert!(lag.stored.seq > 0);
    books.close().await;
}

async fn a_batch_brought_in_twice_counts_once(w: World) {
    let mut batch: Vec<Exchange> = (0..100).map(exchange).collect();
    assert_eq!(w.bring(node(), &batch, 100).await, 100);
    assert_eq!(w.bring(node(), &batch, 100).await, 0);
    batch.push(exchange(100));
    batch.push(batch[100].clone());
    assert_eq!(w.bring(node(), &batch, 102).await, 1, "one is new, though it stands there twice");
    w.counts(101).await;
}

async fn two_nodes_bring_in_the_same_and_different_entries_at_once(w: World) {
    let ada = w.somebody("ada@example.com").await;
    let same: Vec<Exchange> = (0..64).map(|at| Exchange { principal: Some(ada), ..exchange(at) }).collect();
    let mut brought = Vec::new();
    for number in [7, 8] {
        let node = World { store: w.another_node().await, ..w.clone() };
        let same = same.clone();
        brought.push(tokio::spawn(async move {
            let mut new = 0;
            for round in 0..10 {
                let mut batch: Vec<Exchange> =
                    (0..40).map(|at| Exchange { principal: Some(ada), ..exchange(at) }).collect();
                batch.extend_from_slice(&same);
                new += node.bring(NodeId::from_bits(number), &batch, round).await;
            }
            node.store.close().await;
            new
        }));
    }
    let mut new = 0;
    for node in brought {
        new += node.await.unwrap();
    }
    assert_eq!(new, 2 * 10 * 40 + 64);
    w.counts(864).await;
}

async fn a_database_that_is_away_delays_and_loses_nothing(w: World) {
    let books = Books::open(&w);
    books.journal.close(&exchange(0));
    books.flush().await;
    w.behind_its_back("ALTER TABLE exchanges RENAME TO exchanges_away").await;
    for at in 1..50 {
        books.journal.close(&exchange(at));
    }
    books.ledger.flush(Duration::from_millis(600)).await.unwrap_err();
    let lag = books.ledger.lag();
    assert!(lag.failing && lag.entries == 49 && lag.bytes > 49 * 100, "{lag:?}");
    assert_eq!(books.journal.ready(), Ok(()), "traffic goes on");
    w.behind_its_back("ALTER TABLE exchanges_away RENAME TO exchanges").await;
    books.flush().await;
    assert!(!books.ledger.lag().failing);
    w.counts(50).await;
    books.close().await;
}

/// As after a copy of the database from before the ledger's first batch, with the entries already there.
async fn a_forgotten_place_changes_nothing(w: World) {
    let books = Books::open(&w);
    for at in 0..40 {
        books.journal.close(&exchange(at));
    }
    let folder = books.close().await;
    w.behind_its_back("DELETE FROM journal_positions").await;
    let books = Books::open_in(&w, folder);
    books.journal.close(&exchange(40));
    books.flush().await;
    w.counts(41).await;
    books.close().await;
}

/// Everything the ledger writes, as it was at this moment.
async fn keep(w: &World) {
    for table in TABLES {
        w.behind_its_back(&format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}")).await;
    }
}

async fn put_back(w: &World) {
    for table in TABLES {
        w.behind_its_back(&format!(
            "DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept_{table}; DROP TABLE kept_{table}"
        ))
        .await;
    }
}

const TABLES: [&str; 7] = [
    "exchanges",
    "rollups",
    "daily_rollups",
    "audit_entries",
    "audit_heads",
    "audit_checkpoints",
    "journal_positions",
];

async fn a_database_put_back_under_a_running_node_gets_everything_again(w: World) {
    let books = Books::open(&w);
    let close = |from, to| (from..to).for_each(|at| _ = books.journal.close(&exchange(at)));
    close(0, 20);
    books.flush().await;
    keep(&w).await;
    close(20, 50);
    books.flush().await;
    w.counts(50).await;
    put_back(&w).await;
    w.forget_checkpoint();
    w.counts(20).await;
    close(50, 51);
    books.flush().await;
    w.counts(51).await;
    // To before the first of them all.
    w.behind_its_back("DELETE FROM journal_positions").await;
    close(51, 52);
    books.flush().await;
    w.counts(52).await;
    Books::open_in(&w, books.close().await).close().await;
    w.counts(52).await;
}

/// One node, its data directory copied while it runs, and the copy started beside it.
async fn two_copies_of_a_data_directory_lose_nothing(w: World) {
    let first = Books::open(&w);
    let close = |books: &Books, from: i64| {
        (from..from + 10).for_each(|at| _ = books.journal.close(&exchange(at)));
    };
    close(&first, 0);
    first.flush().await;
    let copy = tempfile::tempdir().unwrap();
    std::fs::create_dir(copy.path().join("journal")).unwrap();
    for file in std::fs::read_dir(first.folder.path().join("journal")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join("journal").join(file.file_name())).unwrap();
    }
    let second = Books::open_in(&World { store: w.another_node().await, ..w.clone() }, copy);
    let mut both = [first, second];
    let mut expected = 10;
    for round in 1..5 {
        for (at, books) in both.iter().enumerate() {
            // One is ahead of the other, so that their places differ.
            for _ in 0..=at {
                close(books, round * 100);
                expected += 10;
            }
            books.flush().await;
        }
        w.counts(expected).await;
        let [first, second] = both;
        both = [Books::open_in(&w, first.close().await), Books::open_in(&w, second.close().await)];
    }
    for books in both {
        books.close().await;
    }
    w.counts(expected).await;
}

async fn of_two_that_hold_one_place_the_second_is_told(w: World) {
    let mut one = Place::claim(&w.store, node(), &[5], 0).await.unwrap();
    let mut two = Place::claim(&w.store, node(), &[5], 0).await.unwrap();
    let to = |seq| Position { segment: 1, offset: seq, seq };
    assert_eq!(one.held(), None);
    let brought = one.bring_in(&w.store, w.org, &[exchange(0)], to(1)).await.unwrap();
    assert_eq!((brought, one.held()), (Brought::New(1), Some(to(1))));
    assert_eq!(two.bring_in(&w.store, w.org, &[exchange(1)], to(9)).await.unwrap(), Brought::Moved);
    w.counts(1).await;
    // A later run of the same journal takes the place over, a run of another journal does not.
    let later = Place::claim(&w.store, node(), &[4, 5, 6], 1).await.unwrap();
    assert_eq!(later.held(), Some(to(1)));
    assert_eq!(one.bring_in(&w.store, w.org, &[exchange(2)], to(2)).await.unwrap(), Brought::Moved);
    assert_eq!(Place::claim(&w.store, node(), &[5, 7], 1).await.unwrap().held(), None);
    assert_eq!(Place::claim(&w.store, node(), &[4, 5, 6], 1).await.unwrap().held(), Some(to(1)));
    // A copy made before that entry: what the other one has brought in since is not its own.
    assert_eq!(Place::claim(&w.store, node(), &[6, 8], 0).await.unwrap().held(), None);
    assert_eq!(Place::claim(&w.store, node(), &[6, 9], 1).await.unwrap().held(), Some(to(1)));
}

async fn exchanges_come_to_the_organization_of_their_principal(w: World) {
    let ada = w.somebody("ada@example.com").await;
    let other = World { org: OrgId::new(NOW, u128::from(unique())), ..w.clone() };
    w.store.create_org(other.org, &name("Other"), &act("org.create")).await.unwrap();
    let bob = other.somebody("bob@example.com").await;
    let nowhere = Principal { org: OrgId::from_bits(1), ..bob };
    let batch: Vec<Exchange> = [None, Some(ada), Some(bob), Some(bob), Some(nowhere)]
        .map(|principal| Exchange { principal, ..exchange(0) })
        .into();
    assert_eq!(w.bring(node(), &batch, 5).await, 5);
    w.counts(3).await;
    other.counts(2).await;
    assert_eq!(w.bring(node(), &batch, 6).await, 0);
    w.counts(3).await;
    other.counts(2).await;
    assert!(w.store.key(other.org, bob.key().unwrap()).await.unwrap().last_used_at.is_some());
}

async fn a_journal_that_begins_anew_is_read_from_its_beginning(w: World) {
    for round in 0..3 {
        let books = Books::open(&w);
        for at in 0..10 {
            books.journal.close(&exchange(at));
        }
        books.flush().await;
        w.counts((round + 1) * 10).await;
        books.close().await;
    }
}

async fn many_restarts_bring_everything_in_once(w: World) {
    let mut folder = tempfile::tempdir().unwrap();
    for round in 0..10 {
        let books = Books::open_in(&w, folder);
        for at in 0..60 {
            books.journal.close(&exchange(round * 100 + at));
        }
        if round % 2 == 0 {
            books.flush().await;
            folder = books.close().await;
        } else {
            // Ends without having brought everything in; the next run does.
            books.ledger.stop(Duration::ZERO).await;
            folder = books.folder;
        }
    }
    Books::open_in(&w, folder).close().await;
    w.counts(600).await;
}

async fn what_has_no_principal_belongs_to_the_organization(w: World) {
    let unknown = Exchange { ended: Ended::Refused, status: 401, cost: Cost::default(), ..exchange(0) };
    w.bring(node(), std::slice::from_ref(&unknown), 1).await;
    let rows = w.store.usage(w.org, Scope::Organization, By::User, None, None).await.unwrap();
    assert_eq!((rows[0].id.as_str(), &rows[0].name, rows[0].refusals), ("", &None, 1));
    assert_eq!(w.listed(&ExchangeFilter::default()).await, [unknown.id]);
}

mod an_older_copy_of_the_database_catches_up {
    #[test]
    fn sqlite() {
        crate::engines::with_sqlite(super::an_older_copy_catches_up);
    }
}

/// The file is put back as it was, a while ago, as from a backup: the journal brings in what it lacks.
async fn an_older_copy_catches_up(config: StoreConfig) {
    let file = config.data_dir.join("gatehouse.db");
    let copy = config.data_dir.join("copy.db");
    let w = World::build(config.clone()).await;
    let books = Books::open(&w);
    (0..30).for_each(|at| _ = books.journal.close(&exchange(at)));
    let folder = books.close().await;
    w.store.close().await;
    std::fs::copy(&file, &copy).unwrap();
    let w = World { store: Store::open(&config).await.unwrap(), ..w };
    let books = Books::open_in(&w, folder);
    (30..80).for_each(|at| _ = books.journal.close(&exchange(at)));
    let folder = books.close().await;
    w.counts(80).await;
    w.store.close().await;
    std::fs::copy(&copy, &file).unwrap();
    w.forget_checkpoint();
    let w = World { store: Store::open(&config).await.unwrap(), ..w };
    w.counts(30).await;
    Books::open_in(&w, folder).close().await;
    w.counts(80).await;
}
