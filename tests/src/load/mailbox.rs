//! What the clients do by IMAP.

use anyhow::{Context, Result, ensure};

use crate::{
    ledger::{Outcome, View},
    wire::Imap,
};

/// Number behind a name in answers: `[UIDNEXT 7]`.
fn number<T: std::str::FromStr>(lines: &[String], name: &str) -> Option<T> {
    lines.iter().find_map(|line| {
        let (_, rest) = line.split_once(&format!("{name} "))?;
        let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        rest.get(..end)?.parse().ok()
    })
}

/// INBOX as it is now, with the messages from a UID on.
pub fn view(imap: &mut Imap, from: u32) -> Result<View> {
    let state = imap.ok("EXAMINE INBOX")?;
    let mut view = View {
        validity: number(&state, "[UIDVALIDITY").context("no UIDVALIDITY")?,
        next: number(&state, "[UIDNEXT").context("no UIDNEXT")?,
        modseq: number(&state, "[HIGHESTMODSEQ").unwrap_or(0),
        ..View::default()
    };
    let command = format!("UID FETCH {from}:* (UID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])");
    for line in imap.ok(&command)? {
        if !line.contains(" FETCH (") {
            continue;
        }
        let uid = number(std::slice::from_ref(&line), "UID").with_context(|| line.clone())?;
        let id = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        let (id, _) = id.with_context(|| line.clone())?;
        if uid >= from {
            view.messages.insert(uid, id.to_owned());
        }
    }
    Ok(view)
}

/// What stands after the empty line of a message.
pub(super) fn text(imap: &mut Imap, uid: u32) -> Result<String> {
    let lines = imap.command(&format!("UID FETCH {uid} (BODY.PEEK[TEXT])"))?;
    let line = lines.iter().find(|line| line.contains(" FETCH ("));
    let Some(line) = line.filter(|_| lines.last().is_some_and(|last| last.starts_with("t OK")))
    else {
        // counted as damaged by whoever asks
        return Ok(lines.concat());
    };
    let (head, rest) = line.split_once('}').context("no literal")?;
    let length: usize = head.rsplit('{').next().unwrap_or("").parse()?;
    Ok(rest.get(..length).context("a short literal")?.to_owned())
}

/// Appends to INBOX. An error: the outcome is not known.
pub fn append(imap: &mut Imap, message: &str) -> Result<Outcome> {
    imap.0.send(format!("t APPEND INBOX {{{}}}\r\n", message.len()).as_bytes())?;
    loop {
        let line = imap.0.line()?;
        if line.starts_with('+') {
            break;
        }
        if line.starts_with("t ") {
            return Ok(super::refused(line.starts_with("t NO"), line));
        }
    }
    imap.0.send(format!("{message}\r\n").as_bytes())?;
    loop {
        let line = imap.0.line()?;
        if line.starts_with("t OK") {
            let (_, rest) = line.split_once("APPENDUID ").context("no APPENDUID")?;
            let mut numbers = rest.split([' ', ']']);
            let mut next = || numbers.next().unwrap_or("").parse::<u32>();
            return Ok(Outcome::Placed(next()?, next()?));
        }
        if line.starts_with("t ") {
            return Ok(super::refused(line.starts_with("t NO"), line));
        }
    }
}

/// Removes one message of INBOX for good, which is selected.
pub(super) fn expunge(imap: &mut Imap, uid: u32) -> Result<Outcome> {
    for command in
        [format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)"), format!("UID EXPUNGE {uid}")]
    {
        let answer = imap.command(&command)?;
        let last = answer.last().context("no answer")?;
        if !last.starts_with("t OK") {
            return Ok(super::refused(last.starts_with("t NO"), last.clone()));
        }
    }
    Ok(Outcome::Done)
}

/// Bits of a register, as keywords.
const BITS: u32 = 8;

/// Sets the register of a message of INBOX, which is selected.
pub(super) fn write(imap: &mut Imap, uid: u32, value: u64) -> Result<Outcome> {
    ensure!(value < 1 << BITS, "a register has {BITS} bits");
    let set = (0..BITS).filter(|bit| value & (1 << bit) != 0);
    let flags: Vec<_> = set.map(|bit| format!("$bit{bit}")).collect();
    let answer = imap.command(&format!("UID STORE {uid} FLAGS ({})", flags.join(" ")))?;
    let last = answer.last().context("no answer")?;
    if !last.starts_with("t OK") {
        return Ok(super::refused(last.starts_with("t NO"), last.clone()));
    }
    // A message that the session has not been told of yet is passed over, and OK is said.
    if fetched(&answer, uid).is_none() {
        imap.ok("NOOP")?;
        return Ok(super::refused(true, "the session does not know the message yet".to_owned()));
    }
    Ok(Outcome::Done)
}

/// The last that was said about the flags of a message.
fn fetched(answer: &[String], uid: u32) -> Option<&String> {
    let marks = [format!("UID {uid} "), format!("UID {uid})")];
    answer.iter().rev().find(|line| {
        line.contains(" FETCH (") && marks.iter().any(|mark| line.contains(mark.as_str()))
    })
}

/// Reads the register of a message of INBOX, which is selected.
pub(super) fn read(imap: &mut Imap, uid: u32) -> Result<Outcome> {
    let answer = imap.command(&format!("UID FETCH {uid} (FLAGS)"))?;
    let last = answer.last().context("no answer")?;
    if !last.starts_with("t OK") {
        return Ok(super::refused(last.starts_with("t NO"), last.clone()));
    }
    let Some(line) = fetched(&answer, uid) else {
        imap.ok("NOOP")?;
        return Ok(super::refused(true, "the session does not know the message yet".to_owned()));
    };
    let value = (0..BITS).filter(|bit| line.contains(&format!("$bit{bit}"))).map(|bit| 1 << bit);
    Ok(Outcome::Value(value.sum()))
}
