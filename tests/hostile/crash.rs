//! Restarts of a peer after `kill -9`, or after its records or files were damaged, replaced or
//! changed.

use super::disk::leech_with_eight_pieces;
use super::late;
use crate::common::fake_peer::*;
use crate::common::fake_tracker::{set_only_tracker, tracker_naming};
use crate::common::handmade_torrent::Torrent;
use crate::common::log::{log_line_with, wait_for_log_line};
use crate::common::open_swarm::{TORRENT, assert_serves, leech, seed};
use crate::common::peer::{Peer, quoted};
use crate::common::sandbox::Sandbox;
use crate::common::waiting::{PATIENCE, wait_for};
use pieceful::peer::{Deadlines, DownloadState};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// The number of bytes that a process has read from files and sockets.
fn bytes_read_by(id: u32) -> u64 {
    let io = fs::read_to_string(format!("/proc/{id}/io")).unwrap();
    io.lines()
        .find_map(|line| line.strip_prefix("rchar: "))
        .unwrap()
        .parse()
        .unwrap()
}

/// A change to the bytes of a file.
type Damage = fn(&mut Vec<u8>);

fn only_file(folder: PathBuf) -> PathBuf {
    fs::read_dir(folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path()
}

fn state(peer: &mut Peer, name: &str) -> String {
    peer.shown_download(name)["state"]
        .as_str()
        .unwrap_or("none")
        .to_owned()
}

/// A seed that sends half of the blocks to its first caller, and all to later callers. `served`
/// counts the blocks.
fn seed_that_stops_halfway(served: &Arc<AtomicUsize>) -> SocketAddr {
    let served = served.clone();
    listen(&TORRENT, "seed", move |mut link, number| {
        link.send(&[have_all(), unchoke()].concat());
        for sent in 0.. {
            let Some(body) = link.read_until(REQUEST) else {
                return;
            };
            let (index, begin, length) = parse_request(&body);
            if number == 0 && sent == 20 {
                return link.read_to_end();
            }
            served.fetch_add(1, Ordering::SeqCst);
            link.send(&piece(index, begin, TORRENT.block(index, begin, length)));
        }
    })
}

#[test]
fn a_killed_download_goes_on_from_its_partial_file_by_itself() {
    let sandbox = Sandbox::new();
    let served = Arc::new(AtomicUsize::new(0));
    let seed = seed_that_stops_halfway(&served);
    set_only_tracker(&sandbox, tracker_naming(&[seed]));
    let mut first = sandbox.debug_peer("leech", &[]);
    let file = TORRENT.write(&sandbox, "share.torrent");
    first.run(&format!("download {} copy", quoted(&file)));
    first.wait_for_download("share", |download| {
        download["bytes_done"].as_u64().unwrap() >= 8 * 32_768
    });
    first.process.signal("-KILL");
    wait_for(
        || {
            fs::read_to_string(format!("/proc/{}/stat", first.process.id()))
                .ok()
                .filter(|stat| stat.contains(" Z "))
        },
        || "the process is still alive".into(),
    );
    drop(first);
    assert!(sandbox.path("leech/copy.part").exists() && !sandbox.path("leech/copy").exists());
    let mut restarted = sandbox.debug_peer("leech", &[]);
    let download = restarted.wait_for_state("share", "complete");
    assert!(fs::read(sandbox.path("leech/copy")).unwrap() == TORRENT.content);
    assert!(
        download["from"]["disk"].as_u64().unwrap() >= 8 * 32_768,
        "{download}"
    );
    // The killed peer got at most 20 of the 40 blocks. At least 16 of these are on its disk, in
    // eight whole pieces, and the restarted peer does not fetch them again.
    let served = served.load(Ordering::SeqCst);
    assert!(served <= 20 + 40 - 16, "{served} blocks were sent");
}

/// Starts the seed of a sandbox again and waits until its share is complete.
fn restart_seed(sandbox: &Sandbox) -> Peer {
    let mut seed = sandbox.debug_peer("seed", &[]);
    wait_for(
        || (state(&mut seed, "share") == "complete").then_some(()),
        || "the share is not complete after the restart".into(),
    );
    seed
}

#[test]
fn a_complete_file_is_hashed_again_only_if_it_changed() {
    let torrent = Torrent::new("share", 8 << 20, 1 << 20, 4);
    let sandbox = Sandbox::new();
    drop(seed(&sandbox, "seed", &torrent));
    let restarted = restart_seed(&sandbox);
    assert_serves(&restarted, &torrent);
    let read = bytes_read_by(restarted.process.id());
    assert!(read < 2 << 20, "{read} bytes were read");
    assert_eq!(log_line_with(&restarted.log, &["checking it"]), None);
    drop(restarted);
    // A new time with the same content: the file is read and served.
    let copy = sandbox.path("seed/copy");
    let file = File::options().write(true).open(&copy).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(10))
        .unwrap();
    let touched = restart_seed(&sandbox);
    wait_for_log_line(
        &touched.log,
        &["changed or not known to be whole; checking it"],
    );
    assert!(bytes_read_by(touched.process.id()) > 8 << 20);
    assert_serves(&touched, &torrent);
}

#[test]
fn a_complete_file_with_one_changed_bit_or_another_length_is_no_longer_served() {
    let torrent = Torrent::new("share", 8 << 20, 1 << 20, 4);
    let mut flipped = torrent.content.clone();
    flipped[5 << 20] ^= 1;
    let longer = [&torrent.content[..], b"x"].concat();
    for content in [flipped, longer] {
        assert_not_served_with(&torrent, &content);
    }
}

fn assert_not_served_with(torrent: &Torrent, content: &[u8]) {
    let sandbox = Sandbox::new();
    drop(seed(&sandbox, "seed", torrent));
    let copy = sandbox.path("seed/copy");
    fs::write(&copy, content).unwrap();
    let mut changed = sandbox.debug_peer("seed", &[]);
    let download = changed.wait_for_state("share", "failed");
    assert!(
        download["reason"]
            .as_str()
            .unwrap()
            .contains("was changed after it was complete"),
        "{download}"
    );
    let mut link = FakePeer::connect_tcp(changed.process.address);
    link.send(&handshake(torrent.info_hash, EXTENDED_AND_FAST, "asker"));
    assert!(link.read_handshake().is_none());
    assert!(
        fs::read(&copy).unwrap() == content,
        "the peer changed the user's file"
    );
}

#[test]
fn a_damaged_record_is_logged_and_the_peer_works_without_it() {
    let other = Torrent::new("other", 40_000, 16_384, 5);
    let damages: [(&str, Damage); 5] = [
        ("records", |bytes| bytes.truncate(bytes.len() / 2)),
        ("records", |bytes| bytes.clear()),
        ("records", |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
        }),
        ("records", |bytes| *bytes = b"l".repeat(20_000)),
        ("torrents", |bytes| {
            *bytes = [bytes.as_slice(), b"x"].concat()
        }),
    ];
    for (number, (folder, damage)) in damages.into_iter().enumerate() {
        let sandbox = Sandbox::new();
        drop(seed(&sandbox, "seed", &TORRENT));
        let path = only_file(sandbox.path("seed.state").join(folder));
        let mut bytes = fs::read(&path).unwrap();
        damage(&mut bytes);
        fs::write(&path, bytes).unwrap();
        let mut peer = sandbox.debug_peer("seed", &[]);
        wait_for_log_line(
            &peer.log,
            &["ERROR", path.file_name().unwrap().to_str().unwrap()],
        );
        assert_eq!(state(&mut peer, "share"), "none", "damage {number}");
        // The peer still works.
        let file = other.write(&sandbox, "other.torrent");
        peer.run(&format!("download {} other", quoted(&file)));
        peer.wait_for_state("other", "downloading");
        assert!(fs::read(sandbox.path("seed/copy")).unwrap() == TORRENT.content);
    }
}

#[test]
fn a_lost_torrent_fails_one_wait_and_is_shown_until_its_download_is_added_again() {
    // The `.torrent` in the state folder is missing or damaged. The first `wait` fails, later ones
    // do not. `status` shows the damage.
    let empty: fn(&Path) = |path| fs::write(path, "").unwrap();
    let garbage: fn(&Path) = |path| fs::write(path, "garbage").unwrap();
    let remove: fn(&Path) = |path| fs::remove_file(path).unwrap();
    for (is_complete, damage) in [
        (false, remove),
        (false, empty),
        (false, garbage),
        (true, remove),
        (true, garbage),
    ] {
        let sandbox = Sandbox::new();
        let (before, state) = match is_complete {
            true => (seed(&sandbox, "peer", &TORRENT), "is not shared"),
            false => (leech(&sandbox, "peer", &TORRENT), "is not downloaded"),
        };
        drop(before);
        damage(&only_file(sandbox.path("peer.state/torrents")));
        let mut peer = sandbox.peer("peer");
        let (kind, message) = peer.error_of("wait 5");
        assert_eq!(kind, "download-failed", "{message}");
        let start = format!("{} {state}: ", sandbox.path("peer/copy").display());
        assert!(
            message.starts_with(&start) && message.contains(".torrent"),
            "{message}"
        );
        peer.run("wait 5");
        let damaged = |peer: &mut Peer| peer.run("status")["damaged"].as_array().unwrap().len();
        assert_eq!(damaged(&mut peer), 1);
        let file = TORRENT.write(&sandbox, "again.torrent");
        peer.run(&format!("download {} copy", quoted(&file)));
        assert_eq!(damaged(&mut peer), 0);
    }
}

/// The record of a torrent in a state folder.
fn record(sandbox: &Sandbox, name: &str, torrent: &Torrent) -> PathBuf {
    let hash = torrent.info_hash.map(|byte| format!("{byte:02x}")).concat();
    sandbox.path(&format!("{name}.state/records/{hash}"))
}

#[test]
fn a_record_that_belongs_to_another_torrent_is_logged_and_ignored() {
    let other = Torrent::new("other", 40_000, 16_384, 5);
    let sandbox = Sandbox::new();
    let mut both = seed(&sandbox, "seed", &TORRENT);
    fs::write(sandbox.path("seed/other"), &other.content).unwrap();
    let file = other.write(&sandbox, "other.torrent");
    both.run(&format!("download {} other", quoted(&file)));
    both.wait_for_state("other", "complete");
    drop(both);
    let record_path = record(&sandbox, "seed", &TORRENT);
    fs::copy(record(&sandbox, "seed", &other), &record_path).unwrap();
    let mut peer = sandbox.debug_peer("seed", &[]);
    wait_for_log_line(
        &peer.log,
        &["ERROR", record_path.file_name().unwrap().to_str().unwrap()],
    );
    assert_eq!(state(&mut peer, "share"), "none");
    assert_eq!(state(&mut peer, "other"), "complete");
    let mut link = FakePeer::connect(peer.process.address, &other, EXTENDED_AND_FAST, "asker");
    assert_eq!(link.fetch(2, 0, 7_232).unwrap(), other.block(2, 0, 7_232));
    // A new download takes the file of the lost record as it is.
    let file = TORRENT.write(&sandbox, "share.torrent");
    peer.run(&format!("download {} copy", quoted(&file)));
    peer.wait_for_state("share", "complete");
    assert_serves(&peer, &TORRENT);
}

/// A restored backup has the length and time of the record. Its content is older, or the same.
#[test]
fn a_replaced_file_with_the_old_length_and_time_is_checked() {
    for content_is_older in [true, false] {
        let sandbox = Sandbox::new();
        drop(seed(&sandbox, "seed", &TORRENT));
        let (copy, backup) = (sandbox.path("seed/copy"), sandbox.path("seed/backup"));
        let mut content = TORRENT.content.clone();
        content[100_000] ^= u8::from(content_is_older);
        fs::write(&backup, &content).unwrap();
        let file = File::options().write(true).open(&backup).unwrap();
        file.set_modified(copy.metadata().unwrap().modified().unwrap())
            .unwrap();
        fs::rename(&backup, &copy).unwrap();
        let mut peer = sandbox.debug_peer("seed", &[]);
        let expected = if content_is_older {
            "failed"
        } else {
            "complete"
        };
        peer.wait_for_download("share", |download| download["state"] == expected);
        wait_for_log_line(
            &peer.log,
            &["inode numbers have changed; checking the content"],
        );
        if !content_is_older {
            assert_serves(&peer, &TORRENT);
        }
    }
}

#[test]
fn pieces_lost_from_a_partial_file_are_fetched_again() {
    let sandbox = Sandbox::new();
    let (first, let_seed_continue) = leech_with_eight_pieces(&sandbox);
    let part = sandbox.path("leech/copy.part");
    let time = part.metadata().unwrap().modified().unwrap();
    first.kill();
    drop(let_seed_continue);
    // The last four of the eight pieces are zeros now, as in an older version of the partial file.
    let file = File::options().write(true).open(&part).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(4 * 32_768).unwrap();
    file.set_len(length).unwrap();
    file.set_modified(time).unwrap();
    let mut restarted = sandbox.debug_peer("leech", &[]);
    let download = restarted.wait_for_state("share", "complete");
    assert!(fs::read(sandbox.path("leech/copy")).unwrap() == TORRENT.content);
    let disk = download["from"]["disk"].as_u64().unwrap_or(0);
    assert!(disk <= 4 * 32_768, "{download}");
}

#[test]
fn a_record_older_than_the_file_costs_only_a_check() {
    let sandbox = Sandbox::new();
    let (mut leech, let_seed_continue) = leech_with_eight_pieces(&sandbox);
    let path = record(&sandbox, "leech", &TORRENT);
    let older_record = fs::read(&path).unwrap();
    let_seed_continue.send(()).unwrap();
    leech.wait_for_state("share", "complete");
    wait_for(
        || (fs::read(&path).unwrap() != older_record).then_some(()),
        || "the record of the complete download is not written".to_owned(),
    );
    leech.kill();
    fs::write(&path, older_record).unwrap();
    // No seed can be found now.
    fs::write(sandbox.tracker_info(), "# no tracker\n").unwrap();
    let mut restarted = sandbox.debug_peer("leech", &[]);
    restarted.wait_for_state("share", "complete");
    assert_serves(&restarted, &TORRENT);
}

/// A person who sees that a download is complete may end the peer at once. The next start must not
/// hash the files again.
#[test]
fn a_download_shown_as_complete_is_recorded_as_complete() {
    let sandbox = Sandbox::new();
    let leech = late::start_leech(&sandbox, Deadlines::default());
    let link = late::connect(&leech, "source");
    let serving = thread::spawn(|| serve_all(link, &TORRENT));
    let start = Instant::now();
    while leech.downloads()[0].state != DownloadState::Complete {
        assert!(start.elapsed() < PATIENCE, "the download does not end");
        thread::yield_now();
    }
    let hash = TORRENT.info_hash.map(|byte| format!("{byte:02x}")).concat();
    let path = sandbox.path("state/records").join(hash);
    let record_at_once = fs::read(&path).unwrap();
    serving.join().unwrap();
    leech.stop();
    assert!(record_at_once == fs::read(&path).unwrap());
}
