//! The guide's tables are the program's. `UPDATE_GUIDE=1` writes them anew.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

use posthouse_imap::{
    capability::{CAPABILITIES, When},
    codec::limits::LIMITS,
};

fn replaced(text: &str, name: &str, table: &str) -> String {
    let (head, rest) = text.split_once(&format!("<!-- {name} -->\n")).unwrap();
    let (_, tail) = rest.split_once("<!-- end -->").unwrap();
    format!("{head}<!-- {name} -->\n{table}<!-- end -->{tail}")
}

#[test]
fn the_guide_lists_every_capability_and_every_limit() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/imap.md");
    let text = fs::read_to_string(&path).unwrap();
    let mut capabilities =
        String::from("| capability | told | defined in |\n| --- | --- | --- |\n");
    for spec in CAPABILITIES {
        let when = match spec.when {
            When::Always => "always",
            When::Clear => "before TLS",
            When::Before => "before sign-on",
            When::After => "after sign-on",
        };
        capabilities += &format!("| {} | {when} | {} |\n", spec.name, spec.rfc);
    }
    let mut limits = String::from("| limit | value | beyond it |\n| --- | --- | --- |\n");
    for spec in LIMITS {
        limits += &format!("| {} | {} | {} |\n", spec.what, spec.value, spec.beyond);
    }
    let expected = replaced(&replaced(&text, "capabilities", &capabilities), "limits", &limits);
    if std::env::var_os("UPDATE_GUIDE").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap() == expected,
        "docs/guide/imap.md is out of step: run this test with UPDATE_GUIDE=1"
    );
}
