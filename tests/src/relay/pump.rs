//! Bytes of one connection on their way.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{Link, State};

/// Largest piece that is passed on as one.
const PIECE: usize = 16 << 10;
/// Pieces on the way at most, as a window of TCP would have it.
const WINDOW: usize = 256;

/// Passes bytes on in both directions until both have ended, one broke, or the link was reset.
pub(super) async fn both(
    mut near: TcpStream,
    mut far: TcpStream,
    there: watch::Receiver<State>,
    back: watch::Receiver<State>,
    resets: (u64, u64),
) {
    let (mut one, mut other) = (there.clone(), back.clone());
    let ended = {
        let (near_in, near_out) = near.split();
        let (far_in, far_out) = far.split();
        tokio::select! {
            _ = async { tokio::join!(pump(near_in, far_out, there), pump(far_in, near_out, back)) } => true,
            _ = one.wait_for(|state| state.1 != resets.0) => false,
            _ = other.wait_for(|state| state.1 != resets.1) => false,
        }
    };
    if !ended {
        // Closed with an error, not with an end: what is on the way is lost.
        let _ = (near.set_zero_linger(), far.set_zero_linger());
    }
}

async fn pump(input: ReadHalf<'_>, output: WriteHalf<'_>, link: watch::Receiver<State>) {
    let (send, receive) = mpsc::channel(WINDOW);
    tokio::join!(read(input, send, link.clone()), write(output, receive, link));
}

/// Reads pieces and says when each is due at the other end. An empty piece is the end.
async fn read(
    mut input: ReadHalf<'_>,
    send: mpsc::Sender<(Instant, Vec<u8>)>,
    link: watch::Receiver<State>,
) {
    let mut last = Instant::now();
    loop {
        let mut piece = vec![0; PIECE];
        let length = input.read(&mut piece).await.unwrap_or(0);
        piece.truncate(length);
        let state = link.borrow().0;
        last = last.max(Instant::now() + state.takes(length)) + state.occupies(length);
        if send.send((last, piece)).await.is_err() || length == 0 {
            return;
        }
    }
}

async fn write(
    mut output: WriteHalf<'_>,
    mut receive: mpsc::Receiver<(Instant, Vec<u8>)>,
    mut link: watch::Receiver<State>,
) {
    while let Some((due, piece)) = receive.recv().await {
        sleep_until(due).await;
        if link.wait_for(|state| !state.0.dark).await.is_err() {
            return;
        }
        if piece.is_empty() {
            let _ = output.shutdown().await;
            return;
        }
        if output.write_all(&piece).await.is_err() {
            return;
        }
    }
}

impl Link {
    fn takes(&self, length: usize) -> Duration {
        let mut time = self.delay + self.jitter.mul_f64(random());
        if length > 0 && self.stall > 0.0 && random() < self.stall {
            time += Self::RETRANSMISSION;
        }
        time
    }

    /// How long the line is busy with a piece.
    fn occupies(&self, length: usize) -> Duration {
        if self.rate == 0 {
            return Duration::ZERO;
        }
        Duration::from_secs_f64(length as f64 / self.rate as f64)
    }
}

/// Between 0 and 1. Faults on a link are not repeatable bit by bit anyway: the kernel schedules.
fn random() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0) as f64 / u64::MAX as f64
}
