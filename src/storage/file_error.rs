//! What the system said of a file, and what was tried with it.

use std::io;
use std::path::{Path, PathBuf};

/// A file that the system does not let be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", .path.display())]
pub struct FileError {
    /// What was tried.
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl FileError {
    /// Says of `path` what was tried when the system refused.
    pub(super) fn at(action: &'static str, path: &Path) -> impl Fn(io::Error) -> Self + Copy {
        move |source| Self {
            action,
            path: path.to_owned(),
            source,
        }
    }
}
