//! The way out: composed responses and large bodies, in pieces.

use std::future::Future;

use bytes::Bytes;

use crate::codec::{Writer, limits::WRITE_CHUNK};

/// The connection is gone, or the client does not take what we send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection is closed")]
pub struct Closed;

/// Where bytes go. Waits while the client does not take them, within a limit.
pub trait Wire: Send {
    /// Sends bytes.
    fn send(&mut self, bytes: Bytes) -> impl Future<Output = Result<(), Closed>> + Send;
}

impl Wire for Vec<u8> {
    async fn send(&mut self, bytes: Bytes) -> Result<(), Closed> {
        self.extend_from_slice(&bytes);
        Ok(())
    }
}

/// Composes and sends.
pub struct Out<W> {
    /// What is composed next.
    pub writer: Writer,
    /// Where it goes.
    pub wire: W,
}

impl<W: Wire> Out<W> {
    /// Nothing composed yet.
    pub fn new(wire: W) -> Self {
        Self { writer: Writer::default(), wire }
    }

    /// Sends all that is composed.
    pub async fn flush(&mut self) -> Result<(), Closed> {
        if self.writer.is_empty() {
            return Ok(());
        }
        let bytes = self.writer.take();
        self.send(bytes).await
    }

    /// Sends what is composed if it is much.
    pub async fn flush_full(&mut self) -> Result<(), Closed> {
        if self.writer.len() >= WRITE_CHUNK { self.flush().await } else { Ok(()) }
    }

    /// Adds a literal. A large one is sent at once, without a copy.
    pub async fn literal(&mut self, bytes: Bytes, binary: bool) -> Result<(), Closed> {
        self.writer.literal_head(bytes.len(), binary);
        if bytes.len() < WRITE_CHUNK / 4 {
            self.writer.bytes(&bytes);
            return self.flush_full().await;
        }
        self.flush().await?;
        self.send(bytes).await
    }

    async fn send(&mut self, mut bytes: Bytes) -> Result<(), Closed> {
        while !bytes.is_empty() {
            let chunk = bytes.split_to(bytes.len().min(WRITE_CHUNK));
            self.wire.send(chunk).await?;
        }
        Ok(())
    }
}
