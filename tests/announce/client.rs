//! A tracker to talk to, and a client that says to it whatever a test likes.

use pieceful::torrent::InfoHash;
use pieceful::tracker::{Access, Options, Tracker, bind, bind_with_udp};
use pieceful::wire::udp_tracker::{
    Announced, ConnectionId, Family, Request, Response as UdpResponse, TransactionId,
};
use pieceful::wire::{AnnounceRequest, AnnounceResponse, PeerId, ResponseError};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::num::NonZeroU16;
use std::time::Duration;

pub(crate) const HASH: &str = "info_hash=aaaaaaaaaaaaaaaaaaaa";

pub(crate) fn options(address: &str) -> Options {
    let listener = bind(&address.parse().unwrap()).unwrap();
    Options {
        access: Access::Open,
        ..Options::new(listener)
    }
}

pub(crate) fn tracker() -> Tracker {
    Tracker::start(options("127.0.0.1:0")).unwrap()
}

/// An open tracker that takes announces over UDP too.
pub(crate) fn udp_tracker(address: &str) -> Tracker {
    let (listener, udp) = bind_with_udp(&address.parse().unwrap()).unwrap();
    Tracker::start(Options {
        access: Access::Open,
        udp: Some(udp),
        ..Options::new(listener)
    })
    .unwrap()
}

/// A client over UDP, which asks again when it gets no answer.
pub(crate) struct Udp {
    pub(crate) socket: UdpSocket,
    family: Family,
}

impl Udp {
    pub(crate) fn new(tracker: SocketAddr) -> Self {
        let any = if tracker.is_ipv4() {
            "127.0.0.1:0"
        } else {
            "[::1]:0"
        };
        Self::from(any, tracker)
    }

    /// A client at this address of its own.
    pub(crate) fn from(own: &str, tracker: SocketAddr) -> Self {
        let socket = UdpSocket::bind(own).unwrap();
        socket.connect(tracker).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(1)))
            .unwrap();
        Self {
            socket,
            family: Family::of(tracker.ip()),
        }
    }

    /// The answer to a request; datagrams of other transactions are passed over.
    pub(crate) fn ask(&mut self, request: impl Fn(TransactionId) -> Request) -> UdpResponse {
        let mut datagram = [0; 2_000];
        for _ in 0..20 {
            let transaction = TransactionId(fastrand::u32(..).to_be_bytes());
            self.socket.send(&request(transaction).encode()).unwrap();
            while let Ok(length) = self.socket.recv(&mut datagram) {
                let response = UdpResponse::parse(&datagram[..length], self.family).unwrap();
                if response.transaction() == transaction {
                    return response;
                }
            }
        }
        panic!("the tracker does not answer");
    }

    /// The next datagram.
    pub(crate) fn receive(&mut self) -> UdpResponse {
        let mut datagram = [0; 2_000];
        let length = self.socket.recv(&mut datagram).unwrap();
        UdpResponse::parse(&datagram[..length], self.family).unwrap()
    }

    pub(crate) fn connect(&mut self) -> ConnectionId {
        match self.ask(|transaction| Request::Connect { transaction }) {
            UdpResponse::Connect { connection, .. } => connection,
            other => panic!("{other:?}"),
        }
    }

    /// The announce of a leech in the swarm of [`HASH`].
    pub(crate) fn announce(&mut self, id: u8, port: u16) -> Announced {
        let connection = self.connect();
        let asked = self.ask(|transaction| announcing(connection, transaction, id, port));
        match asked {
            UdpResponse::Announce { announced, .. } => announced,
            other => panic!("{other:?}"),
        }
    }

    /// The announce that a query over HTTP would be.
    pub(crate) fn tell(&mut self, query: &str) -> Announced {
        let announce = AnnounceRequest::parse(query).unwrap();
        let connection = self.connect();
        let asked = self.ask(|transaction| Request::Announce {
            connection,
            transaction,
            announce: announce.clone(),
            url_data: Vec::new(),
        });
        match asked {
            UdpResponse::Announce { announced, .. } => announced,
            other => panic!("{other:?}"),
        }
    }

    /// The datagram of such an announce.
    pub(crate) fn announce_bytes(connection: ConnectionId, id: u8, port: u16) -> Vec<u8> {
        announcing(connection, TransactionId(*b"once"), id, port).encode()
    }
}

fn announcing(connection: ConnectionId, transaction: TransactionId, id: u8, port: u16) -> Request {
    let announce = AnnounceRequest {
        info_hash: InfoHash([b'a'; 20]),
        peer_id: PeerId([id; 20]),
        port: NonZeroU16::new(port).unwrap(),
        uploaded: 0,
        downloaded: 0,
        left: 1,
        event: None,
        num_want: None,
        compact: true,
        no_peer_id: true,
        key: None,
        pieceful: false,
    };
    Request::Announce {
        connection,
        transaction,
        announce,
        url_data: Vec::new(),
    }
}

/// An HTTP client that sends what it is told and reads one response at a time.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) unread: Vec<u8>,
}

pub(crate) struct Response {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self
    }

    pub(crate) fn get(&mut self, target: &str) -> Response {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .response()
    }

    /// The announce of a peer, given what the query adds to info-hash, id and port.
    pub(crate) fn announce(&mut self, id: char, port: u16, more: &str) -> AnnounceResponse {
        let response = self.get(&announce(id, port, more));
        AnnounceResponse::parse(&response.body).unwrap()
    }

    pub(crate) fn read(&mut self) -> usize {
        let mut bytes = [0; 4096];
        let read = self.stream.read(&mut bytes).unwrap();
        self.unread.extend(&bytes[..read]);
        read
    }

    pub(crate) fn head(&mut self) -> String {
        loop {
            let end = self.unread.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                let head = self.unread.drain(..end + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            assert_ne!(self.read(), 0, "the connection ended inside a head");
        }
    }

    pub(crate) fn response(&mut self) -> Response {
        let head = self.head();
        let length = head.split("Content-Length: ").nth(1).unwrap();
        let length = length.lines().next().unwrap().parse().unwrap();
        while self.unread.len() < length {
            assert_ne!(self.read(), 0, "the connection ended inside a body");
        }
        let body = self.unread.drain(..length).collect();
        Response { head, body }
    }

    pub(crate) fn is_closed(&mut self) -> bool {
        self.unread.is_empty() && self.read() == 0
    }
}

impl Response {
    pub(crate) fn is(&self, status: &str) -> bool {
        self.head.starts_with(&format!("HTTP/1.1 {status} "))
    }

    pub(crate) fn refusal(&self) -> String {
        assert!(self.is("200"), "{}", self.head);
        match AnnounceResponse::parse(&self.body) {
            Err(ResponseError::Refused(reason)) => reason,
            other => panic!("not refused: {other:?}"),
        }
    }
}

pub(crate) fn announce(id: char, port: u16, more: &str) -> String {
    let id = String::from(id).repeat(20);
    format!("/announce?{HASH}&peer_id={id}&port={port}&left=1{more}")
}

pub(crate) fn addresses(response: &AnnounceResponse) -> Vec<SocketAddr> {
    response.peers.iter().map(|peer| peer.address).collect()
}
