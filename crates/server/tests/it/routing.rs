//! Routing: who is asked, who takes over, what is recorded, what is told.

mod affinity;
mod chaos;
mod failover;
mod learning;
mod names;
mod quota;
mod signatures;

use gatehouse_testkit::gatehouse::{Builder, Gatehouse};
use gatehouse_testkit::http::{Connection, Reply};
use gatehouse_testkit::provider::{Act, FakeProvider, Seen};
use serde_json::Value;

use crate::world::echo;

/// Several providers, the first of which is named `main`, the others `b`, `c` and so on.
pub struct Several {
    pub providers: Vec<FakeProvider>,
    pub gatehouse: Gatehouse,
    pub key: String,
}

/// So many providers that all answer, each with these further lines, and further configuration.
pub fn several(count: usize, each: &[&str], config: &str) -> Several {
    let providers: Vec<FakeProvider> = (0..count).map(|_| FakeProvider::start(echo(10, 5))).collect();
    let mut builder = Builder::new(env!("CARGO_BIN_EXE_gatehouse"), &providers[0].url)
        .config(each.first().copied().unwrap_or_default());
    for (n, provider) in providers.iter().enumerate().skip(1) {
        let name = ["main", "b", "c", "d"][n];
        let more = each.get(n).copied().unwrap_or_default();
        let lines = format!(
            "[[provider]]\nname = \"{name}\"\nbase_url = \"{}\"\napi_key = \"env:UPSTREAM_KEY\"\n{more}",
            provider.url
        );
        builder = builder.config(&lines);
    }
    let gatehouse = builder.config(config).start();
    let (_, key) = gatehouse.key("dev@example.com", &[]);
    Several { providers, gatehouse, key }
}

impl Several {
    /// Posts a message in a session of the client.
    pub fn post(&self, session: &str, body: &[u8]) -> Reply {
        let mut connection = Connection::open(&self.gatehouse.gateway);
        let headers = [("x-api-key", self.key.as_str()), ("x-claude-code-session-id", session)];
        connection.request("POST", "/v1/messages", &headers, body);
        connection.reply()
    }

    /// How many requests each provider has seen since this was last asked.
    pub fn counts(&self) -> Vec<usize> {
        let all = self.providers.iter();
        let drained = |provider: &FakeProvider| {
            let count = provider.unseen();
            for _ in 0..count {
                provider.seen();
            }
            count
        };
        all.map(drained).collect()
    }

    /// The newest exchange.
    pub fn newest(&self) -> Value {
        self.gatehouse.exchanges().pop().expect("there is one")
    }
}

/// A reply of these bytes, after which the connection is closed.
pub fn raw(text: &str) -> Vec<Act> {
    vec![Act::Send(text.as_bytes().to_vec()), Act::Close]
}

/// An error of the API with this status.
pub fn failing(status: u16, kind: &'static str) -> impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static {
    move |_| {
        let error = serde_json::json!({"type": "error", "error": {"type": kind, "message": "Not now."}});
        gatehouse_testkit::sse::plain(status, &error)
    }
}
