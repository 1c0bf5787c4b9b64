//! Probes that look at real things: a certificate that ends, a database that stops.

use std::path::Path;
use std::process::Command;

use gatehouse_testkit::gatehouse::{Builder, Gatehouse};
use gatehouse_testkit::postgres::server::Server;
use gatehouse_testkit::provider::FakeProvider;
use gatehouse_testkit::{http, wait};
use serde_json::Value;
use tempfile::TempDir;

use super::{item, state};
use crate::world::{configured, echo};

const PROGRAM: &str = env!("CARGO_BIN_EXE_gatehouse");

/// An authority whose certificates are made while the test runs, since they have to end soon, or to have ended.
struct Authority(TempDir);

impl Authority {
    fn new() -> Self {
        let authority = Self(tempfile::tempdir().unwrap());
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let root =
            ["req", "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-days", "3650", "-subj", "/CN=test"];
        authority.openssl(&[&root[..], &key].concat());
        let asked = ["req", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=server"];
        authority.openssl(&[&asked[..], &key, &["-addext", "subjectAltName=IP:127.0.0.1"]].concat());
        authority
    }

    fn openssl(&self, args: &[&str]) {
        let done = Command::new("openssl").args(args).current_dir(self.0.path()).output().unwrap();
        assert!(done.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// Puts a certificate in place that is good for so many days.
    fn issue(&self, days: &str) {
        let signed = ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key"];
        let out = ["-copy_extensions", "copy", "-days", days, "-out", "new.pem"];
        self.openssl(&[&signed[..], &out].concat());
        std::fs::rename(self.path("new.pem"), self.path("server.pem")).unwrap();
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }
}

fn shown(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Waits until the item is in this state; gives its evidence.
fn turns(gatehouse: &Gatehouse, name: &str, wanted: &str) -> String {
    wait::until(&format!("{name} to be {wanted}"), || {
        let (found, why) = item(gatehouse, name);
        (found == wanted).then_some(why)
    })
}

#[test]
fn a_certificate_that_has_ended_is_red_until_it_is_renewed() {
    let authority = Authority::new();
    authority.issue("90");
    let provider = FakeProvider::start(echo(1, 1));
    let [certificate, key] = ["server.pem", "server.key"].map(|name| shown(&authority.path(name)));
    let tls = format!("[tls.gateway]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n");
    let behind = Builder::new(PROGRAM, &provider.url).config(&tls).start();
    // What stands behind is the provider of this one, with an authority of its own.
    let trust = format!("ca_file = \"{}\"\n", shown(&authority.path("ca.pem")));
    let gatehouse = Builder::new(PROGRAM, &behind.gateway).config(&trust).start();
    assert_eq!(state(&gatehouse, "custom-ca"), "pass");
    authority.issue("10");
    let why = turns(&gatehouse, "custom-ca", "warn");
    assert!(why.contains("days; renew it"), "{why}");
    authority.issue("-1");
    let why = turns(&gatehouse, "custom-ca", "fail");
    assert!(why.contains("main") && why.to_lowercase().contains("expired"), "{why}");
    authority.issue("90");
    turns(&gatehouse, "custom-ca", "pass");
}

/// The checklist as JSON, and the exit code of the command.
fn checklist(gatehouse: &Gatehouse, section: &[&str]) -> (Value, Option<i32>) {
    let done = gatehouse.cli(&[&["--json", "doctor"][..], section].concat());
    let told = String::from_utf8_lossy(&done.stderr);
    (serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("no JSON: {told}")), done.status.code())
}

#[test]
fn a_database_that_has_stopped_is_red_until_it_is_back() {
    let Some(mut server) = Server::start(&[]) else { return };
    let w = configured("", &server.database("readiness"), echo(1, 1));
    let (found, why) = item(&w.gatehouse, "database");
    assert_eq!((found.as_str(), why.contains("database `readiness`")), ("pass", true), "{why}");
    assert_eq!(state(&w.gatehouse, "audit-log"), "pass");
    server.stop();
    let why = turns(&w.gatehouse, "database", "fail");
    for part in [&format!("127.0.0.1:{}", server.port), "database `readiness`", "start it", "request "] {
        assert!(why.contains(part), "{part}: {why}");
    }
    assert!(!why.contains("postgres://") && !why.contains("gatehouse@"), "no credential: {why}");
    let (all, code) = checklist(&w.gatehouse, &[]);
    assert_eq!((all["go"].as_bool(), all["percent"].is_null(), code), (Some(false), true, Some(1)));
    for item in all["items"].as_array().unwrap().iter().filter(|item| item["item"] != "database") {
        assert_eq!(
            (&item["state"], &item["evidence"]),
            (&"unknown".into(), &"cannot be judged: database away".into())
        );
    }
    // Every section says why nothing is known of it.
    let (some, code) = checklist(&w.gatehouse, &["compliance"]);
    let names: Vec<&str> =
        some["items"].as_array().unwrap().iter().map(|item| item["item"].as_str().unwrap()).collect();
    assert_eq!((names.len(), names[0], code), (5, "database", Some(1)));
    let table = w.gatehouse.cli(&["doctor"]);
    let told = String::from_utf8_lossy(&table.stdout).into_owned();
    assert_eq!(table.status.code(), Some(1), "{told}");
    assert!(
        told.contains("fail ") && told.contains("database `readiness`") && told.contains("Not ready"),
        "{told}"
    );
    // Whoever has no token learns nothing of the database, and whoever has one cannot be told from him.
    for headers in [&[][..], &[("authorization", "Bearer gha_x")]] {
        let reply = http::once(&w.gatehouse.admin, "GET", "/api/v1/readiness", headers, b"");
        assert!([401, 503].contains(&reply.status), "{}", reply.text());
        assert!(!reply.text().contains(&server.port.to_string()), "{}", reply.text());
    }
    let pdf = w.gatehouse.dir().join("checklist.pdf");
    let refused = w.gatehouse.cli(&["doctor", "--pdf", pdf.to_str().unwrap()]);
    assert!(refused.status.code() == Some(1) && !pdf.exists());
    server.restart();
    turns(&w.gatehouse, "database", "pass");
    assert_eq!(state(&w.gatehouse, "audit-log"), "pass");
    assert!(checklist(&w.gatehouse, &[]).0["percent"].is_u64());
}
