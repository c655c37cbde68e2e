//! Opening the files of a download: kept apart as `NAME.part` until they are whole.
//!
//! In scope: what may be continued and what is refused, so that a download never writes into what is not its own: links,
//! hard links, files of another length, a partial file in use. `finish.rs` puts the whole thing under its name.

use super::finish::rename_new;
use super::reserve::{check_space, is_cheap, reserve};
use super::rest::Rest;
use super::store::{Base, Root};
use super::tree::{Access, Folder, is_link};
use super::{Store, StoreError};
use crate::torrent::{FileName, Info, InfoHash, Layout, Selection};
use nix::errno::Errno;
use nix::sys::stat::{FileStat, SFlag};
use std::collections::HashSet;
use std::fs::{File, Metadata, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf, absolute};
use std::sync::Arc;

/// What a partial file or folder is called after its final name.
const SUFFIX: &str = ".part";
/// The longest name that common file systems take, in bytes.
const MAX_NAME: usize = 255;

/// Where the finished file or folder of a download will stand.
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
}

/// What a store knows of its download beside the files.
#[derive(Debug)]
pub(super) struct Download {
    pub(super) parent: Folder,
    pub(super) part: String,
    pub(super) name: String,
    pub(super) replaces: bool,
}

impl Store {
    /// Opens a download for reading and writing, new or continued. Until [`Store::finish`] its data lies in `NAME.part`, a
    /// file or a folder, next to where `NAME` will stand; which pieces of a continued one are good, [`super::verify`]
    /// tells. The partial file is locked until the store is dropped. A download that cannot be opened leaves nothing behind.
    ///
    /// # Errors
    /// When the final name is taken ([`StoreError::Exists`]), the partial one is in use, a link, or not of this download,
    /// when room or permission lack, or the folder is missing.
    pub fn open_download(info: Arc<Info>, place: &Place) -> Result<Self, StoreError> {
        let all = Arc::new(Selection::all(&info));
        Self::open_chosen_download(info, all, place)
    }

    /// As [`Store::open_download`], for no more than some files of a share: the others are not made. What needed pieces
    /// hold of those lies in a hidden file beside the download, `.INFOHASH.rest`, which stays as long as the share is served.
    ///
    /// # Errors
    /// See [`Store::open_download`].
    pub fn open_chosen_download(
        info: Arc<Info>,
        selection: Arc<Selection>,
        place: &Place,
    ) -> Result<Self, StoreError> {
        Self::open_part(info, selection, place, false, false)
    }

    /// As [`Store::open_download`], for one that takes the place of what stands under its name, and only once it is whole: a
    /// file that of a file, a folder that of a folder.
    ///
    /// # Errors
    /// See [`Store::open_download`]; [`StoreError::Exists`] if what stands there is of another kind.
    pub fn open_replacement(info: Arc<Info>, place: &Place) -> Result<Self, StoreError> {
        let all = Arc::new(Selection::all(&info));
        Self::open_part(info, all, place, false, true)
    }

    /// Goes on with what stands under the final name as if it were a partial download: from then on it is one, and
    /// [`super::verify`] tells what of it is good. Files that are too short are made longer.
    ///
    /// # Errors
    /// See [`Store::open_download`]; also when one of the files is longer than in the share ([`StoreError::Foreign`]) or a
    /// partial download stands beside it. It is left as it was then.
    pub fn take_over(
        info: Arc<Info>,
        selection: Arc<Selection>,
        place: &Place,
    ) -> Result<Self, StoreError> {
        FileName::new(&place.name)?;
        let layout = info.layout();
        let parent = Folder::open(&place.folder)?;
        let part = part_name(&place.name, info.info_hash());
        if parent
            .entry(&place.name)?
            .is_some_and(|entry| is_link(&entry))
        {
            return Err(StoreError::Symlink(place.path()));
        }
        if parent.entry(&part)?.is_some() {
            return Err(StoreError::Exists(place.folder.join(part)));
        }
        let mut found = Self::open_unchecked(Arc::clone(&info), &place.path())?;
        found.selection = Arc::clone(&selection);
        for index in found.stored_files() {
            match found.open_file(index, Access::Read) {
                Ok(file) => found.fits(index, &file, true).map(drop)?,
                Err(StoreError::Missing(_)) => {}
                Err(error) => return Err(error),
            }
        }
        drop(found);
        rename_new(&parent, &place.name, &part, layout)?;
        Self::open_part(info, selection, place, true, false).inspect_err(|_| {
            if let Err(error) = rename_new(&parent, &part, &place.name, layout) {
                log::error!("{error}");
            }
        })
    }

    fn open_part(
        info: Arc<Info>,
        selection: Arc<Selection>,
        place: &Place,
        may_be_short: bool,
        replaces: bool,
    ) -> Result<Self, StoreError> {
        FileName::new(&place.name)?;
        let folder = absolute(Path::new(".").join(&place.folder))
            .map_err(|error| StoreError::io("find", &place.folder, error))?;
        let parent = Folder::open(&folder)?;
        let layout = info.layout();
        let taken = || match parent.entry(&place.name)? {
            Some(entry) if replaces && is_of(&entry, layout) => Ok(()),
            Some(_) => Err(StoreError::Exists(folder.join(&place.name))),
            None => Ok(()),
        };
        taken()?;
        let part = part_name(&place.name, info.info_hash());
        let new = parent.entry(&part)?.is_none();
        let path = folder.join(&part);
        let base = match info.layout() {
            Layout::File => Base::File(Arc::new(parent.file(&part, Access::Create)?)),
            Layout::Folder => Base::Folder(parent.create_folder(&part)?),
        };
        lock(base.as_file(), &path)?;
        // Whoever held the lock until now may have moved it to its final name.
        if !base.stands_at(&parent, &part)? {
            return Err(StoreError::InUse(path));
        }
        let late = taken();
        let name = place.name.clone();
        let download = Download {
            parent,
            part,
            name,
            replaces,
        };
        let mut store = Self::new(info, Root { path, base }, Some(download));
        store.selection = selection;
        let prepared = late.and_then(|()| store.make_rest());
        match prepared.and_then(|()| store.prepare(new, may_be_short)) {
            Ok(()) => Ok(store),
            Err(error) if new => {
                if let Err(left) = store.discard() {
                    log::warn!("{left}");
                }
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    fn make_rest(&mut self) -> Result<(), StoreError> {
        if let Some(download) = self.download.as_ref().filter(|_| self.selection.is_mixed()) {
            self.rest = Some(Rest::create(&self.info, &download.parent)?);
        }
        Ok(())
    }

    /// Makes all files that are wanted, each with its length and, where that is cheap, its room on the disk.
    fn prepare(&self, new: bool, may_be_short: bool) -> Result<(), StoreError> {
        let reserved = if new { 0 } else { self.reserved()? };
        let total = self.stored_files().filter_map(|index| {
            let file = self.info.files().get(index)?;
            Some(file.length)
        });
        let total: u64 = total.sum();
        let folder = self.root.base.as_file();
        check_space(folder, self.path(), total.saturating_sub(reserved))?;
        let cheap = is_cheap(folder);
        let mut seen = HashSet::new();
        for index in self.stored_files() {
            let file = self.open_file(index, Access::Create)?;
            let path = || self.file_path(index);
            let metadata = self.fits(index, &file, may_be_short)?;
            if !seen.insert((metadata.dev(), metadata.ino())) {
                return Err(StoreError::SameFile(path()));
            }
            let length = self.info.files().get(index).map_or(0, |file| file.length);
            if metadata.len() != length {
                reserve(&file, length, cheap)
                    .map_err(|error| StoreError::io("make room for", &path(), error))?;
            }
        }
        Ok(())
    }

    /// Whether a file that is there can be one of this download's.
    fn fits(&self, index: usize, file: &File, may_be_short: bool) -> Result<Metadata, StoreError> {
        let path = || self.file_path(index);
        let metadata = file.metadata();
        let metadata = metadata.map_err(|error| StoreError::io("look at", &path(), error))?;
        let length = self.info.files().get(index).map_or(0, |file| file.length);
        let found = metadata.len();
        let fits = found == 0 || found == length || may_be_short && found < length;
        if metadata.nlink() > 1 || !fits {
            return Err(StoreError::Foreign(path()));
        }
        Ok(metadata)
    }

    /// How many bytes of the share have their room on the disk already.
    fn reserved(&self) -> Result<u64, StoreError> {
        let mut reserved = 0;
        for index in self.stored_files() {
            match self.open_file(index, Access::Read) {
                Ok(file) => {
                    let metadata = file.metadata();
                    let metadata = metadata.map_err(|error| {
                        StoreError::io("look at", &self.file_path(index), error)
                    })?;
                    reserved += metadata.blocks().saturating_mul(512).min(metadata.len());
                }
                Err(StoreError::Missing(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(reserved)
    }
}

impl Base {
    pub(super) fn as_file(&self) -> &File {
        match self {
            Self::File(file) => file,
            Self::Folder(folder) => folder.as_file(),
        }
    }

    /// Whether what is open here is what stands under `name`.
    pub(super) fn stands_at(&self, parent: &Folder, name: &str) -> Result<bool, StoreError> {
        let metadata = self.as_file().metadata();
        let metadata = metadata
            .map_err(|error| StoreError::io("look at", &parent.path().join(name), error))?;
        let entry = parent.entry(name)?;
        Ok(entry
            .is_some_and(|entry| (entry.st_dev, entry.st_ino) == (metadata.dev(), metadata.ino())))
    }
}

/// Whether an entry is what a share of that layout is: a file itself, or a folder itself, no link to one.
pub(super) fn is_of(entry: &FileStat, layout: Layout) -> bool {
    let kind = match layout {
        Layout::File => SFlag::S_IFREG,
        Layout::Folder => SFlag::S_IFDIR,
    };
    entry.st_mode & SFlag::S_IFMT.bits() == kind.bits()
}

/// The name of the partial file: told apart by the info-hash where the name leaves no room for the suffix.
pub(super) fn part_name(name: &str, info_hash: InfoHash) -> String {
    if name.len() + SUFFIX.len() <= MAX_NAME {
        return format!("{name}{SUFFIX}");
    }
    let end = format!(".{info_hash}{SUFFIX}");
    let fits = |at: &usize| *at <= MAX_NAME.saturating_sub(end.len());
    let starts = name.char_indices().map(|(at, _)| at);
    let kept = starts.take_while(fits).last().unwrap_or(0);
    format!("{}{end}", name.split_at(kept).0)
}

fn lock(file: &File, path: &Path) -> Result<(), StoreError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => match error.raw_os_error().map(Errno::from_raw) {
            // Network file systems that cannot lock, or not a folder: there the lock of the state folder must do.
            Some(
                Errno::EBADF | Errno::ENOLCK | Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL,
            ) => Ok(()),
            _ => Err(StoreError::io("lock", path, error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Sample, info_of, names, sample};
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    fn place(folder: &TempDir, name: &str) -> Place {
        Place {
            folder: folder.path().to_owned(),
            name: name.into(),
        }
    }

    /// The info of a file of 1 MiB.
    fn one_file() -> Arc<Info> {
        let source = tempfile::tempdir().unwrap();
        let path = source.path().join("file");
        fs::write(&path, vec![5; 1 << 20]).unwrap();
        info_of(&path)
    }

    #[test]
    fn what_stands_in_the_way_is_refused_and_left_as_it_is() {
        let info = one_file();
        let target = tempfile::tempdir().unwrap();
        let open = || Store::open_download(info.clone(), &place(&target, "x"));
        let (full, part) = (target.path().join("x"), target.path().join("x.part"));
        let victim = target.path().join("victim");
        type Make = fn(&Path, &Path, &Path);
        type Check = fn(&StoreError) -> bool;
        let table: [(Make, Check); 7] = [
            (
                |full, _, _| fs::write(full, "mine").unwrap(),
                |error| matches!(error, StoreError::Exists(_)),
            ),
            (
                |full, _, _| symlink("nowhere", full).unwrap(),
                |error| matches!(error, StoreError::Exists(_)),
            ),
            (
                |_, part, victim| symlink(victim, part).unwrap(),
                |error| matches!(error, StoreError::Symlink(_)),
            ),
            (
                |_, part, _| symlink("nowhere", part).unwrap(),
                |error| matches!(error, StoreError::Symlink(_)),
            ),
            (
                |_, part, victim| fs::hard_link(victim, part).unwrap(),
                |error| matches!(error, StoreError::Foreign(_)),
            ),
            (
                |_, part, _| fs::write(part, "a browser's").unwrap(),
                |error| matches!(error, StoreError::Foreign(_)),
            ),
            (
                |_, part, _| fs::create_dir(part).unwrap(),
                |error| matches!(error, StoreError::NotAFile(_)),
            ),
        ];
        for (number, (make, expected)) in table.into_iter().enumerate() {
            fs::write(&victim, vec![1; 1 << 20]).unwrap();
            make(&full, &part, &victim);
            let before = names(target.path());
            let error = open().unwrap_err();
            assert!(expected(&error), "{number}: {error}");
            assert_eq!(names(target.path()), before, "{number}");
            assert_eq!(fs::read(&victim).unwrap(), vec![1; 1 << 20]);
            for path in [&full, &part] {
                let _ = fs::remove_file(path);
            }
        }
        fs::remove_dir(&part).unwrap();
        let nowhere = Place {
            folder: target.path().join("nowhere"),
            name: "x".into(),
        };
        let error = Store::open_download(info.clone(), &nowhere).unwrap_err();
        assert!(matches!(error, StoreError::Missing(path) if path == nowhere.folder));
        for name in ["", "..", "a/b", "/etc/passwd"] {
            let error = Store::open_download(info.clone(), &place(&target, name)).unwrap_err();
            assert!(matches!(error, StoreError::Name(_)), "{name}");
        }
        assert_eq!(names(target.path()), ["victim"]);
    }

    #[test]
    fn what_stands_at_the_place_is_taken_over_unless_it_does_not_fit() {
        let Sample { info, bytes, .. } = sample();
        let all = Arc::new(Selection::all(&info));
        let target = tempfile::tempdir().unwrap();
        let place = place(&target, "x");
        let (full, part) = (target.path().join("x"), target.path().join("x.part"));
        let take = || Store::take_over(info.clone(), all.clone(), &place);
        fs::create_dir_all(full.join("sub")).unwrap();
        fs::write(full.join("a"), &bytes[..100_000]).unwrap();
        fs::write(full.join("sub/big"), vec![1; 1_500_001]).unwrap();
        fs::write(full.join("mine"), "").unwrap();
        let before = names(target.path());
        assert!(matches!(take(), Err(StoreError::Foreign(path)) if path.ends_with("sub/big")));
        assert_eq!(names(target.path()), before, "nothing happened");
        fs::write(full.join("sub/big"), &bytes[100_000..200_000]).unwrap();
        fs::create_dir(&part).unwrap();
        assert!(matches!(take(), Err(StoreError::Exists(path)) if path == part));
        fs::remove_dir(&part).unwrap();
        let store = take().unwrap();
        assert!(!full.exists());
        let mut read = vec![0; 200_000];
        store.read(0, &mut read).unwrap();
        assert!(read == bytes[..200_000]);
        store.finish().unwrap();
        assert_eq!(fs::metadata(full.join("sub/big")).unwrap().len(), 1_500_000);
        assert!(full.join("mine").exists());
        drop(store);
        fs::rename(&full, target.path().join("elsewhere")).unwrap();
        symlink("elsewhere", &full).unwrap();
        assert!(matches!(take(), Err(StoreError::Symlink(_))));
    }

    #[test]
    fn a_partial_download_is_one_holder_s_alone() {
        let Sample { info, .. } = sample();
        for info in [one_file(), info] {
            let target = tempfile::tempdir().unwrap();
            let open = || Store::open_download(info.clone(), &place(&target, "x"));
            let store = open().unwrap();
            assert!(matches!(open(), Err(StoreError::InUse(path)) if path.ends_with("x.part")));
            assert_eq!(names(target.path())[0], "x.part");
            drop(store);
            open().unwrap();
        }
    }

    #[test]
    fn a_folder_is_continued_but_never_through_a_link_inside_it() {
        let Sample { info, bytes, .. } = sample();
        let target = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let open = || Store::open_download(info.clone(), &place(&target, "x"));
        let part = target.path().join("x.part");
        {
            let store = open().unwrap();
            store.write(99_000, &[&bytes[99_000..120_000]]).unwrap();
        }
        let store = open().unwrap();
        let mut read = vec![0; 21_000];
        store.read(99_000, &mut read).unwrap();
        assert!(read == bytes[99_000..120_000]);
        drop(store);
        fs::remove_dir_all(part.join("sub")).unwrap();
        symlink(outside.path(), part.join("sub")).unwrap();
        assert!(matches!(open(), Err(StoreError::Symlink(_))));
        fs::remove_file(part.join("sub")).unwrap();
        fs::remove_file(part.join("a")).unwrap();
        let victim = outside.path().join("victim");
        fs::write(&victim, vec![1; 100_000]).unwrap();
        symlink(&victim, part.join("a")).unwrap();
        assert!(matches!(open(), Err(StoreError::Symlink(_))));
        fs::remove_file(part.join("a")).unwrap();
        // A link put there while the download runs, before its file was opened for the first write.
        let store = open().unwrap();
        fs::rename(part.join("sub"), outside.path().join("sub")).unwrap();
        symlink(outside.path().join("sub"), part.join("sub")).unwrap();
        let error = store.write(200_000, &[b"x"]).unwrap_err();
        assert!(matches!(error, StoreError::Symlink(_)), "{error}");
        assert_eq!(fs::read(&victim).unwrap(), vec![1; 100_000]);
        assert_eq!(
            names(outside.path()),
            ["sub", "sub/big", "sub/deep", "sub/deep/z", "victim"]
        );
    }

    #[test]
    fn two_files_that_are_one_on_disk_are_refused() {
        let Sample { info, .. } = sample();
        let target = tempfile::tempdir().unwrap();
        let part = target.path().join("x.part");
        fs::create_dir_all(part.join("sub")).unwrap();
        fs::write(part.join("a"), "").unwrap();
        fs::hard_link(part.join("a"), part.join("empty")).unwrap();
        let error = Store::open_download(info, &place(&target, "x")).unwrap_err();
        let refused = matches!(error, StoreError::Foreign(_) | StoreError::SameFile(_));
        assert!(refused, "{error}");
    }

    #[test]
    fn a_name_that_leaves_no_room_for_the_suffix_is_told_apart_by_the_info_hash() {
        let hash = InfoHash([0xab; 20]);
        assert_eq!(part_name("a", hash), "a.part");
        assert_eq!(part_name(&"x".repeat(250), hash).len(), 255);
        let long = part_name(&"ü".repeat(127), hash);
        assert!(long.len() <= 255 && long.ends_with(".part"));
        assert!(long.contains(&hash.to_string()));
        let target = tempfile::tempdir().unwrap();
        let name = "x".repeat(255);
        let store = Store::open_download(one_file(), &place(&target, &name)).unwrap();
        assert_eq!(store.finish().unwrap(), target.path().join(name));
    }
}
