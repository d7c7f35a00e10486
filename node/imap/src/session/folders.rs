//! CREATE, DELETE, RENAME, SUBSCRIBE, APPEND, quotas.

use bytes::Bytes;
use posthouse_cluster::Timestamp;
use posthouse_store::{FolderUse, Message, NewItem, Refusal, Request, Response};

use super::{Fail, Out, Port, Reply, Session, Wire, flags};
use crate::codec::Code;

impl<P: Port> Session<P> {
    pub(super) async fn create(&mut self, sent: &str, purpose: FolderUse) -> Result<Reply, Fail> {
        let mailbox = self.owner()?;
        // a delimiter at the end only says that folders will come below (RFC 9051 §6.3.4)
        let name = self.name(sent.strip_suffix('/').unwrap_or(sent))?;
        self.ask(Request::CreateFolder { mailbox, name, purpose }).await?;
        Ok(Reply::ok())
    }

    pub(super) async fn delete(&mut self, sent: &str) -> Result<Reply, Fail> {
        let mailbox = self.owner()?;
        let name = self.name(sent)?;
        let is_inbox = name == "INBOX";
        match self.port.call(Request::RemoveFolder { mailbox, name }).await? {
            Response::Refused(Refusal::FolderInUse) if !is_inbox => {
                Err(Fail::no(Code::HasChildren, "there are mailboxes below it"))
            }
            Response::Refused(refusal) => Err(refusal.into()),
            _ => Ok(Reply::ok()),
        }
    }

    pub(super) async fn rename(&mut self, from: &str, to: &str) -> Result<Reply, Fail> {
        let mailbox = self.owner()?;
        let (from, to) = (self.name(from)?, self.name(to)?);
        self.ask(Request::RenameFolder { mailbox, from, to }).await?;
        Ok(Reply::ok())
    }

    pub(super) async fn subscribe(&mut self, sent: &str, subscribed: bool) -> Result<Reply, Fail> {
        let mailbox = self.owner()?;
        let name = self.name(sent)?;
        match self.port.call(Request::Subscribe { mailbox, name, subscribed }).await? {
            Response::Refused(Refusal::NoSuchFolder) if !subscribed => Ok(Reply::ok()),
            Response::Refused(refusal) => Err(refusal.into()),
            _ => Ok(Reply::ok()),
        }
    }

    pub(super) async fn append(
        &mut self,
        sent: &str,
        names: &[String],
        date: Option<Timestamp>,
        message: Bytes,
    ) -> Result<Reply, Fail> {
        let mailbox = self.owner()?;
        let folder = self.name(sent)?;
        let flags = flags::parse(names)?;
        let received = date.unwrap_or_else(|| self.port.now());
        let messages = vec![NewItem { message: Message(message), flags, received }];
        let request = Request::Append { mailbox, folder, messages };
        match self.ask(request).await.map_err(Fail::try_create)? {
            Response::Appended { folder, uid_validity, uids } => {
                if self.selected() == Some(folder) {
                    self.touch();
                }
                let uid = uids.first().copied().unwrap_or_default();
                Ok(Reply::code(format!("APPENDUID {uid_validity} {uid}")))
            }
            _ => Err(Fail::unexpected()),
        }
    }

    pub(super) async fn quota<W: Wire>(
        &mut self,
        root: &str,
        out: &mut Out<W>,
    ) -> Result<Reply, Fail> {
        if !root.is_empty() {
            return Err(Fail::no(Code::NonExistent, "no such quota root"));
        }
        let mailbox = self.owner()?;
        let Response::Quota { usage, quota } = self.ask(Request::Quota { mailbox }).await? else {
            return Err(Fail::unexpected());
        };
        let mut resources = Vec::new();
        if let Some(limit) = quota.bytes {
            // in units of 1,024 bytes
            resources.push(format!("STORAGE {} {}", usage.bytes.div_ceil(1024), limit / 1024));
        }
        if let Some(limit) = quota.items {
            resources.push(format!("MESSAGE {} {limit}", usage.items));
        }
        out.writer.untagged(format_args!("QUOTA \"\" ({})", resources.join(" ")));
        Ok(Reply::ok())
    }

    pub(super) async fn quota_root<W: Wire>(
        &mut self,
        sent: &str,
        out: &mut Out<W>,
    ) -> Result<Reply, Fail> {
        let mailbox = self.owner()?;
        let name = self.name(sent)?;
        self.ask(Request::Folder { mailbox, name: name.clone() }).await?;
        out.writer.text("* QUOTAROOT ");
        out.writer.mailbox(&name);
        out.writer.text(" \"\"\r\n");
        self.quota("", out).await
    }
}
