//! Rollouts move by themselves, and the six figures are kept for `/metrics`.

use std::time::Duration;

use gatehouse_control::act::ActError;
use gatehouse_control::metrics::Summary;
use gatehouse_control::{App, metrics as figures, rollout};
use gatehouse_domain::metrics::Figure;
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

/// What the figures of a mode are called, in the order of [`values`].
const OF_MODE: [&str; 7] = [
    "gatehouse_mode_user_adoption_ratio",
    "gatehouse_mode_requests_per_active_user",
    "gatehouse_mode_user_error_ratio",
    "gatehouse_mode_response_time_seconds",
    "gatehouse_mode_cost_per_active_user_usd",
    "gatehouse_mode_edit_accept_ratio",
    "gatehouse_mode_satisfaction_score",
];

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

/// Keeps the figures of the whole organization and of each mode. Without data there is no figure, and not a zero.
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
    let (organization, modes) = figures::by_mode(app, WINDOW, figures::MOST_RECORDS).await?;
    for (name, value) in values(&organization) {
        gauge!(name, "window" => WINDOW).set(value);
    }
    for (mode, summary) in &modes {
        for ((_, value), name) in values(summary).into_iter().zip(OF_MODE) {
            gauge!(name, "window" => WINDOW, "mode" => mode.as_str()).set(value);
        }
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

/// The figures of a scope; one without data is not a number, and `/metrics` leaves it out.
fn values(summary: &Summary) -> [(&'static str, f64); 7] {
    let counts = &summary.counts;
    let value = |figure: Figure| if figure.no_data { f64::NAN } else { figure.value };
    let cost = counts.cost_per_user();
    #[expect(clippy::cast_precision_loss, reason = "a figure beyond 2^53 need not be exact")]
    let dollars = if cost.no_data { f64::NAN } else { cost.value.0 as f64 / 1e9 };
    let score = if summary.feedback.withheld { f64::NAN } else { value(counts.satisfaction()) };
    [
        ("gatehouse_user_adoption_ratio", value(counts.adoption())),
        ("gatehouse_requests_per_active_user", value(counts.frequency())),
        ("gatehouse_user_error_ratio", value(counts.error_rate())),
        ("gatehouse_response_time_seconds", value(counts.response_time()) / 1000.0),
        ("gatehouse_cost_per_active_user_usd", dollars),
        ("gatehouse_edit_accept_ratio", value(counts.edit_accept_rate())),
        ("gatehouse_satisfaction_score", score),
    ]
}
