//! COPY, MOVE, EXPUNGE.

use posthouse_store::{Flags, FolderId, MailboxId, Query, Refusal, Request, Response, Uid};

use super::{Fail, Out, Port, Reply, Session, Wire};
use crate::codec::{Ranges, SequenceSet};

/// Items that the store changes in one step.
const PORTION: u32 = Request::MAX_CHANGED as u32;

fn follows(before: Uid, uid: Uid) -> bool {
    before.checked_add(1) == Some(uid)
}

/// Both sides of COPYUID as ranges that run in step (RFC 4315 §3).
fn copy_uid(uid_validity: u32, uids: &[(Uid, Uid)]) -> Option<String> {
    let (mut from, mut to) = (Vec::<(Uid, Uid)>::new(), Vec::<(Uid, Uid)>::new());
    for (source, target) in uids {
        match (from.last_mut(), to.last_mut()) {
            (Some(f), Some(t)) if follows(f.1, *source) && follows(t.1, *target) => {
                (f.1, t.1) = (*source, *target);
            }
            _ => {
                from.push((*source, *source));
                to.push((*target, *target));
            }
        }
    }
    let text = |ranges: &[(Uid, Uid)]| {
        let ranges = ranges.iter().map(|(first, last)| {
            if first == last { first.to_string() } else { format!("{first}:{last}") }
        });
        ranges.collect::<Vec<_>>().join(",")
    };
    (!uids.is_empty()).then(|| format!("COPYUID {uid_validity} {} {}", text(&from), text(&to)))
}

impl<P: Port> Session<P> {
    /// Copies or moves in portions that the store takes; UIDVALIDITY of the target and the uids.
    async fn transfer(
        &mut self,
        uid: bool,
        set: &SequenceSet,
        to: String,
        moves: bool,
    ) -> Result<Option<String>, Fail> {
        let uids = self.resolve(uid, set).await?;
        let (mailbox, folder) = self.place()?;
        let mut pieces = uids.pieces(PORTION);
        if pieces.is_empty() {
            // the target is looked at all the same
            pieces.push(Ranges::default());
        }
        let (mut validity, mut all) = (0, Vec::new());
        for piece in pieces {
            let (uids, to) = (piece.into(), to.clone());
            let request = if moves {
                Request::Move { mailbox, folder, uids, to }
            } else {
                Request::Copy { mailbox, folder, uids, to }
            };
            match self.ask(request).await.map_err(Fail::try_create)? {
                Response::Copied { uid_validity, uids } => {
                    validity = uid_validity;
                    all.extend(uids);
                }
                _ => return Err(Fail::unexpected()),
            }
            self.touch();
        }
        Ok(copy_uid(validity, &all))
    }

    pub(super) async fn copy(
        &mut self,
        uid: bool,
        set: &SequenceSet,
        sent: &str,
    ) -> Result<Reply, Fail> {
        let to = self.name(sent)?;
        let code = self.transfer(uid, set, to, false).await?;
        Ok(code.map_or_else(Reply::ok, Reply::code))
    }

    pub(super) async fn move_to<W: Wire>(
        &mut self,
        uid: bool,
        set: &SequenceSet,
        sent: &str,
        out: &mut Out<W>,
    ) -> Result<Reply, Fail> {
        self.writable()?;
        let to = self.name(sent)?;
        // before the EXPUNGEs, so that the client can tell where they went (RFC 6851 §4.3)
        if let Some(code) = self.transfer(uid, set, to, true).await? {
            out.writer.untagged(format_args!("OK [{code}] moved"));
        }
        Ok(Reply::ok())
    }

    /// Removes everything with \Deleted, in portions if it is much.
    pub(super) async fn expunge_all(
        &mut self,
        mailbox: MailboxId,
        folder: FolderId,
    ) -> Result<(), Fail> {
        let all = Request::Expunge { mailbox, folder, uids: None };
        match self.port.call(all).await? {
            Response::Refused(Refusal::Limit(_)) => {}
            Response::Refused(refusal) => return Err(refusal.into()),
            _ => return Ok(()),
        }
        let query = Query::System(Flags::DELETED);
        let Response::Found { uids, .. } =
            self.ask(Request::Search { mailbox, folder, query }).await?
        else {
            return Err(Fail::unexpected());
        };
        self.expunge_portions(mailbox, folder, &uids.into()).await
    }

    async fn expunge_portions(
        &mut self,
        mailbox: MailboxId,
        folder: FolderId,
        uids: &Ranges,
    ) -> Result<(), Fail> {
        for piece in uids.pieces(PORTION) {
            let uids = Some(piece.into());
            self.ask(Request::Expunge { mailbox, folder, uids }).await?;
        }
        Ok(())
    }

    pub(super) async fn expunge(&mut self, set: Option<&SequenceSet>) -> Result<Reply, Fail> {
        self.writable()?;
        let (mailbox, folder) = self.place()?;
        self.touch();
        match set {
            None => self.expunge_all(mailbox, folder).await?,
            Some(set) => {
                let uids = self.resolve(true, set).await?;
                self.expunge_portions(mailbox, folder, &uids).await?;
            }
        }
        Ok(Reply::ok())
    }
}

#[cfg(test)]
mod tests {
    use super::copy_uid;

    #[test]
    fn copyuid_ranges_run_in_step() {
        for (uids, text) in [
            (vec![(1, 11), (2, 12), (3, 13)], Some("COPYUID 7 1:3 11:13")),
            (vec![(1, 11), (2, 13), (4, 14)], Some("COPYUID 7 1,2,4 11,13,14")),
            (vec![], None),
        ] {
            assert_eq!(copy_uid(7, &uids).as_deref(), text);
        }
    }
}
