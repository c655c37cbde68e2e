//! System calls that some file systems lack, such as network file systems, FUSE and FAT.
//!
//! If a file system lacks such a call, the work goes on without it. There is one warning for each
//! kind of call and file system. Errors of the disk itself, such as `EIO` and `ENOSPC`, stay
//! errors.

use crate::system::{cause, lock};
use nix::errno::Errno;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The calls and file systems that a warning has named. A file system is identified by its
/// device number.
static WARNED: Mutex<BTreeSet<(OptionalCall, Option<u64>)>> = Mutex::new(BTreeSet::new());

/// A kind of system call that a file system may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum OptionalCall {
    SyncFile,
    SyncFolder,
    Lock,
    ChangeMode,
    Reserve,
    MeasureSpace,
    SetTimes,
}

/// A call that the file system lacks.
#[derive(Debug, thiserror::Error)]
#[error(
    "the file system of {} cannot {}: {}",
    .path.display(),
    .call.effect(),
    cause(source)
)]
pub(super) struct MissingCall {
    call: OptionalCall,
    path: PathBuf,
    source: io::Error,
}

impl OptionalCall {
    /// Whether the error shows that the file system lacks this call.
    fn is_missing(self, errno: Errno) -> bool {
        let is_specific = match self {
            // `EBADF`: NFS cannot lock folders.
            Self::Lock => matches!(errno, Errno::ENOLCK | Errno::EBADF | Errno::EINVAL),
            Self::SyncFile | Self::SyncFolder | Self::Reserve => errno == Errno::EINVAL,
            Self::ChangeMode | Self::SetTimes => errno == Errno::EPERM,
            Self::MeasureSpace => false,
        };
        is_specific || matches!(errno, Errno::EOPNOTSUPP | Errno::ENOSYS)
    }

    /// What the file system cannot do, and what follows.
    fn effect(self) -> &'static str {
        match self {
            Self::SyncFile => "sync files, so a power failure may lose what was written last",
            Self::SyncFolder => "sync folders, so a power failure may undo the newest renames",
            Self::Lock => "lock files, so make sure that no other process uses the same ones",
            Self::ChangeMode => "change modes, so files do not become executable",
            Self::Reserve => "reserve space, so the disk may fill up during a download",
            Self::SetTimes => "set times, so files do not get the times of the original",
            Self::MeasureSpace => "say how much space is free, so the disk may fill up",
        }
    }
}

impl MissingCall {
    /// Notes that a warning names this call and this file system. Returns `false` if an earlier
    /// warning has named them.
    pub(super) fn note_warning(&self) -> bool {
        let place = self.path.metadata().ok().map(|found| found.dev());
        lock(&WARNED).insert((self.call, place))
    }
}

/// Returns the call as missing if its error shows that the file system lacks it. Returns other
/// errors as errors.
pub(super) fn find_missing(
    call: OptionalCall,
    path: &Path,
    result: io::Result<()>,
) -> io::Result<Option<MissingCall>> {
    let Err(source) = result else {
        return Ok(None);
    };
    let errno = source.raw_os_error().map(Errno::from_raw);
    if !errno.is_some_and(|errno| call.is_missing(errno)) {
        return Err(source);
    }
    let path = path.to_owned();
    Ok(Some(MissingCall { call, path, source }))
}

/// Like [`find_missing`], but logs the first warning about a missing call. Returns whether the call
/// was carried out.
pub(super) fn warn_if_missing(
    call: OptionalCall,
    path: &Path,
    result: io::Result<()>,
) -> io::Result<bool> {
    let missing = find_missing(call, path, result)?;
    if let Some(missing) = missing.as_ref().filter(|missing| missing.note_warning()) {
        log::warn!("{missing}");
    }
    Ok(missing.is_none())
}

/// Makes the content of a file durable.
pub(super) fn sync_file(file: &File, path: &Path) -> io::Result<()> {
    warn_if_missing(OptionalCall::SyncFile, path, file.sync_all()).map(drop)
}

/// Makes the creations, renames and removals in an open folder durable.
pub(super) fn sync_open_folder(folder: &File, path: &Path) -> io::Result<()> {
    warn_if_missing(OptionalCall::SyncFolder, path, folder.sync_all()).map(drop)
}

/// Makes the creations, renames and removals in a folder durable.
///
/// # Errors
/// If the folder cannot be opened, or the disk fails. A file system that cannot sync folders causes
/// only a warning.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    sync_open_folder(&File::open(folder)?, folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_the_disk_is_an_error_and_a_missing_call_is_not() {
        use OptionalCall::*;
        let found = |call, errno: Errno| {
            let missing = find_missing(call, Path::new("/"), Err(errno.into()));
            missing.map(|missing| missing.is_some()).ok()
        };
        for call in [SyncFile, SyncFolder, Lock, ChangeMode, Reserve, SetTimes] {
            for errno in [Errno::EOPNOTSUPP, Errno::ENOSYS] {
                assert_eq!(found(call, errno), Some(true), "{call:?} {errno}");
            }
            for errno in [Errno::EIO, Errno::ENOSPC, Errno::EROFS, Errno::EDQUOT] {
                assert_eq!(found(call, errno), None, "{call:?} {errno}");
            }
        }
        assert_eq!(found(SyncFolder, Errno::EINVAL), Some(true));
        assert_eq!(found(ChangeMode, Errno::EPERM), Some(true));
        assert_eq!(found(Lock, Errno::ENOLCK), Some(true));
        assert_eq!(found(Lock, Errno::EPERM), None);
        let done = find_missing(Lock, Path::new("/"), Ok(()));
        assert!(done.unwrap().is_none());
    }

    #[test]
    fn each_call_and_file_system_gets_one_warning() {
        let missing = |call| {
            let error = Err(Errno::ENOSYS.into());
            find_missing(call, Path::new("/proc/self"), error)
                .unwrap()
                .unwrap()
        };
        let first = missing(OptionalCall::MeasureSpace);
        assert!(first.note_warning());
        assert!(!missing(OptionalCall::MeasureSpace).note_warning());
        assert!(missing(OptionalCall::ChangeMode).note_warning());
        let text = first.to_string();
        assert!(text.starts_with("the file system of /proc/self cannot say how"));
    }
}
