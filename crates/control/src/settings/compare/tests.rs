use std::sync::Arc;

use gatehouse_domain::id::{ProfileId, TeamId};
use gatehouse_domain::settings::{Catalogue, Document, Target};
use gatehouse_store::settings::{Assignment, Published};
use serde_json::{Value, json};

use super::*;

const PEOPLE: u128 = 10_000;
const TEAMS: u128 = 50;

fn layer(profile: u128, target: Target, settings: Value) -> Published {
    let settings = Document::from_value(settings).unwrap();
    Published {
        profile: ProfileId::from_bits(profile),
        name: format!("profile-{profile}"),
        target,
        number: 1,
        content: Content::new(target, settings, vec![], 0).unwrap(),
        published_at: UnixMillis(0),
        audience: None,
    }
}

/// Fifty teams with a profile each, 10,000 people in one team each, and a last profile that is compared.
fn contrast(target: Target, before: Option<Value>, after: Value, whom: &[Assignment]) -> Contrast {
    let team = |team: u128| {
        let id = TeamId::from_bits(team);
        layer(team, Target::Team(id), json!({"cleanupPeriodDays": team + 1}))
    };
    let layers: Vec<Published> = (0..TEAMS).map(team).collect();
    let member = |user: u128| Assignment {
        user: UserId::from_bits(user),
        profile: ProfileId::from_bits(user % TEAMS),
    };
    let assignments: Vec<Assignment> = (0..PEOPLE).map(member).chain(whom.iter().copied()).collect();
    let with = |settings: Option<Value>| {
        let own = settings.map(|settings| layer(1000, target, settings));
        let layers = layers.iter().cloned().chain(own).collect();
        Snapshot::new(0, Arc::new(Catalogue::builtin()), layers, &assignments)
    };
    let place = layers.len();
    Contrast {
        before: with(before),
        after: with(Some(after)),
        place,
        at: UnixMillis(0),
        known: HashMap::new(),
    }
}

fn changed(contrast: &mut Contrast) -> usize {
    (0..PEOPLE).filter(|user| contrast.of(UserId::from_bits(*user)).is_some()).count()
}

/// Merging is what takes long: it is done for each set of layers, not for each person.
#[test]
fn ten_thousand_people_in_fifty_teams_take_fifty_merges() {
    let mut all = contrast(Target::Organization, Some(json!({"model": "a"})), json!({"model": "b"}), &[]);
    assert_eq!(changed(&mut all), 10_000);
    assert_eq!(all.known.len(), 50);

    let mut new = contrast(Target::Organization, None, json!({"model": "b"}), &[]);
    assert_eq!((changed(&mut new), new.known.len()), (10_000, 50));
    let change = new.of(UserId::from_bits(7)).unwrap();
    assert!(change.before.is_some() && change.after.is_some() && change.before != change.after);

    // The teams say otherwise.
    let (before, after) = (json!({"cleanupPeriodDays": 90}), json!({"cleanupPeriodDays": 91}));
    let mut overridden = contrast(Target::Organization, Some(before), after, &[]);
    assert_eq!((changed(&mut overridden), overridden.known.len()), (0, 50));
}

/// Whom the profile does not concern is not merged for at all.
#[test]
fn only_those_whom_a_profile_concerns_are_looked_at() {
    let target = Target::User(UserId::from_bits(3));
    let whom = [Assignment { user: UserId::from_bits(3), profile: ProfileId::from_bits(1000) }];
    let mut one = contrast(target, None, json!({"model": "b"}), &whom);
    assert_eq!((changed(&mut one), one.known.len()), (1, 1));
    assert!(one.of(UserId::from_bits(3)).is_some());
}
