//! `/api/v1/settings/profiles/{profile}/audience`: who gets an overlay, and when.

use axum::Json;
use axum::extract::State;
use gatehouse_domain::settings::Member;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::auth::{Admin, ApproveSettings, ReadSettings};
use crate::api::change::Changed;
use crate::api::error::ApiError;
use crate::api::extract::{Body, Segment};
use crate::app::App;
use crate::settings::overlay::{self, OverlayState, Shown, Wanted};

/// Who gets an overlay, and when.
#[derive(Debug, Serialize, ToSchema)]
pub struct AudienceView {
    /// The profile's name.
    pub profile: String,
    /// Number of the version that they get; `null` if none is published, so that nobody gets anything.
    pub published: Option<u32>,
    /// How far it is.
    pub state: AudienceStateView,
    /// Addresses of the people who are named.
    pub users: Vec<String>,
    /// Names of the teams whose members are in it.
    pub teams: Vec<String>,
    /// The share of all people who are in it besides, in percent. Who is in a share stays in every greater one.
    pub percent: u8,
    /// From when on (RFC 3339).
    pub starts_at: Option<String>,
    /// Until when (RFC 3339); `null` until it is withdrawn.
    pub ends_at: Option<String>,
    /// How many active users are in it.
    pub people: u64,
}

/// How far an audience is.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AudienceStateView {
    /// It was never assigned: nobody gets the overlay.
    Unassigned,
    /// It has not begun.
    Waiting,
    /// It holds: those in it get the overlay when their clients next ask.
    Open,
    /// It is over: nobody gets the overlay.
    Over,
}

/// Who shall get an overlay, and when. At least one person, one team or a share.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AudienceText {
    /// People, by address or id; at most 1000 people and teams at once.
    #[serde(default)]
    pub users: Vec<String>,
    /// Teams, by name or id.
    #[serde(default)]
    pub teams: Vec<String>,
    /// The share of all people, 0 to 100 percent.
    #[serde(default)]
    pub percent: u64,
    /// From when on: UTC (RFC 3339), or a span from now; now if not given.
    pub starts: Option<String>,
    /// Until when; until it is withdrawn if not given.
    pub ends: Option<String>,
}

/// Who shall get an overlay besides.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WidenText {
    /// People, by address or id; at most 1000 people and teams at once.
    #[serde(default)]
    pub users: Vec<String>,
    /// Teams, by name or id.
    #[serde(default)]
    pub teams: Vec<String>,
    /// The share of all people, in percent; not smaller than it is.
    pub percent: Option<u64>,
}

impl From<Shown> for AudienceView {
    fn from(shown: Shown) -> Self {
        let (mut users, mut teams) = (Vec::new(), Vec::new());
        let audience = shown.assigned.as_ref().map(|assigned| assigned.audience);
        for (member, name) in shown.assigned.into_iter().flat_map(|assigned| assigned.members) {
            match member {
                Member::User(_) => users.push(name),
                Member::Team(_) => teams.push(name),
            }
        }
        users.sort_unstable();
        teams.sort_unstable();
        Self {
            profile: shown.profile.name,
            published: shown.profile.published,
            state: match shown.state {
                OverlayState::Unassigned => AudienceStateView::Unassigned,
                OverlayState::Waiting => AudienceStateView::Waiting,
                OverlayState::Open => AudienceStateView::Open,
                OverlayState::Over => AudienceStateView::Over,
            },
            users,
            teams,
            percent: audience.map_or(0, |audience| audience.percent.get()),
            starts_at: audience.map(|audience| audience.starts_at.to_string()),
            ends_at: audience.and_then(|audience| audience.ends_at).map(|end| end.to_string()),
            people: shown.people,
        }
    }
}

/// Looks up who gets an overlay.
#[utoipa::path(
    get, path = "/api/v1/settings/profiles/{profile}/audience", tag = "settings",
    operation_id = "settings_audience_get", params(("profile" = String, Path, description = "Id or name")),
    security(("admin_token" = ["read_settings"])),
    responses((status = 200, body = AudienceView))
)]
pub async fn get(
    _: Admin<ReadSettings>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<Json<AudienceView>, ApiError> {
    Ok(Json(overlay::show(&app, &given).await?.into()))
}

/// Gives an overlay to an audience, in place of the one it has.
#[utoipa::path(
    put, path = "/api/v1/settings/profiles/{profile}/audience", tag = "settings",
    operation_id = "settings_audience_assign", request_body = AudienceText,
    params(("profile" = String, Path, description = "Id or name")),
    security(("admin_token" = ["approve_settings"])),
    responses((status = 200, body = Changed<AudienceView>))
)]
pub async fn assign(
    admin: Admin<ApproveSettings>,
    State(app): State<App>,
    Segment(given): Segment,
    Body(text): Body<AudienceText>,
) -> Result<Json<Changed<AudienceView>>, ApiError> {
    let AudienceText { users, teams, percent, starts, ends } = text;
    let wanted = Wanted { users, teams, percent: Some(percent), starts, ends };
    let changed = overlay::assign(&app, &admin.caller, &given, &wanted).await?;
    Ok(Json(Changed::of(changed, AudienceView::from)))
}

/// Adds people, teams or a greater share to an overlay's audience. Nobody leaves it by this.
#[utoipa::path(
    post, path = "/api/v1/settings/profiles/{profile}/audience/widen", tag = "settings",
    operation_id = "settings_audience_widen", request_body = WidenText,
    params(("profile" = String, Path, description = "Id or name")),
    security(("admin_token" = ["approve_settings"])),
    responses((status = 200, body = Changed<AudienceView>))
)]
pub async fn widen(
    admin: Admin<ApproveSettings>,
    State(app): State<App>,
    Segment(given): Segment,
    Body(text): Body<WidenText>,
) -> Result<Json<Changed<AudienceView>>, ApiError> {
    let WidenText { users, teams, percent } = text;
    let wanted = Wanted { users, teams, percent, ..Wanted::default() };
    let changed = overlay::widen(&app, &admin.caller, &given, &wanted).await?;
    Ok(Json(Changed::of(changed, AudienceView::from)))
}

/// Takes an overlay from everybody. What it says stays published, for nobody.
#[utoipa::path(
    post, path = "/api/v1/settings/profiles/{profile}/audience/withdraw", tag = "settings",
    operation_id = "settings_audience_withdraw", params(("profile" = String, Path, description = "Id or name")),
    security(("admin_token" = ["approve_settings"])),
    responses((status = 200, body = Changed<AudienceView>))
)]
pub async fn withdraw(
    admin: Admin<ApproveSettings>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<Json<Changed<AudienceView>>, ApiError> {
    let changed = overlay::withdraw(&app, &admin.caller, &given).await?;
    Ok(Json(Changed::of(changed, AudienceView::from)))
}
