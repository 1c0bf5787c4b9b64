//! Snapshots of the figures: a day is there whole or not at all, once, written by who holds the lease; on both engines.

use gatehouse_domain::metrics::snapshot::{Measured, ScopeKind, Snapshot};
use gatehouse_domain::metrics::{Counts, Quantiles};
use gatehouse_domain::money::Nanos;
use gatehouse_domain::time::{DAY_MS, UnixMillis};
use gatehouse_domain::usage::Tokens;
use gatehouse_store::rollout::Lease;
use gatehouse_store::snapshot::SnapshotDay;

use crate::engines::{NOW, World, on_both};

on_both!(
    a_snapshot_comes_back_as_it_was,
    a_day_is_shown_when_it_is_whole,
    only_who_holds_the_lease_writes,
    old_days_go_a_few_at_a_time,
);

const LEASE: Lease<'static> = Lease { name: "snapshots", holder: "one" };
const ANOTHER: Lease<'static> = Lease { name: "snapshots", holder: "another" };

fn day(n: i64) -> UnixMillis {
    NOW.day().plus_millis(n * DAY_MS)
}

fn team(id: &str, on: UnixMillis, taken_at: UnixMillis) -> Snapshot {
    Snapshot {
        scope: Measured { kind: ScopeKind::Team, id: id.to_owned(), name: format!("team:{id}") },
        day: on,
        taken_at,
        from_rollups: true,
        counts: Counts {
            total_users: 1,
            active_users: 2,
            total_requests: 3,
            failed_requests: 4,
            refused_requests: 5,
            retried_requests: 6,
            abandoned_requests: 7,
            total_time_ms: i64::MAX.unsigned_abs(),
            total_cost: Nanos(-9),
            score_sum: 10,
            answers: 11,
            active_days: 12,
            active_in: [2, 14, 15],
            tokens: Tokens { input: 16, cache_write_5m: 17, cache_write_1h: 18, cache_read: 19, output: 20 },
            edits_accepted: 21,
            edits_rejected: 22,
            ..Counts::default()
        },
        durations: Quantiles { p50: 23, p95: 24, p99: u32::MAX, n: 26 },
        first_bytes: Quantiles { p50: 27, p95: 28, p99: 29, n: 30 },
    }
}

impl World {
    async fn hold(&self, lease: Lease<'_>) -> bool {
        let until = NOW.plus_millis(1000);
        self.store.take_lease(self.org, lease.name, lease.holder, NOW, until).await.unwrap()
    }

    async fn put(&self, lease: Lease<'_>, on: UnixMillis, snapshots: &[Snapshot]) -> bool {
        self.store.put_snapshots(self.org, lease, NOW, on, snapshots).await.unwrap()
    }

    async fn keep(&self, lease: Lease<'_>, on: UnixMillis, taken_at: UnixMillis) -> bool {
        let kept = SnapshotDay { day: on, taken_at, from_rollups: true, scopes: 1 };
        self.store.keep_snapshot_day(self.org, lease, NOW, &kept).await.unwrap()
    }

    async fn of(&self, id: &str) -> Vec<Snapshot> {
        self.store.snapshots(self.org, ScopeKind::Team, id, day(-100), day(100)).await.unwrap()
    }
}

async fn a_snapshot_comes_back_as_it_was(w: World) {
    assert!(w.hold(LEASE).await);
    let (first, second) = (team("a", day(0), NOW), team("a", day(1), NOW));
    for one in [&first, &second] {
        assert!(w.put(LEASE, one.day, std::slice::from_ref(one)).await && w.keep(LEASE, one.day, NOW).await);
    }
    assert_eq!(w.of("a").await, [first, second.clone()]);
    let later = w.store.snapshots(w.org, ScopeKind::Team, "a", day(1), day(2)).await.unwrap();
    assert_eq!(later, [second]);
    assert_eq!(w.of("b").await, []);
    assert_eq!(w.store.measured_scope(w.org, ScopeKind::Team, "team:a").await.unwrap().as_deref(), Some("a"));
    assert_eq!(w.store.measured_scope(w.org, ScopeKind::Mode, "team:a").await.unwrap(), None);
}

async fn a_day_is_shown_when_it_is_whole(w: World) {
    assert!(w.hold(LEASE).await);
    // A run that was killed: one of its scopes is no more when the day is taken anew.
    let left = [team("a", day(0), NOW), team("gone", day(0), NOW)];
    assert!(w.put(LEASE, day(0), &left).await);
    assert_eq!((w.of("a").await, w.store.snapshot_days(w.org, day(0)).await.unwrap().len()), (vec![], 0));
    let anew = team("a", day(0), NOW.plus_millis(5));
    assert!(w.put(LEASE, day(0), std::slice::from_ref(&anew)).await);
    assert!(w.keep(LEASE, day(0), anew.taken_at).await);
    assert_eq!((w.of("a").await, w.of("gone").await), (vec![anew.clone()], vec![]));
    // Kept is kept.
    assert!(!w.keep(LEASE, day(0), NOW.plus_millis(6)).await);
    assert!(!w.put(LEASE, day(0), &[team("a", day(0), NOW.plus_millis(6))]).await);
    assert_eq!(w.of("a").await, [anew]);
    assert!(w.store.snapshot_days(w.org, day(0)).await.unwrap().contains(&day(0)));
}

async fn only_who_holds_the_lease_writes(w: World) {
    assert!(w.hold(LEASE).await && !w.hold(ANOTHER).await);
    assert!(!w.put(ANOTHER, day(0), &[team("a", day(0), NOW)]).await);
    assert!(!w.keep(ANOTHER, day(0), NOW).await);
    let late = NOW.plus_millis(1000);
    let one = [team("a", day(0), NOW)];
    assert!(!w.store.put_snapshots(w.org, LEASE, late, day(0), &one).await.unwrap(), "it has run out");
    assert!(w.put(LEASE, day(0), &one).await && w.keep(LEASE, day(0), NOW).await);
    assert_eq!(w.of("a").await.len(), 1);
}

async fn old_days_go_a_few_at_a_time(w: World) {
    assert!(w.hold(LEASE).await);
    let many: Vec<Snapshot> = (0..600).map(|n| team(&n.to_string(), day(0), NOW)).collect();
    assert!(w.put(LEASE, day(0), &many).await && w.keep(LEASE, day(0), NOW).await);
    assert!(w.put(LEASE, day(1), &[team("1", day(1), NOW)]).await && w.keep(LEASE, day(1), NOW).await);
    assert_eq!(w.store.old_snapshots(w.org, day(1)).await.unwrap(), 600);
    let mut gone = Vec::new();
    for _ in 0..3 {
        gone.push(w.store.forget_snapshots(w.org, day(1)).await.unwrap());
    }
    assert_eq!(gone, [500, 100, 0]);
    assert_eq!(w.store.snapshot_days(w.org, day(0)).await.unwrap().into_iter().collect::<Vec<_>>(), [day(1)]);
    assert_eq!(w.of("1").await.len(), 1);
}
