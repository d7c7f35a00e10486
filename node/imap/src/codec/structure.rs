//! ENVELOPE and BODYSTRUCTURE (RFC 9051 §7.5.2) from the cached structure.

use posthouse_store::{MailAddress, MailEnvelope, Part, Structure};

use super::Writer;

/// Deepest nesting that is written: that of the store, for messages within messages too.
const DEPTH: usize = Structure::MAX_DEPTH + 2;

/// Writes an envelope.
pub fn envelope(out: &mut Writer, envelope: &MailEnvelope) {
    out.text("(");
    out.nstring(envelope.date.as_deref());
    out.text(" ");
    out.nstring(envelope.subject.as_deref());
    for list in [
        &envelope.from,
        &envelope.sender,
        &envelope.reply_to,
        &envelope.to,
        &envelope.cc,
        &envelope.bcc,
    ] {
        out.text(" ");
        addresses(out, list);
    }
    out.text(" ");
    out.nstring(envelope.in_reply_to.as_deref());
    out.text(" ");
    out.nstring(envelope.message_id.as_deref());
    out.text(")");
}

fn addresses(out: &mut Writer, list: &[MailAddress]) {
    if list.is_empty() {
        out.text("NIL");
        return;
    }
    out.text("(");
    for address in list {
        out.text("(");
        out.nstring(address.name.as_deref());
        // adl, the source route, is gone from addresses
        out.text(" NIL ");
        out.nstring(address.mailbox.as_deref());
        out.text(" ");
        out.nstring(address.host.as_deref());
        out.text(")");
    }
    out.text(")");
}

/// Writes a body structure; without the extension data for BODY.
pub fn body(out: &mut Writer, part: &Part, extended: bool) {
    body_at(out, part, extended, 0);
}

fn body_at(out: &mut Writer, part: &Part, extended: bool, depth: usize) {
    out.text("(");
    if part.children.is_empty() || depth >= DEPTH {
        single(out, part, extended, depth);
    } else {
        for child in &part.children {
            body_at(out, child, extended, depth + 1);
        }
        out.text(" ");
        out.string(&part.subtype);
        if extended {
            out.text(" ");
            params(out, &part.params);
            extension(out, part);
        }
    }
    out.text(")");
}

fn single(out: &mut Writer, part: &Part, extended: bool, depth: usize) {
    let message = part.message.as_deref().filter(|_| depth < DEPTH);
    // a multipart without parts, or a message that is none, is opaque here
    let opaque = part.kind == "multipart" || (is_message(part) && message.is_none());
    let (kind, subtype) = if opaque {
        ("application", "octet-stream")
    } else {
        (part.kind.as_str(), part.subtype.as_str())
    };
    out.string(kind);
    out.text(" ");
    out.string(subtype);
    out.text(" ");
    params(out, &part.params);
    out.text(" ");
    out.nstring(part.id.as_deref());
    out.text(" ");
    out.nstring(part.description.as_deref());
    out.text(" ");
    out.string(if part.encoding.is_empty() { "7bit" } else { &part.encoding });
    out.text(" ").text(part.end.saturating_sub(part.body));
    if let Some(message) = message.filter(|_| !opaque) {
        out.text(" ");
        envelope(out, &message.envelope);
        out.text(" ");
        body_at(out, &message.root, extended, depth + 1);
        out.text(" ").text(part.lines);
    } else if kind == "text" {
        out.text(" ").text(part.lines);
    }
    if extended {
        out.text(" ");
        out.nstring(part.md5.as_deref());
        extension(out, part);
    }
}

fn is_message(part: &Part) -> bool {
    part.kind == "message" && matches!(part.subtype.as_str(), "rfc822" | "global")
}

fn extension(out: &mut Writer, part: &Part) {
    out.text(" ");
    match &part.disposition {
        Some((kind, list)) => {
            out.text("(");
            out.string(kind);
            out.text(" ");
            params(out, list);
            out.text(")");
        }
        None => {
            out.text("NIL");
        }
    }
    out.text(" ");
    match part.language.as_slice() {
        [] => {
            out.text("NIL");
        }
        languages => {
            out.text("(");
            for (at, language) in languages.iter().enumerate() {
                out.text(if at > 0 { " " } else { "" });
                out.string(language);
            }
            out.text(")");
        }
    }
    out.text(" ");
    out.nstring(part.location.as_deref());
}

fn params(out: &mut Writer, list: &[(String, String)]) {
    if list.is_empty() {
        out.text("NIL");
        return;
    }
    for (at, (name, value)) in list.iter().enumerate() {
        out.text(if at > 0 { " " } else { "(" });
        out.string(name);
        out.text(" ");
        out.string(value);
    }
    out.text(")");
}
