//! Deadlines of links: a peer that is too slow loses its own link and no other, and the log says
//! what was late.
//!
//! The peers under test run inside the process of the test, so that their deadlines can be short.

use crate::common::fake_peer::*;
use crate::common::open_swarm::TORRENT;
use crate::common::sandbox::Sandbox;
use crate::common::waiting::{PATIENCE, wait_for};
use log::{LevelFilter, Log, Metadata, Record};
use pieceful::peer::{
    Deadlines, DownloadOptions, DownloadState, FirstUseNotice, HookOptions, Limits, MachineNotice,
    Peer, PeerOptions, WantedPlace,
};
use pieceful::storage::StateFolder;
use std::fs;
use std::io::Read;
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(50);

/// The log lines of all peers in this process so far, at the default level of the program.
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct LineCollector;

impl Log for LineCollector {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = format!("{} {}", record.level(), record.args());
        LINES.lock().unwrap().push(line);
    }

    fn flush(&self) {}
}

/// The first log line that contains all of `parts`.
fn logged_line(parts: &[&str]) -> Option<String> {
    let lines = LINES.lock().unwrap();
    let mut found = lines.iter();
    let found = found.find(|line| parts.iter().all(|part| line.contains(part)));
    found.cloned()
}

/// Waits for the log line that says why the link ended.
fn wait_for_end_of(link: &FakePeer) -> String {
    let about = format!("link with {} ended", link.local_address());
    wait_for(
        || logged_line(&[&about]),
        || format!("no line contains {about:?}"),
    )
}

/// Whether no log line says that the link ended.
fn is_open(link: &FakePeer) -> bool {
    logged_line(&[&format!("link with {} ended", link.local_address())]).is_none()
}

/// Starts a seed of the torrent in this process.
fn start_seed(sandbox: &Sandbox, deadlines: Deadlines) -> Peer {
    start_peer(sandbox, true, deadlines)
}

/// Starts a leech of the torrent in this process. It has no piece.
pub(crate) fn start_leech(sandbox: &Sandbox, deadlines: Deadlines) -> Peer {
    start_peer(sandbox, false, deadlines)
}

fn start_peer(sandbox: &Sandbox, is_seed: bool, deadlines: Deadlines) -> Peer {
    static LOG: Once = Once::new();
    LOG.call_once(|| {
        log::set_logger(&LineCollector).unwrap();
        log::set_max_level(LevelFilter::Info);
    });
    let options = PeerOptions {
        machine: None,
        machine_notice: MachineNotice::new(|_| {}),
        listen: ([127, 0, 0, 1], 0).into(),
        tracker_info: sandbox.tracker_info(),
        folder: StateFolder::open(&sandbox.path("state")).unwrap(),
        name: String::new(),
        threads: 2,
        max_peers: 50,
        first_use: FirstUseNotice::new(|_| {}),
        limits: Limits::default(),
        deadlines,
        hooks: HookOptions::default(),
    };
    let peer = Peer::start(options).unwrap();
    let copy = sandbox.path("copy");
    if is_seed {
        fs::write(&copy, &TORRENT.content).unwrap();
    }
    let download_options = DownloadOptions {
        destination: WantedPlace {
            named: Some(copy),
            ..WantedPlace::default()
        },
        ..DownloadOptions::default()
    };
    let torrent = TORRENT.write(sandbox, "share.torrent");
    peer.download(&torrent, download_options, &|_, _| {})
        .unwrap();
    wait_for(
        || (!matches!(peer.downloads()[0].state, DownloadState::Checking(_))).then_some(()),
        || "the check does not end".into(),
    );
    peer
}

pub(crate) fn connect(peer: &Peer, id: &str) -> FakePeer {
    FakePeer::connect(peer.address(), &TORRENT, EXTENDED_AND_FAST, id)
}

/// Reads for `PAUSE` at most. Returns whether the link is still open.
fn read_for_a_pause(link: &mut FakePeer) -> bool {
    link.stream.set_read_timeout(Some(PAUSE)).unwrap();
    let read = link.stream.read(&mut [0; 1 << 10]);
    let timeouts = [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut];
    link.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    match read {
        Ok(read) => read > 0,
        Err(error) => timeouts.contains(&error.kind()),
    }
}

/// Sends one byte per pause until the link is closed, which must happen before the last byte.
fn trickle(link: &mut FakePeer, bytes: &[u8]) {
    for byte in bytes {
        link.send(&[*byte]);
        if !read_for_a_pause(link) {
            return;
        }
    }
    panic!("the peer waited for all {} bytes", bytes.len());
}

/// The default deadlines, except that a message that has begun must be complete within `message`.
fn message_within(message: Duration) -> Deadlines {
    Deadlines {
        message,
        ..Deadlines::default()
    }
}

#[test]
fn a_message_that_is_not_complete_in_time_ends_its_link() {
    let sandbox = Sandbox::new();
    let seed = start_seed(&sandbox, message_within(SECOND));
    let mut bystander = connect(&seed, "bystander");
    let long = |id: u8| frame(id, &vec![0; 1_000]);
    let incomplete = [
        ("a length", vec![0, 0]),
        ("a request", request(0, 0, BLOCK)[..9].to_vec()),
        ("a message with an unknown id", long(99)[..500].to_vec()),
        (
            "a message and a part of another",
            [frame(HAVE, &numbers(&[1])), long(EXTENDED)[..99].to_vec()].concat(),
        ),
    ];
    for (name, bytes) in incomplete {
        let mut link = connect(&seed, "stopped");
        link.send(&bytes);
        link.read_to_end();
        let line = wait_for_end_of(&link);
        assert!(
            line.contains("did not come whole in 1 seconds"),
            "{name}: {line}"
        );
    }
    for (name, id) in [("an extended message", EXTENDED), ("an unknown id", 99)] {
        let start = Instant::now();
        let mut link = connect(&seed, "trickling");
        trickle(&mut link, &long(id));
        let line = wait_for_end_of(&link);
        assert!(
            line.contains("did not come whole in 1 seconds"),
            "{name}: {line}"
        );
        assert!(start.elapsed() >= SECOND, "{name}");
    }
    assert!(bystander.fetch(3, 0, 16).is_some() && is_open(&bystander));
}

#[test]
fn a_block_that_trickles_ends_its_link_and_is_fetched_from_another_seed() {
    let sandbox = Sandbox::new();
    let leech = start_leech(&sandbox, message_within(SECOND));
    let mut link = connect(&leech, "trickling");
    link.send(&[have_all(), unchoke()].concat());
    let (index, begin, length) = parse_request(&link.read_until(REQUEST).unwrap());
    let block = piece(index, begin, TORRENT.block(index, begin, length));
    link.send(&block[..100]);
    trickle(&mut link, &block[100..]);
    let line = wait_for_end_of(&link);
    assert!(line.contains("did not come whole in 1 seconds"), "{line}");
    serve_all(connect(&leech, "honest"), &TORRENT);
    assert!(fs::read(sandbox.path("copy")).unwrap() == TORRENT.content);
}

#[test]
fn a_silent_link_ends_and_a_link_with_keep_alives_stays() {
    let sandbox = Sandbox::new();
    let silence = 3 * SECOND;
    let deadlines = Deadlines {
        silence,
        ..Deadlines::default()
    };
    let seed = start_seed(&sandbox, deadlines);
    let start = Instant::now();
    // Neither caller sends an extension handshake. Both sides offer extensions, but that handshake
    // is optional.
    let (mut silent, mut patient) = (connect(&seed, "silent"), connect(&seed, "patient"));
    while start.elapsed() < 2 * silence {
        patient.send(&KEEP_ALIVE);
        assert!(
            read_for_a_pause(&mut patient),
            "{}",
            wait_for_end_of(&patient)
        );
    }
    silent.read_to_end();
    let line = wait_for_end_of(&silent);
    assert!(line.contains("nothing came for 3 seconds"), "{line}");
    assert!(patient.fetch(0, 0, 16).is_some() && is_open(&patient));
}

#[test]
fn a_link_that_does_not_read_its_blocks_ends() {
    let sandbox = Sandbox::new();
    let deadlines = Deadlines {
        unread: SECOND,
        ..Deadlines::default()
    };
    let seed = start_seed(&sandbox, deadlines);
    let mut bystander = connect(&seed, "bystander");
    let mut deaf = connect(&seed, "deaf");
    deaf.send(&interested());
    deaf.read_until(UNCHOKE).unwrap();
    // 16 MiB are more than the buffers of the sockets.
    deaf.send(&request(0, 0, BLOCK).repeat(1_000));
    let line = wait_for_end_of(&deaf);
    assert!(
        line.contains("it does not read what this peer sends"),
        "{line}"
    );
    assert!(bystander.fetch(0, 0, 16).is_some() && is_open(&bystander));
}

#[test]
fn a_link_that_leaves_requests_unanswered_again_and_again_ends() {
    let sandbox = Sandbox::new();
    let deadlines = Deadlines {
        stalls: 2,
        ..Deadlines::default()
    };
    let leech = start_leech(&sandbox, deadlines);
    let bystander = connect(&leech, "bystander");
    let mut link = connect(&leech, "promising");
    link.send(&[have_all(), unchoke()].concat());
    link.read_to_end();
    let line = wait_for_end_of(&link);
    assert!(line.contains("it delivers nothing"), "{line}");
    assert!(is_open(&bystander));
    serve_all(bystander, &TORRENT);
    assert!(fs::read(sandbox.path("copy")).unwrap() == TORRENT.content);
}

#[test]
fn a_link_without_messages_gets_keep_alives() {
    let sandbox = Sandbox::new();
    let deadlines = Deadlines {
        keep_alive: 4 * PAUSE,
        ..Deadlines::default()
    };
    let seed = start_seed(&sandbox, deadlines);
    let mut link = connect(&seed, "listening");
    let mut keep_alives = 0;
    while keep_alives < 3 {
        let mut prefix = [0; 4];
        link.stream.read_exact(&mut prefix).unwrap();
        let mut body = vec![0; u32::from_be_bytes(prefix) as usize];
        link.stream.read_exact(&mut body).unwrap();
        keep_alives += usize::from(body.is_empty());
    }
}
