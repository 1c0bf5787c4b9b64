//! Alerts: what this node sees of itself, the job that evaluates and sends, and the way to receivers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gatehouse_control::App;
use gatehouse_control::alert::{Engine, Face, NotTaken, Sender};
use gatehouse_domain::alert::{DERIVED, Notification, Plan, Receiver, SIGNAL_METRIC, Sample};
use gatehouse_domain::id::DeliveryId;
use metrics::{Label, counter, gauge};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::figure;
use super::ledger::Books;
use super::live::Live;
use super::probe::{days_left, free_bytes};
use crate::config::Config;
use crate::notify::{self, Message};
use crate::{clock, metric};

/// How often it is seen whether messages wait.
const SEND: Duration = Duration::from_secs(1);
/// How long a turn may take: a database that has gone silent must not end the turns for good. What a turn decides under a lease
/// that another node has meanwhile is not kept.
const TURN: Duration = Duration::from_mins(1);
/// What was read of the certificate, and when.
type Read = Option<(Instant, Vec<Sample>)>;

/// How often the certificate is looked at.
const CERTIFICATE: Duration = Duration::from_mins(10);
/// Most values of gauges that a node tells.
const MOST: usize = 500;
/// Most series that derived signals are shown by, from the start on.
const MOST_SHOWN: usize = 2000;

/// What alerts need of the process.
pub(super) fn face(live: &Arc<Live>, books: &Arc<Books>, metrics: PrometheusHandle) -> Face {
    let (plan_of, sends, seen, books) =
        (Arc::clone(live), Arc::clone(live), Arc::clone(live), Arc::clone(books));
    let certificate: Arc<tokio::sync::Mutex<Read>> = Arc::default();
    let shown: Mutex<BTreeSet<Vec<Label>>> = Mutex::default();
    let kept: Mutex<Option<(Arc<Config>, Arc<Plan>)>> = Mutex::default();
    Face {
        plan: Box::new(move || {
            let config = plan_of.config.load_full();
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            match &*kept {
                Some((of, plan)) if Arc::ptr_eq(of, &config) => Arc::clone(plan),
                Some(_) | None => {
                    let plan = Arc::new(plan(&config));
                    *kept = Some((config, Arc::clone(&plan)));
                    plan
                }
            }
        }),
        readings: Box::new(move || {
            let (live, books, metrics) = (Arc::clone(&seen), Arc::clone(&books), metrics.clone());
            let certificate = Arc::clone(&certificate);
            Box::pin(async move {
                figure::set(&live, &books);
                let mut samples = gauges(&live, &metrics.render());
                samples.extend(disk(&live).await);
                samples.extend(certificate_days(&live, &certificate).await);
                samples
            })
        }),
        show: Box::new(move |samples| show(&shown, samples)),
        send: Box::new(move |receiver, id, notification| {
            let (live, receiver) = (Arc::clone(&sends), receiver.to_owned());
            Box::pin(async move { send(&live, &receiver, id, &notification).await })
        }),
    }
}

/// What the configuration says, as far as it concerns who evaluates.
fn plan(config: &Config) -> Plan {
    let alerts = &config.alerts;
    let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let receiver = |one: &crate::config::Receiver| Receiver {
        name: one.name.clone(),
        kind: one.kind(),
        send_resolved: one.send_resolved,
        per_minute: one.per_minute,
    };
    Plan {
        enabled: alerts.enabled,
        every_ms: millis(alerts.every),
        keep_ms: millis(alerts.keep),
        give_up_ms: millis(alerts.give_up),
        queue: alerts.queue,
        rules: alerts.rules.clone(),
        receivers: alerts.receivers.iter().map(receiver).collect(),
        routes: alerts.routes.clone(),
        inhibitions: alerts.inhibitions.clone(),
    }
}

async fn send(live: &Live, name: &str, id: DeliveryId, notification: &Notification) -> Result<(), NotTaken> {
    let config = live.config.load_full();
    let Some(receiver) = config.alerts.receivers.iter().find(|receiver| receiver.name == name) else {
        let error = "the configuration has no such receiver any more".to_owned();
        return Err(NotTaken { error, again: false, after: None });
    };
    let home = config.listen.public_url.as_ref().map(|url| url.as_str().to_owned()).unwrap_or_default();
    let message = Message { id, notification, rules: &config.alerts.rules, home: &home, now: clock::now() };
    let sent = notify::send(receiver, &message, &live.way_out(), &live.environment).await;
    let outcome = match &sent {
        Ok(()) => "taken",
        Err(not) if not.again => "again",
        Err(_) => "refused",
    };
    counter!("gatehouse_alert_messages_total", "receiver" => name.to_owned(), "outcome" => outcome)
        .increment(1);
    sent
}

/// The gauges that rules look at, of this node.
fn gauges(live: &Live, rendered: &str) -> Vec<Sample> {
    let config = live.config.load();
    let wanted: BTreeSet<&str> = config.alerts.rules.iter().map(|rule| rule.signal.as_str()).collect();
    let node = live.node.to_string();
    let is_wanted = |sample: &Sample| {
        wanted.contains(sample.signal.as_str()) && metric::gauges().any(|name| name == sample.signal)
    };
    let own = rendered
        .lines()
        .filter_map(metric::sample)
        .filter(|sample| is_wanted(sample) && !sample.value.is_nan());
    own.take(MOST)
        .map(|mut sample| {
            sample.labels.insert("node".to_owned(), node.clone());
            sample
        })
        .collect()
}

async fn disk(live: &Live) -> Option<Sample> {
    let at = live.data_dir().to_owned();
    let free = tokio::task::spawn_blocking(move || free_bytes(&at)).await.ok()??;
    #[expect(clippy::cast_precision_loss, reason = "bytes of a disk need not be exact")]
    let free = free as f64;
    Some(Sample::new("free_disk_bytes", &[("node", &live.node.to_string())], free))
}

/// For how many days the certificate at the public address is good, looked at now and then.
async fn certificate_days(live: &Live, kept: &tokio::sync::Mutex<Read>) -> Vec<Sample> {
    let mut kept = kept.lock().await;
    if let Some((at, samples)) = &*kept
        && at.elapsed() < CERTIFICATE
    {
        return samples.clone();
    }
    let address = live.config.load().listen.public_url.as_ref().map(|url| url.as_str().to_owned());
    let samples = match address {
        Some(address) if address.starts_with("https://") => {
            let days = days_left(&address).await;
            let days = f64::from(u32::try_from(days).unwrap_or(u32::MAX));
            let node = live.node.to_string();
            let labels = [("address", address.as_str()), ("node", node.as_str())];
            vec![Sample::new("certificate_days_left", &labels, days)]
        }
        Some(_) | None => Vec::new(),
    };
    *kept = Some((Instant::now(), samples.clone()));
    samples
}

/// Shows derived signals on `/metrics`, and that those that are no more have no value. A series keeps its place in the registry
/// for good, so that there are at most [`MOST_SHOWN`] of them.
fn show(shown: &Mutex<BTreeSet<Vec<Label>>>, samples: &[Sample]) {
    let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
    let mut now = BTreeSet::new();
    for sample in samples.iter().filter(|sample| DERIVED.iter().any(|derived| derived.name == sample.signal))
    {
        let mut labels = vec![Label::new("signal", sample.signal.clone())];
        labels.extend(sample.labels.iter().map(|(name, value)| Label::new(name.clone(), value.clone())));
        if shown.contains(&labels) || shown.len() < MOST_SHOWN {
            gauge!(SIGNAL_METRIC, labels.clone()).set(sample.value);
            shown.insert(labels.clone());
            now.insert(labels);
        }
    }
    for labels in shown.difference(&now) {
        gauge!(SIGNAL_METRIC, labels.clone()).set(f64::NAN);
    }
}

/// Evaluates at every interval.
pub(super) async fn evaluations(app: App, sender: Sender) {
    let mut engine = Engine::new(&app);
    let (firing, left_out) = (gauge!("gatehouse_alerts_firing"), gauge!("gatehouse_alerts_left_out"));
    let mut failing = false;
    loop {
        let done = tokio::time::timeout(TURN, engine.turn(&app)).await;
        let error = match done {
            Ok(Ok(turned)) => {
                firing.set(f64::from(u32::try_from(turned.firing).unwrap_or(u32::MAX)));
                left_out.set(f64::from(u32::try_from(turned.left_out).unwrap_or(u32::MAX)));
                sender.allow(turned.is_mine.then(|| engine.holder().to_owned()));
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("the database was silent".to_owned()),
        };
        match error {
            Some(error) if !failing => {
                tracing::warn!(error, "alerts are not evaluated now; it is tried again and again");
                failing = true;
            }
            None if failing => {
                tracing::info!("alerts are evaluated again");
                failing = false;
            }
            Some(_) | None => {}
        }
        let every = (app.house.alerts.plan)().every_ms;
        tokio::time::sleep(Duration::from_millis(u64::try_from(every).unwrap_or(15_000))).await;
    }
}

/// Sends what waits.
pub(super) async fn deliveries(app: App, sender: Sender) {
    let mut clock = interval(SEND);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        sender.turn(&app);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::sample;

    #[test]
    fn lines_of_metrics_are_read_back() {
        let read = sample(r#"gatehouse_x{a="1",b="say \"hi\" \\ {}, =\""} 2.5"#).unwrap();
        assert_eq!(read, Sample::new("gatehouse_x", &[("a", "1"), ("b", "say \"hi\" \\ {}, =\"")], 2.5));
        assert_eq!(sample("gatehouse_y 7").unwrap(), Sample::new("gatehouse_y", &[], 7.0));
        for odd in ["# HELP x y", "", "x", "x{a=\"1\" 2", "x{a=\"1} 2", "x y"] {
            assert_eq!(sample(odd), None, "{odd}");
        }
    }
}
