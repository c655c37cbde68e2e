//! Shares of groups keep the modification times of their files and leave out empty folders. The
//! name of a share is checked before its files are hashed.

use super::team::team;
use crate::common::account_tracker::AccountTracker;
use crate::common::peer::quoted;
use serde_json::json;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn set_time(path: &Path, seconds: u64) -> SystemTime {
    let time = UNIX_EPOCH + Duration::new(seconds, 123_456_789);
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(time).unwrap();
    time
}

fn time_of(path: &Path) -> SystemTime {
    path.metadata().unwrap().modified().unwrap()
}

#[test]
fn modification_times_pass_from_member_to_member() {
    let tracker = AccountTracker::with(&["--interval", "1"]);
    let sandbox = &tracker.sandbox;
    let [mut nik, mut mayank, mut vera] = team(&tracker, ["nik", "mayank", "vera"]);
    let names = ["set/a", "set/sub/b"];
    let files = names.map(|name| sandbox.file(name, 100_000, 1));
    let times = [
        set_time(&files[0], 1_000_000),
        set_time(&files[1], 2_000_000),
    ];
    let set = quoted(&sandbox.path("set"));
    let shared = nik.run(&format!("upload_file lab {set}"));
    mayank.run("download_file lab set");
    mayank.run("wait 60");
    // The state folder keeps the times. So mayank's peer sends them to vera's peer after a restart.
    mayank.end();
    nik.end();
    let mut mayank = sandbox.debug_peer("mayank", &[]);
    vera.run("download_file lab set");
    vera.run("wait 60");
    for member in ["mayank", "vera"] {
        for (name, time) in names.iter().zip(times) {
            let copy = sandbox.path(member).join(name);
            assert_eq!(time_of(&copy), time, "{}", copy.display());
        }
    }
    let log = fs::read_to_string(&mayank.log).unwrap();
    assert!(!log.contains("checking it"), "{log}");
    // Equal content is the same share, whatever its times are.
    set_time(&sandbox.path("mayank/set/a"), 7);
    fs::rename(
        sandbox.path("mayank/set"),
        sandbox.folder("new").join("set"),
    )
    .unwrap();
    mayank.run("stop_share lab set");
    let again = mayank.run(&format!(
        "upload_file lab {}",
        quoted(&sandbox.path("new/set"))
    ));
    assert_eq!(
        (&again["again"], &again["info_hash"]),
        (&json!(true), &shared["info_hash"])
    );
}

#[test]
fn a_share_name_that_is_taken_is_refused_before_the_hashing() {
    let tracker = AccountTracker::with(&["--interval", "1"]);
    let sandbox = &tracker.sandbox;
    let [mut nik] = team(&tracker, ["nik"]);
    sandbox.file("set/a", 1_000, 1);
    sandbox.folder("set/logs");
    let set = quoted(&sandbox.path("set"));
    let shared = nik.run(&format!("upload_file lab {set}"));
    assert_eq!(shared["empty_folders"], json!(["logs"]));
    // Hashing this file fails: its length is 4,096 bytes, but fewer bytes can be read.
    let unreadable = Path::new("/sys/class/net/lo/mtu");
    sandbox.file("mtu", 10, 1);
    nik.run(&format!("upload_file lab {}", quoted(&sandbox.path("mtu"))));
    let upload = format!("upload_file lab {}", quoted(unreadable));
    nik.assert_refused(&upload, "share-exists", "lab already has a share mtu");
}
