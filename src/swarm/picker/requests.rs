//! The requests to one link: those in flight, and how many there may be.

use crate::swarm::Window;
use crate::torrent::BlockRange;
use std::collections::BTreeMap;
use std::time::Duration;

/// If a link delivers nothing for this long, its blocks are requested from other links.
pub(super) const STALLED_AFTER: Duration = Duration::from_secs(6);
/// Endgame: a block may be requested from a second link when both this time and [`ROUND_TRIPS`]
/// times the delay of the first link have passed since the first request.
const ENDGAME_AFTER: Duration = Duration::from_millis(200);
/// A block that was requested this long ago is late, even if three round trips of its link take
/// longer. Otherwise the blocks of a link that delays every block would never be late.
const ALWAYS_LATE_AFTER: Duration = Duration::from_secs(3);
/// A window holds the blocks of two round trips. So a block is not late before three round trips.
const ROUND_TRIPS: u32 = 3;
/// Pause after a rejected request, so that another link gets the block. Otherwise a link that
/// rejects every request would get the same requests again at once, and would keep the last blocks
/// from all others.
const REJECT_PAUSE: Duration = Duration::from_millis(250);
/// At least this many of a link's latest cancelled blocks are remembered: more than the largest
/// window holds.
const MIN_KEPT_CANCELLED: u32 = 8_192;

/// The requests to one link.
#[derive(Debug)]
pub(super) struct Requests {
    window: Window,
    /// The time of each request. It is a map because a window holds thousands of blocks, and a link
    /// may answer in any order.
    in_flight: BTreeMap<BlockRange, Duration>,
    /// Cancelled blocks that may still arrive without a breach of the protocol.
    cancelled: CancelledBlocks,
    /// When a block last arrived, or when the first request to an idle link was sent.
    last_arrival: Duration,
    /// Requests were rejected, and the pause after that has not begun yet.
    any_rejected: bool,
    /// No request is sent before this time.
    paused_until: Duration,
}

impl Requests {
    /// No requests yet. At most `largest_window` will be in flight.
    pub(super) fn new(largest_window: u32) -> Self {
        Self {
            window: Window::new(largest_window),
            in_flight: BTreeMap::new(),
            cancelled: CancelledBlocks::default(),
            last_arrival: Duration::ZERO,
            any_rejected: false,
            paused_until: Duration::ZERO,
        }
    }

    /// How many requests may be in flight.
    pub(super) fn window(&self) -> usize {
        self.window.blocks() as usize
    }

    /// How many requests are in flight.
    pub(super) fn in_flight_count(&self) -> usize {
        self.in_flight.len()
    }

    /// The blocks in flight.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = BlockRange> {
        self.in_flight.keys().copied()
    }

    /// The blocks in flight that are late.
    pub(super) fn late(&self, now: Duration) -> impl Iterator<Item = BlockRange> {
        let late_after = self.late_after();
        let requested = self.in_flight.iter();
        let late = requested.filter(move |(_, at)| now.saturating_sub(**at) >= late_after);
        late.map(|(range, _)| *range)
    }

    /// Begins a pause if requests were rejected. Returns whether the link pauses now: then no
    /// request is to be sent.
    pub(super) fn update_pause(&mut self, now: Duration) -> bool {
        if std::mem::take(&mut self.any_rejected) {
            self.paused_until = now + REJECT_PAUSE;
        }
        now < self.paused_until
    }

    /// These blocks were requested.
    pub(super) fn on_sent(&mut self, requested: &[BlockRange], now: Duration) {
        if self.in_flight.is_empty() {
            self.last_arrival = now;
        }
        self.in_flight
            .extend(requested.iter().map(|range| (*range, now)));
    }

    /// A block arrived. Returns whether it was requested.
    pub(super) fn on_block(&mut self, range: BlockRange, now: Duration) -> bool {
        let Some(requested_at) = self.in_flight.remove(&range) else {
            return self.cancelled.take(range);
        };
        self.last_arrival = now;
        // If the block was requested twice, nobody knows which request this answers.
        if !self.cancelled.contains(range) {
            self.window.on_block(now, requested_at, range.length());
        }
        true
    }

    /// A block was rejected. Returns whether it was in flight.
    pub(super) fn on_reject(&mut self, range: BlockRange) -> bool {
        let was_in_flight = self.in_flight.remove(&range).is_some();
        if was_in_flight {
            self.any_rejected = true;
        } else {
            self.cancelled.take(range);
        }
        was_in_flight
    }

    /// A block is no longer needed from this link. It may still arrive.
    pub(super) fn cancel(&mut self, range: BlockRange) {
        self.in_flight.remove(&range);
        self.cancelled.add(range);
    }

    /// Cancels the first request, in the order of the share.
    pub(super) fn cancel_first(&mut self) -> Option<BlockRange> {
        let (range, _) = self.in_flight.pop_first()?;
        self.cancelled.add(range);
        Some(range)
    }

    /// The peer dropped all requests. They count as rejected. The caller cancels them.
    pub(super) fn on_all_dropped(&mut self) {
        self.any_rejected |= !self.in_flight.is_empty();
    }

    /// Whether the block is in flight, or may still arrive after a cancel.
    pub(super) fn may_deliver(&self, range: BlockRange) -> bool {
        self.in_flight.contains_key(&range) || self.cancelled.contains(range)
    }

    /// How long after its request a block is late.
    pub(super) fn late_after(&self) -> Duration {
        let round_trips = self.window.shortest_delay() * ROUND_TRIPS;
        round_trips.clamp(ENDGAME_AFTER, ALWAYS_LATE_AFTER)
    }

    /// The recent rate of the link, in bytes a second.
    pub(super) fn rate(&self) -> f64 {
        self.window.rate()
    }

    /// Whether nothing has arrived for too long.
    pub(super) fn is_stalled(&self, now: Duration) -> bool {
        !self.in_flight.is_empty() && now.saturating_sub(self.last_arrival) >= STALLED_AFTER
    }

    /// Shrinks the window of a link that has stalled.
    pub(super) fn shrink(&mut self) {
        self.window.on_stall();
    }

    /// Nothing arrived because we did not read: the link has not stalled.
    pub(super) fn mark_not_stalled(&mut self, now: Duration) {
        self.last_arrival = now;
    }

    /// The peer queues at most this many of our requests (`reqq`, BEP 10).
    pub(super) fn limit_window(&mut self, largest: u32) {
        self.window.limit_to(largest);
    }
}

/// Cancelled blocks that may still arrive, each as many times as it was cancelled. At least the
/// latest [`MIN_KEPT_CANCELLED`] ones are kept, and at most twice as many.
#[derive(Debug, Default)]
struct CancelledBlocks {
    newer: BlockCounts,
    older: BlockCounts,
}

/// Blocks, and how many times each was cancelled.
#[derive(Debug, Default)]
struct BlockCounts {
    blocks: BTreeMap<BlockRange, u32>,
    total: u32,
}

impl CancelledBlocks {
    fn add(&mut self, range: BlockRange) {
        if self.newer.total >= MIN_KEPT_CANCELLED {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.add(range);
    }

    fn contains(&self, range: BlockRange) -> bool {
        self.newer.blocks.contains_key(&range) || self.older.blocks.contains_key(&range)
    }

    /// Forgets one cancel of a block. Returns whether there was one.
    fn take(&mut self, range: BlockRange) -> bool {
        self.older.take(range) || self.newer.take(range)
    }
}

impl BlockCounts {
    fn add(&mut self, range: BlockRange) {
        *self.blocks.entry(range).or_default() += 1;
        self.total += 1;
    }

    fn take(&mut self, range: BlockRange) -> bool {
        let Some(times) = self.blocks.get_mut(&range) else {
            return false;
        };
        *times -= 1;
        if *times == 0 {
            self.blocks.remove(&range);
        }
        self.total -= 1;
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
    fn cancelled_blocks_may_still_arrive_once_for_each_request() {
        let blocks = blocks(LARGEST);
        let mut requests = Requests::new(LARGEST);
        let now = Duration::from_secs(1);
        for _ in 0..2 {
            requests.on_sent(&blocks, now);
            assert_eq!(requests.in_flight_count(), blocks.len());
            let taken: Vec<_> = std::iter::from_fn(|| requests.cancel_first()).collect();
            assert_eq!(taken, blocks);
        }
        for _ in 0..2 {
            assert!(blocks.iter().rev().all(|it| requests.may_deliver(*it)));
            assert!(blocks.iter().rev().all(|it| requests.on_block(*it, now)));
        }
        assert!(!blocks.iter().any(|it| requests.may_deliver(*it)));
        assert!(!blocks.iter().any(|it| requests.on_block(*it, now)));
    }

    #[test]
    fn the_number_of_kept_cancelled_blocks_is_bounded_and_the_oldest_are_dropped_first() {
        let blocks = blocks(2 * MIN_KEPT_CANCELLED + 1);
        let mut requests = Requests::new(LARGEST);
        blocks.iter().for_each(|it| requests.cancel(*it));
        let kept: Vec<bool> = blocks.iter().map(|it| requests.may_deliver(*it)).collect();
        assert!(kept[MIN_KEPT_CANCELLED as usize..].iter().all(|kept| *kept));
        assert!(!kept[..MIN_KEPT_CANCELLED as usize].iter().any(|kept| *kept));
    }

    #[test]
    fn the_delay_of_a_block_that_was_requested_twice_is_not_measured() {
        let blocks = blocks(2);
        let mut requests = Requests::new(LARGEST);
        let (requested, again) = (Duration::from_secs(1), Duration::from_secs(7));
        requests.on_sent(&blocks, requested);
        requests.cancel(blocks[0]);
        requests.on_sent(&blocks[..1], again);
        assert!(requests.on_block(blocks[0], again + Duration::from_millis(1)));
        assert_eq!(requests.window.shortest_delay(), Duration::ZERO);
        assert!(requests.on_block(blocks[1], again));
        assert_eq!(requests.window.shortest_delay(), again - requested);
    }
}
