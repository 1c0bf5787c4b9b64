//! A request that is not served: recorded, then answered.

use std::rc::Rc;

use gatehouse_domain::exchange::Ended;
use http::{HeaderValue, Response, header};
use hyper::body::Incoming;

use crate::connection::Connection;
use crate::inspect;
use crate::open::Open;
use crate::refusal::Refusal;
use crate::reply::{ReplyBody, whole};
use crate::worker::Worker;

/// A request that is not served.
pub(crate) struct Refused {
    open: Open,
    why: Refusal,
    ended: Ended,
    /// What has not been read of its body.
    rest: Option<Incoming>,
}

impl Refused {
    pub(crate) fn new(open: Open, why: Refusal, rest: Option<Incoming>) -> Box<Self> {
        Box::new(Self { open, why, ended: Ended::Refused, rest })
    }

    pub(crate) fn failed(open: Open, why: Refusal, ended: Ended) -> Box<Self> {
        Box::new(Self { open, why, ended, rest: None })
    }

    /// Records the refusal, then answers.
    pub(crate) async fn answer(
        mut self,
        worker: &Rc<Worker>,
        connection: &Rc<Connection>,
    ) -> Response<ReplyBody> {
        let mut response = self.why.response(self.open.request_id());
        self.open.refused(&self.why);
        let ticket = self.open.close(self.ended);
        if self.rest.as_mut().is_some_and(|rest| !inspect::read_away(rest)) {
            // The answer does not wait for what the client is still sending; the connection lingers for it.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            connection.linger();
        }
        if worker.shared.ledger.ready().is_ok() {
            std::future::poll_fn(|cx| worker.poll_durable(ticket, cx)).await;
        }
        whole(response, worker, connection)
    }
}
