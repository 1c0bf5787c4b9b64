//! The scripted model: what it answers to which conversation. No model at all; a few rules on words, so that a person
//! can see a real client stream, think and use tools through Gatehouse without a provider.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::{Value, json};

/// One block of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Block {
    /// Text.
    Text(String),
    /// Thinking; its text is empty where the client asked not to see it.
    Thinking {
        /// What it thought.
        text: String,
        /// What the client must hand back unchanged.
        signature: String,
    },
    /// A tool to run.
    Tool {
        /// The tool's name.
        name: &'static str,
        /// Its arguments.
        input: Value,
    },
}

/// A request that the model refuses: an error type and a sentence, for status 400.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) &'static str);

/// Answers a conversation. `nonce` makes signatures differ.
pub(crate) fn answer(request: &Value, nonce: u64) -> Result<Vec<Block>, Refused> {
    let messages = request["messages"].as_array().ok_or(Refused("messages: Field required"))?;
    if messages.iter().flat_map(blocks_of).any(|block| !signature_holds(block)) {
        return Err(Refused("messages: Invalid `signature` in `thinking` block"));
    }
    let Some(last) = messages.iter().rev().find(|message| message["role"] == "user") else {
        return Err(Refused("messages: at least one message with role `user` is required"));
    };
    let result = blocks_of(last).rev().find(|block| block["type"] == "tool_result");
    if let Some(result) = result {
        return Ok(vec![Block::Text(summary(result))]);
    }
    let prompt = prompt_of(last);
    let mut out = Vec::new();
    if asks_to_think(&prompt) && request["thinking"]["type"] != "disabled" {
        let hidden = request["thinking"]["display"] == "omitted";
        let text = if hidden { String::new() } else { thought(&prompt) };
        out.push(Block::Thinking { text, signature: signature(nonce) });
    }
    if wants_title(request) {
        out = vec![Block::Text("{\"title\": \"Gatehouse demo\"}".to_owned())];
    } else if let Some((say, tool)) = tool_for(request, &prompt) {
        out.extend([Block::Text(say.to_owned()), tool]);
    } else {
        out.push(Block::Text(reply(&prompt)));
    }
    Ok(out)
}

fn blocks_of(message: &Value) -> std::slice::Iter<'_, Value> {
    message["content"].as_array().map_or([].iter(), |blocks| blocks.iter())
}

/// The text a person wrote: without what clients put around it in `<system-reminder>` tags.
fn prompt_of(message: &Value) -> String {
    let mut text = message["content"].as_str().unwrap_or_default().to_owned();
    for block in blocks_of(message).filter(|block| block["type"] == "text") {
        text.push_str(block["text"].as_str().unwrap_or_default());
        text.push('\n');
    }
    while let Some(start) = text.find("<system-reminder>") {
        let rest = &text[start..];
        let end = rest.find("</system-reminder>").map_or(rest.len(), |at| at + "</system-reminder>".len());
        text.replace_range(start..start + end, "");
    }
    text.trim().to_owned()
}

fn has(prompt: &str, words: &[&str]) -> bool {
    let lower = prompt.to_lowercase();
    let split = |c: char| !c.is_alphanumeric();
    words.iter().any(|word| {
        if word.is_ascii() { lower.split(split).any(|w| w == *word) } else { lower.contains(word) }
    })
}

fn asks_to_think(prompt: &str) -> bool {
    has(prompt, &["think", "thinking", "ponder", "reason", "思考", "想一想", "想想"])
}

/// Clients ask for a title of the session on the side, as JSON.
fn wants_title(request: &Value) -> bool {
    let no_tools = request["tools"].as_array().is_none_or(Vec::is_empty);
    no_tools && (request["output_config"]["format"].is_object() || request["output_format"].is_object())
}

fn tool_for(request: &Value, prompt: &str) -> Option<(&'static str, Block)> {
    let offered =
        |name: &str| request["tools"].as_array().is_some_and(|tools| tools.iter().any(|t| t["name"] == name));
    let tool = |say, name, input| Some((say, Block::Tool { name, input }));
    let file = file_in(prompt);
    if has(prompt, &["write", "create", "save", "写", "寫", "创建", "建立"]) && offered("Write") {
        let path = absolute(request, file.unwrap_or("hello.txt"));
        let content = "Hello from the scripted model of the Gatehouse demo.\n";
        return tool("I will write the file.", "Write", json!({"file_path": path, "content": content}));
    }
    if let Some(file) = file
        && has(prompt, &["read", "open", "look", "show", "读", "讀", "看"])
        && offered("Read")
    {
        return tool("I will read the file.", "Read", json!({"file_path": absolute(request, file)}));
    }
    let run = ["run", "execute", "运行", "執行", "执行"];
    let look = ["list", "files", "folder", "directory", "ls", "列出", "文件", "檔案", "目录", "目錄"];
    if !offered("Bash") || !(has(prompt, &run) || has(prompt, &look)) {
        return None;
    }
    let command = prompt.split('`').nth(1).filter(|command| has(prompt, &run) && !command.is_empty());
    if let Some(command) = command {
        return tool("I will run it.", "Bash", json!({"command": command, "description": "Run the command"}));
    }
    let input = json!({"command": "ls -la", "description": "List the files here"});
    tool("I will look at the files here.", "Bash", input)
}

/// A word that looks like a file's name.
fn file_in(prompt: &str) -> Option<&str> {
    prompt
        .split_whitespace()
        .map(|word| word.trim_matches(|c: char| "`'\"(),;:!?".contains(c)).trim_end_matches('.'))
        .find(|word| {
            let (stem, extension) = word.rsplit_once('.').unwrap_or_default();
            !stem.is_empty()
                && (1..=5).contains(&extension.len())
                && extension.chars().all(|c| c.is_ascii_alphanumeric())
                && !word.contains("://")
        })
}

/// The file's path: the tools of the client want absolute ones. The working directory stands in the system prompt.
fn absolute(request: &Value, file: &str) -> String {
    if file.starts_with('/') {
        return file.to_owned();
    }
    match working_directory(request) {
        Some(directory) => format!("{}/{file}", directory.trim_end_matches('/')),
        None => file.to_owned(),
    }
}

fn working_directory(request: &Value) -> Option<&str> {
    let messages = request["messages"].as_array().into_iter().flatten();
    let texts = std::iter::once(&request["system"]).chain(messages.map(|message| &message["content"]));
    texts
        .flat_map(|content| {
            let blocks = content.as_array().into_iter().flatten().filter_map(|block| block["text"].as_str());
            content.as_str().into_iter().chain(blocks)
        })
        .find_map(|text| text.split_once("orking directory: ")?.1.lines().next().map(str::trim))
}

fn summary(result: &Value) -> String {
    let content = &result["content"];
    let texts = content.as_array().into_iter().flatten().filter_map(|block| block["text"].as_str());
    let text = texts.chain(content.as_str()).collect::<Vec<_>>().join("\n");
    if result["is_error"] == true {
        return format!("That did not work. The tool says:\n\n{}", first_lines(&text));
    }
    let lines = text.lines().filter(|line| !line.trim().is_empty()).count();
    let plural = if lines == 1 { "" } else { "s" };
    format!(
        "Done. The tool answered with {lines} line{plural}:\n\n{}\n\n(I am a scripted demo: this is the tool's real output, but no model has read it.)",
        first_lines(&text)
    )
}

/// The first 12 lines, each cut at 160 characters.
fn first_lines(text: &str) -> String {
    let mut lines: Vec<String> = text.lines().take(12).map(|line| line.chars().take(160).collect()).collect();
    if text.lines().nth(12).is_some() {
        lines.push("…".to_owned());
    }
    format!("```\n{}\n```", lines.join("\n"))
}

fn thought(prompt: &str) -> String {
    let beginning: String = prompt.chars().take(60).collect();
    format!(
        "I am asked: \"{beginning}\". I have no model behind me, only a few rules, so the honest way is to say so, \
         use a tool where one was asked for, and keep it short."
    )
}

fn reply(prompt: &str) -> String {
    let about = "I am the scripted model of the Gatehouse demo: there is no language model behind me, only a few rules. \
                 Your request came through the gateway all the same: it was authenticated by your virtual key, \
                 metered, priced and written to the ledger and the audit log.";
    if has(prompt, &["quota"]) && prompt.len() < 12 {
        return "ok".to_owned();
    }
    if has(prompt, &["hi", "hello", "hey", "你好", "您好"]) {
        return format!(
            "Hello! {about}\n\nTry \"list the files here\", \"write a file hello.txt\" or \"think about it\"."
        );
    }
    if has(prompt, &["who", "what", "you", "model", "谁", "誰"]) {
        return format!("{about}\n\nSee what it recorded with `gatehouse exchanges` and `gatehouse usage`.");
    }
    format!(
        "{about}\n\nI can list files, read or write one, run a command in backticks, and think when asked to."
    )
}

/// A signature: 16 hexadecimal digits and as many that depend on them, twelve times, so that a changed one is noticed.
fn signature(nonce: u64) -> String {
    let parts = (0..12).flat_map(|round| {
        let part = mixed(nonce, round);
        [part, mixed(part, round)]
    });
    parts.map(|part| format!("{part:016x}")).collect::<Vec<_>>().concat()
}

fn mixed(value: u64, round: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    (value, round).hash(&mut hasher);
    hasher.finish()
}

/// Whether a thinking block came back with a signature that this model made.
fn signature_holds(block: &Value) -> bool {
    if block["type"] != "thinking" {
        return true;
    }
    let Some(text) = block["signature"].as_str().filter(|text| text.len() == 12 * 32 && text.is_ascii())
    else {
        return false;
    };
    (0..12).all(|round| {
        let (part, check) = text[round * 32..(round + 1) * 32].split_at(16);
        match (u64::from_str_radix(part, 16), u64::from_str_radix(check, 16)) {
            (Ok(part), Ok(check)) => mixed(part, round) == check,
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(prompt: &str) -> Value {
        json!({
            "system": [{"type": "text", "text": "You are x.\n - Primary working directory: /tmp/w\n"}],
            "tools": [{"name": "Bash"}, {"name": "Read"}, {"name": "Write"}],
            "messages": [{"role": "user", "content": [
                {"type": "text", "text": "<system-reminder>think and list files</system-reminder>"},
                {"type": "text", "text": prompt},
            ]}],
        })
    }

    fn tool_of(prompt: &str) -> Option<(&'static str, Value)> {
        answer(&ask(prompt), 1).unwrap().into_iter().find_map(|block| match block {
            Block::Tool { name, input } => Some((name, input)),
            Block::Text(_) | Block::Thinking { .. } => None,
        })
    }

    #[test]
    fn tools_are_used_when_asked_for_and_offered() {
        for (prompt, name, key, value) in [
            ("list the files here", "Bash", "command", "ls -la"),
            ("请列出文件", "Bash", "command", "ls -la"),
            ("run `echo hi`", "Bash", "command", "echo hi"),
            ("write a file notes.md", "Write", "file_path", "/tmp/w/notes.md"),
            ("please write a file", "Write", "file_path", "/tmp/w/hello.txt"),
            ("Read src/main.rs.", "Read", "file_path", "/tmp/w/src/main.rs"),
        ] {
            let (tool, input) = tool_of(prompt).expect(prompt);
            assert_eq!((tool, &input[key]), (name, &json!(value)), "{prompt}");
        }
        assert_eq!(tool_of("hello"), None);
        let mut no_tools = ask("list the files here");
        no_tools["tools"] = json!([]);
        assert!(matches!(&answer(&no_tools, 1).unwrap()[..], [Block::Text(_)]));
    }

    #[test]
    fn the_real_output_of_a_tool_is_summarized() {
        let mut request = ask("list");
        let result = json!({"type": "tool_result", "tool_use_id": "t", "content": "a.txt\nb.txt\n"});
        request["messages"].as_array_mut().unwrap().push(json!({"role": "user", "content": [result]}));
        let [Block::Text(text)] = &answer(&request, 1).unwrap()[..] else { panic!("one text") };
        assert!(text.contains("2 lines") && text.contains("a.txt\nb.txt"), "{text}");
    }

    #[test]
    fn thinking_is_signed_and_a_changed_signature_is_refused() {
        let Block::Thinking { text, signature } = answer(&ask("think about it"), 7).unwrap().remove(0) else {
            panic!("thinking comes first")
        };
        assert!(!text.is_empty());
        let mut request = ask("go on");
        let turn = |signature: &str| json!({"role": "assistant", "content": [{"type": "thinking", "thinking": text, "signature": signature}]});
        request["messages"].as_array_mut().unwrap().insert(0, turn(&signature));
        assert!(answer(&request, 8).is_ok());
        let changed =
            signature.replacen(&signature[..1], if signature.starts_with('0') { "1" } else { "0" }, 1);
        request["messages"][0] = turn(&changed);
        assert_eq!(answer(&request, 8), Err(Refused("messages: Invalid `signature` in `thinking` block")));
    }

    #[test]
    fn hidden_thinking_keeps_its_signature() {
        let mut request = ask("think about it");
        request["thinking"] = json!({"type": "adaptive", "display": "omitted"});
        let Block::Thinking { text, signature } = answer(&request, 7).unwrap().remove(0) else {
            panic!("thinking")
        };
        assert!(text.is_empty() && signature.len() == 384);
    }

    #[test]
    fn titles_are_json() {
        let request = json!({"output_config": {"format": {"type": "json_schema"}}, "messages": [{"role": "user", "content": "x"}]});
        assert_eq!(answer(&request, 1).unwrap(), [Block::Text("{\"title\": \"Gatehouse demo\"}".to_owned())]);
    }

    #[test]
    fn what_is_no_conversation_is_refused() {
        for request in
            [json!({}), json!({"messages": []}), json!({"messages": [{"role": "assistant", "content": "x"}]})]
        {
            assert!(answer(&request, 1).is_err());
        }
    }
}
