//! An error of a file system operation, with the file and the operation.

use crate::system::cause;
use std::io;
use std::path::{Path, PathBuf};

/// An operation on a file failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {}", .path.display(), cause(.source))]
pub struct FileError {
    /// The operation, as a verb: `read`, `write`, ...
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The error that the system returned.
    pub source: io::Error,
}

impl FileError {
    /// Returns a function that adds the operation and the path to a system error.
    pub(super) fn at(action: &'static str, path: &Path) -> impl Fn(io::Error) -> Self + Copy {
        move |source| Self {
            action,
            path: path.to_owned(),
            source,
        }
    }
}
