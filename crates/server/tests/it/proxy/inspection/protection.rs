//! What is planted in a request within a tunnel that is looked into is seen by the gateway's stages.

use serde_json::json;

use super::world::{RULES, inspecting};
use super::{MESSAGES, OWN};
use crate::data_protection::{BLOCK, OBSERVE, conversation, planted};
use crate::world::echo;

#[test]
fn what_is_planted_in_a_tunnel_is_seen_and_on_record_and_refused_by_rule() {
    let secret = planted(21);
    for (rules, status, verdict) in [(OBSERVE, 200, "observed"), (BLOCK, 451, "blocked")] {
        let w = inspecting(&format!("{RULES}{rules}"), echo(1, 1));
        let body = conversation(&secret, true);
        let reply = w.ask("api.test", MESSAGES, OWN, &body);
        assert_eq!(reply.status, status, "{}", reply.text());
        let exchange = w.only_exchange();
        assert_eq!(exchange["provider"].is_null(), status == 451, "{exchange}");
        assert_eq!(exchange["user"], "dev@example.com");
        assert_eq!(exchange["data_findings"], json!([{"detector": "gatehouse-key", "count": 1}]));
        assert_eq!(exchange["data_verdict"], verdict);
        if status == 451 {
            assert_eq!(w.host.provider.unseen(), 0, "the host saw it");
            assert_eq!(reply.header("x-should-retry"), Some("false"));
            let told = reply.text();
            assert!(
                told.contains("(gatehouse-key) in message 3, tool result") && !told.contains(&secret),
                "{told}"
            );
        } else {
            assert!(w.host.provider.seen().body == body, "changed on its way");
        }
        assert!(!w.world.gatehouse.log().contains(&secret[4..30]));
        // What is passed on is not looked at: it goes to no model.
        let reply = w.ask("api.test", "POST /api/other", OWN, secret.as_bytes());
        assert_eq!(reply.status, 200);
    }
}
