//! One provider, and no other to take over; and asking the same one once more without what it does not know.

use std::rc::Rc;
use std::sync::Arc;

use gatehouse_domain::exchange::Attempt;
use gatehouse_domain::routing::Fault;
use http::Response;

use crate::cloud::fetch_credential;
use crate::failover::intends;
use crate::handle::Granted;
use crate::held::Held;
use crate::learn;
use crate::open::Open;
use crate::refusal::Refusal;
use crate::send::{Failed, Outgoing, send, translate};
use crate::settings::Provider;
use crate::worker::Worker;

/// Sends the request to the only provider that can answer it; once more, if that has said what it does not know.
pub(crate) async fn only(
    worker: &Rc<Worker>,
    granted: Granted,
    provider: &Arc<Provider>,
) -> Result<Sent, (Box<Open>, Refusal)> {
    let Granted { mut open, head, active, body, .. } = granted;
    let (outgoing, spare) = if learn::is_kept(worker, body.bytes) {
        (Outgoing::of(&body), Some(body))
    } else {
        (Outgoing::once(body), None)
    };
    fetch_credential(worker, provider, &mut open).await;
    let translated = match translate(provider, &head, &mut open, outgoing) {
        Ok(translated) => translated,
        Err(why) => return Err((Box::new(open), why)),
    };
    if !intends(worker, &mut open) {
        return Err((Box::new(open), Refusal::LedgerFull));
    }
    let sent = send(worker, open, &active, provider, translated, provider.first_byte).await;
    let Some(body) = spare else { return Ok(sent) };
    let (mut held, answer) = match sent {
        Ok(reply) => reply,
        Err(failed) => return Ok(Err(failed)),
    };
    if !learn::is_worth_another(worker, &mut held, &answer, provider, (&head.headers, &body.pieces)).await {
        return Ok(Ok((held, answer)));
    }
    open = once_more(provider, held);
    let translated = match translate(provider, &head, &mut open, Outgoing::of(&body)) {
        Ok(translated) => translated,
        Err(why) => return Err((Box::new(open), why)),
    };
    if !intends(worker, &mut open) {
        return Err((Box::new(open), Refusal::LedgerFull));
    }
    Ok(send(worker, open, &active, provider, translated, provider.first_byte).await)
}

/// What comes of sending.
pub(crate) type Sent = Result<(Held, Response<()>), Box<Failed>>;

/// A request that its provider has refused for what it does not know, about to be sent without it.
pub(crate) fn once_more(provider: &Provider, held: Held) -> Open {
    let mut open = held.into_flow().open;
    let fault = Fault::Unsupported;
    provider.health.count(&provider.name, Some(fault));
    let ended_ms = open.elapsed_ms();
    open.begin_anew(Attempt { provider: provider.name.to_string(), fault, ended_ms });
    open
}
