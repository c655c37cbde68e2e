//! The peers of a swarm, in six lists without gaps: three of leeches and three of seeds. Of each
//! three, one is for peers with an IPv4 address only, one for peers with addresses of both
//! families, and one for peers with an IPv6 address only. So an answer can choose peers by random
//! positions, and it reads only their addresses ([`StoredAddress`]).

use super::super::announcing::IdHash;
use super::peer::Peer;
use super::record::{State, StoredAddress, StoredAddress4, StoredAddress6};
use crate::base::AddressPrefix;
use crate::wire::PeerId;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The most peers of one list: a [`Slot`] has 24 bits for the position.
pub(in crate::tracker) const MAX_PEERS: usize = (1 << 24) - 1;

/// Number of lists: three of leeches, one for each of [`Families`], then the same three of seeds.
const LISTS: usize = 6;
/// The first list of seeds.
const FIRST_SEED: usize = 3;
/// Bits of a slot that contain the position.
const POSITION_BITS: u32 = 24;

/// Where a peer is: the number of its list, and its position there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(u32);

/// The families in which the peers of a list have addresses, in the order of the lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Families {
    V4,
    Both,
    V6,
}

/// All peers of a swarm.
#[derive(Debug)]
pub(super) struct Lists {
    lists: [List; LISTS],
    /// Whether whole peer ids are kept.
    has_ids: bool,
}

/// One of the lists. Invariant: each of the vectors is empty or has an entry for each peer.
#[derive(Debug, Default)]
struct List {
    states: Vec<State>,
    v4: Vec<StoredAddress4>,
    v6: Vec<StoredAddress6>,
    ids: Vec<Option<PeerId>>,
}

/// Which peers an answer may contain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Whether the asking peer announces over IPv4.
    pub(super) over_v4: bool,
    /// Whether addresses of the other family are left out.
    pub(super) own_family_only: bool,
    /// Whether seeds are left out.
    pub(super) leeches_only: bool,
}

impl Slot {
    /// The slot with this number.
    pub(super) fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// A number below 2^27, different from that of every other slot.
    pub(super) fn number(self) -> u32 {
        self.0
    }

    pub(super) fn is_seed(self) -> bool {
        self.list() >= FIRST_SEED
    }

    fn new(list: usize, at: usize) -> Self {
        Self((list as u32) << POSITION_BITS | at as u32)
    }

    fn list(self) -> usize {
        (self.0 >> POSITION_BITS) as usize
    }

    fn at(self) -> usize {
        (self.0 & MAX_PEERS as u32) as usize
    }
}

impl Families {
    fn of_list(list: usize) -> Self {
        match list % FIRST_SEED {
            0 => Self::V4,
            1 => Self::Both,
            _ => Self::V6,
        }
    }
}

impl Lists {
    /// No peers. `has_ids` is whether whole peer ids are kept.
    pub(super) fn new(has_ids: bool) -> Self {
        Self {
            lists: Default::default(),
            has_ids,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.leeches() + self.seeds()
    }

    pub(super) fn leeches(&self) -> usize {
        self.lists.iter().take(FIRST_SEED).map(List::len).sum()
    }

    pub(super) fn seeds(&self) -> usize {
        self.lists.iter().skip(FIRST_SEED).map(List::len).sum()
    }

    /// The slots of all peers, those of each list in reverse order. So the caller may remove peers
    /// while it iterates: it has already visited the peer that fills the gap.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        let lengths = self.lists.each_ref().map(List::len);
        let lists = lengths.into_iter().enumerate();
        lists.flat_map(|(list, length)| (0..length).rev().map(move |at| Slot::new(list, at)))
    }

    pub(super) fn id_hash(&self, slot: Slot) -> Option<IdHash> {
        let state = self.list(slot)?.states.get(slot.at())?;
        Some(state.id_hash())
    }

    /// The whole id, if it is kept.
    pub(super) fn whole_id(&self, slot: Slot) -> Option<PeerId> {
        *self.list(slot)?.ids.get(slot.at())?
    }

    pub(super) fn get(&self, slot: Slot) -> Option<Peer> {
        let (list, at) = (self.list(slot)?, slot.at());
        Some(Peer {
            state: *list.states.get(at)?,
            v4: list.v4.get(at).copied(),
            v6: list.v6.get(at).copied(),
            id: list.ids.get(at).copied().flatten(),
        })
    }

    /// The address prefix whose quota counts the peer.
    pub(super) fn prefix(&self, slot: Slot) -> Option<AddressPrefix> {
        let list = self.list(slot)?;
        let v4 = list.v4.get(slot.at()).map(StoredAddress4::ip);
        let v6 = || list.v6.get(slot.at()).map(StoredAddress6::ip);
        v4.or_else(v6).map(AddressPrefix::of)
    }

    /// When the peer announced last.
    pub(super) fn seen(&self, slot: Slot) -> Option<Duration> {
        let list = self.list(slot)?;
        let v4 = list.v4.get(slot.at()).map(StoredAddress4::seen);
        v4.max(list.v6.get(slot.at()).map(StoredAddress6::seen))
    }

    /// Whether all addresses of the peer are live. Otherwise [`Peer::expire_addresses`] is due.
    pub(super) fn is_live(&self, slot: Slot, now: Duration) -> bool {
        self.list(slot).is_some_and(|list| {
            let v4 = list.v4.get(slot.at());
            let v6 = list.v6.get(slot.at());
            v4.is_none_or(|stored| stored.is_live(now))
                && v6.is_none_or(|stored| stored.is_live(now))
        })
    }

    /// The address under which an answer names the peer. `None` if the peer has no live address
    /// that `wanted` allows.
    pub(super) fn address(&self, slot: Slot, wanted: Wanted, now: Duration) -> Option<SocketAddr> {
        let (list, at) = (self.list(slot)?, slot.at());
        let v4 = || live_address(list.v4.get(at)?, now);
        let v6 = || live_address(list.v6.get(at)?, now);
        match (wanted.over_v4, wanted.own_family_only) {
            (true, true) => v4(),
            (false, true) => v6(),
            (true, false) => v4().or_else(v6),
            (false, false) => v6().or_else(v4),
        }
    }

    /// The slots of all peers that an answer may contain, leeches first.
    pub(super) fn candidates(&self, wanted: Wanted) -> Candidates {
        let lists = if wanted.leeches_only {
            FIRST_SEED
        } else {
            LISTS
        };
        let mut candidates = Candidates::default();
        for (number, list) in self.lists.iter().take(lists).enumerate() {
            let fits = match Families::of_list(number) {
                Families::Both => true,
                Families::V4 => wanted.over_v4 || !wanted.own_family_only,
                Families::V6 => !wanted.over_v4 || !wanted.own_family_only,
            };
            let length = if fits { list.len() } else { 0 };
            candidates.lengths[number] = length;
            candidates.total += length;
        }
        candidates
    }

    /// Replaces the entry at `slot` by `peer`. Returns `false`, and changes nothing, if `peer`
    /// belongs to another list.
    pub(super) fn replace(&mut self, slot: Slot, is_seed: bool, peer: &Peer) -> bool {
        let stays = slot.list() == list_of(is_seed, peer);
        if stays && let Some(list) = self.lists.get_mut(slot.list()) {
            let at = slot.at();
            put(&mut list.states, at, Some(peer.state));
            put(&mut list.v4, at, peer.v4);
            put(&mut list.v6, at, peer.v6);
            put(&mut list.ids, at, Some(peer.id));
        }
        stays
    }

    pub(super) fn push(&mut self, is_seed: bool, peer: &Peer) -> Slot {
        let number = list_of(is_seed, peer);
        let has_ids = self.has_ids;
        // `list_of` returns the number of a list.
        let list = &mut self.lists[number];
        let slot = Slot::new(number, list.len());
        push_tight(&mut list.states, peer.state);
        peer.v4
            .into_iter()
            .for_each(|it| push_tight(&mut list.v4, it));
        peer.v6
            .into_iter()
            .for_each(|it| push_tight(&mut list.v6, it));
        if has_ids {
            push_tight(&mut list.ids, peer.id);
        }
        slot
    }

    /// Removes a peer. The last peer of the list fills the gap. Returns the former slot of that
    /// last peer. If there is no peer at `slot`, returns `slot`.
    pub(super) fn remove(&mut self, slot: Slot) -> Slot {
        let (number, at) = (slot.list(), slot.at());
        let Some(list) = self.lists.get_mut(number).filter(|it| at < it.len()) else {
            return slot;
        };
        list.states.swap_remove(at);
        remove(&mut list.v4, at);
        remove(&mut list.v6, at);
        remove(&mut list.ids, at);
        Slot::new(number, list.len())
    }

    /// Whether whole ids are kept.
    pub(super) fn has_ids(&self) -> bool {
        self.has_ids
    }

    /// Sets whether whole ids are kept. Forgets all whole ids: if they are kept now, the id of each
    /// peer becomes known with its next announce.
    pub(super) fn keep_ids(&mut self, keep: bool) {
        self.has_ids = keep;
        for list in &mut self.lists {
            let length = if keep { list.len() } else { 0 };
            list.ids = vec![None; length];
        }
    }

    /// Frees memory that is no longer needed.
    pub(super) fn shrink(&mut self) {
        for list in &mut self.lists {
            if list.states.len() < list.states.capacity() / 2 {
                list.states.shrink_to_fit();
                list.v4.shrink_to_fit();
                list.v6.shrink_to_fit();
                list.ids.shrink_to_fit();
            }
        }
    }

    fn list(&self, slot: Slot) -> Option<&List> {
        self.lists.get(slot.list())
    }
}

/// The peers that an answer may contain.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// The number of candidates in each list: all its peers, or 0.
    lengths: [usize; LISTS],
    total: usize,
}

impl Candidates {
    pub(super) fn len(&self) -> usize {
        self.total
    }

    /// Whether the peer in this slot is a candidate.
    pub(super) fn contain(&self, slot: Slot) -> bool {
        let length = self.lengths.get(slot.list());
        length.is_some_and(|length| slot.at() < *length)
    }

    /// The slots of all candidates.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> {
        let lists = self.lengths.into_iter().enumerate();
        lists.flat_map(|(list, length)| (0..length).map(move |at| Slot::new(list, at)))
    }

    /// The slot of a candidate. Candidates are numbered from 0, over all lists.
    pub(super) fn slot(&self, mut number: usize) -> Option<Slot> {
        for (list, length) in self.lengths.iter().enumerate() {
            if number < *length {
                return Some(Slot::new(list, number));
            }
            number -= length;
        }
        None
    }
}

impl List {
    fn len(&self) -> usize {
        self.states.len()
    }
}

fn list_of(is_seed: bool, peer: &Peer) -> usize {
    let families = match (peer.v4, peer.v6) {
        (_, None) => Families::V4,
        (Some(_), Some(_)) => Families::Both,
        (None, Some(_)) => Families::V6,
    };
    families as usize + if is_seed { FIRST_SEED } else { 0 }
}

fn live_address<const N: usize>(stored: &StoredAddress<N>, now: Duration) -> Option<SocketAddr>
where
    IpAddr: From<[u8; N]>,
{
    stored.is_live(now).then(|| stored.address())
}

/// Adds an element. The capacity grows by 1/32 instead of doubling, so that little memory is
/// unused.
fn push_tight<T>(list: &mut Vec<T>, element: T) {
    if list.len() == list.capacity() {
        list.reserve_exact((list.len() / 32).max(4));
    }
    list.push(element);
}

fn put<T>(list: &mut [T], at: usize, element: Option<T>) {
    if let (Some(place), Some(element)) = (list.get_mut(at), element) {
        *place = element;
    }
}

fn remove<T>(list: &mut Vec<T>, at: usize) {
    if at < list.len() {
        list.swap_remove(at);
    }
}
