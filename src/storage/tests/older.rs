//! Downloads that are made from an older version of their share.

use crate::storage::testing::{create, destination, finish, open_recorded, paths_below, share};
use crate::storage::{
    Arrangement, CreateOptions, Destination, Download, DownloadMode, ExtraFiles, FileLayout,
    FormerVersion, OldVersion, RecordedFiles, Store, StoreError, copy_equal_pieces,
    copy_from_changed_files, copy_unchanged_files, take_files,
};
use crate::torrent::{Info, LocalFiles, ModifiedTimes, PieceSet};
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;

static STOP: AtomicBool = AtomicBool::new(false);

/// Two versions of a share. The older one is complete, at `place`.
pub(super) struct Versions {
    target: TempDir,
    pub(super) old: Arc<Info>,
    pub(super) new: Arc<Info>,
    /// The bytes of the new version, with its padding.
    bytes: Vec<u8>,
}

pub(super) fn random(seed: u32, length: u32) -> Vec<u8> {
    let number = |at: u32| (at ^ seed.wrapping_mul(7_919)).wrapping_mul(2_654_435_761);
    (0..length).map(|at| (number(at) >> 24) as u8).collect()
}

pub(super) fn write(top: &Path, name: &str, bytes: &[u8]) {
    let path = top.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

pub(super) fn info(top: &Path, arrangement: Arrangement<'_>) -> Arc<Info> {
    let options = CreateOptions {
        piece_length: Some(64 << 10),
        arrangement,
        file_sha1: true,
        ..CreateOptions::default()
    };
    Arc::new(create(top, &options, &|_, _| (), &STOP).unwrap())
}

/// In the new version `b` has other bytes, `d/e` is called `d/f`, `gone` is gone, and `new` and
/// `twin` come. `twin` has the content of `a`.
pub(super) fn versions() -> Versions {
    let (target, source) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (old_top, new_top) = (target.path().join("x"), source.path().join("x"));
    let (a, c, e) = (random(1, 100_000), random(2, 300_000), random(3, 70_000));
    let mut b = random(4, 500_000);
    write(&old_top, "a", &a);
    write(&old_top, "b", &b);
    write(&old_top, "c", &c);
    write(&old_top, "d/e", &e);
    write(&old_top, "gone", b"gone");
    let old = info(&old_top, Arrangement::Padded);
    write(&old_top, "own/notes", b"mine");
    b[200_000..200_010].fill(7);
    write(&new_top, "a", &a);
    write(&new_top, "b", &b);
    write(&new_top, "c", &c);
    write(&new_top, "d/f", &e);
    write(&new_top, "new", b"new");
    write(&new_top, "twin", &a);
    let new = info(&new_top, Arrangement::Like(&old));
    let mut bytes = vec![0; new.lengths().total() as usize];
    share(&new, &new_top).read(0, &mut bytes).unwrap();
    Versions {
        target,
        old,
        new,
        bytes,
    }
}

impl Versions {
    fn place(&self) -> Destination {
        destination(&self.target, "x")
    }

    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.target.path().join(path)
    }

    /// The older version, as it was when it was verified.
    pub(super) fn old_version(&self) -> OldVersion {
        let store = share(&self.old, &self.at("x"));
        store.seal(&store.stamps().unwrap());
        OldVersion::new(store, &self.new)
    }

    /// The files of the old version go. Files that belong to no version stay.
    fn mode(&self) -> DownloadMode {
        let store = share(&self.old, &self.at("x"));
        let former = FormerVersion::new(
            FileLayout::all(Arc::clone(&self.old)),
            store.stamps().unwrap(),
        );
        DownloadMode::Replace(ExtraFiles::KeepForeign(former))
    }

    /// Opens the download as the peer does at its start, or after a crash.
    pub(super) fn open(&self) -> Download {
        let place = self.place();
        let partial = place.partial_name(self.new.info_hash());
        let existing = place.folder.join(&partial).symlink_metadata();
        let recorded = RecordedFiles {
            partial: existing.is_ok().then_some(&*partial),
            is_recorded: true,
            ..RecordedFiles::NONE
        };
        let layout = FileLayout::all(Arc::clone(&self.new));
        Download::open(layout, &place, self.mode(), recorded).unwrap()
    }

    /// Makes what is possible from the older version. Returns the good pieces and local files.
    pub(super) fn build(&self, download: &Download, old: &OldVersion) -> (PieceSet, LocalFiles) {
        take_files(download, Some(old)).unwrap();
        download.make_files().unwrap();
        let local = copy_unchanged_files(download, old, &STOP, &|_| ()).unwrap();
        let lengths = self.new.lengths();
        let mut good = PieceSet::empty(lengths);
        let store = download.store();
        let kept = lengths
            .all_pieces()
            .filter(|piece| old.has_verified(store, *piece));
        kept.for_each(|piece| assert!(good.insert(piece)));
        let unknown = lengths.all_pieces().filter(|piece| !good.contains(*piece));
        let found = crate::storage::verify(store, unknown, 2, &STOP, &|_| ()).unwrap();
        let found = lengths.all_pieces().filter(|piece| found.contains(*piece));
        found.for_each(|piece| assert!(good.insert(piece)));
        let missing: Vec<_> = lengths
            .all_pieces()
            .filter(|it| !good.contains(*it))
            .collect();
        copy_equal_pieces(download, old, missing.into_iter(), &mut good, &STOP).unwrap();
        (good, local)
    }

    /// Writes the missing pieces, as if peers had sent them, and finishes.
    pub(super) fn fetch_and_finish(&self, download: Download, good: &PieceSet) -> PathBuf {
        let lengths = *self.new.lengths();
        for piece in lengths.all_pieces().filter(|piece| !good.contains(*piece)) {
            self.write_piece(&download, piece.number()).unwrap();
        }
        finish(download).unwrap()
    }

    pub(super) fn write_piece(&self, download: &Download, number: u32) -> Result<(), StoreError> {
        let lengths = self.new.lengths();
        let piece = lengths.piece(number).unwrap();
        let start = lengths.offset(piece) as usize;
        let bytes = &self.bytes[start..start + lengths.length(piece) as usize];
        download.write(start as u64, &bytes.chunks(16 << 10).collect::<Vec<_>>())
    }

    /// Checks that the new version is under the final name and that nothing else is left.
    pub(super) fn check_finished(&self) {
        let store = share(&self.new, &self.at("x"));
        let mut bytes = vec![0; self.bytes.len()];
        store.read(0, &mut bytes).unwrap();
        assert!(bytes == self.bytes);
        let top = paths_below(self.target.path());
        assert!(
            top.iter().all(|path| path == "x" || path.starts_with("x/")),
            "{top:?}"
        );
        assert!(self.at("x/own/notes").exists() && !self.at("x/gone").exists());
        assert!(!self.at("x/d/e").exists());
        for index in store.layout().wanted_files() {
            let links = store.file_path(index).metadata().unwrap().nlink();
            assert_eq!(links, 1, "{}", store.file_path(index).display());
        }
    }
}

pub(super) fn links(path: PathBuf) -> u64 {
    path.metadata().unwrap().nlink()
}

#[test]
fn unchanged_files_are_linked_until_the_switch_and_the_old_version_stays_verified() {
    let it = versions();
    let old = it.old_version();
    let download = it.open();
    let (good, local) = it.build(&download, &old);
    for file in ["a", "c", "d/f"] {
        assert_eq!(links(it.at("x.part").join(file)), 2, "{file}");
    }
    // Of two files with the content of `a`, one is linked. The others are written.
    for file in ["b", "new", "twin"] {
        assert_eq!(links(it.at("x.part").join(file)), 1, "{file}");
    }
    assert_eq!(old.store().check_paths(0, 100).unwrap().next, None);
    // Only the pieces with changed bytes are missing, and of them only some blocks.
    let lengths = it.new.lengths();
    let missing: Vec<_> = lengths
        .all_pieces()
        .filter(|it| !good.contains(*it))
        .collect();
    assert_eq!(missing.len(), 2, "{missing:?}");
    for piece in &missing {
        for block in local.block_runs(&it.new, *piece).into_iter().flatten() {
            let block = lengths.block(*piece, block).unwrap();
            let (start, length) = (lengths.range_offset(block), block.length() as usize);
            let mut bytes = vec![0; length];
            download.store().read(start, &mut bytes).unwrap();
            assert!(bytes == it.bytes[start as usize..start as usize + length]);
        }
    }
    it.fetch_and_finish(download, &good);
    it.check_finished();
}

#[test]
fn linked_files_get_their_times_after_the_switch() {
    let it = versions();
    let old = it.old_version();
    let download = it.open();
    let (good, _) = it.build(&download, &old);
    for piece in it
        .new
        .lengths()
        .all_pieces()
        .filter(|it| !good.contains(*it))
    {
        it.write_piece(&download, piece.number()).unwrap();
    }
    let times = vec![1_000_000_000; it.new.files().len()];
    let times = ModifiedTimes::new(times, &it.new).unwrap();
    download.complete_files(Some(&times)).unwrap();
    download.finish(Some(&times), &|_| Ok(())).unwrap();
    for file in ["a", "b", "c"] {
        assert_eq!(
            it.at("x").join(file).metadata().unwrap().mtime(),
            1,
            "{file}"
        );
    }
    it.check_finished();
}

#[test]
fn a_crash_at_any_step_is_continued() {
    type Step = fn(&Versions, &Path);
    let nothing: Step = |_, _| ();
    let one_link: Step = |it, part| fs::hard_link(it.at("x/a"), part.join("a")).unwrap();
    let empty_file: Step = |_, part| fs::write(part.join("a"), "").unwrap();
    let half_copied: Step = |_, part| {
        let file = fs::File::create(part.join("twin")).unwrap();
        file.set_len(100_000).unwrap();
        file.write_all_at(&random(1, 50_000), 0).unwrap();
    };
    let built: Step = |it, _| drop(it.build(&it.open(), &it.old_version()));
    let wrong_link: Step = |it, part| fs::hard_link(it.at("x/c"), part.join("a")).unwrap();
    let steps = [
        nothing,
        one_link,
        empty_file,
        half_copied,
        built,
        wrong_link,
    ];
    for (number, step) in steps.into_iter().enumerate() {
        let it = versions();
        drop(it.open());
        step(&it, &it.at("x.part"));
        let old = it.old_version();
        let download = it.open();
        let (good, _) = it.build(&download, &old);
        let missing = it.new.lengths().pieces() - good.count();
        assert_eq!(missing, 2, "step {number}");
        assert_eq!(links(it.at("x.part/a")), 2, "step {number}");
        it.fetch_and_finish(download, &good);
        it.check_finished();
    }
}

#[test]
fn a_download_whose_old_version_is_gone_never_writes_its_links() {
    let it = versions();
    it.build(&it.open(), &it.old_version());
    let download = it.open();
    take_files(&download, None).unwrap();
    download.make_files().unwrap();
    assert_eq!(links(it.at("x/a")), 1);
    let none = PieceSet::empty(it.new.lengths());
    let old = fs::read(it.at("x/c")).unwrap();
    it.write_piece(&download, 0).unwrap();
    assert_eq!(fs::read(it.at("x/c")).unwrap(), old);
    it.fetch_and_finish(download, &none);
    it.check_finished();
}

#[test]
fn the_new_version_shares_no_file_with_a_folder_that_a_person_has_kept() {
    for (is_forced, is_moved) in [(false, true), (true, true), (true, false)] {
        let it = versions();
        let old = it.old_version();
        let mut download = it.open();
        let (good, _) = it.build(&download, &old);
        assert_eq!(links(it.at("x.part/a")), 2);
        // The record of the old version is only there if the person did not end it.
        let store = share(&it.old, &it.at("x"));
        let former = FormerVersion::new(
            FileLayout::all(Arc::clone(&it.old)),
            store.stamps().unwrap(),
        );
        let former = is_forced.then(|| ExtraFiles::KeepForeign(former.forced(true)));
        download.set_replaced(former);
        fs::rename(it.at("x"), it.at("kept")).unwrap();
        if !is_moved {
            // Another copy of the old version is there now.
            let copied = std::process::Command::new("cp")
                .args(["-a".into(), it.at("kept"), it.at("x")])
                .status();
            assert!(copied.unwrap().success());
        }
        it.fetch_and_finish(download, &good);
        for path in ["x/a", "x/c", "x/d/f", "kept/a", "kept/c", "kept/d/e"] {
            assert_eq!(links(it.at(path)), 1, "{path}, {is_forced}, {is_moved}");
        }
        assert!(fs::read(it.at("x/a")).unwrap() == fs::read(it.at("kept/a")).unwrap());
    }
}

#[test]
fn a_file_with_the_name_of_a_partial_file_is_not_emptied() {
    let (target, source) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (old_path, new_path) = (target.path().join("x"), source.path().join("x"));
    let bytes = random(1, 500_000);
    fs::write(&old_path, &bytes).unwrap();
    let old = info(&old_path, Arrangement::Padded);
    fs::write(&new_path, [&bytes[..], b"more"].concat()).unwrap();
    let new = info(&new_path, Arrangement::Like(&old));
    let (partial, own) = (target.path().join("x.part"), target.path().join("own"));
    let place = destination(&target, "x");
    let open = || {
        let recorded = RecordedFiles {
            partial: Some("x.part"),
            is_recorded: true,
            ..RecordedFiles::NONE
        };
        let layout = FileLayout::all(Arc::clone(&new));
        Download::open(
            layout,
            &place,
            DownloadMode::Replace(ExtraFiles::Keep),
            recorded,
        )
        .unwrap()
    };
    // Of another length, and of the length of a clone but with a second name.
    for (content, has_links) in [(&b"mine"[..], false), (&bytes[..], true)] {
        fs::write(&own, content).unwrap();
        match has_links {
            true => fs::hard_link(&own, &partial).unwrap(),
            false => fs::rename(&own, &partial).unwrap(),
        }
        let store = share(&old, &old_path);
        store.seal(&store.stamps().unwrap());
        let download = open();
        take_files(&download, Some(&OldVersion::new(store, &new))).unwrap();
        let made = download.make_files();
        assert!(matches!(made, Err(StoreError::Foreign(_))), "{made:?}");
        assert!(fs::read(&partial).unwrap() == content);
        fs::remove_file(&partial).unwrap();
    }
}

#[test]
fn a_file_that_changed_since_it_was_verified_is_not_linked() {
    let it = versions();
    let old = it.old_version();
    write(&it.at("x"), "a", &random(9, 100_000));
    let download = it.open();
    let (good, _) = it.build(&download, &old);
    assert_eq!(links(it.at("x/a")), 1);
    it.fetch_and_finish(download, &good);
    it.check_finished();
}

#[test]
fn right_bytes_for_a_linked_file_with_wrong_ones_go_to_a_copy() {
    let it = versions();
    let damaged = it.at("x/c");
    // The file looks unchanged, as after silent damage on the disk.
    let time = damaged.metadata().unwrap().modified().unwrap();
    let old = it.old_version();
    let file = fs::File::options().write(true).open(&damaged).unwrap();
    file.write_all_at(&[1; 9], 100).unwrap();
    file.set_modified(time).unwrap();
    let download = it.open();
    let (_, _) = it.build(&download, &old);
    assert_eq!(links(damaged.clone()), 2);
    let before = fs::read(&damaged).unwrap();
    let none = PieceSet::empty(it.new.lengths());
    for number in 0..it.new.lengths().pieces() {
        it.write_piece(&download, number).unwrap();
    }
    assert_eq!(links(damaged.clone()), 1);
    assert_eq!(links(it.at("x/a")), 2, "its bytes were right");
    assert!(fs::read(&damaged).unwrap() == before);
    it.fetch_and_finish(download, &none);
    it.check_finished();
}

#[test]
fn a_linked_file_that_changes_is_not_taken_as_the_new_version() {
    let it = versions();
    let old = it.old_version();
    let download = it.open();
    let (good, _) = it.build(&download, &old);
    for piece in it
        .new
        .lengths()
        .all_pieces()
        .filter(|it| !good.contains(*it))
    {
        it.write_piece(&download, piece.number()).unwrap();
    }
    let file = fs::File::options().write(true).open(it.at("x/c")).unwrap();
    file.write_all_at(b"mine", 5).unwrap();
    let changed = finish(download).unwrap_err();
    assert!(
        matches!(&changed, StoreError::Changed(path) if path.ends_with("c")),
        "{changed}"
    );
    assert!(it.at("x/gone").exists());
    // The next attempt does not use it.
    let download = it.open();
    let store = share(&it.old, &it.at("x"));
    let stamps = it.old_version();
    drop(stamps);
    take_files(&download, Some(&OldVersion::new(store, &it.new))).unwrap();
    assert_eq!(links(it.at("x/c")), 1, "without stamps nothing is verified");
}

#[test]
fn a_download_that_is_cancelled_removes_only_its_names() {
    let it = versions();
    let before = paths_below(it.target.path());
    let old = it.old_version();
    let download = it.open();
    it.build(&download, &old);
    download.discard().unwrap();
    assert_eq!(paths_below(it.target.path()), before);
    assert_eq!(old.store().check_paths(0, 100).unwrap().next, None);
    assert_eq!(links(it.at("x/a")), 1);
}

#[test]
fn an_unfinished_older_version_gives_its_good_pieces() {
    let it = versions();
    // Nothing is sealed, and one file is damaged.
    write(&it.at("x"), "c", &random(8, 300_000));
    let store = Store::open(FileLayout::all(Arc::clone(&it.old)), &it.at("x")).unwrap();
    let old = OldVersion::new(store, &it.new);
    let download = it.open();
    let (good, local) = it.build(&download, &old);
    assert_eq!(links(it.at("x/a")), 1);
    assert!(good.count() > 5, "{}", good.count());
    let c = it
        .new
        .files()
        .iter()
        .position(|file| file.path.to_string() == "c")
        .unwrap();
    let in_c = it.new.pieces_of_file(c).nth(1).unwrap();
    assert!(!good.contains(in_c) && local.block_runs(&it.new, in_c).is_empty());
    it.fetch_and_finish(download, &good);
    it.check_finished();
}

#[test]
fn a_changed_file_is_cloned_if_the_file_system_has_reflinks() {
    let it = versions();
    let old = it.old_version();
    let download = it.open();
    take_files(&download, Some(&old)).unwrap();
    let cloned = download.store().linked_files().lock().cloned.clone();
    let paths = cloned
        .iter()
        .map(|index| it.new.files()[*index].path.to_string());
    let paths: Vec<_> = paths.collect();
    // `.ci/run` sets this when the temporary folder is on a file system that has reflinks.
    match std::env::var_os("PIECEFUL_REFLINKS") {
        Some(_) => assert_eq!(paths, ["b", "twin"]),
        None => assert!(paths.is_empty() || paths == ["b", "twin"], "{paths:?}"),
    }
    let (good, _) = it.build(&download, &old);
    it.fetch_and_finish(download, &good);
    it.check_finished();
}

#[test]
fn a_single_file_is_made_from_the_older_one() {
    let (target, source) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (old_path, new_path) = (target.path().join("x"), source.path().join("x"));
    let bytes = random(1, 500_000);
    fs::write(&old_path, &bytes).unwrap();
    let old = info(&old_path, Arrangement::Padded);
    let longer = [&bytes[..], b"more"].concat();
    fs::write(&new_path, &longer).unwrap();
    let new = info(&new_path, Arrangement::Like(&old));
    let store = share(&old, &old_path);
    store.seal(&store.stamps().unwrap());
    let old = OldVersion::new(store, &new);
    let layout = FileLayout::all(Arc::clone(&new));
    let place = destination(&target, "x");
    let mode = DownloadMode::Replace(ExtraFiles::Keep);
    let download = open_recorded(layout, &place, mode).unwrap();
    take_files(&download, Some(&old)).unwrap();
    let mut good = PieceSet::empty(new.lengths());
    let all = new.lengths().all_pieces();
    copy_equal_pieces(&download, &old, all, &mut good, &STOP).unwrap();
    assert_eq!(good.count(), 7);
    download.write(7 << 16, &[&longer[7 << 16..]]).unwrap();
    finish(download).unwrap();
    assert!(fs::read(&old_path).unwrap() == longer);
}

#[test]
fn a_changed_file_that_moved_in_the_share_gives_its_good_pieces() {
    let (target, source) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (old_top, new_top) = (target.path().join("x"), source.path().join("x"));
    let large = random(1, 500_000);
    write(&old_top, "a", &random(2, 30_000));
    write(&old_top, "large", &large);
    let old = info(&old_top, Arrangement::Sorted);
    // `large` is longer now, and begins 30,000 bytes earlier.
    write(&new_top, "large", &[&large[..], b"more"].concat());
    let new = info(&new_top, Arrangement::Like(&old));
    let store = share(&old, &old_top);
    store.seal(&store.stamps().unwrap());
    let old = OldVersion::new(store, &new);
    let place = destination(&target, "x");
    let mode = DownloadMode::Replace(ExtraFiles::Keep);
    let download = open_recorded(FileLayout::all(Arc::clone(&new)), &place, mode).unwrap();
    let local = copy_unchanged_files(&download, &old, &STOP, &|_| ()).unwrap();
    let mut good = PieceSet::empty(new.lengths());
    let all = || new.lengths().all_pieces();
    copy_equal_pieces(&download, &old, all(), &mut good, &STOP).unwrap();
    assert_eq!(good.count(), 0);
    copy_from_changed_files(&download, &old, &local, all(), &mut good, &STOP).unwrap();
    // All but the last one, which has the added bytes.
    assert_eq!((good.count(), new.lengths().pieces()), (7, 8));
    let found = crate::storage::verify(download.store(), all(), 2, &STOP, &|_| ()).unwrap();
    assert_eq!(found, good);
}
