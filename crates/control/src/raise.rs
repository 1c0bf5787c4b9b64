//! Raises of budgets: people ask, administrators decide, time ends them.

use gatehouse_domain::audit::{Draft, Object};
use gatehouse_domain::budget::{LONGEST_RAISE_MS, MAX_REASON, Mode, Raise, RaiseState, Standing};
use gatehouse_domain::exchange::Principal;
use gatehouse_domain::id::{BudgetId, RaiseId};
use gatehouse_domain::money::Nanos;
use gatehouse_domain::role::Scope;
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::raise::{RaiseFilter, RaiseRow};
use gatehouse_store::{Listed, Page};

use crate::act::{ActError, Caller, Changed, read, shortened};
use crate::app::App;
use crate::period::ahead_of;
use crate::user;

/// What somebody asks for, as they wrote it.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// Which budget, by id; the one of theirs that is used up most if not given.
    pub budget: Option<String>,
    /// Dollars.
    pub amount: String,
    /// Why.
    pub reason: String,
    /// Until when: a span or a time; to the end of the period if not given.
    pub until: Option<String>,
}

/// What is decided, as the caller wrote it.
#[derive(Debug, Clone, Default)]
pub struct Decision {
    /// Whether the limit is raised.
    pub approve: bool,
    /// Dollars, if it is to be another amount than was asked for.
    pub amount: Option<String>,
    /// Until when, if it is to be another time.
    pub until: Option<String>,
}

/// Which requests are wanted, as the caller wrote it.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// `asked`, `approved` or `denied`.
    pub state: Option<String>,
    /// Of this person.
    pub user: Option<String>,
    /// About this budget.
    pub budget: Option<String>,
}

/// Asks for a higher limit of a hard budget that counts what this person spends. Changes nothing until it is decided.
///
/// # Errors
/// No such budget of theirs; a bad amount, reason or end; they have asked already; the database.
pub async fn ask(app: &App, caller: &Caller, principal: &Principal, ask: &Ask) -> Result<Raise, ActError> {
    let now = app.now();
    let standing = theirs(app, principal, ask.budget.as_deref())?;
    let reason = ask.reason.trim();
    if reason.is_empty() || reason.len() > MAX_REASON || reason.contains('\0') {
        return Err(ActError::field("reason", format!("say why, in {MAX_REASON} bytes at most")));
    }
    let raise = Raise {
        id: RaiseId::new(now, app.random_bits()),
        budget: standing.budget.id,
        user: principal.user,
        amount: read_amount(&ask.amount)?,
        reason: reason.to_owned(),
        until: ask.until.as_deref().map(|text| read_until(now, text)).transpose()?,
        state: RaiseState::Asked,
        created_at: now,
        decided_at: None,
        decided_by: None,
    };
    let act = told(caller.draft(now, "budget.raise", object(&raise)), &raise);
    app.store.ask_raise(app.org, &raise, &act).await?;
    Ok(raise)
}

/// The requests of one person, the newest first.
///
/// # Errors
/// The database.
pub async fn of(app: &App, principal: &Principal) -> Result<Vec<Raise>, ActError> {
    let filter = RaiseFilter { user: Some(principal.user), ..RaiseFilter::default() };
    let listed = app.store.raises(app.org, &filter, &Page::first(100)).await?;
    Ok(listed.items.into_iter().map(|row| row.raise).collect())
}

/// Lists requests, the newest first.
///
/// # Errors
/// A bad state or page; no such person; the database.
pub async fn list(app: &App, wanted: &Wanted, page: &Page) -> Result<Listed<RaiseRow>, ActError> {
    let state = |text: &str| {
        let bad =
            || ActError::field("state", format!("`{}` is not asked, approved or denied", shortened(text)));
        RaiseState::named(text).ok_or_else(bad)
    };
    let user = match &wanted.user {
        Some(given) => Some(user::named(app, Scope::Organization, "user", given).await?.id),
        None => None,
    };
    let filter = RaiseFilter {
        state: wanted.state.as_deref().map(state).transpose()?,
        user,
        budget: wanted.budget.as_deref().map(|text| read("budget", text.parse())).transpose()?,
    };
    Ok(app.store.raises(app.org, &filter, page).await?)
}

/// Decides a request. What is approved is in force at once and ends by itself.
///
/// # Errors
/// There is none; it was decided before; a bad amount or end; the database.
pub async fn decide(
    app: &App,
    caller: &Caller,
    given: &str,
    decision: &Decision,
) -> Result<Changed<RaiseRow>, ActError> {
    let now = app.now();
    let missing = || ActError::NotFound { noun: "raise", given: shortened(given) };
    let id = given.parse::<RaiseId>().map_err(|_| missing())?;
    let mut row = app.store.raise(app.org, id).await?;
    let raise = &mut row.raise;
    raise.decided_at = Some(now);
    raise.decided_by = Some(caller.actor.name.clone());
    let action = if decision.approve {
        if let Some(amount) = &decision.amount {
            raise.amount = read_amount(amount)?;
        }
        if let Some(until) = &decision.until {
            raise.until = Some(read_until(now, until)?);
        }
        let budget = app.store.budget(app.org, raise.budget).await?.budget;
        let until = raise.until.or(budget.bounds(now).1);
        let until =
            until.ok_or_else(|| ActError::field("until", "the budget never begins anew: say until when"))?;
        if until <= now {
            return Err(ActError::field("until", "what was asked for is over already: say until when"));
        }
        raise.until = Some(until);
        raise.state = RaiseState::Approved;
        "budget.approve"
    } else {
        raise.state = RaiseState::Denied;
        "budget.deny"
    };
    let act = told(caller.draft(now, action, object(raise)), raise).with("user", row.email.clone());
    app.store.decide_raise(app.org, raise, &act).await?;
    let in_force = (app.house.policy_changed)().await;
    Ok(Changed { now: row, in_force })
}

/// The hard budget that is meant, of those that count what somebody spends.
fn theirs(app: &App, principal: &Principal, given: Option<&str>) -> Result<Standing, ActError> {
    let mut hard = (app.house.budgets_of)(principal);
    hard.retain(|standing| standing.budget.mode == Mode::Hard);
    let Some(given) = given else {
        let fullest = hard.into_iter().max_by_key(Standing::used);
        return fullest.ok_or_else(|| ActError::field("budget", "no budget limits what you may spend"));
    };
    let id = read("budget", given.parse::<BudgetId>())?;
    let found = hard.into_iter().find(|standing| standing.budget.id == id);
    found.ok_or_else(|| ActError::field("budget", "no budget with this id limits what you may spend"))
}

fn read_amount(text: &str) -> Result<Nanos, ActError> {
    let amount = read("amount_usd", text.parse::<Nanos>())?;
    if amount > Nanos::ZERO {
        Ok(amount)
    } else {
        Err(ActError::field("amount_usd", "expected more than nothing"))
    }
}

fn read_until(now: UnixMillis, text: &str) -> Result<UnixMillis, ActError> {
    let until = read("until", ahead_of(now, text))?;
    let longest = now.plus_millis(LONGEST_RAISE_MS);
    if until <= longest { Ok(until) } else { Err(ActError::field("until", "a raise lasts 92 days at most")) }
}

fn object(raise: &Raise) -> Object {
    Object::new("budget", raise.budget, raise.id.to_string())
}

fn told(draft: Draft, raise: &Raise) -> Draft {
    draft
        .with("raise", raise.id.to_string())
        .with("amount_nanos", raise.amount.0)
        .with("until", raise.until.map(|at| at.to_string()).unwrap_or_default())
        .with("reason", raise.reason.clone())
}
