//! One file of a state folder with a bencoded dictionary that has a version: read and written as a
//! whole, with mode 0600.

use super::{FileError, whole_file};
use crate::bencode::{Dictionary, Item, KeyOrder, Value};
use std::path::{Path, PathBuf};

/// The version of the formats that are kept in this way. No other version is read.
const VERSION: i64 = 1;

/// Why a kept file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum KeptFileError {
    /// This program did not write the file, or it was changed.
    #[error("{} is damaged", .0.display())]
    Damaged(PathBuf),
    /// Another version of this program wrote the file.
    #[error("{} has version {version}, but this program reads version {VERSION}", .path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version of its format.
        version: i64,
    },
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] FileError),
}

/// A file that is read and written as a whole.
#[derive(Clone, Debug)]
pub(super) struct KeptFile {
    path: PathBuf,
    max_length: usize,
}

impl KeptFile {
    /// The file of this name in a state folder. Only this process may use the folder. A file of
    /// more than `max_length` bytes is damaged.
    pub(super) fn new(folder: &Path, name: &str, max_length: usize) -> Self {
        Self {
            path: folder.join(name),
            max_length,
        }
    }

    /// What `decode` makes of the file. `None` if there is no file.
    ///
    /// # Errors
    /// See [`KeptFileError`]. The file is not changed.
    pub(super) fn load<T>(
        &self,
        decode: impl Fn(&Dictionary<'_>) -> Option<T>,
    ) -> Result<Option<T>, KeptFileError> {
        let read = whole_file::read(&self.path, self.max_length as u64);
        let Some(bytes) = read.map_err(FileError::at("read", &self.path))? else {
            return Ok(None);
        };
        let damaged = || KeptFileError::Damaged(self.path.clone());
        let value = Value::parse(&bytes, KeyOrder::Sorted).map_err(|_| damaged())?;
        let entries = value.dictionary().ok_or_else(damaged)?;
        match entries.value("version").and_then(Value::integer) {
            Some(VERSION) => decode(entries).ok_or_else(damaged).map(Some),
            Some(version) => Err(KeptFileError::Version {
                path: self.path.clone(),
                version,
            }),
            None => Err(damaged()),
        }
    }

    /// Replaces the file. The new content survives a crash. `entries` are those of the dictionary
    /// without its version.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn store<'a>(
        &self,
        entries: impl IntoIterator<Item = (&'a str, Item<'a>)>,
    ) -> Result<(), FileError> {
        let version = [("version", Item::Integer(VERSION))];
        let bytes = Item::dictionary(entries.into_iter().chain(version)).encode();
        whole_file::replace(&self.path, &bytes).map_err(FileError::at("write", &self.path))
    }
}
