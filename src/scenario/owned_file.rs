//! A file that a client owns, and its info dictionary: each segment is one piece.

use crate::torrent::{
    Attributes, BLOCK, FileName, FilePath, Info, Layout, MetainfoError, NewFile, NewInfo, Sha1,
};

/// The piece length of an empty file, in bytes: fixed, so that all its owners get the same
/// info-hash.
pub const EMPTY_FILE_PIECE: u32 = BLOCK;

/// A file that a client owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedFile {
    /// The file's name.
    pub name: FileName,
    /// Its segments in order. A segment is one line: an identifier and a newline.
    pub content: Vec<u8>,
    /// The length of a segment in bytes, with its newline; 0 for an empty file.
    pub segment_length: u32,
}

impl OwnedFile {
    /// The info dictionary of a share with this file only. Each segment is one piece.
    ///
    /// # Errors
    /// A file from [`Scenario::parse`](super::Scenario::parse) causes no error: `parse` checks the
    /// limits of a torrent.
    pub fn info(&self) -> Result<Info, MetainfoError> {
        let piece_length = match self.segment_length {
            0 => EMPTY_FILE_PIECE,
            length => length,
        };
        let pieces = self.content.chunks(piece_length as usize).map(Sha1::of);
        let file = NewFile {
            path: FilePath::new(vec![self.name.clone()])?,
            length: self.content.len() as u64,
            sha1: None,
            attributes: Attributes::default(),
        };
        let info = NewInfo {
            name: self.name.clone(),
            layout: Layout::File,
            files: vec![file],
            piece_length,
            pieces: pieces.collect(),
            private: false,
            ssl_cert: None,
        };
        info.build()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MAX_SEGMENTS, Scenario};
    use super::*;
    use crate::torrent::MAX_METAINFO;

    fn owned(text: &str) -> OwnedFile {
        Scenario::parse(text.as_bytes()).unwrap().owned.remove(0)
    }

    #[test]
    fn pieces_are_segments() {
        let file = owned("1\nf 3\naaa\nbbb\naaa\n0\n");
        let info = file.info().unwrap();
        assert_eq!(info.name().as_str(), "f");
        assert_eq!(info.lengths().total(), 12);
        assert_eq!(info.lengths().piece_length(), 4);
        let pieces = info.lengths().all_pieces();
        let hashes: Vec<Sha1> = pieces.map(|piece| info.piece_hash(piece)).collect();
        let (a, b) = (Sha1::of(b"aaa\n"), Sha1::of(b"bbb\n"));
        assert_eq!(hashes, [a, b, a]);
        assert_eq!(owned("1\nf 3\r\naaa \nbbb\naaa\n0").info(), Ok(info));
    }

    #[test]
    fn files_with_different_content_have_different_info_hashes_even_if_one_is_empty() {
        let hash = |text| owned(text).info().unwrap().info_hash();
        assert_ne!(hash("1\nf 1\na\n0\n"), hash("1\nf 1\nb\n0\n"));
        assert_ne!(hash("1\nf 1\na\n0\n"), hash("1\nf 0\n0\n"));
        assert_eq!(hash("1\nf 0\n0\n"), hash("1\n f   0\n0\n"));
        let empty = owned("1\nf 0\n0\n").info().unwrap();
        assert_eq!((empty.lengths().pieces(), empty.lengths().total()), (0, 0));
    }

    #[test]
    fn a_file_with_the_most_segments_fits_into_the_largest_metainfo() {
        let text = format!(
            "1\nf {MAX_SEGMENTS}\n{}0\n",
            "a\n".repeat(MAX_SEGMENTS as usize)
        );
        let info = owned(&text).info().unwrap();
        assert_eq!(info.lengths().pieces(), MAX_SEGMENTS);
        assert!(info.raw().len() <= MAX_METAINFO);
    }
}
