//! `/budget/raises`: a person asks for a higher limit for a while, and sees what became of it.

use axum::body::Bytes;
use axum::http::{Method, Response, StatusCode};
use gatehouse_domain::audit::{Actor, ActorKind};
use gatehouse_identity::fetch::Fetch;
use gatehouse_store::StoreError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Portal;
use super::reply::{self, Refused};
use super::request::Asked;
use crate::act::{ActError, Caller};
use crate::api::raise::RaiseView;
use crate::raise::{self, Ask};

/// A request, as it comes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    budget: Option<String>,
    amount_usd: String,
    reason: String,
    until: Option<String>,
}

impl<F: Fetch> Portal<F> {
    /// Takes a request, or tells of those before.
    pub(super) async fn raises(&self, asked: &Asked) -> Result<Response<Bytes>, Refused> {
        let principal = asked.principal.ok_or(Refused::Unavailable)?;
        let user = self.app.store.user(self.app.org, principal.user).await?;
        if asked.method != Method::POST {
            let raises = raise::of(&self.app, &principal).await.map_err(|error| refused(&error))?;
            let items: Vec<RaiseView> =
                raises.into_iter().map(|raise| RaiseView::of(raise, user.email.clone())).collect();
            return Ok(reply::json(&json!({"items": items})));
        }
        let Ok(Body { budget, amount_usd, reason, until }) = serde_json::from_slice(&asked.body) else {
            return Err(Refused::Invalid(
                "expected a JSON object with amount_usd, reason and, if wanted, budget and until",
            ));
        };
        let actor = Actor { kind: ActorKind::User, id: user.id.to_string(), name: user.email.clone() };
        let caller = Caller { actor, from: Some(asked.peer), request_id: None };
        let ask = Ask { budget, amount: amount_usd, reason, until };
        match raise::ask(&self.app, &caller, &principal, &ask).await {
            Ok(raise) => {
                let view = json!(RaiseView::of(raise, user.email));
                Ok(with(StatusCode::CREATED, &view))
            }
            Err(ActError::Field { field, message }) => {
                Ok(with(StatusCode::BAD_REQUEST, &error("invalid_request", &format!("{field}: {message}"))))
            }
            Err(ActError::Store(why @ (StoreError::Refused { .. } | StoreError::Conflict { .. }))) => {
                Ok(with(StatusCode::CONFLICT, &error("conflict", &why.to_string())))
            }
            Err(why) => Err(refused(&why)),
        }
    }
}

fn refused(why: &ActError) -> Refused {
    tracing::error!(error = %why, "a request to raise a budget failed");
    Refused::Unavailable
}

fn error(code: &str, description: &str) -> Value {
    json!({"error": code, "error_description": description})
}

fn with(status: StatusCode, value: &Value) -> Response<Bytes> {
    let mut response = reply::json(value);
    *response.status_mut() = status;
    response
}
