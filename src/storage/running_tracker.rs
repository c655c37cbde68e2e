//! A file in the state folder of a running tracker. It contains the tracker's address and the path
//! of its cluster's key, for commands that must contact the tracker.

use super::{sync_folder, whole_file};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Name of the file in the state folder.
const FILE_NAME: &str = "running";

/// How to contact a running tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningTracker {
    /// The address that it listens on.
    pub address: SocketAddr,
    /// The path of its cluster's key.
    pub cluster: PathBuf,
}

impl RunningTracker {
    /// Writes the file. Replaces an existing one.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn store(&self, folder: &Path) -> io::Result<()> {
        let cluster = std::path::absolute(&self.cluster)?;
        let text = format!("{}\n{}\n", self.address, cluster.display());
        whole_file::replace(&folder.join(FILE_NAME), text.as_bytes())
    }

    /// Reads the file. Returns `None` if the file does not exist (the tracker has ended normally)
    /// or cannot be read.
    pub fn load(folder: &Path) -> Option<Self> {
        let text = fs::read_to_string(folder.join(FILE_NAME)).ok()?;
        let mut lines = text.lines();
        Some(Self {
            address: lines.next()?.parse().ok()?,
            cluster: lines.next()?.into(),
        })
    }

    /// Removes the file. The tracker calls this when it ends.
    pub fn remove(folder: &Path) {
        let _ = fs::remove_file(folder.join(FILE_NAME));
        let _ = sync_folder(folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_tracker_is_found_until_its_file_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(RunningTracker::load(folder.path()), None);
        let running = RunningTracker {
            address: "[::1]:5000".parse().unwrap(),
            cluster: "/a b/cluster.pem".into(),
        };
        running.store(folder.path()).unwrap();
        running.store(folder.path()).unwrap();
        assert_eq!(RunningTracker::load(folder.path()), Some(running));
        RunningTracker::remove(folder.path());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        fs::write(folder.path().join(FILE_NAME), "x\ny\n").unwrap();
        assert_eq!(RunningTracker::load(folder.path()), None);
    }
}
