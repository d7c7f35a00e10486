//! Header fields of a message or part (RFC 5322 §2.2).

/// One field.
pub(crate) struct Field<'a> {
    /// As written.
    pub name: &'a str,
    /// Behind the colon, still folded.
    pub value: &'a [u8],
}

impl Field<'_> {
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// Goes over the fields up to the blank line. Lines that are no field are left out.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Of bytes that begin with a header.
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// A line with its continuation lines.
    fn logical_line(&mut self) -> Option<&'a [u8]> {
        let mut end = line_end(self.rest, 0);
        if is_blank(self.rest.get(..end)?) {
            return None;
        }
        while matches!(self.rest.get(end), Some(b' ' | b'\t')) {
            let next = line_end(self.rest, end);
            if is_blank(self.rest.get(end..next)?) {
                break;
            }
            end = next;
        }
        let (line, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some(line)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = self.logical_line()?;
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (name, value) = line.split_at(colon);
            let Ok(name) = std::str::from_utf8(name.trim_ascii_end()) else { continue };
            if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Some(Field { name, value: value.get(1..).unwrap_or_default() });
            }
        }
    }
}

/// Offset behind the line that begins at `from`.
pub(super) fn line_end(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    rest.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| from + at + 1)
}

/// Whether a line, with its end, is the one that ends a header.
pub(super) fn is_blank(line: &[u8]) -> bool {
    matches!(line, b"" | b"\n" | b"\r\n")
}

/// A field's value on one line, without what could end a line elsewhere.
pub(crate) fn unfold(value: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(value.len());
    for byte in value {
        match byte {
            b'\r' | b'\n' => {}
            0 => line.push(b' '),
            other => line.push(*other),
        }
    }
    line.trim_ascii().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_end_at_the_blank_line_and_unfold() {
        let header = b"From: a@b\r\nnonsense\r\nSubject : one\r\n  two\r\n\tthree\r\n: x\r\n\r\nTo: body\r\n";
        let fields: Vec<_> = Fields::of(header)
            .map(|field| (field.name, String::from_utf8(unfold(field.value)).unwrap()))
            .collect();
        assert_eq!(fields, [("From", "a@b".into()), ("Subject", "one  two\tthree".into())]);
    }
}
