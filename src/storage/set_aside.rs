//! Moves bad files of a complete download out of its folder, so that a download repairs them: it
//! keeps their good pieces and fetches the others. Good files stay where they are.
//!
//! The files are moved before the download is recorded. If a crash comes in between, they are
//! missing at the next start, and their bytes are in a partial file or folder that no record names.
//! A later repair copies the good pieces from there, as each download does.

use super::rename::{RenameSteps, rename_new};
use super::tree::{Access, Folder, has_layout, ignore_missing};
use super::{Destination, FileLayout, StoreError};
use crate::torrent::{FilePath, Layout};
use nix::sys::stat::FileStat;
use std::path::Path;

/// Bad files of a download that have another name until they are repaired.
#[derive(Debug)]
pub struct SetAside<'a> {
    layout: &'a FileLayout,
    destination: &'a Destination,
    bad: &'a [usize],
    partial: String,
}

impl<'a> SetAside<'a> {
    /// Moves the `bad` files, which are at `destination`, to a new partial file or folder, and
    /// gives them the lengths that the torrent says. Missing files are left out. `is_used` says
    /// whether another transfer uses a path.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] names something that may not be moved: what is no regular file, or a
    /// file with several names, or an entry that has the name of the partial file or folder.
    /// Another error if something cannot be moved. Then all files have their names again.
    pub fn new(
        layout: &'a FileLayout,
        destination: &'a Destination,
        bad: &'a [usize],
        is_used: &dyn Fn(&Path) -> bool,
    ) -> Result<Self, StoreError> {
        let parent = destination.open_folder()?;
        let names = destination.partial_names(layout.info().info_hash());
        let mut free = None;
        for name in &names {
            let path = parent.path().join(name);
            if parent.entry(name)?.is_none() && !is_used(&path) {
                free = Some(name.clone());
                break;
            }
        }
        let taken = || StoreError::Foreign(destination.folder.join(names.concat()));
        let aside = Self {
            layout,
            destination,
            bad,
            partial: free.ok_or_else(taken)?,
        };
        aside.check(&parent)?;
        if let Err(error) = aside.take(&parent) {
            aside.put_back();
            return Err(error);
        }
        Ok(aside)
    }

    /// The name of the partial file or folder.
    pub fn partial(&self) -> &str {
        &self.partial
    }

    /// Moves the files back. An error is only logged.
    pub fn put_back(&self) {
        if let Err(error) = self.try_put_back() {
            log::error!("cannot move files back: {error}");
        }
    }

    fn is_folder(&self) -> bool {
        self.layout.info().layout() == Layout::Folder
    }

    /// The paths of the bad files in the folder of the share.
    fn paths(&self) -> impl Iterator<Item = (usize, &FilePath)> {
        let bad = self.bad.iter();
        bad.filter_map(|index| Some((*index, self.layout.path(*index)?)))
    }

    /// Fails if something may not be moved.
    fn check(&self, parent: &Folder) -> Result<(), StoreError> {
        let name = &*self.destination.name;
        if !self.is_folder() {
            return check_entry(parent, name).map(drop);
        }
        let folder = parent.folder(name)?;
        for (_, path) in self.paths() {
            ignore_missing(folder.with_parent(path, false, |parent, name| {
                check_entry(parent, name).map(drop)
            }))?;
        }
        Ok(())
    }

    fn take(&self, parent: &Folder) -> Result<(), StoreError> {
        let (name, partial) = (&*self.destination.name, &*self.partial);
        if !self.is_folder() {
            rename(parent, name, parent, partial)?;
            self.set_length(0, parent, partial)?;
            return parent.sync();
        }
        let from = parent.folder(name)?;
        let to = parent.create_new_folder(partial)?;
        let to = to.ok_or_else(|| StoreError::Foreign(parent.path().join(partial)))?;
        for (index, path) in self.paths() {
            ignore_missing(from.with_parent(path, false, |from, name| {
                if check_entry(from, name)?.is_none() {
                    return Ok(());
                }
                to.with_parent(path, true, |to, new_name| {
                    rename(from, name, to, new_name)?;
                    self.set_length(index, to, new_name)
                })
            }))?;
        }
        to.sync()?;
        parent.sync()
    }

    fn set_length(&self, index: usize, parent: &Folder, name: &str) -> Result<(), StoreError> {
        let (file, length) = (parent.file(name, Access::Write)?, self.layout.length(index));
        let path = parent.path().join(name);
        let examined = file.metadata();
        let found = examined.map_err(|error| StoreError::io("examine", &path, error))?;
        match found.len() == length {
            true => Ok(()),
            false => {
                let cut = file.set_len(length);
                cut.map_err(|error| StoreError::io("write", &path, error))
            }
        }
    }

    fn try_put_back(&self) -> Result<(), StoreError> {
        let parent = self.destination.open_folder()?;
        let (name, partial) = (&*self.destination.name, &*self.partial);
        if parent.entry(partial)?.is_none() {
            return Ok(());
        }
        if !self.is_folder() {
            rename(&parent, partial, &parent, name)?;
            return parent.sync();
        }
        let (from, to) = (parent.folder(partial)?, parent.folder(name)?);
        for (_, path) in self.paths() {
            ignore_missing(
                from.with_parent(path, false, |from, name| match from.entry(name)? {
                    Some(_) => {
                        to.with_parent(path, true, |to, new_name| rename(from, name, to, new_name))
                    }
                    None => Ok(()),
                }),
            )?;
        }
        let folders = self.layout.folders_of(self.bad.iter().copied());
        for path in folders.iter().rev() {
            ignore_missing(from.with_parent(path, false, Folder::remove_empty_folder))?;
        }
        parent.remove_empty_folder(partial)?;
        parent.sync()
    }
}

/// The entry of a bad file, if there is one. An error if it may not be moved and written.
fn check_entry(parent: &Folder, name: &str) -> Result<Option<FileStat>, StoreError> {
    let entry = parent.entry(name)?;
    match &entry {
        Some(found) if !has_layout(found, Layout::File) || found.st_nlink > 1 => {
            Err(StoreError::Foreign(parent.path().join(name)))
        }
        _ => Ok(entry),
    }
}

/// Renames a file to a free name.
fn rename(from: &Folder, name: &str, to: &Folder, new_name: &str) -> Result<(), StoreError> {
    // A rename in several steps needs no note: each of the two names is tried afterwards.
    let no_note = |_: RenameSteps| Ok(());
    rename_new((from, name), (to, new_name), Layout::File, &no_note)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Sample, destination, paths_below, sample};
    use super::*;
    use std::fs;

    #[test]
    fn bad_files_are_moved_with_the_right_length_and_moved_back() {
        let Sample { folder, info, .. } = sample();
        let place = destination(&folder, "set");
        let layout = FileLayout::all(info);
        let big = folder.path().join("set/sub/big");
        fs::write(&big, "short").unwrap();
        let before = paths_below(folder.path());
        // File 1 is `empty`, and file 2 is `sub/big`.
        let aside = SetAside::new(&layout, &place, &[1, 2], &|_| false).unwrap();
        let moved = folder.path().join(aside.partial()).join("sub/big");
        assert_eq!(fs::metadata(&moved).unwrap().len(), layout.length(2));
        assert!(!big.exists() && fs::read(&moved).unwrap().starts_with(b"short"));
        // A second one at the same time takes another name.
        let second = SetAside::new(&layout, &place, &[0], &|_| false).unwrap();
        assert_ne!(second.partial(), aside.partial());
        second.put_back();
        aside.put_back();
        assert_eq!(paths_below(folder.path()), before);
    }

    #[test]
    fn what_may_not_be_written_is_not_moved() {
        let Sample { folder, info, .. } = sample();
        let place = destination(&folder, "set");
        let layout = FileLayout::all(info);
        let big = folder.path().join("set/sub/big");
        let other = folder.path().join("other name");
        fs::hard_link(&big, &other).unwrap();
        let before = paths_below(folder.path());
        let refused = || SetAside::new(&layout, &place, &[0, 2], &|_| false).unwrap_err();
        assert!(matches!(refused(), StoreError::Foreign(path) if path.ends_with("big")));
        assert_eq!(paths_below(folder.path()), before);
        fs::remove_file(&big).unwrap();
        std::os::unix::fs::symlink(&other, &big).unwrap();
        assert!(matches!(refused(), StoreError::Foreign(path) if path.ends_with("big")));
        assert!(other.exists() && big.is_symlink());
    }
}
