//! Showing a second factor: a code, a recovery code, or a passkey (also instead of a password).

use base64ct::{Base64UrlUnpadded, Encoding as _};
use gatehouse_domain::audit::{Draft, Object, Outcome};
use gatehouse_domain::directory::User;
use gatehouse_identity::fetch::Fetch;
use gatehouse_identity::totp::{RecoveryCode, TimeStep, TotpSecret};
use gatehouse_identity::webauthn::{
    Assertion, BadPasskey, MAX_CLIENT_DATA, MAX_DATA, MAX_ID, MAX_SIGNATURE, PublicKey,
};
use gatehouse_store::factor::{Passkey, Totp};
use gatehouse_store::password::LOCAL;

use super::{At, Portal, Step, Ticket, Why, by};
use crate::factor::open;
use crate::portal::request::{Asked, Form};
use crate::portal::throttle::network;

/// Tries of one sign-in, on all nodes together: then the password must be shown again.
const TRIES: u32 = 5;
/// Why a sign-in failed after the password, as far as anybody is told.
const BAD_FACTOR: &str = "wrong code or passkey";

impl<F: Fetch> Portal<F> {
    /// Somebody whose password was right shows what else they have. One that is wrong counts like a wrong password.
    pub(super) async fn prove(
        &self,
        at: At<'_>,
        ticket: &Ticket,
        form: &Form,
        user: &User,
    ) -> Result<Step, Why> {
        let attempt = self.take_attempt(network(at.asked.peer), &user.email, self.app.now()).await?;
        if !self.app.store.try_local_sign_in(self.app.org, &ticket.row.ticket, TRIES).await? {
            self.give_attempt_back(&attempt);
            return Err(Why::Over);
        }
        let shown = if form.get("act") == Some("passkey") {
            self.prove_by_passkey(at, ticket, form, Some(user)).await
        } else {
            match self.is_code(at.asked, user, form.get("code").unwrap_or_default()).await {
                Ok(()) => self.proved(at, ticket, user).await,
                Err(why) => Err(why),
            }
        };
        match shown {
            Err(Why::BadFactor) => {
                if form.get("act") != Some("passkey") {
                    self.note_failure(at.asked, &user.email, LOCAL, BAD_FACTOR).await;
                }
                let factors = self.app.store.factors(self.app.org, user.id).await?;
                let ticket = self.challenged(ticket).await?;
                Ok(Step::Elsewhere(self.factor_page(at, &ticket, &factors, Some(Why::BadFactor))))
            }
            other => {
                self.give_attempt_back(&attempt);
                other
            }
        }
    }

    /// Somebody signs in with a passkey and nothing else.
    pub(super) async fn prove_alone(&self, at: At<'_>, ticket: &Ticket, form: &Form) -> Result<Step, Why> {
        let (now, from) = (self.app.now(), network(at.asked.peer));
        self.throttles.addresses.take(&from, now).map_err(|_| Why::TooMany)?;
        if !self.app.store.try_local_sign_in(self.app.org, &ticket.row.ticket, TRIES).await? {
            self.throttles.addresses.give_back(&from, now);
            return Err(Why::Over);
        }
        match self.prove_by_passkey(at, ticket, form, None).await {
            Err(Why::BadFactor) => {
                let ticket = self.challenged(ticket).await?;
                Ok(Step::Elsewhere(self.passkey_page(at, &ticket, Some(Why::BadFactor))))
            }
            other => {
                self.throttles.addresses.give_back(&from, now);
                other
            }
        }
    }

    /// The same sign-in with another challenge.
    pub(super) async fn challenged(&self, ticket: &Ticket) -> Result<Ticket, Why> {
        let challenge = self.app.random();
        self.app.store.set_challenge(self.app.org, &ticket.row.ticket, &challenge).await?;
        let mut row = ticket.row.clone();
        row.challenge = Some(challenge);
        Ok(Ticket { text: ticket.text.clone(), row })
    }

    /// Whether this is a code of the person's authenticator, or one of their recovery codes; it is used up.
    async fn is_code(&self, asked: &Asked, user: &User, code: &str) -> Result<(), Why> {
        let used = |factor| self.used(asked, user, factor);
        let account = user.id.to_string();
        if let Some(code) = RecoveryCode::parse(code) {
            let hash = code.hash(&account);
            let act = used("recovery_code");
            let good = self.app.store.use_recovery_code(self.app.org, user.id, hash.as_bytes(), &act).await?;
            return if good { Ok(()) } else { Err(Why::BadFactor) };
        }
        let factors = self.app.store.factors(self.app.org, user.id).await?;
        let step = factors.totp.and_then(|totp| self.step_of(user, &totp, code)).ok_or(Why::BadFactor)?;
        let good = self.app.store.use_totp(self.app.org, user.id, step.0, &used("totp")).await?;
        if good { Ok(()) } else { Err(Why::BadFactor) }
    }

    /// The time step of a code that an authenticator shows now and that was not used.
    fn step_of(&self, user: &User, totp: &Totp, code: &str) -> Option<TimeStep> {
        let secret = TotpSecret::from_secret(&open(&self.app, user.id, &totp.secret)?)?;
        secret.verify(code, self.seconds(), Some(TimeStep(totp.last_step))).ok()
    }

    /// Seconds since 1970.
    pub(super) fn seconds(&self) -> u64 {
        u64::try_from(self.app.now().0 / 1000).unwrap_or(0)
    }

    /// Somebody signs what they were asked to with a passkey: of `known`, or of whoever it is. The challenge is used up either
    /// way.
    pub(super) async fn prove_by_passkey(
        &self,
        at: At<'_>,
        ticket: &Ticket,
        form: &Form,
        known: Option<&User>,
    ) -> Result<Step, Why> {
        let challenge = ticket.row.challenge.ok_or(Why::Over)?;
        if !self.app.store.take_challenge(self.app.org, &ticket.row.ticket, &challenge).await? {
            return Err(Why::Over);
        }
        let shown = self.signed(at, form, &challenge, known).await?;
        let user = match shown {
            Ok(user) => user,
            Err(why) => {
                let account = known.map_or("", |user| user.email.as_str());
                self.note_failure(at.asked, account, LOCAL, why).await;
                return Err(Why::BadFactor);
            }
        };
        self.proved(at, ticket, &user).await
    }

    /// Whose passkey has signed this challenge, or what the log is told.
    async fn signed(
        &self,
        at: At<'_>,
        form: &Form,
        challenge: &[u8; 32],
        known: Option<&User>,
    ) -> Result<Result<User, &'static str>, Why> {
        let Some(id) = bytes(form, "credential", MAX_ID) else { return Ok(Err(BAD_FACTOR)) };
        let passkey = self.app.store.passkey(self.app.org, &id).await?;
        let passkey = passkey.filter(|passkey| known.is_none_or(|user| user.id == passkey.user));
        let Some(passkey) = passkey else { return Ok(Err("a passkey that is not known")) };
        let Some(user) = self.active(passkey.user).await? else {
            return Ok(Err("a disabled person's passkey"));
        };
        let counter = match check(at, form, challenge, &passkey) {
            Ok(counter) => counter,
            Err(error) => {
                tracing::info!(user.id = %user.id, %error, "a passkey is not accepted");
                return Ok(Err(BAD_FACTOR));
            }
        };
        let act = self.used(at.asked, &user, "passkey");
        if self.app.store.use_passkey(self.app.org, &id, counter, &act).await? {
            return Ok(Ok(user));
        }
        tracing::warn!(
            user.id = %user.id, counter, "a passkey has not counted on: there may be a copy of its device"
        );
        let act = by(at.asked, &user)
            .draft(self.app.now(), "factor.copied", Object::new("user", user.id, user.email.as_str()))
            .with("counted", counter)
            .with("stored", passkey.counter)
            .ended(Outcome::Refused, "the passkey's device has not counted on; it may have been copied");
        self.app.store.record(self.app.org, &act).await?;
        Ok(Err("a passkey whose device may have been copied"))
    }

    fn used(&self, asked: &Asked, user: &User, factor: &'static str) -> Draft {
        by(asked, user)
            .draft(self.app.now(), "factor.use", Object::new("user", user.id, user.email.as_str()))
            .with("factor", factor)
    }
}

/// Checks a passkey's signature, and gives its device's count.
fn check(at: At<'_>, form: &Form, challenge: &[u8; 32], passkey: &Passkey) -> Result<u32, BadPasskey> {
    let field = |name, most| bytes(form, name, most).ok_or(BadPasskey::Malformed("the form"));
    let party = at.url.party().ok_or(BadPasskey::Party)?;
    let key = PublicKey::parse(&passkey.public_key)?;
    let given = Assertion {
        client_data: &field("client_data", MAX_CLIENT_DATA)?,
        authenticator_data: &field("authenticator_data", MAX_DATA)?,
        signature: &field("signature", MAX_SIGNATURE)?,
    };
    party.authenticate(challenge, &key, &given)
}

/// The bytes of a field, in base64.
pub(super) fn bytes(form: &Form, name: &str, most: usize) -> Option<Vec<u8>> {
    let text = form.get(name).filter(|text| text.len() <= most * 4 / 3 + 4)?;
    Base64UrlUnpadded::decode_vec(text).ok()
}
