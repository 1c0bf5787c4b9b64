//! Splicing an object's members: nothing changes but what was asked for.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]
#![expect(clippy::panic, reason = "a failed test panics")]

use bytes::Bytes;
use gatehouse_providers::json::{Edits, Member, Scanner, Wanted};
use proptest::prelude::*;

const WANTED: &[Wanted<'_>] = &[
    Wanted { name: "model", limit: 100 },
    Wanted { name: "stream", limit: 100 },
    Wanted { name: "kept", limit: 2 },
];

fn members(text: &str) -> Vec<Member<'static>> {
    let mut scanner = Scanner::new(WANTED);
    scanner.feed(text.as_bytes()).unwrap();
    scanner.finish().unwrap().members
}

fn pieces(text: &str, size: usize) -> Vec<Bytes> {
    text.as_bytes().chunks(size).map(Bytes::copy_from_slice).collect()
}

/// Cuts `model` and `stream`, and puts in what is given.
fn spliced(text: &str, put: &[(&str, &str)], size: usize) -> String {
    let mut edits = Edits::default();
    for (name, value) in put {
        edits.put(name, value.as_bytes());
    }
    let cut = members(text).into_iter().filter(|member| member.name != "kept");
    edits.cut = cut.map(|member| member.key_at..member.end).collect();
    let out = edits.apply(pieces(text, size)).unwrap_or_else(|| panic!("{text}"));
    String::from_utf8(out.concat()).unwrap()
}

#[test]
fn members_go_and_come_wherever_they_stand() {
    let put: &[(&str, &str)] = &[("v", "\"1\""), ("b", "[]")];
    for (text, with, without) in [
        (r#"{"model":"m"}"#, r#"{"v":"1","b":[]}"#, "{}"),
        ("{}", r#"{"v":"1","b":[]}"#, "{}"),
        (" { } ", r#" {"v":"1","b":[] } "#, " { } "),
        (r#"{"model":"m","a":1}"#, r#"{"v":"1","b":[],"a":1}"#, r#"{"a":1}"#),
        (r#"{"a":1,"model":"m"}"#, r#"{"v":"1","b":[],"a":1}"#, r#"{"a":1}"#),
        (r#"{"a":1,"model":"m","z":2}"#, r#"{"v":"1","b":[],"a":1,"z":2}"#, r#"{"a":1,"z":2}"#),
        (r#"{"model":"m","stream":true,"a":1}"#, r#"{"v":"1","b":[],"a":1}"#, r#"{"a":1}"#),
        (r#"{"model":"m","a":1,"stream":true}"#, r#"{"v":"1","b":[],"a":1}"#, r#"{"a":1}"#),
        (r#"{"a":1,"model":"m","stream":true}"#, r#"{"v":"1","b":[],"a":1}"#, r#"{"a":1}"#),
        (r#"{"model":"m","model":"m","stream":false}"#, r#"{"v":"1","b":[]}"#, "{}"),
        (
            "\n{ \"model\" : \"m\" ,\t\"a\" : { \"model\" : 1 , \"s\":\"}{\" } , \"stream\" : true }\n",
            "\n{\"v\":\"1\",\"b\":[]  ,\t\"a\" : { \"model\" : 1 , \"s\":\"}{\" }  }\n",
            "\n{ \t\"a\" : { \"model\" : 1 , \"s\":\"}{\" }  }\n",
        ),
        (r#"{"mod\u0065l":"m","a":1}"#, r#"{"v":"1","b":[],"a":1}"#, r#"{"a":1}"#),
    ] {
        for size in [1, 2, 3, 7, 1000] {
            assert_eq!(spliced(text, put, size), with, "{text} in pieces of {size}");
            let bare = spliced(text, &[], size);
            assert_eq!(words(&bare), words(without), "{text} in pieces of {size}");
        }
    }
}

/// The text without its white space.
fn words(text: &str) -> String {
    text.split_whitespace().collect()
}

#[test]
fn a_value_takes_the_place_of_another() {
    let text = r#"{ "a":[1, 2], "model" : "m" , "stream":true}"#;
    for size in 1..50 {
        let mut edits = Edits::default();
        for member in members(text).into_iter().filter(|member| member.name == "model") {
            edits.replace.push((member.at..member.end, Bytes::from_static(b"\"longer\"")));
        }
        let out = edits.apply(pieces(text, size)).unwrap().concat();
        assert_eq!(out, br#"{ "a":[1, 2], "model" : "longer" , "stream":true}"#);
    }
}

#[test]
fn what_is_no_object_or_no_member_is_left_alone() {
    assert!(Edits::default().apply(pieces("[1]", 9)).is_none());
    assert!(Edits::default().apply(Vec::new()).is_none());
    for cut in [3..5, 0..2, 90..99] {
        let edits = Edits { cut: vec![cut.clone()], ..Edits::default() };
        assert!(edits.apply(pieces(r#"{"a":1,"b":2}"#, 9)).is_none(), "{cut:?}");
    }
}

fn space() -> impl Strategy<Value = String> {
    "[ \t\n\r]{0,3}"
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i32>().prop_map(|n| n.to_string()),
        Just("true".to_owned()),
        Just("{ \"model\" : [1 ,{\"stream\":2}], \"x\":\",}{\" }".to_owned()),
        Just("[ ]".to_owned()),
        ".{0,12}".prop_map(|text: String| serde_json::to_string(&text).unwrap()),
    ]
}

fn object() -> impl Strategy<Value = Vec<(String, String, [String; 4])>> {
    let name = prop_oneof![3 => "[a-e]{1,3}", 1 => Just("model".to_owned()), 1 => Just("stream".to_owned())];
    prop::collection::vec((name, value(), [space(), space(), space(), space()]), 0..8)
}

proptest! {
    /// The members that stay, and the bytes of each, are those of the text with the others left out.
    #[test]
    fn what_stays_is_byte_for_byte_what_it_was(
        object in object(),
        size in 1..80_usize,
        put in prop::option::of(Just(("anthropic_version", "\"x\""))),
    ) {
        let member = |(name, value, [a, b, c, d]): &(String, String, [String; 4])| {
            format!("{a}\"{name}\"{b}:{c}{value}{d}")
        };
        let text = format!("{{{}}}", object.iter().map(member).collect::<Vec<_>>().join(","));
        let put: Vec<_> = put.into_iter().collect();
        let out = spliced(&text, &put, size);

        let value: serde_json::Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"));
        prop_assert!(value.get("model").is_none() && value.get("stream").is_none());
        prop_assert_eq!(value.get("anthropic_version").is_some(), !put.is_empty());
        let mut rest = out.as_str();
        for (name, value, [_, b, c, _]) in object.iter().filter(|m| m.0 != "model" && m.0 != "stream") {
            let whole = format!("\"{name}\"{b}:{c}{value}");
            let at = rest.find(&whole).unwrap_or_else(|| panic!("`{whole}` is not in `{rest}`"));
            rest = &rest[at + whole.len()..];
        }
        let stays: usize = object.iter().filter(|m| m.0 != "model" && m.0 != "stream").count() + put.len();
        let written = serde_json::Deserializer::from_str(&out).into_iter::<Count>().next().unwrap().unwrap();
        prop_assert_eq!(written.0, stays);
    }
}

/// How many members an object has, repeated ones included.
struct Count(usize);

impl<'de> serde::Deserialize<'de> for Count {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counter;
        impl<'de> serde::de::Visitor<'de> for Counter {
            type Value = Count;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Count, A::Error> {
                let mut count = 0;
                while map.next_entry::<serde::de::IgnoredAny, serde::de::IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Count(count))
            }
        }
        deserializer.deserialize_map(Counter)
    }
}
