//! What is answered, other than by a destination. The one table of the proxy's statuses.
//!
//! A coding client shows the text of a refused CONNECT to its user, so it is one short plain sentence with the rule's name.

use gatehouse_domain::proxy::{Destination, Refusal, RefusalKind};

use crate::head::BadHead;
use crate::inspection::NotInspected;

/// What a tunnel's client is told when it is open.
pub(crate) const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// Whether the connection goes on after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// Another request may follow.
    Keep,
    /// It ends.
    Close,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) rule: String,
    pub(crate) text: String,
    pub(crate) after: After,
}

impl Answer {
    fn new(status: u16, rule: &str, text: impl Into<String>) -> Self {
        Self { status, rule: rule.to_owned(), text: text.into(), after: After::Close }
    }

    /// For a refusal of the decision.
    pub(crate) fn refused(refusal: &Refusal, destination: &Destination, contact: &str) -> Self {
        let status = match refusal.kind {
            RefusalKind::Identity => 407,
            RefusalKind::Policy => 403,
            RefusalKind::Unknown => 502,
        };
        let Refusal { rule, why, .. } = refusal;
        let text = format!("{destination} is refused by this organization's proxy (rule {rule}): {why}.");
        Self::new(status, rule, with_contact(text, contact))
    }

    /// Nobody said who asks.
    pub(crate) fn nobody(contact: &str, after: After) -> Self {
        let text = "This organization's proxy wants to know who asks: give it a key in the proxy's address \
                    (http://name:KEY@proxy), a token, or a client certificate.";
        Self { after, ..Self::new(407, "identity", with_contact(text.to_owned(), contact)) }
    }

    /// What was presented is no good.
    pub(crate) fn wrong(contact: &str, after: After) -> Self {
        let text = "This organization's proxy does not accept the key or token that was presented.";
        Self { after, ..Self::new(407, "identity", with_contact(text.to_owned(), contact)) }
    }

    /// Too many wrong credentials came from there.
    pub(crate) fn slow_down() -> Self {
        Self::new(
            429,
            "failed-credentials",
            "Too many wrong keys came from this address; try again in a minute.",
        )
    }

    /// Too many tunnels are open.
    pub(crate) fn crowded(rule: &str) -> Self {
        let whose = if rule == "user-tunnels" { "you have" } else { "this proxy has" };
        let text =
            format!("Too many connections are open at once: {whose} as many as allowed (rule {rule}).");
        Self::new(429, rule, text)
    }

    /// The head is none.
    pub(crate) fn bad_head(bad: &BadHead) -> Self {
        match bad {
            BadHead::TooLarge => Self::new(431, "authority", "The request's head is too large for a proxy."),
            BadHead::Malformed(why) => {
                Self::new(400, "authority", format!("The request cannot be read: {why}."))
            }
            BadHead::NotProxy => Self::new(
                400,
                "authority",
                "This is a proxy: it is asked for whole addresses, or by CONNECT.",
            ),
            BadHead::Scheme => Self::new(
                400,
                "authority",
                "Only http:// is forwarded plainly; use CONNECT for everything else.",
            ),
            BadHead::Authority(why, _) => Self::new(
                400,
                "authority",
                format!("The destination cannot be read (rule authority): {why}."),
            ),
        }
    }

    /// The destination does not answer.
    pub(crate) fn unreachable(destination: &Destination) -> Self {
        Self::new(502, "unreachable", format!("{destination} cannot be reached from the proxy now."))
    }

    /// What goes there is looked into, and that cannot be done.
    pub(crate) fn not_inspected(why: &NotInspected, destination: &Destination, contact: &str) -> Self {
        let status = match why {
            NotInspected::Nobody => 407,
            NotInspected::NoAuthority | NotInspected::NoLeaf(_) => 503,
        };
        let text =
            format!("{destination} is inspected by this organization's proxy (rule inspection), and {why}.");
        Self::new(status, "inspection", with_contact(text, contact))
    }

    /// What happens cannot be recorded.
    pub(crate) fn no_records() -> Self {
        Self::new(503, "records", "The proxy cannot keep its records now, and lets nothing through without.")
    }

    /// The head took too long.
    pub(crate) fn late() -> Self {
        Self::new(408, "authority", "The request took too long to arrive.")
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let Self { status, rule, text, after } = self;
        let reason = match status {
            400 => "Bad Request",
            403 => "Forbidden",
            407 => "Proxy Authentication Required",
            408 => "Request Timeout",
            429 => "Too Many Requests",
            431 => "Request Header Fields Too Large",
            502 => "Bad Gateway",
            _ => "Service Unavailable",
        };
        let mut more = String::new();
        if *status == 407 {
            more.push_str("Proxy-Authenticate: Basic realm=\"Gatehouse\", charset=\"UTF-8\"\r\n");
            more.push_str("Proxy-Authenticate: Bearer realm=\"Gatehouse\"\r\n");
        }
        if *status == 429 {
            more.push_str("Retry-After: 60\r\n");
        }
        let connection = match after {
            After::Keep => "keep-alive",
            After::Close => "close",
        };
        format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
             X-Gatehouse-Rule: {rule}\r\n{more}Connection: {connection}\r\n\r\n{text}\n",
            text.len() + 1
        )
        .into_bytes()
    }
}

fn with_contact(mut text: String, contact: &str) -> String {
    if !contact.is_empty() {
        text.push_str(" Help: ");
        text.push_str(contact);
    }
    text
}
