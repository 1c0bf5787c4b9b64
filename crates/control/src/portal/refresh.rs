//! A client refreshes its session. Each refresh token is good once; whoever comes with one that was used long ago ends the
//! session, and the identity provider is asked whether the person is still welcome.

use axum::body::Bytes;
use axum::http::Response;
use gatehouse_domain::audit::Object;
use gatehouse_domain::directory::UserState;
use gatehouse_domain::id::SessionId;
use gatehouse_domain::session::SessionEnd;
use gatehouse_identity::fetch::Fetch;
use gatehouse_identity::jwt::Groups;
use gatehouse_identity::oidc::SourceId;
use gatehouse_identity::refresh::{Decision, Family, RefreshToken, Seed, decide};
use gatehouse_identity::seal::Sealed;
use gatehouse_store::password::LOCAL;
use gatehouse_store::session::{Family as Kept, Refreshed};

use super::approve::Why;
use super::provider::token_place;
use super::reply::Refused;
use super::request::{Asked, Form};
use super::settings::{Admission, Local, Rules};
use super::token::{family_id, session_id};
use super::{Portal, directory};
use crate::act::Caller;
use crate::session;

/// How often it is decided again when somebody else was faster.
const ROUNDS: usize = 3;
/// After so long a node that was asking the identity provider is taken for dead, in milliseconds.
const ASKING: i64 = 45_000;

/// What the identity provider says.
enum Word {
    /// The person is welcome; its refresh token from now on, sealed, and all of the person's groups if it named them.
    Welcome(Option<String>, Option<Vec<String>>),
    /// The person may not go on.
    Refused,
}

impl<F: Fetch> Portal<F> {
    /// Exchanges a refresh token.
    pub(super) async fn refresh(
        &self,
        rules: &Rules,
        asked: &Asked,
        form: &Form,
    ) -> Result<Response<Bytes>, Refused> {
        let text = form.get("refresh_token").ok_or(Refused::Invalid("`refresh_token` is missing"))?;
        let token = RefreshToken::parse(text).ok_or(Refused::InvalidGrant)?;
        let id = session_id(token.family());
        // All processes of a person refresh at the same time, with the same token: they take turns.
        let turn = usize::try_from(id.bits() % self.turns.len() as u128).unwrap_or(0);
        let _turn = self.turns[turn].lock().await;
        for _ in 0..ROUNDS {
            let Some(kept) = self.app.store.family(self.app.org, id).await? else {
                return Err(Refused::InvalidGrant);
            };
            match decide(Some(&family_of(id, &kept)), &token, &self.refresh_keys(), self.app.now()) {
                _ if kept.user_state == UserState::Disabled => return Err(Refused::InvalidGrant),
                Decision::Unknown => return Err(Refused::InvalidGrant),
                Decision::GraceReplay { token } => {
                    return Ok(self.tokens(rules, id, kept.expires_at, &token, &kept.email));
                }
                Decision::Theft => {
                    tracing::warn!(session.id = %id, "a refresh token came again long after its use; the session ends");
                    self.end(asked, id, SessionEnd::TokenReused).await?;
                    return Err(Refused::InvalidGrant);
                }
                Decision::Rotate { family, token } => {
                    let (source_token, groups) = self.ask_source(rules, asked, id, &kept).await?;
                    let to = Refreshed {
                        generation: family.generation,
                        used_at: family.used_at,
                        source_token,
                        at: self.app.now(),
                    };
                    if self.app.store.refresh_session(self.app.org, id, kept.generation, &to).await? {
                        if let Some(groups) = groups {
                            self.follow_at_refresh(rules, asked, id, &kept, &groups).await;
                        }
                        return Ok(self.tokens(rules, id, kept.expires_at, &token, &kept.email));
                    }
                }
            }
        }
        Err(Refused::Unavailable)
    }

    /// Brings the person's teams, and what the session charges, to what the source says now. The session goes on where that
    /// cannot be done; the next refresh tries again.
    async fn follow_at_refresh(
        &self,
        rules: &Rules,
        asked: &Asked,
        id: SessionId,
        kept: &Kept,
        groups: &[String],
    ) {
        if let Err(why) = self.followed(rules, asked, id, kept, groups).await {
            tracing::warn!(source = %kept.source, ?why, "somebody's groups could not be brought to what their source says");
        }
    }

    async fn followed(
        &self,
        rules: &Rules,
        asked: &Asked,
        id: SessionId,
        kept: &Kept,
        groups: &[String],
    ) -> Result<(), Why> {
        let Some(admission) = admission_of(rules, &kept.source) else { return Ok(()) };
        if admission.teams.is_empty() {
            return Ok(());
        }
        self.follow(admission, (kept.user, &kept.email), &kept.source, groups, asked).await?;
        let user = self.app.store.user(self.app.org, kept.user).await?;
        let team = self.charged(admission, &user, groups).await?;
        let caller = Caller { from: Some(asked.peer), ..Caller::system("sign-in") };
        let act = caller
            .draft(self.app.now(), "session.charge", Object::new("session", id, kept.email.as_str()))
            .with_some("team", team.map(|team| team.to_string()));
        if self.app.store.charge_session(self.app.org, id, team, &act).await? {
            drop((self.app.house.policy_changed)());
        }
        Ok(())
    }

    /// Asks where the person signed in whether they are still welcome, if that can be asked. Gives the source's refresh
    /// token from now on, and all of the person's groups if it names them.
    async fn ask_source(
        &self,
        rules: &Rules,
        asked: &Asked,
        id: SessionId,
        kept: &Kept,
    ) -> Result<(Option<String>, Option<Vec<String>>), Refused> {
        if !is_still_served(rules, &kept.source) {
            self.end(asked, id, SessionEnd::SourceRefused).await?;
            return Err(Refused::InvalidGrant);
        }
        if let Some(name) = kept.source.strip_prefix(directory::SOURCE) {
            let gone = match &kept.subject {
                Some(subject) => self.is_gone(rules, name, subject).await,
                None => true,
            };
            if gone {
                self.end(asked, id, SessionEnd::SourceRefused).await?;
                return Err(Refused::InvalidGrant);
            }
            let groups = self.groups_at(rules, name, kept.subject.as_deref().unwrap_or_default()).await;
            return Ok((kept.source_token.clone(), groups));
        }
        let (Some(name), Some(sealed)) = (kept.source.strip_prefix("oidc:"), &kept.source_token) else {
            return Ok((kept.source_token.clone(), None));
        };
        let now = self.app.now();
        let org = self.app.org;
        if !self.app.store.begin_asking(org, id, now, now.plus_millis(-ASKING)).await? {
            // Another node is at it.
            return Err(Refused::Unavailable);
        }
        match self.word_of(rules, name, sealed, kept).await {
            Ok(Word::Welcome(token, groups)) => Ok((token, groups)),
            Ok(Word::Refused) => {
                self.end(asked, id, SessionEnd::SourceRefused).await?;
                Err(Refused::InvalidGrant)
            }
            Err(refused) => {
                self.app.store.end_asking(org, id).await?;
                Err(refused)
            }
        }
    }

    async fn word_of(&self, rules: &Rules, name: &str, sealed: &str, kept: &Kept) -> Result<Word, Refused> {
        let user = kept.user.to_string();
        let sources = rules.oidc.as_ref();
        let client = SourceId::parse(name).and_then(|id| sources.and_then(|sources| sources.find(&id)));
        // Who signed in at a source that is configured no more signs in again.
        let (Some(client), Some(subject)) = (client, &kept.subject) else { return Ok(Word::Refused) };
        let opened =
            sealed.parse::<Sealed>().and_then(|sealed| self.app.keyring.open(token_place(&user), &sealed));
        let Ok(token) = opened else { return Ok(Word::Refused) };
        match client.refresh(&self.fetch, &token, subject, self.app.now()).await {
            Ok(still) => {
                let next = still.refresh_token.as_ref().unwrap_or(&token);
                let groups = match still.who.map(|who| who.groups) {
                    Some(Groups::Listed(groups)) => Some(groups),
                    // Not every answer to a refresh says as much as the one at the sign-in.
                    Some(Groups::Absent | Groups::Overage) | None => None,
                };
                Ok(Word::Welcome(self.sealed_token(&user, next), groups))
            }
            Err(error) if error.is_final() => {
                tracing::info!(source = name, %error, "an identity provider ends a session");
                Ok(Word::Refused)
            }
            Err(error) => {
                tracing::warn!(source = name, %error, "an identity provider cannot be asked about a session");
                Err(Refused::Unavailable)
            }
        }
    }

    /// Ends a session, on behalf of whoever presented its token.
    pub(super) async fn end(&self, asked: &Asked, id: SessionId, why: SessionEnd) -> Result<(), Refused> {
        session::end_by_holder(&self.app, asked.peer, id, why).await.map_err(Refused::from)
    }
}

/// Whom a source lets in, and which teams its groups stand for.
fn admission_of<'a>(rules: &'a Rules, source: &str) -> Option<&'a Admission> {
    if let Some(name) = source.strip_prefix(directory::SOURCE) {
        let found = rules.directories.iter().find(|source| source.name == name);
        return found.map(|source| &source.admission);
    }
    rules.admissions.get(source.strip_prefix("oidc:")?)
}

/// Whether people may still sign in where a session began. Who came in by a way that is closed signs in by another.
fn is_still_served(rules: &Rules, source: &str) -> bool {
    match source.strip_prefix("oidc:") {
        Some(name) => SourceId::parse(name)
            .is_some_and(|id| rules.oidc.as_ref().is_some_and(|all| all.find(&id).is_some())),
        None => source != LOCAL || rules.local == Local::On,
    }
}

/// What is kept, as the decision takes it.
pub(super) fn family_of(id: SessionId, kept: &Kept) -> Family {
    Family {
        id: family_id(id),
        seed: Seed::from_bytes(kept.seed),
        generation: kept.generation,
        used_at: kept.used_at.clone(),
        expires_at: kept.expires_at,
        revoked_at: kept.ended_at,
    }
}
