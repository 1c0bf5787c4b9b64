//! Who people are at the issuers where they sign in, on both engines.

use crate::engines::{NOW, World, act, email, on_both};
use gatehouse_domain::id::UserId;
use gatehouse_domain::session::SessionEnd;
use gatehouse_store::StoreError;
use gatehouse_store::account::{AccountData, Entry};
use gatehouse_store::identity::{Identity, Joined, MAX_SUBJECT, Others};

on_both!(
    a_subject_is_one_user_and_a_user_one_subject_of_an_issuer,
    a_second_issuer_needs_leave,
    of_two_people_with_one_address_one_is_the_user,
    what_is_forgotten_can_be_joined_anew,
    an_address_is_changed_where_no_directory_says_it,
);

fn at(issuer: &str, subject: &str) -> Identity {
    Identity { issuer: issuer.into(), subject: subject.into() }
}

impl World {
    async fn join(&self, user: UserId, who: &Identity, others: Others) -> Joined {
        self.store.join_identity(self.org, user, who, others, &act("user.join_identity")).await.unwrap()
    }
}

async fn a_subject_is_one_user_and_a_user_one_subject_of_an_issuer(w: World) {
    let (ada, bob) = (w.user("ada@example.com", &[]).await.id, w.user("bob@example.com", &[]).await.id);
    let one = at("https://idp.example", "u-1");
    assert!(w.store.user_by_identity(w.org, &one).await.unwrap().is_none());
    assert_eq!(w.join(ada, &one, Others::Refused).await, Joined::Yes);
    assert_eq!(w.join(ada, &one, Others::Refused).await, Joined::Already);
    assert_eq!(w.store.user_by_identity(w.org, &one).await.unwrap().unwrap().id, ada);
    for near in [
        at("https://idp.example", "U-1"),
        at("https://idp.example/", "u-1"),
        at("https://idp.example", "u-1 "),
    ] {
        assert!(w.store.user_by_identity(w.org, &near).await.unwrap().is_none(), "{near:?}");
    }
    // Not even where others are joined.
    assert_eq!(w.join(ada, &at("https://idp.example", "u-2"), Others::Joined).await, Joined::SomebodyElse);
    assert_eq!(w.join(bob, &one, Others::Joined).await, Joined::SomebodyElse);
    assert_eq!(w.store.identities(w.org, bob).await.unwrap(), []);
    for subject in ["", "a\0b", "a\nb", &"x".repeat(MAX_SUBJECT + 1)] {
        let told = w.store.join_identity(w.org, bob, &at("i", subject), Others::Joined, &act("x")).await;
        assert!(matches!(told, Err(StoreError::Invalid { field: "subject", .. })), "{subject:?}");
    }
    let nobody = w.store.join_identity(w.org, UserId::from_bits(1), &one, Others::Joined, &act("x")).await;
    assert!(matches!(nobody, Err(StoreError::NotFound { .. })));
    let other = World::build(w.config.clone()).await;
    assert!(other.store.user_by_identity(other.org, &one).await.unwrap().is_none(), "another organization");
}

async fn a_second_issuer_needs_leave(w: World) {
    let ada = w.user("ada@example.com", &[]).await.id;
    let (first, second) = (at("https://idp.example", "u-1"), at("ldap:staff", "9"));
    w.join(ada, &first, Others::Refused).await;
    assert_eq!(w.join(ada, &second, Others::Refused).await, Joined::KnownFrom(first.issuer.clone()));
    assert_eq!(w.join(ada, &second, Others::Joined).await, Joined::Yes);
    let known = w.store.identities(w.org, ada).await.unwrap();
    assert!(known.iter().map(|known| &known.identity).eq([&first, &second]) && known[0].since == NOW);
}

async fn of_two_people_with_one_address_one_is_the_user(w: World) {
    let ada = w.user("ada@example.com", &[]).await.id;
    let other = w.another_node().await;
    let (one, two, act) = (at("https://idp.example", "u-1"), at("https://idp.example", "u-2"), act("x"));
    let (first, second) = tokio::join!(
        w.store.join_identity(w.org, ada, &one, Others::Refused, &act),
        other.join_identity(w.org, ada, &two, Others::Refused, &act)
    );
    other.close().await;
    let mut became = [first.unwrap(), second.unwrap()];
    became.sort_by_key(|joined| *joined != Joined::Yes);
    assert_eq!(became, [Joined::Yes, Joined::SomebodyElse]);
}

async fn what_is_forgotten_can_be_joined_anew(w: World) {
    let ada = w.user("ada@example.com", &[]).await.id;
    let forget =
        async || w.store.forget_identities(w.org, ada, &act("user.forget_identities")).await.unwrap();
    assert_eq!(forget().await, 0);
    w.join(ada, &at("https://idp.example", "u-1"), Others::Refused).await;
    let session = w.session(1, ada).await;
    let version = w.store.policy_version(w.org).await.unwrap();
    assert_eq!(forget().await, 1);
    assert!(
        w.store.policy_version(w.org).await.unwrap() > version,
        "the data path learns that sessions ended"
    );
    let ended = w.store.session(w.org, session.id).await.unwrap();
    assert_eq!(ended.ended_why, Some(SessionEnd::IdentityForgotten));
    assert_eq!(w.join(ada, &at("https://idp.example", "u-2"), Others::Refused).await, Joined::Yes);
}

async fn an_address_is_changed_where_no_directory_says_it(w: World) {
    let ada = w.user("ada@example.com", &[]).await.id;
    w.user("taken@example.com", &[]).await;
    let set = async |to: &str| w.store.set_user_email(w.org, ada, &email(to), &act("user.set_email")).await;
    assert!(matches!(set("taken@example.com").await, Err(StoreError::Conflict { .. })));
    assert_eq!(set("lovelace@example.com").await.unwrap().email, "lovelace@example.com");
    assert_eq!(w.store.user_by_email(w.org, &email("lovelace@example.com")).await.unwrap().id, ada);
    let next = w.user("ada@example.com", &[]).await;
    assert_ne!(next.id, ada, "the old address is free");
    let data = AccountData {
        name_key: "1".into(),
        user_name: "1".into(),
        external_id: None,
        display_key: None,
        document: "{}".into(),
        emails: vec![],
        email: Some(email("lovelace@example.com")),
        name: None,
        active: true,
    };
    let source = "ldap:staff".parse().unwrap();
    w.store.create_account(w.org, &source, ada, Entry::Adopted, &data, &act("user.adopt")).await.unwrap();
    assert!(matches!(set("mine@example.com").await, Err(StoreError::Refused { .. })));
}
