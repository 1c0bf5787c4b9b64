//! Budgets: make, change, remove, and why somebody is refused.

use gatehouse_domain::audit::{Draft, Object};
use gatehouse_domain::budget::{Budget, Mode, Period, Standing, WhenAway, read_thresholds};
use gatehouse_domain::id::BudgetId;
use gatehouse_domain::model::ModelScope;
use gatehouse_domain::money::Nanos;
use gatehouse_domain::role::Scope;
use gatehouse_domain::zone::Zone;
use gatehouse_store::budget::BudgetRow;
use gatehouse_store::{Listed, Page};

use crate::act::{ActError, Caller, Changed, read, shortened};
use crate::app::App;
use crate::holder::{self, Asking, Given};

/// Output tokens of a request to explain, when the caller does not say how many it allows: what the client asks for.
const OUTPUT: u64 = 32_000;

/// A budget to make, as the caller wrote it. Of the holders at most one is given; none of them is the organization.
#[derive(Debug, Clone, Default)]
pub struct NewBudget {
    /// A team, by id or name.
    pub team: Option<String>,
    /// A project, by id or name.
    pub project: Option<String>,
    /// A person, by id or address.
    pub user: Option<String>,
    /// A key, by id or the public part of its text.
    pub key: Option<String>,
    /// Only these models: a name, or the beginning of one followed by `*`.
    pub model: Option<String>,
    /// Only this provider.
    pub provider: Option<String>,
    /// `day`, `week`, `month` or `total`.
    pub period: String,
    /// Dollars.
    pub limit: String,
    /// `hard` if not given.
    pub mode: Option<String>,
    /// Percents.
    pub thresholds: Option<Vec<u8>>,
    /// `closed` if not given.
    pub when_away: Option<String>,
    /// A time zone; the organization's if not given.
    pub zone: Option<String>,
    /// Percent of the limit; none if not given.
    pub grace: Option<u8>,
}

/// What is to change of a budget.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Dollars.
    pub limit: Option<String>,
    /// `hard` or `shadow`.
    pub mode: Option<String>,
    /// Percents.
    pub thresholds: Option<Vec<u8>>,
    /// `open` or `closed`.
    pub when_away: Option<String>,
    /// Percent of the limit.
    pub grace: Option<u8>,
}

/// A budget as administrators see it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// As it is stored.
    pub row: BudgetRow,
    /// How it stands on this node; `None` while it is not counted.
    pub standing: Option<Standing>,
}

/// Makes a budget.
///
/// # Errors
/// More than one holder, or one that does not exist; a bad model, period, limit, mode or threshold; the database.
pub async fn add(app: &App, caller: &Caller, new: &NewBudget) -> Result<Changed<Shown>, ActError> {
    let now = app.now();
    let given = Given {
        team: new.team.as_deref(),
        project: new.project.as_deref(),
        user: new.user.as_deref(),
        key: new.key.as_deref(),
    };
    let (holder, holder_name) = holder::named(app, "a budget", &given).await?;
    let patterns: Vec<&str> = new.model.as_deref().into_iter().collect();
    let provider = new.provider.as_deref().map(|name| read_provider(app, name)).transpose()?;
    let budget = Budget {
        id: BudgetId::new(now, app.random_bits()),
        holder,
        models: read("model", ModelScope::only(&patterns))?,
        provider,
        period: read("period", new.period.parse::<Period>())?,
        zone: match &new.zone {
            Some(name) => read("time_zone", name.parse::<Zone>())?,
            None => (app.house.budget_zone)(),
        },
        limit: read("limit_usd", new.limit.parse::<Nanos>())?,
        raised: Vec::new(),
        grace: read_grace(new.grace.unwrap_or(0))?,
        mode: new.mode.as_deref().map_or(Ok(Mode::Hard), read_mode)?,
        thresholds: read("thresholds", read_thresholds(new.thresholds.as_deref()))?,
        when_away: new.when_away.as_deref().map_or(Ok(WhenAway::Closed), read_stance)?,
        created_at: now,
    };
    let act = told(caller.draft(now, "budget.add", object(&budget)), &budget)
        .with("holder_kind", holder.kind())
        .with("holder", holder_name.clone().unwrap_or_default())
        .with("model", new.model.clone().unwrap_or_default())
        .with("provider", budget.provider.clone().unwrap_or_default())
        .with("period", budget.period.as_str())
        .with("time_zone", budget.zone.name());
    app.store.create_budget(app.org, &budget, &act).await?;
    let in_force = (app.house.policy_changed)().await;
    Ok(Changed { now: shown(app, BudgetRow { budget, holder_name }), in_force })
}

/// Lists the budgets of a scope: all, those of a team, or those of a person.
///
/// # Errors
/// A bad page; the database.
pub async fn list(app: &App, scope: Scope, page: &Page) -> Result<Listed<Shown>, ActError> {
    let listed = app.store.budgets(app.org, holder::of_scope(scope), page).await?;
    Ok(Listed { items: listed.items.into_iter().map(|row| shown(app, row)).collect(), next: listed.next })
}

/// Looks a budget up within a scope.
///
/// # Errors
/// There is none within it; the database.
pub async fn get(app: &App, scope: Scope, given: &str) -> Result<Shown, ActError> {
    let missing = || ActError::NotFound { noun: "budget", given: shortened(given) };
    let id = given.parse::<BudgetId>().map_err(|_| missing())?;
    let row = app.store.budget(app.org, id).await?;
    let within = holder::of_scope(scope).is_none_or(|holder| row.budget.holder == holder);
    if within { Ok(shown(app, row)) } else { Err(missing()) }
}

/// Changes a budget. What was spent of it stays, also where that is more than the new limit: then nothing more passes.
/// Requests under way go on.
///
/// # Errors
/// There is none; a bad limit, mode or threshold; the database.
pub async fn set(
    app: &App,
    caller: &Caller,
    given: &str,
    change: &Change,
) -> Result<Changed<Shown>, ActError> {
    let mut row = get(app, Scope::Organization, given).await?.row;
    let before = row.budget.clone();
    if let Some(limit) = &change.limit {
        row.budget.limit = read("limit_usd", limit.parse())?;
    }
    if let Some(mode) = &change.mode {
        row.budget.mode = read_mode(mode)?;
    }
    if let Some(grace) = change.grace {
        row.budget.grace = read_grace(grace)?;
    }
    if let Some(list) = &change.thresholds {
        row.budget.thresholds = read("thresholds", read_thresholds(Some(list)))?;
    }
    if let Some(stance) = &change.when_away {
        row.budget.when_away = read_stance(stance)?;
    }
    let act = told(caller.draft(app.now(), "budget.set", object(&row.budget)), &row.budget)
        .with("before_limit_nanos", before.limit.0)
        .with("before_mode", before.mode.as_str())
        .with("before_when_away", before.when_away.as_str());
    app.store.set_budget(app.org, &row.budget, &act).await?;
    let in_force = (app.house.policy_changed)().await;
    Ok(Changed { now: shown(app, row), in_force })
}

/// Removes a budget.
///
/// # Errors
/// There is none; the database.
pub async fn remove(app: &App, caller: &Caller, given: &str) -> Result<Changed<Shown>, ActError> {
    let gone = get(app, Scope::Organization, given).await?;
    let act = told(caller.draft(app.now(), "budget.remove", object(&gone.row.budget)), &gone.row.budget);
    app.store.remove_budget(app.org, gone.row.budget.id, &act).await?;
    let in_force = (app.house.policy_changed)().await;
    Ok(Changed { now: gone, in_force })
}

/// What is to be explained, as the caller wrote it.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Who, by address or id.
    pub user: String,
    /// By which of their keys; its team and project are charged.
    pub key: Option<String>,
    /// Charged to which team, where no key is given.
    pub team: Option<String>,
    /// Which model; without one no cost can be told.
    pub model: Option<String>,
    /// Input tokens of the request.
    pub tokens: u64,
    /// Output tokens that it allows.
    pub max_tokens: Option<u64>,
}

/// A budget that applies.
#[derive(Debug, Clone)]
pub struct Applying {
    /// The budget.
    pub shown: Shown,
    /// Whether it would let the request through.
    pub passes: bool,
}

/// The answer.
#[derive(Debug, Clone)]
pub struct Explained {
    /// Whether all hard budgets would let the request through.
    pub passes: bool,
    /// The most that the request may cost; zero where no model is given.
    pub worst: Nanos,
    /// Every budget that applies.
    pub budgets: Vec<Applying>,
}

/// Says which budgets count what somebody spends, how they stand, and whether a request would pass, by the account that
/// the data path of this node decides by.
///
/// # Errors
/// Somebody or something that is named does not exist; a bad model name; the database.
pub async fn explain(app: &App, scope: Scope, asked: &Asked) -> Result<Explained, ActError> {
    let asking = Asking {
        user: &asked.user,
        key: asked.key.as_deref(),
        team: asked.team.as_deref(),
        model: asked.model.as_deref(),
    };
    let principal = holder::principal(app, scope, &asking).await?;
    let output = asked.max_tokens.unwrap_or(OUTPUT);
    let worst =
        asked.model.as_deref().map_or(Nanos::ZERO, |m| (app.house.worst_cost)(m, asked.tokens, output));
    let mut budgets = Vec::new();
    for standing in (app.house.budgets_of)(&principal) {
        if asked.model.as_deref().is_some_and(|model| !standing.budget.models.allows(model)) {
            continue;
        }
        // Removed meanwhile, or just made: the next look shows it.
        let Ok(row) = app.store.budget(app.org, standing.budget.id).await else { continue };
        let passes = standing.budget.mode == Mode::Shadow || standing.has_room(worst);
        budgets.push(Applying { shown: Shown { row, standing: Some(standing) }, passes });
    }
    Ok(Explained { passes: budgets.iter().all(|applying| applying.passes), worst, budgets })
}

fn shown(app: &App, row: BudgetRow) -> Shown {
    let standing = (app.house.budget)(row.budget.id);
    Shown { row, standing }
}

fn object(budget: &Budget) -> Object {
    Object::new("budget", budget.id, format!("{} {}", budget.holder.kind(), budget.period.as_str()))
}

fn told(draft: Draft, budget: &Budget) -> Draft {
    draft
        .with("limit_nanos", budget.limit.0)
        .with("mode", budget.mode.as_str())
        .with("when_away", budget.when_away.as_str())
        .with("grace_percent", u64::from(budget.grace))
        .with("thresholds", budget.thresholds.iter().map(u8::to_string).collect::<Vec<_>>())
}

fn read_mode(text: &str) -> Result<Mode, ActError> {
    let bad = || ActError::field("mode", format!("`{}` is no mode (hard or shadow)", shortened(text)));
    Mode::named(text).ok_or_else(bad)
}

fn read_stance(text: &str) -> Result<WhenAway, ActError> {
    let bad = || ActError::field("when_away", format!("`{}` is no stance (open or closed)", shortened(text)));
    WhenAway::named(text).ok_or_else(bad)
}

fn read_grace(percent: u8) -> Result<u8, ActError> {
    if percent <= 100 { Ok(percent) } else { Err(ActError::field("grace_percent", "expected 0 to 100")) }
}

fn read_provider(app: &App, name: &str) -> Result<String, ActError> {
    let known = (app.house.providers)().iter().any(|provider| provider.name == name);
    let missing = || ActError::field("provider", format!("there is no provider `{}`", shortened(name)));
    known.then(|| name.to_owned()).ok_or_else(missing)
}
