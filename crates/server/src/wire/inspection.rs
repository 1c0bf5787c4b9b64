//! The inspection of what goes through the forward proxy: its rules for the data path, its authority, and the way from the
//! proxy into the data path.

use std::sync::Arc;
use std::time::Duration;

use gatehouse_control::inspection::{self as known, Face, Ruled, Source};
use gatehouse_domain::proxy::HostPattern;
use gatehouse_egress::Egress;
use gatehouse_egress::tls::{client_tls_with, trusted_roots};
use gatehouse_gateway::settings::{Inspection, Paid};
use gatehouse_gateway::{Guest, Guests};
use gatehouse_identity::secret::Secret;
use gatehouse_proxy::authority::{self, Authority, Facts, MAX_TEXT};
use gatehouse_proxy::inspection::{Enter, NoSeat, Within};
use gatehouse_store::in_time;

use super::live::Live;
use crate::clock;
use crate::config::Config;

const DAY: Duration = Duration::from_hours(24);
/// How long reading the authority may take.
const READ: Duration = Duration::from_secs(5);

/// What the data path is told; nothing where nothing is looked into.
///
/// # Errors
/// The certificates to trust cannot be read.
pub(super) fn rules(config: &Config, egress: &Egress) -> Result<Option<Arc<Inspection>>, Vec<String>> {
    let given = &config.inspection;
    if given.hosts.is_empty() {
        return Ok(None);
    }
    let told = |what: String| vec![format!("inspection.ca_file: {what}")];
    let extra = match &given.ca_file {
        None => None,
        Some(path) => {
            let read = std::fs::read(path);
            Some(read.map_err(|error| told(format!("cannot read `{}`: {error}", path.display())))?)
        }
    };
    // What is sent there is not ours: no certificate of ours is shown for it.
    let tls = trusted_roots(extra.as_deref()).and_then(|roots| client_tls_with(Arc::new(roots)));
    Ok(Some(Arc::new(Inspection {
        models: given.models.clone(),
        paid: given.paid,
        added: given.added.clone(),
        tls: tls.map_err(told)?,
        egress: egress.clone(),
        connect: given.connect,
        first_byte: given.first_byte,
        stream_idle: given.stream_idle,
    })))
}

/// The proxy's way into the data path.
pub(super) fn way(guests: Guests) -> Enter {
    Box::new(move |within| {
        let Within { grant, client, host, port, addresses, requests, stream } = within;
        let guest = Guest { grant, client, host, port, addresses, requests, stream };
        guests.enter(guest).map_err(|_| NoSeat)
    })
}

impl Live {
    /// Reads the rules of a configuration. Files may be on slow disks.
    pub(super) async fn prepared_inspection(
        self: &Arc<Self>,
        config: &Arc<Config>,
    ) -> Result<Option<Arc<Inspection>>, Vec<String>> {
        let (config, egress) = (Arc::clone(config), self.egress.clone());
        tokio::task::spawn_blocking(move || rules(&config, &egress)).await.unwrap_or_else(|_| {
            Err(vec!["the inspection could not be prepared by a fault of the server".to_owned()])
        })
    }

    /// Takes over the authority if it is another one than before. One that does not open is left out, and so is what was to be
    /// looked into.
    pub(super) async fn refresh_authority(&self) {
        let read = in_time(READ, async {
            Ok::<_, gatehouse_store::StoreError>(known::text(&self.store, &self.keyring, self.org).await)
        });
        let text = match read.await {
            Ok(Ok(text)) => text,
            Ok(Err(error)) => return tracing::error!(%error, "the inspection authority cannot be opened"),
            Err(error) => {
                return tracing::warn!(%error, "the inspection authority cannot be read now; the old one stays");
            }
        };
        let Some(text) = text else { return self.authority.store(None) };
        let opened = text.expose_text().ok_or(authority::BadAuthority::Key);
        match opened.and_then(|text| Authority::open(text, clock::now())) {
            Ok(opened) => {
                let is_known = self.authority.load_full().is_some_and(|old| old.facts() == opened.facts());
                // The one that is in use has certificates at hand.
                if !is_known {
                    self.authority.store(Some(Arc::new(opened)));
                }
            }
            Err(error) => {
                tracing::error!(%error, "the inspection authority is of no use");
                self.authority.store(None);
            }
        }
    }
}

/// What the management plane knows of it.
pub(super) fn face(live: &Arc<Live>) -> Face {
    let (ruled, current) = (Arc::clone(live), Arc::clone(live));
    Face {
        rules: Box::new(move || told(&ruled.config.load())),
        make: Box::new(|source, now| {
            let made = match source {
                Source::New { hosts, days } => {
                    let hosts: Result<Vec<HostPattern>, _> = hosts.iter().map(|host| host.parse()).collect();
                    let hosts = hosts.map_err(|error| format!("{error}"))?;
                    authority::create("", &hosts, DAY * *days, now)
                }
                Source::Brought { certificate, key } => {
                    let key = key.expose_text().unwrap_or_default();
                    if certificate.len() + key.len() > MAX_TEXT {
                        return Err(format!("certificate and key together are longer than {MAX_TEXT} bytes"));
                    }
                    authority::import(certificate, key, now)
                }
            };
            let text = made.map_err(|error| error.to_string())?;
            let opened = Authority::open(&text, now).map_err(|error| error.to_string())?;
            Ok((Secret::new(text.as_bytes().to_vec()), view(opened.facts())))
        }),
        read: Box::new(|text, now| {
            let text = text.expose_text().unwrap_or_default();
            let opened = Authority::open(text, now).map_err(|error| error.to_string())?;
            Ok(view(opened.facts()))
        }),
        current: Box::new(move || current.authority.load_full().map(|authority| view(authority.facts()))),
    }
}

fn view(facts: &Facts) -> known::Authority {
    let Facts { subject, names, from, until, sha256, certificate } = facts.clone();
    known::Authority { subject, names, from, until, sha256, certificate }
}

fn told(config: &Config) -> Ruled {
    let given = &config.inspection;
    let texts = |patterns: &[HostPattern]| patterns.iter().map(ToString::to_string).collect();
    Ruled {
        hosts: texts(&given.hosts),
        never: texts(&given.never),
        model_hosts: given.models.clone(),
        credential: match given.paid {
            Paid::Caller => "caller",
            Paid::Organization => "organization",
        },
        notice: given.notice.clone(),
    }
}
