//! LIST, LSUB, STATUS.

use std::collections::HashSet;

use posthouse_store::{Folder, Request, Response};

use super::{Fail, Out, Port, Reply, Session, StatusItem, Wire};
use crate::codec::{Code, List, SPECIAL_USES, limits};

/// Whether a name matches a pattern with `*` and `%` (RFC 9051 §6.3.9). Time is length × length.
fn matches(pattern: &[char], name: &str) -> bool {
    // which prefixes of the pattern match the name so far
    let mut states = vec![false; pattern.len() + 1];
    let close = |states: &mut [bool]| {
        for (at, c) in pattern.iter().enumerate() {
            if matches!(c, '*' | '%')
                && states.get(at) == Some(&true)
                && let Some(next) = states.get_mut(at + 1)
            {
                *next = true;
            }
        }
    };
    if let Some(first) = states.first_mut() {
        *first = true;
    }
    close(&mut states);
    for c in name.chars() {
        let mut next = vec![false; states.len()];
        for (at, p) in pattern.iter().enumerate().filter(|(at, _)| states.get(*at) == Some(&true)) {
            let (stay, go) = match p {
                '*' => (true, false),
                '%' => (c != '/', false),
                p => (false, *p == c),
            };
            for (at, on) in [(at, stay), (at + 1, go)] {
                if let Some(state) = next.get_mut(at).filter(|_| on) {
                    *state = true;
                }
            }
        }
        states = next;
        close(&mut states);
    }
    states.last() == Some(&true)
}

/// `INBOX` at the start in any case; runs of `*` are one.
fn pattern(reference: &str, pattern: &str) -> Vec<char> {
    let joined = format!("{reference}{pattern}");
    let joined = match joined.get(..5) {
        Some(head) if head.eq_ignore_ascii_case("INBOX") => {
            let rest = joined.get(5..).unwrap_or_default();
            if rest.is_empty() || rest.starts_with('/') { format!("INBOX{rest}") } else { joined }
        }
        _ => joined,
    };
    let mut chars: Vec<char> = joined.chars().collect();
    chars.dedup_by(|a, b| *a == '*' && *b == '*');
    chars
}

/// Everything that is above one of these names.
fn parents<'a>(names: impl Iterator<Item = &'a str>) -> HashSet<&'a str> {
    let mut all = HashSet::new();
    for name in names {
        all.extend(name.match_indices('/').filter_map(|(at, _)| name.get(..at)));
    }
    all
}

/// Refuses what would take longer than other users should wait.
fn bound(patterns: &[Vec<char>], folders: &[Folder]) -> Result<(), Fail> {
    let names: usize = folders.iter().map(|folder| folder.name.len() + 1).sum();
    let chars: usize = patterns.iter().map(|pattern| pattern.len() + 1).sum();
    if names.saturating_mul(chars) > limits::LIST_WORK {
        return Err(Fail::no(Code::Limit, "the patterns are too long for so many mailboxes"));
    }
    Ok(())
}

impl<P: Port> Session<P> {
    async fn folders(&self) -> Result<Vec<Folder>, Fail> {
        match self.ask(Request::Folders { mailbox: self.owner()? }).await? {
            Response::Folders(folders) => Ok(folders),
            _ => Err(Fail::unexpected()),
        }
    }

    fn decode_pattern(&self, sent: &str) -> Result<String, Fail> {
        if self.enabled.utf8 || !sent.is_ascii() {
            return Ok(sent.to_owned());
        }
        Ok(crate::codec::utf7::decode(sent).unwrap_or_else(|| sent.to_owned()))
    }

    pub(super) async fn list<W: Wire>(
        &mut self,
        list: List,
        out: &mut Out<W>,
    ) -> Result<Reply, Fail> {
        if list.patterns.iter().all(String::is_empty) {
            out.writer.untagged("LIST (\\Noselect) \"/\" \"\"");
            return Ok(Reply::ok());
        }
        let reference = self.decode_pattern(&list.reference)?;
        let mut patterns = Vec::new();
        for sent in &list.patterns {
            patterns.push(pattern(&reference, &self.decode_pattern(sent)?));
        }
        let folders = self.folders().await?;
        bound(&patterns, &folders)?;
        let above = parents(folders.iter().map(|folder| folder.name.as_str()));
        let subscribed = folders.iter().filter(|folder| folder.subscribed);
        let above_subscribed = parents(subscribed.map(|folder| folder.name.as_str()));
        for folder in &folders {
            if !patterns.iter().any(|pattern| matches(pattern, &folder.name)) {
                continue;
            }
            let special = SPECIAL_USES.iter().find(|(purpose, _)| *purpose == folder.purpose);
            let child_subscribed =
                list.recursive_match && above_subscribed.contains(folder.name.as_str());
            let chosen = (!list.only_subscribed || folder.subscribed || child_subscribed)
                && (!list.only_special_use || special.is_some());
            if !chosen {
                continue;
            }
            let has_children = above.contains(folder.name.as_str());
            let mut attributes =
                vec![if has_children { "\\HasChildren" } else { "\\HasNoChildren" }];
            attributes.extend(special.map(|(_, attribute)| *attribute));
            if list.return_subscribed && folder.subscribed {
                attributes.push("\\Subscribed");
            }
            out.writer.text("* LIST (").text(attributes.join(" ")).text(") \"/\" ");
            out.writer.mailbox(&folder.name);
            if child_subscribed {
                out.writer.text(" (\"CHILDINFO\" (\"SUBSCRIBED\"))");
            }
            out.writer.text("\r\n");
            if let Some(items) = &list.return_status {
                self.write_status(folder, items, out);
            }
            out.flush_full().await?;
        }
        Ok(Reply::ok())
    }

    pub(super) async fn lsub<W: Wire>(
        &mut self,
        reference: &str,
        sent: &str,
        out: &mut Out<W>,
    ) -> Result<Reply, Fail> {
        let pattern = pattern(&self.decode_pattern(reference)?, &self.decode_pattern(sent)?);
        let mut folders = self.folders().await?;
        folders.retain(|folder| folder.subscribed);
        bound(std::slice::from_ref(&pattern), &folders)?;
        // with `%`, a parent stands for subscribed folders below it (RFC 3501 §6.3.9)
        let own: HashSet<&str> = folders.iter().map(|folder| folder.name.as_str()).collect();
        let hidden = folders.iter().map(|folder| folder.name.as_str());
        let mut above: Vec<&str> = parents(hidden.filter(|name| !matches(&pattern, name)))
            .into_iter()
            .filter(|name| !own.contains(name) && matches(&pattern, name))
            .collect();
        above.sort_unstable();
        let names = above.iter().map(|name| ("\\Noselect", *name));
        let own = folders.iter().filter(|folder| matches(&pattern, &folder.name));
        for (attribute, name) in names.chain(own.map(|folder| ("", folder.name.as_str()))) {
            out.writer.text("* LSUB (").text(attribute).text(") \"/\" ");
            out.writer.mailbox(name);
            out.writer.text("\r\n");
            out.flush_full().await?;
        }
        Ok(Reply::ok())
    }

    pub(super) async fn status<W: Wire>(
        &mut self,
        sent: &str,
        items: &[StatusItem],
        out: &mut Out<W>,
    ) -> Result<Reply, Fail> {
        let mailbox = self.owner()?;
        let name = self.name(sent)?;
        self.enabled.condstore |= items.contains(&StatusItem::HighestModSeq);
        match self.ask(Request::Folder { mailbox, name }).await? {
            Response::Folder(folder) => self.write_status(&folder, items, out),
            _ => return Err(Fail::unexpected()),
        }
        Ok(Reply::ok())
    }

    fn write_status<W: Wire>(&self, folder: &Folder, items: &[StatusItem], out: &mut Out<W>) {
        out.writer.text("* STATUS ");
        out.writer.mailbox(&folder.name);
        let values = items.iter().map(|item| {
            let value = match item {
                StatusItem::Messages => u64::from(folder.exists),
                StatusItem::Recent => 0,
                StatusItem::UidNext => u64::from(folder.uid_next),
                StatusItem::UidValidity => u64::from(folder.uid_validity),
                StatusItem::Unseen => u64::from(folder.unseen),
                StatusItem::Deleted => u64::from(folder.deleted),
                StatusItem::Size => folder.size,
                StatusItem::HighestModSeq => folder.highest_modseq.max(1),
                StatusItem::AppendLimit => self.facts.capabilities.append_limit,
            };
            let name = StatusItem::ALL.iter().find(|(known, _)| known == item);
            format!("{} {value}", name.map_or("", |(_, name)| *name))
        });
        let values = values.collect::<Vec<_>>().join(" ");
        out.writer.text(format_args!(" ({values})\r\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::{matches, pattern};

    #[test]
    fn wildcards_rfc9051_section_6_3_9() {
        for (reference, p, name, expected) in [
            ("", "*", "a/b/c", true),
            ("", "%", "a", true),
            ("", "%", "a/b", false),
            ("", "a/%", "a/b", true),
            ("", "a/%", "a/b/c", false),
            ("a/", "%", "a/b", true),
            ("", "*b*", "a/b/c", true),
            ("", "inbox", "INBOX", true),
            ("", "Inbox/%", "INBOX/x", true),
            ("", "inboxes", "INBOXes", false),
            ("", "a%c", "abc", true),
            ("", "", "a", false),
            ("", "\u{fc}*", "\u{fc}x", true),
        ] {
            assert_eq!(
                matches(&pattern(reference, p), name),
                expected,
                "{reference:?} {p:?} {name:?}"
            );
        }
    }

    #[test]
    fn a_pattern_of_many_wildcards_takes_no_time() {
        let started = std::time::Instant::now();
        let p = pattern("", &format!("{}b", "*a".repeat(2_000)));
        assert!(!matches(&p, &"a".repeat(1_000)));
        assert!(started.elapsed().as_secs() < 2, "{:?}", started.elapsed());
    }
}
