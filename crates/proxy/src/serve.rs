//! Listening, and everything that all connections share.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use gatehouse_domain::id::{KeyId, NodeId, OrgId};
use gatehouse_domain::key::KeyHash;
use gatehouse_domain::policy::Snapshot;
use gatehouse_domain::time::UnixMillis;
use gatehouse_egress::Egress;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::authority::Authority;
use crate::inspection::Enter;
use crate::record::Records;
use crate::resolve::Resolver;
use crate::settings::Settings;
use crate::splice::Pipes;
use crate::tunnels::{Addresses, Strangers, Tunnels};
use crate::{handle, metric};

/// How often it is seen whether tunnels may go on.
const SWEEP: Duration = Duration::from_secs(1);
/// How long to wait before accepting again when that failed (no file descriptors, as a rule).
const PAUSE: Duration = Duration::from_millis(50);
/// While the node stops, a tunnel in which nothing moves for so long is ended.
const STILL: Duration = Duration::from_secs(3);
/// How long ended tunnels may take to write their records.
const LAST: Duration = Duration::from_secs(2);

/// Brings the policy up to date, within a time of its own.
pub type CatchUp = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;
/// Is told when a key was hashed anew: the key, its old hash, its new one.
pub type Rehashed = Box<dyn Fn(KeyId, KeyHash, KeyHash) + Send + Sync>;

/// What the proxy is made of.
pub struct Parts {
    /// The operator's settings.
    pub settings: Arc<ArcSwap<Settings>>,
    /// Keys, people, rules.
    pub policy: Arc<ArcSwap<Snapshot>>,
    /// Where records go.
    pub records: Arc<dyn Records>,
    /// Looks names up.
    pub resolver: Resolver,
    /// The way to what people ask for.
    pub egress: Egress,
    /// Where this process listens: nothing leads there but the gateway's own names.
    pub own: Vec<SocketAddr>,
    /// The time.
    pub now: fn() -> UnixMillis,
    /// Told of keys that were hashed anew.
    pub rehashed: Rehashed,
    /// Brings the policy up to date.
    pub catch_up: CatchUp,
    /// What vouches for us where a tunnel is looked into; such tunnels are refused without.
    pub authority: Arc<ArcSwapOption<Authority>>,
    /// Where what is looked into goes.
    pub enter: Enter,
    /// The tenant.
    pub org: OrgId,
    /// This node.
    pub node: NodeId,
    /// Threads; at least 1.
    pub threads: usize,
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) parts: Parts,
    pub(crate) tunnels: Arc<Tunnels>,
    pub(crate) strangers: Strangers,
    pub(crate) pipes: Pipes,
    addresses: Arc<Addresses>,
}

impl Shared {
    /// The time.
    pub(crate) fn now(&self) -> UnixMillis {
        (self.parts.now)()
    }
}

/// The running proxy. Dropped, it ends at once.
pub struct Proxy {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    runtime: Option<Runtime>,
}

/// Starts to serve on threads of its own.
///
/// # Errors
/// The listener cannot be used; threads cannot be made.
pub fn start(listener: TcpListener, parts: Parts) -> io::Result<Proxy> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(parts.threads)
        .thread_name("gatehouse-proxy")
        .enable_all()
        .build()?;
    listener.set_nonblocking(true)?;
    let listener = {
        let _inside = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let shared = Arc::new(Shared {
        parts,
        tunnels: Arc::default(),
        strangers: Strangers::default(),
        pipes: Pipes::default(),
        addresses: Arc::default(),
    });
    metric::open(0);
    let (stop, stopping) = watch::channel(false);
    runtime.spawn(accept(listener, Arc::clone(&shared), stopping));
    runtime.spawn(sweep(Arc::clone(&shared)));
    Ok(Proxy { shared, stop, runtime: Some(runtime) })
}

async fn accept(listener: tokio::net::TcpListener, shared: Arc<Shared>, mut stopping: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.changed() => return,
        };
        let Ok((stream, peer)) = accepted else {
            sleep(PAUSE).await;
            continue;
        };
        let settings = shared.parts.settings.load();
        let limits = &settings.limits;
        let address = peer.ip().to_canonical();
        let counted =
            shared.addresses.enter(address, limits.max_connections, limits.max_connections_per_address);
        let Some(counted) = counted else {
            metric::shed();
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // A tunnel carries small messages that wait for each other; if it cannot be set they are slower.
            drop(stream.set_nodelay(true));
            handle::serve(shared, stream, address).await;
            drop(counted);
        });
    }
}

async fn sweep(shared: Arc<Shared>) {
    let mut clock = interval(SWEEP);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        let settings = shared.parts.settings.load();
        shared.tunnels.sweep(&shared.parts.policy.load(), &settings.gate, shared.now());
    }
}

impl Proxy {
    /// Takes no more connections from now on.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// How many tunnels are open.
    pub fn tunnels(&self) -> usize {
        self.shared.tunnels.count()
    }

    /// Takes no more connections, lets tunnels go on in which something moves, and ends all of them after a time, or when
    /// `hurry` says so. Their records are written when this returns.
    pub async fn drain(mut self, patience: Duration, hurry: impl Future<Output = ()>) {
        self.stop();
        let gone = async {
            while self.tunnels() > 0 {
                self.shared.tunnels.stop(STILL);
                sleep(PAUSE).await;
            }
        };
        tokio::select! {
            _ = timeout(patience, gone) => {}
            () = hurry => {}
        }
        self.shared.tunnels.stop(Duration::ZERO);
        let end = Instant::now() + LAST;
        while self.tunnels() > 0 && Instant::now() < end {
            sleep(PAUSE).await;
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
