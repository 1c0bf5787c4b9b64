//! Anthropic's Messages API as bytes: heads, error envelopes, and what a reply's usage says.
//!
//! Sources: the API's reference (streaming, errors, usage) on platform.claude.com, and runs of the Claude Code client,
//! whose own figures the metering agrees with.

pub use body::BodyMeter;
pub use envelope::error_body;
pub use headers::{BadCredential, CredentialKind, credential_header, reply_headers, request_headers};
pub use rate::rate_limits;
pub use signature::{Carried, SignatureScan, carried};
pub use stream::{Fed, StreamMeter};

mod headers;
mod envelope;
mod rate;
mod usage;
mod stream;
mod body;
mod signature;

use gatehouse_domain::usage::Usage;

/// What a reply turned out to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// What it consumed, as far as it said; see `usage_seen` and `estimated`.
    pub usage: Usage,
    /// Whether the reply said anything about usage at all.
    pub usage_seen: bool,
    /// Whether `usage` holds estimates: the last figures did not arrive, or some could not be believed.
    pub estimated: bool,
    /// The model that answered.
    pub model: Option<String>,
    /// The message's identifier.
    pub id: Option<String>,
    /// Why the model stopped.
    pub stop_reason: Option<String>,
    /// The error's type, if the reply is or ends with one.
    pub error: Option<String>,
    /// Whether it is no message: not JSON, not of type `message` or `error`, or events that make none.
    pub garbage: bool,
}

/// Longest name (model, identifier, stop reason, error type) that is kept of a reply, in bytes.
const MAX_NAME: usize = 200;

/// A short text out of a reply, as a name for records: nothing if it is long or has control characters.
fn name(value: Option<&serde_json::Value>) -> Option<String> {
    let text = value?.as_str()?;
    (!text.is_empty() && text.len() <= MAX_NAME && !text.chars().any(char::is_control))
        .then(|| text.to_owned())
}
