//! The version of what is in a data folder: a program does not touch what a newer one wrote.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::config::write_file;

/// Name in the data folder.
const FILE: &str = "format.json";
/// What this program writes. 1: one node (had no file). 2: links, several stores.
const FORMAT: u32 = 2;

#[derive(Debug, Serialize, Deserialize)]
struct Format {
    /// Version of the folder's content.
    format: u32,
    /// Version of the program that wrote it last.
    program: String,
}

/// Checks that this program may use the folder, and notes that it did. Older folders are used as they are: databases and
/// logs bring themselves up to date when they are opened.
pub(crate) fn check(data: &Path) -> Result<()> {
    let path = data.join(FILE);
    let program = env!("CARGO_PKG_VERSION").to_owned();
    let present: Option<Format> = match fs::read(&path) {
        Ok(bytes) => Some(
            serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is damaged", path.display()))?,
        ),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            return Err(error).with_context(|| format!("{} cannot be read", path.display()));
        }
    };
    if let Some(present) = &present
        && present.format > FORMAT
    {
        bail!(
            "{} was written by a newer program ({}, format {}); this one ({program}) knows formats up to {FORMAT}. Nothing was touched: start the newer program again, or restore a backup from before the update",
            data.display(),
            present.program,
            present.format
        );
    }
    if present.is_some_and(|present| present.format == FORMAT && present.program == program) {
        return Ok(());
    }
    write_file(&path, &serde_json::to_vec(&Format { format: FORMAT, program })?, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_folder_is_refused_and_an_older_one_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        check(folder.path()).unwrap();
        check(folder.path()).unwrap();
        fs::write(folder.path().join(FILE), r#"{"format":1,"program":"0.0.9"}"#).unwrap();
        check(folder.path()).unwrap();
        fs::write(folder.path().join(FILE), r#"{"format":99,"program":"9.0.0"}"#).unwrap();
        let error = check(folder.path()).unwrap_err().to_string();
        assert!(error.contains("newer program (9.0.0, format 99)"), "{error}");
        assert!(fs::read_to_string(folder.path().join(FILE)).unwrap().contains("99"));
    }
}
