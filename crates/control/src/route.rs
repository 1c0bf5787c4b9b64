//! Which provider a request would go to: asked of the data path.

use gatehouse_domain::exchange::{Credential, Principal};
use gatehouse_domain::id::KeyId;
use gatehouse_domain::model::is_model_name;
use gatehouse_domain::role::Scope;
use serde::Serialize;
use utoipa::ToSchema;

use crate::act::{ActError, shortened};
use crate::app::App;
use crate::{team, user};

/// What is asked, as the caller wrote it.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Who, by address or id.
    pub user: String,
    /// Which model.
    pub model: String,
    /// Charged to which team, by name or id.
    pub team: Option<String>,
    /// The client's session.
    pub session: Option<String>,
}

/// What the data path is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteQuestion {
    /// Whose request.
    pub principal: Principal,
    /// Which model.
    pub model: String,
    /// The client's session.
    pub session: Option<String>,
}

/// Where a request would go, on this node and now.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RouteExplained {
    /// The model that is meant; null if the one asked for is out of use.
    pub model: Option<String>,
    /// What the client is told of the model's end.
    pub notice: Option<String>,
    /// Which rule decides, in words.
    pub rule: String,
    /// The provider that the session was with last, as far as this node remembers.
    pub session_with: Option<String>,
    /// How much of the input of requests of the same route is read from providers' caches, as far as this node has seen.
    pub cache: RouteCache,
    /// Providers in the order in which they are asked.
    pub candidates: Vec<RouteCandidate>,
    /// Providers that are not asked.
    pub left_out: Vec<RouteLeftOut>,
}

/// How providers' caches are used by a route's requests.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct RouteCache {
    /// The share of input read from caches in the last minutes, in percent; null if there was too little of it.
    pub recent_percent: Option<u32>,
    /// The same for the day before.
    pub usual_percent: Option<u32>,
    /// Whether it has become so much less that it is alarming.
    pub alarm: bool,
}

/// A provider that may be asked.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RouteCandidate {
    /// Its name.
    pub provider: String,
    /// The model that it is asked for.
    pub model: String,
    /// Its region; empty if it has none.
    pub region: String,
    /// Its share among those of the same priority.
    pub weight: u32,
    /// The smallest is asked first.
    pub priority: u32,
    /// Where its signatures of thinking are valid.
    pub signature_family: String,
    /// How it fares, in words.
    pub state: String,
    /// Whether it would be asked now.
    pub usable: bool,
}

/// A provider that is not asked.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RouteLeftOut {
    /// Its name.
    pub provider: String,
    /// Why not.
    pub why: String,
}

/// Explains where a request of somebody within a scope would go.
///
/// # Errors
/// Something that is named does not exist; a bad model name; the database.
pub async fn explain(app: &App, scope: Scope, asked: Asked) -> Result<RouteExplained, ActError> {
    if !is_model_name(&asked.model) {
        return Err(ActError::field("model", format!("`{}` is not a model's name", shortened(&asked.model))));
    }
    let holder = user::named(app, scope, "user", &asked.user).await?;
    let team = match &asked.team {
        Some(given) => Some(team::named(app, scope, "team", given).await?.id),
        None => None,
    };
    let credential = Credential::Key(KeyId::from_bits(0));
    let principal = Principal { org: app.org, user: holder.id, credential, team, project: None };
    let question = RouteQuestion { principal, model: asked.model, session: asked.session };
    Ok((app.house.explain_route)(&question))
}
