//! Random trees of budgets, with all periods and zones, and random orders of everything that can happen to them, against
//! a reference that keeps every exchange in a plain list and makes all sums anew each time.

use super::*;

const MODELS: [&str; 2] = ["claude-opus-5-5", "claude-haiku-5-5"];
/// Requests that are under way at most: fewer than periods are kept in which something is held.
const MOST_OPEN: usize = 12;

#[derive(Debug, Clone)]
struct Made {
    holder: usize,
    model: Option<usize>,
    period: usize,
    zone: &'static str,
    limit: i64,
    shadow: bool,
    grace: u8,
}

#[derive(Debug, Clone)]
enum Step {
    Make(Made),
    Reserve {
        who: u128,
        model: usize,
        worst: i64,
    },
    /// An exchange ends and is in the ledger; its cost is a part of its worst case, in percent.
    End {
        which: usize,
        percent: i64,
    },
    /// The book hears of an end, in any order.
    Hear {
        which: usize,
    },
    /// A request is lost: nobody will ever settle it.
    Lose {
        which: usize,
    },
    Pass {
        minutes: i64,
    },
    /// The clock is put back.
    Back {
        minutes: i64,
    },
    Limit {
        which: usize,
        limit: i64,
        shadow: bool,
    },
    Raise {
        which: usize,
        amount: i64,
        minutes: i64,
    },
    /// The process dies: what is under way is recorded at a cost, and the account begins anew from the ledger.
    Crash,
}

fn made() -> impl Strategy<Value = Made> {
    let zones = vec!["UTC", "Europe/Zurich", "Asia/Kolkata", "America/New_York"];
    (
        0..7_usize,
        prop::option::weighted(0.3, 0..2_usize),
        0..4_usize,
        prop::sample::select(zones),
        0..300_i64,
        prop::bool::weighted(0.2),
        0..40_u8,
    )
        .prop_map(|(holder, model, period, zone, limit, shadow, grace)| Made {
            holder,
            model,
            period,
            zone,
            limit,
            shadow,
            grace,
        })
}

fn step() -> impl Strategy<Value = Step> {
    // Some minutes, some hours, some days.
    let span = || prop_oneof![1..90_i64, 90..1_500_i64, 1_500..60_000_i64];
    prop_oneof![
        2 => made().prop_map(Step::Make),
        12 => (1..5_u128, 0..2_usize, 0..40_i64).prop_map(|(who, model, worst)| Step::Reserve { who, model, worst }),
        8 => (0..9_usize, 0..130_i64).prop_map(|(which, percent)| Step::End { which, percent }),
        5 => (0..9_usize).prop_map(|which| Step::Hear { which }),
        1 => (0..9_usize).prop_map(|which| Step::Lose { which }),
        3 => span().prop_map(|minutes| Step::Pass { minutes }),
        1 => span().prop_map(|minutes| Step::Back { minutes }),
        1 => (0..6_usize, 0..300_i64, prop::bool::weighted(0.2))
            .prop_map(|(which, limit, shadow)| Step::Limit { which, limit, shadow }),
        1 => (0..6_usize, 1..90_i64, span()).prop_map(|(which, amount, minutes)| Step::Raise { which, amount, minutes }),
        1 => Just(Step::Crash),
    ]
}

fn holder(n: usize) -> Holder {
    match n {
        0 => Holder::Organization,
        1 => Holder::Team(TeamId::from_bits(0)),
        2 => Holder::Team(TeamId::from_bits(1)),
        3 => Holder::User(UserId::from_bits(1)),
        4 => Holder::User(UserId::from_bits(2)),
        5 => Holder::Key(KeyId::from_bits(1)),
        _ => Holder::Key(KeyId::from_bits(3)),
    }
}

/// A request that was let through.
struct Under {
    who: u128,
    model: usize,
    began: UnixMillis,
    worst: i64,
    until: UnixMillis,
    /// Given up by the book, since its time was over.
    given_up: bool,
    /// Budgets that there were.
    budgets: usize,
    hold: Option<Hold>,
}

/// An exchange in the ledger. Its ticket is its place, from 1 on.
struct Ended {
    who: u128,
    model: usize,
    began: UnixMillis,
    cost: i64,
    heard: bool,
}

#[derive(Default)]
struct World {
    book: Book,
    now: UnixMillis,
    /// The latest time that was.
    latest: UnixMillis,
    /// Whether the clock was put back since the process began.
    went_back: bool,
    budgets: Vec<Budget>,
    /// Of each budget: up to which ticket it was counted, and in the period with which start.
    counted: Vec<(usize, UnixMillis)>,
    open: Vec<Under>,
    /// Ended, and the book has not heard of it: the place in `ended`.
    unheard: Vec<(Under, usize)>,
    lost: Vec<Under>,
    ended: Vec<Ended>,
}

impl World {
    fn counts(&self, budget: &Budget, who: u128, model: usize, began: UnixMillis) -> bool {
        Holder::of(&principal(who)).any(|holder| holder == budget.holder)
            && budget.models.allows(MODELS[model])
            && budget.start(began) == budget.start(self.now)
    }

    /// What the ledger has of a budget in the period of now.
    fn spent(&self, which: usize, known_to_the_book: bool) -> i64 {
        let budget = &self.budgets[which];
        let (through, period) = self.counted[which];
        let mine = self.ended.iter().enumerate().filter(|(place, e)| {
            let known = e.heard || (*place < through && budget.start(e.began) == period);
            (known || !known_to_the_book) && self.counts(budget, e.who, e.model, e.began)
        });
        mine.map(|(_, e)| e.cost).sum()
    }

    fn held(&self, which: usize) -> i64 {
        let all = self.open.iter().chain(&self.lost).chain(self.unheard.iter().map(|(under, _)| under));
        let mine = all.filter(|under| {
            !under.given_up
                && which < under.budgets
                && self.counts(&self.budgets[which], under.who, under.model, under.began)
        });
        mine.map(|under| under.worst).sum()
    }

    /// Whether a hard budget that is counted has no room.
    fn is_full(&self, who: u128, model: usize, worst: i64, judged: &[bool]) -> bool {
        self.budgets.iter().enumerate().any(|(which, budget)| {
            budget.mode == Mode::Hard
                && judged[which]
                && self.counts(budget, who, model, self.now)
                && self.spent(which, true) + self.held(which) + worst > budget.ceiling_at(self.now).0
        })
    }

    fn install(&mut self) {
        self.book.install(&Arc::new(Budgets::new(self.budgets.clone())));
        self.count();
    }

    /// Counts what is to be counted. The ledger has everything that has ended, whether the book has heard of it or not.
    fn count(&mut self) {
        for budget in self.book.uncounted() {
            let which = self.budgets.iter().position(|other| other.id == budget.id).unwrap();
            let (spent, through) = (self.spent(which, false), self.ended.len());
            self.counted[which] = (through, budget.start(self.now));
            assert!(self.book.count(budget.id, self.now, Nanos(spent), through as u64));
        }
    }

    fn make(&mut self, made: &Made) {
        let id = self.budgets.len() as u128 + 1;
        let models =
            made.model.map_or_else(ModelScope::all, |model| ModelScope::only(&[MODELS[model]]).unwrap());
        self.budgets.push(Budget {
            models,
            period: Period::ALL[made.period],
            zone: made.zone.parse().unwrap(),
            mode: if made.shadow { Mode::Shadow } else { Mode::Hard },
            grace: made.grace,
            ..budget(id, holder(made.holder), made.limit)
        });
        self.counted.push((0, UnixMillis(0)));
        self.install();
    }

    fn reserve(&mut self, who: u128, model: usize, worst: i64) {
        let judged: Vec<bool> =
            self.budgets.iter().map(|budget| self.book.standing(budget.id, self.now).is_some()).collect();
        assert!(
            self.went_back || judged.iter().all(|judged| *judged),
            "only a clock that was put back makes a budget one to be counted again"
        );
        let mut full = self.is_full(who, model, worst, &judged);
        if full {
            let now = self.now;
            let unheard = self.unheard.iter_mut().map(|(under, _)| under);
            for under in self.open.iter_mut().chain(&mut self.lost).chain(unheard) {
                under.given_up = under.given_up || under.until <= now;
            }
            full = self.is_full(who, model, worst, &judged);
        }
        let me = principal(who);
        let charge = Charge { model: MODELS[model], ..charge(&me, self.now) };
        match self.book.reserve(&charge, Nanos(worst), self.now) {
            Ok(admission) => {
                assert!(!full, "let through beyond a limit");
                self.open.push(Under {
                    who,
                    model,
                    began: self.now,
                    worst,
                    until: self.now.plus_millis(HOLD_MS),
                    given_up: false,
                    budgets: self.budgets.len(),
                    hold: admission.hold,
                });
            }
            Err(why) => assert!(full, "refused though there is room: {why:?}"),
        }
        self.count();
    }

    fn end(&mut self, which: usize, percent: i64) {
        let under = self.open.swap_remove(which);
        let cost = under.worst * percent / 100;
        self.ended.push(Ended { who: under.who, model: under.model, began: under.began, cost, heard: false });
        self.unheard.push((under, self.ended.len() - 1));
    }

    fn hear(&mut self, which: usize) {
        let (under, place) = self.unheard.swap_remove(which);
        let ended = &mut self.ended[place];
        ended.heard = true;
        let me = principal(under.who);
        let charge = Charge { model: MODELS[under.model], ..charge(&me, under.began) };
        self.book.settle(under.hold, &charge, Nanos(ended.cost), place as u64 + 1);
    }

    /// A process that starts has the right time: it could not know what was spent in a future that it does not know of.
    fn crash(&mut self) {
        self.now = self.now.max(self.latest);
        while !self.open.is_empty() {
            self.end(0, 50);
        }
        for (_, place) in std::mem::take(&mut self.unheard) {
            self.ended[place].heard = true;
        }
        self.lost.clear();
        self.book = Book::default();
        self.went_back = false;
        self.install();
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Make(made) if self.budgets.len() < 6 => self.make(&made),
            Step::Reserve { who, model, worst }
                if self.open.len() + self.lost.len() + self.unheard.len() < MOST_OPEN =>
            {
                self.reserve(who, model, worst);
            }
            Step::End { which, percent } if !self.open.is_empty() => {
                self.end(which % self.open.len(), percent);
            }
            Step::Hear { which } if !self.unheard.is_empty() => self.hear(which % self.unheard.len()),
            Step::Lose { which } if !self.open.is_empty() => {
                let lost = self.open.swap_remove(which % self.open.len());
                self.lost.push(lost);
            }
            Step::Pass { minutes } => self.now = self.now.plus_millis(minutes * 60_000),
            Step::Back { minutes } => {
                self.now = self.now.plus_millis(-minutes * 60_000);
                self.went_back = true;
            }
            Step::Limit { which, limit, shadow } if which < self.budgets.len() => {
                self.budgets[which].limit = Nanos(limit);
                self.budgets[which].mode = if shadow { Mode::Shadow } else { Mode::Hard };
                self.install();
            }
            Step::Raise { which, amount, minutes } if which < self.budgets.len() => {
                let until = self.now.plus_millis(minutes * 60_000);
                self.budgets[which].raised.push(Raised { amount: Nanos(amount), until });
                self.install();
            }
            Step::Crash => self.crash(),
            Step::Make(_)
            | Step::Reserve { .. }
            | Step::End { .. }
            | Step::Hear { .. }
            | Step::Lose { .. }
            | Step::Limit { .. }
            | Step::Raise { .. } => {}
        }
        self.latest = self.latest.max(self.now);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order and whatever the clock does: nobody passes who would go beyond a limit, nobody is
    /// refused who would not, and all sums are exact.
    #[test]
    fn whatever_happens_the_sums_are_exact(
        // A year with both changes of the clock.
        began in 1_767_225_600_000..1_798_761_600_000_i64,
        first in prop::collection::vec(made(), 1..4),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut world = World { now: UnixMillis(began), latest: UnixMillis(began), ..World::default() };
        for made in &first {
            world.make(made);
        }
        for step in steps {
            world.take(step);
        }
        while !world.unheard.is_empty() {
            world.hear(0);
        }
        for which in 0..world.budgets.len() {
            let Some(standing) = world.book.standing(world.budgets[which].id, world.now) else {
                prop_assert!(world.went_back, "not counted without reason");
                continue;
            };
            prop_assert_eq!(standing.spent.0, world.spent(which, false));
            prop_assert_eq!(standing.held.0, world.held(which));
        }
    }
}
