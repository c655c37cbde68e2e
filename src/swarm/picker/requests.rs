//! The requests to one link: those in flight, and how many there may be.

use crate::swarm::Window;
use crate::torrent::BlockRange;
use std::collections::BTreeMap;
use std::time::Duration;

/// A link that delivers nothing for this long loses its requests to other links.
pub(super) const STALLED: Duration = Duration::from_secs(6);
/// Endgame: a block may be requested from a second link once this time, and [`ROUND_TRIPS`] times
/// the delay of the first link, have passed since the first request.
const ENDGAME_AFTER: Duration = Duration::from_millis(200);
/// A window holds the blocks of two round trips. So a block is not late before three round trips.
const ROUND_TRIPS: u32 = 3;
/// Pause after a rejected request, so that another link gets the block. Otherwise a link that
/// rejects every request would get it again at once, and would keep the last blocks from all
/// others.
const AFTER_REFUSAL: Duration = Duration::from_millis(250);
/// The number of blocks that a link may still deliver after they were cancelled: more than the
/// largest window.
const FORGIVEN: u32 = 8_192;

/// The requests to one link.
#[derive(Debug)]
pub(super) struct Requests {
    window: Window,
    /// The time of each request. A window holds thousands of blocks, and a link may answer in any
    /// order.
    in_flight: BTreeMap<BlockRange, Duration>,
    /// Cancelled blocks that may still arrive without a breach of the protocol.
    forgiven: Forgiven,
    /// When a block last arrived, or when the first request to an idle link was sent.
    heard: Duration,
    /// Requests were rejected since the last request was sent.
    refused: bool,
    /// No request is sent before this time.
    quiet_until: Duration,
}

impl Requests {
    /// No requests yet. At most `largest_window` will be in flight.
    pub(super) fn new(largest_window: u32) -> Self {
        Self {
            window: Window::new(largest_window),
            in_flight: BTreeMap::new(),
            forgiven: Forgiven::default(),
            heard: Duration::ZERO,
            refused: false,
            quiet_until: Duration::ZERO,
        }
    }

    /// How many requests may be in flight.
    pub(super) fn window(&self) -> usize {
        self.window.blocks() as usize
    }

    /// How many requests are in flight.
    pub(super) fn flying(&self) -> usize {
        self.in_flight.len()
    }

    /// The blocks in flight.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = BlockRange> {
        self.in_flight.keys().copied()
    }

    /// Whether no request is to be sent now, because requests were rejected.
    pub(super) fn rests(&mut self, now: Duration) -> bool {
        if std::mem::take(&mut self.refused) {
            self.quiet_until = now + AFTER_REFUSAL;
        }
        now < self.quiet_until
    }

    /// These blocks were requested.
    pub(super) fn sent(&mut self, asked: &[BlockRange], now: Duration) {
        if self.in_flight.is_empty() {
            self.heard = now;
        }
        self.in_flight
            .extend(asked.iter().map(|range| (*range, now)));
    }

    /// A block arrived. Returns whether it was requested.
    pub(super) fn arrived(&mut self, range: BlockRange, now: Duration) -> bool {
        let Some(asked) = self.in_flight.remove(&range) else {
            return self.forgiven.take(range);
        };
        self.heard = now;
        // If the block was requested twice, nobody knows which request this answers.
        if !self.forgiven.contains(range) {
            self.window.arrived(now, asked, range.length());
        }
        true
    }

    /// A block was rejected. Returns whether it was in flight.
    pub(super) fn rejected(&mut self, range: BlockRange) -> bool {
        let was_asked = self.in_flight.remove(&range).is_some();
        if was_asked {
            self.refused = true;
        } else {
            self.forgiven.take(range);
        }
        was_asked
    }

    /// A block is no longer needed from this link. It may still arrive.
    pub(super) fn cancel(&mut self, range: BlockRange) {
        self.in_flight.remove(&range);
        self.forgiven.add(range);
    }

    /// Cancels the first request, in the order of the share.
    pub(super) fn cancel_first(&mut self) -> Option<BlockRange> {
        let (range, _) = self.in_flight.pop_first()?;
        self.forgiven.add(range);
        Some(range)
    }

    /// The peer dropped all requests. They count as rejected.
    pub(super) fn dropped(&mut self) {
        self.refused |= !self.in_flight.is_empty();
    }

    /// Whether the block is in flight, or may still arrive after a cancel.
    pub(super) fn may_bring(&self, range: BlockRange) -> bool {
        self.in_flight.contains_key(&range) || self.forgiven.contains(range)
    }

    /// How long after its request a block is late.
    pub(super) fn patience(&self) -> Duration {
        ENDGAME_AFTER.max(self.window.shortest_delay() * ROUND_TRIPS)
    }

    /// Whether nothing has arrived for too long.
    pub(super) fn is_stalled(&self, now: Duration) -> bool {
        !self.in_flight.is_empty() && now.saturating_sub(self.heard) >= STALLED
    }

    /// Shrinks the window of a link that has stalled.
    pub(super) fn shrink(&mut self) {
        self.window.stalled();
    }

    /// Nothing arrived because we did not read: the link is not late.
    pub(super) fn excuse(&mut self, now: Duration) {
        self.heard = now;
    }

    /// The peer keeps at most this many requests.
    pub(super) fn limit(&mut self, largest: u32) {
        self.window.limit(largest);
    }
}

/// Cancelled blocks that may still arrive, each as many times as it was cancelled. The latest
/// [`FORGIVEN`] ones are kept, and at most twice as many.
#[derive(Debug, Default)]
struct Forgiven {
    newer: Counted,
    older: Counted,
}

/// Blocks and how many times each is held.
#[derive(Debug, Default)]
struct Counted {
    blocks: BTreeMap<BlockRange, u32>,
    all: u32,
}

impl Forgiven {
    fn add(&mut self, range: BlockRange) {
        if self.newer.all >= FORGIVEN {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.add(range);
    }

    fn contains(&self, range: BlockRange) -> bool {
        self.newer.blocks.contains_key(&range) || self.older.blocks.contains_key(&range)
    }

    /// Removes a block once. Returns whether it was held.
    fn take(&mut self, range: BlockRange) -> bool {
        self.older.take(range) || self.newer.take(range)
    }
}

impl Counted {
    fn add(&mut self, range: BlockRange) {
        *self.blocks.entry(range).or_default() += 1;
        self.all += 1;
    }

    fn take(&mut self, range: BlockRange) -> bool {
        let Some(times) = self.blocks.get_mut(&range) else {
            return false;
        };
        *times -= 1;
        if *times == 0 {
            self.blocks.remove(&range);
        }
        self.all -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torrent::Lengths;

    const LARGEST: u32 = 4_096;

    fn blocks(count: u32) -> Vec<BlockRange> {
        let lengths = Lengths::new(u64::from(count) * 16_384, 16_384).unwrap();
        let pieces = lengths.all_pieces();
        pieces
            .map(|piece| lengths.block(piece, 0).unwrap())
            .collect()
    }

    #[test]
    fn what_was_taken_from_a_full_window_may_still_arrive_and_no_more_often_than_it_was_asked_for()
    {
        let blocks = blocks(LARGEST);
        let mut requests = Requests::new(LARGEST);
        let now = Duration::from_secs(1);
        for _ in 0..2 {
            requests.sent(&blocks, now);
            assert_eq!(requests.flying(), blocks.len());
            let taken: Vec<_> = std::iter::from_fn(|| requests.cancel_first()).collect();
            assert_eq!(taken, blocks);
        }
        for _ in 0..2 {
            assert!(blocks.iter().rev().all(|it| requests.may_bring(*it)));
            assert!(blocks.iter().rev().all(|it| requests.arrived(*it, now)));
        }
        assert!(!blocks.iter().any(|it| requests.may_bring(*it)));
        assert!(!blocks.iter().any(|it| requests.arrived(*it, now)));
    }

    #[test]
    fn what_is_forgiven_is_bounded_and_the_oldest_goes_first() {
        let blocks = blocks(2 * FORGIVEN + 1);
        let mut requests = Requests::new(LARGEST);
        blocks.iter().for_each(|it| requests.cancel(*it));
        let kept: Vec<bool> = blocks.iter().map(|it| requests.may_bring(*it)).collect();
        assert!(kept[FORGIVEN as usize..].iter().all(|kept| *kept));
        assert!(!kept[..FORGIVEN as usize].iter().any(|kept| *kept));
    }

    #[test]
    fn an_answer_to_an_older_request_tells_nothing_of_the_delay() {
        let blocks = blocks(2);
        let mut requests = Requests::new(LARGEST);
        let (asked, again) = (Duration::from_secs(1), Duration::from_secs(7));
        requests.sent(&blocks, asked);
        requests.cancel(blocks[0]);
        requests.sent(&blocks[..1], again);
        assert!(requests.arrived(blocks[0], again + Duration::from_millis(1)));
        assert_eq!(requests.window.shortest_delay(), Duration::ZERO);
        assert!(requests.arrived(blocks[1], again));
        assert_eq!(requests.window.shortest_delay(), again - asked);
    }
}
