//! The sections of the configuration, except providers and prices.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use gatehouse_control::portal::PublicUrl;
use gatehouse_domain::network::{BadNetwork, ClientHeader, Proxies};
use gatehouse_gateway::settings::{Abandoned, ClientGone, Limits};

use super::read::{Section, brief};

/// Addresses to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listen {
    /// For model requests.
    pub(crate) gateway: SocketAddr,
    /// For the management API.
    pub(crate) admin: SocketAddr,
    /// For the forward proxy; it is off without.
    pub(crate) proxy: Option<SocketAddr>,
    /// For telemetry by gRPC; it is not taken that way without.
    pub(crate) otlp: Option<SocketAddr>,
    /// Where clients and browsers reach the gateway.
    pub(crate) public_url: Option<PublicUrl>,
    /// Proxies that are believed when they say for whom they ask.
    pub(crate) proxies: Proxies,
    /// Listeners whose connections from these begin with a preamble of the PROXY protocol.
    pub(crate) announced: Announced,
}

/// Listeners that are told by the PROXY protocol for whom a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one for each listener")]
pub(crate) struct Announced {
    /// The gateway's.
    pub(crate) gateway: bool,
    /// That of the management API.
    pub(crate) admin: bool,
    /// The forward proxy's.
    pub(crate) proxy: bool,
    /// That for telemetry by gRPC.
    pub(crate) otlp: bool,
}

/// Reads `[listen]`.
pub(crate) fn listen(s: &Section<'_, '_>) -> Option<Listen> {
    let (proxy, otlp) = (off_or_address(s, "proxy"), off_or_address(s, "otlp"));
    // All are read before one is given up: a mistake in one must not hide another's.
    let (gateway, admin) = (s.parsed("gateway", address), s.parsed("admin", address));
    let public_url = s.text("public_url").and_then(|_| s.parsed("public_url", PublicUrl::parse));
    let proxies = proxies(s);
    let announced = announced(s, &proxies);
    let (gateway, admin) = (gateway?, admin?);
    let (Ok(proxy), Ok(otlp)) = (proxy, otlp) else { return None };
    if gateway == admin && gateway.port() != 0 {
        s.mistake(
            "admin",
            format!("`{admin}` is already the gateway's address; the two never share a listener"),
        );
    }
    let mut taken = vec![gateway, admin];
    for (key, listener) in [("proxy", proxy), ("otlp", otlp)] {
        let Some(listener) = listener.filter(|listener| listener.port() != 0) else { continue };
        if taken.contains(&listener) {
            s.mistake(key, "another listener has this address already; they never share one");
        }
        taken.push(listener);
    }
    Some(Listen { gateway, admin, proxy, otlp, public_url, proxies, announced })
}

fn announced(s: &Section<'_, '_>, proxies: &Proxies) -> Announced {
    let mut announced = Announced::default();
    for name in s.texts("proxy_protocol") {
        match name {
            "gateway" => announced.gateway = true,
            "admin" => announced.admin = true,
            "proxy" => announced.proxy = true,
            "otlp" => announced.otlp = true,
            other => {
                let expected = "expected \"gateway\", \"admin\", \"proxy\" or \"otlp\"";
                let told = format!("{expected}, found `{}`", brief(other));
                s.mistake("proxy_protocol", told);
            }
        }
    }
    if announced != Announced::default() && proxies.is_empty() {
        s.mistake("proxy_protocol", "nobody is believed: name the proxies in listen.trusted_proxies");
    }
    announced
}

/// The address of a listener that may be off.
fn off_or_address(s: &Section<'_, '_>, key: &'static str) -> Result<Option<SocketAddr>, Mistaken> {
    match s.text(key) {
        None | Some("off") => Ok(None),
        Some(_) => s.parsed(key, address).map(Some).ok_or(Mistaken),
    }
}

/// There was a mistake, which has been noted.
struct Mistaken;

fn proxies(s: &Section<'_, '_>) -> Proxies {
    let read = |text: &str| {
        text.parse().map_err(|error: BadNetwork| s.mistake("trusted_proxies", error.to_string()))
    };
    let header = s.choice(
        "client_header",
        &[("x-forwarded-for", ClientHeader::XForwardedFor), ("forwarded", ClientHeader::Forwarded)],
    );
    let named = s.texts("trusted_proxies").into_iter().filter_map(|text| read(text).ok()).collect();
    Proxies::new(named).writing(header)
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let given =
        text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    given.parse().map_err(|_| {
        format!(
            "expected an address and a port such as \"127.0.0.1:8080\" or \"[::]:8080\", found `{}`",
            brief(text)
        )
    })
}

/// The database.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Store {
    /// `sqlite`, or an address that begins with `postgres://` and may hold a password: never show it.
    pub(crate) url: String,
}

/// Reads `[store]`.
pub(crate) fn store(s: &Section<'_, '_>) -> Option<Store> {
    let expected = "expected \"sqlite\" or an address such as \"postgres://user:password@host:5432/name\"";
    s.parsed("url", |text| match text.split_once("://") {
        None if text == "sqlite" => Ok(Store { url: text.to_owned() }),
        Some(("postgres" | "postgresql", rest)) if !rest.is_empty() => Ok(Store { url: text.to_owned() }),
        // What was given is not repeated: it may hold a password.
        _ => Err(expected),
    })
}

/// Where nodes count together.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Counters {
    /// Each node for itself.
    Alone(WhenOthers),
    /// Together.
    Together {
        /// Of a Valkey or Redis server; it may hold a password: never show it.
        url: String,
        /// How long a request waits for it.
        patience: Duration,
    },
}

/// What a node does that counts for itself and finds other nodes in its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenOthers {
    /// It says so.
    Warn,
    /// It does not start.
    Refuse,
}

impl std::fmt::Display for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Alone(_) => f.write_str("memory"),
            Self::Together { .. } => f.write_str("shared"),
        }
    }
}

/// Reads `[counters]`.
pub(crate) fn counters(s: &Section<'_, '_>) -> Option<Counters> {
    let patience = Duration::from_millis(s.whole("patience_ms", 10..=10_000));
    let when_others = s.choice("when_others", &[("warn", WhenOthers::Warn), ("refuse", WhenOthers::Refuse)]);
    s.parsed("url", |text| match text.split_once("://") {
        None if text == "memory" => Ok(Counters::Alone(when_others)),
        Some(("redis" | "rediss" | "valkey" | "valkeys", rest)) if !rest.is_empty() => {
            Ok(Counters::Together { url: text.to_owned(), patience })
        }
        // What was given is not repeated: it may hold a password.
        _ => Err("expected \"memory\" or an address such as \"redis://:password@host:6379\""),
    })
}

/// The data path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gateway {
    /// Threads; at least 1.
    pub(crate) workers: usize,
    /// Bounds on what clients may use.
    pub(crate) limits: Limits,
    /// What happens to replies whose client has left.
    pub(crate) client_gone: ClientGone,
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const HOUR: u64 = 3600;

/// Reads `[gateway]`.
pub(crate) fn gateway(s: &Section<'_, '_>) -> Gateway {
    let gone = [("cancel", Abandoned::Cancel), ("drain", Abandoned::Drain)];
    let size = |key, range, unit| s.whole(key, range).saturating_mul(unit);
    let (max_body, body_budget) =
        (size("max_body_mib", 1..=1024, MIB), size("body_budget_mib", 1..=1_048_576, MIB));
    if body_budget < max_body {
        s.mistake(
            "body_budget_mib",
            "it is smaller than gateway.max_body_mib, so the largest body could never be served",
        );
    }
    let limits = Limits {
        max_body,
        body_budget,
        max_head: usize::try_from(size("max_head_kib", 8..=1024, KIB)).unwrap_or(usize::MAX),
        max_connections: count(s, "max_connections", 1..=10_000_000),
        max_connections_per_address: count(s, "max_connections_per_address", 1..=10_000_000),
        max_in_flight: count(s, "max_in_flight", 1..=10_000_000),
        head: s.seconds("head_seconds", 1..=HOUR),
        body_idle: s.seconds("body_idle_seconds", 1..=HOUR),
        body: s.seconds("body_seconds", 1..=HOUR),
        idle: s.seconds("idle_seconds", 1..=24 * HOUR),
        write_stall: s.seconds("write_stall_seconds", 1..=HOUR),
        ping: s.seconds("ping_seconds", 1..=HOUR),
    };
    let client_gone = ClientGone {
        stream: s.choice("client_gone_stream", &gone),
        plain: s.choice("client_gone_plain", &gone),
        drain: s.seconds("client_gone_drain_seconds", 0..=HOUR),
    };
    let workers = match count(s, "workers", 0..=1024) {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    };
    Gateway { workers, limits, client_gone }
}

pub(super) fn count(s: &Section<'_, '_>, key: &'static str, range: std::ops::RangeInclusive<u64>) -> usize {
    usize::try_from(s.whole(key, range)).unwrap_or(usize::MAX)
}

/// Sizes of the journal in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Journal {
    /// All files together.
    pub(crate) max: u64,
    /// One file.
    pub(crate) segment: u64,
}

/// Reads `[journal]`.
pub(crate) fn journal(s: &Section<'_, '_>) -> Journal {
    let (max, segment) = (s.whole("max_mib", 4..=1_048_576), s.whole("segment_mib", 1..=1024));
    if max < segment.saturating_mul(4) {
        s.mistake("max_mib", "it must hold at least four files of journal.segment_mib");
    }
    Journal { max: max * MIB, segment: segment * MIB }
}

/// How the node stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Drain {
    /// How long open streams may go on.
    pub(crate) patience: Duration,
}

/// Reads `[drain]`.
pub(crate) fn drain(s: &Section<'_, '_>) -> Drain {
    Drain { patience: s.seconds("seconds", 0..=24 * HOUR) }
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Human on a terminal, else JSON.
    Auto,
    /// For people.
    Human,
    /// For programs.
    Json,
}

/// What is logged and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Log {
    /// The form of lines.
    pub(crate) format: LogFormat,
    /// What is logged, in the syntax of `EnvFilter`; it parses.
    pub(crate) filter: String,
}

/// Reads `[log]`.
pub(crate) fn log(s: &Section<'_, '_>) -> Option<Log> {
    let formats = [("auto", LogFormat::Auto), ("human", LogFormat::Human), ("json", LogFormat::Json)];
    let format = s.choice("format", &formats);
    let filter = s.parsed("filter", |text| match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("expected a filter such as \"info\" or \"warn,gatehouse=debug\": {error}")),
    })?;
    Some(Log { format, filter })
}

/// How long a node may go by the policy it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// After so long without a look at the newest one it is stale.
    pub(crate) stale: Duration,
    /// What a node does then.
    pub(crate) when_stale: WhenStale,
}

/// What a node does whose policy is stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenStale {
    /// Goes on and stays ready.
    Serve,
    /// Is not ready, so that requests go to other nodes.
    Drain,
}

/// Reads `[policy]`.
pub(crate) fn policy(s: &Section<'_, '_>) -> Policy {
    let stances = [("serve", WhenStale::Serve), ("drain", WhenStale::Drain)];
    Policy { stale: s.seconds("stale_seconds", 5..=24 * HOUR), when_stale: s.choice("when_stale", &stances) }
}

/// What settings for clients may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Whether they may make programs run on people's machines.
    pub(crate) allow_commands: bool,
}

/// Reads `[settings]`.
pub(crate) fn settings(s: &Section<'_, '_>) -> Settings {
    Settings { allow_commands: s.boolean("allow_commands") }
}

/// When the audit log is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Audit {
    /// After so many new entries.
    pub(crate) entries: u64,
    /// After so long.
    pub(crate) interval: Duration,
}

/// Reads `[audit]`.
pub(crate) fn audit(s: &Section<'_, '_>) -> Audit {
    Audit {
        entries: s.whole("checkpoint_entries", 1..=1_000_000),
        interval: s.seconds("checkpoint_seconds", 1..=24 * HOUR),
    }
}

/// What directories are told by SCIM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scim {
    /// The address of the SCIM endpoints as directories reach it, without a `/` at its end; empty: the admin listener's.
    pub(crate) base_url: String,
}

/// Reads `[scim]`.
pub(crate) fn scim(s: &Section<'_, '_>) -> Option<Scim> {
    let expected = "expected an address such as \"https://gatehouse.example.com/scim/v2\", or nothing";
    if s.text("base_url").is_none() {
        return Some(Scim { base_url: String::new() });
    }
    s.parsed("base_url", |text| {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let fits = |rest: &str| {
            !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic() && !b"?#\"<>".contains(&b))
        };
        if rest.is_some_and(fits) {
            Ok(Scim { base_url: text.trim_end_matches('/').to_owned() })
        } else {
            Err(expected)
        }
    })
}

/// Where the master key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MasterKeySource {
    /// A file, relative to the data directory; made at first start if it is not there.
    File(PathBuf),
    /// A variable.
    Env(String),
    /// The standard output of a command, run by `/bin/sh -c`.
    Exec(String),
}

/// The master keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Secrets {
    /// The one that seals.
    pub(crate) master_key: MasterKeySource,
    /// Those that may have sealed before.
    pub(crate) previous: Vec<MasterKeySource>,
}

/// Reads `[secrets]`.
pub(crate) fn secrets(s: &Section<'_, '_>) -> Option<Secrets> {
    let previous = s.texts("previous_master_keys");
    let previous = previous
        .into_iter()
        .filter_map(|text| master_key(text).map_err(|error| s.mistake("previous_master_keys", error)).ok());
    let previous = previous.collect();
    Some(Secrets { master_key: s.parsed("master_key", master_key)?, previous })
}

fn master_key(text: &str) -> Result<MasterKeySource, &'static str> {
    match text.split_once(':') {
        Some(("file", path)) if !path.is_empty() => Ok(MasterKeySource::File(path.into())),
        Some(("env", name)) if !name.is_empty() => Ok(MasterKeySource::Env(name.to_owned())),
        Some(("exec", command)) if !command.is_empty() => Ok(MasterKeySource::Exec(command.to_owned())),
        // What was given is not repeated: it may be the key.
        _ => Err(
            "expected \"file:PATH\", \"env:VARIABLE\" or \"exec:COMMAND\"; the key itself is not accepted here",
        ),
    }
}
