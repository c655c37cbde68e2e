//! Measures how many announces a second a tracker answers to one client thread: over HTTP on one
//! connection that stays open, one at a time and 16 sent ahead; over UDP, one at a time and 16 at
//! the same time.
//!
//! `cargo bench --bench announces` starts the tracker as a separate process on loopback, fills
//! 1,000 swarms with 50 peers each, and prints one line for each way. The line has the rate, and
//! the processor time of the tracker for one announce, which is more reliable on a machine that
//! others use. Every answer has 49 peers.
//!
//! `$PIECEFUL` names another binary. One argument `SECONDS` sets how long each way is measured.
//!
//! With the arguments `ADDRESS PROCESS [SECONDS]` it measures only UDP, at a running tracker that
//! serves these swarms (see `benches/opentracker.sh`).

use pieceful::torrent::InfoHash;
use pieceful::wire::udp_tracker::{
    AddressFamily, ConnectionId, TransactionId, UdpRequest, UdpResponse,
};
use pieceful::wire::{AnnounceRequest, PeerId};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::num::NonZeroU16;
use std::process::{Child, Command, Stdio};
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
        [address, process, seconds @ ..] => {
            let seconds = seconds.first().map(|seconds| seconds.parse().unwrap());
            let run = seconds.map_or(RUN, Duration::from_secs);
            measure_udp(address.parse().unwrap(), process.parse().unwrap(), run);
        }
    }
}

fn measure_udp(address: SocketAddr, process: u32, run: Duration) {
    let mut udp = Udp::new(address);
    for number in 0..SWARMS * PEERS {
        udp.announce(number, 1);
    }
    for at_once in [1, 16] {
        let name = format!("UDP, {at_once} at a time");
        measure(&name, process, run, at_once, |number| {
            let length = udp.announce(number, at_once);
            // Some trackers also send the peer its own address.
            assert!((49..=50).contains(&((length - 20) / 6)), "{length} bytes");
        });
    }
}

fn measure_ours(run: Duration) {
    let (mut tracker, address) = start_tracker();
    let mut http = Http::new(address);
    let all = SWARMS * PEERS;
    for number in 0..all {
        http.announce(number, 1);
    }
    for ahead in [1, 16] {
        let name = format!("HTTP, one connection, {ahead} at a time");
        measure(&name, tracker.id(), run, ahead, |number| {
            http.announce(number, ahead)
        });
    }
    let mut udp = Udp::new(address);
    for at_once in [1, 16] {
        let name = format!("UDP, {at_once} at a time");
        measure(&name, tracker.id(), run, at_once, |number| {
            let length = udp.announce(number, at_once);
            assert_eq!(length, 20 + 49 * 6, "a refusal, or few peers");
        });
    }
    // A graceful end, so that the tracker removes its temporary folder.
    let id = tracker.id().to_string();
    assert!(Command::new("kill").arg(id).status().unwrap().success());
    tracker.wait().unwrap();
}

fn start_tracker() -> (Child, SocketAddr) {
    let ours = env!("CARGO_BIN_EXE_pieceful");
    let binary = std::env::var("PIECEFUL").unwrap_or_else(|_| ours.to_owned());
    let mut tracker = Command::new(binary)
        .args(["tracker", "--open", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    let mut lines = BufReader::new(tracker.stdout.take().unwrap());
    lines.read_line(&mut first).unwrap();
    let address = first.trim().rsplit(' ').next().unwrap().parse().unwrap();
    (tracker, address)
}

/// Calls `act` until the time `run` is over. Each call makes `count` announces, beginning with the
/// number that it gets.
fn measure(name: &str, tracker: u32, run: Duration, count: u32, mut act: impl FnMut(u32)) {
    let (begun, busy, mut done) = (Instant::now(), processor_time(tracker), 0u32);
    while begun.elapsed() < run {
        act(done);
        done += count;
    }
    let rate = f64::from(done) / begun.elapsed().as_secs_f64();
    let busy = processor_time(tracker).saturating_sub(busy);
    let each = busy.as_secs_f64() * 1e6 / f64::from(done);
    println!("{name}: {rate:.0} announces/s, {each:.1} us of the tracker's processor time each");
}

/// The processor time that a process has used so far (proc(5), fields 14 and 15 of `stat`, in
/// hundredths of a second).
fn processor_time(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace().skip(11);
    let ticks: u64 = fields
        .take(2)
        .map(|ticks| ticks.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(ticks * 10)
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

    fn announce(&mut self, number: u32, ahead: u32) {
        let mut requests = String::new();
        for number in number..number + ahead {
            let query = announce(number).to_query();
            requests += &format!("GET /announce?{query} HTTP/1.1\r\nHost: x\r\n\r\n");
        }
        self.stream.write_all(requests.as_bytes()).unwrap();
        for _ in 0..ahead {
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

struct Udp {
    socket: UdpSocket,
    connection: ConnectionId,
    connected: Instant,
}

impl Udp {
    fn new(address: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(address).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let connection = connect(&socket);
        Self {
            socket,
            connection,
            connected: Instant::now(),
        }
    }

    /// Returns the length of the last answer.
    fn announce(&mut self, number: u32, at_once: u32) -> usize {
        // Like other clients, which may use a connection id for a minute.
        if self.connected.elapsed() > Duration::from_secs(60) {
            (self.connection, self.connected) = (connect(&self.socket), Instant::now());
        }
        for number in number..number + at_once {
            let request = UdpRequest::Announce {
                connection: self.connection,
                transaction: TransactionId(number.to_be_bytes()),
                announce: announce(number),
                url_data: Vec::new(),
            };
            self.socket.send(&request.encode()).unwrap();
        }
        let mut datagram = [0; 2_000];
        let answers = (0..at_once).map(|_| self.socket.recv(&mut datagram).unwrap());
        answers.last().unwrap_or_default()
    }
}

fn connect(socket: &UdpSocket) -> ConnectionId {
    let transaction = TransactionId(*b"conn");
    socket
        .send(&UdpRequest::Connect { transaction }.encode())
        .unwrap();
    let mut datagram = [0; 2_000];
    let length = socket.recv(&mut datagram).unwrap();
    match UdpResponse::parse(&datagram[..length], AddressFamily::V4) {
        Ok(UdpResponse::Connect { connection, .. }) => connection,
        other => panic!("{other:?}"),
    }
}
