//! `/api/v1/access-policies` and `/api/v1/explain`.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::{Admin, ReadConfig, ReadDirectory, Scoped, WriteAccess};
use super::change::Changed;
use super::error::ApiError;
use super::extract::{Body, Params, Segment};
use crate::access::{self, Asked, Explained, Shown};
use crate::app::App;

/// An access policy.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccessPolicyView {
    /// Name.
    #[schema(example = "no-opus-outside")]
    pub name: String,
    /// Its text, in the Cedar language.
    #[schema(
        example = "forbid (principal, action, resource) when { resource.name like \"claude-opus-*\" };"
    )]
    pub text: String,
    /// Whether it is the built-in one, which permits everything until another stands in its place.
    pub built_in: bool,
    /// When it was first written (RFC 3339); null for the built-in one.
    pub created_at: Option<String>,
    /// When it was last written (RFC 3339); null for the built-in one.
    pub changed_at: Option<String>,
}

/// All access policies.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccessPolicies {
    /// By name; 500 at most.
    pub items: Vec<AccessPolicyView>,
}

/// What policies can speak of.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccessSchema {
    /// In Cedar's schema language.
    pub schema: &'static str,
}

/// The text of an access policy.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessPolicyText {
    /// One policy in the Cedar language.
    pub text: String,
}

/// What a text does.
#[derive(Debug, Serialize, ToSchema)]
pub struct CheckedPolicy {
    /// `permit` or `forbid`.
    pub effect: &'static str,
}

/// That something is gone.
#[derive(Debug, Serialize, ToSchema)]
pub struct RemovedPolicy {
    /// Its name.
    pub name: String,
}

/// What is to be explained.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// Who, by e-mail address or id.
    user: String,
    /// Which model.
    model: String,
    /// By which of their keys, by id.
    key: Option<String>,
    /// Charged to which team, by name or id.
    team: Option<String>,
    /// Charged to which project, by name or id.
    project: Option<String>,
    /// Of which provider; the one that would be used if not given.
    provider: Option<String>,
    /// From which IP address.
    from: Option<String>,
    /// With which data class as the client says it.
    data_class: Option<String>,
}

/// One check.
#[derive(Debug, Serialize, ToSchema)]
pub struct CheckView {
    /// `user`, `key`, `key_models`, `data_class` or `rules`.
    pub check: &'static str,
    /// Whether it lets through.
    pub allowed: bool,
    /// Which rule, in words.
    pub by: String,
}

/// The answer, with every check up to the one that decided.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExplainedView {
    /// Whether they may.
    pub allowed: bool,
    /// The checks.
    pub steps: Vec<CheckView>,
}

impl From<Shown> for AccessPolicyView {
    fn from(Shown { policy, built_in }: Shown) -> Self {
        let time = |at: gatehouse_domain::time::UnixMillis| (!built_in).then(|| at.to_string());
        Self {
            created_at: time(policy.created_at),
            changed_at: time(policy.changed_at),
            name: policy.name,
            text: policy.text,
            built_in,
        }
    }
}

impl From<Explained> for ExplainedView {
    fn from(explained: Explained) -> Self {
        let step = |step: access::Step| CheckView { check: step.check, allowed: step.allowed, by: step.by };
        Self { allowed: explained.allowed, steps: explained.steps.into_iter().map(step).collect() }
    }
}

/// Lists the access policies by name.
#[utoipa::path(
    get, path = "/api/v1/access-policies", tag = "access", operation_id = "access_policy_list",
    security(("admin_token" = ["read_config"])),
    responses((status = 200, body = AccessPolicies))
)]
pub async fn list(_: Admin<ReadConfig>, State(app): State<App>) -> Result<Json<AccessPolicies>, ApiError> {
    let items = access::list(&app).await?.into_iter().map(AccessPolicyView::from).collect();
    Ok(Json(AccessPolicies { items }))
}

/// Shows what access policies can speak of.
#[utoipa::path(
    get, path = "/api/v1/access-schema", tag = "access", operation_id = "access_schema_get",
    security(("admin_token" = ["read_config"])),
    responses((status = 200, body = AccessSchema))
)]
pub async fn schema(_: Admin<ReadConfig>) -> Json<AccessSchema> {
    Json(AccessSchema { schema: access::rules::SCHEMA })
}

/// Shows an access policy.
#[utoipa::path(
    get, path = "/api/v1/access-policies/{name}", tag = "access", operation_id = "access_policy_get",
    params(("name" = String, Path, description = "The policy's name")),
    security(("admin_token" = ["read_config"])),
    responses((status = 200, body = AccessPolicyView))
)]
pub async fn get(
    _: Admin<ReadConfig>,
    State(app): State<App>,
    name: Segment,
) -> Result<Json<AccessPolicyView>, ApiError> {
    Ok(Json(access::get(&app, &name.0).await?.into()))
}

/// Writes an access policy, new or in place of the one of that name.
#[utoipa::path(
    put, path = "/api/v1/access-policies/{name}", tag = "access", operation_id = "access_policy_put",
    params(("name" = String, Path, description = "The policy's name: 1 to 64 of a-z, 0-9 and `-`")),
    request_body = AccessPolicyText, security(("admin_token" = ["write_access"])),
    responses((status = 200, body = Changed<AccessPolicyView>))
)]
pub async fn put(
    admin: Admin<WriteAccess>,
    State(app): State<App>,
    name: Segment,
    Body(body): Body<AccessPolicyText>,
) -> Result<Json<Changed<AccessPolicyView>>, ApiError> {
    let changed = access::put(&app, &admin.caller, &name.0, &body.text).await?;
    Ok(Json(Changed::of(changed, AccessPolicyView::from)))
}

/// Removes an access policy. Where `default` was, the built-in one stands again.
#[utoipa::path(
    delete, path = "/api/v1/access-policies/{name}", tag = "access", operation_id = "access_policy_remove",
    params(("name" = String, Path, description = "The policy's name")),
    security(("admin_token" = ["write_access"])),
    responses((status = 200, body = Changed<RemovedPolicy>))
)]
pub async fn remove(
    admin: Admin<WriteAccess>,
    State(app): State<App>,
    name: Segment,
) -> Result<Json<Changed<RemovedPolicy>>, ApiError> {
    let changed = access::remove(&app, &admin.caller, &name.0).await?;
    Ok(Json(Changed::of(changed, |()| RemovedPolicy { name: name.0 })))
}

/// Checks a text without writing anything.
#[utoipa::path(
    post, path = "/api/v1/access-policy-checks", tag = "access", operation_id = "access_policy_check",
    request_body = AccessPolicyText, security(("admin_token" = ["read_config"])),
    responses((status = 200, body = CheckedPolicy))
)]
pub async fn check(
    _: Admin<ReadConfig>,
    Body(body): Body<AccessPolicyText>,
) -> Result<Json<CheckedPolicy>, ApiError> {
    Ok(Json(CheckedPolicy { effect: access::effect_text(access::check("checked", &body.text)?) }))
}

/// Says whether somebody may use a model, and which rule decides.
#[utoipa::path(
    get, path = "/api/v1/explain", tag = "access", operation_id = "explain", params(Query),
    security(("admin_token" = ["read_directory"])),
    responses((status = 200, body = ExplainedView))
)]
pub async fn explain(
    admin: Scoped<ReadDirectory>,
    State(app): State<App>,
    Params(query): Params<Query>,
) -> Result<Json<ExplainedView>, ApiError> {
    let Query { user, model, key, team, project, provider, from, data_class } = query;
    let asked = Asked { user, model, key, team, project, provider, from, data_class };
    Ok(Json(access::explain(&app, admin.scope, &asked).await?.into()))
}
