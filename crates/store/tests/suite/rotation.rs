//! What hangs on a key of the server itself, and taking it over to the next one.

use gatehouse_domain::id::SessionId;
use gatehouse_domain::key::{Generation, KeyKind, Pepper};
use gatehouse_domain::policy::{Denied, Proofs};
use gatehouse_domain::time::DAY_MS;
use gatehouse_store::rotation::{Rehashed, Replaced, Replacing};
use gatehouse_store::session::NewSession;

use crate::engines::{NOW, World, act, name, new_key, on_both, pepper, proofs, secret, unique};

on_both!(
    keys_are_hashed_anew_once_and_count_the_policy_up,
    a_secret_is_replaced_only_by_who_knows_what_is_there,
    what_is_sealed_under_a_master_key_is_counted_and_sealed_anew,
);

fn next() -> Pepper {
    Pepper::of(Generation(2), [8; 32])
}

async fn keys_are_hashed_anew_once_and_count_the_policy_up(w: World) {
    let ada = w.user("ada@example.com", &[]).await;
    let (key, text) = w.key(ada.id).await;
    let under = async |n| w.store.hashed_under(w.org, Generation(n), NOW).await.unwrap();
    assert_eq!((under(1).await, under(2).await), (1, 0));
    let anew = Rehashed { id: key.id, old: text.hash(&pepper()), new: text.hash(&next()) };
    let stale = Rehashed { old: text.hash(&Pepper::new([1; 32])), ..anew };
    let version = w.store.policy_version(w.org).await.unwrap();
    assert_eq!(w.store.rehash_keys(w.org, &[stale]).await.unwrap(), 0, "another hash is there");
    assert_eq!(w.store.policy_version(w.org).await.unwrap(), version);
    assert_eq!(w.store.rehash_keys(w.org, &[anew]).await.unwrap(), 1);
    assert_eq!(w.store.rehash_keys(w.org, &[anew]).await.unwrap(), 0);
    assert_eq!(w.store.policy_version(w.org).await.unwrap(), version + 1);
    assert_eq!((under(1).await, under(2).await), (0, 1));
    let snapshot = w.store.load_snapshot(w.org).await.unwrap();
    let by = |proofs| snapshot.clone().with_proofs(proofs).identify(&text, NOW).map(|grant| grant.id);
    assert_eq!(by(proofs()), Err(Denied::Unknown));
    let new = Proofs { peppers: next().into(), ..Proofs::default() };
    assert_eq!(by(std::sync::Arc::new(new)), Ok(key.id));
    // What works no more hangs on nothing.
    let gone = secret(KeyKind::Virtual);
    let mut expiring = new_key(ada.id, &gone);
    expiring.expires_at = Some(NOW.plus_millis(10));
    w.store.create_key(w.org, &expiring, &act("key.create")).await.unwrap();
    assert_eq!(under(1).await, 1);
    assert_eq!(w.store.hashed_under(w.org, Generation(1), NOW.plus_millis(10)).await.unwrap(), 0);
}

async fn a_secret_is_replaced_only_by_who_knows_what_is_there(w: World) {
    let roots = name("gatehouse/roots");
    w.store.put_secret(w.org, &roots, "k1", "sealed-1", &act("secret.put")).await.unwrap();
    let by =
        Replacing { name: &roots, key_id: "k1", sealed: "sealed-2", was: "sealed-1", unless_under: None };
    let stale = Replacing { was: "sealed-0", ..by };
    let replace = async |by: &Replacing<'_>| w.store.replace_secret(w.org, by, &act("x")).await.unwrap();
    assert_eq!(replace(&stale).await, Replaced::Changed);
    let ada = w.user("ada@example.com", &[]).await;
    w.key(ada.id).await;
    w.key(ada.id).await;
    let retiring = Replacing { unless_under: Some(Generation(1)), ..by };
    assert_eq!(replace(&retiring).await, Replaced::InUse(2));
    let kept = async || w.store.secret(w.org, &roots).await.unwrap().unwrap().sealed;
    assert_eq!(kept().await, "sealed-1");
    assert_eq!(replace(&Replacing { unless_under: Some(Generation(2)), ..by }).await, Replaced::Done);
    assert_eq!(kept().await, "sealed-2");
    assert_eq!(replace(&by).await, Replaced::Changed);
}

async fn what_is_sealed_under_a_master_key_is_counted_and_sealed_anew(w: World) {
    let ada = w.user("ada@example.com", &[]).await;
    let begin = async |token: Option<&str>| {
        let id = SessionId::new(NOW, u128::from(unique()));
        let new = NewSession {
            id,
            user: ada.id,
            team: None,
            source: "oidc:corp".into(),
            subject: None,
            surface: None,
            client: None,
            peer: None,
            seed: [5; 32],
            source_token: token.map(str::to_owned),
            expires_at: NOW.plus_millis(DAY_MS),
        };
        w.store.begin_service_session(w.org, &new, &act("session.begin")).await.unwrap();
        id
    };
    begin(Some("gs1.00000001.a")).await;
    begin(Some("gs1.00000002.b")).await;
    begin(None).await;
    w.store.put_secret(w.org, &name("provider/main"), "00000001", "x", &act("x")).await.unwrap();
    let under = async |id| w.store.sealed_under(w.org, id, NOW).await.unwrap();
    assert_eq!((under("00000001").await, under("00000002").await, under("00000003").await), (2, 1, 0));
    let old = w.store.sealed_tokens(w.org, "00000002", "").await.unwrap();
    assert_eq!((old.len(), old[0].sealed.as_str(), &old[0].user), (1, "gs1.00000001.a", &ada.id.to_string()));
    assert!(w.store.sealed_tokens(w.org, "00000002", &old[0].session).await.unwrap().is_empty());
    assert!(w.store.reseal_token(w.org, &old[0], "gs1.00000002.c").await.unwrap());
    assert!(!w.store.reseal_token(w.org, &old[0], "gs1.00000002.d").await.unwrap(), "another is there");
    assert_eq!((under("00000001").await, under("00000002").await), (1, 2));
    let all = w.store.sessions_with_tokens_of(w.org, NOW, NOW).await.unwrap();
    assert_eq!(
        (all, w.store.sessions_with_tokens_of(w.org, NOW.plus_millis(-1), NOW).await.unwrap()),
        (3, 0)
    );
}
