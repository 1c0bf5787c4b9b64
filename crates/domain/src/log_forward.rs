//! The log as it is handed to others: audit entries and exchanges as lines of JSON, and as syslog messages.
//!
//! Lines never hold content, since neither entries nor records do. Every line has an `id` that is the same each time it is
//! sent, so that who gets it twice can tell.

use std::borrow::Cow;

use crate::audit::{Hash, Outcome};
use crate::exchange::Exchange;
use crate::id::{ExchangeId, OrgId};
use crate::time::UnixMillis;

/// Longest message that a syslog receiver need take (RFC 5425, section 4.3.1, asks for 8192 octets). Longer ones are sent
/// whole; some receivers cut them.
pub const USUAL_MESSAGE: usize = 8192;

/// How much a line matters. The numbers are those of syslog (RFC 5424, section 6.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something failed.
    Error = 3,
    /// Something was refused.
    Warning = 4,
    /// Something was done.
    Info = 6,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it happened.
    pub at: UnixMillis,
    /// How much it matters.
    pub severity: Severity,
    /// What it is about: the action of an entry, or `exchange`.
    pub kind: Cow<'static, str>,
    /// The line: one JSON object with `id` and `type`, without a line's end.
    pub json: String,
}

impl Line {
    /// An audit entry, by its canonical JSON. The hash makes it possible to check the chain from the lines alone.
    pub fn entry(org: OrgId, seq: u64, at: UnixMillis, action: &str, canonical: &str, hash: &Hash) -> Self {
        let json = format!(r#"{{"id":"{org}/{seq}","type":"audit","hash":"{hash}","entry":{canonical}}}"#);
        // The outcome is read from the text: who asks for it is many.
        let severity = if canonical.contains(r#""outcome":"refused""#) {
            Severity::Warning
        } else if canonical.contains(r#""outcome":"failed""#) {
            Severity::Error
        } else {
            Severity::Info
        };
        Self { at, severity, kind: Cow::Owned(action.to_owned()), json }
    }

    /// An exchange, by its record, and the audit entry that covers it. A record that is not there any more is told of.
    pub fn exchange(org: OrgId, seq: u64, at: UnixMillis, id: ExchangeId, record: Option<&str>) -> Self {
        let told = record.and_then(|record| Exchange::read_record(org, record).ok());
        let severity = match told.as_ref().map(|exchange| exchange.status) {
            Some(500..) => Severity::Error,
            Some(400..) | None => Severity::Warning,
            Some(_) => Severity::Info,
        };
        let at = told.map_or(at, |exchange| exchange.started_at.plus_millis(exchange.duration_ms.into()));
        let record = record.unwrap_or("null");
        let json =
            format!(r#"{{"id":"{id}","type":"exchange","audit_entry":"{org}/{seq}","exchange":{record}}}"#);
        Self { at, severity, kind: Cow::Borrowed("exchange"), json }
    }

    /// The line as a syslog message (RFC 5424), without a frame. The facility is 13, log audit.
    pub fn syslog(&self, host: &str) -> String {
        const FACILITY: u8 = 13;
        let priority = FACILITY * 8 + self.severity as u8;
        let host = header(host, 255);
        let kind = header(&self.kind, 32);
        format!("<{priority}>1 {} {host} gatehouse - {kind} - {}", self.at, self.json)
    }
}

/// A message with the number of its octets in front (RFC 6587, section 3.4.1; RFC 5425, section 4.3).
pub fn framed(message: &str) -> String {
    format!("{} {message}", message.len())
}

/// A field of a message's header: visible ASCII, so long at most; `-` where there is nothing.
fn header(text: &str, longest: usize) -> String {
    let field: String = text.chars().filter(char::is_ascii_graphic).take(longest).collect();
    if field.is_empty() { "-".to_owned() } else { field }
}

/// The severity of an outcome.
impl From<Outcome> for Severity {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::Info,
            Outcome::Refused => Self::Warning,
            Outcome::Failed => Self::Error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Actor, Draft, Hash, Head, Object};

    #[test]
    fn an_entry_is_one_line_of_json_and_one_message() {
        let org = OrgId::from_bits(7);
        let mut act = Draft::new(
            UnixMillis(0),
            Actor::system("test"),
            "key.rotate",
            Object::new("key", "k", "a\nb \"c\""),
        );
        act = act.ended(Outcome::Refused, "no");
        let mut head = Head { seq: 4, hash: Hash::genesis(org) };
        let linked = head.append(org, &act);
        let line = Line::entry(org, linked.seq, act.at, &act.action, &linked.canonical, &linked.hash);
        let read: serde_json::Value = serde_json::from_str(&line.json).unwrap();
        assert_eq!(read["id"], format!("{org}/5"));
        assert_eq!(
            (&read["type"], &read["entry"]["object"]["name"]),
            (&"audit".into(), &"a\nb \"c\"".into())
        );
        assert!(!line.json.contains('\n'));
        assert_eq!(line.severity, Severity::from(act.outcome));
        let message = line.syslog("node one");
        assert!(
            message.starts_with("<108>1 1970-01-01T00:00:00.000Z nodeone gatehouse - key.rotate - {"),
            "{message}"
        );
        let framed = framed(&message);
        assert!(framed.starts_with(&format!("{} <108>1 ", message.len())));
    }

    #[test]
    fn a_record_that_is_gone_is_told_of() {
        let (org, id) = (OrgId::from_bits(7), ExchangeId::from_bits(9));
        let line = Line::exchange(org, 3, UnixMillis(5), id, None);
        let read: serde_json::Value = serde_json::from_str(&line.json).unwrap();
        assert_eq!(
            (&read["exchange"], line.at, line.severity),
            (&serde_json::Value::Null, UnixMillis(5), Severity::Warning)
        );
        assert_eq!(read["audit_entry"], format!("{org}/3"));
        assert!(line.syslog("").contains(" - gatehouse - exchange - {"));
    }
}
