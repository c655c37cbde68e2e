//! libtorrent, by its Python package.

use super::contents::{self, assert_same};
use super::exchange::{
    OtherClient, Over, Swarm, assert_calm, assert_content, link, they_fetch_by_link,
    they_fetch_what_we_seed, until_fetched, we_fetch_by_link, we_fetch_what_they_seed,
};
use super::programs::{DISK, PATIENCE, Program, Running, are_installed, command, python, until};
use crate::common::peer::Peer;
use pieceful::torrent::Metainfo;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::sync::PoisonError;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/session.py");

/// A session in a process of its own, on 127.0.0.1.
pub(crate) struct Libtorrent {
    /// The first to be dropped: at the end of its input it would say goodbye to trackers, or not, as time allows.
    _process: Running,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
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
            _process: Running(child),
            stdin,
            stdout: BufReader::new(stdout),
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

    fn fetch_by_link(&mut self, link: &str, folder: &Path) {
        self.ask(&json!({"do": "add_link", "link": link, "folder": folder}));
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

type Exchange = fn(&Swarm, &mut dyn OtherClient, Over);

fn exchange(exchange: Exchange, over: Over, settings: &Value) {
    exchange_on("127.0.0.1", exchange, over, settings);
}

fn exchange_on(ip: &str, exchange: Exchange, over: Over, settings: &Value) {
    if !are_installed(&[Program::Libtorrent]) {
        return;
    }
    let swarm = Swarm::new(ip);
    let mut libtorrent = Libtorrent::start(&swarm, settings);
    exchange(&swarm, &mut libtorrent, over);
}

fn exchange_on_ipv6(exchange: Exchange, over: Over) {
    let settings = json!({"listen_interfaces": "[::1]:0"});
    exchange_on("::1", exchange, over, &settings);
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

#[test]
fn it_fetches_by_magnet_link_what_we_seed() {
    exchange(they_fetch_by_link, Over::Http, &json!({}));
}

#[test]
fn we_fetch_by_magnet_link_what_it_seeds() {
    exchange(we_fetch_by_link, Over::Udp, &json!({}));
}

#[test]
fn on_ipv6_it_fetches_what_we_seed_over_udp() {
    exchange_on_ipv6(they_fetch_what_we_seed, Over::Udp);
}

#[test]
fn on_ipv6_we_fetch_what_it_seeds_over_udp() {
    exchange_on_ipv6(we_fetch_what_they_seed, Over::Udp);
}

#[test]
fn on_ipv6_it_fetches_by_magnet_link_what_we_seed() {
    exchange_on_ipv6(they_fetch_by_link, Over::Udp);
}

#[test]
fn on_ipv6_we_fetch_by_magnet_link_what_it_seeds() {
    exchange_on_ipv6(we_fetch_by_link, Over::Http);
}

/// What takes a while, one torrent in pieces of many blocks and one of many files.
const SLOW: [&str; 2] = ["odd.bin", "many"];

/// A seed of ours, and torrents without a tracker. Whoever fetches them knows only whom it is told of.
fn trackerless(swarm: &Swarm) -> (Peer, [PathBuf; 2]) {
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
    swarm.until_known(2);
    (seed, torrents)
}

#[test]
fn we_hear_from_it_of_another_peer() {
    if !are_installed(&[Program::Libtorrent]) {
        return;
    }
    let swarm = Swarm::new("127.0.0.1");
    let (seed, torrents) = trackerless(&swarm);
    let mut theirs = Libtorrent::start(&swarm, &json!({}));
    let copies = swarm.sandbox.folder("copies");
    for torrent in &torrents {
        // Complete it would leave the seed.
        theirs.ask(&json!({"do": "add", "torrent": torrent, "folder": copies, "limit": 2_000}));
    }
    let address = seed.process.address;
    theirs.ask(&json!({"do": "connect", "ip": address.ip(), "port": address.port()}));
    swarm.hide_tracker();
    let mut leech = swarm.peer("leech", &[]);
    let port = theirs.ask(&json!({"do": "listen"}))["port"].clone();
    for torrent in &torrents {
        let link = link(torrent, "");
        let link = link.strip_suffix("&tr=").unwrap();
        leech.run(&format!("download '{link}&x.pe=127.0.0.1:{port}'"));
    }
    until_fetched(&mut leech);
    for name in SLOW {
        assert_same(
            &swarm.owned.join(name),
            &swarm.sandbox.path("leech").join(name),
        );
    }
    // Theirs tells the seed of it too, so either may have called.
    let log = swarm.log("leech");
    assert!(log.contains("(pieceful "), "{log}");
    assert_calm(&swarm, "leech");
}

#[test]
fn it_hears_from_us_of_another_peer() {
    if !are_installed(&[Program::Libtorrent]) {
        return;
    }
    let swarm = Swarm::new("127.0.0.1");
    let (seed, torrents) = trackerless(&swarm);
    // It knows the seed by the tracker, and is too slow for theirs to be done before it hears.
    let mut between = swarm.peer("between", &["--down", "10K", "--up", "10K"]);
    let mut theirs = Libtorrent::start(&swarm, &json!({}));
    let copies = swarm.sandbox.folder("copies");
    for torrent in &torrents {
        between.run(&format!("download {}", torrent.display()));
        theirs.fetch(torrent, &copies);
    }
    let address = between.process.address;
    theirs.ask(&json!({"do": "connect", "ip": address.ip(), "port": address.port()}));
    theirs.until_complete();
    for name in SLOW {
        assert_same(&swarm.owned.join(name), &copies.join(name));
    }
    assert_ne!(between.download("odd.bin")["state"], "complete");
    assert_content(&swarm, &mut theirs, "between");
    drop(seed);
}

/// By default it tries uTP first, which nobody of ours listens for, and turns our calls away while it tries.
#[test]
fn it_fetches_what_we_seed_after_trying_utp() {
    let settings = json!({"enable_outgoing_utp": true});
    exchange(they_fetch_what_we_seed, Over::Http, &settings);
}

/// A file with holes whose blocks lie past 32 bits, and a mark on each side of where counting could go wrong.
#[test]
fn offsets_past_32_bits_arrive_in_both_directions() {
    const LENGTH: u64 = (4 << 30) + 54_321;
    const MARKS: [u64; 4] = [0, (2 << 30) - 3, (4 << 30) - 3, LENGTH - 6];
    if !are_installed(&[Program::Libtorrent]) {
        return;
    }
    let _alone = DISK.lock().unwrap_or_else(PoisonError::into_inner);
    let swarm = Swarm::new("127.0.0.1");
    let holes = swarm.owned.join("holes.bin");
    fs::create_dir(&swarm.owned).unwrap();
    let file = File::create(&holes).unwrap();
    file.set_len(LENGTH).unwrap();
    for at in MARKS {
        file.write_all_at(b"marked", at).unwrap();
    }
    let is_marked = |file: &File, at| {
        let mut read = [0; 6];
        file.read_exact_at(&mut read, at).unwrap();
        &read == b"marked"
    };
    let assert_marked = |path: PathBuf| {
        let file = File::open(&path).unwrap();
        assert_eq!(file.metadata().unwrap().len(), LENGTH);
        for at in MARKS {
            until(&format!("the mark at {at} is written"), || {
                is_marked(&file, at).then_some(())
            });
        }
        fs::remove_file(path).unwrap();
    };

    let mut seed = swarm.peer("seed", &[]);
    let torrent = swarm.send(&mut seed, &holes, &Over::Http.url(swarm.tracker.address));
    swarm.until_known(1);
    let mut theirs = Libtorrent::start(&swarm, &json!({}));
    let copies = swarm.sandbox.folder("copies");
    theirs.add(&torrent, &copies);
    theirs.until_complete();
    assert_content(&swarm, &mut theirs, "seed");
    assert_marked(copies.join("holes.bin"));
    drop(theirs);
    seed.process.write_line("quit");
    seed.process.wait();

    let mut theirs = Libtorrent::start(&swarm, &json!({}));
    let believed =
        json!({"do": "add", "torrent": torrent, "folder": swarm.owned, "believed": true});
    theirs.ask(&believed);
    // The one before went without a word.
    swarm.until_known(2);
    swarm.hide_tracker();
    let mut leech = swarm.peer("leech", &[]);
    leech.run(&format!("download {}", torrent.display()));
    until_fetched(&mut leech);
    assert_content(&swarm, &mut theirs, "leech");
    assert_marked(swarm.sandbox.path("leech/holes.bin"));
}

/// The wire is not obfuscated here: the log says so where it calls, the download where it is called.
#[test]
fn one_that_insists_on_encryption_is_refused_clearly() {
    if !are_installed(&[Program::Libtorrent]) {
        return;
    }
    let swarm = Swarm::new("127.0.0.1");
    let file = swarm.sandbox.file("owned/file", 300_000, 1);
    let settings = json!({"out_enc_policy": 0, "in_enc_policy": 0});
    let mut seed = swarm.peer("seed", &[]);
    let torrent = swarm.send(&mut seed, &file, &Over::Http.url(swarm.tracker.address));
    swarm.until_known(1);
    let mut theirs = Libtorrent::start(&swarm, &settings);
    theirs.fetch(&torrent, &swarm.sandbox.folder("copies"));
    until("the log names what is wrong", || {
        let log = swarm.log("seed");
        // One encrypted line in 256 begins as TLS does.
        let named = ["encrypted ones are not understood", "is not TLS"];
        named.iter().any(|rule| log.contains(rule)).then_some(())
    });
    drop(theirs);
    seed.process.kill();

    let mut theirs = Libtorrent::start(&swarm, &settings);
    theirs.seed(&torrent, &swarm.owned);
    let mut leech = swarm.peer("leech", &[]);
    leech.run(&format!("download {}", torrent.display()));
    until("the log names what may be wrong", || {
        let log = swarm.log("leech");
        let named = "it hung up at the handshake";
        log.contains(named).then_some(())
    });
    assert_eq!(leech.download("file")["bytes_done"], 0);
}
