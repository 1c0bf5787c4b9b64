//! Alerts and the log go the way out as well.

use std::path::Path;
use std::sync::{Arc, Mutex};

use gatehouse_testkit::bot::{FakeBot, Vendor};
use gatehouse_testkit::mail::{Door, FakeMail};
use gatehouse_testkit::provider::{Act, FakeProvider};
use gatehouse_testkit::wait;

use super::{CA, http, parent, squid, started};
use crate::world::{ask, echo};

const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/proxy/tls/server.pem");
const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/proxy/tls/server.key");

#[test]
fn hooks_and_letters_of_alerts_go_by_the_parent() {
    let Some(squid) = squid(41) else { return };
    let provider = FakeProvider::start(echo(1, 1));
    let bot = FakeBot::start(Vendor::Webhook, "SEC-4f1d09b2c7a85e63");
    let login = Some(("gate", "open-sesame-99"));
    let mail = FakeMail::start(Door::StartTls, Some((Path::new(CERTIFICATE), Path::new(KEY))), login);
    // Nobody but the parent knows the bot's name; even what is on this machine goes by the parent. The mail server's authority
    // is believed by what is said of its host.
    let config = format!(
        "[egress]\nno_proxy = []\n{}\
         [[egress.destination]]\nname = \"mail\"\nhosts = [\"127.0.0.1/32\"]\nca_file = \"{CA}\"\n\
         [[alerts.receiver]]\nname = \"bot\"\nkind = \"{}\"\nurl = \"{}\"\nsecret = \"exec:echo SEC-4f1d09b2c7a85e63\"\n\
         [[alerts.receiver]]\nname = \"mail\"\nkind = \"email\"\nhost = \"127.0.0.1\"\nport = {}\nencryption = \"starttls\"\n\
         from = \"gatehouse@corp.example\"\nto = [\"ops@corp.example\"]\nuser = \"gate\"\npassword = \"exec:echo open-sesame-99\"\n",
        parent("first", &http(&squid), ""),
        Vendor::Webhook.kind(),
        bot.address().replace("127.0.0.1", "destination.test"),
        mail.port,
    );
    let (gatehouse, _) = started(&provider.url, &config);
    for receiver in ["bot", "mail"] {
        let tested = gatehouse.json(&["alerts", "test", receiver]);
        assert_eq!(tested["taken"], true, "{tested} {:?} {:?}", bot.refused(), mail.refused());
    }
    assert_eq!((bot.taken().len(), mail.letters().len()), (1, 1));
    assert!(mail.letters()[0].encrypted);
    squid.wait_for_tunnel(&format!("127.0.0.1:{}", mail.port));
}

#[test]
fn the_log_goes_by_the_parent_by_http() {
    let Some(squid) = squid(42) else { return };
    let provider = FakeProvider::start(echo(1, 1));
    let got: Arc<Mutex<String>> = Arc::default();
    let kept = Arc::clone(&got);
    let receiver = FakeProvider::start(move |seen| {
        kept.lock().unwrap().push_str(std::str::from_utf8(&seen.body).unwrap());
        vec![Act::Send(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n".to_vec())]
    });
    let config = format!(
        "{}[[log_forward]]\nname = \"http\"\nkind = \"http\"\nurl = \"{}/log\"\ntoken = \"env:UPSTREAM_KEY\"\n",
        parent("first", &http(&squid), ""),
        receiver.url.replace("127.0.0.1", "destination.test"),
    );
    let (gatehouse, key) = started(&provider.url, &config);
    assert_eq!(gatehouse.post(&key, &ask(false)).status, 200);
    let id = gatehouse.exchanges()[0]["id"].as_str().unwrap().to_owned();
    wait::until("the exchange at the receiver", || got.lock().unwrap().contains(&id).then_some(()));
    assert!(receiver.peers().iter().all(|peer| *peer == squid.from), "{:?}", receiver.peers());
    assert_eq!(provider.peers(), ["127.0.0.1"], "what is exempt goes directly");
}

#[test]
fn our_own_telemetry_goes_by_the_parent() {
    let Some(squid) = squid(43) else { return };
    let provider = FakeProvider::start(echo(1, 1));
    let taken = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let collector = FakeProvider::start(move |_| vec![Act::Send(taken.to_vec())]);
    let config = format!(
        "{}[telemetry.export]\nendpoint = \"{}\"\nsignals = [\"traces\"]\ndelay_seconds = 1\n",
        parent("first", &http(&squid), ""),
        collector.url.replace("127.0.0.1", "destination.test"),
    );
    let (gatehouse, key) = started(&provider.url, &config);
    assert_eq!(gatehouse.post(&key, &ask(false)).status, 200);
    assert_eq!(collector.seen().line, "POST /v1/traces");
    assert!(collector.peers().iter().all(|peer| *peer == squid.from), "{:?}", collector.peers());
}
