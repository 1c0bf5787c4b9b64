//! Events of the program's log on their way to a collector, beside the log itself.

use std::collections::VecDeque;
use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use gatehouse_domain::id::ExchangeId;
use gatehouse_domain::trace::Context;
use metrics::counter;
use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer;

use super::protobuf::{Value, attribute, bytes, fixed, fixed_32, number, value};
use super::{DROPPED, since_1970};

/// Longest text of one field, in bytes; the rest is cut off.
const LONGEST: usize = 4096;
/// Most fields of an event; further ones are left out.
const MOST_FIELDS: usize = 32;
/// Exchanges whose traces are remembered.
const REMEMBERED: usize = 1024;

/// An event.
pub(crate) struct Line {
    at: u64,
    level: Level,
    target: &'static str,
    message: String,
    fields: Vec<(&'static str, Told)>,
}

enum Told {
    Text(String),
    Whole(u64),
    Real(f64),
    Yes(bool),
}

/// Where events are taken from. Nothing happens while nobody does.
#[derive(Clone, Default)]
pub(crate) struct Tap(Arc<ArcSwapOption<mpsc::Sender<Line>>>);

impl Tap {
    /// Gives events to this queue from now on, or to none.
    pub(super) fn open(&self, queue: Option<mpsc::Sender<Line>>) {
        self.0.store(queue.map(Arc::new));
    }
}

impl<S: Subscriber> Layer<S> for Tap {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        let of = event.metadata();
        if *of.level() > Level::INFO {
            return;
        }
        let Some(queue) = &*self.0.load() else { return };
        let line = Line {
            at: since_1970(SystemTime::now()),
            level: *of.level(),
            target: of.target(),
            message: String::new(),
            fields: Vec::new(),
        };
        let mut reading = Reading(line);
        event.record(&mut reading);
        if queue.try_send(reading.0).is_err() {
            counter!(DROPPED, "signal" => "logs", "reason" => "no_room").increment(1);
        }
    }
}

struct Reading(Line);

impl Reading {
    fn put(&mut self, field: &Field, told: Told) {
        if self.0.fields.len() < MOST_FIELDS {
            self.0.fields.push((field.name(), told));
        }
    }

    fn text(&mut self, field: &Field, text: String) {
        if field.name() == "message" {
            self.0.message = text;
        } else {
            self.put(field, Told::Text(text));
        }
    }
}

impl Visit for Reading {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = Short(String::new());
        // It fails once the text is full, which is no matter.
        let _ = write!(text, "{value:?}");
        self.text(field, text.0);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let mut text = Short(String::new());
        let _ = text.write_str(value);
        self.text(field, text.0);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Told::Whole(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, Told::Real(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Told::Yes(value));
    }
}

/// A text that takes no more than [`LONGEST`].
struct Short(String);

impl std::fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let left = LONGEST - self.0.len();
        if text.len() <= left {
            self.0.push_str(text);
            return Ok(());
        }
        self.0.push_str(&text[..text.floor_char_boundary(left)]);
        Err(std::fmt::Error)
    }
}

/// Which traces exchanges belonged to that ended lately.
#[derive(Default)]
pub(super) struct Recent(Mutex<VecDeque<(ExchangeId, Context)>>);

impl Recent {
    pub(super) fn remember(&self, id: ExchangeId, of: Context) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == REMEMBERED {
            all.pop_front();
        }
        all.push_back((id, of));
    }

    fn of(&self, id: ExchangeId) -> Option<Context> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().rev().find(|(known, _)| *known == id).map(|(_, of)| *of)
    }
}

/// An event as it is sent (`LogRecord`); with its trace, where its exchange's is known.
pub(super) fn record(line: &Line, recent: &Recent) -> Vec<u8> {
    let (severity, name) = match line.level {
        Level::ERROR => (17, "ERROR"),
        Level::WARN => (13, "WARN"),
        _ => (9, "INFO"),
    };
    let mut out = Vec::with_capacity(256);
    fixed(&mut out, 1, line.at);
    fixed(&mut out, 11, line.at);
    number(&mut out, 2, severity);
    bytes(&mut out, 3, name.as_bytes());
    value(&mut out, 5, Value::Text(&line.message));
    attribute(&mut out, 6, "log.target", Value::Text(line.target));
    let mut trace = None;
    for (field, told) in &line.fields {
        let told = match told {
            Told::Text(text) => {
                if *field == "exchange.id" {
                    trace = text.parse().ok().and_then(|id| recent.of(id));
                }
                Value::Text(text)
            }
            Told::Whole(whole) => Value::Whole(*whole),
            Told::Real(real) => Value::Real(*real),
            Told::Yes(yes) => Value::Yes(*yes),
        };
        attribute(&mut out, 6, field, told);
    }
    if let Some(Context { trace, span, sampled }) = trace {
        fixed_32(&mut out, 8, u32::from(sampled));
        bytes(&mut out, 9, &trace.to_be_bytes());
        bytes(&mut out, 10, &span.to_be_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_a_character() {
        let mut text = Short(String::new());
        assert!(text.write_str(&"a".repeat(LONGEST - 1)).is_ok());
        assert!(text.write_str("é").is_err());
        assert_eq!(text.0.len(), LONGEST - 1);
        assert!(text.write_str("b").is_ok() && text.write_str("c").is_err());
    }

    #[test]
    fn an_event_of_an_exchange_is_in_its_trace() {
        let (recent, id) = (Recent::default(), ExchangeId::from_bits(7));
        recent.remember(id, Context { trace: 0x1122, span: 0x3344, sampled: true });
        let line = |id: String| Line {
            at: 1,
            level: Level::ERROR,
            target: "gatehouse",
            message: "m".to_owned(),
            fields: vec![("exchange.id", Told::Text(id)), ("count", Told::Whole(3))],
        };
        let span = [&b"\x52\x08"[..], &0x3344_u64.to_be_bytes()].concat();
        let trace = [&b"\x4a\x10"[..], &0x1122_u128.to_be_bytes()].concat();
        let has = |record: &[u8], part: &[u8]| record.windows(part.len()).any(|window| window == part);
        let known = record(&line(id.to_string()), &recent);
        assert!(has(&known, &span) && has(&known, &trace) && has(&known, b"ERROR"));
        for other in [ExchangeId::from_bits(8).to_string(), "no id".to_owned()] {
            assert!(!has(&record(&line(other), &recent), &trace));
        }
    }

    #[test]
    fn what_ended_lately_is_known_and_the_rest_forgotten() {
        let recent = Recent::default();
        let of = |n: u64| Context { trace: u128::from(n) + 1, span: n + 1, sampled: true };
        for n in 0..=REMEMBERED as u64 {
            recent.remember(ExchangeId::from_bits(n.into()), of(n));
        }
        assert_eq!(recent.of(ExchangeId::from_bits(0)), None);
        assert_eq!(recent.of(ExchangeId::from_bits(1)), Some(of(1)));
    }
}
