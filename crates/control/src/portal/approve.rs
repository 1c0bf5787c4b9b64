//! A person approves or denies a code on the page.

use axum::body::Bytes;
use axum::http::Response;
use gatehouse_domain::audit::{Actor, ActorKind, Object};
use gatehouse_domain::directory::User;
use gatehouse_domain::id::{TeamId, UserId};
use gatehouse_identity::device::UserCode;
use gatehouse_identity::fetch::Fetch;
use gatehouse_store::StoreError;
use gatehouse_store::device::{Device, DeviceState};
use serde::{Deserialize, Serialize};

use super::page::Shown;
use super::reply::{Tone, note};
use super::request::{Asked, Form};
use super::settings::{PublicUrl, Rules};
use super::text::Language;
use super::throttle::network;
use super::{Portal, directory};
use crate::act::Caller;

/// What was found out about the person who approved a code: kept until the client collects its session.
#[derive(Serialize, Deserialize)]
pub(super) struct Approval {
    /// Who it is.
    pub(super) user: UserId,
    /// The team that is charged.
    pub(super) team: Option<TeamId>,
    /// Where they signed in.
    pub(super) source: String,
    /// The source's name for them.
    pub(super) subject: Option<String>,
    /// The identity provider's refresh token, sealed.
    pub(super) token: Option<String>,
}

/// How far a form of the page got.
pub(super) enum Step {
    /// The code is approved.
    Approved,
    /// The browser goes elsewhere first.
    Elsewhere(Response<Bytes>),
    /// Not, for this reason.
    Not(Why),
}

/// Why a form of the page leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// It is not from our page.
    NotOurs,
    /// The code is none that can be decided about.
    BadCode,
    /// Address or password is wrong, or nobody may sign in with them.
    BadPassword,
    /// The second factor was not accepted.
    BadFactor,
    /// The local sign-in has ended, or was never begun.
    Over,
    /// The link of an administrator was used, or has run out.
    BadLink,
    /// Too many attempts.
    TooMany,
    /// The person is not known here.
    NotKnown,
    /// The identity provider did not confirm who it is.
    ProviderFailed,
    /// We cannot now.
    Unavailable,
}

impl From<StoreError> for Why {
    fn from(error: StoreError) -> Self {
        note(&error);
        Self::Unavailable
    }
}

/// A form of the page that has been read.
pub(super) struct Sent {
    pub(super) form: Form,
    pub(super) language: Language,
}

impl<F: Fetch> Portal<F> {
    /// Reads a form of the page; one that cannot be read is an empty one, which is not ours.
    fn sent(url: &PublicUrl, asked: &Asked) -> Sent {
        let form = asked.form().unwrap_or_default();
        let language = Language::of(url, asked, &form);
        Sent { form, language }
    }

    /// The person goes on with a code.
    pub(super) async fn go_on(&self, rules: &Rules, url: &PublicUrl, asked: &Asked) -> Response<Bytes> {
        let sent = Self::sent(url, asked);
        let step = match self.chosen(url, asked, &sent).await {
            Ok(device) => self.take_way(rules, url, asked, &sent, &device).await,
            Err(why) => Err(why),
        };
        match step.unwrap_or_else(Step::Not) {
            Step::Elsewhere(response) => response,
            Step::Approved => self.approved_page(rules, url, asked, sent.language),
            Step::Not(why) => self.failed_page(rules, url, asked, &sent, why),
        }
    }

    async fn take_way(
        &self,
        rules: &Rules,
        url: &PublicUrl,
        asked: &Asked,
        sent: &Sent,
        device: &Device,
    ) -> Result<Step, Why> {
        match sent.form.get("way") {
            Some("local") => self.sign_in_locally(rules, url, asked, sent, device).await,
            Some("passkey") => {
                let grant = Some(device.new.device);
                self.begin_passkey(rules, url, asked, sent.language, grant).await.map(Step::Elsewhere)
            }
            Some(way) if way.starts_with(directory::SOURCE) => {
                let name = &way[directory::SOURCE.len()..];
                self.sign_in_at_directory(rules, asked, name, &sent.form, device).await
            }
            Some(way) => self.send_to_provider(rules, url, way.strip_prefix("oidc:"), device).await,
            None => Err(Why::NotOurs),
        }
    }

    /// The person denies a code.
    pub(super) async fn deny(&self, rules: &Rules, url: &PublicUrl, asked: &Asked) -> Response<Bytes> {
        let sent = Self::sent(url, asked);
        let denied = match self.chosen(url, asked, &sent).await {
            Ok(device) => self.end_grant(asked, &device.new.device, "denied on the page").await,
            Err(why) => Err(why),
        };
        let texts = sent.language.texts();
        match denied {
            Ok(()) => {
                let shown = Shown::End { said: texts.denied, more: texts.denied_more };
                self.page(rules, url, asked, sent.language, &shown, Tone::Fine)
            }
            Err(why) => self.failed_page(rules, url, asked, &sent, why),
        }
    }

    /// The grant that a form of ours is about, if it can still be decided. Codes that are wrong count against
    /// the address: each attempt does until it turns out right, so that many at once are not more than many in a row.
    async fn chosen(&self, url: &PublicUrl, asked: &Asked, sent: &Sent) -> Result<Device, Why> {
        if !self.is_ours(url, asked, &sent.form) {
            return Err(Why::NotOurs);
        }
        let (now, from) = (self.app.now(), network(asked.peer));
        self.throttles.codes.take(&from, now).map_err(|_| Why::TooMany)?;
        let found = match sent.form.get("user_code").map(UserCode::parse) {
            Some(Ok(code)) => self.app.store.device_by_code(self.app.org, &code.to_string()).await?,
            Some(Err(_)) | None => None,
        };
        let open = found.filter(|device| device.state == DeviceState::Pending && now < device.new.expires_at);
        let open = open.ok_or(Why::BadCode)?;
        self.throttles.codes.give_back(&from, now);
        Ok(open)
    }

    /// Approves a grant in a person's name.
    pub(super) async fn approve(
        &self,
        asked: &Asked,
        device: &[u8; 32],
        user: &User,
        approval: &Approval,
    ) -> Result<(), Why> {
        let actor = Actor { kind: ActorKind::User, id: user.id.to_string(), name: user.email.clone() };
        let caller = Caller { actor, from: Some(asked.peer), request_id: None };
        let act = caller
            .draft(self.app.now(), "sign_in.approve", Object::new("user", user.id, user.email.as_str()))
            .with("source", approval.source.as_str());
        let text = serde_json::to_string(approval).expect("identifiers and texts can be written as JSON");
        let done = self.app.store.decide_device(self.app.org, device, Some((user.id, &text)), &act).await?;
        if done { Ok(()) } else { Err(Why::BadCode) }
    }

    /// Denies a grant. One that was decided meanwhile stays as it is.
    pub(super) async fn end_grant(
        &self,
        asked: &Asked,
        device: &[u8; 32],
        why: &'static str,
    ) -> Result<(), Why> {
        let caller = Caller { actor: Actor::anonymous(), from: Some(asked.peer), request_id: None };
        let act = caller
            .draft(self.app.now(), "sign_in.deny", Object::new("device_grant", "", ""))
            .with("why", why);
        let done = self.app.store.decide_device(self.app.org, device, None, &act).await?;
        if done { Ok(()) } else { Err(Why::BadCode) }
    }

    pub(super) fn approved_page(
        &self,
        rules: &Rules,
        url: &PublicUrl,
        asked: &Asked,
        language: Language,
    ) -> Response<Bytes> {
        let texts = language.texts();
        let shown = Shown::End { said: texts.done, more: texts.done_more };
        self.page(rules, url, asked, language, &shown, Tone::Fine)
    }

    /// Says what went wrong. After a wrong password, or a form that was too old, the person can try again at once.
    pub(super) fn failed_page(
        &self,
        rules: &Rules,
        url: &PublicUrl,
        asked: &Asked,
        sent: &Sent,
        why: Why,
    ) -> Response<Bytes> {
        let (texts, language) = (sent.language.texts(), sent.language);
        let (said, tone) = match why {
            Why::NotOurs => (texts.not_ours, Tone::Refused),
            Why::BadCode => (texts.bad_code, Tone::Refused),
            Why::BadPassword => (texts.bad_password, Tone::Refused),
            Why::BadFactor => (sent.language.factor_texts().bad_factor, Tone::Refused),
            Why::BadLink => (sent.language.factor_texts().bad_link, Tone::Refused),
            Why::Over => (sent.language.factor_texts().over, Tone::Refused),
            Why::NotKnown => (texts.not_known, Tone::Refused),
            Why::ProviderFailed => (texts.provider_failed, Tone::Refused),
            Why::TooMany => (texts.too_many, Tone::TooMany),
            Why::Unavailable => (texts.unavailable, Tone::Unavailable),
        };
        let again = matches!(why, Why::NotOurs | Why::BadPassword | Why::TooMany | Why::Unavailable);
        let code = sent.form.get("user_code").and_then(|text| UserCode::parse(text).ok()).filter(|_| again);
        let shown = match code {
            Some(code) => Shown::Choose { code, told: Some(said) },
            None => Shown::End { said, more: "" },
        };
        self.page(rules, url, asked, language, &shown, tone)
    }
}
