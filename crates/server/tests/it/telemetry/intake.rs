//! `/v1/metrics`, `/v1/logs` and `/v1/traces`.

use gatehouse_testkit::http::{Connection, once};
use serde_json::{Value, json};

use super::{JSON, claimed, costs, tell};
use crate::world::{configured, echo, stores, world};

#[test]
fn a_request_counts_once_for_who_holds_the_credential_and_apart_from_the_ledger() {
    for store in stores() {
        let w = configured("", &store, echo(1, 1));
        let body = costs(&w, &[0.5, 0.25]);
        for _ in 0..3 {
            let reply = tell(&w, "/v1/metrics", &[JSON], &body);
            assert_eq!((reply.status, reply.text().as_str()), (200, "{}"));
        }
        let rows = claimed(&w);
        assert_eq!(rows.len(), 1);
        assert_eq!(
            (rows[0]["name"].as_str(), rows[0]["cost_nanos"].as_i64()),
            (Some("dev@example.com"), Some(750_000_000))
        );
        assert_eq!(rows[0]["source"], "client");
        let ours = w.gatehouse.json(&["usage"]);
        assert_eq!(ours["items"], json!([]), "nothing of it is in the gateway's own sums");
        let told = w.gatehouse.cli(&["usage", "--source", "client"]);
        assert!(String::from_utf8_lossy(&told.stdout).contains("claims of clients"));
        assert!(w.gatehouse.exchanges().is_empty());
    }
}

#[test]
fn chunked_and_packed_requests_are_taken() {
    let w = world(echo(1, 1));
    let body = costs(&w, &[0.5]);
    let mut connection = Connection::open(&w.gatehouse.gateway);
    let head = format!(
        "POST /v1/metrics HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n",
        w.key
    );
    connection.send(head.as_bytes()).unwrap();
    for piece in body.chunks(100) {
        connection.send(format!("{:x}\r\n", piece.len()).as_bytes()).unwrap();
        connection.send(piece).unwrap();
        connection.send(b"\r\n").unwrap();
    }
    connection.send(b"0\r\n\r\n").unwrap();
    assert_eq!(connection.reply().status, 200);
    // The same, packed (stored without compression): it was counted already.
    let packed = stored_gzip(&body);
    assert_eq!(tell(&w, "/v1/metrics", &[JSON, ("content-encoding", "gzip")], &packed).status, 200);
    assert_eq!(claimed(&w)[0]["cost_nanos"], 500_000_000);
    let more = stored_gzip(&costs(&w, &[1.0]));
    assert_eq!(tell(&w, "/v1/metrics", &[JSON, ("content-encoding", "gzip")], &more).status, 200);
    assert_eq!(claimed(&w)[0]["cost_nanos"], 1_500_000_000);
}

/// RFC 1952 with one block that is stored as it is.
pub(super) fn stored_gzip(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap();
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 1];
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&(!length).to_le_bytes());
    out.extend_from_slice(bytes);
    let mut crc = 0xffff_ffff_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    out.extend_from_slice(&(!crc).to_le_bytes());
    out.extend_from_slice(&u32::from(length).to_le_bytes());
    out
}

#[test]
fn what_is_not_taken_is_answered_as_the_protocol_says() {
    let w = world(echo(1, 1));
    let large = vec![b' '; 5 * 1024 * 1024];
    for (more, body, status) in [
        (&[JSON][..], &b"{"[..], 400),
        (&[JSON], b"[]", 400),
        (&[], b"{}", 415),
        (&[("content-type", "text/plain")], b"{}", 415),
        (&[JSON, ("content-encoding", "br")], b"{}", 415),
        (&[JSON, ("content-encoding", "gzip")], b"{}", 400),
        (&[("content-type", "application/x-protobuf")], b"\x0a\x7f", 400),
        (&[JSON], &large, 413),
    ] {
        let reply = tell(&w, "/v1/metrics", more, body);
        assert_eq!(reply.status, status, "{more:?} {}", reply.text());
    }
    let told = tell(&w, "/v1/metrics", &[JSON], b"{").json();
    assert_eq!((told["code"].as_u64(), told["message"].as_str()), (Some(3), Some("the body is not JSON")));
    assert_eq!(once(&w.gatehouse.gateway, "POST", "/v1/logs", &[JSON], b"{}").status, 401);
    let bearer = format!("Bearer {}", w.key);
    let got = once(&w.gatehouse.gateway, "GET", "/v1/logs", &[("authorization", &bearer)], b"");
    assert_eq!(got.status, 405);
    assert!(claimed(&w).is_empty());
}

#[test]
fn points_that_cannot_be_counted_are_told_back() {
    let w = world(echo(1, 1));
    let mut request: Value = serde_json::from_slice(&costs(&w, &[1.0, 2.0])).unwrap();
    request["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["sum"]["aggregationTemporality"] =
        json!(0);
    let reply = tell(&w, "/v1/metrics", &[JSON], request.to_string().as_bytes());
    assert_eq!((reply.status, &reply.json()["partialSuccess"]["rejectedDataPoints"]), (200, &json!("2")));
}

#[test]
fn who_sends_too_much_is_told_to_come_again_and_others_are_not() {
    let w = configured("[telemetry]\nrequests_per_minute = 5\n", "sqlite", echo(1, 1));
    let (_, other) = w.gatehouse.key("other@example.com", &[]);
    // A minute may end in between, so that ten may be taken.
    let replies: Vec<_> = (0..11).map(|_| tell(&w, "/v1/metrics", &[JSON], &costs(&w, &[1.0]))).collect();
    let refused: Vec<_> = replies.iter().filter(|reply| reply.status == 429).collect();
    assert!(!refused.is_empty());
    assert!(refused.iter().all(|reply| reply.header("retry-after") == Some("30")));
    let bearer = format!("Bearer {other}");
    let reply = once(&w.gatehouse.gateway, "POST", "/v1/metrics", &[JSON, ("authorization", &bearer)], b"{}");
    assert_eq!(reply.status, 200);
    let counted = claimed(&w)[0]["cost_nanos"].as_i64().unwrap();
    let taken = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(counted, i64::try_from(taken).unwrap() * 1_000_000_000, "what was answered is counted");
}

#[test]
fn events_are_kept_without_what_people_write_and_what_was_counted_outlives_a_kill() {
    let mut w = world(echo(1, 1));
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let record = |name: &str, attributes: Vec<Value>| json!({"body": {"stringValue": format!("claude_code.{name}")}, "attributes": attributes});
    let body = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [
        record("user_prompt", vec![text("prompt", "canary"), text("prompt_length", "6"), text("session.id", "s-1")]),
        record("api_request", vec![text("model", "claude-opus-5-5"), text("cost_usd", "0.25"), text("duration_ms", "40")]),
        record("api_error", vec![text("status_code", "529"), text("error", "canary")]),
        record("tool_result", vec![text("tool_name", "Bash"), text("success", "false"), text("tool_input", "canary")]),
        record("feedback_survey", vec![text("event_type", "responded"), text("response", "good")]),
        record("imagined", vec![]),
    ]}]}]});
    assert_eq!(tell(&w, "/v1/logs", &[JSON], body.to_string().as_bytes()).status, 200);
    w.gatehouse.kill();
    w.gatehouse.restart();
    let row = &claimed(&w)[0];
    assert_eq!((row["requests"].as_i64(), row["errors"].as_i64()), (Some(1), Some(1)));
    assert_eq!((row["cost_nanos"].as_i64(), row["mean_duration_ms"].as_i64()), (Some(250_000_000), Some(40)));
    for (key, count) in
        [("prompts", 1), ("tool_calls", 1), ("tool_failures", 1), ("surveys_answered", 1), ("sessions", 0)]
    {
        assert_eq!(row["client"][key], count, "{key}");
    }
    let listed = w.gatehouse.cli(&["telemetry", "events"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(listed.lines().count(), 5, "{listed}");
    assert!(!listed.contains("canary"), "{listed}");
    let named = w.gatehouse.cli(&["telemetry", "events", "--name", "feedback_survey"]);
    let survey: Value = serde_json::from_slice(&named.stdout).unwrap();
    assert_eq!(
        (&survey["attributes"]["response"], &survey["user"]),
        (&json!("good"), &json!("dev@example.com"))
    );
}
