//! What a controller is asked.

use ldap3::controls::RawControl;

use crate::SourceError;

/// Attributes that are mapped, besides photos.
pub(crate) const ATTRIBUTES: &[&str] = &[
    "objectGUID",
    "objectClass",
    "sAMAccountName",
    "userPrincipalName",
    "userAccountControl",
    "accountExpires",
    "cn",
    "displayName",
    "mail",
    "proxyAddresses",
    "givenName",
    "sn",
    "title",
    "department",
    "company",
    "physicalDeliveryOfficeName",
    "telephoneNumber",
    "mobile",
    "streetAddress",
    "postalCode",
    "l",
    "st",
    "co",
    "member;range=0-1499",
];

/// Attributes of the search for photos.
pub(crate) const PHOTO_ATTRIBUTES: &[&str] = &["objectGUID", "thumbnailPhoto", "jpegPhoto"];

/// Members asked for at a time: what a controller gives at most (MaxValRange).
pub(crate) const MEMBER_STEP: u32 = 1_500;

/// sAMAccountType of ordinary users (SAM_NORMAL_USER_ACCOUNT, MS-SAMR §2.2.1.9); neither computers nor trusts.
const NORMAL_USER: &str = "(sAMAccountType=805306368)";
/// Accounts that the system itself needs, such as krbtgt and the built-in groups.
const NOT_CRITICAL: &str = "(!(isCriticalSystemObject=TRUE))";

/// Users (that match `user_filter`), groups and contacts.
///
/// # Errors
/// [`SourceError::BadFilter`]: the administrator's filter is checked by itself, so it can only narrow down.
pub(crate) fn accounts_filter(user_filter: &str) -> Result<String, SourceError> {
    let user_filter = user_filter.trim();
    if !user_filter.is_empty() {
        let bad = || SourceError::BadFilter(user_filter.to_owned());
        if !(user_filter.starts_with('(') && user_filter.ends_with(')')) {
            return Err(bad());
        }
        ldap3::parse_filter(user_filter).map_err(|_| bad())?;
    }
    Ok(format!(
        "(|(&{NORMAL_USER}{NOT_CRITICAL}{user_filter})(&(objectCategory=group){NOT_CRITICAL})\
         (&(objectCategory=person)(objectClass=contact)))"
    ))
}

/// Narrows a filter to what changed after `usn` on this controller.
pub(crate) fn changed_since(filter: &str, usn: u64) -> String {
    format!("(&(uSNChanged>={}){filter})", usn.saturating_add(1))
}

/// Who has a photo.
pub(crate) fn photos_filter(filter: &str) -> String {
    format!("(&(|(thumbnailPhoto=*)(jpegPhoto=*)){filter})")
}

/// Groups that one of these is a direct member of.
pub(crate) fn groups_of_filter<'a>(members: impl IntoIterator<Item = &'a str>) -> String {
    let any: String =
        members.into_iter().map(|dn| format!("(member={})", ldap3::ldap_escape(dn))).collect();
    format!("(&(objectCategory=group){NOT_CRITICAL}(|{any}))")
}

/// What was deleted after `usn`.
pub(crate) fn tombstones_filter(usn: u64) -> String {
    format!("(&(isDeleted=TRUE)(uSNChanged>={}))", usn.saturating_add(1))
}

/// The name by which an entry is found however often it is moved (MS-ADTS §3.1.1.3.1.2.4).
pub(crate) fn guid_dn(key: &[u8]) -> String {
    format!("<GUID={}>", super::guid_text(key))
}

/// LDAP_SERVER_EXTENDED_DN_OID, names with GUID in text form (MS-ADTS §3.1.1.3.4.1.5).
pub(crate) fn extended_dn() -> RawControl {
    RawControl {
        ctype: "1.2.840.113556.1.4.529".into(),
        crit: true,
        // SEQUENCE { INTEGER 1 }
        val: Some(vec![0x30, 0x03, 0x02, 0x01, 0x01]),
    }
}

/// LDAP_SERVER_SHOW_DELETED_OID (MS-ADTS §3.1.1.3.4.1.14).
pub(crate) fn show_deleted() -> RawControl {
    RawControl { ctype: "1.2.840.113556.1.4.417".into(), crit: true, val: None }
}
