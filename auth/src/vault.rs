//! Secrets of the replicated directory, encrypted with a key that stays in the node's folder.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use rand::RngCore;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

const KEY_FILE: &str = "vault.key";
const KEY_LEN: usize = 32;
/// First byte of what [`Vault::seal`] makes: names algorithm and layout, so that both can change.
const AES_256_GCM_V1: u8 = 1;

/// Encrypts with AES-256-GCM, random nonces and the context as associated data.
pub(crate) struct Vault {
    key: LessSafeKey,
    /// The same key, for nodes that join.
    plain: Zeroizing<Vec<u8>>,
}

/// Gives a node that joins the vault key of its cluster, before [`crate::Authenticator::open`] makes one of its own in `folder`.
/// A crash leaves the old key, a whole new one, or none. A different key that is there already is kept beside the new
/// one: what was sealed with it can be read by nobody else.
pub fn seed_vault(folder: &Path, key: &[u8]) -> Result<(), String> {
    if key.len() != KEY_LEN {
        return Err(format!("the vault key has {} bytes instead of {KEY_LEN}", key.len()));
    }
    fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let path = folder.join(KEY_FILE);
    let in_file = |e: std::io::Error| format!("{}: {e}", path.display());
    match File::open(&path) {
        Ok(file) => {
            let present = read_key(file, &path)?;
            if present.as_slice() == key {
                return Ok(());
            }
            let old = (0..u32::MAX)
                .map(|n| folder.join(format!("{KEY_FILE}.old-{n}")))
                .find(|old| !old.exists());
            let old = old.ok_or_else(|| "there are too many old vault keys".to_owned())?;
            fs::hard_link(&path, old).map_err(in_file)?;
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(in_file(e)),
    }
    write_key(folder, &path, key).map_err(in_file)
}

impl Vault {
    /// Reads the key in `folder`, or makes one. A damaged key or one that others can read is an error: a new key would
    /// make every stored secret unreadable.
    pub(crate) fn open(folder: &Path) -> Result<Self, String> {
        fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let path = folder.join(KEY_FILE);
        let in_file = |e: std::io::Error| format!("{}: {e}", path.display());
        let key = match File::open(&path) {
            Ok(file) => read_key(file, &path)?,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                make_key(folder, &path).map_err(in_file)?
            }
            Err(e) => return Err(in_file(e)),
        };
        let unbound = UnboundKey::new(&AES_256_GCM, &key[..])
            .map_err(|_| format!("{}: not a key", path.display()))?;
        Ok(Self { key: LessSafeKey::new(unbound), plain: key })
    }

    /// The key itself.
    pub(crate) fn key(&self) -> Zeroizing<Vec<u8>> {
        self.plain.clone()
    }

    /// Encrypts `secret` for `context`.
    pub(crate) fn seal(&self, context: &str, secret: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        rand::rng().fill_bytes(&mut nonce);
        let mut text = secret.to_vec();
        let aad = Aad::from(context.as_bytes());
        let sealed =
            self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text);
        if sealed.is_err() {
            // Only beyond 64 GiB. Nothing readable may come out of here.
            return Vec::new();
        }
        let mut out = Vec::with_capacity(1 + NONCE_LEN + text.len());
        out.push(AES_256_GCM_V1);
        out.extend_from_slice(&nonce);
        out.append(&mut text);
        out
    }

    /// Decrypts what `seal` made for the same context.
    pub(crate) fn unseal(&self, context: &str, ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (version, rest) = ciphertext.split_first()?;
        let (nonce, text) = rest.split_at_checked(NONCE_LEN)?;
        if *version != AES_256_GCM_V1 {
            return None;
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = Zeroizing::new(text.to_vec());
        let length =
            self.key.open_in_place(nonce, Aad::from(context.as_bytes()), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }
}

fn read_key(file: File, path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let mode = file.metadata().map_err(|e| e.to_string())?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(format!("{}: others can read it (mode {:o})", path.display(), mode & 0o777));
    }
    let mut key = Zeroizing::new(Vec::with_capacity(KEY_LEN + 1));
    let read = file.take(KEY_LEN as u64 + 1).read_to_end(&mut key);
    read.map_err(|e| format!("{}: {e}", path.display()))?;
    if key.len() != KEY_LEN {
        return Err(format!("{}: {} bytes instead of {KEY_LEN}", path.display(), key.len()));
    }
    Ok(key)
}

fn make_key(folder: &Path, path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut key = Zeroizing::new(vec![0; KEY_LEN]);
    rand::rng().fill_bytes(&mut key);
    write_key(folder, path, &key)?;
    Ok(key)
}

/// Makes the key durable under a temporary name first, so that a crash leaves a whole key or none.
fn write_key(folder: &Path, path: &Path, key: &[u8]) -> std::io::Result<()> {
    let temporary = folder.join("vault.key.new");
    match fs::remove_file(&temporary) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(key)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_only_with_its_context_and_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(folder.path()).unwrap();
        let sealed = vault.seal("keytab", b"secret");
        assert!(!sealed.windows(6).any(|w| w == b"secret"));
        assert_eq!(vault.unseal("keytab", &sealed).unwrap().as_slice(), b"secret");
        assert!(vault.unseal("other", &sealed).is_none());
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert!(vault.unseal("keytab", &damaged).is_none(), "byte {at}");
            assert!(vault.unseal("keytab", &sealed[..at]).is_none(), "cut at {at}");
        }
    }

    #[test]
    fn the_key_survives_a_restart_and_another_node_cannot_read() {
        let [folder, other] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let sealed = Vault::open(folder.path()).unwrap().seal("c", b"s");
        assert!(Vault::open(folder.path()).unwrap().unseal("c", &sealed).is_some());
        assert!(Vault::open(other.path()).unwrap().unseal("c", &sealed).is_none());
    }

    #[test]
    fn a_node_that_joins_reads_what_the_cluster_sealed() {
        let [first, second] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let cluster = Vault::open(first.path()).unwrap();
        let sealed = cluster.seal("c", b"s");
        // it has run before, alone
        let own = Vault::open(second.path()).unwrap().seal("c", b"own");
        for _ in 0..2 {
            seed_vault(second.path(), &cluster.key()).unwrap();
            let joined = Vault::open(second.path()).unwrap();
            assert_eq!(joined.unseal("c", &sealed).unwrap().as_slice(), b"s");
            assert!(joined.unseal("c", &own).is_none());
        }
        let old = second.path().join("vault.key.old-0");
        assert_eq!(fs::metadata(&old).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!second.path().join("vault.key.old-1").exists(), "the same key is not replaced");
        let new = tempfile::tempdir().unwrap();
        seed_vault(&new.path().join("auth"), &cluster.key()).unwrap();
        assert!(Vault::open(&new.path().join("auth")).unwrap().unseal("c", &sealed).is_some());
        assert!(seed_vault(new.path(), b"short").is_err());
    }

    #[test]
    fn a_damaged_or_readable_key_is_refused_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        Vault::open(folder.path()).unwrap();
        let path = folder.path().join(KEY_FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Vault::open(folder.path()).is_err());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, b"short").unwrap();
        assert!(Vault::open(folder.path()).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"short");
    }
}
