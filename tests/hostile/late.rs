//! Others that take too long: each ends its own link, with a log line that says what was late, and no other.
//!
//! The peers here run in this process, where their deadlines can be short.

use crate::peers::TORRENT;
use crate::script::*;
use crate::support::Sandbox;
use log::{LevelFilter, Log, Metadata, Record};
use pieceful::peer::{
    Deadlines, DownloadOptions, DownloadState, FirstUseNotice, Limits, Peer, PeerOptions,
};
use pieceful::storage::StateFolder;
use std::fs;
use std::io::Read;
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(50);

/// What the peers of all tests have told so far, at the level that is the default of the program.
static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Told;

impl Log for Told {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = format!("{} {}", record.level(), record.args());
        TOLD.lock().unwrap().push(line);
    }

    fn flush(&self) {}
}

fn told(parts: &[&str]) -> Option<String> {
    let lines = TOLD.lock().unwrap();
    let mut found = lines.iter();
    let found = found.find(|line| parts.iter().all(|part| line.contains(part)));
    found.cloned()
}

/// Waits until it is told why the link of `wire` ended.
fn end_of(wire: &Wire) -> String {
    let about = format!("link with {} ended", wire.local());
    wait_for(|| told(&[&about]), || format!("nothing says {about}"))
}

fn stands(wire: &Wire) -> bool {
    told(&[&format!("link with {} ended", wire.local())]).is_none()
}

/// A peer with the torrent, which is whole if it is `seeded`.
pub(crate) fn peer(sandbox: &Sandbox, seeded: bool, deadlines: Deadlines) -> Peer {
    static LOG: Once = Once::new();
    LOG.call_once(|| {
        log::set_logger(&Told).unwrap();
        log::set_max_level(LevelFilter::Info);
    });
    let options = PeerOptions {
        listen: ([127, 0, 0, 1], 0).into(),
        tracker_info: sandbox.tracker_info(),
        folder: StateFolder::open(&sandbox.path("state")).unwrap(),
        name: String::new(),
        threads: 2,
        max_peers: 50,
        first_use: FirstUseNotice::new(|_| {}),
        limits: Limits::default(),
        deadlines,
    };
    let peer = Peer::start(options).unwrap();
    let copy = sandbox.path("copy");
    if seeded {
        fs::write(&copy, &TORRENT.content).unwrap();
    }
    let wanted = DownloadOptions {
        destination: Some(copy),
        ..DownloadOptions::default()
    };
    let torrent = TORRENT.write(sandbox, "share.torrent");
    peer.download(&torrent, wanted, &|_, _| {}).unwrap();
    wait_for(
        || (peer.downloads()[0].state != DownloadState::Checking).then_some(()),
        || "it checks for ever".into(),
    );
    peer
}

pub(crate) fn greet(peer: &Peer, id: &str) -> Wire {
    Wire::greet(peer.address(), &TORRENT, BOTH, id)
}

/// Waits for the other side to say anything or to close, `PAUSE` at most; whether the line is open.
fn listen_a_while(wire: &mut Wire) -> bool {
    wire.stream.set_read_timeout(Some(PAUSE)).unwrap();
    let read = wire.stream.read(&mut [0; 1 << 10]);
    let late = [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut];
    wire.stream
        .set_read_timeout(Some(crate::support::PATIENCE))
        .unwrap();
    match read {
        Ok(read) => read > 0,
        Err(error) => late.contains(&error.kind()),
    }
}

/// Sends a byte at a time until the line is closed.
fn trickle(wire: &mut Wire, bytes: &[u8]) {
    for byte in bytes {
        wire.send(&[*byte]);
        if !listen_a_while(wire) {
            return;
        }
    }
    panic!("all {} bytes were waited for", bytes.len());
}

fn message_within(message: Duration) -> Deadlines {
    Deadlines {
        message,
        ..Deadlines::default()
    }
}

#[test]
fn a_message_that_does_not_come_whole_in_time_ends_its_link() {
    let sandbox = Sandbox::new();
    let seed = peer(&sandbox, true, message_within(SECOND));
    let mut bystander = greet(&seed, "bystander");
    let long = |id: u8| frame(id, &vec![0; 1_000]);
    let stopped = [
        ("a length", vec![0, 0]),
        ("a request", request(0, 0, BLOCK)[..9].to_vec()),
        ("a message that nobody knows", long(99)[..500].to_vec()),
        (
            "messages and a part",
            [frame(4, &numbers(&[1])), long(20)[..99].to_vec()].concat(),
        ),
    ];
    for (name, bytes) in stopped {
        let mut wire = greet(&seed, "stopped");
        wire.send(&bytes);
        wire.drain();
        let line = end_of(&wire);
        assert!(
            line.contains("did not come whole in 1 seconds"),
            "{name}: {line}"
        );
    }
    for (name, id) in [("an extended message", 20), ("one that nobody knows", 99)] {
        let begun = Instant::now();
        let mut wire = greet(&seed, "trickling");
        trickle(&mut wire, &long(id));
        let line = end_of(&wire);
        assert!(
            line.contains("did not come whole in 1 seconds"),
            "{name}: {line}"
        );
        assert!(begun.elapsed() >= SECOND, "{name}");
    }
    assert!(bystander.fetch(3, 0, 16).is_some() && stands(&bystander));
}

#[test]
fn a_block_that_trickles_ends_its_link_and_comes_from_another() {
    let sandbox = Sandbox::new();
    let leech = peer(&sandbox, false, message_within(SECOND));
    let mut wire = greet(&leech, "trickling");
    wire.send(&[have_all(), unchoke()].concat());
    let (index, begin, length) = asked(&wire.until(6).unwrap());
    let block = piece(index, begin, TORRENT.block(index, begin, length));
    wire.send(&block[..100]);
    trickle(&mut wire, &block[100..]);
    let line = end_of(&wire);
    assert!(line.contains("did not come whole in 1 seconds"), "{line}");
    serve(greet(&leech, "sound"), &TORRENT, |_, block| block.to_vec());
    assert!(fs::read(sandbox.path("copy")).unwrap() == TORRENT.content);
}

#[test]
fn a_silent_link_ends_and_one_that_sends_keep_alives_stays() {
    let sandbox = Sandbox::new();
    let silence = 3 * SECOND;
    let deadlines = Deadlines {
        silence,
        ..Deadlines::default()
    };
    let seed = peer(&sandbox, true, deadlines);
    let begun = Instant::now();
    // Neither sends the extension handshake that both sides know of: nobody has to.
    let (mut silent, mut patient) = (greet(&seed, "silent"), greet(&seed, "patient"));
    while begun.elapsed() < 2 * silence {
        patient.send(&KEEP_ALIVE);
        assert!(listen_a_while(&mut patient), "{}", end_of(&patient));
    }
    silent.drain();
    let line = end_of(&silent);
    assert!(line.contains("nothing came for 3 seconds"), "{line}");
    assert!(patient.fetch(0, 0, 16).is_some() && stands(&patient));
}

#[test]
fn a_link_that_takes_nothing_of_what_it_asked_for_ends() {
    let sandbox = Sandbox::new();
    let deadlines = Deadlines {
        unread: SECOND,
        ..Deadlines::default()
    };
    let seed = peer(&sandbox, true, deadlines);
    let mut bystander = greet(&seed, "bystander");
    let mut deaf = greet(&seed, "deaf");
    deaf.send(&interested());
    deaf.until(1).unwrap();
    // 16 MiB are more than sockets hold.
    deaf.send(&request(0, 0, BLOCK).repeat(1_000));
    let line = end_of(&deaf);
    assert!(line.contains("it does not read what it is sent"), "{line}");
    assert!(bystander.fetch(0, 0, 16).is_some() && stands(&bystander));
}

#[test]
fn a_link_that_lets_requests_go_stale_again_and_again_ends() {
    let sandbox = Sandbox::new();
    let deadlines = Deadlines {
        stalls: 2,
        ..Deadlines::default()
    };
    let leech = peer(&sandbox, false, deadlines);
    let bystander = greet(&leech, "bystander");
    let mut wire = greet(&leech, "promising");
    wire.send(&[have_all(), unchoke()].concat());
    wire.drain();
    let line = end_of(&wire);
    assert!(line.contains("it delivers nothing"), "{line}");
    assert!(stands(&bystander));
    serve(bystander, &TORRENT, |_, block| block.to_vec());
    assert!(fs::read(sandbox.path("copy")).unwrap() == TORRENT.content);
}

#[test]
fn keep_alives_go_out_when_there_is_nothing_else_to_say() {
    let sandbox = Sandbox::new();
    let deadlines = Deadlines {
        keep_alive: 4 * PAUSE,
        ..Deadlines::default()
    };
    let seed = peer(&sandbox, true, deadlines);
    let mut wire = greet(&seed, "listening");
    let mut keep_alives = 0;
    while keep_alives < 3 {
        let mut prefix = [0; 4];
        wire.stream.read_exact(&mut prefix).unwrap();
        let mut body = vec![0; u32::from_be_bytes(prefix) as usize];
        wire.stream.read_exact(&mut body).unwrap();
        keep_alives += usize::from(body.is_empty());
    }
}
