//! Settings profiles, versions, assignments and receipts, on both engines.

use gatehouse_domain::audit::{Actor, ActorKind, Draft, Object};
use gatehouse_domain::directory::{KeyState, UserState};
use gatehouse_domain::id::{OrgId, ProfileId, ProjectId, UserId};
use gatehouse_domain::settings::machine::MAX_MACHINES;
use gatehouse_domain::settings::receipt::VersionRange;
use gatehouse_domain::settings::{
    Checksum, ClientVersion, Content, Document, Machine, MachineId, Move, Path, Platform, Receipt,
    ReceiptState, StepKind, Target, VersionState,
};
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::settings::{
    Assignment, MAX_BATCH, MachineNews, NewProfile, Occasion, Profile, Version, Wanted,
};
use gatehouse_store::{Page, StoreError};
use serde_json::{Value, json};

use crate::engines::{NOW, World, act, name, new_key, on_both, secret, unique};

on_both!(
    a_profile_goes_the_whole_way,
    profiles_have_one_name_each_and_targets_that_exist,
    nobody_approves_their_own_work,
    what_was_looked_at_is_what_is_decided_upon,
    publishing_and_retiring_raise_the_policy_version,
    going_back_publishes_the_old_content_again,
    a_content_that_was_changed_behind_our_back_is_not_given_out,
    versions_are_listed_in_pages,
    profiles_concern_members_and_holders_of_keys,
    receipts_keep_the_newest_news,
    machines_of_a_user_are_few_and_forgotten_in_time,
    tenants_see_only_their_own_settings,
);

pub(crate) fn content(target: Target, settings: Value, locks: &[&str]) -> Content {
    let locks = locks.iter().map(|lock| Path::parse(lock).unwrap()).collect();
    Content::new(target, Document::from_value(settings).unwrap(), locks, 0).unwrap()
}

pub(crate) fn by(person: &str) -> Draft {
    let actor = Actor { kind: ActorKind::Admin, id: person.to_owned(), name: person.to_owned() };
    Draft::new(NOW, actor, "settings.test", Object::new("settings", unique(), "a profile"))
}

impl World {
    pub(crate) async fn profile(&self, text: &str, target: Target, settings: Value) -> Profile {
        let id = ProfileId::new(NOW, u128::from(unique()));
        let new = NewProfile { id, name: name(text), target, content: content(target, settings, &[]) };
        self.store.create_settings_profile(self.org, &new, &by("ada")).await.unwrap()
    }

    pub(crate) async fn go(
        &self,
        profile: &Profile,
        number: u32,
        who: &str,
        step: Move,
    ) -> Result<VersionState, StoreError> {
        let seen = self.version(profile, number).await.checksum;
        let wanted = Wanted { step, seen, note: None, occasion: Occasion::Asked };
        let moved = self.store.move_settings_version(self.org, profile, number, wanted, &by(who)).await?;
        Ok(moved.state)
    }

    pub(crate) async fn version(&self, profile: &Profile, number: u32) -> Version {
        self.store.settings_version(self.org, profile, number).await.unwrap()
    }

    pub(crate) async fn publish(&self, profile: &Profile, number: u32) {
        self.go(profile, number, "ada", Move::Submit { approvals: 1 }).await.unwrap();
        self.go(profile, number, "bob", Move::Approve).await.unwrap();
        self.go(profile, number, "ada", Move::Publish).await.unwrap();
    }

    pub(crate) async fn draft(&self, profile: &Profile, settings: Value) -> Result<u32, StoreError> {
        let content = content(profile.target, settings, &[]);
        self.store.put_settings_draft(self.org, profile.id, &content, &by("ada")).await
    }
}

async fn a_profile_goes_the_whole_way(w: World) {
    use StepKind::{Approved, Published, Retired, Submitted, Written};
    let profile =
        w.profile("Base", Target::Organization, json!({"model": "opus", "cleanupPeriodDays": 7})).await;
    assert_eq!((profile.newest, profile.published), (1, None));
    assert_eq!(profile.open, Some((1, VersionState::Draft)));
    assert_eq!(w.draft(&profile, json!({"model": "sonnet"})).await.unwrap(), 1, "the draft is written anew");
    assert!(w.store.published_settings(w.org).await.unwrap().is_empty());
    w.publish(&profile, 1).await;
    let published = w.store.published_settings(w.org).await.unwrap();
    assert_eq!((published.len(), published[0].number, published[0].name.as_str()), (1, 1, "Base"));
    assert_eq!(json!(published[0].content.settings()), json!({"model": "sonnet"}));
    assert_eq!(published[0].published_at, NOW);

    assert_eq!(w.draft(&profile, json!({"model": "haiku"})).await.unwrap(), 2);
    w.publish(&profile, 2).await;
    let first = w.version(&profile, 1).await;
    assert_eq!(first.state, VersionState::Retired);
    let kinds: Vec<StepKind> = first.steps.iter().map(|step| step.kind).collect();
    assert_eq!(kinds, [Written, Written, Submitted, Approved, Published, Retired]);
    assert_eq!(first.steps[5].note.as_deref(), Some("replaced by version 2"));
    assert_eq!(first.steps[3].by, "bob");
    let again = w.store.settings_profile(w.org, profile.id).await.unwrap();
    assert_eq!((again.newest, again.published, again.open), (2, Some(2), None));
    w.go(&profile, 2, "eve", Move::Retire).await.unwrap();
    assert!(w.store.published_settings(w.org).await.unwrap().is_empty());
}

async fn profiles_have_one_name_each_and_targets_that_exist(w: World) {
    let team = w.team("Core").await;
    let base = w.profile("Base", Target::Team(team.id), json!({})).await;
    assert_eq!(base.target_name.as_deref(), Some("Core"));
    assert_eq!(w.store.settings_profile_by_name(w.org, &name("BASE")).await.unwrap(), base);
    let new = |text: &str, target| NewProfile {
        id: ProfileId::new(NOW, u128::from(unique())),
        name: name(text),
        target,
        content: content(target, json!({}), &[]),
    };
    let taken = w.store.create_settings_profile(w.org, &new("base", Target::Organization), &by("ada")).await;
    assert!(matches!(taken, Err(StoreError::Conflict { .. })), "{taken:?}");
    for target in [Target::User(UserId::from_bits(1)), Target::Project(ProjectId::from_bits(1))] {
        let refused = w.store.create_settings_profile(w.org, &new("Other", target), &by("ada")).await;
        assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
    }
    assert!(w.store.settings_profile_by_name(w.org, &name("Other")).await.is_err());
    let kept = w.store.remove_team(w.org, team.id, &act("team.remove")).await;
    assert!(matches!(kept, Err(StoreError::Refused { .. })), "{kept:?}");
    w.profile("Alpha", Target::Organization, json!({})).await;
    let listed = w.store.settings_profiles(w.org, &Page::first(1)).await.unwrap();
    assert_eq!(listed.items[0].name, "Alpha");
    let rest = w.store.settings_profiles(w.org, &Page::after(listed.next.unwrap(), 5)).await.unwrap();
    assert_eq!((rest.items[0].name.as_str(), rest.next), ("Base", None));
}

async fn nobody_approves_their_own_work(w: World) {
    let profile = w.profile("Base", Target::Organization, json!({})).await;
    w.go(&profile, 1, "ada", Move::Submit { approvals: 2 }).await.unwrap();
    let told = w.go(&profile, 1, "ada", Move::Approve).await.unwrap_err().to_string();
    assert!(told.contains("written by you"), "{told}");
    assert_eq!(w.go(&profile, 1, "bob", Move::Approve).await.unwrap(), VersionState::Review);
    assert!(w.go(&profile, 1, "bob", Move::Approve).await.is_err());
    assert!(w.go(&profile, 1, "bob", Move::Publish).await.is_err());
    assert!(w.draft(&profile, json!({"model": "opus"})).await.is_err(), "it is under review");
    assert_eq!(w.go(&profile, 1, "eve", Move::Approve).await.unwrap(), VersionState::Approved);
    assert_eq!(w.version(&profile, 1).await.steps.len(), 4, "what was refused left no step");
}

async fn what_was_looked_at_is_what_is_decided_upon(w: World) {
    let profile = w.profile("Base", Target::Organization, json!({"model": "opus"})).await;
    let seen = w.version(&profile, 1).await.checksum;
    w.draft(&profile, json!({"model": "haiku"})).await.unwrap();
    let wanted = Wanted { step: Move::Submit { approvals: 1 }, seen, note: None, occasion: Occasion::Asked };
    let refused = w.store.move_settings_version(w.org, &profile, 1, wanted, &by("ada")).await;
    assert!(refused.unwrap_err().to_string().contains("changed in between"));
    assert_eq!(w.version(&profile, 1).await.state, VersionState::Draft);
}

async fn publishing_and_retiring_raise_the_policy_version(w: World) {
    let profile = w.profile("Base", Target::Organization, json!({})).await;
    let version = || async { w.store.policy_version(w.org).await.unwrap() };
    let before = version().await;
    w.go(&profile, 1, "ada", Move::Submit { approvals: 1 }).await.unwrap();
    w.go(&profile, 1, "bob", Move::Approve).await.unwrap();
    assert_eq!(version().await, before);
    w.go(&profile, 1, "ada", Move::Publish).await.unwrap();
    assert_eq!(version().await, before + 1);
    w.go(&profile, 1, "ada", Move::Retire).await.unwrap();
    assert_eq!(version().await, before + 2);
}

async fn going_back_publishes_the_old_content_again(w: World) {
    let profile = w.profile("Base", Target::Organization, json!({"model": "opus"})).await;
    w.publish(&profile, 1).await;
    w.draft(&profile, json!({"model": "haiku"})).await.unwrap();
    assert!(w.go(&profile, 2, "ada", Move::RollBack).await.is_err(), "it was never published");
    w.publish(&profile, 2).await;
    assert_eq!(w.go(&profile, 1, "eve", Move::RollBack).await.unwrap(), VersionState::Published);
    let published = w.store.published_settings(w.org).await.unwrap();
    assert_eq!((published.len(), published[0].number), (1, 1));
    assert_eq!(w.version(&profile, 2).await.state, VersionState::Retired);
}

async fn a_content_that_was_changed_behind_our_back_is_not_given_out(w: World) {
    let profile = w.profile("Base", Target::Organization, json!({"model": "opus"})).await;
    w.publish(&profile, 1).await;
    w.behind_its_back(r#"UPDATE settings_contents SET settings = '{"model":"haiku"}'"#).await;
    let told = w.store.published_settings(w.org).await;
    assert!(matches!(told, Err(StoreError::Corrupt { .. })), "{told:?}");
    assert!(w.store.settings_version(w.org, &profile, 1).await.is_err());
}

async fn versions_are_listed_in_pages(w: World) {
    let profile = w.profile("Base", Target::Organization, json!({"cleanupPeriodDays": 1})).await;
    for days in 2..=5 {
        w.publish(&profile, days - 1).await;
        w.draft(&profile, json!({"cleanupPeriodDays": days})).await.unwrap();
    }
    let first = w.store.settings_versions(w.org, &profile, &Page::first(2)).await.unwrap();
    let numbers: Vec<u32> = first.items.iter().map(|version| version.number).collect();
    assert_eq!(numbers, [5, 4]);
    let (listed, whole) = (&first.items[1], w.version(&profile, 4).await);
    assert_eq!((listed.state, listed.checksum), (whole.state, whole.checksum));
    assert_eq!((&listed.steps, listed.approvals), (&whole.steps, 1));
    let page = Page::after(first.next.unwrap(), 100);
    let rest = w.store.settings_versions(w.org, &profile, &page).await.unwrap();
    assert_eq!((rest.items.len(), rest.next), (3, None));
    let bad = w.store.settings_versions(w.org, &profile, &Page::after("x".into(), 1)).await;
    assert!(matches!(bad, Err(StoreError::Invalid { field: "after", .. })));
}

async fn profiles_concern_members_and_holders_of_keys(w: World) {
    let (core, web) = (w.team("Core").await, w.team("Web").await);
    let ada = w.user("ada@example.com", &[core.id, web.id]).await;
    let bob = w.user("bob@example.com", &[web.id]).await;
    let project = ProjectId::new(NOW, u128::from(unique()));
    w.store.create_project(w.org, project, &name("Apollo"), &act("project.add")).await.unwrap();
    let key = secret(gatehouse_domain::key::KeyKind::Virtual);
    let mut new = new_key(bob.id, &key);
    new.project = Some(project);
    let held = w.store.create_key(w.org, &new, &act("key.create")).await.unwrap();
    w.profile("Everybody", Target::Organization, json!({})).await;
    let of_core = w.profile("Core", Target::Team(core.id), json!({})).await;
    let of_project = w.profile("Apollo", Target::Project(project), json!({})).await;
    let of_bob = w.profile("Bob", Target::User(bob.id), json!({})).await;
    let pair = |user: UserId, profile: &Profile| Assignment { user, profile: profile.id };
    let all = w.store.settings_assignments(w.org, None).await.unwrap();
    let mut expected = vec![pair(ada.id, &of_core), pair(bob.id, &of_project), pair(bob.id, &of_bob)];
    expected.sort();
    assert_eq!(all, expected);
    let only = w.store.settings_assignments(w.org, Some(ada.id)).await.unwrap();
    assert_eq!(only, [pair(ada.id, &of_core)]);
    w.store.set_key_state(w.org, held.id, KeyState::Revoked, &act("key.revoke")).await.unwrap();
    let left = w.store.settings_assignments(w.org, Some(bob.id)).await.unwrap();
    assert_eq!(left, [pair(bob.id, &of_bob)]);
}

async fn receipts_keep_the_newest_news(w: World) {
    let ada = w.user("ada@example.com", &[]).await;
    let off = w.user("off@example.com", &[]).await;
    w.store.set_user_state(w.org, off.id, UserState::Disabled, &act("user.disable")).await.unwrap();
    let sum = |n| Checksum::from_bytes([n; 32]);
    let reach = async || w.store.settings_reach(w.org, &Page::first(10)).await.unwrap().items;
    assert_eq!(reach().await.len(), 1);
    assert_eq!(reach().await[0].receipt, Receipt::default());
    let mut receipt = Receipt::default();
    receipt.report(Some(sum(1)), ClientVersion::parse("2.1.330").ok(), NOW);
    receipt.offer(sum(2), NOW);
    let nobody = UserId::from_bits(1);
    let put = async |receipt: &Receipt| {
        let both = [(nobody, receipt.clone()), (ada.id, receipt.clone())];
        w.store.put_settings_receipts(w.org, &both).await.unwrap();
    };
    put(&receipt).await;
    assert_eq!(reach().await[0].receipt, receipt);
    // Another node, whose news are older, and one whose news are newer but only of half.
    let mut older = Receipt::default();
    older.report(Some(sum(7)), None, UnixMillis(NOW.0 - 5));
    put(&older).await;
    assert_eq!(reach().await[0].receipt, receipt);
    let mut newer = Receipt::default();
    newer.report(Some(sum(2)), None, UnixMillis(NOW.0 + 5));
    put(&newer).await;
    let known = reach().await.remove(0).receipt;
    assert_eq!(known.offered, receipt.offered);
    assert_eq!((known.reported, known.client), (newer.reported, receipt.client));
    assert_eq!(known.state(sum(2), VersionRange::default(), NOW), ReceiptState::Confirmed);
    let many = vec![(ada.id, receipt.clone()); MAX_BATCH + 1];
    assert!(w.store.put_settings_receipts(w.org, &many).await.is_err());
}

async fn machines_of_a_user_are_few_and_forgotten_in_time(w: World) {
    let (ada, bob) = (w.user("ada@example.com", &[]).await, w.user("bob@example.com", &[]).await);
    let sum = |n| Checksum::from_bytes([n; 32]);
    let machine = |n: usize| {
        let id = MachineId::from_bytes(u128::try_from(n).unwrap().to_be_bytes());
        Machine { id, platform: Platform::Linux }
    };
    let seen = |user: UserId, n: usize, at: i64| {
        let mut receipt = Receipt::default();
        receipt.report(Some(sum(1)), ClientVersion::parse("2.1.330").ok(), UnixMillis(at));
        receipt.offer(sum(2), UnixMillis(at));
        MachineNews { user, machine: machine(n), receipt }
    };
    let put = async |news: &[MachineNews]| w.store.put_settings_machines(w.org, news).await;
    let of = async |users: &[UserId]| w.store.settings_machines(w.org, users).await.unwrap();
    assert!(of(&[]).await.is_empty() && of(&[ada.id, bob.id]).await.is_empty());

    put(&[seen(ada.id, 1, NOW.0), seen(bob.id, 1, NOW.0), seen(UserId::from_bits(1), 1, NOW.0)])
        .await
        .unwrap();
    let both = of(&[ada.id, bob.id]).await;
    assert_eq!(both.len(), 2, "a user who does not exist is passed over: {both:?}");
    assert!(
        both.iter().all(|one| one.machine == machine(1) && one.receipt == seen(ada.id, 1, NOW.0).receipt)
    );

    // The same machine later, and news of it that come late.
    let mut later = seen(ada.id, 1, NOW.0 + 50);
    later.machine.platform = Platform::Other;
    put(&[later.clone()]).await.unwrap();
    put(&[seen(ada.id, 1, NOW.0 - 50)]).await.unwrap();
    let known = of(&[ada.id]).await.remove(0);
    assert_eq!((known.first_seen_at, known.receipt), (NOW, later.receipt));

    // Of too many, those seen last stay.
    let many: Vec<MachineNews> = (0..MAX_MACHINES + 5)
        .map(|n| seen(ada.id, 100 + n, NOW.0 + 100 + i64::try_from(n).unwrap()))
        .collect();
    put(&many).await.unwrap();
    let kept = of(&[ada.id]).await;
    assert_eq!(kept.len(), MAX_MACHINES);
    assert_eq!(kept[0].machine, machine(100 + MAX_MACHINES + 4), "the one seen last comes first");
    assert!(kept.iter().all(|one| one.receipt.seen_at >= Some(UnixMillis(NOW.0 + 105))), "{kept:?}");
    assert_eq!(of(&[bob.id]).await.len(), 1, "another user's are not touched");

    let gone = w.store.forget_settings_machines(w.org, UnixMillis(NOW.0 + 110)).await.unwrap();
    assert_eq!((gone, of(&[ada.id]).await.len(), of(&[bob.id]).await.len()), (6, MAX_MACHINES - 5, 0));
    let too_many = vec![seen(ada.id, 1, NOW.0); MAX_BATCH + 1];
    assert!(put(&too_many).await.is_err());
    let elsewhere = OrgId::new(NOW, u128::from(unique()));
    assert!(w.store.settings_machines(elsewhere, &[ada.id]).await.unwrap().is_empty());
}

async fn tenants_see_only_their_own_settings(w: World) {
    let other = OrgId::new(NOW, u128::from(unique()));
    w.store.create_org(other, &name("Other"), &act("org.create")).await.unwrap();
    let profile = w.profile("Base", Target::Organization, json!({})).await;
    w.publish(&profile, 1).await;
    assert!(w.store.settings_profile(other, profile.id).await.is_err());
    assert!(w.store.settings_version(other, &profile, 1).await.is_err());
    assert!(w.store.published_settings(other).await.unwrap().is_empty());
    assert!(w.store.settings_reach(other, &Page::first(9)).await.unwrap().items.is_empty());
    assert!(w.store.put_settings_draft(other, profile.id, &Content::default(), &by("ada")).await.is_err());
}
