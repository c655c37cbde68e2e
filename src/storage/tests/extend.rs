//! Downloads of chosen files, and extending them.

use crate::storage::destination::MAX_NAME_LENGTH;
use crate::storage::parts_file;
use crate::storage::testing::{
    Sample, destination, finish, open_recorded, paths_below, sample, share,
};
use crate::storage::verify::verify;
use crate::storage::{
    Destination, Download, DownloadMode, FileLayout, RecoveredRename, Store, StoreError, undo_moves,
};
use crate::torrent::{Info, PieceSet, Selection};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;

/// Selects only `sub/big`. The file before it has 100,000 bytes and is not wanted; the first piece
/// has 256 KiB.
fn chosen(info: &Info) -> Arc<Selection> {
    let selection = Selection::of(info, &["sub/big".parse().unwrap()]).unwrap();
    assert!(selection.is_mixed());
    Arc::new(selection)
}

#[test]
fn only_wanted_files_are_made_and_pieces_with_bytes_of_other_files_can_be_read() {
    let Sample { info, bytes, .. } = sample();
    let target = tempfile::tempdir().unwrap();
    let destination = destination(&target, "x");
    let parts_name = parts_file::name(&info, "x");
    let read = |store: &Store| {
        let mut piece = vec![0; 256 << 10];
        store.read(0, &mut piece).unwrap();
        piece
    };
    {
        let download = open(&info, &destination).unwrap();
        download.write(0, &[&bytes[..256 << 10]]).unwrap();
    }
    let download = open(&info, &destination).unwrap();
    let store = download.store();
    assert!(read(store) == bytes[..256 << 10], "the download continued");
    assert_eq!(
        paths_below(target.path()),
        [
            parts_name.as_str(),
            "x.part",
            "x.part/sub",
            "x.part/sub/big"
        ]
    );
    assert!(store.is_mixed(info.lengths().piece(0).unwrap()));
    assert!(!store.is_mixed(info.lengths().piece(2).unwrap()));
    finish(download).unwrap();
    let path = destination.path();
    let open_share = || {
        let layout = FileLayout::chosen(info.clone(), chosen(&info));
        Store::open(layout, &path).unwrap()
    };
    let store = open_share();
    assert!(read(&store) == bytes[..256 << 10]);
    let stamps = store.stamps().unwrap();
    assert!(open_share().are_all_unchanged(&stamps));
    fs::remove_file(target.path().join(&parts_name)).unwrap();
    assert!(
        !open_share().are_all_unchanged(&stamps),
        "a missing parts file counts as a change"
    );
    let gone = open_share().read(0, &mut [0; 16]).unwrap_err();
    assert!(matches!(gone, StoreError::Missing(_)));
    assert!(open_share().read(150_000, &mut [0; 16]).is_ok());
}

#[test]
fn two_downloads_of_one_share_in_one_folder_do_not_write_into_each_other() {
    let Sample { info, bytes, .. } = sample();
    let target = tempfile::tempdir().unwrap();
    let open = |name: &str| open(&info, &destination(&target, name));
    let (one, other) = (open("one").unwrap(), open("other").unwrap());
    one.write(0, &[&bytes[..100_000]]).unwrap();
    other.write(0, &[&[9; 100_000]]).unwrap();
    let mut read = vec![0; 100_000];
    one.store().read(0, &mut read).unwrap();
    assert!(read == bytes[..100_000]);
    other.discard().unwrap();
    one.store().read(0, &mut read).unwrap();
    assert!(paths_below(target.path())[0].starts_with(".one."));
    // Two long names that are the same after they are cut.
    let long = |end: char| format!("{}{end}", "\u{fc}".repeat(122));
    assert_eq!(
        parts_file::name(&info, &long('a')),
        parts_file::name(&info, &long('b'))
    );
    assert!(parts_file::name(&info, &long('a')).len() <= MAX_NAME_LENGTH);
    let first = open(&long('a')).unwrap();
    assert!(
        matches!(open(&long('b')), Err(StoreError::InUse(path)) if path.ends_with(parts_file::name(&info, &long('a'))))
    );
    drop(first);
    let paths = paths_below(target.path());
    assert!(
        !paths.iter().any(|name| name.ends_with("b.part")),
        "{paths:?}"
    );
    open(&long('b')).unwrap();
}

#[test]
fn discarding_removes_the_parts_file_and_foreign_files_are_not_changed() {
    let Sample { info, .. } = sample();
    let target = tempfile::tempdir().unwrap();
    let destination = destination(&target, "x");
    let open = || open(&info, &destination);
    open().unwrap().discard().unwrap();
    assert!(paths_below(target.path()).is_empty());
    let parts_name = target.path().join(parts_file::name(&info, "x"));
    fs::write(&parts_name, "mine").unwrap();
    assert!(matches!(open(), Err(StoreError::Foreign(_))));
    assert_eq!(fs::read(&parts_name).unwrap(), b"mine");
    fs::remove_file(&parts_name).unwrap();
    symlink("elsewhere", &parts_name).unwrap();
    assert!(matches!(open(), Err(StoreError::Symlink(_))));
}

fn open(info: &Arc<Info>, destination: &Destination) -> Result<Download, StoreError> {
    let layout = FileLayout::chosen(Arc::clone(info), chosen(info));
    open_recorded(layout, destination, DownloadMode::New)
}

/// A complete download of the file `a` alone. This file ends in the first piece.
fn finished(sample: &Sample, target: &TempDir) -> Destination {
    let destination = destination(target, "x");
    let chosen = Selection::of(&sample.info, &["a".parse().unwrap()]).unwrap();
    let info = Arc::clone(&sample.info);
    let layout = FileLayout::chosen(info, Arc::new(chosen));
    let download = open_recorded(layout, &destination, DownloadMode::New).unwrap();
    download.write(0, &[&sample.bytes[..256 << 10]]).unwrap();
    finish(download).unwrap();
    destination
}

/// Opens a download that adds the other files to the file `a`.
fn open_extension(sample: &Sample, destination: &Destination) -> Result<Download, StoreError> {
    let layout = FileLayout::all(Arc::clone(&sample.info));
    let mode = DownloadMode::extend_or_new(&layout, destination)?;
    open_recorded(layout, destination, mode)
}

fn good_pieces(store: &Store) -> PieceSet {
    let never = AtomicBool::new(false);
    let pieces = store.info().lengths().all_pieces();
    verify(store, pieces, 2, &never, &|_| {}).unwrap()
}

#[test]
fn finishing_continues_after_a_crash_between_any_two_moves() {
    let sample = sample();
    let files = ["empty", "sub/big", "sub/deep/z"];
    for moved in 0..=files.len() {
        let target = tempfile::tempdir().unwrap();
        let destination = finished(&sample, &target);
        {
            let download = open_extension(&sample, &destination).unwrap();
            assert_eq!(
                good_pieces(download.store()).count(),
                1,
                "the piece of the file in place"
            );
            download.write(0, &[&sample.bytes]).unwrap();
            assert!(good_pieces(download.store()).is_full());
        }
        let (part, whole) = (target.path().join("x.part"), destination.path());
        for file in &files[..moved] {
            let to = whole.join(file);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::rename(part.join(file), to).unwrap();
        }
        let download = open_extension(&sample, &destination).unwrap();
        let store = Arc::clone(download.store());
        assert!(good_pieces(&store).is_full(), "{moved} moved");
        assert_eq!(finish(download).unwrap(), whole);
        assert!(good_pieces(&store).is_full());
        let paths = paths_below(target.path());
        assert_eq!(paths.len(), 7, "{paths:?}");
        assert!(paths.iter().all(|path| path.starts_with('x')), "{paths:?}");
    }
}

#[test]
fn leftovers_of_a_crash_between_two_steps_of_one_move_are_removed() {
    let sample = sample();
    let layout = FileLayout::all(Arc::clone(&sample.info));
    let leftovers: [fn(&Path, &Path); 3] = [
        |_, _| {},
        |_, to| fs::write(to, "").unwrap(),
        |from, to| fs::hard_link(from, to).unwrap(),
    ];
    for (number, make_leftover) in leftovers.into_iter().enumerate() {
        let target = tempfile::tempdir().unwrap();
        let destination = finished(&sample, &target);
        let undo =
            || undo_moves(&layout, &destination, "x.part").unwrap() == RecoveredRename::Undone;
        assert!(!undo(), "there is no partial folder");
        let download = open_extension(&sample, &destination).unwrap();
        download.write(0, &[&sample.bytes]).unwrap();
        drop(download);
        for file in ["empty", "sub/big"] {
            let to = destination.path().join(file);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            make_leftover(&target.path().join("x.part").join(file), &to);
        }
        assert!(undo());
        let download = open_extension(&sample, &destination).unwrap();
        assert!(good_pieces(download.store()).is_full(), "{number}");
        finish(download).unwrap();
        assert_eq!(paths_below(target.path()).len(), 7, "{number}");
        assert!(good_pieces(&share(&sample.info, &destination.path())).is_full());
    }
    // A file that does not belong to the download stays.
    let target = tempfile::tempdir().unwrap();
    let destination = finished(&sample, &target);
    drop(open_extension(&sample, &destination).unwrap());
    let mine = destination.path().join("empty");
    fs::write(&mine, "mine").unwrap();
    let undone = undo_moves(&layout, &destination, "x.part").unwrap();
    assert_eq!(undone, RecoveredRename::Undone);
    assert_eq!(fs::read(&mine).unwrap(), b"mine");
}

#[test]
fn files_in_place_are_neither_written_nor_removed() {
    let sample = sample();
    let target = tempfile::tempdir().unwrap();
    let destination = finished(&sample, &target);
    let before = paths_below(target.path());
    let file = destination.path().join("a");
    let bytes = fs::read(&file).unwrap();
    // `undo` restores the state before the extension. `discard` also removes the parts file.
    open_extension(&sample, &destination).unwrap().undo();
    assert_eq!(paths_below(target.path()), before);
    let download = open_extension(&sample, &destination).unwrap();
    download.write(0, &[&[9; 256 << 10]]).unwrap();
    assert!(fs::read(&file).unwrap() == bytes);
    download.discard().unwrap();
    assert_eq!(paths_below(target.path()), ["x", "x/a"]);
    // If another file has the name of a wanted file, nothing is started.
    fs::write(destination.path().join("empty"), "mine").unwrap();
    let taken = open_extension(&sample, &destination).unwrap_err();
    assert!(matches!(taken, StoreError::Exists(path) if path.ends_with("x/empty")));
    assert_eq!(paths_below(target.path()), ["x", "x/a", "x/empty"]);
}

#[test]
fn an_extension_with_a_changed_file_in_place_is_not_finished() {
    let sample = sample();
    let target = tempfile::tempdir().unwrap();
    let destination = finished(&sample, &target);
    let file = destination.path().join("a");
    let names_the_file =
        |error: StoreError| matches!(error, StoreError::Changed(path) if path == file);
    // In each round, the file changes while the download is open, and is still changed when the
    // download is opened again. The second round continues the download of the first one.
    for _ in 0..2 {
        let download = open_extension(&sample, &destination).unwrap();
        download.write(0, &[&sample.bytes]).unwrap();
        fs::write(&file, vec![7; 100_000]).unwrap();
        assert!(names_the_file(finish(download).unwrap_err()));
        let download = open_extension(&sample, &destination).unwrap();
        // The only piece of the changed file also has bytes of fetched files. So this check cannot
        // know which file is wrong, and reports none.
        assert!(
            download
                .check_files_in_place(&good_pieces(download.store()))
                .is_ok()
        );
        assert!(names_the_file(finish(download).unwrap_err()));
        fs::write(&file, &sample.bytes[..100_000]).unwrap();
    }
    assert!(target.path().join("x.part/sub/big").exists());
    finish(open_extension(&sample, &destination).unwrap()).unwrap();
}
