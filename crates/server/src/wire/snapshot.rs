//! The figures of each day are kept when it is over.

use std::time::Duration;

use gatehouse_control::App;
use gatehouse_control::act::ActError;
use gatehouse_control::metrics::snapshot;
use gatehouse_store::in_time;
use tokio::time::{MissedTickBehavior, interval};

use super::job::Trouble;

/// How often it is seen whether a day is to be kept.
const LOOK: Duration = Duration::from_mins(5);
/// How long a turn may take, with a month of missed days in it. What of a day it did not finish is done anew.
const TURN: Duration = Duration::from_hours(1);

/// The job.
pub(super) async fn job(app: App) {
    let (mut clock, mut trouble) = (interval(LOOK), Trouble::default());
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        let turn = async { Ok(snapshot::run_due(&app).await) };
        let done = in_time(TURN, turn).await.unwrap_or_else(|late| Err(ActError::Store(late)));
        if let Ok(ran) = &done
            && ran.days > 0
        {
            tracing::info!(days = ran.days, "the figures of days that are over are kept");
        }
        trouble.note("keeping the figures of the day", done.map(drop));
    }
}
