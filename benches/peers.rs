//! Measures, for several numbers of peers and swarms, how much memory a tracker uses and how many
//! announces a second it answers over UDP. Compares pieceful with opentracker if that is installed.
//! The trackers take turns in one run.
//!
//!   cargo bench --bench peers [PEERS SWARMS [ROUNDS [SECONDS [ADDRESSES]]]]
//!
//! Without arguments: all of 10,000, 100,000 and 1,000,000 peers in 10 and in 1,000 swarms, 5
//! rounds of 2 s. Each swarm has the same number of peers, each from another address 127.x.y.z. If
//! ADDRESSES is `each`, every peer of all swarms has its own address; otherwise each address has
//! one peer in every swarm. In a measurement, at least 500 of these addresses send announces, or
//! all if there are fewer. Each announce reports an upload and asks for 50 peers.

mod common;

use common::{Udp, end_tracker, processor_time, start_tracker};
use pieceful::torrent::InfoHash;
use pieceful::wire::{AnnounceRequest, PeerId};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::num::NonZeroU16;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// At least this number of addresses announce during a measurement, or all if there are fewer.
const CLIENTS: u32 = 500;

/// What is measured for two lines of the table: one for each number of announces at once.
#[derive(Clone, Copy)]
struct Case {
    peers: u32,
    swarms: u32,
    rounds: u32,
    /// Length of a round.
    round: Duration,
    /// Whether every peer has its own address.
    own_addresses: bool,
}

fn main() {
    // Cargo adds an argument of its own.
    let arguments = std::env::args().skip(1).filter(|word| word != "--bench");
    let arguments: Vec<String> = arguments.collect();
    let number = |at: usize, default| arguments.get(at).map_or(default, |it| it.parse().unwrap());
    let (rounds, round) = (number(2, 5), Duration::from_secs(number(3, 2).into()));
    let own_addresses = arguments.get(4).is_some_and(|word| word == "each");
    let cases = match arguments.len() {
        0 => [10_000, 100_000, 1_000_000]
            .into_iter()
            .flat_map(|peers| [(peers, 10), (peers, 1_000)])
            .collect(),
        _ => vec![(number(0, 0), number(1, 10))],
    };
    println!(
        "| peers | swarms | at once | pieceful, announces/s | opentracker | ratio | peers in an answer | processor time each, us |"
    );
    for (peers, swarms) in cases {
        measure(Case {
            peers,
            swarms,
            rounds,
            round,
            own_addresses,
        });
    }
}

fn measure(case: Case) {
    let folder = std::env::temp_dir().join(format!("peers-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let data = folder.join("data");
    let mut trackers = vec![Tracker::ours(&data)];
    trackers.extend(Tracker::opentracker(&folder, case.swarms));
    for tracker in &mut trackers {
        let begun = Instant::now();
        let (empty, name) = (tracker.resident(), tracker.name);
        tracker.fill(case);
        let bytes = f64::from(tracker.resident()) * 1024.0;
        let (peers, seconds) = (f64::from(case.peers), begun.elapsed().as_secs_f64());
        println!(
            "{name}: {} peers in {} swarms: {:.1} bytes of memory for each, {:.1} without the {empty} KiB at the start; filled in {seconds:.0} s",
            case.peers,
            case.swarms,
            bytes / peers,
            (bytes - f64::from(empty) * 1024.0) / peers,
        );
    }
    for at_once in [1, 16] {
        let rounds = (0..case.rounds).map(|_| {
            let figures = trackers.iter_mut().map(|it| it.announce(case, at_once));
            figures.collect::<Vec<_>>()
        });
        print_row(case, at_once, &rounds.collect::<Vec<_>>());
    }
    for tracker in trackers {
        tracker.end();
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

fn print_row(case: Case, at_once: u32, rounds: &[Vec<Figures>]) {
    let of = |tracker: usize, figure: fn(&Figures) -> f64| {
        let figures = rounds.iter().filter_map(|round| round.get(tracker));
        median(figures.map(figure).collect())
    };
    let ratios = rounds.iter().filter_map(|round| match &round[..] {
        [ours, theirs] => Some(ours.rate / theirs.rate),
        _ => None,
    });
    let mut ratios: Vec<f64> = ratios.collect();
    ratios.sort_by(f64::total_cmp);
    let (least, most) = (ratios.first().copied(), ratios.last().copied());
    println!(
        "| {} | {} | {at_once} | {:.0} | {:.0} | {:.2} ({:.2} to {:.2}) | {:.1}, {:.1} | {:.1}, {:.1} |",
        case.peers,
        case.swarms,
        of(0, |it| it.rate),
        of(1, |it| it.rate),
        median(ratios.clone()),
        least.unwrap_or(f64::NAN),
        most.unwrap_or(f64::NAN),
        of(0, |it| it.peers),
        of(1, |it| it.peers),
        of(0, |it| it.processor_us),
        of(1, |it| it.processor_us),
    );
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What one measurement found.
struct Figures {
    /// Announces a second.
    rate: f64,
    /// Peers in an answer.
    peers: f64,
    /// The tracker's processor time for one announce.
    processor_us: f64,
}

struct Tracker {
    name: &'static str,
    process: Child,
    address: SocketAddr,
    /// The clients that announce during a measurement, with the numbers of their addresses.
    clients: Vec<(u32, Udp)>,
    /// Number of announces in all measurements so far.
    announced: u32,
}

impl Tracker {
    fn ours(data: &Path) -> Self {
        let (process, address) = start_tracker(&["--data", data.to_str().unwrap()]);
        Self::new("pieceful", process, address)
    }

    /// Starts opentracker. None if it is not installed. Debian's opentracker serves only listed
    /// swarms. As root it changes to the user `nobody`.
    fn opentracker(folder: &Path, swarms: u32) -> Option<Self> {
        let listed: String = (0..swarms)
            .map(|it| format!("{}\n", info_hash(it)))
            .collect();
        std::fs::write(folder.join("listed"), listed).unwrap();
        let free = UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let port = free.port().to_string();
        let process = Command::new("opentracker")
            .args(["-i", "127.0.0.1", "-p", &port, "-P", &port, "-u", "nobody"])
            .args(["-w", "listed", "-d", folder.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        std::thread::sleep(Duration::from_millis(300));
        Some(Self::new("opentracker", process, free))
    }

    fn new(name: &'static str, process: Child, address: SocketAddr) -> Self {
        Self {
            name,
            process,
            address,
            clients: Vec::new(),
            announced: 0,
        }
    }

    /// Announces every peer once.
    fn fill(&mut self, case: Case) {
        let addresses = addresses(case);
        let step = (addresses / CLIENTS).max(1);
        for number in 0..addresses {
            let mut udp = Udp::new(client_address(number), self.address);
            for peer in peers_of(number, case) {
                udp.send(announce(peer, case, 0));
                udp.receive();
            }
            if number % step == 0 {
                self.clients.push((number, udp));
            }
        }
    }

    /// Announces peers again, `at_once` at a time.
    fn announce(&mut self, case: Case, at_once: u32) -> Figures {
        let (begun, busy) = (Instant::now(), processor_time(self.process.id()));
        let (mut done, mut peers) = (0, 0);
        while begun.elapsed() < case.round {
            let count = self.clients.len();
            // Each address announces its peers in turn.
            let batch = self.announced..self.announced + at_once;
            self.announced += at_once;
            for number in batch.clone() {
                let (from, udp) = &mut self.clients[number as usize % count];
                let mut own = peers_of(*from, case);
                let turn = number as usize / count % own.len();
                udp.send(announce(own.nth(turn).unwrap(), case, number));
            }
            for number in batch {
                peers += self.clients[number as usize % count].1.receive();
            }
            done += at_once;
        }
        let busy = processor_time(self.process.id()).saturating_sub(busy);
        Figures {
            rate: f64::from(done) / begun.elapsed().as_secs_f64(),
            peers: peers as f64 / f64::from(done),
            processor_us: busy.as_secs_f64() * 1e6 / f64::from(done),
        }
    }

    /// Resident memory in KiB.
    fn resident(&self) -> u32 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.unwrap().split_whitespace().nth(1).unwrap();
        kib.parse().unwrap()
    }

    fn end(mut self) {
        if self.name == "pieceful" {
            return end_tracker(self.process);
        }
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Number of addresses that have peers.
fn addresses(case: Case) -> u32 {
    if case.own_addresses {
        case.peers
    } else {
        case.peers / case.swarms
    }
}

/// The address with this number, with port 0.
fn client_address(number: u32) -> SocketAddr {
    let ip = Ipv4Addr::from(0x7f01_0000 + number);
    SocketAddr::new(ip.into(), 0)
}

/// Numbers of the peers of an address. Peer `n` is in the swarm `n % case.swarms`.
fn peers_of(address: u32, case: Case) -> std::ops::Range<u32> {
    if case.own_addresses {
        address..address + 1
    } else {
        address * case.swarms..(address + 1) * case.swarms
    }
}

fn info_hash(swarm: u32) -> InfoHash {
    let mut info_hash = [1; 20];
    info_hash[..4].copy_from_slice(&swarm.to_be_bytes());
    InfoHash(info_hash)
}

fn announce(peer: u32, case: Case, uploaded: u32) -> AnnounceRequest {
    let mut peer_id = [b'p'; 20];
    peer_id[..4].copy_from_slice(&peer.to_be_bytes());
    AnnounceRequest {
        info_hash: info_hash(peer % case.swarms),
        peer_id: PeerId(peer_id),
        port: NonZeroU16::new(1_000 + (peer % 60_000) as u16).unwrap(),
        uploaded: u64::from(uploaded) * 1_000,
        downloaded: 0,
        left: 1,
        event: None,
        num_want: Some(50),
        compact: true,
        no_peer_id: true,
        key: Some(b"0000BEEF".to_vec()),
        pieceful: false,
    }
}
