//! `[egress]`: the way out.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use gatehouse_domain::egress::Exemption;
use gatehouse_domain::network::Network;
use gatehouse_domain::proxy::{Destination, HostPattern};

use super::identity::{all, secret};
use super::provider::{SecretSource, valid_name};
use super::read::{Section, brief};

/// The way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Egress {
    /// What goes directly although there are parents.
    pub(crate) exempt: Vec<Exemption>,
    /// Networks that others than the operator may name hosts in.
    pub(crate) internal: Vec<Network>,
    /// To connect to one parent.
    pub(crate) connect: Duration,
    /// After how long one that does not work is looked at again.
    pub(crate) retry: Duration,
    /// Parent proxies, in the order in which they are asked.
    pub(crate) parents: Vec<Parent>,
    /// Hosts with certificates of their own.
    pub(crate) special: Vec<Special>,
}

/// A parent proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parent {
    /// Its name; unique.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) at: Destination,
    /// Whether it is spoken to by TLS.
    pub(crate) is_https: bool,
    /// The user name and where the password is.
    pub(crate) credentials: Option<(String, SecretSource)>,
    /// Certificates to trust besides the system's.
    pub(crate) ca_file: Option<PathBuf>,
}

/// Hosts with certificates of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Special {
    /// Its name; unique.
    pub(crate) name: String,
    /// The hosts.
    pub(crate) hosts: Vec<HostPattern>,
    /// Certificates to trust besides the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// What is shown to them: a certificate with its chain, and its key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
}

/// Reads `[egress]`.
pub(crate) fn egress(s: &Section<'_, '_>) -> Egress {
    Egress {
        exempt: list(s, "no_proxy"),
        internal: list(s, "internal"),
        connect: s.seconds("connect_seconds", 1..=300),
        retry: s.seconds("retry_seconds", 1..=3600),
        parents: all(s, "parent", parent, |one| &one.name),
        special: all(s, "destination", special, |one| &one.name),
    }
}

/// A list of texts, each of which is read; what is wrong with each is told.
fn list<T: FromStr<Err: ToString>>(s: &Section<'_, '_>, key: &'static str) -> Vec<T> {
    let read = |text: &str| text.parse().map_err(|error: T::Err| s.mistake(key, error.to_string())).ok();
    s.texts(key).into_iter().filter_map(read).collect()
}

fn parent(s: &Section<'_, '_>) -> Option<Parent> {
    let (name, url) = (s.parsed("name", valid_name), s.parsed("url", address));
    let username = s.text("username");
    if username.is_some_and(|name| name.contains(':') || name.chars().any(char::is_control)) {
        s.mistake("username", "a name with a colon or control characters cannot be sent");
    }
    let password = s.text("password").and_then(|text| secret(s, "password", text));
    let credentials = match (username, password) {
        (Some(name), Some(password)) => Some((name.to_owned(), password)),
        (None, None) => None,
        // What is wrong with a password that is there was said.
        (Some(_), None) if s.text("password").is_some() => None,
        (Some(_), None) | (None, Some(_)) => {
            s.mistake("username", "username and password go together");
            None
        }
    };
    let ca_file = s.text("ca_file").map(PathBuf::from);
    let (is_https, at) = url?;
    if ca_file.is_some() && !is_https {
        s.mistake("ca_file", "there is no certificate where the url begins with http://");
    }
    Some(Parent { name: name?, at, is_https, credentials, ca_file })
}

/// `http://host:port` or `https://host:port`.
fn address(text: &str) -> Result<(bool, Destination), String> {
    let expected = "expected an address such as \"http://proxy.corp.example:3128\"";
    if text.contains('@') {
        // It may hold a password, and is not repeated.
        return Err(format!("{expected}: credentials go into `username` and `password`"));
    }
    let (is_https, rest) = match text.split_once("://") {
        Some(("http", rest)) => (false, rest),
        Some(("https", rest)) => (true, rest),
        _ => return Err(format!("{expected}, found `{}`", brief(text))),
    };
    let at = Destination::parse(rest.strip_suffix('/').unwrap_or(rest), None);
    at.map(|at| (is_https, at)).map_err(|error| format!("{expected}: {error}"))
}

fn special(s: &Section<'_, '_>) -> Option<Special> {
    let name = s.parsed("name", valid_name);
    let hosts: Vec<HostPattern> = list(s, "hosts");
    if hosts.iter().any(|pattern| matches!(pattern, HostPattern::Preset(_))) {
        s.mistake("hosts", "presets are for rules of the forward proxy");
    } else if s.texts("hosts").is_empty() {
        s.mistake("hosts", "it is required");
    }
    let path = |key| s.text(key).map(PathBuf::from);
    let ca_file = path("ca_file");
    let identity = match (path("client_certificate"), path("client_key")) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            s.mistake("client_key", "client_certificate and client_key go together");
            None
        }
    };
    Some(Special { name: name?, hosts, ca_file, identity })
}
