//! `/api/v1/settings/profiles/{profile}/versions`: list, show, and take to clients.

use axum::Json;
use axum::extract::State;
use gatehouse_domain::settings::Step;
use gatehouse_store::settings::{Summary, Version};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::json;
use crate::api::auth::{Admin, ApproveSettings, Needs, ReadSettings, WriteSettings};
use crate::api::change::Changed;
use crate::api::error::ApiError;
use crate::api::extract::{Body, Pair, Params, Segment};
use crate::api::page::{Items, page};
use crate::app::App;
use crate::settings::profile;
use crate::settings::review::{self, Deed, Saying};

/// A version of a settings profile.
#[derive(Debug, Serialize, ToSchema)]
pub struct VersionView {
    /// Its number, from 1.
    pub number: u32,
    /// `draft`, `review`, `approved`, `published` or `retired`.
    pub state: &'static str,
    /// The SHA-256 of settings, locks and priority together: names the content, which never changes.
    #[schema(example = "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae")]
    pub checksum: String,
    /// What it sets: the client's own settings document.
    #[schema(value_type = Object)]
    pub settings: serde_json::Value,
    /// Paths that weaker layers cannot change.
    pub locks: Vec<String>,
    /// Priority among teams.
    pub priority: u32,
    /// How many people must agree; 0 until it was submitted.
    pub approvals_needed: u32,
    /// What was done with it, oldest first.
    pub steps: Vec<StepView>,
    /// When it was begun (RFC 3339).
    pub created_at: String,
}

/// A version of a settings profile without what it says.
#[derive(Debug, Serialize, ToSchema)]
pub struct VersionSummaryView {
    /// Its number, from 1.
    pub number: u32,
    /// `draft`, `review`, `approved`, `published` or `retired`.
    pub state: &'static str,
    /// The SHA-256 of settings, locks and priority together.
    pub checksum: String,
    /// How many people must agree; 0 until it was submitted.
    pub approvals_needed: u32,
    /// What was done with it, oldest first.
    pub steps: Vec<StepView>,
    /// When it was begun (RFC 3339).
    pub created_at: String,
}

/// Something that was done with a version.
#[derive(Debug, Serialize, ToSchema)]
pub struct StepView {
    /// `written`, `submitted`, `approved`, `returned`, `published` or `retired`.
    pub kind: &'static str,
    /// Who did it: identifier.
    pub by: String,
    /// Their name at the time.
    pub name: String,
    /// When (RFC 3339).
    pub at: String,
    /// What they said.
    pub note: Option<String>,
}

/// What comes with a step.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StepText {
    /// What is said about it.
    pub note: Option<String>,
    /// The version's checksum as it was looked at; if it has another by now, the step is refused.
    pub checksum: Option<String>,
}

/// Which page is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// Cursor: the `next` of the page before.
    after: Option<String>,
    /// Items of a page, 1 to 1000; 100 if not given.
    limit: Option<u32>,
}

impl From<Version> for VersionView {
    fn from(version: Version) -> Self {
        Self {
            number: version.number,
            state: version.state.as_str(),
            checksum: version.checksum.to_string(),
            settings: json(version.content.settings()),
            locks: version.content.locks().iter().map(ToString::to_string).collect(),
            priority: version.content.priority(),
            approvals_needed: version.approvals,
            steps: version.steps.into_iter().map(StepView::from).collect(),
            created_at: version.created_at.to_string(),
        }
    }
}

impl From<Summary> for VersionSummaryView {
    fn from(version: Summary) -> Self {
        Self {
            number: version.number,
            state: version.state.as_str(),
            checksum: version.checksum.to_string(),
            approvals_needed: version.approvals,
            steps: version.steps.into_iter().map(StepView::from).collect(),
            created_at: version.created_at.to_string(),
        }
    }
}

impl From<Step> for StepView {
    fn from(step: Step) -> Self {
        Self {
            kind: step.kind.as_str(),
            by: step.by,
            name: step.name,
            at: step.at.to_string(),
            note: step.note,
        }
    }
}

/// Lists a settings profile's versions, newest first, without what they say.
#[utoipa::path(
    get, path = "/api/v1/settings/profiles/{profile}/versions", tag = "settings",
    operation_id = "settings_version_list", params(("profile" = String, Path, description = "Id or name"), Query),
    security(("admin_token" = ["read_settings"])),
    responses((status = 200, body = Items<VersionSummaryView>))
)]
pub async fn list(
    _: Admin<ReadSettings>,
    State(app): State<App>,
    Segment(given): Segment,
    Params(query): Params<Query>,
) -> Result<Json<Items<VersionSummaryView>>, ApiError> {
    let versions = profile::versions(&app, &given, &page(query.after, query.limit)).await?;
    Ok(Json(Items::of(versions, VersionSummaryView::from)))
}

/// Looks a version up.
#[utoipa::path(
    get, path = "/api/v1/settings/profiles/{profile}/versions/{version}", tag = "settings",
    operation_id = "settings_version_get",
    params(("profile" = String, Path, description = "Id or name"), ("version" = String, Path, description = "Number")),
    security(("admin_token" = ["read_settings"])),
    responses((status = 200, body = VersionView))
)]
pub async fn get(
    _: Admin<ReadSettings>,
    State(app): State<App>,
    Pair(given, number): Pair,
) -> Result<Json<VersionView>, ApiError> {
    Ok(Json(profile::version(&app, &given, &number).await?.1.into()))
}

async fn step<P: Needs>(
    admin: &Admin<P>,
    app: &App,
    Pair(given, number): &Pair,
    deed: Deed,
    text: StepText,
) -> Result<Json<Changed<VersionView>>, ApiError> {
    let saying = Saying { note: text.note, seen: text.checksum, ..Saying::default() };
    let changed = review::step(app, &admin.caller, given, number, deed, &saying).await?;
    Ok(Json(Changed::of(changed, VersionView::from)))
}

macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident, $path:literal, $id:literal, $scope:literal, $needs:ident, $deed:ident;)*) => {
        $(
            $(#[$doc])*
            #[utoipa::path(
                post, path = $path, tag = "settings", operation_id = $id, request_body = StepText,
                params(
                    ("profile" = String, Path, description = "Id or name"),
                    ("version" = String, Path, description = "Number")
                ),
                security(("admin_token" = [$scope])),
                responses((status = 200, body = Changed<VersionView>))
            )]
            pub async fn $name(
                admin: Admin<$needs>,
                State(app): State<App>,
                pair: Pair,
                Body(text): Body<StepText>,
            ) -> Result<Json<Changed<VersionView>>, ApiError> {
                step(&admin, &app, &pair, Deed::$deed, text).await
            }
        )*
    };
}

steps! {
    /// Hands a draft in for review. One person must agree, or two if it makes programs run on people's machines.
    submit, "/api/v1/settings/profiles/{profile}/versions/{version}/submit", "settings_version_submit",
        "write_settings", WriteSettings, Submit;
    /// Agrees with a version. Whoever wrote any of it cannot.
    approve, "/api/v1/settings/profiles/{profile}/versions/{version}/approve", "settings_version_approve",
        "approve_settings", ApproveSettings, Approve;
    /// Sends a version back to its writers; approvals are void.
    send_back, "/api/v1/settings/profiles/{profile}/versions/{version}/return", "settings_version_return",
        "approve_settings", ApproveSettings, Return;
    /// Gives an approved version to clients, in place of the one published before.
    publish, "/api/v1/settings/profiles/{profile}/versions/{version}/publish", "settings_version_publish",
        "approve_settings", ApproveSettings, Publish;
    /// Takes a version from clients, or gives one up that they do not have yet.
    retire, "/api/v1/settings/profiles/{profile}/versions/{version}/retire", "settings_version_retire",
        "approve_settings", ApproveSettings, Retire;
    /// Gives a version to clients again that was published before.
    roll_back, "/api/v1/settings/profiles/{profile}/versions/{version}/rollback", "settings_version_rollback",
        "approve_settings", ApproveSettings, RollBack;
}
