//! The readiness checklist: what is found, what is stated, how it stands.

pub mod document;

use std::collections::BTreeMap;

use gatehouse_domain::audit::Object;
use gatehouse_domain::readiness::{Finding, Item, Judged, Statement, Waiver, judge};
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::Page;
use gatehouse_store::audit::{AuditFilter, AuditKind};

use crate::access;
use crate::act::{ActError, Caller, read, shortened};
use crate::app::App;
use crate::backup;
use crate::directory;
use crate::log_forward;
use crate::period::{ahead_of, back_from};

/// Longest text that is kept of an item, in characters.
const MAX_TEXT: usize = 1000;
/// A restore that was tried so long ago counts as never.
const DRILL_MS: i64 = 90 * 24 * 60 * 60 * 1000;
/// Exchanges from which the bandwidth is estimated.
const SAMPLE: u32 = 1000;

/// What is to change of an item. What is not given stays.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Who sees to it; empty for nobody.
    pub owner: Option<String>,
    /// Until when; a point in time or a span from now; empty for no day.
    pub due: Option<String>,
    /// What was done, and where it can be seen; empty takes the last statement back.
    pub statement: Option<String>,
    /// Why it may wait; empty takes the waiver back.
    pub waiver: Option<String>,
    /// Until when it may wait; a point in time or a span from now.
    pub waived_until: Option<String>,
}

/// Judges all items.
///
/// # Errors
/// The database.
pub async fn all(app: &App) -> Result<Vec<Judged>, ActError> {
    let mut kept = app.store.readiness(app.org).await?;
    let (node, own) = tokio::join!((app.house.probes)(), probes(app));
    let mut found = own;
    // What the node says of itself is nearer to the thing.
    found.extend(node);
    let now = app.now();
    Ok(Item::all()
        .map(|item| {
            let found = found.remove(&item).unwrap_or_else(|| Finding::Unknown(String::new()));
            judge(item, &found, kept.remove(&item).unwrap_or_default(), now)
        })
        .collect())
}

/// Notes something of an item. A statement or a waiver is by whoever makes it.
///
/// # Errors
/// There is no such item; a text is too long; a day cannot be read; a waiver without a day; the database.
pub async fn set(app: &App, caller: &Caller, given: &str, change: &Change) -> Result<Judged, ActError> {
    let item: Item =
        given.parse().map_err(|_| ActError::NotFound { noun: "readiness item", given: shortened(given) })?;
    let now = app.now();
    let mut kept = app.store.readiness(app.org).await?.remove(&item).unwrap_or_default();
    let mut act = caller.draft(now, "readiness.set", Object::new("readiness", item, item.as_str()));
    if let Some(owner) = text("owner", change.owner.as_deref())? {
        act = act.with("owner", owner.clone());
        kept.owner = Some(owner).filter(|owner| !owner.is_empty());
    }
    if let Some(due) = text("due", change.due.as_deref())? {
        kept.due = if due.is_empty() { None } else { Some(read("due", ahead_of(now, &due))?) };
        act = act.with("due", due);
    }
    if let Some(said) = text("statement", change.statement.as_deref())? {
        act = act.with("statement", said.clone());
        let by = caller.actor.name.clone();
        kept.statement = (!said.is_empty()).then_some(Statement { text: said, by, at: now });
    }
    if let Some(reason) = text("waiver", change.waiver.as_deref())? {
        act = act.with("waiver", reason.clone());
        kept.waiver = waiver(caller, now, reason, change.waived_until.as_deref())?;
    }
    app.store.keep_readiness(app.org, item, &kept, &act).await?;
    let judged = all(app).await?.into_iter().find(|judged| judged.item == item);
    judged.ok_or_else(|| ActError::NotFound { noun: "readiness item", given: shortened(given) })
}

fn waiver(
    caller: &Caller,
    now: UnixMillis,
    reason: String,
    until: Option<&str>,
) -> Result<Option<Waiver>, ActError> {
    if reason.is_empty() {
        return Ok(None);
    }
    let until = until.ok_or_else(|| ActError::field("waived_until", "must be given with a waiver"))?;
    let until = read("waived_until", ahead_of(now, until))?;
    Ok(Some(Waiver { reason, by: caller.actor.name.clone(), until }))
}

fn text(field: &'static str, given: Option<&str>) -> Result<Option<String>, ActError> {
    let Some(given) = given.map(str::trim) else { return Ok(None) };
    if given.chars().count() > MAX_TEXT || given.chars().any(char::is_control) {
        let why = format!("expected at most {MAX_TEXT} characters in one line");
        return Err(ActError::field(field, why));
    }
    Ok(Some(given.to_owned()))
}

/// Notes that a backup was restored in a drill.
///
/// # Errors
/// A name that is no SHA-256; the database.
pub async fn note_drill(app: &App, caller: &Caller, sha256: &str) -> Result<(), ActError> {
    if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(ActError::field("sha256", "expected 64 hexadecimal digits"));
    }
    let act = caller.draft(app.now(), DRILL, Object::new("backup", sha256, ""));
    Ok(app.store.record(app.org, &act).await?)
}

/// The act of a drill, as it stands in the audit log.
const DRILL: &str = "backup.drill";

/// What can be found out of the database and of the directories.
async fn probes(app: &App) -> BTreeMap<Item, Finding> {
    let failed = |error: ActError| Finding::Bad(error.to_string());
    let (backups, people, rights, log, bytes, forwards) = tokio::join!(
        backups(app),
        directories(app),
        permissions(app),
        audit_log(app),
        bandwidth(app),
        log_forward::evidence(app)
    );
    let alerts = crate::alert::finding(app).await;
    BTreeMap::from([
        (Item::Database, database(app).await),
        (Item::Backup, backups.unwrap_or_else(failed)),
        (Item::Directory, people.unwrap_or_else(failed)),
        (Item::Permissions, rights.unwrap_or_else(failed)),
        (Item::AuditLog, log.unwrap_or_else(failed)),
        (Item::Bandwidth, bytes.unwrap_or_else(failed)),
        (Item::Alerts, alerts.unwrap_or_else(failed)),
        (Item::LogAggregation, forwards.unwrap_or_else(failed)),
    ])
}

async fn database(app: &App) -> Finding {
    let place = app.store.place();
    match app.store.ping().await {
        Ok(()) => Finding::Good(format!("{place}, answers")),
        Err(error) => Finding::Bad(format!("{place}: {error}")),
    }
}

async fn backups(app: &App) -> Result<Finding, ActError> {
    let rule = match (app.house.backups)() {
        Ok(rule) => rule,
        Err(why) => return Ok(Finding::Bad(format!("`backup.passphrase`: {why}"))),
    };
    let Some(directory) = rule.directory else {
        return Ok(Finding::Bad("none are made by themselves (`backup.directory`)".to_owned()));
    };
    let Some(newest) = backup::list(app).await?.into_iter().next() else {
        return Ok(Finding::Bad(format!("there is none in {}", directory.display())));
    };
    if backup::is_late(&newest, rule.every_ms, app.now()) {
        return Ok(Finding::Bad(format!("the newest one is {}: it should have been made anew", newest.name)));
    }
    let filter = AuditFilter {
        kind: AuditKind::Acts,
        action: Some(DRILL.to_owned()),
        since: Some(app.now().plus_millis(-DRILL_MS)),
        ..AuditFilter::default()
    };
    let drill = app.store.audit_entries(app.org, &filter, &Page::first(1)).await?.items.into_iter().next();
    Ok(match drill {
        Some(drill) => {
            Finding::Good(format!("newest {}, restored in a drill on {}", newest.name, drill.act.at))
        }
        None => Finding::Poor(format!(
            "newest {}, and none was restored within 90 days: try `gatehouse restore --drill`",
            newest.name
        )),
    })
}

async fn directories(app: &App) -> Result<Finding, ActError> {
    let tokens = app.store.provisioning_tokens(app.org, &Page::first(100)).await?.items;
    let configured = (app.house.directories)();
    if configured.is_empty() && tokens.is_empty() {
        return Ok(Finding::Unknown("no directory is read by LDAP, and none may write by SCIM".to_owned()));
    }
    let mut told = Vec::new();
    for directory in configured {
        let name = directory.source.name().to_owned();
        match directory::check(app, &name).await {
            Ok(found) if found.active == 0 => {
                return Ok(Finding::Bad(format!("`{name}` is reached, and nobody is active in it")));
            }
            Ok(found) => told.push(format!("{name}: {} active people", found.active)),
            Err(error) => return Ok(Finding::Bad(format!("`{name}`: {error}"))),
        }
    }
    if !tokens.is_empty() {
        told.push(format!("{} SCIM tokens", tokens.len()));
    }
    Ok(Finding::Good(told.join(", ")))
}

async fn permissions(app: &App) -> Result<Finding, ActError> {
    let admins = app.store.admin_tokens(app.org, &Page::first(1000)).await?.items.len();
    let policies = access::list(app).await?.len();
    Ok(Finding::Good(format!("{admins} administrators' tokens, {policies} access policies")))
}

async fn audit_log(app: &App) -> Result<Finding, ActError> {
    // Signing its end reads what was appended since, and refuses to sign what does not continue.
    let closing = app.store.checkpoint(app.org, &app.notary, app.now()).await?;
    Ok(Finding::Good(format!("{} entries, signed up to the last one", closing.checkpoint.seq)))
}

async fn bandwidth(app: &App) -> Result<Finding, ActError> {
    let since = back_from(app.now(), "7d").ok();
    let sample = crate::exchange::sample(app, since, SAMPLE).await?;
    if sample.is_empty() {
        return Ok(Finding::Unknown(
            "nothing was measured yet: there were no requests within 7 days".to_owned(),
        ));
    }
    let count = sample.len() as u64;
    let average = |of: fn(&(u64, u64)) -> u64| sample.iter().map(of).sum::<u64>() / count;
    let (up, down) = (average(|bytes| bytes.0), average(|bytes| bytes.1));
    Ok(Finding::Unknown(format!(
        "measured: {} KiB up and {} KiB down a request; 100 people with 6 requests a minute each need {} Mbit/s up and {} \
         Mbit/s down, twice (in and out)",
        up / 1024,
        down / 1024,
        megabits(up),
        megabits(down)
    )))
}

/// What 10 requests a second take, rounded up.
const fn megabits(bytes: u64) -> u64 {
    (bytes * 8 * 10).div_ceil(1_000_000)
}
