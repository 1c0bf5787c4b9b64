//! JSON of the OpenTelemetry protocol.
//!
//! <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>: names in lowerCamelCase, 64-bit numbers as texts (or
//! numbers), unknown names passed over.

use std::fmt;
use std::marker::PhantomData;

use gatehouse_domain::telemetry::Value;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, SeqAccess, Visitor};

use super::item::{Attributes, Malformed, Number, Record, Sink, Temporality};

/// Most entries of one list. The largest batch of the client has a few hundred.
const MAX_LIST: usize = 20_000;

/// A list of at most [`MAX_LIST`] entries; a longer one is an error, so that memory stays in proportion.
#[derive(Debug)]
struct List<T>(Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Seq<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Seq<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List<T>, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = seq.next_element()? {
                    if all.len() == MAX_LIST {
                        return Err(A::Error::custom("a list is too long"));
                    }
                    all.push(one);
                }
                Ok(List(all))
            }

            fn visit_unit<E: Error>(self) -> Result<List<T>, E> {
                Ok(List(Vec::new()))
            }
        }

        from.deserialize_any(Seq(PhantomData))
    }
}

/// A whole number, written as one or as a text.
#[derive(Debug, Clone, Copy, Default)]
struct Whole(i128);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;

        impl Visitor<'_> for Any {
            type Value = Whole;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number, or a text of one")
            }

            fn visit_u64<E: Error>(self, n: u64) -> Result<Whole, E> {
                Ok(Whole(n.into()))
            }

            fn visit_i64<E: Error>(self, n: i64) -> Result<Whole, E> {
                Ok(Whole(n.into()))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Whole, E> {
                text.parse().map(Whole).map_err(E::custom)
            }
        }

        from.deserialize_any(Any)
    }
}

/// A number, written as one or as a text (`"NaN"`).
#[derive(Debug, Clone, Copy)]
struct Real(f64);

impl<'de> Deserialize<'de> for Real {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;

        #[expect(clippy::cast_precision_loss, reason = "what is this large is cut anyway")]
        impl Visitor<'_> for Any {
            type Value = Real;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or a text of one")
            }

            fn visit_u64<E: Error>(self, n: u64) -> Result<Real, E> {
                Ok(Real(n as f64))
            }

            fn visit_i64<E: Error>(self, n: i64) -> Result<Real, E> {
                Ok(Real(n as f64))
            }

            fn visit_f64<E: Error>(self, n: f64) -> Result<Real, E> {
                Ok(Real(n))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Real, E> {
                text.parse().map(Real).map_err(E::custom)
            }
        }

        from.deserialize_any(Any)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_field_names, reason = "the names are those of OTLP's JSON")]
struct AnyValue {
    string_value: Option<String>,
    bool_value: Option<bool>,
    int_value: Option<Whole>,
    double_value: Option<Real>,
}

#[derive(Debug, Deserialize)]
struct KeyValue {
    key: String,
    #[serde(default)]
    value: Option<AnyValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Resource {
    attributes: List<KeyValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Point {
    attributes: List<KeyValue>,
    start_time_unix_nano: Whole,
    time_unix_nano: Whole,
    as_double: Option<Real>,
    as_int: Option<Whole>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Sum {
    data_points: List<Point>,
    aggregation_temporality: Whole,
    is_monotonic: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metric {
    name: String,
    sum: Option<Sum>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ScopeMetrics {
    metrics: List<Metric>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResourceMetrics {
    resource: Resource,
    scope_metrics: List<ScopeMetrics>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct MetricsRequest {
    resource_metrics: List<ResourceMetrics>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LogRecord {
    time_unix_nano: Whole,
    observed_time_unix_nano: Whole,
    event_name: String,
    body: Option<AnyValue>,
    attributes: List<KeyValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ScopeLogs {
    log_records: List<LogRecord>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResourceLogs {
    scope_logs: List<ScopeLogs>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LogsRequest {
    resource_logs: List<ResourceLogs>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ScopeSpans {
    spans: List<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResourceSpans {
    scope_spans: List<ScopeSpans>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TracesRequest {
    resource_spans: List<ResourceSpans>,
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Malformed> {
    // A list would be taken for the members of a request in their order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Malformed("the body is not a JSON object"));
    }
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Malformed("the JSON is not that of this path's request"),
        serde_json::error::Category::Io
        | serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof => Malformed("the body is not JSON"),
    })
}

fn value(any: AnyValue) -> Option<Value> {
    let whole = |n: Whole| i64::try_from(n.0).ok().map(Value::Whole);
    (any.string_value.map(Value::Text))
        .or(any.bool_value.map(Value::Flag))
        .or_else(|| any.int_value.and_then(whole))
        .or_else(|| any.double_value.map(|n| Value::Real(n.0)))
}

fn attributes(list: List<KeyValue>) -> Attributes {
    let mut attributes = Attributes::default();
    for pair in list.0 {
        attributes.push(&pair.key, pair.value.and_then(value));
    }
    attributes
}

fn nanos(n: Whole) -> u64 {
    u64::try_from(n.0.max(0)).unwrap_or(u64::MAX)
}

/// Reads a request of metrics.
pub(super) fn metrics(body: &[u8], sink: &mut dyn Sink) -> Result<(), Malformed> {
    for of_resource in read::<MetricsRequest>(body)?.resource_metrics.0 {
        let resource = attributes(of_resource.resource.attributes);
        let metrics = of_resource.scope_metrics.0.into_iter().flat_map(|scope| scope.metrics.0);
        for Metric { name, sum } in metrics {
            let Some(sum) = sum else { continue };
            let temporality = Temporality::of(nanos(sum.aggregation_temporality));
            for point in sum.data_points.0 {
                let mut number = Number::new(&name, temporality, sum.is_monotonic);
                number.start = nanos(point.start_time_unix_nano);
                number.time = nanos(point.time_unix_nano);
                #[expect(clippy::cast_precision_loss, reason = "what is this large is cut anyway")]
                let whole = point.as_int.map(|n| n.0 as f64);
                number.value = point.as_double.map(|n| n.0).or(whole).unwrap_or(0.0);
                number.attributes = attributes(point.attributes);
                sink.number(&resource, number)?;
            }
        }
    }
    Ok(())
}

/// Reads a request of logs.
pub(super) fn logs(body: &[u8], sink: &mut dyn Sink) -> Result<(), Malformed> {
    let scopes = read::<LogsRequest>(body)?.resource_logs.0.into_iter().flat_map(|of| of.scope_logs.0);
    for record in scopes.flat_map(|scope| scope.log_records.0) {
        let time = match nanos(record.time_unix_nano) {
            0 => nanos(record.observed_time_unix_nano),
            time => time,
        };
        let body = record.body.and_then(|any| any.string_value).unwrap_or_default();
        let attributes = attributes(record.attributes);
        sink.record(Record { time, name: record.event_name, body, attributes })?;
    }
    Ok(())
}

/// Reads a request of traces, as far as to see that it is one, and counts its spans.
pub(super) fn traces(body: &[u8]) -> Result<u64, Malformed> {
    let scopes = read::<TracesRequest>(body)?.resource_spans.0.into_iter().flat_map(|of| of.scope_spans.0);
    Ok(scopes.map(|scope| scope.spans.0.len() as u64).sum())
}

/// The same request, with these attributes added to every resource. Attributes of such names that came with it are taken out.
pub(super) fn stamped(body: &[u8], with: &[(&str, String)]) -> Result<Vec<u8>, Malformed> {
    use serde_json::{Value as Json, json};

    let mut request: Json = read(body)?;
    let lists = ["resourceMetrics", "resourceLogs", "resourceSpans"];
    let found = lists.into_iter().find(|list| request.get(*list).is_some());
    let all = found.and_then(|list| request.get_mut(list)).and_then(Json::as_array_mut);
    for one in all.into_iter().flatten() {
        let Some(one) = one.as_object_mut() else { continue };
        let resource = one.entry("resource").or_insert_with(|| json!({}));
        if !resource.is_object() {
            *resource = json!({});
        }
        let old = resource.get_mut("attributes").map(Json::take);
        let mut attributes = match old {
            Some(Json::Array(all)) => all,
            Some(_) | None => Vec::new(),
        };
        attributes.retain(|pair| !with.iter().any(|(name, _)| pair["key"] == *name));
        attributes.extend(with.iter().map(|(key, text)| json!({"key": key, "value": {"stringValue": text}})));
        resource["attributes"] = Json::Array(attributes);
    }
    Ok(request.to_string().into_bytes())
}
