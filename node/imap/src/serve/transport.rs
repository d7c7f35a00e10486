//! One connection's bytes: in clear, under TLS, compressed (RFC 4978).

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    codec::limits,
    session::{Closed, Wire},
};

/// Bytes read at once, and decompressed at once: a bomb grows no further than this.
const READ: usize = 8 * 1024;
/// At the end, unread bytes are taken for so long, so that the client sees our last line.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;

pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

struct Deflate {
    compress: Compress,
    decompress: Decompress,
    /// Read but not yet decompressed.
    raw: BytesMut,
    /// Decompressed output may be waiting within the decompressor.
    more: bool,
}

/// A connection.
pub(crate) struct Transport {
    io: Option<Box<dyn Io>>,
    deflate: Option<Box<Deflate>>,
    waits: limits::Waits,
}

impl Transport {
    pub(crate) fn new(io: impl Io + 'static, waits: limits::Waits) -> Self {
        Self { io: Some(Box::new(io)), deflate: None, waits }
    }

    fn io(&mut self) -> Result<&mut Box<dyn Io>, Closed> {
        self.io.as_mut().ok_or(Closed)
    }

    /// Appends some bytes to `into`. Loses nothing when dropped.
    pub(crate) async fn read(&mut self, into: &mut BytesMut) -> Result<(), Closed> {
        let io = self.io.as_mut().ok_or(Closed)?;
        let Some(deflate) = &mut self.deflate else {
            into.reserve(READ);
            let count = io.read_buf(&mut into.limit_to(READ)).await.map_err(|_| Closed)?;
            return if count == 0 { Err(Closed) } else { Ok(()) };
        };
        loop {
            if (deflate.more || !deflate.raw.is_empty()) && deflate.inflate(into)? {
                return Ok(());
            }
            deflate.raw.reserve(READ);
            let count = io.read_buf(&mut deflate.raw).await.map_err(|_| Closed)?;
            if count == 0 {
                return Err(Closed);
            }
        }
    }

    /// The TLS handshake. Everything in clear that was read before must have been used.
    pub(crate) async fn start_tls(&mut self, config: Arc<ServerConfig>) -> Result<(), Closed> {
        let io = self.io.take().ok_or(Closed)?;
        let accept = TlsAcceptor::from(config).accept(io);
        match timeout(self.waits.before, accept).await {
            Ok(Ok(stream)) => {
                self.io = Some(Box::new(stream));
                Ok(())
            }
            _ => Err(Closed),
        }
    }

    /// Compresses from here on, in both directions.
    pub(crate) fn start_deflate(&mut self) {
        self.deflate = Some(Box::new(Deflate {
            compress: Compress::new(Compression::default(), false),
            decompress: Decompress::new(false),
            raw: BytesMut::new(),
            more: false,
        }));
    }

    /// Ends the connection so that what was sent arrives.
    pub(crate) async fn close(&mut self) {
        let Some(mut io) = self.io.take() else { return };
        let end = async {
            let _ = io.shutdown().await;
            let mut sink = vec![0; READ];
            let mut total = 0;
            while let Ok(count) = io.read(&mut sink).await {
                total += count;
                if count == 0 || total > LINGER_BYTES {
                    break;
                }
            }
        };
        let _ = timeout(LINGER, end).await;
    }
}

/// Lets a buffer take at most so many bytes.
trait LimitTo {
    fn limit_to(&mut self, most: usize) -> bytes::buf::Limit<&mut BytesMut>;
}

impl LimitTo for BytesMut {
    fn limit_to(&mut self, most: usize) -> bytes::buf::Limit<&mut BytesMut> {
        bytes::BufMut::limit(self, most)
    }
}

impl Deflate {
    /// Decompresses at most [`READ`] bytes; whether there were any.
    fn inflate(&mut self, into: &mut BytesMut) -> Result<bool, Closed> {
        let mut out = [0; READ];
        let (before_in, before_out) = (self.decompress.total_in(), self.decompress.total_out());
        let status = self
            .decompress
            .decompress(&self.raw, &mut out, FlushDecompress::Sync)
            .map_err(|_| Closed)?;
        let used = (self.decompress.total_in() - before_in) as usize;
        let made = (self.decompress.total_out() - before_out) as usize;
        let used_now = used.min(self.raw.len());
        bytes::Buf::advance(&mut self.raw, used_now);
        into.extend_from_slice(out.get(..made).unwrap_or_default());
        self.more = made == READ;
        match status {
            Status::StreamEnd => Err(Closed),
            // what is left makes no sense without more input
            Status::BufError if made == 0 && used == 0 && self.raw.len() > READ => Err(Closed),
            _ => Ok(made > 0),
        }
    }

    fn deflate(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Closed> {
        let mut out = Vec::with_capacity(bytes.len() / 2 + 64);
        let start = self.compress.total_in();
        loop {
            let used = (self.compress.total_in() - start) as usize;
            let rest = bytes.get(used..).unwrap_or_default();
            self.compress.compress_vec(rest, &mut out, FlushCompress::Sync).map_err(|_| Closed)?;
            let all = (self.compress.total_in() - start) as usize >= bytes.len();
            if all && out.len() < out.capacity() {
                return Ok(out);
            }
            out.reserve(1024);
        }
    }
}

impl Wire for Transport {
    async fn send(&mut self, bytes: Bytes) -> Result<(), Closed> {
        let bytes = match &mut self.deflate {
            Some(deflate) => Bytes::from(deflate.deflate(&bytes)?),
            None => bytes,
        };
        let wait = self.waits.write;
        let io = self.io()?;
        let write = async {
            io.write_all(&bytes).await?;
            io.flush().await
        };
        match timeout(wait, write).await {
            Ok(Ok(())) => Ok(()),
            _ => {
                // nothing that could follow would make sense to the client
                self.io = None;
                Err(Closed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn compressed_bytes_round_trip_and_a_bomb_comes_in_small_pieces() {
        let (client, server) = tokio::io::duplex(1 << 20);
        let (mut client, mut server) = (
            Transport::new(client, limits::Waits::STANDARD),
            Transport::new(server, limits::Waits::STANDARD),
        );
        client.start_deflate();
        server.start_deflate();
        let bomb = Bytes::from(vec![b'x'; 64 * 1024]);
        for piece in [Bytes::from_static(b"hello"), bomb, Bytes::from_static(b"end\r\n")] {
            client.send(piece.clone()).await.unwrap();
            let mut got = BytesMut::new();
            while got.len() < piece.len() {
                let before = got.len();
                server.read(&mut got).await.unwrap();
                assert!(got.len() - before <= READ);
            }
            assert_eq!(got, piece);
        }
    }

    #[tokio::test]
    async fn garbage_instead_of_compressed_bytes_ends_the_connection() {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let mut server = Transport::new(server, limits::Waits::STANDARD);
        server.start_deflate();
        client.write_all(&[0xff; 64]).await.unwrap();
        assert_eq!(server.read(&mut BytesMut::new()).await, Err(Closed));
    }
}
