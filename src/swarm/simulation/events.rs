//! The virtual clock of a simulation, and its queue of events.

use super::content::Content;
use super::network::{ConnectionNumber, Packet, PeerNumber};
use crate::swarm::{BlockRun, PendingBlock};
use crate::torrent::Hasher;
use std::collections::BTreeMap;
use std::time::Duration;

/// One event.
#[derive(Debug)]
pub(super) enum Event {
    /// The clock of an honest peer ticks.
    Tick(PeerNumber),
    /// A call reaches the called peer.
    Called(ConnectionNumber),
    /// The answer to a call reaches the caller: whether the called peer admits the connection.
    Answered(ConnectionNumber, bool),
    /// Packets reach a peer.
    Arrived(ConnectionNumber, PeerNumber, Vec<Packet>),
    /// A write of a peer to a connection has ended. It contained this many blocks: 0 or 1.
    Written(ConnectionNumber, PeerNumber, u32),
    /// A peer notices that a connection has ended.
    Closed(ConnectionNumber, PeerNumber),
    /// A worker of an honest peer has read the missing blocks of a run, or failed to read them.
    Read(PeerNumber, BlockRun, Vec<Option<PendingBlock<Content>>>),
    /// A worker of an honest peer has finished a step of its job.
    Worker(PeerNumber, HashJob),
    /// The files of an honest peer have their final names.
    Finished(PeerNumber),
    /// A timer of a rogue peer fires.
    Woken(PeerNumber),
}

/// The job of a worker: it writes one run of blocks, and then hashes runs of the piece.
#[derive(Debug)]
pub(super) struct HashJob {
    pub(super) run: BlockRun,
    pub(super) blocks: Vec<PendingBlock<Content>>,
    /// The hasher, and how many runs of the piece have been hashed when this step ends. The runs
    /// are hashed in order, from run 0. `None` while the worker writes.
    pub(super) hashing: Option<(Hasher, u32)>,
}

impl HashJob {
    pub(super) fn new(run: BlockRun, blocks: Vec<PendingBlock<Content>>) -> Self {
        Self {
            run,
            blocks,
            hashing: None,
        }
    }
}

/// Future events, in the order of their times. Events with the same time keep the order in which
/// they were added.
#[derive(Debug, Default)]
pub(super) struct Events {
    now: Duration,
    /// The number of events added so far.
    added: u64,
    due: BTreeMap<(Duration, u64), Event>,
}

impl Events {
    pub(super) fn now(&self) -> Duration {
        self.now
    }

    /// Adds an event that happens this much later than now.
    pub(super) fn after(&mut self, pause: Duration, event: Event) {
        self.at(self.now + pause, event);
    }

    /// Adds an event that happens at this time.
    pub(super) fn at(&mut self, time: Duration, event: Event) {
        self.added += 1;
        self.due.insert((time, self.added), event);
    }

    /// Moves the clock to the next event.
    pub(super) fn advance(&mut self) -> Option<Event> {
        let ((now, _), event) = self.due.pop_first()?;
        self.now = now;
        Some(event)
    }
}
