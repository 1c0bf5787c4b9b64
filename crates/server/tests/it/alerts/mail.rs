//! E-mail, with a server that wants TLS and a password.

use std::path::PathBuf;

use gatehouse_testkit::mail::{Door, FakeMail};

use super::{ALWAYS, FAST, end_it, only_it};
use crate::world::{configured, echo};

fn file(name: &str) -> PathBuf {
    PathBuf::from(format!("{}/tests/it/proxy/tls/{name}", env!("CARGO_MANIFEST_DIR")))
}

fn receiver(server: &FakeMail, encryption: &str, more: &str) -> String {
    format!(
        "[[alerts.receiver]]\nname = \"mail\"\nkind = \"email\"\nlanguage = \"zh-TW\"\nhost = \"localhost\"\nport = {}\n\
         encryption = \"{encryption}\"\nfrom = \"gatehouse@corp.example\"\nto = [\"ops@corp.example\", \"b@corp.example\"]\n{more}",
        server.port
    )
}

fn signed_in() -> String {
    let ca = file("ca.pem");
    format!("user = \"gate\"\npassword = \"exec:echo open-sesame-99\"\nca_file = \"{}\"\n", ca.display())
}

#[test]
fn letters_go_by_starttls_and_by_tls() {
    let (certificate, key) = (file("server.pem"), file("server.key"));
    for (door, encryption) in [(Door::StartTls, "starttls"), (Door::Tls, "tls")] {
        let login = Some(("gate", "open-sesame-99"));
        let server = FakeMail::start(door, Some((&certificate, &key)), login);
        let config =
            format!("{FAST}{ALWAYS}{}{}", receiver(&server, encryption, &signed_in()), only_it(&["mail"]));
        let w = configured(&config, "sqlite", echo(1, 1));
        server.wait_for(1);
        end_it(&w.gatehouse);
        let letters = server.wait_for(2);
        assert_eq!(server.refused(), Vec::<String>::new());
        for letter in &letters {
            assert!(letter.encrypted && letter.user.as_deref() == Some("gate"), "{letter:?}");
            assert_eq!(letter.from, "gatehouse@corp.example");
            assert_eq!(letter.to, ["ops@corp.example", "b@corp.example"]);
            for header in ["Message-ID: <dlv_", "Auto-Submitted: auto-generated", "Subject: =?utf-8?b?"] {
                assert!(letter.text.contains(header), "{header}: {}", letter.text);
            }
        }
        assert_ne!(letters[0].text, letters[1].text);
    }
}

#[test]
fn without_tls_or_with_a_wrong_password_nothing_goes_out() {
    // It offers no STARTTLS: neither password nor letter is sent.
    let open = FakeMail::start(Door::Plain, None, Some(("gate", "open-sesame-99")));
    let w = configured(&receiver(&open, "starttls", &signed_in()), "sqlite", echo(1, 1));
    let tested = w.gatehouse.cli(&["alerts", "test", "mail"]);
    assert_eq!(tested.status.code(), Some(1));
    assert!(open.letters().is_empty());
    assert!(!open.refused().iter().any(|why| why.contains("535")), "{:?}", open.refused());
    let (certificate, key) = (file("server.pem"), file("server.key"));
    let strict = FakeMail::start(Door::StartTls, Some((&certificate, &key)), Some(("gate", "another")));
    let w = configured(&receiver(&strict, "starttls", &signed_in()), "sqlite", echo(1, 1));
    let tested = w.gatehouse.cli(&["alerts", "test", "mail"]);
    let told = String::from_utf8_lossy(&tested.stdout).into_owned();
    assert!(told.contains("535") && !told.contains("sesame"), "{told}");
    // A certificate that nobody vouches for.
    let untrusted = receiver(&strict, "starttls", "");
    let w = configured(&untrusted, "sqlite", echo(1, 1));
    assert_eq!(w.gatehouse.cli(&["alerts", "test", "mail"]).status.code(), Some(1));
    assert!(strict.letters().is_empty());
}
