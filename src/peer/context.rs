//! What every part of a peer may use: the peer's identity, limits, threads, owned map,
//! clock and stop flag. It knows no transfers, links or trackers.

use super::{
    BufferPool, Deadlines, Limits, Throttle, changes::Changes, changes::Ticks,
    group_names::GroupNames, names::Names, owned::OwnedMap, tasks::Tasks,
};
use crate::net::{Stop, WorkerPool};
use crate::storage::Records;
use crate::swarm::{LinkId, UploadSlots};
use crate::system::since_1970;
use crate::torrent::InfoHash;
use crate::wire::PeerId;
use crate::wire::handshake::Handshake;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How this peer presents itself.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) peer_id: PeerId,
    /// Sent to trackers only, which recognise this peer by it after its address has changed (BEP
    /// 7).
    pub(super) key: String,
    /// The address of our listener.
    pub(super) address: SocketAddr,
    /// The name that the user gave this peer; may be empty.
    pub(super) name: String,
}

/// The limits that all links share: number, rates, memory, time.
#[derive(Debug)]
pub(super) struct LinkLimits {
    /// The maximum number of links of one transfer.
    pub(super) max_peers: usize,
    pub(super) upload_slots: UploadSlots,
    /// Rate limits of sent and received blocks.
    pub(super) up: Throttle,
    pub(super) down: Throttle,
    /// Buffers for the blocks of all downloads together, within the memory limit.
    pub(super) buffers: Arc<BufferPool>,
    pub(super) deadlines: Deadlines,
}

impl LinkLimits {
    pub(super) fn new(max_peers: usize, limits: Limits, deadlines: Deadlines) -> Self {
        Self {
            max_peers: max_peers.max(1),
            upload_slots: limits.slots(),
            up: Throttle::new(limits.up),
            down: Throttle::new(limits.down),
            buffers: BufferPool::new(limits.memory()),
            deadlines,
        }
    }
}

/// The state that all parts of a peer share. There is one per peer.
///
/// Lock order, outermost first: the map of transfers, a transfer, `owned`, an outbox, a rate limit,
/// `changes`. None of these locks is held during I/O.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) identity: Identity,
    pub(super) link_limits: Arc<LinkLimits>,
    pub(super) tasks: Tasks,
    pub(super) records: Records,
    pub(super) owned: OwnedMap,
    pub(super) names: Names,
    pub(super) group_names: Arc<GroupNames>,
    pub(super) changes: Changes,
    pub(super) ticks: Ticks,
    pub(super) stop: Stop,
    start: Start,
    next_link: AtomicU64,
}

/// When the peer started, and what follows from that.
#[derive(Debug)]
struct Start {
    at: Instant,
    /// The time of the first announce of each complete share that was resumed at the start.
    first_announces: Instant,
}

/// The first announces of resumed shares are made at a random moment within this time after the
/// start. Peers that start at the same moment, for example after a power failure, do not all call
/// the trackers at once.
const START_SPREAD: Duration = Duration::from_secs(3);

impl Start {
    fn at(at: Instant) -> Self {
        let first_announces = at + START_SPREAD.mul_f64(fastrand::f64());
        Self {
            at,
            first_announces,
        }
    }
}

impl Context {
    pub(super) fn new(
        identity: Identity,
        link_limits: LinkLimits,
        pool: WorkerPool,
        records: Records,
    ) -> Self {
        Self {
            identity,
            link_limits: Arc::new(link_limits),
            tasks: Tasks::new(pool),
            records,
            owned: OwnedMap::default(),
            names: Names::default(),
            group_names: Arc::default(),
            changes: Changes::default(),
            ticks: Ticks::default(),
            stop: Stop::new(),
            start: Start::at(Instant::now()),
            next_link: AtomicU64::new(0),
        }
    }

    /// Time since the start of the peer: the clock of `swarm`.
    pub(super) fn now(&self) -> Duration {
        self.start.at.elapsed()
    }

    /// The time of the first announce of each complete share that was resumed at the peer's start.
    pub(super) fn first_announces(&self) -> Instant {
        self.start.first_announces
    }

    /// A new link id, unique within this peer.
    pub(super) fn next_link_id(&self) -> LinkId {
        LinkId(self.next_link.fetch_add(1, Ordering::Relaxed))
    }

    /// Our handshake for a swarm (BEP 3).
    pub(super) fn handshake(&self, info_hash: InfoHash) -> Handshake {
        Handshake {
            info_hash,
            peer_id: self.identity.peer_id,
            fast: true,
            extensions: true,
        }
    }

    /// Whether background work should end early, because the peer is stopping.
    pub(super) fn is_interrupted(&self) -> bool {
        self.tasks.interrupt.load(Ordering::Relaxed) || self.stop.is_stopped()
    }
}

/// The wall clock, in milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = since_1970();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_that_start_together_spread_their_first_announces_over_seconds() {
        let now = Instant::now();
        let waits = (0..1_000).map(|_| Start::at(now).first_announces - now);
        let waits: Vec<Duration> = waits.collect();
        for second in 0..3 {
            let count = waits.iter().filter(|wait| wait.as_secs() == second).count();
            assert!((200..500).contains(&count), "{count} in second {second}");
        }
    }
}
