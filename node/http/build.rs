//! Makes sure that the folder of built pages exists, so that the crate builds without Node.js.

use std::{fs, path::Path};

const PLACEHOLDER: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
<title>Posthouse</title></head><body><h1>Posthouse</h1><p>The pages were not built into this program. \
Run <code>npm ci</code> and <code>npm run build</code> in <code>node/web</code>, then build the program \
again. The command line works without them.</p></body></html>\n";

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web/dist");
    let page = folder.join("index.html");
    if !page.exists()
        && let Err(error) = fs::create_dir_all(&folder).and_then(|()| fs::write(&page, PLACEHOLDER))
    {
        println!("cargo:warning=cannot write {}: {error}", page.display());
    }
    println!("cargo:rerun-if-changed=../web/dist");
    println!("cargo:rerun-if-changed=build.rs");
}
