//! What needed pieces hold of files that are left out: one sparse file for all of it,
//! `.NAME.INFOHASH.rest`, in which each byte has its offset in the share. It belongs to one
//! download, like the partial file: it has the download's name, and is locked while the download is
//! open.

use super::StoreError;
use super::place::{MAX_NAME, Place, beginning};
use super::tree::{Access, Folder, lock, metadata};
use crate::torrent::Info;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Number of bytes that are copied at once.
const COPIED_AT_ONCE: usize = 64 << 10;

/// The open file.
#[derive(Debug)]
pub(super) struct PartsFile {
    file: Arc<File>,
    path: PathBuf,
    name: String,
}

impl PartsFile {
    /// Opens the one of a download for writing. It is made if it is `needed`; otherwise one that an
    /// earlier choice of fewer files left is opened.
    pub(super) fn of_download(
        info: &Info,
        parent: &Folder,
        download: &str,
        needed: bool,
    ) -> Result<Option<Self>, StoreError> {
        let name = name(info, download);
        if !needed && parent.entry(&name)?.is_none() {
            return Ok(None);
        }
        let path = parent.path().join(&name);
        let file = parent.file(&name, Access::Create)?;
        lock(&file, &path)?;
        let metadata = metadata(&file, || path.clone())?;
        let total = info.lengths().total();
        if metadata.nlink() > 1 || metadata.len() != 0 && metadata.len() != total {
            return Err(StoreError::Foreign(path));
        }
        // Only if it must be: setting the length changes the modification time, and with it the
        // stamp.
        if metadata.len() != total {
            let sized = file.set_len(total);
            sized.map_err(|error| StoreError::io("make room for", &path, error))?;
        }
        let file = Arc::new(file);
        Ok(Some(Self { file, path, name }))
    }

    /// Opens the one beside a finished share for reading. Without it only pieces that need nothing
    /// of it are served.
    pub(super) fn of_share(info: &Info, share: &Path) -> Option<Self> {
        let share = std::path::absolute(share).ok()?;
        let folder = share.parent()?;
        let name = name(info, share.file_name()?.to_str()?);
        let file = Folder::open(folder).and_then(|folder| folder.file(&name, Access::Read));
        let file = file.ok().filter(|file| {
            let metadata = file.metadata();
            metadata.is_ok_and(|metadata| metadata.len() == info.lengths().total())
        })?;
        Some(Self {
            file: Arc::new(file),
            path: folder.join(&name),
            name,
        })
    }

    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it from the folder in which it was opened.
    pub(super) fn remove(&self, parent: &Folder) -> Result<(), StoreError> {
        parent.remove_file(&self.name)
    }

    /// Copies the bytes from `from` to `to` of the share into a file that begins at `start` of it.
    pub(super) fn copy(&self, from: u64, to: u64, file: &File, start: u64) -> io::Result<()> {
        let mut buffer = vec![0; COPIED_AT_ONCE];
        let mut at = from;
        while at < to {
            let length = usize::try_from(to - at).unwrap_or(usize::MAX);
            let (part, _) = buffer.split_at_mut(length.min(COPIED_AT_ONCE));
            self.file.read_exact_at(part, at)?;
            file.write_all_at(part, at - start)?;
            at += part.len() as u64;
        }
        Ok(())
    }
}

/// Removes the parts file beside a finished choice of files that is no longer served.
///
/// # Errors
/// When it cannot be removed.
pub fn remove_parts_file(info: &Info, place: &Place) -> Result<(), StoreError> {
    match place.open_folder() {
        Ok(parent) => parent.remove_file(&name(info, &place.name)),
        Err(StoreError::Missing(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The name beside a download of that name. Of a name that leaves no room only the beginning is
/// taken: then the lock keeps two downloads apart.
pub(super) fn name(info: &Info, download: &str) -> String {
    let end = format!(".{}.rest", info.info_hash());
    let room = MAX_NAME.saturating_sub(1 + end.len());
    format!(".{}{end}", beginning(download, room))
}
