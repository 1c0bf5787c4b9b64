//! Request bodies as the Claude Code client makes them: a long system prompt, tool schemas, and a conversation of
//! source code and tool results, compact and with many escapes.

/// A body of at least so many bytes.
pub(crate) fn body(bytes: usize) -> Vec<u8> {
    let mut body = String::from(
        r#"{"model":"claude-opus-5-5","messages":[{"role":"user","content":[{"type":"text","text":"<system-reminder>\nAs you answer, use the following context.\n</system-reminder>\n"}]}"#,
    );
    let tail = tail();
    let mut n = 0_u32;
    while body.len() + tail.len() < bytes {
        n += 1;
        let (call, result) = turn(n);
        body.push_str(&call);
        body.push_str(&result);
    }
    body.push_str(&tail);
    body.into_bytes()
}

fn turn(n: u32) -> (String, String) {
    let call = format!(
        r#",{{"role":"assistant","content":[{{"type":"text","text":"I'll read the next file."}},{{"type":"tool_use","id":"toolu_{n:020}","name":"Read","input":{{"file_path":"/home/someone/project/src/module_{n}.rs","limit":200}}}}]}}"#
    );
    let mut text = String::new();
    for line in 0..24 {
        let number = n * 24 + line;
        text.extend([format!(r#"{number:6}\t    let value_{number} = parse(\"field_{number}\", &input)?; // \u00e9 naïve 数据\n"#)]);
        text.push_str(
            r"\t        if value.is_empty() { return Err(Error::Missing { name: name.to_owned() }); }\n",
        );
    }
    let result = format!(
        r#",{{"role":"user","content":[{{"tool_use_id":"toolu_{n:020}","type":"tool_result","content":"{text}","cache_control":{{"type":"ephemeral"}}}}]}}"#
    );
    (call, result)
}

fn tail() -> String {
    let mut tail = String::from(
        r#"],"system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=2.1.330; cc_entrypoint=cli;"}],"tools":["#,
    );
    for n in 0..4 {
        let comma = if n == 0 { "" } else { "," };
        tail.push_str(comma);
        tail.extend([format!(
            r#"{{"name":"Tool{n}","description":"Does one thing.\n\nUsage:\n- Give it an absolute path\n","input_schema":{{"type":"object","properties":{{"path":{{"description":"The absolute path","type":"string"}},"limit":{{"type":"integer","minimum":0}}}},"required":["path"],"additionalProperties":false}}}}"#
        )]);
    }
    tail.push_str(r#"],"metadata":{"user_id":"{\"device_id\":\"0\"}"},"max_tokens":64000,"thinking":{"type":"adaptive"},"stream":true}"#);
    tail
}
