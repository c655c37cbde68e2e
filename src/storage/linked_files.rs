//! The files of an unfinished download that share their bytes with files of an older version.
//!
//! A *linked* file is a hard link to a verified file of the older version, which is still served.
//! It is complete, and it is never written. A *cloned* file is a copy whose bytes are those of the
//! older file on the disk until they are written (a reflink). So writing it needs space.

use super::FileStamp;
use crate::system::lock;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

/// The linked and the cloned files of a download, by their index in
/// [`crate::torrent::Info::files`].
#[derive(Debug, Default)]
pub(super) struct LinkedFiles(Mutex<SharingFiles>);

#[derive(Debug, Default)]
pub(super) struct SharingFiles {
    /// The stamp of each linked file: that with which the file of the older version was verified.
    pub(super) linked: BTreeMap<usize, FileStamp>,
    pub(super) cloned: BTreeSet<usize>,
}

impl LinkedFiles {
    /// Both sets. While the result is held, no file is opened and no linked file is replaced.
    pub(super) fn lock(&self) -> MutexGuard<'_, SharingFiles> {
        lock(&self.0)
    }

    /// The stamp of a linked file.
    pub(super) fn stamp(&self, index: usize) -> Option<FileStamp> {
        self.lock().linked.get(&index).copied()
    }
}
