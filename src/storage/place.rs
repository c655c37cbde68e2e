//! Where the finished file or folder of a download goes, and what its partial one is called.

use super::StoreError;
use super::tree::Folder;
use crate::torrent::InfoHash;
use std::path::{Path, PathBuf, absolute};

/// Suffix of a partial file or folder.
const SUFFIX: &str = ".part";
/// The longest name that common file systems take, in bytes.
pub(super) const MAX_NAME: usize = 255;

/// Where the finished file or folder of a download goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The folder it will be in, which must exist.
    pub folder: PathBuf,
    /// What it will be called.
    pub name: String,
}

impl Place {
    /// The final path.
    pub fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// Opens the folder.
    pub(super) fn open_folder(&self) -> Result<Folder, StoreError> {
        let folder = absolute(Path::new(".").join(&self.folder));
        Folder::open(&folder.map_err(|error| StoreError::io("find", &self.folder, error))?)
    }

    /// The name of the partial file or folder. It contains the info-hash if the name leaves no room
    /// for the suffix.
    pub(super) fn part_name(&self, info_hash: InfoHash) -> String {
        let name = &self.name;
        if name.len() + SUFFIX.len() <= MAX_NAME {
            return format!("{name}{SUFFIX}");
        }
        let end = format!(".{info_hash}{SUFFIX}");
        let room = MAX_NAME.saturating_sub(end.len());
        format!("{}{end}", beginning(name, room))
    }
}

/// The longest beginning of a name that has at most so many bytes.
pub(super) fn beginning(name: &str, bytes: usize) -> &str {
    let mut cuts = (0..=bytes.min(name.len())).rev();
    let cut = cuts.find(|at| name.is_char_boundary(*at)).unwrap_or(0);
    name.get(..cut).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leaves_no_room_for_the_suffix_is_told_apart_by_the_info_hash() {
        let hash = InfoHash([0xab; 20]);
        let part_name = |name: String| {
            let folder = PathBuf::new();
            Place { folder, name }.part_name(hash)
        };
        assert_eq!(part_name("a".into()), "a.part");
        assert_eq!(part_name("x".repeat(250)).len(), 255);
        let long = part_name("ü".repeat(127));
        assert!(long.len() <= 255 && long.ends_with(".part"));
        assert!(long.contains(&hash.to_string()));
    }
}
