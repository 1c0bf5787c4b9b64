//! The tunnels that are open: how many there may be, and how they are ended from outside.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gatehouse_domain::id::{TunnelId, UserId};
use gatehouse_domain::policy::Snapshot;
use gatehouse_domain::proxy::{Answers, Close, Decision, Destination, Form, Gate, Question, decide};
use gatehouse_domain::time::UnixMillis;
use tokio::sync::oneshot;

use crate::identify::Known;
use crate::metric;
use crate::traffic::Traffic;

/// All open tunnels of this node.
#[derive(Default)]
pub(crate) struct Tunnels(Mutex<Open>);

#[derive(Default)]
struct Open {
    all: HashMap<TunnelId, Entry>,
    of: HashMap<UserId, usize>,
    /// The policy that all of them were last compared with.
    version: u64,
}

struct Entry {
    known: Arc<Known>,
    form: Form,
    destination: Destination,
    traffic: Arc<Traffic>,
    cut: Option<oneshot::Sender<Close>>,
}

/// A place among the open tunnels; given back when dropped.
pub(crate) struct Place {
    tunnels: Arc<Tunnels>,
    id: TunnelId,
    user: UserId,
    /// Says when and why the tunnel is to end.
    pub(crate) cut: oneshot::Receiver<Close>,
}

/// The rule that refuses a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full(pub(crate) &'static str);

impl Tunnels {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place, if there is one.
    pub(crate) fn enter(
        self: &Arc<Self>,
        id: TunnelId,
        known: &Arc<Known>,
        asked: (Form, &Destination),
        traffic: &Arc<Traffic>,
        (most, most_of_one): (usize, usize),
    ) -> Result<Place, Full> {
        let user = known.who.user;
        let mut open = self.open();
        if open.all.len() >= most {
            return Err(Full("tunnels"));
        }
        let mine = open.of.entry(user).or_default();
        if *mine >= most_of_one {
            return Err(Full("user-tunnels"));
        }
        *mine += 1;
        let (sender, cut) = oneshot::channel();
        let (form, destination) = (asked.0, asked.1.clone());
        let (known, traffic) = (Arc::clone(known), Arc::clone(traffic));
        open.all.insert(id, Entry { known, form, destination, traffic, cut: Some(sender) });
        metric::open(open.all.len());
        Ok(Place { tunnels: Arc::clone(self), id, user, cut })
    }

    /// Ends the tunnels of whoever may not go on, and those that the newest rules would not open.
    pub(crate) fn sweep(&self, snapshot: &Snapshot, gate: &Gate, now: UnixMillis) {
        let mut open = self.open();
        let changed = open.version != snapshot.version();
        open.version = snapshot.version();
        for entry in open.all.values_mut() {
            let Entry { known, form, destination, .. } = &*entry;
            let is_allowed = || {
                let who = known.who_now(snapshot);
                let question = Question { who: Some(&who), form: *form, destination, now };
                let decision = decide(gate, &snapshot.proxy().policy, &question, Answers::NotAsked);
                !matches!(decision, Decision::Refuse(_))
            };
            if known.is_good(snapshot, now) && (!changed || is_allowed()) {
                continue;
            }
            if let Some(cut) = entry.cut.take() {
                // Whoever has ended meanwhile needs no word.
                let _ = cut.send(Close::Revoked);
            }
        }
    }

    /// Ends those in which nothing has moved for so long.
    pub(crate) fn stop(&self, still: Duration) {
        for entry in self.open().all.values_mut() {
            if entry.traffic.still() < still {
                continue;
            }
            if let Some(cut) = entry.cut.take() {
                let _ = cut.send(Close::Stopped);
            }
        }
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.open().all.len()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.tunnels.open();
        open.all.remove(&self.id);
        if let Some(mine) = open.of.get_mut(&self.user) {
            *mine -= 1;
            if *mine == 0 {
                open.of.remove(&self.user);
            }
        }
        metric::open(open.all.len());
    }
}

/// How many there are of each address, up to a bound.
#[derive(Default)]
pub(crate) struct Addresses(Mutex<(usize, HashMap<IpAddr, usize>)>);

/// One of an address's; given back when dropped.
pub(crate) struct Counted {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Addresses {
    /// Counts one more, unless there are too many.
    pub(crate) fn enter(
        self: &Arc<Self>,
        address: IpAddr,
        most: usize,
        most_of_one: usize,
    ) -> Option<Counted> {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, of) = &mut *guard;
        let mine = of.get(&address).copied().unwrap_or_default();
        if *all >= most || mine >= most_of_one {
            return None;
        }
        *all += 1;
        of.insert(address, mine + 1);
        Some(Counted { addresses: Arc::clone(self), address })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut guard = self.addresses.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, of) = &mut *guard;
        *all -= 1;
        if let Some(mine) = of.get_mut(&self.address) {
            *mine -= 1;
            if *mine == 0 {
                of.remove(&self.address);
            }
        }
    }
}

/// Strangers of the last minute, by address. At most [`Strangers::MOST`] addresses are told apart; beyond it all others share
/// one count.
#[derive(Default)]
pub(crate) struct Strangers(Mutex<(i64, HashMap<Option<IpAddr>, u32>)>);

impl Strangers {
    const MOST: usize = 10_000;

    /// Counts one, and says whether their address has had its share of this minute.
    pub(crate) fn is_over(&self, address: IpAddr, most: u32, now: UnixMillis) -> bool {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (minute, counts) = &mut *guard;
        let this = now.0.div_euclid(60_000);
        if *minute != this {
            *minute = this;
            counts.clear();
        }
        let is_told_apart = counts.len() < Self::MOST || counts.contains_key(&Some(address));
        let count = counts.entry(is_told_apart.then_some(address)).or_default();
        *count = count.saturating_add(1);
        *count > most
    }
}
