//! Liars: peers that call a leech and send it bad blocks, with or without a pause before each
//! block. They delay its download from an honest seed only a little.

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

/// The honest seed pauses this long before each block. So it sends about 3 MB/s.
const HONEST_PAUSE: Duration = Duration::from_millis(5);
/// A slow liar pauses this long before each block. A link stalls only after a longer pause.
const SLOW_PAUSE: Duration = Duration::from_secs(2);

fn spoiled(block: &[u8]) -> Vec<u8> {
    block.iter().map(|byte| byte ^ 1).collect()
}

/// Calls the leech, and answers each request with a bad block after `pause`. When the link has
/// ended, calls again from a new port, until `ends` is set.
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

/// Downloads the torrent from an honest seed while liars call the leech. There is one liar for each
/// entry of `liar_pauses`, which is the pause before each of its blocks. Returns how long the
/// download took.
fn time_of_download(torrent: &Torrent, liar_pauses: &[Duration]) -> Duration {
    let sandbox = Sandbox::new();
    let served = torrent.clone();
    let seed = listen(torrent, "honest", move |link, _| {
        serve(link, &served, |_, block| {
            thread::sleep(HONEST_PAUSE);
            block.to_vec()
        });
    });
    let ends = Arc::new(AtomicBool::new(false));
    let mut leech = start_download_of(&sandbox, torrent, tracker_naming(&[seed]));
    let begun = Instant::now();
    for (number, pause) in liar_pauses.iter().copied().enumerate() {
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
fn with_liars_a_download_takes_less_than_twice_as_long() {
    let torrent = Torrent::new("share", 24 << 20, 512 << 10, 7);
    let undisturbed = time_of_download(&torrent, &[]);
    let (slow, fast) = (SLOW_PAUSE, Duration::ZERO);
    let disturbed = time_of_download(&torrent, &[slow, slow, slow, slow, fast, fast]);
    assert!(
        disturbed < 2 * undisturbed,
        "{disturbed:?} with liars, {undisturbed:?} without them"
    );
}
