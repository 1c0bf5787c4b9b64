//! The admin listener: the management API over HTTP/1.1, with bounds on connections, heads and waits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Open connections. Beyond it a new one waits in the listener's queue.
const MAX_CONNECTIONS: usize = 512;
/// A request's head must be complete this long after the connection is ready for it.
const HEAD: Duration = Duration::from_secs(30);
/// Headers of one request; beyond it 431.
const MAX_HEADERS: usize = 64;
/// Largest head in bytes; beyond it 431.
const MAX_HEAD: usize = 32 * 1024;
/// Pause after a failed accept (mostly: no more file descriptors), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves the routes on a listener until the task is aborted.
pub(super) async fn serve(listener: TcpListener, routes: Router) {
    let seats = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(seat) = Arc::clone(&seats).acquire_owned().await {
        match listener.accept().await {
            Ok((socket, peer)) => {
                let routes = routes.clone();
                tokio::spawn(async move {
                    converse(socket, peer, routes).await;
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

async fn converse(socket: TcpStream, peer: SocketAddr, routes: Router) {
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        TowerToHyperService::new(routes.clone()).call(request)
    });
    let serving = Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(socket), service);
    // Its errors are the client's: hung up, talked nonsense (which has been answered), or was too slow.
    drop(serving.await);
}
