//! `torrent check`: each file of a share that is not as its torrent says.

use super::layout::FileLayout;
use super::tree::Access;
use super::verify::{Job, hash_jobs};
use super::{Store, StoreError};
use crate::system::{lock, recover};
use crate::torrent::{Info, PieceSet, Sha1};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

/// How a share on disk compares to its torrent.
#[derive(Debug)]
pub struct Report {
    /// The pieces that verify.
    pub good: PieceSet,
    /// What is wrong with each file that is not as it should be, in the order of the torrent; none if all is well.
    pub faults: Vec<(PathBuf, FileFault)>,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// It is missing, no regular file, a link, too short, too long or unreadable; the error names it.
    #[error(transparent)]
    File(#[from] StoreError),
    /// So many pieces that hold nothing of any other file do not verify.
    #[error("{}", pieces(*.0))]
    Pieces(u64),
    /// So many pieces do not verify that hold something of it and of others: which of them is bad cannot be told.
    #[error("may be bad: {} in common with other files", pieces(*.0))]
    Common(u64),
    /// Its content does not have the SHA-1 that the torrent gives for the file (BEP 47).
    #[error("SHA-1 {found} where the torrent says {expected}")]
    Sha1 {
        /// Of the content.
        found: Sha1,
        /// In the torrent.
        expected: Sha1,
    },
}

fn pieces(count: u64) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} bad piece{plural}")
}

impl Report {
    /// Whether no piece verifies and no file is as long as it should be: this is another place.
    pub fn holds_nothing(&self) -> bool {
        let all_gone = |(_, fault): &(PathBuf, FileFault)| matches!(fault, FileFault::File(_));
        self.good.count() == 0 && !self.faults.is_empty() && self.faults.iter().all(all_gone)
    }

    /// Whether everything is there and right.
    pub fn is_whole(&self) -> bool {
        self.good.is_full() && self.faults.is_empty()
    }
}

/// Compares what lies at `path` (the file or folder itself) to `info`: lengths, every piece, and the SHA-1 of each file
/// where the torrent gives it. A piece that spans files is held against a missing or cut one alone. `progress` hears of
/// bytes done and bytes in all, from any thread.
///
/// # Errors
/// When there is nothing at `path`, or once `stop` is set.
pub fn check(
    info: Arc<Info>,
    path: &Path,
    threads: usize,
    stop: &AtomicBool,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Report, StoreError> {
    let store = Store::open(FileLayout::all(info), path)?;
    let (info, lengths) = (store.info(), store.info().lengths());
    let mut found = Found {
        good: PieceSet::empty(lengths),
        proven: BTreeSet::new(),
        faults: BTreeMap::new(),
    };
    let mut sound = Vec::new();
    for index in store.layout().wanted_files() {
        let opened = store.open_file(index, Access::Read);
        match opened.and_then(|file| store.stamp(index, &file)) {
            Ok(_) => sound.push(index),
            Err(error) => found.fault(index, error.into()),
        }
    }
    let with_sha1 = |index: &usize| {
        let file = info.files().get(*index);
        file.is_some_and(|file| file.sha1.is_some())
    };
    let hashed: Vec<usize> = sound.into_iter().filter(with_sha1).collect();
    let of_files = hashed.iter().filter_map(|index| info.files().get(*index));
    let of_files: u64 = of_files.map(|file| file.length).sum();
    let total = lengths.total().saturating_add(of_files);
    let found = Mutex::new(found);
    let files = hashed.into_iter().map(Job::File);
    let jobs = files.chain(lengths.all_pieces().map(Job::Piece));
    let progress = |done| progress(done, total);
    hash_jobs(&store, jobs, threads, stop, &progress, |job, hashed| {
        let mut found = lock(&found);
        match (job, hashed) {
            (Job::File(index), Ok(sha1)) => {
                let file = info.files().get(index);
                let expected = file.and_then(|file| file.sha1).unwrap_or(sha1);
                if expected == sha1 {
                    found.proven.insert(index);
                } else {
                    let fault = FileFault::Sha1 {
                        found: sha1,
                        expected,
                    };
                    found.fault(index, fault);
                }
            }
            (Job::File(index), Err(error)) => found.fault(index, error.into()),
            (Job::Piece(piece), Ok(sha1)) if sha1 == info.piece_hash(piece) => {
                found.good.insert(piece);
            }
            // The file that it could not be read from is named below, if it is not yet.
            (Job::Piece(_), _) => {}
        }
        Ok(())
    })?;
    let mut found = recover(found.into_inner());
    found.blame_pieces(&store);
    let Found { good, faults, .. } = found;
    let faults = faults.into_iter();
    let faults = faults.map(|(index, fault)| (store.file_path(index), fault));
    Ok(Report {
        faults: faults.collect(),
        good,
    })
}

/// What was found so far.
struct Found {
    good: PieceSet,
    /// Files whose own SHA-1 is right.
    proven: BTreeSet<usize>,
    faults: BTreeMap<usize, FileFault>,
}

impl Found {
    fn fault(&mut self, index: usize, fault: FileFault) {
        self.faults.entry(index).or_insert(fault);
    }

    /// Counts each bad piece for the files of which it holds something, unless one of them explains
    /// it already.
    fn blame_pieces(&mut self, store: &Store) {
        let lengths = store.info().lengths();
        let mut counts: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
        for piece in lengths
            .all_pieces()
            .filter(|piece| !self.good.contains(*piece))
        {
            let files = store
                .layout()
                .files_of(piece)
                .filter(|index| !self.proven.contains(index));
            let files: Vec<usize> = files.collect();
            if files.iter().any(|index| self.faults.contains_key(index)) {
                continue;
            }
            match files.as_slice() {
                [only] => counts.entry(*only).or_default().0 += 1,
                several => {
                    for index in several {
                        counts.entry(*index).or_default().1 += 1;
                    }
                }
            }
        }
        for (index, count) in counts {
            self.faults.insert(
                index,
                match count {
                    (0, common) => FileFault::Common(common),
                    (own, _) => FileFault::Pieces(own),
                },
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Sample, sample};
    use super::*;
    use std::os::unix::fs::FileExt;

    fn faults(sample: &Sample) -> Vec<(String, String)> {
        let stop = AtomicBool::new(false);
        let top = sample.folder.path().join("set");
        let report = check(sample.info.clone(), &top, 2, &stop, &|_, _| ()).unwrap();
        assert_eq!(report.is_whole(), report.faults.is_empty());
        let faults = report.faults.into_iter().map(|(path, fault)| {
            let path = path.strip_prefix(&top).unwrap();
            (path.display().to_string(), fault.to_string())
        });
        faults.collect()
    }

    #[test]
    fn each_file_that_differs_is_named_with_what_is_wrong() {
        let sample = sample();
        let top = sample.folder.path().join("set");
        assert_eq!(faults(&sample), []);
        let big = std::fs::File::options()
            .write(true)
            .open(top.join("sub/big"))
            .unwrap();
        big.write_all_at(b"\xff", 600_000).unwrap();
        let found = faults(&sample);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, "sub/big");
        assert!(found[0].1.starts_with("SHA-1 "), "{found:?}");
        big.set_len(700_000).unwrap();
        std::fs::remove_file(top.join("empty")).unwrap();
        let found = faults(&sample);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["empty", "sub/big"]);
        assert!(found[0].1.ends_with("is missing"), "{found:?}");
        assert!(found[1].1.contains("700000 bytes where"), "{found:?}");
    }

    #[test]
    fn without_a_sha1_of_the_file_the_bad_pieces_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, vec![1; 2_000_000]).unwrap();
        let info = super::super::testing::info_of(&path);
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.write_all_at(b"\xff", 3).unwrap();
        file.write_all_at(b"\xff", 1_999_999).unwrap();
        let stop = AtomicBool::new(false);
        let report = check(info.clone(), &path, 2, &stop, &|_, _| ()).unwrap();
        assert!(matches!(report.faults[..], [(_, FileFault::Pieces(2))]));
        let nowhere = check(info, &folder.path().join("nowhere"), 2, &stop, &|_, _| ());
        assert!(matches!(nowhere, Err(StoreError::Missing(_))));
    }

    #[test]
    fn who_is_bad_is_said_only_as_far_as_it_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("set");
        std::fs::create_dir(&top).unwrap();
        // In pieces of 512 KiB: `a` and `b` have the first one in common, and `b` the second one alone.
        std::fs::write(top.join("a"), vec![1; 400_000]).unwrap();
        std::fs::write(top.join("b"), vec![2; 1_000_000]).unwrap();
        let info = super::super::testing::info_of(&top);
        let stop = AtomicBool::new(false);
        let told = || {
            let report = check(info.clone(), &top, 2, &stop, &|_, _| ()).unwrap();
            let faults = report.faults.iter().map(|(path, fault)| {
                let name = path.file_name().unwrap().to_str().unwrap();
                format!("{name}: {fault}")
            });
            faults.collect::<Vec<_>>()
        };
        let write = |name: &str, at: u64| {
            let file = std::fs::File::options().write(true).open(top.join(name));
            file.unwrap().write_all_at(b"\xff", at).unwrap();
        };
        assert!(told().is_empty());
        write("a", 399_999);
        let both = "may be bad: 1 bad piece in common with other files";
        assert_eq!(told(), [format!("a: {both}"), format!("b: {both}")]);
        write("b", 999_999);
        assert_eq!(told(), [format!("a: {both}"), "b: 1 bad piece".to_owned()]);
        std::fs::remove_file(top.join("b")).unwrap();
        // What is missing explains the piece.
        assert_eq!(told().len(), 1);
    }
}
