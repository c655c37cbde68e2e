//! The file or folder of a share. Its files are opened from here.
//!
//! The file or folder of a download stays open, because it is locked and is renamed in the end. The
//! file or folder of a finished share is opened by its path each time. So descriptors do not limit
//! the number of shares.

use super::StoreError;
use super::tree::{Access, Folder, metadata, open_named_file};
use crate::torrent::{FilePath, Layout};
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file of a share, or the folder that contains its files.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    base: Base,
}

#[derive(Debug)]
enum Base {
    File(Arc<File>),
    Folder(Folder),
    /// Opened whenever it is needed.
    Closed(Layout),
}

/// The path under which an open file or folder is now.
fn current_path(file: &File) -> Option<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()
}

impl Root {
    /// The file or folder at a path that a user named, for reading. A symbolic link is followed.
    /// This function opens the file or folder only to check that this is possible: it is opened
    /// again whenever it is needed.
    pub(super) fn named(layout: Layout, path: &Path) -> Result<Self, StoreError> {
        let (base, path) = (Base::Closed(layout), path.to_owned());
        let root = Self { path, base };
        root.handle()?;
        Ok(root)
    }

    /// Opens the file or folder `name` for writing. Does not follow links.
    pub(super) fn open_to_write(
        parent: &Folder,
        name: &str,
        layout: Layout,
    ) -> Result<Self, StoreError> {
        let base = match layout {
            Layout::File => Base::File(Arc::new(parent.file(name, Access::Write)?)),
            Layout::Folder => Base::Folder(parent.folder(name)?),
        };
        let path = parent.path().join(name);
        Ok(Self { path, base })
    }

    /// Makes the file or folder `name`, for writing. Returns `None` if anything has that name.
    pub(super) fn create_new(
        parent: &Folder,
        name: &str,
        layout: Layout,
    ) -> Result<Option<Self>, StoreError> {
        let base = match layout {
            Layout::File => {
                let file = parent.create_new_file(name)?;
                file.map(|file| Base::File(Arc::new(file)))
            }
            Layout::Folder => parent.create_new_folder(name)?.map(Base::Folder),
        };
        let path = parent.path().join(name);
        Ok(base.map(|base| Self { path, base }))
    }

    /// The root of a share whose folder is open.
    pub(super) fn of_folder(folder: Folder) -> Self {
        let path = folder.path().to_owned();
        let base = Base::Folder(folder);
        Self { path, base }
    }

    /// The same file or folder after it was renamed to `path`.
    pub(super) fn renamed_to(&self, path: PathBuf) -> Self {
        let base = match &self.base {
            Base::File(file) => Base::File(Arc::clone(file)),
            Base::Folder(folder) => Base::Folder(folder.renamed_to(path.clone())),
            Base::Closed(layout) => Base::Closed(*layout),
        };
        Self { path, base }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the share is a folder.
    pub(super) fn is_folder(&self) -> bool {
        matches!(self.base, Base::Folder(_) | Base::Closed(Layout::Folder))
    }

    /// The open folder. `None` if the share is a single file, or is opened whenever it is needed.
    pub(super) fn folder(&self) -> Option<&Folder> {
        match &self.base {
            Base::File(_) | Base::Closed(_) => None,
            Base::Folder(folder) => Some(folder),
        }
    }

    /// The open file, if the share is a single file that stays open.
    pub(super) fn held_file(&self) -> Option<&Arc<File>> {
        match &self.base {
            Base::File(file) => Some(file),
            Base::Folder(_) | Base::Closed(_) => None,
        }
    }

    /// The file or folder itself. Opens it, unless it stays open.
    pub(super) fn handle(&self) -> Result<Arc<File>, StoreError> {
        Ok(match &self.base {
            Base::File(file) => Arc::clone(file),
            Base::Folder(folder) => Arc::clone(folder.as_file()),
            Base::Closed(Layout::File) => Arc::new(open_named_file(&self.path)?),
            Base::Closed(Layout::Folder) => Arc::clone(Folder::open(&self.path)?.as_file()),
        })
    }

    /// The path of a file of the share. `path` is ignored if the share is a single file.
    pub(super) fn file_path(&self, path: Option<&FilePath>) -> PathBuf {
        match path.filter(|_| self.is_folder()) {
            Some(path) => self.path.join(path.to_path()),
            None => self.path.clone(),
        }
    }

    /// Opens a file of the share. A single file that stays open is not opened again.
    pub(super) fn open_file(
        &self,
        path: &FilePath,
        access: Access,
    ) -> Result<Arc<File>, StoreError> {
        let create = access == Access::Create;
        let open = |folder: &Folder, name: &str| folder.file(name, access);
        let open_in = |folder: &Folder| folder.with_parent(path, create, open).map(Arc::new);
        match &self.base {
            Base::File(_) | Base::Closed(Layout::File) => self.handle(),
            Base::Folder(folder) => open_in(folder),
            Base::Closed(Layout::Folder) => open_in(&Folder::open(&self.path)?),
        }
    }

    /// Opens a file of a share whose links are followed, for reading.
    pub(super) fn open_linked_file(&self, path: &FilePath) -> Result<Arc<File>, StoreError> {
        match self.is_folder() {
            true => open_named_file(&self.file_path(Some(path))).map(Arc::new),
            false => self.open_file(path, Access::Read),
        }
    }

    /// Whether the entry `name` in `parent` is this file or folder.
    pub(super) fn is_at(&self, parent: &Folder, name: &str) -> Result<bool, StoreError> {
        let file = self.handle()?;
        let metadata = metadata(&file, || parent.path().join(name))?;
        let Some(entry) = parent.entry(name)? else {
            return Ok(false);
        };
        if (entry.st_dev, entry.st_ino) == (metadata.dev(), metadata.ino()) {
            return Ok(true);
        }
        // On some file systems inode numbers do not last. So the paths are compared too: the kernel
        // knows the path of an open file.
        let path = current_path(parent.as_file()).map(|parent| parent.join(name));
        Ok(path.is_some() && current_path(&file) == path)
    }
}
