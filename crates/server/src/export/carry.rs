//! Carrying one signal to the collector: in batches, again when it cannot now, and never so that anything waits for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gatehouse_domain::telemetry::Signal;
use metrics::{counter, gauge};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::{DROPPED, protobuf};
use crate::config::Export;
use crate::fetch::{Post, Posted, post};

/// Most items of one request.
const MOST: usize = 512;
/// Most bytes of the items of one request, but for the last item.
const MOST_BYTES: usize = 1024 * 1024;
/// The first pause after a failure, and the longest: it is doubled from one to the other.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Longest pause that a collector's `Retry-After` is believed.
const LONGEST_ASKED: Duration = Duration::from_mins(1);

/// Finds out how the collector is reached. Reads files, may run commands.
pub(crate) type Aim = dyn Fn() -> Result<Post, String> + Send + Sync;

/// Ends when its other side is dropped.
pub(super) type Ending = watch::Receiver<()>;

pub(super) async fn ended(ending: &mut Ending) {
    while ending.changed().await.is_ok() {}
}

/// One signal's way.
pub(super) struct Carry {
    signal: Signal,
    aim: Arc<Aim>,
    /// As it was found; found out again after every failure, since secrets and certificates may be replaced.
    found: Mutex<Option<Arc<Post>>>,
    timeout: Duration,
    give_up: Duration,
    ending: Ending,
    failing: bool,
}

impl Carry {
    pub(super) fn new(signal: Signal, of: &Export, aim: Arc<Aim>, ending: Ending) -> Self {
        gauge!("gatehouse_telemetry_export_failing", "signal" => signal.as_str()).set(0.0);
        // Newer metrics say more than older ones.
        let longest = if signal == Signal::Metrics { of.interval } else { Duration::MAX };
        let (timeout, give_up) = (of.timeout, of.give_up.min(longest));
        Self { signal, aim, found: Mutex::default(), timeout, give_up, ending, failing: false }
    }

    /// Sends a request until it is taken, refused for good, or given up. Says whether it was taken.
    pub(super) async fn deliver(&mut self, body: Bytes, items: u64) -> bool {
        let signal = self.signal.as_str();
        let sent = self.tried(&body).await;
        let refused = match &sent {
            Ok(answer) => protobuf::rejected(&answer.body).min(items),
            Err(_) => items,
        };
        if refused > 0 {
            let reason = match &sent {
                Err(NotTaken::GivenUp(_)) => "given_up",
                Ok(_) | Err(NotTaken::Refused(_)) => "refused",
            };
            counter!(DROPPED, "signal" => signal, "reason" => reason).increment(refused);
        }
        counter!("gatehouse_telemetry_export_sent_total", "signal" => signal).increment(items - refused);
        match &sent {
            Err(NotTaken::GivenUp(why) | NotTaken::Refused(why)) => self.note(Some(why)),
            Ok(_) => self.note(None),
        }
        sent.is_ok()
    }

    /// Tells of the first failure of a row, and of its end.
    fn note(&mut self, why: Option<&str>) {
        let signal = self.signal.as_str();
        gauge!("gatehouse_telemetry_export_failing", "signal" => signal)
            .set(f64::from(u8::from(why.is_some())));
        match why {
            Some(why) if !self.failing => {
                tracing::warn!(signal, why, "our own telemetry is not taken by the collector now");
            }
            None if self.failing => {
                tracing::info!(signal, "our own telemetry is taken by the collector again");
            }
            Some(_) | None => {}
        }
        self.failing = why.is_some();
    }

    async fn tried(&mut self, body: &Bytes) -> Result<Posted, NotTaken> {
        let (began, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            let is_last = self.ending.has_changed().is_err();
            let (why, next) = match self.once(body.clone()).await {
                Ok(answer) if (200..300).contains(&answer.status) => return Ok(answer),
                // The statuses after which a request may be sent again, by the protocol.
                Ok(answer) if matches!(answer.status, 429 | 502 | 503 | 504) => {
                    let asked = answer.retry_after.map_or(pause, |after| after.min(LONGEST_ASKED).max(pause));
                    (format!("it answers {}", answer.status), asked)
                }
                Ok(answer) => return Err(NotTaken::Refused(format!("it answers {}", answer.status))),
                Err(why) => (why, pause),
            };
            self.failed();
            if is_last || began.elapsed() + next > self.give_up {
                return Err(NotTaken::GivenUp(why));
            }
            self.note(Some(&why));
            // At the end it is tried once more at once.
            drop(timeout(next, ended(&mut self.ending)).await);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn failed(&self) {
        counter!("gatehouse_telemetry_export_failures_total", "signal" => self.signal.as_str()).increment(1);
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn once(&self, body: Bytes) -> Result<Posted, String> {
        let known = self.found.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let to = if let Some(known) = known {
            known
        } else {
            let aim = Arc::clone(&self.aim);
            let found = tokio::task::spawn_blocking(move || aim()).await;
            let found = Arc::new(found.map_err(|error| error.to_string())??);
            *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&found));
            found
        };
        let path = format!("/v1/{}", self.signal.as_str());
        let sent = post(&to, &path, "application/x-protobuf", body);
        timeout(self.timeout, sent).await.unwrap_or_else(|_| Err("it does not answer in time".to_owned()))
    }
}

enum NotTaken {
    /// For good: it would be refused again.
    Refused(String),
    /// It was tried for long enough.
    GivenUp(String),
}

/// Gathers items into batches and carries them, until the queue is closed and empty.
pub(super) async fn batches<T>(
    mut inbox: mpsc::Receiver<T>,
    mut carry: Carry,
    (resource, delay): (Arc<[u8]>, Duration),
    encode: impl Fn(T, &mut Vec<Vec<u8>>),
) {
    while let Some(first) = inbox.recv().await {
        let (until, mut items) = (Instant::now() + delay, Vec::new());
        encode(first, &mut items);
        while items.len() < MOST && items.iter().map(Vec::len).sum::<usize>() < MOST_BYTES {
            match timeout_at(until, inbox.recv()).await {
                Ok(Some(item)) => encode(item, &mut items),
                Ok(None) | Err(_) => break,
            }
        }
        let count = items.len() as u64;
        carry.deliver(protobuf::request(&resource, &items), count).await;
    }
}
