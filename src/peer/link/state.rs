//! A link, as both of its threads and its swarm know it: the connection, what waits to be sent, and
//! what went over it.

use super::{LinkStream, Outbox};
use crate::certificate::Member;
use crate::swarm::{Activity, LinkId, Remote};
use crate::system::lock;
use crate::torrent::{BlockRange, Info, PieceIndex};
use crate::wire::peer::Message;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// An open link.
#[derive(Debug)]
pub(crate) struct Link {
    id: LinkId,
    stream: LinkStream,
    /// Who the other side is, in a group's swarm.
    member: Option<Member>,
    remote: Remote,
    outbox: Outbox,
    /// Pieces that the other side may ask for while choked.
    allowed_fast: Vec<PieceIndex>,
    traffic: Traffic,
    /// Why it was ended from here, if it was.
    reason: Mutex<Option<String>>,
}

/// What went over a link.
#[derive(Debug)]
struct Traffic {
    since: Instant,
    /// Its reading thread waits for its part of a limit.
    paused: AtomicBool,
    /// Bytes of blocks that went out.
    sent: AtomicU64,
    /// When the last one went out, in milliseconds from the start of the link.
    last_sent: AtomicU64,
}

impl Link {
    /// A link that was admitted under this number.
    pub(crate) fn new(
        id: LinkId,
        stream: LinkStream,
        member: Option<Member>,
        remote: Remote,
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
                since: Instant::now(),
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

    pub(crate) fn remote(&self) -> &Remote {
        &self.remote
    }

    /// Who the other side is, in a group's swarm.
    pub(crate) fn member(&self) -> Option<&Member> {
        self.member.as_ref()
    }

    /// Pieces that the other side may ask for while choked (BEP 6).
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
    pub(crate) fn send<'a>(&self, messages: impl IntoIterator<Item = Message<'a>>) {
        self.outbox.send(messages);
    }

    /// Pieces were verified that the other side is to be told of.
    pub(crate) fn notify_haves(&self) {
        self.outbox.notify_haves();
    }

    /// Queues a block that the other side asked for.
    pub(crate) fn serve(&self, block: BlockRange) {
        self.outbox.push_block(block);
    }

    /// Queues a piece of metadata; `false` if too many were asked for.
    pub(crate) fn send_metadata(&self, info: &Arc<Info>, id: u8, piece: u32) -> bool {
        self.outbox.push_metadata(info, id, piece)
    }

    /// Chokes the other side: what it asked for is dropped, but for what it may ask for all the
    /// same.
    pub(crate) fn choke(&self) {
        self.outbox.choke(self.remote.fast, &self.allowed_fast);
    }

    /// Unchokes the other side.
    pub(crate) fn unchoke(&self) {
        self.outbox.unchoke();
    }

    /// Ends the link: both threads meet a closed socket. The first reason counts.
    pub(crate) fn close(&self, reason: impl Into<String>) {
        lock(&self.reason).get_or_insert_with(|| reason.into());
        self.outbox.close();
        self.stream.shut();
    }

    /// Why it was ended from here.
    pub(crate) fn reason(&self) -> Option<String> {
        lock(&self.reason).clone()
    }

    /// What it moved, for the core, whose clock shows `now`.
    pub(crate) fn activity(&self, now: Duration) -> Activity {
        let traffic = &self.traffic;
        let sent = traffic.sent.load(Ordering::Relaxed);
        let last_sent = Duration::from_millis(traffic.last_sent.load(Ordering::Relaxed));
        let ago = traffic.since.elapsed().saturating_sub(last_sent);
        Activity {
            sent,
            last_sent: match sent {
                0 => Duration::ZERO,
                _ => now.saturating_sub(ago),
            },
            paused: traffic.paused.load(Ordering::Relaxed),
            unread_for: self.outbox.busy_for(),
        }
    }

    /// More is asked for than is kept.
    pub(super) fn is_flooded(&self) -> bool {
        self.outbox.is_full()
    }

    /// The other side takes a request back. BEP 6: each request gets its block or a reject, a
    /// cancelled one too.
    pub(super) fn on_cancel(&self, block: BlockRange) {
        if self.outbox.cancel_block(block) && self.remote.fast {
            self.outbox.send([Message::Reject(block.into())]);
        }
    }

    /// A block went out.
    pub(super) fn on_sent(&self, length: u32) {
        let since = self.traffic.since.elapsed().as_millis();
        let since = u64::try_from(since).unwrap_or(u64::MAX);
        self.traffic.last_sent.store(since, Ordering::Relaxed);
        self.traffic
            .sent
            .fetch_add(length.into(), Ordering::Relaxed);
    }

    /// Does not read until `due`, or shorter if the link is closed; returns whether it is.
    pub(super) fn pause_until(&self, due: Instant) -> bool {
        let paused = &self.traffic.paused;
        paused.store(true, Ordering::Relaxed);
        let is_closed = self.outbox.is_closed_by(due);
        paused.store(false, Ordering::Relaxed);
        is_closed
    }
}
