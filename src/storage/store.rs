//! Reads the files of one share as one sequence of bytes.
//!
//! In scope: reading bytes and finding the files that store them, from any number of threads;
//! detecting by stamps that a file has changed since it was verified. No lock is held during I/O.
//! Padding (BEP 47 `p`) reads as zeros. Out of scope: writing (`download`), and whether bytes are
//! right (`verify`).
//!
//! If a file changes but keeps its length, modification time and inode, the change is not detected
//! here. The receiving peer detects it by the SHA-1 of the piece. If only the inode number of a
//! file is new, the file is still read, and the caller checks its content meanwhile (see `stamp`).
//!
//! A download keeps its parts file and its file or folder open. All stores share a limited number
//! of other open files. A file that is opened again counts as the same file if it still has the
//! stamp with which it was verified.

use super::in_place::InPlace;
use super::layout::{FileKind, FileLayout, Segment};
use super::linked_files::LinkedFiles;
use super::open_files::OpenFiles;
use super::parts_file::PartsFile;
use super::root::Root;
use super::tree::{Access, metadata};
use super::{FileStamp, StampMatch, StoreError};
use crate::torrent::{Info, PieceIndex};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// The files of one share.
#[derive(Debug)]
pub struct Store {
    layout: FileLayout,
    /// Where the files are. For a download: where they are until it is finished.
    root: Root,
    /// For a download: where the files are after it is finished.
    finished: OnceLock<Root>,
    /// How files are opened until the download is finished.
    access: Access,
    /// Files of a download that are already under the final name.
    in_place: Option<Arc<InPlace>>,
    /// Files of a download that share their bytes with files of an older version.
    linked_files: LinkedFiles,
    /// The bytes of unwanted files that are part of needed pieces. `None` if there are none, or if
    /// the parts file is missing.
    parts_file: Option<Arc<PartsFile>>,
    /// The stamp that each file had when it was verified. The parts file is last.
    sealed: OnceLock<Vec<Option<FileStamp>>>,
    open_files: OpenFiles,
}

/// The result of [`Store::check_paths`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathCheck {
    /// Where the next call starts, or `None` at the end.
    pub next: Option<usize>,
    /// Whether some file has a new inode number and is otherwise unchanged.
    pub has_other_inode: bool,
}

/// A range of the share's bytes as stored on disk.
#[derive(Clone, Debug)]
pub enum StoredSpan {
    /// Bytes of a file.
    File {
        /// The open file, for `sendfile` or reads at an offset.
        file: Arc<File>,
        /// Offset of the first byte in the file.
        offset: u64,
        /// Number of bytes.
        length: u64,
        /// Index of the file in [`Info::files`], see [`Store::file_path`].
        index: usize,
    },
    /// This number of zeros. They are not stored.
    Padding(u64),
}

impl Store {
    /// Opens a share for reading. `path` is the file or the folder itself. It may be a symbolic
    /// link, but links inside the folder are refused, unless the layout says that they are
    /// followed. A file is opened only when it is read, or when [`Store::stamps`] examines it.
    ///
    /// # Errors
    /// When the file or folder is missing, is of the wrong kind, or cannot be opened.
    pub fn open(layout: FileLayout, path: &Path) -> Result<Self, StoreError> {
        let root = Root::named(layout.info().layout(), path)?;
        let mixed = layout.is_mixed().then(|| layout.info());
        let parts_file = mixed.and_then(|info| PartsFile::of_share(info, path));
        let parts_file = parts_file.map(Arc::new);
        Ok(Self::new(layout, Access::Read, root, None, parts_file))
    }

    /// A store whose files are opened with `access` until the download is finished.
    pub(super) fn new(
        layout: FileLayout,
        access: Access,
        root: Root,
        in_place: Option<Arc<InPlace>>,
        parts_file: Option<Arc<PartsFile>>,
    ) -> Self {
        Self {
            layout,
            root,
            finished: OnceLock::new(),
            access,
            in_place,
            linked_files: LinkedFiles::default(),
            parts_file,
            sealed: OnceLock::new(),
            open_files: OpenFiles::new(),
        }
    }

    /// The download is finished and its files are in `root` now. Open files stay open.
    pub(super) fn set_finished(&self, root: Root) {
        let _ = self.finished.set(root);
    }

    /// The info dictionary of the share.
    pub fn info(&self) -> &Arc<Info> {
        self.layout.info()
    }

    pub(super) fn layout(&self) -> &FileLayout {
        &self.layout
    }

    /// Where the file or folder of the share is now.
    pub(super) fn root(&self) -> &Root {
        self.finished.get().unwrap_or(&self.root)
    }

    /// The current path of the file or folder of the share.
    pub fn path(&self) -> &Path {
        self.root().path()
    }

    /// The current path of file `index` of [`Info::files`]. For an unwanted file, the path of the
    /// parts file, if there is one.
    pub fn file_path(&self, index: usize) -> PathBuf {
        match &self.parts_file {
            Some(parts_file) if self.layout.kind(index) == FileKind::Unwanted => {
                parts_file.path().to_owned()
            }
            _ => self.root_of(index).file_path(self.layout.path(index)),
        }
    }

    /// Reads bytes from `offset` on until `buffer` is full.
    ///
    /// # Errors
    /// When a file cannot be read or is too short, or the share does not have these bytes.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StoreError> {
        let mut rest = buffer;
        for segment in self.layout.segments(offset, rest.len() as u64)? {
            let length = usize::try_from(segment.length).unwrap_or(usize::MAX);
            let Some((part, later)) = rest.split_at_mut_checked(length) else {
                break;
            };
            rest = later;
            match self.file(&segment)? {
                None => part.fill(0),
                Some(file) => file
                    .read_exact_at(part, segment.offset)
                    .map_err(|error| self.read_error(segment.index, error))?,
            }
        }
        Ok(())
    }

    /// The spans that store the bytes from `offset` on, in order. Each file is opened when the
    /// iterator reaches it.
    ///
    /// # Errors
    /// When the share does not have these bytes. An item is an error when its file cannot be
    /// opened.
    pub fn spans(
        &self,
        offset: u64,
        length: u64,
    ) -> Result<impl Iterator<Item = Result<StoredSpan, StoreError>> + '_, StoreError> {
        let segments = self.layout.segments(offset, length)?;
        Ok(segments.map(|segment| {
            Ok(match self.file(&segment)? {
                None => StoredSpan::Padding(segment.length),
                Some(file) => StoredSpan::File {
                    file,
                    offset: segment.offset,
                    length: segment.length,
                    index: segment.index,
                },
            })
        }))
    }

    /// The stamps of all wanted files, in the order of [`Info::files`], then the stamp of the parts
    /// file.
    ///
    /// # Errors
    /// When a file is missing, cannot be opened, or does not have the length that the torrent says.
    pub fn stamps(&self) -> Result<Vec<FileStamp>, StoreError> {
        let mut stamps = Vec::new();
        self.stamps_from(0, usize::MAX, &mut stamps)?;
        Ok(stamps)
    }

    /// Appends the stamps of [`Store::stamps`] for up to `count` files, starting with file `start`.
    /// Returns where the next call starts, or `None` at the end.
    ///
    /// # Errors
    /// See [`Store::stamps`].
    pub fn stamps_from(
        &self,
        start: usize,
        count: usize,
        stamps: &mut Vec<FileStamp>,
    ) -> Result<Option<usize>, StoreError> {
        let files = self.layout.count();
        let end = start.saturating_add(count).min(files);
        for index in (start..end).filter(|index| self.layout.is_wanted(*index)) {
            let file = self.open_file(index, Access::Read)?;
            stamps.push(self.stamp(index, &file)?);
        }
        if end < files {
            return Ok(Some(end));
        }
        if let Some(parts_file) = &self.parts_file {
            let path = || parts_file.path().to_owned();
            stamps.push(FileStamp::of(&metadata(&*parts_file.handle()?, path)?));
        }
        Ok(None)
    }

    /// Whether the wanted files have the given stamps, with the same inode numbers. Ignores the
    /// parts file.
    pub fn are_wanted_files_the_same(&self, stamps: &[FileStamp]) -> bool {
        let files = self.layout.wanted_files().count();
        let (Some(then), Ok(now)) = (stamps.get(..files), self.stamps()) else {
            return false;
        };
        let now = now.get(..files).unwrap_or_default();
        FileStamp::compare_all(then, now) == StampMatch::Same
    }

    /// Whether all files, including the parts file, have the given stamps. Their inode numbers may
    /// be new ones.
    pub fn are_all_unchanged(&self, stamps: &[FileStamp]) -> bool {
        let Ok(now) = self.stamps() else {
            return false;
        };
        let mut pairs = stamps.iter().zip(&now);
        stamps.len() == now.len()
            && pairs.all(|(then, now)| self.compare(then, now) < StampMatch::Changed)
    }

    /// How a file compares to the stamp with which it was verified. If links are followed, a new
    /// inode number is a change: a link may lead to a file that was never hashed.
    fn compare(&self, sealed: &FileStamp, now: &FileStamp) -> StampMatch {
        match sealed.compare(now) {
            StampMatch::OtherInode if self.layout.follows_links() => StampMatch::Changed,
            found => found,
        }
    }

    /// Whether a piece can be read: it needs no parts file, or the parts file exists.
    pub fn can_read(&self, piece: PieceIndex) -> bool {
        self.parts_file.is_some() || !self.is_mixed(piece)
    }

    /// Whether a piece contains bytes of an unwanted file.
    pub fn is_mixed(&self, piece: PieceIndex) -> bool {
        self.layout.is_mixed_piece(piece)
    }

    /// Sets the `stamps` that the files must keep (see [`Store::stamps`]). Only the first
    /// call has an effect. The caller takes the stamps before it verifies the files, so that a
    /// change during verification is detected later.
    pub fn seal(&self, stamps: &[FileStamp]) {
        let files = self.layout.count();
        let mut sealed = vec![None; files + 1];
        let indices = self.layout.wanted_files();
        let indices = indices.chain(self.parts_file.iter().map(|_| files));
        for (index, stamp) in indices.zip(stamps) {
            if let Some(entry) = sealed.get_mut(index) {
                *entry = Some(*stamp);
            }
        }
        let _ = self.sealed.set(sealed);
    }

    /// The stamps passed to [`Store::seal`]. `None` before that call.
    pub fn sealed(&self) -> Option<Vec<FileStamp>> {
        let sealed = self.sealed.get()?;
        Some(sealed.iter().copied().flatten().collect())
    }

    /// Checks that the open file of a span still has its sealed stamp. Needs one system call.
    ///
    /// # Errors
    /// [`StoreError::Changed`] if the file has changed. Another error if it cannot be examined.
    pub fn check_span(&self, span: &StoredSpan) -> Result<(), StoreError> {
        let StoredSpan::File { file, index, .. } = span else {
            return Ok(());
        };
        let path = || self.file_path(*index);
        let Some(sealed) = self.sealed_stamp(*index) else {
            return Ok(());
        };
        let now = FileStamp::of(&metadata(file, path)?);
        let is_unchanged = |sealed: &FileStamp| self.compare(sealed, &now) < StampMatch::Changed;
        // The second look is for a file that was linked and is just getting its time.
        match is_unchanged(&sealed) || self.sealed_stamp(*index).is_none_or(|it| is_unchanged(&it))
        {
            true => Ok(()),
            false => Err(StoreError::Changed(path())),
        }
    }

    /// Checks that up to `count` files, starting with file `start`, are at their paths and have
    /// their sealed stamps.
    ///
    /// # Errors
    /// [`StoreError::Missing`] or [`StoreError::Changed`] for a file that fails the check. Another
    /// error if a file cannot be examined.
    pub fn check_paths(&self, start: usize, count: usize) -> Result<PathCheck, StoreError> {
        let files = self.layout.count();
        let end = start.saturating_add(count).min(files);
        let mut has_other_inode = false;
        for index in (start..end).filter(|index| self.layout.is_wanted(*index)) {
            let Some(sealed) = self.sealed_stamp(index) else {
                continue;
            };
            let path = self.file_path(index);
            // The path of a share that is a single file may be a symbolic link.
            let follows = !self.root().is_folder() || self.layout.follows_links();
            let metadata = match follows {
                true => fs::metadata(&path),
                false => fs::symlink_metadata(&path),
            };
            let metadata = metadata.map_err(|error| StoreError::io("examine", &path, error))?;
            match self.compare(&sealed, &FileStamp::of(&metadata)) {
                StampMatch::Same => {}
                StampMatch::OtherInode => has_other_inode = true,
                StampMatch::Changed => return Err(StoreError::Changed(path)),
            }
        }
        Ok(PathCheck {
            next: Some(end).filter(|end| *end < files),
            has_other_inode,
        })
    }

    /// The stamp of file `index`, which is open as `file`. An error if its length is not that in
    /// the torrent.
    pub(super) fn stamp(&self, index: usize, file: &File) -> Result<FileStamp, StoreError> {
        let stamp = FileStamp::of(&metadata(file, || self.file_path(index))?);
        let expected = self.layout.length(index);
        if stamp.length != expected {
            return Err(StoreError::Length {
                path: self.file_path(index),
                found: stamp.length,
                expected,
            });
        }
        Ok(stamp)
    }

    /// The wanted files of a download that are not in place. They are in its partial file or
    /// folder.
    pub(super) fn partial_files(&self) -> impl Iterator<Item = usize> + '_ {
        let wanted = self.layout.wanted_files();
        wanted.filter(|index| !self.is_in_place(*index))
    }

    /// The files of [`Store::partial_files`] that are not linked.
    pub(super) fn files_to_fetch(&self) -> impl Iterator<Item = usize> + '_ {
        self.partial_files().filter(|index| !self.is_linked(*index))
    }

    /// Whether a file of an unfinished download is linked to a file of an older version.
    pub(super) fn is_linked(&self, index: usize) -> bool {
        self.finished.get().is_none() && self.linked_files.stamp(index).is_some()
    }

    pub(super) fn linked_files(&self) -> &LinkedFiles {
        &self.linked_files
    }

    /// From now on, reads and writes use this open file as file `index`.
    pub(super) fn set_open_file(&self, index: usize, file: Arc<File>) {
        self.open_files.replace(index, file);
    }

    /// Whether a file of an unfinished download is already under the final name.
    pub(super) fn is_in_place(&self, index: usize) -> bool {
        self.in_place_stamp(index).is_some()
    }

    /// Opens file `index` without adding it to the files that the stores keep open.
    pub(super) fn open_file(&self, index: usize, access: Access) -> Result<Arc<File>, StoreError> {
        let path = self.layout.path(index);
        let path = path.ok_or_else(|| StoreError::Missing(self.path().to_owned()))?;
        // While linked files are opened, none is replaced by a copy.
        let sharing = self.linked_files.lock();
        let sharing = Some(sharing).filter(|sharing| !sharing.linked.is_empty());
        let is_linked = sharing
            .as_ref()
            .is_some_and(|it| it.linked.contains_key(&index));
        let access = match is_linked || self.is_in_place(index) {
            true => Access::Read,
            false => access,
        };
        match access == Access::Read && self.layout.follows_links() {
            true => self.root_of(index).open_linked_file(path),
            false => self.root_of(index).open_file(path, access),
        }
    }

    /// The open file that stores a segment. `None` for padding.
    pub(super) fn file(&self, segment: &Segment) -> Result<Option<Arc<File>>, StoreError> {
        let index = segment.index;
        match segment.kind {
            FileKind::Padding => Ok(None),
            FileKind::Unwanted => match &self.parts_file {
                Some(parts_file) => {
                    let open = || parts_file.handle();
                    let index = self.layout.count();
                    self.cached(parts_file.held_file(), index, open).map(Some)
                }
                None => Err(StoreError::Missing(self.file_path(index))),
            },
            FileKind::Wanted => {
                let access = match self.finished.get() {
                    None => self.access,
                    Some(_) => Access::Read,
                };
                let open = || self.open_file(index, access);
                self.cached(self.root.held_file(), index, open).map(Some)
            }
        }
    }

    /// Returns `held` if there is one. Otherwise returns file `index` from the limited number of
    /// files that all stores keep open.
    fn cached(
        &self,
        held: Option<&Arc<File>>,
        index: usize,
        open: impl Fn() -> Result<Arc<File>, StoreError>,
    ) -> Result<Arc<File>, StoreError> {
        match held {
            Some(file) => Ok(Arc::clone(file)),
            None => self.open_files.file(index, open),
        }
    }

    /// The root that contains file `index` now.
    fn root_of(&self, index: usize) -> &Root {
        let in_place = self.in_place.as_ref();
        match in_place.filter(|_| self.is_in_place(index)) {
            Some(in_place) => in_place.root(),
            None => self.root(),
        }
    }

    fn in_place_stamp(&self, index: usize) -> Option<FileStamp> {
        let in_place = self.in_place.as_ref()?;
        let stamp = in_place.stamp(index)?;
        self.finished.get().is_none().then_some(stamp)
    }

    /// The sealed stamp of file `index`. Before [`Store::seal`], the stamp with which a file in
    /// place was found, or with which a linked file was verified.
    pub(super) fn sealed_stamp(&self, index: usize) -> Option<FileStamp> {
        let position = match self.layout.kind(index) {
            FileKind::Unwanted => self.layout.count(),
            FileKind::Wanted | FileKind::Padding => index,
        };
        match self.sealed.get() {
            Some(sealed) => sealed.get(position).copied().flatten(),
            None => self
                .in_place_stamp(index)
                .or_else(|| self.linked_files.stamp(index)),
        }
    }

    fn read_error(&self, index: usize, error: io::Error) -> StoreError {
        let path = self.file_path(index);
        if error.kind() == io::ErrorKind::UnexpectedEof {
            StoreError::Cut(path)
        } else {
            StoreError::io("read", &path, error)
        }
    }
}
