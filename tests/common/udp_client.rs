//! A client of a tracker over UDP (BEP 15).

use pieceful::torrent::InfoHash;
use pieceful::wire::udp_tracker::{
    AddressFamily, ConnectionId, TransactionId, UdpAnnounceResponse, UdpRequest, UdpResponse,
};
use pieceful::wire::{AnnounceRequest, PeerId};
use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroU16;
use std::time::Duration;

/// A client over UDP that repeats a request when no answer comes.
pub(crate) struct UdpClient {
    pub(crate) socket: UdpSocket,
    family: AddressFamily,
}

impl UdpClient {
    pub(crate) fn new(tracker: SocketAddr) -> Self {
        let own = if tracker.is_ipv4() {
            "127.0.0.1:0"
        } else {
            "[::1]:0"
        };
        Self::bound_to(own, tracker)
    }

    /// A client that sends from the address `own`.
    pub(crate) fn bound_to(own: &str, tracker: SocketAddr) -> Self {
        let socket = UdpSocket::bind(own).unwrap();
        socket.connect(tracker).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(1)))
            .unwrap();
        Self {
            socket,
            family: AddressFamily::of(tracker.ip()),
        }
    }

    /// Sends a request, each second with a new transaction id, until the tracker answers. Ignores
    /// datagrams of other transactions.
    pub(crate) fn ask(&mut self, request: impl Fn(TransactionId) -> UdpRequest) -> UdpResponse {
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

    /// Waits for the next datagram.
    pub(crate) fn receive(&mut self) -> UdpResponse {
        let mut datagram = [0; 2_000];
        let length = self.socket.recv(&mut datagram).unwrap();
        UdpResponse::parse(&datagram[..length], self.family).unwrap()
    }

    pub(crate) fn connect(&mut self) -> ConnectionId {
        match self.ask(|transaction| UdpRequest::Connect { transaction }) {
            UdpResponse::Connect { connection, .. } => connection,
            other => panic!("{other:?}"),
        }
    }

    /// Announces a leech with the info-hash of the tests.
    pub(crate) fn announce(&mut self, id: u8, port: u16) -> UdpAnnounceResponse {
        let connection = self.connect();
        let answer = self.ask(|transaction| announce_request(connection, transaction, id, port));
        match answer {
            UdpResponse::Announce { announced, .. } => announced,
            other => panic!("{other:?}"),
        }
    }

    /// Announces with the parameters of an HTTP query.
    pub(crate) fn announce_query(&mut self, query: &str) -> UdpAnnounceResponse {
        let announce = AnnounceRequest::parse(query).unwrap();
        let connection = self.connect();
        let answer = self.ask(|transaction| UdpRequest::Announce {
            connection,
            transaction,
            announce: announce.clone(),
            url_data: Vec::new(),
        });
        match answer {
            UdpResponse::Announce { announced, .. } => announced,
            other => panic!("{other:?}"),
        }
    }

    /// The datagram that announces a leech with the info-hash of the tests.
    pub(crate) fn announce_bytes(connection: ConnectionId, id: u8, port: u16) -> Vec<u8> {
        announce_request(connection, TransactionId(*b"once"), id, port).encode()
    }
}

fn announce_request(
    connection: ConnectionId,
    transaction: TransactionId,
    id: u8,
    port: u16,
) -> UdpRequest {
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
    UdpRequest::Announce {
        connection,
        transaction,
        announce,
        url_data: Vec::new(),
    }
}
