//! What goes on beside requests: the policy is kept fresh, the audit log signed, metrics folded, this node seen.

use std::sync::Arc;
use std::time::Duration;

use gatehouse_control::App;
use gatehouse_control::act::{ActError, Caller};
use gatehouse_control::alert::Sender;
use gatehouse_control::rotation;
use gatehouse_store::audit::{CheckpointError, CheckpointRule};
use gatehouse_store::in_time;
use metrics::gauge;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::live::Live;
use super::portal::SignIn;
use super::{
    alert, analytics, backup, directory, egress, entrance, log_forward, provider_report, proxy, retention,
    rollout, routes, signal, snapshot,
};
use crate::{clock, metric};

/// How often the policy's version is asked for; a change on another node is in force here this much later at most.
const POLICY: Duration = Duration::from_secs(2);
/// How often it is seen whether the audit log is to be signed.
const CHECKPOINT: Duration = Duration::from_secs(5);
/// How often it is looked at again once it was found altered: reading it takes time, and only an operator can help.
const ALTERED: Duration = Duration::from_mins(1);
/// How often this node says that it is there, and how long that may take; as often, sealed keys that another node took are looked for.
const PRESENCE: Duration = Duration::from_secs(10);
/// How long a turn with the database may take: one that has gone silent must not end the turns for good.
const TURN: Duration = Duration::from_mins(1);
/// How often sign-ins that have run out are cleared.
const SIGN_INS: Duration = Duration::from_mins(1);
/// How often it is written down what clients say of their settings.
const RECEIPTS: Duration = Duration::from_secs(5);
/// How often it is seen whether a provider's credential is to be renewed.
const CREDENTIALS: Duration = Duration::from_millis(500);
/// How often it is seen whether settings are to be published.
const PUBLICATIONS: Duration = Duration::from_secs(5);
/// How often readiness is judged anew.
const READINESS: Duration = Duration::from_secs(1);

/// Starts all of them. They end when the set is dropped.
pub(super) fn start(
    live: &Arc<Live>,
    app: &App,
    portal: &Arc<SignIn>,
    metrics: PrometheusHandle,
) -> std::io::Result<JoinSet<()>> {
    let mut jobs = JoinSet::new();
    jobs.spawn(policy(Arc::clone(live)));
    jobs.spawn(checkpoints(Arc::clone(live), app.clone()));
    jobs.spawn(presence(Arc::clone(live), app.clone()));
    jobs.spawn(receipts(Arc::clone(live)));
    jobs.spawn(credentials(Arc::clone(live)));
    jobs.spawn(publications(app.clone()));
    jobs.spawn(backup::job(Arc::clone(live), app.clone()));
    jobs.spawn(routes::checks(Arc::clone(live)));
    jobs.spawn(readiness(Arc::clone(live)));
    jobs.spawn(sign_ins(Arc::clone(portal)));
    jobs.spawn(telemetry(Arc::clone(portal)));
    jobs.spawn(old_telemetry(Arc::clone(portal)));
    jobs.spawn(directory::job(app.clone()));
    if let Some(link) = live.link() {
        jobs.spawn(link.run());
    }
    jobs.spawn(retention::job(app.clone()));
    jobs.spawn(snapshot::job(app.clone()));
    jobs.spawn(log_forward::job(Arc::clone(live), app.clone()));
    jobs.spawn(proxy::job(Arc::clone(live)));
    jobs.spawn(egress::job(Arc::clone(live)));
    jobs.spawn(provider_report::job(Arc::clone(live)));
    jobs.spawn(analytics::job(Arc::clone(live), app.clone()));
    jobs.spawn(entrance::job(Arc::clone(live)));
    jobs.spawn(rollout::job(app.clone()));
    jobs.spawn(rollout::figures(app.clone()));
    let sender = Sender::default();
    jobs.spawn(alert::evaluations(app.clone(), sender.clone()));
    jobs.spawn(alert::deliveries(app.clone(), sender));
    jobs.spawn(every(metric::UPKEEP, move || metrics.run_upkeep()));
    jobs.spawn(reloads(signal::hangups()?, app.clone()));
    Ok(jobs)
}

async fn every(period: Duration, mut act: impl FnMut()) {
    let mut clock = interval(period);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        act();
    }
}

/// Logs the first failure of a row, and its end.
#[derive(Default)]
pub(super) struct Trouble {
    began: bool,
}

impl Trouble {
    pub(super) fn note<E: std::fmt::Display>(&mut self, what: &str, done: Result<(), E>) {
        match done {
            Ok(()) if self.began => {
                self.began = false;
                tracing::info!("{what} works again");
            }
            Err(error) if !self.began => {
                self.began = true;
                tracing::warn!(%error, "{what} does not work now; it is tried again and again");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

async fn policy(live: Arc<Live>) {
    let (mut clock, mut trouble) = (interval(POLICY), Trouble::default());
    let mut rehashing = Trouble::default();
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = clock.tick() => {}
            () = live.fresh.change() => {}
        }
        trouble.note("reading the policy", live.refresh_policy().await);
        rehashing.note("hashing keys anew", live.write_rehashes().await);
    }
}

async fn checkpoints(live: Arc<Live>, app: App) {
    let alarm = gauge!("gatehouse_audit_altered");
    alarm.set(0.0);
    let (mut clock, mut trouble) = (interval(CHECKPOINT), Trouble::default());
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        let audit = live.config.load().audit;
        let millis = i64::try_from(audit.interval.as_millis()).unwrap_or(i64::MAX);
        let rule = CheckpointRule { entries: audit.entries, millis };
        let signing = app.store.checkpoint_if_due(app.org, rule, &app.notary, clock::now());
        let done = in_time(TURN, async { Ok(signing.await) }).await.unwrap_or_else(|late| Err(late.into()));
        match done {
            Err(error @ CheckpointError::Altered { .. }) => {
                tracing::error!(%error, "the audit log is not what it was");
                alarm.set(1.0);
                tokio::time::sleep(ALTERED).await;
            }
            done => {
                if done.is_ok() {
                    alarm.set(0.0);
                }
                trouble.note("signing the audit log", done.map(drop));
            }
        }
    }
}

async fn presence(live: Arc<Live>, app: App) {
    let (mut clock, mut trouble) = (interval(PRESENCE), Trouble::default());
    let mut keys = Trouble::default();
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut done = in_time(PRESENCE, live.tell_presence()).await;
    loop {
        trouble.note("telling the database that this node is there", done);
        clock.tick().await;
        live.refresh_keys().await;
        done = in_time(PRESENCE, live.tell_presence()).await;
        let tidied = tokio::time::timeout(TURN, rotation::tidy(&app)).await;
        keys.note(
            "looking after the server's own keys",
            match tidied {
                Ok(done) => done.map_err(|error| error.to_string()),
                Err(_) => Err("the database was silent".to_owned()),
            },
        );
    }
}

/// Clears what has run out of sign-ins, and keeps what identity providers publish at hand.
async fn sign_ins(portal: Arc<SignIn>) {
    let (mut clock, mut trouble) = (interval(SIGN_INS), Trouble::default());
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        trouble.note("clearing sign-ins that have run out", in_time(TURN, portal.clear()).await);
        portal.warm().await;
    }
}

/// Writes what clients say of their use.
async fn telemetry(portal: Arc<SignIn>) {
    portal.write_telemetry().await;
}

/// Removes telemetry that is older than it is kept.
async fn old_telemetry(portal: Arc<SignIn>) {
    let (mut clock, mut trouble) = (interval(SIGN_INS), Trouble::default());
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        trouble.note("clearing old telemetry", in_time(TURN, portal.clear_telemetry()).await);
    }
}

async fn receipts(live: Arc<Live>) {
    let (mut clock, mut trouble) = (interval(RECEIPTS), Trouble::default());
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        let done = in_time(TURN, live.delivery.flush(&live.store, live.org)).await;
        trouble.note("writing down what clients say of their settings", done);
    }
}

/// Renews what providers are shown ahead of its end, so that no request waits for it. Each has turns of its own: one service
/// that hangs holds no other up.
async fn credentials(live: Arc<Live>) {
    let mut clock = interval(CREDENTIALS);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        let mut turns = JoinSet::new();
        for renewal in live.providers().into_iter().filter_map(|provided| provided.renewal) {
            turns.spawn(async move { renewal.turn(std::time::SystemTime::now()).await });
        }
        while turns.join_next().await.is_some() {}
    }
}

async fn publications(app: App) {
    let (mut clock, mut trouble) = (interval(PUBLICATIONS), Trouble::default());
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        // What is due is published whole or not at all, should a turn be cut short.
        let due = async { Ok(gatehouse_control::settings::schedule::run_due(&app).await) };
        let done = in_time(TURN, due).await.unwrap_or_else(|late| Err(ActError::Store(late)));
        trouble.note("publishing settings on time", done);
    }
}

async fn readiness(live: Arc<Live>) {
    let mut before = true;
    every(READINESS, move || {
        let now = live.judge();
        if now.ready != before {
            before = now.ready;
            let problems: Vec<&str> =
                now.checks.iter().filter_map(|check| check.problem.as_deref()).collect();
            if now.ready {
                tracing::info!("requests are served");
            } else {
                tracing::warn!(?problems, "requests are not served");
            }
        }
    })
    .await;
}

async fn reloads(mut hangups: tokio::signal::unix::Signal, app: App) {
    while hangups.recv().await.is_some() {
        if let Err(error) = gatehouse_control::config::reload(&app, &Caller::system("signal")).await {
            tracing::error!(%error, "the configuration was not reloaded");
        }
    }
}
