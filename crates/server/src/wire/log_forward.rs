//! Handing the log to destinations: a task for each, which ends when the configuration has it no more.

mod carry;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use gatehouse_control::App;
use gatehouse_control::log_forward::{Destination, Turn, turn};
use gatehouse_store::in_time;
use metrics::{counter, gauge};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::live::Live;
use crate::config::{Confirm, ForwardKind, LogForward, Transport};
use carry::Carry;

/// How often the configuration is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is seen whether there is anything to hand over.
const POLL: Duration = Duration::from_millis(500);
/// How long one turn may take: less than its lease.
const TURN: Duration = Duration::from_secs(50);
/// The first pause after a failure, and the longest: it is doubled from one to the other.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A task that ends when it is dropped.
struct Running {
    of: LogForward,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The destinations as the management plane knows them.
pub(super) fn configured(live: &Live) -> Vec<Destination> {
    live.config.load().log_forwards.iter().map(destination).collect()
}

fn destination(of: &LogForward) -> Destination {
    let place = match &of.kind {
        ForwardKind::Syslog { by, host, port, confirm, .. } => {
            let scheme = match by {
                Transport::Tcp => "tcp",
                Transport::Tls => "tls",
                Transport::Udp => "udp",
            };
            let written = if *confirm == Confirm::Written { ", not confirmed" } else { "" };
            format!("syslog {scheme}://{host}:{port}{written}")
        }
        ForwardKind::File { path } => format!("file {}", path.display()),
        ForwardKind::Http { url, .. } => format!("http {url}"),
    };
    Destination { name: of.name.clone(), place, exchanges: of.exchanges, start: of.start }
}

/// Keeps a task for each destination that is configured.
pub(super) async fn job(live: Arc<Live>, app: App) {
    let mut running: HashMap<String, Running> = HashMap::new();
    let mut clock = interval(LOOK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        let wanted = live.config.load().log_forwards.clone();
        running.retain(|name, one| wanted.iter().any(|of| of.name == *name && *of == one.of));
        for of in wanted {
            running.entry(of.name.clone()).or_insert_with(|| {
                let task = tokio::spawn(run(Arc::clone(&live), app.clone(), of.clone()));
                Running { of, task }
            });
        }
    }
}

async fn run(live: Arc<Live>, app: App, of: LogForward) {
    let (to, carry) = (destination(&of), Carry::new(of, live));
    // The node, and not this run of it: one that was killed and started again goes on at once.
    let holder = app.node.to_string();
    let (mut pause, mut failing) = (FIRST_PAUSE, false);
    loop {
        let done = in_time(TURN, turn(&app, &holder, &to, &carry)).await;
        let wait = match done {
            Ok(Turn::Moved(lines)) => {
                counter!("gatehouse_log_forward_lines_total", "destination" => to.name.clone())
                    .increment(lines);
                if failing {
                    tracing::info!(destination = to.name, "the log is delivered again");
                }
                (pause, failing) = (FIRST_PAUSE, false);
                Duration::ZERO
            }
            Ok(Turn::Idle) => POLL,
            Ok(Turn::Elsewhere) => LOOK,
            Ok(Turn::Failed) | Err(_) => {
                let why = done.err().map(|error| error.to_string());
                counter!("gatehouse_log_forward_failures_total", "destination" => to.name.clone())
                    .increment(1);
                if !failing {
                    tracing::warn!(
                        destination = to.name,
                        why,
                        "the log is not delivered now; it is tried again and again"
                    );
                }
                failing = true;
                let wait = pause;
                pause = (pause * 2).min(LONGEST_PAUSE);
                wait
            }
        };
        note_lag(&app, &to.name).await;
        tokio::time::sleep(wait).await;
    }
}

/// Tells how far behind a destination is. A database that is away leaves the figure as it was.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; what is lost is below one in 10^15")]
async fn note_lag(app: &App, name: &str) {
    let known = in_time(TURN, async {
        let end = app.store.audit_head(app.org).await?.seq;
        let all = app.store.log_forwards(app.org).await?;
        Ok(all.into_iter().find(|one| one.destination == name).map(|one| end.saturating_sub(one.cursor.seq)))
    });
    if let Ok(Some(behind)) = known.await {
        gauge!("gatehouse_log_forward_lag_entries", "destination" => name.to_owned()).set(behind as f64);
    }
}
