//! What can go wrong with a tracker's database.

use crate::storage::FileError;
use crate::storage::backup::BackupError;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Why a database cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// There is none to be read.
    #[error("there is no {}: no tracker has kept its state in that folder", .0.display())]
    Missing(PathBuf),
    /// A folder, a device or suchlike.
    #[error("{} is no regular file: move it away or choose another folder", .0.display())]
    NotAFile(PathBuf),
    /// It is something else, or not even its beginning is left.
    #[error("{} is not a tracker's database, or its beginning is damaged; it was left as it is: restore it from a backup, or choose another folder", .0.display())]
    Foreign(PathBuf),
    /// It was written by another version of this program.
    #[error("{} has format {format}, which this version does not know; it was left as it is: use the version that wrote it, or a newer one", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// It was cut off or changed.
    #[error("{} is damaged ({what}); it was left as it is: restore it from a backup, or move it away to begin without accounts and groups", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// Another process has it open.
    #[error("{} is in use by another process: stop that one or choose another folder", .0.display())]
    InUse(PathBuf),
    /// The system gives no randomness for a new one.
    #[error("cannot make {}: the system gives no random numbers", .0.display())]
    NoRandomness(PathBuf),
    /// A write failed before: nothing more is written.
    #[error("an earlier write to {} failed, so nothing more is written: see to the disk, then start the tracker again", .0.display())]
    Failed(PathBuf),
    /// The system does not let it be read or written.
    #[error(transparent)]
    Io(#[from] FileError),
}

/// Why there is no database out of a backup.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// There is one already.
    #[error("{} exists: a restore begins in a folder without a registry; to go on with this one, leave --restore out", .0.display())]
    Exists(PathBuf),
    /// The backup cannot be used.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// It cannot be made.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// What went wrong, before it is said with which file.
#[derive(Debug)]
pub(super) enum Fault {
    Foreign,
    Format(u32),
    /// `redb` gave up by a panic.
    Panicked,
    Redb(redb::Error),
}

impl<E: Into<redb::Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Redb(error.into())
    }
}

impl Fault {
    pub(super) fn at(self, action: &'static str, path: &Path) -> DatabaseError {
        let path = path.to_owned();
        let damaged = |what: &str| DatabaseError::Damaged {
            path: path.clone(),
            what: what.to_owned(),
        };
        let error = match self {
            Self::Foreign => return DatabaseError::Foreign(path),
            Self::Format(format) => return DatabaseError::Format { path, format },
            Self::Panicked => return damaged("its pages contradict each other"),
            Self::Redb(error) => error,
        };
        match error {
            redb::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                damaged("it ends too early")
            }
            redb::Error::Io(source) => FileError::at(action, &path)(source).into(),
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
                DatabaseError::InUse(path)
            }
            redb::Error::PreviousIo
            | redb::Error::DatabaseClosed
            | redb::Error::LockPoisoned(_) => DatabaseError::Failed(path),
            redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TableIsNotMultimap(_)
            | redb::Error::TypeDefinitionChanged { .. }
            | redb::Error::TableDoesNotExist(_)
            | redb::Error::UpgradeRequired(_) => DatabaseError::Foreign(path),
            redb::Error::Corrupted(what) => damaged(&what),
            other => damaged(&other.to_string()),
        }
    }
}

/// Runs what may meet bytes that `redb` did not expect: it asserts some of what its checksums vouch for, and a file can
/// be made whose checksums are right. Nothing that was shared is used after a panic but to say that it failed.
pub(super) fn contain<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Fault::Panicked))
}
