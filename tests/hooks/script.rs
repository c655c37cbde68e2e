//! Scripts that a peer runs as hooks. Each run writes its environment to a file.

use crate::common::handmade_torrent::Torrent;
use crate::common::open_swarm::serve_to;
use crate::common::peer::{Peer, quoted};
use crate::common::sandbox::Sandbox;
use crate::common::waiting::wait_for;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The environment of one run.
pub(crate) type Environment = BTreeMap<String, String>;

/// A script in a sandbox.
pub(crate) struct Script {
    path: PathBuf,
    runs: PathBuf,
}

impl Script {
    /// Writes a script of `sh`. First each run writes its environment, then it does `body`.
    pub(crate) fn new(sandbox: &Sandbox, name: &str, body: &str) -> Self {
        let runs = sandbox.folder(&format!("{name}.runs"));
        let path = sandbox.path(name);
        let shown = runs.display();
        let text = format!(
            "#!/bin/sh\ncat /proc/$$/environ > '{shown}'/.$$ && mv '{shown}'/.$$ '{shown}'/$$\n{body}\n"
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self { path, runs }
    }

    /// The text of the option that names the script.
    pub(crate) fn command(&self) -> String {
        quoted(&self.path)
    }

    /// The environments of all runs so far, by the name of their shares: of a later version, with
    /// its number.
    pub(crate) fn runs(&self) -> BTreeMap<String, Environment> {
        let files = fs::read_dir(&self.runs).unwrap().map(|file| file.unwrap());
        let files = files.filter(|file| !file.file_name().to_string_lossy().starts_with('.'));
        let runs: Vec<_> = files.map(|file| environment(&file.path())).collect();
        let count = runs.len();
        let by_name = runs.into_iter().map(|run| (name_of(&run), run));
        let by_name: BTreeMap<_, _> = by_name.collect();
        assert_eq!(by_name.len(), count, "a hook has run twice: {by_name:?}");
        by_name
    }

    /// Waits for the run for the share called `name`. Returns its environment.
    pub(crate) fn wait_for(&self, name: &str) -> Environment {
        wait_for(
            || self.runs().remove(name),
            || format!("no hook for {name}: {:?}", self.runs().keys()),
        )
    }

    /// Ends the process of a run with SIGKILL.
    pub(crate) fn kill_run_of(&self, name: &str) {
        for file in fs::read_dir(&self.runs).unwrap() {
            let path = file.unwrap().path();
            if environment(&path)["PIECEFUL_NAME"] == name {
                let process = path.file_name().unwrap();
                let killed = Command::new("kill").arg("-9").arg(process).status();
                assert!(killed.unwrap().success());
            }
        }
    }

    /// The names of the shares of all runs so far.
    pub(crate) fn names(&self) -> Vec<String> {
        self.runs().into_keys().collect()
    }
}

fn name_of(run: &Environment) -> String {
    let name = &run["PIECEFUL_NAME"];
    match run.get("PIECEFUL_VERSION") {
        Some(version) if version != "1" => format!("{name}@{version}"),
        _ => name.clone(),
    }
}

fn environment(path: &Path) -> Environment {
    let text = String::from_utf8(fs::read(path).unwrap()).unwrap();
    let variables = text.split_terminator('\0');
    let pairs = variables.map(|variable| variable.split_once('=').unwrap());
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// A small torrent of this name.
pub(crate) fn small_torrent(name: &str, seed: u64) -> Torrent {
    Torrent::new(name, 40_000, 32_768, seed)
}

/// Downloads a torrent from a fake peer. The file gets its own name in the folder of the peer.
pub(crate) fn download(sandbox: &Sandbox, peer: &mut Peer, torrent: &Torrent) {
    begin_download(sandbox, peer, torrent);
    let serving = serve_to(peer, torrent, "source");
    peer.wait_for_state(&torrent.name, "complete");
    serving.join().unwrap();
}

/// Begins a download that has no source.
pub(crate) fn begin_download(sandbox: &Sandbox, peer: &mut Peer, torrent: &Torrent) {
    let hash: String = torrent
        .info_hash
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let file = torrent.write(sandbox, &format!("{hash}.torrent"));
    peer.run(&format!("download {}", quoted(&file)));
    peer.wait_for_download(&torrent.name, |it| it["state"] != "checking");
}

/// Ends a peer. Its exit code says that a `wait` of the test was too short.
pub(crate) fn leave(peer: Peer) {
    let (status, errors) = peer.process.wait();
    assert!(status.code().is_some(), "{errors}");
}

/// Waits until `status` shows a last result of the hook for this event. Returns its text.
pub(crate) fn wait_for_result(peer: &mut Peer, event: &str) -> String {
    let mut shown = String::new();
    wait_for(
        || {
            let status = peer.run("status");
            shown = status["hooks"].to_string();
            let hooks = status["hooks"].as_array().unwrap();
            let hook = hooks.iter().find(|hook| hook["event"] == event)?;
            hook["last"]["result"].as_str().map(str::to_owned)
        },
        || format!("no hook has ended for {event}"),
    )
}
