//! What the gateway listener serves beside model requests: the client's sign-in (gateway protocol version 1), served
//! settings, and what a client may ask about itself.
//!
//! A client signs in by the device grant (RFC 8628): it gets a code, a person approves that on our page after showing who
//! they are, and the client collects a session: an access token to present and a refresh token for the next one. Every
//! request is answered from its own facts and the database, so any node can answer any of them.

mod settings;
mod request;
mod reply;
mod throttle;
mod discovery;
mod device;
mod page;
mod text;
mod form;
mod approve;
mod local;
mod factor;
mod directory;
mod provider;
mod admission;
mod token;
mod exchange;
mod refresh;
mod revoke;
mod about;
mod telemetry;
mod survey;
mod pac;
mod raise;

use std::sync::{Arc, PoisonError, RwLock};

use axum::body::Bytes;
use axum::http::{Method, Response};
use gatehouse_domain::token::AccessToken;
use gatehouse_identity::fetch::Fetch;
use gatehouse_identity::oidc::Sources;
use gatehouse_identity::refresh::RefreshKeys;
use zeroize::Zeroizing;

use crate::app::App;
use crate::telemetry::Intake;

pub use request::{Asked, Entry};
pub use settings::{
    Admission, BadPublicUrl, DirectorySource, JobRule, Jobs, Local, PublicUrl, Rules, SecondFactor,
};

pub(crate) use provider::token_place;
use reply::Refused;
use request::Path;
use throttle::Throttles;

/// Sessions whose refreshes take turns, at once. More sessions share a turn.
const TURNS: usize = 64;
/// Passwords that are checked at once: each takes some 30 ms of a core and 19 MiB.
const PASSWORDS: usize = 2;
/// Sign-ins at directories that are under way at once.
const DIRECTORIES: usize = 16;

/// The portal. `F` is the way to identity providers.
pub struct Portal<F> {
    app: App,
    fetch: F,
    rules: RwLock<Arc<Rules>>,
    throttles: Throttles,
    turns: Vec<tokio::sync::Mutex<()>>,
    passwords: tokio::sync::Semaphore,
    directories: tokio::sync::Semaphore,
    intake: Intake,
}

impl<F: Fetch> Portal<F> {
    /// A portal under these rules.
    pub fn new(app: App, fetch: F, rules: Rules) -> Self {
        Self {
            app,
            fetch,
            rules: RwLock::new(Arc::new(rules)),
            throttles: Throttles::default(),
            turns: (0..TURNS).map(|_| tokio::sync::Mutex::new(())).collect(),
            passwords: tokio::sync::Semaphore::new(PASSWORDS),
            directories: tokio::sync::Semaphore::new(DIRECTORIES),
            intake: Intake::default(),
        }
    }

    /// Puts other rules in force.
    pub fn replace(&self, rules: Rules) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The text of an access token, proved with the key in use.
    fn revealed(&self, token: AccessToken) -> Zeroizing<String> {
        token.reveal(&self.app.keys.with(|set| set.access_key(self.app.now())))
    }

    /// What refresh tokens are proved with, and were.
    fn refresh_keys(&self) -> RefreshKeys {
        self.app.keys.with(|set| set.refresh_keys(self.app.now()))
    }

    /// How a path is entered; `None` when it is none of ours. Sign-in is served only where a public URL is configured.
    pub fn entry(&self, path: &str) -> Option<Entry> {
        let path = Path::parse(path)?;
        (!path.is_sign_in() || self.rules().public_url.is_some()).then(|| path.entry())
    }

    /// Answers a request. Never fails: what goes wrong is an answer, and a line in the log where it is our fault.
    pub async fn answer(&self, asked: &Asked) -> Response<Bytes> {
        let rules = self.rules();
        let Some(path) = Path::parse(&asked.path) else { return Refused::NotFound.response() };
        if !path.takes(&asked.method) {
            return Refused::Method(path.methods()).response();
        }
        let answered = match (path, &rules.public_url) {
            (Path::Protocol, url) => Ok(discovery::protocol(url.as_ref())),
            (Path::Settings, _) => about::settings(&self.app, asked),
            (Path::Usage, _) => self.usage(asked).await,
            (Path::Raises, _) => self.raises(asked).await,
            (Path::Bootstrap, url) => Ok(about::bootstrap(&rules, url.as_ref(), self.app.now())),
            (Path::ProxyPac, _) => self.proxy_pac(asked).await,
            (Path::Telemetry(signal), _) => self.telemetry(&rules, signal, asked).await,
            (Path::InspectionAuthority, _) => about::inspection_authority(&self.app),
            (Path::Discovery, Some(url)) => Ok(discovery::document(url)),
            (Path::DeviceAuthorization, Some(url)) => self.authorize_device(&rules, url, asked).await,
            (Path::Token, Some(_)) => self.token(&rules, asked).await,
            (Path::Revoke, Some(_)) => self.revoke(asked).await,
            (Path::Page, Some(url)) => return self.show_page(&rules, url, asked),
            (Path::Continue, Some(url)) => return self.go_on(&rules, url, asked).await,
            (Path::Deny, Some(url)) => return self.deny(&rules, url, asked).await,
            (Path::Account(at), Some(url)) => return self.answer_account(at, &rules, url, asked).await,
            (Path::Survey, Some(url)) => return self.survey(&rules, url, asked).await,
            (Path::Callback, Some(url)) => return self.come_back(&rules, url, asked).await,
            (_, None) => Err(Refused::NotFound),
        };
        let response = answered.unwrap_or_else(Refused::response);
        if asked.method == Method::HEAD { response.map(|_| Bytes::new()) } else { response }
    }

    /// Fetches what identity providers publish, if it is time, so that nobody who signs in waits for it. For a job.
    pub async fn warm(&self) {
        let rules = self.rules();
        for client in rules.oidc.iter().flat_map(Sources::all) {
            if let Err(error) = client.issuer().refresh(&self.fetch, self.app.now()).await {
                tracing::warn!(source = %client.source().id(), %error, "an identity provider cannot be asked");
            }
        }
        for issuer in rules.jobs.iter().flat_map(|jobs| jobs.exchange.issuers()) {
            if let Err(error) = issuer.refresh(&self.fetch, self.app.now()).await {
                tracing::warn!(issuer = issuer.url().as_str(), %error, "an issuer of CI jobs' tokens cannot be asked");
            }
        }
    }

    /// Removes what has run out. For a job.
    ///
    /// # Errors
    /// The database.
    pub async fn clear(&self) -> Result<(), gatehouse_store::StoreError> {
        self.app.store.clear_sign_ins(self.app.now()).await
    }
}
