//! One attempt: a request as the provider takes it, and what comes of sending it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gatehouse_domain::exchange::Ended;
use gatehouse_domain::routing::Fault;
use gatehouse_providers::cloud::{Answer, Form};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Response, header};

use crate::cloud;
use crate::flow::{Flow, NoHead};
use crate::held::Held;
use crate::ingress;
use crate::inspect::{Received, Reservation};
use crate::learn;
use crate::open::Open;
use crate::passed;
use crate::refusal::Refusal;
use crate::settings::{Face, Provider};
use crate::upstream::{Upload, Upstream};
use crate::worker::{Active, Worker};

/// A body that is about to be sent.
pub(crate) struct Outgoing {
    pub(crate) pieces: Vec<Bytes>,
    pub(crate) bytes: u64,
    /// None where it is kept for another attempt.
    pub(crate) reservation: Option<Reservation>,
    /// In which form it came.
    pub(crate) form: Form,
    /// The model as the client wrote it, where its form has names of its own.
    pub(crate) named: Option<String>,
    /// Betas that the provider does not know.
    pub(crate) unwanted: Vec<String>,
}

impl Outgoing {
    /// What came, as it came; the bytes are shared.
    pub(crate) fn of(body: &Received) -> Self {
        Self {
            pieces: body.pieces.clone(),
            bytes: body.bytes,
            reservation: None,
            form: body.form,
            named: body.named.clone(),
            unwanted: Vec::new(),
        }
    }

    /// The same, nothing of which is kept once it is sent.
    pub(crate) fn once(body: Received) -> Self {
        let Received { pieces, bytes, form, named, reservation, .. } = body;
        Self { pieces, bytes, reservation: Some(reservation), form, named, unwanted: Vec::new() }
    }
}

/// A request as a provider takes it; of a cloud, in which form it answers.
pub(crate) type Translated = (Request<Upload>, Option<Answer>);

/// Gives the request the provider's head. The body stays as it came, but for what a cloud has otherwise.
pub(crate) fn translate(
    provider: &Arc<Provider>,
    head: &Parts,
    open: &mut Open,
    mut body: Outgoing,
) -> Result<Translated, Refusal> {
    let record = open.record();
    record.left_out.clear();
    let model = record.model.as_deref().unwrap_or_default();
    if let Some(without) = learn::leave_out(provider, model, &body.pieces) {
        record.left_out = learn::noted(provider, model, &without, &head.headers);
        body.bytes = without.pieces.iter().map(|piece| piece.len() as u64).sum();
        (body.pieces, body.unwanted) = (without.pieces, without.betas);
    }
    let plain;
    let (credential_name, credential) = match &provider.face {
        Face::Caller(added) => return by_caller(provider, head, body, added),
        Face::Plain(name, value) if body.form == Form::Messages => (name, value),
        face @ (Face::Plain(..) | Face::Cloud(..)) => {
            let cloud = match face {
                Face::Cloud(dialect, credential) => (&**dialect, credential),
                Face::Plain(name, value) => {
                    plain = ingress::as_dialect(provider, name, value);
                    (&plain.0, &plain.1)
                }
                Face::Caller(_) => return Err(Refusal::UnknownPath),
            };
            let (mut request, answer) = cloud::request(provider, cloud, head, open, body)?;
            open.pass_on(&head.headers, request.headers_mut());
            return Ok((request, Some(answer)));
        }
    };
    let target = provider.target(head.uri.path(), head.uri.query()).ok_or(Refusal::HeadTooLarge)?;
    let mut headers = gatehouse_providers::anthropic::request_headers(&head.headers);
    learn::without_betas(&mut headers, &body.unwanted);
    headers.insert(header::HOST, provider.authority.clone());
    headers.insert(credential_name.clone(), credential.clone());
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.bytes));
    open.pass_on(&head.headers, &mut headers);
    let mut request = Request::new(Upload::new(body.pieces, body.bytes, body.reservation));
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = target;
    *request.headers_mut() = headers;
    Ok((request, None))
}

/// A guest's request for its own host: as it came, but that its reply must be readable for us.
fn by_caller(
    provider: &Provider,
    head: &Parts,
    body: Outgoing,
    added: &[(HeaderName, HeaderValue)],
) -> Result<Translated, Refusal> {
    let target = provider.target(head.uri.path(), head.uri.query()).ok_or(Refusal::HeadTooLarge)?;
    let mut headers = passed::request_headers(&head.headers, provider, added);
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.bytes));
    let mut request = Request::new(Upload::new(body.pieces, body.bytes, body.reservation));
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = target;
    *request.headers_mut() = headers;
    Ok((request, None))
}

/// An attempt that got no head of a reply that could be handed on.
pub(crate) struct Failed {
    pub(crate) open: Open,
    pub(crate) why: Refusal,
    pub(crate) ended: Ended,
    /// What went wrong with the provider; none where it was not the provider, and nobody else is to be asked.
    pub(crate) fault: Option<Fault>,
}

/// Sends a request and waits for the reply's head, at most for this long.
pub(crate) async fn send(
    worker: &Rc<Worker>,
    mut open: Open,
    active: &Rc<Active>,
    provider: &Arc<Provider>,
    (mut request, answer): Translated,
    first_byte: Duration,
) -> Result<(Held, Response<()>), Box<Failed>> {
    let mut pooled = worker.pool.take(provider);
    loop {
        let reused = pooled.is_some();
        let upstream: Box<Upstream> = match pooled.take() {
            Some(upstream) => upstream,
            None => match worker.pool.connect(provider).await {
                Ok(upstream) => upstream,
                Err(why) => {
                    open.nothing_consumed();
                    let is_full = matches!(why, Refusal::Overloaded(_));
                    let fault = Some(if is_full { Fault::NotSent } else { Fault::Connect });
                    return Err(Box::new(Failed { open, why, ended: Ended::UpstreamFailed, fault }));
                }
            },
        };
        let flow = Flow::send(worker, open, Rc::clone(active), provider, upstream, (request, answer));
        let mut held = Held::new(flow.within(first_byte));
        let (why, ended, fault) = match std::future::poll_fn(|cx| held.flow().poll_head(cx)).await {
            Ok(head) if is_odd(&head) => {
                let status = head.status().as_u16();
                tracing::error!(provider = %provider.name, status, "what answers at the provider's address is none");
                if !head.status().is_success() {
                    held.flow().open.nothing_consumed();
                }
                (Refusal::UpstreamOdd, Ended::UpstreamFailed, Some(Fault::Garbage))
            }
            Ok(head) => {
                held.flow().expect(&head);
                return Ok((held, head));
            }
            // The provider had closed the connection that we kept: nothing was sent, so it is safe to try another.
            Err(NoHead::Unsent(again)) if reused => {
                (open, request) = (held.into_flow().open, *again);
                continue;
            }
            Err(NoHead::Unsent(_)) => {
                held.flow().open.nothing_consumed();
                (Refusal::Unreachable, Ended::UpstreamFailed, Some(Fault::Connect))
            }
            Err(NoHead::Broken(error)) => {
                tracing::warn!(provider = %provider.name, %error, "the provider broke off before its reply began");
                (Refusal::UpstreamBroken, Ended::UpstreamFailed, Some(Fault::Broken))
            }
            Err(NoHead::Timeout) => (Refusal::UpstreamTimeout, Ended::UpstreamFailed, Some(Fault::Timeout)),
            Err(NoHead::Cut(cut)) => (cut.refusal(), cut.ended(), None),
        };
        return Err(Box::new(Failed { open: held.into_flow().open, why, ended, fault }));
    }
}

/// Whether a head is one that no Messages API sends. A redirect would lead the client, with its key, to somewhere else;
/// a protocol switch or a compression that we asked not to have cannot be metered.
fn is_odd(head: &Response<()>) -> bool {
    let status = head.status();
    status.is_informational()
        || status.is_redirection()
        || (status.is_success()
            && head.headers().get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity"))
}
