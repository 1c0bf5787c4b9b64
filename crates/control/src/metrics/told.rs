//! What stands in where there is no recorded exchange: people whose clients go to the provider themselves.
//!
//! Of each person and UTC day one word counts: recorded exchanges; without any, telemetry; without that, the provider's client
//! analytics. So nothing is counted twice, whoever tells of it.

use std::collections::{BTreeSet, HashSet};

use gatehouse_domain::id::UserId;
use gatehouse_domain::metrics::Counts;
use gatehouse_domain::money::Nanos;
use gatehouse_domain::role::Scope;
use gatehouse_domain::telemetry::Measure;
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::analytics::{StandIn, Word};
use gatehouse_store::telemetry::ClientBy;

use crate::act::ActError;
use crate::app::App;

/// What one word brings to the figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// People of whom it tells on some day.
    pub users: u64,
    /// Days on which they used it, summed over people.
    pub days: u64,
    /// What it says that it cost.
    pub cost: Nanos,
}

/// What came into the figures that no exchange shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Told {
    /// By telemetry.
    pub telemetry: Share,
    /// By the provider's client analytics.
    pub analytics: Share,
}

/// Adds what no exchange shows of these people, whole UTC days from that of `since`. `answered` are those who had an answer
/// that is recorded.
pub(super) async fn add(
    app: &App,
    people: &BTreeSet<UserId>,
    answered: &HashSet<UserId>,
    [since, until]: [UnixMillis; 2],
    counts: &mut Counts,
) -> Result<Told, ActError> {
    let mut told = Told::default();
    let mut more: HashSet<UserId> = HashSet::new();
    for (word, share) in [(Word::Telemetry, &mut told.telemetry), (Word::Analytics, &mut told.analytics)] {
        for one in app.store.stand_ins(app.org, word, since, until).await? {
            if !people.contains(&one.user) {
                continue;
            }
            *share = share.with(&one);
            counts.active_days = counts.active_days.saturating_add(one.days);
            counts.told_days = counts.told_days.saturating_add(one.days);
            counts.total_cost = Nanos(counts.total_cost.0.saturating_add(one.sums.of(Measure::Cost)));
            add_tokens(counts, &one);
            if one.days > 0 && !answered.contains(&one.user) {
                more.insert(one.user);
            }
        }
    }
    counts.told_users = more.len() as u64;
    counts.active_users = counts.active_users.saturating_add(counts.told_users);
    Ok(told)
}

impl Share {
    fn with(self, one: &StandIn) -> Self {
        Self {
            users: self.users + u64::from(one.days > 0),
            days: self.days.saturating_add(one.days),
            cost: Nanos(self.cost.0.saturating_add(one.sums.of(Measure::Cost))),
        }
    }
}

fn add_tokens(counts: &mut Counts, one: &StandIn) {
    let tokens = &mut counts.tokens;
    for (sum, measure) in [
        (&mut tokens.input, Measure::Input),
        // For how long, neither word tells.
        (&mut tokens.cache_write_5m, Measure::CacheWrite),
        (&mut tokens.cache_read, Measure::CacheRead),
        (&mut tokens.output, Measure::Output),
    ] {
        *sum = sum.saturating_add(count(one.sums.of(measure)));
    }
}

/// Who used a client since then as only others than the ledger tell.
pub(super) async fn users(
    app: &App,
    since: UnixMillis,
    until: UnixMillis,
) -> Result<HashSet<UserId>, ActError> {
    let mut users = HashSet::new();
    for word in [Word::Telemetry, Word::Analytics] {
        let found = app.store.stand_ins(app.org, word, since, until).await?;
        users.extend(found.iter().filter(|one| one.days > 0).map(|one| one.user));
    }
    Ok(users)
}

/// Counts what no exchange tells of at all: sessions, and edits that people accepted and rejected. By telemetry, from the hour in
/// which the window begins; of days of a person without it by analytics.
pub(super) async fn add_clients(
    app: &App,
    people: &BTreeSet<UserId>,
    [since, until]: [UnixMillis; 2],
    counts: &mut Counts,
) -> Result<(), ActError> {
    let told = app.store.client_usage(app.org, Scope::Organization, ClientBy::User, Some(since), Some(until));
    let by_telemetry = told.await?.into_iter().filter_map(|row| Some((row.id.parse().ok()?, row.sums)));
    let beside = app.store.stand_ins(app.org, Word::AnalyticsBesideExchanges, since, until).await?;
    let by_analytics = beside.into_iter().map(|one| (one.user, one.sums));
    for (_, sums) in by_telemetry.chain(by_analytics).filter(|(user, _)| people.contains(user)) {
        for (sum, measure) in [
            (&mut counts.sessions, Measure::Sessions),
            (&mut counts.edits_accepted, Measure::EditsAccepted),
            (&mut counts.edits_rejected, Measure::EditsRejected),
        ] {
            *sum = sum.saturating_add(count(sums.of(measure)));
        }
    }
    Ok(())
}

fn count(sum: i64) -> u64 {
    sum.max(0).unsigned_abs()
}
