//! Which provider a request would go to now, which others could take its place, and why not the rest. Told by the code that
//! decides.

use gatehouse_domain::access::Question;
use gatehouse_domain::exchange::Principal;
use gatehouse_domain::policy::Snapshot;
use gatehouse_domain::routing::{CacheUse, Resolved, Route, fingerprint, session_key};
use gatehouse_domain::time::UnixMillis;

use crate::route::{ordered, rule, seats};
use crate::routes::{Routes, watched};
use crate::settings::Settings;

/// What a request would be.
pub struct Asked<'a> {
    /// Whose.
    pub principal: &'a Principal,
    /// The model that the client asks for.
    pub model: &'a str,
    /// The client's session.
    pub session: Option<&'a str>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The model that is meant; none if the one asked for is out of use.
    pub model: Option<String>,
    /// What the client is told of the model's end.
    pub notice: Option<String>,
    /// Which rule decides, in words.
    pub rule: String,
    /// The provider that the session was with last, as far as this node remembers.
    pub session_with: Option<String>,
    /// How providers' caches are used by requests of the same route, as far as this node has seen them.
    pub cache: CacheUse,
    /// In the order in which they are asked.
    pub candidates: Vec<Candidate>,
    /// Providers that are not asked, and why.
    pub left_out: Vec<(String, String)>,
}

/// A provider that may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub provider: String,
    /// The model that it is asked for.
    pub model: String,
    /// Its region.
    pub region: String,
    /// Its share among those of the same priority.
    pub weight: u32,
    /// The smallest is asked first.
    pub priority: u32,
    /// Where its signatures of thinking are valid.
    pub family: String,
    /// How it fares, in words.
    pub state: String,
    /// Whether it would be asked now.
    pub usable: bool,
}

/// Explains where a request would go.
pub fn explain(
    settings: &Settings,
    policy: &Snapshot,
    routes: &Routes,
    asked: &Asked<'_>,
    now: UnixMillis,
) -> Explained {
    let routing = &settings.routing;
    let (model, notice) = match routing.resolve(asked.model, now) {
        Resolved::Itself(alias) => (Some(asked.model), alias),
        Resolved::Other(model, alias) => (Some(model), alias),
        Resolved::Retired(alias) => (None, Some(alias)),
    };
    let mut out = Explained {
        model: model.map(str::to_owned),
        notice: notice.map(gatehouse_domain::routing::Alias::notice),
        rule: String::new(),
        session_with: None,
        cache: CacheUse::default(),
        candidates: Vec::new(),
        left_out: Vec::new(),
    };
    let Some(model) = model else { return out };
    out.rule = rule(routing, model, asked.principal.team);
    let route = routing.route(model, asked.principal.team);
    let watched = watched(route.map(|route| route.name.as_str()));
    let used = routes.cache_use(now).into_iter().find(|(name, _)| name == watched);
    out.cache = used.map(|(_, used)| used).unwrap_or_default();
    let session = asked.session.map(|session| session_key(asked.principal.user.bits(), session));
    let known = session.and_then(|session| routes.peek(session));
    let named = |name: u64| settings.providers.iter().find(|provider| fingerprint(&provider.name) == name);
    out.session_with = known.and_then(named).map(|provider| provider.name.to_string());
    let stays = known.filter(|_| route.is_none_or(|route| route.affinity));
    let fallback = route.and_then(|route| route.fallback.as_deref()).filter(|other| *other != model);
    for model in std::iter::once(model).chain(fallback) {
        candidates(settings, policy, route, (asked.principal, model), (session, stays), &mut out);
    }
    out
}

fn candidates(
    settings: &Settings,
    policy: &Snapshot,
    route: Option<&Route>,
    (principal, model): (&Principal, &str),
    (session, stays): (Option<u64>, Option<u64>),
    out: &mut Explained,
) {
    let found = seats(settings, route, model);
    for at in ordered(route, session.unwrap_or_default(), stays, &found.seats) {
        let (provider, weight, priority) = found.seats[at];
        let (classes, raised) = (&settings.classes, gatehouse_domain::data_class::Level::default());
        let question = Question {
            principal,
            model,
            provider: &provider.name,
            peer: None,
            stream: true,
            classes,
            raised,
        };
        let verdict = policy.decide(&question);
        if !verdict.allowed {
            out.left_out.push((provider.name.to_string(), verdict.by.to_string()));
            continue;
        }
        let standing = provider.standing(&settings.routing.failover);
        let held_up = provider.quota.held_up(model, &settings.routing.queuing);
        out.candidates.push(Candidate {
            provider: provider.name.to_string(),
            model: model.to_owned(),
            region: provider.region.clone(),
            weight,
            priority,
            family: provider.family.clone(),
            usable: standing.is_usable() && held_up.is_none(),
            state: held_up.filter(|_| standing.is_usable()).unwrap_or_else(|| standing.sentence()),
        });
    }
    out.left_out.extend(found.left_out.into_iter().map(|(name, why)| (name.to_owned(), why.to_owned())));
}
