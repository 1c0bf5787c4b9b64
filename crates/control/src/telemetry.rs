//! What coding clients say of their own use, by the OpenTelemetry protocol over HTTP and gRPC.
//!
//! A request is taken off the data path as bytes, read here, and counted by one job that writes many requests in one
//! transaction. It is answered when that is done, so that what was answered is counted, and what comes again (a client
//! whose answer was lost) is not counted twice. Whose it is comes from the credential.
//!
//! Everything is bounded: a request's size before and after unpacking, items and attributes, requests of one person in a
//! minute, requests waiting, and the names of models. What finds no room is told to come again
//! (<https://opentelemetry.io/docs/specs/otlp/#failures-1>) and counted.

mod answer;
mod event;
mod grpc;
mod intake;
mod item;
mod json;
mod protobuf;
mod read;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::body::Bytes;
use gatehouse_domain::role::Scope;
use gatehouse_domain::telemetry::Signal;
use gatehouse_store::telemetry::{ClientBy, ClientUsageRow};

use crate::act::{ActError, Range};
use crate::app::App;

pub use event::{Wanted, events};
pub use grpc::{Grpc, Unknown, Whose};
pub(crate) use intake::Came;
pub use intake::{Figures, Intake};

/// Largest request, in bytes, before and after unpacking.
pub const MAX_BODY: usize = 4 * 1024 * 1024;

/// What the configuration says of telemetry.
pub struct Rules {
    /// Whether the text of prompts is kept where a client sends it.
    pub prompts: Prompts,
    /// Requests of one person that are taken in a minute.
    pub per_minute: u32,
    /// How long single events are kept, in milliseconds.
    pub events_ms: i64,
    /// Passes requests on to collectors, where there are any. Returns at once.
    pub relay: Option<Relay>,
}

/// Passes a request on.
pub type Relay = Arc<dyn Fn(&Outgoing) + Send + Sync>;

/// Whether the text of prompts is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompts {
    /// It is, where a client sends it.
    Kept,
    /// It is not.
    LeftOut,
}

/// How a request is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As Protobuf.
    Protobuf,
    /// As JSON.
    Json,
}

impl Form {
    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }

    /// The form that a `Content-Type` names.
    fn parse(declared: &str) -> Option<Self> {
        let essence = declared.split(';').next().unwrap_or_default().trim();
        [Self::Protobuf, Self::Json].into_iter().find(|form| form.media_type().eq_ignore_ascii_case(essence))
    }
}

/// A request to pass on: its resources say whose it is.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Which signal.
    pub signal: Signal,
    /// How it is written.
    pub form: Form,
    /// The request, unpacked.
    pub body: Bytes,
}

/// Sums what clients said within a scope over a range.
///
/// # Errors
/// A range that is none; the database.
pub async fn sums(
    app: &App,
    scope: Scope,
    by: ClientBy,
    range: Range,
) -> Result<Vec<ClientUsageRow>, ActError> {
    let (since, until) = range.read(app.now())?;
    Ok(app.store.client_usage(app.org, scope, by, since, until).await?)
}
