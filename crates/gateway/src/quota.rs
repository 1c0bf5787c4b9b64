//! What a provider lets us have: its limits as configured and as its replies tell of them, who is on the way, who waits.
//!
//! Where nothing is limited this is one look at a flag for each request, and one at the headers of each reply. What is locked
//! is locked for a few comparisons, and never while anything is waited for. What it all means is in
//! [`gatehouse_domain::quota`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use gatehouse_domain::quota::{Fair, Lane, Measure, Queuing, Rate, Ticket, Told};
use gatehouse_domain::routing::Failover;
use gatehouse_providers::anthropic::rate_limits;
use http::Response;
use tokio::sync::oneshot;

use crate::settings::{Face, Provider};
use crate::worker::Worker;

/// Models of one provider whose limits are remembered; beyond that, those heard of last.
const LANES: usize = 32;

/// Limits of a provider that are configured; each node counts for itself. 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Configured {
    /// Requests a minute.
    pub requests_per_minute: u32,
    /// Requests at once.
    pub concurrent: u32,
}

/// A provider's quota.
pub struct Quota {
    born: Instant,
    configured: Configured,
    /// Whether what goes is counted, since it may have to wait.
    tight: AtomicBool,
    state: Mutex<State>,
}

struct State {
    rate: Option<Rate>,
    /// The most at once that is configured.
    concurrent: u64,
    /// Passes that are out.
    under_way: u64,
    /// How long they typically are, in milliseconds; 0 while that is not known.
    takes: u64,
    lanes: Vec<Known>,
    waiting: Fair<Waiting>,
    /// When somebody may have a turn although nothing else happens.
    next_at: u64,
}

/// What is known of a model.
struct Known {
    model: Box<str>,
    lane: Lane,
    waiting: usize,
    heard_at: u64,
}

/// A request that waits.
struct Waiting {
    lane: Option<usize>,
    adaptive: bool,
    turn: oneshot::Sender<Pass>,
}

/// How a quota stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// What is configured.
    pub configured: Configured,
    /// Requests under way that are counted, which they are while they may have to wait.
    pub under_way: u64,
    /// Requests that wait.
    pub waiting: u64,
    /// Users whose requests wait.
    pub users: u64,
    /// What the provider has told, by model.
    pub models: Vec<ModelView>,
}

/// What a provider has told of a model's limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelView {
    /// The model.
    pub model: String,
    /// Each limit, with what is left of it by now as far as is known.
    pub limits: Vec<(Measure, Told)>,
    /// For how many milliseconds more it is left alone after a refusal; 0 if it is not.
    pub closed_ms: u64,
    /// How long ago the provider told last, in milliseconds.
    pub heard_ms_ago: u64,
}

/// Who asks for a turn, and at whom.
pub(crate) struct Asker<'a> {
    pub(crate) provider: &'a Arc<Provider>,
    pub(crate) model: &'a str,
    pub(crate) user: u128,
    pub(crate) weight: u32,
    pub(crate) queuing: &'a Queuing,
    /// Whether the limit that is found by how the provider answers holds.
    pub(crate) adaptive: bool,
}

/// A request that is counted, until this is dropped.
pub(crate) struct Pass {
    provider: Arc<Provider>,
    /// Its number among those of its model.
    number: Option<u64>,
    began: u64,
}

/// Turns that are to be handed out once nothing is locked any more.
type Turns = Vec<(oneshot::Sender<Pass>, Pass)>;

/// Who found no room is dropped here, and gives its turn to the next.
fn hand_out(turns: Turns) {
    for (turn, pass) in turns {
        drop(turn.send(pass));
    }
}

impl Quota {
    pub(crate) fn new(configured: Configured) -> Self {
        let Configured { requests_per_minute, concurrent } = configured;
        let is_limited = requests_per_minute > 0 || concurrent > 0;
        Self {
            born: Instant::now(),
            configured,
            tight: AtomicBool::new(is_limited),
            state: Mutex::new(State {
                rate: (requests_per_minute > 0).then(|| Rate::new(requests_per_minute, 0)),
                concurrent: if concurrent > 0 { concurrent.into() } else { u64::MAX },
                under_way: 0,
                takes: 0,
                lanes: Vec::new(),
                waiting: Fair::default(),
                next_at: u64::MAX,
            }),
        }
    }

    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing is limited, as far as is known.
    pub(crate) fn is_idle(&self) -> bool {
        !self.tight.load(Ordering::Relaxed)
    }

    /// When somebody may have a turn although nothing else happens.
    pub(crate) fn next_at(&self) -> u64 {
        self.state().next_at
    }

    fn judge(&self, state: &State, queuing: &Queuing, now: u64) {
        let is_tight = state.rate.is_some()
            || state.concurrent < u64::MAX
            || !state.waiting.is_empty()
            || (queuing.is_on() && state.lanes.iter().any(|known| known.lane.is_tight(now)));
        self.tight.store(is_tight, Ordering::Relaxed);
    }

    /// How many requests wait.
    pub fn waiting(&self) -> u64 {
        self.state().waiting.len() as u64
    }

    /// How it stands.
    pub fn view(&self) -> View {
        let now = self.now();
        let state = self.state();
        let model = |known: &Known| ModelView {
            model: known.model.to_string(),
            limits: known.lane.levels(now).collect(),
            closed_ms: known.lane.closed_for(now),
            heard_ms_ago: now.saturating_sub(known.heard_at),
        };
        View {
            configured: self.configured,
            under_way: state.under_way,
            waiting: state.waiting.len() as u64,
            users: state.waiting.users() as u64,
            models: state.lanes.iter().map(model).collect(),
        }
    }

    /// Why a request for this model would have to wait now, in words.
    pub fn held_up(&self, model: &str, queuing: &Queuing) -> Option<String> {
        let now = self.now();
        let state = self.state();
        let lane = if queuing.is_on() { state.find(model) } else { None };
        let (room, wait) = (state.under_way < state.concurrent, state.wait(lane, 0, now));
        let waiting = state.waiting.len();
        drop(state);
        match (room, wait) {
            (true, 0) => None,
            (_, ms) if ms > 0 => {
                Some(format!("its quota is used up for {} s; {waiting} requests wait", ms.div_ceil(1000)))
            }
            _ => Some(format!("as many requests as may be are under way; {waiting} wait")),
        }
    }
}

/// Notes what a reply's head tells of the provider's limits; `pass` is its request's.
pub(crate) fn hear(
    (provider, model): (&Arc<Provider>, &str),
    head: &Response<()>,
    pass: Option<&Pass>,
    (queuing, failover): (&Queuing, &Failover),
) {
    // What a guest's own credential may have is nobody else's.
    if matches!(provider.face, Face::Caller(_)) {
        return;
    }
    let heard = rate_limits(head.status().as_u16(), head.headers(), Worker::now());
    if heard.is_nothing() {
        return;
    }
    let quota = &provider.quota;
    let (allowed, now) = (provider.health.allowed(), quota.now());
    let mut state = quota.state();
    if let Some(at) = state.remember(model, now) {
        let bounds = (failover.cooldown_ms, failover.cooldown_max_ms);
        state.lanes[at].lane.hear(&heard, pass.and_then(|pass| pass.number), bounds, now);
        state.lanes[at].heard_at = now;
    }
    let turns = state.turns(provider, allowed, now);
    quota.judge(&state, queuing, now);
    drop(state);
    hand_out(turns);
}

impl Asker<'_> {
    /// Whether something is limited, so that what goes is counted.
    pub(crate) fn is_counted(&self) -> bool {
        !self.provider.quota.is_idle() || (self.adaptive && self.queuing.is_on())
    }

    /// A pass, if the provider has room now and nobody waits who could have it; none where nothing is counted.
    ///
    /// # Errors
    /// In how many milliseconds there may be room, as far as is known.
    pub(crate) fn try_pass(&self) -> Result<Option<Pass>, u64> {
        if !self.is_counted() {
            return Ok(None);
        }
        let quota = &self.provider.quota;
        let (allowed, now) = (self.provider.health.allowed(), quota.now());
        let mut state = quota.state();
        let turns = state.turns(self.provider, allowed, now);
        let lane = self.lane(&state);
        let has_room = state.under_way < state.concurrent.min(self.bound(allowed));
        let outcome = if has_room && state.wait(lane, 0, now) == 0 {
            Ok(Some(state.take(self.provider, lane, now)))
        } else {
            Err(self.estimate(&state, allowed, now))
        };
        quota.judge(&state, self.queuing, now);
        drop(state);
        hand_out(turns);
        outcome
    }

    /// In how many milliseconds there may be room, as far as is known.
    pub(crate) fn soonest(&self) -> u64 {
        let allowed = self.provider.health.allowed();
        let quota = &self.provider.quota;
        self.estimate(&quota.state(), allowed, quota.now())
    }

    /// Waits in the user's line. Where all lines together are full, the last one of the longest line makes room for a user with
    /// a shorter one.
    ///
    /// # Errors
    /// There is no room to wait; why, for metrics.
    pub(crate) fn line_up(&self) -> Result<(Ticket, oneshot::Receiver<Pass>), &'static str> {
        let quota = &self.provider.quota;
        let (allowed, now) = (self.provider.health.allowed(), quota.now());
        let mut state = quota.state();
        if state.waiting.len_of(self.user) >= self.queuing.per_user {
            return Err("user_full");
        }
        if state.waiting.len() >= self.queuing.total {
            let last = state.waiting.pop_last(self.user, self.weight).ok_or("full")?;
            state.left(&last);
        }
        let lane = self.lane(&state);
        if let Some(at) = lane {
            state.lanes[at].waiting += 1;
        }
        let (turn, receiver) = oneshot::channel();
        let waiting = Waiting { lane, adaptive: self.adaptive, turn };
        let ticket = state.waiting.push(self.user, self.weight, waiting);
        quota.tight.store(true, Ordering::Relaxed);
        let turns = state.turns(self.provider, allowed, now);
        drop(state);
        hand_out(turns);
        Ok((ticket, receiver))
    }

    /// Hands out turns for which the time has come.
    pub(crate) fn look_for_turns(&self) {
        let quota = &self.provider.quota;
        let (allowed, now) = (self.provider.health.allowed(), quota.now());
        let mut state = quota.state();
        // What is found by how a provider answers changes at any time.
        if now < state.next_at && !self.adaptive {
            return;
        }
        let turns = state.turns(self.provider, allowed, now);
        drop(state);
        hand_out(turns);
    }

    fn lane(&self, state: &State) -> Option<usize> {
        // Nobody is kept from going by what is only learned where nobody may wait.
        if self.queuing.is_on() { state.find(self.model) } else { None }
    }

    fn bound(&self, allowed: u64) -> u64 {
        if self.adaptive && self.queuing.is_on() { allowed } else { u64::MAX }
    }

    fn estimate(&self, state: &State, allowed: u64, now: u64) -> u64 {
        let ahead = state.waiting.ahead(self.user, self.weight, |_| true);
        let rate = state.rate.as_ref().map_or(0, |rate| rate.wait(ahead, now));
        let lane = self.lane(state).map_or(0, |at| {
            let ahead = state.waiting.ahead(self.user, self.weight, |other| other.lane == Some(at));
            state.lanes[at].lane.wait(ahead, now)
        });
        let bound = state.concurrent.min(self.bound(allowed)).max(1);
        let turns = (state.under_way.saturating_add(ahead) + 1).saturating_sub(bound);
        let slot = state.takes.saturating_mul(turns).div_ceil(bound);
        rate.max(lane).max(slot)
    }
}

impl Provider {
    /// Somebody waits no longer.
    pub(crate) fn leave(&self, ticket: Ticket) {
        let mut state = self.quota.state();
        if let Some(waiting) = state.waiting.remove(ticket) {
            state.left(&waiting);
        }
    }
}

impl State {
    fn find(&self, model: &str) -> Option<usize> {
        self.lanes.iter().position(|known| *known.model == *model)
    }

    /// The place of a model; a new one takes that of one that was not heard of for longest and is not in use.
    fn remember(&mut self, model: &str, now: u64) -> Option<usize> {
        if let Some(at) = self.find(model) {
            return Some(at);
        }
        let known = Known { model: model.into(), lane: Lane::default(), waiting: 0, heard_at: now };
        if self.lanes.len() < LANES {
            self.lanes.push(known);
            return Some(self.lanes.len() - 1);
        }
        let unused = |known: &Known| known.waiting == 0 && !known.lane.is_tight(now);
        let (at, _) = self
            .lanes
            .iter()
            .enumerate()
            .filter(|(_, known)| unused(known))
            .min_by_key(|(_, known)| known.heard_at)?;
        self.lanes[at] = known;
        Some(at)
    }

    /// In how many milliseconds quotas have room; 0 if now.
    fn wait(&self, lane: Option<usize>, ahead: u64, now: u64) -> u64 {
        let rate = self.rate.as_ref().map_or(0, |rate| rate.wait(ahead, now));
        rate.max(lane.map_or(0, |at| self.lanes[at].lane.wait(ahead, now)))
    }

    fn take(&mut self, provider: &Arc<Provider>, lane: Option<usize>, now: u64) -> Pass {
        self.under_way += 1;
        if let Some(rate) = &mut self.rate {
            rate.take(now);
        }
        let number = lane.map(|at| self.lanes[at].lane.begin());
        Pass { provider: Arc::clone(provider), number, began: now }
    }

    fn left(&mut self, waiting: &Waiting) {
        if let Some(at) = waiting.lane {
            self.lanes[at].waiting = self.lanes[at].waiting.saturating_sub(1);
        }
    }

    /// Gives turns as long as there is room for those that wait. They are to be handed out by [`hand_out`].
    fn turns(&mut self, provider: &Arc<Provider>, allowed: u64, now: u64) -> Turns {
        let mut turns = Vec::new();
        while !self.waiting.is_empty() && self.under_way < self.concurrent && self.wait(None, 0, now) == 0 {
            let is_within = self.under_way < allowed;
            let mut open = [false; LANES];
            for (open, known) in open.iter_mut().zip(&self.lanes) {
                *open = known.lane.wait(0, now) == 0;
            }
            let may_go = |one: &Waiting| one.lane.is_none_or(|at| open[at]) && (is_within || !one.adaptive);
            let Some(one) = self.waiting.pop(may_go) else { break };
            self.left(&one);
            turns.push((one.turn, self.take(provider, one.lane, now)));
        }
        self.next_at = self.next_turn(now);
        turns
    }

    fn next_turn(&self, now: u64) -> u64 {
        let lanes = self.lanes.iter().enumerate().filter(|(_, known)| known.waiting > 0);
        let lanes = lanes.map(|(at, _)| self.wait(Some(at), 0, now));
        let all = lanes.chain(std::iter::once(self.wait(None, 0, now)));
        all.filter(|wait| *wait > 0).min().map_or(u64::MAX, |wait| now.saturating_add(wait))
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let (allowed, quota) = (self.provider.health.allowed(), &self.provider.quota);
        let now = quota.now();
        let took = now.saturating_sub(self.began);
        let mut state = quota.state();
        state.under_way = state.under_way.saturating_sub(1);
        state.takes = if state.takes == 0 { took } else { (state.takes * 7 + took) / 8 };
        let turns = state.turns(&self.provider, allowed, now);
        drop(state);
        hand_out(turns);
    }
}
