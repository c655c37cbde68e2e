//! Which bytes of a share are in which of its files, and which files are wanted. Pure: this module
//! opens no file.

use super::StoreError;
use crate::torrent::{FilePath, Info, Layout, PieceIndex, Selection, file_parts};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The files of a share, and which of them are wanted.
#[derive(Clone, Debug)]
pub struct FileLayout {
    info: Arc<Info>,
    selection: Arc<Selection>,
    /// Whether symbolic links inside the folder of the share are followed.
    follows_links: bool,
}

/// Where the bytes of a file are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    /// In the file itself.
    Wanted,
    /// In the parts file, and only the bytes of needed pieces.
    Unwanted,
    /// Nowhere: they are zeros (BEP 47 `p`).
    Padding,
}

/// The bytes of a range of the share that are in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// The file's index in [`Info::files`].
    pub(super) index: usize,
    pub(super) kind: FileKind,
    /// Offset in the file that stores the bytes.
    pub(super) offset: u64,
    pub(super) length: u64,
}

impl FileLayout {
    /// A share whose files are all wanted.
    pub fn all(info: Arc<Info>) -> Self {
        let selection = Arc::new(Selection::all(&info));
        Self::chosen(info, selection)
    }

    /// A share of which only the files of `selection` are wanted.
    pub fn chosen(info: Arc<Info>, selection: Arc<Selection>) -> Self {
        Self {
            info,
            selection,
            follows_links: false,
        }
    }

    /// The same share. `follows_links`: symbolic links inside its folder are followed when a file
    /// is read. No file of a download is opened in this way.
    pub fn following_links(self, follows_links: bool) -> Self {
        Self {
            follows_links,
            ..self
        }
    }

    /// Whether symbolic links inside the folder of the share are followed.
    pub(super) fn follows_links(&self) -> bool {
        self.follows_links
    }

    /// The info dictionary of the share.
    pub fn info(&self) -> &Arc<Info> {
        &self.info
    }

    /// Number of files, including padding.
    pub(super) fn count(&self) -> usize {
        self.info.files().len()
    }

    /// Whether needed pieces contain bytes of files that are not wanted.
    pub(super) fn is_mixed(&self) -> bool {
        self.selection.is_mixed()
    }

    /// Whether a piece contains bytes of files that are not wanted.
    pub(super) fn is_mixed_piece(&self, piece: PieceIndex) -> bool {
        let mut segments = self.segments_of(piece);
        segments.any(|segment| segment.kind == FileKind::Unwanted)
    }

    /// The pieces that contain bytes of wanted files.
    pub(super) fn needed_pieces(&self) -> impl Iterator<Item = PieceIndex> + Send + '_ {
        let pieces = self.info.lengths().all_pieces();
        pieces.filter(|piece| self.needs(*piece))
    }

    /// Whether a piece contains bytes of wanted files.
    pub(super) fn needs(&self, piece: PieceIndex) -> bool {
        self.selection.needed().contains(piece)
    }

    /// Where the bytes of a file are stored. A share that is a single file is never padding.
    pub(super) fn kind(&self, index: usize) -> FileKind {
        let file = self.info.files().get(index);
        let is_padding = file.is_none_or(|file| file.attributes.padding);
        if is_padding && self.info.layout() == Layout::Folder {
            FileKind::Padding
        } else if self.selection.has_file(index) {
            FileKind::Wanted
        } else {
            FileKind::Unwanted
        }
    }

    pub(super) fn is_wanted(&self, index: usize) -> bool {
        self.kind(index) == FileKind::Wanted
    }

    /// The indices of the wanted files.
    pub(super) fn wanted_files(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.count()).filter(|index| self.is_wanted(*index))
    }

    /// Length of a file in bytes.
    pub(super) fn length(&self, index: usize) -> u64 {
        self.info.files().get(index).map_or(0, |file| file.length)
    }

    /// The path of a file inside the folder of the share.
    pub(super) fn path(&self, index: usize) -> Option<&FilePath> {
        self.info.files().get(index).map(|file| &file.path)
    }

    /// The indices of the files that contain bytes of a piece, without padding.
    pub(super) fn files_of(&self, piece: PieceIndex) -> impl Iterator<Item = usize> + '_ {
        let segments = self.segments_of(piece);
        let stored = segments.filter(|segment| segment.kind != FileKind::Padding);
        stored.map(|segment| segment.index)
    }

    fn segments_of(&self, piece: PieceIndex) -> impl Iterator<Item = Segment> + '_ {
        let lengths = self.info.lengths();
        let segments = self.segments(lengths.offset(piece), lengths.length(piece).into());
        segments.into_iter().flatten()
    }

    /// The folders inside the share that contain these files. A folder comes before the folders in
    /// it.
    pub(super) fn folders_of(&self, files: impl Iterator<Item = usize>) -> BTreeSet<FilePath> {
        let mut folders = BTreeSet::new();
        for path in files.filter_map(|index| self.path(index)) {
            let mut above = path.components();
            while let [parent @ .., _] = above
                && let Ok(path) = FilePath::new(parent.to_vec())
                && folders.insert(path)
            {
                above = parent;
            }
        }
        folders
    }

    /// The segments of a range of bytes, in order. No segment is empty.
    ///
    /// # Errors
    /// [`StoreError::Outside`] if the share does not have these bytes.
    pub(super) fn segments(
        &self,
        offset: u64,
        length: u64,
    ) -> Result<impl Iterator<Item = Segment> + '_, StoreError> {
        let total = self.info.lengths().total();
        let end = offset.checked_add(length).filter(|end| *end <= total);
        end.ok_or(StoreError::Outside {
            offset,
            length,
            total,
        })?;
        Ok(file_parts(&self.info, offset, length).map(|part| {
            let kind = self.kind(part.index);
            let file = self.info.files().get(part.index);
            // The parts file uses offsets in the share.
            let in_parts_file = file.filter(|_| kind == FileKind::Unwanted);
            Segment {
                index: part.index,
                kind,
                offset: in_parts_file.map_or(0, |file| file.offset) + part.offset,
                length: part.length,
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{padded, sample};
    use super::*;

    #[test]
    fn each_byte_is_in_a_wanted_file_or_in_the_parts_file_or_is_padding() {
        let sample = sample();
        let chosen = Selection::of(&sample.info, &["sub/big".parse().unwrap()]).unwrap();
        let layout = FileLayout::chosen(sample.info.clone(), Arc::new(chosen));
        let segment = |index, kind, offset, length| Segment {
            index,
            kind,
            offset,
            length,
        };
        let segments: Vec<Segment> = layout.segments(99_990, 1_500_020).unwrap().collect();
        let expected = [
            segment(0, FileKind::Unwanted, 99_990, 10),
            segment(2, FileKind::Wanted, 0, 1_500_000),
            segment(3, FileKind::Unwanted, 1_600_000, 10),
        ];
        assert_eq!(segments, expected);
        assert!(layout.segments(1_700_000, 0).unwrap().next().is_none());
        for (offset, length) in [(1_700_000, 1), (u64::MAX, 1)] {
            let outside = layout.segments(offset, length).err();
            assert!(matches!(outside, Some(StoreError::Outside { .. })));
        }
        assert_eq!(layout.wanted_files().collect::<Vec<_>>(), [2]);
        let mixed: Vec<u32> = layout
            .needed_pieces()
            .filter(|piece| layout.is_mixed_piece(*piece))
            .map(|piece| piece.number())
            .collect();
        assert_eq!(mixed, [0, 6]);

        let layout = FileLayout::all(Arc::new(padded()));
        let segments: Vec<Segment> = layout.segments(8, 10).unwrap().collect();
        let expected = [
            segment(0, FileKind::Wanted, 8, 2),
            segment(1, FileKind::Padding, 0, 6),
            segment(2, FileKind::Wanted, 0, 2),
        ];
        assert_eq!(segments, expected);
    }
}
