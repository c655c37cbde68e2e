//! Rogue peers. They have no core: each does only what its misbehaviour needs.

use super::environment::Environment;
use super::events::Event;
use super::network::{ConnectionNumber, Network, Packet, PeerNumber};
use crate::swarm::OutgoingMessage;
use crate::torrent::{BlockRange, Lengths, PieceIndex, PieceSet};
use crate::wire::extension::ExtensionHandshake;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// A choking peer chokes after this many blocks.
const BETWEEN_CHOKES: u32 = 8;
/// A late peer announces one piece in each interval of this length.
const ANNOUNCE_INTERVAL: Duration = Duration::from_millis(400);
/// A greedy peer sends all its requests in each interval of this length.
const REQUEST_INTERVAL: Duration = Duration::from_secs(1);
/// A lying caller checks once in each interval of this length whether it has to call again.
const CALL_INTERVAL: Duration = Duration::from_millis(300);

/// How a peer misbehaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Misbehaviour {
    /// Its blocks are bad.
    Lying,
    /// Its blocks are bad. It sends one block in each interval of this length.
    Trickling(Duration),
    /// Its blocks are bad. It calls peer 0, and calls again when the link has ended. Each call
    /// comes from another port. It never sends the port on which it listens.
    LyingCaller,
    /// It answers no request.
    Silent,
    /// It rejects half of the requests. Without BEP 6 it drops them.
    Rejecting,
    /// It leaves for good after this many blocks.
    Leaving(u32),
    /// After every eight blocks it chokes for this long and drops all requests.
    Choking(Duration),
    /// It announces its pieces one by one, and none at first.
    Late,
    /// It requests the first block of up to 100 pieces again and again, and never reads.
    Greedy,
}

/// A rogue peer.
#[derive(Debug)]
pub(super) struct Rogue {
    number: PeerNumber,
    lengths: Lengths,
    misbehaviour: Misbehaviour,
    /// The pieces that it has announced.
    announced: PieceSet,
    /// The pieces that it has not announced yet.
    unannounced: Vec<PieceIndex>,
    links: BTreeSet<ConnectionNumber>,
    /// The number of blocks sent.
    sent: u32,
    /// It chokes all peers now.
    is_choking: bool,
    /// The requests that a trickling peer has not answered yet.
    unanswered: VecDeque<(ConnectionNumber, BlockRange)>,
    is_gone: bool,
}

impl Rogue {
    /// A rogue peer that has these pieces.
    pub(super) fn new(
        number: PeerNumber,
        misbehaviour: Misbehaviour,
        lengths: Lengths,
        has: PieceSet,
    ) -> Self {
        let (announced, unannounced) = match misbehaviour {
            Misbehaviour::Late => {
                let has = lengths.all_pieces().filter(|piece| has.contains(*piece));
                (PieceSet::empty(&lengths), has.collect())
            }
            _ => (has, Vec::new()),
        };
        Self {
            number,
            lengths,
            misbehaviour,
            announced,
            unannounced,
            links: BTreeSet::new(),
            sent: 0,
            is_choking: false,
            unanswered: VecDeque::new(),
            is_gone: false,
        }
    }

    /// Calls these peers, and starts a timer if the misbehaviour needs one.
    pub(super) fn begin(&mut self, calls: &[PeerNumber], env: &mut Environment) {
        calls.iter().for_each(|peer| env.call(self.number, *peer));
        match self.misbehaviour {
            Misbehaviour::Late => env
                .events
                .after(ANNOUNCE_INTERVAL, Event::Woken(self.number)),
            Misbehaviour::Greedy => env
                .events
                .after(REQUEST_INTERVAL, Event::Woken(self.number)),
            Misbehaviour::Trickling(pause) => env.events.after(pause, Event::Woken(self.number)),
            Misbehaviour::LyingCaller => env.events.after(CALL_INTERVAL, Event::Woken(self.number)),
            _ => {}
        }
    }

    pub(super) fn on_called(&mut self, connection: ConnectionNumber, env: &mut Environment) {
        let admits = !self.is_gone && self.misbehaviour != Misbehaviour::LyingCaller;
        env.network.answer(connection, admits, &mut env.events);
        self.on_answered(connection, admits, env);
    }

    pub(super) fn on_answered(
        &mut self,
        connection: ConnectionNumber,
        admits: bool,
        env: &mut Environment,
    ) {
        if !admits || self.is_gone {
            return env.network.close(connection, self.number, &mut env.events);
        }
        self.links.insert(connection);
        let handshake = ExtensionHandshake {
            port: (self.misbehaviour != Misbehaviour::LyingCaller)
                .then_some(Network::address(self.number).port()),
            ..ExtensionHandshake::default()
        };
        env.send(
            connection,
            self.number,
            Packet::Pieces(self.announced.clone()),
        );
        env.send(connection, self.number, Packet::Handshake(handshake));
    }

    pub(super) fn on_closed(&mut self, connection: ConnectionNumber) {
        self.links.remove(&connection);
        self.unanswered
            .retain(|(requester, _)| *requester != connection);
    }

    pub(super) fn on_packets(
        &mut self,
        connection: ConnectionNumber,
        packets: Vec<Packet>,
        env: &mut Environment,
    ) {
        if !self.links.contains(&connection) || self.misbehaviour == Misbehaviour::Greedy {
            return;
        }
        for packet in packets {
            let uses_bep_6 = env.network.uses_bep_6(connection);
            match packet {
                Packet::FromCore(OutgoingMessage::Interested) if !self.is_choking => {
                    env.send(connection, self.number, Packet::Unchoke);
                }
                Packet::FromCore(OutgoingMessage::Cancel(range)) => {
                    let mut unanswered = self.unanswered.iter();
                    let position = unanswered.position(|(_, requested)| *requested == range);
                    let dropped = position.and_then(|at| self.unanswered.remove(at));
                    if dropped.is_some() && uses_bep_6 {
                        let reject = Packet::FromCore(OutgoingMessage::Reject(range));
                        env.send(connection, self.number, reject);
                    }
                    env.write(connection, self.number, |direction| {
                        direction.cancel_block(range, uses_bep_6)
                    });
                }
                Packet::FromCore(OutgoingMessage::Request(range)) => {
                    let refuses = match self.misbehaviour {
                        Misbehaviour::Silent => continue,
                        Misbehaviour::Trickling(_) => {
                            self.unanswered.push_back((connection, range));
                            continue;
                        }
                        Misbehaviour::Rejecting => env.rng.bool(),
                        _ => self.is_choking,
                    };
                    if !refuses {
                        env.write(connection, self.number, |direction| {
                            direction.push_block(range)
                        });
                    } else if uses_bep_6 {
                        let reject = Packet::FromCore(OutgoingMessage::Reject(range));
                        env.send(connection, self.number, reject);
                    }
                }
                _ => {}
            }
        }
    }

    /// This many blocks were written.
    pub(super) fn on_sent(&mut self, blocks: u32, env: &mut Environment) {
        self.sent += blocks;
        match self.misbehaviour {
            Misbehaviour::Leaving(after) if self.sent >= after => {
                self.is_gone = true;
                for connection in &self.links {
                    env.network.close(*connection, self.number, &mut env.events);
                }
            }
            Misbehaviour::Choking(pause)
                if blocks > 0 && !self.is_choking && self.sent.is_multiple_of(BETWEEN_CHOKES) =>
            {
                self.is_choking = true;
                for connection in &self.links {
                    let uses_bep_6 = env.network.uses_bep_6(*connection);
                    env.write(*connection, self.number, |direction| {
                        direction.choke(uses_bep_6, &[])
                    });
                }
                env.events.after(pause, Event::Woken(self.number));
            }
            _ => {}
        }
    }

    /// The timer has fired.
    pub(super) fn on_woken(&mut self, env: &mut Environment) {
        match self.misbehaviour {
            Misbehaviour::Choking(_) => {
                self.is_choking = false;
                self.send_all(&Packet::Unchoke, env);
            }
            Misbehaviour::LyingCaller => {
                if self.links.is_empty() {
                    env.call(self.number, 0);
                }
                env.events.after(CALL_INTERVAL, Event::Woken(self.number));
            }
            Misbehaviour::Trickling(pause) => {
                if let Some((connection, range)) = self.unanswered.pop_front() {
                    env.write(connection, self.number, |direction| {
                        direction.push_block(range)
                    });
                }
                env.events.after(pause, Event::Woken(self.number));
            }
            Misbehaviour::Late => {
                let Some(piece) = self.unannounced.pop() else {
                    return;
                };
                self.announced.insert(piece);
                self.send_all(&Packet::Have(piece), env);
                env.events
                    .after(ANNOUNCE_INTERVAL, Event::Woken(self.number));
            }
            Misbehaviour::Greedy => {
                self.send_all(&Packet::FromCore(OutgoingMessage::Interested), env);
                for piece in self.lengths.all_pieces().take(100) {
                    let block = self.lengths.block(piece, 0).expect("no piece is empty");
                    self.send_all(&Packet::FromCore(OutgoingMessage::Request(block)), env);
                }
                env.events
                    .after(REQUEST_INTERVAL, Event::Woken(self.number));
            }
            _ => {}
        }
    }

    fn send_all(&self, packet: &Packet, env: &mut Environment) {
        for connection in &self.links {
            env.send(*connection, self.number, packet.clone());
        }
    }
}
