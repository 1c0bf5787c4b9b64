//! The bodies of our replies.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use gatehouse_providers::cloud::Frames;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::connection::{Connection, Phase, Tick as _};
use crate::relay::Relay;
use crate::worker::Worker;

/// The connection to the client is to be cut: the reply cannot be completed.
#[derive(Debug, thiserror::Error)]
#[error("the reply was cut")]
pub(crate) struct CutOff;

/// A reply's body. When it is dropped, the connection rests again.
pub(crate) struct ReplyBody {
    content: Content,
    /// Makes frames of a stream's events, for a client that takes those.
    frames: Option<Box<Frames>>,
    worker: Rc<Worker>,
    connection: Rc<Connection>,
}

/// What a reply consists of.
pub(crate) enum Content {
    /// Bytes of our own, all at once.
    Whole(Option<Bytes>),
    /// What the upstream sends.
    Relayed(Box<Relay>),
    /// What a guest's host sends, as it is.
    Passed(Incoming),
}

impl ReplyBody {
    pub(crate) fn new(content: Content, worker: &Rc<Worker>, connection: &Rc<Connection>) -> Self {
        Self { content, frames: None, worker: Rc::clone(worker), connection: Rc::clone(connection) }
    }

    /// All of it, where it is bytes of our own.
    pub(crate) fn whole_mut(&mut self) -> Option<&mut Bytes> {
        match &mut self.content {
            Content::Whole(bytes) => bytes.as_mut(),
            Content::Relayed(_) | Content::Passed(_) => None,
        }
    }

    /// Puts these bytes in its place.
    pub(crate) fn replace(&mut self, bytes: Bytes) {
        self.content = Content::Whole(Some(bytes));
    }

    /// Sends the events of a stream as frames.
    pub(crate) fn frame(&mut self, mut frames: Frames) {
        if let Content::Whole(Some(bytes)) = &mut self.content {
            *bytes = frames.feed(bytes);
        } else {
            self.frames = Some(Box::new(frames));
        }
    }
}

impl Drop for ReplyBody {
    fn drop(&mut self) {
        self.connection.enter(Phase::Idle, self.worker.tick());
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        let Self { content, frames, .. } = &mut *self;
        match content {
            Content::Whole(bytes) => {
                Poll::Ready(bytes.take().filter(|b| !b.is_empty()).map(|b| Ok(Frame::data(b))))
            }
            Content::Passed(body) => Pin::new(body).poll_frame(cx).map_err(|_| CutOff),
            Content::Relayed(relay) => loop {
                let next = ready!(relay.poll_bytes(cx));
                let (Some(frames), Some(Ok(bytes))) = (frames.as_mut(), &next) else {
                    return Poll::Ready(next.map(|bytes| bytes.map(Frame::data)));
                };
                let bytes = frames.feed(bytes);
                if !bytes.is_empty() {
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Content::Relayed(relay) => relay.is_done(),
            Content::Passed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Content::Passed(body) => body.size_hint(),
            Content::Relayed(relay) => relay.length().map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

/// A reply with this content.
pub(crate) fn whole(
    response: Response<Bytes>,
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
) -> Response<ReplyBody> {
    response.map(|bytes| ReplyBody::new(Content::Whole(Some(bytes)), worker, connection))
}

/// A whole reply as bytes on the wire that also ends the connection, for where hyper does not let us answer.
pub(crate) fn raw(response: &Response<Bytes>) -> Bytes {
    let status = response.status();
    let mut out = Vec::with_capacity(512);
    let reason = status.canonical_reason().unwrap_or("Error");
    out.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).as_bytes());
    for (name, value) in response.headers().iter().filter(|(name, _)| *name != http::header::CONNECTION) {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(
        format!("content-length: {}\r\nconnection: close\r\n\r\n", response.body().len()).as_bytes(),
    );
    out.extend_from_slice(response.body());
    out.into()
}
