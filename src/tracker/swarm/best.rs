//! The best uploaders of a swarm.

use super::address_counts::AddressHash;
use super::lists::Slot;
use super::record::Rank;

/// Number of peers kept. More are never needed: an answer has at most 200 peers, and at most three
/// quarters of them are the best uploaders.
const MAX_BEST: usize = 150;

/// The best uploaders, best first. When one leaves, no other peer takes its place: a peer enters
/// only when it uploads.
#[derive(Debug, Default)]
pub(super) struct BestUploaders(Vec<BestUploader>);

/// One of the best uploaders.
#[derive(Clone, Copy, Debug)]
pub(super) struct BestUploader {
    pub(super) rank: Rank,
    pub(super) slot: Slot,
    address: AddressHash,
}

impl BestUploaders {
    /// Inserts the peer in `slot` at the position of `rank`, or moves it there if it is in the list
    /// already. The list keeps only the best `max_per_address` peers of one address. Otherwise one
    /// address with many peer ids could push out all others by false reports.
    pub(super) fn put(
        &mut self,
        slot: Slot,
        rank: Rank,
        address: AddressHash,
        max_per_address: usize,
    ) {
        self.remove(slot);
        let all = self.0.iter().enumerate();
        let of_address = all.filter(|(_, entry)| entry.address == address);
        let (mut count, mut worst) = (0, None);
        for (at, entry) in of_address {
            (count, worst) = (count + 1, Some((at, entry.rank)));
        }
        if count >= max_per_address {
            match worst {
                Some((at, worst)) if worst < rank => {
                    self.0.remove(at);
                }
                _ => return,
            }
        }
        let at = self.0.partition_point(|better| better.rank >= rank);
        if at < MAX_BEST {
            self.0.truncate(MAX_BEST - 1);
            if self.0.len() == self.0.capacity() {
                self.0.reserve_exact((self.0.len() / 4).clamp(2, 10));
            }
            let best = BestUploader {
                rank,
                slot,
                address,
            };
            self.0.insert(at, best);
        }
    }

    /// Removes the peer in this slot, if it is in the list.
    pub(super) fn remove(&mut self, slot: Slot) {
        if let Some(at) = self.find(slot) {
            self.0.remove(at);
        }
    }

    /// A peer has moved from one slot to another. The caller has already removed from this list
    /// the peer that was in `to` before.
    pub(super) fn on_moved(&mut self, from: Slot, to: Slot) {
        if let Some(entry) = self.find(from).and_then(|at| self.0.get_mut(at)) {
            entry.slot = to;
        }
    }

    /// Best first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &BestUploader> {
        self.0.iter()
    }

    fn find(&self, slot: Slot) -> Option<usize> {
        self.0.iter().position(|entry| entry.slot == slot)
    }
}
