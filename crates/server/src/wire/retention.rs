//! Deleting records that are older than they are kept.

use std::time::Duration;

use gatehouse_control::App;
use gatehouse_control::act::{ActError, Caller};
use gatehouse_control::retention::{self, Rules};
use metrics::counter;
use tokio::time::{MissedTickBehavior, interval_at};

use super::live::Live;

/// How often it is looked for old records.
const EVERY: Duration = Duration::from_hours(1);
/// How long after the start for the first time.
const FIRST: Duration = Duration::from_mins(5);
/// How long one turn deletes.
const TURN: Duration = Duration::from_mins(50);

/// What the configuration says of it.
pub(super) fn rules(live: &Live) -> Rules {
    let config = live.config.load();
    let ms = |kept: Duration| i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
    Rules {
        exchanges_days: config.retention.exchanges_days,
        tunnels_ms: ms(config.proxy.keep),
        events_ms: ms(config.telemetry.events),
        snapshots_days: config.retention.snapshots_days,
    }
}

/// The job.
pub(super) async fn job(app: App) {
    let mut clock = interval_at(tokio::time::Instant::now() + FIRST, EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        match retention::run(&app, &Caller::system("retention"), TURN).await {
            Ok(ran) if ran.deleted > 0 => {
                counter!("gatehouse_records_deleted_total").increment(ran.deleted);
                tracing::info!(
                    deleted = ran.deleted,
                    more = ran.more,
                    "records older than they are kept are deleted"
                );
            }
            // Another node is at it.
            Ok(_) | Err(ActError::Busy(_)) => {}
            Err(error) => {
                tracing::warn!(%error, "old records were not deleted; it is tried again in an hour");
            }
        }
    }
}
