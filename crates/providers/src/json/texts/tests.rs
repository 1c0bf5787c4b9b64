//! What is given of a request, and what never is.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// All texts with their places.
fn all(body: &[u8]) -> Vec<(String, String)> {
    let (mut out, mut buffer) = (Vec::new(), Vec::new());
    texts(body, |text| {
        let said = String::from_utf8_lossy(text.decoded(&mut buffer)).into_owned();
        out.push((text.place.to_string(), said));
    });
    out
}

fn of(body: &Value) -> Vec<(String, String)> {
    all(body.to_string().as_bytes())
}

fn expect(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(place, text)| ((*place).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn everything_that_somebody_wrote_or_a_tool_read_is_given_with_its_place() {
    let body = json!({
        "model": "m", "max_tokens": 3, "stream": true, "metadata": {"user_id": "no"},
        "tools": [{"name": "no", "description": "no", "input_schema": {"text": "no"}}],
        "system": [{"type": "text", "text": "s1", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "s2"}],
        "messages": [
            {"role": "user", "content": "u1"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "no", "signature": "no"},
                {"type": "redacted_thinking", "data": "no"},
                {"type": "text", "text": "a1", "citations": [{"cited_text": "no"}]},
                {"type": "tool_use", "id": "no", "name": "no", "input": {"k1": ["v1", {"k2": "v2"}], "n": 7}}
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "no", "content": "r1"},
                {"type": "tool_result", "tool_use_id": "no", "is_error": false, "content": [
                    {"type": "text", "text": "r2"},
                    {"type": "image", "source": {"type": "base64", "media_type": "no", "data": "no"}}
                ]},
                {"type": "document", "title": "t", "source": {"type": "text", "media_type": "no", "data": "d1"}},
                {"type": "document", "source": {"data": "d2", "type": "text"}},
                {"type": "document", "source": {"data": "no", "type": "base64"}},
                {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "d3"}]}},
                {"type": "search_result", "source": "no", "title": "t2", "content": [{"type": "text", "text": "d4"}]}
            ]}
        ]
    });
    let expected = expect(&[
        ("the system prompt", "s1"),
        ("the system prompt", "s2"),
        ("message 1", "u1"),
        ("message 2", "a1"),
        ("message 2, tool call", "k1"),
        ("message 2, tool call", "v1"),
        ("message 2, tool call", "k2"),
        ("message 2, tool call", "v2"),
        ("message 2, tool call", "n"),
        ("message 3, tool result", "r1"),
        ("message 3, tool result", "r2"),
        ("message 3, document", "t"),
        ("message 3, document", "d1"),
        ("message 3, document", "d2"),
        ("message 3, document", "d3"),
        ("message 3, document", "t2"),
        ("message 3, document", "d4"),
    ]);
    let mut found = of(&body);
    found.sort();
    let mut expected = expected;
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn a_text_is_what_it_says_however_it_is_spelled() {
    let body = br#" { "\u0073ystem" : "\u0041\u00e9\ud83d\ude00\ud83d \"\\\/\n" , "messages":[ ] } "#;
    let said = expect(&[("the system prompt", "A\u{e9}\u{1f600}\u{fffd} \"\\/\n")]);
    assert_eq!(all(body), said);
    assert_eq!(all(br#"{"messages":[{"c\u006fntent":[{"te\u0078t":"x"}]}]}"#), expect(&[("message 1", "x")]));
}

#[test]
fn members_that_are_there_twice_are_both_given() {
    let found = all(br#"{"system":"a","system":"b","messages":[{"content":"c","content":"d"}]}"#);
    assert_eq!(found.len(), 4);
}

#[test]
fn depth_costs_nothing_but_its_bytes() {
    let deep = format!("{}\"x\"{}", "[".repeat(400), "]".repeat(400));
    let body = format!("{{\"tools\":{deep},\"messages\":[{{\"content\":[{{\"input\":{deep}}}]}}]}}");
    assert_eq!(all(body.as_bytes()), expect(&[("message 1, tool call", "x")]));
}

/// Every string in a tree, where anything is looked at.
fn strings(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::String(text) if !text.is_empty() => out.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| strings(item, out)),
        Value::Object(members) => {
            for (key, item) in members {
                if !key.is_empty() {
                    out.push(key.clone());
                }
                strings(item, out);
            }
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn some_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(Value::Null)
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(".{0,6}", inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_a_tool_is_called_with_is_given_whole(input in some_json()) {
        let body = json!({"messages": [{"content": [{"type": "tool_use", "input": input}]}]});
        let mut expected = Vec::new();
        strings(&input, &mut expected);
        let found: Vec<String> = of(&body).into_iter().map(|(_, text)| text).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn no_bytes_break_it(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        all(&body);
        let mut wrapped = b"{\"messages\":[{\"content\":[{\"input\":".to_vec();
        wrapped.extend_from_slice(&body);
        all(&wrapped);
    }
}
