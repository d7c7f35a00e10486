//! Parameters of MAIL and RCPT: SIZE, BODY, SMTPUTF8, AUTH, RET, ENVID, NOTIFY, ORCPT.

use super::{Address, Reply, decode_xtext};

/// Longest MAIL or RCPT line in bytes: 512 (RFC 5321 §4.5.3.1.4) and what SIZE (26), BODY (16), SMTPUTF8 (10), AUTH (500),
/// and DSN (500 each) add, rounded up.
pub const MAX_MAIL_LINE: usize = 2048;

/// BODY of MAIL (RFC 6152).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyType {
    /// 7BIT, or not given.
    #[default]
    SevenBit,
    /// 8BITMIME.
    EightBitMime,
}

/// Parameters of MAIL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailParameters {
    /// SIZE (RFC 1870).
    pub size: Option<u64>,
    /// BODY.
    pub body: BodyType,
    /// SMTPUTF8 (RFC 6531).
    pub utf8: bool,
    /// RET=FULL (RFC 3461 §4.3).
    pub return_full: bool,
    /// ENVID, decoded (RFC 3461 §4.4).
    pub envelope_id: Option<String>,
}

/// Parameters of RCPT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RcptParameters {
    /// NOTIFY (RFC 3461 §4.1): bits 1 success, 2 failure, 4 delay; 0 never.
    pub notify: u8,
    /// ORCPT as `type;address`, decoded (RFC 3461 §4.2).
    pub original: Option<String>,
}

/// Longest decoded ENVID (RFC 3461 §4.4).
const MAX_ENVID: usize = 100;
/// Longest decoded ORCPT (RFC 3461 §4.2).
const MAX_ORCPT: usize = 500;
/// NOTIFY when nothing is said: failure and delay.
const DEFAULT_NOTIFY: u8 = 6;

type Pairs<'a> = Vec<(String, Option<&'a str>)>;

/// Splits `NAME[=value]` words; the same name twice is refused.
fn pairs(text: &str) -> Result<Pairs<'_>, Reply> {
    let mut pairs: Pairs<'_> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name.to_ascii_uppercase(), Some(value)),
            None => (word.to_ascii_uppercase(), None),
        };
        let is_keyword = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if name.is_empty() || !name.bytes().all(is_keyword) || pairs.iter().any(|p| p.0 == name) {
            return Err(Reply::SyntaxError);
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

impl MailParameters {
    /// Reads what follows the path of MAIL.
    pub fn parse(text: &str) -> Result<Self, Reply> {
        let mut parsed = Self::default();
        for (name, value) in pairs(text)? {
            match (name.as_str(), value) {
                ("SIZE", Some(value)) => parsed.size = Some(number(value)?),
                ("BODY", Some(value)) => parsed.body = body_type(value)?,
                ("SMTPUTF8", None) => parsed.utf8 = true,
                // Only noted by servers that trust the client (RFC 4954 §5); this one trusts nobody
                ("AUTH", Some(_)) => {}
                ("RET", Some(value)) => parsed.return_full = return_full(value)?,
                ("ENVID", Some(value)) => {
                    parsed.envelope_id = Some(bounded(decode_xtext(value), MAX_ENVID)?);
                }
                ("SIZE" | "BODY" | "SMTPUTF8" | "AUTH" | "RET" | "ENVID", _) => {
                    return Err(Reply::SyntaxError);
                }
                _ => return Err(Reply::UnknownParameter),
            }
        }
        Ok(parsed)
    }
}

impl RcptParameters {
    /// Reads what follows the path of RCPT.
    pub fn parse(text: &str) -> Result<Self, Reply> {
        let mut parsed = Self { notify: DEFAULT_NOTIFY, original: None };
        for (name, value) in pairs(text)? {
            match (name.as_str(), value) {
                ("NOTIFY", Some(value)) => parsed.notify = notify(value)?,
                ("ORCPT", Some(value)) => parsed.original = Some(original(value)?),
                ("NOTIFY" | "ORCPT", None) => return Err(Reply::SyntaxError),
                _ => return Err(Reply::UnknownParameter),
            }
        }
        Ok(parsed)
    }
}

fn number(value: &str) -> Result<u64, Reply> {
    // RFC 1870 §3: up to 20 digits
    if value.len() > 20 || !value.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Reply::SyntaxError);
    }
    if value.is_empty() { Err(Reply::SyntaxError) } else { Ok(value.parse().unwrap_or(u64::MAX)) }
}

fn body_type(value: &str) -> Result<BodyType, Reply> {
    match value.to_ascii_uppercase().as_str() {
        "7BIT" => Ok(BodyType::SevenBit),
        "8BITMIME" => Ok(BodyType::EightBitMime),
        _ => Err(Reply::UnknownParameter),
    }
}

fn return_full(value: &str) -> Result<bool, Reply> {
    match value.to_ascii_uppercase().as_str() {
        "FULL" => Ok(true),
        "HDRS" => Ok(false),
        _ => Err(Reply::SyntaxError),
    }
}

fn notify(value: &str) -> Result<u8, Reply> {
    let value = value.to_ascii_uppercase();
    if value == "NEVER" {
        return Ok(0);
    }
    value.split(',').try_fold(0, |bits, word| match word {
        "SUCCESS" => Ok(bits | 1),
        "FAILURE" => Ok(bits | 2),
        "DELAY" => Ok(bits | 4),
        _ => Err(Reply::SyntaxError),
    })
}

/// `type;xtext`. Only well-formed addresses are kept, because they are repeated to next hops and in reports.
fn original(value: &str) -> Result<String, Reply> {
    let (kind, address) = value.split_once(';').ok_or(Reply::SyntaxError)?;
    if kind.is_empty() || !kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Err(Reply::SyntaxError);
    }
    let address = bounded(decode_xtext(address), MAX_ORCPT)?;
    if kind.eq_ignore_ascii_case("rfc822") && Address::parse(&address).is_none() {
        return Err(Reply::BadRecipient);
    }
    Ok(format!("{kind};{address}"))
}

fn bounded(text: Option<String>, max: usize) -> Result<String, Reply> {
    text.filter(|text| !text.is_empty() && text.len() <= max).ok_or(Reply::SyntaxError)
}
