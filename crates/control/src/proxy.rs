//! The forward proxy: its access rules, its tunnels, and why somebody gets somewhere or not.

use std::str::FromStr;

use gatehouse_domain::audit::{Draft, Object};
use gatehouse_domain::network::Network;
use gatehouse_domain::proxy::{
    Action, Answer, Answers, Decision, Destination, Form, Gate, Holder, Host, HostPattern, Question, Rule,
    Verdict, Window, decide, is_rule_name,
};
use gatehouse_domain::role::Scope;
use gatehouse_store::proxy::RuleRow;
use gatehouse_store::tunnel::{TunnelFilter, TunnelRow};
use gatehouse_store::{Listed, Page};

use crate::act::{ActError, Caller, Changed, Range, read, shortened};
use crate::app::{App, Later};
use crate::{team, user};

/// Most hosts, ports and networks of a rule, each.
const MAX_ITEMS: usize = 100;

/// What the rest of the process knows of the proxy.
pub struct Face {
    /// What its configuration allows; none where it is off.
    pub gate: Box<dyn Fn() -> Option<Gate> + Send + Sync>,
    /// The addresses of a destination, as the proxy of this node finds them; none when it cannot.
    pub addresses: Box<dyn Fn(Destination) -> Later<Option<Vec<Answer>>> + Send + Sync>,
    /// Whether a parent proxy looks up what has no address here.
    pub is_by_parent: Box<dyn Fn(&Destination) -> bool + Send + Sync>,
    /// Whether a tunnel to this host is looked into.
    pub looks: Box<dyn Fn(&Host) -> Look + Send + Sync>,
    /// Brings the records of tunnels into the database, as far as that can be done now.
    pub flush: Box<dyn Fn() -> Later<()> + Send + Sync>,
}

impl Face {
    /// Of a process without the proxy.
    pub fn absent() -> Self {
        Self {
            gate: Box::new(|| None),
            addresses: Box::new(|_| Box::pin(async { None })),
            is_by_parent: Box::new(|_| false),
            looks: Box::new(|_| Look::default()),
            flush: Box::new(|| Box::pin(async {})),
        }
    }
}

/// Whether a tunnel to a host is looked into.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Look {
    /// Whether it is.
    pub is_inside: bool,
    /// Which setting says so, in words.
    pub why: String,
    /// Why it is refused instead, where it is to be looked into and cannot be.
    pub problem: Option<String>,
}

/// A rule to add, as the caller wrote it.
#[derive(Debug, Clone, Default)]
pub struct NewRule {
    /// Its name.
    pub name: String,
    /// `allow`, `deny` or `report`.
    pub action: String,
    /// Of a team, by id or name.
    pub team: Option<String>,
    /// Of a person, by id or address.
    pub user: Option<String>,
    /// Host patterns.
    pub hosts: Vec<String>,
    /// Ports; none for all that the proxy goes to.
    pub ports: Vec<u16>,
    /// Whether plain HTTP goes through.
    pub plain: bool,
    /// Networks that the hosts may lie in.
    pub internal: Vec<String>,
    /// When it counts.
    pub times: Option<String>,
    /// The rule that it stands in front of; at the end if none.
    pub before: Option<String>,
}

/// Lists the rules in their order.
///
/// # Errors
/// The database.
pub async fn rules(app: &App) -> Result<Vec<RuleRow>, ActError> {
    Ok(app.store.proxy_rules(app.org).await?)
}

/// Adds a rule.
///
/// # Errors
/// A field that cannot be used; there is one of its name; there are too many; the database.
pub async fn add(app: &App, caller: &Caller, new: &NewRule) -> Result<Changed<RuleRow>, ActError> {
    let now = app.now();
    let (holder, holder_name) = read_holder(app, new).await?;
    if !is_rule_name(&new.name) {
        let told = "expected 1 to 64 letters, digits, `-`, `_` and `.`, and none of the proxy's own rules";
        return Err(ActError::field("name", told));
    }
    let bad_action = || {
        ActError::field(
            "action",
            format!("`{}` is no action (allow, deny or report)", shortened(&new.action)),
        )
    };
    let rule = Rule {
        name: new.name.as_str().into(),
        holder,
        action: Action::named(&new.action).ok_or_else(bad_action)?,
        hosts: items::<HostPattern>("hosts", &new.hosts)?,
        ports: new.ports.clone(),
        plain: new.plain,
        internal: items::<Network>("internal", &new.internal)?,
        window: read("times", new.times.as_deref().map(Window::from_str).transpose())?,
    };
    if rule.hosts.is_empty() {
        return Err(ActError::field("hosts", "a rule needs at least one host"));
    }
    if rule.ports.len() > MAX_ITEMS || rule.ports.contains(&0) {
        return Err(ActError::field("ports", format!("expected at most {MAX_ITEMS} ports from 1 to 65535")));
    }
    let row = RuleRow { rule, holder_name, created_at: now };
    let act = told(caller.draft(now, "proxy_rule.add", object(&row)), &row)
        .with("before", new.before.clone().unwrap_or_default());
    app.store.add_proxy_rule(app.org, &row, new.before.as_deref(), &act).await?;
    let in_force = (app.house.policy_changed)().await;
    Ok(Changed { now: row, in_force })
}

/// Removes a rule. Tunnels that no other rule allows are ended within seconds.
///
/// # Errors
/// There is none of that name; the database.
pub async fn remove(app: &App, caller: &Caller, name: &str) -> Result<Changed<RuleRow>, ActError> {
    let missing = || ActError::NotFound { noun: "proxy rule", given: shortened(name) };
    let gone = rules(app).await?.into_iter().find(|row| &*row.rule.name == name).ok_or_else(missing)?;
    let act = told(caller.draft(app.now(), "proxy_rule.remove", object(&gone)), &gone);
    app.store.remove_proxy_rule(app.org, name, &act).await?;
    let in_force = (app.house.policy_changed)().await;
    Ok(Changed { now: gone, in_force })
}

/// Which tunnels are wanted, as the caller wrote it.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Those of this person, by address or id.
    pub user: Option<String>,
    /// Those that began at this time or later.
    pub since: Option<String>,
    /// Those with this verdict.
    pub verdict: Option<String>,
    /// Those to this host.
    pub host: Option<String>,
}

/// Lists tunnels, newest first, within a scope: of a team those of its members.
///
/// # Errors
/// A bad page, time or verdict, an unknown user; the database.
pub async fn tunnels(
    app: &App,
    scope: Scope,
    wanted: &Wanted,
    page: &Page,
) -> Result<Listed<TunnelRow>, ActError> {
    (app.house.proxy.flush)().await;
    let (since, _) = Range { since: wanted.since.clone(), until: None }.read(app.now())?;
    if let Some(verdict) = wanted.verdict.as_deref().filter(|verdict| Verdict::named(verdict).is_none()) {
        let told = format!("`{}` is no verdict (allow, report or deny)", shortened(verdict));
        return Err(ActError::field("verdict", told));
    }
    let (user, team) = match (&wanted.user, scope) {
        (Some(given), _) => (Some(user::named(app, scope, "user", given).await?.id), None),
        (None, Scope::Organization) => (None, None),
        (None, Scope::Team(id)) => (None, Some(id)),
        (None, Scope::User(id)) => (Some(id), None),
    };
    let filter = TunnelFilter {
        user,
        team,
        since,
        verdict: wanted.verdict.clone(),
        host: wanted.host.as_ref().map(|host| host.to_lowercase()),
    };
    Ok(app.store.tunnels(app.org, &filter, page).await?)
}

/// What would become of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The destination as it was read.
    pub destination: String,
    /// What would be decided.
    pub verdict: Verdict,
    /// The rule that decides.
    pub rule: String,
    /// Why, in words.
    pub why: String,
    /// The addresses that were looked at.
    pub addresses: Vec<String>,
    /// Whether it would be looked into, and which setting says so; none where nothing would go through.
    pub inspection: Option<(bool, String)>,
}

/// Says what would become of a connection of somebody, by what is stored now and by what this node's proxy looks up, with the
/// proxy's own decision.
///
/// # Errors
/// The proxy is off; the user does not exist; the destination cannot be read; the database.
pub async fn explain(
    app: &App,
    scope: Scope,
    who: &str,
    text: &str,
    form: Form,
) -> Result<Explained, ActError> {
    let off = || ActError::field("host", "the forward proxy is off on this node (`listen.proxy`)");
    let gate = (app.house.proxy.gate)().ok_or_else(off)?;
    let holder = user::named(app, scope, "user", who).await?;
    let default = match form {
        Form::Connect => 443,
        Form::Plain => 80,
    };
    let destination = read("host", Destination::parse(text, Some(default)))?;
    if holder.state != gatehouse_domain::directory::UserState::Active {
        let why = "this person is disabled".to_owned();
        return Ok(refused(&destination, "identity", why, Vec::new()));
    }
    let (policy, members) = app.store.proxy_access(app.org).await?;
    let teams = members.into_iter().find(|member| member.user == holder.id).map(|member| member.teams);
    let person = gatehouse_domain::proxy::Who { user: holder.id, teams: teams.unwrap_or_default() };
    let question = Question { who: Some(&person), form, destination: &destination, now: app.now() };
    let mut found = Vec::new();
    let mut decision = decide(&gate, &policy, &question, Answers::NotAsked);
    if decision == Decision::Resolve {
        let looked = (app.house.proxy.addresses)(destination.clone()).await;
        let answers = match looked.as_deref() {
            None | Some([]) if (app.house.proxy.is_by_parent)(&destination) => Answers::Delegated,
            None => Answers::Failed,
            Some(found) => Answers::Found(found),
        };
        decision = decide(&gate, &policy, &question, answers);
        found = looked.unwrap_or_default().iter().map(|answer| answer.address.to_string()).collect();
    }
    Ok(match decision {
        Decision::Refuse(refusal) => refused(&destination, &refusal.rule, refusal.why.into_owned(), found),
        Decision::Gateway => Explained {
            verdict: Verdict::Allow,
            why: "it is a name of our own gateway".to_owned(),
            inspection: Some((false, "it goes to our own gateway".to_owned())),
            ..refused(&destination, "gateway", String::new(), found)
        },
        Decision::Dial(dial) => {
            let look = match form {
                Form::Connect => (app.house.proxy.looks)(&destination.host),
                Form::Plain => Look { why: "it is plain HTTP".to_owned(), ..Look::default() },
            };
            if let Some(problem) = look.problem {
                let why = format!("it is to be looked into ({}), and {problem}", look.why);
                return Ok(refused(&destination, "inspection", why, found));
            }
            Explained {
                verdict: if dial.report { Verdict::Report } else { Verdict::Allow },
                why: if dial.report { "a rule lets it through and reports it" } else { "a rule allows it" }
                    .to_owned(),
                inspection: Some((look.is_inside, look.why)),
                ..refused(&destination, &dial.rule, String::new(), found)
            }
        }
        Decision::Resolve => {
            refused(&destination, "resolution", "the name cannot be looked up now".to_owned(), found)
        }
    })
}

fn refused(destination: &Destination, rule: &str, why: String, addresses: Vec<String>) -> Explained {
    let (destination, rule) = (destination.to_string(), rule.to_owned());
    Explained { destination, verdict: Verdict::Deny, rule, why, addresses, inspection: None }
}

fn items<T: FromStr<Err: ToString>>(field: &'static str, given: &[String]) -> Result<Vec<T>, ActError> {
    if given.len() > MAX_ITEMS {
        return Err(ActError::field(field, format!("expected at most {MAX_ITEMS}")));
    }
    given.iter().map(|text| read(field, text.parse())).collect()
}

async fn read_holder(app: &App, new: &NewRule) -> Result<(Holder, Option<String>), ActError> {
    let everywhere = Scope::Organization;
    Ok(match (&new.team, &new.user) {
        (None, None) => (Holder::Organization, None),
        (Some(given), None) => {
            let team = team::named(app, everywhere, "team", given).await?;
            (Holder::Team(team.id), Some(team.name))
        }
        (None, Some(given)) => {
            let user = user::named(app, everywhere, "user", given).await?;
            (Holder::User(user.id), Some(user.email))
        }
        (Some(_), Some(_)) => {
            return Err(ActError::field("user", "a rule concerns everybody, a team or a user"));
        }
    })
}

fn object(row: &RuleRow) -> Object {
    Object::new("proxy_rule", &*row.rule.name, &*row.rule.name)
}

fn told(draft: Draft, row: &RuleRow) -> Draft {
    let rule = &row.rule;
    draft
        .with("action", rule.action.as_str())
        .with("holder", row.holder_name.clone().unwrap_or_default())
        .with("hosts", rule.hosts.iter().map(ToString::to_string).collect::<Vec<_>>())
        .with("ports", rule.ports.iter().map(ToString::to_string).collect::<Vec<_>>())
        .with("plain", rule.plain.to_string())
        .with("internal", rule.internal.iter().map(ToString::to_string).collect::<Vec<_>>())
        .with("times", rule.window.map(|window| window.to_string()).unwrap_or_default())
}
