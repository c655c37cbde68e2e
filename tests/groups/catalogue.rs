//! The catalogue of a group: names, who may take a share off it, the end of the group; and where downloads may go.

use super::team::{entry, join, logged_in, refuses, share, team};
use crate::common::account_tracker::AccountTracker;
use crate::common::peer::{Peer, quoted};
use crate::common::waiting::wait_until;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

const LENGTH: usize = 700_000;

/// nik who owns `lab`, mayank and uma who are members; a file of nik's that he shares as `gift`.
fn scene() -> (AccountTracker, [Peer; 3], PathBuf) {
    let service = AccountTracker::with(&["--interval", "1"]);
    let mut peers = team(&service, ["nik", "mayank", "uma"]);
    let file = service.sandbox.file("gift", LENGTH, 1);
    peers[0].run(&format!("upload_file lab {}", quoted(&file)));
    (service, peers, file)
}

fn names(peer: &mut Peer) -> Vec<String> {
    let listed = peer.run("list_files lab");
    let files = listed["files"].as_array().unwrap();
    let name = |file: &Value| file["name"].as_str().unwrap().to_owned();
    files.iter().map(name).collect()
}

#[test]
fn a_name_is_given_once_and_the_same_content_may_have_several() {
    let (service, [mut nik, mut mayank, _], file) = scene();
    let other = service.sandbox.file("mine/gift", LENGTH, 2);
    refuses(
        &mut mayank,
        &format!("upload_file lab {}", quoted(&other)),
        "share-exists",
        "has a share gift already; rename yours",
    );
    assert!(
        share(&mut mayank, "gift").is_null(),
        "nothing is left of it"
    );
    let copy = service.sandbox.path("again");
    fs::copy(&file, &copy).unwrap();
    mayank.run(&format!("upload_file lab {}", quoted(&copy)));
    assert_eq!(names(&mut nik), ["again", "gift"]);
    // Exactly what the catalogue has: another owner of the same.
    let same = service.sandbox.file("same/gift", LENGTH, 1);
    let uploaded = mayank.run(&format!("upload_file lab {}", quoted(&same)));
    assert_eq!(uploaded["again"], true);
    wait_until("there is no second owner", || {
        entry(&mut nik, "gift")["complete"] == 2
    });
    assert_eq!(entry(&mut nik, "gift")["publisher"], "nik");
    // In another group the name is free.
    mayank.run("create_group own");
    mayank.run(&format!("upload_file own {}", quoted(&other)));
    // Sharing what one shares already changes nothing.
    let uploaded = nik.run(&format!("upload_file lab {}", quoted(&file)));
    assert_eq!(uploaded["again"], true);
    assert_eq!(names(&mut nik), ["again", "gift"]);
}

#[test]
fn a_share_is_stopped_by_who_has_it_and_withdrawn_by_its_publisher_or_the_owner() {
    let (service, [mut nik, mut mayank, mut uma], file) = scene();
    // One who has it ends his own part of it, and nobody else's.
    mayank.run("download_file lab gift");
    mayank.run("wait");
    wait_until("there is no second owner", || {
        entry(&mut uma, "gift")["complete"] == 2
    });
    let stopped = mayank.run("stop_share lab gift");
    assert_eq!(stopped["withdrawn"], false);
    wait_until("it is still an owner", || {
        entry(&mut uma, "gift")["complete"] == 1
    });
    assert!(share(&mut mayank, "gift").is_null());
    assert!(service.sandbox.path("mayank/gift").exists(), "a copy stays");
    refuses(&mut uma, "stop_share lab gift", "not-the-publisher", "gift");
    // Who published it takes it off; what others have stays theirs, and is shared no more.
    let theirs = service.sandbox.file("theirs", LENGTH, 3);
    mayank.run(&format!("upload_file lab {}", quoted(&theirs)));
    uma.run("download_file lab theirs");
    uma.run("wait");
    let stopped = mayank.run("stop_share lab theirs");
    assert_eq!(stopped["withdrawn"], true);
    assert_eq!(names(&mut uma), ["gift"]);
    refuses(
        &mut uma,
        "download_file lab theirs elsewhere",
        "unknown-share",
        "theirs",
    );
    wait_until("it is still shared", || {
        let trouble = share(&mut uma, "theirs")["trouble"].to_string();
        trouble.contains("not shared any more")
    });
    assert_eq!(uma.download("theirs")["state"], "complete");
    // The owner of the group takes off what others published.
    mayank.run(&format!("upload_file lab {}", quoted(&theirs)));
    assert_eq!(nik.run("stop_share lab theirs")["withdrawn"], true);
    wait_until("it is still shared", || {
        let trouble = share(&mut mayank, "theirs")["trouble"].to_string();
        trouble.contains("not shared any more")
    });
    // What is stopped is stopped after a restart too, and can be shared anew.
    nik.run("stop_share lab gift");
    assert_eq!(names(&mut nik), [""; 0]);
    nik.process.kill();
    let mut nik = service.sandbox.debug_peer("nik", &[]);
    assert!(share(&mut nik, "gift").is_null());
    nik.run(&format!("upload_file lab {}", quoted(&file)));
    assert_eq!(names(&mut uma), ["gift"]);
}

#[test]
fn a_group_ends_with_its_last_member_and_its_catalogue_with_it() {
    let (service, [mut nik, mut mayank, mut uma], file) = scene();
    mayank.run("leave_group lab");
    nik.run("leave_group lab");
    // The publisher is gone, the share is not.
    assert_eq!(names(&mut uma), ["gift"]);
    refuses(&mut uma, "leave_group lab", "last-member", "--yes");
    uma.run("leave_group lab --yes");
    for peer in [&mut nik, &mut mayank, &mut uma] {
        refuses(peer, "list_files lab", "unknown-group", "lab");
    }
    wait_until("it is still shared", || {
        let trouble = share(&mut nik, "gift")["trouble"].to_string();
        trouble.contains("not shared any more")
    });
    // A group of the same name is another one.
    let mut eve = logged_in(&service, "eve", &[]);
    eve.run("create_group lab");
    assert_eq!(names(&mut eve), [""; 0]);
    join(&mut eve, &mut nik, "nik");
    assert_eq!(names(&mut nik), [""; 0]);
    nik.run(&format!("upload_file lab {}", quoted(&file)));
    eve.run("download_file lab gift");
    eve.run("wait");
}

#[test]
fn nothing_is_overwritten_unless_it_is_the_same_or_told_so() {
    let (service, [mut nik, mut mayank, mut uma], file) = scene();
    let sent = |nik: &mut Peer| share(nik, "gift")["uploaded"].as_u64().unwrap();
    let content = fs::read(&file).unwrap();
    // The same is kept, and nothing is fetched.
    let copy = service.sandbox.folder("mayank").join("copy");
    fs::write(&copy, &content).unwrap();
    let inode = |path: &PathBuf| {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(path).unwrap().ino()
    };
    let before = inode(&copy);
    mayank.run("download_file lab gift copy");
    mayank.run("wait");
    assert_eq!(mayank.download("gift")["state"], "complete");
    assert_eq!((inode(&copy), sent(&mut nik)), (before, 0));
    wait_until("it is no owner", || {
        entry(&mut nik, "gift")["complete"] == 2
    });
    // Anything else stays, be it as long as the share, a folder, or a link to something.
    let folder = service.sandbox.folder("uma");
    let mut harmed = content.clone();
    harmed[LENGTH - 1] ^= 1;
    fs::write(folder.join("harmed"), &harmed).unwrap();
    fs::write(folder.join("short"), b"mine").unwrap();
    fs::create_dir(folder.join("gift")).unwrap();
    fs::write(folder.join("gift/keep"), b"mine").unwrap();
    fs::create_dir(folder.join("below")).unwrap();
    fs::create_dir(folder.join("below/gift")).unwrap();
    fs::write(folder.join("below/gift/keep"), b"mine").unwrap();
    std::os::unix::fs::symlink("nowhere", folder.join("link")).unwrap();
    for (destination, says) in [
        ("harmed", "--force"),
        ("short", "--force"),
        ("below", "neither replaces the other"),
        ("link", "neither replaces the other"),
    ] {
        let typed = format!("download_file lab gift {destination}");
        refuses(&mut uma, &typed, "exists", says);
    }
    assert!(fs::read(folder.join("harmed")).unwrap() == harmed);
    assert_eq!(fs::read(folder.join("short")).unwrap(), b"mine");
    assert_eq!(fs::read(folder.join("below/gift/keep")).unwrap(), b"mine");
    assert_eq!(
        uma.run("show_downloads")["downloads"],
        serde_json::json!([])
    );
    uma.run("download_file lab gift harmed --force");
    uma.run("wait");
    assert!(fs::read(folder.join("harmed")).unwrap() == content);
    // Twice at once is refused, whatever is said.
    refuses(
        &mut uma,
        "download_file lab gift short --force",
        "already",
        "harmed",
    );
    assert_eq!(fs::read(folder.join("short")).unwrap(), b"mine");
}
