//! The file that keeps a tracker's swarms over a restart. The tracker defines the format
//! of the contents.

use super::whole_file;
use nix::fcntl::OFlag;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Name of the file in the state folder.
const FILE_NAME: &str = "swarms";

/// The file with the stored swarms.
#[derive(Clone, Debug)]
pub struct SwarmsFile {
    path: PathBuf,
}

impl SwarmsFile {
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

    /// Reads the file. Returns `None` if it does not exist.
    ///
    /// # Errors
    /// The file cannot be read, is a symbolic link, or has more than `longest` bytes.
    pub fn load(&self, longest: usize) -> io::Result<Option<Vec<u8>>> {
        let opened = File::options()
            .read(true)
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
            .open(&self.path);
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let (mut bytes, limit) = (Vec::new(), u64::try_from(longest).unwrap_or(u64::MAX));
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() > longest {
            return Err(io::Error::other(format!(
                "it is longer than {longest} bytes"
            )));
        }
        Ok(Some(bytes))
    }

    /// Replaces the contents. After a crash, the file has its old or its new content.
    ///
    /// # Errors
    /// The system's error. Then the old content is still there.
    pub fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        whole_file::replace(&self.path, bytes)
    }

    /// Deletes the file.
    ///
    /// # Errors
    /// The system's error.
    pub fn remove(&self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_private_and_replaced_as_a_whole_and_a_file_that_is_too_long_is_not_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let file = SwarmsFile::new(folder.path());
        assert_eq!(file.load(10).unwrap(), None);
        for bytes in [&b"first"[..], b"second one", b""] {
            file.replace(bytes).unwrap();
            assert_eq!(file.load(10).unwrap().as_deref(), Some(bytes));
        }
        file.replace(b"eleven long").unwrap();
        assert!(
            file.load(10)
                .unwrap_err()
                .to_string()
                .contains("longer than 10")
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let mode = std::os::unix::fs::MetadataExt::mode(&file.path().metadata().unwrap());
        assert_eq!(mode & 0o777, 0o600);
        file.remove().unwrap();
        assert_eq!(file.load(10).unwrap(), None);
        std::os::unix::fs::symlink("/etc/passwd", file.path()).unwrap();
        assert!(
            file.load(1 << 20).is_err(),
            "symbolic links are not followed"
        );
    }
}
