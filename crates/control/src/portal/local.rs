//! Signing in with a password that is kept here.

use gatehouse_domain::audit::{Actor, Object, Outcome};
use gatehouse_domain::directory::{User, UserState};
use gatehouse_domain::id::UserId;
use gatehouse_domain::name::Email;
use gatehouse_identity::fetch::Fetch;
use gatehouse_identity::password::{PasswordHash, SALT_LEN, Verdict, verify};
use gatehouse_identity::secret::Secret;
use gatehouse_store::StoreError;
use gatehouse_store::device::Device;
use gatehouse_store::password::LOCAL;
use std::time::Duration;

use super::Portal;
use super::approve::{Approval, Sent, Step, Why};
use super::request::{Asked, Form};
use super::settings::{Local, PublicUrl, Rules};
use super::throttle::network;
use crate::act::Caller;

/// How long a check may wait for its turn.
const TURN: Duration = Duration::from_secs(10);
/// Why a sign-in with a password failed, as far as anybody is told.
pub(super) const BAD_PASSWORD: &str = "wrong address or password";

impl<F: Fetch> Portal<F> {
    /// Checks address and password; then the grant is approved, or a second factor asked for.
    pub(super) async fn sign_in_locally(
        &self,
        rules: &Rules,
        url: &PublicUrl,
        asked: &Asked,
        sent: &Sent,
        device: &Device,
    ) -> Result<Step, Why> {
        let user = self.with_password(rules, asked, &sent.form).await?;
        self.after_password(rules, url, asked, sent.language, &user, Some(device.new.device)).await
    }

    /// The person of address and password. Whoever fails is not told why: an unknown address, one without a password, a
    /// disabled person and a wrong password look the same and take the same time.
    pub(super) async fn with_password(&self, rules: &Rules, asked: &Asked, form: &Form) -> Result<User, Why> {
        if rules.local == Local::Off {
            return Err(Why::NotOurs);
        }
        let (Some(email), Some(password)) = (form.get("email"), form.get("password")) else {
            return Err(Why::BadPassword);
        };
        let Ok(email) = Email::parse(email) else { return Err(Why::BadPassword) };
        let attempt = self.take_attempt(network(asked.peer), email.as_str(), self.app.now()).await?;
        let password = Secret::new(password.as_bytes().to_vec());
        let Some(user) = self.person_with(&email, password).await? else {
            self.note_failure(asked, email.as_str(), LOCAL, BAD_PASSWORD).await;
            return Err(Why::BadPassword);
        };
        self.attempt_was_right(&attempt);
        Ok(user)
    }

    /// Approves the grant of somebody who has shown all that is asked for here.
    pub(super) async fn approve_locally(
        &self,
        asked: &Asked,
        device: &[u8; 32],
        user: &User,
    ) -> Result<Step, Why> {
        let team = self.only_team(user).await?;
        let source = LOCAL.to_owned();
        let approval = Approval { user: user.id, team, source, subject: None, token: None };
        self.approve(asked, device, user, &approval).await?;
        Ok(Step::Approved)
    }

    /// The person with this address and password, if they may sign in.
    async fn person_with(&self, email: &Email, password: Secret) -> Result<Option<User>, Why> {
        let user = match self.app.store.user_by_email(self.app.org, email).await {
            Ok(user) => Some(user),
            Err(StoreError::NotFound { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        // Who is not here is looked up all the same, so that the time taken does not tell.
        let id = user.as_ref().map_or(UserId::from_bits(0), |user| user.id);
        let text = self.app.store.password(self.app.org, id).await?;
        let stored: Option<PasswordHash> = text.as_deref().and_then(|text| text.parse().ok());
        let salt = self.app.random::<SALT_LEN>();
        let _turn =
            tokio::time::timeout(TURN, self.passwords.acquire()).await.map_err(|_| Why::Unavailable)?;
        let checked = tokio::task::spawn_blocking(move || {
            let verdict = verify(&password, stored.as_ref());
            // A password that was good enough when it was set may be too short today; then the old hash stays.
            let renewed = match verdict {
                Verdict::RightButOld => PasswordHash::make(&password, salt).ok(),
                Verdict::Right | Verdict::Wrong => None,
            };
            (verdict, renewed)
        });
        let (verdict, renewed) = checked.await.map_err(|_| Why::Unavailable)?;
        if verdict == Verdict::Wrong {
            return Ok(None);
        }
        let Some(user) = user.filter(|user| user.state == UserState::Active) else { return Ok(None) };
        if let (Some(old), Some(new)) = (text, renewed) {
            self.app.store.renew_password(self.app.org, user.id, &old, &new.to_string()).await?;
        }
        Ok(Some(user))
    }

    /// Records a failed sign-in, within the bounds on such entries.
    pub(super) async fn note_failure(&self, asked: &Asked, account: &str, source: &str, why: &str) {
        let now = self.app.now();
        let Some(unreported) = self.app.attempts.forbidden(now) else { return };
        let caller = Caller { actor: Actor::anonymous(), from: Some(asked.peer), request_id: None };
        let act = caller
            .draft(now, "sign_in.fail", Object::new("user", "", account))
            .with("source", source)
            .with("unreported", unreported)
            .ended(Outcome::Refused, why);
        if let Err(error) = self.app.store.record(self.app.org, &act).await {
            super::reply::note(&error);
        }
    }
}
