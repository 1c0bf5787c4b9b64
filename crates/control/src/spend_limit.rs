//! Spend limits as the provider's Admin API knows them, over budgets.
//!
//! A spend limit is a hard budget of a person, on all models at all providers, for a UTC day, week or month. Its identifier is
//! the budget's with another prefix. The Admin API's limits of a group or the organization are what *every member* may
//! spend; budgets of a team or the organization are what all of them may spend *together*, so that they are not taken for
//! limits here.

use std::collections::BTreeMap;

use gatehouse_domain::audit::Entry;
use gatehouse_domain::budget::{Budget, Holder, Mode, Period};
use gatehouse_domain::directory::User;
use gatehouse_domain::id::{BudgetId, UserId};
use gatehouse_domain::model::ModelScope;
use gatehouse_domain::money::Nanos;
use gatehouse_domain::role::Scope;
use gatehouse_domain::time::{DAY_MS, UnixMillis};
use gatehouse_store::audit::{AuditFilter, AuditKind};
use gatehouse_store::report::{Ask, Side};
use gatehouse_store::user::UserFilter;
use gatehouse_store::{MAX_LIMIT, Page};

use crate::act::{ActError, Caller, shortened};
use crate::app::App;
use crate::{budget, user};

/// What identifiers of spend limits begin with.
const PREFIX: &str = "spl_";
/// Nano-dollars of a cent.
const CENT: i64 = 10_000_000;

/// A spend limit.
#[derive(Debug, Clone)]
pub struct SpendLimit {
    /// Its identifier, `spl_…`.
    pub id: String,
    /// Whose.
    pub user: UserId,
    /// In which period.
    pub period: Period,
    /// How much.
    pub amount: Nanos,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was last changed.
    pub updated_at: UnixMillis,
}

/// Reads a period of the Admin API.
///
/// # Errors
/// It is none.
pub fn read_period(text: &str) -> Result<Period, ActError> {
    let named = |period: &Period| *period != Period::Total && period.adjective() == text;
    let bad = || ActError::field("period", "expected `daily`, `weekly` or `monthly`");
    Period::ALL.into_iter().find(named).ok_or_else(bad)
}

/// An amount in cents, as many decimals as it takes: `50000`, `41280.125`.
pub fn cents(amount: Nanos) -> String {
    let abs = amount.0.unsigned_abs();
    let sign = if amount.0 < 0 { "-" } else { "" };
    let text = format!("{sign}{}.{:07}", abs / CENT.unsigned_abs(), abs % CENT.unsigned_abs());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Sets what somebody may spend in a period, in place of the limit they have there. `amount` is whole cents.
///
/// # Errors
/// No such user; a bad amount or period; the database.
pub async fn set(
    app: &App,
    caller: &Caller,
    given: &str,
    amount: &str,
    period: &str,
) -> Result<SpendLimit, ActError> {
    let period = read_period(period)?;
    let user = user::named(app, Scope::Organization, "user_id", given).await?;
    let digits = !amount.is_empty() && amount.bytes().all(|b| b.is_ascii_digit());
    let nanos = amount.parse::<i64>().ok().filter(|_| digits).and_then(|cents| cents.checked_mul(CENT));
    let nanos =
        nanos.ok_or_else(|| ActError::field("amount", "expected whole cents as a string of digits"))?;
    let limit_usd = Nanos(nanos).to_string();
    let there = limits(app).await?.into_iter().find(|limit| (limit.user, limit.period) == (user.id, period));
    let id = if let Some(limit) = there {
        let change = budget::Change { limit: Some(limit_usd), ..budget::Change::default() };
        budget::set(app, caller, &budget_id(&limit.id)?.to_string(), &change).await?.now.row.budget.id
    } else {
        let new = budget::NewBudget {
            user: Some(user.id.to_string()),
            period: period.as_str().to_owned(),
            limit: limit_usd,
            // The Admin API's periods are of UTC.
            zone: Some("UTC".to_owned()),
            ..budget::NewBudget::default()
        };
        budget::add(app, caller, &new).await?.now.row.budget.id
    };
    get(app, &text_of(id)).await
}

/// Looks a limit up.
///
/// # Errors
/// There is none; the database.
pub async fn get(app: &App, given: &str) -> Result<SpendLimit, ActError> {
    let row = app.store.budget(app.org, budget_id(given)?).await?;
    let limit = limit_of(&row.budget).ok_or_else(|| missing(given))?;
    Ok(changed(app, vec![limit]).await?.remove(0))
}

/// Removes a limit.
///
/// # Errors
/// There is none; the database.
pub async fn remove(app: &App, caller: &Caller, given: &str) -> Result<(), ActError> {
    get(app, given).await?;
    budget::remove(app, caller, &budget_id(given)?.to_string()).await?;
    Ok(())
}

/// A part of the list, in the order in which limits were made: those after one, or those before one. Says whether there are
/// more in that direction.
///
/// # Errors
/// A bad cursor; the database.
pub async fn list(
    app: &App,
    after: Option<&str>,
    before: Option<&str>,
    count: usize,
) -> Result<(Vec<SpendLimit>, bool), ActError> {
    let mut all = limits(app).await?;
    if let Some(after) = after {
        budget_id(after)?;
        all.retain(|limit| limit.id.as_str() > after);
    }
    let backwards = before.is_some();
    if let Some(before) = before {
        budget_id(before)?;
        all.retain(|limit| limit.id.as_str() < before);
    }
    let more = all.len() > count;
    let part = if backwards {
        all.split_off(all.len().saturating_sub(count))
    } else {
        all.into_iter().take(count).collect()
    };
    Ok((changed(app, part).await?, more))
}

/// What holds for somebody in a period.
#[derive(Debug, Clone)]
pub struct Effective {
    /// Who.
    pub user: User,
    /// In which period.
    pub period: Period,
    /// Their limit, if they have one.
    pub limit: Option<SpendLimit>,
    /// What they have spent since the period began.
    pub spent: Nanos,
}

/// Which effective limits are wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Only these people, by id or address; none given is everybody.
    pub users: Vec<String>,
    /// These periods.
    pub periods: Vec<Period>,
    /// Whose address or name contains this.
    pub text: Option<String>,
    /// Whether who spent most comes first. With one period only.
    pub by_spend: bool,
    /// The cursor of the page before.
    pub page: Option<String>,
    /// How many people at most.
    pub count: u32,
}

/// What holds for whom, and what they have spent.
///
/// # Errors
/// A bad page; somebody does not exist; the ledger is behind; the database.
pub async fn effective(app: &App, wanted: &Wanted) -> Result<(Vec<Effective>, Option<String>), ActError> {
    (app.house.flush_ledger)().await?;
    let (users, next) = if wanted.by_spend {
        by_spend(app, wanted).await?
    } else if wanted.users.is_empty() {
        let filter = UserFilter { text: wanted.text.clone(), ..UserFilter::default() };
        let page = Page { after: wanted.page.clone(), limit: wanted.count };
        let listed = app.store.users(app.org, &filter, &page).await?;
        (listed.items, listed.next)
    } else {
        (named(app, &wanted.users).await?, None)
    };
    let limits = limits(app).await?;
    let ids: Vec<String> = users.iter().map(|user| user.id.to_string()).collect();
    let mut rows = Vec::new();
    let mut spent = BTreeMap::new();
    for period in &wanted.periods {
        for (user, cost) in spending(app, *period, ids.clone()).await? {
            spent.insert((user, period.as_str()), cost);
        }
    }
    for user in users {
        for period in &wanted.periods {
            let limit = limits.iter().find(|limit| (limit.user, limit.period) == (user.id, *period)).cloned();
            let cost = spent.get(&(user.id.to_string(), period.as_str())).copied();
            rows.push(Effective {
                user: user.clone(),
                period: *period,
                limit,
                spent: cost.unwrap_or_default(),
            });
        }
    }
    Ok((rows, next))
}

async fn named(app: &App, given: &[String]) -> Result<Vec<User>, ActError> {
    let mut users = Vec::new();
    for name in given {
        match user::get(app, name).await {
            Ok(user) => users.push(user),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(users)
}

/// The people of a page by what they spent. The cursor is how many came before.
async fn by_spend(app: &App, wanted: &Wanted) -> Result<(Vec<User>, Option<String>), ActError> {
    let [period] = wanted.periods[..] else {
        return Err(ActError::field("sort", "`spend_desc` needs exactly one `period[]`"));
    };
    let offset = wanted.page.as_deref().map_or(Ok(0), str::parse::<usize>);
    let offset = offset.map_err(|_| ActError::field("page", "it is no cursor of this list"))?;
    let mut spent: Vec<(String, Nanos)> = spending(app, period, Vec::new()).await?;
    spent.retain(|(id, _)| !id.is_empty());
    if !wanted.users.is_empty() {
        let ids: Vec<String> =
            named(app, &wanted.users).await?.iter().map(|user| user.id.to_string()).collect();
        spent.retain(|(id, _)| ids.contains(id));
    }
    if let Some(text) = &wanted.text {
        let filter = UserFilter { text: Some(text.clone()), ..UserFilter::default() };
        let found = app.store.users(app.org, &filter, &Page::first(MAX_LIMIT)).await?;
        if found.next.is_some() {
            return Err(ActError::field(
                "q",
                format!("it is in more than {MAX_LIMIT} names; give more of it"),
            ));
        }
        let ids: Vec<String> = found.items.iter().map(|user| user.id.to_string()).collect();
        spent.retain(|(id, _)| ids.contains(id));
    }
    spent.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let count = wanted.count as usize;
    let ids: Vec<String> = spent.iter().skip(offset).take(count).map(|(id, _)| id.clone()).collect();
    let next = (spent.len() > offset.saturating_add(count)).then(|| (offset + count).to_string());
    Ok((named(app, &ids).await?, next))
}

async fn spending(app: &App, period: Period, users: Vec<String>) -> Result<Vec<(String, Nanos)>, ActError> {
    let now = app.now();
    let span = Ask::span(period.start(now), now.day().plus_millis(DAY_MS), vec![Side::User]);
    let sums = app.store.report_sums(app.org, &Ask { only: vec![(Side::User, users)], ..span }).await?;
    Ok(sums.into_iter().map(|sums| (sums.whose.user_id, sums.figures.cost)).collect())
}

/// What was changed of budgets, the newest first.
///
/// # Errors
/// A bad page; the database.
pub async fn audit(app: &App, count: u32) -> Result<(Vec<Entry>, bool), ActError> {
    let filter = about_budgets("budget.", None);
    let listed = app.store.audit_entries(app.org, &filter, &Page::first(count)).await?;
    Ok((listed.items, listed.next.is_some()))
}

fn about_budgets(action: &str, object: Option<String>) -> AuditFilter {
    AuditFilter {
        kind: AuditKind::default(),
        actor: None,
        action: Some(action.to_owned()),
        object,
        since: None,
        until: None,
    }
}

/// All limits, in the order in which they were made, as if none had been changed.
async fn limits(app: &App) -> Result<Vec<SpendLimit>, ActError> {
    let budgets = app.store.all_budgets(app.org).await?;
    let mut limits: Vec<SpendLimit> = budgets.iter().filter_map(limit_of).collect();
    limits.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(limits)
}

/// Looks up when they were last changed.
async fn changed(app: &App, mut limits: Vec<SpendLimit>) -> Result<Vec<SpendLimit>, ActError> {
    for limit in &mut limits {
        let filter = about_budgets("budget.set", Some(budget_id(&limit.id)?.to_string()));
        let newest = app.store.audit_entries(app.org, &filter, &Page::first(1)).await?.items.pop();
        limit.updated_at = newest.map_or(limit.created_at, |entry| entry.act.at);
    }
    Ok(limits)
}

fn limit_of(budget: &Budget) -> Option<SpendLimit> {
    let Holder::User(user) = budget.holder else { return None };
    let plain = budget.mode == Mode::Hard
        && budget.provider.is_none()
        && budget.zone.is_utc()
        && budget.models == ModelScope::all()
        && budget.period != Period::Total;
    plain.then(|| SpendLimit {
        id: text_of(budget.id),
        user,
        period: budget.period,
        amount: budget.limit,
        created_at: budget.created_at,
        updated_at: budget.created_at,
    })
}

fn text_of(id: BudgetId) -> String {
    let text = id.to_string();
    format!("{PREFIX}{}", text.strip_prefix(BudgetId::PREFIX).unwrap_or(&text))
}

fn budget_id(given: &str) -> Result<BudgetId, ActError> {
    let id = given.strip_prefix(PREFIX).and_then(|rest| format!("{}{rest}", BudgetId::PREFIX).parse().ok());
    id.ok_or_else(|| missing(given))
}

fn missing(given: &str) -> ActError {
    ActError::NotFound { noun: "spend limit", given: shortened(given) }
}
