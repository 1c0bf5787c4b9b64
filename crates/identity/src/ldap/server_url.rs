//! Addresses of directory servers.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use rustls::pki_types::ServerName;

/// How a server's address begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Ldap,
    Ldaps,
}

/// The address of a server: `ldaps://HOST[:PORT]` or `ldap://HOST[:PORT]`.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    pub(super) scheme: Scheme,
    /// Without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
}

/// Why a text is no server's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no server's address (expected `ldaps://HOST`, `ldaps://HOST:PORT`, or the same with `ldap`)"
)]
pub struct BadUrl(String);

impl ServerUrl {
    /// Whether the address itself says that the server is on this machine.
    pub(super) fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
    }

    /// The name that the server's certificate must have.
    pub(super) fn certificate_name(&self) -> ServerName<'static> {
        ServerName::try_from(self.host.clone()).expect("checked when the address was read")
    }
}

impl FromStr for ServerUrl {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let bad = || BadUrl(text.chars().take(200).collect());
        let (scheme, rest) = text.split_once("://").ok_or_else(bad)?;
        let (scheme, usual) = match scheme.to_ascii_lowercase().as_str() {
            "ldap" => (Scheme::Ldap, 389),
            "ldaps" => (Scheme::Ldaps, 636),
            _ => return Err(bad()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = if let Some(bracketed) = rest.strip_prefix('[') {
            let (host, port) = bracketed.split_once(']').ok_or_else(bad)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| bad())?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or_else(bad)?) })
        } else {
            match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            }
        };
        let port = match port {
            None => usual,
            Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => port.parse().map_err(|_| bad())?,
            Some(_) => return Err(bad()),
        };
        if port == 0 || host.len() > 253 || ServerName::try_from(host).is_err() {
            return Err(bad());
        }
        Ok(Self { scheme, host: host.to_owned(), port })
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Ldap => "ldap",
            Scheme::Ldaps => "ldaps",
        };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_read() {
        for (text, shown, loopback) in [
            ("ldaps://ldap.example.com", "ldaps://ldap.example.com:636", false),
            ("ldap://ldap.example.com/", "ldap://ldap.example.com:389", false),
            ("LDAP://localhost:1389", "ldap://localhost:1389", true),
            ("ldap://127.8.9.1", "ldap://127.8.9.1:389", true),
            ("ldap://[::1]:1389", "ldap://[::1]:1389", true),
            ("ldaps://[2001:db8::1]", "ldaps://[2001:db8::1]:636", false),
            ("ldap://[::ffff:127.0.0.1]", "ldap://[::ffff:127.0.0.1]:389", true),
            ("ldap://localhost.example.com", "ldap://localhost.example.com:389", false),
            ("ldap://127.0.0.1.example.com", "ldap://127.0.0.1.example.com:389", false),
        ] {
            let url: ServerUrl = text.parse().unwrap();
            assert_eq!((url.to_string().as_str(), url.is_loopback()), (shown, loopback), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "ldap.example.com",
            "ldapi://%2frun%2fslapd",
            "http://ldap.example.com",
            "ldap://",
            "ldap://:389",
            "ldap://a:0",
            "ldap://a:65536",
            "ldap://a:+1",
            "ldap://a:",
            "ldap://a:1:2",
            "ldap://user@ldap.example.com",
            "ldap://ldap.example.com/dc=example",
            "ldap://ldap.example.com?x",
            "ldap://a b",
            "ldap://a\nb",
            "ldap://[::1",
            "ldap://[::1]1",
            "ldap://[localhost]",
            "ldap://::1",
        ] {
            assert!(text.parse::<ServerUrl>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_address_reads_back(text: String) {
            for text in [text.clone(), format!("ldap://{text}"), format!("ldaps://[{text}]:1")] {
                if let Ok(url) = text.parse::<ServerUrl>() {
                    prop_assert_eq!(url.to_string().parse::<ServerUrl>().unwrap(), url.clone());
                    let _ = url.certificate_name();
                }
            }
        }
    }
}
