//! A door for tests, with the rules that the directory has.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use parking_lot::Mutex;
use zeroize::Zeroizing;

use crate::{
    Environment, NodeId,
    authority::{Authority, VALIDITY},
    env::BoxFuture,
    join::{Admission, Door, InviteCode, InviteId, JoinRefusal, JoinRequest, SecretVerifier},
    link::Peer,
};

pub(super) const VAULT_KEY: &[u8] = b"the key of the vault, not for strangers";

/// What became of an invite.
#[derive(Clone)]
pub(super) enum Fate {
    Open,
    Used(Vec<u8>),
    Is(JoinRefusal),
}

pub(super) struct TestDoor {
    pub(super) authority: Arc<Authority>,
    pub(super) invites: Mutex<BTreeMap<InviteId, (SecretVerifier, Fate)>>,
    pub(super) peers: Vec<Peer>,
    pub(super) seen: Mutex<Vec<(InviteId, JoinRequest, SocketAddr)>>,
}

impl TestDoor {
    pub(super) fn new(authority: &Arc<Authority>, peers: Vec<Peer>) -> Arc<Self> {
        let (authority, invites) = (Arc::clone(authority), Mutex::default());
        Arc::new(Self { authority, invites, peers, seen: Mutex::default() })
    }

    pub(super) fn invite(&self, code: &InviteCode, fate: Fate) {
        self.invites.lock().insert(code.invite, (code.verifier(), fate));
    }

    fn decide(&self, invite: InviteId, request: &JoinRequest) -> Result<Admission, JoinRefusal> {
        let mut invites = self.invites.lock();
        let (_, fate) = invites.get_mut(&invite).ok_or(JoinRefusal::Unknown)?;
        match fate {
            Fate::Is(refusal) => return Err(refusal.clone()),
            Fate::Used(by) if *by != request.public_key => return Err(JoinRefusal::Used),
            _ => *fate = Fate::Used(request.public_key.clone()),
        }
        let now = Environment::real().clock.now();
        let node = NodeId(7);
        let certificate = self.authority.certify(&request.public_key, node, now, VALIDITY);
        Ok(Admission {
            node,
            store: 7,
            cluster: "Example".into(),
            certificate: certificate.map_err(|error| JoinRefusal::Invalid(error.to_string()))?,
            authorities: vec![self.authority.certificate_der().to_vec()],
            vault_key: Zeroizing::new(VAULT_KEY.to_vec()),
            peers: self.peers.clone(),
            level: 2,
        })
    }
}

impl Door for TestDoor {
    fn verifier(&self, invite: &InviteId) -> Option<SecretVerifier> {
        self.invites.lock().get(invite).map(|(verifier, _)| *verifier)
    }

    fn admit(
        &self,
        invite: InviteId,
        request: JoinRequest,
        from: SocketAddr,
    ) -> BoxFuture<Result<Admission, JoinRefusal>> {
        let decided = self.decide(invite, &request);
        self.seen.lock().push((invite, request, from));
        Box::pin(async move { decided })
    }
}
