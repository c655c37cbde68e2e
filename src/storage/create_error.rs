//! Why a metainfo cannot be made from a file or folder.

use super::StoreError;
use crate::bencode::MAX_VALUES;
use crate::system::cause;
use crate::torrent::{LengthsError, MAX_METAINFO, MetainfoError, NameError};
use std::io;
use std::path::PathBuf;

/// The paths of links, and the number of others.
fn named_links(paths: &[PathBuf], more: usize) -> String {
    let named = paths.iter().map(|path| path.display().to_string());
    let named = named.collect::<Vec<_>>().join(", ");
    match more {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// Why a metainfo cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// A file or folder cannot be read or does not exist.
    #[error("cannot read {}: {}", .path.display(), cause(.source))]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// The error that the system returned.
        source: io::Error,
    },
    /// Symbolic links inside the folder: the first ones, and how many more there are.
    #[error(
        "{} {} not followed: put the files themselves there, or use --follow-links",
        named_links(.0, *.1),
        if .0.len() == 1 && *.1 == 0 { "is a symbolic link, which is" } else { "are symbolic links, which are" }
    )]
    Symlinks(Vec<PathBuf>, usize),
    /// A symbolic link leads to a folder that contains it.
    #[error("{} leads to a folder that contains it: remove this symbolic link", .0.display())]
    LinkLoop(PathBuf),
    /// A device, a pipe or a socket.
    #[error("{} is neither a file nor a folder", .0.display())]
    Special(PathBuf),
    /// A folder without any file.
    #[error("{} contains no files", .0.display())]
    Empty(PathBuf),
    /// The name is not UTF-8.
    #[error("the name of {} is not UTF-8: rename it", .0.display())]
    NotText(PathBuf),
    /// Other machines could not create a file of this name, or it would be unsafe.
    #[error("cannot share {}: {source}: rename it", .path.display())]
    Name {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with its name.
        source: NameError,
    },
    /// The file was written to while it was hashed.
    #[error("{} changed while it was hashed: try again when nothing writes to it", .0.display())]
    Changed(PathBuf),
    /// The piece length is 0 or over 1 GiB, or it makes too many pieces.
    #[error("{0}: choose another piece length")]
    Lengths(LengthsError),
    /// The `.torrent` would be larger than programs accept, because of its piece hashes.
    #[error(
        "{} makes a torrent larger than {MAX_METAINFO} bytes: choose longer pieces",
        .0.display()
    )]
    TooManyPieces(PathBuf),
    /// The `.torrent` would be larger than programs accept, because of the names of its files.
    #[error(
        "{} has so many files that its torrent would be larger than {MAX_METAINFO} bytes: share it \
         in parts",
        .0.display()
    )]
    TooLarge(PathBuf),
    /// The `.torrent` would have more values than this program reads.
    #[error(
        "{} has too many files and folders: its torrent would have more than {MAX_VALUES} values; \
         share it in parts",
        .0.display()
    )]
    TooManyFiles(PathBuf),
    /// The torrent would be refused for another reason.
    #[error("cannot share {}: {source}", .path.display())]
    Metainfo {
        /// The file or folder to be shared.
        path: PathBuf,
        /// The reason.
        source: MetainfoError,
    },
    /// Reading failed, or the caller asked to stop.
    #[error(transparent)]
    Store(#[from] StoreError),
}
