//! The shared content: files and folders whose lengths are at the edges of pieces and blocks.

use super::programs::PATIENCE;
use crate::common::sandbox::Sandbox;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// The content of files, by path.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// The names of the files and folders that [`write`] creates.
pub(crate) const NAMES: [&str; 4] = ["odd.bin", "many", "piece.bin", "byte.bin"];

/// The empty file.
pub(crate) const EMPTY: &str = "many/d3/empty";

/// Writes into `owned`: a file whose length is not a multiple of a block, a folder with a thousand
/// small files and an empty file, a file of exactly one piece, and a file of one byte.
pub(crate) fn write(sandbox: &Sandbox) -> PathBuf {
    sandbox.file("owned/odd.bin", 5_000_003, 1);
    for number in 0..1_000_u64 {
        let path = format!("owned/many/d{}/f{number}", number % 10);
        sandbox.file(&path, 1 + (number as usize * 7) % 900, number);
    }
    sandbox.file(&format!("owned/{EMPTY}"), 0, 2);
    sandbox.file("owned/piece.bin", 512 << 10, 3);
    sandbox.file("owned/byte.bin", 1, 4);
    sandbox.path("owned")
}

/// Waits until both files are equal, or both folders have equal files. Some clients report
/// completion before they have written the last bytes.
pub(crate) fn assert_same(owned: &Path, copy: &Path) {
    let (owned, start) = (files(owned), Instant::now());
    loop {
        match difference(&owned, &files(copy)) {
            None => return,
            Some(difference) if start.elapsed() > PATIENCE => panic!("{difference}"),
            Some(_) => thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn difference(owned: &Files, copied: &Files) -> Option<String> {
    let missing = owned.keys().find(|name| !copied.contains_key(*name));
    let added = copied.keys().find(|name| !owned.contains_key(*name));
    let changed = owned
        .keys()
        .find(|name| copied.contains_key(*name) && copied[*name] != owned[*name]);
    (owned != copied).then(|| {
        let (copied, owned) = (copied.len(), owned.len());
        format!(
            "{copied} files, not {owned}; missing {missing:?}, added {added:?}, changed {changed:?}"
        )
    })
}

/// The files below the folder `root`, by their paths relative to `root`. If `root` is a file, its
/// path is empty.
fn files(root: &Path) -> Files {
    let (mut files, mut folders) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(path) = folders.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            folders.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
        } else {
            // The client may be renaming the file at this moment.
            let content = fs::read(&path).ok();
            let name = path.strip_prefix(root).unwrap().to_owned();
            files.extend(content.map(|content| (name, content)));
        }
    }
    files
}
