//! The first frames of both sides, read without taking a byte of what follows.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::frame::{FrameError, HEADER, Header, Hello, Kind, VERSION};
use crate::network::Class;

/// Why there was no hello.
#[derive(Debug, thiserror::Error)]
pub(super) enum HelloError {
    #[error("{}", super::tls::explain(.0))]
    Io(#[from] io::Error),
    #[error("it sent what no program sends: {0}")]
    Frame(#[from] FrameError),
    /// The other side says why it does not want the connection.
    #[error("{0}")]
    Closed(String),
}

/// The number of a class in a hello.
pub(super) fn number_of(class: Class) -> u8 {
    match class {
        Class::Raft => 0,
        Class::Request => 1,
        Class::Bulk => 2,
    }
}

fn class_of(number: u8) -> Option<Class> {
    [Class::Raft, Class::Request, Class::Bulk].get(usize::from(number)).copied()
}

/// What the answering side makes of a hello: the class, or why not.
pub(super) fn judge(hello: &Hello, from: u64, own: u64) -> Result<Class, String> {
    if hello.version != VERSION {
        return Err(format!("version {} of the protocol; this is {VERSION}", hello.version));
    }
    if hello.to != own || hello.from != from {
        return Err(format!("this is node {own}, you are node {from}"));
    }
    class_of(hello.class).ok_or_else(|| format!("class {} is not known here", hello.class))
}

/// Sends one frame that is not about a question.
pub(super) async fn send<S: AsyncWrite + Unpin>(
    stream: &mut S,
    kind: Kind,
    payload: &[u8],
) -> io::Result<()> {
    let length = payload.len() as u32;
    let header = Header { part: length, total: length, id: 0, kind, service: 0 };
    stream.write_all(&[&header.encode()[..], payload].concat()).await?;
    stream.flush().await
}

/// Reads the other side's hello.
pub(super) async fn receive<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Hello, HelloError> {
    let mut header = [0; HEADER];
    stream.read_exact(&mut header).await?;
    let header = Header::decode(&header)?;
    if !matches!(header.kind, Kind::Hello | Kind::Close) || header.part != header.total {
        return Err(FrameError::Hello.into());
    }
    let mut payload = vec![0; header.part as usize];
    stream.read_exact(&mut payload).await?;
    match header.kind {
        Kind::Hello => Ok(Hello::decode(&payload)?),
        _ => Err(HelloError::Closed(String::from_utf8_lossy(&payload).into_owned())),
    }
}
