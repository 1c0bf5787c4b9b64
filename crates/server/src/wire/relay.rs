//! Passing telemetry on to collectors: a bounded queue for each, sent in order, tried again for a while.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use gatehouse_control::telemetry::{Outgoing, Relay};
use gatehouse_domain::proxy::Host;
use gatehouse_domain::telemetry::Signal;
use gatehouse_egress::Egress;
use gatehouse_egress::tls::Trust;
use metrics::counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::directory::Resolve;
use crate::config::{Collector, SecretSource};
use crate::fetch::{Post, post};

/// Requests that wait for one collector.
const WAITING: usize = 1024;
/// KiB that wait for one collector.
const WAITING_KIB: usize = 16 * 1024;
/// Tries of one request; between them twice as long each time, from a second on.
const TRIES: u32 = 6;
/// Longest pause that a collector's `Retry-After` is believed.
const LONGEST: Duration = Duration::from_secs(30);

/// A request that waits.
struct Item {
    signal: Signal,
    media_type: &'static str,
    body: Bytes,
    _room: OwnedSemaphorePermit,
}

/// A collector, ready to be sent to.
struct Route {
    name: String,
    signals: Vec<Signal>,
    post: Arc<Post>,
    room: Arc<Semaphore>,
    /// Made at the first request: the configuration is also read where nothing runs.
    queue: OnceLock<mpsc::Sender<Item>>,
}

/// Makes the way to collectors; none where there are none. What is wrong with each is told with its name.
pub(super) fn relay(
    collectors: &[Collector],
    (trust, egress): (&mut Trust<'_>, &Egress),
    resolve: Resolve<'_>,
) -> Result<Option<Relay>, Vec<String>> {
    let (mut routes, mut mistakes) = (Vec::new(), Vec::new());
    for one in collectors {
        match route(one, (&mut *trust, egress), resolve) {
            Ok(route) => routes.push(route),
            Err(what) => mistakes.push(format!("telemetry.collector[{}].{what}", one.name)),
        }
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    if routes.is_empty() {
        return Ok(None);
    }
    Ok(Some(Arc::new(move |outgoing: &Outgoing| routes.iter().for_each(|route| route.offer(outgoing)))))
}

fn route(
    collector: &Collector,
    (trust, egress): (&mut Trust<'_>, &Egress),
    resolve: Resolve<'_>,
) -> Result<Route, String> {
    let to = (collector.endpoint.as_str(), &collector.headers, collector.ca_file.as_deref());
    Ok(Route {
        name: collector.name.clone(),
        signals: collector.signals.clone(),
        post: Arc::new(post_to(to, (trust, egress), resolve)?),
        room: Arc::new(Semaphore::new(WAITING_KIB)),
        queue: OnceLock::new(),
    })
}

/// The way to a collector: its address, headers with secrets, and a file of certificates to trust.
///
/// # Errors
/// What is wrong, with the setting in front.
pub(super) fn post_to(
    (endpoint, headers_at, ca_file): (&str, &BTreeMap<String, SecretSource>, Option<&Path>),
    (trust, egress): (&mut Trust<'_>, &Egress),
    resolve: Resolve<'_>,
) -> Result<Post, String> {
    let mut headers = Vec::new();
    for (name, source) in headers_at {
        let value = resolve(source).map_err(|error| format!("headers: {error}"))?;
        let value = value.ok_or_else(|| format!("headers: `{name}` has no value"))?;
        let mut value = http::HeaderValue::from_bytes(value.expose())
            .map_err(|_| format!("headers: the value of `{name}` cannot be sent"))?;
        value.set_sensitive(true);
        let name = http::HeaderName::try_from(name).map_err(|error| format!("headers: {error}"))?;
        headers.push((name, value));
    }
    let address: http::Uri = endpoint.parse().map_err(|error| format!("endpoint: {error}"))?;
    let host =
        Host::parse(address.host().unwrap_or_default()).map_err(|error| format!("endpoint: {error}"))?;
    let tls = trust.with(&host, ca_file);
    let tls = tls
        .map_err(|error| if error.starts_with("ca_file: ") { error } else { format!("ca_file: {error}") })?;
    Ok(Post { endpoint: endpoint.to_owned(), headers, tls, egress: egress.clone() })
}

impl Route {
    /// Puts a request into the queue, or drops and counts it.
    fn offer(&self, outgoing: &Outgoing) {
        if !self.signals.contains(&outgoing.signal) {
            return;
        }
        let queue = self.queue.get_or_init(|| {
            let (queue, inbox) = mpsc::channel(WAITING);
            tokio::spawn(run(self.name.clone(), Arc::clone(&self.post), inbox));
            queue
        });
        let kib = u32::try_from(outgoing.body.len().div_ceil(1024)).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(kib) else { return self.dropped() };
        let item = Item {
            signal: outgoing.signal,
            media_type: outgoing.form.media_type(),
            body: outgoing.body.clone(),
            _room: room,
        };
        if queue.try_send(item).is_err() {
            self.dropped();
        }
    }

    fn dropped(&self) {
        counter!("gatehouse_telemetry_relay_dropped_total", "collector" => self.name.clone()).increment(1);
    }
}

/// Sends what comes, one request after the other. Ends when the configuration has no such collector any more.
async fn run(name: String, post: Arc<Post>, mut inbox: mpsc::Receiver<Item>) {
    let mut failing = false;
    while let Some(item) = inbox.recv().await {
        let sent = send(&post, &item).await;
        match &sent {
            Ok(()) => {
                counter!("gatehouse_telemetry_relay_sent_total", "collector" => name.clone()).increment(1);
            }
            Err(why) => {
                counter!("gatehouse_telemetry_relay_dropped_total", "collector" => name.clone()).increment(1);
                if !failing {
                    tracing::warn!(
                        collector = name,
                        why,
                        "a collector does not take telemetry; it is dropped for it"
                    );
                }
            }
        }
        if failing && sent.is_ok() {
            tracing::info!(collector = name, "the collector takes telemetry again");
        }
        failing = sent.is_err();
    }
}

async fn send(to: &Post, item: &Item) -> Result<(), String> {
    let path = format!("/v1/{}", item.signal.as_str());
    let mut pause = Duration::from_secs(1);
    let mut last = String::new();
    for attempt in 1..=TRIES {
        let mut next = pause;
        match post(to, &path, item.media_type, item.body.clone()).await {
            Ok(answer) if (200..300).contains(&answer.status) => return Ok(()),
            // The statuses after which a request may be sent again, by the protocol.
            Ok(answer) if matches!(answer.status, 429 | 502 | 503 | 504) => {
                last = format!("it answers {}", answer.status);
                next = answer.retry_after.map_or(pause, |after| after.clamp(pause, LONGEST));
            }
            Ok(answer) => return Err(format!("it answers {}", answer.status)),
            Err(why) => last = why,
        }
        if attempt < TRIES {
            tokio::time::sleep(next).await;
            pause *= 2;
        }
    }
    Err(last)
}
