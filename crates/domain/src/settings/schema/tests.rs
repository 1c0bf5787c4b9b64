use serde_json::json;

use super::*;

fn parse(schema: &Value) -> Result<Schema, BadSchema> {
    Schema::parse(schema.to_string().as_bytes())
}

fn kind(part: &Value) -> String {
    let schema = parse(&json!({"properties": {"k": part}, "$defs": {
        "word": {"enum": ["a", "b"]}, "again": {"$ref": "#/$defs/word"}, "with/slash": {"type": "null"},
    }}));
    schema.unwrap().keys()[&Path::root().key("k")].kind.to_string()
}

#[test]
fn types_become_kinds() {
    for (part, expected) in [
        (json!({"type": "boolean"}), "true or false"),
        (json!({"type": "integer", "minimum": 1, "maximum": 9}), "a whole number from 1 up to 9"),
        (json!({"type": "number", "exclusiveMinimum": 0}), "a number above 0"),
        (json!({"type": "string"}), "a text"),
        (json!({"type": "string", "minLength": 1}), "a text that is not empty"),
        (json!({"enum": ["x", "y"]}), "`x`, `y`"),
        (json!({"const": "x"}), "`x`"),
        (json!({"enum": ["x", 1]}), "anything"),
        (json!({"type": ["string", "null"]}), "a text, null"),
        (
            json!({"type": "array", "items": {"type": "string"}, "maxItems": 3}),
            "a list of at most 3 (a text)",
        ),
        (json!({"type": "array"}), "a list (anything)"),
        (json!({"type": "object", "additionalProperties": {"type": "boolean"}}), "an object (true or false)"),
        (json!({"anyOf": [{"type": "boolean"}, {"$ref": "#/$defs/again"}]}), "true or false, `a`, `b`"),
        (json!({"oneOf": [{"type": "boolean"}, {}]}), "anything"),
        (json!({"$ref": "#/$defs/with~1slash"}), "null"),
        (json!({"type": "tuple"}), "anything"),
        (json!(true), "anything"),
        (json!({"type": "object", "properties": {"x": {}}}), "an object"),
    ] {
        assert_eq!(kind(&part), expected, "{part}");
    }
}

#[test]
fn keys_beneath_keys_are_described() {
    let schema = parse(&json!({"properties": {
        "box": {"description": "A\n  box.", "properties": {"lid": {"type": "boolean"}}},
        "onStop": {"type": "object", "properties": {"a": {"properties": {"command": {"type": "string"}}}}},
        "keyHelper": {"type": "string"},
    }}));
    let schema = schema.unwrap();
    let told: Vec<String> = schema.keys().keys().map(ToString::to_string).collect();
    assert_eq!(told, ["box", "box.lid", "keyHelper", "onStop", "onStop.a", "onStop.a.command"]);
    let key = |text: &str| &schema.keys()[&Path::parse(text).unwrap()];
    assert_eq!((key("box").help.as_str(), key("box").kind.clone()), ("A box.", Kind::Object));
    let programs: Vec<bool> =
        ["box", "box.lid", "keyHelper", "onStop"].iter().map(|text| key(text).speaks_of_programs).collect();
    assert_eq!(programs, [false, false, true, true]);
}

#[test]
fn hostile_schemas_are_refused() {
    let chain = |length: usize| {
        let mut defs = Map::new();
        for n in 0..length {
            defs.insert(format!("d{n}"), json!({"$ref": format!("#/$defs/d{}", n + 1)}));
        }
        defs.insert(format!("d{length}"), json!({"type": "string"}));
        json!({"properties": {"k": {"$ref": "#/$defs/d0"}}, "$defs": defs})
    };
    assert!(parse(&chain(20)).is_ok());
    // Each definition stands for three times the one before: a small text for a huge one.
    let mut laughs = Map::from_iter([("l0".to_owned(), json!({"type": "string"}))]);
    for n in 1..=12 {
        let before = json!({"$ref": format!("#/$defs/l{}", n - 1)});
        laughs.insert(format!("l{n}"), json!({"anyOf": [before.clone(), before.clone(), before]}));
    }
    let wide: Map<String, Value> = (0..=MAX_KEYS).map(|n| (format!("k{n}"), json!(true))).collect();
    let long = format!(r#"{{"properties": {{"k": {{"description": "{}"}}}}}}"#, "x".repeat(1_000_000));
    let deep = format!("{{\"properties\":{{\"k\":{}true{}}}}}", "{\"items\":".repeat(40), "}".repeat(40));
    for (text, why) in [
        (String::new(), "cannot be used"),
        ("[]".to_owned(), "are a list"),
        ("{}".to_owned(), "no keys"),
        (r#"{"properties": {}}"#.to_owned(), "no keys"),
        (r#"{"properties": {"k": 1}}"#.to_owned(), "a number at `k`"),
        (r##"{"properties": {"k": {"$ref": "#"}}}"##.to_owned(), "leads to nothing"),
        (r#"{"properties": {"k": {"$ref": "https://example.com/s.json"}}}"#.to_owned(), "nothing is fetched"),
        (r#"{"properties": {"k": {"$ref": "file:///etc/passwd"}}}"#.to_owned(), "nothing is fetched"),
        (r#"{"properties": {"k": {"$ref": 1}}}"#.to_owned(), "leads to nothing"),
        (r##"{"properties": {"k": {"$ref": "#/properties/k"}}}"##.to_owned(), "back to itself"),
        (
            r##"{"properties": {"k": {"items": {"$ref": "#/$defs/t"}}}, "$defs": {"t": {"items": {"$ref": "#/$defs/t"}}}}"##
                .to_owned(),
            "back to itself",
        ),
        (
            r##"{"properties": {"k": {"$ref": "#/$defs/t"}}, "$defs": {"t": {"properties": {"t": {"$ref": "#/$defs/t"}}}}}"##
                .to_owned(),
            "back to itself",
        ),
        (chain(MAX_DEPTH + 5).to_string(), "deep"),
        (json!({"properties": {"k": {"$ref": "#/$defs/l12"}}, "$defs": laughs}).to_string(), "parts"),
        (json!({"properties": wide}).to_string(), "keys"),
        (long, "bytes"),
        (deep, "nested"),
        (r#"{"properties": {"__proto__": true}}"#.to_owned(), "`__proto__`"),
        (r#"{"properties": {"k": true, "k": false}}"#.to_owned(), "given twice"),
    ] {
        let told = Schema::parse(text.as_bytes()).map(|_| ()).unwrap_err().to_string();
        assert!(told.contains(why), "{told} for {}", &text[..text.len().min(90)]);
    }
}
