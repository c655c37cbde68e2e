//! A version of a share whose place a download of another version takes.

use super::tree::{Access, Folder, ignore_missing, metadata};
use super::{FileLayout, FileStamp, StampMatch, Store, StoreError};
use crate::torrent::{Info, Layout};
use std::path::Path;
use std::sync::Arc;

/// A complete version of a share, under the final name of a download of another version.
#[derive(Clone, Debug)]
pub struct FormerVersion {
    layout: FileLayout,
    /// The stamps with which its files were verified, see [`Store::stamps`].
    stamps: Vec<FileStamp>,
}

impl FormerVersion {
    /// The version with this info dictionary. Its files were verified with these stamps.
    pub fn new(info: Arc<Info>, stamps: Vec<FileStamp>) -> Self {
        let layout = FileLayout::all(info);
        Self { layout, stamps }
    }

    /// Opens its files, which are at `path`.
    ///
    /// # Errors
    /// See [`Store::open`].
    pub fn open(&self, path: &Path) -> Result<Store, StoreError> {
        let store = Store::open(self.layout.clone(), path)?;
        store.seal(&self.stamps);
        Ok(store)
    }

    /// Checks that each of its files is at `path` and has the stamp with which it was verified.
    /// Other files in a folder do not matter.
    ///
    /// # Errors
    /// [`StoreError::LocallyChanged`] names a file that is missing or has changed. Another error if
    /// the files cannot be examined.
    pub fn check_unchanged(&self, path: &Path) -> Result<(), StoreError> {
        match self.open(path)?.check_paths(0, usize::MAX) {
            Err(StoreError::Changed(path) | StoreError::Missing(path)) => {
                Err(StoreError::LocallyChanged(path))
            }
            checked => checked.map(drop),
        }
    }

    /// Removes its files from a folder that another version has replaced, and then the folders that
    /// become empty. A file that has changed since it was verified stays.
    ///
    /// # Errors
    /// Something cannot be opened or removed.
    pub(super) fn remove_files(&self, folder: &Path) -> Result<(), StoreError> {
        if self.layout.info().layout() == Layout::File {
            return Ok(());
        }
        let folder = Folder::open(folder)?;
        for (index, stamp) in self.layout.wanted_files().zip(&self.stamps) {
            let Some(path) = self.layout.path(index) else {
                continue;
            };
            let removed = folder.with_parent(path, false, |parent, name| {
                let file = parent.file(name, Access::Read)?;
                let now = FileStamp::of(&metadata(&file, || parent.path().join(name))?);
                match stamp.compare(&now) {
                    StampMatch::Same | StampMatch::OtherInode => parent.remove_file(name),
                    StampMatch::Changed => Ok(()),
                }
            });
            match removed {
                // Somebody has put something else there.
                Err(
                    StoreError::NotAFile(_) | StoreError::NotAFolder(_) | StoreError::Symlink(_),
                ) => {}
                removed => ignore_missing(removed)?,
            }
        }
        let folders = self.layout.folders_of(self.layout.wanted_files());
        for path in folders.iter().rev() {
            let removed = folder.with_parent(path, false, Folder::remove_empty_folder);
            match removed {
                Err(StoreError::NotAFolder(_) | StoreError::Symlink(_)) => {}
                removed => ignore_missing(removed)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{info_of, paths_below};
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_files_of_the_version_that_are_unchanged_are_removed() {
        let temporary = tempfile::tempdir().unwrap();
        let (folder, outside) = (
            temporary.path().join("set"),
            temporary.path().join("outside"),
        );
        for path in ["a", "changed", "sub/b", "sub/deep/c", "linked/d", "was/e"] {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "content").unwrap();
        }
        let info = info_of(&folder);
        let store = Store::open(FileLayout::all(Arc::clone(&info)), &folder).unwrap();
        let former = FormerVersion::new(info, store.stamps().unwrap());
        former.check_unchanged(&folder).unwrap();
        // Somebody has added, changed and replaced files since then.
        fs::write(folder.join("sub/own"), "own").unwrap();
        fs::write(folder.join("changed"), "other content").unwrap();
        let changed = former.check_unchanged(&folder);
        assert!(
            matches!(changed, Err(StoreError::LocallyChanged(path)) if path.ends_with("changed"))
        );
        fs::rename(folder.join("linked"), &outside).unwrap();
        symlink(&outside, folder.join("linked")).unwrap();
        fs::remove_dir_all(folder.join("was")).unwrap();
        fs::write(folder.join("was"), "a file now").unwrap();
        former.remove_files(&folder).unwrap();
        former.remove_files(&folder).unwrap();
        let left = paths_below(&folder);
        assert_eq!(left, ["changed", "linked", "sub", "sub/own", "was"]);
        assert!(outside.join("d").exists());
    }

    #[test]
    fn a_missing_file_counts_as_changed() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("set");
        fs::create_dir(&folder).unwrap();
        for name in ["a", "b"] {
            fs::write(folder.join(name), name).unwrap();
        }
        let info = info_of(&folder);
        let store = Store::open(FileLayout::all(Arc::clone(&info)), &folder).unwrap();
        let former = FormerVersion::new(info, store.stamps().unwrap());
        fs::remove_file(folder.join("b")).unwrap();
        let missing = former.check_unchanged(&folder);
        assert!(matches!(missing, Err(StoreError::LocallyChanged(path)) if path.ends_with("b")));
    }
}
