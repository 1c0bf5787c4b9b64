//! `/api/v1/settings/profiles/{profile}/versions/{version}/diff` and `…/affected`.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::json;
use crate::api::auth::{Admin, ReadSettings};
use crate::api::error::ApiError;
use crate::api::extract::{Pair, Params};
use crate::api::page::{Items, page};
use crate::app::App;
use crate::settings::compare::{self, Affected, Comparison};

/// How one version of a profile differs from another.
#[derive(Debug, Serialize, ToSchema)]
pub struct ComparisonView {
    /// The profile's name.
    pub profile: String,
    /// The version.
    pub version: u32,
    /// The one it is compared with; `null` is nothing at all.
    pub against: Option<u32>,
    /// Values that are different, by path.
    pub differences: Vec<DifferenceView>,
    /// Locks that only the version has.
    pub locks_added: Vec<String>,
    /// Locks that only the other has.
    pub locks_removed: Vec<String>,
    /// The other's priority, if it differs.
    pub priority_before: Option<u32>,
    /// The version's priority, if it differs.
    pub priority_after: Option<u32>,
    /// How many active users get other settings by it.
    pub affected: u64,
}

/// A value that is different.
#[derive(Debug, Serialize, ToSchema)]
pub struct DifferenceView {
    /// Where it stands.
    pub path: String,
    /// What has become of it: `{"added": V}`, `{"removed": V}`, `{"changed": {"from", "to"}}`, `{"entries": {"added",
    /// "removed"}}` or `{"reordered": {"from", "to"}}`.
    #[schema(value_type = Object)]
    pub change: serde_json::Value,
}

/// A user who gets other settings.
#[derive(Debug, Serialize, ToSchema)]
pub struct AffectedView {
    /// Identifier.
    pub user: String,
    /// E-mail address.
    pub email: String,
    /// Checksum of their settings with the other version; `null` if they have none.
    pub before: Option<String>,
    /// Checksum of their settings with the version.
    pub after: Option<String>,
}

/// With what to compare.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DiffQuery {
    /// Number of the other version, or `nothing`; if not given, the published one, and for that the one before it.
    against: Option<String>,
}

/// With what to compare, and which page is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AffectedQuery {
    /// Number of the other version, or `nothing`; if not given, the published one, and for that the one before it.
    against: Option<String>,
    /// Cursor: the `next` of the page before.
    after: Option<String>,
    /// Items of a page, 1 to 1000; 100 if not given.
    limit: Option<u32>,
}

impl From<Comparison> for ComparisonView {
    fn from(found: Comparison) -> Self {
        let texts = |paths: Vec<gatehouse_domain::settings::Path>| {
            paths.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let differences = found.differences.iter();
        Self {
            profile: found.profile.name,
            version: found.version,
            against: found.against,
            differences: differences
                .map(|one| DifferenceView { path: one.path.to_string(), change: json(&one.change) })
                .collect(),
            locks_added: texts(found.locks_added),
            locks_removed: texts(found.locks_removed),
            priority_before: found.priority.map(|(before, _)| before),
            priority_after: found.priority.map(|(_, after)| after),
            affected: found.affected,
        }
    }
}

impl From<Affected> for AffectedView {
    fn from(one: Affected) -> Self {
        Self {
            user: one.user.to_string(),
            email: one.email,
            before: one.before.map(|sum| sum.to_string()),
            after: one.after.map(|sum| sum.to_string()),
        }
    }
}

/// Compares a version with another: what differs, and how many users get other settings by it.
#[utoipa::path(
    get, path = "/api/v1/settings/profiles/{profile}/versions/{version}/diff", tag = "settings",
    operation_id = "settings_version_diff",
    params(
        ("profile" = String, Path, description = "Id or name"),
        ("version" = String, Path, description = "Number"), DiffQuery
    ),
    security(("admin_token" = ["read_settings"])),
    responses((status = 200, body = ComparisonView))
)]
pub async fn diff(
    _: Admin<ReadSettings>,
    State(app): State<App>,
    Pair(given, number): Pair,
    Params(query): Params<DiffQuery>,
) -> Result<Json<ComparisonView>, ApiError> {
    Ok(Json(compare::compare(&app, &given, &number, query.against.as_deref()).await?.into()))
}

/// Lists the active users who get other settings by a version, by address.
#[utoipa::path(
    get, path = "/api/v1/settings/profiles/{profile}/versions/{version}/affected", tag = "settings",
    operation_id = "settings_version_affected",
    params(
        ("profile" = String, Path, description = "Id or name"),
        ("version" = String, Path, description = "Number"), AffectedQuery
    ),
    security(("admin_token" = ["read_settings"])),
    responses((status = 200, body = Items<AffectedView>))
)]
pub async fn affected(
    _: Admin<ReadSettings>,
    State(app): State<App>,
    Pair(given, number): Pair,
    Params(query): Params<AffectedQuery>,
) -> Result<Json<Items<AffectedView>>, ApiError> {
    let page = page(query.after, query.limit);
    let found = compare::affected(&app, &given, &number, query.against.as_deref(), &page).await?;
    Ok(Json(Items::of(found, AffectedView::from)))
}
