//! Opens files and folders below a folder without ever following a symbolic link.
//!
//! Each path component is opened relative to the folder before it (`openat` with `O_NOFOLLOW`).
//! Therefore a symbolic link that appears while a path is opened is not followed either. The paths
//! stored here are only for messages.

use super::StoreError;
use super::optional::{OptionalCall, sync_open_folder, warn_if_missing};
use crate::torrent::{FilePath, Layout};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::fs::{File, Metadata, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// For reading.
    Read,
    /// For reading and writing.
    Write,
    /// For reading and writing. The file is made if it does not exist.
    Create,
}

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder {
    file: Arc<File>,
    path: PathBuf,
}

impl Folder {
    /// Opens a folder that a user named. Follows symbolic links.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let file = File::options()
            .read(true)
            .custom_flags(OFlag::O_DIRECTORY.bits())
            .open(path)
            .map_err(|error| StoreError::io("open", path, error))?;
        let (file, path) = (Arc::new(file), path.to_owned());
        Ok(Self { file, path })
    }

    /// The same folder after it was renamed to `path`.
    pub(super) fn renamed_to(&self, path: PathBuf) -> Self {
        let file = Arc::clone(&self.file);
        Self { file, path }
    }

    /// The file descriptor.
    pub(super) fn as_file(&self) -> &Arc<File> {
        &self.file
    }

    /// The path, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The entry `name`, or `None`. A symbolic link is returned as a link.
    pub(super) fn entry(&self, name: &str) -> Result<Option<FileStat>, StoreError> {
        match fstatat(&self.file, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(StoreError::io("examine", &self.path.join(name), errno)),
        }
    }

    /// Opens the folder `name` in this folder.
    pub(super) fn folder(&self, name: &str) -> Result<Self, StoreError> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let path = self.path.join(name);
        match openat(&self.file, name, flags, Mode::empty()) {
            Ok(file) => Ok(Self {
                file: Arc::new(file.into()),
                path,
            }),
            // Linux also returns this error for a symbolic link to a folder.
            Err(Errno::ENOTDIR) if self.entry(name)?.is_some_and(|stat| is_link(&stat)) => {
                Err(StoreError::Symlink(path))
            }
            Err(errno) => Err(StoreError::io("open", &path, errno)),
        }
    }

    /// Opens the folder `name` in this folder. Makes it if it does not exist.
    pub(super) fn create_folder(&self, name: &str) -> Result<Self, StoreError> {
        match mkdirat(&self.file, name, Mode::from_bits_truncate(0o777)) {
            Ok(()) | Err(Errno::EEXIST) => self.folder(name),
            Err(errno) => Err(StoreError::io("make", &self.path.join(name), errno)),
        }
    }

    /// Makes the folder `name` in this folder. Returns `None` if anything has that name.
    pub(super) fn create_new_folder(&self, name: &str) -> Result<Option<Self>, StoreError> {
        match mkdirat(&self.file, name, Mode::from_bits_truncate(0o777)) {
            Ok(()) => self.folder(name).map(Some),
            Err(Errno::EEXIST) => Ok(None),
            Err(errno) => Err(StoreError::io("make", &self.path.join(name), errno)),
        }
    }

    /// Makes the regular file `name` in this folder, for reading and writing. Returns `None` if
    /// anything has that name.
    pub(super) fn create_new_file(&self, name: &str) -> Result<Option<File>, StoreError> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        match openat(&self.file, name, flags, Mode::from_bits_truncate(0o666)) {
            Ok(file) => Ok(Some(File::from(file))),
            Err(Errno::EEXIST) => Ok(None),
            Err(errno) => Err(StoreError::io("make", &self.path.join(name), errno)),
        }
    }

    /// Opens the regular file `name` in this folder.
    pub(super) fn file(&self, name: &str, access: Access) -> Result<File, StoreError> {
        // Without `O_NONBLOCK`, opening a pipe would wait for its other end.
        let always = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let flags = always
            | match access {
                Access::Read => OFlag::O_RDONLY,
                Access::Write => OFlag::O_RDWR,
                Access::Create => OFlag::O_RDWR | OFlag::O_CREAT,
            };
        let path = || self.path.join(name);
        let file = match openat(&self.file, name, flags, Mode::from_bits_truncate(0o666)) {
            Ok(file) => File::from(file),
            Err(Errno::EISDIR | Errno::ENXIO) => return Err(StoreError::NotAFile(path())),
            Err(errno) => return Err(StoreError::io("open", &path(), errno)),
        };
        require_regular(file, path)
    }

    /// Calls `act` with the folder that contains `path`, and the last component of `path`. With
    /// `create`, makes missing folders above that component.
    pub(super) fn with_parent<T>(
        &self,
        path: &FilePath,
        create: bool,
        act: impl FnOnce(&Self, &str) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let Some((name, folders)) = path.components().split_last() else {
            return Err(StoreError::NotAFile(self.path.clone()));
        };
        let mut at: Option<Self> = None;
        for folder in folders {
            let above = at.as_ref().unwrap_or(self);
            at = Some(if create {
                above.create_folder(folder.as_str())?
            } else {
                above.folder(folder.as_str())?
            });
        }
        act(at.as_ref().unwrap_or(self), name.as_str())
    }

    /// Removes the file `name`, if it exists.
    pub(super) fn remove_file(&self, name: &str) -> Result<(), StoreError> {
        match unlinkat(&self.file, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(StoreError::io("remove", &self.path.join(name), errno)),
        }
    }

    /// Removes the folder `name`, if it exists and is empty.
    pub(super) fn remove_empty_folder(&self, name: &str) -> Result<(), StoreError> {
        match unlinkat(&self.file, name, UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT | Errno::ENOTEMPTY | Errno::EEXIST) => Ok(()),
            Err(errno) => Err(StoreError::io("remove", &self.path.join(name), errno)),
        }
    }

    /// Makes the creations, renames and removals in this folder durable.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let synced = sync_open_folder(&self.file, &self.path);
        synced.map_err(|error| StoreError::io("sync", &self.path, error))
    }
}

/// Opens a file that a user named, for reading. Follows symbolic links.
pub(super) fn open_named_file(path: &Path) -> Result<File, StoreError> {
    let file = File::options()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)
        .map_err(|error| StoreError::io("open", path, error))?;
    require_regular(file, || path.to_owned())
}

/// For removals: ignores the error that something does not exist.
pub(super) fn ignore_missing(result: Result<(), StoreError>) -> Result<(), StoreError> {
    match result {
        Err(StoreError::Missing(_)) => Ok(()),
        other => other,
    }
}

/// Locks a file or folder for this process. The lock ends when the file is closed or unlocked.
pub(super) fn lock(file: &File, path: &Path) -> Result<(), StoreError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path.to_owned())),
        // Where files cannot be locked, the lock of the state folder must suffice.
        Err(TryLockError::Error(error)) => warn_if_missing(OptionalCall::Lock, path, Err(error))
            .map(drop)
            .map_err(|error| StoreError::io("lock", path, error)),
    }
}

/// Whether the lock of a file or folder is held elsewhere.
pub(super) fn is_locked(file: &File) -> bool {
    match file.try_lock_shared() {
        Ok(()) => file.unlock().is_err(),
        Err(error) => matches!(error, TryLockError::WouldBlock),
    }
}

/// Whether an entry is a regular file or a folder, as `layout` requires. Symbolic links are
/// neither.
pub(super) fn has_layout(entry: &FileStat, layout: Layout) -> bool {
    let kind = match layout {
        Layout::File => SFlag::S_IFREG,
        Layout::Folder => SFlag::S_IFDIR,
    };
    entry.st_mode & SFlag::S_IFMT.bits() == kind.bits()
}

/// Whether an entry is a symbolic link.
pub(super) fn is_link(stat: &FileStat) -> bool {
    stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFLNK.bits()
}

/// The metadata of an open file. `path` is for errors.
pub(super) fn metadata(file: &File, path: impl Fn() -> PathBuf) -> Result<Metadata, StoreError> {
    let metadata = file.metadata();
    metadata.map_err(|error| StoreError::io("examine", &path(), error))
}

fn require_regular(file: File, path: impl Fn() -> PathBuf) -> Result<File, StoreError> {
    match metadata(&file, &path)?.is_file() {
        true => Ok(file),
        false => Err(StoreError::NotAFile(path())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::path;
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_and_special_files_are_refused_for_every_access() {
        let temporary = tempfile::tempdir().unwrap();
        let top = temporary.path();
        std::fs::create_dir(top.join("folder")).unwrap();
        std::fs::write(top.join("folder/file"), "x").unwrap();
        symlink("folder", top.join("link")).unwrap();
        symlink("file", top.join("folder/leaf")).unwrap();
        symlink("nowhere", top.join("folder/dangling")).unwrap();
        nix::unistd::mkfifo(&top.join("pipe"), Mode::from_bits_truncate(0o600)).unwrap();
        let folder = Folder::open(top).unwrap();
        for access in [Access::Read, Access::Write, Access::Create] {
            let open = |name: &str| {
                folder.with_parent(&path(name), access == Access::Create, |folder, name| {
                    folder.file(name, access)
                })
            };
            assert!(open("folder/file").is_ok());
            for name in ["link/file", "folder/leaf", "folder/dangling", "link"] {
                assert!(matches!(open(name), Err(StoreError::Symlink(_))), "{name}");
            }
            for name in ["folder", "pipe"] {
                assert!(matches!(open(name), Err(StoreError::NotAFile(_))), "{name}");
            }
            let below_a_file = open("folder/file/x").unwrap_err();
            assert!(matches!(below_a_file, StoreError::NotAFolder(_)));
        }
        assert!(!top.join("nowhere").exists());
        assert!(Folder::open(&top.join("link")).is_ok());
    }
}
