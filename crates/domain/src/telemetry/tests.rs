use proptest::prelude::*;

use super::*;

fn running(nanos: i64, total: i64) -> Running {
    Running { stream: [0; 32], nanos, total }
}

#[test]
fn a_measures_place_is_its_number() {
    for (place, measure) in Measure::ALL.into_iter().enumerate() {
        assert_eq!(measure as usize, place);
    }
}

#[test]
fn metrics_become_measures_in_our_units() {
    let values = [
        ("cost.usage", "", "", Some((Measure::Cost, 1e9))),
        ("token.usage", "type", "input", Some((Measure::Input, 1.0))),
        ("token.usage", "type", "cacheRead", Some((Measure::CacheRead, 1.0))),
        ("token.usage", "type", "cacheCreation", Some((Measure::CacheWrite, 1.0))),
        ("token.usage", "type", "imagined", None),
        ("active_time.total", "type", "user", Some((Measure::ActiveUser, 1e3))),
        ("active_time.total", "type", "cli", Some((Measure::ActiveClient, 1e3))),
        ("lines_of_code.count", "type", "removed", Some((Measure::LinesRemoved, 1.0))),
        ("lines_of_code.count", "", "", None),
        ("code_edit_tool.decision", "decision", "reject", Some((Measure::EditsRejected, 1.0))),
        ("commit.count", "", "", Some((Measure::Commits, 1.0))),
        ("pull_request.count", "", "", Some((Measure::PullRequests, 1.0))),
        ("session.count", "start_type", "fresh", Some((Measure::Sessions, 1.0))),
        ("imagined", "", "", None),
    ];
    for (metric, key, value, expected) in values {
        let held = Value::Text(value.to_owned());
        let attribute = |name: &str| (name == key && !key.is_empty()).then_some(&held);
        assert_eq!(measure(&format!("claude_code.{metric}"), &attribute), expected, "{metric} {value}");
        assert_eq!(measure(metric, &attribute), None, "only with its beginning");
    }
}

#[test]
fn numbers_count_whichever_way_they_are_written() {
    for (value, number) in [
        (Value::Text("47".to_owned()), Some(47.0)),
        (Value::Text(" 0.5 ".to_owned()), Some(0.5)),
        (Value::Text("NaN".to_owned()), None),
        (Value::Text("x".to_owned()), None),
        (Value::Whole(-3), Some(-3.0)),
        (Value::Real(f64::INFINITY), None),
        (Value::Flag(true), None),
    ] {
        assert_eq!(value.number(), number, "{value:?}");
    }
    for (number, whole) in [(0.4, 0), (0.5, 1), (-7.0, 0), (f64::NAN, 0), (1e300, MAX_AMOUNT)] {
        assert_eq!(amount(number), whole, "{number}");
    }
}

#[test]
fn a_clock_that_is_far_off_is_not_believed() {
    let now = UnixMillis(1_700_000_000_000);
    let nanos = |ms: i64| u64::try_from(ms).unwrap() * 1_000_000;
    for (claimed, believed) in [(0, 0), (-DAY_MS, -DAY_MS), (-8 * DAY_MS, 0), (2 * DAY_MS, 0)] {
        assert_eq!(when(nanos(now.0 + claimed), now).0, now.0 + believed, "{claimed}");
    }
    assert_eq!(when(0, now), now);
    assert_eq!(when(u64::MAX, now), now);
}

proptest! {
    /// However often points come, in whatever order among those already counted: the sum of the steps is the last total.
    #[test]
    fn a_running_sum_counts_once(
        grows in prop::collection::vec(0_i64..1000, 1..30),
        again in prop::collection::vec(0_usize..30, 0..60),
    ) {
        let mut total = 0;
        let points: Vec<Running> = grows.iter().zip(1..).map(|(more, nanos)| {
            total += more;
            running(nanos, total)
        }).collect();
        let (mut known, mut sum) = (None, 0);
        let mut tell = |point: &Running| {
            if let Some(more) = step(known, point) {
                known = Some((point.nanos, point.total));
                sum += more;
            }
            sum
        };
        let mut told = 0;
        for (at, point) in points.iter().enumerate() {
            told = tell(point);
            for back in again.iter().filter(|back| **back <= at) {
                told = tell(&points[*back]);
            }
            prop_assert_eq!(told, point.total);
        }
        prop_assert_eq!(told, total);
    }
}

#[test]
fn a_stream_that_began_anew_loses_nothing() {
    assert_eq!(step(Some((5, 100)), &running(6, 30)), Some(30));
    assert_eq!(step(Some((5, 100)), &running(5, 300)), None);
}
