//! Publication at a time: an approved version goes to clients when its time has come.
//!
//! The time stands in the database, so that a restart forgets nothing. One node at a time looks what is due, and what it
//! publishes is the step that a person would have taken: the same checks, in one transaction with its audit entry. What is
//! not possible by then is noted and waits for a person.

use gatehouse_domain::audit::{Object, Outcome};
use gatehouse_domain::settings::Checksum;
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::StoreError;
use gatehouse_store::settings::{Due, Occasion, Profile};

use super::profile;
use super::review::{self, Deed, Saying};
use crate::act::{ActError, Caller, read, shortened};
use crate::app::App;
use crate::period::ahead_of;

/// How long one look may take before another node takes over.
const LEASE_MS: i64 = 5 * 60 * 1000;
/// The lease's name.
const LEASE: &str = "settings_schedule";
/// Longest reason that is kept, in characters.
const MAX_PROBLEM: usize = 1000;

/// Has an approved version published at a time: a span from now (`2h`), or a UTC time. It takes the place of what was
/// scheduled for the profile before.
///
/// # Errors
/// There is no such version; it is not approved; no time, or one in the past; the database.
pub async fn set(
    app: &App,
    caller: &Caller,
    given: &str,
    number: &str,
    at: &str,
    seen: Option<&str>,
) -> Result<Profile, ActError> {
    let (profile, version) = profile::version(app, given, number).await?;
    let at = read("at", ahead_of(app.now(), at))?;
    let seen = read("checksum", seen.map(Checksum::parse).transpose())?.unwrap_or(version.checksum);
    let mut act = caller
        .draft(app.now(), "settings.schedule", profile::object(&profile))
        .with("version", version.number)
        .with("checksum", seen.to_string())
        .with("publish_at", at.to_string());
    let before = profile.scheduled.as_ref().map(|before| before.at.to_string());
    act.detail = act.detail.with_some("before", before);
    app.store.schedule_settings(app.org, &profile, version.number, seen, at, &act).await?;
    Ok(app.store.settings_profile(app.org, profile.id).await?)
}

/// Takes back what was scheduled for a profile. `number` must be the version's.
///
/// # Errors
/// There is no such profile, or nothing is scheduled for that version; the database.
pub async fn cancel(app: &App, caller: &Caller, given: &str, number: &str) -> Result<Profile, ActError> {
    let profile = profile::get(app, given).await?;
    let number = profile::number_of(number)?;
    let due = profile.scheduled.as_ref().filter(|due| due.number == number);
    let due = due.ok_or_else(|| ActError::NotFound {
        noun: "scheduled publication of",
        given: format!("{}, version {number}", profile.name),
    })?;
    let act = caller
        .draft(app.now(), "settings.unschedule", profile::object(&profile))
        .with("version", due.number)
        .with("publish_at", due.at.to_string());
    app.store.unschedule_settings(app.org, &profile, &act).await?;
    Ok(app.store.settings_profile(app.org, profile.id).await?)
}

/// Publishes what is due, unless another node is at it. For a job that calls it every few seconds.
///
/// # Errors
/// The database. What it kept from being published is tried again at the next call.
pub async fn run_due(app: &App) -> Result<(), ActError> {
    let now = app.now();
    if app.store.due_settings(app.org, now).await?.is_empty() {
        return Ok(());
    }
    let holder = format!("{} {:032x}", app.node, app.random_bits());
    if !app.store.take_lease(app.org, LEASE, &holder, now, now.plus_millis(LEASE_MS)).await? {
        return Ok(());
    }
    let done = publish_all(app, now).await;
    app.store.give_lease_back(app.org, LEASE, &holder).await?;
    done
}

async fn publish_all(app: &App, now: UnixMillis) -> Result<(), ActError> {
    for due in app.store.due_settings(app.org, now).await? {
        publish(app, &due).await?;
    }
    Ok(())
}

async fn publish(app: &App, due: &Due) -> Result<(), ActError> {
    let caller = Caller::system("schedule");
    let saying = Saying {
        note: Some(format!("scheduled by {}", due.by)),
        seen: Some(due.checksum.to_string()),
        occasion: Occasion::Scheduled(due.at),
    };
    let (profile, number) = (due.profile.to_string(), due.number.to_string());
    let why = match review::step(app, &caller, &profile, &number, Deed::Publish, &saying).await {
        Ok(_) => {
            tracing::info!(
                settings.profile = profile,
                version = due.number,
                "a scheduled publication was done"
            );
            return Ok(());
        }
        Err(why) if is_final(&why) => why.to_string(),
        Err(why) => return Err(why),
    };
    tracing::warn!(
        settings.profile = profile,
        version = due.number,
        why,
        "a scheduled publication was not done"
    );
    let why: String = why.chars().take(MAX_PROBLEM).collect();
    let name = app.store.settings_profile(app.org, due.profile).await?.name;
    let mut act = caller
        .draft(app.now(), "settings.publish", Object::new("settings_profile", due.profile, name))
        .with("version", due.number)
        .with("scheduled_by", due.by.as_str())
        .with("reason", shortened(&why));
    act.outcome = Outcome::Failed;
    Ok(app.store.fail_scheduled_settings(app.org, due, &why, &act).await?)
}

/// Whether it would end the same way if it were tried again.
const fn is_final(why: &ActError) -> bool {
    match why {
        ActError::Field { .. } | ActError::NotFound { .. } => true,
        ActError::Store(cause) => match cause {
            StoreError::NotFound { .. }
            | StoreError::Conflict { .. }
            | StoreError::Refused { .. }
            | StoreError::Invalid { .. }
            | StoreError::Corrupt { .. } => true,
            StoreError::Unavailable(_) | StoreError::Unexpected(_) => false,
        },
        ActError::Ledger(_)
        | ActError::Checkpoint(_)
        | ActError::Seal(_)
        | ActError::Busy(_)
        | ActError::Directory(_)
        | ActError::Stopped(_)
        | ActError::ConfigRefused(_) => false,
    }
}
