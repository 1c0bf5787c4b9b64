//! The listener for telemetry by gRPC: HTTP/2 without an upgrade, in TLS or not, with bounds on connections, streams and heads.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gatehouse_control::telemetry::{Grpc, Unknown, Whose};
use gatehouse_domain::exchange::Principal;
use gatehouse_domain::key::{KeyKind, VirtualKey};
use gatehouse_domain::policy::{Denied, Grant};
use gatehouse_domain::token;
use gatehouse_listener::{Certified, Person};
use http::{HeaderMap, header};
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use super::admin::{Impatient, Room, Seats};
use super::live::Live;
use super::portal::SignIn;
use crate::clock;
use crate::fetch::Net;

/// Requests under way on one connection; a client sends one after the other.
const STREAMS: u32 = 16;
/// Largest head in bytes.
const MAX_HEAD: u32 = 16 * 1024;
/// A client must have greeted this long after it has connected.
const GREETING: Duration = Duration::from_secs(30);
/// A client that takes nothing of its answer for this long is cut off.
const WRITE_STALL: Duration = Duration::from_secs(30);
/// A connection is asked whether anybody is there after this long, and closed when nobody answers as long again.
const ALIVE: Duration = Duration::from_mins(1);
/// Pause after a failed accept (mostly: no more file descriptors), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a request may wait for the policy to be brought up to date.
const CATCH_UP: Duration = Duration::from_secs(2);
/// What is said to whoever shows a client certificate that is not theirs.
const ANOTHER: Unknown = Unknown("the client certificate is not of the person whose credential this is");

/// A listener for [`serve`].
///
/// # Errors
/// The operating system.
pub(super) fn listen(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Serves telemetry until the task is aborted. Open connections are bounded as those of the gateway.
pub(super) fn serve(
    listener: TcpListener,
    live: &Arc<Live>,
    portal: &Arc<SignIn>,
) -> impl Future<Output = ()> + use<> {
    let grpc = Grpc::new(Arc::clone(portal));
    let door = Door { live: Arc::clone(live), grpc, seats: Arc::default() };
    async move {
        loop {
            match listener.accept().await {
                Ok((socket, peer)) => door.admit(socket, peer),
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection on the telemetry listener failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// What connections share.
struct Door {
    live: Arc<Live>,
    grpc: Grpc<Net>,
    seats: Arc<Seats>,
}

impl Door {
    /// Takes a connection in, or closes it at once when there is no seat for it.
    fn admit(&self, socket: TcpStream, peer: SocketAddr) {
        let limits = &self.live.config.load().gateway.limits;
        let room = Room { seats: limits.max_connections, for_one: limits.max_connections_per_address };
        let Some(seat) = Seats::take_full(&self.seats, peer.ip(), room) else { return };
        let (live, grpc) = (Arc::clone(&self.live), self.grpc.clone());
        tokio::spawn(async move {
            converse(socket, peer, &live, grpc).await;
            drop(seat);
        });
    }
}

async fn converse(socket: TcpStream, peer: SocketAddr, live: &Arc<Live>, grpc: Grpc<Net>) {
    let entrance = Arc::clone(&live.entrances.otlp);
    let Ok(Ok(arrived)) = tokio::time::timeout(GREETING, entrance.take(socket, peer.ip())).await else {
        return;
    };
    let (stream, shown) = (arrived.stream, arrived.certificate.map(Arc::new));
    let asking = Arc::clone(live);
    let whose: Whose = Arc::new(move |headers| {
        let (live, shown) = (Arc::clone(&asking), shown.clone());
        Box::pin(async move {
            let whose = whose(&live, &headers).await?;
            if is_holder(&live, shown.as_deref(), &whose) { Ok(whose) } else { Err(ANOTHER) }
        })
    });
    let service = service_fn(move |request| {
        let (grpc, whose) = (grpc.clone(), Arc::clone(&whose));
        async move { Ok::<_, Infallible>(grpc.answer(&whose, request).await) }
    });
    let mut http = Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(MAX_HEAD)
        .keep_alive_interval(ALIVE)
        .keep_alive_timeout(ALIVE);
    // Its errors are the client's: hung up, talked nonsense, or was too slow.
    drop(http.serve_connection(TokioIo::new(Impatient::new(stream, WRITE_STALL)), service).await);
}

/// Whether the client certificate of a connection, if it must say whose it is, says the person of a request.
fn is_holder(live: &Live, shown: Option<&Certified>, whose: &Principal) -> bool {
    match (live.entrances.otlp.rules().person, shown) {
        (_, None) | (Person::Any, Some(_)) => true,
        (Person::Holder, Some(Certified::Unclear)) => false,
        (Person::Holder, Some(Certified::For(email))) => {
            let policy = live.policy.load();
            policy.proxy().people.by_email(email).is_some_and(|member| member.user == whose.user)
        }
    }
}

/// Whose key or session a request carries.
async fn whose(live: &Live, headers: &HeaderMap) -> Result<Principal, Unknown> {
    let text = credential(headers)
        .ok_or(Unknown("no credential: send a key or an access token as `authorization: Bearer …`"))?;
    let mut found = look(live, text);
    if found == Err(Look::NotHere) {
        // The session may have begun a moment ago, perhaps on another node.
        live.fresh.changed();
        let _ = live.fresh.in_force(CATCH_UP).await;
        found = look(live, text);
    }
    found.map(|grant| grant.principal()).map_err(|why| match why {
        Look::NotHere => Unknown("the session is over: sign in again"),
        Look::Refused(why) => Unknown(why),
    })
}

fn credential(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, rest) = value.as_bytes().split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| rest.trim_ascii())
    });
    bearer.or_else(|| headers.get("x-api-key").map(|value| value.as_bytes().trim_ascii()))
}

/// Why a first look finds nobody.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// The policy does not hold the session.
    NotHere,
    Refused(&'static str),
}

fn look(live: &Live, text: &[u8]) -> Result<Grant, Look> {
    let (policy, now) = (live.policy.load(), clock::now());
    if text.starts_with(token::PREFIX.as_bytes()) {
        let token = policy
            .token(text, now)
            .map_err(|_| Look::Refused("the access token is expired or not of ours"))?;
        return policy.session(token.session, now).map(Grant::Session).map_err(|why| match why {
            Denied::Unknown => Look::NotHere,
            Denied::Expired | Denied::Disabled | Denied::Revoked | Denied::HolderDisabled => {
                Look::Refused("the session is over: sign in again")
            }
        });
    }
    let key = VirtualKey::parse(KeyKind::Virtual, text)
        .map_err(|_| Look::Refused("the credential is no key of this gateway, or mistyped"))?;
    match policy.identify(&key, now) {
        Ok(grant) if !grant.purpose.includes_gateway() => {
            Err(Look::Refused("the key is for the forward proxy only"))
        }
        Ok(grant) => {
            if let Some(new) = policy.rehash(&key, &grant) {
                live.rehashes.note(grant.id, grant.hash, new);
            }
            Ok(Grant::Key(grant))
        }
        Err(_) => Err(Look::Refused("the key is unknown, expired, disabled or revoked")),
    }
}
