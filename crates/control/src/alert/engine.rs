//! One turn: what is seen, what that means, who is to be told, in one transaction.

use std::collections::BTreeMap;

use gatehouse_domain::alert::{Alert, Flush, Plan, Round, Routing, Sample, State, evaluate, flush};
use gatehouse_domain::id::{AlertEventId, DeliveryId};
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::alert::{AlertEvent, AlertTurn, NewDelivery};
use gatehouse_store::rollout::Lease;

use super::collect;
use crate::act::ActError;
use crate::app::App;

/// The lease's name.
pub(super) const LEASE: &str = "alerts";
/// How much longer than a turn's interval the lease lasts: after so long another node takes over from one that died.
const SPARE_MS: i64 = 5000;
/// A node's own values count for so many intervals.
const INTERVALS: i64 = 4;

/// What a turn came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Turned {
    /// Whether this node evaluates.
    pub is_mine: bool,
    /// Alerts that fire.
    pub firing: usize,
    /// Alerts that were left out for want of room.
    pub left_out: usize,
    /// Messages that were decided on.
    pub told: usize,
}

/// Evaluates, while it has the lease.
pub struct Engine {
    holder: String,
    /// Signals that are dear to look at, by source, and when that was done.
    pub(super) kept: BTreeMap<&'static str, (UnixMillis, Vec<Sample>)>,
    forgotten_at: UnixMillis,
}

impl Engine {
    /// An engine of this node. Its lease is its own: no two engines are taken for each other.
    pub fn new(app: &App) -> Self {
        Self {
            holder: format!("{} {:032x}", app.node, app.random_bits()),
            kept: BTreeMap::new(),
            forgotten_at: UnixMillis(0),
        }
    }

    /// The lease under which this engine works.
    pub(super) fn lease(&self) -> Lease<'_> {
        Lease { name: LEASE, holder: &self.holder }
    }

    /// The name of what holds the lease.
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// Takes the lease, or extends it; gives whether this engine has it now.
    pub(super) async fn take_lease(&self, app: &App, plan: &Plan) -> Result<bool, ActError> {
        let now = app.now();
        let until = now.plus_millis(plan.every_ms + SPARE_MS);
        Ok(app.store.take_lease(app.org, LEASE, &self.holder, now, until).await?)
    }

    /// Writes what this node sees, and evaluates if no other node does. To be called at every interval.
    ///
    /// # Errors
    /// The database. The turn is then done at the next call; nothing of it is kept by halves.
    pub async fn turn(&mut self, app: &App) -> Result<Turned, ActError> {
        let plan = (app.house.alerts.plan)();
        if !plan.enabled {
            (app.house.alerts.show)(&[]);
            return Ok(Turned::default());
        }
        let own = (app.house.alerts.readings)().await;
        let (now, source) = (app.now(), format!("node {}", app.node));
        let until = now.plus_millis(plan.every_ms * INTERVALS);
        app.store.keep_readings(app.org, &source, &own, now, until, None).await?;
        if !self.take_lease(app, &plan).await? {
            (app.house.alerts.show)(&[]);
            return Ok(Turned::default());
        }
        // What was comes after the lease, so that nobody else changes it from here on.
        let before = app.store.alerts(app.org).await?;
        let groups = app.store.alert_groups(app.org).await?;
        let silences = app.store.silences(app.org, now).await?;
        let seen = collect::all(app, self, &plan).await;
        (app.house.alerts.show)(&seen.samples);
        let now = app.now();
        let round = evaluate(&plan.rules, &seen, before.clone(), now);
        let firing: Vec<Alert> =
            round.now.iter().filter(|alert| alert.state == State::Firing).cloned().collect();
        let routing = Routing {
            routes: &plan.routes,
            receivers: &plan.receivers,
            silences: &silences,
            inhibitions: &plan.inhibitions,
        };
        let flush = flush(&groups, &firing, routing, now);
        let turned =
            Turned { is_mine: true, firing: firing.len(), left_out: round.left_out, told: flush.tell.len() };
        let is_same = round.now == before && flush == Flush::default() && round.resolved.is_empty();
        if !is_same && !self.keep(app, &plan, round, flush, now).await? {
            return Ok(Turned::default());
        }
        self.forget(app, &plan, now).await?;
        Ok(turned)
    }

    async fn keep(
        &self,
        app: &App,
        plan: &Plan,
        round: Round,
        flush: Flush,
        now: UnixMillis,
    ) -> Result<bool, ActError> {
        let event = |kind: &str, alert: Alert| AlertEvent {
            id: AlertEventId::new(now, app.random_bits()),
            kind: kind.to_owned(),
            at: now,
            alert,
        };
        let fired = round.fired.into_iter().map(|alert| event("fired", alert));
        let resolved = round.resolved.into_iter().map(|alert| event("resolved", alert));
        let events: Vec<AlertEvent> = fired.chain(resolved).collect();
        for one in &events {
            tracing::info!(alert.rule = one.alert.rule, alert.labels = ?one.alert.labels, "an alert {}", match one.kind.as_str() {
                "fired" => "fires",
                _ => "is over",
            });
        }
        let delivery = |(receiver, notification)| NewDelivery {
            id: DeliveryId::new(now, app.random_bits()),
            receiver,
            notification,
        };
        let turn = AlertTurn {
            alerts: round.now,
            events,
            groups: flush.changed,
            groups_gone: flush.gone,
            deliveries: flush.tell.into_iter().map(delivery).collect(),
            queue: plan.queue,
        };
        Ok(app.store.keep_alert_turn(app.org, self.lease(), &turn, now).await?)
    }

    /// Once an hour, forgets what is older than it is kept.
    async fn forget(&mut self, app: &App, plan: &Plan, now: UnixMillis) -> Result<(), ActError> {
        if now.0 - self.forgotten_at.0 >= gatehouse_domain::time::HOUR_MS {
            app.store.forget_alerts(app.org, now.plus_millis(-plan.keep_ms), now).await?;
            self.forgotten_at = now;
        }
        Ok(())
    }
}
