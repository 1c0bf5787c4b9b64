//! The way out: through squid, past it, and to those that want to see a certificate.

mod certificate;
mod parents;
mod senders;
mod tunnel;

use gatehouse_testkit::gatehouse::{Builder, Gatehouse};
use gatehouse_testkit::provider::FakeProvider;
use gatehouse_testkit::squid::{PASSWORD, Squid, USER};
use gatehouse_testkit::wait;
use serde_json::Value;

use crate::world::{ask, echo};

const CA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/proxy/tls/ca.pem");
const SERVER: &str = include_str!("proxy/tls/server.pem");
const SERVER_KEY: &str = include_str!("proxy/tls/server.key");
/// Names that only the parents know.
const NAMES: [&str; 3] = ["provider.test", "destination.test", "forbidden.test"];

/// A parent; none where there is no squid.
fn squid(number: u8) -> Option<Squid> {
    Squid::start(number, &NAMES, &format!("{SERVER}{SERVER_KEY}"))
}

/// Lines that name a parent; its password is in the file `NAME.password` of the server's folder.
fn parent(name: &str, url: &str, more: &str) -> String {
    format!(
        "[[egress.parent]]\nname = \"{name}\"\nurl = \"{url}\"\nusername = \"{USER}\"\npassword = \"exec:cat $HOME/{name}.password\"\n\
         {more}\n"
    )
}

fn http(squid: &Squid) -> String {
    format!("http://127.0.0.1:{}", squid.http)
}

fn https(squid: &Squid) -> String {
    format!("https://localhost:{}", squid.https)
}

/// A provider, and a Gatehouse that knows it by a name that only the parents know. Connections to it are not kept.
struct World {
    provider: FakeProvider,
    gatehouse: Gatehouse,
    key: String,
}

fn world(egress: &str) -> World {
    let provider = FakeProvider::start(echo(1, 1));
    let url = provider.url.replace("127.0.0.1", "provider.test");
    let (gatehouse, key) = started(&url, egress);
    World { provider, gatehouse, key }
}

fn started(provider: &str, config: &str) -> (Gatehouse, String) {
    let gatehouse = Builder::new(env!("CARGO_BIN_EXE_gatehouse"), provider)
        .public_url("http://localhost:8080")
        .config(&format!("pool_idle_seconds = 0\nconnect_seconds = 20\n{config}"))
        .start_after(|folder| {
            for name in ["first", "second"] {
                std::fs::write(folder.join(format!("{name}.password")), PASSWORD).unwrap();
            }
        });
    let (_, key) = gatehouse.key("dev@example.com", &[]);
    (gatehouse, key)
}

impl World {
    /// Asks for a message that must come; gives the address that the provider was asked from.
    fn asked_from(&self) -> String {
        let before = self.provider.peers().len();
        let reply = self.gatehouse.post(&self.key, &ask(false));
        assert_eq!(reply.status, 200, "{}\n{}", reply.text(), self.gatehouse.log());
        let peers = self.provider.peers();
        assert_eq!(peers.len(), before + 1, "it was asked more than once");
        peers[before].clone()
    }

    /// Asks again and again until the provider is asked from this address.
    fn until_asked_from(&self, address: &str) {
        wait::until("the provider to be asked the other way", || {
            (self.asked_from() == address).then_some(())
        });
    }
}

/// An item of the checklist: its state and what was found.
fn item(gatehouse: &Gatehouse, name: &str) -> (String, String) {
    let output = gatehouse.cli(&["--json", "doctor"]);
    let checklist: Value = serde_json::from_slice(&output.stdout).unwrap();
    let item =
        checklist["items"].as_array().unwrap().iter().find(|item| item["item"] == name).unwrap().clone();
    let text = |key: &str| item[key].as_str().unwrap().to_owned();
    (text("state"), text("evidence"))
}
