//! A request to the Messages API as one to a cloud.

use std::borrow::Cow;
use std::ops::Range;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;

use super::count::wrapped;
use super::table::{Act, any};
use super::{Dialect, Form, Kind, address};
use crate::anthropic::request_headers;
use crate::json::{Edits, Member, Raw, Scanner, Wanted};

/// Longest list of betas within a body, in bytes.
const MAX_BETAS: usize = 16 * 1024;
/// Most bytes of a body's `tools` that are looked into.
const MAX_TOOLS: usize = 8 * 1024 * 1024;
/// The header that names betas.
const BETA: &str = "anthropic-beta";
/// The header that names the API's version.
const VERSION: &str = "anthropic-version";

/// A request as it came.
pub struct Asked<'a> {
    /// In which form it is.
    pub form: Form,
    /// Whether its tokens are to be counted only.
    pub count: bool,
    /// The model asked for.
    pub model: &'a str,
    /// The model's name as the client wrote it, where its form has names of its own.
    pub named: Option<&'a str>,
    /// Whether the reply is to be streamed.
    pub stream: bool,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Betas that are left out beside those that the table leaves out.
    pub unwanted: &'a [String],
    /// Its query.
    pub query: Option<&'a str>,
    /// Its body: a JSON object, in pieces.
    pub pieces: Vec<Bytes>,
}

/// A request as the provider takes it. Host, credential and length are still missing.
#[derive(Debug)]
pub struct Sent {
    /// Path and query.
    pub target: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub pieces: Vec<Bytes>,
    /// Length of the body.
    pub bytes: u64,
    /// In which form the reply to it comes.
    pub answer: Answer,
}

/// In which form a reply comes, when the request succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// As the Messages API answers.
    Native,
    /// As event-stream frames: see [`super::Events`].
    Frames,
    /// As Bedrock's count of tokens, `{"inputTokens":N}`.
    Count,
}

/// Why a request cannot be sent to this provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsendable {
    /// The provider does not count tokens.
    Count,
    /// It does not take this field or tool.
    Unsupported(String),
    /// The model's name cannot be sent.
    Model,
    /// The body's `anthropic_beta` is no list of names.
    Betas,
    /// The body is no object that could be changed. (It was checked before, so this is a fault of ours.)
    Body,
}

/// What the body says of what must change.
struct Found {
    betas: Vec<String>,
    beta: Vec<Range<u64>>,
    edits: Edits,
    has_max_tokens: bool,
    model: Vec<Range<u64>>,
    version: Vec<Range<u64>>,
    /// The API's version within it, where it is that rather than a cloud's.
    api_version: Option<String>,
    stream: Vec<Range<u64>>,
}

impl Dialect {
    /// Makes the request that the provider takes of one to the Messages API.
    ///
    /// # Errors
    /// [`Unsendable`].
    pub fn request(&self, asked: Asked<'_>) -> Result<Sent, Unsendable> {
        if asked.count && !self.counts {
            return Err(Unsendable::Count);
        }
        let model = self.name_for(&asked);
        if !address::is_nameable(&model) {
            return Err(Unsendable::Model);
        }
        let mut found = self.look(&asked.pieces)?;
        let betas = beta_header(asked.headers);
        let wanted = betas.iter().chain(&found.betas).filter(|beta| !any(asked.unwanted, beta));
        let betas = self.differences().betas(wanted.map(String::as_str));
        let betas: Vec<String> = betas.into_iter().map(str::to_owned).collect();
        let is_model_kept = self.fit(&asked, &betas, &mut found);
        let quoted = Bytes::from(serde_json::to_vec(&model).map_err(|_| Unsendable::Model)?);
        // Where the path names the model, the body has no say.
        let is_in_body = asked.form == Form::Messages || (asked.form == Form::Vertex && asked.count);
        for place in &found.model {
            match is_model_kept && is_in_body {
                false => found.edits.cut.push(place.clone()),
                true if model == asked.named.unwrap_or(asked.model) => {}
                // From the key on: the key itself may be written in another way.
                true => found.edits.replace.push((place.clone(), named("model", &quoted))),
            }
        }
        if is_model_kept && !is_in_body {
            found.edits.put("model", &quoted);
        }
        let pieces = found.edits.apply(asked.pieces).ok_or(Unsendable::Body)?;
        let pieces = if asked.count && self.kind == Kind::Bedrock { wrapped(&pieces) } else { pieces };
        let bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
        let is_invoked = self.kind == Kind::Bedrock;
        let answer = match (is_invoked, asked.count, asked.stream) {
            (_, true, _) if is_invoked || asked.form == Form::Bedrock => Answer::Count,
            (true, false, true) => Answer::Frames,
            _ => Answer::Native,
        };
        let (count, stream) = (asked.count, asked.stream);
        let target = self.target(&model, count, stream, asked.query);
        let mut headers = self.headers(asked.headers, &betas, answer);
        if asked.form != Form::Messages && !matches!(self.kind, Kind::Bedrock | Kind::Vertex) {
            headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
            let version = found.api_version.and_then(|version| HeaderValue::try_from(version).ok());
            match version {
                Some(version) => _ = headers.insert(VERSION, version),
                None if headers.contains_key(VERSION) => {}
                None => _ = headers.insert(VERSION, HeaderValue::from_static("2023-06-01")),
            }
        }
        Ok(Sent { target, headers, pieces, bytes, answer })
    }

    /// What this provider is asked for. A client's own name is kept where it is one of this kind's and nothing is configured
    /// that would make another of it.
    fn name_for(&self, asked: &Asked<'_>) -> String {
        match asked.named {
            Some(named)
                if asked.form.kind() == Some(self.kind)
                    && self.profile.is_empty()
                    && !self.models.contains_key(asked.model) =>
            {
                named.to_owned()
            }
            _ => self.model(asked.model),
        }
    }

    /// Notes what the kind's own form of a body needs; says whether the model stays in it. What is in that form already is
    /// left alone.
    fn fit(&self, asked: &Asked<'_>, betas: &[String], found: &mut Found) -> bool {
        let edits = &mut found.edits;
        let is_own = asked.form.kind() == Some(self.kind);
        let are_betas_right =
            is_own && betas.len() == found.betas.len() && betas.iter().all(|beta| found.betas.contains(beta));
        let is_beta_kept = self.kind == Kind::Bedrock && are_betas_right;
        if !is_beta_kept {
            edits.cut.append(&mut found.beta);
        }
        if asked.form == Form::Bedrock && self.kind != Kind::Bedrock {
            // There, the path says it.
            edits.cut.append(&mut found.stream);
            if asked.stream {
                edits.put("stream", b"true");
            }
        }
        let version = match self.kind {
            Kind::Bedrock => "\"bedrock-2023-05-31\"",
            Kind::Vertex => "\"vertex-2023-10-16\"",
            Kind::Anthropic | Kind::BedrockMantle | Kind::ClaudePlatformAws | Kind::Foundry => {
                if asked.form != Form::Messages {
                    edits.cut.append(&mut found.version);
                }
                return true;
            }
        };
        // The API's own version, which the SDKs send, is understood by all.
        let is_version_right = is_own || (asked.form != Form::Messages && found.api_version.is_some());
        if !is_version_right || found.version.len() != 1 {
            edits.cut.append(&mut found.version);
            edits.put("anthropic_version", version.as_bytes());
        }
        if self.kind == Kind::Vertex {
            return asked.count;
        }
        edits.cut.append(&mut found.stream);
        if !betas.is_empty() && !is_beta_kept {
            edits.put("anthropic_beta", serde_json::json!(betas).to_string().as_bytes());
        }
        if asked.count && !found.has_max_tokens {
            // What is counted is a whole request, and every request has it.
            edits.put("max_tokens", b"1");
        }
        false
    }

    fn target(&self, model: &str, count: bool, stream: bool, query: Option<&str>) -> String {
        let mut out = self.prefix.clone();
        match (self.kind, &self.place) {
            (Kind::Bedrock, _) if count => {
                // Tokens are counted by models, not by the profiles through which they are reached.
                let base = if model.starts_with("arn:") { model } else { without_profile(model) };
                out.push_str(&address::invoke(base, "count-tokens"));
            }
            (Kind::Bedrock, _) => {
                let act = if stream { "invoke-with-response-stream" } else { "invoke" };
                out.push_str(&address::invoke(model, act));
            }
            (Kind::Vertex, Some((project, location))) => {
                let (model, act) = match (count, stream) {
                    (true, _) => ("count-tokens", "rawPredict"),
                    (false, true) => (model, "streamRawPredict"),
                    (false, false) => (model, "rawPredict"),
                };
                out.push_str(&address::predict(project, location, model, act));
            }
            _ => {
                out.push_str(if count { "/v1/messages/count_tokens" } else { "/v1/messages" });
                if let Some(query) = query {
                    out.push('?');
                    out.push_str(query);
                }
            }
        }
        out
    }

    fn headers(&self, given: &HeaderMap, betas: &[String], answer: Answer) -> HeaderMap {
        let mut out = match self.kind {
            // What Amazon and Google do not know is not told to them.
            Kind::Bedrock | Kind::Vertex => HeaderMap::with_capacity(12),
            Kind::Anthropic | Kind::BedrockMantle | Kind::ClaudePlatformAws | Kind::Foundry => {
                request_headers(given)
            }
        };
        out.remove(BETA);
        out.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.kind == Kind::Bedrock {
            let accepted = match answer {
                Answer::Frames => "application/vnd.amazon.eventstream",
                Answer::Native | Answer::Count => "application/json",
            };
            out.insert(header::ACCEPT, HeaderValue::from_static(accepted));
        } else if !betas.is_empty()
            && let Ok(list) = HeaderValue::from_str(&betas.join(","))
        {
            out.insert(BETA, list);
        }
        for (name, value) in &self.headers {
            out.insert(name.clone(), value.clone());
        }
        out
    }

    /// Looks for what must change in a body, and for what this kind does not take.
    fn look(&self, pieces: &[Bytes]) -> Result<Found, Unsendable> {
        let rules = &self.differences().without;
        let tools = rules.iter().any(|rule| !rule.tools.is_empty());
        let own = [
            Wanted { name: "model", limit: 0 },
            Wanted { name: "stream", limit: 0 },
            Wanted { name: "anthropic_version", limit: 32 },
            Wanted { name: "anthropic_beta", limit: MAX_BETAS },
            Wanted { name: "max_tokens", limit: 0 },
        ];
        let mut wanted = own.to_vec();
        wanted.extend(tools.then_some(Wanted { name: "tools", limit: MAX_TOOLS }));
        let fields = rules.iter().flat_map(|rule| &rule.fields);
        wanted.extend(fields.map(|name| Wanted { name, limit: 0 }));
        let mut scanner = Scanner::new(&wanted);
        for piece in pieces {
            scanner.feed(piece).map_err(|_| Unsendable::Body)?;
        }
        let members = scanner.finish().map_err(|_| Unsendable::Body)?.members;
        let mut found = Found {
            betas: Vec::new(),
            beta: Vec::new(),
            edits: Edits::default(),
            has_max_tokens: false,
            model: Vec::new(),
            version: Vec::new(),
            api_version: None,
            stream: Vec::new(),
        };
        for member in members {
            let place = member.key_at..member.end;
            match member.name {
                "model" => found.model.push(place),
                "stream" => found.stream.push(place),
                "anthropic_version" => {
                    found.api_version = api_version(&member);
                    found.version.push(place);
                }
                "max_tokens" => found.has_max_tokens = true,
                "anthropic_beta" => {
                    found.betas.append(&mut beta_list(&member)?);
                    found.beta.push(place);
                }
                "tools" => self.check_tools(&member)?,
                name => {
                    let act = rules.iter().find(|rule| rule.fields.iter().any(|field| field == name));
                    match act.map(|rule| rule.act) {
                        Some(Act::Refuse) => return Err(Unsendable::Unsupported(name.to_owned())),
                        Some(Act::Drop) | None => found.edits.cut.push(place),
                    }
                }
            }
        }
        Ok(found)
    }

    /// Whether a tool is of a type that this kind does not take.
    fn check_tools(&self, tools: &Member<'_>) -> Result<(), Unsendable> {
        #[derive(Deserialize)]
        struct Tool<'a> {
            #[serde(borrow, default, rename = "type")]
            kind: Option<Cow<'a, str>>,
        }
        // What is no list of tools is the provider's to refuse.
        let Raw::Whole(text) = &tools.raw else { return Ok(()) };
        let Ok(tools) = serde_json::from_slice::<Vec<Tool<'_>>>(text) else { return Ok(()) };
        let rules = &self.differences().without;
        let bad = |kind: &str| rules.iter().any(|rule| any(&rule.tools, kind));
        match tools.into_iter().filter_map(|tool| tool.kind).find(|kind| bad(kind)) {
            Some(kind) => Err(Unsendable::Unsupported(kind.into_owned())),
            None => Ok(()),
        }
    }
}

/// The betas of the request's headers.
fn beta_header(headers: &HeaderMap) -> Vec<String> {
    let lists = headers.get_all(BETA).iter().filter_map(|value| value.to_str().ok());
    lists
        .flat_map(|list| list.split(','))
        .map(|beta| beta.trim().to_owned())
        .filter(|b| !b.is_empty())
        .collect()
}

/// The betas of the request's body.
fn beta_list(member: &Member<'_>) -> Result<Vec<String>, Unsendable> {
    match &member.raw {
        Raw::Whole(text) => serde_json::from_slice(text).map_err(|_| Unsendable::Betas),
        Raw::TooLong => Err(Unsendable::Betas),
    }
}

/// The API's version, which is a date, where `anthropic_version` says that and not a cloud's.
fn api_version(member: &Member<'_>) -> Option<String> {
    let Raw::Whole(text) = &member.raw else { return None };
    let version: String = serde_json::from_slice(text).ok()?;
    let is_date = version.len() == 10
        && version.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    is_date.then_some(version)
}

fn named(name: &str, value: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(name.len() + value.len() + 3);
    out.put_u8(b'"');
    out.put_slice(name.as_bytes());
    out.put_slice(b"\":");
    out.put_slice(value);
    out.freeze()
}

/// A model's name without the geography in front that makes it a profile's.
fn without_profile(model: &str) -> &str {
    model.find("anthropic.").map_or(model, |at| &model[at..])
}
