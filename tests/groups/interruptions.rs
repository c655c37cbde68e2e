//! Interrupted downloads: logouts, restarts and kills. The download completes, and verified pieces
//! are not fetched again.

use super::fake_member::{FakeLeech, call_tls, certify};
use super::team::{join, logged_in_peer, second_login, share_in_status, team};
use crate::common::account_tracker::AccountTracker;
use crate::common::log::wait_for_log_line;
use crate::common::peer::{Peer, quoted};
use crate::common::sandbox::bytes;
use crate::common::waiting::wait_until;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

const PIECE: usize = 512 << 10;
const LENGTH: usize = 6 << 20;

/// nik shares `gift`, and mayank has downloaded a part of it.
struct RunningDownload {
    tracker: AccountTracker,
    nik: Peer,
    mayank: Peer,
    file: PathBuf,
}

fn start_download() -> RunningDownload {
    let tracker = AccountTracker::with(&["--interval", "1"]);
    let mut nik = logged_in_peer(&tracker, "nik", &[]);
    nik.run("create_group lab");
    let mut mayank = logged_in_peer(&tracker, "mayank", &["--down", "2M"]);
    join(&mut nik, &mut mayank, "mayank");
    let file = tracker.sandbox.file("gift", LENGTH, 5);
    nik.run(&format!("upload_file lab {}", quoted(&file)));
    mayank.run("download_file lab gift copy");
    mayank.wait_for_download("gift", |download| {
        number(download, "bytes_done") >= 2 * PIECE as u64
    });
    RunningDownload {
        tracker,
        nik,
        mayank,
        file,
    }
}

fn number(object: &Value, key: &str) -> u64 {
    object[key].as_u64().unwrap_or_else(|| panic!("{object}"))
}

fn uploaded(peer: &mut Peer) -> u64 {
    number(&share_in_status(peer, "gift"), "uploaded")
}

/// Waits until neither peer has a link, and until no piece is being verified. Returns the bytes
/// that `nik` has sent and those that `mayank` has.
fn wait_until_at_rest(nik: &mut Peer, mayank: &mut Peer) -> (u64, u64) {
    for peer in [&mut *nik, &mut *mayank] {
        wait_until("all links have ended", || peer.run("status")["links"] == 0);
    }
    let mut previous = None;
    // Complete pieces may still be in verification.
    wait_until("the download stops", || {
        let done = number(&mayank.shown_download("gift"), "bytes_done");
        previous.replace(done) == Some(done)
    });
    (uploaded(nik), previous.unwrap())
}

/// Waits for the end of the download. Asserts that the copy is right, and that the bytes of all
/// sources add up.
fn assert_completes(tracker: &AccountTracker, mayank: &mut Peer, file: &Path) -> Value {
    mayank.run("wait");
    let copy = tracker.sandbox.path("mayank/copy");
    assert!(fs::read(copy).unwrap() == fs::read(file).unwrap());
    let download = mayank.shown_download("gift");
    let from = download["from"].as_object().unwrap();
    let sum: u64 = from.values().map(|bytes| bytes.as_u64().unwrap()).sum();
    assert_eq!(sum, LENGTH as u64, "{download}");
    download
}

#[test]
fn a_logout_of_either_side_suspends_a_download_until_the_next_login() {
    let mut running = start_download();
    let (nik, mayank) = (&mut running.nik, &mut running.mayank);
    mayank.run("logout");
    let (sent_at_first_logout, done_at_first_logout) = wait_until_at_rest(nik, mayank);
    assert!(
        done_at_first_logout < LENGTH as u64,
        "the download is complete already"
    );
    wait_until("the trouble names the missing login", || {
        mayank.shown_download("gift")["trouble"] == "suspended until mayank is logged in here"
    });
    mayank.run("login mayank\npw of mayank");
    mayank.wait_for_download("gift", |download| {
        number(download, "bytes_done") >= done_at_first_logout + PIECE as u64
    });
    // A logout of the seed suspends its share.
    nik.run("logout");
    let (sent_at_second_logout, done_at_second_logout) = wait_until_at_rest(nik, mayank);
    assert!(
        done_at_second_logout < LENGTH as u64,
        "the download is complete already"
    );
    wait_until("the trouble names the missing login", || {
        share_in_status(nik, "gift")["trouble"]
            .to_string()
            .contains("suspended until nik")
    });
    nik.run("login nik\npw of nik");
    assert_completes(&running.tracker, mayank, &running.file);
    let sent_later = uploaded(nik) - sent_at_second_logout;
    assert!(
        sent_later <= LENGTH as u64 - done_at_second_logout,
        "pieces were fetched twice"
    );
    assert!(
        sent_at_second_logout - sent_at_first_logout
            >= done_at_second_logout - done_at_first_logout
    );
}

#[test]
fn another_user_at_the_same_peer_neither_serves_nor_continues_the_download() {
    let mut running = start_download();
    let mayank = &mut running.mayank;
    mayank.run("logout");
    mayank.run("create_user uma\npw of uma");
    mayank.run("login uma\npw of uma");
    let (_, done) = wait_until_at_rest(&mut running.nik, mayank);
    wait_until("the download is suspended", || {
        mayank.shown_download("gift")["trouble"] == "suspended until mayank is logged in here"
    });
    assert_eq!(number(&mayank.shown_download("gift"), "bytes_done"), done);
    mayank.run("logout");
    mayank.run("login mayank\npw of mayank");
    assert_completes(&running.tracker, mayank, &running.file);
}

#[test]
fn a_restart_of_the_leech_keeps_verified_pieces() {
    let mut running = start_download();
    let before = number(&running.mayank.shown_download("gift"), "bytes_done");
    running.mayank.process.kill();
    wait_until("all links have ended", || {
        running.nik.run("status")["links"] == 0
    });
    let sent = uploaded(&mut running.nik);
    let mut mayank = running.tracker.sandbox.debug_peer("mayank", &[]);
    let download = assert_completes(&running.tracker, &mut mayank, &running.file);
    let from_disk = number(&download["from"], "disk");
    assert!(from_disk >= before, "{download}");
    let sent_later = uploaded(&mut running.nik) - sent;
    assert!(
        sent_later <= LENGTH as u64 - from_disk,
        "pieces were fetched twice"
    );
}

#[test]
fn a_download_waits_for_the_restart_of_its_only_seed() {
    let mut running = start_download();
    running.nik.process.kill();
    let mayank = &mut running.mayank;
    wait_until("all links have ended", || {
        mayank.run("status")["links"] == 0
    });
    let mut done = 0;
    wait_until("the download stops", || {
        let now = number(&mayank.shown_download("gift"), "bytes_done");
        std::mem::replace(&mut done, now) == now
    });
    assert!(done < LENGTH as u64, "the download is complete already");
    let mut nik = running.tracker.sandbox.debug_peer("nik", &[]);
    assert_completes(&running.tracker, mayank, &running.file);
    let sent_later = uploaded(&mut nik);
    assert!(
        sent_later <= LENGTH as u64 - done,
        "pieces were fetched twice"
    );
}

#[test]
fn a_restart_of_the_tracker_does_not_disturb_a_download() {
    let mut running = start_download();
    let sandbox = running.tracker.kill();
    let tracker = AccountTracker::with_data(sandbox, &["--interval", "1"]);
    // A new member finds the present seeds.
    let mut uma = logged_in_peer(&tracker, "uma", &[]);
    join(&mut running.nik, &mut uma, "uma");
    uma.run("download_file lab gift");
    uma.run("wait");
    assert_completes(&tracker, &mut running.mayank, &running.file);
    assert!(
        fs::read(tracker.sandbox.path("uma/gift")).unwrap() == fs::read(&running.file).unwrap()
    );
    // The restart did not end the link. A link may end only because there is nothing to fetch.
    let log = fs::read_to_string(tracker.sandbox.log("nik")).unwrap();
    let ended = format!("the link with {} ended", running.mayank.process.address);
    let early = log.lines().filter(|line| line.contains(&ended));
    let early: Vec<&str> = early
        .filter(|line| !line.contains("neither side fetches anything"))
        .collect();
    assert!(early.is_empty(), "{early:?}");
}

#[test]
fn the_download_of_a_removed_member_fails_with_the_reason() {
    let mut running = start_download();
    running.nik.run("remove_member lab mayank");
    let mut failed = Value::Null;
    wait_until("the download stops", || {
        failed = running.mayank.shown_download("gift");
        failed["state"] == "failed"
    });
    let reason = failed["reason"].as_str().unwrap();
    assert!(
        reason.contains("lab") && reason.contains("no group of yours has this share any more"),
        "{reason}"
    );
    let object = running.mayank.try_run("wait");
    assert_eq!(object["error"]["kind"], "download-failed", "{object}");
    wait_for_log_line(
        &running.tracker.sandbox.log("mayank"),
        &["gift: stopped: ", "lab"],
    );
    assert!(!running.tracker.sandbox.path("mayank/copy").exists());
    // After mayank is accepted again, the download goes on with its verified pieces.
    let done = number(&failed, "bytes_done");
    join(&mut running.nik, &mut running.mayank, "mayank");
    running.mayank.run("download_file lab gift copy");
    let download = assert_completes(&running.tracker, &mut running.mayank, &running.file);
    assert!(number(&download["from"], "disk") >= done, "{download}");
}

/// For each piece of `content`, whether the partial file has it.
fn owned_pieces(part: &Path, content: &[u8]) -> Vec<bool> {
    let part = fs::read(part).unwrap_or_default();
    let chunks = content.chunks(PIECE).enumerate();
    chunks
        .map(|(at, piece)| part.get(at * PIECE..at * PIECE + piece.len()) == Some(piece))
        .collect()
}

/// Whether the copies (or their partial files) together have every piece of `content`.
fn have_all_pieces(copies: &[PathBuf], content: &[u8]) -> bool {
    let mut owned_together = vec![false; content.len().div_ceil(PIECE)];
    for copy in copies {
        let owned = match copy.exists() {
            true => vec![true; owned_together.len()],
            false => owned_pieces(&copy.with_extension("part"), content),
        };
        owned_together
            .iter_mut()
            .zip(owned)
            .for_each(|(a, b)| *a |= b);
    }
    owned_together.iter().all(|piece| *piece)
}

#[test]
fn four_members_complete_although_the_seed_is_killed_after_one_and_a_half_copies() {
    let length = 4 * LENGTH;
    let content = bytes(length, 5);
    let tracker = AccountTracker::with(&["--interval", "1"]);
    let mut nik = logged_in_peer(&tracker, "nik", &["--up", "12M"]);
    nik.run("create_group lab");
    let file = tracker.sandbox.file("gift", length, 5);
    nik.run(&format!("upload_file lab {}", quoted(&file)));
    let names = ["anna", "bert", "carl", "dora"];
    let mut members = names.map(|name| {
        let mut peer = logged_in_peer(&tracker, name, &["--up", "2M"]);
        join(&mut nik, &mut peer, name);
        peer
    });
    for member in &mut members {
        member.run("download_file lab gift");
    }
    let copies = names.map(|name| tracker.sandbox.path(&format!("{name}/gift")));
    // The members need the seed until they together have every piece.
    wait_until("the members together have every piece", || {
        uploaded(&mut nik) >= length as u64 * 3 / 2 && have_all_pieces(&copies, &content)
    });
    nik.process.kill();
    let is_running = |member: &mut Peer| member.shown_download("gift")["state"] == "downloading";
    assert!(
        members.iter_mut().all(is_running),
        "a member is complete already"
    );
    for ((member, copy), name) in members.iter_mut().zip(&copies).zip(names) {
        member.run("wait");
        assert!(fs::read(copy).unwrap() == content, "{name}");
    }
}

#[test]
fn a_group_share_is_served_after_a_kill_only_if_its_user_is_logged_in() {
    let tracker = AccountTracker::with(&["--interval", "1"]);
    let [mut nik, mut mayank] = team(&tracker, ["nik", "mayank"]);
    let file = tracker.sandbox.file("gift", PIECE, 5);
    let share = nik.run(&format!("upload_file lab {}", quoted(&file)));
    let info_hash = share["info_hash"].as_str().unwrap();
    nik.run("logout");
    nik.process.kill();
    let mut nik = tracker.sandbox.debug_peer("nik", &[]);
    wait_until("the share is suspended", || {
        share_in_status(&mut nik, "gift")["trouble"]
            .to_string()
            .contains("suspended until nik")
    });
    let (identity, _) = certify(&mut second_login(&tracker, "mayank"), "lab");
    let connection = call_tls(nik.process.address, info_hash, Some(&identity));
    assert!(FakeLeech::greet(connection, info_hash, "mayank").is_none());
    nik.run("login nik\npw of nik");
    mayank.run("download_file lab gift");
    mayank.run("wait");
}
