//! Errors of a tracker's database.

use crate::storage::FileError;
use crate::storage::backup::BackupError;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Why a database cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The file does not exist.
    #[error("there is no {}: no tracker has stored its data in that folder", .0.display())]
    Missing(PathBuf),
    /// It is a folder, a device or another special file.
    #[error("{} is not a regular file: move it away or choose another folder", .0.display())]
    NotAFile(PathBuf),
    /// It is another kind of file, or its beginning is damaged.
    #[error(
        "{} is not a tracker's database, or its beginning is damaged; the file was not changed: \
         restore it from a backup, or choose another folder",
        .0.display()
    )]
    Foreign(PathBuf),
    /// Another version of this program wrote it.
    #[error(
        "{} has format {format}, which this version does not know; the file was not changed: use \
         the version that wrote it, or a newer one",
        .path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// The format that it has.
        format: u32,
    },
    /// It was cut off or changed.
    #[error(
        "{} is damaged ({what}); the file was not changed: restore it from a backup, or move it \
         away to start without accounts and groups",
        .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Another process has the file open.
    #[error(
        "{} is in use by another process: stop that one or choose another folder",
        .0.display()
    )]
    InUse(PathBuf),
    /// The system provides no random numbers for a new database.
    #[error("cannot make {}: the system provides no random numbers", .0.display())]
    NoRandomness(PathBuf),
    /// An earlier write failed, and nothing is read or written until it has been repeated.
    #[error("an earlier write to {} failed; it is repeated until the disk works again", .0.display())]
    Failed(PathBuf),
    /// After a failed write, the file has another state than that write can have left.
    #[error(
        "{} is another database than the one that this tracker had open: put that one back, or \
         start the tracker again",
        .0.display()
    )]
    Replaced(PathBuf),
    /// The file cannot be read or written.
    #[error(transparent)]
    Io(#[from] FileError),
}

/// Why a database cannot be restored from a backup.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The folder already has a database.
    #[error(
        "{} exists: a restore needs a folder without a registry; to continue with this registry, \
         leave --restore out",
        .0.display()
    )]
    Exists(PathBuf),
    /// The backup cannot be used.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The database cannot be made.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// A failure without the path, which [`Fault::at`] adds.
#[derive(Debug)]
pub(super) enum Fault {
    Foreign,
    Format(u32),
    /// `redb` panicked.
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

/// Runs `work` and turns a panic into an error. `redb` panics on some files whose checksums are
/// right but whose contents are not consistent; such a file can be made on purpose. After a panic
/// in a commit, the database is opened again before it is used.
pub(super) fn catch_panics<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Fault::Panicked))
}
