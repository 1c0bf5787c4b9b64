//! `/healthz`, `/readyz`, `/metrics`: for load balancers, orchestrators and Prometheus. They ask for no token and tell
//! nothing about people or keys.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use crate::app::App;
use crate::status::Readiness;

/// Whether the process answers at all.
#[utoipa::path(get, path = "/healthz", tag = "probe", responses((status = 200, description = "It does")))]
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether requests will be served.
#[utoipa::path(
    get, path = "/readyz", tag = "probe",
    responses((status = 200, body = Readiness), (status = 503, body = Readiness, description = "Not now"))
)]
pub async fn readyz(State(app): State<App>) -> (StatusCode, Json<Readiness>) {
    let readiness = (app.house.readiness)();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness))
}

/// Metrics in the Prometheus text format.
#[utoipa::path(
    get, path = "/metrics", tag = "probe",
    responses((status = 200, body = String, content_type = "text/plain"))
)]
pub async fn metrics(State(app): State<App>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (app.house.metrics)())
}
