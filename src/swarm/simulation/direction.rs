//! One direction of a connection: its send queue (like `peer/link/outbox.rs`), its rate and its
//! delay.

use super::content::Content;
use super::network::Packet;
use crate::swarm::{LinkActivity, OutgoingMessage};
use crate::torrent::{BlockRange, PieceIndex};
use std::collections::VecDeque;
use std::time::Duration;

/// The number of bytes that can be written to a peer that never reads: they fill the buffers of the
/// sockets.
const SOCKET_BUFFERS: u64 = 256 << 10;

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Direction {
    /// Bytes per second.
    rate: u64,
    delay: Duration,
    content: Content,
    /// Bytes that may still be written to a peer that never reads; `None` if the peer reads.
    room: Option<u64>,
    messages: Vec<Packet>,
    blocks: VecDeque<BlockRange>,
    /// Since when the writer has been busy with one write.
    busy_since: Option<Duration>,
    last_arrival: Duration,
    /// Bytes of blocks sent, and the time at which the write of the latest block ends.
    sent: (u64, Duration),
}

/// The result of one write.
pub(super) struct Write {
    pub(super) packets: Vec<Packet>,
    /// The number of blocks in it.
    pub(super) blocks: u32,
    pub(super) arrives: Duration,
    /// When the writer is free again. `None` if it never is: the peer does not read, and the
    /// buffers of the sockets are full.
    pub(super) writer_free_at: Option<Duration>,
}

impl Direction {
    pub(super) fn new(rate: u64, delay: Duration, content: Content, peer_reads: bool) -> Self {
        Self {
            rate,
            delay,
            content,
            room: (!peer_reads).then_some(SOCKET_BUFFERS),
            messages: Vec::new(),
            blocks: VecDeque::new(),
            busy_since: None,
            last_arrival: Duration::ZERO,
            sent: (0, Duration::ZERO),
        }
    }

    pub(super) fn delay(&self) -> Duration {
        self.delay
    }

    /// When the last packet sent so far arrives.
    pub(super) fn last_arrival(&self) -> Duration {
        self.last_arrival
    }

    /// What the sender knows about this direction.
    pub(super) fn activity(&self, now: Duration) -> LinkActivity {
        let (sent, last_sent) = self.sent;
        LinkActivity {
            sent,
            last_sent,
            paused: false,
            unread_for: self.busy_since.map_or(Duration::ZERO, |since| now - since),
        }
    }

    /// Queues a message.
    pub(super) fn push_message(&mut self, packet: Packet) {
        self.messages.push(packet);
    }

    /// Queues a block.
    pub(super) fn push_block(&mut self, range: BlockRange) {
        self.blocks.push_back(range);
    }

    /// Removes a block from the queue. BEP 6: each request gets its block or a reject, even a
    /// cancelled one.
    pub(super) fn cancel_block(&mut self, range: BlockRange, uses_bep_6: bool) {
        let at = self.blocks.iter().position(|queued| *queued == range);
        if at.and_then(|at| self.blocks.remove(at)).is_some() && uses_bep_6 {
            self.push_message(Packet::FromCore(OutgoingMessage::Reject(range)));
        }
    }

    /// Queues a choke and drops the queued blocks. With BEP 6, blocks of `allowed` pieces stay, and
    /// each dropped block is rejected after the choke.
    pub(super) fn choke(&mut self, uses_bep_6: bool, allowed: &[PieceIndex]) {
        let Self {
            messages, blocks, ..
        } = self;
        messages.push(Packet::Choke);
        blocks.retain(|block| {
            let stays = uses_bep_6 && allowed.contains(&block.piece());
            if uses_bep_6 && !stays {
                messages.push(Packet::FromCore(OutgoingMessage::Reject(*block)));
            }
            stays
        });
    }

    /// The writer is free again.
    pub(super) fn on_written(&mut self) {
        self.busy_since = None;
    }

    /// Begins to write all queued messages and one block, if the writer is free and anything is
    /// queued.
    pub(super) fn begin_write(&mut self, now: Duration) -> Option<Write> {
        if self.busy_since.is_some() || self.messages.is_empty() && self.blocks.is_empty() {
            return None;
        }
        let mut packets = std::mem::take(&mut self.messages);
        let block = self.blocks.pop_front();
        packets.extend(block.map(|range| Packet::Block(range, self.content)));
        let bytes: u64 = packets.iter().map(Packet::bytes).sum();
        let takes = Duration::from_secs_f64(bytes as f64 / self.rate as f64);
        self.busy_since = Some(now);
        if let Some(block) = block {
            self.sent = (self.sent.0 + u64::from(block.length()), now + takes);
        }
        self.last_arrival = now + takes + self.delay;
        let has_room = self.room.is_none_or(|room| bytes <= room);
        self.room = self.room.map(|room| room.saturating_sub(bytes));
        Some(Write {
            packets,
            blocks: u32::from(block.is_some()),
            arrives: self.last_arrival,
            writer_free_at: has_room.then_some(now + takes),
        })
    }
}
