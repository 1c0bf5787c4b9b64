//! Second factors and the local sign-ins that ask for them, on both engines.

use gatehouse_domain::id::UserId;
use gatehouse_domain::session::SessionEnd;
use gatehouse_store::StoreError;
use gatehouse_store::factor::{Added, Left, MAX_PASSKEYS, NewPasskey, Which};
use gatehouse_store::local_sign_in::{LocalSignIn, Stage};

use crate::engines::{NOW, World, act, on_both};

on_both!(
    a_time_step_is_used_once,
    a_passkey_counts_on_or_is_refused,
    a_passkey_belongs_to_one_person_and_there_are_not_too_many,
    a_recovery_code_is_used_once,
    the_last_factor_stays_where_one_must,
    a_reset_leaves_nothing,
    a_link_works_once_and_not_for_long,
    a_sign_in_answers_to_its_browser_for_a_while,
    a_challenge_is_used_once_and_tries_are_counted,
    a_secret_is_sealed_anew_unless_it_was_replaced,
);

const CODES: [[u8; 32]; 2] = [[1; 32], [2; 32]];

fn passkey(id: &[u8], counter: u32) -> NewPasskey<'_> {
    NewPasskey { id, public_key: b"key", counter }
}

fn begun(n: u8, stage: Stage, user: Option<UserId>) -> LocalSignIn {
    LocalSignIn {
        ticket: [n; 32],
        browser: [9; 32],
        stage,
        user,
        device: Some([3; 32]),
        challenge: Some([4; 32]),
        secret: None,
        expires_at: NOW.plus_millis(600_000),
    }
}

async fn a_time_step_is_used_once(w: World) {
    let ada = w.user("ada@example.com", &[]).await.id;
    let add = async || w.store.add_totp(w.org, ada, "sealed", 10, Some(&CODES), &act("factor.add")).await;
    assert!(matches!((add().await, add().await), (Ok(Added::Done), Ok(Added::Full))));
    let used = async |step| w.store.use_totp(w.org, ada, step, &act("factor.use")).await;
    for (step, good) in [(10, false), (9, false), (11, true), (11, false), (13, true), (12, false)] {
        assert_eq!(used(step).await.unwrap(), good, "{step}");
    }
    let (one, other) = tokio::join!(used(20), used(20));
    assert!(one.unwrap() != other.unwrap(), "of two nodes one goes on");
    let has = w.store.factors(w.org, ada).await.unwrap();
    let totp = has.totp.unwrap();
    assert_eq!((totp.last_step, totp.used_at, has.recovery_codes), (20, Some(NOW), 2));
}

async fn a_passkey_counts_on_or_is_refused(w: World) {
    let ada = w.user("ada@example.com", &[]).await.id;
    for (id, counter) in [(b"counts", 5), (b"silent", 0)] {
        let added = w.store.add_passkey(w.org, ada, passkey(id, counter), None, &act("factor.add")).await;
        assert!(matches!(added, Ok(Added::Done)));
    }
    let used = async |id: &[u8], counter| w.store.use_passkey(w.org, id, counter, &act("factor.use")).await;
    for (counter, good) in [(5, false), (4, false), (0, false), (6, true), (6, false), (u32::MAX, true)] {
        assert_eq!(used(b"counts", counter).await.unwrap(), good, "{counter}");
    }
    for (counter, good) in [(0, true), (0, true), (1, true), (0, false)] {
        assert_eq!(used(b"silent", counter).await.unwrap(), good, "{counter}");
    }
    assert!(!used(b"nobody", 1).await.unwrap());
}

async fn a_passkey_belongs_to_one_person_and_there_are_not_too_many(w: World) {
    let ada = w.user("ada@example.com", &[]).await.id;
    let eve = w.user("eve@example.com", &[]).await.id;
    for n in 0..MAX_PASSKEYS {
        let id = [u8::try_from(n).unwrap(); 16];
        let added = w.store.add_passkey(w.org, ada, passkey(&id, 0), None, &act("factor.add")).await;
        assert!(matches!(added, Ok(Added::Done)));
    }
    let more = w.store.add_passkey(w.org, ada, passkey(b"more", 0), None, &act("factor.add")).await;
    assert!(matches!(more, Ok(Added::Full)));
    let taken = w.store.add_passkey(w.org, eve, passkey(&[0; 16], 0), Some(&CODES), &act("x")).await;
    assert!(matches!(taken, Ok(Added::Taken)));
    let has = w.store.factors(w.org, eve).await.unwrap();
    assert!(has.is_empty() && has.recovery_codes == 0, "nothing came with it");
    let theirs = Which::Passkey(&[0; 16]);
    assert!(!w.store.remove_factor(w.org, eve, theirs, Left::Nothing, &act("x")).await.unwrap());
    assert!(w.store.passkey(w.org, &[0; 16]).await.unwrap().is_some_and(|kept| kept.user == ada));
}

async fn a_recovery_code_is_used_once(w: World) {
    let ada = w.user("ada@example.com", &[]).await.id;
    let eve = w.user("eve@example.com", &[]).await.id;
    w.store.set_recovery_codes(w.org, ada, &CODES, &act("x")).await.unwrap();
    let used = async |user, code| w.store.use_recovery_code(w.org, user, code, &act("factor.use")).await;
    assert!(!used(eve, &CODES[0]).await.unwrap(), "of another person");
    let (one, other) = tokio::join!(used(ada, &CODES[0]), used(ada, &CODES[0]));
    assert!(one.unwrap() != other.unwrap());
    w.store.set_recovery_codes(w.org, ada, &[[7; 32]], &act("x")).await.unwrap();
    assert!(!used(ada, &CODES[1]).await.unwrap(), "replaced");
    assert!(used(ada, &[7; 32]).await.unwrap());
}

async fn the_last_factor_stays_where_one_must(w: World) {
    let ada = w.user("ada@example.com", &[]).await.id;
    w.store.add_totp(w.org, ada, "sealed", 1, Some(&CODES), &act("x")).await.map(drop).unwrap();
    w.store.add_passkey(w.org, ada, passkey(b"one", 0), None, &act("x")).await.map(drop).unwrap();
    let remove =
        async |which, left| w.store.remove_factor(w.org, ada, which, left, &act("factor.remove")).await;
    assert!(remove(Which::Totp, Left::Another).await.unwrap());
    assert!(!remove(Which::Totp, Left::Another).await.unwrap(), "gone before");
    assert!(!remove(Which::Passkey(b"one"), Left::Another).await.unwrap(), "the last");
    assert_eq!(w.store.factors(w.org, ada).await.unwrap().recovery_codes, 2);
    assert!(remove(Which::Passkey(b"one"), Left::Nothing).await.unwrap());
    let has = w.store.factors(w.org, ada).await.unwrap();
    assert!(has.is_empty() && has.recovery_codes == 0);
}

async fn a_reset_leaves_nothing(w: World) {
    let ada = w.user("ada@example.com", &[]).await.id;
    let fill = async || {
        w.store.add_totp(w.org, ada, "sealed", 1, Some(&CODES), &act("x")).await.map(drop).unwrap();
        w.store.add_passkey(w.org, ada, passkey(b"one", 0), None, &act("x")).await.map(drop).unwrap();
        let until = NOW.plus_millis(1000);
        w.store.put_factor_link(w.org, ada, &[8; 32], until, &act("x")).await.unwrap();
        let open = begun(1, Stage::Open, Some(ada));
        assert!(w.store.create_local_sign_in(w.org, &open, 10, NOW).await.unwrap());
    };
    let is_clean = async || {
        let has = w.store.factors(w.org, ada).await.unwrap();
        has.is_empty()
            && has.recovery_codes == 0
            && w.store.take_factor_link(w.org, &[8; 32], NOW).await.unwrap().is_none()
            && w.store.local_sign_in(w.org, &[1; 32], &[9; 32], NOW).await.unwrap().is_none()
    };
    fill().await;
    let session = w.session(1, ada).await;
    w.store.reset_factors(w.org, ada, &act("user.reset_factors")).await.unwrap();
    assert!(is_clean().await);
    let ended = w.store.session(w.org, session.id).await.unwrap();
    assert_eq!(ended.ended_why, Some(SessionEnd::FactorsReset));
    fill().await;
    w.store.set_password(w.org, ada, Some("hash"), &act("x")).await.unwrap();
    assert!(!w.store.factors(w.org, ada).await.unwrap().is_empty(), "a new password leaves them");
    w.store.set_password(w.org, ada, None, &act("x")).await.unwrap();
    assert!(is_clean().await, "without a password nothing is left to sign in with");
    let nobody = w.store.reset_factors(w.org, UserId::from_bits(5), &act("x")).await;
    assert!(matches!(nobody, Err(StoreError::NotFound { .. })));
}

async fn a_link_works_once_and_not_for_long(w: World) {
    let ada = w.user("ada@example.com", &[]).await.id;
    let until = NOW.plus_millis(1000);
    let put = async |link| w.store.put_factor_link(w.org, ada, link, until, &act("x")).await;
    let take = |link, at| w.store.take_factor_link(w.org, link, at);
    put(&[1; 32]).await.unwrap();
    put(&[2; 32]).await.unwrap();
    assert_eq!(take(&[1; 32], NOW).await.unwrap(), None, "replaced");
    assert_eq!(take(&[2; 32], until).await.unwrap(), None, "run out");
    assert_eq!(take(&[2; 32], NOW).await.unwrap(), Some(ada));
    assert_eq!(take(&[2; 32], NOW).await.unwrap(), None, "used");
}

async fn a_sign_in_answers_to_its_browser_for_a_while(w: World) {
    let ada = w.user("ada@example.com", &[]).await.id;
    let new = begun(1, Stage::Factor, Some(ada));
    let create = |new: LocalSignIn| {
        let w = &w;
        async move { w.store.create_local_sign_in(w.org, &new, 1, NOW).await.unwrap() }
    };
    assert!(create(new.clone()).await);
    assert!(!create(begun(2, Stage::Factor, Some(ada))).await, "there is one already");
    assert!(create(begun(3, Stage::Passkey, None)).await, "anybody's are counted apart");
    let found = w.store.local_sign_in(w.org, &[1; 32], &[9; 32], NOW).await.unwrap();
    assert!(found.is_some_and(|found| found == new));
    for (ticket, browser, at) in
        [([1; 32], [8; 32], NOW), ([2; 32], [9; 32], NOW), ([1; 32], [9; 32], new.expires_at)]
    {
        assert!(w.store.local_sign_in(w.org, &ticket, &browser, at).await.unwrap().is_none());
    }
    assert!(w.store.end_local_sign_in(w.org, &[1; 32]).await.unwrap());
    assert!(!w.store.end_local_sign_in(w.org, &[1; 32]).await.unwrap(), "of two answers one counts");
    w.store.clear_sign_ins(new.expires_at).await.unwrap();
    assert!(w.store.local_sign_in(w.org, &[3; 32], &[9; 32], NOW).await.unwrap().is_none());
}

async fn a_challenge_is_used_once_and_tries_are_counted(w: World) {
    assert!(w.store.create_local_sign_in(w.org, &begun(1, Stage::Passkey, None), 9, NOW).await.unwrap());
    let take = |challenge: &'static [u8; 32]| w.store.take_challenge(w.org, &[1; 32], challenge);
    assert!(!take(&[5; 32]).await.unwrap());
    let (one, other) = tokio::join!(take(&[4; 32]), take(&[4; 32]));
    assert!(one.unwrap() != other.unwrap());
    w.store.set_challenge(w.org, &[1; 32], &[6; 32]).await.unwrap();
    assert!(take(&[6; 32]).await.unwrap());
    for good in [true, true, false, false] {
        assert_eq!(w.store.try_local_sign_in(w.org, &[1; 32], 2).await.unwrap(), good);
    }
    w.store.set_new_totp(w.org, &[1; 32], "sealed").await.unwrap();
    let kept = w.store.local_sign_in(w.org, &[1; 32], &[9; 32], NOW).await.unwrap().unwrap();
    assert_eq!((kept.secret.as_deref(), kept.challenge), (Some("sealed"), None));
}

async fn a_secret_is_sealed_anew_unless_it_was_replaced(w: World) {
    let ada = w.user("ada@example.com", &[]).await.id;
    w.store.add_totp(w.org, ada, "old", 1, None, &act("x")).await.map(drop).unwrap();
    let reseal = async |old: &str| w.store.reseal_totp(w.org, ada, old, "new", &act("factor.reseal")).await;
    assert!(!reseal("other").await.unwrap());
    assert!(reseal("old").await.unwrap());
    assert_eq!(w.store.totp_secrets(w.org).await.unwrap(), [(ada, "new".to_owned())]);
}
