//! Where the bytes of a share lie in its files, and which of its files are wanted. Pure: no file is
//! opened here.

use super::StoreError;
use crate::torrent::{FilePath, Info, Layout, PieceIndex, Selection, parts};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The files of a share, and which of them are wanted.
#[derive(Clone, Debug)]
pub struct FileLayout {
    info: Arc<Info>,
    selection: Arc<Selection>,
}

/// Where the bytes of a file are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// In the file itself.
    Wanted,
    /// In the parts file, and only those that needed pieces hold.
    LeftOut,
    /// Nowhere: they are zeros (BEP 47 `p`).
    Padding,
}

/// The part of a run of bytes that lies in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// The file's index in [`Info::files`].
    pub(super) index: usize,
    pub(super) kind: Kind,
    /// The first byte in the file that stores it.
    pub(super) offset: u64,
    pub(super) length: u64,
}

impl FileLayout {
    /// A share of which all files are wanted.
    pub fn all(info: Arc<Info>) -> Self {
        let selection = Arc::new(Selection::all(&info));
        Self { info, selection }
    }

    /// A share of which the files of `selection` are wanted.
    pub fn chosen(info: Arc<Info>, selection: Arc<Selection>) -> Self {
        Self { info, selection }
    }

    pub(super) fn info(&self) -> &Arc<Info> {
        &self.info
    }

    /// Number of files, padding included.
    pub(super) fn count(&self) -> usize {
        self.info.files().len()
    }

    /// Whether needed pieces hold bytes of files that are left out.
    pub(super) fn is_mixed(&self) -> bool {
        self.selection.is_mixed()
    }

    /// Whether a piece holds bytes of files that are left out.
    pub(super) fn is_mixed_piece(&self, piece: PieceIndex) -> bool {
        let mut segments = self.segments_of(piece);
        segments.any(|segment| segment.kind == Kind::LeftOut)
    }

    /// The pieces that hold bytes of wanted files.
    pub(super) fn needed_pieces(&self) -> impl Iterator<Item = PieceIndex> + Send + '_ {
        let pieces = self.info.lengths().all_pieces();
        pieces.filter(|piece| self.selection.needed().contains(*piece))
    }

    /// Where the bytes of a file are stored. The only file of a share without a folder is never
    /// padding.
    pub(super) fn kind(&self, index: usize) -> Kind {
        let file = self.info.files().get(index);
        let is_padding = file.is_none_or(|file| file.attributes.padding);
        if is_padding && self.info.layout() == Layout::Folder {
            Kind::Padding
        } else if self.selection.has_file(index) {
            Kind::Wanted
        } else {
            Kind::LeftOut
        }
    }

    pub(super) fn is_wanted(&self, index: usize) -> bool {
        self.kind(index) == Kind::Wanted
    }

    /// The wanted files, by their index.
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

    /// The files that hold bytes of a piece, without padding.
    pub(super) fn files_of(&self, piece: PieceIndex) -> impl Iterator<Item = usize> + '_ {
        let segments = self.segments_of(piece);
        let stored = segments.filter(|segment| segment.kind != Kind::Padding);
        stored.map(|segment| segment.index)
    }

    fn segments_of(&self, piece: PieceIndex) -> impl Iterator<Item = Segment> + '_ {
        let lengths = self.info.lengths();
        let segments = self.segments(lengths.offset(piece), lengths.length(piece).into());
        segments.into_iter().flatten()
    }

    /// The folders inside the share that these files are in, each before those in it.
    pub(super) fn folders_of(&self, files: impl Iterator<Item = usize>) -> BTreeSet<FilePath> {
        let mut folders = BTreeSet::new();
        for path in files.filter_map(|index| self.path(index)) {
            let mut above = path.components();
            while let [rest @ .., _] = above
                && let Ok(path) = FilePath::new(rest.to_vec())
                && folders.insert(path)
            {
                above = rest;
            }
        }
        folders
    }

    /// The segments of a run of bytes, in order; none is empty.
    ///
    /// # Errors
    /// When the share does not have these bytes.
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
        Ok(parts(&self.info, offset, length).map(|part| {
            let kind = self.kind(part.index);
            let file = self.info.files().get(part.index);
            // The parts file has the share's own offsets.
            let start = file.filter(|_| kind == Kind::LeftOut);
            Segment {
                index: part.index,
                kind,
                offset: start.map_or(0, |file| file.offset) + part.offset,
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
    fn bytes_are_found_in_files_in_the_parts_file_or_nowhere() {
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
            segment(0, Kind::LeftOut, 99_990, 10),
            segment(2, Kind::Wanted, 0, 1_500_000),
            segment(3, Kind::LeftOut, 1_600_000, 10),
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
            segment(0, Kind::Wanted, 8, 2),
            segment(1, Kind::Padding, 0, 6),
            segment(2, Kind::Wanted, 0, 2),
        ];
        assert_eq!(segments, expected);
    }
}
