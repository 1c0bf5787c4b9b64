//! The maintenance calendar, gathered from everything that has its day.

use gatehouse_domain::audit::Outcome;
use gatehouse_domain::maintenance::{Due, Kind, calendar};
use gatehouse_domain::readiness::{Item, State};
use gatehouse_domain::settings::lint::Language;
use gatehouse_domain::time::{DAY_MS, UnixMillis};
use gatehouse_store::Page;
use gatehouse_store::audit::{AuditFilter, AuditKind};

use crate::act::{ActError, read};
use crate::app::App;
use crate::period::{ahead_of, span_ms};
use crate::{backup, plan, readiness};

/// How far it looks ahead if nobody says.
pub const AHEAD: &str = "90d";
/// A backup is to be tried out, and people are to be asked, this often.
const QUARTER_MS: i64 = 90 * DAY_MS;
/// The act of a restore for practice, and that of sending a survey.
const DRILL: &str = "backup.drill";
const SURVEY: &str = "feedback.send";

/// What is due up to a time: a point in time, or a span from now.
///
/// # Errors
/// A time that cannot be read; the database.
pub async fn list(app: &App, within: Option<&str>) -> Result<Vec<Due>, ActError> {
    let now = app.now();
    let within = within.unwrap_or(AHEAD);
    let until = match span_ms(within) {
        Ok(span) => now.plus_millis(span),
        Err(_) => read("within", ahead_of(now, within))?,
    };
    let mut all = (app.house.dated)().await;
    checklist(app, now, &mut all).await?;
    credentials(app, now, until, &mut all).await?;
    backups(app, now, &mut all).await?;
    if let Some(last) = latest(app, SURVEY).await? {
        all.push(Due::new(
            Kind::Survey,
            "next",
            last.plus_millis(QUARTER_MS),
            "ask people what they think (`gatehouse feedback send`)",
        ));
    }
    tasks(app, &mut all).await?;
    Ok(calendar(all, until))
}

/// Statements that last no longer, waivers that end, items with a day.
async fn checklist(app: &App, now: UnixMillis, all: &mut Vec<Due>) -> Result<(), ActError> {
    let kept = app.store.readiness(app.org).await?;
    let states: Vec<(Item, State)> =
        readiness::all(app).await?.into_iter().map(|judged| (judged.item, judged.state)).collect();
    for (item, kept) in kept {
        let name = item.name(Language::English);
        let mut push = |id: &str, kind, at, what: String| {
            let mut due = Due::new(kind, format!("{item}/{id}"), at, what);
            due.owner.clone_from(&kept.owner);
            all.push(due);
        };
        if let Some(said) = &kept.statement {
            let again = said.at.plus_millis(item.review_ms());
            push(
                "review",
                Kind::Review,
                again,
                format!("look again: {name} (`gatehouse readiness set {item}`)"),
            );
        }
        if let Some(waiver) = kept.waiver.as_ref().filter(|waiver| now < waiver.until) {
            push("waiver", Kind::Review, waiver.until, format!("the waiver ends: {name}"));
        }
        let stands = states.iter().any(|(one, state)| *one == item && state.lets_go());
        if let Some(due) = kept.due.filter(|_| !stands) {
            push("due", Kind::Task, due, format!("to be done: {name}"));
        }
    }
    Ok(())
}

async fn credentials(
    app: &App,
    now: UnixMillis,
    until: UnixMillis,
    all: &mut Vec<Due>,
) -> Result<(), ActError> {
    for (day, count) in app.store.key_ends(app.org, now, until).await? {
        let what = if count == 1 { "1 key ends".to_owned() } else { format!("{count} keys end") };
        all.push(Due::new(
            Kind::Key,
            format!("keys/{}", day.0),
            day.max(now),
            format!("{what} (`gatehouse key list`)"),
        ));
    }
    for token in app.store.admin_tokens(app.org, &Page::first(1000)).await?.items {
        if let (Some(ends), None) = (token.expires_at.filter(|ends| *ends >= now), token.revoked_at) {
            all.push(Due::new(
                Kind::Key,
                token.id,
                ends,
                format!("the administrator's token `{}` ends", token.name),
            ));
        }
    }
    Ok(())
}

async fn backups(app: &App, now: UnixMillis, all: &mut Vec<Due>) -> Result<(), ActError> {
    let Ok(rule) = (app.house.backups)() else { return Ok(()) };
    if rule.directory.is_some() {
        let newest = backup::list(app).await?.first().and_then(|kept| made_at(&kept.name));
        let next = newest.map_or(now, |made| made.plus_millis(rule.every_ms));
        all.push(Due::new(Kind::Backup, "next", next, "the next backup is made"));
    }
    let drill = latest(app, DRILL).await?;
    if rule.directory.is_some() || drill.is_some() {
        let next = drill.map_or(now, |last| last.plus_millis(QUARTER_MS));
        all.push(Due::new(Kind::Drill, "next", next, "try a backup out (`gatehouse restore --drill`)"));
    }
    Ok(())
}

/// When a backup was made, by its name: `gatehouse-20260131T020000Z.backup`.
fn made_at(name: &str) -> Option<UnixMillis> {
    let stamp = name.strip_prefix("gatehouse-")?.get(..15)?;
    let part = |range| stamp.get(range);
    let text = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0..4)?,
        part(4..6)?,
        part(6..8)?,
        part(9..11)?,
        part(11..13)?,
        part(13..15)?
    );
    text.parse().ok()
}

async fn latest(app: &App, action: &str) -> Result<Option<UnixMillis>, ActError> {
    let filter =
        AuditFilter { kind: AuditKind::Acts, action: Some(action.to_owned()), ..AuditFilter::default() };
    let found = app.store.audit_entries(app.org, &filter, &Page::first(1)).await?.items;
    Ok(found.into_iter().next().filter(|entry| entry.act.outcome == Outcome::Done).map(|entry| entry.act.at))
}

/// Days of the newest plan's tasks.
async fn tasks(app: &App, all: &mut Vec<Due>) -> Result<(), ActError> {
    let whole = match plan::get(app, "latest").await {
        Ok(whole) => whole,
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => return Err(error),
    };
    for tracked in whole.tasks.into_iter().filter(|tracked| !tracked.state.is_over()) {
        let Some(at) = tracked.task.due else { continue };
        let name = tracked.task.task;
        let mut due = Due::new(
            Kind::Task,
            format!("{}/{name}", whole.plan.id),
            at,
            format!("the plan's task `{name}`"),
        );
        due.owner = tracked.task.owner;
        all.push(due);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backups_name_tells_when_it_was_made() {
        let made = made_at("gatehouse-20260131T020304Z.backup").unwrap();
        assert_eq!(made.to_string(), "2026-01-31T02:03:04.000Z");
        assert_eq!(made_at("gatehouse-x.backup"), None);
    }
}
