//! The network: connections with two directions. Each direction has a rate and a delay, and keeps
//! its packets in order.
//!
//! A write works as in `peer/link/writer.rs`: all queued messages, then one block. The number of
//! bytes and the rate determine how long the write takes. Nothing else is written during this time.
//! The bytes arrive after the delay.

use super::content::Content;
use super::direction::Direction;
use super::events::{Event, Events};
use crate::swarm::{LinkId, OutgoingMessage, RemotePeer};
use crate::torrent::{BlockRange, PieceIndex, PieceSet};
use crate::wire::PeerId;
use crate::wire::extension::ExtensionHandshake;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// The number of a peer in its simulation.
pub(super) type PeerNumber = usize;
/// The number of a connection in its simulation.
pub(super) type ConnectionNumber = usize;

/// The listening port of every peer.
const PORT: u16 = 6_881;
/// How long a peer takes to notice the end of a connection that it closed.
const CLOSING: Duration = Duration::from_millis(1);

/// A message or block on its way.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Packet {
    Choke,
    Unchoke,
    /// A message that the core sends.
    FromCore(OutgoingMessage),
    Have(PieceIndex),
    AllowedFast(PieceIndex),
    Pieces(PieceSet),
    Handshake(ExtensionHandshake),
    PeerExchange(Vec<u8>),
    Block(BlockRange, Content),
}

impl Packet {
    /// The extension handshake of an honest peer.
    pub(super) fn handshake(upload_only: bool) -> Self {
        Self::Handshake(ExtensionHandshake {
            request_queue: Some(2_000),
            port: Some(PORT),
            upload_only: Some(upload_only),
            pex: Some(1),
            ..ExtensionHandshake::default()
        })
    }

    /// The approximate length on the wire.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Choke | Self::Unchoke => 5,
            Self::FromCore(OutgoingMessage::Interested | OutgoingMessage::NotInterested) => 5,
            Self::Have(_) | Self::AllowedFast(_) => 9,
            Self::FromCore(_) => 17,
            Self::Pieces(pieces) => 5 + pieces.as_bitfield().len() as u64,
            Self::Handshake(_) => 100,
            Self::PeerExchange(payload) => 6 + payload.len() as u64,
            Self::Block(range, _) => 13 + u64::from(range.length()),
        }
    }
}

/// How a peer is connected to the network.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerAccess {
    /// Bytes a second in each direction of each connection.
    pub(super) rate: u64,
    /// The peer's part of the delay of a connection.
    pub(super) delay: Duration,
    pub(super) supports_bep_6: bool,
    /// Whether the peer reads what it gets.
    pub(super) reads: bool,
    /// The content of the peer's blocks.
    pub(super) content: Content,
}

/// A connection between two peers.
#[derive(Debug)]
struct Connection {
    /// The caller and the called peer.
    ends: [PeerNumber; 2],
    /// From the caller, and from the called peer.
    directions: [Direction; 2],
    is_open: bool,
}

/// All connections, including those that have ended.
#[derive(Debug)]
pub(super) struct Network {
    accesses: Vec<PeerAccess>,
    connections: Vec<Connection>,
}

impl Network {
    pub(super) fn new(accesses: Vec<PeerAccess>) -> Self {
        Self {
            accesses,
            connections: Vec::new(),
        }
    }

    /// The listening address of a peer. Each peer has its own /24 network, because the pieces
    /// that BEP 6 allows to a choked peer depend on that network.
    pub(super) fn address(peer: PeerNumber) -> SocketAddr {
        let [.., high, low] = (peer as u32).to_be_bytes();
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, high, low, 1)), PORT)
    }

    /// The peer that listens at the address.
    pub(super) fn peer_at(address: SocketAddr) -> PeerNumber {
        match address.ip() {
            IpAddr::V4(ip) => {
                PeerNumber::from(ip.octets()[1]) << 8 | PeerNumber::from(ip.octets()[2])
            }
            IpAddr::V6(_) => panic!("no peer has {address}"),
        }
    }

    pub(super) fn peer_id(peer: PeerNumber) -> PeerId {
        let mut id = [0; 20];
        id[..8].copy_from_slice(&(peer as u64).to_be_bytes());
        PeerId(id)
    }

    /// The link of a connection, for the cores of both peers.
    pub(super) fn link_id(connection: ConnectionNumber) -> LinkId {
        LinkId(connection as u64)
    }

    /// Calls a peer.
    pub(super) fn call(&mut self, caller: PeerNumber, callee: PeerNumber, events: &mut Events) {
        let (from, to) = (self.accesses[caller], self.accesses[callee]);
        let (rate, delay) = (from.rate.min(to.rate), from.delay + to.delay);
        let direction = |sender: PeerAccess, reader: PeerAccess| {
            Direction::new(rate, delay, sender.content, reader.reads)
        };
        self.connections.push(Connection {
            ends: [caller, callee],
            directions: [direction(from, to), direction(to, from)],
            is_open: true,
        });
        events.after(delay, Event::Called(self.connections.len() - 1));
    }

    /// The called peer answers a call: it admits the connection, or refuses it.
    pub(super) fn answer(
        &mut self,
        connection: ConnectionNumber,
        admits: bool,
        events: &mut Events,
    ) {
        let delay = self.connections[connection].directions[1].delay();
        self.connections[connection].is_open = admits;
        events.after(delay, Event::Answered(connection, admits));
    }

    /// Whether the blocks of a peer are bad.
    pub(super) fn lies(&self, peer: PeerNumber) -> bool {
        self.accesses[peer].content == Content::Bad
    }

    /// The caller and the called peer.
    pub(super) fn ends(&self, connection: ConnectionNumber) -> [PeerNumber; 2] {
        self.connections[connection].ends
    }

    pub(super) fn other_end(&self, connection: ConnectionNumber, peer: PeerNumber) -> PeerNumber {
        let [caller, callee] = self.connections[connection].ends;
        if peer == caller { callee } else { caller }
    }

    /// Whether both ends support BEP 6.
    pub(super) fn uses_bep_6(&self, connection: ConnectionNumber) -> bool {
        let ends = self.connections[connection].ends;
        ends.iter().all(|peer| self.accesses[*peer].supports_bep_6)
    }

    /// The address of the other end as a peer sees it: a caller has a temporary port.
    pub(super) fn seen_address(
        &self,
        connection: ConnectionNumber,
        peer: PeerNumber,
    ) -> SocketAddr {
        let [caller, callee] = self.connections[connection].ends;
        if peer == caller {
            return Self::address(callee);
        }
        let port = 40_000 + (connection % 20_000) as u16;
        SocketAddr::new(Self::address(caller).ip(), port)
    }

    /// The other end of a connection, as the core of `peer` knows it. `outgoing`: whether `peer`
    /// has called.
    pub(super) fn remote(
        &self,
        connection: ConnectionNumber,
        peer: PeerNumber,
        outgoing: bool,
    ) -> RemotePeer {
        RemotePeer {
            address: self.seen_address(connection, peer),
            outgoing,
            peer_id: Self::peer_id(self.other_end(connection, peer)),
            fast: self.uses_bep_6(connection),
            extensions: true,
            member: None,
        }
    }

    /// The direction in which a peer sends.
    pub(super) fn direction(&self, connection: ConnectionNumber, from: PeerNumber) -> &Direction {
        let side = self.side(connection, from);
        &self.connections[connection].directions[side]
    }

    /// How many bytes of blocks a peer has sent.
    pub(super) fn sent(&self, peer: PeerNumber) -> u64 {
        let connections = 0..self.connections.len();
        let own = connections.filter(|at| self.connections[*at].ends.contains(&peer));
        own.map(|at| self.direction(at, peer).activity(Duration::MAX).sent)
            .sum()
    }

    /// Changes the send queue of a peer, and sends what can be sent now.
    pub(super) fn write<R>(
        &mut self,
        connection: ConnectionNumber,
        from: PeerNumber,
        events: &mut Events,
        change: impl FnOnce(&mut Direction) -> R,
    ) -> R {
        let side = self.side(connection, from);
        let to = self.other_end(connection, from);
        let Connection {
            directions,
            is_open,
            ..
        } = &mut self.connections[connection];
        let direction = &mut directions[side];
        let result = change(direction);
        if *is_open && let Some(sent) = direction.begin_write(events.now()) {
            let arrival = Event::Arrived(connection, to, sent.packets);
            events.at(sent.arrives, arrival);
            if let Some(ended) = sent.writer_free_at {
                events.at(ended, Event::Written(connection, from, sent.blocks));
            }
        }
        result
    }

    /// A write has ended: the next may begin.
    pub(super) fn on_written(
        &mut self,
        connection: ConnectionNumber,
        from: PeerNumber,
        events: &mut Events,
    ) {
        self.write(connection, from, events, Direction::on_written);
    }

    /// Closes a connection. The other peer receives all packets that are on the way to it, and only
    /// then notices the end.
    pub(super) fn close(
        &mut self,
        connection: ConnectionNumber,
        by: PeerNumber,
        events: &mut Events,
    ) {
        let side = self.side(connection, by);
        let other = self.other_end(connection, by);
        let Connection {
            directions,
            is_open,
            ..
        } = &mut self.connections[connection];
        if std::mem::take(is_open) {
            let noticed_at = directions[side]
                .last_arrival()
                .max(events.now() + directions[side].delay());
            events.after(CLOSING, Event::Closed(connection, by));
            events.at(noticed_at, Event::Closed(connection, other));
        }
    }

    fn side(&self, connection: ConnectionNumber, from: PeerNumber) -> usize {
        usize::from(self.connections[connection].ends[0] != from)
    }
}
