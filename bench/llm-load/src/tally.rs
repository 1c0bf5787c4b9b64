//! What came of the requests.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde_json::json;

pub(crate) struct Tally {
    pub(crate) ok: u64,
    pub(crate) errors: BTreeMap<String, u64>,
    pub(crate) bytes: u64,
    pub(crate) deltas: u64,
    pub(crate) connects: u64,
    pub(crate) retried: u64,
    pub(crate) latency: Histogram<u64>,
    pub(crate) first: Histogram<u64>,
    pub(crate) transit: Histogram<u64>,
    pub(crate) late: Histogram<u64>,
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("bounds")
}

impl Tally {
    pub(crate) fn new() -> Self {
        Tally {
            ok: 0,
            errors: BTreeMap::new(),
            bytes: 0,
            deltas: 0,
            connects: 0,
            retried: 0,
            latency: histogram(),
            first: histogram(),
            transit: histogram(),
            late: histogram(),
        }
    }

    pub(crate) fn add(&mut self, o: &Tally) {
        self.ok += o.ok;
        self.bytes += o.bytes;
        self.deltas += o.deltas;
        self.connects += o.connects;
        self.retried += o.retried;
        for (k, v) in &o.errors {
            *self.errors.entry(k.clone()).or_default() += v;
        }
        self.latency.add(&o.latency).expect("same bounds");
        self.first.add(&o.first).expect("same bounds");
        self.transit.add(&o.transit).expect("same bounds");
        self.late.add(&o.late).expect("same bounds");
    }
}

/// Histograms hold tenths of a microsecond.
pub(crate) fn put(h: &mut Histogram<u64>, ns: u64) {
    h.saturating_record((ns / 100).max(1));
}

fn ms(h: &Histogram<u64>, q: f64) -> f64 {
    if h.is_empty() { 0.0 } else { h.value_at_quantile(q) as f64 / 10_000.0 }
}

pub(crate) fn quantiles(h: &Histogram<u64>) -> serde_json::Value {
    json!({
        "count": h.len(),
        "mean": h.mean() / 10_000.0,
        "p50": ms(h, 0.5),
        "p90": ms(h, 0.9),
        "p99": ms(h, 0.99),
        "p999": ms(h, 0.999),
        "max": if h.is_empty() { 0.0 } else { h.max() as f64 / 10_000.0 },
    })
}
