//! Against servers that lie, stall and send garbage: whatever they do, nobody is signed in, refused or disabled by it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

#[path = "ldap_hostile/fake.rs"]
mod fake;

use std::time::{Duration, Instant};

use gatehouse_domain::time::UnixMillis;
use gatehouse_identity::ldap::{
    Config, Directory, Encryption, Fault, Groups, IdFormat, Limits, Login, Malformed, People, Presence,
    Refusal, SignIn, Trust,
};
use gatehouse_identity::secret::Secret;

use fake::{Fake, Op, Reply, done, done_with_control, entry, message, reference, result};

const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

/// Any certificate: plain connections need none, but something must be trusted.
const AUTHORITY: &str = include_str!("ldap_hostile/authority.pem");

fn config(servers: &[&Fake]) -> Config {
    let mut people = People::open_ldap(vec!["dc=x".parse().unwrap()]);
    people.id = "uid".parse().unwrap();
    people.id_format = IdFormat::Text;
    people.login = Login::Attributes(vec!["uid".parse().unwrap()]);
    Config {
        servers: servers.iter().map(|server| server.url().parse().unwrap()).collect(),
        encryption: Encryption::PlainOnLoopback,
        trust: Trust::Authorities(AUTHORITY.to_owned()),
        bind_dn: "cn=reader,dc=x".parse().unwrap(),
        bind_password: Secret::new(b"reader".to_vec()),
        people,
        groups: None,
        limits: Limits { page_size: 3, ..Limits::default() },
    }
}

fn directory(servers: &[&Fake]) -> Directory {
    Directory::new(config(servers)).unwrap()
}

async fn sign_in(directory: &Directory) -> SignIn {
    directory.sign_in("ann", &Secret::new(b"right".to_vec()), NOW).await
}

async fn fault(directory: &Directory) -> Fault {
    match sign_in(directory).await {
        SignIn::Unavailable(unavailable) => unavailable.faults[0].1.clone(),
        other @ (SignIn::SignedIn(_) | SignIn::Refused(_)) => panic!("{other:?}"),
    }
}

/// What a well-behaved server says: one person `ann` whose password is `right`.
fn good(op: &Op) -> Reply {
    match op {
        Op::Bind { dn, password } => match (dn.as_str(), password.as_str()) {
            ("cn=reader,dc=x", "reader") | ("uid=ann,dc=x", "right") => result(1, 0, ""),
            _ => result(1, 49, ""),
        },
        Op::Search { .. } => {
            [entry("uid=ann,dc=x", &[("uid", &["ann"])]), done(0, Some(b""))].concat().into()
        }
        Op::Other => Reply::Close,
    }
}

/// A well-behaved server but for its answers to searches.
async fn searching(answer: impl Fn() -> Reply + Send + Sync + 'static) -> Fake {
    Fake::start(move |op| match op {
        Op::Search { .. } => answer(),
        Op::Bind { .. } | Op::Other => good(op),
    })
    .await
}

#[tokio::test]
async fn a_good_server_is_believed() {
    let server = Fake::start(good).await;
    let directory = directory(&[&server]);
    assert!(matches!(sign_in(&directory).await, SignIn::SignedIn(_)));
    assert_eq!(directory.sync(NOW).await.unwrap().people().len(), 1);
    assert_eq!(directory.check(&"ann".parse().unwrap(), NOW).await.unwrap(), Presence::Active);
}

#[tokio::test]
async fn an_empty_password_reaches_no_server() {
    // This one lets anyone in, as servers do for an empty password.
    let server = Fake::start(|op| match op {
        Op::Bind { .. } => result(1, 0, ""),
        Op::Search { .. } | Op::Other => good(op),
    })
    .await;
    let directory = directory(&[&server]);
    for password in [&b""[..], b" ", b"\0", b"\t\n "] {
        let result = directory.sign_in("ann", &Secret::new(password.to_vec()), NOW).await;
        assert_eq!(result, SignIn::Refused(Refusal::EmptyPassword));
    }
    assert_eq!(server.connections(), 0);
    let mut no_service_password = config(&[&server]);
    no_service_password.bind_password = Secret::new(vec![]);
    assert!(Directory::new(no_service_password).is_err());
}

#[tokio::test]
async fn a_server_that_accepts_every_bind_still_signs_no_unknown_in() {
    let server = Fake::start(|op| match op {
        Op::Bind { .. } => result(1, 0, ""),
        Op::Search { .. } => done(0, None).into(),
        Op::Other => Reply::Close,
    })
    .await;
    assert_eq!(sign_in(&directory(&[&server])).await, SignIn::Refused(Refusal::UnknownUser));
}

#[tokio::test]
async fn two_hits_are_refused_without_trying_the_password() {
    for (count, code) in [(2, 0), (2, 4), (5, 0)] {
        let server = searching(move || {
            let mut reply = Vec::new();
            for n in 0..count {
                reply.extend(entry(&format!("uid=ann,ou={n},dc=x"), &[("uid", &["ann"])]));
            }
            reply.extend(done(code, None));
            reply.into()
        })
        .await;
        assert_eq!(sign_in(&directory(&[&server])).await, SignIn::Refused(Refusal::Ambiguous));
        assert_eq!(server.passwords(), ["reader"]);
    }
    // The server's own limit hides whether there is a second one.
    let server =
        searching(|| [entry("uid=ann,dc=x", &[("uid", &["ann"])]), done(4, None)].concat().into()).await;
    assert!(matches!(fault(&directory(&[&server])).await, Fault::Result { code: 4, .. }));
}

#[tokio::test]
async fn referrals_are_not_followed() {
    let other = Fake::start(good).await;
    let url = other.url();
    let server = searching(move || done(10, None).into()).await;
    assert_eq!(fault(&directory(&[&server])).await, Fault::Referral);
    let server = searching(move || {
        [reference(&url), entry("uid=ann,dc=x", &[("uid", &["ann"])]), done(0, None)].concat().into()
    })
    .await;
    assert!(matches!(sign_in(&directory(&[&server])).await, SignIn::SignedIn(_)));
    let server = Fake::start(|op| match op {
        Op::Bind { dn, .. } if dn.starts_with("uid=") => result(1, 10, ""),
        Op::Bind { .. } | Op::Search { .. } | Op::Other => good(op),
    })
    .await;
    assert_eq!(fault(&directory(&[&server])).await, Fault::Referral);
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn a_server_that_stalls_is_given_up_and_the_next_one_asked() {
    let silent = Fake::start(|_| Reply::Silence).await;
    let drip = searching(|| Reply::Drip(entry("uid=b,dc=x", &[("uid", &["b"])]))).await;
    let good = Fake::start(good).await;
    let hasty = |servers: &[&Fake]| {
        let mut config = config(servers);
        config.limits.search = Duration::from_secs(1);
        Directory::new(config).unwrap()
    };
    for slow in [&silent, &drip] {
        let begin = Instant::now();
        assert!(matches!(fault(&hasty(&[slow])).await, Fault::Timeout(_)));
        assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
        let both = hasty(&[slow, &good]);
        assert!(matches!(sign_in(&both).await, SignIn::SignedIn(_)));
        // The slow one is left in peace for a while.
        let before = slow.connections();
        assert!(matches!(sign_in(&both).await, SignIn::SignedIn(_)));
        assert_eq!(slow.connections(), before);
    }
}

#[tokio::test]
async fn garbage_is_an_outage() {
    let mut bomb = vec![0x04, 0x00];
    for _ in 0..20_000 {
        let mut outer = vec![0x30, 0x83];
        outer.extend_from_slice(&u32::try_from(bomb.len()).unwrap().to_be_bytes()[1..]);
        outer.extend_from_slice(&bomb);
        bomb = outer;
    }
    for (bytes, expected) in [
        (bomb, Some(Malformed::TooDeep)),
        (vec![0x30, 0x84, 0x7f, 0xff, 0xff, 0xff], Some(Malformed::TooLong)),
        (b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), Some(Malformed::NotBer)),
        // BER, but no LDAP: the library panics at these.
        (vec![0x30, 0x00], None),
        (vec![0x30, 0x02, 0x04, 0x00], None),
        (vec![0x30, 0x05, 0x02, 0x01, 0x02, 0x61, 0x00], None),
        (vec![0x30, 0x05, 0x02, 0x01, 0x02, 0x65, 0x00], None),
        (vec![0x30, 0x05, 0x02, 0x01, 0x02, 0x45, 0x00], None),
        (message(2, 0x64, &[]), Some(Malformed::Form)),
        (message(2, 0x64, &[0x04, 0x01, 0xff, 0x30, 0x00]), Some(Malformed::Form)),
        (message(2, 0x7e, &[]), None),
    ] {
        let shown = bytes[..bytes.len().min(12)].to_vec();
        let server = searching(move || Reply::Raw(bytes.clone())).await;
        let fault = fault(&directory(&[&server])).await;
        match expected {
            Some(malformed) => assert_eq!(fault, Fault::Malformed(malformed), "{shown:02x?}"),
            None => assert!(matches!(fault, Fault::Lost(_) | Fault::Broken), "{shown:02x?}: {fault:?}"),
        }
    }
    let server = Fake::start(|_| Reply::Close).await;
    assert!(matches!(fault(&directory(&[&server])).await, Fault::Lost(_)));
}

#[tokio::test]
async fn a_listing_that_may_be_a_part_is_an_outage() {
    let people = |names: &[&str]| -> Vec<u8> {
        names.iter().flat_map(|name| entry(&format!("uid={name},dc=x"), &[("uid", &[name])])).collect()
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing at all", done(0, Some(b""))),
        ("no word on further pages", [people(&["a"]), done(0, None)].concat()),
        ("a size limit", [people(&["a"]), done(4, Some(b""))].concat()),
        ("a time limit", [people(&["a"]), done(3, Some(b""))].concat()),
        ("an administrative limit", [people(&["a"]), done(11, Some(b""))].concat()),
        ("a failure", [people(&["a"]), done(80, Some(b""))].concat()),
        ("a referral", [people(&["a"]), done(10, Some(b""))].concat()),
        ("more than a page", [people(&["a", "b", "c", "d"]), done(0, Some(b""))].concat()),
        ("pages without end", done(0, Some(b"again"))),
        ("a person without an id", [people(&["a"]), entry("cn=b,dc=x", &[]), done(0, Some(b""))].concat()),
        ("a broken control", [people(&["a"]), done_with_control(b"\x30\x03\x02\x01")].concat()),
    ];
    for (name, reply) in cases {
        let server = searching(move || reply.clone().into()).await;
        let unavailable = directory(&[&server]).sync(NOW).await.expect_err(name);
        assert_eq!(unavailable.faults.len(), 1, "{name}: {unavailable}");
    }
    // The connection ends in the middle.
    let server = searching(move || Reply::Last(people(&["a"]))).await;
    assert!(directory(&[&server]).sync(NOW).await.is_err());
}

#[tokio::test]
async fn what_a_refused_bind_says_is_told_apart_from_an_outage() {
    for (code, text, expected) in [
        (
            49,
            "80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data 775, v2580\0",
            Some(Refusal::Locked),
        ),
        (49, "Invalid Credentials", Some(Refusal::WrongPassword)),
        (51, "busy", None),
        (52, "unavailable", None),
        (53, "unwilling", None),
        (8, "BindSimple: Transport encryption required.", None),
        (1, "operations error", None),
    ] {
        let server = Fake::start(move |op| match op {
            Op::Bind { dn, .. } if dn.starts_with("uid=") => result(1, code, text),
            Op::Bind { .. } | Op::Search { .. } | Op::Other => good(op),
        })
        .await;
        match (sign_in(&directory(&[&server])).await, expected) {
            (SignIn::Refused(reason), Some(expected)) => assert_eq!(reason, expected),
            (SignIn::Unavailable(_), None) => (),
            (other, _) => panic!("{code} {text}: {other:?}"),
        }
    }
    let server = Fake::start(|_| result(1, 49, "")).await;
    assert!(matches!(fault(&directory(&[&server])).await, Fault::ServiceBind { code: 49, .. }));
}

/// Active Directory gives the members of a large group in parts.
fn parts(op: &Op, last: usize, repeat: bool) -> Reply {
    let Op::Search { base, attributes, .. } = op else { return good(op) };
    let from = attributes.iter().find_map(|name| name.strip_prefix("member;range=")?.strip_suffix("-*"));
    match from {
        Some(from) => {
            assert_eq!(base, "cn=all,dc=x");
            let from: usize = if repeat { 0 } else { from.parse().unwrap() };
            let to = (from + 1499).min(last);
            let name = if to == last {
                format!("member;range={from}-*")
            } else {
                format!("member;range={from}-{to}")
            };
            [members(&name, from, to), done(0, None)].concat().into()
        }
        None if attributes.iter().any(|name| name == "member") => {
            [members("member;range=0-1499", 0, 1499), done(0, Some(b""))].concat().into()
        }
        None => {
            [entry(&format!("uid=p{last},dc=x"), &[("uid", &["ann"])]), done(0, Some(b""))].concat().into()
        }
    }
}

fn members(name: &str, from: usize, to: usize) -> Vec<u8> {
    let values: Vec<String> = (from..=to).map(|n| format!("UID=p{n},DC=x")).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    entry("cn=all,dc=x", &[("cn", &["all"]), ("member", &[]), (name, &values)])
}

#[tokio::test]
async fn a_huge_group_is_read_to_its_last_member() {
    for last in [1500, 2999, 3000, 20_000] {
        let server = Fake::start(move |op| parts(op, last, false)).await;
        let mut config = config(&[&server]);
        config.groups = Some(Groups::active_directory(vec!["dc=x".parse().unwrap()]));
        let ready = Directory::new(config.clone()).unwrap();
        let listing = ready.sync(NOW).await.unwrap_or_else(|e| panic!("{last}: {e}"));
        assert_eq!(listing.people()[0].groups.len(), 1, "{last}");
        config.limits.members = last;
        let fault = Directory::new(config).unwrap().sync(NOW).await.unwrap_err().faults[0].1.clone();
        assert_eq!(fault, Fault::TooMany { what: "members of groups", limit: last });
    }
}

#[tokio::test]
async fn parts_that_go_in_circles_are_an_outage() {
    let server = Fake::start(|op| parts(op, 20_000, true)).await;
    let mut config = config(&[&server]);
    config.groups = Some(Groups::active_directory(vec!["dc=x".parse().unwrap()]));
    let fault = Directory::new(config).unwrap().sync(NOW).await.unwrap_err().faults[0].1.clone();
    assert_eq!(fault, Fault::Malformed(Malformed::Form));
}

#[tokio::test]
async fn active_directory_is_asked_to_follow_groups() {
    let server = Fake::start(|op| match op {
        Op::Search { filter_bytes, .. }
            if filter_bytes.windows(22).any(|w| w == b"1.2.840.113556.1.4.194") =>
        {
            [entry("cn=g,dc=x", &[("cn", &["g"])]), done(0, Some(b""))].concat().into()
        }
        Op::Search { .. } | Op::Bind { .. } | Op::Other => good(op),
    })
    .await;
    let mut config = config(&[&server]);
    config.groups = Some(Groups::active_directory(vec!["dc=x".parse().unwrap()]));
    let SignIn::SignedIn(person) = sign_in(&Directory::new(config).unwrap()).await else {
        panic!("must sign in")
    };
    assert_eq!(person.groups.iter().map(|g| &*g.name).collect::<Vec<_>>(), ["g"]);
    assert_eq!(server.passwords(), ["reader", "right", "reader"]);
}

#[tokio::test]
async fn start_tls_is_read_strictly() {
    let ok = b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00";
    let refused = b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x02\x04\x00\x04\x00";
    let bind = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00";
    let injected = [&ok[..], bind].concat();
    for (bytes, expected) in [
        (refused.to_vec(), Fault::StartTls(2)),
        (bind.to_vec(), Fault::Malformed(Malformed::Form)),
        (injected, Fault::Injected),
        (vec![0x30, 0x82, 0xff, 0xff], Fault::Malformed(Malformed::TooLong)),
        (vec![0x15, 0x03, 0x01], Fault::Malformed(Malformed::NotBer)),
    ] {
        let server = Fake::start(move |_| Reply::Raw(bytes.clone())).await;
        let config = Config { encryption: Encryption::StartTls, ..config(&[&server]) };
        assert_eq!(fault(&Directory::new(config).unwrap()).await, expected);
        assert_eq!(server.passwords(), [""; 0]);
    }
}

#[test]
fn every_mistake_in_a_configuration_is_named() {
    let elsewhere = Config {
        servers: vec![
            "ldap://ldap.example.com".parse().unwrap(),
            "ldaps://ldap.example.com".parse().unwrap(),
        ],
        bind_password: Secret::new(vec![]),
        trust: Trust::Authorities("none".to_owned()),
        ..config(&[])
    };
    let Err(wrong) = Directory::new(elsewhere.clone()) else { panic!("must be refused") };
    assert_eq!(wrong.len(), 3, "{wrong:?}");
    let fixed = Config {
        encryption: Encryption::PlainAnywhere,
        bind_password: Secret::new(b"reader".to_vec()),
        trust: Trust::Authorities(AUTHORITY.to_owned()),
        ..elsewhere
    };
    assert!(Directory::new(fixed).is_ok());
    let mut empty = config(&[]);
    empty.people.bases.clear();
    empty.people.login = Login::Attributes(vec![]);
    empty.limits.page_size = 0;
    let Err(wrong) = Directory::new(empty) else { panic!("must be refused") };
    assert_eq!(wrong.len(), 4, "{wrong:?}");
}
