//! The cluster's certificate authority: kept sealed in the directory, so that every node can certify; its
//! rotation; and the renewal of this node's own certificate.

use anyhow::{Context, Result};
use posthouse_cluster::{
    NodeId, Timestamp,
    authority::{Authority, VALIDITY, fingerprint, issued_by, renewal_due, time_left},
};
use posthouse_directory::Actor;
use zeroize::Zeroizing;

use super::Cluster;
use crate::identity;

/// Name of the secret in the directory.
const SECRET: &str = "cluster.authority";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The authority that certifies, and the one that it replaces.
pub(super) struct Authorities {
    newest: Authority,
    older: Option<Authority>,
}

impl Authorities {
    /// Who certifies from now on.
    pub(super) fn newest(&self) -> &Authority {
        &self.newest
    }

    /// Who certified until now.
    fn oldest(&self) -> &Authority {
        self.older.as_ref().unwrap_or(&self.newest)
    }

    /// The one that certified `certificate`: joining nodes must know the cluster by what this node shows.
    pub(super) fn of(&self, certificate: &[u8]) -> &Authority {
        let older = self.older.as_ref();
        let older = older.filter(|authority| issued_by(certificate, authority.certificate_der()));
        older.unwrap_or(&self.newest)
    }

    /// Whether one is being replaced.
    pub(super) fn is_rotating(&self) -> bool {
        self.older.is_some()
    }

    /// Certificates of all that are trusted, the newest first.
    pub(super) fn certificates(&self) -> Vec<Vec<u8>> {
        let all = std::iter::once(&self.newest).chain(&self.older);
        all.map(|authority| authority.certificate_der().to_vec()).collect()
    }

    /// The one that joining nodes know the cluster by.
    pub(super) fn fingerprints(&self) -> (String, Option<String>) {
        let text = |authority: &Authority| hex(&authority.fingerprint());
        match &self.older {
            Some(older) => (text(older), Some(text(&self.newest))),
            None => (text(&self.newest), None),
        }
    }

    /// Days until the newest one ends.
    pub(super) fn days_left(&self, now: Timestamp) -> i64 {
        (time_left(self.newest.certificate_der(), now).as_secs() / 86_400) as i64
    }

    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::new());
        for authority in std::iter::once(&self.newest).chain(&self.older) {
            let one = authority.to_bytes();
            bytes.extend_from_slice(&(one.len() as u32).to_be_bytes());
            bytes.extend_from_slice(&one);
        }
        bytes
    }

    fn from_bytes(mut bytes: &[u8]) -> Result<Self> {
        let mut all = Vec::new();
        while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            let (one, rest) = rest.split_at_checked(length).context("cut off")?;
            all.push(Authority::from_bytes(one)?);
            bytes = rest;
        }
        let mut all = all.into_iter();
        let newest = all.next().context("there is none")?;
        Ok(Self { newest, older: all.next() })
    }
}

impl Cluster {
    /// What the directory has, or what this first node made.
    pub(super) fn authorities(&self) -> Result<Authorities> {
        if let Some(bytes) = self.parts.auth.secret(SECRET) {
            return Authorities::from_bytes(&bytes)
                .context("the cluster's authority cannot be read");
        }
        let pending = identity::pending_authority(&self.layout.links())?;
        let newest = pending.context("the cluster's authority is not in the directory yet")?;
        Ok(Authorities { newest, older: None })
    }

    /// Puts the authority that this first node made into the directory.
    pub(super) async fn publish_authority(&self) -> Result<()> {
        let folder = self.layout.links();
        let Some(newest) = identity::pending_authority(&folder)? else { return Ok(()) };
        if self.parts.auth.secret(SECRET).is_none() {
            let bytes = Authorities { newest, older: None }.to_bytes();
            let actor = Actor::System("first node".into());
            self.parts.auth.put_secret(actor, SECRET, &bytes).await?;
        }
        identity::forget_pending_authority(&folder)
    }

    /// Follows the directory: trusts the authorities that it has, and renews this node's certificate when it is
    /// about to end or rests on the older one.
    pub(super) fn follow_authority(&self) -> Result<()> {
        let Ok(authorities) = self.authorities() else { return Ok(()) };
        let now = self.parts.env.clock.now();
        let mut identity = self.identity.lock();
        let certificates = authorities.certificates();
        let current =
            issued_by(&identity.trust.certificate, authorities.newest().certificate_der());
        let ready = !authorities.is_rotating() || self.all_trust(authorities.newest());
        let renew = ready && !current || renewal_due(&identity.trust.certificate, now);
        let issuer = if ready { authorities.newest() } else { authorities.oldest() };
        if !renew && identity.trust.authorities == certificates {
            return Ok(());
        }
        let mut trust = identity.trust.clone();
        trust.authorities = certificates.clone();
        // both are trusted before anybody shows a certificate of the new one
        self.links.set_authorities(certificates)?;
        if renew {
            let node = NodeId(self.parts.node);
            let key = identity.key.public_key();
            trust.certificate = issuer.certify(key, node, now, VALIDITY)?;
            self.links.set_certificate(trust.certificate.clone())?;
            tracing::info!(target: "operation", "this node's certificate for other nodes was renewed");
        }
        trust.save(&self.layout.links())?;
        identity.trust = trust;
        Ok(())
    }

    /// Fingerprints of the authorities that this node trusts at the moment.
    pub(super) fn trusted(&self) -> Vec<String> {
        self.identity.lock().trust.authorities.iter().map(|der| hex(&fingerprint(der))).collect()
    }

    /// Whether all members said that they trust the newest authority: only then is a certificate of it shown.
    fn all_trust(&self, authority: &Authority) -> bool {
        let wanted = hex(&authority.fingerprint());
        let nodes = self.parts.directory.nodes().into_iter();
        let mut others = nodes.filter(|node| node.is_member() && node.id != self.parts.node);
        others.all(|node| self.heard(node.id).is_some_and(|said| said.trusts.contains(&wanted)))
    }

    /// Fingerprint of the authority that this node's certificate rests on.
    pub(super) fn shown_fingerprint(&self, authorities: &Authorities) -> [u8; 32] {
        authorities.of(&self.identity.lock().trust.certificate).fingerprint()
    }

    /// Members without a certificate of the newest authority, as far as is known.
    pub(super) fn late_nodes(&self, authorities: &Authorities) -> Vec<u64> {
        let newest = hex(&authorities.newest().fingerprint());
        let (_, own) = self.certificate_state(self.parts.env.clock.now());
        let nodes = self.parts.directory.nodes().into_iter().filter(|node| node.is_member());
        let late = nodes.filter(|node| match node.id == self.parts.node {
            true => own != newest,
            false => self.heard(node.id).is_none_or(|said| said.authority != newest),
        });
        late.map(|node| node.id).collect()
    }

    /// Days until this node's certificate ends, and the fingerprint of the authority that it rests on.
    pub(super) fn certificate_state(&self, now: Timestamp) -> (i64, String) {
        let identity = self.identity.lock();
        let days = time_left(&identity.trust.certificate, now).as_secs() / 86_400;
        let issuer = identity
            .trust
            .authorities
            .iter()
            .find(|authority| issued_by(&identity.trust.certificate, authority))
            .map(|authority| hex(&fingerprint(authority)));
        (days as i64, issuer.unwrap_or_default())
    }

    /// Begins to replace the authority: from now on both are trusted and the new one certifies.
    pub(super) async fn begin_rotation(&self, actor: Actor) -> Result<()> {
        let present = self.authorities()?;
        let now = self.parts.env.clock.now();
        let newest = Authority::generate(&self.parts.directory.cluster_name(), now)?;
        let both = Authorities { newest, older: Some(present.newest) };
        self.parts.auth.put_secret(actor, SECRET, &both.to_bytes()).await?;
        Ok(())
    }

    /// Ends it: the older one is not trusted any more.
    pub(super) async fn finish_rotation(&self, actor: Actor) -> Result<()> {
        let present = self.authorities()?;
        let only = Authorities { newest: present.newest, older: None };
        self.parts.auth.put_secret(actor, SECRET, &only.to_bytes()).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_or_two_authorities_are_read_back() {
        let now = Timestamp(1_800_000_000_000);
        let make = || Authority::generate("example.test", now).unwrap();
        let mut both = Authorities { newest: make(), older: Some(make()) };
        let read = Authorities::from_bytes(&both.to_bytes()).unwrap();
        assert_eq!(read.certificates(), both.certificates());
        assert!(read.is_rotating());
        both.older = None;
        let read = Authorities::from_bytes(&both.to_bytes()).unwrap();
        assert_eq!(read.certificates(), both.certificates());
        assert!(!read.is_rotating());
        for cut in 0..both.to_bytes().len() {
            assert!(Authorities::from_bytes(&both.to_bytes()[..cut]).is_err(), "{cut}");
        }
    }
}
