//! Passwords of mapped users: the directory that they come from verifies them.

use std::sync::Arc;

use posthouse_directory::{Account, Origin, SourceSpec, key};

use crate::{
    Reason,
    gss::{self, principal},
    inner::Inner,
    password::{ldap, text::Password},
};

/// One try at the source that the account comes from; never more, or a mistake would count twice there.
pub(crate) async fn verify(
    inner: &Inner,
    account: &Account,
    password: &Password,
) -> Result<(), Reason> {
    let source = source_of(inner, account)
        .ok_or_else(|| Reason::DirectoryDown("the account's source was removed".to_owned()))?;
    if inner.people.flag(key::PASSWORD_BY_KERBEROS) {
        by_kerberos(inner, account, password).await
    } else {
        let name = principal_of(account).or_else(|| dn_of(account));
        let name = name.ok_or_else(|| Reason::Disabled("no name to bind as".to_owned()))?;
        inner.binder.bind(&source, name, password.as_sent()).await
    }
}

fn source_of(inner: &Inner, account: &Account) -> Option<Arc<SourceSpec>> {
    let Origin::Mapped { source, .. } = &account.origin else { return None };
    inner.people.sources().into_iter().find(|spec| spec.id == *source)
}

/// `user@REALM` can be bound as, too, and outlives a move to another OU.
fn principal_of(account: &Account) -> Option<&str> {
    account.user()?.principals.first().map(String::as_str)
}

fn dn_of(account: &Account) -> Option<&str> {
    match &account.origin {
        Origin::Mapped { dn, .. } if !dn.is_empty() => Some(dn),
        _ => None,
    }
}

/// Gets a ticket for our own service with the password, and accepts it with our own keytab: a forged answer of a KDC has no such
/// ticket.
async fn by_kerberos(inner: &Inner, account: &Account, password: &Password) -> Result<(), Reason> {
    let acceptor = inner
        .keytabs
        .acceptor()
        .ok_or_else(|| Reason::DirectoryDown("there is no keytab to prove with".to_owned()))?;
    let name = principal_of(account)
        .ok_or_else(|| Reason::Disabled("no Kerberos principal".to_owned()))?
        .to_owned();
    let password = password.clone();
    let work = inner.kdc.run(move || gss::prove_password(&name, password.as_sent(), acceptor));
    let proven = tokio::time::timeout(ldap::TIMEOUT, work)
        .await
        .map_err(|_| Reason::DirectoryDown("no KDC answered in time".to_owned()))?
        .map_err(|_| Reason::Busy)??;
    let proven = principal::account(&*inner.people, &proven)?;
    if proven.id == account.id { Ok(()) } else { Err(Reason::WrongPassword) }
}
