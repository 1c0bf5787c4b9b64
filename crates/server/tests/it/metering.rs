//! Usage of every shape, priced to the nano-dollar (P8).

use gatehouse_testkit::provider::Act;
use gatehouse_testkit::sse;
use serde_json::{Value, json};

use crate::world::{ask, configured, world};

/// Asks for a model whose reply has this usage, once streamed and once not, and returns the two records.
fn both(model: &'static str, usage: &Value) -> [Value; 2] {
    let sent = usage.clone();
    let w = world(move |seen| {
        let asked: Value = serde_json::from_slice(&seen.body).unwrap();
        if asked["stream"] == json!(true) {
            sse::streamed(model, "x", &sent)
        } else {
            sse::message(model, "x", &sent)
        }
    });
    for stream in [true, false] {
        let body = json!({"model": model, "stream": stream, "max_tokens": 9, "messages": []}).to_string();
        assert_eq!(w.gatehouse.post(&w.key, body.as_bytes()).status, 200);
    }
    w.gatehouse.exchanges().try_into().expect("two records")
}

#[test]
fn each_shape_costs_what_the_table_says() {
    // Hand-computed from the published prices, in nano-dollars.
    let table: [(&'static str, Value, i64); 9] = [
        (
            "claude-opus-5-5",
            json!({"input_tokens": 3, "output_tokens": 5, "cache_creation_input_tokens": 300,
            "cache_read_input_tokens": 1200, "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200}}),
            3 * 4_000 + 5 * 20_000 + 100 * 5_000 + 200 * 8_000 + 1200 * 200,
        ),
        (
            "claude-opus-5-5",
            json!({"input_tokens": 0, "output_tokens": 0, "cache_creation_input_tokens": 7}),
            7 * 5_000,
        ),
        (
            "claude-haiku-5-5",
            json!({"input_tokens": 1, "output_tokens": 1, "cache_read_input_tokens": 99_999}),
            100 + 500 + 99_999 * 10,
        ),
        (
            "claude-haiku-5-5",
            json!({"input_tokens": 2, "output_tokens": 1, "cache_read_input_tokens": 99_999}),
            2 * 500 + 2_500 + 99_999 * 50,
        ),
        (
            "claude-sonnet-5-5",
            json!({"input_tokens": 1, "output_tokens": 1, "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 9}}),
            2_000 + 10_000 + 3 * 10_000_000,
        ),
        (
            "claude-opus-5-5",
            json!({"input_tokens": 10, "output_tokens": 10, "inference_geo": "us"}),
            (10 * 4_000 + 10 * 20_000) * 11 / 10,
        ),
        (
            "claude-opus-5-5",
            json!({"input_tokens": 10, "output_tokens": 10, "speed": "fast"}),
            10 * 8_000 + 10 * 40_000,
        ),
        (
            "claude-sonnet-5-5",
            json!({"input_tokens": 10, "output_tokens": 10, "service_tier": "batch"}),
            10 * 1_000 + 10 * 5_000,
        ),
        (
            "claude-sonnet-5-5",
            json!({"input_tokens": 10, "output_tokens": 10, "iterations": [
            {"type": "message", "input_tokens": 10, "output_tokens": 10},
            {"type": "advisor_message", "model": "claude-opus-5-5", "input_tokens": 100, "output_tokens": 20}]}),
            10 * 2_000 + 10 * 10_000 + 100 * 4_000 + 20 * 20_000,
        ),
    ];
    for (model, usage, nanos) in table {
        for e in both(model, &usage) {
            assert_eq!(e["cost_nanos"], nanos, "{model} {usage}: {e:#}");
            assert_eq!((e["estimated"].as_bool(), e["price_basis"].as_str()), (Some(false), Some("table")));
        }
    }
}

#[test]
fn the_last_figure_of_a_stream_counts() {
    // With server tools `message_start` shows the first iteration only; `message_delta` has the sum.
    let w = world(|_| {
        let first = json!({"input_tokens": 100, "output_tokens": 1, "cache_read_input_tokens": 50});
        let last = json!({"input_tokens": 900, "output_tokens": 40, "cache_read_input_tokens": null});
        vec![
            sse::stream_head(),
            sse::chunk(&(sse::start("claude-sonnet-5-5", &first) + &sse::stop(&last))),
            sse::last_chunk(),
        ]
    });
    w.gatehouse.post(&w.key, &ask(true));
    let e = w.only_exchange();
    assert_eq!(e["cost_nanos"], 900 * 2_000 + 40 * 10_000 + 50 * 100);
}

#[test]
fn a_stream_split_at_every_byte_counts_the_same() {
    let body = sse::stream("claude-sonnet-5-5", "grüße", &sse::usage(123, 45));
    let sent = body.clone();
    let w =
        world(move |_| {
            let mut acts = vec![sse::stream_head()];
            acts.extend(sent.as_bytes().chunks(7).map(|piece| {
                Act::Send([format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat())
            }));
            acts.push(sse::last_chunk());
            acts
        });
    let reply = w.gatehouse.post(&w.key, &ask(true));
    assert_eq!(reply.text(), body);
    assert_eq!(w.only_exchange()["cost_nanos"], 123 * 2_000 + 45 * 10_000);
}

#[test]
fn an_unknown_model_is_billed_at_the_default_and_raises_an_alarm() {
    for e in both("claude-unheard-of-9", &json!({"input_tokens": 10, "output_tokens": 10})) {
        assert_eq!(
            (e["cost_nanos"].as_i64(), e["price_basis"].as_str()),
            (Some(10 * 5_000 + 10 * 25_000), Some("default"))
        );
    }
    let w = world(|_| sse::message("claude-unheard-of-9", "x", &sse::usage(1, 1)));
    w.gatehouse.post(&w.key, br#"{"model":"claude-unheard-of-9","messages":[]}"#);
    let metrics = gatehouse_testkit::http::once(&w.gatehouse.admin, "GET", "/metrics", &[], b"").text();
    assert!(metrics.contains("gatehouse_unknown_price_exchanges_total 1"), "{metrics}");
    assert!(w.gatehouse.log().contains("claude-unheard-of-9"), "no alarm in the log");
}

#[test]
fn a_contract_discount_applies_and_is_marked() {
    let w = configured("[pricing]\ndiscount_percent = 25", "sqlite", crate::world::echo(1000, 100));
    w.gatehouse.post(&w.key, &ask(false));
    let e = w.only_exchange();
    assert_eq!(e["cost_nanos"], (1000 * 2_000 + 100 * 10_000) * 3 / 4);
    assert_eq!(e["price_basis"], "contract");
}
