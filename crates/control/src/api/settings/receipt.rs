//! `/api/v1/settings/receipts`.

use axum::Json;
use axum::extract::State;
use gatehouse_domain::settings::{Checksum, ReceiptState};
use gatehouse_domain::time::UnixMillis;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::auth::{Admin, ReadSettings};
use crate::api::error::ApiError;
use crate::api::extract::Params;
use crate::api::page::{Items, page};
use crate::app::App;
use crate::settings::receipt::{self, Known, KnownMachine, Wanted};

/// How far a user's settings have come.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReceiptView {
    /// Identifier.
    pub user: String,
    /// E-mail address.
    pub email: String,
    /// How far they have come.
    pub state: ReceiptStateView,
    /// Checksum of the settings that are theirs.
    pub assigned: String,
    /// Checksum of the settings last handed to the client.
    pub offered: Option<String>,
    /// When these were handed to it (RFC 3339).
    pub offered_at: Option<String>,
    /// Checksum of the settings that the client said it has.
    pub reported: Option<String>,
    /// When it said so (RFC 3339).
    pub reported_at: Option<String>,
    /// The client's version.
    pub client: Option<String>,
    /// When the client was last seen (RFC 3339).
    pub seen_at: Option<String>,
    /// Their machines, the one seen last first; at most 20. Only machines whose client asks for its settings by
    /// `gatehouse client policy` name themselves; those not seen for 90 days are forgotten.
    pub machines: Vec<MachineView>,
}

/// How far a user's settings have come on one of their machines.
#[derive(Debug, Serialize, ToSchema)]
pub struct MachineView {
    /// The number that the machine has drawn for itself. `gatehouse client status` shows it there.
    pub machine: String,
    /// `linux`, `macos`, `windows` or `other`.
    pub platform: String,
    /// How far they have come.
    pub state: ReceiptStateView,
    /// Checksum of the settings last handed to it.
    pub offered: Option<String>,
    /// When these were handed to it (RFC 3339).
    pub offered_at: Option<String>,
    /// Checksum of the settings that it said it has.
    pub reported: Option<String>,
    /// When it said so (RFC 3339).
    pub reported_at: Option<String>,
    /// The client's version.
    pub client: Option<String>,
    /// When it was first seen (RFC 3339).
    pub first_seen_at: String,
    /// When it was last seen (RFC 3339).
    pub seen_at: Option<String>,
}

/// How far settings have come.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptStateView {
    /// They wait for the client to ask.
    Assigned,
    /// The client got them and has not yet said that it applied them.
    Offered,
    /// The client has them.
    Confirmed,
    /// The client has others: older ones, or some that are not ours.
    Drifted,
    /// The client got them and dropped what it could not read.
    Partial,
    /// The client's version is outside the range they demand.
    Blocked,
    /// No client of the user was seen, or none for two weeks.
    Unseen,
}

/// How many users are in each state.
#[derive(Debug, Serialize, ToSchema)]
pub struct CountView {
    /// The state.
    pub state: ReceiptStateView,
    /// How many active users are in it.
    pub users: u64,
}

/// Which receipts are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// Only those in this state.
    #[param(inline)]
    state: Option<ReceiptStateView>,
    /// Only those of people whose settings this profile is a layer of now, by name or id.
    profile: Option<String>,
    /// Cursor: the `next` of the page before.
    after: Option<String>,
    /// Items of a page, 1 to 1000; 100 if not given.
    limit: Option<u32>,
}

/// Whose receipts are counted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CountQuery {
    /// Only those of people whose settings this profile is a layer of now, by name or id.
    profile: Option<String>,
}

impl From<ReceiptState> for ReceiptStateView {
    fn from(state: ReceiptState) -> Self {
        match state {
            ReceiptState::Assigned => Self::Assigned,
            ReceiptState::Offered => Self::Offered,
            ReceiptState::Confirmed => Self::Confirmed,
            ReceiptState::Drifted => Self::Drifted,
            ReceiptState::Partial => Self::Partial,
            ReceiptState::Blocked => Self::Blocked,
            ReceiptState::Unseen => Self::Unseen,
        }
    }
}

impl From<ReceiptStateView> for ReceiptState {
    fn from(state: ReceiptStateView) -> Self {
        match state {
            ReceiptStateView::Assigned => Self::Assigned,
            ReceiptStateView::Offered => Self::Offered,
            ReceiptStateView::Confirmed => Self::Confirmed,
            ReceiptStateView::Drifted => Self::Drifted,
            ReceiptStateView::Partial => Self::Partial,
            ReceiptStateView::Blocked => Self::Blocked,
            ReceiptStateView::Unseen => Self::Unseen,
        }
    }
}

fn sum(of: Option<(Checksum, UnixMillis)>) -> Option<String> {
    of.map(|(sum, _)| sum.to_string())
}

fn time(of: Option<(Checksum, UnixMillis)>) -> Option<String> {
    of.map(|(_, at)| at.to_string())
}

impl From<Known> for ReceiptView {
    fn from(known: Known) -> Self {
        let receipt = known.receipt;
        Self {
            user: known.user.to_string(),
            email: known.email,
            state: known.state.into(),
            assigned: known.assigned.to_string(),
            offered: sum(receipt.offered),
            offered_at: time(receipt.offered),
            reported: sum(receipt.reported),
            reported_at: time(receipt.reported),
            client: receipt.client.map(|client| client.to_string()),
            seen_at: receipt.seen_at.map(|at| at.to_string()),
            machines: known.machines.into_iter().map(MachineView::from).collect(),
        }
    }
}

impl From<KnownMachine> for MachineView {
    fn from(known: KnownMachine) -> Self {
        let receipt = known.receipt;
        Self {
            machine: known.machine.id.to_string(),
            platform: known.machine.platform.as_str().to_owned(),
            state: known.state.into(),
            offered: sum(receipt.offered),
            offered_at: time(receipt.offered),
            reported: sum(receipt.reported),
            reported_at: time(receipt.reported),
            client: receipt.client.map(|client| client.to_string()),
            first_seen_at: known.first_seen_at.to_string(),
            seen_at: receipt.seen_at.map(|at| at.to_string()),
        }
    }
}

/// Lists how far active users' settings have come, by address. Users for whom nothing is published are left out.
#[utoipa::path(
    get, path = "/api/v1/settings/receipts", tag = "settings", operation_id = "settings_receipt_list",
    params(Query), security(("admin_token" = ["read_settings"])),
    responses((status = 200, body = Items<ReceiptView>))
)]
pub async fn list(
    _: Admin<ReadSettings>,
    State(app): State<App>,
    Params(query): Params<Query>,
) -> Result<Json<Items<ReceiptView>>, ApiError> {
    let wanted = Wanted { state: query.state.map(ReceiptState::from), profile: query.profile };
    let found = receipt::list(&app, &wanted, &page(query.after, query.limit)).await?;
    Ok(Json(Items::of(found, ReceiptView::from)))
}

/// Counts active users by how far their settings have come.
#[utoipa::path(
    get, path = "/api/v1/settings/receipts/count", tag = "settings", operation_id = "settings_receipt_count",
    params(CountQuery), security(("admin_token" = ["read_settings"])),
    responses((status = 200, body = Items<CountView>))
)]
pub async fn count(
    _: Admin<ReadSettings>,
    State(app): State<App>,
    Params(query): Params<CountQuery>,
) -> Result<Json<Items<CountView>>, ApiError> {
    let counts = receipt::count(&app, query.profile).await?.into_iter();
    Ok(Json(Items::all(counts.map(|(state, users)| CountView { state: state.into(), users }).collect())))
}
