//! A client signs out (RFC 7009).

use axum::body::Bytes;
use axum::http::Response;
use gatehouse_domain::id::SessionId;
use gatehouse_domain::session::SessionEnd;
use gatehouse_domain::token::AccessToken;
use gatehouse_identity::fetch::Fetch;
use gatehouse_identity::keyset::Keyset;
use gatehouse_identity::refresh::{Decision, RefreshToken, decide};

use super::Portal;
use super::refresh::family_of;
use super::reply::{self, Empty, Refused};
use super::request::Asked;
use super::token::session_id;

impl<F: Fetch> Portal<F> {
    /// Ends the session that a token belongs to. A token that is not (any more) good is answered the same.
    pub(super) async fn revoke(&self, asked: &Asked) -> Result<Response<Bytes>, Refused> {
        let form = asked.form()?;
        let token = form.get("token").ok_or(Refused::Invalid("`token` is missing"))?;
        if let Some(id) = self.session_of(token).await? {
            self.end(asked, id, SessionEnd::SignedOut).await?;
        }
        Ok(reply::empty(Empty::Done))
    }

    /// The session of a token that we gave out.
    async fn session_of(&self, text: &str) -> Result<Option<SessionId>, Refused> {
        if let Ok(token) = AccessToken::genuine(text.as_bytes(), &self.app.keys.with(Keyset::access_keys)) {
            return Ok(Some(token.session));
        }
        let Some(token) = RefreshToken::parse(text) else { return Ok(None) };
        let id = session_id(token.family());
        let Some(kept) = self.app.store.family(self.app.org, id).await? else { return Ok(None) };
        let known = decide(Some(&family_of(id, &kept)), &token, &self.refresh_keys(), self.app.now());
        Ok(match known {
            Decision::Unknown => None,
            Decision::Rotate { .. } | Decision::GraceReplay { .. } | Decision::Theft => Some(id),
        })
    }
}
