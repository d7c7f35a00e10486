//! A keytab where the Kerberos library can read it and nobody else.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::Keytab;

/// In memory where the system has memory files and lets us open them by path; otherwise a private file in the node's folder,
/// which is removed when it goes out of use.
pub(crate) struct KeytabFile {
    path: PathBuf,
    /// Keeps the memory file alive.
    memory: Option<File>,
}

impl KeytabFile {
    pub(crate) fn new(keytab: &Keytab, folder: &Path) -> io::Result<Self> {
        match in_memory(&keytab.file) {
            Ok(made) => Ok(made),
            Err(_) => on_disk(&keytab.file, folder),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the keys are in memory only.
    pub(crate) fn is_in_memory(&self) -> bool {
        self.memory.is_some()
    }
}

impl Drop for KeytabFile {
    fn drop(&mut self) {
        if self.memory.is_none() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn in_memory(bytes: &[u8]) -> io::Result<KeytabFile> {
    let mut memory = File::from(memfd_create("keytab", MFdFlags::MFD_CLOEXEC)?);
    memory.write_all(bytes)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", memory.as_raw_fd()));
    File::open(&path)?;
    Ok(KeytabFile { path, memory: Some(memory) })
}

fn on_disk(bytes: &[u8], folder: &Path) -> io::Result<KeytabFile> {
    let path = folder.join(format!("keytab-{:016x}", rand::random::<u64>()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    let made = KeytabFile { path, memory: None };
    file.write_all(bytes)?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn both_kinds_of_file_can_be_read_by_path_and_vanish() {
        let folder = tempfile::tempdir().unwrap();
        for file in [in_memory(b"keys").unwrap(), on_disk(b"keys", folder.path()).unwrap()] {
            let path = file.path().to_owned();
            assert_eq!(std::fs::read(&path).unwrap(), b"keys");
            if !file.is_in_memory() {
                let mode = std::fs::metadata(&path).unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o600);
            }
            drop(file);
            assert!(std::fs::read(&path).map_or(true, |bytes| bytes != b"keys"));
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
