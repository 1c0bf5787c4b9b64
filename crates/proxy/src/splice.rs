//! Bytes from one socket to another: within the kernel on Linux, through a buffer elsewhere.
//!
//! A pipe is held only while bytes move, so that idle tunnels cost none; at most [`MOST_PIPES`] are in use, since the system
//! gives each user little memory for pipes. Beyond it, and where a pipe cannot be had, a buffer serves.

use std::io;

use tokio::net::TcpStream;

use crate::traffic::{Traffic, Way};

/// Most bytes moved at once.
const PIECE: usize = 64 * 1024;
/// Most pipes in use.
#[cfg(target_os = "linux")]
const MOST_PIPES: usize = 256;
/// After so many pieces others have their turn.
const TURN: usize = 16;

/// Which end broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The one that was read from.
    From,
    /// The one that was written to.
    To,
}

/// Moves bytes until there are no more, then says so to the other side.
pub(crate) async fn pump(
    pipes: &Pipes,
    from: &TcpStream,
    to: &TcpStream,
    way: Way,
    traffic: &Traffic,
) -> Result<(), Broken> {
    loop {
        from.readable().await.map_err(|_| Broken::From)?;
        if burst(pipes, from, to, way, traffic).await? {
            break;
        }
        tokio::task::yield_now().await;
    }
    // Whoever is gone need not be told that nothing more comes.
    let _ = rustix::net::shutdown(to, rustix::net::Shutdown::Write);
    Ok(())
}

/// Moves what is there; whether that was the end.
async fn burst(
    pipes: &Pipes,
    from: &TcpStream,
    to: &TcpStream,
    way: Way,
    traffic: &Traffic,
) -> Result<bool, Broken> {
    #[cfg(target_os = "linux")]
    if let Some(pipe) = pipes.take() {
        return spliced(pipe, from, to, way, traffic).await;
    }
    #[cfg(not(target_os = "linux"))]
    let Pipes {} = pipes;
    buffered(from, to, way, traffic).await
}

async fn buffered(from: &TcpStream, to: &TcpStream, way: Way, traffic: &Traffic) -> Result<bool, Broken> {
    let mut buffer = vec![0; PIECE / 4];
    for _ in 0..TURN {
        let count = match from.try_read(&mut buffer) {
            Ok(0) => return Ok(true),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(_) => return Err(Broken::From),
        };
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            to.writable().await.map_err(|_| Broken::To)?;
            match to.try_write(rest) {
                Ok(written) => {
                    traffic.add(way, written);
                    rest = &rest[written..];
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Err(Broken::To),
            }
        }
    }
    Ok(false)
}

#[cfg(target_os = "linux")]
pub(crate) use linux::Pipes;
#[cfg(target_os = "linux")]
use linux::spliced;

/// There are none on this system.
#[cfg(not(target_os = "linux"))]
#[derive(Default)]
pub(crate) struct Pipes {}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::{AsFd, OwnedFd};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Mutex, PoisonError};

    use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};
    use tokio::io::Interest;
    use tokio::net::TcpStream;

    use super::{Broken, MOST_PIPES, PIECE, TURN};
    use crate::traffic::{Traffic, Way};

    /// Pipes that are lent out and taken back.
    #[derive(Default)]
    pub(crate) struct Pipes {
        free: Mutex<Vec<(OwnedFd, OwnedFd)>>,
        lent: AtomicUsize,
    }

    /// A pipe; empty again when it is given back, else it is closed.
    pub(super) struct Lent<'a> {
        pipes: &'a Pipes,
        ends: Option<(OwnedFd, OwnedFd)>,
    }

    impl Pipes {
        pub(super) fn take(&self) -> Option<Lent<'_>> {
            if self.lent.fetch_add(1, Ordering::Relaxed) >= MOST_PIPES {
                self.lent.fetch_sub(1, Ordering::Relaxed);
                return None;
            }
            let mut lent = Lent { pipes: self, ends: None };
            let kept = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
            lent.ends = kept.or_else(|| pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok());
            lent.ends.is_some().then_some(lent)
        }
    }

    impl Lent<'_> {
        fn give_back(mut self) {
            if let Some(ends) = self.ends.take() {
                self.pipes.free.lock().unwrap_or_else(PoisonError::into_inner).push(ends);
            }
        }
    }

    impl Drop for Lent<'_> {
        fn drop(&mut self) {
            self.pipes.lent.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(super) async fn spliced(
        pipe: Lent<'_>,
        from: &TcpStream,
        to: &TcpStream,
        way: Way,
        traffic: &Traffic,
    ) -> Result<bool, Broken> {
        let Some((out, into)) = &pipe.ends else { return Ok(false) };
        for _ in 0..TURN {
            let read = from.try_io(Interest::READABLE, || shift(from, into, PIECE));
            let mut left = match read {
                Ok(0) => {
                    pipe.give_back();
                    return Ok(true);
                }
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return Err(Broken::From),
            };
            while left > 0 {
                to.writable().await.map_err(|_| Broken::To)?;
                match to.try_io(Interest::WRITABLE, || shift(out, to, left)) {
                    Ok(0) => return Err(Broken::To),
                    Ok(written) => {
                        traffic.add(way, written);
                        left = left.saturating_sub(written);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => return Err(Broken::To),
                }
            }
        }
        pipe.give_back();
        Ok(false)
    }

    fn shift(from: impl AsFd, to: impl AsFd, most: usize) -> io::Result<usize> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        Ok(splice(from, None, to, None, most, flags)?)
    }
}
