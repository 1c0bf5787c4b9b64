//! The authority: made, brought, shown, replaced; its key is never given out.

use gatehouse_testkit::http::once;

use super::world::{Authority, Inspecting, RULES, inspecting, without_authority};
use super::{MESSAGES, OWN};
use crate::world::{ask, echo};

fn failed(w: &Inspecting, args: &[&str]) -> String {
    let done = w.world.gatehouse.cli(args);
    assert!(!done.status.success(), "{args:?}");
    String::from_utf8(done.stderr).unwrap()
}

/// Writes files and gives their paths.
fn files(w: &Inspecting, texts: [&str; 2]) -> [String; 2] {
    let at = |name: &str| w.world.gatehouse.dir().join(name);
    [("ca.pem", texts[0]), ("ca.key", texts[1])].map(|(name, text)| {
        std::fs::write(at(name), text).unwrap();
        at(name).to_str().unwrap().to_owned()
    })
}

#[test]
fn one_is_made_for_the_hosts_that_are_inspected_and_given_to_everybody() {
    let w = without_authority("", RULES, echo(1, 1));
    let gateway = &w.world.gatehouse.gateway;
    assert_eq!(once(gateway, "GET", "/inspection/ca.pem", &[], b"").status, 404);
    let made = w.world.gatehouse.json(&["inspection", "ca", "create", "--days", "30"]);
    assert_eq!(made["names"], serde_json::json!(["api.test", "other.test"]));
    let told = failed(&w, &["inspection", "ca", "create"]);
    assert!(told.contains("there is an inspection authority already"), "{told}");
    assert!(
        failed(&w, &["inspection", "ca", "create", "--replace", "--days", "4000"])
            .contains("expected 1 to 3650")
    );
    assert!(
        failed(&w, &["inspection", "ca", "create", "--replace", "--host", "*"])
            .contains("no host that could be")
    );

    let served = once(gateway, "GET", "/inspection/ca.pem", &[], b"");
    let shown = w.world.gatehouse.cli(&["inspection", "ca", "show"]);
    assert_eq!(served.text(), String::from_utf8(shown.stdout).unwrap());
    assert_eq!(served.text(), made["certificate"].as_str().unwrap());
    assert_eq!(served.header("content-type"), Some("application/x-pem-file"));
    for all in [
        made.to_string(),
        w.world.gatehouse.json(&["inspection", "show"]).to_string(),
        w.world.gatehouse.log(),
    ] {
        assert!(!all.contains("PRIVATE KEY"), "the key got out");
    }
    let export = w.world.gatehouse.dir().join("audit");
    assert!(w.world.gatehouse.cli(&["audit", "export", export.to_str().unwrap()]).status.success());
    let audit = std::fs::read_to_string(export).unwrap();
    assert!(audit.contains("inspection_authority.create") && !audit.contains("PRIVATE"), "{audit}");

    let gone = w.world.gatehouse.cli(&["inspection", "ca", "remove"]);
    assert!(gone.status.success());
    assert!(w.world.refused(&w.to("api.test")).contains("not set up yet"));
}

#[test]
fn one_of_the_organizations_own_is_taken_if_it_is_one() {
    let mut w = without_authority("", RULES, echo(1, 1));
    let (own, other) = (Authority::new(), Authority::new());
    let tls = |name: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/proxy/tls/");
        std::fs::read_to_string(format!("{folder}{name}")).unwrap()
    };
    let (leaf, leaf_key) = (tls("server.pem"), tls("server.key"));
    let both = format!("{}{}", own.certificate, other.certificate);
    for (certificate, key, told) in [
        (&*own.certificate, &*other.key, "the key is not that of the certificate"),
        (&leaf, &leaf_key, "none of an authority"),
        (&both, &own.key, "several certificates"),
        ("nothing", &own.key, "cannot be read as one PEM certificate"),
        (&own.certificate, "nothing", "the key cannot be read"),
    ] {
        let [certificate, key] = files(&w, [certificate, key]);
        let said = failed(&w, &["inspection", "ca", "import", "--certificate", &certificate, "--key", &key]);
        assert!(said.contains(told), "{said}");
    }
    let [certificate, key] = files(&w, [&own.certificate, &own.key]);
    let made =
        w.world.gatehouse.json(&["inspection", "ca", "import", "--certificate", &certificate, "--key", &key]);
    assert_eq!(made["names"], serde_json::json!(["test"]));
    w.ca = own.certificate;
    assert_eq!(w.ask("api.test", MESSAGES, OWN, &ask(false)).status, 200);
}

#[test]
fn it_outlives_a_restart() {
    let mut w = inspecting(RULES, echo(1, 1));
    w.world.gatehouse.kill();
    w.world.gatehouse.restart();
    w.world.find();
    assert_eq!(w.ask("api.test", MESSAGES, OWN, &ask(false)).status, 200);
}
