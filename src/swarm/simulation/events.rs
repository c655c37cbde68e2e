//! The virtual clock of a simulation, and its queue of events.

use super::content::Content;
use super::network::{ConnectionNo, Packet, PeerNo};
use crate::swarm::{BlockRun, PendingBlock};
use crate::torrent::Hasher;
use std::collections::BTreeMap;
use std::time::Duration;

/// One event.
#[derive(Debug)]
pub(super) enum Event {
    /// The clock of an honest peer ticks.
    Tick(PeerNo),
    /// A call reaches the called peer.
    Called(ConnectionNo),
    /// The answer to a call reaches the caller: whether the called peer admits it.
    Answered(ConnectionNo, bool),
    /// Packets reach a peer.
    Arrived(ConnectionNo, PeerNo, Vec<Packet>),
    /// A peer has written this many blocks, or none, and can write again.
    Written(ConnectionNo, PeerNo, u32),
    /// A peer notices that a connection has ended.
    Closed(ConnectionNo, PeerNo),
    /// A worker of an honest peer has finished a step of its job.
    Worker(PeerNo, HashJob),
    /// The files of an honest peer have their final names.
    Finished(PeerNo),
    /// A timer of a rogue peer fires.
    Woken(PeerNo),
}

/// The work on one run of blocks.
#[derive(Debug)]
pub(super) struct HashJob {
    pub(super) run: BlockRun,
    pub(super) blocks: Vec<PendingBlock<Content>>,
    /// The hasher and the next run, once a run is hashed.
    pub(super) hashed: Option<(Hasher, u32)>,
}

impl HashJob {
    pub(super) fn new(run: BlockRun, blocks: Vec<PendingBlock<Content>>) -> Self {
        Self {
            run,
            blocks,
            hashed: None,
        }
    }
}

/// Future events, in the order of their time; at the same time, in the order in which they were
/// added.
#[derive(Debug, Default)]
pub(super) struct Events {
    now: Duration,
    made: u64,
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
        self.made += 1;
        self.due.insert((time, self.made), event);
    }

    /// Moves the clock to the next event.
    pub(super) fn advance(&mut self) -> Option<Event> {
        let ((now, _), event) = self.due.pop_first()?;
        self.now = now;
        Some(event)
    }
}
