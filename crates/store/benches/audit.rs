//! What the audit log costs: a batch of 500 exchanges appended and committed, and a check of an export.
//!
//! Defended: 500 entries in less than 5 ms on SQLite (the ledger appends one entry for every exchange), and a million
//! entries checked in less than 10 s.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the message")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gatehouse_domain::audit::{Actor, ActorKind, Checkpoint, Draft, Export, Hash, Head, Object, Signer};
use gatehouse_domain::audit::{export_line, verify};
use gatehouse_domain::id::{ExchangeId, OrgId, UserId};
use gatehouse_domain::name::Name;
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::audit::append;
use gatehouse_store::{Store, StoreConfig};

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const ENTRIES: u32 = 20_000;

/// An entry as the ledger writes it for an exchange.
fn exchange(n: u32) -> Draft {
    let user = UserId::new(NOW, u128::from(n % 100)).to_string();
    let actor = Actor { kind: ActorKind::User, id: user, name: "ada@example.com".to_owned() };
    let id = ExchangeId::new(NOW, u128::from(n));
    let mut draft = Draft::new(NOW, actor, "exchange", Object::new("exchange", id, "claude-opus-5-5"))
        .with("status", 200_u32)
        .with("provider", "main")
        .with("ended", "completed")
        .with("cost_nanos", 12_345_678_i64)
        .with("kind", "messages");
    draft.from = Some("192.0.2.7".parse().unwrap());
    draft.request_id = Some("req_011CUnFDxQ2sT8vY7ZbKq3Lm".to_owned());
    draft
}

fn appending(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let org = OrgId::from_bits(1);
    let store = runtime.block_on(async {
        let store = Store::open(&StoreConfig::sqlite(dir.path())).await.unwrap();
        store.create_org(org, &Name::parse("Acme").unwrap(), &exchange(0)).await.unwrap();
        store
    });
    let acts: Vec<_> = (0..500).map(exchange).collect();
    let mut group = c.benchmark_group("audit");
    group.throughput(Throughput::Elements(500));
    group.bench_function("append 500", |b| {
        b.iter(|| {
            runtime.block_on(async {
                let mut tx = store.begin().await.unwrap();
                append(&mut tx, org, &acts).await.unwrap();
                tx.commit().await.unwrap();
            });
        });
    });
    group.bench_function("link 500", |b| {
        let mut head = Head::empty(org);
        b.iter(|| {
            for act in &acts {
                black_box(head.append(org, act));
            }
        });
    });
    group.finish();
}

fn checking(c: &mut Criterion) {
    let (org, signer) = (OrgId::from_bits(1), Signer::new(&[1; 32]));
    let mut head = Head::empty(org);
    let mut file = Export::new(org, 1, u64::from(ENTRIES), Hash::genesis(org), signer.public()).line();
    for n in 0..ENTRIES {
        file.push('\n');
        let entry = head.append(org, &exchange(n));
        export_line(&mut file, &entry.canonical, &entry.prev_hash, &entry.hash);
    }
    let (seq, hash, key) = (head.seq, head.hash, signer.public());
    let point = Checkpoint { at: NOW, count: seq, hash, key, node: String::new(), org, seq };
    file.push('\n');
    file.push_str(&point.line(&point.sign(&signer)));
    let mut group = c.benchmark_group("audit");
    group.throughput(Throughput::Elements(u64::from(ENTRIES))).sample_size(20);
    group.bench_function("verify", |b| {
        b.iter(|| assert!(verify(file.as_bytes(), &[key]).unwrap().is_sound()));
    });
    group.finish();
}

criterion_group!(benches, appending, checking);
criterion_main!(benches);
