//! Address lists (RFC 5322 §3.4) as they stand: encoded words are left alone, since IMAP's ENVELOPE
//! shows them so.

use crate::MailAddress;

/// Comments within comments that are still looked into.
const MAX_COMMENTS: usize = 32;

/// The addresses of an unfolded field, at most `limit`. Never fails: what is no address becomes one
/// without domain.
pub(super) fn addresses(value: &[u8], limit: usize) -> Vec<MailAddress> {
    let mut list = List::default();
    let mut rest = value;
    while let Some((&byte, tail)) = rest.split_first() {
        if list.found.len() >= limit {
            break;
        }
        rest = tail;
        match byte {
            b'"' => rest = quoted(tail, &mut list.text),
            b'(' => rest = comment(tail, &mut list.comment),
            b'<' => rest = list.angle(tail),
            b',' => list.finish(),
            b':' if list.local.is_none() => list.open_group(),
            b';' => list.close_group(),
            b'@' if list.local.is_none() => {
                list.local = Some(take_trimmed(&mut list.text));
            }
            other => list.text.push(other),
        }
    }
    list.finish();
    list.found.truncate(limit);
    list.found
}

#[derive(Default)]
struct List {
    found: Vec<MailAddress>,
    /// Phrase or domain that is being read.
    text: Vec<u8>,
    comment: Vec<u8>,
    local: Option<Vec<u8>>,
    in_angle: Option<(Vec<u8>, Vec<u8>)>,
    in_group: bool,
}

impl List {
    /// What stands between `<` and `>`, without a source route.
    fn angle<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let mut rest = bytes;
        let (mut local, mut text) = (None, Vec::new());
        while let Some((&byte, tail)) = rest.split_first() {
            rest = tail;
            match byte {
                b'>' => break,
                b'"' => rest = quoted(tail, &mut text),
                b'(' => rest = comment(tail, &mut self.comment),
                // the end of a source route
                b':' => (local, text) = (None, Vec::new()),
                b'@' => match local {
                    None => local = Some(take_trimmed(&mut text)),
                    Some(_) => text.push(byte),
                },
                other => text.push(other),
            }
        }
        let text = take_trimmed(&mut text);
        self.in_angle = Some(match local {
            Some(local) => (local, text),
            None => (text, Vec::new()),
        });
        rest
    }

    fn finish(&mut self) {
        let text = take_trimmed(&mut self.text);
        let comment = take_trimmed(&mut self.comment);
        let name = |phrase: &[u8]| {
            let chosen = if phrase.is_empty() { &comment } else { phrase };
            (!chosen.is_empty()).then(|| string(chosen))
        };
        let (name, local, host) = match (self.in_angle.take(), self.local.take()) {
            (Some((local, host)), _) => (name(&text), local, host),
            (None, Some(local)) => (name(&[]), local, text),
            (None, None) if text.is_empty() => return,
            (None, None) => (name(&[]), text, Vec::new()),
        };
        self.found.push(MailAddress {
            name,
            mailbox: Some(string(&local)),
            host: Some(string(&host)),
        });
    }

    fn open_group(&mut self) {
        self.close_group();
        let name = string(&take_trimmed(&mut self.text));
        self.comment.clear();
        self.found.push(MailAddress { name: None, mailbox: Some(name), host: None });
        self.in_group = true;
    }

    fn close_group(&mut self) {
        if std::mem::take(&mut self.in_group) {
            self.finish();
            self.found.push(MailAddress::default());
        }
    }
}

/// Reads to the closing quote; returns what follows it.
pub(super) fn quoted<'a>(bytes: &'a [u8], into: &mut Vec<u8>) -> &'a [u8] {
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'"' => break,
            b'\\' => {
                if let Some((&escaped, tail)) = rest.split_first() {
                    into.push(escaped);
                    rest = tail;
                }
            }
            other => into.push(other),
        }
    }
    rest
}

/// Reads to the end of a comment, comments in it included; returns what follows it.
pub(super) fn comment<'a>(bytes: &'a [u8], into: &mut Vec<u8>) -> &'a [u8] {
    let mut rest = bytes;
    let mut depth = 1;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'(' if depth < MAX_COMMENTS => depth += 1,
            b')' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            b'\\' => {
                if let Some((&escaped, tail)) = rest.split_first() {
                    into.push(escaped);
                    rest = tail;
                }
            }
            other => into.push(other),
        }
    }
    rest
}

fn take_trimmed(bytes: &mut Vec<u8>) -> Vec<u8> {
    std::mem::take(bytes).trim_ascii().to_vec()
}

fn string(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str) -> Vec<String> {
        let part = |part: &Option<String>| part.clone().unwrap_or("-".into());
        addresses(value.as_bytes(), 100)
            .iter()
            .map(|one| format!("{}|{}|{}", part(&one.name), part(&one.mailbox), part(&one.host)))
            .collect()
    }

    #[test]
    fn address_lists() {
        for (value, expected) in [
            ("ada@x.example", vec!["-|ada|x.example"]),
            ("Ada <ada@x.example>, bob@y", vec!["Ada|ada|x.example", "-|bob|y"]),
            ("\"Love, Ada\" <ada@x>", vec!["Love, Ada|ada|x"]),
            ("=?utf-8?q?J=C3=BCrgen?= <j@x>", vec!["=?utf-8?q?J=C3=BCrgen?=|j|x"]),
            ("ada@x (Ada \\(home\\))", vec!["Ada (home)|ada|x"]),
            ("<@a,@b:ada@x>", vec!["-|ada|x"]),
            ("\"a b\"@x", vec!["-|a b|x"]),
            (
                "friends: a@x, B <b@x>;, c@y",
                vec!["-|friends|-", "-|a|x", "B|b|x", "-|-|-", "-|c|y"],
            ),
            ("undisclosed-recipients:;", vec!["-|undisclosed-recipients|-", "-|-|-"]),
            ("nobody", vec!["-|nobody|"]),
            ("<>", vec!["-||"]),
            (", ,", vec![]),
            ("", vec![]),
            ("\"never closed <a@b>", vec!["-|never closed <a@b>|"]),
            ("a@b@c", vec!["-|a|b@c"]),
        ] {
            assert_eq!(shown(value), expected, "{value}");
        }
    }

    #[test]
    fn half_a_million_addresses_stop_at_the_limit() {
        let value = "a@b,".repeat(500_000);
        assert_eq!(addresses(value.as_bytes(), 5000).len(), 5000);
        let groups = "g:a@b;".repeat(10_000);
        assert_eq!(addresses(groups.as_bytes(), 5000).len(), 5000);
        let comments = "(".repeat(1_000_000);
        assert!(addresses(comments.as_bytes(), 5000).is_empty());
    }
}
