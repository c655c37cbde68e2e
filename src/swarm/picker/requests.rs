//! The requests to one link: those it has not answered yet, and how many it may have.

use crate::swarm::Window;
use crate::torrent::BlockRange;
use std::collections::VecDeque;
use std::time::Duration;

/// A link that delivers nothing for this long loses its blocks to others.
pub(super) const STALLED: Duration = Duration::from_secs(6);
/// Pause after a refused request, so that another link gets the block. Without it, a link that refuses
/// every request at once is asked again at once and keeps the last blocks from all others.
const AFTER_REFUSAL: Duration = Duration::from_millis(250);
/// How many blocks a link may still send after they were taken from it.
const FORGIVEN: usize = 1_024;

/// The requests to one link.
#[derive(Debug)]
pub(super) struct Requests {
    window: Window,
    in_flight: VecDeque<(BlockRange, Duration)>,
    /// Blocks that may still arrive, which then is no breach of the protocol.
    forgiven: VecDeque<BlockRange>,
    /// When something last arrived, or the first request of an idle link went out.
    heard: Duration,
    /// Requests were refused since the link was last asked.
    refused: bool,
    /// Nothing is asked for before this.
    quiet_until: Duration,
}

impl Requests {
    /// No requests yet, and never more than `largest_window`.
    pub(super) fn new(largest_window: u32) -> Self {
        Self {
            window: Window::new(largest_window),
            in_flight: VecDeque::new(),
            forgiven: VecDeque::new(),
            heard: Duration::ZERO,
            refused: false,
            quiet_until: Duration::ZERO,
        }
    }

    /// How many blocks may be in flight.
    pub(super) fn window(&self) -> usize {
        self.window.blocks() as usize
    }

    /// How many blocks are in flight.
    pub(super) fn flying(&self) -> usize {
        self.in_flight.len()
    }

    /// The blocks in flight.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = BlockRange> {
        self.in_flight.iter().map(|(range, _)| *range)
    }

    /// Whether no request is to be sent now, because requests were refused.
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

    /// A block arrived; returns whether it was requested.
    pub(super) fn arrived(&mut self, range: BlockRange, now: Duration) -> bool {
        let Some(asked) = self.take_flight(range) else {
            return self.take_forgiven(range);
        };
        self.heard = now;
        self.window.arrived(now, asked, range.length());
        true
    }

    /// A block was refused; returns whether it was in flight.
    pub(super) fn rejected(&mut self, range: BlockRange) -> bool {
        let was_asked = self.take_flight(range).is_some();
        if was_asked {
            self.refused = true;
        } else {
            self.take_forgiven(range);
        }
        was_asked
    }

    /// A block is no longer needed from this link, but may still arrive.
    pub(super) fn cancel(&mut self, range: BlockRange) {
        self.take_flight(range);
        self.forgive(range);
    }

    /// Cancels the oldest request.
    pub(super) fn cancel_first(&mut self) -> Option<BlockRange> {
        let (range, _) = self.in_flight.pop_front()?;
        self.forgive(range);
        Some(range)
    }

    /// The link dropped all requests: they count as refused.
    pub(super) fn dropped(&mut self) {
        self.refused |= !self.in_flight.is_empty();
    }

    /// Whether the block is in flight or may still arrive.
    pub(super) fn may_bring(&self, range: BlockRange) -> bool {
        self.in_flight().any(|asked| asked == range) || self.forgiven.contains(&range)
    }

    /// Whether nothing has arrived for too long.
    pub(super) fn is_stalled(&self, now: Duration) -> bool {
        !self.in_flight.is_empty() && now.saturating_sub(self.heard) >= STALLED
    }

    /// Shrinks the window: the link has stalled.
    pub(super) fn shrink(&mut self) {
        self.window.stalled();
    }

    /// That nothing arrived is not the link's fault.
    pub(super) fn excuse(&mut self, now: Duration) {
        self.heard = now;
    }

    /// The other side keeps at most this many requests.
    pub(super) fn limit(&mut self, largest: u32) {
        self.window.limit(largest);
    }

    fn take_flight(&mut self, range: BlockRange) -> Option<Duration> {
        let at = self.in_flight.iter().position(|(it, _)| *it == range)?;
        self.in_flight.remove(at).map(|(_, asked)| asked)
    }

    fn forgive(&mut self, range: BlockRange) {
        if self.forgiven.len() >= FORGIVEN {
            self.forgiven.pop_front();
        }
        self.forgiven.push_back(range);
    }

    fn take_forgiven(&mut self, range: BlockRange) -> bool {
        let at = self.forgiven.iter().position(|it| *it == range);
        at.and_then(|at| self.forgiven.remove(at)).is_some()
    }
}
