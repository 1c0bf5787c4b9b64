use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::exchange::Credential;
use crate::id::{KeyId, OrgId};

/// One reply that says this of requests.
fn heard(limit: u64, remaining: u64, whole_in: u64) -> Heard {
    Heard { told: [Some(Told { limit, remaining, whole_in }), None, None, None], refused: None }
}

fn refused(after: Option<u64>) -> Heard {
    Heard { refused: Some(after), ..Heard::default() }
}

const BOUNDS: (u64, u64) = (5_000, 300_000);

#[test]
fn what_is_used_up_fills_evenly_and_one_goes_as_soon_as_there_is_one() {
    let mut lane = Lane::default();
    assert_eq!((lane.wait(0, 7), lane.wait(1000, 7), lane.is_tight(7)), (0, 0, false), "nothing is known");
    lane.hear(&heard(60, 0, 60_000), None, BOUNDS, 100);
    assert!(lane.is_tight(100));
    assert_eq!((lane.wait(0, 100), lane.wait(1, 100), lane.wait(59, 100)), (1_000, 2_000, 60_000));
    assert_eq!((lane.wait(0, 1_099), lane.wait(0, 1_100)), (1, 0));
    lane.begin();
    assert_eq!(lane.wait(0, 1_100), 1_000, "that one has gone");
    assert_eq!(
        (lane.wait(5_000, 60_100), lane.is_tight(60_100)),
        (0, false),
        "whole again: nothing is known any more"
    );
    // Tokens: a second's worth.
    let mut lane = Lane::default();
    let told = Some(Told { limit: 60_000, remaining: 500, whole_in: 59_500 });
    lane.hear(&Heard { told: [None, None, told, None], refused: None }, None, BOUNDS, 0);
    assert_eq!(lane.wait(0, 0), 500);
}

#[test]
fn what_went_after_a_request_is_not_in_what_its_reply_tells() {
    let mut lane = Lane::default();
    lane.hear(&heard(100, 3, 60_000), None, BOUNDS, 0);
    let first = lane.begin();
    let (second, third) = (lane.begin(), lane.begin());
    assert!(lane.wait(0, 0) > 0);
    lane.hear(&heard(100, 2, 60_000), Some(first), BOUNDS, 0);
    assert!(lane.wait(0, 0) > 0, "two went since");
    lane.hear(&heard(100, 1, 60_000), Some(second), BOUNDS, 0);
    lane.hear(&heard(100, 1, 60_000), Some(third), BOUNDS, 0);
    assert_eq!(lane.wait(0, 0), 0);
    lane.hear(&heard(100, 1, 60_000), Some(u64::MAX), BOUNDS, 0);
    assert_eq!(lane.wait(0, 0), 0, "a number of another lane");
}

#[test]
fn after_a_refusal_it_is_left_alone_and_then_tried_with_few() {
    let mut lane = Lane::default();
    lane.hear(&refused(Some(3_000)), None, BOUNDS, 0);
    assert_eq!((lane.closed_for(1_000), lane.wait(0, 1_000)), (2_000, 2_000));
    assert_eq!(
        (lane.wait(1, 0), lane.wait(2, 0), lane.wait(3, 0), lane.wait(999, 0)),
        (4_000, 5_000, 5_000, 9_000)
    );
    assert_eq!(lane.wait(0, 3_000), 0);
    lane.begin();
    assert_eq!(lane.wait(0, 3_000), 1_000);
    assert!(lane.is_tight(8_999));
    assert_eq!((lane.wait(999, 9_000), lane.is_tight(9_000)), (0, false));
    for (after, closed) in [(None, 5_000), (Some(u64::MAX), 300_000), (Some(0), 0)] {
        let mut lane = Lane::default();
        lane.hear(&refused(after), None, BOUNDS, 0);
        assert_eq!(lane.closed_for(0), closed, "{after:?}");
    }
    let mut lane = Lane::default();
    lane.hear(&refused(Some(9_000)), None, BOUNDS, 0);
    lane.hear(&refused(Some(1_000)), None, BOUNDS, 0);
    assert_eq!(lane.closed_for(0), 9_000, "what was asked for longest holds");
}

#[test]
fn so_many_a_minute() {
    let mut rate = Rate::new(6, 0);
    for _ in 0..6 {
        assert_eq!(rate.wait(0, 0), 0);
        rate.take(0);
    }
    assert_eq!(
        (rate.wait(0, 0), rate.wait(1, 0), rate.wait(0, 9_999), rate.wait(0, 10_000)),
        (10_000, 20_000, 1, 0)
    );
    assert_eq!(rate.wait(5, 1_000_000), 0, "no more than a minute's are saved up");
    assert_eq!(rate.wait(6, 1_000_000), 10_000);
}

#[test]
fn the_first_share_that_fits_decides() {
    let share = |name: &str, teams: &[u128], users: &[u128], weight| Share {
        name: name.to_owned(),
        teams: teams.iter().map(|team| TeamId::from_bits(*team)).collect(),
        users: users.iter().map(|user| UserId::from_bits(*user)).collect(),
        weight,
    };
    let queuing = Queuing {
        shares: vec![share("a", &[], &[7], 5), share("b", &[1], &[], 3), share("c", &[1, 2], &[7], 2)],
        ..Queuing::default()
    };
    for (user, team, weight) in
        [(7, Some(1), 5), (8, Some(1), 3), (8, Some(2), 2), (8, Some(3), 1), (8, None, 1)]
    {
        let principal = Principal {
            org: OrgId::from_bits(1),
            user: UserId::from_bits(user),
            credential: Credential::Key(KeyId::from_bits(1)),
            team: team.map(TeamId::from_bits),
            project: None,
        };
        assert_eq!(queuing.weight(&principal), weight, "{user} {team:?}");
    }
}

#[test]
fn a_modest_user_is_not_behind_a_greedy_one() {
    let mut fair = Fair::default();
    for n in 0..100 {
        fair.push(1, 1, (1, n));
    }
    assert_eq!((fair.ahead(2, 1, |_| true), fair.ahead(1, 1, |_| true)), (1, 100));
    for n in 0..5 {
        fair.push(2, 1, (2, n));
    }
    let order: Vec<_> = std::iter::from_fn(|| fair.pop(|_| true)).collect();
    assert_eq!(order[..4], [(1, 0), (2, 0), (1, 1), (2, 1)]);
    let last = order.iter().position(|one| *one == (2, 4)).unwrap();
    assert_eq!(order[..last].iter().filter(|one| one.0 == 1).count(), 5);
    assert_eq!(order.len(), 105);
}

#[test]
fn who_could_not_go_has_no_turns_saved_up() {
    let mut fair = Fair::default();
    for n in 0..50 {
        fair.push(1, 1, (1, n));
        fair.push(2, 1, (2, n));
    }
    for _ in 0..20 {
        assert_eq!(fair.pop(|one| one.0 == 2).map(|one| one.0), Some(2), "what may go goes");
    }
    let next: Vec<_> = (0..10).filter_map(|_| fair.pop(|_| true)).map(|one| one.0).collect();
    assert!(next.iter().filter(|user| **user == 1).count() <= 6, "{next:?}");
}

#[test]
fn whoever_waits_with_the_most_makes_room() {
    let mut fair = Fair::default();
    for n in 0..6 {
        fair.push(1, 1, (1, n));
        fair.push(2, 4, (2, n));
    }
    assert_eq!((fair.pop_last(1, 1), fair.pop_last(3, 1)), (None, Some((1, 5))));
    assert_eq!((fair.pop_last(2, 4), fair.pop_last(3, 1), fair.len()), (Some((1, 4)), Some((1, 3)), 9));
    assert_eq!((fair.pop_last(3, 1), fair.pop_last(3, 1)), (Some((1, 2)), Some((1, 1))));
    assert_eq!((fair.pop_last(3, 1), fair.pop_last(3, 2)), (Some((2, 5)), Some((2, 4))));
    assert_eq!((fair.pop_last(3, 1), fair.pop(|_| true)), (None, Some((1, 0))));
}

#[test]
fn users_that_are_gone_are_forgotten() {
    let mut fair = Fair::default();
    fair.push(0, 1, ());
    for user in 1..5_000 {
        fair.push(user, 1, ());
        assert!(fair.pop(|()| true).is_some());
        assert!(fair.lines.len() <= 2 && fair.debts.len() <= 4096);
    }
    while fair.pop(|()| true).is_some() {}
    assert!(fair.is_empty() && fair.lines.is_empty() && fair.debts.is_empty());
}

/// What happens to a queue.
#[derive(Debug, Clone)]
enum Event {
    Comes(u8),
    Leaves(usize),
    Turn,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (0_u8..5).prop_map(Event::Comes),
        1 => any::<usize>().prop_map(Event::Leaves),
        3 => Just(Event::Turn),
    ];
    prop::collection::vec(event, 1..400)
}

proptest! {
    /// While a user of weight `w` waits for its `k`-th turn, one of weight `v` gets at most `k * v / w + 1`, rounded up. What
    /// waits gets a turn whenever there is one, in the order of its user, once, unless it has left.
    #[test]
    fn nobody_is_passed_by_more_than_weights_allow(events in events(), weights in prop::array::uniform5(1_u32..=8)) {
        let mut fair: Fair<(u8, u64)> = Fair::default();
        let mut waiting: Vec<(Ticket, (u8, u64))> = Vec::new();
        // Of each user that waits without a break: its turns since, and those of others.
        let mut since: HashMap<u8, (u32, HashMap<u8, u32>)> = HashMap::new();
        let mut numbers = 0;
        for event in events {
            match event {
                Event::Comes(user) => {
                    let what = (user, numbers);
                    numbers += 1;
                    let before = fair.ahead(user.into(), weights[usize::from(user)], |_| true);
                    prop_assert!(before <= waiting.len() as u64);
                    let ticket = fair.push(user.into(), weights[usize::from(user)], what);
                    waiting.push((ticket, what));
                    since.entry(user).or_default();
                }
                Event::Leaves(which) if !waiting.is_empty() => {
                    let (ticket, what) = waiting.remove(which % waiting.len());
                    prop_assert_eq!(fair.remove(ticket), Some(what));
                    prop_assert_eq!(fair.remove(ticket), None, "once");
                }
                Event::Leaves(_) => {}
                Event::Turn => {
                    let Some(what) = fair.pop(|_| true) else {
                        prop_assert!(waiting.is_empty(), "a turn was given away");
                        continue;
                    };
                    let first = waiting.iter().position(|(_, one)| one.0 == what.0);
                    prop_assert_eq!(first.map(|at| waiting[at].1), Some(what), "in the order of its user, once");
                    waiting.remove(first.unwrap());
                    for (user, (own, others)) in &mut since {
                        if *user == what.0 {
                            *own += 1;
                        } else {
                            *others.entry(what.0).or_default() += 1;
                        }
                    }
                    for (user, (own, others)) in &since {
                        for (other, count) in others {
                            let (w, v) = (weights[usize::from(*user)], weights[usize::from(*other)]);
                            let bound = ((own + 1) * v).div_ceil(w) + 1;
                            prop_assert!(*count <= bound, "{user} waits for turn {}, {other} had {count}", own + 1);
                        }
                    }
                }
            }
            since.retain(|user, _| waiting.iter().any(|(_, one)| one.0 == *user));
            prop_assert_eq!(fair.len(), waiting.len());
            for user in 0..5_u8 {
                let own = waiting.iter().filter(|(_, one)| one.0 == user).count();
                prop_assert_eq!(fair.len_of(user.into()), own);
            }
        }
        for (ticket, what) in waiting {
            prop_assert_eq!(fair.remove(ticket), Some(what), "nothing is lost");
        }
        prop_assert!(fair.is_empty() && fair.pop(|_| true).is_none());
    }

    /// Whatever a provider says, a lane opens again, and what is said of it adds up.
    #[test]
    fn no_provider_closes_a_lane_for_good(
        said in prop::collection::vec((1_u64..=MAX_AMOUNT, any::<u64>(), any::<u64>(), prop::option::of(any::<u64>())), 1..20),
        gone in 0_u64..200,
    ) {
        let mut lane = Lane::default();
        let mut now = 0;
        for (limit, remaining, whole_in, after) in said {
            let told = Some(Told { limit, remaining: remaining.min(limit), whole_in });
            lane.hear(&Heard { told: [told; 4], refused: Some(after) }, Some(gone), BOUNDS, now);
            for _ in 0..gone {
                lane.begin();
            }
            for (_, told) in lane.levels(now + 10) {
                prop_assert!(told.remaining <= told.limit);
            }
            let wait = lane.wait(0, now);
            prop_assert!(wait <= 306_000, "{wait}");
            prop_assert_eq!(lane.wait(0, now + wait), 0, "what it says holds");
            now += wait;
        }
    }
}
