//! Who is in a share of all people: by chance that sticks, and from every team.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use crate::id::{TeamId, UserId};

/// Somebody who may be in a cohort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Person {
    /// Who.
    pub user: UserId,
    /// The team that they are counted to; people without one are counted together.
    pub team: Option<TeamId>,
}

/// The people in a share of all of them, in percent.
///
/// Of each team there are as many as its share says, up to one. A greater share has everybody of a smaller one, and the same
/// people give the same cohort on every node. When people come and go, others may fall into the share: who was in it once is
/// kept by whoever keeps the cohort.
pub fn stratified(people: &[Person], salt: &str, percent: u8) -> BTreeSet<UserId> {
    let mut strata: BTreeMap<Option<TeamId>, Vec<(u64, UserId)>> = BTreeMap::new();
    for person in people {
        strata.entry(person.team).or_default().push((place(salt, &person.user), person.user));
    }
    let mut chosen = BTreeSet::new();
    for (team, mut members) in strata {
        members.sort_unstable();
        members.dedup();
        let start = team.map_or_else(|| place(salt, &"-"), |team| place(salt, &team));
        chosen.extend(members.iter().take(quota(members.len(), percent, start)).map(|(_, user)| *user));
    }
    chosen
}

/// How many of a stratum: its share, where the remainder is rounded up as often as its size says, and for a greater share
/// never to less. `start` is from 0 to 9,999.
fn quota(size: usize, percent: u8, start: u64) -> usize {
    let start = usize::try_from(start).unwrap_or(0);
    (size * usize::from(percent.min(100)) * 100 + start) / 10_000
}

/// Where somebody stands among ten thousand.
fn place(salt: &str, id: &impl std::fmt::Display) -> u64 {
    let digest = Sha256::digest(format!("{salt}:{id}"));
    let first = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    first % 10_000
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn people(sizes: &[u8]) -> Vec<Person> {
        let teams = sizes.iter().zip(0_u128..);
        let team = |n: u128| (n > 0).then(|| TeamId::from_bits(n));
        let of = |(size, n): (&u8, u128)| {
            (0..u128::from(*size))
                .map(move |m| Person { user: UserId::from_bits(n << 32 | m), team: team(n) })
        };
        teams.flat_map(of).collect()
    }

    proptest! {
        #[test]
        fn a_share_sticks_and_grows(sizes in prop::collection::vec(any::<u8>(), 1..12), salt in "[a-z]{1,9}", one in 0_u8..=100, more in 0_u8..=100) {
            let people = people(&sizes);
            let small = stratified(&people, &salt, one);
            let mut turned = people.clone();
            turned.reverse();
            prop_assert_eq!(&small, &stratified(&turned, &salt, one), "the order does not matter");
            let great = stratified(&people, &salt, one.saturating_add(more).min(100));
            prop_assert!(small.is_subset(&great));
            prop_assert!(stratified(&people, &salt, 0).is_empty());
            prop_assert_eq!(stratified(&people, &salt, 100).len(), people.len());
        }

        #[test]
        fn every_team_gives_its_share(sizes in prop::collection::vec(any::<u8>(), 1..12), salt in "[a-z]{1,9}", percent in 0_u8..=100) {
            let people = people(&sizes);
            let chosen = stratified(&people, &salt, percent);
            for (size, n) in sizes.iter().zip(0_u128..) {
                let of_team = f64::from(u16::try_from(chosen.iter().filter(|user| user.bits() >> 32 == n).count()).unwrap());
                let exact = f64::from(*size) * f64::from(percent) / 100.0;
                prop_assert!((of_team - exact).abs() < 1.0, "team {} of {}: {} for {}", n, size, of_team, exact);
            }
        }
    }

    #[test]
    fn small_teams_are_in_it_as_often_as_they_should() {
        // A thousand teams of one: five percent of them, not none.
        let people: Vec<Person> = (1..=1000)
            .map(|n| Person { user: UserId::from_bits(n), team: Some(TeamId::from_bits(n)) })
            .collect();
        let count = stratified(&people, "salt", 5).len();
        assert!((25..=80).contains(&count), "{count}");
        // Nodes of different releases must agree.
        let first: Vec<u128> = stratified(&people[..100], "salt", 5).iter().map(|user| user.bits()).collect();
        assert_eq!(first, stratified(&people[..100], "salt", 5).iter().map(|u| u.bits()).collect::<Vec<_>>());
    }
}
