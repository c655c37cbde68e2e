//! A finished choice of files that is to have more of them: what stands under the final name stays there and is not written, what
//! is fetched lies in the partial folder beside it, and comes to it file by file once all of it is whole.
//!
//! After a crash at any step the same opening goes on: a wanted file that stands under the final name is there, any other is
//! fetched, and what pieces at the edges of files held of one that is wanted by now is taken from beside the download.

use super::check::verify;
use super::download::Download;
use super::finish::{missing_is_fine, rename_new};
use super::store::{Base, Root};
use super::tree::{Access, Folder};
use super::{Place, Stamp, Store, StoreError};
use crate::torrent::{Info, Layout, PieceIndex, PieceSet, Selection};
use nix::errno::Errno;
use nix::unistd::{Whence, lseek};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::absolute;
use std::sync::atomic::AtomicBool;
use std::thread;

/// How much is taken at once from beside a download, in bytes.
const AT_ONCE: usize = 64 << 10;

/// The files that stand under their final name.
#[derive(Debug)]
pub(super) struct Standing {
    /// The folder that they are in.
    pub(super) root: Root,
    /// How each was when it was opened; none for a file that is not there.
    stamps: Vec<Option<Stamp>>,
}

impl Standing {
    /// What stands at a place of the chosen files; none where no folder does.
    pub(super) fn open(
        info: &Info,
        selection: &Selection,
        place: &Place,
    ) -> Result<Option<Self>, StoreError> {
        let folder = absolute(&place.folder);
        let folder = folder.map_err(|error| StoreError::io("find", &place.folder, error))?;
        let parent = Folder::open(&folder)?;
        match parent.entry(&place.name)? {
            Some(_) if info.layout() == Layout::Folder => {}
            _ => return Ok(None),
        }
        let folder = parent.folder(&place.name)?;
        let mut stamps = vec![None; info.files().len()];
        for (index, file) in info.files().iter().enumerate() {
            if file.attributes.padding || !selection.has_file(index) {
                continue;
            }
            let open = |above: &Folder, name: &str| above.file(name, Access::Read);
            let path = || folder.path().join(file.path.to_path());
            let metadata = match folder.below(&file.path, false, open) {
                Ok(opened) => opened.metadata(),
                Err(StoreError::Missing(_)) => continue,
                Err(error) => return Err(error),
            };
            let metadata = metadata.map_err(|error| StoreError::io("look at", &path(), error))?;
            if metadata.len() != file.length {
                return Err(StoreError::Exists(path()));
            }
            if let Some(stamp) = stamps.get_mut(index) {
                *stamp = Some(Stamp::of(&metadata));
            }
        }
        let root = Root {
            path: folder.path().to_owned(),
            base: Base::Folder(folder),
        };
        Ok(Some(Self { root, stamps }))
    }

    /// How file `index` of [`Info::files`] was; none if it does not stand there.
    pub(super) fn stamp(&self, index: usize) -> Option<Stamp> {
        self.stamps.get(index).copied().flatten()
    }
}

impl Store {
    /// Whether files that stand under their final name already are what the torrent says, as far as that is known by the pieces
    /// that verify: those of which they hold everything must. They are not written, so nothing else would mend them.
    ///
    /// # Errors
    /// [`StoreError::Changed`] names one that is not.
    pub fn check_standing(&self, good: &PieceSet) -> Result<(), StoreError> {
        let needed = self.selection.needed();
        let pieces = self.info.lengths().all_pieces();
        for piece in pieces.filter(|piece| needed.contains(*piece) && !good.contains(*piece)) {
            let mut files = self.files_of(piece);
            let stands = |index: usize| self.standing_at(index).is_some();
            if let Some(first) = files.next().filter(|first| stands(*first))
                && files.all(stands)
            {
                return Err(StoreError::Changed(self.file_path(first)));
            }
        }
        Ok(())
    }

    /// The files that hold bytes of a piece, without padding.
    pub(super) fn files_of(&self, piece: PieceIndex) -> impl Iterator<Item = usize> + '_ {
        let lengths = self.info.lengths();
        let segments = self.segments(lengths.offset(piece), lengths.length(piece).into());
        let indices = segments.into_iter().flatten().map(|segment| segment.index);
        indices.filter(|index| {
            let file = self.info.files().get(*index);
            file.is_some_and(|file| !file.attributes.padding)
        })
    }

    /// Takes into files that are wanted by now what lies of them beside the download. What is no good of it is found as all of a
    /// partial file is: it does not verify.
    pub(super) fn take_from_rest(&self) -> Result<(), StoreError> {
        let Some(rest) = self.rest.as_ref().or(self.leftover.as_ref()) else {
            return Ok(());
        };
        let piece_length = u64::from(self.info.lengths().piece_length());
        for index in self.fetched_files() {
            let Some(file) = self.info.files().get(index) else {
                continue;
            };
            let (start, end) = (file.offset, file.offset.saturating_add(file.length));
            // Pieces of other files reach no further into this one.
            let head = (start / piece_length + 1).saturating_mul(piece_length);
            let tail = end.saturating_sub(1) / piece_length * piece_length;
            let ranges = [(start, end.min(head)), (start.max(tail).max(head), end)];
            for (from, to) in ranges.into_iter().filter(|(from, to)| from < to) {
                let Some(from) = next_data(&rest.file, from).filter(|data| *data < to) else {
                    continue;
                };
                let opened = self.open_file(index, Access::Write)?;
                let taken = take(&rest.file, from, to, &opened, start);
                taken
                    .map_err(|error| StoreError::io("take over", &self.file_path(index), error))?;
            }
        }
        Ok(())
    }

    /// Puts all that was fetched to the files that stand under the final name.
    pub(super) fn move_beside(
        &self,
        standing: &Standing,
        download: &Download,
    ) -> Result<(), StoreError> {
        self.verify_edges(standing)?;
        let (Base::Folder(part), Base::Folder(whole)) = (&self.root.base, &standing.root.base)
        else {
            return Ok(());
        };
        for index in self.fetched_files() {
            let Some(file) = self.info.files().get(index) else {
                continue;
            };
            part.below(&file.path, false, |from, name| {
                whole.below(&file.path, true, |to, same| {
                    rename_new((from, name), (to, same), Layout::File)
                })
            })?;
        }
        // Those of files that were moved before a crash too.
        for path in self.folders_of(self.stored_files()).iter().rev() {
            whole.below(path, false, |above, name| above.folder(name)?.sync())?;
            missing_is_fine(part.below(path, false, Folder::remove_empty_folder))?;
        }
        whole.sync()?;
        download.parent.remove_empty_folder(&download.part)?;
        download.parent.sync()?;
        let base = Base::Folder(whole.renamed(standing.root.path.clone())?);
        let path = standing.root.path.clone();
        let _ = self.finished.set(Root { path, base });
        Ok(())
    }

    /// What stands under the final name must still be what it was, and go together with what was fetched.
    fn verify_edges(&self, standing: &Standing) -> Result<(), StoreError> {
        let stands = |index: &usize| standing.stamp(*index).is_some();
        for index in self.stored_files().filter(stands) {
            let file = self.open_file(index, Access::Read)?;
            let unchanged = file.metadata().map(|metadata| Stamp::of(&metadata));
            if unchanged.ok() != standing.stamp(index) {
                return Err(StoreError::Changed(self.file_path(index)));
            }
        }
        let lengths = self.info.lengths();
        let standing_in = |piece| self.files_of(piece).find(stands);
        let needed = self.selection.needed();
        let is_edge = |piece: &PieceIndex| {
            let others = self.files_of(*piece).any(|index| !stands(&index));
            needed.contains(*piece) && others && standing_in(*piece).is_some()
        };
        let edges: Vec<_> = lengths.all_pieces().filter(is_edge).collect();
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let never = AtomicBool::new(false);
        let good = verify(self, edges.iter().copied(), threads, &never, &|_| {})?;
        let mut bad = edges.into_iter().filter(|piece| !good.contains(*piece));
        match bad.next().and_then(standing_in) {
            Some(index) => Err(StoreError::Changed(self.file_path(index))),
            None => Ok(()),
        }
    }
}

/// Where the next bytes of a sparse file are that were written; none up to its end.
fn next_data(file: &File, from: u64) -> Option<u64> {
    let start = i64::try_from(from).ok()?;
    match lseek(file, start, Whence::SeekData) {
        Ok(data) => u64::try_from(data).ok(),
        Err(Errno::ENXIO) => None,
        // Here holes are not told apart.
        Err(_) => Some(from),
    }
}

/// Copies a range of the share into a file that begins at `start` of it, where that has nothing yet.
fn take(rest: &File, from: u64, to: u64, file: &File, start: u64) -> std::io::Result<()> {
    let (mut held, mut own) = (vec![0; AT_ONCE], vec![0; AT_ONCE]);
    let mut at = from;
    while at < to {
        let length = usize::try_from(to - at).unwrap_or(AT_ONCE).min(AT_ONCE);
        let (Some(held), Some(own)) = (held.get_mut(..length), own.get_mut(..length)) else {
            break;
        };
        rest.read_exact_at(held, at)?;
        file.read_exact_at(own, at - start)?;
        let nothing = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
        if nothing(own) && !nothing(held) {
            file.write_all_at(held, at - start)?;
        }
        at += length as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Sample, names, sample};
    use super::*;
    use std::fs;
    use std::sync::Arc;
    use tempfile::TempDir;

    /// A finished choice of the file `a`, which ends in the first piece.
    fn finished(sample: &Sample, target: &TempDir) -> Place {
        let place = Place {
            folder: target.path().to_owned(),
            name: "x".into(),
        };
        let chosen = Selection::of(&sample.info, &["a".parse().unwrap()]).unwrap();
        let info = Arc::clone(&sample.info);
        let store = Store::open_chosen_download(info, Arc::new(chosen), &place).unwrap();
        store.write(0, &[&sample.bytes[..256 << 10]]).unwrap();
        store.finish().unwrap();
        place
    }

    fn widened(sample: &Sample, place: &Place) -> Result<Store, StoreError> {
        let all = Selection::all(&sample.info);
        Store::open_widened(Arc::clone(&sample.info), Arc::new(all), place)
    }

    fn good(store: &Store) -> PieceSet {
        let never = AtomicBool::new(false);
        let pieces = store.info.lengths().all_pieces();
        verify(store, pieces, 2, &never, &|_| {}).unwrap()
    }

    #[test]
    fn whatever_was_moved_before_a_crash_the_next_opening_goes_on() {
        let sample = sample();
        let steps = ["empty", "sub/big", "sub/deep/z"];
        for moved in 0..=steps.len() {
            let target = tempfile::tempdir().unwrap();
            let place = finished(&sample, &target);
            {
                let store = widened(&sample, &place).unwrap();
                assert_eq!(good(&store).count(), 1, "the piece that was there");
                store.write(0, &[&sample.bytes]).unwrap();
                assert!(good(&store).is_full());
            }
            let (part, whole) = (target.path().join("x.part"), place.path());
            for file in &steps[..moved] {
                let to = whole.join(file);
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                fs::rename(part.join(file), to).unwrap();
            }
            let store = widened(&sample, &place).unwrap();
            assert!(good(&store).is_full(), "{moved} moved");
            assert_eq!(store.finish().unwrap(), whole);
            assert!(good(&store).is_full());
            let there = names(target.path());
            assert_eq!(there.len(), 7, "{there:?}");
            assert!(there.iter().all(|name| name.starts_with('x')), "{there:?}");
            assert!(matches!(
                store.write(0, &[b"x"]),
                Err(StoreError::ReadOnly(_))
            ));
        }
    }

    #[test]
    fn what_stands_there_is_neither_written_nor_removed() {
        let sample = sample();
        let target = tempfile::tempdir().unwrap();
        let place = finished(&sample, &target);
        let before = names(target.path());
        let standing = place.path().join("a");
        let bytes = fs::read(&standing).unwrap();
        // Undone, it is as it was; given up, what lies beside it goes.
        widened(&sample, &place).unwrap().undo();
        assert_eq!(names(target.path()), before);
        let store = widened(&sample, &place).unwrap();
        store.write(0, &[&[9; 256 << 10]]).unwrap();
        assert!(fs::read(&standing).unwrap() == bytes);
        store.discard().unwrap();
        assert_eq!(names(target.path()), ["x", "x/a"]);
        // Where another file is in the way nothing is begun.
        fs::write(place.path().join("empty"), "mine").unwrap();
        let taken = widened(&sample, &place).unwrap_err();
        assert!(matches!(taken, StoreError::Exists(path) if path.ends_with("x/empty")));
        assert_eq!(names(target.path()), ["x", "x/a", "x/empty"]);
    }

    #[test]
    fn a_file_that_was_changed_is_not_finished_with() {
        let sample = sample();
        let target = tempfile::tempdir().unwrap();
        let place = finished(&sample, &target);
        let standing = place.path().join("a");
        let is_it =
            |error: StoreError| matches!(error, StoreError::Changed(path) if path == standing);
        // While it is open, and before.
        for _ in 0..2 {
            let store = widened(&sample, &place).unwrap();
            store.write(0, &[&sample.bytes]).unwrap();
            fs::write(&standing, vec![7; 100_000]).unwrap();
            assert!(is_it(store.finish().unwrap_err()));
            drop(store);
            let store = widened(&sample, &place).unwrap();
            assert!(is_it(store.finish().unwrap_err()));
            // It has a piece in common with what is fetched, which may be wrong as well.
            assert!(store.check_standing(&good(&store)).is_ok());
            fs::write(&standing, &sample.bytes[..100_000]).unwrap();
        }
        assert!(target.path().join("x.part/sub/big").exists());
        widened(&sample, &place).unwrap().finish().unwrap();
    }
}
