//! Spans of an exchange: the client's request, and in it each attempt at a provider.
//!
//! Names are those of OpenTelemetry's conventions for HTTP and for generative AI
//! (<https://opentelemetry.io/docs/specs/semconv/gen-ai/>), those of ours begin with `gatehouse.`. Nothing of them is content.

use gatehouse_domain::exchange::{Ended, Exchange, Kind};
use gatehouse_domain::trace;
use gatehouse_gateway::witness::Finished;

use super::protobuf::{Value, attribute, bytes, fixed, fixed_32, number, within};
use super::{Conventions, Place, place};

const SERVER: u64 = 2;
const CLIENT: u64 = 3;
const FAILED: u64 = 2;
/// What is at these places of a span (`Span`).
const ATTRIBUTES: u64 = 9;
const STATUS: u64 = 15;

/// The spans of a finished exchange, the request's first.
pub(super) fn spans(finished: &Finished, places: &[Place], conventions: Conventions) -> Vec<Vec<u8>> {
    let mut all = vec![request(finished)];
    let exchange = &finished.exchange;
    let mut began = exchange.overhead_us / 1000;
    for (n, failed) in exchange.attempts.iter().enumerate() {
        let mut span = attempt(finished, (n, began, failed.ended_ms), conventions);
        of_provider(&mut span, place(places, &failed.provider), &failed.provider, conventions);
        attribute(&mut span, ATTRIBUTES, "error.type", Value::Text(failed.fault.as_str()));
        within(&mut span, STATUS, |status| number(status, 3, FAILED));
        all.push(span);
        began = failed.ended_ms;
    }
    if let (Some(asked), Some(provider)) = (finished.asked_ms, &exchange.provider) {
        let n = exchange.attempts.len();
        let mut span = attempt(finished, (n, asked, exchange.duration_ms), conventions);
        of_provider(&mut span, place(places, provider), provider, conventions);
        answered(&mut span, finished, asked, conventions);
        all.push(span);
    }
    all
}

/// What all spans have: trace, span, the one that it is in, name, kind, begin and end in milliseconds since the head arrived.
fn span(
    finished: &Finished,
    (own, parent): (u64, Option<(u64, bool)>),
    (name, kind): (&str, u64),
    (from, to): (u32, u32),
) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    bytes(&mut out, 1, &finished.own.trace.to_be_bytes());
    bytes(&mut out, 2, &own.to_be_bytes());
    if let Some((parent, _)) = parent {
        bytes(&mut out, 4, &parent.to_be_bytes());
    }
    bytes(&mut out, 5, name.as_bytes());
    number(&mut out, 6, kind);
    fixed(&mut out, 7, nanos(&finished.exchange, from));
    fixed(&mut out, 8, nanos(&finished.exchange, to.max(from)));
    // Bit 0: it is recorded. Bits 8 and 9: it is known whether the parent is another program's, and it is.
    let is_remote = parent.is_some_and(|(_, is_remote)| is_remote);
    fixed_32(&mut out, 16, 0x101 | u32::from(is_remote) << 9);
    out
}

fn nanos(exchange: &Exchange, after_ms: u32) -> u64 {
    let began = u64::try_from(exchange.started_at.0).unwrap_or(0);
    began.saturating_add(u64::from(after_ms)).saturating_mul(1_000_000)
}

fn request(finished: &Finished) -> Vec<u8> {
    let exchange = &finished.exchange;
    let (name, method) = match exchange.kind {
        Kind::Messages => ("POST messages", "POST"),
        Kind::CountTokens => ("POST count_tokens", "POST"),
        Kind::Models => ("GET models", "GET"),
        Kind::Other => ("HTTP", "_OTHER"),
    };
    let parent = finished.caller.map(|caller| (caller.span, true));
    let mut out = span(finished, (finished.own.span, parent), (name, SERVER), (0, exchange.duration_ms));
    let mut put = |key: &str, value: Value<'_>| attribute(&mut out, ATTRIBUTES, key, value);
    put("http.request.method", Value::Text(method));
    if exchange.status > 0 {
        put("http.response.status_code", Value::Whole(exchange.status.into()));
    }
    put("http.request.body.size", Value::Whole(exchange.bytes_in));
    put("http.response.body.size", Value::Whole(exchange.bytes_out));
    if let Some(client) = &exchange.client {
        put("user_agent.original", Value::Text(client));
    }
    if let Some(session) = &exchange.session {
        put("session.id", Value::Text(session));
    }
    put("gatehouse.exchange.id", Value::Text(&exchange.id.to_string()));
    put("gatehouse.request.id", Value::Text(&exchange.request_id));
    put("gatehouse.ended", Value::Text(exchange.ended.as_str()));
    put("gatehouse.overhead_us", Value::Whole(exchange.overhead_us.into()));
    if let Some(whose) = &exchange.principal {
        put("gatehouse.user.id", Value::Text(&whose.user.to_string()));
        if let Some(team) = whose.team {
            put("gatehouse.team.id", Value::Text(&team.to_string()));
        }
        if let Some(project) = whose.project {
            put("gatehouse.project.id", Value::Text(&project.to_string()));
        }
    }
    if exchange.kind == Kind::Messages && exchange.ended != Ended::Refused {
        put("gatehouse.cost.nanodollars", Value::Whole(u64::try_from(exchange.cost.nanos.0).unwrap_or(0)));
        put("gatehouse.estimated", Value::Yes(exchange.estimated));
    }
    if let Some(error) = error_type(exchange) {
        put("error.type", Value::Text(&error));
        // A server's span says that it failed where it was not the client's fault.
        if exchange.ended != Ended::Revoked && !(400..500).contains(&exchange.status) {
            within(&mut out, STATUS, |status| number(status, 3, FAILED));
        }
    }
    out
}

fn attempt(finished: &Finished, (n, from, to): (usize, u32, u32), conventions: Conventions) -> Vec<u8> {
    let exchange = &finished.exchange;
    let is_last = n == exchange.attempts.len();
    // Which model a fallback had before is not kept: what the client asked for began it.
    let asked = exchange.asked.as_deref().filter(|_| !is_last);
    let model = asked.or(exchange.model.as_deref());
    let operation = operation(exchange.kind);
    let name = model.map_or_else(|| operation.to_owned(), |model| format!("{operation} {model}"));
    let own = trace::of_attempt(exchange.id, n);
    let parent = Some((finished.own.span, false));
    let mut out = span(finished, (own, parent), (&name, CLIENT), (from, to));
    attribute(&mut out, ATTRIBUTES, "gen_ai.operation.name", Value::Text(operation));
    if let Some(model) = model {
        attribute(&mut out, ATTRIBUTES, "gen_ai.request.model", Value::Text(model));
    }
    if conventions == Conventions::Latest {
        attribute(&mut out, ATTRIBUTES, "gen_ai.request.stream", Value::Yes(exchange.stream));
        if let Some(session) = &exchange.session {
            attribute(&mut out, ATTRIBUTES, "gen_ai.conversation.id", Value::Text(session));
        }
    }
    attribute(&mut out, ATTRIBUTES, "gatehouse.attempt", Value::Whole(n as u64 + 1));
    out
}

fn of_provider(out: &mut Vec<u8>, place: Option<&Place>, name: &str, conventions: Conventions) {
    attribute(out, ATTRIBUTES, conventions.provider_key(), Value::Text(conventions.provider(place)));
    attribute(out, ATTRIBUTES, "gatehouse.provider", Value::Text(name));
    if let Some((host, port)) = place.and_then(|place| place.address.as_ref()) {
        attribute(out, ATTRIBUTES, "server.address", Value::Text(host));
        attribute(out, ATTRIBUTES, "server.port", Value::Whole((*port).into()));
    }
}

fn answered(out: &mut Vec<u8>, finished: &Finished, asked: u32, conventions: Conventions) {
    let exchange = &finished.exchange;
    let mut put = |key: &str, value: Value<'_>| attribute(out, ATTRIBUTES, key, value);
    if let Some(model) = &exchange.served_model {
        put("gen_ai.response.model", Value::Text(model));
    }
    if let Some(id) = &finished.reply_id {
        put("gen_ai.response.id", Value::Text(id));
    }
    if let Some(reason) = &finished.stop_reason {
        put("gen_ai.response.finish_reasons", Value::List(reason));
    }
    if exchange.status > 0 {
        put("http.response.status_code", Value::Whole(exchange.status.into()));
    }
    let used = exchange.usage.total();
    let written = used.cache_write_5m.saturating_add(used.cache_write_1h);
    if exchange.kind == Kind::Messages && exchange.usage != gatehouse_domain::usage::Usage::default() {
        // All of the input: the API's own `input_tokens` leaves out what its cache has to do with.
        let input = used.input.saturating_add(written).saturating_add(used.cache_read);
        put("gen_ai.usage.input_tokens", Value::Whole(input));
        put("gen_ai.usage.output_tokens", Value::Whole(used.output));
        if conventions == Conventions::Latest {
            put("gen_ai.usage.cache_read.input_tokens", Value::Whole(used.cache_read));
            put("gen_ai.usage.cache_creation.input_tokens", Value::Whole(written));
        }
    }
    let first = exchange.first_byte_ms.filter(|_| exchange.stream && conventions == Conventions::Latest);
    if let Some(first) = first {
        let seconds = f64::from(first.saturating_sub(asked)) / 1e3;
        put("gen_ai.response.time_to_first_chunk", Value::Real(seconds));
    }
    if let Some(error) = error_type(exchange) {
        put("error.type", Value::Text(&error));
        within(out, STATUS, |status| number(status, 3, FAILED));
    }
}

/// What a model was asked to do. There is no word in the conventions for the others.
pub(super) const fn operation(kind: Kind) -> &'static str {
    match kind {
        Kind::Messages => "chat",
        Kind::CountTokens | Kind::Models | Kind::Other => kind.as_str(),
    }
}

/// What went wrong: a code of the record, or the status. A client that left is no error.
pub(super) fn error_type(exchange: &Exchange) -> Option<String> {
    match exchange.ended {
        Ended::Completed | Ended::ClientGone => None,
        Ended::Refused
        | Ended::UpstreamError
        | Ended::UpstreamFailed
        | Ended::Revoked
        | Ended::Interrupted => {
            let status =
                || if exchange.status > 0 { exchange.status.to_string() } else { "_OTHER".to_owned() };
            Some(exchange.reason.clone().unwrap_or_else(status))
        }
    }
}
