//! Opening downloads: continuing them, refusing them, and copying what they replace.

use crate::storage::testing::{
    Sample, destination, download, finish, info_of, open_recorded, paths_below, sample,
};
use crate::storage::verify::verify;
use crate::storage::{Destination, DownloadMode, ExtraFiles, FileLayout, StoreError};
use crate::torrent::Info;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The info of a file of 1 MiB.
fn one_file() -> Arc<Info> {
    let source = tempfile::tempdir().unwrap();
    let path = source.path().join("file");
    fs::write(&path, vec![5; 1 << 20]).unwrap();
    info_of(&path)
}

#[test]
fn existing_entries_are_refused_and_not_changed() {
    let info = one_file();
    let target = tempfile::tempdir().unwrap();
    let open = || download(&info, &destination(&target, "x"));
    let (final_path, part) = (target.path().join("x"), target.path().join("x.part"));
    let victim = target.path().join("victim");
    type Prepare = fn(&Path, &Path, &Path);
    type Matches = fn(&StoreError) -> bool;
    let table: [(Prepare, Matches); 7] = [
        (
            |final_path, _, _| fs::write(final_path, "mine").unwrap(),
            |error| matches!(error, StoreError::Exists(_)),
        ),
        (
            |final_path, _, _| symlink("nowhere", final_path).unwrap(),
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
            |_, part, _| fs::write(part, "a browser's download").unwrap(),
            |error| matches!(error, StoreError::Foreign(_)),
        ),
        (
            |_, part, _| fs::create_dir(part).unwrap(),
            |error| matches!(error, StoreError::NotAFile(_)),
        ),
    ];
    for (number, (prepare, expected)) in table.into_iter().enumerate() {
        fs::write(&victim, vec![1; 1 << 20]).unwrap();
        prepare(&final_path, &part, &victim);
        let before = paths_below(target.path());
        let error = open().unwrap_err();
        assert!(expected(&error), "{number}: {error}");
        assert_eq!(paths_below(target.path()), before, "{number}");
        assert_eq!(fs::read(&victim).unwrap(), vec![1; 1 << 20]);
        for path in [&final_path, &part] {
            let _ = fs::remove_file(path);
        }
    }
    // `remove_file` did not remove the folder that the last row of the table made.
    fs::remove_dir(&part).unwrap();
    let nowhere = Destination {
        folder: target.path().join("nowhere"),
        name: "x".into(),
    };
    let error = download(&info, &nowhere).unwrap_err();
    assert!(matches!(error, StoreError::Missing(path) if path == nowhere.folder));
    for name in ["", "..", "a/b", "/etc/passwd"] {
        let error = download(&info, &destination(&target, name)).unwrap_err();
        assert!(matches!(error, StoreError::Name(_)), "{name}");
    }
    assert_eq!(paths_below(target.path()), ["victim"]);
}

#[test]
fn a_replacement_copies_good_pieces_and_keeps_extra_files() {
    let Sample { info, bytes, .. } = sample();
    let target = tempfile::tempdir().unwrap();
    let destination = destination(&target, "x");
    let (final_path, part) = (target.path().join("x"), target.path().join("x.part"));
    let open = || {
        let layout = FileLayout::all(info.clone());
        open_recorded(
            layout,
            &destination,
            DownloadMode::Replace(ExtraFiles::Keep),
        )
        .unwrap()
    };
    let stop = AtomicBool::new(false);
    fs::create_dir_all(final_path.join("sub/own")).unwrap();
    fs::write(final_path.join("a"), &bytes[..100_000]).unwrap();
    // This file is too short, but the first two pieces of the share (256 KiB each) are good.
    fs::write(final_path.join("sub/big"), &bytes[100_000..700_000]).unwrap();
    for own in ["mine", "sub/own/mine"] {
        fs::write(final_path.join(own), own).unwrap();
    }
    let before = paths_below(&final_path);
    let download = open();
    download.check_replaced().unwrap();
    download.copy_replaced(&stop, &|_| {}).unwrap();
    let pieces = || info.lengths().all_pieces();
    let good = verify(download.store(), pieces(), 1, &stop, &|_| {}).unwrap();
    let good: Vec<u32> = pieces()
        .filter(|piece| good.contains(*piece))
        .map(|piece| piece.number())
        .collect();
    assert_eq!(good, [0, 1]);
    // A cancelled replacement does not change the existing folder.
    download.discard().unwrap();
    drop(download);
    assert!(paths_below(&final_path) == before && !part.exists());
    assert_eq!(
        fs::metadata(final_path.join("sub/big")).unwrap().len(),
        600_000
    );
    let download = open();
    download.write(0, &[&bytes]).unwrap();
    finish(download).unwrap();
    assert_eq!(
        fs::read(final_path.join("sub/own/mine")).unwrap(),
        b"sub/own/mine"
    );
    assert!(fs::read(final_path.join("sub/big")).unwrap() == bytes[100_000..1_600_000]);
    assert!(final_path.join("mine").exists() && !part.exists());
    // If there is a folder instead of a file of the share, the replacement is not started.
    fs::remove_file(final_path.join("a")).unwrap();
    fs::create_dir(final_path.join("a")).unwrap();
    let download = open();
    let refused = download.check_replaced().unwrap_err();
    assert!(matches!(refused, StoreError::NotAFile(_)), "{refused}");
    download.undo();
    assert!(!part.exists() && final_path.join("a").exists());
}

#[test]
fn a_partial_download_cannot_be_opened_while_it_is_open() {
    let Sample { info, .. } = sample();
    for info in [one_file(), info] {
        let target = tempfile::tempdir().unwrap();
        let open = || download(&info, &destination(&target, "x"));
        let download = open().unwrap();
        assert!(matches!(open(), Err(StoreError::InUse(path)) if path.ends_with("x.part")));
        assert_eq!(paths_below(target.path())[0], "x.part");
        drop(download);
        open().unwrap();
    }
}

#[test]
fn a_partial_folder_is_continued_but_symbolic_links_in_it_are_never_followed() {
    let Sample { info, bytes, .. } = sample();
    let target = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let open = || download(&info, &destination(&target, "x"));
    let part = target.path().join("x.part");
    {
        let download = open().unwrap();
        download.write(99_000, &[&bytes[99_000..120_000]]).unwrap();
    }
    let download = open().unwrap();
    let mut read = vec![0; 21_000];
    download.store().read(99_000, &mut read).unwrap();
    assert!(read == bytes[99_000..120_000]);
    drop(download);
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
    // A symbolic link is also refused if it appears while the download is open, before the file is
    // opened for the first write.
    let download = open().unwrap();
    fs::rename(part.join("sub"), outside.path().join("sub")).unwrap();
    symlink(outside.path().join("sub"), part.join("sub")).unwrap();
    let error = download.write(200_000, &[b"x"]).unwrap_err();
    assert!(matches!(error, StoreError::Symlink(_)), "{error}");
    assert_eq!(fs::read(&victim).unwrap(), vec![1; 100_000]);
    assert_eq!(
        paths_below(outside.path()),
        ["sub", "sub/big", "sub/deep", "sub/deep/z", "victim"]
    );
}

#[test]
fn two_files_of_a_share_that_are_one_file_on_disk_are_refused() {
    let Sample { info, .. } = sample();
    let target = tempfile::tempdir().unwrap();
    let part = target.path().join("x.part");
    fs::create_dir_all(part.join("sub")).unwrap();
    fs::write(part.join("a"), "").unwrap();
    fs::hard_link(part.join("a"), part.join("empty")).unwrap();
    let error = download(&info, &destination(&target, "x")).unwrap_err();
    let refused = matches!(error, StoreError::Foreign(_) | StoreError::SameFile(_));
    assert!(refused, "{error}");
}

#[test]
fn a_download_with_the_longest_name_can_be_finished() {
    let target = tempfile::tempdir().unwrap();
    let name = "x".repeat(255);
    let download = download(&one_file(), &destination(&target, &name)).unwrap();
    assert_eq!(finish(download).unwrap(), target.path().join(name));
}
