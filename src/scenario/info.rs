//! From a scenario's files to shares: the info dictionary of an owned file, and the names of input and output files.

use super::OwnedFile;
use crate::torrent::{
    BLOCK, FileName, FilePath, Info, Layout, MetainfoError, NameError, NewFile, NewInfo, Sha1,
};
use crate::wire::control::ClientNumber;
use std::path::{Path, PathBuf};

/// The piece length of an empty file, in bytes: fixed, so that all its owners have one info-hash.
pub const EMPTY_FILE_PIECE: u32 = BLOCK;

/// A path whose last component is not `inR.txt`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is not called inR.txt with a client's number R from 1 to 4294967295", .0.display())]
pub struct BadFileName(PathBuf);

/// The number R of the client whose file `inR.txt` this is.
///
/// # Errors
/// [`BadFileName`] when the file is called otherwise; a number has no leading zeros, so that each client has one file.
pub fn client_number(path: &Path) -> Result<ClientNumber, BadFileName> {
    path.file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.strip_prefix("in"))
        .and_then(|name| name.strip_suffix(".txt"))
        .filter(|number| number.starts_with(|digit: char| matches!(digit, '1'..='9')))
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| BadFileName(path.to_owned()))
}

/// The name `clientR_NAME` that a wanted file is written under.
///
/// # Errors
/// [`NameError::TooLong`] for a name that did not come from a [`Scenario`](super::Scenario).
pub fn output_name(client: ClientNumber, name: &FileName) -> Result<FileName, NameError> {
    FileName::new(&format!("client{client}_{name}"))
}

impl OwnedFile {
    /// The file as a share of one file, a piece for each segment.
    ///
    /// # Errors
    /// None for what [`Scenario::parse`](super::Scenario::parse) gave, whose limits are those of a torrent.
    pub fn info(&self) -> Result<Info, MetainfoError> {
        let piece_length = match self.segment_length() {
            0 => EMPTY_FILE_PIECE,
            length => length,
        };
        let pieces = self.content().chunks(piece_length as usize).map(Sha1::of);
        let file = NewFile {
            path: FilePath::new(vec![self.name().clone()])?,
            length: self.content().len() as u64,
            sha1: None,
            executable: false,
        };
        let info = NewInfo {
            name: self.name().clone(),
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
        let hashes = info.lengths().all_pieces();
        let hashes: Vec<Sha1> = hashes.map(|piece| info.piece_hash(piece)).collect();
        let (a, b) = (Sha1::of(b"aaa\n"), Sha1::of(b"bbb\n"));
        assert_eq!(hashes, [a, b, a]);
        assert_eq!(owned("1\nf 3\r\naaa \nbbb\naaa\n0").info(), Ok(info));
    }

    #[test]
    fn other_content_is_another_info_hash_and_an_empty_file_has_one() {
        let hash = |text| owned(text).info().unwrap().info_hash();
        assert_ne!(hash("1\nf 1\na\n0\n"), hash("1\nf 1\nb\n0\n"));
        assert_ne!(hash("1\nf 1\na\n0\n"), hash("1\nf 0\n0\n"));
        assert_eq!(hash("1\nf 0\n0\n"), hash("1\n f   0\n0\n"));
        let empty = owned("1\nf 0\n0\n").info().unwrap();
        assert_eq!((empty.lengths().pieces(), empty.lengths().total()), (0, 0));
    }

    #[test]
    fn the_most_segments_fit_the_largest_metainfo() {
        let text = format!(
            "1\nf {MAX_SEGMENTS}\n{}0\n",
            "a\n".repeat(MAX_SEGMENTS as usize)
        );
        let info = owned(&text).info().unwrap();
        assert_eq!(info.lengths().pieces(), MAX_SEGMENTS);
        assert!(info.raw().len() <= MAX_METAINFO);
    }

    #[test]
    fn the_client_number_stands_in_the_file_name() {
        let number = |path: &str| client_number(Path::new(path)).ok().map(ClientNumber::get);
        assert_eq!(number("in1.txt"), Some(1));
        assert_eq!(number("/some/where/in12.txt"), Some(12));
        assert_eq!(number("in4294967295.txt"), Some(u32::MAX));
        for path in [
            "in0.txt",
            "in01.txt",
            "in+1.txt",
            "in.txt",
            "in4294967296.txt",
            "in1.txt.bak",
            "xin1.txt",
            "in1",
            "..",
            "",
        ] {
            assert_eq!(number(path), None, "{path}");
        }
        let name = |text: &str| FileName::new(text).unwrap();
        let client = ClientNumber::new(12).unwrap();
        assert_eq!(
            output_name(client, &name("file1")),
            Ok(name("client12_file1"))
        );
        let longest = Scenario::parse(format!("0\n1\n{}", "x".repeat(238)).as_bytes()).unwrap();
        assert!(output_name(ClientNumber::MAX, &longest.wanted[0]).is_ok());
    }
}
