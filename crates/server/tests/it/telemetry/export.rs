//! Our own traces, metrics and logs, as a collector gets them; and one that is away, or wants to be left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gatehouse_testkit::gatehouse::Builder;
use gatehouse_testkit::leak::{Planted, search};
use gatehouse_testkit::provider::{Act, FakeProvider, Seen, UPSTREAM_KEY};
use gatehouse_testkit::{http, sse, wait};
use serde_json::json;

use crate::routing::{failing, several};
use crate::world::{MODEL, World, ask, built, echo};

/// A message of Protobuf, without knowing what it means: fields by number, in their order.
struct Message(Vec<(u64, Wire)>);

#[derive(Clone)]
enum Wire {
    Number(u64),
    Bytes(Vec<u8>),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for at in 0.. {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

impl Message {
    fn read(mut bytes: &[u8]) -> Self {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes);
            let mut take = |count: usize| {
                let (taken, rest) = bytes.split_at(count);
                bytes = rest;
                taken.to_vec()
            };
            let field = match tag & 7 {
                1 => Wire::Number(u64::from_le_bytes(take(8).try_into().unwrap())),
                5 => Wire::Number(u32::from_le_bytes(take(4).try_into().unwrap()).into()),
                0 => Wire::Number(varint(&mut bytes)),
                2 => {
                    let count = usize::try_from(varint(&mut bytes)).unwrap();
                    let (taken, rest) = bytes.split_at(count);
                    bytes = rest;
                    Wire::Bytes(taken.to_vec())
                }
                other => panic!("wire type {other}"),
            };
            fields.push((tag >> 3, field));
        }
        Self(fields)
    }

    fn all(&self, field: u64) -> impl Iterator<Item = &Wire> {
        self.0.iter().filter(move |(number, _)| *number == field).map(|(_, wire)| wire)
    }

    fn number(&self, field: u64) -> Option<u64> {
        self.all(field).find_map(|wire| match wire {
            Wire::Number(number) => Some(*number),
            Wire::Bytes(_) => None,
        })
    }

    fn bytes(&self, field: u64) -> Vec<Vec<u8>> {
        let bytes = self.all(field).filter_map(|wire| match wire {
            Wire::Bytes(bytes) => Some(bytes.clone()),
            Wire::Number(_) => None,
        });
        bytes.collect()
    }

    fn one(&self, field: u64) -> Vec<u8> {
        self.bytes(field).into_iter().next().unwrap_or_default()
    }

    fn text(&self, field: u64) -> String {
        String::from_utf8(self.one(field)).unwrap()
    }

    fn messages(&self, field: u64) -> Vec<Self> {
        self.bytes(field).iter().map(|bytes| Self::read(bytes)).collect()
    }

    /// Attributes by their keys, as texts.
    fn attributes(&self, field: u64) -> BTreeMap<String, String> {
        let text = |value: &Self| match value.0.first().expect("a value is something") {
            (1, _) => value.text(1),
            (2, Wire::Number(yes)) => (*yes == 1).to_string(),
            (3, Wire::Number(whole)) => whole.to_string(),
            (4, Wire::Number(bits)) => f64::from_bits(*bits).to_string(),
            (5, _) => value.messages(5)[0].messages(1).iter().map(|any| any.text(1)).collect(),
            (other, _) => panic!("value {other}"),
        };
        let pairs = self.messages(field);
        pairs.iter().map(|pair| (pair.text(1), text(&pair.messages(2)[0]))).collect()
    }
}

/// A collector: what it was sent.
struct Collector {
    fake: FakeProvider,
    kept: Mutex<Vec<Seen>>,
}

fn taken() -> Vec<Act> {
    vec![Act::Send(
        b"HTTP/1.1 200 X\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n".to_vec(),
    )]
}

impl Collector {
    fn start() -> Self {
        Self { fake: FakeProvider::start(|_| taken()), kept: Mutex::default() }
    }

    fn config(&self, more: &str) -> String {
        format!(
            "[telemetry.export]\nendpoint = \"{}\"\nheaders = {{ x-collector = \"env:UPSTREAM_KEY\" }}\n\
             resource = {{ \"deployment.environment.name\" = \"test\" }}\nmetrics_seconds = 1\ndelay_seconds = 1\n{more}",
            self.fake.url
        )
    }

    /// All items of a signal so far: of each its resource's attributes, too.
    fn items(&self, signal: &str) -> Vec<(BTreeMap<String, String>, Message)> {
        let mut kept = self.kept.lock().unwrap();
        while self.fake.unseen() > 0 {
            kept.push(self.fake.seen());
        }
        let line = format!("POST /v1/{signal}");
        let mut out = Vec::new();
        for seen in kept.iter().filter(|seen| seen.line == line) {
            assert_eq!(seen.header("content-type"), Some("application/x-protobuf"));
            assert_eq!(seen.header("x-collector"), Some(UPSTREAM_KEY));
            for group in Message::read(&seen.body).messages(1) {
                let resource = group.messages(1)[0].attributes(1);
                for scope in group.messages(2) {
                    assert_eq!(scope.messages(1)[0].text(1), "gatehouse");
                    out.extend(scope.messages(2).into_iter().map(|item| (resource.clone(), item)));
                }
            }
        }
        out
    }

    /// Waits for so many spans.
    fn spans(&self, count: usize) -> Vec<Message> {
        let found = wait::until("spans at the collector", || {
            let items = self.items("traces");
            (items.len() >= count).then_some(items)
        });
        assert_eq!(found.len(), count);
        found.into_iter().map(|(_, span)| span).collect()
    }

    /// The newest of a metric; none before it came.
    fn metric(&self, name: &str) -> Option<Message> {
        self.items("metrics").into_iter().map(|(_, metric)| metric).rfind(|one| one.text(1) == name)
    }
}

fn world(collector: &Collector, more: &str) -> World {
    built(
        |builder: Builder| builder.config(&collector.config(more)),
        |seen| {
            let used = json!({"input_tokens": 100, "output_tokens": 7, "cache_creation_input_tokens": 20,
                          "cache_read_input_tokens": 3000});
            let body: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
            let said = "the secret answer";
            if body["stream"] == json!(true) {
                sse::streamed(MODEL, said, &used)
            } else {
                sse::message(MODEL, said, &used)
            }
        },
    )
}

fn post(w: &World, parent: Option<&str>) -> u16 {
    let mut headers = vec![("x-api-key", w.key.as_str()), ("x-claude-code-session-id", "session-one")];
    headers.extend(parent.map(|parent| ("traceparent", parent)));
    http::once(&w.gatehouse.gateway, "POST", "/v1/messages", &headers, &ask(true)).status
}

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ca902c7-01";

fn hexadecimal(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// A counter's or a gauge's value on `/metrics`, all series of it together.
fn shown(w: &World, name: &str, label: &str) -> f64 {
    let text = http::once(&w.gatehouse.admin, "GET", "/metrics", &[], b"").text();
    let of = |line: &&str| line.starts_with(&format!("{name}{{")) && line.contains(label);
    text.lines().filter(of).map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
}

#[test]
fn a_request_is_a_trace_that_continues_the_clients_by_either_version_of_the_conventions() {
    for (version, key, other) in [
        ("1.36", "gen_ai.system", "gen_ai.provider.name"),
        ("latest", "gen_ai.provider.name", "gen_ai.system"),
    ] {
        let collector = Collector::start();
        let is_latest = version == "latest";
        let more = format!("semantic_conventions = \"{version}\"\npass_on_trace = {is_latest}\n");
        let w = world(&collector, &more);
        assert_eq!(post(&w, Some(PARENT)), 200);
        let seen = w.provider.seen();
        let spans = collector.spans(2);
        let (server, client) = (&spans[0], &spans[1]);
        for span in &spans {
            assert_eq!(hexadecimal(&span.one(1)), "4bf92f3577b34da6a3ce929d0e0e4736");
            let (from, to) = (span.number(7).unwrap(), span.number(8).unwrap());
            assert!(from > 1_700_000_000_000_000_000 && to >= from);
        }
        assert_eq!((server.text(5).as_str(), server.number(6)), ("POST messages", Some(2)));
        assert_eq!(hexadecimal(&server.one(4)), "00f067aa0ca902c7", "the client's span is its parent");
        assert_eq!(server.number(16), Some(0x301), "which is another program's");
        assert_eq!((client.text(5), client.number(6)), (format!("chat {MODEL}"), Some(3)));
        assert_eq!(client.one(4), server.one(2));
        assert_ne!(client.one(2), server.one(2));
        let (of_server, of_client) = (server.attributes(9), client.attributes(9));
        let exchange = w.only_exchange();
        for (key, expected) in [
            ("http.request.method", "POST"),
            ("http.response.status_code", "200"),
            ("session.id", "session-one"),
            ("gatehouse.ended", "completed"),
            ("gatehouse.exchange.id", exchange["id"].as_str().unwrap()),
            ("gatehouse.cost.nanodollars", &exchange["cost_nanos"].to_string()),
        ] {
            assert_eq!(of_server.get(key).map(String::as_str), Some(expected), "{key}: {of_server:#?}");
        }
        for (key, expected) in [
            ("gen_ai.operation.name", "chat"),
            (key, "anthropic"),
            ("gen_ai.request.model", MODEL),
            ("gen_ai.response.model", MODEL),
            ("gen_ai.response.finish_reasons", "end_turn"),
            ("gen_ai.usage.input_tokens", "3120"),
            ("gen_ai.usage.output_tokens", "7"),
            ("server.address", "127.0.0.1"),
            ("gatehouse.provider", "main"),
        ] {
            assert_eq!(of_client.get(key).map(String::as_str), Some(expected), "{key}: {of_client:#?}");
        }
        assert!(!of_client.contains_key(other) && !of_client.contains_key("error.type"));
        let cached = of_client.get("gen_ai.usage.cache_read.input_tokens").map(String::as_str);
        assert_eq!(cached, is_latest.then_some("3000"));
        let told = seen.header("traceparent");
        if is_latest {
            let expected = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", hexadecimal(&client.one(2)));
            assert_eq!(told, Some(expected.as_str()));
        } else {
            assert_eq!(told, None, "providers are not told unless that is wanted");
        }
        let resource = &collector.items("traces")[0].0;
        let of = |key: &str| resource.get(key).map(String::as_str);
        assert_eq!(
            (of("service.name"), of("deployment.environment.name")),
            (Some("gatehouse"), Some("test"))
        );
        assert!(of("service.instance.id").is_some_and(|node| node.starts_with("nod_")), "{resource:?}");
    }
}

#[test]
fn every_attempt_has_a_span_and_a_refusal_has_none() {
    let collector = Collector::start();
    let w = several(2, &[], &collector.config(""));
    w.providers[0].now(failing(529, "overloaded_error"));
    assert_eq!(w.post("s", &ask(false)).status, 200);
    let spans = collector.spans(3);
    let error = |at: usize| spans[at].attributes(9).get("error.type").cloned();
    let provider = |at: usize| spans[at].attributes(9).get("gatehouse.provider").cloned();
    assert_eq!((provider(1).as_deref(), error(1).as_deref()), (Some("main"), Some("overloaded")));
    assert_eq!((provider(2).as_deref(), error(2)), (Some("b"), None));
    assert!(spans[1..].iter().all(|span| span.one(4) == spans[0].one(2)), "the request's is their parent");
    assert_eq!(spans[1].messages(15)[0].number(3), Some(2), "it failed");
    assert!(spans[0].messages(15).is_empty(), "the request did not");
    assert!(spans[1].number(8) <= spans[2].number(7), "one after the other");
    // A stranger asks nobody, and its word for a trace makes nobody record it.
    let reply =
        http::once(&w.gatehouse.gateway, "POST", "/v1/messages", &[("x-api-key", "gh_wrong")], &ask(false));
    assert_eq!(reply.status, 401);
    let spans = collector.spans(4);
    let attributes = spans[3].attributes(9);
    assert_eq!(attributes.get("gatehouse.ended").map(String::as_str), Some("refused"), "{attributes:#?}");
    assert!(!attributes.contains_key("gatehouse.user.id") && spans[3].messages(15).is_empty());
}

#[test]
fn the_client_decides_for_its_own_trace_and_the_ratio_for_others() {
    let collector = Collector::start();
    let w = world(&collector, "sample_ratio = 0\n");
    assert_eq!(post(&w, None), 200);
    assert_eq!(post(&w, Some(&PARENT.replace("-01", "-00"))), 200);
    let stranger = [("x-api-key", "gh_wrong"), ("traceparent", PARENT)];
    assert_eq!(http::once(&w.gatehouse.gateway, "POST", "/v1/messages", &stranger, &ask(false)).status, 401);
    assert_eq!(post(&w, Some(PARENT)), 200);
    // Exchanges go through one queue: what came before would be here.
    let spans = collector.spans(2);
    assert_eq!(hexadecimal(&spans[0].one(4)), "00f067aa0ca902c7");
    // What is not recorded counts nevertheless.
    wait::until("the figure of three requests", || {
        let metric = collector.metric("gen_ai.client.operation.duration")?;
        (metric.messages(9)[0].messages(1)[0].number(4) == Some(3)).then_some(())
    });
}

#[test]
fn metrics_are_what_metrics_says_and_the_conventions_histograms() {
    let collector = Collector::start();
    let w = world(&collector, "signals = [\"metrics\"]\nsemantic_conventions = \"latest\"\n");
    assert_eq!(post(&w, None), 200);
    let usage = wait::until("the tokens", || collector.metric("gen_ai.client.token.usage"));
    assert_eq!(usage.text(3), "{token}");
    let histogram = &usage.messages(9)[0];
    assert_eq!(histogram.number(2), Some(2), "cumulative");
    let sums: BTreeMap<String, (Option<u64>, f64)> = histogram
        .messages(1)
        .iter()
        .map(|point| {
            let attributes = point.attributes(9);
            assert_eq!(attributes["gen_ai.provider.name"], "anthropic");
            assert_eq!((point.one(6).len(), point.one(7).len()), (15 * 8, 14 * 8));
            let kind = attributes["gen_ai.token.type"].clone();
            (kind, (point.number(4), f64::from_bits(point.number(5).unwrap())))
        })
        .collect();
    let expected =
        BTreeMap::from([("input".to_owned(), (Some(1), 3120.0)), ("output".to_owned(), (Some(1), 7.0))]);
    assert_eq!(sums, expected);
    let first =
        wait::until("the first chunk", || collector.metric("gen_ai.client.operation.time_to_first_chunk"));
    assert_eq!(first.messages(9)[0].messages(1)[0].number(4), Some(1));
    // Once it is there, all that `/metrics` has is.
    let counted = wait::until("the exchange", || {
        let metric = collector.metric("gatehouse_exchanges_total")?;
        let sum = &metric.messages(7)[0];
        let is_one = |point: &Message| {
            let attributes = point.attributes(7);
            attributes["kind"] == "messages"
                && attributes["ended"] == "completed"
                && point.number(4) == Some(1_f64.to_bits())
        };
        (sum.number(3) == Some(1) && sum.messages(1).iter().any(is_one)).then_some(metric)
    });
    assert_eq!(counted.text(2), "Finished exchanges by kind of request and how they ended");
    let text = http::once(&w.gatehouse.admin, "GET", "/metrics", &[], b"").text();
    let has_value = |name: &str| {
        text.lines()
            .filter_map(|line| line.strip_prefix(name))
            .any(|rest| (rest.starts_with(['{', ' ']) || rest.starts_with("_sum")) && !rest.ends_with(" NaN"))
    };
    let names: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .filter(|name| has_value(name))
        .collect();
    assert!(names.len() > 30, "{names:?}");
    wait::until("all of them", || {
        let sent: BTreeSet<String> =
            collector.items("metrics").iter().map(|(_, metric)| metric.text(1)).collect();
        names.iter().all(|name| sent.contains(*name)).then_some(())
    });
    assert!(collector.items("traces").is_empty() && collector.items("logs").is_empty());
    // Who gets metrics sent need not read them.
    let ready = String::from_utf8(w.gatehouse.cli(&["--json", "doctor"]).stdout).unwrap();
    assert!(ready.contains("/metrics was read "), "{ready}");
}

#[test]
fn a_collector_that_is_away_holds_nobody_up_and_what_finds_no_room_is_counted() {
    let collector = Collector::start();
    collector.fake.now(|_| vec![Act::Close]);
    let w = world(&collector, "queue = 1\nsignals = [\"traces\", \"logs\"]\n");
    assert_eq!(post(&w, None), 200);
    wait::until("a failure", || {
        (shown(&w, "gatehouse_telemetry_export_failures_total", "traces") > 0.0).then_some(())
    });
    assert!(shown(&w, "gatehouse_telemetry_export_failing", "traces") > 0.0);
    wait::until("a drop", || {
        assert_eq!(post(&w, None), 200, "requests go on");
        let label = "signal=\"traces\",reason=\"no_room\"";
        (shown(&w, "gatehouse_telemetry_export_dropped_total", label) > 0.0).then_some(())
    });
    assert!(w.gatehouse.log().contains("our own telemetry is not taken by the collector now"));
    // Forget what was sent in vain.
    drop(collector.items("traces"));
    collector.kept.lock().unwrap().clear();
    collector.fake.now(|_| taken());
    wait::until("what waited", || (!collector.items("traces").is_empty()).then_some(()));
    wait::until("the end of it in the log", || {
        w.gatehouse.log().contains("our own telemetry is taken by the collector again").then_some(())
    });
    let before = collector.items("traces").len();
    wait::until("new ones", || {
        assert_eq!(post(&w, None), 200);
        (collector.items("traces").len() > before).then_some(())
    });
}

#[test]
fn a_collector_is_left_alone_as_long_as_it_asks_and_what_it_refuses_is_not_sent_again() {
    let collector = Collector::start();
    let came: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let noted = Arc::clone(&came);
    collector.fake.now(move |_| {
        let mut came = noted.lock().unwrap();
        came.push(Instant::now());
        match came.len() {
            1 => vec![Act::Send(b"HTTP/1.1 429 X\r\nretry-after: 3\r\ncontent-length: 0\r\n\r\n".to_vec())],
            2 => sse::plain(503, &json!({})),
            3 => taken(),
            4 => sse::plain(400, &json!({})),
            // Two of the items were not taken.
            _ => vec![Act::Send(b"HTTP/1.1 200 X\r\ncontent-length: 4\r\n\r\n\x0a\x02\x08\x02".to_vec())],
        }
    });
    let w = world(&collector, "signals = [\"traces\"]\n");
    assert_eq!(post(&w, None), 200);
    let tries = [collector.fake.seen(), collector.fake.seen(), collector.fake.seen()];
    assert!(tries.iter().all(|seen| seen.body == tries[0].body), "the same again");
    let times = came.lock().unwrap().clone();
    assert!(times[1] - times[0] >= Duration::from_secs(3), "not before it is asked to");
    let dropped = || shown(&w, "gatehouse_telemetry_export_dropped_total", "refused");
    wait::until("the spans to count as taken", || {
        (shown(&w, "gatehouse_telemetry_export_sent_total", "traces") > 1.0).then_some(())
    });
    assert!(dropped() < 1.0);
    assert_eq!(post(&w, None), 200);
    wait::until("the refusal to be counted", || (dropped() > 1.0).then_some(()));
    assert_eq!(post(&w, None), 200);
    wait::until("the rest to be counted", || (dropped() > 3.0).then_some(()));
    let bodies = [collector.fake.seen().body, collector.fake.seen().body];
    assert!(bodies[0] != bodies[1] && bodies[0] != tries[0].body, "what is refused is not sent again");
}

#[test]
fn no_secret_and_no_content_is_sent_and_it_is_switched_on_and_off_while_running() {
    let collector = Collector::start();
    let w = built(|builder: Builder| builder, echo(5, 5));
    let body = json!({"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "the planted prompt"}]});
    assert_eq!(w.gatehouse.post(&w.key, body.to_string().as_bytes()).status, 200);
    assert_eq!(collector.fake.unseen(), 0, "it is off");
    let file = w.gatehouse.dir().join("gatehouse.toml");
    let without = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{without}\n{}", collector.config(""))).unwrap();
    let done = w.gatehouse.json(&["config", "reload"]);
    assert!(done["changed"].to_string().contains("telemetry.export.endpoint"), "{done}");
    wait::until("the first metrics", || collector.metric("gatehouse_exchanges_total"));
    assert_eq!(w.gatehouse.post(&w.key, body.to_string().as_bytes()).status, 200);
    // What the provider says when it fails, and a wrong key, are content and a secret too.
    w.provider.now(|_| {
        let planted =
            json!({"type": "error", "error": {"type": "api_error", "message": "the planted message"}});
        sse::plain(500, &planted)
    });
    assert_eq!(w.gatehouse.post(&w.key, body.to_string().as_bytes()).status, 500);
    let wrong = format!("{}x", w.key);
    assert_eq!(w.gatehouse.post(&wrong, body.to_string().as_bytes()).status, 401);
    collector.spans(5);
    // A warning of the log, for which the configuration is reloaded in vain.
    std::fs::write(&file, format!("{without}\n[telemetry.export]\nendpoint = \"ftp://nowhere\"\n")).unwrap();
    w.gatehouse.signal("-HUP");
    let line = wait::until("an error of the log", || {
        let lines = collector.items("logs");
        lines.into_iter().map(|(_, line)| line).find(|line| line.text(3) == "ERROR")
    });
    assert_eq!(
        (line.number(2), line.messages(5)[0].text(1).as_str()),
        (Some(17), "the configuration was not reloaded")
    );
    let planted = [
        Planted::new("the key", &w.key),
        Planted::new("the wrong key", &wrong),
        Planted::new("the provider's key", UPSTREAM_KEY),
        Planted::new("the prompt", "the planted prompt"),
        Planted::new("the provider's message", "the planted message"),
        Planted::new("an address of a person", "dev@example.com"),
    ];
    for seen in collector.kept.lock().unwrap().iter() {
        assert_eq!(search(&planted, &seen.body), [], "{}", seen.line);
    }
    std::fs::write(&file, &without).unwrap();
    drop(w.gatehouse.json(&["config", "reload"]));
    wait::until("its end", || {
        w.gatehouse.log().contains("the export of our own telemetry has ended").then_some(())
    });
    drop(collector.items("metrics"));
    assert_eq!(w.gatehouse.post(&w.key, body.to_string().as_bytes()).status, 500);
    assert_eq!(collector.fake.unseen(), 0, "it is off again");
}

#[test]
fn what_waits_at_the_end_is_sent_and_a_bad_configuration_is_told_of() {
    let collector = Collector::start();
    let mut w = world(&collector, "signals = [\"traces\"]\n");
    assert_eq!(post(&w, None), 200);
    w.gatehouse.signal("-TERM");
    assert_eq!(w.gatehouse.wait(), Some(0));
    assert_eq!(collector.spans(2).len(), 2);
    for (lines, expected) in [
        ("endpoint = \"collector:4318\"", "telemetry.export.endpoint"),
        ("headers = { a = \"plain text\" }", "telemetry.export.headers"),
        ("semantic_conventions = \"1.35\"", "expected \"1.36\" or \"latest\""),
        ("sample_ratio = 1.5", "telemetry.export.sample_ratio"),
        ("resource = { \"service.name\" = \"x\" }", "set by Gatehouse"),
        ("endpoints = \"\"", "did you mean `endpoint`?"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bad.toml");
        std::fs::write(&file, format!("[telemetry.export]\n{lines}\n")).unwrap();
        let told = w.gatehouse.cli(&["config", "check", "--config", file.to_str().unwrap()]);
        let text =
            String::from_utf8_lossy(&told.stderr).into_owned() + &String::from_utf8_lossy(&told.stdout);
        assert!(!told.status.success() && text.contains(expected), "{lines}: {text}");
    }
}
