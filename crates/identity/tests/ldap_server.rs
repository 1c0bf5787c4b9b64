//! Against a real OpenLDAP server with the tree that `scripts/openldap` loads.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

use std::path::PathBuf;
use std::time::Duration;

use gatehouse_domain::time::UnixMillis;
use gatehouse_identity::ldap::{
    Config, Directory, DisableLimit, DisabledBy, Encryption, Fault, Groups, IdFormat, Known, Limits, People,
    Person, Plan, Presence, Refusal, SignIn, Standing, Trust, Unavailable,
};
use gatehouse_identity::secret::Secret;

const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

/// The folder that the server was started with; `None` when there is none, which is said aloud.
#[expect(clippy::disallowed_methods, reason = "the test server's place comes from the environment")]
#[expect(clippy::print_stderr, reason = "a part that is not tested must be named")]
fn server() -> Option<PathBuf> {
    let folder = std::env::var("GATEHOUSE_TEST_OPENLDAP").ok().map(PathBuf::from);
    if folder.is_none() {
        eprintln!("NOT TESTED on OpenLDAP: GATEHOUSE_TEST_OPENLDAP is not set (scripts/test sets it)");
    }
    folder
}

/// What a file in the server's folder says.
fn read(folder: &std::path::Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).expect("the server's folder has it").trim().to_owned()
}

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

/// The configuration that finds everything, by StartTLS.
fn config() -> Option<Config> {
    let folder = server()?;
    Some(Config {
        servers: vec![read(&folder, "ldap").parse().unwrap()],
        encryption: Encryption::StartTls,
        trust: Trust::Authorities(read(&folder, "ca.pem")),
        bind_dn: "cn=reader,dc=example,dc=com".parse().unwrap(),
        bind_password: secret("password-of-reader"),
        people: People::open_ldap(vec!["ou=people,dc=example,dc=com".parse().unwrap()]),
        groups: Some(Groups::open_ldap(vec!["ou=groups,dc=example,dc=com".parse().unwrap()])),
        limits: Limits { group_depth: 64, ..Limits::default() },
    })
}

fn as_reader(config: &mut Config, name: &str) {
    config.bind_dn = format!("cn={name},dc=example,dc=com").parse().unwrap();
    config.bind_password = secret(&format!("password-of-{name}"));
}

fn directory(config: Config) -> Directory {
    Directory::new(config).unwrap_or_else(|wrong| panic!("{wrong:?}"))
}

async fn sign_in(directory: &Directory, name: &str) -> SignIn {
    directory.sign_in(name, &secret(&format!("password-of-{name}")), NOW).await
}

async fn signed_in(directory: &Directory, name: &str) -> Person {
    match sign_in(directory, name).await {
        SignIn::SignedIn(person) => person,
        other @ (SignIn::Refused(_) | SignIn::Unavailable(_)) => panic!("{name}: {other:?}"),
    }
}

fn fault(result: Result<impl std::fmt::Debug, Unavailable>) -> Fault {
    let unavailable = result.expect_err("the directory must not be usable");
    unavailable.faults.last().expect("a server was tried").1.clone()
}

async fn fault_of_sign_in(config: Config) -> Fault {
    match sign_in(&directory(config), "ann").await {
        SignIn::Unavailable(unavailable) => fault(Err::<(), _>(unavailable)),
        other @ (SignIn::SignedIn(_) | SignIn::Refused(_)) => panic!("{other:?}"),
    }
}

fn group_names(person: &Person) -> Vec<&str> {
    let mut names: Vec<&str> = person.groups.iter().map(|group| &*group.name).collect();
    names.sort_unstable();
    names
}

const ODD: &str = "o'dd *()\\,#+;<>=";

#[tokio::test]
async fn people_sign_in_over_both_kinds_of_tls() {
    let Some(start_tls) = config() else { return };
    let folder = server().unwrap();
    let ldaps = Config { servers: vec![read(&folder, "ldaps").parse().unwrap()], ..start_tls.clone() };
    for config in [start_tls, ldaps] {
        let person = signed_in(&directory(config), "ann").await;
        assert_eq!(person.email.as_deref(), Some("ann@example.com"));
        assert_eq!(person.name.as_deref(), Some("Ann Example"));
        assert_eq!(person.dn, "uid=ann,ou=people,dc=example,dc=com");
        assert_eq!(person.stable_id.as_str().len(), 36);
        assert_eq!(
            group_names(&person),
            ["backend", "circle-0", "circle-1", "circle-2", "engineering", "odd *()\\, \"group\"", "staff"]
        );
    }
}

#[tokio::test]
async fn awkward_names_sign_in() {
    let Some(config) = config() else { return };
    let directory = directory(config);
    assert_eq!(group_names(&signed_in(&directory, "zoë").await), ["itself", "staff"]);
    assert_eq!(signed_in(&directory, "李雷").await.name.as_deref(), Some("李雷"));
    let odd = signed_in(&directory, ODD).await;
    assert_eq!(group_names(&odd), ["odd *()\\, \"group\""]);
    let plain = signed_in(&directory, "nomail").await;
    assert_eq!((plain.email, plain.name, plain.groups.len()), (None, None, 0));
}

#[tokio::test]
async fn hostile_names_and_passwords_sign_nobody_in() {
    let Some(config) = config() else { return };
    let directory = directory(config);
    for name in [
        "*",
        "user000*",
        "ann)(uid=*",
        "*)(objectClass=*",
        "ann)(|(uid=*",
        "nobody",
        "\\61nn",
        "ann\\",
        "(ann",
    ] {
        let result = directory.sign_in(name, &secret("password-of-ann"), NOW).await;
        assert_eq!(result, SignIn::Refused(Refusal::UnknownUser), "{name}");
    }
    for password in ["", " ", "\t\n", "\0", "\u{a0}"] {
        let result = directory.sign_in("ann", &secret(password), NOW).await;
        assert_eq!(result, SignIn::Refused(Refusal::EmptyPassword), "{password:?}");
    }
    assert_eq!(
        directory.sign_in("ann", &secret("password-of-ann "), NOW).await,
        SignIn::Refused(Refusal::WrongPassword)
    );
    assert_eq!(sign_in(&directory, "twin").await, SignIn::Refused(Refusal::Ambiguous));
}

#[tokio::test]
async fn disabled_accounts_are_refused_with_the_right_password() {
    let Some(config) = config() else { return };
    let directory = directory(config);
    for (name, by) in [
        ("off-control", DisabledBy::AccountControl),
        ("off-lock", DisabledBy::AccountLock),
        ("off-expired", DisabledBy::Expiry),
        ("off-policy", DisabledBy::PermanentLock),
    ] {
        assert_eq!(sign_in(&directory, name).await, SignIn::Refused(Refusal::Disabled(by)), "{name}");
    }
}

#[tokio::test]
async fn a_lock_after_wrong_passwords_refuses_but_disables_nobody() {
    let Some(config) = config() else { return };
    let directory = directory(config);
    let listing = directory.sync(NOW).await.unwrap();
    let lockable = listing.people().iter().find(|p| p.name.as_deref() == Some("lockable")).unwrap();
    let mut refusals = Vec::new();
    for _ in 0..4 {
        refusals.push(directory.sign_in("lockable", &secret("wrong"), NOW).await);
    }
    // An earlier run may have locked it before.
    assert_eq!(refusals.last(), Some(&SignIn::Refused(Refusal::Locked)), "{refusals:?}");
    assert_eq!(sign_in(&directory, "lockable").await, SignIn::Refused(Refusal::Locked));
    assert_eq!(directory.check(&lockable.stable_id, NOW).await.unwrap(), Presence::Active);
    assert!(directory.sync(NOW).await.unwrap().people().contains(lockable));
}

#[tokio::test]
async fn everyone_is_listed_with_the_groups_of_their_sign_in() {
    let Some(mut config) = config() else { return };
    config.limits.page_size = 100;
    let count: usize = read(&server().unwrap(), "people").parse().unwrap();
    let directory = directory(config);
    let begin = std::time::Instant::now();
    let listing = directory.sync(NOW).await.unwrap();
    eprintln!("{} people listed in {:?}", listing.people().len(), begin.elapsed());
    assert_eq!(listing.people().len(), count);
    for name in ["ann", "user0001", "user0002", "zoë", "deep", ODD] {
        let person = signed_in(&directory, name).await;
        let listed = listing.people().iter().find(|listed| listed.stable_id == person.stable_id);
        assert_eq!(listed, Some(&person), "{name}");
    }
    let off = listing.people().iter().filter(|person| !person.standing.is_active());
    let off: Vec<&str> = off.map(|person| person.name.as_deref().unwrap_or_default()).collect();
    assert_eq!(off.len(), 4, "{off:?}");
    let known: Vec<Known> = listing.people().iter().map(Known::from).collect();
    assert!(Plan::compare(&listing, &known, DisableLimit::default()).unwrap().is_empty());
    let plan = Plan::compare(&listing, &[], DisableLimit::default()).unwrap();
    assert_eq!(plan.add.len(), count - 4);
}

#[tokio::test]
async fn less_than_all_is_an_outage() {
    let Some(config) = config() else { return };
    let mut limited = config.clone();
    as_reader(&mut limited, "limited");
    assert!(matches!(fault(directory(limited).sync(NOW).await), Fault::Truncated(_)));
    let mut blind = config.clone();
    as_reader(&mut blind, "blind");
    assert!(matches!(fault(directory(blind).sync(NOW).await), Fault::Empty(_)));
    let bases = |base: &str| vec!["ou=people,dc=example,dc=com".parse().unwrap(), base.parse().unwrap()];
    let mut empty = config.clone();
    empty.people.bases = bases("ou=nobody,dc=example,dc=com");
    assert!(matches!(fault(directory(empty).sync(NOW).await), Fault::Empty(_)));
    let mut absent = config.clone();
    absent.people.bases = bases("ou=absent,dc=example,dc=com");
    assert!(matches!(fault(directory(absent).sync(NOW).await), Fault::Result { code: 32, .. }));
    let mut groupless = config.clone();
    groupless.groups.as_mut().unwrap().bases = vec!["ou=nobody,dc=example,dc=com".parse().unwrap()];
    assert!(matches!(fault(directory(groupless).sync(NOW).await), Fault::Empty(_)));
    let mut few = config.clone();
    few.limits.people = 1000;
    assert!(matches!(fault(directory(few).sync(NOW).await), Fault::TooMany { limit: 1000, .. }));
    let mut no_id = config;
    no_id.people.id = "employeeNumber".parse().unwrap();
    no_id.people.id_format = IdFormat::Text;
    assert!(matches!(fault(directory(no_id).sync(NOW).await), Fault::NoId { .. }));
}

#[tokio::test]
async fn one_base_within_another_lists_everyone_once() {
    let Some(mut config) = config() else { return };
    let count: usize = read(&server().unwrap(), "people").parse().unwrap();
    config.people.bases = ["ou=people,dc=example,dc=com", "OU=Berlin, OU=People, DC=example, DC=com"]
        .map(|b| b.parse().unwrap())
        .into();
    let directory = directory(config);
    assert_eq!(directory.sync(NOW).await.unwrap().people().len(), count);
    signed_in(&directory, "ann").await;
    assert_eq!(sign_in(&directory, "twin").await, SignIn::Refused(Refusal::Ambiguous));
}

#[tokio::test]
async fn one_person_is_checked() {
    let Some(config) = config() else { return };
    let ready = directory(config.clone());
    let ann = signed_in(&ready, "ann").await.stable_id;
    assert_eq!(ready.check(&ann, NOW).await.unwrap(), Presence::Active);
    for absent in ["00000000-0000-0000-0000-000000000000", "*", "anything"] {
        assert_eq!(ready.check(&absent.parse().unwrap(), NOW).await.unwrap(), Presence::Gone, "{absent}");
    }
    let listing = ready.sync(NOW).await.unwrap();
    let off =
        listing.people().iter().find(|p| p.standing == Standing::Disabled(DisabledBy::AccountLock)).unwrap();
    assert_eq!(ready.check(&off.stable_id, NOW).await.unwrap(), Presence::Disabled(DisabledBy::AccountLock));
    // An account that sees nobody must not make everybody gone.
    let mut blind = config;
    as_reader(&mut blind, "blind");
    assert!(matches!(fault(directory(blind).check(&ann, NOW).await), Fault::Empty(_)));
}

#[tokio::test]
async fn object_guid_is_an_id() {
    let Some(mut config) = config() else { return };
    config.people.filter = "(objectGUID=*)".parse().unwrap();
    config.people.id = "objectGUID".parse().unwrap();
    config.people.id_format = IdFormat::Guid;
    config.people.login =
        gatehouse_identity::ldap::Login::Template("(|(uid={login})(mail={login}))".parse().unwrap());
    let directory = directory(config);
    let result = directory.sign_in("ann@example.com", &secret("password-of-ann"), NOW).await;
    let SignIn::SignedIn(person) = result else { panic!("{result:?}") };
    assert_eq!(person.stable_id.as_str(), "00112233-4455-6677-8899-aabbccddeeff");
    assert_eq!(directory.check(&person.stable_id, NOW).await.unwrap(), Presence::Active);
    let other = "00112233-4455-6677-8899-aabbccddeefe".parse().unwrap();
    assert_eq!(directory.check(&other, NOW).await.unwrap(), Presence::Gone);
}

#[tokio::test]
async fn deep_groups_are_bounded() {
    let Some(mut config) = config() else { return };
    assert_eq!(signed_in(&directory(config.clone()), "deep").await.groups.len(), 40);
    config.limits.group_depth = 40;
    assert_eq!(signed_in(&directory(config.clone()), "deep").await.groups.len(), 40);
    config.limits.group_depth = 39;
    let SignIn::Unavailable(unavailable) = sign_in(&directory(config), "deep").await else {
        panic!("must not do")
    };
    assert!(matches!(unavailable.faults[0].1, Fault::TooMany { limit: 39, .. }), "{unavailable}");
}

#[tokio::test]
async fn the_next_server_answers_when_one_is_down() {
    let Some(config) = config() else { return };
    let closed = "ldap://127.0.0.1:1".parse().unwrap();
    let two = Config { servers: vec![closed, config.servers[0].clone()], ..config.clone() };
    let directory_of_two = directory(two);
    for _ in 0..2 {
        signed_in(&directory_of_two, "ann").await;
    }
    assert!(directory_of_two.sync(NOW).await.is_ok());
    let none = Config { servers: vec!["ldap://127.0.0.1:1".parse().unwrap(); 2], ..config };
    match sign_in(&directory(none), "ann").await {
        SignIn::Unavailable(unavailable) => {
            assert_eq!(unavailable.faults.len(), 2);
            assert!(
                unavailable.to_string().contains("`ldap://127.0.0.1:1`: connecting failed"),
                "{unavailable}"
            );
        }
        other @ (SignIn::SignedIn(_) | SignIn::Refused(_)) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_wrong_with_us_refuses_nobody() {
    let Some(config) = config() else { return };
    let folder = server().unwrap();
    let mut wrong_password = config.clone();
    wrong_password.bind_password = secret("wrong");
    assert!(matches!(fault_of_sign_in(wrong_password).await, Fault::ServiceBind { code: 49, .. }));
    // The server accepts no password in clear.
    let plain = Config { encryption: Encryption::PlainOnLoopback, ..config.clone() };
    assert!(matches!(fault_of_sign_in(plain).await, Fault::ServiceBind { code: 13, .. }));
    for name in ["ldap", "ldaps"] {
        let mut unknown = config.clone();
        unknown.servers = vec![read(&folder, name).parse().unwrap()];
        unknown.trust = Trust::System;
        // Where the operating system has no certificates at all, that is refused before.
        if let Ok(directory) = Directory::new(unknown) {
            let SignIn::Unavailable(unavailable) = sign_in(&directory, "ann").await else { panic!("{name}") };
            assert!(matches!(unavailable.faults[0].1, Fault::Tls(_)), "{unavailable}");
        }
    }
    let mut other_name = config.clone();
    other_name.servers = vec![read(&folder, "ldaps").replace("127.0.0.1", "127.0.0.2").parse().unwrap()];
    assert!(matches!(fault_of_sign_in(other_name).await, Fault::Connect(_) | Fault::Tls(_)));
    let mut hasty = config;
    hasty.limits.sign_in = Duration::from_nanos(1);
    let SignIn::Unavailable(unavailable) = sign_in(&directory(hasty), "ann").await else {
        panic!("must not do")
    };
    assert!(unavailable.out_of_time);
}
