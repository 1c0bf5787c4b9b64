//! Client certificates: who is let in, who was revoked, and whose key goes with them.

use gatehouse_testkit::gatehouse::{Builder, Gatehouse};
use gatehouse_testkit::provider::FakeProvider;
use gatehouse_testkit::wait;

use super::client::{Files, Tls, fixture};
use crate::world::{ask as question, echo};

fn asking(files: &Files, listener: &str, more: &str) -> (FakeProvider, Gatehouse) {
    let provider = FakeProvider::start(echo(1, 1));
    let config = format!("[tls.{listener}]\n{}", files.lines_with_clients(more));
    let gatehouse = Builder::new(env!("CARGO_BIN_EXE_gatehouse"), &provider.url).config(&config).start();
    (provider, gatehouse)
}

/// Whether a client gets through at all, by either version of TLS.
fn is_let_in(gatehouse: &Gatehouse, client: &Tls) -> bool {
    client.get(&gatehouse.gateway, "/readyz").is_ok_and(|answer| answer.status == 200)
}

#[test]
fn who_shows_no_good_certificate_is_not_let_in_where_one_is_required() {
    let files = Files::with("server");
    let (_provider, gatehouse) = asking(&files, "gateway", "client_certificates = \"required\"");
    for name in ["dev", "ada", "nobody", "revoked"] {
        assert!(is_let_in(&gatehouse, &Tls::showing(name)), "{name}");
    }
    assert!(!is_let_in(&gatehouse, &Tls::new()), "nothing");
    assert!(!is_let_in(&gatehouse, &Tls::version(&rustls::version::TLS12)), "nothing, by 1.2");
    assert!(!is_let_in(&gatehouse, &Tls::showing("stranger")), "another authority's");
    assert!(!is_let_in(&gatehouse, &Tls::showing("server")), "one for servers");
    // The certificate opens the connection, and is no credential.
    let (_, key) = gatehouse.key("dev@example.com", &[]);
    assert_eq!(Tls::showing("ada").post(&gatehouse.gateway, &key, &question(false)).unwrap().status, 200);
    assert_eq!(
        Tls::showing("ada").post(&gatehouse.gateway, "gh_none", &question(false)).unwrap().status,
        401
    );

    let mut before = Tls::showing("revoked").connect(&gatehouse.gateway).unwrap();
    files.put("revoked-crl.pem", "clients.crl");
    wait::until("the revoked certificate to be refused", || {
        (!is_let_in(&gatehouse, &Tls::showing("revoked"))).then_some(())
    });
    assert!(is_let_in(&gatehouse, &Tls::showing("dev")));
    let ready = super::client::ask(&mut before, "GET", "/readyz", &[], b"").unwrap();
    assert_eq!(ready.status, 200, "what is open goes on");
    // A list that has run out says of nobody that they are not revoked.
    files.put("stale-crl.pem", "clients.crl");
    wait::until("everybody to be refused", || (!is_let_in(&gatehouse, &Tls::showing("dev"))).then_some(()));
}

#[test]
fn a_key_goes_only_with_its_holders_certificate_where_that_is_asked() {
    let files = Files::with("server");
    let (_provider, gatehouse) = asking(&files, "gateway", "client_person = \"holder\"");
    let (_, key) = gatehouse.key("dev@example.com", &[]);
    gatehouse.key("ada@example.com", &[]);
    let post = |client: &Tls| client.post(&gatehouse.gateway, &key, &question(false)).unwrap();
    assert_eq!(post(&Tls::showing("dev")).status, 200);
    assert_eq!(post(&Tls::new()).status, 200, "showing none is allowed");
    for name in ["ada", "nobody"] {
        let answer = post(&Tls::showing(name));
        assert_eq!(answer.status, 403, "{name}");
        assert!(
            answer.text.contains("permission_error") && answer.text.contains("certificate"),
            "{}",
            answer.text
        );
    }
    let settings = |client: &Tls| {
        let bearer = format!("Bearer {key}");
        let mut connection = client.connect(&gatehouse.gateway).unwrap();
        let headers = [("authorization", bearer.as_str())];
        super::client::ask(&mut connection, "GET", "/managed/settings", &headers, b"").unwrap().status
    };
    assert_ne!(settings(&Tls::showing("dev")), 403);
    assert_eq!(settings(&Tls::showing("ada")), 403, "nor anywhere else");
    let refused = gatehouse.exchanges().iter().filter(|e| e["reason"] == "certificate_of_another").count();
    assert_eq!(refused, 3, "{:?}", gatehouse.exchanges());
}

#[test]
fn the_admin_listener_asks_for_certificates_too() {
    let files = Files::with("server");
    let (_provider, gatehouse) = asking(&files, "admin", "");
    let made = |email: &str| {
        gatehouse.json(&["user", "add", email]);
        let token = ["admin", "token", "create", "--name", email, "--role", "owner", "--holder", email];
        gatehouse.json(&token)["token"].as_str().unwrap().to_owned()
    };
    let (dev, ada) = (made("dev@example.com"), made("ada@example.com"));
    let file = gatehouse.dir().join("gatehouse.toml");
    let before = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        format!("{before}\nclient_certificates = \"required\"\nclient_person = \"holder\"\n"),
    )
    .unwrap();
    gatehouse.json(&["config", "reload"]);

    let shown = |name: &str| {
        let of = |end: &str| fixture(&format!("{name}.{end}")).to_str().unwrap().to_owned();
        ["--client-certificate".to_owned(), of("pem"), "--client-key".to_owned(), of("key")]
    };
    let status = |name: &str, token: &str| {
        let certificate = shown(name);
        let mut args: Vec<&str> = certificate.iter().map(String::as_str).collect();
        args.extend(["--token", token, "--json", "status"]);
        let output = gatehouse.cli(&args);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(
        gatehouse.cli(&["--token", &dev, "status"]).status.code(),
        Some(3),
        "without one, nobody is let in"
    );
    assert_eq!(status("dev", &dev).0, Some(0));
    assert_eq!(status("stranger", &dev).0, Some(3));
    let (code, told) = status("ada", &dev);
    assert!(code == Some(1) && told.contains("certificate"), "{told}");
    assert_eq!(status("ada", &ada).0, Some(0));
    assert_eq!(status("nobody", &dev).0, Some(1));

    // By its name and its authority, as from another machine.
    let server = gatehouse.admin.replace("127.0.0.1", "localhost");
    let certificate = shown("dev");
    let mut args: Vec<&str> = certificate.iter().map(String::as_str).collect();
    args.extend(["--token", &dev, "--server", &server, "status"]);
    assert_eq!(gatehouse.cli(&args).status.code(), Some(3), "its authority is not known");
    let ca = files.path("ca.pem");
    args.extend(["--ca-file", &ca]);
    let output = gatehouse.cli(&args);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn mistakes_in_the_files_and_settings_are_told() {
    let files = Files::with("server");
    let (_provider, gatehouse) = asking(&files, "gateway", "");
    let file = gatehouse.dir().join("gatehouse.toml");
    let before = std::fs::read_to_string(&file).unwrap();
    let (server, key, ca) = (files.path("server.pem"), files.path("server.key"), files.path("ca.pem"));
    for (lines, setting) in [
        (format!("certificate = \"{server}\""), "tls.admin.key"),
        (format!("key = \"{key}\""), "tls.admin.key"),
        (format!("client_ca = \"{ca}\""), "tls.admin.client_ca"),
        ("client_certificates = \"required\"".to_owned(), "tls.admin.client_certificates"),
        ("client_certificates = \"sometimes\"".to_owned(), "tls.admin.client_certificates"),
        ("client_person = \"holder\"".to_owned(), "tls.admin.client_person"),
        (format!("client_crls = [\"{ca}\"]"), "tls.admin.client_crls"),
        (format!("certificate = \"{key}\"\nkey = \"{key}\""), "server.key"),
        (format!("certificate = \"{server}\"\nkey = \"{ca}\""), "ca.pem"),
        (format!("certificate = \"{ca}\"\nkey = \"{key}\""), "ca.pem"),
        (format!("certificate = \"{server}\"\nkey = \"{key}\"\nclient_ca = \"{key}\""), "server.key"),
        (
            format!(
                "certificate = \"{server}\"\nkey = \"{key}\"\nclient_ca = \"{ca}\"\nclient_crls = [\"{ca}\"]"
            ),
            "ca.pem",
        ),
    ] {
        std::fs::write(&file, format!("{before}\n[tls.admin]\n{lines}\n")).unwrap();
        let output = gatehouse.cli(&["config", "reload"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains(setting), "{lines}: {told}");
    }
    for (list, header) in
        [("[\"gateway\"]", "x-forwarded-for"), ("[\"nowhere\"]", "x-forwarded-for"), ("[]", "via")]
    {
        let lines = format!("[listen]\nproxy_protocol = {list}\nclient_header = \"{header}\"");
        std::fs::write(&file, before.replace("[listen]", &lines)).unwrap();
        let output = gatehouse.cli(&["config", "reload"]);
        assert!(!output.status.success(), "{lines}");
    }
}
