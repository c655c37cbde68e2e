//! Files that an earlier download of the same torrent has completed. They are in the folder with
//! the final name. The present download adds more files to this folder. It does not move or write
//! the files in place.

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
    /// Finds the wanted files at the destination. Returns `None` if the torrent is a single file,
    /// or if nothing has the final name.
    ///
    /// # Errors
    /// When the folder cannot be read. [`StoreError::Exists`] names a file that has another length
    /// than in the torrent.
    pub(super) fn find(
        files: &FileLayout,
        destination: &Destination,
    ) -> Result<Option<Self>, StoreError> {
        let parent = destination.open_folder()?;
        match parent.entry(&destination.name)? {
            Some(_) if files.info().layout() == Layout::Folder => {}
            _ => return Ok(None),
        }
        let root = Root::of_folder(parent.folder(&destination.name)?);
        let mut stamps = vec![None; files.count()];
        for (index, stamp) in stamps.iter_mut().enumerate() {
            let Some(path) = files.path(index).filter(|_| files.is_wanted(index)) else {
                continue;
            };
            let file = match root.open_file(path, Access::Read) {
                Ok(file) => file,
                Err(StoreError::Missing(_)) => continue,
                Err(error) => return Err(error),
            };
            let full_path = || root.file_path(Some(path));
            let metadata = metadata(&file, full_path)?;
            if metadata.len() != files.length(index) {
                return Err(StoreError::Exists(full_path()));
            }
            *stamp = Some(FileStamp::of(&metadata));
        }
        Ok(Some(Self { root, stamps }))
    }

    /// The folder under the final name.
    pub(super) fn root(&self) -> &Root {
        &self.root
    }

    /// The stamp of a file when it was found. `None` if the file is not in place.
    pub(super) fn stamp(&self, index: usize) -> Option<FileStamp> {
        self.stamps.get(index).copied().flatten()
    }
}
