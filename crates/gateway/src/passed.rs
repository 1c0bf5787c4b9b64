//! Requests of guests that go on as they are: to the very host that the client meant, with its own credential.

use std::rc::Rc;

use gatehouse_domain::exchange::{Ended, Kind};
use gatehouse_egress::NotOpened;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;

use crate::connection::Connection;
use crate::guest::Inside;
use crate::handle::readable;
use crate::open::Open;
use crate::refusal::Refusal;
use crate::refused::Refused;
use crate::reply::{Content, ReplyBody};
use crate::settings::{Face, Provider};
use crate::upstream::{NotDialed, dial, unreachable};
use crate::worker::Worker;

/// Headers that are for one connection only (RFC 9110, section 7.6.1), or for a proxy, or that we write anew; sorted. Without
/// `Upgrade` nothing leaves HTTP/1.1, so that all that passes is seen.
const HOP: [&str; 13] = [
    "connection",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// The headers of a message that go on: all but those for one connection.
pub(crate) fn headers(given: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::with_capacity(given.len() + 2);
    for (name, value) in given {
        if HOP.binary_search(&name.as_str()).is_err() && !is_named_by_connection(given, name.as_str()) {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}

fn is_named_by_connection(headers: &HeaderMap, name: &str) -> bool {
    let lists = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    // What says where a body ends stays, whoever asks for it.
    name != "content-length"
        && lists.flat_map(|list| list.split(',')).any(|token| token.trim().eq_ignore_ascii_case(name))
}

/// The headers of a guest's request as their host gets them: what the operator adds takes the place of what the client says.
pub(crate) fn request_headers(
    given: &HeaderMap,
    provider: &Provider,
    added: &[(HeaderName, HeaderValue)],
) -> HeaderMap {
    let mut kept = headers(given);
    for (name, value) in added {
        kept.insert(name.clone(), value.clone());
    }
    kept.insert(header::HOST, provider.authority.clone());
    kept
}

/// Passes a request on, and its reply back. What does not come to that leaves a record.
pub(crate) async fn pass(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    inside: &Inside,
    head: Parts,
    body: Incoming,
) -> Response<ReplyBody> {
    let noted = (head.headers.clone(), head.method.clone());
    match sent(inside, head, body).await {
        Ok(reply) => {
            let (mut head, body) = reply.into_parts();
            head.headers = headers(&head.headers);
            Response::from_parts(head, ReplyBody::new(Content::Passed(body), worker, connection))
        }
        Err(why) => {
            let mut open = Open::new(worker, connection, Kind::Other);
            open.note_head(&noted.0);
            open.note_grant(&inside.grant);
            Refused::failed(open, why, Ended::UpstreamFailed).answer(worker, connection).await
        }
    }
}

/// Refuses a request that is neither for the stages nor to be passed on.
pub(crate) async fn refuse(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    inside: &Inside,
    (head, body): (Parts, Incoming),
    why: Refusal,
) -> Response<ReplyBody> {
    let mut open = Open::new(worker, connection, Kind::Other);
    open.note_head(&head.headers);
    open.note_grant(&inside.grant);
    let rest = readable(&head.headers, body);
    Refused::new(open, why, rest).answer(worker, connection).await
}

async fn sent(inside: &Inside, head: Parts, body: Incoming) -> Result<Response<Incoming>, Refusal> {
    let provider = &inside.provider;
    let added: &[_] = match &provider.face {
        Face::Caller(added) => added,
        Face::Plain(..) | Face::Cloud(..) => &[],
    };
    let mut request = Request::new(body);
    *request.method_mut() = head.method;
    *request.uri_mut() = provider.target(head.uri.path(), head.uri.query()).ok_or(Refusal::HeadTooLarge)?;
    *request.headers_mut() = request_headers(&head.headers, provider, added);
    // A connection of an earlier request may have been closed meanwhile.
    if let Some(mut sender) = inside.take_link()
        && sender.ready().await.is_ok()
    {
        match sender.try_send_request(request).await {
            Ok(reply) => {
                inside.keep_link(sender);
                return Ok(reply);
            }
            Err(mut failed) => match failed.take_message() {
                Some(unsent) => request = unsent,
                None => return Err(Refusal::UpstreamBroken),
            },
        }
    }
    let mut sender = link(provider).await?;
    let reply = sender.send_request(request).await.map_err(|_| Refusal::UpstreamBroken)?;
    inside.keep_link(sender);
    Ok(reply)
}

/// A connection to the guest's host. It ends with who holds its sender.
async fn link(provider: &Provider) -> Result<SendRequest<Incoming>, Refusal> {
    let dialed = tokio::time::timeout(provider.connect, dial(provider)).await;
    let wire = dialed
        .unwrap_or_else(|_| Err(NotDialed::Way(NotOpened::Late(provider.place.host.clone()))))
        .map_err(|error| unreachable(provider, &error))?;
    let made = Builder::new().handshake(TokioIo::new(wire)).await;
    let (sender, driven) = made.map_err(|_| Refusal::Unreachable)?;
    tokio::task::spawn_local(async move {
        // What ends it is told by the request that is under way.
        drop(driven.await);
    });
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted() {
        assert!(HOP.is_sorted());
    }

    #[test]
    fn a_credential_goes_on_and_what_is_for_one_connection_does_not() {
        let mut given = HeaderMap::new();
        for (name, value) in [
            ("host", "api.anthropic.com"),
            ("authorization", "Bearer own"),
            ("x-api-key", "own"),
            ("cookie", "a=b"),
            ("connection", "x-hop, content-length, upgrade"),
            ("x-hop", "1"),
            ("upgrade", "websocket"),
            ("transfer-encoding", "chunked"),
            ("content-length", "2"),
        ] {
            given.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let kept = headers(&given);
        let names: Vec<&str> = kept.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["authorization", "x-api-key", "cookie", "content-length"]);
    }
}
