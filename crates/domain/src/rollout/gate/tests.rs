use super::*;
use crate::money::Nanos;

fn check(measure: Measure, limit: Limit) -> Check {
    Check { measure, limit, min_sample: 5, weight: Critical, on_fail: Rollback }
}

fn requests(failed: u64, total: u64) -> Evidence {
    let counts = Counts { total_requests: total, failed_requests: failed, ..Counts::default() };
    Evidence { counts, ..Evidence::default() }
}

fn verdict(check: &Check, evidence: &Evidence) -> Verdict {
    judge(check, evidence, Moment::End).verdict
}

#[test]
fn no_error_in_fifty_nine_requests_proves_nothing() {
    let five = check(Measure::ErrorRate, Limit::AtMost(0.05));
    for (failed, total, expected) in [
        (0, 0, Insufficient),
        (0, 59, Insufficient),
        (0, 60, Pass),
        (5, 100, Insufficient),
        (5, 210, Pass),
        (20, 100, Fail),
    ] {
        assert_eq!(verdict(&five, &requests(failed, total)), expected, "{failed} of {total}");
    }
    let hundred = Check { min_sample: 100, ..five };
    assert_eq!(verdict(&hundred, &requests(0, 99)), Insufficient);
    let clean = check(Measure::ErrorRate, Limit::AtMost(0.0));
    assert_eq!(verdict(&clean, &requests(0, 60)), Pass);
    assert_eq!(verdict(&clean, &requests(1, 60)), Fail);
}

#[test]
fn one_persons_bad_day_is_not_everybodys() {
    let five = check(Measure::ErrorRate, Limit::AtMost(0.05));
    let mut evidence = requests(30, 300);
    assert_eq!(verdict(&five, &evidence), Fail);
    evidence.groups = (0..10).map(|n| (30, if n == 0 { 30 } else { 0 })).collect();
    assert_eq!(verdict(&five, &evidence), Insufficient);
    assert_eq!(judge(&five, &evidence, Moment::Soaking).verdict, Insufficient);
}

#[test]
fn a_single_answer_is_never_enough() {
    let least = check(Measure::Satisfaction, Limit::AtLeast(3.5));
    let given = |cohort, scores: &[u8]| Evidence { cohort, scores: scores.to_vec(), ..Evidence::default() };
    for (cohort, scores, expected) in [
        (1, &[5][..], Insufficient),
        (2, &[5], Insufficient),
        (20, &[5, 5, 5, 5], Insufficient),
        (20, &[5, 5, 5, 5, 5], Pass),
        (4, &[4, 4], Pass),
        (20, &[1, 2, 3, 4, 5], Fail),
        (20, &[], Insufficient),
    ] {
        assert_eq!(verdict(&least, &given(cohort, scores)), expected, "{scores:?} of {cohort}");
    }
    let early = |scores: &[u8]| judge(&least, &given(50, scores), Moment::Soaking).verdict;
    assert_eq!((early(&[1; 30]), early(&[1; 4]), early(&[5; 30])), (Fail, Insufficient, Insufficient));
}

#[test]
fn times_are_compared_by_people_where_there_are_enough() {
    let times = check(Measure::P95, Limit::AtMostTimes(1.5, Against::Previous));
    let people = |at: f64| (0..12).map(|n| at + f64::from(n)).collect::<Vec<f64>>();
    let mut evidence = Evidence { p95s: people(100.0), ..Evidence::default() };
    evidence.counts.durations_ms = (100..120).collect();
    assert_eq!(verdict(&times, &evidence), Insufficient, "nothing to compare with");
    evidence.previous.p95s = people(100.0);
    assert_eq!(verdict(&times, &evidence), Pass);
    evidence.p95s = people(200.0);
    assert_eq!(verdict(&times, &evidence), Fail);
    evidence.previous = Baseline { durations_ms: (70..90).collect(), ..Baseline::default() };
    assert_eq!(verdict(&times, &evidence), Pass, "118 ms, and 1.5 times 88 ms");
    let own = check(Measure::P95, Limit::AtMost(50.0));
    assert_eq!(verdict(&own, &evidence), Fail);
}

#[test]
fn cost_is_compared_by_the_day() {
    let times = check(Measure::CostPerUser, Limit::AtMostTimes(1.5, Against::Others));
    let mut evidence = Evidence::default();
    evidence.counts.active_users = 10;
    evidence.counts.total_cost = Nanos(70_000_000_000);
    assert_eq!(verdict(&times, &evidence), Insufficient);
    evidence.others =
        Baseline { cost_per_user: Some(10e9), days: 14.0, against_days: 7.0, ..Baseline::default() };
    assert_eq!(verdict(&times, &evidence), Pass, "7 USD of at most 7.50 USD");
    evidence.others.cost_per_user = Some(9e9);
    assert_eq!(verdict(&times, &evidence), Fail);
}

use OnFail::{Pause, Rollback, Warn};
use Verdict::{Fail, Insufficient, Pass};
use Weight::{Critical, DryRun, Signal};

#[test]
fn what_follows_from_all() {
    let of = |weight, on_fail, verdict| {
        (Check { weight, on_fail, ..check(Measure::ErrorRate, Limit::AtMost(0.1)) }, verdict)
    };
    for (all, expected) in [
        (vec![], Decision::Pass),
        (vec![of(Critical, Rollback, Pass)], Decision::Pass),
        (vec![of(Critical, Rollback, Insufficient)], Decision::Insufficient),
        (vec![of(Critical, Pause, Fail), of(Critical, Rollback, Fail)], Decision::Fail(Rollback)),
        (vec![of(Critical, Pause, Fail), of(Critical, Rollback, Insufficient)], Decision::Fail(Pause)),
        (vec![of(Signal, Rollback, Fail)], Decision::Fail(Pause)),
        (vec![of(Signal, Rollback, Insufficient)], Decision::Pass),
        (vec![of(DryRun, Rollback, Fail), of(DryRun, Rollback, Insufficient)], Decision::Pass),
        (vec![of(Critical, Warn, Fail)], Decision::Pass),
        (vec![of(Critical, Warn, Fail), of(Critical, Pause, Insufficient)], Decision::Insufficient),
    ] {
        assert_eq!(decide(&all), expected, "{all:?}");
    }
}
