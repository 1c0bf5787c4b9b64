//! Makes accounts what a listing says.

use std::collections::HashMap;

use gatehouse_domain::audit::{Draft, Object};
use gatehouse_domain::directory::UserState;
use gatehouse_domain::id::UserId;
use gatehouse_domain::name::{Email, Name, is_unprintable};
use gatehouse_domain::source::Source;
use gatehouse_identity::ldap::{Disable, DisableLimit, Known, Leaving, Listing, Person, Plan, StableId};
use gatehouse_store::StoreError;
use gatehouse_store::account::{AccountData, AccountWanted, Entry, Step};
use serde::{Deserialize, Serialize};

use super::groups;
use crate::act::{ActError, Caller};
use crate::app::App;

/// Accounts read at a time.
const PAGE: u32 = 500;
/// Changes made in one transaction.
const CHUNK: usize = 100;

/// How far a run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Tells what would be done.
    DryRun,
    /// Does it, unless too many accounts would be disabled.
    Guarded,
    /// Does it, however many are disabled: a person has looked.
    Confirmed,
}

/// What was done, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Accounts made.
    pub added: u64,
    /// Accounts changed.
    pub updated: u64,
    /// Accounts disabled.
    pub disabled: u64,
    /// People left out: another user has their address, or an administrator has disabled them.
    pub skipped: u64,
}

/// What an account keeps of a person, to be compared with the next listing.
#[derive(Serialize, Deserialize)]
struct Kept {
    dn: String,
    email: Option<String>,
    name: Option<String>,
    groups: Vec<String>,
}

/// The accounts of a source.
#[derive(Default)]
struct Accounts {
    known: Vec<Known>,
    /// Of what tells an account apart: its user, and its place in `known`.
    places: HashMap<String, (UserId, usize)>,
}

impl Accounts {
    fn find(&self, id: &StableId) -> Option<(UserId, &Known)> {
        let (user, place) = *self.places.get(id.as_str())?;
        Some((user, self.known.get(place)?))
    }
}

/// Makes the accounts of a source what a listing of its directory says. Leavers come first.
///
/// # Errors
/// It would disable more accounts than `limit` allows ([`ActError::Stopped`]); then nothing was changed. The database.
pub async fn apply(
    app: &App,
    caller: &Caller,
    source: &Source,
    listing: &Listing,
    limit: DisableLimit,
    mode: Mode,
) -> Result<Tally, ActError> {
    let accounts = accounts(app, source).await?;
    let limit = if mode == Mode::Confirmed { DisableLimit::Confirmed } else { limit };
    let plan = Plan::compare(listing, &accounts.known, limit).map_err(ActError::Stopped)?;
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let mut tally = Tally {
        added: count(plan.add.len()),
        updated: count(plan.update.len()),
        disabled: count(plan.disable.len()),
        skipped: 0,
    };
    if mode == Mode::DryRun {
        return Ok(tally);
    }
    let by = Writer { app, caller, source };
    let leavers: Vec<_> = plan.disable.iter().filter_map(|leaver| by.disable(&accounts, leaver)).collect();
    tally.disabled -= by.all(leavers).await?;
    if tally.disabled > 0 {
        let _ = (app.house.policy_changed)().await;
    }
    let changes: Vec<_> = plan.update.iter().filter_map(|person| by.change(&accounts, person)).collect();
    let failed = by.all(changes).await?;
    (tally.updated, tally.skipped) = (tally.updated - failed, failed);
    let mut joiners = Vec::new();
    for person in &plan.add {
        match by.add(person).await? {
            Some(step) => joiners.push(step),
            None => tally.skipped += 1,
        }
    }
    let left_out = count(plan.add.len() - joiners.len());
    let failed = by.all(joiners).await?;
    (tally.added, tally.skipped) = (tally.added - left_out - failed, tally.skipped + failed);
    let users = self::accounts(app, source).await?.places;
    let users = users.into_iter().map(|(id, (user, _))| (id, user)).collect();
    groups::settle(app, caller, source, listing, &users).await?;
    let _ = (app.house.policy_changed)().await;
    Ok(tally)
}

async fn accounts(app: &App, source: &Source) -> Result<Accounts, ActError> {
    let (mut all, mut after) = (Accounts::default(), None);
    loop {
        let page = app.store.accounts_after(app.org, source, &AccountWanted::All, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(all) };
        after = Some(last.user);
        for account in page {
            let Ok(stable_id) = account.name_key.parse::<StableId>() else { continue };
            // What cannot be read differs from what the directory says, and is written anew.
            let kept: Kept = serde_json::from_str(&account.document).unwrap_or(Kept {
                dn: String::new(),
                email: None,
                name: None,
                groups: vec![],
            });
            let Kept { dn, email, name, groups } = kept;
            all.places.insert(account.name_key, (account.user, all.known.len()));
            all.known.push(Known { stable_id, dn, email, name, groups, enabled: account.active });
        }
    }
}

/// Who writes, and for whom.
struct Writer<'w> {
    app: &'w App,
    caller: &'w Caller,
    source: &'w Source,
}

impl Writer<'_> {
    /// Makes the changes in parts; those that cannot be made are counted, and do not keep the others away.
    async fn all(&self, steps: Vec<(Step, Draft)>) -> Result<u64, ActError> {
        let mut failed = 0;
        for chunk in steps.chunks(CHUNK) {
            match self.app.store.apply_accounts(self.app.org, self.source, chunk).await {
                Ok(()) => continue,
                Err(error) if is_about_one(&error) => {}
                Err(error) => return Err(error.into()),
            }
            for step in chunk {
                match self
                    .app
                    .store
                    .apply_accounts(self.app.org, self.source, std::slice::from_ref(step))
                    .await
                {
                    Ok(()) => {}
                    Err(error) if is_about_one(&error) => {
                        tracing::warn!(user.id = step.1.object.id, %error, "a person of a directory is left out");
                        failed += 1;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(failed)
    }

    fn disable(&self, accounts: &Accounts, leaver: &Disable<'_>) -> Option<(Step, Draft)> {
        let (user, known) = accounts.find(leaver.stable_id)?;
        let why = match leaver.reason {
            Leaving::Disabled => "disabled in the directory",
            Leaving::Gone => "gone from the directory",
        };
        let act =
            self.draft("user.disable", user, known.email.as_deref().unwrap_or(&known.dn)).with("why", why);
        Some((Step::Disable { user }, act))
    }

    fn change(&self, accounts: &Accounts, person: &Person) -> Option<(Step, Draft)> {
        let (user, known) = accounts.find(&person.stable_id)?;
        let action = if known.enabled { "user.update" } else { "user.enable" };
        let act = self.draft(action, user, person.email.as_deref().unwrap_or(&person.dn));
        Some((Step::Change { user, data: data_of(person) }, act))
    }

    /// A new account for somebody who is new, or who is here and whom no directory has brought in.
    async fn add(&self, person: &Person) -> Result<Option<(Step, Draft)>, ActError> {
        let (app, data) = (self.app, data_of(person));
        let there = match &data.email {
            Some(email) => match app.store.user_by_email(app.org, email).await {
                Ok(user) => Some(user),
                Err(StoreError::NotFound { .. }) => None,
                Err(error) => return Err(error.into()),
            },
            None => None,
        };
        let (user, entry, action) = match there {
            None => (UserId::new(app.now(), app.random_bits()), Entry::New, "user.add"),
            Some(user) => {
                let free = app.store.account_of_user(app.org, user.id).await?.is_none();
                if !free {
                    tracing::warn!(user.id = %user.id, "a person of a directory is left out: another source has the address");
                    return Ok(None);
                }
                if user.state == UserState::Disabled {
                    tracing::info!(user.id = %user.id, "a person of a directory joins a user who is disabled here");
                }
                (user.id, Entry::Adopted, "user.adopt")
            }
        };
        let act = self.draft(action, user, person.email.as_deref().unwrap_or(&person.dn));
        Ok(Some((Step::Add { user, entry, data }, act)))
    }

    fn draft(&self, action: &'static str, user: UserId, name: &str) -> Draft {
        self.caller
            .draft(self.app.now(), action, Object::new("user", user, name))
            .with("source", self.source.to_string())
    }
}

/// Whether an error is about one change, and not about the database.
const fn is_about_one(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::NotFound { .. }
            | StoreError::Conflict { .. }
            | StoreError::Refused { .. }
            | StoreError::Invalid { .. }
    )
}

fn data_of(person: &Person) -> AccountData {
    let kept = Kept {
        dn: person.dn.clone(),
        email: person.email.clone(),
        name: person.name.clone(),
        groups: person.groups.iter().map(|group| group.dn.to_string()).collect(),
    };
    let shown: String =
        person.name.iter().flat_map(|name| name.chars()).filter(|c| !is_unprintable(*c)).collect();
    AccountData {
        name_key: person.stable_id.as_str().to_owned(),
        user_name: person.dn.replace('\0', "\u{fffd}"),
        external_id: Some(person.stable_id.as_str().to_owned()),
        display_key: (!shown.is_empty()).then(|| shown.to_lowercase()),
        document: serde_json::to_string(&kept).unwrap_or_default(),
        emails: person.email.iter().map(|email| email.to_lowercase()).collect(),
        email: person.email.as_deref().and_then(|email| Email::parse(email).ok()),
        name: Name::parse(&shown.chars().take(gatehouse_domain::name::MAX_NAME).collect::<String>()).ok(),
        active: person.standing.is_active(),
    }
}
