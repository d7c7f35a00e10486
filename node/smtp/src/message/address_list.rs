//! Addresses of From and Sender (RFC 5322 §3.4), read strictly: what could be read in two ways is refused.

use std::{iter::Peekable, str::Chars};

/// Addresses in order of appearance.
pub type Addresses = Vec<String>;

/// Most addresses in one field.
const MAX_ADDRESSES: usize = 100;
/// Deepest comment.
const MAX_COMMENT_DEPTH: usize = 8;

/// Addresses of a mailbox-list, as `local@domain`. `None` if it is not one: groups, source routes, unbalanced quotes, text
/// that is neither name nor address.
pub fn parse_address_list(value: &str) -> Option<Addresses> {
    let mut chars = value.chars().peekable();
    let mut addresses = Vec::new();
    loop {
        addresses.push(mailbox(&mut chars)?);
        match chars.next() {
            None => return Some(addresses),
            Some(',') if addresses.len() < MAX_ADDRESSES => {}
            Some(_) => return None,
        }
    }
}

/// One mailbox up to a comma or the end: `addr-spec`, or `[phrase] <addr-spec>`.
fn mailbox(chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut plain = String::new();
    let mut angle = None;
    let mut words = 0;
    while let Some(&c) = chars.peek() {
        match c {
            ',' => break,
            '(' => comment(chars)?,
            ' ' | '\t' => {
                chars.next();
            }
            '<' if angle.is_none() => {
                chars.next();
                angle = Some(angle_address(chars)?);
            }
            _ if angle.is_some() => return None,
            '"' => {
                words += 1;
                plain.push_str(&quoted_string(chars)?);
            }
            _ => {
                words += 1;
                word(chars, &mut plain)?;
            }
        }
    }
    match angle {
        // an address in the display name is what phishing looks like, but it is legal and common
        Some(address) => Some(address),
        None if words == 1 => address(plain),
        None => None,
    }
}

/// A run of characters without special meaning, `@` and `.` included.
fn word(chars: &mut Peekable<Chars<'_>>, out: &mut String) -> Option<()> {
    let start = out.len();
    while let Some(&c) = chars.peek() {
        match c {
            ' ' | '\t' | ',' | '(' | '<' => break,
            '"' if out.len() > start => return None,
            ')' | '>' | ';' | ':' | '\\' | '"' => return None,
            c if c.is_control() => return None,
            c => out.push(c),
        }
        chars.next();
    }
    Some(())
}

/// A quoted string with its quotes; directly followed by `@domain` it is a local part.
fn quoted_string(chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut out = String::from(chars.next()?);
    loop {
        match chars.next()? {
            '\\' => {
                out.push('\\');
                out.push(chars.next().filter(|c| !c.is_control())?);
            }
            '"' => break,
            c if c.is_control() && c != '\t' => return None,
            c => out.push(c),
        }
    }
    out.push('"');
    if chars.peek() == Some(&'@') {
        word(chars, &mut out)?;
    }
    Some(out)
}

fn comment(chars: &mut Peekable<Chars<'_>>) -> Option<()> {
    let mut depth = 0;
    loop {
        match chars.next()? {
            '(' => depth += 1,
            ')' => depth -= 1,
            '\\' => {
                chars.next()?;
            }
            _ => {}
        }
        if depth == 0 {
            return Some(());
        }
        if depth > MAX_COMMENT_DEPTH {
            return None;
        }
    }
}

fn angle_address(chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut text = String::new();
    loop {
        match chars.next()? {
            '>' => return address(text.trim().to_owned()),
            '<' => return None,
            c => text.push(c),
        }
    }
}

fn address(text: String) -> Option<String> {
    crate::codec::Address::parse(&text).map(|path| path.address.to_string())
}
