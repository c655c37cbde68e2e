//! Who has the shares of a group: `list_holders`, `wait_for`, and the reports of mirrors.

use super::team::{join, logged_in_peer, second_login, team};
use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::User;
use crate::common::log::wait_for_log_line;
use crate::common::peer::{Peer, quoted};
use crate::common::terminal::Terminal;
use crate::common::waiting::wait_until;
use pieceful::torrent::InfoHash;
use pieceful::wire::PeerId;
use pieceful::wire::access::{
    AccessAnswer, AccessErrorKind, AccessRequest, AnnounceBatch, HolderRequest, SwarmAnnounce,
};
use serde_json::Value;
use std::fs;
use std::num::NonZeroU16;
use std::path::Path;

const LENGTH: usize = 3 << 20;
const HOUR_MS: u64 = 3_600_000;

/// Shares a file called `gift` with `lab`. Returns its info-hash.
fn upload(tracker: &AccountTracker, peer: &mut Peer, length: usize, seed: u64) -> InfoHash {
    let path = tracker.sandbox.file("gift", length, seed);
    let uploaded = peer.run(&format!("upload_file lab {} --update", quoted(&path)));
    uploaded["info_hash"].as_str().unwrap().parse().unwrap()
}

/// The holders in the list of `list_holders` with these arguments.
fn holders(peer: &mut Peer, arguments: &str) -> Vec<Value> {
    let listed = peer.run(&format!("list_holders {arguments}"));
    listed["holders"].as_array().unwrap().clone()
}

/// The holder of `gift` with this user, or null.
fn holder(peer: &mut Peer, user: &str) -> Value {
    let found = holders(peer, "lab gift");
    let mut of_user = found.into_iter().filter(|holder| holder["user"] == user);
    of_user.next().unwrap_or(Value::Null)
}

fn mirroring(user: &mut User, on: bool) {
    let group = "lab".parse().unwrap();
    user.perform(AccessRequest::Holders(HolderRequest::Mirroring {
        group,
        on,
    }));
}

/// Announces, as a peer of this user, that it lacks this number of bytes.
fn announce(user: &mut User, info_hash: InfoHash, left: u64) {
    let announce = SwarmAnnounce {
        info_hash,
        uploaded: 0,
        downloaded: 0,
        left,
        event: None,
    };
    let batch = AnnounceBatch::new(PeerId([7; 20]), NonZeroU16::MIN, vec![announce]);
    let answer = user.ask(AccessRequest::Announce(batch.unwrap()));
    let Ok(AccessAnswer::Peers(peers)) = answer else {
        panic!("{answer:?}")
    };
    assert!(peers.swarms[0].is_ok());
}

#[test]
fn a_list_shows_who_has_how_much_and_a_killed_machine_is_marked() {
    let tracker = AccountTracker::with(&["--interval", "1"]);
    let mut nik = logged_in_peer(&tracker, "nik", &[]);
    nik.run("create_group lab");
    let mut ann = logged_in_peer(&tracker, "ann", &[]);
    let mut eve = logged_in_peer(&tracker, "eve", &["--down", "100K"]);
    for (peer, name) in [(&mut ann, "ann"), (&mut eve, "eve")] {
        join(&mut nik, peer, name);
    }
    let info_hash = upload(&tracker, &mut nik, LENGTH, 5);
    ann.run("download_file lab gift");
    ann.run("wait");
    // It takes about half a minute.
    eve.run("download_file lab gift");
    let mut partial = Value::Null;
    wait_until("eve has a part and a rate", || {
        partial = holder(&mut ann, "eve");
        partial["percent"].as_u64() > Some(0) && partial["rate"].as_u64() > Some(0)
    });
    assert!(partial["percent"].as_u64() < Some(100), "{partial}");
    assert_eq!(partial["complete"], false);
    assert_eq!(partial["here"], false);
    assert_eq!(partial["info_hash"], info_hash.to_string());
    assert_eq!(
        (&partial["name"], &partial["version"]),
        (&"gift@1".into(), &1.into())
    );
    let own = holder(&mut ann, "ann");
    assert_eq!(
        (&own["complete"], &own["percent"]),
        (&true.into(), &100.into())
    );
    assert_eq!(
        (&own["here"], &own["stale"], &own["rate"]),
        (&true.into(), &false.into(), &0.into())
    );
    assert_eq!(
        own["host"],
        holder(&mut ann, "nik")["host"],
        "the tests run on one host"
    );
    assert!(own["host"].is_string(), "{own}");
    assert_eq!(holders(&mut ann, "lab").len(), 3, "of all shares");
    assert_eq!(holders(&mut ann, "lab gift@1").len(), 3, "of one version");

    nik.kill();
    wait_until("nik is silent for too long", || {
        holder(&mut ann, "nik")["stale"] == true
    });
    let silent = holder(&mut ann, "nik");
    assert_eq!(silent["complete"], true, "its files are still there");
    assert!(silent["silent"].as_u64() >= Some(2), "{silent}");
    assert_eq!(holder(&mut ann, "ann")["stale"], false);

    eve.end();
    assert_eq!(
        holder(&mut ann, "eve"),
        Value::Null,
        "a peer that ends leaves the list"
    );
}

#[test]
fn only_members_see_who_has_what() {
    let tracker = AccountTracker::with(&["--interval", "1"]);
    let [mut nik, mut ann] = team(&tracker, ["nik", "ann"]);
    let mut zoe = logged_in_peer(&tracker, "zoe", &[]);
    zoe.run("create_group other");
    let info_hash = upload(&tracker, &mut nik, 100, 5);
    wait_until("nik is listed", || !holder(&mut ann, "nik").is_null());
    for command in [
        "list_holders lab",
        "list_holders lab gift",
        "wait_for lab gift --on 1",
    ] {
        zoe.assert_refused(command, "not-a-member", "lab");
    }
    assert!(holders(&mut zoe, "other").is_empty());
    let mut stranger = second_login(&tracker, "zoe");
    let group = || "lab".parse().unwrap();
    for request in [
        HolderRequest::Mirroring {
            group: group(),
            on: true,
        },
        HolderRequest::Mirrors {
            group: group(),
            after: None,
        },
    ] {
        let refused = stranger.ask(AccessRequest::Holders(request)).unwrap_err();
        assert_eq!(refused.kind, AccessErrorKind::NotAMember);
    }
    // A former member is not shown any more, also while his entry is in the table.
    let mut member = second_login(&tracker, "ann");
    mirroring(&mut member, true);
    announce(&mut member, info_hash, 0);
    wait_until("ann is listed", || !holder(&mut nik, "ann").is_null());
    nik.run("remove_member lab ann");
    assert!(holder(&mut nik, "ann").is_null());
    nik.assert_refused("wait_for lab gift --on all 1", "no-mirror", "--on N");
}

#[test]
fn a_wait_ends_when_the_machines_have_the_version_and_not_before() {
    let tracker = AccountTracker::with(&["--interval", "600"]);
    let mut nik = logged_in_peer(&tracker, "nik", &[]);
    nik.run("create_group lab");
    let mut ann = logged_in_peer(&tracker, "ann", &["--down", "1M"]);
    join(&mut nik, &mut ann, "ann");
    upload(&tracker, &mut nik, LENGTH, 5);
    let one = nik.run("wait_for lab gift --on 1");
    assert_eq!(
        (&one["name"], &one["version"]),
        (&"gift@1".into(), &1.into())
    );
    assert_eq!(
        one["holders"][0]["here"], true,
        "the waiting machine counts"
    );
    nik.assert_refused(
        "wait_for lab gift --on 2 0.2",
        "not-complete",
        "1 of 2 machines have it",
    );
    ann.run("download_file lab gift copy");
    // The download takes three seconds. It announces its end at once, not after the interval.
    let both = nik.run("wait_for lab gift --on 2 15");
    assert_eq!(both["holders"].as_array().unwrap().len(), 2);
    assert_eq!(ann.shown_download("gift")["state"], "complete");
    let copy = fs::read(tracker.sandbox.path("ann/copy")).unwrap();
    assert!(copy == fs::read(tracker.sandbox.path("gift")).unwrap());

    // A machine that jumps from version 1 to version 3 counts.
    let mut other = second_login(&tracker, "nik");
    ann.process.write_line("wait_for lab gift --on 3");
    wait_for_log_line(&ann.log, &["wait_for", "gift@1: 2 of 3"]);
    upload(&tracker, &mut nik, 200, 6);
    let third = upload(&tracker, &mut nik, 300, 7);
    announce(&mut other, third, 0);
    let line: Value = serde_json::from_str(&ann.process.line()).unwrap();
    assert_eq!(line["ok"], true, "{line}");
    assert_eq!(line["version"], 1, "the version at the begin");
    nik.assert_refused("wait_for lab gift@1 --on 3 0.1", "not-complete", "gift@1");
}

#[test]
fn a_wait_for_a_version_that_is_withdrawn_meanwhile_says_so() {
    let tracker = AccountTracker::with(&["--interval", "1"]);
    let [mut nik, mut ann] = team(&tracker, ["nik", "ann"]);
    upload(&tracker, &mut nik, 100, 5);
    for name in ["gift", "gift@1"] {
        ann.assert_refused(
            &format!("wait_for lab {name} --on 3 0.1"),
            "not-complete",
            "of 3",
        );
    }
    ann.process.write_line("wait_for lab gift --on 2");
    wait_for_log_line(&ann.log, &["gift@1", "of 2 machines"]);
    nik.run("stop_share lab gift");
    let line: Value = serde_json::from_str(&ann.process.line()).unwrap();
    assert_eq!(line["error"]["kind"], "withdrawn", "{line}");
    ann.assert_refused("wait_for lab gift --on 2", "unknown-share", "gift");
}

#[test]
fn a_terminal_shows_who_is_missing_and_ctrl_c_ends_the_wait() {
    let tracker = AccountTracker::with(&["--interval", "1"]);
    let [mut nik, ann] = team(&tracker, ["nik", "ann"]);
    upload(&tracker, &mut nik, 100, 5);
    ann.end();
    let mut terminal = Terminal::peer(&tracker.sandbox, "ann");
    terminal.wait_for_text("pieceful> ");
    terminal.press("wait_for lab gift --on 2\r");
    terminal.wait_for_text("gift@1: 1 of 2 machines have it");
    terminal.press("\x03");
    terminal.wait_for_text("error: wait_for: stopped before it was done");
    terminal.wait_for_text("pieceful> ");
    let listed = terminal.type_line("list_holders lab");
    assert!(listed.contains("(nik)  100%  seen "), "{listed}");
}

/// Changes the time at which the tracker has seen the only mirror in its file: so much earlier.
fn age_mirror(folder: &Path, by_ms: u64) {
    let path = folder.join("mirrors");
    let mut bytes = fs::read(&path).unwrap();
    let key = b"5:table65:";
    let at = bytes.windows(key.len()).position(|part| part == key);
    let end = at.expect("one mirror") + key.len() + 65;
    for last in [end - 8, end] {
        let time = bytes[last - 8..last].try_into().map(u64::from_be_bytes);
        let earlier = time.unwrap() - by_ms;
        bytes[last - 8..last].copy_from_slice(&earlier.to_be_bytes());
    }
    fs::write(&path, bytes).unwrap();
}

#[test]
fn all_mirrors_that_were_seen_lately_are_waited_for_also_after_a_restart_of_the_tracker() {
    let tracker = AccountTracker::with(&["--interval", "1"]);
    let [mut nik, ann] = team(&tracker, ["nik", "ann"]);
    let info_hash = upload(&tracker, &mut nik, 100, 5);
    nik.assert_refused("wait_for lab gift", "no-mirror", "--on N");
    let mut mirror = second_login(&tracker, "ann");
    mirroring(&mut mirror, true);
    announce(&mut mirror, info_hash, 60);
    nik.assert_refused(
        "wait_for lab gift 0.1",
        "not-complete",
        "not complete: ann 40%",
    );
    assert_eq!(holder(&mut nik, "ann")["mirrors"], true);
    assert_eq!(holder(&mut nik, "nik")["mirrors"], false);
    announce(&mut mirror, info_hash, 0);
    let done = nik.run("wait_for lab gift --on all");
    assert_eq!(
        done["holders"].as_array().unwrap().len(),
        1,
        "nik is no mirror: {done}"
    );
    assert_eq!(done["holders"][0]["user"], "ann");

    // The tracker forgets who has what, but not who mirrors.
    drop(ann);
    let token = mirror.token.clone();
    drop(mirror);
    let (sandbox, _) = tracker.stop_and_dump();
    age_mirror(&sandbox.path("data"), HOUR_MS + 1_000);
    let tracker = AccountTracker::with_data(sandbox, &["--interval", "1"]);
    wait_until("nik announces again", || !holder(&mut nik, "nik").is_null());
    nik.assert_refused("wait_for lab gift", "no-mirror", "ann, last seen 1h 0m ago");
    nik.assert_refused(
        "wait_for lab gift 0.1 --strict",
        "not-complete",
        "ann nothing",
    );
    // Another mirror is waited for, and the first one is named.
    let mut other = second_login(&tracker, "nik");
    mirroring(&mut other, true);
    announce(&mut other, info_hash, 0);
    let done = nik.run("wait_for lab gift");
    assert_eq!(done["left_out"][0]["user"], "ann", "{done}");
    mirroring(&mut other, false);
    nik.assert_refused("wait_for lab gift", "no-mirror", "ann");
    // The first one announces again, so it is seen.
    let mut mirror = User {
        name: "ann".into(),
        token,
        connection: tracker.connect(),
    };
    announce(&mut mirror, info_hash, 0);
    let done = nik.run("wait_for lab gift");
    assert_eq!(done["holders"][0]["user"], "ann", "{done}");
}
