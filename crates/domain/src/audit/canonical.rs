//! The canonical JSON of an entry: sorted keys, no white space, shortest escapes (RFC 8785, except that whole numbers
//! keep 64 bits). Written by hand, since it is made once for every exchange.

use std::fmt::Write as _;

use super::{Draft, MAX_LIST, MAX_TEXT, Value};
use crate::id::OrgId;

/// Appends the canonical JSON of an entry.
pub(super) fn write_entry(out: &mut String, org: OrgId, seq: u64, act: &Draft) {
    out.push_str("{\"action\":");
    text(out, &act.action);
    out.push_str(",\"actor\":{\"id\":");
    text(out, &act.actor.id);
    out.push_str(",\"kind\":\"");
    out.push_str(act.actor.kind.as_str());
    out.push_str("\",\"name\":");
    text(out, &act.actor.name);
    out.push_str("},\"at\":");
    shown(out, act.at.0);
    out.push_str(",\"detail\":{");
    for (n, (key, value)) in act.detail.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        text(out, key);
        out.push(':');
        write_value(out, value);
    }
    out.push('}');
    if let Some(from) = act.from {
        out.push_str(",\"from\":\"");
        shown(out, from);
        out.push('"');
    }
    out.push_str(",\"object\":{\"id\":");
    text(out, &act.object.id);
    out.push_str(",\"kind\":");
    text(out, &act.object.kind);
    out.push_str(",\"name\":");
    text(out, &act.object.name);
    out.push_str("},\"org\":\"");
    shown(out, org);
    out.push_str("\",\"outcome\":\"");
    out.push_str(act.outcome.as_str());
    out.push('"');
    for (key, value) in [(",\"reason\":", &act.reason), (",\"request_id\":", &act.request_id)] {
        if let Some(value) = value {
            out.push_str(key);
            text(out, value);
        }
    }
    out.push_str(",\"seq\":");
    shown(out, seq);
    out.push('}');
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Int(number) => shown(out, number),
        Value::Text(value) => text(out, value),
        Value::List(list) => {
            out.push('[');
            for (n, value) in list.iter().take(MAX_LIST).enumerate() {
                if n > 0 {
                    out.push(',');
                }
                text(out, value);
            }
            out.push(']');
        }
    }
}

fn shown(out: &mut String, value: impl std::fmt::Display) {
    write!(out, "{value}").expect("writing to a String cannot fail");
}

/// Writes a JSON string of at most [`MAX_TEXT`] characters.
pub(super) fn text(out: &mut String, value: &str) {
    let value = if value.len() > MAX_TEXT { cut(value) } else { value };
    out.push('"');
    let mut from = 0;
    for (at, byte) in value.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&value[from..at]);
        from = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            8 => out.push_str("\\b"),
            b'\t' => out.push_str("\\t"),
            b'\n' => out.push_str("\\n"),
            12 => out.push_str("\\f"),
            b'\r' => out.push_str("\\r"),
            control => write!(out, "\\u{control:04x}").expect("writing to a String cannot fail"),
        }
    }
    out.push_str(&value[from..]);
    out.push('"');
}

fn cut(value: &str) -> &str {
    value.char_indices().nth(MAX_TEXT).map_or(value, |(end, _)| &value[..end])
}
