//! What can be wrong with metainfo, and its values that are read with these errors.

use super::LengthsError;
use super::path::NameError;
use crate::bencode::{self, Dictionary};

/// The largest `.torrent` that is read, in bytes.
pub const MAX_METAINFO: usize = 16 << 20;
/// Why bytes are no metainfo that this program takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetainfoError {
    /// More than [`MAX_METAINFO`] bytes.
    #[error("a torrent of {0} bytes is larger than {MAX_METAINFO}")]
    TooLarge(usize),
    /// Not bencode.
    #[error("not a torrent: {0}")]
    Bencode(#[from] bencode::Error),
    /// A key that must be there is not.
    #[error("the torrent lacks {0:?}")]
    Missing(&'static str),
    /// A value of another type or form than its key asks for.
    #[error("{0:?} in the torrent has the wrong type")]
    WrongType(&'static str),
    /// Text that is not UTF-8, and names no file.
    #[error("{0:?} in the torrent is not UTF-8 text")]
    NotText(&'static str),
    /// Both `length` and `files`, or neither.
    #[error("a torrent has either \"length\" or \"files\"")]
    LengthOrFiles,
    /// `total length`, which is no key of BEP 3.
    #[error(
        "\"total length\" is no key of a torrent: \"length\" (one file) or \"files\" belongs there"
    )]
    TotalLength,
    /// Only BEP 52's v2 half.
    #[error("a torrent of BitTorrent v2 alone; a v1 or hybrid one is needed")]
    V2Only,
    /// A file length below 0.
    #[error("a file length of {0}")]
    NegativeLength(i64),
    /// The lengths of all files exceed 63 bits.
    #[error("the lengths of the files overflow")]
    LengthOverflow,
    /// A piece length or number of pieces that cannot be.
    #[error(transparent)]
    Lengths(#[from] LengthsError),
    /// `pieces` does not hold 20 bytes for each piece.
    #[error("\"pieces\" has {found} bytes where {expected} are due")]
    Pieces {
        /// Bytes in the torrent.
        found: usize,
        /// 20 for each piece.
        expected: usize,
    },
    /// A name that is unsafe or impossible.
    #[error("unsafe name in the torrent: {0}")]
    Name(#[from] NameError),
    /// `files` holds nothing.
    #[error("the torrent holds no files")]
    NoFiles,
    /// A symbolic link (BEP 47 `l`).
    #[error("{0} in the torrent is a symbolic link, which is not followed")]
    Symlink(String),
    /// Two files of one path, or a file where another needs a folder.
    #[error("{0} and {1} in the torrent cannot both exist")]
    Conflict(String, String),
}

/// The number under `key`, if there is one.
pub(super) fn integer(
    dictionary: &Dictionary<'_>,
    key: &'static str,
) -> Result<Option<i64>, MetainfoError> {
    let value = dictionary.value(key);
    value
        .map(|value| value.integer().ok_or(MetainfoError::WrongType(key)))
        .transpose()
}

/// The text under `key`, if there is one.
pub(super) fn text<'a>(
    dictionary: &Dictionary<'a>,
    key: &'static str,
) -> Result<Option<&'a str>, MetainfoError> {
    let Some(value) = dictionary.value(key) else {
        return Ok(None);
    };
    let bytes = value.bytes().ok_or(MetainfoError::WrongType(key))?;
    std::str::from_utf8(bytes)
        .map(Some)
        .map_err(|_| MetainfoError::NotText(key))
}
