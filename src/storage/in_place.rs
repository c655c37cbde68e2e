//! Files of a download that are under the final name already: a finished choice of files to which
//! more are added. They stay where they are and are not written.

use super::layout::FileLayout;
use super::root::Root;
use super::tree::{Access, metadata};
use super::{Place, Stamp, StoreError};
use crate::torrent::Layout;

/// The files that are there.
#[derive(Debug)]
pub struct InPlace {
    root: Root,
    /// The stamp of each file when it was found; none for a file that is not there.
    stamps: Vec<Option<Stamp>>,
}

impl InPlace {
    /// The wanted files at a place; none if it has no folder.
    ///
    /// # Errors
    /// When the folder cannot be read; [`StoreError::Exists`] names a file that has another length
    /// than the wanted one.
    pub(super) fn find(layout: &FileLayout, place: &Place) -> Result<Option<Self>, StoreError> {
        let parent = place.open_folder()?;
        match parent.entry(&place.name)? {
            Some(_) if layout.info().layout() == Layout::Folder => {}
            _ => return Ok(None),
        }
        let root = Root::of_folder(parent.folder(&place.name)?);
        let mut stamps = vec![None; layout.count()];
        for (index, stamp) in stamps.iter_mut().enumerate() {
            let Some(path) = layout.path(index).filter(|_| layout.is_wanted(index)) else {
                continue;
            };
            let file = match root.open_file(path, Access::Read) {
                Ok(file) => file,
                Err(StoreError::Missing(_)) => continue,
                Err(error) => return Err(error),
            };
            let path = || root.file_path(Some(path));
            let metadata = metadata(&file, path)?;
            if metadata.len() != layout.length(index) {
                return Err(StoreError::Exists(path()));
            }
            *stamp = Some(Stamp::of(&metadata));
        }
        Ok(Some(Self { root, stamps }))
    }

    /// The folder under the final name.
    pub(super) fn root(&self) -> &Root {
        &self.root
    }

    /// The stamp of a file when it was found; none if it was not there.
    pub(super) fn stamp(&self, index: usize) -> Option<Stamp> {
        self.stamps.get(index).copied().flatten()
    }
}
