//! The files of a download that are already under the final name: a finished choice of files, to
//! which the download adds more. These files are not moved and not written.

use super::layout::FileLayout;
use super::root::Root;
use super::tree::{Access, metadata};
use super::{Destination, FileStamp, StoreError};
use crate::torrent::Layout;

/// The files that are in place.
#[derive(Debug)]
pub struct InPlace {
    root: Root,
    /// The stamp of each file when it was found. `None` for a file that is not in place.
    stamps: Vec<Option<FileStamp>>,
}

impl InPlace {
    /// Finds the wanted files at the destination. Returns `None` if there is no folder under the
    /// final name.
    ///
    /// # Errors
    /// When the folder cannot be read. [`StoreError::Exists`] names a file whose length is not that
    /// of the wanted file.
    pub(super) fn find(
        layout: &FileLayout,
        destination: &Destination,
    ) -> Result<Option<Self>, StoreError> {
        let parent = destination.open_folder()?;
        match parent.entry(&destination.name)? {
            Some(_) if layout.info().layout() == Layout::Folder => {}
            _ => return Ok(None),
        }
        let root = Root::of_folder(parent.folder(&destination.name)?);
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
            *stamp = Some(FileStamp::of(&metadata));
        }
        Ok(Some(Self { root, stamps }))
    }

    /// The folder under the final name.
    pub(super) fn root(&self) -> &Root {
        &self.root
    }

    /// The stamp of a file when it was found. `None` if it is not in place.
    pub(super) fn stamp(&self, index: usize) -> Option<FileStamp> {
        self.stamps.get(index).copied().flatten()
    }
}
