//! Looking at a rollout: who came and went, what was received, what the figures say; and whether it was taken back.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use gatehouse_domain::feedback::Summary;
use gatehouse_domain::id::UserId;
use gatehouse_domain::rollout::{
    Against, Baseline, Check, Definition, Evidence, Limit, Look, Moment, Progress, State, decide, judge,
};
use gatehouse_domain::settings::{Receipt, ReceiptState};
use gatehouse_domain::time::{DAY_MS, UnixMillis};
use gatehouse_store::feedback::Wanted;
use gatehouse_store::rollout::{Active, Assignment, AssignmentState, News, Share, Step};
use gatehouse_store::{MAX_LIMIT, Page};

use super::controller::{Outcome, Turn, count};
use super::deploy;
use crate::act::ActError;
use crate::metrics::{self, Collected, MOST_RECORDS};
use crate::settings::{Served, Snapshot};

/// How far back it is seen what people did before, in days.
const BEFORE_DAYS: i64 = 14;

/// Looks, and moves the rollout by what is seen. What cannot be seen is noted, and is no success.
pub(super) async fn look(turn: &Turn<'_>, end: bool) -> Result<Outcome, ActError> {
    let mut progress = turn.rollout.progress.clone();
    if let Some(why) = deploy::released(turn).await? {
        progress.looked(turn.definition, Err(why), end, turn.now);
        return Ok(Outcome { progress, step: Step::default(), happened: None });
    }
    turn.app.settings.flush(&turn.app.store, turn.app.org).await?;
    // Who has had an answer is found in the database: it may lag a moment.
    (turn.app.house.flush_ledger)().await?;
    let people = turn.app.store.active_people(turn.app.org).await?;
    let assigned = turn.app.store.rollout_assignments(turn.app.org, turn.rollout.id).await?;
    let (assign, left) = came_and_went(turn, &people, &assigned).await?;
    let staying: Vec<&Assignment> =
        assigned.iter().filter(|one| one.state.has_it() && !left.contains(&one.user)).collect();
    let receipts = Receipts::read(turn).await?;
    let (evidence, answered) = evidence(turn, &people, &staying, &receipts).await?;
    let found = judged(turn, &evidence, end, staying.len() + assign.len());
    let news =
        staying.iter().filter_map(|one| receipts.news(one, answered.get(&one.user), turn.now)).collect();
    progress.looked(turn.definition, Ok(found), end, turn.now);
    let share = share(turn.definition, &progress).filter(|_| progress.state != turn.rollout.progress.state);
    let happened = (!assign.is_empty() || !left.is_empty())
        .then(|| ("followed", format!("{} came, {} left", assign.len(), left.len())));
    let notify =
        assign.iter().map(|one| deploy::told(turn.app, turn.rollout, one.user, "rollout_assigned")).collect();
    let step = Step { assign, left: left.into_iter().collect(), news, share, notify, ..Step::default() };
    Ok(Outcome { progress, step, happened })
}

/// Whom it goes to from now on besides those who have it: once it has succeeded with everybody, whoever comes later too.
pub(super) fn share(definition: &Definition, progress: &Progress) -> Option<Share> {
    let last = definition.phases.last()?;
    let whole = last.cohort.everyone
        && definition.exclude_users.is_empty()
        && definition.exclude_teams.is_empty()
        && progress.without_teams.is_empty();
    (progress.state == State::Succeeded && whole).then_some(Share::Everybody)
}

type Moved = (Vec<gatehouse_store::rollout::NewAssignment>, BTreeSet<UserId>);

/// Who came into a cohort gets it; who is not enabled any more leaves.
async fn came_and_went(
    turn: &Turn<'_>,
    people: &[Active],
    assigned: &[Assignment],
) -> Result<Moved, ActError> {
    let enabled: BTreeSet<UserId> = people.iter().map(|person| person.user).collect();
    let gone = |one: &&Assignment| one.state.has_it() && !enabled.contains(&one.user);
    let left = assigned.iter().filter(gone).map(|one| one.user).take(turn.definition.batch).collect();
    let volunteers = turn.app.store.volunteers(turn.app.org).await?;
    let progress = &turn.rollout.progress;
    let begun = progress.phases.iter().filter(|phase| phase.started_at.is_some()).count();
    let wanted = turn.plan.wanted(turn.definition, progress, begun, people, &volunteers);
    let came: Vec<UserId> = deploy::todo(assigned, wanted).into_iter().take(turn.definition.batch).collect();
    Ok((deploy::assignments(turn, &came).await?, left))
}

fn judged(turn: &Turn<'_>, evidence: &Evidence, end: bool, users: usize) -> Look {
    let checks: &[Check] =
        turn.definition.phases.get(turn.rollout.progress.phase).map_or(&[], |phase| &phase.checks);
    let moment = if end { Moment::End } else { Moment::Soaking };
    let judged: Vec<_> = checks.iter().map(|check| judge(check, evidence, moment)).collect();
    let verdicts: Vec<_> = checks.iter().copied().zip(judged.iter().map(|one| one.verdict)).collect();
    let feedback = summary(&evidence.scores);
    let hidden = |mut one: gatehouse_domain::rollout::Judged| {
        if one.metric == "satisfaction" && feedback.withheld {
            (one.value, one.bound) = (None, None);
        }
        one
    };
    Look {
        decision: decide(&verdicts),
        judged: judged.into_iter().map(hidden).collect(),
        feedback,
        metrics: metrics::six(&evidence.counts, &feedback),
        users: count(users),
    }
}

fn summary(scores: &[u8]) -> Summary {
    let read = |score: &u8| gatehouse_domain::feedback::Score::new(u64::from(*score)).ok();
    Summary::of(scores.iter().filter_map(read).map(|score| (score, None)))
}

type Answered = HashMap<UserId, UnixMillis>;

async fn evidence(
    turn: &Turn<'_>,
    people: &[Active],
    staying: &[&Assignment],
    receipts: &Receipts,
) -> Result<(Evidence, Answered), ActError> {
    let (app, now) = (turn.app, turn.now);
    let progress = &turn.rollout.progress;
    let since = progress.phases.get(progress.phase).and_then(|phase| phase.started_at).unwrap_or(now);
    let cohort: BTreeSet<UserId> = staying.iter().map(|one| one.user).collect();
    // Begun in this very millisecond is begun in time.
    let found = metrics::collect(app, &cohort, since, now.plus_millis(1), MOST_RECORDS).await?;
    let said = app.store.feedback(app.org, &Wanted { since: Some(since), ..Wanted::default() }).await?;
    let scores: Vec<u8> =
        said.iter().filter(|one| cohort.contains(&one.user)).map(|one| one.answer.score.get()).collect();
    let checks = turn.definition.phases.get(progress.phase).map_or(&[][..], |phase| &phase.checks);
    let compares = |with: Against| {
        checks.iter().any(|check| matches!(check.limit, Limit::AtMostTimes(_, against) if against == with))
    };
    let days = days(since, now);
    let previous = if compares(Against::Previous) {
        let from = since.plus_millis(-BEFORE_DAYS * DAY_MS);
        baseline(&metrics::collect(app, &cohort, from, since, MOST_RECORDS).await?, 14.0, days)
    } else {
        Baseline::default()
    };
    let others = if compares(Against::Others) {
        let rest = people.iter().map(|person| person.user).filter(|user| !cohort.contains(user)).collect();
        baseline(&metrics::collect(app, &rest, since, now, MOST_RECORDS).await?, days, days)
    } else {
        Baseline::default()
    };
    let mut counts = found.counts;
    counts.answers = count(scores.len());
    counts.score_sum = scores.iter().map(|score| u64::from(*score)).sum();
    let was_seen = |one: &&&Assignment| receipts.seen_since(one.user, one.assigned_at);
    let seen: Vec<&&Assignment> = staying.iter().filter(was_seen).collect();
    let confirmed = seen.iter().filter(|one| one.confirmed_at.is_some() || receipts.has(one.user)).count();
    let evidence = Evidence {
        counts,
        groups: found.groups,
        p95s: found.p95s,
        cohort: count(staying.len()),
        seen: count(seen.len()),
        confirmed: count(confirmed),
        scores,
        previous,
        others,
    };
    Ok((evidence, found.answered))
}

fn baseline(found: &Collected, days: f64, against_days: f64) -> Baseline {
    let cost = found.counts.cost_per_user();
    #[expect(clippy::cast_precision_loss, reason = "money beyond 2^53 nano-dollars need not be exact here")]
    let cost_per_user = (!cost.no_data).then_some(cost.value.0 as f64);
    Baseline {
        p95s: found.p95s.clone(),
        durations_ms: found.counts.durations_ms.clone(),
        cost_per_user,
        days,
        against_days,
    }
}

#[expect(clippy::cast_precision_loss, reason = "so many milliseconds there are not")]
fn days(since: UnixMillis, now: UnixMillis) -> f64 {
    (now.0 - since.0).max(1) as f64 / DAY_MS as f64
}

/// What people's clients have said, beside what is theirs.
struct Receipts {
    snapshot: Snapshot,
    overlays: Vec<String>,
    known: BTreeMap<UserId, Receipt>,
    now: UnixMillis,
}

impl Receipts {
    async fn read(turn: &Turn<'_>) -> Result<Self, ActError> {
        let app = turn.app;
        let snapshot = Snapshot::load(&app.store, app.org, app.settings.catalogue()).await?;
        let mut known = BTreeMap::new();
        let mut page = Page::first(MAX_LIMIT);
        loop {
            let listed = app.store.settings_reach(app.org, &page).await?;
            known.extend(listed.items.into_iter().map(|reach| (reach.user, reach.receipt)));
            let Some(next) = listed.next else { break };
            page = Page::after(next, MAX_LIMIT);
        }
        let overlays = turn.plan.settings.iter().map(|(_, name, _)| name.clone()).collect();
        Ok(Self { snapshot, overlays, known, now: turn.now })
    }

    fn served(&self, user: UserId) -> Option<std::sync::Arc<Served>> {
        self.snapshot.served(user, self.now).ok().flatten()
    }

    fn seen_since(&self, user: UserId, at: UnixMillis) -> bool {
        self.known.get(&user).and_then(|receipt| receipt.seen_at).is_some_and(|seen| seen >= at)
    }

    /// Whether any of the overlays is among somebody's settings.
    fn overlaid(&self, served: Option<&Served>) -> bool {
        served.is_some_and(|served| served.layers.iter().any(|layer| self.overlays.contains(&layer.name)))
    }

    /// Whether somebody's client said that it has what is theirs.
    fn has(&self, user: UserId) -> bool {
        let (Some(served), Some(receipt)) = (self.served(user), self.known.get(&user)) else { return false };
        receipt.state(served.checksum, served.range, self.now) == ReceiptState::Confirmed
    }

    /// What is new of somebody who has it.
    fn news(&self, one: &Assignment, answered: Option<&UnixMillis>, _: UnixMillis) -> Option<News> {
        let served = self.served(one.user).filter(|served| self.overlaid(Some(served)));
        let news = News {
            user: one.user,
            to: served.map(|served| served.checksum).filter(|sum| one.to != Some(*sum)),
            confirmed: one.confirmed_at.is_none() && self.has(one.user),
            active: one.active_at.is_none() && answered.is_some_and(|at| *at >= one.assigned_at),
            restored: false,
        };
        (news.to.is_some() || news.confirmed || news.active).then_some(news)
    }

    /// Whether the client of somebody who gave it back said that it has what is theirs again. Where nothing is, that it asked.
    fn is_restored(&self, one: &Assignment) -> bool {
        match (self.served(one.user), one.undone_at) {
            (Some(_), _) => self.has(one.user),
            (None, Some(undone)) => self.seen_since(one.user, undone),
            (None, None) => false,
        }
    }
}

/// Whether everybody is without it: by what is served to them, and by what their clients say.
pub(super) async fn verify(turn: &Turn<'_>) -> Result<Outcome, ActError> {
    let mut progress = turn.rollout.progress.clone();
    turn.app.settings.flush(&turn.app.store, turn.app.org).await?;
    let receipts = Receipts::read(turn).await?;
    let assigned = turn.app.store.rollout_assignments(turn.app.org, turn.rollout.id).await?;
    let (mut stuck, mut unconfirmed, mut news) = (0, 0, Vec::new());
    for one in &assigned {
        if one.state == AssignmentState::Left || !receipts.known.contains_key(&one.user) {
            continue;
        }
        if receipts.overlaid(receipts.served(one.user).as_deref()) {
            stuck += 1;
        } else if one.restored_at.is_none() && receipts.is_restored(one) {
            let user = one.user;
            news.push(News { user, to: None, confirmed: false, active: false, restored: true });
        } else if one.restored_at.is_none() && one.confirmed_at.is_some() {
            unconfirmed += 1;
        }
    }
    progress.verified(stuck, unconfirmed, turn.now);
    let text = format!("{stuck} still have it, of {unconfirmed} the client has not said so yet");
    let is_new = progress.state != turn.rollout.progress.state
        || (unconfirmed == 0 && turn.rollout.progress.unconfirmed > 0);
    let happened = is_new.then_some(("verified", text));
    Ok(Outcome { progress, step: Step { news, ..Step::default() }, happened })
}
