//! A download takes the place of an older version: nothing that a person has written is lost, and
//! nothing that a person has changed counts as verified.

use super::older::{Versions, links, random, versions, write};
use crate::storage::testing::{destination, finish, open_recorded, paths_below, share};
use crate::storage::{
    Arrangement, Download, DownloadMode, ExtraFiles, FileLayout, FinishedDownload, FormerVersion,
    OldVersion, StoreError, take_files,
};
use crate::torrent::{ModifiedTimes, PieceSet};
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;

/// The download of the new version, with all its bytes.
fn ready(it: &Versions) -> Download {
    let download = it.open();
    let (good, _) = it.build(&download, &it.old_version());
    let missing = it.new.lengths().all_pieces();
    for piece in missing.filter(|piece| !good.contains(*piece)) {
        it.write_piece(&download, piece.number()).unwrap();
    }
    download
}

/// Finishes a download. A person makes a change after the last check.
fn finish_while(download: Download, change: impl Fn()) -> FinishedDownload {
    let note = |_| {
        change();
        Ok(())
    };
    download.complete_files(None).unwrap();
    download.finish(None, &note).unwrap()
}

#[test]
fn a_change_while_a_version_is_fetched_stops_the_switch() {
    type Named = fn(&StoreError) -> bool;
    let changed: Named = |error| matches!(error, StoreError::LocallyChanged(_));
    let of_no_version: Named = |error| matches!(error, StoreError::OfNoVersion(_));
    let removed: Named = |error| matches!(error, StoreError::LocallyRemoved(_));
    for (path, is_expected) in [
        ("b", changed),
        ("gone", changed),
        ("new", of_no_version),
        ("d/f", of_no_version),
    ] {
        let it = versions();
        let download = ready(&it);
        write(&it.at("x"), path, b"mine");
        let before = paths_below(&it.at("x"));
        let error = finish(download).unwrap_err();
        assert!(is_expected(&error), "{path}: {error}");
        assert!(
            error
                .to_string()
                .contains(it.at("x").join(path).to_str().unwrap())
        );
        assert_eq!(paths_below(&it.at("x")), before);
        assert_eq!(fs::read(it.at("x").join(path)).unwrap(), b"mine");
    }
    let it = versions();
    let download = ready(&it);
    fs::remove_file(it.at("x/gone")).unwrap();
    let error = finish(download).unwrap_err();
    assert!(removed(&error), "{error}");
}

#[test]
fn what_is_written_after_the_last_check_is_kept_beside_the_new_version() {
    let it = versions();
    let finished = finish_while(ready(&it), || {
        write(&it.at("x"), "b", b"mine");
        write(&it.at("x"), "new", b"mine too");
        write(&it.at("x"), "d/own", b"mine as well");
    });
    assert_eq!(finished.left.as_ref(), Some(&it.at("x.part")));
    assert_eq!(paths_below(&it.at("x.part")), ["b", "new"]);
    assert_eq!(fs::read(it.at("x.part/b")).unwrap(), b"mine");
    assert_eq!(fs::read(it.at("x.part/new")).unwrap(), b"mine too");
    assert_eq!(fs::read(it.at("x/d/own")).unwrap(), b"mine as well");
    assert!(share(&it.new, &it.at("x")).are_all_unchanged(&finished.stamps));
    assert!(it.at("x/own/notes").exists());
}

#[test]
fn without_changes_nothing_is_left_beside_the_new_version() {
    let it = versions();
    let finished = finish_while(ready(&it), || ());
    assert_eq!(finished.left, None);
    it.check_finished();
}

#[test]
fn a_forced_switch_replaces_changed_files() {
    let it = versions();
    let mut download = ready(&it);
    let store = share(&it.old, &it.at("x"));
    let former = FormerVersion::new(
        FileLayout::all(Arc::clone(&it.old)),
        store.stamps().unwrap(),
    );
    let former = ExtraFiles::KeepForeign(former.forced(true));
    download.set_replaced(Some(former));
    write(&it.at("x"), "b", b"mine");
    write(&it.at("x"), "new", b"mine too");
    let finished = finish_while(download, || ());
    assert_eq!(finished.left, None);
    it.check_finished();
}

#[test]
fn files_of_an_unknown_version_are_not_replaced() {
    let it = versions();
    let mut download = ready(&it);
    download.set_replaced(None);
    let before = paths_below(&it.at("x"));
    let error = finish(download).unwrap_err();
    assert!(matches!(&error, StoreError::Exists(path) if *path == it.at("x")));
    assert_eq!(paths_below(&it.at("x")), before);
}

#[test]
fn a_single_file_that_is_changed_after_the_last_check_is_kept() {
    for is_changed in [false, true] {
        let target = tempfile::tempdir().unwrap();
        let (path, new_path) = (target.path().join("x"), target.path().join("new/x"));
        write(target.path(), "x", b"old");
        write(target.path(), "new/x", b"newer");
        let info = |path| super::older::info(path, Arrangement::Sorted);
        let (old, new) = (info(&path), info(&new_path));
        fs::remove_dir_all(target.path().join("new")).unwrap();
        let stamps = share(&old, &path).stamps().unwrap();
        let former = ExtraFiles::KeepForeign(FormerVersion::new(FileLayout::all(old), stamps));
        let mode = DownloadMode::Replace(former);
        let place = destination(&target, "x");
        let download = open_recorded(FileLayout::all(new), &place, mode).unwrap();
        download.write(0, &[b"newer"]).unwrap();
        let finished = finish_while(download, || {
            if is_changed {
                fs::write(&path, "mine").unwrap();
            }
        });
        assert_eq!(fs::read(&path).unwrap(), b"newer");
        match is_changed {
            false => assert_eq!(paths_below(target.path()), ["x"]),
            true => assert_eq!(fs::read(finished.left.unwrap()).unwrap(), b"mine"),
        }
    }
}

#[test]
fn a_linked_file_that_changes_during_the_switch_does_not_count_as_verified() {
    // If it has one name only, its time could be set.
    for has_other_name in [true, false] {
        let it = versions();
        let download = ready(&it);
        let times = vec![1_000_000_000; it.new.files().len()];
        let times = ModifiedTimes::new(times, &it.new).unwrap();
        let note = |_| {
            let file = fs::File::options().write(true).open(it.at("x/c")).unwrap();
            file.write_all_at(b"mine", 5).unwrap();
            if !has_other_name {
                fs::remove_file(it.at("x/c")).unwrap();
            }
            Ok(())
        };
        download.complete_files(Some(&times)).unwrap();
        let finished = download.finish(Some(&times), &note).unwrap();
        let now = share(&it.new, &it.at("x"));
        assert!(!now.are_all_unchanged(&finished.stamps));
        assert_ne!(it.at("x/c").metadata().unwrap().mtime(), 1);
        // The others got their times, and count as verified.
        assert_eq!(it.at("x/a").metadata().unwrap().mtime(), 1);
        now.seal(&finished.stamps);
        let changed = now.check_paths(0, 100).unwrap_err();
        assert!(matches!(changed, StoreError::Changed(path) if path.ends_with("c")));
    }
}

#[test]
fn a_linked_file_that_changes_while_the_others_are_fetched_is_not_served() {
    let it = versions();
    let download = it.open();
    it.build(&download, &it.old_version());
    let store = download.store();
    let index = store
        .layout()
        .wanted_files()
        .find(|index| store.file_path(*index).ends_with("c"))
        .unwrap();
    let offset = it.new.files()[index].offset;
    let span = || store.spans(offset, 10).unwrap().next().unwrap().unwrap();
    store.check_span(&span()).unwrap();
    let file = fs::File::options().write(true).open(it.at("x/c")).unwrap();
    file.write_all_at(b"mine", 5).unwrap();
    let changed = store.check_span(&span());
    assert!(matches!(changed, Err(StoreError::Changed(path)) if path.ends_with("c")));
}

#[test]
fn only_links_of_a_verified_version_make_pieces_good() {
    let it = versions();
    let verified = it.old_version();
    let download = it.open();
    take_files(&download, Some(&verified)).unwrap();
    let count = |old: &OldVersion| {
        let pieces = it.new.lengths().all_pieces();
        let good = pieces.filter(|piece| old.has_verified(download.store(), *piece));
        good.count()
    };
    assert!(count(&verified) > 0);
    // The same version, but nobody has verified these files.
    let unverified = OldVersion::new(share(&it.old, &it.at("x")), &it.new);
    assert_eq!(count(&unverified), 0);
    // Verified files at another place, which are not linked.
    let copy = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c", "d/e", "gone"] {
        write(copy.path(), name, &fs::read(it.at("x").join(name)).unwrap());
    }
    let store = share(&it.old, copy.path());
    store.seal(&store.stamps().unwrap());
    assert_eq!(count(&OldVersion::new(store, &it.new)), 0);
}

#[test]
fn a_copy_that_a_crash_has_cut_is_made_again() {
    let it = versions();
    let part = it.at("x.part");
    drop(it.open());
    for (name, length) in [("a", 7), ("twin", 9), ("c", 400_000)] {
        write(&part, name, &random(1, length));
    }
    let download = it.open();
    let (good, _) = it.build(&download, &it.old_version());
    assert_eq!(links(it.at("x.part/a")), 2);
    assert_eq!(it.new.lengths().pieces() - good.count(), 2);
    let good: PieceSet = good;
    it.fetch_and_finish(download, &good);
    it.check_finished();
}
