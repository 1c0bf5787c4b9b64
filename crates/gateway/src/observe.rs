//! Figures for `/metrics`: handles made once, label values few and known.

use std::sync::Mutex;

use gatehouse_domain::exchange::{Ended, Exchange, Kind};
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

const KINDS: [Kind; 4] = [Kind::Messages, Kind::CountTokens, Kind::Models, Kind::Other];
const ENDS: [Ended; 7] = [
    Ended::Completed,
    Ended::Refused,
    Ended::UpstreamError,
    Ended::UpstreamFailed,
    Ended::ClientGone,
    Ended::Revoked,
    Ended::Interrupted,
];

/// The data path's figures.
pub(crate) struct Meters {
    exchanges: [[Counter; ENDS.len()]; KINDS.len()],
    tokens: [Counter; 5],
    cost: Counter,
    estimated: Counter,
    unknown_price: Counter,
    bytes_in: Counter,
    bytes_out: Counter,
    duration: Histogram,
    first_byte: Histogram,
    overhead: Histogram,
    in_flight: Gauge,
    connections: Gauge,
    held: Gauge,
    scanned: Counter,
    known: Counter,
    /// Models already complained about, at most this many.
    complained: Mutex<Vec<String>>,
}

const MAX_COMPLAINTS: usize = 100;

impl Meters {
    /// Registers the figures with the installed recorder.
    pub(crate) fn new() -> Self {
        let tokens = ["input", "cache_write_5m", "cache_write_1h", "cache_read", "output"];
        Self {
            exchanges: KINDS.map(|kind| {
                ENDS.map(|ended| counter!("gatehouse_exchanges_total", "kind" => kind.as_str(), "ended" => ended.as_str()))
            }),
            tokens: tokens.map(|kind| counter!("gatehouse_tokens_total", "type" => kind)),
            cost: counter!("gatehouse_cost_nanodollars_total"),
            estimated: counter!("gatehouse_estimated_exchanges_total"),
            unknown_price: counter!("gatehouse_unknown_price_exchanges_total"),
            bytes_in: counter!("gatehouse_request_bytes_total"),
            bytes_out: counter!("gatehouse_reply_bytes_total"),
            duration: histogram!("gatehouse_exchange_duration_seconds"),
            first_byte: histogram!("gatehouse_first_byte_seconds"),
            overhead: histogram!("gatehouse_overhead_seconds"),
            in_flight: gauge!("gatehouse_requests_in_flight"),
            connections: gauge!("gatehouse_client_connections"),
            held: gauge!("gatehouse_request_body_bytes_held"),
            scanned: counter!("gatehouse_data_scanned_bytes_total"),
            known: counter!("gatehouse_data_known_bytes_total"),
            complained: Mutex::default(),
        }
    }

    /// Counts a finished exchange.
    pub(crate) fn count(&self, record: &Exchange) {
        let kind = KINDS.iter().position(|k| *k == record.kind).unwrap_or(KINDS.len() - 1);
        let ended = ENDS.iter().position(|e| *e == record.ended).unwrap_or_default();
        self.exchanges[kind][ended].increment(1);
        self.bytes_in.increment(record.bytes_in);
        self.bytes_out.increment(record.bytes_out);
        if record.kind != Kind::Messages || record.ended == Ended::Refused {
            return;
        }
        let used = record.usage.total();
        let counts = [used.input, used.cache_write_5m, used.cache_write_1h, used.cache_read, used.output];
        for (counter, count) in self.tokens.iter().zip(counts) {
            counter.increment(count);
        }
        self.cost.increment(u64::try_from(record.cost.nanos.0).unwrap_or(0));
        if record.estimated {
            self.estimated.increment(1);
        }
        self.duration.record(f64::from(record.duration_ms) / 1e3);
        self.overhead.record(f64::from(record.overhead_us) / 1e6);
        if let Some(ms) = record.first_byte_ms {
            self.first_byte.record(f64::from(ms) / 1e3);
        }
    }

    /// Notes how much data protection has looked at, and how much of it was seen before.
    pub(crate) fn looked(&self, scanned: u64, known: u64) {
        self.scanned.increment(scanned);
        self.known.increment(known);
    }

    /// Notes how much of what is bounded is taken.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; what is lost is below one in 10^15")]
    pub(crate) fn note_load(&self, in_flight: usize, connections: usize, held: u64) {
        self.in_flight.set(in_flight as f64);
        self.connections.set(connections as f64);
        self.held.set(held as f64);
    }

    /// Raises the alarm about a model that has no price: a counter each time, a log line once per model.
    pub(crate) fn unknown_price(&self, model: &str) {
        self.unknown_price.increment(1);
        let mut complained = self.complained.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if complained.len() < MAX_COMPLAINTS && !complained.iter().any(|known| known == model) {
            complained.push(model.to_owned());
            tracing::error!(
                model,
                "the price table has no such model; it is billed at the stated default. Add a price"
            );
        }
    }
}
