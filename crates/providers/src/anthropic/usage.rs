//! Usage objects: per field the last figure that was said, and only figures that can be believed.

use gatehouse_domain::usage::{Advisor, Geo, ServerTools, ServiceTier, Speed, Tokens, Usage};
use serde_json::Value;

/// The largest count of tokens that is believed: a hundred times the largest context there is, since one reply may add up
/// many iterations.
const MAX_TOKENS: u64 = 100_000_000;
/// The largest count of a server tool's uses that is believed.
const MAX_USES: u64 = 10_000;
/// Most iterations that are looked at.
const MAX_ITERATIONS: usize = 1000;

/// Figures gathered from one or more usage objects of the same reply.
///
/// Within a stream a later figure replaces an earlier one, but not with `null`, and for input not with zero: the last
/// event may leave out or zero what the first one said (as the Claude Code client reads it, found by running it).
#[derive(Debug, Clone, Default)]
pub(super) struct Figures {
    counts: Counts,
    thinking: Option<u64>,
    server_tools: ServerTools,
    tier: ServiceTier,
    speed: Speed,
    geo: Geo,
    advisors: Vec<Advisor>,
    /// A figure was negative, broken, absurd or of a wrong type.
    pub(super) suspect: bool,
}

/// Token counts of one inference, as said.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    input: u64,
    output: Option<u64>,
    cache_read: u64,
    cache_write: u64,
    /// Of the cache writes, those that live for five minutes.
    short: u64,
    /// Those that live for an hour.
    long: u64,
}

impl Counts {
    fn merge(&mut self, usage: &Value, suspect: &mut bool) {
        let mut replace = |slot: &mut u64, name: &str| {
            if let Some(count) = tokens(usage.get(name), suspect).filter(|count| *count > 0) {
                *slot = count;
            }
        };
        replace(&mut self.input, "input_tokens");
        replace(&mut self.cache_read, "cache_read_input_tokens");
        replace(&mut self.cache_write, "cache_creation_input_tokens");
        if let Some(output) = tokens(usage.get("output_tokens"), suspect) {
            self.output = Some(output);
        }
        if let Some(split) = usage.get("cache_creation").filter(|split| split.is_object()) {
            if let Some(short) = tokens(split.get("ephemeral_5m_input_tokens"), suspect) {
                self.short = short;
            }
            if let Some(long) = tokens(split.get("ephemeral_1h_input_tokens"), suspect) {
                self.long = long;
            }
        }
    }

    /// Cache writes that the split does not explain count as the short-lived kind.
    fn tokens(&self) -> Tokens {
        let (cache_write_5m, cache_write_1h) = if self.cache_write == 0 {
            (self.short, self.long)
        } else {
            let long = self.long.min(self.cache_write);
            (self.cache_write - long, long)
        };
        Tokens {
            input: self.input,
            cache_write_5m,
            cache_write_1h,
            cache_read: self.cache_read,
            output: self.output.unwrap_or(0),
        }
    }
}

impl Figures {
    /// Takes a usage object over what was gathered so far. Anything else than an object is suspect.
    pub(super) fn merge(&mut self, usage: &Value) {
        if !usage.is_object() {
            self.suspect |= !usage.is_null();
            return;
        }
        self.counts.merge(usage, &mut self.suspect);
        let details = usage.get("output_tokens_details");
        if let Some(thinking) = tokens(details.and_then(|d| d.get("thinking_tokens")), &mut self.suspect) {
            self.thinking = Some(thinking);
        }
        if let Some(tools) = usage.get("server_tool_use").filter(|tools| tools.is_object()) {
            self.merge_tools(tools);
        }
        match usage.get("service_tier").and_then(Value::as_str) {
            Some("batch") => self.tier = ServiceTier::Batch,
            Some("priority") => self.tier = ServiceTier::Priority,
            Some(_) => self.tier = ServiceTier::Standard,
            None => {}
        }
        match usage.get("speed").and_then(Value::as_str) {
            Some("fast") => self.speed = Speed::Fast,
            Some(_) => self.speed = Speed::Standard,
            None => {}
        }
        match usage.get("inference_geo").and_then(Value::as_str) {
            Some("us") => self.geo = Geo::Us,
            Some(_) => self.geo = Geo::Global,
            None => {}
        }
        if let Some(iterations) = usage.get("iterations").and_then(Value::as_array) {
            self.merge_iterations(iterations);
        }
    }

    fn merge_tools(&mut self, tools: &Value) {
        let mut replace = |slot: &mut u64, name: &str| {
            if let Some(count) = count(tools.get(name), MAX_USES, &mut self.suspect) {
                *slot = count;
            }
        };
        replace(&mut self.server_tools.web_search, "web_search_requests");
        replace(&mut self.server_tools.web_fetch, "web_fetch_requests");
        replace(&mut self.server_tools.code_execution, "code_execution_requests");
    }

    /// Of the iterations only advisors matter: all others are in the sums already.
    fn merge_iterations(&mut self, iterations: &[Value]) {
        self.suspect |= iterations.len() > MAX_ITERATIONS;
        let advisors = iterations.iter().take(MAX_ITERATIONS).filter(|it| it["type"] == "advisor_message");
        self.advisors = advisors
            .map(|it| {
                let mut counts = Counts::default();
                counts.merge(it, &mut self.suspect);
                let model = super::name(it.get("model")).unwrap_or_else(|| "unnamed-advisor".to_owned());
                Advisor { model, tokens: counts.tokens() }
            })
            .collect();
    }

    /// The output tokens said so far.
    pub(super) fn output(&self) -> Option<u64> {
        self.counts.output
    }

    /// What it adds up to.
    pub(super) fn usage(self) -> Usage {
        Usage {
            tokens: self.counts.tokens(),
            thinking: self.thinking.unwrap_or(0),
            server_tools: self.server_tools,
            tier: self.tier,
            speed: self.speed,
            geo: self.geo,
            advisors: self.advisors,
        }
    }
}

/// A count of tokens, if it is one.
fn tokens(value: Option<&Value>, suspect: &mut bool) -> Option<u64> {
    count(value, MAX_TOKENS, suspect)
}

/// A count, if it is one and can be believed.
fn count(value: Option<&Value>, most: u64, suspect: &mut bool) -> Option<u64> {
    let value = value.filter(|value| !value.is_null())?;
    let count = value.as_u64().filter(|count| *count <= most);
    *suspect |= count.is_none();
    count
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn gathered(objects: &[Value]) -> (Usage, bool) {
        let mut figures = Figures::default();
        for object in objects {
            figures.merge(object);
        }
        (figures.clone().usage(), figures.suspect)
    }

    /// Five-minute and one-hour writes of one usage object.
    fn writes(usage: &Value) -> (u64, u64) {
        let tokens = gathered(std::slice::from_ref(usage)).0.tokens;
        (tokens.cache_write_5m, tokens.cache_write_1h)
    }

    #[test]
    fn cache_writes_split_as_the_client_splits_them() {
        let split = json!({"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 200});
        for (total, expected) in [
            (json!(600), (400, 200)),
            (json!(1000), (800, 200)),
            (json!(100), (0, 100)),
            (json!(0), (400, 200)),
            (json!(null), (400, 200)),
        ] {
            let usage = json!({"cache_creation_input_tokens": total, "cache_creation": split});
            assert_eq!(writes(&usage), expected, "{usage}");
        }
        assert_eq!(writes(&json!({"cache_creation_input_tokens": 7})), (7, 0));
    }

    #[test]
    fn later_figures_replace_earlier_ones_but_not_with_nothing() {
        let start =
            json!({"input_tokens": 10, "output_tokens": 1, "cache_read_input_tokens": 5, "speed": "fast"});
        let end = json!({"input_tokens": 0, "output_tokens": 9, "cache_read_input_tokens": null});
        let (usage, suspect) = gathered(&[start, end]);
        assert_eq!((usage.tokens.input, usage.tokens.output, usage.tokens.cache_read), (10, 9, 5));
        assert_eq!((usage.speed, suspect), (Speed::Fast, false));
        // A split whose halves are null in the last event stays as it was: the hour's writes cost more.
        let start =
            json!({"cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200}});
        let end =
            json!({"cache_creation": {"ephemeral_5m_input_tokens": null, "ephemeral_1h_input_tokens": null}});
        let tokens = gathered(&[start, end]).0.tokens;
        assert_eq!((tokens.cache_write_5m, tokens.cache_write_1h), (100, 200));
    }

    #[test]
    fn absurd_figures_count_as_absent() {
        for bad in [
            json!(-1),
            json!(1.5),
            json!("7"),
            json!([]),
            json!(1e300),
            json!(u64::MAX),
            json!(MAX_TOKENS + 1),
        ] {
            let (usage, suspect) = gathered(&[json!({"input_tokens": bad, "output_tokens": 3})]);
            assert_eq!((usage.tokens.input, usage.tokens.output, suspect), (0, 3, true), "{bad}");
        }
        let (usage, suspect) =
            gathered(&[json!({"server_tool_use": {"web_search_requests": 1_000_000_000_000_u64}})]);
        assert_eq!((usage.server_tools.web_search, suspect), (0, true));
        assert!(gathered(&[json!("usage")]).1);
        assert!(!gathered(&[Value::Null]).1);
    }

    #[test]
    fn only_advisors_are_billed_apart() {
        let usage = json!({"input_tokens": 1, "output_tokens": 2, "iterations": [
            {"type": "message", "input_tokens": 1, "output_tokens": 2},
            {"type": "compaction", "input_tokens": 500, "output_tokens": 3},
            {"type": "advisor_message", "model": "m", "input_tokens": 4, "output_tokens": 5, "speed": "fast"}]});
        let (usage, _) = gathered(&[usage]);
        let tokens = Tokens { input: 4, output: 5, ..Tokens::default() };
        assert_eq!(usage.advisors, [Advisor { model: "m".to_owned(), tokens }]);
        assert_eq!((usage.tokens.input, usage.speed), (1, Speed::Standard));
    }
}
