//! The files of one share as one run of bytes.
//!
//! In scope: reading, writing and handing out spans of files, by position, from any number of threads; no lock is held
//! over I/O. Padding (BEP 47 `p`) is not stored: it reads as zeros. Out of scope: which bytes are right (`check.rs`).
//!
//! A store holds one descriptor of its own (two while it downloads); the other open files are few over all stores.

use super::download::Download;
use super::gather::Gather;
use super::open_files::OpenFiles;
use super::rest::Rest;
use super::standing::Standing;
use super::tree::{Access, Folder, open_named_file};
use super::{Stamp, StoreError};
use crate::torrent::{Info, Layout, PieceIndex, Selection};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// The files of one share.
#[derive(Debug)]
pub struct Store {
    pub(super) info: Arc<Info>,
    pub(super) root: Root,
    pub(super) download: Option<Download>,
    /// Where a download stands once it is finished.
    pub(super) finished: OnceLock<Root>,
    /// The stamp of each stored file as it was verified, once the share is whole.
    pub(super) sealed: OnceLock<Vec<Option<Stamp>>>,
    open_files: OpenFiles,
    pub(super) selection: Arc<Selection>,
    /// What needed pieces hold of files that are not wanted; none where nothing does, or it is missing.
    pub(super) rest: Option<Rest>,
    /// The same from when fewer files were wanted, where by now nothing is left to be held so.
    pub(super) leftover: Option<Rest>,
    /// Files of a download that stand under their final name already.
    pub(super) standing: Option<Standing>,
}

/// The file or folder of the share itself.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) path: PathBuf,
    pub(super) base: Base,
}

#[derive(Debug)]
pub(super) enum Base {
    File(Arc<File>),
    Folder(Folder),
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
    /// So many zeros, stored nowhere.
    Padding(u64),
}

/// The part of a run of bytes that lies in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) index: usize,
    pub(super) offset: u64,
    pub(super) length: u64,
}

impl Store {
    /// Opens data that is whole and stays where it is, for reading. `path` is the file or the folder itself, and may be
    /// a link to it; links inside the folder are refused.
    ///
    /// # Errors
    /// When a file is missing, not regular, cannot be opened, or has another length than the torrent says.
    pub fn open_share(info: Arc<Info>, path: &Path) -> Result<Self, StoreError> {
        let all = Arc::new(Selection::all(&info));
        Self::open_chosen_share(info, all, path)
    }

    /// As [`Store::open_share`], for a share of which no more is there than some files, as
    /// [`Store::open_chosen_download`] leaves it.
    ///
    /// # Errors
    /// See [`Store::open_share`].
    pub fn open_chosen_share(
        info: Arc<Info>,
        selection: Arc<Selection>,
        path: &Path,
    ) -> Result<Self, StoreError> {
        let store = Self::open_chosen_unseen(info, selection, path)?;
        store.stamps()?;
        Ok(store)
    }

    /// As [`Store::open_chosen_share`], without a look at the files: [`Store::stamps_from`] looks at them, some at a time.
    ///
    /// # Errors
    /// When the file or folder of the share is missing, is none, or cannot be opened.
    pub fn open_chosen_unseen(
        info: Arc<Info>,
        selection: Arc<Selection>,
        path: &Path,
    ) -> Result<Self, StoreError> {
        let mut store = Self::open_unchecked(info, path)?;
        if selection.is_mixed() {
            store.rest = Rest::open(&store.info, path);
        }
        store.selection = selection;
        Ok(store)
    }

    /// As [`Store::open_share`], whatever state the files are in.
    pub(super) fn open_unchecked(info: Arc<Info>, path: &Path) -> Result<Self, StoreError> {
        let base = match info.layout() {
            Layout::File => Base::File(Arc::new(open_named_file(path)?)),
            Layout::Folder => Base::Folder(Folder::open(path)?),
        };
        let path = path.to_owned();
        Ok(Self::new(info, Root { path, base }, None))
    }

    pub(super) fn new(info: Arc<Info>, root: Root, download: Option<Download>) -> Self {
        Self {
            selection: Arc::new(Selection::all(&info)),
            info,
            root,
            download,
            finished: OnceLock::new(),
            sealed: OnceLock::new(),
            open_files: OpenFiles::new(),
            rest: None,
            leftover: None,
            standing: None,
        }
    }

    /// What is shared.
    pub fn info(&self) -> &Arc<Info> {
        &self.info
    }

    /// Where the file or folder of the share stands at present.
    pub fn path(&self) -> &Path {
        &self.root().path
    }

    /// Where file `index` of [`Info::files`] stands at present.
    pub fn file_path(&self, index: usize) -> PathBuf {
        let standing = self.standing_at(index);
        let root = standing.map_or_else(|| self.root(), |standing| &standing.root);
        if let Some(rest) = self.rest.as_ref().filter(|_| self.is_left_out(index)) {
            return rest.path.clone();
        }
        match (&root.base, self.info.files().get(index)) {
            (Base::Folder(_), Some(file)) => root.path.join(file.path.to_path()),
            _ => root.path.clone(),
        }
    }

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// When a file cannot be read or has become shorter, or the share does not have these bytes.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StoreError> {
        let mut rest = buffer;
        for segment in self.segments(offset, rest.len() as u64)? {
            let length = usize::try_from(segment.length).unwrap_or(usize::MAX);
            let Some((part, later)) = rest.split_at_mut_checked(length) else {
                break;
            };
            rest = later;
            match self.file(segment.index)? {
                None => part.fill(0),
                Some(file) => file
                    .read_exact_at(part, segment.offset)
                    .map_err(|error| self.read_error(segment.index, error))?,
            }
        }
        Ok(())
    }

    /// Writes consecutive `blocks` from `offset` on. Files that stand under their final name already stay as they are.
    ///
    /// # Errors
    /// When the share is not a download in progress, does not have these bytes, or a file cannot take all of them: then
    /// nothing of these blocks counts as written.
    pub fn write(&self, offset: u64, blocks: &[&[u8]]) -> Result<(), StoreError> {
        if !self.is_writable() {
            return Err(StoreError::ReadOnly(self.path().to_owned()));
        }
        let length = blocks.iter().map(|block| block.len() as u64).sum();
        let mut blocks = Gather::new(blocks);
        for segment in self.segments(offset, length)? {
            let stands = self.standing_at(segment.index).is_some();
            match self.file(segment.index)?.filter(|_| !stands) {
                None => blocks.skip(segment.length),
                Some(file) => {
                    // A file that somebody cut would get its length back by the next piece, and a hole for those before it.
                    if self.is_wanted(segment.index) {
                        self.stamp(segment.index, &file)?;
                    }
                    blocks
                        .write(&file, segment.offset, segment.length)
                        .map_err(|error| {
                            StoreError::io("write", &self.file_path(segment.index), error)
                        })?;
                }
            }
        }
        Ok(())
    }

    /// The bytes from `offset` on as they lie in files, in order, each opened when the iterator comes to it.
    ///
    /// # Errors
    /// When the share does not have these bytes; each item, when its file cannot be opened.
    pub fn spans(
        &self,
        offset: u64,
        length: u64,
    ) -> Result<impl Iterator<Item = Result<Span, StoreError>> + '_, StoreError> {
        let segments = self.segments(offset, length)?;
        Ok(segments.map(|segment| {
            Ok(match self.file(segment.index)? {
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

    /// A stamp of each file that is stored, in the order of [`Info::files`]; behind them, of what needed pieces hold of
    /// other files.
    ///
    /// # Errors
    /// When a file is missing, cannot be opened, or has another length than the torrent says.
    pub fn stamps(&self) -> Result<Vec<Stamp>, StoreError> {
        let mut stamps = Vec::new();
        self.stamps_from(0, usize::MAX, &mut stamps)?;
        Ok(stamps)
    }

    /// Appends what [`Store::stamps`] gives of up to `count` files from `start` of [`Info::files`] on. Gives where the next call is
    /// to start; none at the end.
    ///
    /// # Errors
    /// See [`Store::stamps`].
    pub fn stamps_from(
        &self,
        start: usize,
        count: usize,
        stamps: &mut Vec<Stamp>,
    ) -> Result<Option<usize>, StoreError> {
        let files = self.info.files().len();
        let end = start.saturating_add(count).min(files);
        for index in (start..end).filter(|index| self.is_wanted(*index)) {
            let file = self.open_file(index, Access::Read)?;
            stamps.push(self.stamp(index, &file)?);
        }
        if end < files {
            return Ok(Some(end));
        }
        if let Some(rest) = &self.rest {
            let metadata = rest.file.metadata();
            let metadata =
                metadata.map_err(|error| StoreError::io("look at", &rest.path, error))?;
            stamps.push(Stamp::of(&metadata));
        }
        Ok(None)
    }

    /// Whether the wanted files are as they were when `stamps` were taken, whatever became of what lies beside them.
    pub fn has_files_unchanged(&self, stamps: &[Stamp]) -> bool {
        let files = self.stored_files().count();
        let then = stamps.get(..files);
        let now = self.stamps();
        then.is_some_and(|then| now.is_ok_and(|now| now.get(..files) == Some(then)))
    }

    /// Whether a piece holds bytes of a file that is not wanted, and they are gone from beside the files.
    pub fn lacks(&self, piece: PieceIndex) -> bool {
        self.rest.is_none() && self.is_mixed(piece)
    }

    /// Whether a piece holds bytes of a file that is not wanted.
    pub fn is_mixed(&self, piece: PieceIndex) -> bool {
        let lengths = self.info.lengths();
        let segments = self.segments(lengths.offset(piece), lengths.length(piece).into());
        segments.is_ok_and(|mut segments| segments.any(|part| self.is_left_out(part.index)))
    }

    /// Whether every file is still as it was when `stamps` were taken.
    pub fn unchanged(&self, stamps: &[Stamp]) -> bool {
        self.stamps().is_ok_and(|now| now == stamps)
    }

    /// The stamp of file `index`, open as `file`, if it has the right length.
    pub(super) fn stamp(&self, index: usize, file: &File) -> Result<Stamp, StoreError> {
        let path = || self.file_path(index);
        let metadata = file
            .metadata()
            .map_err(|error| StoreError::io("look at", &path(), error))?;
        let stamp = Stamp::of(&metadata);
        let expected = self.info.files().get(index).map_or(0, |file| file.length);
        if stamp.length != expected {
            return Err(StoreError::Length {
                path: path(),
                found: stamp.length,
                expected,
            });
        }
        Ok(stamp)
    }

    /// The files that are stored, by their index.
    pub(super) fn stored_files(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.info.files().len()).filter(|index| self.is_wanted(*index))
    }

    /// Those of them that lie in the partial file or folder as long as the download is under way.
    pub(super) fn fetched_files(&self) -> impl Iterator<Item = usize> + '_ {
        let stored = self.stored_files();
        stored.filter(|index| self.standing_at(*index).is_none())
    }

    fn is_wanted(&self, index: usize) -> bool {
        self.is_stored(index) && self.selection.has_file(index)
    }

    /// Whether a file is not wanted, though it is no padding.
    pub(super) fn is_left_out(&self, index: usize) -> bool {
        !self.selection.has_file(index) && self.is_stored(index)
    }

    /// Opens file `index` apart from the files that are kept open.
    pub(super) fn open_file(&self, index: usize, access: Access) -> Result<Arc<File>, StoreError> {
        let standing = self.standing_at(index);
        let access = standing.map_or(access, |_| Access::Read);
        let root = standing.map_or_else(|| self.root(), |standing| &standing.root);
        match &root.base {
            Base::File(file) => Ok(file.clone()),
            Base::Folder(folder) => {
                let file = self.info.files().get(index);
                let file = file.ok_or_else(|| StoreError::Missing(self.path().to_owned()))?;
                let create = access == Access::Create;
                let open = |folder: &Folder, name: &str| folder.file(name, access);
                folder.below(&file.path, create, open).map(Arc::new)
            }
        }
    }

    /// The files in which bytes lie, without those that have none of them.
    pub(super) fn segments(
        &self,
        offset: u64,
        length: u64,
    ) -> Result<impl Iterator<Item = Segment> + '_, StoreError> {
        let total = self.info.lengths().total();
        let end = offset.checked_add(length).filter(|end| *end <= total);
        let end = end.ok_or(StoreError::Outside {
            offset,
            length,
            total,
        })?;
        let files = self.info.files();
        let first = files.partition_point(|file| file.offset + file.length <= offset);
        let files = files.iter().enumerate().skip(first);
        Ok(files
            .take_while(move |(_, file)| file.offset < end)
            .map(move |(index, file)| {
                let from = offset.max(file.offset);
                // What is left out lies together, where it is in the share.
                let start = match self.is_left_out(index) {
                    true => 0,
                    false => file.offset,
                };
                Segment {
                    index,
                    offset: from - start,
                    length: end.min(file.offset + file.length) - from,
                }
            })
            .filter(|segment| segment.length > 0))
    }

    /// File `index`, open; none for padding.
    pub(super) fn file(&self, index: usize) -> Result<Option<Arc<File>>, StoreError> {
        if !self.is_stored(index) {
            return Ok(None);
        }
        if self.is_left_out(index) {
            let rest = self.rest.as_ref().map(|rest| Arc::clone(&rest.file));
            return rest
                .map(Some)
                .ok_or_else(|| StoreError::Missing(self.file_path(index)));
        }
        let file = match &self.root.base {
            Base::File(file) => file.clone(),
            Base::Folder(_) => {
                let access = if self.is_writable() {
                    Access::Write
                } else {
                    Access::Read
                };
                let open = || self.open_file(index, access);
                self.open_files.file(index, open)?
            }
        };
        Ok(Some(file))
    }

    pub(super) fn root(&self) -> &Root {
        self.finished.get().unwrap_or(&self.root)
    }

    pub(super) fn is_writable(&self) -> bool {
        self.download.is_some() && self.finished.get().is_none()
    }

    /// Where a file stands under its final name already, as long as the download is under way.
    pub(super) fn standing_at(&self, index: usize) -> Option<&Standing> {
        let standing = self.standing.as_ref()?;
        let here = self.finished.get().is_none() && standing.stamp(index).is_some();
        here.then_some(standing)
    }

    fn is_stored(&self, index: usize) -> bool {
        let file = self.info.files().get(index);
        self.info.layout() == Layout::File || file.is_some_and(|file| !file.attributes.padding)
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

#[cfg(test)]
mod tests {
    use super::super::testing::{Sample, sample};
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn reads_and_spans_cross_files_and_know_their_bounds() {
        let Sample {
            folder,
            info,
            bytes,
        } = sample();
        // By a link to the folder, as a user may name it.
        let link = folder.path().join("link");
        symlink("set", &link).unwrap();
        let store = Store::open_share(info, &link).unwrap();
        let total = bytes.len() as u64;
        for (offset, length) in [
            (0, total),
            (99_999, 2),
            (100_000, 1),
            (1_599_990, 20),
            (7, 0),
        ] {
            let expected = &bytes[offset as usize..(offset + length) as usize];
            let mut read = vec![0; length as usize];
            store.read(offset, &mut read).unwrap();
            assert!(read == expected, "{offset}+{length}");
            let mut spanned = Vec::new();
            for span in store.spans(offset, length).unwrap() {
                let Span::File {
                    file,
                    offset,
                    length,
                    ..
                } = span.unwrap()
                else {
                    panic!("there is no padding here");
                };
                assert!(length > 0, "an empty span looks like the end of a file");
                let mut part = vec![0; length as usize];
                file.read_exact_at(&mut part, offset).unwrap();
                spanned.extend(part);
            }
            assert!(spanned == expected, "{offset}+{length}");
        }
        for (offset, length) in [(total, 1), (u64::MAX, 1), (0, total + 1)] {
            let outside = store.spans(offset, length).err();
            assert!(matches!(outside, Some(StoreError::Outside { .. })));
        }
        let write = store.write(0, &[b"x"]).unwrap_err();
        assert!(matches!(write, StoreError::ReadOnly(_)));
        assert!(store.finish().is_err() && store.discard().is_err());
    }

    #[test]
    fn a_share_that_is_not_as_the_torrent_says_is_refused_by_its_file() {
        let Sample { folder, info, .. } = sample();
        let top = folder.path().join("set");
        let store = Store::open_share(info.clone(), &top).unwrap();
        let stamps = store.stamps().unwrap();
        assert!(stamps.len() == 4 && store.unchanged(&stamps));
        let (mut some, mut next) = (Vec::new(), Some(0));
        while let Some(start) = next {
            next = store.stamps_from(start, 2, &mut some).unwrap();
            assert!(next.is_none_or(|next| next == start + 2));
        }
        assert!(some == stamps && store.has_files_unchanged(&some));
        assert!(!store.has_files_unchanged(&stamps[1..]));
        let open = || Store::open_share(info.clone(), &top).unwrap_err();
        let big = fs::File::options()
            .write(true)
            .open(top.join("sub/big"))
            .unwrap();
        big.set_len(1_499_999).unwrap();
        assert!(!store.unchanged(&stamps));
        let error = open();
        assert!(matches!(
            error,
            StoreError::Length {
                found: 1_499_999,
                expected: 1_500_000,
                ..
            }
        ));
        assert!(error.to_string().contains("sub/big"), "{error}");
        let mut buffer = [0; 16];
        let cut = store.read(1_599_990, &mut buffer).unwrap_err();
        assert!(matches!(cut, StoreError::Cut(path) if path == top.join("sub/big")));
        fs::rename(top.join("sub"), folder.path().join("elsewhere")).unwrap();
        symlink(folder.path().join("elsewhere"), top.join("sub")).unwrap();
        assert!(matches!(open(), StoreError::Symlink(path) if path == top.join("sub")));
        fs::remove_file(top.join("sub")).unwrap();
        assert!(matches!(open(), StoreError::Missing(path) if path == top.join("sub")));
        fs::write(top.join("sub"), "").unwrap();
        assert!(matches!(open(), StoreError::NotAFolder(_)));
        fs::remove_dir_all(&top).unwrap();
        assert!(matches!(open(), StoreError::Missing(path) if path == top));
    }

    #[test]
    fn a_file_touched_or_replaced_is_no_longer_unchanged() {
        let Sample { folder, info, .. } = sample();
        let path = folder.path().join("set/a");
        let store = Store::open_share(info, &folder.path().join("set")).unwrap();
        let stamps = store.stamps().unwrap();
        let modified = path.metadata().unwrap().modified().unwrap();
        let set_modified = |time| {
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(time).unwrap();
        };
        set_modified(std::time::UNIX_EPOCH);
        assert!(!store.unchanged(&stamps));
        set_modified(modified);
        assert!(store.unchanged(&stamps));
        let copy = folder.path().join("copy");
        fs::copy(&path, &copy).unwrap();
        fs::rename(&copy, &path).unwrap();
        set_modified(modified);
        assert!(!store.unchanged(&stamps));
    }
}
