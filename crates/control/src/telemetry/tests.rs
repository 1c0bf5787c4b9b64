use gatehouse_domain::exchange::{Credential, Principal};
use gatehouse_domain::id::{KeyId, OrgId, UserId};
use gatehouse_domain::settings::lint::ModelState;
use gatehouse_domain::telemetry::{Amount, Measure, Point, Signal, Value};
use gatehouse_domain::time::UnixMillis;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::answer::Refused;
use super::item::Malformed;
use super::protobuf::{Field, Fields, put, put_number};
use super::read::{MAX_ITEMS, Reading, Taken, read, unpacked};
use super::{Form, Intake, MAX_BODY, Prompts, json as of_json, protobuf};

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
const NANOS: u64 = 1_700_000_000_000_000_000;

fn whose() -> Principal {
    Principal {
        org: OrgId::from_bits(1),
        user: UserId::from_bits(2),
        credential: Credential::Key(KeyId::from_bits(3)),
        team: None,
        project: None,
    }
}

fn taken(signal: Signal, form: Form, body: &[u8], prompts: Prompts) -> Result<Taken, Malformed> {
    let whose = whose();
    let reading = Reading { whose: &whose, now: NOW, prompts, random: &|| 7, model: &|name| name.to_owned() };
    read(signal, form, body, &reading)
}

/// A request in JSON; `protobuf_of` writes the same as Protobuf.
fn metrics(temporality: u64, value: f64, seconds: u64) -> Json {
    let time = (NANOS + seconds * 1_000_000_000).to_string();
    json!({"resourceMetrics": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "claude-code"}}]},
        "scopeMetrics": [{"scope": {"name": "x"}, "metrics": [
            {"name": "claude_code.cost.usage", "unit": "USD", "sum": {
                "aggregationTemporality": temporality, "isMonotonic": true, "dataPoints": [{
                    "attributes": [
                        {"key": "model", "value": {"stringValue": "claude-opus-5-5"}},
                        {"key": "user.email", "value": {"stringValue": "liar@example.com"}},
                        {"key": "n", "value": {"intValue": "5"}}, {"key": "y", "value": {"boolValue": true}}],
                    "startTimeUnixNano": NANOS.to_string(), "timeUnixNano": time, "asDouble": value}]}},
            {"name": "other.metric", "gauge": {"dataPoints": []}}]}]}]})
}

#[expect(clippy::needless_pass_by_value, reason = "calls read better without `&`")]
fn field(number: u64, content: Vec<u8>) -> Vec<u8> {
    let mut out = Vec::new();
    put(number, &content, &mut out);
    out
}

fn fixed(number: u64, value: u64) -> Vec<u8> {
    let mut out = vec![u8::try_from(number << 3 | 1).unwrap()];
    out.extend_from_slice(&value.to_le_bytes());
    out
}

fn number(number: u64, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_number(number, value, &mut out);
    out
}

fn list(of: &Json) -> &[Json] {
    of.as_array().map_or(&[], Vec::as_slice)
}

fn nanos(of: &Json) -> u64 {
    of.as_str().unwrap().parse().unwrap()
}

fn attributes(of: &Json, at: u64) -> Vec<u8> {
    let one = |pair: &Json| {
        let value = &pair["value"];
        let value =
            match (value["stringValue"].as_str(), value["intValue"].as_str(), value["boolValue"].as_bool()) {
                (Some(text), ..) => field(1, text.into()),
                (_, Some(whole), _) => number(3, whole.parse().unwrap()),
                (.., yes) => number(2, yes.unwrap().into()),
            };
        field(at, [field(1, pair["key"].as_str().unwrap().into()), field(2, value)].concat())
    };
    list(of).iter().flat_map(one).collect()
}

/// The same request of metrics as Protobuf.
fn protobuf_of(request: &Json) -> Vec<u8> {
    let point = |p: &Json| {
        let parts = [
            attributes(&p["attributes"], 7),
            fixed(2, nanos(&p["startTimeUnixNano"])),
            fixed(3, nanos(&p["timeUnixNano"])),
            fixed(4, p["asDouble"].as_f64().unwrap().to_bits()),
        ];
        field(1, parts.concat())
    };
    let metric = |m: &Json| {
        let mut out = field(1, m["name"].as_str().unwrap().into());
        if let Some(sum) = m.get("sum") {
            let points: Vec<u8> = list(&sum["dataPoints"]).iter().flat_map(point).collect();
            let said = number(2, sum["aggregationTemporality"].as_u64().unwrap());
            out.extend(field(7, [points, said, number(3, 1)].concat()));
        }
        field(2, out)
    };
    let scope = |s: &Json| field(2, list(&s["metrics"]).iter().flat_map(metric).collect());
    let one = |r: &Json| {
        let resource = field(1, attributes(&r["resource"]["attributes"], 1));
        let scopes: Vec<u8> = list(&r["scopeMetrics"]).iter().flat_map(scope).collect();
        field(1, [resource, scopes].concat())
    };
    list(&request["resourceMetrics"]).iter().flat_map(one).collect()
}

fn points(form: Form, request: &Json) -> Vec<Point> {
    let body = match form {
        Form::Json => request.to_string().into_bytes(),
        Form::Protobuf => protobuf_of(request),
    };
    taken(Signal::Metrics, form, &body, Prompts::LeftOut).unwrap_or_else(|e| panic!("{e}")).report.points
}

#[test]
fn both_forms_say_the_same() {
    for temporality in [1, 2] {
        let request = metrics(temporality, 0.0123, 5);
        let (json, protobuf) = (points(Form::Json, &request), points(Form::Protobuf, &request));
        assert_eq!(json, protobuf);
        assert_eq!(json.len(), 1);
        assert_eq!((json[0].measure, json[0].model.as_str()), (Measure::Cost, "claude-opus-5-5"));
        assert_eq!(json[0].at, UnixMillis(NOW.0 + 5000));
        match json[0].amount {
            Amount::More(more) => assert_eq!((temporality, more), (1, 12_300_000)),
            Amount::Since(running) => assert_eq!((temporality, running.total), (2, 12_300_000)),
        }
    }
}

#[test]
fn a_point_that_does_not_say_how_it_follows_is_rejected() {
    let body = metrics(0, 1.0, 1).to_string();
    let taken = taken(Signal::Metrics, Form::Json, body.as_bytes(), Prompts::LeftOut).unwrap();
    assert_eq!((taken.report.points.len(), taken.left_out), (0, 1));
}

#[test]
fn whose_it_is_comes_from_the_credential_alone() {
    let body = metrics(1, 1.0, 1).to_string();
    let taken = taken(Signal::Metrics, Form::Json, body.as_bytes(), Prompts::LeftOut).unwrap();
    assert_eq!(taken.report.user, whose().user);
}

#[test]
fn two_processes_are_two_streams_and_one_goes_on() {
    let stream = |request: &Json| match points(Form::Json, request)[0].amount {
        Amount::Since(running) => running.stream,
        Amount::More(_) => panic!("it runs on"),
    };
    let first = metrics(2, 1.0, 1);
    assert_eq!(stream(&first), stream(&metrics(2, 9.0, 60)));
    let mut other = first.clone();
    other["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["sum"]["dataPoints"][0]["startTimeUnixNano"] =
        json!((NANOS + 1).to_string());
    assert_ne!(stream(&first), stream(&other));
    other = first.clone();
    other["resourceMetrics"][0]["resource"]["attributes"][0]["value"]["stringValue"] =
        json!("claude-code-desktop");
    assert_ne!(stream(&first), stream(&other));
}

fn logs(name: &str, attributes: &[(&str, Json)]) -> Vec<u8> {
    let attributes: Vec<Json> =
        attributes.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
    json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{
        "timeUnixNano": NANOS.to_string(), "body": {"stringValue": format!("claude_code.{name}")},
        "attributes": attributes}]}]}]})
    .to_string()
    .into_bytes()
}

#[test]
fn of_events_only_what_is_named_is_kept() {
    let text = |text: &str| json!({"stringValue": text});
    let request = logs(
        "api_request",
        &[
            ("model", text("claude-opus-5-5")),
            ("cost_usd", json!({"doubleValue": 0.5})),
            ("duration_ms", text("47")),
            ("session.id", text("s-1")),
            ("response", text("canary")),
            ("user.email", text("liar@example.com")),
        ],
    );
    let taken_ = taken(Signal::Logs, Form::Json, &request, Prompts::Kept).unwrap();
    let event = &taken_.report.events[0];
    assert_eq!(
        event.adds,
        [(Measure::Requests, 1), (Measure::RequestCost, 500_000_000), (Measure::RequestTime, 47)]
    );
    assert_eq!((event.session.as_str(), event.at), ("s-1", NOW));
    assert!(
        !event.attributes.contains("canary") && !event.attributes.contains("liar"),
        "{}",
        event.attributes
    );
    for (prompts, kept) in [(Prompts::LeftOut, false), (Prompts::Kept, true)] {
        let request = logs("user_prompt", &[("prompt", text("canary")), ("prompt_length", text("6"))]);
        let taken = taken(Signal::Logs, Form::Json, &request, prompts).unwrap();
        assert_eq!(taken.report.events[0].attributes.contains("canary"), kept);
    }
    let other = taken(Signal::Logs, Form::Json, &logs("api_response_body", &[]), Prompts::Kept).unwrap();
    assert!(other.report.events.is_empty() && other.left_out == 0);
}

#[test]
fn what_cannot_be_read_is_refused() {
    for body in [&b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"[..], b"\x0a\x05ab", b"\xff", b"\x0b", b"{}"]
    {
        for signal in Signal::ALL {
            assert!(taken(signal, Form::Protobuf, body, Prompts::LeftOut).is_err(), "{signal:?} {body:?}");
        }
    }
    for body in
        ["", "[", "7", "[]", "{\"resourceMetrics\": 7}", "{\"resourceMetrics\": [{\"scopeMetrics\": [7]}]}"]
    {
        assert!(taken(Signal::Metrics, Form::Json, body.as_bytes(), Prompts::LeftOut).is_err(), "{body}");
    }
    let deep = "[".repeat(100_000);
    let deep = format!("{{\"x\": {deep}");
    assert!(taken(Signal::Metrics, Form::Json, deep.as_bytes(), Prompts::LeftOut).is_err());
}

#[test]
fn what_is_packed_small_and_large_when_unpacked_is_refused() {
    use std::io::Write as _;

    let packed = |bytes: &[u8]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    };
    let bomb = packed(&vec![0; MAX_BODY + 1]);
    assert!(bomb.len() < 10_000);
    assert_eq!(unpacked(&bomb, Some("gzip")), Err(Refused::Unpacking));
    assert_eq!(unpacked(&packed(&vec![0; MAX_BODY]), Some("gzip")).map(|b| b.unwrap().len()), Ok(MAX_BODY));
    assert_eq!(unpacked(b"no gzip", Some("gzip")), Err(Refused::Unpacking));
    assert_eq!(unpacked(b"x", Some("br")), Err(Refused::Packing));
    assert_eq!(unpacked(b"x", None), Ok(None));
}

#[test]
fn items_and_models_are_bounded() {
    let mut request = metrics(1, 1.0, 1);
    let sum = &mut request["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["sum"];
    let point = sum["dataPoints"][0].clone();
    sum["dataPoints"] = Json::Array(vec![point; MAX_ITEMS + 3]);
    let body = protobuf_of(&request);
    let taken = taken(Signal::Metrics, Form::Protobuf, &body, Prompts::LeftOut).unwrap();
    assert_eq!((taken.report.points.len(), taken.left_out), (MAX_ITEMS, 3));

    let intake = Intake::default();
    let unknown = |_: &str| ModelState::Unknown;
    let names: std::collections::BTreeSet<String> =
        (0..1000).map(|n| intake.model(&format!("m-{n}"), &unknown)).collect();
    assert_eq!(names.len(), 257);
    assert!(names.contains("other"));
    assert_eq!(
        intake.model("m-999", &|_| ModelState::Served),
        "m-999",
        "known ones are always counted apart"
    );
    assert_eq!(intake.model("not a name", &|_| ModelState::Served), "other");
}

#[test]
fn what_is_passed_on_says_whose_it_is() {
    let with = [("user.email", "ada@example.com".to_owned()), ("gatehouse.user.id", "usr_1".to_owned())];
    let mut request = metrics(1, 0.5, 5);
    let claims = &mut request["resourceMetrics"][0]["resource"]["attributes"];
    claims
        .as_array_mut()
        .unwrap()
        .push(json!({"key": "user.email", "value": {"stringValue": "liar@example.com"}}));
    let json: Json =
        serde_json::from_slice(&of_json::stamped(request.to_string().as_bytes(), &with).unwrap()).unwrap();
    let resource = list(&json["resourceMetrics"][0]["resource"]["attributes"]);
    let of = |key: &str| {
        let values = resource.iter().filter(|pair| pair["key"] == key);
        values.map(|pair| pair["value"]["stringValue"].as_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((of("user.email"), of("gatehouse.user.id")), (vec!["ada@example.com"], vec!["usr_1"]));
    assert_eq!(of("service.name"), ["claude-code"]);

    let stamped = protobuf::stamped(&protobuf_of(&request), &with).unwrap();
    let again = taken(Signal::Metrics, Form::Protobuf, &stamped, Prompts::LeftOut).unwrap();
    assert_eq!(again.report.points, points(Form::Json, &request), "and the rest is as it was");
    let text = String::from_utf8_lossy(&stamped).into_owned();
    assert_eq!(text.matches("ada@example.com").count(), 1);
    assert_eq!(text.matches("liar@example.com").count(), 1, "a point's own attributes stay");
}

proptest! {
    /// Whatever bytes come, reading ends, without a panic.
    #[test]
    fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..400)) {
        for form in [Form::Protobuf, Form::Json] {
            for signal in Signal::ALL {
                let _ = taken(signal, form, &body, Prompts::Kept);
            }
        }
        let _ = protobuf::stamped(&body, &[("a", "b".to_owned())]);
    }

    /// A request that is damaged anywhere is read or refused.
    #[test]
    fn damaged_requests_are_read_or_refused(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = protobuf_of(&metrics(1, 0.5, 5));
        let at = at.index(body.len());
        body[at] = byte;
        let _ = taken(Signal::Metrics, Form::Protobuf, &body, Prompts::LeftOut);
        let _ = protobuf::stamped(&body, &[("a", "b".to_owned())]);
    }

    #[test]
    fn numbers_come_back_as_they_were_written(n in 1_u64..1000, value in any::<u64>()) {
        let written = number(n, value);
        let mut fields = Fields(&written);
        let found = fields.next().unwrap();
        prop_assert!(matches!(found, Some((at, Field::Varint(v))) if at == n && v == value));
        prop_assert!(fields.next().unwrap().is_none());
    }

    #[test]
    fn both_forms_say_the_same_of_any_value(value in 0.0_f64..1e6, seconds in 0_u64..1000) {
        let request = metrics(1, value, seconds);
        prop_assert_eq!(points(Form::Json, &request), points(Form::Protobuf, &request));
    }
}

#[test]
fn texts_of_numbers_are_numbers() {
    assert_eq!(Value::Text("5".to_owned()).number(), Some(5.0));
}
