//! What may not be lost, although a new version takes the place of the one that is here: files that
//! a person has written, and what other shares and downloads use.

use super::updates::{OWN, Update, VERSIONS, contents, expected, note_exchange, wait_for_version};
use crate::common::peer::quoted;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

/// A path in the folder of mayank.
fn at(update: &Update, name: &str) -> PathBuf {
    update.tracker.sandbox.path("mayank").join(name)
}

/// Logs nik in, who has the second version. Waits until its download has failed. Returns why.
fn reason_of_failure(update: &mut Update) -> String {
    update.nik.run("login nik\npw of nik");
    let failed = wait_for_version(&mut update.mayank, 2, "failed");
    failed["reason"].as_str().unwrap().to_owned()
}

#[test]
fn a_file_of_no_version_is_not_replaced_by_a_file_of_the_new_version() {
    let mut update = Update::new();
    update.publish(1, "--update");
    update.make(&[("new/file", 10, 9)], "mayank/data");
    let before = update.here();
    let path = at(&update, "data/new/file");
    let (kind, message) = update.mayank.error_of("download_file lab data");
    assert_eq!(kind, "exists");
    assert!(
        message.contains(path.to_str().unwrap()) && message.contains("--force"),
        "{message}"
    );
    assert!(update.here() == before);
    update.mayank.run("download_file lab data --force");
    update.wait_until_complete(2);
    update.assert_has(1);
}

#[test]
fn a_file_of_no_version_that_comes_during_an_update_stops_it() {
    let mut update = Update::new();
    update.begin_and_kill();
    update.make(&[("new/file", 10, 9)], "mayank/data");
    let before = update.here();
    let reason = reason_of_failure(&mut update);
    let path = at(&update, "data/new/file");
    assert!(reason.contains(path.to_str().unwrap()), "{reason}");
    assert!(update.here() == before);
}

#[test]
fn an_update_replaces_no_files_if_the_record_of_the_old_version_is_gone() {
    let mut update = Update::new();
    update.begin_and_kill();
    update.mayank.run("stop_share lab data@1 --here");
    fs::write(at(&update, "data/small"), "mine now").unwrap();
    let before = update.here();
    let reason = reason_of_failure(&mut update);
    let path = at(&update, "data");
    assert!(reason.contains(path.to_str().unwrap()), "{reason}");
    assert!(update.here() == before);
    // The next start does not do it either.
    update.restart(|_| {});
    wait_for_version(&mut update.mayank, 2, "failed");
    assert!(update.here() == before);
}

#[test]
fn an_update_by_another_spelling_of_the_place_sees_local_changes() {
    let mut update = Update::new();
    let link = at(&update, "../link");
    std::os::unix::fs::symlink(at(&update, ""), &link).unwrap();
    update.begin_and_kill();
    let small = at(&update, "data/small");
    let before = small.metadata().unwrap().modified().unwrap();
    fs::write(&small, "mine now").unwrap();
    reason_of_failure(&mut update);
    update.nik.run("logout");
    // The change is taken back.
    assert_eq!(VERSIONS[0][2].0, "small");
    update.make(&VERSIONS[0][2..], "mayank/data");
    let file = fs::File::options().write(true).open(&small).unwrap();
    file.set_modified(before).unwrap();
    let command = format!("download_file lab data {}", quoted(&link));
    update.mayank.run(&command);
    wait_for_version(&mut update.mayank, 2, "downloading");
    fs::write(&small, "mine again").unwrap();
    let here = update.here();
    let reason = reason_of_failure(&mut update);
    assert!(reason.contains("small"), "{reason}");
    assert!(update.here() == here);
}

#[test]
fn nothing_is_shared_from_a_place_that_an_update_will_take() {
    let mut update = Update::new();
    update.begin_and_kill();
    let place = quoted(&at(&update, "data"));
    let inside = quoted(&at(&update, "data/small"));
    for line in [
        format!("upload_file lab {place} --update"),
        format!("send {place} x.torrent"),
        format!("send {inside} x.torrent"),
    ] {
        update
            .mayank
            .assert_refused(&line, "exists", "cancel data@2");
    }
    // The version that is here would go, so it is not reported as here for good.
    let line = "download_file lab data@1";
    update
        .mayank
        .assert_refused(line, "exists", "cancel data@2");
    update.mayank.run("cancel data@2");
    assert_eq!(update.mayank.run(line)["already"], true);
    update.mayank.run(&format!("send {inside} x.torrent"));
}

#[test]
fn a_place_of_shares_of_two_groups_is_not_updated() {
    let mut update = Update::new();
    update.nik.run("create_group two");
    update.mayank.run("join_group two");
    update.nik.run("accept_request two mayank");
    let v0 = quoted(&update.tracker.sandbox.path("v0/data"));
    update.nik.run(&format!("upload_file two {v0}"));
    let folder = quoted(&at(&update, ""));
    let second = format!("download_file two data {folder}");
    let both = update.mayank.run(&second);
    assert_eq!(both["path"], at(&update, "data").to_str().unwrap());
    update.publish(1, "--update");
    let first = "download_file lab data";
    update
        .mayank
        .assert_refused(first, "exists", "belongs to data");
    assert!(update.here() == expected(&[VERSIONS[0], OWN]));
    update.mayank.run("stop_share two data --here");
    update.nik.run("logout");
    update.mayank.run(first);
    wait_for_version(&mut update.mayank, 2, "downloading");
    // The update will replace these files.
    update
        .mayank
        .assert_refused(&second, "exists", "belongs to data");
}

#[test]
fn a_folder_means_the_share_in_it_with_its_own_name() {
    let mut update = Update::new();
    update.mayank.run("stop_share lab data --here");
    fs::create_dir(at(&update, "sub")).unwrap();
    let other = quoted(&at(&update, "sub/other name"));
    let line = format!("download_file lab data --as {other}");
    update.mayank.run(&line);
    wait_for_version(&mut update.mayank, 1, "complete");
    update.publish(1, "--update");
    let folder = quoted(&at(&update, "sub"));
    let line = format!("download_file lab data@2 {folder}");
    let started = update.mayank.run(&line);
    assert_eq!(started["replaces"], Value::Null, "{started}");
    assert_eq!(started["path"], at(&update, "sub/data").to_str().unwrap());
    wait_for_version(&mut update.mayank, 2, "complete");
    let copies = ["sub/other name", "sub/data"].map(|name| contents(&at(&update, name)));
    assert!(copies == [expected(&[VERSIONS[0]]), expected(&[VERSIONS[1]])]);
}

#[test]
fn the_switch_is_recognized_after_a_crash_where_inode_numbers_do_not_last() {
    let mut update = Update::new();
    update.begin_and_kill();
    update.restart(|update| note_exchange(update, false));
    update.wait_until_complete(2);
    update.assert_has(1);
}

#[test]
fn what_was_changed_during_the_switch_is_kept_and_shown() {
    let mut update = Update::new();
    update.begin_and_kill();
    update.restart(|update| {
        note_exchange(update, true);
        fs::write(at(update, "data.part/small"), "mine now").unwrap();
    });
    update.wait_until_complete(2);
    assert!(update.here() == expected(&[VERSIONS[1], OWN]));
    let left = contents(&at(&update, "data.part"));
    assert_eq!(left.len(), 1, "{:?}", left.keys());
    assert_eq!(left["small"], b"mine now");
    for _ in 0..2 {
        let status = update.mayank.run("status");
        let trouble = status["shares"][0]["trouble"].as_str();
        assert!(
            trouble.is_some_and(|it| it.contains("data.part")),
            "{status}"
        );
        // The next start shows it too.
        update.restart(|_| {});
    }
    fs::remove_dir_all(at(&update, "data.part")).unwrap();
    update.assert_has(1);
}

#[test]
fn an_upload_from_a_downloaded_folder_ends_the_version_that_was_there() {
    let mut update = Update::new();
    let nik = update.tracker.sandbox.path("nik");
    update.nik.run("stop_share lab data --here");
    let command = format!("download_file lab data {}", quoted(&nik));
    update.nik.run(&command);
    wait_for_version(&mut update.nik, 1, "complete");
    fs::write(nik.join("data/small"), "more").unwrap();
    let place = quoted(&nik.join("data"));
    let uploaded = update.nik.run(&format!("upload_file lab {place} --update"));
    assert_eq!(uploaded["version"], 2, "{uploaded}");
    let shares = update.nik.run("status")["shares"].take();
    assert_eq!(shares.as_array().unwrap().len(), 1, "{shares}");
    assert_eq!(shares[0]["version"], 2, "{shares}");
}
