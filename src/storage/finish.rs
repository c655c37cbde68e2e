//! The end of a download: under its final name when whole, or gone when cancelled.

use super::download::{Download, Others, is_of, part_name};
use super::rest::Rest;
use super::store::{Base, Root};
use super::tree::{Access, Folder};
use super::{Place, Store, StoreError};
use crate::torrent::{FilePath, Info, Layout};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, renameat};
use nix::unistd::{linkat, syncfs};
use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// From so many files on, the whole file system is synced at once instead of each file.
const MANY: usize = 128;

impl Store {
    /// Makes a whole download last and puts it under its final name, which is given back. What stands there is replaced only
    /// by [`Store::open_replacement`], at once and by its like, and then removed. Reads go on meanwhile and afterwards; writes are refused from then on. Finished already, it only
    /// gives the path. That every piece was verified is the caller's matter.
    ///
    /// # Errors
    /// When the final name is taken (by something of another kind, for a replacement), a file changed its length, the partial file was moved, or syncing failed: then the
    /// data still lies in the partial file, unless only syncing the folder failed.
    pub fn finish(&self) -> Result<PathBuf, StoreError> {
        let Some(download) = &self.download else {
            return Err(StoreError::ReadOnly(self.path().to_owned()));
        };
        let Download {
            parent,
            part,
            name,
            replaces,
            ..
        } = download;
        let path = parent.path().join(name);
        if self.finished.get().is_some() {
            return Ok(path);
        }
        self.sync()?;
        if !self.root.base.stands_at(parent, part)? {
            return Err(StoreError::Moved(self.path().to_owned()));
        }
        // All that it holds stands in files by now.
        if let Some(leftover) = &self.leftover {
            parent.remove_file(&leftover.name)?;
        }
        if let Some(standing) = &self.standing {
            self.move_beside(standing, download)?;
            return Ok(path);
        }
        let layout = self.info.layout();
        let left = match parent.entry(name)? {
            Some(entry) if replaces.is_some() && is_of(&entry, layout) => {
                rename_over(parent, part, name, layout)?
            }
            _ => {
                rename_new((parent, part), (parent, name), layout)?;
                None
            }
        };
        let base = match &self.root.base {
            Base::File(file) => Base::File(file.clone()),
            Base::Folder(folder) => Base::Folder(folder.renamed(path.clone())?),
        };
        let root = Root {
            path: path.clone(),
            base,
        };
        // A second caller at the same time has found the partial file moved.
        let _ = self.finished.set(root);
        parent.sync()?;
        if let (Some(left), Some(others)) = (left, replaces) {
            remove_left(&parent.path().join(left), &path, *others);
        }
        Ok(path)
    }

    /// A replacement of that place is whole, but the process that made it was ended before it had removed what stood there:
    /// does that now.
    pub fn remove_replaced(info: &Info, place: &Place, others: Others) {
        // Files give way in one step; of a folder the old one lies where the new one was fetched to.
        if info.layout() == Layout::Folder {
            let left = place.folder.join(part_name(&place.name, info.info_hash()));
            if left.symlink_metadata().is_ok_and(|found| found.is_dir()) {
                remove_left(&left, &place.path(), others);
            }
        }
    }

    /// Removes what a download left so far: the files of this share and the folders that thereby become empty. Files that stand
    /// under their final name stay.
    ///
    /// # Errors
    /// When the store is no download in progress, or something cannot be removed.
    pub fn discard(&self) -> Result<(), StoreError> {
        self.discard_with(self.rest.iter().chain(&self.leftover))
    }

    /// As [`Store::discard`], with these files beside the download.
    pub(super) fn discard_with<'a>(
        &self,
        rests: impl Iterator<Item = &'a Rest>,
    ) -> Result<(), StoreError> {
        let download = self.download.as_ref().filter(|_| self.is_writable());
        let Some(Download { parent, part, .. }) = download else {
            return Err(StoreError::ReadOnly(self.path().to_owned()));
        };
        if !self.root.base.stands_at(parent, part)? {
            return Ok(());
        }
        for rest in rests {
            parent.remove_file(&rest.name)?;
        }
        match &self.root.base {
            Base::File(_) => parent.remove_file(part)?,
            Base::Folder(folder) => {
                let files = self.fetched_files().filter_map(|index| {
                    let file = self.info.files().get(index)?;
                    Some(&file.path)
                });
                for path in files {
                    missing_is_fine(folder.below(path, false, Folder::remove_file))?;
                }
                for path in self.folders_of(self.stored_files()).iter().rev() {
                    let removed = folder.below(path, false, Folder::remove_empty_folder);
                    missing_is_fine(removed)?;
                }
                parent.remove_empty_folder(part)?;
            }
        }
        parent.sync()
    }

    /// Gives the files their executable bits and makes them and the folders they are in last.
    fn sync(&self) -> Result<(), StoreError> {
        let many = self.fetched_files().count() >= MANY;
        for index in self.fetched_files() {
            let file = self.open_file(index, Access::Write)?;
            self.stamp(index, &file)?;
            let entry = self.info.files().get(index);
            let path = || self.file_path(index);
            if entry.is_some_and(|file| file.attributes.executable) {
                allow_execution(&file)
                    .map_err(|error| StoreError::io("make executable", &path(), error))?;
            }
            if !many {
                file.sync_all()
                    .map_err(|error| StoreError::io("sync", &path(), error))?;
            }
        }
        if let Some(rest) = &self.rest {
            let synced = rest.file.sync_all();
            synced.map_err(|error| StoreError::io("sync", &rest.path, error))?;
        }
        match &self.root.base {
            Base::File(_) => Ok(()),
            Base::Folder(folder) if many => {
                syncfs(folder.as_file()).map_err(|errno| StoreError::io("sync", self.path(), errno))
            }
            Base::Folder(folder) => {
                for path in self.folders_of(self.fetched_files()) {
                    folder.below(&path, false, |above, name| above.folder(name)?.sync())?;
                }
                folder.sync()
            }
        }
    }

    /// The folders inside the share that these files are in, each before those in it.
    pub(super) fn folders_of(&self, files: impl Iterator<Item = usize>) -> BTreeSet<FilePath> {
        let mut folders = BTreeSet::new();
        for index in files {
            let Some(file) = self.info.files().get(index) else {
                continue;
            };
            let mut above = file.path.components();
            while let [rest @ .., _] = above
                && let Ok(path) = FilePath::new(rest.to_vec())
                && folders.insert(path)
            {
                above = rest;
            }
        }
        folders
    }
}

pub(super) fn missing_is_fine(result: Result<(), StoreError>) -> Result<(), StoreError> {
    match result {
        Err(StoreError::Missing(_)) => Ok(()),
        other => other,
    }
}

/// Execution for everyone who may read.
fn allow_execution(file: &File) -> std::io::Result<()> {
    let mode = file.metadata()?.permissions().mode();
    file.set_permissions(Permissions::from_mode(mode | (mode & 0o444) >> 2))
}

/// Renames over what stands there, which is of the same layout. Gives the name under which the old one is now: a file is gone
/// with the renaming, a folder is not.
fn rename_over(
    parent: &Folder,
    from: &str,
    to: &str,
    layout: Layout,
) -> Result<Option<String>, StoreError> {
    let folder = parent.as_file();
    let result = match layout {
        Layout::File => renameat(folder, from, folder, to).map(|()| None),
        Layout::Folder => match exchange(parent, from, to) {
            // Network file systems know no such flag.
            Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => {
                let aside = format!("{from}.replaced");
                rename_new((parent, to), (parent, &aside), layout)?;
                rename_new((parent, from), (parent, to), layout)?;
                Ok(Some(aside))
            }
            exchanged => exchanged.map(|()| Some(from.to_owned())),
        },
    };
    result.map_err(|errno| rename_error(parent, to, errno))
}

#[cfg(target_env = "gnu")]
fn exchange(parent: &Folder, from: &str, to: &str) -> Result<(), Errno> {
    use nix::fcntl::{RenameFlags, renameat2};
    let folder = parent.as_file();
    renameat2(folder, from, folder, to, RenameFlags::RENAME_EXCHANGE)
}

#[cfg(not(target_env = "gnu"))]
fn exchange(_parent: &Folder, _from: &str, _to: &str) -> Result<(), Errno> {
    Err(Errno::ENOSYS)
}

/// What was replaced is not wanted any more; that it cannot be removed spoils nothing.
fn remove_left(left: &Path, new: &Path, others: Others) {
    let kept = match others {
        Others::Removed => Ok(()),
        Others::Kept => move_others(left, new),
    };
    if let Err(error) = kept.and_then(|()| std::fs::remove_dir_all(left)) {
        log::warn!(
            "{}, which was replaced, cannot be removed: {error}",
            left.display()
        );
    }
}

/// Moves what `new` has nothing of from the folder `old` into it. Done again after a crash, it goes on.
fn move_others(old: &Path, new: &Path) -> io::Result<()> {
    for entry in old.read_dir()? {
        let entry = entry?;
        let (old, new) = (entry.path(), new.join(entry.file_name()));
        match new.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => std::fs::rename(old, new)?,
            Err(error) => return Err(error),
            Ok(there) => match (entry.file_type()?.is_dir(), there.is_dir()) {
                (true, true) => move_others(&old, &new)?,
                // The share's own file.
                (false, false) => {}
                _ => return Err(io::ErrorKind::AlreadyExists.into()),
            },
        }
    }
    Ok(())
}

/// Renames without replacing anything.
pub(super) fn rename_new(
    from: (&Folder, &str),
    to: (&Folder, &str),
    layout: Layout,
) -> Result<(), StoreError> {
    let failed = |errno| rename_error(to.0, to.1, errno);
    #[cfg(target_env = "gnu")]
    {
        use nix::fcntl::{RenameFlags, renameat2};
        let (old, new) = (from.0.as_file(), to.0.as_file());
        match renameat2(old, from.1, new, to.1, RenameFlags::RENAME_NOREPLACE) {
            // Network file systems know no such flag.
            Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => {}
            result => return result.map_err(failed),
        }
    }
    rename_by_placeholder(from, to, layout).map_err(failed)
}

/// The same for file systems that cannot rename so: the name is taken first, by what fails where something stands.
fn rename_by_placeholder(
    (old, from): (&Folder, &str),
    (new, to): (&Folder, &str),
    layout: Layout,
) -> Result<(), Errno> {
    use nix::fcntl::{OFlag, openat};
    use nix::sys::stat::{Mode, mkdirat};
    use nix::unistd::{UnlinkatFlags, unlinkat};
    let (old, new) = (old.as_file(), new.as_file());
    match layout {
        // An empty folder may be renamed over, and only an empty one.
        Layout::Folder => mkdirat(new, to, Mode::from_bits_truncate(0o700))?,
        Layout::File => match linkat(old, from, new, to, AtFlags::empty()) {
            Ok(()) => return unlinkat(old, from, UnlinkatFlags::NoRemoveDir),
            // No hard links here.
            Err(Errno::EPERM | Errno::EOPNOTSUPP | Errno::ENOSYS) => {
                let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
                openat(new, to, flags, Mode::from_bits_truncate(0o600))?;
            }
            Err(errno) => return Err(errno),
        },
    }
    renameat(old, from, new, to)
}

fn rename_error(parent: &Folder, to: &str, errno: Errno) -> StoreError {
    let path = parent.path().join(to);
    match errno {
        Errno::EEXIST | Errno::ENOTEMPTY => StoreError::Exists(path),
        errno => StoreError::io("rename the download to", &path, errno),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Sample, names, padded, sample};
    use super::super::{Place, Span};
    use super::*;
    use crate::torrent::Selection;
    use std::fs;
    use std::sync::Arc;

    fn open(sample: &Sample, target: &tempfile::TempDir) -> Store {
        let place = Place {
            folder: target.path().to_owned(),
            name: "done".into(),
        };
        Store::open_download(sample.info.clone(), &place).unwrap()
    }

    #[test]
    fn a_folder_stands_under_its_name_only_when_it_is_whole() {
        let sample = sample();
        let target = tempfile::tempdir().unwrap();
        let store = open(&sample, &target);
        let empty = names(target.path());
        let expected = [
            "",
            "/a",
            "/empty",
            "/sub",
            "/sub/big",
            "/sub/deep",
            "/sub/deep/z",
        ];
        assert_eq!(empty, expected.map(|path| format!("done.part{path}")));
        let big = target.path().join("done.part/sub/big");
        assert_eq!(big.metadata().unwrap().len(), 1_500_000);
        let blocks: Vec<&[u8]> = sample.bytes.chunks(16 << 10).collect();
        let (later, first) = (&blocks[50..], &blocks[..50]);
        store.write(50 << 14, later).unwrap();
        store.write(0, first).unwrap();
        let open_before = store.spans(0, 1).unwrap().next().unwrap().unwrap();
        let path = store.finish().unwrap();
        assert_eq!(path, target.path().join("done"));
        assert_eq!(
            names(target.path()),
            expected.map(|path| format!("done{path}"))
        );
        // Again, by the files that were open and by others.
        assert_eq!(
            (store.finish().unwrap(), store.path()),
            (path.clone(), &*path)
        );
        assert_eq!(store.file_path(0), path.join("a"));
        let mut read = vec![0; sample.bytes.len()];
        store.read(0, &mut read).unwrap();
        assert!(read == sample.bytes);
        assert!(matches!(open_before, Span::File { length: 1, .. }));
        assert!(matches!(
            store.write(0, &[b"x"]),
            Err(StoreError::ReadOnly(_))
        ));
        assert!(store.discard().is_err());
        let again = Store::open_share(sample.info.clone(), &path).unwrap();
        assert!(again.unchanged(&store.stamps().unwrap()));
    }

    #[test]
    fn nothing_is_replaced_and_what_was_tampered_with_is_not_finished() {
        let sample = sample();
        let target = tempfile::tempdir().unwrap();
        let store = open(&sample, &target);
        let (part, done) = (target.path().join("done.part"), target.path().join("done"));
        let makes: [fn(&PathBuf) -> std::io::Result<()>; 2] =
            [|path| fs::write(path, "mine"), |path| fs::create_dir(path)];
        for make in makes {
            make(&done).unwrap();
            assert!(matches!(store.finish(), Err(StoreError::Exists(path)) if path == done));
            assert!(part.join("a").exists());
            let _ = fs::remove_file(&done);
            let _ = fs::remove_dir(&done);
        }
        let file = fs::File::options()
            .write(true)
            .open(part.join("a"))
            .unwrap();
        file.set_len(3).unwrap();
        assert!(matches!(
            store.finish(),
            Err(StoreError::Length { found: 3, .. })
        ));
        file.set_len(100_000).unwrap();
        fs::rename(&part, target.path().join("moved")).unwrap();
        fs::create_dir(&part).unwrap();
        assert!(matches!(store.finish(), Err(StoreError::Moved(_))));
        // What stands there now is not this download's to remove.
        store.discard().unwrap();
        assert!(part.exists() && !done.exists());
    }

    #[test]
    fn a_replacement_takes_the_place_of_its_like_and_of_nothing_else() {
        let sample = sample();
        let target = tempfile::tempdir().unwrap();
        let (part, done) = (target.path().join("done.part"), target.path().join("done"));
        let place = Place {
            folder: target.path().to_owned(),
            name: "done".into(),
        };
        let open = || {
            let all = Arc::new(Selection::all(&sample.info));
            Store::open_replacement(sample.info.clone(), all, &place, Others::Removed)
        };
        fs::write(&done, "mine").unwrap();
        assert!(matches!(open(), Err(StoreError::Exists(path)) if path == done));
        assert!(!part.exists());
        fs::remove_file(&done).unwrap();
        fs::create_dir_all(done.join("sub")).unwrap();
        fs::write(done.join("sub/mine"), "mine").unwrap();
        // Given up, it leaves what stood there.
        open().unwrap().discard().unwrap();
        assert_eq!(names(target.path()), ["done", "done/sub", "done/sub/mine"]);
        // By a file that came meanwhile it is not finished.
        let store = open().unwrap();
        store.write(0, &[&sample.bytes]).unwrap();
        let aside = target.path().join("aside");
        fs::rename(&done, &aside).unwrap();
        fs::write(&done, "mine").unwrap();
        assert!(matches!(store.finish(), Err(StoreError::Exists(path)) if path == done));
        fs::remove_file(&done).unwrap();
        fs::rename(&aside, &done).unwrap();
        assert_eq!(store.finish().unwrap(), done);
        let whole = Store::open_share(sample.info.clone(), &done).unwrap();
        assert!(whole.unchanged(&store.stamps().unwrap()));
        assert!(!part.exists() && !done.join("sub/mine").exists());
        let mut read = vec![0; sample.bytes.len()];
        store.read(0, &mut read).unwrap();
        assert!(read == sample.bytes);
        // What a crash left.
        fs::create_dir_all(part.join("old")).unwrap();
        Store::remove_replaced(&sample.info, &place, Others::Removed);
        assert!(!part.exists() && done.exists());
    }

    #[test]
    fn without_a_rename_that_replaces_nothing_the_name_is_taken_first() {
        for layout in [Layout::File, Layout::Folder] {
            let target = tempfile::tempdir().unwrap();
            let parent = Folder::open(target.path()).unwrap();
            let make = |name: &str| match layout {
                Layout::File => fs::write(target.path().join(name), name).unwrap(),
                Layout::Folder => fs::create_dir_all(target.path().join(name).join("in")).unwrap(),
            };
            make("from");
            rename_by_placeholder((&parent, "from"), (&parent, "to"), layout).unwrap();
            let after = names(target.path());
            assert!(
                after[0] == "to" && !after.contains(&"from".to_owned()),
                "{after:?}"
            );
            make("from");
            let taken = rename_by_placeholder((&parent, "from"), (&parent, "to"), layout);
            assert_eq!(taken, Err(Errno::EEXIST));
            assert!(target.path().join("from").exists());
        }
    }

    #[test]
    fn a_cancelled_download_removes_its_own_files_alone() {
        let sample = sample();
        let target = tempfile::tempdir().unwrap();
        open(&sample, &target).discard().unwrap();
        assert_eq!(names(target.path()), Vec::<String>::new());
        let store = open(&sample, &target);
        fs::write(target.path().join("done.part/sub/notes"), "mine").unwrap();
        store.discard().unwrap();
        let left = ["done.part", "done.part/sub", "done.part/sub/notes"];
        assert_eq!(names(target.path()), left);
    }

    #[test]
    fn padding_is_not_stored_and_executable_files_may_be_executed() {
        let info = Arc::new(padded());
        let target = tempfile::tempdir().unwrap();
        let place = Place {
            folder: target.path().to_owned(),
            name: "p".into(),
        };
        let store = Store::open_download(info, &place).unwrap();
        store.write(0, &[&[1; 10], &[2; 6], &[3; 4]]).unwrap();
        let mut read = [9; 20];
        store.read(0, &mut read).unwrap();
        assert_eq!(
            read,
            [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 3, 3, 3, 3]
        );
        let spans: Vec<Span> = store.spans(0, 20).unwrap().map(Result::unwrap).collect();
        assert!(matches!(
            spans[..],
            [Span::File { .. }, Span::Padding(6), Span::File { .. }]
        ));
        let path = store.finish().unwrap();
        assert_eq!(names(&path), ["run", "text"]);
        let mode = |name: &str| path.join(name).metadata().unwrap().permissions().mode() & 0o111;
        assert!(mode("run") & 0o100 != 0 && mode("text") == 0);
    }

    #[test]
    fn more_files_than_stay_open_are_written_finished_and_read() {
        let source = tempfile::tempdir().unwrap();
        let top = source.path().join("many");
        fs::create_dir(&top).unwrap();
        for number in 0..400 {
            fs::write(top.join(format!("{number:03}")), format!("{number:03}")).unwrap();
        }
        let info = super::super::testing::info_of(&top);
        let target = tempfile::tempdir().unwrap();
        let place = Place {
            folder: target.path().to_owned(),
            name: "many".into(),
        };
        let store = Store::open_download(info, &place).unwrap();
        let all: String = (0..400).map(|number| format!("{number:03}")).collect();
        store.write(0, &[all.as_bytes()]).unwrap();
        let path = store.finish().unwrap();
        let mut read = vec![0; 1_200];
        store.read(0, &mut read).unwrap();
        assert_eq!(read, all.as_bytes());
        assert_eq!(fs::read(path.join("399")).unwrap(), b"399");
    }
}
