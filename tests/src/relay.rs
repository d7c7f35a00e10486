//! Links between nodes that are slow, lossy, narrow or cut: a relay in user space, one for every pair of nodes and
//! direction, because the kernel cannot be relied on to delay packets.
//!
//! TCP hides loss: what a lost packet does to a stream is a wait for its retransmission, and that is what
//! [`Link::stall`] does. [`Link::dark`] swallows everything and says nothing, as a cut cable does;
//! [`Relay::reset`] breaks connections aloud.

use std::{
    collections::HashMap,
    net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::Runtime,
    sync::watch,
};

mod pump;
mod whose;

pub use whose::Pids;

/// How what a node sends reaches another one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Link {
    /// Time on the way.
    pub delay: Duration,
    /// Up to this much more, at random; nothing overtakes.
    pub jitter: Duration,
    /// Probability that a piece of up to 16 KiB waits for [`Link::RETRANSMISSION`] as if it had been lost.
    pub stall: f64,
    /// Bytes a second; 0 is without limit.
    pub rate: u64,
    /// Nothing gets through, and nobody is told.
    pub dark: bool,
}

impl Link {
    /// What a lost packet costs, the usual minimum of Linux.
    pub const RETRANSMISSION: Duration = Duration::from_millis(200);

    /// Nothing gets through.
    pub const DARK: Self =
        Self { delay: Duration::ZERO, jitter: Duration::ZERO, stall: 0.0, rate: 0, dark: true };

    /// A link that takes this long.
    pub fn slow(delay: Duration, jitter: Duration) -> Self {
        Self { delay, jitter, ..Self::default() }
    }
}

/// Makes sockets where a relay's connections shall begin, in another network namespace for instance.
pub type MakeSocket = Arc<dyn Fn() -> std::io::Result<StdStream> + Send + Sync>;

/// Who opened a connection to the relay.
#[derive(Clone)]
pub enum Source {
    /// Always this node.
    Node(usize),
    /// Whichever of these processes has the other end of the connection. Strangers are passed on as they come.
    Process(Pids),
}

/// Strangers (a node that joins) have a link of their own, which is always good.
const STRANGER: usize = usize::MAX;

/// The state of a link, and the number of resets so far, of which each ends what was open.
type State = (Link, u64);

/// All links of a cluster. Dropped: all connections end.
pub struct Relay {
    runtime: Option<Runtime>,
    links: Arc<Links>,
}

#[derive(Default)]
pub(crate) struct Links(Mutex<HashMap<(usize, usize), watch::Sender<State>>>);

impl Links {
    fn with<T>(&self, from: usize, to: usize, act: impl FnOnce(&watch::Sender<State>) -> T) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        act(all.entry((from, to)).or_insert_with(|| watch::channel((Link::default(), 0)).0))
    }

    fn watch(&self, from: usize, to: usize) -> watch::Receiver<State> {
        self.with(from, to, watch::Sender::subscribe)
    }
}

impl Relay {
    /// No links yet.
    pub fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("relay")
            .enable_all()
            .build()?;
        Ok(Self { runtime: Some(runtime), links: Arc::default() })
    }

    /// Passes what arrives at `listener` on to `target`, which is node `to`. `socket` makes the sockets
    /// of the connections to it; left out, they are ordinary ones.
    pub fn serve(
        &self,
        listener: StdListener,
        source: Source,
        to: usize,
        target: SocketAddr,
        socket: Option<MakeSocket>,
    ) -> Result<()> {
        listener.set_nonblocking(true)?;
        let runtime = self.runtime.as_ref().context("the relay has ended")?;
        let _inside = runtime.enter();
        let listener = TcpListener::from_std(listener)?;
        let links = self.links.clone();
        runtime.spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                let Ok(here) = stream.local_addr() else { continue };
                let from = match &source {
                    Source::Node(node) => Some(*node),
                    Source::Process(pids) => pids.owner(peer, here),
                };
                let (links, socket) = (links.clone(), socket.clone());
                tokio::spawn(async move {
                    let _ = connection(&links, stream, from, to, target, socket).await;
                });
            }
        });
        Ok(())
    }

    /// Changes how what `from` sends to `to` gets there, on open connections too.
    pub fn set(&self, from: usize, to: usize, link: Link) {
        self.links.with(from, to, |state| state.send_modify(|state| state.0 = link));
    }

    /// Changes both directions between two nodes.
    pub fn set_both(&self, one: usize, other: usize, link: Link) {
        self.set(one, other, link);
        self.set(other, one, link);
    }

    /// Breaks the open connections between two nodes.
    pub fn reset(&self, one: usize, other: usize) {
        for (from, to) in [(one, other), (other, one)] {
            self.links.with(from, to, |state| state.send_modify(|state| state.1 += 1));
        }
    }

    /// Breaks the open connections to a node of whom nobody knows who opened them.
    pub fn reset_strangers(&self, to: usize) {
        self.reset(STRANGER, to);
    }

    /// Makes all links good again.
    pub fn heal(&self) {
        let all = self.links.0.lock().unwrap_or_else(PoisonError::into_inner);
        for state in all.values() {
            state.send_modify(|state| state.0 = Link::default());
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// One connection from its begin to its end.
async fn connection(
    links: &Links,
    near: TcpStream,
    from: Option<usize>,
    to: usize,
    target: SocketAddr,
    socket: Option<MakeSocket>,
) -> Result<()> {
    near.set_nodelay(true)?;
    let from = from.unwrap_or(STRANGER);
    let (mut there, mut back) = (links.watch(from, to), links.watch(to, from));
    let resets = (there.borrow().1, back.borrow().1);
    // SYN and its answer need both directions.
    there.wait_for(|state| !state.0.dark).await?;
    back.wait_for(|state| !state.0.dark).await?;
    let far = match socket {
        None => TcpStream::connect(target).await?,
        Some(make) => {
            let made = tokio::task::spawn_blocking(move || make()).await??;
            made.set_nonblocking(true)?;
            TcpSocket::from_std_stream(made).connect(target).await?
        }
    };
    far.set_nodelay(true)?;
    pump::both(near, far, there, back, resets).await;
    Ok(())
}

#[cfg(test)]
mod tests;
