//! Explains failed sign-ons in plain words. Explains only; decides nothing.
//!
//! The ticket is parsed with `kerberos_asn1`, which is used here and nowhere else (decision 0006).

mod cause;
mod ticket;

use cause::Cause;

use crate::{Reason, Service, failures::escaped, keytab::Entry, keytab::parse::etype_name};

/// What was found out and what to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Explanation {
    pub(crate) findings: Vec<String>,
    pub(crate) remedies: Vec<String>,
}

impl Explanation {
    fn add(&mut self, cause: Cause) {
        let (sentence, remedy) = cause.words();
        self.findings.push(sentence.to_owned());
        self.remedies.push(remedy.to_owned());
    }
}

/// What a ticket is compared with.
pub(crate) struct Scene<'a> {
    pub(crate) service: Service,
    pub(crate) host: &'a str,
    pub(crate) keytab: &'a [Entry],
}

/// What the reason alone tells.
pub(crate) fn reason(reason: &Reason) -> Explanation {
    let mut explanation = Explanation::default();
    explanation.add(Cause::of(reason));
    explanation
}

/// What the reason and the outside of the ticket tell.
pub(crate) fn ticket(reason: &Reason, ap_req: Option<&[u8]>, scene: &Scene<'_>) -> Explanation {
    let mut explanation = Explanation::default();
    let Some(seen) = ap_req.and_then(ticket::parse) else {
        explanation.add(Cause::of(reason));
        return explanation;
    };
    explanation.add(match reason {
        Reason::WrongService(_) => other_service(&seen, scene),
        Reason::NoKey(_) | Reason::Kerberos(_) => no_key(&seen, scene, reason),
        _ => Cause::of(reason),
    });
    explanation.findings.push(seen.to_string());
    match reason {
        Reason::NoKey(text) | Reason::Kerberos(text) => {
            explanation.findings.push(format!("The Kerberos library says: {}.", escaped(text)));
            explanation.findings.push(keytab_in_words(&seen, scene));
        }
        Reason::WrongService(_) => {
            let (service, host) = (scene.service.kerberos_name(), scene.host);
            explanation.findings.push(format!("This service is {service}/{host}."));
        }
        _ => {}
    }
    explanation
}

fn other_service(seen: &ticket::Seen, scene: &Scene<'_>) -> Cause {
    let ours = scene.service.accepted_names();
    let service = seen.service.first().map_or("", String::as_str);
    if ours.iter().any(|name| name.eq_ignore_ascii_case(service)) {
        Cause::OtherHost
    } else {
        Cause::OtherService
    }
}

/// Narrows down entry by entry: realm, name, encryption type, key version.
fn no_key(seen: &ticket::Seen, scene: &Scene<'_>, reason: &Reason) -> Cause {
    if seen.is_weak() {
        return Cause::WeakEncryption;
    }
    let realm: Vec<_> = scene.keytab.iter().filter(|entry| entry.realm == seen.realm).collect();
    if realm.is_empty() {
        return Cause::OtherRealm;
    }
    let named: Vec<_> = realm.iter().filter(|entry| seen.is_named_by(entry)).collect();
    let Some(newest) = named.iter().map(|entry| entry.kvno).max() else {
        return Cause::NameNotInKeytab;
    };
    let version = |entry: &Entry| seen.kvno.is_none_or(|kvno| kvno == entry.kvno);
    if !named.iter().any(|entry| version(entry)) {
        return if seen.kvno < Some(newest) { Cause::OldTicket } else { Cause::OldKeytab };
    }
    if !named.iter().any(|entry| version(entry) && i64::from(entry.etype) == seen.etype) {
        return Cause::EncryptionType;
    }
    match reason {
        Reason::NoKey(_) => Cause::KeyDoesNotFit,
        _ => Cause::Other,
    }
}

/// Most entries that are spelled out.
const MAX_LISTED: usize = 12;

fn keytab_in_words(seen: &ticket::Seen, scene: &Scene<'_>) -> String {
    let named: Vec<_> = scene.keytab.iter().filter(|entry| seen.is_named_by(entry)).collect();
    let shown = if named.is_empty() { scene.keytab.iter().collect() } else { named };
    let words: Vec<_> = shown.iter().take(MAX_LISTED).map(ToString::to_string).collect();
    format!("The keytab has: {}.", words.join("; "))
}

impl std::fmt::Display for ticket::Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = escaped(&format!("{}@{}", self.service.join("/"), self.realm));
        write!(f, "The ticket is for {name}")?;
        if let Some(kvno) = self.kvno {
            write!(f, ", key version {kvno}")?;
        }
        write!(f, ", {}.", etype_name(self.etype))
    }
}

#[cfg(test)]
pub(crate) mod tests;
