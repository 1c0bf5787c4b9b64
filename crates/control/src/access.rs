//! Who may use which model: access policies, and why something is refused.

pub mod rules;

use std::net::IpAddr;
use std::sync::Arc;

use cedar_policy::Effect;
use gatehouse_domain::access::Rules;
use gatehouse_domain::audit::Object;
use gatehouse_domain::budget::Budgets;
use gatehouse_domain::id::OrgId;
use gatehouse_domain::limit::Limits;
use gatehouse_domain::policy::Snapshot;
use gatehouse_domain::proxy::{Access, People};
use gatehouse_store::access::{AccessPolicy, TeamModels};
use gatehouse_store::{Store, StoreError};

use crate::act::{ActError, Caller, Changed, read, shortened};
use crate::app::App;
use rules::{Compiled, DEFAULT, DEFAULT_TEXT};

mod explain;

pub use explain::{Asked, Explained, Step, explain};

/// Most bytes of the texts of all access policies together.
pub const MAX_TOGETHER: usize = 128 * 1024;
/// Longest name of an access policy, in bytes.
const MAX_NAME: usize = 64;

/// An access policy as administrators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// As it is stored; the built-in one has its times at zero.
    pub policy: AccessPolicy,
    /// Whether it is the built-in one.
    pub built_in: bool,
}

/// Reads what the data path decides by: keys, the rules on models if there are any, budgets, limits, where the
/// forward proxy goes.
///
/// # Errors
/// There is no such organization; the database.
pub async fn load_snapshot(store: &Store, org: OrgId) -> Result<Snapshot, StoreError> {
    // The version is read first, with the keys: a change in between leads to another snapshot.
    let snapshot = store.load_snapshot(org).await?;
    let budgets = Budgets::new(store.all_budgets(org).await?);
    let limits = Limits::new(store.all_limits(org).await?);
    let (policy, people) = store.proxy_access(org).await?;
    let proxy = Access { policy, people: People::new(people) };
    let snapshot = snapshot.with_rules(load_rules(store, org).await?);
    Ok(snapshot.with_budgets(budgets).with_limits(limits).with_proxy(proxy))
}

/// The rules; `None` when there are none, so that nobody has to be asked.
async fn load_rules(store: &Store, org: OrgId) -> Result<Option<Arc<dyn Rules>>, StoreError> {
    let (policies, teams) = (store.access_policies(org).await?, store.team_models(org).await?);
    if policies.is_empty() && teams.iter().all(|team| team.models.patterns().is_none()) {
        return Ok(None);
    }
    Ok(Some(Arc::new(compile(store, org, &policies, teams).await?)))
}

async fn compile(
    store: &Store,
    org: OrgId,
    policies: &[AccessPolicy],
    teams: Vec<TeamModels>,
) -> Result<Compiled, StoreError> {
    let (people, projects) = (store.people(org).await?, store.ruled_projects(org).await?);
    Ok(Compiled::new(policies, teams, people, projects))
}

/// Lists the access policies by name, the built-in one included unless another stands in its place.
///
/// # Errors
/// The database.
pub async fn list(app: &App) -> Result<Vec<Shown>, ActError> {
    let stored = app.store.access_policies(app.org).await?;
    let mut all: Vec<Shown> = stored.into_iter().map(|policy| Shown { policy, built_in: false }).collect();
    if all.iter().all(|shown| shown.policy.name != DEFAULT) {
        all.push(built_in());
        all.sort_by(|a, b| a.policy.name.cmp(&b.policy.name));
    }
    Ok(all)
}

/// Looks an access policy up.
///
/// # Errors
/// There is none of that name; the database.
pub async fn get(app: &App, name: &str) -> Result<Shown, ActError> {
    let found = list(app).await?.into_iter().find(|shown| shown.policy.name == name);
    found.ok_or_else(|| ActError::NotFound { noun: "access policy", given: shortened(name) })
}

/// Writes an access policy, new or in place of the one of that name.
///
/// # Errors
/// A bad name; a text that is no policy or speaks of what there is not; too many; the database.
pub async fn put(app: &App, caller: &Caller, name: &str, text: &str) -> Result<Changed<Shown>, ActError> {
    let name = read("name", read_name(name))?;
    let effect = check(name, text)?;
    let others = app.store.access_policies(app.org).await?;
    let together: usize =
        others.iter().filter(|other| other.name != name).map(|other| other.text.len()).sum();
    if together + text.len() > MAX_TOGETHER {
        let told = format!(
            "all access policies together may have {MAX_TOGETHER} bytes, since each request waits for them; the others have \
             {together}"
        );
        return Err(ActError::field("text", told));
    }
    let act = caller
        .draft(app.now(), "access_policy.put", Object::new("access_policy", name, name))
        .with("effect", effect_text(effect))
        .with("text_sha256", gatehouse_domain::audit::Hash::of(text.as_bytes()).to_string());
    let policy = app.store.put_access_policy(app.org, name, text, &act).await?;
    let in_force = (app.house.policy_changed)().await;
    Ok(Changed { now: Shown { policy, built_in: false }, in_force })
}

/// Removes an access policy. Where `default` was, the built-in one stands again.
///
/// # Errors
/// There is none of that name; the database.
pub async fn remove(app: &App, caller: &Caller, name: &str) -> Result<Changed<()>, ActError> {
    let act = caller.draft(app.now(), "access_policy.remove", Object::new("access_policy", name, name));
    app.store.remove_access_policy(app.org, name, &act).await?;
    let in_force = (app.house.policy_changed)().await;
    Ok(Changed { now: (), in_force })
}

/// Says what is wrong with a text, and what a policy does.
///
/// # Errors
/// [`ActError::Field`] of `text`, with line and column where there is a place.
pub fn check(name: &str, text: &str) -> Result<Effect, ActError> {
    if text.len() > gatehouse_store::access::MAX_TEXT {
        let most = gatehouse_store::access::MAX_TEXT;
        return Err(ActError::field("text", format!("is longer than {most} bytes")));
    }
    rules::check(name, text).map_err(|why| ActError::field("text", why))
}

/// `permit` or `forbid`.
pub const fn effect_text(effect: Effect) -> &'static str {
    match effect {
        Effect::Permit => "permit",
        Effect::Forbid => "forbid",
    }
}

fn built_in() -> Shown {
    let never = gatehouse_domain::time::UnixMillis(0);
    let (name, text) = (DEFAULT.to_owned(), DEFAULT_TEXT.to_owned());
    Shown { policy: AccessPolicy { name, text, created_at: never, changed_at: never }, built_in: true }
}

/// Names stand in addresses and in refusals: lower case, digits and hyphens.
fn read_name(text: &str) -> Result<&str, String> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if text.is_empty() || text.len() > MAX_NAME || !text.bytes().all(good) {
        let given = shortened(text);
        return Err(format!(
            "`{given}` cannot be the name of an access policy: expected 1 to {MAX_NAME} of a-z, 0-9 and `-`"
        ));
    }
    Ok(text)
}

/// The rules of this moment, as the data path has them.
pub(crate) async fn rules_now(app: &App) -> Result<Compiled, ActError> {
    let (policies, teams) =
        (app.store.access_policies(app.org).await?, app.store.team_models(app.org).await?);
    Ok(compile(&app.store, app.org, &policies, teams).await?)
}

/// A data class as a caller wrote it, which the configured order must have. None for an empty text.
pub(crate) fn read_class<'a>(app: &App, given: Option<&'a str>) -> Result<Option<&'a str>, ActError> {
    let Some(name) = given else { return Ok(None) };
    let classes = (app.house.data_classes)();
    if classes.find(name).is_some() {
        return Ok(Some(name));
    }
    let known: Vec<&str> = classes.names().collect();
    let (given, known) = (shortened(name), known.join(", "));
    let told = format!("there is no data class `{given}`; the configuration has {known} (data_class.order)");
    Err(ActError::field("data_class", told))
}

/// An address as a caller wrote it.
pub(crate) fn read_address(text: &str) -> Result<IpAddr, ActError> {
    text.parse().map_err(|_| ActError::field("from", format!("`{}` is not an IP address", shortened(text))))
}
