//! Checks and normal forms of an account, before it is compared with others.

use crate::{
    Account, ChangeRefusal, DomainId, Kind, Person, State,
    claim::{DomainNames, Place, place, spelling},
    name,
};

/// Most addresses of one account besides its name.
pub(crate) const MAX_ADDRESSES: usize = 500;
/// Most members of one group.
pub(crate) const MAX_MEMBERS: usize = 200_000;
/// Most targets of one alias.
pub(crate) const MAX_TARGETS: usize = 1_000;
/// Most login names, and most principals, of one user.
const MAX_LOGINS: usize = 50;
/// Longest text of a field in bytes.
const MAX_TEXT: usize = 1_024;

fn invalid(text: impl Into<String>) -> ChangeRefusal {
    ChangeRefusal::Invalid(text.into())
}

/// What an account shows of a person.
pub(crate) fn person_mut(account: &mut Account) -> Option<&mut Person> {
    match &mut account.kind {
        Kind::User(user) => Some(&mut user.person),
        Kind::Contact(person) => Some(person),
        Kind::Group(_) | Kind::Alias(_) => None,
    }
}

fn texts(account: &mut Account) -> Vec<(&'static str, &mut String)> {
    let mut texts = vec![
        ("display name", &mut account.display_name),
        ("description", &mut account.description),
    ];
    let person = match &mut account.kind {
        Kind::User(user) => &mut user.person,
        Kind::Contact(person) => person,
        Kind::Group(_) | Kind::Alias(_) => return texts,
    };
    texts.extend([
        ("given name", &mut person.given_name),
        ("surname", &mut person.surname),
        ("title", &mut person.title),
        ("department", &mut person.department),
        ("company", &mut person.company),
        ("office", &mut person.office),
        ("phone", &mut person.phone),
        ("mobile", &mut person.mobile),
        ("postal address", &mut person.postal_address),
    ]);
    texts
}

fn bad_control(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t')
}

/// The normal form of an account's name, by its kind.
pub(crate) fn account_name(account: &Account) -> Option<String> {
    match &account.kind {
        Kind::User(_) => name::local(&account.name),
        Kind::Alias(_) => name::pattern(&account.name),
        Kind::Group(_) | Kind::Contact(_) => name::title(&account.name),
    }
}

/// Brings an account into its normal form, or says what is wrong with it.
pub(crate) fn check(account: &mut Account, names: &dyn DomainNames) -> Result<(), ChangeRefusal> {
    account.name =
        account_name(account).ok_or_else(|| ChangeRefusal::BadName(account.name.clone()))?;
    check_rest(account, names)
}

/// As [`check`], but for the name.
pub(crate) fn check_rest(
    account: &mut Account,
    names: &dyn DomainNames,
) -> Result<(), ChangeRefusal> {
    for (what, text) in texts(account) {
        if text.len() > MAX_TEXT {
            return Err(invalid(format!("the {what} is longer than {MAX_TEXT} bytes")));
        }
        if text.contains(bad_control) {
            return Err(invalid(format!("the {what} has control characters")));
        }
    }
    check_state(&account.state)?;
    if account.addresses.len() > MAX_ADDRESSES {
        return Err(invalid(format!("more than {MAX_ADDRESSES} addresses")));
    }
    let contact = matches!(account.kind, Kind::Contact(_));
    account.addresses = normal_addresses(&account.addresses, account.domain, contact, names)?;
    let domain = account.domain;
    match &mut account.kind {
        Kind::User(user) => {
            if user.login_names.len() > MAX_LOGINS || user.principals.len() > MAX_LOGINS {
                return Err(invalid(format!("more than {MAX_LOGINS} names to sign on with")));
            }
            user.login_names = each(&user.login_names, login_name)?;
            user.principals = each(&user.principals, name::principal)?;
            check_photo(&user.person)
        }
        Kind::Contact(person) => check_photo(person),
        Kind::Group(group) => {
            group.members.sort_unstable();
            group.members.dedup();
            let fits = group.members.len() <= MAX_MEMBERS;
            fits.then_some(()).ok_or_else(|| invalid(format!("more than {MAX_MEMBERS} members")))
        }
        Kind::Alias(alias) => {
            alias.targets = targets(&alias.targets, domain, names)?;
            Ok(())
        }
    }
}

/// The normal form of a further name to sign on with: `DOMAIN\name`, `name@realm`.
pub(crate) fn login_name(text: &str) -> Option<String> {
    let name = name::fold(text.trim());
    (!name.is_empty() && name.len() <= 320 && !name.chars().any(char::is_control)).then_some(name)
}

/// The cause of a disabled account is a short text.
pub(crate) fn check_state(state: &State) -> Result<(), ChangeRefusal> {
    match state {
        State::Disabled(cause) if cause.len() > MAX_TEXT => {
            Err(invalid(format!("the cause is longer than {MAX_TEXT} bytes")))
        }
        State::Disabled(_) | State::Enabled => Ok(()),
    }
}

fn check_photo(person: &Person) -> Result<(), ChangeRefusal> {
    match &person.photo {
        Some(photo) if photo.len() > Person::MAX_PHOTO => {
            Err(invalid(format!("the photo is larger than {} bytes", Person::MAX_PHOTO)))
        }
        _ => Ok(()),
    }
}

/// Normalizes each and leaves out repetitions.
fn each(
    texts: &[String],
    normal: impl Fn(&str) -> Option<String>,
) -> Result<Vec<String>, ChangeRefusal> {
    let mut out: Vec<String> = Vec::with_capacity(texts.len());
    for text in texts {
        let text = normal(text).ok_or_else(|| ChangeRefusal::BadName(text.clone()))?;
        if !out.contains(&text) {
            out.push(text);
        }
    }
    Ok(out)
}

/// Normal forms of an account's addresses. Those of users and groups lie in domains of ours.
fn normal_addresses(
    addresses: &[String],
    domain: DomainId,
    elsewhere: bool,
    names: &dyn DomainNames,
) -> Result<Vec<String>, ChangeRefusal> {
    each(addresses, |text| {
        let found = place(text, domain, names)?;
        let allowed = elsewhere || matches!(found, Place::Ours(..));
        allowed.then(|| spelling(text, domain, names)).flatten()
    })
}

fn targets(
    targets: &[String],
    domain: DomainId,
    names: &dyn DomainNames,
) -> Result<Vec<String>, ChangeRefusal> {
    if targets.is_empty() {
        return Err(invalid("an alias needs a target"));
    }
    if targets.len() > MAX_TARGETS {
        return Err(invalid(format!("more than {MAX_TARGETS} targets")));
    }
    each(targets, |text| spelling(text, domain, names).filter(|t| !name::is_wildcard(t)))
}

/// Makes an account from a source pass [`check`]: cuts and cleans texts, leaves out what cannot be used. The name is
/// not looked at. What an administrator should know goes to `problems`.
pub(crate) fn soften(account: &mut Account, names: &dyn DomainNames, problems: &mut Vec<String>) {
    for (_, text) in texts(account) {
        text.retain(|c| !bad_control(c));
        if text.len() > MAX_TEXT {
            text.truncate(text.floor_char_boundary(MAX_TEXT));
        }
    }
    if let State::Disabled(cause) = &mut account.state {
        cause.truncate(cause.floor_char_boundary(MAX_TEXT));
    }
    let contact = matches!(account.kind, Kind::Contact(_));
    let domain = account.domain;
    account.addresses.retain(|text| match place(text, domain, names) {
        Some(Place::Ours(..)) => true,
        Some(Place::Elsewhere(_)) => contact,
        None => {
            problems.push(format!("{text:?} is not a valid address"));
            false
        }
    });
    account.addresses.truncate(MAX_ADDRESSES);
    if let Some(person) = person_mut(account) {
        person.photo.take_if(|photo| photo.len() > Person::MAX_PHOTO);
    }
    match &mut account.kind {
        Kind::User(user) => {
            user.login_names.retain(|n| login_name(n).is_some());
            user.login_names.truncate(MAX_LOGINS);
            user.principals.retain(|p| name::principal(p).is_some());
            user.principals.truncate(MAX_LOGINS);
        }
        Kind::Group(group) if group.members.len() > MAX_MEMBERS => {
            problems.push(format!("it has more than {MAX_MEMBERS} members"));
            group.members.truncate(MAX_MEMBERS);
        }
        Kind::Group(_) | Kind::Contact(_) | Kind::Alias(_) => {}
    }
}
