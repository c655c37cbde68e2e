//! Takes files of an older version of a share into the partial file or folder of a download,
//! without copying bytes: as hard links or as reflinks. The older version is served meanwhile.
//!
//! | file of the new version | first choice | second choice |
//! |---|---|---|
//! | unchanged, verified in the old version | hard link | reflink |
//! | unchanged, or of the same path | reflink | nothing: see `from_version` |
//!
//! After a crash at any step, taking the files again continues. An entry of the partial folder with
//! several hard links can only be a link of an earlier attempt. It is used again if it still is the
//! verified file. Otherwise only this name of it is removed, because other names may be anybody's.
//! A file of a wrong length is a copy or a clone that a crash has interrupted: it is made again.

use super::linked_files::SharingFiles;
use super::tree::{Access, Folder, has_layout, metadata};
use super::{Download, FileStamp, OldVersion, StampMatch, Store, StoreError};
use crate::torrent::{FilePath, Layout};
use nix::fcntl::AtFlags;
use nix::sys::stat::FileStat;
use nix::unistd::linkat;
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Takes all files of `old` that a download can use. Must be called before
/// [`Download::make_files`]. Without `old`, only undoes what an earlier call has linked.
///
/// # Errors
/// An entry of the partial folder cannot be examined or removed. A file that cannot be linked or
/// cloned is no error: it is copied or fetched.
pub fn take_files(new: &Download, old: Option<&OldVersion>) -> Result<(), StoreError> {
    let store = new.store();
    let mut taker = Taker {
        new: store,
        old,
        old_folder: old.and_then(|old| Folder::open(old.store().path()).ok()),
        can_clone: true,
        linked_origins: BTreeSet::new(),
        taken: SharingFiles::default(),
    };
    let wanted: Vec<usize> = store.layout().wanted_files().collect();
    for index in wanted {
        taker.take(index)?;
    }
    *store.linked_files().lock() = taker.taken;
    Ok(())
}

struct Taker<'a> {
    new: &'a Store,
    old: Option<&'a OldVersion>,
    /// The folder of the old version. `None` if it is a single file.
    old_folder: Option<Folder>,
    /// Whether the file system may have reflinks.
    can_clone: bool,
    /// Each file of the old version is linked once at most: two files of the new version must not
    /// stay one file after the old version is gone.
    linked_origins: BTreeSet<usize>,
    taken: SharingFiles,
}

impl Taker<'_> {
    fn take(&mut self, index: usize) -> Result<(), StoreError> {
        let Some(folder) = self.new.root().folder() else {
            return self.clone_file(index);
        };
        let Some(path) = self.new.layout().path(index) else {
            return Ok(());
        };
        match entry(folder, path)? {
            Some(entry) if entry.st_nlink > 1 => {
                if self.use_link_again(index, &entry, folder, path)? {
                    return Ok(());
                }
                folder.with_parent(path, false, Folder::remove_file)?;
            }
            // It was made by an earlier attempt, and may have fetched pieces.
            Some(entry) if entry.st_size > 0 && self.has_length(index, entry.st_size) => {
                return Ok(());
            }
            // A crash came while an earlier attempt copied or cloned it.
            Some(entry) if has_layout(&entry, Layout::File) => {
                folder.with_parent(path, false, Folder::remove_file)?;
            }
            _ => {}
        }
        match self.link(index, folder, path)? {
            true => Ok(()),
            false => self.clone_file(index),
        }
    }

    fn has_length(&self, index: usize, length: i64) -> bool {
        u64::try_from(length) == Ok(self.new.layout().length(index))
    }

    /// The file of the old version that can be linked, with the stamp with which it was verified.
    fn link_origin(&self, index: usize) -> Option<(&FilePath, usize, FileStamp)> {
        let old = self.old?;
        let origin = old.origin(index)?;
        let (old_file, new_file) = (
            old.store().info().files().get(origin)?,
            self.new.info().files().get(index)?,
        );
        let can_be_linked = old_file.length > 0
            && old_file.attributes == new_file.attributes
            && !self.linked_origins.contains(&origin);
        let stamp = old.store().sealed_stamp(origin)?;
        can_be_linked.then_some((&old_file.path, origin, stamp))
    }

    /// Whether an entry with several links is the verified file that it is to be a link of.
    fn use_link_again(
        &mut self,
        index: usize,
        entry: &FileStat,
        folder: &Folder,
        path: &FilePath,
    ) -> Result<bool, StoreError> {
        let (Some((old_path, origin, stamp)), Some(old_folder)) =
            (self.link_origin(index), &self.old_folder)
        else {
            return Ok(false);
        };
        let old_entry = self::entry(old_folder, old_path)?;
        let is_same =
            old_entry.is_some_and(|old| (old.st_dev, old.st_ino) == (entry.st_dev, entry.st_ino));
        let is_verified = is_same
            && folder.with_parent(path, false, |parent, name| is_verified(parent, name, stamp))?;
        if is_verified {
            self.linked_origins.insert(origin);
            self.taken.linked.insert(index, stamp);
        }
        Ok(is_verified)
    }

    /// Makes a hard link to a verified file of the old version. Returns whether this was possible.
    fn link(&mut self, index: usize, folder: &Folder, path: &FilePath) -> Result<bool, StoreError> {
        let (Some((old_path, origin, stamp)), Some(old_folder)) =
            (self.link_origin(index), &self.old_folder)
        else {
            return Ok(false);
        };
        let linked = old_folder.with_parent(old_path, false, |old_parent, old_name| {
            folder.with_parent(path, true, |parent, name| {
                // An empty file that an earlier attempt has made.
                parent.remove_file(name)?;
                let (from, to) = (old_parent.as_file(), parent.as_file());
                if let Err(errno) = linkat(from, old_name, to, name, AtFlags::empty()) {
                    log::debug!(
                        "cannot link {}: {errno}",
                        parent.path().join(name).display()
                    );
                    return Ok(false);
                }
                // The old file may have been replaced since it was verified.
                let is_verified = is_verified(parent, name, stamp)?;
                if !is_verified {
                    parent.remove_file(name)?;
                }
                Ok(is_verified)
            })
        });
        match linked {
            Ok(true) => {
                self.linked_origins.insert(origin);
                self.taken.linked.insert(index, stamp);
                Ok(true)
            }
            Ok(false) => Ok(false),
            // The old file is missing, or something else is there.
            Err(error) if error.is_mismatch() || error.is_absence() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Clones the file of the old version that has the same content or the same path, if the file
    /// system can do this. What is not right in the clone is found when it is verified.
    fn clone_file(&mut self, index: usize) -> Result<(), StoreError> {
        let length = self.new.layout().length(index);
        let source = self
            .old
            .filter(|_| self.can_clone && length > 0)
            .and_then(|old| {
                let source = old.source(index)?;
                old.store().open_file(source, Access::Read).ok()
            });
        let Some(source) = source else {
            return Ok(());
        };
        let file = self.new.open_file(index, Access::Create)?;
        let path = || self.new.file_path(index);
        let found = metadata(&file, path)?.len();
        if found == length {
            return Ok(());
        }
        if found > 0 {
            // A crash came while an earlier attempt cloned a share that is a single file: then the
            // file has the length of its source. Anything else is somebody's: `make_files` says so.
            let is_clone = found == metadata(&source, path)?.len() && has_one_name(&file, path)?;
            if !is_clone {
                return Ok(());
            }
            let emptied = file.set_len(0);
            emptied.map_err(|error| StoreError::io("write", &path(), error))?;
        }
        match rustix::fs::ioctl_ficlone(&*file, &*source) {
            Ok(()) => {
                let sized = file.set_len(length);
                sized.map_err(|error| StoreError::io("make room for", &path(), error))?;
                self.taken.cloned.insert(index);
            }
            Err(error) => {
                log::debug!("cannot clone {}: {error}", path().display());
                self.can_clone = false;
            }
        }
        Ok(())
    }
}

/// The entry at `path` below a folder, if there is one.
fn entry(folder: &Folder, path: &FilePath) -> Result<Option<FileStat>, StoreError> {
    match folder.with_parent(path, false, |parent, name| parent.entry(name)) {
        Err(StoreError::Missing(_)) => Ok(None),
        found => found,
    }
}

fn has_one_name(file: &File, path: impl Fn() -> PathBuf) -> Result<bool, StoreError> {
    Ok(metadata(file, path)?.nlink() == 1)
}

/// Whether the file `name` has the stamp with which it was verified, and this inode number.
fn is_verified(parent: &Folder, name: &str, stamp: FileStamp) -> Result<bool, StoreError> {
    let Ok(file) = parent.file(name, Access::Read) else {
        return Ok(false);
    };
    let now = FileStamp::of(&metadata(&file, || parent.path().join(name))?);
    Ok(stamp.compare(&now) == StampMatch::Same && stamp.inode == now.inode)
}
