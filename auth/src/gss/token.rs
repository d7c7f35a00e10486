//! The outside of GSS-API tokens: which mechanism, and where the AP-REQ is (RFC 2743 §3.1, RFC 4178 §4.2, RFC 4121 §4.1).

use crate::der::{BIT_STRING, GENERAL_STRING, OBJECT_IDENTIFIER, OCTET_STRING, Reader, SEQUENCE};
use crate::der::{application, context};

/// 1.2.840.113554.1.2.2.
const KRB5: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02";
/// 1.2.840.48018.1.2.2: the same, as old Windows writes it.
const MS_KRB5: &[u8] = b"\x2a\x86\x48\x82\xf7\x12\x01\x02\x02";
/// 1.3.6.1.5.5.2.
const SPNEGO: &[u8] = b"\x2b\x06\x01\x05\x05\x02";
/// 1.3.6.1.4.1.311.2.2.10.
const NTLMSSP: &[u8] = b"\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a";
/// What a raw NTLM message starts with (MS-NLMP §2.2.1).
const NTLM_SIGNATURE: &[u8] = b"NTLMSSP\0";
/// TOK_ID of an AP-REQ (RFC 4121 §4.1).
const AP_REQ: &[u8] = b"\x01\x00";
/// Most mechanisms in one offer that are looked at.
const MAX_MECHS: usize = 32;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// A Kerberos token without SPNEGO. With its AP-REQ, if it has one.
    Kerberos(Option<&'a [u8]>),
    /// SPNEGO: whether Kerberos and NTLM are offered, and the AP-REQ that it may bring along.
    Spnego { kerberos: bool, ntlm: bool, ap_req: Option<&'a [u8]> },
    /// A later message of SPNEGO.
    SpnegoAnswer(Option<&'a [u8]>),
    /// NTLM without SPNEGO.
    Ntlm,
    /// Something else.
    Unknown,
}

impl<'a> Token<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Self {
        if bytes.starts_with(NTLM_SIGNATURE) {
            return Self::Ntlm;
        }
        match bytes.first() {
            Some(0x60) => framed(bytes),
            Some(&tag) if tag == context(0) => neg_token_init(Reader(bytes)),
            Some(&tag) if tag == context(1) => Some(Self::SpnegoAnswer(neg_token_resp(bytes))),
            _ => None,
        }
        .unwrap_or(Self::Unknown)
    }

    pub(crate) fn ap_req(&self) -> Option<&'a [u8]> {
        match self {
            Self::Kerberos(ap_req) | Self::SpnegoAnswer(ap_req) => *ap_req,
            Self::Spnego { ap_req, .. } => *ap_req,
            Self::Ntlm | Self::Unknown => None,
        }
    }
}

/// RFC 2743 §3.1: `[APPLICATION 0]` with the mechanism in front.
fn framed(bytes: &[u8]) -> Option<Token<'_>> {
    let mut inner = Reader(bytes).expect(application(0))?;
    match inner.expect(OBJECT_IDENTIFIER)?.0 {
        KRB5 | MS_KRB5 => Some(Token::Kerberos(inner.0.strip_prefix(AP_REQ))),
        SPNEGO => neg_token_init(inner),
        _ => None,
    }
}

/// RFC 4178 §4.2.1: mechTypes, reqFlags, mechToken.
fn neg_token_init(mut reader: Reader<'_>) -> Option<Token<'_>> {
    let mut fields = reader.field(0)?.expect(SEQUENCE)?;
    let mut types = fields.field(0)?.expect(SEQUENCE)?;
    let (mut kerberos, mut ntlm) = (false, false);
    for _ in 0..MAX_MECHS {
        match types.expect(OBJECT_IDENTIFIER) {
            Some(Reader(KRB5 | MS_KRB5)) => kerberos = true,
            Some(Reader(NTLMSSP)) => ntlm = true,
            Some(_) => {}
            None => break,
        }
    }
    let _flags = fields.field(1);
    let inner = fields.field(2).and_then(|token| token.only(OCTET_STRING));
    Some(Token::Spnego { kerberos, ntlm, ap_req: inner.and_then(inside) })
}

/// RFC 4178 §4.2.2: negState, supportedMech, responseToken.
fn neg_token_resp(bytes: &[u8]) -> Option<&[u8]> {
    let mut fields = Reader(bytes).field(1)?.expect(SEQUENCE)?;
    let _ = (fields.field(0), fields.field(1));
    inside(fields.field(2)?.only(OCTET_STRING)?)
}

/// The AP-REQ in the Kerberos token within SPNEGO.
fn inside(token: &[u8]) -> Option<&[u8]> {
    match framed(token)? {
        Token::Kerberos(ap_req) => ap_req,
        _ => None,
    }
}

/// What stands in clear on the outside of a ticket (RFC 4120 §5.3) in an AP-REQ (§5.5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TicketHead {
    pub(crate) realm: String,
    /// Components of the service's name.
    pub(crate) service: Vec<String>,
    pub(crate) etype: i64,
    /// Read-only controllers set the highest bit, and some send that as a negative number.
    pub(crate) kvno: Option<u32>,
    /// The ticket is encrypted with a session key: user-to-user (§3.7).
    pub(crate) user_to_user: bool,
}

/// Most components of a service name.
const MAX_COMPONENTS: usize = 8;

impl TicketHead {
    pub(crate) fn parse(ap_req: &[u8]) -> Option<Self> {
        let mut fields = Reader(ap_req).expect(application(14))?.expect(SEQUENCE)?;
        (fields.field(0)?.integer()? == 5).then_some(())?;
        (fields.field(1)?.integer()? == 14).then_some(())?;
        let options = fields.field(2)?.only(BIT_STRING)?;
        let user_to_user = options.get(1)? & 0x40 != 0;
        let mut ticket = fields.field(3)?.expect(application(1))?.expect(SEQUENCE)?;
        (ticket.field(0)?.integer()? == 5).then_some(())?;
        let realm = text(ticket.field(1)?)?;
        let mut name = ticket.field(2)?.expect(SEQUENCE)?;
        let _name_type = name.field(0)?.integer()?;
        let mut strings = name.field(1)?.expect(SEQUENCE)?;
        let mut service = Vec::new();
        while !strings.0.is_empty() && service.len() < MAX_COMPONENTS {
            let string = strings.expect(GENERAL_STRING)?.0;
            service.push(std::str::from_utf8(string).ok()?.to_owned());
        }
        let mut encrypted = ticket.field(3)?.expect(SEQUENCE)?;
        let etype = encrypted.field(0)?.integer()?;
        let kvno = encrypted.field(1).and_then(Reader::integer).map(|kvno| kvno as u32);
        Some(Self { realm, service, etype, kvno, user_to_user })
    }

    /// `imap/mail.example.test@REALM`.
    pub(crate) fn principal(&self) -> String {
        format!("{}@{}", self.service.join("/"), self.realm)
    }
}

fn text(reader: Reader<'_>) -> Option<String> {
    std::str::from_utf8(reader.only(GENERAL_STRING)?).ok().map(str::to_owned)
}
