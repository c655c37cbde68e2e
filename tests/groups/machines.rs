//! One user at several machines: each peer shares by itself, and one can stop without the others.

use super::team::{catalogue_entry, share_in_status, team};
use crate::common::account_tracker::AccountTracker;
use crate::common::peer::quoted;
use crate::common::sandbox::bytes;
use crate::common::waiting::wait_until;
use std::fs;

const LENGTH: usize = 300_000;

#[test]
fn a_share_stops_at_one_machine_of_a_user_and_goes_on_at_the_other() {
    let tracker = AccountTracker::new();
    let [mut nik, mut uma] = team(&tracker, ["nik", "uma"]);
    let path = tracker.sandbox.file("gift", LENGTH, 7);
    nik.run(&format!("upload_file lab {}", quoted(&path)));
    // The same user at another machine.
    let mut laptop = tracker.sandbox.peer("laptop");
    laptop.run("login nik\npw of nik");
    laptop.run("download_file lab gift copy");
    laptop.wait_for_state("gift", "complete");
    wait_until("both machines are announced", || {
        catalogue_entry(&mut uma, "gift")["complete"] == 2
    });
    nik.assert_refused("stop_share --here lab nothing", "unknown-share", "nothing");
    let stopped = nik.run("stop_share --here lab gift");
    assert_eq!(stopped["withdrawn"], false, "{stopped}");
    wait_until("one machine goes on", || {
        catalogue_entry(&mut uma, "gift")["complete"] == 1
    });
    // After a restart, the machine still does not share the file, and the file is kept.
    nik.process.close_stdin();
    nik.process.wait();
    let mut nik = tracker.sandbox.peer("nik");
    assert!(share_in_status(&mut nik, "gift").is_null());
    assert!(fs::read(&path).unwrap() == bytes(LENGTH, 7));
    uma.run("download_file lab gift copy");
    uma.wait_for_state("gift", "complete");
    // Without `--here`, the share ends at all machines.
    let stopped = laptop.run("stop_share lab gift");
    assert_eq!(stopped["withdrawn"], true, "{stopped}");
    assert!(catalogue_entry(&mut uma, "gift").is_null());
}

#[test]
fn the_command_in_the_message_about_missing_files_ends_the_share_at_this_machine_only() {
    let tracker = AccountTracker::new();
    let [mut nik] = team(&tracker, ["nik"]);
    let path = tracker.sandbox.file("nik's \"gift\"", LENGTH, 7);
    nik.run(&format!(
        "upload_file lab \"{}\"",
        path.display().to_string().replace('"', "\\\"")
    ));
    let name = "nik's \"gift\"";
    let download = "download_file lab \"nik's \\\"gift\\\"\" copy";
    let mut laptop = tracker.sandbox.peer("laptop");
    laptop.run("login nik\npw of nik");
    laptop.run(download);
    laptop.wait_for_state(name, "complete");
    let refused_cancel = laptop.error_of("cancel \"nik's \\\"gift\\\"\"").1;
    laptop.process.close_stdin();
    laptop.process.wait();
    fs::remove_file(tracker.sandbox.path("laptop/copy")).unwrap();
    let mut laptop = tracker.sandbox.peer("laptop");
    // Both messages name the same command. It is typed as it is shown.
    let (kind, message) = laptop.error_of(download);
    assert_eq!(kind, "storage", "{message}");
    let (_, command) = message.split_once("run ").unwrap();
    let (command, _) = command.split_once(" and download it again").unwrap();
    assert_eq!(
        refused_cancel.split_once("use: ").unwrap().1,
        command,
        "{refused_cancel}"
    );
    assert_eq!(command, "stop_share lab \"nik's \\\"gift\\\"\" --here");
    let stopped = laptop.run(command);
    assert_eq!(stopped["withdrawn"], false, "{stopped}");
    laptop.run(download);
    laptop.wait_for_state(name, "complete");
    // The command also accepts the info-hash in place of the name.
    let hash = laptop.shown_download(name)["info_hash"].clone();
    laptop.run(&format!("stop_share lab {} --here", hash.as_str().unwrap()));
    assert!(!catalogue_entry(&mut nik, name).is_null());
}
