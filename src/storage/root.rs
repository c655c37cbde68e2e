//! The open file or folder of a share. Its files are opened from here.

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
}

/// The path under which an open file or folder is now.
fn current_path(file: &File) -> Option<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()
}

impl Root {
    /// Opens the file or folder that a user named, for reading. Follows a symbolic link to it.
    pub(super) fn open(layout: Layout, path: &Path) -> Result<Self, StoreError> {
        let base = match layout {
            Layout::File => Base::File(Arc::new(open_named_file(path)?)),
            Layout::Folder => Base::Folder(Folder::open(path)?),
        };
        let path = path.to_owned();
        Ok(Self { path, base })
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
    pub(super) fn renamed_to(&self, path: PathBuf) -> Result<Self, StoreError> {
        let base = match &self.base {
            Base::File(file) => Base::File(Arc::clone(file)),
            Base::Folder(folder) => Base::Folder(folder.renamed_to(path.clone())?),
        };
        Ok(Self { path, base })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder. `None` if the share is a single file.
    pub(super) fn folder(&self) -> Option<&Folder> {
        match &self.base {
            Base::File(_) => None,
            Base::Folder(folder) => Some(folder),
        }
    }

    /// The file descriptor.
    pub(super) fn as_file(&self) -> &File {
        match &self.base {
            Base::File(file) => file,
            Base::Folder(folder) => folder.as_file(),
        }
    }

    /// The path of a file of the share. `path` is ignored if the share is a single file.
    pub(super) fn file_path(&self, path: Option<&FilePath>) -> PathBuf {
        match (&self.base, path) {
            (Base::Folder(_), Some(path)) => self.path.join(path.to_path()),
            _ => self.path.clone(),
        }
    }

    /// Opens a file of the share. If the share is a single file, it is already open.
    pub(super) fn open_file(
        &self,
        path: &FilePath,
        access: Access,
    ) -> Result<Arc<File>, StoreError> {
        match &self.base {
            Base::File(file) => Ok(Arc::clone(file)),
            Base::Folder(folder) => {
                let create = access == Access::Create;
                let open = |folder: &Folder, name: &str| folder.file(name, access);
                folder.with_parent(path, create, open).map(Arc::new)
            }
        }
    }

    /// Whether the entry `name` in `parent` is this file or folder.
    pub(super) fn is_at(&self, parent: &Folder, name: &str) -> Result<bool, StoreError> {
        let metadata = metadata(self.as_file(), || parent.path().join(name))?;
        let Some(entry) = parent.entry(name)? else {
            return Ok(false);
        };
        if (entry.st_dev, entry.st_ino) == (metadata.dev(), metadata.ino()) {
            return Ok(true);
        }
        // Where inode numbers do not last, the kernel knows the path of an open file.
        let path = current_path(parent.as_file()).map(|parent| parent.join(name));
        Ok(path.is_some() && current_path(self.as_file()) == path)
    }
}
