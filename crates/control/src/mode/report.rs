//! Who used models by which way: at the gateway, through the proxy, by a credential of their own, and what clients claim beside it.

use std::collections::BTreeMap;

use gatehouse_domain::directory::User;
use gatehouse_domain::mode::Mode;
use gatehouse_domain::mode::detour::{Detour, Seen, detours};
use gatehouse_domain::money::Nanos;
use gatehouse_domain::proxy::Preset;
use gatehouse_domain::role::Scope;
use gatehouse_domain::telemetry::Measure;
use gatehouse_domain::time::{DAY_MS, UnixMillis};
use gatehouse_store::analytics::Word;
use gatehouse_store::report::{Ask, Side};
use gatehouse_store::telemetry::ClientBy;
use gatehouse_store::user::UserFilter;
use gatehouse_store::{MAX_LIMIT, Page};

use super::modes;
use crate::act::ActError;
use crate::app::App;

/// Longest time that is looked back, in days.
const MAX_DAYS: u32 = 400;
/// How providers are called that are the host which a request was for, with the caller's own credential.
const CALLER: &str = "caller:";

/// What was seen of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Their e-mail address.
    pub email: String,
    /// Their mode now.
    pub mode: Mode,
    /// What was seen.
    pub seen: Seen,
    /// What their requests at the gateway cost.
    pub cost: Nanos,
    /// What their requests by credentials of their own cost, at list prices.
    pub own_cost: Nanos,
    /// What their clients claim that it cost, or the provider's client analytics of days without a word of theirs.
    pub claimed_cost: Nanos,
    /// What of it went another way than the mode says.
    pub detours: Vec<Detour>,
}

/// What was seen of everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Since when: the start of a UTC day.
    pub since: UnixMillis,
    /// The hosts of models that were looked for.
    pub hosts: Vec<String>,
    /// Those of whom anything was seen: who made detours first, then by address.
    pub people: Vec<Person>,
}

/// What was seen, by person.
#[derive(Default)]
struct Row {
    seen: Seen,
    cost: i64,
    own_cost: i64,
    claimed_cost: i64,
}

/// Says who used models by which way since the UTC day that was so many days ago.
///
/// # Errors
/// Too many days; the ledger is behind; the database.
pub async fn report(app: &App, days: u32) -> Result<Report, ActError> {
    if days > MAX_DAYS {
        return Err(ActError::field("days", format!("expected at most {MAX_DAYS}")));
    }
    let since = app.now().plus_millis(-i64::from(days) * DAY_MS).day();
    (app.house.flush_ledger)().await?;
    (app.house.proxy.flush)().await;
    let hosts = (app.house.inspection.rules)().model_hosts;
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    ledger(app, since, &mut rows).await?;
    tunnels(app, since, &hosts, &mut rows).await?;
    claims(app, since, &mut rows).await?;
    Ok(Report { since, hosts, people: people(app, rows).await? })
}

async fn ledger(app: &App, since: UnixMillis, rows: &mut BTreeMap<String, Row>) -> Result<(), ActError> {
    let until = app.now().day().plus_millis(DAY_MS);
    for sums in
        app.store.report_sums(app.org, &Ask::span(since, until, vec![Side::User, Side::Provider])).await?
    {
        // What was refused has no provider.
        if sums.whose.provider.is_empty() {
            continue;
        }
        let row = rows.entry(sums.whose.user_id).or_default();
        let (requests, cost) = if sums.whose.provider.starts_with(CALLER) {
            (&mut row.seen.own, &mut row.own_cost)
        } else {
            (&mut row.seen.gateway, &mut row.cost)
        };
        *requests = requests.saturating_add(sums.figures.requests);
        *cost = cost.saturating_add(sums.figures.cost.0);
    }
    Ok(())
}

async fn tunnels(
    app: &App,
    since: UnixMillis,
    models: &[String],
    rows: &mut BTreeMap<String, Row>,
) -> Result<(), ActError> {
    let accounts = Preset::SignIn.hosts().iter().map(|host| (*host).to_owned());
    let hosts: Vec<String> = models.iter().cloned().chain(accounts).collect();
    for passage in app.store.passages(app.org, since, &hosts).await? {
        let seen = &mut rows.entry(passage.user.to_string()).or_default().seen;
        match (models.contains(&passage.host), passage.is_refused, passage.is_seen) {
            (true, true, _) => seen.refused += passage.tunnels,
            (true, false, false) => {
                seen.tunnels += passage.tunnels;
                seen.bytes = seen.bytes.saturating_add(passage.bytes);
            }
            (false, false, _) => seen.sign_ins += passage.tunnels,
            // Their requests are in the ledger; who was not let through has signed in nowhere.
            (true, false, true) | (false, true, _) => {}
        }
    }
    Ok(())
}

async fn claims(app: &App, since: UnixMillis, rows: &mut BTreeMap<String, Row>) -> Result<(), ActError> {
    let by = (Scope::Organization, ClientBy::User);
    for claim in app.store.client_usage(app.org, by.0, by.1, Some(since), None).await? {
        let row = rows.entry(claim.id).or_default();
        row.seen.claimed = claim.sums.of(Measure::Requests).max(0).unsigned_abs();
        row.claimed_cost = claim.sums.of(Measure::Cost).max(claim.sums.of(Measure::RequestCost));
    }
    // Of days without telemetry of theirs, the provider's word.
    let until = app.now().plus_millis(DAY_MS);
    for told in app.store.stand_ins(app.org, Word::AnalyticsBesideExchanges, since, until).await? {
        let row = rows.entry(told.user.to_string()).or_default();
        row.claimed_cost = row.claimed_cost.saturating_add(told.sums.of(Measure::Cost));
    }
    Ok(())
}

/// Puts names and modes to what was seen.
async fn people(app: &App, mut rows: BTreeMap<String, Row>) -> Result<Vec<Person>, ActError> {
    let modes = modes(app).await?;
    let mut people = Vec::new();
    let mut page = Page::first(MAX_LIMIT);
    loop {
        let listed = app.store.users(app.org, &UserFilter::default(), &page).await?;
        for user in listed.items {
            let User { id, email, teams, .. } = user;
            let Some(row) = rows.remove(&id.to_string()) else { continue };
            if row.seen == Seen::default() && row.claimed_cost == 0 {
                continue;
            }
            let mode = modes.of(&teams).0;
            people.push(Person {
                email,
                mode,
                detours: detours(mode, &row.seen),
                seen: row.seen,
                cost: Nanos(row.cost),
                own_cost: Nanos(row.own_cost),
                claimed_cost: Nanos(row.claimed_cost),
            });
        }
        match listed.next {
            Some(next) => page = Page::after(next, MAX_LIMIT),
            None => break,
        }
    }
    people.sort_by(|a, b| (a.detours.is_empty(), &a.email).cmp(&(b.detours.is_empty(), &b.email)));
    Ok(people)
}
