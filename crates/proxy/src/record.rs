//! Where records go, and a record while its tunnel is open.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gatehouse_domain::proxy::{Close, End, Tunnel};

use crate::serve::Shared;
use crate::traffic::Traffic;

/// There is no room for records now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRoom;

/// Takes records, each at once and without waiting for a database. A tunnel is written when it begins and again when it ends.
pub trait Records: Send + Sync {
    /// Writes a tunnel down. When this returns, it survives the death of this process. The end of one that was written
    /// before always finds room.
    ///
    /// # Errors
    /// There is no room: nothing may begin.
    fn write(&self, tunnel: &Tunnel) -> Result<(), NoRoom>;
}

/// A tunnel that has begun. Dropped, it writes its end: what was not said by then is [`Close::Stopped`].
pub(crate) struct Opened {
    shared: Arc<Shared>,
    pub(crate) tunnel: Tunnel,
    traffic: Arc<Traffic>,
    requests: Option<Arc<AtomicU32>>,
    why: Close,
}

impl Opened {
    /// Writes the beginning down.
    pub(crate) fn begin(
        shared: &Arc<Shared>,
        tunnel: Tunnel,
        traffic: &Arc<Traffic>,
    ) -> Result<Self, NoRoom> {
        shared.parts.records.write(&tunnel)?;
        let (shared, traffic) = (Arc::clone(shared), Arc::clone(traffic));
        Ok(Self { shared, tunnel, traffic, requests: None, why: Close::Stopped })
    }

    /// Requests within it are counted there.
    pub(crate) fn inspects(&mut self, requests: Arc<AtomicU32>) {
        self.requests = Some(requests);
    }

    /// Says how it ends. The record is written when this is dropped.
    pub(crate) fn close(mut self, why: Close) {
        self.why = why;
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let (up, down) = self.traffic.bytes();
        self.tunnel.end = Some(End { at: self.shared.now(), up, down, why: self.why });
        if let Some(requests) = &self.requests {
            self.tunnel.inspected = Some(requests.load(Ordering::Relaxed));
        }
        crate::metric::ended(&self.tunnel);
        if self.shared.parts.records.write(&self.tunnel).is_err() {
            crate::metric::record_lost();
        }
    }
}
