//! `/api/v1/settings/catalogue` and `/api/v1/settings/lint`.

use axum::Json;
use axum::extract::State;
use gatehouse_domain::settings::Document;
use gatehouse_domain::settings::catalogue::{Key, Merge, Mistake, Origin, Remote, Scope};
use gatehouse_domain::settings::lint::Channel;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FindingView, TextsView};
use crate::api::auth::{Admin, ReadSettings};
use crate::api::error::ApiError;
use crate::api::extract::Body;
use crate::api::page::Items;
use crate::app::App;
use crate::settings::check;

/// A key of the client's settings.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, as in the catalogue")]
#[derive(Debug, Serialize, ToSchema)]
pub struct SettingKeyView {
    /// Where it stands.
    pub key: String,
    /// What it takes, in words.
    pub kind: String,
    /// Whether only an administrator may set it.
    pub managed: bool,
    /// How values of several layers become one: `unite`, `replace` or `replace_entries`.
    #[schema(value_type = String)]
    pub merge: Merge,
    /// Whether a later layer may only add to it, as to a deny-list.
    pub grows: bool,
    /// Whether it raises the user's approval dialog when the gateway delivers it.
    pub asks: bool,
    /// Whether it makes programs run, so that two people must agree to it.
    pub runs: bool,
    /// What the client does with a malformed value: `closed` takes the strict side, `open` ignores it; `null` if unknown.
    #[schema(value_type = Option<String>)]
    pub mistake: Option<Mistake>,
    /// Whether the client reads it from the gateway: `applied`, `ignored`, or `login` if it must be there before.
    #[schema(value_type = String)]
    pub remote: Remote,
    /// The first version of the client that knows it, where it matters.
    pub since: Option<String>,
    /// The key that has replaced it.
    pub instead: Option<String>,
    /// One line of help.
    pub help: TextsView,
    /// Who describes it: `release` (this program) or `schema` (an imported one).
    #[schema(value_type = String)]
    pub origin: Origin,
}

/// A document to check.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LintText {
    /// The client's own settings document.
    #[schema(value_type = Object)]
    pub settings: Document,
    /// How it is to reach the client: `gateway` (if not given) or `machine`.
    pub channel: Option<ChannelView>,
}

/// How settings reach the client.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChannelView {
    /// The gateway serves them to those who have signed in.
    Gateway,
    /// They are on the machine: a file or device management.
    Machine,
}

impl From<&Key> for SettingKeyView {
    fn from(key: &Key) -> Self {
        Self {
            key: key.path.to_string(),
            kind: key.kind.to_string(),
            managed: key.scope == Scope::Managed,
            merge: key.merge,
            grows: key.grows,
            asks: key.asks,
            runs: key.runs,
            mistake: key.mistake,
            remote: key.remote,
            since: key.since.map(|version| version.to_string()),
            instead: key.instead.clone(),
            help: TextsView {
                en: key.help.en.clone(),
                zh_cn: key.help.zh_cn.clone(),
                zh_tw: key.help.zh_tw.clone(),
            },
            origin: key.origin,
        }
    }
}

/// Lists the known keys of the client's settings. The list is never complete; unknown keys are delivered all the same.
#[utoipa::path(
    get, path = "/api/v1/settings/catalogue", tag = "settings", operation_id = "settings_catalogue",
    security(("admin_token" = ["read_settings"])),
    responses((status = 200, body = Items<SettingKeyView>))
)]
pub async fn list(_: Admin<ReadSettings>, State(app): State<App>) -> Json<Items<SettingKeyView>> {
    Json(Items::all(app.settings.catalogue().keys().map(SettingKeyView::from).collect()))
}

/// Checks a document without storing it. The worst findings come first.
#[utoipa::path(
    post, path = "/api/v1/settings/lint", tag = "settings", operation_id = "settings_lint",
    request_body = LintText, security(("admin_token" = ["read_settings"])),
    responses((status = 200, body = Items<FindingView>))
)]
pub async fn lint(
    _: Admin<ReadSettings>,
    State(app): State<App>,
    Body(text): Body<LintText>,
) -> Result<Json<Items<FindingView>>, ApiError> {
    let channel = match text.channel {
        None | Some(ChannelView::Gateway) => Channel::Gateway,
        Some(ChannelView::Machine) => Channel::Machine,
    };
    Ok(Json(Items::all(FindingView::all(&check::findings(&app, &text.settings, channel)))))
}
