//! Errors of the files of a share. Each message names the file and says what to do.

use super::RecordError;
use crate::system::cause;
use crate::torrent::NameError;
use nix::errno::Errno;
use std::io;
use std::path::{Path, PathBuf};

/// Why files of a share cannot be opened, read, written or renamed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system has less free space than a download needs. Nothing was written.
    #[error("{} needs {needed} bytes, only {free} free: make room and try again", .path.display())]
    NoSpace {
        /// The partial file or folder.
        path: PathBuf,
        /// Bytes that the download still needs.
        needed: u64,
        /// Bytes that this user may still use.
        free: u64,
    },
    /// The disk or the user's quota is full.
    #[error("cannot {action} {}: {}", .path.display(), cause(.source))]
    DiskFull {
        /// The operation, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error that the system returned.
        source: io::Error,
    },
    /// There is no permission, or the file system is read-only.
    #[error(
        "cannot {action} {}: {}: change its permissions or choose another folder",
        .path.display(),
        cause(.source)
    )]
    Denied {
        /// The operation, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error that the system returned.
        source: io::Error,
    },
    /// There is no permission to open or search the folder of a download, or a folder above it. So
    /// nothing is known of the files in it. An empty mount point often has such permissions.
    #[error(
        "cannot use the folder {}: {}: change its permissions or choose another folder",
        .path.display(),
        cause(.source)
    )]
    ClosedFolder {
        /// The folder.
        path: PathBuf,
        /// The error that the system returned.
        source: io::Error,
    },
    /// The final name is taken by a file or folder that this download may not replace.
    #[error("{} exists already: move it away or choose another destination", .0.display())]
    Exists(PathBuf),
    /// A crash has interrupted a replacement, and now something else has the final name.
    #[error(
        "{} exists, and the folder that was there before is now {}: move one of them away",
        .path.display(), .aside.display()
    )]
    SetAside {
        /// The final path.
        path: PathBuf,
        /// Where the replaced folder is.
        aside: PathBuf,
    },
    /// Another download has locked the partial file or folder.
    #[error("{} is in use by another download: wait until it ends, or cancel it", .0.display())]
    InUse(PathBuf),
    /// This download did not make the file or folder: no record names it, or it has a wrong length
    /// or hard links.
    #[error(
        "{} does not belong to this download: move it away or choose another destination",
        .0.display()
    )]
    Foreign(PathBuf),
    /// Two files of the share are the same file on this file system, for example because it ignores
    /// the difference between upper and lower case.
    #[error(
        "{} and another file of the share cannot both exist on this file system: choose another \
         destination",
        .0.display()
    )]
    SameFile(PathBuf),
    /// A symbolic link inside a share or instead of a partial file. Links are not followed.
    #[error(
        "{} is a symbolic link, which is not followed: put the file or folder itself there",
        .0.display()
    )]
    Symlink(PathBuf),
    /// It is not a regular file.
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// It is not a folder.
    #[error("{} is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// It does not exist.
    #[error("{} is missing", .0.display())]
    Missing(PathBuf),
    /// A file does not have the length that the torrent says.
    #[error("{} has {found} bytes where the torrent says {expected}", .path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// Its length on disk in bytes.
        found: u64,
        /// Its length in the torrent.
        expected: u64,
    },
    /// A file or folder that was complete has changed.
    #[error(
        "{} was changed after it was complete, so it is not served: put the old content back, \
         share it as a new share, or move it away and download it again",
        .0.display()
    )]
    Changed(PathBuf),
    /// A file of a version of a share was changed by somebody, and another version is to take the
    /// place of that version.
    #[error(
        "{} was changed here since its version was complete: put the old content back, or copy it \
         to another place and repeat the download with --force, which replaces it",
        .0.display()
    )]
    LocallyChanged(PathBuf),
    /// A file of a version of a share was removed by somebody, and another version is to take the
    /// place of that version.
    #[error(
        "{} was removed here since its version was complete: put it back, or repeat the download \
         with --force, which replaces all files of the version",
        .0.display()
    )]
    LocallyRemoved(PathBuf),
    /// A file that belongs to no version of a share, at a path of the version that is to take the
    /// place of another one.
    #[error(
        "{} belongs to no version of the share, and the new version has a file there: move it \
         away, or repeat the download with --force, which replaces it",
        .0.display()
    )]
    OfNoVersion(PathBuf),
    /// Something else has the final name of a download that was never complete.
    #[error(
        "{} exists and is not what this download fetches: move it away and start the download again",
        .0.display()
    )]
    OtherContent(PathBuf),
    /// A file ended during a read: someone truncated it while it was shared.
    #[error("{} ends early: it was changed while it was shared", .0.display())]
    Cut(PathBuf),
    /// A crash came when the download was about to be complete. Now it is checked and completed.
    #[error("{} is being checked after a crash: try again when that is done", .0.display())]
    NotChecked(PathBuf),
    /// The partial file or folder was moved or replaced during the download.
    #[error("{} was moved or replaced during the download: start the download again", .0.display())]
    Moved(PathBuf),
    /// The name of a download is not a valid file name.
    #[error("a download cannot have this name: {0}")]
    Name(#[from] NameError),
    /// The record of the download cannot be written.
    #[error(transparent)]
    Record(#[from] Box<RecordError>),
    /// The share does not have these bytes.
    #[error("bytes {offset}+{length} are outside a share of {total} bytes")]
    Outside {
        /// The first byte that was requested.
        offset: u64,
        /// The number of bytes that were requested.
        length: u64,
        /// The length of the share.
        total: u64,
    },
    /// The caller asked to stop.
    #[error("stopped before the end")]
    Stopped,
    /// Any other error of the system.
    #[error("cannot {action} {}: {}", .path.display(), cause(.source))]
    Io {
        /// The operation, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error that the system returned.
        source: io::Error,
    },
}

impl StoreError {
    /// Whether the file or its folder is not there, or its disk does not answer: it may come back.
    pub fn is_absence(&self) -> bool {
        let errno = match self {
            Self::Missing(_) | Self::ClosedFolder { .. } => return true,
            Self::Io { source, .. } => source.raw_os_error().map(Errno::from_raw),
            _ => None,
        };
        matches!(
            errno,
            Some(
                Errno::ENOTCONN
                    | Errno::ESTALE
                    | Errno::EIO
                    | Errno::ENODEV
                    | Errno::ENXIO
                    | Errno::ETIMEDOUT
                    | Errno::EHOSTDOWN
            )
        )
    }

    /// Whether the disk or the quota is full. Room may be made.
    pub fn is_full(&self) -> bool {
        match self {
            Self::NoSpace { .. } | Self::DiskFull { .. } => true,
            Self::Record(error) => error.is_full(),
            _ => false,
        }
    }

    /// Whether the files on disk do not match the share. A missing file counts as a mismatch.
    pub fn is_mismatch(&self) -> bool {
        matches!(
            self,
            Self::Length { .. }
                | Self::Changed(_)
                | Self::Missing(_)
                | Self::NotAFile(_)
                | Self::NotAFolder(_)
                | Self::Symlink(_)
        )
    }

    /// Chooses the variant by the system's error, so that the message can say what to do.
    pub(super) fn io(action: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        let (source, path) = (source.into(), path.to_owned());
        match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOSPC | Errno::EDQUOT) => Self::DiskFull {
                action,
                path,
                source,
            },
            Some(Errno::EACCES | Errno::EPERM | Errno::EROFS) => Self::Denied {
                action,
                path,
                source,
            },
            Some(Errno::ENOENT) => Self::Missing(path),
            Some(Errno::ELOOP) => Self::Symlink(path),
            Some(Errno::ENOTDIR) => Self::NotAFolder(path),
            _ => Self::Io {
                action,
                path,
                source,
            },
        }
    }

    /// Converts an error about a folder: "permission denied" (`EACCES`) becomes
    /// [`StoreError::ClosedFolder`].
    pub(super) fn into_folder_error(self) -> Self {
        match self {
            Self::Denied { path, source, .. }
                if source.raw_os_error().map(Errno::from_raw) == Some(Errno::EACCES) =>
            {
                Self::ClosedFolder { path, source }
            }
            other => other,
        }
    }

    /// Whether the process or the system has no free descriptor.
    pub(super) fn lacks_descriptor(&self) -> bool {
        let errno = match self {
            Self::Io { source, .. } => source.raw_os_error().map(Errno::from_raw),
            _ => None,
        };
        matches!(errno, Some(Errno::EMFILE | Errno::ENFILE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_become_errors_that_a_user_can_act_on() {
        let of = |errno: Errno| StoreError::io("write", Path::new("a/b"), errno);
        assert!(matches!(of(Errno::EDQUOT), StoreError::DiskFull { .. }));
        assert!(of(Errno::ENOSPC).is_full() && of(Errno::EDQUOT).is_full());
        assert!(!of(Errno::EFBIG).is_full() && !of(Errno::EIO).is_full());
        assert!(matches!(of(Errno::EROFS), StoreError::Denied { .. }));
        assert!(matches!(of(Errno::ENOENT), StoreError::Missing(_)));
        assert!(matches!(of(Errno::EIO), StoreError::Io { .. }));
        // If the system denies opening a file, the file exists. If it denies opening a folder,
        // nothing is known of the files in the folder.
        assert!(!of(Errno::EACCES).is_absence());
        assert!(of(Errno::EACCES).into_folder_error().is_absence());
        assert!(!of(Errno::EROFS).into_folder_error().is_absence());
        let message = of(Errno::ENOSPC).to_string();
        assert!(
            message.starts_with("cannot write a/b: the disk"),
            "{message}"
        );
        assert!(std::error::Error::source(&of(Errno::ENOSPC)).is_some());
    }
}
