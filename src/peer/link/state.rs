//! The state of a link that its two threads and its swarm use: the connection, the outbox and the
//! traffic counters.

use super::{LinkStream, Outbox};
use crate::certificate::Member;
use crate::swarm::{LinkActivity, LinkId, RemotePeer};
use crate::system::lock;
use crate::torrent::{BlockRange, Info, PieceIndex};
use crate::wire::peer::PeerMessage;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A link, from its admission until its threads have ended.
#[derive(Debug)]
pub(crate) struct Link {
    id: LinkId,
    stream: LinkStream,
    /// The other peer's user; only in a group swarm.
    member: Option<Member>,
    remote: RemotePeer,
    outbox: Outbox,
    /// Pieces that the remote peer may request while choked (BEP 6).
    allowed_fast: Vec<PieceIndex>,
    traffic: Traffic,
    /// The first reason for which this peer closed the link, if it did.
    reason: Mutex<Option<String>>,
}

/// The blocks that were sent over a link, and whether reading from it is paused.
#[derive(Debug)]
struct Traffic {
    /// The start of the link.
    begun: Instant,
    /// Whether the reading thread is waiting for the rate limit.
    paused: AtomicBool,
    /// Bytes of blocks sent.
    sent: AtomicU64,
    /// When the last block was sent, in milliseconds since the start of the link.
    last_sent: AtomicU64,
}

impl Link {
    /// A link that the core has admitted under `id`.
    pub(crate) fn new(
        id: LinkId,
        stream: LinkStream,
        member: Option<Member>,
        remote: RemotePeer,
        allowed_fast: Vec<PieceIndex>,
    ) -> Self {
        Self {
            id,
            stream,
            member,
            remote,
            outbox: Outbox::default(),
            allowed_fast,
            traffic: Traffic {
                begun: Instant::now(),
                paused: AtomicBool::new(false),
                sent: AtomicU64::new(0),
                last_sent: AtomicU64::new(0),
            },
            reason: Mutex::default(),
        }
    }

    pub(crate) fn id(&self) -> LinkId {
        self.id
    }

    pub(crate) fn remote(&self) -> &RemotePeer {
        &self.remote
    }

    /// The other peer's user; only in a group swarm.
    pub(crate) fn member(&self) -> Option<&Member> {
        self.member.as_ref()
    }

    /// Pieces that the remote peer may request while choked (BEP 6).
    pub(crate) fn allowed_fast(&self) -> &[PieceIndex] {
        &self.allowed_fast
    }

    pub(super) fn stream(&self) -> &LinkStream {
        &self.stream
    }

    pub(super) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Queues messages.
    pub(crate) fn send<'a>(&self, messages: impl IntoIterator<Item = PeerMessage<'a>>) {
        self.outbox.send(messages);
    }

    /// Makes the writing thread send `have` messages for newly verified pieces.
    pub(crate) fn notify_haves(&self) {
        self.outbox.notify_haves();
    }

    /// Queues a block that the remote peer requested.
    pub(crate) fn serve(&self, block: BlockRange) {
        self.outbox.push_block(block);
    }

    /// Queues a piece of metadata. Returns `false` if the remote peer has requested too many.
    pub(crate) fn send_metadata(&self, info: &Arc<Info>, id: u8, piece: u32) -> bool {
        self.outbox.push_metadata(info, id, piece)
    }

    /// Chokes the remote peer. Its queued requests are dropped, except those for allowed-fast
    /// pieces.
    pub(crate) fn choke(&self) {
        self.outbox.choke(self.remote.fast, &self.allowed_fast);
    }

    /// Unchokes the remote peer.
    pub(crate) fn unchoke(&self) {
        self.outbox.unchoke();
    }

    /// Closes the link: shuts the socket down, so that both threads end. Only the first reason is
    /// kept.
    pub(crate) fn close(&self, reason: impl Into<String>) {
        lock(&self.reason).get_or_insert_with(|| reason.into());
        self.outbox.close();
        self.stream.shut();
    }

    /// Why this peer closed the link, if it did.
    pub(crate) fn reason(&self) -> Option<String> {
        lock(&self.reason).clone()
    }

    /// The traffic of the link so far. `now` is the time on the clock of the core.
    pub(crate) fn activity(&self, now: Duration) -> LinkActivity {
        let traffic = &self.traffic;
        let sent = traffic.sent.load(Ordering::Relaxed);
        let last_sent = Duration::from_millis(traffic.last_sent.load(Ordering::Relaxed));
        let ago = traffic.begun.elapsed().saturating_sub(last_sent);
        LinkActivity {
            sent,
            last_sent: match sent {
                0 => Duration::ZERO,
                _ => now.saturating_sub(ago),
            },
            paused: traffic.paused.load(Ordering::Relaxed),
            unread_for: self.outbox.busy_for(),
        }
    }

    /// Whether the queue for the requests of the remote peer is full. Then one more request is too
    /// many.
    pub(super) fn is_request_queue_full(&self) -> bool {
        self.outbox.is_full()
    }

    /// Handles a `cancel`. Under BEP 6 every request gets its block or a reject, a cancelled one
    /// too.
    pub(super) fn on_cancel(&self, block: BlockRange) {
        if self.outbox.cancel_block(block) && self.remote.fast {
            self.outbox.send([PeerMessage::Reject(block.into())]);
        }
    }

    /// Counts a block that was sent.
    pub(super) fn on_sent(&self, length: u32) {
        let now = self.traffic.begun.elapsed().as_millis();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        self.traffic.last_sent.store(now, Ordering::Relaxed);
        self.traffic
            .sent
            .fetch_add(length.into(), Ordering::Relaxed);
    }

    /// Pauses reading until `due`, or until the link is closed. Returns whether it is closed.
    pub(super) fn pause_until(&self, due: Instant) -> bool {
        let paused = &self.traffic.paused;
        paused.store(true, Ordering::Relaxed);
        let is_closed = self.outbox.wait_until_closed(due);
        paused.store(false, Ordering::Relaxed);
        is_closed
    }
}
