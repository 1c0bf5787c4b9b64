//! `/api/v1/settings/profiles`: make, list, show, and write the draft.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use gatehouse_domain::settings::{Document, VersionState};
use gatehouse_store::settings::Profile;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::FindingView;
use super::version::VersionView;
use crate::api::auth::{Admin, ReadSettings, WriteSettings};
use crate::api::error::ApiError;
use crate::api::extract::{Body, Params, Segment};
use crate::api::page::{Items, page};
use crate::app::App;
use crate::settings::profile::{self, Text, Whose, Written};

/// What one part of the organization contributes to its people's settings.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProfileView {
    /// Identifier.
    #[schema(example = "set_01JD8X4R6V3Q2M9KZB7T5W0C1E")]
    pub id: String,
    /// Name, unique in whatever case.
    pub name: String,
    /// Whose settings it contributes to: `organization`, `team`, `project`, `rollout` (those in its
    /// audience) or `user`.
    pub target: &'static str,
    /// Name of the team or project, or the user's address.
    pub target_name: Option<String>,
    /// Number of its newest version.
    pub newest: u32,
    /// Number of the version that clients get.
    pub published: Option<u32>,
    /// Number of the version that is on its way there.
    pub open: Option<u32>,
    /// How far that one is: `draft`, `review` or `approved`.
    pub open_state: Option<&'static str>,
    /// When that one is to be published; `null` if nothing is scheduled.
    pub scheduled: Option<ScheduledView>,
    /// When it was made (RFC 3339).
    pub created_at: String,
}

/// A publication to come.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScheduledView {
    /// Number of the version.
    pub version: u32,
    /// When it is to be published (RFC 3339).
    pub at: String,
    /// Name of who wants it.
    pub by: String,
    /// Why it was not published when it was due. It is not tried again.
    pub problem: Option<String>,
}

/// Whose settings a profile contributes to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetView {
    /// Everybody's.
    Organization,
    /// A team's members', by name or id.
    Team(String),
    /// Those of the people who hold a key that charges the project, by name or id.
    Project(String),
    /// Those of the people in its audience, which is assigned apart: a layer over those of teams and projects.
    Rollout,
    /// One person's, by address or id.
    User(String),
}

/// A profile to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProfile {
    /// Name.
    pub name: String,
    /// Whose settings it contributes to: `"organization"`, `{"team": NAME}`, `{"project": NAME}`, `{"user":
    /// ADDRESS}`, `"rollout"`.
    pub target: TargetView,
    /// What its draft sets: the client's own settings document.
    #[schema(value_type = Object)]
    pub settings: Document,
    /// Paths that weaker layers cannot change, such as `permissions.deny`.
    #[serde(default)]
    pub locks: Vec<String>,
    /// Of two teams of a user, the one with the greater priority wins. Only for teams.
    #[serde(default)]
    pub priority: u32,
}

/// What a draft shall say.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DraftText {
    /// What it sets: the client's own settings document.
    #[schema(value_type = Object)]
    pub settings: Document,
    /// Paths that weaker layers cannot change; as in the version before if not given.
    pub locks: Option<Vec<String>>,
    /// Priority among teams; as in the version before if not given.
    pub priority: Option<u32>,
}

/// A draft that was written, with what was found in it.
#[derive(Debug, Serialize, ToSchema)]
pub struct WrittenView {
    /// The profile.
    pub profile: ProfileView,
    /// The draft.
    pub version: VersionView,
    /// Warnings and notices, the worst first.
    pub findings: Vec<FindingView>,
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

impl From<Profile> for ProfileView {
    fn from(profile: Profile) -> Self {
        Self {
            id: profile.id.to_string(),
            name: profile.name,
            target: profile.target.kind(),
            target_name: profile.target_name,
            newest: profile.newest,
            published: profile.published,
            open: profile.open.map(|(number, _)| number),
            open_state: profile.open.map(|(_, state)| VersionState::as_str(state)),
            scheduled: profile.scheduled.map(|due| ScheduledView {
                version: due.number,
                at: due.at.to_string(),
                by: due.by,
                problem: due.problem,
            }),
            created_at: profile.created_at.to_string(),
        }
    }
}

impl From<TargetView> for Whose {
    fn from(target: TargetView) -> Self {
        match target {
            TargetView::Organization => Self::Organization,
            TargetView::Team(given) => Self::Team(given),
            TargetView::Project(given) => Self::Project(given),
            TargetView::Rollout => Self::Rollout,
            TargetView::User(given) => Self::User(given),
        }
    }
}

impl From<Written> for WrittenView {
    fn from(written: Written) -> Self {
        Self {
            profile: written.profile.into(),
            version: written.version.into(),
            findings: FindingView::all(&written.findings),
        }
    }
}

/// Lists settings profiles by name.
#[utoipa::path(
    get, path = "/api/v1/settings/profiles", tag = "settings", operation_id = "settings_profile_list",
    params(Query), security(("admin_token" = ["read_settings"])),
    responses((status = 200, body = Items<ProfileView>))
)]
pub async fn list(
    _: Admin<ReadSettings>,
    State(app): State<App>,
    Params(query): Params<Query>,
) -> Result<Json<Items<ProfileView>>, ApiError> {
    let profiles = profile::list(&app, &page(query.after, query.limit)).await?;
    Ok(Json(Items::of(profiles, ProfileView::from)))
}

/// Makes a settings profile whose version 1 is a draft. A document with errors is refused.
#[utoipa::path(
    post, path = "/api/v1/settings/profiles", tag = "settings", operation_id = "settings_profile_create",
    request_body = NewProfile, security(("admin_token" = ["write_settings"])),
    responses((status = 201, body = WrittenView))
)]
pub async fn create(
    admin: Admin<WriteSettings>,
    State(app): State<App>,
    Body(new): Body<NewProfile>,
) -> Result<(StatusCode, Json<WrittenView>), ApiError> {
    let text = Text { settings: new.settings, locks: Some(new.locks), priority: Some(new.priority) };
    let written = profile::create(&app, &admin.caller, &new.name, &new.target.into(), text).await?;
    Ok((StatusCode::CREATED, Json(written.into())))
}

/// Looks a settings profile up.
#[utoipa::path(
    get, path = "/api/v1/settings/profiles/{profile}", tag = "settings", operation_id = "settings_profile_get",
    params(("profile" = String, Path, description = "Id or name")),
    security(("admin_token" = ["read_settings"])),
    responses((status = 200, body = ProfileView))
)]
pub async fn get(
    _: Admin<ReadSettings>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<Json<ProfileView>, ApiError> {
    Ok(Json(profile::get(&app, &given).await?.into()))
}

/// Writes a settings profile's draft: the open one anew, or that of a new version. A document with errors is refused.
#[utoipa::path(
    put, path = "/api/v1/settings/profiles/{profile}/draft", tag = "settings", operation_id = "settings_draft_put",
    params(("profile" = String, Path, description = "Id or name")), request_body = DraftText,
    security(("admin_token" = ["write_settings"])),
    responses((status = 200, body = WrittenView))
)]
pub async fn write(
    admin: Admin<WriteSettings>,
    State(app): State<App>,
    Segment(given): Segment,
    Body(draft): Body<DraftText>,
) -> Result<Json<WrittenView>, ApiError> {
    let text = Text { settings: draft.settings, locks: draft.locks, priority: draft.priority };
    Ok(Json(profile::write(&app, &admin.caller, &given, text).await?.into()))
}
