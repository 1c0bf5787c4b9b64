//! Why the directory could not answer. None of these says anything about a person.

use std::fmt;

use super::guard::Malformed;
use super::server_url::ServerUrl;

/// Why one server could not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No connection could be made.
    #[error("connecting failed: {0}")]
    Connect(String),
    /// The name means another machine than this one, so that passwords would leave it in clear.
    #[error(
        "`{0}` is not on this machine; use `ldaps://` or StartTLS, or allow plain connections explicitly"
    )]
    NotLoopback(String),
    /// The server would not begin TLS.
    #[error("the server refused StartTLS (result {0}); use `ldaps://` or give the server a certificate")]
    StartTls(u32),
    /// Bytes arrived in clear after the reply to StartTLS: someone on the way put them in.
    #[error("bytes in clear followed the reply to StartTLS")]
    Injected,
    /// TLS could not be established, mostly because the certificate is not believed.
    #[error("establishing TLS failed: {0}")]
    Tls(String),
    /// Something took too long.
    #[error("{0} took longer than allowed")]
    Timeout(Step),
    /// The connection ended.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// The server sent what is no reply.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The account that searches is not let in.
    #[error("signing in as `{dn}` to search was refused with result {code}{}", quoted(text))]
    ServiceBind {
        /// The configured entry.
        dn: String,
        /// The result code of RFC 4511.
        code: u32,
        /// What the server says about it.
        text: String,
    },
    /// The server refers to another one. Passwords go only to configured servers.
    #[error("the server refers to another one, which is not followed; configure that one")]
    Referral,
    /// The server could not answer a search or judge a password.
    #[error("the server answered {step} with result {code}{}", quoted(text))]
    Result {
        /// What was asked.
        step: Step,
        /// The result code of RFC 4511.
        code: u32,
        /// What the server says about it.
        text: String,
    },
    /// A listing is incomplete.
    #[error("the listing is incomplete: {0}")]
    Truncated(&'static str),
    /// A listing has nothing in it.
    #[error("no {0} can be seen; check the base, the filter and what the searching account may read")]
    Empty(&'static str),
    /// There is more than the configured bound.
    #[error("there are more {what} than the limit of {limit}; raise it if that is right")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// An entry that must have an id has none that can be read.
    #[error(
        "`{dn}` has no readable `{attribute}`; let the searching account read it, or configure another id"
    )]
    NoId {
        /// The entry.
        dn: String,
        /// The configured attribute.
        attribute: String,
    },
    /// The work ended by a defect.
    #[error("reading the server's reply failed inside the LDAP library")]
    Broken,
}

fn quoted(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).take(300).collect();
    if text.is_empty() { String::new() } else { format!(" (`{text}`)") }
}

/// What was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Connecting, with TLS.
    Connect,
    /// The search account's bind.
    ServiceBind,
    /// The bind of who signs in.
    UserBind,
    /// A search.
    Search,
    /// All of it, over all servers.
    Everything,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::ServiceBind => "signing in to search",
            Self::UserBind => "checking the password",
            Self::Search => "a search",
            Self::Everything => "asking the directory",
        })
    }
}

/// The directory could not answer. Nobody may be refused for good, disabled or removed because of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    /// What went wrong with each server that was tried, in that order.
    pub faults: Vec<(ServerUrl, Fault)>,
    /// Whether time ran out before every server was tried.
    pub out_of_time: bool,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the directory cannot be asked")?;
        for (index, (server, fault)) in self.faults.iter().enumerate() {
            f.write_str(if index == 0 { ": " } else { "; " })?;
            write!(f, "`{server}`: {fault}")?;
        }
        if self.out_of_time {
            f.write_str(if self.faults.is_empty() { ": " } else { "; " })?;
            write!(f, "{}", Fault::Timeout(Step::Everything))?;
        }
        Ok(())
    }
}

impl std::error::Error for Unavailable {}
