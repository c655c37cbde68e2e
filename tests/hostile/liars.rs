//! Callers that send bad blocks, at once or slowly, beside an honest seed: they delay a download
//! only a little.

use super::lying_tracker::start_download_of;
use crate::common::fake_peer::*;
use crate::common::fake_tracker::tracker_naming;
use crate::common::handmade_torrent::Torrent;
use crate::common::sandbox::Sandbox;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The honest seed pauses this long for each block. So it sends about 3 MB/s.
const PAUSE: Duration = Duration::from_millis(5);
/// A slow liar sends one block in this time. That is too often for a stall.
const TRICKLE: Duration = Duration::from_secs(2);

fn spoiled(block: &[u8]) -> Vec<u8> {
    block.iter().map(|byte| byte ^ 1).collect()
}

/// Calls the leech, and answers each request with a bad block, after this pause. When the link has
/// ended, calls again from a new port.
fn keep_calling(
    leech: SocketAddr,
    torrent: &Torrent,
    name: String,
    pause: Duration,
    ends: &AtomicBool,
) {
    while !ends.load(Ordering::SeqCst) {
        let mut link = FakePeer::connect_tcp(leech);
        link.send(&handshake(torrent.info_hash, EXTENDED_AND_FAST, &name));
        if link.read_handshake().is_some() {
            serve(link, torrent, |_, block| {
                thread::sleep(pause);
                spoiled(block)
            });
        }
    }
}

/// Downloads the torrent from an honest seed beside these liars: each is the pause before one of
/// its blocks. Returns how long it took.
fn download_beside(torrent: &Torrent, liars: &[Duration]) -> Duration {
    let sandbox = Sandbox::new();
    let served = torrent.clone();
    let seed = listen(torrent, "honest", move |link, _| {
        serve(link, &served, |_, block| {
            thread::sleep(PAUSE);
            block.to_vec()
        });
    });
    let ends = Arc::new(AtomicBool::new(false));
    let mut leech = start_download_of(&sandbox, torrent, tracker_naming(&[seed]));
    let begun = Instant::now();
    for (number, pause) in liars.iter().copied().enumerate() {
        let (torrent, address) = (torrent.clone(), leech.process.address);
        let (name, ends) = (format!("liar{number}"), Arc::clone(&ends));
        thread::spawn(move || keep_calling(address, &torrent, name, pause, &ends));
    }
    leech.run("wait 120");
    let took = begun.elapsed();
    ends.store(true, Ordering::SeqCst);
    assert!(fs::read(sandbox.path("leech/copy")).unwrap() == torrent.content);
    took
}

#[test]
fn callers_that_lie_or_trickle_delay_a_download_by_less_than_its_undisturbed_time() {
    let torrent = Torrent::new("share", 24 << 20, 512 << 10, 7);
    let undisturbed = download_beside(&torrent, &[]);
    let at_once = Duration::ZERO;
    let liars = [TRICKLE, TRICKLE, TRICKLE, TRICKLE, at_once, at_once];
    let took = download_beside(&torrent, &liars);
    assert!(
        took < 2 * undisturbed,
        "{took:?} instead of {undisturbed:?}"
    );
}
