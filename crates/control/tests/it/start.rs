//! First and later starts.

use std::future::{Future as _, poll_fn};
use std::task::Poll;
use std::time::Duration;

use gatehouse_control::act::Caller;
use gatehouse_control::bootstrap::{StartError, start};
use gatehouse_control::{bootstrap, secret};
use gatehouse_domain::audit::Object;
use gatehouse_domain::id::OrgId;
use gatehouse_domain::name::Name;
use gatehouse_domain::time::UnixMillis;
use gatehouse_identity::keyring::Keyring;
use gatehouse_identity::master::MasterKey;
use gatehouse_identity::seal::{NONCE_LEN, Place};
use gatehouse_identity::secret::Secret;
use serde_json::json;

use crate::house::{BEGIN, NODE, keyring, open, random, world};

#[tokio::test]
async fn the_second_start_finds_what_the_first_made() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let first = start(&store, &keyring(), "Example", NODE, BEGIN, &random).await.unwrap();
    assert!(first.owner.is_some());
    let second = start(&store, &keyring(), "Other", NODE, BEGIN, &random).await.unwrap();
    assert!(second.owner.is_none());
    assert_eq!(second.org, first.org);
    assert_eq!(second.keys.audit_publics(), first.keys.audit_publics());
}

const EIGHT_DAYS: i64 = 8 * 86_400_000;

/// As two nodes do that are rolled out together on an empty database.
#[tokio::test]
async fn two_first_starts_at_once_make_one_organization() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (open(&dir).await, open(&dir).await);
    let ring = keyring();
    let (first, second) = tokio::join!(
        start(&one, &ring, "Example", NODE, BEGIN, &random),
        start(&other, &ring, "Example", NODE, BEGIN, &random),
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.org.id, second.org.id);
    assert_eq!(first.keys.audit_publics(), second.keys.audit_publics());
    assert_eq!(one.orgs().await.unwrap().len(), 1);
}

/// The slower one is stopped after each of its first steps in turn, and the other goes through meanwhile.
#[tokio::test]
async fn a_first_start_that_another_one_overtakes_anywhere_succeeds() {
    for steps in 0..40 {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (open(&dir).await, open(&dir).await);
        let (ring, org) = (keyring(), OrgId::from_bits(1));
        let act = Caller::system("test").draft(BEGIN, "org.create", Object::new("org", org, ""));
        one.create_org(org, &Name::parse("Example").unwrap(), &act).await.unwrap();
        let mut slow = Box::pin(start(&other, &ring, "Example", NODE, BEGIN, &random));
        for step in 0..steps {
            let is_pending = poll_fn(|context| Poll::Ready(slow.as_mut().poll(context).is_pending()));
            if !is_pending.await {
                // How many steps there are depends on how fast the database answers; it has been overtaken at each.
                assert!(step >= 8, "a start has no more than {step} steps, so hardly anything was tested");
                return;
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        let mut fast = Box::pin(start(&one, &ring, "Example", NODE, BEGIN, &random));
        // Stopped in a transaction, the slow one keeps the other from writing, and has to go on first.
        let (fast, slow) = if let Ok(fast) = tokio::time::timeout(Duration::from_millis(300), &mut fast).await
        {
            (fast, slow.await)
        } else {
            tokio::join!(fast, slow)
        };
        let slow = slow.map_err(|error| format!("after {steps} steps: {error}")).unwrap();
        assert_eq!(fast.unwrap().keys.audit_publics(), slow.keys.audit_publics());
    }
}

#[tokio::test]
async fn another_master_key_is_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    start(&store, &keyring(), "Example", NODE, BEGIN, &random).await.unwrap();
    let other = Keyring::new(MasterKey::from_bytes([1; 32]), vec![]);
    let error = start(&store, &other, "Example", NODE, BEGIN, &random).await.err().unwrap();
    assert!(matches!(error, StartError::MasterKey(_)), "{error}");
    let said = error.to_string();
    assert!(said.contains(&keyring().newest().id().to_string()), "{said}");
}

#[tokio::test]
async fn a_master_key_is_rotated_and_everything_goes_on() {
    let world = world().await;
    world.put("/api/v1/providers/main/key", json!({"key": "sk-1"})).await.ok();
    let store = &world.app.store;
    let user = world.post("/api/v1/users", json!({"email": "ada@example.com"})).await.ok();
    let (id, name) = (user["id"].as_str().unwrap().parse().unwrap(), user["id"].as_str().unwrap());
    let place = Place { purpose: "totp", name };
    let sealed = keyring().seal(place, &Secret::new(vec![5; 20]), [1; NONCE_LEN]).unwrap().to_string();
    let act = Caller::system("test").draft(BEGIN, "factor.add", Object::new("user", name, ""));
    store.add_totp(world.app.org, id, &sealed, 1, None, &act).await.map(drop).unwrap();
    let new = || MasterKey::from_bytes([9; 32]);
    let both = Keyring::new(new(), vec![keyring().newest()]);
    let rotated = start(store, &both, "Example", NODE, BEGIN, &random).await.unwrap();
    assert!(rotated.owner.is_none());

    let alone = Keyring::new(new(), vec![]);
    let after = start(store, &alone, "Example", NODE, BEGIN, &random).await.unwrap();
    let key = secret::provider_key(store, &alone, world.app.org, "main").await.unwrap();
    assert_eq!(key.as_ref().and_then(Secret::expose_text), Some("sk-1"));
    let kept = store.totp_secrets(world.app.org).await.unwrap()[0].1.parse().unwrap();
    assert_eq!(alone.open(place, &kept).unwrap().expose(), [5; 20], "authenticators still work");
    assert_eq!(after.keys.audit_publics(), rotated.keys.audit_publics(), "the audit key stays");
    assert!(world.get("/api/v1/users").await.status.is_success(), "tokens stay good");
    assert_eq!(world.audited("?action=secret.reseal").await.len(), 2);
}

/// A provider's key under a master key that is gone once kept the server from starting, and nothing could remove it.
#[tokio::test]
async fn a_provider_key_under_a_lost_master_key_does_not_stop_the_start() {
    let world = world().await;
    let (store, org) = (&world.app.store, world.app.org);
    let lost = Keyring::new(MasterKey::from_bytes([1; 32]), vec![]);
    for (name, sealed) in [
        (
            "orphan",
            lost.seal(
                Place { purpose: "provider-key", name: "orphan" },
                &Secret::new(b"x".to_vec()),
                [0; NONCE_LEN],
            ),
        ),
        (
            "main",
            keyring().seal(
                Place { purpose: "provider-key", name: "main" },
                &Secret::new(b"sk-1".to_vec()),
                [1; NONCE_LEN],
            ),
        ),
    ] {
        let sealed = sealed.unwrap();
        let named = Name::parse(&format!("provider/{name}")).unwrap();
        let act = Caller::system("test").draft(BEGIN, "secret.seal", Object::new("secret", &named, ""));
        store.put_secret(org, &named, &sealed.key().to_string(), &sealed.to_string(), &act).await.unwrap();
    }
    let both = Keyring::new(MasterKey::from_bytes([9; 32]), vec![keyring().newest()]);
    start(store, &both, "Example", NODE, BEGIN, &random).await.unwrap();
    let key = secret::provider_key(store, &both, org, "main").await.unwrap();
    assert_eq!(key.as_ref().and_then(Secret::expose_text), Some("sk-1"), "the others are sealed anew");
    assert!(secret::provider_key(store, &both, org, "orphan").await.is_err());

    let remove = async |path: &str| world.ask(&world.owner, "DELETE", path, None).await;
    assert_eq!(remove("/api/v1/providers/orphan/key").await.status, 204);
    assert_eq!(*world.knobs.keys_changed.lock().unwrap(), ["orphan"]);
    assert_eq!(world.audited("?action=provider.remove_key").await[0]["object"]["id"], "orphan");
    remove("/api/v1/providers/orphan/key").await.refused(404, "not_found", None);
    remove("/api/v1/providers/a%2Fb/key").await.refused(400, "invalid_field", Some("name"));
}

#[tokio::test]
async fn an_owner_is_made_again_when_none_works() {
    let world = world().await;
    let store = &world.app.store;
    let body = json!({"name": "short", "role": "owner", "expires": "8d"});
    let short = world.post("/api/v1/admin-tokens", body).await.ok();
    let first = world.token_named("first owner").await["id"].as_str().unwrap().to_owned();
    world.post(&format!("/api/v1/admin-tokens/{first}/revoke"), json!({})).await.ok();

    let at = |ms| UnixMillis(BEGIN.0 + ms);
    assert!(start(store, &keyring(), "Example", NODE, at(1), &random).await.unwrap().owner.is_none());
    let owner =
        start(store, &keyring(), "Example", NODE, at(EIGHT_DAYS), &random).await.unwrap().owner.unwrap();
    world.pass(EIGHT_DAYS);
    assert_eq!(world.ask(short["token"].as_str().unwrap(), "GET", "/api/v1/users", None).await.status, 401);
    assert_eq!(world.ask(&owner.text, "GET", "/api/v1/users", None).await.status, 200);
}

#[tokio::test]
async fn lost_roots_are_not_made_up() {
    let world = world().await;
    let name = Name::parse(secret::ROOTS).unwrap();
    let act = Caller::system("test").draft(BEGIN, "secret.remove", Object::new("secret", &name, ""));
    world.app.store.remove_secret(world.app.org, &name, &act).await.unwrap();
    let error = start(&world.app.store, &keyring(), "Example", NODE, BEGIN, &random).await.err().unwrap();
    assert!(matches!(error, StartError::RootsGone), "{error}");
}

#[tokio::test]
async fn the_serving_machine_can_make_itself_a_token() {
    let world = world().await;
    let app = &world.app;
    let made =
        bootstrap::owner_token(&app.store, app.org, &app.pepper(), "local", BEGIN, &random).await.unwrap();
    assert_eq!(world.ask(&made.text, "GET", "/api/v1/admin-tokens", None).await.status, 200);
    let entry = &world.audited("?action=admin_token.create").await[0];
    assert_eq!((&entry["actor"]["kind"], &entry["object"]["name"]), (&json!("system"), &json!("local")));
}
