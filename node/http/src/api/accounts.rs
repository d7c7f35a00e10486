//! What users, groups, aliases and contacts have in common.

use std::{collections::HashSet, sync::Arc};

use posthouse_cluster::Timestamp;
use posthouse_directory::{
    Account, AccountId, Change, DomainId, Kind, Listing, Origin, Person, Rights, State, fresh_id,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{Caller, Context, Problem, validate};

/// What an account may administer (F8.1-3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RightsName {
    /// Nothing.
    #[default]
    None,
    /// Accounts of the own domain.
    OwnDomain,
    /// Everything, reading only.
    ReadOnly,
    /// Everything.
    Full,
}

impl From<Rights> for RightsName {
    fn from(rights: Rights) -> Self {
        match rights {
            Rights::None => Self::None,
            Rights::OwnDomain => Self::OwnDomain,
            Rights::ReadOnly => Self::ReadOnly,
            Rights::Full => Self::Full,
        }
    }
}

impl From<RightsName> for Rights {
    fn from(rights: RightsName) -> Self {
        match rights {
            RightsName::None => Self::None,
            RightsName::OwnDomain => Self::OwnDomain,
            RightsName::ReadOnly => Self::ReadOnly,
            RightsName::Full => Self::Full,
        }
    }
}

/// Which page of a list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// Only names, display names and addresses that contain this, without case.
    #[serde(default)]
    search: String,
    /// Only of this domain.
    domain: Option<Uuid>,
    /// Skip so many.
    #[serde(default)]
    offset: usize,
    /// At most so many, up to 1,000.
    #[serde(default = "Page::default_limit")]
    limit: usize,
}

impl Page {
    const MAX: usize = 1000;

    const fn default_limit() -> usize {
        50
    }
}

/// What all accounts have in common.
#[derive(Serialize, ToSchema)]
pub(crate) struct AccountView {
    /// Its id.
    pub(crate) id: Uuid,
    /// Its domain.
    pub(crate) domain: Uuid,
    /// Name of its domain.
    pub(crate) domain_name: String,
    /// Name in the domain: login name, group name, pattern of an alias.
    pub(crate) name: String,
    /// How it is shown.
    pub(crate) display_name: String,
    /// The address that is shown; empty if it has none.
    pub(crate) mail: String,
    /// Further addresses: local parts in its domain, or full addresses.
    pub(crate) addresses: Vec<String>,
    /// Whether it comes from an external directory and is changed there.
    pub(crate) mapped: bool,
    /// Distinguished name in the external directory.
    pub(crate) dn: String,
    /// Whether it may be used.
    pub(crate) enabled: bool,
    /// Why not.
    pub(crate) disabled_because: String,
    /// Whether the address book shows it.
    pub(crate) published: bool,
    /// Description for administrators.
    pub(crate) description: String,
    /// When it was made, in milliseconds since the Unix epoch.
    pub(crate) created: u64,
    /// When it was last changed.
    pub(crate) changed: u64,
}

impl AccountView {
    pub(crate) fn of(context: &Context, account: &Account) -> Self {
        let domain_name = domain_name(context, account.domain);
        let mail = match account.kind {
            Kind::Alias(_) => format!("{}@{domain_name}", account.name),
            _ => context.directory.address_of(account).unwrap_or_default(),
        };
        let (mapped, dn) = match &account.origin {
            Origin::Local => (false, String::new()),
            Origin::Mapped { dn, .. } => (true, dn.clone()),
        };
        let (enabled, disabled_because) = match &account.state {
            State::Enabled => (true, String::new()),
            State::Disabled(cause) => (false, cause.clone()),
        };
        Self {
            id: account.id.0,
            domain: account.domain.0,
            domain_name,
            name: account.name.clone(),
            display_name: account.display_name.clone(),
            mail,
            addresses: account.addresses.clone(),
            mapped,
            dn,
            enabled,
            disabled_because,
            published: account.published,
            description: account.description.clone(),
            created: account.created.0,
            changed: account.changed.0,
        }
    }
}

fn domain_name(context: &Context, id: DomainId) -> String {
    let found = context.directory.domains().into_iter().find(|domain| domain.id == id);
    found.map(|domain| domain.name.clone()).unwrap_or_default()
}

/// What can be set for every account.
#[derive(Clone, Default, Deserialize, ToSchema)]
pub(crate) struct AccountInput {
    /// Its domain; the primary one if missing. Cannot be changed later.
    #[serde(default)]
    pub(crate) domain: Option<Uuid>,
    /// Name in the domain.
    pub(crate) name: String,
    /// How it is shown.
    #[serde(default)]
    pub(crate) display_name: String,
    /// Further addresses: local parts in its domain, or full addresses in our domains.
    #[serde(default)]
    pub(crate) addresses: Vec<String>,
    /// Whether the address book shows it; yes if missing.
    #[serde(default = "yes")]
    pub(crate) published: bool,
    /// Description for administrators.
    #[serde(default)]
    pub(crate) description: String,
    /// `changed` of the account as it was when the change was begun; if it was changed since, nothing is done.
    #[serde(default)]
    pub(crate) changed: Option<u64>,
}

const fn yes() -> bool {
    true
}

/// The accounts of a kind that the caller sees.
pub(crate) fn list(
    context: &Context,
    caller: &Caller,
    kind: &'static str,
    page: &Page,
) -> (Vec<Arc<Account>>, usize) {
    let wanted = page.domain.map(DomainId);
    if let (Some(own), Some(wanted)) = (caller.only_domain(), wanted)
        && own != wanted
    {
        return (Vec::new(), 0);
    }
    context.directory.list(&Listing {
        domain: caller.only_domain().or(wanted),
        contains: page.search.chars().take(validate::LINE).collect(),
        kind: Some(kind),
        offset: page.offset,
        limit: page.limit.min(Page::MAX),
    })
}

/// An account of a kind, if the caller sees it.
pub(crate) fn find(
    context: &Context,
    caller: &Caller,
    kind: &str,
    id: Uuid,
) -> Result<Arc<Account>, Problem> {
    context
        .directory
        .account(AccountId(id))
        .filter(|account| kind_name(&account.kind) == kind && caller.sees(account.domain))
        .ok_or_else(|| Problem::not_found(kind))
}

/// [`find`], refused if the account is above the caller.
pub(crate) fn find_to_change(
    context: &Context,
    caller: &Caller,
    kind: &str,
    id: Uuid,
) -> Result<Arc<Account>, Problem> {
    let account = find(context, caller, kind, id)?;
    caller.may_change(&account, effective_rights(context, &account))?;
    Ok(account)
}

/// What an account gives to whoever controls it. Who can choose the members of a group gets all that the groups above it
/// give.
fn effective_rights(context: &Context, account: &Account) -> Rights {
    if !matches!(account.kind, Kind::Group(_)) {
        return context.directory.rights(account.id);
    }
    let mut groups = Vec::new();
    loop {
        let listing = Listing {
            kind: Some("group"),
            offset: groups.len(),
            limit: Page::MAX,
            ..Listing::default()
        };
        let (page, _) = context.directory.list(&listing);
        if page.is_empty() {
            break;
        }
        groups.extend(page);
    }
    let mut above = HashSet::from([account.id]);
    let mut rights = Rights::None;
    loop {
        let before = above.len();
        for group in &groups {
            if let Kind::Group(info) = &group.kind
                && (above.contains(&group.id) || info.members.iter().any(|id| above.contains(id)))
            {
                above.insert(group.id);
                rights = rights.max(info.rights);
            }
        }
        if above.len() == before {
            return rights;
        }
    }
}

pub(crate) const fn kind_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::User(_) => "user",
        Kind::Contact(_) => "contact",
        Kind::Group(_) => "group",
        Kind::Alias(_) => "alias",
    }
}

/// A new account, or a changed one.
pub(crate) fn build(
    context: &Context,
    caller: &Caller,
    before: Option<&Account>,
    input: &AccountInput,
    kind: Kind,
) -> Result<Account, Problem> {
    let now = context.env.clock.now();
    let account = Account {
        id: before.map_or_else(|| AccountId(fresh_id()), |before| before.id),
        domain: domain_for(context, caller, before, input)?,
        name: validate::line("name", &input.name)?.to_lowercase(),
        display_name: validate::line("display_name", &input.display_name)?,
        addresses: validate::lines("addresses", &input.addresses)?,
        origin: before.map_or(Origin::Local, |before| before.origin.clone()),
        state: before.map_or(State::Enabled, |before| before.state.clone()),
        published: input.published,
        description: validate::text("description", &input.description)?,
        kind,
        created: before.map_or(now, |before| before.created),
        changed: now,
    };
    if account.name.is_empty() {
        return Err(Problem::invalid("name", "the name is missing"));
    }
    if let Some(own) = caller.only_domain() {
        addresses_within(context, own, &account.addresses)?;
    }
    if let Some(before) = before {
        unchanged_since(before, input.changed)?;
        mapped_stays(before, &account)?;
    }
    Ok(account)
}

fn domain_for(
    context: &Context,
    caller: &Caller,
    before: Option<&Account>,
    input: &AccountInput,
) -> Result<DomainId, Problem> {
    let domains = context.directory.domains();
    let domain = match (input.domain.map(DomainId), before) {
        (Some(id), Some(before)) if id != before.domain => {
            return Err(Problem::invalid("domain", "an account cannot move to another domain"));
        }
        (_, Some(before)) => before.domain,
        (Some(id), None) => id,
        (None, None) => caller
            .only_domain()
            .or_else(|| domains.iter().find(|domain| domain.primary).map(|domain| domain.id))
            .ok_or_else(|| Problem::not_found("domain"))?,
    };
    if !caller.sees(domain) || !domains.iter().any(|known| known.id == domain) {
        return Err(Problem::not_found("domain").field("domain"));
    }
    Ok(domain)
}

/// An own-domain administrator does not give out addresses of other domains.
fn addresses_within(context: &Context, own: DomainId, addresses: &[String]) -> Result<(), Problem> {
    let domains = context.directory.domains();
    let names: Vec<&str> = domains
        .iter()
        .filter(|domain| domain.id == own)
        .flat_map(|domain| std::iter::once(&domain.name).chain(&domain.aliases))
        .map(String::as_str)
        .collect();
    let foreign = |address: &&String| {
        address
            .rsplit_once('@')
            .is_some_and(|(_, domain)| !names.contains(&domain.to_lowercase().as_str()))
    };
    match addresses.iter().find(foreign) {
        Some(address) => {
            Err(Problem::invalid("addresses", format!("{address} is not in your domain")))
        }
        None => Ok(()),
    }
}

/// Refuses a change that was begun on an older state of the account.
pub(crate) fn unchanged_since(before: &Account, changed: Option<u64>) -> Result<(), Problem> {
    if changed.is_none_or(|changed| Timestamp(changed) == before.changed) {
        return Ok(());
    }
    Err(Problem::new(
        axum::http::StatusCode::CONFLICT,
        "changed_meanwhile",
        "somebody else has changed this in the meantime",
    )
    .remedy("Load it again and repeat your change."))
}

/// What an external directory decides is not changed here: the next sync would undo it. Addresses may be added.
fn mapped_stays(before: &Account, after: &Account) -> Result<(), Problem> {
    if before.origin == Origin::Local {
        return Ok(());
    }
    let same_person = match (&before.kind, &after.kind) {
        (Kind::User(a), Kind::User(b)) => a.person == b.person,
        (Kind::Contact(a), Kind::Contact(b)) => a == b,
        (Kind::Group(a), Kind::Group(b)) => a.members == b.members,
        _ => true,
    };
    let same =
        before.name == after.name && before.display_name == after.display_name && same_person;
    if same { Ok(()) } else { Err(mapped("name, members and personal data")) }
}

pub(crate) fn mapped(what: &str) -> Problem {
    Problem::new(
        axum::http::StatusCode::CONFLICT,
        "mapped",
        format!("{what} of this account come from the external directory"),
    )
    .remedy("Change it there; it arrives here with the next sync.")
}

/// Stores an account.
pub(crate) async fn put(
    context: &Context,
    caller: &Caller,
    account: Account,
) -> Result<Arc<Account>, Problem> {
    let id = account.id;
    let change = Change::PutAccount(Box::new(account));
    context.directory.change(caller.actor.clone(), change).await?;
    context.directory.account(id).ok_or_else(|| Problem::not_found("account"))
}

/// Removes an account.
pub(crate) async fn remove(
    context: &Context,
    caller: &Caller,
    account: &Account,
) -> Result<(), Problem> {
    let change = Change::RemoveAccount(account.id);
    context.directory.change(caller.actor.clone(), change).await?;
    Ok(())
}

/// What the address book shows of a person.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct PersonView {
    /// Given name.
    given_name: String,
    /// Surname.
    surname: String,
    /// Job title.
    title: String,
    /// Department.
    department: String,
    /// Company.
    company: String,
    /// Office.
    office: String,
    /// Business telephone.
    phone: String,
    /// Mobile telephone.
    mobile: String,
    /// Street, city, postal code, country.
    postal_address: String,
}

impl PersonView {
    pub(crate) fn of(person: &Person) -> Self {
        Self {
            given_name: person.given_name.clone(),
            surname: person.surname.clone(),
            title: person.title.clone(),
            department: person.department.clone(),
            company: person.company.clone(),
            office: person.office.clone(),
            phone: person.phone.clone(),
            mobile: person.mobile.clone(),
            postal_address: person.postal_address.clone(),
        }
    }

    pub(crate) fn person(&self) -> Result<Person, Problem> {
        Ok(Person {
            given_name: validate::line("given_name", &self.given_name)?,
            surname: validate::line("surname", &self.surname)?,
            title: validate::line("title", &self.title)?,
            department: validate::line("department", &self.department)?,
            company: validate::line("company", &self.company)?,
            office: validate::line("office", &self.office)?,
            phone: validate::line("phone", &self.phone)?,
            mobile: validate::line("mobile", &self.mobile)?,
            postal_address: validate::text("postal_address", &self.postal_address)?,
            // `None` keeps the photo, which is not edited here.
            photo: None,
        })
    }
}
