//! What commands do: decisions over the mailbox API, without sockets, clocks or knowledge of passwords.
//!
//! A session asks its [`Port`] and writes to its [`Wire`]; tests hand in a store and a vector.

mod fetch;
mod flags;
mod folders;
mod list;
mod messages;
mod out;
mod query;
mod reply;
mod search;
mod section;
mod select;
mod sync;
#[cfg(test)]
mod tests;
mod view;

use std::future::Future;

use posthouse_cluster::Timestamp;
use posthouse_store::{FolderId, MailboxId, Request, Response, StoreError};

pub use out::{Closed, Out, Wire};
pub(crate) use reply::Fail;
use reply::Reply;
use view::View;

use crate::{
    capability::{CAPABILITIES, Capabilities},
    codec::{Code, Command, StatusItem, Tagged},
};

/// What a session needs from outside.
pub trait Port: Send + Sync {
    /// Asks the store.
    fn call(&self, request: Request) -> impl Future<Output = Result<Response, StoreError>> + Send;
    /// The present time, for INTERNALDATE.
    fn now(&self) -> Timestamp;
}

/// How a client wants to sign on.
#[derive(PartialEq)]
pub enum SignOn {
    /// LOGIN.
    Password {
        /// As sent.
        user: String,
        /// As sent.
        password: String,
    },
    /// AUTHENTICATE.
    Sasl {
        /// As sent.
        mechanism: String,
        /// In base64.
        initial: Option<Vec<u8>>,
    },
}

/// What the shell has to do after a command.
pub enum Flow {
    /// Read the next command.
    Next,
    /// A TLS handshake.
    StartTls,
    /// Compress from here on.
    Compress,
    /// Verify, then call [`Session::signed_on`] and answer `tag`.
    SignOn {
        /// Tag to answer.
        tag: String,
        /// How.
        how: SignOn,
    },
    /// Tell changes until the client sends DONE, then answer `tag`.
    Idle {
        /// Tag to answer.
        tag: String,
    },
    /// Close the connection.
    Close,
}

/// Facts that the session tells about the server.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Where the source code of this server can be had (AGPL-3.0 §13).
    pub source: String,
    /// Capabilities in the present state.
    pub capabilities: Capabilities,
}

#[derive(Clone, Copy, Debug, Default)]
struct Enabled {
    rev2: bool,
    utf8: bool,
    condstore: bool,
    qresync: bool,
}

/// One client's session.
pub struct Session<P> {
    port: P,
    facts: Facts,
    mailbox: Option<MailboxId>,
    selected: Option<View>,
    enabled: Enabled,
    compressed: bool,
}

/// In which state a command may come (RFC 9051 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Nothing,
    NotSignedOn,
    SignedOn,
    Selected,
}

const fn need(command: &Command) -> Need {
    match command {
        Command::Capability | Command::Noop | Command::Logout | Command::Id => Need::Nothing,
        Command::StartTls | Command::Authenticate { .. } | Command::Login { .. } => {
            Need::NotSignedOn
        }
        Command::Check
        | Command::Close
        | Command::Unselect
        | Command::Expunge { .. }
        | Command::Search { .. }
        | Command::Fetch { .. }
        | Command::Store { .. }
        | Command::Copy { .. }
        | Command::Move { .. } => Need::Selected,
        _ => Need::SignedOn,
    }
}

/// Whether changes may be told before the answer: not EXPUNGE while the client counts (RFC 9051 §7.5.1).
const fn may_sync(command: &Command) -> bool {
    !matches!(
        command,
        Command::Fetch { uid: false, .. }
            | Command::Store { uid: false, .. }
            | Command::Search { uid: false, .. }
            | Command::Idle
            | Command::Logout
    )
}

impl<P: Port> Session<P> {
    /// A session of a connection that is just open.
    pub fn new(port: P, facts: Facts) -> Self {
        let enabled = Enabled::default();
        Self { port, facts, mailbox: None, selected: None, enabled, compressed: false }
    }

    /// Capabilities, to be kept up to date.
    pub fn capabilities(&mut self) -> &mut Capabilities {
        &mut self.facts.capabilities
    }

    /// What the session asks.
    pub fn port(&self) -> &P {
        &self.port
    }

    /// Whose mailbox, once signed on.
    pub fn mailbox(&self) -> Option<MailboxId> {
        self.mailbox
    }

    /// The selected folder.
    pub fn selected(&self) -> Option<FolderId> {
        self.selected.as_ref().map(|view| view.folder.id)
    }

    /// Something may have changed in the selected folder.
    pub fn touch(&mut self) {
        if let Some(view) = &mut self.selected {
            view.dirty = true;
        }
    }

    /// The client has proven who it is.
    pub fn signed_on(&mut self, mailbox: MailboxId) {
        self.mailbox = Some(mailbox);
        self.facts.capabilities.signed_on = true;
    }

    /// Does a command and answers it, unless the shell has to.
    pub async fn run<W: Wire>(&mut self, tagged: Tagged, out: &mut Out<W>) -> Result<Flow, Closed> {
        let Tagged { tag, command } = tagged;
        let sync = may_sync(&command);
        let mut flow = Flow::Next;
        let done = match self.allowed(&command) {
            Ok(()) => self.perform(&tag, command, out, &mut flow).await,
            Err(fail) => Err(fail),
        };
        if matches!(flow, Flow::SignOn { .. } | Flow::Idle { .. }) && done.is_ok() {
            return Ok(flow);
        }
        let done = match done {
            Ok(reply) if sync => self.sync(out).await.map(|()| reply),
            other => other,
        };
        match done {
            Ok(reply) => out.writer.status(&tag, "OK", reply.code.as_deref(), &reply.text),
            Err(fail) => {
                if !fail.answer(&tag, &mut out.writer)? {
                    flow = Flow::Close;
                }
            }
        }
        Ok(flow)
    }

    fn allowed(&self, command: &Command) -> Result<(), Fail> {
        let signed_on = self.mailbox.is_some();
        match need(command) {
            Need::NotSignedOn if signed_on => Err(Fail::bad("already signed on")),
            Need::SignedOn | Need::Selected if !signed_on => Err(Fail::bad("sign on first")),
            Need::Selected if self.selected.is_none() => Err(Fail::bad("select a mailbox first")),
            _ => Ok(()),
        }
    }

    async fn perform<W: Wire>(
        &mut self,
        tag: &str,
        command: Command,
        out: &mut Out<W>,
        flow: &mut Flow,
    ) -> Result<Reply, Fail> {
        match command {
            Command::Capability => {
                let text = self.facts.capabilities.text();
                out.writer.untagged(format_args!("CAPABILITY {text}"));
                Ok(Reply::ok())
            }
            Command::Noop | Command::Check => Ok(Reply::ok()),
            Command::Logout => {
                out.writer.untagged("BYE good bye");
                *flow = Flow::Close;
                Ok(Reply::ok())
            }
            Command::StartTls if self.facts.capabilities.tls => Err(Fail::bad("already under TLS")),
            Command::StartTls => {
                *flow = Flow::StartTls;
                Ok(Reply::text("begin TLS"))
            }
            Command::Login { .. } if !self.facts.capabilities.tls => {
                Err(Fail::no(Code::PrivacyRequired, "begin TLS first"))
            }
            Command::Login { user, password } => {
                let how = SignOn::Password { user, password };
                *flow = Flow::SignOn { tag: tag.to_owned(), how };
                Ok(Reply::ok())
            }
            Command::Authenticate { mechanism, initial } => {
                let how = SignOn::Sasl { mechanism, initial };
                *flow = Flow::SignOn { tag: tag.to_owned(), how };
                Ok(Reply::ok())
            }
            Command::Idle => {
                *flow = Flow::Idle { tag: tag.to_owned() };
                Ok(Reply::ok())
            }
            Command::Compress if self.compressed => {
                Err(Fail::no(Code::CompressionActive, "already compressed"))
            }
            Command::Compress => {
                self.compressed = true;
                *flow = Flow::Compress;
                Ok(Reply::text("compressed from here on"))
            }
            Command::Enable(names) => self.enable(&names, out).await,
            Command::Id => {
                self.id(out);
                Ok(Reply::ok())
            }
            Command::Namespace => {
                out.writer.untagged("NAMESPACE ((\"\" \"/\")) NIL NIL");
                Ok(Reply::ok())
            }
            command => self.perform_mailbox(tag, command, out).await,
        }
    }

    async fn perform_mailbox<W: Wire>(
        &mut self,
        tag: &str,
        command: Command,
        out: &mut Out<W>,
    ) -> Result<Reply, Fail> {
        match command {
            Command::Select(select) => self.select(select, out).await,
            Command::Create { mailbox, purpose } => self.create(&mailbox, purpose).await,
            Command::Delete { mailbox } => self.delete(&mailbox).await,
            Command::Rename { from, to } => self.rename(&from, &to).await,
            Command::Subscribe { mailbox } => self.subscribe(&mailbox, true).await,
            Command::Unsubscribe { mailbox } => self.subscribe(&mailbox, false).await,
            Command::List(list) => self.list(list, out).await,
            Command::Lsub { reference, pattern } => self.lsub(&reference, &pattern, out).await,
            Command::Status { mailbox, items } => self.status(&mailbox, &items, out).await,
            Command::GetQuota { root } => self.quota(&root, out).await,
            Command::GetQuotaRoot { mailbox } => self.quota_root(&mailbox, out).await,
            Command::Append { mailbox, flags, date, message } => {
                self.append(&mailbox, &flags, date, message).await
            }
            Command::Close => self.close(true).await,
            Command::Unselect => self.close(false).await,
            Command::Expunge { uids } => self.expunge(uids.as_ref()).await,
            Command::Search { uid, search } => self.search(tag, uid, search, out).await,
            Command::Fetch { uid, set, fetch } => self.fetch(uid, &set, fetch, out).await,
            Command::Store { uid, set, store } => self.store(uid, &set, store, out).await,
            Command::Copy { uid, set, mailbox } => self.copy(uid, &set, &mailbox).await,
            Command::Move { uid, set, mailbox } => self.move_to(uid, &set, &mailbox, out).await,
            _ => Err(Fail::bad("not now")),
        }
    }

    async fn enable<W: Wire>(&mut self, names: &[String], out: &mut Out<W>) -> Result<Reply, Fail> {
        let mut done = String::new();
        let known = CAPABILITIES.iter().filter(|spec| spec.can_enable);
        for spec in known.filter(|spec| names.iter().any(|n| spec.name.eq_ignore_ascii_case(n))) {
            match spec.name {
                "IMAP4rev2" => (self.enabled.rev2, self.enabled.utf8) = (true, true),
                "UTF8=ACCEPT" => self.enabled.utf8 = true,
                "QRESYNC" => (self.enabled.qresync, self.enabled.condstore) = (true, true),
                _ => self.enabled.condstore = true,
            }
            done.push(' ');
            done.push_str(spec.name);
        }
        out.writer.utf8 = self.enabled.utf8;
        out.writer.untagged(format_args!("ENABLED{done}"));
        Ok(Reply::ok())
    }

    fn id<W: Wire>(&self, out: &mut Out<W>) {
        let version = env!("CARGO_PKG_VERSION");
        out.writer.text("* ID (\"name\" \"Posthouse\" \"version\" \"").text(version);
        out.writer.text("\" \"support-url\" ");
        out.writer.string(&self.facts.source);
        out.writer.text(")\r\n");
    }

    fn owner(&self) -> Result<MailboxId, Fail> {
        self.mailbox.ok_or(Fail::bad("sign on first"))
    }

    fn view(&mut self) -> Result<&mut View, Fail> {
        self.selected.as_mut().ok_or(Fail::bad("select a mailbox first"))
    }

    /// The mailbox and the selected folder.
    fn place(&mut self) -> Result<(MailboxId, FolderId), Fail> {
        Ok((self.owner()?, self.view()?.folder.id))
    }

    async fn ask(&self, request: Request) -> Result<Response, Fail> {
        match self.port.call(request).await? {
            Response::Refused(refusal) => Err(refusal.into()),
            response => Ok(response),
        }
    }

    /// A mailbox name as the store knows it.
    fn name(&self, sent: &str) -> Result<String, Fail> {
        let name = if self.enabled.utf8 {
            Some(sent.to_owned())
        } else {
            crate::codec::utf7::decode(sent)
        };
        match name {
            Some(name) if name.eq_ignore_ascii_case("INBOX") => Ok("INBOX".to_owned()),
            Some(name) => match name.get(..6) {
                Some(head) if head.eq_ignore_ascii_case("INBOX/") => {
                    Ok(format!("INBOX/{}", name.get(6..).unwrap_or_default()))
                }
                _ => Ok(name),
            },
            None => Err(Fail::no(Code::Cannot, "the mailbox name is malformed")),
        }
    }
}
