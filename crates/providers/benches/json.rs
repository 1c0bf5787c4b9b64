//! Scanning request bodies. Defends: 60 KB in at most 30 microseconds (2 GB/s).

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gatehouse_providers::json::RequestScan;

#[path = "json/claude_code.rs"]
mod claude_code;

fn scan(c: &mut Criterion) {
    let mut group = c.benchmark_group("request_scan");
    for kib in [2, 60, 600] {
        let text = claude_code::body(kib * 1024);
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(format!("{kib} KiB"), |b| {
            b.iter(|| {
                let mut scan = RequestScan::new();
                for piece in black_box(&text).chunks(64 * 1024) {
                    scan.feed(piece).expect("the body is valid");
                }
                scan.finish().expect("the body is valid")
            });
        });
        group.bench_function(format!("{kib} KiB, serde_json"), |b| {
            b.iter(|| {
                serde_json::from_slice::<serde::de::IgnoredAny>(black_box(&text)).expect("the body is valid")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, scan);
criterion_main!(benches);
