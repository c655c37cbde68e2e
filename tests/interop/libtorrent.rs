//! libtorrent, driven through its Python package.

use super::contents::{self, assert_same};
use super::exchange::{
    OtherClient, Swarm, TrackerProtocol, assert_no_complaints, assert_no_warnings,
    client_fetches_by_magnet_link, client_fetches_from_peer, magnet_link,
    peer_fetches_by_magnet_link, peer_fetches_from_client, wait_for_peer,
};
use super::programs::{DISK, PATIENCE, Program, are_installed, command, python, wait_for_answer};
use crate::common::peer::Peer;
use crate::common::process::KilledOnDrop;
use crate::common::sandbox::Sandbox;
use pieceful::torrent::Metainfo;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::sync::PoisonError;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/session.py");

/// A libtorrent session in its own process, on 127.0.0.1.
pub(crate) struct Libtorrent {
    /// Dropped first, so that the process is killed before its input ends. At the end of its input
    /// it might or might not announce `stopped`.
    _process: KilledOnDrop,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Libtorrent {
    pub(crate) fn start(swarm: &Swarm, settings: &Value) -> Self {
        Self::start_in(&swarm.sandbox, settings)
    }

    pub(crate) fn start_in(sandbox: &Sandbox, settings: &Value) -> Self {
        let mut command = command(python(), &sandbox.folder("libtorrent"));
        command
            .args(["-W", "ignore", "-B", SCRIPT])
            .arg(settings.to_string());
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self {
            _process: KilledOnDrop(child),
            stdin,
            stdout: BufReader::new(stdout),
        }
    }

    /// Runs a command of the script and returns its answer. Each command has its own time limit.
    pub(crate) fn ask(&mut self, command: &Value) -> Value {
        writeln!(self.stdin, "{command}").unwrap();
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{command}: libtorrent ended"))
    }

    pub(crate) fn add(&mut self, torrent: &Path, folder: &Path) -> Value {
        self.ask(&json!({"do": "add", "torrent": torrent, "folder": folder}))
    }

    /// Waits until every torrent is complete, at most for this time. Returns the status.
    pub(crate) fn wait(&mut self, seconds: u64) -> Value {
        let status = self.ask(&json!({"do": "wait", "seconds": seconds}));
        assert_eq!(status["complete"], true, "{status:#}");
        status
    }
}

impl OtherClient for Libtorrent {
    fn make(&mut self, path: &Path, url: &str, torrent: &Path) {
        self.ask(&json!({"do": "make", "path": path, "trackers": [url], "out": torrent}));
    }

    fn seed(&mut self, torrent: &Path, folder: &Path) {
        self.add(torrent, folder);
    }

    fn fetch(&mut self, torrent: &Path, folder: &Path) {
        self.add(torrent, folder);
    }

    fn fetch_by_magnet_link(&mut self, link: &str, folder: &Path) {
        self.ask(&json!({"do": "add_link", "link": link, "folder": folder}));
    }

    fn wait_until_complete(&mut self) {
        let status = self.wait(PATIENCE.as_secs());
        assert_eq!(status["failed_bytes"], 0, "{status:#}");
    }

    fn complaints(&mut self) -> Vec<String> {
        let status = self.wait(PATIENCE.as_secs());
        let complaints = status["complaints"].as_array().unwrap();
        complaints
            .iter()
            .map(|complaint| complaint.as_str().unwrap().to_owned())
            .collect()
    }
}

type Exchange = fn(&Swarm, &mut dyn OtherClient, TrackerProtocol);

fn run_exchange(exchange: Exchange, protocol: TrackerProtocol, settings: &Value) {
    run_exchange_on("127.0.0.1", exchange, protocol, settings);
}

fn run_exchange_on(ip: &str, exchange: Exchange, protocol: TrackerProtocol, settings: &Value) {
    if !are_installed(&[Program::Libtorrent]) {
        return;
    }
    let swarm = Swarm::new(ip);
    let mut libtorrent = Libtorrent::start(&swarm, settings);
    exchange(&swarm, &mut libtorrent, protocol);
}

fn run_exchange_on_ipv6(exchange: Exchange, protocol: TrackerProtocol) {
    let settings = json!({"listen_interfaces": "[::1]:0"});
    run_exchange_on("::1", exchange, protocol, &settings);
}

#[test]
fn libtorrent_fetches_from_a_peer_with_an_http_tracker() {
    run_exchange(client_fetches_from_peer, TrackerProtocol::Http, &json!({}));
}

#[test]
fn libtorrent_fetches_from_a_peer_with_a_udp_tracker() {
    run_exchange(client_fetches_from_peer, TrackerProtocol::Udp, &json!({}));
}

#[test]
fn a_peer_fetches_from_libtorrent_with_an_http_tracker() {
    run_exchange(peer_fetches_from_client, TrackerProtocol::Http, &json!({}));
}

#[test]
fn a_peer_fetches_from_libtorrent_with_a_udp_tracker() {
    run_exchange(peer_fetches_from_client, TrackerProtocol::Udp, &json!({}));
}

#[test]
fn libtorrent_fetches_by_magnet_link_from_a_peer() {
    run_exchange(
        client_fetches_by_magnet_link,
        TrackerProtocol::Http,
        &json!({}),
    );
}

#[test]
fn a_peer_fetches_by_magnet_link_from_libtorrent() {
    run_exchange(
        peer_fetches_by_magnet_link,
        TrackerProtocol::Udp,
        &json!({}),
    );
}

#[test]
fn libtorrent_fetches_from_a_peer_on_ipv6_with_a_udp_tracker() {
    run_exchange_on_ipv6(client_fetches_from_peer, TrackerProtocol::Udp);
}

#[test]
fn a_peer_fetches_from_libtorrent_on_ipv6_with_a_udp_tracker() {
    run_exchange_on_ipv6(peer_fetches_from_client, TrackerProtocol::Udp);
}

#[test]
fn libtorrent_fetches_by_magnet_link_from_a_peer_on_ipv6() {
    run_exchange_on_ipv6(client_fetches_by_magnet_link, TrackerProtocol::Udp);
}

#[test]
fn a_peer_fetches_by_magnet_link_from_libtorrent_on_ipv6() {
    run_exchange_on_ipv6(peer_fetches_by_magnet_link, TrackerProtocol::Http);
}

/// Content whose download takes a while: one file of many blocks, and one folder of many files.
const SLOW: [&str; 2] = ["odd.bin", "many"];

/// A seed, and torrents without a tracker: a leech finds peers only by peer exchange or by an
/// address that the test passes to it.
fn seed_and_torrents_without_tracker(swarm: &Swarm) -> (Peer, [PathBuf; 2]) {
    let owned = contents::write(&swarm.sandbox);
    let mut seed = swarm.peer("seed", &[]);
    let torrents = SLOW.map(|name| {
        let sent = swarm.sandbox.path(&format!("{name}.sent"));
        let path = owned.join(name);
        seed.run(&format!("send {} {}", path.display(), sent.display()));
        let sent = Metainfo::parse(&fs::read(sent).unwrap()).unwrap();
        let torrent = swarm.sandbox.path(&format!("{name}.torrent"));
        fs::write(
            &torrent,
            Metainfo::new(sent.info().clone(), Vec::new()).encode(),
        )
        .unwrap();
        torrent
    });
    swarm.wait_for_announced_peers(2);
    (seed, torrents)
}

#[test]
fn a_peer_finds_another_peer_that_libtorrent_names() {
    if !are_installed(&[Program::Libtorrent]) {
        return;
    }
    let swarm = Swarm::new("127.0.0.1");
    let (seed, torrents) = seed_and_torrents_without_tracker(&swarm);
    let mut theirs = Libtorrent::start(&swarm, &json!({}));
    let copies = swarm.sandbox.folder("copies");
    for torrent in &torrents {
        // The limit keeps libtorrent incomplete: when complete it would end the link with the seed.
        theirs.ask(&json!({"do": "add", "torrent": torrent, "folder": copies, "limit": 2_000}));
    }
    let address = seed.process.address;
    theirs.ask(&json!({"do": "connect", "ip": address.ip(), "port": address.port()}));
    swarm.clear_tracker_info();
    let mut leech = swarm.peer("leech", &[]);
    let port = theirs.ask(&json!({"do": "listen"}))["port"].clone();
    for torrent in &torrents {
        let link = magnet_link(torrent, "");
        let link = link.strip_suffix("&tr=").unwrap();
        leech.run(&format!("download '{link}&x.pe=127.0.0.1:{port}'"));
    }
    wait_for_peer(&mut leech);
    for name in SLOW {
        assert_same(
            &swarm.owned.join(name),
            &swarm.sandbox.path("leech").join(name),
        );
    }
    // libtorrent also names the leech to the seed. So either of the two may have called the other.
    let log = swarm.log("leech");
    assert!(log.contains("(pieceful "), "{log}");
    assert_no_warnings(&swarm, "leech");
}

#[test]
fn libtorrent_finds_another_peer_that_a_peer_names() {
    if !are_installed(&[Program::Libtorrent]) {
        return;
    }
    let swarm = Swarm::new("127.0.0.1");
    let (seed, torrents) = seed_and_torrents_without_tracker(&swarm);
    // This peer knows the seed by the tracker. It is so slow that libtorrent needs the seed, which
    // only this peer names.
    let mut between = swarm.peer("between", &["--down", "10K", "--up", "10K"]);
    let mut theirs = Libtorrent::start(&swarm, &json!({}));
    let copies = swarm.sandbox.folder("copies");
    for torrent in &torrents {
        between.run(&format!("download {}", torrent.display()));
        theirs.fetch(torrent, &copies);
    }
    let address = between.process.address;
    theirs.ask(&json!({"do": "connect", "ip": address.ip(), "port": address.port()}));
    theirs.wait_until_complete();
    for name in SLOW {
        assert_same(&swarm.owned.join(name), &copies.join(name));
    }
    assert_ne!(between.shown_download("odd.bin")["state"], "complete");
    assert_no_complaints(&swarm, &mut theirs, "between");
    drop(seed);
}

/// By default libtorrent first tries uTP, for which a peer does not listen. Meanwhile libtorrent
/// refuses calls of the peer.
#[test]
fn libtorrent_fetches_from_a_peer_after_trying_utp() {
    let settings = json!({"enable_outgoing_utp": true});
    run_exchange(client_fetches_from_peer, TrackerProtocol::Http, &settings);
}

/// The offsets of the marks in the large file: at its start and its end, and across 2 GiB and
/// 4 GiB, where 32-bit arithmetic would overflow.
const MARKS: [u64; 4] = [0, (2 << 30) - 3, (4 << 30) - 3, LARGE - 6];
/// The length of the large file.
const LARGE: u64 = (4 << 30) + 54_321;

fn write_large_file(path: &Path) {
    let file = File::create(path).unwrap();
    file.set_len(LARGE).unwrap();
    for at in MARKS {
        file.write_all_at(b"marked", at).unwrap();
    }
}

/// Waits until a copy of the large file has all marks, and removes the copy.
fn check_and_remove_large_file(path: PathBuf) {
    let file = File::open(&path).unwrap();
    assert_eq!(file.metadata().unwrap().len(), LARGE);
    for at in MARKS {
        wait_for_answer(&format!("the mark at {at} is written"), || {
            let mut found = [0; 6];
            file.read_exact_at(&mut found, at).unwrap();
            (&found == b"marked").then_some(())
        });
    }
    fs::remove_file(path).unwrap();
}

/// The file is sparse, larger than 4 GiB, and has [`MARKS`].
#[test]
fn bytes_past_4_gib_arrive_in_both_directions() {
    if !are_installed(&[Program::Libtorrent]) {
        return;
    }
    let _alone = DISK.lock().unwrap_or_else(PoisonError::into_inner);
    let swarm = Swarm::new("127.0.0.1");
    let holes = swarm.owned.join("holes.bin");
    fs::create_dir(&swarm.owned).unwrap();
    write_large_file(&holes);

    let mut seed = swarm.peer("seed", &[]);
    let torrent = swarm.send(
        &mut seed,
        &holes,
        &TrackerProtocol::Http.url(swarm.tracker.address),
    );
    swarm.wait_for_announced_peers(1);
    let mut theirs = Libtorrent::start(&swarm, &json!({}));
    let copies = swarm.sandbox.folder("copies");
    theirs.add(&torrent, &copies);
    theirs.wait_until_complete();
    assert_no_complaints(&swarm, &mut theirs, "seed");
    check_and_remove_large_file(copies.join("holes.bin"));
    drop(theirs);
    seed.process.write_line("quit");
    seed.process.wait();

    let mut theirs = Libtorrent::start(&swarm, &json!({}));
    let add =
        json!({"do": "add", "torrent": torrent, "folder": swarm.owned, "assume_complete": true});
    theirs.ask(&add);
    // The killed libtorrent is still counted.
    swarm.wait_for_announced_peers(2);
    swarm.clear_tracker_info();
    let mut leech = swarm.peer("leech", &[]);
    leech.run(&format!("download {}", torrent.display()));
    wait_for_peer(&mut leech);
    assert_no_complaints(&swarm, &mut theirs, "leech");
    check_and_remove_large_file(swarm.sandbox.path("leech/holes.bin"));
}

/// A peer does not support obfuscated handshakes. Its log says so when libtorrent calls, and when
/// the peer calls libtorrent.
#[test]
fn the_log_names_the_reason_if_libtorrent_insists_on_encryption() {
    if !are_installed(&[Program::Libtorrent]) {
        return;
    }
    let swarm = Swarm::new("127.0.0.1");
    let file = swarm.sandbox.file("owned/file", 300_000, 1);
    let settings = json!({"out_enc_policy": 0, "in_enc_policy": 0});
    let mut seed = swarm.peer("seed", &[]);
    let torrent = swarm.send(
        &mut seed,
        &file,
        &TrackerProtocol::Http.url(swarm.tracker.address),
    );
    swarm.wait_for_announced_peers(1);
    let mut theirs = Libtorrent::start(&swarm, &settings);
    theirs.fetch(&torrent, &swarm.sandbox.folder("copies"));
    wait_for_answer("the log names what is wrong", || {
        let log = swarm.log("seed");
        // One encrypted handshake in 256 begins like TLS.
        let reasons = [
            "encrypted handshakes are not supported",
            "does not speak TLS",
        ];
        reasons
            .iter()
            .any(|reason| log.contains(reason))
            .then_some(())
    });
    drop(theirs);
    seed.process.kill();

    let mut theirs = Libtorrent::start(&swarm, &settings);
    theirs.seed(&torrent, &swarm.owned);
    let mut leech = swarm.peer("leech", &[]);
    leech.run(&format!("download {}", torrent.display()));
    wait_for_answer("the log names what may be wrong", || {
        let log = swarm.log("leech");
        let reason = "it hung up at the handshake";
        log.contains(reason).then_some(())
    });
    assert_eq!(leech.shown_download("file")["bytes_done"], 0);
}
