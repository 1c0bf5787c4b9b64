//! Our own telemetry for a collector: begun, changed and ended as the configuration says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gatehouse_egress::Egress;
use gatehouse_egress::tls::{Special, Trust};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::directory::Resolve;
use super::figure;
use super::ledger::Books;
use super::live::Live;
use super::relay::post_to;
use crate::config::Export;
use crate::export::{Aim, Exporter, Place, Plan, resource};
use crate::fetch::Post;
use crate::secret;

/// How often the configuration is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long an export that is replaced may take to send what it has.
const PATIENCE: Duration = Duration::from_secs(10);

/// What an export was begun with; another one begins when that changes.
type Basis = (Option<Export>, Vec<Place>);

/// The way to the collector. Reads files, may run commands.
///
/// # Errors
/// What is wrong, with the setting in front.
pub(super) fn post(
    export: &Export,
    way: (&mut Trust<'_>, &Egress),
    resolve: Resolve<'_>,
) -> Result<Post, String> {
    post_to((&export.endpoint, &export.headers, export.ca_file.as_deref()), way, resolve)
}

/// What is exported, and what keeps it so.
pub(super) struct Exports {
    pub(super) live: Arc<Live>,
    pub(super) books: Arc<Books>,
    pub(super) exporter: Arc<Exporter>,
    pub(super) metrics: PrometheusHandle,
}

impl Exports {
    /// Begins with what the configuration says, before the first request comes. Gives the job that goes by its changes.
    pub(super) fn begin(self) -> impl Future<Output = ()> {
        let first = basis(&self.live);
        if first.0.is_some() {
            self.exporter.replace(plan(&self, &first), PATIENCE);
        }
        self.follow(first)
    }

    async fn follow(self, mut before: Basis) {
        let mut clock = interval(LOOK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            clock.tick().await;
            let now = basis(&self.live);
            if now != before {
                self.exporter.replace(plan(&self, &now), PATIENCE);
                before = now;
            }
        }
    }
}

/// Without an export, providers do not matter.
fn basis(live: &Live) -> Basis {
    let Some(export) = live.config.load().telemetry.export.clone() else { return (None, Vec::new()) };
    let places = live.providers().into_iter().map(|provided| Place {
        address: provided.usable.map(|usable| (usable.place.host.to_string(), usable.place.port)),
        kind: provided.configured.kind,
        name: provided.configured.name,
    });
    (Some(export), places.collect())
}

fn plan(all: &Exports, (export, places): &Basis) -> Option<Plan> {
    let live = &all.live;
    let of = export.clone()?;
    let node = live.node.to_string();
    let own: BTreeMap<&str, &str> = BTreeMap::from([
        ("service.name", "gatehouse"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", &node),
    ]);
    let more = of.resource.iter().map(|(key, text)| (key.as_str(), text.as_str()));
    let resource = resource(own.into_iter().chain(more));
    let (aimed, shown, noted) = (Arc::clone(live), Arc::clone(live), Arc::clone(live));
    let (books, metrics, export) = (Arc::clone(&all.books), all.metrics.clone(), of.clone());
    let aim: Arc<Aim> = Arc::new(move || {
        let special: Arc<[Special]> = aimed.way_out().special;
        let resolve = |at: &_| secret::resolve(at, &aimed.environment);
        post(&export, (&mut Trust::new(&special), &aimed.egress), &resolve)
    });
    Some(Plan {
        of,
        resource,
        places: places.clone(),
        aim,
        render: Arc::new(move || {
            figure::set(&shown, &books);
            metrics.render()
        }),
        taken: Arc::new(move || noted.scraped.note()),
    })
}
