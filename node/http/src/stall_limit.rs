//! A client that neither sends nor reads is cut off.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// Longest time without progress while there is something to write.
const WRITE_STALL: Duration = Duration::from_secs(60);

/// Longest time in which nothing at all is received or sent. Longer than an answer may take to start; a living HTTP/2 client
/// answers a ping before, and one that never sends its preface is caught by nothing else.
const QUIET: Duration = Duration::from_secs(150);

/// Fails reading after [`QUIET`] and writing after [`WRITE_STALL`].
pub(crate) struct StallLimit<S> {
    stream: S,
    progress: Instant,
    quiet: Pin<Box<Sleep>>,
    write: Pin<Box<Sleep>>,
    writing: bool,
}

impl<S> StallLimit<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            progress: Instant::now(),
            quiet: Box::pin(sleep(QUIET)),
            write: Box::pin(sleep(WRITE_STALL)),
            writing: false,
        }
    }

    fn watch_read(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        if result.is_ready() {
            self.progress = Instant::now();
            return result;
        }
        while self.quiet.as_mut().poll(cx).is_ready() {
            let due = self.progress + QUIET;
            if due <= Instant::now() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.quiet.as_mut().reset(due);
        }
        Poll::Pending
    }

    fn watch_write<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.writing = false;
            self.progress = Instant::now();
            return result;
        }
        if !self.writing {
            self.writing = true;
            self.write.as_mut().reset(Instant::now() + WRITE_STALL);
        }
        match self.write.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StallLimit<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.watch_read(cx, result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StallLimit<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, data);
        self.watch_write(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, data);
        self.watch_write(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Hyper flushes on every turn: an empty flush is no progress.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        if result.is_ready() { result } else { self.watch_write(cx, result) }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch_write(cx, result)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_reads_is_cut_off() {
        let (ours, _theirs) = tokio::io::duplex(16);
        let mut stream = StallLimit::new(ours);
        let before = Instant::now();
        let error = stream.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(before.elapsed() >= WRITE_STALL);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_sends_is_cut_off_and_one_that_sends_at_times_is_not() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut stream = StallLimit::new(ours);
        let before = Instant::now();
        let mut byte = [0];
        for _ in 0..3 {
            let sent = async {
                sleep(QUIET - Duration::from_secs(1)).await;
                theirs.write_all(b"x").await.unwrap();
            };
            let (read, ()) = tokio::join!(stream.read_exact(&mut byte), sent);
            read.unwrap();
        }
        assert!(before.elapsed() > 2 * QUIET);
        let silent = Instant::now();
        let error = stream.read_exact(&mut byte).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(silent.elapsed() >= QUIET && silent.elapsed() < 2 * QUIET);
    }
}
