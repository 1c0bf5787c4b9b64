//! Backups: what the configuration says of them, and the job that makes them on time.

use std::sync::Arc;
use std::time::Duration;

use gatehouse_control::App;
use gatehouse_control::backup::{self, Rule};
use metrics::gauge;
use tokio::time::{MissedTickBehavior, interval};

use super::live::Live;
use crate::clock;
use crate::secret::resolve;

/// How often it is seen whether a backup is due.
const TURN: Duration = Duration::from_mins(1);
/// Milliseconds of an hour.
const HOUR_MS: i64 = 3_600_000;

/// What the configuration says; a sentence when the passphrase cannot be had.
pub(super) fn rule(live: &Live) -> Result<Rule, String> {
    let config = live.config.load();
    let set = &config.backup;
    let passphrase = set.passphrase.as_ref().map(|source| resolve(source, &live.environment)).transpose();
    Ok(Rule {
        directory: set.directory.clone(),
        every_ms: i64::try_from(set.every_hours).unwrap_or(i64::MAX).saturating_mul(HOUR_MS),
        keep: set.keep,
        passphrase: passphrase.map_err(|error| error.to_string())?.flatten(),
    })
}

/// Makes backups on time. A failure is logged when it begins, and tried again every minute.
pub(super) async fn job(live: Arc<Live>, app: App) {
    let (newest, failing) =
        (gauge!("gatehouse_backup_newest_timestamp_seconds"), gauge!("gatehouse_backup_failing"));
    let (mut clock, mut failed) = (interval(TURN), false);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        if live.config.load().backup.directory.is_none() {
            continue;
        }
        match backup::run_due(&app).await {
            Ok(made) => {
                if made.is_some() {
                    #[expect(
                        clippy::cast_precision_loss,
                        reason = "seconds since 1970 are exact in a double"
                    )]
                    newest.set((clock::now().0 / 1000) as f64);
                }
                if failed {
                    tracing::info!("backups are made again");
                }
                failed = false;
            }
            Err(error) => {
                if !failed {
                    tracing::error!(%error, "a backup is due and cannot be made; it is tried again every minute");
                }
                failed = true;
            }
        }
        failing.set(f64::from(u8::from(failed)));
    }
}
