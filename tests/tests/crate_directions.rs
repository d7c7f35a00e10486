//! Who may use whom, top to bottom only (DESIGN §3).
#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::collections::BTreeMap;

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Rungs of the ladder, top first. A crate may use what stands on a lower rung; what stands on the same rung only
/// where it says so here.
const RUNGS: &[&[&str]] = &[
    &["posthouse-tests"],
    &["posthouse"],
    &["posthouse-provisioning"],
    &["posthouse-smtp", "posthouse-imap", "posthouse-http", "posthouse-addressbook"],
    &["posthouse-auth"],
    &["posthouse-store", "posthouse-sources"],
    &["posthouse-directory"],
    &["posthouse-cluster"],
];

/// Lower than the rungs say, on purpose: a store knows nothing of the directory.
const FORBIDDEN: &[(&str, &str)] = &[("posthouse-store", "posthouse-directory")];

fn rung(name: &str) -> Option<usize> {
    RUNGS.iter().position(|rung| rung.contains(&name))
}

/// What breaks the rule among these (user, used) pairs.
fn violations<'a>(uses: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    uses.filter(|(user, used)| {
        let downward = matches!((rung(user), rung(used)), (Some(from), Some(to)) if from < to);
        !downward || FORBIDDEN.contains(&(user, used))
    })
    .map(|(user, used)| format!("{user} → {used}"))
    .collect()
}

fn workspace() -> BTreeMap<String, Vec<String>> {
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    let mut all = BTreeMap::new();
    for package in metadata.packages {
        let ours = package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal);
        let ours = ours.map(|d| d.name.clone()).filter(|name| name.starts_with("posthouse"));
        all.insert(package.name.to_string(), ours.collect());
    }
    all
}

#[test]
fn crates_depend_downward_only() {
    let all = workspace();
    let uses =
        all.iter().flat_map(|(user, used)| used.iter().map(|used| (user.as_str(), used.as_str())));
    assert_eq!(violations(uses), Vec::<String>::new());
}

#[test]
fn every_crate_has_its_rung() {
    for name in workspace().keys() {
        assert!(rung(name).is_some(), "{name} is on no rung");
    }
}

#[test]
fn an_upward_use_would_be_found() {
    let uses =
        [("posthouse-cluster", "posthouse-store"), ("posthouse-store", "posthouse-directory")];
    assert_eq!(violations(uses.into_iter()).len(), 2);
}
