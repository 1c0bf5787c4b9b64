//! Metering a stream. Defends: an ordinary event costs less than a tenth of a microsecond.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gatehouse_providers::anthropic::StreamMeter;

const EVENT: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\
    \"delta\":{\"type\":\"text_delta\",\"text\":\"some words\"}}\n\n";

fn meter(c: &mut Criterion) {
    let mut group = c.benchmark_group("stream");
    let many = EVENT.repeat(500);
    group.throughput(Throughput::Elements(500));
    group.bench_function("500 deltas, one piece", |b| {
        b.iter(|| StreamMeter::default().feed(black_box(many.as_bytes())));
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("one delta, one piece", |b| {
        let mut meter = StreamMeter::default();
        b.iter(|| meter.feed(black_box(EVENT.as_bytes())));
    });
    group.finish();
}

criterion_group!(benches, meter);
criterion_main!(benches);
