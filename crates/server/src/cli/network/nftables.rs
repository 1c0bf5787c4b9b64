//! An allow-list as rules for nftables. A firewall knows addresses, not names, so that names are looked up when the rules are
//! made; addresses of public services change, and so must the rules.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, ToSocketAddrs as _};

use gatehouse_domain::mode::Mode;

use super::hosts::{Entry, Machine};
use crate::clock;

/// Rules that were made.
pub(super) struct Made {
    /// The rules.
    pub(super) text: String,
    /// Names that have no address here, or stand for many names.
    pub(super) unknown: Vec<String>,
}

/// The addresses of a host, as this machine finds them.
pub(super) fn look_up(host: &str) -> Vec<IpAddr> {
    let found = (host, 0).to_socket_addrs();
    found.map(|all| all.map(|at| at.ip().to_canonical()).collect()).unwrap_or_default()
}

/// Rules for one kind of machine: what the list names goes out, nothing else does.
pub(super) fn rules(
    mode: Mode,
    machine: Machine,
    entries: &BTreeSet<Entry>,
    look_up: &dyn Fn(&str) -> Vec<IpAddr>,
) -> Made {
    let mut unknown = Vec::new();
    let mut sets: Sets<'_> = BTreeMap::new();
    for protocol in ["tcp", "udp"] {
        for family in ["ipv4_addr", "ipv6_addr"] {
            sets.insert((protocol, family), BTreeMap::new());
        }
    }
    for entry in entries {
        let found = match entry.host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) if entry.host.starts_with("*.") => Vec::new(),
            Err(_) => look_up(&entry.host),
        };
        if found.is_empty() && !unknown.contains(&entry.host) {
            unknown.push(entry.host.clone());
        }
        for address in found {
            let family = if address.is_ipv4() { "ipv4_addr" } else { "ipv6_addr" };
            let set = sets.entry((entry.protocol.as_str(), family)).or_default();
            set.entry((address, entry.port)).or_insert(&entry.host);
        }
    }
    Made { text: text(mode, machine, &sets, &unknown), unknown }
}

/// By protocol and family, each address and port with the first host that has it.
type Sets<'a> = BTreeMap<(&'a str, &'a str), BTreeMap<(IpAddr, u16), &'a str>>;

fn text(mode: Mode, machine: Machine, sets: &Sets<'_>, unknown: &[String]) -> String {
    let mut out = format!(
        "#!/usr/sbin/nft -f\n# What {} machines reach in mode {mode}, and nothing else. Names were looked up at {}: make it anew\n\
         # when addresses change.\n",
        machine.as_str(),
        clock::now()
    );
    for host in unknown {
        // Written to the end by its own line, so that no name can be more than a comment.
        let _ = writeln!(out, "# Not let through, since it has no address here: {}", host.escape_default());
    }
    out.push_str("table inet gatehouse_allow_list\ndelete table inet gatehouse_allow_list\n");
    out.push_str("table inet gatehouse_allow_list {\n");
    for ((protocol, family), elements) in sets {
        let _ = write!(out, "\tset {} {{\n\t\ttype {family} . inet_service\n", name(protocol, family));
        if !elements.is_empty() {
            let all: Vec<String> = elements
                .iter()
                .map(|((address, port), host)| {
                    format!("\t\t\t{address} . {port} comment \"{}\"", brief(host))
                })
                .collect();
            let _ = write!(out, "\t\telements = {{\n{}\n\t\t}}\n", all.join(",\n"));
        }
        out.push_str("\t}\n");
    }
    // Loopback, answers, what IPv6 finds its neighbors by, names, addresses and time.
    out.push_str(
        "\tchain output {\n\t\ttype filter hook output priority filter; policy drop;\n\t\toifname \"lo\" accept\n\
         \t\tct state established,related accept\n\t\ticmpv6 type { 133, 135, 136 } accept\n\
         \t\tudp dport { 53, 67, 123, 547 } accept\n\t\ttcp dport 53 accept\n",
    );
    for (protocol, family) in sets.keys() {
        let ip = if *family == "ipv4_addr" { "ip" } else { "ip6" };
        let _ = writeln!(out, "\t\t{ip} daddr . {protocol} dport @{} accept", name(protocol, family));
    }
    out.push_str("\t\treject with icmpx admin-prohibited\n\t}\n}\n");
    out
}

fn name(protocol: &str, family: &str) -> String {
    format!("{protocol}_{}", if family == "ipv4_addr" { "v4" } else { "v6" })
}

/// A host as a comment, which has at most 128 bytes.
fn brief(host: &str) -> String {
    host.chars().filter(|c| c.is_ascii_alphanumeric() || "-.:_".contains(*c)).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::super::hosts::Protocol;
    use super::*;

    fn entry(host: &str, port: u16) -> Entry {
        let what_for = String::new();
        Entry {
            from: Machine::Client,
            required: true,
            host: host.to_owned(),
            port,
            protocol: Protocol::Tcp,
            what_for,
        }
    }

    #[test]
    fn names_become_addresses_and_what_has_none_is_told() {
        let entries = BTreeSet::from([
            entry("a.example", 443),
            entry("b.example", 443),
            entry("gone.example", 443),
            entry("*.c.example", 443),
            entry("10.0.0.9", 3128),
            entry("fd00::9", 3128),
            entry("evil\"\nexample", 443),
        ]);
        let known = |host: &str| -> Vec<IpAddr> {
            match host {
                "a.example" => vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
                "b.example" => vec!["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()],
                _ => Vec::new(),
            }
        };
        let made = rules(Mode::Gateway, Machine::Client, &entries, &known);
        assert_eq!(made.unknown, ["*.c.example", "evil\"\nexample", "gone.example"]);
        for line in [
            "192.0.2.1 . 443 comment \"a.example\"",
            "192.0.2.2 . 443 comment \"b.example\"",
            "2001:db8::1 . 443 comment \"a.example\"",
            "10.0.0.9 . 3128 comment",
            "fd00::9 . 3128 comment",
            "policy drop",
        ] {
            assert_eq!(made.text.matches(line).count(), 1, "{line}: {}", made.text);
        }
        assert!(!made.text.contains("\nexample"), "{}", made.text);
    }
}
