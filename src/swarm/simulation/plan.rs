//! What a world is made of: the share, and each peer with its pieces, its line and its manner.

use super::data::Data;
use super::network::{Access, PeerNo};
use super::rogue::Manner;
use crate::swarm::Order;
use crate::torrent::{Lengths, PieceSet};
use fastrand::Rng;
use std::time::Duration;

/// What a peer is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Role {
    /// Honest, with everything.
    Seed,
    /// Honest, with some pieces, and content with them.
    Partial,
    /// Honest, and fetches what it lacks.
    Downloader,
    Rogue(Manner),
}

/// One peer of a world.
#[derive(Clone, Debug)]
pub(super) struct PeerPlan {
    pub(super) role: Role,
    /// Of a hundred pieces, how many it has.
    pub(super) share: u8,
    /// Of a hundred pieces, how many a downloader needs.
    pub(super) needs: u8,
    pub(super) fast: bool,
    /// Bytes a second of each of its connections.
    pub(super) rate: u64,
    pub(super) delay: Duration,
    pub(super) slots: usize,
    pub(super) max_peers: usize,
    /// Buffers for so many blocks.
    pub(super) buffers: u32,
    /// Which piece it begins next.
    pub(super) order: Order,
}

/// Who knows where whom to find at first. Peers name others to each other later (BEP 11).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Known {
    /// Peer 0 knows all others, and they know nobody.
    Star,
    /// Each knows peer 0 and about so many others.
    Some(usize),
}

impl Known {
    /// Whom a peer knows, of so many.
    pub(super) fn of(self, peer: PeerNo, all: usize, rng: &mut Rng) -> Vec<PeerNo> {
        let mut known: Vec<PeerNo> = match self {
            Self::Star if peer == 0 => (1..all).collect(),
            Self::Star => Vec::new(),
            Self::Some(number) => {
                let others = (0..number).map(|_| rng.usize(..all));
                others.chain([0]).filter(|other| *other != peer).collect()
            }
        };
        known.sort_unstable();
        known.dedup();
        known
    }
}

/// A world before it begins.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) lengths: Lengths,
    pub(super) peers: Vec<PeerPlan>,
    pub(super) known: Known,
    /// The most virtual time until everybody has everything.
    pub(super) bound: Duration,
    /// Whether everything is checked after each event.
    pub(super) is_checked: bool,
    pub(super) seed: u64,
}

impl PeerPlan {
    /// A peer on a fast and near line.
    pub(super) fn new(role: Role) -> Self {
        Self {
            role,
            share: if role == Role::Downloader { 0 } else { 100 },
            needs: 100,
            fast: true,
            rate: 20 << 20,
            delay: Duration::from_micros(500),
            slots: 8,
            max_peers: 50,
            buffers: 1_024,
            order: Order::RarestFirst,
        }
    }

    /// The same on a line of so many bytes a second.
    pub(super) fn at(self, rate: u64) -> Self {
        Self { rate, ..self }
    }

    /// How it is linked to the network.
    pub(super) fn access(&self) -> Access {
        let lies = self.role == Role::Rogue(Manner::Lying);
        Access {
            rate: self.rate,
            delay: self.delay,
            fast: self.fast,
            reads: self.role != Role::Rogue(Manner::Greedy),
            data: if lies { Data::Bad } else { Data::Good },
        }
    }

    /// The pieces that it has.
    pub(super) fn has(&self, lengths: &Lengths, rng: &mut Rng) -> PieceSet {
        draw(self.share, lengths, rng)
    }

    fn any(role: Role, rng: &mut Rng) -> Self {
        let fetches = role == Role::Downloader;
        Self {
            share: match (fetches, rng.u8(0..4)) {
                (true, 0 | 1) => 0,
                (false, 0 | 1) => 100,
                _ => rng.u8(0..100),
            },
            needs: if rng.u8(0..6) == 0 { 70 } else { 100 },
            fast: rng.bool(),
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
                0 => Order::InOrder,
                1 => Order::InOrderAmongSeeds,
                _ => Order::RarestFirst,
            },
            ..Self::new(role)
        }
    }
}

impl Plan {
    /// A world in which peer 0 calls the others, checked now and then only.
    pub(super) fn of(lengths: Lengths, peers: Vec<PeerPlan>, seed: u64) -> Self {
        Self {
            lengths,
            known: Known::Star,
            peers,
            bound: Duration::from_secs(1_800),
            is_checked: false,
            seed,
        }
    }

    /// A small world: a seed, some downloaders, and others of any kind.
    pub(super) fn small(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let lengths = [16_384, 16_384, 20_000, 50_000, 100_000, 600_000];
        let piece_length = lengths[rng.usize(..lengths.len())];
        let total = rng.u64(1..500_000) + if piece_length > 100_000 { 600_000 } else { 0 };
        let lengths = Lengths::new(total, piece_length).expect("these are lengths");
        let mut roles = vec![Role::Seed, Role::Downloader];
        for _ in 0..rng.usize(1..7) {
            roles.push(any_role(&mut rng));
        }
        let peers = roles.into_iter().map(|role| PeerPlan::any(role, &mut rng));
        let mut peers: Vec<PeerPlan> = peers.collect();
        peers[0].share = 100;
        Self {
            known: Known::Some(rng.usize(1..8)),
            is_checked: true,
            ..Self::of(lengths, peers, seed)
        }
    }

    /// A world of two hundred peers, of whom most download at once.
    pub(super) fn large(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let lengths = Lengths::new(28 * 32_768 - 5, 32_768).expect("these are lengths");
        let mut peers = Vec::new();
        for number in 0..200 {
            let role = match number {
                0..4 => Role::Seed,
                4..150 => Role::Downloader,
                _ => any_role(&mut rng),
            };
            let mut peer = PeerPlan::any(role, &mut rng);
            peer.rate /= 10;
            if number < 4 {
                (peer.share, peer.rate) = (100, 200 << 10);
            }
            (peer.slots, peer.max_peers) = (rng.usize(3..8), 12);
            peers.push(peer);
        }
        Self {
            known: Known::Some(12),
            is_checked: false,
            ..Self::of(lengths, peers, seed)
        }
    }
}

/// Of a hundred pieces, so many.
pub(super) fn draw(share: u8, lengths: &Lengths, rng: &mut Rng) -> PieceSet {
    let mut pieces = PieceSet::empty(lengths);
    for piece in lengths.all_pieces() {
        if rng.u8(0..100) < share {
            pieces.insert(piece);
        }
    }
    pieces
}

fn any_role(rng: &mut Rng) -> Role {
    Role::Rogue(match rng.u8(0..14) {
        0..4 => return Role::Downloader,
        4 => return Role::Seed,
        5 => return Role::Partial,
        6 | 7 => Manner::Lying,
        8 => Manner::Silent,
        9 => Manner::Rejecting,
        10 => Manner::Leaving(rng.u32(1..40)),
        11 => Manner::Choking(Duration::from_millis(rng.u64(1..8_000))),
        12 => Manner::Late,
        _ => Manner::Greedy,
    })
}
