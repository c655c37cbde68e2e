//! A member whose copy is not what it was: what it sends does not verify, is asked of another, and it is not asked again.

use super::team::{entry, join, logged_in, share};
use crate::common::account_tracker::AccountTracker;
use crate::common::log::wait_for_log_line;
use crate::common::peer::quoted;
use crate::common::waiting::wait_until;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

const LENGTH: usize = 8 << 20;

#[test]
fn a_bad_piece_is_asked_of_another_owner_and_the_liar_not_asked_again() {
    let service = AccountTracker::with(&["--interval", "1"]);
    // Slow enough that nobody would do without the other.
    let mut nik = logged_in(&service, "nik", &["--up", "2M"]);
    nik.run("create_group lab");
    let [mut uma, mut mayank] = ["uma", "mayank"].map(|name| {
        let mut peer = logged_in(&service, name, &[]);
        join(&mut nik, &mut peer, name);
        peer
    });
    let file = service.sandbox.file("gift", LENGTH, 1);
    let same = service.sandbox.file("same/gift", LENGTH, 1);
    nik.run(&format!("upload_file lab {}", quoted(&file)));
    uma.run(&format!("upload_file lab {}", quoted(&same)));
    wait_until("there are not two owners", || {
        entry(&mut mayank, "gift")["complete"] == 2
    });
    // So that its peer does not notice.
    let harmed = File::options().write(true).open(&same).unwrap();
    let time = harmed.metadata().unwrap().modified().unwrap();
    harmed.write_all_at(&vec![0x55; LENGTH], 0).unwrap();
    harmed.set_modified(time).unwrap();
    mayank.run("download_file lab gift copy");
    wait_for_log_line(
        &service.sandbox.log("mayank"),
        &["does not verify; all of it came from one peer"],
    );
    let liar = uma.process.address;
    wait_for_log_line(
        &service.sandbox.log("mayank"),
        &[
            &format!("the link with {liar} ended: piece "),
            "does not verify",
        ],
    );
    wait_until("the liar keeps its link", || {
        share(&mut uma, "gift")["peers"] == 0
    });
    let sent = share(&mut uma, "gift")["uploaded"].clone();
    mayank.run("wait");
    assert!(fs::read(service.sandbox.path("mayank/copy")).unwrap() == fs::read(&file).unwrap());
    let from = &mayank.download("gift")["from"];
    assert_eq!(from[nik.process.address.to_string()], LENGTH, "{from}");
    assert_eq!(share(&mut uma, "gift")["uploaded"], sent, "asked again");
}
