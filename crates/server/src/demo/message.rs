//! An answer of the scripted model on the wire: as one JSON message, or as a stream of events with a natural pace.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use serde_json::{Value, json};
use tokio::time::Sleep;

use super::script::Block;

/// Before the first event.
const FIRST: Duration = Duration::from_millis(250);
/// Between two pieces of text.
const STEP: Duration = Duration::from_millis(18);
/// Characters of one piece.
const PIECE: usize = 14;
/// Prefixes remembered by the pretended prompt cache; beyond it the cache is emptied.
const CACHED: usize = 4096;

/// What an answer consumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tokens {
    /// Neither read from nor written to the cache.
    pub(crate) input: u64,
    /// Written to the cache.
    pub(crate) written: u64,
    /// Read from the cache.
    pub(crate) read: u64,
    /// Of the answer.
    pub(crate) output: u64,
}

impl Tokens {
    fn to_json(self) -> Value {
        json!({
            "input_tokens": self.input,
            "cache_creation_input_tokens": self.written,
            "cache_read_input_tokens": self.read,
            "cache_creation": {"ephemeral_5m_input_tokens": self.written, "ephemeral_1h_input_tokens": 0},
            "output_tokens": self.output,
            "service_tier": "standard",
        })
    }
}

/// Pretends to be a prompt cache: knows which prefixes it has seen.
#[derive(Default)]
pub(crate) struct PromptCache {
    seen: HashSet<u64>,
}

impl PromptCache {
    /// Splits a request's tokens into new, written and read, as a real cache would: what was sent before is read.
    pub(crate) fn split(&mut self, request: &Value) -> Tokens {
        let messages = request["messages"].as_array().map_or(&[][..], Vec::as_slice);
        let head = format!("{}{}", request["tools"], request["system"]);
        if !head.contains("\"cache_control\"")
            && !messages.iter().any(|m| m.to_string().contains("\"cache_control\""))
        {
            return Tokens { input: count_tokens(request), ..Tokens::default() };
        }
        let mut tokens = Tokens { input: 4, ..Tokens::default() };
        let mut hasher = DefaultHasher::new();
        for part in std::iter::once(head).chain(messages.iter().map(Value::to_string)) {
            part.hash(&mut hasher);
            let size = estimate(part.len());
            if self.seen.contains(&hasher.finish()) {
                tokens.read += size;
            } else {
                tokens.written += size;
            }
            if self.seen.len() >= CACHED {
                self.seen.clear();
            }
            self.seen.insert(hasher.finish());
        }
        tokens
    }
}

/// Tokens of a request's prompt, roughly.
pub(crate) fn count_tokens(request: &Value) -> u64 {
    ["system", "tools", "messages"].iter().map(|key| estimate(request[*key].to_string().len())).sum()
}

fn estimate(bytes: usize) -> u64 {
    gatehouse_domain::exchange::estimate_tokens(u64::try_from(bytes).unwrap_or(u64::MAX))
}

/// A finished answer.
pub(crate) struct Answer {
    id: String,
    model: String,
    blocks: Vec<Value>,
    stop_reason: &'static str,
    tokens: Tokens,
}

impl Answer {
    /// Puts an answer together. `max_tokens` cuts its last text short.
    pub(crate) fn new(
        model: &str,
        blocks: Vec<Block>,
        mut tokens: Tokens,
        max_tokens: u64,
        nonce: u64,
    ) -> Self {
        let mut left = usize::try_from(max_tokens).unwrap_or(usize::MAX).saturating_mul(4);
        let (mut cut, mut calls) = (false, 0_u32);
        let mut out = Vec::new();
        for block in blocks {
            if cut {
                break;
            }
            let value = match block {
                Block::Text(text) => {
                    let kept: String = text.chars().take(left).collect();
                    cut = kept.len() < text.len();
                    json!({"type": "text", "text": kept})
                }
                Block::Thinking { text, signature } => {
                    json!({"type": "thinking", "thinking": text, "signature": signature})
                }
                Block::Tool { name, input } => {
                    calls += 1;
                    let id = format!("toolu_demo{nonce:016x}{calls:02}");
                    json!({"type": "tool_use", "id": id, "name": name, "input": input})
                }
            };
            let size = value.to_string().len();
            left = left.saturating_sub(size);
            tokens.output += estimate(size);
            out.push(value);
        }
        tokens.output = tokens.output.min(max_tokens).max(1);
        let stop_reason = match (cut, calls) {
            (true, _) => "max_tokens",
            (false, 0) => "end_turn",
            (false, _) => "tool_use",
        };
        Self {
            id: format!("msg_demo{nonce:016x}"),
            model: model.to_owned(),
            blocks: out,
            stop_reason,
            tokens,
        }
    }

    /// The whole answer as one message.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "id": self.id, "type": "message", "role": "assistant", "model": self.model, "content": self.blocks,
            "stop_reason": self.stop_reason, "stop_sequence": null, "usage": self.tokens.to_json(),
        })
    }

    /// The answer as events, each with the pause before it.
    pub(crate) fn events(&self) -> VecDeque<(Duration, Bytes)> {
        let mut message = self.to_json();
        message["content"] = json!([]);
        message["stop_reason"] = Value::Null;
        message["usage"]["output_tokens"] = json!(1);
        let mut out = VecDeque::from([(FIRST, event(&json!({"type": "message_start", "message": message})))]);
        for (index, block) in self.blocks.iter().enumerate() {
            push_block(&mut out, index, block);
        }
        let delta = json!({"stop_reason": self.stop_reason, "stop_sequence": null});
        let end = json!({"type": "message_delta", "delta": delta, "usage": self.tokens.to_json()});
        out.push_back((STEP, event(&end)));
        out.push_back((Duration::ZERO, event(&json!({"type": "message_stop"}))));
        out
    }
}

fn push_block(out: &mut VecDeque<(Duration, Bytes)>, index: usize, block: &Value) {
    let mut start = block.clone();
    let mut deltas: Vec<Value> = Vec::new();
    match block["type"].as_str() {
        Some("thinking") => {
            start = json!({"type": "thinking", "thinking": "", "signature": ""});
            let text = block["thinking"].as_str().unwrap_or_default();
            deltas.extend(pieces(text).map(|piece| json!({"type": "thinking_delta", "thinking": piece})));
            deltas.push(json!({"type": "signature_delta", "signature": block["signature"]}));
        }
        Some("tool_use") => {
            start["input"] = json!({});
            let input = block["input"].to_string();
            deltas.push(json!({"type": "input_json_delta", "partial_json": ""}));
            deltas.extend(
                pieces(&input).map(|piece| json!({"type": "input_json_delta", "partial_json": piece})),
            );
        }
        _ => {
            start["text"] = json!("");
            let text = block["text"].as_str().unwrap_or_default();
            deltas.extend(pieces(text).map(|piece| json!({"type": "text_delta", "text": piece})));
        }
    }
    out.push_back((
        STEP,
        event(&json!({"type": "content_block_start", "index": index, "content_block": start})),
    ));
    if index == 0 {
        out.push_back((Duration::ZERO, event(&json!({"type": "ping"}))));
    }
    for delta in deltas {
        out.push_back((STEP, event(&json!({"type": "content_block_delta", "index": index, "delta": delta}))));
    }
    out.push_back((Duration::ZERO, event(&json!({"type": "content_block_stop", "index": index}))));
}

fn pieces(text: &str) -> impl Iterator<Item = String> {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(PIECE).map(|piece| piece.iter().collect()).collect::<Vec<String>>().into_iter()
}

fn event(data: &Value) -> Bytes {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default()).into()
}

/// A body that sends each frame after its pause. Dropping it ends it; nothing runs beside it.
pub(crate) struct Paced {
    frames: VecDeque<(Duration, Bytes)>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Paced {
    /// A body of these frames.
    pub(crate) const fn new(frames: VecDeque<(Duration, Bytes)>) -> Self {
        Self { frames, pause: None }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some((pause, _)) = self.frames.front() else { return Poll::Ready(None) };
        if !pause.is_zero() {
            let pause = *pause;
            let sleep = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.pause = None;
        }
        Poll::Ready(self.frames.pop_front().map(|(_, frame)| Ok(Frame::data(frame))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_events_add_up_to_the_message() {
        let blocks = vec![
            Block::Thinking {
                text: "Let me see, this is more than one piece.".to_owned(),
                signature: "abc".to_owned(),
            },
            Block::Text("Some text — with ümläuts and 中文, longer than a piece.".to_owned()),
            Block::Tool { name: "Bash", input: json!({"command": "ls -la"}) },
        ];
        let answer = Answer::new("claude-x", blocks, Tokens { input: 5, ..Tokens::default() }, 4096, 7);
        let whole = answer.to_json();
        let events: Vec<Value> = answer
            .events()
            .iter()
            .map(|(_, bytes)| {
                let text = std::str::from_utf8(bytes).unwrap();
                serde_json::from_str(text.lines().nth(1).unwrap().strip_prefix("data: ").unwrap()).unwrap()
            })
            .collect();
        let mut texts = [const { String::new() }; 3];
        for event in events.iter().filter(|event| event["type"] == "content_block_delta") {
            let at = usize::try_from(event["index"].as_u64().unwrap()).unwrap();
            for key in ["thinking", "text", "partial_json"] {
                texts[at].push_str(event["delta"][key].as_str().unwrap_or_default());
            }
        }
        assert_eq!(json!(texts[0]), whole["content"][0]["thinking"]);
        assert_eq!(json!(texts[1]), whole["content"][1]["text"]);
        assert_eq!(serde_json::from_str::<Value>(&texts[2]).unwrap(), whole["content"][2]["input"]);
        assert_eq!(events.first().unwrap()["type"], "message_start");
        assert_eq!(events.last().unwrap()["type"], "message_stop");
        assert_eq!(events[events.len() - 2]["usage"], whole["usage"]);
        assert_eq!(whole["stop_reason"], "tool_use");
    }

    #[test]
    fn max_tokens_cuts_and_says_so() {
        let answer = Answer::new("m", vec![Block::Text("x".repeat(100))], Tokens::default(), 1, 1);
        let whole = answer.to_json();
        assert_eq!(
            (&whole["stop_reason"], &whole["usage"]["output_tokens"]),
            (&json!("max_tokens"), &json!(1))
        );
    }

    #[test]
    fn the_second_turn_reads_what_the_first_wrote() {
        let mut cache = PromptCache::default();
        let system =
            json!([{"type": "text", "text": "s".repeat(400), "cache_control": {"type": "ephemeral"}}]);
        let mut request = json!({"system": system, "messages": [{"role": "user", "content": "a"}]});
        let first = cache.split(&request);
        assert!(first.written > 100 && first.read == 0);
        request["messages"].as_array_mut().unwrap().push(json!({"role": "assistant", "content": "b"}));
        let second = cache.split(&request);
        assert!(second.read == first.written && second.written > 0);
    }
}
