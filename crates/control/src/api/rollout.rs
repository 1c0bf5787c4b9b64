//! `/api/v1/rollouts`.

mod view;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::Value;

use super::auth::{Admin, ApproveSettings, ReadSettings, WriteSettings};
use super::error::ApiError;
use super::extract::{Body, Params, Segment};
use super::page::{Items, page};
use crate::app::App;
use crate::rollout::{self, Deed, DryRun, Wants};

use view::{
    AppliedView, ApplyBody, ApprovalBody, AssignmentView, PageQuery, ReasonBody, RollbackBody,
    RolloutEventView, RolloutLine, RolloutView, StateQuery, VolunteerBody, assignment, event,
};

/// Lists rollouts, the newest first.
#[utoipa::path(
    get, path = "/api/v1/rollouts", tag = "rollout", operation_id = "rollout_list", params(PageQuery),
    security(("admin_token" = ["read_settings"])),
    responses((status = 200, body = Items<RolloutLine>))
)]
pub async fn list(
    _admin: Admin<ReadSettings>,
    State(app): State<App>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Items<RolloutLine>>, ApiError> {
    let listed = rollout::list(&app, &page(query.after, query.limit)).await?;
    Ok(Json(Items::of(listed, |rollout| (&rollout).into())))
}

/// Makes a rollout from its definition, or says what it would do. The same definition again changes nothing.
#[utoipa::path(
    post, path = "/api/v1/rollouts", tag = "rollout", operation_id = "rollout_apply", request_body = ApplyBody,
    security(("admin_token" = ["write_settings"])),
    responses((status = 200, body = AppliedView))
)]
pub async fn apply(
    admin: Admin<WriteSettings>,
    State(app): State<App>,
    Body(body): Body<ApplyBody>,
) -> Result<(StatusCode, Json<AppliedView>), ApiError> {
    let dry_run = if body.dry_run { DryRun::Yes } else { DryRun::No };
    let applied = rollout::apply(&app, &admin.caller, &body.definition, dry_run).await?;
    Ok((StatusCode::OK, Json(applied.into())))
}

/// Shows a rollout and how it stands.
#[utoipa::path(
    get, path = "/api/v1/rollouts/{rollout}", tag = "rollout", operation_id = "rollout_get",
    params(("rollout" = String, Path, description = "Name or id")),
    security(("admin_token" = ["read_settings"])),
    responses((status = 200, body = RolloutView))
)]
pub async fn get(
    _admin: Admin<ReadSettings>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<Json<RolloutView>, ApiError> {
    let found = rollout::get(&app, &given).await?;
    Ok(Json(rollout::show(&app, found).await?.into()))
}

/// The result in the brief's terms: `success`, `phases` (each with `phase`, `users` or `teams`, `feedback` or `metrics`,
/// `success`), and on a failure `phase` and `error`.
#[utoipa::path(
    get, path = "/api/v1/rollouts/{rollout}/result", tag = "rollout", operation_id = "rollout_result",
    params(("rollout" = String, Path, description = "Name or id")),
    security(("admin_token" = ["read_settings"])),
    responses((status = 200, body = Object))
)]
pub async fn result(
    _admin: Admin<ReadSettings>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<Json<Value>, ApiError> {
    let found = rollout::get(&app, &given).await?;
    Ok(Json(rollout::result(&app, &found).await?))
}

/// Lists everybody who got a rollout, in the order in which they did.
#[utoipa::path(
    get, path = "/api/v1/rollouts/{rollout}/assignments", tag = "rollout", operation_id = "rollout_assignments",
    params(("rollout" = String, Path, description = "Name or id"), StateQuery),
    security(("admin_token" = ["read_settings"])),
    responses((status = 200, body = Items<AssignmentView>))
)]
pub async fn assignments(
    _admin: Admin<ReadSettings>,
    State(app): State<App>,
    Segment(given): Segment,
    Params(query): Params<StateQuery>,
) -> Result<Json<Items<AssignmentView>>, ApiError> {
    let found = rollout::get(&app, &given).await?;
    let (names, all) = rollout::assignments(&app, &found, query.state.as_deref()).await?;
    Ok(Json(Items::all(all.into_iter().map(|one| assignment(&names, one)).collect())))
}

/// Lists what happened to a rollout, in its order.
#[utoipa::path(
    get, path = "/api/v1/rollouts/{rollout}/events", tag = "rollout", operation_id = "rollout_events",
    params(("rollout" = String, Path, description = "Name or id"), PageQuery),
    security(("admin_token" = ["read_settings"])),
    responses((status = 200, body = Items<RolloutEventView>))
)]
pub async fn events(
    _admin: Admin<ReadSettings>,
    State(app): State<App>,
    Segment(given): Segment,
    Params(query): Params<PageQuery>,
) -> Result<Json<Items<RolloutEventView>>, ApiError> {
    let listed = rollout::history(&app, &given, &page(query.after, query.limit)).await?;
    Ok(Json(Items::of(listed, event)))
}

/// Makes a rollout wait. Who comes into a cohort meanwhile still gets it.
#[utoipa::path(
    post, path = "/api/v1/rollouts/{rollout}/pause", tag = "rollout", operation_id = "rollout_pause",
    params(("rollout" = String, Path, description = "Name or id")), request_body = ReasonBody,
    security(("admin_token" = ["write_settings"])),
    responses((status = 200, body = RolloutLine))
)]
pub async fn pause(
    admin: Admin<WriteSettings>,
    State(app): State<App>,
    Segment(given): Segment,
    Body(body): Body<ReasonBody>,
) -> Result<Json<RolloutLine>, ApiError> {
    let moved = rollout::act_on(&app, &admin.caller, &given, Deed::Pause, body.reason.as_deref()).await?;
    Ok(Json((&moved).into()))
}

/// Lets a rollout go on; what was judged before is judged anew.
#[utoipa::path(
    post, path = "/api/v1/rollouts/{rollout}/resume", tag = "rollout", operation_id = "rollout_resume",
    params(("rollout" = String, Path, description = "Name or id")), request_body = ReasonBody,
    security(("admin_token" = ["write_settings"])),
    responses((status = 200, body = RolloutLine))
)]
pub async fn resume(
    admin: Admin<WriteSettings>,
    State(app): State<App>,
    Segment(given): Segment,
    Body(body): Body<ReasonBody>,
) -> Result<Json<RolloutLine>, ApiError> {
    let moved = rollout::act_on(&app, &admin.caller, &given, Deed::Resume, body.reason.as_deref()).await?;
    Ok(Json((&moved).into()))
}

/// Ends a rollout; who has it keeps it.
#[utoipa::path(
    post, path = "/api/v1/rollouts/{rollout}/abort", tag = "rollout", operation_id = "rollout_abort",
    params(("rollout" = String, Path, description = "Name or id")), request_body = ReasonBody,
    security(("admin_token" = ["write_settings"])),
    responses((status = 200, body = RolloutLine))
)]
pub async fn abort(
    admin: Admin<WriteSettings>,
    State(app): State<App>,
    Segment(given): Segment,
    Body(body): Body<ReasonBody>,
) -> Result<Json<RolloutLine>, ApiError> {
    let moved = rollout::act_on(&app, &admin.caller, &given, Deed::Abort, body.reason.as_deref()).await?;
    Ok(Json((&moved).into()))
}

/// Takes a rollout back: from everybody, the last ones first; or at once from the members of a team.
#[utoipa::path(
    post, path = "/api/v1/rollouts/{rollout}/rollback", tag = "rollout", operation_id = "rollout_rollback",
    params(("rollout" = String, Path, description = "Name or id")), request_body = RollbackBody,
    security(("admin_token" = ["write_settings"])),
    responses((status = 200, body = RolloutLine))
)]
pub async fn rollback(
    admin: Admin<WriteSettings>,
    State(app): State<App>,
    Segment(given): Segment,
    Body(body): Body<RollbackBody>,
) -> Result<Json<RolloutLine>, ApiError> {
    let why = body.reason.as_deref();
    let moved = match &body.team {
        Some(team) => rollout::roll_back_team(&app, &admin.caller, &given, team, why).await?.now,
        None => rollout::act_on(&app, &admin.caller, &given, Deed::RollBack, why).await?,
    };
    Ok(Json((&moved).into()))
}

/// Agrees that a phase is done with. Neither who made the rollout nor who wrote its settings may.
#[utoipa::path(
    post, path = "/api/v1/rollouts/{rollout}/approve", tag = "rollout", operation_id = "rollout_approve",
    params(("rollout" = String, Path, description = "Name or id")), request_body = ApprovalBody,
    security(("admin_token" = ["approve_settings"])),
    responses((status = 200, body = RolloutLine))
)]
pub async fn approve(
    admin: Admin<ApproveSettings>,
    State(app): State<App>,
    Segment(given): Segment,
    Body(body): Body<ApprovalBody>,
) -> Result<Json<RolloutLine>, ApiError> {
    Ok(Json((&rollout::approve(&app, &admin.caller, &given, &body.comment).await?).into()))
}

/// Notes that somebody wants to be among the first, or does so no more.
#[utoipa::path(
    post, path = "/api/v1/rollout-volunteers", tag = "rollout", operation_id = "rollout_volunteer",
    request_body = VolunteerBody, security(("admin_token" = ["write_settings"])),
    responses((status = 204, description = "It is noted"))
)]
pub async fn volunteer(
    admin: Admin<WriteSettings>,
    State(app): State<App>,
    Body(body): Body<VolunteerBody>,
) -> Result<StatusCode, ApiError> {
    let wants = if body.volunteers.unwrap_or(true) { Wants::In } else { Wants::Out };
    rollout::volunteer(&app, &admin.caller, &body.user, wants).await?;
    Ok(StatusCode::NO_CONTENT)
}
