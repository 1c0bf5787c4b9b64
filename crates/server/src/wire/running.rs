//! The running server: how it comes up on its foundation, and how it goes down.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gatehouse_control::App;
use gatehouse_control::attempts::Attempts;
use gatehouse_domain::price::PriceTable;
use gatehouse_gateway::{Gateway, Parts};
use gatehouse_proxy::Proxy;
use gatehouse_store::data_dir::DataDir;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::task::JoinSet;

use super::entrance::Bound;
use super::export::Exports;
use super::foundation::{Foundation, lay};
use super::ledger::Books;
use super::live::{Beginnings, Live};
use super::portal::{Front, SignIn};
use super::{IfTaken, Ready, Start, admin, failed, house, job, nodes, otlp, proxy, signal};
use crate::cli::{Failure, LISTEN_FILE};
use crate::clock;
use crate::config::Config;
use crate::export::Exporter;
use crate::fetch::Net;
use crate::log::LogControl;

/// At the end, how long the ledger may take to catch up. What it does not write is in the journal for the next start.
const LAST_FLUSH: Duration = Duration::from_secs(10);
/// How long the first and the last word with what nodes count together may take.
const FIRST: Duration = Duration::from_secs(2);

/// The running server.
pub(super) struct Running {
    live: Arc<Live>,
    gateway: Gateway,
    proxy: Option<Proxy>,
    books: Arc<Books>,
    exporter: Arc<Exporter>,
    jobs: JoinSet<()>,
    stop: signal::StopSignals,
    first_start: bool,
}

/// Brings everything up.
pub(super) async fn build(
    start: Start,
    config: Config,
    prices: PriceTable,
    log: LogControl,
    metrics: PrometheusHandle,
    data: &DataDir,
) -> Result<Running, Failure> {
    let stop = signal::StopSignals::listen().map_err(failed)?;
    let Listeners { gateway, admin, forward, otlp, bound } = listen(&config, start.if_taken)?;
    let ground = lay(&config, data, &start.environment).await?;
    let books = Arc::new(Books::open(&config, &prices, &ground, data.path())?);
    let workers = config.gateway.workers;
    let first_start = ground.first_start;
    let exporter = Arc::new(Exporter::new(log.tap.clone()));
    let live = Live::begin(Beginnings {
        sources: start.sources,
        environment: start.environment,
        config,
        prices,
        store: ground.store.clone(),
        org: ground.org,
        keyring: ground.keyring.clone(),
        keys: Arc::clone(&ground.keys),
        notary: Arc::clone(&ground.notary),
        node: ground.node,
        books: Arc::clone(&books),
        log,
        data_dir: data.path().to_owned(),
    });
    let live = Arc::new(live.await.map_err(|problems| Failure::Usage(problems.join("\n")))?);
    let app = app(ground, &live, &books, metrics.clone(), bound.admin);
    let portal = sign_in(&live, &app).await?;
    let exports = Exports {
        live: Arc::clone(&live),
        books: Arc::clone(&books),
        exporter: Arc::clone(&exporter),
        metrics: metrics.clone(),
    };
    let exporting = exports.begin();
    let gateway = gatehouse_gateway::start(&gateway, workers, data_path(&live, &books, &portal, &exporter))
        .map_err(failed)?;
    let spool = proxy::recover(&live, data.path(), forward.is_some()).await?;
    let proxy = match (forward, spool) {
        (Some(listener), Some(spool)) => {
            Some(proxy::start(listener, &live, spool, (bound.gateway, bound.admin), gateway.guests())?)
        }
        _ => None,
    };
    // Before anything can judge that it is ready: whoever sees that it is looks up the addresses.
    live.entrances.are_at(bound);
    live.entrances.write_addresses(data.path(), &live.store.place())?;
    let mut jobs = job::start(&live, &app, &portal, metrics).map_err(failed)?;
    jobs.spawn(exporting);
    if let Some(link) = live.link() {
        // Until then nobody could be let through whose budget is hard.
        link.first(FIRST).await;
    }
    admin.set_nonblocking(true).map_err(failed)?;
    let admin = tokio::net::TcpListener::from_std(admin).map_err(failed)?;
    let entrance = Arc::clone(&live.entrances.admin);
    jobs.spawn(admin::serve(admin, app, Arc::clone(&live.settings), entrance));
    if let Some(listener) = otlp {
        jobs.spawn(otlp::serve(otlp::listen(listener).map_err(failed)?, &live, &portal));
    }
    live.judge();
    Ok(Running { live, gateway, proxy, books, exporter, jobs, stop, first_start })
}

/// The listeners, and where they are.
struct Listeners {
    gateway: TcpListener,
    admin: TcpListener,
    forward: Option<TcpListener>,
    otlp: Option<TcpListener>,
    bound: Bound,
}

fn listen(config: &Config, if_taken: IfTaken) -> Result<Listeners, Failure> {
    let listen = &config.listen;
    let gateway = bind(listen.gateway, "listen.gateway", if_taken)?;
    let admin = bind(listen.admin, "listen.admin", if_taken)?;
    let forward = listen.proxy.map(|address| bind(address, "listen.proxy", if_taken)).transpose()?;
    let otlp = listen.otlp.map(|address| bind(address, "listen.otlp", if_taken)).transpose()?;
    let local = |listener: &Option<TcpListener>| {
        listener.as_ref().map(TcpListener::local_addr).transpose().map_err(failed)
    };
    let bound = Bound {
        gateway: gateway.local_addr().map_err(failed)?,
        admin: admin.local_addr().map_err(failed)?,
        further: [("proxy", local(&forward)?), ("otlp", local(&otlp)?)],
    };
    Ok(Listeners { gateway, admin, forward, otlp, bound })
}

/// What the data path is given.
fn data_path(live: &Arc<Live>, books: &Arc<Books>, portal: &Arc<SignIn>, exporter: &Arc<Exporter>) -> Parts {
    Parts {
        settings: Arc::clone(&live.settings),
        policy: Arc::clone(&live.policy),
        entrance: Arc::clone(&live.entrances.gateway),
        portal: Arc::new(Front::new(live, portal)),
        runtime: tokio::runtime::Handle::current(),
        ledger: books.for_data_path(),
        counters: live.counters.clone(),
        limits: Arc::clone(&live.limits),
        routes: Arc::clone(&live.routes),
        witness: exporter.clone(),
        ready: Arc::clone(&live.ready),
    }
}

/// The portal under the rules of the configuration, which a reload replaces.
async fn sign_in(live: &Arc<Live>, app: &App) -> Result<Arc<SignIn>, Failure> {
    let (rules, reach) = live
        .sign_in_rules(live.config.load_full(), live.way())
        .await
        .map_err(|p| Failure::Usage(p.join("\n")))?;
    let net = Net::new(live.egress.clone());
    net.replace(reach);
    let portal = Arc::new(SignIn::new(app.clone(), net.clone(), rules));
    live.keep_portal(Arc::clone(&portal), net);
    Ok(portal)
}

fn app(
    ground: Foundation,
    live: &Arc<Live>,
    books: &Arc<Books>,
    metrics: PrometheusHandle,
    admin: SocketAddr,
) -> App {
    App::new(gatehouse_control::app::Parts {
        store: ground.store,
        org: ground.org,
        keys: ground.keys,
        keyring: ground.keyring,
        notary: ground.notary,
        node: ground.node,
        version: env!("CARGO_PKG_VERSION"),
        started_at: clock::now(),
        attempts: Attempts::default(),
        settings: Arc::clone(&live.delivery),
        house: house::house(live, books, metrics, admin),
    })
}

fn bind(address: SocketAddr, setting: &str, if_taken: IfTaken) -> Result<TcpListener, Failure> {
    let bound = match TcpListener::bind(address) {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && if_taken == IfTaken::Move => {
            TcpListener::bind(SocketAddr::new(address.ip(), 0))
        }
        bound => bound,
    };
    bound.map_err(|error| {
        Failure::Failed(format!(
            "cannot listen on {address}: {error}; `{setting}` sets another address (port 0 takes any)"
        ))
    })
}

/// Lets requests and tunnels end within a time, or until somebody asks again.
async fn drain(gateway: Gateway, proxy: Option<Proxy>, patience: Duration, mut stop: signal::StopSignals) {
    let (sender, asked) = tokio::sync::watch::channel(false);
    let again = tokio::spawn(async move {
        stop.next().await;
        sender.send_replace(true);
    });
    let hurry = || {
        let mut asked = asked.clone();
        // It is asked, or nobody can ask any more.
        async move { drop(asked.wait_for(|asked| *asked).await) }
    };
    let tunnels = async {
        if let Some(proxy) = proxy {
            proxy.drain(patience, hurry()).await;
        }
    };
    tokio::join!(gateway.drain(patience, hurry()), tunnels);
    again.abort();
}

impl Running {
    /// What is known about it.
    pub(super) fn ready<'a>(&self, data_dir: &'a Path) -> Ready<'a> {
        let (gateway, admin) = self.live.entrances.addresses().unwrap_or_default();
        Ready {
            gateway,
            admin,
            data_dir,
            first_start: self.first_start,
            config: self.live.config.load_full(),
        }
    }

    /// Waits for a signal to stop, then takes everything down: no more requests from now on, streams may end within the
    /// drain time (a second signal ends it), journal and ledger are written out.
    pub(super) async fn until_stopped(mut self, data_dir: &Path) {
        self.stop.next().await;
        self.live.stop();
        let patience = self.live.config.load().drain.patience;
        let open = self.gateway.in_flight();
        tracing::info!(
            requests = open,
            patience_seconds = patience.as_secs(),
            "stopping: what is under way may end"
        );
        drain(self.gateway, self.proxy, patience, self.stop).await;
        if let Err(error) = self.live.bring_tunnels(LAST_FLUSH).await {
            tracing::warn!(%error, "the proxy's last records wait on the disk for the next start");
        }
        if !self.books.flush(LAST_FLUSH).await {
            tracing::warn!("the ledger did not catch up; the journal keeps the rest for the next start");
        }
        if let Some(link) = self.live.link() {
            link.last(FIRST).await;
        }
        nodes::stopped(&self.live).await;
        if let Err(error) = self.live.delivery.flush(&self.live.store, self.live.org).await {
            tracing::warn!(%error, "what clients last said of their settings was not written down");
        }
        self.jobs.shutdown().await;
        self.exporter.end(FIRST).await;
        self.books.close().await;
        self.live.store.close().await;
        // Whoever finds the file would knock at a closed door; if it cannot be removed they do.
        drop(std::fs::remove_file(data_dir.join(LISTEN_FILE)));
        tracing::info!("stopped");
    }
}
