//! Giving a rollout to people, some at a time, and taking it back in the reverse order.

use std::collections::BTreeMap;

use gatehouse_domain::id::{NotificationId, UserId};
use gatehouse_domain::settings::audience::MAX_MEMBERS;
use gatehouse_store::notification::NewNotification;
use gatehouse_store::rollout::{Assignment, Credentials, NewAssignment, Rollout, Share, Step};
use serde_json::json;

use super::controller::{Outcome, Turn, count};
use super::no;
use crate::act::ActError;
use crate::app::App;
use crate::settings::{Snapshot, profile};

/// The next people get it: their settings, a word in the outbox, and a row that says so.
pub(super) async fn deploy(turn: &Turn<'_>) -> Result<Outcome, ActError> {
    let Turn { app, rollout, plan, definition, now } = turn;
    let mut progress = rollout.progress.clone();
    let people = app.store.active_people(app.org).await?;
    let volunteers = app.store.volunteers(app.org).await?;
    let assigned = app.store.rollout_assignments(app.org, rollout.id).await?;
    let having = assigned.iter().filter(|one| one.state.has_it()).count();
    let wanted = plan.wanted(definition, &progress, progress.phase + 1, &people, &volunteers);
    let todo = todo(&assigned, wanted);
    let problem = match released(turn).await? {
        Some(why) => Some(why),
        None if having + todo.len() > MAX_MEMBERS => Some(format!(
            "{} people are to have it; an overlay goes to at most {MAX_MEMBERS}",
            having + todo.len()
        )),
        None => None,
    };
    if let Some(why) = problem {
        progress.pause(&why, *now).map_err(|refused| no(rollout, refused))?;
        return Ok(Outcome { progress, step: Step::default(), happened: Some(("paused", String::new())) });
    }
    let batch: Vec<UserId> = todo.iter().copied().take(definition.batch).collect();
    let assign = assignments(turn, &batch).await?;
    let left = todo.len() - batch.len();
    progress.deployed(count(having + batch.len()), left, *now);
    let text = format!("{} people, {left} left", batch.len());
    let notify = batch.iter().map(|user| told(app, rollout, *user, "rollout_assigned")).collect();
    let step = Step { assign, notify, ..Step::default() };
    Ok(Outcome { progress, step, happened: Some(("deployed", text)) })
}

/// Who is to get it and has not, in an order that is always the same.
pub(super) fn todo(assigned: &[Assignment], wanted: impl IntoIterator<Item = UserId>) -> Vec<UserId> {
    let known: BTreeMap<UserId, &Assignment> = assigned.iter().map(|one| (one.user, one)).collect();
    wanted.into_iter().filter(|user| known.get(user).is_none_or(|one| !one.state.has_it())).collect()
}

/// What is wrong with the release, if it is not any more what was applied.
pub(super) async fn released(turn: &Turn<'_>) -> Result<Option<String>, ActError> {
    for (id, name, number) in &turn.plan.settings {
        let profile = profile::get(turn.app, &id.to_string()).await?;
        if profile.published != Some(*number) {
            return Ok(Some(format!("version {number} of `{name}` is not what is published any more")));
        }
    }
    Ok(None)
}

/// What these people have before they get it, and by what they can use it.
pub(super) async fn assignments(turn: &Turn<'_>, users: &[UserId]) -> Result<Vec<NewAssignment>, ActError> {
    if users.is_empty() {
        return Ok(Vec::new());
    }
    let app = turn.app;
    let snapshot = Snapshot::load(&app.store, app.org, app.settings.catalogue()).await?;
    let held = app.store.credentials(app.org, turn.now).await?;
    let signs_in = (app.house.sign_in_base)().is_some();
    let one = |user: &UserId| NewAssignment {
        user: *user,
        credential: credential(&held, *user, signs_in),
        // Settings that cannot be merged are nobody's.
        from: snapshot.served(*user, turn.now).ok().flatten().map(|served| served.checksum),
    };
    Ok(users.iter().map(one).collect())
}

fn credential(held: &Credentials, user: UserId, signs_in: bool) -> &'static str {
    if held.keys.contains(&user) {
        "key"
    } else if held.sessions.contains(&user) {
        "session"
    } else if signs_in {
        "sign_in"
    } else {
        "none"
    }
}

/// It is taken back from the next people: the last ones first.
pub(super) async fn undo(turn: &Turn<'_>) -> Result<Outcome, ActError> {
    let Turn { app, rollout, definition, .. } = turn;
    let mut progress = rollout.progress.clone();
    let assigned = app.store.rollout_assignments(app.org, rollout.id).await?;
    let having: Vec<UserId> =
        assigned.iter().rev().filter(|one| one.state.has_it()).map(|one| one.user).collect();
    let batch: Vec<UserId> = having.iter().copied().take(definition.batch).collect();
    let left = having.len() - batch.len();
    progress.undid(left);
    let text = format!("taken back from {} people, {left} left", batch.len());
    let notify = batch.iter().map(|user| told(app, rollout, *user, "rollout_undone")).collect();
    let step = Step { undo: batch, share: Some(Share::Named), notify, ..Step::default() };
    Ok(Outcome { progress, step, happened: Some(("undone", text)) })
}

/// A word for somebody.
pub(super) fn told(app: &App, rollout: &Rollout, user: UserId, kind: &'static str) -> NewNotification {
    NewNotification {
        id: NotificationId::new(app.now(), app.random_bits()),
        user,
        kind,
        detail: json!({"rollout": rollout.name}).to_string(),
    }
}
