//! The stage that decides where a request goes: one provider, or a plan of several that can answer it.

use std::rc::Rc;
use std::sync::Arc;

use gatehouse_domain::access::Question;
use gatehouse_domain::id::TeamId;
use gatehouse_domain::routing::{
    Resolved, Route, Routing, Seat, Strategy, UnknownModels, fingerprint, order, session_key,
};
use gatehouse_providers::anthropic::carried;
use gatehouse_providers::json::with_model;
use http::{HeaderMap, HeaderValue};
use rand::RngExt as _;

use crate::guest::Inside;
use crate::handle::{Granted, class_said};
use crate::inspect::Received;
use crate::open::Open;
use crate::protect::Clean;
use crate::refusal::Refusal;
use crate::refused::Refused;
use crate::settings::{Provider, Settings};
use crate::worker::Worker;

/// A request that has somewhere to go.
pub(crate) struct Routed {
    pub(crate) granted: Granted,
    pub(crate) way: Way,
}

/// Where a request goes.
pub(crate) enum Way {
    /// To the only provider that can answer it.
    One(Arc<Provider>),
    /// To one of several.
    Many(Box<Plan>),
}

/// Several providers that can answer a request.
pub(crate) struct Plan {
    pub(crate) routing: Arc<Routing>,
    /// In the order in which they are asked; none of them twice for one model.
    pub(crate) candidates: Vec<Candidate>,
    /// The client's session.
    pub(crate) session: Option<u64>,
    /// Whether what they sign is not valid everywhere, so that it matters who signed.
    pub(crate) learns: bool,
}

/// One of them.
pub(crate) struct Candidate {
    pub(crate) provider: Arc<Provider>,
    /// The model that it is asked for.
    pub(crate) model: Arc<str>,
}

impl Routed {
    /// Another model that may answer.
    pub(crate) fn fallback(&self) -> Option<&str> {
        match &self.way {
            Way::One(_) => None,
            Way::Many(plan) => plan
                .candidates
                .last()
                .zip(plan.candidates.first())
                .and_then(|(last, first)| (last.model != first.model).then_some(&*last.model)),
        }
    }
}

/// What the client asked for becomes the model that is meant: a name may stand for a model, and one that went out of use
/// for the one in its place.
pub(crate) fn resolve(
    routing: &Routing,
    model: String,
    open: &mut Open,
    body: &mut Received,
) -> Result<String, Refusal> {
    if routing.aliases.is_empty() {
        return Ok(model);
    }
    let meant = match routing.resolve(&model, Worker::now()) {
        Resolved::Itself(None) => return Ok(model),
        Resolved::Itself(Some(alias)) => {
            open.notice = Some(alias.notice());
            return Ok(model);
        }
        Resolved::Retired(alias) => return Err(Refusal::ModelRetired(alias.notice())),
        Resolved::Other(meant, alias) => {
            open.notice = alias.map(gatehouse_domain::routing::Alias::notice);
            meant.to_owned()
        }
    };
    open.record().asked = Some(model);
    if body.form.kind().is_some() {
        // The path named it, by a name that is the other model's.
        body.named = None;
        return Ok(meant);
    }
    let Some(pieces) = with_model(std::mem::take(&mut body.pieces), &meant) else {
        return Err(Refusal::Unsupported("model".to_owned()));
    };
    body.bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
    body.pieces = pieces;
    Ok(meant)
}

/// Decides where a request goes.
pub(crate) fn route(worker: &Rc<Worker>, clean: Clean) -> Result<Routed, Box<Refused>> {
    let mut granted = clean.into_granted();
    let settings = worker.shared.settings.load();
    let decided = decide(worker, &settings, &mut granted);
    drop(settings);
    match decided {
        Ok(way) => Ok(Routed { granted, way }),
        Err(why) => Err(Refused::new(granted.open, why, None)),
    }
}

fn decide(worker: &Worker, settings: &Settings, granted: &mut Granted) -> Result<Way, Refusal> {
    let record = granted.open.record();
    let model = record.model.as_deref().unwrap_or_default();
    let routing = &settings.routing;
    if routing.unknown_models == UnknownModels::Refuse && settings.prices.find(model).is_none() {
        return Err(Refusal::UnknownModel(model.to_owned()));
    }
    if let Some(own) = granted.open.guest().and_then(Inside::own_provider) {
        granted.open.record().provider = Some(own.name.to_string());
        permitted(worker, settings, granted)?;
        return Ok(Way::One(own));
    }
    let record = granted.open.record();
    let model = record.model.as_deref().unwrap_or_default();
    let team = record.principal.and_then(|principal| principal.team);
    let route = if routing.routes.is_empty() { None } else { routing.route(model, team) };
    granted.open.route = route.map(|route| route.name.clone());
    let record = granted.open.record();
    let model = record.model.as_deref().unwrap_or_default();
    if route.is_none() {
        let mut serving = settings.providers.iter().filter(|provider| provider.is_for(model));
        match (serving.next(), serving.next()) {
            (None, _) if settings.providers.is_empty() => return Err(Refusal::NoProvider),
            (None, _) => return Err(Refusal::ModelNotServed(model.to_owned())),
            (Some(only), None) if routing.failover.rounds == 1 => {
                let only = Arc::clone(only);
                record.provider = Some(only.name.to_string());
                permitted(worker, settings, granted)?;
                return Ok(Way::One(only));
            }
            (Some(_), _) => {}
        }
    }
    plan(worker, settings, route, granted)
}

/// Makes the plan of a request that several may answer.
fn plan(
    worker: &Worker,
    settings: &Settings,
    route: Option<&Route>,
    granted: &mut Granted,
) -> Result<Way, Refusal> {
    let record = granted.open.record();
    let model: Arc<str> = record.model.as_deref().unwrap_or_default().into();
    let user = record.principal.map_or(0, |principal| principal.user.bits());
    let session = record.session.as_deref().map(|session| session_key(user, session));
    let stays = session.filter(|_| route.is_none_or(|route| route.affinity));
    let fallback = route.and_then(|route| route.fallback.as_deref()).filter(|other| **other != *model);
    let fallback = fallback.filter(|other| granted.grant.models().allows(other)).map(Arc::from);
    let mut candidates = Vec::new();
    let mut refused = None;
    for model in std::iter::once(model.clone()).chain(fallback) {
        let seats = seats(settings, route, &model).seats;
        let key = session.unwrap_or_else(|| rand::rng().random());
        let known = stays.and_then(|session| worker.shared.routes.provider_of(session));
        for at in ordered(route, key, known, &seats) {
            let candidate = Candidate { provider: Arc::clone(seats[at].0), model: Arc::clone(&model) };
            match asked(worker, settings, granted, &candidate.model, &candidate.provider.name) {
                Ok(()) => candidates.push(candidate),
                Err(why) => refused = refused.or(Some(why)),
            }
        }
    }
    let (learns, pinned) = keep_signatures(worker, settings, (granted, session), &mut candidates);
    if pinned {
        // A signature is one model's as well.
        candidates.retain(|candidate| candidate.model == model);
    }
    let Some(first) = candidates.first() else {
        return Err(match (pinned, refused) {
            (true, _) => Refusal::Unavailable(30),
            (false, Some(why)) => why,
            (false, None) => Refusal::ModelNotServed(model.to_string()),
        });
    };
    let record = granted.open.record();
    record.provider = Some(first.provider.name.to_string());
    if let ([only], 1, false) = (&candidates[..], settings.routing.failover.rounds, learns) {
        return Ok(Way::One(Arc::clone(&only.provider)));
    }
    let routing = Arc::clone(&settings.routing);
    Ok(Way::Many(Box::new(Plan { routing, candidates, session, learns })))
}

/// Keeps only providers where the signatures that the request carries are valid. Says whether it matters who signs, and
/// whether the request carries any. Where it is not known who issued them, it is the family of the provider that the session was
/// with, or else of the first one, since that is where it belongs: then at least nobody else gets them.
fn keep_signatures(
    worker: &Worker,
    settings: &Settings,
    (granted, session): (&Granted, Option<u64>),
    candidates: &mut Vec<Candidate>,
) -> (bool, bool) {
    let Some(first) = candidates.first() else { return (false, false) };
    let family = first.provider.family.clone();
    if candidates.iter().all(|candidate| candidate.provider.family == family) {
        return (false, false);
    }
    let routes = &worker.shared.routes;
    let carried = carried(routes.seed(), &granted.body.pieces);
    if carried.is_nothing() {
        return (true, false);
    }
    let issuer = carried.signatures.iter().rev().find_map(|signature| routes.issuer(*signature));
    let was_with = || {
        let name = session.and_then(|session| routes.provider_of(session))?;
        let provider = settings.providers.iter().find(|provider| fingerprint(&provider.name) == name)?;
        Some(fingerprint(&provider.family))
    };
    let issuer = issuer.or_else(was_with).unwrap_or_else(|| fingerprint(&family));
    candidates.retain(|candidate| fingerprint(&candidate.provider.family) == issuer);
    (true, true)
}

/// Providers that can answer, with weight and priority, and those that cannot, with the reason.
pub(crate) struct Seats<'a> {
    pub(crate) seats: Vec<(&'a Arc<Provider>, u32, u32)>,
    pub(crate) left_out: Vec<(&'a str, &'static str)>,
}

/// The providers of a route, or all, for a model.
pub(crate) fn seats<'a>(settings: &'a Settings, route: Option<&'a Route>, model: &str) -> Seats<'a> {
    let mut out = Seats { seats: Vec::new(), left_out: Vec::new() };
    for (place, provider) in settings.providers.iter().enumerate() {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        let member = match route {
            Some(route) if !route.members.is_empty() => {
                let member = route.members.iter().find(|member| *member.provider == *provider.name);
                member.map(|member| (member.weight, member.priority))
            }
            _ => Some((1, place)),
        };
        let why = match member {
            None => "the route does not name it",
            Some(_) if !provider.is_for(model) => "it does not serve the model",
            Some(_) if !route.is_none_or(|route| route.takes_region(&provider.region)) => {
                "it is not in a region of the route"
            }
            Some((weight, priority)) => {
                out.seats.push((provider, weight, priority));
                continue;
            }
        };
        out.left_out.push((&provider.name, why));
    }
    out
}

/// The order in which they are asked.
pub(crate) fn ordered<'a>(
    route: Option<&Route>,
    key: u64,
    stays: Option<u64>,
    seats: &[(&'a Arc<Provider>, u32, u32)],
) -> Vec<usize> {
    let strategy = route.map_or(Strategy::Weighted, |route| route.strategy);
    let needs_state = strategy != Strategy::Weighted;
    let seat = |(provider, weight, priority): &(&'a Arc<Provider>, u32, u32)| Seat {
        name: &provider.name,
        weight: *weight,
        priority: *priority,
        busy: if needs_state { provider.health.busy() } else { 0 },
        latency_us: if needs_state { provider.health.latency_us() } else { 0 },
    };
    let all: Vec<Seat<'a>> = seats.iter().map(seat).collect();
    order(strategy, key, stays, &all)
}

/// The team's route in words.
pub(crate) fn rule(routing: &Routing, model: &str, team: Option<TeamId>) -> String {
    match routing.route(model, team) {
        Some(route) => format!("the route `{}` ({})", route.name, route.strategy.as_str()),
        None => "no route: all providers that serve the model, in the order of the configuration".to_owned(),
    }
}

/// Whether the organization's rules let through what is about to be sent.
fn permitted(worker: &Worker, settings: &Settings, granted: &mut Granted) -> Result<(), Refusal> {
    let record = granted.open.record();
    let (Some(model), Some(provider)) = (record.model.clone(), record.provider.clone()) else {
        return not_known(&mut granted.open);
    };
    asked(worker, settings, granted, &model, &provider)
}

fn asked(
    worker: &Worker,
    settings: &Settings,
    granted: &mut Granted,
    model: &str,
    provider: &str,
) -> Result<(), Refusal> {
    let policy = worker.shared.policy.load();
    let (classes, raised) = (&settings.classes, class_said(&policy, settings, &granted.head.headers));
    let record = granted.open.record();
    let (peer, stream) = (record.peer, record.stream);
    let Some(principal) = &record.principal else { return not_known(&mut granted.open) };
    let verdict = policy.decide(&Question { principal, model, provider, peer, stream, classes, raised });
    if verdict.allowed {
        return Ok(());
    }
    Err(Refusal::NotPermitted { model: model.to_owned(), by: verdict.by.to_string() })
}

/// What cannot be asked about is not let through.
fn not_known(open: &mut Open) -> Result<(), Refusal> {
    let by = "what is to be decided is not known".to_owned();
    Err(Refusal::NotPermitted { model: open.record().model.clone().unwrap_or_default(), by })
}

/// Tells the client of its model's end, and, where the configuration says so, who answered.
pub(crate) fn tell(headers: &mut HeaderMap, open: &mut Open, settings: &Settings) {
    let mut set = |name: &'static str, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    if let Some(notice) = open.notice.take() {
        set("x-gatehouse-notice", &notice);
    }
    if settings.routing.reply_headers {
        let record = open.record();
        if !record.left_out.is_empty() {
            set("x-gatehouse-left-out", &record.left_out.join(","));
        }
        set("x-gatehouse-provider", record.provider.as_deref().unwrap_or_default());
        set("x-gatehouse-attempts", &(record.attempts.len() + 1).to_string());
    }
}
