//! Whether certificates are good, and for how long.

use std::sync::Arc;
use std::time::Duration;

use gatehouse_domain::egress::Origin;
use gatehouse_domain::proxy::{Destination, Host};
use gatehouse_domain::readiness::Finding;
use gatehouse_egress::Egress;
use gatehouse_egress::tls::{client_tls_with, server_name, trusted_roots};
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use tokio_rustls::TlsConnector;
use url::Url;

use super::super::live::Live;
use crate::clock;

/// A certificate that ends within so many days should have been renewed.
const RENEW: u64 = 30;
/// One that is good for so many days is not looked at further.
const FAR: u64 = 400;
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);
/// Seconds of a day.
const DAY: u64 = 86_400;

/// The certificate that clients see at the public address.
pub(super) async fn public(live: Arc<Live>) -> Finding {
    let config = live.config.load_full();
    let Some(address) = config.listen.public_url.as_ref().map(|url| url.as_str().to_owned()) else {
        return Finding::Unknown(
            "`listen.public_url` is not set, so that nobody knows what clients see".to_owned(),
        );
    };
    if address.starts_with("http://") {
        let local = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
        return if local.iter().any(|local| address.starts_with(local)) {
            Finding::NotNeeded(format!("clients are on this machine ({address})"))
        } else {
            Finding::Bad(format!("clients send their keys in the clear to {address}"))
        };
    }
    match seen_at(&Egress::default(), &address, None).await {
        Ok(days) => judged(&address, days),
        Err(why) => Finding::Bad(format!("{address}: {why}")),
    }
}

/// The certificates of providers for which others are trusted than the system's.
pub(super) async fn of_providers(live: Arc<Live>) -> Finding {
    let config = live.config.load_full();
    let own: Vec<_> = config.providers.iter().filter(|provider| provider.ca_file.is_some()).collect();
    if own.is_empty() {
        return Finding::NotNeeded(
            "no provider has a `ca_file`: the system's certificates are trusted".to_owned(),
        );
    }
    let mut worst: Option<(u64, &str)> = None;
    for provider in own {
        let file = provider.ca_file.clone().unwrap_or_default();
        let pem = match tokio::fs::read(&file).await {
            Ok(pem) => pem,
            Err(error) => {
                return Finding::Bad(format!("`{}`: cannot read {}: {error}", provider.name, file.display()));
            }
        };
        match seen_at(&live.egress, &provider.base_url, Some(&pem)).await {
            Ok(days) if worst.is_none_or(|(least, _)| days < least) => worst = Some((days, &provider.name)),
            Ok(_) => {}
            Err(why) => return Finding::Bad(format!("`{}`: {why}", provider.name)),
        }
    }
    worst.map_or_else(|| Finding::Unknown(String::new()), |(days, name)| judged(name, days))
}

/// For how many more days the certificates at the public address and of providers with a `ca_file` are good, as far as they can
/// be seen and it is not long.
pub(super) async fn days(live: Arc<Live>) -> Vec<(String, u64)> {
    let config = live.config.load_full();
    let public = config.listen.public_url.as_ref().map(|url| url.as_str().to_owned());
    let mut out = Vec::new();
    for address in public.into_iter().filter(|address| address.starts_with("https://")) {
        if let Ok(days) = seen_at(&Egress::default(), &address, None).await {
            out.push((address, days));
        }
    }
    for provider in config.providers.iter().filter(|provider| provider.ca_file.is_some()) {
        let pem = tokio::fs::read(provider.ca_file.clone().unwrap_or_default()).await;
        if let Ok(pem) = pem
            && let Ok(days) = seen_at(&live.egress, &provider.base_url, Some(&pem)).await
        {
            out.push((format!("provider `{}`", provider.name), days));
        }
    }
    out.retain(|(_, days)| *days < FAR);
    out
}

fn judged(of: &str, days: u64) -> Finding {
    match days {
        FAR.. => Finding::Good(format!("{of}: good for more than {FAR} days")),
        RENEW.. => Finding::Good(format!("{of}: good for {days} days")),
        _ => Finding::Poor(format!("{of}: ends in {days} days; renew it")),
    }
}

/// For how many more days the certificate at an address is good; a sentence when it is not, or cannot be seen.
pub(super) async fn seen_at(way: &Egress, address: &str, extra_ca: Option<&[u8]>) -> Result<u64, String> {
    let url = Url::parse(address).map_err(|error| error.to_string())?;
    let host =
        Host::parse(url.host_str().ok_or("the address has no host")?).map_err(|error| error.to_string())?;
    let to = Destination { host, port: url.port_or_known_default().ok_or("the address has no port")? };
    let roots = Arc::new(trusted_roots(extra_ca)?);
    let config = client_tls_with(Arc::clone(&roots))?;
    let link = way.open(&to, Origin::Configured, CONNECT).await.map_err(|error| error.to_string())?;
    let name = server_name(&to.host).ok_or("the host is no name for a certificate")?;
    let stream = TlsConnector::from(config).connect(name, link).await.map_err(|error| error.to_string())?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let now = u64::try_from(clock::now().0 / 1000).unwrap_or_default();
    days_left(chain, &roots, now).ok_or_else(|| "its certificate cannot be verified".to_owned())
}

/// The last day from `now` on which a chain is good, up to [`FAR`]. A chain is good from some day to some other, so that
/// halving finds the end.
fn days_left(chain: &[CertificateDer<'_>], roots: &RootCertStore, now: u64) -> Option<u64> {
    let (leaf, between) = chain.split_first()?;
    let leaf = ParsedCertificate::try_from(leaf).ok()?;
    let known = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let good = |days: u64| {
        let then = UnixTime::since_unix_epoch(Duration::from_secs(now + days * DAY));
        verify_server_cert_signed_by_trust_anchor(&leaf, roots, between, then, known.all).is_ok()
    };
    if !good(0) {
        return None;
    }
    let (mut good_at, mut bad_at) = (0, FAR + 1);
    while bad_at - good_at > 1 {
        let middle = good_at.midpoint(bad_at);
        if good(middle) {
            good_at = middle;
        } else {
            bad_at = middle;
        }
    }
    Some(good_at)
}
