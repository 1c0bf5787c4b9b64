//! The admin listener: the management API over HTTP/1.1, with bounds on connections, heads and waits.
//!
//! Whoever reaches the listener can open connections without a token, so none of them may keep others out for long:
//! a head that does not come and a reply that is not read end their connection, one address gets part of the seats only,
//! and a few seats answer nothing but probes, each for a moment.

mod seat;
mod stall;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::connect_info::ConnectInfo;
use gatehouse_control::api::auth::ShownCertificate;
use gatehouse_control::{App, probe_router, router};
use gatehouse_gateway::settings::{Settings, client_of};
use gatehouse_listener::{Arrived, Certified, Entrance, Person};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};

use seat::Kind;
pub(super) use seat::{Room, Seats};
pub(super) use stall::Impatient;

/// A request's head must be complete this long after the connection is ready for it.
const HEAD: Duration = Duration::from_secs(30);
/// A client that takes nothing of its reply for this long is cut off.
const WRITE_STALL: Duration = Duration::from_secs(30);
/// How long a connection may take in all on a seat that is kept for probes.
const PROBE: Duration = Duration::from_secs(3);
/// Headers of one request; beyond it 431.
const MAX_HEADERS: usize = 64;
/// Largest head in bytes; beyond it 431.
const MAX_HEAD: usize = 32 * 1024;
/// Pause after a failed accept (mostly: no more file descriptors), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves the management API on a listener until the task is aborted. A connection for which there is no seat is closed
/// at once.
pub(super) async fn serve(
    listener: TcpListener,
    app: App,
    settings: Arc<ArcSwap<Settings>>,
    entrance: Arc<Entrance>,
) {
    let (seats, all, probes) = (Arc::new(Seats::default()), router(app.clone()), probe_router(app));
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                let Some(seat) = Seats::take(&seats, peer.ip()) else { continue };
                let (all, probes) = (all.clone(), probes.clone());
                let (settings, entrance) = (Arc::clone(&settings), Arc::clone(&entrance));
                tokio::spawn(async move {
                    match seat.kind() {
                        Kind::Full => converse(socket, peer, all, &entrance, settings, http()).await,
                        Kind::Probe => {
                            let mut once = http();
                            once.keep_alive(false);
                            let answering = converse(socket, peer, probes, &entrance, settings, once);
                            // Who takes longer asks again.
                            drop(tokio::time::timeout(PROBE, answering).await);
                        }
                    }
                    drop(seat);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a connection on the admin listener failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn http() -> Builder {
    let mut http = Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_headers(MAX_HEADERS).max_buf_size(MAX_HEAD);
    http
}

async fn converse(
    socket: TcpStream,
    peer: SocketAddr,
    routes: Router,
    entrance: &Entrance,
    settings: Arc<ArcSwap<Settings>>,
    http: Builder,
) {
    let Ok(Ok(arrived)) = tokio::time::timeout(HEAD, entrance.take(socket, peer.ip())).await else { return };
    let Arrived { stream, address, certificate } = arrived;
    let certificate = certificate.filter(|_| entrance.rules().person == Person::Holder);
    let shown = certificate.map(|certificate| match certificate {
        Certified::For(email) => ShownCertificate(Some(email)),
        Certified::Unclear => ShownCertificate(None),
    });
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        let from = client_of(&settings.load().proxies, address, request.headers());
        if let Some(shown) = &shown {
            request.extensions_mut().insert(shown.clone());
        }
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(from, peer.port())));
        TowerToHyperService::new(routes.clone()).call(request)
    });
    let serving = http.serve_connection(TokioIo::new(Impatient::new(stream, WRITE_STALL)), service);
    // Its errors are the client's: hung up, talked nonsense (which has been answered), or was too slow.
    drop(serving.await);
}
