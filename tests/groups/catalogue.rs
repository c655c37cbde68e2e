//! The catalogue of a group: names, withdrawal, the end of the group, and the destinations of
//! downloads.

use super::team::{catalogue_entry, join, logged_in_peer, share_in_status, team};
use crate::common::account_tracker::AccountTracker;
use crate::common::peer::{Peer, quoted};
use crate::common::waiting::wait_until;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

const LENGTH: usize = 700_000;

/// The peers of nik, who owns `lab`, and of the members mayank and uma. nik shares a file as
/// `gift`.
fn team_with_gift() -> (AccountTracker, [Peer; 3], PathBuf) {
    let tracker = AccountTracker::with(&["--interval", "1"]);
    let mut peers = team(&tracker, ["nik", "mayank", "uma"]);
    let file = tracker.sandbox.file("gift", LENGTH, 1);
    peers[0].run(&format!("upload_file lab {}", quoted(&file)));
    (tracker, peers, file)
}

fn share_names(peer: &mut Peer) -> Vec<String> {
    let listed = peer.run("list_files lab");
    let files = listed["files"].as_array().unwrap();
    let name = |file: &Value| file["name"].as_str().unwrap().to_owned();
    files.iter().map(name).collect()
}

/// Waits until the peer reports that the group does not share this share any more.
fn wait_until_not_shared(peer: &mut Peer, name: &str) {
    wait_until("the peer reports that the share is withdrawn", || {
        let trouble = share_in_status(peer, name)["trouble"].to_string();
        trouble.contains("not shared any more")
    });
}

#[test]
fn a_name_belongs_to_one_share_and_the_same_content_may_have_several_names() {
    let (tracker, [mut nik, mut mayank, _], file) = team_with_gift();
    let other = tracker.sandbox.file("mine/gift", LENGTH, 2);
    mayank.assert_refused(
        &format!("upload_file lab {}", quoted(&other)),
        "share-exists",
        "already has a share gift; rename yours",
    );
    assert!(
        share_in_status(&mut mayank, "gift").is_null(),
        "the refused share is in status"
    );
    let copy = tracker.sandbox.path("copy");
    fs::copy(&file, &copy).unwrap();
    mayank.run(&format!("upload_file lab {}", quoted(&copy)));
    assert_eq!(share_names(&mut nik), ["copy", "gift"]);
    // The same content under the same name: the peer becomes another seed. The field `again` means
    // that the group already had this share.
    let same = tracker.sandbox.file("same/gift", LENGTH, 1);
    let uploaded = mayank.run(&format!("upload_file lab {}", quoted(&same)));
    assert_eq!(uploaded["again"], true);
    wait_until("the share has a second seed", || {
        catalogue_entry(&mut nik, "gift")["complete"] == 2
    });
    assert_eq!(catalogue_entry(&mut nik, "gift")["publisher"], "nik");
    // The name is free in another group.
    mayank.run("create_group own");
    mayank.run(&format!("upload_file own {}", quoted(&other)));
    // A second upload of the same share changes nothing.
    let uploaded = nik.run(&format!("upload_file lab {}", quoted(&file)));
    assert_eq!(uploaded["again"], true);
    assert_eq!(share_names(&mut nik), ["copy", "gift"]);
}

#[test]
fn stop_share_withdraws_a_share_only_for_its_publisher_and_the_group_owner() {
    let (tracker, [mut nik, mut mayank, mut uma], file) = team_with_gift();
    // If a member who is not the publisher stops a share, only his peer stops serving it.
    mayank.run("download_file lab gift");
    mayank.run("wait");
    wait_until("the share has a second seed", || {
        catalogue_entry(&mut uma, "gift")["complete"] == 2
    });
    let stopped = mayank.run("stop_share lab gift");
    assert_eq!(stopped["withdrawn"], false);
    wait_until("the peer is no longer a seed", || {
        catalogue_entry(&mut uma, "gift")["complete"] == 1
    });
    assert!(share_in_status(&mut mayank, "gift").is_null());
    assert!(tracker.sandbox.path("mayank/gift").exists(), "no copy");
    uma.assert_refused("stop_share lab gift", "not-the-publisher", "gift");
    // The publisher withdraws a share. Copies of other members stay and are no longer served.
    let mayanks_file = tracker.sandbox.file("second", LENGTH, 3);
    mayank.run(&format!("upload_file lab {}", quoted(&mayanks_file)));
    uma.run("download_file lab second");
    uma.run("wait");
    let stopped = mayank.run("stop_share lab second");
    assert_eq!(stopped["withdrawn"], true);
    assert_eq!(share_names(&mut uma), ["gift"]);
    uma.assert_refused(
        "download_file lab second elsewhere",
        "unknown-share",
        "second",
    );
    wait_until_not_shared(&mut uma, "second");
    assert_eq!(uma.shown_download("second")["state"], "complete");
    // The owner of the group withdraws shares of others.
    mayank.run(&format!("upload_file lab {}", quoted(&mayanks_file)));
    assert_eq!(nik.run("stop_share lab second")["withdrawn"], true);
    wait_until_not_shared(&mut mayank, "second");
    // A stopped share is stopped after a restart too, and can be shared again.
    nik.run("stop_share lab gift");
    assert_eq!(share_names(&mut nik), [""; 0]);
    nik.process.kill();
    let mut nik = tracker.sandbox.debug_peer("nik", &[]);
    assert!(share_in_status(&mut nik, "gift").is_null());
    nik.run(&format!("upload_file lab {}", quoted(&file)));
    assert_eq!(share_names(&mut uma), ["gift"]);
}

#[test]
fn a_group_and_its_catalogue_end_with_the_last_member() {
    let (tracker, [mut nik, mut mayank, mut uma], file) = team_with_gift();
    mayank.run("leave_group lab");
    nik.run("leave_group lab");
    // The publisher has left; the share stays.
    assert_eq!(share_names(&mut uma), ["gift"]);
    uma.assert_refused("leave_group lab", "last-member", "--yes");
    uma.run("leave_group lab --yes");
    for peer in [&mut nik, &mut mayank, &mut uma] {
        peer.assert_refused("list_files lab", "unknown-group", "lab");
    }
    wait_until_not_shared(&mut nik, "gift");
    // A new group of the same name is another group, with an empty catalogue.
    let mut eve = logged_in_peer(&tracker, "eve", &[]);
    eve.run("create_group lab");
    assert_eq!(share_names(&mut eve), [""; 0]);
    join(&mut eve, &mut nik, "nik");
    assert_eq!(share_names(&mut nik), [""; 0]);
    nik.run(&format!("upload_file lab {}", quoted(&file)));
    eve.run("download_file lab gift");
    eve.run("wait");
}

#[test]
fn a_file_with_the_same_content_at_the_destination_is_kept_and_nothing_is_fetched() {
    let (tracker, [mut nik, mut mayank, _], file) = team_with_gift();
    let uploaded = |nik: &mut Peer| share_in_status(nik, "gift")["uploaded"].as_u64().unwrap();
    let content = fs::read(&file).unwrap();

    let copy = tracker.sandbox.folder("mayank").join("copy");
    fs::write(&copy, &content).unwrap();
    let inode = |path: &PathBuf| {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(path).unwrap().ino()
    };
    let inode_before = inode(&copy);
    mayank.run("download_file lab gift copy");
    mayank.run("wait");
    assert_eq!(mayank.shown_download("gift")["state"], "complete");
    assert_eq!((inode(&copy), uploaded(&mut nik)), (inode_before, 0));
    wait_until("the peer is a seed", || {
        catalogue_entry(&mut nik, "gift")["complete"] == 2
    });
}

#[test]
fn a_file_of_the_user_with_the_name_of_the_partial_file_stays_as_it_is() {
    let (tracker, [mut nik, mut mayank, _], file) = team_with_gift();
    let folder = tracker.sandbox.folder("mayank");
    let mine = vec![b'm'; LENGTH];
    fs::write(folder.join("gift.part"), &mine).unwrap();
    mayank.run("download_file lab gift");
    mayank.run("wait");
    assert!(fs::read(folder.join("gift")).unwrap() == fs::read(&file).unwrap());
    assert!(fs::read(folder.join("gift.part")).unwrap() == mine);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    // The path still belongs to the finished share while its file is moved away: another download
    // to this path is refused.
    fs::rename(folder.join("gift"), folder.join("moved")).unwrap();
    let another = tracker.sandbox.file("another", LENGTH, 3);
    nik.run(&format!("upload_file lab {}", quoted(&another)));
    mayank.assert_refused(
        "download_file lab another gift",
        "exists",
        "belongs to gift",
    );
}

#[test]
fn files_and_folders_at_the_destination_are_overwritten_only_with_force() {
    let (tracker, [_nik, _, mut uma], file) = team_with_gift();
    let content = fs::read(&file).unwrap();
    // A file with the length of the share, a shorter file, folders, and a symbolic link. In
    // `parent`, a folder has the name of the share.
    let folder = tracker.sandbox.folder("uma");
    let mut damaged = content.clone();
    damaged[LENGTH - 1] ^= 1;
    fs::write(folder.join("damaged"), &damaged).unwrap();
    fs::write(folder.join("short"), b"mine").unwrap();
    fs::create_dir(folder.join("gift")).unwrap();
    fs::write(folder.join("gift/keep"), b"mine").unwrap();
    fs::create_dir(folder.join("parent")).unwrap();
    fs::create_dir(folder.join("parent/gift")).unwrap();
    fs::write(folder.join("parent/gift/keep"), b"mine").unwrap();
    std::os::unix::fs::symlink("nowhere", folder.join("link")).unwrap();
    for (destination, says) in [
        ("damaged", "--force"),
        ("short", "--force"),
        ("parent", "neither replaces the other"),
        ("link", "neither replaces the other"),
    ] {
        let typed = format!("download_file lab gift {destination}");
        uma.assert_refused(&typed, "exists", says);
    }
    assert!(fs::read(folder.join("damaged")).unwrap() == damaged);
    assert_eq!(fs::read(folder.join("short")).unwrap(), b"mine");
    assert_eq!(fs::read(folder.join("parent/gift/keep")).unwrap(), b"mine");
    assert_eq!(
        uma.run("show_downloads")["downloads"],
        serde_json::json!([])
    );
    uma.run("download_file lab gift damaged --force");
    uma.run("wait");
    assert!(fs::read(folder.join("damaged")).unwrap() == content);
    // A second download of the same share is refused even with `--force`.
    uma.assert_refused("download_file lab gift short --force", "already", "damaged");
    assert_eq!(fs::read(folder.join("short")).unwrap(), b"mine");
}
