//! `/api/v1/settings/users/{user}`: what a person's settings amount to, and why.

use axum::Json;
use axum::extract::State;
use gatehouse_domain::settings::LayerId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{FindingView, json};
use crate::api::auth::{Admin, ReadSettings};
use crate::api::error::ApiError;
use crate::api::extract::{Params, Segment};
use crate::app::App;
use crate::settings::look::{self, Effective, Explained};

/// A user's settings, as their client gets them.
#[derive(Debug, Serialize, ToSchema)]
pub struct EffectiveView {
    /// The user's address.
    pub user: String,
    /// Names the document; `null` if no published profile concerns the user.
    pub uuid: Option<String>,
    /// The checksum that the client computes of it.
    pub checksum: Option<String>,
    /// The settings.
    #[schema(value_type = Option<Object>)]
    pub settings: Option<serde_json::Value>,
    /// The layers they are made of, the general first.
    pub layers: Vec<LayerView>,
    /// What came out otherwise than a layer wanted, or than is safe.
    pub findings: Vec<FindingView>,
}

/// A layer of a user's settings.
#[derive(Debug, Serialize, ToSchema)]
pub struct LayerView {
    /// Whose it is: `organization`, `team`, `project`, `rollout` or `user`.
    pub rank: &'static str,
    /// The profile's name.
    pub profile: String,
}

/// Where the values at a key come from.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExplanationView {
    /// The user's address.
    pub user: String,
    /// The key.
    pub key: String,
    /// Whether there is a value.
    pub present: bool,
    /// The value.
    #[schema(value_type = Object)]
    pub value: serde_json::Value,
    /// Locks on the key or above it.
    pub locks: Vec<LockView>,
    /// What the layers did at the key, beneath it, and above it as far as it concerns the key.
    pub leaves: Vec<LeafView>,
}

/// A path on which a layer has the last word.
#[derive(Debug, Serialize, ToSchema)]
pub struct LockView {
    /// The path.
    pub path: String,
    /// The layer.
    pub by: LayerView,
}

/// A value that is decided as one, with its history.
#[derive(Debug, Serialize, ToSchema)]
pub struct LeafView {
    /// Where it stands.
    pub path: String,
    /// The layers that the value comes from: one, or for a list all that added to it.
    pub decided_by: Vec<LayerView>,
    /// What the layers did, in order.
    pub events: Vec<EventView>,
}

/// What a layer did to a value.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventView {
    /// The layer.
    pub layer: LayerView,
    /// What it did: `{"set": V}`, `{"joined": [V]}`, `"removed"`, `{"refused": {"value", "why"}}`, where `why` is
    /// `{"locked": {"path", "by"}}` or `"only_grows"`.
    #[schema(value_type = Object)]
    pub act: serde_json::Value,
}

/// Which key is asked about.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// Its path, such as `permissions.deny` or `env."A.B"`.
    key: String,
}

impl From<&LayerId> for LayerView {
    fn from(id: &LayerId) -> Self {
        use gatehouse_domain::settings::Rank;
        let rank = match id.rank {
            Rank::Org => "organization",
            Rank::Team { .. } => "team",
            Rank::Project => "project",
            Rank::Rollout => "rollout",
            Rank::User => "user",
        };
        Self { rank, profile: id.name.clone() }
    }
}

impl From<Effective> for EffectiveView {
    fn from(found: Effective) -> Self {
        let served = found.served.as_deref();
        Self {
            user: found.user.email,
            uuid: served.map(|served| served.uuid.clone()),
            checksum: served.map(|served| served.checksum.to_string()),
            settings: served.map(|served| json(&served.settings)),
            layers: served
                .map(|served| served.layers.iter().map(LayerView::from).collect())
                .unwrap_or_default(),
            findings: FindingView::all(&found.findings),
        }
    }
}

impl From<Explained> for ExplanationView {
    fn from(found: Explained) -> Self {
        let told = found.merged.explain(&found.path);
        let leaves = told.leaves.iter().map(|leaf| LeafView {
            path: leaf.path.to_string(),
            decided_by: leaf.decided_by().into_iter().map(LayerView::from).collect(),
            events: leaf
                .events
                .iter()
                .map(|event| EventView { layer: (&event.layer).into(), act: json(&event.act) })
                .collect(),
        });
        Self {
            user: found.user.email,
            key: found.path.to_string(),
            present: told.value.is_some(),
            value: json(&told.value),
            locks: told
                .locks
                .iter()
                .map(|lock| LockView { path: lock.path.to_string(), by: (&lock.by).into() })
                .collect(),
            leaves: leaves.collect(),
        }
    }
}

/// Shows the settings that a user's client gets.
#[utoipa::path(
    get, path = "/api/v1/settings/users/{user}/effective", tag = "settings", operation_id = "settings_effective",
    params(("user" = String, Path, description = "Id or e-mail address")),
    security(("admin_token" = ["read_settings"])),
    responses((status = 200, body = EffectiveView))
)]
pub async fn effective(
    _: Admin<ReadSettings>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<Json<EffectiveView>, ApiError> {
    Ok(Json(look::effective(&app, &given).await?.into()))
}

/// Explains where a value of a user's settings comes from: which layer decided, which were overridden or refused, and why.
#[utoipa::path(
    get, path = "/api/v1/settings/users/{user}/explain", tag = "settings", operation_id = "settings_explain",
    params(("user" = String, Path, description = "Id or e-mail address"), Query),
    security(("admin_token" = ["read_settings"])),
    responses((status = 200, body = ExplanationView))
)]
pub async fn explain(
    _: Admin<ReadSettings>,
    State(app): State<App>,
    Segment(given): Segment,
    Params(query): Params<Query>,
) -> Result<Json<ExplanationView>, ApiError> {
    Ok(Json(look::explain(&app, &given, &query.key).await?.into()))
}
