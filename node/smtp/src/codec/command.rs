//! Commands (RFC 5321 §4.1, RFC 3030, RFC 3207, RFC 4954).

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    Address, Path, Reply,
    address::MAX_DOMAIN,
    parameter::{MailParameters, RcptParameters},
};

/// What a client calls itself. Should be a domain or an address literal and often is something else; characters that could
/// break a header or a log line are replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeloName(String);

impl HeloName {
    fn parse(text: &str) -> Result<Self, Reply> {
        if text.is_empty() || text.len() > MAX_DOMAIN || text.contains(char::is_whitespace) {
            return Err(Reply::SyntaxError);
        }
        let fine = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        Ok(Self(text.chars().map(|c| if fine(c) { c } else { '?' }).collect()))
    }
}

impl fmt::Display for HeloName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// MAIL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailFrom {
    /// The sender; `None` is the null sender.
    pub path: Option<Path>,
    /// Parameters.
    pub parameters: MailParameters,
}

/// RCPT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RcptTo {
    /// The recipient. `<Postmaster>` has an empty domain until the session fills it in.
    pub path: Path,
    /// `<Postmaster>` without a domain (RFC 5321 §4.5.1).
    pub bare_postmaster: bool,
    /// Parameters.
    pub parameters: RcptParameters,
}

/// BDAT (RFC 3030 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Octets that follow the line.
    pub size: u64,
    /// The message ends with it.
    pub last: bool,
}

/// AUTH (RFC 4954 §4).
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    /// Mechanism name, upper case.
    pub mechanism: String,
    /// Initial response, decoded.
    pub initial: Option<Vec<u8>>,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Auth({:?})", self.mechanism)
    }
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// HELO.
    Helo(HeloName),
    /// EHLO.
    Ehlo(HeloName),
    /// MAIL.
    MailFrom(MailFrom),
    /// RCPT.
    RcptTo(RcptTo),
    /// DATA.
    Data,
    /// BDAT.
    Bdat(Chunk),
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// QUIT.
    Quit,
    /// VRFY.
    Vrfy,
    /// EXPN.
    Expn,
    /// HELP.
    Help,
    /// STARTTLS.
    StartTls,
    /// AUTH.
    Auth(Auth),
}

impl Command {
    /// Reads one line without its CRLF. The error is the reply that it deserves.
    pub fn parse(line: &[u8]) -> Result<Self, Reply> {
        let line = std::str::from_utf8(line).map_err(|_| Reply::SyntaxError)?;
        if line.chars().any(|c| c.is_control() && c != '\t') {
            return Err(Reply::SyntaxError);
        }
        let line = line.trim_end_matches([' ', '\t']);
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let none = |command| if rest.is_empty() { Ok(command) } else { Err(Reply::SyntaxError) };
        match verb.to_ascii_uppercase().as_str() {
            "HELO" => HeloName::parse(rest.trim()).map(Self::Helo),
            "EHLO" => HeloName::parse(rest.trim()).map(Self::Ehlo),
            "MAIL" => mail_from(rest),
            "RCPT" => rcpt_to(rest),
            "DATA" => none(Self::Data),
            "BDAT" => chunk(rest),
            "RSET" => none(Self::Rset),
            "NOOP" => Ok(Self::Noop),
            "QUIT" => none(Self::Quit),
            "VRFY" => Ok(Self::Vrfy),
            "EXPN" => Ok(Self::Expn),
            "HELP" => Ok(Self::Help),
            "STARTTLS" => none(Self::StartTls),
            "AUTH" => auth(rest),
            _ => Err(Reply::UnknownCommand),
        }
    }
}

fn mail_from(rest: &str) -> Result<Command, Reply> {
    let (path, rest) = angle(keyword(rest, "FROM:")?).ok_or(Reply::BadSender)?;
    let path = match path {
        "" => None,
        path => Some(Address::parse(path).ok_or(Reply::BadSender)?),
    };
    let parameters = MailParameters::parse(rest)?;
    if path.as_ref().is_some_and(|path| path.international) && !parameters.utf8 {
        return Err(Reply::NeedsUtf8);
    }
    Ok(Command::MailFrom(MailFrom { path, parameters }))
}

fn rcpt_to(rest: &str) -> Result<Command, Reply> {
    let (path, rest) = angle(keyword(rest, "TO:")?).ok_or(Reply::BadRecipient)?;
    let bare_postmaster = path.eq_ignore_ascii_case("postmaster");
    let path = if bare_postmaster {
        Path { address: Address::postmaster("localhost"), international: false }
    } else {
        Address::parse(path).ok_or(Reply::BadRecipient)?
    };
    let parameters = RcptParameters::parse(rest)?;
    Ok(Command::RcptTo(RcptTo { path, bare_postmaster, parameters }))
}

/// What follows `FROM:` or `TO:`. A space behind the colon is wrong and common; it is taken.
fn keyword<'a>(text: &'a str, keyword: &str) -> Result<&'a str, Reply> {
    match text.split_at_checked(keyword.len()) {
        Some((head, rest)) if head.eq_ignore_ascii_case(keyword) => {
            Ok(rest.trim_start_matches(' '))
        }
        _ => Err(Reply::SyntaxError),
    }
}

/// What is between angle brackets, and what follows behind a space.
fn angle(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('<')?;
    let (mut quoted, mut escaped) = (false, false);
    let end = inner.char_indices().find_map(|(at, c)| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '>' if !quoted => return Some(at),
            _ => {}
        }
        None
    })?;
    let rest = inner.get(end + 1..)?;
    (rest.is_empty() || rest.starts_with(' ')).then_some((inner.get(..end)?, rest))
}

fn chunk(rest: &str) -> Result<Command, Reply> {
    let (size, last) = match rest.split_once(' ') {
        Some((size, last)) if last.eq_ignore_ascii_case("LAST") => (size, true),
        None => (rest, false),
        _ => return Err(Reply::SyntaxError),
    };
    if size.is_empty() || size.len() > 19 || !size.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Reply::SyntaxError);
    }
    let size = size.parse().map_err(|_| Reply::SyntaxError)?;
    Ok(Command::Bdat(Chunk { size, last }))
}

fn auth(rest: &str) -> Result<Command, Reply> {
    let (mechanism, initial) = match rest.split_once(' ') {
        Some((mechanism, initial)) => (mechanism, Some(decode_sasl(initial)?)),
        None => (rest, None),
    };
    // RFC 4422 §3.1
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !(1..=20).contains(&mechanism.len()) || !mechanism.bytes().all(allowed) {
        return Err(Reply::SyntaxError);
    }
    Ok(Command::Auth(Auth { mechanism: mechanism.to_ascii_uppercase(), initial }))
}

/// Decodes a SASL message; `=` is the empty one (RFC 4954 §4).
pub(crate) fn decode_sasl(text: &str) -> Result<Vec<u8>, Reply> {
    match text {
        "=" => Ok(Vec::new()),
        text => STANDARD.decode(text).map_err(|_| Reply::SaslMalformed),
    }
}
