//! Sign-ins: device grants, sessions and their refresh tokens, pending logins, local passwords, on both engines.

use crate::engines::{NOW, World, act, on_both, unique};
use gatehouse_domain::audit::{Actor, Draft, Object};
use gatehouse_domain::directory::UserState;
use gatehouse_domain::id::{SessionId, UserId};
use gatehouse_domain::policy::Denied;
use gatehouse_domain::session::SessionEnd;
use gatehouse_domain::time::{DAY_MS, UnixMillis};
use gatehouse_store::device::{DeviceState, NewDevice};
use gatehouse_store::login::PendingLogin;
use gatehouse_store::session::{NewSession, Refreshed, SessionFilter};
use gatehouse_store::{Page, StoreError};

on_both!(
    a_grant_is_decided_once_and_collected_once,
    grants_are_bounded_and_codes_are_unique,
    a_session_is_in_the_policy_until_it_ends,
    a_disabled_person_begins_no_session,
    of_two_refreshes_one_counts,
    one_node_asks_at_a_time,
    a_pending_login_is_taken_once,
    a_new_password_ends_the_sessions_of_the_old,
    what_has_run_out_is_cleared,
    another_organization_sees_nothing,
);

fn grant(n: u8) -> NewDevice {
    NewDevice {
        device: [n; 32],
        user_code: format!("BCDF-GHJ{}", char::from(b'K' + n)),
        poll_seconds: 2,
        surface: Some("claude_code".into()),
        client: Some("claude-code/2".into()),
        peer: Some("10.0.0.7".parse().unwrap()),
        created_at: NOW,
        expires_at: NOW.plus_millis(600_000),
    }
}

fn at(when: UnixMillis) -> Draft {
    Draft::new(when, Actor::system("test"), "session.x", Object::new("session", unique(), ""))
}

fn fresh(user: UserId) -> NewSession {
    NewSession {
        id: SessionId::new(NOW, u128::from(unique())),
        user,
        team: None,
        source: "local".into(),
        subject: None,
        surface: Some("claude_code".into()),
        client: None,
        peer: None,
        seed: [5; 32],
        source_token: Some("sealed".into()),
        expires_at: NOW.plus_millis(DAY_MS),
    }
}

impl World {
    /// A session that began with the grant of this number.
    pub(crate) async fn session(&self, n: u8, user: UserId) -> NewSession {
        let new = fresh(user);
        assert!(self.store.create_device(self.org, &grant(n), 100).await.unwrap());
        assert!(self.store.decide_device(self.org, &[n; 32], Some("{}"), &act("x")).await.unwrap());
        self.store.begin_session(self.org, &[n; 32], &new, &act("session.begin")).await.unwrap().unwrap();
        new
    }
}

async fn a_grant_is_decided_once_and_collected_once(w: World) {
    let ada = w.user("ada@example.com", &[]).await;
    assert!(w.store.create_device(w.org, &grant(1), 100).await.unwrap());
    let kept = w.store.device_by_code(w.org, "BCDF-GHJL").await.unwrap().unwrap();
    assert_eq!((kept.new, kept.state), (grant(1), DeviceState::Pending));
    w.store.note_poll(w.org, &[1; 32], NOW.plus_millis(5), 7).await.unwrap();
    let polled = w.store.device(w.org, &[1; 32]).await.unwrap().unwrap();
    assert_eq!((polled.polled_at, polled.new.poll_seconds), (Some(NOW.plus_millis(5)), 7));

    let new = fresh(ada.id);
    let early = w.store.begin_session(w.org, &[1; 32], &new, &act("x")).await.unwrap();
    assert!(early.is_none(), "nobody has approved it");
    assert!(!w.store.decide_device(w.org, &[1; 32], None, &at(NOW.plus_millis(600_000))).await.unwrap());
    assert!(w.store.decide_device(w.org, &[1; 32], Some("who"), &act("x")).await.unwrap());
    assert!(!w.store.decide_device(w.org, &[1; 32], None, &act("x")).await.unwrap(), "decided before");
    let approved = w.store.device(w.org, &[1; 32]).await.unwrap().unwrap();
    assert_eq!((approved.state, approved.approval.as_deref()), (DeviceState::Approved, Some("who")));

    let begun = w.store.begin_session(w.org, &[1; 32], &new, &act("session.begin")).await.unwrap().unwrap();
    assert_eq!((begun.id, begun.email.as_str(), begun.created_at), (new.id, "ada@example.com", NOW));
    let again = w.store.begin_session(w.org, &[1; 32], &fresh(ada.id), &act("x")).await.unwrap();
    assert!(again.is_none(), "collected already");
}

async fn grants_are_bounded_and_codes_are_unique(w: World) {
    assert!(w.store.create_device(w.org, &grant(1), 2).await.unwrap());
    let twin = NewDevice { device: [9; 32], ..grant(1) };
    let told = w.store.create_device(w.org, &twin, 2).await.unwrap_err();
    assert!(matches!(told, StoreError::Conflict { .. }) && !told.to_string().contains("BCDF"), "{told}");
    assert!(w.store.create_device(w.org, &grant(2), 2).await.unwrap());
    assert!(!w.store.create_device(w.org, &grant(3), 2).await.unwrap());
    let later = NewDevice { created_at: NOW.plus_millis(600_000), ..grant(3) };
    assert!(w.store.create_device(w.org, &later, 2).await.unwrap(), "the others have run out");
}

async fn a_session_is_in_the_policy_until_it_ends(w: World) {
    let team = w.team("Core").await;
    let ada = w.user("ada@example.com", &[team.id]).await;
    let version = w.store.policy_version(w.org).await.unwrap();
    let new = w.session(1, ada.id).await;
    assert!(w.store.policy_version(w.org).await.unwrap() > version);
    let snapshot = w.store.load_snapshot(w.org).await.unwrap();
    let grant = snapshot.session(new.id, NOW).unwrap();
    assert_eq!((grant.user, grant.org, grant.expires_at), (ada.id, w.org, new.expires_at));

    w.store.set_user_state(w.org, ada.id, UserState::Disabled, &act("x")).await.unwrap();
    let snapshot = w.store.load_snapshot(w.org).await.unwrap();
    assert_eq!(snapshot.session(new.id, NOW).unwrap_err(), Denied::HolderDisabled);

    let version = w.store.policy_version(w.org).await.unwrap();
    let end = async |why| w.store.end_session(w.org, new.id, why, &act("session.end")).await.unwrap();
    let (session, changed) = end(SessionEnd::Revoked).await;
    assert!(changed && session.ended_why == Some(SessionEnd::Revoked) && session.ended_at == Some(NOW));
    assert!(w.store.policy_version(w.org).await.unwrap() > version);
    let (session, changed) = end(SessionEnd::SignedOut).await;
    assert!(!changed && session.ended_why == Some(SessionEnd::Revoked), "it stays as it ended");
    let snapshot = w.store.load_snapshot(w.org).await.unwrap();
    assert_eq!(snapshot.session(new.id, NOW).unwrap_err(), Denied::Unknown);

    let other = w.session(2, w.user("bob@example.com", &[]).await.id).await;
    let find = async |filter: SessionFilter| -> Vec<SessionId> {
        let found = w.store.sessions(w.org, &filter, &Page::first(10)).await.unwrap();
        found.items.into_iter().map(|session| session.id).collect()
    };
    assert_eq!(find(SessionFilter::default()).await, [other.id, new.id]);
    assert_eq!(find(SessionFilter { user: Some(ada.id), open_at: None }).await, [new.id]);
    assert_eq!(find(SessionFilter { user: None, open_at: Some(NOW) }).await, [other.id]);
    assert_eq!(find(SessionFilter { user: None, open_at: Some(other.expires_at) }).await, []);
}

async fn a_disabled_person_begins_no_session(w: World) {
    let ada = w.user("ada@example.com", &[]).await;
    w.store.create_device(w.org, &grant(1), 100).await.unwrap();
    w.store.decide_device(w.org, &[1; 32], Some("{}"), &act("x")).await.unwrap();
    w.store.set_user_state(w.org, ada.id, UserState::Disabled, &act("x")).await.unwrap();
    let told = w.store.begin_session(w.org, &[1; 32], &fresh(ada.id), &act("x")).await;
    assert!(matches!(told, Err(StoreError::Refused { noun: "user", .. })));
    let nobody = w.store.begin_session(w.org, &[1; 32], &fresh(UserId::from_bits(1)), &act("x")).await;
    assert!(matches!(nobody, Err(StoreError::NotFound { noun: "user", .. })));
    let service = w.store.begin_service_session(w.org, &fresh(ada.id), &act("x")).await;
    assert!(matches!(service, Err(StoreError::Refused { noun: "user", .. })));
    // Nothing of it was done.
    let kept = w.store.device(w.org, &[1; 32]).await.unwrap().unwrap();
    assert_eq!(kept.state, DeviceState::Approved);
}

async fn of_two_refreshes_one_counts(w: World) {
    let ada = w.user("ada@example.com", &[]).await;
    let new = w.session(1, ada.id).await;
    let to = Refreshed { generation: 1, used_at: vec![NOW], source_token: Some("next".into()), at: NOW };
    let other = w.another_node().await;
    let (one, two) = tokio::join!(
        w.store.refresh_session(w.org, new.id, 0, &to),
        other.refresh_session(w.org, new.id, 0, &to)
    );
    assert_eq!(i32::from(one.unwrap()) + i32::from(two.unwrap()), 1);
    other.close().await;
    let family = w.store.family(w.org, new.id).await.unwrap().unwrap();
    assert_eq!((family.generation, family.used_at.as_slice(), family.seed), (1, &[NOW][..], [5; 32]));
    assert_eq!((family.source_token.as_deref(), family.user_state), (Some("next"), UserState::Active));
    assert_eq!(w.store.session(w.org, new.id).await.unwrap().refreshed_at, Some(NOW));

    w.store.end_session(w.org, new.id, SessionEnd::TokenReused, &act("x")).await.unwrap();
    let to = Refreshed { generation: 2, ..to };
    assert!(!w.store.refresh_session(w.org, new.id, 1, &to).await.unwrap(), "it has ended");
    let family = w.store.family(w.org, new.id).await.unwrap().unwrap();
    assert!(family.ended_at.is_some() && family.source_token.is_none());
    assert!(w.store.family(w.org, SessionId::from_bits(1)).await.unwrap().is_none());
}

async fn one_node_asks_at_a_time(w: World) {
    let ada = w.user("ada@example.com", &[]).await;
    let new = w.session(1, ada.id).await;
    let begin = async |now: UnixMillis| {
        w.store.begin_asking(w.org, new.id, now, now.plus_millis(-30_000)).await.unwrap()
    };
    assert!(begin(NOW).await);
    assert!(!begin(NOW.plus_millis(1000)).await, "somebody is at it");
    assert!(begin(NOW.plus_millis(31_000)).await, "who was at it has died");
    w.store.end_asking(w.org, new.id).await.unwrap();
    assert!(begin(NOW.plus_millis(32_000)).await);
}

async fn a_pending_login_is_taken_once(w: World) {
    let login = |n: u8| PendingLogin {
        state: [n; 32],
        device: [2; 32],
        sealed: "sealed".into(),
        expires_at: NOW.plus_millis(10),
    };
    assert!(w.store.create_login(w.org, &login(1), 1, NOW).await.unwrap());
    assert!(!w.store.create_login(w.org, &login(2), 1, NOW).await.unwrap(), "there is no room");
    let taken = w.store.take_login(w.org, &[1; 32]).await.unwrap();
    assert!(taken == Some(login(1)));
    assert!(w.store.take_login(w.org, &[1; 32]).await.unwrap().is_none());
}

async fn a_new_password_ends_the_sessions_of_the_old(w: World) {
    let ada = w.user("ada@example.com", &[]).await;
    let set = async |hash| w.store.set_password(w.org, ada.id, hash, &act("user.password")).await;
    assert!(matches!(set(None).await, Err(StoreError::NotFound { .. })));
    set(Some("$one")).await.unwrap();
    assert_eq!(w.store.password(w.org, ada.id).await.unwrap().as_deref(), Some("$one"));
    let new = w.session(1, ada.id).await;
    w.store.renew_password(w.org, ada.id, "$zero", "$renewed").await.unwrap();
    assert_eq!(w.store.password(w.org, ada.id).await.unwrap().as_deref(), Some("$one"), "it was another");
    w.store.renew_password(w.org, ada.id, "$one", "$renewed").await.unwrap();
    assert_eq!(w.store.password(w.org, ada.id).await.unwrap().as_deref(), Some("$renewed"));
    assert!(w.store.session(w.org, new.id).await.unwrap().ended_at.is_none());

    set(Some("$two")).await.unwrap();
    let ended = w.store.session(w.org, new.id).await.unwrap();
    assert_eq!(ended.ended_why, Some(SessionEnd::PasswordChanged));
    set(None).await.unwrap();
    assert_eq!(w.store.password(w.org, ada.id).await.unwrap(), None);
    let nobody = w.store.set_password(w.org, UserId::from_bits(1), Some("$x"), &act("x")).await;
    assert!(matches!(nobody, Err(StoreError::NotFound { noun: "user", .. })));
}

async fn what_has_run_out_is_cleared(w: World) {
    let ada = w.user("ada@example.com", &[]).await;
    let new = w.session(1, ada.id).await;
    w.store.create_device(w.org, &grant(2), 100).await.unwrap();
    w.store.clear_sign_ins(NOW.plus_millis(599_999)).await.unwrap();
    assert!(w.store.device(w.org, &[2; 32]).await.unwrap().is_some());
    w.store.clear_sign_ins(new.expires_at).await.unwrap();
    assert!(w.store.device(w.org, &[2; 32]).await.unwrap().is_none());
    let ended = w.store.session(w.org, new.id).await.unwrap();
    assert_eq!((ended.ended_why, ended.ended_at), (Some(SessionEnd::Expired), Some(new.expires_at)));
}

async fn another_organization_sees_nothing(w: World) {
    let ada = w.user("ada@example.com", &[]).await;
    let new = w.session(1, ada.id).await;
    w.store.create_device(w.org, &grant(2), 100).await.unwrap();
    let other = World::build(w.config.clone()).await;
    assert!(other.store.device(other.org, &[2; 32]).await.unwrap().is_none());
    assert!(other.store.device_by_code(other.org, &grant(2).user_code).await.unwrap().is_none());
    assert!(other.store.family(other.org, new.id).await.unwrap().is_none());
    assert!(matches!(other.store.session(other.org, new.id).await, Err(StoreError::NotFound { .. })));
    assert!(!other.store.decide_device(other.org, &[2; 32], None, &act("x")).await.unwrap());
    assert_eq!(other.store.load_snapshot(other.org).await.unwrap().sessions(), 0);
}
