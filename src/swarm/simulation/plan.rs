//! The plan of a simulation: the share, and the peers with their pieces, connections and behaviour.

use super::content::Content;
use super::local::LocalPlan;
use super::network::{PeerAccess, PeerNumber};
use super::rogue::Misbehaviour;
use crate::swarm::PieceOrder;
use crate::torrent::{Lengths, PieceSet};
use fastrand::Rng;
use std::time::Duration;

/// The kind of a peer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Role {
    /// Honest: its files are in their final place. So it fetches nothing, even if it lacks pieces.
    Seed,
    /// Honest: a download that has every piece that it needs.
    Partial,
    /// Honest: fetches the needed pieces that it lacks.
    Downloader,
    Rogue(Misbehaviour),
}

/// One peer.
#[derive(Clone, Debug)]
pub(super) struct PeerPlan {
    pub(super) role: Role,
    /// How many percent of the pieces the peer has.
    pub(super) owned_percent: u8,
    /// How many percent of the pieces a downloader needs.
    pub(super) needed_percent: u8,
    pub(super) supports_bep_6: bool,
    /// Bytes a second of each of the peer's connections.
    pub(super) rate: u64,
    /// The peer's part of the delay of a connection.
    pub(super) delay: Duration,
    /// The number of upload slots.
    pub(super) slots: usize,
    pub(super) max_peers: usize,
    /// Buffers for this many blocks.
    pub(super) buffers: u32,
    /// Which piece the peer begins next.
    pub(super) order: PieceOrder,
    /// How much of the share the peer can read itself.
    pub(super) local: LocalPlan,
}

/// Which addresses the peers know at first. Later they get others by peer exchange (BEP 11).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum KnownPeers {
    /// Peer 0 knows all others, and the others know no address.
    Star,
    /// Each peer knows peer 0 and about this many others.
    Random(usize),
}

impl KnownPeers {
    /// Draws the peers that `peer` knows at first, in a simulation of `count` peers.
    pub(super) fn draw_for(self, peer: PeerNumber, count: usize, rng: &mut Rng) -> Vec<PeerNumber> {
        let mut known: Vec<PeerNumber> = match self {
            Self::Star if peer == 0 => (1..count).collect(),
            Self::Star => Vec::new(),
            Self::Random(number) => {
                let others = (0..number).map(|_| rng.usize(..count));
                others.chain([0]).filter(|other| *other != peer).collect()
            }
        };
        known.sort_unstable();
        known.dedup();
        known
    }
}

/// A simulation before it begins.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) lengths: Lengths,
    pub(super) peers: Vec<PeerPlan>,
    pub(super) known: KnownPeers,
    /// The virtual time within which every honest peer must be complete.
    pub(super) bound: Duration,
    /// Whether everything is checked after each event.
    pub(super) checks_each_event: bool,
    pub(super) seed: u64,
}

impl PeerPlan {
    /// A peer with a connection of high rate and short delay.
    pub(super) fn new(role: Role) -> Self {
        Self {
            role,
            owned_percent: if role == Role::Downloader { 0 } else { 100 },
            needed_percent: 100,
            supports_bep_6: true,
            rate: 20 << 20,
            delay: Duration::from_micros(500),
            slots: 8,
            max_peers: 50,
            buffers: 1_024,
            order: PieceOrder::RarestFirst,
            local: LocalPlan::default(),
        }
    }

    /// The same plan with this rate, in bytes a second.
    pub(super) fn with_rate(self, rate: u64) -> Self {
        Self { rate, ..self }
    }

    /// How the peer is connected to the network.
    pub(super) fn access(&self) -> PeerAccess {
        let lies = matches!(
            self.role,
            Role::Rogue(
                Misbehaviour::Lying | Misbehaviour::LyingCaller | Misbehaviour::Trickling(_)
            )
        );
        PeerAccess {
            rate: self.rate,
            delay: self.delay,
            supports_bep_6: self.supports_bep_6,
            reads: self.role != Role::Rogue(Misbehaviour::Greedy),
            content: if lies { Content::Bad } else { Content::Good },
        }
    }

    /// Draws the pieces that the peer has.
    pub(super) fn draw_pieces(&self, lengths: &Lengths, rng: &mut Rng) -> PieceSet {
        draw(self.owned_percent, lengths, rng)
    }

    fn random(role: Role, rng: &mut Rng) -> Self {
        let fetches = role == Role::Downloader;
        Self {
            owned_percent: match (fetches, rng.u8(0..4)) {
                (true, 0 | 1) => 0,
                (false, 0 | 1) => 100,
                _ => rng.u8(0..100),
            },
            needed_percent: if rng.u8(0..6) == 0 { 70 } else { 100 },
            supports_bep_6: rng.bool(),
            rate: rng.u64(50..5_000) << 10,
            delay: Duration::from_micros(rng.u64(100..60_000)),
            slots: rng.usize(1..5),
            max_peers: if rng.u8(0..4) == 0 {
                rng.usize(2..6)
            } else {
                50
            },
            buffers: rng.u32(32..200),
            order: match rng.u8(0..6) {
                0 => PieceOrder::InOrder,
                1 => PieceOrder::InOrderAmongSeeds,
                _ => PieceOrder::RarestFirst,
            },
            ..Self::new(role)
        }
    }
}

impl Plan {
    /// A plan in which peer 0 calls the others. Its simulation is checked only now and then.
    pub(super) fn of(lengths: Lengths, peers: Vec<PeerPlan>, seed: u64) -> Self {
        Self {
            lengths,
            known: KnownPeers::Star,
            peers,
            bound: Duration::from_secs(1_800),
            checks_each_event: false,
            seed,
        }
    }

    /// A small plan: a seed, a downloader, and others of any kind. In every third plan, the
    /// downloaders have an older version of the share.
    pub(super) fn small(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let lengths = [16_384, 16_384, 20_000, 50_000, 100_000, 600_000];
        let piece_length = lengths[rng.usize(..lengths.len())];
        let total = rng.u64(1..500_000) + if piece_length > 100_000 { 600_000 } else { 0 };
        let lengths = Lengths::new(total, piece_length).expect("the lengths are valid");
        let mut roles = vec![Role::Seed, Role::Downloader];
        for _ in 0..rng.usize(1..7) {
            roles.push(random_role(&mut rng));
        }
        let peers = roles
            .into_iter()
            .map(|role| PeerPlan::random(role, &mut rng));
        let mut peers: Vec<PeerPlan> = peers.collect();
        peers[0].owned_percent = 100;
        if seed % 3 == 2 {
            for peer in peers.iter_mut().filter(|it| it.role == Role::Downloader) {
                peer.local = LocalPlan {
                    percent: rng.u8(1..=100),
                    whole_percent: 50,
                    wrong_percent: rng.u8(0..100),
                    unreadable_percent: rng.u8(0..60),
                };
            }
        }
        Self {
            known: KnownPeers::Random(rng.usize(1..8)),
            checks_each_event: true,
            ..Self::of(lengths, peers, seed)
        }
    }

    /// A plan with two hundred peers, of which most download at the same time.
    pub(super) fn large(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let lengths = Lengths::new(28 * 32_768 - 5, 32_768).expect("the lengths are valid");
        let mut peers = Vec::new();
        for number in 0..200 {
            let role = match number {
                0..4 => Role::Seed,
                4..150 => Role::Downloader,
                _ => random_role(&mut rng),
            };
            let mut peer = PeerPlan::random(role, &mut rng);
            peer.rate /= 10;
            if number < 4 {
                (peer.owned_percent, peer.rate) = (100, 200 << 10);
            }
            (peer.slots, peer.max_peers) = (rng.usize(3..8), 12);
            peers.push(peer);
        }
        Self {
            known: KnownPeers::Random(12),
            checks_each_event: false,
            ..Self::of(lengths, peers, seed)
        }
    }
}

/// Draws this percentage of the pieces.
pub(super) fn draw(percent: u8, lengths: &Lengths, rng: &mut Rng) -> PieceSet {
    let mut pieces = PieceSet::empty(lengths);
    for piece in lengths.all_pieces() {
        if rng.u8(0..100) < percent {
            pieces.insert(piece);
        }
    }
    pieces
}

fn random_role(rng: &mut Rng) -> Role {
    Role::Rogue(match rng.u8(0..14) {
        0..4 => return Role::Downloader,
        4 => return Role::Seed,
        5 => return Role::Partial,
        6 => Misbehaviour::Lying,
        7 => Misbehaviour::Trickling(Duration::from_millis(rng.u64(500..5_900))),
        8 => Misbehaviour::Silent,
        9 => Misbehaviour::Rejecting,
        10 => Misbehaviour::Leaving(rng.u32(1..40)),
        11 => Misbehaviour::Choking(Duration::from_millis(rng.u64(1..8_000))),
        12 => Misbehaviour::Late,
        _ => Misbehaviour::Greedy,
    })
}
