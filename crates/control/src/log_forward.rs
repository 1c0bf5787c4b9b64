//! The log on its way to others: how far each destination is, and the step that carries it on.
//!
//! A destination is given lines in their order, at least once: its place is moved on only when it has them, so that whatever
//! dies in between leads to lines that come twice, and never to lines that are missing.

use std::time::Duration;

use gatehouse_domain::id::OrgId;
use gatehouse_domain::log_forward::Line;
use gatehouse_domain::readiness::Finding;
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::StoreError;
use gatehouse_store::log_forward::{Cursor, Exchanges, LogForward};

use crate::act::ActError;
use crate::app::App;

/// Lines that are handed over at once.
pub const BATCH: usize = 256;
/// How long one node may go on before another takes over.
const LEASE: Duration = Duration::from_mins(1);
/// A destination that is behind and was given nothing for so long does not deliver.
const STUCK_MS: i64 = 10 * 60 * 1000;

/// A destination, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Its name.
    pub name: String,
    /// What it is and where, without secrets.
    pub place: String,
    /// Whether it is given exchanges too.
    pub exchanges: Exchanges,
    /// Where it begins when it is new.
    pub start: Start,
}

/// Where a new destination begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the log's beginning.
    Beginning,
    /// At its end.
    Now,
}

/// How a destination stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The destination, if it is configured (still).
    pub configured: Option<Destination>,
    /// How far it is; none before the first turn.
    pub reached: Option<LogForward>,
    /// Its name.
    pub name: String,
    /// Audit entries that it was not given yet.
    pub behind: u64,
}

impl Standing {
    /// `waiting`, `delivering`, `behind`, `failing` or `removed`.
    pub fn word(&self, now: UnixMillis) -> &'static str {
        match (&self.configured, &self.reached) {
            (None, _) => "removed",
            (Some(_), None) => "waiting",
            (Some(_), Some(reached)) if reached.failing_since.is_some() => "failing",
            (Some(_), Some(reached)) if self.behind > 0 && reached.moved_at.plus_millis(STUCK_MS) < now => {
                "behind"
            }
            (Some(_), Some(_)) => "delivering",
        }
    }
}

/// How all destinations stand, by name.
///
/// # Errors
/// The database.
pub async fn list(app: &App) -> Result<Vec<Standing>, ActError> {
    let mut reached = app.store.log_forwards(app.org).await?;
    let end = app.store.audit_head(app.org).await?.seq;
    let mut all: Vec<Standing> = Vec::new();
    for destination in (app.house.log_forwards)() {
        let at = reached.iter().position(|one| one.destination == destination.name);
        let reached = at.map(|at| reached.remove(at));
        all.push(standing(destination.name.clone(), Some(destination), reached, end));
    }
    for one in reached {
        all.push(standing(one.destination.clone(), None, Some(one), end));
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

fn standing(
    name: String,
    configured: Option<Destination>,
    reached: Option<LogForward>,
    end: u64,
) -> Standing {
    let behind = reached.as_ref().map_or(end, |one| end.saturating_sub(one.cursor.seq));
    Standing { configured, reached, name, behind }
}

/// What the readiness checklist is told; nothing where no destination is configured.
///
/// # Errors
/// The database.
pub async fn evidence(app: &App) -> Result<Finding, ActError> {
    let (all, now) = (list(app).await?, app.now());
    let configured: Vec<_> = all.iter().filter(|one| one.configured.is_some()).collect();
    if configured.is_empty() {
        return Ok(Finding::Unknown(
            "Gatehouse hands its log to nobody by itself ([[log_forward]])".to_owned(),
        ));
    }
    let (mut told, mut bad) = (Vec::new(), false);
    for one in configured {
        let word = one.word(now);
        bad |= word != "delivering";
        let why = one.reached.as_ref().and_then(|reached| reached.failure.as_deref());
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        told.push(format!("`{}` {word}, {} entries behind{why}", one.name, one.behind));
    }
    let told = told.join("; ");
    Ok(if bad { Finding::Bad(told) } else { Finding::Good(told) })
}

/// What carries lines to a destination.
pub trait Carrier: Send + Sync {
    /// Hands lines over. Returns when the destination has them.
    fn carry(&self, lines: &[Line]) -> impl Future<Output = Result<(), String>> + Send;
}

/// What became of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// There may be more.
    Moved(u64),
    /// There is nothing more to hand over now.
    Idle,
    /// Another node is at it.
    Elsewhere,
    /// The destination did not take it; that is noted.
    Failed,
}

/// Hands the next lines to a destination, if this node is the one to do so.
///
/// # Errors
/// The database. What was handed over then comes once more.
pub async fn turn(
    app: &App,
    holder: &str,
    to: &Destination,
    carrier: &impl Carrier,
) -> Result<Turn, StoreError> {
    let from = place(app, app.org, to).await?;
    let (lines, place_after) = app.store.log_lines(app.org, from, to.exchanges, BATCH).await?;
    // Only who has something to do takes the lease: that is a change of the database.
    if place_after == from {
        return Ok(Turn::Idle);
    }
    let (now, lease) = (app.now(), format!("log_forward:{}", to.name));
    let until = now.plus_millis(i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX));
    let is_ours = app.store.take_lease(app.org, &lease, holder, now, until).await?;
    if !is_ours || place(app, app.org, to).await? != from {
        return Ok(Turn::Elsewhere);
    }
    if let Err(why) = carrier.carry(&lines).await {
        let why: String = why.chars().take(300).collect();
        app.store.fail_log_forward(app.org, &to.name, &why, app.now()).await?;
        return Ok(Turn::Failed);
    }
    let count = lines.len() as u64;
    let moved = app.store.move_log_forward(app.org, &to.name, (from, place_after), count, app.now()).await?;
    Ok(if moved { Turn::Moved(count) } else { Turn::Elsewhere })
}

/// Where a destination is. A new one begins.
async fn place(app: &App, org: OrgId, to: &Destination) -> Result<Cursor, StoreError> {
    let find = async || -> Result<Option<Cursor>, StoreError> {
        let all = app.store.log_forwards(org).await?;
        Ok(all.into_iter().find(|one| one.destination == to.name).map(|one| one.cursor))
    };
    if let Some(cursor) = find().await? {
        return Ok(cursor);
    }
    let start = match to.start {
        Start::Beginning => Cursor::default(),
        Start::Now => Cursor { seq: app.store.audit_head(org).await?.seq, lines: 0 },
    };
    app.store.begin_log_forward(org, &to.name, start, app.now()).await?;
    Ok(find().await?.unwrap_or(start))
}
