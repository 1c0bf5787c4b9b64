mod orders;

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::exchange::Credential;
use crate::id::OrgId;

fn at(text: &str) -> UnixMillis {
    text.parse().unwrap()
}

fn principal(n: u128) -> Principal {
    Principal {
        org: OrgId::from_bits(1),
        user: UserId::from_bits(n),
        credential: Credential::Key(KeyId::from_bits(n)),
        team: (n != 3).then(|| TeamId::from_bits(n % 2)),
        project: None,
    }
}

fn budget(n: u128, holder: Holder, limit: i64) -> Budget {
    Budget {
        id: BudgetId::from_bits(n),
        holder,
        models: ModelScope::all(),
        provider: None,
        period: Period::Day,
        zone: Zone::UTC,
        limit: Nanos(limit),
        raised: Vec::new(),
        grace: 0,
        mode: Mode::Hard,
        thresholds: THRESHOLDS.to_vec(),
        when_away: WhenAway::Closed,
        created_at: UnixMillis(0),
    }
}

/// A book whose budgets are counted: nothing was spent.
fn book(budgets: Vec<Budget>, now: UnixMillis) -> Book {
    let mut book = Book::default();
    book.install(&Arc::new(Budgets::new(budgets)));
    for budget in book.uncounted() {
        assert!(book.count(budget.id, now, Nanos(0), 0));
    }
    book
}

fn charge(principal: &Principal, at: UnixMillis) -> Charge<'_> {
    Charge { principal, model: "m", provider: "p", at }
}

const NOON: &str = "2026-11-22T12:00:00Z";

#[test]
fn periods_begin_and_end_with_the_calendar() {
    for (period, when, start, end) in [
        (Period::Day, "2026-11-22T23:59:59.999Z", "2026-11-22", "2026-11-23"),
        (Period::Day, "2026-11-23", "2026-11-23", "2026-11-24"),
        (Period::Week, "2026-11-22T12:00:00Z", "2026-11-16", "2026-11-23"),
        (Period::Week, "2026-11-23", "2026-11-23", "2026-11-30"),
        (Period::Week, "1970-01-05", "1970-01-05", "1970-01-12"),
        (Period::Month, "2024-02-29T23:59:59Z", "2024-02-01", "2024-03-01"),
        (Period::Month, "2026-02-28", "2026-02-01", "2026-03-01"),
        (Period::Month, "2026-12-31T23:00:00Z", "2026-12-01", "2027-01-01"),
        (Period::Month, "2026-01-01", "2026-01-01", "2026-02-01"),
        (Period::Month, "2026-04-30", "2026-04-01", "2026-05-01"),
    ] {
        assert_eq!(period.start(at(when)), at(start), "{period:?} {when}");
        assert_eq!(period.end(at(when)), Some(at(end)), "{period:?} {when}");
    }
    assert_eq!((Period::Total.start(at(NOON)), Period::Total.end(at(NOON))), (UnixMillis(0), None));
}

#[test]
fn a_request_passes_all_budgets_or_holds_in_none() {
    let (me, now) = (principal(1), at(NOON));
    let wide = budget(1, Holder::Team(TeamId::from_bits(1)), 100);
    let narrow = budget(2, Holder::User(me.user), 10);
    let mut book = book(vec![wide, narrow, budget(3, Holder::Key(KeyId::from_bits(1)), 100)], now);
    let why = book.reserve(&charge(&me, now), Nanos(11), now).unwrap_err();
    assert_eq!((why.standing.budget.id, why.worst), (BudgetId::from_bits(2), Nanos(11)));
    for standing in book.standings(&me, now) {
        assert_eq!((standing.spent, standing.held), (Nanos(0), Nanos(0)), "{standing:?}");
    }
    let held = book.reserve(&charge(&me, now), Nanos(10), now).unwrap();
    assert!(book.reserve(&charge(&me, now), Nanos(1), now).is_err(), "all of it is held");
    book.settle(held.hold, &charge(&me, now), Nanos(4), 1);
    let spent: Vec<_> = book.standings(&me, now).iter().map(|s| (s.spent.0, s.held.0)).collect();
    assert_eq!(spent, [(4, 0); 3]);
    let other = principal(3);
    assert_eq!(book.reserve(&charge(&other, now), Nanos(1000), now).unwrap().hold, None, "none applies");
}

#[test]
fn a_period_that_begins_anew_forgets_and_late_ends_count_where_they_began() {
    let (me, late, early) = (principal(1), at("2026-11-22T23:59:59.999Z"), at("2026-11-23"));
    let mut book = book(vec![budget(1, Holder::User(me.user), 10)], late);
    let held = book.reserve(&charge(&me, late), Nanos(10), late).unwrap();
    assert!(book.reserve(&charge(&me, late), Nanos(1), late).is_err());
    let next = book.reserve(&charge(&me, early), Nanos(10), early).unwrap();
    book.settle(held.hold, &charge(&me, late), Nanos(7), 1);
    book.settle(next.hold, &charge(&me, early), Nanos(2), 2);
    let spent = |at| book.standing(BudgetId::from_bits(1), at).unwrap().spent;
    assert_eq!((spent(late), spent(early)), (Nanos(7), Nanos(2)));
}

#[test]
fn shadow_budgets_and_other_models_refuse_nothing() {
    let (me, now) = (principal(1), at(NOON));
    let shadow = Budget { mode: Mode::Shadow, ..budget(1, Holder::User(me.user), 1) };
    let models = ModelScope::only(&["claude-opus-*"]).unwrap();
    let opus = Budget { models, ..budget(2, Holder::Organization, 1) };
    let cloud = Budget { provider: Some("cloud".into()), ..budget(3, Holder::Organization, 1) };
    let mut book = book(vec![shadow, opus, cloud], now);
    let held = book.reserve(&charge(&me, now), Nanos(50), now).unwrap();
    assert_eq!(held.fullest, None);
    book.settle(held.hold, &charge(&me, now), Nanos(30), 1);
    let spent: Vec<_> = book.standings(&me, now).iter().map(|s| (s.budget.id.bits(), s.spent.0)).collect();
    assert_eq!(spent, [(2, 0), (3, 0), (1, 30)]);
}

#[test]
fn thresholds_are_reached_at_their_part_of_the_limit() {
    let (me, now) = (principal(1), at(NOON));
    let mut book = book(vec![budget(1, Holder::User(me.user), 1000)], now);
    for (cost, used, threshold) in
        [(749, 7490, None), (1, 7500, Some(75)), (200, 9500, Some(95)), (50, 10_000, Some(95))]
    {
        book.settle(None, &charge(&me, now), Nanos(cost), 1);
        let standing = book.standing(BudgetId::from_bits(1), now).unwrap();
        assert_eq!((standing.used(), standing.threshold()), (used, threshold));
    }
    assert_eq!(read_thresholds(Some(&[90, 50, 90])), Ok(vec![50, 90]));
    assert!(read_thresholds(Some(&[0])).is_err() && read_thresholds(Some(&[101])).is_err());
}

#[test]
fn what_nobody_settles_is_given_back_in_the_end_and_a_late_end_still_counts() {
    let (me, now) = (principal(1), at(NOON));
    let mut book = book(vec![budget(1, Holder::Organization, 10)], now);
    let lost = book.reserve(&charge(&me, now), Nanos(10), now).unwrap();
    let later = now.plus_millis(HOLD_MS);
    assert!(book.reserve(&charge(&me, now), Nanos(1), later.plus_millis(-1)).is_err());
    let held = book.reserve(&charge(&me, now), Nanos(5), later).unwrap();
    book.settle(lost.hold, &charge(&me, now), Nanos(9), 1);
    let standing = book.standing(BudgetId::from_bits(1), now).unwrap();
    assert_eq!((standing.spent, standing.held), (Nanos(9), Nanos(5)), "the other's hold is untouched");
    book.settle(held.hold, &charge(&me, now), Nanos(0), 2);
}

#[test]
fn a_changed_limit_keeps_the_account_and_a_removed_budget_loses_it() {
    let (me, now) = (principal(1), at(NOON));
    let mut book = book(vec![budget(1, Holder::Organization, 10)], now);
    let held = book.reserve(&charge(&me, now), Nanos(10), now).unwrap();
    book.install(&Arc::new(Budgets::new([budget(1, Holder::Organization, 5)])));
    assert!(book.uncounted().is_empty());
    book.settle(held.hold, &charge(&me, now), Nanos(4), 1);
    assert!(book.reserve(&charge(&me, now), Nanos(2), now).is_err());
    let held = book.reserve(&charge(&me, now), Nanos(1), now).unwrap();
    book.install(&Arc::default());
    assert_eq!(book.reserve(&charge(&me, now), Nanos(99), now).unwrap().hold, None);
    book.install(&Arc::new(Budgets::new([budget(1, Holder::Organization, 5)])));
    assert!(book.count(BudgetId::from_bits(1), now, Nanos(4), 1));
    let other = book.reserve(&charge(&me, now), Nanos(1), now).unwrap();
    book.settle(held.hold, &charge(&me, now), Nanos(0), 2);
    assert_eq!(
        book.standing(BudgetId::from_bits(1), now).unwrap().held,
        Nanos(1),
        "the old hold is not the new one"
    );
    book.settle(other.hold, &charge(&me, now), Nanos(0), 3);
}

#[test]
fn counting_begins_anew_when_too_much_ends_meanwhile() {
    let (me, now) = (principal(1), at(NOON));
    let mut book = Book::default();
    book.install(&Arc::new(Budgets::new([budget(1, Holder::Organization, 10)])));
    for ticket in 1..=MAX_WAITING as u64 + 1 {
        book.settle(None, &charge(&me, now), Nanos(1), ticket);
    }
    assert!(!book.count(BudgetId::from_bits(1), now, Nanos(7), 3));
    assert_eq!(book.uncounted().len(), 1);
    assert!(book.count(BudgetId::from_bits(1), now, Nanos(7), u64::MAX));
    assert_eq!(book.standing(BudgetId::from_bits(1), now).unwrap().spent, Nanos(7));
}

#[test]
fn a_raise_counts_until_its_end_and_grace_lies_behind_the_limit() {
    let (me, now) = (principal(1), at(NOON));
    let raised = vec![Raised { amount: Nanos(50), until: now.plus_millis(1000) }];
    let mut book = book(vec![Budget { raised, grace: 10, ..budget(1, Holder::Organization, 100) }], now);
    let held = book.reserve(&charge(&me, now), Nanos(165), now).unwrap();
    assert!(book.reserve(&charge(&me, now), Nanos(1), now).is_err(), "150 and a tenth of it");
    book.settle(held.hold, &charge(&me, now), Nanos(105), 1);
    let standing = book.standing(BudgetId::from_bits(1), now).unwrap();
    assert_eq!((standing.limit, standing.ceiling, standing.used()), (Nanos(150), Nanos(165), 7_000));
    let later = now.plus_millis(1000);
    let standing = book.standing(BudgetId::from_bits(1), later).unwrap();
    assert_eq!((standing.limit, standing.ceiling), (Nanos(100), Nanos(110)));
    assert!(book.reserve(&charge(&me, later), Nanos(6), later).is_err());
    let held = book.reserve(&charge(&me, later), Nanos(5), later).unwrap();
    assert_eq!(held.fullest.unwrap().threshold(), Some(95), "within the grace people are warned");
    book.settle(held.hold, &charge(&me, later), Nanos(0), 2);
}

#[test]
fn a_period_of_a_zone_ends_when_its_day_does() {
    let me = principal(1);
    let zurich = Budget { zone: "Europe/Zurich".parse().unwrap(), ..budget(1, Holder::User(me.user), 10) };
    // The day on which the clock is put forward: 23 hours, from 23:00 to 22:00 UTC.
    let (first, last) = (at("2026-03-28T23:00:00Z"), at("2026-03-29T21:59:59Z"));
    let mut book = book(vec![zurich], first);
    let held = book.reserve(&charge(&me, first), Nanos(10), first).unwrap();
    book.settle(held.hold, &charge(&me, first), Nanos(10), 1);
    let refused = book.reserve(&charge(&me, last), Nanos(1), last).unwrap_err();
    assert_eq!(refused.standing.resets_at, Some(at("2026-03-29T22:00:00Z")));
    let next = at("2026-03-29T22:00:00Z");
    let held = book.reserve(&charge(&me, next), Nanos(10), next).unwrap();
    book.settle(held.hold, &charge(&me, next), Nanos(10), 2);
}

#[test]
fn a_clock_that_is_put_back_asks_the_ledger_again() {
    let (me, now, ahead) = (principal(1), at(NOON), at("2026-11-25T12:00:00Z"));
    let mut book = book(vec![budget(1, Holder::Organization, 10)], ahead);
    let id = BudgetId::from_bits(1);
    // The day before what was counted: nobody knows what was spent there, so nobody is refused for it.
    let held = book.reserve(&charge(&me, now), Nanos(4), now).unwrap();
    assert_eq!(book.standing(id, now), None);
    assert!(book.count(book.uncounted()[0].id, now, Nanos(5), 1));
    let standing = book.standing(id, now).unwrap();
    assert_eq!((standing.spent, standing.held), (Nanos(5), Nanos(4)));
    assert!(book.reserve(&charge(&me, now), Nanos(2), now).is_err());
    book.settle(held.hold, &charge(&me, now), Nanos(5), 2);
    assert_eq!(book.standing(id, now).unwrap().spent, Nanos(10));
    // The next day begins with nothing, unless the book has seen it.
    let tomorrow = at("2026-11-23T00:00:00Z");
    assert_eq!(book.standing(id, tomorrow), None, "before the latest that was seen");
    assert_eq!(book.standing(id, at("2026-11-26T00:00:00Z")).unwrap().spent, Nanos(0));
}

/// One step of a random history.
#[derive(Debug, Clone)]
enum Step {
    Reserve {
        who: u128,
        worst: i64,
    },
    /// Ends the nth request under way; the cost is a part of its worst case, in percent, over 100 too.
    End {
        which: usize,
        percent: i64,
    },
    /// The end of an exchange reaches the ledger before the book hears of it.
    Hear,
    Pass {
        minutes: i64,
    },
    Limit {
        budget: usize,
        limit: i64,
    },
    /// The process dies: what is under way is recorded at a cost, and the account begins anew from the ledger.
    Crash,
    /// A budget is made.
    Make {
        holder: usize,
        limit: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..5_u128, 0..40_i64).prop_map(|(who, worst)| Step::Reserve { who, worst }),
        6 => (0..8_usize, 0..130_i64).prop_map(|(which, percent)| Step::End { which, percent }),
        3 => Just(Step::Hear),
        1 => (1..900_i64).prop_map(|minutes| Step::Pass { minutes }),
        1 => (0..4_usize, 0..200_i64).prop_map(|(budget, limit)| Step::Limit { budget, limit }),
        1 => Just(Step::Crash),
        1 => (0..4_usize, 0..200_i64).prop_map(|(holder, limit)| Step::Make { holder, limit }),
    ]
}

fn holder(n: usize) -> Holder {
    match n {
        0 => Holder::Organization,
        1 => Holder::Team(TeamId::from_bits(0)),
        2 => Holder::Team(TeamId::from_bits(1)),
        _ => Holder::User(UserId::from_bits(1)),
    }
}

/// The reference: every exchange in plain lists, all sums made anew each time.
#[derive(Default)]
struct World {
    budgets: Vec<Budget>,
    /// Whose, when it began, what is held.
    open: Vec<(u128, UnixMillis, i64, Option<Hold>)>,
    /// Whose, when it began, cost: in the ledger, with the number as ticket.
    ended: Vec<(u128, UnixMillis, i64)>,
    /// Ends that the book has not heard of: the hold and the index in `ended`, with what it holds.
    unheard: Vec<(Option<Hold>, usize, i64)>,
}

impl World {
    fn counts(budget: &Budget, who: u128, began: UnixMillis, now: UnixMillis) -> bool {
        let mine = Holder::of(&principal(who)).any(|holder| holder == budget.holder);
        mine && budget.period.start(began) == budget.period.start(now)
    }

    fn spent(&self, budget: &Budget, now: UnixMillis, through: usize) -> i64 {
        let ended = self.ended[..through].iter();
        ended.filter(|(who, began, _)| Self::counts(budget, *who, *began, now)).map(|(.., cost)| cost).sum()
    }

    fn held(&self, budget: &Budget, now: UnixMillis) -> i64 {
        let open = self.open.iter().map(|(who, began, worst, _)| (*who, *began, *worst));
        open.filter(|(who, began, _)| Self::counts(budget, *who, *began, now)).map(|(.., worst)| worst).sum()
    }

    fn install(&self, book: &mut Book, now: UnixMillis) {
        book.install(&Arc::new(Budgets::new(self.budgets.clone())));
        for budget in book.uncounted() {
            // The database has everything that has ended, whether the book has heard of it or not.
            let spent = self.spent(&budget, now, self.ended.len());
            assert!(book.count(budget.id, now, Nanos(spent), self.ended.len() as u64));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order, the book says what the plain lists say: nobody passes who would go beyond a
    /// limit, nobody is refused who would not, and all sums are exact.
    #[test]
    fn the_book_agrees_with_plain_lists(steps in prop::collection::vec(step(), 1..120)) {
        let mut now = at(NOON);
        let mut book = Book::default();
        let mut world = World::default();
        let mut made = 0;
        for step in steps {
            match step {
                Step::Make { holder: n, limit } => {
                    made += 1;
                    world.budgets.push(budget(made, holder(n), limit));
                    // Holds of requests from before are not of this budget: they end first, here.
                    while let Some((hold, index, _)) = world.unheard.pop() {
                        let (who, began, cost) = world.ended[index];
                        book.settle(hold, &charge(&principal(who), began), Nanos(cost), index as u64 + 1);
                    }
                    for (who, began, worst, hold) in world.open.drain(..) {
                        world.ended.push((who, began, worst));
                        book.settle(hold, &charge(&principal(who), began), Nanos(worst), world.ended.len() as u64);
                    }
                    world.install(&mut book, now);
                }
                Step::Limit { budget, limit } => {
                    if let Some(budget) = world.budgets.get_mut(budget) {
                        budget.limit = Nanos(limit);
                    }
                    world.install(&mut book, now);
                }
                Step::Pass { minutes } => {
                    now = now.plus_millis(minutes * 60_000);
                    while let Some((hold, index, _)) = world.unheard.pop() {
                        let (who, began, cost) = world.ended[index];
                        book.settle(hold, &charge(&principal(who), began), Nanos(cost), index as u64 + 1);
                    }
                    // Nothing is under way for so long that its hold is given up.
                    let (over, open): (Vec<_>, Vec<_>) =
                        world.open.drain(..).partition(|(_, began, ..)| began.plus_millis(HOLD_MS) <= now);
                    world.open = open;
                    for (who, began, worst, hold) in over {
                        world.ended.push((who, began, worst));
                        book.settle(hold, &charge(&principal(who), began), Nanos(worst), world.ended.len() as u64);
                    }
                }
                Step::Reserve { who, worst } => {
                    // What the book has not heard of is still held there.
                    let late: HashMap<BudgetId, i64> = world.budgets.iter().map(|budget| {
                        let late = world.unheard.iter().filter(|(_, index, _)| {
                            let (who, began, _) = world.ended[*index];
                            World::counts(budget, who, began, now)
                        });
                        (budget.id, late.map(|(_, index, held)| held - world.ended[*index].2).sum())
                    }).collect();
                    let full = world.budgets.iter().any(|budget| {
                        World::counts(budget, who, now, now)
                            && world.spent(budget, now, world.ended.len()) + late[&budget.id]
                                + world.held(budget, now) + worst > budget.limit.0
                    });
                    let me = principal(who);
                    match book.reserve(&charge(&me, now), Nanos(worst), now) {
                        Ok(admission) => {
                            prop_assert!(!full, "let through beyond a limit");
                            world.open.push((who, now, worst, admission.hold));
                        }
                        Err(why) => prop_assert!(full, "refused though there is room: {why:?}"),
                    }
                }
                Step::End { which, percent } => {
                    if world.open.is_empty() { continue; }
                    let (who, began, worst, hold) = world.open.swap_remove(which % world.open.len());
                    world.ended.push((who, began, worst * percent / 100));
                    world.unheard.push((hold, world.ended.len() - 1, worst));
                }
                Step::Hear => {
                    if world.unheard.is_empty() { continue; }
                    let (hold, index, _) = world.unheard.remove(0);
                    let (who, began, cost) = world.ended[index];
                    book.settle(hold, &charge(&principal(who), began), Nanos(cost), index as u64 + 1);
                }
                Step::Crash => {
                    for (who, began, worst, _) in world.open.drain(..) {
                        world.ended.push((who, began, worst / 2));
                    }
                    world.unheard.clear();
                    book = Book::default();
                    world.install(&mut book, now);
                }
            }
        }
        for (hold, index, _) in world.unheard.drain(..) {
            let (who, began, cost) = world.ended[index];
            book.settle(hold, &charge(&principal(who), began), Nanos(cost), index as u64 + 1);
        }
        for budget in &world.budgets {
            let standing = book.standing(budget.id, now).unwrap();
            prop_assert_eq!(standing.spent.0, world.spent(budget, now, world.ended.len()));
            prop_assert_eq!(standing.held.0, world.held(budget, now));
        }
    }

    /// Ends that come in while a budget is counted, in whatever order the book hears of them and wherever the database
    /// stands: each is in the account once.
    #[test]
    fn counting_misses_nothing_and_counts_nothing_twice(
        costs in prop::collection::vec(0..1000_i64, 1..60),
        installed in 0..60_usize,
        through in 0..60_usize,
        counted in 0..60_usize,
        swaps in prop::collection::vec((0..60_usize, 0..60_usize), 0..20),
    ) {
        let (me, now) = (principal(1), at(NOON));
        let mut heard: Vec<usize> = (0..costs.len()).collect();
        for (a, b) in swaps {
            let n = costs.len();
            heard.swap(a % n, b % n);
        }
        let installed = installed % costs.len();
        // The database is asked once it has everything that the book had heard of before it watched the budget.
        let least = heard[..installed].iter().map(|n| n + 1).max().unwrap_or(0);
        let through = (through % (costs.len() + 1)).max(least);
        let counted = (counted % (costs.len() + 1)).max(installed);
        let mut book = Book::default();
        for (step, which) in heard.iter().enumerate() {
            if step == installed {
                book.install(&Arc::new(Budgets::new([budget(1, Holder::Organization, 1)])));
            }
            if step == counted {
                let sum = costs[..through].iter().sum();
                prop_assert!(book.count(BudgetId::from_bits(1), now, Nanos(sum), through as u64));
            }
            book.settle(None, &charge(&me, now), Nanos(costs[*which]), *which as u64 + 1);
        }
        if counted == costs.len() {
            let sum = costs[..through].iter().sum();
            prop_assert!(book.count(BudgetId::from_bits(1), now, Nanos(sum), through as u64));
        }
        prop_assert_eq!(book.standing(BudgetId::from_bits(1), now).unwrap().spent.0, costs.iter().sum::<i64>());
    }
}
