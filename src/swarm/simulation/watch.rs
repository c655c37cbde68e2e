//! Checks an honest peer against the properties below. It judges by what moves over the links, not
//! by what the core believes.
//!
//! | property | checked in |
//! |---|---|
//! | a block is requested only from an open link whose peer has the piece and does not choke us, or allows the piece | `on_request` |
//! | no block is requested twice from one link; from two links only in endgame; from more links never | `on_request` |
//! | the core and the links agree on the requests in flight | `check` |
//! | a peer that has a wanted piece has got `interested` | `check` |
//! | no more peers are unchoked than there are slots | `check` |
//! | only owned pieces are served, and only to unchoked peers or if allowed | `on_serve` |
//! | a peer that is blamed did lie; the only source of a bad piece is blamed and barred | `on_failed` |
//! | each new piece is announced exactly once | `on_haves`, `check_end` |
//! | phases go from fetching over finishing to complete; nothing is requested after that | `on_phase`, `on_request` |
//! | the invariants of [`Core::check`] | `check` |

use super::data::Data;
use super::network::Packet;
use crate::swarm::{CloseReason, Core, LinkId, Outgoing, Phase, Verdict};
use crate::torrent::{BlockRange, Lengths, PieceIndex, PieceSet};
use std::collections::{BTreeMap, BTreeSet};

/// One link, by what was sent and received over it.
#[derive(Debug)]
struct Seen {
    fast: bool,
    /// Pieces that we serve even while we choke.
    served_choked: Vec<PieceIndex>,
    has: PieceSet,
    chokes: bool,
    allowed: BTreeSet<PieceIndex>,
    /// Requests without an answer.
    asked: BTreeSet<BlockRange>,
    /// We have sent `interested`.
    interested: bool,
    /// We have unchoked the peer.
    unchoked: bool,
    /// The core has ended the link.
    ends: bool,
}

impl Seen {
    fn offers(&self, piece: PieceIndex) -> bool {
        self.has.contains(piece) && (!self.chokes || self.allowed.contains(&piece))
    }
}

/// The checker of one honest peer.
#[derive(Debug)]
pub(super) struct Watch {
    lengths: Lengths,
    /// Pieces that are to be fetched.
    missing: PieceSet,
    slots: usize,
    links: BTreeMap<LinkId, Seen>,
    /// The links that delivered kept blocks of a piece, since the piece was last verified or
    /// failed.
    kept: BTreeMap<PieceIndex, BTreeSet<LinkId>>,
    haves: BTreeMap<PieceIndex, u32>,
    phase: Phase,
    /// The number of requests, and of those that another link also had.
    requests: (u32, u32),
    /// Why the core ended links, in order.
    ends: Vec<CloseReason>,
}

impl Watch {
    pub(super) fn new(lengths: Lengths, missing: PieceSet, slots: usize) -> Self {
        Self {
            lengths,
            missing,
            slots,
            links: BTreeMap::new(),
            kept: BTreeMap::new(),
            haves: BTreeMap::new(),
            phase: Phase::Checking,
            requests: (0, 0),
            ends: Vec::new(),
        }
    }

    /// The number of requests, and of those that another link also had.
    pub(super) fn requests(&self) -> (u32, u32) {
        self.requests
    }

    /// Why the core ended links, in order.
    pub(super) fn ends(&self) -> &[CloseReason] {
        &self.ends
    }

    pub(super) fn on_link_up(&mut self, id: LinkId, fast: bool, served_choked: &[PieceIndex]) {
        let seen = Seen {
            fast,
            served_choked: served_choked.to_vec(),
            has: PieceSet::empty(&self.lengths),
            chokes: true,
            allowed: BTreeSet::new(),
            asked: BTreeSet::new(),
            interested: false,
            unchoked: false,
            ends: false,
        };
        self.links.insert(id, seen);
    }

    pub(super) fn on_link_down(&mut self, id: LinkId) {
        self.links.remove(&id);
    }

    /// The core ends a link. What still moves over it does not count.
    pub(super) fn on_end(&mut self, id: LinkId, reason: CloseReason) {
        self.ends.push(reason);
        if let Some(seen) = self.links.get_mut(&id) {
            seen.ends = true;
            seen.unchoked = false;
        }
    }

    /// A packet has arrived.
    pub(super) fn on_packet(&mut self, id: LinkId, packet: &Packet) {
        let Some(seen) = self.links.get_mut(&id) else {
            return;
        };
        match packet {
            Packet::Choke => {
                seen.chokes = true;
                if !seen.fast {
                    seen.asked.clear();
                }
            }
            Packet::Unchoke => seen.chokes = false,
            Packet::Have(piece) => {
                seen.has.insert(*piece);
            }
            Packet::Pieces(pieces) => seen.has = pieces.clone(),
            Packet::AllowedFast(piece) => {
                seen.allowed.insert(*piece);
            }
            Packet::Short(Outgoing::Reject(range)) => {
                // BEP 6: a piece that was rejected although it was allowed is not requested again.
                if seen.asked.remove(range) && seen.chokes {
                    seen.allowed.remove(&range.piece());
                }
            }
            Packet::Block(range, _) => {
                seen.asked.remove(range);
            }
            Packet::Short(_) | Packet::Handshake(_) | Packet::PeerExchange(_) => {}
        }
    }

    /// A block has arrived, and the core keeps it.
    pub(super) fn on_kept(&mut self, id: LinkId, range: BlockRange) {
        self.kept.entry(range.piece()).or_default().insert(id);
    }

    /// The core sends a message. `has_buffers`: no reservation has failed in this step.
    pub(super) fn on_send(
        &mut self,
        id: LinkId,
        message: Outgoing,
        core: &Core<Data>,
        has_buffers: bool,
    ) {
        let seen = self.links.get_mut(&id);
        let seen = seen.unwrap_or_else(|| panic!("{message:?} to {id:?}, which is gone"));
        if seen.ends {
            return;
        }
        match message {
            Outgoing::Interested => seen.interested = true,
            Outgoing::NotInterested => seen.interested = false,
            Outgoing::Cancel(range) => {
                seen.asked.remove(&range);
            }
            Outgoing::Request(range) => self.on_request(id, range, core, has_buffers),
            Outgoing::Reject(_) => assert!(seen.fast, "a reject without BEP 6"),
        }
    }

    fn on_request(&mut self, id: LinkId, range: BlockRange, core: &Core<Data>, has_buffers: bool) {
        let seen = &self.links[&id];
        assert!(
            self.missing.contains(range.piece()),
            "{range:?} is not needed"
        );
        assert!(seen.has.contains(range.piece()), "{id:?} lacks {range:?}");
        assert!(seen.offers(range.piece()), "{id:?} chokes: {range:?}");
        let up = self.links.values().filter(|link| !link.ends);
        let others = up.filter(|link| link.asked.contains(&range)).count();
        self.requests.0 += 1;
        if others > 0 {
            assert!(!seen.asked.contains(&range), "asked twice of {id:?}");
            assert!(others == 1, "{range:?} is asked of more than two");
            let untouched = self.untouched(seen, core).filter(|_| has_buffers);
            assert_eq!(untouched, None, "asked twice outside endgame");
            self.requests.1 += 1;
        }
        let seen = self.links.get_mut(&id).expect("it is there");
        seen.asked.insert(range);
    }

    /// A missing piece that the peer would send and of which no block is requested or kept.
    fn untouched(&self, seen: &Seen, core: &Core<Data>) -> Option<PieceIndex> {
        let is_asked = |piece| {
            let asked = self.links.values().flat_map(|link| &link.asked);
            asked.into_iter().any(|range| range.piece() == piece)
        };
        let mut pieces = self.lengths.all_pieces();
        pieces.find(|piece| {
            let is_missing = self.missing.contains(*piece) && !core.owned().contains(*piece);
            let is_begun = self.kept.contains_key(piece) || is_asked(*piece);
            is_missing && seen.offers(*piece) && !is_begun
        })
    }

    pub(super) fn on_choke(&mut self, id: LinkId) {
        let seen = self
            .links
            .get_mut(&id)
            .expect("a link that is up is choked");
        let was_unchoked = std::mem::take(&mut seen.unchoked);
        assert!(was_unchoked || seen.ends, "{id:?} is choked twice");
    }

    pub(super) fn on_unchoke(&mut self, id: LinkId) {
        let seen = self
            .links
            .get_mut(&id)
            .expect("a link that is up is unchoked");
        assert!(!seen.unchoked, "{id:?} is unchoked twice");
        seen.unchoked = !seen.ends;
    }

    pub(super) fn on_serve(&self, id: LinkId, range: BlockRange, core: &Core<Data>) {
        let seen = &self.links[&id];
        assert!(
            core.owned().contains(range.piece()),
            "{range:?} is not here"
        );
        let is_allowed = seen.fast && seen.served_choked.contains(&range.piece());
        assert!(
            seen.ends || seen.unchoked || is_allowed,
            "{id:?} is choked and served"
        );
    }

    /// The core announces a piece to all links.
    pub(super) fn on_haves(&mut self, piece: PieceIndex) {
        assert!(self.missing.contains(piece), "{piece:?} was here before");
        let times = self.haves.entry(piece).or_default();
        *times += 1;
        assert_eq!(*times, 1, "{piece:?} is told of again");
    }

    /// A piece verifies.
    pub(super) fn on_verified(&mut self, piece: PieceIndex) {
        self.kept.remove(&piece);
    }

    /// A piece does not verify. For each of its sources `liars` is whether it lies, and `barred`
    /// whether it is barred now.
    pub(super) fn on_failed(
        &mut self,
        piece: PieceIndex,
        verdict: Verdict,
        liars: &[bool],
        barred: &[bool],
    ) {
        let links = self.kept.remove(&piece).unwrap_or_default();
        assert!(liars.contains(&true), "{piece:?} came from sound peers");
        match verdict {
            Verdict::Proven(id) => {
                assert_eq!(liars, [true], "{piece:?}: blamed on one of several");
                assert_eq!(barred, [true], "{piece:?}: the liar is not barred");
                let closed = self.links.get(&id).is_none_or(|seen| seen.ends);
                assert!(closed, "the liar keeps its link");
            }
            Verdict::Unclear => assert!(links.len() != 1, "{piece:?} came from one alone"),
        }
    }

    /// The phase of the core may have changed.
    pub(super) fn on_phase(&mut self, core: &Core<Data>) {
        let next = core.phase().clone();
        if next != self.phase {
            let is_due = matches!(
                (&self.phase, &next),
                (Phase::Checking, Phase::Fetching { .. } | Phase::Complete)
                    | (Phase::Checking | Phase::Fetching { .. }, Phase::Finishing)
                    | (Phase::Finishing, Phase::Complete)
            );
            assert!(is_due, "from {:?} to {next:?}", self.phase);
            self.phase = next;
        }
    }

    /// Panics if a property does not hold now.
    pub(super) fn check(&self, core: &Core<Data>) {
        core.check();
        let unchoked = self.links.values().filter(|seen| seen.unchoked).count();
        assert!(
            unchoked <= self.slots,
            "{unchoked} have {} slots",
            self.slots
        );
        for (id, _) in core.links() {
            let seen = &self.links[&id];
            if seen.ends {
                continue;
            }
            let asked: Vec<BlockRange> = seen.asked.iter().copied().collect();
            assert_eq!(core.picker().in_flight(id), asked, "in flight at {id:?}");
            let is_told = seen.interested || !core.picker().is_interesting(id);
            assert!(is_told || !self.phase.fetches(), "no interest in {id:?}");
        }
    }

    /// Panics if something is left over after completion.
    pub(super) fn check_end(&self, core: &Core<Data>) {
        let mut pieces = self.lengths.all_pieces();
        let untold =
            pieces.find(|piece| self.missing.contains(*piece) && !self.haves.contains_key(piece));
        assert_eq!(untold, None, "not told of");
        assert_eq!(core.with_workers(), 0);
        let asked = self.links.iter().filter(|(_, seen)| !seen.ends);
        let asked = asked.map(|(_, seen)| seen.asked.len()).sum::<usize>();
        assert_eq!(asked, 0, "requests of a complete peer");
    }
}
