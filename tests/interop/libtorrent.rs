//! libtorrent, by its Python package.

use crate::exchange::{Client, Over, Swarm, they_fetch_what_we_seed, we_fetch_what_they_seed};
use crate::others::{Other, Running, are_here, command, python};
use crate::support::PATIENCE;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Stdio};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/session.py");

/// A session in a process of its own, on 127.0.0.1.
pub(crate) struct Libtorrent {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    _process: Running,
}

impl Libtorrent {
    pub(crate) fn start(swarm: &Swarm, settings: &Value) -> Self {
        let mut command = command(python(), &swarm.sandbox.folder("libtorrent"));
        command
            .args(["-W", "ignore", "-B", SCRIPT])
            .arg(settings.to_string());
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self {
            stdin,
            stdout: BufReader::new(stdout),
            _process: Running(child),
        }
    }

    /// Runs a command of the script; each has a time limit of its own.
    pub(crate) fn ask(&mut self, command: &Value) -> Value {
        writeln!(self.stdin, "{command}").unwrap();
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{command}: it ended"))
    }

    pub(crate) fn add(&mut self, torrent: &Path, folder: &Path) -> Value {
        self.ask(&json!({"do": "add", "torrent": torrent, "folder": folder}))
    }

    /// Until every torrent is complete.
    pub(crate) fn wait(&mut self, seconds: u64) -> Value {
        let told = self.ask(&json!({"do": "wait", "seconds": seconds}));
        assert_eq!(told["complete"], true, "{told:#}");
        told
    }
}

impl Client for Libtorrent {
    fn make(&mut self, path: &Path, url: &str, torrent: &Path) {
        self.ask(&json!({"do": "make", "path": path, "trackers": [url], "out": torrent}));
    }

    fn seed(&mut self, torrent: &Path, folder: &Path) {
        self.add(torrent, folder);
    }

    fn fetch(&mut self, torrent: &Path, folder: &Path) {
        self.add(torrent, folder);
    }

    fn until_complete(&mut self) {
        let told = self.wait(PATIENCE.as_secs());
        assert_eq!(told["failed_bytes"], 0, "{told:#}");
    }

    fn complaints(&mut self) -> Vec<String> {
        let told = self.wait(PATIENCE.as_secs());
        let complaints = told["complaints"].as_array().unwrap();
        complaints
            .iter()
            .map(|complaint| complaint.as_str().unwrap().to_owned())
            .collect()
    }
}

fn exchange(exchange: fn(&Swarm, &mut dyn Client, Over), over: Over, settings: &Value) {
    if !are_here(&[Other::Libtorrent]) {
        return;
    }
    let swarm = Swarm::new("127.0.0.1");
    let mut libtorrent = Libtorrent::start(&swarm, settings);
    exchange(&swarm, &mut libtorrent, over);
}

#[test]
fn it_fetches_what_we_seed_over_http() {
    exchange(they_fetch_what_we_seed, Over::Http, &json!({}));
}

#[test]
fn it_fetches_what_we_seed_over_udp() {
    exchange(they_fetch_what_we_seed, Over::Udp, &json!({}));
}

#[test]
fn we_fetch_what_it_seeds_over_http() {
    exchange(we_fetch_what_they_seed, Over::Http, &json!({}));
}

#[test]
fn we_fetch_what_it_seeds_over_udp() {
    exchange(we_fetch_what_they_seed, Over::Udp, &json!({}));
}

/// By default it tries uTP first, which nobody of ours listens for, and turns our calls away while it tries.
#[test]
fn it_fetches_what_we_seed_after_trying_utp() {
    let settings = json!({"enable_outgoing_utp": true});
    exchange(they_fetch_what_we_seed, Over::Http, &settings);
}
