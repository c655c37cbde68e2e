//! Starts seeds and leeches of a handmade torrent. They log at level `debug`.

use super::fake_peer::*;
use super::handmade_torrent::Torrent;
use super::peer::{Peer, quoted};
use super::sandbox::Sandbox;
use std::sync::LazyLock;
use std::thread::{self, JoinHandle};

/// Twenty pieces of two blocks; the last one is short.
pub(crate) static TORRENT: LazyLock<Torrent> =
    LazyLock::new(|| Torrent::new("share", 19 * 32_768 + 20_000, 32_768, 1));

/// A peer that downloads the torrent to `NAME/copy`. It already accepts callers for that torrent.
pub(crate) fn leech(sandbox: &Sandbox, name: &str, torrent: &Torrent) -> Peer {
    leech_with(sandbox, name, torrent, &[])
}

pub(crate) fn leech_with(
    sandbox: &Sandbox,
    name: &str,
    torrent: &Torrent,
    arguments: &[&str],
) -> Peer {
    let mut peer = sandbox.debug_peer(name, arguments);
    let file = torrent.write(sandbox, &format!("{name}.torrent"));
    peer.run(&format!("download {} copy", quoted(&file)));
    // If the peer has found a seed, the download may be complete already.
    peer.wait_for_download(&torrent.name, |download| download["state"] != "checking");
    peer
}

/// A peer that has downloaded the whole torrent from a fake peer.
pub(crate) fn seed(sandbox: &Sandbox, name: &str, torrent: &Torrent) -> Peer {
    seed_with(sandbox, name, torrent, &[])
}

pub(crate) fn seed_with(
    sandbox: &Sandbox,
    name: &str,
    torrent: &Torrent,
    arguments: &[&str],
) -> Peer {
    let mut peer = leech_with(sandbox, name, torrent, arguments);
    let serving = serve_to(&peer, torrent, "source");
    peer.run("wait 30");
    serving.join().unwrap();
    peer
}

/// Asserts that the peer serves a block to a new caller.
pub(crate) fn assert_serves(peer: &Peer, torrent: &Torrent) {
    let mut link = FakePeer::connect(peer.process.address, torrent, EXTENDED_AND_FAST, "honest");
    assert_eq!(link.fetch(0, 0, BLOCK).unwrap(), torrent.block(0, 0, BLOCK));
}

/// Connects a fake seed to `peer`. It serves the torrent on its own thread until the link ends.
pub(crate) fn serve_to(peer: &Peer, torrent: &Torrent, id: &str) -> JoinHandle<()> {
    let link = FakePeer::connect(peer.process.address, torrent, EXTENDED_AND_FAST, id);
    let served = torrent.clone();
    thread::spawn(move || serve_all(link, &served))
}
