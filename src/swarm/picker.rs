//! Which blocks to ask of which link: rarest first, no block twice outside endgame.

mod choice;
mod links;

use super::active::ActivePiece;
use super::rarity::Rarity;
use super::{Run, Window};
use crate::torrent::{BlockRange, Lengths, PieceIndex, PieceSet};
use fastrand::Rng;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

/// A block may be asked of a second link once the first was asked this long ago.
const ENDGAME_AFTER: Duration = Duration::from_millis(200);
/// A link that delivers nothing for this long loses its blocks to others.
const STALLED: Duration = Duration::from_secs(6);
/// A link that refused a request is asked for nothing this long, so that others get the block. Without it, one that
/// refuses each request at once is asked again at once and keeps the last blocks from all others.
const AFTER_REFUSAL: Duration = Duration::from_millis(250);
/// How many blocks a link may still send after they were taken from it.
const FORGIVEN: usize = 1_024;
/// How many pieces are kept that a link allows while it chokes us, and how many that it suggests; BEP 6 has ten of them.
const HINTS: usize = 32;

/// One link of a swarm, numbered by whoever holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u64);

/// What came of a block that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It was never asked of this link: a breach of the protocol.
    Unasked,
    /// It is not needed any more; its bytes are to be dropped.
    Late,
    /// It is wanted.
    Fresh {
        /// A link to which the same request is to be cancelled.
        cancel: Option<LinkId>,
        /// The run, if this was its last missing block.
        completed: Option<Run>,
    },
}

/// Who is to blame for a piece that did not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All of it came from this link: it is proven to send bad data.
    Proven(LinkId),
    /// It came from several; it will be fetched anew from one alone.
    Unclear,
}

/// The bookkeeping of one download.
#[derive(Debug)]
pub struct Picker {
    lengths: Lengths,
    owned: PieceSet,
    /// Pieces that are to be had; the others stay missing.
    needed: PieceSet,
    /// How many of them are missing.
    missing: u32,
    /// Pieces in their order instead of the rarest first: none before this one waits.
    in_order: Option<u32>,
    rarity: Rarity,
    active: BTreeMap<PieceIndex, ActivePiece>,
    /// Active pieces with blocks to give out, in the order they were begun.
    open: VecDeque<PieceIndex>,
    links: HashMap<LinkId, Link>,
    /// Pieces that failed with several sources.
    doubtful: HashSet<PieceIndex>,
    rng: Rng,
}

#[derive(Debug)]
struct Link {
    has: PieceSet,
    /// It has told which pieces it has.
    told: bool,
    /// Pieces it has that are not owned here.
    wanted: u32,
    choked: bool,
    /// Pieces that may be asked for while choked.
    allowed: Vec<PieceIndex>,
    /// Pieces that it would like to send, the latest last.
    suggested: Vec<PieceIndex>,
    window: Window,
    in_flight: VecDeque<(BlockRange, Duration)>,
    forgiven: VecDeque<BlockRange>,
    /// When something last arrived, or the first request of an idle link went out.
    heard: Duration,
    /// It refused requests since it was last asked.
    refused: bool,
    /// Asked for nothing before this.
    quiet_until: Duration,
    /// For one that delivers long stretches best: the piece after the last that it began.
    stretch: Option<u32>,
}

impl Picker {
    /// The bookkeeping for a share of which `owned` is here already. Equal seeds give equal choices.
    pub fn new(lengths: Lengths, owned: PieceSet, seed: u64) -> Self {
        Self::of(lengths, owned, PieceSet::full(&lengths), seed)
    }

    /// As [`Picker::new`], for a share of which no more than `needed` is to be had.
    pub fn of(lengths: Lengths, owned: PieceSet, needed: PieceSet, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let missing = lengths
            .all_pieces()
            .filter(|piece| needed.contains(*piece) && !owned.contains(*piece));
        let missing: Vec<PieceIndex> = missing.collect();
        let count = missing.len() as u32;
        let rarity = Rarity::new(lengths.pieces(), missing.into_iter(), &mut rng);
        Self {
            lengths,
            owned,
            missing: count,
            needed,
            in_order: None,
            rarity,
            active: BTreeMap::new(),
            open: VecDeque::new(),
            links: HashMap::new(),
            doubtful: HashSet::new(),
            rng,
        }
    }

    /// The pieces that were verified.
    pub fn owned(&self) -> &PieceSet {
        &self.owned
    }

    /// Has pieces begun in their order, from the first on.
    pub fn go_in_order(&mut self) {
        self.in_order = Some(0);
    }

    /// Whether every piece that is needed is owned.
    pub fn is_complete(&self) -> bool {
        self.missing == 0
    }

    fn wants(&self, piece: PieceIndex) -> bool {
        self.needed.contains(piece) && !self.owned.contains(piece)
    }

    /// A block arrived whole.
    pub fn arrived(&mut self, id: LinkId, range: BlockRange, now: Duration) -> Arrival {
        let Some(link) = self.links.get_mut(&id) else {
            return Arrival::Unasked;
        };
        if let Some(asked) = take_flight(&mut link.in_flight, range) {
            link.heard = now;
            link.window.arrived(now, asked, range.length());
        } else if !take_forgiven(link, range) {
            return Arrival::Unasked;
        }
        let active = self.active.get_mut(&range.piece());
        let Some(active) = active.filter(|active| active.open_to(id)) else {
            return Arrival::Late;
        };
        let Some(arrived) = active.arrived(id, range.number()) else {
            return Arrival::Late;
        };
        if let Some(other) = arrived
            .also_asked
            .and_then(|other| self.links.get_mut(&other))
        {
            take_flight(&mut other.in_flight, range);
            forgive(other, range);
        }
        Arrival::Fresh {
            cancel: arrived.also_asked,
            completed: arrived.completed,
        }
    }

    /// Whether a block that the link was asked for would still be wanted of it.
    pub fn awaits(&self, id: LinkId, range: BlockRange) -> bool {
        let active = self.active.get(&range.piece());
        let awaited = active.is_some_and(|active| active.awaits(id, range.number()));
        awaited
            && self.links.get(&id).is_some_and(|link| {
                let mut asked = link.in_flight.iter().map(|(asked, _)| asked);
                asked.any(|asked| *asked == range) || link.forgiven.contains(&range)
            })
    }

    /// The link will not send this block.
    pub fn rejected(&mut self, id: LinkId, range: BlockRange) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        if take_flight(&mut link.in_flight, range).is_some() {
            link.refused = true;
            if link.choked {
                // BEP 6: what is refused though it was allowed is not asked for again.
                link.allowed.retain(|piece| *piece != range.piece());
            }
            self.release(id, range);
        } else {
            take_forgiven(link, range);
        }
    }

    /// A piece is here, verified and written. Its run buffers are no matter of the picker's.
    pub fn verified(&mut self, piece: PieceIndex) {
        self.forget_active(piece);
        self.doubtful.remove(&piece);
        if self.owned.insert(piece) && self.needed.contains(piece) {
            self.missing -= 1;
            self.rarity.remove(piece);
            for link in self
                .links
                .values_mut()
                .filter(|link| link.has.contains(piece))
            {
                link.wanted -= 1;
            }
        }
    }

    /// A piece was complete and did not verify; it waits to be fetched again.
    pub fn failed(&mut self, piece: PieceIndex) -> Verdict {
        let sources = self.forget_active(piece);
        self.wait_again(piece);
        match sources.as_slice() {
            [only] => Verdict::Proven(*only),
            _ => {
                self.doubtful.insert(piece);
                Verdict::Unclear
            }
        }
    }

    /// Whether every block of an active piece arrived.
    pub fn all_arrived(&self, piece: PieceIndex) -> bool {
        self.active
            .get(&piece)
            .is_some_and(ActivePiece::is_complete)
    }

    /// Takes their blocks from links that deliver nothing; names both, so that the requests can be cancelled.
    pub fn take_from_stalled(&mut self, now: Duration) -> Vec<(LinkId, Vec<BlockRange>)> {
        let stalled =
            |link: &Link| !link.in_flight.is_empty() && now.saturating_sub(link.heard) >= STALLED;
        let stalled = self.links.iter().filter(|(_, link)| stalled(link));
        let stalled: Vec<(LinkId, Vec<BlockRange>)> = stalled
            .map(|(id, link)| {
                (
                    *id,
                    link.in_flight.iter().map(|(range, _)| *range).collect(),
                )
            })
            .collect();
        for (id, _) in &stalled {
            self.release_all(*id);
            // Long stretches have long answers, of which the first byte may come late.
            if let Some(link) = self.links.get_mut(id)
                && link.stretch.is_none()
            {
                link.window.stalled();
            }
        }
        stalled
    }

    /// Gives up what is half fetched, so that its buffers can serve others; it waits to be fetched anew. To be called
    /// only while no run is on its way to the disk.
    pub fn abandon_active(&mut self) {
        let ids: Vec<LinkId> = self.links.keys().copied().collect();
        ids.into_iter().for_each(|id| self.release_all(id));
        for piece in std::mem::take(&mut self.active).into_keys() {
            self.wait_again(piece);
        }
        self.open.clear();
    }

    /// Whether pieces are half fetched.
    pub fn has_active(&self) -> bool {
        !self.active.is_empty()
    }

    /// Missing pieces that no link has.
    pub fn without_owner(&self) -> impl Iterator<Item = PieceIndex> {
        let any_full = self.links.values().any(|link| link.has.is_full());
        let missing = self
            .lengths
            .all_pieces()
            .filter(move |piece| !any_full && self.wants(*piece));
        missing.filter(|piece| self.rarity.owners(*piece) == 0 && !self.all_arrived(*piece))
    }

    fn wait_again(&mut self, piece: PieceIndex) {
        self.rarity.insert(piece, &mut self.rng);
        if let Some(first) = &mut self.in_order {
            *first = piece.number().min(*first);
        }
    }

    /// Pieces that the link was to deliver alone are for others.
    fn let_others_fetch(&mut self, id: LinkId) {
        for active in self
            .active
            .values_mut()
            .filter(|active| active.only == Some(id))
        {
            active.only = None;
        }
    }

    fn release_all(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        for (range, _) in std::mem::take(&mut link.in_flight) {
            if let Some(link) = self.links.get_mut(&id) {
                forgive(link, range);
            }
            self.release(id, range);
        }
    }

    fn release(&mut self, id: LinkId, range: BlockRange) {
        if let Some(active) = self.active.get_mut(&range.piece()) {
            active.release(id, range.number());
            // One that was to deliver it alone, and does not, must not keep it from others.
            if active.only == Some(id) && !active.is_asked_of(id) {
                active.only = None;
            }
            if active.has_free() && !self.open.contains(&range.piece()) {
                self.open.push_front(range.piece());
            }
        }
    }

    /// An active piece is done with; gives the links it came from.
    fn forget_active(&mut self, piece: PieceIndex) -> Vec<LinkId> {
        self.open.retain(|open| *open != piece);
        let Some(active) = self.active.remove(&piece) else {
            return Vec::new();
        };
        active.sources
    }
}

impl Link {
    /// Whether it has the piece and would send it.
    fn offers(&self, piece: PieceIndex) -> bool {
        self.has.contains(piece) && (!self.choked || self.allowed.contains(&piece))
    }
}

fn take_flight(
    in_flight: &mut VecDeque<(BlockRange, Duration)>,
    range: BlockRange,
) -> Option<Duration> {
    let at = in_flight.iter().position(|(asked, _)| *asked == range)?;
    in_flight.remove(at).map(|(_, asked)| asked)
}

/// The block may still come, and is no breach then.
fn forgive(link: &mut Link, range: BlockRange) {
    if link.forgiven.len() >= FORGIVEN {
        link.forgiven.pop_front();
    }
    link.forgiven.push_back(range);
}

fn take_forgiven(link: &mut Link, range: BlockRange) -> bool {
    let at = link.forgiven.iter().position(|forgiven| *forgiven == range);
    at.and_then(|at| link.forgiven.remove(at)).is_some()
}

#[cfg(test)]
mod tests;
