//! The keytab that is in use, and how it follows the directory.

use std::{path::PathBuf, sync::Arc};

use parking_lot::RwLock;
use posthouse_directory::{Actor, Change};

use crate::{gss::Acceptor, keytab::Keytab, people::People, vault::Vault};

/// Name of the secret in the directory, and context of its encryption.
const SECRET: &str = "keytab";

#[derive(Default)]
struct Current {
    /// What the acceptor was made from.
    ciphertext: Option<Arc<Vec<u8>>>,
    acceptor: Option<Arc<Acceptor>>,
}

pub(crate) struct Keytabs {
    people: Arc<dyn People>,
    folder: PathBuf,
    current: RwLock<Current>,
}

impl Keytabs {
    pub(crate) fn new(people: Arc<dyn People>, folder: PathBuf) -> Self {
        Self { people, folder, current: RwLock::default() }
    }

    pub(crate) fn acceptor(&self) -> Option<Arc<Acceptor>> {
        self.current.read().acceptor.clone()
    }

    /// Takes into use what the directory has. Blocks. What cannot be used is logged, and leaves us without a keytab: an old one
    /// that was replaced must not go on working.
    pub(crate) fn follow(&self, vault: &Vault) {
        let ciphertext = self.people.secret(SECRET);
        if self.current.read().ciphertext == ciphertext {
            return;
        }
        let acceptor = ciphertext.as_ref().and_then(|ciphertext| {
            let made = match vault.unseal(SECRET, ciphertext) {
                Some(plain) => Keytab::parse(&plain).and_then(|k| Acceptor::new(k, &self.folder)),
                None => Err("it was encrypted with another key".to_owned()),
            };
            match made {
                Ok(acceptor) => {
                    let (entries, in_memory) =
                        (acceptor.keytab.entries.len(), acceptor.file.is_in_memory());
                    tracing::info!(target: "security", entries, in_memory, "keytab in use");
                    Some(Arc::new(acceptor))
                }
                Err(error) => {
                    tracing::error!(target: "error", %error, "the keytab cannot be used");
                    None
                }
            }
        });
        *self.current.write() = Current { ciphertext, acceptor };
    }

    /// Checks, encrypts and replicates a keytab; lists its entries.
    pub(crate) async fn put(
        &self,
        vault: &Vault,
        actor: Actor,
        bytes: &[u8],
    ) -> Result<Vec<String>, String> {
        let entries = list(&Keytab::parse(bytes)?);
        let ciphertext = vault.seal(SECRET, bytes);
        let change = Change::PutSecret { name: SECRET.to_owned(), ciphertext };
        self.people.change(actor, change).await.map_err(|e| e.to_string())?;
        Ok(entries)
    }

    /// Entries of the keytab in use.
    pub(crate) fn list(&self) -> Vec<String> {
        self.acceptor().map(|acceptor| list(&acceptor.keytab)).unwrap_or_default()
    }
}

fn list(keytab: &Keytab) -> Vec<String> {
    keytab.entries.iter().map(ToString::to_string).collect()
}
