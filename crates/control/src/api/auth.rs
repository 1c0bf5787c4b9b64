//! Authorization as an extractor: a handler that takes an [`Admin`] runs only for a token whose role includes the
//! permission the type names.

use std::marker::PhantomData;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use gatehouse_domain::audit::{Actor, ActorKind};
use gatehouse_domain::role::{Permission, Scope};

use super::error::{ApiError, Code};
use super::guard::Arrival;
use crate::act::Caller;
use crate::admin_token::{self, SignInError, SignedIn};
use crate::app::App;

/// Put into a request whose connection showed a client certificate, where that must be the token's person's: the e-mail address
/// it is for, in lower case, if it is for one person.
#[derive(Debug, Clone)]
pub struct ShownCertificate(pub Option<String>);

/// Names a permission in a type.
pub trait Needs: Send + Sync + 'static {
    /// The permission.
    const PERMISSION: Permission;
}

macro_rules! needs {
    ($($name:ident)*) => {
        $(
            #[doc = concat!("[`Permission::", stringify!($name), "`] as a type.")]
            #[derive(Debug, Clone, Copy)]
            pub struct $name;

            impl Needs for $name {
                const PERMISSION: Permission = Permission::$name;
            }
        )*
    };
}

needs!(ReadDirectory ReadUsage WriteDirectory WriteKeys ReadAudit ReadConfig WriteConfig WriteAccess);
needs!(WriteBudgets CloseMonths);
needs!(ReadSettings WriteSettings ApproveSettings WriteAdmins RotateSecrets MakeBackups);

/// A signed-in administrator who may do what `P` names, for the whole organization.
#[derive(Debug)]
pub struct Admin<P> {
    /// Who acts, for the audit log.
    pub caller: Caller,
    permission: PhantomData<P>,
}

/// A signed-in administrator who may do what `P` names within a scope. A handler that takes this answers for nothing
/// outside of it.
#[derive(Debug)]
pub struct Scoped<P> {
    /// Who acts, for the audit log.
    pub caller: Caller,
    /// For whom.
    pub scope: Scope,
    permission: PhantomData<P>,
}

impl<P: Needs> FromRequestParts<App> for Admin<P> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let Scoped { caller, scope, permission } = Scoped::<P>::from_request_parts(parts, app).await?;
        if scope != Scope::Organization {
            admin_token::forbid(app, &caller, P::PERMISSION).await;
            let told = "this concerns the whole organization, and the token is limited to a team or a person";
            return Err(ApiError::new(Code::Forbidden, told));
        }
        Ok(Self { caller, permission })
    }
}

impl<P: Needs> FromRequestParts<App> for Scoped<P> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let arrival = parts.extensions.get::<Arrival>().cloned().ok_or_else(|| {
            ApiError::internal("a route was reached without passing the guard, which names the request")
        })?;
        let unknown =
            Caller { actor: Actor::anonymous(), from: arrival.from, request_id: Some(arrival.request_id) };
        let Some(presented) = bearer(parts) else {
            return Err(refused(admin_token::reject(app, &unknown, "no_token").await));
        };
        let admin = admin_token::sign_in(app, &unknown, presented).await.map_err(refused)?;
        if let Some(shown) = parts.extensions.get::<ShownCertificate>()
            && !is_of_holder(app, shown, &admin).await?
        {
            // It counts as a failed sign-in: whoever has come by a token has no more than that.
            drop(admin_token::reject(app, &unknown, "certificate_of_another").await);
            let told = "the client certificate is not of the person whose token this is";
            return Err(ApiError::new(Code::Forbidden, told));
        }
        let actor = Actor { kind: ActorKind::Admin, id: admin.id.to_string(), name: admin.name };
        let caller = Caller { actor, ..unknown };
        if !admin.permissions.has(P::PERMISSION) {
            admin_token::forbid(app, &caller, P::PERMISSION).await;
            let told = format!("the role `{}` does not include this", admin.role);
            return Err(ApiError::new(Code::Forbidden, told));
        }
        Ok(Self { caller, scope: admin.scope, permission: PhantomData })
    }
}

async fn is_of_holder(app: &App, shown: &ShownCertificate, admin: &SignedIn) -> Result<bool, ApiError> {
    let (Some(email), Some(person)) = (&shown.0, admin.person) else { return Ok(false) };
    Ok(app.store.user(app.org, person).await?.email.to_lowercase() == *email)
}

/// The bearer token of the one `Authorization` header.
pub(super) fn bearer(parts: &Parts) -> Option<&[u8]> {
    let mut values = parts.headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

fn refused(why: SignInError) -> ApiError {
    match why {
        SignInError::NotAccepted { wait_seconds: None } => ApiError::new(
            Code::Unauthenticated,
            "this needs an administrator's token that is valid (`Authorization: Bearer gha_…`)",
        ),
        SignInError::NotAccepted { wait_seconds: Some(seconds) } => ApiError {
            retry_after: Some(seconds),
            ..ApiError::new(
                Code::TooManyFailures,
                format!("too many failed sign-ins from this address; try again in {seconds} seconds"),
            )
        },
        SignInError::Store(cause) => cause.into(),
    }
}
