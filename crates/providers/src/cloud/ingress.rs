//! Clients that speak as to a cloud: which paths they ask, and what the models they name are called plainly.

use std::borrow::Cow;

use super::{Kind, Table, first_party};

/// In which form a client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// As to Anthropic's API, or to a cloud that speaks as it does.
    #[default]
    Messages,
    /// As to Amazon Bedrock: `InvokeModel` and its relatives.
    Bedrock,
    /// As to Vertex AI: `rawPredict` and its relatives.
    Vertex,
}

impl Form {
    /// The kind of provider whose own form this is, where it is not everybody's.
    pub const fn kind(self) -> Option<Kind> {
        match self {
            Self::Messages => None,
            Self::Bedrock => Some(Kind::Bedrock),
            Self::Vertex => Some(Kind::Vertex),
        }
    }
}

/// What a path asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A message.
    Message,
    /// A count of tokens.
    Count,
    /// What models there are.
    Models,
}

/// What a path in a cloud's form says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// The form.
    pub form: Form,
    /// What for.
    pub purpose: Purpose,
    /// The model, where the path names it.
    pub model: Option<String>,
    /// Whether the reply is to be streamed, where the path says so.
    pub stream: Option<bool>,
}

/// Reads a path in a cloud's form; none for other paths.
///
/// Vertex AI's base address has `/v1` at its end or, for clients that were given one without it, not. Foundry and Bedrock
/// Mantle are the Messages API under `/anthropic`.
pub fn way(path: &str) -> Option<Way> {
    let native = |purpose| Way { form: Form::Messages, purpose, model: None, stream: None };
    match path {
        "/anthropic/v1/messages" => return Some(native(Purpose::Message)),
        "/anthropic/v1/messages/count_tokens" => return Some(native(Purpose::Count)),
        _ => {}
    }
    if path == "/inference-profiles" || path.starts_with("/inference-profiles/") {
        return Some(Way { form: Form::Bedrock, purpose: Purpose::Models, model: None, stream: None });
    }
    if let Some(rest) = path.strip_prefix("/model/") {
        let (model, act) = rest.split_once('/')?;
        let (purpose, stream) = match act {
            "invoke" => (Purpose::Message, Some(false)),
            "invoke-with-response-stream" => (Purpose::Message, Some(true)),
            "count-tokens" => (Purpose::Count, Some(false)),
            _ => return None,
        };
        return Some(Way { form: Form::Bedrock, purpose, model: Some(decoded(model)?), stream });
    }
    predict(path.strip_prefix("/v1").unwrap_or(path))
}

/// `/projects/P/locations/L/publishers/anthropic/models/M:ACT`. Whether the reply is streamed is for the body to say.
fn predict(path: &str) -> Option<Way> {
    let mut segments = path.strip_prefix("/projects/")?.split('/');
    let mut next = || segments.next().filter(|segment| !segment.is_empty());
    next()?;
    let fixed = (next()?, next()?, next()?, next()?, next()?);
    let ("locations", _, "publishers", "anthropic", "models") = fixed else { return None };
    let (model, act) = next()?.rsplit_once(':')?;
    if segments.next().is_some() || !matches!(act, "rawPredict" | "streamRawPredict") {
        return None;
    }
    let form = Form::Vertex;
    if model == "count-tokens" {
        return Some(Way { form, purpose: Purpose::Count, model: None, stream: Some(false) });
    }
    Some(Way { form, purpose: Purpose::Message, model: Some(decoded(model)?), stream: None })
}

/// A segment of a path without its percent-encoding; none if it is no text, or has a control character.
fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|n| u8::try_from(n).ok());
        bytes.push(digit(rest.next())? << 4 | digit(rest.next())?);
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.is_empty() && !text.chars().any(char::is_control)).then_some(text)
}

impl Table {
    /// What a model is called plainly that a client names as a cloud does: the name in the table, or else the cloud's without
    /// what is not Anthropic's in it. The name that a cloud gave to something of the customer's own stays as it is.
    pub fn plain_name(&self, kind: Kind, named: &str) -> String {
        // The ARN of a profile that everybody has, or of a model, ends with its name.
        let name = match named.rsplit_once('/') {
            Some((before, name)) if before.starts_with("arn:") && name.contains("anthropic.") => name,
            _ => named,
        };
        let own = match kind {
            Kind::Bedrock => name.find("anthropic.").map_or(name, |at| &name[at..]),
            Kind::Anthropic
            | Kind::BedrockMantle
            | Kind::ClaudePlatformAws
            | Kind::Vertex
            | Kind::Foundry => name,
        };
        if let Some(known) = self.named(kind, own) {
            return known.to_owned();
        }
        let newest = own.strip_suffix("@default").or_else(|| own.strip_suffix("@latest"));
        match newest.map_or_else(|| first_party(name), Cow::Borrowed) {
            plain if plain.is_empty() => named.to_owned(),
            plain => plain.into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_clouds_are_recognized() {
        let project = "/projects/acme:p/locations/us-east5/publishers/anthropic/models";
        for (path, expected) in [
            (
                "/model/us.anthropic.claude-x-v1%3A0/invoke",
                Some((Form::Bedrock, Purpose::Message, Some("us.anthropic.claude-x-v1:0"), Some(false))),
            ),
            (
                "/model/us.anthropic.claude-x-v1:0/invoke-with-response-stream",
                Some((Form::Bedrock, Purpose::Message, Some("us.anthropic.claude-x-v1:0"), Some(true))),
            ),
            (
                "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx/count-tokens",
                Some((
                    Form::Bedrock,
                    Purpose::Count,
                    Some("arn:aws:bedrock:us-east-1:1:inference-profile/x"),
                    Some(false),
                )),
            ),
            ("/inference-profiles", Some((Form::Bedrock, Purpose::Models, None, None))),
            ("/inference-profiles/us.anthropic.x", Some((Form::Bedrock, Purpose::Models, None, None))),
            (
                "/v1PROJECT/claude-sonnet-4-5@20250929:streamRawPredict",
                Some((Form::Vertex, Purpose::Message, Some("claude-sonnet-4-5@20250929"), None)),
            ),
            ("PROJECT/claude-x:rawPredict", Some((Form::Vertex, Purpose::Message, Some("claude-x"), None))),
            ("/v1PROJECT/count-tokens:rawPredict", Some((Form::Vertex, Purpose::Count, None, Some(false)))),
            ("/anthropic/v1/messages", Some((Form::Messages, Purpose::Message, None, None))),
            ("/anthropic/v1/messages/count_tokens", Some((Form::Messages, Purpose::Count, None, None))),
            ("/model//invoke", None),
            ("/model/x/converse", None),
            ("/model/x%2/invoke", None),
            ("/model/x%0a/invoke", None),
            ("/model/%ff/invoke", None),
            ("/model/x/y/invoke", None),
            ("/v1PROJECT/x:predict", None),
            ("/v1PROJECT/x:rawPredict/y", None),
            ("/v1/projects//locations/l/publishers/anthropic/models/x:rawPredict", None),
            ("/v1/projects/p/locations/l/publishers/google/models/x:rawPredict", None),
            ("/v2PROJECT/x:rawPredict", None),
            ("/v1/messages", None),
        ] {
            let found = way(&path.replace("PROJECT", project));
            let found = found.as_ref().map(|way| (way.form, way.purpose, way.model.as_deref(), way.stream));
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn models_get_their_plain_names() {
        let table = Table::built_in();
        for (kind, named, plain) in [
            (Kind::Bedrock, "us.anthropic.claude-opus-5-5", "claude-opus-5-5"),
            (Kind::Bedrock, "global.anthropic.claude-opus-4-6-v1", "claude-opus-4-6"),
            (Kind::Bedrock, "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
            (Kind::Bedrock, "anthropic.claude-opus-9-20270101-v1:0", "claude-opus-9-20270101"),
            (
                Kind::Bedrock,
                "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-5-5",
                "claude-opus-5-5",
            ),
            (
                Kind::Bedrock,
                "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/ab1",
                "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/ab1",
            ),
            (Kind::Bedrock, "claude-opus-5-5", "claude-opus-5-5"),
            (Kind::Bedrock, "anthropic.", "anthropic."),
            (Kind::Vertex, "claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
            (Kind::Vertex, "claude-new@20270101", "claude-new-20270101"),
            (Kind::Vertex, "claude-opus-5-5@default", "claude-opus-5-5"),
            (Kind::Vertex, "claude-opus-5-5", "claude-opus-5-5"),
        ] {
            assert_eq!(table.plain_name(kind, named), plain, "{named}");
        }
    }
}
