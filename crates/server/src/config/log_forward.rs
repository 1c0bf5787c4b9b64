//! `[[log_forward]]`: where the log is handed to.

use std::path::PathBuf;

use gatehouse_control::log_forward::Start;
use gatehouse_store::log_forward::Exchanges;

use super::identity::{all, secret};
use super::provider::{SecretSource, valid_base_url, valid_name};
use super::read::Section;

/// A destination of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogForward {
    /// Its name; unique.
    pub(crate) name: String,
    /// What it is.
    pub(crate) kind: ForwardKind,
    /// Whether it is given exchanges too.
    pub(crate) exchanges: Exchanges,
    /// Where it begins when it is new.
    pub(crate) start: Start,
}

/// What a destination is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ForwardKind {
    /// A syslog receiver (RFC 5424).
    Syslog {
        /// How it is reached.
        by: Transport,
        /// Its host.
        host: String,
        /// Its port.
        port: u16,
        /// When a batch counts as delivered.
        confirm: Confirm,
        /// Certificates to trust besides the system's.
        ca_file: Option<PathBuf>,
    },
    /// A file on this machine, a JSON object a line.
    File {
        /// Where.
        path: PathBuf,
    },
    /// An address that takes batches by POST, a JSON object a line.
    Http {
        /// The address.
        url: String,
        /// A bearer token to send.
        token: Option<SecretSource>,
        /// The key that batches are signed with.
        hmac_key: Option<SecretSource>,
        /// Certificates to trust besides the system's.
        ca_file: Option<PathBuf>,
    },
}

/// How a syslog receiver is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// TCP, with octet counting.
    Tcp,
    /// TLS over TCP, likewise.
    Tls,
    /// UDP: nobody knows what arrives.
    Udp,
}

/// When a batch counts as delivered over TCP, where the protocol knows no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Confirm {
    /// When the receiver has read up to the end, and closes its side.
    Close,
    /// When it was written.
    Written,
}

/// Reads all `[[log_forward]]` sections.
pub(crate) fn log_forwards(top: &Section<'_, '_>) -> Vec<LogForward> {
    all(top, "log_forward", destination, |one| &one.name)
}

fn destination(s: &Section<'_, '_>) -> Option<LogForward> {
    let name = s.parsed("name", valid_name);
    let exchanges = if s.boolean_or("exchanges", true) { Exchanges::Included } else { Exchanges::LeftOut };
    let start = match s.text("start") {
        None => Start::Beginning,
        Some(_) => s.choice("start", &[("beginning", Start::Beginning), ("now", Start::Now)]),
    };
    let ca_file = s.text("ca_file").map(PathBuf::from);
    let [address, path, url] = ["address", "path", "url"].map(|key| s.text(key));
    let (token, hmac_key) = (secret_of(s, "token"), secret_of(s, "hmac_key"));
    let confirm = match s.text("confirm") {
        None => Confirm::Close,
        Some(_) => s.choice("confirm", &[("close", Confirm::Close), ("written", Confirm::Written)]),
    };
    let kind = match s.choice("kind", &[("syslog", "syslog"), ("file", "file"), ("http", "http")]) {
        "syslog" => {
            refuse(s, &[("path", path.is_some()), ("url", url.is_some())]);
            let (by, host, port) = s.parsed("address", syslog_address)?;
            ForwardKind::Syslog { by, host, port, confirm, ca_file }
        }
        "file" => {
            refuse(s, &[("address", address.is_some()), ("url", url.is_some())]);
            ForwardKind::File { path: s.parsed("path", absolute)? }
        }
        _ => {
            refuse(s, &[("address", address.is_some()), ("path", path.is_some())]);
            ForwardKind::Http { url: s.parsed("url", valid_base_url)?, token, hmac_key, ca_file }
        }
    };
    Some(LogForward { name: name?, kind, exchanges, start })
}

fn refuse(s: &Section<'_, '_>, keys: &[(&'static str, bool)]) {
    for &(key, _) in keys.iter().filter(|(_, given)| *given) {
        s.mistake(key, "it is of no use to a destination of this kind");
    }
}

fn secret_of(s: &Section<'_, '_>, key: &'static str) -> Option<SecretSource> {
    s.text(key).and_then(|text| secret(s, key, text))
}

fn absolute(text: &str) -> Result<PathBuf, &'static str> {
    let path = PathBuf::from(text);
    if path.is_absolute() { Ok(path) } else { Err("expected an absolute path") }
}

fn syslog_address(text: &str) -> Result<(Transport, String, u16), &'static str> {
    const EXPECTED: &str =
        "expected an address such as \"tls://siem.corp.example:6514\", \"tcp://…:601\" or \"udp://…:514\"";
    let (scheme, rest) = text.split_once("://").ok_or(EXPECTED)?;
    let by = match scheme {
        "tcp" => Transport::Tcp,
        "tls" => Transport::Tls,
        "udp" => Transport::Udp,
        _ => return Err(EXPECTED),
    };
    let (host, port) = rest.rsplit_once(':').ok_or(EXPECTED)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = port.parse().map_err(|_| EXPECTED)?;
    if host.is_empty() || host.contains(['/', '@']) || port == 0 {
        return Err(EXPECTED);
    }
    Ok((by, host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_receivers() {
        assert_eq!(syslog_address("tls://siem:6514"), Ok((Transport::Tls, "siem".to_owned(), 6514)));
        assert_eq!(syslog_address("udp://[::1]:514"), Ok((Transport::Udp, "::1".to_owned(), 514)));
        for wrong in ["siem:514", "tcp://siem", "http://siem:1", "tcp://:514", "tcp://a@b:1", "tcp://siem:0"]
        {
            assert!(syslog_address(wrong).is_err(), "{wrong}");
        }
    }
}
