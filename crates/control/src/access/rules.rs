//! Rules in force: the models of teams and the access policies, compiled for the data path.
//!
//! Policies are in the Cedar language (<https://docs.cedarpolicy.com>): what a `forbid` names is refused, whatever else
//! says; of the rest, what a `permit` names is let through. A policy that fails while it is evaluated lets nothing through.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr as _;
use std::sync::{Arc, LazyLock};

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Effect, Entities, Entity, EntityId, EntityTypeName,
    EntityUid, Policy, PolicyId, PolicySet, Request, Response, RestrictedExpression, Schema, ValidationMode,
    Validator,
};
use gatehouse_domain::access::{Question, Rule, Rules, Verdict};
use gatehouse_domain::data_class::Level;
use gatehouse_domain::exchange::Principal;
use gatehouse_domain::id::{ProjectId, TeamId, UserId};
use gatehouse_domain::model::plain_name;
use gatehouse_store::access::{AccessPolicy, Person, RuledProject, TeamModels};

/// The name of the policy that permits everything. It stands until an organization writes another one of that name.
pub const DEFAULT: &str = "default";
/// Its text.
pub const DEFAULT_TEXT: &str = "permit (principal, action, resource);\n";
/// What policies can speak of, in Cedar's schema language.
pub const SCHEMA: &str = include_str!("schema.cedarschema");

/// How deep brackets may stand in each other.
const MAX_DEPTH: usize = 32;
/// Most operators of a policy.
const MAX_TERMS: usize = 1000;

static PARSED: LazyLock<Schema> =
    LazyLock::new(|| Schema::from_cedarschema_str(SCHEMA).expect("our own schema is one").0);
static KINDS: LazyLock<Kinds> = LazyLock::new(Kinds::default);

/// The types of entities that policies name.
struct Kinds {
    user: EntityTypeName,
    team: EntityTypeName,
    project: EntityTypeName,
    provider: EntityTypeName,
    model: EntityTypeName,
    action: EntityUid,
}

impl Default for Kinds {
    fn default() -> Self {
        let kind = |name| EntityTypeName::from_str(name).expect("it is a name");
        Self {
            user: kind("User"),
            team: kind("Team"),
            project: kind("Project"),
            provider: kind("Provider"),
            model: kind("Model"),
            action: EntityUid::from_type_name_and_id(kind("Action"), EntityId::new("use")),
        }
    }
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

/// Reads a policy and sees that it speaks of what there is.
///
/// # Errors
/// What is wrong with it, in sentences, with line and column where there is a place.
pub fn check(name: &str, text: &str) -> Result<Effect, String> {
    let (depth, terms) = shape(text);
    if depth > MAX_DEPTH || terms > MAX_TERMS {
        return Err(format!(
            "it is too involved ({terms} operators, brackets {depth} deep; at most {MAX_TERMS} and {MAX_DEPTH}): each \
             request would wait for it; write several policies"
        ));
    }
    let policy = read(name, text)?;
    let effect = policy.effect();
    let mut set = PolicySet::new();
    set.add(policy).map_err(|e| e.to_string())?;
    let found = Validator::new(PARSED.clone()).validate(&set, ValidationMode::Strict);
    if found.validation_passed() {
        return Ok(effect);
    }
    let told: Vec<String> = found.validation_errors().map(ToString::to_string).collect();
    Err(told.join("; "))
}

/// How deep brackets stand in each other, and how many operators there are: both bound how deep the parsed policy is, and
/// how long it takes to evaluate. Strings are passed over.
fn shape(text: &str) -> (usize, usize) {
    let (mut depth, mut deepest, mut terms) = (0_usize, 0, 0);
    let (mut in_string, mut escaped) = (false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            _ if in_string => {}
            '(' | '[' | '{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            '!' | '-' | '+' | '*' | '&' | '|' | '.' | '=' | '<' | '>' => terms += 1,
            _ => {}
        }
    }
    (deepest, terms + text.matches("if").count())
}

fn read(name: &str, text: &str) -> Result<Policy, String> {
    Policy::parse(Some(PolicyId::new(name)), text).map_err(|errors| {
        let told: Vec<String> = errors.iter().map(|error| placed(text, error)).collect();
        told.join("; ")
    })
}

/// An error with its line and column.
fn placed(text: &str, error: &(impl miette::Diagnostic + ?Sized)) -> String {
    let at = error.labels().and_then(|mut labels| labels.next()).map(|label| label.offset());
    let Some(before) = at.and_then(|at| text.get(..at)) else { return error.to_string() };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}: {error}")
}

struct Team {
    name: Arc<str>,
    models: gatehouse_domain::model::ModelScope,
    class: Option<Box<str>>,
}

struct Project {
    name: Box<str>,
    class: Option<Box<str>>,
}

/// Where the data class of a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClassFrom<'a> {
    /// Nothing says anything of it: it is the lowest.
    Nowhere,
    /// The team that is charged, or one of the holder's teams when none is.
    Team(&'a str),
    /// The project that is charged.
    Project(&'a str),
    /// The client itself.
    Client,
}

struct Who {
    email: Box<str>,
    teams: Box<[TeamId]>,
}

/// The rules, compiled.
pub struct Compiled {
    people: HashMap<UserId, Who>,
    teams: HashMap<TeamId, Team>,
    projects: HashMap<ProjectId, Project>,
    policies: PolicySet,
    /// Policies that cannot be read: the first one's name.
    broken: Option<Arc<str>>,
    /// Whether there is anything but the built-in policy.
    has_policies: bool,
    /// Whether a policy may ask for the data class.
    speaks_of_classes: bool,
    authorizer: Authorizer,
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policies = self.policies.policies().count();
        f.debug_struct("Compiled")
            .field("teams", &self.teams.len())
            .field("policies", &policies)
            .finish_non_exhaustive()
    }
}

impl Compiled {
    /// Compiles what is stored.
    pub fn new(
        stored: &[AccessPolicy],
        teams: Vec<TeamModels>,
        people: Vec<Person>,
        projects: Vec<RuledProject>,
    ) -> Self {
        let (mut policies, mut broken) = (PolicySet::new(), None);
        let built_in = stored.iter().all(|policy| policy.name != DEFAULT).then_some((DEFAULT, DEFAULT_TEXT));
        for (name, text) in stored.iter().map(|policy| (&*policy.name, &*policy.text)).chain(built_in) {
            let added = read(name, text).and_then(|policy| policies.add(policy).map_err(|e| e.to_string()));
            if let Err(why) = added {
                tracing::error!(
                    policy = name,
                    why,
                    "an access policy cannot be read: nothing is let through"
                );
                broken.get_or_insert(name.into());
            }
        }
        let class = |class: Option<String>| class.map(String::into_boxed_str);
        let team = |team: TeamModels| {
            (team.id, Team { name: team.name.into(), models: team.models, class: class(team.data_class) })
        };
        let project = |project: RuledProject| {
            (project.id, Project { name: project.name.into(), class: class(project.data_class) })
        };
        let who =
            |person: Person| (person.id, Who { email: person.email.into(), teams: person.teams.into() });
        Self {
            people: people.into_iter().map(who).collect(),
            teams: teams.into_iter().map(team).collect(),
            projects: projects.into_iter().map(project).collect(),
            policies,
            broken,
            has_policies: !stored.is_empty(),
            speaks_of_classes: stored.iter().any(|policy| may_ask_for_class(&policy.text)),
            authorizer: Authorizer::new(),
        }
    }

    /// What the models of teams say: the team that a key charges, or else any of its holder's teams.
    fn by_team(&self, principal: &Principal, model: &str) -> Verdict {
        let of_holder = self.people.get(&principal.user).map_or(&[][..], |who| &who.teams);
        let named = principal.team.as_ref().map_or(of_holder, std::slice::from_ref);
        let mut against = None;
        for team in named.iter().filter_map(|id| self.teams.get(id)) {
            if team.models.allows(model) {
                let limited = team.models.patterns().is_some();
                let by = if limited { Rule::Team(Arc::clone(&team.name)) } else { Rule::None };
                return Verdict::allowed(by);
            }
            against.get_or_insert(&team.name);
        }
        against.map_or(Verdict::allowed(Rule::None), |name| Verdict::denied(Rule::Team(Arc::clone(name))))
    }

    /// The data class of a request: the highest of what its project, its team (or, without one, its sender's teams) and
    /// its client say, and where it comes from.
    pub(crate) fn class_of(&self, question: &Question<'_>) -> (Level, ClassFrom<'_>) {
        let mut found = (Level::default(), ClassFrom::Nowhere);
        let mut see = |class: &Option<Box<str>>, from| {
            let level = class.as_ref().map(|name| question.classes.level_of(name));
            if level.is_some_and(|level| found.1 == ClassFrom::Nowhere || level > found.0) {
                found = (level.unwrap_or_default(), from);
            }
        };
        let principal = question.principal;
        if let Some(project) = principal.project.and_then(|id| self.projects.get(&id)) {
            see(&project.class, ClassFrom::Project(&project.name));
        }
        let of_holder = self.people.get(&principal.user).map_or(&[][..], |who| &who.teams);
        let named = principal.team.as_ref().map_or(of_holder, std::slice::from_ref);
        for team in named.iter().filter_map(|id| self.teams.get(id)) {
            see(&team.class, ClassFrom::Team(&team.name));
        }
        if question.raised > found.0 { (question.raised, ClassFrom::Client) } else { found }
    }

    fn by_policy(&self, question: &Question<'_>) -> Verdict {
        if let Some(name) = &self.broken {
            return Verdict::denied(Rule::Broken(Arc::clone(name)));
        }
        let verdict = self.by_policy_as(question);
        let plain = plain_name(question.model);
        if !verdict.allowed || plain == question.model {
            return verdict;
        }
        // What forbids a model forbids it by every name: with a date, in capitals, as another provider writes it.
        let also = self.by_policy_as(&Question { model: &plain, ..*question });
        if also.allowed || also.by == Rule::NothingPermits { verdict } else { also }
    }

    /// By the name as it stands in the question.
    fn by_policy_as(&self, question: &Question<'_>) -> Verdict {
        match self.asked(question) {
            Ok(response) => answer(&self.policies, &response),
            Err(why) => {
                tracing::error!(why, "a question to the access policies cannot be asked: refused");
                Verdict::denied(Rule::NothingPermits)
            }
        }
    }

    fn asked(&self, question: &Question<'_>) -> Result<Response, String> {
        let kinds = &*KINDS;
        let Question { principal, model, provider, peer, stream, .. } = question;
        let who = self.people.get(&principal.user);
        let email = who.map_or("", |who| &*who.email);
        let team_uid = |id: &TeamId| self.teams.get(id).map(|team| uid(&kinds.team, &team.name));
        let teams: HashSet<EntityUid> =
            who.map_or(&[][..], |who| &who.teams).iter().filter_map(team_uid).collect();
        let (user, provider) = (uid(&kinds.user, email), uid(&kinds.provider, provider));
        let model_uid = uid(&kinds.model, model);
        let domain = email.rsplit_once('@').map_or("", |(_, domain)| domain);
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let mut entities: Vec<Entity> = teams.iter().map(|team| Entity::with_uid(team.clone())).collect();
        let entity = |uid: &EntityUid, attributes: Vec<(&str, RestrictedExpression)>, parents| {
            let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            Entity::new(uid.clone(), attributes, parents).map_err(|e| e.to_string())
        };
        entities.push(entity(&user, vec![("email", text(email)), ("domain", text(domain))], teams)?);
        entities.push(entity(&model_uid, vec![("name", text(model))], HashSet::from([provider.clone()]))?);
        entities.push(Entity::with_uid(provider));
        let network = peer.map_or_else(|| "0.0.0.0".to_owned(), |peer| peer.to_canonical().to_string());
        let mut context = vec![
            ("network".to_owned(), RestrictedExpression::new_ip(network)),
            ("stream".to_owned(), RestrictedExpression::new_bool(*stream)),
        ];
        if self.speaks_of_classes {
            let (level, _) = self.class_of(question);
            context.push(("data_class".to_owned(), text(question.classes.name(level))));
            let number = RestrictedExpression::new_long(level.number().into());
            context.push(("data_level".to_owned(), number));
        }
        let charged = principal.team.as_ref().and_then(team_uid);
        let project = principal.project.and_then(|id| self.projects.get(&id));
        let project = project.map(|project| uid(&kinds.project, &project.name));
        for (name, uid) in [("team", charged), ("project", project)] {
            context.extend(uid.map(|uid| (name.to_owned(), RestrictedExpression::new_entity_uid(uid))));
        }
        let context = Context::from_pairs(context).map_err(|e| e.to_string())?;
        let request =
            Request::new(user, kinds.action.clone(), model_uid, context, None).map_err(|e| e.to_string())?;
        let entities = Entities::from_entities(entities, None).map_err(|e| e.to_string())?;
        Ok(self.authorizer.is_authorized(&request, &self.policies, &entities))
    }
}

fn answer(policies: &PolicySet, response: &Response) -> Verdict {
    let named = |id: &PolicyId| -> Arc<str> { id.to_string().into() };
    if let Some(AuthorizationError::PolicyEvaluationError(error)) = response.diagnostics().errors().next() {
        tracing::error!(%error, "an access policy failed: refused");
        return Verdict::denied(Rule::Broken(named(error.policy_id())));
    }
    // The lowest name, so that the same question always gets the same answer. The built-in one is named last.
    let built_in_last = |id: &&PolicyId| (id.to_string() == DEFAULT, id.to_string());
    let reason = response.diagnostics().reason().min_by_key(built_in_last);
    let by = reason.map_or(Rule::NothingPermits, |id| Rule::Policy(named(id)));
    debug_assert!(reason.is_none_or(|id| policies.policy(id).is_some()));
    match response.decision() {
        Decision::Allow => Verdict::allowed(by),
        Decision::Deny => Verdict::denied(by),
    }
}

impl Rules for Compiled {
    fn decide(&self, question: &Question<'_>) -> Verdict {
        if !self.people.contains_key(&question.principal.user) {
            // Rules that speak of people or teams could not be asked about them.
            return Verdict::denied(Rule::NothingPermits);
        }
        let by_team = self.by_team(question.principal, question.model);
        if !by_team.allowed || !(self.has_policies || self.broken.is_some()) {
            return by_team;
        }
        self.by_policy(question)
    }

    fn speaks_of_classes(&self) -> bool {
        self.speaks_of_classes
    }
}

/// Whether a policy may ask for the data class: whether it uses the context in any way but for something else that is
/// named right behind it. Rather yes than no.
fn may_ask_for_class(text: &str) -> bool {
    const OTHERS: [&str; 6] = [".network", ".stream", ".team", ".project", " has team", " has project"];
    text.split("context").skip(1).any(|after| !OTHERS.iter().any(|other| after.starts_with(other)))
}

#[cfg(test)]
mod tests;
