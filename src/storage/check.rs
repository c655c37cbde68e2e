//! `torrent check` and `verify`: find the files of a share that differ from their torrent.

use super::layout::FileLayout;
use super::tree::Access;
use super::verify::{HashJob, hash_jobs};
use super::{FileStamp, StampMatch, Store, StoreError};
use crate::system::{lock, recover};
use crate::torrent::{PieceIndex, PieceSet, Sha1};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

/// How the files on disk compare to the torrent.
#[derive(Debug)]
pub struct CheckReport {
    /// The pieces that verify.
    pub good: PieceSet,
    /// The number of pieces that do not verify. Pieces that cannot be read because their parts file
    /// is gone do not count.
    pub bad_pieces: u32,
    /// The number of files that were examined.
    pub files: usize,
    /// The files that differ from the torrent, and how. In the order of the torrent.
    pub faults: Vec<FaultyFile>,
    /// The stamps of the files from before they were read, as [`Store::stamps`] returns them.
    /// `None` if one is missing.
    pub stamps: Option<Vec<FileStamp>>,
    /// For each wanted file, in the order of the torrent: its index, and whether it is bad.
    wanted: Vec<(usize, bool)>,
}

/// A file that differs from the torrent.
#[derive(Debug)]
pub struct FaultyFile {
    /// Its path.
    pub path: PathBuf,
    /// How it differs.
    pub fault: FileFault,
}

impl fmt::Display for FaultyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fault {
            // The message of this error names the file already.
            FileFault::File(error) => error.fmt(f),
            other => write!(f, "{}: {other}", self.path.display()),
        }
    }
}

/// How a file differs from the torrent.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// The file is missing, a symbolic link, not a regular file, too short, too long or unreadable.
    /// The error names it.
    #[error(transparent)]
    File(#[from] StoreError),
    /// The number of bad pieces that are only in this file.
    #[error("{}", bad_pieces(*.0))]
    BadPieces(u64),
    /// The number of bad pieces that are in this file and in others. Which file is bad is unknown.
    #[error("may be bad: {} in common with other files", bad_pieces(*.0))]
    BadSharedPieces(u64),
    /// Its SHA-1 is not the one in the torrent (BEP 47).
    #[error("SHA-1 {found} where the torrent says {expected}")]
    Sha1 {
        /// The SHA-1 of its content.
        found: Sha1,
        /// The SHA-1 in the torrent.
        expected: Sha1,
    },
    /// Somebody has changed or replaced it while it was read.
    #[error("was changed while it was read")]
    ChangedMeanwhile,
}

impl FileFault {
    /// The word for scripts.
    pub fn word(&self) -> &'static str {
        match self {
            Self::File(StoreError::Missing(_)) => "missing",
            Self::File(StoreError::Length { .. }) => "length",
            Self::File(_) => "unreadable",
            Self::BadPieces(_) | Self::BadSharedPieces(_) | Self::Sha1 { .. } => "content",
            Self::ChangedMeanwhile => "changed",
        }
    }
}

fn bad_pieces(count: u64) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} bad piece{plural}")
}

impl CheckReport {
    /// Whether no piece verifies, and every file with a fault is missing, unreadable, not a regular
    /// file, or has another length. Then this is probably the wrong path.
    pub fn holds_nothing(&self) -> bool {
        let is_unusable = |file: &FaultyFile| matches!(file.fault, FileFault::File(_));
        self.good.count() == 0 && !self.faults.is_empty() && self.faults.iter().all(is_unusable)
    }

    /// Whether all pieces and all files are right.
    pub fn is_whole(&self) -> bool {
        self.bad_pieces == 0 && self.faults.is_empty()
    }

    /// The indices of the wanted files that are bad, in the order of the torrent.
    pub fn bad_files(&self) -> Vec<usize> {
        let bad = self.wanted.iter().filter(|(_, is_bad)| *is_bad);
        bad.map(|(index, _)| *index).collect()
    }

    /// Whether the wanted file at this position of [`Store::stamps`] is bad.
    pub fn is_bad_at(&self, position: usize) -> bool {
        self.wanted.get(position).is_some_and(|(_, is_bad)| *is_bad)
    }
}

/// Compares the file or folder at `path` with the wanted files of a share: the lengths, every piece
/// that they need, and the SHA-1 of each file if the torrent has it. A bad piece is not reported if
/// one of its files has another fault. `progress` is called from any thread with the bytes done and
/// the total.
///
/// # Errors
/// [`StoreError::Missing`] if nothing is at `path`. [`StoreError::Stopped`] if `stop` is set before
/// the check ends. Other errors if `path` cannot be opened as the file or folder of the share.
pub fn check_share(
    layout: FileLayout,
    path: &Path,
    threads: usize,
    stop: &AtomicBool,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<CheckReport, StoreError> {
    let store = Store::open(layout, path)?;
    let stamps = store.stamps().ok();
    let (info, lengths) = (store.info(), store.info().lengths());
    let mut findings = Findings {
        good: PieceSet::empty(lengths),
        verified_files: BTreeSet::new(),
        faults: BTreeMap::new(),
    };
    let readable = findings.readable_files(&store);
    let with_sha1 = |index: &usize| {
        let file = info.files().get(*index);
        file.is_some_and(|file| file.sha1.is_some())
    };
    let files = readable.iter().map(|(index, _)| *index);
    let files: Vec<usize> = files.filter(with_sha1).collect();
    let entries = files.iter().filter_map(|index| info.files().get(*index));
    let file_bytes: u64 = entries.map(|file| file.length).sum();
    let pieces: Vec<PieceIndex> = store
        .layout()
        .needed_pieces()
        .filter(|piece| store.can_read(*piece))
        .collect();
    let piece_bytes = pieces.iter().map(|piece| u64::from(lengths.length(*piece)));
    let total = piece_bytes.sum::<u64>().saturating_add(file_bytes);
    let findings = Mutex::new(findings);
    let files = files.into_iter().map(HashJob::File);
    let jobs = files.chain(pieces.iter().copied().map(HashJob::Piece));
    let progress = |done| progress(done, total);
    hash_jobs(&store, jobs, threads, stop, &progress, |job, hashed| {
        let mut findings = lock(&findings);
        match (job, hashed) {
            (HashJob::File(index), Ok(sha1)) => {
                let file = info.files().get(index);
                let expected = file.and_then(|file| file.sha1).unwrap_or(sha1);
                if expected == sha1 {
                    findings.verified_files.insert(index);
                } else {
                    let fault = FileFault::Sha1 {
                        found: sha1,
                        expected,
                    };
                    findings.add_fault(index, fault);
                }
            }
            (HashJob::File(index), Err(error)) => findings.add_fault(index, error.into()),
            (HashJob::Piece(piece), Ok(sha1)) if sha1 == info.piece_hash(piece) => {
                findings.good.insert(piece);
            }
            // The piece stays out of `good`, so `report_bad_pieces` reports its files.
            (HashJob::Piece(_), _) => {}
        }
        Ok(())
    })?;
    let mut findings = recover(findings.into_inner());
    findings.report_changed_files(&store, &readable);
    findings.report_bad_pieces(&store, &pieces);
    Ok(findings.into_report(&store, stamps, pieces.len()))
}

/// The results so far.
struct Findings {
    good: PieceSet,
    /// Files whose own SHA-1 is right.
    verified_files: BTreeSet<usize>,
    faults: BTreeMap<usize, FileFault>,
}

impl Findings {
    fn add_fault(&mut self, index: usize, fault: FileFault) {
        self.faults.entry(index).or_insert(fault);
    }

    /// The wanted files that have the right length, with their stamps. Reports the others.
    fn readable_files(&mut self, store: &Store) -> Vec<(usize, FileStamp)> {
        let mut readable = Vec::new();
        for index in store.layout().wanted_files() {
            let opened = store.open_file(index, Access::Read);
            match opened.and_then(|file| store.stamp(index, &file)) {
                Ok(stamp) => readable.push((index, stamp)),
                Err(error) => self.add_fault(index, error.into()),
            }
        }
        readable
    }

    /// Reports the files that no longer have the stamp from before they were read.
    fn report_changed_files(&mut self, store: &Store, before: &[(usize, FileStamp)]) {
        for (index, before) in before {
            let opened = store.open_file(*index, Access::Read);
            match opened.and_then(|file| store.stamp(*index, &file)) {
                Ok(now) if before.compare(&now) == StampMatch::Same => {}
                Ok(_) => self.add_fault(*index, FileFault::ChangedMeanwhile),
                Err(error) => self.add_fault(*index, error.into()),
            }
        }
    }

    /// Counts each bad piece for every file that has bytes of it and whose own SHA-1 is not known
    /// to be right. Skips a piece if one of these files already has a fault, which explains the
    /// piece.
    fn report_bad_pieces(&mut self, store: &Store, pieces: &[PieceIndex]) {
        // Per file: the bad pieces that are only in it, and those that are in other files too.
        let mut counts: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
        for piece in pieces.iter().filter(|piece| !self.good.contains(**piece)) {
            let files = store
                .layout()
                .files_of(*piece)
                .filter(|index| !self.verified_files.contains(index));
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
                    (0, common) => FileFault::BadSharedPieces(common),
                    (own, _) => FileFault::BadPieces(own),
                },
            );
        }
    }

    fn into_report(
        self,
        store: &Store,
        stamps: Option<Vec<FileStamp>>,
        pieces: usize,
    ) -> CheckReport {
        let wanted = store.layout().wanted_files();
        let wanted: Vec<(usize, bool)> = wanted
            .map(|index| (index, self.faults.contains_key(&index)))
            .collect();
        let pieces = u32::try_from(pieces).unwrap_or(u32::MAX);
        let faults = self.faults.into_iter().map(|(index, fault)| FaultyFile {
            path: store.file_path(index),
            fault,
        });
        CheckReport {
            bad_pieces: pieces.saturating_sub(self.good.count()),
            good: self.good,
            files: wanted.len(),
            faults: faults.collect(),
            stamps,
            wanted,
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
        let report = check_share(
            FileLayout::all(sample.info.clone()),
            &top,
            2,
            &stop,
            &|_, _| (),
        )
        .unwrap();
        assert_eq!(report.is_whole(), report.faults.is_empty());
        let faults = report.faults.into_iter().map(|file| {
            let path = file.path.strip_prefix(&top).unwrap();
            (path.display().to_string(), file.fault.to_string())
        });
        faults.collect()
    }

    #[test]
    fn each_file_that_differs_is_named_with_its_fault() {
        let sample = sample();
        let top = sample.folder.path().join("set");
        assert_eq!(faults(&sample), []);
        let big = std::fs::File::options()
            .write(true)
            .open(top.join("sub/big"))
            .unwrap();
        big.write_all_at(b"\xff", 600_000).unwrap();
        let findings = faults(&sample);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].0, "sub/big");
        assert!(findings[0].1.starts_with("SHA-1 "), "{findings:?}");
        big.set_len(700_000).unwrap();
        std::fs::remove_file(top.join("empty")).unwrap();
        let findings = faults(&sample);
        let names: Vec<&str> = findings.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["empty", "sub/big"]);
        assert!(findings[0].1.ends_with("is missing"), "{findings:?}");
        assert!(findings[1].1.contains("700000 bytes where"), "{findings:?}");
    }

    #[test]
    fn without_file_hashes_the_bad_pieces_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, vec![1; 2_000_000]).unwrap();
        let info = super::super::testing::info_of(&path);
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.write_all_at(b"\xff", 3).unwrap();
        file.write_all_at(b"\xff", 1_999_999).unwrap();
        let stop = AtomicBool::new(false);
        let report =
            check_share(FileLayout::all(info.clone()), &path, 2, &stop, &|_, _| ()).unwrap();
        assert!(matches!(
            report.faults[..],
            [FaultyFile {
                fault: FileFault::BadPieces(2),
                ..
            }]
        ));
        let nowhere = check_share(
            FileLayout::all(info),
            &folder.path().join("nowhere"),
            2,
            &stop,
            &|_, _| (),
        );
        assert!(matches!(nowhere, Err(StoreError::Missing(_))));
    }

    #[test]
    fn a_bad_piece_of_several_files_is_reported_for_each_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("set");
        std::fs::create_dir(&top).unwrap();
        // With pieces of 512 KiB, the first piece is in `a` and `b`, and the second one only in
        // `b`.
        std::fs::write(top.join("a"), vec![1; 400_000]).unwrap();
        std::fs::write(top.join("b"), vec![2; 1_000_000]).unwrap();
        let info = super::super::testing::info_of(&top);
        let stop = AtomicBool::new(false);
        let faults = || {
            let report =
                check_share(FileLayout::all(info.clone()), &top, 2, &stop, &|_, _| ()).unwrap();
            let faults = report.faults.iter().map(|file| {
                let name = file.path.file_name().unwrap().to_str().unwrap();
                format!("{name}: {}", file.fault)
            });
            faults.collect::<Vec<_>>()
        };
        let write = |name: &str, at: u64| {
            let file = std::fs::File::options().write(true).open(top.join(name));
            file.unwrap().write_all_at(b"\xff", at).unwrap();
        };
        assert!(faults().is_empty());
        write("a", 399_999);
        let both = "may be bad: 1 bad piece in common with other files";
        assert_eq!(faults(), [format!("a: {both}"), format!("b: {both}")]);
        write("b", 999_999);
        assert_eq!(
            faults(),
            [format!("a: {both}"), "b: 1 bad piece".to_owned()]
        );
        std::fs::remove_file(top.join("b")).unwrap();
        // The missing file explains the bad piece.
        assert_eq!(faults().len(), 1);
    }

    #[test]
    fn a_file_that_is_changed_or_replaced_during_the_check_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let new = folder.path().join("new");
        type Change<'a> = &'a (dyn Fn() + Sync);
        let changes: [Change<'_>; 2] = [
            &|| {
                let file = std::fs::File::options().write(true).open(&path).unwrap();
                file.set_modified(std::time::UNIX_EPOCH).unwrap();
            },
            &|| {
                if new.exists() {
                    std::fs::rename(&new, &path).unwrap();
                }
            },
        ];
        for change in changes {
            std::fs::write(&path, vec![1; 2_000_000]).unwrap();
            std::fs::copy(&path, &new).unwrap();
            let info = super::super::testing::info_of(&path);
            let stop = AtomicBool::new(false);
            let progress = |_, _| change();
            let report = check_share(FileLayout::all(info), &path, 1, &stop, &progress).unwrap();
            assert!(matches!(
                report.faults[..],
                [FaultyFile {
                    fault: FileFault::ChangedMeanwhile,
                    ..
                }]
            ));
            assert!(report.is_bad_at(0) && !report.is_whole());
        }
    }
}
