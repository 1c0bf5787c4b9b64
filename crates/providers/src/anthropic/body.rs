//! Metering a reply that is one JSON document.

use serde_json::Value;

use super::usage::Figures;
use super::{Outcome, name};
use crate::json::{Member, Raw, Scanner, Wanted};

const WANTED: &[Wanted<'_>] = &[
    Wanted { name: "type", limit: 64 },
    Wanted { name: "id", limit: 1024 },
    Wanted { name: "model", limit: 1024 },
    Wanted { name: "stop_reason", limit: 256 },
    Wanted { name: "usage", limit: 256 * 1024 },
    Wanted { name: "error", limit: 64 * 1024 },
];

/// Looks at a reply as it passes, and keeps only what is said about it.
#[derive(Debug)]
pub struct BodyMeter {
    scanner: Scanner<'static>,
    broken: bool,
}

impl Default for BodyMeter {
    fn default() -> Self {
        Self { scanner: Scanner::new(WANTED), broken: false }
    }
}

impl BodyMeter {
    /// Takes the next piece.
    pub fn feed(&mut self, piece: &[u8]) {
        self.broken = self.broken || self.scanner.feed(piece).is_err();
    }

    /// Whether what came so far is JSON whose end is missing.
    pub fn is_cut_short(&self) -> bool {
        !self.broken && !self.scanner.is_whole()
    }

    /// What the reply was. If it was cut off or is no JSON, what was said before is kept, and it counts as garbage.
    pub fn outcome(self) -> Outcome {
        let members = self.scanner.members().to_vec();
        let valid = !self.broken && self.scanner.finish().is_ok();
        let kind = value(&members, "type");
        let kind = kind.as_ref().and_then(Value::as_str).unwrap_or_default();
        let usage = value(&members, "usage").filter(Value::is_object);
        let mut figures = Figures::default();
        if let Some(usage) = &usage {
            figures.merge(usage);
        }
        let error = value(&members, "error");
        Outcome {
            usage_seen: usage.is_some(),
            estimated: figures.suspect || !valid,
            usage: figures.usage(),
            model: name(value(&members, "model").as_ref()),
            id: name(value(&members, "id").as_ref()),
            stop_reason: name(value(&members, "stop_reason").as_ref()),
            error: error.filter(|_| kind == "error").and_then(|error| name(error.get("type"))),
            garbage: !valid || !matches!(kind, "message" | "error"),
        }
    }
}

/// The last value of a member. The provider's own word counts, so a repeated one is no reason to stop.
fn value(members: &[Member<'_>], wanted: &str) -> Option<Value> {
    members.iter().rev().find(|member| member.name == wanted).and_then(|member| match &member.raw {
        Raw::Whole(text) => serde_json::from_slice(text).ok(),
        Raw::TooLong => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(text: &str, piece: usize) -> Outcome {
        let mut meter = BodyMeter::default();
        for piece in text.as_bytes().chunks(piece) {
            meter.feed(piece);
        }
        meter.outcome()
    }

    const MESSAGE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[{"type":"text",
        "text":"{\"usage\":{\"input_tokens\":9999}}"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":4}}"#;

    #[test]
    fn a_message_is_metered_in_any_pieces() {
        let whole = outcome(MESSAGE, MESSAGE.len());
        assert_eq!((whole.usage.tokens.input, whole.usage.tokens.output), (3, 4));
        assert_eq!(
            (whole.model.as_deref(), whole.stop_reason.as_deref()),
            (Some("claude-x"), Some("end_turn"))
        );
        assert_eq!(
            (whole.usage_seen, whole.estimated, whole.garbage, &whole.error),
            (true, false, false, &None)
        );
        for piece in 1..40 {
            assert_eq!(outcome(MESSAGE, piece), whole, "in pieces of {piece}");
        }
    }

    #[test]
    fn an_error_says_its_type() {
        let error = outcome(r#"{"type":"error","error":{"type":"overloaded_error","message":"x"}}"#, 5);
        assert_eq!(
            (error.error.as_deref(), error.garbage, error.usage_seen),
            (Some("overloaded_error"), false, false)
        );
    }

    #[test]
    fn what_is_no_message_is_garbage() {
        for text in
            ["", "<html>", "[]", "{}", r#"{"type":"message""#, r#"{"type":7}"#, "\u{0}", r#"{"type":"page"}"#]
        {
            assert!(outcome(text, 3).garbage, "{text:?}");
        }
        let cut = outcome(&MESSAGE[..MESSAGE.len() - 1], 10);
        assert_eq!((cut.garbage, cut.usage.tokens.input), (true, 3), "what was said before the cut is kept");
    }
}
