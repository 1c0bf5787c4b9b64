//! What this node can find out of the readiness checklist by itself.

mod certificate;
mod host;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use gatehouse_domain::readiness::{Finding, Item};
use gatehouse_egress::Egress;
use gatehouse_identity::fetch::{Fetch as _, HttpRequest};
use gatehouse_listener::tls::Asked;
use url::Url;

use super::live::Live;
use crate::clock;
use crate::config::LogFormat;

/// How long one thing may take to be found out.
const PATIENCE: Duration = Duration::from_secs(15);
/// Metrics that were read so long ago count as read: Prometheus' usual interval is a quarter of that.
const SCRAPED_MS: i64 = 5 * 60 * 1000;
/// Most that is read of an issuer's document, in bytes.
const MAX_DOCUMENT: usize = 256 * 1024;

/// For how many days the certificate that clients see at an address is good; 0 when it is not, or cannot be seen.
pub(super) async fn days_left(address: &str) -> u64 {
    let seen = tokio::time::timeout(PATIENCE, certificate::seen_at(&Egress::default(), address, None)).await;
    seen.ok().and_then(Result::ok).unwrap_or(0)
}

/// Bytes that are free where a directory is; `None` where that cannot be told.
#[cfg(unix)]
pub(super) fn free_bytes(at: &std::path::Path) -> Option<u64> {
    let space = rustix::fs::statvfs(at).ok()?;
    Some(space.f_bavail.saturating_mul(space.f_frsize))
}

/// Bytes that are free where a directory is; `None` where that cannot be told.
#[cfg(not(unix))]
pub(super) fn free_bytes(_: &std::path::Path) -> Option<u64> {
    None
}

/// When the metrics were last read, in UTC milliseconds; 0 for never.
#[derive(Debug, Default)]
pub(super) struct LastScrape(AtomicI64);

impl LastScrape {
    /// Notes that they are read now.
    pub(super) fn note(&self) {
        self.0.store(clock::now().0, Ordering::Relaxed);
    }

    fn finding(&self) -> Finding {
        match self.0.load(Ordering::Relaxed) {
            0 => Finding::Bad("nobody has read /metrics of this node since it started".to_owned()),
            at if clock::now().0 - at <= SCRAPED_MS => {
                Finding::Good(format!("/metrics was read {} s ago", (clock::now().0 - at) / 1000))
            }
            at => {
                Finding::Bad(format!("/metrics was last read {} minutes ago", (clock::now().0 - at) / 60_000))
            }
        }
    }
}

/// Finds out everything at once. What takes too long is broken.
pub(super) async fn all(live: Arc<Live>) -> BTreeMap<Item, Finding> {
    let in_time = async |look: std::pin::Pin<Box<dyn Future<Output = Finding> + Send>>| {
        let late = |_| Finding::Bad(format!("there was no answer within {} s", PATIENCE.as_secs()));
        tokio::time::timeout(PATIENCE, look).await.unwrap_or_else(late)
    };
    let (resources, certificates, custom, sign_on) = tokio::join!(
        in_time(Box::pin(host::resources(Arc::clone(&live)))),
        in_time(Box::pin(certificate::public(Arc::clone(&live)))),
        in_time(Box::pin(certificate::of_providers(Arc::clone(&live)))),
        in_time(Box::pin(sign_on(Arc::clone(&live)))),
    );
    let mut found = BTreeMap::from([
        (Item::ServerResources, resources),
        (Item::Certificates, certificates),
        (Item::CustomCa, custom),
        (Item::SingleSignOn, sign_on),
        (Item::Monitoring, live.scraped.finding()),
        (Item::LoadBalancer, load_balancer(&live)),
        (
            Item::Proxy,
            super::egress::finding(&live).map_or_else(|| proxy(&live), |out| both(out, &proxy(&live))),
        ),
        (Item::ClientCertificates, client_certificates(&live)),
    ]);
    // Where the log is handed to somebody, how far that is says more.
    if live.config.load().log_forwards.is_empty() {
        found.insert(Item::LogAggregation, logs(&live));
    }
    found
}

/// For how many more days certificates are good that end before long. What takes too long is left out.
pub(super) async fn certificate_days(live: Arc<Live>) -> Vec<(String, u64)> {
    tokio::time::timeout(PATIENCE, certificate::days(live)).await.unwrap_or_default()
}

/// Every configured identity provider publishes what sign-in needs.
async fn sign_on(live: Arc<Live>) -> Finding {
    let config = live.config.load_full();
    let Some((_, net)) = live.reach() else {
        return Finding::Unknown("the server is still starting".to_owned());
    };
    if config.identity.oidc.is_empty() {
        return Finding::Unknown("no identity provider is configured (`[[identity.oidc]]`)".to_owned());
    }
    if config.listen.public_url.is_none() {
        return Finding::Bad("nobody can sign in: `listen.public_url` is not set".to_owned());
    }
    let mut reached = Vec::new();
    for source in &config.identity.oidc {
        let at = format!("{}/.well-known/openid-configuration", source.issuer.trim_end_matches('/'));
        let Ok(url) = Url::parse(&at) else {
            return Finding::Bad(format!("`{}` is no address", source.issuer));
        };
        match net.fetch(HttpRequest::get(url, MAX_DOCUMENT)).await {
            Ok(answer) if answer.status == 200 => reached.push(source.name.as_str()),
            Ok(answer) => {
                return Finding::Bad(format!("`{}` answers {} at {at}", source.name, answer.status));
            }
            Err(error) => return Finding::Bad(format!("`{}`: {error}", source.name)),
        }
    }
    Finding::Good(format!("reached: {}", reached.join(", ")))
}

fn client_certificates(live: &Live) -> Finding {
    let config = live.config.load();
    let proxy = config.proxy.tls.as_ref().filter(|_| config.listen.proxy.is_some());
    let otlp = config.tls.otlp.files.as_ref().filter(|_| config.listen.otlp.is_some());
    let listeners = [
        ("gateway", config.tls.gateway.files.as_ref()),
        ("admin", config.tls.admin.files.as_ref()),
        ("proxy", proxy),
        ("otlp", otlp),
    ];
    let mut asking = Vec::new();
    let mut unrevoked = Vec::new();
    for (name, files) in listeners {
        let Some(clients) = files.and_then(|files| files.clients.as_ref()) else { continue };
        let asked = if clients.asked == Asked::Required { "required" } else { "optional" };
        asking.push(format!("{name} ({asked})"));
        if clients.crls.is_empty() {
            unrevoked.push(name);
        }
    }
    match (asking.is_empty(), unrevoked.is_empty()) {
        (true, _) => Finding::NotNeeded("no listener asks clients for certificates".to_owned()),
        (false, true) => Finding::Good(format!("asked for by: {}", asking.join(", "))),
        (false, false) => Finding::Poor(format!(
            "asked for by: {}; without `client_crls` none can be revoked at: {}",
            asking.join(", "),
            unrevoked.join(", ")
        )),
    }
}

fn load_balancer(live: &Live) -> Finding {
    let config = live.config.load();
    let drain = config.drain.patience.as_secs();
    if config.listen.proxies.is_empty() {
        return Finding::Unknown(
            "`listen.trusted_proxies` names none; a single node that clients reach directly needs none"
                .to_owned(),
        );
    }
    Finding::Good(format!(
        "proxies in front are named; /readyz turns a node away from new requests, and it drains for {drain} s"
    ))
}

fn proxy(live: &Live) -> Finding {
    match live.config.load().listen.proxy {
        Some(at) => {
            Finding::Good(format!("the forward proxy listens on {at}; what no rule allows is refused"))
        }
        None => Finding::Unknown("the forward proxy is off (`listen.proxy`)".to_owned()),
    }
}

/// What is known of the way out, and beside it what is known of the forward proxy.
fn both(out: Finding, proxy: &Finding) -> Finding {
    let Finding::Good(also) = proxy else { return out };
    let told = |text: String| format!("{text}. {also}");
    match out {
        Finding::Good(text) => Finding::Good(told(text)),
        Finding::Poor(text) => Finding::Poor(told(text)),
        Finding::Bad(text) => Finding::Bad(told(text)),
        other @ (Finding::NotNeeded(_) | Finding::Unknown(_)) => other,
    }
}

fn logs(live: &Live) -> Finding {
    let form = match live.config.load().log.format {
        LogFormat::Auto => "JSON, unless to a terminal,",
        LogFormat::Human => "text for people",
        LogFormat::Json => "JSON",
    };
    Finding::Unknown(format!("the log is written as {form} to standard error"))
}
