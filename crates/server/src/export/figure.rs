//! Histograms of the conventions for generative AI, counted since the export began.
//!
//! Buckets are those that the conventions advise. A series more than [`MOST`] goes to the one that says so.

use std::collections::BTreeMap;

use gatehouse_domain::exchange::Kind;
use gatehouse_gateway::witness::Finished;

use super::protobuf::{Value, attribute, bytes, fixed, number, packed, real, within};
use super::span::{error_type, operation};
use super::{Conventions, Place, place};

/// Most series of one histogram.
const MOST: usize = 500;
/// Longest text of an attribute, in characters.
const LONGEST: usize = 128;

const TOKENS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
const SECONDS: [f64; 14] =
    [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];

/// Attributes of a series, and what is in each bucket, the last without a bound.
type Series = BTreeMap<Vec<(&'static str, String)>, Counted>;

#[derive(Default)]
struct Counted {
    buckets: [u64; 15],
    sum: f64,
}

/// The histograms.
pub(super) struct Figures {
    conventions: Conventions,
    tokens: Series,
    seconds: Series,
    first: Series,
}

impl Figures {
    pub(super) const fn new(conventions: Conventions) -> Self {
        Self { conventions, tokens: Series::new(), seconds: Series::new(), first: Series::new() }
    }

    /// Counts an exchange for which a provider was asked.
    #[expect(clippy::cast_precision_loss, reason = "a figure beyond 2^53 need not be exact")]
    pub(super) fn count(&mut self, finished: &Finished, places: &[Place]) {
        let exchange = &finished.exchange;
        let (Some(asked), Some(provider)) = (finished.asked_ms, &exchange.provider) else { return };
        let short = |text: &str| text.chars().take(LONGEST).collect::<String>();
        let mut common = vec![
            ("gen_ai.operation.name", operation(exchange.kind).to_owned()),
            (self.conventions.provider_key(), self.conventions.provider(place(places, provider)).to_owned()),
        ];
        let models =
            [("gen_ai.request.model", &exchange.model), ("gen_ai.response.model", &exchange.served_model)];
        common.extend(models.into_iter().filter_map(|(key, model)| Some((key, short(model.as_ref()?)))));
        // An estimate is no count.
        if exchange.kind == Kind::Messages && !exchange.estimated {
            let used = exchange.usage.total();
            let input = [used.cache_write_5m, used.cache_write_1h, used.cache_read]
                .into_iter()
                .fold(used.input, u64::saturating_add);
            for (kind, count) in [("input", input), ("output", used.output)] {
                if count > 0 {
                    let mut own = common.clone();
                    own.push(("gen_ai.token.type", kind.to_owned()));
                    add(&mut self.tokens, own, &TOKENS, count as f64);
                }
            }
        }
        let first = exchange.first_byte_ms.filter(|_| exchange.stream && exchange.kind == Kind::Messages);
        if let Some(first) = first.filter(|_| self.conventions == Conventions::Latest) {
            let seconds = f64::from(first.saturating_sub(asked)) / 1e3;
            add(&mut self.first, common.clone(), &SECONDS, seconds);
        }
        common.extend(error_type(exchange).map(|error| ("error.type", short(&error))));
        let seconds = f64::from(exchange.duration_ms.saturating_sub(asked)) / 1e3;
        add(&mut self.seconds, common, &SECONDS, seconds);
    }

    /// The metrics as they are sent.
    pub(super) fn metrics(&self, (since, now): (u64, u64)) -> Vec<Vec<u8>> {
        let all = [
            ("gen_ai.client.token.usage", "Tokens used, by type", "{token}", &self.tokens, &TOKENS),
            ("gen_ai.client.operation.duration", "Time that providers took", "s", &self.seconds, &SECONDS),
            (
                "gen_ai.client.operation.time_to_first_chunk",
                "Time to a stream's first bytes",
                "s",
                &self.first,
                &SECONDS,
            ),
        ];
        all.into_iter()
            .filter(|(.., series, _)| !series.is_empty())
            .map(|(name, text, unit, series, bounds)| {
                let mut metric = Vec::new();
                bytes(&mut metric, 1, name.as_bytes());
                bytes(&mut metric, 2, text.as_bytes());
                bytes(&mut metric, 3, unit.as_bytes());
                within(&mut metric, 9, |histogram| {
                    for (attributes, counted) in series {
                        within(histogram, 1, |point| {
                            histogram_point(point, (since, now), bounds, &counted.buckets, counted.sum);
                            for (key, text) in attributes {
                                let value = match *key {
                                    OVERFLOW => Value::Yes(true),
                                    _ => Value::Text(text),
                                };
                                attribute(point, 9, key, value);
                            }
                        });
                    }
                    number(histogram, 2, super::CUMULATIVE);
                });
                metric
            })
            .collect()
    }
}

/// What a series is called that stands for those without room (OpenTelemetry's metrics SDK specification, cardinality limits).
const OVERFLOW: &str = "otel.metric.overflow";

fn add(all: &mut Series, attributes: Vec<(&'static str, String)>, bounds: &[f64; 14], value: f64) {
    let has_room = all.len() < MOST || all.contains_key(&attributes);
    let counted = all.entry(if has_room { attributes } else { vec![(OVERFLOW, String::new())] }).or_default();
    counted.buckets[bounds.partition_point(|bound| *bound < value)] += 1;
    counted.sum += value;
}

/// A point of a histogram but for its attributes.
pub(super) fn histogram_point(
    out: &mut Vec<u8>,
    (since, now): (u64, u64),
    bounds: &[f64],
    buckets: &[u64],
    sum: f64,
) {
    fixed(out, 2, since);
    fixed(out, 3, now);
    fixed(out, 4, buckets.iter().sum());
    real(out, 5, sum);
    packed(out, 6, buckets.iter().copied());
    packed(out, 7, bounds.iter().map(|bound| bound.to_bits()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_first_bucket_that_holds_it_and_series_are_bounded() {
        let mut all = Series::new();
        for value in [0.0, 1.0, 1.5, 4.0, 1e9] {
            add(&mut all, vec![("a", "b".to_owned())], &TOKENS, value);
        }
        let counted = &all[&vec![("a", "b".to_owned())]];
        assert_eq!((counted.buckets[0], counted.buckets[1], counted.buckets[14]), (2, 2, 1));
        for n in 0..2 * MOST {
            add(&mut all, vec![("a", n.to_string())], &TOKENS, 1.0);
        }
        assert_eq!(all.len(), MOST + 1);
        let rest = &all[&vec![(OVERFLOW, String::new())]];
        assert_eq!(rest.buckets[0], u64::try_from(MOST + 1).unwrap(), "none is lost");
    }
}
