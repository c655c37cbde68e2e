//! What can be wrong with metainfo, and functions that read a value and return such an error if it
//! is wrong.

use super::LengthsError;
use super::path::NameError;
use crate::bencode::{self, Dictionary};

/// The largest `.torrent` that is read, in bytes.
pub const MAX_METAINFO: usize = 16 << 20;

/// Why bytes are not metainfo that this program accepts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetainfoError {
    /// More than [`MAX_METAINFO`] bytes.
    #[error("a torrent of {0} bytes is larger than {MAX_METAINFO}")]
    TooLarge(usize),
    /// Not bencode.
    #[error("not a torrent: {0}")]
    Bencode(#[from] bencode::Error),
    /// A required key is missing.
    #[error("the torrent lacks {0:?}")]
    Missing(&'static str),
    /// A value has another type or form than its key requires.
    #[error("{0:?} in the torrent has the wrong type")]
    WrongType(&'static str),
    /// Text that is not UTF-8. For a file name the error is [`MetainfoError::Name`].
    #[error("{0:?} in the torrent is not UTF-8 text")]
    NotText(&'static str),
    /// Both `length` and `files`, or neither.
    #[error("a torrent has either \"length\" or \"files\"")]
    LengthOrFiles,
    /// `total length`, which is not a key of BEP 3.
    #[error("\"total length\" is not a key of a torrent: use \"length\" (one file) or \"files\"")]
    TotalLength,
    /// Only the v2 part of BEP 52.
    #[error("the torrent is for BitTorrent v2 only: use a v1 or hybrid torrent")]
    V2Only,
    /// A file length below 0.
    #[error("a file in the torrent has the negative length {0}")]
    NegativeLength(i64),
    /// The sum of the lengths of all files exceeds 63 bits.
    #[error("the lengths of the files overflow")]
    LengthOverflow,
    /// An impossible piece length or number of pieces.
    #[error(transparent)]
    Lengths(#[from] LengthsError),
    /// `pieces` does not have 20 bytes for each piece.
    #[error("\"pieces\" has {found} bytes instead of {expected}")]
    Pieces {
        /// The length of `pieces` in bytes.
        found: usize,
        /// 20 bytes for each piece.
        expected: usize,
    },
    /// A name that is unsafe or impossible.
    #[error("unsafe name in the torrent: {0}")]
    Name(#[from] NameError),
    /// `files` is empty.
    #[error("the torrent has no files")]
    NoFiles,
    /// A symbolic link (BEP 47 `l`).
    #[error("{0} in the torrent is a symbolic link, which could lead out of the folder")]
    Symlink(String),
    /// Two files with one path, or a file where another one needs a folder.
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
