//! Measures how many announces a second a tracker answers to one client thread, in four ways: over
//! HTTP on one connection that stays open, one at a time and 16 pipelined; over UDP, one at a time
//! and 16 at the same time.
//!
//! `cargo bench --bench announces` starts the tracker as a separate process on loopback, fills
//! 1,000 swarms with 50 peers each, and prints one line for each way. The line has the rate, and
//! the processor time of the tracker for one announce, which is more reliable on a machine that
//! others use. Every answer has 49 peers.
//!
//! `$PIECEFUL` names another binary. One argument `SECONDS` sets how long each way is measured.
//!
//! With the arguments `ADDRESS PROCESS_ID [SECONDS]` it measures only UDP, at a running tracker
//! that serves these swarms (see `benches/opentracker.sh`).

mod common;

use common::{Udp, end_tracker, processor_time, start_tracker};
use pieceful::torrent::InfoHash;
use pieceful::wire::{AnnounceRequest, PeerId};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

const SWARMS: u32 = 1_000;
const PEERS: u32 = 50;
/// How long each way is measured by default.
const RUN: Duration = Duration::from_secs(5);

fn main() {
    // Cargo adds an argument of its own.
    let arguments = std::env::args().skip(1).filter(|word| word != "--bench");
    match &arguments.collect::<Vec<_>>()[..] {
        [] => measure_ours(RUN),
        [seconds] => measure_ours(Duration::from_secs(seconds.parse().unwrap())),
        [address, process_id, seconds @ ..] => {
            let seconds = seconds.first().map(|seconds| seconds.parse().unwrap());
            let run = seconds.map_or(RUN, Duration::from_secs);
            measure_udp(address.parse().unwrap(), process_id.parse().unwrap(), run);
        }
    }
}

fn measure_udp(address: SocketAddr, process_id: u32, run: Duration) {
    let mut udp = new_udp(address);
    for number in 0..SWARMS * PEERS {
        announce_over_udp(&mut udp, number, 1);
    }
    for at_once in [1, 16] {
        let name = format!("UDP, {at_once} at a time");
        measure(&name, process_id, run, at_once, |number| {
            let peers = announce_over_udp(&mut udp, number, at_once);
            // Some trackers also send the peer its own address.
            assert!((49..=50).contains(&peers), "{peers} peers");
        });
    }
}

fn measure_ours(run: Duration) {
    let (tracker, address) = start_tracker(&[]);
    let mut http = Http::new(address);
    let all = SWARMS * PEERS;
    for number in 0..all {
        http.announce(number, 1);
    }
    for at_once in [1, 16] {
        let name = format!("HTTP, one connection, {at_once} at a time");
        measure(&name, tracker.id(), run, at_once, |number| {
            http.announce(number, at_once)
        });
    }
    let mut udp = new_udp(address);
    for at_once in [1, 16] {
        let name = format!("UDP, {at_once} at a time");
        measure(&name, tracker.id(), run, at_once, |number| {
            assert_eq!(announce_over_udp(&mut udp, number, at_once), 49);
        });
    }
    end_tracker(tracker);
}

fn new_udp(address: SocketAddr) -> Udp {
    Udp::new(([127, 0, 0, 1], 0).into(), address)
}

/// Makes `at_once` announces at the same time, beginning with `number`. Returns the number of peers
/// in the last answer.
fn announce_over_udp(udp: &mut Udp, number: u32, at_once: u32) -> usize {
    for number in number..number + at_once {
        udp.send(announce(number));
    }
    let answers = (0..at_once).map(|_| udp.receive());
    answers.last().unwrap_or_default()
}

/// Calls `act` until the time `run` is over. Each call makes `count` announces, beginning with the
/// number that it gets.
fn measure(name: &str, process_id: u32, run: Duration, count: u32, mut act: impl FnMut(u32)) {
    let (begun, busy, mut done) = (Instant::now(), processor_time(process_id), 0u32);
    while begun.elapsed() < run {
        act(done);
        done += count;
    }
    let rate = f64::from(done) / begun.elapsed().as_secs_f64();
    let busy = processor_time(process_id).saturating_sub(busy);
    let each = busy.as_secs_f64() * 1e6 / f64::from(done);
    println!("{name}: {rate:.0} announces/s, {each:.1} us of the tracker's processor time each");
}

fn announce(number: u32) -> AnnounceRequest {
    let (swarm, peer) = (number % SWARMS, number / SWARMS % PEERS);
    let (mut info_hash, mut peer_id) = ([1; 20], [b'p'; 20]);
    info_hash[..4].copy_from_slice(&swarm.to_be_bytes());
    peer_id[..4].copy_from_slice(&peer.to_be_bytes());
    AnnounceRequest {
        info_hash: InfoHash(info_hash),
        peer_id: PeerId(peer_id),
        port: NonZeroU16::new(1_000 + peer as u16).unwrap(),
        uploaded: u64::from(number),
        downloaded: 0,
        left: 1,
        event: None,
        num_want: None,
        compact: true,
        no_peer_id: true,
        key: Some(b"0000BEEF".to_vec()),
        pieceful: false,
    }
}

struct Http {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Http {
    fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    /// Sends `at_once` announces, beginning with `number`, and then reads all answers.
    fn announce(&mut self, number: u32, at_once: u32) {
        let mut requests = String::new();
        for number in number..number + at_once {
            let query = announce(number).to_query();
            requests += &format!("GET /announce?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        }
        self.stream.write_all(requests.as_bytes()).unwrap();
        for _ in 0..at_once {
            self.read_response();
        }
    }

    fn read_response(&mut self) {
        loop {
            let end = self.unread.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                let head = str::from_utf8(&self.unread[..end]).unwrap();
                let length = head.split("Content-Length: ").nth(1).unwrap();
                let length: usize = length.lines().next().unwrap().parse().unwrap();
                if self.unread.len() >= end + 4 + length {
                    assert!(
                        head.starts_with("HTTP/1.1 200 ") && length > 40,
                        "a refusal"
                    );
                    self.unread.drain(..end + 4 + length);
                    return;
                }
            }
            let mut bytes = [0; 32 << 10];
            let read = self.stream.read(&mut bytes).unwrap();
            assert_ne!(read, 0);
            self.unread.extend(&bytes[..read]);
        }
    }
}
