//! Accepting messages, and what becomes of those that go further.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, params};

use posthouse_cluster::{GroupId, Timestamp};

use super::{Outcome, Step, Stop, deliveries::Whom, items::check_uids, names::INBOX, only};
use crate::{
    DeliveryId, Envelope, Event, LocalRecipient, MailboxId, Refusal, RelayRecipient, Report,
    Response, SpoolId, SpoolOutcome, SpoolRecipient,
    command::NewBody,
    rows::{FolderRow, ItemRow, MailboxRow, cached, signed},
};

/// Who gets a message.
struct Recipients {
    delivery: Option<DeliveryId>,
    local: Vec<(MailboxRow, FolderRow)>,
    relay: Vec<RelayRecipient>,
}

impl Step<'_> {
    pub(super) fn deliver(
        &mut self,
        delivery: Option<DeliveryId>,
        envelope: Envelope,
        local: &[LocalRecipient],
        mut relay: Vec<RelayRecipient>,
        bodies: &[NewBody],
    ) -> Outcome {
        let body = only(bodies)?;
        if local.is_empty() && relay.is_empty() {
            return Err(Refusal::Limit("no recipient".into()).into());
        }
        let mut local = distinct(local);
        if let Some(delivery) = delivery {
            for mailbox in local.clone() {
                if self.is_delivered(Whom::Mailbox(mailbox), delivery)? {
                    local.remove(&mailbox);
                }
            }
            if !relay.is_empty() && self.is_delivered(Whom::Spool, delivery)? {
                relay.clear();
            }
        }
        let local =
            local.into_iter().map(|mailbox| self.inbox(mailbox)).collect::<Result<Vec<_>, _>>()?;
        let full: Vec<_> = local
            .iter()
            .filter(|(mailbox, _)| mailbox.is_full(u64::from(body.size), 1))
            .map(|(mailbox, _)| mailbox.id)
            .collect();
        if !full.is_empty() {
            return Err(Refusal::OverQuota(full).into());
        }
        for (_, inbox) in &local {
            check_uids(inbox, 1)?;
        }
        let spool = self.hand_out(envelope, Recipients { delivery, local, relay }, body)?;
        Ok(Response::Accepted { spool })
    }

    fn inbox(&self, mailbox: MailboxId) -> Result<(MailboxRow, FolderRow), Stop> {
        let mailbox = self.mailbox(mailbox)?;
        let inbox = self.folder_named(&mailbox, INBOX)?;
        Ok((mailbox, inbox))
    }

    /// Puts a message where it goes. Everything has been checked.
    fn hand_out(
        &mut self,
        envelope: Envelope,
        recipients: Recipients,
        body: &NewBody,
    ) -> Result<Option<SpoolId>, Stop> {
        let Recipients { delivery, local, relay } = recipients;
        let references = local.len() + usize::from(!relay.is_empty());
        if references == 0 {
            return Ok(None);
        }
        let body_row = self.take_body(body, references)?;
        if let Some(delivery) = delivery {
            self.forget_deliveries(delivery)?;
        }
        for (mut mailbox, mut inbox) in local {
            mailbox.modseq += 1;
            let item = ItemRow {
                uid: 0,
                modseq: 0,
                flags: 0,
                size: body.size,
                received: self.at,
                sent: body.sent,
                body: body_row,
                keywords: None,
            };
            self.add_item(&mut mailbox, &mut inbox, item)?;
            if let Some(delivery) = delivery {
                self.note_delivery(Whom::Mailbox(mailbox.id), delivery)?;
            }
            inbox.save(self.db)?;
            mailbox.save(self.db)?;
            self.changed(&mailbox, &inbox);
        }
        if relay.is_empty() {
            return Ok(None);
        }
        if let Some(delivery) = delivery {
            self.note_delivery(Whom::Spool, delivery)?;
        }
        let recipients: Vec<_> = relay
            .into_iter()
            .map(|recipient| SpoolRecipient {
                recipient,
                attempts: 0,
                last_error: None,
                delay_reported: false,
            })
            .collect();
        let id = self.next("spool")?;
        cached(
            self.db,
            "INSERT INTO spool (id, accepted, due, body, envelope, recipients, delivery)
             VALUES (?1, ?2, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            signed(id),
            signed(self.at.0),
            body_row,
            postcard::to_stdvec(&envelope)?,
            postcard::to_stdvec(&recipients)?,
            delivery.map(|delivery| delivery.0.to_be_bytes())
        ])?;
        self.events.push(Event::Spool);
        Ok(Some(SpoolId(id)))
    }

    pub(super) fn spool_update(
        &mut self,
        id: SpoolId,
        outcomes: Vec<(String, SpoolOutcome)>,
        due: Timestamp,
        report: Option<Report>,
        bodies: &[NewBody],
    ) -> Outcome {
        let (body, recipients) = self.spool_entry(id)?;
        self.check_report(report.as_ref())?;
        let report_body = report.as_ref().map(|_| only(bodies)).transpose()?;
        let left = settle(postcard::from_bytes(&recipients)?, outcomes);
        if left.is_empty() {
            self.take_out(id, body)?;
        } else {
            cached(self.db, "UPDATE spool SET due = ?, recipients = ? WHERE id = ?")?
                .execute(params![signed(due.0), postcard::to_stdvec(&left)?, signed(id.0)])?;
        }
        self.events.push(Event::Spool);
        if let (Some(report), Some(body)) = (report, report_body) {
            self.send_report(report, body)?;
        }
        Ok(Response::Done)
    }

    /// A mailbox that is on its way gets the report later, with the whole update; one that is elsewhere, there.
    fn check_report(&self, report: Option<&Report>) -> Result<(), Stop> {
        for mailbox in report.map(|report| distinct(&report.local)).unwrap_or_default() {
            match self.mailbox(mailbox) {
                Err(Stop::Refused(refusal)) if refusal.is_passing() => return Err(refusal.into()),
                Err(failed @ Stop::Failed(_)) => return Err(failed),
                _ => {}
            }
        }
        Ok(())
    }

    /// A report must not fail the update that it comes with: it goes into full mailboxes too, and a
    /// mailbox that is gone gets none.
    fn send_report(&mut self, report: Report, body: &NewBody) -> Result<(), Stop> {
        let mut local = Vec::new();
        for mailbox in distinct(&report.local) {
            match self.inbox(mailbox) {
                Ok(inbox) => local.push(inbox),
                Err(Stop::Refused(_)) => {}
                Err(failed) => return Err(failed),
            }
        }
        let envelope = Envelope {
            sender: String::new(),
            envelope_id: None,
            return_full: false,
            eight_bit: true,
            utf8: false,
        };
        self.hand_out(envelope, Recipients { delivery: None, local, relay: report.relay }, body)?;
        Ok(())
    }

    fn spool_entry(&self, id: SpoolId) -> Result<(i64, Vec<u8>), Stop> {
        Ok(cached(self.db, "SELECT body, recipients FROM spool WHERE id = ?")?
            .query_row([signed(id.0)], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?
            .ok_or(Refusal::NotFound)?)
    }

    fn take_out(&self, id: SpoolId, body: i64) -> Result<(), Stop> {
        cached(self.db, "DELETE FROM spool WHERE id = ?")?.execute([signed(id.0)])?;
        self.drop_reference(body)
    }

    pub(super) fn spool_retry(&mut self, id: Option<SpoolId>) -> Outcome {
        let now = signed(self.at.0);
        match id {
            Some(id) => {
                self.spool_entry(id)?;
                cached(self.db, "UPDATE spool SET due = ? WHERE id = ?")?
                    .execute([now, signed(id.0)])?;
            }
            None => {
                cached(self.db, "UPDATE spool SET due = ?1 WHERE due > ?1")?.execute([now])?;
            }
        }
        self.events.push(Event::Spool);
        Ok(Response::Done)
    }

    pub(super) fn spool_remove(&mut self, id: SpoolId) -> Outcome {
        let (body, _) = self.spool_entry(id)?;
        self.take_out(id, body)?;
        self.events.push(Event::Spool);
        Ok(Response::Done)
    }
}

/// Stores number their entries from different beginnings ([`SpoolId::beginning`]).
pub(super) fn number(db: &Connection, store: GroupId) -> rusqlite::Result<()> {
    let begin = SpoolId::beginning(store);
    if begin > SpoolId(0) {
        let sql = "INSERT OR IGNORE INTO counters (name, value) VALUES ('spool', ?)";
        db.execute(sql, [signed(begin.0)])?;
    }
    Ok(())
}

fn distinct(local: &[LocalRecipient]) -> BTreeSet<MailboxId> {
    local.iter().map(|recipient| recipient.mailbox).collect()
}

/// The recipients that are left after an attempt.
fn settle(
    mut recipients: Vec<SpoolRecipient>,
    outcomes: Vec<(String, SpoolOutcome)>,
) -> Vec<SpoolRecipient> {
    for (address, outcome) in outcomes {
        let position = recipients.iter().position(|known| known.recipient.address == address);
        let Some(position) = position else { continue };
        match outcome {
            SpoolOutcome::Done => {
                recipients.remove(position);
            }
            SpoolOutcome::Deferred { error, delay_reported } => {
                if let Some(recipient) = recipients.get_mut(position) {
                    recipient.attempts = recipient.attempts.saturating_add(1);
                    recipient.last_error = Some(error);
                    recipient.delay_reported |= delay_reported;
                }
            }
        }
    }
    recipients
}
