//! Builds the parts in their order, hands them to each other, runs them, and takes them down again.
//!
//! Up: configuration, data directory, master key, database, organization, journal, policy, listeners, ready. Down: no
//! more requests, streams end, journal and ledger are written out, gone.

mod foundation;
mod ledger;
mod provider;
mod quota;
mod routes;
mod cloud;
mod amazon;
mod tagged;
mod renewal;
mod relay;
mod export;
mod fresh;
mod live;
mod rehash;
mod budget;
mod link;
mod nodes;
mod figure;
mod house;
mod identity;
mod portal;
mod admin;
mod otlp;
mod entrance;
mod proxy;
mod egress;
mod provider_report;
mod analytics;
mod inspection;
mod protection;
mod directory;
mod rollout;
mod job;
mod retention;
mod log_forward;
mod calendar;
mod backup;
mod alert;
mod restore;
mod probe;
mod signal;
mod snapshot;
mod running;
mod welcome;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gatehouse_store::data_dir::DataDir;

pub(crate) use cloud::table as clouds_table;
pub(crate) use egress::mistakes as egress_mistakes;
pub(crate) use identity::mistakes as sign_in_mistakes;
pub(crate) use restore::{Restored, drill, open as archive, restore};
pub(crate) use welcome::client;

use crate::cli::{Failure, Global, Out, ServeArgs, data_dir, is_watched, sources};
use crate::config::{Config, Sources, load};
use crate::environment::Environment;
use crate::{log, metric, price};

/// Threads for everything but the data path.
const THREADS: usize = 2;
/// At the end, how long tasks may take that wait for a client or for a database that is away.
const LAST_TASKS: Duration = Duration::from_millis(200);

/// What a run is started with.
pub(crate) struct Start {
    /// Where the configuration comes from.
    pub(crate) sources: Sources,
    /// The environment.
    pub(crate) environment: Environment,
    /// The data directory.
    pub(crate) data_dir: PathBuf,
    /// What to do when a port is taken.
    pub(crate) if_taken: IfTaken,
}

/// What to do when a port is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfTaken {
    /// Give up.
    Fail,
    /// Take another one.
    Move,
}

/// What is known once everything runs.
pub(crate) struct Ready<'a> {
    /// Where model requests go.
    pub(crate) gateway: String,
    /// Where the management API is.
    pub(crate) admin: String,
    /// The data directory.
    pub(crate) data_dir: &'a Path,
    /// Whether this is the first start on this data.
    pub(crate) first_start: bool,
    /// The configuration.
    pub(crate) config: Arc<Config>,
}

/// Runs `serve`.
pub(crate) fn serve(
    args: &ServeArgs,
    global: &Global,
    environment: &Environment,
    out: &mut Out,
) -> Result<u8, Failure> {
    let start = Start {
        sources: sources(args, environment),
        environment: environment.clone(),
        data_dir: data_dir(global, environment)?,
        if_taken: IfTaken::Fail,
    };
    run(start, |ready| welcome::greet(ready, out))
}

/// Starts the server, announces it, and runs it until it is asked to stop.
pub(crate) fn run(
    start: Start,
    announce: impl FnOnce(&Ready<'_>) -> Result<(), Failure>,
) -> Result<u8, Failure> {
    let config = load(&start.sources)
        .map_err(|mistakes| Failure::Usage(format!("the configuration is refused\n{mistakes}")))?;
    let prices = price::table(&config.pricing).map_err(|error| Failure::Usage(error.to_string()))?;
    let log = log::start(&config.log, is_watched()).map_err(failed)?;
    let metrics = metric::install()?;
    report_panics();
    let data = DataDir::open(&start.data_dir).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("gatehouse")
        .on_thread_start(step_back)
        .enable_all()
        .build()
        .map_err(failed)?;
    let running = runtime.block_on(running::build(start, config, prices, log, metrics, &data))?;
    if let Err(failure) = announce(&running.ready(data.path())) {
        tracing::warn!(%failure, "the server runs, but its greeting failed");
    }
    runtime.block_on(running.until_stopped(data.path()));
    runtime.shutdown_timeout(LAST_TASKS);
    Ok(0)
}

/// How far all work beside the data path stands behind it for a core's time (setpriority(2)). Under load both find
/// theirs: the ledger, which must not fall behind for ever, is left a quarter of a core at the least.
const BEHIND: i32 = 5;

/// Lets a thread, and those that it starts, stand behind the data path: an event of a stream does not wait until a batch
/// has been written to the database.
fn step_back() {
    // Where the system does not allow it, all stand in one line.
    let _ = rustix::process::setpriority_process(None, BEHIND);
}

/// A failure to start, with the chain of its causes.
fn failed<E: std::error::Error>(error: E) -> Failure {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        // Some errors repeat their cause.
        if !text.contains(&cause.to_string()) {
            text.push_str(": ");
            text.push_str(&cause.to_string());
        }
        next = cause.source();
    }
    Failure::Failed(text)
}

/// A panic is a fault of ours and belongs into the log, as one line.
fn report_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map_or_else(String::new, ToString::to_string);
        let text = info.payload_as_str().unwrap_or("no text");
        tracing::error!(place, text, "a part of the server panicked; please report this");
    }));
}
