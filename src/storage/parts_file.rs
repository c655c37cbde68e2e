//! The parts file. Needed pieces also contain bytes of unwanted files. A sparse file
//! `.NAME.INFOHASH.rest` holds these bytes, each at its offset in the share. It belongs to one
//! download, like the partial file: its name contains the download's name, and it is locked while
//! the download is open.

use super::StoreError;
use super::destination::{Destination, MAX_NAME_LENGTH, longest_prefix};
use super::tree::{Access, Folder, is_locked, lock, metadata};
use crate::torrent::Info;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Size of the buffer for copying, in bytes.
const COPY_BUFFER_LENGTH: usize = 64 << 10;

/// A parts file.
#[derive(Debug)]
pub(super) struct PartsFile {
    /// `None` for a finished share: the file is opened whenever it is needed.
    held: Option<Arc<File>>,
    path: PathBuf,
    name: String,
}

impl PartsFile {
    /// Opens the parts file of a download for writing, and locks it. If it is `needed` and does not
    /// exist, makes it. If it is not needed, opens it only if an earlier choice of fewer files has
    /// left one. `is_ours` says whether an existing parts file belongs to this download. A file of
    /// another download is not used.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if the file is locked. [`StoreError::Foreign`] if a needed parts file
    /// exists that is not ours, or if the file has a wrong length or several hard links.
    pub(super) fn of_download(
        info: &Info,
        parent: &Folder,
        download_name: &str,
        needed: bool,
        is_ours: bool,
    ) -> Result<Option<Self>, StoreError> {
        let name = name(info, download_name);
        if !needed && (!is_ours || parent.entry(&name)?.is_none()) {
            return Ok(None);
        }
        let path = parent.path().join(&name);
        let file = match (parent.create_new_file(&name)?, is_ours) {
            (Some(new), _) => new,
            (None, true) => parent.file(&name, Access::Write)?,
            (None, false) => {
                let existing = parent.file(&name, Access::Read)?;
                return Err(match is_locked(&existing) {
                    true => StoreError::InUse(path),
                    false => StoreError::Foreign(path),
                });
            }
        };
        lock(&file, &path)?;
        let metadata = metadata(&file, || path.clone())?;
        let total = info.lengths().total();
        if metadata.nlink() > 1 || metadata.len() != 0 && metadata.len() != total {
            return Err(StoreError::Foreign(path));
        }
        let held = Some(Arc::new(file));
        Ok(Some(Self { held, path, name }))
    }

    /// Gives a new parts file its length, which is that of the share.
    pub(super) fn make_room(&self, total: u64) -> Result<(), StoreError> {
        let file = self.handle()?;
        // Setting the length changes the modification time, which is part of the stamp. So the
        // length is set only if necessary.
        if metadata(&file, || self.path.clone())?.len() == total {
            return Ok(());
        }
        let sized = file.set_len(total);
        sized.map_err(|error| StoreError::io("make room for", &self.path, error))
    }

    /// Finds the parts file of a finished share, for reading. Returns `None` if there is none; then
    /// pieces that need it are not served.
    pub(super) fn of_share(info: &Info, share: &Path) -> Option<Self> {
        let share = std::path::absolute(share).ok()?;
        let folder = share.parent()?;
        let name = name(info, share.file_name()?.to_str()?);
        let parts_file = Self {
            held: None,
            path: folder.join(&name),
            name,
        };
        let metadata = parts_file.handle().ok()?.metadata().ok()?;
        (metadata.len() == info.lengths().total()).then_some(parts_file)
    }

    /// The file of an open download. `None` for a finished share.
    pub(super) fn held_file(&self) -> Option<&Arc<File>> {
        self.held.as_ref()
    }

    /// The file. For a finished share, each call opens it.
    pub(super) fn handle(&self) -> Result<Arc<File>, StoreError> {
        if let Some(file) = &self.held {
            return Ok(Arc::clone(file));
        }
        let folder = Folder::open(self.path.parent().unwrap_or(Path::new("/")))?;
        folder.file(&self.name, Access::Read).map(Arc::new)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file from the folder in which it was opened.
    pub(super) fn remove(&self, parent: &Folder) -> Result<(), StoreError> {
        parent.remove_file(&self.name)
    }

    /// Copies the bytes `from..to` of the share into `file`, which starts at offset `start` of the
    /// share.
    pub(super) fn copy(&self, from: u64, to: u64, file: &File, start: u64) -> io::Result<()> {
        let parts_file = self.handle().map_err(io::Error::other)?;
        let mut buffer = vec![0; COPY_BUFFER_LENGTH];
        let mut at = from;
        while at < to {
            let length = usize::try_from(to - at).unwrap_or(usize::MAX);
            let (part, _) = buffer.split_at_mut(length.min(COPY_BUFFER_LENGTH));
            parts_file.read_exact_at(part, at)?;
            file.write_all_at(part, at - start)?;
            at += part.len() as u64;
        }
        Ok(())
    }
}

/// Removes the parts file of a download, if there is one. The download must not be open.
///
/// # Errors
/// When it cannot be removed.
pub fn remove_parts_file(info: &Info, destination: &Destination) -> Result<(), StoreError> {
    match destination.open_folder() {
        Ok(parent) => parent.remove_file(&name(info, &destination.name)),
        Err(StoreError::Missing(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The name of the parts file of a download. A download name that is too long is cut. Then two
/// downloads may have the same parts file name. The lock prevents that both use the file.
pub(super) fn name(info: &Info, download_name: &str) -> String {
    let end = format!(".{}.rest", info.info_hash());
    let room = MAX_NAME_LENGTH.saturating_sub(1 + end.len());
    format!(".{}{end}", longest_prefix(download_name, room))
}
