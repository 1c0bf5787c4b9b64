use std::collections::BTreeMap;

use proptest::prelude::*;

use super::allocate::{Allocation, Method, Source, allocate, split};
use super::reconcile::{Amounts, Threshold, compare, family};
use super::{Month, anomaly, cache, exchange_rate, forecast};
use crate::id::TeamId;
use crate::money::Nanos;
use crate::price::Rates;
use crate::time::{DAY_MS, UnixMillis};
use crate::usage::Tokens;

fn sum(parts: &[Nanos]) -> i128 {
    parts.iter().map(|part| i128::from(part.0)).sum()
}

proptest! {
    #[test]
    fn parts_add_up_to_the_whole(total: i64, weights in prop::collection::vec(any::<u64>(), 1..40)) {
        let parts = split(Nanos(total), &weights);
        prop_assert_eq!(parts.len(), weights.len());
        prop_assert_eq!(sum(&parts), i128::from(total));
    }

    #[test]
    fn no_part_is_further_than_one_nano_dollar_from_its_share(
        total in 0..i64::MAX, weights in prop::collection::vec(0..1_000_000_u64, 1..40),
    ) {
        let all: u128 = weights.iter().copied().map(u128::from).sum();
        prop_assume!(all > 0);
        for (part, weight) in split(Nanos(total), &weights).iter().zip(&weights) {
            let exact = u128::from(total.unsigned_abs()) * u128::from(*weight);
            let given = u128::from(part.0.unsigned_abs()) * all;
            prop_assert!(given.abs_diff(exact) < all, "{} of {}", part.0, total);
        }
    }

    #[test]
    fn rules_keep_the_total(
        costs in prop::collection::vec(0..1_000_000_000_000_i64, 0..12), none in 0..1_000_000_000_000_i64,
        amounts in prop::collection::vec((0..3_u8, 0..1_000_000_000_000_i64), 0..5), gone in 0..12_usize,
    ) {
        let teams: Vec<TeamId> = (0..costs.len() as u128).map(TeamId::from_bits).collect();
        let mut spent: BTreeMap<_, _> = teams.iter().copied().map(Some).zip(costs.iter().copied().map(Nanos)).collect();
        spent.insert(None, Nanos(none));
        let exist = &teams[gone.min(teams.len())..];
        let fixed: Vec<_> = teams.iter().map(|team| (*team, 3)).collect();
        let method = |kind| match kind { 0 => Method::Even, 1 => Method::Proportional, _ => Method::Fixed(fixed.clone()) };
        let mut rules: Vec<Allocation> = amounts.iter().enumerate().map(|(n, (kind, amount))| Allocation {
            name: n.to_string(), source: Source::Amount(Nanos(*amount)), method: method(*kind),
        }).collect();
        rules.push(Allocation { name: "rest".into(), source: Source::Unassigned, method: Method::Proportional });
        let allotted = allocate(&rules, exist, &spent);
        let added: i128 = amounts.iter().map(|(_, amount)| i128::from(*amount)).sum();
        prop_assert_eq!(allotted.iter().map(|a| i128::from(a.amount.0)).sum::<i128>(), added);
    }
}

#[test]
fn the_largest_remainders_get_what_is_left() {
    let of = |total, weights: &[u64]| split(Nanos(total), weights).iter().map(|n| n.0).collect::<Vec<_>>();
    assert_eq!(of(100, &[1, 1, 1]), [34, 33, 33]);
    assert_eq!(of(-100, &[1, 1, 1]), [-34, -33, -33]);
    assert_eq!(of(10, &[6, 3, 1]), [6, 3, 1]);
    assert_eq!(of(7, &[2, 3, 5]), [1, 2, 4], "exact: 1.4, 2.1, 3.5");
    assert_eq!(of(5, &[0, 0]), [3, 2]);
    assert_eq!(of(5, &[0, 9]), [0, 5]);
    assert_eq!(of(5, &[]), [0_i64; 0]);
    assert_eq!(of(i64::MIN, &[u64::MAX, u64::MAX]), [i64::MIN / 2, i64::MIN / 2]);
}

#[test]
fn unassigned_cost_is_moved_and_overhead_added() {
    let (a, b) = (TeamId::from_bits(1), TeamId::from_bits(2));
    let spent = BTreeMap::from([(Some(a), Nanos(300)), (Some(b), Nanos(100)), (None, Nanos(10))]);
    let rules = [
        Allocation { name: "rest".into(), source: Source::Unassigned, method: Method::Proportional },
        Allocation { name: "platform".into(), source: Source::Amount(Nanos(5)), method: Method::Even },
        Allocation {
            name: "support".into(),
            source: Source::Amount(Nanos(8)),
            method: Method::Fixed(vec![(b, 3), (TeamId::from_bits(9), 1)]),
        },
    ];
    let shown: Vec<_> =
        allocate(&rules, &[a, b], &spent).into_iter().map(|x| (x.rule, x.team, x.amount.0)).collect();
    let line = |rule: &str, team, nanos| (rule.to_owned(), team, nanos);
    assert_eq!(
        shown,
        [
            line("rest", None, -10),
            line("rest", Some(a), 8),
            line("rest", Some(b), 2),
            line("platform", Some(a), 3),
            line("platform", Some(b), 2),
            line("support", Some(b), 8),
        ]
    );
    assert_eq!(allocate(&rules[..1], &[], &BTreeMap::from([(None, Nanos(10))])), []);
}

#[test]
fn months_are_read_and_printed() {
    let october: Month = "2026-10".parse().unwrap();
    assert_eq!((october.to_string().as_str(), october.days()), ("2026-10", 31));
    assert_eq!(october.next().to_string(), "2026-11");
    assert_eq!("2026-12".parse::<Month>().unwrap().next().to_string(), "2027-01");
    assert_eq!("2028-02".parse::<Month>().unwrap().days(), 29);
    for bad in ["", "2026-13", "2026-1", "2026-10-01", "10-2026", "2026/10", "+026-10"] {
        assert!(bad.parse::<Month>().is_err(), "{bad}");
    }
}

#[test]
fn a_forecast_repeats_the_weekdays() {
    // Eight weeks: Mondays 100, other working days 70, weekends nothing.
    let week = [100, 70, 70, 70, 70, 0, 0];
    let series: Vec<i64> = (0..56).map(|day| week[day % 7]).collect();
    let told = forecast::forecast(&series, 10).unwrap();
    let expected = Nanos(100 + 4 * 70 + 100 + 2 * 70);
    assert_eq!((told.ahead.low, told.ahead.expected, told.ahead.high), (expected, expected, expected));
    let test = told.backtest;
    assert_eq!(
        (test.days, test.mean_error, test.error_permille, test.within_band),
        (28, Nanos(0), Some(0), 28)
    );
    // One Monday of eight was 180: the mean moves by ten, the band reaches from 100 to 180.
    let mut odd = series;
    odd[28] = 180;
    let ahead = forecast::forecast(&odd, 1).unwrap().ahead;
    assert_eq!((ahead.low.0, ahead.expected.0, ahead.high.0), (100, 110, 180));
    assert_eq!(forecast::forecast(&[1; 6], 3), None);
    let none = forecast::forecast(&[0; 14], 3).unwrap();
    assert_eq!((none.ahead, none.backtest.error_permille), (forecast::Band::default(), None));
}

#[test]
fn a_day_stands_out_by_the_stated_rule() {
    let usd = 1_000_000_000;
    // Median 10, median absolute deviation 1: 0.6745 * 10 / 1 is 6.745.
    let before: Vec<i64> = [9, 10, 11].iter().cycle().take(28).map(|n| n * usd).collect();
    let found = anomaly::judge(&before, 20 * usd).unwrap();
    assert_eq!((found.median, found.score), (Nanos(10 * usd), 674));
    assert_eq!(anomaly::judge(&before, 15 * usd), None, "3.37 is below the limit");
    assert_eq!(anomaly::judge(&before, 0), None, "less is none");
    assert_eq!(anomaly::judge(&before[..13], 90 * usd), None, "too few days");
    assert_eq!(anomaly::judge(&[0; 28], 90 * usd), None, "nothing was ever spent");
    // All days alike: the deviation is taken as a twentieth of the median.
    assert_eq!(anomaly::judge(&[20 * usd; 28], 25 * usd), None, "3.3725");
    assert_eq!(anomaly::judge(&[20 * usd; 28], 26 * usd).unwrap().score, 404);
    assert_eq!(anomaly::judge(&[1000; 28], usd / 2), None, "less than a dollar");
}

#[test]
fn caching_saves_by_reading_and_costs_by_writing() {
    let rates = Rates {
        input: 2_000_000,
        cache_write_5m: 2_500_000,
        cache_write_1h: 4_000_000,
        cache_read: 100_000,
        output: 1,
    };
    let tokens = |cache_write_5m, cache_write_1h, cache_read| Tokens {
        cache_write_5m,
        cache_write_1h,
        cache_read,
        input: 7,
        output: 7,
    };
    assert_eq!(cache::saved(&tokens(0, 0, 1000), &rates), Nanos(1_900_000));
    assert_eq!(cache::saved(&tokens(1000, 0, 0), &rates), Nanos(-500_000));
    assert_eq!(cache::saved(&tokens(0, 1000, 0), &rates), Nanos(-2_000_000));
    assert_eq!(cache::ratio(&tokens(100, 100, 500)), Some(250));
    assert_eq!(cache::ratio(&tokens(0, 0, 500)), None);
}

#[test]
fn amounts_are_shown_in_other_currencies() {
    let rate = |per_dollar| exchange_rate::ExchangeRate {
        currency: "EUR".parse().unwrap(),
        from: UnixMillis(0),
        per_dollar,
    };
    assert_eq!(rate(920_000_000).shown(Nanos(10_000_000_000)), "9.20");
    assert_eq!(rate(500_000_000).shown(Nanos(10_000_000)), "0.01", "half a cent is rounded up");
    assert_eq!(rate(500_000_000).shown(Nanos(-10_000_000)), "-0.01");
    assert_eq!(rate(1).shown(Nanos(-1)), "0.00");
    assert_eq!(rate(i64::MAX).shown(Nanos(i64::MAX)), "85070591730234615847.40");
    for bad in ["eur", "EURO", "", "E1R", "€"] {
        assert!(bad.parse::<exchange_rate::Currency>().is_err(), "{bad}");
    }
}

#[test]
fn drift_is_told_by_model_and_day() {
    let day = |n| UnixMillis(n * DAY_MS);
    let of = |list: &[(i64, &str, i64)]| -> Amounts {
        list.iter().map(|(d, model, nanos)| ((day(*d), (*model).to_owned()), Nanos(*nanos))).collect()
    };
    let ours = of(&[(1, "a", 1000), (1, "b", 500), (2, "a", 100)]);
    let billed = of(&[(1, "a", 1010), (1, "b", 400), (3, "a", 50)]);
    let threshold = Threshold { permille: 20, least: Nanos(60) };
    let told = compare(&ours, &billed, None, threshold);
    let shown: Vec<_> =
        told.lines.iter().map(|l| (l.day.0 / DAY_MS, l.model.as_str(), l.drift.0, l.alarm)).collect();
    assert_eq!(
        shown,
        [(1, "a", -10, false), (1, "b", 100, true), (2, "a", 100, true), (3, "a", -50, false)],
        "within two percent; over; nothing billed; below the least"
    );
    assert_eq!((told.ours.0, told.billed.0, told.alarm), (1600, 1460, true));
    let three = compare(&ours, &ours, Some(&of(&[(1, "a", 1000), (1, "b", 300)])), threshold);
    let alarms: Vec<_> = three.lines.iter().map(|l| (l.client.unwrap().0, l.alarm)).collect();
    assert_eq!(alarms, [(1000, false), (300, true), (0, true)]);
    assert!(!compare(&ours, &ours, None, threshold).alarm);
}

#[test]
fn one_model_is_one_family_however_it_is_spelled() {
    for (text, expected) in [
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
        ("Claude Sonnet 4.5 (Amazon Bedrock Edition)", "claude-sonnet-4-5"),
        ("USE1-Claude4.5Sonnet-input-tokens", "claude-sonnet-4-5"),
        ("Claude Sonnet 4.5 Input Tokens", "claude-sonnet-4-5"),
        ("claude-opus-5-5@20260101", "claude-opus-5-5"),
        ("Claude Opus 5 Usage - Output Tokens", "claude-opus-5"),
        ("claude-3-5-haiku-20241022", "claude-haiku-3-5"),
        ("claude-opus-4-20250514", "claude-opus-4"),
        (" Web Search ", "web search"),
        ("claude-next", "claude-next"),
    ] {
        assert_eq!(family(text), expected, "{text}");
    }
}
