//! What is told of finished exchanges to who exports traces and figures, beside the record.

use gatehouse_domain::exchange::Exchange;
use gatehouse_domain::id::ExchangeId;
use gatehouse_domain::trace::{self, Context};
use http::{HeaderMap, HeaderName, HeaderValue};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// Longest `tracestate` that is passed on, in bytes: what everybody must take.
const MAX_STATE: usize = 512;

/// Is told of every finished exchange, if it wants to be.
pub trait Witness: Send + Sync {
    /// What it wants now. Asked once for every request: must cost nothing.
    fn wants(&self) -> Option<Wants>;

    /// Takes over a finished exchange. Never waits: what finds no room is dropped, and counted there.
    fn ended(&self, finished: Finished);
}

/// What a witness wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wants {
    /// The share of traces that are recorded, in millionths.
    pub share: u32,
    /// Whether providers are told which trace a request belongs to.
    pub pass_on: bool,
}

/// A finished exchange, with what its record does not hold.
pub struct Finished {
    /// The record.
    pub exchange: Box<Exchange>,
    /// The span of the caller's that it belongs to, where the caller named one.
    pub caller: Option<Context>,
    /// Its own span.
    pub own: Context,
    /// When the last attempt at a provider began, in milliseconds since the head arrived; `None` where nobody was asked.
    pub asked_ms: Option<u32>,
    /// Why the model stopped, in the provider's word.
    pub stop_reason: Option<String>,
    /// What the provider calls its reply.
    pub reply_id: Option<String>,
}

/// What is noted of an exchange under way for the witness.
#[derive(Clone)]
pub(crate) struct Noted {
    wants: Wants,
    caller: Option<Context>,
    pub(crate) asked_ms: Option<u32>,
    pub(crate) stop_reason: Option<String>,
    pub(crate) reply_id: Option<String>,
}

impl Noted {
    pub(crate) const fn new(wants: Wants) -> Self {
        Self { wants, caller: None, asked_ms: None, stop_reason: None, reply_id: None }
    }

    /// Notes whose trace it continues. Two of them are none.
    pub(crate) fn head(&mut self, headers: &HeaderMap) {
        let mut all = headers.get_all(TRACEPARENT).iter();
        let first = all.next().and_then(|value| value.to_str().ok()).and_then(Context::parse);
        self.caller = first.filter(|_| all.next().is_none());
    }

    fn own(&self, id: ExchangeId, is_known: bool) -> Context {
        trace::of_exchange(id, self.caller, is_known, self.wants.share)
    }

    /// Tells a provider of the trace, if that is wanted.
    pub(crate) fn pass_on(&self, exchange: &Exchange, given: &HeaderMap, sent: &mut HeaderMap) {
        if !self.wants.pass_on {
            return;
        }
        let own = self.own(exchange.id, exchange.principal.is_some());
        let attempt = Context { span: trace::of_attempt(exchange.id, exchange.attempts.len()), ..own };
        let Ok(value) = HeaderValue::try_from(attempt.to_string()) else { return };
        sent.insert(TRACEPARENT, value);
        let state = given.get(TRACESTATE).filter(|state| state.len() <= MAX_STATE && self.caller.is_some());
        if let Some(state) = state {
            sent.insert(TRACESTATE, state.clone());
        }
    }

    /// What the witness is given.
    pub(crate) fn finished(self, exchange: Box<Exchange>) -> Finished {
        let own = self.own(exchange.id, exchange.principal.is_some());
        let Self { caller, asked_ms, stop_reason, reply_id, .. } = self;
        Finished { exchange, caller, own, asked_ms, stop_reason, reply_id }
    }
}
