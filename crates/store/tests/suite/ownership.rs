//! Marks on objects that were written from files, on both engines.

use gatehouse_domain::audit::Hash;
use gatehouse_domain::id::OrgId;
use gatehouse_domain::ownership::{MAX_BATCH, Mark, Noun};
use gatehouse_store::{Page, StoreError};

use crate::engines::{NOW, World, act, name, on_both, unique};

on_both!(
    marks_are_set_over_each_other_and_removed,
    marks_are_listed_in_pages,
    too_many_marks_change_nothing,
    tenants_see_only_their_own_marks,
    a_user_gets_another_name,
);

fn mark(noun: Noun, name: &str, text: &str) -> Mark {
    Mark { noun, name: name.to_owned(), digest: Hash::of(text.as_bytes()) }
}

impl World {
    async fn marks(&self, org: OrgId) -> Vec<Mark> {
        let listed = self.store.owned_objects(org, &Page::first(1000)).await.unwrap();
        assert_eq!(listed.next, None);
        listed.items.into_iter().map(|owned| owned.mark).collect()
    }
}

async fn marks_are_set_over_each_other_and_removed(w: World) {
    let (team, user) = (mark(Noun::Team, "Core", "1"), mark(Noun::User, "a@b.c", "2"));
    w.store.mark_owned(w.org, &[user.clone(), team.clone()], &act("mark")).await.unwrap();
    assert_eq!(w.marks(w.org).await, [team.clone(), user.clone()]);
    let changed = mark(Noun::Team, "Core", "3");
    w.store.mark_owned(w.org, std::slice::from_ref(&changed), &act("mark")).await.unwrap();
    assert_eq!(w.marks(w.org).await, [changed, user]);
    let listed = w.store.owned_objects(w.org, &Page::first(1)).await.unwrap();
    assert_eq!(listed.items[0].applied_at, NOW);
    w.store.release_owned(w.org, Noun::Team, "Core", &act("release")).await.unwrap();
    assert_eq!(w.marks(w.org).await.len(), 1);
    for (noun, name) in [(Noun::Team, "Core"), (Noun::Team, "a@b.c"), (Noun::User, "A@b.c")] {
        let told = w.store.release_owned(w.org, noun, name, &act("release")).await;
        assert!(matches!(told, Err(StoreError::NotFound { .. })), "{told:?}");
    }
}

async fn marks_are_listed_in_pages(w: World) {
    let names = ["a", "a:b", "b", "Ü"];
    let all: Vec<Mark> =
        [Noun::Team, Noun::Role].iter().flat_map(|noun| names.map(|name| mark(*noun, name, name))).collect();
    w.store.mark_owned(w.org, &all, &act("mark")).await.unwrap();
    let (mut page, mut seen) = (Page::first(1), Vec::new());
    loop {
        let listed = w.store.owned_objects(w.org, &page).await.unwrap();
        seen.extend(listed.items.into_iter().map(|owned| (owned.mark.noun.as_str(), owned.mark.name)));
        let Some(next) = listed.next else { break };
        page = Page::after(next, 1);
    }
    let expected = ["role", "team"].iter().flat_map(|noun| names.map(|name| (*noun, name.to_owned())));
    assert_eq!(seen, expected.collect::<Vec<_>>());
    let bad = w.store.owned_objects(w.org, &Page::after("x".into(), 1)).await;
    assert!(matches!(bad, Err(StoreError::Invalid { field: "after", .. })), "{bad:?}");
}

async fn too_many_marks_change_nothing(w: World) {
    let many: Vec<Mark> = (0..=MAX_BATCH).map(|n| mark(Noun::Team, &n.to_string(), "x")).collect();
    let told = w.store.mark_owned(w.org, &many, &act("mark")).await;
    assert!(matches!(told, Err(StoreError::Invalid { field: "items", .. })), "{told:?}");
    assert!(w.marks(w.org).await.is_empty());
    w.store.mark_owned(w.org, &many[1..], &act("mark")).await.unwrap();
    assert_eq!(w.marks(w.org).await.len(), MAX_BATCH);
}

async fn tenants_see_only_their_own_marks(w: World) {
    let other = OrgId::new(NOW, u128::from(unique()));
    w.store.create_org(other, &name("Other"), &act("org.create")).await.unwrap();
    w.store.mark_owned(w.org, &[mark(Noun::Team, "Core", "1")], &act("mark")).await.unwrap();
    assert!(w.marks(other).await.is_empty());
    assert!(w.store.release_owned(other, Noun::Team, "Core", &act("release")).await.is_err());
    w.store.mark_owned(other, &[mark(Noun::Team, "Core", "2")], &act("mark")).await.unwrap();
    assert_eq!(w.marks(w.org).await, [mark(Noun::Team, "Core", "1")]);
}

async fn a_user_gets_another_name(w: World) {
    let ada = w.user("ada@example.com", &[]).await;
    let set = async |text: Option<&str>| {
        let name = text.map(name);
        w.store.set_user_name(w.org, ada.id, name.as_ref(), &act("user.set_name")).await.unwrap()
    };
    assert_eq!(set(Some("Ada L.")).await.name.as_deref(), Some("Ada L."));
    assert_eq!(w.store.user(w.org, ada.id).await.unwrap().name.as_deref(), Some("Ada L."));
    let found = async |text: &str| {
        let filter = gatehouse_store::user::UserFilter { text: Some(text.to_owned()), ..Default::default() };
        w.store.users(w.org, &filter, &Page::first(9)).await.unwrap().items.len()
    };
    assert_eq!(found("ada l").await, 1);
    assert_eq!(set(None).await.name, None);
    assert_eq!((found("ada l").await, found("ada@").await), (0, 1));
    let nobody = gatehouse_domain::id::UserId::from_bits(1);
    assert!(w.store.set_user_name(w.org, nobody, None, &act("user.set_name")).await.is_err());
}
