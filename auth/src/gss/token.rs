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
        // bits that do not count in the last octet (X.690 §8.6.2)
        (*options.first()? <= 7).then_some(())?;
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

#[cfg(test)]
pub(crate) mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        match content.len() {
            length @ 0..=0x7f => out.push(length as u8),
            length => out.extend([0x82, (length >> 8) as u8, length as u8]),
        }
        out.extend(content);
        out
    }

    pub(crate) fn framed_krb5(inner: &[u8]) -> Vec<u8> {
        element(0x60, &[element(OBJECT_IDENTIFIER, KRB5), inner.to_vec()].concat())
    }

    pub(crate) fn spnego(mechs: &[&[u8]], token: Option<&[u8]>) -> Vec<u8> {
        let types: Vec<u8> = mechs.iter().flat_map(|oid| element(OBJECT_IDENTIFIER, oid)).collect();
        let mut fields = element(0xa0, &element(SEQUENCE, &types));
        if let Some(token) = token {
            fields.extend(element(0xa2, &element(OCTET_STRING, token)));
        }
        let init = element(0xa0, &element(SEQUENCE, &fields));
        element(0x60, &[element(OBJECT_IDENTIFIER, SPNEGO), init].concat())
    }

    #[test]
    fn tokens_are_told_apart_and_the_ap_req_is_found() {
        let ap_req = [AP_REQ, b"\x6e\x02\x30\x00"].concat();
        let kerberos = framed_krb5(&ap_req);
        let answer_fields = element(0xa2, &element(OCTET_STRING, &kerberos));
        let answer = element(0xa1, &element(SEQUENCE, &answer_fields));
        let found = Some(&b"\x6e\x02\x30\x00"[..]);
        let spnego_is = |kerberos, ntlm, ap_req| Token::Spnego { kerberos, ntlm, ap_req };
        for (bytes, token) in [
            (&kerberos, Token::Kerberos(found)),
            (&framed_krb5(b"\x02\x00rest"), Token::Kerberos(None)),
            (&spnego(&[KRB5], Some(&kerberos)), spnego_is(true, false, found)),
            (&spnego(&[MS_KRB5, KRB5, NTLMSSP], Some(&kerberos)), spnego_is(true, true, found)),
            (&spnego(&[NTLMSSP], Some(b"NTLMSSP\0")), spnego_is(false, true, None)),
            (&spnego(&[NTLMSSP, KRB5], None), spnego_is(true, true, None)),
            (&spnego(&[KRB5], Some(b"junk")), spnego_is(true, false, None)),
            (&answer, Token::SpnegoAnswer(found)),
            (&b"NTLMSSP\0\x01".to_vec(), Token::Ntlm),
            (&b"".to_vec(), Token::Unknown),
            (&b"\x60\x80".to_vec(), Token::Unknown),
            (&element(0x60, &element(OBJECT_IDENTIFIER, b"\x2a")), Token::Unknown),
        ] {
            assert_eq!(Token::parse(bytes), token, "{}", bytes.escape_ascii());
        }
        // A prefix never holds the whole.
        for end in 0..kerberos.len() {
            assert_eq!(Token::parse(&kerberos[..end]), Token::Unknown);
        }
    }

    #[test]
    fn mutated_tokens_never_break_the_reader() {
        let mut random = StdRng::seed_from_u64(11);
        let kerberos = framed_krb5(&[AP_REQ, b"\x6e\x02\x30\x00"].concat());
        let seeds = [spnego(&[MS_KRB5, KRB5, NTLMSSP], Some(&kerberos)), kerberos];
        let mut read = 0;
        for round in 0..50_000 {
            let mut bytes = seeds[round % seeds.len()].clone();
            for _ in 0..random.random_range(1..4) {
                let at = random.random_range(0..bytes.len());
                match random.random_range(0..3) {
                    0 => bytes[at] = random.random(),
                    1 => bytes.insert(at, random.random()),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            let token = Token::parse(&bytes);
            if let Some(ap_req) = token.ap_req() {
                assert!(ap_req.len() <= bytes.len());
                let _ = TicketHead::parse(ap_req);
            }
            read += usize::from(token != Token::Unknown);
        }
        assert!(read > 1_000, "{read}");
    }
}
