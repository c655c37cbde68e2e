//! The destination of a download, and the name of its partial file.

use super::StoreError;
use super::tree::Folder;
use crate::torrent::InfoHash;
use std::path::{Path, PathBuf, absolute};

/// Suffix of a partial file or folder.
const PARTIAL_SUFFIX: &str = ".part";
/// Longest file name that common file systems accept, in bytes.
pub(super) const MAX_NAME_LENGTH: usize = 255;

/// The final path of a download.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    /// The folder that will contain it. It must exist.
    pub folder: PathBuf,
    /// The name of the file or folder.
    pub name: String,
}

impl Destination {
    /// The final path.
    pub fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// Opens the folder.
    pub(super) fn open_folder(&self) -> Result<Folder, StoreError> {
        let folder = absolute(Path::new(".").join(&self.folder));
        Folder::open(&folder.map_err(|error| StoreError::io("find", &self.folder, error))?)
    }

    /// The name of the partial file or folder. If the suffix does not fit, the name is cut and
    /// contains the info-hash.
    pub(super) fn partial_name(&self, info_hash: InfoHash) -> String {
        let name = &self.name;
        if name.len() + PARTIAL_SUFFIX.len() <= MAX_NAME_LENGTH {
            return format!("{name}{PARTIAL_SUFFIX}");
        }
        let end = format!(".{info_hash}{PARTIAL_SUFFIX}");
        let room = MAX_NAME_LENGTH.saturating_sub(end.len());
        format!("{}{end}", longest_prefix(name, room))
    }
}

/// The longest prefix of a name with at most `bytes` bytes.
pub(super) fn longest_prefix(name: &str, bytes: usize) -> &str {
    let mut cuts = (0..=bytes.min(name.len())).rev();
    let cut = cuts.find(|at| name.is_char_boundary(*at)).unwrap_or(0);
    name.get(..cut).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partial_name_of_a_long_name_contains_the_info_hash() {
        let hash = InfoHash([0xab; 20]);
        let partial_name = |name: String| {
            let folder = PathBuf::new();
            Destination { folder, name }.partial_name(hash)
        };
        assert_eq!(partial_name("a".into()), "a.part");
        assert_eq!(partial_name("x".repeat(250)).len(), 255);
        let long = partial_name("ü".repeat(127));
        assert!(long.len() <= 255 && long.ends_with(".part"));
        assert!(long.contains(&hash.to_string()));
    }
}
