//! What the operating system asks for: stop, and read the configuration again.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask the server to stop.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Begins to listen for `SIGTERM` and `SIGINT`; from now on they do not end the process by themselves.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Begins to listen for `SIGHUP`.
pub(super) fn hangups() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}
