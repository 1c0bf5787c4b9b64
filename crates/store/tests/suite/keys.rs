//! Virtual keys and the policy snapshot, on both engines.

use crate::engines::{NOW, World, act, name, new_key, on_both, pepper, proofs, secret, unique};
use gatehouse_domain::directory::{KeyState, UserState};
use gatehouse_domain::id::{KeyId, ProjectId, TeamId, UserId};
use gatehouse_domain::key::KeyKind;
use gatehouse_domain::model::ModelScope;
use gatehouse_domain::policy::Denied;
use gatehouse_domain::time::{DAY_MS, UnixMillis};
use gatehouse_store::key::{KeyFilter, Replacement};
use gatehouse_store::{Page, StoreError};

on_both!(
    a_key_keeps_what_it_was_made_with,
    keys_of_nobody_and_nothing_are_refused,
    keys_are_listed_by_holder_team_project_and_state,
    revoking_is_final,
    expiry_is_set_and_lifted,
    a_rotated_key_overlaps_and_expires,
    what_cannot_be_rotated,
    of_rotations_at_once_one_wins,
    last_use_is_noted_to_the_minute,
    every_change_of_policy_counts_the_version_up,
    the_snapshot_decides_as_the_keys_say,
    a_damaged_key_is_reported,
    a_damaged_key_is_refused_and_holds_no_other_up,
);

fn refused<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    let told = result.unwrap_err();
    assert!(matches!(told, StoreError::Refused { .. }), "{told:?}");
}

fn not_found<T: std::fmt::Debug>(result: Result<T, StoreError>, noun: &str) {
    let told = result.unwrap_err();
    assert!(matches!(told, StoreError::NotFound { noun: missing, .. } if missing == noun), "{told:?}");
}

fn replacement() -> Replacement {
    let key = secret(KeyKind::Virtual);
    let (public, hash) = (key.public(), key.hash(&pepper()));
    Replacement { id: KeyId::new(NOW, u128::from(unique())), public, hash, expires_at: None }
}

async fn a_key_keeps_what_it_was_made_with(w: World) {
    let team = w.team("Core").await;
    let ada = w.user("ada@example.com", &[team.id]).await;
    let project = ProjectId::new(NOW, u128::from(unique()));
    w.store.create_project(w.org, project, &name("Apollo"), &act("project.create")).await.unwrap();
    let text = secret(KeyKind::Virtual);
    let mut new = new_key(ada.id, &text);
    new.name = Some(name("laptop"));
    new.team = Some(team.id);
    new.project = Some(project);
    new.models = ModelScope::only(&["claude-haiku-*", "claude-opus-5-5"]).unwrap();
    new.expires_at = Some(NOW.plus_millis(DAY_MS));
    let made = w.store.create_key(w.org, &new, &act("key.create")).await.unwrap();
    assert_eq!(
        (made.id, made.hint.as_str(), made.email.as_str()),
        (new.id, text.hint().as_str(), "ada@example.com")
    );
    assert_eq!((made.team.as_deref(), made.project.as_deref()), (Some("Core"), Some("Apollo")));
    assert_eq!((&made.models, made.expires_at), (&new.models, new.expires_at));
    assert_eq!((made.state, made.created_at, made.last_used_at), (KeyState::Active, NOW, None));
    assert_eq!(w.store.key(w.org, new.id).await.unwrap(), made);
    assert_eq!(w.store.key_by_public(w.org, text.public()).await.unwrap(), made);
    refused(w.store.remove_team(w.org, team.id, &act("team.remove")).await);
}

async fn keys_of_nobody_and_nothing_are_refused(w: World) {
    let ada = w.user("ada@example.com", &[]).await;
    let text = secret(KeyKind::Virtual);
    let nobody = new_key(UserId::from_bits(1), &text);
    not_found(w.store.create_key(w.org, &nobody, &act("x")).await, "user");
    let mut new = new_key(ada.id, &text);
    new.team = Some(TeamId::from_bits(1));
    not_found(w.store.create_key(w.org, &new, &act("x")).await, "team");
    new.team = None;
    new.project = Some(ProjectId::from_bits(1));
    not_found(w.store.create_key(w.org, &new, &act("x")).await, "project");
    new.project = None;
    new.expires_at = Some(NOW);
    let late = w.store.create_key(w.org, &new, &act("x")).await;
    assert!(matches!(late, Err(StoreError::Invalid { field: "expires_at", .. })), "{late:?}");
    new.expires_at = None;
    w.store.create_key(w.org, &new, &act("key.create")).await.unwrap();
    let twin = new_key(ada.id, &text);
    let twice = w.store.create_key(w.org, &twin, &act("x")).await;
    assert!(matches!(twice, Err(StoreError::Conflict { noun: "key", .. })), "{twice:?}");
    not_found(w.store.key(w.org, KeyId::from_bits(1)).await, "key");
    not_found(w.store.key_by_public(w.org, secret(KeyKind::Virtual).public()).await, "key");
}

async fn keys_are_listed_by_holder_team_project_and_state(w: World) {
    let team = w.team("Core").await;
    let (ada, bob) = (w.user("ada@example.com", &[]).await, w.user("bob@example.com", &[]).await);
    let (first, _) = w.key(ada.id).await;
    let (second, _) = w.key(bob.id).await;
    let mut new = new_key(ada.id, &secret(KeyKind::Virtual));
    new.team = Some(team.id);
    let third = w.store.create_key(w.org, &new, &act("key.create")).await.unwrap();
    w.store.set_key_state(w.org, second.id, KeyState::Disabled, &act("key.disable")).await.unwrap();
    let find = async |filter: KeyFilter| -> Vec<KeyId> {
        let found = w.store.keys(w.org, &filter, &Page::first(10)).await.unwrap();
        found.items.into_iter().map(|key| key.id).collect()
    };
    let all = KeyFilter::default();
    assert_eq!(find(all.clone()).await, [third.id, second.id, first.id]);
    assert_eq!(find(KeyFilter { user: Some(ada.id), ..all.clone() }).await, [third.id, first.id]);
    assert_eq!(find(KeyFilter { team: Some(team.id), ..all.clone() }).await, [third.id]);
    assert_eq!(find(KeyFilter { project: Some(ProjectId::from_bits(1)), ..all.clone() }).await, []);
    assert_eq!(find(KeyFilter { state: Some(KeyState::Disabled), ..all }).await, [second.id]);
}

async fn revoking_is_final(w: World) {
    let ada = w.user("ada@example.com", &[]).await;
    let (key, _) = w.key(ada.id).await;
    let set = async |state| w.store.set_key_state(w.org, key.id, state, &act("key.state")).await;
    assert_eq!(set(KeyState::Disabled).await.unwrap().state, KeyState::Disabled);
    assert_eq!(set(KeyState::Active).await.unwrap().state, KeyState::Active);
    assert_eq!(set(KeyState::Revoked).await.unwrap().state, KeyState::Revoked);
    assert_eq!(set(KeyState::Revoked).await.unwrap().state, KeyState::Revoked);
    refused(set(KeyState::Active).await);
    refused(set(KeyState::Disabled).await);
    refused(w.store.set_key_expiry(w.org, key.id, None, &act("key.expire")).await);
    refused(w.store.rotate_key(w.org, key.id, &replacement(), 0, &act("key.rotate")).await);
    not_found(w.store.set_key_state(w.org, KeyId::from_bits(1), KeyState::Active, &act("x")).await, "key");
}

async fn expiry_is_set_and_lifted(w: World) {
    let ada = w.user("ada@example.com", &[]).await;
    let (key, text) = w.key(ada.id).await;
    let set =
        async |at| w.store.set_key_expiry(w.org, key.id, at, &act("key.expire")).await.unwrap().expires_at;
    let identify = async |at| {
        w.store
            .load_snapshot(w.org)
            .await
            .unwrap()
            .with_proofs(proofs())
            .identify(&text, at)
            .map(|grant| grant.id)
    };
    assert_eq!(set(Some(NOW)).await, Some(NOW));
    assert_eq!(identify(NOW).await, Err(Denied::Expired));
    assert_eq!(set(None).await, None);
    assert_eq!(identify(NOW).await, Ok(key.id));
    not_found(w.store.set_key_expiry(w.org, KeyId::from_bits(1), None, &act("x")).await, "key");
}

async fn a_rotated_key_overlaps_and_expires(w: World) {
    let team = w.team("Core").await;
    let ada = w.user("ada@example.com", &[]).await;
    let text = secret(KeyKind::Virtual);
    let mut new = new_key(ada.id, &text);
    new.team = Some(team.id);
    new.models = ModelScope::only(&["claude-*"]).unwrap();
    let old = w.store.create_key(w.org, &new, &act("key.create")).await.unwrap();
    let fresh = secret(KeyKind::Virtual);
    let by = Replacement { public: fresh.public(), hash: fresh.hash(&pepper()), ..replacement() };
    let both = w.store.rotate_key(w.org, old.id, &by, 1000, &act("key.rotate")).await.unwrap();
    assert_eq!((both.old.replaced_by, both.old.expires_at), (Some(by.id), Some(NOW.plus_millis(1000))));
    assert_eq!((both.new.id, both.new.expires_at, both.new.state), (by.id, None, KeyState::Active));
    assert_eq!((both.new.user, &both.new.team, &both.new.models), (old.user, &old.team, &old.models));
    let snapshot = w.store.load_snapshot(w.org).await.unwrap().with_proofs(proofs());
    let identify = |key, at| snapshot.identify(key, at).map(|grant| grant.id);
    assert_eq!(identify(&text, NOW.plus_millis(999)), Ok(old.id));
    assert_eq!(identify(&text, NOW.plus_millis(1000)), Err(Denied::Expired));
    assert_eq!(identify(&fresh, NOW.plus_millis(1000)), Ok(by.id));
    // An end that was nearer than the overlap stays, and is the new key's too unless it is given one.
    w.store.set_key_expiry(w.org, by.id, Some(NOW.plus_millis(50)), &act("key.expire")).await.unwrap();
    let again = w.store.rotate_key(w.org, by.id, &replacement(), 1000, &act("key.rotate")).await.unwrap();
    assert_eq!(
        (again.old.expires_at, again.new.expires_at),
        (Some(NOW.plus_millis(50)), Some(NOW.plus_millis(50)))
    );
    let longer = Replacement { expires_at: Some(NOW.plus_millis(DAY_MS)), ..replacement() };
    let third = w.store.rotate_key(w.org, again.new.id, &longer, 0, &act("key.rotate")).await.unwrap();
    assert_eq!((third.old.expires_at, third.new.expires_at), (Some(NOW), longer.expires_at));
}

async fn what_cannot_be_rotated(w: World) {
    let ada = w.user("ada@example.com", &[]).await;
    let rotate =
        async |id, overlap| w.store.rotate_key(w.org, id, &replacement(), overlap, &act("key.rotate")).await;
    let (disabled, _) = w.key(ada.id).await;
    w.store.set_key_state(w.org, disabled.id, KeyState::Disabled, &act("x")).await.unwrap();
    refused(rotate(disabled.id, 0).await);
    let (expired, _) = w.key(ada.id).await;
    w.store.set_key_expiry(w.org, expired.id, Some(NOW), &act("x")).await.unwrap();
    refused(rotate(expired.id, 0).await);
    let (twice, text) = w.key(ada.id).await;
    rotate(twice.id, 1000).await.unwrap();
    refused(rotate(twice.id, 1000).await);
    not_found(rotate(KeyId::from_bits(1), 0).await, "key");
    let (good, _) = w.key(ada.id).await;
    let negative = rotate(good.id, -1).await;
    assert!(matches!(negative, Err(StoreError::Invalid { field: "overlap", .. })), "{negative:?}");
    let late = Replacement { expires_at: Some(NOW), ..replacement() };
    let late = w.store.rotate_key(w.org, good.id, &late, 0, &act("x")).await;
    assert!(matches!(late, Err(StoreError::Invalid { field: "expires_at", .. })), "{late:?}");
    let taken = Replacement { public: text.public(), ..replacement() };
    let taken = w.store.rotate_key(w.org, good.id, &taken, 0, &act("x")).await;
    assert!(matches!(taken, Err(StoreError::Conflict { noun: "key", .. })), "{taken:?}");
}

async fn of_rotations_at_once_one_wins(w: World) {
    let ada = w.user("ada@example.com", &[]).await;
    let (key, _) = w.key(ada.id).await;
    let other = w.another_node().await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..8 {
        let store = if n % 2 == 0 { w.store.clone() } else { other.clone() };
        let (org, by) = (w.org, replacement());
        tasks.spawn(async move { store.rotate_key(org, key.id, &by, 1000, &act("key.rotate")).await });
    }
    let mut won = Vec::new();
    for result in tasks.join_all().await {
        match result {
            Ok(rotated) => won.push(rotated.new.id),
            Err(lost) => assert!(matches!(lost, StoreError::Refused { .. }), "{lost:?}"),
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(w.store.key(w.org, key.id).await.unwrap().replaced_by, Some(won[0]));
    let left = w.store.keys(w.org, &KeyFilter::default(), &Page::first(10)).await.unwrap();
    assert_eq!(left.items.len(), 2);
}

async fn last_use_is_noted_to_the_minute(w: World) {
    let ada = w.user("ada@example.com", &[]).await;
    let mut keys = Vec::new();
    for _ in 0..53 {
        keys.push(w.key(ada.id).await.0.id);
    }
    let version = w.store.policy_version(w.org).await.unwrap();
    let at = UnixMillis(NOW.0 - NOW.0 % 60_000 + 61_234);
    let mut used: Vec<_> = keys.iter().map(|id| (*id, at)).collect();
    used.push((keys[0], at.plus_millis(120_000)));
    used.push((KeyId::from_bits(1), at));
    for times in [used.as_slice(), &[(keys[1], NOW)], &[]] {
        let mut tx = w.store.begin().await.unwrap();
        gatehouse_store::key::touch(&mut tx, w.org, times).await.unwrap();
        tx.commit().await.unwrap();
    }
    let minute = UnixMillis(at.0 - 1234);
    for id in &keys[1..] {
        assert_eq!(w.store.key(w.org, *id).await.unwrap().last_used_at, Some(minute));
    }
    assert_eq!(w.store.key(w.org, keys[0]).await.unwrap().last_used_at, Some(minute.plus_millis(120_000)));
    assert_eq!(w.store.policy_version(w.org).await.unwrap(), version);
}

async fn every_change_of_policy_counts_the_version_up(w: World) {
    let ada = w.user("ada@example.com", &[]).await;
    let mut last = w.store.policy_version(w.org).await.unwrap();
    let mut rose = async |what: &str| {
        let now = w.store.policy_version(w.org).await.unwrap();
        assert!(now > last, "{what} did not raise the version");
        last = now;
    };
    let (key, _) = w.key(ada.id).await;
    rose("making a key").await;
    w.store.set_key_state(w.org, key.id, KeyState::Disabled, &act("x")).await.unwrap();
    rose("disabling a key").await;
    w.store.set_key_state(w.org, key.id, KeyState::Active, &act("x")).await.unwrap();
    rose("enabling a key").await;
    w.store.set_key_expiry(w.org, key.id, None, &act("x")).await.unwrap();
    rose("setting an expiry").await;
    w.store.rotate_key(w.org, key.id, &replacement(), 0, &act("x")).await.unwrap();
    rose("rotating a key").await;
    w.store.set_user_state(w.org, ada.id, UserState::Disabled, &act("x")).await.unwrap();
    rose("disabling a user").await;
    assert_eq!(
        w.another_node().await.policy_version(w.org).await.unwrap(),
        w.store.policy_version(w.org).await.unwrap()
    );
    not_found(w.store.policy_version(gatehouse_domain::id::OrgId::from_bits(1)).await, "organization");
}

async fn the_snapshot_decides_as_the_keys_say(w: World) {
    let team = w.team("Core").await;
    let (ada, bob) = (w.user("ada@example.com", &[]).await, w.user("bob@example.com", &[]).await);
    let good = secret(KeyKind::Virtual);
    let mut new = new_key(ada.id, &good);
    new.team = Some(team.id);
    new.models = ModelScope::only(&["claude-haiku-*"]).unwrap();
    w.store.create_key(w.org, &new, &act("key.create")).await.unwrap();
    let (disabled, disabled_text) = w.key(ada.id).await;
    w.store.set_key_state(w.org, disabled.id, KeyState::Disabled, &act("x")).await.unwrap();
    let (revoked, revoked_text) = w.key(ada.id).await;
    w.store.set_key_state(w.org, revoked.id, KeyState::Revoked, &act("x")).await.unwrap();
    let (_, bobs) = w.key(bob.id).await;
    w.store.set_user_state(w.org, bob.id, UserState::Disabled, &act("x")).await.unwrap();
    let snapshot = w.store.load_snapshot(w.org).await.unwrap().with_proofs(proofs());
    assert_eq!((snapshot.len(), snapshot.version()), (4, w.store.policy_version(w.org).await.unwrap()));
    let denied = |key| snapshot.identify(key, NOW).unwrap_err();
    assert_eq!(denied(&disabled_text), Denied::Disabled);
    assert_eq!(denied(&revoked_text), Denied::Revoked);
    assert_eq!(denied(&bobs), Denied::HolderDisabled);
    assert_eq!(denied(&secret(KeyKind::Virtual)), Denied::Unknown);
    let grant = snapshot.identify(&good, NOW).unwrap();
    assert_eq!((grant.org, grant.user, grant.team, grant.project), (w.org, ada.id, Some(team.id), None));
    assert!(grant.models.allows("claude-haiku-5-5") && !grant.models.allows("claude-opus-5-5"));
}

async fn a_damaged_key_is_reported(w: World) {
    let ada = w.user("ada@example.com", &[]).await;
    let (key, _) = w.key(ada.id).await;
    w.behind_its_back("UPDATE keys SET models = 'a b'").await;
    let told = w.store.key(w.org, key.id).await.unwrap_err();
    assert!(matches!(told, StoreError::Corrupt { noun: "key", .. }), "{told:?}");
    assert!(told.to_string().contains(&key.id.to_string()), "{told}");
}

async fn a_damaged_key_is_refused_and_holds_no_other_up(w: World) {
    let ada = w.user("ada@example.com", &[]).await;
    let (bad, bad_text) = w.key(ada.id).await;
    let (good, good_text) = w.key(ada.id).await;
    for damage in ["models = 'a b'", "public_id = 'x'", "user_id = 'x'", "team_id = 'x'"] {
        w.behind_its_back("DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT * FROM keys").await;
        let unchecked = if w.config.url == "sqlite" { "" } else { "SET session_replication_role = replica;" };
        w.behind_its_back(&format!("{unchecked} UPDATE keys SET {damage} WHERE id = '{}'", bad.id)).await;
        let policy = w.store.load_snapshot(w.org).await.unwrap().with_proofs(proofs());
        assert!(policy.identify(&good_text, NOW).is_ok(), "{damage}");
        assert!(policy.identify(&bad_text, NOW).is_err(), "{damage}");
        let listed = w.store.keys(w.org, &KeyFilter::default(), &Page::first(10)).await.unwrap();
        assert!(listed.items.iter().any(|key| key.id == good.id), "{damage}");
        w.behind_its_back(&format!("{unchecked} DELETE FROM keys; INSERT INTO keys SELECT * FROM kept"))
            .await;
    }
}
