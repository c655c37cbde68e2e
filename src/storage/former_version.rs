//! A version of a share whose place a download of another version takes.

use super::tree::{Access, Folder, has_layout, ignore_missing, metadata};
use super::{FileLayout, FileStamp, StampMatch, Store, StoreError};
use crate::torrent::{FilePath, Layout};
use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// A complete version of a share, under the final name of a download of another version.
#[derive(Clone, Debug)]
pub struct FormerVersion {
    layout: FileLayout,
    /// The stamps with which its files were verified, see [`Store::stamps`].
    stamps: Vec<FileStamp>,
    /// Whether a user has allowed that files of persons are replaced (`--force`).
    is_forced: bool,
}

impl FormerVersion {
    /// The version with these wanted files, which were verified with these stamps.
    pub fn new(layout: FileLayout, stamps: Vec<FileStamp>) -> Self {
        Self {
            layout,
            stamps,
            is_forced: false,
        }
    }

    /// The same version. `is_forced`: files that were changed since it was complete are replaced
    /// too, and files of no version at whose paths the new version has files.
    pub fn forced(self, is_forced: bool) -> Self {
        Self { is_forced, ..self }
    }

    /// Whether files of persons may be replaced.
    pub(super) fn is_forced(&self) -> bool {
        self.is_forced
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

    /// Checks that the version `new` can take its place at `path` without harm to a file that a
    /// person may have written: each file of this version is there with the stamp with which it was
    /// verified, and nothing is at the paths that only the new version has. Other files in a folder
    /// do not matter. Checks nothing if the replacement is forced.
    ///
    /// # Errors
    /// [`StoreError::LocallyChanged`], [`StoreError::LocallyRemoved`] or
    /// [`StoreError::OfNoVersion`] names such a file. Another error if the files cannot be
    /// examined.
    pub fn check_replaceable(&self, new: &FileLayout, path: &Path) -> Result<(), StoreError> {
        if self.is_forced {
            return Ok(());
        }
        let checked = self
            .open(path)
            .and_then(|store| store.check_paths(0, usize::MAX));
        match checked {
            Err(StoreError::Changed(path)) => Err(StoreError::LocallyChanged(path)),
            Err(StoreError::Missing(path)) => Err(StoreError::LocallyRemoved(path)),
            Err(error) => Err(error),
            Ok(_) if self.layout.info().layout() == Layout::File => Ok(()),
            Ok(_) => self.check_new_paths(new, &Folder::open(path)?),
        }
    }

    /// Checks that nothing but files and folders of this version is at the paths of files that only
    /// the version `new` has.
    fn check_new_paths(&self, new: &FileLayout, folder: &Folder) -> Result<(), StoreError> {
        let own = |index| self.layout.path(index);
        let files: HashSet<&FilePath> = self.layout.wanted_files().filter_map(own).collect();
        let folders = self.layout.folders_of(self.layout.wanted_files());
        let added = new.wanted_files().filter_map(|index| new.path(index));
        for path in added.filter(|path| !files.contains(*path)) {
            let taken = || Err(StoreError::OfNoVersion(folder.path().join(path.to_path())));
            match folder.with_parent(path, false, |parent, name| parent.entry(name)) {
                Ok(None) | Err(StoreError::Missing(_)) => {}
                Ok(Some(entry)) if has_layout(&entry, Layout::Folder) && folders.contains(path) => {
                }
                Ok(Some(_)) => return taken(),
                // A file of this version may be where the new one needs a folder.
                Err(StoreError::NotAFolder(_)) if is_below(path, &files) => {}
                Err(StoreError::NotAFolder(_) | StoreError::Symlink(_)) => return taken(),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Device and inode number of each of its files that is in the folder `place`. Empty if it is a
    /// single file.
    pub(super) fn inodes(&self, place: &Path) -> Result<HashSet<(u64, u64)>, StoreError> {
        if self.layout.info().layout() == Layout::File || !place.is_dir() {
            return Ok(HashSet::new());
        }
        let folder = Folder::open(place)?;
        let paths = self.layout.wanted_files();
        let paths = paths.filter_map(|index| self.layout.path(index));
        let mut inodes = HashSet::new();
        for path in paths {
            match folder.with_parent(path, false, |parent, name| parent.entry(name)) {
                Ok(Some(entry)) => {
                    inodes.insert((entry.st_dev, entry.st_ino));
                }
                Ok(None) => {}
                Err(error) if error.is_mismatch() || error.is_absence() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(inodes)
    }

    /// Removes its files at `path`, and then the folders that become empty. A file that has changed
    /// since it was verified stays. Returns whether nothing is left at `path`.
    ///
    /// # Errors
    /// Something cannot be opened or removed.
    pub fn remove(&self, path: &Path) -> Result<bool, StoreError> {
        self.remove_files(path)?;
        if self.layout.info().layout() == Layout::Folder {
            match fs::remove_dir(path) {
                Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {}
                // Somebody has put something else there.
                Err(error) if error.kind() == ErrorKind::NotADirectory => {}
                removed => {
                    ignore_missing(removed.map_err(|error| StoreError::io("remove", path, error)))?
                }
            }
        }
        Ok(path.symlink_metadata().is_err())
    }

    /// Removes its files from a file or folder that another version has replaced, and then the
    /// folders that become empty. A file that has changed since it was verified stays.
    ///
    /// # Errors
    /// Something cannot be opened or removed. The others are removed before.
    pub(super) fn remove_files(&self, place: &Path) -> Result<(), StoreError> {
        if self.layout.info().layout() == Layout::File {
            return self.remove_single_file(place);
        }
        if !place.is_dir() {
            return Ok(());
        }
        let folder = Folder::open(place)?;
        let mut all_removed = Ok(());
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
                removed => all_removed = all_removed.and(ignore_missing(removed)),
            }
        }
        let folders: BTreeSet<FilePath> = self.layout.folders_of(self.layout.wanted_files());
        for path in folders.iter().rev() {
            let removed = folder.with_parent(path, false, Folder::remove_empty_folder);
            match removed {
                Err(StoreError::NotAFolder(_) | StoreError::Symlink(_)) => {}
                removed => all_removed = all_removed.and(ignore_missing(removed)),
            }
        }
        all_removed
    }

    /// Removes the file of a version that is a single file. A changed file is removed only if the
    /// replacement is forced.
    fn remove_single_file(&self, path: &Path) -> Result<(), StoreError> {
        let Some(found) = path.symlink_metadata().ok().filter(|found| found.is_file()) else {
            return Ok(());
        };
        let stamp = self.stamps.first();
        let is_unchanged =
            stamp.is_some_and(|stamp| stamp.compare(&FileStamp::of(&found)) < StampMatch::Changed);
        if !is_unchanged && !self.is_forced {
            return Ok(());
        }
        fs::remove_file(path).map_err(|error| StoreError::io("remove", path, error))
    }
}

/// Whether one of the folders above `path` has the path of one of these files.
fn is_below(path: &FilePath, files: &HashSet<&FilePath>) -> bool {
    let components = path.components();
    let above = (1..components.len()).filter_map(|count| components.get(..count));
    let mut above = above.filter_map(|names| FilePath::new(names.to_vec()).ok());
    above.any(|path| files.contains(&path))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{info_of, paths_below};
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::Arc;

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
        let former = FormerVersion::new(FileLayout::all(info), store.stamps().unwrap());
        let new = former.layout.clone();
        former.check_replaceable(&new, &folder).unwrap();
        // Somebody has added, changed and replaced files since then.
        fs::write(folder.join("sub/own"), "own").unwrap();
        fs::write(folder.join("changed"), "other content").unwrap();
        let changed = former.check_replaceable(&new, &folder);
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
    fn a_missing_file_is_named_and_nobody_is_told_to_move_it_away() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("set");
        fs::create_dir(&folder).unwrap();
        for name in ["a", "b"] {
            fs::write(folder.join(name), name).unwrap();
        }
        let info = info_of(&folder);
        let store = Store::open(FileLayout::all(Arc::clone(&info)), &folder).unwrap();
        let former = FormerVersion::new(FileLayout::all(info), store.stamps().unwrap());
        fs::remove_file(folder.join("b")).unwrap();
        let new = former.layout.clone();
        let missing = former.check_replaceable(&new, &folder).unwrap_err();
        assert!(matches!(&missing, StoreError::LocallyRemoved(path) if path.ends_with("b")));
        let text = missing.to_string();
        assert!(
            !text.contains("move it") && text.contains("--force"),
            "{text}"
        );
        // A file that was moved away is missing afterwards. So moving away is no advice either.
        let changed = StoreError::LocallyChanged(folder).to_string();
        assert!(!changed.contains("move it"), "{changed}");
    }

    #[test]
    fn a_file_of_no_version_at_a_path_of_the_new_version_is_not_replaced() {
        let temporary = tempfile::tempdir().unwrap();
        let make = |path: &str| {
            let path = temporary.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "content").unwrap();
        };
        for path in [
            "set/a",
            "set/b/c",
            "new/set/a/x",
            "new/set/b",
            "new/set/d/e",
        ] {
            make(path);
        }
        let place = temporary.path().join("set");
        let info = info_of(&place);
        let store = Store::open(FileLayout::all(Arc::clone(&info)), &place).unwrap();
        let former = FormerVersion::new(FileLayout::all(info), store.stamps().unwrap());
        let new = FileLayout::all(info_of(&temporary.path().join("new/set")));
        // A file of the former version may become a folder, and the reverse.
        former.check_replaceable(&new, &place).unwrap();
        // Other files do not matter.
        make("set/d/own");
        former.check_replaceable(&new, &place).unwrap();
        make("set/d/e");
        let check = |former: &FormerVersion| former.check_replaceable(&new, &place);
        let taken =
            |found| matches!(found, Err(StoreError::OfNoVersion(path)) if path.ends_with("d/e"));
        assert!(taken(check(&former)));
        fs::remove_dir_all(place.join("d")).unwrap();
        make("set/d");
        assert!(taken(check(&former)));
        fs::remove_file(place.join("d")).unwrap();
        symlink(temporary.path(), place.join("d")).unwrap();
        assert!(taken(check(&former)));
        check(&former.forced(true)).unwrap();
    }
}
