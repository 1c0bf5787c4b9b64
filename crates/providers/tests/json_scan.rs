//! The JSON scanner against RFC 8259, against `serde_json`, and in pieces.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use gatehouse_providers::json::{
    Document, MAX_CAPTURES, MAX_DEPTH, Member, Problem, Raw, RequestError, RequestFacts, RequestScan, Root,
    ScanError, Scanner, Wanted,
};
use proptest::prelude::*;

const WANTED: &[Wanted<'_>] = &[Wanted { name: "model", limit: 40 }, Wanted { name: "usage", limit: 100 }];

fn scan<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Document<'static>, ScanError> {
    let mut scanner = Scanner::new(WANTED);
    for piece in pieces {
        scanner.feed(piece)?;
    }
    scanner.finish()
}

fn whole(text: &[u8]) -> Result<Document<'static>, ScanError> {
    scan([text])
}

/// What `serde_json` says, which leaves UTF-8 within ignored strings to others and nests less deeply.
fn serde_accepts(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok())
}

#[test]
fn valid_texts_are_accepted() {
    for text in [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "10",
        "-1.5",
        "1e9",
        "1E+9",
        "0.5e-10",
        "1e999999999999",
        "\"\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\uD834\\udd1e\\ud800\"",
        "[]",
        "{}",
        " [ ] ",
        "\t{\r\n}\n",
        "[[],[{}],{\"\":{}}]",
        "{\"a\":1,\"a\":2}",
        "[1,2.0,true,null,\"x\"]",
        "\"\u{7f}\u{80}\u{2028}\u{10ffff}\"",
        "123456789012345678901234567890.12345678901234567890e-1234567890",
    ] {
        assert!(whole(text.as_bytes()).is_ok(), "{text}: {:?}", whole(text.as_bytes()));
        assert!(serde_accepts(text.as_bytes()), "{text}");
    }
}

/// Texts that are no JSON, and what is said of each.
const REFUSED: &[(&[u8], &str)] = &[
    (b"", "byte 0: the text ends too early"),
    (b"  ", "byte 2: the text ends too early"),
    (b"{", "byte 1: the text ends too early"),
    (b"[1,", "byte 3: the text ends too early"),
    (b"\"abc", "byte 4: the text ends too early"),
    (b"\"abc\\", "byte 5: the text ends too early"),
    (b"\"\\u12", "byte 5: the text ends too early"),
    (b"tru", "byte 3: the text ends too early"),
    (b"-", "byte 1: the text ends too early"),
    (b"1.", "byte 2: the text ends too early"),
    (b"1e", "byte 2: the text ends too early"),
    (b"1e+", "byte 3: the text ends too early"),
    (b"{\"a\"", "byte 4: the text ends too early"),
    (b"{\"a\":", "byte 5: the text ends too early"),
    (b"nul1", "byte 3: expected `true`, `false` or `null`, found `1`"),
    (b"truee", "byte 4: expected nothing after the value, found `e`"),
    (b"NaN", "byte 0: expected a value, found `N`"),
    (b"Infinity", "byte 0: expected a value, found `I`"),
    (b"'a'", "byte 0: expected a value, found `'`"),
    (b"`", "byte 0: expected a value, found a backtick"),
    (b"+1", "byte 0: expected a value, found `+`"),
    (b".5", "byte 0: expected a value, found `.`"),
    (b"01", "byte 1: expected nothing after the value, found `1`"),
    (b"-01", "byte 2: expected nothing after the value, found `1`"),
    (b"-x", "byte 1: expected a digit in a number, found `x`"),
    (b"1.e5", "byte 2: expected a digit in a number, found `e`"),
    (b"1ee5", "byte 2: expected a digit or a sign in a number's exponent, found `e`"),
    (b"1e+-5", "byte 3: expected a digit in a number, found `-`"),
    (b"0x10", "byte 1: expected nothing after the value, found `x`"),
    (b"1 2", "byte 2: expected nothing after the value, found `2`"),
    (b"{}{}", "byte 2: expected nothing after the value, found `{`"),
    (b"{}\0", "byte 2: expected nothing after the value, found byte 0x00"),
    (b"[1,]", "byte 3: expected a value, found `]`"),
    (b"[,1]", "byte 1: expected a value, found `,`"),
    (b"[1 2]", "byte 3: expected `,` or `]`, found `2`"),
    (b"[1}", "byte 2: expected `,` or `]`, found `}`"),
    (b"{\"a\":1]", "byte 6: expected `,` or `}`, found `]`"),
    (b"{\"a\":1,}", "byte 7: expected a key, found `}`"),
    (b"{,}", "byte 1: expected a key, found `,`"),
    (b"{a:1}", "byte 1: expected a key, found `a`"),
    (b"{1:1}", "byte 1: expected a key, found `1`"),
    (b"{\"a\" 1}", "byte 5: expected `:`, found `1`"),
    (b"{\"a\"::1}", "byte 5: expected a value, found `:`"),
    (b"{\"a\":}", "byte 5: expected a value, found `}`"),
    (b"]", "byte 0: expected a value, found `]`"),
    (b"[]]", "byte 2: expected nothing after the value, found `]`"),
    (b"// x\n1", "byte 0: expected a value, found `/`"),
    (b"[1]/**/", "byte 3: expected nothing after the value, found `/`"),
    (b"\"a\nb\"", "byte 2: the control character byte 0x0a in a string must be escaped"),
    (b"\"a\0b\"", "byte 2: the control character byte 0x00 in a string must be escaped"),
    (b"\"\x1f\"", "byte 1: the control character byte 0x1f in a string must be escaped"),
    (b"\"\\x41\"", "byte 2: a backslash before `x` means nothing"),
    (b"\"\\\n\"", "byte 2: a backslash before byte 0x0a means nothing"),
    (b"\"\\'\"", "byte 2: a backslash before `'` means nothing"),
    (b"\"\\U0041\"", "byte 2: a backslash before `U` means nothing"),
    (b"\"\\u00g0\"", "byte 5: expected a hexadecimal digit, found `g`"),
    (b"\"\\u+123\"", "byte 3: expected a hexadecimal digit, found `+`"),
    (b"\"\\u12\"", "byte 5: expected a hexadecimal digit, found `\"`"),
    (b"\xef\xbb\xbf{}", "byte 0: expected a value, found byte 0xef"),
    (b"\x0b1", "byte 0: expected a value, found byte 0x0b"),
    (b"\xc2\xa01", "byte 0: expected a value, found byte 0xc2"),
    (b"\"\xff\"", "byte 1: the text is not UTF-8"),
    (b"\"ab\x80\"", "byte 3: the text is not UTF-8"),
    (b"\"\xc0\xaf\"", "byte 1: the text is not UTF-8"),
    (b"\"\xed\xa0\x80\"", "byte 1: the text is not UTF-8"),
    (b"\"\xf4\x90\x80\x80\"", "byte 1: the text is not UTF-8"),
    (b"\"\xe4\xb8\"", "byte 1: the text is not UTF-8"),
    (b"{\"\xff\":1}", "byte 2: the text is not UTF-8"),
    (b"{}\xff", "byte 2: the text is not UTF-8"),
    (b"{\0\"a\":1}", "byte 1: expected a key, found byte 0x00"),
    (b"{\"a\":1}\x1a", "byte 7: expected nothing after the value, found byte 0x1a"),
    (b"[\"\\\"]", "byte 5: the text ends too early"),
    (b"\xff\xfe[\0]\0", "byte 0: the text is not UTF-8"),
    (b"[\0]\0", "byte 1: expected a value, found byte 0x00"),
];

#[test]
fn hostile_texts_are_refused_and_the_place_is_named() {
    for (text, expected) in REFUSED {
        let shown = String::from_utf8_lossy(text);
        let error = whole(text).expect_err(&shown);
        assert_eq!(error.to_string(), format!("invalid JSON at {expected}"), "{shown}");
        assert!(!serde_accepts(text), "{shown}");
    }
}

#[test]
fn nesting_has_a_limit() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
        let each = open.bytes().filter(|b| matches!(b, b'[' | b'{')).count();
        let nested = |n: usize| format!("{}1{}", open.repeat(n), close.repeat(n));
        assert!(whole(nested(MAX_DEPTH / each).as_bytes()).is_ok());
        let error = whole(nested(MAX_DEPTH / each + 1).as_bytes()).unwrap_err();
        assert_eq!((error.problem, error.at), (Problem::TooDeep, (open.len() * MAX_DEPTH / each) as u64));
    }
    let bomb = vec![b'['; 10_000_000];
    assert_eq!(whole(&bomb).unwrap_err().problem, Problem::TooDeep);
}

#[test]
fn a_failed_scan_stays_failed() {
    let mut scanner = Scanner::new(WANTED);
    let error = scanner.feed(b"[}").unwrap_err();
    assert_eq!(scanner.feed(b"]"), Err(error));
    assert_eq!(scanner.finish(), Err(error));
}

#[test]
fn the_root_is_told() {
    for (text, root) in
        [("{}", Root::Object), ("[{}]", Root::Other), ("1", Root::Other), ("\"{}\"", Root::Other)]
    {
        assert_eq!(whole(text.as_bytes()).unwrap().root, root, "{text}");
    }
}

fn kept(text: &str) -> Vec<(&'static str, u64, Option<String>)> {
    let text_of = |raw| match raw {
        Raw::Whole(bytes) => Some(String::from_utf8(bytes).unwrap()),
        Raw::TooLong => None,
    };
    let members = whole(text.as_bytes()).unwrap().members.into_iter();
    members.map(|Member { name, at, raw, .. }| (name, at, text_of(raw))).collect()
}

#[test]
fn wanted_members_are_kept_as_written() {
    let long = format!("{{\"model\":\"{}\"}}", "x".repeat(39));
    let fits = format!("{{\"model\":\"{}\"}}", "x".repeat(38));
    for (text, expected) in [
        (r#"{"model":"a"}"#, vec![("model", 9, Some(r#""a""#))]),
        (
            r#"{ "model" : "a" , "usage" : {"b":[1, 2]} }"#,
            vec![("model", 12, Some(r#""a""#)), ("usage", 28, Some(r#"{"b":[1, 2]}"#))],
        ),
        (r#"{"mod\u0065l":1.5e3}"#, vec![("model", 14, Some("1.5e3"))]),
        (r#"{"\u006d\u006F\u0064\u0065\u006c":true}"#, vec![("model", 34, Some("true"))]),
        (r#"{"model":null,"x":1,"model":[]}"#, vec![("model", 9, Some("null")), ("model", 28, Some("[]"))]),
        (r#"{"model\u0000":1,"Model":1,"mode":1,"models":1,"mod\\u0065l":1}"#, vec![]),
        (r#"{"a":{"model":1},"b":[{"model":1}],"c":"\"model\":1"}"#, vec![]),
        (r#"{"model":{"model":1,"usage":2}}"#, vec![("model", 9, Some(r#"{"model":1,"usage":2}"#))]),
        (r#"[{"model":1}]"#, vec![]),
        (r#"["model",1]"#, vec![]),
        (&long, vec![("model", 9, None)]),
        (&fits, vec![("model", 9, Some(&fits[9..fits.len() - 1]))]),
    ] {
        let expected: Vec<_> =
            expected.into_iter().map(|(n, at, raw)| (n, at, raw.map(str::to_owned))).collect();
        assert_eq!(kept(text), expected, "{text}");
    }
}

#[test]
fn members_repeated_too_often_are_refused() {
    let body = |times: usize| format!("{{{}}}", vec!["\"model\":1"; times].join(","));
    assert_eq!(whole(body(MAX_CAPTURES).as_bytes()).unwrap().members.len(), MAX_CAPTURES);
    assert_eq!(whole(body(MAX_CAPTURES + 1).as_bytes()).unwrap_err().problem, Problem::TooManyMembers);
}

#[test]
fn every_cut_gives_the_same() {
    let text =
        r#"{"a":[-1.5e+3,true,"x\u00e9\\\n é中😀"],"mod\u0065l":"é\"","usage": {"b":[0,1]} ,"model":12}"#;
    let expected = whole(text.as_bytes());
    assert_eq!(expected.as_ref().unwrap().members.len(), 3);
    let bytes = text.as_bytes();
    for a in 0..=bytes.len() {
        for b in a..=bytes.len() {
            assert_eq!(scan([&bytes[..a], &bytes[a..b], &bytes[b..]]), expected, "cut at {a} and {b}");
        }
    }
}

#[test]
fn long_texts_cross_the_parts_in_which_they_are_read() {
    for filler in ["x", "é", "中", "😀", "\\n", "\\u00e9"] {
        let text = format!("{{\"a\":\"{}\",\"model\":\"m\"}}", filler.repeat(40_000));
        for shift in 0..5 {
            let text = format!("{}{text}", " ".repeat(shift));
            let document = whole(text.as_bytes()).unwrap();
            assert_eq!(document.members[0].at, (text.len() - 4) as u64, "{filler}");
            let cut = text.replace("\"model\"", "\"model");
            assert!(whole(cut.as_bytes()).is_err());
        }
    }
}

#[test]
fn requests_are_read_or_refused_in_words() {
    let facts = |model: Option<&str>, stream, max_tokens| {
        Ok(RequestFacts { model: model.map(str::to_owned), stream, max_tokens, ..RequestFacts::default() })
    };
    let long = format!(r#"{{"model":"{}"}}"#, "m".repeat(2000));
    let cases: Vec<(&str, Result<RequestFacts, &str>)> = vec![
        ("{}", facts(None, false, None)),
        (r#"{"model":"m","stream":true,"max_tokens":5}"#, facts(Some("m"), true, Some(5))),
        (r#"{"model":"\u006d","stream":false}"#, facts(Some("m"), false, None)),
        (r#"{"model":"m","model":"\u006d"}"#, facts(Some("m"), false, None)),
        (r#"{"model":"m","messages":[{"model":7,"stream":"x"}]}"#, facts(Some("m"), false, None)),
        (r#"{"speed":"standard","inference_geo":null}"#, facts(None, false, None)),
        (
            r#"{"speed":"fast","inference_geo":"us","messages":[{"speed":1}]}"#,
            Ok(RequestFacts { fast: true, placed: true, ..RequestFacts::default() }),
        ),
        (r#"{"max_tokens":"5"}"#, facts(None, false, None)),
        (r#"{"max_tokens":-5}"#, facts(None, false, None)),
        (r#"{"max_tokens":99999999999999999999}"#, facts(None, false, None)),
        (r#"{"max_tokens":5,"max_tokens":500}"#, facts(None, false, Some(500))),
        (r#"{"model":"m","model":"n"}"#, Err("`model` is given more than once, with different values")),
        (
            r#"{"stream":true,"stre\u0061m":false}"#,
            Err("`stream` is given more than once, with different values"),
        ),
        (r#"{"model":7}"#, Err("`model` must be a string of valid characters")),
        (r#"{"model":null}"#, Err("`model` must be a string of valid characters")),
        (r#"{"model":["m"]}"#, Err("`model` must be a string of valid characters")),
        (r#"{"model":"\ud800"}"#, Err("`model` must be a string of valid characters")),
        (&long, Err("`model` is longer than 1024 bytes")),
        (r#"{"stream":1}"#, Err("`stream` must be true or false")),
        (r#"{"stream":"true"}"#, Err("`stream` must be true or false")),
        (r#"{"stream":null}"#, Err("`stream` must be true or false")),
        (r#"{"stream":[[[[[[[[[[]]]]]]]]]]}"#, Err("`stream` must be true or false")),
        ("[]", Err("it must be a JSON object")),
        ("null", Err("it must be a JSON object")),
        ("{\"model\":\"m\"", Err("invalid JSON at byte 12: the text ends too early")),
    ];
    for (text, expected) in cases {
        let found = read_request(text.as_bytes(), text.len());
        assert_eq!(found, read_request(text.as_bytes(), 1), "{text}");
        assert_eq!(found.map_err(|e| e.to_string()), expected.map_err(str::to_owned), "{text}");
    }
}

fn read_request(text: &[u8], piece: usize) -> Result<RequestFacts, RequestError> {
    let mut scan = RequestScan::new();
    for piece in text.chunks(piece) {
        scan.feed(piece)?;
    }
    scan.finish()
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    let key = || prop_oneof![Just("model".to_owned()), Just("usage".to_owned()), any::<String>()];
    leaf.prop_recursive(6, 60, 8, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
            proptest::collection::vec((key(), inner), 0..8).prop_map(|pairs| pairs.into_iter().collect()),
        ]
    })
}

/// A change to a text: where, how many bytes go, which come.
fn any_damage() -> impl Strategy<Value = (usize, usize, Vec<u8>)> {
    let byte =
        prop_oneof![proptest::sample::select(&br#"{}[]",:\u0123456789eE+-.truefalsn /"#[..]), any::<u8>()];
    (any::<usize>(), 0_usize..3, proptest::collection::vec(byte, 0..3))
}

fn cut<'a>(text: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut rest = text;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// What must not depend on the cut. (Bytes that are no UTF-8 and also stand where only ASCII may are one or the other
/// problem, whichever is seen first; the place is the same.)
fn essence(result: Result<Document<'static>, ScanError>) -> Result<Document<'static>, u64> {
    result.map_err(|error| error.at)
}

proptest! {
    #[test]
    fn what_serde_json_writes_is_accepted(value in any_json(), sizes in proptest::collection::vec(1_usize..40, 1..20)) {
        let compact = serde_json::to_string(&value).unwrap();
        for text in [&compact, &serde_json::to_string_pretty(&value).unwrap()] {
            let document = whole(text.as_bytes());
            prop_assert!(document.is_ok(), "{}: {:?}", text, document);
            prop_assert_eq!(scan(cut(text.as_bytes(), &sizes)), document);
        }
        for member in whole(compact.as_bytes()).unwrap().members {
            let written = value[member.name].to_string().into_bytes();
            let limit = WANTED.iter().find(|wanted| wanted.name == member.name).unwrap().limit;
            let expected = if written.len() <= limit { Raw::Whole(written) } else { Raw::TooLong };
            prop_assert_eq!(member.raw, expected);
        }
    }

    #[test]
    fn damaged_texts_are_judged_as_by_serde_json(
        value in any_json(),
        damage in proptest::collection::vec(any_damage(), 1..4),
        sizes in proptest::collection::vec(1_usize..40, 1..20),
    ) {
        let mut text = serde_json::to_vec(&value).unwrap();
        for (at, gone, new) in damage {
            let at = at % (text.len() + 1);
            let end = (at + gone).min(text.len());
            text.splice(at..end, new);
        }
        let found = whole(&text);
        let shown = String::from_utf8_lossy(&text);
        let too_often = found.as_ref().is_err_and(|e| e.problem == Problem::TooManyMembers);
        prop_assert!(too_often || found.is_ok() == serde_accepts(&text), "{} {:?}", shown, found);
        prop_assert_eq!(essence(scan(cut(&text, &sizes))), essence(found), "{}", shown);
    }

    #[test]
    fn soups_of_json_bytes_are_judged_as_by_serde_json(
        text in proptest::collection::vec(proptest::sample::select(&b"{}[]\",:\\u01eE+-.tn \xc3\xa9"[..]), 0..12),
        sizes in proptest::collection::vec(1_usize..6, 1..6),
    ) {
        let found = whole(&text);
        prop_assert_eq!(found.is_ok(), serde_accepts(&text), "{:?} {:?}", String::from_utf8_lossy(&text), found);
        prop_assert_eq!(essence(scan(cut(&text, &sizes))), essence(found));
    }
}
