//! `/api/v1/modes`, and what a person needs to begin.

use axum::Json;
use axum::extract::State;
use gatehouse_domain::mode::{Artifact, Mode, blind};
use gatehouse_store::mode::ModeChange;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::{Admin, ReadDirectory, Scoped, WriteConfig};
use super::error::ApiError;
use super::extract::{Body, Params, Segment};
use super::page::{Items, page};
use crate::app::App;
use crate::mode::{self, Decider, Modes, Plan, Wanted};

/// The mode of the organization or of a team.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModeView {
    /// The team's name; `null` for the organization.
    pub team: Option<String>,
    /// `direct`, `proxy`, `gateway` or `hybrid`; `null` for a team that goes by the organization again.
    pub mode: Option<&'static str>,
    /// Who set it; `null` while nobody has.
    pub set_by: Option<String>,
    /// When (RFC 3339).
    pub set_at: Option<String>,
    /// What nobody can see or hold back in it, by stable codes.
    pub blind: Vec<&'static str>,
}

/// A change of the mode.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModeWanted {
    /// `direct`, `proxy`, `gateway` or `hybrid`; left out, the team goes by the organization again.
    #[serde(default)]
    pub mode: Option<String>,
    /// The team, by name or id; left out for the organization.
    #[serde(default)]
    pub team: Option<String>,
}

/// Which change to plan.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PlanQuery {
    /// `direct`, `proxy`, `gateway` or `hybrid`; left out, the team would go by the organization again.
    mode: Option<String>,
    /// The team, by name or id; left out for the organization.
    team: Option<String>,
}

/// Which page is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ChangesQuery {
    /// Cursor: the `next` of the page before.
    after: Option<String>,
    /// Items of a page, 1 to 1000; 100 if not given.
    limit: Option<u32>,
}

/// What a change of the mode would mean.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModePlan {
    /// The mode now.
    pub from: &'static str,
    /// The mode after it.
    pub to: &'static str,
    /// What must come to machines: `base_url`, `gateway_credential`, `provider_key`, `proxy_url`, `proxy_ca`, `telemetry`,
    /// `served_settings`, `settings_file`.
    pub add: Vec<&'static str>,
    /// What must go from machines.
    pub remove: Vec<&'static str>,
    /// How many people's mode changes.
    pub affected: u64,
    /// The addresses of the first of them.
    pub people: Vec<String>,
    /// What nobody can see or hold back now.
    pub blind_before: Vec<&'static str>,
    /// What nobody can see or hold back after it.
    pub blind_after: Vec<&'static str>,
    /// Settings of this server that are missing for it.
    pub missing: Vec<&'static str>,
}

/// What a person needs to begin.
#[derive(Debug, Serialize, ToSchema)]
pub struct OnboardingView {
    /// E-mail address.
    pub user: String,
    /// Their mode.
    pub mode: &'static str,
    /// `default`, `organization` or `team`.
    pub decided_by: &'static str,
    /// The team whose mode decides.
    pub team: Option<String>,
    /// Where the gateway is reached.
    pub gateway_url: String,
    /// Whether people can sign in there.
    pub signs_in: bool,
    /// Where the forward proxy is reached.
    pub proxy_url: Option<String>,
    /// Where machines have the certificate of the proxy's authority.
    pub proxy_ca_file: Option<String>,
    /// What is looked into on the way, if anything is.
    pub inspection: Option<OnboardingInspection>,
    /// What nobody can see or hold back in this mode.
    pub blind: Vec<&'static str>,
}

/// What a person is told of the inspection of what goes through the proxy.
#[derive(Debug, Serialize, ToSchema)]
pub struct OnboardingInspection {
    /// Hosts that are looked into.
    pub hosts: Vec<String>,
    /// What the organization says of it; may be empty.
    pub notice: String,
    /// Where the certificate is that their machine is to trust.
    pub ca_url: String,
}

fn view(team: Option<String>, mode: Option<Mode>, change: Option<&ModeChange>) -> ModeView {
    ModeView {
        team,
        mode: mode.map(Mode::as_str),
        set_by: change.map(|change| change.actor.clone()),
        set_at: change.map(|change| change.at.to_string()),
        blind: mode.map(|mode| blind(mode).to_vec()).unwrap_or_default(),
    }
}

fn views(modes: &Modes) -> Items<ModeView> {
    let general = view(None, Some(modes.general()), modes.organization.as_ref());
    let teams = modes.teams.iter().map(|(name, change)| view(Some(name.clone()), change.mode, Some(change)));
    Items::all(std::iter::once(general).chain(teams).collect())
}

impl From<Plan> for ModePlan {
    fn from(plan: Plan) -> Self {
        let names = |all: Vec<Artifact>| all.into_iter().map(Artifact::as_str).collect();
        Self {
            from: plan.from.as_str(),
            to: plan.to.as_str(),
            add: names(plan.difference.add),
            remove: names(plan.difference.remove),
            affected: plan.affected,
            people: plan.people,
            blind_before: blind(plan.from).to_vec(),
            blind_after: blind(plan.to).to_vec(),
            missing: plan.missing,
        }
    }
}

/// The modes in force: the organization's first, then those of teams that have their own.
#[utoipa::path(
    get, path = "/api/v1/modes", tag = "mode", operation_id = "mode_list",
    security(("admin_token" = ["read_directory"])),
    responses((status = 200, body = Items<ModeView>))
)]
pub async fn list(
    _: Admin<ReadDirectory>,
    State(app): State<App>,
) -> Result<Json<Items<ModeView>>, ApiError> {
    Ok(Json(views(&mode::modes(&app).await?)))
}

/// Changes the mode of the organization or of a team.
#[utoipa::path(
    put, path = "/api/v1/modes", tag = "mode", operation_id = "mode_set", request_body = ModeWanted,
    security(("admin_token" = ["write_config"])),
    responses((status = 200, body = Items<ModeView>))
)]
pub async fn set(
    admin: Admin<WriteConfig>,
    State(app): State<App>,
    Body(body): Body<ModeWanted>,
) -> Result<Json<Items<ModeView>>, ApiError> {
    let wanted = Wanted { mode: body.mode, team: body.team };
    Ok(Json(views(&mode::set(&app, &admin.caller, &wanted).await?)))
}

/// Says what a change of the mode would mean: what changes on machines, who is affected.
#[utoipa::path(
    get, path = "/api/v1/modes/plan", tag = "mode", operation_id = "mode_plan", params(PlanQuery),
    security(("admin_token" = ["read_directory"])),
    responses((status = 200, body = ModePlan))
)]
pub async fn plan(
    _: Admin<ReadDirectory>,
    State(app): State<App>,
    Params(query): Params<PlanQuery>,
) -> Result<Json<ModePlan>, ApiError> {
    Ok(Json(mode::plan(&app, &Wanted { mode: query.mode, team: query.team }).await?.into()))
}

/// How the mode changed, the newest change first.
#[utoipa::path(
    get, path = "/api/v1/modes/changes", tag = "mode", operation_id = "mode_changes", params(ChangesQuery),
    security(("admin_token" = ["read_directory"])),
    responses((status = 200, body = Items<ModeView>))
)]
pub async fn changes(
    _: Admin<ReadDirectory>,
    State(app): State<App>,
    Params(query): Params<ChangesQuery>,
) -> Result<Json<Items<ModeView>>, ApiError> {
    let listed = mode::changes(&app, &page(query.after, query.limit)).await?;
    let one = |change: ModeChange| {
        let team = change.team.map(|id| change.team_name.clone().unwrap_or_else(|| id.to_string()));
        view(team, change.mode, Some(&change))
    };
    Ok(Json(Items::of(listed, one)))
}

/// What a person needs to begin, in their mode.
#[utoipa::path(
    get, path = "/api/v1/users/{user}/onboarding", tag = "mode", operation_id = "user_onboarding",
    params(("user" = String, Path, description = "E-mail address or id")),
    security(("admin_token" = ["read_directory"])),
    responses((status = 200, body = OnboardingView))
)]
pub async fn onboarding(
    admin: Scoped<ReadDirectory>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<Json<OnboardingView>, ApiError> {
    let told = mode::onboarding(&app, admin.scope, &given).await?;
    let (decided_by, team) = match told.decider {
        Decider::Default => ("default", None),
        Decider::Organization => ("organization", None),
        Decider::Team(name) => ("team", Some(name)),
    };
    let ruled = (app.house.inspection.rules)();
    let inspection = (told.mode.uses_proxy() && !ruled.hosts.is_empty()).then(|| OnboardingInspection {
        ca_url: format!("{}/inspection/ca.pem", told.ways.gateway_url),
        hosts: ruled.hosts,
        notice: ruled.notice,
    });
    Ok(Json(OnboardingView {
        inspection,
        user: told.user.email.clone(),
        mode: told.mode.as_str(),
        decided_by,
        team,
        gateway_url: told.ways.gateway_url,
        signs_in: told.ways.is_public,
        proxy_url: told.ways.proxy_url,
        proxy_ca_file: told.ways.proxy_ca_file,
        blind: blind(told.mode).to_vec(),
    }))
}
