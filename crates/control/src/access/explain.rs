//! Why somebody may use a model, or may not.

use gatehouse_domain::access::{Question, Rule, Rules as _};
use gatehouse_domain::directory::{KeyInfo, User, UserState};
use gatehouse_domain::exchange::{Credential, Principal};
use gatehouse_domain::id::KeyId;
use gatehouse_domain::model::is_model_name;
use gatehouse_domain::role::Scope;

use super::rules::ClassFrom;
use super::{read_address, read_class, rules_now};
use crate::act::{ActError, shortened};
use crate::app::App;
use crate::{key, project, team, user};

/// What is asked, as the caller wrote it.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Who, by address or id.
    pub user: String,
    /// Which model.
    pub model: String,
    /// By which key, by id.
    pub key: Option<String>,
    /// Charged to which team, by name or id; the key's if a key is given.
    pub team: Option<String>,
    /// Charged to which project, by name or id; the key's if a key is given.
    pub project: Option<String>,
    /// Of which provider; the first one if not given.
    pub provider: Option<String>,
    /// From which address.
    pub from: Option<String>,
    /// With which data class as the client says it.
    pub data_class: Option<String>,
}

/// One check of several, in the order in which the data path makes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is checked: `user`, `key`, `key_models`, `data_class`, `rules`.
    pub check: &'static str,
    /// Whether it lets through.
    pub allowed: bool,
    /// Which rule, in words.
    pub by: String,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// Whether they may.
    pub allowed: bool,
    /// Every check up to the one that decided.
    pub steps: Vec<Step>,
}

/// Answers for somebody within a scope by what is stored now, by the same code as the data path.
///
/// # Errors
/// Something that is named does not exist; a bad address or model name; the database.
pub async fn explain(app: &App, scope: Scope, asked: &Asked) -> Result<Explained, ActError> {
    if !is_model_name(&asked.model) {
        return Err(ActError::field("model", format!("`{}` is not a model's name", shortened(&asked.model))));
    }
    let holder = user::named(app, scope, "user", &asked.user).await?;
    let given_key = match &asked.key {
        Some(given) => Some(held_key(app, scope, &holder, given).await?),
        None => None,
    };
    let peer = asked.from.as_deref().map(read_address).transpose()?;
    let principal = principal(app, scope, asked, &holder, given_key.as_ref()).await?;
    let provider = match &asked.provider {
        Some(name) => name.clone(),
        None => (app.house.providers)().into_iter().next().map(|first| first.name).unwrap_or_default(),
    };
    let classes = (app.house.data_classes)();
    let raised = read_class(app, asked.data_class.as_deref())?.map(|name| classes.level_of(name));
    let question = Question {
        principal: &principal,
        model: &asked.model,
        provider: &provider,
        peer,
        stream: true,
        classes: &classes,
        raised: raised.unwrap_or_default(),
    };
    let compiled = rules_now(app).await?;
    let verdict = compiled.decide(&question);
    let (level, from) = compiled.class_of(&question);
    let by = of_class(scope, classes.name(level), level.number(), from);
    let class = Step { check: "data_class", allowed: true, by };
    let rules = Step { check: "rules", allowed: verdict.allowed, by: said(&verdict.by) };
    let steps = [Some(of_user(&holder)), given_key.as_ref().map(|key| of_key(app, key))]
        .into_iter()
        .chain([given_key.as_ref().map(|key| of_scope(key, &asked.model)), Some(class), Some(rules)])
        .flatten();
    let mut explained = Explained { allowed: true, steps: Vec::new() };
    for step in steps {
        explained.allowed = step.allowed;
        explained.steps.push(step);
        if !explained.allowed {
            break;
        }
    }
    Ok(explained)
}

async fn held_key(app: &App, scope: Scope, holder: &User, given: &str) -> Result<KeyInfo, ActError> {
    let missing = || ActError::field("key", "it is no key of this user");
    let found =
        key::within(app, scope, given).await.map_err(|e| if e.is_not_found() { missing() } else { e })?;
    if found.user == holder.id { Ok(found) } else { Err(missing()) }
}

async fn principal(
    app: &App,
    scope: Scope,
    asked: &Asked,
    holder: &User,
    given_key: Option<&KeyInfo>,
) -> Result<Principal, ActError> {
    if scope != Scope::Organization && asked.project.is_some() {
        return Err(ActError::field("project", "only who acts for the whole organization asks for projects"));
    }
    // What the key charges is not asked for, and may lie outside.
    let team = match (&asked.team, given_key.and_then(|key| key.team.as_ref())) {
        (Some(given), _) => Some(team::named(app, scope, "team", given).await?.id),
        (None, Some(charged)) => Some(team::named(app, Scope::Organization, "team", charged).await?.id),
        (None, None) => None,
    };
    let project = match asked.project.as_ref().or_else(|| given_key?.project.as_ref()) {
        Some(given) => Some(project::named(app, "project", given).await?.id),
        None => None,
    };
    let credential = Credential::Key(given_key.map_or_else(|| KeyId::from_bits(0), |key| key.id));
    Ok(Principal { org: app.org, user: holder.id, credential, team, project })
}

fn of_user(holder: &User) -> Step {
    let allowed = holder.state == UserState::Active;
    let by = if allowed { "the user is active" } else { "the user is disabled" };
    Step { check: "user", allowed, by: by.to_owned() }
}

fn of_key(app: &App, key: &KeyInfo) -> Step {
    let expired = key.expires_at.is_some_and(|at| at <= app.now());
    let (allowed, by) = match key.state {
        gatehouse_domain::directory::KeyState::Revoked => (false, "the key is revoked"),
        gatehouse_domain::directory::KeyState::Disabled => (false, "the key is disabled"),
        gatehouse_domain::directory::KeyState::Active if expired => (false, "the key has expired"),
        gatehouse_domain::directory::KeyState::Active => (true, "the key works"),
    };
    Step { check: "key", allowed, by: by.to_owned() }
}

fn of_scope(key: &KeyInfo, model: &str) -> Step {
    let by = key.models.patterns().map_or_else(
        || "the key may use every model".to_owned(),
        |patterns| format!("the key may use only {}", patterns.join(", ")),
    );
    Step { check: "key_models", allowed: key.models.allows(model), by }
}

/// What a limited administrator is told leaves out the names of what may lie outside of their scope.
fn of_class(scope: Scope, name: &str, level: u8, from: ClassFrom<'_>) -> String {
    let whole = scope == Scope::Organization;
    let from = match from {
        ClassFrom::Nowhere => "since neither team nor project has a class".to_owned(),
        ClassFrom::Client => "as the client says".to_owned(),
        ClassFrom::Team(name) if whole => format!("of the team `{name}`"),
        ClassFrom::Project(name) if whole => format!("of the project `{name}`"),
        ClassFrom::Team(_) => "of a team".to_owned(),
        ClassFrom::Project(_) => "of the project".to_owned(),
    };
    format!("the data is `{name}` (level {level}), {from}")
}

fn said(rule: &Rule) -> String {
    if *rule == Rule::None { "no rule is against it".to_owned() } else { rule.to_string() }
}
