//! What can go wrong with the files of a share, told so that a person knows which file and what to do.

use crate::torrent::NameError;
use nix::errno::Errno;
use std::io;
use std::path::{Path, PathBuf};

/// Why files of a share cannot be opened, read, written or put in their place.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system has less room than a download needs, found before anything was written.
    #[error("{} needs {needed} bytes, only {free} free: make room and try again", .path.display())]
    NoSpace {
        /// The partial file or folder.
        path: PathBuf,
        /// Bytes the download still takes.
        needed: u64,
        /// Bytes free to this user.
        free: u64,
    },
    /// The disk or the user's quota is full.
    #[error("cannot {action} {}: the disk or the quota is full ({source}): make room and try again", .path.display())]
    DiskFull {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No permission, or a read-only file system.
    #[error("cannot {action} {}: {source}: change its permissions or choose another folder", .path.display())]
    Denied {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The final name is taken by something that this download may not replace.
    #[error("{} exists already: move it away or choose another destination", .0.display())]
    Exists(PathBuf),
    /// Another download holds the partial file or folder.
    #[error("{} is in use by another download: let that one end or cancel it", .0.display())]
    InUse(PathBuf),
    /// A partial file of another length, or with several names: not left by this download.
    #[error("{} is not of this download: move it away or choose another destination", .0.display())]
    Foreign(PathBuf),
    /// Two files of the share are one on this file system, as where it does not tell upper from lower case.
    #[error("{} and another file of the share cannot both exist on this file system: choose another destination", .0.display())]
    SameFile(PathBuf),
    /// A symbolic link inside a share or in the place of a partial file; it is not followed.
    #[error("{} is a symbolic link, which is not followed: put the file or folder itself there", .0.display())]
    Symlink(PathBuf),
    /// Something else than a regular file.
    #[error("{} is no regular file", .0.display())]
    NotAFile(PathBuf),
    /// Something else than a folder.
    #[error("{} is no folder", .0.display())]
    NotAFolder(PathBuf),
    /// It does not exist.
    #[error("{} is missing", .0.display())]
    Missing(PathBuf),
    /// A file is not as long as the torrent says.
    #[error("{} has {found} bytes where the torrent says {expected}: it was changed since", .path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// Its length on disk in bytes.
        found: u64,
        /// Its length in the torrent.
        expected: u64,
    },
    /// A whole file or folder that is not what the torrent says any more.
    #[error("{} was changed since it was whole: what is there now is not served; put it back, share it anew, or move it away and download it again", .0.display())]
    Changed(PathBuf),
    /// A file ended in the middle of a read: it was cut while it was shared.
    #[error("{} ends early: it was changed while it was shared", .0.display())]
    Cut(PathBuf),
    /// The partial file or folder was moved or replaced during the download.
    #[error("{} was moved or replaced during the download: start the download again", .0.display())]
    Moved(PathBuf),
    /// A name that cannot be a file's.
    #[error("no name for a download: {0}")]
    Name(#[from] NameError),
    /// Bytes that the share does not have.
    #[error("bytes {offset}+{length} of a share of {total}")]
    Outside {
        /// The first byte asked for.
        offset: u64,
        /// How many.
        length: u64,
        /// The length of the share.
        total: u64,
    },
    /// The caller asked to stop.
    #[error("stopped before the end")]
    Stopped,
    /// Anything else that the system says.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl StoreError {
    /// Tells the cases apart that a person deals with differently.
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_becomes_what_a_person_can_act_on() {
        let of = |errno: Errno| StoreError::io("write", Path::new("a/b"), errno);
        assert!(matches!(of(Errno::EDQUOT), StoreError::DiskFull { .. }));
        assert!(matches!(of(Errno::EROFS), StoreError::Denied { .. }));
        assert!(matches!(of(Errno::ENOENT), StoreError::Missing(_)));
        assert!(matches!(of(Errno::EIO), StoreError::Io { .. }));
        let message = of(Errno::ENOSPC).to_string();
        assert!(
            message.starts_with("cannot write a/b: the disk"),
            "{message}"
        );
        assert!(std::error::Error::source(&of(Errno::ENOSPC)).is_some());
    }
}
