//! Event-stream frames against botocore, Amazon's own client library for Python: it reads ours, and we read what it reads.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]
#![expect(
    clippy::disallowed_methods,
    reason = "where the reference implementation is, is said by a variable"
)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use base64ct::Encoding as _;
use gatehouse_providers::cloud::Frames;
use gatehouse_providers::eventstream::{Decoder, encode};
use serde_json::{Value, json};

/// What the oracle says to each line; nothing where there is no botocore.
#[expect(clippy::print_stderr, reason = "a part that is not tested must be named")]
fn ask(lines: &[Value]) -> Option<Vec<Value>> {
    let python = std::env::var("GATEHOUSE_TEST_BOTOCORE").unwrap_or_else(|_| "python3".to_owned());
    let has =
        Command::new(&python).args(["-c", "import botocore.eventstream"]).stderr(Stdio::null()).status();
    if !has.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED, NOT TESTED: frames against botocore. `{python}` has no botocore");
        return None;
    }
    let oracle = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/frames_oracle.py");
    let mut child =
        Command::new(&python).arg(oracle).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let text = lines.iter().fold(String::new(), |text, line| text + &line.to_string() + "\n");
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let answers: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), lines.len());
    Some(answers)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Numbers that look random, the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % limit).unwrap()
    }
}

#[test]
fn botocore_reads_our_frames() {
    let mut numbers = Numbers(7);
    let mut lines = Vec::new();
    let mut expected = Vec::new();
    for n in 0..400 {
        let kind = format!("kind-{n}-{}", "é".repeat(numbers.below(50)));
        let payload: Vec<u8> =
            (0..numbers.below(3000)).map(|_| u8::try_from(numbers.below(256)).unwrap()).collect();
        let headers = [(":event-type", kind.as_str()), ("x", ""), (":message-type", "event")];
        let bytes = encode(&headers, &payload).unwrap();
        lines.push(json!({"frames": hex(&bytes), "pieces": 1 + numbers.below(700)}));
        expected.push(json!([[{":event-type": kind, "x": "", ":message-type": "event"}, hex(&payload)]]));
    }
    let Some(answers) = ask(&lines) else { return };
    for (answer, expected) in answers.iter().zip(&expected) {
        assert_eq!(answer, expected);
    }
}

#[test]
fn botocore_reads_a_streamed_reply_of_ours() {
    let data = r#"{"type":"content_block_delta","delta":{"text":"é\n"}}"#;
    let text =
        format!("event: content_block_delta\ndata: {data}\n\nevent: ping\ndata: {{\"type\": \"ping\"}}\n\n");
    let bytes = Frames::default().feed(text.as_bytes());
    let Some(answers) = ask(&[json!({"frames": hex(&bytes), "pieces": 5})]) else { return };
    let frames = answers[0].as_array().unwrap();
    assert_eq!(
        (frames.len(), &frames[0][0][":event-type"], &frames[1][0][":event-type"]),
        (2, &json!("chunk"), &json!("ping"))
    );
    let payload: Value = serde_json::from_slice(&unhex(frames[0][1].as_str().unwrap())).unwrap();
    assert_eq!(base64ct::Base64::decode_vec(payload["bytes"].as_str().unwrap()).unwrap(), data.as_bytes());
}

#[test]
fn we_read_what_botocore_reads() {
    let lines: Vec<Value> = (0..300).map(|seed| json!({"make": seed})).collect();
    let Some(answers) = ask(&lines) else { return };
    let mut numbers = Numbers(9);
    for answer in answers {
        let (mut decoder, mut seen) = (Decoder::default(), Vec::new());
        for piece in unhex(answer["frames"].as_str().unwrap()).chunks(1 + numbers.below(5000)) {
            let fed = decoder.feed(piece, |frame| {
                seen.push(json!([frame.text(":event-type"), hex(frame.payload)]));
            });
            fed.unwrap();
        }
        assert!(decoder.is_between_frames());
        assert_eq!(Value::Array(seen), answer["read"]);
    }
}
