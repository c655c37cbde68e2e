//! The files of one share as one run of bytes, for reading.
//!
//! In scope: reads and spans of files by position, from any number of threads; whether the files
//! are still those that were verified, seen by their stamps. No lock is held over I/O. Padding
//! (BEP 47 `p`) reads as zeros. Out of scope: writing (`download`), and which bytes are right
//! (`verify`).
//!
//! A change of a file that keeps its length, modification time and inode is not seen here; the
//! SHA-1 at the other side sees it.
//!
//! A store holds one descriptor of its own (two while it is downloaded); all stores share a few
//! other open files.

use super::in_place::InPlace;
use super::layout::{FileLayout, Kind, Segment};
use super::open_files::OpenFiles;
use super::parts_file::PartsFile;
use super::root::Root;
use super::tree::{Access, metadata};
use super::{Stamp, StoreError};
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
    /// Where the files are; of a download where they are until it is finished.
    root: Root,
    /// Where the files of a download are once it is finished.
    finished: OnceLock<Root>,
    /// What the files are opened for until then.
    access: Access,
    /// Files of a download that are under the final name already.
    in_place: Option<Arc<InPlace>>,
    /// None where no needed piece holds bytes of files that are left out, or where it is missing.
    parts: Option<Arc<PartsFile>>,
    /// The stamp of each file as it was verified; the parts file comes last.
    sealed: OnceLock<Vec<Option<Stamp>>>,
    open_files: OpenFiles,
}

/// A run of bytes of the share as it lies on disk.
#[derive(Clone, Debug)]
pub enum Span {
    /// Bytes of a file.
    File {
        /// The open file, for `sendfile` or reads at an explicit offset.
        file: Arc<File>,
        /// The first byte in the file.
        offset: u64,
        /// How many.
        length: u64,
        /// Which file of [`Info::files`]; see [`Store::file_path`].
        index: usize,
    },
    /// That many zeros, stored nowhere.
    Padding(u64),
}

impl Store {
    /// Opens the files of a share where they are, for reading. `path` is the file or the folder
    /// itself, and may be a link to it; links inside the folder are refused. The files themselves
    /// are looked at by [`Store::stamps`] and opened when they are read.
    ///
    /// # Errors
    /// When the file or folder is missing, is of the other kind, or cannot be opened.
    pub fn open(layout: FileLayout, path: &Path) -> Result<Self, StoreError> {
        let root = Root::open(layout.info().layout(), path)?;
        let mixed = layout.is_mixed().then(|| layout.info());
        let parts = mixed.and_then(|info| PartsFile::of_share(info, path));
        let store = Self::of_download(layout, root, None, parts.map(Arc::new));
        let access = Access::Read;
        Ok(Self { access, ..store })
    }

    /// The files of a download, which opens them for writing.
    pub(super) fn of_download(
        layout: FileLayout,
        root: Root,
        in_place: Option<Arc<InPlace>>,
        parts: Option<Arc<PartsFile>>,
    ) -> Self {
        Self {
            layout,
            root,
            finished: OnceLock::new(),
            access: Access::Write,
            in_place,
            parts,
            sealed: OnceLock::new(),
            open_files: OpenFiles::new(),
        }
    }

    /// The download is finished: from now on its files are here. Open files stay open.
    pub(super) fn finished_at(&self, root: Root) {
        let _ = self.finished.set(root);
    }

    /// What is shared.
    pub fn info(&self) -> &Arc<Info> {
        self.layout.info()
    }

    pub(super) fn layout(&self) -> &FileLayout {
        &self.layout
    }

    /// The file or folder of the share at present.
    pub(super) fn root(&self) -> &Root {
        self.finished.get().unwrap_or(&self.root)
    }

    /// The path of the file or folder of the share at present.
    pub fn path(&self) -> &Path {
        self.root().path()
    }

    /// The path of file `index` of [`Info::files`] at present. For a file that is left out it is
    /// the path of the parts file.
    pub fn file_path(&self, index: usize) -> PathBuf {
        match &self.parts {
            Some(parts) if self.layout.kind(index) == Kind::LeftOut => parts.path().to_owned(),
            _ => self.root_of(index).file_path(self.layout.path(index)),
        }
    }

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// When a file cannot be read or has become shorter, or the share does not have these bytes.
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

    /// The bytes from `offset` on as they lie in files, in order, each opened when the iterator
    /// comes to it.
    ///
    /// # Errors
    /// When the share does not have these bytes; each item, when its file cannot be opened.
    pub fn spans(
        &self,
        offset: u64,
        length: u64,
    ) -> Result<impl Iterator<Item = Result<Span, StoreError>> + '_, StoreError> {
        let segments = self.layout.segments(offset, length)?;
        Ok(segments.map(|segment| {
            Ok(match self.file(&segment)? {
                None => Span::Padding(segment.length),
                Some(file) => Span::File {
                    file,
                    offset: segment.offset,
                    length: segment.length,
                    index: segment.index,
                },
            })
        }))
    }

    /// A stamp of each wanted file, in the order of [`Info::files`]; the one of the parts file
    /// last.
    ///
    /// # Errors
    /// When a file is missing, cannot be opened, or has another length than the torrent says.
    pub fn stamps(&self) -> Result<Vec<Stamp>, StoreError> {
        let mut stamps = Vec::new();
        self.stamps_from(0, usize::MAX, &mut stamps)?;
        Ok(stamps)
    }

    /// Appends the stamps of [`Store::stamps`] for up to `count` files from file `start` on.
    /// Returns where the next call starts; none at the end.
    ///
    /// # Errors
    /// See [`Store::stamps`].
    pub fn stamps_from(
        &self,
        start: usize,
        count: usize,
        stamps: &mut Vec<Stamp>,
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
        if let Some(parts) = &self.parts {
            let path = || parts.path().to_owned();
            stamps.push(Stamp::of(&metadata(parts.file(), path)?));
        }
        Ok(None)
    }

    /// Whether the wanted files are as they were when `stamps` were taken; the parts file may
    /// differ.
    pub fn has_files_unchanged(&self, stamps: &[Stamp]) -> bool {
        let files = self.layout.wanted_files().count();
        let then = stamps.get(..files);
        let now = self.stamps();
        then.is_some_and(|then| now.is_ok_and(|now| now.get(..files) == Some(then)))
    }

    /// Whether every file is still as it was when `stamps` were taken.
    pub fn unchanged(&self, stamps: &[Stamp]) -> bool {
        self.stamps().is_ok_and(|now| now == stamps)
    }

    /// Whether a piece cannot be read because the parts file is missing.
    pub fn lacks(&self, piece: PieceIndex) -> bool {
        self.parts.is_none() && self.is_mixed(piece)
    }

    /// Whether a piece holds bytes of a file that is left out.
    pub fn is_mixed(&self, piece: PieceIndex) -> bool {
        self.layout.is_mixed_piece(piece)
    }

    /// From now on the files count as verified with these `stamps` ([`Store::stamps`]), for good.
    /// The caller takes the stamps before it verifies the files, so that a change meanwhile is
    /// seen.
    pub fn seal(&self, stamps: &[Stamp]) {
        let files = self.layout.count();
        let mut sealed = vec![None; files + 1];
        let indices = self.layout.wanted_files();
        let indices = indices.chain(self.parts.iter().map(|_| files));
        for (index, stamp) in indices.zip(stamps) {
            if let Some(place) = sealed.get_mut(index) {
                *place = Some(*stamp);
            }
        }
        let _ = self.sealed.set(sealed);
    }

    /// The stamps given to [`Store::seal`]; none before.
    pub fn sealed(&self) -> Option<Vec<Stamp>> {
        let sealed = self.sealed.get()?;
        Some(sealed.iter().copied().flatten().collect())
    }

    /// Whether the open file of a span is as it was sealed. Costs one system call.
    ///
    /// # Errors
    /// [`StoreError::Changed`] if it is not; when the file cannot be looked at.
    pub fn vouch(&self, span: &Span) -> Result<(), StoreError> {
        let Span::File { file, index, .. } = span else {
            return Ok(());
        };
        let Some(sealed) = self.sealed_file(*index) else {
            return Ok(());
        };
        let path = || self.file_path(*index);
        if Stamp::of(&metadata(file, path)?) == sealed {
            Ok(())
        } else {
            Err(StoreError::Changed(path()))
        }
    }

    /// Looks at the paths of up to `count` files from file `start` on. Returns the file after
    /// them; none at the end.
    ///
    /// # Errors
    /// [`StoreError::Missing`] or [`StoreError::Changed`] if one is not as it was sealed; when one
    /// cannot be looked at.
    pub fn look(&self, start: usize, count: usize) -> Result<Option<usize>, StoreError> {
        let files = self.layout.count();
        let end = start.saturating_add(count).min(files);
        for index in (start..end).filter(|index| self.layout.is_wanted(*index)) {
            let Some(sealed) = self.sealed_file(index) else {
                continue;
            };
            let path = self.file_path(index);
            // The file that a person named may be a link; inside a folder none is followed.
            let metadata = match self.root().folder() {
                None => fs::metadata(&path),
                Some(_) => fs::symlink_metadata(&path),
            };
            let metadata = metadata.map_err(|error| StoreError::io("look at", &path, error))?;
            if Stamp::of(&metadata) != sealed {
                return Err(StoreError::Changed(path));
            }
        }
        Ok(Some(end).filter(|end| *end < files))
    }

    /// The stamp of file `index`, open as `file`, if it has the right length.
    pub(super) fn stamp(&self, index: usize, file: &File) -> Result<Stamp, StoreError> {
        let stamp = Stamp::of(&metadata(file, || self.file_path(index))?);
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

    /// The wanted files of a download that are not in place; they lie in its partial file or
    /// folder.
    pub(super) fn fetched_files(&self) -> impl Iterator<Item = usize> + '_ {
        let wanted = self.layout.wanted_files();
        wanted.filter(|index| !self.is_in_place(*index))
    }

    /// Whether a file of a download is under the final name while the download is not finished.
    pub(super) fn is_in_place(&self, index: usize) -> bool {
        self.in_place_stamp(index).is_some()
    }

    /// Opens file `index` apart from the files that are kept open.
    pub(super) fn open_file(&self, index: usize, access: Access) -> Result<Arc<File>, StoreError> {
        let path = self.layout.path(index);
        let path = path.ok_or_else(|| StoreError::Missing(self.path().to_owned()))?;
        let access = match self.is_in_place(index) {
            true => Access::Read,
            false => access,
        };
        self.root_of(index).open_file(path, access)
    }

    /// The open file that stores a segment; none for padding.
    pub(super) fn file(&self, segment: &Segment) -> Result<Option<Arc<File>>, StoreError> {
        let index = segment.index;
        match segment.kind {
            Kind::Padding => Ok(None),
            Kind::LeftOut => match &self.parts {
                Some(parts) => Ok(Some(Arc::clone(parts.file()))),
                None => Err(StoreError::Missing(self.file_path(index))),
            },
            Kind::Wanted => {
                let access = match self.finished.get() {
                    None => self.access,
                    Some(_) => Access::Read,
                };
                let open = || self.open_file(index, access);
                match self.root.folder() {
                    // It is open as long as the store.
                    None => open().map(Some),
                    Some(_) => self.open_files.file(index, open).map(Some),
                }
            }
        }
    }

    /// The file or folder in which file `index` is at present.
    fn root_of(&self, index: usize) -> &Root {
        let in_place = self.in_place.as_ref();
        match in_place.filter(|_| self.is_in_place(index)) {
            Some(in_place) => in_place.root(),
            None => self.root(),
        }
    }

    fn in_place_stamp(&self, index: usize) -> Option<Stamp> {
        let in_place = self.in_place.as_ref()?;
        let stamp = in_place.stamp(index)?;
        self.finished.get().is_none().then_some(stamp)
    }

    fn sealed_file(&self, index: usize) -> Option<Stamp> {
        let place = match self.layout.kind(index) {
            Kind::LeftOut => self.layout.count(),
            Kind::Wanted | Kind::Padding => index,
        };
        match self.sealed.get() {
            Some(sealed) => sealed.get(place).copied().flatten(),
            None => self.in_place_stamp(index),
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
