//! Signing in at an identity provider by OpenID Connect: the way there, and the way back.

use axum::body::Bytes;
use axum::http::{Response, header};
use gatehouse_identity::fetch::Fetch;
use gatehouse_identity::oidc::{Callback, Pending, RANDOM_LEN, SignInError, SourceId};
use gatehouse_identity::seal::{NONCE_LEN, Place, Sealed};
use gatehouse_identity::secret::Secret;
use gatehouse_store::device::Device;
use gatehouse_store::login::PendingLogin;

use super::Portal;
use super::approve::{Approval, Sent, Step, Why};
use super::form::Cookie;
use super::reply;
use super::request::Asked;
use super::settings::{PublicUrl, Rules};
use super::text::Language;

/// Sign-ins that wait for a browser's return, at once.
const MOST: u32 = 10_000;
/// Where a waiting sign-in is sealed.
const PENDING: Place<'static> = Place { purpose: "pending-login", name: "pending-login" };
/// Longest refresh token of a provider that is kept.
const MAX_TOKEN: usize = 16 * 1024;

/// Where a person's refresh token of a provider is sealed.
pub(crate) const fn token_place(user: &str) -> Place<'_> {
    Place { purpose: "provider-refresh-token", name: user }
}

impl<F: Fetch> Portal<F> {
    /// Sends the browser to the identity provider of this name.
    pub(super) async fn send_to_provider(
        &self,
        rules: &Rules,
        url: &PublicUrl,
        name: Option<&str>,
        device: &Device,
    ) -> Result<Step, Why> {
        let id = name.and_then(SourceId::parse).ok_or(Why::NotOurs)?;
        let client = rules.oidc.as_ref().and_then(|sources| sources.find(&id)).ok_or(Why::NotOurs)?;
        let now = self.app.now();
        let random = zeroize::Zeroizing::new(self.app.random::<RANDOM_LEN>());
        let started =
            client.start(&self.fetch, &random, None, now).await.map_err(|error| told(&id, &error))?;
        let bytes = Secret::from(started.pending.to_bytes());
        let sealed = self
            .app
            .keyring
            .seal(PENDING, &bytes, self.app.random::<NONCE_LEN>())
            .map_err(|_| Why::Unavailable)?;
        let login = PendingLogin {
            state: *started.pending.state_hash(),
            device: device.new.device,
            sealed: sealed.to_string(),
            expires_at: started.pending.expires_at(),
        };
        if !self.app.store.create_login(self.app.org, &login, MOST, now).await? {
            return Err(Why::TooMany);
        }
        let mut response = reply::see_other(started.location.as_str()).ok_or(Why::Unavailable)?;
        let cookie = Cookie::Login.set(url, &started.browser).ok_or(Why::Unavailable)?;
        response.headers_mut().append(header::SET_COOKIE, cookie);
        Ok(Step::Elsewhere(response))
    }

    /// The browser comes back.
    pub(super) async fn come_back(&self, rules: &Rules, url: &PublicUrl, asked: &Asked) -> Response<Bytes> {
        let language = Language::of(url, asked, &super::request::Form::default());
        let mut response = match self.returned(rules, url, asked).await {
            Ok(()) => self.approved_page(rules, url, asked, language),
            Err(why) => {
                let sent = Sent { form: super::request::Form::default(), language };
                self.failed_page(rules, url, asked, &sent, why)
            }
        };
        if let Some(cookie) = Cookie::Login.remove(url) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }

    async fn returned(&self, rules: &Rules, url: &PublicUrl, asked: &Asked) -> Result<(), Why> {
        let callback = Callback::parse(&asked.query).map_err(|_| Why::ProviderFailed)?;
        let login = self.app.store.take_login(self.app.org, &callback.state_hash()).await?;
        let login = login.ok_or(Why::ProviderFailed)?;
        let finished = self.finish(rules, url, asked, &login, callback).await;
        if finished.is_err() {
            // The client need not wait until its code runs out. One that is decided already stays as it is.
            let _ = self.end_grant(asked, &login.device, "the sign-in at the provider failed").await;
        }
        finished
    }

    async fn finish(
        &self,
        rules: &Rules,
        url: &PublicUrl,
        asked: &Asked,
        login: &PendingLogin,
        callback: Callback,
    ) -> Result<(), Why> {
        let sealed: Sealed = login.sealed.parse().map_err(|_| Why::Unavailable)?;
        let bytes = self.app.keyring.open(PENDING, &sealed).map_err(|_| Why::Unavailable)?;
        let pending = Pending::from_bytes(bytes.expose()).ok_or(Why::Unavailable)?;
        let id = pending.source().ok_or(Why::Unavailable)?;
        let sources = rules.oidc.as_ref().ok_or(Why::ProviderFailed)?;
        let client = sources.find(&id).ok_or(Why::ProviderFailed)?;
        let cookie = asked.cookie(Cookie::Login.name(url));
        let now = self.app.now();
        let signed_in = client
            .finish(&self.fetch, pending, callback, cookie, now)
            .await
            .map_err(|error| told(&id, &error))?;
        let (user, team) = self.admit_from_provider(rules, sources, &id, &signed_in.who, asked).await?;
        let token = signed_in.refresh_token.and_then(|token| self.sealed_token(&user.id.to_string(), &token));
        let approval = Approval {
            user: user.id,
            team,
            source: format!("oidc:{id}"),
            subject: Some(signed_in.who.subject),
            token,
        };
        self.approve(asked, &login.device, &user, &approval).await
    }

    /// Seals a provider's refresh token; one that is too long to be kept is none.
    pub(super) fn sealed_token(&self, user: &str, token: &Secret) -> Option<String> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let sealed = self.app.keyring.seal(token_place(user), token, self.app.random::<NONCE_LEN>());
        sealed.ok().map(|sealed| sealed.to_string())
    }
}

/// The person learns that it did not succeed, the log why.
fn told(source: &SourceId, error: &SignInError) -> Why {
    tracing::warn!(%source, %error, "a sign-in at an identity provider did not succeed");
    Why::ProviderFailed
}
