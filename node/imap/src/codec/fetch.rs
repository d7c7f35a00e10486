//! FETCH arguments (RFC 9051 §6.4.5, RFC 3516, RFC 7162).

use super::{
    command::{Fetch, FetchItem, Partial, Section, SectionText},
    cursor::{Cursor, Result, bad},
    limits,
};

pub(super) fn fetch(c: &mut Cursor<'_>) -> Result<Fetch> {
    let mut fetch = Fetch::default();
    if c.peek() == Some(b'(') {
        fetch.items = c.list(item)?;
    } else if c.keyword("ALL") {
        fetch.items = fast();
        fetch.items.push(FetchItem::Envelope);
    } else if c.keyword("FAST") {
        fetch.items = fast();
    } else if c.keyword("FULL") {
        fetch.items = fast();
        fetch.items.extend([FetchItem::Envelope, FetchItem::Body]);
    } else {
        fetch.items = vec![item(c)?];
    }
    if c.take(b' ') {
        modifiers(c, &mut fetch)?;
    }
    if fetch.vanished && fetch.changed_since.is_none() {
        return bad("VANISHED needs CHANGEDSINCE");
    }
    Ok(fetch)
}

fn fast() -> Vec<FetchItem> {
    vec![FetchItem::Flags, FetchItem::InternalDate, FetchItem::Rfc822Size]
}

fn modifiers(c: &mut Cursor<'_>, fetch: &mut Fetch) -> Result<()> {
    c.list(|c| {
        match c.word()?.as_str() {
            "CHANGEDSINCE" => {
                c.space()?;
                fetch.changed_since = Some(c.number64()?);
            }
            "VANISHED" => fetch.vanished = true,
            _ => return bad("unknown FETCH modifier"),
        }
        Ok(())
    })
    .map(drop)
}

fn item(c: &mut Cursor<'_>) -> Result<FetchItem> {
    let name = c.word()?;
    Ok(match name.as_str() {
        "ENVELOPE" => FetchItem::Envelope,
        "FLAGS" => FetchItem::Flags,
        "INTERNALDATE" => FetchItem::InternalDate,
        "RFC822" => FetchItem::Rfc822,
        "RFC822.HEADER" => FetchItem::Rfc822Header,
        "RFC822.TEXT" => FetchItem::Rfc822Text,
        "RFC822.SIZE" => FetchItem::Rfc822Size,
        "BODYSTRUCTURE" => FetchItem::BodyStructure,
        "UID" => FetchItem::Uid,
        "MODSEQ" => FetchItem::ModSeq,
        "BODY" if c.peek() != Some(b'[') => FetchItem::Body,
        "BODY" | "BODY.PEEK" => {
            let section = section(c)?;
            FetchItem::Section { section, partial: partial(c)?, peek: name != "BODY" }
        }
        "BINARY" | "BINARY.PEEK" => {
            let part = binary_part(c)?;
            FetchItem::Binary { part, partial: partial(c)?, peek: name != "BINARY" }
        }
        "BINARY.SIZE" => FetchItem::BinarySize { part: binary_part(c)? },
        _ => return bad("unknown FETCH item"),
    })
}

/// The dotted numbers, and whether a dot follows them.
fn part(c: &mut Cursor<'_>) -> Result<(Vec<u32>, bool)> {
    let mut numbers = Vec::new();
    while c.peek().is_some_and(|b| b.is_ascii_digit()) {
        numbers.push(c.nz_number()?);
        if numbers.len() > limits::PART_DEPTH {
            return bad("the part number is too deep");
        }
        if !c.take(b'.') {
            return Ok((numbers, false));
        }
    }
    let dot = !numbers.is_empty();
    Ok((numbers, dot))
}

fn binary_part(c: &mut Cursor<'_>) -> Result<Vec<u32>> {
    c.expect(b'[', "a section is missing")?;
    let (numbers, dot) = part(c)?;
    c.expect(b']', "a bracket is missing")?;
    if dot { bad("a part number is missing") } else { Ok(numbers) }
}

fn section(c: &mut Cursor<'_>) -> Result<Section> {
    c.expect(b'[', "a section is missing")?;
    let (numbers, dot) = part(c)?;
    if c.take(b']') {
        return if dot {
            bad("a part number is missing")
        } else {
            Ok(Section { part: numbers, text: SectionText::All })
        };
    }
    if !numbers.is_empty() && !dot {
        return bad("a bracket is missing");
    }
    let text = match c.word()?.as_str() {
        "HEADER" => SectionText::Header,
        "HEADER.FIELDS" => SectionText::HeaderFields { names: fields(c)?, not: false },
        "HEADER.FIELDS.NOT" => SectionText::HeaderFields { names: fields(c)?, not: true },
        "TEXT" => SectionText::Text,
        "MIME" if !numbers.is_empty() => SectionText::Mime,
        _ => return bad("unknown section"),
    };
    c.expect(b']', "a bracket is missing")?;
    Ok(Section { part: numbers, text })
}

fn fields(c: &mut Cursor<'_>) -> Result<Vec<String>> {
    c.space()?;
    let names = c.list(Cursor::astring)?;
    if names.is_empty() { bad("HEADER.FIELDS needs a field") } else { Ok(names) }
}

fn partial(c: &mut Cursor<'_>) -> Result<Option<Partial>> {
    if !c.take(b'<') {
        return Ok(None);
    }
    let offset = c.number()?;
    c.expect(b'.', "a length is missing")?;
    let length = c.nz_number()?;
    c.expect(b'>', "> is missing")?;
    Ok(Some(Partial { offset, length }))
}
