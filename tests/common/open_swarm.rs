//! Running peers of ours whose log can be read, with a torrent that no code of the product made.

use super::fake_peer::*;
use super::handmade_torrent::Torrent;
use super::peer::Peer;
use super::peer::word;
use super::sandbox::Sandbox;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::thread;

/// Twenty pieces of two blocks; the last one is short.
pub(crate) static TORRENT: LazyLock<Torrent> =
    LazyLock::new(|| Torrent::new("share", 19 * 32_768 + 20_000, 32_768, 1));

/// A running peer and its log.
pub(crate) struct Logged {
    peer: Peer,
    pub(crate) log: PathBuf,
}

impl Logged {
    /// Waits for its end.
    pub(crate) fn end(self) {
        let (status, said) = self.peer.process.wait();
        assert!(status.success(), "{status}: {said}");
    }

    /// kill -9.
    pub(crate) fn kill(self) {
        self.peer.process.kill();
    }
}

impl Deref for Logged {
    type Target = Peer;

    fn deref(&self) -> &Peer {
        &self.peer
    }
}

impl DerefMut for Logged {
    fn deref_mut(&mut self) -> &mut Peer {
        &mut self.peer
    }
}

pub(crate) fn peer(sandbox: &Sandbox, name: &str, arguments: &[&str]) -> Logged {
    let log = sandbox.path(&format!("{name}.state/peer.log"));
    Logged {
        peer: sandbox.peer_with(name, &[&["--log", "debug"], arguments].concat()),
        log,
    }
}

/// A peer that downloads the torrent to `NAME/copy` and is ready for callers.
pub(crate) fn leech(sandbox: &Sandbox, name: &str, torrent: &Torrent) -> Logged {
    leech_with(sandbox, name, torrent, &[])
}

pub(crate) fn leech_with(
    sandbox: &Sandbox,
    name: &str,
    torrent: &Torrent,
    arguments: &[&str],
) -> Logged {
    let mut peer = peer(sandbox, name, arguments);
    let file = torrent.write(sandbox, &format!("{name}.torrent"));
    peer.run(&format!("download {} copy", word(&file)));
    // An owner that is known already may have been quicker.
    peer.until(&torrent.name, |download| download["state"] != "checking");
    peer
}

/// A peer that has got the whole torrent from a caller.
pub(crate) fn seed(sandbox: &Sandbox, name: &str, torrent: &Torrent) -> Logged {
    seed_with(sandbox, name, torrent, &[])
}

pub(crate) fn seed_with(
    sandbox: &Sandbox,
    name: &str,
    torrent: &Torrent,
    arguments: &[&str],
) -> Logged {
    let mut peer = leech_with(sandbox, name, torrent, arguments);
    let wire = Wire::greet(peer.process.address, torrent, BOTH, "giver");
    let owned = torrent.clone();
    let giver = thread::spawn(move || serve(wire, &owned, |_, block| block.to_vec()));
    peer.run("wait 30");
    giver.join().unwrap();
    peer
}
