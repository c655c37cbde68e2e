//! A download: the only code that writes, finishes and discards the files of a share.
//!
//! The data is in `NAME.part`, a file or a folder, until all of it is verified. Then it gets its
//! final name. A download writes only into a partial file that it has made, or that a record names
//! (`partial_root`), and never into symbolic links, hard links, files of another length, or files
//! that are already in place. After a crash at any step, opening the download again continues it.

use super::copying::copy_good_pieces;
use super::extend;
use super::gather::Gather;
use super::holes::write_sparse;
use super::in_place::InPlace;
use super::layout::{FileKind, FileLayout};
use super::partial;
use super::partial_root::{PartialRoot, RecordedFiles};
use super::parts_file::PartsFile;
use super::rename::{NoteSteps, rename_new, rename_over};
use super::replace::{ExtraFiles, remove_old};
use super::reserve::check_space;
use super::tree::{Access, Folder, has_layout, lock};
use super::write_target::{self, file_to_write};
use super::{Destination, FileStamp, Store, StoreError};
use crate::torrent::{BLOCK, FileName, Layout, ModifiedTimes, PieceSet};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// How a finished download gets its final name.
#[derive(Clone, Debug)]
pub enum DownloadMode {
    /// It is renamed to its final name, which must be free.
    New,
    /// Its files are moved into the folder under the final name, next to those in place.
    Extend(Arc<InPlace>),
    /// It replaces the file or folder under its final name.
    Replace(ExtraFiles),
}

/// The result of [`Download::finish`].
#[derive(Debug)]
pub struct FinishedDownload {
    /// The final path.
    pub path: PathBuf,
    /// The stamps with which the files were verified, as [`Store::seal`] takes them.
    pub stamps: Vec<FileStamp>,
    /// The replaced file or folder, if something of it is left: somebody has changed it during the
    /// replacement, or it cannot be removed.
    pub left: Option<PathBuf>,
}

/// An open download. Its files are locked until it is dropped.
#[derive(Debug)]
pub struct Download {
    store: Arc<Store>,
    mode: DownloadMode,
    /// The folder that contains the partial and the final file or folder.
    parent: Folder,
    /// The name of the partial file or folder.
    partial: String,
    /// The final name.
    name: String,
    /// The parts file, which contains the bytes of needed pieces that belong to unwanted files (see
    /// the module `parts_file`). An earlier choice of fewer files may have left a parts file that
    /// is no longer needed. It is opened too, and finishing removes it.
    parts_file: Option<Arc<PartsFile>>,
    /// Whether opening made the partial file or folder.
    is_new: bool,
    /// Entries that could be partial files of this download, but that no record names.
    others: Vec<String>,
}

impl DownloadMode {
    /// Extends the folder under the final name, if there is one. Otherwise this is a new download.
    ///
    /// # Errors
    /// [`StoreError::Exists`] names a file whose length is not that of the wanted file.
    pub fn extend_or_new(
        layout: &FileLayout,
        destination: &Destination,
    ) -> Result<Self, StoreError> {
        let in_place = InPlace::find(layout, destination)?;
        Ok(in_place.map_or(Self::New, |in_place| Self::Extend(Arc::new(in_place))))
    }

    /// Checks that a download of this mode may get the final name `name`.
    fn check_name(&self, parent: &Folder, name: &str, layout: Layout) -> Result<(), StoreError> {
        match (parent.entry(name)?, self) {
            (None, _) | (Some(_), Self::Extend(_)) => Ok(()),
            (Some(entry), Self::Replace(_)) if has_layout(&entry, layout) => Ok(()),
            (Some(_), _) => Err(StoreError::Exists(parent.path().join(name))),
        }
    }
}

impl Download {
    /// Opens a download, new or continued. A new one has only an empty partial file or folder: the
    /// caller records its name, then calls [`Download::make_files`]. If opening fails, everything
    /// that it made is removed.
    ///
    /// # Errors
    /// When the final name is taken ([`StoreError::Exists`]); the recorded partial file is missing,
    /// in use or a symbolic link; there is no permission; or the folder does not exist.
    pub fn open(
        layout: FileLayout,
        destination: &Destination,
        mode: DownloadMode,
        recorded: RecordedFiles<'_>,
    ) -> Result<Self, StoreError> {
        let check_name = DownloadMode::check_name;
        Self::open_checked(layout, destination, mode, recorded, check_name)
    }

    /// Opens the recorded files of a download, only to discard them. The final name is not needed
    /// for that, so this does not check whether it is taken.
    ///
    /// # Errors
    /// As for [`Download::open`], except that a taken final name is no error.
    pub fn open_to_discard(
        layout: FileLayout,
        destination: &Destination,
        recorded: RecordedFiles<'_>,
    ) -> Result<Self, StoreError> {
        let no_check = |_: &DownloadMode, _: &Folder, _: &str, _: Layout| Ok(());
        let mode = DownloadMode::New;
        Self::open_checked(layout, destination, mode, recorded, no_check)
    }

    fn open_checked(
        layout: FileLayout,
        destination: &Destination,
        mode: DownloadMode,
        recorded: RecordedFiles<'_>,
        check_name: impl Fn(&DownloadMode, &Folder, &str, Layout) -> Result<(), StoreError>,
    ) -> Result<Self, StoreError> {
        FileName::new(&destination.name)?;
        let parent = destination.open_folder()?;
        let (info, name) = (Arc::clone(layout.info()), destination.name.clone());
        check_name(&mode, &parent, &name, info.layout())?;
        let partial = PartialRoot::open(&parent, destination, &info, recorded)?;
        lock(&*partial.root.handle()?, partial.root.path())?;
        // The process that held the lock until now may have given the partial file its final name.
        if !partial.root.is_at(&parent, &partial.name)? {
            return Err(StoreError::InUse(partial.root.path().to_owned()));
        }
        let is_mixed = layout.is_mixed();
        let checked = check_name(&mode, &parent, &name, info.layout());
        let opened = checked.and_then(|()| {
            // If the records are not kept, an existing parts file counts as ours, because its name
            // has the info-hash (see `partial_root`).
            let is_ours = recorded.is_recorded || !recorded.records_are_kept;
            PartsFile::of_download(&info, &parent, &name, is_mixed, is_ours)
        });
        // After a new partial file is recorded, a power failure must not lose it.
        let opened = opened.and_then(|parts_file| match partial.is_new {
            true => parent.sync().map(|()| parts_file),
            false => Ok(parts_file),
        });
        let (parts_file, error) = match opened {
            Ok(parts_file) => (parts_file.map(Arc::new), None),
            Err(error) => (None, Some(error)),
        };
        let in_place = match &mode {
            DownloadMode::Extend(in_place) => Some(Arc::clone(in_place)),
            DownloadMode::New | DownloadMode::Replace(_) => None,
        };
        let needed_parts_file = parts_file.clone().filter(|_| is_mixed);
        let store = Store::new(
            layout,
            Access::Write,
            partial.root,
            in_place,
            needed_parts_file,
        );
        let download = Self {
            store: Arc::new(store),
            mode,
            parent,
            partial: partial.name,
            name,
            parts_file,
            is_new: partial.is_new,
            others: partial.others,
        };
        match error {
            None => Ok(download),
            Some(error) => {
                download.undo();
                Err(error)
            }
        }
    }

    /// Whether opening made the partial file or folder.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// The name of the partial file or folder, for its record.
    pub fn partial_name(&self) -> &str {
        &self.partial
    }

    /// Makes the files and reserves their space. Files that are not wanted are not made. The caller
    /// uses `verify` to find the good pieces of a continued download. Returns the indexes of the
    /// files that were empty or missing before.
    ///
    /// # Errors
    /// When there is no space or no permission, or a file does not belong to this download. Then
    /// everything that opening made is removed.
    pub fn make_files(&self) -> Result<Vec<usize>, StoreError> {
        let made = self.try_make_files();
        if made.is_err() {
            self.undo();
        }
        made
    }

    /// Checks that the disk has the space that the download still needs. `missing` is the number of
    /// bytes that are to be fetched.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`], or the disk cannot be examined.
    pub fn check_space(&self, missing: u64) -> Result<(), StoreError> {
        let store = &self.store;
        let needed = partial::space_needed(store, missing);
        check_space(&*store.root().handle()?, store.path(), needed)
    }

    /// The files, for reading. They stay readable after the download is finished.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Writes consecutive `blocks` from `offset` on. Skips bytes of files that are in place. A
    /// linked file that has other bytes is replaced by a copy first.
    ///
    /// # Errors
    /// When the share does not have these bytes, or a file cannot take all of them. Then none of
    /// these blocks counts as written.
    pub fn write(&self, offset: u64, blocks: &[&[u8]]) -> Result<(), StoreError> {
        let length = blocks.iter().map(|block| block.len() as u64).sum();
        let mut blocks = Gather::new(blocks);
        for segment in self.store.layout().segments(offset, length)? {
            let index = segment.index;
            let Some(file) = file_to_write(&self.store, &segment, &blocks)? else {
                blocks.skip(segment.length);
                continue;
            };
            // `stamp` fails if someone has truncated the file. A write would restore its length and
            // leave a hole where earlier pieces were.
            if segment.kind == FileKind::Wanted {
                self.store.stamp(index, &file)?;
            }
            let written = write_sparse(&mut blocks, &file, segment.offset, segment.length);
            written
                .map_err(|error| StoreError::io("write", &self.store.file_path(index), error))?;
        }
        Ok(())
    }

    /// For a replacement: says what to do with the files that it replaces. `None`: it may replace
    /// nothing, so the final name must be free.
    pub fn set_replaced(&mut self, extra_files: Option<ExtraFiles>) {
        if let DownloadMode::Replace(_) = &self.mode {
            self.mode = extra_files.map_or(DownloadMode::New, DownloadMode::Replace);
        }
    }

    /// Checks that the old share has no folder where the new one has a file, and no symbolic link
    /// where the new one has a file or a folder.
    ///
    /// # Errors
    /// Names such an entry.
    pub fn check_replaced(&self) -> Result<(), StoreError> {
        let old = self.open_entry(&self.name)?;
        for index in self.store.layout().wanted_files() {
            match old.open_file(index, Access::Read) {
                Ok(_) | Err(StoreError::Missing(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// For a replacement: copies the good pieces of the old share, so that they need not be
    /// fetched. The caller must verify them again, because the old files may change while they are
    /// copied. `progress` is called with the number of bytes hashed so far.
    ///
    /// # Errors
    /// When the copy cannot be written, or [`StoreError::Stopped`].
    pub fn copy_replaced(
        &self,
        stop: &AtomicBool,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), StoreError> {
        self.copy_from(&self.open_entry(&self.name)?, stop, progress)
    }

    /// The partial file has one of several possible names. This copies the good pieces of the
    /// entries with the other names. These entries are in no record, so they stay as they are.
    ///
    /// # Errors
    /// See [`Download::copy_replaced`].
    pub fn copy_others(
        &self,
        stop: &AtomicBool,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), StoreError> {
        let (info, layout) = (self.store.info(), self.store.info().layout());
        for name in &self.others {
            let entry = self.parent.entry(name)?;
            let looks_like_a_partial_file = entry.is_some_and(|entry| {
                let length = u64::try_from(entry.st_size).unwrap_or_default();
                has_layout(&entry, layout)
                    && (layout == Layout::Folder || length == info.lengths().total())
            });
            if looks_like_a_partial_file && let Ok(other) = self.open_entry(name) {
                let path = other.path().display();
                log::info!("{path} is not of this download, so it is only read");
                self.copy_from(&other, stop, progress)?;
            }
        }
        Ok(())
    }

    /// The maximum number of files or folders that [`Download::copy_others`] reads.
    pub fn others_count(&self) -> u64 {
        self.others.len() as u64
    }

    /// Opens an entry beside the partial file as a share, for reading.
    fn open_entry(&self, name: &str) -> Result<Store, StoreError> {
        let layout = FileLayout::all(Arc::clone(self.store.info()));
        Store::open(layout, &self.parent.path().join(name))
    }

    fn copy_from(
        &self,
        other: &Store,
        stop: &AtomicBool,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), StoreError> {
        let needed = self.store.layout().needed_pieces();
        let write = |offset, chunk: &[u8]| {
            let blocks: Vec<&[u8]> = chunk.chunks(BLOCK as usize).collect();
            self.write(offset, &blocks)
        };
        copy_good_pieces(other, needed, write, stop, progress)
    }

    /// Checks that each file in place is right; `good` are the pieces that have been verified.
    /// Fetching cannot repair a file in place, because these files are not written.
    ///
    /// # Errors
    /// [`StoreError::Changed`] names a file that differs from the torrent.
    pub fn check_files_in_place(&self, good: &PieceSet) -> Result<(), StoreError> {
        extend::check_files_in_place(&self.store, good)
    }

    /// Makes the files of a download with all pieces final, and syncs them. They get the `times` of
    /// the original. This may take minutes.
    ///
    /// # Errors
    /// A file changed its length, a linked file cannot be copied, or syncing failed.
    pub fn complete_files(&self, times: Option<&ModifiedTimes>) -> Result<(), StoreError> {
        write_target::replace_links_except(&self.store, &self.files_that_go()?)?;
        partial::complete_files(&self.store, self.needed_parts_file(), times)
    }

    /// Renames a complete download to its final name. Its store stays usable throughout. The caller
    /// has verified every piece and called [`Download::complete_files`]. If the rename replaces
    /// something or needs several steps, `note` is called first and notes these steps in the record
    /// (see [`super::RenameSteps`]). After a crash, [`super::recover_rename`] or
    /// [`super::undo_moves`] cleans up.
    ///
    /// # Errors
    /// When the final name is taken (for a replacement: by an entry of another kind, or by a
    /// version with files that somebody has changed), the partial file was moved, or syncing
    /// failed. Then the data is still in the partial file, unless only syncing the folder failed.
    pub fn finish(
        self,
        times: Option<&ModifiedTimes>,
        note: NoteSteps<'_>,
    ) -> Result<FinishedDownload, StoreError> {
        let (parent, partial, name) = (&self.parent, &*self.partial, &*self.name);
        let (store, layout) = (&self.store, self.store.info().layout());
        if !store.root().is_at(parent, partial)? {
            return Err(StoreError::Moved(store.path().to_owned()));
        }
        if let Some(parts_file) = self
            .parts_file
            .as_ref()
            .filter(|_| !store.layout().is_mixed())
        {
            // All bytes of the parts file are in the files themselves now.
            parts_file.remove(parent)?;
        }
        // The files are not under their final names yet, so nobody is expected to change them now.
        let stamps = store.stamps()?;
        partial::check_linked_files(store)?;
        let path = parent.path().join(name);
        if let DownloadMode::Replace(ExtraFiles::KeepForeign(former)) = &self.mode {
            // Syncing may have taken minutes.
            former.check_replaceable(store.layout(), &path)?;
        }
        let mut left = None;
        let replaced = match &self.mode {
            DownloadMode::Extend(in_place) => {
                extend::move_files(store, in_place, (parent, partial), note)?;
                store.set_finished(in_place.root().renamed_to(path.clone()));
                return Ok(FinishedDownload { path, stamps, left });
            }
            DownloadMode::Replace(extra_files)
                if parent
                    .entry(name)?
                    .is_some_and(|entry| has_layout(&entry, layout)) =>
            {
                let how = (layout, extra_files.keeps_old_file());
                let old = rename_over(parent, (partial, name), how, note)?;
                old.map(|old| (parent.path().join(old), extra_files.clone()))
            }
            DownloadMode::New | DownloadMode::Replace(_) => {
                rename_new((parent, partial), (parent, name), layout, note)?;
                None
            }
        };
        store.set_finished(store.root().renamed_to(path.clone()));
        parent.sync()?;
        if let Some((old, extra_files)) = replaced {
            left = remove_old(&old, &path, &extra_files);
        }
        partial::set_times_of_linked(store, times);
        let stamps = partial::with_linked_stamps(store, stamps);
        Ok(FinishedDownload { path, stamps, left })
    }

    /// The files of the older version that are removed after this download has taken its place:
    /// device and inode number.
    fn files_that_go(&self) -> Result<HashSet<(u64, u64)>, StoreError> {
        match &self.mode {
            DownloadMode::Replace(ExtraFiles::KeepForeign(former)) => {
                former.inodes(&self.parent.path().join(&self.name))
            }
            _ => Ok(HashSet::new()),
        }
    }

    /// Removes the partial file. If it is a folder, removes the files of this share from it, and
    /// then its empty folders. Files in place stay.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn discard(&self) -> Result<(), StoreError> {
        self.remove(self.parts_file.as_deref())
    }

    /// Removes what [`Download::open`] has made, and nothing that existed before.
    pub fn undo(&self) {
        // The parts file of an extended download stays. The files in place contain some pieces only
        // in part; the other bytes of these pieces are served from the parts file.
        let is_extended = matches!(self.mode, DownloadMode::Extend(_));
        let parts_file = self.needed_parts_file().filter(|_| !is_extended);
        if self.is_new
            && let Err(error) = self.remove(parts_file)
        {
            log::warn!("{error}");
        }
    }

    fn remove(&self, parts_file: Option<&PartsFile>) -> Result<(), StoreError> {
        let (parent, partial) = (&self.parent, &*self.partial);
        if !self.store.root().is_at(parent, partial)? {
            return Ok(());
        }
        if let Some(parts_file) = parts_file {
            parts_file.remove(parent)?;
        }
        partial::remove_files(&self.store)?;
        match self.store.root().folder() {
            None => parent.remove_file(partial)?,
            Some(_) => parent.remove_empty_folder(partial)?,
        }
        parent.sync()
    }

    fn needed_parts_file(&self) -> Option<&PartsFile> {
        let parts_file = self.parts_file.as_deref();
        parts_file.filter(|_| self.store.layout().is_mixed())
    }

    fn try_make_files(&self) -> Result<Vec<usize>, StoreError> {
        if let Some(parts_file) = self.needed_parts_file() {
            parts_file.make_room(self.store.info().lengths().total())?;
        }
        let made = partial::make_files(&self.store)?;
        if let Some(parts_file) = &self.parts_file {
            for index in &made {
                extend::fill(&self.store, *index, parts_file)?;
            }
        }
        Ok(made)
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // The store keeps the files open, so waiting for the close would unlock them too late.
        let parts_file = self
            .parts_file
            .as_ref()
            .map(|parts_file| parts_file.handle());
        for file in [Some(self.store.root().handle()), parts_file] {
            if let Some(Ok(file)) = file {
                let _ = file.unlock();
            }
        }
    }
}
