//! Overlays and their audiences, publications at a time, and imported schemas, on both engines.

use std::collections::BTreeSet;

use gatehouse_domain::id::{OrgId, UserId};
use gatehouse_domain::settings::audience::BadAudience;
use gatehouse_domain::settings::{
    Audience, Checksum, ClientVersion, Member, Move, Percent, Target, VersionState,
};
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::settings::{Assigned, Assignment, MAX_SCHEMAS, NewSchema, Occasion, Profile, Wanted};
use gatehouse_store::{Page, StoreError};
use serde_json::json;

use crate::engines::{NOW, World, act, name, on_both, unique};
use crate::settings::by;

on_both!(
    an_overlay_concerns_whom_it_is_assigned_to,
    an_audience_changes_whole_or_not_at_all,
    only_overlays_have_audiences,
    what_is_scheduled_is_due_when_its_time_has_come,
    a_version_that_goes_another_way_is_not_scheduled_any_more,
    what_was_taken_back_is_not_published,
    schemas_are_in_force_until_they_are_reset,
    tenants_have_their_own_schemas_and_audiences,
);

fn audience(percent: u64) -> Audience {
    Audience { percent: Percent::new(percent).unwrap(), starts_at: NOW, ends_at: None }
}

impl World {
    async fn overlay(&self, text: &str) -> Profile {
        self.profile(text, Target::Rollout, json!({"model": "haiku"})).await
    }

    async fn assign(
        &self,
        profile: &Profile,
        percent: u64,
        members: &[Member],
    ) -> Result<Assigned, StoreError> {
        let members: BTreeSet<Member> = members.iter().copied().collect();
        let becomes = |_: Option<&Assigned>| Ok((audience(percent), members));
        self.store.change_settings_audience(self.org, profile, becomes, &by("ada")).await
    }

    async fn approve(&self, profile: &Profile) -> Checksum {
        self.go(profile, profile.newest, "ada", Move::Submit { approvals: 1 }).await.unwrap();
        self.go(profile, profile.newest, "bob", Move::Approve).await.unwrap();
        self.version(profile, profile.newest).await.checksum
    }

    async fn schedule(&self, profile: &Profile, at: i64) -> Result<(), StoreError> {
        let seen = self.version(profile, 1).await.checksum;
        let at = NOW.plus_millis(at);
        self.store.schedule_settings(self.org, profile, 1, seen, at, &by("ada")).await
    }

    async fn due(&self, now: i64) -> Vec<u32> {
        let due = self.store.due_settings(self.org, NOW.plus_millis(now)).await.unwrap();
        due.iter().map(|due| due.number).collect()
    }

    async fn import(&self, after: u32, text: Option<&str>) -> Result<u32, StoreError> {
        let new = NewSchema { digest: "sha256:x", client: ClientVersion::parse("2.1.400").ok(), text };
        self.store.add_settings_schema(self.org, after, new, &by("ada")).await
    }
}

async fn an_overlay_concerns_whom_it_is_assigned_to(w: World) {
    let core = w.team("Core").await;
    let ada = w.user("ada@example.com", &[core.id]).await;
    let bob = w.user("bob@example.com", &[]).await;
    let overlay = w.overlay("Pilot").await;
    assert_eq!((overlay.target, overlay.target_name.as_deref()), (Target::Rollout, None));
    w.publish(&overlay, 1).await;
    let published = || async { w.store.published_settings(w.org).await.unwrap().remove(0) };
    assert_eq!((published().await.target, published().await.audience), (Target::Rollout, None));
    let concerns = || async { w.store.settings_assignments(w.org, None).await.unwrap() };
    assert_eq!(concerns().await, []);
    assert_eq!(w.store.settings_audience(w.org, overlay.id).await.unwrap(), None);

    let version = w.store.policy_version(w.org).await.unwrap();
    let both = [Member::Team(core.id), Member::User(bob.id)];
    let assigned = w.assign(&overlay, 10, &both).await.unwrap();
    assert_eq!(w.store.policy_version(w.org).await.unwrap(), version + 1);
    let names: Vec<&str> = assigned.members.values().map(String::as_str).collect();
    assert_eq!((names, assigned.audience), (vec!["Core", "bob@example.com"], audience(10)));
    assert_eq!(published().await.audience, Some(audience(10)));
    let pair = |user: UserId| Assignment { user, profile: overlay.id };
    assert_eq!(concerns().await, [pair(ada.id), pair(bob.id)]);
    assert_eq!(w.store.settings_assignments(w.org, Some(bob.id)).await.unwrap(), [pair(bob.id)]);

    assert_eq!(w.assign(&overlay, 0, &[Member::User(ada.id)]).await.unwrap().members.len(), 1);
    assert_eq!(concerns().await, [pair(ada.id)]);
    w.assign(&overlay, 0, &both).await.unwrap();
    w.store.set_user_teams(w.org, ada.id, &[], &act("user.teams")).await.unwrap();
    assert_eq!(concerns().await, [pair(bob.id)], "who leaves the team leaves the audience");
    w.store.remove_team(w.org, core.id, &act("team.remove")).await.unwrap();
    assert_eq!(w.store.settings_audience(w.org, overlay.id).await.unwrap().unwrap().members.len(), 1);
}

async fn an_audience_changes_whole_or_not_at_all(w: World) {
    let ada = w.user("ada@example.com", &[]).await;
    let overlay = w.overlay("Pilot").await;
    w.assign(&overlay, 5, &[Member::User(ada.id)]).await.unwrap();
    let before = w.store.settings_audience(w.org, overlay.id).await.unwrap();
    let ghost = w.assign(&overlay, 50, &[Member::User(UserId::from_bits(1))]).await;
    assert!(matches!(ghost, Err(StoreError::Refused { .. })), "{ghost:?}");
    let refuses = |_: Option<&Assigned>| Err(BadAudience::Nobody);
    let refused = w.store.change_settings_audience(w.org, &overlay, refuses, &by("ada")).await;
    assert!(refused.unwrap_err().to_string().contains("nobody is in it"));
    assert_eq!(w.store.settings_audience(w.org, overlay.id).await.unwrap(), before);
}

async fn only_overlays_have_audiences(w: World) {
    let base = w.profile("Base", Target::Organization, json!({})).await;
    let told = w.assign(&base, 5, &[]).await.unwrap_err().to_string();
    assert!(told.contains("is no overlay"), "{told}");
}

async fn what_is_scheduled_is_due_when_its_time_has_come(w: World) {
    let base = w.profile("Base", Target::Organization, json!({})).await;
    let told = w.schedule(&base, 10).await.unwrap_err().to_string();
    assert!(told.contains("is not approved"), "{told}");
    let seen = w.approve(&base).await;
    let other = Checksum::from_bytes([1; 32]);
    let changed = w.store.schedule_settings(w.org, &base, 1, other, NOW, &by("ada")).await;
    assert!(changed.unwrap_err().to_string().contains("look at it again"));
    w.schedule(&base, 10).await.unwrap();
    w.schedule(&base, 20).await.unwrap();
    let shown = w.store.settings_profile(w.org, base.id).await.unwrap().scheduled.unwrap();
    assert_eq!((shown.number, shown.at, shown.by.as_str()), (1, NOW.plus_millis(20), "ada"));
    assert_eq!((w.due(19).await, w.due(20).await), (vec![], vec![1]));
    let due = w.store.due_settings(w.org, NOW.plus_millis(20)).await.unwrap().remove(0);
    assert_eq!((due.profile, due.checksum), (base.id, seen));

    w.store.fail_scheduled_settings(w.org, &due, "the moon is full", &by("job")).await.unwrap();
    assert_eq!(w.due(20).await, [0; 0]);
    let shown = w.store.settings_profile(w.org, base.id).await.unwrap().scheduled.unwrap();
    assert_eq!(shown.problem.as_deref(), Some("the moon is full"));
    w.schedule(&base, 30).await.unwrap();
    w.store.fail_scheduled_settings(w.org, &due, "late news of the first", &by("job")).await.unwrap();
    assert_eq!(w.due(30).await, [1], "it was scheduled anew in between");
    w.store.unschedule_settings(w.org, &base, &by("ada")).await.unwrap();
    assert!(matches!(
        w.store.unschedule_settings(w.org, &base, &by("ada")).await,
        Err(StoreError::NotFound { .. })
    ));
}

async fn a_version_that_goes_another_way_is_not_scheduled_any_more(w: World) {
    for step in [Move::Publish, Move::Return, Move::Retire] {
        let base = w.profile(&format!("Base {}", unique()), Target::Organization, json!({})).await;
        w.approve(&base).await;
        w.schedule(&base, 10).await.unwrap();
        w.go(&base, 1, "eve", Move::Approve).await.unwrap();
        assert_eq!(w.due(10).await, [1], "one more approval changes nothing");
        w.go(&base, 1, "eve", step).await.unwrap();
        assert_eq!(w.due(10).await, [0; 0], "{step:?}");
    }
}

async fn what_was_taken_back_is_not_published(w: World) {
    let base = w.profile("Base", Target::Organization, json!({})).await;
    let seen = w.approve(&base).await;
    let publish = async |at: UnixMillis| {
        let occasion = Occasion::Scheduled(at);
        let wanted = Wanted { step: Move::Publish, seen, note: None, occasion };
        w.store.move_settings_version(w.org, &base, 1, wanted, &by("job")).await
    };
    let told = publish(NOW).await.unwrap_err().to_string();
    assert!(told.contains("not scheduled"), "{told}");
    w.schedule(&base, 10).await.unwrap();
    assert!(publish(NOW).await.is_err(), "it was put off");
    assert_eq!(publish(NOW.plus_millis(10)).await.unwrap().state, VersionState::Published);
    assert!(publish(NOW.plus_millis(10)).await.is_err(), "once");
}

async fn schemas_are_in_force_until_they_are_reset(w: World) {
    assert_eq!(w.store.settings_schema_number(w.org).await.unwrap(), 0);
    let version = w.store.policy_version(w.org).await.unwrap();
    assert_eq!(w.import(0, Some("one")).await.unwrap(), 1);
    assert_eq!(w.store.policy_version(w.org).await.unwrap(), version + 1);
    assert!(w.import(0, Some("late")).await.is_err(), "another was first");
    assert_eq!(w.import(1, Some("two")).await.unwrap(), 2);
    let texts = || async {
        let all = w.store.settings_schemas_in_force(w.org).await.unwrap();
        all.into_iter().map(|one| one.text.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(texts().await, ["one", "two"]);
    assert_eq!(w.import(2, None).await.unwrap(), 3);
    assert_eq!(texts().await, [""; 0]);
    assert_eq!(w.import(3, Some("three")).await.unwrap(), 4);
    assert_eq!(texts().await, ["three"]);
    let listed = w.store.settings_schemas(w.org, &Page::first(3)).await.unwrap();
    let told: Vec<(u32, Option<&str>)> =
        listed.items.iter().map(|one| (one.number, one.text.as_deref())).collect();
    assert_eq!(told, [(4, Some("")), (3, None), (2, Some(""))]);
    let rest = w.store.settings_schemas(w.org, &Page::after(listed.next.unwrap(), 3)).await.unwrap();
    assert_eq!((rest.items[0].number, rest.items[0].client), (1, ClientVersion::parse("2.1.400").ok()));
    assert_eq!(w.store.settings_schema(w.org, 2).await.unwrap().text.as_deref(), Some("two"));
    for number in 4..u32::try_from(MAX_SCHEMAS).unwrap() + 3 {
        w.import(number, Some("more")).await.unwrap();
    }
    let told =
        w.import(u32::try_from(MAX_SCHEMAS).unwrap() + 3, Some("too many")).await.unwrap_err().to_string();
    assert!(told.contains("one too many"), "{told}");
}

async fn tenants_have_their_own_schemas_and_audiences(w: World) {
    let other = OrgId::new(NOW, u128::from(unique()));
    w.store.create_org(other, &name("Other"), &act("org.create")).await.unwrap();
    let overlay = w.overlay("Pilot").await;
    w.assign(&overlay, 5, &[]).await.unwrap();
    w.import(0, Some("one")).await.unwrap();
    w.approve(&overlay).await;
    w.schedule(&overlay, 0).await.unwrap();
    assert_eq!(w.store.settings_audience(other, overlay.id).await.unwrap(), None);
    assert!(w.store.settings_schemas_in_force(other).await.unwrap().is_empty());
    assert!(w.store.settings_schema(other, 1).await.is_err());
    assert!(w.store.due_settings(other, NOW).await.unwrap().is_empty());
    let becomes = |_: Option<&Assigned>| Ok((audience(50), BTreeSet::new()));
    assert!(w.store.change_settings_audience(other, &overlay, becomes, &by("eve")).await.is_err());
    assert!(w.store.unschedule_settings(other, &overlay, &by("eve")).await.is_err());
}
