//! The fingerprint of the first cluster that a peer connected to, in a file of its state folder.
//! ssh treats known hosts the same way.

use super::{FileError, whole_file};
use crate::certificate::Fingerprint;
use std::io;
use std::path::{Path, PathBuf};

/// Name of the file in the state folder.
const FILE_NAME: &str = "cluster_fingerprint";
/// Longest accepted file, in bytes.
const MAX_FILE_LENGTH: u64 = 200;

/// The file with the stored fingerprint.
#[derive(Clone, Debug)]
pub struct KnownCluster {
    path: PathBuf,
}

/// Why the stored fingerprint cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KnownClusterError {
    /// The file contains something that is not a fingerprint.
    #[error(
        "{} does not contain a fingerprint (sha256: and 64 hex digits): correct it, or remove it \
         to trust the next tracker",
        .0.display()
    )]
    Damaged(PathBuf),
    /// The file cannot be read or written.
    #[error(transparent)]
    Io(#[from] FileError),
}

impl KnownCluster {
    /// The file in this state folder. Only this process may use the folder.
    pub fn new(folder: &Path) -> Self {
        Self {
            path: folder.join(FILE_NAME),
        }
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The stored fingerprint. `None` before the first one is stored.
    ///
    /// # Errors
    /// See [`KnownClusterError`]. The file is never changed.
    pub fn load(&self) -> Result<Option<Fingerprint>, KnownClusterError> {
        let read = whole_file::read(&self.path, MAX_FILE_LENGTH);
        let Some(text) = read.map_err(FileError::at("read", &self.path))? else {
            return Ok(None);
        };
        let text = str::from_utf8(&text).ok();
        let found = text.and_then(|text| text.trim().parse().ok());
        let found = found.ok_or_else(|| KnownClusterError::Damaged(self.path.clone()))?;
        Ok(Some(found))
    }

    /// Stores the fingerprint of the first cluster. Does not replace a stored one. Returns the
    /// fingerprint that is stored now. The stored fingerprint survives a crash.
    ///
    /// # Errors
    /// See [`KnownClusterError`].
    pub fn store_first(&self, fingerprint: Fingerprint) -> Result<Fingerprint, KnownClusterError> {
        let line = format!("{fingerprint}\n");
        let write_error = FileError::at("write", &self.path);
        match whole_file::create_new(&self.path, line.as_bytes()) {
            Ok(()) => Ok(fingerprint),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let stored = self.load()?;
                Ok(stored.ok_or_else(|| write_error(error))?)
            }
            Err(error) => Err(write_error(error).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_first_fingerprint_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let known = KnownCluster::new(folder.path());
        assert_eq!(known.load().unwrap(), None);
        let (first, second) = (Fingerprint::of(b"1"), Fingerprint::of(b"2"));
        assert_eq!(known.store_first(first).unwrap(), first);
        assert_eq!(known.store_first(second).unwrap(), first);
        assert_eq!(known.load().unwrap(), Some(first));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        for damaged in ["", "sha256:12", "\u{fffd}", &"x".repeat(10_000)] {
            fs::write(known.path(), damaged).unwrap();
            let error = known.load().unwrap_err();
            assert!(matches!(error, KnownClusterError::Damaged(_)), "{error}");
            assert_eq!(fs::read_to_string(known.path()).unwrap(), damaged);
        }
    }
}
