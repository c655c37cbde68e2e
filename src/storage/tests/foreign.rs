//! Foreign files and folders: they have a name that a partial file would get, but no record names
//! them.

use crate::storage::testing::{Sample, destination, finish, info_of, paths_below, sample};
use crate::storage::tree::{Folder, lock};
use crate::storage::verify::verify;
use crate::storage::{
    Destination, Download, DownloadMode, FileLayout, RecordedFiles, StoreError, parts_file,
};
use crate::torrent::{Info, Selection};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Opens a download that no record names.
fn open_new(info: &Arc<Info>, destination: &Destination) -> Result<Download, StoreError> {
    let layout = FileLayout::all(Arc::clone(info));
    Download::open(layout, destination, DownloadMode::New, RecordedFiles::NONE)
}

fn info_of_content(bytes: &[u8]) -> Arc<Info> {
    let source = tempfile::tempdir().unwrap();
    let path = source.path().join("file");
    fs::write(&path, bytes).unwrap();
    info_of(&path)
}

/// Copies good pieces from foreign files. Returns the number of good pieces in the download.
fn copy_good_pieces(download: &Download) -> u32 {
    let never = AtomicBool::new(false);
    download.make_files().unwrap();
    download.copy_others(&never, &|_| {}).unwrap();
    let pieces = download.store().info().lengths().all_pieces();
    let good = verify(download.store(), pieces, 1, &never, &|_| {});
    good.unwrap().count()
}

#[test]
fn a_foreign_file_is_only_read_and_the_download_takes_the_name_with_the_info_hash() {
    let bytes: Vec<u8> = (0..2_000_000u32)
        .map(|number| (number >> 7) as u8)
        .collect();
    let info = info_of_content(&bytes);
    let with_hash = format!("x.{}.part", info.info_hash());
    // Two of the four pieces of `half` are good.
    let mut half = bytes.clone();
    half[1 << 20..].fill(0xee);
    type Prepare<'a> = &'a dyn Fn(&Path);
    let table: [(Prepare<'_>, u32); 7] = [
        (&|part| fs::write(part, &half).unwrap(), 2),
        (&|part| fs::write(part, &bytes).unwrap(), 4),
        (&|part| fs::write(part, "a browser's download").unwrap(), 0),
        (&|part| fs::write(part, "").unwrap(), 0),
        (&|part| fs::create_dir(part).unwrap(), 0),
        (&|part| symlink("nowhere", part).unwrap(), 0),
        (
            &|part| symlink(part.with_file_name("target"), part).unwrap(),
            0,
        ),
    ];
    for (number, (prepare, good)) in table.into_iter().enumerate() {
        let target = tempfile::tempdir().unwrap();
        let part = target.path().join("x.part");
        fs::write(target.path().join("target"), &bytes).unwrap();
        prepare(&part);
        let before = (
            fs::read(&part).ok(),
            part.symlink_metadata().unwrap().file_type(),
        );
        let names = paths_below(target.path());
        let open = || open_new(&info, &destination(&target, "x")).unwrap();
        let download = open();
        assert_eq!(download.partial_name(), with_hash, "{number}");
        assert_eq!(copy_good_pieces(&download), good, "{number}");
        download.discard().unwrap();
        drop(download);
        assert_eq!(paths_below(target.path()), names, "{number}");
        let download = open();
        copy_good_pieces(&download);
        download.write(0, &[&bytes]).unwrap();
        let path = finish(download).unwrap();
        assert!(fs::read(path).unwrap() == bytes, "{number}");
        let after = (
            fs::read(&part).ok(),
            part.symlink_metadata().unwrap().file_type(),
        );
        assert!(before == after, "{number}");
    }
}

#[test]
fn a_foreign_folder_is_only_read() {
    let Sample { info, bytes, .. } = sample();
    let target = tempfile::tempdir().unwrap();
    let part = target.path().join("x.part");
    fs::create_dir_all(part.join("sub")).unwrap();
    fs::write(part.join("a"), &bytes[..100_000]).unwrap();
    fs::write(part.join("sub/big"), &bytes[100_000..700_000]).unwrap();
    let before = paths_below(&part);
    let download = open_new(&info, &destination(&target, "x")).unwrap();
    assert_eq!(copy_good_pieces(&download), 2);
    download.write(0, &[&bytes]).unwrap();
    finish(download).unwrap();
    assert_eq!(paths_below(&part), before);
    assert!(fs::read(part.join("sub/big")).unwrap() == bytes[100_000..700_000]);
}

#[test]
fn a_used_name_is_skipped_and_opening_fails_if_a_name_is_locked_or_no_name_is_free() {
    let info = info_of_content(b"content");
    let target = tempfile::tempdir().unwrap();
    let place = destination(&target, "x");
    let with_hash = format!("x.{}.part", info.info_hash());
    let open_while_used = |used: &str| {
        let used = target.path().join(used);
        let recorded = RecordedFiles {
            is_used: &|path| path == used,
            ..RecordedFiles::NONE
        };
        let layout = FileLayout::all(Arc::clone(&info));
        Download::open(layout, &place, DownloadMode::New, recorded)
    };
    // Another transfer uses the name, and its file is not there yet.
    let download = open_while_used("x.part").unwrap();
    assert_eq!(download.partial_name(), with_hash);
    download.discard().unwrap();
    // Another process downloads to the same place.
    fs::write(target.path().join("x.part"), "content").unwrap();
    let folder = Folder::open(target.path()).unwrap();
    let file = folder
        .file("x.part", crate::storage::tree::Access::Read)
        .unwrap();
    lock(&file, &target.path().join("x.part")).unwrap();
    let locked = open_while_used("unrelated");
    assert!(matches!(locked, Err(StoreError::InUse(path)) if path.ends_with("x.part")));
    drop(file);
    fs::write(target.path().join(&with_hash), "content").unwrap();
    let none_free = open_while_used("unrelated");
    assert!(matches!(none_free, Err(StoreError::Foreign(path)) if path.ends_with(&with_hash)));
    assert_eq!(paths_below(target.path()).len(), 2);
}

/// Opens a new download of a peer whose records are lost when its process ends.
fn open_without_kept_records(
    layout: FileLayout,
    destination: &Destination,
) -> Result<Download, StoreError> {
    let recorded = RecordedFiles {
        records_are_kept: false,
        ..RecordedFiles::NONE
    };
    Download::open(layout, destination, DownloadMode::New, recorded)
}

#[test]
fn without_kept_records_a_file_with_the_info_hash_in_its_name_is_continued() {
    let info = info_of_content(b"content");
    let with_hash = format!("x.{}.part", info.info_hash());
    type Prepare<'a> = &'a dyn Fn(&Path);
    // Columns: a function that makes an entry with the name `with_hash`; the name that the partial
    // file should get; whether the download makes that file itself.
    let table: [(Prepare<'_>, &str, bool); 8] = [
        (&|_| {}, &with_hash, true),
        (&|part| fs::write(part, "").unwrap(), &with_hash, false),
        (
            &|part| fs::write(part, "CONTENT").unwrap(),
            &with_hash,
            false,
        ),
        (&|part| fs::write(part, "short").unwrap(), "x.part", true),
        (&|part| fs::create_dir(part).unwrap(), "x.part", true),
        (&|part| symlink("nowhere", part).unwrap(), "x.part", true),
        (
            &|part| symlink(part.with_file_name("other"), part).unwrap(),
            "x.part",
            true,
        ),
        (
            &|part| fs::hard_link(part.with_file_name("other"), part).unwrap(),
            "x.part",
            true,
        ),
    ];
    for (number, (prepare, expected, is_new)) in table.into_iter().enumerate() {
        let target = tempfile::tempdir().unwrap();
        fs::write(target.path().join("other"), "content").unwrap();
        prepare(&target.path().join(&with_hash));
        let before = paths_below(target.path());
        let layout = || FileLayout::all(Arc::clone(&info));
        let place = destination(&target, "x");
        let open = || open_without_kept_records(layout(), &place).unwrap();
        let download = open();
        assert_eq!(download.partial_name(), expected, "{number}");
        download.undo();
        assert_eq!(paths_below(target.path()), before, "{number}");
        drop(download);
        let download = open();
        download.make_files().unwrap();
        assert!(matches!(
            open_without_kept_records(layout(), &place),
            Err(StoreError::InUse(_))
        ));
        let in_use = open_new(&info, &place);
        assert!(matches!(in_use, Err(StoreError::InUse(_))), "{number}");
        download.discard().unwrap();
        assert_eq!(paths_below(target.path()) == before, is_new, "{number}");
    }
}

#[test]
fn without_kept_records_a_folder_and_its_parts_file_are_continued() {
    let Sample { info, bytes, .. } = sample();
    let target = tempfile::tempdir().unwrap();
    let place = destination(&target, "x");
    let chosen = Selection::of(&info, &["sub/big".parse().unwrap()]).unwrap();
    let chosen = Arc::new(chosen);
    let open = || {
        let layout = FileLayout::chosen(Arc::clone(&info), Arc::clone(&chosen));
        let download = open_without_kept_records(layout, &place).unwrap();
        download.make_files().unwrap();
        download
    };
    open().write(0, &[&bytes]).unwrap();
    let before = paths_below(target.path());
    assert_eq!(before.len(), 4, "{before:?}");
    let download = open();
    assert_eq!(paths_below(target.path()), before);
    let mut read = vec![0; 256 << 10];
    download.store().read(0, &mut read).unwrap();
    assert!(read == bytes[..256 << 10]);
}

#[test]
fn a_parts_file_that_no_record_names_stays_unchanged() {
    let Sample { info, .. } = sample();
    let target = tempfile::tempdir().unwrap();
    let place = destination(&target, "x");
    let path = target.path().join(parts_file::name(&info, "x"));
    let foreign_bytes = vec![3; usize::try_from(info.lengths().total()).unwrap()];
    fs::write(&path, &foreign_bytes).unwrap();
    let chosen = Selection::of(&info, &["sub/big".parse().unwrap()]).unwrap();
    let layout = FileLayout::chosen(Arc::clone(&info), Arc::new(chosen));
    let refused = Download::open(layout, &place, DownloadMode::New, RecordedFiles::NONE);
    assert!(matches!(refused, Err(StoreError::Foreign(named)) if named == path));
    // A download of all files needs no parts file.
    let download = open_new(&info, &place).unwrap();
    download.make_files().unwrap();
    finish(download).unwrap();
    assert!(fs::read(&path).unwrap() == foreign_bytes);
    assert!(!target.path().join("x.part").exists());
}
