//! Values with parameters: Content-Type and Content-Disposition (RFC 2045 §5.1, RFC 2183).

use super::address::{comment, quoted};

/// Most parameters of one field.
const MAX_PARAMS: usize = 64;

/// The value in lower case and its parameters: names in lower case, values as they stand (continued
/// and encoded ones of RFC 2231 included).
pub(super) fn parse(value: &[u8]) -> (String, Vec<(String, String)>) {
    let mut pieces = Pieces { rest: value };
    let first = pieces.next().unwrap_or_default();
    let params = pieces
        .filter_map(|piece| {
            let (name, value) = piece.split_once('=')?;
            let name = name.trim().to_ascii_lowercase();
            (!name.is_empty()).then(|| (name, value.trim().to_owned()))
        })
        .take(MAX_PARAMS)
        .collect();
    (first.trim().to_ascii_lowercase(), params)
}

/// What stands between semicolons, quotes and comments resolved.
struct Pieces<'a> {
    rest: &'a [u8],
}

impl Iterator for Pieces<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if self.rest.is_empty() {
            return None;
        }
        let mut piece = Vec::new();
        while let Some((&byte, tail)) = self.rest.split_first() {
            self.rest = tail;
            match byte {
                b';' => break,
                b'"' => self.rest = quoted(tail, &mut piece),
                b'(' => self.rest = comment(tail, &mut Vec::new()),
                other => piece.push(other),
            }
        }
        Some(String::from_utf8_lossy(&piece).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_with_parameters() {
        for (value, first, params) in [
            ("text/plain", "text/plain", vec![]),
            ("Text/HTML; Charset=\"utf-8\" (why not)", "text/html", vec![("charset", "utf-8")]),
            ("a/b; name=\"x; y=\\\"z\\\"\"", "a/b", vec![("name", "x; y=\"z\"")]),
            (
                "a/b; filename*0*=utf-8''a%20; filename*1=b",
                "a/b",
                vec![("filename*0*", "utf-8''a%20"), ("filename*1", "b")],
            ),
            (";;=x;boundary=", "", vec![("boundary", "")]),
            ("", "", vec![]),
        ] {
            let (found, found_params) = parse(value.as_bytes());
            let expected: Vec<_> = params
                .into_iter()
                .map(|(n, v): (&str, &str)| (n.to_owned(), v.to_owned()))
                .collect();
            assert_eq!((found.as_str(), found_params), (first, expected), "{value}");
        }
    }
}
