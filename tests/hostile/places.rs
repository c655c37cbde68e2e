//! Which connections get and keep a place at a crowded tracker, and which ones it closes.

use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::{
    ControlConnection, User, connect_from, connect_from_address, group_request, new_write,
};
use crate::common::http_client::HttpClient;
use crate::common::network_namespace::in_own_network;
use crate::common::process::{Process, resident_kib};
use crate::common::sandbox::Sandbox;
use crate::common::waiting::{PATIENCE, wait_until};
use pieceful::wire::access::{AccessErrorKind, AccessRefusal, AccessRequest, Token};
use pieceful::wire::control::InfoPart;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The limits of a tracker with `--max-connections 16`.
const PLACES: usize = 16;
const PER_ADDRESS: usize = 4;
const PER_ACCOUNT: usize = 8;

fn small_tracker() -> AccountTracker {
    AccountTracker::with(&["--max-connections", "16"])
}

/// Opens a control connection from the loopback address of `host` (see [`connect_from`]), and sends
/// a request with this token on it.
fn connection_of(
    tracker: SocketAddr,
    host: u16,
    token: &Token,
) -> Result<ControlConnection, AccessRefusal> {
    let mut connection = ControlConnection::over(connect_from(host, tracker)).unwrap();
    let groups = group_request("list_groups");
    connection.ask(Some(token), groups).map(|_| connection)
}

/// Waits until the tracker closes a connection. Returns how long that took.
fn time_to_close(mut stream: &TcpStream) -> Duration {
    let begun = Instant::now();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    begun.elapsed()
}

fn is_open(mut stream: &TcpStream) -> bool {
    stream
        .set_read_timeout(Some(Duration::from_millis(1)))
        .unwrap();
    matches!(stream.read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

fn threads(id: u32) -> usize {
    fs::read_dir(format!("/proc/{id}/task")).unwrap().count()
}

/// A request of 64 KiB, which the tracker refuses.
fn long_request() -> AccessRequest {
    AccessRequest::Publish {
        write: new_write(),
        group: "nowhere".parse().unwrap(),
        part: InfoPart::new(0, 1 << 20, vec![0; 64 << 10]).unwrap(),
        update: false,
        note: None,
    }
}

/// Opens connections that send a short and a long request with a token and then wait. Asserts that
/// they cost no threads and less than 16 KiB each, and that the tracker still answers on them.
/// Returns the KiB of each.
fn assert_waiting_is_cheap(count: u16) -> u64 {
    let tracker = AccountTracker::new();
    let tokens = ["nik", "olga"].map(|name| tracker.user(name).token);
    let token = |number: u16| &tokens[usize::from(number % 2)];
    let (id, address) = (tracker.process.id(), tracker.address());
    let before = (threads(id), resident_kib(id));
    let mut connections: Vec<ControlConnection> = (0..count)
        .map(|number| {
            let mut connection = connection_of(address, number, token(number)).unwrap();
            let refused = connection.ask(Some(token(number)), long_request());
            assert_eq!(refused.unwrap_err().kind, AccessErrorKind::UnknownGroup);
            connection
        })
        .collect();
    // Idle workers end after a while.
    wait_until("workers are few", || threads(id) <= before.0 + 20);
    let each = resident_kib(id).saturating_sub(before.1) / u64::from(count);
    assert!(each < 16, "{each} KiB for each of {count} connections");
    for (number, connection) in (0..).zip(&mut connections) {
        let groups = group_request("list_groups");
        assert!(connection.ask(Some(token(number)), groups).is_ok());
    }
    each
}

#[test]
fn a_control_connection_that_waits_costs_no_thread_and_little_memory() {
    assert_waiting_is_cheap(500);
}

#[test]
#[ignore = "needs 25,000 descriptors"]
fn ten_thousand_control_connections_wait_in_little_memory() {
    let each = assert_waiting_is_cheap(10_000);
    println!("{each} KiB for each connection");
}

#[test]
fn the_connection_that_has_been_silent_longest_gives_way() {
    let tracker = small_tracker();
    let mut nik = tracker.user("nik");
    assert!(nik.ask(group_request("list_groups")).is_ok());
    let silent: Vec<TcpStream> = (0..100)
        .map(|host| connect_from(100 + host, tracker.address()))
        .collect();
    // The 16 places and the 64 reserved ones for loopback addresses are fewer than 100. If
    // `silent[0]` did not give way, it would stay open for ten seconds.
    assert!(time_to_close(&silent[0]) < Duration::from_secs(9));
    let mut http = HttpClient::new(tracker.address());
    assert!(http.get("/").has_status("200"));
    assert!(nik.ask(group_request("list_groups")).is_ok());
}

#[test]
fn an_address_at_its_limit_replaces_its_own_connections() {
    let tracker = small_tracker();
    let other = connect_from(1, tracker.address());
    let mut own: Vec<TcpStream> = Vec::new();
    // At the limit of its address, a connection takes one of the 64 reserved places if it can.
    for _ in 0..PER_ADDRESS + 64 + 1 {
        own.push(connect_from(2, tracker.address()));
    }
    assert!(time_to_close(&own[0]) < Duration::from_secs(2));
    assert!(is_open(&other), "another address keeps its place");
}

#[test]
fn a_reserved_place_is_lost_without_authentication() {
    let tracker = small_tracker();
    let connections: Vec<TcpStream> = (0..PER_ADDRESS + 1)
        .map(|_| connect_from(2, tracker.address()))
        .collect();
    let waited = time_to_close(&connections[PER_ADDRESS]);
    assert!(waited > Duration::from_millis(2_500), "{waited:?}");
    assert!(waited < Duration::from_secs(6), "{waited:?}");
    assert!(is_open(&connections[0]), "the others have ten seconds");
    // A connection that authenticates in a reserved place stays.
    let nik = tracker.user("nik");
    let crowd: Vec<TcpStream> = (0..PLACES as u16)
        .map(|host| connect_from(100 + host, tracker.address()))
        .collect();
    // A request without a token is answered in a reserved place too.
    let mut without_token = tracker.connect();
    assert!(without_token.ask(None, AccessRequest::Cluster).is_ok());
    let mut kept = connection_of(tracker.address(), 1, &nik.token).unwrap();
    // The last connections of the crowd are in reserved places, too, and do not authenticate.
    time_to_close(&crowd[PLACES - 1]);
    assert!(
        kept.ask(Some(&nik.token), group_request("list_groups"))
            .is_ok()
    );
}

/// Whether an address may use reserved places: when it has more newcomers than an address may have,
/// none of them is closed at once.
fn has_reserved_places(from: Ipv4Addr, tracker: SocketAddr) -> bool {
    let own: Vec<TcpStream> = (0..PER_ADDRESS + 1)
        .map(|_| connect_from_address(from, tracker))
        .collect();
    // The answer to the last newcomer shows that all of them have been accepted.
    let (mut last, mut answer) = (&own[PER_ADDRESS], [0; 12]);
    last.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    last.set_read_timeout(Some(PATIENCE)).unwrap();
    last.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    is_open(&own[0])
}

#[test]
fn the_addresses_in_tracker_info_may_use_reserved_places() {
    in_own_network(&["10.9.8.1", "10.9.8.2", "10.9.8.3"], || {
        let sandbox = Sandbox::new();
        let info = sandbox.path("info.txt");
        fs::write(&info, "10.9.8.1:0\n10.9.8.2:1\n").unwrap();
        let data = sandbox.path("data");
        let (info, data) = (info.to_str().unwrap(), data.to_str().unwrap());
        let arguments = [
            "tracker",
            info,
            "1",
            "--listen",
            "10.9.8.1:0",
            "--data",
            data,
        ];
        let arguments = [&arguments[..], &["--max-connections", "16"]].concat();
        let tracker = Process::start(&sandbox.folder("home"), &arguments);
        let [other_tracker, stranger] = [2, 3].map(|last| Ipv4Addr::new(10, 9, 8, last));
        wait_until("the tracker trusts an address in its TRACKER_INFO", || {
            has_reserved_places(other_tracker, tracker.address)
        });
        assert!(!has_reserved_places(stranger, tracker.address));
    });
}

#[test]
fn a_peer_does_not_come_back_to_a_full_tracker_before_the_time() {
    let tracker = small_tracker();
    let nik = tracker.user("nik");
    let _own: Vec<ControlConnection> = (0..PER_ACCOUNT as u16)
        .map(|host| connection_of(tracker.address(), host, &nik.token).unwrap())
        .collect();
    let mut peer = tracker.sandbox.peer("nik");
    let begun = Instant::now();
    peer.try_run("login nik\npw of nik");
    for _ in 0..20 {
        peer.assert_refused("list_groups", "full", "full, try again in");
    }
    let log = fs::read_to_string(tracker.sandbox.path("data/tracker.log")).unwrap();
    let refusals = log.matches(": full, try again in").count();
    // The tracker names 5 s or more.
    let most = begun.elapsed().as_secs() / 5 + 1;
    let refusals_in_time = 1..=usize::try_from(most).unwrap();
    assert!(
        refusals_in_time.contains(&refusals),
        "{refusals} refusals: {log}"
    );
}

#[test]
fn authenticated_connections_count_for_their_account_and_not_for_their_address() {
    let tracker = small_tracker();
    let [nik, olga] = ["nik", "olga"].map(|name| tracker.user(name));
    // More connections than the limit of an address, all from the same address.
    let mut own: Vec<ControlConnection> = (1..PER_ACCOUNT)
        .map(|_| connection_of(tracker.address(), 7, &nik.token).unwrap())
        .collect();
    // The connection over which nik logged in does not count: no request on it had the token.
    own.push(connection_of(tracker.address(), 7, &nik.token).unwrap());
    let refused = connection_of(tracker.address(), 8, &nik.token)
        .err()
        .unwrap();
    assert_eq!(refused.kind, AccessErrorKind::Full);
    let seconds = refused.retry_seconds.unwrap();
    assert!((5..=15).contains(&seconds));
    let message = refused.message.as_str();
    assert_eq!(message, format!("full, try again in {seconds} s"));
    let mut olgas = connection_of(tracker.address(), 7, &olga.token).unwrap();
    // A connection that ends makes room.
    drop(own.pop());
    wait_until("nik has a place again", || {
        connection_of(tracker.address(), 8, &nik.token).is_ok()
    });
    assert!(
        olgas
            .ask(Some(&olga.token), group_request("list_groups"))
            .is_ok()
    );
}

/// Fills all places with authenticated connections. Returns them.
fn fill(tracker: &AccountTracker, tokens: &[Token]) -> Vec<ControlConnection> {
    let mut all = Vec::new();
    for token in tokens {
        for host in 0..PER_ACCOUNT as u16 {
            match connection_of(tracker.address(), host, token) {
                Ok(connection) => all.push(connection),
                Err(refused) => {
                    assert_eq!(refused.kind, AccessErrorKind::Full);
                    return all;
                }
            }
        }
    }
    panic!(
        "{} connections have places: the tracker is not full",
        all.len()
    );
}

#[test]
fn a_tracker_full_of_authenticated_connections_says_so_and_still_answers_newcomers() {
    let tracker = small_tracker();
    let tokens: Vec<Token> = ('a'..='k')
        .map(|name| tracker.user(&format!("user-{name}")).token)
        .collect();
    let mut all = fill(&tracker, &tokens);
    // An eighth of the places is for newcomers. In addition, loopback addresses have 64 reserved
    // places.
    assert_eq!(all.len(), PLACES - PLACES / 8 + 64);
    let mut http = HttpClient::new(tracker.address());
    assert!(http.get("/metrics").has_status("200"));
    let refused = connection_of(tracker.address(), 1, &tokens[10]).err();
    assert_eq!(refused.unwrap().kind, AccessErrorKind::Full);
    assert!(
        all[0]
            .ask(Some(&tokens[0]), group_request("list_groups"))
            .is_ok()
    );
}

/// The beginning of a TLS handshake that never goes on.
const HALF_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

/// Opens connections: a third of them send nothing, a third send a part of a handshake, and a third
/// send many requests at once and never read the answers.
fn crowd(tracker: SocketAddr, size: u16) -> Vec<TcpStream> {
    let requests = "GET /metrics HTTP/1.1\r\n\r\n".repeat(300);
    let open = |number: u16| {
        let mut stream = connect_from(number, tracker);
        let sent: &[u8] = match number % 3 {
            0 => b"",
            1 => HALF_HELLO,
            _ => requests.as_bytes(),
        };
        let _ = stream.write_all(sent);
        stream
    };
    (0..size).map(open).collect()
}

/// Asserts that an open connection of nik, a new one, and a reader of the metrics are each served
/// within a second.
fn assert_served_at_once(tracker: &AccountTracker, nik: &mut User) {
    assert_takes_a_second_at_most("an open connection", || {
        assert!(nik.ask(group_request("list_groups")).is_ok());
    });
    assert_takes_a_second_at_most("a new connection", || {
        let again = connection_of(tracker.address(), 60_000, &nik.token);
        assert!(again.is_ok());
    });
    assert_takes_a_second_at_most("the metrics", || {
        let mut http = HttpClient::new(tracker.address());
        assert!(http.get("/metrics").has_status("200"));
    });
}

/// Asserts that each of three attempts is quick, and that the quickest takes less than a second: a
/// busy machine may delay the others a little.
fn assert_takes_a_second_at_most(what: &str, mut attempt: impl FnMut()) {
    let mut times = [(); 3].map(|()| {
        let begun = Instant::now();
        attempt();
        begun.elapsed()
    });
    times.sort();
    assert!(times[0] < Duration::from_secs(1), "{what}: {times:?}");
    assert!(times[2] < Duration::from_secs(4), "{what}: {times:?}");
}

#[test]
fn a_crowd_of_silent_and_slow_callers_delays_nobody() {
    let tracker = AccountTracker::with(&["--max-connections", "1000"]);
    let mut nik = tracker.user("nik");
    assert!(nik.ask(group_request("list_groups")).is_ok());
    for _ in 0..3 {
        let crowd = crowd(tracker.address(), 3_000);
        assert_served_at_once(&tracker, &mut nik);
        drop(crowd);
    }
}

#[test]
#[ignore = "needs 45,000 descriptors"]
fn twenty_thousand_silent_callers_delay_nobody() {
    let tracker = AccountTracker::new();
    let mut nik = tracker.user("nik");
    assert!(nik.ask(group_request("list_groups")).is_ok());
    let _crowd = crowd(tracker.address(), 20_000);
    for _ in 0..5 {
        assert_served_at_once(&tracker, &mut nik);
    }
}
