//! The HTTP face of the management plane.
//!
//! Routes are registered only together with their OpenAPI description, so that none exists undocumented. What a route
//! needs of an administrator stands in its handler's signature as [`Admin`] and in its description as a scope; a test
//! holds the two together.

#![expect(unused_qualifications, reason = "the macro that describes a route qualifies what the route takes")]

pub mod error;
pub mod extract;
pub mod auth;
pub mod guard;
pub mod page;
mod pipe;
pub mod change;
pub mod probe;
pub mod status;
pub mod user;
pub mod team;
pub mod project;
pub mod access;
pub mod assessment;
pub mod budget;
pub mod limit;
pub mod raise;
pub mod retention;
pub mod proxy;
pub mod inspection;
pub mod role;
pub mod key;
pub mod session;
pub mod factor;
pub mod admin_token;
pub mod provisioning_token;
pub mod group;
pub mod scim;
pub mod directory;
pub mod usage;
pub mod analytics;
pub mod exchange;
pub mod telemetry;
pub mod mode;
pub mod mode_report;
pub mod trace;
pub mod audit;
pub mod backup;
pub mod config;
pub mod provider;
pub mod route;
pub mod secret;
pub mod settings;
pub mod ownership;
pub mod readiness;
pub mod plan;
pub mod log_forward;
pub mod maintenance;
pub mod metrics;
pub mod metrics_history;
pub mod feedback;
pub mod rollout;
pub mod report;
pub mod organizations;
pub mod alert;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi as _;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Response as Described, ResponseBuilder};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use crate::act::shortened;
use crate::app::App;

pub use auth::Admin;
pub use error::{ApiError, Code};
pub use guard::Arrival;

/// Builds the router of the admin listener: `/api/v1`, `/scim/v2`, `/healthz`, `/readyz`, `/metrics`.
///
/// The listener should hand the client's address in as `axum::extract::ConnectInfo<SocketAddr>`; without it audit
/// entries have no address and all failed sign-ins count together.
pub fn router(app: App) -> Router {
    let document = axum::routing::get(async || ([(CONTENT_TYPE, "application/json")], DOCUMENT));
    all_routes(Router::new())
        .route("/api/v1/openapi.json", document)
        .nest("/scim/v2", scim::routes())
        .nest("/v1/organizations", organizations::routes())
        .fallback(unknown_path)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(app.clone(), guard::guard))
        .with_state(app)
}

/// Builds the router for connections beyond the listener's bounds: it answers `/healthz` and `/readyz`, so that a node
/// under a flood of connections is not taken for a dead one, and refuses everything else.
pub fn probe_router(app: App) -> Router {
    Router::new()
        .route("/healthz", axum::routing::get(probe::healthz))
        .route("/readyz", axum::routing::get(probe::readyz))
        .fallback(crowded)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(app.clone(), guard::guard))
        .with_state(app)
}

/// The OpenAPI 3.1 document, as it is served at `/api/v1/openapi.json` and checked in as `openapi.json`.
pub fn openapi() -> String {
    let routes = all_routes(OpenApiRouter::with_openapi(Frame::openapi()));
    printed(&described(routes.into_openapi()))
}

/// The document as a test has found it equal to the routes: to put it together anew at every start costs a few megabytes.
const DOCUMENT: &str = include_str!("../openapi.json");

/// What routes are put into: a router, with what describes them or without.
trait Routes {
    /// Puts in the operations of one path.
    fn routes(self, operations: UtoipaMethodRouter<App>) -> Self;
}

impl Routes for OpenApiRouter<App> {
    fn routes(self, operations: UtoipaMethodRouter<App>) -> Self {
        let known = self.get_openapi().components.as_ref().map(|all| &all.schemas);
        for (name, schema) in &operations.0 {
            let same = known.and_then(|known| known.get(name)).is_none_or(|other| other == schema);
            assert!(same, "two shapes of the API are both called {name}");
        }
        OpenApiRouter::routes(self, operations)
    }
}

impl Routes for Router<App> {
    fn routes(self, (_, paths, handlers): UtoipaMethodRouter<App>) -> Self {
        paths.paths.keys().fold(self, |router, path| router.route(path, handlers.clone()))
    }
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Gatehouse management API",
        description = "Lists answer `{\"items\":[…],\"next\":CURSOR}`; give `next` as `after` for the page that follows. \
                       Times are RFC 3339 in UTC. Errors answer `{\"error\":{\"code\",\"message\",\"request_id\",\"field\"?}}`."
    ),
    components(schemas(error::ErrorBody))
)]
struct Frame;

fn all_routes<R: Routes>(into: R) -> R {
    alert_routes(rollout_routes(settings_routes(people_routes(report_routes(into)))))
        .routes(routes!(probe::healthz))
        .routes(routes!(probe::readyz))
        .routes(routes!(probe::metrics))
        .routes(routes!(status::get))
        .routes(routes!(access::list))
        .routes(routes!(access::get, access::put, access::remove))
        .routes(routes!(access::check))
        .routes(routes!(access::schema))
        .routes(routes!(access::explain))
        .routes(routes!(assessment::assess_answers))
        .routes(routes!(plan::list, plan::create))
        .routes(routes!(plan::get))
        .routes(routes!(plan::task))
        .routes(routes!(plan::document))
        .routes(routes!(log_forward::list))
        .routes(routes!(maintenance::list))
        .routes(routes!(maintenance::calendar))
        .routes(routes!(key::list, key::create))
        .routes(routes!(key::get))
        .routes(routes!(key::rotate))
        .routes(routes!(key::expire))
        .routes(routes!(key::disable))
        .routes(routes!(key::enable))
        .routes(routes!(key::revoke))
        .routes(routes!(admin_token::list, admin_token::create))
        .routes(routes!(admin_token::revoke))
        .routes(routes!(role::list))
        .routes(routes!(role::put, role::remove))
        .routes(routes!(ownership::list, ownership::mark))
        .routes(routes!(ownership::release))
        .routes(routes!(usage::get))
        .routes(routes!(analytics::import))
        .routes(routes!(telemetry::list))
        .routes(routes!(mode::list, mode::set))
        .routes(routes!(mode::plan))
        .routes(routes!(mode::changes))
        .routes(routes!(mode_report::report))
        .routes(routes!(trace::trace))
        .routes(routes!(mode::onboarding))
        .routes(routes!(exchange::list))
        .routes(routes!(audit::list))
        .routes(routes!(audit::export))
        .routes(routes!(audit::public_key))
        .routes(routes!(backup::list))
        .routes(routes!(backup::export))
        .routes(routes!(readiness::list))
        .routes(routes!(readiness::set))
        .routes(routes!(readiness::drill))
        .routes(routes!(config::get))
        .routes(routes!(config::reload))
        .routes(routes!(provider::list))
        .routes(routes!(route::explain))
        .routes(routes!(provider::set_key, provider::remove_key))
        .routes(routes!(secret::list))
        .routes(routes!(secret::rotate))
        .routes(routes!(secret::retire))
}

fn report_routes<R: Routes>(into: R) -> R {
    use report::{month, outlook, reconcile, terms};
    into.routes(routes!(month::get))
        .routes(routes!(month::list, month::close))
        .routes(routes!(month::statement))
        .routes(routes!(terms::allocations))
        .routes(routes!(terms::set_allocation, terms::remove_allocation))
        .routes(routes!(terms::rates))
        .routes(routes!(terms::set_rate))
        .routes(routes!(outlook::forecast))
        .routes(routes!(outlook::anomalies))
        .routes(routes!(outlook::caching))
        .routes(routes!(outlook::unused))
        .routes(routes!(reconcile::compare))
}

fn people_routes<R: Routes>(into: R) -> R {
    into.routes(routes!(user::list, user::add))
        .routes(routes!(user::get))
        .routes(routes!(user::enable))
        .routes(routes!(user::disable))
        .routes(routes!(user::set_teams))
        .routes(routes!(user::set_name))
        .routes(routes!(user::set_password, user::remove_password))
        .routes(routes!(user::identities, user::forget_identities))
        .routes(routes!(user::set_email))
        .routes(routes!(factor::list, factor::reset))
        .routes(routes!(factor::link))
        .routes(routes!(session::list))
        .routes(routes!(session::revoke))
        .routes(routes!(team::list, team::add))
        .routes(routes!(team::remove))
        .routes(routes!(team::set_models))
        .routes(routes!(team::set_data_class))
        .routes(routes!(budget::list, budget::add))
        .routes(routes!(budget::get, budget::set, budget::remove))
        .routes(routes!(budget::explain))
        .routes(routes!(limit::list, limit::add))
        .routes(routes!(limit::remove))
        .routes(routes!(limit::explain))
        .routes(routes!(retention::look))
        .routes(routes!(retention::run))
        .routes(routes!(raise::list))
        .routes(routes!(raise::decide))
        .routes(routes!(inspection::get))
        .routes(routes!(inspection::create, inspection::import, inspection::remove))
        .routes(routes!(proxy::list, proxy::add))
        .routes(routes!(proxy::remove))
        .routes(routes!(proxy::tunnels))
        .routes(routes!(proxy::explain))
        .routes(routes!(project::list, project::add))
        .routes(routes!(project::set_data_class))
        .routes(routes!(provisioning_token::list, provisioning_token::create))
        .routes(routes!(provisioning_token::revoke))
        .routes(routes!(group::list))
        .routes(routes!(directory::list))
        .routes(routes!(directory::runs))
        .routes(routes!(directory::check))
        .routes(routes!(directory::sync))
        .routes(routes!(group::map, group::unmap))
}

fn settings_routes<R: Routes>(into: R) -> R {
    use settings::{
        catalogue, compare, export, overlay, person, profile, receipt, schedule, schema, version,
    };
    into.routes(routes!(profile::list, profile::create))
        .routes(routes!(profile::get))
        .routes(routes!(profile::write))
        .routes(routes!(version::list))
        .routes(routes!(version::get))
        .routes(routes!(version::submit))
        .routes(routes!(version::approve))
        .routes(routes!(version::send_back))
        .routes(routes!(version::publish))
        .routes(routes!(version::retire))
        .routes(routes!(version::roll_back))
        .routes(routes!(schedule::set, schedule::cancel))
        .routes(routes!(overlay::get, overlay::assign))
        .routes(routes!(overlay::widen))
        .routes(routes!(overlay::withdraw))
        .routes(routes!(schema::list, schema::import))
        .routes(routes!(schema::get))
        .routes(routes!(schema::reset))
        .routes(routes!(compare::diff))
        .routes(routes!(compare::affected))
        .routes(routes!(person::effective))
        .routes(routes!(person::explain))
        .routes(routes!(receipt::list))
        .routes(routes!(receipt::count))
        .routes(routes!(catalogue::list))
        .routes(routes!(catalogue::lint))
        .routes(routes!(export::get))
}

fn rollout_routes<R: Routes>(into: R) -> R {
    into.routes(routes!(rollout::list, rollout::apply))
        .routes(routes!(rollout::get))
        .routes(routes!(rollout::result))
        .routes(routes!(rollout::assignments))
        .routes(routes!(rollout::events))
        .routes(routes!(rollout::pause))
        .routes(routes!(rollout::resume))
        .routes(routes!(rollout::abort))
        .routes(routes!(rollout::rollback))
        .routes(routes!(rollout::approve))
        .routes(routes!(rollout::volunteer))
        .routes(routes!(feedback::list, feedback::add))
        .routes(routes!(feedback::send))
        .routes(routes!(metrics::summary))
        .routes(routes!(metrics_history::list))
}

fn alert_routes<R: Routes>(into: R) -> R {
    into.routes(routes!(alert::list))
        .routes(routes!(alert::history))
        .routes(routes!(alert::rules))
        .routes(routes!(alert::file))
        .routes(routes!(alert::silences, alert::silence))
        .routes(routes!(alert::unsilence))
        .routes(routes!(alert::receivers))
        .routes(routes!(alert::test))
        .routes(routes!(alert::deliveries))
}

/// Adds what all operations share: the way to sign in, and the one shape of every error.
fn described(mut document: OpenApi) -> OpenApi {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "An administrator's token (`gha_…`). Scopes name the permission the token's role must include.",
        ))
        .build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("admin_token", SecurityScheme::Http(bearer));
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            operation.responses.responses.insert("default".to_owned(), RefOr::T(any_error()));
        }
    }
    document
}

fn any_error() -> Described {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
    ResponseBuilder::new().description("Refused or failed").content("application/json", content).build()
}

fn printed(document: &OpenApi) -> String {
    let mut text = document.to_pretty_json().expect("the document has string keys only");
    text.push('\n');
    text
}

async fn unknown_path(State(_): State<App>, uri: axum::http::Uri) -> ApiError {
    let path = shortened(uri.path());
    ApiError::new(Code::UnknownPath, format!("there is no `{path}`; see /api/v1/openapi.json"))
}

async fn crowded() -> ApiError {
    let told =
        "too many connections are open to the management listener, or too many from this address; close some";
    ApiError { retry_after: Some(5), ..ApiError::new(Code::TooManyConnections, told) }
}

async fn method_not_allowed(method: axum::http::Method, uri: axum::http::Uri) -> Response {
    let path = shortened(uri.path());
    let method = shortened(method.as_str());
    ApiError::new(Code::MethodNotAllowed, format!("`{path}` does not know the method `{method}`"))
        .into_response()
}
