//! What the data path must know of a request's body.

use super::problem::ScanError;
use super::scan::{Document, Member, Raw, Root, Scanner, Wanted};

/// Most bytes of `model` as written. Names may have 200 characters; this leaves room for escapes.
const MAX_MODEL: usize = 1024;

const WANTED: &[Wanted<'_>] = &[
    Wanted { name: "model", limit: MAX_MODEL },
    Wanted { name: "stream", limit: 16 },
    Wanted { name: "max_tokens", limit: 64 },
    Wanted { name: "speed", limit: 64 },
    Wanted { name: "inference_geo", limit: 64 },
];

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestFacts {
    /// `model`, if given.
    pub model: Option<String>,
    /// `stream`; `false` if not given.
    pub stream: bool,
    /// `max_tokens`, if given as a whole number; the largest, if given more than once. (Anything else is the provider's
    /// to refuse.)
    pub max_tokens: Option<u64>,
    /// Whether `speed` asks for something else than the ordinary speed.
    pub fast: bool,
    /// Whether `inference_geo` asks for some place.
    pub placed: bool,
}

/// A body that cannot be used. Each text completes "the request's body cannot be used: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It is not JSON.
    #[error(transparent)]
    Json(#[from] ScanError),
    /// It is JSON, but no object.
    #[error("it must be a JSON object")]
    NotAnObject,
    /// `model` is not a string.
    #[error("`model` must be a string of valid characters")]
    ModelNotText,
    /// `model` is longer than any model's name.
    #[error("`model` is longer than {MAX_MODEL} bytes")]
    ModelTooLong,
    /// `stream` is neither `true` nor `false`.
    #[error("`stream` must be true or false")]
    StreamNotBool,
    /// A member is given more than once, with different values: who reads which is anybody's guess.
    #[error("`{0}` is given more than once, with different values")]
    Ambiguous(&'static str),
}

/// Reads a request's body as it arrives.
#[derive(Debug)]
pub struct RequestScan(Scanner<'static>);

impl RequestScan {
    /// A scan of one body.
    pub fn new() -> Self {
        Self(Scanner::new(WANTED))
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// As soon as it is certain that the body is not JSON.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), ScanError> {
        self.0.feed(piece)
    }

    /// The body is over: what it asks for.
    ///
    /// # Errors
    /// If it is not valid, or says something in an unusable way.
    pub fn finish(self) -> Result<RequestFacts, RequestError> {
        let document = self.0.finish()?;
        if document.root != Root::Object {
            return Err(RequestError::NotAnObject);
        }
        Ok(RequestFacts {
            model: one(&document, "model", model)?,
            stream: one(&document, "stream", stream)?.unwrap_or(false),
            max_tokens: document
                .members
                .iter()
                .filter(|m| m.name == "max_tokens")
                .filter_map(max_tokens)
                .max(),
            fast: other_than(&document, "speed", &["null", "\"standard\""]),
            placed: other_than(&document, "inference_geo", &["null", "\"global\""]),
        })
    }
}

impl Default for RequestScan {
    fn default() -> Self {
        Self::new()
    }
}

/// The value of a member: all its occurrences must agree.
fn one<T: PartialEq>(
    document: &Document<'_>,
    name: &'static str,
    read: fn(&Raw) -> Result<T, RequestError>,
) -> Result<Option<T>, RequestError> {
    let mut found = None;
    for member in document.members.iter().filter(|member| member.name == name) {
        let value = read(&member.raw)?;
        if found.as_ref().is_some_and(|before| *before != value) {
            return Err(RequestError::Ambiguous(name));
        }
        found = Some(value);
    }
    Ok(found)
}

/// Whether a member is given with another value than these.
fn other_than(document: &Document, name: &str, plain: &[&str]) -> bool {
    let is_plain = |raw: &Raw| match raw {
        Raw::Whole(text) => plain.iter().any(|value| value.as_bytes() == &text[..]),
        Raw::TooLong => false,
    };
    document.members.iter().any(|member| member.name == name && !is_plain(&member.raw))
}

fn model(raw: &Raw) -> Result<String, RequestError> {
    match raw {
        Raw::TooLong => Err(RequestError::ModelTooLong),
        Raw::Whole(text) => serde_json::from_slice(text).map_err(|_| RequestError::ModelNotText),
    }
}

fn stream(raw: &Raw) -> Result<bool, RequestError> {
    match raw {
        Raw::Whole(text) if text == b"true" => Ok(true),
        Raw::Whole(text) if text == b"false" => Ok(false),
        Raw::Whole(_) | Raw::TooLong => Err(RequestError::StreamNotBool),
    }
}

/// The number, if it is one.
fn max_tokens(member: &Member<'_>) -> Option<u64> {
    match &member.raw {
        Raw::Whole(text) => serde_json::from_slice(text).ok(),
        Raw::TooLong => None,
    }
}
