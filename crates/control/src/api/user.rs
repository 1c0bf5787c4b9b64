//! `/api/v1/users`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use gatehouse_domain::directory::{User, UserState};
use gatehouse_identity::secret::Secret;
use gatehouse_store::identity::KnownIdentity;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::{Admin, ReadDirectory, Scoped, WriteDirectory, WriteKeys};
use super::change::Changed;
use super::error::ApiError;
use super::extract::{Body, Params, Segment};
use super::page::{Items, page};
use crate::app::App;
use crate::session;
use crate::user::{self, Wanted};

/// A person.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserView {
    /// Identifier.
    #[schema(example = "usr_01JD8X4R6V3Q2M9KZB7T5W0C1E")]
    pub id: String,
    /// E-mail address, lower case.
    pub email: String,
    /// Name for people to read.
    pub name: Option<String>,
    /// `active` or `disabled`.
    pub state: UserStateView,
    /// Names of their teams, sorted.
    pub teams: Vec<String>,
    /// When they were added (RFC 3339).
    pub created_at: String,
}

/// Whether a user may use anything.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UserStateView {
    /// May use their keys.
    Active,
    /// All their keys are refused.
    Disabled,
}

/// A user to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// E-mail address.
    pub email: String,
    /// Name for people to read.
    pub name: Option<String>,
    /// Teams to put them into, by name or id.
    #[serde(default)]
    pub teams: Vec<String>,
}

/// The teams a user shall be in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Teams {
    /// All of them, by name or id.
    pub teams: Vec<String>,
}

/// The name a user shall have.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserName {
    /// Name for people to read; none if not given.
    pub name: Option<String>,
}

/// A local password. Never shown, never logged.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    /// The password: at least 12 characters.
    pub password: String,
}

/// What became of a local password.
#[derive(Debug, Serialize, ToSchema)]
pub struct PasswordView {
    /// Whose it is.
    pub email: String,
    /// Whether they have one now.
    pub has_password: bool,
}

/// The address a user shall have.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserEmail {
    /// E-mail address.
    pub email: String,
}

/// Who a user is at an issuer where they sign in.
#[derive(Debug, Serialize, ToSchema)]
pub struct IdentityView {
    /// The issuer: an OpenID Connect issuer's identifier, or `ldap:` and a directory's name.
    #[schema(example = "https://idp.corp.example")]
    pub issuer: String,
    /// The issuer's name for them.
    pub subject: String,
    /// When they first signed in there (RFC 3339).
    pub since: String,
}

/// Where a user signs in.
#[derive(Debug, Serialize, ToSchema)]
pub struct Identities {
    /// Whose they are.
    pub email: String,
    /// One an issuer, by issuer.
    pub identities: Vec<IdentityView>,
}

impl Identities {
    fn of((user, known): (User, Vec<KnownIdentity>)) -> Self {
        let view = |known: KnownIdentity| IdentityView {
            issuer: known.identity.issuer,
            subject: known.identity.subject,
            since: known.since.to_string(),
        };
        Self { email: user.email, identities: known.into_iter().map(view).collect() }
    }
}

/// Which users are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// Part of the address or name.
    q: Option<String>,
    /// Members of this team, by name or id.
    team: Option<String>,
    /// `active` or `disabled`.
    #[param(inline)]
    state: Option<UserStateView>,
    /// Cursor: the `next` of the page before.
    after: Option<String>,
    /// Items of a page, 1 to 1000; 100 if not given.
    limit: Option<u32>,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self {
            id: user.id.to_string(),
            email: user.email,
            name: user.name,
            state: match user.state {
                UserState::Active => UserStateView::Active,
                UserState::Disabled => UserStateView::Disabled,
            },
            teams: user.teams,
            created_at: user.created_at.to_string(),
        }
    }
}

/// Lists users by address.
#[utoipa::path(
    get, path = "/api/v1/users", tag = "user", operation_id = "user_list", params(Query),
    security(("admin_token" = ["read_directory"])),
    responses((status = 200, body = Items<UserView>))
)]
pub async fn list(
    admin: Scoped<ReadDirectory>,
    State(app): State<App>,
    Params(query): Params<Query>,
) -> Result<Json<Items<UserView>>, ApiError> {
    let state = query.state.map(|state| match state {
        UserStateView::Active => UserState::Active,
        UserStateView::Disabled => UserState::Disabled,
    });
    let wanted = Wanted { text: query.q, team: query.team, state };
    let users = user::list(&app, admin.scope, wanted, &page(query.after, query.limit)).await?;
    Ok(Json(Items::of(users, UserView::from)))
}

/// Adds a user.
#[utoipa::path(
    post, path = "/api/v1/users", tag = "user", operation_id = "user_add", request_body = NewUser,
    security(("admin_token" = ["write_directory"])),
    responses((status = 201, body = UserView))
)]
pub async fn add(
    admin: Admin<WriteDirectory>,
    State(app): State<App>,
    Body(new): Body<NewUser>,
) -> Result<(StatusCode, Json<UserView>), ApiError> {
    let user = user::add(&app, &admin.caller, &new.email, new.name.as_deref(), &new.teams).await?;
    Ok((StatusCode::CREATED, Json(user.into())))
}

/// Looks a user up.
#[utoipa::path(
    get, path = "/api/v1/users/{user}", tag = "user", operation_id = "user_get",
    params(("user" = String, Path, description = "Id or e-mail address")),
    security(("admin_token" = ["read_directory"])),
    responses((status = 200, body = UserView))
)]
pub async fn get(
    admin: Scoped<ReadDirectory>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<Json<UserView>, ApiError> {
    Ok(Json(user::within(&app, admin.scope, &given).await?.into()))
}

/// Lets a disabled user's keys work again.
#[utoipa::path(
    post, path = "/api/v1/users/{user}/enable", tag = "user", operation_id = "user_enable",
    params(("user" = String, Path, description = "Id or e-mail address")),
    security(("admin_token" = ["write_directory"])),
    responses((status = 200, body = Changed<UserView>))
)]
pub async fn enable(
    admin: Admin<WriteDirectory>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<Json<Changed<UserView>>, ApiError> {
    let changed = user::set_state(&app, &admin.caller, &given, UserState::Active).await?;
    Ok(Json(Changed::of(changed, UserView::from)))
}

/// Refuses all keys of a user from now on, open streams included.
#[utoipa::path(
    post, path = "/api/v1/users/{user}/disable", tag = "user", operation_id = "user_disable",
    params(("user" = String, Path, description = "Id or e-mail address")),
    security(("admin_token" = ["write_directory"])),
    responses((status = 200, body = Changed<UserView>))
)]
pub async fn disable(
    admin: Admin<WriteDirectory>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<Json<Changed<UserView>>, ApiError> {
    let changed = user::set_state(&app, &admin.caller, &given, UserState::Disabled).await?;
    Ok(Json(Changed::of(changed, UserView::from)))
}

/// Gives a user another name for people to read, or none.
#[utoipa::path(
    put, path = "/api/v1/users/{user}/name", tag = "user", operation_id = "user_set_name", request_body = UserName,
    params(("user" = String, Path, description = "Id or e-mail address")),
    security(("admin_token" = ["write_directory"])),
    responses((status = 200, body = UserView))
)]
pub async fn set_name(
    admin: Admin<WriteDirectory>,
    State(app): State<App>,
    Segment(given): Segment,
    Body(wanted): Body<UserName>,
) -> Result<Json<UserView>, ApiError> {
    let user = user::set_name(&app, &admin.caller, &given, wanted.name.as_deref()).await?;
    Ok(Json(user.into()))
}

/// Gives a user another address, such as one whose old address belongs to somebody else now. Not for who comes from a
/// directory: that says their address. As much as a key: whoever signs in with the address is the user.
#[utoipa::path(
    put, path = "/api/v1/users/{user}/email", tag = "user", operation_id = "user_set_email", request_body = UserEmail,
    params(("user" = String, Path, description = "Id or e-mail address")),
    security(("admin_token" = ["write_keys"])),
    responses((status = 200, body = UserView))
)]
pub async fn set_email(
    admin: Admin<WriteKeys>,
    State(app): State<App>,
    Segment(given): Segment,
    Body(wanted): Body<UserEmail>,
) -> Result<Json<UserView>, ApiError> {
    Ok(Json(user::set_email(&app, &admin.caller, &given, &wanted.email).await?.into()))
}

/// Tells where a user signs in: who they are at each issuer, since their first sign-in there.
#[utoipa::path(
    get, path = "/api/v1/users/{user}/identities", tag = "user", operation_id = "user_identities",
    params(("user" = String, Path, description = "Id or e-mail address")),
    security(("admin_token" = ["read_directory"])),
    responses((status = 200, body = Identities))
)]
pub async fn identities(
    _: Admin<ReadDirectory>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<Json<Identities>, ApiError> {
    Ok(Json(Identities::of(user::identities(&app, &given).await?)))
}

/// Forgets where a user signs in, and ends their sessions. Who next signs in with their address is taken for them.
#[utoipa::path(
    delete, path = "/api/v1/users/{user}/identities", tag = "user", operation_id = "user_forget_identities",
    params(("user" = String, Path, description = "Id or e-mail address")),
    security(("admin_token" = ["write_keys"])),
    responses((status = 200, body = Changed<Identities>))
)]
pub async fn forget_identities(
    admin: Admin<WriteKeys>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<Json<Changed<Identities>>, ApiError> {
    let changed = user::forget_identities(&app, &admin.caller, &given).await?;
    Ok(Json(Changed::of(changed, |user| Identities::of((user, Vec::new())))))
}

/// Puts a user into exactly these teams.
#[utoipa::path(
    put, path = "/api/v1/users/{user}/teams", tag = "user", operation_id = "user_set_teams", request_body = Teams,
    params(("user" = String, Path, description = "Id or e-mail address")),
    security(("admin_token" = ["write_directory"])),
    responses((status = 200, body = Changed<UserView>))
)]
pub async fn set_teams(
    admin: Admin<WriteDirectory>,
    State(app): State<App>,
    Segment(given): Segment,
    Body(wanted): Body<Teams>,
) -> Result<Json<Changed<UserView>>, ApiError> {
    let changed = user::set_teams(&app, &admin.caller, &given, &wanted.teams).await?;
    Ok(Json(Changed::of(changed, UserView::from)))
}

/// Sets the password that a user signs in with on the gateway's own page. Their sessions that began with the one before end.
#[utoipa::path(
    put, path = "/api/v1/users/{user}/password", tag = "user", operation_id = "user_set_password",
    request_body = NewPassword, params(("user" = String, Path, description = "Id or e-mail address")),
    security(("admin_token" = ["write_keys"])),
    responses((status = 200, body = Changed<PasswordView>))
)]
pub async fn set_password(
    admin: Admin<WriteKeys>,
    State(app): State<App>,
    Segment(given): Segment,
    Body(new): Body<NewPassword>,
) -> Result<Json<Changed<PasswordView>>, ApiError> {
    let password = Secret::new(new.password.into_bytes());
    let changed = session::set_password(&app, &admin.caller, &given, Some(&password)).await?;
    Ok(Json(Changed::of(changed, |user| PasswordView { email: user.email, has_password: true })))
}

/// Removes a user's local password. Their sessions that began with it end.
#[utoipa::path(
    delete, path = "/api/v1/users/{user}/password", tag = "user", operation_id = "user_remove_password",
    params(("user" = String, Path, description = "Id or e-mail address")),
    security(("admin_token" = ["write_keys"])),
    responses((status = 200, body = Changed<PasswordView>))
)]
pub async fn remove_password(
    admin: Admin<WriteKeys>,
    State(app): State<App>,
    Segment(given): Segment,
) -> Result<Json<Changed<PasswordView>>, ApiError> {
    let changed = session::set_password(&app, &admin.caller, &given, None).await?;
    Ok(Json(Changed::of(changed, |user| PasswordView { email: user.email, has_password: false })))
}
