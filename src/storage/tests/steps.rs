//! How a rename to the final name is recovered after a crash has interrupted it.

use crate::storage::rename::replacement_steps;
use crate::storage::testing::{destination, finish, open_recorded, paths_below, sample, share};
use crate::storage::tree::Folder;
use crate::storage::{
    Destination, DownloadMode, ExtraFiles, FileLayout, RecoveredRename, RenameSteps, StoreError,
    recover_rename, remove_replaced,
};
use crate::torrent::Layout;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

const PARTIAL: &str = "x.part";
const ASIDE: &str = "x.part.replaced";

fn set_aside_steps() -> RenameSteps {
    let aside = ASIDE.to_owned();
    RenameSteps::SetAside { aside }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Recovers an interrupted replacement, like the next start of the peer. Returns whether the
/// replacement was undone.
fn recover(place: &Destination) -> bool {
    let recovered = recover_rename(place, PARTIAL, Layout::Folder, &set_aside_steps()).unwrap();
    let undone = recovered == RecoveredRename::Undone;
    if !undone {
        remove_replaced(place, PARTIAL, Some(ASIDE), &ExtraFiles::Keep);
    }
    undone
}

#[test]
fn a_replacement_that_a_crash_interrupts_after_any_step_loses_nothing() {
    let sample = sample();
    let layout = || FileLayout::all(Arc::clone(&sample.info));
    let steps = replacement_steps(PARTIAL, "x", ASIDE);
    let cases = (0..=steps.len()).flat_map(|done| [(done, false), (done, true)]);
    for (steps_done, interrupted_again) in cases {
        let target = tempfile::tempdir().unwrap();
        let (place, whole) = (destination(&target, "x"), target.path().join("x"));
        write(&whole.join("a"), "old");
        write(&whole.join("own/notes"), "mine");
        let before = paths_below(&whole);
        let mode = || DownloadMode::Replace(ExtraFiles::Keep);
        let download = open_recorded(layout(), &place, mode()).unwrap();
        download.write(0, &[&sample.bytes]).unwrap();
        drop(download);
        let parent = Folder::open(target.path()).unwrap();
        for step in &steps[..steps_done] {
            step.run(&parent).unwrap();
        }
        if interrupted_again && steps_done == 2 {
            // The undo puts the folder back in two steps. Here a crash interrupted it after the
            // first one.
            fs::create_dir(&whole).unwrap();
        }
        let undone = recover(&place);
        assert_eq!(undone, steps_done < steps.len(), "{steps_done}");
        if undone {
            // Everything is as before, and the download can be finished.
            assert_eq!(paths_below(&whole), before, "{steps_done}");
            assert_eq!(fs::read(whole.join("a")).unwrap(), b"old");
            let partial_file = target.path().join("x.part/sub/big");
            assert!(partial_file.exists(), "{steps_done}");
            finish(open_recorded(layout(), &place, mode()).unwrap()).unwrap();
        }
        share(&sample.info, &whole);
        assert_eq!(fs::read(whole.join("own/notes")).unwrap(), b"mine");
        let mut leftovers = paths_below(target.path());
        leftovers.retain(|path| path != "x" && !path.starts_with("x/"));
        assert!(leftovers.is_empty(), "{steps_done}: {leftovers:?}");
    }
}

#[test]
fn a_replaced_folder_is_not_put_back_over_something_else() {
    let target = tempfile::tempdir().unwrap();
    let place = destination(&target, "x");
    for file in ["x.part/a", "x.part.replaced/mine", "x/another"] {
        write(&target.path().join(file), file);
    }
    let before = paths_below(target.path());
    let noted = set_aside_steps();
    let refused = recover_rename(&place, PARTIAL, Layout::Folder, &noted).unwrap_err();
    assert!(
        matches!(&refused, StoreError::SetAside { aside, .. } if aside.ends_with(ASIDE)),
        "{refused}"
    );
    assert_eq!(paths_below(target.path()), before);
    // If the disk is not mounted, the folder of the download is empty or does not exist. Then
    // nothing is undone.
    let other = tempfile::tempdir().unwrap();
    let place = destination(&other, "x");
    let recover = || recover_rename(&place, PARTIAL, Layout::Folder, &noted).unwrap();
    assert_eq!(recover(), RecoveredRename::Unknown);
    assert!(paths_below(other.path()).is_empty());
    other.close().unwrap();
    assert_eq!(recover(), RecoveredRename::Unknown);
}

#[test]
fn a_placeholder_or_a_second_name_of_the_file_is_removed_and_other_files_stay() {
    let undo = |place: &Destination, layout| {
        let recovered = recover_rename(place, PARTIAL, layout, &RenameSteps::New);
        recovered.map(|recovered| recovered == RecoveredRename::Undone)
    };
    let target = tempfile::tempdir().unwrap();
    let (place, part) = (destination(&target, "x"), target.path().join(PARTIAL));
    let whole = target.path().join("x");
    fs::write(&part, "data").unwrap();
    fs::write(&whole, "").unwrap();
    assert!(undo(&place, Layout::File).unwrap());
    assert_eq!(paths_below(target.path()), [PARTIAL]);
    // The file has both names. The old name is removed, which completes the rename. The result is
    // `Undone` in this case too.
    fs::hard_link(&part, &whole).unwrap();
    assert!(undo(&place, Layout::File).unwrap());
    assert_eq!(paths_below(target.path()), ["x"]);
    // Another file has the final name. It is not empty, so it is no placeholder.
    fs::write(&part, "data").unwrap();
    assert!(undo(&place, Layout::File).unwrap());
    assert_eq!(paths_below(target.path()), ["x", PARTIAL]);
    fs::remove_file(&whole).unwrap();
    fs::remove_file(&part).unwrap();
    fs::create_dir_all(&part).unwrap();
    fs::create_dir_all(&whole).unwrap();
    assert!(undo(&place, Layout::Folder).unwrap());
    assert_eq!(paths_below(target.path()), [PARTIAL]);
    write(&whole.join("mine"), "mine");
    assert!(undo(&place, Layout::Folder).unwrap());
    assert!(whole.join("mine").exists());
}

#[test]
fn the_noted_inode_number_shows_whether_a_replacement_in_one_call_was_made() {
    for layout in [Layout::File, Layout::Folder] {
        let target = tempfile::tempdir().unwrap();
        let place = destination(&target, "x");
        let (part, whole) = (target.path().join(PARTIAL), target.path().join("x"));
        for path in [&part, &whole] {
            match layout {
                Layout::File => write(path, "x"),
                Layout::Folder => fs::create_dir(path).unwrap(),
            }
        }
        let inode = part.metadata().unwrap().ino();
        let recover = |steps| recover_rename(&place, PARTIAL, layout, &steps).unwrap();
        let replace = RenameSteps::Replace { inode };
        assert_eq!(recover(replace.clone()), RecoveredRename::Undone);
        // Neither entry has the noted inode number, as on a disk where these numbers change.
        let other = RenameSteps::Replace { inode: 0 };
        assert_eq!(recover(other), RecoveredRename::Unknown);
        let aside = target.path().join(ASIDE);
        fs::rename(&whole, &aside).unwrap();
        fs::rename(&part, &whole).unwrap();
        assert_eq!(recover(replace.clone()), RecoveredRename::Done);
        fs::rename(&aside, &part).unwrap();
        assert_eq!(recover(replace.clone()), RecoveredRename::Done);
        assert_eq!(recover(RenameSteps::Done), RecoveredRename::Done);
        assert!(part.exists() && whole.exists());
        // The disk is not mounted.
        target.close().unwrap();
        assert_eq!(recover(replace), RecoveredRename::Unknown);
        assert_eq!(recover(RenameSteps::Done), RecoveredRename::Unknown);
    }
}
