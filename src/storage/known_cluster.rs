//! The cluster that a peer has talked to first, as ssh knows hosts: one fingerprint in a file of its state folder.

use super::{FileError, whole_file};
use crate::certificate::Fingerprint;
use std::io;
use std::path::{Path, PathBuf};

/// The file's name in the state folder.
const FILE: &str = "cluster_fingerprint";
/// The longest file that may be one, in bytes.
const LONGEST: u64 = 200;

/// Where the fingerprint lies.
#[derive(Clone, Debug)]
pub struct KnownCluster {
    path: PathBuf,
}

/// Why it is not known which cluster was seen first.
#[derive(Debug, thiserror::Error)]
pub enum KnownClusterError {
    /// The file holds something else.
    #[error("{} does not hold a fingerprint (sha256: and 64 hex digits): correct it, or remove it to trust the next tracker seen", .0.display())]
    Damaged(PathBuf),
    /// The file cannot be read or written.
    #[error(transparent)]
    Io(#[from] FileError),
}

impl KnownCluster {
    /// The one of a state folder, which its process alone uses.
    pub fn new(folder: &Path) -> Self {
        Self {
            path: folder.join(FILE),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The fingerprint that was stored; `None` before the first.
    ///
    /// # Errors
    /// See [`KnownClusterError`]; the file is as it was.
    pub fn load(&self) -> Result<Option<Fingerprint>, KnownClusterError> {
        let read = whole_file::read(&self.path, LONGEST);
        let Some(text) = read.map_err(FileError::at("read", &self.path))? else {
            return Ok(None);
        };
        let text = str::from_utf8(&text).ok();
        let found = text.and_then(|text| text.trim().parse().ok());
        let found = found.ok_or_else(|| KnownClusterError::Damaged(self.path.clone()))?;
        Ok(Some(found))
    }

    /// Stores the first fingerprint seen, so that it is there after a crash; never over one that is. Gives the one that
    /// is stored then.
    ///
    /// # Errors
    /// See [`KnownClusterError`].
    pub fn store_first(&self, fingerprint: Fingerprint) -> Result<Fingerprint, KnownClusterError> {
        let line = format!("{fingerprint}\n");
        let refused = FileError::at("write", &self.path);
        match whole_file::put_new(&self.path, line.as_bytes()) {
            Ok(()) => Ok(fingerprint),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let before = self.load()?;
                Ok(before.ok_or_else(|| refused(error))?)
            }
            Err(error) => Err(refused(error).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_first_fingerprint_stays() {
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
