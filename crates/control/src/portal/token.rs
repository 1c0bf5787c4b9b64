//! The token endpoint: a client collects its session, or refreshes it; a job of CI gets one.

use axum::body::Bytes;
use axum::http::Response;
use gatehouse_domain::audit::{Actor, ActorKind, Object};
use gatehouse_domain::id::SessionId;
use gatehouse_domain::time::UnixMillis;
use gatehouse_domain::token::AccessToken;
use gatehouse_identity::device::{DeviceCode, DeviceCodeHash, Grant, GrantState, Poll, UserCode};
use gatehouse_identity::fetch::Fetch;
use gatehouse_identity::refresh::{Family, FamilyId, RefreshToken, Seed};
use gatehouse_store::StoreError;
use gatehouse_store::device::{Device, DeviceState};
use gatehouse_store::session::NewSession;
use serde_json::json;

use super::approve::Approval;
use super::reply::{self, Refused};
use super::request::{Asked, Form};
use super::settings::Rules;
use super::{Portal, exchange};
use crate::act::Caller;

const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The family of a session's refresh tokens: it has the session's own identifier.
pub(super) fn family_id(session: SessionId) -> FamilyId {
    FamilyId::from_bytes(session.bits().to_be_bytes())
}

/// The session of a family.
pub(super) fn session_id(family: FamilyId) -> SessionId {
    SessionId::from_bits(u128::from_be_bytes(*family.as_bytes()))
}

impl<F: Fetch> Portal<F> {
    /// Exchanges a device code, a refresh token or the token of a CI job.
    pub(super) async fn token(&self, rules: &Rules, asked: &Asked) -> Result<Response<Bytes>, Refused> {
        let form = asked.form()?;
        match form.get("grant_type") {
            Some(DEVICE_CODE) => self.collect(rules, asked, &form).await,
            Some("refresh_token") => self.refresh(rules, asked, &form).await,
            Some(exchange::GRANT) => self.exchange(rules, asked, &form).await,
            Some(_) => Err(Refused::UnsupportedGrant),
            None => Err(Refused::Invalid("`grant_type` is missing")),
        }
    }

    /// RFC 8628 section 3.4.
    async fn collect(&self, rules: &Rules, asked: &Asked, form: &Form) -> Result<Response<Bytes>, Refused> {
        let text = form.get("device_code").ok_or(Refused::Invalid("`device_code` is missing"))?;
        let hash = DeviceCode::parse(text).ok_or(Refused::Expired)?.hash();
        let device = self.app.store.device(self.app.org, hash.as_bytes()).await?.ok_or(Refused::Expired)?;
        let now = self.app.now();
        let mut grant = grant_of(&device, hash).ok_or(Refused::Expired)?;
        let (before, polled) = (grant.interval, grant.poll(now));
        match polled {
            Poll::Pending | Poll::SlowDown => {
                // Who goes on hammering when the interval grows no more is answered, and writes nothing.
                if polled == Poll::Pending || grant.interval != before {
                    self.app.store.note_poll(self.app.org, hash.as_bytes(), now, grant.interval).await?;
                }
                Err(if polled == Poll::Pending { Refused::Pending } else { Refused::SlowDown })
            }
            Poll::Denied => Err(Refused::Denied),
            Poll::Expired => Err(Refused::Expired),
            Poll::Deliver(approval) => self.begin(rules, asked, &device, &approval).await,
        }
    }

    /// Begins the session that a person has approved.
    async fn begin(
        &self,
        rules: &Rules,
        asked: &Asked,
        device: &Device,
        approval: &str,
    ) -> Result<Response<Bytes>, Refused> {
        let approval: Approval = serde_json::from_str(approval).map_err(|error| {
            tracing::error!(%error, "an approval in the database cannot be read");
            Refused::Expired
        })?;
        let user = match self.app.store.user(self.app.org, approval.user).await {
            Ok(user) => user,
            Err(StoreError::NotFound { .. }) => return Err(Refused::Denied),
            Err(error) => return Err(error.into()),
        };
        let now = self.app.now();
        let (id, seed) = (SessionId::new(now, self.app.random_bits()), self.app.random());
        let expires_at = now.plus_millis(rules.session_ms);
        let (_, refresh) =
            Family::begin(family_id(id), Seed::from_bytes(seed), expires_at, &self.refresh_keys());
        let new = NewSession {
            id,
            user: approval.user,
            team: approval.team,
            source: approval.source,
            subject: approval.subject,
            surface: device.new.surface.clone(),
            client: device.new.client.clone(),
            peer: Some(asked.peer),
            seed,
            source_token: approval.token,
            expires_at,
        };
        let actor = Actor { kind: ActorKind::User, id: user.id.to_string(), name: user.email };
        let caller = Caller { actor, from: Some(asked.peer), request_id: None };
        let act = caller
            .draft(now, "session.begin", Object::new("session", id, ""))
            .with("source", new.source.as_str());
        let begun = match self.app.store.begin_session(self.app.org, &device.new.device, &new, &act).await {
            Ok(begun) => begun.ok_or(Refused::Expired)?,
            Err(StoreError::Refused { .. } | StoreError::NotFound { .. }) => return Err(Refused::Denied),
            Err(error) => return Err(error.into()),
        };
        // The first request comes at once; where the policy is late, the data path looks for itself.
        let _ = (self.app.house.policy_changed)().await;
        Ok(self.tokens(rules, id, expires_at, &refresh, &begun.email))
    }

    /// The answer that gives tokens out.
    pub(super) fn tokens(
        &self,
        rules: &Rules,
        session: SessionId,
        ends: UnixMillis,
        refresh: &RefreshToken,
        email: &str,
    ) -> Response<Bytes> {
        let now = self.app.now();
        let expires_at = now.plus_millis(rules.access_ms).min(ends);
        let access = self.revealed(AccessToken { session, expires_at });
        reply::json(&json!({
            "access_token": *access,
            "token_type": "Bearer",
            "expires_in": expires_at.0.saturating_sub(now.0).max(0) / 1000,
            "refresh_token": *refresh.reveal(),
            "email": email,
        }))
    }
}

/// The grant as the state machine knows it; none if what is kept is none.
fn grant_of(device: &Device, hash: DeviceCodeHash) -> Option<Grant<String>> {
    Some(Grant {
        device: hash,
        user_code: UserCode::parse(&device.new.user_code).ok()?,
        expires_at: device.new.expires_at,
        interval: device.new.poll_seconds,
        polled_at: device.polled_at,
        state: match device.state {
            DeviceState::Pending => GrantState::Pending,
            DeviceState::Approved => GrantState::Approved(device.approval.clone()?),
            DeviceState::Denied => GrantState::Denied,
            DeviceState::Delivered => GrantState::Delivered,
        },
    })
}
