//! Names of Kerberos: which services are ours, and whose principal it is.

use std::sync::Arc;

use posthouse_directory::Account;

use crate::{Reason, Service, gss::token::TicketHead, keytab::Entry, people::People};

/// Whether a ticket's service is ours: the service that is signed on to, on our host (or its short name) or on another name
/// that the administrator put into the keytab for this service. The Kerberos library takes any ticket that it has a key for, and
/// services of one account share their keys.
pub(crate) fn is_ours(head: &TicketHead, service: Service, host: &str, keytab: &[Entry]) -> bool {
    let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
    let for_service = |name: &str| service.accepted_names().iter().any(|n| same(n, name));
    let [name, ticket_host, ..] = head.service.as_slice() else { return false };
    let short = host.split('.').next().unwrap_or(host);
    let in_keytab = |entry: &Entry| match entry.name.as_slice() {
        [entry_name, entry_host, ..] => for_service(entry_name) && same(entry_host, ticket_host),
        _ => false,
    };
    for_service(name)
        && (same(ticket_host, host) || same(ticket_host, short) || keytab.iter().any(in_keytab))
}

/// The account of a principal as the Kerberos library writes it. An enterprise name (RFC 6806 §5, `heidi\@corp.example@REALM`) is the
/// user of that UPN, if the directory knows him by a principal in the same realm.
pub(crate) fn account(people: &dyn People, principal: &str) -> Result<Arc<Account>, Reason> {
    if let Some(account) = people.principal(principal) {
        return Ok(account);
    }
    let not_mapped = || Reason::NotMapped(crate::failures::escaped(principal));
    let (name, realm) = principal.rsplit_once('@').ok_or_else(not_mapped)?;
    let upn = unescape(name).filter(|name| name.contains('@')).ok_or_else(not_mapped)?;
    let account = people.login(&upn).ok_or_else(not_mapped)?;
    let in_realm = |principal: &String| {
        principal.rsplit_once('@').is_some_and(|(_, r)| r.eq_ignore_ascii_case(realm))
    };
    match account.user() {
        Some(user) if user.principals.iter().any(in_realm) => Ok(account),
        _ => Err(not_mapped()),
    }
}

/// Undoes the escapes of a principal of one component; `None` if it has several.
fn unescape(name: &str) -> Option<String> {
    let mut out = String::with_capacity(name.len());
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next()? {
                c @ ('@' | '/' | '\\') => out.push(c),
                _ => return None,
            },
            '/' | '@' => return None,
            c => out.push(c),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use posthouse_directory::{Kind, SourceId, fresh_id};

    use super::*;
    use crate::fake::{Fake, mapped};

    #[test]
    fn only_tickets_for_this_service_on_this_host_are_ours() {
        let entry = |name: &[&str]| Entry {
            name: name.iter().map(|part| part.to_string()).collect(),
            realm: "R".to_owned(),
            kvno: 1,
            etype: 18,
        };
        let keytab =
            [entry(&["imap", "mail.example.test"]), entry(&["imap", "alias"]), entry(&["bare"])];
        for (ticket, service, ours) in [
            (&["imap", "mail.example.test"][..], Service::Imap, true),
            (&["IMAP", "MAIL.example.test"], Service::Imap, true),
            (&["imap", "mail"], Service::Imap, true),
            (&["imap", "alias"], Service::Imap, true),
            (&["smtp", "alias"], Service::Submission, false),
            (&["HTTP", "mail.example.test"], Service::Imap, false),
            (&["imap", "mail.example.test"], Service::Http, false),
            (&["imap", "other.example.test"], Service::Imap, false),
            (&["imap", "mail.other.test"], Service::Imap, false),
            (&["SMTPSVC", "mail.example.test"], Service::Submission, true),
            (&["ldap", "mail.example.test", "example.test"], Service::Ldap, true),
            (&["bare"], Service::Imap, false),
            (&["imap"], Service::Imap, false),
            (&[], Service::Imap, false),
        ] {
            let head = TicketHead {
                realm: "R".to_owned(),
                service: ticket.iter().map(|part| part.to_string()).collect(),
                etype: 18,
                kvno: None,
                user_to_user: false,
            };
            assert_eq!(is_ours(&head, service, "mail.example.test", &keytab), ours, "{ticket:?}");
        }
    }

    #[test]
    fn a_principal_is_mapped_with_its_realm_and_enterprise_names_too() {
        let fake = Fake::new();
        let mut heidi = mapped("heidi", SourceId(fresh_id()), "heidi@AD.EXAMPLE.TEST");
        if let Kind::User(user) = &mut heidi.kind {
            user.login_names.push("heidi@corp.example.test".to_owned());
        }
        fake.put(heidi);
        for (principal, found) in [
            ("heidi@AD.EXAMPLE.TEST", true),
            ("heidi@OD.EXAMPLE.TEST", false),
            ("heidi", false),
            ("heidi\\@corp.example.test@AD.EXAMPLE.TEST", true),
            ("heidi\\@corp.example.test@OD.EXAMPLE.TEST", false),
            ("heidi@corp.example.test@AD.EXAMPLE.TEST", false),
            ("heidi\\@corp.example.test/admin@AD.EXAMPLE.TEST", false),
            ("heidi\\", false),
            ("", false),
        ] {
            assert_eq!(account(&*fake, principal).is_ok(), found, "{principal}");
        }
    }
}
