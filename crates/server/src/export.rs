//! Export of our own traces, metrics and logs to a collector, by the OpenTelemetry protocol over HTTP.
//!
//! Requests never wait for it: the data path hands a finished exchange over, into a queue that drops and counts what finds no
//! room, and tasks of the main runtime make of it what is sent ([`carry`]). While it is off, nothing of this runs.

mod protobuf;
mod span;
mod figure;
mod exposition;
mod tap;
mod carry;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use gatehouse_domain::telemetry::Signal;
use gatehouse_gateway::witness::{Finished, Wants, Witness};
use gatehouse_providers::cloud::Kind;
use metrics::counter;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::config::Export;
use carry::{Carry, Ending, batches, ended};
use figure::Figures;
use tap::Recent;

pub(crate) use carry::Aim;
pub(crate) use protobuf::resource;
pub(crate) use tap::Tap;

/// Counts what is not delivered.
const DROPPED: &str = "gatehouse_telemetry_export_dropped_total";
/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: u64 = 2;

/// Which of OpenTelemetry's conventions for generative AI are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conventions {
    /// Version 1.36.0, which instrumentations stay with unless told otherwise.
    V1_36,
    /// The latest of them (`gen_ai_latest_experimental`).
    Latest,
}

impl Conventions {
    /// What the attribute is called that names the provider.
    const fn provider_key(self) -> &'static str {
        match self {
            Self::V1_36 => "gen_ai.system",
            Self::Latest => "gen_ai.provider.name",
        }
    }

    /// The word for a provider; for one that is not configured (any more), that of the API's own maker.
    fn provider(self, place: Option<&Place>) -> &'static str {
        match (place.map(|place| place.kind), self) {
            (Some(Kind::Bedrock | Kind::BedrockMantle), _) => "aws.bedrock",
            (Some(Kind::Vertex), _) => "gcp.vertex_ai",
            (Some(Kind::Foundry), Self::V1_36) => "az.ai.inference",
            (Some(Kind::Foundry), Self::Latest) => "azure.ai.inference",
            (Some(Kind::Anthropic | Kind::ClaudePlatformAws) | None, _) => "anthropic",
        }
    }
}

/// A configured provider, as spans tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its name here.
    pub(crate) name: String,
    /// What it is.
    pub(crate) kind: Kind,
    /// Host and port.
    pub(crate) address: Option<(String, u16)>,
}

fn place<'a>(places: &'a [Place], name: &str) -> Option<&'a Place> {
    places.iter().find(|place| place.name == name)
}

fn since_1970(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// What an export is begun with.
pub(crate) struct Plan {
    /// What the configuration says.
    pub(crate) of: Export,
    /// Whose telemetry it is, as it is sent ([`resource`]).
    pub(crate) resource: Vec<u8>,
    /// The configured providers.
    pub(crate) places: Vec<Place>,
    /// The way to the collector.
    pub(crate) aim: Arc<Aim>,
    /// What `/metrics` says now.
    pub(crate) render: Arc<dyn Fn() -> String + Send + Sync>,
    /// Called when the collector has taken metrics.
    pub(crate) taken: Arc<dyn Fn() + Send + Sync>,
}

/// Exports, or does not, as it is told.
pub(crate) struct Exporter {
    on: ArcSwapOption<Running>,
    tap: Tap,
    born: u64,
}

/// An export under way. Dropped, it sends what waits and ends.
struct Running {
    wants: Wants,
    /// None where nobody cares for exchanges.
    exchanges: Option<mpsc::Sender<Finished>>,
    _end: watch::Sender<()>,
    tasks: Mutex<JoinSet<()>>,
}

impl Exporter {
    /// Does nothing yet. Logs come from this tap.
    pub(crate) fn new(tap: Tap) -> Self {
        Self { on: ArcSwapOption::empty(), tap, born: since_1970(SystemTime::now()) }
    }

    /// Begins another export, or none, and lets the one before send what it has, for as long as this. To be called within the
    /// runtime.
    pub(crate) fn replace(&self, plan: Option<Plan>, patience: Duration) {
        if plan.is_none() {
            self.tap.open(None);
        }
        let is_on = plan.is_some();
        let (go, began) = oneshot::channel();
        let before = self.on.swap(plan.map(|plan| Arc::new(self.begin(plan, began))));
        // Whoever sees the first metrics knows that from now on all is exported.
        drop(go);
        tokio::spawn(async move {
            Self::let_end(before, patience).await;
            if !is_on {
                tracing::info!("the export of our own telemetry has ended");
            }
        });
    }

    /// Ends the export: what waits may still be sent, for as long as this.
    pub(crate) async fn end(&self, patience: Duration) {
        self.tap.open(None);
        Self::let_end(self.on.swap(None), patience).await;
    }

    async fn let_end(before: Option<Arc<Running>>, patience: Duration) {
        let Some(before) = before else { return };
        let mut tasks = std::mem::take(&mut *before.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        // A request that is just about to hand something over holds it for a moment longer.
        drop(before);
        // Dropped, the tasks that are left end.
        drop(timeout(patience, async { while tasks.join_next().await.is_some() {} }).await);
    }

    fn begin(&self, plan: Plan, began: oneshot::Receiver<()>) -> Running {
        let of = plan.of.clone();
        let has = |signal: Signal| of.signals.contains(&signal);
        let (end, ending) = watch::channel(());
        let carry = |signal: Signal| Carry::new(signal, &of, Arc::clone(&plan.aim), ending.clone());
        let gather = (Arc::<[u8]>::from(plan.resource.clone()), of.delay);
        let (places, recent) = (Arc::<[Place]>::from(plan.places.clone()), Arc::new(Recent::default()));
        let mut tasks = JoinSet::new();
        let spans = has(Signal::Traces).then(|| {
            let (queue, inbox) = mpsc::channel(of.queue);
            let (places, conventions) = (Arc::clone(&places), of.conventions);
            tasks.spawn(batches(inbox, carry(Signal::Traces), gather.clone(), move |one: Finished, out| {
                out.extend(span::spans(&one, &places, conventions));
            }));
            queue
        });
        let lines = has(Signal::Logs).then(|| {
            let (queue, inbox) = mpsc::channel(of.queue);
            let recent = Arc::clone(&recent);
            tasks.spawn(batches(inbox, carry(Signal::Logs), gather.clone(), move |line, out| {
                out.push(tap::record(&line, &recent));
            }));
            queue
        });
        self.tap.open(lines);
        let figures = has(Signal::Metrics).then(|| Arc::new(Mutex::new(Figures::new(of.conventions))));
        let exchanges = (spans.is_some() || figures.is_some()).then(|| {
            let (queue, inbox) = mpsc::channel(of.queue);
            tasks.spawn(sort(inbox, spans, figures.clone(), (places, recent)));
            queue
        });
        if let Some(figures) = figures {
            let carry = carry(Signal::Metrics);
            let (born, ending) = (self.born, ending.clone());
            tasks.spawn(async move {
                drop(began.await);
                metrics(plan, figures, born, carry, ending).await;
            });
        }
        let share = if has(Signal::Traces) { of.share } else { 0 };
        let wants = Wants { share, pass_on: of.pass_on };
        Running { wants, exchanges, _end: end, tasks: Mutex::new(tasks) }
    }
}

impl Witness for Exporter {
    fn wants(&self) -> Option<Wants> {
        let on = self.on.load();
        let running = on.as_ref()?;
        (running.exchanges.is_some() || running.wants.pass_on).then_some(running.wants)
    }

    fn ended(&self, finished: Finished) {
        let on = self.on.load();
        let Some(queue) = on.as_ref().and_then(|running| running.exchanges.as_ref()) else { return };
        if queue.try_send(finished).is_err() {
            counter!(DROPPED, "signal" => "exchanges", "reason" => "no_room").increment(1);
        }
    }
}

/// Counts exchanges, and hands on those whose traces are recorded. Always quick, whatever the collector does.
async fn sort(
    mut inbox: mpsc::Receiver<Finished>,
    spans: Option<mpsc::Sender<Finished>>,
    figures: Option<Arc<Mutex<Figures>>>,
    (places, recent): (Arc<[Place]>, Arc<Recent>),
) {
    while let Some(finished) = inbox.recv().await {
        if let Some(figures) = &figures {
            figures.lock().unwrap_or_else(PoisonError::into_inner).count(&finished, &places);
        }
        let Some(spans) = &spans else { continue };
        recent.remember(finished.exchange.id, finished.own);
        if finished.own.sampled && spans.try_send(finished).is_err() {
            counter!(DROPPED, "signal" => "traces", "reason" => "no_room").increment(1);
        }
    }
}

/// Sends what `/metrics` says and the histograms, at the beginning, at an interval and at the end.
async fn metrics(plan: Plan, figures: Arc<Mutex<Figures>>, born: u64, mut carry: Carry, mut ending: Ending) {
    let began = since_1970(SystemTime::now());
    let mut clock = interval(plan.of.interval);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_last = tokio::select! {
            _ = clock.tick() => false,
            () = ended(&mut ending) => true,
        };
        let now = since_1970(SystemTime::now());
        let mut all = exposition::metrics(&(plan.render)(), (born, now));
        all.extend(figures.lock().unwrap_or_else(PoisonError::into_inner).metrics((began, now)));
        let count = all.len() as u64;
        if carry.deliver(protobuf::request(&plan.resource, &all), count).await {
            (plan.taken)();
        }
        if is_last {
            return;
        }
    }
}
