//! What a listing changes: a comparison without side effects, with a stop against mass removal.

use std::collections::{HashMap, HashSet};

use super::listing::Listing;
use super::person::{Person, StableId};

/// What we know of a person from this source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Joins the account with the directory's entry.
    pub stable_id: StableId,
    /// As last read.
    pub dn: String,
    /// As last read.
    pub email: Option<String>,
    /// As last read.
    pub name: Option<String>,
    /// The distinguished names of the groups, as last read.
    pub groups: Vec<String>,
    /// Whether the account may be used now, as far as the directory decides.
    pub enabled: bool,
}

/// How many accounts one run may disable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisableLimit {
    /// At most this percentage of the enabled ones, but `at_least` in any case; never all of several.
    Percent {
        /// Of the accounts that are enabled now.
        percent: u8,
        /// So that a small team can lose a member.
        at_least: usize,
    },
    /// As many as the listing says: a person has looked at it.
    Confirmed,
}

impl Default for DisableLimit {
    fn default() -> Self {
        Self::Percent { percent: 10, at_least: 1 }
    }
}

/// What has to be done so that the accounts are as the directory says. Those not named stay as they are.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan<'a> {
    /// People who may be let in and have no account yet.
    pub add: Vec<&'a Person>,
    /// People whose account differs, or is enabled again.
    pub update: Vec<&'a Person>,
    /// Accounts that are disabled in the directory or no longer in it.
    pub disable: Vec<Disable<'a>>,
}

/// An account to disable, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disable<'a> {
    /// Which one.
    pub stable_id: &'a StableId,
    /// Why.
    pub reason: Leaving,
}

/// Why an account is to be disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// The entry is marked as disabled.
    Disabled,
    /// The entry is gone.
    Gone,
}

/// The listing would disable more accounts than one run may. Nothing is to be done until a person has looked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the listing would disable {} of {enabled} accounts, but one run may disable {allowed}; \
     if that is right, confirm it", would_disable.len()
)]
pub struct Stopped {
    /// Whom it would disable.
    pub would_disable: Vec<StableId>,
    /// How many accounts are enabled now.
    pub enabled: usize,
    /// How many may be disabled in one run.
    pub allowed: usize,
}

impl<'a> Plan<'a> {
    /// Compares a listing with the accounts known from the same source.
    ///
    /// # Errors
    /// [`Stopped`] when it would disable more than `limit` allows.
    pub fn compare(listing: &'a Listing, known: &'a [Known], limit: DisableLimit) -> Result<Self, Stopped> {
        let accounts: HashMap<&StableId, &Known> =
            known.iter().map(|known| (&known.stable_id, known)).collect();
        let mut plan = Self { add: Vec::new(), update: Vec::new(), disable: Vec::new() };
        let mut listed = HashSet::new();
        for person in listing.people() {
            listed.insert(&person.stable_id);
            match (accounts.get(&person.stable_id), person.standing.is_active()) {
                (None, true) => plan.add.push(person),
                (Some(known), true) if !known.enabled || differs(known, person) => plan.update.push(person),
                (Some(known), false) if known.enabled => {
                    plan.disable.push(Disable { stable_id: &person.stable_id, reason: Leaving::Disabled });
                }
                (None, false) | (Some(_), true | false) => (),
            }
        }
        for (id, known) in &accounts {
            if known.enabled && !listed.contains(id) {
                plan.disable.push(Disable { stable_id: id, reason: Leaving::Gone });
            }
        }
        plan.disable.sort_unstable_by_key(|disable| disable.stable_id);
        let enabled = accounts.values().filter(|known| known.enabled).count();
        plan.within(limit, enabled)
    }

    fn within(self, limit: DisableLimit, enabled: usize) -> Result<Self, Stopped> {
        let allowed = match limit {
            DisableLimit::Confirmed => return Ok(self),
            DisableLimit::Percent { percent, at_least } => {
                // Everyone at once is a mistake somewhere, whatever the percentage; the last one alone may go.
                let most = if enabled > 1 { enabled - 1 } else { enabled };
                let share = enabled.saturating_mul(usize::from(percent)) / 100;
                share.max(at_least).min(most)
            }
        };
        if self.disable.len() <= allowed {
            return Ok(self);
        }
        let would_disable = self.disable.iter().map(|disable| disable.stable_id.clone()).collect();
        Err(Stopped { would_disable, enabled, allowed })
    }

    /// Whether nothing has to be done.
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.update.is_empty() && self.disable.is_empty()
    }
}

fn differs(known: &Known, person: &Person) -> bool {
    let mut before: Vec<&str> = known.groups.iter().map(String::as_str).collect();
    let mut now: Vec<&str> = person.groups.iter().map(|group| &*group.dn).collect();
    before.sort_unstable();
    now.sort_unstable();
    known.dn != person.dn || known.email != person.email || known.name != person.name || before != now
}

impl From<&Person> for Known {
    fn from(person: &Person) -> Self {
        Self {
            stable_id: person.stable_id.clone(),
            dn: person.dn.clone(),
            email: person.email.clone(),
            name: person.name.clone(),
            groups: person.groups.iter().map(|group| group.dn.to_string()).collect(),
            enabled: person.standing.is_active(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::person::Group;
    use super::super::standing::{DisabledBy, Standing};
    use super::*;

    fn person(id: usize, group: u8, active: bool) -> Person {
        let dn = format!("cn=g{group}");
        Person {
            stable_id: format!("id{id}").parse().unwrap(),
            dn: format!("uid=u{id}"),
            email: Some(format!("u{id}@example.com")),
            name: None,
            groups: vec![Group { dn: Arc::from(dn), name: Arc::from("g") }],
            standing: if active { Standing::Active } else { Standing::Disabled(DisabledBy::AccountControl) },
        }
    }

    fn listing(people: Vec<Person>) -> Listing {
        Listing::of(people).unwrap()
    }

    fn known(ids: std::ops::Range<usize>) -> Vec<Known> {
        ids.map(|id| Known::from(&person(id, 0, true))).collect()
    }

    #[test]
    fn each_change_is_named_once() {
        let mut accounts = known(0..20);
        accounts[3].enabled = false;
        let mut people: Vec<Person> = (0..19).map(|id| person(id, u8::from(id == 5), id != 7)).collect();
        people.push(person(30, 0, true));
        people.push(person(31, 0, false));
        let listing = listing(people);
        let plan =
            Plan::compare(&listing, &accounts, DisableLimit::Percent { percent: 20, at_least: 0 }).unwrap();
        let ids = |people: &[&Person]| people.iter().map(|p| p.stable_id.to_string()).collect::<Vec<_>>();
        assert_eq!(ids(&plan.add), ["id30"]);
        assert_eq!(ids(&plan.update), ["id3", "id5"]);
        let disable: Vec<_> = plan.disable.iter().map(|d| (d.stable_id.as_str(), d.reason)).collect();
        assert_eq!(disable, [("id19", Leaving::Gone), ("id7", Leaving::Disabled)]);
    }

    #[test]
    fn a_mass_removal_stops() {
        let ten = DisableLimit::Percent { percent: 10, at_least: 1 };
        for (before, after, limit, allowed) in [
            (100, 90, ten, None),
            (100, 89, ten, Some(10)),
            (5, 4, ten, None),
            (5, 3, ten, Some(1)),
            (100, 1, DisableLimit::Percent { percent: 100, at_least: 0 }, None),
            (1000, 1, DisableLimit::Confirmed, None),
        ] {
            let (accounts, listing) =
                (known(0..before), listing((0..after).map(|id| person(id, 0, true)).collect()));
            match (Plan::compare(&listing, &accounts, limit), allowed) {
                (Ok(plan), None) => assert_eq!(plan.disable.len(), before - after, "{before} to {after}"),
                (Err(stopped), Some(allowed)) => {
                    assert_eq!((stopped.allowed, stopped.enabled), (allowed, before));
                    assert_eq!(stopped.would_disable.len(), before - after);
                }
                (result, _) => panic!("{before} to {after}: {result:?}"),
            }
        }
    }

    #[test]
    fn nobody_of_several_is_left_only_when_confirmed() {
        let (accounts, listing) = (known(0..3), listing(vec![person(9, 0, true)]));
        for limit in [
            DisableLimit::Percent { percent: 100, at_least: 1000 },
            DisableLimit::Percent { percent: 255, at_least: usize::MAX },
        ] {
            assert_eq!(Plan::compare(&listing, &accounts, limit).unwrap_err().allowed, 2);
        }
        assert_eq!(Plan::compare(&listing, &accounts, DisableLimit::Confirmed).unwrap().disable.len(), 3);
        let last = known(0..1);
        assert_eq!(Plan::compare(&listing, &last, DisableLimit::default()).unwrap().disable.len(), 1);
    }

    #[test]
    fn nobody_is_no_listing() {
        assert_eq!(Listing::of(vec![]), None);
        assert_eq!(Listing::of(vec![person(1, 0, true), person(1, 1, true)]), None);
    }

    /// Carries a plan out on the accounts.
    fn apply(accounts: &[Known], plan: &Plan<'_>) -> BTreeMap<StableId, Known> {
        let mut after: BTreeMap<_, _> = accounts.iter().map(|k| (k.stable_id.clone(), k.clone())).collect();
        for person in plan.add.iter().chain(&plan.update) {
            after.insert(person.stable_id.clone(), Known::from(*person));
        }
        for disable in &plan.disable {
            after.get_mut(disable.stable_id).unwrap().enabled = false;
        }
        after
    }

    fn accounts() -> impl Strategy<Value = Vec<Known>> {
        let one = (0_usize..40, 0_u8..3, any::<bool>());
        prop::collection::vec(one, 0..40).prop_map(|rows| {
            let people = rows.into_iter().map(|(id, group, active)| (id, person(id, group, active)));
            people.collect::<BTreeMap<_, _>>().values().map(Known::from).collect()
        })
    }

    fn people() -> impl Strategy<Value = Listing> {
        let one = (0_usize..40, 0_u8..3, any::<bool>());
        prop::collection::vec(one, 1..40).prop_map(|rows| {
            let people = rows.into_iter().map(|(id, group, active)| (id, person(id, group, active)));
            listing(people.collect::<BTreeMap<_, _>>().into_values().collect())
        })
    }

    proptest! {
        #[test]
        fn a_plan_makes_the_accounts_as_listed(listing in people(), accounts in accounts()) {
            let plan = Plan::compare(&listing, &accounts, DisableLimit::Confirmed).unwrap();
            let after = apply(&accounts, &plan);
            for person in listing.people() {
                let account = after.get(&person.stable_id);
                prop_assert_eq!(account.is_some_and(|a| a.enabled), person.standing.is_active());
                if person.standing.is_active() {
                    prop_assert_eq!(account, Some(&Known::from(person)));
                }
            }
            for (id, account) in &after {
                if account.enabled {
                    prop_assert!(listing.people().iter().any(|p| &p.stable_id == id && p.standing.is_active()));
                }
            }
            let after: Vec<Known> = after.into_values().collect();
            prop_assert!(Plan::compare(&listing, &after, DisableLimit::default()).unwrap().is_empty());
        }

        #[test]
        fn never_more_are_disabled_than_allowed(
            listing in people(), accounts in accounts(), percent: u8, at_least in 0_usize..5,
        ) {
            let enabled = accounts.iter().filter(|a| a.enabled).count();
            match Plan::compare(&listing, &accounts, DisableLimit::Percent { percent, at_least }) {
                Ok(plan) => {
                    let share = enabled * usize::from(percent) / 100;
                    prop_assert!(plan.disable.len() <= share.max(at_least));
                    prop_assert!(enabled < 2 || plan.disable.len() < enabled);
                }
                Err(stopped) => prop_assert!(stopped.would_disable.len() > stopped.allowed),
            }
        }
    }
}
