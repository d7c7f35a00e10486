//! What this node proves itself with to other nodes: its key, its certificate, the authorities that it
//! trusts, and the peers that it knew when it joined. Files in the `links` folder, each whole or not there.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use posthouse_cluster::{
    Environment, NodeId,
    authority::{Authority, NodeKey, VALIDITY},
    link::Peer,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::config::write_file;

const KEY: &str = "node.key";
const TRUST: &str = "trust.json";
/// The authority of a new cluster, until the directory has it (sealed).
const AUTHORITY: &str = "authority.new";

/// Certificates; everything in here may be seen by anybody.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Trust {
    /// This node's certificate (DER).
    pub(crate) certificate: Vec<u8>,
    /// Authorities that are trusted (DER): two while one replaces the other.
    pub(crate) authorities: Vec<Vec<u8>>,
    /// Peers as they were when this node joined: the directory's answer counts as soon as it is here.
    pub(crate) peers: Vec<Peer>,
    /// Whether this node joined a cluster: it does not begin one of its own.
    pub(crate) joined: bool,
}

/// Key and certificates of this node.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// The private key.
    pub(crate) key: NodeKey,
    /// The rest.
    pub(crate) trust: Trust,
}

/// The key in `folder`; a new one if there is none.
pub(crate) fn key(folder: &Path) -> Result<NodeKey> {
    let path = folder.join(KEY);
    match fs::read(&path) {
        Ok(bytes) => NodeKey::from_bytes(&Zeroizing::new(bytes))
            .with_context(|| format!("{} cannot be used", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key = NodeKey::generate()?;
            write_file(&path, &key.to_bytes(), true)?;
            Ok(key)
        }
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

impl Identity {
    /// Reads the identity of node `id`; the first node of a cluster makes one, and the authority with it.
    pub(crate) fn open(folder: &Path, id: u64, host: &str, env: &Environment) -> Result<Self> {
        let key = key(folder)?;
        if let Some(trust) = Trust::load(folder)? {
            return Ok(Self { key, trust });
        }
        let now = env.clock.now();
        let authority = match pending_authority(folder)? {
            Some(authority) => authority,
            None => {
                let authority = Authority::generate(host, now)?;
                write_file(&folder.join(AUTHORITY), &authority.to_bytes(), true)?;
                authority
            }
        };
        let certificate = authority.certify(key.public_key(), NodeId(id), now, VALIDITY)?;
        let authorities = vec![authority.certificate_der().to_vec()];
        let trust = Trust { certificate, authorities, ..Trust::default() };
        trust.save(folder)?;
        Ok(Self { key, trust })
    }
}

impl Trust {
    /// What is in `folder`.
    pub(crate) fn load(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(TRUST);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .with_context(|| format!("{} is damaged", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
        }
    }

    /// Replaces what is in `folder`.
    pub(crate) fn save(&self, folder: &Path) -> Result<()> {
        if self.certificate.is_empty() || self.authorities.is_empty() {
            bail!("a node without a certificate cannot be saved");
        }
        write_file(&folder.join(TRUST), &serde_json::to_vec(self)?, false)
    }
}

/// The authority that this node made and the directory does not have yet.
pub(crate) fn pending_authority(folder: &Path) -> Result<Option<Authority>> {
    let path = folder.join(AUTHORITY);
    match fs::read(&path) {
        Ok(bytes) => Authority::from_bytes(&Zeroizing::new(bytes))
            .map(Some)
            .with_context(|| format!("{} cannot be used", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// The directory has the authority now.
pub(crate) fn forget_pending_authority(folder: &Path) -> Result<()> {
    let path = folder.join(AUTHORITY);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", path.display()))
        }
        _ => Ok(()),
    }
}

/// Forgets an attempt to join that did not come to its end, for a node that begins a domain of its own.
pub(crate) fn forget_join(folder: &Path) -> Result<()> {
    match Trust::load(folder)? {
        Some(trust) if trust.joined => {
            let path = folder.join(TRUST);
            fs::remove_file(&path).with_context(|| format!("{} cannot be removed", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_node_makes_an_authority_and_keeps_it_until_told() {
        let folder = tempfile::tempdir().unwrap();
        let env = Environment::real();
        let first = Identity::open(folder.path(), 1, "a.example.test", &env).unwrap();
        let again = Identity::open(folder.path(), 1, "a.example.test", &env).unwrap();
        assert_eq!(first.trust.certificate, again.trust.certificate);
        assert_eq!(first.key.public_key(), again.key.public_key());
        let authority = pending_authority(folder.path()).unwrap().unwrap();
        assert_eq!(first.trust.authorities, [authority.certificate_der()]);
        forget_pending_authority(folder.path()).unwrap();
        forget_pending_authority(folder.path()).unwrap();
        assert!(pending_authority(folder.path()).unwrap().is_none());
        Identity::open(folder.path(), 1, "a.example.test", &env).unwrap();
    }

    #[test]
    fn a_damaged_file_is_refused_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let env = Environment::real();
        Identity::open(folder.path(), 1, "a.example.test", &env).unwrap();
        fs::write(folder.path().join(TRUST), b"{").unwrap();
        let error = Identity::open(folder.path(), 1, "a.example.test", &env).unwrap_err();
        assert!(format!("{error:#}").contains(TRUST), "{error:#}");
        fs::write(folder.path().join(KEY), b"{").unwrap();
        let error = Identity::open(folder.path(), 1, "a.example.test", &env).unwrap_err();
        assert!(format!("{error:#}").contains(KEY), "{error:#}");
    }
}
