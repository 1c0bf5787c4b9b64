//! Token exchange (RFC 8693): a job of CI presents the token that its platform gave it, and gets an access token of the
//! service account that the rules name.
//!
//! The access token is of a session like those of people, so that all that ends a session ends it; but it cannot be
//! refreshed, and both are over after [`LIFE`]. A job that runs longer comes again. That is also why the same token may
//! be presented until it runs out: platforms hand it to a job as a file or a variable, once, and who holds it could as
//! well use what it was exchanged for.

use axum::body::Bytes;
use axum::http::Response;
use gatehouse_domain::audit::{Actor, ActorKind, Object};
use gatehouse_domain::directory::User;
use gatehouse_domain::id::{SessionId, TeamId};
use gatehouse_domain::name::{Email, Name};
use gatehouse_domain::token::AccessToken;
use gatehouse_identity::ci::{ExchangeError, Exchanged};
use gatehouse_identity::fetch::Fetch;
use gatehouse_identity::jwks::VerifyError;
use gatehouse_store::StoreError;
use gatehouse_store::session::NewSession;
use serde_json::json;

use super::Portal;
use super::reply::{self, Refused};
use super::request::{Asked, Form};
use super::settings::{JobRule, Jobs, Rules};
use super::throttle::network;
use crate::act::Caller;

/// The grant type.
pub(super) const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// How long an access token and its session last, in milliseconds.
const LIFE: i64 = 15 * 60_000;
/// What is given out.
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// What may be presented; platforms call the same token by either.
const PRESENTED: [&str; 2] =
    ["urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token"];
/// How much of a text from a token is written down, in characters.
const MOST: usize = 256;

/// Why a job gets no session.
struct Failure {
    /// The account that it would have been of, if it came so far.
    account: String,
    /// Where the token comes from, as far as that is known.
    source: String,
    /// What is wrong: for the log and the audit log, not for who presented the token.
    why: String,
}

/// A failure that is told apart from one of ours.
enum Stop {
    Failed(Failure),
    Refused(Refused),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.into())
    }
}

impl<F: Fetch> Portal<F> {
    /// Exchanges the token of a CI job.
    pub(super) async fn exchange(
        &self,
        rules: &Rules,
        asked: &Asked,
        form: &Form,
    ) -> Result<Response<Bytes>, Refused> {
        let jobs = rules.jobs.as_ref().ok_or(Refused::UnsupportedGrant)?;
        let token = presented(form)?;
        let (now, from) = (self.app.now(), network(asked.peer));
        self.throttles.jobs.take(&from, now).map_err(Refused::TooMany)?;
        match self.exchange_with(rules, jobs, asked, form, token).await {
            Ok(response) => Ok(response),
            Err(Stop::Refused(refused)) => Err(refused),
            Err(Stop::Failed(Failure { account, source, why })) => {
                tracing::warn!(source, account, peer = %asked.peer, why, "the token of a job is not exchanged");
                self.note_failure(asked, &account, &source, &why).await;
                Err(Refused::NotExchanged)
            }
        }
    }

    async fn exchange_with(
        &self,
        rules: &Rules,
        jobs: &Jobs,
        asked: &Asked,
        form: &Form,
        token: &str,
    ) -> Result<Response<Bytes>, Stop> {
        let exchanged = match jobs.exchange.exchange(&self.fetch, token, self.app.now()).await {
            Ok(exchanged) => exchanged,
            Err(error @ ExchangeError::Token(VerifyError::Keys(_) | VerifyError::Issuer(_))) => {
                tracing::warn!(%error, "an issuer of CI jobs' tokens cannot be asked");
                return Err(Stop::Refused(Refused::Unavailable));
            }
            Err(error) => return Err(failed("", "ci", error.to_string())),
        };
        let rule = jobs.rules.get(&exchanged.rule).ok_or_else(|| {
            failed(&exchanged.service, "ci", format!("nothing is known of the rule `{}`", exchanged.rule))
        })?;
        if !is_for_us(rules, rule, form) {
            return Err(Stop::Refused(Refused::Target));
        }
        let user = self.account(rule, &exchanged).await?;
        let team = self.team_of_job(rule, &exchanged, &user).await?;
        self.begin_job(asked, rule, &exchanged, &user, team).await
    }

    /// The service account that a rule names.
    async fn account(&self, rule: &JobRule, exchanged: &Exchanged) -> Result<User, Stop> {
        let unknown = || about(rule, exchanged, "its account does not exist; add it by `gatehouse user add`");
        let email = Email::parse(&exchanged.service).map_err(|_| unknown())?;
        match self.app.store.user_by_email(self.app.org, &email).await {
            Ok(user) => Ok(user),
            Err(StoreError::NotFound { .. }) => Err(unknown()),
            Err(error) => Err(error.into()),
        }
    }

    /// The team to charge: the rule's, else the account's only one. A rule's team that does not exist lets nobody in, since
    /// its limits could not hold.
    async fn team_of_job(
        &self,
        rule: &JobRule,
        exchanged: &Exchanged,
        user: &User,
    ) -> Result<Option<TeamId>, Stop> {
        let name = match (&rule.team, user.teams.as_slice()) {
            (Some(name), _) => name,
            (None, [only]) => only,
            (None, [] | [_, ..]) => return Ok(None),
        };
        let unknown = || about(rule, exchanged, &format!("its team `{name}` does not exist"));
        let name = Name::parse(name).map_err(|_| unknown())?;
        match self.app.store.team_by_name(self.app.org, &name).await {
            Ok(team) => Ok(Some(team.id)),
            Err(StoreError::NotFound { .. }) => Err(unknown()),
            Err(error) => Err(error.into()),
        }
    }

    async fn begin_job(
        &self,
        asked: &Asked,
        rule: &JobRule,
        exchanged: &Exchanged,
        user: &User,
        team: Option<TeamId>,
    ) -> Result<Response<Bytes>, Stop> {
        let now = self.app.now();
        let (id, expires_at) = (SessionId::new(now, self.app.random_bits()), now.plus_millis(LIFE));
        let new = NewSession {
            id,
            user: user.id,
            team,
            source: rule.source.clone(),
            subject: Some(brief(&exchanged.claims.subject)),
            surface: None,
            client: asked.client(),
            peer: Some(asked.peer),
            // Refresh tokens would be made of it; none is.
            seed: self.app.random(),
            source_token: None,
            expires_at,
        };
        let actor = Actor { kind: ActorKind::User, id: user.id.to_string(), name: user.email.clone() };
        let caller = Caller { actor, from: Some(asked.peer), request_id: None };
        let token_id = exchanged.claims.raw.get("jti").and_then(serde_json::Value::as_str);
        let mut act = caller
            .draft(now, "session.begin", Object::new("session", id, ""))
            .with("source", rule.source.as_str())
            .with("rule", exchanged.rule.as_str())
            .with("issuer", brief(&exchanged.claims.issuer))
            .with("subject", brief(&exchanged.claims.subject));
        if let Some(token_id) = token_id {
            act = act.with("jti", brief(token_id));
        }
        match self.app.store.begin_service_session(self.app.org, &new, &act).await {
            Ok(_) => {}
            Err(error @ (StoreError::Refused { .. } | StoreError::NotFound { .. })) => {
                return Err(about(rule, exchanged, &error.to_string()));
            }
            Err(error) => return Err(error.into()),
        }
        // The first request comes at once; where the policy is late, the data path looks for itself.
        let _ = (self.app.house.policy_changed)().await;
        let access = self.revealed(AccessToken { session: id, expires_at });
        Ok(reply::json(&json!({
            "access_token": *access,
            "issued_token_type": ACCESS_TOKEN,
            "token_type": "Bearer",
            "expires_in": LIFE / 1000,
        })))
    }
}

/// The token that is presented, if all that is asked for can be given (RFC 8693 section 2.1).
fn presented(form: &Form) -> Result<&str, Refused> {
    let token = form.get("subject_token").ok_or(Refused::Invalid("`subject_token` is missing"))?;
    let kind = form.get("subject_token_type").ok_or(Refused::Invalid("`subject_token_type` is missing"))?;
    if !PRESENTED.contains(&kind) {
        return Err(Refused::Invalid("`subject_token_type` must be that of a jwt or an id_token"));
    }
    if form.get("requested_token_type").is_some_and(|wanted| wanted != ACCESS_TOKEN) {
        return Err(Refused::Invalid("only access tokens are given out"));
    }
    if form.get("actor_token").is_some() {
        return Err(Refused::Invalid("nobody can act for somebody else here"));
    }
    Ok(token)
}

/// Whether the token is asked for for this gateway: by its address, or by the audience of the presented token.
fn is_for_us(rules: &Rules, rule: &JobRule, form: &Form) -> bool {
    let is_address =
        |text: &str| rules.public_url.as_ref().is_some_and(|url| url.as_str() == text.trim_end_matches('/'));
    form.get("resource").is_none_or(is_address)
        && form.get("audience").is_none_or(|text| text == rule.audience || is_address(text))
}

fn failed(account: &str, source: &str, why: String) -> Stop {
    Stop::Failed(Failure { account: account.to_owned(), source: source.to_owned(), why })
}

/// A failure after a rule was found.
fn about(rule: &JobRule, exchanged: &Exchanged, why: &str) -> Stop {
    let (name, subject) = (&exchanged.rule, brief(&exchanged.claims.subject));
    let why = format!("the rule `{name}` fits the token of `{subject}`, but {why}");
    failed(&exchanged.service, &rule.source, why)
}

/// The beginning of a text from a token.
fn brief(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(MOST).collect()
}
