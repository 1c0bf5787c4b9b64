//! The stage that looks for what must not leave the organization. Without rules it is one look at a flag.

use std::rc::Rc;
use std::sync::Arc;

use gatehouse_domain::data_protection::{DataFindings, Verdict};
use metrics::counter;

use crate::handle::Granted;
use crate::protection::{Counts, Looked, Protection};
use crate::refusal::Refusal;
use crate::refused::Refused;
use crate::worker::Worker;

/// Bodies that are larger are looked at on another thread, so that no other request of the worker waits for that.
const LARGE: u64 = 256 * 1024;

/// A request that data protection has let through.
pub(crate) struct Clean(Granted);

impl Clean {
    /// The request.
    pub(crate) const fn granted(&mut self) -> &mut Granted {
        &mut self.0
    }

    /// The request, to go on with.
    pub(crate) fn into_granted(self) -> Granted {
        self.0
    }
}

/// Looks at a request as the rules want it.
pub(crate) async fn protect(worker: &Rc<Worker>, granted: Granted) -> Result<Clean, Box<Refused>> {
    let protection = worker.shared.settings.load().protection.clone();
    let Some(protection) = protection else { return Ok(Clean(granted)) };
    // In a box: the way of all other requests is not to carry what only few need.
    Box::pin(judge(worker, protection, granted)).await
}

async fn judge(
    worker: &Rc<Worker>,
    protection: Arc<Protection>,
    mut granted: Granted,
) -> Result<Clean, Box<Refused>> {
    let looked = if granted.body.bytes <= LARGE {
        protection.look(&granted.body.pieces)
    } else {
        match elsewhere(worker, &protection, &mut granted).await {
            Ok(looked) => looked,
            Err(why) => return Err(Refused::new(granted.open, why, None)),
        }
    };
    worker.shared.meters.looked(looked.scanned, looked.known);
    if looked.counts.is_empty() {
        return Ok(Clean(granted));
    }
    let verdict = if looked.refused_for.is_some() { Verdict::Blocked } else { Verdict::Observed };
    tell(&protection, &mut granted, verdict, &looked.fresh);
    let counts = looked.counts.iter().map(|(detector, count)| (protection.detector(*detector).id, *count));
    granted.open.record().data = DataFindings::new(verdict, counts);
    match looked.refused_for {
        None => Ok(Clean(granted)),
        Some((detector, place)) => {
            let detector = protection.detector(detector);
            let more = looked.counts.iter().map(|(_, count)| *count).fold(0_u32, u32::saturating_add) - 1;
            let why = Refusal::DataFound { what: detector.what, detector: detector.id, place, more };
            Err(Refused::new(granted.open, why, None))
        }
    }
}

/// Looks at a large body on another thread; only so many at once. While it lasts, its bytes count twice.
async fn elsewhere(
    worker: &Worker,
    protection: &Arc<Protection>,
    granted: &mut Granted,
) -> Result<Looked, Refusal> {
    let limit = worker.shared.settings.load().limits.body_budget;
    let mut copy = worker.shared.budget.begin();
    if !copy.grow(granted.body.bytes, limit) {
        return Err(Refusal::Overloaded("request bodies held at once"));
    }
    let seat = Arc::clone(&protection.seats).acquire_owned().await;
    let (protection, pieces) = (Arc::clone(protection), granted.body.pieces.clone());
    let looking = tokio::task::spawn_blocking(move || {
        let _held = (seat, copy);
        protection.look(&pieces)
    });
    match looking.await {
        Ok(looked) => Ok(looked),
        Err(error) => {
            // What could not be looked at is not let through.
            tracing::error!(%error, "a request could not be looked at");
            Err(Refusal::Overloaded("looking at requests"))
        }
    }
}

/// Tells the log and the figures of what was not seen before.
fn tell(protection: &Protection, granted: &mut Granted, verdict: Verdict, fresh: &Counts) {
    let record = granted.open.record();
    let user = record.principal.map(|principal| principal.user.to_string());
    for (detector, count) in fresh {
        let detector = protection.detector(*detector).id;
        counter!("gatehouse_data_findings_total", "detector" => detector, "action" => verdict.as_str())
            .increment(u64::from(*count));
        tracing::warn!(
            exchange.id = %record.id,
            user.id = user.as_deref().unwrap_or_default(),
            detector,
            count,
            action = verdict.as_str(),
            "data protection found something in a request"
        );
    }
}
