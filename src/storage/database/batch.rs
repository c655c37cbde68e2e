//! What one commit changes.

use std::collections::BTreeMap;
use std::fmt;

/// Changes that become durable together. Of several changes of one row or blob the last one counts.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Batch {
    pub(super) rows: BTreeMap<[u8; 16], Option<Vec<u8>>>,
    pub(super) blobs: BTreeMap<[u8; 20], Option<Vec<u8>>>,
    pub(super) versions: Option<Vec<u8>>,
    pub(super) origin: Option<[u8; 16]>,
    pub(super) caught_up: bool,
}

impl Batch {
    /// No change.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a row, in place of one of that id if there is one.
    pub fn put_row(&mut self, id: [u8; 16], row: Vec<u8>) {
        self.rows.insert(id, Some(row));
    }

    /// Removes a row, if there is one.
    pub fn remove_row(&mut self, id: [u8; 16]) {
        self.rows.insert(id, None);
    }

    /// Writes the blob of an info-hash, in place of one that is there.
    pub fn put_blob(&mut self, info_hash: [u8; 20], blob: Vec<u8>) {
        self.blobs.insert(info_hash, Some(blob));
    }

    /// Removes the blob of an info-hash, if there is one.
    pub fn remove_blob(&mut self, info_hash: [u8; 20]) {
        self.blobs.insert(info_hash, None);
    }

    /// Writes the version vector; left out, the one before stays.
    pub fn put_versions(&mut self, versions: Vec<u8>) {
        self.versions = Some(versions);
    }

    /// Writes the origin; left out, the one before stays.
    pub fn put_origin(&mut self, origin: [u8; 16]) {
        self.origin = Some(origin);
    }

    /// Says that the database, if it was restored from a backup, has caught up since.
    pub fn caught_up(&mut self) {
        self.caught_up = true;
    }
}

/// Rows hold what nobody should see in a log: only their number is shown.
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
