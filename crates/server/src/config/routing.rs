//! `[routing]`, `[[alias]]`, `[[route]]` and `[[share]]`.

use std::fmt::Display;
use std::str::FromStr;

use gatehouse_domain::id::{TeamId, UserId};
use gatehouse_domain::model::{ModelScope, is_model_name};
use gatehouse_domain::quota::{MAX_WEIGHT, Queuing, Share};
use gatehouse_domain::routing::{
    Alias, Failover, Member, Route, Routing, Strategy, Thresholds, UnknownModels,
};
use gatehouse_domain::time::UnixMillis;

use super::identity::all;
use super::provider::Provider;
use super::read::{Section, brief};
use super::section::count;

/// How requests are routed, and how often it is tried whether providers can be connected to (0 for never).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Routes {
    /// For the data path.
    pub(crate) routing: Routing,
    /// In seconds.
    pub(crate) health_check_seconds: u64,
}

/// Reads all of it. Providers that routes name must be there.
pub(crate) fn routes(top: &Section<'_, '_>, providers: &[Provider]) -> Option<Routes> {
    let routes = top.section("routing", routing);
    let aliases = all(top, "alias", alias, |alias| &alias.name);
    let listed = all(top, "route", route, |route| &route.name);
    let shares = all(top, "share", share, |share| &share.name);
    for (place, one) in aliases.iter().enumerate() {
        let target = one.model.as_deref();
        if aliases.iter().any(|other| Some(other.name.as_str()) == target) {
            top.mistake(
                "alias",
                format!("`{}` stands for another alias; name the model itself", aliases[place].name),
            );
        }
    }
    for route in &listed {
        for member in &route.members {
            if !providers.iter().any(|provider| provider.name == member.provider) {
                let (route, provider) = (&route.name, brief(&member.provider));
                top.mistake(
                    "route",
                    format!("the route `{route}` names the provider `{provider}`, which there is not"),
                );
            }
        }
    }
    let mut routes = routes?;
    (routes.routing.aliases, routes.routing.routes) = (aliases, listed);
    routes.routing.queuing.shares = shares;
    Some(routes)
}

fn routing(s: &Section<'_, '_>) -> Routes {
    let small = |key, range| u32::try_from(s.whole(key, range)).unwrap_or(u32::MAX);
    let failover = Failover {
        attempts: small("attempts", 1..=8),
        rounds: small("rounds", 1..=8),
        deadline_ms: s.whole("deadline_seconds", 1..=7200) * 1000,
        backoff_base_ms: s.whole("backoff_base_ms", 0..=60_000),
        backoff_max_ms: s.whole("backoff_max_ms", 0..=60_000),
        retry_percent: small("retry_percent", 0..=100),
        retry_burst: small("retry_burst", 0..=10_000),
        breaker: Thresholds {
            failures: small("breaker_failures", 1..=1000),
            open_ms: s.whole("breaker_open_seconds", 1..=3600) * 1000,
            probes: small("breaker_probes", 1..=100),
        },
        cooldown_ms: s.whole("cooldown_seconds", 0..=3600) * 1000,
        cooldown_max_ms: s.whole("cooldown_max_seconds", 0..=86_400) * 1000,
        adaptive: s.boolean("adaptive_concurrency"),
        hedge_after_ms: s.whole("hedge_after_ms", 0..=600_000),
    };
    let unknown = [("pass", UnknownModels::Pass), ("refuse", UnknownModels::Refuse)];
    let routing = Routing {
        unknown_models: s.choice("unknown_models", &unknown),
        reply_headers: s.boolean("reply_headers"),
        learn_for: std::time::Duration::from_secs(s.whole("learn_hours", 0..=8760) * 3600),
        cache_alarm_percent: small("cache_alarm_percent", 0..=100),
        failover,
        queuing: Queuing {
            wait_ms: s.whole("queue_seconds", 0..=120) * 1000,
            per_user: count(s, "queue_per_user", 1..=10_000),
            total: count(s, "queue_total", 1..=10_000),
            shares: Vec::new(),
        },
        aliases: Vec::new(),
        routes: Vec::new(),
    };
    Routes { routing, health_check_seconds: s.whole("health_check_seconds", 0..=3600) }
}

fn alias(s: &Section<'_, '_>) -> Option<Alias> {
    let name = s.parsed("name", model_name);
    let model = s.text("model").and_then(|_| s.parsed("model", model_name));
    let retires = s.text("retires").and_then(|_| s.parsed("retires", day));
    let warn_days = if s.node("warn_days").is_some() { count(s, "warn_days", 0..=3650) } else { 60 };
    if model.is_none() && retires.is_none() {
        s.mistake("model", "it is required, unless `retires` says from when on the name is refused");
        return None;
    }
    Some(Alias { name: name?, model, retires, warn_days: u16::try_from(warn_days).unwrap_or(u16::MAX) })
}

fn route(s: &Section<'_, '_>) -> Option<Route> {
    let name = s.required("name").map(str::to_owned);
    let models = ModelScope::only(&s.texts("models"));
    let models = models.map_err(|error| s.mistake("models", error.to_string())).ok();
    let teams = ids::<TeamId>(s, "teams");
    let words = [Strategy::Weighted, Strategy::LeastBusy, Strategy::Latency];
    let strategy = match s.text("strategy") {
        None => Strategy::Weighted,
        Some(_) => s.choice("strategy", &words.map(|word| (word.as_str(), word))),
    };
    let owned = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect();
    let regions = owned(s.texts("regions"));
    let members = all(s, "providers", member, |member| &member.provider);
    let affinity = s.boolean_or("affinity", true);
    let fallback = s.text("fallback_model").and_then(|_| s.parsed("fallback_model", model_name));
    Some(Route { name: name?, models: models?, teams, strategy, regions, members, affinity, fallback })
}

fn share(s: &Section<'_, '_>) -> Option<Share> {
    let name = s.required("name").map(str::to_owned);
    let weight = u32::try_from(s.whole("weight", 1..=MAX_WEIGHT.into())).unwrap_or(MAX_WEIGHT);
    let (teams, users) = (ids::<TeamId>(s, "teams"), ids::<UserId>(s, "users"));
    if teams.is_empty() && users.is_empty() {
        s.mistake("teams", "name teams or users whose requests it is for");
    }
    Some(Share { name: name?, teams, users, weight })
}

/// Identifiers of a kind.
fn ids<T: FromStr<Err: Display>>(s: &Section<'_, '_>, key: &'static str) -> Vec<T> {
    let read = |text: &str| text.parse::<T>().map_err(|error| s.mistake(key, error.to_string())).ok();
    s.texts(key).into_iter().filter_map(read).collect()
}

fn member(s: &Section<'_, '_>) -> Option<Member> {
    let small = |key, range, unset| {
        if s.node(key).is_none() { unset } else { u32::try_from(s.whole(key, range)).unwrap_or(u32::MAX) }
    };
    let (weight, priority) = (small("weight", 1..=1000, 1), small("priority", 1..=100, 1));
    Some(Member { provider: s.required("name")?.to_owned(), weight, priority })
}

fn model_name(text: &str) -> Result<String, String> {
    if is_model_name(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{}` is not a model's name", brief(text)))
    }
}

fn day(text: &str) -> Result<UnixMillis, String> {
    text.parse().map_err(|_| format!("expected a day such as \"2026-11-30\", found `{}`", brief(text)))
}
