//! A provider, a Gatehouse in front of it and a key: what most tests begin with.

use gatehouse_testkit::gatehouse::{Builder, Gatehouse};
use gatehouse_testkit::provider::{Act, FakeProvider, Seen};
use gatehouse_testkit::{postgres, sse};
use serde_json::{Value, json};

/// A model that the price table knows.
pub const MODEL: &str = "claude-sonnet-5-5";

/// What most tests begin with.
pub struct World {
    pub provider: FakeProvider,
    pub gatehouse: Gatehouse,
    pub key: String,
    pub key_id: String,
}

/// A world on SQLite whose provider answers by this script.
pub fn world(script: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static) -> World {
    configured("", "sqlite", script)
}

/// A world with further configuration and this store.
pub fn configured(
    config: &str,
    store: &str,
    script: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static,
) -> World {
    built(|builder| builder.store(store).config(config), script)
}

/// A world that is built by more than configuration.
pub fn built(
    more: impl FnOnce(Builder) -> Builder,
    script: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static,
) -> World {
    let provider = FakeProvider::start(script);
    let gatehouse = more(Builder::new(env!("CARGO_BIN_EXE_gatehouse"), &provider.url)).start();
    let (key_id, key) = gatehouse.key("dev@example.com", &[]);
    World { provider, gatehouse, key, key_id }
}

/// A world on this store that has an address for people's browsers.
pub fn reachable(store: &str, script: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static) -> World {
    built(|builder| builder.store(store).public_url("http://localhost:8080"), script)
}

/// The stores to run on: always SQLite, PostgreSQL where a server is at hand.
pub fn stores() -> Vec<String> {
    std::iter::once("sqlite".to_owned()).chain(postgres::fresh()).collect()
}

/// A provider that answers as asked, streamed or not, with these tokens.
pub fn echo(input: u64, output: u64) -> impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static {
    move |seen| {
        let asked: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
        let model = asked["model"].as_str().unwrap_or(MODEL);
        if seen.line.contains("count_tokens") {
            sse::plain(200, &json!({"input_tokens": input}))
        } else if asked["stream"] == json!(true) {
            sse::streamed(model, "forty-two", &sse::usage(input, output))
        } else {
            sse::message(model, "forty-two", &sse::usage(input, output))
        }
    }
}

/// A request's body.
pub fn ask(stream: bool) -> Vec<u8> {
    json!({"model": MODEL, "max_tokens": 100, "stream": stream, "messages": [{"role": "user", "content": "hi"}]})
        .to_string()
        .into_bytes()
}

impl World {
    /// The only exchange there is.
    pub fn only_exchange(&self) -> Value {
        let all = self.gatehouse.exchanges();
        assert_eq!(all.len(), 1, "not one exchange: {all:#?}");
        all.into_iter().next().expect("just counted")
    }
}
