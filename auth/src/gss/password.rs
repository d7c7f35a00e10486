//! A password proven by Kerberos: a ticket for ourselves, accepted by ourselves.

use std::sync::Arc;

use libgssapi::{
    context::{ClientCtx, CtxFlags},
    credential::{Cred, CredUsage},
    name::Name,
    oid::{GSS_MECH_KRB5, GSS_NT_KRB5_PRINCIPAL, OidSet},
};

use crate::{
    Reason,
    gss::{Acceptor, Context, GssError, Progress},
};

/// Returns the principal that the accepted ticket is of. Blocks, for longer than anybody waits if no KDC answers: the caller bounds
/// both time and number.
pub(crate) fn prove_password(
    principal: &str,
    password: &str,
    acceptor: Arc<Acceptor>,
) -> Result<String, Reason> {
    let (_, realm) = principal.rsplit_once('@').unwrap_or(("", ""));
    let ours = acceptor
        .keytab
        .entries
        .iter()
        .find(|entry| entry.realm.eq_ignore_ascii_case(realm) && !entry.is_weak())
        .ok_or_else(|| Reason::DirectoryDown(format!("the keytab has no key in {realm}")))?
        .principal();
    let token = ticket(principal, password, &ours).map_err(|error| error.password_reason())?;
    match Context::new(acceptor, None).step(&token) {
        Ok(Progress::Complete { principal, .. }) => Ok(principal),
        Ok(Progress::More(_)) => Err(Reason::Kerberos("the proof did not end".to_owned())),
        // Not the user's fault, and maybe a KDC that lies.
        Err(error) => Err(Reason::DirectoryDown(format!(
            "the KDC's ticket does not fit our keytab: {}",
            error.text
        ))),
    }
}

/// An AP-REQ for `service`, by AS-REQ with the password and TGS-REQ.
fn ticket(principal: &str, password: &str, service: &str) -> Result<Vec<u8>, GssError> {
    let kerberos = OidSet::singleton(GSS_MECH_KRB5)?;
    let client = Name::new(principal.as_bytes(), Some(GSS_NT_KRB5_PRINCIPAL))?;
    let service = Name::new(service.as_bytes(), Some(GSS_NT_KRB5_PRINCIPAL))?;
    let usage = CredUsage::Initiate;
    let cred = Cred::acquire_with_password(Some(&client), password, None, usage, Some(&kerberos))?;
    let mut context = ClientCtx::new(Some(cred), service, CtxFlags::empty(), Some(GSS_MECH_KRB5));
    let token = context.step(None, None)?;
    token
        .map(|token| token.to_vec())
        .ok_or_else(|| GssError { major: 13 << 16, text: "there is no token".to_owned() })
}
