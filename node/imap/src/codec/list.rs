//! LIST (RFC 9051 §6.3.9, with RFC 5258, 5819, 6154), LSUB and STATUS items.

use posthouse_store::FolderUse;

use super::{
    command::{Command, List, StatusItem},
    cursor::{Cursor, Result, bad},
    limits,
};

/// Special uses with their attributes (RFC 6154 §2). INBOX has none.
pub const SPECIAL_USES: &[(FolderUse, &str)] = &[
    (FolderUse::Drafts, "\\Drafts"),
    (FolderUse::Sent, "\\Sent"),
    (FolderUse::Trash, "\\Trash"),
    (FolderUse::Junk, "\\Junk"),
    (FolderUse::Archive, "\\Archive"),
];

pub(super) fn special_use(name: &str) -> Option<FolderUse> {
    SPECIAL_USES.iter().find(|(_, attribute)| attribute.eq_ignore_ascii_case(name)).map(|u| u.0)
}

pub(super) fn list(c: &mut Cursor<'_>) -> Result<List> {
    let mut list = List::default();
    if c.peek() == Some(b'(') {
        let options = c.list(Cursor::word)?;
        for option in options {
            match option.as_str() {
                "SUBSCRIBED" => (list.only_subscribed, list.return_subscribed) = (true, true),
                "RECURSIVEMATCH" => list.recursive_match = true,
                "SPECIAL-USE" => list.only_special_use = true,
                "REMOTE" => {}
                _ => return bad("unknown selection option"),
            }
        }
        if list.recursive_match && !list.only_subscribed {
            return bad("RECURSIVEMATCH needs SUBSCRIBED");
        }
        c.space()?;
    }
    list.reference = c.mailbox()?;
    c.space()?;
    list.patterns = if c.peek() == Some(b'(') {
        c.list(Cursor::list_mailbox)?
    } else {
        vec![c.list_mailbox()?]
    };
    if list.patterns.len() > limits::PATTERNS {
        return bad("too many patterns");
    }
    if c.take(b' ') {
        if !c.keyword("RETURN") {
            return bad("RETURN is missing");
        }
        c.space()?;
        return_options(c, &mut list)?;
    }
    Ok(list)
}

fn return_options(c: &mut Cursor<'_>, list: &mut List) -> Result<()> {
    c.list(|c| {
        match c.word()?.as_str() {
            "SUBSCRIBED" => list.return_subscribed = true,
            // children and special uses are always told
            "CHILDREN" | "SPECIAL-USE" => {}
            "STATUS" => {
                c.space()?;
                list.return_status = Some(status_items(c)?);
            }
            _ => return bad("unknown return option"),
        }
        Ok(())
    })
    .map(drop)
}

pub(super) fn lsub(c: &mut Cursor<'_>) -> Result<Command> {
    let reference = c.mailbox()?;
    c.space()?;
    Ok(Command::Lsub { reference, pattern: c.list_mailbox()? })
}

pub(super) fn status_items(c: &mut Cursor<'_>) -> Result<Vec<StatusItem>> {
    let mut items = c.list(|c| {
        let name = c.word()?;
        match StatusItem::ALL.iter().find(|(_, known)| *known == name) {
            Some((item, _)) => Ok(*item),
            None => bad("unknown STATUS item"),
        }
    })?;
    // once each, however often it was asked for
    items.sort_by_key(|item| *item as u8);
    items.dedup();
    if items.is_empty() { bad("STATUS needs an item") } else { Ok(items) }
}
