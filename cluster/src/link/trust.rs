//! Whom this node believes, and what it shows itself.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::RwLock;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};

use super::{Peer, StartError};
use crate::{
    Environment, NodeId,
    authority::{Identified, NodeKey, Problem, identify},
};

/// Why a certificate is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Verdict {
    #[error("{0}")]
    Certificate(#[from] Problem),
    #[error("{0} was removed from the cluster")]
    Removed(NodeId),
    #[error("{0} is not known here (yet)")]
    Stranger(NodeId),
    #[error("its key is not the one that the directory has for {0}")]
    OtherKey(NodeId),
    #[error("it is {0}")]
    OtherNode(NodeId),
}

impl From<Verdict> for rustls::Error {
    /// Which alert the other side gets (RFC 8446 §6.2).
    fn from(verdict: Verdict) -> Self {
        use rustls::CertificateError::{
            ApplicationVerificationFailure, BadEncoding, Expired, NotValidYet, Revoked,
            UnknownIssuer,
        };
        Self::InvalidCertificate(match verdict {
            Verdict::Removed(_) => Revoked,
            Verdict::Certificate(Problem::Expired { .. }) => Expired,
            Verdict::Certificate(Problem::NotYet { .. }) => NotValidYet,
            Verdict::Certificate(Problem::Authority) => UnknownIssuer,
            Verdict::Certificate(Problem::Unnamed) => BadEncoding,
            _ => ApplicationVerificationFailure,
        })
    }
}

/// See the module.
pub(crate) struct Trust {
    env: Environment,
    pub(crate) id: NodeId,
    key: NodeKey,
    state: RwLock<State>,
}

struct State {
    roots: Arc<RootCertStore>,
    authorities: Vec<Vec<u8>>,
    certificate: Vec<u8>,
    /// Shown to nodes: the certificate.
    shown: Arc<CertifiedKey>,
    /// Shown to new nodes, which know the fingerprint of an authority only: all authorities too.
    shown_at_door: Arc<CertifiedKey>,
    peers: BTreeMap<NodeId, Peer>,
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Trust of {}", self.id)
    }
}

impl Trust {
    pub(crate) fn new(
        env: &Environment,
        id: NodeId,
        key: NodeKey,
        certificate: Vec<u8>,
        authorities: Vec<Vec<u8>>,
    ) -> Result<Self, StartError> {
        let state = State {
            roots: Arc::new(roots(&authorities)?),
            shown: shown(&key, &certificate, &[])?,
            shown_at_door: shown(&key, &certificate, &authorities)?,
            authorities,
            certificate,
            peers: BTreeMap::new(),
        };
        Ok(Self { env: env.clone(), id, key, state: RwLock::new(state) })
    }

    pub(crate) fn set_certificate(&self, certificate: Vec<u8>) -> Result<(), StartError> {
        let mut state = self.state.write();
        state.shown = shown(&self.key, &certificate, &[])?;
        state.shown_at_door = shown(&self.key, &certificate, &state.authorities)?;
        state.certificate = certificate;
        Ok(())
    }

    pub(crate) fn set_authorities(&self, authorities: Vec<Vec<u8>>) -> Result<(), StartError> {
        let roots = Arc::new(roots(&authorities)?);
        let mut state = self.state.write();
        state.shown_at_door = shown(&self.key, &state.certificate, &authorities)?;
        (state.roots, state.authorities) = (roots, authorities);
        Ok(())
    }

    /// Whether something changed.
    pub(crate) fn set_peers(&self, peers: &BTreeMap<NodeId, Peer>) -> bool {
        let mut state = self.state.write();
        let changed = state.peers != *peers;
        if changed {
            state.peers = peers.clone();
        }
        changed
    }

    pub(crate) fn shown(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.state.read().shown)
    }

    pub(crate) fn shown_at_door(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.state.read().shown_at_door)
    }

    /// Whom a certificate is for, if it is believed now.
    pub(crate) fn judge(&self, certificate: &CertificateDer<'_>) -> Result<NodeId, Verdict> {
        let roots = Arc::clone(&self.state.read().roots);
        let Identified { node, key } = identify(certificate, &roots, self.env.clock.now())?;
        let state = self.state.read();
        match state.peers.get(&node) {
            // whoever has the key of a removed node may know that it was removed, and nobody else
            Some(peer) if peer.key != key => Err(Verdict::OtherKey(node)),
            Some(peer) if peer.removed => Err(Verdict::Removed(node)),
            Some(_) => Ok(node),
            None => Err(Verdict::Stranger(node)),
        }
    }
}

fn roots(authorities: &[Vec<u8>]) -> Result<RootCertStore, StartError> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone().into()).map_err(|error| {
            StartError::Certificate(format!("the certificate of an authority is unusable: {error}"))
        })?;
    }
    if roots.is_empty() {
        return Err(StartError::Certificate("there is no authority to believe".into()));
    }
    Ok(roots)
}

fn shown(
    key: &NodeKey,
    certificate: &[u8],
    more: &[Vec<u8>],
) -> Result<Arc<CertifiedKey>, StartError> {
    let key = PrivatePkcs8KeyDer::from(key.to_bytes().to_vec());
    let chain = std::iter::once(certificate).chain(more.iter().map(Vec::as_slice));
    let chain = chain.map(|der| CertificateDer::from(der.to_vec())).collect();
    let made = CertifiedKey::from_der(chain, key.into(), &super::tls::provider());
    made.map(Arc::new).map_err(|error| {
        StartError::Certificate(format!("this node's certificate is unusable: {error}"))
    })
}
