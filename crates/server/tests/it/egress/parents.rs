//! Parent proxies: who goes through them, and what happens when they do not work.

use gatehouse_testkit::http::once;
use gatehouse_testkit::issuer::FakeIssuer;
use gatehouse_testkit::leak::{self, Planted};
use gatehouse_testkit::provider::FakeProvider;
use gatehouse_testkit::squid::PASSWORD;
use gatehouse_testkit::wait;

use super::{CA, http, https, item, parent, squid, started, world};
use crate::world::{ask, echo};

#[test]
fn provider_and_issuer_are_reached_through_the_parent_only() {
    let Some(squid) = squid(21) else { return };
    let issuer = FakeIssuer::start();
    // Even what is on this machine goes by the parent.
    let egress =
        format!("[egress]\nno_proxy = []\n{}{}", parent("first", &http(&squid), ""), issuer.config(""));
    let w = world(&egress);
    assert_eq!(w.asked_from(), squid.from);
    assert!(item(&w.gatehouse, "single-sign-on").1.contains("reached: corp"));
    assert!(!issuer.peers().is_empty() && issuer.peers().iter().all(|peer| *peer == squid.from));
    let (state, evidence) = item(&w.gatehouse, "proxy");
    assert_eq!((state.as_str(), evidence.as_str()), ("pass", "parent proxies: `first`: works"));
    let metrics = once(&w.gatehouse.admin, "GET", "/metrics", &[], b"").text();
    assert!(metrics.contains("gatehouse_egress_parent_up{parent=\"first\"} 1"), "{metrics}");
}

#[test]
fn what_is_exempt_goes_directly() {
    let Some(squid) = squid(22) else { return };
    let (issuer, provider) = (FakeIssuer::start(), FakeProvider::start(echo(1, 1)));
    let port = provider.url.rsplit(':').next().unwrap().to_owned();
    let egress = format!(
        "[egress]\nno_proxy = [\"127.0.0.0/8:{port}\"]\n{}{}",
        parent("first", &http(&squid), ""),
        issuer.config("")
    );
    let (gatehouse, key) = started(&provider.url, &egress);
    assert_eq!(gatehouse.post(&key, &ask(false)).status, 200);
    assert_eq!(provider.peers(), ["127.0.0.1"]);
    assert!(item(&gatehouse, "single-sign-on").1.contains("reached: corp"));
    assert!(issuer.peers().iter().all(|peer| *peer == squid.from), "the other port goes by the parent");
}

#[test]
fn a_dead_parent_is_replaced_and_comes_back() {
    let (Some(mut first), Some(second)) = (squid(23), squid(24)) else { return };
    let both = [parent("first", &http(&first), ""), parent("second", &http(&second), "")].concat();
    let w = world(&format!("[egress]\nretry_seconds = 1\n{both}"));
    assert_eq!(w.asked_from(), first.from);
    first.kill();
    // Not one request is lost over it.
    assert_eq!(w.asked_from(), second.from);
    let (state, evidence) = item(&w.gatehouse, "proxy");
    assert_eq!(state, "warn", "{evidence}");
    assert!(
        evidence.contains("`first`: it cannot be connected to: ") && evidence.contains("`second`: works"),
        "{evidence}"
    );
    first.restart();
    w.until_asked_from(&first.from);
    assert_eq!(item(&w.gatehouse, "proxy").0, "pass");
}

#[test]
fn a_wrong_password_is_told_to_those_who_can_mend_it_and_to_nobody_else() {
    let Some(squid) = squid(25) else { return };
    let w = world(&format!("[egress]\nretry_seconds = 1\n{}", parent("first", &http(&squid), "")));
    assert_eq!(w.asked_from(), squid.from);
    let password = w.gatehouse.dir().join("first.password");
    std::fs::write(&password, "wrong-secret-0123456789").unwrap();
    w.gatehouse.json(&["config", "reload"]);
    let reply = w.gatehouse.post(&w.key, &ask(false));
    let error = reply.json()["error"].clone();
    assert_eq!((reply.status, error["type"].as_str()), (502, Some("api_error")), "{}", reply.text());
    let sentence = error["message"].as_str().unwrap();
    assert!(sentence.contains("The proxy through which this gateway goes out"), "{sentence}");
    assert!(!sentence.contains("407") && !sentence.contains("first"), "nothing internal: {sentence}");
    let (state, evidence) = item(&w.gatehouse, "proxy");
    assert!(
        state == "fail" && evidence.contains("`first`: it does not accept our credentials (407)"),
        "{evidence}"
    );
    // No provider can be reached any more: this node is not ready, and says why.
    let ready = || once(&w.gatehouse.admin, "GET", "/readyz", &[], b"");
    wait::until("the node not to be ready", || (ready().status == 503).then_some(()));
    assert!(
        ready().text().contains("no parent proxy works: `first`: it does not accept"),
        "{}",
        ready().text()
    );
    let exchange = w.gatehouse.exchanges().pop().unwrap();
    assert_eq!(exchange["reason"], "no_way_out");
    let log = w.gatehouse.log();
    assert!(log.contains("(407)"), "{log}");
    let planted =
        [Planted::new("password", PASSWORD), Planted::new("wrong password", "wrong-secret-0123456789")];
    for shown in [log, reply.text(), evidence, ready().text()] {
        let found = leak::search(&planted, shown.as_bytes());
        assert!(found.is_empty(), "{found:?}: {shown}");
    }
    std::fs::write(&password, PASSWORD).unwrap();
    w.gatehouse.json(&["config", "reload"]);
    wait::until("the node to be ready again", || (ready().status == 200).then_some(()));
    assert_eq!(w.asked_from(), squid.from);
}

#[test]
fn a_parent_by_tls_is_believed_by_its_authority_only() {
    let Some(squid) = squid(26) else { return };
    let trusted = parent("first", &https(&squid), &format!("ca_file = \"{CA}\""));
    let w = world(&format!("[egress]\n{trusted}"));
    assert_eq!(w.asked_from(), squid.from);
    let file = w.gatehouse.dir().join("gatehouse.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(&format!("ca_file = \"{CA}\"\n"), "")).unwrap();
    w.gatehouse.json(&["config", "reload"]);
    assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 502);
    let (state, evidence) = item(&w.gatehouse, "proxy");
    assert!(state == "fail" && evidence.contains("`first`: there is no TLS with it: "), "{evidence}");
    std::fs::write(&file, text).unwrap();
    w.gatehouse.json(&["config", "reload"]);
    assert_eq!(w.asked_from(), squid.from);
}

#[test]
fn what_one_parent_forbids_is_not_asked_of_the_next() {
    let (Some(first), Some(second)) = (squid(27), squid(28)) else { return };
    let both = [parent("first", &http(&first), ""), parent("second", &http(&second), "")].concat();
    let (gatehouse, key) = started("http://forbidden.test:9", &format!("[egress]\n{both}"));
    assert_eq!(gatehouse.post(&key, &ask(false)).status, 502);
    let log = gatehouse.log();
    let line = log.lines().find(|line| line.contains("no parent proxy leads to")).unwrap();
    assert!(
        line.contains("`first`: it does not let through (status 403)") && !line.contains("`second`"),
        "{line}"
    );
}
