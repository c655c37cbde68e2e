//! The changes of one commit.

use std::collections::BTreeMap;
use std::fmt;

/// Changes that become durable together. The last change of a row or blob wins.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// The new bytes of each row. `None` removes the row.
    pub(super) rows: BTreeMap<[u8; 16], Option<Vec<u8>>>,
    /// The new bytes of each blob. `None` removes the blob.
    pub(super) blobs: BTreeMap<[u8; 20], Option<Vec<u8>>>,
    pub(super) versions: Option<Vec<u8>>,
    pub(super) origin: Option<[u8; 16]>,
    /// See [`Batch::mark_caught_up`].
    pub(super) caught_up: bool,
}

impl Batch {
    /// A batch without changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a row. Replaces an existing row with this id.
    pub fn put_row(&mut self, id: [u8; 16], row: Vec<u8>) {
        self.rows.insert(id, Some(row));
    }

    /// Removes a row, if it exists.
    pub fn remove_row(&mut self, id: [u8; 16]) {
        self.rows.insert(id, None);
    }

    /// Writes a blob. Replaces an existing blob with this info-hash.
    pub fn put_blob(&mut self, info_hash: [u8; 20], blob: Vec<u8>) {
        self.blobs.insert(info_hash, Some(blob));
    }

    /// Removes a blob, if it exists.
    pub fn remove_blob(&mut self, info_hash: [u8; 20]) {
        self.blobs.insert(info_hash, None);
    }

    /// Replaces the version vector. Without this call it stays.
    pub fn put_versions(&mut self, versions: Vec<u8>) {
        self.versions = Some(versions);
    }

    /// Replaces the origin. Without this call it stays.
    pub fn put_origin(&mut self, origin: [u8; 16]) {
        self.origin = Some(origin);
    }

    /// Records that a database that was restored from a backup has caught up with its cluster.
    pub fn mark_caught_up(&mut self) {
        self.caught_up = true;
    }
}

/// Shows how many rows and blobs there are, but not their bytes: rows contain secrets that do not
/// belong in a log.
impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("rows", &self.rows.len())
            .field("blobs", &self.blobs.len())
            .field("versions", &self.versions.is_some())
            .field("caught_up", &self.caught_up)
            .finish()
    }
}
