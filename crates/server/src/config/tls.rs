//! `[tls]`: TLS on the listeners of the gateway, of the management API and for telemetry by gRPC.

use std::path::PathBuf;

use gatehouse_listener::Person;
use gatehouse_listener::tls::{Asked, Clients, Files};

use super::read::Section;

/// TLS on our listeners; the forward proxy's is in `[proxy]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tls {
    /// On the gateway's.
    pub(crate) gateway: Listener,
    /// On that of the management API.
    pub(crate) admin: Listener,
    /// On that for telemetry by gRPC.
    pub(crate) otlp: Listener,
}

/// TLS on one listener.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Listener {
    /// What it is made from; without, the listener speaks in the clear.
    pub(crate) files: Option<Files>,
    /// What a client certificate says of who asks.
    pub(crate) person: Person,
}

/// Reads `[tls]`.
pub(crate) fn tls(s: &Section<'_, '_>) -> Tls {
    Tls {
        gateway: s.section("gateway", listener).unwrap_or_default(),
        admin: s.section("admin", listener).unwrap_or_default(),
        otlp: s.section("otlp", listener).unwrap_or_default(),
    }
}

fn listener(s: &Section<'_, '_>) -> Listener {
    let files = files(s, "certificate", "key");
    let person = s.choice("client_person", &[("any", Person::Any), ("holder", Person::Holder)]);
    if person == Person::Holder && files.as_ref().is_none_or(|files| files.clients.is_none()) {
        s.mistake("client_person", "there are no client certificates: set client_ca");
    }
    Listener { files, person }
}

/// The files of a listener, whose certificate and key are named so in this section.
pub(super) fn files(s: &Section<'_, '_>, certificate: &'static str, key: &'static str) -> Option<Files> {
    let path = |key| s.text(key).map(PathBuf::from);
    let asked =
        s.choice("client_certificates", &[("optional", Asked::Optional), ("required", Asked::Required)]);
    let crls: Vec<PathBuf> = s.texts("client_crls").into_iter().map(PathBuf::from).collect();
    let clients = match path("client_ca") {
        Some(ca) => Some(Clients { ca, asked, crls }),
        None if asked == Asked::Required => {
            s.mistake("client_certificates", "nobody could be let in: client_ca names no authorities");
            None
        }
        None if !crls.is_empty() => {
            s.mistake("client_crls", "there are no client certificates to revoke: set client_ca");
            None
        }
        None => None,
    };
    match (path(certificate), path(key)) {
        (Some(certificate), Some(key)) => Some(Files { certificate, key, clients }),
        (None, None) => {
            if clients.is_some() {
                let told =
                    format!("client certificates need {} and {}", s.path_of(certificate), s.path_of(key));
                s.mistake("client_ca", told);
            }
            None
        }
        (Some(_), None) | (None, Some(_)) => {
            s.mistake(key, format!("{} and {} go together", s.path_of(certificate), s.path_of(key)));
            None
        }
    }
}
