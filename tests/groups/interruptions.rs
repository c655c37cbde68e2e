//! What comes in between: log-outs, restarts, kills in the middle of a download. It completes, and what was verified is not
//! fetched again.

use super::fake_member::certify;
use super::team::{join, logged_in, share, team};
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

/// A tracker, nik who shares `gift`, and mayank who is in the middle of fetching it at this many bytes a second.
struct Scene {
    service: AccountTracker,
    nik: Peer,
    mayank: Peer,
    file: PathBuf,
}

fn scene() -> Scene {
    let service = AccountTracker::with(&["--interval", "1"]);
    let mut nik = logged_in(&service, "nik", &[]);
    nik.run("create_group lab");
    let mut mayank = logged_in(&service, "mayank", &["--down", "2M"]);
    join(&mut nik, &mut mayank, "mayank");
    let file = service.sandbox.file("gift", LENGTH, 5);
    nik.run(&format!("upload_file lab {}", quoted(&file)));
    mayank.run("download_file lab gift copy");
    mayank.wait_for_download("gift", |download| {
        number(download, "bytes_done") >= 2 * PIECE as u64
    });
    Scene {
        service,
        nik,
        mayank,
        file,
    }
}

fn number(object: &Value, key: &str) -> u64 {
    object[key].as_u64().unwrap_or_else(|| panic!("{object}"))
}

fn uploaded(peer: &mut Peer) -> u64 {
    number(&share(peer, "gift"), "uploaded")
}

/// Waits until no link stands at either side: what was under way is settled.
fn at_rest(nik: &mut Peer, mayank: &mut Peer) -> (u64, u64) {
    for peer in [&mut *nik, &mut *mayank] {
        wait_until("a link stands", || peer.run("status")["links"] == 0);
    }
    let mut before = None;
    // Pieces that had come whole are still being verified.
    wait_until("it goes on", || {
        let done = number(&mayank.download("gift"), "bytes_done");
        before.replace(done) == Some(done)
    });
    (uploaded(nik), before.unwrap())
}

/// Waits for the end; the copy is right, and the sources add up.
fn completes(service: &AccountTracker, mayank: &mut Peer, file: &Path) -> Value {
    mayank.run("wait");
    let copy = service.sandbox.path("mayank/copy");
    assert!(fs::read(copy).unwrap() == fs::read(file).unwrap());
    let download = mayank.download("gift");
    let from = download["from"].as_object().unwrap();
    let sum: u64 = from.values().map(|bytes| bytes.as_u64().unwrap()).sum();
    assert_eq!(sum, LENGTH as u64, "{download}");
    download
}

#[test]
fn a_log_out_of_either_side_rests_a_download_and_the_next_log_in_takes_it_up() {
    let mut scene = scene();
    let (nik, mayank) = (&mut scene.nik, &mut scene.mayank);
    mayank.run("logout");
    let (sent, done) = at_rest(nik, mayank);
    assert!(done < LENGTH as u64, "it is in its middle");
    wait_until("it does not say why it rests", || {
        mayank.download("gift")["trouble"] == "suspended until mayank is logged in here"
    });
    mayank.run("login mayank\npw of mayank");
    mayank.wait_for_download("gift", |download| {
        number(download, "bytes_done") >= done + PIECE as u64
    });
    // The same at the other side: its share rests.
    nik.run("logout");
    let (sent_then, done_then) = at_rest(nik, mayank);
    assert!(done_then < LENGTH as u64, "it is in its middle");
    wait_until("it does not say why it rests", || {
        share(nik, "gift")["trouble"]
            .to_string()
            .contains("suspended until nik")
    });
    nik.run("login nik\npw of nik");
    completes(&scene.service, mayank, &scene.file);
    let again = uploaded(nik) - sent_then;
    assert!(again <= LENGTH as u64 - done_then, "only what was lacking");
    assert!(sent_then - sent >= done_then - done);
}

#[test]
fn another_user_at_the_same_peer_neither_serves_nor_fetches_what_was_not_theirs() {
    let mut scene = scene();
    let mayank = &mut scene.mayank;
    mayank.run("logout");
    mayank.run("create_user uma\npw of uma");
    mayank.run("login uma\npw of uma");
    let (_, done) = at_rest(&mut scene.nik, mayank);
    wait_until("it does not rest", || {
        mayank.download("gift")["trouble"] == "suspended until mayank is logged in here"
    });
    assert_eq!(number(&mayank.download("gift"), "bytes_done"), done);
    mayank.run("logout");
    mayank.run("login mayank\npw of mayank");
    completes(&scene.service, mayank, &scene.file);
}

#[test]
fn a_restart_of_the_fetching_peer_keeps_what_is_verified() {
    let mut scene = scene();
    let before = number(&scene.mayank.download("gift"), "bytes_done");
    scene.mayank.process.kill();
    wait_until("a link stands", || scene.nik.run("status")["links"] == 0);
    let sent = uploaded(&mut scene.nik);
    let mut mayank = scene.service.sandbox.debug_peer("mayank", &[]);
    let download = completes(&scene.service, &mut mayank, &scene.file);
    let kept = number(&download["from"], "disk");
    assert!(kept >= before, "{download}");
    let again = uploaded(&mut scene.nik) - sent;
    assert!(again <= LENGTH as u64 - kept, "only what was lacking");
}

#[test]
fn a_restart_of_the_serving_peer_is_waited_for() {
    let mut scene = scene();
    scene.nik.process.kill();
    let mayank = &mut scene.mayank;
    wait_until("a link stands", || mayank.run("status")["links"] == 0);
    let mut done = 0;
    wait_until("it goes on", || {
        let now = number(&mayank.download("gift"), "bytes_done");
        std::mem::replace(&mut done, now) == now
    });
    assert!(done < LENGTH as u64, "it is in its middle");
    let mut nik = scene.service.sandbox.debug_peer("nik", &[]);
    completes(&scene.service, mayank, &scene.file);
    let again = uploaded(&mut nik);
    assert!(again <= LENGTH as u64 - done, "only what was lacking");
}

#[test]
fn a_restart_of_the_tracker_is_not_noticed() {
    let mut scene = scene();
    let sandbox = scene.service.kill();
    let service = AccountTracker::with_data(sandbox, &["--interval", "1"]);
    // Who comes now finds those who are here.
    let mut uma = logged_in(&service, "uma", &[]);
    join(&mut scene.nik, &mut uma, "uma");
    uma.run("download_file lab gift");
    uma.run("wait");
    completes(&service, &mut scene.mayank, &scene.file);
    assert!(fs::read(service.sandbox.path("uma/gift")).unwrap() == fs::read(&scene.file).unwrap());
    // The link was the same all the time; it ended when there was no more use for it.
    let log = fs::read_to_string(service.sandbox.log("nik")).unwrap();
    let ended = format!("the link with {} ended", scene.mayank.process.address);
    let early = log.lines().filter(|line| line.contains(&ended));
    let early: Vec<&str> = early
        .filter(|line| !line.contains("neither side fetches anything"))
        .collect();
    assert!(early.is_empty(), "{early:?}");
}

#[test]
fn a_removed_member_s_download_stops_with_the_reason() {
    let mut scene = scene();
    scene.nik.run("remove_member lab mayank");
    let mut failed = Value::Null;
    wait_until("it goes on", || {
        failed = scene.mayank.download("gift");
        failed["state"] == "failed"
    });
    let reason = failed["reason"].as_str().unwrap();
    assert!(
        reason.contains("lab") && reason.contains("no group of yours has this share any more"),
        "{reason}"
    );
    let object = scene.mayank.try_run("wait");
    assert_eq!(object["error"]["kind"], "download-failed", "{object}");
    wait_for_log_line(
        &scene.service.sandbox.log("mayank"),
        &["gift: stopped: ", "lab"],
    );
    assert!(!scene.service.sandbox.path("mayank/copy").exists());
    // Let in again, he goes on where he was.
    let done = number(&failed, "bytes_done");
    join(&mut scene.nik, &mut scene.mayank, "mayank");
    scene.mayank.run("download_file lab gift copy");
    let download = completes(&scene.service, &mut scene.mayank, &scene.file);
    assert!(number(&download["from"], "disk") >= done, "{download}");
}

/// Which pieces of `content` stand in a partial copy.
fn pieces(part: &Path, content: &[u8]) -> Vec<bool> {
    let part = fs::read(part).unwrap_or_default();
    let chunks = content.chunks(PIECE).enumerate();
    chunks
        .map(|(at, piece)| part.get(at * PIECE..at * PIECE + piece.len()) == Some(piece))
        .collect()
}

#[test]
fn four_members_complete_without_the_seed_that_is_killed_after_one_and_a_half_copies() {
    let length = 4 * LENGTH;
    let content = bytes(length, 5);
    let service = AccountTracker::with(&["--interval", "1"]);
    let mut nik = logged_in(&service, "nik", &["--up", "12M"]);
    nik.run("create_group lab");
    let file = service.sandbox.file("gift", length, 5);
    nik.run(&format!("upload_file lab {}", quoted(&file)));
    let names = ["a", "b", "c", "d"];
    let mut members = names.map(|name| {
        let mut peer = logged_in(&service, name, &["--up", "2M"]);
        join(&mut nik, &mut peer, name);
        peer
    });
    for member in &mut members {
        member.run("download_file lab gift");
    }
    let copy = |name: &str| service.sandbox.path(&format!("{name}/gift"));
    let all_there = || {
        let mut there = vec![false; content.len().div_ceil(PIECE)];
        for name in names {
            let owned = match copy(name).exists() {
                true => vec![true; there.len()],
                false => pieces(&copy(name).with_extension("part"), &content),
            };
            there.iter_mut().zip(owned).for_each(|(a, b)| *a |= b);
        }
        there.iter().all(|piece| *piece)
    };
    // The last piece may come to the others a little later: a swarm without it could not do without the seed.
    wait_until("the seed leaves no whole copy behind", || {
        uploaded(&mut nik) >= length as u64 * 3 / 2 && all_there()
    });
    nik.process.kill();
    let running = |member: &mut Peer| member.download("gift")["state"] == "downloading";
    assert!(members.iter_mut().all(running), "all are in the middle");
    for (member, name) in members.iter_mut().zip(names) {
        member.run("wait");
        assert!(fs::read(copy(name)).unwrap() == content, "{name}");
    }
}

#[test]
fn a_share_of_a_group_is_taken_up_after_a_kill_only_when_its_user_is_still_logged_in() {
    let service = AccountTracker::with(&["--interval", "1"]);
    let [mut nik, mut mayank] = team(&service, ["nik", "mayank"]);
    let file = service.sandbox.file("gift", PIECE, 5);
    let uploaded = nik.run(&format!("upload_file lab {}", quoted(&file)));
    let lab = uploaded["info_hash"].as_str().unwrap();
    nik.run("logout");
    nik.process.kill();
    let mut nik = service.sandbox.debug_peer("nik", &[]);
    wait_until("it is not suspended", || {
        share(&mut nik, "gift")["trouble"]
            .to_string()
            .contains("suspended until nik")
    });
    let (shown, _) = certify(&mut super::team::session(&service, "mayank"), "lab");
    let line = super::fake_member::call_tls(nik.process.address, lab, Some(&shown));
    assert!(super::fake_member::FakeLeech::greet(line, lab, "mayank").is_none());
    nik.run("login nik\npw of nik");
    mayank.run("download_file lab gift");
    mayank.run("wait");
}
