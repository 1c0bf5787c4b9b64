//! Limits on rates: make, remove, and how they stand for somebody.

use gatehouse_domain::audit::{Draft, Object};
use gatehouse_domain::id::LimitId;
use gatehouse_domain::limit::{Level, Limit, MAX_AMOUNT, Measure};
use gatehouse_domain::model::ModelScope;
use gatehouse_domain::role::Scope;
use gatehouse_store::limit::LimitRow;
use gatehouse_store::{Listed, Page};

use crate::act::{ActError, Caller, Changed, read, shortened};
use crate::app::App;
use crate::holder::{self, Asking, Given};

/// A limit to make, as the caller wrote it. Of the holders at most one is given; none of them is the organization.
#[derive(Debug, Clone, Default)]
pub struct NewLimit {
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
    /// `requests`, `input_tokens`, `output_tokens` or `concurrency`.
    pub measure: String,
    /// How much.
    pub amount: u64,
}

/// Makes a limit.
///
/// # Errors
/// More than one holder, or one that does not exist; a bad model, measure or amount; the database.
pub async fn add(app: &App, caller: &Caller, new: &NewLimit) -> Result<Changed<LimitRow>, ActError> {
    let now = app.now();
    let given = Given {
        team: new.team.as_deref(),
        project: new.project.as_deref(),
        user: new.user.as_deref(),
        key: new.key.as_deref(),
    };
    let (holder, holder_name) = holder::named(app, "a limit", &given).await?;
    let patterns: Vec<&str> = new.model.as_deref().into_iter().collect();
    if !(1..=MAX_AMOUNT).contains(&new.amount) {
        return Err(ActError::field("amount", format!("expected a whole number from 1 to {MAX_AMOUNT}")));
    }
    let limit = Limit {
        id: LimitId::new(now, app.random_bits()),
        holder,
        models: read("model", ModelScope::only(&patterns))?,
        measure: read_measure(&new.measure)?,
        amount: new.amount,
        created_at: now,
    };
    let act = told(caller.draft(now, "limit.add", object(&limit)), &limit)
        .with("holder_kind", holder.kind())
        .with("holder", holder_name.clone().unwrap_or_default())
        .with("model", new.model.clone().unwrap_or_default());
    app.store.create_limit(app.org, &limit, &act).await?;
    let in_force = (app.house.policy_changed)().await;
    Ok(Changed { now: LimitRow { limit, holder_name }, in_force })
}

/// Lists the limits of a scope: all, those of a team, or those of a person.
///
/// # Errors
/// A bad page; the database.
pub async fn list(app: &App, scope: Scope, page: &Page) -> Result<Listed<LimitRow>, ActError> {
    Ok(app.store.limits(app.org, holder::of_scope(scope), page).await?)
}

/// Removes a limit.
///
/// # Errors
/// There is none; the database.
pub async fn remove(app: &App, caller: &Caller, given: &str) -> Result<Changed<LimitRow>, ActError> {
    let missing = || ActError::NotFound { noun: "limit", given: shortened(given) };
    let gone = app.store.limit(app.org, given.parse::<LimitId>().map_err(|_| missing())?).await?;
    let act = told(caller.draft(app.now(), "limit.remove", object(&gone.limit)), &gone.limit);
    app.store.remove_limit(app.org, gone.limit.id, &act).await?;
    let in_force = (app.house.policy_changed)().await;
    Ok(Changed { now: gone, in_force })
}

/// What is to be explained, as the caller wrote it.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Who, by address or id.
    pub user: String,
    /// By which of their keys; its team and project count.
    pub key: Option<String>,
    /// With which model; without one all limits are shown.
    pub model: Option<String>,
}

/// A limit that applies.
#[derive(Debug, Clone)]
pub struct Applying {
    /// The limit.
    pub row: LimitRow,
    /// How it stands on this node.
    pub level: Level,
}

/// Says which limits count what somebody asks, and how they stand, by the account that the data path of this node decides
/// by.
///
/// # Errors
/// Somebody or something that is named does not exist; a bad model name; the database.
pub async fn explain(app: &App, scope: Scope, asked: &Asked) -> Result<Vec<Applying>, ActError> {
    let Asked { user, key, model } = asked;
    let asking = Asking { user, key: key.as_deref(), team: None, model: model.as_deref() };
    let principal = holder::principal(app, scope, &asking).await?;
    let mut applying = Vec::new();
    for level in (app.house.limits_of)(&principal, asked.model.as_deref()) {
        // Removed meanwhile: the next look shows it.
        let Ok(row) = app.store.limit(app.org, level.limit.id).await else { continue };
        applying.push(Applying { row, level });
    }
    Ok(applying)
}

fn object(limit: &Limit) -> Object {
    Object::new("limit", limit.id, format!("{} {}", limit.holder.kind(), limit.measure.as_str()))
}

fn told(draft: Draft, limit: &Limit) -> Draft {
    draft
        .with("measure", limit.measure.as_str())
        .with("amount", i64::try_from(limit.amount).unwrap_or(i64::MAX))
}

fn read_measure(text: &str) -> Result<Measure, ActError> {
    let bad = || {
        let known = Measure::ALL.map(Measure::as_str).join(", ");
        ActError::field("measure", format!("`{}` is no measure ({known})", shortened(text)))
    };
    Measure::named(text).ok_or_else(bad)
}
