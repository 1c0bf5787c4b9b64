//! Signing in with name and password of a directory: a real OpenLDAP server, where there is one.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gatehouse_testkit::browser::hidden;
use gatehouse_testkit::http::Reply;

use super::{World, approve, error_of, oauth, text, world};
use crate::world::{ask, echo};

/// The folder that the server was started with; `None` when there is none, which is said aloud.
#[expect(clippy::disallowed_methods, reason = "the test server's place comes from the environment")]
#[expect(clippy::print_stderr, reason = "a part that is not tested must be named")]
pub(super) fn server() -> Option<PathBuf> {
    let folder = std::env::var("GATEHOUSE_TEST_OPENLDAP").ok().map(PathBuf::from);
    if folder.is_none() {
        eprintln!("NOT TESTED on OpenLDAP: GATEHOUSE_TEST_OPENLDAP is not set (scripts/test sets it)");
    }
    folder
}

pub(super) fn address(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("ldap")).unwrap().trim().to_owned()
}

fn config(folder: &Path, servers: &str, more: &str) -> String {
    format!(
        "[identity]\nlocal_accounts = false\n[[directory]]\nname = \"staff\"\nlabel = \"Staff & Co\"\n\
         sign_in = true\nsync_seconds = 0\nservers = [{servers}]\nca_file = \"{}\"\nbind_dn = \"cn=reader,dc=example,dc=com\"\n\
         bind_password = \"exec:echo password-of-reader\"\npeople_bases = [\"ou=people,dc=example,dc=com\"]\n\
         group_bases = [\"ou=groups,dc=example,dc=com\"]\n{more}\n",
        folder.join("ca.pem").display()
    )
}

/// Changes the tree by a command of OpenLDAP's.
fn change(folder: &Path, command: &str, more: &[&str], input: &str) {
    let mut child = Command::new(command)
        .args([
            "-ZZ",
            "-x",
            "-H",
            &address(folder),
            "-D",
            "cn=admin,dc=example,dc=com",
            "-w",
            "password-of-admin",
        ])
        .args(more)
        .env("LDAPTLS_CACERT", folder.join("ca.pem"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{command}");
}

impl World {
    pub(super) fn at_directory(&self, code: &str, name: &str, password: &str) -> Reply {
        let mut browser = self.browser();
        let page = browser.get(&format!("/device?user_code={code}"), &[]).text();
        assert!(page.contains("Staff &amp; Co"), "{page}");
        let form = hidden(&page, "form");
        let fields = [
            ("user_code", code),
            ("form", &form),
            ("way", "ldap:staff"),
            ("email", name),
            ("password", password),
        ];
        browser.post("/device/continue", &fields)
    }
}

#[test]
fn people_of_a_directory_sign_in_and_leavers_are_out() {
    let Some(folder) = server() else { return };
    let servers = format!("\"ldap://127.0.0.1:1\", \"{}\"", address(&folder));
    let rule = "create = true\nteams = { engineering = \"Core\" }";
    let w = world("sqlite", &config(&folder, &servers, rule), echo(1, 1));
    w.gatehouse.json(&["team", "add", "Core"]);
    for (name, password) in [
        ("ann", "wrong"),
        // A bind with an empty password succeeds at every directory, and proves nothing.
        ("ann", ""),
        ("ann", " "),
        ("ann", "\u{a0}"),
        ("ann", "\0"),
        ("", "password-of-ann"),
        ("", ""),
        ("nobody", "password-of-nobody"),
        ("*", "password-of-ann"),
        ("a*", "password-of-ann"),
        ("ann)(uid=*", "password-of-ann"),
        ("ann)(|(uid=*", "password-of-ann"),
        ("nobody)(|(uid=ann", "password-of-ann"),
        ("nobody\\29(uid=ann", "password-of-ann"),
        ("ann\0", "password-of-ann"),
        ("uid=ann,ou=people,dc=example,dc=com", "password-of-ann"),
        ("cn=admin,dc=example,dc=com", "password-of-admin"),
        ("twin", "password-of-twin"),
        ("off-lock", "password-of-off-lock"),
        ("nomail", "password-of-nomail"),
    ] {
        let begun = w.begin();
        assert_eq!(w.at_directory(&begun.user_code, name, password).status, 403, "{name}");
        assert_eq!(error_of(&w.poll(&begun)), oauth(400, "authorization_pending"), "{name}");
    }
    let begun = w.begin();
    let done = w.at_directory(&begun.user_code, "ann", "password-of-ann");
    assert_eq!(done.status, 200, "{}", done.text());
    let tokens = w.poll(&begun).json();
    assert_eq!(text(&tokens, "email"), "ann@example.com");
    assert_eq!(w.gatehouse.post(text(&tokens, "access_token"), &ask(false)).status, 200);
    let session = w.gatehouse.json(&["session", "list"])[0].clone();
    assert_eq!(
        (text(&session, "source"), text(&session, "team")),
        ("ldap:staff", "Core"),
        "by a group in a group"
    );
    assert_eq!(w.refresh(text(&tokens, "refresh_token")).status, 200);

    let leaver = format!("leaver-{}", w.gatehouse.pid());
    let dn = format!("uid={leaver},ou=people,dc=example,dc=com");
    let entry = format!(
        "dn: {dn}\nobjectClass: inetOrgPerson\nuid: {leaver}\ncn: {leaver}\nsn: {leaver}\n\
         mail: {leaver}@example.com\nuserPassword: secret-of-leaver\n"
    );
    change(&folder, "ldapadd", &[], &entry);
    let begun = w.begin();
    assert_eq!(w.at_directory(&begun.user_code, &leaver, "secret-of-leaver").status, 200);
    let tokens = w.poll(&begun).json();
    change(&folder, "ldapdelete", &[&dn], "");
    assert_eq!(error_of(&w.refresh(text(&tokens, "refresh_token"))), oauth(401, "invalid_grant"));
    assert_eq!(w.gatehouse.post(text(&tokens, "access_token"), &ask(false)).status, 401, "at once");
    assert!(!w.gatehouse.log().contains("password-of-ann"));
}

#[test]
fn a_name_in_other_letters_buys_no_more_guesses() {
    let Some(folder) = server() else { return };
    let servers = format!("\"{}\"", address(&folder));
    let w = world("sqlite", &config(&folder, &servers, "create = true"), echo(1, 1));
    // Somebody of this test's own: the directory counts wrong passwords too.
    let name = format!("guessed{}", w.gatehouse.pid());
    let dn = format!("uid={name},ou=people,dc=example,dc=com");
    let entry = format!(
        "dn: {dn}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n\
         mail: {name}@example.com\nuserPassword: right-password\n"
    );
    change(&folder, "ldapadd", &[], &entry);
    let begun = w.begin();
    let wide: String = name.chars().map(|c| char::from_u32(u32::from(c) + 0xFEE0).unwrap_or(c)).collect();
    let split = |with: char| format!("{}{with}{}", &name[..1], &name[1..]);
    // A directory takes all of these for the same name.
    let mut typed =
        vec![name.clone(), name.to_uppercase(), format!(" {name} "), wide.clone(), wide.to_uppercase()];
    typed.extend(['\u{ad}', '\u{200b}', '\u{2060}', '\u{feff}', '\u{200d}'].map(split));
    for typed in typed {
        assert_eq!(w.at_directory(&begun.user_code, &typed, "wrong").status, 403, "{typed:?}");
    }
    for typed in [name.clone(), wide, split('\u{34f}')] {
        assert_eq!(w.at_directory(&begun.user_code, &typed, "right-password").status, 429, "{typed:?}");
    }
    change(&folder, "ldapdelete", &[&dn], "");
}

#[test]
fn an_entry_is_the_person_and_not_its_address() {
    let Some(folder) = server() else { return };
    let servers = format!("\"{}\"", address(&folder));
    let w = world("sqlite", &config(&folder, &servers, "create = true"), echo(1, 1));
    let name = format!("recycled-{}", w.gatehouse.pid());
    let (dn, mail) = (format!("uid={name},ou=people,dc=example,dc=com"), format!("{name}@example.com"));
    let add = |password: &str| {
        let entry = format!(
            "dn: {dn}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\nmail: {mail}\nuserPassword: {password}\n"
        );
        change(&folder, "ldapadd", &[], &entry);
    };
    add("secret-of-the-first");
    let begun = w.begin();
    assert_eq!(w.at_directory(&begun.user_code, &name, "secret-of-the-first").status, 200);
    let subject = w.gatehouse.json(&["user", "identities", &mail])[0].clone();
    assert_eq!(text(&subject, "issuer"), "ldap:staff");
    // The same name and address, but another entry: another person.
    change(&folder, "ldapdelete", &[&dn], "");
    add("secret-of-the-second");
    let begun = w.begin();
    assert_eq!(w.at_directory(&begun.user_code, &name, "secret-of-the-second").status, 403);
    assert_eq!(error_of(&w.poll(&begun)), oauth(400, "authorization_pending"));
    // Another name and address, but the same entry: the same person, who was taken over before.
    w.gatehouse.json(&["user", "identities", "--forget", &mail]);
    assert_eq!(w.at_directory(&begun.user_code, &name, "secret-of-the-second").status, 200);
    let moved = format!("dn: {dn}\nchangetype: modify\nreplace: mail\nmail: moved-{mail}\n");
    change(&folder, "ldapmodify", &[], &moved);
    let begun = w.begin();
    assert_eq!(w.at_directory(&begun.user_code, &name, "secret-of-the-second").status, 200);
    assert_eq!(text(&w.poll(&begun).json(), "email"), mail);
    change(&folder, "ldapdelete", &[&dn], "");
}

#[test]
fn a_directory_that_cannot_be_asked_signs_nobody_in() {
    let Some(folder) = server() else { return };
    let w = world("sqlite", &config(&folder, "\"ldap://127.0.0.1:1\"", "create = true"), echo(1, 1));
    let begun = w.begin();
    assert_eq!(w.at_directory(&begun.user_code, "ann", "password-of-ann").status, 503);
    assert_eq!(error_of(&w.poll(&begun)), oauth(400, "authorization_pending"), "it can be tried again");
    // Passwords kept here are switched off.
    let local = approve(&mut w.browser(), &begun.user_code, "ann@example.com", "x");
    assert_eq!(local.status, 403);
}

#[test]
fn groups_of_a_directory_are_read_again_at_every_refresh() {
    let Some(folder) = server() else { return };
    let servers = format!("\"{}\"", address(&folder));
    let name = format!("mover-{}", std::process::id());
    let (first, second) = (format!("first-{name}"), format!("second-{name}"));
    let rule = format!("create = true\nteams = {{ {first} = \"First\", {second} = \"Second\" }}");
    let w = world("sqlite", &config(&folder, &servers, &rule), echo(1, 1));
    w.gatehouse.json(&["team", "add", "First"]);
    w.gatehouse.json(&["team", "add", "Second"]);
    let dn = format!("uid={name},ou=people,dc=example,dc=com");
    let group = |name: &str| format!("cn={name},ou=groups,dc=example,dc=com");
    let person = format!(
        "dn: {dn}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n\
         mail: {name}@example.com\nuserPassword: secret-of-mover\n"
    );
    change(&folder, "ldapadd", &[], &person);
    let make = |name: &str, member: &str| {
        format!("dn: {}\nobjectClass: groupOfNames\ncn: {name}\nmember: {member}\n", group(name))
    };
    change(&folder, "ldapadd", &[], &make(&first, &dn));
    let begun = w.begin();
    assert_eq!(w.at_directory(&begun.user_code, &name, "secret-of-mover").status, 200);
    let tokens = w.poll(&begun).json();
    let teams = || w.gatehouse.json(&["user", "get", &format!("{name}@example.com")])["teams"].clone();
    assert_eq!(teams(), serde_json::json!(["First"]));
    change(&folder, "ldapdelete", &[&group(&first)], "");
    change(&folder, "ldapadd", &[], &make(&second, &dn));
    assert_eq!(w.refresh(text(&tokens, "refresh_token")).status, 200);
    assert_eq!(teams(), serde_json::json!(["Second"]));
    let session = w.gatehouse.json(&["session", "list"])[0].clone();
    assert_eq!(text(&session, "team"), "Second");
    change(&folder, "ldapdelete", &[&group(&second), &dn], "");
}
