//! `/api/v1/log-forwards`.

use axum::Json;
use axum::extract::State;
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::log_forward::Exchanges;
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::{Admin, ReadConfig};
use super::error::ApiError;
use super::page::Items;
use crate::app::App;
use crate::log_forward::{self, Standing};

/// A destination of the log, and how far it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogForwardView {
    /// Its name.
    pub name: String,
    /// What it is and where; `null` when it is not configured any more.
    pub place: Option<String>,
    /// Whether it is given exchanges beside audit entries.
    pub exchanges: bool,
    /// `waiting` (not begun), `delivering`, `behind` (nothing delivered for ten minutes), `failing` or `removed`.
    pub state: &'static str,
    /// The last audit entry that it was given whole.
    pub entry: Option<u64>,
    /// Audit entries that it was not given yet.
    pub behind: u64,
    /// Lines that it was given, ever.
    pub delivered: u64,
    /// When it was given something last (RFC 3339).
    pub moved_at: Option<String>,
    /// Since when it fails (RFC 3339).
    pub failing_since: Option<String>,
    /// Why.
    pub failure: Option<String>,
}

fn view(one: Standing, now: UnixMillis) -> LogForwardView {
    let state = one.word(now);
    let Standing { configured, reached, name, behind } = one;
    LogForwardView {
        name,
        exchanges: configured.as_ref().is_some_and(|to| to.exchanges == Exchanges::Included),
        place: configured.map(|to| to.place),
        state,
        entry: reached.as_ref().map(|at| at.cursor.seq),
        behind,
        delivered: reached.as_ref().map_or(0, |at| at.delivered),
        moved_at: reached.as_ref().map(|at| at.moved_at.to_string()),
        failing_since: reached.as_ref().and_then(|at| at.failing_since).map(|at| at.to_string()),
        failure: reached.and_then(|at| at.failure),
    }
}

/// Where the log is handed to, and how far each destination is.
#[utoipa::path(
    get, path = "/api/v1/log-forwards", tag = "log_forward", operation_id = "log_forward_list",
    security(("admin_token" = ["read_config"])),
    responses((status = 200, body = Items<LogForwardView>))
)]
pub async fn list(
    _: Admin<ReadConfig>,
    State(app): State<App>,
) -> Result<Json<Items<LogForwardView>>, ApiError> {
    let all = log_forward::list(&app).await?;
    let now = app.now();
    Ok(Json(Items::all(all.into_iter().map(|one| view(one, now)).collect())))
}
