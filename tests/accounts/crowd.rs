//! A storm of logins while many peers announce: no announce waits for the logins.

use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::{
    ControlConnection, User, connect_from, create_user_request, login_request, password_of,
};
use crate::common::http_client::HttpClient;
use pieceful::net::raise_descriptor_limit;
use pieceful::wire::AnnounceResponse;
use pieceful::wire::access::AccessAnswer;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const PEERS: u16 = 500;
const LOGINS: u16 = 50;
/// The number of threads that announce. Each announces for some of the peers.
const THREADS: u16 = 10;
/// The time between two announces of a peer. Real peers wait 20 times as long.
const INTERVAL: Duration = Duration::from_secs(1);
/// The longest time that a new connection or an announce may take.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// A peer that is logged in, with an open control connection.
struct LoggedInPeer {
    number: u16,
    _user: User,
}

impl LoggedInPeer {
    fn new(number: u16, address: SocketAddr) -> Self {
        let connection = ControlConnection::over(connect_from(number, address)).unwrap();
        Self {
            number,
            _user: User::log_in(connection, "nik"),
        }
    }

    /// A connection for its announces.
    fn connect(&self, address: SocketAddr) -> HttpClient {
        let stream = connect_from(self.number, address);
        stream.set_nodelay(true).unwrap();
        HttpClient {
            stream,
            unread: Vec::new(),
        }
    }

    /// Announces, and returns the time until the answer.
    fn announce(&self, http: &mut HttpClient) -> Duration {
        let (id, port) = (format!("{:020}", self.number), 1024 + self.number);
        let target = format!(
            "/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id={id}&port={port}&left=1&compact=1"
        );
        let start = Instant::now();
        let response = http.get(&target);
        let duration = start.elapsed();
        let response = AnnounceResponse::parse(&response.body).unwrap();
        assert!(response.peers.len() < usize::from(PEERS));
        duration
    }
}

/// First connects all peers, without a pause. Then announces for them, one after the other, evenly
/// over the interval, until `end` is set. Returns how long each connection and each announce took.
fn announce_until(peers: &[LoggedInPeer], address: SocketAddr, end: &AtomicBool) -> Vec<Duration> {
    let mut times = Vec::new();
    let mut connected: Vec<(&LoggedInPeer, HttpClient)> = Vec::new();
    for peer in peers {
        let start = Instant::now();
        connected.push((peer, peer.connect(address)));
        times.push(start.elapsed());
    }
    let start = Instant::now();
    let pause = INTERVAL / u32::try_from(peers.len()).unwrap();
    for turn in 0.. {
        if end.load(Ordering::Relaxed) {
            break;
        }
        let (peer, http) = &mut connected[turn % peers.len()];
        times.push(peer.announce(http));
        let due = pause * u32::try_from(turn + 1).unwrap();
        thread::sleep(due.saturating_sub(start.elapsed()));
    }
    times
}

/// Logs in all peers. Returns one list of peers for each thread that announces.
fn log_in_peers(address: SocketAddr) -> Vec<Vec<LoggedInPeer>> {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let numbers = (1..=PEERS).filter(move |number| number % THREADS == thread);
                scope.spawn(move || {
                    numbers
                        .map(|number| LoggedInPeer::new(number, address))
                        .collect()
                })
            })
            .collect();
        let threads = threads.into_iter();
        threads.map(|peers| peers.join().unwrap()).collect()
    })
}

/// Logs in many times at once, each time from another address. Returns how long each login took.
fn log_in_many_times(address: SocketAddr) -> Vec<Duration> {
    thread::scope(|scope| {
        let logins: Vec<_> = (0..LOGINS)
            .map(|number| {
                scope.spawn(move || {
                    let socket = connect_from(PEERS + 1 + number, address);
                    let start = Instant::now();
                    let mut connection = ControlConnection::over(socket).unwrap();
                    let answer = connection.ask(None, login_request("nik", &password_of("nik")));
                    assert!(
                        matches!(answer, Ok(AccessAnswer::LoggedIn { .. })),
                        "{answer:?}"
                    );
                    start.elapsed()
                })
            })
            .collect();
        let logins = logins.into_iter();
        logins.map(|login| login.join().unwrap()).collect()
    })
}

#[test]
fn no_announce_waits_for_a_storm_of_logins() {
    raise_descriptor_limit();
    let tracker = AccountTracker::new();
    tracker
        .connect()
        .ask(None, create_user_request("nik"))
        .unwrap();
    let address = tracker.address();
    let peers = log_in_peers(address);
    let end = AtomicBool::new(false);
    let (mut announces, mut logins) = thread::scope(|scope| {
        let threads: Vec<_> = peers
            .iter()
            .map(|peers| scope.spawn(|| announce_until(peers, address, &end)))
            .collect();
        // After one interval almost every peer has announced once.
        thread::sleep(INTERVAL);
        let logins = log_in_many_times(address);
        end.store(true, Ordering::Relaxed);
        let announces = threads.into_iter();
        let announces: Vec<Duration> = announces.flat_map(|times| times.join().unwrap()).collect();
        (announces, logins)
    });
    announces.sort_unstable();
    logins.sort_unstable();
    let longest = *announces.last().unwrap();
    println!(
        "{} connections and announces: half within {:.1?}, all within {longest:.1?}; \
         {LOGINS} logins at once: half within {:.0?}, all within {:.0?}",
        announces.len(),
        announces[announces.len() / 2],
        logins[logins.len() / 2],
        logins[logins.len() - 1],
    );
    assert!(announces.len() > usize::from(PEERS));
    assert!(
        longest <= LONGEST_WAIT,
        "a connection or an announce took {longest:?}"
    );
}
