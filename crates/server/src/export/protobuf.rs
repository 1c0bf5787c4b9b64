//! Protobuf of the OpenTelemetry protocol, written.
//!
//! Field numbers are those of <https://github.com/open-telemetry/opentelemetry-proto>, version 1; the encoding is
//! <https://protobuf.dev/programming-guides/encoding/>. What is at its default is left out, as the encoding has it.

use bytes::Bytes;

/// A value of an attribute.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Text(&'a str),
    Whole(u64),
    Real(f64),
    Yes(bool),
    /// A list of one text.
    List(&'a str),
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap_or_default() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or_default());
}

/// A number of variable length.
pub(super) fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    if value != 0 {
        varint(out, field << 3);
        varint(out, value);
    }
}

/// A number of eight bytes.
pub(super) fn fixed(out: &mut Vec<u8>, field: u64, value: u64) {
    varint(out, field << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A number of four bytes.
pub(super) fn fixed_32(out: &mut Vec<u8>, field: u64, value: u32) {
    varint(out, field << 3 | 5);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A floating-point number.
pub(super) fn real(out: &mut Vec<u8>, field: u64, value: f64) {
    fixed(out, field, value.to_bits());
}

/// Bytes, a text or a message.
pub(super) fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// A message that is written within.
pub(super) fn within(out: &mut Vec<u8>, field: u64, write: impl FnOnce(&mut Vec<u8>)) {
    let mut message = Vec::new();
    write(&mut message);
    bytes(out, field, &message);
}

/// Numbers of eight bytes, one after the other.
pub(super) fn packed(out: &mut Vec<u8>, field: u64, values: impl Iterator<Item = u64>) {
    let all: Vec<u8> = values.flat_map(u64::to_le_bytes).collect();
    bytes(out, field, &all);
}

/// A value (`AnyValue`).
pub(super) fn value(out: &mut Vec<u8>, field: u64, value: Value<'_>) {
    within(out, field, |any| match value {
        Value::Text(text) => bytes(any, 1, text.as_bytes()),
        // Even the default is written: a value without any is none.
        Value::Yes(yes) => any.extend_from_slice(&[2 << 3, u8::from(yes)]),
        Value::Whole(whole) => {
            any.push(3 << 3);
            varint(any, i64::try_from(whole).unwrap_or(i64::MAX).unsigned_abs());
        }
        Value::Real(number) => real(any, 4, number),
        Value::List(one) => within(any, 5, |list| within(list, 1, |any| bytes(any, 1, one.as_bytes()))),
    });
}

/// An attribute (`KeyValue`).
pub(super) fn attribute(out: &mut Vec<u8>, field: u64, key: &str, of: Value<'_>) {
    within(out, field, |pair| {
        bytes(pair, 1, key.as_bytes());
        value(pair, 2, of);
    });
}

/// A resource of these attributes.
pub(crate) fn resource<'a>(attributes: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, text) in attributes {
        attribute(&mut out, 1, key, Value::Text(text));
    }
    out
}

/// A request to a collector with these items: spans, metrics or log records, which stand at the same places.
pub(super) fn request(resource: &[u8], items: &[Vec<u8>]) -> Bytes {
    let mut out = Vec::new();
    within(&mut out, 1, |group| {
        bytes(group, 1, resource);
        within(group, 2, |scoped| {
            within(scoped, 1, |scope| {
                bytes(scope, 1, b"gatehouse");
                bytes(scope, 2, env!("CARGO_PKG_VERSION").as_bytes());
            });
            for item in items {
                bytes(scoped, 2, item);
            }
        });
    });
    out.into()
}

/// How many items a collector did not take of a request that it took otherwise (`partial_success`).
pub(super) fn rejected(answer: &[u8]) -> u64 {
    let partial = field(answer, 1).and_then(|found| match found {
        Found::Bytes(bytes) => Some(bytes),
        Found::Number(_) => None,
    });
    match partial.and_then(|partial| field(partial, 1)) {
        Some(Found::Number(count)) => count,
        Some(Found::Bytes(_)) | None => 0,
    }
}

enum Found<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// A field of a message that has none but numbers of variable length and bytes up to there.
fn field(mut message: &[u8], wanted: u64) -> Option<Found<'_>> {
    while !message.is_empty() {
        let tag = read_varint(&mut message)?;
        let length_or_value = read_varint(&mut message)?;
        let found = match tag & 7 {
            0 => Found::Number(length_or_value),
            2 => {
                let (content, rest) = message.split_at_checked(usize::try_from(length_or_value).ok()?)?;
                message = rest;
                Found::Bytes(content)
            }
            _ => return None,
        };
        if tag >> 3 == wanted {
            return Some(found);
        }
    }
    None
}

fn read_varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for at in 0..10 {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_that_of_its_documentation() {
        let mut out = Vec::new();
        number(&mut out, 1, 150);
        number(&mut out, 2, 0);
        bytes(&mut out, 2, b"testing");
        assert_eq!(out, b"\x08\x96\x01\x12\x07testing");
        let mut out = Vec::new();
        attribute(&mut out, 1, "k", Value::Whole(0));
        assert_eq!(out, b"\x0a\x07\x0a\x01k\x12\x02\x18\x00");
    }

    #[test]
    fn what_a_collector_did_not_take_is_read() {
        for (answer, expected) in [
            (&b""[..], 0),
            (b"\x0a\x02\x08\x05", 5),
            (b"\x0a\x07\x12\x03bad\x08\x05", 5),
            (b"\x0a\x00", 0),
            (b"\x0a\x7f\x08", 0),
            (b"{\"partialSuccess\":{}}", 0),
            (b"\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", u64::MAX),
        ] {
            assert_eq!(rejected(answer), expected, "{answer:?}");
        }
    }
}
