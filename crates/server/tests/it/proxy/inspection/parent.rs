//! What is looked into goes by a parent proxy where there is one.

use gatehouse_testkit::squid::{PASSWORD, Squid, USER};

use super::world::{RULES, inspecting};
use super::{MESSAGES, OWN};
use crate::world::{ask, echo};

const SERVER: &str = include_str!("../tls/server.pem");
const SERVER_KEY: &str = include_str!("../tls/server.key");

#[test]
fn requests_of_guests_go_by_the_parent_and_are_told_when_it_is_away() {
    let Some(mut squid) = Squid::start(43, &["api.test"], &format!("{SERVER}{SERVER_KEY}")) else { return };
    let rules = format!(
        "{RULES}[egress]\nno_proxy = [\"127.0.0.0/8\"]\n[[egress.parent]]\nname = \"first\"\nurl = \"http://127.0.0.1:{}\"\n\
         username = \"{USER}\"\npassword = \"exec:echo {PASSWORD}\"\n",
        squid.http
    );
    let w = inspecting(&rules, echo(10, 2));
    for line in [MESSAGES, "POST /api/x"] {
        let reply = w.ask("api.test", line, OWN, &ask(false));
        assert_eq!(reply.status, 200, "{}\n{}", reply.text(), w.world.gatehouse.log());
        assert_eq!(w.host.provider.seen().header("x-api-key"), Some("sk-of-the-caller"));
    }
    squid.wait_for_tunnel(&w.to("api.test"));
    squid.kill();
    for line in [MESSAGES, "POST /api/x"] {
        let reply = w.ask("api.test", line, OWN, &ask(false));
        assert_eq!(reply.status, 502, "{}", reply.text());
        assert!(reply.text().contains("The proxy through which this gateway goes out"), "{}", reply.text());
    }
    let exchanges = w.world.gatehouse.exchanges();
    assert_eq!(
        exchanges.iter().filter(|exchange| exchange["reason"] == "no_way_out").count(),
        2,
        "{exchanges:#?}"
    );
}
