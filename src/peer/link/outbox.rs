//! The queues of a link's writing thread: encoded messages, `have` messages that are due, and the
//! blocks and pieces of metadata that the remote peer requested.
//!
//! The core decides whether a request is served, before the block is queued here. Blocks are queued
//! under the lock of the transfer, and a choke drops them under the same lock. So each request is
//! clearly before or after the choke.

use super::MAX_REQUEST_QUEUE;
use crate::peer::Throttle;
use crate::system::{lock, recover};
use crate::torrent::{BLOCK, BlockRange, Info, PieceIndex};
use crate::wire::metadata::{METADATA_PIECE_LENGTH, MetadataMessage, metadata_piece};
use crate::wire::peer::PeerMessage;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// The maximum number of queued bytes of encoded messages. If a remote peer reads so slowly that
/// more are queued, the link is closed.
const MAX_QUEUED_BYTES: usize = 256 << 10;

/// The queues of one link. Any thread adds to them; the writing thread empties them.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queues: Mutex<Queues>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queues {
    /// Encoded messages.
    bytes: Vec<u8>,
    blocks: VecDeque<BlockRange>,
    metadata: MetadataQueue,
    /// The number of bytes of the front block that are already reserved from the rate limit.
    reserved: u32,
    /// When the last reserved part of the front block may be sent.
    due: Option<Instant>,
    /// Whether the owned map has new pieces to send `have` messages for.
    has_new_pieces: bool,
    closed: bool,
    /// When the writing thread took what it is sending now.
    sending_since: Option<Instant>,
}

/// Pieces of metadata that the remote peer requested.
#[derive(Debug, Default)]
struct MetadataQueue {
    /// The extension id that the remote peer uses for metadata, and the number of the piece.
    pieces: VecDeque<(u8, u32)>,
    info: Option<Arc<Info>>,
    /// The number of requests since the link began.
    requested: usize,
    /// When the front piece may be sent. Set when its bytes are reserved from the rate limit.
    due: Option<Instant>,
}

/// What to send next. All fields are empty if there was nothing to send for the maximum wait.
#[derive(Debug)]
pub(super) struct NextOutput {
    /// Encoded messages.
    pub(super) bytes: Vec<u8>,
    /// Whether the owned map has new pieces to send `have` messages for.
    pub(super) has_new_pieces: bool,
    /// A block that the remote peer requested.
    pub(super) block: Option<BlockRange>,
}

impl Outbox {
    /// Queues messages. Closes the outbox if too much is queued.
    pub(crate) fn send<'a>(&self, messages: impl IntoIterator<Item = PeerMessage<'a>>) {
        self.change(|queues| {
            if queues.bytes.len() > MAX_QUEUED_BYTES {
                queues.closed = true;
                return;
            }
            let messages = messages.into_iter();
            messages.for_each(|message| message.encode_into(&mut queues.bytes));
        });
    }

    /// Makes the writing thread send `have` messages for newly verified pieces.
    pub(crate) fn notify_haves(&self) {
        self.change(|queues| queues.has_new_pieces = true);
    }

    /// Queues a block, unless the queue is full.
    pub(crate) fn push_block(&self, range: BlockRange) {
        self.change(|queues| {
            if queues.blocks.len() < MAX_REQUEST_QUEUE {
                queues.blocks.push_back(range);
            }
        });
    }

    /// Whether the queue of blocks is full.
    pub(super) fn is_full(&self) -> bool {
        lock(&self.queues).blocks.len() >= MAX_REQUEST_QUEUE
    }

    /// Queues an unchoke.
    pub(crate) fn unchoke(&self) {
        self.change(|queues| PeerMessage::Unchoke.encode_into(&mut queues.bytes));
    }

    /// Queues a choke and drops the queued blocks. With the fast extension (BEP 6) a reject follows
    /// for each dropped block, and blocks of `allowed` pieces stay queued.
    pub(crate) fn choke(&self, fast: bool, allowed: &[PieceIndex]) {
        self.change(|Queues { bytes, blocks, .. }| {
            PeerMessage::Choke.encode_into(bytes);
            blocks.retain(|block| {
                let stays = fast && allowed.contains(&block.piece());
                if fast && !stays {
                    PeerMessage::Reject((*block).into()).encode_into(bytes);
                }
                stays
            });
        });
    }

    /// Removes a queued block. Returns `false` if it was not queued.
    pub(super) fn cancel_block(&self, range: BlockRange) -> bool {
        let mut queues = lock(&self.queues);
        let at = queues.blocks.iter().position(|queued| *queued == range);
        at.and_then(|at| queues.blocks.remove(at)).is_some()
    }

    /// Queues a piece of metadata. `id` is the extension id that the remote peer uses for metadata.
    /// Returns `false` if the remote peer has requested more than twice the whole metadata.
    pub(crate) fn push_metadata(&self, info: &Arc<Info>, id: u8, piece: u32) -> bool {
        let mut queues = lock(&self.queues);
        if queues.metadata.requested >= 2 * info.raw().len().div_ceil(METADATA_PIECE_LENGTH) {
            return false;
        }
        queues.metadata.requested += 1;
        queues.metadata.info.get_or_insert_with(|| Arc::clone(info));
        queues.metadata.pieces.push_back((id, piece));
        drop(queues);
        self.changed.notify_all();
        true
    }

    /// Ends the writing thread.
    pub(crate) fn close(&self) {
        self.change(|queues| queues.closed = true);
    }

    /// Waits for the next thing to send. Returns `None` if the outbox is closed. If there is
    /// nothing to send for `max_wait`, the returned output is empty. `spare` is an empty buffer to
    /// swap in. A block waits for the rate `limit`; messages do not wait behind it.
    pub(super) fn next(
        &self,
        spare: Vec<u8>,
        limit: Option<&Throttle>,
        max_wait: Duration,
    ) -> Option<NextOutput> {
        let mut queues = lock(&self.queues);
        queues.sending_since = None;
        let begun = Instant::now();
        let mut now = begun;
        loop {
            if queues.closed {
                return None;
            }
            let metadata_due = queues.metadata_due(limit, now);
            if metadata_due.is_some_and(|due| due <= now) {
                queues.take_metadata();
            }
            let block_due = queues.block_due(limit, now);
            let is_block_due = block_due.is_some_and(|due| due <= now);
            let timed_out = now.saturating_duration_since(begun) >= max_wait;
            if is_block_due || timed_out || queues.has_new_pieces || !queues.bytes.is_empty() {
                queues.sending_since = Some(now);
                let block = is_block_due.then(|| queues.pop_block()).flatten();
                return Some(NextOutput {
                    bytes: std::mem::replace(&mut queues.bytes, spare),
                    has_new_pieces: std::mem::take(&mut queues.has_new_pieces),
                    block,
                });
            }
            let end = begun + max_wait;
            let until = [block_due, metadata_due]
                .into_iter()
                .flatten()
                .fold(end, Instant::min);
            let waited = self
                .changed
                .wait_timeout(queues, until.saturating_duration_since(now));
            (queues, _) = recover(waited);
            now = Instant::now();
        }
    }

    /// Waits until `due`, or until the outbox is closed. Returns whether the outbox is closed.
    pub(super) fn wait_until_closed(&self, due: Instant) -> bool {
        let pause = due.saturating_duration_since(Instant::now());
        let waited = self
            .changed
            .wait_timeout_while(lock(&self.queues), pause, |queues| !queues.closed);
        recover(waited).0.closed
    }

    /// How long the writing thread has been sending one thing. A long time means that the remote
    /// peer does not read.
    pub(crate) fn busy_for(&self) -> Duration {
        lock(&self.queues)
            .sending_since
            .map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Changes the queues and wakes the writing thread.
    fn change(&self, act: impl FnOnce(&mut Queues)) {
        act(&mut lock(&self.queues));
        self.changed.notify_all();
    }
}

impl Queues {
    /// When to look at the front block again; `None` if there is no block. A time that is not after
    /// `now` means that the whole block is reserved and may be sent. A block longer than 16 KiB is
    /// reserved in parts, so that a peer that requests long blocks gets no larger share of the rate
    /// than others.
    fn block_due(&mut self, limit: Option<&Throttle>, now: Instant) -> Option<Instant> {
        let length = self.blocks.front()?.length();
        let Some(limit) = limit else { return Some(now) };
        loop {
            match self.due {
                Some(due) if due > now || self.reserved >= length => return Some(due),
                _ => {
                    let part = length.saturating_sub(self.reserved).min(BLOCK);
                    self.due = Some(limit.reserve(part));
                    self.reserved += part;
                }
            }
        }
    }

    /// When the front piece of metadata may be sent, if there is one and no message is queued. It
    /// counts against the rate limit like a block.
    fn metadata_due(&mut self, limit: Option<&Throttle>, now: Instant) -> Option<Instant> {
        let (_, piece) = self.metadata.pieces.front()?;
        if !self.bytes.is_empty() {
            return None;
        }
        let info = self.metadata.info.as_ref()?;
        let length = metadata_piece(info.raw(), *piece).map_or(0, <[u8]>::len);
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let reserve = || limit.map_or(now, |limit| limit.reserve(length));
        Some(*self.metadata.due.get_or_insert_with(reserve))
    }

    /// Moves the front piece of metadata to the encoded messages. The other pieces are not encoded
    /// yet, so that few encoded bytes are queued.
    fn take_metadata(&mut self) {
        self.metadata.due = None;
        if let Some((id, piece)) = self.metadata.pieces.pop_front()
            && let Some(info) = &self.metadata.info
            && let Some(bytes) = metadata_piece(info.raw(), piece)
        {
            let total = u32::try_from(info.raw().len()).unwrap_or(u32::MAX);
            let data = MetadataMessage::Data {
                piece,
                total,
                bytes,
            };
            let payload = data.encode();
            let payload = payload.as_slice();
            PeerMessage::Extended { id, payload }.encode_into(&mut self.bytes);
        }
    }

    fn pop_block(&mut self) -> Option<BlockRange> {
        (self.reserved, self.due) = (0, None);
        self.blocks.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torrent::Lengths;

    const LONG: Duration = Duration::from_secs(90);

    fn block(lengths: &Lengths, piece: u32) -> BlockRange {
        lengths.block(lengths.piece(piece).unwrap(), 0).unwrap()
    }

    fn messages(messages: &[PeerMessage<'_>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        messages
            .iter()
            .for_each(|message| message.encode_into(&mut bytes));
        bytes
    }

    #[test]
    fn a_choke_drops_requests_and_rejects_them_under_the_fast_extension() {
        let lengths = Lengths::new(8 * 16_384, 16_384).unwrap();
        let blocks: Vec<BlockRange> = (0..4).map(|piece| block(&lengths, piece)).collect();
        let allowed = [blocks[2].piece()];
        for (fast, kept) in [(true, 1), (false, 0)] {
            let outbox = Outbox::default();
            outbox.unchoke();
            for block in &blocks {
                outbox.push_block(*block);
            }
            outbox.choke(fast, &allowed);
            let next = outbox.next(Vec::new(), None, LONG).unwrap();
            let mut expected = vec![PeerMessage::Unchoke, PeerMessage::Choke];
            if fast {
                expected.extend([0, 1, 3].map(|at: usize| PeerMessage::Reject(blocks[at].into())));
            }
            assert_eq!(next.bytes, messages(&expected));
            assert_eq!(next.block, (kept == 1).then_some(blocks[2]));
        }
    }

    #[test]
    fn an_outbox_whose_messages_are_not_read_is_closed() {
        let outbox = Outbox::default();
        let payload = [0; 1 << 10];
        let message = PeerMessage::Extended {
            id: 1,
            payload: &payload,
        };
        for _ in 0..1_000 {
            outbox.send([message]);
        }
        assert!(outbox.next(Vec::new(), None, LONG).is_none());
        let queued = lock(&outbox.queues).bytes.len();
        assert!(queued <= MAX_QUEUED_BYTES + 2 * payload.len(), "{queued}");
    }

    #[test]
    fn the_queue_of_blocks_is_bounded() {
        let lengths = Lengths::new(8 * 16_384, 16_384).unwrap();
        let outbox = Outbox::default();
        for _ in 0..10_000 {
            outbox.push_block(block(&lengths, 0));
            let queued = lock(&outbox.queues).blocks.len();
            assert_eq!(outbox.is_full(), queued == MAX_REQUEST_QUEUE);
        }
        assert_eq!(lock(&outbox.queues).blocks.len(), MAX_REQUEST_QUEUE);
    }

    #[test]
    fn metadata_counts_against_the_rate_limit() {
        let head = b"d6:lengthi16384000e4:name1:x12:piece lengthi16384e6:pieces20000:";
        let raw = [&head[..], &[7; 20_000], b"e"].concat();
        let info = Arc::new(Info::parse(&raw).unwrap());
        let limit = Throttle::new(Some(64 << 10));
        let outbox = Outbox::default();
        let queued = (0..9).take_while(|_| outbox.push_metadata(&info, 2, 0));
        assert_eq!(queued.count(), 4, "twice the number of pieces");
        let begun = Instant::now();
        // Each piece takes a quarter of a second. Messages do not wait for it.
        for number in 0..4 {
            outbox.send([PeerMessage::Interested]);
            let next = outbox.next(Vec::new(), Some(&limit), LONG).unwrap();
            assert_eq!(next.bytes, [0, 0, 0, 1, 2]);
            let next = outbox.next(Vec::new(), Some(&limit), LONG).unwrap();
            assert!(next.bytes.len() > METADATA_PIECE_LENGTH && next.block.is_none());
            assert!(
                begun.elapsed() + Duration::from_millis(150) > number * Duration::from_millis(250)
            );
        }
    }

    #[test]
    fn messages_overtake_a_block_that_waits_for_the_rate_limit() {
        let lengths = Lengths::new(1 << 20, 1 << 20).unwrap();
        let limit = Throttle::new(Some(64 << 10));
        let outbox = Outbox::default();
        outbox.unchoke();
        assert!(outbox.next(Vec::new(), Some(&limit), LONG).is_some());
        // Eight parts of 16 KiB, a quarter of a second each.
        let long = lengths.range(0, 0, 128 << 10).unwrap();
        outbox.push_block(long);
        let begun = Instant::now();
        outbox.send([PeerMessage::Interested]);
        let next = outbox.next(Vec::new(), Some(&limit), LONG).unwrap();
        assert_eq!(
            (next.bytes.as_slice(), next.block),
            (&[0, 0, 0, 1, 2][..], None)
        );
        assert!(begun.elapsed() < Duration::from_millis(500));
        let next = outbox.next(Vec::new(), Some(&limit), LONG).unwrap();
        assert_eq!(next.block, Some(long));
        assert!(begun.elapsed() > Duration::from_millis(1_500));
    }
}
