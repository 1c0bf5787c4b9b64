//! A connection that fails when the other side takes nothing for too long.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A connection with a limit on how long a write may wait. hyper has none: a client that does not read its reply would
/// hold its connection for ever.
pub(in crate::wire) struct Impatient<S> {
    io: S,
    limit: Duration,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
    /// Runs while a flush waits.
    flushing: Option<Pin<Box<Sleep>>>,
}

impl<S> Impatient<S> {
    /// A connection whose writes wait for at most this long.
    pub(in crate::wire) const fn new(io: S, limit: Duration) -> Self {
        Self { io, limit, waiting: None, flushing: None }
    }

    /// Fails a write that has waited for too long.
    fn limited<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        limited(&mut self.waiting, self.limit, cx, written)
    }
}

fn limited<T>(
    waiting: &mut Option<Pin<Box<Sleep>>>,
    limit: Duration,
    cx: &mut Context<'_>,
    done: Poll<io::Result<T>>,
) -> Poll<io::Result<T>> {
    if done.is_ready() {
        *waiting = None;
        return done;
    }
    let waiting = waiting.get_or_insert_with(|| Box::pin(sleep(limit)));
    waiting.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.limited(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.limited(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A socket has nothing to flush: what it could not take is still to be written, and keeps its own time. Within TLS,
        // what was written may wait here.
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        let limit = self.limit;
        limited(&mut self.flushing, limit, cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.io).poll_shutdown(cx);
        self.limited(cx, done)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const LIMIT: Duration = Duration::from_millis(100);

    #[tokio::test]
    async fn a_reply_that_nobody_reads_ends_the_connection() {
        let (server, client) = duplex(64);
        let mut server = Impatient::new(server, LIMIT);
        let failed = server.write_all(&[b'x'; 65]).await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
        drop(client);
    }

    #[tokio::test]
    async fn a_slow_reader_gets_it_all() {
        let (server, mut client) = duplex(64);
        let mut server = Impatient::new(server, LIMIT * 10);
        let reading = async {
            let mut got = 0;
            let mut piece = [0; 64];
            while got < 640 {
                sleep(LIMIT * 2).await;
                got += client.read(&mut piece).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(server.write_all(&[b'x'; 640]), reading);
        written.unwrap();
    }
}
