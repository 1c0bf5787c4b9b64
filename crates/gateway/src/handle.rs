//! One request, on one screen: its stages, each taking what the one before returned.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use gatehouse_domain::access::Question;
use gatehouse_domain::budget::Standing;
use gatehouse_domain::data_class::Level;
use gatehouse_domain::exchange::{Ended, Kind};
use gatehouse_domain::model::is_model_name;
use gatehouse_domain::policy::{Grant, Snapshot};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use hyper::body::Incoming;

use crate::admit;
use crate::cloud;
use crate::connection::{Connection, Phase, Tick as _};
use crate::failover;
use crate::guest::{self, Inside};
use crate::held::Held;
use crate::identify::recognize;
use crate::ingress;
use crate::inspect::{self, Received};
use crate::models;
use crate::open::Open;
use crate::passed;
use crate::probe::{has_one_host, probe};
use crate::protect::protect;
use crate::recall::recall;
use crate::reception::{self, Visit};
use crate::refusal::Refusal;
use crate::refused::Refused;
use crate::relay::Relay;
use crate::reply::{Content, ReplyBody, whole};
use crate::route;
use crate::settings::{Limits, Settings};
use crate::worker::{Active, Worker};

/// Serves one request. Never fails: whatever happens is a reply and a record.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    connection.enter(Phase::Serving, worker.tick());
    let visited = if let Some(guest) = &connection.guest {
        // In a box: the way of all other requests is not to carry what only few need.
        Box::pin(guest::visit(&worker, &connection, guest, request)).await
    } else if let Some(answer) = probe(&worker, &connection, &request) {
        return whole(answer, &worker, &connection);
    } else {
        reception::visit(&worker, &connection, request).await
    };
    let request = match visited {
        Visit::Answered(reply) => return reply,
        Visit::Elsewhere(request) => request,
    };
    let form = ingress::form(request.uri().path());
    let reply = match exchange(&worker, &connection, request).await {
        Ok(reply) => reply,
        Err(refused) => refused.answer(&worker, &connection).await,
    };
    ingress::dress(form, reply)
}

async fn exchange(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Box<Refused>> {
    let accepted = accept(worker, connection, request)?;
    let identified = identify(worker, connection, accepted).await?;
    if identified.kind == Kind::Models {
        return list_models(worker, connection, identified).await;
    }
    let received = receive(worker, identified).await?;
    let granted = authorize(worker, received)?;
    let clean = protect(worker, granted).await?;
    let recalled = recall(worker, clean).await;
    let routed = route::route(worker, recalled)?;
    let admitted = admit::admit(worker, routed).pass().await?;
    let answered = failover::forward(worker, admitted).await?;
    Ok(relay(worker, connection, answered).await)
}

/// A request whose head is in order.
struct Accepted {
    open: Open,
    kind: Kind,
    head: Parts,
    body: Incoming,
}

fn accept(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    request: Request<Incoming>,
) -> Result<Accepted, Box<Refused>> {
    let (head, body) = request.into_parts();
    let (kind, allowed) = match head.uri.path() {
        "/v1/messages" => (Kind::Messages, "POST"),
        "/v1/messages/count_tokens" => (Kind::CountTokens, "POST"),
        path if path == "/v1/models" || path.starts_with("/v1/models/") => (Kind::Models, "GET"),
        path => ingress::kind(path).unwrap_or((Kind::Other, "")),
    };
    let mut open = Open::new(worker, connection, kind);
    open.note_head(&head.headers);
    let fault = if connection.is_framed_twice() {
        Some(Refusal::MalformedHead)
    } else {
        fault_of(worker, &head, kind, allowed)
    };
    match fault {
        None => Ok(Accepted { open, kind, head, body }),
        Some(why) => Err(Refused::new(open, why, readable(&head.headers, body))),
    }
}

/// What is wrong with a head, if anything.
fn fault_of(worker: &Worker, head: &Parts, kind: Kind, allowed: &'static str) -> Option<Refusal> {
    let settings = worker.shared.settings.load();
    let limits = &settings.limits;
    if let Some(fault) = form_fault(head, limits) {
        return Some(fault);
    }
    if kind == Kind::Other {
        return Some(Refusal::UnknownPath);
    }
    if head.method.as_str() != allowed {
        return Some(Refusal::BadMethod(allowed));
    }
    if worker.shared.in_flight.load(Ordering::Relaxed) >= limits.max_in_flight {
        return Some(Refusal::Overloaded("requests under way"));
    }
    worker.shared.ledger.ready().err().map(|_| Refusal::LedgerFull)
}

/// What is wrong with a head whatever it asks for, if anything.
pub(crate) fn form_fault(head: &Parts, limits: &Limits) -> Option<Refusal> {
    if !has_one_host(&head.headers, head.version) {
        return Some(Refusal::BadHost);
    }
    let size: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let too_large = size + head.uri.path().len() + head.uri.query().map_or(0, str::len) > limits.max_head;
    too_large.then_some(Refusal::HeadTooLarge)
}

/// Passes on which settings a client says it has. It says so where the settings ask it to.
fn note_settings(worker: &Worker, headers: &HeaderMap, grant: &Grant) {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(checksum) = text("x-claude-code-managed-settings-checksum") {
        let user_agent = text(header::USER_AGENT.as_str());
        worker.shared.reception.reported(grant.principal().user, checksum, user_agent);
    }
}

/// The body, unless its sender waits for a go-ahead that it will not get.
pub(crate) fn readable(headers: &HeaderMap, body: Incoming) -> Option<Incoming> {
    (!headers.contains_key(header::EXPECT)).then_some(body)
}

/// A request whose sender is known.
struct Identified {
    open: Open,
    kind: Kind,
    head: Parts,
    body: Incoming,
    grant: Grant,
    active: Rc<Active>,
}

async fn identify(
    worker: &Rc<Worker>,
    connection: &Connection,
    accepted: Accepted,
) -> Result<Identified, Box<Refused>> {
    let Accepted { mut open, kind, head, body } = accepted;
    let known = match open.guest() {
        // As it is now: a tunnel may have been open for hours.
        Some(guest) => {
            let renewed = worker.shared.policy.load().renewed(&guest.grant, Worker::now());
            renewed.map_err(|_| Refusal::Revoked)
        }
        None => recognize(worker, connection, &head.headers).await,
    };
    match known {
        Ok(grant) => {
            open.note_grant(&grant);
            note_settings(worker, &head.headers, &grant);
            let active = Rc::clone(open.active().expect("just noted"));
            Ok(Identified { open, kind, head, body, grant, active })
        }
        Err(why) => Err(Refused::new(open, why, readable(&head.headers, body))),
    }
}

async fn list_models(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    identified: Identified,
) -> Result<Response<ReplyBody>, Box<Refused>> {
    let Identified { mut open, head, grant, .. } = identified;
    let settings = worker.shared.settings.load_full();
    let policy = worker.shared.policy.load_full();
    let peer = open.record().peer;
    let principal = grant.principal();
    let (classes, raised) = (&settings.classes, class_said(&policy, &settings, &head.headers));
    // As a request would be decided: by the providers that could be asked for it.
    let allows = |model: &str| {
        let asks = |provider: &str| {
            let question =
                Question { principal: &principal, model, provider, peer, stream: false, classes, raised };
            policy.decide(&question).allowed
        };
        let route = settings.routing.route(model, principal.team);
        let seats = route::seats(&settings, route, model).seats;
        let some = settings.providers.is_empty() && asks("")
            || seats.iter().any(|(provider, ..)| asks(&provider.name));
        some && grant.models().allows(model)
    };
    let now = Worker::now();
    let listed = ingress::profiles(&settings, &allows, &head.uri, now);
    let listed = listed.unwrap_or_else(|| models::answer(&settings.prices, &allows, &head.uri, now));
    let mut response = match listed {
        Ok(response) => response,
        Err(why) => return Err(Refused::new(open, why, None)),
    };
    if let Ok(id) = HeaderValue::from_str(open.request_id()) {
        response.headers_mut().insert("request-id", id);
    }
    open.record().status = response.status().as_u16();
    open.record().bytes_out = response.body().len() as u64;
    let ticket = open.close(Ended::Completed);
    std::future::poll_fn(|cx| worker.poll_durable(ticket, cx)).await;
    Ok(whole(response, worker, connection))
}

/// A request whose body has arrived and is sound.
struct Complete {
    open: Open,
    head: Parts,
    grant: Grant,
    active: Rc<Active>,
    body: Received,
}

async fn receive(worker: &Rc<Worker>, identified: Identified) -> Result<Complete, Box<Refused>> {
    let Identified { mut open, kind: _, mut head, body, grant, active } = identified;
    match inspect::receive(worker, &head.headers, &active, body).await {
        Ok(body) => {
            let body = match ingress::enter(&worker.shared.settings.load(), &mut head, body) {
                Ok(body) => body,
                Err(why) => return Err(Refused::new(open, why, None)),
            };
            let record = open.record();
            record.bytes_in = body.bytes;
            record.stream = body.facts.stream;
            Ok(Complete { open, head, grant, active, body })
        }
        Err((why, rest)) => {
            let rest = rest.and_then(|rest| readable(&head.headers, rest));
            Err(Refused::new(open, why, rest))
        }
    }
}

/// A request that its sender may make.
pub(crate) struct Granted {
    pub(crate) open: Open,
    pub(crate) head: Parts,
    pub(crate) grant: Grant,
    pub(crate) active: Rc<Active>,
    pub(crate) body: Received,
}

fn authorize(worker: &Worker, complete: Complete) -> Result<Granted, Box<Refused>> {
    let Complete { mut open, head, grant, active, mut body } = complete;
    let Some(model) = body.facts.model.take() else {
        return Err(Refused::new(open, Refusal::ModelMissing, None));
    };
    let resolved = route::resolve(&worker.shared.settings.load().routing, model, &mut open, &mut body);
    let model = match resolved {
        Ok(model) => model,
        Err(why) => return Err(Refused::new(open, why, None)),
    };
    let allowed = grant.models().allows(&model);
    if !is_model_name(&model) {
        // No provider has such a model, unless it mends the name: then rules would speak of another one.
        let cut: String = model.chars().take(gatehouse_domain::model::MAX_MODEL_NAME).collect();
        open.record().model = Some(cut.clone());
        return Err(Refused::new(open, Refusal::UnknownModel(cut), None));
    }
    open.record().model = Some(model.chars().take(gatehouse_domain::model::MAX_MODEL_NAME).collect());
    if !allowed {
        return Err(Refused::new(open, Refusal::ModelNotAllowed(model), None));
    }
    Ok(Granted { open, head, grant, active, body })
}

/// The data class that a client says; nothing is looked at unless a policy may ask for it.
pub(crate) fn class_said(policy: &Snapshot, settings: &Settings, headers: &HeaderMap) -> Level {
    if policy.speaks_of_classes() { settings.class_said(headers) } else { Level::default() }
}

/// A request that has been answered, so far by a head.
pub(crate) struct Answered {
    pub(crate) held: Held,
    pub(crate) head: Response<()>,
    pub(crate) standing: Option<Standing>,
}

/// Hands the reply on.
async fn relay(worker: &Rc<Worker>, connection: &Rc<Connection>, answered: Answered) -> Response<ReplyBody> {
    let Answered { mut held, head, standing } = answered;
    let flow = held.flow();
    // In a box: the way of all other replies is not to carry what only few need.
    if flow.answer().is_some()
        && let Some(reply) = Box::pin(cloud::reply(worker, connection, &mut held, &head)).await
    {
        return reply;
    }
    let flow = held.flow();
    let is_callers = flow.open.guest().is_some_and(Inside::is_own);
    let mut headers = match flow.answer() {
        // By its own credential a client is told what its provider tells it.
        None if is_callers => passed::headers(head.headers()),
        None => gatehouse_providers::anthropic::reply_headers(head.headers()),
        Some(_) => cloud::reply_headers(head.headers(), flow.is_framed()),
    };
    headers.remove(header::CONTENT_LENGTH);
    note_request_id(&mut headers, &mut flow.open);
    if let Ok(id) = HeaderValue::from_str(&flow.open.record().id.to_string()) {
        headers.insert("x-gatehouse-exchange", id);
    }
    let overhead = flow.open.record().overhead_us;
    if let Ok(ms) = HeaderValue::from_str(&format!("{}.{:03}", overhead / 1000, overhead % 1000)) {
        headers.insert("x-gatehouse-overhead-ms", ms);
    }
    if let Some(standing) = standing {
        admit::tell(&mut headers, &standing, head.status());
    }
    route::tell(&mut headers, &mut flow.open, &worker.shared.settings.load());
    flow.open.record().status = head.status().as_u16();
    let whole = if head.status().is_success() { Ended::Completed } else { Ended::UpstreamError };
    if !is_callers && head.status() == http::StatusCode::UNAUTHORIZED {
        // The provider refuses our credential, not the client's: trying again for minutes would not help.
        headers.insert("x-should-retry", HeaderValue::from_static("false"));
        tracing::error!("the provider refused our credential; set a working one");
    }
    let content = if flow.is_bodyless() {
        // hyper would not ask for a body, and its end is where the record is written.
        let ticket = flow.settle(whole);
        held.finish();
        std::future::poll_fn(|cx| worker.poll_durable(ticket, cx)).await;
        Content::Whole(None)
    } else {
        let mut relay = Box::new(Relay::new(worker, held, whole));
        match std::future::poll_fn(|cx| relay.poll_whole(cx)).await {
            Some(bytes) => Content::Whole(Some(bytes)),
            None => Content::Relayed(relay),
        }
    };
    let mut response = Response::new(ReplyBody::new(content, worker, connection));
    *response.status_mut() = head.status();
    *response.headers_mut() = headers;
    response
}

/// Keeps the upstream's `request-id` if there is one, else gives ours, and notes what the client sees.
fn note_request_id(headers: &mut HeaderMap, open: &mut Open) {
    let given =
        headers.get("request-id").and_then(|v| v.to_str().ok()).filter(|v| v.len() <= 128).map(str::to_owned);
    if given.is_none()
        && let Ok(ours) = HeaderValue::from_str(open.request_id())
    {
        headers.insert("request-id", ours);
    }
    let seen = given.unwrap_or_else(|| open.request_id().to_owned());
    open.record().request_id = seen;
}
