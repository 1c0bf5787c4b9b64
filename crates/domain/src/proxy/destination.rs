//! Where somebody wants to go, read strictly: what could be read in two ways is refused.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest host name, in bytes (RFC 1035 2.3.4, without the last dot).
const MAX_NAME: usize = 253;

/// A host: a name in lower case without its last dot, or an address. IPv4 addresses written as IPv6 ones are IPv4.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A name.
    Name(String),
    /// An address.
    Address(IpAddr),
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Destination {
    /// The host.
    pub host: Host,
    /// The port; never 0.
    pub port: u16,
}

/// Why a text is no destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadDestination {
    /// There is no port.
    #[error("it has no port")]
    NoPort,
    /// The port is no number from 1 to 65535, or is written oddly.
    #[error("its port is no number from 1 to 65535")]
    Port,
    /// There is a user name in it.
    #[error("it has a user name in it; credentials go into Proxy-Authorization")]
    UserInfo,
    /// There is no host.
    #[error("it has no host")]
    NoHost,
    /// Two dots follow each other, or a name begins with one.
    #[error("its host has an empty label")]
    EmptyLabel,
    /// A name or a label of it is too long.
    #[error("its host is longer than DNS allows")]
    TooLong,
    /// A character that host names do not have.
    #[error("its host has a character that host names do not have (other scripts are written as xn--…)")]
    Character,
    /// A label begins or ends with a hyphen.
    #[error("a label of its host begins or ends with a hyphen")]
    Hyphen,
    /// It looks like an IPv4 address in octal, hexadecimal, or with fewer than four parts.
    #[error("its host is an IPv4 address that is not written as four decimal numbers")]
    OddAddress,
    /// What is between the brackets is no IPv6 address.
    #[error("its host is no IPv6 address")]
    BadV6,
}

impl Host {
    /// Reads a host as it stands in front of a port: IPv6 addresses are in brackets.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, BadDestination> {
        if text.contains('@') {
            return Err(BadDestination::UserInfo);
        }
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(BadDestination::BadV6)?;
            let address: Ipv6Addr = inner.parse().map_err(|_| BadDestination::BadV6)?;
            return Ok(Self::Address(IpAddr::V6(address).to_canonical()));
        }
        let bare = text.strip_suffix('.').unwrap_or(text);
        if bare.is_empty() {
            return Err(if text.is_empty() { BadDestination::NoHost } else { BadDestination::EmptyLabel });
        }
        if bare.len() > MAX_NAME {
            return Err(BadDestination::TooLong);
        }
        bare.split('.').try_for_each(label)?;
        if is_numeric(bare.rsplit('.').next().unwrap_or_default()) {
            // `1.2.3.4.` is a spelling that not every program reads alike.
            let v4: Ipv4Addr = text.parse().map_err(|_| BadDestination::OddAddress)?;
            return Ok(Self::Address(v4.into()));
        }
        Ok(Self::Name(bare.to_ascii_lowercase()))
    }

    /// The name, if it is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Address(_) => None,
        }
    }
}

fn label(label: &str) -> Result<(), BadDestination> {
    if label.is_empty() {
        return Err(BadDestination::EmptyLabel);
    }
    if label.len() > 63 {
        return Err(BadDestination::TooLong);
    }
    if !label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        return Err(BadDestination::Character);
    }
    if label.starts_with('-') || label.ends_with('-') { Err(BadDestination::Hyphen) } else { Ok(()) }
}

/// Whether a last label makes the whole an IPv4 address to some programs (URL Standard, "ends in a number").
fn is_numeric(label: &str) -> bool {
    let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    label.bytes().all(|b| b.is_ascii_digit())
        || hex.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

impl Destination {
    /// Reads `host:port`. Where there is no port, `default` counts if there is one.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str, default: Option<u16>) -> Result<Self, BadDestination> {
        let (host, port) = match (text.rfind(':'), text.rfind(']')) {
            (Some(colon), bracket) if bracket.is_none_or(|bracket| bracket < colon) => {
                (&text[..colon], Some(&text[colon + 1..]))
            }
            _ => (text, None),
        };
        let host = Host::parse(host)?;
        let port = match port {
            Some(digits) => self::port(digits)?,
            None => default.ok_or(BadDestination::NoPort)?,
        };
        Ok(Self { host, port })
    }
}

fn port(digits: &str) -> Result<u16, BadDestination> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    digits.parse().ok().filter(|port| plain && *port != 0).ok_or(BadDestination::Port)
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V6(v6)) => write!(f, "[{v6}]"),
            Self::Address(v4) => v4.fmt(f),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}
