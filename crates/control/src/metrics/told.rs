//! What stands in where there is no recorded exchange: people whose clients go to the provider themselves.
//!
//! Of each person and UTC day one word counts: recorded exchanges; without any, telemetry; without that, the provider's client
//! analytics. So nothing is counted twice, whoever tells of it.

use std::collections::{BTreeSet, HashMap};

use gatehouse_domain::id::UserId;
use gatehouse_domain::metrics::Counts;
use gatehouse_domain::money::Nanos;
use gatehouse_domain::telemetry::Measure;
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::analytics::{StandIn, Word};

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

/// What others tell of people in a span, whole UTC days from that of its beginning.
pub(super) struct Words {
    telemetry: HashMap<UserId, StandIn>,
    analytics: HashMap<UserId, StandIn>,
    /// What no exchange tells of at all: sessions, and edits that somebody accepted and rejected. By telemetry, from the hour in which
    /// the span begins; of days of a person without it by analytics.
    clients: HashMap<UserId, [u64; 3]>,
}

impl Words {
    /// Reads them; the last day on which somebody used a client, from `first` on.
    pub(super) async fn read(
        app: &App,
        first: UnixMillis,
        since: UnixMillis,
        until: UnixMillis,
    ) -> Result<Self, ActError> {
        let word = |word| app.store.stand_ins_from(app.org, word, first, since, until);
        let (telemetry, analytics, beside, said) = tokio::try_join!(
            word(Word::Telemetry),
            word(Word::Analytics),
            word(Word::AnalyticsBesideExchanges),
            app.store.client_counts(app.org, since, until)
        )?;
        let mut clients: HashMap<UserId, [u64; 3]> = HashMap::new();
        let said =
            said.into_iter().map(|one| (one.user, [one.sessions, one.edits_accepted, one.edits_rejected]));
        let measures = [Measure::Sessions, Measure::EditsAccepted, Measure::EditsRejected];
        let beside = beside.into_iter().map(|one| (one.user, measures.map(|measure| one.sums.of(measure))));
        for (user, more) in said.chain(beside) {
            let sums = clients.entry(user).or_default();
            for (sum, more) in sums.iter_mut().zip(more) {
                *sum = sum.saturating_add(count(more));
            }
        }
        let by_user = |rows: Vec<StandIn>| rows.into_iter().map(|one| (one.user, one)).collect();
        Ok(Self { telemetry: by_user(telemetry), analytics: by_user(analytics), clients })
    }

    /// Adds what they tell of these people. `answered` are those who had an answer that is recorded.
    pub(super) fn add(
        &self,
        people: &BTreeSet<UserId>,
        answered: &HashMap<UserId, UnixMillis>,
        counts: &mut Counts,
    ) -> Told {
        let mut told = Told::default();
        let mut more: BTreeSet<UserId> = BTreeSet::new();
        for (word, share) in [(&self.telemetry, &mut told.telemetry), (&self.analytics, &mut told.analytics)]
        {
            for one in people.iter().filter_map(|user| word.get(user)) {
                *share = share.with(one);
                counts.active_days = counts.active_days.saturating_add(one.days);
                counts.told_days = counts.told_days.saturating_add(one.days);
                counts.total_cost = Nanos(counts.total_cost.0.saturating_add(one.sums.of(Measure::Cost)));
                add_tokens(counts, one);
                if one.days > 0 && !answered.contains_key(&one.user) {
                    more.insert(one.user);
                }
            }
        }
        counts.told_users = more.len() as u64;
        counts.active_users = counts.active_users.saturating_add(counts.told_users);
        for [sessions, accepted, rejected] in people.iter().filter_map(|user| self.clients.get(user)) {
            counts.sessions = counts.sessions.saturating_add(*sessions);
            counts.edits_accepted = counts.edits_accepted.saturating_add(*accepted);
            counts.edits_rejected = counts.edits_rejected.saturating_add(*rejected);
        }
        told
    }
}

impl Words {
    /// Who used a client on the UTC day of this time or later, as only others than the ledger tell.
    pub(super) fn users_since(&self, since: UnixMillis) -> impl Iterator<Item = UserId> {
        let told = self.telemetry.values().chain(self.analytics.values());
        told.filter(move |one| one.last.is_some_and(|last| last >= since.day())).map(|one| one.user)
    }
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

fn count(sum: i64) -> u64 {
    sum.max(0).unsigned_abs()
}
