//! Three providers that fail at random, thousands of conversations: nobody gets half a reply for a whole one, every record is
//! true, what is charged is what was served, and no signature goes where it is not valid.
//!
//! `GATEHOUSE_TEST_CHAOS` sets the number of conversations.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use gatehouse_testkit::http::{Connection, Reply};
use gatehouse_testkit::provider::{Act, Seen};
use gatehouse_testkit::sse;
use serde_json::{Value, json};

use super::{Several, several};
use crate::world::MODEL;

const NAMES: [&str; 3] = ["main", "b", "c"];
const FAMILIES: [&str; 3] = ["x", "x", "y"];
const TURNS: usize = 2;
const THREADS: usize = 24;

/// By session and turn: provider and what it did.
type Done = HashMap<(String, u64), Vec<(usize, &'static str)>>;

/// What the providers saw and did.
#[derive(Default)]
struct Log {
    done: Mutex<Done>,
    crossed: Mutex<Vec<String>>,
    draws: AtomicUsize,
}

/// Numbers that look random and are the same in every run.
fn draw(n: usize) -> usize {
    let mut n = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    usize::try_from((n ^ (n >> 31)) % 1000).unwrap()
}

/// Tokens of a turn, so that each reply costs something else.
fn tokens(provider: usize, session: &str, turn: u64) -> (u64, u64) {
    let n: u64 = session.trim_start_matches("conv-").parse().unwrap();
    (100 + n, 10 * (turn + 1) + provider as u64)
}

fn said(provider: usize, session: &str, turn: u64) -> String {
    format!("<{} of {session} by {}>", turn, NAMES[provider])
}

fn whole(provider: usize, session: &str, turn: u64) -> String {
    let (input, output) = tokens(provider, session, turn);
    let usage = sse::usage(input, output);
    let signature = format!("sig.{}.{session}.{turn}", FAMILIES[provider]);
    let delta = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": signature}});
    sse::start(MODEL, &usage)
        + &sse::event(&delta)
        + &sse::text(&said(provider, session, turn))
        + &sse::stop(&usage)
}

/// The same as one document.
fn document(provider: usize, session: &str, turn: u64) -> String {
    let (input, output) = tokens(provider, session, turn);
    let signature = format!("sig.{}.{session}.{turn}", FAMILIES[provider]);
    let content = json!([{"type": "thinking", "thinking": "", "signature": signature},
        {"type": "text", "text": said(provider, session, turn)}]);
    json!({"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "content": content, "stop_reason": "end_turn",
        "usage": sse::usage(input, output)})
    .to_string()
}

/// A document of which only this much comes.
fn part_of(document: &str, sent: usize, then: Act) -> Vec<Act> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
    vec![Act::Send(format!("{head} {}\r\n\r\n{}", document.len(), &document[..sent]).into_bytes()), then]
}

/// Whether a conversation is streamed: every other one.
fn is_streamed(session: &str) -> bool {
    session.ends_with(['0', '2', '4', '6', '8'])
}

/// One provider: a fifth of what it is asked fails, in each of the ways there are.
fn answer(provider: usize, log: &Log, seen: &Seen) -> Vec<Act> {
    let asked: Value = serde_json::from_slice(&seen.body).expect("the body arrives whole");
    let (session, turn) =
        (asked["metadata"]["user_id"].as_str().unwrap().to_owned(), asked["turn"].as_u64().unwrap());
    for foreign in FAMILIES.iter().filter(|family| **family != FAMILIES[provider]) {
        if asked["messages"].to_string().contains(&format!("sig.{foreign}.")) {
            log.crossed.lock().unwrap().push(format!("{session} at {}", NAMES[provider]));
        }
    }
    let text = whole(provider, &session, turn);
    let part = |wanted: &str| text[..text.find(wanted).unwrap() + wanted.len()].to_owned();
    let error =
        |status, kind| sse::plain(status, &json!({"type": "error", "error": {"type": kind, "message": "m"}}));
    let stream = |text: &str, end: Act| vec![sse::stream_head(), sse::chunk(text), end];
    let (is_streamed, plain) = (is_streamed(&session), document(provider, &session, turn));
    let (what, acts) = match draw(log.draws.fetch_add(1, Ordering::Relaxed)) {
        0..33 => ("429", error(429, "rate_limit_error")),
        33..66 => ("529", error(529, "overloaded_error")),
        66..99 => ("500", error(500, "api_error")),
        99..132 => ("reset", vec![Act::Close]),
        132..137 => ("stall", vec![Act::Hang]),
        137..140 if is_streamed => ("stalled head", vec![sse::stream_head(), Act::Hang]),
        137..140 => ("stalled head", part_of(&plain, 0, Act::Hang)),
        140..155 => ("garbage", vec![Act::Send(b"\x16\x03\x01 no HTTP at all\r\n\r\n".to_vec()), Act::Close]),
        155..170 => ("page", sse_page()),
        170..185 if !is_streamed => ("cut before", part_of(&plain, 0, Act::Close)),
        170..185 => ("cut before", stream(&text[..40], Act::Close)),
        185..200 if !is_streamed => ("cut", part_of(&plain, plain.len() / 2, Act::Close)),
        185..200 => ("cut", stream(&part(&said(provider, &session, turn)), Act::Close)),
        _ if !is_streamed => ("served", part_of(&plain, plain.len(), Act::Pause(std::time::Duration::ZERO))),
        _ => ("served", stream(&text, sse::last_chunk())),
    };
    log.done.lock().unwrap().entry((session, turn)).or_default().push((provider, what));
    acts
}

fn sse_page() -> Vec<Act> {
    vec![Act::Send(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>".to_vec())]
}

/// What the client made of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Got {
    /// A whole reply, by this provider.
    Whole(usize),
    /// A reply that says that it breaks off.
    Told,
    /// An error with this status.
    Error(u16),
}

fn got(reply: &Reply, session: &str, turn: u64) -> Got {
    let text = reply.text();
    if reply.status != 200 {
        assert!(reply.complete && reply.json()["type"] == "error", "no error of the API: {text}");
        return Got::Error(reply.status);
    }
    if !is_streamed(session) {
        // A document that is cut is known to be by its length.
        let by = |provider: &usize| document(*provider, session, turn) == text;
        return if reply.complete {
            Got::Whole((0..3).find(by).expect("whole, and somebody's"))
        } else {
            Got::Told
        };
    }
    if let Some(provider) = (0..3).find(|provider| whole(*provider, session, turn) == text) {
        assert!(reply.complete);
        return Got::Whole(provider);
    }
    let (before, after) =
        text.split_once("event: error\n").unwrap_or_else(|| panic!("cut without a word: {text}"));
    assert!(after.starts_with("data: ") && after.ends_with("\n\n"), "{text}");
    assert!(
        before.is_empty() || (0..3).any(|provider| whole(provider, session, turn).starts_with(before)),
        "corrupted: {text}"
    );
    Got::Told
}

fn converse(w: &Several, session: &str) -> Vec<Got> {
    let mut messages = vec![json!({"role": "user", "content": "hi"})];
    let mut all = Vec::new();
    for turn in 0..TURNS as u64 {
        let body = json!({"model": MODEL, "max_tokens": 100, "stream": is_streamed(session), "turn": turn, "metadata": {"user_id": session},
            "messages": messages});
        let mut connection = Connection::open(&w.gatehouse.gateway);
        let headers = [("x-api-key", w.key.as_str()), ("x-claude-code-session-id", session)];
        connection.request("POST", "/v1/messages", &headers, body.to_string().as_bytes());
        let got = got(&connection.reply(), session, turn);
        if let Got::Whole(provider) = got {
            let signature = format!("sig.{}.{session}.{turn}", FAMILIES[provider]);
            messages.push(json!({"role": "assistant", "content": [{"type": "thinking", "thinking": "", "signature": signature}]}));
            messages.push(json!({"role": "user", "content": "and"}));
        }
        all.push(got);
    }
    all
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how much is for who runs it")]
fn chaos_corrupts_nothing_and_every_record_is_true() {
    let count: usize =
        std::env::var("GATEHOUSE_TEST_CHAOS").ok().and_then(|n| n.parse().ok()).unwrap_or(1500);
    let each = FAMILIES.map(|family| {
        format!("signature_family = \"{family}\"\nfirst_byte_seconds = 1\nstream_idle_seconds = 1\n")
    });
    let each: Vec<&str> = each.iter().map(String::as_str).collect();
    let config = "[routing]\ncooldown_seconds = 0\nretry_percent = 100\nhealth_check_seconds = 0\n[[route]]\nname = \"pool\"\n\
        [[route.providers]]\nname = \"main\"\n[[route.providers]]\nname = \"b\"\n[[route.providers]]\nname = \"c\"\n";
    let w = several(3, &each, config);
    let log = Arc::new(Log::default());
    for (n, provider) in w.providers.iter().enumerate() {
        let log = Arc::clone(&log);
        provider.now(move |seen| answer(n, &log, seen));
    }
    let (next, seen) = (AtomicUsize::new(0), Mutex::new(HashMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return;
                    }
                    let session = format!("conv-{n}");
                    let got = converse(&w, &session);
                    seen.lock().unwrap().insert(session, got);
                }
            });
        }
    });
    assert_eq!(*log.crossed.lock().unwrap(), Vec::<String>::new(), "signatures crossed");
    judge(&w, &log, &seen.into_inner().unwrap());
}

/// Compares every record with what the client got and what the providers did.
fn judge(w: &Several, log: &Log, seen: &HashMap<String, Vec<Got>>) {
    let done = log.done.lock().unwrap();
    let mut records: HashMap<String, Vec<Value>> = HashMap::new();
    for e in w.gatehouse.exchanges() {
        records.entry(e["session"].as_str().unwrap().to_owned()).or_default().push(e);
    }
    let (mut charged, mut served, mut asked, mut failed_over, mut kinds) =
        (0, 0, 0, 0, HashMap::<String, usize>::new());
    for (session, gots) in seen {
        let of = &records[session];
        assert_eq!(of.len(), gots.len(), "one record each");
        for (turn, (got, e)) in gots.iter().zip(of).enumerate() {
            let turn = turn as u64;
            let none = Vec::new();
            let acts = done.get(&(session.clone(), turn)).unwrap_or(&none);
            let attempts = e["attempts"].as_array().unwrap();
            asked += acts.len();
            failed_over += usize::from(!attempts.is_empty());
            let told: Vec<&str> = attempts.iter().map(|a| a["provider"].as_str().unwrap()).collect();
            let was_refused = e["ended"] == "refused";
            let asked_names: Vec<&str> = acts.iter().map(|(provider, _)| NAMES[*provider]).collect();
            let last = e["provider"].as_str().filter(|_| !was_refused);
            assert_eq!(told.iter().copied().chain(last).collect::<Vec<_>>(), asked_names, "{e:#} {acts:?}");
            match got {
                Got::Whole(provider) => {
                    let (input, output) = tokens(*provider, session, turn);
                    assert_eq!(
                        (e["ended"].as_str(), e["provider"].as_str()),
                        (Some("completed"), Some(NAMES[*provider]))
                    );
                    let usage = (e["usage"]["input_tokens"].as_u64(), e["usage"]["output_tokens"].as_u64());
                    assert_eq!(usage, (Some(input), Some(output)));
                    assert_eq!((e["estimated"].as_bool(), e["status"].as_u64()), (Some(false), Some(200)));
                    charged += e["cost_nanos"].as_u64().unwrap();
                }
                Got::Told => assert_eq!(
                    (e["ended"].as_str(), e["status"].as_u64()),
                    (Some("upstream_failed"), Some(200)),
                    "{e:#}"
                ),
                Got::Error(status) => {
                    assert_eq!(e["status"], *status, "{e:#}");
                    assert_ne!(e["ended"], "completed");
                }
            }
            for (provider, what) in acts {
                *kinds.entry((*what).to_owned()).or_default() += 1;
                let (input, output) = tokens(*provider, session, turn);
                served += if *what == "served" { input * 2_000 + output * 10_000 } else { 0 };
            }
        }
    }
    assert_eq!(charged, served, "what whole replies cost is what was served");
    let whole = seen.values().flatten().filter(|got| matches!(got, Got::Whole(_))).count();
    let all = seen.len() * TURNS;
    let told = format!(
        "{all} requests, {asked} attempts, {failed_over} failed over, {whole} whole replies; {kinds:?}"
    );
    // For the documentation, where the run is a long one.
    std::io::Write::write_all(&mut std::io::stderr(), format!("{told}\n").as_bytes()).unwrap();
    assert!(whole * 100 >= all * 80, "failing over helps: {told}");
    assert!(asked <= all * 2, "no storm: {told}");
}
