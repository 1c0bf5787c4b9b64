//! Seats: how many connections a listener keeps open, in all and for one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections that the admin listener serves everything.
const FULL: Room = Room { seats: 512, for_one: 256 };
/// Further connections that are answered probes only, when there is no full seat.
const PROBE: Room = Room { seats: 32, for_one: 8 };

/// How many seats of a kind there are, and how many of them one address gets.
#[derive(Debug, Clone, Copy)]
pub(in crate::wire) struct Room {
    /// In all.
    pub(in crate::wire) seats: usize,
    /// For one address.
    pub(in crate::wire) for_one: usize,
}

/// What a connection is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::wire) enum Kind {
    /// Everything.
    Full,
    /// Probes, once.
    Probe,
}

/// All seats.
#[derive(Default)]
pub(in crate::wire) struct Seats {
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    full: Held,
    probe: Held,
}

/// Seats of a kind that are taken.
#[derive(Default)]
struct Held {
    all: usize,
    by: HashMap<IpAddr, usize>,
}

/// A seat; free again when dropped.
pub(in crate::wire) struct Seat {
    seats: Arc<Seats>,
    kind: Kind,
    from: IpAddr,
}

impl Seats {
    /// Takes a seat for a connection from this address, the best there is; `None` when there is none for it.
    pub(in crate::wire) fn take(this: &Arc<Self>, peer: IpAddr) -> Option<Seat> {
        Self::take_of(this, peer, &[(Kind::Full, FULL), (Kind::Probe, PROBE)])
    }

    /// Takes a full seat, of so many; `None` when there is none for this address.
    pub(in crate::wire) fn take_full(this: &Arc<Self>, peer: IpAddr, room: Room) -> Option<Seat> {
        Self::take_of(this, peer, &[(Kind::Full, room)])
    }

    fn take_of(this: &Arc<Self>, peer: IpAddr, kinds: &[(Kind, Room)]) -> Option<Seat> {
        let from = network(peer);
        let mut taken = this.taken();
        let (kind, _) = *kinds.iter().find(|(kind, room)| taken.admit(*kind, *room, from))?;
        drop(taken);
        Some(Seat { seats: Arc::clone(this), kind, from })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn of(&mut self, kind: Kind) -> &mut Held {
        match kind {
            Kind::Full => &mut self.full,
            Kind::Probe => &mut self.probe,
        }
    }

    fn admit(&mut self, kind: Kind, room: Room, from: IpAddr) -> bool {
        let held = self.of(kind);
        let own = held.by.get(&from).copied().unwrap_or(0);
        let fits = held.all < room.seats && own < room.for_one;
        if fits {
            held.by.insert(from, own + 1);
            held.all += 1;
        }
        fits
    }

    fn leave(&mut self, kind: Kind, from: IpAddr) {
        let held = self.of(kind);
        held.all -= 1;
        match held.by.get_mut(&from) {
            Some(own) if *own > 1 => *own -= 1,
            Some(_) | None => drop(held.by.remove(&from)),
        }
    }
}

impl Seat {
    /// What a connection on it is served.
    pub(in crate::wire) const fn kind(&self) -> Kind {
        self.kind
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken().leave(self.kind, self.from);
    }
}

/// What counts as one address: of IPv6 the network part, since whoever has one address of it has all.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (!0 << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u8) -> IpAddr {
        [192, 0, 2, n].into()
    }

    #[test]
    fn one_address_does_not_take_all_seats() {
        let seats = Arc::new(Seats::default());
        let mut held: Vec<Seat> = std::iter::from_fn(|| Seats::take(&seats, address(1))).collect();
        assert_eq!(held.len(), FULL.for_one + PROBE.for_one);
        assert_eq!(Seats::take(&seats, address(2)).unwrap().kind(), Kind::Full);
        held.retain(|seat| seat.kind() == Kind::Full);
        assert_eq!(Seats::take(&seats, address(1)).unwrap().kind(), Kind::Probe);
        held.pop();
        assert_eq!(Seats::take(&seats, address(1)).unwrap().kind(), Kind::Full);
    }

    #[test]
    fn when_all_seats_are_taken_there_are_some_for_probes() {
        let seats = Arc::new(Seats::default());
        let mut held = Vec::new();
        for n in 1..=8 {
            held.extend(std::iter::from_fn(|| {
                Seats::take(&seats, address(n)).filter(|seat| seat.kind() == Kind::Full)
            }));
        }
        assert_eq!(held.len(), FULL.seats);
        let probes: Vec<Seat> =
            (10..30).flat_map(|n| [n, n]).filter_map(|n| Seats::take(&seats, address(n))).collect();
        assert_eq!(probes.len(), PROBE.seats);
        drop((held, probes));
        let taken = seats.taken();
        for held in [&taken.full, &taken.probe] {
            assert!(held.all == 0 && held.by.is_empty(), "seats are given back");
        }
    }

    #[test]
    fn addresses_of_one_network_count_together() {
        for (one, other, same) in [
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
        ] {
            let (one, other): (IpAddr, IpAddr) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(network(one) == network(other), same, "{one} {other}");
        }
    }
}
