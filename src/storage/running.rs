//! What a running tracker leaves in its state folder for whoever shall find it there: where it listens, and where its
//! cluster's key lies.

use super::whole_file;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The file's name in the state folder.
const FILE: &str = "running";

/// Where a tracker runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its cluster's key.
    pub cluster: PathBuf,
}

impl Running {
    /// Leaves it in a state folder, in place of what was there.
    ///
    /// # Errors
    /// What the system says.
    pub fn store(&self, folder: &Path) -> io::Result<()> {
        let cluster = std::path::absolute(&self.cluster)?;
        let text = format!("{}\n{}\n", self.address, cluster.display());
        whole_file::replace(&folder.join(FILE), text.as_bytes())
    }

    /// What was left last; none if the tracker has ended as it should, or it is not to be read.
    pub fn load(folder: &Path) -> Option<Self> {
        let text = fs::read_to_string(folder.join(FILE)).ok()?;
        let mut lines = text.lines();
        Some(Self {
            address: lines.next()?.parse().ok()?,
            cluster: lines.next()?.into(),
        })
    }

    /// Takes it away: the tracker ends.
    pub fn remove(folder: &Path) {
        let _ = fs::remove_file(folder.join(FILE));
        let _ = whole_file::sync_folder(folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_until_it_is_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Running::load(folder.path()), None);
        let running = Running {
            address: "[::1]:5000".parse().unwrap(),
            cluster: "/a b/cluster.pem".into(),
        };
        running.store(folder.path()).unwrap();
        running.store(folder.path()).unwrap();
        assert_eq!(Running::load(folder.path()), Some(running));
        Running::remove(folder.path());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        fs::write(folder.path().join(FILE), "x\ny\n").unwrap();
        assert_eq!(Running::load(folder.path()), None);
    }
}
