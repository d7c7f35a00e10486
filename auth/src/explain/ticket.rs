//! The outside of a ticket, by `kerberos_asn1`.
//!
//! That crate is no longer maintained and was not made for hostile input, so it gets only what our own reader has walked
//! through before: bounded in size, of the expected structure, sound to the last element. A panic of it ends here.

use std::panic::catch_unwind;

use kerberos_asn1::{ApReq, Asn1Object};

use crate::{der::Reader, gss::token::TicketHead, keytab::Entry};

/// Largest AP-REQ that is explained, in bytes; tickets of users in very many groups have 48 KiB.
const MAX_AP_REQ: usize = 64 * 1024;
/// Deepest nesting in one; a component of the service's name has 9 elements around it.
const MAX_DEPTH: usize = 12;

/// What stands in clear on a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) realm: String,
    pub(super) service: Vec<String>,
    pub(super) etype: i64,
    pub(super) kvno: Option<u32>,
}

impl Seen {
    pub(super) fn is_named_by(&self, entry: &Entry) -> bool {
        let same = |(a, b): (&String, &String)| a.eq_ignore_ascii_case(b);
        entry.realm == self.realm
            && entry.name.len() == self.service.len()
            && entry.name.iter().zip(&self.service).all(same)
    }

    /// DES, triple DES, RC4.
    pub(super) fn is_weak(&self) -> bool {
        matches!(self.etype, 1..=16 | 23 | 24)
    }
}

/// The AP-REQ, if it may be given to `kerberos_asn1`.
pub(super) fn walked(ap_req: &[u8]) -> Option<&[u8]> {
    if ap_req.len() > MAX_AP_REQ {
        return None;
    }
    TicketHead::parse(ap_req)?;
    let whole = Reader(ap_req).next()?.whole;
    Reader(whole).is_sound(MAX_DEPTH).then_some(whole)
}

pub(super) fn parse(ap_req: &[u8]) -> Option<Seen> {
    let ap_req = walked(ap_req)?;
    let parsed = catch_unwind(|| ApReq::parse(ap_req).ok().map(|(_, parsed)| parsed));
    let ticket = parsed.ok()??.ticket;
    Some(Seen {
        realm: ticket.realm,
        service: ticket.sname.name_string,
        etype: i64::from(ticket.enc_part.etype),
        kvno: ticket.enc_part.kvno,
    })
}
