//! SEARCH arguments (RFC 9051 §6.4.4, RFC 7162 §3.1.5).

use std::time::Duration;

use posthouse_cluster::Timestamp;
use posthouse_store::Flags;

use super::{
    command::{Search, SearchKey, SearchOptions},
    cursor::{Cursor, ParseError, Result, bad},
    date, limits,
};

const DAY: Duration = Duration::from_secs(86_400);

pub(super) fn search(c: &mut Cursor<'_>) -> Result<Search> {
    let mut search = Search { options: None, key: SearchKey::All, uses_modseq: false };
    if c.keyword("RETURN") {
        c.space()?;
        search.options = Some(options(c)?);
        c.space()?;
    }
    if c.keyword("CHARSET") {
        c.space()?;
        let charset = c.astring()?;
        if !["US-ASCII", "UTF-8"].iter().any(|known| charset.eq_ignore_ascii_case(known)) {
            return Err(ParseError::BadCharset);
        }
        c.space()?;
    }
    let mut keys = vec![key(c, 1, &mut search.uses_modseq)?];
    while c.take(b' ') {
        keys.push(key(c, 1, &mut search.uses_modseq)?);
    }
    search.key = both(keys);
    Ok(search)
}

fn both(mut keys: Vec<SearchKey>) -> SearchKey {
    match keys.pop() {
        Some(only) if keys.is_empty() => only,
        Some(last) => {
            keys.push(last);
            SearchKey::And(keys)
        }
        None => SearchKey::All,
    }
}

fn options(c: &mut Cursor<'_>) -> Result<SearchOptions> {
    let mut options = SearchOptions::default();
    let names = c.list(Cursor::word)?;
    for name in &names {
        match name.as_str() {
            "MIN" => options.min = true,
            "MAX" => options.max = true,
            "ALL" => options.all = true,
            "COUNT" => options.count = true,
            "SAVE" => options.save = true,
            _ => return bad("unknown RETURN option"),
        }
    }
    options.all |= names.is_empty();
    Ok(options)
}

fn not(key: SearchKey) -> SearchKey {
    SearchKey::Not(Box::new(key))
}

fn header(c: &mut Cursor<'_>, name: &str) -> Result<SearchKey> {
    c.space()?;
    Ok(SearchKey::Header(name.to_ascii_lowercase(), c.astring()?))
}

fn day(c: &mut Cursor<'_>) -> Result<Timestamp> {
    c.space()?;
    date::parse_date(&c.astring()?).ok_or(ParseError::Bad("no such date"))
}

fn key(c: &mut Cursor<'_>, depth: usize, uses_modseq: &mut bool) -> Result<SearchKey> {
    if depth > limits::SEARCH_DEPTH {
        return bad("search keys are nested too deeply");
    }
    c.count_key()?;
    if c.peek() == Some(b'(') {
        let keys = c.list(|c| key(c, depth + 1, uses_modseq))?;
        return if keys.is_empty() { bad("a search key is missing") } else { Ok(both(keys)) };
    }
    if c.peek().is_some_and(|b| b.is_ascii_digit() || matches!(b, b'*' | b'$')) {
        return c.sequence_set().map(SearchKey::Sequence);
    }
    let name = c.word()?;
    match name.as_str() {
        "NOT" => {
            c.space()?;
            Ok(not(key(c, depth + 1, uses_modseq)?))
        }
        "OR" => {
            c.space()?;
            let first = key(c, depth + 1, uses_modseq)?;
            c.space()?;
            let second = key(c, depth + 1, uses_modseq)?;
            Ok(SearchKey::Or(Box::new(first), Box::new(second)))
        }
        "MODSEQ" => {
            *uses_modseq = true;
            modseq(c)
        }
        _ => match flag_key(&name) {
            Some(key) => Ok(key),
            None => argument_key(&name, c),
        },
    }
}

fn flag_key(name: &str) -> Option<SearchKey> {
    let (name, negated) = match name.strip_prefix("UN") {
        Some(rest) => (rest, true),
        None => (name, false),
    };
    let key = match name {
        "ANSWERED" => SearchKey::System(Flags::ANSWERED),
        "DELETED" => SearchKey::System(Flags::DELETED),
        "DRAFT" => SearchKey::System(Flags::DRAFT),
        "FLAGGED" => SearchKey::System(Flags::FLAGGED),
        "SEEN" => SearchKey::System(Flags::SEEN),
        "ALL" | "OLD" if !negated => SearchKey::All,
        // nothing is \Recent here (RFC 9051 Appendix A has done away with it)
        "RECENT" | "NEW" if !negated => not(SearchKey::All),
        _ => return None,
    };
    Some(if negated { not(key) } else { key })
}

fn argument_key(name: &str, c: &mut Cursor<'_>) -> Result<SearchKey> {
    match name {
        "BCC" | "CC" | "FROM" | "SUBJECT" | "TO" => header(c, name),
        "HEADER" => {
            c.space()?;
            let field = c.astring()?;
            header(c, &field)
        }
        "BODY" => c.space().and_then(|()| c.astring()).map(SearchKey::Body),
        "TEXT" => c.space().and_then(|()| c.astring()).map(SearchKey::Text),
        "KEYWORD" => c.space().and_then(|()| c.flag()).map(SearchKey::Keyword),
        "UNKEYWORD" => c.space().and_then(|()| c.flag()).map(SearchKey::Keyword).map(not),
        "LARGER" => c.space().and_then(|()| c.number()).map(SearchKey::Larger),
        "SMALLER" => c.space().and_then(|()| c.number()).map(SearchKey::Smaller),
        "UID" => c.space().and_then(|()| c.sequence_set()).map(SearchKey::Uid),
        "SINCE" => day(c).map(SearchKey::ReceivedSince),
        "BEFORE" => day(c).map(SearchKey::ReceivedBefore),
        "ON" => day(c).map(|day| {
            let next = SearchKey::ReceivedBefore(day.after(DAY));
            SearchKey::And(vec![SearchKey::ReceivedSince(day), next])
        }),
        "SENTSINCE" => day(c).map(SearchKey::SentSince),
        "SENTBEFORE" => day(c).map(SearchKey::SentBefore),
        "SENTON" => day(c).map(|day| {
            let next = SearchKey::SentBefore(day.after(DAY));
            SearchKey::And(vec![SearchKey::SentSince(day), next])
        }),
        _ => bad("unknown search key"),
    }
}

/// `MODSEQ ["/flags/…" SP (priv|shared|all) SP] n`: flags have one modseq for all here.
fn modseq(c: &mut Cursor<'_>) -> Result<SearchKey> {
    c.space()?;
    if c.peek() == Some(b'"') {
        c.string()?;
        c.space()?;
        c.word()?;
        c.space()?;
    }
    c.number64().map(SearchKey::ModSeq)
}
