//! Listening, workers, draining.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use gatehouse_domain::policy::Snapshot;
use gatehouse_listener::{Entrance, Stream};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::sync::mpsc::Receiver;

use crate::connection::{Connection, Phase, Tick as _, Watched, Wire};
use crate::counters::Counters;
use crate::guest::{Guest, Guests, Inside};
use crate::handle;
use crate::inspect::Budget;
use crate::ledger::Ledger;
use crate::limits::Limiter;
use crate::observe::Meters;
use crate::portal::Portal;
use crate::reception::Reception;
use crate::routes::Routes;
use crate::settings::Settings;
use crate::witness::Witness;
use crate::worker::{Shared, Worker};

/// What the data path is given.
pub struct Parts {
    /// Limits, providers, prices; swapped whole on reload.
    pub settings: Arc<ArcSwap<Settings>>,
    /// Keys and what they may; swapped whole when anything changes.
    pub policy: Arc<ArcSwap<Snapshot>>,
    /// How connections are taken in; swapped whole on reload.
    pub entrance: Arc<Entrance>,
    /// Answers what is no model request.
    pub portal: Arc<dyn Portal>,
    /// Where the portal runs.
    pub runtime: tokio::runtime::Handle,
    /// Where exchanges are recorded.
    pub ledger: Arc<dyn Ledger>,
    /// Where budgets are counted.
    pub counters: Arc<dyn Counters>,
    /// Limits on rates.
    pub limits: Arc<Limiter>,
    /// What is remembered of sessions for routing.
    pub routes: Arc<Routes>,
    /// Is told of finished exchanges.
    pub witness: Arc<dyn Witness>,
    /// Whether `/readyz` says so.
    pub ready: Arc<AtomicBool>,
}

/// The running data path.
pub struct Gateway {
    shared: Arc<Shared>,
    guests: Guests,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<Notify>,
    ended: Arc<AtomicBool>,
}

/// Addresses and how many connections each has.
type Addresses = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// Starts serving on a listener with so many worker threads (at least one).
pub fn start(listener: &TcpListener, workers: usize, parts: Parts) -> io::Result<Gateway> {
    listener.set_nonblocking(true)?;
    let shared = Arc::new(Shared {
        settings: parts.settings,
        policy: parts.policy,
        entrance: parts.entrance,
        reception: Reception::new(parts.portal, parts.runtime),
        ledger: parts.ledger,
        counters: parts.counters,
        limits: parts.limits,
        routes: parts.routes,
        witness: parts.witness,
        ready: parts.ready,
        budget: Arc::new(Budget::default()),
        in_flight: AtomicUsize::new(0),
        connections: AtomicUsize::new(0),
        meters: Meters::new(),
        draining: AtomicBool::new(false),
        stopping: AtomicBool::new(false),
        drain: Notify::new(),
    });
    let (stop, ended) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let addresses = Addresses::default();
    let (guests, doors) = Guests::doors(workers.max(1));
    let threads = doors
        .into_iter()
        .enumerate()
        .map(|(n, door)| {
            let listener = listener.try_clone()?;
            let (shared, addresses) = (Arc::clone(&shared), Arc::clone(&addresses));
            let (stop, ended) = (Arc::clone(&stop), Arc::clone(&ended));
            std::thread::Builder::new()
                .name(format!("gateway-{n}"))
                .spawn(move || run(listener, door, shared, addresses, &stop, &ended))
        })
        .collect::<io::Result<Vec<_>>>()?;
    Ok(Gateway { shared, guests, threads, stop, ended })
}

impl Gateway {
    /// Where what the forward proxy looks into comes in.
    pub fn guests(&self) -> Guests {
        self.guests.clone()
    }

    /// Requests under way.
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::Relaxed)
    }

    /// Open client connections.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Waits until no request is under way and every reply has been sent, which is when its connection closes.
    async fn at_rest(&self, limit: Duration) {
        let began = Instant::now();
        while self.in_flight() + self.connections() > 0 && began.elapsed() < limit {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops accepting and lets what is under way finish, up to the limit; then cuts the rest. Every exchange has its
    /// record with the ledger when this returns. `now` resolves when waiting is to end early.
    pub async fn drain(self, limit: Duration, now: impl Future<Output = ()>) {
        self.shared.draining.store(true, Ordering::Relaxed);
        self.shared.drain.notify_waiters();
        tokio::select! {
            () = self.at_rest(limit) => {}
            () = now => {}
        }
        self.shared.stopping.store(true, Ordering::Relaxed);
        // What was cut ends at the workers' next sweep.
        self.at_rest(LAST_REPLIES).await;
        self.ended.store(true, Ordering::Release);
        let threads = self.threads;
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("a gateway worker had panicked");
                }
            }
        });
        while !joined.is_finished() {
            self.stop.notify_waiters();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// How long, once what is under way has been cut, the last words to clients may take.
const LAST_REPLIES: Duration = Duration::from_secs(3);

/// One worker thread's life.
fn run(
    listener: TcpListener,
    door: Receiver<Guest>,
    shared: Arc<Shared>,
    addresses: Addresses,
    stop: &Notify,
    ended: &AtomicBool,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "a gateway worker could not start its runtime"),
    };
    runtime.block_on(async move {
        let worker = Worker::new(shared);
        let tasks = [
            tokio::task::spawn_local(Rc::clone(&worker).sweep()),
            tokio::task::spawn_local(Rc::clone(&worker).announce_commits()),
        ];
        let accepting = tokio::task::spawn_local(accept(listener, door, Rc::clone(&worker), addresses));
        while !ended.load(Ordering::Acquire) {
            stop.notified().await;
        }
        for task in tasks.into_iter().chain([accepting]) {
            task.abort();
        }
        for (_, connection) in worker.connections.borrow().iter() {
            connection.cut(None);
        }
        tokio::task::yield_now().await;
    });
}

async fn accept(listener: TcpListener, mut door: Receiver<Guest>, worker: Rc<Worker>, addresses: Addresses) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a gateway worker could not listen"),
    };
    let drain = &worker.shared.drain;
    while !worker.shared.draining.load(Ordering::Relaxed) {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(guest) = door.recv() => {
                seat(guest, &worker, &addresses);
                continue;
            }
            () = drain.notified() => break,
        };
        match accepted {
            Ok((socket, peer)) => admit(socket, peer, &worker, &addresses),
            Err(error) => {
                // Out of file descriptors, mostly: wait for some to be given back.
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    // Those that rest are closed now, and not only when the sweep comes by.
    worker.sweep_connections();
}

/// Takes a connection in, or closes it at once when there are too many.
fn admit(socket: TcpStream, peer: SocketAddr, worker: &Rc<Worker>, addresses: &Addresses) {
    let Some(seat) = Seat::take(worker, peer.ip(), addresses) else { return };
    if socket.set_nodelay(true).is_err() {
        return;
    }
    let connection = Connection::new(peer.ip(), None, worker.tick());
    let arriving = taken_in(socket, Rc::clone(worker), Rc::clone(&connection));
    begin(arriving, &connection, worker, seat);
}

/// Takes a guest in, within the same limits. Where nothing is looked into any more its stream is closed.
fn seat(guest: Guest, worker: &Rc<Worker>, addresses: &Addresses) {
    let Some(seat) = Seat::take(worker, guest.client, addresses) else { return };
    let Some(rules) = worker.shared.settings.load().inspection.clone() else { return };
    let client = guest.client;
    let (inside, stream) = Inside::seat(guest, &rules);
    let arriving = std::future::ready(Some(stream));
    begin(arriving, &Connection::new(client, Some(inside), worker.tick()), worker, seat);
}

/// Begins to serve a connection.
fn begin(
    arriving: impl Future<Output = Option<impl Wire + 'static>> + 'static,
    connection: &Rc<Connection>,
    worker: &Rc<Worker>,
    seat: Seat,
) {
    let slot = worker.connections.borrow_mut().insert(Rc::clone(connection));
    // In a box: it ends long before the connection does.
    let arriving = Box::pin(arriving);
    let task =
        tokio::task::spawn_local(converse(arriving, Rc::clone(worker), Rc::clone(connection), seat, slot));
    *connection.abort.borrow_mut() = Some(task.abort_handle());
}

/// A connection's place within the limits; given back when dropped.
struct Seat {
    worker: Rc<Worker>,
    address: IpAddr,
    addresses: Addresses,
    slot: Option<usize>,
}

impl Seat {
    fn take(worker: &Rc<Worker>, address: IpAddr, addresses: &Addresses) -> Option<Self> {
        let settings = worker.shared.settings.load();
        let all = worker.shared.connections.fetch_add(1, Ordering::Relaxed);
        let mut counts = addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let of_address = counts.entry(address).or_default();
        *of_address += 1;
        let fits = all < settings.limits.max_connections
            && *of_address <= settings.limits.max_connections_per_address;
        drop(counts);
        let seat = Self { worker: Rc::clone(worker), address, addresses: Arc::clone(addresses), slot: None };
        fits.then_some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.worker.shared.connections.fetch_sub(1, Ordering::Relaxed);
        let mut counts = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
        drop(counts);
        if let Some(slot) = self.slot {
            self.worker.connections.borrow_mut().remove(slot);
        }
    }
}

/// Takes a connection in: whom it is for, TLS. The sweep cuts one that takes longer over it than a head may.
async fn taken_in(socket: TcpStream, worker: Rc<Worker>, connection: Rc<Connection>) -> Option<Stream> {
    connection.enter(Phase::Head, worker.tick());
    let arrived = worker.shared.entrance.take(socket, connection.peer()).await.ok()?;
    connection.is_of(arrived.address, arrived.certificate);
    connection.enter(Phase::Idle, worker.tick());
    Some(arrived.stream)
}

/// Serves a connection's requests until it ends.
async fn converse(
    arriving: impl Future<Output = Option<impl Wire>>,
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    mut seat: Seat,
    slot: usize,
) {
    seat.slot = Some(slot);
    let Some(socket) = arriving.await else { return };
    let service = service_fn(|request| {
        let (worker, connection) = (Rc::clone(&worker), Rc::clone(&connection));
        async move { Ok::<_, Infallible>(handle::serve(worker, connection, request).await) }
    });
    let io = TokioIo::new(Watched::new(socket, Rc::clone(&connection), Rc::clone(&worker)));
    let limit = worker.shared.settings.load().limits.max_head;
    let serving = Builder::new()
        .max_headers(100)
        .max_header_size(limit * 2)
        .pipeline_flush(false)
        .half_close(false)
        .serve_connection(io, service);
    let mut serving = pin!(serving);
    let mut graceful = false;
    // Its errors are the client's: hung up, talked nonsense (which has been answered), or overstayed.
    let _ = std::future::poll_fn(|cx| {
        connection.watch(cx);
        if !graceful && worker.shared.draining.load(Ordering::Relaxed) {
            graceful = true;
            serving.as_mut().graceful_shutdown();
        }
        serving.as_mut().poll(cx)
    })
    .await;
    if let Some(guest) = &connection.guest {
        worker.pool.forget(&guest.provider);
    }
}
