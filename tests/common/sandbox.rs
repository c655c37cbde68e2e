//! A folder for one test, and the processes that share it.

use super::peer::Peer;
use super::process::Process;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// A scratch folder, deleted when dropped.
pub(crate) struct Sandbox {
    folder: TempDir,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Creates a folder in the sandbox if it is missing. Returns its path.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// Creates a file of `length` bytes. Equal seeds make equal bytes.
    pub(crate) fn file(&self, name: &str, length: usize, seed: u64) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes(length, seed)).unwrap();
        path
    }

    pub(crate) fn tracker_info(&self) -> PathBuf {
        self.path("tracker_info.txt")
    }

    /// The state folder of the peer called `name`.
    pub(crate) fn state(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.state"))
    }

    /// The log of the peer called `name`.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.state(name).join("peer.log")
    }

    /// Starts an open tracker. The peers of the sandbox find it in their TRACKER_INFO.
    pub(crate) fn tracker(&self, arguments: &[&str]) -> Process {
        let mut all = vec!["tracker", "--listen", "127.0.0.1:0", "--open"];
        all.extend(arguments);
        let tracker = Process::start(self.folder.path(), &all);
        fs::write(self.tracker_info(), format!("{}\n", tracker.address)).unwrap();
        tracker
    }

    /// Starts a peer in the working folder `name`, with the state folder `name.state`.
    pub(crate) fn peer(&self, name: &str) -> Peer {
        self.peer_with(name, &[])
    }

    pub(crate) fn peer_with(&self, name: &str, arguments: &[&str]) -> Peer {
        let arguments = [&["--name", name], arguments].concat();
        self.peer_at("127.0.0.1:0", name, &arguments)
    }

    /// Starts a peer that logs at level `debug`.
    pub(crate) fn debug_peer(&self, name: &str, arguments: &[&str]) -> Peer {
        self.peer_with(name, &[&["--log", "debug"], arguments].concat())
    }

    /// Starts a peer that listens at `address` and has no `--name`.
    pub(crate) fn peer_at(&self, address: &str, name: &str, arguments: &[&str]) -> Peer {
        let (folder, state) = (self.folder(name), self.state(name));
        Peer::start(&folder, address, &self.tracker_info(), &state, arguments)
    }
}

/// Bytes that look random. Equal seeds make equal bytes.
pub(crate) fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; length];
    rng.fill(&mut bytes);
    bytes
}
