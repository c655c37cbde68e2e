//! An older version of the share of a download, at the same place on this machine.

use super::Store;
use crate::torrent::{Info, Overlap, PieceIndex, is_kept_piece};

/// The files of an older version of a share, complete or not, and what they have in common with the
/// version that a download fetches.
#[derive(Debug)]
pub struct OldVersion {
    store: Store,
    overlap: Overlap,
}

impl OldVersion {
    /// The older version with these files. If they are sealed (see [`Store::seal`]), the files that
    /// still have their stamps count as verified.
    pub fn new(store: Store, new: &Info) -> Self {
        let overlap = Overlap::new(store.info(), new);
        Self { store, overlap }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// See [`Overlap::origin`]. `None` for a file that was not wanted.
    pub(super) fn origin(&self, file: usize) -> Option<usize> {
        self.overlap.origin(file).filter(|it| self.has_file(*it))
    }

    /// See [`Overlap::source`]. `None` for a file that was not wanted.
    pub(super) fn source(&self, file: usize) -> Option<usize> {
        self.overlap.source(file).filter(|it| self.has_file(*it))
    }

    /// See [`Overlap::equal_piece`]. `None` for a piece that was not needed.
    pub(super) fn equal_piece(&self, piece: PieceIndex) -> Option<PieceIndex> {
        let equal = self.overlap.equal_piece(piece)?;
        self.store.layout().needs(equal).then_some(equal)
    }

    fn has_file(&self, index: usize) -> bool {
        self.store.layout().is_wanted(index)
    }

    /// Whether a piece of the download is good without being hashed: all its files are linked to
    /// verified files of this very version, and its bytes are those of a piece of this version.
    pub fn has_verified(&self, new: &Store, piece: PieceIndex) -> bool {
        let infos = (&**self.store.info(), &**new.info());
        let is_same_file = |file| {
            let linked = new.linked_files().stamp(file);
            let origin = self.origin(file);
            // The files of a version that is not verified have no stamps.
            linked.is_some() && linked == origin.and_then(|it| self.store.sealed_stamp(it))
        };
        is_kept_piece(infos, &self.overlap, is_same_file, piece)
    }
}
