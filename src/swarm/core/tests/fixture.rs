//! A swarm to test: a core, its clock and its buffers. Every step checks the invariants of the
//! core.

pub(super) use super::effects::*;

use crate::swarm::core::{
    Budget, CheckResult, Core, Effect, LinkActivity, LinkRefusal, ProtocolViolation,
    ReceivedMessage, RemotePeer, Source, Sources, SwarmConfig, UnrequestedBlock, Verdict,
    add_sources,
};
use crate::swarm::{LinkId, LocalBlocks, PieceOrder, UploadSlots};
use crate::torrent::{BLOCK, BlockRange, InfoHash, Lengths, PieceIndex, PieceSet};
use crate::wire::PeerId;
use crate::wire::extension::ExtensionHandshake;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Buffers that the test can see.
#[derive(Clone, Debug)]
pub(super) struct Buffers {
    total: Arc<AtomicU32>,
    reserved: Arc<AtomicU32>,
}

impl Buffers {
    pub(super) fn set_total(&self, blocks: u32) {
        self.total.store(blocks, Ordering::Relaxed);
    }
}

impl Budget for Buffers {
    fn reserve(&mut self, blocks: u32) -> bool {
        let fits = self.reserved() + blocks <= self.total.load(Ordering::Relaxed);
        if fits {
            self.reserved.fetch_add(blocks, Ordering::Relaxed);
        }
        fits
    }

    fn release(&mut self, blocks: u32) {
        let reserved = self.reserved.fetch_sub(blocks, Ordering::Relaxed);
        assert!(
            reserved >= blocks,
            "{blocks} blocks released, but only {reserved} reserved"
        );
    }

    fn reserved(&self) -> u32 {
        self.reserved.load(Ordering::Relaxed)
    }
}

/// One swarm at a peer. Each byte of the peer's id is 100. The share has four pieces of two blocks,
/// unless the test changes that.
pub(super) struct Swarm {
    pub(super) core: Core<u32>,
    pub(super) now: Duration,
    pub(super) buffers: Buffers,
    pub(super) lengths: Lengths,
    /// What the connections report at a tick.
    pub(super) activity: HashMap<LinkId, LinkActivity>,
}

impl Swarm {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut SwarmConfig)) -> Self {
        let mut config = SwarmConfig {
            info_hash: InfoHash([7; 20]),
            lengths: lengths(4, 2),
            own_id: PeerId([100; 20]),
            is_private: false,
            exchanges_peers: true,
            order: PieceOrder::RarestFirst,
            max_peers: 4,
            upload_slots: UploadSlots::Fixed(2),
            largest_window: 100,
            max_stalls: 2,
            max_unread: Duration::from_secs(30),
        };
        change(&mut config);
        let buffers = Buffers {
            total: Arc::new(AtomicU32::new(1_000)),
            reserved: Arc::default(),
        };
        let (now, lengths) = (Duration::from_secs(1_000), config.lengths);
        Self {
            core: Core::new(config, Box::new(buffers.clone()), 1, now),
            now,
            buffers,
            lengths,
            activity: HashMap::new(),
        }
    }

    /// A download of every piece. No piece is owned yet.
    pub(super) fn fetching() -> Self {
        Self::fetching_with(|_| {})
    }

    pub(super) fn fetching_with(change: impl FnOnce(&mut SwarmConfig)) -> Self {
        let mut swarm = Self::with(change);
        swarm.begin(&[]);
        swarm
    }

    /// A complete share.
    pub(super) fn complete() -> Self {
        let mut swarm = Self::new();
        swarm.begin_in_place();
        swarm
    }

    /// Calls the core and returns its result and its effects. Checks that no effect concerns a link
    /// that was gone before.
    pub(super) fn step<R>(
        &mut self,
        act: impl FnOnce(&mut Core<u32>, Duration) -> R,
    ) -> (R, Effects) {
        let before: Vec<LinkId> = self.core.links().map(|(id, _)| id).collect();
        let result = act(&mut self.core, self.now);
        self.core.check();
        let effects: Effects = self.core.take_effects().collect();
        for link in effects.iter().filter_map(link_of) {
            let is_known = before.contains(&link) || self.core.link(link).is_some();
            assert!(is_known, "{link:?} is gone: {effects:?}");
        }
        (result, effects)
    }

    pub(super) fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    pub(super) fn piece(&self, number: u32) -> PieceIndex {
        self.lengths.piece(number).unwrap()
    }

    pub(super) fn all_pieces(&self) -> PieceSet {
        PieceSet::full(&self.lengths)
    }

    pub(super) fn pieces(&self, numbers: &[u32]) -> PieceSet {
        let mut set = PieceSet::empty(&self.lengths);
        for number in numbers {
            set.insert(self.piece(*number));
        }
        set
    }

    pub(super) fn block(&self, piece: u32, number: u32) -> BlockRange {
        self.lengths.block(self.piece(piece), number).unwrap()
    }

    /// Begins a download of everything.
    pub(super) fn begin(&mut self, owned: &[u32]) -> Effects {
        let (owned, needed) = (self.pieces(owned), PieceSet::full(&self.lengths));
        self.begin_with(owned, needed, false)
    }

    /// Begins a download of some pieces.
    pub(super) fn begin_for(&mut self, owned: &[u32], needed: &[u32]) -> Effects {
        let (owned, needed) = (self.pieces(owned), self.pieces(needed));
        self.begin_with(owned, needed, false)
    }

    /// Begins with files in their final place.
    pub(super) fn begin_in_place(&mut self) -> Effects {
        let all = PieceSet::full(&self.lengths);
        self.begin_with(all.clone(), all, true)
    }

    pub(super) fn begin_with(
        &mut self,
        owned: PieceSet,
        needed: PieceSet,
        in_place: bool,
    ) -> Effects {
        let checked = CheckResult {
            owned,
            needed,
            local: LocalBlocks::default(),
            in_place,
        };
        self.step(|core, now| core.begin(checked, now)).1
    }

    /// Tries to let a link in under this id.
    pub(super) fn try_link_up(
        &mut self,
        id: LinkId,
        remote: RemotePeer,
    ) -> (Result<(), LinkRefusal>, Effects) {
        self.step(|core, now| core.on_link_up(id, remote, now))
    }

    /// Lets in a call from the peer of that number. Returns the link.
    pub(super) fn link_up(&mut self, number: u8) -> LinkId {
        self.link_up_as(incoming(number))
    }

    pub(super) fn link_up_as(&mut self, remote: RemotePeer) -> LinkId {
        let PeerId([number, ..]) = remote.peer_id;
        let id = LinkId(number.into());
        let (admitted, effects) = self.try_link_up(id, remote);
        assert_eq!((admitted, effects), (Ok(()), vec![]));
        id
    }

    /// Adds the address of the peer of that number. Then a tick calls it (and every other address
    /// that is due), and the link to that peer is let in. Returns the link.
    pub(super) fn call(&mut self, number: u8) -> LinkId {
        self.core.contacts_mut().add(address(number));
        let effects = self.tick();
        assert!(effects.contains(&Effect::Connect(address(number))));
        self.link_up_as(outgoing(number))
    }

    pub(super) fn link_down(&mut self, id: LinkId) -> Effects {
        let activity = self.activity_of(id);
        self.step(|core, now| core.on_link_down(id, activity, now))
            .1
    }

    pub(super) fn try_receive(
        &mut self,
        id: LinkId,
        message: ReceivedMessage<'_>,
    ) -> (Result<(), ProtocolViolation>, Effects) {
        self.step(|core, now| core.on_message(id, message, now))
    }

    pub(super) fn receive(&mut self, id: LinkId, message: ReceivedMessage<'_>) -> Effects {
        let (result, effects) = self.try_receive(id, message);
        assert_eq!(result, Ok(()));
        effects
    }

    /// The peer announces its pieces.
    pub(super) fn announce_pieces(&mut self, id: LinkId, pieces: &[u32]) -> Effects {
        let pieces = self.pieces(pieces);
        let is_first = true;
        self.receive(id, ReceivedMessage::Pieces { pieces, is_first })
    }

    /// The peer says that it listens at [`PORT`]. So its listening address is `address(number)`.
    pub(super) fn announce_port(&mut self, id: LinkId) -> Effects {
        let handshake = ExtensionHandshake {
            port: Some(PORT),
            ..ExtensionHandshake::default()
        };
        self.receive(id, ReceivedMessage::Handshake(handshake))
    }

    /// Lets in a call from the peer of that number, which has these pieces and unchokes us. Returns
    /// the link, and the blocks requested over it.
    pub(super) fn source(&mut self, number: u8, pieces: &[u32]) -> (LinkId, Vec<BlockRange>) {
        let id = self.link_up(number);
        self.announce_pieces(id, pieces);
        let effects = self.receive(id, ReceivedMessage::Unchoke);
        (id, requests(&effects, id))
    }

    pub(super) fn on_block(
        &mut self,
        id: LinkId,
        range: BlockRange,
    ) -> (Result<Option<u32>, UnrequestedBlock>, Effects) {
        self.step(|core, now| core.on_block(id, None, range, range.number(), now))
    }

    /// Wanted blocks arrive.
    pub(super) fn deliver(&mut self, id: LinkId, ranges: &[BlockRange]) -> Effects {
        let mut all = Vec::new();
        for range in ranges {
            let (spare, effects) = self.on_block(id, *range);
            assert_eq!(spare, Ok(None), "{range:?}");
            all.extend(effects);
        }
        all
    }

    /// For each [`Effect::Hash`], a worker verifies the run and writes it. Each run is a whole
    /// piece.
    pub(super) fn write(&mut self, effects: &Effects) -> Effects {
        self.work(effects, |core, piece, sources, now| {
            core.on_piece_written(piece, sources, now);
        })
    }

    /// For each [`Effect::Hash`], a worker finds that the hash of the run is wrong.
    pub(super) fn spoil(&mut self, effects: &Effects) -> (Vec<Verdict>, Effects) {
        let mut verdicts = Vec::new();
        let effects = self.work(effects, |core, piece, sources, now| {
            verdicts.push(core.on_piece_failed(piece, sources, now));
        });
        (verdicts, effects)
    }

    /// For each [`Effect::Hash`], a worker ends and `act` reports its result to the core.
    fn work(
        &mut self,
        effects: &Effects,
        mut act: impl FnMut(&mut Core<u32>, PieceIndex, &Sources, Duration),
    ) -> Effects {
        let mut all = Vec::new();
        for effect in effects {
            let Effect::Hash(run, blocks) = effect else {
                continue;
            };
            let mut sources = Sources::new();
            add_sources(&mut sources, blocks);
            let ended = self.step(|core, now| core.on_worker_done(run.blocks, now));
            all.extend(ended.1);
            let reported = self.step(|core, now| act(core, run.piece, &sources, now));
            all.extend(reported.1);
        }
        all
    }

    pub(super) fn tick(&mut self) -> Effects {
        let activity = self.activity.clone();
        let activity = |id| activity.get(&id).copied().unwrap_or_default();
        let (is_due, effects) = self.step(|core, now| {
            let is_due = core.next_tick().is_some_and(|due| due <= now);
            core.on_tick(now, activity);
            is_due
        });
        assert!(is_due || effects.is_empty(), "not due: {effects:?}");
        effects
    }

    fn activity_of(&self, id: LinkId) -> LinkActivity {
        self.activity.get(&id).copied().unwrap_or_default()
    }
}

const PORT: u16 = 6_881;

/// A share of this many pieces of this many blocks.
pub(super) fn lengths(pieces: u64, blocks: u32) -> Lengths {
    let length = blocks * BLOCK;
    Lengths::new(pieces * u64::from(length), length.into()).unwrap()
}

/// Where the peer of that number listens.
pub(super) fn address(number: u8) -> SocketAddr {
    ([10, 0, 0, number], PORT).into()
}

/// The number of the peer that listens there.
pub(super) fn number(address: SocketAddr) -> u8 {
    let SocketAddr::V4(address) = address else {
        panic!("{address}");
    };
    address.ip().octets()[3]
}

/// The peer of that number, when it calls us.
pub(super) fn incoming(number: u8) -> RemotePeer {
    RemotePeer {
        address: ([10, 0, 0, number], 50_000).into(),
        outgoing: false,
        peer_id: PeerId([number; 20]),
        fast: true,
        extensions: true,
        member: None,
    }
}

/// The peer of that number, when we call it.
pub(super) fn outgoing(number: u8) -> RemotePeer {
    RemotePeer {
        address: address(number),
        outgoing: true,
        ..incoming(number)
    }
}

/// The peer of that number, when it calls us and supports neither BEP 6 nor BEP 10.
pub(super) fn plain(number: u8) -> RemotePeer {
    RemotePeer {
        fast: false,
        extensions: false,
        ..incoming(number)
    }
}

/// The source of blocks from this web seed.
pub(super) fn web_source(id: LinkId) -> Source {
    Source::Web(id, "http://example.org/".into())
}
