//! Protobuf of the OpenTelemetry protocol, read without building a tree.
//!
//! Field numbers are those of <https://github.com/open-telemetry/opentelemetry-proto>, version 1; the encoding is
//! <https://protobuf.dev/programming-guides/encoding/>. Fields that are not known are passed over.

use gatehouse_domain::telemetry::Value;

use super::item::{Attributes, Malformed, Number, Record, Sink, Temporality};

const CUT: Malformed = Malformed("the message is cut short");
const WIRE: Malformed = Malformed("a field has a wire type that it cannot have");
const TEXT: Malformed = Malformed("a text is not UTF-8");

/// A field's content.
#[derive(Clone, Copy)]
pub(super) enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

impl<'a> Field<'a> {
    fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Varint(_) | Self::Fixed64(_) | Self::Fixed32 => Err(WIRE),
        }
    }

    fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| TEXT)
    }

    const fn varint(self) -> Result<u64, Malformed> {
        match self {
            Self::Varint(n) => Ok(n),
            Self::Bytes(_) | Self::Fixed64(_) | Self::Fixed32 => Err(WIRE),
        }
    }

    const fn fixed(self) -> Result<u64, Malformed> {
        match self {
            Self::Fixed64(n) => Ok(n),
            Self::Bytes(_) | Self::Varint(_) | Self::Fixed32 => Err(WIRE),
        }
    }
}

/// The fields of a message, in their order.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for (at, byte) in self.0.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                self.0 = &self.0[at + 1..];
                return Ok(value);
            }
        }
        Err(CUT)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(CUT)?;
        self.0 = rest;
        Ok(taken)
    }

    /// The next field and its number; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Field<'a>)>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let field = match tag & 7 {
            0 => Field::Varint(self.varint()?),
            1 => {
                let eight = self.take(8)?;
                Field::Fixed64(u64::from_le_bytes(eight.try_into().map_err(|_| CUT)?))
            }
            2 => {
                let length = self.varint()?;
                Field::Bytes(self.take(usize::try_from(length).map_err(|_| CUT)?)?)
            }
            5 => {
                self.take(4)?;
                Field::Fixed32
            }
            _ => return Err(WIRE),
        };
        Ok(Some((tag >> 3, field)))
    }
}

fn each<'a>(
    message: &'a [u8],
    mut act: impl FnMut(u64, Field<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut fields = Fields(message);
    while let Some((number, field)) = fields.next()? {
        act(number, field)?;
    }
    Ok(())
}

/// Reads a request of metrics.
pub(super) fn metrics(body: &[u8], sink: &mut dyn Sink) -> Result<(), Malformed> {
    grouped(body, &mut |resource, number, field| {
        if number == 2 { metric(resource, field.bytes()?, sink) } else { Ok(()) }
    })
}

/// Reads a request of logs.
pub(super) fn logs(body: &[u8], sink: &mut dyn Sink) -> Result<(), Malformed> {
    grouped(body, &mut |_, number, field| {
        if number == 2 { sink.record(record(field.bytes()?)?) } else { Ok(()) }
    })
}

/// Reads a request of traces, as far as to see that it is one, and counts its spans.
pub(super) fn traces(body: &[u8]) -> Result<u64, Malformed> {
    let mut spans = 0;
    grouped(body, &mut |_, number, field| {
        if number == 2 {
            field.bytes()?;
            spans += 1;
        }
        Ok(())
    })?;
    Ok(spans)
}

/// Goes through what all three signals have in common: resources, in them scopes, in them items.
fn grouped<'a>(
    body: &'a [u8],
    act: &mut dyn FnMut(&Attributes, u64, Field<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    each(body, |number, field| {
        if number != 1 {
            return Ok(());
        }
        let of_resource = field.bytes()?;
        let mut resource = Attributes::default();
        each(
            of_resource,
            |number, field| {
                if number == 1 { attributes(field.bytes()?, 1, &mut resource) } else { Ok(()) }
            },
        )?;
        each(of_resource, |number, field| {
            if number != 2 {
                return Ok(());
            }
            each(field.bytes()?, |number, field| act(&resource, number, field))
        })
    })
}

/// Reads the attributes of a message in which they have this field number.
fn attributes(message: &[u8], at: u64, into: &mut Attributes) -> Result<(), Malformed> {
    each(message, |number, field| if number == at { attribute(field.bytes()?, into) } else { Ok(()) })
}

fn attribute(message: &[u8], into: &mut Attributes) -> Result<(), Malformed> {
    let (mut key, mut value) = ("", None);
    each(message, |number, field| {
        match number {
            1 => key = field.text()?,
            2 => value = any_value(field.bytes()?)?,
            _ => {}
        }
        Ok(())
    })?;
    into.push(key, value);
    Ok(())
}

/// A value; lists, maps and bytes are none of ours.
fn any_value(message: &[u8]) -> Result<Option<Value>, Malformed> {
    let mut value = None;
    each(message, |number, field| {
        match number {
            1 => value = Some(Value::Text(field.text()?.to_owned())),
            2 => value = Some(Value::Flag(field.varint()? != 0)),
            3 => value = Some(Value::Whole(field.varint()?.cast_signed())),
            4 => value = Some(Value::Real(f64::from_bits(field.fixed()?))),
            _ => {}
        }
        Ok(())
    })?;
    Ok(value)
}

fn metric(resource: &Attributes, message: &[u8], sink: &mut dyn Sink) -> Result<(), Malformed> {
    let (mut name, mut sum) = ("", None);
    each(message, |number, field| {
        match number {
            1 => name = field.text()?,
            7 => sum = Some(field.bytes()?),
            _ => {}
        }
        Ok(())
    })?;
    let Some(sum) = sum else { return Ok(()) };
    let (mut temporality, mut monotonic) = (Temporality::Unsaid, false);
    each(sum, |number, field| {
        match number {
            2 => temporality = Temporality::of(field.varint()?),
            3 => monotonic = field.varint()? != 0,
            _ => {}
        }
        Ok(())
    })?;
    each(sum, |number, field| {
        if number != 1 {
            return Ok(());
        }
        let mut point = Number::new(name, temporality, monotonic);
        let message = field.bytes()?;
        attributes(message, 7, &mut point.attributes)?;
        each(message, |number, field| {
            match number {
                2 => point.start = field.fixed()?,
                3 => point.time = field.fixed()?,
                4 => point.value = f64::from_bits(field.fixed()?),
                #[expect(clippy::cast_precision_loss, reason = "what is this large is cut anyway")]
                6 => point.value = field.fixed()?.cast_signed() as f64,
                _ => {}
            }
            Ok(())
        })?;
        sink.number(resource, point)
    })
}

fn record(message: &[u8]) -> Result<Record, Malformed> {
    let mut record = Record::default();
    attributes(message, 6, &mut record.attributes)?;
    each(message, |number, field| {
        match number {
            1 => record.time = field.fixed()?,
            11 if record.time == 0 => record.time = field.fixed()?,
            5 => {
                if let Some(Value::Text(text)) = any_value(field.bytes()?)? {
                    record.body = text;
                }
            }
            12 => field.text()?.clone_into(&mut record.name),
            _ => {}
        }
        Ok(())
    })?;
    Ok(record)
}

/// Appends a field with this content.
pub(super) fn put(number: u64, content: &[u8], into: &mut Vec<u8>) {
    put_varint(number << 3 | 2, into);
    put_varint(content.len() as u64, into);
    into.extend_from_slice(content);
}

/// Appends a number in a field.
pub(super) fn put_number(number: u64, value: u64, into: &mut Vec<u8>) {
    put_varint(number << 3, into);
    put_varint(value, into);
}

/// The lowest seven bits.
fn low_bits(value: u64) -> u8 {
    value.to_le_bytes()[0] & 0x7f
}

fn put_varint(mut value: u64, into: &mut Vec<u8>) {
    while value >= 0x80 {
        into.push(low_bits(value) | 0x80);
        value >>= 7;
    }
    into.push(low_bits(value));
}

/// The same request, with these attributes added to every resource. Attributes of such names that came with it are taken out.
pub(super) fn stamped(body: &[u8], with: &[(&str, String)]) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::with_capacity(body.len() + 256);
    each(body, |number, field| {
        let Field::Bytes(message) = field else { return Ok(()) };
        if number != 1 {
            put(number, message, &mut out);
            return Ok(());
        }
        let mut resource = Vec::new();
        let mut rest = Vec::new();
        each(message, |number, field| {
            match (number, field) {
                (1, Field::Bytes(message)) => without(message, with, &mut resource)?,
                (_, Field::Bytes(message)) => put(number, message, &mut rest),
                (_, Field::Varint(value)) => put_number(number, value, &mut rest),
                (_, Field::Fixed64(_) | Field::Fixed32) => {}
            }
            Ok(())
        })?;
        for (key, value) in with {
            let (mut text, mut pair) = (Vec::new(), Vec::new());
            put(1, value.as_bytes(), &mut text);
            put(1, key.as_bytes(), &mut pair);
            put(2, &text, &mut pair);
            put(1, &pair, &mut resource);
        }
        let mut whole = Vec::new();
        put(1, &resource, &mut whole);
        whole.extend_from_slice(&rest);
        put(1, &whole, &mut out);
        Ok(())
    })?;
    Ok(out)
}

/// A resource without attributes of these names.
fn without(message: &[u8], names: &[(&str, String)], into: &mut Vec<u8>) -> Result<(), Malformed> {
    each(message, |number, field| {
        match (number, field) {
            (1, Field::Bytes(pair)) => {
                let mut key = "";
                each(pair, |number, field| {
                    if number == 1 {
                        key = field.text()?;
                    }
                    Ok(())
                })?;
                if !names.iter().any(|(name, _)| *name == key) {
                    put(1, pair, into);
                }
            }
            (_, Field::Bytes(other)) => put(number, other, into),
            (_, Field::Varint(value)) => put_number(number, value, into),
            (_, Field::Fixed64(_) | Field::Fixed32) => {}
        }
        Ok(())
    })
}
