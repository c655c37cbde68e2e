//! The core and everything that it asks for: carries out effects, and checks them.

use crate::swarm::core::{
    Budget, Core, Effect, LinkActivity, OutgoingMessage, PendingBlock, Phase, RemotePeer,
    SwarmConfig,
};
use crate::swarm::{BlockRun, LinkId, LocalBlocks, PieceOrder, UploadSlots};
use crate::torrent::{BLOCK, BlockRange, InfoHash, Lengths, PieceIndex, PieceSet};
use crate::wire::PeerId;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The bytes that are not used yet. They say what happens next.
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl Input<'_> {
    /// `None` at the end.
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A number below `limit`, or 0.
    pub(super) fn below(&mut self, limit: usize) -> Option<usize> {
        let byte = usize::from(self.byte()?);
        Some(byte.checked_rem(limit).unwrap_or(0))
    }

    /// One of these. `None` also if there are none.
    pub(super) fn one_of<T: Clone>(&mut self, all: &[T]) -> Option<Option<T>> {
        let at = self.below(all.len())?;
        Some(all.get(at).cloned())
    }
}

/// Block buffers of this download alone.
#[derive(Clone, Debug)]
struct Buffers {
    total: u32,
    reserved: Arc<AtomicU32>,
}

impl Budget for Buffers {
    fn reserve(&mut self, blocks: u32) -> bool {
        let fits = self.reserved() + blocks <= self.total;
        if fits {
            self.reserved.fetch_add(blocks, Ordering::Relaxed);
        }
        fits
    }

    fn release(&mut self, blocks: u32) {
        let reserved = self.reserved.fetch_sub(blocks, Ordering::Relaxed);
        assert!(reserved >= blocks, "{blocks} released of {reserved}");
    }

    fn reserved(&self) -> u32 {
        self.reserved.load(Ordering::Relaxed)
    }
}

/// A run that a worker has. The blocks that are `None` are local.
pub(super) type Work = (BlockRun, Vec<Option<PendingBlock<u32>>>);

/// The core and its environment.
pub(super) struct Environment {
    pub(super) core: Core<u32>,
    pub(super) now: Duration,
    pub(super) lengths: Lengths,
    /// Open connections. The core may have removed its link.
    pub(super) links: BTreeMap<LinkId, (RemotePeer, LinkActivity)>,
    /// Links whose peers have sent at most handshakes: only these may send all their pieces as a
    /// first message.
    pub(super) silent: BTreeSet<LinkId>,
    /// Web seeds in use, with the blocks that they are about to send.
    pub(super) web_seeds: BTreeMap<LinkId, Vec<BlockRange>>,
    /// Addresses that are being called.
    pub(super) calls: Vec<SocketAddr>,
    pub(super) work: Vec<Work>,
    /// The local blocks of the present download.
    pub(super) local: LocalBlocks,
    slots: usize,
    served: BTreeSet<LinkId>,
    next_link: u64,
    calls_of_core: u32,
}

/// The invariants of the core are checked once in this number of calls, because that takes most of
/// the time. Unit tests check them each time.
const CHECK_INTERVAL: u32 = if cfg!(test) { 1 } else { 8 };

impl Environment {
    /// `None` if the input is too short.
    pub(super) fn new(input: &mut Input<'_>) -> Option<Self> {
        let shapes = [(4, 2), (1, 1), (3, 40), (8, 1), (2, 33), (5, 3)];
        let (pieces, blocks) = input.one_of(&shapes)??;
        let length = u64::from(BLOCK * blocks);
        let missing = u64::from(input.byte()?) % length;
        let lengths = Lengths::new(pieces * length - missing, length.cast_signed()).ok()?;
        let flags = input.byte()?;
        let slots = 1 + input.below(3)?;
        let config = SwarmConfig {
            info_hash: InfoHash([7; 20]),
            lengths,
            own_id: PeerId([3; 20]),
            is_private: flags & 1 != 0,
            exchanges_peers: flags & 2 != 0,
            order: match flags & 4 {
                0 => PieceOrder::RarestFirst,
                _ => PieceOrder::InOrder,
            },
            max_peers: 1 + input.below(5)?,
            upload_slots: UploadSlots::Fixed(slots),
            largest_window: 1 + u32::from(input.byte()?),
            max_stalls: 2,
            max_unread: Duration::from_secs(30),
        };
        let buffers = Buffers {
            total: 8 + u32::from(input.byte()?),
            reserved: Arc::default(),
        };
        let now = Duration::from_secs(1_000);
        Some(Self {
            core: Core::new(config, Box::new(buffers), 1, now),
            now,
            lengths,
            links: BTreeMap::new(),
            silent: BTreeSet::new(),
            web_seeds: BTreeMap::new(),
            calls: Vec::new(),
            work: Vec::new(),
            local: LocalBlocks::default(),
            slots,
            served: BTreeSet::new(),
            next_link: 0,
            calls_of_core: 0,
        })
    }

    /// Calls the core, checks it, and carries out its effects.
    pub(super) fn act<R>(&mut self, act: impl FnOnce(&mut Core<u32>, Duration) -> R) -> R {
        let before: BTreeSet<LinkId> = self.core.links().map(|(id, _)| id).collect();
        let result = act(&mut self.core, self.now);
        self.calls_of_core += 1;
        if self.calls_of_core.is_multiple_of(CHECK_INTERVAL) {
            self.core.check();
        }
        let effects: Vec<Effect<u32>> = self.core.take_effects().collect();
        for effect in effects {
            if let Some(id) = link_of(&effect) {
                let is_known = before.contains(&id) || self.core.link(id).is_some();
                assert!(is_known, "{id:?} is gone: {effect:?}");
            }
            self.carry_out(effect);
        }
        let core = &self.core;
        self.served.retain(|id| core.link(*id).is_some());
        assert!(self.served.len() <= self.slots, "{:?}", self.served);
        result
    }

    pub(super) fn new_link(&mut self) -> LinkId {
        self.next_link += 1;
        LinkId(self.next_link)
    }

    /// A set of pieces: those whose bit is set.
    pub(super) fn pieces(&self, bits: u8) -> PieceSet {
        let mut set = PieceSet::empty(&self.lengths);
        let all = self.lengths.all_pieces();
        for piece in all.filter(|piece| bits >> (piece.number() % 8) & 1 != 0) {
            set.insert(piece);
        }
        set
    }

    /// The blocks whose bit is set, of the pieces whose bit is set.
    pub(super) fn blocks(&self, pieces: u8, blocks: u8) -> LocalBlocks {
        let pieces = self.pieces(pieces);
        let all = self.lengths.all_pieces();
        let of_pieces = all
            .filter(|piece| pieces.contains(*piece))
            .flat_map(|piece| {
                let numbers = 0..self.lengths.blocks(piece);
                numbers.filter_map(move |number| self.lengths.block(piece, number))
            });
        let of_pieces = of_pieces.filter(|block| blocks >> (block.number() % 8) & 1 != 0);
        of_pieces.collect()
    }

    pub(super) fn piece(&self, input: &mut Input<'_>) -> Option<PieceIndex> {
        let number = input.below(self.lengths.pieces() as usize)?;
        self.lengths.piece(number as u32)
    }

    pub(super) fn block(&self, input: &mut Input<'_>) -> Option<BlockRange> {
        let piece = self.piece(input)?;
        let number = input.below(self.lengths.blocks(piece) as usize)?;
        self.lengths.block(piece, number as u32)
    }

    fn carry_out(&mut self, effect: Effect<u32>) {
        match effect {
            Effect::Hash(run, blocks) => {
                assert_eq!(blocks.len(), run.blocks as usize);
                self.work
                    .push((run, blocks.into_iter().map(Some).collect()));
            }
            Effect::ReadAndHash(run, blocks) => {
                assert_eq!(blocks.len(), run.blocks as usize);
                assert!(blocks.iter().any(Option::is_none));
                self.work.push((run, blocks));
            }
            Effect::Connect(address) => {
                assert!(!self.calls.contains(&address), "{address} is called twice");
                self.calls.push(address);
            }
            Effect::Choke(id) => drop(self.served.remove(&id)),
            Effect::Unchoke(id) => drop(self.served.insert(id)),
            Effect::Serve(_, block) => assert!(self.core.owned().contains(block.piece())),
            Effect::Send(id, OutgoingMessage::Request(block)) => {
                assert!(self.core.phase().fetches());
                let offered = self.core.picker().pieces_of(id);
                assert!(offered.is_none_or(|offered| offered.contains(block.piece())));
            }
            Effect::Complete => assert_eq!(*self.core.phase(), Phase::Finishing),
            _ => {}
        }
    }
}

/// The link that an effect concerns.
pub(in crate::swarm::core) fn link_of(effect: &Effect<u32>) -> Option<LinkId> {
    match effect {
        Effect::Send(id, _)
        | Effect::SendExtended { link: id, .. }
        | Effect::SendUploadOnly(id)
        | Effect::Choke(id)
        | Effect::Unchoke(id)
        | Effect::Serve(id, _)
        | Effect::Stalled(id)
        | Effect::Close(id, _) => Some(*id),
        Effect::SendHaves(_)
        | Effect::Connect(_)
        | Effect::Hash(..)
        | Effect::ReadAndHash(..)
        | Effect::Announce(_)
        | Effect::Offer(_)
        | Effect::Withhold
        | Effect::Complete
        | Effect::Failed(_) => None,
    }
}
