//! How overhead is shared, and by which rates money is shown.

use gatehouse_domain::audit::Object;
use gatehouse_domain::money::Nanos;
use gatehouse_domain::name::Name;
use gatehouse_domain::report::allocate::{Allocation, Method, Source};
use gatehouse_domain::report::exchange_rate::{Currency, ExchangeRate};
use gatehouse_domain::role::Scope;
use gatehouse_domain::time::UnixMillis;

use crate::act::{ActError, Caller, read};
use crate::app::App;
use crate::team;

/// Most teams of a rule with fixed shares.
const MAX_SHARES: usize = 1000;

/// A rule, as the caller wrote it.
#[derive(Debug, Clone, Default)]
pub struct NewAllocation {
    /// `even`, `proportional` or `fixed`.
    pub method: String,
    /// Dollars a month; none shares what is charged to no team.
    pub amount: Option<String>,
    /// Teams, by id or name, with their weights.
    pub shares: Vec<(String, u64)>,
}

/// The rules, by name.
///
/// # Errors
/// The database.
pub async fn allocations(app: &App) -> Result<Vec<Allocation>, ActError> {
    Ok(app.store.allocations(app.org).await?)
}

/// Writes a rule. It holds for months that are not closed yet.
///
/// # Errors
/// A bad name, method, amount or share; a second rule for what is charged to no team; the database.
pub async fn set_allocation(
    app: &App,
    caller: &Caller,
    name: &str,
    new: &NewAllocation,
) -> Result<Allocation, ActError> {
    let name = read("name", Name::parse(name))?.to_string();
    let source = match &new.amount {
        None => Source::Unassigned,
        Some(text) => Source::Amount(read("amount_usd", text.parse::<Nanos>())?),
    };
    let method = match new.method.as_str() {
        "even" => Method::Even,
        "proportional" => Method::Proportional,
        "fixed" => Method::Fixed(read_shares(app, &new.shares).await?),
        _ => return Err(ActError::field("method", "expected `even`, `proportional` or `fixed`")),
    };
    if !matches!(method, Method::Fixed(_)) && !new.shares.is_empty() {
        return Err(ActError::field("shares", "only the method `fixed` has shares"));
    }
    let rule = Allocation { name, source, method };
    let amount = match rule.source {
        Source::Unassigned => "unassigned".to_owned(),
        Source::Amount(amount) => amount.to_string(),
    };
    let act = caller
        .draft(app.now(), "allocation.set", Object::new("allocation", &rule.name, &rule.name))
        .with("amount", amount)
        .with("method", rule.method.as_str())
        .with(
            "shares",
            new.shares.iter().map(|(team, weight)| format!("{team}={weight}")).collect::<Vec<_>>(),
        );
    app.store.set_allocation(app.org, &rule, &act).await?;
    Ok(rule)
}

/// Removes a rule. Closed months stay as they are.
///
/// # Errors
/// There is none of that name; the database.
pub async fn remove_allocation(app: &App, caller: &Caller, name: &str) -> Result<(), ActError> {
    let act = caller.draft(app.now(), "allocation.remove", Object::new("allocation", name, name));
    Ok(app.store.remove_allocation(app.org, name, &act).await?)
}

async fn read_shares(
    app: &App,
    given: &[(String, u64)],
) -> Result<Vec<(gatehouse_domain::id::TeamId, u64)>, ActError> {
    if given.is_empty() || given.len() > MAX_SHARES || given.iter().all(|(_, weight)| *weight == 0) {
        let told = format!("the method `fixed` needs 1 to {MAX_SHARES} teams with weights, not all zero");
        return Err(ActError::field("shares", told));
    }
    let mut shares = Vec::new();
    for (name, weight) in given {
        let team = team::named(app, Scope::Organization, "shares", name).await?.id;
        if shares.iter().any(|(other, _)| *other == team) {
            return Err(ActError::field("shares", format!("the team `{name}` is given twice")));
        }
        shares.push((team, *weight));
    }
    Ok(shares)
}

/// The exchange rates, by currency, the newest first.
///
/// # Errors
/// The database.
pub async fn rates(app: &App) -> Result<Vec<ExchangeRate>, ActError> {
    Ok(app.store.exchange_rates(app.org).await?)
}

/// Writes an exchange rate that holds from a UTC day on. Rates serve for display only.
///
/// # Errors
/// A bad currency, day or rate; the database.
pub async fn set_rate(
    app: &App,
    caller: &Caller,
    currency: &str,
    from: &str,
    rate: &str,
) -> Result<ExchangeRate, ActError> {
    let per_dollar = read("per_dollar", rate.parse::<Nanos>())?.0;
    if per_dollar == 0 {
        return Err(ActError::field("per_dollar", "a rate cannot be zero"));
    }
    let rate = ExchangeRate {
        currency: read("currency", currency.parse::<Currency>())?,
        from: read("from", from.parse::<UnixMillis>())?.day(),
        per_dollar,
    };
    let act = caller
        .draft(
            app.now(),
            "exchange_rate.set",
            Object::new("exchange_rate", rate.currency, rate.from.to_string()),
        )
        .with("per_dollar_billionths", per_dollar);
    app.store.set_exchange_rate(app.org, &rate, &act).await?;
    Ok(rate)
}

/// The rate at which a month is shown: the newest that holds before its end.
///
/// # Errors
/// A bad currency, or one without a rate; the database.
pub async fn rate_for(app: &App, currency: &str, end: UnixMillis) -> Result<ExchangeRate, ActError> {
    let currency = read("currency", currency.parse::<Currency>())?;
    let told = || format!("there is no exchange rate of {currency} for that month: set one first");
    let rate = app.store.exchange_rate(app.org, currency, end).await?;
    rate.ok_or_else(|| ActError::field("currency", told()))
}
