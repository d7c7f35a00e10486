//! From a changing call to a command: messages are hashed and parsed here, off the runtime, so that
//! applying is cheap and the same everywhere.

use bytes::Bytes;
use posthouse_cluster::Group;

use crate::{
    BodyHash, Call, Message, MoveStep, Portion, Refusal, Request, Store, Structure,
    command::{Command, NewBody},
};

/// Bytes of bodies that travel inside one command.
const MAX_INLINE: usize = 1 << 20;

/// A call that can be proposed once its large bodies are stored.
pub(crate) struct Prepared {
    /// For the log.
    pub command: Bytes,
    /// For the body log.
    pub staged: Vec<(BodyHash, Bytes)>,
}

/// Why a call is not proposed at all.
pub(crate) enum PrepareError {
    /// An answer.
    Refused(Refusal),
    /// It cannot be encoded.
    Encoding(String),
}

impl From<Refusal> for PrepareError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Takes time in proportion to the length of the messages.
pub(crate) fn prepare(mut call: Call) -> Result<Prepared, PrepareError> {
    let messages = take_messages(&mut call.request);
    check(&messages)?;
    let mut room = MAX_INLINE;
    let mut staged = Vec::new();
    let mut bodies = Vec::with_capacity(messages.len());
    for Message(bytes) in messages {
        let mut body = describe(&bytes)?;
        if bytes.len() <= Store::INLINE_BODY && bytes.len() <= room {
            room -= bytes.len();
            body.inline = Some(bytes);
        } else {
            staged.push((body.hash, bytes));
        }
        bodies.push(body);
    }
    let encoded = Command { call, bodies }.encode();
    let command = encoded.map_err(|error| PrepareError::Encoding(error.to_string()))?;
    if command.len() > Group::MAX_COMMAND {
        return Err(Refusal::Limit(format!("{} bytes in a request", Group::MAX_COMMAND)).into());
    }
    Ok(Prepared { command, staged })
}

/// Takes the messages out of a request, in the order in which the state machine expects them.
fn take_messages(request: &mut Request) -> Vec<Message> {
    let take = |message: &mut Message| Message(std::mem::take(&mut message.0));
    match request {
        Request::Append { messages, .. } => {
            messages.iter_mut().map(|new| take(&mut new.message)).collect()
        }
        Request::Deliver { message, .. } | Request::DeliverOnce { message, .. } => {
            vec![take(message)]
        }
        Request::SpoolUpdate { report: Some(report), .. } => vec![take(&mut report.message)],
        Request::Moving(MoveStep::Import { parts, .. }) => {
            let messages = |part: &mut Portion| match part {
                Portion::Items { messages, .. } => std::mem::take(messages),
                _ => Vec::new(),
            };
            parts.iter_mut().flat_map(messages).collect()
        }
        _ => Vec::new(),
    }
}

fn check(messages: &[Message]) -> Result<(), Refusal> {
    if messages.len() > Request::MAX_MESSAGES {
        return Err(Refusal::Limit(format!("{} messages at once", Request::MAX_MESSAGES)));
    }
    if messages.iter().any(|message| message.0.len() > Store::MAX_MESSAGE) {
        return Err(Refusal::Limit(format!("{} bytes in a message", Store::MAX_MESSAGE)));
    }
    Ok(())
}

fn describe(bytes: &[u8]) -> Result<NewBody, PrepareError> {
    let structure = Structure::parse(bytes);
    let encoded = postcard::to_stdvec(&structure)
        .map_err(|error| PrepareError::Encoding(error.to_string()))?;
    Ok(NewBody {
        hash: BodyHash(*blake3::hash(bytes).as_bytes()),
        size: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        sent: structure.envelope.sent,
        structure: encoded.into(),
        inline: None,
    })
}
