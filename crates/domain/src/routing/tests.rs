//! What routing promises, tried by many cases.

use std::collections::HashMap;

use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

use super::*;

const NAMES: [&str; 6] = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta"];

fn seat(name: &str, weight: u32) -> Seat<'_> {
    Seat { name, weight, priority: 1, busy: 0, latency_us: 0 }
}

fn first<'a>(key: u64, seats: &[Seat<'a>]) -> &'a str {
    seats[order(Strategy::Weighted, key, None, seats)[0]].name
}

proptest! {
    /// A provider that comes takes sessions, and moves no other; one that goes moves only its own.
    #[test]
    fn only_the_newcomers_sessions_move(keys in prop::collection::vec(any::<u64>(), 1..200), count in 2_usize..6) {
        let after: Vec<Seat<'_>> = NAMES[..count].iter().map(|name| seat(name, 1)).collect();
        let before = &after[..count - 1];
        for key in keys {
            let (old, new) = (first(key, before), first(key, &after));
            prop_assert!(new == old || new == NAMES[count - 1], "{old} became {new}");
        }
    }

    /// The order has everybody once, by priority first, however busy they are.
    #[test]
    fn the_order_is_a_permutation_by_priority(
        key in any::<u64>(),
        seats in prop::collection::vec((0_usize..6, 1_u32..9, 0_u32..3, 0_u64..50, 0_u64..1_000_000), 0..12),
        which in 0_usize..3,
        stays in 0_usize..6,
    ) {
        let strategy = [Strategy::Weighted, Strategy::LeastBusy, Strategy::Latency][which];
        let seats: Vec<Seat<'_>> = seats
            .iter()
            .map(|(n, weight, priority, busy, latency_us)| Seat {
                name: NAMES[*n], weight: *weight, priority: *priority, busy: *busy, latency_us: *latency_us,
            })
            .collect();
        let stays = fingerprint(NAMES[stays]);
        let found = order(strategy, key, Some(stays), &seats);
        let mut all = found.clone();
        all.sort_unstable();
        prop_assert_eq!(all, (0..seats.len()).collect::<Vec<_>>());
        for pair in found.windows(2) {
            let (a, b) = (&seats[pair[0]], &seats[pair[1]]);
            prop_assert!(a.priority <= b.priority);
            let is_stay = |seat: &Seat<'_>| fingerprint(seat.name) == stays;
            prop_assert!(a.priority != b.priority || is_stay(a) || !is_stay(b), "a session stays");
        }
    }

    /// However requests go, there are never more further attempts than the burst and the percentage allow.
    #[test]
    fn the_retry_budget_holds(percent in 0_u32..=100, burst in 0_u32..20, acts in prop::collection::vec(any::<bool>(), 0..2000)) {
        let mut budget = RetryBudget::new(burst);
        let (mut requests, mut retries) = (0_u64, 0_u64);
        for is_request in acts {
            if is_request {
                requests += 1;
                budget.request(percent, burst);
            } else {
                retries += u64::from(budget.take());
            }
            prop_assert!(retries * 100 <= u64::from(burst) * 100 + requests * u64::from(percent));
        }
    }

    /// A wait is never shorter than asked for, and never longer than both bounds.
    #[test]
    fn a_wait_is_within_its_bounds(round in 1_u32..70, base in 0_u64..10_000, max in 0_u64..60_000, asked in 0_u64..100_000, draw in any::<u64>()) {
        let wait = backoff_ms(round, base, max, asked, draw);
        prop_assert!(wait >= asked && wait <= max.max(asked));
    }

    /// Whatever happens, at most one probe is under way, and nothing is let through before the breaker's time is over.
    #[test]
    fn a_breaker_lets_one_probe_through_at_a_time(
        failures in 1_u32..5,
        probes in 1_u32..4,
        acts in prop::collection::vec((0_u8..4, 0_u64..40), 0..300),
    ) {
        let limits = Thresholds { failures, open_ms: 100, probes };
        let (mut breaker, mut now, mut under_way) = (Breaker::default(), 0, Vec::new());
        let mut opened_at: Option<u64> = None;
        for (act, passed) in acts {
            now += passed;
            let end = if act == 0 { None } else { under_way.pop() };
            match (act, end) {
                (0, _) => match breaker.begin(now) {
                    Gate::Closed => under_way.push(false),
                    Gate::Probe => {
                        prop_assert!(!under_way.contains(&true), "two probes at once");
                        prop_assert!(opened_at.is_some_and(|at| now >= at + 100), "a probe before its time");
                        under_way.push(true);
                    }
                    Gate::Open(left) => prop_assert!(left <= 100),
                },
                (1, Some(probe)) => breaker.succeeded(probe, &limits),
                (2, Some(probe)) => {
                    if breaker.failed(now, probe, &limits) {
                        opened_at = Some(now);
                    }
                }
                (_, Some(probe)) => breaker.unknown(probe),
                (_, None) => {}
            }
        }
    }

    /// The memory never holds more than its bound, and always what was put in last.
    #[test]
    fn a_memory_is_bounded(most in 2_usize..50, keys in prop::collection::vec(0_u32..100, 1..500)) {
        let mut memory = Memory::new(most);
        for (n, key) in keys.iter().enumerate() {
            memory.put(*key, n);
            prop_assert!(memory.len() <= most.max(2));
            prop_assert_eq!(memory.get(*key), Some(n));
        }
    }
}

#[test]
fn sessions_are_shared_out_by_weight() {
    let seats = [seat("alpha", 1), seat("beta", 2), seat("gamma", 5)];
    let mut counts: HashMap<&str, u32> = HashMap::new();
    for session in 0..8000 {
        *counts.entry(first(session_key(7, &session.to_string()), &seats)).or_default() += 1;
    }
    for (name, expected) in [("alpha", 1000), ("beta", 2000), ("gamma", 5000)] {
        let found = counts[name];
        assert!(found.abs_diff(expected) < 200, "{name}: {found} of 8000, expected about {expected}");
    }
}

#[test]
fn the_same_session_of_another_user_is_another_session() {
    assert_ne!(session_key(1, "s"), session_key(2, "s"));
    assert_eq!(session_key(1, "s"), session_key(1, "s"));
}

#[test]
fn the_least_busy_and_the_quickest_come_first_by_weight() {
    let busy = |name, weight, busy| Seat { busy, ..seat(name, weight) };
    let seats = [busy("alpha", 1, 5), busy("beta", 1, 2), busy("gamma", 10, 9)];
    assert_eq!(order(Strategy::LeastBusy, 1, None, &seats), [2, 1, 0]);
    let slow = |name, latency_us| Seat { latency_us, ..seat(name, 1) };
    let seats = [slow("alpha", 300), slow("beta", 100), slow("gamma", 0)];
    assert_eq!(
        order(Strategy::Latency, 1, None, &seats),
        [2, 1, 0],
        "one that is not known is found out about"
    );
}

#[test]
fn a_breaker_opens_probes_and_closes() {
    let limits = Thresholds { failures: 2, open_ms: 100, probes: 2 };
    let mut breaker = Breaker::default();
    assert!(!breaker.failed(0, false, &limits));
    breaker.succeeded(false, &limits);
    assert!(!breaker.failed(1, false, &limits), "in a row means in a row");
    assert!(breaker.failed(2, false, &limits));
    assert_eq!(breaker.begin(50), Gate::Open(52));
    // What began before it opened changes nothing.
    breaker.succeeded(false, &limits);
    assert_eq!(breaker.begin(102), Gate::Probe);
    assert_eq!(breaker.begin(102), Gate::Open(0));
    assert!(breaker.failed(110, true, &limits));
    assert_eq!(breaker.begin(210), Gate::Probe);
    breaker.succeeded(true, &limits);
    assert_eq!(breaker.begin(211), Gate::Probe, "two good ones are needed");
    breaker.unknown(true);
    assert_eq!(breaker.begin(212), Gate::Probe, "a probe that said nothing gives its turn back");
    breaker.succeeded(true, &limits);
    assert_eq!(breaker.begin(213), Gate::Closed);
}

#[test]
fn a_limit_falls_fast_and_grows_slowly() {
    let mut limit = Limit::default();
    let begun = limit.requests();
    limit.good(0);
    assert_eq!(limit.requests(), begun, "what is not used does not grow");
    limit.overloaded();
    let fallen = limit.requests();
    assert!(fallen < begun * 3 / 4);
    for _ in 0..10 * fallen {
        limit.good(fallen);
    }
    let grown = limit.requests() - fallen;
    assert!((6..=11).contains(&grown), "about one more for each limit of good replies: {grown}");
    for _ in 0..100 {
        limit.overloaded();
    }
    assert_eq!(limit.requests(), 1);
}

#[test]
fn names_stand_for_models_by_their_day() {
    let day = |text: &str| text.parse::<UnixMillis>().unwrap();
    let alias = |name: &str, model: Option<&str>, retires: Option<&str>| Alias {
        name: name.to_owned(),
        model: model.map(str::to_owned),
        retires: retires.map(day),
        warn_days: 30,
    };
    let routing = Routing {
        aliases: vec![
            alias("opus", Some("claude-opus-5-5"), None),
            alias("claude-sonnet-4-5", Some("claude-sonnet-5-5"), Some("2026-11-30")),
            alias("claude-opus-4-5", None, Some("2026-11-30")),
        ],
        ..Routing::default()
    };
    let at = |name, on| routing.resolve(name, day(on));
    assert_eq!(at("opus", "2030-01-01"), Resolved::Other("claude-opus-5-5", None));
    assert_eq!(at("unheard-of", "2030-01-01"), Resolved::Itself(None));
    let old = &routing.aliases[1];
    assert_eq!(at("claude-sonnet-4-5", "2026-10-30"), Resolved::Itself(None));
    assert_eq!(at("claude-sonnet-4-5", "2026-10-31"), Resolved::Itself(Some(old)));
    assert_eq!(at("claude-sonnet-4-5", "2026-11-30"), Resolved::Other("claude-sonnet-5-5", Some(old)));
    assert_eq!(at("claude-opus-4-5", "2026-11-30"), Resolved::Retired(&routing.aliases[2]));
    assert_eq!(
        old.notice(),
        "the model claude-sonnet-4-5 retires on 2026-11-30; claude-sonnet-5-5 takes its place"
    );
}

#[test]
fn only_failures_that_another_provider_would_not_repeat_are_failed_over() {
    for (status, expected) in [
        (200, None),
        (400, None),
        (402, None),
        (413, None),
        (422, None),
        (401, Some(Fault::Credential)),
        (403, Some(Fault::Credential)),
        (404, Some(Fault::NotServed)),
        (429, Some(Fault::RateLimited)),
        (500, Some(Fault::ServerError)),
        (501, Some(Fault::NotServed)),
        (504, Some(Fault::ServerError)),
        (529, Some(Fault::Overloaded)),
    ] {
        assert_eq!(Fault::of_status(status), expected, "{status}");
    }
}
