//! Signatures against those of botocore, Amazon's own client library for Python.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]
#![expect(
    clippy::disallowed_methods,
    reason = "where the reference implementation is, is said by a variable"
)]

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use gatehouse_providers::sigv4::{AwsKeys, Scope, body_hash, sign};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

const IDS: &[&str] = &[
    "anthropic.claude-opus-5-5",
    "us.anthropic.claude-sonnet-4-5-20250929-v1%3A0",
    "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc123",
    "a%20b%2Bc~d_e",
    "%C3%BC",
    "global.anthropic.claude-haiku-4-5-20251001-v1%3A0",
    "a%3Bb%2C%40%26%3D%24",
    "%2E%2E%2Fup",
    "a%252Fb",
];
const ACTS: &[&str] = &["invoke", "invoke-with-response-stream", "count-tokens"];
const HOSTS: &[&str] = &[
    "bedrock-runtime.us-east-1.amazonaws.com",
    "127.0.0.1:9000",
    "vpce-1.bedrock-runtime.eu-west-1.vpce.amazonaws.com",
];
const QUERIES: &[&str] = &["", "?beta=true", "?b=2&a=1&a=0&c=%20x%2F"];
const HEADERS: &[&[(&str, &str)]] = &[
    &[],
    &[("content-type", "application/json")],
    &[
        ("content-type", "application/json"),
        ("x-amzn-bedrock-guardrailidentifier", "g-1"),
        ("x-amz-meta", "  spaced   out  "),
        ("user-agent", "client/1"),
        ("anthropic-beta", "a,b"),
    ],
];
const BODIES: &[&str] = &["", r#"{"messages":[]}"#, "üñï\n"];

fn cases() -> Vec<Value> {
    let mut out = Vec::new();
    let mut add = |method: &str, host: &str, path: String, headers: &[(&str, &str)]| {
        let n = out.len();
        let region = ["us-east-1", "eu-central-1", "us-gov-west-1"][n % 3];
        let service = ["bedrock", "bedrock-mantle", "aws-external-anthropic"][n / 3 % 3];
        out.push(json!({
            "method": method,
            "url": format!("https://{host}{path}"),
            "host": host,
            "headers": headers,
            "body": match n % 97 {
                // Some are large.
                0 => "0123456789abcdef\u{e9}\n".repeat(20_000 + n),
                _ => BODIES[n % BODIES.len()].to_owned(),
            },
            "id": "AKIDEXAMPLE",
            "secret": format!("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLE{n}"),
            "token": (n % 2 == 0).then(|| format!("session/token+{n}==")),
            "region": region,
            "service": service,
            "time": 1_700_000_000 + 86_461 * n,
        }));
    };
    for host in HOSTS {
        for headers in HEADERS {
            for query in QUERIES {
                for id in IDS {
                    for act in ACTS {
                        add("POST", host, format!("/model/{id}/{act}{query}"), headers);
                    }
                }
                add("POST", host, format!("/anthropic/v1/messages{query}"), headers);
                add("GET", host, format!("/{query}"), headers);
            }
        }
    }
    out
}

fn text<'a>(case: &'a Value, name: &str) -> &'a str {
    case[name].as_str().unwrap()
}

/// `authorization` and `x-amz-date`.
fn signed(case: &Value) -> (String, String) {
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_str(text(case, "host")).unwrap());
    for pair in case["headers"].as_array().unwrap() {
        let (name, value) = (pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
        headers.insert(HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    let keys = AwsKeys::new(text(case, "id"), text(case, "secret"), case["token"].as_str());
    let scope = Scope { region: text(case, "region").to_owned(), service: text(case, "service").to_owned() };
    let method = Method::try_from(text(case, "method")).unwrap();
    let body = Bytes::copy_from_slice(text(case, "body").as_bytes());
    let half = body.len() / 2;
    let hash = body_hash(&[body.slice(..half), body.slice(half..)]);
    let now = UNIX_EPOCH + Duration::from_secs(case["time"].as_u64().unwrap());
    sign(&keys, &scope, (&method, text(case, "url")), &mut headers, hash, now).unwrap();
    assert!(headers["authorization"].is_sensitive());
    assert_eq!(headers.get("x-amz-security-token").is_some(), !case["token"].is_null());
    let get = |name: &str| headers[name].to_str().unwrap().to_owned();
    (get("authorization"), get("x-amz-date"))
}

/// Only what is signed here goes to the oracle: it would sign every header.
fn for_oracle(case: &Value) -> Value {
    let mut case = case.clone();
    let headers = case["headers"].as_array_mut().unwrap();
    headers.retain(|pair| pair[0] == "content-type" || pair[0].as_str().unwrap().starts_with("x-amz-"));
    case
}

#[test]
fn signatures_are_those_of_botocore() {
    let python = std::env::var("GATEHOUSE_TEST_BOTOCORE").unwrap_or_else(|_| "python3".to_owned());
    let has = Command::new(&python).args(["-c", "import botocore.auth"]).stderr(Stdio::null()).status();
    if !has.is_ok_and(|status| status.success()) {
        eprintln!(
            "SKIPPED, NOT TESTED: signatures against botocore. `{python}` has no botocore; set GATEHOUSE_TEST_BOTOCORE to \
             a Python that has it (pip install botocore)"
        );
        return;
    }
    let cases = cases();
    assert!(cases.len() > 700);
    let oracle = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sigv4_oracle.py");
    let mut child =
        Command::new(&python).arg(oracle).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = cases.iter().map(|case| for_oracle(case).to_string() + "\n").collect::<Vec<_>>().concat();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let answers: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), cases.len());
    for (case, answer) in cases.iter().zip(&answers) {
        let (authorization, date) = signed(case);
        assert_eq!(date, answer["date"], "{case}");
        assert_eq!(authorization, answer["authorization"], "{case}");
    }
}

/// Holds where no botocore is, too.
#[test]
fn a_signature_covers_path_query_headers_and_body() {
    let case = &cases()[0];
    let first = signed(case).0;
    for (name, value) in [
        ("url", json!(text(case, "url").replace("opus", "haiku"))),
        ("body", json!("other")),
        ("region", json!("eu-west-3")),
        ("service", json!("sts")),
        ("secret", json!("other")),
        ("host", json!("other.example")),
        ("headers", json!([["content-type", "text/plain"]])),
    ] {
        let mut other = case.clone();
        other[name] = value;
        assert_ne!(signed(&other).0, first, "{name} is not covered");
    }
    let mut same = case.clone();
    same["headers"] = json!([["user-agent", "x"]]);
    assert_eq!(signed(&same).0, first);
    assert!(!first.contains(text(case, "secret")), "{first}");
}

#[test]
fn what_cannot_be_signed_is_refused() {
    let keys = AwsKeys::new("a", "b", None);
    let scope = Scope { region: "r".to_owned(), service: "s".to_owned() };
    let mut headers = HeaderMap::new();
    headers.insert("x-amz-meta", HeaderValue::from_bytes(b"\xff").unwrap());
    let now = UNIX_EPOCH + Duration::from_secs(1);
    let signed = sign(&keys, &scope, (&Method::GET, "https://h/"), &mut headers, body_hash(&[]), now);
    assert!(signed.is_err(), "a header that is no text was signed");
}
