//! What every part of a peer may use: who it is, its limits, its buffers and threads, what it
//! serves, its clock and its end. It knows no transfer, link or tracker.

use super::{
    BufferPool, Deadlines, Limits, Throttle, changes::Changes, changes::Ticks, owned::OwnedMap,
    tasks::Tasks,
};
use crate::net::{Pool, Stop};
use crate::storage::Records;
use crate::swarm::{LinkId, UploadSlots};
use crate::system::since_1970;
use crate::torrent::InfoHash;
use crate::wire::PeerId;
use crate::wire::handshake::Handshake;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How others see this peer.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) peer_id: PeerId,
    /// Only trackers learn it; they know us by it at another address (BEP 7).
    pub(super) key: String,
    /// Where we listen.
    pub(super) address: SocketAddr,
    /// What our user calls this peer; may be empty.
    pub(super) name: String,
}

/// What links may take: places, rates, memory, time.
#[derive(Debug)]
pub(super) struct LinkLimits {
    /// The most links of one share.
    pub(super) max_peers: usize,
    pub(super) upload_slots: UploadSlots,
    /// What is sent and what is read, if that is limited.
    pub(super) up: Option<Throttle>,
    pub(super) down: Option<Throttle>,
    /// Bytes of blocks that are under way, over all downloads.
    pub(super) memory: u64,
    pub(super) deadlines: Deadlines,
}

impl LinkLimits {
    pub(super) fn new(max_peers: usize, limits: Limits, deadlines: Deadlines) -> Self {
        Self {
            max_peers: max_peers.max(1),
            upload_slots: limits.slots(),
            up: limits.up.map(Throttle::new),
            down: limits.down.map(Throttle::new),
            memory: limits.memory(),
            deadlines,
        }
    }
}

/// One of it exists as long as the peer.
///
/// Order of locks, outermost first: the map of transfers, a transfer's own state, `owned`, an
/// outbox, a limit, `changes`. No lock is held over I/O.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) identity: Identity,
    pub(super) link_limits: Arc<LinkLimits>,
    pub(super) buffers: Arc<BufferPool>,
    pub(super) tasks: Tasks,
    pub(super) records: Records,
    pub(super) owned: OwnedMap,
    pub(super) changes: Changes,
    pub(super) ticks: Ticks,
    pub(super) stop: Stop,
    /// Raised to end hashing early.
    pub(super) interrupt: AtomicBool,
    epoch: Instant,
    links: AtomicU64,
}

impl Context {
    pub(super) fn new(
        identity: Identity,
        link_limits: LinkLimits,
        pool: Pool,
        records: Records,
    ) -> Self {
        Self {
            identity,
            buffers: BufferPool::new(link_limits.memory),
            link_limits: Arc::new(link_limits),
            tasks: Tasks::new(pool),
            records,
            owned: OwnedMap::default(),
            changes: Changes::default(),
            ticks: Ticks::default(),
            stop: Stop::new(),
            interrupt: AtomicBool::new(false),
            epoch: Instant::now(),
            links: AtomicU64::new(0),
        }
    }

    /// The time as the decisions of `swarm` take it.
    pub(super) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// A number that no other link of this peer has.
    pub(super) fn next_link_id(&self) -> LinkId {
        LinkId(self.links.fetch_add(1, Ordering::Relaxed))
    }

    /// Our handshake in a swarm (BEP 3).
    pub(super) fn handshake(&self, info_hash: InfoHash) -> Handshake {
        Handshake {
            info_hash,
            peer_id: self.identity.peer_id,
            fast: true,
            extensions: true,
        }
    }

    /// Whether work that nobody waits for any longer is to end.
    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupt.load(Ordering::Relaxed) || self.stop.is_stopped()
    }
}

/// The wall clock, in milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = since_1970();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
