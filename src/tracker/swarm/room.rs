//! Room for newcomers in a full swarm.

use super::Swarm;
use crate::base::AddressPrefix;
use std::time::Duration;

/// At most 1/`REMOVAL_DIVISOR` of the peers of an address prefix is removed at a time, but at least
/// one peer.
const REMOVAL_DIVISOR: usize = 16;
/// The search for peers to remove looks at all peers. In a swarm of N peers, at least N times this
/// pause passes between two searches, so that newcomers do not keep a processor busy.
const PAUSE_PER_PEER: Duration = Duration::from_micros(1);
/// A swarm with fewer peers needs no pause.
const MIN_PAUSED: usize = 1_000;

impl Swarm {
    /// Makes room for a peer with the prefix `newcomer`. Removes peers of the address prefix with
    /// the most peers: those that have been silent for the longest. Calls `gone` with this prefix
    /// for each removed peer. A prefix loses peers only if it has at least two more than
    /// `newcomer`. So the peers of one prefix can fill a swarm, but cannot keep out peers of
    /// prefixes that have fewer. Returns whether there is room now. In the pause after a search,
    /// the result is `false`.
    pub(in crate::tracker) fn make_room(
        &mut self,
        newcomer: AddressPrefix,
        now: Duration,
        mut gone: impl FnMut(AddressPrefix),
    ) -> bool {
        let newcomer_count = self.count_of(newcomer);
        if now < self.room_due || self.count_of_fullest() < newcomer_count + 2 {
            return false;
        }
        if self.len() >= MIN_PAUSED {
            let peers = u32::try_from(self.len()).unwrap_or(u32::MAX);
            self.room_due = now + PAUSE_PER_PEER.saturating_mul(peers);
        }
        let Some(fullest) = self.fullest() else {
            return false;
        };
        let mut peers: Vec<_> = self.lists.slots().collect();
        peers.retain(|slot| self.lists.prefix(*slot) == Some(fullest));
        // `count_of_fullest` can be too high: `AddressCounts` can count two prefixes as one.
        if peers.len() < newcomer_count + 2 {
            return false;
        }
        let amount = (peers.len() / REMOVAL_DIVISOR).max(1);
        peers.select_nth_unstable_by_key(amount - 1, |slot| self.lists.seen(*slot));
        peers.truncate(amount);
        // After each removal, the last peer of the list moves into the gap. The last slots come
        // first, so that the peer that moves is never one that is still to be removed.
        peers.sort_unstable_by_key(|slot| std::cmp::Reverse(slot.number()));
        for slot in peers {
            if self.remove(slot).is_some() {
                gone(fullest);
            }
        }
        true
    }

    /// The number of peers of the address prefix with the most peers.
    fn count_of_fullest(&self) -> usize {
        if self.addresses.has_table() {
            usize::try_from(self.addresses.largest()).unwrap_or(usize::MAX)
        } else {
            self.fullest().map_or(0, |fullest| self.count_of(fullest))
        }
    }

    /// The address prefix with the most peers.
    fn fullest(&self) -> Option<AddressPrefix> {
        let prefixes = self
            .lists
            .slots()
            .filter_map(|slot| self.lists.prefix(slot));
        prefixes.max_by_key(|prefix| self.count_of(*prefix))
    }
}
