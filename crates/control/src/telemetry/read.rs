//! From a request's bytes to what is counted of it.

use std::io::Read as _;

use gatehouse_domain::exchange::Principal;
use gatehouse_domain::id::ClientEventId;
use gatehouse_domain::telemetry::{
    Amount, Event, EventName, KEPT_ALWAYS, Point, Report, Running, Signal, Value, adds, amount, measure, when,
};
use gatehouse_domain::time::UnixMillis;
use serde_json::{Map, Value as Json};
use sha2::{Digest as _, Sha256};

use super::answer::Refused;
use super::item::{Attributes, Malformed, Number, Record, Sink, Temporality, cut};
use super::{Form, MAX_BODY, Prompts, json, protobuf};

/// Items of one request that are counted; further ones are told back as rejected.
pub(super) const MAX_ITEMS: usize = 10_000;
/// Longest text of an event's attribute, in bytes, but for a prompt.
const MAX_TEXT: usize = 256;
/// Longest name of a session.
const MAX_SESSION: usize = 64;

/// What reading needs besides the request.
pub(super) struct Reading<'a> {
    pub(super) whose: &'a Principal,
    pub(super) now: UnixMillis,
    pub(super) prompts: Prompts,
    /// Fresh random bits.
    pub(super) random: &'a dyn Fn() -> u128,
    /// The name that a model is counted under.
    pub(super) model: &'a dyn Fn(&str) -> String,
}

/// What was read.
pub(super) struct Taken {
    pub(super) report: Report,
    /// Items that are not counted, and should have been.
    pub(super) left_out: u64,
}

/// Unpacks a body.
pub(super) fn unpacked(body: &[u8], packing: Option<&str>) -> Result<Option<Vec<u8>>, Refused> {
    match packing.map(str::trim) {
        None | Some("" | "identity") => Ok(None),
        Some(name) if name.eq_ignore_ascii_case("gzip") => {
            let mut out = Vec::new();
            let most = MAX_BODY as u64 + 1;
            let read = flate2::read::GzDecoder::new(body).take(most).read_to_end(&mut out);
            if read.is_err() || out.len() > MAX_BODY {
                return Err(Refused::Unpacking);
            }
            Ok(Some(out))
        }
        Some(_) => Err(Refused::Packing),
    }
}

/// Reads a request. Spans are looked at and not kept.
pub(super) fn read(
    signal: Signal,
    form: Form,
    body: &[u8],
    reading: &Reading<'_>,
) -> Result<Taken, Malformed> {
    let report = Report {
        user: reading.whose.user,
        team: reading.whose.team,
        digest: digest(signal, body, reading.whose),
        came: reading.now,
        points: Vec::new(),
        events: Vec::new(),
    };
    let mut items = Items { reading, taken: Taken { report, left_out: 0 } };
    match (signal, form) {
        (Signal::Metrics, Form::Protobuf) => protobuf::metrics(body, &mut items)?,
        (Signal::Metrics, Form::Json) => json::metrics(body, &mut items)?,
        (Signal::Logs, Form::Protobuf) => protobuf::logs(body, &mut items)?,
        (Signal::Logs, Form::Json) => json::logs(body, &mut items)?,
        (Signal::Traces, Form::Protobuf) => drop(protobuf::traces(body)?),
        (Signal::Traces, Form::Json) => drop(json::traces(body)?),
    }
    Ok(items.taken)
}

/// The same content of the same person is the same request, however it was packed.
fn digest(signal: Signal, body: &[u8], whose: &Principal) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(whose.user.bits().to_le_bytes());
    digest.update(signal.as_str());
    digest.update([0]);
    digest.update(body);
    digest.finalize().into()
}

struct Items<'a> {
    reading: &'a Reading<'a>,
    taken: Taken,
}

impl Items<'_> {
    /// Whether one more item is counted.
    fn room(&mut self) -> bool {
        let report = &self.taken.report;
        let room = report.points.len() + report.events.len() < MAX_ITEMS;
        self.taken.left_out += u64::from(!room);
        room
    }

    fn model(&self, attributes: &Attributes) -> String {
        match attributes.text("model") {
            "" => String::new(),
            name => (self.reading.model)(name),
        }
    }
}

impl Sink for Items<'_> {
    fn number(&mut self, resource: &Attributes, number: Number) -> Result<(), Malformed> {
        let attribute = |name: &str| number.attributes.get(name);
        let Some((measure, units)) = measure(&number.metric, &attribute) else { return Ok(()) };
        if !self.room() {
            return Ok(());
        }
        let value = amount(number.value * units);
        let amount = match number.temporality {
            Temporality::Delta => Amount::More(value),
            Temporality::Cumulative if number.monotonic => Amount::Since(Running {
                stream: number.stream(resource),
                nanos: i64::try_from(number.time).unwrap_or(i64::MAX),
                total: value,
            }),
            Temporality::Cumulative | Temporality::Unsaid => {
                self.taken.left_out += 1;
                return Ok(());
            }
        };
        let at = when(number.time, self.reading.now);
        let model = self.model(&number.attributes);
        self.taken.report.points.push(Point { measure, model, at, amount });
        Ok(())
    }

    fn record(&mut self, record: Record) -> Result<(), Malformed> {
        let said = record.attributes.text("event.name");
        let names = [record.name.as_str(), record.body.as_str(), said];
        let Some(name) = names.into_iter().find_map(EventName::parse) else { return Ok(()) };
        if !self.room() {
            return Ok(());
        }
        let at = when(record.time, self.reading.now);
        let mut session = record.attributes.text("session.id").to_owned();
        cut(&mut session, MAX_SESSION);
        let attribute = |name: &str| record.attributes.get(name);
        let event = Event {
            id: ClientEventId::new(at, (self.reading.random)()),
            at,
            name,
            model: self.model(&record.attributes),
            session,
            attributes: Json::Object(kept(name, &record.attributes, self.reading.prompts)).to_string(),
            adds: adds(name, &attribute),
        };
        self.taken.report.events.push(event);
        Ok(())
    }
}

/// What is kept of an event's attributes.
fn kept(event: EventName, attributes: &Attributes, prompts: Prompts) -> Map<String, Json> {
    let mut out = Map::new();
    for name in event.kept().iter().chain(&KEPT_ALWAYS) {
        let value = match attributes.get(name) {
            None => continue,
            Some(Value::Text(text)) => {
                let mut text = text.clone();
                cut(&mut text, MAX_TEXT);
                Json::from(text)
            }
            Some(Value::Whole(n)) => Json::from(*n),
            Some(Value::Real(n)) => Json::from(*n),
            Some(Value::Flag(yes)) => Json::from(*yes),
        };
        out.insert((*name).to_owned(), value);
    }
    if event == EventName::UserPrompt && prompts == Prompts::Kept {
        let text = attributes.text("prompt");
        if !text.is_empty() && text != "<REDACTED>" {
            out.insert("prompt".to_owned(), Json::from(text));
        }
    }
    out
}
