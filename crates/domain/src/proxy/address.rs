//! What kind of address an answer is (IANA special-purpose registries, RFC 6890 and its successors).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Anybody's, on the internet.
    Public,
    /// An organization's own (RFC 1918, RFC 4193).
    Private,
    /// A carrier's (RFC 6598).
    Shared,
    /// This machine.
    Loopback,
    /// This link.
    LinkLocal,
    /// Where a cloud gives machines their credentials.
    Metadata,
    /// No address at all.
    Unspecified,
    /// Many at once.
    Multicast,
    /// Examples.
    Documentation,
    /// Measurements between networks.
    Benchmarking,
    /// Stands for an IPv4 address: NAT64, 6to4, Teredo, IPv4-compatible.
    Translated,
    /// Kept for protocols or for the future.
    Reserved,
}

impl Class {
    /// Its name, as rules and records say it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Shared => "shared",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link-local",
            Self::Metadata => "metadata",
            Self::Unspecified => "unspecified",
            Self::Multicast => "multicast",
            Self::Documentation => "documentation",
            Self::Benchmarking => "benchmarking",
            Self::Translated => "translated",
            Self::Reserved => "reserved",
        }
    }

    /// Whether a rule may open it by naming its network. What is never anybody's service, or could hide another address, is
    /// open to no rule.
    pub const fn may_be_internal(self) -> bool {
        match self {
            Self::Private | Self::Shared | Self::Loopback | Self::Benchmarking => true,
            Self::Public
            | Self::LinkLocal
            | Self::Metadata
            | Self::Unspecified
            | Self::Multicast
            | Self::Documentation
            | Self::Translated
            | Self::Reserved => false,
        }
    }
}

/// Addresses at which the clouds answer their machines: Amazon, Google, Azure and others share the first; Amazon's tasks,
/// Azure's host agent, Alibaba, Oracle.
const METADATA_V4: [Ipv4Addr; 6] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
];
/// Amazon's over IPv6, and Google's.
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// Says what an address is for. An IPv4 address written as an IPv6 one (`::ffff:a.b.c.d`) is judged as what it is.
pub fn classify(address: IpAddr) -> Class {
    match address.to_canonical() {
        IpAddr::V4(v4) => of_v4(v4),
        IpAddr::V6(v6) => of_v6(v6),
    }
}

fn of_v4(v4: Ipv4Addr) -> Class {
    if METADATA_V4.contains(&v4) {
        return Class::Metadata;
    }
    match v4.octets() {
        [0, 0, 0, 0] => Class::Unspecified,
        [127, ..] => Class::Loopback,
        [10, ..] | [192, 168, ..] | [172, 16..=31, ..] => Class::Private,
        [100, 64..=127, ..] => Class::Shared,
        [169, 254, ..] => Class::LinkLocal,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [233, 252, 0, _] => Class::Documentation,
        [198, 18..=19, ..] => Class::Benchmarking,
        // Where 6to4 relays were (RFC 7526).
        [192, 88, 99, _] => Class::Translated,
        [224..=239, ..] => Class::Multicast,
        [0 | 240..=255, ..] | [192, 0, 0, _] => Class::Reserved,
        _ => Class::Public,
    }
}

fn of_v6(v6: Ipv6Addr) -> Class {
    if METADATA_V6.contains(&v6) {
        return Class::Metadata;
    }
    if v6.is_unspecified() {
        return Class::Unspecified;
    }
    if v6.is_loopback() {
        return Class::Loopback;
    }
    match v6.segments() {
        // IPv4-compatible and IPv4-translated (RFC 4291 2.5.5.1, RFC 2765); NAT64 (RFC 6052, RFC 8215), Teredo (RFC 4380),
        // 6to4 (RFC 3056).
        [0, 0, 0, 0, 0 | 0xffff, 0, ..] | [0x64, 0xff9b, ..] | [0x2001, 0, ..] | [0x2002, ..] => {
            Class::Translated
        }
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Class::Documentation,
        [0x2001, 2, 0, ..] => Class::Benchmarking,
        // Protocol assignments (RFC 2928) and ORCHID.
        [0x2001, 0..=0x1ff, ..] => Class::Reserved,
        [first, ..] if first & 0xfe00 == 0xfc00 => Class::Private,
        [first, ..] if first & 0xffc0 == 0xfe80 => Class::LinkLocal,
        [first, ..] if first & 0xff00 == 0xff00 => Class::Multicast,
        // Only 2000::/3 is given out.
        [first, ..] if first & 0xe000 == 0x2000 => Class::Public,
        _ => Class::Reserved,
    }
}
