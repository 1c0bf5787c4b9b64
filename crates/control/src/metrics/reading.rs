//! What is known of people in a span of time, read once: of any number of scopes the figures are then sums.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use gatehouse_domain::exchange::{Exchange, Kind};
use gatehouse_domain::feedback::{Nps, Score, Summary as Said};
use gatehouse_domain::id::UserId;
use gatehouse_domain::metrics::{Counts, Outcome, Seen, outcomes, per_user_p95};
use gatehouse_domain::money::Nanos;
use gatehouse_domain::time::{DAY_MS, UnixMillis};
use gatehouse_domain::usage::Tokens;
use gatehouse_store::feedback::Wanted;
use gatehouse_store::ledger::{RECORDS, UsageRow};

use super::Collected;
use super::told::{Told, Words};
use crate::act::ActError;
use crate::app::App;

/// So many people are looked up one by one.
const FEW: usize = 100;

/// A span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// From when on.
    pub(crate) since: UnixMillis,
    /// Until when.
    pub(crate) until: UnixMillis,
    /// Whether it ends in the past; else what happens at this very moment belongs to it too.
    pub(crate) is_over: bool,
}

/// What was counted of somebody.
#[derive(Default)]
struct Person {
    counts: Counts,
    days: Vec<Day>,
    answered: Option<UnixMillis>,
}

/// Somebody's requests on a day.
struct Day {
    start: UnixMillis,
    requests: u64,
    failed: u64,
    answered: bool,
}

/// What was counted of each person.
pub(super) struct Tallies {
    people: BTreeMap<UserId, Person>,
    /// Whether the sums stood in for the exchanges.
    pub(super) from_rollups: bool,
}

/// All that figures are made of.
pub(crate) struct Reading {
    tallies: Tallies,
    active: [HashSet<UserId>; 3],
    words: Words,
    said: HashMap<UserId, (Score, Option<Nps>)>,
}

impl Tallies {
    /// Counts of these people. With more than so many exchanges in the span, the sums stand in.
    pub(super) async fn read(
        app: &App,
        people: &BTreeSet<UserId>,
        since: UnixMillis,
        until: UnixMillis,
        most: u64,
    ) -> Result<Self, ActError> {
        let sums = match few(people) {
            // Their sums do not tell how many exchanges there are.
            Some(few) if app.store.exchanges_within(app.org, since, until).await? > most => {
                Some(app.store.usage_of(app.org, Some(&few), since, until).await?)
            }
            Some(_) => None,
            None => {
                let sums = app.store.usage_of(app.org, None, since, until).await?;
                let exchanges = sums.iter().fold(0_u64, |all, sum| all.saturating_add(sum.requests));
                (exchanges > most).then_some(sums)
            }
        };
        match sums {
            Some(sums) => Ok(from_rollups(&sums, people, since, until)),
            None => from_records(app, people, since, until).await,
        }
    }

    /// What of it concerns these people.
    pub(super) fn of(&self, people: &BTreeSet<UserId>) -> Collected {
        let found: Vec<(UserId, &Person)> =
            people.iter().filter_map(|user| Some((*user, self.people.get(user)?))).collect();
        let mut counts = Counts::sum(found.iter().map(|(_, person)| &person.counts));
        counts.total_users = u64::try_from(people.len()).unwrap_or(u64::MAX);
        let days = found.iter().flat_map(|(_, person)| &person.days);
        let durations = |(user, person): &(UserId, &Person)| {
            let user = *user;
            person.counts.durations_ms.clone().into_iter().map(move |ms| (user, ms))
        };
        Collected {
            groups: days.map(|day| (day.requests, day.failed)).collect(),
            p95s: per_user_p95(found.iter().flat_map(durations)),
            answered: found.iter().filter_map(|(user, person)| Some((*user, person.answered?))).collect(),
            from_rollups: self.from_rollups,
            counts,
        }
    }
}

impl Reading {
    /// Reads all that concerns these people in a span. With more than so many exchanges in it, the sums stand in.
    ///
    /// # Errors
    /// The database.
    pub(crate) async fn read(
        app: &App,
        people: &BTreeSet<UserId>,
        span: Span,
        most: u64,
    ) -> Result<Self, ActError> {
        let Span { since, until, is_over } = span;
        // What happens at this very moment belongs to a span that is not over.
        let end = until.plus_millis(i64::from(!is_over));
        let starts = [1, 7, 30].map(|days| until.plus_millis(-days * DAY_MS));
        let (tallies, mut active, words) = tokio::try_join!(
            Tallies::read(app, people, since, until, most),
            active_in(app, people, starts, is_over.then_some(until)),
            Words::read(app, starts[2], since, end)
        )?;
        for (active, start) in active.iter_mut().zip(starts) {
            active.extend(words.users_since(start));
        }
        let wanted = Wanted { since: Some(since), until: is_over.then_some(until), ..Wanted::default() };
        let said = app.store.feedback(app.org, &wanted).await?;
        Ok(Self {
            tallies,
            active,
            words,
            said: said.into_iter().map(|one| (one.user, (one.answer.score, one.answer.nps))).collect(),
        })
    }

    /// Whether the sums stood in for the exchanges.
    pub(crate) const fn is_from_rollups(&self) -> bool {
        self.tallies.from_rollups
    }

    /// The figures of these people, what of them no exchange shows, and what they said.
    pub(crate) fn of(&self, people: &BTreeSet<UserId>) -> (Counts, Told, Said) {
        let Collected { mut counts, answered, .. } = self.tallies.of(people);
        let told = self.words.add(people, &answered, &mut counts);
        for (count, active) in counts.active_in.iter_mut().zip(&self.active) {
            let found = people.iter().filter(|user| active.contains(user)).count();
            *count = u64::try_from(found).unwrap_or(u64::MAX);
        }
        let said: Vec<_> = people.iter().filter_map(|user| self.said.get(user)).copied().collect();
        counts.answers = u64::try_from(said.len()).unwrap_or(u64::MAX);
        counts.score_sum = said.iter().map(|(score, _)| u64::from(score.get())).sum();
        (counts, told, Said::of(said))
    }
}

/// What of an exchange is kept until all were read.
struct Kept {
    duration_ms: u32,
    first_byte_ms: Option<u32>,
}

async fn from_records(
    app: &App,
    people: &BTreeSet<UserId>,
    since: UnixMillis,
    until: UnixMillis,
) -> Result<Tallies, ActError> {
    let (mut seen, mut kept) = (Vec::new(), Vec::new());
    let mut found: BTreeMap<UserId, Person> = BTreeMap::new();
    let mut after = None;
    loop {
        let records = app.store.exchange_records(app.org, since, until, after).await?;
        for exchange in &records {
            let Some(user) = exchange.principal.map(|whose| whose.user).filter(|user| people.contains(user))
            else {
                continue;
            };
            let counts = &mut found.entry(user).or_default().counts;
            counts.total_cost = Nanos(counts.total_cost.0.saturating_add(exchange.cost.nanos.0));
            counts.tokens.add(&exchange.usage.total());
            if exchange.kind == Kind::Messages {
                seen.push(seen_of(user, exchange));
                kept.push(Kept { duration_ms: exchange.duration_ms, first_byte_ms: exchange.first_byte_ms });
            }
        }
        after = records.last().map(|exchange| exchange.id);
        if records.len() < usize::try_from(RECORDS).unwrap_or(usize::MAX) {
            break;
        }
    }
    for ((one, kept), outcome) in seen.iter().zip(&kept).zip(outcomes(&seen)) {
        found.entry(one.user).or_default().count(one, kept, outcome);
    }
    for person in found.values_mut() {
        person.close();
    }
    Ok(Tallies { people: found, from_rollups: false })
}

fn seen_of(user: UserId, exchange: &Exchange) -> Seen {
    let mut request = DefaultHasher::new();
    (&exchange.session, &exchange.model, exchange.bytes_in, exchange.stream).hash(&mut request);
    Seen {
        user,
        started_at: exchange.started_at,
        duration_ms: exchange.duration_ms,
        ended: exchange.ended,
        request: request.finish(),
    }
}

impl Person {
    /// Counts an exchange; they come in the order in which they began.
    fn count(&mut self, one: &Seen, kept: &Kept, outcome: Outcome) {
        let counts = &mut self.counts;
        let failed = match outcome {
            Outcome::Answered => 0,
            Outcome::Failed => 1,
            Outcome::Retried => {
                counts.retried_requests += 1;
                return;
            }
            Outcome::Refused => {
                counts.refused_requests += 1;
                return;
            }
            Outcome::Abandoned => {
                counts.abandoned_requests += 1;
                return;
            }
        };
        counts.total_requests += 1;
        counts.failed_requests += failed;
        counts.total_time_ms += u64::from(kept.duration_ms);
        counts.durations_ms.push(kept.duration_ms);
        counts.first_bytes_ms.extend(kept.first_byte_ms);
        let day = one.started_at.day();
        if self.days.last().is_none_or(|last| last.start != day) {
            self.days.push(Day { start: day, requests: 0, failed: 0, answered: false });
        }
        if let Some(last) = self.days.last_mut() {
            (last.requests, last.failed) = (last.requests + 1, last.failed + failed);
            last.answered |= failed == 0;
        }
        if failed == 0 {
            self.answered = Some(one.started_at);
        }
    }

    /// Counts what only the whole tells.
    fn close(&mut self) {
        self.counts.active_users = u64::from(self.answered.is_some());
        let days = self.days.iter().filter(|day| day.answered).count();
        self.counts.active_days = u64::try_from(days).unwrap_or(u64::MAX);
    }
}

/// Clients that gave up count among the errors here, and so do their retries.
fn from_rollups(
    sums: &[UsageRow],
    people: &BTreeSet<UserId>,
    since: UnixMillis,
    until: UnixMillis,
) -> Tallies {
    let mut found = BTreeMap::new();
    for sum in sums {
        let Some(user) = sum.id.parse::<UserId>().ok().filter(|user| people.contains(user)) else { continue };
        let requests = sum.requests.saturating_sub(sum.refusals);
        let is_active = requests > sum.errors;
        let counts = Counts {
            active_users: u64::from(is_active),
            total_requests: requests,
            failed_requests: sum.errors,
            refused_requests: sum.refusals,
            total_time_ms: sum.duration_ms,
            total_cost: sum.cost,
            tokens: Tokens {
                input: sum.input_tokens,
                cache_write_5m: sum.cache_write_5m_tokens,
                cache_write_1h: sum.cache_write_1h_tokens,
                cache_read: sum.cache_read_tokens,
                output: sum.output_tokens,
            },
            ..Counts::default()
        };
        // To the end of the span: when exactly, the sums do not tell.
        let answered = is_active.then_some(until);
        let days = vec![Day { start: since, requests, failed: sum.errors, answered: is_active }];
        found.insert(user, Person { counts, days, answered });
    }
    Tallies { people: found, from_rollups: true }
}

/// People that are looked up one by one; more of them are looked for in the sums of all.
fn few(people: &BTreeSet<UserId>) -> Option<Vec<UserId>> {
    (people.len() <= FEW).then(|| people.iter().copied().collect())
}

/// Who had an answer since each of these times.
async fn active_in(
    app: &App,
    people: &BTreeSet<UserId>,
    [day, week, month]: [UnixMillis; 3],
    until: Option<UnixMillis>,
) -> Result<[HashSet<UserId>; 3], ActError> {
    let few = few(people);
    let answered = async |since| app.store.answered_within(app.org, few.as_deref(), since, until).await;
    let (day, week, month) = tokio::try_join!(answered(day), answered(week), answered(month))?;
    Ok([day, week, month])
}
