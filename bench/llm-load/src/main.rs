//! llm-load: load and latency of a gateway that speaks the Anthropic Messages API,
//! to be pointed at a gateway in front of mock-upstream (or at the mock itself).

mod options;
mod body;
mod http;
mod check;
mod call;
mod tally;
mod procs;
mod report;

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use http::now_ns;
use options::Options;
use tally::Tally;

/// What is to be done.
pub(crate) struct Plan {
    pub(crate) addr: String,
    pub(crate) head: Vec<u8>,
    pub(crate) template: body::Template,
    pub(crate) stream: bool,
    pub(crate) events: u64,
    pub(crate) connections: usize,
    pub(crate) rate: f64,
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
    pub(crate) timeout: Duration,
    pub(crate) fresh: bool,
}

/// When it is measured.
pub(crate) struct Window {
    /// Monotonic ns at which measuring begins and ends.
    pub(crate) from: u64,
    pub(crate) to: u64,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let Some(options) = Options::read()? else { return Ok(ExitCode::SUCCESS) };
    let plan = Arc::new(options.plan()?);
    if options.print_body {
        std::io::stdout().write_all(&plan.template.bytes)?;
        return Ok(ExitCode::SUCCESS);
    }
    let from = now_ns() + plan.warmup.as_nanos() as u64;
    let window = Arc::new(Window { from, to: from + plan.duration.as_nanos() as u64 });
    let over = Arc::new(AtomicBool::new(false));
    let watcher = options.pid.map(|pid| {
        let (window, over) = (Arc::clone(&window), Arc::clone(&over));
        std::thread::spawn(move || procs::watch(pid, &window, &over))
    });
    let workers: Vec<_> = (0..options.threads)
        .map(|i| {
            let (plan, window, threads) = (Arc::clone(&plan), Arc::clone(&window), options.threads);
            std::thread::spawn(move || call::worker(plan, window, i, threads))
        })
        .collect();
    let mut all = Tally::new();
    for w in workers {
        all.add(&w.join().map_err(|_| "a worker panicked")?);
    }
    over.store(true, Relaxed);
    let watched = watcher.and_then(|w| w.join().ok());

    let result = report::result(&options.name, &plan, &all, watched);
    if options.json.as_deref() == Some("-") {
        println!("{result}");
    } else {
        report::table(&result);
        if let Some(file) = &options.json {
            std::fs::write(file, format!("{result:#}\n"))?;
        }
    }
    Ok(if all.ok == 0 { ExitCode::from(2) } else { ExitCode::SUCCESS })
}
