//! In which order providers are asked.
//!
//! By weight it is weighted rendezvous hashing: each provider draws a number from the session's key and its own name, and
//! the best one wins. So all nodes choose alike without talking, a provider that comes or goes moves only the sessions that
//! are its own, and the rest of the order says who takes over.

use std::cmp::Ordering;

use super::Strategy;

/// A provider that may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its share; at least 1.
    pub weight: u32,
    /// The smallest first.
    pub priority: u32,
    /// Requests under way there.
    pub busy: u64,
    /// Typical time to the beginning of a reply, in microseconds; 0 while it is not known.
    pub latency_us: u64,
}

/// The order in which seats are asked, as places in `seats`. `key` is the session's, or a random number for a request
/// without one. `stays` is the provider (by fingerprint) that the session was with: the first of its priority.
pub fn order(strategy: Strategy, key: u64, stays: Option<u64>, seats: &[Seat<'_>]) -> Vec<usize> {
    let mut ranked: Vec<Rank> =
        seats.iter().enumerate().map(|(at, seat)| rank(strategy, key, stays, at, seat)).collect();
    ranked.sort_by(Rank::compare);
    ranked.into_iter().map(|rank| rank.at).collect()
}

struct Rank {
    at: usize,
    priority: u32,
    moved: bool,
    load: f64,
    draw: f64,
}

impl Rank {
    fn compare(&self, other: &Self) -> Ordering {
        (self.priority, self.moved)
            .cmp(&(other.priority, other.moved))
            .then(self.load.total_cmp(&other.load))
            .then(self.draw.total_cmp(&other.draw))
            .then(self.at.cmp(&other.at))
    }
}

#[expect(clippy::cast_precision_loss, reason = "loads and latencies are compared, not counted")]
fn rank(strategy: Strategy, key: u64, stays: Option<u64>, at: usize, seat: &Seat<'_>) -> Rank {
    let name = fingerprint(seat.name);
    let weight = f64::from(seat.weight.max(1));
    let load = match strategy {
        Strategy::Weighted => 0.0,
        Strategy::LeastBusy => (seat.busy + 1) as f64 / weight,
        Strategy::Latency => seat.latency_us as f64 / weight,
    };
    // An exponential draw of this rate: the smallest of several is each one's with a chance by its weight.
    let draw = -uniform(mixed(key ^ name.rotate_left(29))).ln() / weight;
    Rank { at, priority: seat.priority, moved: stays != Some(name), load, draw }
}

/// A number that stands for a name, the same on every node.
pub fn fingerprint(name: &str) -> u64 {
    mixed(fnv(0xcbf2_9ce4_8422_2325, name.as_bytes()))
}

/// The key of somebody's session. Whose it is belongs to it, so that nobody can move another's.
pub fn session_key(user: u128, session: &str) -> u64 {
    mixed(fnv(fnv(0xcbf2_9ce4_8422_2325, &user.to_le_bytes()), session.as_bytes()))
}

/// FNV-1a.
fn fnv(from: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(from, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The finalizer of `SplitMix64`: spreads what differs in few bits over all of them.
const fn mixed(mut n: u64) -> u64 {
    n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// In the open interval from 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
fn uniform(n: u64) -> f64 {
    ((n >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}
