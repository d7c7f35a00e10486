//! The two calls of the GSS-API that `libgssapi` has no safe form of.
//!
//! Unsafe because they are C: `gss_acquire_cred_from` (RFC 5588 family; a keytab by path instead of by environment variable, which
//! a program with threads cannot set safely) and `gss_set_neg_mechs` (RFC 4178 §7; without it SPNEGO would offer every installed mechanism).
#![allow(unsafe_code)]

use std::{ffi::CStr, ptr};

use libgssapi::{
    credential::Cred,
    error::{Error, MajorFlags},
};
use libgssapi_sys::{
    GSS_C_ACCEPT, GSS_S_COMPLETE, OM_uint32, gss_OID_desc, gss_OID_set_desc, gss_acquire_cred_from,
    gss_cred_id_t, gss_cred_usage_t, gss_key_value_element_desc, gss_key_value_set_desc,
    gss_set_neg_mechs,
};

/// GSS_C_INDEFINITE.
const INDEFINITE: OM_uint32 = 0xffff_ffff;

const KRB5: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02";
const SPNEGO: &[u8] = b"\x2b\x06\x01\x05\x05\x02";

/// An acceptor credential of any name in `keytab` (such as `FILE:/path`) with replay cache `rcache`, for Kerberos alone and
/// within SPNEGO; SPNEGO negotiates nothing but Kerberos.
pub(crate) fn acquire_acceptor(keytab: &CStr, rcache: &CStr) -> Result<Cred, Error> {
    let mut mechs = [oid(KRB5), oid(SPNEGO)];
    let mut both = set(&mut mechs);
    let mut elements = [
        gss_key_value_element_desc { key: c"keytab".as_ptr(), value: keytab.as_ptr() },
        gss_key_value_element_desc { key: c"rcache".as_ptr(), value: rcache.as_ptr() },
    ];
    let store = gss_key_value_set_desc {
        count: elements.len() as OM_uint32,
        elements: elements.as_mut_ptr(),
    };
    let mut minor = 0;
    let mut id: gss_cred_id_t = ptr::null_mut();
    // SAFETY: every pointer is to a live local or to a NUL-terminated string that outlives the call; the library copies
    // what it keeps. No name (null) means any name; the last two outputs may be null.
    let major = unsafe {
        gss_acquire_cred_from(
            &mut minor,
            ptr::null_mut(),
            INDEFINITE,
            &mut both,
            GSS_C_ACCEPT as gss_cred_usage_t,
            &store,
            &mut id,
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    check(major, minor)?;
    // SAFETY: the call succeeded, so `id` is ours and nobody else's; `Cred` releases it once.
    let cred = unsafe { Cred::from_c(id) };
    let mut mechs = [oid(KRB5)];
    let mut only_kerberos = set(&mut mechs);
    // SAFETY: `cred` keeps `id` alive; the set lives until the call returns and is copied.
    let major = unsafe { gss_set_neg_mechs(&mut minor, id, &mut only_kerberos) };
    check(major, minor)?;
    Ok(cred)
}

fn check(major: OM_uint32, minor: OM_uint32) -> Result<(), Error> {
    if major == GSS_S_COMPLETE {
        return Ok(());
    }
    Err(Error { major: MajorFlags::from_bits_retain(major), minor })
}

/// The library does not write through `elements`; its type is only not const.
fn oid(bytes: &'static [u8]) -> gss_OID_desc {
    gss_OID_desc { length: bytes.len() as OM_uint32, elements: bytes.as_ptr().cast_mut().cast() }
}

fn set(mechs: &mut [gss_OID_desc]) -> gss_OID_set_desc {
    gss_OID_set_desc { count: mechs.len(), elements: mechs.as_mut_ptr() }
}
