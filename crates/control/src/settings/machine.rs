//! What machines say of their settings, in memory until it is written down.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gatehouse_domain::id::{OrgId, UserId};
use gatehouse_domain::settings::machine::{FORGOTTEN_AFTER_MS, MAX_MACHINES};
use gatehouse_domain::settings::{Machine, Receipt};
use gatehouse_domain::time::{HOUR_MS, UnixMillis};
use gatehouse_store::settings::{MAX_BATCH, MachineNews};
use gatehouse_store::{Store, StoreError};

/// Machines that are held in memory, of all users. Beyond that, news of others are not kept until there is room again:
/// those that were written down make room.
const MAX_HELD: usize = 50_000;
/// Most machines that one flush writes; the rest waits for the next.
const MAX_FLUSH: usize = 20 * MAX_BATCH;

/// News of machines. At most [`MAX_MACHINES`] of a user, so that nobody takes the room of others.
#[derive(Debug, Default)]
pub(super) struct Machines {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    users: HashMap<UserId, Vec<One>>,
    count: usize,
    /// When machines were last looked through for those that are to be forgotten.
    cleared_at: Option<UnixMillis>,
}

#[derive(Debug, Clone)]
struct One {
    machine: Machine,
    receipt: Receipt,
    /// When it was last seen, as far as that was written down.
    written: Option<UnixMillis>,
    is_new: bool,
}

impl Machines {
    /// Changes what is known of a user's machine. Without room it is not kept.
    pub(super) fn note(&self, user: UserId, machine: Machine, change: impl FnOnce(&mut Receipt)) {
        let mut held = self.lock();
        let Some(one) = held.one(user, machine) else { return };
        let before = one.receipt.clone();
        change(&mut one.receipt);
        one.is_new |= one.receipt.is_news(&before, one.written);
    }

    /// Writes news down, in batches, and now and then forgets what was not seen for long. What cannot be written stays for
    /// the next time.
    pub(super) async fn flush(&self, store: &Store, org: OrgId) -> Result<(), StoreError> {
        let news = self.lock().news();
        for batch in news.chunks(MAX_BATCH) {
            store.put_settings_machines(org, batch).await?;
            let mut held = self.lock();
            for one in batch {
                held.written(one);
            }
        }
        // The newest news tell the time.
        let now = news.iter().filter_map(|one| one.receipt.seen_at).max();
        let due = |now: UnixMillis| self.lock().cleared_at.is_none_or(|at| at.plus_millis(HOUR_MS) <= now);
        if let Some(now) = now.filter(|now| due(*now)) {
            store.forget_settings_machines(org, now.plus_millis(-FORGOTTEN_AFTER_MS)).await?;
            self.lock().cleared_at = Some(now);
        }
        self.lock().make_room();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// The place for what is known of a machine; none when there is no room.
    fn one(&mut self, user: UserId, machine: Machine) -> Option<&mut One> {
        let full = self.count >= MAX_HELD;
        if full && !self.users.contains_key(&user) {
            return None;
        }
        let all = self.users.entry(user).or_default();
        let at = match all.iter().position(|one| one.machine.id == machine.id) {
            Some(at) => at,
            None if all.len() >= MAX_MACHINES => {
                let (at, _) = all.iter().enumerate().min_by_key(|(_, one)| one.receipt.seen_at)?;
                all[at] = One::new(machine);
                at
            }
            None if full => return None,
            None => {
                self.count += 1;
                all.push(One::new(machine));
                all.len() - 1
            }
        };
        let one = &mut all[at];
        one.machine = machine;
        Some(one)
    }

    fn news(&self) -> Vec<MachineNews> {
        let all = self.users.iter().flat_map(|(user, all)| all.iter().map(|one| (*user, one)));
        let new = all.filter(|(_, one)| one.is_new).take(MAX_FLUSH);
        new.map(|(user, one)| MachineNews { user, machine: one.machine, receipt: one.receipt.clone() })
            .collect()
    }

    fn written(&mut self, news: &MachineNews) {
        let all = self.users.get_mut(&news.user);
        let one = all.and_then(|all| all.iter_mut().find(|one| one.machine.id == news.machine.id));
        if let Some(one) = one {
            one.written = news.receipt.seen_at;
            one.is_new = one.receipt.is_news(&news.receipt, one.written);
        }
    }

    fn make_room(&mut self) {
        if self.count <= MAX_HELD / 2 {
            return;
        }
        for all in self.users.values_mut() {
            all.retain(|one| one.is_new);
        }
        self.users.retain(|_, all| !all.is_empty());
        self.count = self.users.values().map(Vec::len).sum();
    }
}

impl One {
    fn new(machine: Machine) -> Self {
        Self { machine, receipt: Receipt::default(), written: None, is_new: false }
    }
}

#[cfg(test)]
mod tests {
    use gatehouse_domain::settings::{MachineId, Platform};

    use super::*;

    const ADA: UserId = UserId::from_bits(1);

    fn machine(n: usize) -> Machine {
        let id = MachineId::from_bytes(u128::try_from(n).unwrap().to_be_bytes());
        Machine { id, platform: Platform::Linux }
    }

    fn see(machines: &Machines, user: UserId, n: usize, at: i64) {
        machines.note(user, machine(n), |receipt| receipt.report(None, None, UnixMillis(at)));
    }

    #[test]
    fn a_user_has_a_few_machines_and_the_one_seen_longest_ago_makes_room() {
        let machines = Machines::default();
        for (n, at) in (0..MAX_MACHINES).zip(100..) {
            see(&machines, ADA, n, at);
        }
        see(&machines, ADA, 0, 900);
        see(&machines, ADA, 77, 901);
        let held = machines.lock();
        let known: Vec<MachineId> = held.users[&ADA].iter().map(|one| one.machine.id).collect();
        assert_eq!((known.len(), held.count), (MAX_MACHINES, MAX_MACHINES));
        assert!(known.contains(&machine(77).id) && known.contains(&machine(0).id));
        assert!(!known.contains(&machine(1).id), "it was seen longest ago");
    }

    #[test]
    fn machines_in_memory_are_bounded_and_those_written_down_make_room() {
        let machines = Machines::default();
        for n in 0..MAX_HELD + 10 {
            see(&machines, UserId::from_bits(u128::try_from(n).unwrap()), n, 1);
        }
        let mut held = machines.lock();
        assert_eq!((held.count, held.users.len()), (MAX_HELD, MAX_HELD));
        let news = held.news();
        assert_eq!(news.len(), MAX_FLUSH);
        for one in &news {
            held.written(one);
        }
        held.make_room();
        assert_eq!((held.count, held.users.len()), (MAX_HELD - MAX_FLUSH, MAX_HELD - MAX_FLUSH));
    }

    #[test]
    fn the_same_news_are_written_once() {
        let machines = Machines::default();
        see(&machines, ADA, 1, 1000);
        let news = machines.lock().news();
        machines.lock().written(&news[0]);
        see(&machines, ADA, 1, 2000);
        assert_eq!((news.len(), machines.lock().news().len()), (1, 0));
        see(&machines, ADA, 1, 2_000_000);
        assert_eq!(machines.lock().news().len(), 1);
    }
}
