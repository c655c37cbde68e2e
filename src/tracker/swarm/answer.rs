//! Which peers of a swarm an answer contains.

use super::super::announcing::PeerAnnounce;
use super::lists::{Slot, Wanted};
use super::{AnswerSize, Swarm};
use crate::base::AddressPrefix;
use crate::wire::SwarmPeer;
use std::net::SocketAddr;
use std::time::Duration;

/// 1/`RANDOM_DIVISOR` of an answer is chosen at random, so that new peers are listed too.
const RANDOM_DIVISOR: usize = 4;
/// The most candidates that [`Answer::fill`] looks at.
const MAX_LOOKED_AT: usize = 2_000;

impl Swarm {
    /// Passes up to `size.peers` other peers to `chosen`. A seed gets only leeches. First come the
    /// peers that recently uploaded the most, up to three quarters of the answer. The rest is
    /// chosen at random with about equal chances: the candidates are divided into about as many
    /// strata as peers are wanted, and one peer is drawn from each.
    ///
    /// The answer has at most `size.of_one_address` peers of one address. The limit for the address
    /// of the asking peer is half of the answer, or more if other peers do not fill the rest.
    pub(in crate::tracker) fn choose(
        &self,
        asking: &PeerAnnounce,
        size: AnswerSize,
        now: Duration,
        chosen: impl FnMut(SwarmPeer),
    ) {
        let wanted = Wanted {
            over_v4: asking.address.is_ipv4(),
            own_family_only: asking.own_family_only,
            leeches_only: asking.is_seed,
        };
        let mut answer = Answer {
            swarm: self,
            wanted,
            asking: asking.address,
            own_slot: self.index.find(asking.id_hash, &self.lists),
            now,
            size,
            limits: self.limits_of(asking, size),
            left: size.peers,
            chosen,
        };
        if answer.take_all() {
            return;
        }
        let ranked = size.peers - size.peers.div_ceil(RANDOM_DIVISOR);
        let mut taken = Vec::new();
        for slot in self.best(asking.is_seed) {
            if taken.len() == ranked {
                break;
            }
            if answer.take(slot) {
                taken.push(slot.number());
            }
        }
        taken.sort_unstable();
        answer.draw(&mut taken);
        answer.fill(&taken);
    }

    /// The limits of addresses in a new answer. `None` if there is nothing to limit: each address
    /// has few peers, or all peers have the address of the asking peer.
    fn limits_of(&self, asking: &PeerAnnounce, size: AnswerSize) -> Option<AddressLimits> {
        // A swarm of few peers has no table of addresses. It counts as crowded if it has more peers
        // than one address may have in the answer.
        let crowded = if self.addresses.has_table() {
            self.addresses.is_crowded()
        } else {
            self.lists.len() > size.of_one_address
        };
        let own = AddressPrefix::of(asking.address.ip());
        let has_others = || self.len() > self.count_of(own);
        (crowded && has_others()).then(|| AddressLimits {
            own,
            own_left: size.peers / 2,
            waiting: Vec::new(),
            others: Vec::new(),
        })
    }
}

/// An answer that is being made.
struct Answer<'a, C> {
    swarm: &'a Swarm,
    wanted: Wanted,
    asking: SocketAddr,
    /// Slot of the asking peer.
    own_slot: Option<Slot>,
    now: Duration,
    size: AnswerSize,
    limits: Option<AddressLimits>,
    /// Number of peers that may still be chosen.
    left: usize,
    chosen: C,
}

/// How many peers of each address one answer may contain.
struct AddressLimits {
    /// The address of the asking peer.
    own: AddressPrefix,
    /// Number of peers of `own` that may still be added before peers of other addresses have had
    /// their turn.
    own_left: usize,
    /// Peers of `own` beyond that number. They are added only if other peers do not fill the
    /// answer.
    waiting: Vec<(Slot, SocketAddr)>,
    /// The other addresses, and how many peers of each are in the answer.
    others: Vec<(u64, usize)>,
}

impl<C: FnMut(SwarmPeer)> Answer<'_, C> {
    /// Adds all candidates, if no address is limited and there is a place for each candidate.
    /// Otherwise returns false and adds none.
    fn take_all(&mut self) -> bool {
        let candidates = self.swarm.lists.candidates(self.wanted);
        let has_asking = self.own_slot.is_some_and(|own| candidates.contain(own));
        let most = self.left + usize::from(has_asking);
        let is_possible = self.limits.is_none() && candidates.len() <= most;
        if is_possible {
            let own_slot = self.own_slot;
            for slot in candidates.slots().filter(|slot| own_slot != Some(*slot)) {
                let address = self.swarm.lists.address(slot, self.wanted, self.now);
                if let Some(address) = address.filter(|it| *it != self.asking) {
                    self.push(slot, address);
                }
            }
        }
        is_possible
    }

    /// Draws one peer from each stratum, and adds it unless it is already in the answer. `taken`
    /// has the numbers of the slots in the answer, sorted. Drawn slots are added to it only if
    /// addresses are limited, because only then does [`Answer::fill`] use it.
    fn draw(&mut self, taken: &mut Vec<u32>) {
        let candidates = self.swarm.lists.candidates(self.wanted);
        // One more than wanted, because a drawn peer may be the asking one.
        let strata = candidates.len().min(self.size.peers + 1);
        if strata == 0 || self.left == 0 {
            return;
        }
        let ranked_count = taken.len();
        let mut random = fastrand::Rng::new();
        // The length of a stratum, as a fixed-point number with 32 fractional bits.
        let length = ((candidates.len() as u64) << 32) / strata as u64;
        let start_of = |stratum: usize| ((stratum as u64 * length) >> 32) as usize;
        let first = random.usize(..strata);
        for stratum in (first..strata).chain(0..first) {
            if self.left == 0 {
                break;
            }
            let end = if stratum + 1 == strata {
                candidates.len()
            } else {
                start_of(stratum + 1)
            };
            let Some(slot) = candidates.slot(random.usize(start_of(stratum)..end)) else {
                continue;
            };
            let ranked = taken.get(..ranked_count).unwrap_or_default();
            if ranked.binary_search(&slot.number()).is_err()
                && self.take(slot)
                && self.limits.is_some()
            {
                taken.push(slot.number());
            }
        }
        if self.limits.is_some() {
            taken.sort_unstable();
        }
    }

    /// Fills the rest of an answer that lacks peers because of the limits of addresses: with peers
    /// of addresses below their limit, then with waiting ones.
    fn fill(&mut self, taken: &[u32]) {
        if self.left == 0 || self.limits.is_none() {
            return;
        }
        let candidates = self.swarm.lists.candidates(self.wanted);
        let total = candidates.len();
        // With `size.peers + 1` candidates or fewer, each one is a stratum: `draw` has tried all.
        if total > self.size.peers + 1 {
            let first = fastrand::usize(..total);
            let numbers = (first..total).chain(0..first).take(MAX_LOOKED_AT);
            for slot in numbers.filter_map(|number| candidates.slot(number)) {
                if self.left == 0 {
                    return;
                }
                if taken.binary_search(&slot.number()).is_err() {
                    self.take(slot);
                }
            }
        }
        let waiting = self.limits.take().map_or(Vec::new(), |it| it.waiting);
        for (slot, address) in waiting.into_iter().take(self.left) {
            self.push(slot, address);
        }
    }

    /// Adds a peer to the answer unless it is the asking one, has no live address of a wanted
    /// family, or its address has reached its limit. Returns whether it was added.
    fn take(&mut self, slot: Slot) -> bool {
        let address = self.swarm.lists.address(slot, self.wanted, self.now);
        let own_slot = self.own_slot;
        let Some(address) = address.filter(|it| *it != self.asking && own_slot != Some(slot))
        else {
            return false;
        };
        if let Some(limits) = &mut self.limits
            && !limits.admit(slot, address, self.size.of_one_address, self.left)
        {
            return false;
        }
        self.push(slot, address);
        true
    }

    fn push(&mut self, slot: Slot, address: SocketAddr) {
        let lists = &self.swarm.lists;
        let id = match self.size.with_ids {
            true => lists.whole_id(slot),
            false => None,
        };
        (self.chosen)(SwarmPeer { address, id });
        self.left = self.left.saturating_sub(1);
    }
}

impl AddressLimits {
    /// Counts a peer that is about to be added. Returns `false` if its address has reached its
    /// limit, which is `max` for each address except that of the asking peer. A refused peer with
    /// the address of the asking peer is put on the waiting list, unless the list has `max_waiting`
    /// peers already.
    fn admit(&mut self, slot: Slot, address: SocketAddr, max: usize, max_waiting: usize) -> bool {
        let prefix = AddressPrefix::of(address.ip());
        if prefix == self.own {
            if self.own_left == 0 {
                if self.waiting.len() < max_waiting && !self.waiting.contains(&(slot, address)) {
                    self.waiting.push((slot, address));
                }
                return false;
            }
            self.own_left -= 1;
            return true;
        }
        let number = prefix.number();
        match self.others.iter_mut().find(|(known, _)| *known == number) {
            Some((_, count)) if *count >= max => return false,
            Some((_, count)) => *count += 1,
            None if max == 0 => return false,
            None => self.others.push((number, 1)),
        }
        true
    }
}
