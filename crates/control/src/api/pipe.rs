//! Answers that are written while they are sent.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Bytes;
use http_body::Frame;
use tokio::io::{AsyncRead as _, DuplexStream, ReadBuf};
use tokio::task::JoinHandle;

/// Bytes that are held for a slow reader; beyond that the database is read no further.
const PIPE: usize = 64 * 1024;
/// Bytes sent at a time.
const PIECE: usize = 16 * 1024;

/// An answer on its way: what the writing task puts into the pipe. When the task fails, so does the body, and the
/// connection breaks off instead of ending as if all had been sent. When the client leaves, the pipe breaks and the
/// task ends.
pub(super) struct Piped<E> {
    pipe: DuplexStream,
    task: JoinHandle<Result<(), E>>,
}

impl<E: std::error::Error + Send + Sync + 'static> Piped<E> {
    /// Begins to write.
    pub(super) fn begin<F>(write: impl FnOnce(DuplexStream) -> F) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
    {
        let (pipe, out) = tokio::io::duplex(PIPE);
        Self { pipe, task: tokio::spawn(write(out)) }
    }
}

impl<E: std::error::Error + Send + Sync + 'static> http_body::Body for Piped<E> {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut bytes = vec![0; PIECE];
        let mut buf = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.pipe).poll_read(cx, &mut buf))?;
        let len = buf.filled().len();
        if len > 0 {
            bytes.truncate(len);
            return Poll::Ready(Some(Ok(Frame::data(bytes.into()))));
        }
        match ready!(Pin::new(&mut self.task).poll(cx)) {
            Ok(Ok(())) => Poll::Ready(None),
            Ok(Err(e)) => {
                tracing::error!(cause = %e, "an answer broke off");
                Poll::Ready(Some(Err(e.into())))
            }
            Err(e) => Poll::Ready(Some(Err(e.into()))),
        }
    }
}
