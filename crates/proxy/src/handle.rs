//! One connection, stage by stage.

mod open;
mod inspect;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use gatehouse_domain::id::TunnelId;
use gatehouse_domain::proxy::{
    Answer as Found, Answers, Close, Decision, Dial, End, Form, Host, Question, Refusal, Tunnel, Verdict,
    decide,
};
use gatehouse_domain::time::UnixMillis;
use gatehouse_listener::{Certified, announced, greeted, shown};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::answers::answers;
use crate::carry::Client;
use crate::head::{BadHead, Head, parse};
use crate::identify::{self, Known, Peer, identify};
use crate::metric;
use crate::refuse::{After, Answer};
use crate::serve::Shared;

/// Most requests on one connection: those before a tunnel are challenges.
const MAX_HEADS: usize = 8;
/// What a TLS connection begins with.
const TLS: u8 = 22;

/// A connection, and what was read of it.
pub(crate) struct Connection {
    client: Client,
    unread: Vec<u8>,
}

/// A request that was read and whose sender is known.
pub(crate) struct Asked {
    head: Head,
    known: Arc<Known>,
    client: IpAddr,
    started_at: UnixMillis,
    resolve_ms: Option<u32>,
}

/// Where it goes.
pub(crate) enum Route {
    /// To our own gateway.
    Gateway,
    /// To checked addresses.
    Dial(Dial),
}

/// Serves a connection until it ends.
pub(crate) async fn serve(shared: Arc<Shared>, stream: TcpStream, address: IpAddr) {
    let limit = shared.parts.settings.load().limits.head;
    let begun = timeout_at(Instant::now() + limit, begin(&shared, stream, address)).await;
    let Ok(Some((client, address, certificate))) = begun else { return };
    let peer = Peer { address, certificate };
    let mut connection = Connection { client, unread: Vec::new() };
    for turn in 1..=MAX_HEADS {
        let after = if turn < MAX_HEADS { After::Keep } else { After::Close };
        match request(&shared, connection, &peer, after).await {
            Some(again) => connection = again,
            None => return,
        }
    }
}

/// Hears whose the connection is from a proxy in front, looks at the first byte, and speaks TLS if it is meant so.
async fn begin(
    shared: &Shared,
    mut stream: TcpStream,
    address: IpAddr,
) -> Option<(Client, IpAddr, Option<Certified>)> {
    let settings = shared.parts.settings.load_full();
    let announced = announced(&mut stream, address, settings.preamble.as_ref()).await;
    let address = announced.map_err(|why| why.counted("proxy")).ok()?;
    let mut first = [0];
    if stream.peek(&mut first).await.ok()? == 0 {
        return None;
    }
    if first[0] != TLS {
        return Some((Client::Plain(stream), address, None));
    }
    let tls = settings.tls.clone()?;
    let stream = greeted(stream, tls, "proxy").await.ok()?;
    let certificate = shown(&stream);
    Some((Client::Tls(Box::new(stream)), address, certificate))
}

/// The stages of a request. Gives the connection back when another may follow.
async fn request(
    shared: &Arc<Shared>,
    mut connection: Connection,
    peer: &Peer,
    after: After,
) -> Option<Connection> {
    let head = match read_head(shared, &mut connection).await {
        Ok(head) => head?,
        Err(answer) => return answered(connection, &answer).await,
    };
    let asked = match identified(shared, head, peer, after).await {
        Ok(asked) => asked,
        Err(answer) => return answered(connection, &answer).await,
    };
    match routed(shared, asked).await {
        Ok((asked, route)) => open::open(shared, connection, asked, route).await,
        Err(answer) => {
            answered(connection, &answer).await;
        }
    }
    None
}

/// Sends an answer; gives the connection back if it goes on.
async fn answered(mut connection: Connection, answer: &Answer) -> Option<Connection> {
    connection.client.write(&answer.bytes()).await.ok()?;
    match answer.after {
        After::Keep => Some(connection),
        After::Close => {
            connection.client.leave().await;
            None
        }
    }
}

/// Reads a head in time. `Ok(None)`: the client said nothing and left.
async fn read_head(shared: &Shared, connection: &mut Connection) -> Result<Option<Head>, Answer> {
    let end = Instant::now() + shared.parts.settings.load().limits.head;
    loop {
        match parse(&connection.unread) {
            Ok(Some((head, length))) => {
                connection.unread.drain(..length);
                return Ok(Some(head));
            }
            Ok(None) => {}
            Err(bad) => {
                metric::decided("none", Verdict::Deny);
                return Err(Answer::bad_head(&bad));
            }
        }
        match timeout_at(end, connection.client.read_more(&mut connection.unread)).await {
            Ok(Ok(0)) if !connection.unread.is_empty() => {
                return Err(Answer::bad_head(&BadHead::Malformed("it ends within its head")));
            }
            Ok(Ok(1..)) => {}
            Err(_) if !connection.unread.is_empty() => return Err(Answer::late()),
            // It has left, or is a kept connection that is not used any more, which is no slow head.
            Ok(Ok(0) | Err(_)) | Err(_) => return Ok(None),
        }
    }
}

/// Finds out who asks.
async fn identified(shared: &Arc<Shared>, head: Head, peer: &Peer, after: After) -> Result<Asked, Answer> {
    let started_at = shared.now();
    // What may have a body cannot be followed by another request without reading it.
    let after = if head.form == Form::Connect { after } else { After::Close };
    let settings = shared.parts.settings.load();
    let is_over = || shared.strangers.is_over(peer.address, settings.limits.max_strangers, started_at);
    let (answer, why, over) = match identify(shared, &head, peer).await {
        identify::Found::Known(known) => {
            let (known, client) = (Arc::new(known), peer.address);
            return Ok(Asked { head, known, client, started_at, resolve_ms: None });
        }
        identify::Found::Nobody => (Answer::nobody(&settings.contact, after), "nobody", is_over()),
        identify::Found::Wrong(why) if is_over() => (Answer::slow_down(), why, true),
        identify::Found::Wrong(why) => (Answer::wrong(&settings.contact, after), why, false),
    };
    metric::decided(head.form.as_str(), Verdict::Deny);
    if over {
        metric::unrecorded();
    } else {
        tracing::info!(why, host = %head.destination.host, "the proxy refused a stranger");
        let rule = answer.rule.clone();
        refusal_noted(shared, blank(shared, &head, peer.address, started_at, rule));
    }
    Err(answer)
}

/// Decides, looks the name up, decides about its addresses.
async fn routed(shared: &Arc<Shared>, mut asked: Asked) -> Result<(Asked, Route), Answer> {
    let refusal = match decision(shared, &asked, Answers::NotAsked) {
        Decision::Gateway => return Ok((asked, Route::Gateway)),
        Decision::Dial(dial) => return Ok((asked, Route::Dial(dial))),
        Decision::Refuse(refusal) => refusal,
        Decision::Resolve => {
            let began = Instant::now();
            let found = addresses(shared, &asked.head).await;
            asked.resolve_ms = Some(millis(began.elapsed()));
            let is_by_parent = || shared.parts.egress.is_by_parent(&asked.head.destination);
            let answers = match found.as_deref() {
                None | Some([]) if is_by_parent() => Answers::Delegated,
                None => Answers::Failed,
                Some(found) => Answers::Found(found),
            };
            match decision(shared, &asked, answers) {
                Decision::Gateway => return Ok((asked, Route::Gateway)),
                Decision::Dial(dial) => return Ok((asked, Route::Dial(dial))),
                Decision::Refuse(refusal) => refusal,
                Decision::Resolve => Refusal {
                    kind: gatehouse_domain::proxy::RefusalKind::Unknown,
                    rule: "resolution".to_owned(),
                    why: "the name cannot be looked up now".into(),
                },
            }
        }
    };
    metric::decided(asked.head.form.as_str(), Verdict::Deny);
    refusal_noted(shared, Tunnel { verdict: Verdict::Deny, ..asked.record(shared, refusal.rule.clone()) });
    let contact = &shared.parts.settings.load().contact;
    Err(Answer::refused(&refusal, &asked.head.destination, contact))
}

fn decision(shared: &Shared, asked: &Asked, answers: Answers<'_>) -> Decision {
    let settings = shared.parts.settings.load();
    let snapshot = shared.parts.policy.load();
    let question = Question {
        who: Some(&asked.known.who),
        form: asked.head.form,
        destination: &asked.head.destination,
        now: asked.started_at,
    };
    decide(&settings.gate, &snapshot.proxy().policy, &question, answers)
}

/// The addresses of the host, once; `None` when it cannot be looked up.
async fn addresses(shared: &Shared, head: &Head) -> Option<Vec<Found>> {
    let limit = shared.parts.settings.load().limits.resolve;
    let addresses = match &head.destination.host {
        Host::Address(address) => vec![*address],
        Host::Name(name) => shared.parts.resolver.addresses(name, limit).await?,
    };
    Some(answers(&addresses, head.destination.port, &shared.parts.own))
}

impl Asked {
    /// The record as it begins.
    fn record(&self, shared: &Shared, rule: String) -> Tunnel {
        Tunnel {
            user: Some(self.known.who.user),
            via: Some(self.known.via),
            verdict: Verdict::Allow,
            resolve_ms: self.resolve_ms,
            ..blank(shared, &self.head, self.client, self.started_at, rule)
        }
    }
}

/// A record of somebody who is not known.
fn blank(shared: &Shared, head: &Head, client: IpAddr, started_at: UnixMillis, rule: String) -> Tunnel {
    Tunnel {
        id: TunnelId::new(started_at, rand::random()),
        org: shared.parts.org,
        node: shared.parts.node,
        user: None,
        via: None,
        client,
        form: head.form.as_str().to_owned(),
        host: head.destination.host.to_string(),
        port: head.destination.port,
        pinned: None,
        rule,
        verdict: Verdict::Deny,
        started_at,
        resolve_ms: None,
        connect_ms: None,
        inspected: None,
        end: None,
    }
}

/// Writes a refusal down: it begins and ends at once. Where there is no room it is only counted, since nothing went through.
fn refusal_noted(shared: &Shared, mut tunnel: Tunnel) {
    tunnel.end = Some(End { at: shared.now(), up: 0, down: 0, why: Close::Refused });
    metric::ended(&tunnel);
    if shared.parts.records.write(&tunnel).is_err() {
        metric::record_lost();
    }
}

pub(crate) fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
