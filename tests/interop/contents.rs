//! What is shared: files and folders at the edges of pieces and blocks.

use crate::support::Sandbox;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The names of what [`write`] makes.
pub(crate) const NAMES: [&str; 4] = ["odd.bin", "many", "piece.bin", "byte.bin"];

/// Writes into `owned`: a file whose length is no multiple of a block, a folder of a thousand small files and an empty
/// one, exactly one piece, and one byte.
pub(crate) fn write(sandbox: &Sandbox) -> PathBuf {
    sandbox.file("owned/odd.bin", 5_000_003, 1);
    for number in 0..1_000_u64 {
        let path = format!("owned/many/d{}/f{number}", number % 10);
        sandbox.file(&path, 1 + (number as usize * 7) % 900, number);
    }
    sandbox.file("owned/many/d3/empty", 0, 2);
    sandbox.file("owned/piece.bin", 512 << 10, 3);
    sandbox.file("owned/byte.bin", 1, 4);
    sandbox.path("owned")
}

/// Both hold the same files with the same content, and no others.
pub(crate) fn assert_same(owned: &Path, copy: &Path) {
    let (owned, copied) = (files(owned), files(copy));
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    let (those, these) = (names(&owned), names(&copied));
    let other = those.iter().zip(&these).find(|(one, other)| one != other);
    let (here, there) = (these.len(), those.len());
    assert!(those == these, "{here} files for {there}, first {other:?}");
    for (name, content) in owned {
        assert!(copied[&name] == content, "{} differs", name.display());
    }
}

/// Every file below `root` by its path there; a single file is named by an empty one.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(path) = folders.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            folders.extend(entries.map(|entry| entry.unwrap().path()));
        } else {
            let content = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            files.insert(path.strip_prefix(root).unwrap().to_owned(), content);
        }
    }
    files
}
