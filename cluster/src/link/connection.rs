//! One connection: moves bytes between a TLS stream and a [`Role`]. One task reads and writes, so that a
//! question and its answer cost few wake-ups.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::BufMut;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    assembly::{Assembly, Message},
    output::{Outgoing, Output, SLICES},
};
use crate::{Environment, env::BoxFuture};

/// Bytes that are read at a time.
const READ: usize = 32 << 10;
/// Parts from this size on are read to where they belong instead of by way of the buffer.
const DIRECT: usize = 8 << 10;
/// Bytes moved before other tasks get their turn.
const TURN: usize = 256 << 10;
/// Messages that may be incomplete at a time. More than a sender begins at a time.
const MAX_INCOMPLETE: usize = 16;

/// What a connection is for.
pub(crate) trait Role: Send + Unpin {
    /// The next message to send; `waker` is woken when there is one later.
    fn next(&mut self, waker: &Waker) -> Option<Outgoing>;
    /// A message arrived. It may be answered at once.
    fn received(&mut self, message: Message) -> Result<Option<Message>, End>;
    /// Time for a measurement; `heard`: bytes have arrived since the last one.
    fn tick(&mut self, heard: bool) -> Option<Message>;
    /// Whether more may be read now; otherwise `next`'s waker is woken when it may.
    fn wants_input(&self) -> bool {
        true
    }
    /// Whether a connection that is to be given up has nothing left to do.
    fn is_done(&self) -> bool;
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum End {
    #[error("replaced by a newer connection")]
    Drained,
    #[error("{0}")]
    Cut(String),
    #[error("nothing was heard from it for {0:?}")]
    Silent(Duration),
    #[error("the connection was closed by the other side ({0})")]
    Closed(String),
    #[error("it sent what no program sends: {0}")]
    Protocol(String),
}

/// Ends a connection from outside.
#[derive(Debug, Default)]
pub(crate) struct Control {
    cut: Mutex<Option<String>>,
    drain: AtomicBool,
    waker: AtomicWaker,
}

impl Control {
    /// Ends it now.
    pub(crate) fn cut(&self, why: &str) {
        self.cut.lock().get_or_insert_with(|| why.to_owned());
        self.waker.wake();
    }

    /// Ends it once everything that began is done.
    pub(crate) fn drain(&self) {
        self.drain.store(true, Ordering::Release);
        self.waker.wake();
    }
}

/// Times of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How often it ticks.
    pub(crate) tick: Duration,
    /// After how many ticks without a byte it ends. Ticks, not time: a machine that was paused ticked once.
    pub(crate) silent: u32,
}

/// See the module. As a future it runs to the end of the connection.
pub(crate) struct Connection<S, R> {
    env: Environment,
    stream: S,
    role: R,
    control: Arc<Control>,
    pace: Pace,
    input: Assembly,
    output: Output,
    buffer: Box<[u8]>,
    timer: BoxFuture<()>,
    heard: bool,
    silent: u32,
    unflushed: bool,
}

impl<S, R> Connection<S, R>
where
    S: AsyncRead + AsyncWrite + Unpin,
    R: Role,
{
    pub(crate) fn new(
        env: &Environment,
        stream: S,
        role: R,
        control: Arc<Control>,
        pace: Pace,
    ) -> Self {
        Self {
            env: env.clone(),
            stream,
            role,
            control,
            pace,
            input: Assembly::new(MAX_INCOMPLETE),
            output: Output::default(),
            buffer: vec![0; READ].into(),
            timer: env.clock.sleep(Duration::ZERO),
            heard: true,
            silent: 0,
            unflushed: false,
        }
    }

    fn run(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.control.waker.register(cx.waker());
        if let Some(why) = self.control.cut.lock().take() {
            return Poll::Ready(End::Cut(why));
        }
        let mut moved = 0;
        loop {
            // a stream that cannot be written to may still hold the reason to read
            let written = self.write(cx);
            let read = self.read(cx);
            if let Poll::Ready(Err(end)) = read {
                return Poll::Ready(end);
            }
            if let Poll::Ready(Err(error)) = written {
                return Poll::Ready(closed(&error));
            }
            let ticked = self.tick(cx);
            match (written, read, ticked) {
                (Poll::Pending, Poll::Pending, Poll::Pending) => break,
                (_, _, Poll::Ready(Some(end))) => return Poll::Ready(end),
                (written, read, _) => {
                    let bytes = |poll| if let Poll::Ready(Ok(n)) = poll { n } else { 0 };
                    moved += bytes(written) + bytes(read.map_err(|_| io::ErrorKind::Other.into()));
                }
            }
            if moved > TURN {
                cx.waker().wake_by_ref();
                break;
            }
        }
        let draining = self.control.drain.load(Ordering::Acquire);
        if draining && self.output.is_empty() && self.role.is_done() {
            return Poll::Ready(End::Drained);
        }
        Poll::Pending
    }

    /// Writes what there is; the number of bytes.
    fn write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        while self.output.has_room() {
            let Some(outgoing) = self.role.next(cx.waker()) else { break };
            self.output.push(outgoing);
        }
        self.output.fill();
        let mut slices = [io::IoSlice::new(&[]); SLICES];
        let count = self.output.slices(&mut slices);
        if count == 0 {
            if self.unflushed {
                ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
                self.unflushed = false;
            }
            return Poll::Pending;
        }
        let slices = slices.get(..count).unwrap_or_default();
        let n = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices))?;
        if n == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.output.written(n);
        self.unflushed = true;
        Poll::Ready(Ok(n))
    }

    /// Reads what there is and hands it to the role; the number of bytes.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, End>> {
        if !self.wants_input() {
            return Poll::Pending;
        }
        let stream = Pin::new(&mut self.stream);
        if let Some((bytes, left)) = self.input.direct().filter(|(_, left)| *left >= DIRECT) {
            let mut rest = bytes.limit(left);
            let n = ready!(tokio_util::io::poll_read_buf(stream, cx, &mut rest));
            let n = self.heard(n.map_err(|error| closed(&error))?)?;
            if let Some(message) = self.input.direct_done(n) {
                self.received(message)?;
            }
            return Poll::Ready(Ok(n));
        }
        let mut buffer = ReadBuf::new(&mut self.buffer);
        ready!(stream.poll_read(cx, &mut buffer)).map_err(|error| closed(&error))?;
        let n = buffer.filled().len();
        let n = self.heard(n)?;
        let mut at = 0;
        while at < n {
            let mut data = self.buffer.get(at..n).unwrap_or_default();
            let before = data.len();
            let message = self.input.feed(&mut data);
            at += before - data.len();
            if let Some(message) = message.map_err(|error| End::Protocol(error.to_string()))? {
                self.received(message)?;
            }
        }
        Poll::Ready(Ok(n))
    }

    /// Who asks and does not read the answers is not read from either.
    fn wants_input(&self) -> bool {
        self.role.wants_input() && !self.output.is_full()
    }

    fn heard(&mut self, n: usize) -> Result<usize, End> {
        if n == 0 {
            return Err(End::Closed("end".into()));
        }
        self.heard = true;
        Ok(n)
    }

    fn received(&mut self, message: Message) -> Result<(), End> {
        if let Some(answer) = self.role.received(message)? {
            self.output.push(answer);
        }
        Ok(())
    }

    /// Pending: nothing to do; an end: the other side is silent.
    fn tick(&mut self, cx: &mut Context<'_>) -> Poll<Option<End>> {
        ready!(self.timer.as_mut().poll(cx));
        self.timer = self.env.clock.sleep(self.pace.tick);
        // what is not read cannot be heard; a host that takes nothing is noticed by TCP_USER_TIMEOUT
        let heard = std::mem::take(&mut self.heard) || !self.wants_input();
        self.silent = if heard { 0 } else { self.silent + 1 };
        if self.silent > self.pace.silent {
            return Poll::Ready(Some(End::Silent(self.pace.tick * self.pace.silent)));
        }
        if let Some(message) = self.role.tick(heard) {
            self.output.push(message);
        }
        Poll::Ready(None)
    }
}

fn closed(error: &io::Error) -> End {
    End::Closed(super::tls::explain(error))
}

impl<S, R> Future for Connection<S, R>
where
    S: AsyncRead + AsyncWrite + Unpin,
    R: Role,
{
    type Output = End;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        self.run(cx)
    }
}
