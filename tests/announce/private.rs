//! Private torrents (BEP 27): a peer announces to one of the torrent's own trackers at a time, and
//! links only to peers that this tracker names.
//!
//! The tracker `listed` is in TRACKER_INFO. The torrent or magnet link names the tracker `own`.

use super::tiers::{announce_count, other_tracker, write_torrent_with_tiers};
use crate::common::extensions::{magnet_link, peer_parameter, serve_metadata_of};
use crate::common::fake_peer::*;
use crate::common::fake_tracker::FakeTracker;
use crate::common::handmade_torrent::Torrent;
use crate::common::log::wait_for_log_line;
use crate::common::peer::quoted;
use crate::common::process::{Process, run};
use crate::common::sandbox::Sandbox;
use crate::common::waiting::PATIENCE;
use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, LazyLock, Mutex};

static SECRET: LazyLock<Torrent> =
    LazyLock::new(|| Torrent::new("secret", 5 * 32_768 + 1, 32_768, 9).private(1));

#[test]
fn a_private_torrent_is_announced_to_its_first_tracker_alone() {
    let sandbox = Sandbox::new();
    let listed = sandbox.tracker(&[]);
    let (first, second) = (other_tracker(&sandbox), other_tracker(&sandbox));
    sandbox.file("seed/data", 300_000, 1);
    let url = |tracker: &Process| format!("http://{}/announce", tracker.address);
    let (first_url, second_url) = (url(&first), url(&second));
    let created = run(
        &sandbox.path("seed"),
        &[
            "torrent",
            "create",
            "data",
            "--private",
            "-t",
            &first_url,
            "-t",
            &second_url,
        ],
        "",
    );
    assert_eq!(created.code, Some(0), "{created:?}");
    let torrent = quoted(&sandbox.path("seed/data.torrent"));
    let mut seed = sandbox.peer("seed");
    seed.run(&format!("download {torrent}"));
    let mut leech = sandbox.peer("leech");
    leech.run(&format!("download {torrent}"));
    leech.run("wait 50");
    let copy = fs::read(sandbox.path("leech/data")).unwrap();
    assert!(copy == fs::read(sandbox.path("seed/data")).unwrap());
    for mut peer in [seed, leech] {
        peer.run("quit");
        let (exit, stderr) = peer.process.wait();
        assert!(exit.success(), "{stderr}");
    }
    // Each peer has announced its start and its end.
    assert!(announce_count(&first) >= 4);
    assert_eq!((announce_count(&second), announce_count(&listed)), (0, 0));
}

#[test]
fn any_number_except_0_makes_a_torrent_private() {
    for (number, is_private) in [(1, true), (2, true), (-1, true), (0, false)] {
        let sandbox = Sandbox::new();
        let listed = FakeTracker::naming(&[]);
        fs::write(sandbox.tracker_info(), format!("{}\n", listed.address())).unwrap();
        let own = FakeTracker::naming(&[]);
        let torrent = Torrent::new("share", 100_000, 32_768, 1).private(number);
        let torrent = write_torrent_with_tiers(&sandbox, &torrent.bytes, &[&[own.url()]]);
        let mut leech = sandbox.peer("leech");
        leech.run(&format!("download {}", quoted(&torrent)));
        own.wait_for_requests(|requests| !requests.is_empty());
        leech.run("quit");
        let (exit, stderr) = leech.process.wait();
        assert!(exit.success(), "{stderr}");
        assert_eq!(listed.requests().is_empty(), is_private, "private {number}");
    }
}

/// A peer without pieces. It reports each call and each end of a link.
fn reporting_peer() -> (SocketAddr, Receiver<()>, Receiver<()>) {
    let (calls, called) = channel();
    let (ends, ended) = channel();
    let both = Mutex::new((calls, ends));
    let address = listen(&SECRET, "named", move |mut link, _| {
        let (calls, ends) = both.lock().unwrap().clone();
        calls.send(()).unwrap();
        link.read_to_end();
        let _ = ends.send(());
    });
    (address, called, ended)
}

/// A peer that answers handshakes only after the returned sender has been dropped.
fn late_peer() -> (SocketAddr, Sender<()>) {
    let (answers, may_answer) = channel::<()>();
    let may_answer = Mutex::new(may_answer);
    let address = listen_tcp(move |mut link, _| {
        assert!(link.read_handshake().is_some());
        let _ = may_answer.lock().unwrap().recv();
        link.send(&handshake(SECRET.info_hash, EXTENDED_AND_FAST, "late"));
        link.read_to_end();
    });
    (address, answers)
}

#[test]
fn the_peers_of_a_failed_tracker_are_given_up_when_the_next_tracker_replaces_it() {
    let sandbox = Sandbox::new();
    let (named, called, ended) = reporting_peer();
    let (late, answers) = late_peer();
    let (first, second) = (FakeTracker::silent(), FakeTracker::silent());
    first.set_peers_and_short_interval(&[named, late]);
    let seed = honest_seed(&SECRET, "seed");
    let torrent =
        write_torrent_with_tiers(&sandbox, &SECRET.bytes, &[&[first.url()], &[second.url()]]);
    let mut leech = sandbox.debug_peer("leech", &[]);
    leech.run(&format!("download {} copy", quoted(&torrent)));
    called.recv_timeout(PATIENCE).unwrap();
    first.wait_for_requests(|requests| requests.len() > 3);
    assert_eq!(second.requests(), [""; 0], "both at the same time");
    first.fail();
    // While no tracker answers, the leech keeps its peers.
    second.wait_for_requests(|requests| !requests.is_empty());
    assert!(ended.try_recv().is_err());
    // From now on the second tracker answers.
    second.set_peers(&[seed]);
    ended.recv_timeout(PATIENCE).unwrap();
    drop(answers);
    for given_up in [named, late] {
        let address = given_up.to_string();
        wait_for_log_line(
            &leech.log,
            &[&address, "the tracker that named it has failed"],
        );
    }
    leech.run("wait 50");
    assert!(fs::read(sandbox.path("leech/copy")).unwrap() == SECRET.content);
    assert!(
        called.try_recv().is_err(),
        "the leech called a peer again that it had given up"
    );
}

/// A peer that serves the metadata after the tracker has received an announce. `calls` counts the
/// calls that this peer receives.
fn metadata_source_after_announce(
    calls: &Arc<AtomicUsize>,
    tracker: &Arc<FakeTracker>,
) -> SocketAddr {
    let (calls, tracker) = (Arc::clone(calls), Arc::clone(tracker));
    listen(&SECRET, "source", move |mut link, _| {
        calls.fetch_add(1, Ordering::SeqCst);
        // The tracker receives `stopped` only if it has received `started`.
        tracker.wait_for_requests(|requests| !requests.is_empty());
        serve_metadata_of(&mut link, &SECRET);
    })
}

#[test]
fn a_magnet_link_with_private_metadata_keeps_only_its_own_tracker() {
    let sandbox = Sandbox::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let listed = Arc::new(FakeTracker::silent());
    // The magnet link and the tracker both name this peer.
    let metadata_source = metadata_source_after_announce(&calls, &listed);
    listed.set_peers_and_short_interval(&[metadata_source]);
    fs::write(sandbox.tracker_info(), format!("{}\n", listed.address())).unwrap();
    let own = FakeTracker::silent();
    own.set_peers_and_short_interval(&[]);
    let mut leech = sandbox.debug_peer("leech", &[]);
    let magnet = magnet_link(
        &SECRET,
        &format!(
            "&dn=sought&tr={}{}",
            own.url(),
            peer_parameter(metadata_source)
        ),
    );
    leech.run(&format!("download {magnet}"));
    leech.wait_for_state("secret", "downloading");
    listed.wait_for_requests(|requests| {
        requests
            .last()
            .is_some_and(|line| line.contains("event=stopped"))
    });
    let (announced, before) = (listed.requests().len(), own.requests().len());
    // If the leech still knew the peer, it would call the peer again within three more announces.
    own.wait_for_requests(|requests| requests.len() > before + 2);
    assert_eq!(
        calls.load(Ordering::SeqCst),
        1,
        "the leech called the peer again"
    );
    assert_eq!(listed.requests().len(), announced);
    own.set_peers_and_short_interval(&[honest_seed(&SECRET, "seed")]);
    leech.run("wait 50");
    assert!(fs::read(sandbox.path("leech/secret")).unwrap() == SECRET.content);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    // The leech does not call the peer after a restart either.
    leech.kill();
    let mut leech = sandbox.debug_peer("leech", &[]);
    leech.wait_for_state("secret", "complete");
    let before = own.requests().len();
    own.wait_for_requests(|requests| requests.len() > before);
    assert_eq!(
        (listed.requests().len(), calls.load(Ordering::SeqCst)),
        (announced, 1)
    );
}

#[test]
fn a_tracker_that_has_not_answered_yet_receives_stopped_when_the_metadata_is_private() {
    let sandbox = Sandbox::new();
    let (listed, own) = (FakeTracker::naming(&[]), FakeTracker::silent());
    own.set_peers_and_short_interval(&[]);
    fs::write(sandbox.tracker_info(), format!("{}\n", listed.address())).unwrap();
    let (listed_held, own_held) = (listed.hold(), own.hold());
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    let metadata_source = listen(&SECRET, "source", move |mut link, _| {
        let _ = released.lock().unwrap().recv();
        serve_metadata_of(&mut link, &SECRET);
    });
    let mut leech = sandbox.debug_peer("leech", &[]);
    let magnet = magnet_link(
        &SECRET,
        &format!("&tr={}{}", own.url(), peer_parameter(metadata_source)),
    );
    leech.run(&format!("download {magnet}"));
    listed.wait_for_requests(|requests| !requests.is_empty());
    own.wait_for_requests(|requests| !requests.is_empty());
    drop(release);
    leech.wait_for_state("secret", "downloading");
    // The late answers of both trackers do not bring the listed tracker back: it receives `stopped`
    // and nothing more.
    drop(own_held);
    own.wait_for_requests(|requests| requests.len() > 2);
    drop(listed_held);
    let requests = listed.wait_for_requests(|requests| requests.len() > 1);
    assert!(requests[1].contains("event=stopped"), "{requests:?}");
    let before = own.requests().len();
    own.wait_for_requests(|requests| requests.len() > before + 2);
    assert_eq!(listed.requests().len(), 2);
}

#[test]
fn a_private_torrent_without_a_tracker_does_not_use_tracker_info_and_shows_why() {
    let sandbox = Sandbox::new();
    let listed = FakeTracker::naming(&[]);
    fs::write(sandbox.tracker_info(), format!("{}\n", listed.address())).unwrap();
    let mut leech = sandbox.debug_peer("leech", &[]);
    let torrent = SECRET.write(&sandbox, "secret.torrent");
    leech.run(&format!("download {} copy", quoted(&torrent)));
    leech.wait_for_download("secret", |download| {
        let trouble = &download["trouble"];
        assert!(trouble != "neither the torrent nor TRACKER_INFO names a tracker");
        trouble == "the torrent is private and names no tracker"
    });
    assert_eq!(listed.requests(), [""; 0]);
}
