//! The destination of a download, and the name of its partial file.

use super::StoreError;
use super::tree::Folder;
use crate::torrent::InfoHash;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf, absolute};

/// Suffix of a partial file or folder.
const PARTIAL_SUFFIX: &str = ".part";
/// Longest file name that common file systems accept, in bytes.
pub(super) const MAX_NAME_LENGTH: usize = 255;

/// The final path of a download.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    /// The folder that will contain the file or folder. This folder must exist.
    pub folder: PathBuf,
    /// The name of the file or folder.
    pub name: String,
}

impl Destination {
    /// The final path.
    pub fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// Opens the folder, and checks that this process may search it.
    pub(super) fn open_folder(&self) -> Result<Folder, StoreError> {
        let path = absolute(Path::new(".").join(&self.folder));
        let path = path.map_err(|error| StoreError::io("find", &self.folder, error))?;
        let opened = Folder::open(&path).and_then(|folder| folder.entry(".").map(|_| folder));
        opened.map_err(StoreError::into_folder_error)
    }

    /// The preferred name of the partial file or folder: `NAME.part`, or a name with the info-hash
    /// if `NAME.part` is too long. A record of an earlier version does not contain the name of the
    /// partial file. Then the file has this name.
    pub fn partial_name(&self, info_hash: InfoHash) -> String {
        let plain = format!("{}{PARTIAL_SUFFIX}", self.name);
        match plain.len() <= MAX_NAME_LENGTH {
            true => plain,
            false => self.partial_name_with_hash(info_hash),
        }
    }

    /// The names that the partial file or folder may have, the preferred one first.
    pub(super) fn partial_names(&self, info_hash: InfoHash) -> Vec<String> {
        let names = [
            self.partial_name(info_hash),
            self.partial_name_with_hash(info_hash),
        ];
        let mut names = names.to_vec();
        names.dedup();
        names
    }

    /// A name with the info-hash. If it is too long, the name of the share in it is cut.
    pub(super) fn partial_name_with_hash(&self, info_hash: InfoHash) -> String {
        let suffix = format!(".{info_hash}{PARTIAL_SUFFIX}");
        let room = MAX_NAME_LENGTH.saturating_sub(suffix.len());
        format!("{}{suffix}", longest_prefix(&self.name, room))
    }
}

/// Whether two absolute paths name the same entry. Their folders may be named in different ways.
pub fn is_same_entry(one: &Path, other: &Path) -> bool {
    let folder = |path: &Path| path.parent()?.metadata().ok();
    one == other
        || one.file_name() == other.file_name()
            && folder(one)
                .zip(folder(other))
                .is_some_and(|(one, other)| (one.dev(), one.ino()) == (other.dev(), other.ino()))
}

/// The longest prefix of `name` that has at most `bytes` bytes.
pub(super) fn longest_prefix(name: &str, bytes: usize) -> &str {
    let mut cuts = (0..=bytes.min(name.len())).rev();
    let cut = cuts.find(|at| name.is_char_boundary(*at)).unwrap_or(0);
    name.get(..cut).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_the_same_if_they_have_the_same_folder_and_name() {
        let temporary = tempfile::tempdir().unwrap();
        let [a, link] = ["a", "link"].map(|name| temporary.path().join(name));
        std::fs::create_dir(&a).unwrap();
        std::os::unix::fs::symlink(&a, &link).unwrap();
        assert!(is_same_entry(&a.join("x"), &link.join("x")));
        assert!(!is_same_entry(&a.join("x"), &link.join("y")));
        assert!(!is_same_entry(&a.join("x"), &temporary.path().join("x")));
        let gone = temporary.path().join("gone/x");
        assert!(is_same_entry(&gone, &gone) && !is_same_entry(&gone, &a.join("x")));
    }

    #[test]
    fn the_partial_name_of_a_long_name_contains_the_info_hash() {
        let hash = InfoHash([0xab; 20]);
        let destination = |name: String| {
            let folder = PathBuf::new();
            Destination { folder, name }
        };
        let partial_name = |name: String| destination(name).partial_name(hash);
        assert_eq!(partial_name("a".into()), "a.part");
        assert_eq!(partial_name("x".repeat(250)).len(), 255);
        let long = partial_name("ü".repeat(127));
        assert!(long.len() <= 255 && long.ends_with(".part"));
        assert!(long.contains(&hash.to_string()));
        let names = |name: String| destination(name).partial_names(hash);
        assert_eq!(names("a".into()), ["a.part", &format!("a.{hash}.part")]);
        assert_eq!(names("x".repeat(251)).len(), 1);
    }
}
