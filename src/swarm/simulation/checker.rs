//! Checks an honest peer against the properties below, by what moves over the links and not by what
//! the core believes. "We" are the honest peer. "The peer" of a link is the one at its other end.
//!
//! | property | checked in |
//! |---|---|
//! | a block is requested only from an open link whose peer has the piece | `on_request` |
//! | a block is requested only if the peer does not choke us or allows the piece | `on_request` |
//! | a block is in flight at most once on each link, and on at most two links | `on_request` |
//! | a block is requested from two links only in endgame | `on_request` |
//! | the core and the links agree on the requests in flight | `check` |
//! | we have sent `interested` to each peer that has a wanted piece | `check` |
//! | no more peers are unchoked than there are slots | `check` |
//! | only owned pieces are served, and to choked peers only those in `served_choked` | `on_serve` |
//! | a peer that is blamed did lie | `on_failed` |
//! | the only source of a bad piece is blamed and barred | `on_failed` |
//! | each new piece is announced exactly once | `on_haves`, `check_end` |
//! | the phase only goes forward: checking, fetching, finishing, complete | `on_phase` |
//! | only needed pieces are requested | `on_request` |
//! | a local block is requested only after its piece has lost its local blocks | `on_request` |
//! | nobody is blamed for a piece with local blocks, which can fail once | `on_failed` |
//! | the invariants of [`Core::check`] | `check` |

use super::content::Content;
use super::network::Packet;
use crate::swarm::{CloseReason, Core, LinkId, LocalBlocks, OutgoingMessage, Phase, Verdict};
use crate::torrent::{BlockRange, Lengths, PieceIndex, PieceSet};
use std::collections::{BTreeMap, BTreeSet};

/// One link, by what was sent and received over it.
#[derive(Debug)]
struct WatchedLink {
    /// Both peers support BEP 6.
    uses_bep_6: bool,
    /// Pieces that we serve even while we choke the peer.
    served_choked: Vec<PieceIndex>,
    /// Pieces that the peer has announced.
    has: PieceSet,
    /// The peer chokes us.
    chokes: bool,
    /// Pieces that we may request while the peer chokes us.
    allowed: BTreeSet<PieceIndex>,
    /// Requests without an answer.
    requested: BTreeSet<BlockRange>,
    /// We have sent `interested`.
    interested: bool,
    /// We have unchoked the peer.
    unchoked: bool,
    /// The core has closed the link.
    is_closed: bool,
}

impl WatchedLink {
    fn offers(&self, piece: PieceIndex) -> bool {
        self.has.contains(piece) && (!self.chokes || self.allowed.contains(&piece))
    }
}

/// The local blocks of a peer, and the pieces that have lost theirs.
#[derive(Debug)]
struct LocalPieces {
    blocks: LocalBlocks,
    /// Pieces whose local blocks could not be read.
    unreadable: BTreeSet<PieceIndex>,
    /// Pieces that did not verify with local blocks.
    failed: BTreeSet<PieceIndex>,
}

impl LocalPieces {
    fn is_lost(&self, piece: PieceIndex) -> bool {
        self.unreadable.contains(&piece) || self.failed.contains(&piece)
    }

    /// A piece does not verify, and it was blamed on local blocks or not.
    fn on_failed(&mut self, piece: PieceIndex, is_blamed: bool) {
        let has_local = self.blocks.has_some_of(piece) && !self.failed.contains(&piece);
        if is_blamed {
            assert!(has_local, "{piece:?} has no local blocks any more");
            self.failed.insert(piece);
        } else if has_local {
            let may_be_without = self.unreadable.contains(&piece);
            assert!(may_be_without, "{piece:?} has local blocks");
        }
    }
}

/// The checker of one honest peer.
#[derive(Debug)]
pub(super) struct Checker {
    lengths: Lengths,
    /// Pieces that we needed and lacked at the start.
    missing_at_start: PieceSet,
    local: LocalPieces,
    slots: usize,
    links: BTreeMap<LinkId, WatchedLink>,
    /// For each piece, the links that delivered blocks which the core kept. Cleared when the piece
    /// is verified or fails.
    kept: BTreeMap<PieceIndex, BTreeSet<LinkId>>,
    /// How many times each new piece was announced.
    haves: BTreeMap<PieceIndex, u32>,
    phase: Phase,
    /// The number of requests, and how many of them were for a block that was already requested
    /// over another link.
    requests: (u32, u32),
    /// Why the core closed links, in order.
    close_reasons: Vec<CloseReason>,
}

impl Checker {
    pub(super) fn new(
        lengths: Lengths,
        missing: PieceSet,
        local: LocalBlocks,
        slots: usize,
    ) -> Self {
        Self {
            lengths,
            missing_at_start: missing,
            local: LocalPieces {
                blocks: local,
                unreadable: BTreeSet::new(),
                failed: BTreeSet::new(),
            },
            slots,
            links: BTreeMap::new(),
            kept: BTreeMap::new(),
            haves: BTreeMap::new(),
            phase: Phase::Checking,
            requests: (0, 0),
            close_reasons: Vec::new(),
        }
    }

    /// The number of requests, and how many of them were for a block that was already requested
    /// over another link.
    pub(super) fn requests(&self) -> (u32, u32) {
        self.requests
    }

    /// Why the core closed links, in order.
    pub(super) fn close_reasons(&self) -> &[CloseReason] {
        &self.close_reasons
    }

    pub(super) fn on_link_up(
        &mut self,
        id: LinkId,
        uses_bep_6: bool,
        served_choked: &[PieceIndex],
    ) {
        let link = WatchedLink {
            uses_bep_6,
            served_choked: served_choked.to_vec(),
            has: PieceSet::empty(&self.lengths),
            chokes: true,
            allowed: BTreeSet::new(),
            requested: BTreeSet::new(),
            interested: false,
            unchoked: false,
            is_closed: false,
        };
        self.links.insert(id, link);
    }

    pub(super) fn on_link_down(&mut self, id: LinkId) {
        self.links.remove(&id);
    }

    /// The core closes a link. What still moves over it does not count.
    pub(super) fn on_close(&mut self, id: LinkId, reason: CloseReason) {
        self.close_reasons.push(reason);
        if let Some(link) = self.links.get_mut(&id) {
            link.is_closed = true;
            link.unchoked = false;
        }
    }

    /// A packet has arrived.
    pub(super) fn on_packet(&mut self, id: LinkId, packet: &Packet) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        match packet {
            Packet::Choke => {
                link.chokes = true;
                if !link.uses_bep_6 {
                    link.requested.clear();
                }
            }
            Packet::Unchoke => link.chokes = false,
            Packet::Have(piece) => {
                link.has.insert(*piece);
            }
            Packet::Pieces(pieces) => link.has = pieces.clone(),
            Packet::AllowedFast(piece) => {
                link.allowed.insert(*piece);
            }
            Packet::FromCore(OutgoingMessage::Reject(range)) => {
                // BEP 6: a piece that was rejected although it was allowed is not requested again.
                if link.requested.remove(range) && link.chokes {
                    link.allowed.remove(&range.piece());
                }
            }
            Packet::Block(range, _) => {
                link.requested.remove(range);
            }
            Packet::FromCore(_) | Packet::Handshake(_) | Packet::PeerExchange(_) => {}
        }
    }

    /// A block has arrived, and the core keeps it.
    pub(super) fn on_kept(&mut self, id: LinkId, range: BlockRange) {
        self.kept.entry(range.piece()).or_default().insert(id);
    }

    /// The core sends a message. `has_buffers` is true if the core got all buffers that it has
    /// tried to reserve in this step.
    pub(super) fn on_send(
        &mut self,
        id: LinkId,
        message: OutgoingMessage,
        core: &Core<Content>,
        has_buffers: bool,
    ) {
        let link = self.links.get_mut(&id);
        let link = link.unwrap_or_else(|| panic!("{message:?} to {id:?}, which is gone"));
        if link.is_closed {
            return;
        }
        match message {
            OutgoingMessage::Interested => link.interested = true,
            OutgoingMessage::NotInterested => link.interested = false,
            OutgoingMessage::Cancel(range) => {
                link.requested.remove(&range);
            }
            OutgoingMessage::Request(range) => self.on_request(id, range, core, has_buffers),
            OutgoingMessage::Reject(_) => assert!(link.uses_bep_6, "a reject without BEP 6"),
        }
    }

    fn on_request(
        &mut self,
        id: LinkId,
        range: BlockRange,
        core: &Core<Content>,
        has_buffers: bool,
    ) {
        let link = &self.links[&id];
        assert!(
            self.missing_at_start.contains(range.piece()),
            "{range:?} is not needed"
        );
        assert!(
            !self.local.blocks.contains(range) || self.local.is_lost(range.piece()),
            "{range:?} is local"
        );
        assert!(link.has.contains(range.piece()), "{id:?} lacks {range:?}");
        assert!(
            link.offers(range.piece()),
            "{id:?} chokes us and does not allow {range:?}"
        );
        let open_links = self.links.values().filter(|link| !link.is_closed);
        let earlier_requests = open_links
            .filter(|link| link.requested.contains(&range))
            .count();
        self.requests.0 += 1;
        if earlier_requests > 0 {
            assert!(
                !link.requested.contains(&range),
                "requested twice from {id:?}"
            );
            assert!(
                earlier_requests == 1,
                "{range:?} is requested from more than two links"
            );
            // Endgame: no piece is left that this link could begin. A core without buffers can
            // begin none, and after a failure a link may be allowed only some pieces.
            let may_begin_any = has_buffers && !core.picker().is_in_doubt(id);
            let unbegun_piece = self.unbegun_piece(link, core).filter(|_| may_begin_any);
            assert_eq!(unbegun_piece, None, "requested twice outside endgame");
            self.requests.1 += 1;
        }
        let link = self.links.get_mut(&id).expect("the link is known");
        link.requested.insert(range);
    }

    /// A missing piece that the peer would send and of which no block is requested or kept.
    fn unbegun_piece(&self, link: &WatchedLink, core: &Core<Content>) -> Option<PieceIndex> {
        let is_requested = |piece| {
            let requested = self.links.values().flat_map(|link| &link.requested);
            requested.into_iter().any(|range| range.piece() == piece)
        };
        let mut pieces = self.lengths.all_pieces();
        pieces.find(|piece| {
            let is_missing =
                self.missing_at_start.contains(*piece) && !core.owned().contains(*piece);
            let is_begun = self.kept.contains_key(piece) || is_requested(*piece);
            // After a failure, a piece may be reserved for one link.
            let may_begin = link.offers(*piece) && !core.picker().is_alone(*piece);
            // The local blocks of a piece may be all that is begun of it.
            is_missing && may_begin && !is_begun && !self.local.blocks.has_some_of(*piece)
        })
    }

    pub(super) fn on_choke(&mut self, id: LinkId) {
        let link = self.links.get_mut(&id).expect("a choked link is known");
        let was_unchoked = std::mem::take(&mut link.unchoked);
        assert!(was_unchoked || link.is_closed, "{id:?} is choked twice");
    }

    pub(super) fn on_unchoke(&mut self, id: LinkId) {
        let link = self.links.get_mut(&id).expect("an unchoked link is known");
        assert!(!link.unchoked, "{id:?} is unchoked twice");
        link.unchoked = !link.is_closed;
    }

    pub(super) fn on_serve(&self, id: LinkId, range: BlockRange, core: &Core<Content>) {
        let link = &self.links[&id];
        assert!(
            core.owned().contains(range.piece()),
            "{range:?} is not owned"
        );
        let is_served_choked = link.uses_bep_6 && link.served_choked.contains(&range.piece());
        assert!(
            link.is_closed || link.unchoked || is_served_choked,
            "{id:?} is choked and served"
        );
    }

    /// The core announces a piece to all links.
    pub(super) fn on_haves(&mut self, piece: PieceIndex) {
        assert!(
            self.missing_at_start.contains(piece),
            "{piece:?} was owned before"
        );
        let times = self.haves.entry(piece).or_default();
        *times += 1;
        assert_eq!(*times, 1, "{piece:?} is announced again");
    }

    /// The local blocks of a piece cannot be read.
    pub(super) fn on_unreadable(&mut self, piece: PieceIndex) {
        self.local.unreadable.insert(piece);
    }

    /// A piece verifies.
    pub(super) fn on_verified(&mut self, piece: PieceIndex) {
        self.kept.remove(&piece);
    }

    /// A piece does not verify. `liars` and `barred` have one entry for each of its sources:
    /// whether the source lies, and whether it is barred now.
    pub(super) fn on_failed(
        &mut self,
        piece: PieceIndex,
        verdict: Verdict,
        liars: &[bool],
        barred: &[bool],
    ) {
        let links = self.kept.remove(&piece).unwrap_or_default();
        self.local.on_failed(piece, verdict == Verdict::Local);
        if verdict == Verdict::Local {
            return;
        }
        assert!(
            liars.contains(&true),
            "{piece:?} came from honest peers only"
        );
        match verdict {
            Verdict::Proven(id) => {
                assert_eq!(liars, [true], "{piece:?}: one of several sources is blamed");
                assert_eq!(barred, [true], "{piece:?}: the liar is not barred");
                let closed = self.links.get(&id).is_none_or(|link| link.is_closed);
                assert!(closed, "the liar keeps its link");
            }
            Verdict::Unclear => assert!(
                links.len() != 1,
                "{piece:?} came from one link, but no peer is blamed"
            ),
            Verdict::Local => {}
        }
    }

    /// The phase of the core may have changed.
    pub(super) fn on_phase(&mut self, core: &Core<Content>) {
        let next = core.phase().clone();
        if next != self.phase {
            let is_forward = matches!(
                (&self.phase, &next),
                (Phase::Checking, Phase::Fetching { .. } | Phase::Complete)
                    | (Phase::Checking | Phase::Fetching { .. }, Phase::Finishing)
                    | (Phase::Finishing, Phase::Complete)
            );
            assert!(is_forward, "from {:?} to {next:?}", self.phase);
            self.phase = next;
        }
    }

    /// Panics if a property does not hold now.
    pub(super) fn check(&self, core: &Core<Content>) {
        core.check();
        let unchoked = self.links.values().filter(|link| link.unchoked).count();
        assert!(
            unchoked <= self.slots,
            "{unchoked} peers are unchoked, but there are {} slots",
            self.slots
        );
        for (id, _) in core.links() {
            let link = &self.links[&id];
            if link.is_closed {
                continue;
            }
            let requested: Vec<BlockRange> = link.requested.iter().copied().collect();
            assert_eq!(
                core.picker().in_flight(id),
                requested,
                "in flight at {id:?}"
            );
            let needs_interested = self.phase.fetches() && core.picker().is_interesting(id);
            assert!(
                link.interested || !needs_interested,
                "no interest in {id:?}"
            );
        }
    }

    /// Panics if something is left over after completion.
    pub(super) fn check_end(&self, core: &Core<Content>) {
        let mut pieces = self.lengths.all_pieces();
        let unannounced = pieces.find(|piece| {
            self.missing_at_start.contains(*piece) && !self.haves.contains_key(piece)
        });
        assert_eq!(unannounced, None, "never announced");
        assert_eq!(core.blocks_at_workers(), 0);
        let requested = self.links.iter().filter(|(_, link)| !link.is_closed);
        let requested = requested
            .map(|(_, link)| link.requested.len())
            .sum::<usize>();
        assert_eq!(requested, 0, "requests of a complete peer");
    }
}
