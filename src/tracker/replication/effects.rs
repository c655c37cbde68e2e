//! The actions that follow from events. Some of them wait until commits are durable.
//!
//! Invariant: held effects become due in the order in which they were added, and only after all
//! commits handed out before them are durable.

use super::report::Report;
use crate::torrent::InfoHash;
use crate::tracker::registry::{Origin, Row, RowId, Sequence, VersionVector};
use crate::wire::replica::ReplicaMessage;
use std::collections::VecDeque;
use std::time::Duration;

/// The time of an event, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Time since an epoch that the caller chose. It includes the time in which the machine sleeps.
    /// Apart from that it never jumps.
    pub elapsed: Duration,
    /// The wall clock: time since 1970. It may be wrong and may jump.
    pub wall: Duration,
}

impl Moment {
    /// The wall clock in milliseconds since 1970.
    pub(super) fn wall_millis(self) -> u64 {
        u64::try_from(self.wall.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A connection to another tracker. The caller numbers connections; each number is greater than all
/// earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplicaConnectionId(pub u64);

/// An action for the caller. Actions are performed in the order in which they are returned.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send this message. If the connection has closed, do nothing.
    Send(ReplicaConnectionId, ReplicaMessage),
    /// Read the blob and send its part from `offset` on (see [`ReplicaMessage::blob`]). If that is
    /// not possible, close the connection.
    SendBlob {
        /// The connection.
        connection: ReplicaConnectionId,
        /// The blob.
        info_hash: InfoHash,
        /// First byte of the part.
        offset: u32,
    },
    /// Close the connection. A call of
    /// [`Replica::on_disconnected`](super::Replica::on_disconnected) is not needed.
    Close(ReplicaConnectionId),
    /// Make this durable, then call [`Replica::on_committed`](super::Replica::on_committed).
    Commit(Commit),
    /// Report to the client that its write is done.
    Acknowledge {
        /// The write.
        write: Sequence,
        /// Where it is durable.
        copies: Copies,
    },
    /// Report to the client that this tracker has stopped serving, and that nobody knows whether
    /// the client's write was done.
    Abandon {
        /// The write.
        write: Sequence,
    },
    /// Write this to the log.
    Report(Report),
}

/// Changes that become durable together or not at all.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// The number of the commit. Commits become durable in the order of their numbers.
    pub number: u64,
    /// Rows, each replacing what is stored under its id.
    pub rows: Vec<Row>,
    /// Rows to be deleted, before the new ones are stored.
    pub dropped_rows: Vec<RowId>,
    /// The version vector, replacing the stored one.
    pub versions: VersionVector,
    /// The origin, replacing the stored one, if it has changed.
    pub origin: Option<Origin>,
    /// Blobs to be deleted, before the new ones are stored.
    pub dropped_blobs: Vec<InfoHash>,
    /// New blobs.
    pub blobs: Vec<(InfoHash, Vec<u8>)>,
}

/// Where an acknowledged write is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copies {
    /// Here and at another tracker.
    Two,
    /// Only here so far: no other tracker is connected, or none has answered in time. The other
    /// trackers receive the write when they are back.
    OnlyHere,
}

/// Effects that are due, and effects that wait for commits.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// Number of the last commit that was handed out.
    issued: u64,
    /// Number of the last durable commit.
    durable: u64,
    /// Held effects, each with the number of the commit that it waits for.
    pub(super) held: VecDeque<(u64, Effect)>,
    pub(super) due: Vec<Effect>,
}

impl Effects {
    /// Adds an effect that waits for nothing.
    pub(super) fn add(&mut self, effect: Effect) {
        self.due.push(effect);
    }

    pub(super) fn report(&mut self, report: Report) {
        self.add(Effect::Report(report));
    }

    /// Adds an effect that reveals the present state. It waits until all commits handed out so far
    /// are durable.
    pub(super) fn add_when_durable(&mut self, effect: Effect) {
        match self.durable == self.issued {
            true => self.add(effect),
            false => self.held.push_back((self.issued, effect)),
        }
    }

    /// Sends a message that reveals nothing of the present state. It waits for nothing.
    pub(super) fn send_now(&mut self, connection: ReplicaConnectionId, message: ReplicaMessage) {
        self.add(Effect::Send(connection, message));
    }

    /// Sends a message that reveals the present state. It waits until all commits handed out so far
    /// are durable.
    pub(super) fn send_when_durable(
        &mut self,
        connection: ReplicaConnectionId,
        message: ReplicaMessage,
    ) {
        self.add_when_durable(Effect::Send(connection, message));
    }

    /// Numbers a commit, hands it out, and returns its number.
    pub(super) fn commit(&mut self, commit: Commit) -> u64 {
        self.issued += 1;
        let number = self.issued;
        self.add(Effect::Commit(Commit { number, ..commit }));
        number
    }

    /// Whether the commit `number` is durable.
    pub(super) fn is_durable(&self, number: u64) -> bool {
        number <= self.durable
    }

    /// The commit `number` and all before it are durable. Effects that waited for them are due.
    pub(super) fn on_committed(&mut self, number: u64) {
        self.durable = self.durable.max(number.min(self.issued));
        let durable = self.durable;
        let ready = self
            .held
            .partition_point(|(barrier, _)| *barrier <= durable);
        let ready = self.held.drain(..ready).map(|(_, effect)| effect);
        self.due.extend(ready);
    }
}
