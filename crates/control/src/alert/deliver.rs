//! Sending: of each receiver one message at a time, in their order; what one does holds no other up.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gatehouse_domain::alert::{Plan, Receiver};
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::alert::{Delivery, Outcome};
use gatehouse_store::rollout::Lease;

use super::{Engine, NotTaken};
use crate::act::ActError;
use crate::app::App;

/// How long a message that was taken to be sent is nobody else's: longer than sending may take.
const CLAIM_MS: i64 = 45_000;
/// The pause after the first failure; twice as long after each other one.
const FIRST_PAUSE_MS: i64 = 2000;
/// The longest pause.
const LONGEST_PAUSE_MS: i64 = 300_000;
/// Longest time that a receiver's own word on when to come again is believed.
const LONGEST_WAIT: Duration = Duration::from_mins(15);

/// Sends what waits. Clones share what is known.
#[derive(Debug, Clone, Default)]
pub struct Sender {
    /// Receivers that are being sent to.
    busy: Arc<Mutex<BTreeSet<String>>>,
    /// Who holds the lease on this node; without it nothing is sent.
    holder: Arc<Mutex<Option<String>>>,
}

/// Frees its receiver when it is dropped, whatever became of the message.
struct Busy {
    sender: Sender,
    receiver: String,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.sender.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.receiver);
    }
}

impl Sender {
    /// Says under whose lease is sent: that of the [`Engine`] that evaluates on this node, or of nobody.
    pub fn allow(&self, holder: Option<String>) {
        *self.holder.lock().unwrap_or_else(PoisonError::into_inner) = holder;
    }

    /// Begins to send to every receiver that something waits for, and that is not being sent to. Returns at once; the tasks
    /// end by themselves.
    pub fn turn(&self, app: &App) {
        let plan = (app.house.alerts.plan)();
        let holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (Some(holder), true) = (holder, plan.enabled) else { return };
        for receiver in &plan.receivers {
            if let Some(busy) = self.begin(&receiver.name) {
                let (app, plan, receiver) = (app.clone(), Arc::clone(&plan), receiver.clone());
                let holder = holder.clone();
                tokio::spawn(async move {
                    let _busy = busy;
                    let lease = Lease { name: super::engine::LEASE, holder: &holder };
                    loop {
                        match one(&app, &plan, &receiver, lease).await {
                            Ok(true) => {}
                            Ok(false) => break,
                            Err(error) => {
                                tracing::debug!(%error, receiver = receiver.name, "a message waits for the database");
                                break;
                            }
                        }
                    }
                });
            }
        }
    }

    fn begin(&self, receiver: &str) -> Option<Busy> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = busy.insert(receiver.to_owned());
        is_new.then(|| Busy { sender: self.clone(), receiver: receiver.to_owned() })
    }
}

impl Engine {
    /// Sends everything that is due, one receiver after the other, and gives how many messages were tried. For tests, which
    /// command the clock.
    ///
    /// # Errors
    /// The database.
    #[doc(hidden)]
    pub async fn deliver(&self, app: &App) -> Result<usize, ActError> {
        let (plan, mut tried) = ((app.house.alerts.plan)(), 0);
        for receiver in &plan.receivers {
            while one(app, &plan, receiver, self.lease()).await? {
                tried += 1;
            }
        }
        Ok(tried)
    }
}

/// Sends the oldest message of a receiver, if it is due and the receiver takes more; gives whether it was tried.
async fn one(app: &App, plan: &Plan, receiver: &Receiver, lease: Lease<'_>) -> Result<bool, ActError> {
    let now = app.now();
    let Some(delivery) = app.store.oldest_delivery(app.org, &receiver.name).await? else { return Ok(false) };
    if delivery.next_at > now || !has_room(app, receiver, now).await? {
        return Ok(false);
    }
    let until = now.plus_millis(CLAIM_MS);
    if !app.store.claim_delivery(app.org, lease, delivery.id, now, until).await? {
        return Ok(false);
    }
    let sent = (app.house.alerts.send)(&receiver.name, delivery.id, delivery.notification.clone()).await;
    let now = app.now();
    let outcome = outcome(plan, &delivery, sent, now);
    if let Outcome::Failed { error } = &outcome {
        tracing::error!(
            receiver = receiver.name,
            error,
            "a message of alerts is given up; `gatehouse alerts receivers` tells how the receiver fares"
        );
    }
    app.store.end_delivery(app.org, delivery.id, &outcome, now).await?;
    Ok(true)
}

async fn has_room(app: &App, receiver: &Receiver, now: UnixMillis) -> Result<bool, ActError> {
    if receiver.per_minute == 0 {
        return Ok(true);
    }
    let tried = app.store.tried_since(app.org, &receiver.name, now.plus_millis(-60_000)).await?;
    Ok(tried < u64::from(receiver.per_minute))
}

fn outcome(plan: &Plan, delivery: &Delivery, sent: Result<(), NotTaken>, now: UnixMillis) -> Outcome {
    let NotTaken { error, again, after } = match sent {
        Ok(()) => return Outcome::Sent,
        Err(not) => not,
    };
    if !again || now.0 - delivery.created_at.0 >= plan.give_up_ms {
        return Outcome::Failed { error };
    }
    let doublings = u32::try_from(delivery.attempts.min(10)).unwrap_or(10);
    let pause = FIRST_PAUSE_MS.saturating_mul(1 << doublings).min(LONGEST_PAUSE_MS);
    let told = after.map_or(0, |after| i64::try_from(after.min(LONGEST_WAIT).as_millis()).unwrap_or(0));
    Outcome::Again { at: now.plus_millis(pause.max(told)), error }
}
