//! The checksum by which client and server agree on a settings document.
//!
//! It is the SHA-256 of the document as the client's JavaScript would write it: keys sorted at every level, no white
//! space, numbers and escapes as `JSON.stringify` has them (ECMA-262, sections 6.1.6.1.20 and 25.5.2.3).

use std::cmp::Ordering;
use std::fmt::{self, Write as _};

use serde::{Serialize, Serializer};
use serde_json::{Map, Number, Value};
use sha2::{Digest, Sha256};

use super::Document;

/// The SHA-256 of a document in canonical form; written `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Checksum([u8; 32]);

/// A text that is no checksum.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no checksum of settings (expected `sha256:` and 64 digits 0-9 a-f)")]
pub struct BadChecksum(String);

impl Checksum {
    /// The checksum of a document.
    pub fn of(document: &Document) -> Self {
        Self(Sha256::digest(canonical(document)).into())
    }

    /// Reads a checksum as the client reports it.
    ///
    /// # Errors
    /// The text has another form.
    pub fn parse(text: &str) -> Result<Self, BadChecksum> {
        let bad = || BadChecksum(text.chars().take(80).flat_map(char::escape_debug).collect());
        let hex = text.strip_prefix("sha256:").filter(|hex| hex.len() == 64).ok_or_else(bad)?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let mut value = 0;
            for digit in pair {
                value = value << 4
                    | match digit {
                        b'0'..=b'9' => digit - b'0',
                        b'a'..=b'f' => digit - b'a' + 10,
                        _ => return Err(bad()),
                    };
            }
            *byte = value;
        }
        Ok(Self(bytes))
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The checksum with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Checksum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The document in the one form that is hashed.
pub fn canonical(document: &Document) -> String {
    let mut out = String::new();
    write_object(document.as_map(), &mut out);
    out
}

/// The value in the same form: two values mean the same to the client exactly if these texts are equal.
pub(super) fn canonical_value(value: &Value) -> String {
    let mut out = String::new();
    write_value(value, &mut out);
    out
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_text(text, out),
        Value::Array(list) => {
            out.push('[');
            for (position, entry) in list.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                write_value(entry, out);
            }
            out.push(']');
        }
        Value::Object(map) => write_object(map, out),
    }
}

fn write_object(map: &Map<String, Value>, out: &mut String) {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by(|(a, _), (b, _)| compare_keys(a, b));
    out.push('{');
    for (position, (key, value)) in entries.into_iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        write_text(key, out);
        out.push(':');
        write_value(value, out);
    }
    out.push('}');
}

/// The order in which a JavaScript object lists its keys after they were put in sorted: array indices by number, then
/// all others by UTF-16 code units.
fn compare_keys(a: &str, b: &str) -> Ordering {
    match (array_index(a), array_index(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.encode_utf16().cmp(b.encode_utf16()),
    }
}

/// The number that a key is, if it is one in canonical form and below 2^32 - 1 (ECMA-262, section 6.1.7).
fn array_index(key: &str) -> Option<u32> {
    let canonical = key == "0" || (!key.starts_with('0') && key.bytes().all(|b| b.is_ascii_digit()));
    key.parse().ok().filter(|index| canonical && *index < u32::MAX)
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\u{1f}' => write!(out, "\\u{:04x}", u32::from(c)).expect("a String takes any text"),
            _ => out.push(c),
        }
    }
    out.push('"');
}

/// Writes a number as JavaScript does. There every number is a double, so large integers lose digits here as well.
fn write_number(number: &Number, out: &mut String) {
    let value = number.as_f64().expect("without arbitrary precision every JSON number is a double");
    if value == 0.0 {
        // Negative zero is written without its sign.
        return out.push('0');
    }
    // Rust's scientific notation has the fewest digits that read back as the same double, as ECMA-262 asks.
    let scientific = format!("{:e}", value.abs());
    let (mantissa, exponent) = scientific.split_once('e').expect("scientific notation has an exponent");
    let exponent: i32 = exponent.parse().expect("an exponent is a small integer");
    let digits = mantissa.replace('.', "");
    let count = i32::try_from(digits.len()).expect("a double has at most 17 digits");
    if value < 0.0 {
        out.push('-');
    }
    // The decimal point stands after this many digits.
    let point = exponent + 1;
    match point {
        _ if count <= point && point <= 21 => {
            out.push_str(&digits);
            out.extend((count..point).map(|_| '0'));
        }
        1..=21 => {
            let (whole, fraction) = digits.split_at(usize::try_from(point).expect("it is positive"));
            out.extend([whole, ".", fraction]);
        }
        -5..=0 => {
            out.push_str("0.");
            out.extend((point..0).map(|_| '0'));
            out.push_str(&digits);
        }
        _ => {
            let (first, others) = digits.split_at(1);
            let dot = if others.is_empty() { "" } else { "." };
            let sign = if exponent < 0 { '-' } else { '+' };
            write!(out, "{first}{dot}{others}e{sign}{}", exponent.unsigned_abs())
                .expect("a String takes any text");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical_of(text: &str) -> String {
        canonical(&Document::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn the_published_vectors() {
        for (text, sum) in [
            ("{}", "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"),
            (
                r#"{"permissions": {"deny": ["Read(./.env)"]}, "env": {"B": "é", "A": "1"},
                    "availableModels": ["claude-sonnet-4-6"]}"#,
                "sha256:c3be3543660eb4fcf30b8e85313f7467f2ecded0ad8bb3047af3ca26a7a080ed",
            ),
        ] {
            let checksum = Checksum::of(&Document::parse(text.as_bytes()).unwrap());
            assert_eq!(checksum.to_string(), sum);
            assert_eq!(Checksum::parse(sum), Ok(checksum));
        }
    }

    /// The right-hand sides were printed by V8.
    #[test]
    fn numbers_as_javascript_writes_them() {
        for (json, javascript) in [
            ("0", "0"),
            ("-0.0", "0"),
            ("1.0", "1"),
            ("-1.50", "-1.5"),
            ("100", "100"),
            ("1e21", "1e+21"),
            ("1e20", "100000000000000000000"),
            ("123456789012345678901234567890", "1.2345678901234568e+29"),
            ("9007199254740993", "9007199254740992"),
            ("18446744073709551615", "18446744073709552000"),
            ("-9223372036854775808", "-9223372036854776000"),
            ("0.000001", "0.000001"),
            ("0.0000012345", "0.0000012345"),
            ("0.0000001", "1e-7"),
            ("1.5e-9", "1.5e-9"),
            ("5e-324", "5e-324"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
            ("0.1", "0.1"),
            ("123.456", "123.456"),
            ("0.30000000000000004", "0.30000000000000004"),
            ("8.41e21", "8.41e+21"),
            ("9.5367431640625e-7", "9.5367431640625e-7"),
        ] {
            assert_eq!(
                canonical_of(&format!("{{\"a\": {json}}}")),
                format!("{{\"a\":{javascript}}}"),
                "{json}"
            );
        }
    }

    #[test]
    fn keys_in_the_order_of_javascript() {
        let text = r#"{"b":1,"10":1,"9":1,"0":1,"00":1,"01":1,"-1":1,"4294967294":1,"4294967295":1,"1.5":1,"":1,
            "a":1,"B":1,"ｚ":1,"𝒵":1,"é":1}"#;
        assert_eq!(
            canonical_of(text).replace(":1", ""),
            r#"{"0","9","10","4294967294","","-1","00","01","1.5","4294967295","B","a","b","é","𝒵","ｚ"}"#
        );
    }

    #[test]
    fn texts_are_escaped_as_by_stringify() {
        let text = "{\"a\": \"\\u0000\\u001f\\u007f\\u2028\\b\\f\\n\\r\\t\\\"\\\\\\/\\ud83d\\ude00é\"}";
        let expected = "{\"a\":\"\\u0000\\u001f\u{7f}\u{2028}\\b\\f\\n\\r\\t\\\"\\\\/😀é\"}";
        assert_eq!(canonical_of(text), expected);
    }

    #[test]
    fn hostile_checksums_are_refused() {
        let good = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        for text in ["", "sha256:", &good[7..], &good[..70], &good.to_uppercase(), &good.replace('4', "é")] {
            assert!(Checksum::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn canonical_form_reads_back_and_is_its_own(number in any::<f64>(), key in "\\PC{0,6}", text in any::<String>()) {
            prop_assume!(number.is_finite() && key != "__proto__" && key != "n");
            let document = Document::from_value(serde_json::json!({ key: { "t": text }, "n": number })).unwrap();
            let once = canonical(&document);
            let back = Document::parse(once.as_bytes()).unwrap();
            prop_assert_eq!(back.as_map()["n"].as_f64(), Some(number));
            prop_assert_eq!(canonical(&back), once);
        }

        #[test]
        fn any_text_is_a_checksum_or_an_error(text in "(sha256:)?[0-9a-g]{0,70}") {
            if let Ok(checksum) = Checksum::parse(&text) {
                prop_assert_eq!(checksum.to_string(), text);
            }
        }
    }
}
