//! Second factors on the sign-in page: shown after a password, or a passkey instead of one; and the page where people add
//! and remove them.
//!
//! Between two pages a sign-in is a row of the database: the form holds its ticket, and it answers only to the browser that
//! began it. It lives for some minutes, and each thing it leads to happens once.

mod prove;
mod enroll;
mod page;
mod text;
mod picture;

use axum::body::Bytes;
use axum::http::{HeaderValue, Response, header};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use gatehouse_domain::audit::{Actor, ActorKind};
use gatehouse_domain::directory::{User, UserState};
use gatehouse_identity::fetch::Fetch;
use gatehouse_store::StoreError;
use gatehouse_store::local_sign_in::{LocalSignIn, Stage};

use super::Portal;
use super::approve::{Sent, Step, Why};
use super::form::Cookie;
use super::reply::{Refused, Tone};
use super::request::{Account, Asked};
use super::settings::{Local, PublicUrl, Rules, SecondFactor};
use super::text::Language;
use super::throttle::network;
use crate::act::Caller;
use crate::factor::{LINK_LEN, hash};

pub(super) use page::{MARK, passkey_way};

/// The path of the script for passkeys.
pub(super) const SCRIPT: &str = "/account/passkey.js";
const SCRIPT_TEXT: &str = include_str!("factor/passkey.js");
/// How long a sign-in may take from one page to the next, in milliseconds.
const PATIENCE_MS: i64 = 10 * 60_000;
/// Sign-ins under way at once, of each stage: whoever fills those that anybody may begin is in nobody's way.
const MOST: u32 = 10_000;
/// Random bytes of a ticket.
const TICKET_LEN: usize = 32;

/// A sign-in under way, and what its next form must hold.
struct Ticket {
    text: String,
    row: LocalSignIn,
}

/// What the steps of one request share.
#[derive(Clone, Copy)]
struct At<'a> {
    rules: &'a Rules,
    url: &'a PublicUrl,
    asked: &'a Asked,
    language: Language,
}

impl<F: Fetch> Portal<F> {
    /// Answers what people ask about their second factors.
    pub(super) async fn answer_account(
        &self,
        what: Account,
        rules: &Rules,
        url: &PublicUrl,
        asked: &Asked,
    ) -> Response<Bytes> {
        if rules.local == Local::Off {
            return Refused::NotFound.response();
        }
        let form = match what {
            Account::Page | Account::Link | Account::Script => asked.fields(),
            Account::SignIn | Account::Step | Account::Enroll => asked.form().unwrap_or_default(),
        };
        let sent = Sent { language: Language::of(url, asked, &form), form };
        let at = At { rules, url, asked, language: sent.language };
        let texts = at.language.texts();
        let mut response = match what {
            Account::Script => return script(),
            Account::Page => self.account_page(at, None, Tone::Fine),
            Account::Link => self.link_page(at, sent.form.get("link").unwrap_or_default()),
            Account::SignIn => match self.sign_in_to_account(at, &sent).await {
                Err(Why::BadPassword) => self.account_page(at, Some(texts.bad_password), Tone::Refused),
                Err(Why::NotOurs) => self.account_page(at, Some(texts.not_ours), Tone::Refused),
                Err(Why::TooMany) => self.account_page(at, Some(texts.too_many), Tone::TooMany),
                step => self.answered(at, step),
            },
            Account::Step => self.answered(at, self.step(at, &sent).await),
            Account::Enroll => self.answered(at, self.enroll_by_link(at, &sent).await),
        };
        let chosen = matches!(what, Account::Page | Account::Link) && sent.form.get("lang").is_some();
        if chosen && let Some(cookie) = Cookie::Language.set(url, sent.language.tag()) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }

    fn answered(&self, at: At<'_>, step: Result<Step, Why>) -> Response<Bytes> {
        match step.unwrap_or_else(Step::Not) {
            Step::Elsewhere(response) => response,
            Step::Approved => self.approved_page(at.rules, at.url, at.asked, at.language),
            Step::Not(why) => {
                let sent = Sent { form: super::request::Form::default(), language: at.language };
                self.failed_page(at.rules, at.url, at.asked, &sent, why)
            }
        }
    }

    /// The person has shown their password: who has a second factor must show it, who must have one adds it.
    pub(super) async fn after_password(
        &self,
        rules: &Rules,
        url: &PublicUrl,
        asked: &Asked,
        language: Language,
        user: &User,
        device: Option<[u8; 32]>,
    ) -> Result<Step, Why> {
        let at = At { rules, url, asked, language };
        let factors = self.app.store.factors(self.app.org, user.id).await?;
        if !factors.is_empty() {
            let ticket = self.begin_step(at, Stage::Factor, Some(user), device).await?;
            return Ok(Step::Elsewhere(self.factor_page(at, &ticket, &factors, None)));
        }
        match device {
            Some(device) if rules.second_factor == SecondFactor::Optional => {
                self.approve_locally(asked, &device, user).await
            }
            _ => {
                let ticket = self.begin_step(at, Stage::Open, Some(user), device).await?;
                Ok(Step::Elsewhere(self.manage_page(at, &ticket, user, &factors, None)))
            }
        }
    }

    /// Begins a sign-in with a passkey instead of a password, perhaps for a grant.
    pub(super) async fn begin_passkey(
        &self,
        rules: &Rules,
        url: &PublicUrl,
        asked: &Asked,
        language: Language,
        device: Option<[u8; 32]>,
    ) -> Result<Response<Bytes>, Why> {
        if rules.local == Local::Off || url.party().is_none() {
            return Err(Why::NotOurs);
        }
        let (now, from) = (self.app.now(), network(asked.peer));
        self.throttles.passkeys.take(&from, now).map_err(|_| Why::TooMany)?;
        let at = At { rules, url, asked, language };
        let ticket = self.begin_step(at, Stage::Passkey, None, device).await?;
        Ok(self.passkey_page(at, &ticket, None))
    }

    async fn sign_in_to_account(&self, at: At<'_>, sent: &Sent) -> Result<Step, Why> {
        if !self.is_ours(at.url, at.asked, &sent.form) {
            return Err(Why::NotOurs);
        }
        if sent.form.get("way") == Some("passkey") {
            let page = self.begin_passkey(at.rules, at.url, at.asked, at.language, None).await?;
            return Ok(Step::Elsewhere(page));
        }
        let user = self.with_password(at.rules, at.asked, &sent.form).await?;
        self.after_password(at.rules, at.url, at.asked, at.language, &user, None).await
    }

    /// Somebody comes with a link that an administrator made. Looking at its page does nothing, since mail programs look at
    /// links too.
    async fn enroll_by_link(&self, at: At<'_>, sent: &Sent) -> Result<Step, Why> {
        if !self.is_ours(at.url, at.asked, &sent.form) {
            return Err(Why::NotOurs);
        }
        let (now, from) = (self.app.now(), network(at.asked.peer));
        self.throttles.codes.take(&from, now).map_err(|_| Why::TooMany)?;
        let mut bytes = [0; LINK_LEN];
        let link = Base64UrlUnpadded::decode(sent.form.get("link").unwrap_or_default(), &mut bytes);
        let user = match link.ok().filter(|link| link.len() == LINK_LEN) {
            Some(link) => self.app.store.take_factor_link(self.app.org, &hash(link), now).await?,
            None => None,
        };
        let id = user.ok_or(Why::BadLink)?;
        self.throttles.codes.give_back(&from, now);
        let user = self.active(id).await?.ok_or(Why::BadLink)?;
        let factors = self.app.store.factors(self.app.org, user.id).await?;
        let ticket = self.begin_step(at, Stage::Open, Some(&user), None).await?;
        Ok(Step::Elsewhere(self.manage_page(at, &ticket, &user, &factors, None)))
    }

    /// A form in the middle of a sign-in.
    async fn step(&self, at: At<'_>, sent: &Sent) -> Result<Step, Why> {
        if !self.is_ours(at.url, at.asked, &sent.form) {
            return Err(Why::NotOurs);
        }
        let ticket = self.ticket(at, sent.form.get("ticket").unwrap_or_default()).await?.ok_or(Why::Over)?;
        match (ticket.row.stage, ticket.row.user) {
            (Stage::Passkey, None) => self.prove_alone(at, &ticket, &sent.form).await,
            (Stage::Factor, Some(id)) => {
                let user = self.active(id).await?.ok_or(Why::Over)?;
                self.prove(at, &ticket, &sent.form, &user).await
            }
            (Stage::Open, Some(id)) => {
                let user = self.active(id).await?.ok_or(Why::Over)?;
                self.change(at, &ticket, &sent.form, &user).await
            }
            (Stage::Passkey, Some(_)) | (Stage::Factor | Stage::Open, None) => Err(Why::Over),
        }
    }

    /// The person has shown all they have: the grant is approved, or their page is shown.
    async fn proved(&self, at: At<'_>, ticket: &Ticket, user: &User) -> Result<Step, Why> {
        if !self.app.store.end_local_sign_in(self.app.org, &ticket.row.ticket).await? {
            return Err(Why::Over);
        }
        if let Some(device) = &ticket.row.device {
            return self.approve_locally(at.asked, device, user).await;
        }
        let factors = self.app.store.factors(self.app.org, user.id).await?;
        let ticket = self.begin_step(at, Stage::Open, Some(user), None).await?;
        Ok(Step::Elsewhere(self.manage_page(at, &ticket, user, &factors, None)))
    }

    /// Keeps a sign-in that has come this far.
    async fn begin_step(
        &self,
        at: At<'_>,
        stage: Stage,
        user: Option<&User>,
        device: Option<[u8; 32]>,
    ) -> Result<Ticket, Why> {
        let browser = at.asked.cookie(Cookie::Form.name(at.url)).ok_or(Why::NotOurs)?;
        let random = self.app.random::<TICKET_LEN>();
        let now = self.app.now();
        let row = LocalSignIn {
            ticket: hash(&random),
            browser: hash(browser.as_bytes()),
            stage,
            user: user.map(|user| user.id),
            device,
            challenge: Some(self.app.random()),
            secret: None,
            expires_at: now.plus_millis(PATIENCE_MS),
        };
        if !self.app.store.create_local_sign_in(self.app.org, &row, MOST, now).await? {
            return Err(Why::TooMany);
        }
        Ok(Ticket { text: Base64UrlUnpadded::encode_string(&random), row })
    }

    /// The sign-in of a form's ticket, if it was begun in this browser.
    async fn ticket(&self, at: At<'_>, text: &str) -> Result<Option<Ticket>, Why> {
        let mut bytes = [0; TICKET_LEN];
        let read = Base64UrlUnpadded::decode(text, &mut bytes).is_ok_and(|read| read.len() == TICKET_LEN);
        let browser = at.asked.cookie(Cookie::Form.name(at.url));
        let Some(browser) = browser.filter(|_| read) else { return Ok(None) };
        let (ticket, browser) = (hash(&bytes), hash(browser.as_bytes()));
        let row = self.app.store.local_sign_in(self.app.org, &ticket, &browser, self.app.now()).await?;
        Ok(row.map(|row| Ticket { text: text.to_owned(), row }))
    }

    /// The person of this id, unless they are disabled or gone.
    async fn active(&self, id: gatehouse_domain::id::UserId) -> Result<Option<User>, Why> {
        match self.app.store.user(self.app.org, id).await {
            Ok(user) => Ok(Some(user).filter(|user| user.state == UserState::Active)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// A person who acts for themselves.
fn by(asked: &Asked, user: &User) -> Caller {
    let actor = Actor { kind: ActorKind::User, id: user.id.to_string(), name: user.email.clone() };
    Caller { actor, from: Some(asked.peer), request_id: None }
}

/// The script. It is the same for everybody.
fn script() -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(SCRIPT_TEXT.as_bytes()));
    for (name, value) in [
        (header::CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=300"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response.headers_mut().insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    response
}
