//! Delivery status notifications (RFC 3464, RFC 6522).
//!
//! Written out by hand and not by a MIME builder: message/delivery-status and message/rfc822 must not be encoded (RFC 3464 §2.1,
//! RFC 6522 §3), which a builder that chooses encodings by content does not promise.

use std::fmt::Write;

use posthouse_cluster::Timestamp;

use super::{Header, date_time, strip_return_path};

/// What became of a recipient (RFC 3464 §2.3.3), worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Given up.
    Failed,
    /// Late; tried again.
    Delayed,
    /// Handed to a host that sends no reports.
    Relayed,
    /// In the mailbox.
    Delivered,
}

impl Action {
    const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Relayed => "relayed",
            Self::Delivered => "delivered",
        }
    }

    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Failed => ("Undeliverable", "Your message could not be delivered to:"),
            Self::Delayed => {
                ("Delayed", "Your message is late. Nothing is to be done, it is tried again for:")
            }
            Self::Relayed => (
                "Relayed",
                "Your message was handed on to a host that sends no further reports, for:",
            ),
            Self::Delivered => ("Delivered", "Your message is in the mailbox of:"),
        }
    }
}

/// One recipient of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// Final recipient.
    pub address: String,
    /// ORCPT as `type;address`.
    pub original: Option<String>,
    /// What became of it.
    pub action: Action,
    /// Enhanced status code.
    pub status: String,
    /// The host that said so.
    pub remote: Option<String>,
    /// What that host said, or the cause in words.
    pub diagnostic: String,
}

/// A report to be written.
#[derive(Clone, Debug)]
pub struct ReportSpec<'a> {
    /// This host.
    pub host: &'a str,
    /// The sender of the message, who gets the report.
    pub to: &'a str,
    /// ENVID.
    pub envelope_id: Option<&'a str>,
    /// When the message was accepted.
    pub arrival: Timestamp,
    /// When it is given up.
    pub give_up: Timestamp,
    /// Now.
    pub at: Timestamp,
    /// Unique: becomes Message-ID and boundary. Letters and digits.
    pub id: &'a str,
    /// Return the whole message and not only its header, if it failed.
    pub return_full: bool,
    /// The message.
    pub original: &'a [u8],
    /// At least one.
    pub recipients: &'a [Reported],
}

/// Largest message that a report returns as a whole, in bytes; of larger ones the header.
const MAX_RETURNED: usize = 1 << 20;
/// Largest returned header in bytes.
const MAX_RETURNED_HEADER: usize = 64 * 1024;

/// Writes the report. It is clean of bare CR and LF and of control characters, whatever a next hop said.
pub fn build_report(spec: &ReportSpec<'_>) -> Vec<u8> {
    let worst = spec.recipients.iter().map(|r| r.action).min().unwrap_or(Action::Failed);
    let international = spec.recipients.iter().any(|r| !r.address.is_ascii());
    let ReportSpec { host, to, id, .. } = spec;
    let (subject, _) = worst.words();
    let boundary = format!("=_{id}");
    let mut out = format!(
        "From: Mail Delivery System <mailer-daemon@{host}>\r\nTo: <{to}>\r\nSubject: {subject}: mail delivery report\r\n\
         Date: {}\r\nMessage-ID: <{id}@{host}>\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\"\r\n\r\n",
        date_time(spec.at),
    );
    let _ = write!(out, "--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n");
    let _ = write!(out, "Content-Transfer-Encoding: 8bit\r\n\r\n{}\r\n", human(spec));
    let kind = if international { "global-delivery-status" } else { "delivery-status" };
    let encoding = if international { "8bit" } else { "7bit" };
    let _ = write!(out, "--{boundary}\r\nContent-Type: message/{kind}\r\n");
    let _ = write!(out, "Content-Transfer-Encoding: {encoding}\r\n\r\n{}", status(spec));
    let original = strip_return_path(spec.original);
    let full = spec.return_full && worst == Action::Failed && original.len() <= MAX_RETURNED;
    let (kind, returned) =
        if full { ("rfc822", original) } else { ("rfc822-headers", header(original)) };
    let kind = if full || returned.is_ascii() {
        format!("message/{kind}")
    } else {
        "message/global-headers".into()
    };
    let encoding = if returned.is_ascii() { "7bit" } else { "8bit" };
    let _ = write!(out, "--{boundary}\r\nContent-Type: {kind}\r\n");
    let _ = write!(out, "Content-Transfer-Encoding: {encoding}\r\n\r\n");
    let end = format!("\r\n--{boundary}--\r\n");
    [out.as_bytes(), returned, end.as_bytes()].concat()
}

/// The header section, cut at a field.
fn header(message: &[u8]) -> &[u8] {
    let Some(header) = Header::parse(message) else { return b"" };
    let mut length = 0;
    for field in &header.fields {
        if length + field.raw.len() > MAX_RETURNED_HEADER {
            break;
        }
        length += field.raw.len();
    }
    message.get(..length).unwrap_or_default()
}

fn human(spec: &ReportSpec<'_>) -> String {
    let mut text = format!("This is the mail server {}.\r\n", spec.host);
    let mut actions: Vec<Action> = spec.recipients.iter().map(|r| r.action).collect();
    actions.sort_unstable();
    actions.dedup();
    for action in actions {
        let _ = write!(text, "\r\n{}\r\n\r\n", action.words().1);
        for reported in spec.recipients.iter().filter(|r| r.action == action) {
            let _ = write!(
                text,
                "  <{}>\r\n    {}\r\n",
                reported.address,
                clean(&reported.diagnostic, true)
            );
        }
        if action == Action::Delayed {
            let _ = write!(text, "\r\nIt is given up at {}.\r\n", date_time(spec.give_up));
        }
    }
    text
}

fn status(spec: &ReportSpec<'_>) -> String {
    let mut text = format!("Reporting-MTA: dns; {}\r\n", spec.host);
    if let Some(id) = spec.envelope_id {
        let _ = write!(text, "Original-Envelope-Id: {}\r\n", clean(id, false));
    }
    let _ = write!(text, "Arrival-Date: {}\r\n\r\n", date_time(spec.arrival));
    for reported in spec.recipients {
        let kind = if reported.address.is_ascii() { "rfc822" } else { "utf-8" };
        if let Some(original) = &reported.original {
            let _ = write!(text, "Original-Recipient: {}\r\n", clean(original, false));
        }
        let _ = write!(text, "Final-Recipient: {kind}; {}\r\n", reported.address);
        let _ =
            write!(text, "Action: {}\r\nStatus: {}\r\n", reported.action.name(), reported.status);
        if let Some(remote) = &reported.remote {
            let _ = write!(text, "Remote-MTA: dns; {}\r\n", clean(remote, false));
            let _ =
                write!(text, "Diagnostic-Code: smtp; {}\r\n", clean(&reported.diagnostic, false));
        }
        if reported.action == Action::Delayed {
            let _ = write!(text, "Will-Retry-Until: {}\r\n", date_time(spec.give_up));
        }
        text.push_str("\r\n");
    }
    text
}

/// One line of printable text of bounded length.
fn clean(text: &str, unicode: bool) -> String {
    let fine = |c: char| !c.is_control() && (unicode || c.is_ascii());
    text.chars().map(|c| if fine(c) { c } else { '?' }).take(500).collect()
}
