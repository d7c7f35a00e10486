//! Substring search over names, addresses and telephone numbers of everybody: one buffer of folded text, and for each
//! three bytes in a row a list of those who have them. The shortest list of a needle's says who must be looked at; where
//! even that one is long, or the needle is shorter, the buffer is scanned from front to end. 100,000 people are some
//! 10 MB of text and 20 MB of lists.

use std::collections::HashMap;

use memchr::memmem;

use crate::{
    AccountId, Kind, PersonEntry,
    name::{search_form as normal, telephone_form as telephone},
};

/// Overwrites what is gone. Never part of UTF-8, so that it never matches.
const GONE: u8 = 0xFF;
/// Lists of accounts by three bytes: as many as 16 bits tell apart, so that a list may have some that do not belong.
const LISTS: usize = 1 << 16;
/// The part of everybody above which scanning is faster than looking at those of a list.
const DENSE: usize = 8;
/// Garbage in bytes that is always put up with.
const SLACK: usize = 64 * 1024;

struct Entry {
    start: usize,
    end: usize,
    account: AccountId,
}

/// The buffer and who is where in it.
#[derive(Default)]
pub(crate) struct Arena {
    text: Vec<u8>,
    entries: Vec<Entry>,
    places: HashMap<AccountId, usize>,
    /// Positions in `entries`, ascending.
    lists: Vec<Vec<u32>>,
    gone: usize,
}

/// The list of three bytes.
fn list_of(gram: &[u8]) -> usize {
    let number = gram.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    (number.wrapping_mul(0x9E37_79B1) >> 16) as usize
}

/// Notes that the entry `at`, the last one so far, has this text.
fn note(lists: &mut Vec<Vec<u32>>, at: usize, text: &[u8]) {
    let Ok(at) = u32::try_from(at) else { return };
    lists.resize_with(LISTS, Vec::new);
    for gram in text.windows(3).filter(|gram| !gram.contains(&b'\n')) {
        let Some(list) = lists.get_mut(list_of(gram)) else { continue };
        if list.last() != Some(&at) {
            list.push(at);
        }
    }
}

/// What an account of the domain `host` is found by, one field a line.
pub(crate) fn text(entry: &PersonEntry, host: &str) -> String {
    let account = &entry.account;
    let mut fields = vec![normal(&account.display_name), normal(&account.name)];
    fields.extend(entry.addresses.iter().map(|a| normal(a)));
    if matches!(account.kind, Kind::Group(_)) {
        fields.push(format!("{}@{host}", normal(&account.name)));
    }
    let person = match &account.kind {
        Kind::User(user) => Some(&user.person),
        Kind::Contact(person) => Some(person),
        Kind::Group(_) | Kind::Alias(_) => None,
    };
    if let Some(person) = person {
        fields.extend([normal(&person.given_name), normal(&person.surname)]);
        for number in [&person.phone, &person.mobile] {
            let stripped = telephone(number);
            let plain = normal(number);
            fields.extend((plain != stripped).then_some(plain));
            fields.push(stripped);
        }
    }
    fields.retain(|field| !field.is_empty());
    fields.join("\n")
}

impl Arena {
    /// Adds or replaces an account's text.
    pub(crate) fn put(&mut self, account: AccountId, text: &str) {
        self.remove(account);
        let start = self.text.len();
        self.text.extend_from_slice(text.as_bytes());
        self.text.push(b'\n');
        note(&mut self.lists, self.entries.len(), text.as_bytes());
        self.places.insert(account, self.entries.len());
        self.entries.push(Entry { start, end: self.text.len(), account });
    }

    /// Removes an account's text, if it is there.
    pub(crate) fn remove(&mut self, account: AccountId) {
        let Some(entry) = self.places.remove(&account).and_then(|at| self.entries.get(at)) else {
            return;
        };
        if let Some(text) = self.text.get_mut(entry.start..entry.end) {
            text.fill(GONE);
        }
        self.gone += entry.end - entry.start;
        if self.gone > SLACK + self.text.len() / 2 {
            self.compact();
        }
    }

    fn compact(&mut self) {
        let mut text = Vec::with_capacity(self.text.len() - self.gone);
        let mut entries = Vec::with_capacity(self.places.len());
        self.lists.iter_mut().for_each(Vec::clear);
        for (at, entry) in self.entries.iter().enumerate() {
            let alive = self.places.get(&entry.account) == Some(&at);
            let Some(old) = self.text.get(entry.start..entry.end).filter(|_| alive) else {
                continue;
            };
            let start = text.len();
            text.extend_from_slice(old);
            note(&mut self.lists, entries.len(), old);
            entries.push(Entry { start, end: text.len(), account: entry.account });
        }
        self.places = entries.iter().enumerate().map(|(at, e)| (e.account, at)).collect();
        (self.text, self.entries, self.gone) = (text, entries, 0);
    }

    /// Accounts whose text contains one of `any`, each once, and whether these are all: each text is looked for
    /// until `limit` accounts have it. An empty text is in every account's.
    pub(crate) fn search(&self, any: &[String], limit: usize) -> (Vec<AccountId>, bool) {
        let mut found: Vec<usize> = Vec::new();
        let mut all = true;
        for text in any {
            let needle = normal(text);
            if needle.is_empty() {
                return (self.places.keys().copied().collect(), true);
            }
            all &= self.scan(&needle, limit, &mut found);
        }
        found.sort_unstable();
        found.dedup();
        let accounts = found.into_iter().filter_map(|at| self.entries.get(at)).map(|e| e.account);
        (accounts.collect(), all)
    }

    /// Looks for one text; whether it looked at everything.
    fn scan(&self, needle: &str, limit: usize, found: &mut Vec<usize>) -> bool {
        let finder = memmem::Finder::new(needle);
        let lists = needle.as_bytes().windows(3).filter_map(|gram| self.lists.get(list_of(gram)));
        match lists.min_by_key(|list| list.len()) {
            Some(list) if list.len() <= self.entries.len() / DENSE => {
                self.look_at(list, &finder, limit, found)
            }
            _ => self.scan_all(&finder, limit, found),
        }
    }

    fn look_at(
        &self,
        list: &[u32],
        finder: &memmem::Finder<'_>,
        limit: usize,
        found: &mut Vec<usize>,
    ) -> bool {
        let mut hits = 0;
        for at in list.iter().map(|at| *at as usize) {
            let text = self.entries.get(at).and_then(|entry| self.text.get(entry.start..entry.end));
            if text.is_none_or(|text| finder.find(text).is_none()) {
                continue;
            }
            if hits >= limit {
                return false;
            }
            found.push(at);
            hits += 1;
        }
        true
    }

    fn scan_all(&self, finder: &memmem::Finder<'_>, limit: usize, found: &mut Vec<usize>) -> bool {
        let (mut from, mut after, mut hits) = (0, 0, 0);
        while let Some(at) = self.text.get(from..).and_then(|rest| finder.find(rest)) {
            if hits >= limit {
                return false;
            }
            let at = from + at;
            let rest = self.entries.get(after..).unwrap_or_default();
            let entry = after + distance(rest, at);
            let Some(end) = self.entries.get(entry).map(|e| e.end) else { return true };
            found.push(entry);
            (from, after, hits) = (end, entry + 1, hits + 1);
        }
        true
    }
}

/// How many entries end at or before `at`. Where many match, the next one is near.
fn distance(entries: &[Entry], at: usize) -> usize {
    let mut reach = 1;
    while entries.get(reach).is_some_and(|e| e.end <= at) {
        reach *= 2;
    }
    let start = reach / 2;
    let near = entries.get(start..entries.len().min(reach + 1)).unwrap_or_default();
    start + near.partition_point(|e| e.end <= at)
}
