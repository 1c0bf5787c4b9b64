//! Directories that are read by LDAP: as configured, ready to be asked, and read on time.

use std::collections::HashMap;
use std::time::Duration;

use gatehouse_control::App;
use gatehouse_control::act::Caller;
use gatehouse_control::directory::{self, Configured, Mode, Overview};
use gatehouse_domain::time::UnixMillis;
use gatehouse_identity::ldap::{self, Trust};
use gatehouse_identity::secret::Secret;
use gatehouse_store::in_time;
use gatehouse_store::sync_run::SyncOutcome;
use metrics::gauge;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::live::Live;
use crate::config::{Directory, SecretSource};
use crate::secret::SecretError;
use crate::{clock, secret};

/// How often it is seen which directories are to be read.
const LOOK: Duration = Duration::from_secs(5);
/// How long looking into the database may take.
const TURN: Duration = Duration::from_mins(1);
/// The first reading comes at most this long after the start.
const FIRST: Duration = Duration::from_secs(10);

/// What is configured.
pub(super) fn configured(live: &Live) -> Vec<Configured> {
    let one = |directory: &Directory| Configured {
        source: directory.source.clone(),
        interval: directory.interval,
        limit: directory.disable,
    };
    live.config.load().directories.iter().map(one).collect()
}

/// Makes a configured directory ready to be asked. Password and certificates are read anew each time, so that they can be
/// replaced without a restart.
pub(super) async fn open(live: &Live, name: &str) -> Result<ldap::Directory, String> {
    let found = live.config.load().directories.iter().find(|one| one.source.name() == name).cloned();
    let directory = found.ok_or_else(|| format!("the directory `{name}` is not configured (any more)"))?;
    let environment = live.environment.clone();
    // Files are read, and commands run.
    let opened = tokio::task::spawn_blocking(move || {
        prepare(&directory, &|source| secret::resolve(source, &environment))
    });
    let opened = opened.await;
    opened.map_err(|error| error.to_string())?
}

/// Where a secret is looked up.
pub(super) type Resolve<'a> = &'a dyn Fn(&SecretSource) -> Result<Option<Secret>, SecretError>;

/// Makes a configured directory ready to be asked. May run commands: blocks.
pub(super) fn prepare(directory: &Directory, resolve: Resolve<'_>) -> Result<ldap::Directory, String> {
    let directory = directory.clone();
    let password = resolve(&directory.bind_password)
        .map_err(|error| format!("bind_password: {error}"))?
        .ok_or("bind_password: it cannot be sealed")?;
    let trust = match &directory.ca_file {
        None => Trust::System,
        Some(path) => Trust::Authorities(
            std::fs::read_to_string(path)
                .map_err(|error| format!("ca_file: cannot read `{}`: {error}", path.display()))?,
        ),
    };
    let config = ldap::Config {
        servers: directory.servers,
        encryption: directory.encryption,
        trust,
        bind_dn: directory.bind_dn,
        bind_password: password,
        people: directory.people,
        groups: directory.groups,
        limits: directory.limits,
    };
    ldap::Directory::new(config)
        .map_err(|wrong| wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

/// Reads each directory on time, one run at a time of each over all nodes, and keeps the figures.
pub(super) async fn job(app: App) {
    let (mut next, mut running): (HashMap<String, UnixMillis>, JoinSet<String>) =
        (HashMap::new(), JoinSet::new());
    let mut under_way: Vec<String> = Vec::new();
    let mut clock = interval(LOOK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        while let Some(done) = running.try_join_next() {
            match done {
                Ok(name) => under_way.retain(|other| *other != name),
                Err(_) => under_way.clear(),
            }
        }
        let listing = in_time(TURN, async { Ok(directory::list(&app).await) });
        let Ok(Ok(all)) = listing.await else { continue };
        for one in all {
            figures(&one);
            if one.configured.interval.is_zero() {
                continue;
            }
            let (name, now) = (one.configured.source.name().to_owned(), clock::now());
            let due = *next.entry(name.clone()).or_insert_with(|| first(&one, now));
            if now < due || under_way.contains(&name) {
                continue;
            }
            next.insert(name.clone(), now.plus_millis(jittered(one.configured.interval)));
            // Another node, or a person, may have read it meanwhile.
            if one
                .last
                .as_ref()
                .is_some_and(|run| now.0 - run.started_at.0 < millis(one.configured.interval) / 2)
            {
                continue;
            }
            under_way.push(name.clone());
            running.spawn(once(app.clone(), name));
        }
    }
}

async fn once(app: App, name: String) -> String {
    let caller = Caller::system("directory");
    if let Err(error) = directory::sync(&app, &caller, &name, Mode::Guarded).await {
        tracing::warn!(directory = name, %error, "a directory was not synchronized now");
    }
    name
}

/// The first reading: soon after the start, or when the interval since the last one is over.
fn first(one: &Overview, now: UnixMillis) -> UnixMillis {
    let soon = now.plus_millis(jittered(FIRST) / 2);
    one.last.as_ref().map_or(soon, |run| {
        let due = run.started_at.plus_millis(millis(one.configured.interval));
        if due > soon { due } else { soon }
    })
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// A span give or take a tenth, so that nodes do not all come at once.
fn jittered(span: Duration) -> i64 {
    let mut byte = [0];
    clock::random(&mut byte);
    let span = millis(span);
    span - span / 10 + span / 5 * i64::from(byte[0]) / 255
}

fn figures(one: &Overview) {
    let Some(run) = &one.last else { return };
    let name = one.configured.source.name().to_owned();
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    let number = |n: u64| n as f64;
    let seconds = u64::try_from(run.ended_at.0 / 1000).unwrap_or(0);
    gauge!("gatehouse_directory_last_run_timestamp_seconds", "directory" => name.clone())
        .set(number(seconds));
    let alarm = if run.outcome == SyncOutcome::Done { 0.0 } else { 1.0 };
    gauge!("gatehouse_directory_alarm", "directory" => name.clone()).set(alarm);
    for (what, n) in [
        ("people", run.people),
        ("added", run.added),
        ("updated", run.updated),
        ("disabled", run.disabled),
        ("skipped", run.skipped),
    ] {
        gauge!("gatehouse_directory_last_run", "directory" => name.clone(), "what" => what).set(number(n));
    }
}
