//! What can be found out about a folder without changing it: for the command `doctor`, and how much
//! room there is.

use nix::sys::statvfs::statvfs;
use std::io;
use std::path::{Path, PathBuf};

/// The folder itself if it exists. Otherwise the nearest existing folder above it, in which the
/// folder would be made.
pub fn existing_ancestor(folder: &Path) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let existing = absolute.ancestors().find(|path| path.exists());
    existing.unwrap_or(Path::new("/")).to_owned()
}

/// Makes a file in the folder and removes it again.
///
/// # Errors
/// The file cannot be made.
pub fn check_writable(folder: &Path) -> io::Result<()> {
    tempfile::tempfile_in(folder).map(drop)
}

/// The room of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The free bytes.
    pub free: u64,
    /// All bytes.
    pub total: u64,
}

/// The room of the file system that has this folder. `None` if the system does not report it.
pub fn room(folder: &Path) -> Option<Room> {
    let system = statvfs(folder).ok()?;
    // The types depend on the platform. Some file systems do not report their size and return 0.
    #[allow(clippy::useless_conversion)]
    let (all, free, unit) = (
        u64::from(system.blocks()),
        u64::from(system.blocks_available()),
        u64::from(system.fragment_size()),
    );
    (all > 0).then(|| Room {
        free: free.saturating_mul(unit),
        total: all.saturating_mul(unit),
    })
}

/// The free bytes of the file system that has this folder. `None` if the system does not report
/// them.
pub fn free_space(folder: &Path) -> Option<u64> {
    room(folder).map(|room| room.free)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_folder_is_examined_where_it_would_be_made() {
        let folder = tempfile::tempdir().unwrap();
        let (here, missing) = (folder.path(), folder.path().join("a/b"));
        assert_eq!(existing_ancestor(&missing), here);
        assert_eq!(existing_ancestor(here), here);
        check_writable(here).unwrap();
        assert!(check_writable(&missing).is_err());
        assert!(free_space(here).is_none_or(|free| free > 0));
        assert_eq!(free_space(&missing), None);
        assert_eq!(std::fs::read_dir(here).unwrap().count(), 0);
    }
}
