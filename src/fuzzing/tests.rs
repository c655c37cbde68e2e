//! Runs the fuzz functions on the inputs in `testdata/fuzz/TARGET`: seeds, and inputs of findings.

use super::TARGETS;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The inputs of a target, sorted by name.
fn inputs(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = folder("testdata/fuzz").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}

/// Runs a target. A panic names the input.
fn run(target: fn(&[u8]), name: &str, bytes: &[u8]) {
    let result = std::panic::catch_unwind(|| target(bytes));
    assert!(result.is_ok(), "{name}: {}", bytes.escape_ascii());
}

#[test]
fn every_kept_input_passes_also_cut_and_with_changed_bytes() {
    for (name, target) in TARGETS {
        let inputs = inputs(name);
        assert!(!inputs.is_empty(), "{name}");
        for (path, bytes) in &inputs {
            let path = path.display().to_string();
            run(*target, &path, bytes);
            let step = bytes.len() / 40 + 1;
            for at in (0..bytes.len()).step_by(step) {
                run(*target, &path, &bytes[..at]);
                let mut changed = bytes.clone();
                changed[at] = changed[at].wrapping_mul(5) ^ at as u8 ^ 0x81;
                run(*target, &path, &changed);
            }
        }
    }
}

#[test]
fn every_target_has_a_binary_and_inputs_and_there_are_no_others() {
    let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let listed = |folder: &Path| {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        entries
            .map(|entry| stem(entry.path()))
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(listed(&folder("fuzz/fuzz_targets")), names);
    let mut inputs = listed(&folder("testdata/fuzz"));
    // The key of the target `certificates`.
    assert!(inputs.remove("authority"));
    assert_eq!(inputs, names);
    let manifest = fs::read_to_string(folder("fuzz/Cargo.toml")).unwrap();
    for name in &names {
        let text = fs::read_to_string(folder("fuzz/fuzz_targets").join(format!("{name}.rs")));
        assert!(
            text.unwrap().contains(&format!("fuzzing::{name}(bytes)")),
            "{name}"
        );
        assert!(
            manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")),
            "{name}"
        );
    }
    assert_eq!(manifest.matches("[[bin]]").count(), names.len());
}
