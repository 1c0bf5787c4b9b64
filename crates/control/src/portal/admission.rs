//! Who of those that an identity provider or a directory vouches for comes in, and which teams their groups stand for.

use std::collections::BTreeSet;

use gatehouse_domain::audit::Object;
use gatehouse_domain::directory::{User, UserState};
use gatehouse_domain::id::{TeamId, UserId};
use gatehouse_domain::name::{Email, Name};
use gatehouse_domain::source::Source;
use gatehouse_identity::fetch::Fetch;
use gatehouse_identity::jwt::Groups;
use gatehouse_identity::oidc::{Choice, SignedIn, SourceId, Sources};
use gatehouse_store::StoreError;
use gatehouse_store::account::{AccountOrder, AccountWanted};
use gatehouse_store::identity::{Identity, Joined, Others};
use gatehouse_store::session::Following;

use super::Portal;
use super::approve::Why;
use super::request::Asked;
use super::settings::{Admission, Rules};
use crate::act::{ActError, Caller};
use crate::user;

/// Somebody that a source vouches for.
pub(super) struct Vouched<'a> {
    /// The source, as sessions name it.
    pub(super) source: &'a str,
    /// Who it is there. From the first sign-in on, this decides.
    pub(super) identity: &'a Identity,
    /// The address, which the source may vouch for.
    pub(super) email: &'a Email,
    /// The name to show.
    pub(super) name: Option<&'a str>,
    /// The groups, as the source calls them; none if it did not say all of them.
    pub(super) groups: Option<&'a [String]>,
}

impl<F: Fetch> Portal<F> {
    /// The person that an OpenID Connect source vouches for, and the team to charge.
    pub(super) async fn admit_from_provider(
        &self,
        rules: &Rules,
        sources: &Sources,
        id: &SourceId,
        who: &SignedIn,
        asked: &Asked,
    ) -> Result<(User, Option<TeamId>), Why> {
        let email = who.email.as_ref().filter(|_| who.email_verified);
        let Some(email) = email.filter(|email| may_vouch(sources, id, email)) else {
            tracing::warn!(source = %id, "somebody signed in without an address that this source may vouch for");
            return Err(Why::NotKnown);
        };
        let none = Admission::default();
        let admission = rules.admissions.get(id.as_str()).unwrap_or(&none);
        let groups = match &who.groups {
            Groups::Listed(names) => Some(names.as_slice()),
            // Neither says that somebody is in no group.
            Groups::Absent | Groups::Overage => None,
        };
        let source = format!("oidc:{id}");
        let identity = Identity { issuer: who.issuer.clone(), subject: who.subject.clone() };
        let (source, identity) = (source.as_str(), &identity);
        let vouched = Vouched { source, identity, email, name: who.name.as_deref(), groups };
        self.admit(admission, &vouched, asked).await
    }

    /// The person that a source vouches for, and the team to charge. They must be known here, or be added by its rule.
    pub(super) async fn admit(
        &self,
        admission: &Admission,
        who: &Vouched<'_>,
        asked: &Asked,
    ) -> Result<(User, Option<TeamId>), Why> {
        let groups = who.groups.unwrap_or_default();
        let user = match self.app.store.user_by_identity(self.app.org, who.identity).await? {
            Some(user) => user,
            None => self.join(admission, who, asked).await?,
        };
        if user.state == UserState::Disabled {
            return Err(Why::NotKnown);
        }
        if let Some(groups) = who.groups {
            self.follow(admission, (user.id, &user.email), who.source, groups, asked).await?;
        }
        let user = self.app.store.user(self.app.org, user.id).await?;
        let team = self.charged(admission, &user, groups).await?;
        Ok((user, team))
    }

    /// Brings somebody's teams to what the groups of a source say, as far as its `teams` speak of them.
    pub(super) async fn follow(
        &self,
        admission: &Admission,
        (id, email): (UserId, &str),
        source: &str,
        groups: &[String],
        asked: &Asked,
    ) -> Result<(), Why> {
        let names: BTreeSet<&String> = groups.iter().filter_map(|group| admission.teams.get(group)).collect();
        let mut teams = BTreeSet::new();
        for name in &names {
            teams.extend(self.team_named(name).await?);
        }
        let caller = Caller { from: Some(asked.peer), ..Caller::system("sign-in") };
        let act = caller
            .draft(self.app.now(), "user.follow_groups", Object::new("user", id, email))
            .with("source", source)
            .with("teams", names.into_iter().cloned().collect::<Vec<_>>());
        let following = Following { user: id, source, teams: &teams };
        if self.app.store.follow_groups(self.app.org, &following, &act).await? {
            // Clients ask for settings again by themselves; nobody waits for this here.
            drop((self.app.house.policy_changed)());
        }
        Ok(())
    }

    /// The team that somebody's use is charged to: that of their first group that has one, else their only one.
    pub(super) async fn charged(
        &self,
        admission: &Admission,
        user: &User,
        groups: &[String],
    ) -> Result<Option<TeamId>, Why> {
        match team_of(admission, groups) {
            Some(name) => self.team_named(name).await,
            None => self.only_team(user).await,
        }
    }

    /// The user for somebody who signs in at a source for the first time: the one whom that directory brought in, else the
    /// one of the address, else a new one. From now on the source's subject is that user, whatever their address.
    async fn join(&self, admission: &Admission, who: &Vouched<'_>, asked: &Asked) -> Result<User, Why> {
        if !who.identity.is_sound() {
            tracing::warn!(
                source = who.source,
                "somebody signed in whose subject is too long, or not to be printed"
            );
            return Err(Why::NotKnown);
        }
        let brought = self.brought_in(who).await?;
        let mut others = if admission.join { Others::Joined } else { Others::Refused };
        let user = match brought {
            Some(user) => user,
            None => match self.app.store.user_by_email(self.app.org, who.email).await {
                Ok(user) => user,
                Err(StoreError::NotFound { .. }) if admission.create => self.add(who, asked).await?,
                Err(StoreError::NotFound { .. }) => return Err(Why::NotKnown),
                Err(error) => return Err(error.into()),
            },
        };
        if user.state == UserState::Disabled {
            return Err(Why::NotKnown);
        }
        if let Some(account) = self.app.store.account_of_user(self.app.org, user.id).await?
            && account.source.to_string() == who.source
        {
            if account.name_key != who.identity.subject {
                return self.somebody_else(who, asked, "the directory has another entry for this user").await;
            }
            others = Others::Joined;
        }
        let caller = Caller { from: Some(asked.peer), ..Caller::system("sign-in") };
        let act = caller
            .draft(self.app.now(), "user.join_identity", Object::new("user", user.id, user.email.as_str()))
            .with("source", who.source)
            .with("issuer", who.identity.issuer.as_str())
            .with("subject", who.identity.subject.as_str());
        match self.app.store.join_identity(self.app.org, user.id, who.identity, others, &act).await? {
            Joined::Yes | Joined::Already => Ok(user),
            Joined::SomebodyElse => {
                let why = "this user has signed in there as somebody else; was the address given to another person?";
                self.somebody_else(who, asked, why).await
            }
            Joined::KnownFrom(issuer) => {
                let why = format!("this user signs in at `{issuer}`, and the source has no `join = true`");
                self.somebody_else(who, asked, &why).await
            }
        }
    }

    /// The user whom the directory that vouches for somebody has brought in as this very entry.
    async fn brought_in(&self, who: &Vouched<'_>) -> Result<Option<User>, Why> {
        let Ok(source) = who.source.parse::<Source>() else { return Ok(None) };
        let wanted = AccountWanted::NameKey(who.identity.subject.clone());
        let found = self.app.store.accounts(self.app.org, &source, &wanted, AccountOrder::User, 0, 1).await?;
        match found.first() {
            Some(account) => Ok(Some(self.app.store.user(self.app.org, account.user).await?)),
            None => Ok(None),
        }
    }

    /// Refuses somebody who came with the address of another.
    async fn somebody_else<T>(&self, who: &Vouched<'_>, asked: &Asked, why: &str) -> Result<T, Why> {
        let subject = who.identity.subject.as_str();
        tracing::warn!(
            source = who.source,
            subject,
            why,
            "somebody came with the address of a user, and is not let in"
        );
        self.note_failure(asked, who.email.as_str(), who.source, why).await;
        Err(Why::NotKnown)
    }

    /// Adds somebody, who is in no team yet.
    async fn add(&self, who: &Vouched<'_>, asked: &Asked) -> Result<User, Why> {
        let caller = Caller { from: Some(asked.peer), ..Caller::system("sign-in") };
        // A name that is none here is left out; the address is what counts.
        let name = who.name.filter(|name| Name::parse(name).is_ok());
        match user::add(&self.app, &caller, who.email.as_str(), name, &[]).await {
            Ok(user) => Ok(user),
            // Another sign-in of the same person was faster.
            Err(ActError::Store(StoreError::Conflict { .. })) => {
                Ok(self.app.store.user_by_email(self.app.org, who.email).await?)
            }
            Err(error) => {
                tracing::error!(%error, "somebody who signed in could not be added");
                Err(Why::Unavailable)
            }
        }
    }

    /// The team of somebody who is in one only: what they use is charged to it.
    pub(super) async fn only_team(&self, user: &User) -> Result<Option<TeamId>, Why> {
        match user.teams.as_slice() {
            [only] => self.team_named(only).await,
            [] | [_, ..] => Ok(None),
        }
    }

    async fn team_named(&self, name: &str) -> Result<Option<TeamId>, Why> {
        let Ok(name) = Name::parse(name) else { return Ok(None) };
        match self.app.store.team_by_name(self.app.org, &name).await {
            Ok(team) => Ok(Some(team.id)),
            Err(StoreError::NotFound { .. }) => {
                tracing::error!(team = %name, "a team that somebody belongs to does not exist");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether people of this address sign in at this source.
fn may_vouch(sources: &Sources, id: &SourceId, email: &Email) -> bool {
    match sources.for_email(email) {
        Choice::One(client) => client.source().id() == id,
        Choice::Several(clients) => clients.iter().any(|client| client.source().id() == id),
        Choice::None => false,
    }
}

/// The team of the first group (in the order of their names) that has one.
fn team_of<'a>(admission: &'a Admission, groups: &[String]) -> Option<&'a str> {
    let mut names: Vec<&String> = groups.iter().collect();
    names.sort_unstable();
    names.into_iter().find_map(|name| admission.teams.get(name)).map(String::as_str)
}
