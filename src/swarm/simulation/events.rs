//! The virtual clock of a world, and what will happen in it.

use super::data::Data;
use super::network::{ConnectionNo, Packet, PeerNo};
use crate::swarm::{Block, Run};
use crate::torrent::Hasher;
use std::collections::BTreeMap;
use std::time::Duration;

/// One thing that happens.
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
    /// What a peer wrote last is out: it writes the next. The number of blocks in it.
    Written(ConnectionNo, PeerNo, u32),
    /// A peer sees that a connection has ended.
    Closed(ConnectionNo, PeerNo),
    /// A worker of an honest peer has done a step of its job.
    Worker(PeerNo, Job),
    /// The files of an honest peer have their final names.
    Finished(PeerNo),
    /// A misbehaving peer does what it does from time to time.
    Woken(PeerNo),
}

/// What a worker does with a run of blocks.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) run: Run,
    pub(super) blocks: Vec<Block<Data>>,
    /// The hasher, and the run that comes next, once this one or a later one is hashed.
    pub(super) hashed: Option<(Hasher, u32)>,
}

impl Job {
    pub(super) fn new(run: Run, blocks: Vec<Block<Data>>) -> Self {
        Self {
            run,
            blocks,
            hashed: None,
        }
    }
}

/// What will happen, in the order of time; what happens at one time is in the order of its making.
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

    /// Has the event happen this much later than now.
    pub(super) fn after(&mut self, pause: Duration, event: Event) {
        self.at(self.now + pause, event);
    }

    /// Has the event happen at this time.
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
