//! Starting trackers, announcing over UDP, and reading what a process has used.

use pieceful::wire::AnnounceRequest;
use pieceful::wire::udp_tracker::{
    AddressFamily, ConnectionId, TransactionId, UdpRequest, UdpResponse,
};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Starts a tracker of this build, or of the binary that `$PIECEFUL` names, with more `options`.
pub fn start_tracker(options: &[&str]) -> (Child, SocketAddr) {
    let ours = env!("CARGO_BIN_EXE_pieceful");
    let binary = std::env::var("PIECEFUL").unwrap_or_else(|_| ours.to_owned());
    let mut tracker = Command::new(binary)
        .args(["tracker", "--open", "--listen", "127.0.0.1:0"])
        .args(options)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    let mut lines = BufReader::new(tracker.stdout.take().unwrap());
    lines.read_line(&mut first).unwrap();
    let address = first.trim().rsplit(' ').next().unwrap().parse().unwrap();
    (tracker, address)
}

/// Ends a tracker gracefully, so that it removes its temporary folder.
pub fn end_tracker(mut tracker: Child) {
    let id = tracker.id().to_string();
    assert!(Command::new("kill").arg(id).status().unwrap().success());
    tracker.wait().unwrap();
}

/// The processor time that a process has used so far (proc(5), fields 14 and 15 of `stat`, in
/// hundredths of a second).
pub fn processor_time(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace().skip(11);
    let ticks: u64 = fields
        .take(2)
        .map(|ticks| ticks.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(ticks * 10)
}

/// A client that announces over UDP.
pub struct Udp {
    socket: UdpSocket,
    connection: ConnectionId,
    connected_at: Instant,
}

impl Udp {
    /// Connects to the tracker at `address` from the address `from`.
    pub fn new(from: SocketAddr, address: SocketAddr) -> Self {
        let socket = UdpSocket::bind(from).unwrap();
        socket.connect(address).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let connection = connect(&socket);
        Self {
            socket,
            connection,
            connected_at: Instant::now(),
        }
    }

    /// Sends an announce.
    pub fn send(&mut self, announce: AnnounceRequest) {
        // A client may use a connection id for a minute (BEP 15).
        if self.connected_at.elapsed() > Duration::from_secs(60) {
            (self.connection, self.connected_at) = (connect(&self.socket), Instant::now());
        }
        let request = UdpRequest::Announce {
            connection: self.connection,
            transaction: TransactionId(*b"anno"),
            announce,
            url_data: Vec::new(),
        };
        self.socket.send(&request.encode()).unwrap();
    }

    /// Receives an answer. Returns the number of its peers.
    pub fn receive(&mut self) -> usize {
        let mut datagram = [0; 2_000];
        let length = self.socket.recv(&mut datagram).unwrap();
        assert_eq!(datagram[..4], [0, 0, 0, 1], "not accepted");
        (length - 20) / 6
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
