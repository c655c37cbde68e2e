//! A download: the one thing that writes the files of a share, finishes and discards them.
//!
//! Its data lies in `NAME.part`, a file or a folder, until all of it is verified; then it gets its
//! final name. A download never writes into what is not its own: links, hard links, files of
//! another length, a partial file in use, files that are in place already. After a crash at any
//! step the same opening goes on.

use super::extend;
use super::gather::Gather;
use super::in_place::InPlace;
use super::layout::{FileLayout, Kind};
use super::part;
use super::parts_file::PartsFile;
use super::rename::{rename_new, rename_over};
use super::replace::{Others, remove_left};
use super::root::Root;
use super::tree::{Access, Folder, is_of, lock};
use super::verify::verify;
use super::{Place, Store, StoreError};
use crate::system::processors;
use crate::torrent::{FileName, Layout, PieceSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many bytes are copied at a time from what is replaced.
const COPIED_AT_ONCE: usize = 1 << 20;

/// What becomes of a download when it is finished.
#[derive(Clone, Debug)]
pub enum Mode {
    /// It gets its final name, which must be free.
    New,
    /// Its files are moved into the folder under the final name, beside those in place.
    Extend(Arc<InPlace>),
    /// It takes the place of the file or folder under its final name.
    Replace(Others),
}

/// An open download. Its files are locked until it is dropped.
#[derive(Debug)]
pub struct Download {
    store: Arc<Store>,
    mode: Mode,
    /// The folder that its partial and its finished file or folder are in.
    parent: Folder,
    /// The name of the partial file or folder, and the final one.
    part: String,
    name: String,
    /// The parts file, also one that is no longer needed and goes at the end.
    parts: Option<Arc<PartsFile>>,
    /// Whether there was no partial file or folder before it was opened.
    is_new: bool,
}

impl Mode {
    /// Extends what is at a place; a new download if nothing is there.
    ///
    /// # Errors
    /// [`StoreError::Exists`] names a file with another length than the wanted one that it would
    /// be.
    pub fn extend(layout: &FileLayout, place: &Place) -> Result<Self, StoreError> {
        let found = InPlace::find(layout, place)?;
        Ok(found.map_or(Self::New, |found| Self::Extend(Arc::new(found))))
    }

    /// Whether a download may go to that name.
    fn allows(&self, parent: &Folder, name: &str, layout: Layout) -> Result<(), StoreError> {
        match (parent.entry(name)?, self) {
            (None, _) | (Some(_), Self::Extend(_)) => Ok(()),
            (Some(entry), Self::Replace(_)) if is_of(&entry, layout) => Ok(()),
            (Some(_), _) => Err(StoreError::Exists(parent.path().join(name))),
        }
    }
}

impl Download {
    /// Opens a download, new or continued; which pieces of a continued one are good, [`verify`]
    /// finds. Files that are left out are not made. One that cannot be opened leaves nothing.
    ///
    /// # Errors
    /// When the final name is taken ([`StoreError::Exists`]), the partial one is in use, a link, or
    /// not of this download, when room or permission lack, or the folder is missing.
    pub fn open(layout: FileLayout, place: &Place, mode: Mode) -> Result<Self, StoreError> {
        FileName::new(&place.name)?;
        let parent = place.open_folder()?;
        let (info, name) = (Arc::clone(layout.info()), place.name.clone());
        mode.allows(&parent, &name, info.layout())?;
        let part = place.part_name(info.info_hash());
        let is_new = parent.entry(&part)?.is_none();
        let root = Root::create(&parent, &part, info.layout())?;
        lock(root.as_file(), root.path())?;
        // The process that held the lock until now may have given it its final name.
        if !root.is_at(&parent, &part)? {
            return Err(StoreError::InUse(root.path().to_owned()));
        }
        let is_mixed = layout.is_mixed();
        let allowed = mode.allows(&parent, &name, info.layout());
        let opened = allowed.and_then(|()| PartsFile::of_download(&info, &parent, &name, is_mixed));
        let (parts, failed) = match opened {
            Ok(parts) => (parts.map(Arc::new), None),
            Err(error) => (None, Some(error)),
        };
        let in_place = match &mode {
            Mode::Extend(in_place) => Some(Arc::clone(in_place)),
            Mode::New | Mode::Replace(_) => None,
        };
        let needed_parts = parts.clone().filter(|_| is_mixed);
        let download = Self {
            store: Arc::new(Store::of_download(layout, root, in_place, needed_parts)),
            mode,
            parent,
            part,
            name,
            parts,
            is_new,
        };
        let made = failed.map_or_else(|| download.make_files(), Err);
        if let Err(error) = made {
            download.undo();
            return Err(error);
        }
        Ok(download)
    }

    /// Its files, for reading. They can be read on when the download is finished.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Writes consecutive `blocks` from `offset` on. Files that are in place stay as they are.
    ///
    /// # Errors
    /// When the share does not have these bytes, or a file cannot take all of them: then nothing
    /// of these blocks counts as written.
    pub fn write(&self, offset: u64, blocks: &[&[u8]]) -> Result<(), StoreError> {
        let length = blocks.iter().map(|block| block.len() as u64).sum();
        let mut blocks = Gather::new(blocks);
        for segment in self.store.layout().segments(offset, length)? {
            let index = segment.index;
            let file = match segment.kind {
                Kind::Wanted if self.store.is_in_place(index) => None,
                _ => self.store.file(&segment)?,
            };
            let Some(file) = file else {
                blocks.skip(segment.length);
                continue;
            };
            // A file that somebody cut would get its length back by the next piece, and a hole for
            // those before it.
            if segment.kind == Kind::Wanted {
                self.store.stamp(index, &file)?;
            }
            let written = blocks.write(&file, segment.offset, segment.length);
            written
                .map_err(|error| StoreError::io("write", &self.store.file_path(index), error))?;
        }
        Ok(())
    }

    /// Copies into a replacement the pieces that verify of what it replaces, so that they need not
    /// be fetched. The caller verifies them again, since the source may change meanwhile.
    ///
    /// # Errors
    /// When a folder is where the share has a file or a link where it has either, the copy cannot
    /// be written, or [`StoreError::Stopped`].
    pub fn copy_replaced(&self, stop: &AtomicBool) -> Result<(), StoreError> {
        let layout = FileLayout::all(Arc::clone(self.store.info()));
        let found = Store::open(layout, &self.parent.path().join(&self.name))?;
        for index in self.store.layout().wanted_files() {
            match found.open_file(index, Access::Read) {
                Ok(_) | Err(StoreError::Missing(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let lengths = self.store.info().lengths();
        let threads = processors();
        let needed = self.store.layout().needed_pieces();
        let good = verify(&found, needed, threads, stop, &|_| {})?;
        let mut buffer = vec![0; COPIED_AT_ONCE];
        for piece in lengths.all_pieces().filter(|piece| good.contains(*piece)) {
            if stop.load(Ordering::Relaxed) {
                return Err(StoreError::Stopped);
            }
            let (mut offset, mut left) = (lengths.offset(piece), lengths.length(piece) as usize);
            while left > 0 {
                let length = left.min(COPIED_AT_ONCE);
                let part = buffer.get_mut(..length).unwrap_or_default();
                if let Err(error) = found.read(offset, part) {
                    // It changed meanwhile; the piece is fetched.
                    log::warn!("a piece is not copied: {error}");
                    break;
                }
                self.write(offset, &[part])?;
                offset += length as u64;
                left -= length;
            }
        }
        Ok(())
    }

    /// Whether the files in place are what the torrent says, as far as the pieces that verify
    /// show. They are not written, so a bad one cannot be mended by fetching.
    ///
    /// # Errors
    /// [`StoreError::Changed`] names one that is not.
    pub fn check_in_place(&self, good: &PieceSet) -> Result<(), StoreError> {
        extend::check(&self.store, good)
    }

    /// Syncs a whole download and renames it to its final name; returns the final path. Its store
    /// goes on without a pause. The caller has verified every piece.
    ///
    /// # Errors
    /// When the final name is taken (by something of another kind, for a replacement), a file
    /// changed its length, the partial file was moved, or syncing failed: then the data still lies
    /// in the partial file, unless only syncing the folder failed.
    pub fn finish(self) -> Result<PathBuf, StoreError> {
        let (parent, part, name) = (&self.parent, &*self.part, &*self.name);
        let (store, layout) = (&self.store, self.store.info().layout());
        part::sync_files(store, self.needed_parts())?;
        if !store.root().is_at(parent, part)? {
            return Err(StoreError::Moved(store.path().to_owned()));
        }
        if let Some(parts) = self.parts.as_ref().filter(|_| !store.layout().is_mixed()) {
            // All that it holds is in files by now.
            parts.remove(parent)?;
        }
        let path = parent.path().join(name);
        let left = match &self.mode {
            Mode::Extend(in_place) => {
                extend::move_files(store, in_place, parent, part)?;
                store.finished_at(in_place.root().renamed(path.clone())?);
                return Ok(path);
            }
            Mode::Replace(others)
                if parent
                    .entry(name)?
                    .is_some_and(|entry| is_of(&entry, layout)) =>
            {
                let left = rename_over(parent, part, name, layout)?;
                left.map(|left| (parent.path().join(left), *others))
            }
            Mode::New | Mode::Replace(_) => {
                rename_new((parent, part), (parent, name), layout)?;
                None
            }
        };
        store.finished_at(store.root().renamed(path.clone())?);
        parent.sync()?;
        if let Some((left, others)) = left {
            remove_left(&left, &path, others);
        }
        Ok(path)
    }

    /// Removes the partial file or folder: the files of this share and the folders that become
    /// empty. Files in place stay.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn discard(&self) -> Result<(), StoreError> {
        self.remove(self.parts.as_deref())
    }

    /// Undoes the opening: what there was of it before stays.
    pub fn undo(&self) {
        // Files in place are served with the parts file.
        let is_extended = matches!(self.mode, Mode::Extend(_));
        let parts = self.needed_parts().filter(|_| !is_extended);
        if self.is_new
            && let Err(left) = self.remove(parts)
        {
            log::warn!("{left}");
        }
    }

    fn remove(&self, parts: Option<&PartsFile>) -> Result<(), StoreError> {
        let (parent, part) = (&self.parent, &*self.part);
        if !self.store.root().is_at(parent, part)? {
            return Ok(());
        }
        if let Some(parts) = parts {
            parts.remove(parent)?;
        }
        part::remove_files(&self.store)?;
        match self.store.root().folder() {
            None => parent.remove_file(part)?,
            Some(_) => parent.remove_empty_folder(part)?,
        }
        parent.sync()
    }

    fn needed_parts(&self) -> Option<&PartsFile> {
        let parts = self.parts.as_deref();
        parts.filter(|_| self.store.layout().is_mixed())
    }

    fn make_files(&self) -> Result<(), StoreError> {
        for index in part::make_files(&self.store)? {
            if let Some(parts) = &self.parts {
                extend::fill(&self.store, index, parts)?;
            }
        }
        Ok(())
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // The store keeps the files open, so closing would unlock them too late.
        let _ = self.store.root().as_file().unlock();
        if let Some(parts) = &self.parts {
            let _ = parts.file().unlock();
        }
    }
}
