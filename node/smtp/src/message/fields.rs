//! The header section of a message (RFC 5322 §2.2), cut into fields without looking into them.

/// Largest header section in bytes.
pub const MAX_HEADER: usize = 512 * 1024;

/// One field with its folded lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Name as written.
    pub name: &'a str,
    /// All bytes of the field, its last CRLF included.
    pub raw: &'a [u8],
}

impl<'a> Field<'a> {
    /// Whether it has this name, without case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// What follows the colon, folding removed. Not UTF-8: replaced.
    pub fn value(&self) -> String {
        let colon = self.raw.iter().position(|b| *b == b':').unwrap_or(self.raw.len());
        let value = self.raw.get(colon + 1..).unwrap_or_default();
        let text = String::from_utf8_lossy(value);
        text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect::<String>().trim().to_owned()
    }
}

/// The header section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Fields in order.
    pub fields: Vec<Field<'a>>,
    /// Where the rest starts: the empty line, or the first line that is not a field.
    pub end: usize,
    /// A line was found that is neither field nor continuation before the empty line.
    pub malformed: bool,
}

impl<'a> Header<'a> {
    /// Cuts the header section. `None` if it is larger than [`MAX_HEADER`].
    pub fn parse(message: &'a [u8]) -> Option<Self> {
        let mut header = Self { fields: Vec::new(), end: 0, malformed: false };
        while header.end <= MAX_HEADER {
            let rest = message.get(header.end..).unwrap_or_default();
            if rest.is_empty() || rest.starts_with(b"\r\n") {
                return Some(header);
            }
            let Some(name) = name(rest) else {
                header.malformed = true;
                return Some(header);
            };
            let raw = rest.get(..length(rest)).unwrap_or(rest);
            header.fields.push(Field { name, raw });
            header.end += raw.len();
        }
        None
    }

    /// Fields of this name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &Field<'a>> {
        self.fields.iter().filter(move |field| field.is(name))
    }

    /// Number of Received fields: hops so far (RFC 5321 §6.3).
    pub fn hops(&self) -> usize {
        self.all("Received").count()
    }

    /// Whether any byte of it is beyond ASCII, so that next hops must know SMTPUTF8.
    pub fn is_international(&self) -> bool {
        self.fields.iter().any(|field| !field.raw.is_ascii())
    }
}

/// Field name: printable ASCII but colon, up to a colon that spaces may precede (obsolete, RFC 5322 §4.5).
fn name(line: &[u8]) -> Option<&str> {
    let colon = line.iter().position(|b| *b == b':' || *b == b'\r')?;
    if line.get(colon) != Some(&b':') {
        return None;
    }
    let name = std::str::from_utf8(line.get(..colon)?).ok()?.trim_end_matches([' ', '\t']);
    (!name.is_empty() && name.bytes().all(|b| (33..=126).contains(&b))).then_some(name)
}

/// Length of a field: up to the first CRLF that no space or tab follows.
fn length(text: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let Some(line) = rest.windows(2).position(|pair| pair == b"\r\n") else {
            return text.len();
        };
        at += line + 2;
        if !matches!(text.get(at), Some(b' ' | b'\t')) {
            return at;
        }
    }
}
