//! `/api/v1/reports/chargeback` and `/api/v1/reports/statements`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::auth::{Admin, CloseMonths, ReadUsage};
use super::super::error::ApiError;
use super::super::extract::{Body, Params, Segment};
use super::super::page::Items;
use super::view::{ChargebackView, LineView, StatementView};
use super::{pdf, text};
use crate::app::App;
use crate::report::document::{self, Extent, Wanted};
use crate::report::page::{Language, html};
use crate::report::{chargeback, focus, month, read_month, read_side};

/// Which report is wanted, and how.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// The month, `2026-10`.
    month: String,
    /// `team` (as it was charged at the time of the request), `project`, `user`, `key`, `provider` or `model`; `team` if
    /// not given.
    by: Option<String>,
    /// Amounts are shown in this currency too, at the rate of the month's end.
    currency: Option<String>,
    /// The form; `json` if not given. `focus` is FOCUS 1.2 as CSV, `html` a page for printing, `pdf` a document.
    #[param(inline)]
    format: Option<Format>,
    /// The page's language: `en`, `zh-CN` or `zh-TW`.
    language: Option<String>,
}

/// The form of a report.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// JSON.
    Json,
    /// Comma-separated values.
    Csv,
    /// A page for printing.
    Html,
    /// A document.
    Pdf,
    /// FOCUS 1.2 as CSV: every line of the month.
    Focus,
}

/// Says who bears what in a month: of its locked statement if it is closed, else as it stands now.
#[utoipa::path(
    get, path = "/api/v1/reports/chargeback", tag = "reports", operation_id = "reports_chargeback", params(Query),
    security(("admin_token" = ["read_usage"])),
    responses((status = 200, body = ChargebackView))
)]
pub async fn get(
    _: Admin<ReadUsage>,
    State(app): State<App>,
    Params(query): Params<Query>,
) -> Result<Response, ApiError> {
    let which = read_month(&query.month)?;
    let format = query.format.unwrap_or(Format::Json);
    if matches!(format, Format::Focus) {
        return Ok(text("text/csv; charset=utf-8", focus::export(&app, which).await?));
    }
    let language = Language::named(query.language.as_deref().unwrap_or("en"))?;
    let by = read_side(query.by.as_deref().unwrap_or("team"))?;
    if matches!(format, Format::Pdf) {
        let wanted =
            Wanted { by, currency: query.currency, language: language.spoken(), extent: Extent::Sums };
        let bytes = document::chargeback(&app, which, &wanted).await?;
        return Ok(pdf(&format!("chargeback-{which}"), bytes));
    }
    let report = chargeback::chargeback(&app, which, by, query.currency.as_deref()).await?;
    Ok(match format {
        Format::Csv => text("text/csv; charset=utf-8", chargeback::csv(&report)),
        Format::Html => {
            let org = app.store.org(app.org).await?;
            text("text/html; charset=utf-8", html(&report, &org.name, language))
        }
        Format::Json | Format::Focus | Format::Pdf => Json(ChargebackView::from(&report)).into_response(),
    })
}

/// A month to close.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Close {
    /// The month, `2026-10`. It must be over.
    #[schema(example = "2026-10")]
    month: String,
}

/// Lists the statements there are, the newest first.
#[utoipa::path(
    get, path = "/api/v1/reports/statements", tag = "reports", operation_id = "reports_statements",
    security(("admin_token" = ["read_usage"])),
    responses((status = 200, body = Items<StatementView>))
)]
pub async fn list(
    _: Admin<ReadUsage>,
    State(app): State<App>,
) -> Result<Json<Items<StatementView>>, ApiError> {
    let statements = month::statements(&app).await?;
    Ok(Json(Items::all(statements.iter().map(Into::into).collect())))
}

/// Closes a month: its statement is written once and never changes. What arrives later becomes an adjustment of the next.
#[utoipa::path(
    post, path = "/api/v1/reports/statements", tag = "reports", operation_id = "reports_close", request_body = Close,
    security(("admin_token" = ["close_months"])),
    responses((status = 201, body = StatementView))
)]
pub async fn close(
    admin: Admin<CloseMonths>,
    State(app): State<App>,
    Body(body): Body<Close>,
) -> Result<(StatusCode, Json<StatementView>), ApiError> {
    let statement = month::close(&app, &admin.caller, read_month(&body.month)?).await?;
    Ok((StatusCode::CREATED, Json((&statement).into())))
}

/// A locked statement with its lines.
#[derive(Debug, Serialize, ToSchema)]
pub struct WholeStatement {
    /// Its head.
    pub statement: StatementView,
    /// Whether its lines still have the digest that was written down when it was closed.
    pub intact: bool,
    /// Its lines.
    pub lines: Vec<LineView>,
}

/// How a statement is wanted. All but the form goes with `pdf` only.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StatementQuery {
    /// The form; `json` if not given. The same statement gives the same document, byte for byte.
    #[param(inline)]
    format: Option<StatementFormat>,
    /// What the document's sums are of: as in a chargeback; `team` if not given.
    by: Option<String>,
    /// Totals are shown in this currency too, at the rate of the month's end.
    currency: Option<String>,
    /// The document's language: `en`, `zh-CN` or `zh-TW`; `en` if not given.
    language: Option<String>,
    /// Whether the document also holds every line of the statement; at most 10,000 rows fit.
    #[serde(default)]
    lines: bool,
}

/// The form of a statement.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StatementFormat {
    /// JSON.
    Json,
    /// A document.
    Pdf,
}

/// Gives the locked statement of a month, and checks its digest.
#[utoipa::path(
    get, path = "/api/v1/reports/statements/{month}", tag = "reports", operation_id = "reports_statement",
    params(("month" = String, Path, description = "The month, `2026-10`"), StatementQuery),
    security(("admin_token" = ["read_usage"])),
    responses((status = 200, body = WholeStatement))
)]
pub async fn statement(
    _: Admin<ReadUsage>,
    State(app): State<App>,
    Segment(given): Segment,
    Params(query): Params<StatementQuery>,
) -> Result<Response, ApiError> {
    let which = read_month(&given)?;
    if matches!(query.format, Some(StatementFormat::Pdf)) {
        let wanted = Wanted {
            by: read_side(query.by.as_deref().unwrap_or("team"))?,
            currency: query.currency,
            language: Language::named(query.language.as_deref().unwrap_or("en"))?.spoken(),
            extent: if query.lines { Extent::Lines } else { Extent::Sums },
        };
        let bytes = document::statement(&app, which, &wanted).await?;
        return Ok(pdf(&format!("statement-{which}"), bytes));
    }
    let (statement, lines, intact) = month::statement(&app, which).await?;
    let lines = lines.iter().map(Into::into).collect();
    Ok(Json(WholeStatement { statement: (&statement).into(), intact, lines }).into_response())
}
