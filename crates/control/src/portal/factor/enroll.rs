//! Adding and removing second factors, by the person whose they are.

use gatehouse_domain::audit::Object;
use gatehouse_domain::directory::User;
use gatehouse_identity::fetch::Fetch;
use gatehouse_identity::totp::{RecoveryCode, TotpSecret};
use gatehouse_identity::webauthn::{Credential, MAX_CLIENT_DATA, MAX_DATA, MAX_ID};
use gatehouse_store::factor::{Added, Factors, Left, NewPasskey, Which};

use super::prove::bytes;
use super::{At, Portal, SecondFactor, Step, Ticket, Why, by};
use crate::factor::{fresh_codes, open, seal};
use crate::portal::request::Form;

impl<F: Fetch> Portal<F> {
    /// A form of the page where somebody who has shown all they have changes that.
    pub(super) async fn change(
        &self,
        at: At<'_>,
        ticket: &Ticket,
        form: &Form,
        user: &User,
    ) -> Result<Step, Why> {
        let factors = self.app.store.factors(self.app.org, user.id).await?;
        match form.get("act").unwrap_or_default() {
            "totp" => self.begin_totp(at, ticket, user, &factors).await,
            "totp-code" => self.add_totp(at, ticket, form, user, &factors).await,
            "add-passkey" => self.add_passkey(at, ticket, form, user, &factors).await,
            "remove-totp" => self.remove(at, ticket, user, Which::Totp).await,
            "remove-passkey" => match bytes(form, "credential", MAX_ID) {
                Some(id) => self.remove(at, ticket, user, Which::Passkey(&id)).await,
                None => Err(Why::NotOurs),
            },
            "codes" if !factors.is_empty() => self.new_codes(at, ticket, user).await,
            "finish" => self.finish_factors(at, ticket, user, &factors).await,
            _ => self.again(at, ticket, user, None).await,
        }
    }

    /// Makes the secret of an authenticator, and shows it. It counts for nothing until a code of it was typed.
    async fn begin_totp(
        &self,
        at: At<'_>,
        ticket: &Ticket,
        user: &User,
        factors: &Factors,
    ) -> Result<Step, Why> {
        if factors.totp.is_some() {
            return Ok(Step::Elsewhere(self.manage_page(at, ticket, user, factors, None)));
        }
        let secret = TotpSecret::from_bytes(self.app.random());
        let sealed = seal(&self.app, user.id, &secret.to_secret()).ok_or(Why::Unavailable)?;
        self.app.store.set_new_totp(self.app.org, &ticket.row.ticket, &sealed).await?;
        Ok(Step::Elsewhere(self.totp_page(at, ticket, user, &secret, None)))
    }

    async fn add_totp(
        &self,
        at: At<'_>,
        ticket: &Ticket,
        form: &Form,
        user: &User,
        factors: &Factors,
    ) -> Result<Step, Why> {
        let sealed = ticket.row.secret.as_deref().ok_or(Why::Over)?;
        let secret = open(&self.app, user.id, sealed).and_then(|secret| TotpSecret::from_secret(&secret));
        let secret = secret.ok_or(Why::Unavailable)?;
        let Ok(step) = secret.verify(form.get("code").unwrap_or_default(), self.seconds(), None) else {
            let page = self.totp_page(at, ticket, user, &secret, Some(Why::BadFactor));
            return Ok(Step::Elsewhere(page));
        };
        let (codes, hashes) = self.codes_for(user, factors);
        let act = by(at.asked, user)
            .draft(self.app.now(), "factor.add", Object::new("user", user.id, user.email.as_str()))
            .with("factor", "totp");
        let hashes = hashes.as_deref();
        let added = self.app.store.add_totp(self.app.org, user.id, sealed, step.0, hashes, &act).await?;
        self.after_adding(at, ticket, user, added, &codes).await
    }

    async fn add_passkey(
        &self,
        at: At<'_>,
        ticket: &Ticket,
        form: &Form,
        user: &User,
        factors: &Factors,
    ) -> Result<Step, Why> {
        let challenge = ticket.row.challenge.ok_or(Why::Over)?;
        if !self.app.store.take_challenge(self.app.org, &ticket.row.ticket, &challenge).await? {
            return Err(Why::Over);
        }
        let Some(made) = made(at, form, &challenge) else {
            return self.again(at, ticket, user, Some(Why::BadFactor)).await;
        };
        let (codes, hashes) = self.codes_for(user, factors);
        let act = by(at.asked, user)
            .draft(self.app.now(), "factor.add", Object::new("user", user.id, user.email.as_str()))
            .with("factor", "passkey");
        let new = NewPasskey { id: &made.id, public_key: made.key.as_bytes(), counter: made.counter };
        let added = self.app.store.add_passkey(self.app.org, user.id, new, hashes.as_deref(), &act).await?;
        self.after_adding(at, ticket, user, added, &codes).await
    }

    /// Recovery codes for who has none; they come with the first factor.
    fn codes_for(&self, user: &User, factors: &Factors) -> (Vec<RecoveryCode>, Option<Vec<[u8; 32]>>) {
        if factors.recovery_codes > 0 {
            return (Vec::new(), None);
        }
        let (codes, hashes) = fresh_codes(&self.app, user.id);
        (codes, Some(hashes))
    }

    async fn after_adding(
        &self,
        at: At<'_>,
        ticket: &Ticket,
        user: &User,
        added: Added,
        codes: &[RecoveryCode],
    ) -> Result<Step, Why> {
        match added {
            Added::Done if codes.is_empty() => self.again(at, ticket, user, None).await,
            Added::Done => Ok(Step::Elsewhere(self.codes_page(at, ticket, codes))),
            Added::Full | Added::Taken => self.again(at, ticket, user, Some(Why::BadFactor)).await,
        }
    }

    /// Removes a factor, unless it is the last of somebody who must have one.
    async fn remove(&self, at: At<'_>, ticket: &Ticket, user: &User, which: Which<'_>) -> Result<Step, Why> {
        let left = match at.rules.second_factor {
            SecondFactor::Optional => Left::Nothing,
            SecondFactor::Required => Left::Another,
        };
        let factor = match which {
            Which::Totp => "totp",
            Which::Passkey(_) => "passkey",
        };
        let act = by(at.asked, user)
            .draft(self.app.now(), "factor.remove", Object::new("user", user.id, user.email.as_str()))
            .with("factor", factor);
        self.app.store.remove_factor(self.app.org, user.id, which, left, &act).await?;
        self.again(at, ticket, user, None).await
    }

    async fn new_codes(&self, at: At<'_>, ticket: &Ticket, user: &User) -> Result<Step, Why> {
        let (codes, hashes) = fresh_codes(&self.app, user.id);
        let act = by(at.asked, user).draft(
            self.app.now(),
            "factor.new_recovery_codes",
            Object::new("user", user.id, user.email.as_str()),
        );
        self.app.store.set_recovery_codes(self.app.org, user.id, &hashes, &act).await?;
        Ok(Step::Elsewhere(self.codes_page(at, ticket, &codes)))
    }

    /// The person is done: a grant that waits is approved, if they have what they must have.
    async fn finish_factors(
        &self,
        at: At<'_>,
        ticket: &Ticket,
        user: &User,
        factors: &Factors,
    ) -> Result<Step, Why> {
        let lacks = factors.is_empty() && at.rules.second_factor == SecondFactor::Required;
        if lacks && ticket.row.device.is_some() {
            return Ok(Step::Elsewhere(self.manage_page(at, ticket, user, factors, None)));
        }
        if !self.app.store.end_local_sign_in(self.app.org, &ticket.row.ticket).await? {
            return Err(Why::Over);
        }
        match &ticket.row.device {
            Some(device) => self.approve_locally(at.asked, device, user).await,
            None => Ok(Step::Elsewhere(self.finished_page(at))),
        }
    }

    /// The page anew, with what is there now and another challenge.
    async fn again(&self, at: At<'_>, ticket: &Ticket, user: &User, told: Option<Why>) -> Result<Step, Why> {
        let factors = self.app.store.factors(self.app.org, user.id).await?;
        let ticket = self.challenged(ticket).await?;
        Ok(Step::Elsewhere(self.manage_page(at, &ticket, user, &factors, told)))
    }
}

/// The passkey that a browser has made.
fn made(at: At<'_>, form: &Form, challenge: &[u8; 32]) -> Option<Credential> {
    let client_data = bytes(form, "client_data", MAX_CLIENT_DATA)?;
    let attestation = bytes(form, "attestation", MAX_DATA)?;
    let made = at.url.party()?.register(challenge, &client_data, &attestation);
    made.inspect_err(|error| tracing::info!(%error, "a new passkey is not accepted")).ok()
}
