//! Authorization of directories as an extractor: a handler that takes a [`Directory`] runs only for a provisioning token
//! that is good. An administrator's token is none.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use gatehouse_domain::audit::Actor;

use super::super::auth::bearer;
use super::super::guard::Arrival;
use super::answer::Failure;
use crate::act::Caller;
use crate::app::App;
use crate::provisioning_token::{self, Provisioner};

/// A directory whose token is good.
#[derive(Debug)]
pub struct Directory(pub Provisioner);

impl FromRequestParts<App> for Directory {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let arrival = parts.extensions.get::<Arrival>().cloned();
        let unknown = Caller {
            actor: Actor::anonymous(),
            from: arrival.as_ref().and_then(|arrival| arrival.from),
            request_id: arrival.map(|arrival| arrival.request_id),
        };
        Ok(Self(provisioning_token::sign_in(app, &unknown, bearer(parts)).await?))
    }
}
