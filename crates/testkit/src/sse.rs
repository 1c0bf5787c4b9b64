//! Replies in the shape of the Messages API, as bytes on the wire.

use serde_json::{Value, json};

use crate::provider::Act;

/// One event.
pub fn event(value: &Value) -> String {
    format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap())
}

/// The first event of a stream.
pub fn start(model: &str, usage: &Value) -> String {
    event(&json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant",
        "model": model, "content": [], "stop_reason": null, "stop_sequence": null, "usage": usage}}))
}

/// An event with text.
pub fn text(text: &str) -> String {
    event(&json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}))
}

/// The two last events of a stream.
pub fn stop(usage: &Value) -> String {
    event(
        &json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": usage}),
    ) + &event(&json!({"type": "message_stop"}))
}

/// A whole stream that says one thing.
pub fn stream(model: &str, said: &str, usage: &Value) -> String {
    let block =
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}});
    start(model, usage)
        + &event(&block)
        + &text(said)
        + &event(&json!({"type": "content_block_stop", "index": 0}))
        + &stop(usage)
}

/// The head of a streamed reply, chunked.
pub fn stream_head() -> Act {
    Act::Send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nrequest-id: req_up_1\r\ntransfer-encoding: chunked\r\n\r\n".to_vec())
}

/// A chunk of a chunked reply.
pub fn chunk(text: &str) -> Act {
    Act::Send(format!("{:x}\r\n{text}\r\n", text.len()).into_bytes())
}

/// The end of a chunked reply.
pub fn last_chunk() -> Act {
    Act::Send(b"0\r\n\r\n".to_vec())
}

/// A whole streamed reply.
pub fn streamed(model: &str, said: &str, usage: &Value) -> Vec<Act> {
    vec![stream_head(), chunk(&stream(model, said, usage)), last_chunk()]
}

/// A whole JSON reply.
pub fn plain(status: u16, body: &Value) -> Vec<Act> {
    let body = body.to_string();
    vec![Act::Send(
        format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nrequest-id: req_up_1\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes(),
    )]
}

/// A message as a JSON reply.
pub fn message(model: &str, said: &str, usage: &Value) -> Vec<Act> {
    plain(
        200,
        &json!({"id": "msg_1", "type": "message", "role": "assistant", "model": model,
            "content": [{"type": "text", "text": said}], "stop_reason": "end_turn", "stop_sequence": null, "usage": usage}),
    )
}

/// A usage object with these input and output tokens.
pub fn usage(input: u64, output: u64) -> Value {
    json!({"input_tokens": input, "output_tokens": output, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0})
}
