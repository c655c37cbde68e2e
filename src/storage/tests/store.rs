//! Reading complete shares, and detecting changed files.

use crate::storage::layout::FileLayout;
use crate::storage::testing::{Sample, sample, share};
use crate::storage::{PathCheck, Store, StoreError, StoredSpan};
use std::fs;
use std::os::unix::fs::{FileExt, symlink};

#[test]
fn bytes_are_read_across_files_and_a_range_outside_the_share_is_refused() {
    let Sample {
        folder,
        info,
        bytes,
    } = sample();
    // Through a symbolic link to the folder, as a user may name it.
    let link = folder.path().join("link");
    symlink("set", &link).unwrap();
    let store = share(&info, &link);
    let total = bytes.len() as u64;
    for (offset, length) in [
        (0, total),
        (99_999, 2),
        (100_000, 1),
        (1_599_990, 20),
        (7, 0),
    ] {
        let expected = &bytes[offset as usize..(offset + length) as usize];
        let mut read = vec![0; length as usize];
        store.read(offset, &mut read).unwrap();
        assert!(read == expected, "{offset}+{length}");
        let mut spanned = Vec::new();
        for span in store.spans(offset, length).unwrap() {
            let StoredSpan::File {
                file,
                offset,
                length,
                ..
            } = span.unwrap()
            else {
                panic!("there is no padding here");
            };
            assert!(length > 0, "an empty span looks like the end of a file");
            let mut part = vec![0; length as usize];
            file.read_exact_at(&mut part, offset).unwrap();
            spanned.extend(part);
        }
        assert!(spanned == expected, "{offset}+{length}");
    }
    for (offset, length) in [(total, 1), (u64::MAX, 1), (0, total + 1)] {
        let outside = store.spans(offset, length).err();
        assert!(matches!(outside, Some(StoreError::Outside { .. })));
    }
}

#[test]
fn a_share_that_differs_from_its_torrent_is_refused_and_the_error_names_the_file() {
    let Sample { folder, info, .. } = sample();
    let top = folder.path().join("set");
    let store = share(&info, &top);
    let stamps = store.stamps().unwrap();
    assert!(stamps.len() == 4 && store.are_all_unchanged(&stamps));
    let (mut in_steps, mut next) = (Vec::new(), Some(0));
    while let Some(start) = next {
        next = store.stamps_from(start, 2, &mut in_steps).unwrap();
        assert!(next.is_none_or(|next| next == start + 2));
    }
    assert!(in_steps == stamps && store.are_wanted_files_the_same(&in_steps));
    assert!(!store.are_wanted_files_the_same(&stamps[1..]));
    let open_error = || {
        let opened = Store::open(FileLayout::all(info.clone()), &top);
        opened.and_then(|store| store.stamps()).unwrap_err()
    };
    let big = fs::File::options()
        .write(true)
        .open(top.join("sub/big"))
        .unwrap();
    big.set_len(1_499_999).unwrap();
    assert!(!store.are_all_unchanged(&stamps));
    let error = open_error();
    assert!(matches!(
        error,
        StoreError::Length {
            found: 1_499_999,
            expected: 1_500_000,
            ..
        }
    ));
    assert!(error.to_string().contains("sub/big"), "{error}");
    let mut buffer = [0; 16];
    let cut = store.read(1_599_990, &mut buffer).unwrap_err();
    assert!(matches!(cut, StoreError::Cut(path) if path == top.join("sub/big")));
    fs::rename(top.join("sub"), folder.path().join("elsewhere")).unwrap();
    symlink(folder.path().join("elsewhere"), top.join("sub")).unwrap();
    assert!(matches!(open_error(), StoreError::Symlink(path) if path == top.join("sub")));
    fs::remove_file(top.join("sub")).unwrap();
    assert!(matches!(open_error(), StoreError::Missing(path) if path == top.join("sub")));
    fs::write(top.join("sub"), "").unwrap();
    assert!(matches!(open_error(), StoreError::NotAFolder(_)));
    fs::remove_dir_all(&top).unwrap();
    assert!(matches!(open_error(), StoreError::Missing(path) if path == top));
}

#[test]
fn a_new_modification_time_is_a_change_and_a_new_inode_alone_is_only_reported() {
    let Sample { folder, info, .. } = sample();
    let path = folder.path().join("set/a");
    let store = share(&info, &folder.path().join("set"));
    let stamps = store.stamps().unwrap();
    let modified = path.metadata().unwrap().modified().unwrap();
    let set_modified = |time| {
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(time).unwrap();
    };
    set_modified(std::time::UNIX_EPOCH);
    assert!(!store.are_all_unchanged(&stamps));
    set_modified(modified);
    assert!(store.are_all_unchanged(&stamps));
    let copy = folder.path().join("copy");
    fs::copy(&path, &copy).unwrap();
    fs::rename(&copy, &path).unwrap();
    set_modified(modified);
    // Only `are_wanted_files_the_same` also compares inode numbers.
    assert!(store.are_all_unchanged(&stamps) && !store.are_wanted_files_the_same(&stamps));
    store.seal(&stamps);
    assert!(store.check_paths(0, usize::MAX).unwrap().has_other_inode);
}

#[test]
fn a_followed_link_that_leads_to_another_file_is_a_change_even_with_the_same_length_and_time() {
    let Sample { folder, info, .. } = sample();
    let top = folder.path().join("set");
    let (link, target) = (top.join("sub/big"), folder.path().join("target"));
    fs::rename(&link, &target).unwrap();
    symlink(&target, &link).unwrap();
    let open = || {
        let layout = FileLayout::all(info.clone()).following_links(true);
        Store::open(layout, &top).unwrap()
    };
    let store = open();
    let stamps = store.stamps().unwrap();
    store.seal(&stamps);
    assert!(matches!(check_both(&store), (Ok(()), Ok(_))));
    let other = folder.path().join("other");
    fs::write(&other, vec![7; 1_500_000]).unwrap();
    let modified = target.metadata().unwrap().modified().unwrap();
    let file = fs::File::options().write(true).open(&other).unwrap();
    file.set_modified(modified).unwrap();
    fs::remove_file(&link).unwrap();
    symlink(&other, &link).unwrap();
    let again = open();
    again.seal(&stamps);
    assert!(!again.are_all_unchanged(&stamps));
    let (spans, paths) = check_both(&again);
    assert!(matches!(spans, Err(StoreError::Changed(path)) if path == link));
    assert!(matches!(paths, Err(StoreError::Changed(path)) if path == link));
    // What is open already is the file that was verified.
    assert!(store.check_paths(0, usize::MAX).is_err());
    fs::remove_file(&link).unwrap();
    symlink(&target, &link).unwrap();
    assert!(matches!(check_both(&open()), (Ok(()), Ok(_))));
}

/// The results of checking all spans, and of checking all paths.
fn check_both(store: &Store) -> (Result<(), StoreError>, Result<Option<usize>, StoreError>) {
    let total = store.info().lengths().total();
    let mut spans = store.spans(0, total).unwrap();
    let spans_checked = spans.try_for_each(|span| store.check_span(&span?));
    (
        spans_checked,
        store.check_paths(0, usize::MAX).map(|found| found.next),
    )
}

#[test]
fn check_span_detects_changed_files_and_check_paths_also_detects_moved_files() {
    let Sample { folder, info, .. } = sample();
    let top = folder.path().join("set");
    let store = share(&info, &top);
    assert!(store.sealed().is_none() && check_both(&store).0.is_ok());
    let stamps = store.stamps().unwrap();
    store.seal(&stamps);
    assert_eq!(store.sealed(), Some(stamps.clone()));
    assert!(matches!(check_both(&store), (Ok(()), Ok(None))));
    assert!(matches!(
        store.check_paths(0, 2),
        Ok(PathCheck { next: Some(2), .. })
    ));
    assert!(matches!(
        store.check_paths(2, 2),
        Ok(PathCheck { next: None, .. })
    ));

    let (big, aside) = (top.join("sub/big"), folder.path().join("aside"));
    fs::rename(&big, &aside).unwrap();
    // The open files are still right.
    let (spans_checked, paths_checked) = check_both(&store);
    assert!(
        spans_checked.is_ok()
            && matches!(paths_checked, Err(StoreError::Missing(path)) if path == big)
    );
    fs::copy(&aside, &big).unwrap();
    let (spans_checked, paths_checked) = check_both(&store);
    assert!(
        spans_checked.is_ok()
            && matches!(paths_checked, Err(StoreError::Changed(path)) if path == big)
    );
    fs::rename(&aside, &big).unwrap();
    assert!(matches!(check_both(&store), (Ok(()), Ok(None))));

    let written = fs::File::options().write(true).open(&big).unwrap();
    written.set_modified(std::time::UNIX_EPOCH).unwrap();
    let (spans_checked, paths_checked) = check_both(&store);
    assert!(matches!(spans_checked, Err(StoreError::Changed(path)) if path == big));
    assert!(matches!(paths_checked, Err(StoreError::Changed(_))));
}
