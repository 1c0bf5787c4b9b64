//! Against a Samba domain controller, which answers as Active Directory does.
//!
//! `GATEHOUSE_TEST_ACTIVE_DIRECTORY` names a folder with the files `ldaps` (the address) and `ca.pem`. The domain is
//! `corp.example.com`, and under `CN=Users` it has the people `reader`, `ann`, `off` (disabled), `expired` and `change`
//! (must change the password) with passwords `password-of-NAME`; the groups `inner` (with `ann` and `outer`), `middle`
//! (with `inner`), `outer` (with `middle`), `other` (empty), and `big` (with 1,600 contacts, then `ann`).

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::path::PathBuf;

use gatehouse_domain::time::UnixMillis;
use gatehouse_identity::ldap::{
    Config, Directory, DisabledBy, Encryption, Fault, Groups, Limits, People, Person, Presence, Refusal,
    SignIn, Trust,
};
use gatehouse_identity::secret::Secret;

/// The folder of the server; `None` when there is none, which is said aloud.
#[expect(clippy::disallowed_methods, reason = "the test server's place comes from the environment")]
#[expect(clippy::print_stderr, reason = "a part that is not tested must be named")]
fn server() -> Option<PathBuf> {
    let folder = std::env::var("GATEHOUSE_TEST_ACTIVE_DIRECTORY").ok().map(PathBuf::from);
    if folder.is_none() {
        eprintln!("NOT TESTED on Active Directory: GATEHOUSE_TEST_ACTIVE_DIRECTORY is not set");
    }
    folder
}

fn config() -> Option<Config> {
    let folder = server()?;
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let base = "CN=Users,DC=corp,DC=example,DC=com";
    Some(Config {
        servers: vec![read("ldaps").trim().parse().unwrap()],
        encryption: Encryption::StartTls,
        trust: Trust::Authorities(read("ca.pem")),
        bind_dn: format!("CN=reader Example,{base}").parse().unwrap(),
        bind_password: Secret::new(b"password-of-reader".to_vec()),
        people: People::active_directory(vec!["DC=corp,DC=example,DC=com".parse().unwrap()]),
        groups: Some(Groups::active_directory(vec!["DC=corp,DC=example,DC=com".parse().unwrap()])),
        limits: Limits::default(),
    })
}

fn now() -> UnixMillis {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    UnixMillis(i64::try_from(elapsed.as_millis()).unwrap())
}

async fn sign_in(directory: &Directory, name: &str, password: &str) -> SignIn {
    directory.sign_in(name, &Secret::new(password.as_bytes().to_vec()), now()).await
}

fn group_names(person: &Person) -> Vec<&str> {
    person.groups.iter().map(|group| &*group.name).collect()
}

#[tokio::test]
async fn people_sign_in_by_either_name() {
    let Some(config) = config() else { return };
    let directory = Directory::new(config).unwrap();
    for name in ["ann", "ANN", "ann@corp.example.com"] {
        let result = sign_in(&directory, name, "password-of-ann").await;
        let SignIn::SignedIn(person) = result else { panic!("{name}: {result:?}") };
        assert_eq!(person.email.as_deref(), Some("ann@example.com"));
        assert_eq!(group_names(&person), ["big", "inner", "middle", "outer"]);
        assert_eq!(directory.check(&person.stable_id, now()).await.unwrap(), Presence::Active);
    }
}

#[tokio::test]
async fn reasons_are_told_apart() {
    let Some(config) = config() else { return };
    let directory = Directory::new(config).unwrap();
    for (name, password, reason) in [
        ("ann", "wrong", Refusal::WrongPassword),
        ("ann", "", Refusal::EmptyPassword),
        ("nobody", "password-of-ann", Refusal::UnknownUser),
        ("*", "password-of-ann", Refusal::UnknownUser),
        ("off", "password-of-off", Refusal::Disabled(DisabledBy::Server)),
        ("expired", "password-of-expired", Refusal::Disabled(DisabledBy::Expiry)),
        ("change", "password-of-change", Refusal::PasswordMustChange),
    ] {
        assert_eq!(sign_in(&directory, name, password).await, SignIn::Refused(reason), "{name}");
    }
}

#[tokio::test]
async fn everyone_is_listed_with_groups_read_in_parts() {
    let Some(config) = config() else { return };
    let directory = Directory::new(config).unwrap();
    let listing = directory.sync(now()).await.unwrap();
    let SignIn::SignedIn(ann) = sign_in(&directory, "ann", "password-of-ann").await else {
        panic!("must sign in")
    };
    let listed = listing.people().iter().find(|person| person.stable_id == ann.stable_id);
    assert_eq!(listed, Some(&ann));
    let off: Vec<_> = listing.people().iter().filter(|p| !p.standing.is_active()).collect();
    assert!(off.iter().any(|p| p.email.as_deref() == Some("off@example.com")), "{off:?}");
    assert!(off.iter().any(|p| p.email.as_deref() == Some("expired@example.com")), "{off:?}");
}

#[tokio::test]
async fn a_plain_bind_is_an_outage() {
    let Some(mut config) = config() else { return };
    let plain = config.servers[0].to_string().replace("ldaps", "ldap").replace("636", "389");
    config.servers = vec![plain.parse().unwrap()];
    config.encryption = Encryption::PlainOnLoopback;
    let result = sign_in(&Directory::new(config).unwrap(), "ann", "password-of-ann").await;
    let SignIn::Unavailable(unavailable) = result else { panic!("{result:?}") };
    assert!(matches!(unavailable.faults[0].1, Fault::ServiceBind { code: 8, .. }), "{unavailable}");
}
