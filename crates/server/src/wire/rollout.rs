//! Rollouts move by themselves, and the six figures are kept for `/metrics`.

use std::time::Duration;

use gatehouse_control::act::ActError;
use gatehouse_control::{App, metrics as figures, rollout};
use gatehouse_domain::role::Scope;
use gatehouse_domain::rollout::State;
use gatehouse_store::{MAX_LIMIT, Page, in_time};
use metrics::gauge;
use tokio::time::{MissedTickBehavior, interval};

/// How often it is seen whether a rollout is due.
const LOOK: Duration = Duration::from_secs(1);
/// How long a turn may take. What a step did not finish was not begun.
const TURN: Duration = Duration::from_mins(2);
/// How often the figures are reckoned: it reads the exchanges of a week.
const FIGURES: Duration = Duration::from_mins(5);
/// Of which window.
const WINDOW: &str = "7d";

/// Moves what is due.
pub(super) async fn job(app: App) {
    let mut clock = interval(LOOK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        clock.tick().await;
        let turn = async { Ok(rollout::controller::run_due(&app).await) };
        let done = in_time(TURN, turn).await.unwrap_or_else(|late| Err(ActError::Store(late)));
        match done {
            Ok(()) => failing = false,
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(%error, "rollouts do not move now; it is tried again and again");
            }
            Err(_) => {}
        }
    }
}

/// Keeps the figures of the whole organization. Without data there is no figure, and not a zero.
pub(super) async fn figures(app: App) {
    let mut clock = interval(FIGURES);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        if let Err(error) = set(&app).await {
            tracing::debug!(%error, "the six figures were not reckoned");
        }
    }
}

async fn set(app: &App) -> Result<(), ActError> {
    let most = figures::MOST_RECORDS;
    let summary = figures::summary(app, Scope::Organization, Some("org"), Some(WINDOW), most).await?;
    let counts = &summary.counts;
    let cost = counts.cost_per_user();
    #[expect(clippy::cast_precision_loss, reason = "a figure beyond 2^53 need not be exact")]
    let dollars = cost.value.0 as f64 / 1e9;
    let satisfaction = counts.satisfaction();
    for (name, value, has_data) in [
        ("gatehouse_user_adoption_ratio", counts.adoption().value, !counts.adoption().no_data),
        ("gatehouse_requests_per_active_user", counts.frequency().value, !counts.frequency().no_data),
        ("gatehouse_user_error_ratio", counts.error_rate().value, !counts.error_rate().no_data),
        (
            "gatehouse_response_time_seconds",
            counts.response_time().value / 1000.0,
            !counts.response_time().no_data,
        ),
        ("gatehouse_cost_per_active_user_usd", dollars, !cost.no_data),
        ("gatehouse_edit_accept_ratio", counts.edit_accept_rate().value, !counts.edit_accept_rate().no_data),
        (
            "gatehouse_satisfaction_score",
            satisfaction.value,
            !satisfaction.no_data && !summary.feedback.withheld,
        ),
    ] {
        gauge!(name, "window" => WINDOW).set(if has_data { value } else { f64::NAN });
    }
    let mut count = [0_u32; State::ALL.len()];
    for rollout in rollout::list(app, &Page::first(MAX_LIMIT)).await?.items {
        let at = State::ALL.iter().position(|state| *state == rollout.progress.state);
        if let Some(count) = at.and_then(|at| count.get_mut(at)) {
            *count += 1;
        }
    }
    for (state, count) in State::ALL.iter().zip(count) {
        gauge!("gatehouse_rollouts", "state" => state.as_str()).set(f64::from(count));
    }
    Ok(())
}
