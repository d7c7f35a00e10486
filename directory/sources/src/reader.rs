//! Reads a source: connection, paged searches, ranges. What it returns is complete, or it is an error.

use std::{collections::HashSet, time::Duration};

use ldap3::{
    Ldap, LdapError, ResultEntry, Scope,
    asn1::{PL, StructureTag},
    controls::{Control, ControlType, PagedResults, RawControl},
};
use posthouse_directory::{Person, SourceSpec};

use crate::{
    SourceError, Watermark,
    ad::{self, Entry, MappedEntry},
    connect::{self, code},
    locate::{self, Controller},
    watermark::scope_of,
};

/// Entries of one page.
const PAGE: i32 = 500;
/// Entries of one page with photos.
const PHOTO_PAGE: i32 = 50;
/// Longest wait for the next entry.
const ENTRY_TIMEOUT: Duration = Duration::from_secs(30);
/// Most entries of one source.
const MAX_ENTRIES: usize = 500_000;
/// Largest entry in bytes that is looked at.
const MAX_ENTRY: usize = 16 << 20;
/// Most members of one group.
const MAX_MEMBERS: usize = 200_000;
/// New accounts whose groups are looked for by name; with more, all groups are read again.
const MAX_LOOKED_FOR: usize = 50;

/// A signed-on connection, and what the controller says about itself.
pub(crate) struct Reader {
    ldap: Ldap,
    pub(crate) controller: Controller,
    pub(crate) facts: Facts,
    filter: String,
}

/// What a controller says about itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Where to search.
    pub(crate) base: String,
    /// NetBIOS name of the domain.
    pub(crate) netbios: String,
    /// Where this reading begins.
    pub(crate) watermark: Option<Watermark>,
    naming_context: String,
}

/// Keys and photos.
pub(crate) type Photos = Vec<(Vec<u8>, Vec<u8>)>;

/// Entries of the directory, and those that could not be mapped.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    pub(crate) mapped: Vec<MappedEntry>,
    pub(crate) warnings: Vec<String>,
}

impl Reader {
    /// Connects to the first controller that works; `preferred` is tried first, because only it can go on where the last
    /// reading ended.
    pub(crate) async fn open(
        spec: &SourceSpec,
        password: &str,
        preferred: Option<&Controller>,
    ) -> Result<Self, SourceError> {
        let filter = ad::accounts_filter(&spec.user_filter)?;
        let config = connect::tls_config(spec)?;
        let mut controllers = locate::controllers(spec).await?;
        if let Some(at) = controllers.iter().position(|c| Some(c) == preferred) {
            controllers[..=at].rotate_right(1);
        }
        let mut first_error = None;
        for controller in controllers {
            match Self::open_one(spec, &controller, &config, password, &filter).await {
                Ok(reader) => return Ok(reader),
                Err(error) if error.another_may_help() => {
                    let host = controller.to_string();
                    tracing::warn!(target: "warning", source = spec.name, host, %error, "controller passed over");
                    first_error.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(first_error.unwrap_or_else(|| SourceError::NoControllers {
            domain: spec.directory_domain.clone(),
            cause: "none are listed".into(),
        }))
    }

    async fn open_one(
        spec: &SourceSpec,
        controller: &Controller,
        config: &Option<std::sync::Arc<rustls::ClientConfig>>,
        password: &str,
        filter: &str,
    ) -> Result<Self, SourceError> {
        let ldap = connect::connect(spec, controller, config, password).await?;
        let mut reader = Self {
            ldap,
            controller: controller.clone(),
            facts: Facts::default(),
            filter: filter.to_owned(),
        };
        reader.facts = reader.ask_facts(spec).await?;
        Ok(reader)
    }

    async fn ask_facts(&mut self, spec: &SourceSpec) -> Result<Facts, SourceError> {
        let wanted = [
            "defaultNamingContext",
            "configurationNamingContext",
            "dsServiceName",
            "highestCommittedUSN",
        ];
        let root = self.one("", &wanted).await?.unwrap_or_default();
        let context = root.text("defaultnamingcontext").to_owned();
        let usn = root.number("highestcommittedusn").and_then(|n| u64::try_from(n).ok());
        let (false, Some(usn)) = (context.is_empty(), usn) else {
            return Err(
                self.garbled("its rootDSE has no defaultNamingContext or highestCommittedUSN")
            );
        };
        // Without the right to read it, its name stands for the database: a restored backup is not noticed then.
        let service = root.text("dsservicename").to_owned();
        let invocation = match self.one(&service, &["invocationId"]).await {
            Ok(Some(entry)) => entry.bytes("invocationid").map(<[u8]>::to_vec),
            _ => None,
        };
        let invocation = invocation.unwrap_or_else(|| service.into_bytes());
        let partitions = format!("CN=Partitions,{}", root.text("configurationnamingcontext"));
        let netbios = self.netbios(&partitions, &context).await.unwrap_or_else(|| {
            spec.directory_domain.split('.').next().unwrap_or_default().to_uppercase()
        });
        let base = match spec.base.trim() {
            "" => context.clone(),
            base => base.to_owned(),
        };
        Ok(Facts {
            base,
            netbios,
            watermark: Some(Watermark::new(invocation, usn, scope_of(spec))),
            naming_context: context,
        })
    }

    async fn netbios(&mut self, partitions: &str, context: &str) -> Option<String> {
        let filter = format!("(&(objectClass=crossRef)(nCName={}))", ldap3::ldap_escape(context));
        let attributes = &["nETBIOSName"];
        let mut name = None;
        let search = Search {
            base: partitions,
            scope: Scope::OneLevel,
            filter: &filter,
            attributes,
            controls: &[],
        };
        let found = self
            .search(search, PAGE, |entry| name = Some(entry.text("netbiosname").to_owned()))
            .await;
        found.ok()?;
        name.filter(|name| !name.is_empty())
    }

    /// All accounts.
    pub(crate) async fn all(&mut self) -> Result<Entries, SourceError> {
        let filter = self.filter.clone();
        self.accounts(&filter).await
    }

    /// Accounts that changed after `usn`.
    pub(crate) async fn changed(&mut self, usn: u64) -> Result<Entries, SourceError> {
        let filter = ad::changed_since(&self.filter, usn);
        self.accounts(&filter).await
    }

    /// Groups that these new accounts are in: a group does not change when a member begins to be mapped.
    pub(crate) async fn groups_of(&mut self, members: &[&str]) -> Result<Entries, SourceError> {
        let filter = if members.len() > MAX_LOOKED_FOR {
            "(&(objectCategory=group)(!(isCriticalSystemObject=TRUE)))".to_owned()
        } else {
            ad::groups_of_filter(members.iter().copied())
        };
        self.accounts(&filter).await
    }

    async fn accounts(&mut self, filter: &str) -> Result<Entries, SourceError> {
        let base = self.facts.base.clone();
        let (mut found, mut too_many) = (Vec::new(), false);
        let controls = [ad::extended_dn()];
        let search = Search {
            base: &base,
            scope: Scope::Subtree,
            filter,
            attributes: ad::ATTRIBUTES,
            controls: &controls,
        };
        self.search(search, PAGE, |entry| {
            too_many |= found.len() >= MAX_ENTRIES;
            if !too_many {
                found.push(entry);
            }
        })
        .await?;
        if too_many {
            return Err(SourceError::TooLarge(format!("{MAX_ENTRIES} entries")));
        }
        let mut entries = Entries::default();
        for mut entry in found {
            self.complete(&mut entry).await?;
            match ad::map(&entry) {
                Ok(mapped) => entries.mapped.push(mapped),
                Err(skipped) => entries.warnings.push(skipped.to_string()),
            }
        }
        Ok(entries)
    }

    /// Reads the rest of the members of a large group.
    async fn complete(&mut self, entry: &mut Entry) -> Result<(), SourceError> {
        while let Some(start) = entry.more_members.take() {
            let have = entry.attributes.get("member").map_or(0, Vec::len);
            if have > MAX_MEMBERS {
                return Err(SourceError::TooLarge(format!(
                    "{MAX_MEMBERS} members of {}",
                    entry.dn
                )));
            }
            let last = start.saturating_add(ad::MEMBER_STEP - 1);
            let attribute = format!("member;range={start}-{last}");
            let Some(key) = entry.guid() else { return Ok(()) };
            let (base, controls) = (ad::guid_dn(&key), [ad::extended_dn()]);
            let attributes = [attribute.as_str()];
            let search = Search {
                base: &base,
                scope: Scope::Base,
                filter: "(objectClass=*)",
                attributes: &attributes,
                controls: &controls,
            };
            let mut more = None;
            self.search(search, 0, |found| more = Some(found)).await?;
            let Some(mut more) = more else {
                return Err(self.interrupted("a group went away while its members were read"));
            };
            let values = more.attributes.remove("member").unwrap_or_default();
            if values.is_empty() && more.more_members.is_some() {
                return Err(self.garbled("a range of members is empty"));
            }
            entry.attributes.entry("member".into()).or_default().extend(values);
            entry.more_members = more.more_members;
        }
        Ok(())
    }

    /// Keys of all accounts.
    pub(crate) async fn keys(&mut self) -> Result<HashSet<Vec<u8>>, SourceError> {
        let (base, filter) = (self.facts.base.clone(), self.filter.clone());
        let attributes = &["objectGUID"];
        let search = Search {
            base: &base,
            scope: Scope::Subtree,
            filter: &filter,
            attributes,
            controls: &[],
        };
        let mut keys = HashSet::new();
        self.search(search, PAGE, |entry| keys.extend(entry.guid().map(|guid| guid.to_vec())))
            .await?;
        Ok(keys)
    }

    /// Keys of what was deleted after `usn`, as far as the account for reading may see it.
    pub(crate) async fn deleted(&mut self, usn: u64) -> Result<Vec<Vec<u8>>, SourceError> {
        let base = format!("CN=Deleted Objects,{}", self.facts.naming_context);
        let (filter, controls) = (ad::tombstones_filter(usn), [ad::show_deleted()]);
        let attributes = &["objectGUID"];
        let search = Search {
            base: &base,
            scope: Scope::OneLevel,
            filter: &filter,
            attributes,
            controls: &controls,
        };
        let mut keys = Vec::new();
        let found = self
            .search(search, PAGE, |entry| keys.extend(entry.guid().map(|guid| guid.to_vec())))
            .await;
        match found {
            Ok(()) => Ok(keys),
            // No right to look there: the list of keys tells who is gone.
            Err(SourceError::NoSuchBase(_) | SourceError::Refused { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// A page of photos of accounts that changed after `usn` (of all without it), and where the next one begins; empty at
    /// the end.
    pub(crate) async fn photos(
        &mut self,
        usn: Option<u64>,
        cookie: Vec<u8>,
    ) -> Result<(Photos, Vec<u8>), SourceError> {
        let mut filter = ad::photos_filter(&self.filter);
        if let Some(usn) = usn {
            filter = ad::changed_since(&filter, usn);
        }
        let base = self.facts.base.clone();
        let mut photos = Vec::new();
        let attributes = ad::PHOTO_ATTRIBUTES;
        let search = Search {
            base: &base,
            scope: Scope::Subtree,
            filter: &filter,
            attributes,
            controls: &[],
        };
        let next = self
            .page(&search, PHOTO_PAGE, cookie, &mut |entry| {
                let fits = |photo: &&[u8]| !photo.is_empty() && photo.len() <= Person::MAX_PHOTO;
                let photo = ["thumbnailphoto", "jpegphoto"]
                    .into_iter()
                    .find_map(|name| entry.bytes(name).filter(fits));
                if let (Some(key), Some(photo)) = (entry.guid(), photo) {
                    photos.push((key.to_vec(), photo.to_vec()));
                }
            })
            .await?;
        Ok((photos, next))
    }

    async fn one(&mut self, base: &str, attributes: &[&str]) -> Result<Option<Entry>, SourceError> {
        let mut found = None;
        let search = Search {
            base,
            scope: Scope::Base,
            filter: "(objectClass=*)",
            attributes,
            controls: &[],
        };
        self.search(search, 0, |entry| found = Some(entry)).await?;
        Ok(found)
    }

    /// A search with all its pages; without paging if `page` is 0.
    async fn search(
        &mut self,
        search: Search<'_>,
        page: i32,
        mut visit: impl FnMut(Entry) + Send,
    ) -> Result<(), SourceError> {
        let mut cookie = Vec::new();
        loop {
            cookie = self.page(&search, page, cookie, &mut visit).await?;
            if cookie.is_empty() {
                return Ok(());
            }
        }
    }

    /// One page; returns where the next one begins, empty at the end. References to other servers are never followed
    /// (A22).
    async fn page(
        &mut self,
        search: &Search<'_>,
        page: i32,
        cookie: Vec<u8>,
        visit: &mut (dyn FnMut(Entry) + Send),
    ) -> Result<Vec<u8>, SourceError> {
        let mut controls = search.controls.to_vec();
        if page > 0 {
            let mut paged: RawControl = PagedResults { size: page, cookie }.into();
            paged.crit = true;
            controls.push(paged);
        }
        let mut ldap = self.ldap.clone();
        let attributes: Vec<&str> = search.attributes.to_vec();
        let started = ldap
            .with_timeout(ENTRY_TIMEOUT)
            .with_controls(controls)
            .streaming_search(search.base, search.scope, search.filter, attributes)
            .await;
        let mut stream = started.map_err(|e| self.failed(e))?;
        loop {
            match stream.next().await {
                Ok(None) => break,
                Ok(Some(found)) if found.is_ref() || found.is_intermediate() => {}
                Ok(Some(found)) => match entry_of(found) {
                    Some(entry) => visit(entry),
                    None => return Err(self.garbled("an entry cannot be read")),
                },
                Err(error) => return Err(self.failed(error)),
            }
        }
        let result = stream.finish().await;
        match result.rc {
            code::SUCCESS => {}
            code::NO_SUCH_OBJECT => return Err(SourceError::NoSuchBase(search.base.to_owned())),
            other => {
                return Err(SourceError::Refused {
                    host: self.controller.to_string(),
                    code: other,
                    text: result.text,
                });
            }
        }
        Ok(next_cookie(&result.ctrls))
    }

    fn failed(&self, error: LdapError) -> SourceError {
        let cause = match error {
            LdapError::Timeout { .. } => "no answer in time".to_owned(),
            LdapError::EndOfStream => "the connection was closed".to_owned(),
            other => other.to_string(),
        };
        self.interrupted(&cause)
    }

    fn interrupted(&self, cause: &str) -> SourceError {
        SourceError::Interrupted { host: self.controller.to_string(), cause: cause.to_owned() }
    }

    fn garbled(&self, cause: &str) -> SourceError {
        SourceError::Garbled { host: self.controller.to_string(), cause: cause.to_owned() }
    }
}

struct Search<'a> {
    base: &'a str,
    scope: Scope,
    filter: &'a str,
    attributes: &'a [&'a str],
    controls: &'a [RawControl],
}

fn next_cookie(controls: &[Control]) -> Vec<u8> {
    controls
        .iter()
        .find_map(|Control(kind, raw)| match kind {
            // its parser panics on nonsense
            Some(ControlType::PagedResults) => paged_cookie(raw.val.as_deref()?),
            _ => None,
        })
        .unwrap_or_default()
}

/// The cookie of a realSearchControlValue (RFC 2696 §2).
fn paged_cookie(value: &[u8]) -> Option<Vec<u8>> {
    let (_, tag) = ldap3::asn1::parse_tag(value).ok()?;
    let PL::C(parts) = tag.payload else { return None };
    match parts.into_iter().nth(1)?.payload {
        PL::P(cookie) => Some(cookie),
        PL::C(_) => None,
    }
}

/// SearchResultEntry (RFC 4511 §4.5.2). `None` if it is malformed or too large.
fn entry_of(found: ResultEntry) -> Option<Entry> {
    let mut parts = constructed(found.0)?.into_iter();
    let dn = primitive(parts.next()?)?;
    let dn = std::str::from_utf8(&dn).ok()?;
    let mut size = dn.len();
    let mut attributes = Vec::new();
    for attribute in constructed(parts.next()?)? {
        let mut parts = constructed(attribute)?.into_iter();
        let name = String::from_utf8(primitive(parts.next()?)?).ok()?;
        let values: Option<Vec<_>> =
            constructed(parts.next()?)?.into_iter().map(primitive).collect();
        let values = values?;
        size += name.len() + values.iter().map(Vec::len).sum::<usize>();
        attributes.push((name, values));
    }
    (size <= MAX_ENTRY).then(|| Entry::new(dn, attributes))
}

fn constructed(tag: StructureTag) -> Option<Vec<StructureTag>> {
    match tag.payload {
        PL::C(parts) => Some(parts),
        PL::P(_) => None,
    }
}

fn primitive(tag: StructureTag) -> Option<Vec<u8>> {
    match tag.payload {
        PL::P(bytes) => Some(bytes),
        PL::C(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_in_a_paging_control_ends_the_paging() {
        for (value, want) in [
            (&[0x30, 0x07, 0x02, 0x01, 0x00, 0x04, 0x02, 7, 8][..], &[7, 8][..]),
            (&[0x30, 0x05, 0x02, 0x01, 0x00, 0x04, 0x00], &[]),
            (&[], &[]),
            (&[0x30], &[]),
            (&[0x04, 0x01, 0x00], &[]),
            (&[0x30, 0x03, 0x02, 0x01, 0x00], &[]),
            (&[0x30, 0x80, 0x00], &[]),
        ] {
            assert_eq!(paged_cookie(value).unwrap_or_default(), want, "{value:?}");
        }
    }
}
