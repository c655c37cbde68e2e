//! A folder for one test, and what its processes share.

use super::peer::Peer;
use super::process::Process;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// A folder for one test, with what its processes share.
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

    /// A new folder in the sandbox.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// A new file of `length` bytes that depend on `seed`.
    pub(crate) fn file(&self, name: &str, length: usize, seed: u64) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes(length, seed)).unwrap();
        path
    }

    pub(crate) fn tracker_info(&self) -> PathBuf {
        self.path("tracker_info.txt")
    }

    /// An open tracker that all peers of the sandbox know.
    pub(crate) fn tracker(&self, arguments: &[&str]) -> Process {
        let mut all = vec!["tracker", "--listen", "127.0.0.1:0", "--open"];
        all.extend(arguments);
        let tracker = Process::start(self.folder.path(), &all);
        fs::write(self.tracker_info(), format!("{}\n", tracker.address)).unwrap();
        tracker
    }

    /// A peer that takes commands as JSON, with its own state folder and working folder, both called `name`.
    pub(crate) fn peer(&self, name: &str) -> Peer {
        self.peer_with(name, &[])
    }

    pub(crate) fn peer_with(&self, name: &str, arguments: &[&str]) -> Peer {
        let state = self.path(&format!("{name}.state"));
        let (state, info) = (state.to_str().unwrap(), self.tracker_info());
        let mut all = vec![
            "peer",
            "127.0.0.1:0",
            info.to_str().unwrap(),
            "--json",
            "--dir",
            state,
            "--name",
            name,
        ];
        all.extend(arguments);
        Peer {
            process: Process::start(&self.folder(name), &all),
        }
    }
}

/// Bytes that look random and are the same for the same seed.
pub(crate) fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; length];
    rng.fill(&mut bytes);
    bytes
}
