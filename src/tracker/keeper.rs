//! The registry of one tracker with the database below it: what it says is durable.
//!
//! In scope: opening, reading, writing one operation at a time. A write is in the database, synced, before anything
//! here shows it; after a failed commit nothing is written any more. Out of scope: who may do what, and other trackers.
//!
//! Locks: `writing`, then `registry`. `writing` is held over the commit, as that is what puts writes in order; whoever reads
//! takes `registry` alone, which is never held over I/O.

use super::registry::{
    DecodeError, LoadError, Origin, Refusal, Registry, Row, RowId, Update, VersionVector,
};
use crate::storage::{Batch, Database, DatabaseError, Stored};
use crate::torrent::{Info, InfoHash};
use std::path::Path;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

/// A registry and where it lasts.
#[derive(Debug)]
pub struct Keeper {
    writing: Mutex<()>,
    registry: RwLock<Registry>,
    database: Database,
}

/// Why the registry cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database cannot be opened or read.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A stored row or version vector cannot be read.
    #[error("the registry in {folder} cannot be read: {source}; restore a copy of it")]
    Row {
        /// The folder it lies in.
        folder: String,
        /// What is wrong.
        source: DecodeError,
    },
    /// The rows contradict each other.
    #[error("the registry in {folder}: {source}; restore a copy of it")]
    Load {
        /// The folder it lies in.
        folder: String,
        /// What is wrong.
        source: LoadError,
    },
}

/// Why something was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A rule forbids it; nothing was changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It could not be made durable. Whether it was is known when the tracker is started again.
    #[error(transparent)]
    NotSaved(#[from] DatabaseError),
}

impl Keeper {
    /// Opens the registry in a state folder, and makes an empty one if there is none.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let (database, stored) = Database::open(folder)?;
        Ok(Self {
            writing: Mutex::new(()),
            registry: RwLock::new(load(folder, stored)?),
            database,
        })
    }

    /// The registry in the state folder of a tracker that does not run; nothing is changed there.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn look(folder: &Path) -> Result<Registry, OpenError> {
        load(folder, Database::read(folder)?)
    }

    /// Looks at the registry as it is now.
    pub(super) fn read<T>(&self, look: impl FnOnce(&Registry) -> T) -> T {
        look(&self.registry.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Carries out one operation; when it returns, the outcome is durable.
    pub(super) fn write(
        &self,
        operation: impl FnOnce(&Registry, Duration) -> Result<Update, Refusal>,
    ) -> Result<(), WriteError> {
        self.write_with(None, operation)
    }

    /// Carries out one operation whose rows name an info dictionary, which lasts together with them.
    pub(super) fn write_with(
        &self,
        info: Option<&Info>,
        operation: impl FnOnce(&Registry, Duration) -> Result<Update, Refusal>,
    ) -> Result<(), WriteError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let update = self.read(|registry| operation(registry, since_1970()))?;
        let mut batch = Batch::new();
        for row in update.rows() {
            batch.put_row(row.id().0, row.encode());
        }
        if let Some(info) = info {
            batch.put_blob(info.info_hash().0, info.raw().to_vec());
        }
        batch.put_versions(update.versions().encode());
        self.database.commit(batch)?;
        let mut registry = self
            .registry
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Err(stale) = registry.apply(update) {
            // Writes are made one at a time: nothing came in between.
            log::error!("{stale}");
        }
        Ok(())
    }

    /// The info dictionary of that info-hash, if some row named it.
    pub(super) fn info(&self, info_hash: InfoHash) -> Result<Option<Vec<u8>>, DatabaseError> {
        self.database.blob(&info_hash.0)
    }

    /// Drops rows that say nothing any more and that all `others` have; gives how many.
    pub(super) fn tidy(&self, others: &[VersionVector]) -> Result<usize, DatabaseError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.read(|registry| registry.droppable(since_1970(), others));
        if old.is_empty() {
            return Ok(0);
        }
        let mut batch = Batch::new();
        for id in &old {
            batch.remove_row(id.0);
        }
        self.database.commit(batch)?;
        let mut registry = self
            .registry
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        registry.forget(&old);
        Ok(old.len())
    }
}

/// The wall clock; before 1970 it stands still.
pub(super) fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

fn load(folder: &Path, stored: Stored) -> Result<Registry, OpenError> {
    let shown = || folder.display().to_string();
    let unreadable = |source| OpenError::Row {
        folder: shown(),
        source,
    };
    let versions = match stored.versions.as_slice() {
        [] => VersionVector::new(),
        bytes => VersionVector::decode(bytes).map_err(unreadable)?,
    };
    let mut rows = Vec::with_capacity(stored.rows.len());
    for (id, bytes) in &stored.rows {
        let row = Row::decode(bytes).map_err(unreadable)?;
        if row.id() != RowId(*id) {
            return Err(OpenError::Load {
                folder: shown(),
                source: LoadError::Twice(row.id()),
            });
        }
        rows.push(row);
    }
    Registry::load(Origin(stored.origin), versions, rows).map_err(|source| OpenError::Load {
        folder: shown(),
        source,
    })
}
