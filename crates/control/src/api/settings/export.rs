//! `/api/v1/settings/export`.

use axum::Json;
use axum::extract::State;
use base64ct::{Base64, Encoding as _};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::auth::{Admin, ReadSettings};
use crate::api::error::ApiError;
use crate::api::extract::Params;
use crate::app::App;
use crate::settings::artifact::Format;
use crate::settings::export::{self, Exported, Whose};

/// The files of an export.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExportView {
    /// The files.
    pub files: Vec<FileView>,
    /// The checksum of the settings.
    pub checksum: String,
    /// The public key that bundles are signed with. Note it elsewhere, and give it to `gatehouse bundle verify --key`.
    pub key: String,
}

/// A file.
#[derive(Debug, Serialize, ToSchema)]
pub struct FileView {
    /// Where it is, with `/` between folders.
    pub path: String,
    /// What is in it (Base64, RFC 4648).
    pub content: String,
}

/// What an export is for.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FormatView {
    /// `managed-settings.json` of Linux.
    LinuxFile,
    /// A file beside it.
    LinuxDropin,
    /// A property list of managed preferences.
    MacosPlist,
    /// A configuration profile.
    MacosMobileconfig,
    /// A registry file.
    WindowsReg,
    /// An administrative template with the value to enter.
    WindowsAdmx,
    /// A script for device management.
    WindowsPowershell,
    /// All of these in one signed archive.
    Bundle,
}

/// What is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// What it is for.
    #[param(inline)]
    format: FormatView,
    /// The settings of this person, by address or id.
    user: Option<String>,
    /// The settings of somebody who is in this team only, by name or id.
    team: Option<String>,
}

impl From<FormatView> for Format {
    fn from(format: FormatView) -> Self {
        match format {
            FormatView::LinuxFile => Self::LinuxFile,
            FormatView::LinuxDropin => Self::LinuxDropin,
            FormatView::MacosPlist => Self::MacosPlist,
            FormatView::MacosMobileconfig => Self::MacosMobileconfig,
            FormatView::WindowsReg => Self::WindowsReg,
            FormatView::WindowsAdmx => Self::WindowsAdmx,
            FormatView::WindowsPowershell => Self::WindowsPowershell,
            FormatView::Bundle => Self::Bundle,
        }
    }
}

impl From<Exported> for ExportView {
    fn from(made: Exported) -> Self {
        let files = made.files.into_iter();
        Self {
            files: files
                .map(|file| FileView { path: file.path, content: Base64::encode_string(&file.bytes) })
                .collect(),
            checksum: made.checksum,
            key: made.key.to_string(),
        }
    }
}

/// Makes files of the published settings of a person or team. The same settings always give the same files.
#[utoipa::path(
    get, path = "/api/v1/settings/export", tag = "settings", operation_id = "settings_export",
    params(Query), security(("admin_token" = ["read_settings"])),
    responses((status = 200, body = ExportView))
)]
pub async fn get(
    admin: Admin<ReadSettings>,
    State(app): State<App>,
    Params(query): Params<Query>,
) -> Result<Json<ExportView>, ApiError> {
    let whose = match (query.user, query.team) {
        (Some(user), None) => Whose::User(user),
        (None, Some(team)) => Whose::Team(team),
        (Some(_), Some(_)) | (None, None) => {
            return Err(ApiError::invalid("user", "expected either `user` or `team`"));
        }
    };
    Ok(Json(export::export(&app, &admin.caller, &whose, query.format.into()).await?.into()))
}
