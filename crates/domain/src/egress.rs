//! The way out: what goes directly although there are parent proxies, and which addresses may be reached at all.

use std::net::IpAddr;
use std::str::FromStr;

use crate::network::Network;
use crate::proxy::{Class, Destination, HostPattern, classify};

/// Something that goes directly: a name, `*.` and a name for everything below it (`.corp.example` is the same), `*` for every
/// name, or a network for addresses that are asked for as such; perhaps at one port only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exemption {
    /// The hosts.
    pub hosts: HostPattern,
    /// The one port; none for every port.
    pub port: Option<u16>,
}

/// A text that is no exemption.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a name, `*.` and a name for everything below it, `*` for every name, an address or a network such as \
     \"10.0.0.0/8\", perhaps with `:` and a port behind it, found `{0}`"
)]
pub struct BadExemption(String);

impl Exemption {
    /// Whether this goes directly by it.
    pub fn holds(&self, to: &Destination) -> bool {
        self.port.is_none_or(|port| port == to.port) && self.hosts.fits(&to.host)
    }
}

impl FromStr for Exemption {
    type Err = BadExemption;

    fn from_str(text: &str) -> Result<Self, BadExemption> {
        let bad = || BadExemption(text.chars().take(60).collect());
        if let Some(hosts) = hosts(text) {
            return Ok(Self { hosts, port: None });
        }
        let (front, digits) = text.rsplit_once(':').ok_or_else(bad)?;
        let is_plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
        let port = digits.parse().ok().filter(|port| is_plain && *port != 0).ok_or_else(bad)?;
        // Without its brackets an IPv6 address would swallow the port.
        if front.contains(':') && !front.starts_with('[') {
            return Err(bad());
        }
        Ok(Self { hosts: hosts(front).ok_or_else(bad)?, port: Some(port) })
    }
}

/// The pattern, as rules of the forward proxy have it. Presets are of those alone.
fn hosts(text: &str) -> Option<HostPattern> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let below = bare.strip_prefix('.').map(|name| format!("*.{name}"));
    let pattern: HostPattern = below.as_deref().unwrap_or(bare).parse().ok()?;
    (!matches!(pattern, HostPattern::Preset(_))).then_some(pattern)
}

/// Who says where something is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The operator, in the configuration: it may be inside the organization.
    Configured,
    /// Whoever calls the management API, or a document from outside: it may only be public, or in a network that the operator
    /// has opened.
    Given,
}

/// An address that may not be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("has the address {address}, which is not public ({})", .class.as_str())]
pub struct Closed {
    /// The address.
    pub address: IpAddr,
    /// What it is for.
    pub class: Class,
}

/// Whether an address may be reached. `internal` are the networks that the operator has opened. Nothing opens where machines get
/// their credentials, what is on the link only, and what is no single address.
///
/// # Errors
/// Says which address it is, and what it is for.
pub fn may_reach(address: IpAddr, origin: Origin, internal: &[Network]) -> Result<(), Closed> {
    let class = classify(address);
    let is_open = match class {
        Class::Public => true,
        Class::Metadata | Class::LinkLocal | Class::Unspecified | Class::Multicast => false,
        Class::Private | Class::Shared | Class::Loopback | Class::Benchmarking => {
            origin == Origin::Configured || is_in(address, internal)
        }
        Class::Documentation | Class::Translated | Class::Reserved => is_in(address, internal),
    };
    if is_open { Ok(()) } else { Err(Closed { address, class }) }
}

fn is_in(address: IpAddr, networks: &[Network]) -> bool {
    networks.iter().any(|network| network.holds(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(exemption: &str, to: &str) -> bool {
        exemption.parse::<Exemption>().unwrap().holds(&Destination::parse(to, Some(443)).unwrap())
    }

    #[test]
    fn what_goes_directly_is_read_strictly() {
        for (exemption, direct, by_parent) in [
            ("corp.example", "corp.example", "a.corp.example"),
            ("CORP.example", "corp.EXAMPLE.", "corp.example.org"),
            ("*.corp.example", "a.b.corp.example:8443", "corp.example"),
            (".corp.example", "a.corp.example", "evilcorp.example"),
            ("*", "anything.example", "203.0.113.7"),
            ("10.0.0.0/8", "10.1.2.3", "11.1.2.3"),
            ("10.0.0.0/8", "[::ffff:10.1.2.3]", "ten.example"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("::1", "[::1]", "[::2]"),
            ("[::1]:8443", "[::1]:8443", "[::1]"),
            ("corp.example:8443", "corp.example:8443", "corp.example"),
            ("10.0.0.0/8:80", "10.0.0.1:80", "10.0.0.1"),
        ] {
            assert!(holds(exemption, direct), "{exemption} {direct}");
            assert!(!holds(exemption, by_parent), "{exemption} {by_parent}");
        }
        for text in [
            "",
            " ",
            "*corp.example",
            "a.*.example",
            "corp.example:",
            "corp.example:0",
            "corp.example:099",
            "corp.example:https",
            "10.0.0.1/8",
            "0.0.0.0/0",
            "http://corp.example",
            "preset:core",
            "a b",
            "..",
        ] {
            assert!(text.parse::<Exemption>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn private_addresses_are_for_what_the_operator_wrote() {
        for (address, configured, given) in [
            ("93.184.216.34", true, true),
            ("2606:2800:220:1::1", true, true),
            ("127.0.0.1", true, false),
            ("10.1.2.3", true, false),
            ("172.16.0.1", true, false),
            ("192.168.1.1", true, false),
            ("100.64.0.1", true, false),
            ("::1", true, false),
            ("fd00::1", true, false),
            ("::ffff:10.0.0.1", true, false),
            ("169.254.169.254", false, false),
            ("::ffff:169.254.169.254", false, false),
            ("100.100.100.200", false, false),
            ("fd00:ec2::254", false, false),
            ("168.63.129.16", false, false),
            ("fe80::1", false, false),
            ("0.0.0.0", false, false),
            ("::", false, false),
            ("224.0.0.1", false, false),
            ("255.255.255.255", false, false),
            ("64:ff9b::a00:1", false, false),
            ("2002:a00:1::", false, false),
            ("::10.0.0.1", false, false),
            ("203.0.113.1", false, false),
        ] {
            let address: IpAddr = address.parse().unwrap();
            let may = |origin| may_reach(address, origin, &[]).is_ok();
            assert_eq!((may(Origin::Configured), may(Origin::Given)), (configured, given), "{address}");
        }
    }

    #[test]
    fn the_operator_can_open_networks_but_not_where_credentials_are() {
        let open: Vec<Network> = ["10.9.0.0/16", "169.254.0.0/16", "64:ff9b::/96", "fd00::/8", "128.0.0.0/1"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        for (address, may) in [
            ("10.9.1.1", true),
            ("10.8.1.1", false),
            ("64:ff9b::808:808", true),
            ("fd12::1", true),
            ("fd00:ec2::254", false),
            ("169.254.169.254", false),
            ("169.254.1.1", false),
            ("224.0.0.1", false),
            ("168.63.129.16", false),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(may_reach(address, Origin::Given, &open).is_ok(), may, "{address}");
        }
    }
}
