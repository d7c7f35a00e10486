//! COPY, MOVE, EXPUNGE.

use posthouse_store::{Request, Response, Uid};

use super::{Fail, Out, Port, Reply, Session, Wire};
use crate::codec::SequenceSet;

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
    pub(super) async fn copy(
        &mut self,
        uid: bool,
        set: &SequenceSet,
        sent: &str,
    ) -> Result<Reply, Fail> {
        let to = self.name(sent)?;
        let uids = self.resolve(uid, set).await?;
        let (mailbox, folder) = self.place()?;
        let request = Request::Copy { mailbox, folder, uids: uids.into(), to };
        match self.ask(request).await.map_err(Fail::try_create)? {
            Response::Copied { uid_validity, uids } => {
                self.touch();
                Ok(copy_uid(uid_validity, &uids).map_or_else(Reply::ok, Reply::code))
            }
            _ => Err(Fail::unexpected()),
        }
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
        let uids = self.resolve(uid, set).await?;
        let (mailbox, folder) = self.place()?;
        let request = Request::Move { mailbox, folder, uids: uids.into(), to };
        match self.ask(request).await.map_err(Fail::try_create)? {
            Response::Copied { uid_validity, uids } => {
                self.touch();
                // before the EXPUNGEs, so that the client can tell where they went (RFC 6851 §4.3)
                if let Some(code) = copy_uid(uid_validity, &uids) {
                    out.writer.untagged(format_args!("OK [{code}] moved"));
                }
                Ok(Reply::ok())
            }
            _ => Err(Fail::unexpected()),
        }
    }

    pub(super) async fn expunge(&mut self, set: Option<&SequenceSet>) -> Result<Reply, Fail> {
        self.writable()?;
        let uids = match set {
            Some(set) => Some(self.resolve(true, set).await?.into()),
            None => None,
        };
        let (mailbox, folder) = self.place()?;
        self.ask(Request::Expunge { mailbox, folder, uids }).await?;
        self.touch();
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
