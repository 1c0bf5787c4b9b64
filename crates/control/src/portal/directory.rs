//! Signing in with name and password of a directory (LDAP, Active Directory).

use std::time::Duration;

use gatehouse_domain::name::{Email, folded};
use gatehouse_identity::fetch::Fetch;
use gatehouse_identity::ldap::{Presence, SignIn, StableId};
use gatehouse_identity::secret::Secret;
use gatehouse_store::device::Device;
use gatehouse_store::identity::Identity;

use super::Portal;
use super::admission::Vouched;
use super::approve::{Approval, Step, Why};
use super::local::BAD_PASSWORD;
use super::request::{Asked, Form};
use super::settings::Rules;
use super::throttle::network;

/// Where sessions of a directory come from, before its name.
pub(super) const SOURCE: &str = "ldap:";
/// How long a sign-in may wait for its turn.
const TURN: Duration = Duration::from_secs(10);

impl<F: Fetch> Portal<F> {
    /// Lets the directory of this name check name and password, and approves the grant.
    pub(super) async fn sign_in_at_directory(
        &self,
        rules: &Rules,
        asked: &Asked,
        name: &str,
        form: &Form,
        device: &Device,
    ) -> Result<Step, Why> {
        let source = rules.directories.iter().find(|source| source.name == name).ok_or(Why::NotOurs)?;
        let (Some(login), Some(password)) = (form.get("email"), form.get("password")) else {
            return Err(Why::BadPassword);
        };
        let (now, from) = (self.app.now(), network(asked.peer));
        let account = format!("{SOURCE}{name}/{}", folded(login));
        let attempt = self.take_attempt(from, &account, now).await?;
        let turn = tokio::time::timeout(TURN, self.directories.acquire()).await;
        let turn = turn.map_err(|_| Why::Unavailable)?;
        let password = Secret::new(password.as_bytes().to_vec());
        let answer = source.directory.sign_in(login, &password, now).await;
        drop(turn);
        let person = match answer {
            SignIn::SignedIn(person) => person,
            SignIn::Refused(reason) => {
                tracing::info!(source = name, %reason, "a directory did not sign somebody in");
                self.note_failure(asked, &account, &format!("{SOURCE}{name}"), BAD_PASSWORD).await;
                return Err(Why::BadPassword);
            }
            SignIn::Unavailable(reason) => {
                tracing::warn!(source = name, %reason, "a directory could not be asked");
                // Nothing was learned about the password.
                self.give_attempt_back(&attempt);
                return Err(Why::Unavailable);
            }
        };
        self.attempt_was_right(&attempt);
        let Some(email) = person.email.as_deref().and_then(|text| Email::parse(text).ok()) else {
            tracing::warn!(source = name, "somebody signed in whose entry has no e-mail address");
            return Err(Why::NotKnown);
        };
        let groups: Vec<String> = person.groups.iter().map(|group| group.name.to_string()).collect();
        let source_name = format!("{SOURCE}{name}");
        let subject = person.stable_id.as_str().to_owned();
        let identity = Identity { issuer: source_name.clone(), subject };
        let vouched = Vouched {
            source: &source_name,
            identity: &identity,
            email: &email,
            name: person.name.as_deref(),
            groups: Some(&groups),
        };
        let (user, team) = self.admit(&source.admission, &vouched, asked).await?;
        let subject = Some(identity.subject);
        let approval = Approval { user: user.id, team, source: source_name, subject, token: None };
        self.approve(asked, &device.new.device, &user, &approval).await?;
        Ok(Step::Approved)
    }

    /// The groups of somebody who signed in at a directory; none if it does not tell.
    pub(super) async fn groups_at(&self, rules: &Rules, name: &str, subject: &str) -> Option<Vec<String>> {
        let source = rules.directories.iter().find(|source| source.name == name)?;
        if source.admission.teams.is_empty() {
            return None;
        }
        match source.directory.groups_of(&subject.parse::<StableId>().ok()?).await {
            Ok(groups) => Some(groups?.iter().map(|group| group.name.to_string()).collect()),
            Err(reason) => {
                tracing::warn!(source = name, %reason, "a directory cannot be asked for groups, which stay as they are");
                None
            }
        }
    }

    /// Whether a directory says that somebody who signed in there may not go on. One that cannot be asked says nothing.
    pub(super) async fn is_gone(&self, rules: &Rules, name: &str, subject: &str) -> bool {
        let Some(source) = rules.directories.iter().find(|source| source.name == name) else { return true };
        let Ok(id) = subject.parse::<StableId>() else { return true };
        match source.directory.check(&id, self.app.now()).await {
            Ok(Presence::Active) => false,
            Ok(Presence::Disabled(_) | Presence::Gone) => true,
            Err(reason) => {
                tracing::warn!(source = name, %reason, "a directory cannot be asked about a session, which goes on");
                false
            }
        }
    }
}
