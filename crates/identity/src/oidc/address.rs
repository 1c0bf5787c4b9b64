//! Addresses of issuers and their endpoints.

use std::fmt;

use url::{Host, Url};

use crate::jwt::shown;

/// Longest address, in bytes.
const MAX_ADDRESS: usize = 2048;

/// Whether `http` may be used to reach this very machine. For tests and development.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loopback {
    /// Only `https`.
    Refused,
    /// Also `http` to a loopback address.
    Allowed,
}

/// An address that is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the address `{address}` cannot be used: {why}")]
pub struct BadAddress {
    /// The address.
    pub address: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Reads the address of an endpoint.
pub(super) fn endpoint(text: &str, loopback: Loopback) -> Result<Url, BadAddress> {
    let bad = |why| BadAddress { address: shown(text), why };
    if text.len() > MAX_ADDRESS {
        return Err(bad("it is too long"));
    }
    let url = Url::parse(text).map_err(|_| bad("it is no absolute URL"))?;
    let plain_allowed = loopback == Loopback::Allowed && is_loopback(&url);
    match url.scheme() {
        "https" => {}
        "http" if plain_allowed => {}
        _ => return Err(bad("it must begin with `https://`")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("it holds a user name or a password"));
    }
    if url.fragment().is_some() {
        return Err(bad("it has a fragment"));
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The identifier of an issuer: an address, compared character by character and never rewritten.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct IssuerUrl {
    text: String,
    plain: bool,
}

impl IssuerUrl {
    /// Reads an issuer's identifier.
    ///
    /// # Errors
    /// If it is no `https` address (`http` to loopback where allowed), or has a query.
    pub fn parse(text: &str, loopback: Loopback) -> Result<Self, BadAddress> {
        let url = endpoint(text, loopback)?;
        if url.query().is_some() {
            return Err(BadAddress { address: shown(text), why: "an issuer's identifier has no query" });
        }
        Ok(Self { text: text.to_owned(), plain: loopback == Loopback::Allowed })
    }

    /// The identifier as it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether its endpoints may be plain `http` on loopback.
    pub(super) const fn loopback(&self) -> Loopback {
        if self.plain { Loopback::Allowed } else { Loopback::Refused }
    }

    /// Where its metadata is (Discovery 1.0 section 4).
    pub(super) fn metadata_address(&self) -> Result<Url, BadAddress> {
        let base = self.text.strip_suffix('/').unwrap_or(&self.text);
        endpoint(&format!("{base}/.well-known/openid-configuration"), self.loopback())
    }
}

impl fmt::Display for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_allowed_loopback_pass() {
        for (text, refused, allowed) in [
            ("https://idp.example.com", true, true),
            ("https://idp.example.com:8443/realms/x", true, true),
            ("http://idp.example.com", false, false),
            ("http://127.0.0.1:9000", false, true),
            ("http://[::1]:9000/a", false, true),
            ("http://localhost:9000", false, true),
            ("http://localhost.example.com", false, false),
            ("http://127.0.0.1.example.com", false, false),
            ("http://10.0.0.1", false, false),
            ("https://user:secret@idp.example.com", false, false),
            ("https://idp.example.com/#x", false, false),
            ("https://idp.example.com/?x=1", false, false),
            ("ftp://idp.example.com", false, false),
            ("file:///etc/passwd", false, false),
            ("javascript:alert(1)", false, false),
            ("//idp.example.com", false, false),
            ("", false, false),
        ] {
            assert_eq!(IssuerUrl::parse(text, Loopback::Refused).is_ok(), refused, "{text}");
            assert_eq!(IssuerUrl::parse(text, Loopback::Allowed).is_ok(), allowed, "{text}");
        }
        assert!(
            IssuerUrl::parse(&format!("https://example.com/{}", "a".repeat(2048)), Loopback::Refused)
                .is_err()
        );
    }

    #[test]
    fn metadata_stands_below_the_issuer() {
        for (issuer, at) in [
            ("https://idp.example.com", "https://idp.example.com/.well-known/openid-configuration"),
            ("https://idp.example.com/", "https://idp.example.com/.well-known/openid-configuration"),
            ("https://idp.example.com/a/b", "https://idp.example.com/a/b/.well-known/openid-configuration"),
        ] {
            let issuer = IssuerUrl::parse(issuer, Loopback::Refused).unwrap();
            assert_eq!(issuer.metadata_address().unwrap().as_str(), at);
        }
    }
}
