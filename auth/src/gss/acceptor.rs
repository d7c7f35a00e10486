//! Accepting Kerberos: the credential, and one security context.

use std::{ffi::CString, path::Path, sync::Arc};

use libgssapi::{
    context::{SecurityContext, ServerCtx},
    credential::Cred,
    oid::GSS_MECH_KRB5,
};

use crate::{
    gss::{GssError, sys},
    keytab::{Keytab, KeytabFile},
};

/// What channel binding data starts with (RFC 5929 §4).
const END_POINT: &[u8] = b"tls-server-end-point:";

/// Our side of Kerberos: a keytab taken into use.
pub(crate) struct Acceptor {
    cred: Cred,
    pub(crate) keytab: Keytab,
    /// The library reads the keytab at every ticket.
    pub(crate) file: KeytabFile,
}

impl Acceptor {
    /// Takes a keytab into use; replays are remembered in `folder`.
    pub(crate) fn new(keytab: Keytab, folder: &Path) -> Result<Self, String> {
        let file = KeytabFile::new(&keytab, folder).map_err(|e| format!("the keytab: {e}"))?;
        let c = |text: String| CString::new(text).map_err(|e| e.to_string());
        let path = c(format!("FILE:{}", file.path().display()))?;
        let replays = c(format!("file2:{}", folder.join("replay.cache").display()))?;
        let cred = sys::acquire_acceptor(&path, &replays).map_err(|e| e.to_string())?;
        Ok(Self { cred, keytab, file })
    }
}

/// What a step came to.
pub(crate) enum Progress {
    /// Send this, and wait for more.
    More(Vec<u8>),
    /// The client is `principal`; send `last` if there is something.
    Complete { last: Option<Vec<u8>>, principal: String },
}

/// One security context that a client is establishing.
pub(crate) struct Context {
    context: ServerCtx,
    /// Keeps the keytab's file open as long as the library may read it, even if the exchange is dropped meanwhile.
    _acceptor: Arc<Acceptor>,
    bindings: Option<Vec<u8>>,
}

impl Context {
    /// `end_point`: hash of our certificate under TLS. A client that sends no bindings is accepted, wrong ones are refused.
    pub(crate) fn new(acceptor: Arc<Acceptor>, end_point: Option<&[u8]>) -> Self {
        Self {
            context: ServerCtx::new(Some(acceptor.cred.clone())),
            _acceptor: acceptor,
            bindings: end_point.map(|hash| [END_POINT, hash].concat()),
        }
    }

    pub(crate) fn step(&mut self, token: &[u8]) -> Result<Progress, GssError> {
        let out = self.context.step(token, self.bindings.as_deref())?;
        let out = out.map(|buffer| buffer.to_vec());
        if !self.context.is_complete() {
            return Ok(Progress::More(out.unwrap_or_default()));
        }
        // SPNEGO was told to negotiate Kerberos only; believe it, but look.
        if self.context.mechanism()? != GSS_MECH_KRB5 {
            return Err(GssError { major: 1 << 16, text: "not Kerberos".to_owned() });
        }
        let name = self.context.source_name()?.display_name()?;
        let principal = String::from_utf8(name.to_vec()).map_err(|_| GssError {
            major: 2 << 16,
            text: "the principal is not UTF-8".to_owned(),
        })?;
        Ok(Progress::Complete { last: out, principal })
    }

    /// Integrity only.
    pub(crate) fn wrap(&mut self, message: &[u8]) -> Result<Vec<u8>, GssError> {
        Ok(self.context.wrap(false, message)?.to_vec())
    }

    pub(crate) fn unwrap(&mut self, message: &[u8]) -> Result<Vec<u8>, GssError> {
        Ok(self.context.unwrap(message)?.to_vec())
    }
}
