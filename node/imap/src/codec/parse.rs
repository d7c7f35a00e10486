//! Commands: one function for each that has arguments.

use posthouse_store::{FlagChange, FolderUse};

use super::{
    command::{Command, Qresync, Select, StoreFlags, Tagged},
    cursor::{Cursor, ParseError, Result, bad},
    date, fetch,
    frame::{RawCommand, tag},
    limits, list, search,
};

/// What is wrong with a command, and its tag where that can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadCommand {
    /// The tag.
    pub tag: Option<String>,
    /// The error.
    pub error: ParseError,
}

/// Parses a command.
pub fn parse(raw: &RawCommand) -> std::result::Result<Tagged, BadCommand> {
    let tag = tag(&raw.text);
    let fail = |error| BadCommand { tag: tag.clone(), error };
    let Some(name) = tag.clone() else {
        return Err(fail(ParseError::Bad("a tag and a command are expected")));
    };
    let mut cursor = Cursor::new(raw);
    let command = cursor
        .astring()
        .and_then(|_| cursor.space())
        .and_then(|()| command(&mut cursor))
        .and_then(|command| cursor.end().map(|()| command));
    match command {
        Ok(command) => Ok(Tagged { tag: name, command }),
        Err(error) => Err(fail(error)),
    }
}

fn command(c: &mut Cursor<'_>) -> Result<Command> {
    let name = c.word()?;
    match name.as_str() {
        "CAPABILITY" => Ok(Command::Capability),
        "NOOP" => Ok(Command::Noop),
        "LOGOUT" => Ok(Command::Logout),
        "STARTTLS" => Ok(Command::StartTls),
        "NAMESPACE" => Ok(Command::Namespace),
        "IDLE" => Ok(Command::Idle),
        "CHECK" => Ok(Command::Check),
        "CLOSE" => Ok(Command::Close),
        "UNSELECT" => Ok(Command::Unselect),
        "EXPUNGE" => Ok(Command::Expunge { uids: None }),
        _ => {
            if c.is_at_end() {
                return bad("unknown command, or one without its arguments");
            }
            c.space()?;
            with_arguments(&name, c)
        }
    }
}

fn with_arguments(name: &str, c: &mut Cursor<'_>) -> Result<Command> {
    match name {
        "AUTHENTICATE" => authenticate(c),
        "LOGIN" => {
            let user = c.astring()?;
            c.space()?;
            Ok(Command::Login { user, password: c.astring()? })
        }
        "ENABLE" => enable(c),
        "ID" => id(c),
        "COMPRESS" => match c.word()?.as_str() {
            "DEFLATE" => Ok(Command::Compress),
            _ => bad("only DEFLATE is known"),
        },
        "SELECT" => select(c, false),
        "EXAMINE" => select(c, true),
        "CREATE" => create(c),
        "DELETE" => Ok(Command::Delete { mailbox: c.mailbox()? }),
        "SUBSCRIBE" => Ok(Command::Subscribe { mailbox: c.mailbox()? }),
        "UNSUBSCRIBE" => Ok(Command::Unsubscribe { mailbox: c.mailbox()? }),
        "RENAME" => {
            let from = c.mailbox()?;
            c.space()?;
            Ok(Command::Rename { from, to: c.mailbox()? })
        }
        "LIST" => list::list(c).map(Command::List),
        "LSUB" => list::lsub(c),
        "STATUS" => {
            let mailbox = c.mailbox()?;
            c.space()?;
            Ok(Command::Status { mailbox, items: list::status_items(c)? })
        }
        "GETQUOTA" => Ok(Command::GetQuota { root: c.astring()? }),
        "GETQUOTAROOT" => Ok(Command::GetQuotaRoot { mailbox: c.mailbox()? }),
        "APPEND" => append(c),
        "UID" => {
            let name = c.word()?;
            c.space()?;
            match name.as_str() {
                "EXPUNGE" => Ok(Command::Expunge { uids: Some(c.sequence_set()?) }),
                _ => message_command(&name, true, c),
            }
        }
        _ => message_command(name, false, c),
    }
}

fn message_command(name: &str, uid: bool, c: &mut Cursor<'_>) -> Result<Command> {
    if name == "SEARCH" {
        return Ok(Command::Search { uid, search: search::search(c)? });
    }
    if !matches!(name, "FETCH" | "STORE" | "COPY" | "MOVE") {
        return bad("unknown command");
    }
    let set = c.sequence_set()?;
    c.space()?;
    match name {
        "FETCH" => Ok(Command::Fetch { uid, set, fetch: fetch::fetch(c)? }),
        "STORE" => Ok(Command::Store { uid, set, store: store(c)? }),
        "COPY" => Ok(Command::Copy { uid, set, mailbox: c.mailbox()? }),
        _ => Ok(Command::Move { uid, set, mailbox: c.mailbox()? }),
    }
}

fn authenticate(c: &mut Cursor<'_>) -> Result<Command> {
    let mechanism = c.atom()?;
    if mechanism.len() > limits::TAG {
        return bad("no such mechanism");
    }
    let initial = if c.is_at_end() {
        None
    } else {
        c.space()?;
        Some(c.base64().to_vec())
    };
    Ok(Command::Authenticate { mechanism, initial })
}

fn enable(c: &mut Cursor<'_>) -> Result<Command> {
    let mut names = vec![c.atom()?.to_ascii_uppercase()];
    while c.take(b' ') {
        names.push(c.atom()?.to_ascii_uppercase());
        if names.len() > limits::LIST_ITEMS {
            return bad("the list is too long");
        }
    }
    Ok(Command::Enable(names))
}

fn nil_or_string(c: &mut Cursor<'_>) -> Result<()> {
    if c.keyword("NIL") { Ok(()) } else { c.string_bytes().map(drop) }
}

fn id(c: &mut Cursor<'_>) -> Result<Command> {
    if !c.keyword("NIL") {
        c.list(nil_or_string)?;
    }
    Ok(Command::Id)
}

fn select(c: &mut Cursor<'_>, read_only: bool) -> Result<Command> {
    let mut select = Select { mailbox: c.mailbox()?, read_only, ..Select::default() };
    if c.take(b' ') {
        for parameter in c.list(select_parameter)? {
            match parameter {
                None => select.condstore = true,
                qresync => select.qresync = qresync,
            }
        }
    }
    Ok(Command::Select(select))
}

/// `None` is CONDSTORE.
fn select_parameter(c: &mut Cursor<'_>) -> Result<Option<Qresync>> {
    match c.word()?.as_str() {
        "CONDSTORE" => return Ok(None),
        "QRESYNC" => {}
        _ => return bad("unknown SELECT parameter"),
    }
    c.space()?;
    c.expect(b'(', "QRESYNC needs a list")?;
    let uid_validity = c.nz_number()?;
    c.space()?;
    let modseq = c.number64()?;
    let mut known = None;
    if c.take(b' ') && c.peek() != Some(b'(') {
        known = Some(c.sequence_set()?);
        c.take(b' ');
    }
    if c.take(b'(') {
        c.sequence_set()?;
        c.space()?;
        c.sequence_set()?;
        c.expect(b')', "a parenthesis is missing")?;
    }
    c.expect(b')', "a parenthesis is missing")?;
    Ok(Some(Qresync { uid_validity, modseq, known }))
}

fn create(c: &mut Cursor<'_>) -> Result<Command> {
    let mailbox = c.mailbox()?;
    let mut purpose = FolderUse::None;
    if c.take(b' ') {
        c.expect(b'(', "a list is missing")?;
        if !c.keyword("USE") {
            return bad("unknown CREATE parameter");
        }
        c.space()?;
        for flag in c.list(Cursor::flag)? {
            match list::special_use(&flag) {
                Some(found) => purpose = found,
                None => return bad("this special use is not supported"),
            }
        }
        c.expect(b')', "a parenthesis is missing")?;
    }
    Ok(Command::Create { mailbox, purpose })
}

fn append(c: &mut Cursor<'_>) -> Result<Command> {
    let mailbox = c.mailbox()?;
    c.space()?;
    let mut flags = Vec::new();
    if c.peek() == Some(b'(') {
        flags = c.list(Cursor::flag)?;
        c.space()?;
    }
    let mut at = None;
    if c.peek() == Some(b'"') {
        at = Some(date::parse_date_time(&c.string()?).ok_or(ParseError::Bad("no such date"))?);
        c.space()?;
    }
    let message = if c.keyword("UTF8") {
        // RFC 6855 §4
        c.space()?;
        c.expect(b'(', "a parenthesis is missing")?;
        let message = c.literal()?;
        c.expect(b')', "a parenthesis is missing")?;
        message
    } else {
        c.literal()?
    };
    Ok(Command::Append { mailbox, flags, date: at, message })
}

fn store(c: &mut Cursor<'_>) -> Result<StoreFlags> {
    let mut unchanged_since = None;
    if c.take(b'(') {
        if !c.keyword("UNCHANGEDSINCE") {
            return bad("unknown STORE modifier");
        }
        c.space()?;
        unchanged_since = Some(c.number64()?);
        c.expect(b')', "a parenthesis is missing")?;
        c.space()?;
    }
    let change = match c.peek() {
        Some(b'+') => FlagChange::Add,
        Some(b'-') => FlagChange::Remove,
        _ => FlagChange::Replace,
    };
    let _ = c.take(b'+') || c.take(b'-');
    let silent = match c.word()?.as_str() {
        "FLAGS" => false,
        "FLAGS.SILENT" => true,
        _ => return bad("only FLAGS can be stored"),
    };
    c.space()?;
    let flags = if c.peek() == Some(b'(') {
        c.list(Cursor::flag)?
    } else {
        let mut flags = vec![c.flag()?];
        while c.take(b' ') {
            flags.push(c.flag()?);
            if flags.len() > limits::LIST_ITEMS {
                return bad("the list is too long");
            }
        }
        flags
    };
    Ok(StoreFlags { change, silent, flags, unchanged_since })
}
