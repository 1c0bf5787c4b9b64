//! Retention: which records are kept how long, and deleting those that are older.

use std::time::{Duration, Instant};

use gatehouse_domain::audit::{DELETION, Object};
use gatehouse_domain::time::{DAY_MS, UnixMillis};
use gatehouse_store::retention::Due;

use crate::act::{ActError, Caller};
use crate::app::App;

/// Most exchanges of one announcement in the log.
const ANNOUNCED: u64 = 100_000;
/// Most exchanges that are counted to tell how many would be deleted.
const COUNTED: u64 = 10_000_000;
/// For how long the work is one node's, in milliseconds.
const LEASE_MS: i64 = 120_000;
/// How long a call deletes at most; the job goes on with the rest.
pub const CALL: Duration = Duration::from_secs(10);
/// What the lease is called.
const LEASE: &str = "retention";

/// How long what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Records of exchanges, in days; for ever if not given.
    pub exchanges_days: Option<u32>,
    /// Tunnels of the forward proxy, in milliseconds.
    pub tunnels_ms: i64,
    /// Events that clients tell of, in milliseconds.
    pub events_ms: i64,
    /// Daily snapshots of the figures, in days; for ever if not given.
    pub snapshots_days: Option<u32>,
}

/// A kind of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// What it is called.
    pub name: &'static str,
    /// The setting that says how long it is kept.
    pub setting: &'static str,
    /// For how many days; for ever if not given.
    pub days: Option<u32>,
    /// What began before this is deleted.
    pub before: Option<UnixMillis>,
    /// How many records would be deleted now.
    pub due: u64,
    /// Whether there are even more.
    pub more: bool,
}

/// What a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ran {
    /// Exchanges that the log now says are deleted.
    pub announced: u64,
    /// Records that were deleted.
    pub deleted: u64,
    /// Whether more is to be deleted; the job goes on with it.
    pub more: bool,
}

impl Rules {
    /// Whose records are not kept any more: before the start of a UTC day, so that a day's run finds all of it at once.
    fn before(&self, now: UnixMillis) -> Option<UnixMillis> {
        self.exchanges_days.map(|days| now.plus_millis(-i64::from(days) * DAY_MS).day())
    }

    /// Which days' snapshots are not kept any more: those before this one.
    pub(crate) fn snapshots_before(&self, now: UnixMillis) -> Option<UnixMillis> {
        self.snapshots_days.map(|days| now.plus_millis(-i64::from(days) * DAY_MS).day())
    }
}

/// Says what would be deleted now, and deletes nothing.
///
/// # Errors
/// The database.
pub async fn look(app: &App) -> Result<Vec<Kind>, ActError> {
    let (rules, now) = ((app.house.retention)(), app.now());
    let before = rules.before(now);
    let due = match before {
        Some(before) => app.store.exchanges_due(app.org, before, COUNTED).await?,
        None => Due::default(),
    };
    let tunnels_before = now.plus_millis(-rules.tunnels_ms);
    let events_before = now.plus_millis(-rules.events_ms);
    let (tunnels, events) = app.store.old_records(app.org, tunnels_before, events_before).await?;
    let snapshots_before = rules.snapshots_before(now);
    let snapshots = match snapshots_before {
        Some(before) => app.store.old_snapshots(app.org, before).await?,
        None => 0,
    };
    let days = |ms: i64| Some(u32::try_from(ms / DAY_MS).unwrap_or(u32::MAX));
    Ok(vec![
        Kind {
            name: "exchanges",
            setting: "retention.exchanges_days",
            days: rules.exchanges_days,
            before,
            due: due.exchanges,
            more: due.more,
        },
        Kind {
            name: "tunnels",
            setting: "proxy.keep_days",
            days: days(rules.tunnels_ms),
            before: Some(tunnels_before),
            due: tunnels,
            more: false,
        },
        Kind {
            name: "client events",
            setting: "telemetry.keep_events_days",
            days: days(rules.events_ms),
            before: Some(events_before),
            due: events,
            more: false,
        },
        Kind {
            name: "metric snapshots",
            setting: "retention.snapshots_days",
            days: rules.snapshots_days,
            before: snapshots_before,
            due: snapshots,
            more: false,
        },
    ])
}

/// Announces in the audit log which records of exchanges are deleted, and deletes them, a few at a time and with pauses, for
/// so long at most. What was announced before is deleted first. Tunnels, events of clients and snapshots of
/// figures have jobs of their own.
///
/// # Errors
/// Another node is at it; the database.
pub async fn run(app: &App, caller: &Caller, limit: Duration) -> Result<Ran, ActError> {
    let holder = format!("{}-{}", app.node, app.random_bits());
    let taken = lease(app, &holder).await?;
    if !taken {
        return Err(ActError::Busy("another run is under way; try again in a few minutes".to_owned()));
    }
    let done = run_alone(app, caller, limit, &holder).await;
    app.store.give_lease_back(app.org, LEASE, &holder).await?;
    done
}

async fn lease(app: &App, holder: &str) -> Result<bool, ActError> {
    let now = app.now();
    Ok(app.store.take_lease(app.org, LEASE, holder, now, now.plus_millis(LEASE_MS)).await?)
}

async fn run_alone(app: &App, caller: &Caller, limit: Duration, holder: &str) -> Result<Ran, ActError> {
    let (began, mut ran) = (Instant::now(), Ran::default());
    loop {
        loop {
            let turn = Instant::now();
            let deleted = app.store.delete_announced(app.org).await?;
            ran.deleted += deleted.records;
            if !deleted.more {
                break;
            }
            if began.elapsed() >= limit || !lease(app, holder).await? {
                return Ok(Ran { more: true, ..ran });
            }
            // Whoever waits to write has as long as this took.
            tokio::time::sleep(turn.elapsed()).await;
        }
        let Some(before) = (app.house.retention)().before(app.now()) else { return Ok(ran) };
        let due = app.store.exchanges_due(app.org, before, ANNOUNCED).await?;
        if due.entries == 0 {
            return Ok(ran);
        }
        let act = caller
            .draft(app.now(), DELETION, Object::new("exchange", due.through, "records"))
            .with("before", before.to_string())
            .with("through", due.through)
            .with("entries", due.entries)
            .with("exchanges", due.exchanges);
        app.store.announce_deletion(app.org, &due, &act).await?;
        ran.announced += due.exchanges;
    }
}
