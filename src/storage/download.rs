//! Opening the files of a download: kept apart as `NAME.part` until they are whole.
//!
//! In scope: what may be continued and what is refused, so that a download never writes into what is not its own: links,
//! hard links, files of another length, a partial file in use. `finish.rs` puts the whole thing under its name.

use super::check::verify;
use super::reserve::{check_space, is_cheap, reserve};
use super::rest::Rest;
use super::standing::Standing;
use super::store::{Base, Root};
use super::tree::{Access, Folder};
use super::{Store, StoreError};
use crate::torrent::{FileName, Info, InfoHash, Layout, Selection};
use nix::errno::Errno;
use nix::sys::stat::{FileStat, SFlag};
use std::collections::HashSet;
use std::fs::{File, Metadata, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf, absolute};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// What a partial file or folder is called after its final name.
const SUFFIX: &str = ".part";
/// How many bytes are copied at a time from what is replaced.
const COPIED_AT_ONCE: usize = 1 << 20;
/// The longest name that common file systems take, in bytes.
pub(super) const MAX_NAME: usize = 255;

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
    /// Whether it takes the place of what stands under its name, and what becomes of that.
    pub(super) replaces: Option<Others>,
    /// Whether nothing of it was there before it was opened.
    pub(super) new: bool,
}

/// What becomes of files inside a folder that is replaced, where the new folder has none of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// They go with it.
    Removed,
    /// They are moved into the new one.
    Kept,
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
    /// hold of those lies in a hidden file beside the download, `.NAME.INFOHASH.rest`, which stays as long as the share is served.
    ///
    /// # Errors
    /// See [`Store::open_download`].
    pub fn open_chosen_download(
        info: Arc<Info>,
        selection: Arc<Selection>,
        place: &Place,
    ) -> Result<Self, StoreError> {
        Self::open_part(info, selection, place, None, None)
    }

    /// As [`Store::open_chosen_download`], where a smaller choice of the share's files was finished before and may stand under the
    /// final name: its files stay there as they are and are part of the share, and the others come to them in the end. Where
    /// nothing stands there, it is a download like any other.
    ///
    /// # Errors
    /// See [`Store::open_download`]; [`StoreError::Exists`] names a file that stands where a wanted one is to be and has not its length.
    pub fn open_widened(
        info: Arc<Info>,
        selection: Arc<Selection>,
        place: &Place,
    ) -> Result<Self, StoreError> {
        let standing = Standing::open(&info, &selection, place)?;
        Self::open_part(info, selection, place, None, standing)
    }

    /// As [`Store::open_chosen_download`], for one that takes the place of what stands under its name, and only once it is whole: a
    /// file that of a file, a folder that of a folder. Until then what stands there is not touched.
    ///
    /// # Errors
    /// See [`Store::open_download`]; [`StoreError::Exists`] if what stands there is of another kind.
    pub fn open_replacement(
        info: Arc<Info>,
        selection: Arc<Selection>,
        place: &Place,
        others: Others,
    ) -> Result<Self, StoreError> {
        Self::open_part(info, selection, place, Some(others), None)
    }

    /// Copies into a replacement what verifies of that which stands at its place, so that it need not be fetched. All of it is
    /// to be verified again, as what is copied may change meanwhile.
    ///
    /// # Errors
    /// When a folder stands where the share has a file or a link where it has either, the copy cannot be written, or
    /// [`StoreError::Stopped`].
    pub fn copy_replaced(&self, stop: &AtomicBool) -> Result<(), StoreError> {
        let Some(download) = &self.download else {
            return Ok(());
        };
        let path = download.parent.path().join(&download.name);
        let found = Self::open_unchecked(Arc::clone(&self.info), &path)?;
        for index in self.stored_files() {
            match found.open_file(index, Access::Read) {
                Ok(_) | Err(StoreError::Missing(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let lengths = self.info.lengths();
        let needed = self.selection.needed();
        let pieces = lengths.all_pieces();
        let pieces = pieces.filter(|piece| needed.contains(*piece));
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let good = verify(&found, pieces, threads, stop, &|_| {})?;
        let mut buffer = vec![0; COPIED_AT_ONCE];
        for piece in lengths.all_pieces().filter(|piece| good.contains(*piece)) {
            if stop.load(Ordering::Relaxed) {
                return Err(StoreError::Stopped);
            }
            let (mut offset, mut left) = (lengths.offset(piece), lengths.length(piece) as usize);
            while left > 0 {
                let length = left.min(COPIED_AT_ONCE);
                let part = buffer.get_mut(..length).unwrap_or_default();
                if let Err(error) = found.read(offset, part) {
                    // It changed meanwhile; the piece is fetched.
                    log::warn!("a piece is not taken over: {error}");
                    break;
                }
                self.write(offset, &[part])?;
                offset += length as u64;
                left -= length;
            }
        }
        Ok(())
    }

    /// Removes what lies beside a finished choice of files, once nothing of it is served any more.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove_rest(info: &Info, place: &Place) -> Result<(), StoreError> {
        match Folder::open(&place.folder) {
            Ok(parent) => parent.remove_file(&Rest::name(info, &place.name)),
            Err(StoreError::Missing(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Undoes the opening of a download that does not come to be: what there was of it before stays.
    pub fn undo(&self) {
        let new = self.download.as_ref().is_some_and(|download| download.new);
        // What stands under the final name is served with what lies beside it.
        let rest = self.rest.iter().filter(|_| self.standing.is_none());
        if new && let Err(left) = self.discard_with(rest) {
            log::warn!("{left}");
        }
    }

    fn open_part(
        info: Arc<Info>,
        selection: Arc<Selection>,
        place: &Place,
        replaces: Option<Others>,
        standing: Option<Standing>,
    ) -> Result<Self, StoreError> {
        FileName::new(&place.name)?;
        let folder = absolute(Path::new(".").join(&place.folder))
            .map_err(|error| StoreError::io("find", &place.folder, error))?;
        let parent = Folder::open(&folder)?;
        let layout = info.layout();
        let taken = || match parent.entry(&place.name)? {
            Some(entry) if replaces.is_some() && is_of(&entry, layout) => Ok(()),
            Some(_) if standing.is_some() => Ok(()),
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
            new,
        };
        let mut store = Self::new(info, Root { path, base }, Some(download));
        store.selection = selection;
        store.standing = standing;
        let prepared = late.and_then(|()| store.make_rest());
        let prepared = prepared.and_then(|()| store.prepare(new));
        match prepared.and_then(|()| store.take_from_rest()) {
            Ok(()) => Ok(store),
            Err(error) => {
                store.undo();
                Err(error)
            }
        }
    }

    fn make_rest(&mut self) -> Result<(), StoreError> {
        let Some(Download { parent, name, .. }) = &self.download else {
            return Ok(());
        };
        match self.selection.is_mixed() {
            true => self.rest = Some(Rest::create(&self.info, parent, name)?),
            false => self.leftover = Rest::left(&self.info, parent, name)?,
        }
        Ok(())
    }

    /// Makes all files that are wanted, each with its length and, where that is cheap, its room on the disk.
    fn prepare(&self, new: bool) -> Result<(), StoreError> {
        let reserved = if new { 0 } else { self.reserved()? };
        let total = self.fetched_files().filter_map(|index| {
            let file = self.info.files().get(index)?;
            Some(file.length)
        });
        let total: u64 = total.sum();
        let folder = self.root.base.as_file();
        check_space(folder, self.path(), total.saturating_sub(reserved))?;
        let cheap = is_cheap(folder);
        let mut seen = HashSet::new();
        for index in self.fetched_files() {
            let file = self.open_file(index, Access::Create)?;
            let path = || self.file_path(index);
            let metadata = self.fits(index, &file)?;
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
    fn fits(&self, index: usize, file: &File) -> Result<Metadata, StoreError> {
        let path = || self.file_path(index);
        let metadata = file.metadata();
        let metadata = metadata.map_err(|error| StoreError::io("look at", &path(), error))?;
        let length = self.info.files().get(index).map_or(0, |file| file.length);
        let found = metadata.len();
        let fits = found == 0 || found == length;
        if metadata.nlink() > 1 || !fits {
            return Err(StoreError::Foreign(path()));
        }
        Ok(metadata)
    }

    /// How many bytes of the share have their room on the disk already.
    fn reserved(&self) -> Result<u64, StoreError> {
        let mut reserved = 0;
        for index in self.fetched_files() {
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

pub(super) fn lock(file: &File, path: &Path) -> Result<(), StoreError> {
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
    fn what_verifies_of_what_is_to_be_replaced_is_copied_and_the_rest_left_as_it_is() {
        let Sample { info, bytes, .. } = sample();
        let all = Arc::new(Selection::all(&info));
        let target = tempfile::tempdir().unwrap();
        let place = place(&target, "x");
        let (full, part) = (target.path().join("x"), target.path().join("x.part"));
        let open = || {
            let all = all.clone();
            Store::open_replacement(info.clone(), all, &place, Others::Kept).unwrap()
        };
        let stop = AtomicBool::new(false);
        fs::create_dir_all(full.join("sub/own")).unwrap();
        fs::write(full.join("a"), &bytes[..100_000]).unwrap();
        // Too short, and good in its first two pieces of 256 KiB.
        fs::write(full.join("sub/big"), &bytes[100_000..700_000]).unwrap();
        for own in ["mine", "sub/own/mine"] {
            fs::write(full.join(own), own).unwrap();
        }
        let before = names(&full);
        let store = open();
        store.copy_replaced(&stop).unwrap();
        let pieces = || info.lengths().all_pieces();
        let good = verify(&store, pieces(), 1, &stop, &|_| {}).unwrap();
        let good: Vec<u32> = pieces()
            .filter(|piece| good.contains(*piece))
            .map(|piece| piece.number())
            .collect();
        assert_eq!(good, [0, 1]);
        // Given up, it leaves what stood there.
        store.discard().unwrap();
        drop(store);
        assert!(names(&full) == before && !part.exists());
        assert_eq!(fs::metadata(full.join("sub/big")).unwrap().len(), 600_000);
        let store = open();
        store.write(0, &[&bytes]).unwrap();
        store.finish().unwrap();
        assert_eq!(
            fs::read(full.join("sub/own/mine")).unwrap(),
            b"sub/own/mine"
        );
        assert!(fs::read(full.join("sub/big")).unwrap() == bytes[100_000..1_600_000]);
        assert!(full.join("mine").exists() && !part.exists());
        drop(store);
        // Where a folder stands in the place of a file, nothing is begun.
        fs::remove_file(full.join("a")).unwrap();
        fs::create_dir(full.join("a")).unwrap();
        let store = open();
        let refused = store.copy_replaced(&stop).unwrap_err();
        assert!(matches!(refused, StoreError::NotAFile(_)), "{refused}");
        store.undo();
        assert!(!part.exists() && full.join("a").exists());
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
