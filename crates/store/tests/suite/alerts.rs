//! Turns of alerts and their messages, on both engines: kept whole, by whoever has the lease, and taken once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gatehouse_domain::alert::{Alert, Labels, Notification, Sample, Severity, Silence, State, parse_all};
use gatehouse_domain::id::{AlertEventId, DeliveryId, SilenceId};
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::alert::{
    AlertEvent, AlertEventFilter, AlertTurn, DeliveryFilter, DeliveryState, NewDelivery, Outcome,
};
use gatehouse_store::rollout::Lease;
use gatehouse_store::{Page, StoreError};

use crate::engines::{NOW, World, act, on_both, unique};

on_both!(
    a_turn_is_kept_whole_or_not_at_all,
    of_many_nodes_one_takes_a_message,
    a_message_is_tried_until_it_is_over,
    readings_count_for_a_while,
    a_silence_ends_once,
    what_is_old_is_forgotten,
);

const LEASE: Lease<'_> = Lease { name: "alerts", holder: "me" };

fn later(ms: i64) -> UnixMillis {
    NOW.plus_millis(ms)
}

fn alert(name: &str) -> Alert {
    let labels: Labels =
        [("alertname".to_owned(), name.to_owned()), ("severity".to_owned(), "info".to_owned())].into();
    Alert {
        rule: name.to_owned(),
        severity: Severity::Info,
        labels,
        state: State::Firing,
        active_at: NOW,
        fired_at: Some(NOW),
        seen_at: NOW,
        resolved_at: None,
        value: 0.1 + 0.2,
    }
}

fn message(receiver: &str, at: UnixMillis) -> NewDelivery {
    NewDelivery {
        id: DeliveryId::new(at, u128::from(unique())),
        receiver: receiver.to_owned(),
        notification: Notification {
            group: "g".to_owned(),
            group_labels: Labels::new(),
            firing: Vec::new(),
            resolved: Vec::new(),
            more: 0,
            is_test: false,
        },
    }
}

impl World {
    async fn leased(&self) {
        assert!(self.store.take_lease(self.org, "alerts", "me", NOW, later(60_000)).await.unwrap());
    }

    async fn queue(&self, deliveries: Vec<NewDelivery>) {
        let turn = AlertTurn { deliveries, queue: 100, ..AlertTurn::default() };
        assert!(self.store.keep_alert_turn(self.org, LEASE, &turn, NOW).await.unwrap());
    }

    async fn message_states(&self, receiver: &str) -> Vec<DeliveryState> {
        let filter = DeliveryFilter { receiver: Some(receiver.to_owned()), ..DeliveryFilter::default() };
        let listed = self.store.deliveries(self.org, &filter, &Page::first(100)).await.unwrap();
        listed.items.iter().map(|delivery| delivery.state).collect()
    }
}

async fn a_turn_is_kept_whole_or_not_at_all(world: World) {
    let turn = AlertTurn {
        alerts: vec![alert("a"), alert("b")],
        events: vec![AlertEvent {
            id: AlertEventId::new(NOW, 1),
            kind: "fired".to_owned(),
            at: NOW,
            alert: alert("a"),
        }],
        deliveries: vec![message("ops", NOW)],
        queue: 10,
        ..AlertTurn::default()
    };
    let kept = world.store.keep_alert_turn(world.org, LEASE, &turn, NOW).await.unwrap();
    assert!(!kept, "nobody has the lease");
    assert!(
        world.store.alerts(world.org).await.unwrap().is_empty()
            && world.message_states("ops").await.is_empty()
    );
    world.leased().await;
    assert!(
        !world.store.keep_alert_turn(world.org, LEASE, &turn, later(60_001)).await.unwrap(),
        "it is over"
    );
    assert!(world.store.keep_alert_turn(world.org, LEASE, &turn, NOW).await.unwrap());
    assert_eq!(world.store.alerts(world.org).await.unwrap(), [alert("a"), alert("b")]);
    // The same event again: nothing of that turn stays.
    let again = AlertTurn { alerts: vec![alert("c")], events: turn.events.clone(), ..AlertTurn::default() };
    let refused = world.store.keep_alert_turn(world.org, LEASE, &again, NOW).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    assert_eq!(world.store.alerts(world.org).await.unwrap().len(), 2);
    let events =
        world.store.alert_events(world.org, &AlertEventFilter::default(), &Page::first(10)).await.unwrap();
    assert_eq!(events.items, turn.events);
}

async fn of_many_nodes_one_takes_a_message(world: World) {
    world.leased().await;
    let messages: Vec<NewDelivery> = (0..5).map(|_| message("ops", NOW)).collect();
    let ids: Vec<DeliveryId> = messages.iter().map(|message| message.id).collect();
    world.queue(messages).await;
    let taken = Arc::new(AtomicU32::new(0));
    let mut nodes = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (world, taken, ids) = (world.clone(), Arc::clone(&taken), ids.clone());
        nodes.spawn(async move {
            for id in ids {
                // Under load a claim may be refused by the engine; then it is nobody's.
                if let Ok(true) = world.store.claim_delivery(world.org, LEASE, id, NOW, later(1000)).await {
                    taken.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    while let Some(done) = nodes.join_next().await {
        done.unwrap();
    }
    assert!(taken.load(Ordering::Relaxed) <= 5);
    let other = Lease { holder: "other", ..LEASE };
    let last = message("ops", NOW);
    let id = last.id;
    world.queue(vec![last]).await;
    assert!(!world.store.claim_delivery(world.org, other, id, NOW, later(1000)).await.unwrap());
    assert!(world.store.claim_delivery(world.org, LEASE, id, NOW, later(1000)).await.unwrap());
    assert!(!world.store.claim_delivery(world.org, LEASE, id, NOW, later(1000)).await.unwrap());
}

async fn a_message_is_tried_until_it_is_over(world: World) {
    world.leased().await;
    let (one, two) = (message("ops", NOW), message("ops", later(1)));
    let id = one.id;
    world.queue(vec![one, two.clone()]).await;
    let oldest = async || world.store.oldest_delivery(world.org, "ops").await.unwrap();
    assert_eq!(oldest().await.unwrap().id, id);
    assert!(world.store.claim_delivery(world.org, LEASE, id, NOW, later(1000)).await.unwrap());
    let again = Outcome::Again { at: later(5000), error: "it answers 503".to_owned() };
    world.store.end_delivery(world.org, id, &again, NOW).await.unwrap();
    let found = oldest().await.unwrap();
    assert_eq!((found.id, found.next_at, found.attempts), (id, later(5000), 1));
    assert!(!world.store.claim_delivery(world.org, LEASE, id, later(4999), later(9000)).await.unwrap());
    assert!(world.store.claim_delivery(world.org, LEASE, id, later(5000), later(9000)).await.unwrap());
    // Whoever took it died: after its time it is anybody's.
    assert!(!world.store.claim_delivery(world.org, LEASE, id, later(8999), later(12_000)).await.unwrap());
    assert!(world.store.claim_delivery(world.org, LEASE, id, later(9000), later(12_000)).await.unwrap());
    world.store.end_delivery(world.org, id, &Outcome::Sent, later(9000)).await.unwrap();
    // What comes too late changes nothing.
    let late = Outcome::Failed { error: "late".to_owned() };
    world.store.end_delivery(world.org, id, &late, later(9001)).await.unwrap();
    assert_eq!(oldest().await.unwrap().id, two.id);
    assert_eq!(world.message_states("ops").await, [DeliveryState::Waiting, DeliveryState::Sent]);
    assert_eq!(world.store.tried_since(world.org, "ops", later(8999)).await.unwrap(), 1);
    assert_eq!(world.store.tried_since(world.org, "ops", later(9000)).await.unwrap(), 0);
}

async fn readings_count_for_a_while(world: World) {
    let mine = [Sample::new("free_disk_bytes", &[("node", "a")], 1.5e9), Sample::new("x", &[], -0.1)];
    let keep = async |source: &str, samples: &[Sample], until| {
        world.store.keep_readings(world.org, source, samples, NOW, until, None).await.unwrap();
    };
    keep("node a", &mine, later(100)).await;
    keep("node b", &[Sample::new("free_disk_bytes", &[("node", "b")], 7.0)], later(200)).await;
    let read = async |at| world.store.readings(world.org, at).await.unwrap();
    assert_eq!(read(later(99)).await.len(), 3);
    assert!(read(later(99)).await.contains(&mine[1]));
    assert_eq!(read(later(100)).await.len(), 1);
    keep("node b", &[], later(200)).await;
    assert!(read(later(100)).await.is_empty());
}

async fn a_silence_ends_once(world: World) {
    let silence = Silence {
        id: SilenceId::new(NOW, u128::from(unique())),
        matchers: parse_all(&["alertname=a*", "node!=b"]).unwrap(),
        author: "ada".to_owned(),
        reason: "known".to_owned(),
        created_at: NOW,
        starts_at: NOW,
        ends_at: later(1000),
    };
    world.store.create_silence(world.org, &silence, &act("alert.silence")).await.unwrap();
    assert_eq!(world.store.silences(world.org, NOW).await.unwrap(), std::slice::from_ref(&silence));
    world.store.end_silence(world.org, silence.id, &act("alert.unsilence")).await.unwrap();
    let again = world.store.end_silence(world.org, silence.id, &act("alert.unsilence")).await;
    assert!(matches!(again, Err(StoreError::NotFound { .. })), "{again:?}");
    assert!(world.store.silences(world.org, NOW).await.unwrap().is_empty());
}

async fn what_is_old_is_forgotten(world: World) {
    world.leased().await;
    world.queue(vec![message("ops", NOW)]).await;
    let silent = [Sample::new("x", &[], 1.0)];
    world.store.keep_readings(world.org, "node a", &silent, NOW, later(10), None).await.unwrap();
    world.store.forget_alerts(world.org, NOW, later(5)).await.unwrap();
    assert_eq!(
        (world.message_states("ops").await.len(), world.store.readings(world.org, NOW).await.unwrap().len()),
        (1, 1)
    );
    world.store.forget_alerts(world.org, later(1), later(20)).await.unwrap();
    assert_eq!(
        (world.message_states("ops").await.len(), world.store.readings(world.org, NOW).await.unwrap().len()),
        (0, 0)
    );
}
