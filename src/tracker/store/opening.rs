//! Loading a registry from its database.

use crate::storage::{DatabaseContents, DatabaseError};
use crate::tracker::registry::{
    DecodeError, LoadError, Origin, Registry, Row, RowId, VersionVector,
};
use ring::rand::{SecureRandom, SystemRandom};
use std::io;
use std::path::Path;

/// Why the registry cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database cannot be opened or read.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A stored row or version vector cannot be read.
    #[error("the registry in {folder} cannot be read: {source}; restore a backup of it")]
    Unreadable {
        /// The state folder.
        folder: String,
        /// What is wrong.
        source: DecodeError,
    },
    /// The rows contradict each other.
    #[error("the registry in {folder} is inconsistent: {source}; restore a backup of it")]
    Load {
        /// The state folder.
        folder: String,
        /// What is wrong.
        source: LoadError,
    },
    /// The system cannot start a thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
}

/// A fresh random origin.
pub(super) fn fresh_origin(folder: &Path) -> Result<Origin, OpenError> {
    let mut origin = Origin([0; 16]);
    let filled = SystemRandom::new().fill(&mut origin.0);
    let path = folder.to_owned();
    filled.map_err(|_| OpenError::Database(DatabaseError::NoRandomness(path)))?;
    Ok(origin)
}

pub(super) fn load(folder: &Path, stored: DatabaseContents) -> Result<Registry, OpenError> {
    let folder_text = || folder.display().to_string();
    let unreadable = |source| OpenError::Unreadable {
        folder: folder_text(),
        source,
    };
    let unloadable = |source| OpenError::Load {
        folder: folder_text(),
        source,
    };
    let versions = match stored.versions.as_slice() {
        [] => VersionVector::new(),
        bytes => VersionVector::decode(bytes).map_err(unreadable)?,
    };
    let mut rows = Vec::with_capacity(stored.rows.len());
    for (id, bytes) in &stored.rows {
        let row = Row::decode(bytes).map_err(unreadable)?;
        // A row that is stored under a wrong id is reported like a row that is stored twice.
        if row.id() != RowId(*id) {
            return Err(unloadable(LoadError::Twice(row.id())));
        }
        rows.push(row);
    }
    Registry::load(Origin(stored.origin), versions, rows).map_err(unloadable)
}
