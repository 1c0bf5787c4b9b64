use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::exchange::Credential;
use crate::id::{KeyId, OrgId, UserId};

fn principal() -> Principal {
    Principal {
        org: OrgId::from_bits(1),
        user: UserId::from_bits(1),
        credential: Credential::Key(KeyId::from_bits(1)),
        team: None,
        project: None,
    }
}

fn limit(n: u128, measure: Measure, amount: u64) -> Limit {
    Limit {
        id: LimitId::from_bits(n),
        holder: Holder::User(UserId::from_bits(1)),
        models: ModelScope::all(),
        measure,
        amount,
        created_at: UnixMillis(0),
    }
}

fn buckets(limits: impl IntoIterator<Item = Limit>) -> Buckets {
    let mut buckets = Buckets::default();
    buckets.install(&Arc::new(Limits::new(limits)));
    buckets
}

#[test]
fn requests_pass_until_the_bucket_is_empty_and_the_wait_is_honest() {
    let mut buckets = buckets([limit(1, Measure::Requests, 6)]);
    for _ in 0..6 {
        let taken = buckets.take(&principal(), "m", 1, 0).unwrap().unwrap();
        buckets.settle(taken, None, 0);
    }
    let beyond = buckets.take(&principal(), "m", 1, 0).unwrap_err();
    assert_eq!((beyond.wait, beyond.level.remaining, beyond.level.whole_in), (10_000, 0, 60_000));
    assert!(buckets.take(&principal(), "m", 1, beyond.wait - 1).is_err());
    assert!(buckets.take(&principal(), "m", 1, beyond.wait).is_ok(), "the wait was enough");
}

#[test]
fn a_limit_without_room_takes_nothing_from_the_others() {
    let mut buckets = buckets([limit(1, Measure::Requests, 5), limit(2, Measure::Concurrency, 1)]);
    let taken = buckets.take(&principal(), "m", 1, 0).unwrap().unwrap();
    let beyond = buckets.take(&principal(), "m", 1, 0).unwrap_err();
    assert_eq!(beyond.level.limit.measure, Measure::Concurrency);
    let remaining: Vec<u64> = buckets.levels(&principal(), None, 0).iter().map(|l| l.remaining).collect();
    assert_eq!(remaining, [4, 0]);
    buckets.settle(taken, None, 0);
    assert!(buckets.take(&principal(), "m", 1, 0).is_ok());
}

#[test]
fn an_estimate_is_replaced_by_what_was_used_and_debts_are_waited_for() {
    let mut buckets = buckets([limit(1, Measure::InputTokens, 1_000), limit(2, Measure::OutputTokens, 100)]);
    let taken = buckets.take(&principal(), "m", 5_000, 0).unwrap().unwrap();
    assert!(buckets.take(&principal(), "m", 1, 0).is_err(), "the estimate took all of it");
    buckets.settle(taken, Some(Used { input: 10, output: 150 }), 0);
    let beyond = buckets.take(&principal(), "m", 900, 0).unwrap_err();
    assert_eq!((beyond.level.limit.measure, beyond.wait), (Measure::OutputTokens, 30_600));
    let taken = buckets.take(&principal(), "m", 900, 30_600).unwrap().unwrap();
    // Nobody worked for it: its input is given back.
    buckets.settle(taken, None, 30_600);
    let remaining: Vec<u64> =
        buckets.levels(&principal(), None, 30_600).iter().map(|l| l.remaining).collect();
    assert_eq!(remaining, [1_000, 1]);
}

#[test]
fn a_limit_of_one_model_leaves_the_others_alone() {
    let models = ModelScope::only(&["claude-opus-*"]).unwrap();
    let mut buckets = buckets([Limit { models, ..limit(1, Measure::Requests, 1) }]);
    assert!(buckets.take(&principal(), "claude-opus-5", 1, 0).unwrap().is_some());
    assert!(buckets.take(&principal(), "claude-opus-5", 1, 0).is_err());
    assert!(buckets.take(&principal(), "claude-sonnet-5", 1, 0).unwrap().is_none());
}

#[test]
fn what_other_nodes_take_is_missing_here_and_a_node_that_goes_gives_nothing_back() {
    let mut buckets = buckets([limit(1, Measure::Requests, 10), limit(2, Measure::Concurrency, 3)]);
    let taken = buckets.take(&principal(), "m", 1, 0).unwrap().unwrap();
    let (rate, together) = (LimitId::from_bits(1), LimitId::from_bits(2));
    let word = |taken, under_way, missing| Others { taken, under_way, missing };
    // What they took before this node listened is their past, but for what is still missing.
    buckets.heard(rate, word(500, 0, 3), 0);
    buckets.heard(rate, word(504, 0, 7), 0);
    buckets.heard(together, word(0, 2, 0), 0);
    let remaining = |buckets: &mut Buckets| -> Vec<u64> {
        buckets.levels(&principal(), None, 0).iter().map(|l| l.remaining).collect()
    };
    assert_eq!(remaining(&mut buckets), [2, 0]);
    buckets.heard(rate, word(7, 0, 9), 0);
    buckets.heard(together, word(0, 1, 0), 0);
    assert_eq!(remaining(&mut buckets), [2, 1]);
    buckets.deaf();
    assert_eq!(remaining(&mut buckets), [2, 2]);
    buckets.settle(taken, None, 0);
    let told: Vec<i64> = buckets.words(&[], 0).iter().filter(|w| w.limit == rate).map(|w| w.taken).collect();
    assert_eq!(told, [1], "what others took is theirs to tell");
}

#[test]
fn a_changed_amount_keeps_what_was_taken() {
    let mut buckets = buckets([limit(1, Measure::Requests, 10)]);
    for _ in 0..8 {
        drop(buckets.take(&principal(), "m", 1, 0).unwrap());
    }
    buckets.install(&Arc::new(Limits::new([limit(1, Measure::Requests, 9)])));
    assert_eq!(buckets.levels(&principal(), None, 0)[0].remaining, 1);
    buckets.install(&Arc::new(Limits::new([limit(1, Measure::Requests, 5)])));
    assert_eq!(buckets.levels(&principal(), None, 0)[0].remaining, 0);
    assert!(buckets.take(&principal(), "m", 1, 0).is_err());
    buckets.install(&Arc::default());
    assert!(buckets.take(&principal(), "m", 1, 0).unwrap().is_none());
}

proptest! {
    /// Whatever comes when: in no minute does more pass than the bucket holds and gets, a refusal names the very moment
    /// from which on the request passes, and nobody is refused who has waited for it.
    #[test]
    fn never_too_many_and_never_refused_for_nothing(
        amount in 1..50_u64,
        steps in proptest::collection::vec(0..4_000_u64, 1..200),
    ) {
        let mut buckets = buckets([limit(1, Measure::Requests, amount)]);
        let (mut now, mut passed): (u64, VecDeque<u64>) = (0, VecDeque::new());
        for step in steps {
            now += step;
            match buckets.take(&principal(), "m", 1, now) {
                Ok(taken) => {
                    buckets.settle(taken.unwrap(), None, now);
                    passed.push_back(now);
                }
                Err(beyond) => {
                    prop_assert!(beyond.wait > 0 && beyond.wait <= 60_000);
                    let mut later = Buckets { limits: Arc::clone(&buckets.limits), buckets: HashMap::new() };
                    let bucket = &buckets.buckets[&LimitId::from_bits(1)];
                    let copy = Bucket { limit: Arc::clone(&bucket.limit), ..*bucket };
                    later.buckets.insert(LimitId::from_bits(1), copy);
                    let before = later.take(&principal(), "m", 1, now + beyond.wait - 1);
                    prop_assert!(before.is_err(), "refused for nothing");
                    prop_assert!(later.take(&principal(), "m", 1, now + beyond.wait).is_ok(), "a wait that was not enough");
                }
            }
            // A bucket holds a minute's amount and gets another one in a minute.
            let recent = passed.iter().filter(|at| now - **at < 60_000).count() as u64;
            prop_assert!(recent <= 2 * amount, "{recent} in a minute");
        }
    }
}
