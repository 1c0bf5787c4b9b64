//! Directories that we read by LDAP: what is configured, a look without consequences, and the synchronization.
//!
//! A run reads the whole directory, compares it with the accounts of that source, and makes the difference. It changes
//! nothing when the directory cannot be read whole, and nothing when it would disable more accounts than one run may: both
//! are noted in the runs, in the audit log and in the metrics, and wait for a person. One node at a time does it.

mod apply;
mod groups;

use std::time::Duration;

use gatehouse_domain::audit::{Draft, Object, Outcome};
use gatehouse_domain::id::SyncRunId;
use gatehouse_domain::source::{Source, SourceKind};
use gatehouse_domain::time::UnixMillis;
use gatehouse_identity::ldap::{Directory, DisableLimit, Listing};
use gatehouse_store::sync_run::{SyncOutcome, SyncRun};
use gatehouse_store::{Listed, Page};

use crate::act::{ActError, Caller, shortened};
use crate::app::App;

pub use apply::{Mode, Tally, apply};

/// How long a run may take before another node takes over; more than a listing may take.
const LEASE_MS: i64 = 15 * 60 * 1000;

/// A configured directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// Where its people and groups come from, as accounts name it.
    pub source: Source,
    /// How often it is read.
    pub interval: Duration,
    /// How many accounts one run may disable.
    pub limit: DisableLimit,
}

/// A look at a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Its people.
    pub people: u64,
    /// Those of them who may be let in.
    pub active: u64,
    /// Those without a usable e-mail address.
    pub without_email: u64,
    /// Groups that somebody is in.
    pub groups: u64,
}

/// A directory as administrators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// What is configured.
    pub configured: Configured,
    /// The last run, of whatever node.
    pub last: Option<SyncRun>,
}

/// Lists the configured directories with their last runs.
///
/// # Errors
/// The database.
pub async fn list(app: &App) -> Result<Vec<Overview>, ActError> {
    let mut all = Vec::new();
    for configured in (app.house.directories)() {
        let last = app.store.sync_runs(app.org, &configured.source, &Page::first(1)).await?.items.pop();
        all.push(Overview { configured, last });
    }
    Ok(all)
}

/// Lists the runs of a directory, newest first.
///
/// # Errors
/// There is no such directory; a bad page; the database.
pub async fn runs(app: &App, name: &str, page: &Page) -> Result<Listed<SyncRun>, ActError> {
    let configured = find(app, name)?;
    Ok(app.store.sync_runs(app.org, &configured.source, page).await?)
}

/// Reads a directory whole and tells what is there; changes nothing.
///
/// # Errors
/// There is no such directory; it cannot be read.
pub async fn check(app: &App, name: &str) -> Result<Checked, ActError> {
    let configured = find(app, name)?;
    let listing = read(app, &configured).await.map_err(ActError::Directory)?;
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let people = listing.people();
    let groups: std::collections::HashSet<&str> =
        people.iter().flat_map(|person| person.groups.iter().map(|group| &*group.dn)).collect();
    Ok(Checked {
        people: count(people.len()),
        active: count(people.iter().filter(|person| person.standing.is_active()).count()),
        without_email: count(people.iter().filter(|person| person.email.is_none()).count()),
        groups: count(groups.len()),
    })
}

/// Synchronizes a directory, or only tells what would be done. A run that was stopped or failed is no error: it says so
/// itself.
///
/// # Errors
/// There is no such directory; a run is under way; the database.
pub async fn sync(app: &App, caller: &Caller, name: &str, mode: Mode) -> Result<SyncRun, ActError> {
    let configured = find(app, name)?;
    if mode == Mode::DryRun {
        return Ok(run(app, caller, &configured, mode, app.now()).await?.0);
    }
    let (lease, now) = (format!("directory:{}", configured.source.name()), app.now());
    // One run at a time, on this node too.
    let holder = format!("{} {:032x}", app.node, app.random_bits());
    if !app.store.take_lease(app.org, &lease, &holder, now, now.plus_millis(LEASE_MS)).await? {
        return Err(ActError::Busy(format!("the directory `{name}` is being synchronized already")));
    }
    let done = finish(app, caller, &configured, mode, now).await;
    app.store.give_lease_back(app.org, &lease, &holder).await?;
    done
}

async fn finish(
    app: &App,
    caller: &Caller,
    configured: &Configured,
    mode: Mode,
    started_at: UnixMillis,
) -> Result<SyncRun, ActError> {
    let (run, act) = run(app, caller, configured, mode, started_at).await?;
    if let Some(reason) = &run.reason {
        let (directory, reason) = (configured.source.to_string(), reason.as_str());
        tracing::error!(directory, reason, "a directory was not synchronized; nobody was disabled by it");
    }
    app.store.record_sync_run(app.org, &run, act.as_ref()).await?;
    Ok(run)
}

/// Makes a run; the audit entry is about the run as a whole, and there if there is something to say.
async fn run(
    app: &App,
    caller: &Caller,
    configured: &Configured,
    mode: Mode,
    started_at: UnixMillis,
) -> Result<(SyncRun, Option<Draft>), ActError> {
    let source = &configured.source;
    let mut run = SyncRun {
        id: SyncRunId::new(started_at, app.random_bits()),
        source: source.clone(),
        node: app.node,
        started_at,
        ended_at: started_at,
        outcome: SyncOutcome::Done,
        reason: None,
        people: 0,
        added: 0,
        updated: 0,
        disabled: 0,
        skipped: 0,
    };
    match read(app, configured).await {
        Err(problem) => {
            run.outcome = SyncOutcome::Failed;
            run.reason = Some(problem);
        }
        Ok(listing) => {
            run.people = u64::try_from(listing.people().len()).unwrap_or(u64::MAX);
            match apply(app, caller, source, &listing, configured.limit, mode).await {
                Ok(tally) => {
                    (run.added, run.updated) = (tally.added, tally.updated);
                    (run.disabled, run.skipped) = (tally.disabled, tally.skipped);
                }
                Err(ActError::Stopped(stopped)) => {
                    run.outcome = SyncOutcome::Stopped;
                    run.reason = Some(stopped.to_string());
                }
                Err(error) => {
                    run.outcome = SyncOutcome::Failed;
                    run.reason = Some(error.to_string());
                }
            }
        }
    }
    run.ended_at = app.now();
    let quiet = run.reason.is_none() && run.added + run.updated + run.disabled == 0;
    let act = (!quiet).then(|| entry(caller, &run));
    Ok((run, act))
}

fn entry(caller: &Caller, run: &SyncRun) -> Draft {
    let object = Object::new("directory", &run.source, run.source.name());
    let mut act = caller
        .draft(run.ended_at, "directory.sync", object)
        .with("run", run.id.to_string())
        .with("people", run.people)
        .with("added", run.added)
        .with("updated", run.updated)
        .with("disabled", run.disabled)
        .with("skipped", run.skipped);
    if let Some(reason) = &run.reason {
        let outcome = if run.outcome == SyncOutcome::Stopped { Outcome::Refused } else { Outcome::Failed };
        act = act.ended(outcome, reason.clone());
    }
    act
}

fn find(app: &App, name: &str) -> Result<Configured, ActError> {
    let missing = || ActError::NotFound { noun: "directory", given: shortened(name) };
    let source = Source::new(SourceKind::Ldap, name).map_err(|_| missing())?;
    (app.house.directories)().into_iter().find(|configured| configured.source == source).ok_or_else(missing)
}

async fn read(app: &App, configured: &Configured) -> Result<Listing, String> {
    let directory: Directory = (app.house.open_directory)(configured.source.name()).await?;
    directory.sync(app.now()).await.map_err(|unavailable| unavailable.to_string())
}
