//! Finishing and discarding downloads.

use crate::storage::testing::{
    destination, download, finish, info_of, open_recorded, padded, paths_below, sample, share,
};
use crate::storage::{
    DownloadMode, ExtraFiles, FileLayout, StoreError, StoredSpan, remove_replaced,
};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

#[test]
fn a_folder_gets_its_final_name_only_when_it_is_complete() {
    let sample = sample();
    let target = tempfile::tempdir().unwrap();
    let download = download(&sample.info, &destination(&target, "done")).unwrap();
    let store = Arc::clone(download.store());
    let made = paths_below(target.path());
    let expected = [
        "",
        "/a",
        "/empty",
        "/sub",
        "/sub/big",
        "/sub/deep",
        "/sub/deep/z",
    ];
    assert_eq!(made, expected.map(|path| format!("done.part{path}")));
    let big = target.path().join("done.part/sub/big");
    assert_eq!(big.metadata().unwrap().len(), 1_500_000);
    let blocks: Vec<&[u8]> = sample.bytes.chunks(16 << 10).collect();
    let (later, first) = (&blocks[50..], &blocks[..50]);
    download.write(50 << 14, later).unwrap();
    download.write(0, first).unwrap();
    let open_before = store.spans(0, 1).unwrap().next().unwrap().unwrap();
    let path = finish(download).unwrap();
    assert_eq!(path, target.path().join("done"));
    assert_eq!(
        paths_below(target.path()),
        expected.map(|path| format!("done{path}"))
    );
    // The store reads the renamed files, both those that were open and others.
    assert_eq!(store.path(), path);
    assert_eq!(store.file_path(0), path.join("a"));
    let mut read = vec![0; sample.bytes.len()];
    store.read(0, &mut read).unwrap();
    assert!(read == sample.bytes);
    assert!(matches!(open_before, StoredSpan::File { length: 1, .. }));
    let again = share(&sample.info, &path);
    assert!(again.are_all_unchanged(&store.stamps().unwrap()));
}

#[test]
fn finishing_replaces_nothing_and_refuses_changed_files() {
    let sample = sample();
    let target = tempfile::tempdir().unwrap();
    let open = || download(&sample.info, &destination(&target, "done")).unwrap();
    let (part, done) = (target.path().join("done.part"), target.path().join("done"));
    let makes: [fn(&PathBuf) -> std::io::Result<()>; 2] =
        [|path| fs::write(path, "mine"), |path| fs::create_dir(path)];
    for make in makes {
        let download = open();
        make(&done).unwrap();
        assert!(matches!(finish(download), Err(StoreError::Exists(path)) if path == done));
        assert!(part.join("a").exists());
        let _ = fs::remove_file(&done);
        let _ = fs::remove_dir(&done);
    }
    let file = fs::File::options()
        .write(true)
        .open(part.join("a"))
        .unwrap();
    let download = open();
    file.set_len(3).unwrap();
    assert!(matches!(
        finish(download),
        Err(StoreError::Length { found: 3, .. })
    ));
    file.set_len(100_000).unwrap();
    let moved = target.path().join("moved");
    let replace = || {
        fs::rename(&part, &moved).unwrap();
        fs::create_dir(&part).unwrap();
    };
    let download = open();
    replace();
    assert!(matches!(finish(download), Err(StoreError::Moved(_))));
    fs::remove_dir(&part).unwrap();
    fs::rename(&moved, &part).unwrap();
    // Discarding keeps a folder that has taken the place of the partial folder.
    let download = open();
    replace();
    download.discard().unwrap();
    assert!(part.exists() && !done.exists());
}

#[test]
fn a_replacement_replaces_only_an_entry_of_its_own_kind() {
    let sample = sample();
    let target = tempfile::tempdir().unwrap();
    let (part, done) = (target.path().join("done.part"), target.path().join("done"));
    let destination = destination(&target, "done");
    let open = || {
        let layout = FileLayout::all(Arc::clone(&sample.info));
        open_recorded(
            layout,
            &destination,
            DownloadMode::Replace(ExtraFiles::Remove),
        )
    };
    fs::write(&done, "mine").unwrap();
    assert!(matches!(open(), Err(StoreError::Exists(path)) if path == done));
    assert!(!part.exists());
    fs::remove_file(&done).unwrap();
    fs::create_dir_all(done.join("sub")).unwrap();
    fs::write(done.join("sub/mine"), "mine").unwrap();
    // A cancelled replacement does not change the existing folder.
    open().unwrap().discard().unwrap();
    assert_eq!(
        paths_below(target.path()),
        ["done", "done/sub", "done/sub/mine"]
    );
    // A file that appears under the final name meanwhile is not replaced.
    let download = open().unwrap();
    download.write(0, &[&sample.bytes]).unwrap();
    let aside = target.path().join("aside");
    fs::rename(&done, &aside).unwrap();
    fs::write(&done, "mine").unwrap();
    assert!(matches!(finish(download), Err(StoreError::Exists(path)) if path == done));
    fs::remove_file(&done).unwrap();
    fs::rename(&aside, &done).unwrap();
    let download = open().unwrap();
    let store = Arc::clone(download.store());
    assert_eq!(finish(download).unwrap(), done);
    let whole = share(&sample.info, &done);
    assert!(whole.are_all_unchanged(&store.stamps().unwrap()));
    assert!(!part.exists() && !done.join("sub/mine").exists());
    let mut read = vec![0; sample.bytes.len()];
    store.read(0, &mut read).unwrap();
    assert!(read == sample.bytes);
    // After a crash, the old folder may still be there under the name of the partial folder.
    fs::create_dir_all(part.join("old")).unwrap();
    remove_replaced(&destination, "done.part", None, &ExtraFiles::Remove);
    assert!(!part.exists() && done.exists());
}

#[test]
fn discarding_removes_only_the_files_of_the_download() {
    let sample = sample();
    let target = tempfile::tempdir().unwrap();
    let open = || download(&sample.info, &destination(&target, "done")).unwrap();
    open().discard().unwrap();
    assert_eq!(paths_below(target.path()), Vec::<String>::new());
    let download = open();
    fs::write(target.path().join("done.part/sub/notes"), "mine").unwrap();
    download.discard().unwrap();
    let left = ["done.part", "done.part/sub", "done.part/sub/notes"];
    assert_eq!(paths_below(target.path()), left);
}

#[test]
fn padding_is_not_stored_and_executable_files_get_their_bits() {
    let info = Arc::new(padded());
    let target = tempfile::tempdir().unwrap();
    let download = download(&info, &destination(&target, "p")).unwrap();
    let store = Arc::clone(download.store());
    download.write(0, &[&[1; 10], &[2; 6], &[3; 4]]).unwrap();
    let mut read = [9; 20];
    store.read(0, &mut read).unwrap();
    assert_eq!(
        read,
        [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 3, 3, 3, 3]
    );
    let spans: Vec<StoredSpan> = store.spans(0, 20).unwrap().map(Result::unwrap).collect();
    assert!(matches!(
        spans[..],
        [
            StoredSpan::File { .. },
            StoredSpan::Padding(6),
            StoredSpan::File { .. }
        ]
    ));
    let path = finish(download).unwrap();
    assert_eq!(paths_below(&path), ["run", "text"]);
    let mode = |name: &str| path.join(name).metadata().unwrap().permissions().mode() & 0o111;
    assert!(mode("run") & 0o100 != 0 && mode("text") == 0);
}

#[test]
fn a_download_may_have_more_files_than_can_stay_open() {
    let source = tempfile::tempdir().unwrap();
    let top = source.path().join("many");
    fs::create_dir(&top).unwrap();
    for number in 0..400 {
        fs::write(top.join(format!("{number:03}")), format!("{number:03}")).unwrap();
    }
    let info = info_of(&top);
    let target = tempfile::tempdir().unwrap();
    let download = download(&info, &destination(&target, "many")).unwrap();
    let store = Arc::clone(download.store());
    let all: String = (0..400).map(|number| format!("{number:03}")).collect();
    download.write(0, &[all.as_bytes()]).unwrap();
    let path = finish(download).unwrap();
    let mut read = vec![0; 1_200];
    store.read(0, &mut read).unwrap();
    assert_eq!(read, all.as_bytes());
    assert_eq!(fs::read(path.join("399")).unwrap(), b"399");
}
