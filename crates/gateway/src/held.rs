//! Who waits for a flow, and what becomes of it when nobody does any more.

use std::sync::atomic::Ordering;

use gatehouse_domain::exchange::Ended;

use crate::flow::Flow;
use crate::settings::Abandoned;

/// A flow that someone waits for; when nobody does any more, it is cancelled or read on, by rule.
pub(crate) struct Held(Option<Box<Flow>>);

impl Held {
    pub(crate) fn new(flow: Flow) -> Self {
        Self(Some(Box::new(flow)))
    }

    pub(crate) fn flow(&mut self) -> &mut Flow {
        self.0.as_mut().expect("given up only by value")
    }

    pub(crate) fn into_flow(mut self) -> Box<Flow> {
        self.0.take().expect("given up only once")
    }

    /// Gives the connection back for the next request, if the reply has been read to its end.
    pub(crate) fn finish(&mut self) {
        if let Some(flow) = self.0.take() {
            flow.give_back();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(mut flow) = self.0.take() else { return };
        // A copy is of an attempt that is given up while the request goes on: its connection is closed.
        if flow.open.is_closed() || flow.open.is_copy() {
            return;
        }
        flow.open.connection_gone();
        let settings = flow.worker.shared.settings.load();
        let rule =
            if flow.open.record().stream { settings.client_gone.stream } else { settings.client_gone.plain };
        let limit = settings.client_gone.drain;
        drop(settings);
        let stopping = flow.worker.shared.stopping.load(Ordering::Relaxed);
        if rule == Abandoned::Drain && !stopping {
            tokio::task::spawn_local(flow.read_on(limit));
        } else {
            flow.settle(Ended::ClientGone);
        }
    }
}
