//! Requests to clouds and the replies of theirs that cannot be relayed as they come: failures, and counts of tokens.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use gatehouse_domain::exchange::{Ended, Kind, Principal};
use gatehouse_providers::anthropic::error_body;
use gatehouse_providers::cloud::{Answer, Asked, Dialect, Unsendable, read_count};
use gatehouse_providers::fault::Fault;
use gatehouse_providers::sigv4;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};

use crate::connection::Connection;
use crate::flow::Step;
use crate::held::Held;
use crate::open::Open;
use crate::refusal::Refusal;
use crate::reply::{ReplyBody, whole};
use crate::send::Outgoing;
use crate::settings::{Credential, Face, Provider};
use crate::upstream::Upload;
use crate::worker::Worker;

/// Most bytes that are read of a failure, or of a count; what comes behind is not looked at.
const MAX_READ: usize = 64 * 1024;
/// How long the rest of such a reply is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes a cloud's request of a client's, with the credential that is good now; says in which form the reply comes.
pub(crate) fn request(
    provider: &Arc<Provider>,
    (dialect, credential): (&Dialect, &Credential),
    head: &Parts,
    open: &mut Open,
    body: Outgoing,
) -> Result<(Request<Upload>, Answer), Refusal> {
    let record = open.record();
    let model = record.model.clone().unwrap_or_default();
    let asked = Asked {
        form: body.form,
        named: body.named.as_deref(),
        count: record.kind == Kind::CountTokens,
        model: &model,
        stream: record.stream,
        headers: &head.headers,
        unwanted: &body.unwanted,
        query: head.uri.query(),
        pieces: body.pieces,
    };
    let sent = dialect.request(asked).map_err(|why| refusal(why, &model))?;
    let target = sent.target.parse().map_err(|_| Refusal::HeadTooLarge)?;
    let mut headers = sent.headers;
    headers.insert(header::HOST, provider.authority.clone());
    let principal = open.record().principal;
    show(provider, (credential, principal.as_ref()), &sent.target, &mut headers, &sent.pieces)?;
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(sent.bytes));
    let mut request = Request::new(Upload::new(sent.pieces, sent.bytes, body.reservation));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target;
    *request.headers_mut() = headers;
    Ok((request, sent.answer))
}

fn refusal(why: Unsendable, model: &str) -> Refusal {
    match why {
        Unsendable::Count => Refusal::NotCounted,
        Unsendable::Unsupported(what) => Refusal::Unsupported(what),
        Unsendable::Betas => Refusal::Unsupported("anthropic_beta".to_owned()),
        Unsendable::Model => Refusal::UnknownModel(model.to_owned()),
        Unsendable::Body => {
            tracing::error!("a body that was found to be in order could not be changed");
            Refusal::Unsupported("body".to_owned())
        }
    }
}

/// Sees to it that what is to be shown for this very user is at hand.
pub(crate) async fn fetch_credential(worker: &Worker, provider: &Provider, open: &mut Open) {
    let Face::Cloud(_, Credential::Signing { tagged: Some(tagged), .. }) = &provider.face else { return };
    let Some(principal) = open.record().principal else { return };
    if tagged.at_hand(&principal).is_none() {
        worker.shared.reception.run(tagged.fetch(&principal)).await;
    }
}

/// Puts the credential into the head.
fn show(
    provider: &Provider,
    (credential, principal): (&Credential, Option<&Principal>),
    target: &str,
    headers: &mut HeaderMap,
    pieces: &[Bytes],
) -> Result<(), Refusal> {
    match credential {
        Credential::Header(name, value) => {
            headers.insert(name.clone(), value.clone());
        }
        Credential::Token(token) => {
            let token = token.load_full().ok_or(Refusal::NoProviderCredential)?;
            headers.insert(header::AUTHORIZATION, HeaderValue::clone(&token));
        }
        Credential::Signing { scope, keys, tagged } => {
            let keys = match tagged {
                None => keys.load_full(),
                // Never the role's own: then nobody would know whose bill it is.
                Some(tagged) => principal.and_then(|principal| tagged.at_hand(principal)),
            };
            let keys = keys.ok_or(Refusal::NoProviderCredential)?;
            let scheme = if provider.tls.is_some() { "https" } else { "http" };
            let host = provider.authority.to_str().unwrap_or_default();
            let url = format!("{scheme}://{host}{target}");
            let now = UNIX_EPOCH + Duration::from_millis(u64::try_from(Worker::now().0).unwrap_or(0));
            let hash = sigv4::body_hash(pieces);
            sigv4::sign(&keys, scope, (&Method::POST, &url), headers, hash, now).map_err(|error| {
                tracing::error!(provider = %provider.name, %error, "a request for the provider was not made");
                Refusal::NoProviderCredential
            })?;
        }
    }
    Ok(())
}

/// Answers with what a cloud's failure says in the API's words, or with a count of tokens. Nothing if the reply can be relayed.
pub(crate) async fn reply(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    held: &mut Held,
    head: &Response<()>,
) -> Option<Response<ReplyBody>> {
    let answer = held.flow().answer()?;
    if head.status().is_success() && answer != Answer::Count {
        return None;
    }
    let body = read(held).await;
    let flow = held.flow();
    let request_id = request_id(head.headers()).unwrap_or_else(|| flow.open.request_id().to_owned());
    flow.open.record().request_id.clone_from(&request_id);
    let exchange = flow.open.record().id.to_string();
    let (mut response, ended) = if head.status().is_success() {
        if let Some(count) = read_count(&body) {
            (json(StatusCode::OK, count), Ended::Completed)
        } else {
            flow.open.record().reason = Some("not_a_count".to_owned());
            (Refusal::UpstreamOdd.response(&request_id), Ended::UpstreamFailed)
        }
    } else {
        let provider = flow.provider();
        (failure(&provider, &mut flow.open, head, &body, &request_id), Ended::UpstreamError)
    };
    let flow = held.flow();
    flow.open.record().status = response.status().as_u16();
    flow.open.record().bytes_out = response.body().len() as u64;
    flow.open.nothing_consumed();
    let ticket = flow.open.close(ended);
    held.finish();
    std::future::poll_fn(|cx| worker.poll_durable(ticket, cx)).await;
    for (name, id) in [("request-id", &request_id), ("x-gatehouse-exchange", &exchange)] {
        if let Ok(id) = HeaderValue::from_str(id) {
            response.headers_mut().insert(name, id);
        }
    }
    Some(whole(response, worker, connection))
}

fn json(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// What of a reply is to be looked at. Silence ends it, as does too much.
async fn read(held: &mut Held) -> Vec<u8> {
    let mut out = Vec::new();
    let all = async {
        while out.len() < MAX_READ {
            let step = std::future::poll_fn(|cx| held.flow().poll_step(cx)).await;
            let (Step::Bytes(bytes) | Step::Last(bytes) | Step::Broken(bytes, _)) = &step;
            out.extend_from_slice(&bytes[..bytes.len().min(MAX_READ - out.len())]);
            if !matches!(step, Step::Bytes(_)) {
                break;
            }
        }
    };
    // What has come by then is looked at.
    let _ = tokio::time::timeout(PATIENCE, all).await;
    out
}

fn failure(
    provider: &str,
    open: &mut Open,
    head: &Response<()>,
    body: &[u8],
    request_id: &str,
) -> Response<Bytes> {
    let name = head.headers().get("x-amzn-errortype").and_then(|value| value.to_str().ok());
    let fault = Fault::of_reply(head.status().as_u16(), name, body);
    let is_credential = matches!(&*fault.kind, "authentication_error" | "permission_error");
    let status = head.status().as_u16();
    if is_credential {
        let said = &fault.message;
        tracing::error!(%provider, status, said, "the provider refuses our credential, or what it may do");
    }
    if open.record().kind == Kind::CountTokens && fault.message.contains("support") && fault.status == 400 {
        // Some models cannot be counted for; the client counts by itself when it hears so.
        return Refusal::NotCounted.response(request_id);
    }
    open.record().reason = Some(fault.kind.clone().into_owned());
    let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = json(status, error_body(&fault.kind, &fault.message, request_id));
    if is_credential {
        response.headers_mut().insert("x-should-retry", HeaderValue::from_static("false"));
    }
    if let Some(after) = head.headers().get(header::RETRY_AFTER) {
        response.headers_mut().insert(header::RETRY_AFTER, after.clone());
    }
    response
}

/// The cloud's own name of a request.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<String> {
    let given =
        ["request-id", "x-amzn-requestid", "apim-request-id"].iter().find_map(|name| headers.get(*name))?;
    given.to_str().ok().filter(|id| !id.is_empty() && id.len() <= 128).map(str::to_owned)
}

/// The headers of a cloud's reply that go to the client: what it is, and its identifier; nothing of the cloud's own.
pub(crate) fn reply_headers(given: &HeaderMap, is_framed: bool) -> HeaderMap {
    let mut out = HeaderMap::with_capacity(8);
    for (name, value) in gatehouse_providers::anthropic::reply_headers(given) {
        let Some(name) = name else { continue };
        let text = name.as_str();
        let is_wanted = matches!(text, "content-type" | "content-length" | "cache-control" | "retry-after")
            || text.starts_with("anthropic-ratelimit-");
        if is_wanted {
            out.append(name, value);
        }
    }
    if is_framed {
        out.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    }
    if let Some(id) = request_id(given).and_then(|id| HeaderValue::from_str(&id).ok()) {
        out.insert("request-id", id);
    }
    out
}
