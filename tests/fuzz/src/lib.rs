//! What the targets share: inputs to begin with.

use std::path::PathBuf;

/// Environment variable that names the corpus folder of the target that runs.
const FOLDER: &str = "POSTHOUSE_FUZZ_CORPUS";

/// Writes inputs to begin with into the corpus folder, before the fuzzer reads it.
pub fn seed(seeds: impl IntoIterator<Item = impl AsRef<[u8]>>) {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    for (number, seed) in seeds.into_iter().enumerate() {
        let path = folder.join(format!("seed-{number}"));
        std::fs::write(&path, seed).expect("the corpus folder can be written");
    }
}

/// An element of DER.
pub fn tlv(tag: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let mut out = vec![tag];
    match content.len() {
        length @ 0..=0x7f => out.push(length as u8),
        length => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend_from_slice(content);
    out
}

/// Elements within an element.
pub fn nest(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(tag, parts.concat())
}
