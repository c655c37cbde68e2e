//! Why a file or folder cannot be made into a metainfo.

use super::StoreError;
use crate::torrent::{LengthsError, MAX_METAINFO, MetainfoError, NameError};
use std::io;
use std::path::PathBuf;

/// Why no metainfo can be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// A file or folder that cannot be read or is not there.
    #[error("cannot read {}: {source}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A link inside the folder.
    #[error("{} is a symbolic link, which cannot be shared: put the file itself there", .0.display())]
    Symlink(PathBuf),
    /// A device, a pipe or a socket.
    #[error("{} is neither a file nor a folder", .0.display())]
    Special(PathBuf),
    /// A folder without any file.
    #[error("{} holds no files", .0.display())]
    Empty(PathBuf),
    /// A name that is not UTF-8.
    #[error("the name of {} is not UTF-8: rename it", .0.display())]
    NotText(PathBuf),
    /// A name that other machines could not or should not create.
    #[error("cannot share {}: {source}: rename it", .path.display())]
    Name {
        /// Which file or folder.
        path: PathBuf,
        /// What is wrong with its name.
        source: NameError,
    },
    /// A file that was written to while it was hashed.
    #[error("{} changed while it was hashed: try again when nothing writes to it", .0.display())]
    Changed(PathBuf),
    /// A piece length of 0 or over 1 GiB, or one that makes too many pieces.
    #[error("{0}: choose another piece length")]
    Lengths(LengthsError),
    /// A `.torrent` that would be larger than is read anywhere.
    #[error("{} makes a torrent larger than {MAX_METAINFO} bytes: choose longer pieces or share it in parts", .0.display())]
    TooLarge(PathBuf),
    /// Any other reason why the torrent would be refused.
    #[error("cannot share {}: {source}", .path.display())]
    Metainfo {
        /// What was to be shared.
        path: PathBuf,
        /// Why not.
        source: MetainfoError,
    },
    /// Reading failed, or the caller asked to stop.
    #[error(transparent)]
    Store(#[from] StoreError),
}
