//! How the command line of this machine proves that it may read the node's state folder.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};

/// Lets in who can read a file in the node's state folder. Made anew at every start.
#[derive(Clone)]
pub struct LocalToken {
    hash: [u8; 32],
}

impl std::fmt::Debug for LocalToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LocalToken(…)")
    }
}

impl LocalToken {
    /// Name of the file in the state folder.
    pub const FILE: &str = "command-line.token";

    /// Writes a fresh token that only the owner of `folder` can read. Replaces the one before in one step.
    pub fn create(folder: &Path) -> io::Result<Self> {
        let token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let new = folder.join(format!("{}.new", Self::FILE));
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(token.as_bytes())?;
        fs::rename(&new, Self::path(folder))?;
        Ok(Self::from_text(&token))
    }

    /// The token of the node that runs on `folder`, for the `Authorization: Bearer` header.
    pub fn read(folder: &Path) -> io::Result<String> {
        fs::read_to_string(Self::path(folder)).map(|text| text.trim().to_owned())
    }

    /// A token of known text.
    pub fn from_text(token: &str) -> Self {
        Self { hash: hash(token) }
    }

    /// Whether `token` is it. Hashes are compared, so the time tells nothing about the token.
    pub(crate) fn admits(&self, token: &str) -> bool {
        hash(token) == self.hash
    }

    fn path(folder: &Path) -> PathBuf {
        folder.join(Self::FILE)
    }
}

fn hash(token: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_the_owner_can_read_it_and_a_new_start_replaces_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = LocalToken::create(folder.path()).unwrap();
        let old = LocalToken::read(folder.path()).unwrap();
        assert!(first.admits(&old));
        let mode = fs::metadata(LocalToken::path(folder.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let second = LocalToken::create(folder.path()).unwrap();
        assert!(!second.admits(&old));
        assert!(second.admits(&LocalToken::read(folder.path()).unwrap()));
    }
}
