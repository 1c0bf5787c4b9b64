//! Request bodies shaped like a coding assistant's: system blocks, tools with
//! schemas, and a conversation of tool calls and tool results full of source
//! code, so that JSON parsers meet escapes, nesting and non-ASCII text.

use serde_json::{Value, json};

/// The directive that mock-upstream reads; `ID_AT` tells where to patch the id.
pub const ID_LEN: usize = 16;

pub struct Template {
    pub bytes: Vec<u8>,
    pub id_at: usize,
}

struct Rng(u64);
impl Rng {
    fn next(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

const LINES: &[&str] = &[
    "    let config = Config::load(&path).context(\"cannot read the settings\")?;\n",
    "    if budget.remaining() <= Decimal::ZERO { return Err(Error::Exhausted(\"team\")); }\n",
    "\tfor (name, value) in headers.iter() {\n\t\tout.push((name.to_string(), value.clone()));\n\t}\n",
    "// The first answer wins; the others are cancelled when the scope ends.\n",
    "def handler(event: dict) -> dict:\n    return {\"status\": \"ok\", \"items\": [i for i in event[\"items\"] if i]}\n",
    "const rows = await db.query(`SELECT id, name FROM users WHERE org = $1`, [org]);\n",
    "  - name: \"prüfung der größe\" # 設定を確認する\n",
    "2026-03-14T09:26:53Z INFO gateway: request finished status=200 ms=412 path=\"C:\\\\src\\\\app\"\n",
    "    assert_eq!(parse(\"{\\\"a\\\": [1, 2, 3]}\"), Ok(vec![1, 2, 3]));\n",
    "<div class=\"row\"><span title=\"count\">{{ total }}</span></div>\n",
];

fn code(rng: &mut Rng, bytes: usize) -> String {
    let mut s = String::with_capacity(bytes + 128);
    while s.len() < bytes {
        s.push_str(LINES[rng.next(LINES.len())]);
    }
    s
}

fn tool(i: usize, rng: &mut Rng) -> Value {
    json!({
        "name": format!("Tool{i}"),
        "description": code(rng, 700),
        "input_schema": {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": {
                "file_path": {"type": "string", "description": "The path of the file"},
                "pattern": {"type": "string", "description": "What to look for"},
                "limit": {"type": "number", "description": "How many lines at most"},
                "mode": {"type": "string", "enum": ["content", "files", "count"]}
            },
            "required": ["file_path"],
            "additionalProperties": false
        }
    })
}

pub fn build(model: &str, stream: bool, size: usize, directive: &str) -> Template {
    let rng = &mut Rng(0x9E37_79B9_7F4A_7C15);
    let marker = format!("[[req:0000000000000000 {directive}]]");
    let mut body = json!({
        "model": model,
        "max_tokens": 4096,
        "system": [{
            "type": "text",
            "text": "You are a coding assistant. Answer briefly.",
            "cache_control": {"type": "ephemeral"}
        }],
        "messages": [{"role": "user", "content": [{"type": "text", "text": format!("Please look at the failing test. {marker}")}]}],
        "metadata": {"user_id": "user_bench_account__session_00000000-0000-4000-8000-000000000000"},
        "temperature": 1
    });
    if stream {
        body["stream"] = json!(true);
    }
    if size >= 20_000 {
        body["system"][0]["text"] = json!(code(rng, 12_000));
        body["tools"] = (0..14).map(|i| tool(i, rng)).collect();
    }
    // Grow the conversation until the serialized size is reached.
    let mut len = serde_json::to_vec(&body).expect("json").len();
    let mut turn = 0;
    let messages = body["messages"].as_array_mut().expect("array");
    while len + 400 < size {
        let room = size - len;
        let mut chunk = if size >= 20_000 { 3_000 + rng.next(5_000) } else { room };
        chunk = chunk.min(room * 9 / 10).max(64);
        if turn > 0 && chunk + 700 > room {
            chunk = room.saturating_sub(700).max(64) * 9 / 10;
        }
        let id = format!("toolu_bench{turn:012}");
        let pair = if size >= 20_000 {
            [
                json!({"role": "assistant", "content": [
                    {"type": "text", "text": "I read the file first."},
                    {"type": "tool_use", "id": id, "name": format!("Tool{}", turn % 14), "input": {"file_path": format!("/src/file_{turn}.rs")}}]}),
                json!({"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": id, "content": [{"type": "text", "text": code(rng, chunk)}]}]}),
            ]
        } else {
            [
                json!({"role": "assistant", "content": [{"type": "text", "text": "I read the file first."}]}),
                json!({"role": "user", "content": [{"type": "text", "text": code(rng, chunk * 4 / 5)}]}),
            ]
        };
        for m in pair {
            len += serde_json::to_vec(&m).expect("json").len() + 1;
            messages.push(m);
        }
        turn += 1;
        if size < 20_000 {
            break;
        }
    }
    let missing = size.saturating_sub(serde_json::to_vec(&body).expect("json").len());
    if let Value::String(text) = &mut body["system"][0]["text"] {
        text.extend(" Keep to the task.".chars().cycle().take(missing));
    }
    let bytes = serde_json::to_vec(&body).expect("json");
    let id_at = memchr::memmem::find(&bytes, b"[[req:").expect("marker") + 6;
    Template { bytes, id_at }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_the_size_asked_for_and_are_valid() {
        for size in [2_000, 60_000, 600_000] {
            let t = build("m", true, size, "n=1");
            let v: Value = serde_json::from_slice(&t.bytes).expect("JSON");
            assert_eq!(v["stream"], true);
            assert_eq!(&t.bytes[t.id_at - 6..t.id_at], b"[[req:");
            assert_eq!(t.bytes.len(), size);
        }
    }
}
