//! Comparing a key with a stored hash. Defends: it takes the same time wherever the two differ, and whether they do.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use gatehouse_domain::key::{KeyHash, KeyKind, Pepper, Peppers, RANDOM_LEN, VirtualKey};

fn compare(c: &mut Criterion) {
    let pepper = Pepper::new([7; 32]);
    let key = VirtualKey::generate(KeyKind::Virtual, &[3; RANDOM_LEN]);
    let right = *key.hash(&pepper).as_bytes();
    let peppers: Peppers = pepper.into();
    let differing = |at: usize| {
        let mut bytes = right;
        bytes[at] ^= 1;
        bytes
    };
    let mut group = c.benchmark_group("key against a stored hash");
    for (name, stored) in [
        ("the same", right),
        ("the first byte differs", differing(0)),
        ("the last byte differs", differing(31)),
        ("every byte differs", right.map(|byte| !byte)),
    ] {
        let stored = KeyHash::from_bytes(stored);
        group.bench_function(name, |b| b.iter(|| black_box(&key).matches(&peppers, black_box(&stored))));
    }
    group.finish();
}

criterion_group!(benches, compare);
criterion_main!(benches);
