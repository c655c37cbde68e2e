//! The patches of `tests/mutations` still fit the source, and name tests that exist. Whether these
//! tests fail with the patches is what `.ci/soak mutations` finds out.

use crate::documents::root;
use crate::limits::tests;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// All patches, in the order of their names.
fn patches() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("tests/mutations")).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn each_patch_applies_and_names_a_defence_and_a_test() {
    let tests = tests();
    let (mut faults, patches) = (Vec::new(), patches());
    assert!(patches.len() > 50, "{patches:?}");
    for path in patches {
        let text = fs::read_to_string(&path).unwrap();
        let mut lines = text.lines();
        let defence = lines
            .next()
            .and_then(|line| line.strip_prefix("# defence: "));
        let test = lines
            .next()
            .and_then(|line| line.strip_prefix("# test: cargo test "));
        let name = test.and_then(|command| command.rsplit([':', ' ']).next());
        if defence.is_none() || !name.is_some_and(|name| tests.contains(name)) {
            faults.push(format!("{path:?} names no defence, or no test: {name:?}"));
        }
        let mut apply = Command::new("git");
        apply
            .current_dir(root())
            .args(["apply", "--check"])
            .arg(&path);
        if !apply.status().unwrap().success() {
            faults.push(format!("{path:?} does not apply"));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
