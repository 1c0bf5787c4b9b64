//! `[proxy]`: the forward proxy.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use gatehouse_domain::name::Email;
use gatehouse_domain::network::Network;
use gatehouse_domain::proxy::Destination;
use gatehouse_listener::tls::Files;
use gatehouse_proxy::settings::{Limits, Unnamed};

use super::read::{Section, brief};
use super::section::count;
use super::tls::files;
use super::tree::Value;

/// The forward proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    /// Threads; at least 1.
    pub(crate) workers: usize,
    /// Ports that tunnels may go to.
    pub(crate) connect_ports: Vec<u16>,
    /// Ports that plain requests may go to.
    pub(crate) plain_ports: Vec<u16>,
    /// Names of our own gateway besides that of `listen.public_url`.
    pub(crate) gateway_names: Vec<Destination>,
    /// Where connections to them go, if not to the gateway's listener.
    pub(crate) gateway_address: Option<SocketAddr>,
    /// Servers that names are looked up by; none for the system's way.
    pub(crate) name_servers: Vec<SocketAddr>,
    /// People by network.
    pub(crate) sources: Vec<(Network, String)>,
    /// What TLS to the proxy is made from.
    pub(crate) tls: Option<Files>,
    /// What a tunnel may carry that does not name its host in TLS.
    pub(crate) unnamed: Unnamed,
    /// What a person is told to turn to.
    pub(crate) contact: String,
    /// How long records are kept.
    pub(crate) keep: Duration,
    /// Bounds.
    pub(crate) limits: Limits,
}

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// Reads `[proxy]`.
pub(crate) fn proxy(s: &Section<'_, '_>) -> Proxy {
    let unnamed = [("refuse", Unnamed::Refuse), ("tls", Unnamed::Tls), ("anything", Unnamed::Anything)];
    let contact = s.text("contact").unwrap_or_default();
    if contact.len() > 200 || contact.chars().any(char::is_control) {
        s.mistake("contact", "expected at most 200 bytes on one line");
    }
    let gateway_address = s.text("gateway_address").and_then(|_| {
        s.parsed("gateway_address", |text| {
            text.parse::<SocketAddr>().map_err(|_| {
                format!("expected an address and a port such as \"127.0.0.1:8443\", found `{}`", brief(text))
            })
        })
    });
    Proxy {
        workers: match count(s, "workers", 0..=1024) {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        },
        connect_ports: ports(s, "connect_ports"),
        plain_ports: ports(s, "plain_ports"),
        gateway_names: gateway_names(s),
        gateway_address,
        name_servers: name_servers(s),
        sources: sources(s),
        tls: files(s, "tls_certificate", "tls_key"),
        unnamed: s.choice("unnamed", &unnamed),
        contact: contact.to_owned(),
        keep: Duration::from_secs(s.whole("keep_days", 1..=3660) * DAY),
        limits: limits(s),
    }
}

fn limits(s: &Section<'_, '_>) -> Limits {
    Limits {
        max_connections: count(s, "max_connections", 1..=10_000_000),
        max_connections_per_address: count(s, "max_connections_per_address", 1..=10_000_000),
        max_tunnels: count(s, "max_tunnels", 1..=10_000_000),
        max_tunnels_per_user: count(s, "max_tunnels_per_user", 1..=10_000_000),
        max_strangers: u32::try_from(s.whole("max_strangers_per_minute", 1..=1_000_000)).unwrap_or(u32::MAX),
        head: s.seconds("head_seconds", 1..=HOUR),
        hello: s.seconds("hello_seconds", 1..=HOUR),
        resolve: s.seconds("resolve_seconds", 1..=HOUR),
        connect: s.seconds("connect_seconds", 1..=HOUR),
        idle: s.seconds("idle_seconds", 1..=DAY),
        longest: s.seconds("longest_seconds", 1..=30 * DAY),
    }
}

/// Numbers in a list; a variable has them with commas between.
fn ports(s: &Section<'_, '_>, key: &'static str) -> Vec<u16> {
    let expected = "expected a list of ports such as [443]";
    let Some(node) = s.node(key) else { return Vec::new() };
    let texts: Vec<&str> = match &node.value {
        Value::List(items) => {
            let digits = items.iter().map(|item| match &item.value {
                Value::Number(digits) => digits.as_str(),
                Value::Text(_) | Value::Boolean(_) | Value::List(_) | Value::Section(_) | Value::Other(_) => {
                    ""
                }
            });
            digits.collect()
        }
        Value::Text(text) if node.origin.is_text_only() => text.split(',').map(str::trim).collect(),
        Value::Number(digits) if node.origin.is_text_only() => vec![digits.as_str()],
        Value::Text(_) | Value::Number(_) | Value::Boolean(_) | Value::Section(_) | Value::Other(_) => {
            vec![""]
        }
    };
    let read: Vec<u16> =
        texts.iter().filter_map(|text| text.parse().ok().filter(|port| *port != 0)).collect();
    if read.len() != texts.len() {
        s.mistake(key, expected);
    }
    read
}

fn gateway_names(s: &Section<'_, '_>) -> Vec<Destination> {
    let read = |text: &str| {
        let told = |error| {
            s.mistake("gateway_names", format!("`{}`: {error}; expected a name and a port", brief(text)));
        };
        Destination::parse(text, Some(443)).map_err(told)
    };
    s.texts("gateway_names").into_iter().filter_map(|text| read(text).ok()).collect()
}

fn name_servers(s: &Section<'_, '_>) -> Vec<SocketAddr> {
    let read = |text: &str| {
        let bare = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, 53));
        text.parse().or(bare).map_err(|_| {
            let told = format!(
                "expected addresses such as \"10.0.0.53\" or \"10.0.0.53:53\", found `{}`",
                brief(text)
            );
            s.mistake("name_servers", told);
        })
    };
    s.texts("name_servers").into_iter().filter_map(|text| read(text).ok()).collect()
}

/// `sources = { "10.1.2.0/24" = "build@corp.example" }`.
fn sources(s: &Section<'_, '_>) -> Vec<(Network, String)> {
    let expected = "expected people by network, such as { \"10.1.2.0/24\" = \"build@corp.example\" }";
    let Some(node) = s.node("sources") else { return Vec::new() };
    let Value::Section(members) = &node.value else {
        s.mistake("sources", format!("{expected}, found {}", node.value.type_name()));
        return Vec::new();
    };
    let mut out = Vec::new();
    for (network, person) in members {
        let email = person.value.text().and_then(|text| Email::parse(text).ok());
        match (network.parse::<Network>(), email) {
            (Ok(network), Some(email)) => out.push((network, email.as_str().to_owned())),
            (Err(error), _) => s.mistake("sources", error.to_string()),
            (Ok(_), None) => s.mistake("sources", format!("{expected}; `{network}` has no e-mail address")),
        }
    }
    out
}
