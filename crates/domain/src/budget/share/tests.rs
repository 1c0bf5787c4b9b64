//! Nodes, a pool and a ledger's database in a nutshell, played through in random orders.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::{Holder, Period};
use super::*;
use crate::exchange::Credential;
use crate::id::{KeyId, OrgId, UserId};
use crate::model::ModelScope;
use crate::zone::Zone;

const NOW: UnixMillis = UnixMillis(1_795_390_628_123);
const NODES: usize = 3;

fn principal() -> Principal {
    Principal {
        org: OrgId::from_bits(1),
        user: UserId::from_bits(1),
        credential: Credential::Key(KeyId::from_bits(1)),
        team: None,
        project: None,
    }
}

fn budget(limit: i64) -> Budget {
    Budget {
        id: BudgetId::from_bits(1),
        holder: Holder::Organization,
        models: ModelScope::all(),
        provider: None,
        period: Period::Day,
        zone: Zone::UTC,
        limit: Nanos(limit),
        raised: Vec::new(),
        grace: 0,
        mode: Mode::Hard,
        thresholds: Vec::new(),
        when_away: WhenAway::Closed,
        created_at: UnixMillis(0),
    }
}

/// What a pool does, as the script does it.
#[derive(Debug, Default, Clone)]
struct Pot {
    base: String,
    sum: i128,
    ends: [u64; NODES],
    shares: [(i128, i128, i128, u64); NODES],
    recalls: u64,
    awaited: BTreeSet<usize>,
    hot: bool,
}

impl Pot {
    fn tell(&mut self, node: usize, alive: [bool; NODES], ask: &Ask) -> Answer {
        let others = || (0..NODES).filter(move |other| *other != node);
        let sum = |of: fn(&(i128, i128, i128, u64)) -> i128, pot: &Self| -> i128 {
            others().map(|other| of(&pot.shares[other])).sum()
        };
        let (granted, spent, held) = (sum(|s| s.0, self), sum(|s| s.1, self), sum(|s| s.2, self));
        self.awaited.remove(&node);
        let room = ask.limit - self.sum - granted - ask.used - ask.held;
        let (mut grant, mut verdict) = (ask.keep, Verdict::Granted);
        let asked = others().filter(|other| alive[*other] && self.shares[*other].0 > self.shares[*other].1);
        let (mut spare, mut unheard) = (0, false);
        for other in asked {
            let (g, u, h, a) = self.shares[other];
            spare += (g - u - h).max(0);
            unheard |= a < ask.recall;
        }
        if ask.need > 0 {
            if !self.awaited.is_empty() {
                verdict = Verdict::Recalled(0);
            } else if ask.need <= room {
                let more = ask.slack.min((room - ask.wanted).div_euclid(16)).max(0);
                grant = ask.keep.max(room.min(ask.wanted + more));
            } else if self.sum + spent + ask.used + ask.need > ask.limit
                || ask.recall > 0 && !unheard && room + spare < ask.need
            {
                verdict = Verdict::Full;
            } else {
                if ask.recall == 0 {
                    self.recalls += 1;
                }
                verdict = Verdict::Recalled(if ask.recall == 0 { self.recalls } else { ask.recall });
                self.hot = true;
            }
        }
        let answered = if ask.yields { self.recalls } else { self.shares[node].3 };
        self.shares[node] = (ask.used + ask.held + grant, ask.used, ask.held, answered);
        Answer { granted: ask.used + ask.held + grant, others_spent: spent, others_held: held, verdict }
    }
}

struct Node {
    shares: Shares,
    alive: bool,
    /// Tickets count up; what they cost.
    journal: Vec<i64>,
    /// So many of them are in the database.
    stored: usize,
    open: Vec<(i64, Option<Hold>)>,
}

struct World {
    nodes: Vec<Node>,
    pot: Option<Pot>,
    built: u32,
    limit: i64,
    pool: Pool,
}

impl World {
    fn new(limit: i64) -> Self {
        let budgets = Arc::new(Budgets::new([budget(limit)]));
        let node = |_| {
            let mut shares = Shares::default();
            shares.install(&budgets, 0);
            Node { shares, alive: true, journal: Vec::new(), stored: 0, open: Vec::new() }
        };
        let pool = Pool { budget: BudgetId::from_bits(1), start: Period::Day.start(NOW) };
        Self { nodes: (0..NODES).map(node).collect(), pot: None, built: 0, limit, pool }
    }

    fn spent(&self) -> i64 {
        self.nodes.iter().flat_map(|node| &node.journal).sum()
    }

    fn held(&self) -> i64 {
        self.nodes.iter().flat_map(|node| &node.open).map(|(worst, _)| worst).sum()
    }

    fn alive(&self) -> [bool; NODES] {
        std::array::from_fn(|node| self.nodes[node].alive)
    }

    /// Whether there is a pool that knows the shares of all nodes.
    fn is_settled(&self) -> bool {
        self.pot.as_ref().is_some_and(|pot| pot.awaited.is_empty())
    }

    fn build(&mut self, node: usize) {
        self.built += 1;
        let mut pot = Pot { base: format!("base {}", self.built), ..Pot::default() };
        for (index, other) in self.nodes.iter().enumerate() {
            pot.sum += other.journal[..other.stored].iter().map(|cost| i128::from(*cost)).sum::<i128>();
            pot.ends[index] = other.stored as u64;
            if index != node && other.alive {
                pot.awaited.insert(index);
            }
        }
        self.pot = Some(pot);
    }

    /// One turn of a node's link.
    fn turn(&mut self, node: usize, telling: Telling) {
        let Node { shares, alive: true, stored, .. } = &mut self.nodes[node] else { return };
        let hot = self.pot.as_ref().is_some_and(|pot| pot.hot || pot.awaited.contains(&node));
        let hot: Vec<Pool> = if hot { vec![self.pool] } else { Vec::new() };
        let asks = shares.asks(&hot, NOW, *stored as u64, Lapsed::No, telling);
        for mut ask in asks {
            for _ in 0..4 {
                let alive = self.alive();
                let Some(pot) = &mut self.pot else {
                    self.build(node);
                    continue;
                };
                if pot.base == ask.base {
                    let answer = pot.tell(node, alive, &ask);
                    self.nodes[node].shares.answered(&ask, &answer);
                    break;
                }
                let (base, sum, end) = (pot.base.clone(), pot.sum, pot.ends[node]);
                match self.nodes[node].shares.join(ask.pool, &base, sum, end) {
                    Ok(()) => ask = self.nodes[node].shares.again(ask.pool).unwrap(),
                    Err(Stale) => self.pot = None,
                }
            }
        }
    }

    fn turn_all(&mut self, telling: Telling) {
        for node in 0..NODES {
            self.turn(node, telling);
        }
    }

    /// A request to a node: it waits until it is decided.
    fn request(&mut self, node: usize, worst: i64) -> Result<bool, TestCaseError> {
        if !self.nodes[node].alive {
            return Ok(false);
        }
        let me = principal();
        let charge = Charge { principal: &me, model: "m", provider: "p", at: NOW };
        let mut waiting = Waiting::default();
        for _ in 0..20 {
            let shares = &mut self.nodes[node].shares;
            match shares.reserve(&charge, Nanos(worst), NOW, Reach::Reached, &mut waiting) {
                Outcome::Admitted(admission) => {
                    shares.leave(&mut waiting);
                    self.nodes[node].open.push((worst, admission.hold));
                    return Ok(true);
                }
                Outcome::Refused(why) => {
                    shares.leave(&mut waiting);
                    prop_assert_eq!(why.cause, Cause::Spent);
                    // What a dead node holds or was granted is not known to be free.
                    if self.alive() == [true; NODES] {
                        prop_assert!(
                            self.spent() + self.held() + worst > self.limit,
                            "refused for nothing: {} spent, {} held, {} asked of {}",
                            self.spent(),
                            self.held(),
                            worst,
                            self.limit
                        );
                    }
                    return Ok(false);
                }
                Outcome::Wait => self.turn_all(Telling::Urgent),
            }
        }
        Err(TestCaseError::fail("it was never decided"))
    }

    fn end(&mut self, node: usize, which: usize, percent: i64) {
        let node = &mut self.nodes[node];
        if node.open.is_empty() || !node.alive {
            return;
        }
        let (worst, hold) = node.open.remove(which % node.open.len());
        let cost = worst * percent / 100;
        node.journal.push(cost);
        let me = principal();
        let charge = Charge { principal: &me, model: "m", provider: "p", at: NOW };
        node.shares.settle(hold, &charge, Nanos(cost), node.journal.len() as u64);
    }

    /// A dead node starts: what was under way is recorded at what it cost at most, everything is brought in, its pools are
    /// built anew.
    fn start(&mut self, node: usize) {
        let budgets = Arc::new(Budgets::new([budget(self.limit)]));
        let started = &mut self.nodes[node];
        if started.alive {
            return;
        }
        let open = std::mem::take(&mut started.open);
        started.journal.extend(open.into_iter().map(|(worst, _)| worst));
        started.stored = started.journal.len();
        started.shares = Shares::default();
        started.shares.install(&budgets, started.stored as u64);
        started.alive = true;
        self.pot = None;
    }
}

#[derive(Debug, Clone)]
enum Step {
    Request { node: usize, worst: i64 },
    End { node: usize, which: usize, percent: i64 },
    Turn { node: usize, all: bool },
    Store { node: usize },
    Cool,
    Flush,
    Kill { node: usize },
    Start { node: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..NODES, 1..60_i64).prop_map(|(node, worst)| Step::Request { node, worst }),
        6 => (0..NODES, 0..9_usize, 0..101_i64)
            .prop_map(|(node, which, percent)| Step::End { node, which, percent }),
        4 => (0..NODES, any::<bool>()).prop_map(|(node, all)| Step::Turn { node, all }),
        3 => (0..NODES).prop_map(|node| Step::Store { node }),
        2 => Just(Step::Cool),
        1 => Just(Step::Flush),
        1 => (0..NODES).prop_map(|node| Step::Kill { node }),
        2 => (0..NODES).prop_map(|node| Step::Start { node }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Whatever comes in whatever order: what is spent and held together is never beyond the limit, nobody is refused while
    /// there is room, and in the end all nodes know what the ledger has.
    #[test]
    fn all_nodes_together_never_spend_more_and_refuse_nobody_for_nothing(
        limit in 0..500_i64,
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut w = World::new(limit);
        // A pool that is lost while a node is dead does not know what that node held: two faults at once. So are a pool that
        // is lost and a node that dies before it has told the new one its share; that pool waits for it for a time.
        for step in steps {
            let all_alive = w.alive() == [true; NODES];
            match step {
                Step::Request { node, worst } => drop(w.request(node, worst)?),
                Step::End { node, which, percent } => w.end(node, which, percent),
                Step::Turn { node, all } => {
                    w.turn(node, if all { Telling::All } else { Telling::Urgent });
                }
                Step::Store { node } => w.nodes[node].stored = w.nodes[node].journal.len(),
                Step::Cool => if let Some(pot) = &mut w.pot { pot.hot = false },
                Step::Flush if all_alive => w.pot = None,
                Step::Kill { node } if all_alive && w.is_settled() => w.nodes[node].alive = false,
                Step::Flush | Step::Kill { .. } => {}
                Step::Start { node } => w.start(node),
            }
            prop_assert!(w.spent() + w.held() <= limit, "{} spent, {} held of {limit}", w.spent(), w.held());
        }
        for node in 0..NODES {
            w.start(node);
            while !w.nodes[node].open.is_empty() {
                w.end(node, 0, 50);
            }
        }
        // A node that has nothing to tell looks again after some rounds.
        for _ in 0..8 {
            w.turn_all(Telling::All);
        }
        for node in &w.nodes {
            if let Some(standing) = node.shares.standing(BudgetId::from_bits(1), NOW) {
                prop_assert_eq!((standing.spent.0, standing.held.0), (w.spent(), 0));
            }
        }
    }
}
