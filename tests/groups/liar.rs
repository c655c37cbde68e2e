//! A member whose copy is damaged: its pieces do not verify, another seed sends them, and the
//! member is not asked again, not even at another address.

use super::team::{catalogue_entry, join, logged_in_peer, share_in_status};
use crate::common::account_tracker::AccountTracker;
use crate::common::log::wait_for_log_line;
use crate::common::peer::quoted;
use crate::common::waiting::wait_until;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

const LENGTH: usize = 8 << 20;

/// Changes all bytes of a file. Its length and modification time stay the same, so that the peer
/// that shares the file does not notice the damage.
fn damage_unnoticed(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    let time = file.metadata().unwrap().modified().unwrap();
    file.write_all_at(&vec![0x55; LENGTH], 0).unwrap();
    file.set_modified(time).unwrap();
}

#[test]
fn a_bad_piece_is_fetched_again_from_another_seed_and_the_liar_is_not_asked_again() {
    let tracker = AccountTracker::with(&["--interval", "1"]);
    // nik is so slow that the download needs both seeds, and that it lasts until the liar is back.
    let mut nik = logged_in_peer(&tracker, "nik", &["--up", "1M"]);
    nik.run("create_group lab");
    let [mut uma, mut mayank] = ["uma", "mayank"].map(|name| {
        let mut peer = logged_in_peer(&tracker, name, &[]);
        join(&mut nik, &mut peer, name);
        peer
    });
    let file = tracker.sandbox.file("gift", LENGTH, 1);
    let umas_file = tracker.sandbox.file("same/gift", LENGTH, 1);
    nik.run(&format!("upload_file lab {}", quoted(&file)));
    uma.run(&format!("upload_file lab {}", quoted(&umas_file)));
    wait_until("the share has two seeds", || {
        catalogue_entry(&mut mayank, "gift")["complete"] == 2
    });
    damage_unnoticed(&umas_file);
    mayank.run("download_file lab gift copy");
    wait_for_log_line(
        &tracker.sandbox.log("mayank"),
        &["does not verify; all of it came from one peer"],
    );
    let liar = uma.process.address;
    wait_for_log_line(
        &tracker.sandbox.log("mayank"),
        &[
            &format!("the link with {liar} ended: piece "),
            "does not verify",
        ],
    );
    wait_until("the liar has no link", || {
        share_in_status(&mut uma, "gift")["peers"] == 0
    });
    uma.end();
    // uma is back at another port.
    let mut uma = tracker.sandbox.debug_peer("uma", &[]);
    assert_ne!(uma.process.address, liar);
    wait_for_log_line(
        &tracker.sandbox.log("mayank"),
        &[&uma.process.address.to_string(), "barred for bad data"],
    );
    let uploaded_by_liar = share_in_status(&mut uma, "gift")["uploaded"].clone();
    mayank.run("wait");
    assert!(fs::read(tracker.sandbox.path("mayank/copy")).unwrap() == fs::read(&file).unwrap());
    let bytes_by_source = &mayank.shown_download("gift")["from"];
    assert_eq!(
        bytes_by_source[nik.process.address.to_string()],
        LENGTH,
        "{bytes_by_source}"
    );
    assert_eq!(
        share_in_status(&mut uma, "gift")["uploaded"],
        uploaded_by_liar,
        "the liar was asked again"
    );
}
